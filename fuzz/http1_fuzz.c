/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_http1_scan, mln_http1_request, mln_http1_answer, mln_http1_chunks. The same bytes
 * cut anywhere must give the same verdict, and a request that was taken is taken again when it is
 * written out from its parts.
 */
#include "fuzz.h"

#include "base/buf.h"
#include "net/http1.h"

#define BODY_MAX 4096

static void again(struct mln_cx *cx, const struct mln_http1_head *h)
{
    static struct mln_http1_head second;
    struct mln_buf out = {0};
    mln_buf_add_bytes(&out, h->method);
    mln_buf_add_byte(&out, ' ');
    mln_buf_add_bytes(&out, h->target);
    mln_buf_add_text(&out, h->framing.is_http10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    for (size_t i = 0; i < h->n_headers; i++) {
        mln_buf_add_bytes(&out, h->headers[i].name);
        mln_buf_add_byte(&out, ':');
        mln_buf_add_bytes(&out, h->headers[i].value);
        mln_buf_add_text(&out, "\r\n");
    }
    mln_buf_add_text(&out, "\r\n");
    struct mln_http1_scan scan = {0};
    size_t len = 0;
    MLN_CHECK(!mln_failed(mln_http1_scan(cx, &scan, mln_buf_bytes(&out), &len)) && len == out.len);
    MLN_CHECK(!mln_failed(mln_http1_request(cx, mln_buf_bytes(&out), &second)));
    MLN_CHECK(second.n_headers == h->n_headers && mln_bytes_eq(second.target, h->target));
    MLN_CHECK(second.framing.length == h->framing.length &&
              second.framing.is_chunked == h->framing.is_chunked &&
              second.framing.wants_close == h->framing.wants_close);
    for (size_t i = 0; i < h->n_headers; i++) {
        MLN_CHECK(mln_bytes_eq(second.headers[i].value, h->headers[i].value));
    }
    mln_buf_drop(&out);
}

static size_t scan_cut(struct mln_cx *cx, struct mln_bytes in, size_t step, struct mln_err *ret_err)
{
    struct mln_http1_scan scan = {0};
    size_t len = 0;
    mln_cx_clear(cx);
    *ret_err = MLN_OK;
    for (size_t n = step < in.len ? step : in.len; len == 0 && !mln_failed(*ret_err);
         n = n + step < in.len ? n + step : in.len) {
        *ret_err = mln_http1_scan(cx, &scan, mln_bytes_sub(in, 0, n), &len);
        if (n == in.len) {
            break;
        }
    }
    return len;
}

static void body_of(struct mln_cx *cx, struct mln_bytes in, size_t step, struct mln_buf *body,
                    struct mln_err *ret_err, size_t *ret_used)
{
    struct mln_http1_chunks k = {0};
    *ret_used = 0;
    *ret_err = MLN_OK;
    mln_cx_clear(cx);
    while (*ret_used < in.len && !k.is_done && !mln_failed(*ret_err)) {
        size_t used = 0;
        *ret_err =
            mln_http1_chunks(cx, &k, mln_bytes_sub(in, *ret_used, step), body, BODY_MAX, &used);
        *ret_used += used;
    }
    MLN_CHECK(body->len <= BODY_MAX);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    static struct mln_http1_head head;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    struct mln_bytes in = mln_bytes_at(data, size);
    if (size == 0) {
        return 0;
    }
    struct mln_err whole_err, cut_err;
    size_t len = scan_cut(&cx, in, size, &whole_err);
    MLN_CHECK(scan_cut(&cx, in, 1 + size / 7, &cut_err) == len && cut_err.code == whole_err.code);
    mln_cx_clear(&cx);
    if (len != 0 && !mln_failed(mln_http1_request(&cx, mln_bytes_sub(in, 0, len), &head))) {
        again(&cx, &head);
    }
    mln_cx_clear(&cx);
    if (len != 0) {
        (void)mln_failed(mln_http1_answer(&cx, mln_bytes_sub(in, 0, len), &head));
    }
    struct mln_bytes rest = mln_bytes_from(in, len);
    struct mln_buf one = {0}, two = {0};
    size_t used_one, used_two;
    body_of(&cx, rest, rest.len, &one, &whole_err, &used_one);
    body_of(&cx, rest, 1 + rest.len / 5, &two, &cut_err, &used_two);
    MLN_CHECK(whole_err.code == cut_err.code);
    MLN_CHECK(mln_failed(whole_err) ||
              (used_one == used_two && mln_bytes_eq(mln_buf_bytes(&one), mln_buf_bytes(&two))));
    mln_buf_drop(&one);
    mln_buf_drop(&two);
    return 0;
}
