/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego exec: one decision over many files of input. */
#include "cli/rego_priv.h"

#include "base/yaml.h"

#include <sys/stat.h>

#define DECISION "system/main" /* as OPA's default_decision */
#define EXIT_FAIL 1

struct exec {
    struct mln_cli *cli;
    struct rego_files files;
    struct mln_rego *rego;
    struct mln_rego_query *query;
    struct mln_rego_eval *eval;
    struct mln_value *results;
    const char *decision;
    int64_t time_s;
    size_t failed, undefined, defined, filled;
};

static void exec_drop(struct exec *x)
{
    mln_rego_eval_drop(&x->eval);
    mln_rego_query_drop(&x->query);
    mln_rego_drop(&x->rego);
    rego_files_drop(&x->files);
}

/* "a/b" as the query data["a"]["b"]. */
static void query_of(struct mln_buf *text, const char *decision)
{
    struct mln_bytes rest = mln_bytes_of(decision);
    mln_buf_add_text(text, "data");
    while (rest.len > 0) {
        struct mln_bytes name = mln_bytes_cut(rest, '/', &rest);
        if (name.len > 0) {
            mln_buf_add_byte(text, '[');
            mln_json_print_string(text, name, MLN_JSON_COMPACT);
            mln_buf_add_byte(text, ']');
        }
    }
}

static struct mln_err set_input(struct exec *x, const char *path)
{
    struct mln_cx *cx = x->cli->cx;
    struct mln_bytes text, name = mln_bytes_of(path);
    MLN_TRY(mln_cli_read_file(x->cli, path, REGO_FILE_MAX, &text));
    if (mln_bytes_ends(name, MLN_BYTES(".yaml")) || mln_bytes_ends(name, MLN_BYTES(".yml"))) {
        const struct mln_value *value = NULL;
        MLN_TRY(mln_yaml_parse(cx, text, &value));
        return mln_rego_eval_input_value(x->eval, cx, value);
    }
    return mln_rego_eval_input(x->eval, cx, text);
}

static struct mln_value *error_value(struct mln_cx *cx, const char *code, const char *message)
{
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "code", code);
    mln_put(cx, v, "message", mln_string_dup(cx, mln_bytes_of(message)));
    return v;
}

/* false and null and what is empty is no finding. */
static bool is_filled(const struct mln_value *v)
{
    enum mln_type type = mln_type_of(v);
    bool is_list = type == MLN_ARRAY || type == MLN_OBJECT || type == MLN_SET || type == MLN_STRING;
    return is_list ? mln_len(v) > 0 : type != MLN_NULL;
}

static struct mln_err decide(struct exec *x, struct mln_value *one)
{
    struct mln_cx *cx = x->cli->cx;
    struct mln_rego_run_options options = {.budget.time_ns = (uint64_t)x->time_s * 1000000000u};
    struct mln_err err = mln_rego_run(x->eval, cx, x->query, x->files.data, &options);
    const struct mln_rego_error *e = mln_rego_eval_error(x->eval);
    if (mln_failed(err) && e != NULL) {
        mln_put(cx, one, "error", error_value(cx, e->code, e->message));
        mln_cx_clear(cx);
        x->failed++;
        return MLN_OK;
    }
    MLN_TRY(err);
    const struct mln_value *answer = mln_rego_answer(x->eval, cx);
    if (answer == NULL) {
        const char *text = mln_text_format(cx, "%s decision was undefined", x->decision);
        mln_put(cx, one, "error", error_value(cx, "opa_undefined_error", text));
        x->undefined++;
        return MLN_OK;
    }
    x->defined++;
    x->filled += is_filled(answer);
    mln_put(cx, one, "result", answer);
    return MLN_OK;
}

static struct mln_err exec_file(struct exec *x, const char *path)
{
    struct mln_cx *cx = x->cli->cx;
    struct mln_value *one = mln_object(cx);
    bool is_stdin = path[0] == '-' && path[1] == '\0';
    mln_put_text(cx, one, "path", is_stdin ? "--stdin-input" : path);
    if (mln_failed(set_input(x, path))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        mln_cx_clear(cx);
        mln_put(cx, one, "error", error_value(cx, "invalid_input", why));
        x->failed++;
    } else {
        MLN_TRY(decide(x, one));
    }
    mln_push(cx, x->results, one);
    return mln_cx_err(cx);
}

static bool is_input(const char *path)
{
    struct mln_bytes p = mln_bytes_of(path);
    return mln_bytes_ends(p, MLN_BYTES(".json")) || mln_bytes_ends(p, MLN_BYTES(".yaml")) ||
           mln_bytes_ends(p, MLN_BYTES(".yml"));
}

static struct mln_err exec_path(struct exec *x, const char *path, unsigned depth)
{
    const struct mln_value *names = NULL;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return depth == 0 || is_input(path) ? exec_file(x, path) : MLN_OK;
    }
    if (depth == REGO_DEPTH_MAX) {
        return mln_fail(x->cli->cx, MLN_E_LIMIT, "more than %d folders in one another", REGO_DEPTH_MAX);
    }
    MLN_TRY(mln_dir_list(x->cli->cx, path, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(x->cli->cx, mln_item(names, i), "");
        const char *slash = mln_bytes_ends(mln_bytes_of(path), MLN_BYTES("/")) ? "" : "/";
        MLN_TRY(exec_path(x, mln_text_format(x->cli->cx, "%s%s%s", path, slash, name), depth + 1));
    }
    return mln_cx_err(x->cli->cx);
}

static struct mln_err prepare(struct exec *x, struct mln_value **ret_errors)
{
    struct mln_cli *cli = x->cli;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    MLN_TRY(rego_files_of_flag(cli, "data", &x->files));
    x->files.is_bundle = true;
    MLN_TRY(rego_files_of_flag(cli, "bundle", &x->files));
    MLN_TRY(rego_compile(cli, &x->files, &options, &x->rego, ret_errors));
    MLN_TRY(mln_rego_eval_new(cli->cx, &x->eval));
    x->decision = mln_cli_text(cli, "decision");
    query_of(&text, x->decision);
    return mln_rego_prepare(x->rego, cli->cx, mln_buf_bytes(&text), NULL, &x->query);
}

static void set_exit_code(const struct exec *x)
{
    struct mln_cli *cli = x->cli;
    bool fails = (mln_cli_bool(cli, "fail") && x->failed + x->undefined > 0) ||
                 (mln_cli_bool(cli, "fail-defined") && x->failed + x->defined > 0) ||
                 (mln_cli_bool(cli, "fail-non-empty") && x->failed + x->filled > 0);
    cli->exit_code = fails ? EXIT_FAIL : 0;
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(exec_drop) struct exec x = {.cli = cli, .results = mln_array(cli->cx)};
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_value *errors = NULL, *all = mln_object(cli->cx);
    const char *limit = mln_cli_text(cli, "timeout");
    bool is_stdin = mln_cli_bool(cli, "stdin-input");
    if (is_stdin == (cli->n_args > 0)) {
        return mln_cli_usage(cli, "give files of input, or --stdin-input");
    }
    if (limit != NULL && (!mln_duration_parse(mln_bytes_of(limit), &x.time_s) || x.time_s < 0)) {
        return mln_cli_usage(cli, "--timeout is a duration: 5s, 1m");
    }
    if (mln_failed(prepare(&x, &errors))) {
        rego_errors_say(cli, errors != NULL ? errors : rego_errors_text(cli->cx, cli->cx->text));
        mln_cx_clear(cli->cx);
        cli->exit_code = EXIT_FAIL;
        return MLN_OK;
    }
    if (is_stdin) {
        MLN_TRY(exec_file(&x, "-"));
    }
    for (size_t i = 0; i < cli->n_args; i++) {
        MLN_TRY(exec_path(&x, cli->args[i], 0));
    }
    mln_put(cli->cx, all, "result", x.results);
    mln_json_print(&json, all, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cli->cx, &json));
    rego_put_json(mln_buf_bytes(&json));
    set_exit_code(&x);
    return mln_cx_err(cli->cx);
}

static const struct mln_flag flags[] = {
    {"bundle", MLN_FLAG_LIST, "PATH", NULL, "A bundle: a folder or a tar.gz"},
    {"data", MLN_FLAG_LIST, "PATH", NULL, "Policies and documents: a file, a folder, or a.b:FILE"},
    {"decision", MLN_FLAG_TEXT, "PATH", DECISION, "What is asked: a/b"},
    {"stdin-input", MLN_FLAG_BOOL, NULL, NULL, "Input from the standard input"},
    {"fail", MLN_FLAG_BOOL, NULL, NULL, "Exit code 1 when an answer is undefined or an error"},
    {"fail-defined", MLN_FLAG_BOOL, NULL, NULL, "Exit code 1 when an answer is defined or an error"},
    {"fail-non-empty", MLN_FLAG_BOOL, NULL, NULL, "Exit code 1 when an answer holds something or is an error"},
    {"timeout", MLN_FLAG_TEXT, "TIME", NULL, "Give up one input after this time (default: never)"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const letters[] = {"b", "bundle", "d", "data", "I", "stdin-input", NULL};
static const char *const examples[] = {"merlon rego exec -b bundle/ --decision example/deny plan.json",
                                       "merlon rego exec -b bundle.tar.gz --decision example/deny --fail-non-empty manifests/", NULL};
const struct mln_command mln_command_rego_exec = {
    .noun = "rego",
    .verb = "exec",
    .summary = "Ask one decision for many files of input",
    .args = "[PATH...]",
    .examples = examples,
    .flags = flags,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Prints one list of answers, in the order of the files. Exit code 1 when the policies do not compile, or as --fail says.",
    .run = run,
};
