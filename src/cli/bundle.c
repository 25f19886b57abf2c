/* SPDX-License-Identifier: Apache-2.0 */
/* merlon bundle show, list, set, delete: trust bundles, our own and those of other trust domains. */
#include "cli/cli_priv.h"

#define BUNDLE_MAX_BYTES (1u << 20)

static const char *path_of(struct mln_cli *cli)
{
    return mln_text_format(cli->cx, "spiffe/bundles/%s", mln_cli_escape(cli, cli->args[0]));
}

/* The document itself, ready to be given to another server; certificates with --format raw. */
static struct mln_err run_show(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(
        mln_cli_call(cli, "GET", cli->n_args > 0 ? path_of(cli) : "spiffe/bundle", NULL, &reply));
    if (cli->format == MLN_FORMAT_RAW) {
        mln_cli_raw(mln_get_bytes(mln_get(reply.data, "certificates")));
        return MLN_OK;
    }
    if (cli->format == MLN_FORMAT_TABLE && cli->field == NULL) {
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        mln_json_print(&json, mln_get(reply.data, "bundle"), MLN_JSON_PRETTY);
        mln_buf_add_byte(&json, '\n');
        MLN_TRY(mln_buf_ok(cli->cx, &json));
        mln_cli_raw(mln_buf_bytes(&json));
        return MLN_OK;
    }
    return mln_cli_answer(cli, cli->field != NULL ? reply.data : mln_get(reply.data, "bundle"),
                          NULL);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "spiffe/bundles?list=true", NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static struct mln_err run_set(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    struct mln_bytes text = {0};
    struct mln_value *body = mln_object(cli->cx);
    MLN_TRY(mln_cli_read_file(cli, cli->args[1], BUNDLE_MAX_BYTES, &text));
    mln_put_bytes(cli->cx, body, "bundle", text);
    MLN_TRY(mln_cli_call(cli, "POST", path_of(cli), body, &reply));
    mln_cli_say(cli, "bundle of %s set\n", cli->args[0]);
    return MLN_OK;
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_confirm(cli, "deleting the bundle: workloads stop trusting that domain"));
    MLN_TRY(mln_cli_call(cli, "DELETE", path_of(cli), NULL, &reply));
    mln_cli_say(cli, "deleted\n");
    return MLN_OK;
}

static const struct mln_flag delete_flags[] = {
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask on a terminal"},
    {0},
};
static const char *const show_examples[] = {
    "merlon bundle show >example.org.json",
    "merlon bundle show --format raw",
    "merlon bundle show other.example",
    NULL,
};
static const char *const list_examples[] = {"merlon bundle list", NULL};
static const char *const set_examples[] = {"merlon bundle set other.example other.json", NULL};
static const char *const delete_examples[] = {"merlon bundle delete other.example --yes", NULL};

const struct mln_command mln_command_bundle_show = {
    .noun = "bundle",
    .verb = "show",
    .summary = "Print a trust bundle: this server's own, or another trust domain's",
    .args = "[DOMAIN]",
    .examples = show_examples,
    .max_args = 1,
    .more = "Printed is the SPIFFE bundle document; --format raw prints its certificates in PEM.",
    .run = run_show,
};
const struct mln_command mln_command_bundle_list = {
    .noun = "bundle",
    .verb = "list",
    .summary = "List trust domains whose bundles are here",
    .args = "",
    .examples = list_examples,
    .run = run_list,
};
const struct mln_command mln_command_bundle_set = {
    .noun = "bundle",
    .verb = "set",
    .summary = "Take the bundle of another trust domain from a file",
    .args = "DOMAIN FILE",
    .examples = set_examples,
    .min_args = 2,
    .max_args = 2,
    .more = "FILE is a SPIFFE bundle document or PEM certificates; \"-\" reads stdin. Make sure "
            "that it comes from whom it says.",
    .run = run_set,
};
const struct mln_command mln_command_bundle_delete = {
    .noun = "bundle",
    .verb = "delete",
    .summary = "Forget the bundle of another trust domain",
    .args = "DOMAIN",
    .examples = delete_examples,
    .flags = delete_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
