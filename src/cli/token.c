/* SPDX-License-Identifier: Apache-2.0 */
/* merlon token: make, look at, renew and revoke tokens; what they may. A token is never given as an argument. */
#include "cli/cli_priv.h"

#define ACCESSOR_FLAG {"accessor", MLN_FLAG_TEXT, "ACCESSOR", NULL, "The token of this accessor"}
#define TOKEN_ARG     "[-|@FILE]"

static const struct mln_flag create_flags[] = {
    {"policy", MLN_FLAG_LIST, "NAME", NULL, "Policy of the token (again for more; default: yours)"},
    {"ttl", MLN_FLAG_TEXT, "TIME", NULL, "Its life, e.g. 8h"},
    {"explicit-max-ttl", MLN_FLAG_TEXT, "TIME", NULL, "It ends then, however often renewed"},
    {"period", MLN_FLAG_TEXT, "TIME", NULL, "Renewable for ever, by this much"},
    {"uses", MLN_FLAG_INT, "N", NULL, "It ends after so many requests"},
    {"display-name", MLN_FLAG_TEXT, "NAME", NULL, "Name in the ledger"},
    {"metadata", MLN_FLAG_LIST, "KEY=VALUE", NULL, "Facts to keep with it"},
    {"orphan", MLN_FLAG_BOOL, NULL, NULL, "It survives the token that made it"},
    {"not-renewable", MLN_FLAG_BOOL, NULL, NULL, "It cannot be renewed"},
    {"no-default-policy", MLN_FLAG_BOOL, NULL, NULL, "Without the policy default"},
    {0},
};
static const struct mln_flag show_flags[] = {
    ACCESSOR_FLAG,
    {"reveal", MLN_FLAG_BOOL, NULL, NULL, "Show the token itself too"},
    {0},
};
static const struct mln_flag renew_flags[] = {
    ACCESSOR_FLAG,
    {"increment", MLN_FLAG_TEXT, "TIME", NULL, "By how much (the server may give less)"},
    {0},
};
static const struct mln_flag revoke_flags[] = {
    ACCESSOR_FLAG,
    {"self", MLN_FLAG_BOOL, NULL, NULL, "The token that is used for this"},
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"},
    {0},
};
static const struct mln_flag capabilities_flags[] = {
    ACCESSOR_FLAG,
    {"token", MLN_FLAG_TEXT, "-|@FILE", NULL, "Of this token"},
    {0},
};

/*
 * The path "auth/token/<verb>..." for the token that is meant, and what names it in the body: an accessor, a token from stdin or a
 * file, or the caller's own (then the body stays as it is).
 */
static struct mln_err target(struct mln_cli *cli, const char *verb, struct mln_value *body, const char **ret)
{
    const char *accessor = mln_cli_text(cli, "accessor");
    if (accessor != NULL && cli->n_args > 0) {
        return mln_cli_usage(cli, "either --accessor or a token, not both");
    }
    if (accessor != NULL) {
        mln_put_text(cli->cx, body, "accessor", accessor);
        *ret = mln_text_format(cli->cx, "auth/token/%s-accessor", verb);
        return MLN_OK;
    }
    if (cli->n_args > 0) {
        struct mln_bytes token = MLN_BYTES_NONE;
        MLN_TRY(mln_cli_secret(cli, cli->args[0], "Token", false, &token));
        mln_put(cli->cx, body, "token", mln_secret_string(cli->cx, token));
        *ret = mln_text_format(cli->cx, "auth/token/%s", verb);
        return MLN_OK;
    }
    *ret = mln_text_format(cli->cx, "auth/token/%s-self", verb);
    return MLN_OK;
}

/* ---- create ---- */

static void auth_table(struct mln_cli *cli, const struct mln_value *auth)
{
    static const char *const heads[] = {"KEY", "VALUE"};
    struct mln_table t = {.heads = heads, .n_columns = 2};
    static const char *const rows[][2] = {
        {"token", "client_token"}, {"accessor", "accessor"}, {"policies", "policies"}, {"renewable", "renewable"}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (!mln_is_null(mln_get(auth, rows[i][1]))) {
            mln_table_add(cli, &t, rows[i][0], MLN_INK_NONE);
            mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(auth, rows[i][1])), MLN_INK_NONE);
        }
    }
    int64_t ttl = mln_get_int(mln_get(auth, "lease_duration"), 0);
    mln_table_add(cli, &t, "ttl", MLN_INK_NONE);
    mln_table_add(cli, &t, ttl == 0 ? "no end" : mln_duration_text(cli->cx, ttl), MLN_INK_NONE);
    mln_table_print(cli, &t);
}

static struct mln_err put_metadata(struct mln_cli *cli, struct mln_value *body)
{
    const struct mln_value *facts = mln_cli_list(cli, "metadata");
    struct mln_value *meta = mln_object(cli->cx);
    for (size_t i = 0; i < mln_len(facts); i++) {
        struct mln_bytes fact = mln_get_bytes(mln_item(facts, i)), value = MLN_BYTES_NONE;
        if (mln_bytes_find(fact, '=') == fact.len || fact.ptr[0] == '=') {
            return mln_cli_usage(cli, "--metadata wants KEY=VALUE, not '%.*s'", MLN_FMT(fact));
        }
        struct mln_bytes key = mln_bytes_cut(fact, '=', &value);
        mln_put_key(cli->cx, meta, key, mln_string(cli->cx, value));
    }
    if (mln_len(facts) > 0) {
        mln_put(cli->cx, body, "meta", meta);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err run_create(struct mln_cli *cli)
{
    static const char *const texts[][2] = {
        {"ttl", "ttl"}, {"explicit-max-ttl", "explicit_max_ttl"}, {"period", "period"}, {"display-name", "display_name"}};
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    int64_t uses = 0;
    MLN_TRY(mln_cli_int(cli, "uses", 0, &uses));
    MLN_TRY(put_metadata(cli, body));
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        if (mln_cli_text(cli, texts[i][0]) != NULL) {
            mln_put_text(cli->cx, body, texts[i][1], mln_cli_text(cli, texts[i][0]));
        }
    }
    if (mln_len(mln_cli_list(cli, "policy")) > 0) {
        mln_put(cli->cx, body, "policies", mln_cli_list(cli, "policy"));
    }
    if (uses != 0) {
        mln_put_int(cli->cx, body, "num_uses", uses);
    }
    if (mln_cli_bool(cli, "not-renewable")) {
        mln_put_bool(cli->cx, body, "renewable", false);
    }
    if (mln_cli_bool(cli, "no-default-policy")) {
        mln_put_bool(cli->cx, body, "no_default_policy", true);
    }
    const char *path = mln_cli_bool(cli, "orphan") ? "auth/token/create-orphan" : "auth/token/create";
    MLN_TRY(mln_cli_call(cli, "POST", path, body, &reply));
    const struct mln_value *auth = mln_get(reply.body, "auth");
    if (cli->field != NULL && mln_bytes_is(mln_bytes_of(cli->field), "token")) {
        cli->field = "client_token"; /* as vault's command names it */
    }
    bool is_whole = cli->format != MLN_FORMAT_TABLE && cli->field == NULL;
    return mln_cli_answer(cli, is_whole ? reply.body : auth, auth_table);
}

/* ---- show ---- */

static struct mln_err run_show(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    const char *path = NULL;
    struct mln_cli_reply reply = {0};
    MLN_TRY(target(cli, "lookup", body, &path));
    bool is_self = mln_len(body) == 0;
    MLN_TRY(mln_cli_call(cli, is_self ? "GET" : "POST", path, is_self ? NULL : body, &reply));
    struct mln_value *shown = mln_value_dup(cli->cx, reply.data);
    if (!mln_cli_bool(cli, "reveal") && mln_len(mln_get(shown, "id")) > 0) {
        mln_put_text(cli->cx, shown, "id", "(hidden)");
    }
    return mln_cli_answer(cli, shown, NULL);
}

/* ---- renew, revoke ---- */

static struct mln_err run_renew(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    const char *path = NULL;
    const char *increment = mln_cli_text(cli, "increment");
    struct mln_cli_reply reply = {0};
    MLN_TRY(target(cli, "renew", body, &path));
    if (increment != NULL) {
        mln_put_text(cli->cx, body, "increment", increment);
    }
    MLN_TRY(mln_cli_call(cli, "POST", path, body, &reply));
    struct mln_value *shown = mln_value_dup(cli->cx, mln_get(reply.body, "auth"));
    mln_remove(shown, MLN_BYTES("client_token"));
    return mln_cli_answer(cli, shown, auth_table);
}

static struct mln_err run_revoke(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    const char *path = NULL;
    struct mln_cli_reply reply = {0};
    bool is_self = mln_cli_bool(cli, "self");
    bool is_named = cli->n_args > 0 || mln_cli_text(cli, "accessor") != NULL;
    if (is_self == is_named) {
        return mln_cli_usage(cli, "which token? --self, --accessor ACCESSOR, - or @FILE");
    }
    MLN_TRY(mln_cli_confirm(cli, "Revoking the token and all that it made"));
    MLN_TRY(target(cli, "revoke", body, &path));
    return mln_cli_call(cli, "POST", path, body, &reply);
}

/* ---- capabilities ---- */

static void capabilities_table(struct mln_cli *cli, const struct mln_value *v)
{
    static const char *const heads[] = {"PATH", "CAPABILITIES"};
    struct mln_table t = {.heads = heads, .n_columns = 2};
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        const char *all = "";
        for (size_t k = 0; k < mln_len(&m->value); k++) {
            const char *one = mln_get_text(cli->cx, mln_item(&m->value, k), "-");
            all = mln_text_format(cli->cx, "%s%s%s", all, k > 0 ? ", " : "", one);
        }
        mln_table_add(cli, &t, mln_text_dup(cli->cx, m->key), MLN_INK_NONE);
        mln_table_add(cli, &t, all, MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

static struct mln_err run_capabilities(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx), *paths = mln_array(cli->cx), *shown = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    const char *token = mln_cli_text(cli, "token"), *accessor = mln_cli_text(cli, "accessor");
    const char *path = "sys/capabilities-self";
    if (token != NULL && accessor != NULL) {
        return mln_cli_usage(cli, "either --accessor or --token, not both");
    }
    for (size_t i = 0; i < cli->n_args; i++) {
        mln_push_text(cli->cx, paths, cli->args[i]);
    }
    mln_put(cli->cx, body, "paths", paths);
    if (token != NULL) {
        struct mln_bytes secret = MLN_BYTES_NONE;
        MLN_TRY(mln_cli_secret(cli, token, "Token", false, &secret));
        mln_put(cli->cx, body, "token", mln_secret_string(cli->cx, secret));
        path = "sys/capabilities";
    } else if (accessor != NULL) {
        mln_put_text(cli->cx, body, "accessor", accessor);
        path = "sys/capabilities-accessor";
    }
    MLN_TRY(mln_cli_call(cli, "POST", path, body, &reply));
    for (size_t i = 0; i < cli->n_args; i++) {
        const struct mln_value *list = mln_get(reply.data, cli->args[i]);
        mln_put(cli->cx, shown, cli->args[i], list != NULL ? list : mln_array(cli->cx));
    }
    return mln_cli_answer(cli, shown, capabilities_table);
}

/* ---- descriptors ---- */

static const char *const create_examples[] = {
    "merlon token create --policy serving --ttl 1h", "merlon token create --policy ci --uses 5 --field token",
    "merlon token create --orphan --period 24h --display-name scheduler", NULL};
const struct mln_command mln_command_token_create = {
    .noun = "token",
    .verb = "create",
    .summary = "Make a token with some of your own rights",
    .args = "",
    .examples = create_examples,
    .flags = create_flags,
    .more = "The token is shown this once. It ends with the token that made it unless --orphan.",
    .run = run_create,
};
static const char *const show_examples[] = {
    "merlon token show", "merlon token show --accessor 8609694a-cdbc-db9b-d345-e782dbb562ed",
    "merlon token show @token-file --format json", NULL};
const struct mln_command mln_command_token_show = {
    .noun = "token",
    .verb = "show",
    .summary = "Show what a token is: policies, end, who made it",
    .args = TOKEN_ARG,
    .examples = show_examples,
    .flags = show_flags,
    .max_args = 1,
    .more = "Without an argument it is the token that is used.",
    .run = run_show,
};
const struct mln_command mln_command_token_lookup = {
    .noun = "token",
    .verb = "lookup",
    .summary = "The same as show, by vault's name",
    .args = TOKEN_ARG,
    .examples = show_examples,
    .flags = show_flags,
    .max_args = 1,
    .run = run_show,
};
static const char *const renew_examples[] = {
    "merlon token renew", "merlon token renew --increment 8h", "merlon token renew @token-file", NULL};
const struct mln_command mln_command_token_renew = {
    .noun = "token",
    .verb = "renew",
    .summary = "Put off the end of a token",
    .args = TOKEN_ARG,
    .examples = renew_examples,
    .flags = renew_flags,
    .max_args = 1,
    .run = run_renew,
};
static const char *const revoke_examples[] = {
    "merlon token revoke --self --yes", "merlon token revoke --accessor 8609694a-cdbc-db9b-d345-e782dbb562ed",
    "merlon token revoke @token-file --yes", NULL};
const struct mln_command mln_command_token_revoke = {
    .noun = "token",
    .verb = "revoke",
    .summary = "End a token and all that it made, at once",
    .args = TOKEN_ARG,
    .examples = revoke_examples,
    .flags = revoke_flags,
    .max_args = 1,
    .run = run_revoke,
};
static const char *const capabilities_examples[] = {
    "merlon token capabilities secret/data/training/db", "merlon token capabilities --token @token-file transit/sign/models",
    NULL};
const struct mln_command mln_command_token_capabilities = {
    .noun = "token",
    .verb = "capabilities",
    .summary = "Show what a token may do on paths",
    .args = "PATH...",
    .examples = capabilities_examples,
    .flags = capabilities_flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_capabilities,
};
