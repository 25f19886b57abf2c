/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego check: do these policies compile? */
#include "cli/rego_priv.h"

static struct mln_err load_args(struct mln_cli *cli, struct rego_files *files)
{
    for (size_t i = 0; i < cli->n_args; i++) {
        MLN_TRY(rego_files_load(cli, cli->args[i], files));
    }
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(rego_files_drop) struct rego_files files = {.is_bundle = mln_cli_bool(cli, "bundle"),
                                                           .capabilities = mln_cli_text(cli, "capabilities"),
                                                           .schema = mln_cli_text(cli, "schema")};
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_value *errors = NULL;
    int64_t max = 0;
    const char *format = mln_cli_text(cli, "format");
    bool is_json = mln_bytes_is(mln_bytes_of(format), "json");
    if (!is_json && !mln_bytes_is(mln_bytes_of(format), "pretty")) {
        return mln_cli_usage(cli, "unknown format '%s': pretty or json", format);
    }
    MLN_TRY(mln_cli_int(cli, "max-errors", MLN_REGO_ERRORS_MAX, &max));
    if (max < 1 || max > 10000) {
        return mln_cli_usage(cli, "--max-errors is between 1 and 10000");
    }
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1,
        .is_strict = mln_cli_bool(cli, "strict"),
        .errors_max = (unsigned)max,
    };
    struct mln_err err = load_args(cli, &files);
    err = mln_failed(err) ? err : rego_compile(cli, &files, &options, &rego, &errors);
    if (mln_failed(err)) {
        errors = errors != NULL ? errors : rego_errors_text(cli->cx, cli->cx->text);
        is_json ? rego_errors_print(cli, errors) : rego_errors_say(cli, errors);
        cli->exit_code = 1;
    }
    return MLN_OK;
}

static const struct mln_flag flags[] = {
    {"format", MLN_FLAG_TEXT, "pretty|json", "pretty", "How errors are printed"},
    {"strict", MLN_FLAG_BOOL, NULL, NULL, "Unused imports, variables and arguments are errors"},
    {"max-errors", MLN_FLAG_INT, "N", "10", "Stop after this many"},
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "Paths are bundles: of documents only data.json and data.yaml count"},
    {"schema", MLN_FLAG_TEXT, "PATH", NULL, "JSON schema of inputs, or a folder of schemas that METADATA names"},
    {"capabilities", MLN_FLAG_TEXT, "FILE", NULL, "Builtins that may be called, as OPA's capabilities.json"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const letters[] = {"f", "format", "S", "strict", "m", "max-errors", "b", "bundle", "s", "schema", NULL};
static const char *const examples[] = {"merlon rego check policy.rego", "merlon rego check --strict policies/ --format json", NULL};
const struct mln_command mln_command_rego_check = {
    .noun = "rego",
    .verb = "check",
    .summary = "Compile policies and report what is wrong",
    .args = "PATH...",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Errors are printed as file:row: code: message, on stderr, or as JSON on stdout. Exit code 1 when there is one.",
    .run = run,
};
