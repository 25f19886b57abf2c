/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of one connection. The descriptor is watched edge-triggered from birth to death, so a turn
 * costs one receive and one send and no epoll_ctl. Idle connections hold no buffers: the loop lends
 * its spare ones and takes them back wiped.
 */
#include "net/front_priv.h"
#include "net/peer_link.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- buffers on loan ---- */

static void buf_borrow(struct mln_buf *mine, struct mln_buf *spare)
{
    if (mine->ptr == NULL) {
        *mine = *spare;
        *spare = (struct mln_buf){.is_secret = true};
        mine->is_secret = true;
    }
}

static void buf_return(struct mln_buf *mine, struct mln_buf *spare)
{
    if (mine->ptr == NULL || mine->len != 0) {
        return;
    }
    if (spare->ptr == NULL && mine->cap <= FRONT_SPARE_BYTES_MAX) {
        *spare = *mine;
        *mine = (struct mln_buf){.is_secret = true};
    } else {
        mln_buf_drop(mine);
    }
}

static void count_held(struct conn *conn)
{
    size_t cap = conn->in.cap + conn->h1.body.cap + h2_held(conn) + grpc_held(conn);
    size_t held = cap > FRONT_SPARE_BYTES_MAX ? cap : 0;
    conn->loop->held_bytes += held - conn->held;
    conn->held = held;
}

bool conn_hold(struct conn *conn, size_t n)
{
    size_t share = FRONT_HELD_BYTES_MAX / conn->loop->front->config.n_rings;
    if (conn->loop->held_bytes > share || !mln_buf_reserve(&conn->in, n)) {
        return false;
    }
    count_held(conn);
    return true;
}

/* ---- life ---- */

void conn_deadline(struct conn *conn, int64_t ns_from_now)
{
    int64_t at = ns_from_now == INT64_MAX ? INT64_MAX : conn->loop->now_ns + ns_from_now;
    wheel_set(&conn->loop->wheel, conn, at);
}

struct conn *conn_new(struct loop *loop, int fd, const struct mln_front_listener *listener,
                      unsigned index)
{
    struct conn *conn = mln_alloc(sizeof(*conn));
    if (conn == NULL) {
        return NULL;
    }
    conn->source.kind = SOURCE_CONN;
    conn->fd = fd;
    conn->loop = loop;
    conn->listener = listener;
    conn->ops = &h1_ops;
    conn->state = CONN_HEAD;
    conn->in.is_secret = conn->out.is_secret = conn->h1.body.is_secret = true;
    conn->deadline_ns = INT64_MAX;
    if (listener->is_tls) {
        conn->state = CONN_HANDSHAKE;
        conn->tls = tls_conn_new(conn, loop->front->tls[index]);
        if (conn->tls == NULL) {
            mln_free(conn);
            return NULL;
        }
    }
    if (listener->is_grpc && !grpc_begin(conn)) {
        conn_free(conn);
        return NULL;
    }
    conn_deadline(conn, loop->front->config.header_deadline_ns);
    return conn;
}

void conn_free(struct conn *conn)
{
    tls_conn_free(conn);
    mln_free(conn->news);
    h2_end(conn);
    grpc_end(conn);
    mln_buf_drop(&conn->in);
    mln_buf_drop(&conn->out);
    mln_buf_drop(&conn->h1.body);
    mln_free(conn);
}

void conn_kill(struct conn *conn)
{
    if (conn->state == CONN_DEAD) {
        return;
    }
    struct loop *loop = conn->loop;
    if (conn->news != NULL) {
        topic_leave(loop, conn->news);
    }
    conn->state = CONN_DEAD;
    conn->id = 0;
    wheel_remove(&loop->wheel, conn);
    if (conn->peer_number != 0) { /* monitor may have it still: closing alone would not take it out of epoll */
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    }
    (void)close(conn->fd);
    conn->fd = -1;
    if (conn->peer_number != 0) {
        mln_peer_link_tell_end(loop->front->config.peer_fd, conn->peer_number);
    }
    loop->held_bytes -= conn->held;
    conn->held = 0;
    loop->slots[conn->slot] = NULL;
    loop->next_free[conn->slot] = loop->free_slot;
    loop->free_slot = conn->slot;
    loop->n_conns--;
    conn->next_dead = loop->dead;
    loop->dead = conn;
}

/* ---- out ---- */

static ssize_t raw_write(struct conn *conn, const uint8_t *from, size_t n)
{
    if (conn->tls != NULL) {
        return tls_write(conn, from, n);
    }
    if (!conn->can_write) {
        return -1;
    }
    ssize_t sent = send(conn->fd, from, n, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        conn->can_write = errno == EINTR;
        return -1;
    }
    return sent < 0 ? -2 : sent;
}

bool conn_flush(struct conn *conn)
{
    while (conn->out_at < conn->out.len) {
        ssize_t n = raw_write(conn, conn->out.ptr + conn->out_at, conn->out.len - conn->out_at);
        if (n == -2) {
            conn_kill(conn);
            return false;
        }
        if (n < 0) {
            return false;
        }
        conn->out_at += (size_t)n;
        if (conn->out_at >= conn->out_step) { /* it takes enough: the deadline moves */
            conn->out_step = conn->out_at + FRONT_WRITE_STEP;
            conn_deadline(conn, conn->loop->front->config.body_deadline_ns);
        }
    }
    if (conn->tls != NULL && !tls_flush(conn)) {
        return false;
    }
    mln_buf_clear(&conn->out);
    conn->out_at = conn->out_step = 0;
    buf_return(&conn->out, &conn->loop->spare_out);
    return true;
}

/* ---- in ---- */

bool conn_reads(const struct conn *conn)
{
    return conn->state == CONN_HEAD || conn->state == CONN_BODY;
}

bool conn_has_pending(const struct conn *conn)
{
    return conn->in.len > 0 || conn->can_read || (conn->tls != NULL && tls_has_pending(conn));
}

static ssize_t raw_read(struct conn *conn, uint8_t *to, size_t n)
{
    if (conn->tls != NULL) {
        return tls_read(conn, to, n);
    }
    if (!conn->can_read) {
        return -1;
    }
    ssize_t got = recv(conn->fd, to, n, 0);
    if (got < 0) {
        conn->can_read = errno == EINTR;
        return errno == EAGAIN || errno == EINTR ? -1 : -2;
    }
    if ((size_t)got < n && got > 0 && !conn->has_hangup) {
        conn->can_read = false; /* drained: an edge announces more */
    }
    return got;
}

/* How much to read at once: the rest of a body that was announced, in growing steps. */
static size_t read_size(const struct conn *conn)
{
    size_t n = FRONT_READ_BYTES;
    if (conn->state == CONN_BODY && conn->h1.framing.has_length) {
        uint64_t whole = conn->h1.head_len + conn->h1.framing.length;
        uint64_t left = whole > conn->in.len ? whole - conn->in.len : 1;
        size_t step = conn->in.len > FRONT_SPARE_BYTES_MAX ? conn->in.len : FRONT_SPARE_BYTES_MAX;
        n = left < step ? (size_t)left : step;
    }
    return n;
}

/* One read and what it brings about; false when there is nothing more to do now. */
static bool read_once(struct conn *conn)
{
    buf_borrow(&conn->in, &conn->loop->spare_in);
    size_t want = read_size(conn);
    size_t room = conn->in.cap - conn->in.len;
    if (room < want && !(conn->state == CONN_HEAD && room > FRONT_READ_BYTES / 4)) {
        if (!conn_hold(conn, want)) {
            conn->ops->full(conn);
            return false;
        }
        room = conn->in.cap - conn->in.len;
    }
    ssize_t n = raw_read(conn, conn->in.ptr + conn->in.len, room);
    if (n == -2) {
        conn_kill(conn);
        return false;
    }
    if (n < 0) {
        return false;
    }
    conn->in.len += (size_t)n;
    conn->is_eof = n == 0;
    conn->ops->input(conn);
    return conn->state != CONN_DEAD && !conn->is_eof;
}

/* Read and drop until the peer has seen our answer and closes. */
static void linger(struct conn *conn)
{
    for (unsigned i = 0; i < FRONT_READS_PER_TURN; i++) {
        ssize_t n = recv(conn->fd, conn->loop->cipher, sizeof(conn->loop->cipher), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        conn->lingered += n > 0 ? (size_t)n : 0;
        if (n <= 0 || conn->lingered > FRONT_LINGER_BYTES_MAX) {
            conn_kill(conn);
            return;
        }
    }
    loop_ready(conn->loop, conn);
}

void conn_finish(struct conn *conn)
{
    if (conn->tls != NULL) {
        tls_close(conn);
    }
    if (conn->state == CONN_DEAD) {
        return;
    }
    bool is_unread = conn->lingers || conn_has_pending(conn);
    if (!is_unread || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_kill(conn);
        return;
    }
    conn->state = CONN_LINGER;
    mln_buf_drop(&conn->in);
    mln_buf_drop(&conn->h1.body);
    conn_deadline(conn, FRONT_LINGER_NS);
    linger(conn);
}

void conn_go(struct conn *conn)
{
    if (conn->state == CONN_LINGER) {
        linger(conn);
        return;
    }
    if (conn->state == CONN_HELD && conn->has_hangup) { /* nobody waits any more */
        conn_kill(conn);
        return;
    }
    if (conn->state == CONN_HANDSHAKE) {
        tls_handshake(conn);
    }
    if (conn->state == CONN_WRITE && conn_flush(conn)) {
        conn->ops->drained(conn);
    }
    if (conn_reads(conn) && conn->in.len > 0) {
        conn->ops->input(conn); /* what came together with an earlier request */
    }
    unsigned reads = 0;
    while (conn_reads(conn) && reads < FRONT_READS_PER_TURN && read_once(conn)) {
        reads++;
    }
    if (conn->ops->pump != NULL && conn_reads(conn)) {
        conn->ops->pump(conn);
    }
    if (conn->state == CONN_DEAD) {
        return;
    }
    if (reads == FRONT_READS_PER_TURN) {
        loop_ready(conn->loop, conn);
    }
    buf_return(&conn->in, &conn->loop->spare_in);
    count_held(conn);
}

void conn_event(struct conn *conn, uint32_t events)
{
    if (conn->state == CONN_DEAD) {
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        conn_kill(conn);
        return;
    }
    conn->has_hangup = conn->has_hangup || (events & EPOLLRDHUP) != 0;
    conn->can_read = conn->can_read || (events & (EPOLLIN | EPOLLRDHUP)) != 0;
    conn->can_write = conn->can_write || (events & EPOLLOUT) != 0;
    conn_go(conn);
}

void conn_late(struct conn *conn)
{
    if (conn->state == CONN_HANDSHAKE || conn->state == CONN_LINGER || conn->state == CONN_WRITE) {
        conn_kill(conn);
    } else {
        conn->ops->late(conn);
    }
}
