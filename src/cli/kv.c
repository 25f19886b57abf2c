/* SPDX-License-Identifier: Apache-2.0 */
/* merlon kv: secrets of both versions of the engine, with the mount found by the server as vault's command does. */
#include "cli/cli_priv.h"

#include "base/limits.h"

#define MOUNT_FLAG                                                                                 \
    {                                                                                              \
        "mount", MLN_FLAG_TEXT, "MOUNT", NULL, "Mount, when the path is given below it"            \
    }
static const struct mln_flag plain_flags[] = {MOUNT_FLAG, {0}};
static const struct mln_flag get_flags[] = {
    MOUNT_FLAG, {"version", MLN_FLAG_INT, "N", NULL, "An older version"}, {0}};
static const struct mln_flag put_flags[] = {
    MOUNT_FLAG,
    {"cas", MLN_FLAG_INT, "N", NULL, "Only if the newest version is N (0: only if new)"},
    {0}};
static const struct mln_flag versions_flags[] = {
    MOUNT_FLAG, {"versions", MLN_FLAG_LIST, "N,N", NULL, "Which versions"}, {0}};
static const struct mln_flag metadata_flags[] = {
    MOUNT_FLAG,
    {"max-versions", MLN_FLAG_INT, "N", NULL, "Versions to keep (put)"},
    {"cas-required", MLN_FLAG_TEXT, "true|false", NULL,
     "Writes must name the version they replace (put)"},
    {"delete-version-after", MLN_FLAG_TEXT, "TIME", NULL, "Versions end after this time (put)"},
    {"custom-metadata", MLN_FLAG_LIST, "KEY=VALUE", NULL, "Facts to keep beside it (put)"},
    {0},
};

/*
 * "<mount>/<kind>/<path below it>", asking the server where the mount ends. Where it has version 1, "<mount>/<path below it>":
 * *ret_plain says so; NULL: only version 2 will do.
 */
static struct mln_err full_path(struct mln_cli *cli, const char *path, const char *kind,
                                bool *ret_plain, const char **ret)
{
    const char *mount = mln_cli_text(cli, "mount");
    struct mln_cli_reply reply = {0};
    struct mln_bytes whole =
        mln_bytes_of(mount != NULL ? mln_text_format(cli->cx, "%s/%s", mount, path) : path);
    while (whole.len > 0 && whole.ptr[0] == '/') {
        whole = mln_bytes_from(whole, 1);
    }
    const char *text = mln_text_dup(cli->cx, whole);
    cli->asks_bare = true;
    struct mln_err err = mln_cli_call(cli, "GET", mln_text_format(cli->cx, "sys/internal/ui/mounts/%s", mln_cli_escape(cli, text)), NULL,
                                      &reply);
    cli->asks_bare = false;
    MLN_TRY(err);
    struct mln_bytes at = mln_get_bytes(mln_get(reply.data, "path"));
    bool is_plain = !mln_is_text(mln_get(mln_get(reply.data, "options"), "version"), "2");
    if (!mln_is_text(mln_get(reply.data, "type"), "kv") || (is_plain && ret_plain == NULL)) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "%.*s is not a version 2 key-value mount",
                        MLN_FMT(at));
    }
    struct mln_bytes rest = whole.len > at.len ? mln_bytes_from(whole, at.len) : MLN_BYTES_NONE;
    bool has_slash = !is_plain && rest.len > 0;
    *ret = mln_text_format(cli->cx, "%.*s%s%s%s", MLN_FMT(at), is_plain ? "" : kind, has_slash ? "/" : "",
                           mln_cli_escape(cli, mln_text_dup(cli->cx, rest)));
    if (ret_plain != NULL) {
        *ret_plain = is_plain;
    }
    return mln_cx_err(cli->cx);
}

static void print_section(struct mln_cli *cli, const char *title, const struct mln_value *object)
{
    static const char *const heads[] = {"KEY", "VALUE"};
    if (cli->is_tty_out) {
        mln_cli_out("%s%s%s\n", mln_cli_ink(cli, MLN_INK_BOLD), title,
                    mln_cli_ink(cli, MLN_INK_NONE));
    }
    struct mln_table t = {.heads = heads, .n_columns = 2};
    for (size_t i = 0; i < mln_len(object); i++) {
        const struct mln_member *m = mln_member_at(object, i);
        mln_table_add(cli, &t, mln_text_dup(cli->cx, m->key), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, &m->value), MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

static void get_table(struct mln_cli *cli, const struct mln_value *data)
{
    if (cli->is_tty_out) {
        print_section(cli, "Metadata", mln_get(data, "metadata"));
        mln_cli_out("\n");
    }
    print_section(cli, "Data", mln_get(data, "data"));
}

static void get_plain_table(struct mln_cli *cli, const struct mln_value *data)
{
    print_section(cli, "Data", data);
}

static struct mln_err get_plain(struct mln_cli *cli, const char *path)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
    bool is_bare = cli->field != NULL || cli->format == MLN_FORMAT_TABLE;
    return mln_cli_answer(cli, is_bare ? reply.data : reply.body, get_plain_table);
}

static struct mln_err run_get(struct mln_cli *cli)
{
    const char *path = NULL;
    int64_t version = 0;
    bool is_plain = false;
    MLN_TRY(mln_cli_int(cli, "version", 0, &version));
    MLN_TRY(full_path(cli, cli->args[0], "data", version > 0 ? NULL : &is_plain, &path));
    struct mln_cli_reply reply = {0};
    if (is_plain) {
        return get_plain(cli, path);
    }
    MLN_TRY(mln_cli_call(
        cli, "GET",
        version > 0 ? mln_text_format(cli->cx, "%s?version=%lld", path, (long long)version) : path,
        NULL, &reply));
    if (mln_type_of(mln_get(reply.body, "wrap_info")) == MLN_OBJECT) {
        return mln_cli_reply_print(cli, &reply, "");
    }
    if (cli->field != NULL && mln_get(mln_get(reply.data, "data"), cli->field) != NULL) {
        return mln_cli_answer(cli, mln_get(reply.data, "data"), NULL);
    }
    return mln_cli_answer(cli, cli->format == MLN_FORMAT_TABLE ? reply.data : reply.body,
                          get_table);
}

static struct mln_err write_data(struct mln_cli *cli, const char *method)
{
    struct mln_value *data = NULL;
    const char *path = NULL;
    int64_t cas = -1;
    bool is_plain = false, is_put = mln_bytes_is(mln_bytes_of(method), "PUT");
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_pairs(cli, 1, &data));
    MLN_TRY(mln_cli_int(cli, "cas", -1, &cas));
    MLN_TRY(full_path(cli, cli->args[0], "data", is_put && cas < 0 ? &is_plain : NULL, &path));
    if (is_plain) {
        return mln_cli_call(cli, method, path, data, &reply);
    }
    struct mln_value *body = mln_object(cli->cx);
    mln_put(cli->cx, body, "data", data);
    if (cas >= 0) {
        struct mln_value *options = mln_object(cli->cx);
        mln_put_int(cli->cx, options, "cas", cas);
        mln_put(cli->cx, body, "options", options);
    }
    MLN_TRY(mln_cli_call(cli, method, path, body, &reply));
    return mln_cli_answer(cli, cli->format == MLN_FORMAT_TABLE ? reply.data : reply.body, NULL);
}

static struct mln_err run_put(struct mln_cli *cli)
{
    return write_data(cli, "PUT");
}

static struct mln_err run_patch(struct mln_cli *cli)
{
    return write_data(cli, "PATCH");
}

static struct mln_err run_list(struct mln_cli *cli)
{
    const char *path = NULL;
    bool is_plain = false;
    MLN_TRY(full_path(cli, cli->args[0], "metadata", &is_plain, &path));
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "%s?list=true", path), NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "keys"), NULL);
}

static struct mln_err versions_call(struct mln_cli *cli, const char *kind)
{
    const struct mln_value *texts = mln_cli_list(cli, "versions");
    struct mln_value *numbers = mln_array(cli->cx);
    for (size_t i = 0; i < mln_len(texts); i++) {
        int64_t n = 0;
        if (!mln_i64_parse(mln_get_bytes(mln_item(texts, i)), &n)) {
            return mln_cli_usage(cli, "--versions wants whole numbers");
        }
        mln_push(cli->cx, numbers, mln_int(cli->cx, n));
    }
    const char *path = NULL;
    MLN_TRY(full_path(cli, cli->args[0], kind, NULL, &path));
    struct mln_value *body = mln_object(cli->cx);
    mln_put(cli->cx, body, "versions", numbers);
    struct mln_cli_reply reply = {0};
    return mln_cli_call(cli, "PUT", path, body, &reply);
}

static struct mln_err run_delete(struct mln_cli *cli)
{
    if (mln_cli_text(cli, "versions") != NULL) {
        return versions_call(cli, "delete");
    }
    const char *path = NULL;
    bool is_plain = false;
    MLN_TRY(full_path(cli, cli->args[0], "data", &is_plain, &path));
    struct mln_cli_reply reply = {0};
    return mln_cli_call(cli, "DELETE", path, NULL, &reply);
}

static struct mln_err run_undelete(struct mln_cli *cli)
{
    return mln_cli_text(cli, "versions") == NULL ? mln_cli_usage(cli, "--versions N,N is needed")
                                                 : versions_call(cli, "undelete");
}

static struct mln_err run_destroy(struct mln_cli *cli)
{
    return mln_cli_text(cli, "versions") == NULL ? mln_cli_usage(cli, "--versions N,N is needed")
                                                 : versions_call(cli, "destroy");
}

static struct mln_err put_metadata(struct mln_cli *cli, const char *method, const char *path)
{
    struct mln_value *body = mln_object(cli->cx);
    int64_t max = -1;
    MLN_TRY(mln_cli_int(cli, "max-versions", -1, &max));
    if (max >= 0) {
        mln_put_int(cli->cx, body, "max_versions", max);
    }
    if (mln_cli_text(cli, "cas-required") != NULL) {
        mln_put_bool(cli->cx, body, "cas_required", mln_cli_bool(cli, "cas-required"));
    }
    if (mln_cli_text(cli, "delete-version-after") != NULL) {
        mln_put_text(cli->cx, body, "delete_version_after",
                     mln_cli_text(cli, "delete-version-after"));
    }
    const struct mln_value *facts = mln_cli_list(cli, "custom-metadata");
    struct mln_value *custom = mln_object(cli->cx);
    for (size_t i = 0; i < mln_len(facts); i++) {
        struct mln_bytes value = {0};
        struct mln_bytes key = mln_bytes_cut(mln_get_bytes(mln_item(facts, i)), '=', &value);
        mln_put_key(cli->cx, custom, key, mln_string(cli->cx, value));
    }
    if (mln_len(facts) > 0) {
        mln_put(cli->cx, body, "custom_metadata", custom);
    }
    struct mln_cli_reply reply = {0};
    return mln_cli_call(cli, method, path, body, &reply);
}

static struct mln_err run_metadata(struct mln_cli *cli)
{
    const char *path = NULL;
    struct mln_bytes verb = mln_bytes_of(cli->args[0]);
    struct mln_cli_reply reply = {0};
    MLN_TRY(full_path(cli, cli->args[1], "metadata", NULL, &path));
    if (mln_bytes_is(verb, "get")) {
        MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
        return mln_cli_answer(cli, reply.data, NULL);
    }
    if (mln_bytes_is(verb, "put") || mln_bytes_is(verb, "patch")) {
        return put_metadata(cli, mln_bytes_is(verb, "put") ? "POST" : "PATCH", path);
    }
    if (mln_bytes_is(verb, "delete")) {
        return mln_cli_call(cli, "DELETE", path, NULL, &reply);
    }
    return mln_cli_usage(cli, "'%s' is not get, put, patch or delete", cli->args[0]);
}

static struct mln_err run_rollback(struct mln_cli *cli)
{
    const char *path = NULL;
    int64_t version = 0;
    struct mln_cli_reply now = {0}, old = {0}, reply = {0};
    MLN_TRY(mln_cli_int(cli, "version", 0, &version));
    if (version <= 0) {
        return mln_cli_usage(cli, "--version N is needed");
    }
    MLN_TRY(full_path(cli, cli->args[0], "data", NULL, &path));
    MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &now));
    MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "%s?version=%lld", path, (long long)version), NULL, &old));
    struct mln_value *body = mln_object(cli->cx), *options = mln_object(cli->cx);
    mln_put(cli->cx, options, "cas", mln_get(mln_get(now.data, "metadata"), "version"));
    mln_put(cli->cx, body, "options", options);
    mln_put(cli->cx, body, "data", mln_get(old.data, "data"));
    MLN_TRY(mln_cli_call(cli, "PUT", path, body, &reply));
    return mln_cli_reply_print(cli, &reply, "");
}

static struct mln_err run_enable_versioning(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx), *options = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    mln_put_text(cli->cx, options, "version", "2");
    mln_put(cli->cx, body, "options", options);
    const char *path = mln_text_format(cli->cx, "sys/mounts/%s/tune", mln_cli_escape(cli, cli->args[0]));
    MLN_TRY(mln_cli_call(cli, "POST", path, body, &reply));
    return mln_cli_reply_print(cli, &reply, mln_text_format(cli->cx, "Success! Tuned: %s", cli->args[0]));
}

static const char *const get_examples[] = {
    "merlon kv get secret/training/db", "merlon kv get --field password secret/training/db",
    "merlon kv get --version 2 --format json secret/training/db", NULL};
const struct mln_command mln_command_kv_get = {
    .noun = "kv",
    .verb = "get",
    .summary = "Read a secret",
    .args = "PATH",
    .examples = get_examples,
    .flags = get_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_get,
};
static const char *const put_examples[] = {"merlon kv put secret/training/db user=ml password=@pw",
                                           "merlon kv put --cas 0 secret/new @values.json", NULL};
const struct mln_command mln_command_kv_put = {
    .noun = "kv",
    .verb = "put",
    .summary = "Write a new version of a secret",
    .args = "PATH KEY=VALUE...",
    .examples = put_examples,
    .flags = put_flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_put,
    .more = "A VALUE of - is read from stdin and @FILE from a file, so that it is not seen among "
            "the arguments.",
};
static const char *const patch_examples[] = {"merlon kv patch secret/training/db password=@new",
                                             NULL};
const struct mln_command mln_command_kv_patch = {
    .noun = "kv",
    .verb = "patch",
    .summary = "Change some members of a secret, as a new version",
    .args = "PATH KEY=VALUE...",
    .examples = patch_examples,
    .flags = put_flags,
    .min_args = 2,
    .max_args = MLN_CLI_ARGS_MAX,
    .run = run_patch,
};
static const char *const list_examples[] = {"merlon kv list secret/training", NULL};
const struct mln_command mln_command_kv_list = {
    .noun = "kv",
    .verb = "list",
    .summary = "List names below a path",
    .args = "PATH",
    .examples = list_examples,
    .flags = plain_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_list,
};
static const char *const delete_examples[] = {"merlon kv delete secret/training/db",
                                              "merlon kv delete --versions 1,2 secret/training/db",
                                              NULL};
const struct mln_command mln_command_kv_delete = {
    .noun = "kv",
    .verb = "delete",
    .summary = "Delete the newest version, or named ones; undelete brings them back",
    .args = "PATH",
    .examples = delete_examples,
    .flags = versions_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
static const char *const undelete_examples[] = {
    "merlon kv undelete --versions 2 secret/training/db", NULL};
const struct mln_command mln_command_kv_undelete = {
    .noun = "kv",
    .verb = "undelete",
    .summary = "Bring deleted versions back",
    .args = "PATH",
    .examples = undelete_examples,
    .flags = versions_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_undelete,
};
static const char *const destroy_examples[] = {"merlon kv destroy --versions 1 secret/training/db",
                                               NULL};
const struct mln_command mln_command_kv_destroy = {
    .noun = "kv",
    .verb = "destroy",
    .summary = "Destroy versions for good",
    .args = "PATH",
    .examples = destroy_examples,
    .flags = versions_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_destroy,
};
static const char *const metadata_examples[] = {
    "merlon kv metadata get secret/training/db",
    "merlon kv metadata put --max-versions 5 secret/training/db",
    "merlon kv metadata delete secret/training/db", NULL};
const struct mln_command mln_command_kv_metadata = {
    .noun = "kv",
    .verb = "metadata",
    .summary = "Read, set or delete a secret's metadata and all its versions",
    .args = "get|put|patch|delete PATH",
    .examples = metadata_examples,
    .flags = metadata_flags,
    .min_args = 2,
    .max_args = 2,
    .run = run_metadata,
};
static const char *const rollback_examples[] = {"merlon kv rollback --version 2 secret/training/db", NULL};
const struct mln_command mln_command_kv_rollback = {
    .noun = "kv",
    .verb = "rollback",
    .summary = "Make an older version the newest again",
    .args = "PATH",
    .examples = rollback_examples,
    .flags = get_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_rollback,
};
static const char *const versioning_examples[] = {"merlon kv enable-versioning team", NULL};
const struct mln_command mln_command_kv_enable_versioning = {
    .noun = "kv",
    .verb = "enable-versioning",
    .summary = "Upgrade a version 1 mount to version 2",
    .args = "MOUNT",
    .examples = versioning_examples,
    .min_args = 1,
    .max_args = 1,
    .run = run_enable_versioning,
};
