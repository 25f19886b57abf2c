/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon approve: show what another person wants to release, and record the approval of exactly
 * that.
 */
#include "cli/release_priv.h"

#include <unistd.h>

static const struct mln_flag flags[] = {
    {"comment", MLN_FLAG_TEXT, "TEXT", NULL, "Why; becomes part of the record"},
    {"show", MLN_FLAG_BOOL, NULL, NULL, "Only show it"},
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask on a terminal"},
    {0},
};

static void add_row(struct mln_cli *cli, struct mln_table *t, const char *key, const char *value,
                    enum mln_ink ink)
{
    mln_table_add(cli, t, key, MLN_INK_NONE);
    mln_table_add(cli, t, value, ink);
}

static const char *names_of(struct mln_cli *cli, const struct mln_value *approvals)
{
    const char *text = "";
    for (size_t i = 0; i < mln_len(approvals); i++) {
        text = mln_text_format(cli->cx, "%s%s%s", text, i > 0 ? ", " : "",
                               mln_cli_scalar(cli, mln_get(mln_item(approvals, i), "name")));
    }
    return text;
}

static void print_record(struct mln_cli *cli, const struct mln_value *record)
{
    static const char *const heads[] = {"KEY", "VALUE"};
    struct mln_table t = {.heads = heads, .n_columns = 2};
    const struct mln_value *checks = mln_get(mln_get(record, "verdict"), "checks");
    add_row(cli, &t, "Release", mln_cli_scalar(cli, mln_get(record, "id")), MLN_INK_BOLD);
    add_row(cli, &t, "Model", mln_cli_scalar(cli, mln_get(record, "model")), MLN_INK_NONE);
    add_row(cli, &t, "Root", mln_cli_scalar(cli, mln_get(record, "root")), MLN_INK_NONE);
    add_row(
        cli, &t, "Files",
        mln_text_format(cli->cx, "%lld, %s", (long long)mln_get_int(mln_get(record, "files"), 0),
                        mln_size_text(cli->cx, (uint64_t)mln_get_int(mln_get(record, "bytes"), 0))),
        MLN_INK_NONE);
    add_row(cli, &t, "Author", mln_cli_scalar(cli, mln_get(mln_get(record, "author"), "name")),
            MLN_INK_NONE);
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *check = mln_item(checks, i);
        bool is_ok = mln_get_bool(mln_get(check, "ok"), false);
        add_row(cli, &t,
                mln_text_format(cli->cx, "Gate, %s", mln_cli_scalar(cli, mln_get(check, "name"))),
                mln_text_format(cli->cx, "%s: %s", is_ok ? "holds" : "open",
                                mln_cli_scalar(cli, mln_get(check, "detail"))),
                is_ok ? MLN_INK_GREEN : MLN_INK_YELLOW);
    }
    const struct mln_value *signature = mln_get(record, "signature");
    if (!mln_is_null(signature)) {
        add_row(cli, &t, "Signed by",
                mln_text_format(cli->cx, "%s v%lld", mln_cli_scalar(cli, mln_get(signature, "key")),
                                (long long)mln_get_int(mln_get(signature, "version"), 0)),
                MLN_INK_NONE);
    }
    add_row(cli, &t, "Approved by", names_of(cli, mln_get(record, "approvals")), MLN_INK_NONE);
    add_row(cli, &t, "State", mln_cli_scalar(cli, mln_get(record, "state")), MLN_INK_NONE);
    if (mln_get(record, "ledger_index") != NULL) {
        add_row(cli, &t, "Ledger", mln_cli_scalar(cli, mln_get(record, "ledger_index")),
                MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
    release_print_findings(cli, mln_get(mln_get(mln_get(record, "evidence"), "scan"), "findings"));
}

static void approved_table(struct mln_cli *cli, const struct mln_value *record)
{
    print_record(cli, record);
    mln_cli_out("%sapproved%s: %s\n", mln_cli_ink(cli, MLN_INK_GREEN),
                mln_cli_ink(cli, MLN_INK_NONE), mln_cli_scalar(cli, mln_get(record, "id")));
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_cx *cx = cli->cx;
    struct mln_cli_reply reply = {0};
    const char *path = mln_text_format(cx, "release/%s", mln_cli_escape(cli, cli->args[0]));
    MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
    const struct mln_value *record = reply.data;
    if (mln_cli_bool(cli, "show")) {
        return mln_cli_answer(cli, record, print_record);
    }
    bool can_ask = cli->is_tty_out && cli->is_tty_err && isatty(STDIN_FILENO) == 1;
    if (can_ask && cli->format == MLN_FORMAT_TABLE && !mln_cli_bool(cli, "yes")) {
        print_record(cli, record);
        MLN_TRY(mln_cli_confirm(cli, "approve it"));
    }
    struct mln_value *body = mln_object(cx);
    mln_put(cx, body, "root", mln_get(record, "root"));
    mln_put(cx, body, "seen",
            mln_get(record, "updated_time")); /* what is approved is what was shown */
    if (mln_cli_text(cli, "comment") != NULL) {
        mln_put_text(cx, body, "comment", mln_cli_text(cli, "comment"));
    }
    struct mln_err err =
        mln_cli_call(cli, "POST", mln_text_format(cx, "%s/approve", path), body, &reply);
    if (mln_is(err, MLN_E_DENIED)) {
        cli->hint = "releases are approved by a person other than the author, logged in with "
                    "'merlon login --method userpass'";
    }
    MLN_TRY(err);
    struct mln_value *answer = mln_value_dup(cx, reply.data);
    mln_put(cx, answer, "ledger_index",
            reply.ledger_index >= 0 ? mln_int(cx, reply.ledger_index) : mln_null(cx));
    return mln_cli_answer(cli, answer, approved_table);
}

static const char *const examples[] = {
    "merlon approve rel-0123456789ab --show",
    "merlon approve rel-0123456789ab --comment 'scan and numbers look right'",
    NULL,
};

const struct mln_command mln_command_approve = {
    .noun = "approve",
    .summary = "Approve a release as a second person",
    .args = "RELEASE",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .more = "The author, root and tokens made by root cannot approve. When gate or evidence "
            "changes afterwards the approval is void.",
    .run = run,
};
