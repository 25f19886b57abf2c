/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the core room. One file a noun: mounts, router, pipeline, tokens, entities, policies, sys, topics. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "barrier/txn.h"
#include "core/core.h"
#include "policy/acl.h"

struct mln_mounts;
struct mln_acl_cache;
struct mln_run;

#define MLN_PROCESSES_MAX 8 /* kinds of process that tell their state */

/*
 * Locks, in this order: life, reload, caches, states. Requests hold `life` shared from beginning to end, so that sealing waits
 * for what runs; unsealing and sealing hold it alone. `caches` is held only to take or swap a reference.
 */
struct mln_core {
    struct mln_core_config config; /* texts are own copies */
    struct mln_secret home;        /* the locked memory that all of this lies in */
    struct mln_store *store;
    struct mln_barrier *barrier;
    struct mln_seal *seal;
    struct mln_ledger *ledger;        /* NULL while sealed */
    uint8_t token_key[MLN_KEY_BYTES]; /* zero while sealed */
    _Atomic bool is_unsealed;
    pthread_rwlock_t life;
    pthread_mutex_t reload; /* one rebuilding of the mount table at a time */
    pthread_rwlock_t caches;
    struct mln_mounts *mounts; /* sealed: only "sys/" */
    struct mln_acl_cache *acls;
    _Atomic uint64_t epoch;         /* of policies: grows with every change of one */
    _Atomic uint64_t topic_version; /* last one given out; starts at the time of opening, so that it grows over restarts */
    int64_t rotation_due_ns;        /* of mln_core_tick's thread */
    int64_t opened_ns;
    pthread_mutex_t states;
    struct {
        char *process;
        uint8_t *cbor;
        size_t len;
    } process[MLN_PROCESSES_MAX];
    char vkey[256];
    char cluster_id[37];
};

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

/* ---- mounts (mounts.c): where engines stand; rows in view "root/mount/": "id/<uuid>" the mount, "epoch" a count of changes ---- */
struct mln_mount_entry {
    struct mln_mount mount;
    const struct mln_value *row; /* as it lies in the store */
    _Atomic int64_t due_ns;      /* of the engine's next tick */
};
/* An immutable table, sorted by path; lives until its last reference is gone. */
struct mln_mounts {
    _Atomic uint32_t refs;
    struct mln_arena *arena;
    struct mln_mount_entry *entries;
    size_t n;
};
struct mln_mounts *mln_mounts_ref(struct mln_core *core);
void mln_mounts_unref(struct mln_mounts *mounts); /* NULL is fine */
void mln_mounts_drop(struct mln_mounts **mounts);
/* The mount with the longest path that `path` begins with ("secret" finds "secret/" too); NULL when none. */
struct mln_mount_entry *mln_mounts_find(const struct mln_mounts *mounts, struct mln_bytes path);
struct mln_err mln_mounts_read(struct mln_cx *cx, struct mln_core *core, struct mln_txn *txn, struct mln_mounts **ret);
/* Read the table anew and let new requests use it. */
struct mln_err mln_mounts_reload(struct mln_cx *cx, struct mln_core *core);
struct mln_err mln_mounts_sealed(struct mln_cx *cx, struct mln_core *core); /* only "sys/" from now on */
/* The rows of a new installation. Part of txn. */
struct mln_err mln_mounts_defaults(struct mln_cx *cx, struct mln_core *core, struct mln_txn *txn);
/* CONFLICT-proof: a write below a mount that is gone is NO_ROUTE, and one that goes meanwhile makes the commit a CONFLICT. */
struct mln_err mln_mounts_expect(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mount *mount);
/* Delete rows of mounts that are gone, in batches with their own records; *ret_more: there is work left. */
struct mln_err mln_mounts_sweep(struct mln_cx *cx, struct mln_core *core, bool *ret_more);
const struct mln_engine *mln_core_engine(const struct mln_core *core, struct mln_bytes type, enum mln_mount_kind kind);
/* Handlers of sys/mounts and sys/auth (sys_mounts.c). */
struct mln_err mln_sys_mounts_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_mount_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_mount_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_mount_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_ui_mounts(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_ui_mount(struct mln_request *rq, struct mln_reply *re);

/* ---- router (router.c, fields.c): pure ---- */
/* The first pattern that matches; captures: object of texts, borrowed from rest. NULL when none. */
const struct mln_path *mln_router_match(struct mln_cx *cx, const struct mln_engine *engine, struct mln_bytes rest,
                                        const struct mln_value **ret_captures);
bool mln_router_pattern(const char *pattern, struct mln_bytes path, struct mln_value *captures, struct mln_cx *cx);
mln_handler mln_router_handler(const struct mln_path *route, enum mln_op op);
const char *mln_op_name(enum mln_op op);
bool mln_op_parse(struct mln_bytes text, enum mln_op *ret);
/* Captures and data by the schema of the route. INVALID with the field's name. */
struct mln_err mln_fields_parse(struct mln_cx *cx, const struct mln_path *route, const struct mln_value *captures,
                                const struct mln_value *data, const struct mln_value **ret);

/* ---- policies (policies.c): texts in view "root/policy/"; compiled tables cached by the set of names ---- */
struct mln_acl_entry {
    struct mln_acl *acl;
    _Atomic uint32_t refs;
    struct mln_acl_entry *next; /* private */
    size_t key_n;
    uint8_t key[];
};
struct mln_err mln_acls_new(struct mln_cx *cx, struct mln_acl_cache **ret);
void mln_acls_free(struct mln_acl_cache *cache);
/* epoch: core->epoch, loaded before txn began, so that what an older snapshot says is not kept. Release with mln_acls_put. */
struct mln_err mln_acls_get(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, uint64_t epoch, const struct mln_value *names,
                            struct mln_acl_entry **ret);
void mln_acls_put(struct mln_acl_entry *entry); /* NULL is fine */
void mln_acls_forget(struct mln_core *core);    /* after a change was committed */
struct mln_err mln_policies_defaults(struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns);
struct mln_err mln_sys_policies_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_policy_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_policy_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_policy_remove(struct mln_request *rq, struct mln_reply *re);

/* ---- life (life.c): all of these with `life` held alone ---- */
struct mln_err mln_life_init(struct mln_cx *cx, struct mln_core *core, const struct mln_seal_config *config, const char *root_token,
                             struct mln_bytes *ret_shares, size_t *ret_n, const char **ret_token);
/* One share; unseals when it was the last one needed. */
struct mln_err mln_life_give(struct mln_cx *cx, struct mln_core *core, struct mln_bytes share);
/* The barrier is open: ledger, keys, mounts; a record of `action`. Sealed again when something fails. */
struct mln_err mln_life_open(struct mln_cx *cx, struct mln_core *core, const char *action);
void mln_life_seal(struct mln_core *core);
/* Locks for the files of this room. */
void mln_life_lock(struct mln_core *core, bool is_alone);
void mln_life_unlock(struct mln_core *core);
extern const struct mln_engine mln_system; /* sys/: type "system" */
struct mln_err mln_sys_health(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_init_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_init_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_seal_status(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_unseal(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_seal(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_leader(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_status(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_key_status(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_rotate(struct mln_request *rq, struct mln_reply *re);
/* sys_ledger.c */
struct mln_err mln_sys_ledger_file(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_ledger_entries(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_ledger_proof(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_ledger_prune(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_verify_store(struct mln_request *rq, struct mln_reply *re);
/* sys_capabilities.c */
struct mln_err mln_sys_capabilities(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_capabilities_self(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_capabilities_accessor(struct mln_request *rq, struct mln_reply *re);
struct mln_err mln_sys_resultant_acl(struct mln_request *rq, struct mln_reply *re);

/* ---- pipeline (pipeline.c, run.c, services.c, record.c, answer.c) ---- */
enum mln_after { MLN_AFTER_SEAL = 1, MLN_AFTER_MOUNTS = 2, MLN_AFTER_POLICIES = 4 };

struct mln_publication {
    const char *topic;
    const struct mln_value *value;
    struct mln_publication *next;
};

/* One request on its way; rq->core points to it. */
struct mln_run {
    struct mln_core *core;
    struct mln_cx *cx;
    const struct mln_core_call *call;
    const struct mln_value *message, *data;
    enum mln_op op;
    struct mln_bytes path, token;
    const char *source;
    char id[37];
    bool has_blocked;
    int64_t now_ns;
    /* of one try; the commit may ask for another */
    uint64_t epoch;
    struct mln_mounts *mounts;
    struct mln_mount_entry *mount; /* NULL: no such mount */
    const struct mln_path *route;  /* NULL: no such path */
    const struct mln_value *captures;
    struct mln_txn *txn;
    const struct mln_value *entry; /* the token's, as it lies in the store */
    struct mln_actor actor;
    struct mln_acl_entry *acl; /* NULL: root, or a stranger */
    struct mln_request rq;
    struct mln_reply re;
    bool is_allowed;
    const char *reason;     /* of the decision */
    struct mln_bytes rule;  /* that won */
    struct mln_value *calls; /* sub-acts, array or NULL */
    unsigned depth;          /* of services.call */
    unsigned after;          /* enum mln_after */
    struct mln_publication *first, *last;
    uint64_t index; /* of the record, UINT64_MAX when not known */
};

struct mln_core *mln_core_of(const struct mln_request *rq); /* what rq->core leads to */
static inline struct mln_run *mln_run_of(const struct mln_request *rq)
{
    return rq->core;
}
extern const struct mln_services mln_core_services;
/* Everything of a try that must be given back; the run can be tried again. */
void mln_run_reset(struct mln_run *run);
struct mln_err mln_run_route(struct mln_run *run);
/* Fills run->rq for run->route and calls it: fields, handler. */
struct mln_err mln_run_handle(struct mln_run *run);
void mln_run_block(struct mln_run *run); /* before the thread sleeps or works long */
/* May the actor? Sets reason and rule. DENIED with Vault's text. */
struct mln_err mln_run_authorise(struct mln_run *run);
bool mln_run_may(struct mln_run *run, struct mln_bytes path, unsigned capability);

/* record.c */
/* After a try that succeeded or failed with err: the record and, when there is something written, the commit. */
struct mln_err mln_run_record(struct mln_run *run, struct mln_err err);
/* A SYSTEM record without a mutation. */
struct mln_err mln_core_note(struct mln_core *core, struct mln_cx *cx, const char *action, const struct mln_value *detail);
/*
 * Commit a transaction of the system's own work with one SYSTEM record of `action` ("expire tokens"); ends nothing: the caller still
 * ends txn. Nothing written: no record. errors as mln_store_commit, CONFLICT included.
 */
struct mln_err mln_core_commit(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const char *action,
                               const struct mln_value *detail);
/* answer.c */
void mln_run_answer(struct mln_run *run, struct mln_err err, struct mln_buf *answer);
/* topics.c: hand on what the handlers published, after it is committed. */
void mln_topics_publish(struct mln_core *core, const struct mln_run *run);
