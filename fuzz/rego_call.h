/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target through a builtin: the expression sees the bytes before and behind the first NUL as the strings input.a
 * and input.b. Twice the same answer, JSON that reads again, and nothing but an error of the language.
 */
#pragma once

#include "fuzz.h"

#include "base/json.h"
#include "base/text.h"
#include "rego/rego.h"

static const struct mln_rego_run_options rego_call_options = {
    .budget = {.steps_max = 300000, .memory_max = (size_t)32 << 20},
    .is_strict = true,
    .now_ns = 1700000000000000000,
    .seed = 7,
};

static inline void rego_call_run(struct mln_cx *cx, struct mln_rego_eval *eval,
                                 const struct mln_rego_query *query, struct mln_bytes input,
                                 struct mln_buf *ret)
{
    mln_rego_eval_reset(eval);
    MLN_CHECK(!mln_failed(mln_rego_eval_input(eval, cx, input)));
    struct mln_err err = mln_rego_run(eval, cx, query, NULL, &rego_call_options);
    MLN_CHECK(mln_failed(err) == (mln_rego_eval_error(eval) != NULL));
    mln_rego_rows_print(eval, ret);
    mln_cx_clear(cx);
}

static inline void rego_call(const char *expression, const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {0}, first = {0}, second = {0};
    struct mln_bytes b, a = mln_bytes_cut(mln_bytes_at(data, size), 0, &b);
    if (!mln_utf8_valid(a) || !mln_utf8_valid(b)) {
        return; /* no string of the language */
    }
    mln_cx_init(&cx, arena);
    mln_buf_add_text(&input, "{\"a\":");
    mln_json_print_string(&input, a, 0);
    mln_buf_add_text(&input, ",\"b\":");
    mln_json_print_string(&input, b, 0);
    mln_buf_add_text(&input, "}");
    MLN_CHECK(!mln_failed(mln_rego_new(&cx, NULL, &rego)) &&
              !mln_failed(mln_rego_compile(rego, &cx)));
    MLN_CHECK(!mln_failed(mln_rego_prepare(rego, &cx, mln_bytes_of(expression), NULL, &query)));
    MLN_CHECK(!mln_failed(mln_rego_eval_new(&cx, &eval)));
    rego_call_run(&cx, eval, query, mln_buf_bytes(&input), &first);
    rego_call_run(&cx, eval, query, mln_buf_bytes(&input), &second);
    MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&first), mln_buf_bytes(&second)));
    const struct mln_value *back = NULL;
    MLN_CHECK(!mln_failed(mln_json_parse(&cx, mln_buf_bytes(&first), &back)));
}
