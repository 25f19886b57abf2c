/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rego evaluations per CPU time: bench_rego --data D --input I --policy P --query Q [--want W], all of them files.
 * Prints {"engine","cpu_ns","ok","n"}: CPU of the process for one evaluation, input parsed once.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "rego/rego.h"

#include <stdio.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 30)

struct bench {
    struct mln_cx cx;
    struct mln_buf data, input, policy, query, want;
    bool has_want;
};

static bool read_flag(struct bench *b, const char *flag, const char *path)
{
    struct {
        const char *flag;
        struct mln_buf *to;
    } t[] = {{"--data", &b->data},
             {"--input", &b->input},
             {"--policy", &b->policy},
             {"--query", &b->query},
             {"--want", &b->want}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (strcmp(flag, t[i].flag) == 0) {
            b->has_want |= t[i].to == &b->want;
            return !mln_failed(mln_file_read_all(&b->cx, path, FILE_MAX, t[i].to));
        }
    }
    return false;
}

static bool is_right(struct bench *b, const struct mln_rego_eval *eval)
{
    const struct mln_value *want = NULL, *got = mln_rego_answer(eval, &b->cx);
    if (!b->has_want || mln_failed(mln_json_parse(&b->cx, mln_buf_bytes(&b->want), &want))) {
        return false;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const struct mln_value *plain = NULL;
    if (!mln_rego_expression_print(eval, 0, 0, &text) ||
        mln_failed(mln_json_parse(&b->cx, mln_buf_bytes(&text), &plain))) {
        return false;
    }
    return got != NULL && mln_value_eq(plain, want);
}

static struct mln_err run(struct bench *b)
{
    struct mln_rego *rego = NULL;
    struct mln_rego_query *query = NULL;
    struct mln_rego_data *data = NULL;
    struct mln_rego_eval *eval = NULL;
    MLN_TRY(mln_rego_new(&b->cx, NULL, &rego));
    MLN_TRY(mln_rego_add(rego, &b->cx, "policy.rego", mln_buf_bytes(&b->policy)));
    MLN_TRY(mln_rego_compile(rego, &b->cx));
    MLN_TRY(mln_rego_prepare(rego, &b->cx, mln_bytes_trim(mln_buf_bytes(&b->query)), NULL, &query));
    MLN_TRY(mln_rego_data_load(&b->cx, mln_buf_bytes(&b->data), &data));
    MLN_TRY(mln_rego_eval_new(&b->cx, &eval));
    MLN_TRY(mln_rego_eval_input(eval, &b->cx, mln_buf_bytes(&b->input)));
    MLN_TRY(mln_rego_run(eval, &b->cx, query, data, NULL));
    bool ok = is_right(b, eval);
    uint64_t n = 0;
    int64_t from = mln_cpu_ns(), took = 0;
    for (uint64_t batch = 1; took < 1000000000; batch *= 2) {
        for (uint64_t i = 0; i < batch; i++) {
            MLN_TRY(mln_rego_run(eval, &b->cx, query, data, NULL));
        }
        n += batch;
        took = mln_cpu_ns() - from;
    }
    (void)printf("{\"engine\":\"merlon\",\"cpu_ns\":%lld,\"ok\":%s,\"n\":%llu}\n",
                 (long long)(took / (int64_t)n), ok ? "true" : "false", (unsigned long long)n);
    mln_rego_eval_free(eval);
    mln_rego_data_free(data);
    mln_rego_query_free(query);
    mln_rego_free(rego);
    return MLN_OK;
}

int main(int argc, char **argv)
{
    struct bench b = {.has_want = false};
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    mln_cx_init(&b.cx, arena);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!read_flag(&b, argv[i], argv[i + 1])) {
            (void)fprintf(stderr, "bench_rego: %s %s: %s\n", argv[i], argv[i + 1], b.cx.text);
            return 2;
        }
    }
    struct mln_err err = run(&b);
    if (mln_failed(err)) {
        (void)fprintf(stderr, "bench_rego: %s\n", b.cx.text);
    }
    mln_arena_free(arena);
    return mln_failed(err);
}
