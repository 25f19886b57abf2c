/* SPDX-License-Identifier: Apache-2.0 */
/* merlon login: by token, name and password, or any method's members; keeps the token in the user's configuration folder (mode 0600). */
#include "cli/cli_priv.h"

#include <stdlib.h>

static const struct mln_flag flags[] = {
    {"method", MLN_FLAG_TEXT, "METHOD", "token", "How: token, userpass, ldap, approle, jwt, kubernetes, cert"},
    {"path", MLN_FLAG_TEXT, "MOUNT", NULL, "Mount of the method (default: its name)"},
    {"username", MLN_FLAG_TEXT, "NAME", NULL, "Who logs in (userpass, ldap)"},
    {"no-store", MLN_FLAG_BOOL, NULL, NULL, "Do not keep the token; print it"},
    {0},
};

static void table(struct mln_cli *cli, const struct mln_value *auth)
{
    mln_cli_out("Logged in as %s; policies %s\n",
                mln_cli_scalar(cli, mln_get(auth, "display_name")),
                mln_cli_scalar(cli, mln_get(auth, "policies")));
}

static struct mln_err keep(struct mln_cli *cli, const struct mln_value *auth, const char *name,
                           const char *token)
{
    struct mln_value *shown = mln_value_dup(cli->cx, auth);
    mln_put_text(cli->cx, shown, "display_name", name);
    if (mln_cli_bool(cli, "no-store")) {
        mln_put_text(cli->cx, shown, "client_token", token);
        mln_cli_out("%s", cli->format == MLN_FORMAT_TABLE && cli->field == NULL ? token : "");
        return cli->format == MLN_FORMAT_TABLE && cli->field == NULL
                   ? (mln_cli_out("\n"), MLN_OK)
                   : mln_cli_answer(cli, shown, NULL);
    }
    MLN_TRY(mln_cli_token_save(cli, token));
    if (mln_cli_env(cli, "TOKEN") != NULL) {
        mln_cli_say(
            cli, "merlon: warning: a token in the environment is used before the one kept now\n");
    }
    return mln_cli_answer(cli, shown, table);
}

static struct mln_err by_token(struct mln_cli *cli)
{
    struct mln_bytes secret = {0};
    MLN_TRY(mln_cli_secret(cli, cli->n_args > 0 ? cli->args[0] : NULL, "Token", false, &secret));
    const char *token = mln_text_dup(cli->cx, secret);
    setenv("MERLON_TOKEN", token, 1);
    struct mln_cli_reply reply = {0};
    struct mln_err err = mln_cli_call(cli, "GET", "auth/token/lookup-self", NULL, &reply);
    unsetenv("MERLON_TOKEN");
    MLN_TRY(err);
    return keep(cli, reply.data,
                mln_get_text(cli->cx, mln_get(reply.data, "display_name"), "token"), token);
}

/* The token of a login's answer is kept; a second factor that is still due is said so. */
static struct mln_err keep_answer(struct mln_cli *cli, const struct mln_cli_reply *reply, const char *name)
{
    const struct mln_value *auth = mln_get(reply->body, "auth");
    const char *token = mln_get_text(cli->cx, mln_get(auth, "client_token"), "");
    if (mln_type_of(mln_get(reply->body, "wrap_info")) == MLN_OBJECT) {
        return mln_cli_reply_print(cli, reply, "");
    }
    if (mln_type_of(mln_get(auth, "mfa_requirement")) == MLN_OBJECT) {
        cli->hint = "give it with --mfa METHOD:CODE";
        return mln_fail(cli->cx, MLN_E_WAITING, "a second factor is needed");
    }
    if (token[0] == '\0') {
        return mln_fail(cli->cx, MLN_E_REMOTE, "the server's answer has no token");
    }
    return keep(cli, auth, name, token);
}

/* Any other method: KEY=VALUE members to its login path. */
static struct mln_err by_members(struct mln_cli *cli, const char *method)
{
    struct mln_value *body = NULL;
    struct mln_cli_reply reply = {0};
    const char *mount = mln_cli_text(cli, "path");
    MLN_TRY(mln_cli_pairs(cli, 0, &body));
    MLN_TRY(mln_cli_call(cli, "PUT", mln_text_format(cli->cx, "auth/%s/login", mln_cli_escape(cli, mount != NULL ? mount : method)),
                         body, &reply));
    const struct mln_value *auth = mln_get(reply.body, "auth");
    return keep_answer(cli, &reply, mln_get_text(cli->cx, mln_get(auth, "display_name"), method));
}

static struct mln_err by_password(struct mln_cli *cli, const char *method)
{
    const char *name = mln_cli_text(cli, "username");
    size_t at = 0;
    if (name == NULL && cli->n_args > 0 &&
        mln_bytes_starts(mln_bytes_of(cli->args[0]), MLN_BYTES("username="))) {
        name = cli->args[0] + 9;
        at = 1;
    }
    if (name == NULL) {
        return mln_cli_usage(cli, "--username NAME is needed");
    }
    struct mln_bytes password = {0};
    const char *given = cli->n_args > at ? cli->args[at] : NULL;
    if (given != NULL && mln_bytes_starts(mln_bytes_of(given), MLN_BYTES("password="))) {
        given += 9; /* vault's form: "-", "@FILE"; text is refused as everywhere */
    }
    MLN_TRY(mln_cli_secret(cli, given, "Password", false, &password));
    struct mln_value *body = mln_object(cli->cx);
    mln_put(cli->cx, body, "password", mln_secret_string(cli->cx, password));
    const char *path = mln_cli_text(cli, "path");
    struct mln_cli_reply reply = {0};
    const char *mount = mln_cli_escape(cli, path != NULL ? path : method);
    MLN_TRY(mln_cli_call(cli, "POST", mln_text_format(cli->cx, "auth/%s/login/%s", mount, mln_cli_escape(cli, name)), body, &reply));
    return keep_answer(cli, &reply, name);
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_bytes method = mln_bytes_of(mln_cli_text(cli, "method"));
    if (mln_bytes_is(method, "token")) {
        return by_token(cli);
    }
    if (mln_bytes_is(method, "userpass") || mln_bytes_is(method, "ldap")) {
        return by_password(cli, mln_cli_text(cli, "method"));
    }
    return by_members(cli, mln_cli_text(cli, "method"));
}

static const char *const examples[] = {
    "merlon login --method userpass --username alice",
    "merlon login - < token-file",
    "merlon login --method approle role_id=@role secret_id=@secret --no-store",
    NULL,
};

const struct mln_command mln_command_login = {
    .noun = "login",
    .summary = "Log in and keep the token for the next commands",
    .args = "[- | @FILE | KEY=VALUE...]",
    .examples = examples,
    .flags = flags,
    .max_args = MLN_CLI_ARGS_MAX,
    .more = "The token or password is asked for on the terminal, or read from stdin (-) or a file "
            "(@FILE).",
    .run = run,
};
