/* SPDX-License-Identifier: Apache-2.0 */
/* What Rego may recurse to fits the stack that core's workers have: values as deep as they may be, rules behind one another. */
#include <pthread.h>
#include <stdio.h>

#include "kit/kit.h"
#include "main/workers.h"
#include "rego/rego.h"

#define DEPTH (MLN_REGO_JSON_DEPTH_MAX - 10)

static const char *const queries[] = {
    "count(json.unmarshal(input.text)) == 1",
    "json.marshal(json.unmarshal(input.text)) == input.text",
    "json.unmarshal(input.text) == json.unmarshal(concat(\"\", [\" \", input.text]))",
    "count({1 | walk(json.unmarshal(input.text))}) == 1",
    "count({json.unmarshal(input.text), json.unmarshal(input.text)}) == 1",
    "yaml.is_valid(input.text) in {true, false}",
    "graphql.is_valid(input.chain, \"type Query { a: Int }\") in {true, false}",
};

struct work {
    struct mln_bytes input;
    size_t failed; /* 1 + the place of a query that could not be begun; 0 = none */
};

/* An answer or a refusal, both are fine: that it comes back is what counts. */
static struct mln_err one(struct mln_cx *cx, struct mln_bytes input, const char *text)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    struct mln_rego_run_options options = {.budget = {.steps_max = 2000000}};
    MLN_TRY(mln_rego_new(cx, NULL, &rego));
    MLN_TRY(mln_rego_compile(rego, cx));
    MLN_TRY(mln_rego_eval_new(cx, &eval));
    MLN_TRY(mln_rego_prepare(rego, cx, mln_bytes_of(text), NULL, &query));
    MLN_TRY(mln_rego_eval_input(eval, cx, input));
    (void)mln_rego_run(eval, cx, query, NULL, &options);
    return MLN_OK;
}

static void *run(void *arg)
{
    struct work *w = arg;
    for (size_t i = 0; i < MLN_COUNT(queries); i++) {
        struct mln_cx cx;
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
        mln_cx_init(&cx, arena);
        if (mln_failed(one(&cx, w->input, queries[i]))) {
            w->failed = i + 1;
        }
    }
    return NULL;
}

static void add_many(struct mln_buf *to, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(to, text);
    }
}

/* Fragments that spread each other, and an operation that spreads them leaf first. */
static void add_chain(struct mln_buf *to, unsigned n)
{
    char one_of[64];
    mln_buf_add_text(to, "query {");
    for (unsigned i = n; i > 0; i--) {
        (void)snprintf(one_of, sizeof(one_of), " ...F%u", i - 1);
        mln_buf_add_text(to, one_of);
    }
    mln_buf_add_text(to, " }");
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(one_of, sizeof(one_of),
                       i + 1 < n ? " fragment F%u on Query { a ...F%u }"
                                 : " fragment F%u on Query { a }",
                       i, i + 1);
        mln_buf_add_text(to, one_of);
    }
}

static void test_depths_fit(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_attr_t attr;
    struct work w = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    mln_buf_add_text(&json, "{\"text\":\"");
    add_many(&json, "[", DEPTH);
    add_many(&json, "]", DEPTH);
    mln_buf_add_text(&json, "\",\"chain\":\"");
    add_chain(&json, 1900);
    mln_buf_add_text(&json, "\"}");
    w.input = mln_buf_bytes(&json);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attr, run, &w), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_attr_destroy(&attr);
    assert_int_equal(w.failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_depths_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
