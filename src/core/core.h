/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core: everything between a REQUEST message (net/wire.h) and its ANSWER. Authenticate, authorise, run the engine, record.
 * It knows no socket and no ring: main gives it messages and takes answers, so that tests drive it without a process.
 */
#pragma once

#include "barrier/seal.h"
#include "contract/engine.h"
#include "ledger/ledger.h"

struct mln_core;

struct mln_core_config {
    const char *data_dir;   /* store, ledger and journal lie below it */
    const char *origin;     /* of the ledger, e.g. "merlon.local/ledger"; fixed at initialisation */
    enum mln_seal_kind seal;
    const char *keyfile;    /* MLN_SEAL_KEYFILE: where the unseal key lies */
    const char *api_address; /* where clients reach this server: "http://127.0.0.1:8200"; NULL = not known */
    /* lists of descriptors (each NULL-ended, as mln_engines), the list of lists NULL-ended too; core adds its own sys and token */
    const struct mln_engine *const *const *registries;
    int64_t default_ttl_s, max_ttl_s;   /* of tokens; 0 = 768 h */
    const struct mln_value *settings;   /* object: what engines ask for with services.setting, or NULL; kept by the caller */
    const struct mln_value *audit;      /* array of audit devices {"path","type","options","description"}, or NULL; kept by the caller */
    bool audit_by_api;                  /* sys/audit may make devices: who may write there may then have core write files */
    bool is_dev;            /* said so in seal status; init mounts "secret/" (kv v2) as well */
    bool durable_reads;     /* read_durability: disk: a read's record is on disk before its answer leaves */
    bool unauthed_rekey, unauthed_root; /* sys/rekey and sys/generate-root are answered without a token */
    bool no_sync;           /* tests only */
    /*
     * A new version of a topic: main sends it to every front. From any thread, not under core's locks. NULL = nobody listens.
     */
    void (*publish)(void *arg, const char *topic, uint64_t version, const struct mln_value *value);
    /* The root key after init or unseal, for the monitor to keep; NULL when sealed on purpose: forget it. May be NULL. */
    void (*root)(void *arg, const struct mln_secret *root);
    /* Ask the world outside (net/reach.h): blocks. Any thread. NULL = services->reach refuses. */
    struct mln_err (*reach)(void *arg, struct mln_cx *cx, const struct mln_value *ask, const struct mln_value **ret);
    /* What TLS listeners that show an SVID show from now on; an empty chain: forget it, core is sealed. Any thread. May be NULL. */
    struct mln_err (*present)(void *arg, struct mln_cx *cx, struct mln_bytes chain, struct mln_bytes key);
    int64_t peer_wait_ms; /* how long a request waits for its peer's attestation; 0 = 5 s */
    void *arg;
};

/* Opens store, barrier and seal; sealed. A key file that fits unseals at once. errors EXISTS (another server), IO, CORRUPT, FULL */
struct mln_err mln_core_open(struct mln_cx *cx, const struct mln_core_config *config, struct mln_core **ret);
void mln_core_close(struct mln_core *core); /* finishes what runs, publishes the ledger, seals */
bool mln_core_is_sealed(const struct mln_core *core);
/*
 * Initialise with the configured seal and unseal (development, tests). root_token: the id to use, NULL = random.
 * ret_token in the arena. EXISTS when initialised.
 */
struct mln_err mln_core_init_dev(struct mln_cx *cx, struct mln_core *core, const char *root_token, const char **ret_token);
/* Unseal with a root key that monitor kept; recorded as "core re-keyed". */
struct mln_err mln_core_rekey(struct mln_cx *cx, struct mln_core *core, const struct mln_secret *root);
/* What a process says of itself ("front", "box": {"seccomp":bool,"landlock":bool,"abi":n}), shown in sys/status. Copied. */
void mln_core_process_state(struct mln_core *core, const char *process, const struct mln_value *state);
/* The verifier key of the ledger, "" while sealed. Copied into `to`. */
void mln_core_vkey(struct mln_core *core, char to[256]);

/*
 * Answer one request. Any number of threads. cx->arena is the request's (secret; the caller resets it afterwards).
 * message   CBOR of REQUEST; wiped by the caller
 * block     called at most once, before the thread sleeps or works long: hand the ring to another thread. May be NULL.
 * ready     NULL: wait here for a durable write. Else mln_core_answer may come back with `waiting` set and nothing appended;
 *           `ready` is then called once, on another thread and perhaps sooner, and mln_core_resume must follow both, on any thread.
 *           cx, call, message and answer stay until it has come back with `waiting` NULL.
 * answer    CBOR of ANSWER is appended (secret buffer), for every request, also a refused one
 * errors    only CORRUPT: no REQUEST at all; the sender is broken or taken: drop that generation of front
 */
struct mln_core_call {
    struct mln_bytes message;
    void (*block)(void *arg);
    void (*ready)(void *arg);
    void *arg;
    struct mln_run *waiting; /* core's own */
};
struct mln_err mln_core_answer(struct mln_cx *cx, struct mln_core *core, struct mln_core_call *call, struct mln_buf *answer);
/* Go on with a call whose `ready` was called; it may wait again. */
void mln_core_resume(struct mln_core_call *call, struct mln_buf *answer);
/* Audit files are opened anew: they were moved away. Any thread. */
void mln_core_reopen(struct mln_core *core);
/* Run what is due: expiry of tokens, engines' ticks, key rotation by age. Call about once a second from one thread. */
void mln_core_tick(struct mln_cx *cx, struct mln_core *core);

/*
 * ---- peers (peer.c) ---- Processes at the workload socket, one a connection, as the attest process found them. A request with member
 * `peer` waits for its peer's line here for a bounded time. Any thread; also while sealed.
 */
#define MLN_PEERS_MAX      65536u /* connections at once: a kilobyte each */
#define MLN_PEER_SELECTORS 128u   /* of one process: all attestors together */
struct mln_peers;
struct mln_peers *mln_peers_new(int64_t wait_ms); /* 0 = 5 s. NULL: no memory */
void mln_peers_free(struct mln_peers *peers);
struct mln_peers *mln_core_peers(struct mln_core *core);
/* Attested: copied. errors EXISTS, LIMIT, INVALID (number 0 or above 2^63, too many selectors) */
struct mln_err mln_peers_put(struct mln_cx *cx, struct mln_peers *peers, const struct mln_peer *peer);
/* It could not be attested, or its process has ended while its connection stands: what asks for it is UNREACHABLE or DENIED. */
void mln_peers_refuse(struct mln_cx *cx, struct mln_peers *peers, uint64_t number, enum mln_code why);
void mln_peers_end(struct mln_peers *peers, uint64_t number); /* its connection is gone: forgotten */
void mln_peers_end_all(struct mln_peers *peers);
/* A copy in the arena. Waits for it, after `block` (may be NULL). errors UNREACHABLE (not attested), DENIED (its process is gone) */
struct mln_err mln_peers_find(struct mln_cx *cx, struct mln_peers *peers, int64_t number, const struct mln_core_call *call,
                              const struct mln_peer **ret);
