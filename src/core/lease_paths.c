/* SPDX-License-Identifier: Apache-2.0 */
/* sys/leases: looking up, renewing and revoking what engines handed out. Texts as Vault's clients match them. */
#include "core/lease_priv.h"

#include "core/sys_priv.h"

#define PREFIX_NOW_MAX                                                                             \
    4096u /* leases of a prefix that one request revokes; ticks revoke the rest */

static struct mln_bytes lease_id(const struct mln_request *rq)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "lease_id"));
    return id.len > 0 ? id : mln_get_bytes(mln_field_of(rq, "url_lease_id"));
}

/* Of this namespace or one below it; others are as good as none. */
static struct mln_err get_own(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_bytes id = lease_id(rq);
    return mln_space_is_below(mln_run_of(rq), mln_lease_ns(id)) ? mln_lease_get(rq->cx, rq->txn, id, ret)
                                                                : (struct mln_err){MLN_E_NOT_FOUND};
}

/* A live one; `text` when there is none. */
static struct mln_err find(struct mln_request *rq, const char *text, const struct mln_value **ret)
{
    struct mln_err err = get_own(rq, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "%s", text);
    }
    return err;
}

static struct mln_err need_id(struct mln_request *rq)
{
    return lease_id(rq).len > 0 ? MLN_OK
                                : mln_fail(rq->cx, MLN_E_INVALID, "lease_id must be specified");
}

static bool is_over(struct mln_request *rq, const struct mln_value *lease)
{
    return mln_get_int(mln_get(lease, "expires_ns"), 0) <=
               mln_life_ns(mln_core_of(rq), rq->now_ns) ||
           mln_get_int(mln_get(lease, "tries"), 0) > 0;
}

/* ---- lookup ---- */

static struct mln_err lookup(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *lease = NULL;
    struct mln_value *data = mln_object(cx);
    MLN_TRY(need_id(rq));
    MLN_TRY(find(rq, "invalid lease", &lease));
    int64_t expires_ns = mln_get_int(mln_get(lease, "expires_ns"), 0),
            renewed_ns = mln_get_int(mln_get(lease, "renewed_ns"), 0);
    mln_put(cx, data, "id", mln_get(lease, "id"));
    mln_put(cx, data, "path", mln_get(lease, "path"));
    mln_put_text(cx, data, "issue_time",
                 mln_time_text_go(cx, mln_get_int(mln_get(lease, "created_ns"), 0)));
    mln_put_text(cx, data, "expire_time", mln_time_text_go(cx, expires_ns));
    mln_put(cx, data, "last_renewal",
            renewed_ns == 0 ? mln_null(cx) : mln_text(cx, mln_time_text_go(cx, renewed_ns)));
    mln_put_bool(cx, data, "renewable",
                 mln_get_bool(mln_get(lease, "renewable"), false) && !is_over(rq, lease));
    mln_put_int(cx, data, "ttl", (expires_ns - rq->now_ns) / 1000000000);
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_bytes prefix = mln_get_bytes(mln_field_of(rq, "prefix"));
    bool has_slash = prefix.len == 0 || prefix.ptr[prefix.len - 1] == '/';
    if (prefix.len == 0 && !rq->actor->is_root &&
        !rq->services->may(rq, "sys/leases/lookup/", "sudo")) {
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    struct mln_bytes folder =
        mln_lease_id_key(rq->cx, rq->ns, mln_bytes_format(rq->cx, "%.*s%s", MLN_FMT(prefix), has_slash ? "" : "/"));
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, mln_lease_view(), folder, &names));
    if (mln_len(names) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- renew ---- */

/* The token that it hangs on may be dead while its leases wait to be swept. */
static struct mln_err check_token(struct mln_request *rq, const struct mln_value *lease)
{
    const char *name = mln_get_text(rq->cx, mln_get(lease, "token"), "");
    const struct mln_value *entry = NULL;
    int64_t life_ns = mln_life_ns(mln_core_of(rq), rq->now_ns);
    if (name[0] == 0) {
        return MLN_OK;
    }
    struct mln_err err = mln_token_by_name(rq->cx, rq->txn, name, &entry);
    err = mln_failed(err) ? err : mln_token_has_line(rq->cx, rq->txn, entry, life_ns);
    bool is_dead = mln_is(err, MLN_E_NOT_FOUND) || mln_is(err, MLN_E_UNAUTHENTIC) ||
                   (!mln_failed(err) && !mln_token_is_live(entry, life_ns));
    return is_dead ? mln_refail(rq->cx, MLN_E_INVALID, "lease not found") : err;
}

static struct mln_err renew(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *lease = NULL;
    int64_t asked_s = mln_get_int(mln_field_of(rq, "increment"), 0);
    MLN_TRY(need_id(rq));
    MLN_TRY(find(rq, "lease not found", &lease));
    if (asked_s < 0 || asked_s > MLN_TTL_MAX_S) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "increment cannot be negative or more than 100 years");
    }
    if (is_over(rq, lease)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "lease expired");
    }
    if (!mln_get_bool(mln_get(lease, "renewable"), false)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "lease is not renewable");
    }
    MLN_TRY(check_token(rq, lease));
    mln_put(rq->cx, rq->detail, "lease", mln_get(lease, "id"));
    return mln_lease_renew(rq, re, lease, asked_s);
}

/* ---- revoke ---- */

static bool is_now(const struct mln_request *rq)
{
    return mln_get_bool(mln_field_of(rq, "sync"), true);
}

static struct mln_err revoke(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *lease = NULL;
    MLN_TRY(need_id(rq));
    struct mln_err err = get_own(rq, &lease);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK; /* gone already: revoking twice is fine */
    }
    MLN_TRY(err);
    mln_put(rq->cx, rq->detail, "revoked", mln_get(lease, "id"));
    if (!is_now(rq)) {
        re->status = 202;
        return mln_lease_make_due(rq->cx, rq->txn, lease, rq->now_ns);
    }
    err = mln_lease_end(rq, lease, false);
    return mln_failed(err) ? mln_refail(rq->cx, MLN_E_INVALID, "failed to revoke %.200s: %s",
                                        mln_get_text(rq->cx, mln_get(lease, "id"), ""),
                                        mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text)))
                           : MLN_OK;
}

static struct mln_err revoke_below(struct mln_request *rq, struct mln_reply *re, bool is_forced)
{
    struct mln_bytes prefix = mln_get_bytes(mln_field_of(rq, "prefix"));
    bool is_all = false, has_slash = prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/';
    prefix = has_slash ? prefix : mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(prefix));
    mln_put_bytes(rq->cx, rq->detail, "revoked", prefix);
    mln_txn_mark_relief(rq->txn);
    if (is_now(rq)) {
        MLN_TRY(mln_lease_end_prefix(rq, prefix, is_forced, PREFIX_NOW_MAX, &is_all));
    }
    if (is_all) {
        return mln_cx_err(rq->cx);
    }
    mln_reply_warn(
        rq, re,
        "The leases below this prefix are being revoked; there are more than one request revokes.");
    re->warnings = is_now(rq) ? re->warnings : NULL;
    re->status = 202;
    return mln_lease_queue_prefix(rq, prefix, is_forced);
}

static struct mln_err revoke_prefix(struct mln_request *rq, struct mln_reply *re)
{
    return revoke_below(rq, re, false);
}

static struct mln_err revoke_force(struct mln_request *rq, struct mln_reply *re)
{
    return revoke_below(rq, re, true);
}

/* ---- what is there ---- */

#define SHOWN_MAX 10000u /* irrevocable leases in one answer, as Vault's default limit */

static struct mln_err check_type(struct mln_request *rq)
{
    const struct mln_value *type = mln_field_of(rq, "type");
    return mln_is_text(type, "irrevocable") ? MLN_OK
           : mln_is_null(type)
               ? mln_fail(rq->cx, MLN_E_INVALID, "must specify a lease type: \"irrevocable\"")
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "unsupported lease type: only \"irrevocable\" is known");
}

/* Counted by the accessor of the mount, as clients know it; by path for those that are gone. */
static const char *group_of(struct mln_request *rq, const struct mln_value *lease)
{
    const struct mln_mount_table *table = mln_run_of(rq)->table;
    for (size_t i = 0; table != NULL && i < table->n; i++) {
        if (mln_is_text(mln_get(lease, "mount"), table->mounts[i].uuid)) {
            return table->mounts[i].accessor;
        }
    }
    return mln_get_text(rq->cx, mln_get(lease, "mount"), "");
}

static struct mln_err show_bad(struct mln_request *rq, struct mln_reply *re, bool with_leases)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ids = mln_array(cx), *leases = mln_array(cx), *counts = mln_object(cx),
                     *data = mln_object(cx);
    MLN_TRY(check_type(rq));
    MLN_TRY(mln_life_keys(mln_core_of(rq), cx, MLN_BYTES(MLN_LEASE_PREFIX "bad/"), MLN_BYTES_NONE,
                          MLN_BYTES_NONE, SHOWN_MAX, ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *lease = NULL;
        struct mln_value *one = mln_object(cx);
        if (!mln_bytes_eq(mln_lease_ns(mln_get_bytes(mln_item(ids, i))), rq->ns)) {
            continue;
        }
        struct mln_err err = mln_lease_get(cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &lease);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue;
        }
        MLN_TRY(err);
        const char *group = group_of(rq, lease);
        mln_put_int(cx, counts, group, mln_get_int(mln_get(counts, group), 0) + 1);
        mln_put(cx, one, "lease_id", mln_get(lease, "id"));
        mln_put_text(cx, one, "mount_id", group);
        mln_put(cx, one, "error", mln_get(lease, "error"));
        mln_push(cx, leases, one);
    }
    mln_put_int(cx, data, "lease_count", (int64_t)mln_len(leases));
    mln_put(cx, data, "counts", counts);
    if (with_leases) {
        mln_put(cx, data, "leases", leases);
    }
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err leases(struct mln_request *rq, struct mln_reply *re)
{
    return show_bad(rq, re, true);
}

static struct mln_err count(struct mln_request *rq, struct mln_reply *re)
{
    return show_bad(rq, re, false);
}

/* Nothing lies about: rows go in the transactions that end what they stand for, and ticks sweep the rest. */
static struct mln_err tidy(struct mln_request *rq, struct mln_reply *re)
{
    mln_reply_warn(rq, re,
                   "Tidy operation successfully started. Any information from the operation will "
                   "be printed to Vault's server logs.");
    re->status = 202;
    return mln_cx_err(rq->cx);
}

#define FIELD_SYNC      F_BOOL("sync", "true", "Answer when it is done; false: ticks do it.")
#define FIELD_INCREMENT F_DURATION("increment", "How long it shall live from now.")

static const struct mln_field id_fields[] = {F_TEXT("lease_id", "The lease."),
                                             F_TEXT("url_lease_id", "The lease, in the path."),
                                             FIELD_SYNC,
                                             FIELD_INCREMENT,
                                             {0}};
static const struct mln_field prefix_fields[] = {
    F_TEXT("prefix", "Paths that begin so."), FIELD_SYNC, {0}};
static const struct mln_field type_fields[] = {F_TEXT("type", "\"irrevocable\"."), {0}};

const struct mln_path mln_sys_leases[] = {
    {.pattern = "leases",
     .summary = "Leases that nothing could revoke.",
     .fields = type_fields,
     .read = leases},
    {.pattern = "leases/count",
     .summary = "How many leases nothing could revoke.",
     .fields = type_fields,
     .read = count},
    {.pattern = "leases/tidy",
     .summary = "Look for rows that lie about.",
     .write = tidy,
     .is_sudo = true},
    {.pattern = "leases/lookup",
     .summary = "What a lease is; list leases.",
     .fields = id_fields,
     .write = lookup,
     .list = list},
    {.pattern = "leases/lookup/{prefix...}",
     .summary = "List leases below a path.",
     .fields = prefix_fields,
     .list = list,
     .is_sudo = true},
    {.pattern = "leases/renew", .summary = "Renew a lease.", .fields = id_fields, .write = renew},
    {.pattern = "leases/renew/{url_lease_id...}",
     .summary = "Renew a lease.",
     .fields = id_fields,
     .write = renew},
    {.pattern = "leases/revoke",
     .summary = "Revoke a lease.",
     .fields = id_fields,
     .write = revoke,
     .is_relief = true,
     .may_block = true},
    {.pattern = "leases/revoke/{url_lease_id...}",
     .summary = "Revoke a lease.",
     .fields = id_fields,
     .write = revoke,
     .is_relief = true,
     .may_block = true},
    {.pattern = "leases/revoke-prefix/{prefix...}",
     .summary = "Revoke all leases below a path, and tokens of logins there.",
     .fields = prefix_fields,
     .write = revoke_prefix,
     .is_sudo = true,
     .is_relief = true,
     .may_block = true},
    {.pattern = "leases/revoke-force/{prefix...}",
     .summary = "The same, whatever the engine says.",
     .fields = prefix_fields,
     .write = revoke_force,
     .is_sudo = true,
     .is_relief = true,
     .may_block = true},
    {0},
};
