/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

static struct mln_bytes b(const char *text)
{
    return mln_bytes_of(text);
}

static void test_compare(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
        bool nocase;
    } rows[] = {
        {"", "", 0, true},        {"a", "", 1, false},   {"", "a", -1, false},    {"abc", "abc", 0, true},
        {"abc", "ABC", 1, true},  {"ab", "abc", -1, false}, {"b", "abc", 1, false}, {"[", "{", -1, false},
        {"\xff", "a", 1, false},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int order = mln_bytes_cmp(b(rows[i].a), b(rows[i].b));
        assert_int_equal((order > 0) - (order < 0), rows[i].order);
        assert_int_equal(mln_bytes_eq(b(rows[i].a), b(rows[i].b)), rows[i].order == 0);
        assert_int_equal(mln_bytes_is(b(rows[i].a), rows[i].b), rows[i].order == 0);
        assert_int_equal(mln_bytes_is_nocase(b(rows[i].a), rows[i].b), rows[i].nocase);
    }
    assert_int_equal(b(NULL).len, 0);
    assert_true(mln_bytes_eq(MLN_BYTES_NONE, b("")));
}

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        bool starts, ends;
        size_t at;
    } rows[] = {
        {"abcab", "ab", true, true, 0},  {"abcab", "cab", false, true, 2}, {"abc", "", true, true, 0},
        {"abc", "abcd", false, false, 3}, {"", "", true, true, 0},          {"", "a", false, false, 0},
        {"xxab", "ac", false, false, 4},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_int_equal(mln_bytes_starts(b(rows[i].text), b(rows[i].part)), rows[i].starts);
        assert_int_equal(mln_bytes_ends(b(rows[i].text), b(rows[i].part)), rows[i].ends);
        assert_int_equal(mln_bytes_find_bytes(b(rows[i].text), b(rows[i].part)), rows[i].at);
    }
    assert_true(mln_bytes_starts(MLN_BYTES_NONE, MLN_BYTES_NONE));
    assert_true(mln_bytes_ends(MLN_BYTES_NONE, MLN_BYTES_NONE));
    assert_int_equal(mln_bytes_find(b("abc"), 'c'), 2);
    assert_int_equal(mln_bytes_find(b("abc"), 'x'), 3);
    assert_int_equal(mln_bytes_find(MLN_BYTES_NONE, 'x'), 0);
}

static void test_parts_stay_inside(void **state)
{
    (void)state;
    static const struct {
        size_t from, len;
        const char *want;
    } rows[] = {{0, 3, "abc"},        {1, 1, "b"}, {1, SIZE_MAX, "bc"}, {3, 1, ""},
                {SIZE_MAX, 5, ""}, {0, 0, ""},  {2, 9, "c"}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        kit_text(mln_bytes_sub(b("abc"), rows[i].from, rows[i].len), rows[i].want);
    }
    kit_text(mln_bytes_from(b("abc"), 1), "bc");
    kit_text(mln_bytes_from(MLN_BYTES_NONE, 5), "");
}

static void test_cut(void **state)
{
    (void)state;
    static const struct {
        const char *in, *before, *after;
    } rows[] = {{"a=b=c", "a", "b=c"}, {"a", "a", ""}, {"=b", "", "b"}, {"a=", "a", ""}, {"", "", ""}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes rest;
        kit_text(mln_bytes_cut(b(rows[i].in), '=', &rest), rows[i].before);
        kit_text(rest, rows[i].after);
    }
    struct mln_bytes rest;
    kit_text(mln_bytes_cut(MLN_BYTES_NONE, '=', &rest), "");
    kit_text(rest, "");
}

static void test_trim(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } rows[] = {{" a b\r\n", "a b"}, {"\t \n", ""}, {"", ""}, {"x", "x"}, {"\va", "\va"}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        kit_text(mln_bytes_trim(b(rows[i].in)), rows[i].want);
    }
}

static void test_integers(void **state)
{
    (void)state;
    static const uint8_t p[] = {0x81, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88};
    assert_int_equal(mln_get_u16be(p), 0x8102);
    assert_int_equal(mln_get_u16le(p), 0x0281);
    assert_int_equal(mln_get_u32be(p), 0x81020304);
    assert_int_equal(mln_get_u32le(p), 0x04030281);
    assert_true(mln_get_u64be(p) == 0x8102030405060788u);
    assert_true(mln_get_u64le(p) == 0x8807060504030281u);
    uint8_t q[8];
    mln_put_u64be(q, 0x8102030405060788u);
    assert_memory_equal(q, p, 8);
    mln_put_u64le(q, 0x8807060504030281u);
    assert_memory_equal(q, p, 8);
    mln_put_u32be(q, 0x81020304);
    assert_memory_equal(q, p, 4);
    mln_put_u32le(q, 0x04030281);
    assert_memory_equal(q, p, 4);
    mln_put_u16be(q, 0x8102);
    assert_memory_equal(q, p, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_ends), cmocka_unit_test(test_parts_stay_inside),
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_trim), cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
