/* SPDX-License-Identifier: Apache-2.0 */
/* merlon node run, token: machines that attest processes in a server's name. */
#include "cli/cli_priv.h"
#include "contract/server.h"

static const struct mln_flag run_flags[] = {
    {"server", MLN_FLAG_TEXT, "URL", NULL, "Address of the server: https://HOST:8200"},
    {"server-ca", MLN_FLAG_TEXT, "FILE", NULL, "Authority of its certificate, PEM"},
    {"socket", MLN_FLAG_TEXT, "PATH", NULL, "Where processes of this machine ask"},
    {"data", MLN_FLAG_TEXT, "DIR", NULL, "Folder for its key and SVID"},
    {"join-token-file", MLN_FLAG_TEXT, "FILE", NULL, "A token of 'merlon node token'"},
    {"cert", MLN_FLAG_TEXT, "FILE", NULL, "Certificate chain of this machine, PEM"},
    {"key", MLN_FLAG_TEXT, "FILE", NULL, "Its key, PKCS #8 in PEM"},
    {"psat-file", MLN_FLAG_TEXT, "FILE", NULL, "Service account token for audience merlon-server"},
    {"cluster", MLN_FLAG_TEXT, "NAME", NULL, "The cluster's name in spiffe/nodes/config"},
    {"tpm", MLN_FLAG_TEXT, "DEVICE", NULL, "TPM 2.0 of this machine: /dev/tpmrm0, or as tpm2-tss names it"},
    {"attest", MLN_FLAG_TEXT, "FILE", NULL, "Settings of attestors, YAML: what a server's merlon.yaml has below spiffe.attest"},
    {"log-level", MLN_FLAG_TEXT, "LEVEL", "info", "error, warn, info or debug"},
    {"log-format", MLN_FLAG_TEXT, "FORM", "text", "text or json"},
    {0},
};

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_node_options options = {
        .server = mln_cli_text(cli, "server"),
        .ca_file = mln_cli_text(cli, "server-ca"),
        .socket = mln_cli_text(cli, "socket"),
        .data_dir = mln_cli_text(cli, "data"),
        .join_token_file = mln_cli_text(cli, "join-token-file"),
        .cert_file = mln_cli_text(cli, "cert"),
        .key_file = mln_cli_text(cli, "key"),
        .psat_token_file = mln_cli_text(cli, "psat-file"),
        .cluster = mln_cli_text(cli, "cluster"),
        .tpm = mln_cli_text(cli, "tpm"),
        .attest_file = mln_cli_text(cli, "attest"),
        .log_level = mln_cli_text(cli, "log-level"),
        .log_format = mln_cli_text(cli, "log-format"),
    };
    if (cli->hooks == NULL || cli->hooks->node_run == NULL) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "this build has no node");
    }
    cli->exit_code = cli->hooks->node_run(&options);
    return MLN_OK;
}

static const struct mln_flag token_flags[] = {
    {"ttl", MLN_FLAG_TEXT, "DURATION", "10m", "How long it may wait to be used"},
    {0},
};

static struct mln_err run_token(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cli->cx);
    mln_put_text(cli->cx, body, "ttl", mln_cli_text(cli, "ttl"));
    MLN_TRY(mln_cli_call(cli, "POST", "spiffe/nodes/join-token", body, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static const char *const run_examples[] = {
    "merlon node run --server https://merlon:8200 --server-ca ca.pem --socket /run/merlon/api.sock "
    "--data /var/lib/merlon-node --join-token-file t",
    "merlon node run --server https://merlon:8200 --socket /run/merlon/api.sock --data "
    "/var/lib/merlon-node --cert node.pem --key node.key",
    "merlon node run --server https://merlon:8200 --socket /run/merlon/api.sock --data "
    "/var/lib/merlon-node --tpm /dev/tpmrm0",
    NULL,
};
static const char *const token_examples[] = {"merlon node token --field token",
                                             "merlon node token --ttl 1h --format json", NULL};

const struct mln_command mln_command_node_run = {
    .noun = "node",
    .verb = "run",
    .summary = "Serve the Workload API of a server on another machine",
    .args = "",
    .examples = run_examples,
    .flags = run_flags,
    .is_local = true,
    .run = run,
};
const struct mln_command mln_command_node_token = {
    .noun = "node",
    .verb = "token",
    .summary = "Make a token with which one node may join",
    .args = "",
    .examples = token_examples,
    .flags = token_flags,
    .run = run_token,
};
