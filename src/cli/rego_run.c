/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego run --server: OPA's REST API alone. */
#include "cli/rego_priv.h"

static struct mln_err load(struct mln_cli *cli, struct rego_files *files)
{
    files->is_bundle = mln_cli_bool(cli, "bundle");
    for (size_t i = 0; i < cli->n_args; i++) {
        MLN_TRY(rego_files_load(cli, cli->args[i], files));
    }
    return MLN_OK;
}

/* ":8181" is every address of this machine, as OPA reads it. */
static const char *address_of(struct mln_cli *cli)
{
    const char *text = mln_cli_text(cli, "addr");
    return text[0] == ':' ? mln_text_format(cli->cx, "0.0.0.0%s", text) : text;
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(rego_files_drop) struct rego_files files = {0};
    struct mln_rego_server_options options = {
        .address = address_of(cli),
        .is_v0 = mln_cli_bool(cli, "v0-compatible"),
        .log_level = mln_cli_text(cli, "log-level"),
        .log_format = mln_cli_text(cli, "log-format"),
    };
    if (!mln_cli_bool(cli, "server")) {
        cli->hint = "'merlon rego eval QUERY' evaluates one query";
        return mln_cli_usage(cli, "only --server is supported: there is no prompt");
    }
    MLN_TRY(mln_cli_int(cli, "threads", 0, &options.threads));
    const char *limit = mln_cli_text(cli, "query-timeout");
    if (!mln_duration_parse(mln_bytes_of(limit), &options.time_s) || options.time_s < 0 || options.time_s > 86400) {
        return mln_cli_usage(cli, "--query-timeout is a duration up to a day: 30s; 0 for no limit");
    }
    if (cli->hooks == NULL || cli->hooks->rego_run == NULL) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "this build has no server");
    }
    MLN_TRY(load(cli, &files));
    options.modules = files.modules;
    options.n_modules = files.n;
    options.data = mln_take(&files.data);
    return cli->hooks->rego_run(cli->cx, &options, &cli->exit_code);
}

static const struct mln_flag flags[] = {
    {"server", MLN_FLAG_BOOL, NULL, NULL, "Serve the REST API (always needed)"},
    {"addr", MLN_FLAG_TEXT, "HOST:PORT", "127.0.0.1:8181", "Where to listen (port 0: any free one)"},
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "Paths are bundles: of documents only data.json and data.yaml count"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {"threads", MLN_FLAG_INT, "N", "0", "Threads that answer; 0: one a CPU"},
    {"query-timeout", MLN_FLAG_TEXT, "TIME", "30s", "One evaluation may take this long; 0: no limit"},
    {"log-level", MLN_FLAG_TEXT, "LEVEL", "info", "error, warn, info or debug"},
    {"log-format", MLN_FLAG_TEXT, "FORM", "text", "text or json"},
    {0},
};
static const char *const letters[] = {"s", "server", "a", "addr", "b", "bundle", "l", "log-level", NULL};
static const char *const examples[] = {
    "merlon rego run --server policy.rego data.json",
    "merlon rego run --server --addr 127.0.0.1:8181 --v0-compatible",
    NULL,
};
const struct mln_command mln_command_rego_run = {
    .noun = "rego",
    .verb = "run",
    .summary = "Serve policies by OPA's REST API",
    .args = "[PATH...]",
    .examples = examples,
    .flags = flags,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Who reaches the address may read and change everything: keep it on the loopback, or behind something that checks. "
            "Policies and documents live in memory.",
    .run = run,
};
