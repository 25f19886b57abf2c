/* SPDX-License-Identifier: Apache-2.0 */
/* Keys to rows and back, in order, for keys of any length (the scheme stands in lmdb_priv.h). */
#include "store/lmdb_priv.h"

static size_t put_head(struct row *row, uint64_t bucket)
{
    if (bucket == 0) {
        row->bytes[0] = 1;
        row->n = 1;
    } else {
        row->bytes[0] = 2;
        mln_put_u64be(row->bytes + 1, bucket);
        row->n = BUCKET_HEAD_N;
    }
    return row->n;
}

static void put_tail(struct row *row, struct mln_bytes tail)
{
    mln_copy(row->bytes + row->n, tail.ptr, tail.len);
    row->n += tail.len;
}

static size_t chunk_of(uint64_t bucket)
{
    return ROW_DIRECT_MAX - (bucket == 0 ? 1 : BUCKET_HEAD_N);
}

static void make_row(struct row *row, uint64_t bucket, struct mln_bytes tail)
{
    put_head(row, bucket);
    put_tail(row, tail);
}

/* head || chunk || last: 01 is the marker, 02 a place behind it. */
static void make_marker(struct row *row, uint64_t bucket, struct mln_bytes tail, uint8_t last)
{
    make_row(row, bucket, mln_bytes_sub(tail, 0, chunk_of(bucket)));
    row->bytes[row->n++] = last;
}

static struct mln_err read_bucket(struct mln_cx *cx, const MDB_val *val, uint64_t *ret)
{
    if (val->mv_size != 8 || mln_get_u64be(val->mv_data) == 0) {
        return mln_fail(cx, MLN_E_CORRUPT, "the store is damaged: bad bucket of a long key");
    }
    *ret = mln_get_u64be(val->mv_data);
    return MLN_OK;
}

static struct mln_err make_bucket(struct mln_cx *cx, struct lmdb *db, MDB_txn *txn,
                                  const struct row *marker, uint64_t *ret)
{
    uint8_t number[8];
    mln_put_u64be(number, db->bucket + 1);
    MDB_val key = lmdb_val(marker->bytes, marker->n);
    MDB_val val = lmdb_val(number, sizeof(number));
    int rc = mdb_put(txn, db->dbi, &key, &val, 0);
    if (rc != 0) {
        return lmdb_failed(cx, db, rc, "writing");
    }
    *ret = ++db->bucket;
    return MLN_OK;
}

struct mln_err lmdb_locate(struct mln_cx *cx, struct lmdb *db, MDB_txn *txn, struct mln_bytes key,
                           bool make, struct row_path *ret)
{
    uint64_t bucket = 0;
    ret->depth = 0;
    while (key.len > chunk_of(bucket)) {
        struct row *marker = &ret->rows[ret->depth++];
        if (ret->depth > BUCKET_DEPTH_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "the store's key is too long");
        }
        make_marker(marker, bucket, key, 1);
        key = mln_bytes_from(key, chunk_of(bucket));
        MDB_val at = lmdb_val(marker->bytes, marker->n);
        MDB_val val;
        int rc = mdb_get(txn, db->dbi, &at, &val);
        if (rc == MDB_NOTFOUND && !make) {
            return (struct mln_err){MLN_E_NOT_FOUND};
        }
        if (rc != 0 && rc != MDB_NOTFOUND) {
            return lmdb_failed(cx, db, rc, "reading");
        }
        MLN_TRY(rc == 0 ? read_bucket(cx, &val, &bucket)
                        : make_bucket(cx, db, txn, marker, &bucket));
    }
    make_row(&ret->rows[ret->depth], bucket, key);
    return MLN_OK;
}

static struct mln_err read_value(struct mln_cx *cx, const MDB_val *val, struct mln_bytes *ret_value,
                                 uint64_t *ret_version)
{
    if (val->mv_size < VERSION_N) {
        return mln_fail(cx, MLN_E_CORRUPT, "the store is damaged: a row is cut short");
    }
    struct mln_bytes all = mln_bytes_at(val->mv_data, val->mv_size);
    *ret_version = mln_get_u64be(all.ptr);
    *ret_value = mln_bytes_from(all, VERSION_N);
    return MLN_OK;
}

struct mln_err lmdb_get(struct mln_cx *cx, struct lmdb *db, MDB_txn *txn, struct mln_bytes key,
                        struct mln_bytes *ret_value, uint64_t *ret_version)
{
    struct row_path path;
    struct row short_row;
    const struct row *row = &short_row;
    if (key.len <= chunk_of(0)) {
        make_row(&short_row, 0, key);
    } else {
        MLN_TRY(lmdb_locate(cx, db, txn, key, false, &path));
        row = &path.rows[path.depth];
    }
    MDB_val at = lmdb_val(row->bytes, row->n);
    MDB_val val;
    int rc = mdb_get(txn, db->dbi, &at, &val);
    if (rc == MDB_NOTFOUND) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return rc != 0 ? lmdb_failed(cx, db, rc, "reading")
                   : read_value(cx, &val, ret_value, ret_version);
}

/* ---- removing empty buckets ---- */

static struct mln_err bucket_is_empty(struct mln_cx *cx, struct lmdb *db, const struct row *inside,
                                      bool *ret)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(db->txn, db->dbi, &cursor);
    if (rc != 0) {
        return lmdb_failed(cx, db, rc, "reading");
    }
    MDB_val at = lmdb_val(inside->bytes, BUCKET_HEAD_N);
    MDB_val val;
    rc = mdb_cursor_get(cursor, &at, &val, MDB_SET_RANGE);
    *ret = rc == MDB_NOTFOUND || at.mv_size < BUCKET_HEAD_N ||
           !mln_same(at.mv_data, inside->bytes, BUCKET_HEAD_N);
    mdb_cursor_close(cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? MLN_OK : lmdb_failed(cx, db, rc, "reading");
}

struct mln_err lmdb_prune_path(struct mln_cx *cx, struct lmdb *db, const struct row_path *path)
{
    for (size_t i = path->depth; i > 0; i--) {
        bool is_empty = false;
        MLN_TRY(bucket_is_empty(cx, db, &path->rows[i], &is_empty));
        if (!is_empty) {
            return MLN_OK;
        }
        MDB_val at = lmdb_val(path->rows[i - 1].bytes, path->rows[i - 1].n);
        int rc = mdb_del(db->txn, db->dbi, &at, NULL);
        if (rc != 0) {
            return lmdb_failed(cx, db, rc, "writing");
        }
    }
    return MLN_OK;
}

/* ---- walking in order ---- */

struct walk {
    struct mln_cx *cx;
    struct lmdb *db;
    struct lmdb_snap *snap;
    uint8_t *key; /* MLN_STORE_KEY_MAX bytes */
    size_t key_n;
    struct mln_bytes value;
};

struct cursor_at {
    MDB_val at, val;
};

static int cursor_to(const struct walk *w, const struct row *row, struct cursor_at *ret)
{
    ret->at = lmdb_val(row->bytes, row->n);
    return mdb_cursor_get(w->snap->cursor, &ret->at, &ret->val, MDB_SET_RANGE);
}

static struct mln_err set_key(struct walk *w, size_t at, const MDB_val *row, size_t head_n,
                              size_t end)
{
    if (at + end - head_n > MLN_STORE_KEY_MAX) {
        return mln_fail(w->cx, MLN_E_CORRUPT, "the store is damaged: a key is too long");
    }
    mln_copy(w->key + at, (const uint8_t *)row->mv_data + head_n, end - head_n);
    w->key_n = at + end - head_n;
    return MLN_OK;
}

static struct mln_err walk_bucket(struct walk *w, uint64_t bucket, struct mln_bytes from,
                                  bool is_after, size_t depth);

/* The row at the cursor is a marker: its bucket's first key, or NOT_FOUND when that is empty. */
static struct mln_err step_into(struct walk *w, const MDB_val *at, const MDB_val *val,
                                size_t head_n, size_t depth)
{
    uint64_t child = 0;
    size_t before = w->key_n;
    MLN_TRY(set_key(w, before, at, head_n, ROW_DIRECT_MAX));
    MLN_TRY(read_bucket(w->cx, val, &child));
    struct mln_err err = walk_bucket(w, child, MLN_BYTES_NONE, false, depth + 1);
    if (mln_failed(err)) {
        w->key_n = before;
    }
    return err;
}

/*
 * `from` goes on behind a marker's chunk: look in that bucket. NOT_FOUND when it is not there or
 * nothing follows in it.
 */
static struct mln_err follow(struct walk *w, uint64_t bucket, struct mln_bytes from, bool is_after,
                             size_t depth)
{
    struct row marker;
    uint64_t child = 0;
    size_t before = w->key_n;
    size_t chunk = chunk_of(bucket);
    make_marker(&marker, bucket, from, 1);
    MDB_val at = lmdb_val(marker.bytes, marker.n);
    MDB_val val;
    int rc = mdb_get(w->snap->txn, w->db->dbi, &at, &val);
    if (rc == MDB_NOTFOUND) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (rc != 0) {
        return lmdb_failed(w->cx, w->db, rc, "reading");
    }
    MLN_TRY(read_bucket(w->cx, &val, &child));
    MLN_TRY(set_key(w, before, &at, ROW_DIRECT_MAX - chunk, ROW_DIRECT_MAX));
    struct mln_err err = walk_bucket(w, child, mln_bytes_from(from, chunk), is_after, depth + 1);
    if (mln_failed(err)) {
        w->key_n = before;
    }
    return err;
}

static struct mln_err take_direct(struct walk *w, const struct cursor_at *c, size_t head_n)
{
    uint64_t version = 0;
    MLN_TRY(set_key(w, w->key_n, &c->at, head_n, c->at.mv_size));
    return read_value(w->cx, &c->val, &w->value, &version);
}

/*
 * The first row of the bucket from the cursor's place on; markers of empty buckets are stepped
 * over.
 */
static struct mln_err take_first(struct walk *w, const struct row *start, size_t head_n,
                                 size_t depth, int rc, struct cursor_at *c)
{
    while (rc == 0 && c->at.mv_size > head_n && mln_same(c->at.mv_data, start->bytes, head_n)) {
        if (c->at.mv_size <= ROW_DIRECT_MAX) {
            return take_direct(w, c, head_n);
        }
        if (c->at.mv_size != ROW_MARKER_N) {
            return mln_fail(w->cx, MLN_E_CORRUPT, "the store is damaged: a row's key is too long");
        }
        struct row marker = {.n = ROW_MARKER_N};
        mln_copy(marker.bytes, c->at.mv_data, ROW_MARKER_N);
        struct mln_err err = step_into(w, &c->at, &c->val, head_n, depth);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
        marker.bytes[ROW_MARKER_N - 1] = 2;
        rc = cursor_to(w, &marker, c);
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return lmdb_failed(w->cx, w->db, rc, "reading");
    }
    return (struct mln_err){MLN_E_NOT_FOUND};
}

/* First key of the bucket that is >= from (> when is_after); appended to w->key. */
static struct mln_err walk_bucket(struct walk *w, uint64_t bucket, struct mln_bytes from,
                                  bool is_after, size_t depth)
{
    if (depth > BUCKET_DEPTH_MAX) {
        return mln_fail(w->cx, MLN_E_CORRUPT, "the store is damaged: buckets are nested too deep");
    }
    struct row row;
    if (from.len > chunk_of(bucket)) {
        struct mln_err err = follow(w, bucket, from, is_after, depth);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
        make_marker(&row, bucket, from, 2);
        is_after = false;
    } else {
        make_row(&row, bucket, from);
    }
    struct cursor_at c;
    int rc = cursor_to(w, &row, &c);
    if (rc == 0 && is_after && c.at.mv_size == row.n && mln_same(c.at.mv_data, row.bytes, row.n)) {
        rc = mdb_cursor_get(w->snap->cursor, &c.at, &c.val, MDB_NEXT);
    }
    return take_first(w, &row, ROW_DIRECT_MAX - chunk_of(bucket), depth, rc, &c);
}

struct mln_err lmdb_seek(struct mln_cx *cx, struct lmdb_snap *snap, struct mln_bytes from,
                         bool is_after, struct mln_bytes *ret_key, struct mln_bytes *ret_value)
{
    struct walk w = {.cx = cx, .db = (struct lmdb *)snap->base.store, .snap = snap};
    w.key = snap->keys[snap->turn++ % 2];
    MLN_TRY(walk_bucket(&w, 0, from, is_after, 0));
    *ret_key = mln_bytes_at(w.key, w.key_n);
    *ret_value = w.value;
    return MLN_OK;
}
