/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_rego_add, mln_rego_compile, mln_rego_prepare, mln_rego_run, mln_rego_data_load, mln_rego_eval_input_term.
 * The first byte chooses: a module (v1 or v0, evaluated as `data` with a small budget), a query, a term, JSON.
 * What is evaluated twice gives the same answer; what is printed as JSON is read again.
 */
#include "fuzz.h"

#include "base/json.h"
#include "rego/rego.h"

#define RUN_MEMORY ((size_t)16 << 20)

static const struct mln_rego_run_options options = {
    .budget = {.steps_max = 20000, .memory_max = RUN_MEMORY},
    .now_ns = 1700000000000000000,
    .seed = 7,
};

static void answer(struct mln_cx *cx, struct mln_rego_eval *eval,
                   const struct mln_rego_query *query, struct mln_buf *ret)
{
    struct mln_err err = mln_rego_run(eval, cx, query, NULL, &options);
    MLN_CHECK(mln_failed(err) == (mln_rego_eval_error(eval) != NULL));
    mln_rego_rows_print(eval, ret);
    mln_cx_clear(cx);
}

static void evaluate(struct mln_cx *cx, struct mln_rego *rego, struct mln_bytes text)
{
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    if (mln_failed(mln_rego_prepare(rego, cx, text, NULL, &query))) {
        MLN_CHECK(query != NULL && mln_rego_query_error_count(query) > 0);
        return;
    }
    MLN_CHECK(!mln_failed(mln_rego_eval_new(cx, &eval)));
    MLN_CHECK(!mln_failed(mln_rego_eval_input(
        eval, cx, MLN_BYTES("{\"a\":1,\"b\":[1,2,\"x\"],\"c\":{\"d\":null}}"))));
    MLN_AUTO(mln_buf_drop) struct mln_buf first = {0}, second = {0};
    answer(cx, eval, query, &first);
    answer(cx, eval, query, &second);
    MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&first), mln_buf_bytes(&second)));
}

static void fuzz_module(struct mln_cx *cx, struct mln_bytes text, enum mln_rego_version version)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_rego_options how = {.version = version};
    MLN_CHECK(!mln_failed(mln_rego_new(cx, &how, &rego)));
    struct mln_err added = mln_rego_add(rego, cx, "fuzz.rego", text);
    struct mln_err compiled = mln_rego_compile(rego, cx);
    bool bad = mln_failed(added) || mln_failed(compiled);
    MLN_CHECK(bad == (mln_rego_error_count(rego) > 0));
    mln_cx_clear(cx);
    if (!bad) {
        evaluate(cx, rego, MLN_BYTES("x = data"));
    }
}

static void fuzz_query(struct mln_cx *cx, struct mln_bytes text)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_CHECK(!mln_failed(mln_rego_new(cx, NULL, &rego)));
    MLN_CHECK(!mln_failed(mln_rego_add(
        rego, cx, "a.rego",
        MLN_BYTES(
            "package a\nf(x) := x + 1\np := {1, 2, 3}\nq[x] := y if some x, y in [3, 4]\n"))));
    MLN_CHECK(!mln_failed(mln_rego_compile(rego, cx)));
    evaluate(cx, rego, text);
}

static void fuzz_json(struct mln_cx *cx, struct mln_bytes text)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    MLN_CHECK(!mln_failed(mln_rego_eval_new(cx, &eval)));
    bool is_data = !mln_failed(mln_rego_data_load(cx, text, &data));
    mln_cx_clear(cx);
    bool is_input = !mln_failed(mln_rego_eval_input(eval, cx, text));
    MLN_CHECK(is_data == is_input);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_bytes text = mln_bytes_at(data + 1, size - 1);
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    switch (data[0]) {
    case 'q':
        fuzz_query(&cx, text);
        break;
    case 'j':
        fuzz_json(&cx, text);
        break;
    case 't':
        MLN_CHECK(!mln_failed(mln_rego_eval_new(&cx, &eval)));
        (void)mln_failed(mln_rego_eval_input_term(eval, &cx, text));
        break;
    default:
        fuzz_module(&cx, text, data[0] == '0' ? MLN_REGO_V0 : MLN_REGO_V1);
        break;
    }
    mln_arena_free(arena);
    return 0;
}
