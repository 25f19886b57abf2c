/* SPDX-License-Identifier: Apache-2.0 */
/* merlon policy: access policies, in Vault's HCL. */
#include "cli/cli_priv.h"

#include "base/limits.h"

static const char *policy_path(struct mln_cli *cli, const char *name)
{
    return mln_text_format(cli->cx, "sys/policies/acl/%s", mln_cli_escape(cli, name));
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "sys/policies/acl?list=true", NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static void read_table(struct mln_cli *cli, const struct mln_value *data)
{
    struct mln_bytes text = mln_get_bytes(mln_get(data, "policy"));
    bool has_newline = text.len > 0 && text.ptr[text.len - 1] == '\n';
    mln_cli_out("%s%s", mln_text_dup(cli->cx, text), has_newline ? "" : "\n");
}

static struct mln_err run_read(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", policy_path(cli, cli->args[0]), NULL, &reply));
    return mln_cli_answer(cli, reply.data, read_table);
}

static struct mln_err run_write(struct mln_cli *cli)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cli->cx);
    MLN_TRY(mln_cli_read_file(cli, cli->args[1], MLN_POLICY_MAX_BYTES, &text));
    if (mln_bytes_trim(text).len == 0) {
        return mln_fail(cli->cx, MLN_E_INVALID, "%s is empty", cli->args[1]);
    }
    mln_put_bytes(cli->cx, body, "policy", text);
    MLN_TRY(mln_cli_call(cli, "PUT", policy_path(cli, cli->args[0]), body, &reply));
    mln_cli_say(cli, "Policy %s is in force\n", cli->args[0]);
    return MLN_OK;
}

static const struct mln_flag delete_flags[] = {
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"},
    {0},
};

static struct mln_err run_delete(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_confirm(cli, mln_text_format(cli->cx, "Deleting policy %s", cli->args[0])));
    return mln_cli_call(cli, "DELETE", policy_path(cli, cli->args[0]), NULL, &reply);
}

static const char *const list_examples[] = {"merlon policy list", NULL};
const struct mln_command mln_command_policy_list = {
    .noun = "policy",
    .verb = "list",
    .summary = "List policies",
    .args = "",
    .examples = list_examples,
    .run = run_list,
};
static const char *const read_examples[] = {"merlon policy read author", "merlon policy read author > author.hcl", NULL};
const struct mln_command mln_command_policy_read = {
    .noun = "policy",
    .verb = "read",
    .summary = "Print a policy",
    .args = "NAME",
    .examples = read_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_read,
};
static const char *const write_examples[] = {"merlon policy write author author.hcl", "merlon policy write author - < author.hcl", NULL};
const struct mln_command mln_command_policy_write = {
    .noun = "policy",
    .verb = "write",
    .summary = "Make a policy, or replace one, from a file or stdin",
    .args = "NAME FILE|-",
    .examples = write_examples,
    .min_args = 2,
    .max_args = 2,
    .more = "A policy grants capabilities on paths:\n\n"
            "  path \"secret/data/training/*\" { capabilities = [\"read\", \"list\"] }\n\n"
            "The server refuses what it cannot read; nothing is changed then.",
    .run = run_write,
};
static const char *const delete_examples[] = {"merlon policy delete author --yes", NULL};
const struct mln_command mln_command_policy_delete = {
    .noun = "policy",
    .verb = "delete",
    .summary = "Delete a policy; tokens that carry it lose what it granted",
    .args = "NAME",
    .examples = delete_examples,
    .flags = delete_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
