/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego test: rules named test_* are tests, todo_test_* wait, test_x[note] are tables. */
#include "cli/rego_net.h"
#include "cli/rego_watch.h"

#define TIMEOUT_S 5
#define NOTES_MAX 65536u /* of print(), a test */
#define LINE      "--------------------------------------------------------------------------------\n"

enum verdict { PASS, FAIL, ERROR, SKIPPED, VERDICTS };
static const char *const verdict_names[VERDICTS] = {"PASS", "FAIL", "ERROR", "SKIPPED"};

struct result {
    struct mln_rego_rule rule;
    struct mln_bytes package, name; /* "data.a", "test_x" */
    enum verdict verdict;
    int64_t duration_ns;
    const struct mln_value *subs; /* of a table: notes and what became of them; NULL: none */
    struct mln_value *error;
    struct mln_bytes notes;
    struct mln_bytes trace; /* of what failed */
};
struct tests {
    struct mln_cli *cli;
    struct rego_net net;
    const struct mln_rego_net *host; /* NULL: nothing may be reached */
    struct mln_rego *rego;
    struct mln_rego_eval *eval;
    struct rego_files files;
    struct result *results;
    size_t n;
    int64_t timeout_s;
    bool is_verbose, is_covered;
    struct rego_watch watch; /* when verbose or covered */
    size_t counts[VERDICTS];
};

static void tests_drop(struct tests *t)
{
    rego_watch_drop(&t->watch);
    mln_rego_eval_drop(&t->eval);
    mln_rego_drop(&t->rego);
    rego_files_drop(&t->files);
    rego_net_drop(&t->net);
}

/* ---- which rules ---- */

static struct mln_bytes last_name(struct mln_bytes path, struct mln_bytes *ret_before)
{
    size_t dot = 0;
    for (size_t i = 0; i < path.len; i++) {
        dot = path.ptr[i] == '.' ? i : dot;
    }
    *ret_before = mln_bytes_sub(path, 0, dot);
    return mln_bytes_from(path, dot + 1);
}

/* One query that a builtin answers: does the pattern match? */
static bool is_chosen(struct tests *t, const char *pattern, const char *name)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    mln_buf_add_text(&text, "true = regex.match(");
    mln_json_print_string(&text, mln_bytes_of(pattern), MLN_JSON_COMPACT);
    mln_buf_add_text(&text, ", ");
    mln_json_print_string(&text, mln_bytes_of(name), MLN_JSON_COMPACT);
    mln_buf_add_byte(&text, ')');
    struct mln_rego_run_options options = {.is_strict = true};
    struct mln_cx *cx = t->cli->cx;
    return !mln_failed(mln_rego_prepare(t->rego, cx, mln_buf_bytes(&text), NULL, &query)) &&
           !mln_failed(mln_rego_run(t->eval, cx, query, NULL, &options)) && mln_rego_rows(t->eval) > 0;
}

static bool was_seen(const struct tests *t, const struct mln_rego_rule *rule)
{
    for (size_t i = 0; i < t->n; i++) {
        if (mln_bytes_eq(mln_bytes_of(t->results[i].rule.path), mln_bytes_of(rule->path))) {
            return true; /* another body of the same test */
        }
    }
    return false;
}

static struct mln_err collect(struct tests *t)
{
    struct mln_rego_rule rule;
    const char *pattern = mln_cli_text(t->cli, "run");
    t->results = mln_new_array(t->cli->cx, mln_rego_rule_count(t->rego) + 1, sizeof(*t->results));
    MLN_TRY(mln_cx_err(t->cli->cx));
    for (size_t i = 0; mln_rego_rule_at(t->rego, i, &rule); i++) {
        struct mln_bytes package, name = last_name(mln_bytes_of(rule.path), &package);
        bool is_test = mln_bytes_starts(name, MLN_BYTES("test_")), waits = mln_bytes_starts(name, MLN_BYTES("todo_test_"));
        if ((!is_test && !waits) || rule.is_function || was_seen(t, &rule)) {
            continue;
        }
        if (pattern != NULL && !is_chosen(t, pattern, rule.path)) {
            MLN_TRY(mln_cx_err(t->cli->cx));
            continue;
        }
        t->results[t->n++] = (struct result){
            .rule = rule, .package = package, .name = name, .verdict = waits ? SKIPPED : PASS};
    }
    return MLN_OK;
}

/* ---- running ---- */

static void query_of(struct mln_buf *text, const char *path)
{
    struct mln_bytes rest = mln_bytes_of(path);
    mln_buf_add_text(text, "result = ");
    mln_buf_add_bytes(text, mln_bytes_cut(rest, '.', &rest));
    while (rest.len > 0) {
        mln_buf_add_byte(text, '[');
        mln_json_print_string(text, mln_bytes_cut(rest, '.', &rest), MLN_JSON_COMPACT);
        mln_buf_add_byte(text, ']');
    }
}

static void take_note(void *with, const char *file, uint32_t row, const char *text)
{
    struct mln_buf *notes = with;
    (void)file;
    (void)row;
    mln_buf_add_text(notes, text);
    mln_buf_add_byte(notes, '\n');
}

/* A table holds when all that it says is true. */
static bool holds(const struct mln_value *v)
{
    if (mln_type_of(v) != MLN_OBJECT) {
        return mln_get_bool(v, false);
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        if (!holds(&mln_member_at(v, i)->value)) {
            return false;
        }
    }
    return true;
}

static const char *key_text(struct mln_cx *cx, const struct mln_value *key)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, key, MLN_JSON_COMPACT);
    return mln_text_dup(cx, mln_type_of(key) == MLN_STRING ? mln_get_bytes(key) : mln_buf_bytes(&text));
}

/* What a table met and did not say anything of has failed: it becomes false. */
static struct mln_err add_cases(struct tests *t, const struct mln_value **v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    const struct mln_value *cases = NULL;
    struct mln_cx *cx = t->cli->cx;
    if (mln_type_of(*v) != MLN_OBJECT) {
        return MLN_OK;
    }
    struct mln_value *all = mln_value_dup(cx, *v);
    mln_rego_cases_print(t->eval, &json);
    MLN_TRY(mln_json_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&json)), &cases));
    for (size_t i = 0; i < mln_len(cases); i++) {
        const struct mln_value *keys = mln_item(cases, i);
        struct mln_value *at = all;
        for (size_t k = 0; k < mln_len(keys) && mln_type_of(at) == MLN_OBJECT; k++) {
            const char *key = key_text(cx, mln_item(keys, k));
            if (mln_get(at, key) == NULL) {
                mln_put(cx, at, key, k + 1 < mln_len(keys) ? mln_object(cx) : mln_bool(cx, false));
            }
            at = (struct mln_value *)(uintptr_t)mln_get(at, key);
        }
    }
    *v = all;
    return mln_cx_err(cx);
}

static struct mln_err judge(struct tests *t, struct result *r)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    const struct mln_value *v = NULL;
    if (!mln_rego_binding_print(t->eval, 0, "result", &json)) {
        v = mln_object(t->cli->cx); /* a table none of whose notes held */
        MLN_TRY(add_cases(t, &v));
        r->subs = mln_len(v) > 0 ? v : NULL;
        r->verdict = FAIL;
        return MLN_OK;
    }
    MLN_TRY(mln_json_parse(t->cli->cx, mln_bytes_dup(t->cli->cx, mln_buf_bytes(&json)), &v));
    MLN_TRY(add_cases(t, &v));
    r->subs = mln_type_of(v) == MLN_OBJECT ? v : NULL;
    r->verdict = holds(v) ? PASS : FAIL;
    return mln_cx_err(t->cli->cx);
}

static struct mln_err run_one(struct tests *t, struct result *r)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0}, notes = {.max = NOTES_MAX};
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    struct mln_rego_run_options options = {.budget.time_ns = (uint64_t)t->timeout_s * 1000000000u,
                                           .print = take_note, .print_with = &notes, .net = t->host};
    struct mln_cx *cx = t->cli->cx;
    if (t->is_verbose || t->is_covered) {
        options.note = rego_watch_note;
        options.note_with = &t->watch;
        mln_buf_clear(&t->watch.lines);
        t->watch.stack_n = 0;
    }
    query_of(&text, r->rule.path);
    MLN_TRY(mln_rego_prepare(t->rego, cx, mln_buf_bytes(&text), NULL, &query));
    int64_t start_ns = mln_mono_ns();
    struct mln_err err = mln_rego_run(t->eval, cx, query, t->files.data, &options);
    r->duration_ns = mln_mono_ns() - start_ns;
    r->notes = mln_bytes_dup(cx, mln_buf_bytes(&notes));
    r->trace = mln_bytes_dup(cx, mln_buf_bytes(&t->watch.lines));
    const struct mln_rego_error *e = mln_rego_eval_error(t->eval);
    if (mln_failed(err) && e != NULL) {
        r->verdict = ERROR;
        r->error = rego_error_value(cx, e);
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    return judge(t, r);
}

/* ---- output ---- */

static const char *time_text(struct mln_cx *cx, int64_t ns)
{
    return ns < 1000000 ? mln_text_format(cx, "%.6g\302\265s", (double)ns / 1e3)
                        : mln_text_format(cx, "%.6gms", (double)ns / 1e6);
}

static void print_subs(const struct mln_value *subs, int depth)
{
    for (size_t i = 0; i < mln_len(subs); i++) {
        const struct mln_member *m = mln_member_at(subs, i);
        mln_cli_out("%*s%.*s: %s\n", depth, "", MLN_FMT(m->key), holds(&m->value) ? "PASS" : "FAIL");
        if (mln_type_of(&m->value) == MLN_OBJECT) {
            print_subs(&m->value, depth + 2);
        }
    }
}

static void print_result(struct tests *t, const struct result *r)
{
    mln_cli_out("%s: %s", r->rule.path, verdict_names[r->verdict]);
    mln_cli_out(r->verdict == SKIPPED ? "\n" : " (%s)\n", time_text(t->cli->cx, r->duration_ns));
    print_subs(r->subs, 2);
    if (r->error != NULL) {
        mln_cli_out("  %s: %s\n", mln_get_text(t->cli->cx, mln_get(r->error, "code"), ""),
                    mln_get_text(t->cli->cx, mln_get(r->error, "message"), ""));
    }
    if (r->notes.len > 0) {
        mln_cli_out("\n  ");
        for (size_t i = 0; i < r->notes.len; i++) {
            mln_cli_raw(mln_bytes_sub(r->notes, i, 1));
            mln_cli_out("%s", r->notes.ptr[i] == '\n' && i + 1 < r->notes.len ? "  " : "");
        }
        mln_cli_out("\n");
    }
}

/* What failed, with the rules around it, one test after the other. */
static void print_traces(struct tests *t)
{
    mln_cli_out("FAILURES\n" LINE);
    for (size_t i = 0; i < t->n; i++) {
        const struct result *r = &t->results[i];
        struct mln_bytes rest = r->trace;
        if (r->verdict != FAIL) {
            continue;
        }
        mln_cli_out("%s: FAIL (%s)\n\n", r->rule.path, time_text(t->cli->cx, r->duration_ns));
        while (rest.len > 0) {
            mln_cli_out("  ");
            mln_cli_raw(mln_bytes_cut(rest, '\n', &rest));
            mln_cli_out("\n");
        }
        mln_cli_out("\n");
    }
    mln_cli_out(LINE);
}

static void print_all(struct tests *t)
{
    bool has_any = false;
    for (size_t i = 0; i < t->n; i++) {
        const struct result *r = &t->results[i];
        if (r->verdict == PASS && !t->is_verbose) {
            continue;
        }
        mln_cli_out("%s:%u:\n", r->rule.file, (unsigned)r->rule.row);
        print_result(t, r);
        has_any = true;
    }
    mln_cli_out("%s", has_any ? LINE : "");
    if (t->is_verbose && t->counts[FAIL] > 0) {
        print_traces(t);
    }
    for (size_t v = 0; v < VERDICTS; v++) {
        if (t->counts[v] > 0) {
            mln_cli_out("%s: %zu/%zu\n", verdict_names[v], t->counts[v], t->n);
        }
    }
}

/* {"note": {"fail": true}, ...}, as deep as the table */
static struct mln_value *subs_value(struct mln_cx *cx, const struct mln_value *subs)
{
    struct mln_value *v = mln_object(cx);
    for (size_t i = 0; i < mln_len(subs); i++) {
        const struct mln_member *m = mln_member_at(subs, i);
        struct mln_value *one = mln_object(cx);
        if (mln_type_of(&m->value) == MLN_OBJECT) {
            mln_put(cx, one, "sub_results", subs_value(cx, &m->value));
        } else if (!holds(&m->value)) {
            mln_put_bool(cx, one, "fail", true);
        }
        mln_put_key(cx, v, m->key, one);
    }
    return v;
}

static struct mln_value *result_value(struct mln_cx *cx, const struct result *r)
{
    struct mln_value *v = mln_object(cx), *at = mln_object(cx);
    mln_put_text(cx, at, "file", r->rule.file);
    mln_put_int(cx, at, "row", r->rule.row);
    mln_put_int(cx, at, "col", r->rule.col);
    mln_put(cx, v, "location", at);
    mln_put_bytes(cx, v, "package", r->package);
    mln_put_bytes(cx, v, "name", r->name);
    if (r->verdict == FAIL) {
        mln_put_bool(cx, v, "fail", true);
    } else if (r->verdict == SKIPPED) {
        mln_put_bool(cx, v, "skip", true);
    } else if (r->verdict == ERROR) {
        mln_put(cx, v, "error", r->error);
    }
    mln_put_int(cx, v, "duration", r->duration_ns);
    if (r->notes.len > 0) {
        mln_put_text(cx, v, "output", mln_base64_text(cx, r->notes, MLN_B64_STD));
    }
    if (r->subs != NULL) {
        mln_put(cx, v, "sub_results", subs_value(cx, r->subs));
    }
    return v;
}

static void print_json(struct tests *t)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_value *list = mln_array(t->cli->cx);
    for (size_t i = 0; i < t->n; i++) {
        mln_push(t->cli->cx, list, result_value(t->cli->cx, &t->results[i]));
    }
    mln_json_print(&json, list, MLN_JSON_PRETTY);
    mln_buf_add_byte(&json, '\n');
    mln_cli_raw(mln_buf_bytes(&json));
}

static struct mln_err load(struct tests *t, struct mln_value **ret_errors)
{
    struct mln_rego_options options = {
        .version = mln_cli_bool(t->cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1, .has_print = true,
        .has_notes = t->is_verbose || t->is_covered};
    t->files.is_bundle = mln_cli_bool(t->cli, "bundle");
    for (size_t i = 0; i < t->cli->n_args; i++) {
        MLN_TRY(rego_files_load(t->cli, t->cli->args[i], &t->files));
    }
    MLN_TRY(rego_compile(t->cli, &t->files, &options, &t->rego, ret_errors));
    if (options.has_notes) {
        MLN_TRY(rego_watch_begin(&t->watch, t->cli->cx, t->rego, t->is_verbose ? REGO_TRACE_FAILS : REGO_TRACE_NONE));
    }
    return mln_rego_eval_new(t->cli->cx, &t->eval);
}

/* A list of rows that no test ran, for people. */
static void say_missing(struct tests *t, const struct mln_value *coverage)
{
    const struct mln_value *files = mln_get(coverage, "files");
    mln_cli_out("Lines not covered:\n");
    for (size_t i = 0; i < mln_len(files); i++) {
        const struct mln_member *m = mln_member_at(files, i);
        const struct mln_value *list = mln_get(&m->value, "not_covered");
        for (size_t k = 0; k < mln_len(list); k++) {
            const struct mln_value *one = mln_item(list, k);
            long long from = (long long)mln_get_int(mln_get(mln_get(one, "start"), "row"), 0),
                      to = (long long)mln_get_int(mln_get(mln_get(one, "end"), "row"), 0);
            mln_cli_out("\t%s:%lld", mln_text_dup(t->cli->cx, m->key), from);
            mln_cli_out(to > from ? "-%lld\n" : "\n", to);
        }
    }
}

/* Coverage instead of the results, when all tests passed: 1 when it is less than asked for. */
static int print_coverage(struct tests *t, double threshold)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    double percent = 0;
    const struct mln_value *coverage = rego_watch_coverage(&t->watch, &percent);
    if (percent < threshold) {
        mln_cli_say(t->cli, "Code coverage threshold not met: got %.2f instead of %.2f\n", percent, threshold);
        say_missing(t, coverage);
        return 1;
    }
    mln_json_print(&json, coverage, MLN_JSON_COMPACT);
    rego_put_json(mln_buf_bytes(&json));
    return 0;
}

static struct mln_err read_threshold(struct mln_cli *cli, double *ret)
{
    const char *text = mln_cli_text(cli, "threshold");
    uint64_t whole = 0;
    struct mln_bytes rest, head = mln_bytes_cut(mln_bytes_of(text == NULL ? "0" : text), '.', &rest);
    uint64_t part = 0;
    bool ok = mln_u64_parse(head, &whole) && whole <= 100 && (rest.len == 0 || (rest.len <= 2 && mln_u64_parse(rest, &part)));
    if (!ok) {
        return mln_cli_usage(cli, "--threshold is between 0 and 100");
    }
    *ret = (double)whole + (rest.len == 1 ? (double)part / 10 : (double)part / 100);
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(tests_drop) struct tests t = {.cli = cli, .is_verbose = cli->is_verbose};
    struct mln_value *errors = NULL;
    const char *format = mln_cli_text(cli, "format"), *limit = mln_cli_text(cli, "timeout");
    bool is_json = mln_bytes_is(mln_bytes_of(format), "json");
    if (!is_json && !mln_bytes_is(mln_bytes_of(format), "pretty")) {
        return mln_cli_usage(cli, "unknown format '%s': pretty or json", format);
    }
    double threshold = 0;
    MLN_TRY(read_threshold(cli, &threshold));
    t.is_covered = mln_cli_bool(cli, "coverage") || threshold > 0;
    t.timeout_s = TIMEOUT_S;
    if (limit != NULL && (!mln_duration_parse(mln_bytes_of(limit), &t.timeout_s) || t.timeout_s < 1 || t.timeout_s > 86400)) {
        return mln_cli_usage(cli, "--timeout is a duration between a second and a day");
    }
    MLN_TRY(rego_net_start(cli, &t.net, &t.host));
    struct mln_err err = load(&t, &errors);
    if (mln_failed(err)) {
        rego_errors_say(cli, errors != NULL ? errors : rego_errors_text(cli->cx, cli->cx->text));
        cli->exit_code = 1;
        return MLN_OK;
    }
    MLN_TRY(collect(&t));
    for (size_t i = 0; i < t.n; i++) {
        MLN_TRY(t.results[i].verdict == SKIPPED ? MLN_OK : run_one(&t, &t.results[i]));
        t.counts[t.results[i].verdict]++;
    }
    cli->exit_code = t.counts[FAIL] + t.counts[ERROR] > 0 ? REGO_EXIT_BAD : 0;
    if (t.is_covered && cli->exit_code == 0) {
        cli->exit_code = print_coverage(&t, threshold);
    } else {
        is_json ? print_json(&t) : print_all(&t);
    }
    return mln_cx_err(cli->cx);
}

static const struct mln_flag flags[] = {
    {"format", MLN_FLAG_TEXT, "pretty|json", "pretty", "How results are printed"},
    {"run", MLN_FLAG_TEXT, "PATTERN", NULL, "Only tests whose path this regular expression matches"},
    {"coverage", MLN_FLAG_BOOL, NULL, NULL, "Print which lines ran, as JSON, when all tests pass"},
    {"threshold", MLN_FLAG_TEXT, "PERCENT", NULL, "Exit code 1 when fewer lines ran"},
    {"timeout", MLN_FLAG_TEXT, "TIME", "5s", "One test may take this long"},
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "Paths are bundles: of documents only data.json and data.yaml count"},
    REGO_FLAG_NET,
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const letters[] = {"f", "format", "r", "run", "b", "bundle", "t", "timeout", "c", "coverage", NULL};
static const char *const examples[] = {"merlon rego test policies/", "merlon rego test -v -r 'data.a.' policy.rego policy_test.rego", NULL};
const struct mln_command mln_command_rego_test = {
    .noun = "rego",
    .verb = "test",
    .summary = "Run the tests of policies",
    .args = "PATH...",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Rules named test_* are tests, todo_test_* are shown as skipped, test_x[note] are tables with a result a note. "
            "Exit code 2 when a test fails, 1 when the policies do not compile or fewer lines ran than --threshold asks for. "
            "With -v, what failed is shown with the rules around it.",
    .run = run,
};
