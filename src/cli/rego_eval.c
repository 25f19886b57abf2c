/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego eval: one query, with OPA's flags and exit codes. */
#include <stdio.h>

#include "cli/rego_eval_priv.h"
#include "rego/partial.h"

#define EXIT_FAIL 1

static struct mln_err read_input(struct mln_cli *cli, struct rego_answer *a)
{
    const char *path = mln_cli_bool(cli, "stdin-input") ? "-" : mln_cli_text(cli, "input");
    struct mln_bytes text;
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_cli_read_file(cli, path, REGO_FILE_MAX, &text));
    struct mln_bytes name = mln_bytes_of(path);
    if (mln_bytes_ends(name, MLN_BYTES(".yaml")) || mln_bytes_ends(name, MLN_BYTES(".yml"))) {
        const struct mln_value *value = NULL;
        MLN_TRY(mln_yaml_parse(cli->cx, text, &value));
        return mln_rego_eval_input_value(a->eval, cli->cx, value);
    }
    return mln_rego_eval_input(a->eval, cli->cx, text);
}

static struct mln_err read_query(struct mln_cli *cli, struct rego_answer *a)
{
    bool is_stdin = mln_cli_bool(cli, "stdin");
    if (is_stdin == (cli->n_args == 1)) {
        return mln_cli_usage(cli, "give one query, or --stdin");
    }
    if (is_stdin) {
        return mln_cli_read_file(cli, "-", MLN_REGO_MODULE_MAX, &a->query_text);
    }
    a->query_text = mln_bytes_of(cli->args[0]);
    return MLN_OK;
}

static struct mln_err load(struct mln_cli *cli, struct rego_answer *a)
{
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1,
        .is_strict = mln_cli_bool(cli, "strict"),
        .has_print = true,
        .has_notes = a->is_watched};
    a->files.capabilities = mln_cli_text(cli, "capabilities");
    a->files.schema = mln_cli_text(cli, "schema");
    MLN_TRY(rego_files_of_flag(cli, "data", &a->files));
    a->files.is_bundle = true;
    MLN_TRY(rego_files_of_flag(cli, "bundle", &a->files));
    MLN_TRY(rego_compile(cli, &a->files, &options, &a->rego, &a->errors));
    MLN_TRY(mln_rego_eval_new(cli->cx, &a->eval));
    MLN_TRY(read_input(cli, a));
    struct mln_rego_query_options how = {.package = mln_cli_text(cli, "package"),
                                         .imports = rego_flag_list(cli, "import"),
                                         .version = options.version};
    struct mln_err err = mln_rego_prepare(a->rego, cli->cx, a->query_text, &how, &a->query);
    if (mln_failed(err) && a->query != NULL) {
        a->errors = rego_query_errors_of(cli->cx, a->query);
    }
    return err;
}

/* print() of a policy. */
static void say_print(void *with, const char *file, uint32_t row, const char *text)
{
    (void)with;
    (void)file;
    (void)row;
    (void)fprintf(stderr, "%s\n", text);
}

static struct mln_err read_explain(struct mln_cli *cli, enum rego_trace *ret)
{
    static const struct {
        const char *name;
        enum rego_trace trace;
    } modes[] = {{"off", REGO_TRACE_NONE}, {"fails", REGO_TRACE_FAILS}, {"full", REGO_TRACE_FULL}, {"debug", REGO_TRACE_FULL}};
    const char *mode = mln_cli_text(cli, "explain");
    for (size_t i = 0; mode != NULL && i < MLN_COUNT(modes); i++) {
        if (mln_bytes_is(mln_bytes_of(mode), modes[i].name)) {
            *ret = modes[i].trace;
            return MLN_OK;
        }
    }
    return mode == NULL ? MLN_OK : mln_cli_usage(cli, "unknown mode '%s' of --explain: off, fails, full or debug", mode);
}

static const struct mln_value *lines_value(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_value *list = mln_array(cx);
    while (text.len > 0) {
        struct mln_bytes line = mln_bytes_cut(text, '\n', &text);
        mln_push(cx, list, mln_string_dup(cx, line));
    }
    return list;
}

static void add_extras(struct mln_cli *cli, struct rego_answer *a, int64_t eval_ns)
{
    struct mln_cx *cx = cli->cx;
    struct mln_value *v = mln_object(cx);
    double percent = 0;
    if (a->watch.trace != REGO_TRACE_NONE) {
        mln_put(cx, v, "explanation", lines_value(cx, mln_buf_bytes(&a->watch.lines)));
    }
    if (mln_cli_bool(cli, "metrics") || mln_cli_bool(cli, "instrument") || mln_cli_bool(cli, "profile")) {
        struct mln_value *metrics = mln_object(cx);
        mln_put_int(cx, metrics, "timer_rego_query_eval_ns", eval_ns);
        mln_put_int(cx, metrics, "counter_vm_steps", (int64_t)mln_rego_steps(a->eval));
        mln_put(cx, v, "metrics", metrics);
    }
    if (mln_cli_bool(cli, "profile")) {
        mln_put(cx, v, "profile", rego_watch_profile(&a->watch));
    }
    if (mln_cli_bool(cli, "coverage")) {
        mln_put(cx, v, "coverage", rego_watch_coverage(&a->watch, &percent));
    }
    a->extras = mln_len(v) > 0 ? v : NULL;
}

/* In forms other than JSON, what is beside the result stands below it. */
static void print_extras(const struct rego_answer *a)
{
    for (size_t i = 0; i < mln_len(a->extras) && a->format != REGO_JSON; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        const struct mln_member *m = mln_member_at(a->extras, i);
        if (mln_bytes_is(m->key, "explanation")) {
            mln_cli_raw(mln_buf_bytes(&a->watch.lines));
            continue;
        }
        mln_json_print(&json, &m->value, MLN_JSON_COMPACT);
        rego_put_json(mln_buf_bytes(&json));
    }
}

static struct mln_err read_timeout(struct mln_cli *cli, uint64_t *ret_ns)
{
    int64_t time_s = 0;
    const char *limit = mln_cli_text(cli, "timeout");
    if (limit != NULL && !mln_duration_parse(mln_bytes_of(limit), &time_s)) {
        return mln_cli_usage(cli, "--timeout is a duration: 5s, 1m");
    }
    *ret_ns = (uint64_t)(time_s < 0 ? 0 : time_s) * 1000000000u;
    return MLN_OK;
}

static struct mln_err evaluate(struct mln_cli *cli, struct rego_answer *a)
{
    struct mln_rego_run_options options = {
        .is_strict = mln_cli_bool(cli, "strict-builtin-errors"),
        .print = say_print};
    MLN_TRY(read_timeout(cli, &options.budget.time_ns));
    MLN_TRY(rego_net_start(cli, &a->net, &options.net));
    MLN_TRY(load(cli, a));
    if (a->is_watched) {
        MLN_TRY(rego_watch_begin(&a->watch, cli->cx, a->rego, a->watch.trace));
        options.note = rego_watch_note;
        options.note_with = &a->watch;
    }
    int64_t start_ns = mln_mono_ns();
    struct mln_err err = mln_rego_run(a->eval, cli->cx, a->query, a->files.data, &options);
    const struct mln_rego_error *e = mln_rego_eval_error(a->eval);
    if (mln_failed(err) && e != NULL) {
        a->errors = mln_array(cli->cx);
        mln_push(cli->cx, a->errors, rego_error_value(cli->cx, e));
    }
    add_extras(cli, a, mln_mono_ns() - start_ns);
    return err;
}

/* The values of a flag as bytes, in the arena. */
static struct mln_err read_refs(struct mln_cli *cli, const char *flag, const struct mln_bytes **ret, size_t *ret_n)
{
    const char **list = rego_flag_list(cli, flag);
    struct mln_bytes *refs = mln_new_array(cli->cx, cli->n_sets + 1, sizeof(*refs));
    if (list == NULL || refs == NULL) {
        return mln_fail(cli->cx, MLN_E_MEMORY, "out of memory");
    }
    size_t n = 0;
    for (; list[n] != NULL; n++) {
        refs[n] = mln_bytes_of(list[n]);
    }
    if (n > MLN_PARTIAL_UNKNOWNS_MAX) {
        return mln_cli_usage(cli, "--%s: at most %u refs", flag, MLN_PARTIAL_UNKNOWNS_MAX);
    }
    *ret = refs;
    *ret_n = n;
    return MLN_OK;
}

static struct mln_err check_partial(struct mln_cli *cli, const struct rego_answer *a)
{
    if (a->format != REGO_JSON) {
        return mln_cli_usage(cli, "--partial prints json: leave --format out");
    }
    if (a->is_watched || mln_cli_text(cli, "package") != NULL || rego_flag_list(cli, "import")[0] != NULL) {
        return mln_cli_usage(cli, "--partial goes without --package, --import, --explain, --profile and --coverage");
    }
    return MLN_OK;
}

static struct mln_err evaluate_partial(struct mln_cli *cli, struct rego_answer *a)
{
    MLN_AUTO(mln_rego_partial_drop) struct mln_rego_partial *partial = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_rego_partial_options options = {.version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    MLN_TRY(read_timeout(cli, &options.budget.time_ns));
    MLN_TRY(read_refs(cli, "unknowns", &options.unknowns, &options.n_unknowns));
    MLN_TRY(read_refs(cli, "disable-inlining", &options.kept, &options.n_kept));
    MLN_TRY(load(cli, a));
    struct mln_err err = mln_rego_partial(a->rego, cli->cx, a->eval, a->query_text, a->files.data, &options, &partial);
    if (mln_failed(err)) {
        return err;
    }
    mln_buf_add_text(&out, "{\"partial\":");
    mln_rego_partial_print(partial, &out);
    mln_buf_add_byte(&out, '}');
    rego_put_json(mln_buf_bytes(&out));
    bool is_empty = mln_rego_partial_count(partial) == 0;
    cli->exit_code = mln_cli_bool(cli, is_empty ? "fail" : "fail-defined") ? EXIT_FAIL : cli->exit_code;
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    bool is_partial = mln_cli_bool(cli, "partial");
    MLN_AUTO(rego_answer_drop) struct rego_answer a = {0};
    MLN_TRY(rego_format_of(cli, &a.format));
    MLN_TRY(read_explain(cli, &a.watch.trace));
    a.is_watched = a.watch.trace != REGO_TRACE_NONE || mln_cli_bool(cli, "profile") || mln_cli_bool(cli, "coverage");
    MLN_TRY(read_query(cli, &a));
    if (mln_cli_bool(cli, "fail") && mln_cli_bool(cli, "fail-defined")) {
        return mln_cli_usage(cli, "--fail and --fail-defined exclude one another");
    }
    MLN_TRY(is_partial ? check_partial(cli, &a) : MLN_OK);
    struct mln_err err = is_partial ? evaluate_partial(cli, &a) : evaluate(cli, &a);
    if (mln_is(err, MLN_E_USAGE)) {
        return err;
    }
    if (mln_failed(err)) {
        a.errors = a.errors != NULL ? a.errors : rego_errors_text(cli->cx, cli->cx->text);
        rego_print_errors(cli, &a);
        cli->exit_code = REGO_EXIT_BAD;
        return MLN_OK;
    }
    if (is_partial) {
        return MLN_OK;
    }
    rego_print_answer(cli, &a);
    print_extras(&a);
    bool is_empty = mln_rego_rows(a.eval) == 0;
    if ((mln_cli_bool(cli, "fail") && is_empty) || (mln_cli_bool(cli, "fail-defined") && !is_empty)) {
        cli->exit_code = EXIT_FAIL;
    }
    return MLN_OK;
}

static const struct mln_flag flags[] = {
    {"data", MLN_FLAG_LIST, "PATH", NULL, "Policies and documents: a file, a folder, or a.b:FILE"},
    {"bundle", MLN_FLAG_LIST, "PATH", NULL, "A bundle: a folder or a tar.gz"},
    {"input", MLN_FLAG_TEXT, "FILE", NULL, "Input, JSON or YAML"},
    {"stdin-input", MLN_FLAG_BOOL, NULL, NULL, "Input from the standard input"},
    {"stdin", MLN_FLAG_BOOL, NULL, NULL, "The query from the standard input"},
    {"format", MLN_FLAG_TEXT, "FORM", "json", "json, values, bindings, pretty, raw or discard"},
    {"package", MLN_FLAG_TEXT, "NAME", NULL, "Package that the query stands in: a.b"},
    {"import", MLN_FLAG_LIST, "REF", NULL, "Import for the query: data.x"},
    {"fail", MLN_FLAG_BOOL, NULL, NULL, "Exit code 1 when the answer is undefined"},
    {"fail-defined", MLN_FLAG_BOOL, NULL, NULL, "Exit code 1 when the answer is defined"},
    {"strict", MLN_FLAG_BOOL, NULL, NULL, "Unused imports and variables are errors"},
    {"strict-builtin-errors", MLN_FLAG_BOOL, NULL, NULL, "The first error of a builtin ends the evaluation"},
    {"timeout", MLN_FLAG_TEXT, "TIME", NULL, "Give up after this time (default: never)"},
    REGO_FLAG_NET,
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {"partial", MLN_FLAG_BOOL, NULL, NULL, "Show what is left of the query when parts of its input are not known"},
    {"unknowns", MLN_FLAG_LIST, "REF", NULL, "With --partial: what is not known (default: input)"},
    {"disable-inlining", MLN_FLAG_LIST, "REF", NULL, "With --partial: rules that are not written into queries"},
    {"explain", MLN_FLAG_TEXT, "MODE", NULL, "Show the steps: fails, full, debug or off"},
    {"profile", MLN_FLAG_BOOL, NULL, NULL, "Show which expressions took longest"},
    {"coverage", MLN_FLAG_BOOL, NULL, NULL, "Show which lines ran"},
    {"metrics", MLN_FLAG_BOOL, NULL, NULL, "Show how long it took"},
    {"instrument", MLN_FLAG_BOOL, NULL, NULL, "As --metrics"},
    {"schema", MLN_FLAG_TEXT, "PATH", NULL, "JSON schema of inputs, or a folder of schemas that METADATA names"},
    {"capabilities", MLN_FLAG_TEXT, "FILE", NULL, "Builtins that may be called, as OPA's capabilities.json"},
    {0},
};
static const char *const letters[] = {"d", "data", "b", "bundle", "i", "input", "I", "stdin-input",
                                      "f", "format", "p", "partial", "u", "unknowns", "S", "strict", "s", "schema", NULL};
static const char *const examples[] = {
    "merlon rego eval -d policy.rego -i input.json 'data.example.allow'",
    "merlon rego eval --fail-defined -d policies/ -I -f raw 'data.example.deny[_]'",
    "merlon rego eval -f pretty 'x := [1, 2][_]; x > 1'",
    NULL,
};
const struct mln_command mln_command_rego_eval = {
    .noun = "rego",
    .verb = "eval",
    .summary = "Evaluate a query",
    .args = "QUERY",
    .examples = examples,
    .flags = flags,
    .max_args = 1,
    .is_local = true,
    .letters = letters,
    .more = "Exit code 2 with an error of the policies, of the query or while it is evaluated.",
    .run = run,
};
