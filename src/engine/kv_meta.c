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

struct mln_err kv_meta_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    if (!row.is_there) {
        return kv_not_found(re);
    }
    struct mln_value *data = mln_object(cx);
    mln_put_bool(cx, data, "cas_required", row.cas_required);
    mln_put_text(cx, data, "created_time", mln_time_text_go(cx, row.created_ns));
    mln_put_int(cx, data, "current_metadata_version", row.meta_version);
    mln_put_int(cx, data, "current_version", row.current);
    mln_put(cx, data, "custom_metadata", row.custom != NULL ? row.custom : mln_null(cx));
    mln_put_text(cx, data, "delete_version_after", mln_duration_text(cx, row.delete_after_s));
    mln_put_int(cx, data, "max_versions", row.max_versions);
    mln_put_bool(cx, data, "metadata_cas_required", row.meta_cas_required);
    mln_put_int(cx, data, "oldest_version", row.oldest);
    mln_put_text(cx, data, "updated_time", mln_time_text_go(cx, row.updated_ns));
    mln_put(cx, data, "versions", versions_value(rq, &row));
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err check_custom(struct mln_request *rq, const struct mln_value *custom)
{
    const char *head = "custom_metadata validation failed";
    if (mln_len(custom) > KV_CUSTOM_KEYS_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "%s: payload must contain at most %d keys, provided %zu", head,
                        KV_CUSTOM_KEYS_MAX, mln_len(custom));
    }
    for (size_t i = 0; i < mln_len(custom); i++) {
        const struct mln_member *m = mln_member_at(custom, i);
        struct mln_bytes value = mln_get_bytes(&m->value);
        if (m->key.len == 0 || m->key.len > KV_CUSTOM_KEY_MAX) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "%s: length of key \"%.*s\" is %zu but must be 1 to %d", head,
                            MLN_FMT(mln_bytes_sub(m->key, 0, KV_CUSTOM_KEY_MAX)), m->key.len,
                            KV_CUSTOM_KEY_MAX);
        }
        if (mln_type_of(&m->value) != MLN_STRING) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s: value for key \"%.*s\" must be a string",
                            head, MLN_FMT(m->key));
        }
        if (value.len == 0 || value.len > KV_CUSTOM_VALUE_MAX) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "%s: length of value for key \"%.*s\" is %zu but must be 1 to %d", head,
                            MLN_FMT(m->key), value.len, KV_CUSTOM_VALUE_MAX);
        }
    }
    return MLN_OK;
}

static struct mln_err read_max_versions(struct mln_request *rq, int64_t *ret)
{
    int64_t most = mln_get_int(mln_field_of(rq, "max_versions"), *ret);
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
    MLN_TRY(check_custom(rq, custom));
    row->custom = mln_len(custom) > 0 ? custom : NULL;
    row->cas_required = mln_get_bool(mln_field_of(rq, "cas_required"), row->cas_required);
    row->meta_cas_required =
        mln_get_bool(mln_field_of(rq, "metadata_cas_required"), row->meta_cas_required);
    row->delete_after_s =
        mln_get_int(mln_field_of(rq, "delete_version_after"), row->delete_after_s);
    if (!row->is_there) {
        row->is_there = true;
        row->created_ns = rq->now_ns;
    }
    row->meta_version++;
    row->updated_ns = rq->now_ns;
    re->status = 204;
    return kv_store(rq, row);
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
    const struct mln_value *custom =
        patch != NULL ? kv_merge(rq->cx, row.custom, patch, 0) : row.custom;
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

struct mln_err kv_meta_list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    const struct mln_value *keys = NULL;
    bool has_end = path.len == 0 || path.ptr[path.len - 1] == '/';
    MLN_AUTO(mln_buf_drop) struct mln_buf prefix = {0};
    mln_buf_add_text(&prefix, "d/");
    mln_buf_add_bytes(&prefix, path);
    mln_buf_add_text(&prefix, has_end ? "" : "/");
    MLN_TRY(mln_buf_ok(rq->cx, &prefix));
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_buf_bytes(&prefix), &keys));
    if (mln_len(keys) == 0) {
        return kv_not_found(re);
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
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
    config.cas_required = mln_get_bool(mln_field_of(rq, "cas_required"), config.cas_required);
    config.meta_cas_required =
        mln_get_bool(mln_field_of(rq, "metadata_cas_required"), config.meta_cas_required);
    config.delete_after_s =
        mln_get_int(mln_field_of(rq, "delete_version_after"), config.delete_after_s);
    re->status = 204;
    return kv_config_store(rq, &config);
}
