/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h2_priv.h"

#include <stddef.h>
#include <stdio.h>

#include "base/cbor.h"
#include "base/clock.h"


static void send_waiting(struct h2 *h2);

/* ---- memory: wiped when it is freed, for header lines pass through it ---- */

struct block {
    size_t n;
    max_align_t data[];
};

static void *h2_malloc(size_t n, void *arg)
{
    (void)arg;
    struct block *block = n > SIZE_MAX - sizeof(*block) ? NULL : mln_alloc(sizeof(*block) + n);
    if (block == NULL) {
        return NULL;
    }
    block->n = n;
    return block->data;
}

static struct block *block_of(void *ptr)
{
    return (struct block *)(void *)((uint8_t *)ptr - offsetof(struct block, data));
}

static void h2_free(void *ptr, void *arg)
{
    (void)arg;
    if (ptr != NULL) {
        struct block *block = block_of(ptr);
        mln_free_wiped(block, sizeof(*block) + block->n);
    }
}

static void *h2_calloc(size_t n, size_t size, void *arg)
{
    return size != 0 && n > SIZE_MAX / size ? NULL : h2_malloc(n * size, arg); /* mln_alloc gives zeros */
}

static void *h2_realloc(void *ptr, size_t n, void *arg)
{
    void *more = h2_malloc(n, arg);
    if (more != NULL && ptr != NULL) {
        size_t had = block_of(ptr)->n;
        mln_copy(more, ptr, had < n ? had : n);
        h2_free(ptr, arg);
    }
    return more;
}

nghttp2_mem h2_mem = {.malloc = h2_malloc, .free = h2_free, .calloc = h2_calloc, .realloc = h2_realloc};

/* ---- streams ---- */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t number)
{
    return nghttp2_session_get_stream_user_data(session, number);
}

static void stream_free(struct h2_stream *stream)
{
    mln_buf_drop(&stream->text);
    mln_buf_drop(&stream->body);
    mln_buf_drop(&stream->out);
    mln_free(stream);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct h2_stream *stream = mln_alloc(sizeof(*stream));
    if (stream == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    struct loop *loop = h2->conn->loop;
    stream->text.is_secret = stream->body.is_secret = stream->out.is_secret = true;
    stream->number = frame->hd.stream_id;
    stream->deadline_ns = loop->now_ns + loop->front->config.body_deadline_ns;
    stream->next = h2->streams;
    h2->streams = stream;
    h2->n_streams++;
    (void)nghttp2_session_set_stream_user_data(session, stream->number, stream);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t number, uint32_t code, void *arg)
{
    struct h2 *h2 = arg;
    struct h2_stream *gone = stream_of(session, number);
    (void)code;
    for (struct h2_stream **at = &h2->streams; gone != NULL && *at != NULL; at = &(*at)->next) {
        if (*at == gone) {
            *at = gone->next;
            h2->n_streams--;
            stream_free(gone);
            break;
        }
    }
    return 0;
}

/* ---- requests ---- */

static struct h2_span keep(struct h2_stream *stream, const uint8_t *from, size_t n)
{
    struct h2_span span = {.at = (uint32_t)stream->text.len, .n = (uint32_t)n};
    mln_buf_add(&stream->text, from, n);
    return span;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    struct mln_bytes key = mln_bytes_at(name, name_n);
    (void)flags;
    (void)arg;
    if (stream == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers are dropped, as those of HTTP/1.1 */
    }
    stream->is_heavy = stream->is_heavy || stream->n_headers == MLN_HTTP_HEADERS_MAX ||
                       stream->text.len + name_n + value_n > MLN_HTTP_HEAD_BYTES_MAX;
    if (stream->is_heavy) {
        return 0;
    }
    if (mln_bytes_is(key, ":method")) {
        stream->method = keep(stream, value, value_n);
        stream->is_head = mln_bytes_is(mln_bytes_at(value, value_n), "HEAD");
    } else if (mln_bytes_is(key, ":path")) {
        stream->target = keep(stream, value, value_n);
    } else if (name_n > 0 && (name[0] != ':' || mln_bytes_is(key, ":authority"))) {
        struct h2_header *header = &stream->headers[stream->n_headers++];
        header->name = name[0] == ':' ? keep(stream, (const uint8_t *)"host", 4)
                                      : keep(stream, name, name_n);
        header->value = keep(stream, value, value_n);
    }
    return stream->text.has_failed ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static struct mln_bytes text_of(const struct h2_stream *stream, struct h2_span span)
{
    return mln_bytes_sub(mln_buf_bytes(&stream->text), span.at, span.n);
}

static struct mln_http_request view_of(struct h2 *h2, const struct h2_stream *stream)
{
    struct conn *conn = h2->conn;
    struct mln_http_header *headers = conn->loop->head.headers;
    struct mln_bytes target = text_of(stream, stream->target);
    size_t n_certs = 0;
    const struct mln_bytes *certs = conn->tls != NULL ? tls_peer_certs(conn, &n_certs) : NULL;
    struct mln_http_request http = {
        .method = text_of(stream, stream->method),
        .target = target,
        .headers = headers,
        .n_headers = stream->n_headers,
        .body = mln_buf_bytes(&stream->body),
        .peer = mln_bytes_of(conn->peer),
        .peer_port = conn->peer_port,
        .peer_certs = certs,
        .n_peer_certs = n_certs,
        .is_tls = conn->tls != NULL,
        .only_bundle = conn->listener->only_bundle,
        .is_diagnostic = conn->listener->is_diagnostic,
    };
    http.path = mln_bytes_cut(target, '?', &http.query);
    for (size_t i = 0; i < stream->n_headers; i++) {
        headers[i] = (struct mln_http_header){.name = text_of(stream, stream->headers[i].name),
                                              .value = text_of(stream, stream->headers[i].value)};
    }
    return http;
}

static bool is_graphic(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* As HTTP/1.1 takes targets: a path, of visible ASCII. */
static struct mln_err check(struct mln_cx *cx, const struct h2_stream *stream)
{
    struct mln_bytes target = text_of(stream, stream->target);
    if (target.len == 0 || target.ptr[0] != '/' || !is_graphic(target)) {
        return mln_fail(cx, MLN_E_PARSE, "http: the target is not a path");
    }
    return MLN_OK;
}

static void answer_here(struct h2 *h2, struct h2_stream *stream)
{
    struct loop *loop = h2->conn->loop;
    const struct mln_front_local *local = &loop->front->config.local;
    struct mln_http_answer ans = {.status = 200};
    struct mln_http_request http = view_of(h2, stream);
    struct mln_err err = check(&loop->cx, stream);
    err = mln_failed(err) ? err : local->answer(local->arg, loop->index, &loop->cx, &http, &ans, &stream->out);
    err = mln_failed(err) ? err : mln_buf_ok(&loop->cx, &stream->out);
    if (mln_failed(err)) {
        h2_send_fault(h2, stream, err, 0);
    } else {
        h2_send_answer(h2, stream, &ans);
    }
    mln_buf_drop(&stream->text);
    mln_buf_drop(&stream->body);
    loop_clean(loop);
}

/* The request is whole: send it on, or wait for a credit. */
static void dispatch(struct h2 *h2, struct h2_stream *stream)
{
    struct loop *loop = h2->conn->loop;
    const struct mln_value *request = NULL;
    stream->deadline_ns = loop->now_ns + FRONT_ANSWER_NS;
    if (loop->front->config.local.answer != NULL) {
        answer_here(h2, stream);
        return;
    }
    stream->is_waiting = loop->in_flight >= loop->front->config.in_flight_max;
    if (stream->is_waiting) {
        loop_waiting(loop, h2->conn);
        return;
    }
    struct mln_http_request http = view_of(h2, stream);
    struct mln_err err = check(&loop->cx, stream);
    err = mln_failed(err) ? err : loop->front->config.api->request(&loop->cx, &http, &request);
    if (!mln_failed(err) && request != NULL) {
        stream->id = loop_id(loop, h2->conn);
        err = loop_send(loop, stream->id, MLN_WIRE_REQUEST, request);
        loop->in_flight += !mln_failed(err);
    }
    mln_buf_drop(&stream->text);
    mln_buf_drop(&stream->body);
    if (mln_failed(err) || request == NULL) {
        stream->id = 0;
        h2_send_fault(h2, stream, err, 0);
    }
    loop_clean(loop);
}

static void refuse(struct h2 *h2, struct h2_stream *stream, enum mln_code code, int status,
                   const char *text)
{
    struct loop *loop = h2->conn->loop;
    mln_buf_drop(&stream->text);
    mln_buf_drop(&stream->body);
    h2_send_fault(h2, stream, mln_fail(&loop->cx, code, "%s", text), status);
    loop_clean(loop);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream == NULL || stream->is_whole) {
        return 0;
    }
    stream->is_whole = is_last;
    if (stream->is_answered) {
        return 0;
    }
    if (stream->is_heavy) {
        refuse(h2, stream, MLN_E_TOO_LARGE, 431, "http: too many or too large headers");
    } else if (is_last) {
        dispatch(h2, stream);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t number, const uint8_t *data,
                   size_t n, void *arg)
{
    struct h2 *h2 = arg;
    struct conn *conn = h2->conn;
    struct h2_stream *stream = stream_of(session, number);
    size_t max = conn->loop->front->config.body_max;
    (void)flags;
    if (stream == NULL || stream->is_answered) {
        return 0;
    }
    if (n > max - stream->body.len) {
        char text[80];
        (void)snprintf(text, sizeof(text), "http: body larger than %zu bytes", max);
        refuse(h2, stream, MLN_E_TOO_LARGE, 0, text);
    } else if (!conn_hold(conn, 0)) {
        refuse(h2, stream, MLN_E_LIMIT, 503, "too many large requests at once");
    } else {
        mln_buf_add(&stream->body, data, n);
        if (stream->body.has_failed) {
            refuse(h2, stream, MLN_E_MEMORY, 0, "out of memory");
        }
    }
    return 0;
}

/* A refusal went out before its request was in: the rest is not wanted. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
                (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS);
    struct h2_stream *stream = ends ? stream_of(session, frame->hd.stream_id) : NULL;
    if (stream != NULL && !stream->is_whole) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_NO_ERROR);
    }
    return 0;
}

/* ---- the session ---- */

static int make_session(struct h2 *h2)
{
    nghttp2_session_callbacks *calls = NULL;
    if (nghttp2_session_callbacks_new(&calls) != 0) {
        return NGHTTP2_ERR_NOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    int r = nghttp2_session_server_new3(&h2->session, calls, h2, NULL, &h2_mem);
    nghttp2_session_callbacks_del(calls);
    return r;
}

static int greet(struct h2 *h2)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MLN_HTTP_HEAD_BYTES_MAX},
    };
    int r = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, MLN_COUNT(settings));
    return r != 0 ? r
                  : nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                          H2_CONN_WINDOW);
}

bool h2_begin(struct conn *conn)
{
    struct h2 *h2 = mln_alloc(sizeof(*h2));
    if (h2 == NULL) {
        return false;
    }
    h2->conn = conn;
    conn->h2 = h2;
    conn->ops = &h2_ops;
    conn->out.is_secret = true;
    return make_session(h2) == 0 && greet(h2) == 0;
}

void h2_end(struct conn *conn)
{
    struct h2 *h2 = conn->h2;
    if (h2 == NULL) {
        return;
    }
    nghttp2_session_del(h2->session);
    while (h2->streams != NULL) {
        struct h2_stream *next = h2->streams->next;
        stream_free(h2->streams);
        h2->streams = next;
    }
    mln_free(h2);
    conn->h2 = NULL;
}

size_t h2_held(const struct conn *conn)
{
    size_t held = 0;
    for (const struct h2_stream *s = conn->h2 == NULL ? NULL : conn->h2->streams; s != NULL; s = s->next) {
        held += s->body.cap;
    }
    return held;
}

/* ---- out ---- */

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The nearest end of any stream, of the bytes that the socket does not take, or of idling. */
static void set_deadline(struct h2 *h2)
{
    struct conn *conn = h2->conn;
    const struct mln_front_config *config = &conn->loop->front->config;
    size_t left = conn->out.len - conn->out_at;
    int64_t at = h2->streams == NULL ? conn->loop->now_ns + config->idle_ns : INT64_MAX;
    for (const struct h2_stream *s = h2->streams; s != NULL; s = s->next) {
        at = earliest(at, s->deadline_ns);
    }
    if (left == 0 || left < h2->out_before) {
        h2->out_ns = conn->loop->now_ns;
    }
    h2->out_before = left;
    if (left > 0) {
        at = earliest(at, h2->out_ns + config->body_deadline_ns);
    }
    conn_deadline(conn, at - conn->loop->now_ns);
}

bool h2_write_out(struct conn *conn, nghttp2_session *session)
{
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t n = 0;
        while (conn->out.len - conn->out_at < H2_OUT_MAX &&
               (n = nghttp2_session_mem_send(session, &data)) > 0) {
            mln_buf_add(&conn->out, data, (size_t)n);
        }
        if (n < 0 || conn->out.has_failed) {
            conn_kill(conn);
            return false;
        }
        bool had_any = conn->out.len > conn->out_at;
        if (!conn_flush(conn)) {
            return conn->state != CONN_DEAD;
        }
        if (!had_any) {
            return true;
        }
    }
}

static void h2_pump(struct conn *conn)
{
    struct h2 *h2 = conn->h2;
    send_waiting(h2);
    if (!h2_write_out(conn, h2->session)) {
        return;
    }
    bool is_over = nghttp2_session_want_read(h2->session) == 0 &&
                   nghttp2_session_want_write(h2->session) == 0;
    if (is_over && conn->out.len == conn->out_at) {
        conn_finish(conn);
        return;
    }
    set_deadline(h2);
}

/* ---- what the connection asks of its protocol ---- */

static void h2_input(struct conn *conn)
{
    struct h2 *h2 = conn->h2;
    if (conn->in.len > 0) {
        ssize_t n = nghttp2_session_mem_recv(h2->session, conn->in.ptr, conn->in.len);
        mln_buf_shift(&conn->in, conn->in.len);
        if (n < 0) {
            conn_kill(conn); /* not even the preface, or out of memory */
            return;
        }
        conn->lingers = true; /* whoever is sent away by GOAWAY may still be writing */
    }
    if (conn->is_eof) {
        conn_kill(conn);
    }
}

static struct h2_stream *stream_with(struct h2 *h2, uint64_t id)
{
    struct h2_stream *stream = h2->streams;
    while (stream != NULL && stream->id != id) {
        stream = stream->next;
    }
    return stream;
}

static bool h2_owns(const struct conn *conn, uint64_t id)
{
    return stream_with(conn->h2, id) != NULL;
}

static void h2_answer(struct conn *conn, uint64_t id, const struct mln_value *answer)
{
    h2_take_answer(conn->h2, stream_with(conn->h2, id), answer);
    loop_clean(conn->loop);
    loop_ready(conn->loop, conn); /* one write for all that core answered in this turn */
}

static void send_waiting(struct h2 *h2)
{
    for (struct h2_stream *s = h2->streams; s != NULL; s = s->next) {
        if (s->is_waiting) {
            dispatch(h2, s);
        }
    }
}

static void h2_nothing(struct conn *conn)
{
    (void)conn; /* never in the states that ask for it */
}

static void h2_late(struct conn *conn)
{
    struct h2 *h2 = conn->h2;
    int64_t now_ns = conn->loop->now_ns;
    size_t left = conn->out.len - conn->out_at;
    bool is_stuck = left > 0 && now_ns >= h2->out_ns + conn->loop->front->config.body_deadline_ns;
    if (h2->streams == NULL || is_stuck) {
        (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
        if (is_stuck) {
            conn_kill(conn);
            return;
        }
    }
    for (struct h2_stream *s = h2->streams; s != NULL; s = s->next) {
        if (now_ns < s->deadline_ns) {
            continue;
        }
        if (s->is_answered) {
            s->deadline_ns = INT64_MAX;
            (void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->number, NGHTTP2_CANCEL);
        } else {
            bool is_ours = s->is_whole;
            s->id = 0;
            s->is_waiting = false;
            refuse(h2, s, MLN_E_TIMEOUT, is_ours ? 0 : 408,
                   is_ours ? "no answer in time" : "http: the request did not arrive in time");
        }
    }
    loop_ready(conn->loop, conn);
}

static void h2_stop(struct conn *conn)
{
    (void)nghttp2_submit_goaway(conn->h2->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(conn->h2->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    if (conn->state == CONN_HEAD) {
        conn_go(conn);
    }
}

const struct conn_ops h2_ops = {
    .name = "h2",
    .input = h2_input,
    .pump = h2_pump,
    .owns = h2_owns,
    .answer = h2_answer,
    .credit = h2_nothing,
    .drained = h2_nothing,
    .late = h2_late,
    .full = conn_kill,
    .stop = h2_stop,
};
