/* SPDX-License-Identifier: Apache-2.0 */
/* merlon decision: what was decided, by which policy, of which input; and whether it would be decided so again. docs/gates.md */
#include "assure/decision.h"
#include "assure/gates.h"
#include "cli/cli_priv.h"

#define FILE_MAX ((size_t)16 << 20) /* policies of 4 MiB, input of 4 MiB, and what JSON adds to them */

static bool is_id(const char *text)
{
    struct mln_bytes id = mln_bytes_of(text);
    return mln_bytes_starts(id, MLN_BYTES("dec-")) && id.len == 4 + MLN_DECISION_ID_HEX;
}

/* dec-... is asked of the server, everything else is a file. */
static struct mln_err read_decision(struct mln_cli *cli, const char *path, const struct mln_value **ret)
{
    struct mln_bytes text;
    if (is_id(path)) {
        struct mln_cli_reply reply = {0};
        MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "decision/%s", mln_cli_escape(cli, path)), NULL, &reply));
        *ret = reply.data;
        return MLN_OK;
    }
    MLN_TRY(mln_cli_read_file(cli, path, FILE_MAX, &text));
    return mln_json_parse(cli->cx, text, ret);
}

/* Of a gate the verdict is more than what rules said: it must follow from them again. */
static struct mln_err check_verdict(struct mln_cli *cli, const struct mln_value *decision, struct mln_value *replayed)
{
    struct mln_value *sum = NULL;
    bool is_gate = mln_is_text(mln_get(decision, "kind"), "gate"), is_equal = mln_is_text(mln_get(replayed, "outcome"), "equal");
    if (!is_gate || !is_equal) {
        return MLN_OK;
    }
    MLN_TRY(mln_gates_sum(cli->cx, mln_get(decision, "said"), mln_get(decision, "exceptions"), &sum));
    if (!mln_value_eq(mln_get(sum, "verdict"), mln_get(decision, "verdict"))) {
        mln_put_text(cli->cx, replayed, "outcome", "different");
        mln_put_text(cli->cx, replayed, "why", "the verdict does not follow from what the rules say");
    }
    return mln_cx_err(cli->cx);
}

static int exit_of(const struct mln_value *replayed)
{
    const struct mln_value *outcome = mln_get(replayed, "outcome");
    return mln_is_text(outcome, "equal") ? 0 : mln_err_exit(mln_is_text(outcome, "unjudged") ? MLN_E_UNJUDGED : MLN_E_VERDICT);
}

static struct mln_err run_replay(struct mln_cli *cli)
{
    const struct mln_value *decision = NULL, *replayed = NULL;
    MLN_TRY(read_decision(cli, cli->args[0], &decision));
    MLN_TRY(mln_decision_replay(cli->cx, decision, &replayed));
    struct mln_value *v = mln_value_dup(cli->cx, replayed);
    MLN_TRY(check_verdict(cli, decision, v));
    MLN_TRY(mln_cli_answer(cli, v, NULL));
    cli->exit_code = exit_of(v);
    return MLN_OK;
}

static struct mln_err run_show(struct mln_cli *cli)
{
    const struct mln_value *decision = NULL;
    MLN_TRY(read_decision(cli, cli->args[0], &decision));
    return mln_cli_answer(cli, decision, NULL);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "decision?list=true", NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static const char *const list_examples[] = {"merlon decision list", NULL};
const struct mln_command mln_command_decision_list = {
    .noun = "decision",
    .verb = "list",
    .summary = "List the decisions that the server keeps",
    .args = "",
    .examples = list_examples,
    .run = run_list,
};
static const char *const show_examples[] = {"merlon decision show dec-0123456789abcdef --format json > d.json", NULL};
const struct mln_command mln_command_decision_show = {
    .noun = "decision",
    .verb = "show",
    .summary = "Show a decision: policies, input, what the rules said",
    .args = "ID|FILE",
    .examples = show_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
static const char *const replay_examples[] = {"merlon decision replay dec-0123456789abcdef", "merlon decision replay decision.json", NULL};
const struct mln_command mln_command_decision_replay = {
    .noun = "decision",
    .verb = "replay",
    .summary = "Evaluate a decision again from its policies and its input",
    .args = "ID|FILE",
    .examples = replay_examples,
    .min_args = 1,
    .max_args = 1,
    .more = "The evaluation is this program's own, not the server's. Exit codes: 0 equal, 5 different (or not what its digests\n"
            "name), 8 different, but parts of the input are masked.",
    .run = run_replay,
};
