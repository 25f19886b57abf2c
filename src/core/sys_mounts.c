/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: mounts of engines and auth methods. */
#include "core/sys_priv.h"

#define AUTH MLN_BYTES("auth/")

static const struct mln_value *config_of(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_value *config = mln_object(rq->cx);
    mln_put_int(rq->cx, config, "default_lease_ttl", mln_get_int(mln_get(row, "default_ttl_s"), 0));
    mln_put_int(rq->cx, config, "max_lease_ttl", mln_get_int(mln_get(row, "max_ttl_s"), 0));
    mln_put_bool(rq->cx, config, "force_no_cache", false);
    return config;
}

static struct mln_value *show_row(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *out = mln_object(cx);
    mln_put(cx, out, "accessor", mln_get(row, "accessor"));
    mln_put(cx, out, "config", config_of(rq, row));
    mln_put_text(cx, out, "deprecation_status", "supported");
    mln_put(cx, out, "description", mln_get(row, "description"));
    mln_put_bool(cx, out, "external_entropy_access", false);
    mln_put_bool(cx, out, "local", false);
    mln_put(cx, out, "options", mln_get(row, "options"));
    mln_put_text(cx, out, "plugin_version", "");
    mln_put_text(cx, out, "running_plugin_version", "v" MLN_VERSION "+builtin");
    mln_put_text(cx, out, "running_sha256", "");
    mln_put_bool(cx, out, "seal_wrap", false);
    mln_put(cx, out, "type", mln_get(row, "type"));
    mln_put(cx, out, "uuid", mln_get(row, "uuid"));
    return out;
}

/* All rows of one kind, paths without "auth/"; `seen` may leave rows out. */
static struct mln_err show_all(struct mln_request *rq, bool is_auth, bool only_visible,
                               struct mln_value **ret)
{
    const struct mln_value *rows = NULL;
    struct mln_value *out = mln_object(rq->cx);
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        struct mln_bytes path = mln_get_bytes(mln_get(row, "path"));
        if (mln_bytes_starts(path, AUTH) != is_auth) {
            continue;
        }
        const char *text = mln_text_dup(rq->cx, path);
        if (only_visible && !rq->services->may(rq, text, "read") &&
            !rq->services->may(rq, text, "list")) {
            continue;
        }
        mln_put_key(rq->cx, out, mln_bytes_from(path, is_auth ? 5 : 0), show_row(rq, row));
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_mounts_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *all = NULL;
    MLN_TRY(show_all(rq, false, false, &all));
    re->data = re->top = all;
    return MLN_OK;
}

static struct mln_err sys_auth_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *all = NULL;
    MLN_TRY(show_all(rq, true, false, &all));
    re->data = re->top = all;
    return MLN_OK;
}

static struct mln_err sys_ui_mounts(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *auth = NULL, *secret = NULL;
    MLN_TRY(show_all(rq, true, true, &auth));
    MLN_TRY(show_all(rq, false, true, &secret));
    mln_put(rq->cx, data, "auth", auth);
    mln_put(rq->cx, data, "secret", secret);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_value *row_of(const struct mln_value *rows, struct mln_bytes path)
{
    for (size_t i = 0; i < mln_len(rows); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(rows, i), "path")), path)) {
            return mln_item(rows, i);
        }
    }
    return NULL;
}

/* Does any policy of the caller touch this mount? Vault's clients ask before each command; the answer gives nothing away. */
static bool may_see(struct mln_request *rq, const char *mount)
{
    static const char *const capabilities[] = {"read", "list", "update", "create", "delete"};
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path")),
                     rest = mln_bytes_from(path, mln_bytes_of(mount).len);
    const char *probes[] = {mount, mln_text_dup(rq->cx, path),
                            mln_text_format(rq->cx, "%sdata/%.*s", mount, MLN_FMT(rest)),
                            mln_text_format(rq->cx, "%smetadata/%.*s", mount, MLN_FMT(rest)),
                            mln_text_format(rq->cx, "%smetadata/%.*s/", mount, MLN_FMT(rest))};
    for (size_t p = 0; p < MLN_COUNT(probes); p++) {
        for (size_t i = 0; i < MLN_COUNT(capabilities); i++) {
            if (rq->services->may(rq, probes[p], capabilities[i])) {
                return true;
            }
        }
    }
    return false;
}

static struct mln_err sys_ui_mount(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    const struct mln_value *rows = NULL;
    const struct mln_mount *mount = mln_mounts_find(mln_run_of(rq)->table, path);
    const char *at = mount == NULL ? "" : mount->path;
    if (mount == NULL || !may_see(rq, at)) {
        return mln_fail(rq->cx, MLN_E_DENIED,
                        "preflight capability check returned 403, please ensure client's policies "
                        "grant access to path \"%.*s/\"",
                        MLN_FMT(path));
    }
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *row = row_of(rows, mln_bytes_of(at));
    if (row == NULL) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_value *data = show_row(rq, row);
    mln_put_text(rq->cx, data, "path", at);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- one mount ---- */

/* "kv" below mounts/ is "kv/", below auth/ "auth/kv/"; *ret_tunes: the path ends in /tune. */
static struct mln_err mount_path(struct mln_request *rq, struct mln_bytes *ret, bool *ret_tunes)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    bool is_auth = mln_bytes_starts(rq->rest, AUTH);
    *ret_tunes = mln_bytes_ends(path, MLN_BYTES("/tune"));
    path.len -= *ret_tunes ? 5 : 0;
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    *ret = mln_bytes_format(rq->cx, "%s%.*s/", is_auth ? "auth/" : "", MLN_FMT(path));
    return mln_cx_err(rq->cx);
}

static struct mln_err ttl_of(struct mln_request *rq, const struct mln_value *v, const char *name,
                             struct mln_value *row, const char *column)
{
    int64_t s = 0;
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    bool ok = mln_type_of(v) == MLN_INT
                  ? (s = mln_get_int(v, -1)) >= 0
                  : mln_get_bytes(v).len == 0 || mln_bytes_is(mln_get_bytes(v), "system") ||
                        mln_duration_parse(mln_get_bytes(v), &s);
    if (!ok || s < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s is a duration such as \"24h\", 0 or more", name);
    }
    mln_put_int(rq->cx, row, column, s);
    return MLN_OK;
}

static struct mln_err put_ttls(struct mln_request *rq, const struct mln_value *from,
                               struct mln_value *row)
{
    MLN_TRY(
        ttl_of(rq, mln_get(from, "default_lease_ttl"), "default_lease_ttl", row, "default_ttl_s"));
    MLN_TRY(ttl_of(rq, mln_get(from, "max_lease_ttl"), "max_lease_ttl", row, "max_ttl_s"));
    int64_t most = mln_get_int(mln_get(row, "max_ttl_s"), 0);
    if (most > 0 && mln_get_int(mln_get(row, "default_ttl_s"), 0) > most) {
        return mln_fail(rq->cx, MLN_E_INVALID, "default lease TTL greater than max lease TTL");
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_mount_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    bool tunes = false;
    const struct mln_value *rows = NULL;
    MLN_TRY(mount_path(rq, &path, &tunes));
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *row = row_of(rows, path);
    if (row == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        tunes ? "cannot fetch sysview for path \"%.*s\""
                              : "No secret engine mount at %.*s",
                        MLN_FMT(path));
    }
    struct mln_value *data = show_row(rq, row);
    if (tunes) {
        data = mln_value_dup(rq->cx, config_of(rq, row));
        mln_put(rq->cx, data, "description", mln_get(row, "description"));
        mln_put(rq->cx, data, "options", mln_get(row, "options"));
    }
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err tune(struct mln_request *rq, struct mln_bytes path)
{
    const struct mln_value *rows = NULL;
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    struct mln_value *out = mln_array(rq->cx);
    bool found = false;
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_value *row = mln_value_dup(rq->cx, mln_item(rows, i));
        if (mln_bytes_eq(mln_get_bytes(mln_get(row, "path")), path)) {
            found = true;
            MLN_TRY(put_ttls(rq, rq->fields, row));
            if (!mln_is_null(mln_field_of(rq, "description"))) {
                mln_put(rq->cx, row, "description", mln_field_of(rq, "description"));
            }
        }
        mln_push(rq->cx, out, row);
    }
    if (!found) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot fetch sysview for path \"%.*s\"",
                        MLN_FMT(path));
    }
    mln_run_of(rq)->reload_mounts = true;
    return mln_mounts_put(rq->cx, rq->txn, out);
}

static struct mln_err sys_mount_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    bool tunes = false;
    (void)re;
    MLN_TRY(mount_path(rq, &path, &tunes));
    mln_put_bytes(rq->cx, rq->detail, "mount", path);
    if (tunes) {
        return tune(rq, path);
    }
    const char *type = mln_get_text(rq->cx, mln_field_of(rq, "type"), "");
    const struct mln_value *options = mln_field_of(rq, "options");
    if (mln_bytes_is(mln_bytes_of(type), "kv-v2") || mln_bytes_is(mln_bytes_of(type), "kv-v1")) {
        struct mln_value *version = mln_object(rq->cx);
        mln_put_text(rq->cx, version, "version",
                     mln_bytes_ends(mln_bytes_of(type), MLN_BYTES("2")) ? "2" : "1");
        options = version;
        type = "kv";
    }
    if (type[0] == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "backend type must be specified as a string");
    }
    struct mln_value *row =
        mln_mounts_row(rq->cx, mln_text_dup(rq->cx, path), type,
                       mln_get_text(rq->cx, mln_field_of(rq, "description"), ""),
                       mln_is_null(options) ? NULL : options);
    MLN_TRY(put_ttls(rq, mln_field_of(rq, "config"), row));
    mln_put_text(rq->cx, rq->detail, "type", type);
    return mln_mount_add(rq, row);
}

static struct mln_err sys_mount_remove(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const kept[] = {"sys/", "auth/token/"};
    struct mln_bytes path;
    bool tunes = false;
    const struct mln_value *rows = NULL;
    (void)re;
    MLN_TRY(mount_path(rq, &path, &tunes));
    for (size_t i = 0; i < MLN_COUNT(kept); i++) {
        if (mln_bytes_is(path, kept[i])) {
            return mln_fail(rq->cx, MLN_E_INVALID, "cannot unmount \"%s\"", kept[i]);
        }
    }
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    struct mln_value *out = mln_array(rq->cx);
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        if (!mln_bytes_eq(mln_get_bytes(mln_get(row, "path")), path)) {
            mln_push(rq->cx, out, row);
            continue;
        }
        MLN_TRY(mln_mounts_gone(rq->cx, rq->txn, mln_get_text(rq->cx, mln_get(row, "uuid"), "?")));
    }
    mln_txn_mark_relief(rq->txn);
    mln_put_bytes(rq->cx, rq->detail, "mount", path);
    if (mln_len(out) == mln_len(rows)) {
        return MLN_OK;
    }
    mln_run_of(rq)->reload_mounts = true;
    return mln_mounts_put(rq->cx, rq->txn, out);
}

/* ---- paths ---- */

static const struct mln_field mount_fields[] = {
    F_TEXT("path", "Where it stands."),
    {.name = "type", .type = MLN_FIELD_TEXT, .help = "Which engine or method."},
    {.name = "description", .type = MLN_FIELD_TEXT, .help = "A line for people."},
    {.name = "options", .type = MLN_FIELD_MAP, .help = "The engine's own options."},
    {.name = "config", .type = MLN_FIELD_MAP, .help = "default_lease_ttl, max_lease_ttl."},
    {.name = "default_lease_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Default time to live (tune)."},
    {.name = "max_lease_ttl", .type = MLN_FIELD_DURATION, .help = "Longest time to live (tune)."},
    {0},
};
static const struct mln_field file_fields[] = {F_TEXT("path", "File of the log."), {0}};

const struct mln_path mln_sys_mounts[] = {
    {.pattern = "mounts", .summary = "List mounts of engines.", .read = sys_mounts_read},
    {.pattern = "auth", .summary = "List mounts of auth methods.", .read = sys_auth_read},
    {.pattern = "internal/ui/mounts",
     .summary = "Mounts that the caller may use.",
     .read = sys_ui_mounts,
     .is_open = true},
    {.pattern = "internal/ui/mounts/{path...}",
     .summary = "One mount, for clients that look for its version.",
     .fields = file_fields,
     .read = sys_ui_mount,
     .is_open = true},
    {.pattern = "mounts/{path...}",
     .summary = "Mount, unmount, read or tune an engine.",
     .fields = mount_fields,
     .read = sys_mount_read,
     .write = sys_mount_write,
     .remove = sys_mount_remove,
     .controls = "CM-3"},
    {.pattern = "auth/{path...}",
     .summary = "Enable, disable, read or tune a method.",
     .fields = mount_fields,
     .read = sys_mount_read,
     .write = sys_mount_write,
     .remove = sys_mount_remove,
     .is_sudo = true,
     .controls = "CM-3"},
    {0},
};
