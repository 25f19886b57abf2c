/* SPDX-License-Identifier: Apache-2.0 */
/* merlon user: people who log in with a password (auth method userpass). */
#include "cli/cli_priv.h"

static const struct mln_flag common_flags[] = {
    {"path", MLN_FLAG_TEXT, "MOUNT", "userpass", "Mount of the method"},
    {0},
};
static const struct mln_flag create_flags[] = {
    {"path", MLN_FLAG_TEXT, "MOUNT", "userpass", "Mount of the method"},
    {"policy", MLN_FLAG_LIST, "NAME", NULL,
     "Policy of the user's tokens (again or with commas for more)"},
    {"password", MLN_FLAG_TEXT, "-|@FILE", NULL,
     "Where the password comes from (asked for otherwise)"},
    {"ttl", MLN_FLAG_TEXT, "TIME", NULL, "Life of the user's tokens, e.g. 8h"},
    {0},
};
static const struct mln_flag password_flags[] = {
    {"path", MLN_FLAG_TEXT, "MOUNT", "userpass", "Mount of the method"},
    {"password", MLN_FLAG_TEXT, "-|@FILE", NULL,
     "Where the password comes from (asked for otherwise)"},
    {0},
};

static const char *user_path(struct mln_cli *cli, const char *name, const char *tail)
{
    return mln_text_format(cli->cx, "auth/%s/users%s%s%s", mln_cli_text(cli, "path"),
                           name != NULL ? "/" : "", name != NULL ? mln_cli_escape(cli, name) : "",
                           tail);
}

static struct mln_err run_create(struct mln_cli *cli)
{
    struct mln_bytes password = {0};
    MLN_TRY(mln_cli_secret(cli, mln_cli_text(cli, "password"), "New password", true, &password));
    struct mln_value *body = mln_object(cli->cx);
    mln_put(cli->cx, body, "password", mln_secret_string(cli->cx, password));
    mln_put(cli->cx, body, "token_policies", mln_cli_list(cli, "policy"));
    if (mln_cli_text(cli, "ttl") != NULL) {
        mln_put_text(cli->cx, body, "token_ttl", mln_cli_text(cli, "ttl"));
    }
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "POST", user_path(cli, cli->args[0], ""), body, &reply));
    mln_cli_say(cli, "User %s can log in now: merlon login --method userpass --username %s\n",
                cli->args[0], cli->args[0]);
    return MLN_OK;
}

static struct mln_err run_password(struct mln_cli *cli)
{
    struct mln_bytes password = {0};
    MLN_TRY(mln_cli_secret(cli, mln_cli_text(cli, "password"), "New password", true, &password));
    struct mln_value *body = mln_object(cli->cx);
    mln_put(cli->cx, body, "password", mln_secret_string(cli->cx, password));
    struct mln_cli_reply reply = {0};
    return mln_cli_call(cli, "POST", user_path(cli, cli->args[0], "/password"), body, &reply);
}

static struct mln_err run_show(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", user_path(cli, cli->args[0], ""), NULL, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", user_path(cli, NULL, "?list=true"), NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    return mln_cli_call(cli, "DELETE", user_path(cli, cli->args[0], ""), NULL, &reply);
}

static const char *const create_examples[] = {
    "merlon user create alice --policy author",
    "merlon user create bob --policy approver --password @pw", NULL};
const struct mln_command mln_command_user_create = {
    .noun = "user",
    .verb = "create",
    .summary = "Make a user, or change one's policies and password",
    .args = "NAME",
    .examples = create_examples,
    .flags = create_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};
static const char *const password_examples[] = {"merlon user password alice", NULL};
const struct mln_command mln_command_user_password = {
    .noun = "user",
    .verb = "password",
    .summary = "Change a user's password",
    .args = "NAME",
    .examples = password_examples,
    .flags = password_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_password,
};
static const char *const show_examples[] = {"merlon user show alice", NULL};
const struct mln_command mln_command_user_show = {
    .noun = "user",
    .verb = "show",
    .summary = "Show a user's settings",
    .args = "NAME",
    .examples = show_examples,
    .flags = common_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
static const char *const list_examples[] = {"merlon user list", NULL};
const struct mln_command mln_command_user_list = {
    .noun = "user",
    .verb = "list",
    .summary = "List users",
    .args = "",
    .examples = list_examples,
    .flags = common_flags,
    .run = run_list,
};
static const char *const delete_examples[] = {"merlon user delete alice", NULL};
const struct mln_command mln_command_user_delete = {
    .noun = "user",
    .verb = "delete",
    .summary = "Delete a user; tokens end when they expire or are revoked",
    .args = "NAME",
    .examples = delete_examples,
    .flags = common_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
