/* SPDX-License-Identifier: Apache-2.0 */
/* merlon lease: look up, renew and revoke what was handed out. */
#include "cli/cli_priv.h"

static struct mln_err call_with_id(struct mln_cli *cli, const char *path, const char *increment, struct mln_cli_reply *ret)
{
    struct mln_value *body = mln_object(cli->cx);
    mln_put_text(cli->cx, body, "lease_id", cli->args[0]);
    if (increment != NULL) {
        mln_put_text(cli->cx, body, "increment", increment);
    }
    return mln_cli_call(cli, "PUT", path, body, ret);
}

static struct mln_err run_lookup(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(call_with_id(cli, "sys/leases/lookup", NULL, &reply));
    return mln_cli_answer(cli, cli->format == MLN_FORMAT_TABLE ? reply.data : reply.body, NULL);
}

static struct mln_err run_renew(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(call_with_id(cli, "sys/leases/renew", mln_cli_text(cli, "increment"), &reply));
    if (cli->format != MLN_FORMAT_TABLE) {
        return mln_cli_answer(cli, reply.body, NULL);
    }
    struct mln_value *rows = mln_object(cli->cx);
    mln_put(cli->cx, rows, "lease_id", mln_get(reply.body, "lease_id"));
    mln_put(cli->cx, rows, "lease_duration", mln_get(reply.body, "lease_duration"));
    mln_put(cli->cx, rows, "lease_renewable", mln_get(reply.body, "renewable"));
    return mln_cli_answer(cli, rows, NULL);
}

static struct mln_err run_revoke(struct mln_cli *cli)
{
    bool is_prefix = mln_cli_bool(cli, "prefix"), is_forced = mln_cli_bool(cli, "force");
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    if (is_forced && !is_prefix) {
        return mln_cli_usage(cli, "--force goes with --prefix");
    }
    if (is_prefix) {
        MLN_TRY(mln_cli_confirm(cli, "Revoking all leases below that path"));
    } else {
        mln_put_text(cli->cx, body, "lease_id", cli->args[0]);
    }
    if (mln_cli_text(cli, "sync") != NULL) {
        mln_put_bool(cli->cx, body, "sync", mln_cli_bool(cli, "sync"));
    }
    const char *kind = is_forced ? "revoke-force" : "revoke-prefix";
    const char *below = mln_text_format(cli->cx, "sys/leases/%s/%s", kind, mln_cli_escape(cli, cli->args[0]));
    const char *path = is_prefix ? below : "sys/leases/revoke";
    MLN_TRY(mln_cli_call(cli, "PUT", path, body, &reply));
    mln_cli_say(cli, "All revocation operations queued or done.\n");
    return MLN_OK;
}

static const struct mln_flag renew_flags[] = {{"increment", MLN_FLAG_TEXT, "TIME", NULL, "How long it shall live from now"}, {0}};
static const struct mln_flag revoke_flags[] = {
    {"prefix", MLN_FLAG_BOOL, NULL, NULL, "All leases below a path"},
    {"force", MLN_FLAG_BOOL, NULL, NULL, "Forget them even when undoing them fails (with --prefix)"},
    {"sync", MLN_FLAG_BOOL, NULL, NULL, "Wait until it is done (--sync=false: only have it begun)"},
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"},
    {0},
};

static const char *const lookup_examples[] = {"merlon lease lookup pki/issue/web/9MEb2SWbRiqYkJgIB6JYSKt5", NULL};
const struct mln_command mln_command_lease_lookup = {
    .noun = "lease",
    .verb = "lookup",
    .summary = "Show a lease",
    .args = "LEASE",
    .examples = lookup_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_lookup,
};
static const char *const renew_examples[] = {"merlon lease renew --increment 1h ssh/creds/otp/2f6a614c", NULL};
const struct mln_command mln_command_lease_renew = {
    .noun = "lease",
    .verb = "renew",
    .summary = "Put off the end of a lease",
    .args = "LEASE",
    .examples = renew_examples,
    .flags = renew_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_renew,
};
static const char *const revoke_examples[] = {"merlon lease revoke pki/issue/web/9MEb2SWbRiqYkJgIB6JYSKt5",
                                              "merlon lease revoke --prefix --yes pki/issue", NULL};
const struct mln_command mln_command_lease_revoke = {
    .noun = "lease",
    .verb = "revoke",
    .summary = "Revoke a lease, or all below a path",
    .args = "LEASE | PATH",
    .examples = revoke_examples,
    .flags = revoke_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_revoke,
};
