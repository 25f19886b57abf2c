/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's turns. Deadlines stand in order in three queues, so that finding who is late costs nothing. When there are as many
 * connections as may be, the oldest handshake gives way to a new connection: whoever opens thousands of slow ones pushes out his own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "proxy/relay_priv.h"

#define EVENTS_PER_TURN 256
#define SECOND_NS       ((int64_t)1000000000)
#define MS_NS           ((int64_t)1000000)
#define PAUSE_NS        (50 * MS_NS) /* no room or no descriptors: look again */
#define SOON_MS         10           /* monitor had no room: look again */
#define TURN_MS         1000

/* ---- queues and lists ---- */

void queue_put(struct queue *queue, struct conn *conn)
{
    struct queue *old = conn->queue;
    if (old != NULL) {
        *(conn->prev != NULL ? &conn->prev->next : &old->first) = conn->next;
        *(conn->next != NULL ? &conn->next->prev : &old->last) = conn->prev;
    }
    conn->queue = queue;
    conn->next = conn->prev = NULL;
    if (queue == NULL) {
        return;
    }
    conn->late_ns = conn->worker->now_ns + queue->wait_ns;
    conn->prev = queue->last;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = conn;
    queue->last = conn;
}

void worker_ready(struct worker *worker, struct conn *conn)
{
    if (conn->is_ready) {
        return;
    }
    conn->is_ready = true;
    conn->next_ready = NULL;
    *(worker->ready_last != NULL ? &worker->ready_last->next_ready : &worker->ready_first) = conn;
    worker->ready_last = conn;
}

void worker_waiting(struct worker *worker, struct conn *conn)
{
    if (conn->is_waiting) {
        return;
    }
    conn->is_waiting = true;
    conn->next_waiting = NULL;
    *(worker->waiting_last != NULL ? &worker->waiting_last->next_waiting : &worker->waiting_first) = conn;
    worker->waiting_last = conn;
}

static void go_on_ready(struct worker *worker)
{
    struct conn *conn = worker->ready_first;
    worker->ready_first = worker->ready_last = NULL;
    while (conn != NULL) {
        struct conn *next = conn->next_ready;
        conn->is_ready = false;
        relay_go(conn);
        conn = next;
    }
}

static void go_on_waiting(struct worker *worker)
{
    struct conn *conn = worker->waiting_first;
    worker->waiting_first = worker->waiting_last = NULL;
    while (conn != NULL) {
        struct conn *next = conn->next_waiting;
        conn->is_waiting = false;
        relay_go(conn);
        conn = next;
    }
}

/* Freed at the end of a turn; one that a list still leads to waits for the next. */
static void bury(struct worker *worker)
{
    struct conn *conn = worker->dead;
    worker->dead = NULL;
    while (conn != NULL) {
        struct conn *next = conn->next_dead;
        if (conn->is_ready || conn->is_waiting) {
            conn->next_dead = worker->dead;
            worker->dead = conn;
        } else {
            relay_free(conn);
        }
        conn = next;
    }
}

static void end_late(struct queue *queue, int64_t now_ns, enum mln_proxy_reason reason, const char *detail)
{
    while (queue->first != NULL && queue->first->late_ns <= now_ns) {
        relay_kill(queue->first, reason, detail);
    }
}

/* ---- to monitor ---- */

static struct message_node *node_of(const struct mln_proxy_message *message)
{
    size_t n = offsetof(struct message_node, message) + offsetof(struct mln_proxy_message, bytes) + message->n;
    struct message_node *node = mln_alloc(n);
    if (node != NULL) {
        mln_copy(&node->message, message, offsetof(struct mln_proxy_message, bytes) + message->n);
        node->fd = -1;
    }
    return node;
}

static void flush_outbox(struct worker *worker)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    while (worker->outbox_first != NULL) {
        struct message_node *node = worker->outbox_first;
        struct mln_err err = mln_proxy_send(&cx, worker->relay->config->control_fd, &node->message, NULL, 0, true);
        if (mln_is(err, MLN_E_LIMIT)) {
            return;
        }
        worker->outbox_first = node->next;
        worker->outbox_last = node->next != NULL ? worker->outbox_last : NULL;
        worker->n_outbox--;
        atomic_fetch_sub(&worker->relay->config->counters->records_waiting, 1);
        mln_free(node);
    }
}

void worker_tell(struct worker *worker, const struct mln_proxy_message *message)
{
    struct message_node *node = node_of(message);
    if (node == NULL) {
        return; /* out of memory: the connection it is about ends by its deadline */
    }
    *(worker->outbox_last != NULL ? &worker->outbox_last->next : &worker->outbox_first) = node;
    worker->outbox_last = node;
    worker->n_outbox++;
    atomic_fetch_add(&worker->relay->config->counters->records_waiting, 1);
    flush_outbox(worker);
}

/* ---- from the main thread ---- */

void worker_mail(struct worker *worker, const struct mln_proxy_message *message, int fd)
{
    struct message_node *node = node_of(message);
    uint64_t one = 1;
    if (node == NULL) {
        mln_fd_drop(&fd);
        return;
    }
    node->fd = fd;
    (void)pthread_mutex_lock(&worker->mail_lock);
    *(worker->mail_last != NULL ? &worker->mail_last->next : &worker->mail_first) = node;
    worker->mail_last = node;
    (void)pthread_mutex_unlock(&worker->mail_lock);
    ssize_t n = write(worker->bell_fd, &one, sizeof(one));
    (void)n;
}

static struct conn *conn_by(struct worker *worker, uint64_t number)
{
    uint32_t slot = (uint32_t)number;
    struct conn *conn = slot < worker->n_slots ? worker->slots[slot] : NULL;
    return conn != NULL && conn->number == number ? conn : NULL;
}

/* The keeper is another one: what the old one owed is lost. */
static void take_signer(struct worker *worker, int fd)
{
    worker_close(worker, &worker->signer);
    worker->sign_fd = worker->signer.fd = fd;
    worker->n_asked = 0;
    for (uint32_t i = 0; i < worker->n_slots; i++) {
        if (worker->slots[i] != NULL && worker->slots[i]->state == CONN_SHAKE) {
            shake_signed(worker->slots[i], MLN_BYTES_NONE);
        }
    }
    (void)worker_watch(worker, &worker->signer);
}

static void take_mail(struct worker *worker)
{
    uint64_t n = 0;
    ssize_t got = read(worker->bell_fd, &n, sizeof(n));
    (void)got;
    (void)pthread_mutex_lock(&worker->mail_lock);
    struct message_node *node = worker->mail_first;
    worker->mail_first = worker->mail_last = NULL;
    (void)pthread_mutex_unlock(&worker->mail_lock);
    while (node != NULL) {
        struct message_node *next = node->next;
        struct conn *conn = conn_by(worker, node->message.conn);
        if (node->message.kind == MLN_PROXY_SIGNERS) {
            take_signer(worker, node->fd);
        } else if (node->message.kind == MLN_PROXY_DIALLED && conn != NULL) {
            relay_dialled(conn, node->fd, node->message.error);
        } else if (node->fd >= 0) {
            (void)close(node->fd);
        }
        mln_free(node);
        node = next;
    }
}

static void take_signatures(struct worker *worker)
{
    struct mln_proxy_message message;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    while (worker->sign_fd >= 0) {
        struct mln_err err = mln_proxy_receive(&cx, worker->sign_fd, true, &message, NULL, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            break;
        }
        if (mln_failed(err)) { /* the keeper is gone; monitor sends another socket */
            take_signer(worker, -1);
            break;
        }
        struct conn *conn = conn_by(worker, message.conn);
        worker->n_asked -= worker->n_asked > 0;
        if (message.kind == MLN_PROXY_SIGNED && conn != NULL) {
            shake_signed(conn, mln_bytes_at(message.bytes, message.n));
        }
    }
    go_on_waiting(worker);
}

/* ---- accepting ---- */

bool worker_watch(struct worker *worker, struct end *end)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = end};
    return end->fd >= 0 && epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, end->fd, &event) == 0;
}

/*
 * Closing alone does not take a descriptor out of epoll while another process has it too, and monitor may still: it dials and sends
 * it. Then events would come for an end that is gone.
 */
void worker_close(struct worker *worker, struct end *end)
{
    if (end->fd >= 0) {
        (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, end->fd, NULL);
    }
    mln_fd_drop(&end->fd);
}

static void set_accepting(struct worker *worker, bool is_accepting)
{
    const struct mln_proxy_relay *config = worker->relay->config;
    if (worker->is_accepting == is_accepting) {
        return;
    }
    for (size_t i = 0; i < config->n_listeners; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = &worker->listeners[i].end};
        (void)epoll_ctl(worker->epoll_fd, is_accepting ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, config->listen_fds[i], &event);
    }
    worker->is_accepting = is_accepting;
}

static void pause_accepting(struct worker *worker)
{
    set_accepting(worker, false);
    worker->accept_again_ns = worker->now_ns + PAUSE_NS;
}

/* Is there room for one more? The oldest handshake gives way. */
static bool make_room(struct worker *worker)
{
    struct relay *relay = worker->relay;
    unsigned most = (unsigned)relay->config->limits.connections;
    bool is_full = atomic_fetch_add(&relay->n_conns, 1) >= most || worker->n_free == 0;
    if (is_full && worker->shaking.first != NULL) {
        relay_kill(worker->shaking.first, MLN_PROXY_SLOW, "too many connections: the oldest handshake gave way");
        is_full = false;
    }
    if (is_full || worker->n_outbox >= OUTBOX_MAX) {
        atomic_fetch_sub(&relay->n_conns, 1);
        return false;
    }
    return true;
}

static void name_of(int fd, const struct sockaddr_storage *sock, char *to, size_t n)
{
    char host[INET6_ADDRSTRLEN] = "";
    const uint8_t *bytes = (const uint8_t *)sock;
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    if (sock->ss_family == AF_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0) {
            (void)snprintf(to, n, "uid %u pid %d", who.uid, (int)who.pid);
        }
        return;
    }
    bool is_six = sock->ss_family == AF_INET6;
    (void)inet_ntop(sock->ss_family, bytes + (is_six ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr)),
                    host, sizeof(host));
    (void)snprintf(to, n, is_six ? "[%s]:%u" : "%s:%u", host, mln_get_u16be(bytes + 2));
}

static void accept_some(struct worker *worker, const struct listener_source *source)
{
    int listen_fd = worker->relay->config->listen_fds[source->index];
    for (unsigned i = 0; i < ACCEPTS_PER_TURN && worker->is_accepting; i++) {
        struct sockaddr_storage sock = {0};
        socklen_t n = sizeof(sock);
        char from[64] = "";
        if (!make_room(worker)) {
            pause_accepting(worker);
            return;
        }
        int fd = accept4(listen_fd, (struct sockaddr *)&sock, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            atomic_fetch_sub(&worker->relay->n_conns, 1);
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                pause_accepting(worker); /* out of descriptors or memory */
            }
            return;
        }
        name_of(fd, &sock, from, sizeof(from));
        if (relay_accept(worker, source, fd, from) == NULL) {
            atomic_fetch_sub(&worker->relay->n_conns, 1);
        }
    }
}

/* Without an identity nothing is accepted: it waits in the kernel's queue. */
static void look_at_accepting(struct worker *worker)
{
    struct relay *relay = worker->relay;
    struct identity *identity = identity_now(relay);
    bool may = identity != NULL && !atomic_load(&relay->is_stopping) && worker->sign_fd >= 0;
    identity_drop(identity);
    if (!may) {
        set_accepting(worker, false);
        worker->accept_again_ns = 0;
    } else if (!worker->is_accepting && worker->now_ns >= worker->accept_again_ns) {
        set_accepting(worker, true);
    }
}

/* ---- turns ---- */

static void take_event(struct worker *worker, struct epoll_event *event)
{
    struct end *end = event->data.ptr;
    if (end == &worker->bell) {
        take_mail(worker);
    } else if (end == &worker->signer) {
        take_signatures(worker);
    } else if (end->conn == NULL) {
        accept_some(worker, (const struct listener_source *)(const void *)end);
    } else if (end->conn->state != CONN_DEAD) {
        bool is_over = (event->events & (EPOLLHUP | EPOLLERR)) != 0;
        end->can_read = end->can_read || is_over || (event->events & (EPOLLIN | EPOLLRDHUP)) != 0;
        end->can_write = end->can_write || is_over || (event->events & EPOLLOUT) != 0;
        relay_go(end->conn);
    }
}

static int sleep_ms(const struct worker *worker)
{
    const struct queue *queues[] = {&worker->dialling, &worker->shaking, &worker->open};
    int64_t next_ns = worker->now_ns + TURN_MS * MS_NS;
    if (worker->ready_first != NULL) {
        return 0;
    }
    if (worker->outbox_first != NULL) {
        next_ns = worker->now_ns + SOON_MS * MS_NS;
    }
    if (!worker->is_accepting && worker->accept_again_ns > 0 && worker->accept_again_ns < next_ns) {
        next_ns = worker->accept_again_ns;
    }
    for (size_t i = 0; i < MLN_COUNT(queues); i++) {
        if (queues[i]->first != NULL && queues[i]->first->late_ns < next_ns) {
            next_ns = queues[i]->first->late_ns;
        }
    }
    return next_ns <= worker->now_ns ? 0 : (int)((next_ns - worker->now_ns) / MS_NS) + 1;
}

static void end_all(struct worker *worker, enum mln_proxy_reason reason)
{
    for (uint32_t i = 0; i < worker->n_slots; i++) {
        if (worker->slots[i] != NULL) {
            relay_kill(worker->slots[i], reason, NULL);
        }
    }
}

static void turn(struct worker *worker)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(worker->epoll_fd, events, EVENTS_PER_TURN, sleep_ms(worker));
    worker->now_ns = mln_mono_ns();
    for (int i = 0; i < n; i++) {
        take_event(worker, &events[i]);
    }
    go_on_ready(worker);
    flush_outbox(worker);
    end_late(&worker->dialling, worker->now_ns, MLN_PROXY_UNREACHABLE, "connecting took too long");
    end_late(&worker->shaking, worker->now_ns, MLN_PROXY_SLOW, NULL);
    end_late(&worker->open, worker->now_ns, MLN_PROXY_IDLE, NULL);
    if (atomic_load(&worker->relay->is_stopping) && worker->now_ns >= atomic_load(&worker->relay->stop_ns)) {
        end_all(worker, MLN_PROXY_DRAINED);
    }
    look_at_accepting(worker);
    bury(worker);
}

void worker_run(struct worker *worker)
{
    while (!atomic_load(&worker->relay->is_stopping) || worker->n_free < worker->n_slots || worker->outbox_first != NULL) {
        turn(worker);
    }
}

/* ---- life ---- */

static bool make_slots(struct worker *worker, uint32_t n)
{
    worker->slots = mln_alloc_array(n, sizeof(struct conn *));
    worker->generations = mln_alloc_array(n, sizeof(uint32_t));
    worker->free_slots = mln_alloc_array(n, sizeof(uint32_t));
    if (worker->slots == NULL || worker->generations == NULL || worker->free_slots == NULL) {
        return false;
    }
    worker->n_slots = worker->n_free = n;
    for (uint32_t i = 0; i < n; i++) {
        worker->free_slots[i] = n - 1 - i;
    }
    return true;
}

struct mln_err worker_init(struct mln_cx *cx, struct worker *worker, struct relay *relay, unsigned index)
{
    const struct mln_proxy_limits *limits = &relay->config->limits;
    worker->relay = relay;
    worker->index = index;
    worker->sign_fd = worker->signer.fd = -1;
    worker->now_ns = mln_mono_ns();
    worker->dialling.wait_ns = limits->connect_s * SECOND_NS;
    worker->shaking.wait_ns = limits->handshake_s * SECOND_NS;
    worker->open.wait_ns = limits->idle_s * SECOND_NS;
    worker->arena = mln_arena_new(WORKER_ARENA, false);
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->bell_fd = worker->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mln_cx_init(&worker->cx, worker->arena);
    (void)pthread_mutex_init(&worker->mail_lock, NULL);
    for (unsigned i = 0; i < relay->config->n_listeners; i++) {
        worker->listeners[i] = (struct listener_source){.index = i};
    }
    bool is_good = worker->arena != NULL && worker->epoll_fd >= 0 && worker->bell_fd >= 0 &&
                   make_slots(worker, (uint32_t)limits->connections + 1) && worker_watch(worker, &worker->bell);
    return is_good ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no memory or descriptors for a thread");
}

void worker_fini(struct worker *worker)
{
    end_all(worker, MLN_PROXY_DRAINED);
    bury(worker);
    mln_fd_drop(&worker->epoll_fd);
    mln_fd_drop(&worker->bell_fd);
    mln_arena_free(worker->arena);
    mln_free(worker->slots);
    mln_free(worker->generations);
    mln_free(worker->free_slots);
}
