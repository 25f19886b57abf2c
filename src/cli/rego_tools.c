/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego parse, deps, capabilities: what the compiler sees. */
#include "cli/rego_priv.h"

/* "json" or "pretty". */
static struct mln_err read_format(struct mln_cli *cli, bool *ret_json)
{
    const char *format = mln_cli_text(cli, "format");
    *ret_json = mln_bytes_is(mln_bytes_of(format), "json");
    if (!*ret_json && !mln_bytes_is(mln_bytes_of(format), "pretty")) {
        return mln_cli_usage(cli, "unknown format '%s': pretty or json", format);
    }
    return MLN_OK;
}

/* ---- parse ---- */
static void print_tree(struct mln_cli *cli, const struct mln_value *v, int depth);

/* {"type": "ref", "value": [..]}: its type, then its parts; what is no list stands in one line. */
static void print_typed(struct mln_cli *cli, const char *type, const struct mln_value *value, int depth)
{
    bool is_list = mln_type_of(value) == MLN_ARRAY;
    if (is_list || mln_type_of(value) == MLN_OBJECT) {
        mln_cli_out("%*s%s\n", depth, "", type);
        print_tree(cli, value, depth + 1);
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, value, MLN_JSON_COMPACT);
    bool is_var = mln_bytes_is(mln_bytes_of(type), "var");
    mln_cli_out("%*s", depth, "");
    mln_cli_raw(is_var ? mln_get_bytes(value) : mln_buf_bytes(&text));
    mln_cli_out("\n");
}

static void print_member(struct mln_cli *cli, struct mln_bytes key, const struct mln_value *value, int depth)
{
    bool is_plain = mln_type_of(value) != MLN_ARRAY && mln_type_of(value) != MLN_OBJECT;
    mln_cli_out("%*s", depth, "");
    mln_cli_raw(key);
    if (is_plain) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        mln_json_print(&text, value, MLN_JSON_COMPACT);
        mln_cli_out(" ");
        mln_cli_raw(mln_buf_bytes(&text));
    }
    mln_cli_out("\n");
    if (!is_plain) {
        print_tree(cli, value, depth + 1);
    }
}

static void print_tree(struct mln_cli *cli, const struct mln_value *v, int depth)
{
    const char *type = mln_get_text(cli->cx, mln_get(v, "type"), NULL);
    if (type != NULL && mln_get(v, "value") != NULL) {
        print_typed(cli, type, mln_get(v, "value"), depth);
        return;
    }
    for (size_t i = 0; mln_type_of(v) == MLN_ARRAY && i < mln_len(v); i++) {
        print_tree(cli, mln_item(v, i), depth);
    }
    for (size_t i = 0; mln_type_of(v) == MLN_OBJECT && i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        print_member(cli, m->key, &m->value, depth);
    }
}

static struct mln_err run_parse(struct mln_cli *cli)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_bytes text;
    bool is_json = false;
    MLN_TRY(read_format(cli, &is_json));
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    MLN_TRY(mln_cli_read_file(cli, cli->args[0], MLN_REGO_MODULE_MAX, &text));
    MLN_TRY(mln_rego_new(cli->cx, &options, &rego));
    if (mln_failed(mln_rego_add(rego, cli->cx, cli->args[0], text))) {
        struct mln_value *errors = rego_errors_of(cli->cx, rego);
        is_json ? rego_errors_print(cli, errors) : rego_errors_say(cli, errors);
        mln_cx_clear(cli->cx);
        cli->exit_code = 1;
        return MLN_OK;
    }
    if (!mln_rego_tree_print(rego, 0, &json)) {
        return mln_fail(cli->cx, MLN_E_MEMORY, "no memory for the tree");
    }
    if (is_json) {
        rego_put_json(mln_buf_bytes(&json));
        return MLN_OK;
    }
    const struct mln_value *tree = NULL;
    MLN_TRY(mln_json_parse(cli->cx, mln_buf_bytes(&json), &tree));
    mln_cli_out("module\n");
    print_tree(cli, tree, 1);
    return MLN_OK;
}

/* ---- deps ---- */
static const char *ref_text(struct mln_cli *cli, const struct mln_value *ref)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < mln_len(ref); i++) {
        const struct mln_value *v = mln_get(mln_item(ref, i), "value");
        if (i > 0 && mln_type_of(v) != MLN_STRING) {
            mln_buf_add_byte(&text, '[');
            mln_json_print(&text, v, MLN_JSON_COMPACT);
            mln_buf_add_byte(&text, ']');
        } else {
            mln_buf_add_text(&text, i == 0 ? "" : ".");
            mln_buf_add_bytes(&text, mln_get_bytes(v));
        }
    }
    return mln_text_dup(cli->cx, mln_buf_bytes(&text));
}

static void draw_deps(struct mln_cli *cli, const struct mln_value *deps)
{
    const struct mln_value *base = mln_get(deps, "base"), *rules = mln_get(deps, "virtual");
    size_t n = mln_len(base) > mln_len(rules) ? mln_len(base) : mln_len(rules);
    struct rego_table t = {.n_columns = 2, .n_rows = n + 1};
    t.cells = mln_new_array(cli->cx, t.n_columns * t.n_rows, sizeof(*t.cells));
    if (t.cells == NULL) {
        return;
    }
    t.cells[0] = "BASE DOCUMENTS";
    t.cells[1] = "VIRTUAL DOCUMENTS";
    for (size_t i = 0; i < n; i++) {
        t.cells[2 * i + 2] = i < mln_len(base) ? ref_text(cli, mln_item(base, i)) : "";
        t.cells[2 * i + 3] = i < mln_len(rules) ? ref_text(cli, mln_item(rules, i)) : "";
    }
    rego_table_draw(cli, &t);
}

static struct mln_err run_deps(struct mln_cli *cli)
{
    MLN_AUTO(rego_files_drop) struct rego_files files = {0};
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_value *errors = NULL;
    bool is_json = false;
    MLN_TRY(read_format(cli, &is_json));
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    struct mln_rego_query_options how = {.version = options.version};
    struct mln_err err = rego_files_of_flag(cli, "data", &files);
    files.is_bundle = true;
    err = mln_failed(err) ? err : rego_files_of_flag(cli, "bundle", &files);
    err = mln_failed(err) ? err : rego_compile(cli, &files, &options, &rego, &errors);
    err = mln_failed(err) ? err : mln_rego_prepare(rego, cli->cx, mln_bytes_of(cli->args[0]), &how, &query);
    if (mln_failed(err)) {
        errors = errors == NULL && query != NULL ? rego_query_errors_of(cli->cx, query) : errors;
        rego_errors_say(cli, errors != NULL ? errors : rego_errors_text(cli->cx, cli->cx->text));
        cli->exit_code = 1;
        mln_cx_clear(cli->cx);
        return MLN_OK;
    }
    if (!mln_rego_deps_print(query, &json)) {
        return mln_fail(cli->cx, MLN_E_MEMORY, "no memory for the dependencies");
    }
    if (is_json) {
        rego_put_json(mln_buf_bytes(&json));
        return MLN_OK;
    }
    const struct mln_value *deps = NULL;
    MLN_TRY(mln_json_parse(cli->cx, mln_buf_bytes(&json), &deps));
    draw_deps(cli, deps);
    return MLN_OK;
}

/* ---- capabilities ---- */
static struct mln_err run_capabilities(struct mln_cli *cli)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    if (!mln_rego_capabilities_print(&json)) {
        return mln_fail(cli->cx, MLN_E_MEMORY, "no memory for the list of builtins");
    }
    rego_put_json(mln_buf_bytes(&json));
    return MLN_OK;
}

static const char *const letters[] = {"f", "format", "d", "data", "b", "bundle", NULL};

static const struct mln_flag parse_flags[] = {
    {"format", MLN_FLAG_TEXT, "pretty|json", "pretty", "How the tree is printed"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const parse_examples[] = {"merlon rego parse policy.rego", "merlon rego parse --format json policy.rego", NULL};
const struct mln_command mln_command_rego_parse = {
    .noun = "rego",
    .verb = "parse",
    .summary = "Show the syntax tree of a policy",
    .args = "FILE",
    .examples = parse_examples,
    .flags = parse_flags,
    .min_args = 1,
    .max_args = 1,
    .is_local = true,
    .letters = letters,
    .more = "Exit code 1 when the policy cannot be read.",
    .run = run_parse,
};

static const struct mln_flag deps_flags[] = {
    {"data", MLN_FLAG_LIST, "PATH", NULL, "Policies and documents: a file, a folder, or a.b:FILE"},
    {"bundle", MLN_FLAG_LIST, "PATH", NULL, "A bundle: a folder or a tar.gz"},
    {"format", MLN_FLAG_TEXT, "pretty|json", "pretty", "How the documents are printed"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const deps_examples[] = {"merlon rego deps -d policies/ data.example.allow",
                                            "merlon rego deps -d policies/ --format json data.example.allow", NULL};
const struct mln_command mln_command_rego_deps = {
    .noun = "rego",
    .verb = "deps",
    .summary = "Show which documents and rules a query needs",
    .args = "QUERY",
    .examples = deps_examples,
    .flags = deps_flags,
    .min_args = 1,
    .max_args = 1,
    .is_local = true,
    .letters = letters,
    .more = "Exit code 1 with an error of the policies or of the query.",
    .run = run_deps,
};

static const struct mln_flag capabilities_flags[] = {
    {"current", MLN_FLAG_BOOL, NULL, NULL, "Of this version: the only one there is"},
    {0},
};
static const char *const capabilities_examples[] = {"merlon rego capabilities > capabilities.json",
                                                    "merlon rego check --capabilities capabilities.json policies/", NULL};
const struct mln_command mln_command_rego_capabilities = {
    .noun = "rego",
    .verb = "capabilities",
    .summary = "Print the builtins and features of the language as JSON",
    .args = "",
    .examples = capabilities_examples,
    .flags = capabilities_flags,
    .is_local = true,
    .run = run_capabilities,
};
