/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's own core: it attests processes here, answers them from its replica (identity/spiffe_replica.h) and keeps that up to date with
 * the server.
 *
 *   node_process.c   threads, monitor             node_link.c   calls to the server
 *   node_self.c      who this node is: key, SVID, session       node_prove.c  what it shows for that
 *   node_sync.c      entries, bundles, certificates             node_answer.c one request of a process
 *   node_tpm.c       its TPM
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/core.h"
#include "identity/spiffe_node_proof.h"
#include "identity/spiffe_replica.h"
#include "main/workers.h"
#include "net/client.h"

#define NODE_CLIENTS_MAX   16u
#define NODE_SESSION_BYTES 128u
#define NODE_TOPIC         "spiffe/node"

/* Its SVID. Of the poller alone. */
struct node_self {
    struct mln_buf key;   /* PKCS #8; secret */
    struct mln_buf chain; /* DER, leaf first */
    int64_t turn_s, expires_s;
    char authority[80];
};

struct node {
    struct mln_client_config server;
    const char *data_dir;
    const struct mln_value *proof; /* the boot value's "proof" */
    struct mln_peers *peers;
    struct mln_replica *replica;
    _Atomic(struct workers *) workers;
    pthread_mutex_t syncing; /* one page of changes at a time */
    pthread_mutex_t
        signing; /* one call for certificates at a time, so that callers of one entry share its key */
    pthread_mutex_t lock; /* all below */
    struct mln_client *idle[NODE_CLIENTS_MAX];
    unsigned n_idle;
    char session[NODE_SESSION_BYTES]; /* "" = none */
    atomic_ullong version;            /* of the topic */
    atomic_llong down_until_ns; /* monotonic: the server did not answer, and no process waits for it until then */
    struct node_self self;
    struct mln_client *watcher; /* the poller's: its calls take a minute */
    struct node_tpm *tpm;       /* the poller's; NULL = it shows something else */
};

/* ---- node_link.c ---- */
struct node_call {
    const char *path;
    const struct mln_value *body; /* NULL = GET */
    struct mln_client *client;    /* NULL = any */
    bool for_process;             /* one waits: UNREACHABLE at once when the server just was */
};
/*
 * ret: "data" of the answer, NULL of 204. errors UNREACHABLE, DENIED (the session is over, or what was asked is not for us), NOT_FOUND,
 * REMOTE
 */
struct mln_err node_call(struct node *node, struct mln_cx *cx, const struct node_call *what,
                         const struct mln_value **ret);

/* ---- node_prove.c ---- */
/*
 * Fill the payload of nodes/attest. csr: the request that goes with it, for which alone the proof counts. errors as node_call; INVALID:
 * nothing to show
 */
struct mln_err node_prove(struct node *node, struct mln_cx *cx, const char *method,
                          const char *csr, struct mln_value *payload);
struct node_possession {
    const char *context;
    const char *csr;               /* PKCS #10 in base64 */
    const struct mln_value *certs; /* array of DER in base64, leaf first */
    struct mln_bytes key;          /* PKCS #8 */
};
/* A challenge of the server, signed. */
struct mln_err node_put_possession(struct node *node, struct mln_cx *cx,
                                   const struct node_possession *has, struct mln_value *payload);
struct mln_err node_sign_proof(struct mln_cx *cx, const struct mln_node_signed *what,
                               struct mln_bytes der, const char **ret);

/* ---- node_tpm.c ---- */
struct node_tpm;
/*
 * Before the sandbox: libraries are loaded, and what is opened stays open.
 *
 * where     a device ("/dev/tpmrm0") or how tpm2-tss names one ("swtpm:host=127.0.0.1,port=2321")
 * errors    UNSUPPORTED (no libraries: says which package), UNREACHABLE (no TPM there)
 */
struct mln_err node_tpm_open(struct mln_cx *cx, const char *where, struct node_tpm **ret);
void node_tpm_close(struct node_tpm *tpm); /* NULL is well */
/* What the server makes a challenge of: ek, ak, certificates. UNREACHABLE: the TPM does not do it */
struct mln_err node_tpm_put_keys(struct node_tpm *tpm, struct mln_cx *cx, struct mln_value *payload);
/* data: the challenge (nonce, trust_domain, credential, seed). Puts nonce, secret, quote, signature. errors as above, REMOTE */
struct mln_err node_tpm_answer(struct node_tpm *tpm, struct mln_cx *cx, const struct mln_value *data,
                               const char *csr, struct mln_value *payload);

/* ---- node_self.c: of the poller ---- */
/* What was kept in DIR/node.pem, if anything. */
void node_self_load(struct node *node, struct mln_cx *cx);
/*
 * A new session and SVID: by the SVID that is here, else by what was said to show. errors as node_call; DENIED: this node was put out,
 * or was never let in.
 */
struct mln_err node_attest(struct node *node, struct mln_cx *cx);
bool node_self_is_due(struct node *node, int64_t now_s);
void node_self_forget(struct node *node, struct mln_cx *cx); /* the file, too */
void node_session_end(struct node *node);

/* ---- node_sync.c ---- */
/* Tell all streams to ask again. */
void node_wake(struct node *node);
/*
 * Certificates for entries that lack one; ids: of a process that waits; NULL = whichever. ret_n: how many are new. errors as node_call;
 * UNREACHABLE: others wait for the server already
 */
struct mln_err node_sign(struct node *node, struct mln_cx *cx, const struct mln_value *ids,
                         size_t *ret_n);
/* All that changed since the last time, and what is due. */
struct mln_err node_sync(struct node *node, struct mln_cx *cx);
/* What changed, and nothing else: an answer of the server did not fit to what is here. errors as node_call */
struct mln_err node_catch_up(struct node *node, struct mln_cx *cx, bool for_process);
/* Entries that templates have for a process that shows these, and waits: made at the server, and here. errors as node_sign */
struct mln_err node_match(struct node *node, struct mln_cx *cx, const struct mln_value *selectors);
/* Wait for news; *ret_changed. */
struct mln_err node_watch(struct node *node, struct mln_cx *cx, bool *ret_changed);

/* ---- node_answer.c ---- */
struct mln_err node_answer_call(void *arg, struct mln_cx *cx, struct mln_core_call *call,
                                struct mln_buf *out);
