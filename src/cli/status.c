/* SPDX-License-Identifier: Apache-2.0 */
/* merlon status: keeps the exit codes that scripts know: 0 unsealed, 1 error, 2 sealed. */
#include "cli/cli_priv.h"

static void add_row(struct mln_cli *cli, struct mln_table *t, const char *key, const char *value, enum mln_ink ink)
{
    mln_table_add(cli, t, key, MLN_INK_NONE);
    mln_table_add(cli, t, value, ink);
}

static const char *sandbox_text(struct mln_cli *cli, const struct mln_value *s)
{
    if (mln_is_null(s)) {
        return "unknown";
    }
    bool seccomp = mln_get_bool(mln_get(s, "seccomp"), false);
    bool landlock = mln_get_bool(mln_get(s, "landlock"), false);
    return mln_text_format(cli->cx, "seccomp %s, landlock %s", seccomp ? "on" : "off", landlock ? "on" : "off");
}

static void table(struct mln_cli *cli, const struct mln_value *all)
{
    static const char *const heads[] = {"KEY", "VALUE"};
    struct mln_table t = {.heads = heads, .n_columns = 2};
    bool sealed = mln_get_bool(mln_get(all, "sealed"), true);
    add_row(cli, &t, "Sealed", sealed ? "yes" : "no", sealed ? MLN_INK_RED : MLN_INK_GREEN);
    add_row(cli, &t, "Initialized", mln_get_bool(mln_get(all, "initialized"), false) ? "yes" : "no", MLN_INK_NONE);
    add_row(cli, &t, "Seal type", mln_cli_scalar(cli, mln_get(all, "type")), MLN_INK_NONE);
    add_row(cli, &t, "Shares", mln_text_format(cli->cx, "%lld, %lld needed, %lld given", (long long)mln_get_int(mln_get(all, "n"), 0),
                                               (long long)mln_get_int(mln_get(all, "t"), 0),
                                               (long long)mln_get_int(mln_get(all, "progress"), 0)), MLN_INK_NONE);
    add_row(cli, &t, "Version", mln_cli_scalar(cli, mln_get(all, "version")), MLN_INK_NONE);
    add_row(cli, &t, "Storage", mln_cli_scalar(cli, mln_get(all, "storage_type")), MLN_INK_NONE);
    const struct mln_value *merlon = mln_get(all, "merlon");
    if (merlon != NULL) {
        const struct mln_value *ledger = mln_get(merlon, "ledger");
        const struct mln_value *sandbox = mln_get(merlon, "sandbox");
        add_row(cli, &t, "Ledger size", mln_cli_scalar(cli, mln_get(ledger, "size")), MLN_INK_NONE);
        add_row(cli, &t, "Ledger key", mln_cli_scalar(cli, mln_get(ledger, "vkey")), MLN_INK_NONE);
        add_row(cli, &t, "Sandbox front", sandbox_text(cli, mln_get(sandbox, "front")), MLN_INK_NONE);
        add_row(cli, &t, "Sandbox reach", sandbox_text(cli, mln_get(sandbox, "reach")), MLN_INK_NONE);
        add_row(cli, &t, "Sandbox box", sandbox_text(cli, mln_get(sandbox, "box")), MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    struct mln_err err = mln_cli_call(cli, "GET", "sys/seal-status", NULL, &reply);
    if (mln_failed(err)) {
        cli->exit_code = mln_is(err, MLN_E_UNREACHABLE) || mln_is(err, MLN_E_TIMEOUT) ? 7 : 1;
        return err;
    }
    struct mln_value *all = mln_value_dup(cli->cx, reply.body);
    struct mln_cli_reply more = {0};
    if (!mln_failed(mln_cli_call(cli, "GET", "sys/status", NULL, &more))) {
        mln_put(cli->cx, all, "merlon", more.data != NULL ? more.data : more.body);
    } else {
        mln_cx_clear(cli->cx);
    }
    cli->hint = NULL;
    cli->exit_code = mln_get_bool(mln_get(all, "sealed"), true) ? 2 : 0;
    return mln_cli_answer(cli, all, table);
}

static const char *const examples[] = {"merlon status", "merlon status --format json", NULL};

const struct mln_command mln_command_status = {
    .noun = "status",
    .summary = "Show whether the server is sealed, its ledger and its sandbox",
    .args = "",
    .examples = examples,
    .more = "Exit codes here: 0 unsealed, 1 error, 2 sealed, 7 unreachable.",
    .run = run,
};
