/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler gets and gives. All memory is in the arena of rq->cx. */
#pragma once

#include "base/value.h"
#include "contract/view.h"

struct mln_txn; /* barrier/txn.h */
struct mln_engine;
struct mln_path;

enum mln_op { MLN_OP_READ, MLN_OP_LIST, MLN_OP_WRITE, MLN_OP_PATCH, MLN_OP_DELETE, MLN_OP_HELP, MLN_OP_SCAN };

enum mln_actor_kind {
    MLN_ACTOR_STRANGER,
    MLN_ACTOR_TOKEN,
    MLN_ACTOR_SYSTEM,
    MLN_ACTOR_PEER,
    MLN_ACTOR_BEARER, /* no token of ours, but one of others that the handler verified: services.vouch */
};

/* A process at the other end of the workload socket, as the attest process found it when it connected. */
struct mln_peer {
    uint64_t number; /* of the connection: random, never used twice, below 2^63 */
    int64_t pid;
    uint32_t uid, gid;
    const struct mln_value *selectors; /* array of texts "type:value" ("unix:uid:1000"), sorted, each once */
};

/* Who asks. Strings are NUL-ended, "" when absent. */
struct mln_actor {
    enum mln_actor_kind kind;
    bool is_root;              /* the token carries the root policy */
    const char *accessor;
    const char *display_name;  /* "userpass-alice", "root", "token" */
    const char *entity_id;     /* a person or workload behind an auth mount's alias; "" for root and bare tokens */
    const char *entity_name;   /* e.g. "alice" */
    const char *auth_path;     /* "auth/userpass/login/alice", "auth/token/root" */
    const struct mln_value *policies; /* array of names */
    const struct mln_value *meta;     /* object or NULL */
    const struct mln_value *token;    /* the whole token entry (core's, without its id), NULL for strangers */
};

/* A mount: where an engine stands. Lives as long as the request. */
struct mln_mount {
    const char *path;     /* "secret/", "auth/userpass/", "sys/" */
    const char *type;
    const char *uuid;
    const char *accessor; /* "kv_1a2b3c4d" */
    const char *description;
    const struct mln_value *options; /* {"version":"2"} or NULL */
    const struct mln_value *config;  /* further settings as sys/mounts shows them ("token_type", "listing_visibility", ...) or NULL */
    int64_t default_ttl_s, max_ttl_s; /* 0 = system default */
    const struct mln_engine *engine;
    struct mln_view view;
};

struct mln_request;
struct mln_reply;

/* A lease: what was handed out dies with it. ttl_s 0 = the mount's default; max_ttl_s 0 = the mount's maximum. */
struct mln_lease {
    int64_t ttl_s, max_ttl_s;
    bool is_renewable;
    const struct mln_value *internal; /* object kept sealed with the lease, handed to the engine's renew and revoke */
};

/*
 * What goes on when the world outside has answered (services.errand). answer NULL: it could not be had, `why` says so; else why NULL.
 * May run more than once when its transaction meets another's writes. Errors are logged.
 */
typedef struct mln_err (*mln_then)(struct mln_request *rq, const struct mln_value *arg, const struct mln_value *answer,
                                   const char *why);

/* What handlers may ask of the core. */
struct mln_services {
    /*
     * Run another route inside this request's transaction, with the system's authority on behalf of the actor (the caller has
     * decided that it may). path is full ("transit/encrypt/k"). The sub-act is named in the same ledger record.
     */
    struct mln_err (*call)(struct mln_request *rq, enum mln_op op, const char *path, const struct mln_value *data, struct mln_reply *re);
    /* May the actor do `capability` ("read", "update", ...) on the full path? */
    bool (*may)(struct mln_request *rq, const char *path, const char *capability);
    /* Publish a new version of a topic ("release/rel-0123"): streams that follow it get the value. */
    void (*publish)(struct mln_request *rq, const char *topic, const struct mln_value *value);
    /* The worker will be busy or asleep for long: hand the ring to another first. Idempotent. */
    void (*block)(struct mln_request *rq);
    /*
     * Ask the world outside through the reach process; calls block() first. Refused where no reach runs.
     * ask     {"kind":"http", "method", "url", "headers":{}, "body", "ca_pem", "timeout_ms"} or {"kind":"ldap", ...} (net/reach.h)
     * answer  of http: {"status", "headers":{}, "body"}. Errors are those of reaching (UNREACHABLE, DENIED by the allow-list,
     *         TIMEOUT, TOO_LARGE), not of what was answered.
     */
    struct mln_err (*reach)(struct mln_request *rq, const struct mln_value *ask, const struct mln_value **ret);
    /*
     * The same without waiting: `then` runs as the system, later and on another thread, in a transaction and a record of its own with
     * the mount as it is by then. Not when the server is sealed or the mount gone meanwhile. ask and arg are copied.
     * errors UNSUPPORTED (nothing is reached from here), LIMIT (16 run), MEMORY, INVALID (the ask)
     */
    struct mln_err (*errand)(struct mln_request *rq, const struct mln_value *ask, mln_then then, const struct mln_value *arg);
    /*
     * An entity as identity keeps it: {"id","name","metadata":{},"disabled","policies":[],"aliases":[{"id","name","mount_accessor",
     * "metadata":{},"custom_metadata":{}}],"groups":[{"id","name","metadata":{}}]} (groups: direct and inherited). NOT_FOUND.
     */
    struct mln_err (*entity)(struct mln_request *rq, const char *id, const struct mln_value **ret);
    /*
     * Fill "{{identity.entity.name}}" and the like for the actor. *ret NULL when something in it cannot be filled (an actor without
     * entity, no such member). INVALID for a malformed template.
     */
    struct mln_err (*fill)(struct mln_request *rq, struct mln_bytes text, const char **ret);
    /* The mount of an accessor ("auth_userpass_1a2b3c4d"); NULL when there is none. Lives as long as the request. */
    const struct mln_mount *(*mount)(struct mln_request *rq, const char *accessor);
    /* Where clients reach this server, without a slash at the end: "https://10.0.0.1:8200". Never NULL. */
    const char *(*address)(struct mln_request *rq);
    /*
     * Someone tries to log in as `alias` at rq->mount: to be said before a password or the like is looked at. DENIED while that name is
     * locked out; else a BAD_LOGIN that the handler returns is counted against it.
     */
    struct mln_err (*attempt)(struct mln_request *rq, const char *alias);
    /*
     * What the mount of rq keeps in memory between requests: made by `make` when it is first asked for after unsealing (NULL: no
     * memory, then MEMORY here), dropped at sealing. Its users lock it themselves.
     */
    struct mln_err (*keep)(struct mln_request *rq, void *(*make)(void), void (*drop)(void *), void **ret);
    /*
     * Once this request's writes are durable and before its answer leaves: fn with a transaction that sees them, for reading. Not
     * called when the request fails. What fn fails with is logged. arg lives as long as the request.
     */
    void (*after)(struct mln_request *rq, struct mln_err (*fn)(struct mln_request *rq, void *arg), void *arg);
    /*
     * From now on listeners that show an X.509-SVID show this one: DER after DER, leaf first, and its key (PKCS #8), which is kept in
     * locked memory. Copied. After the commit. NULL: no listener here does.
     */
    struct mln_err (*present)(struct mln_request *rq, struct mln_bytes chain, struct mln_bytes key);
    /*
     * A stranger has shown a token of others that the handler verified: from here on the record of this request stands by itself and
     * names him so, whatever becomes of it. It gives no right to anything.
     */
    void (*vouch)(struct mln_request *rq, const char *name);
    /* A part of the configuration that the server was started with ("spiffe"); NULL when there is none. */
    const struct mln_value *(*setting)(struct mln_request *rq, const char *name);
};

struct mln_request {
    struct mln_cx *cx;
    const char *id;              /* UUID text */
    enum mln_op op;
    struct mln_bytes path;       /* full, without "v1/": "secret/data/a/b" */
    struct mln_bytes rest;       /* below the mount: "data/a/b" */
    const struct mln_path *route;
    const struct mln_value *data;   /* body or query as it came: object (empty when none) */
    const struct mln_value *fields; /* captures and fields, parsed by the schema, defaults filled in */
    const struct mln_actor *actor;
    const struct mln_peer *peer; /* NULL for everything that did not come over the workload socket */
    const struct mln_mount *mount;
    struct mln_txn *txn;
    struct mln_bytes ns;         /* namespace id */
    const char *source;          /* client's address without port */
    struct mln_bytes bearer;     /* what was sent as a token, ours or not: for open paths that hand out tokens of their own */
    const struct mln_value *client_certs; /* array of DER strings, leaf first, that the TLS client proved to hold; NULL = none */
    int64_t now_ns;              /* of this request: use it, not the clock */
    const struct mln_services *services;
    struct mln_value *detail;    /* object: what the handler adds to its ledger record (no secrets) */
    void *core;                  /* private to core */
};

/* A login or token answer: core makes the token and fills `auth`. */
struct mln_login {
    const char *alias;           /* name at this mount: makes or finds the entity; NULL = none */
    const char *display_name;    /* "alice": core prefixes the mount's name */
    const struct mln_value *policies; /* array */
    const struct mln_value *meta;     /* object of strings, or NULL */
    int64_t ttl_s, max_ttl_s, period_s, explicit_max_ttl_s; /* 0 = mount's defaults */
    int64_t num_uses;
    bool no_default_policy;
    bool is_batch;
    bool is_not_renewable;
    const struct mln_value *bound_cidrs; /* array of texts: where the token may be used from; NULL = anywhere */
    const struct mln_value *groups;      /* array of names of groups outside (group aliases of this mount), or NULL */
    const struct mln_value *alias_meta;  /* metadata of the alias, object of strings, or NULL */
    const struct mln_value *internal;    /* kept with the token for the method's renew_login, or NULL */
};

struct mln_reply {
    int status;                  /* 0: 200 with data, 204 without */
    const struct mln_value *data;    /* envelope's data */
    const struct mln_value *bare;    /* whole body instead of the envelope (sys/health) */
    const struct mln_value *top;     /* members also copied beside data (sys/mounts) */
    struct mln_bytes raw;            /* whole body, not JSON */
    const char *content_type;        /* of raw */
    bool is_immutable;               /* raw may be cached for ever */
    const struct mln_value *auth;    /* envelope's auth object, or NULL */
    const struct mln_login *login;   /* ask core to make a token and fill auth */
    const struct mln_lease *lease;   /* ask core to register a lease for data and fill lease_id, or NULL */
    struct mln_value *warnings;      /* array or NULL: use mln_reply_warn */
    int64_t lease_duration_s;
    bool is_public;              /* any web page may read it: Access-Control-Allow-Origin: * */
    bool no_errors_text;             /* a 404 with {"errors":[]} */
    const char *topic;               /* snapshot of this topic; the stream goes on from topic_version */
    uint64_t topic_version;
    int64_t hold_s;              /* with topic, and nothing else: answer 204 when the topic moves, or after this long; no thread waits */
    uint64_t ledger_index;           /* set by core when the record was sequenced with the answer; UINT64_MAX */
};

static inline void mln_reply_warn(struct mln_request *rq, struct mln_reply *re, const char *text)
{
    if (re->warnings == NULL) {
        re->warnings = mln_array(rq->cx);
    }
    mln_push_text(rq->cx, re->warnings, text);
}

/* See services.attempt; where nobody counts, everybody may try. */
static inline struct mln_err mln_login_attempt(struct mln_request *rq, const char *alias)
{
    return rq->services->attempt != NULL ? rq->services->attempt(rq, alias) : (struct mln_err){0};
}

/* A parsed field (see struct mln_field): NULL when absent and without default. */
static inline const struct mln_value *mln_field_of(const struct mln_request *rq, const char *name)
{
    return mln_get(rq->fields, name);
}
