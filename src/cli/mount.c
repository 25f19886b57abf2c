/* SPDX-License-Identifier: Apache-2.0 */
/* merlon secrets and auth: enable, disable, list, tune and move what is mounted. */
#include "cli/cli_priv.h"

#define PATH_FLAG {"path", MLN_FLAG_TEXT, "PATH", NULL, "Where it is mounted (default: its type)"}
#define DESCRIPTION_FLAG {"description", MLN_FLAG_TEXT, "TEXT", NULL, "For people"}
#define TTL_FLAGS                                                                                  \
    {"default-lease-ttl", MLN_FLAG_TEXT, "TIME", NULL, "Default life of leases and tokens"},       \
        {"max-lease-ttl", MLN_FLAG_TEXT, "TIME", NULL, "Longest life of leases and tokens"},       \
        {"listing-visibility", MLN_FLAG_TEXT, "unauth|hidden", NULL, "Shown to those without a token"},                    \
        {"audit-non-hmac-request-keys", MLN_FLAG_LIST, "KEY", NULL, "Members of requests that audit devices write in clear"},   \
        {"audit-non-hmac-response-keys", MLN_FLAG_LIST, "KEY", NULL, "Members of answers that audit devices write in clear"},   \
        {"passthrough-request-headers", MLN_FLAG_LIST, "NAME", NULL, "Headers that the engine sees"},                           \
        {"allowed-response-headers", MLN_FLAG_LIST, "NAME", NULL, "Headers that the engine may set"}

static const struct mln_flag enable_flags[] = {
    PATH_FLAG, DESCRIPTION_FLAG, TTL_FLAGS,
    {"version", MLN_FLAG_INT, "1|2", NULL, "Of the key-value engine"},
    {"options", MLN_FLAG_LIST, "KEY=VALUE", NULL, "Options of the engine"},
    {"token-type", MLN_FLAG_TEXT, "TYPE", NULL, "Tokens that logins give: default-service, default-batch, service, batch"},
    {"local", MLN_FLAG_BOOL, NULL, NULL, "Kept for scripts: every mount is local to its cluster"},
    {0},
};
static const struct mln_flag tune_flags[] = {
    DESCRIPTION_FLAG, TTL_FLAGS,
    {"version", MLN_FLAG_INT, "2", NULL, "Upgrade a key-value mount"},
    {"options", MLN_FLAG_LIST, "KEY=VALUE", NULL, "Options of the engine"},
    {"token-type", MLN_FLAG_TEXT, "TYPE", NULL, "Tokens that logins give: default-service, default-batch, service, batch"},
    {0},
};
static const struct mln_flag list_flags[] = {{"detailed", MLN_FLAG_BOOL, NULL, NULL, "All columns"}, {0}};

static bool is_auth(const struct mln_cli *cli)
{
    return mln_bytes_is(mln_bytes_of(cli->command->noun), "auth");
}

static const char *root_of(const struct mln_cli *cli)
{
    return is_auth(cli) ? "sys/auth" : "sys/mounts";
}

/* Without slashes at its ends, escaped. */
static const char *clean(struct mln_cli *cli, const char *path)
{
    struct mln_bytes b = mln_bytes_of(path);
    while (b.len > 0 && b.ptr[0] == '/') {
        b = mln_bytes_from(b, 1);
    }
    while (b.len > 0 && b.ptr[b.len - 1] == '/') {
        b.len--;
    }
    return mln_cli_escape(cli, mln_text_dup(cli->cx, b));
}

/* The settings of a mount that were given, into `to`; names have "_" for "-". */
static void put_settings(struct mln_cli *cli, struct mln_value *to)
{
    static const char *const texts[][2] = {{"default-lease-ttl", "default_lease_ttl"}, {"max-lease-ttl", "max_lease_ttl"},
                                           {"listing-visibility", "listing_visibility"}, {"token-type", "token_type"}};
    static const char *const lists[][2] = {{"audit-non-hmac-request-keys", "audit_non_hmac_request_keys"},
                                           {"audit-non-hmac-response-keys", "audit_non_hmac_response_keys"},
                                           {"passthrough-request-headers", "passthrough_request_headers"},
                                           {"allowed-response-headers", "allowed_response_headers"}};
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        if (mln_cli_text(cli, texts[i][0]) != NULL) {
            mln_put_text(cli->cx, to, texts[i][1], mln_cli_text(cli, texts[i][0]));
        }
    }
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        if (mln_len(mln_cli_list(cli, lists[i][0])) > 0) {
            mln_put(cli->cx, to, lists[i][1], mln_cli_list(cli, lists[i][0]));
        }
    }
}

static struct mln_err put_options(struct mln_cli *cli, struct mln_value *to)
{
    struct mln_value *options = mln_object(cli->cx);
    const struct mln_value *given = mln_cli_list(cli, "options");
    const char *version = mln_cli_text(cli, "version");
    for (size_t i = 0; i < mln_len(given); i++) {
        struct mln_bytes value = MLN_BYTES_NONE, one = mln_get_bytes(mln_item(given, i));
        if (mln_bytes_find(one, '=') == one.len) {
            return mln_cli_usage(cli, "--options wants KEY=VALUE, not '%.*s'", MLN_FMT(one));
        }
        struct mln_bytes key = mln_bytes_cut(one, '=', &value);
        mln_put_key(cli->cx, options, key, mln_string(cli->cx, value));
    }
    if (version != NULL) {
        mln_put_text(cli->cx, options, "version", version);
    }
    if (mln_len(options) > 0) {
        mln_put(cli->cx, to, "options", options);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err run_enable(struct mln_cli *cli)
{
    struct mln_bytes type = mln_bytes_of(cli->args[0]);
    bool is_v2 = mln_bytes_is(type, "kv-v2");
    struct mln_value *body = mln_object(cli->cx), *config = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    const char *path = mln_cli_text(cli, "path");
    put_settings(cli, config);
    mln_put_text(cli->cx, body, "type", is_v2 ? "kv" : cli->args[0]);
    mln_put(cli->cx, body, "config", config);
    MLN_TRY(put_options(cli, body));
    if (is_v2 && mln_get(body, "options") == NULL) {
        struct mln_value *options = mln_object(cli->cx);
        mln_put_text(cli->cx, options, "version", "2");
        mln_put(cli->cx, body, "options", options);
    }
    if (mln_cli_text(cli, "description") != NULL) {
        mln_put_text(cli->cx, body, "description", mln_cli_text(cli, "description"));
    }
    path = clean(cli, path != NULL ? path : cli->args[0]);
    MLN_TRY(mln_cli_call(cli, "POST", mln_text_format(cli->cx, "%s/%s", root_of(cli), path), body, &reply));
    return mln_cli_reply_print(cli, &reply,
                               mln_text_format(cli->cx, "Success! Enabled %s %s at: %s/", cli->args[0],
                                               is_auth(cli) ? "auth method" : "secrets engine", path));
}

static struct mln_err run_disable(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    const char *path = clean(cli, cli->args[0]);
    MLN_TRY(mln_cli_call(cli, "DELETE", mln_text_format(cli->cx, "%s/%s", root_of(cli), path), NULL, &reply));
    const char *what = is_auth(cli) ? "auth method" : "secrets engine";
    return mln_cli_reply_print(cli, &reply, mln_text_format(cli->cx, "Success! Disabled the %s (if it existed) at: %s/", what, path));
}

static void list_table(struct mln_cli *cli, const struct mln_value *v)
{
    static const char *const heads[] = {"PATH", "TYPE", "ACCESSOR", "DESCRIPTION", "VERSION", "DEFAULT TTL", "MAX TTL"};
    bool is_long = mln_cli_bool(cli, "detailed");
    struct mln_table t = {.heads = heads, .n_columns = is_long ? 7 : 4};
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        const struct mln_value *config = mln_get(&m->value, "config");
        mln_table_add(cli, &t, mln_text_dup(cli->cx, m->key), MLN_INK_BOLD);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(&m->value, "type")), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(&m->value, "accessor")), MLN_INK_DIM);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(&m->value, "description")), MLN_INK_NONE);
        if (is_long) {
            mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(mln_get(&m->value, "options"), "version")), MLN_INK_NONE);
            mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(config, "default_lease_ttl")), MLN_INK_NONE);
            mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(config, "max_lease_ttl")), MLN_INK_NONE);
        }
    }
    mln_table_print(cli, &t);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", root_of(cli), NULL, &reply));
    return mln_cli_answer(cli, reply.data, list_table);
}

static struct mln_err run_tune(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    const char *path = mln_text_format(cli->cx, "%s/%s/tune", root_of(cli), clean(cli, cli->args[0]));
    put_settings(cli, body);
    MLN_TRY(put_options(cli, body));
    if (mln_cli_text(cli, "description") != NULL) {
        mln_put_text(cli->cx, body, "description", mln_cli_text(cli, "description"));
    }
    bool is_read = mln_len(body) == 0;
    MLN_TRY(mln_cli_call(cli, is_read ? "GET" : "POST", path, is_read ? NULL : body, &reply));
    return mln_cli_reply_print(cli, &reply, mln_text_format(cli->cx, "Success! Tuned: %s/", clean(cli, cli->args[0])));
}

static struct mln_err run_move(struct mln_cli *cli)
{
    const char *in = is_auth(cli) ? "auth/" : "";
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0}, status = {0};
    mln_put_text(cli->cx, body, "from", mln_text_format(cli->cx, "%s%s", in, clean(cli, cli->args[0])));
    mln_put_text(cli->cx, body, "to", mln_text_format(cli->cx, "%s%s", in, clean(cli, cli->args[1])));
    MLN_TRY(mln_cli_call(cli, "POST", "sys/remount", body, &reply));
    const char *id = mln_get_text(cli->cx, mln_get(reply.data, "migration_id"), "");
    const char *where = mln_text_format(cli->cx, "sys/remount/status/%s", mln_cli_escape(cli, id));
    for (unsigned i = 0; i < 600; i++) { /* a minute: a move only renames */
        MLN_TRY(mln_cli_call(cli, "GET", where, NULL, &status));
        struct mln_bytes now = mln_get_bytes(mln_get(mln_get(status.data, "migration_info"), "status"));
        if (!mln_bytes_is(now, "in-progress")) {
            break;
        }
        mln_sleep_ns(100000000);
    }
    const struct mln_value *info = mln_get(status.data, "migration_info");
    if (!mln_is_text(mln_get(info, "status"), "success")) {
        return mln_fail(cli->cx, MLN_E_REMOTE, "the move did not succeed: %s", mln_cli_scalar(cli, mln_get(info, "status")));
    }
    return mln_cli_answer(cli, info, NULL);
}

/* ---- descriptors ---- */

static const char *const secrets_enable_examples[] = {"merlon secrets enable transit", "merlon secrets enable --path team --version 2 kv",
                                                      NULL};
static const char *const auth_enable_examples[] = {"merlon auth enable userpass", "merlon auth enable --path k8s kubernetes", NULL};
static const char *const secrets_tune_examples[] = {"merlon secrets tune --max-lease-ttl 24h pki", NULL};
static const char *const auth_tune_examples[] = {"merlon auth tune --default-lease-ttl 1h userpass", NULL};
static const char *const secrets_examples[] = {"merlon secrets list --detailed", "merlon secrets disable old",
                                               "merlon secrets move old new",                                               NULL};
static const char *const auth_examples[] = {"merlon auth list", "merlon auth disable ldap", "merlon auth move ldap people", NULL};

const struct mln_command mln_command_secrets_enable = {
    .noun = "secrets",
    .verb = "enable",
    .summary = "Mount a secrets engine",
    .args = "TYPE",
    .examples = secrets_enable_examples,
    .flags = enable_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_enable,
};
const struct mln_command mln_command_secrets_disable = {
    .noun = "secrets",
    .verb = "disable",
    .summary = "Unmount a secrets engine; what it keeps is deleted",
    .args = "PATH",
    .examples = secrets_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_disable,
};
const struct mln_command mln_command_secrets_list = {
    .noun = "secrets",
    .verb = "list",
    .summary = "List what is mounted",
    .args = "",
    .examples = secrets_examples,
    .flags = list_flags,
    .run = run_list,
};
const struct mln_command mln_command_secrets_tune = {
    .noun = "secrets",
    .verb = "tune",
    .summary = "Show or change the settings of a secrets engine",
    .args = "PATH",
    .examples = secrets_tune_examples,
    .flags = tune_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_tune,
};
const struct mln_command mln_command_secrets_move = {
    .noun = "secrets",
    .verb = "move",
    .summary = "Move a secrets engine",
    .args = "FROM TO",
    .examples = secrets_examples,
    .min_args = 2,
    .max_args = 2,
    .run = run_move,
};
const struct mln_command mln_command_auth_enable = {
    .noun = "auth",
    .verb = "enable",
    .summary = "Mount an auth method",
    .args = "TYPE",
    .examples = auth_enable_examples,
    .flags = enable_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_enable,
};
const struct mln_command mln_command_auth_disable = {
    .noun = "auth",
    .verb = "disable",
    .summary = "Unmount an auth method; what it keeps is deleted",
    .args = "PATH",
    .examples = auth_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_disable,
};
const struct mln_command mln_command_auth_list = {
    .noun = "auth",
    .verb = "list",
    .summary = "List what is mounted",
    .args = "",
    .examples = auth_examples,
    .flags = list_flags,
    .run = run_list,
};
const struct mln_command mln_command_auth_tune = {
    .noun = "auth",
    .verb = "tune",
    .summary = "Show or change the settings of an auth method",
    .args = "PATH",
    .examples = auth_tune_examples,
    .flags = tune_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_tune,
};
const struct mln_command mln_command_auth_move = {
    .noun = "auth",
    .verb = "move",
    .summary = "Move an auth method",
    .args = "FROM TO",
    .examples = auth_examples,
    .min_args = 2,
    .max_args = 2,
    .run = run_move,
};
