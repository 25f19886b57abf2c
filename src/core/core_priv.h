/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the core room. One file a noun: mounts, router, pipeline, tokens, entities, policies, sys, topics. */
#pragma once

#include <pthread.h>

#include "barrier/txn.h"
#include "core/core.h"
#include "policy/acl.h"

/* Core's own rows lie beside the mounts' (whose ids are UUIDs, so they cannot meet): "root/<noun>/". */
static inline struct mln_view mln_core_view(const char *prefix) /* "root/token/" with its final "/" */
{
    return (struct mln_view){.ns = MLN_NS_ROOT, .prefix = mln_bytes_of(prefix)};
}

/* ---- tokens (token.c, token_paths.c) ----
 * Id: "hvs." and 24 base62 characters (batch tokens come later). At rest: row "id/<hex HMAC-SHA-256 of the id under the derived
 * key 'token'>" and row "accessor/<accessor>" -> that name, "parent/<hex>/<child hex>" for revocation trees, all in view
 * "root/token/". An entry is an object: {"name": hex, "accessor", "policies":[...], "display_name", "entity_id", "entity_name",
 * "path", "meta", "created_ns", "expires_ns" (0 = never), "ttl_s", "max_ttl_s", "explicit_max_ttl_s", "period_s", "num_uses",
 * "renewable", "orphan", "parent": hex or "", "type":"service", "root_child": bool, "auth_mount"}.
 */
struct mln_token_spec {
    const char *id;              /* NULL = random */
    const struct mln_value *policies; /* final array, already with or without "default" */
    const char *display_name, *entity_id, *entity_name, *path; /* path: what made it, "auth/token/create" */
    const struct mln_value *meta;
    int64_t ttl_s;               /* 0 = never expires (root only) */
    int64_t max_ttl_s, explicit_max_ttl_s, period_s, num_uses;
    const struct mln_value *parent; /* entry, NULL = orphan */
    bool is_renewable;
    const char *auth_mount;
};
/* ret_auth: the envelope's auth object (client_token secret); ret_entry may be NULL. */
struct mln_err mln_token_create(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns,
                                const struct mln_token_spec *spec, const struct mln_value **ret_auth, const struct mln_value **ret_entry);
/* The live entry of a token as a client sent it. UNAUTHENTIC when unknown, expired or used up (no text). Reads only. */
struct mln_err mln_token_find(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns, struct mln_bytes token,
                              const struct mln_value **ret_entry);
/* One use of a use-limited token is spent (a write of txn); does nothing for others. The last use revokes it. */
struct mln_err mln_token_use(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry);
/* The token and all its children. */
struct mln_err mln_token_revoke(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry);
void mln_token_actor(struct mln_cx *cx, const struct mln_value *entry, struct mln_actor *ret);
/* What a login asks for, as a token: entity by alias, TTLs of mount and system, the auth object. */
struct mln_err mln_token_login(struct mln_request *rq, const struct mln_login *login, const struct mln_value **ret_auth);
/* Revoke what has expired, at most `max` a call (a transaction of its own, recorded). */
struct mln_err mln_token_expire(struct mln_core *core, struct mln_cx *cx, int64_t now_ns, size_t max);
extern const struct mln_engine mln_method_token; /* auth/token: type "token" */

/* ---- entities (entity.c): a person or workload behind an auth mount's alias; view "root/entity/" ---- */
struct mln_err mln_entity_find_or_make(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mount *mount, const char *alias,
                                       int64_t now_ns, const char **ret_id, const char **ret_name);

/* ---- policies (policies.c): texts in view "root/policy/"; compiled and cached by text digest ---- */
struct mln_err mln_policies_of(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *names,
                               const struct mln_acl **ret, size_t *ret_n);
extern const struct mln_engine mln_system; /* sys/: type "system" */

/* ---- pipeline (pipeline.c) ---- */
struct mln_core *mln_core_of(const struct mln_request *rq); /* what rq->core leads to */
/*
 * Commit a transaction of the system's own work with one SYSTEM record of `action` ("expire tokens"); ends nothing: the caller still
 * ends txn. Nothing written: no record. errors as mln_store_commit, CONFLICT included.
 */
struct mln_err mln_core_commit(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const char *action,
                               const struct mln_value *detail);
