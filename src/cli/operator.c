/* SPDX-License-Identifier: Apache-2.0 */
/* merlon operator: init, unseal, seal, rotate, key-status, verify-store, prune */
#include "cli/cli_priv.h"

/* ---- init ---- */

static const struct mln_flag init_flags[] = {
    {"key-shares", MLN_FLAG_INT, "N", "5", "Shares of the unseal key"},
    {"key-threshold", MLN_FLAG_INT, "N", "3", "Shares that unseal"},
    {"recovery-shares", MLN_FLAG_INT, "N", NULL, "Recovery keys, of a server that unseals by itself"},
    {"recovery-threshold", MLN_FLAG_INT, "N", NULL, "Recovery keys that decide"},
    {0},
};

static void init_table(struct mln_cli *cli, const struct mln_value *v)
{
    const struct mln_value *keys = mln_get(v, "keys_base64");
    for (size_t i = 0; i < mln_len(keys); i++) {
        mln_cli_out("Unseal key %zu:  %s\n", i + 1, mln_cli_scalar(cli, mln_item(keys, i)));
    }
    const struct mln_value *recovery = mln_get(v, "recovery_keys_base64");
    for (size_t i = 0; i < mln_len(recovery); i++) {
        mln_cli_out("Recovery key %zu:  %s\n", i + 1, mln_cli_scalar(cli, mln_item(recovery, i)));
    }
    mln_cli_out("Root token:    %s\n", mln_cli_scalar(cli, mln_get(v, "root_token")));
    mln_cli_say(cli, mln_len(keys) > 0 ? "\nGive each share to another person; they are shown this once. Then 'merlon "
                                         "operator unseal'.\n"
                     : mln_len(recovery) > 0
                         ? "\nGive each recovery key to another person; they are shown this once. The server is open.\n"
                         : "\nThe server is open.\n");
}

/* The server's members, and the names that vault's command gives them, which scripts read. */
static const struct mln_value *with_names(struct mln_cli *cli, const struct mln_value *body, int64_t shares, int64_t threshold)
{
    struct mln_value *all = mln_value_dup(cli->cx, body);
    mln_put(cli->cx, all, "unseal_keys_b64", mln_get(body, "keys_base64"));
    mln_put(cli->cx, all, "unseal_keys_hex", mln_get(body, "keys"));
    mln_put_int(cli->cx, all, "unseal_shares", shares);
    mln_put_int(cli->cx, all, "unseal_threshold", threshold);
    const struct mln_value *recovery = mln_get(body, "recovery_keys");
    bool has_recovery = mln_len(recovery) > 0;
    mln_put(cli->cx, all, "recovery_keys_b64", has_recovery ? mln_get(body, "recovery_keys_base64") : mln_array(cli->cx));
    mln_put(cli->cx, all, "recovery_keys_hex", has_recovery ? recovery : mln_array(cli->cx));
    return all;
}

/* Only when asked for: a Shamir seal refuses them. */
static struct mln_err put_recovery(struct mln_cli *cli, struct mln_value *body)
{
    int64_t shares = 0;
    int64_t threshold = 0;
    MLN_TRY(mln_cli_int(cli, "recovery-shares", 0, &shares));
    MLN_TRY(mln_cli_int(cli, "recovery-threshold", 0, &threshold));
    if (shares != 0 || threshold != 0) {
        mln_put_int(cli->cx, body, "recovery_shares", shares);
        mln_put_int(cli->cx, body, "recovery_threshold", threshold);
    }
    return MLN_OK;
}

static struct mln_err run_init(struct mln_cli *cli)
{
    int64_t shares = 0;
    int64_t threshold = 0;
    MLN_TRY(mln_cli_int(cli, "key-shares", 5, &shares));
    MLN_TRY(mln_cli_int(cli, "key-threshold", 3, &threshold));
    struct mln_value *body = mln_object(cli->cx);
    mln_put_int(cli->cx, body, "secret_shares", shares);
    mln_put_int(cli->cx, body, "secret_threshold", threshold);
    MLN_TRY(put_recovery(cli, body));
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "PUT", "sys/init", body, &reply));
    return mln_cli_answer(cli, cli->format == MLN_FORMAT_TABLE ? reply.body : with_names(cli, reply.body, shares, threshold), init_table);
}

static const char *const init_examples[] = {
    "merlon operator init", "merlon operator init --key-shares 1 --key-threshold 1 --format json",
    NULL};
const struct mln_command mln_command_operator_init = {
    .noun = "operator",
    .verb = "init",
    .summary = "Initialise a new server: print its unseal shares and root token once",
    .args = "",
    .examples = init_examples,
    .flags = init_flags,
    .run = run_init,
};

/* ---- unseal ---- */

static const struct mln_flag unseal_flags[] = {
    {"reset", MLN_FLAG_BOOL, NULL, NULL, "Forget the shares given so far"},
    {0},
};

static struct mln_err run_unseal(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    if (mln_cli_bool(cli, "reset")) {
        mln_put_bool(cli->cx, body, "reset", true);
    } else {
        struct mln_bytes share = {0};
        MLN_TRY(mln_cli_secret(cli, cli->n_args > 0 ? cli->args[0] : NULL, "Unseal share", false,
                               &share));
        mln_put(cli->cx, body, "key", mln_secret_string(cli->cx, share));
    }
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "PUT", "sys/unseal", body, &reply));
    return mln_cli_answer(cli, reply.body, NULL);
}

static const char *const unseal_examples[] = {"merlon operator unseal",
                                              "merlon operator unseal @share1", NULL};
const struct mln_command mln_command_operator_unseal = {
    .noun = "operator",
    .verb = "unseal",
    .summary = "Give one share of the unseal key",
    .args = "[- | @FILE]",
    .examples = unseal_examples,
    .flags = unseal_flags,
    .max_args = 1,
    .run = run_unseal,
};

/* ---- seal, rotate, key-status ---- */

static struct mln_err run_seal(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "PUT", "sys/seal", NULL, &reply));
    mln_cli_say(cli, "Sealed: keys are gone from memory.\n");
    return MLN_OK;
}

static const char *const seal_examples[] = {"merlon operator seal", NULL};
const struct mln_command mln_command_operator_seal = {
    .noun = "operator",
    .verb = "seal",
    .summary = "Seal the server at once",
    .args = "",
    .examples = seal_examples,
    .run = run_seal,
};

static struct mln_err run_key_status(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "sys/key-status", NULL, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_rotate(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "POST", "sys/rotate", NULL, &reply));
    return run_key_status(cli);
}

static const char *const rotate_examples[] = {"merlon operator rotate", NULL};
const struct mln_command mln_command_operator_rotate = {
    .noun = "operator",
    .verb = "rotate",
    .summary = "Make a new encryption key for what is written from now on",
    .args = "",
    .examples = rotate_examples,
    .run = run_rotate,
};

static const char *const key_status_examples[] = {"merlon operator key-status", NULL};
const struct mln_command mln_command_operator_key_status = {
    .noun = "operator",
    .verb = "key-status",
    .summary = "Show the encryption key's term, age and use",
    .args = "",
    .examples = key_status_examples,
    .run = run_key_status,
};

/* ---- verify-store ---- */

static void verify_table(struct mln_cli *cli, const struct mln_value *data)
{
    static const char *const heads[] = {"KEY", "PROBLEM"};
    const struct mln_value *problems = mln_get(data, "problems");
    if (mln_len(problems) == 0) {
        mln_cli_out("%sok%s  every stored value is the one its record names\n",
                    mln_cli_ink(cli, MLN_INK_GREEN), mln_cli_ink(cli, MLN_INK_NONE));
        return;
    }
    struct mln_table t = {.heads = heads, .n_columns = 2};
    for (size_t i = 0; i < mln_len(problems); i++) {
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(mln_item(problems, i), "key")),
                      MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(mln_item(problems, i), "problem")),
                      MLN_INK_RED);
    }
    mln_table_print(cli, &t);
}

static struct mln_err run_verify_store(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "sys/verify-store", NULL, &reply));
    cli->exit_code = mln_len(mln_get(reply.data, "problems")) > 0 ? 5 : 0;
    return mln_cli_answer(cli, reply.data, verify_table);
}

static const char *const verify_examples[] = {"merlon operator verify-store", NULL};
const struct mln_command mln_command_operator_verify_store = {
    .noun = "operator",
    .verb = "verify-store",
    .summary =
        "Find stored values that were changed, moved or rolled back behind the server's back",
    .args = "",
    .examples = verify_examples,
    .more = "Exit code 5 when something does not match its ledger record.",
    .run = run_verify_store,
};

/* ---- prune ---- */

static const struct mln_flag prune_flags[] = {
    {"before", MLN_FLAG_INT, "INDEX", NULL, "Forget the contents of entries below this index"},
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"},
    {0},
};

static struct mln_err run_prune(struct mln_cli *cli)
{
    int64_t before = -1;
    MLN_TRY(mln_cli_int(cli, "before", -1, &before));
    if (before < 0) {
        return mln_cli_usage(cli, "--before INDEX is needed");
    }
    MLN_TRY(mln_cli_confirm(cli, "forget those contents for good"));
    struct mln_value *body = mln_object(cli->cx);
    mln_put_int(cli->cx, body, "before", before);
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "POST", "sys/ledger/prune", body, &reply));
    return reply.data == NULL ? MLN_OK : mln_cli_answer(cli, reply.data, NULL);
}

static const char *const prune_examples[] = {"merlon operator prune --before 100000", NULL};
const struct mln_command mln_command_operator_prune = {
    .noun = "operator",
    .verb = "prune",
    .summary = "Forget what old ledger entries were about; the tree stays verifiable",
    .args = "",
    .examples = prune_examples,
    .flags = prune_flags,
    .run = run_prune,
};
