/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the relay. One worker a thread, each with its own connections; shared are the identity of the hour and what is atomic.
 *
 *   relay.c      start, sandbox, what monitor says      worker.c   epoll turns, accept, deadlines, messages
 *   identity.c   snapshots as TLS contexts              conn.c     states of a connection, bytes both ways
 *   shake.c      handshakes and verification            record.c   what a connection leaves behind
 *   seen.c       chains that were verified before
 *
 *            wire (TLS)                                    plain
 *   peer  <----------->  fd | pipe (OpenSSL) | to_plain | fd  <----->  program on loopback
 *
 * Memory of a connection is bounded: at most CIPHER_BYTES received and not decrypted, PLAIN_BYTES decrypted and not taken by the program,
 * OUT_MAX and one record encrypted and not taken by the peer; then that direction stops reading. What idles holds none of these.
 */
#pragma once

#include <pthread.h>

#include "crypto/crypto.h"
#include "net/tls_pipe.h"
#include "proxy/proxy.h"

#define CIPHER_BYTES   (64u << 10)
#define PLAIN_BYTES    (64u << 10)
#define OUT_MAX        (64u << 10)
#define STALL_MAX      (4u * OUT_MAX) /* more than step_out leaves: then reading stops too */
#define STEPS_PER_TURN 8u     /* of each direction, then others have their turn */
#define ACCEPTS_PER_TURN 64u
#define SIGNS_MAX      64u    /* asked of the keeper at once by a worker: fits the socket's buffer */
#define JOBS_MAX       256u   /* handshakes that wait for a signature: 32 KiB of stack each */
#define OUTBOX_MAX     4096u  /* messages to monitor that wait; above, nothing is accepted */
#define WORKER_ARENA   (2u << 20) /* certificates of one peer, a record */
#define PEER_CERTS_MAX 16u
#define SEEN_MAX       1024u /* chains that are remembered: workloads that connect, by their SVIDs */

struct worker;

/* An identity with which handshakes are made; connections that began with it keep it. */
struct identity {
    _Atomic unsigned refs;
    int64_t key; /* by which number the keeper knows its key */
    const char *id, *serial;
    int64_t not_after_s;
    SSL_CTX *contexts[2]; /* by enum mln_proxy_side */
    struct mln_arena *arena; /* of everything here */
    struct mln_proxy_bundle *bundles;
    size_t n_bundles;
    struct seen *seen;
};

struct relay {
    const struct mln_proxy_relay *config;
    struct mln_tls_lib tls;
    int ssl_index; /* ex_data: the connection of an SSL */
    pthread_mutex_t lock;
    struct identity *identity; /* NULL: none yet, or withdrawn */
    _Atomic bool is_stopping;
    _Atomic int64_t stop_ns;
    _Atomic unsigned n_conns;
    struct worker *workers;
    unsigned n_workers;
    uint64_t run; /* random, part of the names of connections */
    _Atomic uint64_t n_named;
};

enum conn_state { CONN_DIAL, CONN_CONNECT, CONN_SHAKE, CONN_OPEN, CONN_DEAD };

struct end {
    struct conn *conn; /* what an epoll event leads to */
    int fd;
    bool can_read, can_write, is_eof;
    bool is_shut; /* we said that no more comes */
};

/* Connections by when they are late: all of one queue wait equally long, so it is in order. */
struct queue {
    struct conn *first, *last;
    int64_t wait_ns;
};

struct conn {
    struct end wire, plain;
    struct worker *worker;
    const struct mln_proxy_listener *listener;
    enum conn_state state;
    uint64_t number; /* in messages: generation and slot */
    uint32_t slot, attempt;
    struct identity *identity;
    struct mln_tls_pipe pipe;
    struct mln_buf to_plain;
    size_t to_plain_at;
    bool is_waiting; /* for a signature to be asked or a job */
    bool is_ready, is_piped, is_proved, was_open;
    enum mln_proxy_reason reason; /* why verification refused; counts with is_refused */
    bool is_refused;
    char *detail;
    char *peer_id;
    char from[64]; /* who connected: address, or uid and pid */
    uint64_t name, bytes_in, bytes_out;
    int64_t start_ns, late_ns;
    struct queue *queue;
    struct conn *next, *prev; /* in the queue */
    struct conn *next_ready, *next_waiting, *next_dead;
};

struct message_node {
    struct message_node *next;
    int fd; /* in the mail: a descriptor that came along; -1 = none */
    struct mln_proxy_message message; /* cut behind the bytes used */
};

struct listener_source {
    struct end end; /* conn is NULL */
    unsigned index;
};

struct worker {
    struct relay *relay;
    unsigned index;
    pthread_t thread;
    bool is_started;
    int epoll_fd, bell_fd, sign_fd;
    struct mln_cx cx;
    struct mln_arena *arena;
    int64_t now_ns;
    bool is_accepting;
    int64_t accept_again_ns; /* 0 = not paused */
    struct listener_source listeners[MLN_PROXY_LISTENERS_MAX];
    struct end bell, signer;
    struct conn **slots;
    uint32_t *generations;
    uint32_t *free_slots;
    uint32_t n_slots, n_free;
    struct queue dialling, shaking, open;
    struct conn *ready_first, *ready_last, *waiting_first, *waiting_last, *dead;
    unsigned n_asked;
    struct message_node *outbox_first, *outbox_last;
    size_t n_outbox;
    pthread_mutex_t mail_lock;
    struct message_node *mail_first, *mail_last;
    uint8_t cipher[CIPHER_BYTES], clear[PLAIN_BYTES];
};

/* ---- identity.c ---- */
/* bytes: a snapshot as the keeper wrote it. errors PARSE, INVALID, CRYPTO, MEMORY */
struct mln_err identity_make(struct mln_cx *cx, struct relay *relay, struct mln_bytes bytes, struct identity **ret);
struct identity *identity_now(struct relay *relay); /* one more reference; NULL: none */
void identity_set(struct relay *relay, struct identity *identity); /* takes it; NULL withdraws */
void identity_drop(struct identity *identity);
int identity_verify(X509_STORE_CTX *store, void *arg); /* shake.c: judges a peer inside a handshake */
int identity_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg);

/* ---- seen.c ---- */
struct seen *seen_new(void); /* NULL: no memory */
void seen_free(struct seen *seen);
void seen_digest(enum mln_proxy_side side, const struct mln_bytes *certs, size_t n, uint8_t ret[MLN_SHA256_BYTES]);
/* *ret lies in the arena of cx. Leaves no fault on cx. */
bool seen_find(struct mln_cx *cx, struct seen *seen, const uint8_t digest[MLN_SHA256_BYTES], int64_t now_s, struct mln_spiffe_id *ret);
struct seen_trusted {
    struct mln_bytes id;
    const struct mln_proxy_bundle *bundle;
    int64_t now_s;
};
/* A chain that was trusted. */
void seen_keep(struct mln_cx *cx, struct seen *seen, const uint8_t digest[MLN_SHA256_BYTES], const struct mln_bytes *certs, size_t n,
               const struct seen_trusted *trusted);

/* ---- shake.c ---- */
bool shake_begin(struct conn *conn); /* false: the connection is dead */
void shake_go(struct conn *conn);
void shake_signed(struct conn *conn, struct mln_bytes sig);
/* Plaintext; as recv: 0 = the peer said that it is done, -1 not now, -2 the connection was killed. */
ssize_t wire_read(struct conn *conn, uint8_t *to, size_t n);
bool wire_flush(struct conn *conn); /* true when all was sent */

/* ---- conn.c ---- */
struct conn *relay_accept(struct worker *worker, const struct listener_source *source, int fd, const char *from);
void relay_go(struct conn *conn);
void relay_dialled(struct conn *conn, int fd, int error);
void relay_opened(struct conn *conn); /* both sides stand and the peer is known */
void relay_shaken(struct conn *conn); /* the handshake is done */
/* Orderly reasons close, others reset both sides; leaves the record. */
void relay_kill(struct conn *conn, enum mln_proxy_reason reason, const char *detail);
void relay_free(struct conn *conn);

/* ---- record.c ---- */
void record_event(struct conn *conn, const char *event, enum mln_proxy_reason reason);

/* ---- worker.c ---- */
struct mln_err worker_init(struct mln_cx *cx, struct worker *worker, struct relay *relay, unsigned index);
void worker_fini(struct worker *worker);
void worker_run(struct worker *worker);
void worker_mail(struct worker *worker, const struct mln_proxy_message *message, int fd); /* any thread; takes fd */
bool worker_watch(struct worker *worker, struct end *end);
void worker_close(struct worker *worker, struct end *end); /* no event of it comes any more; -1 is fine */
void worker_ready(struct worker *worker, struct conn *conn);
void worker_waiting(struct worker *worker, struct conn *conn);
void worker_tell(struct worker *worker, const struct mln_proxy_message *message); /* to monitor, in order */
void queue_put(struct queue *queue, struct conn *conn); /* at the end, out of where it was; NULL: out only */
