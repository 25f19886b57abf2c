/* SPDX-License-Identifier: Apache-2.0 */
/* merlon model scan: what would happen if a loader opened these files. */
#include "cli/cli_priv.h"

#include "artifact/box.h"

#define EXIT_FINDING  5
#define EXIT_UNJUDGED 8

static enum mln_ink verdict_ink(const struct mln_value *verdict)
{
    if (mln_is_text(verdict, "clean")) {
        return MLN_INK_GREEN;
    }
    return mln_is_text(verdict, "unsupported") || mln_is_text(verdict, "suspicious")
               ? MLN_INK_YELLOW
               : MLN_INK_RED;
}

/* The finding to show: the first of the worst severity. */
static const struct mln_value *worst(const struct mln_value *findings)
{
    static const char *const order[] = {"critical", "high", "medium", "low", "info"};
    for (size_t s = 0; s < MLN_COUNT(order); s++) {
        for (size_t i = 0; i < mln_len(findings); i++) {
            if (mln_is_text(mln_get(mln_item(findings, i), "severity"), order[s])) {
                return mln_item(findings, i);
            }
        }
    }
    return NULL;
}

/* "calls os.system (REDUCE at byte 42 of archive/data.pkl)" */
static const char *finding_text(struct mln_cli *cli, const struct mln_value *finding)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const char *opcode = mln_get_text(cli->cx, mln_get(finding, "opcode"), NULL);
    const char *member = mln_get_text(cli->cx, mln_get(finding, "member"), NULL);
    int64_t at = mln_get_int(mln_get(finding, "offset"), -1);
    mln_buf_add_text(&text, mln_get_text(cli->cx, mln_get(finding, "detail"), ""));
    if (opcode != NULL || at >= 0 || member != NULL) {
        mln_buf_add_format(&text, " (%s", opcode != NULL ? opcode : "");
        if (at >= 0) {
            mln_buf_add_format(&text, "%sat byte %lld", opcode != NULL ? " " : "", (long long)at);
        }
        if (member != NULL) {
            mln_buf_add_format(&text, "%s%s", opcode != NULL || at >= 0 ? " of " : "", member);
        }
        mln_buf_add_byte(&text, ')');
    }
    return mln_text_dup(cli->cx, mln_buf_bytes(&text));
}

static void print_table(struct mln_cli *cli, const struct mln_value *answer)
{
    static const char *const heads[] = {"FILE", "FORMAT", "VERDICT", "FINDING"};
    struct mln_table table = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    const struct mln_value *files = mln_get(answer, "files");
    for (size_t i = 0; i < mln_len(files); i++) {
        const struct mln_value *file = mln_item(files, i);
        const struct mln_value *verdict = mln_get(file, "verdict");
        const struct mln_value *finding = worst(mln_get(file, "findings"));
        mln_table_add(cli, &table, mln_get_text(cli->cx, mln_get(file, "path"), "?"), MLN_INK_NONE);
        mln_table_add(cli, &table, mln_get_text(cli->cx, mln_get(file, "format"), "?"),
                      MLN_INK_NONE);
        mln_table_add(cli, &table, mln_get_text(cli->cx, verdict, "?"), verdict_ink(verdict));
        mln_table_add(cli, &table, finding != NULL ? finding_text(cli, finding) : NULL,
                      MLN_INK_NONE);
    }
    mln_table_print(cli, &table);
    if (cli->is_tty_out) {
        const struct mln_value *sum = mln_get(answer, "summary");
        mln_cli_out(
            "\n%lld files, %s, %.2f s: %s%s%s\n", (long long)mln_get_int(mln_get(sum, "files"), 0),
            mln_size_text(cli->cx, (uint64_t)mln_get_int(mln_get(sum, "bytes"), 0)),
            mln_get_double(mln_get(sum, "seconds"), 0),
            mln_cli_ink(cli, verdict_ink(mln_get(sum, "verdict"))),
            mln_get_text(cli->cx, mln_get(sum, "verdict"), "?"), mln_cli_ink(cli, MLN_INK_NONE));
    }
}

static void progress_step(void *arg, uint64_t done, uint64_t all)
{
    mln_progress_step(arg, done, all, "bytes");
}

static int exit_of(const struct mln_value *summary)
{
    int64_t bad = mln_get_int(mln_get(summary, "malicious"), 0) +
                  mln_get_int(mln_get(summary, "suspicious"), 0) +
                  mln_get_int(mln_get(summary, "malformed"), 0);
    return bad > 0                                               ? EXIT_FINDING
           : mln_get_int(mln_get(summary, "unsupported"), 0) > 0 ? EXIT_UNJUDGED
                                                                 : 0;
}

static struct mln_err run_scan(struct mln_cli *cli)
{
    MLN_AUTO(mln_box_drop) struct mln_box *box = NULL;
    struct mln_box_config config = {0};
    struct mln_progress bar;
    const struct mln_value *answer = NULL;
    MLN_TRY(mln_box_start(cli->cx, &config, &box));
    mln_progress_begin(&bar, cli, "Scanning");
    struct mln_scan_progress progress = {.step = progress_step, .arg = &bar};
    struct mln_err err = mln_scan_paths(cli->cx, box, cli->args, cli->n_args,
                                        cli->has_progress ? &progress : NULL, &answer);
    mln_progress_end(&bar);
    MLN_TRY(err);
    cli->exit_code = exit_of(mln_get(answer, "summary"));
    return mln_cli_answer(cli, answer, print_table);
}

static const char *const scan_examples[] = {
    "merlon model scan model.pkl",
    "merlon model scan ./model --format json",
    NULL,
};
const struct mln_command mln_command_model_scan = {
    .noun = "model",
    .verb = "scan",
    .summary = "Judge what model files would do to who loads them",
    .args = "PATH...",
    .examples = scan_examples,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .more = "Nothing is loaded: files are read in a process without network and files of its own. "
            "Verdicts are clean, unsupported, "
            "suspicious, malformed and malicious. Exit code 5 with any of the last three, else 8 "
            "with an unsupported file, else 0.",
    .run = run_scan,
};
