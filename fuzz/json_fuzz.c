/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is accepted prints in every style and reads back equal, travels through CBOR, and prints the same again. */
#include "base/cbor.h"
#include "base/json.h"
#include "fuzz.h"

static void round_trip(struct mln_cx *cx, const struct mln_value *v, unsigned style)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf first = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf second = {0};
    mln_json_print(&first, v, style);
    MLN_CHECK(!mln_failed(mln_buf_ok(cx, &first)));
    const struct mln_value *again;
    MLN_CHECK(!mln_failed(mln_json_parse(cx, mln_buf_bytes(&first), &again)));
    MLN_CHECK(mln_value_eq(v, again) && mln_value_cmp(v, again) == 0);
    mln_json_print(&second, again, style);
    MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&first), mln_buf_bytes(&second)));
}

static void through_cbor(struct mln_cx *cx, const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_cbor_print(&buf, v);
    const struct mln_value *again;
    MLN_CHECK(!mln_failed(mln_cbor_parse(cx, mln_buf_bytes(&buf), &again)));
    MLN_CHECK(mln_value_eq(v, again));
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    const struct mln_value *v = NULL;
    struct mln_err err = mln_json_parse(&cx, mln_bytes_at(data, size), &v);
    if (!mln_failed(err)) {
        round_trip(&cx, v, MLN_JSON_COMPACT);
        round_trip(&cx, v, MLN_JSON_PRETTY | MLN_JSON_SORTED);
        round_trip(&cx, v, MLN_JSON_HTML);
        through_cbor(&cx, v);
        MLN_CHECK(mln_value_eq(v, mln_value_dup(&cx, v)));
    } else {
        MLN_CHECK(v == NULL && cx.text[0] != '\0');
    }
    size_t used = 0;
    mln_cx_clear(&cx);
    if (!mln_failed(mln_json_parse_prefix(&cx, mln_bytes_at(data, size), &v, &used))) {
        MLN_CHECK(used > 0 && used <= size);
    }
    mln_arena_free(arena);
    return 0;
}
