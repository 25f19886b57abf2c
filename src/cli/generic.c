/* SPDX-License-Identifier: Apache-2.0 */
/* merlon read, write, list, delete, unwrap, path-help: any path of the API, as vault's command has them. */
#include "cli/cli_priv.h"

static const char *target_of(struct mln_cli *cli)
{
    struct mln_bytes path = mln_bytes_of(cli->args[0]);
    while (path.len > 0 && path.ptr[0] == '/') {
        path = mln_bytes_from(path, 1);
    }
    return mln_cli_escape(cli, mln_text_dup(cli->cx, path));
}

/* KEY=VALUE arguments behind the path as a query: "" or "?a=b&c=d". */
static struct mln_err query_of(struct mln_cli *cli, const char *first, const char **ret)
{
    struct mln_value *pairs = NULL;
    const char *query = first;
    MLN_TRY(mln_cli_pairs(cli, 1, &pairs));
    for (size_t i = 0; i < mln_len(pairs); i++) {
        const struct mln_member *m = mln_member_at(pairs, i);
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        mln_percent_print(&text, m->key);
        mln_buf_add_byte(&text, '=');
        mln_percent_print(&text, mln_bytes_of(mln_cli_scalar(cli, &m->value)));
        MLN_TRY(mln_buf_ok(cli->cx, &text));
        query = mln_text_format(cli->cx, "%s%s%.*s", query, query[0] == 0 ? "?" : "&", MLN_FMT(mln_buf_bytes(&text)));
    }
    *ret = query;
    return mln_cx_err(cli->cx);
}

static struct mln_err run_read(struct mln_cli *cli)
{
    const char *query = NULL;
    struct mln_cli_reply reply = {0};
    MLN_TRY(query_of(cli, "", &query));
    MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "%s%s", target_of(cli), query), NULL, &reply));
    return mln_cli_reply_print(cli, &reply, "Nothing there.");
}

static struct mln_err run_write(struct mln_cli *cli)
{
    struct mln_value *data = NULL;
    struct mln_cli_reply reply = {0};
    bool has_none = cli->n_args == 1;
    if (has_none && !mln_cli_bool(cli, "force")) {
        return mln_cli_usage(cli, "KEY=VALUE is needed, or --force to write nothing");
    }
    MLN_TRY(mln_cli_pairs(cli, 1, &data));
    MLN_TRY(mln_cli_call(cli, "PUT", target_of(cli), has_none ? NULL : data, &reply));
    return mln_cli_reply_print(cli, &reply, mln_text_format(cli->cx, "Success! Data written to: %s", cli->args[0]));
}

static struct mln_err show_names(struct mln_cli *cli, const char *how)
{
    const char *query = NULL;
    struct mln_cli_reply reply = {0};
    MLN_TRY(query_of(cli, how, &query));
    MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "%s%s", target_of(cli), query), NULL, &reply));
    const struct mln_value *keys = mln_get(reply.data, "keys");
    return mln_cli_answer(cli, cli->field != NULL ? reply.data : keys != NULL ? keys : mln_array(cli->cx), NULL);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    return show_names(cli, "?list=true");
}

static struct mln_err run_scan(struct mln_cli *cli)
{
    return show_names(cli, "?scan=true");
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    const char *query = NULL;
    struct mln_cli_reply reply = {0};
    MLN_TRY(query_of(cli, "", &query));
    MLN_TRY(mln_cli_call(cli, "DELETE", mln_text_format(cli->cx, "%s%s", target_of(cli), query), NULL, &reply));
    return mln_cli_reply_print(cli, &reply,
                               mln_text_format(cli->cx, "Success! Data deleted (if it existed) at: %s", cli->args[0]));
}

static struct mln_err run_unwrap(struct mln_cli *cli)
{
    struct mln_bytes token = MLN_BYTES_NONE;
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cli->cx);
    if (cli->n_args > 0) {
        MLN_TRY(mln_cli_secret(cli, cli->args[0], "Wrapping token", false, &token));
        mln_put(cli->cx, body, "token", mln_secret_string(cli->cx, token));
    }
    MLN_TRY(mln_cli_call(cli, "PUT", "sys/wrapping/unwrap", cli->n_args > 0 ? body : NULL, &reply));
    return mln_cli_reply_print(cli, &reply, "The wrapped answer was empty.");
}

static void help_table(struct mln_cli *cli, const struct mln_value *v)
{
    mln_cli_out("%s\n", mln_cli_scalar(cli, mln_get(v, "help")));
    const struct mln_value *more = mln_get(v, "see_also");
    for (size_t i = 0; i < mln_len(more); i++) {
        mln_cli_out("  %s\n", mln_cli_scalar(cli, mln_item(more, i)));
    }
}

static struct mln_err run_path_help(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "%s?help=1", target_of(cli)), NULL, &reply));
    return mln_cli_answer(cli, reply.body, help_table);
}

/* ---- descriptors ---- */

static const struct mln_flag write_flags[] = {{"force", MLN_FLAG_BOOL, NULL, NULL, "Write without data (also -f)"}, {0}};

static const char *const read_examples[] = {"merlon read auth/token/lookup-self", "merlon read pki/cert/ca --field certificate",
                                            "merlon read secret/data/a version=2", NULL};
const struct mln_command mln_command_read = {
    .noun = "read",
    .summary = "Read any path",
    .args = "PATH [KEY=VALUE...]",
    .examples = read_examples,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_read,
};
static const char *const write_examples[] = {"merlon write auth/approle/role/ci token_ttl=20m token_policies=ci",
                                             "merlon write pki/issue/web common_name=a.example.com ttl=24h",
                                             "merlon write --force transit/keys/models/rotate", NULL};
const struct mln_command mln_command_write = {
    .noun = "write",
    .summary = "Write to any path",
    .args = "PATH [KEY=VALUE... | @FILE.json | -]",
    .examples = write_examples,
    .flags = write_flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_write,
    .more = "A VALUE of - is read from stdin and @FILE from a file, so that it is not seen among the arguments. A lone - or @FILE is\n"
            "the whole data as JSON. A KEY that stands twice becomes a list.",
};
static const char *const list_examples[] = {"merlon list auth/approle/role", "merlon list pki/certs --format json", NULL};
const struct mln_command mln_command_list = {
    .noun = "list",
    .summary = "List names below any path",
    .args = "PATH [KEY=VALUE...]",
    .examples = list_examples,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_list,
};
static const char *const scan_examples[] = {"merlon scan secret/metadata", "merlon scan kv/teams limit=100", NULL};
const struct mln_command mln_command_scan = {
    .noun = "scan",
    .summary = "List all names below any path, however deep",
    .args = "PATH [KEY=VALUE...]",
    .examples = scan_examples,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_scan,
};
static const char *const delete_examples[] = {"merlon delete auth/approle/role/ci", NULL};
const struct mln_command mln_command_delete = {
    .noun = "delete",
    .summary = "Delete at any path",
    .args = "PATH [KEY=VALUE...]",
    .examples = delete_examples,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_delete,
};
static const char *const unwrap_examples[] = {"merlon unwrap @wrapped", "merlon unwrap --field password - < wrapped", NULL};
const struct mln_command mln_command_unwrap = {
    .noun = "unwrap",
    .summary = "Take out an answer that was wrapped, once",
    .args = "[- | @FILE]",
    .examples = unwrap_examples,
    .max_args = 1,
    .run = run_unwrap,
    .more = "Without an argument the token in use is the wrapping token.",
};
static const char *const help_examples[] = {"merlon path-help transit", "merlon path-help sys/mounts", NULL};
const struct mln_command mln_command_path_help = {
    .noun = "path-help",
    .summary = "Show what a path of the API is for",
    .args = "PATH",
    .examples = help_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_path_help,
};
