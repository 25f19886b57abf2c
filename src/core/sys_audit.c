/* SPDX-License-Identifier: Apache-2.0 */
/* sys/audit, sys/audit-hash: audit devices by the API. */
#include "core/audit_priv.h"
#include "core/sys_priv.h"

#include "base/limits.h"

#define BY_CONFIG "cannot enable audit device via API; use declarative, config-based audit device management instead"

/* "a/b" and "a/b/" are "a/b/". */
static struct mln_err path_of(struct mln_request *rq, const char **ret)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    bool is_clean = path.len > 0 && path.len <= MLN_NAME_MAX_BYTES && path.ptr[0] != '/';
    for (size_t i = 0; is_clean && i < path.len; i++) {
        is_clean = path.ptr[i] > 0x20 && path.ptr[i] != 0x7f;
    }
    if (!is_clean) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a device's path has 1 to %d bytes, no blanks and no \"/\" in front", MLN_NAME_MAX_BYTES);
    }
    const char *slash = path.ptr[path.len - 1] == '/' ? "" : "/";
    *ret = mln_text_format(rq->cx, "%.*s%s", MLN_FMT(path), slash);
    return mln_cx_err(rq->cx);
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *rows = NULL;
    struct mln_value *data = mln_object(rq->cx);
    static const char *const shown[] = {"type", "description", "options", "local", "path"};
    MLN_TRY(audit_rows(rq->cx, rq->txn, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_member *m = mln_member_at(rows, i);
        struct mln_value *one = mln_object(rq->cx);
        for (size_t k = 0; k < MLN_COUNT(shown); k++) {
            mln_put(rq->cx, one, shown[k], mln_get(&m->value, shown[k]));
        }
        mln_put_key(rq->cx, data, m->key, one);
    }
    re->data = data;
    re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err add_row(struct mln_request *rq, const char *path, const char *type, const struct mln_value *options)
{
    const struct mln_value *rows = NULL;
    MLN_TRY(audit_rows(rq->cx, rq->txn, &rows));
    if (mln_get(rows, path) != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "path already in use");
    }
    if (mln_len(rows) >= AUDIT_DEVICES_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "more than %u audit devices", AUDIT_DEVICES_MAX);
    }
    struct mln_value *row = audit_row_new(rq->cx, type, options, mln_get_text(rq->cx, mln_field_of(rq, "description"), ""));
    mln_put_bool(rq->cx, row, "local", mln_get_bool(mln_field_of(rq, "local"), false));
    mln_put_text(rq->cx, row, "path", path);
    mln_put_text(rq->cx, rq->detail, "device", path);
    mln_put_text(rq->cx, rq->detail, "type", type);
    mln_run_of(rq)->reload_audit = true;
    MLN_TRY(mln_cx_err(rq->cx));
    return audit_row_put(rq->cx, rq->txn, path, row);
}

static struct mln_err enable(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_core *core = mln_core_of(rq);
    const char *path = NULL, *type = mln_get_text(rq->cx, mln_field_of(rq, "type"), "");
    const struct mln_value *options = mln_field_of(rq, "options");
    struct audit_options read;
    (void)re;
    if (!core->config.audit_by_api) {
        return mln_fail(rq->cx, MLN_E_INVALID, BY_CONFIG);
    }
    MLN_TRY(path_of(rq, &path));
    MLN_TRY(audit_options_read(rq->cx, core->config.data_dir, type, options, &read));
    MLN_TRY(audit_device_try(rq->cx, &read));
    return add_row(rq, path, type, mln_is_null(options) ? mln_object(rq->cx) : options);
}

static struct mln_err disable(struct mln_request *rq, struct mln_reply *re)
{
    const char *path = NULL;
    const struct mln_value *rows = NULL;
    (void)re;
    MLN_TRY(path_of(rq, &path));
    MLN_TRY(audit_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *row = mln_get(rows, path);
    if (row == NULL) {
        return MLN_OK;
    }
    if (mln_get_bool(mln_get(row, "declared"), false)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot disable audit device via API: it is in the configuration");
    }
    mln_put_text(rq->cx, rq->detail, "device", path);
    mln_run_of(rq)->reload_audit = true;
    return audit_row_delete(rq->cx, rq->txn, path);
}

static struct mln_err hash(struct mln_request *rq, struct mln_reply *re)
{
    const char *path = NULL, *sum = NULL;
    const struct mln_value *input = mln_field_of(rq, "input");
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(path_of(rq, &path));
    if (mln_is_null(input)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the \"input\" parameter is empty");
    }
    MLN_TRY(mln_audit_hash(mln_core_of(rq), rq->cx, path, mln_get_bytes(input), &sum));
    mln_put_text(rq->cx, data, "hash", sum);
    re->data = data;
    re->top = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field device_fields[] = {
    F_TEXT("path", "The device's name."),
    F_TEXT("type", "file, socket or syslog."),
    F_TEXT("description", "For people."),
    {.name = "options", .type = MLN_FIELD_MAP, .help = "file_path, mode, format, log_raw, hmac_accessor, prefix and others."},
    {.name = "local", .type = MLN_FIELD_BOOL, .help = "Kept, without effect."},
    {0},
};
static const struct mln_field hash_fields[] = {
    F_TEXT("path", "The device's name."), {.name = "input", .type = MLN_FIELD_SECRET, .help = "What to hash."}, {0}};

const struct mln_path mln_sys_audit[] = {
    {.pattern = "audit", .summary = "List audit devices.", .read = list, .is_sudo = true},
    {.pattern = "audit/{path...}", .summary = "Enable or disable an audit device.", .fields = device_fields, .write = enable,
     .remove = disable, .is_sudo = true, .may_block = true, .is_relief = true, .controls = "AU-2,AU-12"},
    {.pattern = "audit-hash/{path...}", .summary = "Hash a text as a device does.", .fields = hash_fields, .write = hash,
     .controls = "AU-6"},
    {0},
};
