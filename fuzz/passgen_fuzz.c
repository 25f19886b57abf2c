/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_passgen_parse. What is read draws passwords of the length it says, or says that it cannot. */
#include "fuzz.h"

#include "base/text.h"
#include "policy/passgen.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    const struct mln_passgen *policy = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (mln_failed(mln_passgen_parse(&cx, mln_bytes_at(data, size), &policy))) {
        MLN_CHECK(cx.text[0] != '\0');
    } else {
        MLN_AUTO(mln_buf_drop) struct mln_buf to = {.is_secret = true};
        struct mln_err err = mln_passgen_draw(&cx, policy, &to);
        MLN_CHECK(mln_failed(err) ? to.len == 0 : to.len >= MLN_PASSGEN_LENGTH_MIN);
        MLN_CHECK(mln_utf8_valid(mln_buf_bytes(&to)));
    }
    mln_arena_free(arena);
    return 0;
}
