/* SPDX-License-Identifier: Apache-2.0 */
/* merlon audit: devices that every request is written to, in Vault's format. The ledger is always on and needs none of this. */
#include "cli/cli_priv.h"

static struct mln_err run_enable(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx), *options = NULL;
    struct mln_cli_reply reply = {0};
    const char *path = mln_cli_text(cli, "path");
    path = path != NULL ? path : cli->args[0];
    MLN_TRY(mln_cli_pairs(cli, 1, &options));
    mln_put_text(cli->cx, body, "type", cli->args[0]);
    mln_put(cli->cx, body, "options", options);
    if (mln_cli_text(cli, "description") != NULL) {
        mln_put_text(cli->cx, body, "description", mln_cli_text(cli, "description"));
    }
    MLN_TRY(mln_cli_call(cli, "PUT", mln_text_format(cli->cx, "sys/audit/%s", mln_cli_escape(cli, path)), body, &reply));
    return mln_cli_reply_print(cli, &reply, mln_text_format(cli->cx, "Success! Enabled the %s audit device at: %s/", cli->args[0], path));
}

static struct mln_err run_disable(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    const char *path = mln_text_format(cli->cx, "sys/audit/%s", mln_cli_escape(cli, cli->args[0]));
    MLN_TRY(mln_cli_call(cli, "DELETE", path, NULL, &reply));
    path = cli->args[0];
    return mln_cli_reply_print(cli, &reply, mln_text_format(cli->cx, "Success! Disabled audit device (if it existed) at: %s/", path));
}

static void list_table(struct mln_cli *cli, const struct mln_value *v)
{
    static const char *const heads[] = {"PATH", "TYPE", "DESCRIPTION", "OPTIONS"};
    struct mln_table t = {.heads = heads, .n_columns = 4};
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        mln_table_add(cli, &t, mln_text_dup(cli->cx, m->key), MLN_INK_BOLD);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(&m->value, "type")), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(&m->value, "description")), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(&m->value, "options")), MLN_INK_DIM);
    }
    mln_table_print(cli, &t);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "sys/audit", NULL, &reply));
    return mln_cli_answer(cli, reply.data != NULL ? reply.data : mln_object(cli->cx), list_table);
}

static const struct mln_flag enable_flags[] = {
    {"path", MLN_FLAG_TEXT, "PATH", NULL, "Name of the device (default: its type)"},
    {"description", MLN_FLAG_TEXT, "TEXT", NULL, "For people"},
    {0},
};
static const char *const enable_examples[] = {"merlon audit enable file file_path=/var/log/merlon/audit.log", NULL};
const struct mln_command mln_command_audit_enable = {
    .noun = "audit",
    .verb = "enable",
    .summary = "Write every request to a file, socket or syslog as well",
    .args = "file|socket|syslog [KEY=VALUE...]",
    .examples = enable_examples,
    .flags = enable_flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_enable,
    .more = "The server allows it when its configuration says unsafe_allow_api_audit_creation; the better place is the configuration.",
};
static const char *const disable_examples[] = {"merlon audit disable file", NULL};
const struct mln_command mln_command_audit_disable = {
    .noun = "audit",
    .verb = "disable",
    .summary = "Stop writing to an audit device",
    .args = "PATH",
    .examples = disable_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_disable,
};
static const char *const list_examples[] = {"merlon audit list", NULL};
const struct mln_command mln_command_audit_list = {
    .noun = "audit",
    .verb = "list",
    .summary = "List audit devices",
    .args = "",
    .examples = list_examples,
    .run = run_list,
};
