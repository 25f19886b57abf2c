/* SPDX-License-Identifier: Apache-2.0 */
/* merlon model verify: is every file what a trusted key signed? Exit 5 when not, 8 when it cannot be judged. */
#include "cli/model_priv.h"

static const struct mln_flag flags[] = {
    {"signature", MLN_FLAG_TEXT, "FILE", NULL, "The signature (default: model.sig inside)"},
    MODEL_TRUST_FLAGS,
    {"ignore", MLN_FLAG_LIST, "PATH", NULL, "Leave this path out (again for more)"},
    {0},
};

static void print_names(struct mln_cli *cli, const struct mln_value *report, const char *key, const char *what)
{
    const struct mln_value *names = mln_get(report, key);
    for (size_t i = 0; i < mln_len(names); i++) {
        mln_cli_out("  %s%s%s  %s\n", mln_cli_ink(cli, MLN_INK_YELLOW), what, mln_cli_ink(cli, MLN_INK_NONE),
                    mln_cli_scalar(cli, mln_item(names, i)));
    }
}

static void table(struct mln_cli *cli, const struct mln_value *report)
{
    bool is_ok = mln_is_text(mln_get(report, "verdict"), "ok");
    mln_cli_out("%s%s%s  %s  %lld files, %s, root %s\n", mln_cli_ink(cli, is_ok ? MLN_INK_GREEN : MLN_INK_RED),
                is_ok ? "verified" : "refused", mln_cli_ink(cli, MLN_INK_NONE), cli->args[0],
                (long long)mln_get_int(mln_get(report, "files"), 0),
                mln_size_text(cli->cx, (uint64_t)mln_get_int(mln_get(report, "bytes"), 0)),
                mln_cli_scalar(cli, mln_get(report, "root")));
    print_names(cli, report, "missing", "missing");
    print_names(cli, report, "different", "different");
    print_names(cli, report, "extra", "not signed");
    print_names(cli, report, "uncovered", "left out by the signer");
    print_names(cli, report, "warnings", "warning");
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_bytes bundle = MLN_BYTES_NONE;
    struct mln_oms_trust trust = {0};
    bool is_given = false;
    const char *path = model_signature_path(cli, cli->args[0]);
    MLN_TRY(mln_cli_read_file(cli, path, MLN_DSSE_BUNDLE_MAX, &bundle));
    MLN_TRY(model_trust(cli, &trust, &is_given));
    if (!is_given) {
        MLN_TRY(model_trust_of_server(cli, cli->cx, bundle, &trust));
    }
    struct mln_progress progress;
    struct mln_oms_options options = model_verify_options(cli);
    const struct mln_value *report = NULL;
    options.ignore = mln_cli_list(cli, "ignore");
    options.signature_path = path;
    options.progress = model_progress(cli, "verifying", &progress);
    struct mln_err err = mln_oms_verify(cli->cx, cli->args[0], bundle, &trust, &options, &report);
    mln_progress_end(&progress);
    if (report == NULL || !mln_is(err, MLN_E_FORGED)) {
        MLN_TRY(err);
        return mln_cli_answer(cli, report, table);
    }
    /* the signature held, the files did not: the report says which, the error is kept */
    struct mln_cx cause = *cli->cx;
    mln_cx_clear(cli->cx);
    MLN_TRY(mln_cli_answer(cli, report, table));
    *cli->cx = cause;
    return err;
}

static const char *const examples[] = {
    "merlon model verify ./model --key signer.pub.pem",
    "merlon model verify ./model --roots ca.pem --identity-of ml@example.org",
    "merlon model verify ./m.onnx --signature m.sig",
    NULL,
};
const struct mln_command mln_command_model_verify = {
    .noun = "model",
    .verb = "verify",
    .summary = "Verify that a model's files are what was signed",
    .args = "DIR|FILE",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .more = "Without --key and --roots the server's record of the release says who signed. With\n"
            "them no server is asked. Intermediate certificates come from the signature.",
    .run = run,
};
