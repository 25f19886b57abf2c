/* SPDX-License-Identifier: Apache-2.0 */
/* merlon server */
#include "cli/cli_priv.h"
#include "contract/server.h"

static const struct mln_flag flags[] = {
    {"config", MLN_FLAG_TEXT, "FILE", NULL, "Configuration: merlon.yaml(5), or the HCL or JSON of a Vault or OpenBao server"},
    {"dev", MLN_FLAG_BOOL, NULL, NULL, "Try-out mode: temporary data, loopback, unsealed, a root token"},
    {"dev-listen-address", MLN_FLAG_TEXT, "HOST:PORT", "127.0.0.1:8200", "Where --dev listens (port 0: any free one)"},
    {"dev-root-token-id", MLN_FLAG_TEXT, "TOKEN", NULL, "Root token of --dev (random otherwise)"},
    {"dev-tls", MLN_FLAG_BOOL, NULL, NULL, "TLS with a certificate made at start"},
    {"data", MLN_FLAG_TEXT, "DIR", NULL, "Data folder (overrides the configuration; keeps --dev data)"},
    {"trust-domain", MLN_FLAG_TEXT, "NAME", NULL, "Trust domain of the workload identities it issues: example.org"},
    {"rekey-per-minute", MLN_FLAG_INT, "N", "3", "How often a crashed core is re-keyed; 0: never"},
    {"spiffe-socket", MLN_FLAG_TEXT, "PATH", NULL, "Serve the SPIFFE Workload API at this Unix socket"},
    {"spiffe-bundle-endpoint", MLN_FLAG_TEXT, "HOST:PORT", NULL, "Publish the trust domain's bundle here, by https_spiffe"},
    {"log-level", MLN_FLAG_TEXT, "LEVEL", "info", "error, warn, info or debug"},
    {"log-format", MLN_FLAG_TEXT, "FORM", "text", "text or json"},
    {0},
};

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_server_options options = {
        .config_file = mln_cli_text(cli, "config"),
        .is_dev = mln_cli_bool(cli, "dev"),
        .dev_listen_address = mln_cli_text(cli, "dev-listen-address"),
        .dev_root_token_id = mln_cli_text(cli, "dev-root-token-id"),
        .dev_tls = mln_cli_bool(cli, "dev-tls"),
        .data_dir = mln_cli_text(cli, "data"),
        .spiffe_socket = mln_cli_text(cli, "spiffe-socket"),
        .trust_domain = mln_cli_text(cli, "trust-domain"),
        .spiffe_bundle_endpoint = mln_cli_text(cli, "spiffe-bundle-endpoint"),
        .log_level = mln_cli_text(cli, "log-level"),
        .log_format = mln_cli_text(cli, "log-format"),
    };
    if (options.dev_root_token_id == NULL && options.is_dev) {
        options.dev_root_token_id = mln_cli_env(cli, "DEV_ROOT_TOKEN_ID");
    }
    MLN_TRY(mln_cli_int(cli, "rekey-per-minute", 3, &options.rekey_per_minute));
    if (!options.is_dev && options.config_file == NULL) {
        cli->hint = "'merlon server --dev' starts one to try things on";
        return mln_fail(cli->cx, MLN_E_USAGE, "a server needs --config FILE or --dev");
    }
    if (cli->hooks == NULL || cli->hooks->server_run == NULL) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "this build has no server");
    }
    cli->exit_code = cli->hooks->server_run(&options);
    return MLN_OK;
}

static const char *const examples[] = {
    "merlon server --dev",
    "merlon server --dev --dev-listen-address 127.0.0.1:8300 --dev-root-token-id root",
    "merlon server --config /etc/merlon/merlon.yaml",
    NULL,
};

const struct mln_command mln_command_server = {
    .noun = "server",
    .summary = "Run the server until it is told to stop",
    .args = "",
    .examples = examples,
    .flags = flags,
    .is_local = true,
    .more = "The token given with --dev-root-token-id is for trying things out: others on this machine can read it.",
    .run = run,
};
