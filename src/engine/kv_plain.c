/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets without versions, one row each: what version 1 of the key-value engine and cubbyholes share. */
#include "engine/kv_priv.h"

#include "base/text.h"

#define PLAIN_FORMAT 1

enum { COL_FORMAT, COL_WRITTEN, COL_DATA, COL_COUNT };

static struct mln_value *mark(struct mln_cx *cx, const struct mln_value *v, unsigned depth)
{
    struct mln_value *out = NULL;
    enum mln_type type = mln_type_of(v);
    if (depth > MLN_VALUE_DEPTH_MAX || (type != MLN_STRING && type != MLN_ARRAY && type != MLN_OBJECT)) {
        return mln_value_dup(cx, v);
    }
    if (type == MLN_STRING) {
        out = mln_string(cx, mln_get_bytes(v));
        if (mln_type_of(out) == MLN_STRING) { /* else the arena is exhausted */
            out->flags = (uint8_t)(v->flags | MLN_VALUE_SECRET);
        }
        return out;
    }
    out = type == MLN_ARRAY ? mln_array(cx) : mln_object(cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        if (type == MLN_ARRAY) {
            mln_push(cx, out, mark(cx, mln_item(v, i), depth + 1));
        } else {
            const struct mln_member *m = mln_member_at(v, i);
            mln_put_key(cx, out, m->key, mark(cx, &m->value, depth + 1));
        }
    }
    return out;
}

struct mln_value *kv_mark(struct mln_cx *cx, const struct mln_value *v)
{
    return mark(cx, v, 0);
}

struct mln_bytes kv_plain_key(struct mln_cx *cx, const char *head, struct mln_bytes path)
{
    struct mln_bytes h = mln_bytes_of(head);
    uint8_t *to = mln_new(cx, h.len + path.len + 1);
    if (to == NULL) {
        return MLN_BYTES_NONE;
    }
    mln_copy(to, h.ptr, h.len);
    mln_copy(to + h.len, path.ptr, path.len);
    return mln_bytes_at(to, h.len + path.len);
}

struct mln_err kv_plain_load(struct mln_request *rq, struct mln_bytes at, int64_t *ret_written_ns,
                             const struct mln_value **ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(mln_cx_err(rq->cx)); /* of the key */
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, at, &v));
    const struct mln_value *data = mln_item(v, COL_DATA);
    if (mln_len(v) != COL_COUNT || mln_get_int(mln_item(v, COL_FORMAT), 0) != PLAIN_FORMAT ||
        mln_type_of(data) != MLN_OBJECT) {
        return mln_fail(rq->cx, MLN_E_CORRUPT, "kv: damaged secret");
    }
    *ret_written_ns = mln_get_int(mln_item(v, COL_WRITTEN), 0);
    *ret = data;
    return MLN_OK;
}

struct mln_err kv_plain_read(struct mln_request *rq, struct mln_reply *re, struct mln_bytes at)
{
    int64_t written_ns = 0;
    struct mln_err err = kv_plain_load(rq, at, &written_ns, &re->data);
    return mln_is(err, MLN_E_NOT_FOUND) ? kv_not_found(re) : err;
}

struct mln_err kv_plain_write(struct mln_request *rq, struct mln_reply *re, struct mln_bytes at)
{
    struct mln_cx *cx = rq->cx;
    if (mln_len(rq->data) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing data fields");
    }
    struct mln_value *v = mln_array(cx);
    mln_push(cx, v, mln_int(cx, PLAIN_FORMAT));
    mln_push(cx, v, mln_int(cx, rq->now_ns));
    mln_push(cx, v, kv_mark(cx, rq->data));
    MLN_TRY(mln_cx_err(cx));
    re->status = 204;
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, at, v);
}

struct mln_err kv_plain_remove(struct mln_request *rq, struct mln_reply *re, struct mln_bytes at)
{
    MLN_TRY(mln_cx_err(rq->cx)); /* of the key */
    mln_txn_mark_relief(rq->txn); /* must work on a full disk */
    re->status = 204;
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, at);
}

struct mln_err kv_page(struct mln_request *rq, const struct mln_value *keys, const struct mln_value **ret)
{
    struct mln_bytes after = mln_get_bytes(mln_get(rq->data, "after"));
    const struct mln_value *given = mln_get(rq->data, "limit");
    int64_t limit = mln_get_int(given, 0);
    if (mln_type_of(given) == MLN_STRING && !mln_i64_parse(mln_get_bytes(given), &limit)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "limit is a number");
    }
    size_t most = limit <= 0 || (uint64_t)limit > mln_len(keys) ? mln_len(keys) : (size_t)limit;
    if (after.len == 0 && most == mln_len(keys)) {
        *ret = keys;
        return MLN_OK;
    }
    struct mln_value *out = mln_array(rq->cx);
    for (size_t i = 0; i < mln_len(keys) && mln_len(out) < most; i++) {
        const struct mln_value *key = mln_item(keys, i);
        if (mln_bytes_cmp(mln_get_bytes(key), after) > 0) {
            mln_push(rq->cx, out, key);
        }
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

struct mln_err kv_plain_list(struct mln_request *rq, struct mln_reply *re, struct mln_bytes prefix)
{
    const struct mln_value *all = NULL, *keys = NULL;
    MLN_TRY(mln_cx_err(rq->cx)); /* of the prefix */
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, prefix, &all));
    MLN_TRY(kv_page(rq, all, &keys));
    if (mln_len(keys) == 0) {
        return kv_not_found(re);
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_bytes kv_plain_folder(struct mln_cx *cx, const char *head, struct mln_bytes path)
{
    bool has_end = path.len == 0 || path.ptr[path.len - 1] == '/';
    return mln_bytes_format(cx, "%s%.*s%s", head, MLN_FMT(path), has_end ? "" : "/");
}

struct mln_err kv_plain_exists(struct mln_request *rq, struct mln_bytes at, bool *ret)
{
    struct mln_bytes row;
    struct mln_err err = mln_txn_get(rq->cx, rq->txn, rq->mount->view, at, &row);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}
