/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection through the relay.
 *
 *   server   accepted on the wire    SHAKE, DIAL, CONNECT, OPEN    nobody is dialled for a stranger
 *   client   accepted on loopback    DIAL, CONNECT, SHAKE, OPEN    no byte is read before the peer is known
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "proxy/relay_priv.h"

#define ATTEMPTS_MAX 3u /* addresses of a target that are tried */

static bool is_server(const struct conn *conn)
{
    return conn->listener->side == MLN_PROXY_SERVER;
}

/* ---- the target ---- */

static void dial(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct mln_proxy_message message = {.kind = MLN_PROXY_DIAL,
                                        .thread = worker->index,
                                        .listener = (uint32_t)(conn->listener - worker->relay->config->listeners),
                                        .conn = conn->number,
                                        .attempt = conn->attempt};
    conn->state = CONN_DIAL;
    queue_put(&worker->dialling, conn);
    worker_tell(worker, &message);
}

static void dial_failed(struct conn *conn, int error)
{
    char text[64];
    struct end *end = is_server(conn) ? &conn->plain : &conn->wire;
    worker_close(conn->worker, end);
    conn->attempt++;
    if (conn->attempt < ATTEMPTS_MAX && error != EMFILE) {
        dial(conn);
        return;
    }
    (void)snprintf(text, sizeof(text), "errno %d", error);
    relay_kill(conn, MLN_PROXY_UNREACHABLE, text);
}

void relay_dialled(struct conn *conn, int fd, int error)
{
    struct end *end = is_server(conn) ? &conn->plain : &conn->wire;
    if (conn->state != CONN_DIAL) {
        mln_fd_drop(&fd);
        return;
    }
    if (fd < 0 || error != 0) {
        mln_fd_drop(&fd);
        dial_failed(conn, error);
        return;
    }
    end->fd = fd;
    end->can_read = end->can_write = false;
    conn->state = CONN_CONNECT;
    if (!worker_watch(conn->worker, end)) {
        relay_kill(conn, MLN_PROXY_MEMORY, NULL);
    }
}

/* The kernel said something about the connection under way: does it stand? */
static void look_at_connect(struct conn *conn)
{
    struct end *end = is_server(conn) ? &conn->plain : &conn->wire;
    int error = 0;
    socklen_t n = sizeof(error);
    if (!end->can_write && !end->can_read) {
        return;
    }
    if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
        dial_failed(conn, error);
    } else if (!is_server(conn)) {
        if (shake_begin(conn)) {
            shake_go(conn);
        }
    } else {
        relay_opened(conn);
    }
}

/* ---- life ---- */

struct conn *relay_accept(struct worker *worker, const struct listener_source *source, int fd, const char *from)
{
    MLN_CHECK(worker->n_free > 0);
    struct relay *relay = worker->relay;
    struct conn *conn = mln_alloc(sizeof(*conn));
    if (conn == NULL) {
        mln_fd_drop(&fd);
        return NULL;
    }
    conn->worker = worker;
    conn->listener = &relay->config->listeners[source->index];
    conn->slot = worker->free_slots[--worker->n_free];
    worker->slots[conn->slot] = conn;
    conn->number = (uint64_t)++worker->generations[conn->slot] << 32 | conn->slot;
    conn->name = relay->run + atomic_fetch_add(&relay->n_named, 1);
    conn->start_ns = mln_now_ns();
    conn->wire.conn = conn->plain.conn = conn;
    conn->wire.fd = conn->plain.fd = -1;
    *(is_server(conn) ? &conn->wire.fd : &conn->plain.fd) = fd;
    (void)snprintf(conn->from, sizeof(conn->from), "%s", from);
    atomic_fetch_add(&relay->config->counters->accepted, 1);
    if (!worker_watch(worker, is_server(conn) ? &conn->wire : &conn->plain)) {
        relay_kill(conn, MLN_PROXY_MEMORY, NULL);
    } else if (!is_server(conn)) {
        dial(conn);
    } else if (shake_begin(conn)) {
        shake_go(conn);
    }
    return conn;
}

void relay_shaken(struct conn *conn)
{
    atomic_fetch_sub(&conn->worker->relay->config->counters->shaking, 1);
    if (is_server(conn)) {
        dial(conn);
    } else {
        relay_opened(conn);
    }
}

void relay_opened(struct conn *conn)
{
    struct mln_proxy_counters *counters = conn->worker->relay->config->counters;
    conn->state = CONN_OPEN;
    conn->was_open = true;
    atomic_fetch_add(&counters->opened, 1);
    atomic_fetch_add(&counters->open, 1);
    record_event(conn, "open", MLN_PROXY_CLOSED);
    queue_put(&conn->worker->open, conn);
    worker_ready(conn->worker, conn);
}

static void close_end(struct worker *worker, struct end *end, bool resets)
{
    struct linger now = {.l_onoff = 1};
    if (end->fd >= 0 && resets) {
        (void)setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    worker_close(worker, end);
}

static void count_end(struct conn *conn)
{
    struct mln_proxy_counters *counters = conn->worker->relay->config->counters;
    if (conn->was_open) {
        atomic_fetch_sub(&counters->open, 1);
        atomic_fetch_add(&counters->ended, 1);
    } else {
        atomic_fetch_add(&counters->refused, 1);
    }
    if (conn->state == CONN_SHAKE) {
        atomic_fetch_sub(&counters->shaking, 1);
    }
}

void relay_kill(struct conn *conn, enum mln_proxy_reason reason, const char *detail)
{
    struct worker *worker = conn->worker;
    if (conn->state == CONN_DEAD) {
        return;
    }
    if (detail != NULL && detail != conn->detail) {
        mln_free(conn->detail);
        conn->detail = mln_strdup(detail);
    }
    count_end(conn);
    record_event(conn, conn->was_open ? "end" : "refused", reason);
    conn->state = CONN_DEAD;
    queue_put(NULL, conn);
    /* what an open connection was cut off from must not look like its orderly end; a refusal leaves its alert behind */
    bool resets = conn->was_open && reason != MLN_PROXY_CLOSED;
    close_end(worker, &conn->wire, resets);
    close_end(worker, &conn->plain, resets || (!conn->was_open && !is_server(conn)));
    worker->slots[conn->slot] = NULL;
    worker->free_slots[worker->n_free++] = conn->slot;
    conn->next_dead = worker->dead;
    worker->dead = conn;
    atomic_fetch_sub(&worker->relay->n_conns, 1);
}

void relay_free(struct conn *conn)
{
    if (conn->is_piped) {
        mln_tls_pipe_close(&conn->pipe);
    }
    identity_drop(conn->identity);
    mln_buf_drop(&conn->to_plain);
    mln_free(conn->peer_id);
    mln_free(conn->detail);
    mln_free(conn);
}

/* ---- wire to plain ---- */

/* Decrypted bytes that the program has not taken; true when all went. */
static bool flush_plain(struct conn *conn)
{
    struct mln_buf *buf = &conn->to_plain;
    while (conn->to_plain_at < buf->len && conn->plain.can_write) {
        ssize_t n = send(conn->plain.fd, buf->ptr + conn->to_plain_at, buf->len - conn->to_plain_at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            relay_kill(conn, MLN_PROXY_RESET, "the plain side takes no more");
            return false;
        }
        conn->plain.can_write = n >= 0 || errno == EINTR;
        conn->to_plain_at += n > 0 ? (size_t)n : 0;
    }
    if (conn->to_plain_at < buf->len) {
        return false;
    }
    conn->to_plain_at = 0;
    mln_buf_drop(buf);
    return true;
}

/* Up to a scratch full of plaintext; the same as wire_read. */
static ssize_t gather(struct conn *conn, size_t *ret_n)
{
    size_t n = 0;
    ssize_t got = 1;
    while (n < PLAIN_BYTES && got > 0) {
        got = wire_read(conn, conn->worker->clear + n, PLAIN_BYTES - n);
        n += got > 0 ? (size_t)got : 0;
    }
    *ret_n = n;
    return got;
}

static void give(struct conn *conn, size_t n)
{
    const uint8_t *from = conn->worker->clear;
    ssize_t sent = conn->plain.can_write ? send(conn->plain.fd, from, n, MSG_NOSIGNAL) : -1;
    if (sent < 0 && conn->plain.can_write && errno != EAGAIN && errno != EINTR) {
        relay_kill(conn, MLN_PROXY_RESET, "the plain side takes no more");
        return;
    }
    conn->plain.can_write = conn->plain.can_write && sent >= 0;
    size_t went = sent > 0 ? (size_t)sent : 0;
    if (went < n) {
        mln_buf_add(&conn->to_plain, from + went, n - went);
        if (conn->to_plain.has_failed) {
            relay_kill(conn, MLN_PROXY_MEMORY, NULL);
        }
    }
    mln_wipe(conn->worker->clear, n);
}

/* True when there may be more at once. */
static bool step_in(struct conn *conn)
{
    size_t n = 0;
    if (!flush_plain(conn) || conn->state == CONN_DEAD) {
        return false;
    }
    if (conn->wire.is_eof) {
        if (!conn->plain.is_shut) {
            (void)shutdown(conn->plain.fd, SHUT_WR);
            conn->plain.is_shut = true;
        }
        return false;
    }
    ssize_t got = gather(conn, &n);
    if (n > 0 && conn->state != CONN_DEAD) {
        conn->bytes_in += n;
        atomic_fetch_add(&conn->worker->relay->config->counters->bytes_in, n);
        give(conn, n);
    }
    conn->wire.is_eof = conn->wire.is_eof || got == 0;
    return conn->state != CONN_DEAD && got >= 0;
}

/* ---- plain to wire ---- */

static void say_done(struct conn *conn)
{
    if (!conn->wire.is_shut) {
        (void)SSL_shutdown(conn->pipe.ssl);
        conn->wire.is_shut = true;
    }
}

/* OpenSSL takes whole records into our buffer at once; what it does not is a fault. */
static bool encrypt(struct conn *conn, size_t n)
{
    size_t at = 0;
    while (at < n) {
        size_t took = 0;
        if (SSL_write_ex(conn->pipe.ssl, conn->worker->clear + at, n - at, &took) != 1) {
            relay_kill(conn, MLN_PROXY_TLS, "encrypting failed");
            return false;
        }
        at += took;
    }
    mln_wipe(conn->worker->clear, n);
    return true;
}

static bool step_out(struct conn *conn)
{
    (void)wire_flush(conn);
    if (conn->state == CONN_DEAD || conn->pipe.out.len - conn->pipe.out_at >= OUT_MAX) {
        return false;
    }
    if (conn->plain.is_eof) {
        say_done(conn);
        return false;
    }
    if (!conn->plain.can_read) {
        return false;
    }
    ssize_t n = recv(conn->plain.fd, conn->worker->clear, PLAIN_BYTES, 0);
    if (n < 0) {
        conn->plain.can_read = errno == EINTR;
        if (errno != EAGAIN && errno != EINTR) {
            relay_kill(conn, MLN_PROXY_RESET, "the plain side broke");
        }
        return conn->plain.can_read;
    }
    conn->plain.is_eof = n == 0;
    conn->bytes_out += (uint64_t)n;
    atomic_fetch_add(&conn->worker->relay->config->counters->bytes_out, (uint64_t)n);
    return n == 0 || encrypt(conn, (size_t)n);
}

/* ---- turns ---- */

static void pump(struct conn *conn)
{
    uint64_t before = conn->bytes_in + conn->bytes_out;
    bool more_in = true, more_out = true;
    for (unsigned i = 0; i < STEPS_PER_TURN && conn->state == CONN_OPEN && (more_in || more_out); i++) {
        more_in = more_in && step_in(conn);
        more_out = more_out && conn->state == CONN_OPEN && step_out(conn);
    }
    if (conn->state == CONN_OPEN) {
        bool is_sent = wire_flush(conn);
        if (conn->state == CONN_OPEN && !mln_tls_pipe_keep(&conn->pipe)) {
            relay_kill(conn, MLN_PROXY_MEMORY, NULL);
        }
        if (conn->state == CONN_OPEN && is_sent && conn->wire.is_shut && conn->plain.is_shut) {
            relay_kill(conn, MLN_PROXY_CLOSED, NULL);
        }
    }
    if (conn->state != CONN_OPEN) {
        return;
    }
    if (more_in || more_out) {
        worker_ready(conn->worker, conn);
    }
    if (conn->bytes_in + conn->bytes_out != before) {
        queue_put(&conn->worker->open, conn);
    }
}

void relay_go(struct conn *conn)
{
    switch (conn->state) {
    case CONN_CONNECT:
        look_at_connect(conn);
        break;
    case CONN_SHAKE:
        shake_go(conn);
        break;
    case CONN_OPEN:
        pump(conn);
        break;
    case CONN_DIAL:
    case CONN_DEAD:
        break;
    }
}
