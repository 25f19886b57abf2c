/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego bench: CPU time of one evaluation, with everything loaded. */
#include "cli/rego_priv.h"

#define TIME_NS   ((int64_t)1000000000) /* of CPU for all evaluations that count */
#define WARM_NS   ((int64_t)100000000)
#define ROUND_MAX 4096u /* evaluations between two looks at the clock */

static struct mln_err read_flag(struct mln_cli *cli, const char *flag, struct mln_bytes *ret)
{
    const char *path = mln_cli_text(cli, flag);
    return path == NULL ? MLN_OK : mln_cli_read_file(cli, path, REGO_FILE_MAX, ret);
}

struct bench {
    struct mln_rego *rego;
    struct mln_rego_query *query;
    struct mln_rego_data *data;
    struct mln_rego_eval *eval;
    uint64_t n;
    int64_t cpu_ns;
};

static void bench_drop(struct bench *b)
{
    mln_rego_eval_free(b->eval);
    mln_rego_query_free(b->query);
    mln_rego_free(b->rego);
    mln_rego_data_free(b->data);
}

static struct mln_err load(struct mln_cli *cli, struct bench *b)
{
    struct mln_bytes policy = {0}, data = {0}, input = {0}, query = {0};
    struct mln_rego_options options = {.version =
                                           mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    struct mln_rego_query_options how = {.version = options.version};
    MLN_TRY(read_flag(cli, "policy", &policy));
    MLN_TRY(read_flag(cli, "data", &data));
    MLN_TRY(read_flag(cli, "input", &input));
    MLN_TRY(read_flag(cli, "query", &query));
    MLN_TRY(mln_rego_new(cli->cx, &options, &b->rego));
    MLN_TRY(policy.ptr == NULL ? MLN_OK
                               : mln_rego_add(b->rego, cli->cx, mln_cli_text(cli, "policy"), policy));
    MLN_TRY(mln_rego_compile(b->rego, cli->cx));
    MLN_TRY(data.ptr == NULL ? MLN_OK : mln_rego_data_load(cli->cx, data, &b->data));
    MLN_TRY(mln_rego_prepare(b->rego, cli->cx, mln_bytes_trim(query), &how, &b->query));
    MLN_TRY(mln_rego_eval_new(cli->cx, &b->eval));
    return input.ptr == NULL ? MLN_OK : mln_rego_eval_input(b->eval, cli->cx, input);
}

static struct mln_err spend(struct mln_cli *cli, struct bench *b, int64_t most_ns)
{
    int64_t start_ns = mln_cpu_ns();
    uint64_t round = 1;
    b->n = 0;
    do {
        for (uint64_t i = 0; i < round; i++) {
            MLN_TRY(mln_rego_run(b->eval, cli->cx, b->query, b->data, NULL));
        }
        b->n += round;
        b->cpu_ns = mln_cpu_ns() - start_ns;
        round = round * 2 < ROUND_MAX && b->cpu_ns < most_ns / 8 ? round * 2 : round;
    } while (b->cpu_ns < most_ns);
    return MLN_OK;
}

/* Is the answer what --want says? Without it there is nothing to compare with: no. */
static struct mln_err is_wanted(struct mln_cli *cli, const struct bench *b, bool *ret)
{
    struct mln_bytes text = {0};
    const struct mln_value *want = NULL, *got = mln_rego_answer(b->eval, cli->cx), *plain = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    *ret = false;
    if (mln_cli_text(cli, "want") == NULL || got == NULL) {
        return MLN_OK;
    }
    MLN_TRY(read_flag(cli, "want", &text));
    MLN_TRY(mln_json_parse(cli->cx, text, &want));
    mln_json_print(&json, got, MLN_JSON_COMPACT); /* sets are lists in JSON */
    MLN_TRY(mln_buf_ok(cli->cx, &json));
    MLN_TRY(mln_json_parse(cli->cx, mln_buf_bytes(&json), &plain));
    *ret = mln_value_eq(plain, want);
    return mln_cx_err(cli->cx);
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(bench_drop) struct bench b = {0};
    bool ok = false;
    if (mln_cli_text(cli, "query") == NULL) {
        return mln_cli_usage(cli, "--query names the file with the query");
    }
    MLN_TRY(load(cli, &b));
    MLN_TRY(spend(cli, &b, WARM_NS));
    MLN_TRY(is_wanted(cli, &b, &ok));
    MLN_TRY(spend(cli, &b, TIME_NS));
    mln_cli_out("{\"engine\":\"merlon\",\"cpu_ns\":%.1f,\"ok\":%s,\"n\":%llu}\n",
                (double)b.cpu_ns / (double)b.n, ok ? "true" : "false", (unsigned long long)b.n);
    return MLN_OK;
}

static const struct mln_flag flags[] = {
    {"policy", MLN_FLAG_TEXT, "FILE", NULL, "Policy"},
    {"data", MLN_FLAG_TEXT, "FILE", NULL, "Data, JSON"},
    {"input", MLN_FLAG_TEXT, "FILE", NULL, "Input, JSON"},
    {"query", MLN_FLAG_TEXT, "FILE", NULL, "File with the query"},
    {"want", MLN_FLAG_TEXT, "FILE", NULL, "The right answer, JSON"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {0},
};
static const char *const examples[] = {
    "merlon rego bench --policy policy.rego --data data.json --input input.json --query query --want want.json",
    NULL,
};
const struct mln_command mln_command_rego_bench = {
    .noun = "rego",
    .verb = "bench",
    .summary = "Measure the CPU time of one evaluation",
    .args = "",
    .examples = examples,
    .flags = flags,
    .is_local = true,
    .more = "Prints one line of JSON: engine, cpu_ns (user and system, of one evaluation with everything loaded), ok (the answer "
            "equals --want; false without it) and n (evaluations that were timed).",
    .run = run,
};
