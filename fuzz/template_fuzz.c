/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target: mln_template_fill. Whatever the text, a filled path has no more segments and wildcards than were written, a text without
 * templates comes back as it is, and what is well-formed for one person is for all.
 */
#include "fuzz.h"

#include "base/json.h"
#include "policy/template.h"

static const char person[] = "{\"id\":\"e\",\"name\":\"a\",\"metadata\":{\"k\":\"v\",\"s\":\"/"
                             "\",\"w\":\"*\"},\"aliases\":[{\"id\":\"i\",\"name\":\"n\","
                             "\"mount_accessor\":\"m\",\"metadata\":{\"k\":\"v\"},\"custom_"
                             "metadata\":{}}],\"groups\":[{\"id\":\"g\",\"name\":\"h\","
                             "\"metadata\":{\"k\":\"+\"}}]}";

static size_t count(struct mln_bytes text, uint8_t byte)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == byte;
    }
    return n;
}

static void check(struct mln_cx *cx, struct mln_bytes in, enum mln_template_mode mode,
                  const struct mln_template_who *who)
{
    const struct mln_template_who nobody = {0};
    const char *filled = NULL, *other = NULL;
    struct mln_err err = mln_template_fill(cx, in, mode, who, &filled);
    mln_cx_clear(cx);
    struct mln_err again = mln_template_fill(cx, in, mode, &nobody, &other);
    mln_cx_clear(cx);
    MLN_CHECK(mln_is(err, MLN_E_INVALID) == mln_is(again, MLN_E_INVALID) ||
              mode == MLN_TEMPLATE_JSON);
    if (mln_failed(err)) {
        return;
    }
    bool has_nul =
        mln_bytes_find(in, 0) < in.len; /* texts end there; paths of requests have none */
    if (!mln_template_has(in) && !has_nul) {
        MLN_CHECK(filled != NULL && mln_bytes_eq(mln_bytes_of(filled), in));
    }
    if (mode == MLN_TEMPLATE_PATH && filled != NULL) {
        MLN_CHECK(count(mln_bytes_of(filled), '/') <= count(in, '/') &&
                  count(mln_bytes_of(filled), '*') <= count(in, '*'));
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    struct mln_cx cx;
    struct mln_template_who who = {.now_s = 1000};
    mln_cx_init(&cx, arena);
    MLN_CHECK(!mln_failed(mln_json_parse(&cx, mln_bytes_of(person), &who.person)));
    for (int mode = MLN_TEMPLATE_TEXT; mode <= MLN_TEMPLATE_JSON; mode++) {
        check(&cx, mln_bytes_at(data, size), (enum mln_template_mode)mode, &who);
    }
    mln_arena_free(arena);
    return 0;
}
