/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include "base/text.h"

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        int64_t s;
    } rows[] = {
        {"0", true, 0},
        {"90", true, 90},
        {"-90", true, -90},
        {"30m", true, 1800},
        {"1h30m", true, 5400},
        {"1h1m1s", true, 3661},
        {"1.5h", true, 5400},
        {".5h", true, 1800},
        {"7d", true, 604800},
        {"1d12h", true, 129600},
        {"1500ms", true, 1},
        {"999999us", true, 0},
        {"2000000\xC2\xB5s", true, 2},
        {"1000000000ns", true, 1},
        {"-1h", true, -3600},
        {"768h0m0s", true, 2764800},
        {"2562047h", true, 9223369200},
        {"9223372036", true, 9223372036},
        {"9223372037", false, 0},
        {"2562048h", false, 0},
        {"99999999999999999999s", false, 0},
        {"18446744073709551615h", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"h", false, 0},
        {"1x", false, 0},
        {"1h30", false, 0},
        {"1.5", false, 0},
        {".h", false, 0},
        {"1..5h", false, 0},
        {" 1h", false, 0},
        {"1 h", false, 0},
        {"1h ", false, 0},
        {"--1h", false, 0},
        {"+1h", false, 0},
        {"1h-1m", false, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int64_t s = 4711;
        if (mln_duration_parse(mln_bytes_of(rows[i].text), &s) != rows[i].is_good ||
            s != (rows[i].is_good ? rows[i].s : 4711)) {
            fail_msg("\"%s\" gives %lld", rows[i].text, (long long)s);
        }
    }
}

static void test_duration_text(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        int64_t s;
        const char *want;
    } rows[] = {
        {0, "0s"},          {59, "59s"},          {60, "1m0s"},         {3600, "1h0m0s"},
        {3661, "1h1m1s"},   {2764800, "768h0m0s"}, {-3600, "-1h0m0s"}, {-5, "-5s"},
        {INT64_MIN, "-2562047788015215h30m8s"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_string_equal(mln_duration_text(cx, rows[i].s), rows[i].want);
        int64_t again;
        if (rows[i].s != INT64_MIN) {
            assert_true(mln_duration_parse(mln_bytes_of(rows[i].want), &again));
            assert_int_equal(again, rows[i].s);
        }
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        uint64_t bytes;
    } rows[] = {
        {"0", true, 0},
        {"4096", true, 4096},
        {"64K", true, 65536},
        {"64k", true, 65536},
        {"1KiB", true, 1024},
        {"1KB", true, 1000},
        {"25 MB", true, 25000000},
        {"1MiB", true, 1048576},
        {"1.5 MiB", true, 1572864},
        {"0.5K", true, 512},
        {"2G", true, (uint64_t)2 << 30},
        {"1TiB", true, (uint64_t)1 << 40},
        {"7 B", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"16777216T", false, 0},
        {"99999999G99", false, 0},
        {"", false, 0},
        {"K", false, 0},
        {"1.5", false, 0},
        {"-1", false, 0},
        {"1X", false, 0},
        {"1 ", false, 0},
        {"1  K", false, 0},
        {"1K ", false, 0},
        {".", false, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        uint64_t bytes = 4711;
        if (mln_size_parse(mln_bytes_of(rows[i].text), &bytes) != rows[i].is_good ||
            bytes != (rows[i].is_good ? rows[i].bytes : 4711)) {
            fail_msg("\"%s\" gives %llu", rows[i].text, (unsigned long long)bytes);
        }
    }
}

static void test_size_text(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        uint64_t bytes;
        const char *want;
    } rows[] = {
        {0, "0 B"},          {1023, "1023 B"},       {1024, "1 KiB"},          {1536, "1.5 KiB"},
        {1572864, "1.5 MiB"}, {1048575, "1023.9 KiB"}, {(uint64_t)3 << 40, "3 TiB"}, {UINT64_MAX, "15.9 EiB"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_string_equal(mln_size_text(cx, rows[i].bytes), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_durations), KIT_TEST(test_duration_text),
                                       cmocka_unit_test(test_sizes), KIT_TEST(test_size_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
