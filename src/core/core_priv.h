/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the core room. One file a noun: mounts, router, pipeline, tokens, entities, policies, sys, topics. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "barrier/txn.h"
#include "core/ceremony.h"
#include "core/core.h"
#include "core/quota.h"
#include "core/quota_lease.h"
#include "core/space.h"
#include "policy/acl.h"

#define MLN_PATH_FIRST_TOKEN "auth/token/root" /* of a token that no request asked for: of init, of shares */

/* Core's own rows lie beside the mounts' (whose ids are UUIDs, so they cannot meet): "root/<noun>/". */
static inline struct mln_view
mln_core_view(const char *prefix) /* "root/token/" with its final "/" */
{
    return (struct mln_view){.ns = MLN_NS_ROOT, .prefix = mln_bytes_of(prefix)};
}

/* Rows of the namespace that the transaction stands in: "<ns>/<noun>/". prefix: "policy/" */
static inline struct mln_view mln_home_view(const char *prefix)
{
    return (struct mln_view){.prefix = mln_bytes_of(prefix)};
}

/* ---- mounts (mounts.c): one immutable table, replaced as a whole; view "root/mount/", row "table" ---- */
#define MLN_MOUNTS_MAX 4096u /* of one server: the table is one row and read into memory */
struct mln_mount_table {
    struct mln_arena *arena;
    struct mln_mount *mounts;
    size_t n;
    atomic_uint users;
};
struct mln_core;
struct mln_mount_table *mln_mounts_hold(
    struct mln_core *core); /* the root's; give it back with mln_mounts_release; NULL while sealed */
/* Of any namespace. Tables of others than the root are read when they are needed, and the last MLN_SIDE_TABLES are kept. */
#define MLN_SIDE_TABLES 64u /* about 32 KiB each */
struct mln_err mln_mounts_hold_of(struct mln_cx *cx, struct mln_core *core, struct mln_bytes ns,
                                  struct mln_mount_table **ret);
struct mln_side_table {
    char ns[MLN_NSID_LEN + 1]; /* "" = free */
    struct mln_mount_table *table;
};
void mln_mounts_release(struct mln_mount_table *table);
void mln_mounts_release_drop(struct mln_mount_table **table);
/* The mount with the longest path that `path` starts with; NULL when none. "auth/token" itself finds "auth/token/" too. */
const struct mln_mount *mln_mounts_find(const struct mln_mount_table *table, struct mln_bytes path);
struct mln_err
mln_mounts_load(struct mln_cx *cx, struct mln_core *core,
                struct mln_bytes ns); /* from the store, after a change and at unseal */
void mln_mounts_forget(struct mln_core *core);
/* Rows of the table as values: {"path","type","uuid","accessor","description","options","default_ttl_s","max_ttl_s"}. */
struct mln_err mln_mounts_rows(struct mln_cx *cx, struct mln_txn *txn,
                               const struct mln_value **ret); /* empty array when new */
/* A write below a mount that is gone is NO_ROUTE; one that goes meanwhile makes the commit a CONFLICT. */
struct mln_err mln_mounts_expect(struct mln_cx *cx, struct mln_txn *txn,
                                 const struct mln_mount *mount);
/* Delete rows that unmounting left, one batch a call with its own record; *ret_more: call again. */
struct mln_err mln_mounts_sweep(struct mln_cx *cx, struct mln_core *core, bool *ret_more);
struct mln_err mln_mounts_gone(struct mln_cx *cx, struct mln_txn *txn,
                               const char *uuid); /* of the transaction's namespace: sweep these from now on */
/* Delete rows of a view, at most a batch of them; *ret_all: nothing is left. */
struct mln_err mln_rows_sweep(struct mln_cx *cx, struct mln_core *core, struct mln_txn *txn,
                              struct mln_view view, bool *ret_all);
struct mln_err mln_mounts_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *rows);
struct mln_value *mln_mounts_row(struct mln_cx *cx, const char *path, const char *type,
                                 const char *description, const struct mln_value *options);
const struct mln_engine *mln_engine_find(const struct mln_core *core, const char *type,
                                         enum mln_mount_kind kind);
/* The mount of a namespace by its uuid, as the transaction sees it. NOT_FOUND without text */
struct mln_err mln_mount_of(struct mln_request *rq, struct mln_bytes ns, const char *uuid,
                            struct mln_mount *ret);
/* May a mount stand at this path: its form; nothing there, above or below. INVALID, LIMIT */
struct mln_err mln_mount_check_path(struct mln_cx *cx, struct mln_bytes path);
struct mln_err mln_mount_check_free(struct mln_cx *cx, const struct mln_value *rows,
                                    struct mln_bytes path);
/* Add a row, run the engine's start with it. path: "kv/" or "auth/x/". errors INVALID (in use, unknown type, bad name) */
struct mln_err mln_mount_add(struct mln_request *rq, struct mln_value *row);

/* ---- router (router.c) ---- */
/* Find route and handler for rq->rest at rq->mount, parse captures and fields by the schema. NO_ROUTE, METHOD, INVALID. */
struct mln_err mln_route(struct mln_request *rq);
/* The second half of it: handler and fields for rq->route (NULL: NO_ROUTE) and what it captured. */
struct mln_err mln_route_parse(struct mln_request *rq, const struct mln_value *captures);
/* A handler for MLN_OP_SCAN of any route that may_scan (scan.c). */
struct mln_err mln_scan(struct mln_request *rq, struct mln_reply *re);
static inline bool mln_op_is_list(enum mln_op op) /* of a folder, whose path ends in "/" */
{
    return op == MLN_OP_LIST || op == MLN_OP_SCAN;
}
/* Fields by their schema: from `first` (captures; may be NULL), else from data, else the fallback. INVALID */
struct mln_err mln_fields_parse(struct mln_cx *cx, const struct mln_field *fields,
                                const struct mln_value *first, const struct mln_value *data,
                                struct mln_value *out);
mln_handler mln_route_handler(const struct mln_path *route, enum mln_op op);
/* An engine's tables of paths in the order of looking: NULL behind the last. */
const struct mln_path *mln_route_table(const struct mln_engine *engine, size_t i);
/* Only the route, nothing parsed: NULL when none. */
const struct mln_path *mln_route_find(struct mln_cx *cx, const struct mln_engine *engine,
                                      struct mln_bytes rest, struct mln_value *captures);

struct mln_run;
/* ?help=1: of a path, or of a whole mount (sys_openapi.c). */
struct mln_err mln_help(struct mln_run *run);

/* ---- CORS (cors.c) ---- */
#define MLN_CORS_ROW          "cors"          /* in view "root/sys/": {"allowed_origins", "allowed_headers"}; absent = off */
#define MLN_AUDIT_HEADERS_ROW "audit-headers" /* in view "root/sys/": {"x-name": {"hmac": bool}} */
#define MLN_CORS_BYTES        (1u << 20)      /* two lists of short names */
struct mln_core;
struct mln_err mln_cors_load(struct mln_cx *cx, struct mln_core *core);
void mln_cors_forget(struct mln_core *core);
/*
 * *ret: what the answer's headers say, NULL = nothing. DENIED: the page's requests are refused. A preflight without CORS: INVALID.
 */
struct mln_err mln_cors_judge(struct mln_cx *cx, struct mln_core *core, struct mln_bytes origin,
                              bool is_preflight, const struct mln_value **ret);

/* ---- the core itself (core.c) ---- */
#define MLN_ACL_CACHE 256u /* tables that are kept: one a set of policies, and for entities one a set and entity */
#define MLN_ACL_WAYS  4u   /* places that a set may have in it */
struct mln_acl_entry {
    char *names; /* joined, in order; with an entity's id behind */
    char ns[MLN_NSID_LEN + 1]; /* "root" or the id of the policies' namespace */
    struct mln_acl *acl;
    uint64_t epoch, person_epoch; /* the second 0 without an entity */
    uint64_t used; /* for replacing the one that was not asked for longest */
};
#define MLN_PERSON_CACHE     1024u  /* entities that are kept: about a kilobyte each */
#define MLN_PERSON_BYTES_MAX 65536u /* larger ones are read each time */
struct mln_person_entry {
    char *id;
    char ns[MLN_NSID_LEN + 1];
    uint8_t *bytes; /* what mln_identity_person said, as CBOR */
    size_t len;
    uint64_t epoch;
};
/* Since the start (sys_metrics.c): operation by class of status, 2xx to 5xx. */
struct mln_counts {
    atomic_ullong requests[MLN_OP_SCAN + 1][4];
};
/* A request on its way, for sys/in-flight-req: linked while core answers it (running.c). */
struct mln_run;
struct mln_running {
    struct mln_running *next, **at; /* at: what points here */
    const struct mln_run *run;      /* id, path, op, source, time: they stay as they are meanwhile */
};
/* Locks in this order: seal_lock, tick_lock, gate, load_lock, then the others, each alone. */
struct mln_core {
    struct mln_core_config config; /* texts are copies */
    struct mln_secret home;        /* the locked memory that all this lies in */
    struct mln_store *store;
    struct mln_barrier *barrier;
    struct mln_seal *seal;
    struct mln_ledger *ledger; /* NULL while sealed; under `gate` */
    struct mln_hmac_key token_key; /* under `gate` */
    uint8_t batch_key[32];     /* seals batch tokens; under `gate` */
    pthread_rwlock_t
        gate;            /* read: a request that needs the store open; write: unsealing, sealing */
    atomic_bool is_open; /* unsealed and ready */
    struct mln_kept *kept; /* memory of mounts; under kept_lock */
    pthread_mutex_t kept_lock;
    pthread_mutex_t seal_lock; /* one init or unseal at a time */
    pthread_mutex_t
        load_lock; /* one reading of the mount table at a time: an older one must not replace a newer */
    pthread_rwlock_t mounts_lock;
    struct mln_mount_table *mounts;
    struct mln_side_table side[MLN_SIDE_TABLES]; /* of other namespaces; under mounts_lock */
    pthread_rwlock_t spaces_lock;
    struct mln_spaces *spaces;
    atomic_bool has_spaces;
    size_t space_at; /* the namespace whose ticks come next; of the tick's thread, as the times of rounds */
    int64_t round_ns, last_round_ns;
    pthread_rwlock_t acl_lock;
    struct mln_acl_entry acls[MLN_ACL_CACHE];
    atomic_ullong acl_epoch, acl_clock;
    pthread_rwlock_t person_lock;
    struct mln_person_entry *persons;
    atomic_ullong person_epoch; /* starts at 1 */
    atomic_ullong topic_version; /* the last one given out */
    pthread_mutex_t state_lock;
    struct mln_arena *state_arena; /* what processes said of themselves */
    struct mln_value *state;
    struct mln_cx state_cx;
    struct mln_counts counts;
    struct mln_ceremonies ceremonies;
    struct mln_quotas quotas;
    struct mln_lease_quotas lease_quotas;
    struct mln_lockouts *lockouts; /* failed logins; a lock of its own */
    struct mln_audit *audit; /* audit devices; a lock of its own */
    struct mln_peers *peers; /* processes at the workload socket; a lock of its own */
    pthread_rwlock_t rules_lock;
    atomic_bool has_rules;
    struct mln_governor *rules; /* rules for requests (govern.h), NULL = none; under rules_lock */
    pthread_rwlock_t cors_lock;
    atomic_bool has_cors;
    struct mln_arena *cors_arena;
    const struct mln_value *cors;
    pthread_mutex_t tick_lock;
    int64_t last_tick_ns, last_rotate_ns;
    atomic_llong life_ns; /* the latest time seen: lease_tick.c */
    pthread_mutex_t running_lock;
    struct mln_running *running; /* newest first */
    struct mln_errands {
        pthread_mutex_t lock;
        pthread_cond_t none;
        unsigned n;
        bool is_over;
    } errands; /* work.c */
};
struct mln_err mln_core_unsealed(struct mln_cx *cx, struct mln_core *core,
                                 const char *action); /* open ledger, mounts, keys */
void mln_core_seal_now(struct mln_core *core, bool on_purpose);
/* The same for who holds the gate for writing; monitor is not told. */
struct mln_err mln_core_unsealed_at_gate(struct mln_cx *cx, struct mln_core *core, const char *action);
void mln_core_seal_at_gate(struct mln_core *core);
/* Keys are there and something lies under them: an initialisation that was cut off before its first rows does not count. */
bool mln_core_is_initialized(struct mln_cx *cx, struct mln_core *core);
struct mln_err mln_core_discard_unfinished(struct mln_cx *cx, struct mln_core *core); /* what such a one left */
/* Keys, root token, default mounts; shares in the arena. A Shamir seal is closed again afterwards. errors EXISTS, INVALID */
struct mln_err mln_core_init(struct mln_cx *cx, struct mln_core *core,
                             const struct mln_seal_config *seal, const char *root_token,
                             struct mln_bytes *ret_shares, size_t *ret_n, const char **ret_token);

void mln_count_request(struct mln_core *core, enum mln_op op, int64_t status);
/* Keys below a prefix of the store, at most some millions; no value is opened. */
struct mln_err mln_count_keys(struct mln_cx *cx, struct mln_core *core, struct mln_bytes prefix,
                              uint64_t *ret);
/* That this version runs on this store, unless it is noted (sys_info.c). */
struct mln_err mln_version_note(struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns);
/* When keys are rotated, as sys/rotate/config keeps it (sys_rotate.c). */
struct mln_err mln_rotate_load(struct mln_cx *cx, struct mln_core *core);

/* Who policy judges: names of policies, sorted; person as mln_identity_person says it, NULL for tokens without an entity. */
struct mln_subject {
    struct mln_bytes ns; /* whose policies they are; empty = the root's */
    const struct mln_value *names, *person;
};

/* A snapshot that a request has had checked and that takes the store's place once the request is over (sys_snapshot.c). */
struct mln_restore_wish {
    struct mln_bytes file;
    bool is_force;
};

/* One request on its way (pipeline.c). rq.core points to it. */
struct mln_run {
    struct mln_request rq;
    struct mln_core *core;
    struct mln_core_call *call;
    struct mln_running running;
    struct mln_landing *landing; /* the commit that is waited for; NULL = none */
    unsigned n_tries;
    const struct mln_value *message;
    struct mln_actor actor;
    struct mln_reply reply;
    struct mln_mount_table *table;
    struct mln_spaces *spaces;      /* NULL: there is only the root */
    const struct mln_space *space;  /* of the request; NULL = root */
    const struct mln_space *home;   /* of the token; NULL = root */
    char fresh_ns[MLN_NSID_LEN + 1]; /* a keyring that this request made for a namespace; "" = none */
    bool reload_spaces;
    struct mln_bytes token;        /* as it was sent */
    const struct mln_value *entry; /* the token's, as it lies in the store; NULL for strangers */
    struct mln_value *captures;    /* of rq.route */
    struct mln_value *calls;       /* what engines did through services.call: array or NULL */
    const char *reason;            /* of the decision: "policy", "root", "open", "no token", ... */
    unsigned depth;                /* of services.call */
    uint64_t topic_version;        /* before the transaction began */
    struct mln_subject subject;    /* what policy judges; names NULL for strangers */
    bool has_blocked, reload_mounts, changed_policies, changed_identity, changed_quotas, changed_lease_quotas, changed_cors, seals;
    bool changed_rules;
    const struct mln_value *cors; /* what the answer tells a web page, or NULL */
    const struct mln_restore_wish *restore; /* NULL = none */
    bool mfa_done; /* the second factor was checked */
    struct mln_rate rate; /* what the limit of this path says */
    bool reload_audit;
    const char *attempt; /* the name that tries to log in; NULL = none */
    const struct mln_mount *attempt_mount;
    struct mln_audit_run *audit; /* devices that hear of this request; NULL = none (yet) */
    bool has_audit_request;      /* its first line is made */
    bool is_system;   /* the system's own work: everything is allowed */
    bool is_refused;  /* by token or policy: recorded as denied */
    bool is_off;      /* its path is turned off: told in one line, as Vault's server tells it before its core hears of it */
    const char *rule; /* the pattern that decided */
    const char *lease_id; /* of reply.lease, "" = none */
    int64_t lease_ttl_s;
    bool lease_renewable;
    int64_t wrap_ttl_s;                /* as asked for; 0 = plain */
    const struct mln_value *wrap_info; /* the answer instead of the reply */
    const struct mln_value *unwrapped; /* an ANSWER that was put away: given as it was */
    bool is_use_spent;                 /* the handler spent the token's use itself */
    uint64_t ledger_index;
    struct mln_value *topics; /* array of [name, value] to publish after the commit */
    struct mln_after *after;  /* what waits for the commit, newest first */
};
extern const struct mln_services mln_core_services;
/* ---- the system's own work (work.c) ---- */
struct mln_system_job {
    struct mln_mount_table *table;
    const struct mln_mount *mount;
    const char *name; /* of the record, the mount's path behind it: "tick" */
    struct mln_err (*fn)(struct mln_request *rq, void *arg);
    void *arg;
};
/* A transaction, a record if it wrote, what waits for the commit. At the gate. Topics are added to the list */
struct mln_err mln_system_work(struct mln_cx *cx, struct mln_core *core, const struct mln_system_job *work, struct mln_value *topics);
void mln_errands_init(struct mln_core *core);
void mln_errands_end(struct mln_core *core); /* none begins any more; those that run are waited for */
void mln_errands_fini(struct mln_core *core);
struct mln_err mln_errand(struct mln_request *rq, const struct mln_value *ask, mln_then then, const struct mln_value *arg);
/* ---- memory of mounts and work after commits (keep.c) ---- */
struct mln_err mln_keep(struct mln_request *rq, void *(*make)(void), void (*drop)(void *), void **ret);
void mln_kept_forget(struct mln_core *core);
void mln_after(struct mln_request *rq, struct mln_err (*fn)(struct mln_request *rq, void *arg), void *arg);
/* Run what waits for the commit of run; it may publish topics. */
void mln_after_run(struct mln_run *run);
struct mln_err mln_run_begin(struct mln_cx *cx, struct mln_core *core,
                             struct mln_run *run); /* id, time, actor "system" */
struct mln_err mln_run_txn(struct mln_run *run); /* a new transaction of the request, in its namespace */
void mln_run_block(struct mln_run *run); /* the thread will sleep or work long: hand the ring on */
struct mln_err mln_run_may(struct mln_run *run, unsigned capability, struct mln_bytes path,
                           const struct mln_value *data);
void mln_run_answer(struct mln_run *run, struct mln_err err, struct mln_buf *answer); /* answer.c */
void mln_answer_short(struct mln_buf *answer, size_t before); /* "out of memory"; what lies behind `before` goes */
void mln_run_reply(struct mln_run *run, struct mln_value *out); /* the members of an ANSWER that a reply makes */
extern const struct mln_actor mln_stranger;
struct mln_err mln_run_handle(struct mln_run *run); /* one try, up to its record */
/*
 * gate.c: the tries of a request, and with `landing` the rest of one whose commit has ended. The gate is held meanwhile. May come
 * back with `landing` set: that commit is on its way.
 */
struct mln_err mln_run_pass_gate(struct mln_run *run);
/* record.c: commits with a mutation, notes everything else, counts strangers; err: how the try ended. CONFLICT: try again. */
struct mln_err mln_run_finish(struct mln_run *run, struct mln_err err);
/* The same, when the commit that was waited for has ended. */
struct mln_err mln_run_landed(struct mln_run *run);
/* The content of the record of this run. digests may be NULL. */
void mln_run_record(struct mln_run *run, struct mln_err err, const struct mln_value *digests,
                    struct mln_record *ret);
static inline struct mln_run *mln_run_of(const struct mln_request *rq)
{
    return rq->core;
}

/*
 * ---- topics (topics.c) ---- Versions are one count for all topics that starts at the time of opening, so that it grows over restarts.
 * Hand on what the run published; holding no lock.
 */
void mln_topics_publish(struct mln_run *run);
uint64_t mln_topics_version(const struct mln_core *core);

/* ---- tokens (token.c and its siblings) ----
 * Id: "hvs." and 24 base62 characters, and ".<id>" of a namespace that is not the root; names and accessors end so too, and a row
 * "ns/<namespace>/<name>" lists them. At rest, in view "root/token/": "id/<name>" the entry, where the name is an HMAC of the id
 * under the derived key 'token' in 24 base62 characters and is the accessor as well; "parent/<name>/<child>" the tree;
 * "path/<path>/<name>" where a login made it; "expiry/<16 hex digits of ns>/<name>" what a tick walks in order; "gone/<name>" what a
 * revoked token left to be swept; "role/<name>" roles. docs/tokens.md has the members of an entry.
 * A token is dead when its own row or that of an ancestor is gone or expired: revoking a tree is one small batch, sweeping is later.
 * Batch tokens ("hvb.") are their own entry, sealed: nothing of them is stored.
 */
struct mln_token_spec {
    const char *id;                   /* NULL = random */
    const struct mln_value *policies; /* final array, already with or without "default" */
    const char *display_name, *entity_id, *entity_name,
        *path; /* path: what made it, "auth/token/create" */
    const struct mln_value *meta;
    int64_t ttl_s; /* 0 = never expires (root only) */
    int64_t max_ttl_s, explicit_max_ttl_s, period_s, num_uses;
    const struct mln_value *parent; /* entry, NULL = orphan */
    bool is_renewable, is_batch;
    bool is_of_root;                     /* root made it, or what root made; also an orphan */
    bool is_in_name;                     /* made with an entity_alias: nobody logged in for it */
    bool is_wrap;                        /* holds a wrapped answer: good for unwrapping alone */
    const char *auth_mount, *auth_uuid;  /* of a login; NULL = auth/token/ */
    const char *role;                    /* of auth/token, or NULL */
    const struct mln_value *bound_cidrs; /* array of texts or NULL */
    const struct mln_value *internal;    /* for the method's renew_login, or NULL */
};
/* ret_auth: the envelope's auth object (client_token secret); ret_entry may be NULL. */
struct mln_err mln_token_create(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                int64_t now_ns, const struct mln_token_spec *spec,
                                const struct mln_value **ret_auth,
                                const struct mln_value **ret_entry);
/* The live entry of a token as a client sent it. UNAUTHENTIC when unknown, expired or used up (no text). Reads only. */
struct mln_err mln_token_find(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                              int64_t now_ns, struct mln_bytes token,
                              const struct mln_value **ret_entry);
/* May it be used from this address? */
bool mln_token_may_come_from(const struct mln_value *entry, const char *source);
/* One use of a use-limited token is spent (a write of txn); does nothing for others. The last use revokes it. */
struct mln_err mln_token_use(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                             const struct mln_value *entry);
/* The token and all its children. */
struct mln_err mln_token_revoke(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *entry);
void mln_token_actor(struct mln_cx *cx, const struct mln_value *entry, struct mln_actor *ret);
/* What a login asks for, as a token: entity by alias, TTLs of mount and system, the auth object. */
struct mln_err mln_token_login(struct mln_request *rq, const struct mln_login *login,
                               const struct mln_value **ret_auth);
/*
 * Does this login wait for, or fail at, a second factor (sys_mfa.c)? *ret_waits: no token now; *ret_auth: what is needed, unless
 * refused.
 */
struct mln_err mln_mfa_login(struct mln_request *rq, const struct mln_login *login, const char *entity_id,
                             const struct mln_value **ret_auth, bool *ret_waits);
bool mln_token_is_batch(const struct mln_value *entry);
bool mln_token_is_wrap(const struct mln_value *entry);
struct mln_bytes mln_token_ns(const struct mln_value *entry); /* id of its namespace */
extern const struct mln_engine mln_method_token; /* auth/token: type "token" */

/* ---- lifetimes (lease_tick.c): what is due, in bounded batches ---- */
/*
 * The time for lifetimes: the wall clock, but never before what was seen until all that was due then is gone, so that a clock that
 * jumps back revives nothing. Any thread.
 */
int64_t mln_life_ns(struct mln_core *core, int64_t now_ns);
/* Tokens and leases that expired, trees of revoked tokens, leases of mounts that are gone: for at most about a second. */
void mln_life_tick(struct mln_core *core, struct mln_cx *cx, int64_t now_ns);
/* Keys below a store prefix (their rest, in order) behind `after`, none above `until` (both may be empty), at most max. In the arena. */
struct mln_err mln_life_keys(struct mln_core *core, struct mln_cx *cx, struct mln_bytes prefix,
                             struct mln_bytes after, struct mln_bytes until, size_t max,
                             struct mln_value *ret);

/* A row that is absent, or damaged: that is logged and forgotten, so that one bad row stops no tick; what points to it can go. */
bool mln_life_is_lost(struct mln_cx *cx, struct mln_err err);

/* ---- leases (lease.c and its siblings) ----
 * View "root/lease/": "id/<lease id>" the lease, "expiry/<16 hex digits of ns>/<lease id>", "token/<token name>/<lease id>",
 * "bad/<lease id>" when revoking it failed for good, "job/<prefix>" what ticks empty, "mount/<uuid>" a mount that is gone and whose
 * leases are not yet.
 */
/* Make the lease that a handler asked for; fills run's lease members when rq is the outermost. */
struct mln_err mln_lease_make(struct mln_request *rq, const struct mln_lease *asked);
/* In the transaction that unmounts: its leases and the tokens of its logins are to go. */
struct mln_err mln_lease_mount_gone(struct mln_request *rq, const char *uuid);
/* Does this namespace have leases? Those that nothing could revoke are deleted, at most max a call. */
struct mln_err mln_lease_space_is_busy(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns,
                                       size_t max, bool *ret);
/* Are leases of an unmounted engine left? Its rows must stay as long. */
struct mln_err mln_lease_mount_is_busy(struct mln_cx *cx, struct mln_txn *txn, const char *uuid,
                                       bool *ret);

/* ---- response wrapping (wrap.c) ---- */
/* X-Vault-Wrap-TTL; 0 = not asked for. INVALID */
struct mln_err mln_wrap_ttl(struct mln_cx *cx, struct mln_bytes header, int64_t *ret_s);
/* The row of a wrapping token's name: sealed under the keyring of its namespace. */
struct mln_view mln_wrap_view(struct mln_bytes name);
/* Put the run's reply away under a new wrapping token; sets run->wrap_info. */
struct mln_err mln_wrap_reply(struct mln_run *run);

/* ---- entities (entity.c): a person or workload behind the aliases of auth mounts; the rows are src/identity's ---- */
/* Policies and person behind a token's entry. UNAUTHENTIC without text: its entity is disabled or gone. */
struct mln_err mln_subject_of(struct mln_core *core, struct mln_cx *cx, const struct mln_value *entry,
                              struct mln_subject *ret);
/* What mln_identity_person says, from memory while nothing has changed. NOT_FOUND without text. */
struct mln_err mln_person_find(struct mln_core *core, struct mln_cx *cx, struct mln_bytes ns, const char *id,
                               const struct mln_value **ret);
void mln_persons_forget(struct mln_core *core); /* wipe the cache */
/* identity_policies of a token's entity into an answer of its lookup; absent when there are none. */
struct mln_err mln_entity_show(struct mln_request *rq, const struct mln_value *entry,
                               struct mln_value *data);
/* The same for the auth object of an answer, whose policies are then all of both kinds. */
struct mln_err mln_entity_show_auth(struct mln_request *rq, const struct mln_value **auth);
/* Entity of a login; fills entity_id and entity_name. DENIED when it is disabled. */
struct mln_err mln_entity_login(struct mln_request *rq, const struct mln_login *login,
                                struct mln_token_spec *spec);

/* ---- policies (policies.c): texts in view "root/policy/"; compiled and cached by text digest ---- */
#define MLN_POLICY_DEFAULT_NAME "default"
/*
 * Run `use` with the compiled table of these policies, which stays for the call only.
 * names: array, sorted, as tokens carry them; unknown ones allow nothing.
 */
struct mln_err mln_policies_use(
    struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *names,
    struct mln_err (*use)(void *arg, struct mln_cx *cx, const struct mln_acl *acl), void *arg);
/* The same for who may have an entity: templates in paths are filled in for it. */
struct mln_err mln_policies_use_as(
    struct mln_core *core, struct mln_cx *cx, const struct mln_subject *subject,
    struct mln_err (*use)(void *arg, struct mln_cx *cx, const struct mln_acl *acl), void *arg);
struct mln_err mln_policies_start(struct mln_cx *cx,
                                  struct mln_txn *txn); /* the default policy, at init */
void mln_policies_forget(struct mln_core *core);        /* wipe the cache */
extern const struct mln_engine mln_system;              /* sys/: type "system" */

/* ---- lockouts (lockout.c): too many failed logins of one name ---- */
struct mln_lockouts *mln_lockouts_new(void); /* NULL: no memory */
void mln_lockouts_free(struct mln_lockouts *lockouts);
struct mln_err mln_lockout_attempt(struct mln_request *rq, const char *alias); /* services.attempt */
void mln_lockout_ended(struct mln_run *run, struct mln_err err); /* after the last try, without a transaction */
void mln_lockout_tick(struct mln_cx *cx, struct mln_core *core, int64_t now_ns);
struct mln_err mln_lockout_rows(struct mln_request *rq, const char *uuid, const struct mln_value **ret); /* names */
struct mln_err mln_lockout_unlock(struct mln_request *rq, const char *uuid, const char *alias);

/*
 * ---- audit devices (audit.c) ---- They stand beside the ledger. Of each request that is not exempt a line is made before the engine
 * runs and one of its answer; when devices are enabled and none takes a line, the request fails.
 */
struct mln_audit *mln_audit_new(void); /* NULL: no memory */
void mln_audit_free(struct mln_audit *audit);
struct mln_err mln_audit_start(struct mln_cx *cx, struct mln_core *core); /* at unseal: the configuration's devices, then all */
struct mln_err mln_audit_load(struct mln_cx *cx, struct mln_core *core);  /* from the store, after a change */
void mln_audit_forget(struct mln_audit *audit);                           /* at seal */
void mln_audit_reopen(struct mln_audit *audit);
/* The request's line, once, whatever err says of it so far; returns err or that nobody took it. */
struct mln_err mln_audit_request(struct mln_run *run, struct mln_err err);
/* Write now what was made and waits for the answer: before a commit, before anything outside hears of the request. */
struct mln_err mln_audit_flush(struct mln_run *run);
/* The answer's line; returns err or that nobody took it, and then the reply is gone. */
struct mln_err mln_audit_response(struct mln_run *run, struct mln_err err);
void mln_audit_release(struct mln_run *run);
/* "hmac-sha256:<hex>" of input as the device at path writes it. errors INVALID */
struct mln_err mln_audit_hash(struct mln_core *core, struct mln_cx *cx, const char *path, struct mln_bytes input,
                              const char **ret);

/* ---- peers (peer.c) ---- */
/* rq->peer by the message's number; may sleep: under no lock. errors UNREACHABLE (not attested), DENIED (its process is gone) */
struct mln_err mln_peer_resolve(struct mln_run *run);

/* ---- snapshots (sys_snapshot.c) ---- */
/* What run->restore wishes, with no lock held; on an error the store is what it was, and open. */
struct mln_err mln_core_restore(struct mln_run *run);

/* ---- requests on their way (running.c) ---- */
void mln_running_add(struct mln_core *core, struct mln_running *one, const struct mln_run *run);
void mln_running_remove(struct mln_core *core, struct mln_running *one);
/* {"<request id>": {"start_time", "client_remote_address", "request_path", "request_method", "client_id"}} */
const struct mln_value *mln_running_rows(struct mln_cx *cx, struct mln_core *core);

/* ---- pipeline (pipeline.c) ---- */
struct mln_core *mln_core_of(const struct mln_request *rq); /* what rq->core leads to */
/*
 * Commit a transaction of the system's own work with one SYSTEM record of `action` ("expire tokens"); ends nothing: the caller still
 * ends txn. Nothing written: no record. errors as mln_store_commit, CONFLICT included.
 */
struct mln_err mln_core_commit(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                               const char *action, const struct mln_value *detail);
