/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego repl: queries and rules, line by line. */
#include "cli/rego_eval_priv.h"

#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)
#define RULES_MAX      ((size_t)1 << 20) /* of text that was typed */

struct repl {
    struct mln_cli *cli;
    struct rego_files files;
    struct mln_rego_options options;
    struct mln_buf rules; /* "package repl" and what was defined */
    enum rego_format format;
    const char *input;
};

static void repl_drop(struct repl *r)
{
    mln_buf_drop(&r->rules);
    rego_files_drop(&r->files);
}

/* Policies of the command line and the rules that were typed. */
static struct mln_err compile(struct repl *r, struct mln_bytes rules, struct mln_rego **ret, struct mln_value **ret_errors)
{
    struct rego_files files = r->files;
    files.modules = mln_new_array(r->cli->cx, r->files.n + 1, sizeof(*files.modules));
    MLN_TRY(mln_cx_err(r->cli->cx));
    mln_copy(files.modules, r->files.modules, r->files.n * sizeof(*files.modules));
    files.modules[files.n++] = (struct mln_rego_source){.name = "repl", .text = rules};
    return rego_compile(r->cli, &files, &r->options, ret, ret_errors);
}

static void say_why(struct repl *r, struct mln_value *errors)
{
    struct mln_cx *cx = r->cli->cx;
    rego_errors_say(r->cli, errors != NULL ? errors : rego_errors_text(cx, cx->text));
    mln_cx_clear(cx);
}

static struct mln_err set_input(struct repl *r, struct mln_rego_eval *eval)
{
    struct mln_bytes text;
    if (r->input == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_cli_read_file(r->cli, r->input, REGO_FILE_MAX, &text));
    return mln_rego_eval_input(eval, r->cli->cx, text);
}

static struct mln_err ask(struct repl *r, struct rego_answer *a)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_rego_query_options how = {.package = "repl", .version = r->options.version};
    MLN_TRY(compile(r, mln_buf_bytes(&r->rules), &a->rego, &a->errors));
    MLN_TRY(mln_rego_eval_new(cx, &a->eval));
    MLN_TRY(set_input(r, a->eval));
    struct mln_err err = mln_rego_prepare(a->rego, cx, a->query_text, &how, &a->query);
    if (mln_failed(err) && a->query != NULL) {
        a->errors = rego_query_errors_of(cx, a->query);
        return err;
    }
    MLN_TRY(err);
    err = mln_rego_run(a->eval, cx, a->query, r->files.data, NULL);
    const struct mln_rego_error *e = mln_rego_eval_error(a->eval);
    if (mln_failed(err) && e != NULL) {
        a->errors = mln_array(cx);
        mln_push(cx, a->errors, rego_error_value(cx, e));
    }
    return err;
}

static void query(struct repl *r, struct mln_bytes line)
{
    MLN_AUTO(rego_answer_drop) struct rego_answer a = {.query_text = line, .format = r->format};
    if (mln_failed(ask(r, &a))) {
        say_why(r, a.errors);
        return;
    }
    rego_print_answer(r->cli, &a);
}

/* A line that is a rule and no query: "x := 1", "p if q", "f(x) := x", "default p := 1". */
static bool is_rule(struct repl *r, struct mln_bytes line)
{
    static const char *const words[] = {" if ", " contains ", "default ", ":="};
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    bool has_word = false;
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        has_word |= mln_bytes_find_bytes(line, mln_bytes_of(words[i])) < line.len;
    }
    mln_buf_add_text(&text, "package repl\n");
    mln_buf_add_bytes(&text, line);
    bool is = has_word && mln_bytes_find(line, ';') == line.len && !mln_failed(mln_rego_new(r->cli->cx, &r->options, &rego)) &&
              !mln_failed(mln_rego_add(rego, r->cli->cx, "repl", mln_buf_bytes(&text)));
    mln_cx_clear(r->cli->cx);
    return is;
}

static void define(struct repl *r, struct mln_bytes line)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_value *errors = NULL;
    size_t before = r->rules.len;
    mln_buf_add_bytes(&r->rules, line);
    mln_buf_add_byte(&r->rules, '\n');
    if (mln_failed(compile(r, mln_buf_bytes(&r->rules), &rego, &errors))) {
        r->rules.len = before; /* as if it had not been said */
        say_why(r, errors);
        return;
    }
    mln_cli_out("Rule defined in package repl. Type 'show' to see rules.\n");
}

static const char help[] = "A line is a query, or a rule of package repl. Other words:\n"
                           "  show            the rules that were defined\n"
                           "  unset           forget them\n"
                           "  json, pretty    how answers are printed\n"
                           "  help, exit\n";

/* false: leave */
static bool obey(struct repl *r, struct mln_bytes line)
{
    if (line.len == 0 || line.ptr[0] == '#') {
        return true;
    }
    if (mln_bytes_is(line, "exit") || mln_bytes_is(line, "quit")) {
        return false;
    }
    if (mln_bytes_is(line, "help")) {
        mln_cli_out("%s", help);
    } else if (mln_bytes_is(line, "show")) {
        mln_cli_raw(mln_buf_bytes(&r->rules));
    } else if (mln_bytes_is(line, "unset")) {
        mln_buf_clear(&r->rules);
        mln_buf_add_text(&r->rules, "package repl\n\n");
    } else if (mln_bytes_is(line, "json") || mln_bytes_is(line, "pretty")) {
        r->format = line.ptr[0] == 'j' ? REGO_JSON : REGO_PRETTY;
    } else if (is_rule(r, line)) {
        define(r, line);
    } else {
        query(r, line);
    }
    return true;
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(repl_drop) struct repl r = {.cli = cli, .rules.max = RULES_MAX, .format = REGO_PRETTY};
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_value *errors = NULL;
    r.options.version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1;
    r.input = mln_cli_text(cli, "input");
    r.files.is_bundle = mln_cli_bool(cli, "bundle");
    for (size_t i = 0; i < cli->n_args; i++) {
        MLN_TRY(rego_files_load(cli, cli->args[i], &r.files));
    }
    mln_buf_add_text(&r.rules, "package repl\n\n");
    if (mln_failed(compile(&r, mln_buf_bytes(&r.rules), &rego, &errors))) {
        say_why(&r, errors);
        cli->exit_code = 1;
        return MLN_OK;
    }
    char *line = mln_new_array(cli->cx, LINE_MAX_BYTES, 1);
    MLN_TRY(mln_cx_err(cli->cx));
    bool is_terminal = isatty(STDIN_FILENO) == 1;
    for (bool goes_on = true; goes_on;) {
        mln_cli_out("%s", is_terminal ? "> " : "");
        (void)fflush(stdout);
        if (fgets(line, (int)LINE_MAX_BYTES, stdin) == NULL) {
            break;
        }
        goes_on = obey(&r, mln_bytes_trim(mln_bytes_dup(cli->cx, mln_bytes_of(line))));
        MLN_TRY(mln_cx_err(cli->cx));
    }
    return MLN_OK;
}

static const struct mln_flag flags[] = {
    {"input", MLN_FLAG_TEXT, "FILE", NULL, "Input, JSON"},
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "Paths are bundles: folders or tar.gz"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const letters[] = {"i", "input", "b", "bundle", NULL};
static const char *const examples[] = {"merlon rego repl", "merlon rego repl -i input.json policies/", NULL};
const struct mln_command mln_command_rego_repl = {
    .noun = "rego",
    .verb = "repl",
    .summary = "Ask queries line by line",
    .args = "[PATH...]",
    .examples = examples,
    .flags = flags,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Lines are queries, or rules that later lines may use; 'help' names the other words. "
            "Exit code 1 when the policies do not compile.",
    .run = run,
};
