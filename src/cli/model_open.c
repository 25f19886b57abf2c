/* SPDX-License-Identifier: Apache-2.0 */
/* merlon model open: decrypt, verify, and only then let the plain files appear. */
#include "cli/model_priv.h"

#include "crypto/crypto.h"

#define IDENTITY_MAX_BYTES (1u << 20)

static const struct mln_flag flags[] = {
    {"identity", MLN_FLAG_TEXT, "FILE", NULL, "age identity file; without it the server unwraps"},
    {"passphrase", MLN_FLAG_TEXT, "-|@FILE|ask", NULL, "For files that a passphrase opens"},
    {"output", MLN_FLAG_TEXT, "PATH", NULL, "Folder or file to write"},
    {"signature", MLN_FLAG_TEXT, "FILE", NULL, "A signature from elsewhere than the folder"},
    {"require-signature", MLN_FLAG_BOOL, NULL, NULL, "Refuse a model without a signature"},
    {"skip-signature", MLN_FLAG_BOOL, NULL, NULL, "Do not verify, even when there is one"},
    MODEL_TRUST_FLAGS,
    {0},
};

struct opening {
    struct mln_cli *cli;
    struct mln_secret identities;
    struct mln_age_transit transit;
    struct mln_oms_trust trust;
    struct mln_model_open how;
};

static void opening_drop(struct opening *o)
{
    mln_secret_drop(&o->identities);
}

static struct mln_err passphrase(void *arg, struct mln_cx *cx, struct mln_buf *to)
{
    struct mln_cli *cli = arg;
    struct mln_bytes secret = MLN_BYTES_NONE;
    const char *from = mln_cli_text(cli, "passphrase");
    from = mln_bytes_is(mln_bytes_of(from), "ask") ? NULL : from;
    MLN_TRY(mln_cli_secret(cli, from, "Passphrase", false, &secret));
    mln_buf_add_bytes(to, secret);
    return mln_buf_ok(cx, to);
}

static struct mln_err read_keys(struct mln_cli *cli, struct opening *o)
{
    const char *path = mln_cli_text(cli, "identity");
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (mln_cli_text(cli, "passphrase") != NULL) {
        o->how.with.passphrase = passphrase;
        o->how.with.passphrase_arg = cli;
    }
    if (path == NULL) {
        o->transit = (struct mln_age_transit){.unwrap = model_unwrap, .arg = cli};
        o->how.with.transit = &o->transit;
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(cli->cx, path, IDENTITY_MAX_BYTES, &text));
    MLN_TRY(mln_age_identities_parse(cli->cx, mln_buf_bytes(&text), &o->identities));
    o->how.with.identities = mln_secret_bytes(&o->identities);
    return MLN_OK;
}

static struct mln_err read_trust(struct mln_cli *cli, struct opening *o)
{
    bool is_given = false;
    const char *signature = mln_cli_text(cli, "signature");
    MLN_TRY(model_trust(cli, &o->trust, &is_given));
    o->how.trust = is_given ? &o->trust : NULL;
    o->how.find_trust = model_trust_of_server;
    o->how.find_trust_arg = cli;
    o->how.verify = model_verify_options(cli);
    o->how.wants_signature = mln_cli_bool(cli, "require-signature");
    o->how.skips_signature = mln_cli_bool(cli, "skip-signature");
    if (o->how.wants_signature && o->how.skips_signature) {
        return mln_cli_usage(cli, "--require-signature and --skip-signature exclude each other");
    }
    return signature == NULL ? MLN_OK
                             : mln_cli_read_file(cli, signature, MLN_DSSE_BUNDLE_MAX, &o->how.signature);
}

static void table(struct mln_cli *cli, const struct mln_value *v)
{
    bool is_verified = mln_get_bool(mln_get(v, "verified"), false);
    mln_cli_out("%sopened%s  %s  %lld files, %s, %s%s%s\n", mln_cli_ink(cli, MLN_INK_GREEN),
                mln_cli_ink(cli, MLN_INK_NONE), mln_cli_scalar(cli, mln_get(v, "output")),
                (long long)mln_get_int(mln_get(v, "files"), 0),
                mln_size_text(cli->cx, (uint64_t)mln_get_int(mln_get(v, "bytes"), 0)),
                mln_cli_ink(cli, is_verified ? MLN_INK_GREEN : MLN_INK_YELLOW),
                is_verified ? "signature verified" : "not verified", mln_cli_ink(cli, MLN_INK_NONE));
}

static struct mln_err run(struct mln_cli *cli)
{
    const char *out = mln_cli_text(cli, "output");
    MLN_AUTO(opening_drop) struct opening o = {.cli = cli};
    const struct mln_value *done = NULL;
    struct mln_progress progress;
    if (out == NULL) {
        return mln_cli_usage(cli, "-o PATH is needed");
    }
    MLN_TRY(read_keys(cli, &o));
    MLN_TRY(read_trust(cli, &o));
    o.how.durable = true;
    o.how.progress = model_progress(cli, "opening", &progress);
    struct mln_err err = mln_model_open(cli->cx, cli->args[0], out, &o.how, &done);
    mln_progress_end(&progress);
    MLN_TRY(err);
    if (!mln_get_bool(mln_get(done, "verified"), false)) {
        mln_cli_say(cli, "merlon: warning: nothing says who made this model: no signature was verified\n");
    }
    struct mln_value *answer = mln_value_dup(cli->cx, done);
    mln_put_text(cli->cx, answer, "output", out);
    return mln_cli_answer(cli, answer, table);
}

static const char *const examples[] = {
    "merlon model open ./model.enc -o ./model",
    "merlon model open ./model.enc --identity key.txt --key signer.pub.pem -o ./model",
    "merlon model open m.onnx.age --identity key.txt -o m.onnx",
    NULL,
};
const struct mln_command mln_command_model_open = {
    .noun = "model",
    .verb = "open",
    .summary = "Decrypt a model, verify it, and write the plain files",
    .args = "DIR|FILE",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .more = "Nothing is left on disk unless every file is whole and, where there is a model.sig,\n"
            "signed by who is trusted: --key, --roots, or the server's record of the release.",
    .run = run,
};
