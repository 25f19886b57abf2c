/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on a connection: one request at a time goes to core, so pipelined ones are answered in
 * order by themselves. The request stays in conn->in until it was sent; then it is wiped.
 */

#include "base/cbor.h"
#include "base/clock.h"
#include "net/front_priv.h"

#define HOLD_MAX_S 120 /* of an answer: what stands between closes connections that are silent for longer */

static void send_fault(struct conn *conn, struct mln_err err, int status, bool closes);

/* ---- answers ---- */

static bool has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* printf would cost more than all the rest of an answer's head. */
static void add_number(struct mln_buf *to, size_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    mln_buf_add(to, digits + at, sizeof(digits) - at);
}

static void add_line(struct mln_buf *to, const char *name, const char *value)
{
    mln_buf_add_text(to, name);
    mln_buf_add_text(to, value);
    mln_buf_add(to, "\r\n", 2);
}

static void build_head(struct conn *conn, const struct mln_http_answer *ans, size_t body_len,
                       struct mln_buf *head)
{
    mln_buf_add_text(head, "HTTP/1.1 ");
    add_number(head, (size_t)ans->status);
    add_line(head, " ", mln_http_reason(ans->status));
    add_line(head, "Date: ", loop_date(conn->loop));
    if (ans->content_type != NULL) {
        add_line(head, "Content-Type: ", ans->content_type);
    }
    add_line(head, "Cache-Control: ", ans->cache_control != NULL ? ans->cache_control : "no-store");
    if (conn->tls != NULL) {
        add_line(head, "Strict-Transport-Security: ", "max-age=31536000; includeSubDomains");
    }
    if (ans->extra != NULL) {
        mln_buf_add_text(head, ans->extra);
    }
    if (has_body(ans->status)) {
        mln_buf_add_text(head, "Content-Length: ");
        add_number(head, body_len);
        mln_buf_add(head, "\r\n", 2);
    }
    if (conn->closes) {
        add_line(head, "Connection: ", "close");
    } else if (conn->h1.framing.is_http10) {
        add_line(head, "Connection: ", "keep-alive");
    }
    mln_buf_add(head, "\r\n", 2);
}

/* An empty output buffer with room for the head in front. */
static struct mln_buf *begin_out(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (conn->out.ptr == NULL) {
        conn->out = loop->spare_out;
        loop->spare_out = (struct mln_buf){.is_secret = true};
        conn->out.is_secret = true;
    }
    mln_buf_clear(&conn->out);
    if (mln_buf_reserve(&conn->out, FRONT_HEAD_ROOM)) {
        conn->out.len = FRONT_HEAD_ROOM;
    }
    conn->out_at = 0;
    return &conn->out;
}

/* Put the head in front of the body that stands in out, and send. */
static void send_answer(struct conn *conn, const struct mln_http_answer *ans)
{
    size_t body_len = conn->out.len - FRONT_HEAD_ROOM;
    struct mln_buf *head = &conn->loop->head_text;
    conn->closes = conn->closes || conn->loop->is_stopping;
    mln_buf_clear(head);
    build_head(conn, ans, body_len, head);
    if (ans->no_body || conn->h1.is_head || !has_body(ans->status)) {
        mln_wipe(conn->out.ptr + FRONT_HEAD_ROOM, body_len);
        conn->out.len = FRONT_HEAD_ROOM;
    }
    size_t more = head->len > FRONT_HEAD_ROOM ? head->len - FRONT_HEAD_ROOM : 0;
    if (head->has_failed || !mln_buf_reserve(&conn->out, more)) {
        conn_kill(conn);
        return;
    }
    if (more > 0) {
        mln_move(conn->out.ptr + FRONT_HEAD_ROOM + more, conn->out.ptr + FRONT_HEAD_ROOM,
                 conn->out.len - FRONT_HEAD_ROOM);
        conn->out.len += more;
    }
    conn->out_at = FRONT_HEAD_ROOM + more - head->len;
    mln_copy(conn->out.ptr + conn->out_at, head->ptr, head->len);
    conn->state = CONN_WRITE;
    conn->out_step = conn->out_at + FRONT_WRITE_STEP;
    conn_deadline(conn, conn->loop->front->config.body_deadline_ns);
    if (conn_flush(conn)) {
        conn->ops->drained(conn);
    }
}

/* status 0 = what the error says */
static void send_fault(struct conn *conn, struct mln_err err, int status, bool closes)
{
    struct loop *loop = conn->loop;
    struct mln_buf *out = begin_out(conn);
    struct mln_http_answer ans = {.status = mln_failed(err) ? mln_err_http(err.code) : 200};
    conn->closes = conn->closes || closes;
    conn->lingers = conn->lingers || closes;
    loop->front->config.api->fault(&loop->cx, err, &ans, out);
    ans.status = status != 0 ? status : ans.status;
    if (out->has_failed || out->len < FRONT_HEAD_ROOM) {
        conn_kill(conn);
        return;
    }
    send_answer(conn, &ans);
}

static bool h1_owns(const struct conn *conn, uint64_t id)
{
    return conn->id == id;
}

static void answer_now(struct conn *conn, const struct mln_value *answer)
{
    struct loop *loop = conn->loop;
    struct mln_buf *out = begin_out(conn);
    struct mln_http_answer ans = {.status = 200};
    struct mln_err err = loop->front->config.api->answer(&loop->cx, answer, &ans, out);
    err = mln_failed(err) ? err : mln_buf_ok(&loop->cx, out);
    if (mln_failed(err)) {
        mln_cx_clear(&loop->cx);
        send_fault(conn, err, 0, false);
        return;
    }
    send_answer(conn, &ans);
}

/* ---- answers that are held ---- */

/* Its topic moved, its time is over, or front leaves: there is nothing to say but to ask again. */
static void release(struct conn *conn)
{
    struct mln_value *nothing = mln_object(&conn->loop->cx);
    topic_leave(conn->loop, conn->news);
    mln_put_int(&conn->loop->cx, nothing, "status", 204);
    answer_now(conn, nothing);
}

static void hear(struct follower *follower)
{
    release(follower->arg);
}

/* False: it cannot be held, so it is answered. */
static bool hold(struct conn *conn, const struct mln_value *answer)
{
    struct loop *loop = conn->loop;
    int64_t hold_s = mln_get_int(mln_get(answer, "hold"), 0);
    struct mln_bytes topic = mln_get_bytes(mln_get(answer, "topic"));
    if (hold_s <= 0 || topic.len == 0 || loop->is_stopping) {
        return false;
    }
    conn->news = conn->news != NULL ? conn->news : mln_alloc(sizeof(*conn->news));
    if (conn->news == NULL) {
        return false;
    }
    *conn->news = (struct follower){.version = (uint64_t)mln_get_int(mln_get(answer, "topic_version"), 0),
                                    .wake = hear,
                                    .arg = conn};
    if (!topic_follow(loop, conn->news, topic) || topic_is_behind(loop, conn->news)) {
        topic_leave(loop, conn->news);
        return false;
    }
    conn->state = CONN_HELD;
    conn_deadline(conn, (hold_s < HOLD_MAX_S ? hold_s : HOLD_MAX_S) * 1000000000);
    return true;
}

static void h1_answer(struct conn *conn, uint64_t id, const struct mln_value *answer)
{
    (void)id;
    conn->id = 0;
    if (!hold(conn, answer)) {
        answer_now(conn, answer);
    }
}

/* ---- requests ---- */

static size_t request_len(const struct conn *conn)
{
    const struct h1 *h1 = &conn->h1;
    return h1->head_len + (h1->framing.has_length ? (size_t)h1->framing.length : 0);
}

/* The request was handed on: wipe it and stand before the next one. */
static void request_done(struct conn *conn)
{
    mln_buf_shift(&conn->in, request_len(conn));
    mln_buf_drop(&conn->h1.body);
    conn->h1.scan = (struct mln_http1_scan){0};
    conn->h1.head_len = 0;
    conn->h1.chunks = (struct mln_http1_chunks){0};
    conn->h1.framing.has_length = false;
    conn->h1.is_used = true;
}

/*
 * The request as the API sees it; the head in loop->head is parsed again when others came between.
 */
static struct mln_http_request view_of(struct conn *conn)
{
    const struct mln_http1_head *head = &conn->loop->head;
    struct mln_bytes in = mln_buf_bytes(&conn->in);
    struct mln_bytes body =
        conn->h1.framing.is_chunked
            ? mln_buf_bytes(&conn->h1.body)
            : mln_bytes_sub(in, conn->h1.head_len, request_len(conn) - conn->h1.head_len);
    size_t n_certs = 0;
    const struct mln_bytes *certs = conn->tls != NULL ? tls_peer_certs(conn, &n_certs) : NULL;
    return (struct mln_http_request){
        .method = head->method,
        .target = head->target,
        .path = head->path,
        .query = head->query,
        .headers = head->headers,
        .n_headers = head->n_headers,
        .body = body,
        .peer = mln_bytes_of(conn->peer),
        .peer_port = conn->peer_port,
        .peer_certs = certs,
        .n_peer_certs = n_certs,
        .is_tls = conn->tls != NULL,
        .only_bundle = conn->listener->only_bundle,
        .is_diagnostic = conn->listener->is_diagnostic,
    };
}

static void answer_here(struct conn *conn)
{
    struct loop *loop = conn->loop;
    const struct mln_front_local *local = &loop->front->config.local;
    struct mln_http_request http = view_of(conn);
    struct mln_http_answer ans = {.status = 200};
    struct mln_buf *out = begin_out(conn);
    struct mln_err err = local->answer(local->arg, loop->index, &loop->cx, &http, &ans, out);
    err = mln_failed(err) ? err : mln_buf_ok(&loop->cx, out);
    request_done(conn);
    if (mln_failed(err)) {
        send_fault(conn, err, 0, false);
        return;
    }
    send_answer(conn, &ans);
}

/*
 * A whole request stands in conn->in and loop->head is its head: send it on, or wait for a credit.
 */
static void dispatch(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (loop->front->config.local.answer != NULL) {
        answer_here(conn);
        return;
    }
    if (loop->in_flight >= loop->front->config.in_flight_max) {
        conn->state = CONN_CREDIT;
        conn_deadline(conn, FRONT_ANSWER_NS);
        loop_waiting(loop, conn);
        return;
    }
    struct mln_http_request http = view_of(conn);
    const struct mln_value *request = NULL;
    struct mln_err err = loop->front->config.api->request(&loop->cx, &http, &request);
    uint64_t id = 0;
    if (!mln_failed(err) && request != NULL) {
        id = loop_id(loop, conn);
        err = loop_send(loop, id, MLN_WIRE_REQUEST, request);
    }
    request_done(conn);
    if (mln_failed(err) || id == 0) {
        send_fault(conn, err, 0, false);
        return;
    }
    conn->id = id;
    loop->in_flight++;
    conn->state = CONN_CORE;
    conn_deadline(conn, FRONT_ANSWER_NS);
}

static void h1_credit(struct conn *conn)
{
    struct loop *loop = conn->loop;
    struct mln_err err = mln_http1_request(
        &loop->cx, mln_bytes_sub(mln_buf_bytes(&conn->in), 0, conn->h1.head_len), &loop->head);
    MLN_CHECK(!mln_failed(err)); /* it passed before, and nobody else writes there */
    dispatch(conn);
    loop_clean(loop);
    conn_go(conn);
}

static void send_continue(struct conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    (void)begin_out(conn);
    mln_buf_clear(&conn->out);
    mln_buf_add(&conn->out, text, sizeof(text) - 1);
    conn->out_step = SIZE_MAX;
    if (!conn_flush(conn)) { /* a fresh socket takes 25 bytes */
        conn_kill(conn);
    }
}

/* The head is whole: read it, and see whether a body follows. False when it was refused. */
static bool take_head(struct conn *conn)
{
    struct loop *loop = conn->loop;
    struct h1 *h1 = &conn->h1;
    struct mln_err err = mln_http1_request(
        &loop->cx, mln_bytes_sub(mln_buf_bytes(&conn->in), 0, h1->head_len), &loop->head);
    if (mln_failed(err)) {
        int status = mln_is(err, MLN_E_TOO_LARGE)     ? 431
                     : mln_is(err, MLN_E_UNSUPPORTED) ? 417
                                                      : 400;
        send_fault(conn, err, status, true);
        return false;
    }
    h1->framing = loop->head.framing;
    h1->is_head = mln_bytes_is(loop->head.method, "HEAD");
    conn->closes = h1->framing.wants_close;
    conn->state = CONN_BODY;
    if (h1->framing.has_length && h1->framing.length > loop->front->config.body_max) {
        err = mln_fail(&loop->cx, MLN_E_TOO_LARGE, "http: body larger than %zu bytes",
                       loop->front->config.body_max);
        send_fault(conn, err, 0, true);
        return false;
    }
    bool is_here = conn->in.len > h1->head_len;
    bool has_more =
        h1->framing.is_chunked || (h1->framing.has_length && conn->in.len < request_len(conn));
    if (h1->framing.expects_continue && has_more && !is_here) {
        send_continue(conn);
    }
    if (has_more && conn->state == CONN_BODY) {
        conn_deadline(conn, loop->front->config.body_deadline_ns);
    }
    return conn->state == CONN_BODY;
}

/* Find the end of the head. False when it is not there yet, or was refused. */
static bool read_head(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (conn->in.len == 0) {
        return false;
    }
    bool is_first = conn->h1.scan.at == 0;
    struct mln_err err =
        mln_http1_scan(&loop->cx, &conn->h1.scan, mln_buf_bytes(&conn->in), &conn->h1.head_len);
    if (mln_failed(err)) {
        conn->h1.is_head = false;
        send_fault(conn, err, mln_is(err, MLN_E_TOO_LARGE) ? 431 : 400, true);
        return false;
    }
    if (conn->h1.head_len == 0) {
        if (is_first) {
            conn_deadline(conn, loop->front->config.header_deadline_ns);
        }
        return false;
    }
    return take_head(conn);
}

/* Decode chunks behind the head; what is used leaves the buffer, what follows the body stays. */
static bool read_chunks(struct conn *conn)
{
    struct loop *loop = conn->loop;
    struct h1 *h1 = &conn->h1;
    size_t used = 0;
    if (!conn_hold(conn, 0)) { /* the decoded body grows as well */
        conn->ops->full(conn);
        return false;
    }
    struct mln_bytes there = mln_bytes_from(mln_buf_bytes(&conn->in), h1->head_len);
    struct mln_err err = mln_http1_chunks(&loop->cx, &h1->chunks, there, &h1->body,
                                          loop->front->config.body_max, &used);
    if (mln_failed(err)) {
        send_fault(conn, err, 0, true);
        return false;
    }
    size_t left = there.len - used;
    mln_move(conn->in.ptr + h1->head_len, conn->in.ptr + h1->head_len + used, left);
    mln_wipe(conn->in.ptr + h1->head_len + left, used);
    conn->in.len = h1->head_len + left;
    return h1->chunks.is_done;
}

/* One whole request from what is there; false when bytes are missing. */
static bool read_request(struct conn *conn)
{
    bool is_fresh = conn->state == CONN_HEAD;
    if (is_fresh && !read_head(conn)) {
        return false;
    }
    if (conn->h1.framing.is_chunked ? !read_chunks(conn) : conn->in.len < request_len(conn)) {
        return false;
    }
    if (!is_fresh) {
        struct mln_bytes head = mln_bytes_sub(mln_buf_bytes(&conn->in), 0, conn->h1.head_len);
        MLN_CHECK(!mln_failed(mln_http1_request(&conn->loop->cx, head, &conn->loop->head)));
    }
    return true;
}

/*
 * The preface of HTTP/2 in clear, by prior knowledge (RFC 9113 section 3.3): no request of HTTP/1.1 begins so. True when this input is
 * none of HTTP/1.1, or may yet turn out so.
 */
static bool takes_preface(struct conn *conn)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t n = conn->in.len < sizeof(preface) - 1 ? conn->in.len : sizeof(preface) - 1;
    bool is_first = conn->tls == NULL && !conn->h1.is_used && conn->state == CONN_HEAD;
    if (!is_first || n == 0 || !mln_bytes_eq(mln_bytes_sub(mln_buf_bytes(&conn->in), 0, n), mln_bytes_at(preface, n))) {
        return false;
    }
    if (n < sizeof(preface) - 1) {
        return n >= 3; /* "P" and "PR" may still become POST or another verb */
    }
    if (!h2_begin(conn)) {
        conn_kill(conn);
        return true;
    }
    conn->ops->input(conn);
    return true;
}

static void h1_input(struct conn *conn)
{
    if (takes_preface(conn)) {
        if (conn->is_eof && conn->state != CONN_DEAD) {
            conn_kill(conn);
        }
        return;
    }
    while (conn_reads(conn) && conn->in.len > 0) {
        if (!read_request(conn)) {
            break;
        }
        dispatch(conn);
        loop_clean(conn->loop);
    }
    if (conn->is_eof && conn_reads(conn)) {
        conn_kill(conn);
    }
}

static void h1_drained(struct conn *conn)
{
    if (conn->closes || (conn->is_eof && conn->in.len == 0)) {
        conn_finish(conn);
        return;
    }
    conn->state = CONN_HEAD;
    conn->h1.is_head = false;
    conn_deadline(conn, conn->loop->front->config.idle_ns);
    if (conn_has_pending(conn)) {
        loop_ready(conn->loop, conn);
    }
}

static void h1_late(struct conn *conn)
{
    struct loop *loop = conn->loop;
    bool is_idle = conn->state == CONN_HEAD && conn->in.len == 0;
    if (conn->state == CONN_HELD) {
        release(conn);
        return;
    }
    if (is_idle) {
        conn_kill(conn);
        return;
    }
    bool is_ours = conn->state == CONN_CORE || conn->state == CONN_CREDIT;
    conn->id = 0;
    struct mln_err err =
        is_ours ? mln_fail(&loop->cx, MLN_E_TIMEOUT, "no answer in time")
                : mln_fail(&loop->cx, MLN_E_TIMEOUT, "http: the request did not arrive in time");
    send_fault(conn, err, is_ours ? 0 : 408, true);
}

static void h1_full(struct conn *conn)
{
    send_fault(conn, mln_fail(&conn->loop->cx, MLN_E_LIMIT, "too many large requests at once"), 503,
               true);
}

static void h1_stop(struct conn *conn)
{
    if (conn->state == CONN_HEAD && conn->in.len == 0) {
        conn_finish(conn);
    } else if (conn->state == CONN_HELD) {
        release(conn);
    }
}

const struct conn_ops h1_ops = {
    .name = "http/1.1",
    .input = h1_input,
    .owns = h1_owns,
    .answer = h1_answer,
    .credit = h1_credit,
    .drained = h1_drained,
    .late = h1_late,
    .full = h1_full,
    .stop = h1_stop,
};
