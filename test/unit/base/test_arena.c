/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

#include "base/secret.h"

static void test_alloc(void **state)
{
    (void)state;
    for (int secret = 0; secret < 2; secret++) {
        mln_secret_allow_unlocked(true);
        struct mln_arena *arena = mln_arena_new((size_t)4 << 20, secret != 0);
        assert_non_null(arena);
        size_t total = 0;
        for (size_t n = 0; n < 3000; n += 7) {
            uint8_t *p = mln_arena_alloc(arena, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(p[i], 0);
            }
            mln_fill(p, 0xAA, n);
            total += n;
        }
        assert_true(mln_arena_used(arena) >= total);
        mln_arena_drop(&arena);
        assert_null(arena);
    }
    mln_secret_allow_unlocked(false);
    mln_arena_free(NULL);
}

static void test_reset_wipes(void **state)
{
    (void)state;
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    uint8_t *first = mln_arena_alloc(arena, 1000);
    mln_fill(first, 0xAA, 1000);
    assert_non_null(mln_arena_alloc(arena, 200000));
    mln_arena_reset(arena);
    assert_int_equal(mln_arena_used(arena), 0);
    uint8_t *again = mln_arena_alloc(arena, 1000);
    assert_ptr_equal(again, first);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(again[i], 0);
    }
    mln_arena_free(arena);
}

static void test_cap(void **state)
{
    (void)state;
    static const struct {
        size_t cap, want;
        bool fits;
    } rows[] = {
        {100000, 1000, true},   {100000, 60000, true},       {100000, 100000, false},
        {100000, SIZE_MAX, false}, {100000, SIZE_MAX - 8, false}, {1 << 20, 900000, true},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_arena *arena = mln_arena_new(rows[i].cap, false);
        assert_int_equal(mln_arena_alloc(arena, rows[i].want) != NULL, rows[i].fits);
        assert_non_null(mln_arena_alloc(arena, 16));
        mln_arena_free(arena);
    }
    struct mln_arena *arena = mln_arena_new(200000, false);
    size_t got = 0;
    while (mln_arena_alloc(arena, 1000) != NULL) {
        got += 1000;
        assert_true(got <= 200000);
    }
    assert_true(got > 150000);
    mln_arena_reset(arena);
    assert_non_null(mln_arena_alloc(arena, 1000));
    mln_arena_free(arena);
    assert_null(mln_arena_new(8, false));
}

static void test_context(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    assert_non_null(mln_new(cx, 10));
    int *one = MLN_NEW(cx, int);
    assert_int_equal(*one, 0);
    assert_non_null(mln_new_array(cx, 10, 10));
    assert_null(mln_new_array(cx, SIZE_MAX, 2));
    kit_refused(cx, mln_cx_err(cx), MLN_E_MEMORY);
    assert_null(mln_new(cx, (size_t)1 << 40));
    kit_refused(cx, mln_cx_err(cx), MLN_E_MEMORY);
    struct mln_cx leaf;
    mln_cx_init(&leaf, NULL);
    assert_null(mln_new(&leaf, 1));
    kit_refused(&leaf, mln_cx_err(&leaf), MLN_E_MEMORY);
}

static void test_copies(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes copy = mln_bytes_dup(cx, MLN_BYTES("a\0b"));
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    assert_int_equal(mln_bytes_dup(cx, MLN_BYTES_NONE).len, 0);
    assert_string_equal(mln_text_dup(cx, MLN_BYTES("xyz")), "xyz");
    assert_string_equal(mln_text_format(cx, "%d-%s", 5, "x"), "5-x");
    char longer[1001];
    memset(longer, 'y', 1000);
    longer[1000] = '\0';
    assert_string_equal(mln_text_format(cx, "%s", longer), longer);
    assert_int_equal(mln_bytes_format(cx, "<%s>", longer).len, 1002);
    kit_ok(cx, mln_cx_err(cx));
}

static void test_exhaustion_gives_empty(void **state)
{
    (void)state;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    assert_string_equal(mln_text_dup(&cx, MLN_BYTES("x")), "");
    assert_string_equal(mln_text_format(&cx, "x"), "");
    assert_int_equal(mln_bytes_dup(&cx, MLN_BYTES("x")).len, 0);
    assert_int_equal(mln_bytes_format(&cx, "%s", "x").len, 0);
    kit_refused(&cx, mln_cx_err(&cx), MLN_E_MEMORY);
}

static struct mln_err faulty(struct mln_cx *cx, void *arg)
{
    (void)arg;
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no arena");
    }
    void *small = mln_arena_alloc(arena, 100);
    void *large = mln_arena_alloc(arena, 100000);
    mln_arena_free(arena);
    return small != NULL && large != NULL ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no room");
}

static void test_faults(void **state)
{
    (void)state;
    assert_int_equal(mln_each_fault(MLN_FAULT_ALLOC, faulty, NULL), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc), cmocka_unit_test(test_reset_wipes),
        cmocka_unit_test(test_cap),   KIT_TEST(test_context),
        KIT_TEST(test_copies),        cmocka_unit_test(test_exhaustion_gives_empty),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
