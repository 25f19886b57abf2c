/* SPDX-License-Identifier: Apache-2.0 */
/* merlon federation create, list, show, update, delete, refresh: relationships with other trust domains. */
#include "cli/entry_priv.h"

#define CA_MAX_BYTES     (64u << 10)
#define BUNDLE_MAX_BYTES (1u << 20) /* as the server takes */

static const char *path_of(struct mln_cli *cli, const char *more)
{
    return mln_text_format(cli->cx, "spiffe/federation/%s%s", mln_cli_escape(cli, cli->args[0]),
                           more);
}

static struct mln_err put_file(struct mln_cli *cli, const char *flag, size_t max_bytes,
                               struct mln_value *body, const char *member)
{
    const char *path = mln_cli_text(cli, flag);
    struct mln_bytes text = {0};
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_cli_read_file(cli, path, max_bytes, &text));
    mln_put_bytes(cli->cx, body, member, text);
    return mln_cx_err(cli->cx);
}

static struct mln_err send(struct mln_cli *cli)
{
    static const char *const texts[][2] = {
        {"url", "url"}, {"profile", "profile"}, {"endpoint-id", "endpoint_spiffe_id"}};
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cli->cx);
    const struct mln_value *ids = entry_all_of(cli, "allow-id", NULL);
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        if (mln_cli_text(cli, texts[i][0]) != NULL) {
            mln_put_text(cli->cx, body, texts[i][1], mln_cli_text(cli, texts[i][0]));
        }
    }
    MLN_TRY(put_file(cli, "ca-file", CA_MAX_BYTES, body, "ca_pem"));
    MLN_TRY(put_file(cli, "bundle-file", BUNDLE_MAX_BYTES, body, "bundle"));
    if (mln_len(ids) > 0) {
        mln_put(cli->cx, body, "allowed_ids", ids);
    }
    MLN_TRY(mln_cli_call(cli, "POST", path_of(cli, ""), body, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_create(struct mln_cli *cli)
{
    return mln_cli_text(cli, "url") != NULL
               ? send(cli)
               : mln_cli_usage(cli, "--url is needed: where the other domain publishes its bundle");
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "spiffe/federation?list=true", NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static struct mln_err run_show(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", path_of(cli, ""), NULL, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "DELETE", path_of(cli, ""), NULL, &reply));
    mln_cli_say(cli, "deleted; its bundle stays until 'merlon bundle delete'\n");
    return MLN_OK;
}

static struct mln_err run_refresh(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "POST", path_of(cli, "/refresh"), mln_object(cli->cx), &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static const struct mln_flag flags[] = {
    {"url", MLN_FLAG_TEXT, "URL", NULL, "Bundle endpoint of the other domain: https://..."},
    {"profile", MLN_FLAG_TEXT, "NAME", NULL,
     "How the endpoint shows who it is: https_web (default) or https_spiffe"},
    {"endpoint-id", MLN_FLAG_TEXT, "ID", NULL, "https_spiffe: whose X.509-SVID it must show"},
    {"bundle-file", MLN_FLAG_TEXT, "FILE", NULL,
     "First bundle of that domain, JSON or PEM: needed to verify https_spiffe"},
    {"ca-file", MLN_FLAG_TEXT, "FILE", NULL,
     "PEM authorities for its certificate (default: the system's)"},
    {"allow-id", MLN_FLAG_TEXT, "PATTERN", NULL,
     "Ids of that domain that count in logins; several times (default: all)"},
    {0},
};
static const char *const create_examples[] = {
    "merlon federation create other.example --url https://spiffe.other.example/bundle",
    "merlon federation create other.example --url "
    "https://m.other.example:8200/v1/spiffe/bundle/endpoint --allow-id "
    "'spiffe://other.example/ns/prod/**'",
    "merlon federation create other.example --url https://spire.other.example:8443 --profile "
    "https_spiffe --endpoint-id spiffe://other.example/spire/server --bundle-file other.json",
    NULL,
};
static const char *const list_examples[] = {"merlon federation list", NULL};
static const char *const show_examples[] = {"merlon federation show other.example", NULL};
static const char *const update_examples[] = {
    "merlon federation update other.example --ca-file ca.pem", NULL};
static const char *const delete_examples[] = {"merlon federation delete other.example", NULL};
static const char *const refresh_examples[] = {"merlon federation refresh other.example", NULL};

const struct mln_command mln_command_federation_create = {
    .noun = "federation",
    .verb = "create",
    .summary = "Fetch the bundle of another trust domain from now on",
    .args = "DOMAIN",
    .examples = create_examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};
const struct mln_command mln_command_federation_list = {
    .noun = "federation",
    .verb = "list",
    .summary = "List trust domains whose bundles are fetched",
    .args = "",
    .examples = list_examples,
    .run = run_list,
};
const struct mln_command mln_command_federation_show = {
    .noun = "federation",
    .verb = "show",
    .summary = "Show a relationship, and why its bundle could not be fetched",
    .args = "DOMAIN",
    .examples = show_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
const struct mln_command mln_command_federation_update = {
    .noun = "federation",
    .verb = "update",
    .summary = "Change a relationship; what is not given stays",
    .args = "DOMAIN",
    .examples = update_examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = send,
};
const struct mln_command mln_command_federation_delete = {
    .noun = "federation",
    .verb = "delete",
    .summary = "Fetch no more; the bundle that is here stays",
    .args = "DOMAIN",
    .examples = delete_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
const struct mln_command mln_command_federation_refresh = {
    .noun = "federation",
    .verb = "refresh",
    .summary = "Fetch the bundle now",
    .args = "DOMAIN",
    .examples = refresh_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_refresh,
};
