/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tokens share: rows (token.c), trees (token_tree.c), lifetimes and policies (token_ttl.c), paths (token_paths.c). */
#pragma once

#include "core/core_priv.h"

#define MLN_TOKEN_NAME_LEN 24u
#define MLN_TTL_MAX_S                                                                              \
    (100LL * 365 * 86400) /* of anything that is asked for: nanoseconds of it fit 64 bits */

static inline struct mln_view mln_token_view(void)
{
    return mln_core_view("root/token/");
}
/* "<24 characters>.<namespace>", or without a namespace of the root. */
static inline struct mln_bytes mln_token_name_ns(struct mln_bytes name)
{
    bool has_one = name.len > MLN_TOKEN_NAME_LEN + 1 && name.ptr[MLN_TOKEN_NAME_LEN] == '.';
    return has_one ? mln_bytes_from(name, MLN_TOKEN_NAME_LEN + 1) : MLN_NS_ROOT;
}
/* The row of an entry is sealed under the keyring of its namespace. */
static inline struct mln_view mln_token_entry_view(struct mln_bytes name)
{
    return (struct mln_view){.ns = mln_token_name_ns(name), .prefix = MLN_BYTES("root/token/")};
}
/* Row of the list of a namespace's tokens; empty for the root's. */
static inline struct mln_bytes mln_token_ns_key(struct mln_cx *cx, struct mln_bytes name)
{
    struct mln_bytes ns = mln_token_name_ns(name);
    return mln_bytes_eq(ns, MLN_NS_ROOT) ? MLN_BYTES_NONE
                                         : mln_bytes_format(cx, "ns/%.*s/%.*s", MLN_FMT(ns), MLN_FMT(name));
}
/* Where rows of logins below a path lie: "path/<path>", "nspath/<namespace>/<path>". */
static inline struct mln_bytes mln_token_path_key(struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes path)
{
    return mln_bytes_eq(ns, MLN_NS_ROOT) ? mln_bytes_format(cx, "path/%.*s", MLN_FMT(path))
                                         : mln_bytes_format(cx, "nspath/%.*s/%.*s", MLN_FMT(ns), MLN_FMT(path));
}
/* NOT_FOUND without text when there is none; an entry that expired is still given. */
struct mln_err mln_token_by_name(struct mln_cx *cx, struct mln_txn *txn, const char *name,
                                 const struct mln_value **ret);
struct mln_err mln_token_by_accessor(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                     const struct mln_value **ret);
bool mln_token_is_live(const struct mln_value *entry, int64_t now_ns);
/* By which it counts for quotas; empty = none. */
struct mln_bytes mln_token_quota_role(const struct mln_value *entry);
/* Has it no parent, or one that was revoked alone? */
struct mln_err mln_token_is_orphan(struct mln_cx *cx, struct mln_txn *txn,
                                   const struct mln_value *entry, bool *ret);
/* Its own row was found; is no ancestor dead? UNAUTHENTIC (no text) otherwise. */
struct mln_err mln_token_has_line(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_value *entry, int64_t now_ns);
/* The envelope's auth object; id may be empty (renewal by accessor). */
const struct mln_value *mln_token_auth(struct mln_cx *cx, const struct mln_value *entry,
                                       struct mln_bytes id);
struct mln_err mln_token_replace(struct mln_cx *cx, struct mln_txn *txn,
                                 const struct mln_value *old, const struct mln_value *entry);
struct mln_err mln_token_accessors(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns,
                                   const struct mln_value **ret); /* array of texts */
struct mln_bytes mln_token_key(struct mln_cx *cx, const char *kind,
                               const char *name); /* "kind/name" */
struct mln_err mln_token_put_entry(struct mln_cx *cx, struct mln_txn *txn,
                                   const struct mln_value *entry);
struct mln_err mln_token_remove_rows(struct mln_cx *cx, struct mln_txn *txn,
                                     const struct mln_value *entry);

/* token_tree.c: the token goes, its children become orphans (their rows are changed later, what they may is so at once). */
struct mln_err mln_token_revoke_orphan(struct mln_core *core, struct mln_cx *cx,
                                       struct mln_txn *txn, const struct mln_value *entry);
/* Sweep below revoked tokens, one batch a call with its own record; *ret_more: call again. */
struct mln_err mln_token_sweep(struct mln_core *core, struct mln_cx *cx, bool *ret_more);
/* Revoke what has expired, one batch a call with its own record; *ret_n: how many rows were due. */
struct mln_err mln_token_expire(struct mln_core *core, struct mln_cx *cx, int64_t now_ns,
                                size_t max, size_t *ret_n);

/*
 * Tokens of the request's namespace that tokens made (not logins) and that expire, whose path and "/" begins with prefix: their
 * names, pushed to `names`, at most max of one call. Rows of all tokens are gone through from behind *after, a name; *ret_all: to the
 * end, else *after is where to go on.
 */
struct mln_err mln_token_made_below(struct mln_request *rq, struct mln_bytes prefix, struct mln_bytes *after,
                                    struct mln_value *names, bool *ret_all);
#define MLN_TOKEN_LOOK_ROWS 4096u /* of one such call: some 20 ms */

/* token_batch.c */
#define MLN_BATCH_MAX 8192u /* bytes of a batch token: front takes twice as many */
bool mln_token_looks_batch(struct mln_bytes token);
struct mln_err mln_token_batch_seal(struct mln_core *core, struct mln_cx *cx,
                                    const struct mln_value *entry, struct mln_bytes *ret);
/* UNAUTHENTIC (no text) when it is none of ours. */
struct mln_err mln_token_batch_open(struct mln_core *core, struct mln_cx *cx,
                                    struct mln_bytes token, const struct mln_value **ret);

/* token_cidr.c: is each an address or a block of them? INVALID names the first that is not. */
struct mln_err mln_token_cidrs_check(struct mln_cx *cx, const struct mln_value *list);

int64_t mln_token_ttl_default(const struct mln_core *core,
                              const struct mln_mount *mount); /* seconds, > 0 */
int64_t mln_token_ttl_max(const struct mln_core *core, const struct mln_mount *mount);
/* At most limit_s (0 = none), with a warning when re is given. */
int64_t mln_token_ttl_cap(struct mln_request *rq, struct mln_reply *re, int64_t asked_s,
                          int64_t limit_s);
/* Names in lower case, sorted, each once; "default" added unless root is among them. */
const struct mln_value *mln_token_policies(struct mln_cx *cx, const struct mln_value *asked,
                                           bool with_default);
bool mln_token_names(const struct mln_value *names, const char *name);
/* auth/token/create, create-orphan and create/{role} */
struct mln_err mln_token_create_path(struct mln_request *rq, struct mln_reply *re);

/* token_renew.c */
struct mln_err mln_token_renew_entry(struct mln_request *rq, struct mln_reply *re,
                                     const struct mln_value *entry, struct mln_bytes id);

/* token_role.c: what auth/token/roles/{role} holds; NOT_FOUND without text. */
struct mln_err mln_token_role_get(struct mln_request *rq, const char *name,
                                  const struct mln_value **ret);
struct mln_err mln_token_role_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_token_role_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_token_role_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_token_role_list(struct mln_request *rq, struct mln_reply *re);
extern const struct mln_field mln_token_role_fields[];
