/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between core and reach: a length and CBOR. */
#include <errno.h>
#include <sys/socket.h>

#include "base/cbor.h"
#include "net/reach_priv.h"

#define HEAD_BYTES 4u

static struct mln_err gone(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_UNREACHABLE, "reach: the process for outbound calls is gone");
}

struct mln_err reach_frame_send(struct mln_cx *cx, int fd, size_t max, const struct mln_value *message)
{
    MLN_AUTO(mln_buf_drop)
    struct mln_buf frame = {.is_secret = true, .max = max};
    mln_buf_add_u32be(&frame, 0);
    mln_cbor_print(&frame, message);
    MLN_TRY(mln_buf_ok(cx, &frame));
    mln_put_u32be(frame.ptr, (uint32_t)(frame.len - HEAD_BYTES));
    for (size_t at = 0; at < frame.len;) {
        ssize_t n = send(fd, frame.ptr + at, frame.len - at, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR) {
            return gone(cx);
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return MLN_OK;
}

static struct mln_err receive_all(struct mln_cx *cx, int fd, uint8_t *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = recv(fd, to + at, n - at, 0);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return gone(cx);
        }
        at += got > 0 ? (size_t)got : 0;
    }
    return MLN_OK;
}

struct mln_err reach_frame_receive(struct mln_cx *cx, int fd, size_t max, struct mln_buf *ret)
{
    uint8_t head[HEAD_BYTES];
    MLN_TRY(receive_all(cx, fd, head, sizeof(head)));
    size_t n = mln_get_u32be(head);
    if (n == 0 || n > max) {
        return mln_fail(cx, MLN_E_CORRUPT, "reach: a frame of %zu bytes", n);
    }
    mln_buf_clear(ret);
    if (!mln_buf_reserve(ret, n)) {
        return mln_fail(cx, MLN_E_MEMORY, "reach: no memory for a frame");
    }
    MLN_TRY(receive_all(cx, fd, ret->ptr, n));
    ret->len = n;
    return MLN_OK;
}
