/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of HTTP/2: heads as name and value pairs, bodies as nghttp2 asks for them. */
#include "net/h2_priv.h"

struct lines {
    nghttp2_nv all[H2_ANSWER_LINES];
    size_t n;
};

static bool has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void add_bytes(struct lines *lines, struct mln_bytes name, struct mln_bytes value)
{
    if (lines->n < H2_ANSWER_LINES) {
        lines->all[lines->n++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.ptr,
                                              .namelen = name.len,
                                              .value = (uint8_t *)(uintptr_t)value.ptr,
                                              .valuelen = value.len};
    }
}

static void add(struct lines *lines, const char *name, const char *value)
{
    add_bytes(lines, mln_bytes_of(name), mln_bytes_of(value));
}

/* "Name: value\r\n" lines of ours; names are lower case here. */
static void add_extra(struct mln_cx *cx, struct lines *lines, const char *extra)
{
    struct mln_bytes left = mln_bytes_of(extra);
    while (left.len > 0) {
        struct mln_bytes line = mln_bytes_cut(left, '\n', &left), value;
        struct mln_bytes name = mln_bytes_cut(line, ':', &value);
        uint8_t *lower = mln_new(cx, name.len + 1);
        for (size_t i = 0; lower != NULL && i < name.len; i++) {
            bool is_upper = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z';
            lower[i] = (uint8_t)(name.ptr[i] + (is_upper ? 'a' - 'A' : 0));
        }
        if (lower != NULL && name.len > 0) {
            add_bytes(lines, mln_bytes_at(lower, name.len), mln_bytes_trim(value));
        }
    }
}

static void build_head(struct conn *conn, const struct mln_http_answer *ans, size_t body_len,
                       struct lines *lines)
{
    struct mln_cx *cx = &conn->loop->cx;
    add(lines, ":status", mln_text_format(cx, "%d", ans->status));
    add(lines, "date", loop_date(conn->loop));
    if (ans->content_type != NULL) {
        add(lines, "content-type", ans->content_type);
    }
    add(lines, "cache-control", ans->cache_control != NULL ? ans->cache_control : "no-store");
    if (conn->tls != NULL) {
        add(lines, "strict-transport-security", "max-age=31536000; includeSubDomains");
    }
    if (has_body(ans->status)) {
        add(lines, "content-length", mln_text_format(cx, "%zu", body_len));
    }
    if (ans->extra != NULL) {
        add_extra(cx, lines, ans->extra);
    }
}

static ssize_t read_out(nghttp2_session *session, int32_t number, uint8_t *to, size_t n,
                        uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)number;
    (void)arg;
    struct h2_stream *stream = source->ptr;
    size_t left = stream->out.len - stream->out_at;
    n = n < left ? n : left;
    mln_copy(to, stream->out.ptr + stream->out_at, n);
    stream->out_at += n;
    if (n == left) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

void h2_send_answer(struct h2 *h2, struct h2_stream *stream, const struct mln_http_answer *ans)
{
    struct conn *conn = h2->conn;
    struct lines lines = {0};
    bool is_bare = ans->no_body || stream->is_head || !has_body(ans->status);
    nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = read_out};
    build_head(conn, ans, stream->out.len, &lines);
    if (is_bare) {
        mln_buf_drop(&stream->out);
    }
    stream->is_answered = true;
    stream->deadline_ns = conn->loop->now_ns + conn->loop->front->config.body_deadline_ns;
    if (mln_failed(mln_cx_err(&conn->loop->cx)) ||
        nghttp2_submit_response(h2->session, stream->number, lines.all, lines.n,
                                is_bare ? NULL : &body) != 0) {
        (void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->number,
                                        NGHTTP2_INTERNAL_ERROR);
    }
}

void h2_send_fault(struct h2 *h2, struct h2_stream *stream, struct mln_err err, int status)
{
    struct loop *loop = h2->conn->loop;
    struct mln_http_answer ans = {.status = mln_failed(err) ? mln_err_http(err.code) : 200};
    mln_buf_clear(&stream->out);
    loop->front->config.api->fault(&loop->cx, err, &ans, &stream->out);
    ans.status = status != 0 ? status : ans.status;
    mln_cx_clear(&loop->cx); /* the text is in the body now */
    h2_send_answer(h2, stream, &ans);
}

void h2_take_answer(struct h2 *h2, struct h2_stream *stream, const struct mln_value *answer)
{
    struct loop *loop = h2->conn->loop;
    struct mln_http_answer ans = {.status = 200};
    stream->id = 0;
    struct mln_err err = loop->front->config.api->answer(&loop->cx, answer, &ans, &stream->out);
    err = mln_failed(err) ? err : mln_buf_ok(&loop->cx, &stream->out);
    if (mln_failed(err)) {
        mln_cx_clear(&loop->cx);
        h2_send_fault(h2, stream, err, 0);
        return;
    }
    h2_send_answer(h2, stream, &ans);
}
