/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value engine: reading and writing versions of secrets. Texts as Vault's clients know them (docs/engine-kv.md). */
#include "engine/kv_priv.h"

#include "base/text.h"

/* The version that the request names, 0 and below the newest; 0 when there is none. */
static int64_t wanted(struct mln_request *rq, const struct kv_row *row)
{
    int64_t number = mln_get_int(mln_field_of(rq, "version"), 0);
    number = number <= 0 ? row->current : number;
    return kv_version_of(row, number) != NULL ? number : 0;
}

/* What a version holds: a map. Clients know the beginning of the refusal. */
static struct mln_err check_data(struct mln_request *rq, const struct mln_value *data)
{
    return mln_type_of(data) == MLN_OBJECT
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "error converting input for field \"data\": expected a map");
}

/* 404 that still tells what was there. */
static struct mln_err gone(struct mln_request *rq, struct mln_reply *re, const struct kv_row *row,
                           int64_t number, const char *name)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put_null(rq->cx, data, name);
    mln_put(rq->cx, data, "metadata", kv_version_value(rq, row, number));
    re->status = 404;
    re->data = data;
    return MLN_OK;
}

/* What data and subkeys share: *ret is NULL when the reply says already why there is nothing. */
static struct mln_err read_version(struct mln_request *rq, struct mln_reply *re, struct kv_row *row,
                                   const char *name, const struct mln_value **ret)
{
    struct mln_bytes path;
    *ret = NULL;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, row));
    int64_t number = wanted(rq, row);
    if (number == 0) {
        return kv_not_found(re);
    }
    mln_put_int(rq->cx, rq->detail, "version", number);
    if (kv_is_gone(kv_version_of(row, number), rq->now_ns)) {
        return gone(rq, re, row, number, name);
    }
    struct mln_err err = kv_value(rq, row, number, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_CORRUPT, "kv: the value of version %lld is missing",
                        (long long)number);
    }
    MLN_TRY(err);
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, name, *ret);
    mln_put(rq->cx, data, "metadata", kv_version_value(rq, row, number));
    re->data = data;
    return MLN_OK;
}

struct mln_err kv_data_read(struct mln_request *rq, struct mln_reply *re)
{
    struct kv_row row;
    const struct mln_value *value = NULL;
    return read_version(rq, re, &row, "data", &value);
}

/* The names of a secret's members without their values. */
static struct mln_value *names_of(struct mln_cx *cx, const struct mln_value *v, int64_t depth)
{
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        bool goes_on = mln_type_of(&m->value) == MLN_OBJECT && depth > 1;
        mln_put_key(cx, out, m->key, goes_on ? names_of(cx, &m->value, depth - 1) : mln_null(cx));
    }
    return out;
}

struct mln_err kv_subkeys_read(struct mln_request *rq, struct mln_reply *re)
{
    struct kv_row row;
    const struct mln_value *value = NULL;
    int64_t depth = mln_get_int(mln_field_of(rq, "depth"), 0);
    if (depth < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "depth cannot be negative");
    }
    MLN_TRY(read_version(rq, re, &row, "subkeys", &value));
    if (value == NULL) {
        return MLN_OK;
    }
    struct mln_value *data = mln_object(rq->cx);
    bool is_all = depth == 0 || depth > MLN_VALUE_DEPTH_MAX;
    mln_put(rq->cx, data, "metadata", mln_get(re->data, "metadata"));
    mln_put(rq->cx, data, "subkeys", names_of(rq->cx, value, is_all ? MLN_VALUE_DEPTH_MAX : depth));
    re->data = data;
    return MLN_OK;
}

static struct mln_err check_cas(struct mln_request *rq, const struct kv_row *row,
                                const struct kv_config *config)
{
    const struct mln_value *cas = mln_get(mln_field_of(rq, "options"), "cas");
    if (mln_is_null(cas)) {
        if (row->cas_required || config->cas_required) {
            return mln_fail(rq->cx, MLN_E_PRECONDITION,
                            "check-and-set parameter required for this call");
        }
        return MLN_OK;
    }
    int64_t number = -1;
    bool is_text = mln_type_of(cas) == MLN_STRING;
    if (mln_type_of(cas) == MLN_INT) {
        number = mln_get_int(cas, -1);
    } else if (!is_text || !mln_i64_parse(mln_get_bytes(cas), &number)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "error parsing check-and-set parameter");
    }
    if (number != row->current) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION,
                        "check-and-set parameter did not match the current version");
    }
    return MLN_OK;
}

static struct mln_err finish_write(struct mln_request *rq, struct mln_reply *re, struct kv_row *row,
                                   const struct kv_config *config, const struct mln_value *data)
{
    MLN_TRY(kv_append(rq, row, config, kv_mark(rq->cx, data)));
    mln_put_int(rq->cx, rq->detail, "version", row->current);
    re->data = kv_version_value(rq, row, row->current);
    return mln_cx_err(rq->cx);
}

struct mln_err kv_data_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    struct kv_config config;
    const struct mln_value *data = mln_field_of(rq, "data");
    MLN_TRY(kv_path(rq, &path));
    if (data == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no data provided");
    }
    data = mln_is_null(data) ? mln_object(rq->cx) : data; /* a null is a version that holds nothing */
    MLN_TRY(check_data(rq, data));
    MLN_TRY(kv_load(rq, path, &row));
    MLN_TRY(kv_config_load(rq, &config));
    MLN_TRY(check_cas(rq, &row, &config));
    return finish_write(rq, re, &row, &config, data);
}

struct mln_err kv_data_patch(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    struct kv_config config;
    const struct mln_value *patch = mln_field_of(rq, "data"), *old = NULL;
    MLN_TRY(kv_path(rq, &path));
    if (mln_is_null(patch)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no data provided");
    }
    MLN_TRY(check_data(rq, patch));
    MLN_TRY(kv_load(rq, path, &row));
    if (kv_version_of(&row, 0) == NULL) {
        return kv_not_found(re);
    }
    MLN_TRY(kv_config_load(rq, &config));
    MLN_TRY(check_cas(rq, &row, &config));
    if (kv_is_gone(kv_version_of(&row, 0), rq->now_ns)) {
        re->status = 404;
        re->data = kv_version_value(rq, &row, row.current);
        return mln_cx_err(rq->cx);
    }
    MLN_TRY(kv_value(rq, &row, row.current, &old));
    return finish_write(rq, re, &row, &config, kv_merge(rq->cx, old, patch, 0));
}

struct mln_err kv_data_exists(struct mln_request *rq, bool *ret)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    *ret = row.current > 0;
    return MLN_OK;
}

struct mln_err kv_data_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path;
    struct kv_row row;
    MLN_TRY(kv_path(rq, &path));
    MLN_TRY(kv_load(rq, path, &row));
    struct kv_version *v = kv_version_of(&row, 0);
    re->status = 204;
    if (v == NULL || kv_is_gone(v, rq->now_ns)) {
        return MLN_OK;
    }
    mln_txn_mark_relief(rq->txn);
    v->deletion_ns = rq->now_ns;
    mln_put_int(rq->cx, rq->detail, "version", row.current);
    return kv_store(rq, &row);
}

/* delete, undelete and destroy: the same walk over named versions. */
enum change { CHANGE_DELETE, CHANGE_UNDELETE, CHANGE_DESTROY };

static struct mln_err change_one(struct mln_request *rq, struct kv_row *row, int64_t number,
                                 enum change change, const struct kv_config *config)
{
    struct kv_version *v = number > 0 ? kv_version_of(row, number) : NULL;
    if (v == NULL || v->is_destroyed) {
        return MLN_OK;
    }
    if (change == CHANGE_DESTROY) {
        return kv_destroy(rq, row, number);
    }
    if (change == CHANGE_UNDELETE) {
        v->deletion_ns = kv_deletion_time(row, config, rq->now_ns);
    } else if (!kv_is_gone(v, rq->now_ns)) {
        v->deletion_ns = rq->now_ns;
    }
    return MLN_OK;
}

static struct mln_err change_versions(struct mln_request *rq, struct mln_reply *re,
                                      enum change change)
{
    struct mln_bytes path;
    struct kv_row row;
    struct kv_config config;
    const struct mln_value *list = mln_field_of(rq, "versions");
    MLN_TRY(kv_path(rq, &path));
    if (mln_len(list) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "No version number provided");
    }
    MLN_TRY(kv_config_load(rq, &config));
    MLN_TRY(kv_load(rq, path, &row));
    re->status = 204; /* also when there is nothing to change */
    if (!row.is_there) {
        return MLN_OK;
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        MLN_TRY(change_one(rq, &row, mln_get_int(mln_item(list, i), 0), change, &config));
    }
    mln_put(rq->cx, rq->detail, "versions", list);
    return kv_store(rq, &row);
}

struct mln_err kv_delete_write(struct mln_request *rq, struct mln_reply *re)
{
    return change_versions(rq, re, CHANGE_DELETE);
}

struct mln_err kv_undelete_write(struct mln_request *rq, struct mln_reply *re)
{
    return change_versions(rq, re, CHANGE_UNDELETE);
}

struct mln_err kv_destroy_write(struct mln_request *rq, struct mln_reply *re)
{
    return change_versions(rq, re, CHANGE_DESTROY);
}
