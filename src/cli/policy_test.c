/* SPDX-License-Identifier: Apache-2.0 */
/* merlon policy test: what would rules for requests say of a request that a file describes? docs/rules.md */
#include "assure/rules.h"
#include "cli/cli_priv.h"

#include "base/yaml.h"

#define RULE_MAX    ((size_t)256 << 10)
#define REQUEST_MAX ((size_t)4 << 20)

static struct mln_err read_request(struct mln_cli *cli, const struct mln_value **ret)
{
    const char *path = mln_cli_text(cli, "request");
    struct mln_bytes text;
    if (path == NULL) {
        return mln_cli_usage(cli, "--request FILE says what is asked");
    }
    MLN_TRY(mln_cli_read_file(cli, path, REQUEST_MAX, &text));
    MLN_TRY(mln_yaml_parse(cli->cx, text, ret));
    return mln_type_of(mln_get(*ret, "request")) == MLN_OBJECT
               ? MLN_OK
               : mln_fail(cli->cx, MLN_E_INVALID, "%s: no mapping with \"request\" (path, operation, data)", path);
}

/* Each file alone, as the server judges each rule alone. */
static struct mln_err judge(struct mln_cli *cli, const char *path, const struct mln_value *input, struct mln_value *findings,
                            bool *is_denied)
{
    static const char *const heads[] = {"deny", "warn", NULL};
    MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
    struct mln_rego_source source = {.name = path};
    const struct mln_value *said = NULL, *messages = NULL;
    MLN_TRY(mln_cli_read_file(cli, path, RULE_MAX, &source.text));
    struct mln_rules_options o = {.modules = &source, .n_modules = 1, .prefix = "data", .heads = heads};
    struct mln_rules_question q = {.input = input, .now_ns = mln_now_ns()};
    MLN_TRY(mln_rules_new(cli->cx, &o, &rules));
    if (mln_rules_count(rules) == 0) {
        return mln_fail(cli->cx, MLN_E_INVALID, "%s: no rule deny or warn", path);
    }
    MLN_TRY(mln_rules_ask(rules, cli->cx, &q, &said));
    MLN_TRY(mln_rules_messages(cli->cx, said, NULL, &messages));
    for (size_t i = 0; i < mln_len(messages); i++) {
        struct mln_value *m = mln_value_dup(cli->cx, mln_item(messages, i));
        *is_denied = *is_denied || mln_is_text(mln_get(m, "rule"), "deny");
        mln_put_text(cli->cx, m, "file", path);
        mln_push(cli->cx, findings, m);
    }
    return mln_cx_err(cli->cx);
}

static void table(struct mln_cli *cli, const struct mln_value *v)
{
    const struct mln_value *all = mln_get(v, "findings");
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_value *m = mln_item(all, i);
        mln_cli_out("%s  %s: %s\n", mln_get_text(cli->cx, mln_get(m, "rule"), ""), mln_get_text(cli->cx, mln_get(m, "file"), ""),
                    mln_get_text(cli->cx, mln_get(m, "msg"), ""));
    }
    mln_cli_out("%s\n", mln_get_text(cli->cx, mln_get(v, "verdict"), ""));
}

static struct mln_err run(struct mln_cli *cli)
{
    const struct mln_value *input = NULL;
    struct mln_value *v = mln_object(cli->cx), *findings = mln_array(cli->cx);
    bool is_denied = false;
    MLN_TRY(read_request(cli, &input));
    for (size_t i = 0; i < cli->n_args; i++) {
        struct mln_err err = judge(cli, cli->args[i], input, findings, &is_denied);
        if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_TIMEOUT)) {
            const char *why = mln_text_dup(cli->cx, mln_bytes_of(cli->cx->text));
            return mln_refail(cli->cx, MLN_E_UNJUDGED, "%s", why);
        }
        MLN_TRY(err);
    }
    mln_put_text(cli->cx, v, "verdict", is_denied ? "deny" : "allow");
    mln_put(cli->cx, v, "findings", findings);
    MLN_TRY(mln_cli_answer(cli, v, table));
    cli->exit_code = is_denied ? mln_err_exit(MLN_E_VERDICT) : 0;
    return MLN_OK;
}

static const struct mln_flag flags[] = {
    {"request", MLN_FLAG_TEXT, "FILE", NULL, "What is asked, JSON or YAML: request, token, entity, mount"},
    {0},
};
static const char *const examples[] = {
    "merlon policy test office-hours.rego --request request.yaml",
    "merlon policy test rules/*.rego --request request.json --format json",
    NULL,
};
const struct mln_command mln_command_policy_test = {
    .noun = "policy",
    .verb = "test",
    .summary = "Ask rules for requests about a request that a file describes",
    .args = "RULE.rego...",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .more = "The file is the rules' input: {\"request\": {\"path\", \"operation\", \"data\"}, \"token\": {..},\n"
            "\"entity\": {..}}. Exit codes: 0 allowed, 5 denied, 8 could not be judged. Rules named test_* are run by merlon rego test.",
    .run = run,
};
