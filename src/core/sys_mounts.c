/* SPDX-License-Identifier: Apache-2.0 */
/* sys/mounts and sys/auth: list, enable, read, tune, disable. */
#include "core/sys_mounts_priv.h"

#include "identity/identity.h"

/* ---- rows ---- */

const struct mln_value *sys_mount_row(const struct mln_value *rows, struct mln_bytes path)
{
    for (size_t i = 0; i < mln_len(rows); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(rows, i), "path")), path)) {
            return mln_item(rows, i);
        }
    }
    return NULL;
}

bool sys_mount_is_kept(struct mln_bytes path)
{
    static const char *const kept[] = {"sys/", "auth/token/", "cubbyhole/", "identity/", "spiffe/"};
    for (size_t i = 0; i < MLN_COUNT(kept); i++) {
        if (mln_bytes_is(path, kept[i])) {
            return true;
        }
    }
    return false;
}

struct mln_bytes sys_mount_clean(struct mln_cx *cx, struct mln_bytes path)
{
    while (path.len > 0 && path.ptr[0] == '/') {
        path = mln_bytes_from(path, 1);
    }
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    return path.len == 0 ? MLN_BYTES_NONE : mln_bytes_format(cx, "%.*s/", MLN_FMT(path));
}

/*
 * "kv" below mounts/ is "kv/", below auth/ and mounts/auth/ "auth/kv/". Below mounts/ an auth mount can only be tuned: what needs
 * sudo must not be reached on a path that does not.
 */
static struct mln_err mount_path(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes path = sys_mount_clean(rq->cx, mln_get_bytes(mln_field_of(rq, "path")));
    bool is_auth = mln_bytes_starts(rq->rest, SYS_AUTH) ||
                   mln_bytes_starts(rq->rest, MLN_BYTES("mounts/auth/"));
    if (path.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "path cannot be blank");
    }
    if (mln_bytes_starts(rq->rest, MLN_BYTES("mounts/")) && mln_bytes_starts(path, SYS_AUTH)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot mount under existing mount \"auth/\"");
    }
    *ret = is_auth ? mln_bytes_format(rq->cx, "auth/%.*s", MLN_FMT(path)) : path;
    return mln_cx_err(rq->cx);
}

/* The table with one row replaced (`now` NULL: left out). */
static struct mln_err replace(struct mln_request *rq, const struct mln_value *rows,
                              const struct mln_value *was, const struct mln_value *now)
{
    struct mln_value *out = mln_array(rq->cx);
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i) == was ? now : mln_item(rows, i);
        if (row != NULL) {
            mln_push(rq->cx, out, row);
        }
    }
    mln_run_of(rq)->reload_mounts = true;
    return mln_mounts_put(rq->cx, rq->txn, out);
}

/* ---- lists ---- */

static struct mln_err show_all(struct mln_request *rq, struct mln_reply *re, bool is_auth)
{
    const struct mln_value *rows = NULL;
    struct mln_value *out = mln_object(rq->cx);
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        struct mln_bytes path = mln_get_bytes(mln_get(row, "path"));
        if (mln_bytes_starts(path, SYS_AUTH) == is_auth) {
            mln_put_key(rq->cx, out, mln_bytes_from(path, is_auth ? SYS_AUTH.len : 0),
                        sys_mount_show(rq->cx, row));
        }
    }
    re->data = re->top = out;
    return mln_cx_err(rq->cx);
}

static struct mln_err mounts_read(struct mln_request *rq, struct mln_reply *re)
{
    return show_all(rq, re, false);
}

static struct mln_err auth_read(struct mln_request *rq, struct mln_reply *re)
{
    return show_all(rq, re, true);
}

/* ---- one mount ---- */

static struct mln_err mount_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    const struct mln_value *rows = NULL;
    MLN_TRY(mount_path(rq, &path));
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *row = sys_mount_row(rows, path);
    if (row == NULL) {
        bool is_auth = mln_bytes_starts(path, SYS_AUTH);
        return mln_fail(rq->cx, MLN_E_INVALID, "No %s at %.*s",
                        is_auth ? "auth engine" : "secret engine mount",
                        MLN_FMT(mln_bytes_from(path, is_auth ? SYS_AUTH.len : 0)));
    }
    re->data = re->top = sys_mount_show(rq->cx, row);
    return mln_cx_err(rq->cx);
}

/* "kv-v2" and "kv-v1" are "kv" with that version; "generic" is what "kv" was called before it had versions. */
static const char *type_of(struct mln_request *rq, const struct mln_value *config,
                           const struct mln_value **options)
{
    const char *type = mln_get_text(rq->cx, mln_field_of(rq, "type"), "");
    if (mln_bytes_is(mln_bytes_of(type), "plugin")) {
        type = mln_get_text(rq->cx, mln_get(config, "plugin_name"), "");
    }
    struct mln_bytes name = mln_bytes_of(type);
    if (mln_bytes_is(name, "kv-v2") || mln_bytes_is(name, "kv-v1")) {
        struct mln_value *version = mln_value_dup(rq->cx, *options);
        mln_put_text(rq->cx, version, "version", type + 4);
        *options = version;
        type = "kv";
    }
    return mln_bytes_is(name, "generic") ? "kv" : type;
}

/* Options are texts in Vault's API: {"version": 2} is {"version": "2"}. */
static struct mln_err options_of(struct mln_request *rq, const struct mln_value *given,
                                 const struct mln_value **ret)
{
    struct mln_value *out = mln_object(rq->cx);
    for (size_t i = 0; i < mln_len(given); i++) {
        const struct mln_member *m = mln_member_at(given, i);
        const struct mln_value *v = &m->value;
        if (mln_type_of(v) == MLN_INT) {
            v = mln_textf(rq->cx, "%lld", (long long)mln_get_int(v, 0));
        } else if (mln_type_of(v) == MLN_BOOL) {
            v = mln_text(rq->cx, mln_get_bool(v, false) ? "true" : "false");
        } else if (mln_type_of(v) != MLN_STRING) {
            return mln_fail(rq->cx, MLN_E_INVALID, "options are names with texts");
        }
        mln_put_key(rq->cx, out, m->key, v);
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

static struct mln_err mount_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    const struct mln_value *options = NULL;
    struct mln_value *config = mln_object(rq->cx);
    (void)re;
    MLN_TRY(mount_path(rq, &path));
    MLN_TRY(options_of(rq, mln_field_of(rq, "options"), &options));
    MLN_TRY(mln_fields_parse(rq->cx, sys_mount_config_fields, NULL, mln_field_of(rq, "config"),
                             config));
    if (mln_is_null(mln_get(config, "plugin_name"))) {
        mln_put(rq->cx, config, "plugin_name", mln_field_of(rq, "plugin_name"));
    }
    const char *type = type_of(rq, config, &options);
    if (type[0] == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "backend type must be specified as a string");
    }
    struct mln_value *row =
        mln_mounts_row(rq->cx, mln_text_dup(rq->cx, path), type,
                       mln_get_text(rq->cx, mln_field_of(rq, "description"), ""), options);
    mln_put_bool(rq->cx, row, "local", mln_get_bool(mln_field_of(rq, "local"), false));
    mln_put_bool(rq->cx, row, "seal_wrap", mln_get_bool(mln_field_of(rq, "seal_wrap"), false));
    MLN_TRY(sys_mount_configure(rq, config, row, false));
    mln_put_bytes(rq->cx, rq->detail, "mount", path);
    mln_put_text(rq->cx, rq->detail, "type", type);
    return mln_mount_add(rq, row);
}

static struct mln_err mount_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    const struct mln_value *rows = NULL;
    (void)re;
    MLN_TRY(mount_path(rq, &path));
    if (mln_bytes_is(path, "auth/token/")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "token credential backend cannot be disabled");
    }
    if (sys_mount_is_kept(path)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot unmount \"%.*s\"", MLN_FMT(path));
    }
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *row = sys_mount_row(rows, path);
    mln_txn_mark_relief(rq->txn);
    mln_put_bytes(rq->cx, rq->detail, "mount", path);
    if (row == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_mounts_gone(rq->cx, rq->txn, mln_get_text(rq->cx, mln_get(row, "uuid"), "?")));
    MLN_TRY(mln_identity_mount_gone(rq->cx, rq->txn, mln_get_text(rq->cx, mln_get(row, "accessor"), "?")));
    mln_run_of(rq)->changed_identity = true;
    MLN_TRY(mln_lease_mount_gone(rq, mln_get_text(rq->cx, mln_get(row, "uuid"), "?")));
    return replace(rq, rows, row, NULL);
}

/* ---- tuning ---- */

static struct mln_err tuned_row(struct mln_request *rq, const struct mln_value **ret_rows,
                                const struct mln_value **ret)
{
    struct mln_bytes path;
    MLN_TRY(mount_path(rq, &path));
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, ret_rows));
    *ret = sys_mount_row(*ret_rows, path);
    mln_put_bytes(rq->cx, rq->detail, "mount", path);
    return *ret != NULL ? MLN_OK
                        : mln_fail(rq->cx, MLN_E_INVALID, "cannot fetch sysview for path \"%.*s\"",
                                   MLN_FMT(path));
}

static struct mln_err tune_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *rows = NULL, *row = NULL;
    MLN_TRY(tuned_row(rq, &rows, &row));
    re->data = re->top = sys_mount_show_tune(rq, row);
    return mln_cx_err(rq->cx);
}

static int64_t version_of(const struct mln_value *options)
{
    const struct mln_value *v = mln_get(options, "version");
    int64_t version = mln_get_int(v, 1);
    return mln_type_of(v) != MLN_STRING || mln_i64_parse(mln_get_bytes(v), &version) ? version : 0;
}

/* Only key-value mounts have an option that can change, and only upwards. */
static struct mln_err tune_options(struct mln_request *rq, struct mln_reply *re,
                                   const struct mln_value *given, struct mln_value *row)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *options = NULL, *old = mln_get(row, "options");
    MLN_TRY(options_of(rq, given, &options));
    int64_t was = version_of(old), now = version_of(options);
    bool has_version = !mln_is_null(mln_get(options, "version"));
    if (has_version && mln_is_text(mln_get(row, "type"), "kv")) {
        if (now != 1 && now != 2) {
            return mln_fail(cx, MLN_E_INVALID, "invalid options version: 1 or 2 is expected");
        }
        if (now < was) {
            return mln_fail(cx, MLN_E_INVALID, "cannot downgrade mount from version %lld",
                            (long long)was);
        }
        if (now > was) {
            mln_reply_warn(rq, re,
                           mln_text_format(cx,
                                           "Upgrading mount from version %lld to version %lld. "
                                           "This mount will be unavailable for a brief period and "
                                           "will resume service shortly.",
                                           (long long)was, (long long)now));
        }
    }
    struct mln_value *merged =
        mln_is_null(old) ? mln_object(cx) : mln_value_dup(cx, old);
    for (size_t i = 0; i < mln_len(options); i++) {
        mln_put_key(cx, merged, mln_member_at(options, i)->key, &mln_member_at(options, i)->value);
    }
    mln_put(cx, row, "options", merged);
    return mln_cx_err(cx);
}

static struct mln_err tune_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *rows = NULL, *was = NULL;
    MLN_TRY(tuned_row(rq, &rows, &was));
    struct mln_value *row = mln_value_dup(rq->cx, was);
    MLN_TRY(sys_mount_configure(rq, rq->fields, row, true));
    if (!mln_is_null(mln_field_of(rq, "description"))) {
        mln_put(rq->cx, row, "description", mln_field_of(rq, "description"));
    }
    if (mln_len(mln_field_of(rq, "options")) > 0) {
        MLN_TRY(tune_options(rq, re, mln_field_of(rq, "options"), row));
    }
    return replace(rq, rows, was, row);
}

/* ---- paths ---- */

static const struct mln_field mount_fields[] = {
    F_TEXT("path", "Where it stands."),
    F_TEXT("type", "Which engine or method."),
    F_TEXT("description", "A line for people."),
    {.name = "options", .type = MLN_FIELD_MAP, .help = "The engine's own options."},
    {.name = "config", .type = MLN_FIELD_MAP, .help = "Settings, as tuning takes them."},
    F_TEXT("plugin_name", "Old way of naming the type."),
    F_BOOL("local", "false", "Kept; there is one server."),
    F_BOOL("seal_wrap", "false", "Kept; all is sealed."),
    {0},
};

#define TUNE(at, sudo)                                                                             \
    {                                                                                              \
        .pattern = at, .summary = "Read or change a mount's settings.",                            \
        .fields = sys_mount_config_fields, .read = tune_read, .write = tune_write,                 \
        .is_sudo = sudo, .controls = "CM-3"                                                        \
    }
#define MOUNT(at, what, sudo)                                                                      \
    {                                                                                              \
        .pattern = at, .summary = what, .fields = mount_fields, .read = mount_read,                \
        .write = mount_write, .remove = mount_remove, .is_sudo = sudo, .controls = "CM-3"          \
    }

const struct mln_path mln_sys_mounts[] = {
    {.pattern = "mounts", .summary = "List mounts of engines.", .read = mounts_read},
    {.pattern = "auth", .summary = "List mounts of auth methods.", .read = auth_read},
    TUNE("mounts/auth/{path...}/tune", true),
    TUNE("mounts/{path...}/tune", false),
    TUNE("auth/{path...}/tune", true),
    MOUNT("mounts/{path...}", "Enable, read or disable an engine.", false),
    MOUNT("auth/{path...}", "Enable, read or disable a method.", true),
    {0},
};
