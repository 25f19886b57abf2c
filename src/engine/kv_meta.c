/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value engine: settings and history of a secret, lists, settings of the mount. */
#include "engine/kv_priv.h"

#include "base/text.h"

static const struct mln_value *versions_value(struct mln_request *rq, const struct kv_row *row)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *all = mln_object(cx);
    for (size_t i = 0; i < row->n; i++) {
        const struct kv_version *v = &row->versions[i];
        struct mln_value *one = mln_object(cx);
        mln_put_text(cx, one, "created_time", mln_time_text_go(cx, v->created_ns));
        mln_put_text(cx, one, "deletion_time",
                     v->deletion_ns != 0 ? mln_time_text_go(cx, v->deletion_ns) : "");
        mln_put_bool(cx, one, "destroyed", v->is_destroyed);
        mln_put(cx, all, mln_text_format(cx, "%lld", (long long)(row->first + (int64_t)i)), one);
    }
    return all;
}

/* What metadata answers, and detailed lists for each name. */
static struct mln_value *meta_value(struct mln_request *rq, const struct kv_row *row)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    mln_put_bool(cx, data, "cas_required", row->cas_required);
    mln_put_text(cx, data, "created_time", mln_time_text_go(cx, row->created_ns));
    mln_put_int(cx, data, "current_metadata_version", row->meta_version);
    mln_put_int(cx, data, "current_version", row->current);
    mln_put(cx, data, "custom_metadata", row->custom != NULL ? row->custom : mln_null(cx));
    mln_put_text(cx, data, "delete_version_after", mln_duration_text(cx, row->delete_after_s));
    mln_put_int(cx, data, "max_versions", row->max_versions);
    mln_put_bool(cx, data, "metadata_cas_required", row->meta_cas_required);
    mln_put_int(cx, data, "oldest_version", row->oldest);
    mln_put_text(cx, data, "updated_time", mln_time_text_go(cx, row->updated_ns));
    return data;
}

struct mln_err kv_meta_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    if (!row.is_there) {
        return kv_not_found(re);
    }
    struct mln_value *data = meta_value(rq, &row);
    mln_put(rq->cx, data, "versions", versions_value(rq, &row));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* Control characters would come out in terminals and logs of whoever reads them. */
static bool is_printable(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return mln_utf8_valid(text);
}

static struct mln_err check_length(struct mln_request *rq, const struct mln_member *m)
{
    static const char head[] = "custom_metadata validation failed";
    struct mln_bytes value = mln_get_bytes(&m->value), name = mln_bytes_sub(m->key, 0, KV_CUSTOM_KEY_MAX);
    if (m->key.len == 0 || m->key.len > KV_CUSTOM_KEY_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s: length of key \"%.*s\" is %zu but must be 0 < len(key) <= %d", head,
                        MLN_FMT(name), m->key.len, KV_CUSTOM_KEY_MAX);
    }
    if (value.len == 0 || value.len > KV_CUSTOM_VALUE_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "%s: length of value for key \"%.*s\" is %zu but must be 0 < len(value) <= %d", head, MLN_FMT(name),
                        value.len, KV_CUSTOM_VALUE_MAX);
    }
    if (!is_printable(m->key) || !is_printable(value)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s: a key or its value contains unprintable characters", head);
    }
    return MLN_OK;
}

/* Numbers and booleans become their texts, as Vault takes them. */
static const struct mln_value *custom_text(struct mln_cx *cx, const struct mln_value *v)
{
    switch (mln_type_of(v)) {
    case MLN_STRING:
        return v;
    case MLN_BOOL:
        return mln_text(cx, mln_get_bool(v, false) ? "1" : "0");
    case MLN_INT:
        return mln_textf(cx, "%lld", (long long)mln_get_int(v, 0));
    case MLN_DECIMAL:
        return mln_string(cx, mln_bytes_at(v->text, v->len));
    case MLN_NULL:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
    default:
        return NULL;
    }
}

/* custom_metadata as it is kept; NULL when there is none. */
static struct mln_err read_custom(struct mln_request *rq, const struct mln_value *given, const struct mln_value **ret)
{
    struct mln_value *out = mln_object(rq->cx);
    if (mln_len(given) > KV_CUSTOM_KEYS_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "custom_metadata validation failed: payload must contain at most %d keys, provided %zu",
                        KV_CUSTOM_KEYS_MAX, mln_len(given));
    }
    for (size_t i = 0; i < mln_len(given); i++) {
        const struct mln_member *m = mln_member_at(given, i);
        const struct mln_value *text = custom_text(rq->cx, &m->value);
        if (text == NULL) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "custom_metadata validation failed: value for key \"%.*s\" must be a string",
                            MLN_FMT(mln_bytes_sub(m->key, 0, KV_CUSTOM_KEY_MAX)));
        }
        mln_put_key(rq->cx, out, m->key, text);
        MLN_TRY(mln_cx_err(rq->cx));
        MLN_TRY(check_length(rq, mln_member_at(out, i)));
    }
    *ret = mln_len(out) > 0 ? out : NULL;
    return MLN_OK;
}

/* A number among the settings: absent keeps it; null, which only a patch has a use for, takes it back. */
static int64_t setting(const struct mln_request *rq, const char *name, int64_t before)
{
    const struct mln_value *v = mln_field_of(rq, name);
    return v == NULL ? before : mln_get_int(v, 0);
}

static bool flag(const struct mln_request *rq, const char *name, bool before)
{
    const struct mln_value *v = mln_field_of(rq, name);
    return v == NULL ? before : mln_get_bool(v, false);
}

static struct mln_err read_max_versions(struct mln_request *rq, int64_t *ret)
{
    int64_t most = setting(rq, "max_versions", *ret);
    if (most < 0 || most > KV_VERSIONS_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "max_versions must be 0 to %d", KV_VERSIONS_MAX);
    }
    *ret = most;
    return MLN_OK;
}

static struct mln_err check_meta_cas(struct mln_request *rq, const struct kv_row *row,
                                     const struct kv_config *config)
{
    const struct mln_value *cas = mln_field_of(rq, "metadata_cas");
    if (mln_is_null(cas)) {
        return row->meta_cas_required || config->meta_cas_required
                   ? mln_fail(rq->cx, MLN_E_PRECONDITION,
                              "metadata check-and-set parameter required for this call")
                   : MLN_OK;
    }
    if (mln_get_int(cas, -1) != row->meta_version) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION,
                        "metadata check-and-set parameter did not match the current version");
    }
    return MLN_OK;
}

/* Write and patch differ only in what becomes of custom_metadata. */
static struct mln_err change_meta(struct mln_request *rq, struct mln_reply *re, struct kv_row *row,
                                  const struct mln_value *custom)
{
    struct kv_config config;
    MLN_TRY(kv_config_load(rq, &config));
    MLN_TRY(check_meta_cas(rq, row, &config));
    MLN_TRY(read_max_versions(rq, &row->max_versions));
    MLN_TRY(read_custom(rq, custom, &row->custom));
    row->cas_required = flag(rq, "cas_required", row->cas_required);
    row->meta_cas_required = flag(rq, "metadata_cas_required", row->meta_cas_required);
    row->delete_after_s = setting(rq, "delete_version_after", row->delete_after_s);
    if (config.cas_required && mln_field_of(rq, "cas_required") != NULL && !row->cas_required) {
        mln_reply_warn(rq, re, "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.");
    }
    if (!row->is_there) {
        row->is_there = true;
        row->created_ns = rq->now_ns;
    }
    row->meta_version++;
    row->updated_ns = rq->now_ns;
    re->status = re->warnings != NULL ? 200 : 204;
    return kv_store(rq, row);
}

struct mln_err kv_meta_exists(struct mln_request *rq, bool *ret)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    *ret = row.is_there;
    return MLN_OK;
}

struct mln_err kv_meta_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    const struct mln_value *custom = mln_field_of(rq, "custom_metadata");
    return change_meta(rq, re, &row, custom != NULL ? custom : row.custom);
}

struct mln_err kv_meta_patch(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    if (!row.is_there) {
        return kv_not_found(re);
    }
    const struct mln_value *patch = mln_field_of(rq, "custom_metadata");
    bool clears = patch != NULL && mln_is_null(patch);
    const struct mln_value *custom = clears          ? NULL
                                     : patch != NULL ? kv_merge(rq->cx, row.custom, patch, 0)
                                                     : row.custom;
    MLN_TRY(mln_cx_err(rq->cx));
    return change_meta(rq, re, &row, custom);
}

struct mln_err kv_meta_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    mln_txn_mark_relief(rq->txn); /* must work on a full disk */
    re->status = 204;
    return row.is_there ? kv_drop(rq, &row) : MLN_OK;
}

/* Names below a folder: of secrets with versions, and of those that version 1 left. */
static struct mln_err names_below(struct mln_request *rq, struct mln_bytes folder, const struct mln_value **ret)
{
    static const char *const heads[] = {"d/", "r/"};
    const struct mln_value *lists[MLN_COUNT(heads)] = {NULL};
    for (size_t i = 0; i < MLN_COUNT(heads); i++) {
        struct mln_bytes prefix = kv_plain_key(rq->cx, heads[i], folder);
        MLN_TRY(mln_cx_err(rq->cx));
        MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, prefix, &lists[i]));
    }
    if (mln_len(lists[1]) == 0) {
        *ret = lists[0];
        return MLN_OK;
    }
    struct mln_value *names = mln_set(rq->cx), *out = mln_array(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(heads); i++) {
        for (size_t k = 0; k < mln_len(lists[i]); k++) {
            mln_push(rq->cx, names, mln_item(lists[i], k));
        }
    }
    for (size_t k = 0; k < mln_len(names); k++) {
        mln_push(rq->cx, out, mln_item(names, k));
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

/* The asked page of the folder that the path names; *ret_folder ends in "/" or is empty. */
static struct mln_err list_page(struct mln_request *rq, struct mln_bytes *ret_folder, const struct mln_value **ret)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    const struct mln_value *all = NULL;
    bool has_end = path.len == 0 || path.ptr[path.len - 1] == '/';
    *ret_folder = has_end ? path : mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(path));
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(names_below(rq, *ret_folder, &all));
    return kv_page(rq, all, ret);
}

struct mln_err kv_meta_list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes folder;
    const struct mln_value *keys = NULL;
    MLN_TRY(list_page(rq, &folder, &keys));
    if (mln_len(keys) == 0) {
        return kv_not_found(re);
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* Folders are named without settings: they have none. */
struct mln_err kv_meta_list_detailed(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes folder;
    const struct mln_value *keys = NULL;
    MLN_TRY(list_page(rq, &folder, &keys));
    if (mln_len(keys) == 0) {
        return kv_not_found(re);
    }
    struct mln_value *data = mln_object(rq->cx), *infos = mln_object(rq->cx);
    for (size_t i = 0; i < mln_len(keys); i++) {
        struct kv_row row;
        struct mln_bytes name = mln_get_bytes(mln_item(keys, i));
        if (mln_bytes_ends(name, MLN_BYTES("/"))) {
            continue;
        }
        struct mln_bytes path = mln_bytes_format(rq->cx, "%.*s%.*s", MLN_FMT(folder), MLN_FMT(name));
        MLN_TRY(mln_cx_err(rq->cx));
        MLN_TRY(kv_load(rq, path, &row));
        mln_put_key(rq->cx, infos, name, meta_value(rq, &row));
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put(rq->cx, data, "key_info", infos);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err kv_config_read(struct mln_request *rq, struct mln_reply *re)
{
    struct kv_config config;
    MLN_TRY(kv_config_load(rq, &config));
    struct mln_value *data = mln_object(rq->cx);
    mln_put_bool(rq->cx, data, "cas_required", config.cas_required);
    mln_put_text(rq->cx, data, "delete_version_after",
                 mln_duration_text(rq->cx, config.delete_after_s));
    mln_put_int(rq->cx, data, "max_versions", config.max_versions);
    mln_put_bool(rq->cx, data, "metadata_cas_required", config.meta_cas_required);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err kv_config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct kv_config config;
    MLN_TRY(kv_config_load(rq, &config));
    MLN_TRY(read_max_versions(rq, &config.max_versions));
    config.cas_required = flag(rq, "cas_required", config.cas_required);
    config.meta_cas_required = flag(rq, "metadata_cas_required", config.meta_cas_required);
    config.delete_after_s = setting(rq, "delete_version_after", config.delete_after_s);
    re->status = 204;
    return kv_config_store(rq, &config);
}
