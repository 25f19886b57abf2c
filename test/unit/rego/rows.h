/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of "expression -> answer" for tests of builtins: what OPA answers, as JSON, or the error that it gives. */
#pragma once

#include "kit/kit.h"

#include "rego/rego.h"

#include <stdio.h>
#include <string.h>

struct rego_row {
    const char *query; /* a term */
    const char *want;  /* JSON; "" undefined; "!TEXT" an error that has the text */
};

#define REGO_ROW_STEPS 50000000u /* no row needs more */

static inline void rego_row_check(struct mln_cx *cx, struct mln_rego *rego,
                                  struct mln_rego_eval *eval, const struct rego_row *row)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf got = {0};
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    struct mln_rego_run_options options = {.is_strict = true,
                                           .budget = {.steps_max = REGO_ROW_STEPS},
                                           .now_ns = 1700000000000000000};
    const char *text = mln_text_format(cx, "x = %s", row->query);
    mln_cx_clear(cx);
    if (mln_failed(mln_rego_prepare(rego, cx, mln_bytes_of(text), NULL, &query))) {
        fail_msg("%s: %s", row->query, cx->text);
    }
    bool ok = !mln_failed(mln_rego_run(eval, cx, query, NULL, &options));
    const struct mln_rego_error *e = mln_rego_eval_error(eval);
    if (row->want[0] == '!') {
        if (ok || e == NULL || strstr(e->message, row->want + 1) == NULL) {
            fail_msg("%s: wanted %s, got %s", row->query, row->want,
                     ok || e == NULL ? "an answer" : e->message);
        }
    } else if (!ok) {
        fail_msg("%s: %s", row->query, e == NULL ? cx->text : e->message);
    } else {
        (void)mln_rego_binding_print(eval, 0, "x", &got);
        if (!mln_bytes_is(mln_buf_bytes(&got), row->want)) {
            fail_msg("%s: wanted %s, got %.*s", row->query, row->want,
                     MLN_FMT(mln_buf_bytes(&got)));
        }
    }
    mln_rego_eval_reset(eval);
}

static inline void rego_rows_check(const struct rego_row *rows, size_t n)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    mln_cx_init(&cx, arena);
    assert_false(mln_failed(mln_rego_new(&cx, NULL, &rego)));
    assert_false(mln_failed(mln_rego_compile(rego, &cx)));
    assert_false(mln_failed(mln_rego_eval_new(&cx, &eval)));
    for (size_t i = 0; i < n; i++) {
        rego_row_check(&cx, rego, eval, &rows[i]);
    }
}
