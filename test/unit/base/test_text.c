/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

#include "base/text.h"

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
    } rows[] = {
        {"", true},
        {"plain ascii of more than eight bytes", true},
        {"\xC2\x80\xDF\xBF", true},
        {"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", true},
        {"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", true},
        {"12345678\xC3\xA9", true},
        {"\x80", false},
        {"\xBF", false},
        {"\xC0\xAF", false},
        {"\xC1\xBF", false},
        {"\xC2", false},
        {"\xC2\x41", false},
        {"\xE0\x80\xAF", false},
        {"\xE0\x9F\xBF", false},
        {"\xED\xA0\x80", false},
        {"\xED\xBF\xBF", false},
        {"\xE2\x82", false},
        {"\xF0\x8F\xBF\xBF", false},
        {"\xF4\x90\x80\x80", false},
        {"\xF5\x80\x80\x80", false},
        {"\xF8\x88\x80\x80\x80", false},
        {"\xFE", false},
        {"12345678\xFF", false},
        {"1234567\xC3", false},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (mln_utf8_valid(mln_bytes_of(rows[i].text)) != rows[i].is_valid) {
            fail_msg("row %zu", i);
        }
    }
    assert_true(mln_utf8_valid(MLN_BYTES("a\0b")));
}

static void test_hex(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *text;
        const char *want; /* printed again; NULL = refused */
    } rows[] = {
        {"", ""},        {"00ff", "00ff"}, {"ABcd", "abcd"}, {"a", NULL}, {"0g", NULL},
        {"g0", NULL},    {"0x", NULL},     {" 00", NULL},    {"00 ", NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_buf_add_text(&buf, "+");
        struct mln_err err = mln_hex_parse(cx, mln_bytes_of(rows[i].text), &buf);
        kit_expect(cx, rows[i].text, err, rows[i].want != NULL ? MLN_E_OK : MLN_E_PARSE);
        if (rows[i].want == NULL) {
            kit_text(mln_buf_bytes(&buf), "+");
            continue;
        }
        struct mln_bytes raw = mln_bytes_from(mln_buf_bytes(&buf), 1);
        assert_string_equal(mln_hex_text(cx, raw), rows[i].want);
        MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
        mln_hex_print(&again, raw);
        kit_text(mln_buf_bytes(&again), rows[i].want);
    }
}

static void test_percent(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *text;
        bool plus;
        const char *want; /* NULL = refused */
    } rows[] = {
        {"", false, ""},
        {"a/b-c.d_e~", false, "a/b-c.d_e~"},
        {"a%20b", false, "a b"},
        {"a%2Fb%2f", false, "a/b/"},
        {"a+b", false, "a+b"},
        {"a+b%2B", true, "a b+"},
        {"%c3%A9", false, "\xC3\xA9"},
        {"%", false, NULL},
        {"%4", false, NULL},
        {"a%4", false, NULL},
        {"%4g", false, NULL},
        {"%g4", false, NULL},
        {"%%41", false, NULL},
        {"%00", false, NULL},
        {"a%2", false, NULL},
        {"%41%", false, NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        struct mln_err err = mln_percent_parse(cx, mln_bytes_of(rows[i].text), rows[i].plus, &buf);
        kit_expect(cx, rows[i].text, err, rows[i].want != NULL ? MLN_E_OK : MLN_E_PARSE);
        kit_text(mln_buf_bytes(&buf), rows[i].want != NULL ? rows[i].want : "");
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    kit_refused(cx, mln_percent_parse(cx, MLN_BYTES("a\0b"), false, &buf), MLN_E_PARSE);
}

static void test_percent_round_trip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t all[255];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (uint8_t)(i + 1);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
    mln_percent_print(&text, mln_bytes_at(all, sizeof(all)));
    kit_ok(cx, mln_percent_parse(cx, mln_buf_bytes(&text), true, &again));
    kit_same(cx, mln_buf_bytes(&again), mln_bytes_at(all, sizeof(all)));
    mln_buf_clear(&text);
    mln_percent_print(&text, MLN_BYTES("a b+%/\xC3\xA9"));
    kit_text(mln_buf_bytes(&text), "a%20b%2B%25/%C3%A9");
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_u64, is_i64;
        uint64_t u64;
        int64_t i64;
    } rows[] = {
        {"0", true, true, 0, 0},
        {"007", true, true, 7, 7},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"99999999999999999999", false, false, 0, 0},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 0},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
        {"-9223372036854775809", false, false, 0, 0},
        {"-1", false, true, 0, -1},
        {"-0", false, true, 0, 0},
        {"", false, false, 0, 0},
        {"-", false, false, 0, 0},
        {"+1", false, false, 0, 0},
        {" 1", false, false, 0, 0},
        {"1 ", false, false, 0, 0},
        {"1a", false, false, 0, 0},
        {"--1", false, false, 0, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        uint64_t u = 4711;
        int64_t s = 4711;
        assert_int_equal(mln_u64_parse(mln_bytes_of(rows[i].text), &u), rows[i].is_u64);
        assert_int_equal(mln_i64_parse(mln_bytes_of(rows[i].text), &s), rows[i].is_i64);
        assert_true(u == (rows[i].is_u64 ? rows[i].u64 : 4711));
        assert_true(s == (rows[i].is_i64 ? rows[i].i64 : 4711));
    }
}

static void test_doubles(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        double want;
    } rows[] = {
        {"0", true, 0},      {"-1.5e3", true, -1500}, {"1e308", true, 1e308}, {"4.9e-324", true, 5e-324},
        {"1e-999", true, 0}, {"1e309", false, 0},     {"nan", false, 0},      {"inf", false, 0},
        {"0x1p3", false, 0}, {"1,5", false, 0},       {"", false, 0},         {" 1", false, 0},
        {"1.", false, 0},    {"01", false, 0},        {"+1", false, 0},
        {"0.1000000000000000055511151231257827021181583404541015625", true, 0.1},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        double d = 4711;
        assert_int_equal(mln_double_parse(mln_bytes_of(rows[i].text), &d), rows[i].is_good);
        double want = rows[i].is_good ? rows[i].want : 4711;
        assert_true(d >= want && d <= want);
    }
}

static struct mln_err faulty(struct mln_cx *cx, void *arg)
{
    (void)arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf a = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf b = {0};
    MLN_TRY(mln_hex_parse(cx, MLN_BYTES("616263"), &a));
    MLN_TRY(mln_percent_parse(cx, MLN_BYTES("a%20b"), false, &b));
    mln_percent_print(&a, MLN_BYTES("  "));
    mln_hex_print(&b, MLN_BYTES("xyz"));
    (void)mln_hex_text(cx, MLN_BYTES("xyz"));
    MLN_TRY(mln_buf_ok(cx, &a));
    MLN_TRY(mln_buf_ok(cx, &b));
    return mln_cx_err(cx);
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty, NULL) >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),     KIT_TEST(test_hex),          KIT_TEST(test_percent),
        KIT_TEST(test_percent_round_trip), cmocka_unit_test(test_integers), cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
