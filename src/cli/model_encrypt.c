/* SPDX-License-Identifier: Apache-2.0 */
/* merlon model encrypt: age files for people's keys, for a key of the server, or both. */
#include "cli/model_priv.h"

#include "crypto/crypto.h"

static const struct mln_flag flags[] = {
    {"to", MLN_FLAG_LIST, "RECIPIENT", NULL, "age1... or transit:KEY (again for more)"},
    {"output", MLN_FLAG_TEXT, "PATH", NULL, "Folder or file to write"},
    {0},
};

struct recipients {
    struct mln_age_recipient keys[MLN_AGE_RECIPIENTS_MAX];
    struct mln_age_to to;
};

static struct mln_err add_transit(struct mln_cli *cli, const char *text, struct recipients *r)
{
    struct model_key key = {0};
    if (r->to.transit_key != NULL) {
        return mln_cli_usage(cli, "one key of the server is enough: '%s' is a second one", text);
    }
    MLN_TRY(model_key_parse(cli, text, &key));
    r->to.transit_key = mln_text_format(cli->cx, "%s/%s", key.mount, key.name);
    r->to.transit = (struct mln_age_transit){.wrap = model_wrap, .arg = cli};
    return MLN_OK;
}

static struct mln_err read_recipients(struct mln_cli *cli, struct recipients *r)
{
    const struct mln_value *list = mln_cli_list(cli, "to");
    if (mln_len(list) == 0) {
        return mln_cli_usage(cli, "--to age1... or --to transit:KEY is needed");
    }
    r->to.recipients = r->keys;
    for (size_t i = 0; i < mln_len(list); i++) {
        const char *text = mln_get_text(cli->cx, mln_item(list, i), "");
        if (model_key_is(text)) {
            MLN_TRY(add_transit(cli, text, r));
            continue;
        }
        if (r->to.n_recipients == MLN_AGE_RECIPIENTS_MAX) {
            return mln_cli_usage(cli, "more than %d recipients", MLN_AGE_RECIPIENTS_MAX);
        }
        if (mln_failed(mln_age_recipient_parse(cli->cx, mln_bytes_of(text), &r->keys[r->to.n_recipients]))) {
            mln_cx_clear(cli->cx);
            return mln_cli_usage(cli, "'%s' is no recipient: age1... or transit:KEY", text);
        }
        r->to.n_recipients++;
    }
    return MLN_OK;
}

static void table(struct mln_cli *cli, const struct mln_value *v)
{
    mln_cli_out("%sencrypted%s  %s  %lld files, %s%s\n", mln_cli_ink(cli, MLN_INK_GREEN),
                mln_cli_ink(cli, MLN_INK_NONE), mln_cli_scalar(cli, mln_get(v, "output")),
                (long long)mln_get_int(mln_get(v, "files"), 0),
                mln_size_text(cli->cx, (uint64_t)mln_get_int(mln_get(v, "bytes"), 0)),
                mln_get_bool(mln_get(v, "signature"), false) ? ", signature beside them" : "");
}

static struct mln_err run(struct mln_cli *cli)
{
    const char *out = mln_cli_text(cli, "output");
    struct recipients *r = MLN_NEW(cli->cx, struct recipients);
    const struct mln_value *done = NULL;
    struct mln_progress progress;
    MLN_TRY(mln_cx_err(cli->cx));
    if (out == NULL) {
        return mln_cli_usage(cli, "-o PATH is needed");
    }
    MLN_TRY(read_recipients(cli, r));
    struct mln_model_encrypt how = {.to = r->to, .durable = true};
    how.progress = model_progress(cli, "encrypting", &progress);
    struct mln_err err = mln_model_encrypt(cli->cx, cli->args[0], out, &how, &done);
    mln_progress_end(&progress);
    MLN_TRY(err);
    struct mln_value *answer = mln_value_dup(cli->cx, done);
    mln_put_text(cli->cx, answer, "output", out);
    return mln_cli_answer(cli, answer, table);
}

static const char *const examples[] = {
    "merlon model encrypt ./model --to transit:models -o ./model.enc",
    "merlon model encrypt ./model --to age1qyqszqgpqyqszqgp... -o ./model.enc",
    "merlon model encrypt m.onnx --to transit:ci/models -o m.onnx.age",
    NULL,
};
const struct mln_command mln_command_model_encrypt = {
    .noun = "model",
    .verb = "encrypt",
    .summary = "Encrypt a model for people's age keys or a key of the server",
    .args = "DIR|FILE",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .more = "A folder becomes a folder with PATH.age for every file; model.sig stays readable\n"
            "beside them. Stock age opens what is encrypted to an age1... key.",
    .run = run,
};
