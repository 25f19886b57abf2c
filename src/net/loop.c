/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread of front: epoll turns. In a turn all events are handled, then the bell is rung once,
 * then core's answers are taken, then the deadlines. The thread sleeps only after it said so in the
 * ring.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"
#include "net/front_priv.h"
#include "net/peer_link.h"

#define EVENTS_PER_TURN  64
#define ACCEPTS_PER_TURN 8u
#define ACCEPT_PAUSE_NS  ((int64_t)100000000) /* when descriptors or slots are out */
#define SLOT_BITS        24
#define RECEIVED_MAX     256u /* answers in one turn, then sockets have their turn */

static_assert(FRONT_CONNS_MAX < 1u << SLOT_BITS);

/* ---- small things ---- */

void loop_clean(struct loop *loop)
{
    mln_cx_clear(&loop->cx);
    if (mln_arena_used(loop->cx.arena) > 0) {
        mln_arena_reset(loop->cx.arena);
    }
}

void loop_ready(struct loop *loop, struct conn *conn)
{
    if (conn->is_ready) {
        return;
    }
    conn->is_ready = true;
    conn->next_ready = NULL;
    *(loop->ready_last != NULL ? &loop->ready_last->next_ready : &loop->ready_first) = conn;
    loop->ready_last = conn;
}

void loop_waiting(struct loop *loop, struct conn *conn)
{
    if (conn->is_waiting) {
        return;
    }
    conn->is_waiting = true;
    conn->next_waiting = NULL;
    *(loop->waiting_last != NULL ? &loop->waiting_last->next_waiting : &loop->waiting_first) = conn;
    loop->waiting_last = conn;
}

uint64_t loop_id(struct loop *loop, const struct conn *conn)
{
    return ++loop->generation << SLOT_BITS | conn->slot;
}

const char *loop_date(struct loop *loop)
{
    int64_t s = mln_now_ns() / 1000000000;
    if (s != loop->date_s) {
        struct tm tm;
        time_t t = (time_t)s;
        loop->date_s = s;
        if (gmtime_r(&t, &tm) == NULL ||
            strftime(loop->date, sizeof(loop->date), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0) {
            loop->date[0] = 0;
        }
    }
    return loop->date;
}

static void fail_all(struct loop *loop)
{
    uint64_t one = 1;
    loop->has_failed = true;
    atomic_store(&loop->front->is_corrupt, true);
    ssize_t n =
        write(loop->front->abort_fd, &one, sizeof(one)); /* never read: all threads see it */
    (void)n;
}

struct mln_err loop_send(struct loop *loop, uint64_t id, uint32_t kind,
                         const struct mln_value *value)
{
    struct mln_ring_head head = {.id = id, .kind = kind};
    mln_buf_clear(&loop->message);
    mln_cbor_print(&loop->message, value);
    struct mln_err err = mln_buf_ok(&loop->cx, &loop->message);
    err = mln_failed(err) ? err : mln_ring_send(loop->ring, &head, mln_buf_bytes(&loop->message));
    if (loop->message.cap > FRONT_SPARE_BYTES_MAX) {
        mln_buf_drop(&loop->message);
    } else {
        mln_buf_clear(&loop->message);
    }
    if (mln_is(err, MLN_E_CORRUPT)) {
        fail_all(loop);
    }
    return err;
}

/* ---- listeners ---- */

static bool watch(struct loop *loop, int fd, struct source *source, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data = {.ptr = source}};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void listen_begin(struct loop *loop)
{
    const struct mln_front_config *config = &loop->front->config;
    loop->is_accepting = true;
    loop->accept_again_ns = 0;
    for (unsigned i = 0; i < config->n_listeners; i++) {
        loop->listener_sources[i] = (struct source){.kind = SOURCE_LISTENER, .index = i};
        if (!watch(loop, config->listeners[i].fd, &loop->listener_sources[i],
                   EPOLLIN | EPOLLEXCLUSIVE)) {
            loop->has_failed = true;
        }
    }
    loop->peer_source = (struct source){.kind = SOURCE_PEERS};
    if (config->peer_fd > 0 && !watch(loop, config->peer_fd, &loop->peer_source, EPOLLIN | EPOLLEXCLUSIVE)) {
        loop->has_failed = true;
    }
}

static void listen_end(struct loop *loop)
{
    const struct mln_front_config *config = &loop->front->config;
    for (unsigned i = 0; loop->is_accepting && i < config->n_listeners; i++) {
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, config->listeners[i].fd, NULL);
    }
    if (loop->is_accepting && config->peer_fd > 0) {
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, config->peer_fd, NULL);
    }
    loop->is_accepting = false;
}

static void listen_pause(struct loop *loop)
{
    listen_end(loop);
    loop->accept_again_ns = loop->now_ns + ACCEPT_PAUSE_NS;
}

static void set_peer(struct conn *conn, const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)from;
        (void)inet_ntop(AF_INET, &in4->sin_addr, conn->peer, sizeof(conn->peer));
        conn->peer_port = ntohs(in4->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        const void *at =
            is_mapped ? (const void *)&in6->sin6_addr.s6_addr[12] : (const void *)&in6->sin6_addr;
        (void)inet_ntop(is_mapped ? AF_INET : AF_INET6, at, conn->peer, sizeof(conn->peer));
        conn->peer_port = ntohs(in6->sin6_port);
    } else {
        (void)snprintf(conn->peer, sizeof(conn->peer), "unix");
    }
}

static bool grow_slots(struct loop *loop)
{
    uint32_t n = loop->n_slots == 0 ? 64 : loop->n_slots * 2;
    struct conn **slots =
        mln_realloc(loop->slots, loop->n_slots * sizeof(*slots), n * sizeof(*slots), false);
    if (slots == NULL) {
        return false;
    }
    loop->slots = slots;
    uint32_t *next =
        mln_realloc(loop->next_free, loop->n_slots * sizeof(*next), n * sizeof(*next), false);
    if (next == NULL) {
        return false;
    }
    loop->next_free = next;
    for (uint32_t i = loop->n_slots; i < n; i++) {
        slots[i] = NULL;
        next[i] = i + 1;
    }
    loop->free_slot = loop->n_slots;
    loop->n_slots = n;
    return true;
}

/* Take the descriptor in; NULL and closed when that fails. */
struct conn *loop_adopt(struct loop *loop, int fd, const struct mln_front_listener *listener, unsigned index)
{
    struct conn *conn = NULL;
    if (loop->free_slot < loop->n_slots || grow_slots(loop)) {
        conn = conn_new(loop, fd, listener, index);
    }
    if (conn == NULL) {
        (void)close(fd);
        return NULL;
    }
    conn->slot = loop->free_slot;
    loop->free_slot = loop->next_free[conn->slot];
    loop->slots[conn->slot] = conn;
    loop->n_conns++;
    return conn;
}

void loop_watch(struct loop *loop, struct conn *conn)
{
    if (!watch(loop, conn->fd, &conn->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
        conn_kill(conn);
    }
}

/* One that monitor accepted at the workload socket. Its end is told when it is freed, also when it never began. */
static void take_peer(struct loop *loop, int fd, uint64_t number)
{
    static const struct mln_front_listener workload = {.fd = -1, .is_grpc = true};
    struct conn *conn = loop_adopt(loop, fd, &workload, 0);
    if (conn == NULL) {
        mln_peer_link_tell_end(loop->front->config.peer_fd, number);
        return;
    }
    conn->peer_number = number;
    (void)snprintf(conn->peer, sizeof(conn->peer), "unix");
    loop_watch(loop, conn);
}

static void take_peers(struct loop *loop)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        uint64_t number = 0;
        int fd = -1;
        if (loop->n_conns >= loop->front->config.conns_max) {
            listen_pause(loop);
            return;
        }
        if (mln_failed(mln_peer_link_take(&loop->cx, loop->front->config.peer_fd, &number, &fd))) {
            loop_clean(loop);
            return;
        }
        take_peer(loop, fd, number);
    }
}

static void accept_some(struct loop *loop, unsigned index)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (loop->n_conns >= loop->front->config.conns_max) {
            listen_pause(loop);
            return;
        }
        struct sockaddr_storage from = {0};
        socklen_t n = sizeof(from);
        int fd = accept4(loop->front->config.listeners[index].fd, (struct sockaddr *)&from, &n,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                listen_pause(loop);
            }
            return;
        }
        struct conn *conn = loop_adopt(loop, fd, &loop->front->config.listeners[index], index);
        if (conn != NULL) {
            set_peer(conn, &from);
            loop_watch(loop, conn);
        }
    }
}

/* ---- stop ---- */

static void stop_begin(struct loop *loop)
{
    if (loop->is_stopping) {
        return;
    }
    loop->is_stopping = true;
    loop->leave_ns = loop->now_ns + loop->front->config.grace_ns;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->front->config.stop_fd, NULL);
    listen_end(loop);
    loop->accept_again_ns = 0;
    for (uint32_t i = 0; i < loop->n_slots; i++) {
        if (loop->slots[i] != NULL) {
            loop->slots[i]->ops->stop(loop->slots[i]);
        }
    }
}

/* ---- the ring ---- */

/* Streams of gRPC follow topics, and held answers of HTTP/1.1. */
static void take_topic(struct loop *loop, const struct mln_ring_head *head)
{
    const struct mln_value *value = NULL;
    if (head->kind == MLN_WIRE_TOPIC && loop->topics != NULL &&
        !mln_failed(mln_cbor_parse(&loop->cx, mln_buf_bytes(&loop->received), &value))) {
        topic_take(loop, value);
    }
}

static void take_answer(struct loop *loop, const struct mln_ring_head *head)
{
    bool is_signed = head->kind == MLN_WIRE_SIGNED || head->kind == MLN_WIRE_CERTED;
    if (head->kind == MLN_WIRE_ANSWER) {
        loop->in_flight -= loop->in_flight > 0;
    } else if (!is_signed) {
        take_topic(loop, head);
        return;
    }
    uint32_t slot = (uint32_t)(head->id & ((1u << SLOT_BITS) - 1));
    struct conn *conn = slot < loop->n_slots ? loop->slots[slot] : NULL;
    bool waits = conn != NULL && (is_signed ? conn->id == head->id : conn->ops->owns(conn, head->id));
    if (!waits) {
        return; /* its connection went away, or gave up waiting */
    }
    const struct mln_value *value = NULL;
    if (mln_failed(mln_cbor_parse(&loop->cx, mln_buf_bytes(&loop->received), &value))) {
        mln_cx_clear(&loop->cx);
        value = NULL; /* reads as a refusal, or as an internal error */
    }
    if (is_signed) {
        tls_signed(conn, value);
    } else {
        conn->ops->answer(conn, head->id, value);
    }
}

/* Whoever waited for a credit or a job may try again. */
static void wake_waiting(struct loop *loop)
{
    struct conn *conn = loop->waiting_first;
    loop->waiting_first = loop->waiting_last = NULL;
    while (conn != NULL) {
        struct conn *next = conn->next_waiting;
        conn->is_waiting = false;
        if (conn->state == CONN_CREDIT) {
            conn->ops->credit(conn);
        } else if (conn->state != CONN_DEAD) {
            conn_go(conn);
        }
        conn = next;
    }
}

/* True when more may be there. */
static bool receive_some(struct loop *loop)
{
    unsigned n = 0;
    while (loop->ring != NULL && n < RECEIVED_MAX && !loop->has_failed) {
        struct mln_ring_head head;
        struct mln_err err = mln_ring_receive(loop->ring, &head, &loop->received);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            break;
        }
        if (mln_failed(err)) {
            fail_all(loop);
            break;
        }
        n++;
        take_answer(loop, &head);
        loop_clean(loop);
        if (loop->received.cap > FRONT_SPARE_BYTES_MAX) {
            mln_buf_drop(&loop->received);
        } else {
            mln_buf_clear(&loop->received);
        }
    }
    if (n > 0 && loop->waiting_first != NULL) {
        wake_waiting(loop);
    }
    return n == RECEIVED_MAX;
}

static void ring_turn(struct loop *loop)
{
    if (loop->ring == NULL) {
        return;
    }
    if (mln_failed(mln_ring_flush(loop->ring))) {
        fail_all(loop);
    }
    mln_ring_bell(loop->ring);
}

/* ---- a turn ---- */

static void handle(struct loop *loop, const struct epoll_event *ev)
{
    struct source *source = ev->data.ptr;
    switch (source->kind) {
    case SOURCE_CONN:
        conn_event((struct conn *)(void *)source, ev->events);
        loop_clean(loop);
        break;
    case SOURCE_LISTENER:
        accept_some(loop, source->index);
        break;
    case SOURCE_PEERS:
        take_peers(loop);
        break;
    case SOURCE_STOP:
        stop_begin(loop);
        break;
    case SOURCE_ABORT:
        loop->has_failed = true;
        break;
    case SOURCE_BELL:
        break;
    }
}

static void go_ready(struct loop *loop)
{
    struct conn *conn = loop->ready_first;
    loop->ready_first = loop->ready_last = NULL;
    while (conn != NULL) {
        struct conn *next = conn->next_ready;
        conn->is_ready = false;
        if (conn->state != CONN_DEAD) {
            conn_go(conn);
            loop_clean(loop);
        }
        conn = next;
    }
}

static void bury(struct loop *loop)
{
    /* A dead connection may still stand in a list of the next turn: it waits until it does not. */
    struct conn **at = &loop->dead;
    while (*at != NULL) {
        struct conn *conn = *at;
        if (conn->is_ready || conn->is_waiting) {
            at = &conn->next_dead;
            continue;
        }
        *at = conn->next_dead;
        conn_free(conn);
    }
}

static int timeout_of(struct loop *loop)
{
    if (loop->ready_first != NULL || loop->has_failed) {
        return 0;
    }
    int ms = wheel_timeout_ms(&loop->wheel, loop->now_ns);
    bool has_own = loop->is_stopping || loop->accept_again_ns != 0;
    return has_own && (ms < 0 || ms > 50) ? 50 : ms;
}

static bool is_over(const struct loop *loop)
{
    return loop->has_failed ||
           (loop->is_stopping && (loop->n_conns == 0 || loop->now_ns >= loop->leave_ns));
}

static void late_one(struct conn *conn)
{
    struct loop *loop = conn->loop;
    conn_late(conn);
    loop_clean(loop);
}

bool loop_turn(struct loop *loop, bool has_more)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int ms = has_more ? 0 : timeout_of(loop);
    bool may_sleep = ms != 0 && (loop->ring == NULL || mln_ring_sleep(loop->ring));
    int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, may_sleep ? ms : 0);
    if (ms != 0 && loop->ring != NULL) {
        mln_ring_awake(loop->ring);
    }
    loop->now_ns = mln_mono_ns();
    for (int i = 0; i < n; i++) {
        handle(loop, &events[i]);
    }
    go_ready(loop);
    ring_turn(loop);
    has_more = receive_some(loop);
    wheel_advance(&loop->wheel, loop->now_ns, late_one);
    ring_turn(loop);
    bury(loop);
    mln_wipe_stack();
    if (loop->accept_again_ns != 0 && loop->now_ns >= loop->accept_again_ns) {
        listen_begin(loop);
    }
    return has_more;
}

void loop_run(struct loop *loop)
{
    bool has_more = false;
    while (!is_over(loop)) {
        has_more = loop_turn(loop, has_more);
    }
}

struct mln_err loop_init(struct mln_cx *cx, struct loop *loop, struct front *front, unsigned index)
{
    const struct mln_front_config *config = &front->config;
    loop->front = front;
    loop->index = index;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    mln_cx_init(&loop->cx, mln_arena_new(MLN_REQUEST_ARENA_BYTES, false));
    if (loop->epoll_fd < 0 || loop->cx.arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "front: out of memory or descriptors");
    }
    if (config->rings != NULL) {
        MLN_TRY(mln_ring_attach(cx, &config->rings[index], MLN_RING_FRONT, &loop->ring));
    }
    if (config->rings != NULL && !topics_begin(loop)) {
        return mln_fail(cx, MLN_E_MEMORY, "front: out of memory for topics");
    }
    loop->message.is_secret = loop->received.is_secret = true;
    loop->message.max = MLN_RING_MESSAGE_MAX;
    loop->head_text.max = MLN_HTTP_HEAD_BYTES_MAX;
    loop->spare_in.is_secret = loop->spare_out.is_secret = true;
    loop->now_ns = mln_mono_ns();
    loop->generation =
        mln_random_u64() >> (SLOT_BITS + 8); /* answers to an earlier front fit nobody */
    wheel_begin(&loop->wheel, loop->now_ns);
    loop->stop_source.kind = SOURCE_STOP;
    loop->abort_source.kind = SOURCE_ABORT;
    loop->bell_source.kind = SOURCE_BELL;
    bool is_watched =
        (config->rings == NULL ||
         watch(loop, config->rings[index].bell_front, &loop->bell_source, EPOLLIN | EPOLLET)) &&
        (config->stop_fd < 0 ||
         watch(loop, config->stop_fd, &loop->stop_source, EPOLLIN | EPOLLRDHUP)) &&
        watch(loop, front->abort_fd, &loop->abort_source, EPOLLIN);
    if (is_watched) {
        listen_begin(loop);
    }
    if (!is_watched || loop->has_failed) {
        return mln_fail(cx, MLN_E_INVALID, "front: a descriptor cannot be watched (errno %d)",
                        errno);
    }
    return MLN_OK;
}

void loop_fini(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->n_slots; i++) {
        if (loop->slots[i] != NULL) {
            conn_kill(loop->slots[i]);
        }
    }
    while (loop->dead != NULL) {
        struct conn *conn = loop->dead;
        loop->dead = conn->next_dead;
        conn_free(conn);
    }
    topics_free(loop);
    if (loop->ring != NULL) {
        mln_ring_bell(loop->ring);
    }
    mln_ring_free(loop->ring);
    mln_buf_drop(&loop->message);
    mln_buf_drop(&loop->received);
    mln_buf_drop(&loop->spare_in);
    mln_buf_drop(&loop->spare_out);
    mln_buf_drop(&loop->head_text);
    mln_free(loop->slots);
    mln_free(loop->next_free);
    mln_arena_free(loop->cx.arena);
    mln_fd_drop(&loop->epoll_fd);
}
