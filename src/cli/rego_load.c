/* SPDX-License-Identifier: Apache-2.0 */
/* Policies and documents from files and folders, as OPA's tools find them. */
#include "cli/rego_priv.h"

#include "base/yaml.h"
#include "rego/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>

void rego_files_drop(struct rego_files *files)
{
    mln_rego_data_drop(&files->data);
}

static struct mln_bytes file_name(const char *path)
{
    struct mln_bytes rest = mln_bytes_of(path);
    for (size_t at = mln_bytes_find(rest, '/'); at < rest.len; at = mln_bytes_find(rest, '/')) {
        rest = mln_bytes_from(rest, at + 1);
    }
    return rest;
}

static bool ends(const char *path, const char *suffix)
{
    return mln_bytes_ends(mln_bytes_of(path), mln_bytes_of(suffix));
}

static struct mln_err keep_module(struct mln_cli *cli, const char *path, struct mln_bytes text,
                                  struct rego_files *files)
{
    if (files->n == REGO_FILES_MAX) {
        return mln_fail(cli->cx, MLN_E_LIMIT, "more than %u policies", REGO_FILES_MAX);
    }
    if (files->n == files->cap) {
        size_t cap = files->cap == 0 ? 16 : files->cap * 2;
        struct mln_rego_source *more = mln_new_array(cli->cx, cap, sizeof(*more));
        MLN_TRY(mln_cx_err(cli->cx));
        mln_copy(more, files->modules, files->n * sizeof(*more));
        files->modules = more;
        files->cap = cap;
    }
    files->modules[files->n++] = (struct mln_rego_source){.name = path, .text = text};
    return MLN_OK;
}

static struct mln_err add_module(struct mln_cli *cli, const char *path, struct rego_files *files)
{
    struct mln_bytes text;
    MLN_TRY(mln_cli_read_file(cli, path, MLN_REGO_MODULE_MAX, &text));
    return keep_module(cli, path, text, files);
}

/* One document into what was read so far, below `prefix` ("a/b"). */
static struct mln_err add_json(struct mln_cli *cli, struct mln_bytes json, const char *prefix,
                               struct rego_files *files)
{
    struct mln_bytes names[REGO_DEPTH_MAX], rest = mln_bytes_of(prefix);
    struct mln_rego_path path = {names, 0};
    struct mln_rego_data *more = NULL;
    while (rest.len > 0) {
        struct mln_bytes name = mln_bytes_cut(rest, '/', &rest);
        if (path.n == REGO_DEPTH_MAX) {
            return mln_fail(cli->cx, MLN_E_LIMIT, "more than %d folders in one another",
                            REGO_DEPTH_MAX);
        }
        names[path.n++] = name;
    }
    MLN_TRY(mln_rego_data_change(cli->cx, files->data,
                                 files->data == NULL ? MLN_REGO_PUT : MLN_REGO_MERGE, path, json,
                                 &more));
    mln_rego_data_drop(&files->data);
    files->data = more;
    return MLN_OK;
}

static struct mln_err add_document(struct mln_cli *cli, const char *file, const char *prefix,
                                   struct rego_files *files)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0}, json = {0};
    MLN_TRY(mln_file_read_all(cli->cx, file, REGO_FILE_MAX, &text));
    struct mln_err err;
    if (ends(file, ".json")) {
        err = add_json(cli, mln_buf_bytes(&text), prefix, files);
    } else {
        const struct mln_value *value = NULL;
        MLN_TRY(mln_yaml_parse(cli->cx, mln_buf_bytes(&text), &value));
        mln_json_print(&json, value, MLN_JSON_COMPACT);
        MLN_TRY(mln_buf_ok(cli->cx, &json));
        err = add_json(cli, mln_buf_bytes(&json), prefix, files);
    }
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cli->cx, mln_bytes_of(cli->cx->text));
        return mln_refail(cli->cx, (enum mln_code)err.code, "%s: %s", file, why);
    }
    return MLN_OK;
}

static bool is_document(const char *path, bool is_bundle)
{
    struct mln_bytes name = file_name(path);
    if (is_bundle) {
        return mln_bytes_is(name, "data.json") || mln_bytes_is(name, "data.yaml") ||
               mln_bytes_is(name, "data.yml");
    }
    return ends(path, ".json") || ends(path, ".yaml") || ends(path, ".yml");
}

static struct mln_err load_at(struct mln_cli *cli, const char *path, const char *prefix,
                              unsigned depth, struct rego_files *files);

static struct mln_err load_folder(struct mln_cli *cli, const char *path, const char *prefix,
                                  unsigned depth, struct rego_files *files)
{
    const struct mln_value *names = NULL;
    if (depth == REGO_DEPTH_MAX) {
        return mln_fail(cli->cx, MLN_E_LIMIT, "more than %d folders in one another",
                        REGO_DEPTH_MAX);
    }
    MLN_TRY(mln_dir_list(cli->cx, path, &names));
    struct mln_bytes dir = mln_bytes_of(path);
    const char *slash = mln_bytes_ends(dir, MLN_BYTES("/")) ? "" : "/";
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cli->cx, mln_item(names, i), "");
        const char *whole = mln_text_format(cli->cx, "%s%s%s", path, slash, name);
        struct stat st;
        if (stat(whole, &st) != 0) {
            continue; /* a link to nowhere */
        }
        if (S_ISDIR(st.st_mode)) {
            const char *below =
                mln_text_format(cli->cx, "%s%s%s", prefix, prefix[0] == '\0' ? "" : "/", name);
            MLN_TRY(load_folder(cli, whole, below, depth + 1, files));
        } else if (ends(whole, ".rego") || is_document(whole, files->is_bundle)) {
            MLN_TRY(load_at(cli, whole, prefix, depth + 1, files));
        }
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err load_at(struct mln_cli *cli, const char *path, const char *prefix,
                              unsigned depth, struct rego_files *files)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return load_folder(cli, path, prefix, depth, files);
    }
    if (ends(path, ".rego")) {
        return add_module(cli, path, files);
    }
    if (!is_document(path, false)) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "%s: neither .rego nor .json nor .yaml", path);
    }
    return add_document(cli, path, prefix, files);
}

struct visit {
    struct mln_cli *cli;
    struct mln_err (*see)(void *with, const char *path);
    void *with;
};

static struct mln_err each_in(const struct visit *v, const char *path, unsigned depth)
{
    const struct mln_value *names = NULL;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return depth == 0 || ends(path, ".rego") ? v->see(v->with, path) : MLN_OK;
    }
    if (depth == REGO_DEPTH_MAX) {
        return mln_fail(v->cli->cx, MLN_E_LIMIT, "more than %d folders in one another", REGO_DEPTH_MAX);
    }
    MLN_TRY(mln_dir_list(v->cli->cx, path, &names));
    const char *slash = ends(path, "/") ? "" : "/";
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(v->cli->cx, mln_item(names, i), "");
        MLN_TRY(each_in(v, mln_text_format(v->cli->cx, "%s%s%s", path, slash, name), depth + 1));
    }
    return mln_cx_err(v->cli->cx);
}

struct mln_err rego_each_policy(struct mln_cli *cli, const char *path,
                                struct mln_err (*see)(void *with, const char *path), void *with)
{
    return each_in(&(struct visit){cli, see, with}, path, 0);
}

/* Signatures are not asked for: what is named on the command line is trusted. */
static struct mln_err load_bundle(struct mln_cli *cli, const char *path, struct rego_files *files)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_bundle_options options = {.skip_verify = true};
    struct mln_err err = mln_bundle_load(cli->cx, path, &options, &bundle);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cli->cx, mln_bytes_of(cli->cx->text));
        return mln_refail(cli->cx, (enum mln_code)err.code, "%s: %s", path, why);
    }
    for (size_t i = 0; i < bundle->n_modules; i++) {
        const char *name = mln_text_format(cli->cx, "%s%s%s", path, ends(path, "/") ? "" : "/", bundle->modules[i].path);
        MLN_TRY(keep_module(cli, name, mln_bytes_dup(cli->cx, bundle->modules[i].text), files));
    }
    if (files->data == NULL || bundle->data == NULL) {
        files->data = files->data == NULL ? mln_take(&bundle->data) : files->data;
        return mln_cx_err(cli->cx);
    }
    if (mln_rego_data_print(bundle->data, (struct mln_rego_path){0}, &json)) {
        MLN_TRY(add_json(cli, mln_buf_bytes(&json), "", files));
    }
    return mln_cx_err(cli->cx);
}

static bool is_bundle(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || ends(path, ".tar.gz") || ends(path, ".tgz"));
}

/* "a.b:FILE" puts documents below a.b; "file://" is what browsers write. */
struct mln_err rego_files_load(struct mln_cli *cli, const char *path, struct rego_files *files)
{
    if (files->is_bundle && is_bundle(path)) {
        return load_bundle(cli, path, files);
    }
    struct mln_bytes rest, whole = mln_bytes_of(path), scheme = MLN_BYTES("file://");
    struct stat st;
    if (mln_bytes_starts(whole, scheme)) {
        return load_at(cli, path + scheme.len, "", 0, files);
    }
    struct mln_bytes head = mln_bytes_cut(whole, ':', &rest);
    if (rest.len == 0 || stat(path, &st) == 0) {
        return load_at(cli, path, "", 0, files);
    }
    char *prefix = (char *)(uintptr_t)mln_text_dup(cli->cx, head);
    MLN_TRY(mln_cx_err(cli->cx));
    for (size_t i = 0; i < head.len; i++) {
        prefix[i] = prefix[i] == '.' ? '/' : prefix[i];
    }
    return load_at(cli, mln_text_dup(cli->cx, rest), prefix, 0, files);
}

struct mln_err rego_files_of_flag(struct mln_cli *cli, const char *flag, struct rego_files *files)
{
    for (size_t i = 0; i < cli->n_sets; i++) {
        if (mln_bytes_is(mln_bytes_of(flag), cli->sets[i].flag->name)) {
            MLN_TRY(rego_files_load(cli, cli->sets[i].text, files));
        }
    }
    return MLN_OK;
}

const char **rego_flag_list(struct mln_cli *cli, const char *flag)
{
    const char **list = mln_new_array(cli->cx, cli->n_sets + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; list != NULL && i < cli->n_sets; i++) {
        if (mln_bytes_is(mln_bytes_of(flag), cli->sets[i].flag->name)) {
            list[n++] = cli->sets[i].text;
        }
    }
    return list;
}

/* ---- errors ---- */

struct mln_value *rego_error_value(struct mln_cx *cx, const struct mln_rego_error *error)
{
    struct mln_value *v = mln_object(cx);
    mln_put(cx, v, "message", mln_string_dup(cx, mln_bytes_of(error->message)));
    mln_put_text(cx, v, "code", error->code);
    if (error->row > 0) {
        struct mln_value *location = mln_object(cx);
        mln_put(cx, location, "file", mln_string_dup(cx, mln_bytes_of(error->file)));
        mln_put_int(cx, location, "row", error->row);
        mln_put_int(cx, location, "col", error->col);
        mln_put(cx, v, "location", location);
    }
    struct mln_bytes rest = mln_bytes_of(error->details != NULL ? error->details : "");
    if (rest.len > 0) {
        struct mln_value *lines = mln_array(cx);
        while (rest.len > 0) {
            struct mln_bytes line = mln_bytes_cut(rest, '\n', &rest);
            mln_push(cx, lines, mln_string_dup(cx, line));
        }
        mln_put(cx, v, "details", lines);
    }
    return v;
}

struct mln_value *rego_errors_of(struct mln_cx *cx, const struct mln_rego *rego)
{
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < mln_rego_error_count(rego); i++) {
        mln_push(cx, list, rego_error_value(cx, mln_rego_error_at(rego, i)));
    }
    return list;
}

struct mln_value *rego_query_errors_of(struct mln_cx *cx, const struct mln_rego_query *query)
{
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < mln_rego_query_error_count(query); i++) {
        mln_push(cx, list, rego_error_value(cx, mln_rego_query_error_at(query, i)));
    }
    return list;
}

struct mln_value *rego_errors_text(struct mln_cx *cx, const char *text)
{
    struct mln_value *list = mln_array(cx), *v = mln_object(cx);
    mln_put(cx, v, "message", mln_string_dup(cx, mln_bytes_of(text)));
    mln_push(cx, list, v);
    return list;
}

/* Lines below an error that say more. */
static void say_details(struct mln_cli *cli, const struct mln_value *details)
{
    for (size_t i = 0; i < mln_len(details); i++) {
        mln_cli_say(cli, "\t%s\n", mln_get_text(cli->cx, mln_item(details, i), ""));
    }
}

void rego_errors_say(struct mln_cli *cli, const struct mln_value *errors)
{
    size_t n = mln_len(errors);
    const char *first = n == 0 ? "" : mln_get_text(cli->cx, mln_get(mln_item(errors, 0), "code"), "");
    const char *when = mln_bytes_is(mln_bytes_of(first), "rego_parse_error") ? " during loading" : "";
    mln_cli_say(cli, "%zu error%s occurred%s:%s", n, n == 1 ? "" : "s", when, n == 1 ? " " : "\n");
    for (size_t i = 0; i < n; i++) {
        const struct mln_value *e = mln_item(errors, i), *at = mln_get(e, "location");
        const char *code = mln_get_text(cli->cx, mln_get(e, "code"), "");
        const char *file = mln_get_text(cli->cx, mln_get(at, "file"), "");
        if (at != NULL) {
            mln_cli_say(cli, "%s%s%lld: ", file, file[0] == '\0' ? "" : ":",
                        (long long)mln_get_int(mln_get(at, "row"), 0));
        }
        mln_cli_say(cli, "%s%s%s\n", code, code[0] == '\0' ? "" : ": ",
                    mln_get_text(cli->cx, mln_get(e, "message"), ""));
        say_details(cli, mln_get(e, "details"));
    }
}

void rego_errors_print(struct mln_cli *cli, const struct mln_value *errors)
{
    struct mln_value *all = mln_object(cli->cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    mln_put(cli->cx, all, "errors", errors);
    mln_json_print(&json, all, MLN_JSON_PRETTY);
    mln_buf_add_byte(&json, '\n');
    mln_cli_raw(mln_buf_bytes(&json));
}

struct schemas {
    struct mln_cli *cli;
    struct mln_rego *rego;
    const char *root;
};

/* "folder/a/b.json" is schema.a.b; a file alone is the schema of all inputs. */
static struct mln_err load_schema(const struct schemas *s, const char *path, bool is_alone)
{
    struct mln_bytes text, rest = mln_bytes_of(path);
    MLN_TRY(mln_cli_read_file(s->cli, path, REGO_FILE_MAX, &text));
    rest = mln_bytes_from(rest, mln_bytes_of(s->root).len);
    while (rest.len > 0 && rest.ptr[0] == '/') {
        rest = mln_bytes_from(rest, 1);
    }
    rest.len -= rest.len >= sizeof(".json") - 1 ? sizeof(".json") - 1 : rest.len;
    char *name = (char *)(uintptr_t)mln_text_dup(s->cli->cx, rest);
    MLN_TRY(mln_cx_err(s->cli->cx));
    for (size_t i = 0; name[i] != '\0'; i++) {
        name[i] = name[i] == '/' ? '.' : name[i];
    }
    return mln_rego_schema(s->rego, s->cli->cx, is_alone ? "" : name, text);
}

static struct mln_err load_schemas(const struct schemas *s, const char *path, unsigned depth)
{
    const struct mln_value *names = NULL;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return depth == 0 || ends(path, ".json") ? load_schema(s, path, depth == 0) : MLN_OK;
    }
    if (depth == REGO_DEPTH_MAX) {
        return mln_fail(s->cli->cx, MLN_E_LIMIT, "more than %d folders in one another", REGO_DEPTH_MAX);
    }
    MLN_TRY(mln_dir_list(s->cli->cx, path, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(s->cli->cx, mln_item(names, i), "");
        MLN_TRY(load_schemas(s, mln_text_format(s->cli->cx, "%s%s%s", path, ends(path, "/") ? "" : "/", name), depth + 1));
    }
    return mln_cx_err(s->cli->cx);
}

struct mln_err rego_compile(struct mln_cli *cli, const struct rego_files *files,
                            const struct mln_rego_options *options, struct mln_rego **ret,
                            struct mln_value **ret_errors)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf clash = {0};
    struct mln_err err = MLN_OK;
    MLN_TRY(mln_rego_new(cli->cx, options, &rego));
    if (files->capabilities != NULL) {
        struct mln_bytes json;
        MLN_TRY(mln_cli_read_file(cli, files->capabilities, REGO_FILE_MAX, &json));
        MLN_TRY(mln_rego_restrict(rego, cli->cx, json));
    }
    if (files->schema != NULL) {
        struct schemas s = {cli, rego, files->schema};
        MLN_TRY(load_schemas(&s, files->schema, 0));
    }
    for (size_t i = 0; i < files->n; i++) {
        const struct mln_rego_source *m = &files->modules[i];
        struct mln_err one = mln_rego_add(rego, cli->cx, m->name, m->text);
        err = mln_failed(err) ? err : one;
    }
    err = mln_failed(err) ? err : mln_rego_compile(rego, cli->cx);
    if (mln_failed(err)) {
        *ret_errors = rego_errors_of(cli->cx, rego);
        return err;
    }
    if (mln_rego_data_conflict(rego, files->data, &clash)) {
        const char *text = mln_text_format(cli->cx, "conflicting rule for data path %.*s found",
                                           MLN_FMT(mln_buf_bytes(&clash)));
        *ret_errors = rego_errors_text(cli->cx, text);
        mln_put_text(cli->cx, (struct mln_value *)(uintptr_t)mln_item(*ret_errors, 0), "code",
                     "rego_compile_error");
        return mln_fail(cli->cx, MLN_E_INVALID, "%s", text);
    }
    *ret = mln_take(&rego);
    return MLN_OK;
}
