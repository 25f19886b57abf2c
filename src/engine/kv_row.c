/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value engine: rows of the store, versions, and what handlers share. No handler is here. */
#include "engine/kv_priv.h"

#include "base/limits.h"
#include "base/text.h"

#define KV_FORMAT 1

enum {
    COL_FORMAT, COL_CURRENT, COL_OLDEST, COL_CREATED, COL_UPDATED, COL_MAX, COL_AFTER, COL_META,
    COL_CAS, COL_META_CAS, COL_CUSTOM, COL_VERSIONS, COL_DATA, COL_COUNT,
};

struct mln_err kv_path(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    if (path.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing path");
    }
    bool writes = rq->op == MLN_OP_WRITE || rq->op == MLN_OP_PATCH;
    if (writes && path.ptr[path.len - 1] == '/') {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot write to a path ending in '/'");
    }
    if (path.len > MLN_PATH_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "path is longer than %d bytes", MLN_PATH_MAX_BYTES);
    }
    *ret = path;
    return MLN_OK;
}

static struct mln_bytes version_key(struct mln_cx *cx, struct mln_bytes path, int64_t number)
{
    struct mln_bytes at = kv_plain_key(cx, "v/", path);
    return mln_bytes_format(cx, "%.*s/%08llx", MLN_FMT(at), (unsigned long long)number);
}

static struct mln_err read_versions(struct mln_cx *cx, const struct mln_value *flat,
                                    struct kv_row *row)
{
    row->n = mln_len(flat) / 3;
    row->versions = mln_new_array(cx, row->n + 1, sizeof(*row->versions)); /* + 1: kv_append */
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < row->n; i++) {
        row->versions[i] = (struct kv_version){
            .created_ns = mln_get_int(mln_item(flat, 3 * i), 0),
            .deletion_ns = mln_get_int(mln_item(flat, 3 * i + 1), 0),
            .is_destroyed = mln_get_bool(mln_item(flat, 3 * i + 2), false),
        };
    }
    row->first = row->current - (int64_t)row->n + 1;
    return MLN_OK;
}

/* A secret from before the mount was upgraded: its only version is what was written then. Nothing at all: an empty row. */
static struct mln_err load_old(struct mln_request *rq, struct mln_bytes path, struct kv_row *ret)
{
    struct kv_row row = {.path = path, .first = 1};
    MLN_TRY(read_versions(rq->cx, NULL, &row));
    struct mln_err err = kv_plain_load(rq, kv_plain_key(rq->cx, "r/", path), &row.created_ns, &row.data);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (!mln_failed(err)) {
        row.is_there = row.is_old = true;
        row.updated_ns = row.created_ns;
        row.current = 1;
        row.versions = mln_new_array(rq->cx, 2, sizeof(*row.versions)); /* one more: kv_append */
        MLN_TRY(mln_cx_err(rq->cx));
        row.versions[row.n++] = (struct kv_version){.created_ns = row.created_ns};
    }
    *ret = row;
    return MLN_OK;
}

/* What version 1 left of this secret goes. */
static struct mln_err drop_old(struct mln_request *rq, const struct kv_row *row)
{
    struct mln_bytes key = row->is_old ? kv_plain_key(rq->cx, "r/", row->path) : MLN_BYTES_NONE;
    MLN_TRY(mln_cx_err(rq->cx));
    return row->is_old ? mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key) : MLN_OK;
}

struct mln_err kv_load(struct mln_request *rq, struct mln_bytes path, struct kv_row *ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *v = NULL;
    struct kv_row row = {.path = path, .first = 1};
    struct mln_bytes key = kv_plain_key(cx, "d/", path);
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = mln_txn_get_value(cx, rq->txn, rq->mount->view, key, &v);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return load_old(rq, path, ret);
    }
    MLN_TRY(err);
    if (mln_len(v) != COL_COUNT || mln_get_int(mln_item(v, COL_FORMAT), 0) != KV_FORMAT) {
        return mln_fail(cx, MLN_E_CORRUPT, "kv: damaged history");
    }
    row.is_there = true;
    row.current = mln_get_int(mln_item(v, COL_CURRENT), 0);
    row.oldest = mln_get_int(mln_item(v, COL_OLDEST), 0);
    row.created_ns = mln_get_int(mln_item(v, COL_CREATED), 0);
    row.updated_ns = mln_get_int(mln_item(v, COL_UPDATED), 0);
    row.max_versions = mln_get_int(mln_item(v, COL_MAX), 0);
    row.delete_after_s = mln_get_int(mln_item(v, COL_AFTER), 0);
    row.meta_version = mln_get_int(mln_item(v, COL_META), 0);
    row.cas_required = mln_get_bool(mln_item(v, COL_CAS), false);
    row.meta_cas_required = mln_get_bool(mln_item(v, COL_META_CAS), false);
    row.custom = mln_is_null(mln_item(v, COL_CUSTOM)) ? NULL : mln_item(v, COL_CUSTOM);
    row.data = mln_is_null(mln_item(v, COL_DATA)) ? NULL : mln_item(v, COL_DATA);
    MLN_TRY(read_versions(cx, mln_item(v, COL_VERSIONS), &row));
    *ret = row;
    return MLN_OK;
}

struct mln_err kv_store(struct mln_request *rq, const struct kv_row *row)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_array(cx), *flat = mln_array(cx);
    const int64_t numbers[] = {KV_FORMAT,         row->current,      row->oldest,         row->created_ns,
                               row->updated_ns,   row->max_versions, row->delete_after_s, row->meta_version};
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        mln_push(cx, v, mln_int(cx, numbers[i]));
    }
    for (size_t i = 0; i < row->n; i++) {
        mln_push(cx, flat, mln_int(cx, row->versions[i].created_ns));
        mln_push(cx, flat, mln_int(cx, row->versions[i].deletion_ns));
        mln_push(cx, flat, mln_bool(cx, row->versions[i].is_destroyed));
    }
    mln_push(cx, v, mln_bool(cx, row->cas_required));
    mln_push(cx, v, mln_bool(cx, row->meta_cas_required));
    mln_push(cx, v, row->custom != NULL ? row->custom : mln_null(cx));
    mln_push(cx, v, flat);
    mln_push(cx, v, row->data != NULL ? row->data : mln_null(cx));
    struct mln_bytes key = kv_plain_key(cx, "d/", row->path);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(drop_old(rq, row));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, key, v);
}

struct mln_err kv_config_load(struct mln_request *rq, struct kv_config *ret)
{
    const struct mln_value *v = NULL;
    struct mln_err err =
        mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), &v);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    *ret = (struct kv_config){
        .max_versions = mln_get_int(mln_get(v, "max_versions"), 0),
        .delete_after_s = mln_get_int(mln_get(v, "delete_version_after"), 0),
        .cas_required = mln_get_bool(mln_get(v, "cas_required"), false),
        .meta_cas_required = mln_get_bool(mln_get(v, "metadata_cas_required"), false),
    };
    return MLN_OK;
}

struct mln_err kv_config_store(struct mln_request *rq, const struct kv_config *config)
{
    struct mln_value *v = mln_object(rq->cx);
    mln_put_int(rq->cx, v, "max_versions", config->max_versions);
    mln_put_int(rq->cx, v, "delete_version_after", config->delete_after_s);
    mln_put_bool(rq->cx, v, "cas_required", config->cas_required);
    mln_put_bool(rq->cx, v, "metadata_cas_required", config->meta_cas_required);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), v);
}

struct kv_version *kv_version_of(const struct kv_row *row, int64_t number)
{
    if (number == 0) {
        number = row->current;
    }
    if (number < row->first || number > row->current || row->n == 0) {
        return NULL;
    }
    return &row->versions[number - row->first];
}

bool kv_is_gone(const struct kv_version *v, int64_t now_ns)
{
    return v->is_destroyed || (v->deletion_ns != 0 && v->deletion_ns <= now_ns);
}

struct mln_err kv_value(struct mln_request *rq, const struct kv_row *row, int64_t number,
                        const struct mln_value **ret)
{
    if (number == row->current) {
        *ret = row->data;
        return row->data != NULL ? MLN_OK : (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_bytes key = version_key(rq->cx, row->path, number);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, ret);
}

static struct mln_err drop_value(struct mln_request *rq, const struct kv_row *row, int64_t number)
{
    struct mln_bytes key = version_key(rq->cx, row->path, number);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key);
}

int64_t kv_deletion_time(const struct kv_row *row, const struct kv_config *config, int64_t now_ns)
{
    int64_t a = config->delete_after_s, b = row->delete_after_s;
    int64_t s = b == 0 ? a : a > 0 && a < b ? a : b;
    return s <= 0 || s > (INT64_MAX - now_ns) / 1000000000 ? 0 : now_ns + s * 1000000000;
}

static struct mln_err prune(struct mln_request *rq, struct kv_row *row,
                            const struct kv_config *config)
{
    int64_t most = row->max_versions > 0      ? row->max_versions
                   : config->max_versions > 0 ? config->max_versions
                                              : KV_VERSIONS_DEFAULT;
    size_t extra = row->n > (size_t)most ? row->n - (size_t)most : 0;
    for (size_t i = 0; i < extra; i++) {
        if (!row->versions[i].is_destroyed) {
            MLN_TRY(drop_value(rq, row, row->first + (int64_t)i));
        }
    }
    row->versions += extra;
    row->n -= extra;
    row->first += (int64_t)extra;
    row->oldest = extra > 0 ? row->first : row->oldest;
    return MLN_OK;
}

struct mln_err kv_append(struct mln_request *rq, struct kv_row *row, const struct kv_config *config,
                         const struct mln_value *data)
{
    if (row->data != NULL) {
        struct mln_bytes key = version_key(rq->cx, row->path, row->current);
        MLN_TRY(mln_cx_err(rq->cx));
        MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key, row->data));
    }
    if (!row->is_there) {
        row->created_ns = rq->now_ns;
        row->is_there = true;
    }
    row->versions[row->n++] = (struct kv_version){
        .created_ns = rq->now_ns,
        .deletion_ns = kv_deletion_time(row, config, rq->now_ns),
    };
    row->current++;
    row->updated_ns = rq->now_ns;
    row->data = data;
    MLN_TRY(prune(rq, row, config));
    return kv_store(rq, row);
}

struct mln_err kv_destroy(struct mln_request *rq, struct kv_row *row, int64_t number)
{
    struct kv_version *v = kv_version_of(row, number);
    if (v == NULL || v->is_destroyed) {
        return MLN_OK;
    }
    v->is_destroyed = true;
    if (number == row->current) {
        row->data = NULL;
        return MLN_OK;
    }
    return drop_value(rq, row, number);
}

struct mln_err kv_drop(struct mln_request *rq, const struct kv_row *row)
{
    for (size_t i = 0; i < row->n; i++) {
        int64_t number = row->first + (int64_t)i;
        if (!row->versions[i].is_destroyed && number != row->current) {
            MLN_TRY(drop_value(rq, row, number));
        }
    }
    struct mln_bytes key = kv_plain_key(rq->cx, "d/", row->path);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(drop_old(rq, row));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key);
}

const struct mln_value *kv_version_value(struct mln_request *rq, const struct kv_row *row,
                                         int64_t number)
{
    struct mln_cx *cx = rq->cx;
    const struct kv_version *v = kv_version_of(row, number);
    MLN_CHECK(v != NULL); /* callers name a version that is there */
    struct mln_value *out = mln_object(cx);
    mln_put_text(cx, out, "created_time", mln_time_text_go(cx, v->created_ns));
    mln_put(cx, out, "custom_metadata", row->custom != NULL ? row->custom : mln_null(cx));
    mln_put_text(cx, out, "deletion_time",
                 v->deletion_ns != 0 ? mln_time_text_go(cx, v->deletion_ns) : "");
    mln_put_bool(cx, out, "destroyed", v->is_destroyed);
    mln_put_int(cx, out, "version", number);
    return out;
}

struct mln_err kv_not_found(struct mln_reply *re)
{
    re->status = 404;
    re->no_errors_text = true;
    return MLN_OK;
}

struct mln_value *kv_merge(struct mln_cx *cx, const struct mln_value *old,
                           const struct mln_value *patch, unsigned depth)
{
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(old) && mln_type_of(old) == MLN_OBJECT; i++) {
        const struct mln_member *m = mln_member_at(old, i);
        if (mln_get_key(patch, m->key) == NULL) {
            mln_put_key(cx, out, m->key, &m->value);
        }
    }
    for (size_t i = 0; i < mln_len(patch); i++) {
        const struct mln_member *m = mln_member_at(patch, i);
        if (mln_type_of(&m->value) == MLN_OBJECT && depth < MLN_VALUE_DEPTH_MAX) {
            mln_put_key(cx, out, m->key,
                        kv_merge(cx, mln_get_key(old, m->key), &m->value, depth + 1));
        } else if (!mln_is_null(&m->value)) {
            mln_put_key(cx, out, m->key, &m->value);
        }
    }
    return out;
}
