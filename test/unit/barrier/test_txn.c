/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions: overlay, expectations, listing against a model, deletion of trees, conflicts that
 * add up, damage.
 */
#include "barrier_kit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "barrier/txn.h"

#define view_a ((struct mln_view){MLN_NS_ROOT, MLN_BYTES("root/aaaa/")})
#define view_b ((struct mln_view){MLN_NS_ROOT, MLN_BYTES("root/bbbb/")})

static struct mln_txn *begin(struct vault *v)
{
    struct mln_txn *txn = NULL;
    kit_ok(v->cx, mln_txn_begin(v->cx, v->store, v->barrier, &txn));
    return txn;
}

static struct mln_err finish(struct mln_cx *cx, struct mln_store *store, struct mln_txn *txn,
                             const struct mln_value **ret_digests)
{
    struct mln_batch batch;
    MLN_TRY(mln_txn_batch(cx, txn, &batch, ret_digests));
    return mln_store_commit(cx, store, &batch);
}

static void commit(struct vault *v, struct mln_txn *txn)
{
    const struct mln_value *digests = NULL;
    kit_ok(v->cx, finish(v->cx, v->store, txn, &digests));
    mln_txn_end(txn);
}

static void put(struct vault *v, struct mln_txn *txn, struct mln_view view, const char *key,
                const char *text)
{
    kit_ok(v->cx, mln_txn_put(v->cx, txn, view, mln_bytes_of(key), mln_bytes_of(text)));
}

static void put_now(struct vault *v, struct mln_view view, const char *key, const char *text)
{
    struct mln_txn *txn = begin(v);
    put(v, txn, view, key, text);
    commit(v, txn);
}

/* want NULL: absent */
static void get_is(struct vault *v, struct mln_txn *txn, struct mln_view view, const char *key,
                   const char *want)
{
    struct mln_bytes got;
    struct mln_err err = mln_txn_get(v->cx, txn, view, mln_bytes_of(key), &got);
    assert_false(mln_failed(mln_cx_err(v->cx)) &&
                 want == NULL); /* absence leaves no text on the context */
    kit_expect(v->cx, key, err, want != NULL ? MLN_E_OK : MLN_E_NOT_FOUND);
    if (want != NULL) {
        kit_text(got, want);
    }
}

static void list_is(struct vault *v, struct mln_txn *txn, const char *prefix,
                    const char *const *want, size_t n)
{
    const struct mln_value *names = NULL;
    kit_ok(v->cx, mln_txn_list(v->cx, txn, view_a, mln_bytes_of(prefix), &names));
    for (size_t i = 0; i < n && i < mln_len(names); i++) {
        kit_text(mln_get_bytes(mln_item(names, i)), want[i]);
    }
    assert_int_equal(mln_len(names), n);
}

static void test_overlay(void **state)
{
    struct vault *v = *state;
    put_now(v, view_a, "k", "old");
    struct mln_txn *txn = begin(v);
    assert_false(mln_txn_has_writes(txn));
    get_is(v, txn, view_a, "k", "old");
    get_is(v, txn, view_b, "k", NULL); /* another mount */
    put(v, txn, view_a, "k", "new");
    put(v, txn, view_a, "fresh", "1");
    get_is(v, txn, view_a, "k", "new");
    get_is(v, txn, view_a, "fresh", "1");
    kit_ok(v->cx, mln_txn_delete(v->cx, txn, view_a, MLN_BYTES("fresh")));
    get_is(v, txn, view_a, "fresh", NULL);
    put(v, txn, view_a, "fresh", "2");
    get_is(v, txn, view_a, "fresh", "2");
    assert_true(mln_txn_has_writes(txn));
    struct mln_txn *other = begin(v);
    get_is(v, other, view_a, "k", "old"); /* nothing shows before the commit */
    commit(v, txn);
    get_is(v, other, view_a, "k", "old"); /* nor in an older snapshot */
    mln_txn_end(other);
    other = begin(v);
    get_is(v, other, view_a, "k", "new");
    get_is(v, other, view_a, "fresh", "2");
    mln_txn_end(other);
    txn = begin(v);
    put(v, txn, view_a, "dropped", "x");
    mln_txn_drop(&txn);
    assert_null(txn);
    txn = begin(v);
    get_is(v, txn, view_a, "dropped", NULL);
    mln_txn_end(txn);
    mln_txn_end(NULL);
}

static void test_batch(void **state)
{
    struct vault *v = *state;
    put_now(v, view_a, "read", "1");
    put_now(v, view_a, "gone", "1");
    struct mln_txn *txn = begin(v);
    get_is(v, txn, view_a, "read", "1");
    get_is(v, txn, view_a, "absent", NULL);
    struct mln_batch batch;
    const struct mln_value *digests = NULL;
    kit_ok(v->cx, mln_txn_batch(v->cx, txn, &batch, &digests));
    assert_int_equal(batch.n, 0); /* a reader expects nothing */
    put(v, txn, view_a, "written", "secret text");
    put(v, txn, view_a, "written", "secret text 2");
    kit_ok(v->cx, mln_txn_delete(v->cx, txn, view_a, MLN_BYTES("gone")));
    mln_txn_mark_relief(txn);
    kit_ok(v->cx, mln_txn_batch(v->cx, txn, &batch, &digests));
    assert_true(batch.is_relief);
    assert_int_equal(batch.n, 4); /* two expectations, a put, a delete */
    assert_int_equal(mln_len(digests), 2);
    kit_text(mln_get_bytes(mln_item(mln_item(digests, 0), 0)), "root/aaaa/written");
    assert_true(mln_is_null(mln_item(mln_item(digests, 1), 1)));
    for (size_t i = 0; i < batch.n; i++) {
        if (batch.writes[i].op == MLN_WRITE_PUT) {
            uint8_t digest[32];
            mln_sha256(batch.writes[i].value, digest);
            kit_same(v->cx, mln_get_bytes(mln_item(mln_item(digests, 0), 1)),
                     mln_bytes_at(digest, 32));
            assert_int_equal(batch.writes[i].value.len, 13 + MLN_BOX_OVERHEAD);
            size_t at = mln_bytes_find_bytes(batch.writes[i].value, MLN_BYTES("secret"));
            assert_int_equal(at, batch.writes[i].value.len); /* it is no plaintext */
        }
    }
    kit_ok(v->cx, mln_store_commit(v->cx, v->store, &batch));
    mln_txn_end(txn);
}

static const struct {
    const char *name, *read,
        *change; /* what the transaction reads, what another changes meanwhile */
    bool by_delete, does_write;
    enum mln_code want;
} conflict_rows[] = {
    {"read and changed", "a", "a", false, true, MLN_E_CONFLICT},
    {"read and deleted", "a", "a", true, true, MLN_E_CONFLICT},
    {"absent and made", "none", "none", false, true, MLN_E_CONFLICT},
    {"something else changed", "a", "b", false, true, MLN_E_OK},
    {"only read", "a", "a", false, false, MLN_E_OK},
    {"blind write over it", NULL, "out", false, true, MLN_E_OK},
};

static void test_conflicts(void **state)
{
    struct vault *v = *state;
    for (size_t i = 0; i < MLN_COUNT(conflict_rows); i++) {
        put_now(v, view_a, "a", "1");
        put_now(v, view_a, "b", "1");
        struct mln_txn *txn = begin(v);
        struct mln_bytes got;
        if (conflict_rows[i].read != NULL) {
            (void)mln_txn_get(v->cx, txn, view_a, mln_bytes_of(conflict_rows[i].read), &got);
        }
        if (conflict_rows[i].does_write) {
            put(v, txn, view_a, "out", "x");
        }
        struct mln_txn *other = begin(v);
        if (conflict_rows[i].by_delete) {
            kit_ok(v->cx,
                   mln_txn_delete(v->cx, other, view_a, mln_bytes_of(conflict_rows[i].change)));
        } else {
            put(v, other, view_a, conflict_rows[i].change, "changed");
        }
        commit(v, other);
        const struct mln_value *digests = NULL;
        kit_expect(v->cx, conflict_rows[i].name, finish(v->cx, v->store, txn, &digests),
                   conflict_rows[i].want);
        mln_txn_end(txn);
    }
}

static void test_values(void **state)
{
    struct vault *v = *state;
    struct mln_txn *txn = begin(v);
    struct mln_value *value = mln_object(v->cx);
    const struct mln_value *again = NULL;
    mln_put_text(v->cx, value, "name", "x");
    mln_put_int(v->cx, value, "n", 7);
    kit_ok(v->cx, mln_txn_put_value(v->cx, txn, view_a, MLN_BYTES("v"), value));
    kit_ok(v->cx, mln_txn_get_value(v->cx, txn, view_a, MLN_BYTES("v"), &again));
    assert_true(mln_value_eq(value, again));
    commit(v, txn);
    put_now(v, view_a, "junk", "\xff\xff");
    txn = begin(v);
    kit_ok(v->cx, mln_txn_get_value(v->cx, txn, view_a, MLN_BYTES("v"), &again));
    assert_true(mln_value_eq(value, again));
    kit_refused(v->cx, mln_txn_get_value(v->cx, txn, view_a, MLN_BYTES("none"), &again),
                MLN_E_NOT_FOUND);
    kit_refused(v->cx, mln_txn_get_value(v->cx, txn, view_a, MLN_BYTES("junk"), &again),
                MLN_E_CORRUPT);
    mln_txn_end(txn);
}

#define LIST(...)                                                                                  \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void test_list(void **state)
{
    struct vault *v = *state;
    static const char *const keys[] = {"a",     "a-b",   "a/x",     "a/y/z", "a/y/zz",       "a0",
                                       "dir/1", "dir/2", "dir/2/3", "e//f",  "solo/deep/er", "z"};
    struct mln_txn *txn = begin(v);
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        put(v, txn, view_a, keys[i], "x");
    }
    put(v, txn, view_b, "other", "x");
    list_is(v, txn, "",
            LIST("a", "a-b", "a/", "a0", "dir/", "e/", "solo/", "z")); /* its own writes alone */
    commit(v, txn);
    txn = begin(v);
    list_is(v, txn, "", LIST("a", "a-b", "a/", "a0", "dir/", "e/", "solo/", "z"));
    list_is(v, txn, "a/", LIST("x", "y/"));
    list_is(v, txn, "e/", LIST("/"));
    list_is(v, txn, "dir/", LIST("1", "2", "2/"));
    list_is(v, txn, "none/", NULL, 0);
    kit_ok(v->cx, mln_txn_delete(v->cx, txn, view_a, MLN_BYTES("solo/deep/er")));
    kit_ok(v->cx, mln_txn_delete(v->cx, txn, view_a, MLN_BYTES("a/x")));
    put(v, txn, view_a, "dir/0", "x");
    put(v, txn, view_a, "b/new", "x");
    put(v, txn, view_a, "zz", "x");
    put(v, txn, view_a, "a", "again");
    list_is(v, txn, "", LIST("a", "a-b", "a/", "a0", "b/", "dir/", "e/", "z", "zz"));
    list_is(v, txn, "a/", LIST("y/"));
    list_is(v, txn, "dir/", LIST("0", "1", "2", "2/"));
    list_is(v, txn, "solo/", NULL, 0);
    const struct mln_value *names = NULL;
    kit_refused(v->cx, mln_txn_list(v->cx, txn, view_a, MLN_BYTES("dir"), &names), MLN_E_INVALID);
    mln_txn_end(txn);
}

/* Folders of many keys, between keys that sort just before and behind them. */
static void test_list_large_folders(void **state)
{
    struct vault *v = *state;
    struct mln_txn *txn = begin(v);
    for (size_t i = 0; i < 9000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "f%zu/%06zu", i % 3, i);
        put(v, txn, view_a, key, "x");
    }
    put(v, txn, view_a, "f1.", "x");
    put(v, txn, view_a, "f10", "x");
    commit(v, txn);
    txn = begin(v);
    list_is(v, txn, "", LIST("f0/", "f1.", "f1/", "f10", "f2/"));
    const struct mln_value *names = NULL;
    kit_ok(v->cx, mln_txn_list(v->cx, txn, view_a, MLN_BYTES("f1/"), &names));
    assert_int_equal(mln_len(names), 3000);
    kit_text(mln_get_bytes(mln_item(names, 2999)), "008998");
    mln_txn_end(txn);
}

/* Random writes and deletes over few names, listed at every level against a plain model. */
#define NAMES 5
static const char *const parts[NAMES] = {"a", "b", "a-", "a0", "/"};

static void random_key(struct mln_prng *g, char *to)
{
    size_t n = 1 + mln_prng_below(g, 3);
    to[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(to, i > 0 ? "/" : "");
        strcat(to, parts[mln_prng_below(g, NAMES)]);
    }
}

static void check_against_model(struct vault *v, struct mln_txn *txn, char (*model)[16], size_t n,
                                const char *prefix)
{
    const struct mln_value *names = NULL;
    struct mln_value *want = mln_set(v->cx); /* sorted and unique, as a listing */
    for (size_t i = 0; i < n; i++) {
        struct mln_bytes key = mln_bytes_of(model[i]);
        if (mln_bytes_starts(key, mln_bytes_of(prefix)) && key.len > strlen(prefix)) {
            struct mln_bytes rest = mln_bytes_from(key, strlen(prefix));
            size_t slash = mln_bytes_find(rest, '/');
            struct mln_bytes name = slash < rest.len ? mln_bytes_sub(rest, 0, slash + 1) : rest;
            mln_push(v->cx, want, mln_string_dup(v->cx, name));
        }
    }
    kit_ok(v->cx, mln_txn_list(v->cx, txn, view_a, mln_bytes_of(prefix), &names));
    assert_int_equal(mln_len(names), mln_len(want));
    for (size_t i = 0; i < mln_len(want); i++) {
        kit_same(v->cx, mln_get_bytes(mln_item(names, i)), mln_get_bytes(mln_item(want, i)));
    }
}

static void test_list_model(void **state)
{
    struct vault *v = *state;
    struct mln_prng g;
    char model[200][16];
    size_t n = 0;
    mln_prng_seed(&g, 7);
    struct mln_txn *txn = begin(v);
    for (size_t step = 0; step < 1500; step++) {
        char key[16];
        random_key(&g, key);
        size_t at = 0;
        while (at < n && strcmp(model[at], key) != 0) {
            at++;
        }
        if (mln_prng_below(&g, 2) == 0) {
            put(v, txn, view_a, key, "x");
            if (at == n) {
                snprintf(model[n++], 16, "%s", key);
            }
        } else {
            kit_ok(v->cx, mln_txn_delete(v->cx, txn, view_a, mln_bytes_of(key)));
            if (at < n) {
                mln_move(model[at], model[--n], 16);
            }
        }
        if (step % 10 == 0) {
            check_against_model(v, txn, model, n, "");
            check_against_model(v, txn, model, n, "a/");
            check_against_model(v, txn, model, n, "b/a/");
        }
        if (step % 37 == 0) {
            commit(v, txn);
            txn = begin(v);
        }
    }
    mln_txn_end(txn);
}

static void test_delete_all(void **state)
{
    struct vault *v = *state;
    static const char *const keys[] = {"t/1", "t/2/3", "t", "t0", "u/1"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        put_now(v, view_a, keys[i], "x");
        put_now(v, view_b, keys[i], "x");
    }
    struct mln_txn *txn = begin(v);
    put(v, txn, view_a, "t/own", "x");
    get_is(v, txn, view_a, "t/1", "x");
    kit_ok(v->cx, mln_txn_delete_all(v->cx, txn, view_a, MLN_BYTES("t/")));
    get_is(v, txn, view_a, "t/own", NULL);
    get_is(v, txn, view_a, "t/1", NULL);
    list_is(v, txn, "", LIST("t", "t0", "u/"));
    commit(v, txn);
    txn = begin(v);
    list_is(v, txn, "", LIST("t", "t0", "u/"));
    kit_ok(v->cx, mln_txn_delete_all(v->cx, txn, view_a, MLN_BYTES_NONE));
    list_is(v, txn, "", NULL, 0);
    commit(v, txn);
    txn = begin(v);
    list_is(v, txn, "", NULL, 0);
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        get_is(v, txn, view_b, keys[i], "x"); /* the other mount is untouched */
    }
    mln_txn_end(txn);
}

static void test_damage(void **state)
{
    struct vault *v = *state;
    struct mln_bytes got;
    struct mln_bytes a = MLN_BYTES("root/aaaa/a"), b = MLN_BYTES("root/aaaa/b");
    put_now(v, view_a, "a", "1");
    put_now(v, view_a, "b", "2");
    struct mln_bytes box = raw_get(v, a);
    raw_put(v, b, box); /* moved */
    struct mln_txn *txn = begin(v);
    kit_refused(v->cx, mln_txn_get(v->cx, txn, view_a, MLN_BYTES("b"), &got), MLN_E_FORGED);
    get_is(v, txn, view_a, "a", "1");
    mln_txn_end(txn);
    uint8_t bytes[128];
    mln_copy(bytes, box.ptr, box.len);
    bytes[4] = 9; /* a key id that does not exist: damage, not absence */
    raw_put(v, a, mln_bytes_at(bytes, box.len));
    txn = begin(v);
    kit_refused(v->cx, mln_txn_get(v->cx, txn, view_a, MLN_BYTES("a"), &got), MLN_E_CORRUPT);
    uint8_t *longest = mln_new(v->cx, 5000);
    kit_refused(v->cx, mln_txn_get(v->cx, txn, view_a, mln_bytes_at(longest, 4090), &got),
                MLN_E_TOO_LARGE);
    kit_refused(v->cx, mln_txn_put(v->cx, txn, view_a, mln_bytes_at(longest, 4090), a),
                MLN_E_TOO_LARGE);
    mln_barrier_seal(v->barrier);
    kit_refused(v->cx, mln_txn_get(v->cx, txn, view_a, MLN_BYTES("b"), &got), MLN_E_SEALED);
    put(v, txn, view_a, "c", "x");
    struct mln_batch batch;
    const struct mln_value *digests = NULL;
    kit_refused(v->cx, mln_txn_batch(v->cx, txn, &batch, &digests), MLN_E_SEALED);
    mln_txn_end(txn);
}

/* ---- several writers ---- */
#define WRITERS 6
#define ROUNDS  40

static struct mln_err add_one(struct mln_cx *cx, struct vault *v)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *old = NULL;
    const struct mln_value *digests = NULL;
    MLN_TRY(mln_txn_begin(cx, v->store, v->barrier, &txn));
    struct mln_err err = mln_txn_get_value(cx, txn, view_a, MLN_BYTES("counter"), &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *next = mln_int(cx, mln_get_int(old, 0) + 1);
    MLN_TRY(mln_txn_put_value(cx, txn, view_a, MLN_BYTES("counter"), next));
    return finish(cx, v->store, txn, &digests);
}

static void *count_up(void *arg)
{
    struct mln_arena *arena = mln_arena_new(1 << 20, false);
    struct mln_cx cx;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct mln_err err;
        do {
            mln_arena_reset(arena);
            mln_cx_init(&cx, arena);
            err = add_one(&cx, arg);
        } while (mln_is(err, MLN_E_CONFLICT));
        MLN_CHECK(!mln_failed(err));
    }
    mln_arena_free(arena);
    return NULL;
}

static void test_counter(void **state)
{
    struct vault *v = *state;
    pthread_t threads[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, v), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    const struct mln_value *sum = NULL;
    struct mln_txn *txn = begin(v);
    kit_ok(v->cx, mln_txn_get_value(v->cx, txn, view_a, MLN_BYTES("counter"), &sum));
    assert_int_equal(mln_get_int(sum, 0), WRITERS * ROUNDS);
    mln_txn_end(txn);
}

static struct mln_err read_change_list(struct mln_cx *cx, void *arg)
{
    struct vault *v = arg;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_begin(cx, v->store, v->barrier, &txn));
    for (size_t i = 0; i < 40; i++) {
        MLN_TRY(mln_txn_put(cx, txn, view_a, mln_bytes_format(cx, "f/%zu", i), MLN_BYTES("x")));
    }
    MLN_TRY(mln_txn_delete(cx, txn, view_a, MLN_BYTES("f/3")));
    MLN_TRY(mln_txn_list(cx, txn, view_a, MLN_BYTES("f/"), &names));
    return finish(cx, v->store, txn, &names);
}

static void test_faults(void **state)
{
    struct vault *v = *state;
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, read_change_list, v) > 0);
    assert_true(mln_each_fault(MLN_FAULT_WRITE, read_change_list, v) > 0);
    kit_ok(v->cx, read_change_list(v->cx, v));
    struct mln_txn *txn = begin(v);
    const struct mln_value *names = NULL;
    kit_ok(v->cx, mln_txn_list(v->cx, txn, view_a, MLN_BYTES("f/"), &names));
    assert_int_equal(mln_len(names), 39);
    mln_txn_end(txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VAULT_TEST(test_overlay),    VAULT_TEST(test_batch),
        VAULT_TEST(test_conflicts),  VAULT_TEST(test_values),
        VAULT_TEST(test_list),       VAULT_TEST(test_list_large_folders),
        VAULT_TEST(test_list_model), VAULT_TEST(test_delete_all),
        VAULT_TEST(test_damage),     VAULT_TEST(test_counter),
        VAULT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
