/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values through the barrier: round trips, every change, moves, wrong roots, rotation, namespaces,
 * sealing under load.
 */
#include "barrier_kit.h"

#include <pthread.h>
#include <stdio.h>

static struct mln_bytes seal_one(struct vault *v, struct mln_bytes ns, struct mln_bytes key,
                                 struct mln_bytes plain)
{
    struct mln_bytes box;
    kit_ok(v->cx, mln_barrier_encrypt(v->cx, v->barrier, ns, key, plain, &box));
    return box;
}

static struct mln_err open_one(struct vault *v, struct mln_bytes ns, struct mln_bytes key,
                               struct mln_bytes box, struct mln_bytes *ret)
{
    return mln_barrier_decrypt(v->cx, v->barrier, ns, key, box, ret);
}

static void test_round_trip(void **state)
{
    struct vault *v = *state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 1000, 70000};
    uint8_t *plain = mln_new(v->cx, 70000);
    mln_random(plain, 70000);
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        struct mln_bytes text = mln_bytes_at(plain, sizes[i]);
        struct mln_bytes a = seal_one(v, MLN_NS_ROOT, MLN_BYTES("k"), text);
        struct mln_bytes b = seal_one(v, MLN_NS_ROOT, MLN_BYTES("k"), text);
        struct mln_bytes again;
        assert_int_equal(a.len, sizes[i] + MLN_BOX_OVERHEAD);
        assert_false(mln_bytes_eq(a, b)); /* a fresh nonce each time */
        kit_ok(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("k"), a, &again));
        kit_same(v->cx, again, text);
    }
    struct mln_bytes box = seal_one(v, MLN_NS_ROOT, MLN_BYTES("k"), MLN_BYTES("x"));
    assert_int_equal(box.ptr[0], 1); /* docs/format-barrier.md */
    assert_int_equal(mln_get_u32be(box.ptr + 1), 1);
}

static void test_changes(void **state)
{
    struct vault *v = *state;
    struct mln_bytes plain;
    struct mln_bytes box = seal_one(v, MLN_NS_ROOT, MLN_BYTES("a/b"), MLN_BYTES("secret"));
    uint8_t *bytes = mln_new(v->cx, box.len);
    mln_copy(bytes, box.ptr, box.len);
    for (size_t bit = 0; bit < 8 * box.len; bit++) {
        bool is_key_id = bit / 8 >= 1 && bit / 8 < 5;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        kit_refused(
            v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("a/b"), mln_bytes_at(bytes, box.len), &plain),
            is_key_id ? MLN_E_NOT_FOUND : MLN_E_FORGED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < box.len; n++) {
        kit_refused(v->cx,
                    open_one(v, MLN_NS_ROOT, MLN_BYTES("a/b"), mln_bytes_at(bytes, n), &plain),
                    MLN_E_FORGED);
    }
    kit_refused(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("a/c"), box, &plain),
                MLN_E_FORGED); /* moved */
    kit_refused(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("a/b/"), box, &plain), MLN_E_FORGED);
    kit_ok(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("a/b"), box, &plain));
}

static void test_too_large(void **state)
{
    struct vault *v = *state;
    struct mln_bytes box;
    struct mln_bytes huge =
        mln_bytes_at("x", (size_t)MLN_STORE_VALUE_MAX + 1); /* refused before it is read */
    kit_refused(v->cx,
                mln_barrier_encrypt(v->cx, v->barrier, MLN_NS_ROOT, MLN_BYTES("k"), huge, &box),
                MLN_E_TOO_LARGE);
}

static void test_root_key(void **state)
{
    struct vault *v = *state;
    struct mln_bytes plain;
    MLN_AUTO(mln_secret_drop) struct mln_secret wrong = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret copy = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret shorter = {0};
    kit_ok(v->cx, mln_secret_random(v->cx, 32, &wrong));
    kit_ok(v->cx, mln_secret_random(v->cx, 31, &shorter));
    struct mln_bytes box = seal_one(v, MLN_NS_ROOT, MLN_BYTES("k"), MLN_BYTES("x"));
    kit_ok(v->cx, mln_barrier_root(v->cx, v->barrier, &copy));
    kit_same(v->cx, mln_secret_bytes(&copy), mln_secret_bytes(&v->root));
    kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &wrong),
                MLN_E_FORGED); /* also while unsealed */
    kit_ok(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("k"), box, &plain));
    mln_barrier_seal(v->barrier);
    mln_barrier_seal(v->barrier);
    assert_true(mln_barrier_is_sealed(v->barrier));
    struct mln_barrier_status status;
    MLN_AUTO(mln_secret_drop) struct mln_secret none = {0};
    kit_refused(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("k"), box, &plain), MLN_E_SEALED);
    kit_refused(v->cx, mln_barrier_encrypt(v->cx, v->barrier, MLN_NS_ROOT, box, box, &plain),
                MLN_E_SEALED);
    kit_refused(v->cx, mln_barrier_root(v->cx, v->barrier, &none), MLN_E_SEALED);
    kit_refused(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_NS_ROOT), MLN_E_SEALED);
    kit_refused(v->cx, mln_barrier_tick(v->cx, v->barrier, NULL), MLN_E_SEALED);
    kit_refused(v->cx, mln_barrier_key_status(v->cx, v->barrier, MLN_NS_ROOT, &status),
                MLN_E_SEALED);
    kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &wrong), MLN_E_FORGED);
    kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &shorter), MLN_E_INVALID);
    assert_true(mln_barrier_is_sealed(v->barrier));
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("k"), box, &plain));
}

static void test_init(void **state)
{
    struct vault *v = *state;
    struct vault other = {0};
    kit_refused(v->cx, mln_barrier_init(v->cx, v->barrier, &v->root), MLN_E_EXISTS);
    assert_true(mln_barrier_is_initialized(v->cx, v->barrier));
    vault_open_sealed(&other);
    assert_false(mln_barrier_is_initialized(other.cx, other.barrier));
    kit_refused(other.cx, mln_barrier_unseal(other.cx, other.barrier, &other.root), MLN_E_UNINIT);
    other.control->fail_commit_at = 1;
    kit_refused(other.cx, mln_barrier_init(other.cx, other.barrier, &other.root), MLN_E_IO);
    assert_false(mln_barrier_is_initialized(other.cx, other.barrier));
    kit_ok(other.cx, mln_barrier_init(other.cx, other.barrier, &other.root));
    assert_true(mln_barrier_is_sealed(other.barrier));
    mln_barrier_free(other.barrier);
    mln_store_close(other.store);
    mln_secret_drop(&other.root);
    kit_cx_free(other.cx);
    mln_barrier_free(NULL);
}

static void test_rotation(void **state)
{
    struct vault *v = *state;
    struct mln_bytes boxes[4];
    struct mln_bytes plain;
    struct mln_barrier_status status;
    for (uint32_t i = 0; i < 4; i++) {
        boxes[i] = seal_one(v, MLN_NS_ROOT, MLN_BYTES("k"), MLN_BYTES("x"));
        assert_int_equal(mln_get_u32be(boxes[i].ptr + 1), i + 1);
        kit_ok(v->cx, mln_barrier_key_status(v->cx, v->barrier, MLN_NS_ROOT, &status));
        assert_int_equal(status.term, i + 1);
        assert_int_equal(status.encryptions, 1);
        assert_true(status.install_ns > 0);
        kit_ok(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_NS_ROOT));
    }
    mln_barrier_seal(v->barrier);
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    for (size_t i = 0; i < 4; i++) {
        kit_ok(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("k"), boxes[i], &plain));
    }
    v->control->fail_commit_at = 1; /* not written: not used either */
    kit_refused(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_NS_ROOT), MLN_E_IO);
    kit_ok(v->cx, mln_barrier_key_status(v->cx, v->barrier, MLN_NS_ROOT, &status));
    assert_int_equal(status.term, 5);
    raw_put(v, MLN_BYTES("core/keyring/root"),
            raw_get(v, MLN_BYTES("core/keyring/root"))); /* by someone else */
    kit_refused(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_NS_ROOT), MLN_E_CONFLICT);
}

static const struct {
    const char *ns;
    enum mln_code want;
} namespaces[] = {
    {"team-a", MLN_E_OK},
    {"n1.x_y", MLN_E_OK},
    {"team-a", MLN_E_EXISTS},
    {"root", MLN_E_EXISTS},
    {"", MLN_E_INVALID},
    {"a/b", MLN_E_INVALID},
    {"a b", MLN_E_INVALID},
    {"\x01", MLN_E_INVALID},
    {"0123456789012345678901234567890123456789012345678901234567890123", MLN_E_OK},
    {"01234567890123456789012345678901234567890123456789012345678901234", MLN_E_INVALID},
};

/* Stable over rotation and restart; different for purposes and namespaces. */
static void test_derive(void **state)
{
    struct vault *v = *state;
    struct mln_bytes team = MLN_BYTES("team");
    uint8_t first[32], again[32], other[32];
    kit_ok(v->cx, mln_barrier_add_namespace(v->cx, v->barrier, team));
    kit_ok(v->cx, mln_barrier_derive(v->cx, v->barrier, MLN_NS_ROOT, "token", first));
    kit_ok(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_NS_ROOT));
    mln_barrier_seal(v->barrier);
    kit_refused(v->cx, mln_barrier_derive(v->cx, v->barrier, MLN_NS_ROOT, "token", again),
                MLN_E_SEALED);
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, mln_barrier_derive(v->cx, v->barrier, MLN_NS_ROOT, "token", again));
    assert_memory_equal(first, again, 32);
    kit_ok(v->cx, mln_barrier_derive(v->cx, v->barrier, MLN_NS_ROOT, "audit", other));
    assert_memory_not_equal(first, other, 32);
    kit_ok(v->cx, mln_barrier_derive(v->cx, v->barrier, team, "token", other));
    assert_memory_not_equal(first, other, 32);
    kit_refused(v->cx, mln_barrier_derive(v->cx, v->barrier, MLN_BYTES("none"), "x", other),
                MLN_E_NOT_FOUND);
}

static void test_namespaces(void **state)
{
    struct vault *v = *state;
    struct mln_bytes plain;
    for (size_t i = 0; i < MLN_COUNT(namespaces); i++) {
        kit_expect(v->cx, namespaces[i].ns,
                   mln_barrier_add_namespace(v->cx, v->barrier, mln_bytes_of(namespaces[i].ns)),
                   namespaces[i].want);
    }
    struct mln_bytes team = MLN_BYTES("team-a");
    struct mln_bytes in_team = seal_one(v, team, MLN_BYTES("k"), MLN_BYTES("x"));
    kit_refused(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("k"), in_team, &plain), MLN_E_FORGED);
    kit_refused(v->cx, open_one(v, MLN_BYTES("none"), MLN_BYTES("k"), in_team, &plain),
                MLN_E_NOT_FOUND);
    kit_refused(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_BYTES("none")), MLN_E_NOT_FOUND);
    kit_ok(v->cx, mln_barrier_rotate(v->cx, v->barrier, team));
    mln_barrier_seal(v->barrier);
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, open_one(v, team, MLN_BYTES("k"), in_team, &plain));
    struct mln_barrier_status status;
    kit_ok(v->cx, mln_barrier_key_status(v->cx, v->barrier, team, &status));
    assert_int_equal(status.term, 2);
}

/* Keyrings that were changed or swapped on disk are never used. */
static void test_keyring_rows(void **state)
{
    struct vault *v = *state;
    struct mln_bytes team_key = MLN_BYTES("core/keyring/team"),
                     root_key = MLN_BYTES("core/keyring/root");
    kit_ok(v->cx, mln_barrier_add_namespace(v->cx, v->barrier, MLN_BYTES("team")));
    struct mln_bytes team_row = raw_get(v, team_key), root_row = raw_get(v, root_key);
    mln_barrier_seal(v->barrier);
    uint8_t *bytes = mln_new(v->cx, root_row.len);
    for (size_t i = 0; i < root_row.len; i++) {
        mln_copy(bytes, root_row.ptr, root_row.len);
        bytes[i] ^= 0x10;
        raw_put(v, root_key, mln_bytes_at(bytes, root_row.len));
        kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root), MLN_E_FORGED);
    }
    for (size_t n = 0; n < root_row.len; n += 7) {
        raw_put(v, root_key, mln_bytes_at(root_row.ptr, n));
        kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root), MLN_E_FORGED);
    }
    raw_put(v, root_key, team_row);
    kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root), MLN_E_FORGED);
    raw_put(v, root_key, root_row);
    raw_put(v, team_key, root_row);
    kit_refused_with(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root), MLN_E_CORRUPT,
                     "namespace team");
    raw_put(v, team_key, team_row);
    raw_put(v, MLN_BYTES("core/keyring/a\0b"), team_row);
    kit_refused(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root), MLN_E_CORRUPT);
    assert_true(mln_barrier_is_sealed(v->barrier));
}

static int64_t later_ns(void *arg)
{
    return *(int64_t *)arg;
}

static void test_tick(void **state)
{
    struct vault *v = *state;
    size_t n = 99;
    kit_ok(v->cx, mln_barrier_add_namespace(v->cx, v->barrier, MLN_BYTES("team")));
    kit_ok(v->cx, mln_barrier_tick(v->cx, v->barrier, &n));
    assert_int_equal(n, 0);
    int64_t time_ns = mln_now_ns() + MLN_KEY_AGE_MAX_NS + 1000000000;
    struct mln_clock clock = {later_ns, later_ns, &time_ns};
    mln_clock_use(&clock);
    kit_ok(v->cx, mln_barrier_tick(v->cx, v->barrier, &n));
    assert_int_equal(n, 2);
    kit_ok(v->cx, mln_barrier_tick(v->cx, v->barrier, &n));
    assert_int_equal(n, 0);
    mln_clock_use(NULL);
}

static void test_counts(void **state)
{
    struct vault *v = *state;
    struct mln_barrier_status status;
    struct mln_arena *arena = mln_arena_new(1 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    for (size_t i = 0; i < 65536 + 10; i++) {
        struct mln_bytes box;
        assert_false(mln_failed(mln_barrier_encrypt(&cx, v->barrier, MLN_NS_ROOT, MLN_BYTES("k"),
                                                    MLN_BYTES("x"), &box)));
        if (i % 1000 == 0) {
            mln_arena_reset(arena);
        }
    }
    mln_arena_free(arena);
    struct mln_batch nothing = {0};
    kit_ok(v->cx, mln_store_commit(v->cx, v->store, &nothing)); /* behind the count's own batch */
    struct mln_bytes count_row = raw_get(v, MLN_BYTES("core/keyring-count/root"));
    mln_barrier_seal(v->barrier);
    kit_ok(v->cx, mln_store_commit(v->cx, v->store, &nothing));
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, mln_barrier_key_status(v->cx, v->barrier, MLN_NS_ROOT, &status));
    assert_int_equal(status.encryptions, 65536 + 10); /* exact over an orderly seal */
    mln_barrier_seal(v->barrier);
    raw_put(v, MLN_BYTES("core/keyring-count/root"), count_row); /* as after a crash */
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, mln_barrier_key_status(v->cx, v->barrier, MLN_NS_ROOT, &status));
    assert_int_equal(status.encryptions, 65536);
    mln_barrier_seal(v->barrier);
    raw_put(v, MLN_BYTES("core/keyring-count/root"),
            MLN_BYTES("junk")); /* no reason to stay sealed */
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
}

static struct mln_err whole_life(struct mln_cx *cx, void *arg)
{
    struct vault *v = arg;
    struct mln_bytes box;
    struct mln_bytes plain;
    mln_barrier_seal(v->barrier);
    MLN_TRY(mln_barrier_unseal(cx, v->barrier, &v->root));
    MLN_TRY(mln_barrier_encrypt(cx, v->barrier, MLN_NS_ROOT, MLN_BYTES("k"), MLN_BYTES("x"), &box));
    MLN_TRY(mln_barrier_rotate(cx, v->barrier, MLN_NS_ROOT));
    return mln_barrier_decrypt(cx, v->barrier, MLN_NS_ROOT, MLN_BYTES("k"), box, &plain);
}

/*
 * Whatever allocation or write fails: an error or success, and afterwards everything still opens.
 */
static void test_faults(void **state)
{
    struct vault *v = *state;
    struct mln_bytes box = seal_one(v, MLN_NS_ROOT, MLN_BYTES("old"), MLN_BYTES("x"));
    struct mln_bytes plain;
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, whole_life, v) > 5);
    assert_true(mln_each_fault_loose(MLN_FAULT_WRITE, whole_life, v) > 0);
    assert_true(mln_each_fault_loose(MLN_FAULT_SYNC, whole_life, v) > 0);
    kit_ok(v->cx, whole_life(v->cx, v));
    kit_ok(v->cx, open_one(v, MLN_NS_ROOT, MLN_BYTES("old"), box, &plain));
}

struct worker {
    struct vault *v;
    pthread_t thread;
    size_t done, sealed;
    bool has_failed;
};

static void *work(void *arg)
{
    struct worker *me = arg;
    struct mln_arena *arena = mln_arena_new(1 << 20, false);
    struct mln_cx cx;
    for (size_t i = 0; i < 4000; i++) {
        struct mln_bytes box;
        struct mln_bytes plain;
        mln_arena_reset(arena);
        mln_cx_init(&cx, arena);
        struct mln_err err = mln_barrier_encrypt(&cx, me->v->barrier, MLN_NS_ROOT, MLN_BYTES("k"),
                                                 MLN_BYTES("text"), &box);
        if (!mln_failed(err)) {
            err =
                mln_barrier_decrypt(&cx, me->v->barrier, MLN_NS_ROOT, MLN_BYTES("k"), box, &plain);
        }
        me->done += !mln_failed(err) && mln_bytes_is(plain, "text");
        me->sealed += mln_is(err, MLN_E_SEALED);
    }
    me->has_failed = me->done + me->sealed != 4000;
    mln_arena_free(arena);
    return NULL;
}

static void test_seal_under_load(void **state)
{
    struct vault *v = *state;
    struct worker workers[4] = {0};
    for (size_t i = 0; i < 4; i++) {
        workers[i].v = v;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < 15; i++) {
        mln_sleep_ns(1000000);
        kit_ok(v->cx, mln_barrier_rotate(v->cx, v->barrier, MLN_NS_ROOT));
        mln_barrier_seal(v->barrier);
        kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_false(workers[i].has_failed);
        assert_true(workers[i].done > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VAULT_TEST(test_round_trip),
        VAULT_TEST(test_changes),
        VAULT_TEST(test_too_large),
        VAULT_TEST(test_root_key),
        VAULT_TEST(test_init),
        VAULT_TEST(test_rotation),
        VAULT_TEST(test_namespaces),
        VAULT_TEST(test_keyring_rows),
        VAULT_TEST(test_derive),
        VAULT_TEST(test_tick),
        VAULT_TEST(test_counts),
        VAULT_TEST(test_faults),
        VAULT_TEST(test_seal_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
