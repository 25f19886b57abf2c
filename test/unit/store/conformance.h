/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every engine of the store must do. An engine's test includes this file, says how to make a
 * store and how to lose and
 * find it again, and runs MLN_CONFORMANCE_TESTS beside its own tests.
 */
#pragma once

#include "kit/kit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"

/* ---- what the engine's test supplies ---- */
struct world {
    struct mln_cx *cx;
    struct mln_store *store;
    struct mln_store_fault *control; /* fault engine */
    char dir[KIT_PATH_MAX];          /* lmdb */
};
static void world_open(struct world *w);
static void world_close(struct world *w);
static void world_reopen(struct world *w); /* as after a restart of the program */

static int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->cx = kit_cx_new();
    world_open(w);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    for (int kind = 0; kind < MLN_FAULT_KINDS; kind++) {
        mln_fault_arm((enum mln_fault_kind)kind, 0, false);
    }
    world_close(w);
    kit_cx_free(w->cx);
    free(w);
    return 0;
}
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

/* ---- small words ---- */
static struct mln_write put_of(struct mln_bytes key, struct mln_bytes value)
{
    return (struct mln_write){.op = MLN_WRITE_PUT, .key = key, .value = value};
}

static struct mln_write delete_of(struct mln_bytes key)
{
    return (struct mln_write){.op = MLN_WRITE_DELETE, .key = key};
}

static struct mln_write expect_of(struct mln_bytes key, uint64_t version)
{
    return (struct mln_write){.op = MLN_WRITE_EXPECT, .key = key, .version = version};
}

static struct mln_err commit_writes(struct world *w, struct mln_write *writes, size_t n,
                                    uint64_t *ret_version)
{
    struct mln_batch batch = {.writes = writes, .n = n};
    struct mln_err err = mln_store_commit(w->cx, w->store, &batch);
    if (ret_version != NULL) {
        *ret_version = batch.version;
    }
    return err;
}

static uint64_t put_one(struct world *w, struct mln_bytes key, struct mln_bytes value)
{
    struct mln_write write = put_of(key, value);
    uint64_t version = 0;
    kit_ok(w->cx, commit_writes(w, &write, 1, &version));
    return version;
}

static void delete_one(struct world *w, struct mln_bytes key)
{
    struct mln_write write = delete_of(key);
    kit_ok(w->cx, commit_writes(w, &write, 1, NULL));
}

/* The value in a new snapshot, copied; none (ptr NULL) when absent. */
static struct mln_bytes read_one(struct world *w, struct mln_bytes key, uint64_t *ret_version)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes value;
    uint64_t version = 99;
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    struct mln_err err = mln_snap_get(w->cx, snap, key, &value, &version);
    if (ret_version != NULL) {
        *ret_version = version;
    }
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        assert_int_equal(version, 0);
        return MLN_BYTES_NONE;
    }
    kit_ok(w->cx, err);
    return mln_bytes_dup(w->cx, value);
}

static bool is_there(struct world *w, struct mln_bytes key)
{
    uint64_t version = 0;
    (void)read_one(w, key, &version);
    return version != 0;
}

/* ---- rows ---- */
static void conf_put_get_delete(void **state)
{
    struct world *w = *state;
    assert_null(read_one(w, MLN_BYTES("a"), NULL).ptr);
    uint64_t first = put_one(w, MLN_BYTES("a"), MLN_BYTES("one"));
    uint64_t version = 0;
    kit_text(read_one(w, MLN_BYTES("a"), &version), "one");
    assert_int_equal(version, first);
    uint64_t second = put_one(w, MLN_BYTES("a"), MLN_BYTES("two"));
    assert_true(second > first);
    kit_text(read_one(w, MLN_BYTES("a"), &version), "two");
    assert_int_equal(version, second);
    put_one(w, MLN_BYTES("a"), MLN_BYTES_NONE);
    kit_text(read_one(w, MLN_BYTES("a"), &version), "");
    assert_int_not_equal(version, 0);
    delete_one(w, MLN_BYTES("a"));
    assert_null(read_one(w, MLN_BYTES("a"), NULL).ptr);
    delete_one(w, MLN_BYTES("a")); /* of nothing: fine */
    struct mln_bytes zeros = mln_bytes_at("\0\0\xff", 3);
    put_one(w, zeros, zeros);
    kit_same(w->cx, read_one(w, zeros, NULL), zeros);
    put_one(w, mln_bytes_at("\0", 1), MLN_BYTES("nul")); /* not the engine's own rows */
    kit_text(read_one(w, mln_bytes_at("\0", 1), NULL), "nul");
    world_reopen(w);
    kit_same(w->cx, read_one(w, zeros, NULL), zeros);
    assert_true(put_one(w, MLN_BYTES("z"), MLN_BYTES("z")) > second); /* versions go on */
}

static void conf_batches(void **state)
{
    struct world *w = *state;
    struct mln_write all[] = {put_of(MLN_BYTES("a"), MLN_BYTES("1")),
                              put_of(MLN_BYTES("b"), MLN_BYTES("2")),
                              put_of(MLN_BYTES("a"), MLN_BYTES("3")), delete_of(MLN_BYTES("b"))};
    uint64_t version = 0;
    kit_ok(w->cx, commit_writes(w, all, 4, &version));
    kit_text(read_one(w, MLN_BYTES("a"), NULL), "3"); /* in order */
    assert_null(read_one(w, MLN_BYTES("b"), NULL).ptr);
    struct mln_write refused[] = {put_of(MLN_BYTES("c"), MLN_BYTES("1")),
                                  expect_of(MLN_BYTES("a"), version + 1),
                                  put_of(MLN_BYTES("d"), MLN_BYTES("1"))};
    kit_refused(w->cx, commit_writes(w, refused, 3, NULL), MLN_E_CONFLICT);
    assert_false(is_there(w, MLN_BYTES("c")) || is_there(w, MLN_BYTES("d")));
    kit_ok(w->cx, commit_writes(w, NULL, 0, NULL));
}

static const struct {
    const char *name;
    const char *key;
    int relation; /* of the expected version: 0 the right one, -1 absent, +1 another */
    enum mln_code want;
} expectation_rows[] = {
    {"right version", "there", 0, MLN_E_OK},
    {"expected absent, is there", "there", -1, MLN_E_CONFLICT},
    {"another version", "there", 1, MLN_E_CONFLICT},
    {"expected absent, is absent", "gone", -1, MLN_E_OK},
    {"expected there, is absent", "gone", 1, MLN_E_CONFLICT},
};

static void conf_expectations(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < MLN_COUNT(expectation_rows); i++) {
        uint64_t at = put_one(w, MLN_BYTES("there"), MLN_BYTES("x"));
        uint64_t version =
            expectation_rows[i].relation == -1 ? 0 : at + (uint64_t)expectation_rows[i].relation;
        struct mln_write writes[] = {expect_of(mln_bytes_of(expectation_rows[i].key), version)};
        kit_expect(w->cx, expectation_rows[i].name, commit_writes(w, writes, 1, NULL),
                   expectation_rows[i].want);
    }
    struct mln_store_stat stat;
    mln_store_stat(w->store, &stat);
    assert_int_equal(stat.conflicts, 3);
}

static void conf_limits(void **state)
{
    struct world *w = *state;
    uint8_t *big = calloc(1, (size_t)MLN_STORE_VALUE_MAX + 1);
    const struct {
        const char *name;
        size_t key_n, value_n;
        enum mln_code want;
    } rows[] = {
        {"empty key", 0, 1, MLN_E_INVALID},
        {"longest key", MLN_STORE_KEY_MAX, 1, MLN_E_OK},
        {"too long a key", MLN_STORE_KEY_MAX + 1, 1, MLN_E_INVALID},
        {"a large value", 9, (size_t)5 << 20, MLN_E_OK},
        {"too large a value", 10, (size_t)MLN_STORE_VALUE_MAX + 1, MLN_E_TOO_LARGE},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_write write =
            put_of(mln_bytes_at(big, rows[i].key_n), mln_bytes_at(big, rows[i].value_n));
        kit_expect(w->cx, rows[i].name, commit_writes(w, &write, 1, NULL), rows[i].want);
        if (rows[i].want == MLN_E_OK) {
            assert_int_equal(read_one(w, write.key, NULL).len, rows[i].value_n);
        } else {
            assert_false(is_there(w, write.key));
        }
    }
    struct mln_batch batch = {.writes = NULL, .n = MLN_STORE_BATCH_OPS_MAX + 1u};
    kit_refused(w->cx, mln_store_commit(w->cx, w->store, &batch), MLN_E_TOO_LARGE);
    free(big);
}

/* ---- order, prefixes, keys of any length ---- */
#define MODEL_MAX 4000
struct model {
    struct mln_bytes keys[MODEL_MAX]; /* sorted, unique */
    size_t n;
};

static int by_bytes(const void *a, const void *b)
{
    return mln_bytes_cmp(*(const struct mln_bytes *)a, *(const struct mln_bytes *)b);
}

static void model_sort(struct model *m)
{
    qsort(m->keys, m->n, sizeof(m->keys[0]), by_bytes);
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (n == 0 || !mln_bytes_eq(m->keys[n - 1], m->keys[i])) {
            m->keys[n++] = m->keys[i];
        }
    }
    m->n = n;
}

/*
 * The scan of a prefix gives the model's keys in its order, each with its own key as value; every
 * one is found by get.
 */
static void scan_is(struct world *w, const struct model *m, struct mln_bytes prefix)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value;
    for (size_t i = 0; i < m->n; i++) {
        if (!mln_bytes_starts(m->keys[i], prefix)) {
            continue;
        }
        kit_ok(w->cx, mln_snap_next(w->cx, snap, prefix, key, &key, &value));
        kit_same(w->cx, key, m->keys[i]);
        kit_same(w->cx, value, m->keys[i]);
        uint64_t version = 0;
        kit_ok(w->cx, mln_snap_get(w->cx, snap, m->keys[i], &value, &version));
        kit_same(w->cx, value, m->keys[i]);
    }
    kit_refused(w->cx, mln_snap_next(w->cx, snap, prefix, key, &key, NULL), MLN_E_NOT_FOUND);
}

/* From any place, present or not: the next key is the model's. */
static void seek_is(struct world *w, const struct model *m, struct mln_bytes from)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    size_t at = 0;
    while (at < m->n && mln_bytes_cmp(m->keys[at], from) < 0) {
        at++;
    }
    bool is_equal = at < m->n && mln_bytes_eq(m->keys[at], from);
    for (int is_after = 0; is_after < 2; is_after++) {
        size_t want = at + (size_t)(is_after && is_equal);
        struct mln_bytes key;
        struct mln_err err = is_after
                                 ? mln_snap_next(w->cx, snap, MLN_BYTES_NONE, from, &key, NULL)
                                 : mln_snap_from(w->cx, snap, MLN_BYTES_NONE, from, &key, NULL);
        kit_expect(w->cx, "seek", err, want < m->n ? MLN_E_OK : MLN_E_NOT_FOUND);
        if (want < m->n) {
            kit_same(w->cx, key, m->keys[want]);
        }
    }
}

static void put_model(struct world *w, const struct model *m)
{
    struct mln_write *writes = mln_new_array(w->cx, m->n, sizeof(*writes));
    for (size_t i = 0; i < m->n; i++) {
        writes[i] = put_of(m->keys[(i * 7919) % m->n], m->keys[(i * 7919) % m->n]);
    }
    kit_ok(w->cx, commit_writes(w, writes, m->n, NULL));
}

static struct mln_bytes long_key(struct world *w, uint8_t fill, size_t n, const char *tail)
{
    size_t tail_n = strlen(tail);
    uint8_t *key = mln_new(w->cx, n + tail_n);
    mln_fill(key, fill, n);
    mln_copy(key + n, tail, tail_n);
    return mln_bytes_at(key, n + tail_n);
}

/*
 * Keys around every edge of the long-key scheme, with common prefixes: exact order, gets, prefixes,
 * deletion.
 */
static void conf_long_keys(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {1,   2,    479,  480,  481,  487,  488,  489, 495, 496,
                                   497, 498,  499,  510,  511,  512,  975,  983, 984, 985,
                                   986, 1000, 1471, 1472, 1473, 2000, 3000, 4089};
    static const char *const tails[] = {"", "\x01", "\x02", "/", "/a", "\xff\xff"};
    struct model *m = mln_new(w->cx, sizeof(*m));
    for (size_t s = 0; s < MLN_COUNT(sizes); s++) {
        for (size_t t = 0; t < MLN_COUNT(tails); t++) {
            m->keys[m->n++] = long_key(w, 'a', sizes[s], tails[t]);
            m->keys[m->n++] = long_key(w, 1, sizes[s], tails[t]);
            m->keys[m->n++] = long_key(w, 255, sizes[s], tails[t]);
        }
    }
    m->keys[m->n++] = long_key(w, 'a', 4096, "");
    m->keys[m->n++] = long_key(w, 255, 4096, "");
    m->keys[m->n++] = MLN_BYTES("b");
    model_sort(m);
    put_model(w, m);
    scan_is(w, m, MLN_BYTES_NONE);
    for (size_t i = 0; i < m->n; i += 5) {
        scan_is(w, m, m->keys[i]);
        seek_is(w, m, m->keys[i]);
        seek_is(w, m, long_key(w, m->keys[i].ptr[0], m->keys[i].len % 4090, "0"));
    }
    world_reopen(w);
    scan_is(w, m, MLN_BYTES("aaaa"));
    struct mln_write *writes = mln_new_array(w->cx, m->n, sizeof(*writes));
    struct model *left = mln_new(w->cx, sizeof(*left));
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (i % 3 == 0) {
            left->keys[left->n++] = m->keys[i];
        } else {
            writes[n++] = delete_of(m->keys[i]);
        }
    }
    kit_ok(w->cx, commit_writes(w, writes, n, NULL));
    scan_is(w, left, MLN_BYTES_NONE);
    for (size_t i = 0; i < left->n; i++) {
        writes[i] = delete_of(left->keys[i]);
    }
    kit_ok(w->cx, commit_writes(w, writes, left->n, NULL));
    left->n = 0;
    scan_is(w, left, MLN_BYTES_NONE);
    put_model(w, m); /* and all over again */
    scan_is(w, m, MLN_BYTES_NONE);
}

/* Random keys of few letters and odd lengths against the model, written and deleted in rounds. */
static void conf_random_keys(void **state)
{
    struct world *w = *state;
    struct mln_prng g;
    mln_prng_seed(&g, 20240607);
    struct model *m = mln_new(w->cx, sizeof(*m));
    for (size_t i = 0; i < 300; i++) {
        size_t n = mln_prng_below(&g, 3) == 0 ? 490 + mln_prng_below(&g, 20)
                                              : 1 + mln_prng_below(&g, 1100);
        uint8_t *key = mln_new(w->cx, n);
        uint64_t change = mln_prng_below(&g, 4);
        for (size_t at = 0; at < n; at++) {
            bool is_tail = n - at <= change || mln_prng_below(&g, 400) == 0;
            key[at] = is_tail ? (uint8_t)mln_prng_below(&g, 4) : 2;
        }
        m->keys[m->n++] = mln_bytes_at(key, n);
    }
    model_sort(m);
    put_model(w, m);
    for (size_t round = 0; round < 4; round++) {
        scan_is(w, m, MLN_BYTES_NONE);
        scan_is(w, m, mln_bytes_sub(m->keys[m->n / 2], 0, 300));
        for (size_t i = 0; i < 60; i++) {
            struct mln_bytes from = m->keys[mln_prng_below(&g, m->n)];
            seek_is(w, m, mln_bytes_sub(from, 0, mln_prng_below(&g, from.len) + 1));
        }
        size_t n = 0;
        for (size_t i = 0; i < m->n; i++) {
            if (mln_prng_below(&g, 3) == 0) {
                delete_one(w, m->keys[i]);
            } else {
                m->keys[n++] = m->keys[i];
            }
        }
        m->n = n;
    }
}

static void conf_scan_edges(void **state)
{
    struct world *w = *state;
    static const char *const keys[] = {"a/1", "a/2", "a/2/x", "a0", "b", "b/"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        put_one(w, mln_bytes_of(keys[i]), MLN_BYTES("v"));
    }
    const struct {
        const char *prefix, *after, *want; /* NULL: the end */
        bool is_from;
    } rows[] = {
        {"", "", "a/1", false},       {"a/", "", "a/1", false},   {"a/", "a/2", "a/2/x", false},
        {"a/", "a/2/x", NULL, false}, {"a/", "a/9", NULL, false}, {"a/", "A", "a/1", false},
        {"b", "", "b", false},        {"b", "b", "b/", false},    {"c", "", NULL, false},
        {"a/", "zzz", NULL, false},   {"", "b/", NULL, false},    {"a", "a/20", "a0", true},
        {"a/", "a/2", "a/2", true},   {"a/", "a/20", NULL, true}, {"", "b0", NULL, true},
    };
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes prefix = mln_bytes_of(rows[i].prefix);
        struct mln_bytes after = mln_bytes_of(rows[i].after);
        struct mln_bytes key;
        struct mln_err err = rows[i].is_from
                                 ? mln_snap_from(w->cx, snap, prefix, after, &key, NULL)
                                 : mln_snap_next(w->cx, snap, prefix, after, &key, NULL);
        kit_expect(w->cx, rows[i].after, err, rows[i].want != NULL ? MLN_E_OK : MLN_E_NOT_FOUND);
        if (rows[i].want != NULL) {
            kit_text(key, rows[i].want);
        }
    }
}

/* ---- snapshots ---- */
static void conf_snapshots(void **state)
{
    struct world *w = *state;
    put_one(w, MLN_BYTES("k1"), MLN_BYTES("old"));
    put_one(w, MLN_BYTES("k2"), MLN_BYTES("old"));
    struct mln_snap *snap = NULL;
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    put_one(w, MLN_BYTES("k1"), MLN_BYTES("new"));
    put_one(w, MLN_BYTES("k3"), MLN_BYTES("new"));
    delete_one(w, MLN_BYTES("k2"));
    struct mln_bytes value;
    struct mln_bytes key = MLN_BYTES_NONE;
    uint64_t version = 0;
    kit_ok(w->cx, mln_snap_get(w->cx, snap, MLN_BYTES("k1"), &value, &version));
    kit_text(value, "old");
    kit_refused(w->cx, mln_snap_get(w->cx, snap, MLN_BYTES("k3"), &value, &version),
                MLN_E_NOT_FOUND);
    kit_ok(w->cx, mln_snap_next(w->cx, snap, MLN_BYTES("k"), MLN_BYTES("k1"), &key, &value));
    kit_text(key, "k2");
    kit_refused(w->cx, mln_snap_next(w->cx, snap, MLN_BYTES("k"), key, &key, &value),
                MLN_E_NOT_FOUND);
    mln_snap_end(snap);
    kit_text(read_one(w, MLN_BYTES("k1"), NULL), "new");
    assert_false(is_there(w, MLN_BYTES("k2")));
    struct mln_snap *many[100];
    for (size_t i = 0; i < MLN_COUNT(many); i++) {
        kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &many[i]));
    }
    for (size_t i = 0; i < MLN_COUNT(many); i++) {
        kit_ok(w->cx, mln_snap_get(w->cx, many[i], MLN_BYTES("k3"), &value, &version));
        mln_snap_end(many[i]);
    }
    mln_snap_end(NULL);
}

/* ---- many writers ---- */
#define WRITERS 8
#define ROUNDS  60
struct writer {
    struct world *w;
    pthread_t thread;
    size_t conflicts;
    bool has_failed;
};

static struct mln_err add_one(struct mln_cx *cx, struct mln_store *store)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes value;
    uint64_t version = 0;
    uint64_t count = 0;
    MLN_TRY(mln_snap_begin(cx, store, &snap));
    struct mln_err err = mln_snap_get(cx, snap, MLN_BYTES("counter"), &value, &version);
    if (!mln_failed(err)) {
        count = mln_get_u64be(value.ptr);
    }
    mln_snap_drop(&snap);
    uint8_t next[8];
    mln_put_u64be(next, count + 1);
    struct mln_write writes[] = {expect_of(MLN_BYTES("counter"), version),
                                 put_of(MLN_BYTES("counter"), mln_bytes_at(next, 8))};
    struct mln_batch batch = {.writes = writes, .n = 2};
    return mln_store_commit(cx, store, &batch);
}

static void *count_up(void *arg)
{
    struct writer *me = arg;
    struct mln_cx cx;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct mln_err err;
        do {
            mln_cx_init(&cx, NULL);
            err = add_one(&cx, me->w->store);
            me->conflicts += mln_is(err, MLN_E_CONFLICT);
        } while (mln_is(err, MLN_E_CONFLICT));
        me->has_failed = me->has_failed || mln_failed(err);
    }
    return NULL;
}

static void conf_writers_add_up(void **state)
{
    struct world *w = *state;
    struct writer writers[WRITERS] = {0};
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i].w = w;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, count_up, &writers[i]), 0);
    }
    size_t conflicts = 0;
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_false(writers[i].has_failed);
        conflicts += writers[i].conflicts;
    }
    assert_int_equal(mln_get_u64be(read_one(w, MLN_BYTES("counter"), NULL).ptr), WRITERS * ROUNDS);
    struct mln_store_stat stat;
    mln_store_stat(w->store, &stat);
    assert_int_equal(stat.conflicts, conflicts);
    assert_int_equal(stat.batches, WRITERS * ROUNDS + conflicts);
}

/* ---- groups and the sequencer ---- */
struct seen {
    sem_t gate, taken; /* holds the first transaction, so that the others gather */
    bool has_gate, is_first;
    size_t calls, batches, ok, failed, rows;
    enum mln_code fail_with;
    size_t fail_at_n; /* fail groups of at least this many batches; 0 = never */
    struct mln_bytes extra;
};

static struct mln_err see(void *arg, struct mln_cx *cx, struct mln_store_writer *writer,
                          struct mln_batch *const *batches, size_t n)
{
    struct seen *s = arg;
    s->calls++;
    if (s->has_gate && s->is_first) {
        s->is_first = false;
        sem_post(&s->taken);
        sem_wait(&s->gate);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t row[12] = {'s', 'e', 'q', '/'};
        mln_put_u64be(row + 4, s->rows++);
        MLN_TRY(mln_writer_put(cx, writer, mln_bytes_at(row, 12), mln_bytes_of(batches[i]->tag)));
        struct mln_bytes again;
        MLN_TRY(mln_writer_get(cx, writer, mln_bytes_at(row, 12), &again));
        s->batches++;
    }
    if (s->fail_at_n != 0 && n >= s->fail_at_n) {
        return mln_fail(cx, s->fail_with, "the sequencer says no");
    }
    return MLN_OK;
}

static void see_after(void *arg, bool ok)
{
    struct seen *s = arg;
    s->ok += ok;
    s->failed += !ok;
}

struct waiting {
    struct mln_batch batch;
    struct mln_write writes[2];
    char key[16];
    sem_t *done;
};

static void one_is_done(struct mln_batch *batch)
{
    sem_post(batch->arg);
}

/*
 * Submit 6 batches that wait behind one: they commit as one group. Number 3 expects what is not so.
 */
static void run_group(struct world *w, struct seen *s, struct waiting *all)
{
    static char tag[] = "tag";
    sem_t done;
    sem_init(&done, 0, 0);
    sem_init(&s->gate, 0, 0);
    sem_init(&s->taken, 0, 0);
    s->has_gate = true;
    s->is_first = true;
    mln_store_set_sequencer(w->store,
                            &(struct mln_sequencer){.sequence = see, .after = see_after, .arg = s});
    for (size_t i = 0; i < 7; i++) {
        snprintf(all[i].key, sizeof(all[i].key), "group%zu", i);
        all[i].writes[0] = put_of(mln_bytes_of(all[i].key), MLN_BYTES("v"));
        all[i].writes[1] = expect_of(MLN_BYTES("never"), i == 3 ? 7 : 0);
        all[i].batch = (struct mln_batch){
            .writes = all[i].writes, .n = 2, .tag = tag, .done = one_is_done, .arg = &done};
        mln_store_submit(w->store, &all[i].batch);
        if (i == 0) {
            sem_wait(&s->taken); /* the committer has the first alone */
        }
    }
    sem_post(&s->gate);
    for (size_t i = 0; i < 7; i++) {
        sem_wait(&done);
    }
    mln_store_set_sequencer(w->store, NULL);
    sem_destroy(&done);
    sem_destroy(&s->gate);
    sem_destroy(&s->taken);
}

static void conf_sequencer(void **state)
{
    struct world *w = *state;
    struct seen s = {0};
    struct waiting *all = mln_new_array(w->cx, 7, sizeof(*all));
    run_group(w, &s, all);
    for (size_t i = 0; i < 7; i++) {
        kit_expect(w->cx, all[i].key, all[i].batch.result, i == 3 ? MLN_E_CONFLICT : MLN_E_OK);
        assert_int_equal(is_there(w, mln_bytes_of(all[i].key)), i != 3);
    }
    assert_int_equal(s.batches, 6);
    assert_int_equal(s.calls, s.ok);
    assert_true(s.calls >= 2 && s.calls <= 3);
    assert_int_equal(all[1].batch.version, all[6].batch.version); /* one transaction */
    struct mln_bytes row = mln_bytes_at("seq/\0\0\0\0\0\0\0\5", 12);
    kit_text(read_one(w, row, NULL), "tag");
}

static void conf_sequencer_fails(void **state)
{
    struct world *w = *state;
    struct seen s = {.fail_at_n = 2, .fail_with = MLN_E_IO};
    struct waiting *all = mln_new_array(w->cx, 7, sizeof(*all));
    run_group(w, &s, all);
    for (size_t i = 0; i < 7; i++) {
        kit_expect(w->cx, all[i].key, all[i].batch.result,
                   i == 0   ? MLN_E_OK
                   : i == 3 ? MLN_E_CONFLICT
                            : MLN_E_IO);
        assert_int_equal(is_there(w, mln_bytes_of(all[i].key)), i == 0);
    }
    assert_true(s.failed >= 1);
    struct mln_bytes row = mln_bytes_at("seq/\0\0\0\0\0\0\0\1", 12);
    assert_false(is_there(w, row)); /* its own rows went with the group */
}

/* A group that does not fit is tried batch by batch: all that fit alone succeed. */
static void conf_group_retried(void **state)
{
    struct world *w = *state;
    struct seen s = {.fail_at_n = 2, .fail_with = MLN_E_FULL};
    struct waiting *all = mln_new_array(w->cx, 7, sizeof(*all));
    run_group(w, &s, all);
    for (size_t i = 0; i < 7; i++) {
        kit_expect(w->cx, all[i].key, all[i].batch.result, i == 3 ? MLN_E_CONFLICT : MLN_E_OK);
        assert_int_equal(is_there(w, mln_bytes_of(all[i].key)), i != 3);
    }
    assert_int_equal(s.failed, 1);
}

static struct mln_err write_kicked(void *arg, struct mln_cx *cx, struct mln_store_writer *writer,
                                   struct mln_batch *const *batches, size_t n)
{
    (void)arg;
    (void)batches;
    (void)n;
    MLN_TRY(mln_writer_put(cx, writer, MLN_BYTES("kick/1"), MLN_BYTES("x")));
    MLN_TRY(mln_writer_put(cx, writer, MLN_BYTES("kick/2"), MLN_BYTES("x")));
    return mln_writer_delete(cx, writer, MLN_BYTES("kick/2"));
}

static void post_after(void *arg, bool ok)
{
    assert_true(ok);
    sem_post(arg);
}

static void conf_kick(void **state)
{
    struct world *w = *state;
    sem_t done;
    sem_init(&done, 0, 0);
    mln_store_kick(w->store); /* without a sequencer: nothing to do */
    mln_store_set_sequencer(w->store, &(struct mln_sequencer){write_kicked, post_after, &done});
    mln_store_kick(w->store);
    sem_wait(&done);
    mln_store_set_sequencer(w->store, NULL);
    assert_true(is_there(w, MLN_BYTES("kick/1")));
    assert_false(is_there(w, MLN_BYTES("kick/2")));
    sem_destroy(&done);
}

/* Everything that was submitted is finished before close returns. */
static void count_done(struct mln_batch *batch)
{
    __atomic_add_fetch((size_t *)batch->arg, 1, __ATOMIC_SEQ_CST);
}

static void conf_close_finishes(void **state)
{
    struct world *w = *state;
    enum { N = 500 };
    struct waiting *all = mln_new_array(w->cx, N, sizeof(*all));
    size_t done = 0;
    for (size_t i = 0; i < N; i++) {
        snprintf(all[i].key, sizeof(all[i].key), "close%zu", i);
        all[i].writes[0] = put_of(mln_bytes_of(all[i].key), MLN_BYTES("v"));
        all[i].batch =
            (struct mln_batch){.writes = all[i].writes, .n = 1, .done = count_done, .arg = &done};
        mln_store_submit(w->store, &all[i].batch);
    }
    world_reopen(w);
    assert_int_equal(done, N);
    for (size_t i = 0; i < N; i++) {
        kit_expect(w->cx, all[i].key, all[i].batch.result, MLN_E_OK);
        assert_true(is_there(w, mln_bytes_of(all[i].key)));
    }
}

/* ---- faults ---- */
/*
 * A write or a sync that fails is reported, and nothing of the batch is there; the next commit
 * works.
 */
static void conf_write_faults(void **state)
{
    struct world *w = *state;
    put_one(w, MLN_BYTES("before"), MLN_BYTES("x"));
    for (enum mln_fault_kind kind = MLN_FAULT_WRITE; kind <= MLN_FAULT_SYNC; kind++) {
        size_t fired = 0;
        for (uint64_t nth = 1; nth < 20; nth++) {
            struct mln_write writes[] = {put_of(MLN_BYTES("f1"), MLN_BYTES("x")),
                                         put_of(MLN_BYTES("f2"), MLN_BYTES("x")),
                                         delete_of(MLN_BYTES("before"))};
            mln_fault_arm(kind, nth, false);
            struct mln_err err = commit_writes(w, writes, 3, NULL);
            bool did_fire = mln_fault_fired(kind);
            mln_fault_arm(kind, 0, false);
            if (!did_fire) {
                kit_ok(w->cx, err);
                break;
            }
            fired++;
            kit_refused(w->cx, err, MLN_E_IO);
            assert_false(is_there(w, MLN_BYTES("f1")) || is_there(w, MLN_BYTES("f2")));
            assert_true(is_there(w, MLN_BYTES("before")));
        }
        assert_true(fired > 0);
        struct mln_write undo[] = {delete_of(MLN_BYTES("f1")), delete_of(MLN_BYTES("f2")),
                                   put_of(MLN_BYTES("before"), MLN_BYTES("x"))};
        kit_ok(w->cx, commit_writes(w, undo, 3, NULL));
    }
}

static struct mln_err read_and_write(struct mln_cx *cx, void *arg)
{
    struct world *w = arg;
    struct mln_write write = put_of(MLN_BYTES("a"), MLN_BYTES("b"));
    struct mln_batch batch = {.writes = &write, .n = 1};
    MLN_TRY(mln_store_commit(cx, w->store, &batch));
    MLN_AUTO(mln_snap_drop) struct mln_snap *one = NULL;
    MLN_AUTO(mln_snap_drop) struct mln_snap *two = NULL;
    struct mln_bytes value;
    uint64_t version = 0;
    MLN_TRY(mln_snap_begin(cx, w->store, &one));
    MLN_TRY(mln_snap_begin(cx, w->store, &two));
    return mln_snap_get(cx, two, MLN_BYTES("a"), &value, &version);
}

static void conf_allocation_faults(void **state)
{
    struct world *w = *state;
    (void)mln_each_fault_loose(MLN_FAULT_ALLOC, read_and_write, w);
    kit_ok(w->cx, read_and_write(w->cx, w));
}

/* ---- everything anew ---- */

struct refill {
    unsigned rows, fail_at;
};

static struct mln_err conf_refill(void *arg, struct mln_cx *cx, struct mln_store_writer *w)
{
    const struct refill *r = arg;
    for (unsigned i = 0; i < r->rows; i++) {
        char name[1200] = {0};
        (void)snprintf(name, sizeof(name), "new/%0*u", i % 2 == 0 ? 4 : 1100, i);
        if (i == r->fail_at) {
            return mln_fail(cx, MLN_E_PARSE, "as told");
        }
        MLN_TRY(mln_writer_put(cx, w, mln_bytes_of(name), MLN_BYTES("v")));
    }
    return MLN_OK;
}

static void conf_replace(void **state)
{
    struct world *w = *state;
    struct refill none = {0, 9}, few = {5, 9}, torn = {5, 3};
    struct mln_store_fill fill = {conf_refill, &torn};
    char name[1200] = {0};
    (void)snprintf(name, sizeof(name), "old/%0*u", 1100, 1u);
    put_one(w, mln_bytes_of(name), MLN_BYTES("long"));
    uint64_t before = put_one(w, MLN_BYTES("old"), MLN_BYTES("v"));
    kit_refused_with(w->cx, mln_store_replace(w->cx, w->store, &fill), MLN_E_PARSE, "as told");
    assert_true(mln_bytes_is(read_one(w, mln_bytes_of(name), NULL), "long"));
    assert_null(read_one(w, MLN_BYTES("new/0000"), NULL).ptr);
    fill.arg = &few;
    kit_ok(w->cx, mln_store_replace(w->cx, w->store, &fill));
    uint64_t after = 0;
    assert_true(mln_bytes_is(read_one(w, MLN_BYTES("new/0004"), &after), "v"));
    assert_true(after > before); /* what was read before conflicts */
    assert_null(read_one(w, mln_bytes_of(name), NULL).ptr);
    world_reopen(w);
    assert_null(read_one(w, MLN_BYTES("old"), NULL).ptr);
    assert_true(mln_bytes_is(read_one(w, MLN_BYTES("new/0002"), NULL), "v"));
    fill.arg = &none;
    kit_ok(w->cx, mln_store_replace(w->cx, w->store, &fill));
    assert_null(read_one(w, MLN_BYTES("new/0002"), NULL).ptr);
    put_one(w, MLN_BYTES("goes"), MLN_BYTES("on"));
}

static void conf_replace_faults(void **state)
{
    struct world *w = *state;
    struct refill few = {5, 9};
    struct mln_store_fill fill = {conf_refill, &few};
    put_one(w, MLN_BYTES("old"), MLN_BYTES("v"));
    mln_fault_arm(MLN_FAULT_WRITE, 3, false);
    kit_refused(w->cx, mln_store_replace(w->cx, w->store, &fill), MLN_E_IO);
    mln_fault_arm(MLN_FAULT_WRITE, 0, false);
    mln_fault_arm(MLN_FAULT_SYNC, 1, false);
    kit_refused(w->cx, mln_store_replace(w->cx, w->store, &fill), MLN_E_IO);
    mln_fault_arm(MLN_FAULT_SYNC, 0, false);
    assert_true(mln_bytes_is(read_one(w, MLN_BYTES("old"), NULL), "v"));
    assert_null(read_one(w, MLN_BYTES("new/0000"), NULL).ptr);
}

#define MLN_CONFORMANCE_TESTS                                                                      \
    WORLD_TEST(conf_put_get_delete), WORLD_TEST(conf_batches), WORLD_TEST(conf_expectations),      \
        WORLD_TEST(conf_limits), WORLD_TEST(conf_long_keys), WORLD_TEST(conf_random_keys),         \
        WORLD_TEST(conf_scan_edges), WORLD_TEST(conf_snapshots), WORLD_TEST(conf_writers_add_up),  \
        WORLD_TEST(conf_sequencer), WORLD_TEST(conf_sequencer_fails),                              \
        WORLD_TEST(conf_group_retried), WORLD_TEST(conf_kick), WORLD_TEST(conf_close_finishes),    \
        WORLD_TEST(conf_write_faults), WORLD_TEST(conf_allocation_faults),                         \
        WORLD_TEST(conf_replace), WORLD_TEST(conf_replace_faults)
