/* SPDX-License-Identifier: Apache-2.0 */
/* CBOR: there is one encoding of a value, so what is accepted prints back as the very same bytes. */
#include "base/cbor.h"
#include "base/json.h"
#include "fuzz.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    const struct mln_value *v = NULL;
    struct mln_err err = mln_cbor_parse(&cx, mln_bytes_at(data, size), &v);
    if (!mln_failed(err)) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_cbor_print(&buf, v);
        MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&buf), mln_bytes_at(data, size)));
        mln_buf_clear(&buf);
        const struct mln_value *again;
        mln_cbor_print_sorted(&buf, v);
        MLN_CHECK(!mln_failed(mln_cbor_parse(&cx, mln_buf_bytes(&buf), &again)));
        MLN_CHECK(mln_value_eq(v, again) && mln_value_cmp(v, again) == 0);
        mln_buf_clear(&buf);
        mln_json_print(&buf, v, MLN_JSON_HIDE);
        MLN_CHECK(!mln_failed(mln_buf_ok(&cx, &buf)));
    } else {
        MLN_CHECK(v == NULL && cx.text[0] != '\0');
    }
    mln_arena_free(arena);
    return 0;
}
