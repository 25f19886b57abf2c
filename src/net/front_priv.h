/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of front: one loop a thread, connections in slots, a wheel of deadlines. Nothing here
 * is shared between threads but `struct front`, which is read-only after start but for its atomics.
 *
 *   front.c   start, sandbox, threads     loop.c   epoll turns, accept, ring, stop
 *   conn.c    bytes in and out             h1.c     requests and answers of HTTP/1.1
 *   h2.c, h2_answer.c  the same of HTTP/2
 *   grpc*.c   calls of gRPC
 *   wheel.c   deadlines                    tls.c    TLS of a connection, over tls_pipe.c
 *   tls_provider.c  signing by core        tls_setup.c  contexts of listeners
 *   topic.c   who waits for what core publishes
 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "net/front.h"
#include "net/http1.h"
#include "net/tls_pipe.h"

#define FRONT_CONNS_MAX 16384u /* of one thread: 64 KiB of kernel buffers each is 1 GiB already */
#define FRONT_HELD_BYTES_MAX                                                                       \
    ((size_t)1 << 30) /* bodies on their way in, of all threads together: 32 of the largest */
#define FRONT_READ_BYTES       (16u << 10) /* one read of an ordinary request */
#define FRONT_SPARE_BYTES_MAX  (64u << 10) /* larger buffers go back to the system after use */
#define FRONT_READS_PER_TURN   16u         /* then others have their turn */
#define FRONT_HEAD_ROOM        1024u       /* in front of a body, for the head of the answer */
#define FRONT_LINGER_NS        ((int64_t)1000000000) /* a refusal arrives before the reset */
#define FRONT_LINGER_BYTES_MAX (4u << 20)
#define FRONT_ANSWER_NS        ((int64_t)120000000000) /* core answers within 90 s, or never */
#define FRONT_JOBS_MAX         256u /* handshakes that wait for a signature: 32 KiB of stack each */
#define FRONT_WRITE_STEP                                                                           \
    (1u << 20) /* a reader that takes less than this in body_deadline_ns is cut */

struct loop;
struct conn;
struct tls_conn;

/* What an epoll event belongs to. */
enum source_kind { SOURCE_CONN, SOURCE_LISTENER, SOURCE_PEERS, SOURCE_BELL, SOURCE_STOP, SOURCE_ABORT };
struct source {
    enum source_kind kind;
    unsigned index; /* of the listener */
};

struct front {
    struct mln_front_config config; /* defaults filled in */
    SSL_CTX *tls[MLN_FRONT_LISTENERS_MAX];
    struct mln_tls_lib tls_lib;
    int abort_fd; /* eventfd: a ring is corrupt, all leave */
    _Atomic bool is_corrupt;
    _Atomic unsigned left_to_start; /* threads that have not entered the sandbox */
    _Atomic bool start_failed;
};

/* ---- deadlines ---- */

#define WHEEL_SLOTS   2048u
#define WHEEL_TICK_NS ((int64_t)64 << 20) /* 67 ms: two minutes around */
struct wheel {
    uint64_t now_tick;
    uint64_t used[WHEEL_SLOTS / 64]; /* a bit a slot */
    struct conn *slots[WHEEL_SLOTS];
};
void wheel_begin(struct wheel *wheel, int64_t now_ns);
/*
 * Deadlines may be moved later for nothing: an entry that fires too early is put back. INT64_MAX =
 * none.
 */
void wheel_set(struct wheel *wheel, struct conn *conn, int64_t deadline_ns);
void wheel_remove(struct wheel *wheel, struct conn *conn);
void wheel_advance(struct wheel *wheel, int64_t now_ns, void (*late)(struct conn *conn));
int wheel_timeout_ms(const struct wheel *wheel, int64_t now_ns); /* -1 = nothing to wait for */

/* ---- connections ---- */

/* A protocol on a connection. */
struct conn_ops {
    const char *name;
    void (*input)(struct conn *conn); /* bytes came into conn->in, or conn->is_eof */
    void (*pump)(struct conn *conn);  /* after all input of a turn: send what there is; NULL = nothing */
    bool (*owns)(const struct conn *conn, uint64_t id); /* does it wait for this answer? */
    /* for an id that it owns; answer NULL = unreadable */
    void (*answer)(struct conn *conn, uint64_t id, const struct mln_value *answer);
    void (*credit)(struct conn *conn);  /* a request that waited may be sent */
    void (*drained)(struct conn *conn); /* all output was sent */
    void (*late)(struct conn *conn);    /* its deadline passed */
    void (*full)(struct conn *conn);    /* front holds too much: refuse this one */
    void (*stop)(struct conn *conn);    /* leave as soon as is polite */
};
extern const struct conn_ops h1_ops, h2_ops, grpc_ops;

enum conn_state {
    CONN_HANDSHAKE, /* TLS */
    CONN_HEAD,      /* reads, or idles */
    CONN_BODY,
    CONN_CREDIT, /* whole request, no room in core */
    CONN_CORE,   /* in flight */
    CONN_HELD,   /* core had nothing to say yet: until a topic moves, or some time has passed */
    CONN_WRITE,
    CONN_LINGER,
    CONN_DEAD, /* freed at the end of the turn */
};

struct h1 {
    struct mln_http1_scan scan;
    size_t head_len;
    struct mln_http1_framing framing;
    struct mln_http1_chunks chunks;
    struct mln_buf body; /* of a chunked request */
    bool is_head;        /* the method, for the answer */
    bool is_used;        /* a request was sent on: what follows is HTTP/1.1 for good */
};
struct h2; /* h2_priv.h */
struct grpc; /* grpc_priv.h */

struct conn {
    struct source source;
    int fd;
    uint32_t slot;
    enum conn_state state;
    uint64_t id; /* what core's answer must name; 0 = nothing in flight */
    struct loop *loop;
    const struct conn_ops *ops;
    const struct mln_front_listener *listener;
    struct tls_conn *tls;
    bool can_read, can_write, is_eof, has_hangup;
    bool closes;     /* after this answer */
    bool lingers;    /* input that nobody will read may stand in the way of the answer */
    bool is_ready;   /* stands in the list of those that go on in the next turn */
    bool is_waiting; /* stands in the list of those that wait for a credit or a job */
    struct mln_buf in;
    struct mln_buf out;
    size_t out_at;
    size_t out_step; /* where the write deadline moves on */
    size_t held;     /* bytes counted in the loop */
    size_t lingered;
    struct h1 h1;
    struct follower *news; /* of a request that is or was held; NULL = never */
    struct h2 *h2; /* NULL while it speaks HTTP/1.1 */
    struct grpc *grpc; /* NULL unless it speaks gRPC */
    uint64_t peer_number; /* of who is at the other end of a Unix socket, as monitor counts them; 0 = unknown */
    char peer[48];
    uint16_t peer_port;
    struct conn *next_ready, *next_waiting, *next_dead;
    int64_t deadline_ns;
    uint64_t wheel_tick; /* 0 = not in the wheel */
    struct conn *wheel_next, *wheel_prev;
};

struct loop {
    struct front *front;
    unsigned index;
    int epoll_fd;
    struct mln_ring *ring; /* NULL when nothing goes to core */
    struct mln_cx cx;
    int64_t now_ns;
    bool is_stopping, has_failed, is_accepting;
    int64_t leave_ns;        /* end of the grace */
    int64_t accept_again_ns; /* 0 = not paused */
    struct conn **slots;
    uint32_t n_slots, free_slot;
    uint32_t *next_free;
    uint64_t generation;
    unsigned n_conns, in_flight;
    size_t held_bytes;
    struct wheel wheel;
    struct conn *ready_first, *ready_last;
    struct conn *waiting_first, *waiting_last;
    struct conn *dead;
    struct topics *topics; /* NULL when nothing goes to core */
    unsigned n_calls;           /* streams of gRPC */
    struct mln_http1_head head; /* of the request at hand */
    struct mln_buf message, received, spare_in, spare_out, head_text;
    uint8_t cipher[FRONT_READ_BYTES + 1024];
    char date[32];
    int64_t date_s;
    struct source stop_source, abort_source, bell_source, peer_source;
    struct source listener_sources[MLN_FRONT_LISTENERS_MAX];
};

struct mln_err loop_init(struct mln_cx *cx, struct loop *loop, struct front *front, unsigned index);
void loop_run(struct loop *loop);
/* One turn; has_more: core's answers may wait, so do not sleep. Returns the same for the next one. */
bool loop_turn(struct loop *loop, bool has_more);
/* Take a descriptor in; NULL and closed when that fails. Then watch it. */
struct conn *loop_adopt(struct loop *loop, int fd, const struct mln_front_listener *listener, unsigned index);
void loop_watch(struct loop *loop, struct conn *conn);
void loop_fini(struct loop *loop);
void loop_ready(struct loop *loop, struct conn *conn); /* go on with it in the next turn */
void loop_waiting(struct loop *loop,
                  struct conn *conn); /* go on with it when core answered someone */
uint64_t loop_id(struct loop *loop,
                 const struct conn *conn); /* a new id for what is sent to core */
/* Send a value to core. errors CORRUPT (the loop ends), TOO_LARGE, MEMORY */
struct mln_err loop_send(struct loop *loop, uint64_t id, uint32_t kind,
                         const struct mln_value *value);
void loop_clean(struct loop *loop); /* wipe what the last message left in the arena and in cx */
const char *loop_date(struct loop *loop);

struct conn *conn_new(struct loop *loop, int fd, const struct mln_front_listener *listener,
                      unsigned index);
void conn_kill(struct conn *conn); /* closes; memory goes at the end of the turn */
void conn_free(struct conn *conn);
void conn_event(struct conn *conn, uint32_t events);
void conn_go(struct conn *conn); /* read and write what can be */
bool conn_reads(const struct conn *conn);
bool conn_has_pending(const struct conn *conn); /* input that came already */
void conn_late(struct conn *conn);
void conn_deadline(struct conn *conn, int64_t ns_from_now); /* INT64_MAX = none */
/*
 * Send what stands in out; true when all went. After the last byte ops->drained is called by
 * conn_go, not by this.
 */
bool conn_flush(struct conn *conn);
/*
 * Make room for at least n more bytes of input and count them; false when front holds too much
 * already.
 */
bool conn_hold(struct conn *conn, size_t n);
void conn_finish(struct conn *conn); /* the last answer was sent: linger or close */

/* ---- topics (topic.c) ---- */

/* Who waits for news of a topic: a stream of gRPC, or a request whose answer is held. */
struct follower {
    struct follower *next, *prev;
    struct topic *topic; /* NULL = none */
    uint64_t version;    /* that it knows; 0 = none */
    uint64_t wanted;     /* the newest that was published for it */
    void (*wake)(struct follower *follower); /* something newer was published; may leave the topic */
    void *arg;
};
bool topics_begin(struct loop *loop); /* false: no memory */
/* False: no memory, or no such name; it follows none then. */
bool topic_follow(struct loop *loop, struct follower *follower, struct mln_bytes name);
void topic_leave(struct loop *loop, struct follower *follower);
/* Was something newer published than it knows? */
bool topic_is_behind(const struct loop *loop, const struct follower *follower);
void topic_take(struct loop *loop, const struct mln_value *message); /* core published something */
void topics_free(struct loop *loop);

/* ---- HTTP/2 ---- */

/* From here on the connection speaks HTTP/2: what stands in conn->in is its preface. False: kill it. */
bool h2_begin(struct conn *conn);
void h2_end(struct conn *conn);              /* frees; any connection */
size_t h2_held(const struct conn *conn);     /* bytes of bodies on their way in */

/* ---- gRPC ---- */

bool grpc_begin(struct conn *conn); /* a new connection; false: kill it */
void grpc_end(struct conn *conn);   /* frees; any connection */
size_t grpc_held(const struct conn *conn);

/* ---- TLS ---- */

/* tls_setup.c */
struct mln_err tls_setup(struct mln_cx *cx, struct front *front);
int tls_use_chain(struct front *front, SSL *ssl, struct mln_bytes chain); /* DER after DER, leaf first; 1 or 0 */
/* tls.c, for OpenSSL to call in a handshake */
int tls_ask_cert(SSL *ssl, void *arg); /* arg: struct front */
void tls_fini(struct front *front);
bool tls_thread_begin(void);
void tls_thread_end(void);
struct tls_conn *tls_conn_new(struct conn *conn, SSL_CTX *ctx);
void tls_conn_free(struct conn *conn);
void tls_handshake(struct conn *conn);
void tls_signed(struct conn *conn, const struct mln_value *value);
/*
 * Both work as recv and send do on the plain descriptor: n > 0, 0 = end (read only), -1 = not now,
 * -2 = broken.
 */
ssize_t tls_read(struct conn *conn, uint8_t *to, size_t n);
ssize_t tls_write(struct conn *conn, const uint8_t *from, size_t n);
bool tls_flush(struct conn *conn); /* ciphertext; false when some is left or it broke */
bool tls_has_pending(const struct conn *conn);
void tls_close(struct conn *conn);
/* Leaf first; *ret_n 0 = none. */
const struct mln_bytes *tls_peer_certs(const struct conn *conn, size_t *ret_n);
