/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_vault_api (paths, queries, forms, JSON bodies, headers) behind the HTTP/1.1 reader.
 * Whatever it makes of a request, core must be able to take: the message is written as CBOR and
 * read back equal. Used as an answer, the same document must give a body without complaint or a
 * refusal.
 */
#include "fuzz.h"

#include "api/vault.h"
#include "base/cbor.h"
#include "net/http1.h"

static void as_core_sees_it(struct mln_cx *cx, const struct mln_value *message)
{
    struct mln_buf wire = {0};
    const struct mln_value *back = NULL;
    mln_cbor_print(&wire, message);
    MLN_CHECK(!wire.has_failed);
    MLN_CHECK(!mln_failed(mln_cbor_parse(cx, mln_buf_bytes(&wire), &back)));
    MLN_CHECK(mln_value_eq(message, back));
    struct mln_bytes path = mln_get_bytes(mln_get(message, "path"));
    MLN_CHECK(path.len > 0 && path.ptr[0] != '/');
    MLN_CHECK(mln_bytes_find_bytes(path, MLN_BYTES("//")) == path.len);
    MLN_CHECK(mln_bytes_find_bytes(path, MLN_BYTES("/../")) == path.len &&
              !mln_bytes_starts(path, MLN_BYTES("../")));
    mln_buf_drop(&wire);
}

static void as_answer(struct mln_cx *cx, const struct mln_value *data)
{
    struct mln_http_answer ans = {0};
    struct mln_buf body = {0};
    struct mln_value *answer = mln_object(cx);
    mln_put_int(cx, answer, "status", 200);
    mln_put(cx, answer, "data", data);
    mln_put(cx, answer, "top", data);
    mln_put(cx, answer, "ct", mln_get(data, "ct"));
    MLN_CHECK(!mln_failed(mln_vault_api.answer(cx, answer, &ans, &body)) && body.len > 0);
    MLN_CHECK(!mln_failed(mln_vault_api.answer(cx, data, &ans, &body)) ||
              cx->fault.code == MLN_E_INTERNAL);
    mln_buf_drop(&body);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    static struct mln_http1_head head;
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    struct mln_http1_scan scan = {0};
    struct mln_bytes in = mln_bytes_at(data, size);
    const struct mln_value *message = NULL;
    size_t len = 0;
    if (!mln_failed(mln_http1_scan(&cx, &scan, in, &len)) && len != 0 &&
        !mln_failed(mln_http1_request(&cx, mln_bytes_sub(in, 0, len), &head))) {
        struct mln_http_request http = {
            .method = head.method,
            .target = head.target,
            .path = head.path,
            .query = head.query,
            .headers = head.headers,
            .n_headers = head.n_headers,
            .body = mln_bytes_from(in, len),
            .peer = MLN_BYTES("192.0.2.1"),
        };
        if (!mln_failed(mln_vault_api.request(&cx, &http, &message)) && message != NULL) {
            as_core_sees_it(&cx, message);
            as_answer(&cx, mln_get(message, "data") != NULL ? mln_get(message, "data") : message);
        }
    }
    mln_arena_free(arena);
    return 0;
}
