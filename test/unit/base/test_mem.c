/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static void test_alloc_is_zeroed(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16, 4097, 100000};
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        uint8_t *p = mln_alloc(sizes[i]);
        assert_non_null(p);
        assert_true(is_zero(p, sizes[i]));
        mln_fill(p, 0xAA, sizes[i]);
        mln_free_wiped(p, sizes[i]);
    }
    mln_free(NULL);
    mln_free_wiped(NULL, 0);
}

static void test_array_overflow(void **state)
{
    (void)state;
    static const struct {
        size_t count, size;
        bool fits;
    } rows[] = {{0, 8, true}, {8, 0, true}, {3, 5, true}, {SIZE_MAX, 2, false}, {SIZE_MAX / 2 + 1, 2, false}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        void *p = mln_alloc_array(rows[i].count, rows[i].size);
        assert_int_equal(p != NULL, rows[i].fits);
        mln_free(p);
    }
}

static void test_growing(void **state)
{
    (void)state;
    for (int wipe = 0; wipe < 2; wipe++) {
        uint8_t *p = mln_alloc(4);
        mln_copy(p, "abcd", 4);
        p = mln_realloc(p, 4, 5000, wipe != 0);
        assert_memory_equal(p, "abcd", 4);
        assert_true(is_zero(p + 4, 4996));
        p = mln_realloc(p, 5000, 2, wipe != 0);
        assert_memory_equal(p, "ab", 2);
        mln_free(p);
    }
}

static void test_growing_failure_keeps_the_old(void **state)
{
    (void)state;
    for (int wipe = 0; wipe < 2; wipe++) {
        uint8_t *p = mln_alloc(4);
        mln_copy(p, "abcd", 4);
        mln_fault_arm(MLN_FAULT_ALLOC, 1, false);
        assert_null(mln_realloc(p, 4, 100, wipe != 0));
        assert_true(mln_fault_fired(MLN_FAULT_ALLOC));
        mln_fault_arm(MLN_FAULT_ALLOC, 0, false);
        assert_memory_equal(p, "abcd", 4);
        mln_free(p);
    }
}

static void test_strdup_and_drop(void **state)
{
    (void)state;
    MLN_AUTO(mln_free_drop) char *p = mln_strdup("hello");
    assert_string_equal(p, "hello");
    MLN_AUTO(mln_free_drop) char *none = NULL;
    assert_null(none);
    mln_fault_arm(MLN_FAULT_ALLOC, 1, false);
    assert_null(mln_strdup("x"));
    mln_fault_arm(MLN_FAULT_ALLOC, 0, false);
}

static void test_blocks(void **state)
{
    (void)state;
    uint8_t a[8] = "abcdefg";
    mln_copy(NULL, NULL, 0);
    mln_move(a + 1, a, 4);
    assert_memory_equal(a, "aabcdfg", 7);
    mln_fill(a, 'z', 2);
    assert_memory_equal(a, "zzbcd", 5);
    assert_true(mln_compare("abc", "abd", 3) < 0);
    assert_int_equal(mln_compare(NULL, NULL, 0), 0);
    assert_true(mln_same(NULL, NULL, 0));
    assert_false(mln_same("a", "b", 1));
    mln_wipe(a, sizeof(a));
    assert_true(is_zero(a, sizeof(a)));
    mln_wipe(NULL, 0);
    mln_wipe_stack();
}

static void test_eq_ct(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {{"", "", true},        {"a", "a", true},       {"a", "b", false},  {"a", "", false},
                {"abc", "abd", false}, {"abc", "abcd", false}, {"xbc", "abc", false}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_int_equal(mln_eq_ct(rows[i].a, strlen(rows[i].a), rows[i].b, strlen(rows[i].b)), rows[i].same);
    }
    assert_true(mln_eq_ct(NULL, 0, NULL, 0));
}

static void test_faults_once(void **state)
{
    (void)state;
    mln_fault_arm(MLN_FAULT_READ, 3, false);
    assert_false(mln_fault_hit(MLN_FAULT_READ));
    assert_false(mln_fault_hit(MLN_FAULT_WRITE));
    assert_false(mln_fault_hit(MLN_FAULT_READ));
    assert_false(mln_fault_fired(MLN_FAULT_READ));
    assert_true(mln_fault_hit(MLN_FAULT_READ));
    assert_true(mln_fault_fired(MLN_FAULT_READ));
    assert_false(mln_fault_hit(MLN_FAULT_READ));
    mln_fault_arm(MLN_FAULT_READ, 0, false);
    assert_false(mln_fault_fired(MLN_FAULT_READ));
}

static void test_faults_from_then_on(void **state)
{
    (void)state;
    mln_fault_arm(MLN_FAULT_SYNC, 2, true);
    assert_false(mln_fault_hit(MLN_FAULT_SYNC));
    for (int i = 0; i < 5; i++) {
        assert_true(mln_fault_hit(MLN_FAULT_SYNC));
    }
    mln_fault_arm(MLN_FAULT_SYNC, 0, false);
    assert_false(mln_fault_hit(MLN_FAULT_SYNC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_is_zeroed),
        cmocka_unit_test(test_array_overflow),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_growing_failure_keeps_the_old),
        cmocka_unit_test(test_strdup_and_drop),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_eq_ct),
        cmocka_unit_test(test_faults_once),
        cmocka_unit_test(test_faults_from_then_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
