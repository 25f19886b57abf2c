/* SPDX-License-Identifier: Apache-2.0 */
/* merlon proxy: mTLS with SPIFFE identities in front of, and on behalf of, programs that do not speak it. */
#include <stdlib.h>

#include "cli/cli_priv.h"
#include "contract/server.h"

static const struct mln_flag flags[] = {
    {"config", MLN_FLAG_TEXT, "FILE", NULL, "Listeners and limits: YAML (*.yaml, *.yml), else HCL"},
    {"listen", MLN_FLAG_TEXT, "ADDRESS", NULL, "Where connections come in: HOST:PORT, or unix:/PATH"},
    {"target", MLN_FLAG_TEXT, "ADDRESS", NULL, "Where they go"},
    {"allow", MLN_FLAG_LIST, "PATTERN", NULL, "mTLS in, plain out: SPIFFE ids that may connect"},
    {"server-id", MLN_FLAG_LIST, "PATTERN", NULL, "Plain in, mTLS out: SPIFFE ids that the target may have"},
    {"alpn", MLN_FLAG_LIST, "NAME", NULL, "Protocol to agree on in TLS, as h2"},
    {"workload-socket", MLN_FLAG_TEXT, "ADDRESS", NULL, "The Workload API: unix:///PATH; else SPIFFE_ENDPOINT_SOCKET"},
    {"spiffe-id", MLN_FLAG_TEXT, "ID", NULL, "Which of several identities; else the first"},
    {"records", MLN_FLAG_TEXT, "FILE", NULL, "A line of JSON for each connection; else stderr"},
    {"metrics", MLN_FLAG_TEXT, "ADDRESS", NULL, "Serve /metrics and /healthz on loopback"},
    {"log-level", MLN_FLAG_TEXT, "LEVEL", "info", "error, warn, info or debug"},
    {"log-format", MLN_FLAG_TEXT, "FORM", "text", "text or json"},
    {0},
};

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_proxy_options options = {
        .config_file = mln_cli_text(cli, "config"),
        .listen = mln_cli_text(cli, "listen"),
        .target = mln_cli_text(cli, "target"),
        .allow = mln_cli_list(cli, "allow"),
        .server_ids = mln_cli_list(cli, "server-id"),
        .alpn = mln_cli_list(cli, "alpn"),
        .workload_socket = mln_cli_text(cli, "workload-socket"),
        .workload_environment = getenv("SPIFFE_ENDPOINT_SOCKET"), /* as the standard names it */
        .spiffe_id = mln_cli_text(cli, "spiffe-id"),
        .records = mln_cli_text(cli, "records"),
        .metrics = mln_cli_text(cli, "metrics"),
        .log_level = mln_cli_text(cli, "log-level"),
        .log_format = mln_cli_text(cli, "log-format"),
    };
    if (cli->hooks == NULL || cli->hooks->proxy_run == NULL) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "this build has no proxy");
    }
    cli->exit_code = cli->hooks->proxy_run(&options);
    return MLN_OK;
}

static const char *const examples[] = {
    "merlon proxy --listen 0.0.0.0:8443 --target 127.0.0.1:8080 --allow 'spiffe://example.org/ns/*/sa/web'",
    "merlon proxy --listen 127.0.0.1:5432 --target db:8443 --server-id spiffe://example.org/db",
    "merlon proxy --config proxy.yaml",
    NULL,
};

const struct mln_command mln_command_proxy = {
    .noun = "proxy",
    .summary = "mTLS with SPIFFE identities for programs that do not speak it",
    .args = "",
    .examples = examples,
    .flags = flags,
    .is_local = true,
    .more = "SIGTERM lets connections end, a second one ends them; SIGHUP opens the file of records anew. The proxy of Vault's API is "
            "'merlon agent'.",
    .run = run,
};
