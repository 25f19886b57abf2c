/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC on a connection: the session of nghttp2, deadlines, and what the loop asks of a protocol. */
#include "net/grpc_priv.h"

#include "base/clock.h"

/* ---- what nghttp2 tells ---- */

static struct grpc_stream *stream_of(nghttp2_session *session, int32_t number)
{
    return nghttp2_session_get_stream_user_data(session, number);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct grpc *grpc = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct grpc_stream *stream = grpc_stream_new(grpc, frame->hd.stream_id);
    if (stream == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* this stream is reset, the others live on */
    }
    (void)nghttp2_session_set_stream_user_data(session, stream->number, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct grpc_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;
    (void)arg;
    if (stream != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        grpc_head_line(stream, mln_bytes_at(name, name_n), mln_bytes_at(value, value_n));
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct grpc *grpc = arg;
    grpc->has_preface = true;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    struct grpc_stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream == NULL) {
        return 0;
    }
    bool is_head = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    stream->is_whole = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (is_head && grpc_head_end(stream)) {
        stream->is_open = true;
    }
    if (stream->is_whole && stream->is_open) {
        grpc_take_end(stream);
    }
    loop_clean(grpc->conn->loop);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t number, const uint8_t *data,
                   size_t n, void *arg)
{
    struct grpc *grpc = arg;
    struct grpc_stream *stream = stream_of(session, number);
    (void)flags;
    if (stream != NULL && stream->is_open) {
        grpc_take_data(stream, mln_bytes_at(data, n));
        loop_clean(grpc->conn->loop);
    }
    return 0;
}

/* The call was ended before its request was in: the rest is not wanted. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && frame->hd.type == NGHTTP2_HEADERS;
    struct grpc_stream *stream = ends ? stream_of(session, frame->hd.stream_id) : NULL;
    if (stream != NULL && !stream->is_whole) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t number, uint32_t code, void *arg)
{
    struct grpc_stream *gone = stream_of(session, number);
    (void)code;
    (void)arg;
    if (gone != NULL) {
        (void)nghttp2_session_set_stream_user_data(session, number, NULL);
        grpc_stream_close(gone);
    }
    return 0;
}

/* ---- the session ---- */

static int make_session(struct grpc *grpc)
{
    nghttp2_session_callbacks *calls = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&calls) != 0 || nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(calls);
        return NGHTTP2_ERR_NOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    nghttp2_session_callbacks_set_send_data_callback(calls, grpc_put_data);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, GRPC_RESETS_BURST, GRPC_RESETS_PER_S);
    int r = nghttp2_session_server_new3(&grpc->session, calls, grpc, option, &h2_mem);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    return r;
}

static int greet(struct grpc *grpc)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_STREAMS_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEAD_BYTES_MAX},
    };
    return nghttp2_submit_settings(grpc->session, NGHTTP2_FLAG_NONE, settings, MLN_COUNT(settings));
}

bool grpc_begin(struct conn *conn)
{
    struct grpc *grpc = mln_alloc(sizeof(*grpc));
    if (grpc == NULL) {
        return false;
    }
    grpc->conn = conn;
    grpc->soonest_ns = INT64_MAX;
    conn->grpc = grpc;
    conn->ops = &grpc_ops;
    return make_session(grpc) == 0 && greet(grpc) == 0;
}

void grpc_end(struct conn *conn)
{
    struct grpc *grpc = conn->grpc;
    if (grpc == NULL) {
        return;
    }
    nghttp2_session_del(grpc->session);
    while (grpc->streams != NULL) {
        grpc_stream_free(grpc->streams);
    }
    mln_free(grpc);
    conn->grpc = NULL;
}

size_t grpc_held(const struct conn *conn)
{
    return conn->grpc != NULL ? conn->grpc->held : 0;
}

/* ---- deadlines ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void grpc_deadline(struct grpc_stream *stream, int64_t at_ns)
{
    stream->deadline_ns = at_ns;
    stream->grpc->soonest_ns = earlier(stream->grpc->soonest_ns, at_ns);
}

/* The nearest end of any stream, of bytes that the socket does not take, or of idling. */
static void set_deadline(struct grpc *grpc)
{
    struct conn *conn = grpc->conn;
    int64_t now_ns = conn->loop->now_ns;
    size_t left = conn->out.len - conn->out_at;
    int64_t at = grpc->streams == NULL ? now_ns + GRPC_IDLE_NS : grpc->soonest_ns;
    if (!grpc->has_preface) {
        return; /* the one that it was born with */
    }
    if (left == 0 || left < grpc->out_before) {
        grpc->out_ns = now_ns;
    }
    grpc->out_before = left;
    if (left > 0) {
        at = earlier(at, grpc->out_ns + conn->loop->front->config.body_deadline_ns);
    }
    conn_deadline(conn, at == INT64_MAX ? INT64_MAX : at - now_ns);
}

static void stream_late(struct grpc_stream *s, int64_t now_ns)
{
    if (now_ns >= s->again_ns) {
        s->again_ns = INT64_MAX;
        grpc_want(s);
    }
    if (now_ns < s->deadline_ns) {
        return;
    }
    s->deadline_ns = INT64_MAX;
    if (s->number == 0) {
        grpc_stream_free(s);
    } else if (s->is_ending) {
        (void)nghttp2_submit_rst_stream(s->grpc->session, NGHTTP2_FLAG_NONE, s->number, NGHTTP2_CANCEL);
    } else {
        bool is_clients = s->timeout_ns != INT64_MAX;
        grpc_finish(s, mln_err_grpc(is_clients || !s->is_whole ? MLN_E_TIMEOUT : MLN_E_UNREACHABLE),
                    is_clients || s->is_whole ? "no answer in time" : "the request did not arrive in time");
    }
}

static void grpc_late(struct conn *conn)
{
    struct grpc *grpc = conn->grpc;
    int64_t now_ns = conn->loop->now_ns;
    bool has_left = conn->out.len > conn->out_at;
    if (!grpc->has_preface || (has_left && now_ns >= grpc->out_ns + conn->loop->front->config.body_deadline_ns)) {
        conn_kill(conn);
        return;
    }
    if (grpc->streams == NULL) {
        (void)nghttp2_session_terminate_session(grpc->session, NGHTTP2_NO_ERROR);
    }
    grpc->soonest_ns = INT64_MAX;
    for (struct grpc_stream *s = grpc->streams, *next; s != NULL; s = next) {
        next = s->next;
        stream_late(s, now_ns);
    }
    for (const struct grpc_stream *s = grpc->streams; s != NULL; s = s->next) {
        grpc->soonest_ns = earlier(grpc->soonest_ns, earlier(s->deadline_ns, s->again_ns));
    }
    loop_ready(conn->loop, conn);
}

/* ---- what the connection asks of its protocol ---- */

static void grpc_pump(struct conn *conn)
{
    struct grpc *grpc = conn->grpc;
    grpc_send_waiting(grpc);
    if (!h2_write_out(conn, grpc->session)) {
        return;
    }
    bool is_over = nghttp2_session_want_read(grpc->session) == 0 &&
                   nghttp2_session_want_write(grpc->session) == 0;
    if (is_over && conn->out.len == conn->out_at) {
        conn_finish(conn);
        return;
    }
    set_deadline(grpc);
}

static void grpc_input(struct conn *conn)
{
    if (conn->in.len > 0) {
        ssize_t n = nghttp2_session_mem_recv(conn->grpc->session, conn->in.ptr, conn->in.len);
        mln_buf_shift(&conn->in, conn->in.len);
        if (n < 0) {
            conn_kill(conn); /* not even the preface, a flood, or out of memory */
            return;
        }
        conn->lingers = true; /* whoever is sent away by GOAWAY may still be writing */
    }
    if (conn->is_eof) {
        conn_kill(conn);
    }
}

static struct grpc_stream *asking(const struct grpc *grpc, uint64_t id)
{
    struct grpc_stream *stream = grpc->asks_first;
    while (stream != NULL && stream->id != id) {
        stream = stream->asks_next;
    }
    return stream;
}

static bool grpc_owns(const struct conn *conn, uint64_t id)
{
    return asking(conn->grpc, id) != NULL;
}

static void grpc_answer(struct conn *conn, uint64_t id, const struct mln_value *answer)
{
    grpc_take_answer(asking(conn->grpc, id), answer);
    loop_clean(conn->loop);
    loop_ready(conn->loop, conn); /* one write for all that core answered in this turn */
}

static void grpc_nothing(struct conn *conn)
{
    (void)conn; /* never in the states that ask for it */
}

/* Streams would stay for ever: they are told to come again, to whoever follows us. Single calls are still answered. */
static void grpc_stop(struct conn *conn)
{
    struct grpc *grpc = conn->grpc;
    grpc->is_stopping = true;
    (void)nghttp2_submit_goaway(grpc->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(grpc->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    for (struct grpc_stream *s = grpc->streams, *next; s != NULL; s = next) {
        next = s->next;
        if (s->is_open && s->method->shape != MLN_GRPC_UNARY) {
            grpc_finish(s, mln_err_grpc(MLN_E_UNREACHABLE), "the server is stopping");
        }
    }
    if (conn->state == CONN_HEAD) {
        conn_go(conn);
    }
}

const struct conn_ops grpc_ops = {
    .name = "grpc",
    .input = grpc_input,
    .pump = grpc_pump,
    .owns = grpc_owns,
    .answer = grpc_answer,
    .credit = grpc_nothing,
    .drained = grpc_nothing,
    .late = grpc_late,
    .full = conn_kill,
    .stop = grpc_stop,
};
