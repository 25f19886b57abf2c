/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity: entities (one person or workload, however it logs in), their aliases (a name at one auth mount, by its accessor), groups
 * and what follows from them. Mounted once at "identity/"; core uses the same rows at logins and at each request. This header is for
 * core. Rows: view "root/entity/", docs/identity.md.
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"

/* The engines of this room as a registry for core (mln_core_config.registries); identity.def lists them. Ends with NULL. */
extern const struct mln_engine *const mln_identities[];

#define MLN_IDENTITY_MOUNT "identity/"
#define MLN_SPIFFE_MOUNT   "spiffe/" /* workload identities */

/* What a login says of who logged in. */
struct mln_identity_login {
    const struct mln_mount *mount;
    const char *alias;                  /* name at the mount; made when new, with an entity */
    const struct mln_value *alias_meta; /* object of strings or NULL: replaces what was known */
    const struct mln_value *
        groups; /* array of names or NULL: membership of external groups with aliases at this mount follows */
    int64_t now_ns;
};
/*
 * Find or make the entity. *ret_entity as it is stored; *ret_changed: rows of identity were written that others may have cached.
 * errors INVALID (alias of no or too many bytes), CORRUPT
 */
struct mln_err mln_identity_login(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_identity_login *login,
                                  const struct mln_value **ret_entity, bool *ret_changed);

/*
 * An entity by id (or by the id of one that was merged into it): {"id","name","disabled","metadata":{},"policies":[] (its own),
 * "all_policies":[] (with those of its groups, sorted), "aliases":[{"id","name","mount_accessor","metadata":{},"custom_metadata":{}}],
 * "groups":[{"id","name","metadata":{}}] (direct and inherited)}. NOT_FOUND without text.
 */
struct mln_err mln_identity_person(struct mln_cx *cx, struct mln_txn *txn, const char *id,
                                   const struct mln_value **ret);

/* An auth mount goes: its aliases go with it (many of them over the next ticks); entities and groups stay. */
struct mln_err mln_identity_mount_gone(struct mln_cx *cx, struct mln_txn *txn,
                                       const char *accessor);

/* ---- second factors at logins (mfa_check.c) ---- */
/* What a login must pass besides: {"<enforcement>":{"any":[{"type","id","uses_passcode","name"}]}}; NULL when nothing. */
struct mln_err mln_mfa_needed(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mount *mount,
                              const char *entity_id, const struct mln_value **ret);
struct mln_mfa_try {
    const char *entity_id;               /* "" passes nothing */
    const struct mln_value *constraints; /* as mln_mfa_needed gives them */
    const struct mln_value *given;       /* {"<method id>":["123456"]} */
    int64_t now_ns;
};
/* A wrong code is counted in the same transaction: commit it also when *ret_ok is false. A code is good once. */
struct mln_err mln_mfa_check(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mfa_try *t,
                             bool *ret_ok);
/* A login that waits for its codes, for five minutes. NOT_FOUND without text. */
struct mln_err mln_mfa_keep(struct mln_cx *cx, struct mln_txn *txn, struct mln_value *pending,
                            int64_t now_ns, const char **ret_id);
struct mln_err mln_mfa_pending(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                               int64_t now_ns, const struct mln_value **ret);
struct mln_err mln_mfa_done(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id);
