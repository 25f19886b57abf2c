/* SPDX-License-Identifier: Apache-2.0 */
/* merlon operator rekey, generate-root: what needs the shares of several people. Each gives one; the nonce ties them to one attempt. */
#include "cli/cli_priv.h"

#include "base/clock.h"

#define ROOT_TOKEN_BYTES 28 /* "hvs." and 24: how long a one-time pad must be */

/* Where the ceremony stands: with a token the authenticated paths, which servers keep on; else the open ones. */
static const char *base_of(struct mln_cli *cli, const char *with_token, const char *without)
{
    const char *token = NULL;
    bool has_token = !mln_failed(mln_cli_token(cli, &token));
    if (!has_token) {
        mln_cx_clear(cli->cx);
        cli->hint = NULL;
    }
    return has_token ? with_token : without;
}

static struct mln_err give_share(struct mln_cli *cli, const char *where, const char *state, struct mln_cli_reply *ret)
{
    struct mln_value *body = mln_object(cli->cx);
    const char *nonce = mln_cli_text(cli, "nonce");
    struct mln_bytes share = MLN_BYTES_NONE;
    if (nonce == NULL) {
        struct mln_cli_reply now = {0};
        MLN_TRY(mln_cli_call(cli, "GET", state, NULL, &now));
        if (!mln_get_bool(mln_get(now.body, "started"), mln_get_bool(mln_get(now.data, "started"), false))) {
            return mln_fail(cli->cx, MLN_E_PRECONDITION, "none has begun: use --init first");
        }
        nonce = mln_get_text(cli->cx, mln_get(now.data != NULL ? now.data : now.body, "nonce"), "");
    }
    MLN_TRY(mln_cli_secret(cli, cli->n_args > 0 ? cli->args[0] : NULL, "Unseal share", false, &share));
    mln_put(cli->cx, body, "key", mln_secret_string(cli->cx, share));
    mln_put_text(cli->cx, body, "nonce", nonce);
    return mln_cli_call(cli, "PUT", where, body, ret);
}

static struct mln_err print_state(struct mln_cli *cli, const struct mln_cli_reply *reply)
{
    return mln_cli_answer(cli, reply->data != NULL ? reply->data : reply->body, NULL);
}

static const char *path_of(struct mln_cli *cli, const char *base, const char *step)
{
    return mln_text_format(cli->cx, "%s/%s", base, step);
}

/* ---- rekey ---- */

static struct mln_err rekey_begin(struct mln_cli *cli, const char *path, struct mln_cli_reply *reply)
{
    struct mln_value *body = mln_object(cli->cx);
    int64_t shares = 0, threshold = 0;
    MLN_TRY(mln_cli_int(cli, "key-shares", 5, &shares));
    MLN_TRY(mln_cli_int(cli, "key-threshold", 3, &threshold));
    mln_put_int(cli->cx, body, "secret_shares", shares);
    mln_put_int(cli->cx, body, "secret_threshold", threshold);
    mln_put_bool(cli->cx, body, "require_verification", mln_cli_bool(cli, "verify-new-shares"));
    return mln_cli_call(cli, "PUT", path, body, reply);
}

static void rekey_table(struct mln_cli *cli, const struct mln_value *v)
{
    const struct mln_value *keys = mln_get(v, "keys_base64");
    for (size_t i = 0; i < mln_len(keys); i++) {
        mln_cli_out("Key %zu:  %s\n", i + 1, mln_cli_scalar(cli, mln_item(keys, i)));
    }
    bool must_verify = mln_get_bool(mln_get(v, "verification_required"), false);
    mln_cli_say(cli, must_verify ? "\nThe new shares count once they were given back: 'merlon operator rekey --verify'.\n"
                                 : "\nThe new shares count from now on, the old ones no longer. They are shown this once.\n");
}

static struct mln_err run_rekey(struct mln_cli *cli)
{
    const char *target = mln_cli_text(cli, "target");
    bool is_recovery = target != NULL && mln_bytes_is(mln_bytes_of(target), "recovery");
    if (target != NULL && !is_recovery && !mln_bytes_is(mln_bytes_of(target), "barrier")) {
        return mln_cli_usage(cli, "--target is barrier or recovery");
    }
    const char *base = is_recovery ? base_of(cli, "sys/rotate/recovery", "sys/rekey-recovery-key")
                                   : base_of(cli, "sys/rotate/root", "sys/rekey");
    bool is_verify = mln_cli_bool(cli, "verify");
    const char *state = path_of(cli, base, is_verify ? "verify" : "init");
    struct mln_cli_reply reply = {0};
    if (mln_cli_bool(cli, "status")) {
        MLN_TRY(mln_cli_call(cli, "GET", state, NULL, &reply));
        return print_state(cli, &reply);
    }
    if (mln_cli_bool(cli, "cancel")) {
        return mln_cli_call(cli, "DELETE", state, NULL, &reply);
    }
    if (mln_cli_bool(cli, "init")) {
        MLN_TRY(rekey_begin(cli, state, &reply));
        return print_state(cli, &reply);
    }
    MLN_TRY(give_share(cli, path_of(cli, base, is_verify ? "verify" : "update"), state, &reply));
    const struct mln_value *now = reply.data != NULL ? reply.data : reply.body;
    bool has_keys = mln_len(mln_get(now, "keys_base64")) > 0;
    return mln_cli_answer(cli, now, has_keys ? rekey_table : NULL);
}

/* ---- generate-root ---- */

/* base64 of (token XOR one-time pad), padding optional. */
static struct mln_err decode(struct mln_cli *cli)
{
    const char *encoded = mln_cli_text(cli, "decode"), *otp = mln_cli_text(cli, "otp");
    struct mln_bytes hidden = MLN_BYTES_NONE, pad = MLN_BYTES_NONE;
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {.is_secret = true};
    if (otp == NULL) {
        return mln_cli_usage(cli, "--decode needs --otp");
    }
    MLN_TRY(mln_cli_given(cli, encoded, &hidden));
    MLN_TRY(mln_cli_given(cli, otp, &pad));
    while (hidden.len > 0 && hidden.ptr[hidden.len - 1] == '=') {
        hidden.len--;
    }
    MLN_TRY(mln_base64_parse(cli->cx, hidden, MLN_B64_STD_RAW, &raw));
    if (raw.len != pad.len) {
        return mln_fail(cli->cx, MLN_E_INVALID, "the one-time pad has %zu bytes, the encoded token %zu", pad.len, raw.len);
    }
    for (size_t i = 0; i < raw.len; i++) {
        raw.ptr[i] ^= pad.ptr[i];
    }
    struct mln_value *shown = mln_object(cli->cx);
    mln_put(cli->cx, shown, "token", mln_secret_string(cli->cx, mln_bytes_dup(cli->cx, mln_buf_bytes(&raw))));
    if (cli->format == MLN_FORMAT_TABLE && cli->field == NULL) {
        mln_cli_out("%s\n", mln_cli_scalar(cli, mln_get(shown, "token")));
        return mln_cx_err(cli->cx);
    }
    return mln_cli_answer(cli, shown, NULL);
}

static struct mln_err generate_otp(void)
{
    char otp[ROOT_TOKEN_BYTES + 1] = {0};
    mln_random_base62(otp, ROOT_TOKEN_BYTES);
    mln_cli_out("%s\n", otp);
    mln_wipe(otp, sizeof(otp));
    return MLN_OK;
}

static struct mln_err root_begin(struct mln_cli *cli, const char *state, struct mln_cli_reply *reply)
{
    struct mln_value *body = mln_object(cli->cx);
    struct mln_bytes otp = MLN_BYTES_NONE;
    if (mln_cli_text(cli, "otp") != NULL) {
        MLN_TRY(mln_cli_given(cli, mln_cli_text(cli, "otp"), &otp));
        mln_put(cli->cx, body, "otp", mln_secret_string(cli->cx, otp));
    }
    return mln_cli_call(cli, "PUT", state, body, reply);
}

static struct mln_err run_generate_root(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    if (mln_cli_text(cli, "decode") != NULL) {
        return decode(cli);
    }
    if (mln_cli_bool(cli, "generate-otp")) {
        return generate_otp();
    }
    const char *base = base_of(cli, "sys/generate-root-token", "sys/generate-root");
    const char *state = path_of(cli, base, "attempt");
    if (mln_cli_bool(cli, "status")) {
        MLN_TRY(mln_cli_call(cli, "GET", state, NULL, &reply));
        return print_state(cli, &reply);
    }
    if (mln_cli_bool(cli, "cancel")) {
        return mln_cli_call(cli, "DELETE", state, NULL, &reply);
    }
    if (mln_cli_bool(cli, "init")) {
        MLN_TRY(root_begin(cli, state, &reply));
        return print_state(cli, &reply);
    }
    MLN_TRY(give_share(cli, path_of(cli, base, "update"), state, &reply));
    return print_state(cli, &reply);
}

/* ---- descriptors ---- */

#define CEREMONY_FLAGS                                                                             \
    {"init", MLN_FLAG_BOOL, NULL, NULL, "Begin an attempt"},                                       \
        {"status", MLN_FLAG_BOOL, NULL, NULL, "Show how far it is"},                               \
        {"cancel", MLN_FLAG_BOOL, NULL, NULL, "Give the attempt up"},                              \
        {"nonce", MLN_FLAG_TEXT, "NONCE", NULL, "Which attempt the share is for (default: the one that runs)"}

static const struct mln_flag rekey_flags[] = {
    CEREMONY_FLAGS,
    {"key-shares", MLN_FLAG_INT, "N", "5", "New shares (--init)"},
    {"key-threshold", MLN_FLAG_INT, "N", "3", "New shares that unseal (--init)"},
    {"verify-new-shares", MLN_FLAG_BOOL, NULL, NULL, "New shares count only once they were given back (--init)"},
    {"verify", MLN_FLAG_BOOL, NULL, NULL, "Give a new share back"},
    {"target", MLN_FLAG_TEXT, "NAME", "barrier", "barrier, or recovery: new recovery keys"},
    {0},
};
static const struct mln_flag root_flags[] = {
    CEREMONY_FLAGS,
    {"otp", MLN_FLAG_TEXT, "- | @FILE", NULL, "One-time pad (--init, --decode; default: the server makes one)"},
    {"decode", MLN_FLAG_TEXT, "ENCODED", NULL, "Decode what the last share gave"},
    {"generate-otp", MLN_FLAG_BOOL, NULL, NULL, "Print a one-time pad"},
    {0},
};

static const char *const rekey_examples[] = {"merlon operator rekey --init --key-shares 5 --key-threshold 3",
                                             "merlon operator rekey @share1",
                                             "merlon operator rekey --status", NULL};
const struct mln_command mln_command_operator_rekey = {
    .noun = "operator",
    .verb = "rekey",
    .summary = "Make new shares of the unseal key, or new recovery keys, with the old ones",
    .args = "[- | @FILE]",
    .examples = rekey_examples,
    .flags = rekey_flags,
    .max_args = 1,
    .run = run_rekey,
};
static const char *const root_examples[] = {"merlon operator generate-root --init", "merlon operator generate-root @share1",
                                            "merlon operator generate-root --decode ENCODED --otp @otp", NULL};
const struct mln_command mln_command_operator_generate_root = {
    .noun = "operator",
    .verb = "generate-root",
    .summary = "Make a root token, with enough shares of the unseal key",
    .args = "[- | @FILE]",
    .examples = root_examples,
    .flags = root_flags,
    .max_args = 1,
    .run = run_generate_root,
    .more = "The last share gives the token hidden under the one-time pad, so that nobody who sees the answer alone has it.",
};
