/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between the evaluator of policies and its feeder. */
#include "api/rego_feed.h"

#include <errno.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"

#define SIZES 12u

static struct mln_err gone(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_UNREACHABLE, "the other process is gone");
}

void rego_feed_print(struct mln_buf *out, const struct mln_value *head, struct mln_bytes body)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, head, MLN_JSON_COMPACT);
    mln_buf_add_u32be(out, (uint32_t)text.len);
    mln_buf_add_u64be(out, body.len);
    mln_buf_add_bytes(out, mln_buf_bytes(&text));
    mln_buf_add_bytes(out, body);
}

struct mln_err rego_feed_send(struct mln_cx *cx, int fd, const struct mln_value *head, struct mln_bytes body)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    uint8_t sizes[SIZES] = {0};
    mln_buf_add(&out, sizes, SIZES);
    mln_json_print(&out, head, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &out));
    if (out.len - SIZES > REGO_FEED_HEAD_MAX || body.len > REGO_FEED_BODY_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "a message between processes is too large");
    }
    mln_put_u32be(out.ptr, (uint32_t)(out.len - SIZES));
    mln_put_u64be(out.ptr + 4, body.len);
    if (mln_failed(mln_fd_write(cx, fd, out.ptr, out.len)) || mln_failed(mln_fd_write(cx, fd, body.ptr, body.len))) {
        mln_cx_clear(cx);
        return gone(cx);
    }
    return MLN_OK;
}

static struct mln_err read_all(struct mln_cx *cx, int fd, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, to, n);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return gone(cx);
        }
        to += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return MLN_OK;
}

struct mln_err rego_feed_receive(struct mln_cx *cx, int fd, size_t body_max, struct mln_buf *buf, const struct mln_value **ret_head,
                                 struct mln_bytes *ret_body)
{
    uint8_t sizes[SIZES];
    MLN_TRY(read_all(cx, fd, sizes, SIZES));
    size_t head = mln_get_u32be(sizes);
    uint64_t body = mln_get_u64be(sizes + 4);
    if (head > REGO_FEED_HEAD_MAX || body > body_max) {
        return mln_fail(cx, MLN_E_CORRUPT, "a message between processes is too large");
    }
    mln_buf_clear(buf);
    if (!mln_buf_reserve(buf, head + (size_t)body + 1)) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(read_all(cx, fd, buf->ptr, head + (size_t)body));
    buf->len = head + (size_t)body;
    MLN_TRY(mln_json_parse(cx, mln_bytes_sub(mln_buf_bytes(buf), 0, head), ret_head));
    *ret_body = mln_bytes_from(mln_buf_bytes(buf), head);
    return mln_type_of(*ret_head) == MLN_OBJECT ? MLN_OK : mln_fail(cx, MLN_E_CORRUPT, "a message between processes is malformed");
}
