/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the lmdb engine as docs/format-store.md says, looked at through LMDB itself, and rows
 * that someone damaged: every one is reported, none is followed out of bounds or for ever.
 */
#include "kit/kit.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

#define DIRECT_MAX 497u

struct place {
    struct mln_cx *cx;
    struct mln_store *store;
    char dir[KIT_PATH_MAX];
};

static void open_place(struct place *p)
{
    struct mln_store_config config = {.dir = p->dir, .reserve_bytes = 4096, .no_sync = true};
    kit_ok(p->cx, mln_store_open_lmdb(p->cx, &config, &p->store));
}

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    p->cx = kit_cx_new();
    kit_tmpdir(p->dir);
    open_place(p);
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    mln_store_close(p->store);
    kit_rmtree(p->dir);
    kit_cx_free(p->cx);
    free(p);
    return 0;
}
#define PLACE_TEST(fn) cmocka_unit_test_setup_teardown(fn, place_setup, place_teardown)

static void write_key(struct place *p, enum mln_write_op op, struct mln_bytes key)
{
    struct mln_write write = {.op = op, .key = key, .value = MLN_BYTES("v")};
    struct mln_batch batch = {.writes = &write, .n = 1};
    kit_ok(p->cx, mln_store_commit(p->cx, p->store, &batch));
}

static struct mln_bytes key_of(struct place *p, size_t n)
{
    uint8_t *key = mln_new(p->cx, n);
    mln_fill(key, 'k', n);
    return mln_bytes_at(key, n);
}

/* ---- behind the engine's back ---- */
struct raw {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
};

static void raw_open(struct raw *raw, const char *dir)
{
    assert_int_equal(mdb_env_create(&raw->env), 0);
    assert_int_equal(mdb_env_open(raw->env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(raw->env, NULL, 0, &raw->txn), 0);
    assert_int_equal(mdb_dbi_open(raw->txn, NULL, 0, &raw->dbi), 0);
}

static void raw_close(struct raw *raw)
{
    assert_int_equal(mdb_txn_commit(raw->txn), 0);
    mdb_env_close(raw->env);
}

static int raw_put(struct raw *raw, struct mln_bytes key, struct mln_bytes value)
{
    uint8_t k[512];
    uint8_t v[64];
    mln_copy(k, key.ptr, key.len);
    mln_copy(v, value.ptr, value.len);
    MDB_val at = {key.len, k};
    MDB_val val = {value.len, v};
    return mdb_put(raw->txn, raw->dbi, &at, &val, 0);
}

/* All rows: how many of each kind, and the longest key. */
struct census {
    size_t meta, direct, inside, markers, others, longest;
    uint64_t buckets[64]; /* numbers in markers */
};

static void count_rows(const char *dir, struct census *ret)
{
    struct raw raw = {0};
    MDB_cursor *cursor = NULL;
    MDB_val at, val;
    *ret = (struct census){0};
    raw_open(&raw, dir);
    assert_int_equal(mdb_cursor_open(raw.txn, raw.dbi, &cursor), 0);
    while (mdb_cursor_get(cursor, &at, &val, MDB_NEXT) == 0) {
        uint8_t first = *(const uint8_t *)at.mv_data;
        ret->longest = at.mv_size > ret->longest ? at.mv_size : ret->longest;
        if (first == 0) {
            ret->meta += at.mv_size == 1 && val.mv_size == 20;
        } else if (at.mv_size == DIRECT_MAX + 1) {
            assert_int_equal(val.mv_size, 8);
            ret->buckets[ret->markers++ % 64] = mln_get_u64be(val.mv_data);
        } else {
            ret->direct += first == 1;
            ret->inside += first == 2;
            ret->others += first > 2;
        }
    }
    mdb_cursor_close(cursor);
    raw_close(&raw);
}

static void census_of(struct place *p, struct census *ret)
{
    mln_store_close(p->store);
    count_rows(p->dir, ret);
    open_place(p);
}

static const struct {
    size_t key_n;
    size_t direct, inside, markers; /* rows of one key */
} layouts[] = {
    {1, 1, 0, 0},   {496, 1, 0, 0},  {497, 0, 1, 1},  {512, 0, 1, 1},  {984, 0, 1, 1},
    {985, 0, 1, 2}, {1472, 0, 1, 2}, {1473, 0, 1, 3}, {4096, 0, 1, 8},
};

static void test_layout(void **state)
{
    struct place *p = *state;
    struct census rows;
    for (size_t i = 0; i < MLN_COUNT(layouts); i++) {
        struct mln_bytes key = key_of(p, layouts[i].key_n);
        write_key(p, MLN_WRITE_PUT, key);
        census_of(p, &rows);
        assert_int_equal(rows.meta, 1);
        assert_int_equal(rows.direct, layouts[i].direct);
        assert_int_equal(rows.inside, layouts[i].inside);
        assert_int_equal(rows.markers, layouts[i].markers);
        assert_int_equal(rows.others, 0);
        assert_true(rows.longest <= 498);
        write_key(p, MLN_WRITE_DELETE, key);
        census_of(p, &rows);
        assert_int_equal(rows.direct + rows.inside + rows.markers, 0); /* no marker stays behind */
    }
}

/* A number of a bucket is used once, also over a restart: an old row can never appear in a new bucket. */
static void test_bucket_numbers(void **state)
{
    struct place *p = *state;
    struct census rows;
    uint64_t last = 0;
    for (size_t i = 0; i < 5; i++) {
        struct mln_bytes key = key_of(p, 600);
        write_key(p, MLN_WRITE_PUT, key);
        write_key(p, MLN_WRITE_PUT, key);
        census_of(p, &rows);
        assert_int_equal(rows.markers, 1);
        assert_true(rows.buckets[0] > last);
        last = rows.buckets[0];
        write_key(p, MLN_WRITE_DELETE, key);
    }
    struct mln_bytes whole = key_of(p, 700);
    write_key(p, MLN_WRITE_PUT, mln_bytes_sub(whole, 0, 600)); /* two keys share a bucket */
    write_key(p, MLN_WRITE_PUT, whole);
    write_key(p, MLN_WRITE_DELETE, mln_bytes_sub(whole, 0, 600));
    census_of(p, &rows);
    assert_int_equal(rows.markers, 1);
    assert_int_equal(rows.inside, 1);
}

/* ---- damage ---- */
static struct mln_err read_long(struct place *p, struct mln_bytes key)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes value;
    uint64_t version = 0;
    MLN_TRY(mln_snap_begin(p->cx, p->store, &snap));
    return mln_snap_get(p->cx, snap, key, &value, &version);
}

static struct mln_err scan(struct place *p, size_t *ret_n)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value;
    *ret_n = 0;
    MLN_TRY(mln_snap_begin(p->cx, p->store, &snap));
    struct mln_err err = mln_snap_next(p->cx, snap, MLN_BYTES_NONE, key, &key, &value);
    while (!mln_failed(err) && *ret_n < 1000) {
        ++*ret_n;
        err = mln_snap_next(p->cx, snap, MLN_BYTES_NONE, key, &key, &value);
    }
    return err;
}

static struct mln_bytes marker_of(struct place *p)
{
    uint8_t *row = mln_new(p->cx, 498);
    mln_fill(row, 'k', 497);
    row[0] = 1;
    row[497] = 1;
    return mln_bytes_at(row, 498);
}

static void damage(struct place *p, struct mln_bytes row, struct mln_bytes value)
{
    struct raw raw = {0};
    mln_store_close(p->store);
    raw_open(&raw, p->dir);
    assert_int_equal(raw_put(&raw, row, value), 0);
    raw_close(&raw);
    open_place(p);
}

static const struct {
    const char *name;
    size_t n;
    uint8_t value[9];
    enum mln_code get, scan;
} markers[] = {
    {"cut short", 7, {0, 0, 0, 0, 0, 0, 0}, MLN_E_CORRUPT, MLN_E_CORRUPT},
    {"too long", 9, {0, 0, 0, 0, 0, 0, 0, 1, 1}, MLN_E_CORRUPT, MLN_E_CORRUPT},
    {"bucket 0", 8, {0}, MLN_E_CORRUPT, MLN_E_CORRUPT},
    {"an empty bucket", 8, {0, 0, 0, 0, 0, 0, 0, 99}, MLN_E_NOT_FOUND, MLN_E_NOT_FOUND},
    {"the right one", 8, {0, 0, 0, 0, 0, 0, 0, 1}, MLN_E_OK, MLN_E_NOT_FOUND},
};

static void test_damaged_markers(void **state)
{
    struct place *p = *state;
    size_t n = 0;
    struct mln_bytes key = key_of(p, 600);
    write_key(p, MLN_WRITE_PUT, key);
    write_key(p, MLN_WRITE_PUT, MLN_BYTES("z"));
    for (size_t i = 0; i < MLN_COUNT(markers); i++) {
        damage(p, marker_of(p), mln_bytes_at(markers[i].value, markers[i].n));
        kit_expect(p->cx, markers[i].name, read_long(p, key), markers[i].get);
        kit_expect(p->cx, markers[i].name, scan(p, &n), markers[i].scan);
        kit_ok(p->cx, read_long(p, MLN_BYTES("z"))); /* the rest can be read */
    }
    assert_int_equal(n, 2);
}

/* A marker in a bucket that leads back to the bucket itself: an end, not a loop. */
static void test_cycle(void **state)
{
    struct place *p = *state;
    size_t n = 0;
    uint8_t *inside = mln_new(p->cx, 498);
    uint8_t one[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    write_key(p, MLN_WRITE_PUT, key_of(p, 600));
    mln_fill(inside, 'a', 497);
    inside[0] = 2;
    mln_copy(inside + 1, one, 8);
    inside[497] = 1;
    damage(p, mln_bytes_at(inside, 498), mln_bytes_at(one, 8));
    kit_refused(p->cx, scan(p, &n), MLN_E_CORRUPT);
    write_key(p, MLN_WRITE_PUT, MLN_BYTES("b"));
    kit_ok(p->cx, read_long(p, key_of(p, 600)));
}

static void test_damaged_rows(void **state)
{
    struct place *p = *state;
    size_t n = 0;
    write_key(p, MLN_WRITE_PUT, MLN_BYTES("a"));
    damage(p,
           MLN_BYTES("\x01"
                     "a"),
           MLN_BYTES("1234567")); /* no room for a version */
    kit_refused(p->cx, read_long(p, MLN_BYTES("a")), MLN_E_CORRUPT);
    kit_refused(p->cx, scan(p, &n), MLN_E_CORRUPT);
    struct mln_write writes[] = {{.op = MLN_WRITE_EXPECT, .key = MLN_BYTES("a"), .version = 1},
                                 {.op = MLN_WRITE_PUT, .key = MLN_BYTES("c")}};
    struct mln_batch batch = {.writes = writes, .n = 2};
    kit_refused(p->cx, mln_store_commit(p->cx, p->store, &batch), MLN_E_CORRUPT);
    write_key(p, MLN_WRITE_DELETE, MLN_BYTES("a")); /* it can be cleaned away */
    kit_refused(p->cx, scan(p, &n), MLN_E_NOT_FOUND);
    assert_int_equal(n, 0);
    uint8_t *too_long = mln_new(p->cx, 511);
    too_long[0] = 1;
    damage(p, mln_bytes_at(too_long, 511), MLN_BYTES("12345678x"));
    kit_refused(p->cx, scan(p, &n), MLN_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(test_layout), PLACE_TEST(test_bucket_numbers), PLACE_TEST(test_damaged_markers),
        PLACE_TEST(test_cycle),  PLACE_TEST(test_damaged_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
