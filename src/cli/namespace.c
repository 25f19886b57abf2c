/* SPDX-License-Identifier: Apache-2.0 */
/* merlon namespace: make, list, look up, change, delete, lock and unlock. Paths are below the namespace of --namespace. */
#include "cli/cli_priv.h"

static const char *path_of(struct mln_cli *cli, const char *kind, const char *path)
{
    const char *escaped = mln_cli_escape(cli, path);
    size_t n = mln_bytes_of(escaped).len;
    n -= n > 0 && escaped[n - 1] == '/' ? 1 : 0;
    return mln_text_format(cli->cx, "sys/namespaces/%s%.*s", kind, (int)n, escaped);
}

/* "--custom-metadata team=vision", more than once. */
static struct mln_err put_metadata(struct mln_cli *cli, struct mln_value *body)
{
    const struct mln_value *pairs = mln_cli_list(cli, "custom-metadata"), *removed = mln_cli_list(cli, "remove-custom-metadata");
    struct mln_value *meta = mln_object(cli->cx);
    for (size_t i = 0; i < mln_len(pairs); i++) {
        struct mln_bytes value, pair = mln_get_bytes(mln_item(pairs, i)), name = mln_bytes_cut(pair, '=', &value);
        if (name.len == pair.len || name.len == 0) {
            return mln_cli_usage(cli, "--custom-metadata takes KEY=VALUE");
        }
        mln_put_key(cli->cx, meta, name, mln_string(cli->cx, value));
    }
    for (size_t i = 0; i < mln_len(removed); i++) {
        mln_put_key(cli->cx, meta, mln_get_bytes(mln_item(removed, i)), mln_null(cli->cx));
    }
    if (mln_len(meta) > 0) {
        mln_put(cli->cx, body, "custom_metadata", meta);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err send(struct mln_cli *cli, const char *method)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cli->cx);
    MLN_TRY(put_metadata(cli, body));
    MLN_TRY(mln_cli_call(cli, method, path_of(cli, "", cli->args[0]), body, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_create(struct mln_cli *cli)
{
    return send(cli, "PUT");
}

static struct mln_err run_patch(struct mln_cli *cli)
{
    return send(cli, "PATCH");
}

static struct mln_err run_list(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    const char *query = mln_cli_bool(cli, "recursive") ? "&recursive=true" : "";
    MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "sys/namespaces?list=true%s", query), NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, mln_cli_bool(cli, "detailed") ? "key_info" : "keys"), NULL);
}

static struct mln_err run_lookup(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", path_of(cli, "", cli->args[0]), NULL, &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_confirm(cli, mln_text_format(cli->cx, "Deleting namespace %s and all that is in it", cli->args[0])));
    MLN_TRY(mln_cli_call(cli, "DELETE", path_of(cli, "", cli->args[0]), NULL, &reply));
    mln_cli_say(cli, "Namespace %s is closed and is being deleted\n", cli->args[0]);
    return MLN_OK;
}

static struct mln_err run_lock(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    const char *path = cli->n_args == 0 ? "sys/namespaces/api-lock/lock" : path_of(cli, "api-lock/lock/", cli->args[0]);
    MLN_TRY(mln_cli_call(cli, "PUT", path, mln_object(cli->cx), &reply));
    return mln_cli_answer(cli, reply.data, NULL);
}

static struct mln_err run_unlock(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cli->cx);
    const char *path = cli->n_args == 0 ? "sys/namespaces/api-lock/unlock" : path_of(cli, "api-lock/unlock/", cli->args[0]);
    const char *from = mln_cli_text(cli, "unlock-key");
    struct mln_bytes key = MLN_BYTES_NONE;
    if (from != NULL) { /* a secret: from a file or stdin, never an argument */
        MLN_TRY(mln_cli_read_file(cli, from, 4096, &key));
        mln_put(cli->cx, body, "unlock_key", mln_secret_string(cli->cx, mln_bytes_trim(key)));
    }
    MLN_TRY(mln_cli_call(cli, "PUT", path, body, &reply));
    mln_cli_say(cli, "Unlocked\n");
    return MLN_OK;
}

static const struct mln_flag create_flags[] = {
    {"custom-metadata", MLN_FLAG_LIST, "KEY=VALUE", NULL, "Facts to keep with it"},
    {0},
};
static const struct mln_flag patch_flags[] = {
    {"custom-metadata", MLN_FLAG_LIST, "KEY=VALUE", NULL, "Facts to add or change"},
    {"remove-custom-metadata", MLN_FLAG_LIST, "KEY", NULL, "Facts to remove"},
    {0},
};
static const struct mln_flag list_flags[] = {
    {"recursive", MLN_FLAG_BOOL, NULL, NULL, "All below, not only the next level"},
    {"detailed", MLN_FLAG_BOOL, NULL, NULL, "With ids and metadata"},
    {0},
};
static const struct mln_flag delete_flags[] = {{"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"}, {0}};
static const struct mln_flag unlock_flags[] = {
    {"unlock-key", MLN_FLAG_TEXT, "FILE|-", NULL, "What locking printed; a root token needs none"},
    {0},
};

static const char *const create_examples[] = {"merlon namespace create team-vision",
                                              "merlon namespace create --custom-metadata owner=ada team-vision",
                                              "merlon namespace create --namespace team-vision staging", NULL};
const struct mln_command mln_command_namespace_create = {
    .noun = "namespace",
    .verb = "create",
    .summary = "Make a namespace",
    .args = "PATH",
    .min_args = 1,
    .max_args = 1,
    .examples = create_examples,
    .flags = create_flags,
    .run = run_create,
};
static const char *const list_examples[] = {"merlon namespace list", "merlon namespace list --recursive --detailed", NULL};
const struct mln_command mln_command_namespace_list = {
    .noun = "namespace",
    .verb = "list",
    .summary = "List namespaces",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .examples = list_examples,
    .flags = list_flags,
    .run = run_list,
};
static const char *const lookup_examples[] = {"merlon namespace lookup team-vision", NULL};
const struct mln_command mln_command_namespace_lookup = {
    .noun = "namespace",
    .verb = "lookup",
    .summary = "Show a namespace",
    .args = "PATH",
    .min_args = 1,
    .max_args = 1,
    .examples = lookup_examples,
    .run = run_lookup,
};
static const char *const patch_examples[] = {
    "merlon namespace patch --custom-metadata owner=bob --remove-custom-metadata cost team-vision", NULL};
const struct mln_command mln_command_namespace_patch = {
    .noun = "namespace",
    .verb = "patch",
    .summary = "Change a namespace's metadata",
    .args = "PATH",
    .min_args = 1,
    .max_args = 1,
    .examples = patch_examples,
    .flags = patch_flags,
    .run = run_patch,
};
static const char *const delete_examples[] = {"merlon namespace delete --yes team-vision", NULL};
const struct mln_command mln_command_namespace_delete = {
    .noun = "namespace",
    .verb = "delete",
    .summary = "Delete a namespace with all that is in it",
    .args = "PATH",
    .min_args = 1,
    .max_args = 1,
    .examples = delete_examples,
    .flags = delete_flags,
    .more = "It is closed at once. Mounts, leases, tokens, policies and identities are then deleted in the\n"
            "background, leases revoked where they came from, and its keys are destroyed last.",
    .run = run_delete,
};
static const char *const lock_examples[] = {"merlon namespace lock team-vision", NULL};
const struct mln_command mln_command_namespace_lock = {
    .noun = "namespace",
    .verb = "lock",
    .summary = "Refuse all requests to a namespace until it is unlocked",
    .args = "[PATH]",
    .min_args = 0,
    .max_args = 1,
    .examples = lock_examples,
    .run = run_lock,
};
static const char *const unlock_examples[] = {"merlon namespace unlock --unlock-key - team-vision < key", NULL};
const struct mln_command mln_command_namespace_unlock = {
    .noun = "namespace",
    .verb = "unlock",
    .summary = "Let requests in again",
    .args = "[PATH]",
    .min_args = 0,
    .max_args = 1,
    .examples = unlock_examples,
    .flags = unlock_flags,
    .run = run_unlock,
};
