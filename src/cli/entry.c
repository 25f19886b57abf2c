/* SPDX-License-Identifier: Apache-2.0 */
/* merlon entry create, list, show, update, delete: registration entries, also with the flags of spire-server. */
#include "cli/entry_priv.h"

#define PAGE 1000

const struct mln_value *entry_all_of(struct mln_cli *cli, const char *flag, const char *other)
{
    struct mln_value *all = mln_array(cli->cx);
    for (size_t i = 0; i < cli->n_sets; i++) {
        struct mln_bytes name = mln_bytes_of(cli->sets[i].flag->name);
        if (mln_bytes_is(name, flag) || (other != NULL && mln_bytes_is(name, other))) {
            mln_push_text(cli->cx, all, cli->sets[i].text);
        }
    }
    return all;
}

const char *entry_text(struct mln_cli *cli, const char *flag, const char *other)
{
    const char *text = mln_cli_text(cli, flag);
    return text != NULL ? text : mln_cli_text(cli, other);
}

const char *entry_query(struct mln_cli *cli, const char *name, const char *value)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    if (value == NULL) {
        return "";
    }
    mln_percent_print(&text, mln_bytes_of(value));
    return mln_text_format(cli->cx, "&%s=%.*s", name, MLN_FMT(mln_buf_bytes(&text)));
}

static const struct {
    const char *flag, *other, *member;
} texts[] = {
    {"spiffe-id", "spiffeID", "spiffe_id"},
    {"parent-id", "parentID", "parent_id"},
    {"x509-svid-ttl", "x509SVIDTTL", "x509_svid_ttl"},
    {"jwt-svid-ttl", "jwtSVIDTTL", "jwt_svid_ttl"},
    {"hint", NULL, "hint"},
    {"expires-at", "entryExpiry", "expires_at"},
};
static const struct {
    const char *flag, *other, *member;
} lists[] = {
    {"selector", NULL, "selectors"},
    {"dns", NULL, "dns_names"},
    {"federates-with", "federatesWith", "federates_with"},
};
static const struct {
    const char *flag, *other, *member;
} marks[] = {
    {"admin", NULL, "admin"},
    {"downstream", NULL, "downstream"},
    {"store-svid", "storeSVID", "store_svid"},
};

static struct mln_value *body_of(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        const char *text =
            entry_text(cli, texts[i].flag, texts[i].other != NULL ? texts[i].other : texts[i].flag);
        if (text != NULL) {
            mln_put_text(cli->cx, body, texts[i].member, text);
        }
    }
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        const struct mln_value *all = entry_all_of(cli, lists[i].flag, lists[i].other);
        if (mln_len(all) > 0) {
            mln_put(cli->cx, body, lists[i].member, all);
        }
    }
    for (size_t i = 0; i < MLN_COUNT(marks); i++) {
        const char *text =
            entry_text(cli, marks[i].flag, marks[i].other != NULL ? marks[i].other : marks[i].flag);
        if (text != NULL) {
            mln_put_bool(cli->cx, body, marks[i].member, mln_bytes_is(mln_bytes_of(text), "true"));
        }
    }
    return body;
}

/* ---- output ---- */

static const char *joined(struct mln_cli *cli, const struct mln_value *list)
{
    const char *text = "";
    for (size_t i = 0; i < mln_len(list); i++) {
        text = mln_text_format(cli->cx, "%s%s%s", text, i > 0 ? " " : "",
                               mln_cli_scalar(cli, mln_item(list, i)));
    }
    return text;
}

void entry_table(struct mln_cli *cli, const struct mln_value *entries)
{
    static const char *const heads[] = {"ID", "SPIFFE ID", "PARENT", "SELECTORS", "HINT"};
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    for (size_t i = 0; i < mln_len(entries); i++) {
        const struct mln_value *e = mln_item(entries, i);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(e, "id")), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(e, "spiffe_id")), MLN_INK_BOLD);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(e, "parent_id")), MLN_INK_NONE);
        mln_table_add(cli, &t, joined(cli, mln_get(e, "selectors")), MLN_INK_NONE);
        mln_table_add(cli, &t,
                      mln_len(mln_get(e, "hint")) > 0 ? mln_cli_scalar(cli, mln_get(e, "hint"))
                                                      : NULL,
                      MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

static const char *path_of(struct mln_cli *cli)
{
    const char *id = cli->n_args > 0 ? cli->args[0] : mln_cli_text(cli, "entryID");
    return id == NULL ? NULL
                      : mln_text_format(cli->cx, "spiffe/entries/%s", mln_cli_escape(cli, id));
}

/* ---- the commands ---- */

static struct mln_err run_create(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = body_of(cli);
    const char *id = entry_text(cli, "id", "entryID");
    if (mln_get(body, "spiffe_id") == NULL || mln_get(body, "selectors") == NULL) {
        return mln_cli_usage(cli, "--spiffe-id and at least one --selector are needed");
    }
    if (id != NULL) {
        mln_put_text(cli->cx, body, "id", id);
    }
    struct mln_err err = mln_cli_call(cli, "POST", "spiffe/entries", body, &reply);
    if (mln_is(err, MLN_E_PRECONDITION)) {
        cli->hint = "start the server with --trust-domain NAME";
    }
    MLN_TRY(err);
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err add_page(struct mln_cli *cli, const struct mln_value *data,
                               struct mln_value *all, const char **after)
{
    const struct mln_value *keys = mln_get(data, "keys"), *info = mln_get(data, "key_info");
    for (size_t i = 0; i < mln_len(keys); i++) {
        const struct mln_value *e = mln_get_key(info, mln_get_bytes(mln_item(keys, i)));
        if (e != NULL) {
            mln_push(cli->cx, all, e);
        }
    }
    *after = mln_get_bool(mln_get(data, "has_more"), false)
                 ? mln_get_text(cli->cx, mln_item(keys, mln_len(keys) - 1), NULL)
                 : NULL;
    return mln_cx_err(cli->cx);
}

struct mln_err entry_fetch(struct mln_cli *cli, const char *query, const struct mln_value **ret)
{
    struct mln_value *all = mln_array(cli->cx);
    const char *after = NULL;
    do {
        struct mln_cli_reply reply = {0};
        const char *path = mln_text_format(cli->cx, "spiffe/entries?list=true&limit=%d%s%s", PAGE,
                                           query, entry_query(cli, "after", after));
        MLN_TRY(mln_cx_err(cli->cx));
        MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
        MLN_TRY(add_page(cli, reply.data, all, &after));
    } while (after != NULL);
    *ret = all;
    return mln_cx_err(cli->cx);
}

static struct mln_err run_list(struct mln_cli *cli)
{
    const struct mln_value *all = NULL, *selectors = entry_all_of(cli, "selector", NULL);
    const char *query = mln_text_format(
        cli->cx, "%s%s%s", entry_query(cli, "spiffe_id", entry_text(cli, "spiffe-id", "spiffeID")),
        entry_query(cli, "parent_id", entry_text(cli, "parent-id", "parentID")),
        entry_query(cli, "hint", mln_cli_text(cli, "hint")));
    for (size_t i = 0; i < mln_len(selectors); i++) {
        const char *one = mln_get_text(cli->cx, mln_item(selectors, i), "");
        query = i == 0 ? mln_text_format(cli->cx, "%s%s", query, entry_query(cli, "selectors", one))
                       : mln_text_format(cli->cx, "%s,%s", query, entry_query(cli, "", one) + 2);
    }
    MLN_TRY(entry_fetch(cli, query, &all));
    return mln_cli_answer(cli, all, entry_table);
}

static struct mln_err run_show(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    if (path_of(cli) == NULL) {
        return run_list(cli); /* as "spire-server entry show" */
    }
    MLN_TRY(mln_cli_call(cli, "GET", path_of(cli), NULL, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_update(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = body_of(cli);
    if (path_of(cli) == NULL || mln_len(body) == 0) {
        return mln_cli_usage(cli, "an entry's id and what is to change are needed");
    }
    MLN_TRY(mln_cli_call(cli, "POST", path_of(cli), body, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    if (path_of(cli) == NULL) {
        return mln_cli_usage(cli, "an entry's id is needed");
    }
    MLN_TRY(mln_cli_call(cli, "DELETE", path_of(cli), NULL, &reply));
    mln_cli_say(cli, "deleted\n");
    return MLN_OK;
}

#define SPIRE(name, hint)                                                                          \
    {                                                                                              \
        name, MLN_FLAG_TEXT, hint, NULL, "As spire-server spells it"                               \
    }
#define ENTRY_FLAGS                                                                                \
    {"spiffe-id", MLN_FLAG_TEXT, "ID", NULL, "The identity: spiffe://example.org/web"},            \
        {"selector", MLN_FLAG_TEXT, "TYPE:VALUE", NULL,                                            \
         "What a process must show, e.g. unix:uid:1000; give it several times for all of"},        \
        {"parent-id", MLN_FLAG_TEXT, "ID", NULL,                                                   \
         "The node that serves it (default: the server itself)"},                                  \
        {"x509-svid-ttl", MLN_FLAG_TEXT, "TIME", NULL, "Life of its X.509-SVIDs"},                 \
        {"jwt-svid-ttl", MLN_FLAG_TEXT, "TIME", NULL, "Life of its JWT-SVIDs"},                    \
        {"dns", MLN_FLAG_TEXT, "NAME", NULL, "DNS name in its certificates; several times"},       \
        {"federates-with", MLN_FLAG_TEXT, "DOMAIN", NULL,                                          \
         "Trust domain whose bundle it gets; several times"},                                      \
        {"hint", MLN_FLAG_TEXT, "TEXT", NULL,                                                      \
         "What this identity is for, when a process has several"},                                 \
        {"admin", MLN_FLAG_BOOL, NULL, NULL, "It may manage the server"},                          \
        {"downstream", MLN_FLAG_BOOL, NULL, NULL, "It is a server below this one"},                \
        {"store-svid", MLN_FLAG_BOOL, NULL, NULL, "Its SVIDs are kept elsewhere for it"},          \
        {"expires-at", MLN_FLAG_TEXT, "SECONDS", NULL, "When it ends, in seconds since 1970"},     \
        SPIRE("spiffeID", "ID"), SPIRE("parentID", "ID"), SPIRE("x509SVIDTTL", "SECONDS"),         \
        SPIRE("jwtSVIDTTL", "SECONDS"), SPIRE("federatesWith", "DOMAIN"), SPIRE("entryID", "ID"),  \
        SPIRE("entryExpiry", "SECONDS"),                                                           \
    {                                                                                              \
        "storeSVID", MLN_FLAG_BOOL, NULL, NULL, "As spire-server spells it"                        \
    }

static const struct mln_flag create_flags[] = {
    {"id", MLN_FLAG_TEXT, "ID", NULL, "The entry's id (default: random)"},
    ENTRY_FLAGS,
    {0},
};
static const struct mln_flag entry_flags[] = {ENTRY_FLAGS, {0}};
static const struct mln_flag list_flags[] = {
    {"spiffe-id", MLN_FLAG_TEXT, "ID", NULL, "Only those of this identity"},
    {"parent-id", MLN_FLAG_TEXT, "ID", NULL, "Only those of this parent"},
    {"selector", MLN_FLAG_TEXT, "TYPE:VALUE", NULL,
     "Only those that ask for this; several times for all of"},
    {"hint", MLN_FLAG_TEXT, "TEXT", NULL, "Only those with this hint"},
    SPIRE("spiffeID", "ID"),
    SPIRE("parentID", "ID"),
    SPIRE("entryID", "ID"),
    {0},
};

static const char *const create_examples[] = {
    "merlon entry create --spiffe-id spiffe://example.org/web --selector unix:uid:1000",
    "merlon entry create --spiffe-id spiffe://example.org/ns/prod/sa/web --selector k8s:ns:prod "
    "--selector k8s:sa:web",
    "merlon entry create -spiffeID spiffe://example.org/db -selector unix:user:postgres -dns "
    "db.example.org",
    NULL,
};
static const char *const list_examples[] = {
    "merlon entry list",
    "merlon entry list --selector unix:uid:1000 --format json",
    NULL,
};
static const char *const show_examples[] = {
    "merlon entry show 4f0d7c66-9c7b-4c58-8f39-0a3b0c9f8a11", NULL};
static const char *const update_examples[] = {
    "merlon entry update 4f0d7c66-9c7b-4c58-8f39-0a3b0c9f8a11 --x509-svid-ttl 30m", NULL};
static const char *const delete_examples[] = {
    "merlon entry delete 4f0d7c66-9c7b-4c58-8f39-0a3b0c9f8a11", NULL};

const struct mln_command mln_command_entry_create = {
    .noun = "entry",
    .verb = "create",
    .summary = "Register a workload: which process gets which SPIFFE id",
    .args = "",
    .examples = create_examples,
    .flags = create_flags,
    .run = run_create,
};
const struct mln_command mln_command_entry_list = {
    .noun = "entry",
    .verb = "list",
    .summary = "List registration entries, oldest first",
    .args = "",
    .examples = list_examples,
    .flags = list_flags,
    .run = run_list,
};
const struct mln_command mln_command_entry_show = {
    .noun = "entry",
    .verb = "show",
    .summary = "Show a registration entry",
    .args = "[ENTRY_ID]",
    .examples = show_examples,
    .flags = list_flags,
    .max_args = 1,
    .run = run_show,
};
const struct mln_command mln_command_entry_update = {
    .noun = "entry",
    .verb = "update",
    .summary = "Change a registration entry; what is not given stays",
    .args = "[ENTRY_ID]",
    .examples = update_examples,
    .flags = entry_flags,
    .max_args = 1,
    .run = run_update,
};
const struct mln_command mln_command_entry_delete = {
    .noun = "entry",
    .verb = "delete",
    .summary = "Delete a registration entry; its workload loses the identity at once",
    .args = "[ENTRY_ID]",
    .examples = delete_examples,
    .flags = list_flags,
    .max_args = 1,
    .run = run_delete,
};
