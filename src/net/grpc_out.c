/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of gRPC: head, messages, trailers with the status. Messages go from the stream's buffer into the connection's without a stay
 * in nghttp2's: keys pass here, and an idle session shall hold none.
 */
#include "net/grpc_priv.h"

#include <stdio.h>

#define LINES_MAX 6u
#define FRAME_HEAD_BYTES 9u

struct lines {
    nghttp2_nv all[LINES_MAX];
    size_t n;
};

static void add(struct lines *lines, const char *name, struct mln_bytes value, uint8_t flags)
{
    MLN_CHECK(lines->n < LINES_MAX);
    lines->all[lines->n++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                                          .namelen = mln_bytes_of(name).len,
                                          .value = (uint8_t *)(uintptr_t)value.ptr,
                                          .valuelen = value.len,
                                          .flags = flags};
}

void mln_grpc_message_print(struct mln_buf *buf, struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            mln_buf_add_byte(buf, c);
        } else {
            mln_buf_add_format(buf, "%%%02X", c);
        }
    }
}

struct ending {
    char status[4];
    struct mln_buf text;
};

static void add_ending(struct lines *lines, struct ending *ending, int status, struct mln_bytes text)
{
    (void)snprintf(ending->status, sizeof(ending->status), "%d", status);
    add(lines, "grpc-status", mln_bytes_of(ending->status), NGHTTP2_NV_FLAG_NONE);
    mln_grpc_message_print(&ending->text, text.len > GRPC_TEXT_MAX ? mln_bytes_sub(text, 0, GRPC_TEXT_MAX) : text);
    if (ending->text.len > 0 && !ending->text.has_failed) {
        add(lines, "grpc-message", mln_buf_bytes(&ending->text), NGHTTP2_NV_FLAG_NO_INDEX);
    }
}

static void reset(struct grpc_stream *stream)
{
    (void)nghttp2_submit_rst_stream(stream->grpc->session, NGHTTP2_FLAG_NONE, stream->number, NGHTTP2_INTERNAL_ERROR);
}

/* Head and trailers in one. */
static void send_trailers_only(struct grpc_stream *stream, int http, int status, struct mln_bytes text)
{
    struct lines lines = {0};
    struct ending ending = {0};
    char code[8];
    (void)snprintf(code, sizeof(code), "%d", http);
    add(&lines, ":status", mln_bytes_of(code), NGHTTP2_NV_FLAG_NONE);
    add(&lines, "content-type", MLN_BYTES("application/grpc"), NGHTTP2_NV_FLAG_NONE);
    add_ending(&lines, &ending, status, text);
    if (status == mln_err_grpc(MLN_E_UNSUPPORTED)) {
        add(&lines, "grpc-accept-encoding", MLN_BYTES("identity"), NGHTTP2_NV_FLAG_NONE);
    }
    stream->has_head = stream->is_done = true;
    if (nghttp2_submit_response(stream->grpc->session, stream->number, lines.all, lines.n, NULL) != 0) {
        reset(stream);
    }
    mln_buf_drop(&ending.text);
}

/* All messages are out: the status closes the stream. */
static int send_trailers(struct grpc_stream *stream)
{
    struct lines lines = {0};
    struct ending ending = {0};
    add_ending(&lines, &ending, stream->status, mln_bytes_of(stream->text));
    int r = nghttp2_submit_trailer(stream->grpc->session, stream->number, lines.all, lines.n);
    mln_buf_drop(&ending.text);
    stream->is_done = true;
    return r;
}

/* How much of a message may go into the next frame. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t on_read(nghttp2_session *session, int32_t number, uint8_t *to, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *arg)
{
    struct grpc_stream *stream = source->ptr;
    size_t left = stream->out.len - stream->out_at;
    (void)session;
    (void)number;
    (void)to;
    (void)arg;
    if (left == 0 && !stream->is_ending) {
        stream->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= n && stream->is_ending) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (!stream->is_done && send_trailers(stream) != 0) {
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    stream->promised = left < n ? left : n;
    return (ssize_t)stream->promised;
}

int grpc_put_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n, nghttp2_data_source *source, void *arg)
{
    struct grpc_stream *stream = source->ptr;
    struct conn *conn = stream->grpc->conn;
    (void)session;
    (void)frame;
    (void)arg;
    if (conn->out.len - conn->out_at >= H2_OUT_MAX) {
        return NGHTTP2_ERR_WOULDBLOCK; /* first what stands there */
    }
    MLN_CHECK(n <= stream->out.len - stream->out_at);
    mln_buf_add(&conn->out, head, FRAME_HEAD_BYTES);
    mln_buf_add(&conn->out, stream->out.ptr + stream->out_at, n);
    stream->out_at += n;
    stream->promised = 0;
    if (stream->out_at == stream->out.len) {
        mln_buf_drop(&stream->out);
        stream->out_at = 0;
        grpc_count(stream);
        if (stream->is_dirty) {
            grpc_want(stream);
        }
    }
    return 0;
}

static void send_head(struct grpc_stream *stream)
{
    struct lines lines = {0};
    nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = on_read};
    add(&lines, ":status", MLN_BYTES("200"), NGHTTP2_NV_FLAG_NONE);
    add(&lines, "content-type", MLN_BYTES("application/grpc"), NGHTTP2_NV_FLAG_NONE);
    stream->has_head = true;
    if (nghttp2_submit_response(stream->grpc->session, stream->number, lines.all, lines.n, &body) != 0) {
        reset(stream);
    }
}

void grpc_send(struct grpc_stream *stream)
{
    if (!stream->has_head) {
        send_head(stream);
    } else if (stream->is_deferred) {
        stream->is_deferred = false;
        if (nghttp2_session_resume_data(stream->grpc->session, stream->number) != 0) {
            reset(stream);
        }
    }
}

/* What the call will not need any more. */
static void forget(struct grpc_stream *stream)
{
    struct loop *loop = stream->grpc->conn->loop;
    topic_leave(loop, &stream->follower);
    mln_buf_drop(&stream->in);
    stream->call.message = MLN_BYTES_NONE;
    stream->again_ns = INT64_MAX;
    stream->is_dirty = false;
    stream->is_ending = true;
    grpc_count(stream);
    grpc_deadline(stream, loop->now_ns + loop->front->config.body_deadline_ns);
}

void grpc_finish(struct grpc_stream *stream, int status, const char *text)
{
    if (stream->is_ending || stream->number == 0) {
        return;
    }
    forget(stream);
    stream->status = status;
    if (status != 0 && stream->out_at == 0 && stream->promised == 0) {
        mln_buf_drop(&stream->out);
    }
    grpc_count(stream);
    if (!stream->has_head && stream->out.len == 0) {
        send_trailers_only(stream, 200, status, mln_bytes_of(text));
        return;
    }
    stream->text = text != NULL ? mln_strdup(text) : NULL; /* out of memory: a status without text */
    grpc_send(stream);
}

void grpc_refuse(struct grpc_stream *stream, int http, int status, const char *text)
{
    forget(stream);
    send_trailers_only(stream, http, status, mln_bytes_of(text));
}
