/* SPDX-License-Identifier: Apache-2.0 */
/* merlon agent */
#include "agent/agent.h"
#include "base/log.h"
#include "cli/cli_priv.h"

static const struct mln_flag flags[] = {
    {"config", MLN_FLAG_TEXT, "FILE", NULL,
     "Configuration: HCL or JSON as of Vault's agent, or YAML (*.yaml, *.yml)"},
    {"exit-after-auth", MLN_FLAG_BOOL, NULL, NULL,
     "End when the token is written and every template rendered once"},
    {"log-level", MLN_FLAG_TEXT, "LEVEL", "info", "error, warn, info or debug"},
    {"log-format", MLN_FLAG_TEXT, "FORM", "text", "text or json"},
    {0},
};

/* The server of the environment where the configuration names none. */
static void fill_server(struct mln_cli *cli, struct mln_agent_server *to)
{
    const char *skip = mln_cli_env(cli, "SKIP_VERIFY");
    to->address = to->address != NULL ? to->address : mln_cli_address(cli);
    to->ca_cert = to->ca_cert != NULL ? to->ca_cert : mln_cli_env(cli, "CACERT");
    to->client_cert = to->client_cert != NULL ? to->client_cert : mln_cli_env(cli, "CLIENT_CERT");
    to->client_key = to->client_key != NULL ? to->client_key : mln_cli_env(cli, "CLIENT_KEY");
    to->ns = to->ns != NULL ? to->ns : mln_cli_env(cli, "NAMESPACE");
    to->skips_verify =
        to->skips_verify || (skip != NULL && (mln_bytes_is(mln_bytes_of(skip), "true") ||
                                              mln_bytes_is(mln_bytes_of(skip), "1")));
}

static struct mln_err setup_log(struct mln_cli *cli)
{
    enum mln_log_level level = MLN_LOG_INFO;
    struct mln_bytes form = mln_bytes_of(mln_cli_text(cli, "log-format"));
    if (!mln_log_level_parse(mln_bytes_of(mln_cli_text(cli, "log-level")), &level)) {
        return mln_cli_usage(cli, "--log-level is error, warn, info or debug");
    }
    if (!mln_bytes_is(form, "text") && !mln_bytes_is(form, "json")) {
        return mln_cli_usage(cli, "--log-format is text or json");
    }
    mln_log_setup("agent", level, mln_bytes_is(form, "json") ? MLN_LOG_JSON : MLN_LOG_TEXT);
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    const char *path = mln_cli_text(cli, "config");
    struct mln_agent_config config;
    struct mln_value *warnings = mln_array(cli->cx);
    struct mln_bytes text;
    if (path == NULL) {
        return mln_cli_usage(cli, "an agent needs --config FILE");
    }
    MLN_TRY(setup_log(cli));
    MLN_TRY(mln_cli_read_file(cli, path, MLN_AGENT_CONFIG_MAX, &text));
    bool is_yaml = mln_bytes_ends(mln_bytes_of(path), MLN_BYTES(".yaml")) ||
                   mln_bytes_ends(mln_bytes_of(path), MLN_BYTES(".yml"));
    MLN_TRY(mln_agent_config_parse(cli->cx, text, is_yaml, &config, warnings));
    for (size_t i = 0; i < mln_len(warnings); i++) {
        mln_log(MLN_LOG_WARN, "agent", "%s", mln_get_text(cli->cx, mln_item(warnings, i), ""));
    }
    fill_server(cli, &config.server);
    config.exits_after_auth = config.exits_after_auth || mln_cli_bool(cli, "exit-after-auth");
    if (config.server.skips_verify) {
        mln_log(MLN_LOG_WARN, "agent", "the server's certificate is not verified");
    }
    return mln_agent_run(cli->cx, &config, &cli->exit_code);
}

static const char *const examples[] = {
    "merlon agent --config agent.hcl",
    "merlon agent --config agent.yaml --exit-after-auth",
    NULL,
};

const struct mln_command mln_command_agent = {
    .noun = "agent",
    .summary = "Log a workload in, keep its token, render its secrets to files",
    .args = "",
    .examples = examples,
    .flags = flags,
    .is_local = true,
    .more = "SIGHUP reads templates and secrets again, SIGTERM ends it. Commands in lists run "
            "without a shell.",
    .run = run,
};
