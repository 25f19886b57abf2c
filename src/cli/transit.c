/* SPDX-License-Identifier: Apache-2.0 */
/* merlon transit: encrypt and sign with keys that never leave the server. Descriptors and keys; data is in transit_data.c. */
#include "cli/transit_priv.h"

static const struct mln_flag mount_flags[] = {TRANSIT_MOUNT_FLAG, {0}};
static const struct mln_flag create_flags[] = {
    TRANSIT_MOUNT_FLAG,
    {"type", MLN_FLAG_TEXT, "TYPE", "aes256-gcm96", "Or ed25519, ecdsa-p256, rsa-3072, hmac ..."},
    {"auto-rotate", MLN_FLAG_TEXT, "TIME", NULL, "A new version every so often, e.g. 30d"},
    {"exportable", MLN_FLAG_BOOL, NULL, NULL, "It may leave; cannot be undone"},
    {0},
};

const char *transit_path(struct mln_cli *cli, const char *kind, const char *key)
{
    return mln_text_format(cli->cx, "%s/%s%s%s", mln_cli_escape(cli, mln_cli_text(cli, "mount")), kind,
                           key != NULL ? "/" : "", key != NULL ? mln_cli_escape(cli, key) : "");
}

/* ---- create ---- */

/* Nothing is mounted there: mount the engine if the caller may. The first error is kept when not. */
static struct mln_err mount_engine(struct mln_cli *cli, struct mln_err first)
{
    struct mln_cx cause = *cli->cx;
    struct mln_cli_reply reply = {0};
    const char *mount = mln_cli_text(cli, "mount");
    struct mln_value *body = mln_object(cli->cx);
    mln_cx_clear(cli->cx);
    mln_put_text(cli->cx, body, "type", "transit");
    struct mln_err err =
        mln_cli_call(cli, "POST", mln_text_format(cli->cx, "sys/mounts/%s", mln_cli_escape(cli, mount)), body, &reply);
    if (mln_failed(err)) {
        *cli->cx = cause;
        cli->hint = mln_text_format(cli->cx, "nothing is mounted at %s/ and you may not mount an engine there", mount);
        return first;
    }
    mln_cli_say(cli, "Mounted the transit engine at %s/: nothing was there\n", mount);
    return MLN_OK;
}

static struct mln_err run_create(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    const char *path = transit_path(cli, "keys", cli->args[0]);
    mln_put_text(cli->cx, body, "type", mln_cli_text(cli, "type"));
    if (mln_cli_text(cli, "auto-rotate") != NULL) {
        mln_put_text(cli->cx, body, "auto_rotate_period", mln_cli_text(cli, "auto-rotate"));
    }
    if (mln_cli_bool(cli, "exportable")) {
        mln_put_bool(cli->cx, body, "exportable", true);
    }
    struct mln_err err = mln_cli_call(cli, "POST", path, body, &reply);
    if (mln_is(err, MLN_E_NOT_FOUND) || mln_is(err, MLN_E_NO_ROUTE)) {
        MLN_TRY(mount_engine(cli, err));
        err = mln_cli_call(cli, "POST", path, body, &reply);
    }
    MLN_TRY(err);
    const struct mln_value *warnings = mln_get(reply.body, "warnings");
    for (size_t i = 0; i < mln_len(warnings); i++) {
        mln_cli_say(cli, "merlon: warning: %s\n", mln_cli_scalar(cli, mln_item(warnings, i)));
    }
    return mln_cli_answer(cli, reply.data, transit_key_table);
}

/* ---- show, list, rotate ---- */

static void print_versions(struct mln_cli *cli, const struct mln_value *versions)
{
    static const char *const heads[] = {"VERSION", "MADE", "PUBLIC KEY"};
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    for (size_t i = 0; i < mln_len(versions); i++) {
        const struct mln_member *m = mln_member_at(versions, i);
        const struct mln_value *made = mln_get(&m->value, "creation_time");
        struct mln_bytes pem = mln_get_bytes(mln_get(&m->value, "public_key"));
        int64_t ns = mln_get_int(&m->value, 0) * 1000000000;
        (void)mln_time_parse(mln_get_bytes(made), &ns);
        mln_table_add(cli, &t, mln_text_dup(cli->cx, m->key), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_ago(cli, ns), MLN_INK_NONE);
        bool is_pem = mln_bytes_starts(pem, MLN_BYTES("-----BEGIN"));
        mln_table_add(cli, &t, is_pem ? "PEM, see --format json" : mln_text_dup(cli->cx, pem), MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

void transit_key_table(struct mln_cli *cli, const struct mln_value *key)
{
    static const char *const heads[] = {"KEY", "VALUE"};
    static const char *const shown[] = {"name",       "type", "latest_version",  "min_decryption_version", "min_encryption_version",
                                        "exportable", "deletion_allowed", "auto_rotate_period"};
    struct mln_table t = {.heads = heads, .n_columns = 2};
    for (size_t i = 0; i < MLN_COUNT(shown); i++) {
        if (mln_get(key, shown[i]) != NULL) {
            mln_table_add(cli, &t, shown[i], MLN_INK_NONE);
            mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(key, shown[i])), MLN_INK_NONE);
        }
    }
    mln_table_print(cli, &t);
    if (cli->is_tty_out) {
        mln_cli_out("\n");
        print_versions(cli, mln_get(key, "keys"));
    }
}

static struct mln_err run_show(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", transit_path(cli, "keys", cli->args[0]), NULL, &reply));
    return mln_cli_answer(cli, reply.data, transit_key_table);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", transit_path(cli, "keys?list=true", NULL), NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static struct mln_err run_rotate(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    const char *path = mln_text_format(cli->cx, "%s/rotate", transit_path(cli, "keys", cli->args[0]));
    MLN_TRY(mln_cli_call(cli, "POST", path, mln_object(cli->cx), &reply));
    if (reply.data == NULL) {
        MLN_TRY(mln_cli_call(cli, "GET", transit_path(cli, "keys", cli->args[0]), NULL, &reply));
    }
    return mln_cli_answer(cli, reply.data, transit_key_table);
}

static const char *const create_examples[] = {
    "merlon transit create training-data", "merlon transit create models --type ecdsa-p256",
    "merlon transit create logs --auto-rotate 30d", NULL};
const struct mln_command mln_command_transit_create = {
    .noun = "transit",
    .verb = "create",
    .summary = "Make a key that stays in the server",
    .args = "KEY",
    .examples = create_examples,
    .flags = create_flags,
    .min_args = 1,
    .max_args = 1,
    .more = "When nothing is mounted at the mount and you may, the engine is mounted there first.",
    .run = run_create,
};
static const char *const show_examples[] = {
    "merlon transit show models", "merlon transit show models --field keys.1.public_key", NULL};
const struct mln_command mln_command_transit_show = {
    .noun = "transit",
    .verb = "show",
    .summary = "Show a key's type, versions and public keys",
    .args = "KEY",
    .examples = show_examples,
    .flags = mount_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
static const char *const list_examples[] = {"merlon transit list", "merlon transit list --mount ci", NULL};
const struct mln_command mln_command_transit_list = {
    .noun = "transit",
    .verb = "list",
    .summary = "List keys",
    .args = "",
    .examples = list_examples,
    .flags = mount_flags,
    .run = run_list,
};
static const char *const rotate_examples[] = {"merlon transit rotate models", NULL};
const struct mln_command mln_command_transit_rotate = {
    .noun = "transit",
    .verb = "rotate",
    .summary = "Make a new version of a key; older ones still decrypt and verify",
    .args = "KEY",
    .examples = rotate_examples,
    .flags = mount_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_rotate,
};
