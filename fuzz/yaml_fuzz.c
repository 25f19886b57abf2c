/* SPDX-License-Identifier: Apache-2.0 */
/* YAML: what is accepted prints and reads back equal, as YAML and as JSON. */
#include "base/json.h"
#include "base/yaml.h"
#include "fuzz.h"

static void round_trip(struct mln_cx *cx, const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    const struct mln_value *again;
    mln_yaml_print(&buf, v, MLN_JSON_COMPACT);
    MLN_CHECK(!mln_failed(mln_buf_ok(cx, &buf)));
    MLN_CHECK(!mln_failed(mln_yaml_parse(cx, mln_buf_bytes(&buf), &again)));
    MLN_CHECK(mln_value_eq(v, again));
    mln_buf_clear(&buf);
    mln_json_print(&buf, v, MLN_JSON_COMPACT);
    MLN_CHECK(!mln_failed(mln_json_parse(cx, mln_buf_bytes(&buf), &again)));
    MLN_CHECK(mln_value_eq(v, again));
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    const struct mln_value *v = NULL;
    if (!mln_failed(mln_yaml_parse(&cx, mln_bytes_at(data, size), &v))) {
        round_trip(&cx, v);
    } else {
        MLN_CHECK(v == NULL && cx.text[0] != '\0');
    }
    mln_arena_free(arena);
    return 0;
}
