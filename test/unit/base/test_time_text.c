/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"

#define NS INT64_C(1000000000)

static void test_print(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        int64_t ns;
        int digits;
        const char *want, *go;
    } rows[] = {
        {0, 0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
        {1, 9, "1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z"},
        {-1, 3, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999999999Z"},
        {951782400 * NS, 0, "2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
        {1709210096 * NS + 120000000, 6, "2024-02-29T12:34:56.120000Z", "2024-02-29T12:34:56.12Z"},
        {4102444799 * NS, 1, "2099-12-31T23:59:59.0Z", "2099-12-31T23:59:59Z"},
        {INT64_MAX, 9, "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z"},
        {INT64_MIN, 9, "1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_string_equal(mln_time_text(cx, rows[i].ns, rows[i].digits), rows[i].want);
        assert_string_equal(mln_time_text_go(cx, rows[i].ns), rows[i].go);
        int64_t again = 0;
        assert_true(mln_time_parse(mln_bytes_of(rows[i].go), &again));
        assert_true(again == rows[i].ns);
    }
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        int64_t ns;
    } rows[] = {
        {"1970-01-01T00:00:01Z", true, NS},
        {"1970-01-01T01:00:00+01:00", true, 0},
        {"1969-12-31T19:00:00-05:00", true, 0},
        {"1970-01-01T00:00:00.5Z", true, NS / 2},
        {"1970-01-01T00:00:00.1234567891234Z", true, 123456789},
        {"2024-02-29T00:00:00Z", true, 1709164800 * NS},
        {"2023-02-29T00:00:00Z", false, 0},
        {"1900-02-29T00:00:00Z", false, 0},
        {"2024-13-01T00:00:00Z", false, 0},
        {"2024-00-01T00:00:00Z", false, 0},
        {"2024-01-00T00:00:00Z", false, 0},
        {"2024-04-31T00:00:00Z", false, 0},
        {"2024-01-01T24:00:00Z", false, 0},
        {"2024-01-01T00:60:00Z", false, 0},
        {"2024-01-01T00:00:60Z", false, 0},
        {"2024-01-01T00:00:00", false, 0},
        {"2024-01-01T00:00:00.Z", false, 0},
        {"2024-01-01T00:00:00z", false, 0},
        {"2024-01-01 00:00:00Z", false, 0},
        {"2024-01-01t00:00:00Z", false, 0},
        {"2024-1-01T00:00:00Z", false, 0},
        {"2024-01-01T00:00:00Zx", false, 0},
        {"2024-01-01T00:00:00+1:00", false, 0},
        {"2024-01-01T00:00:00+24:00", false, 0},
        {"2024-01-01T00:00:00.5", false, 0},
        {"+024-01-01T00:00:00Z", false, 0},
        {"-024-01-01T00:00:00Z", false, 0},
        {"2263-01-01T00:00:00Z", false, 0},
        {"0001-01-01T00:00:00Z", false, 0},
        {"2262-04-11T23:47:16.854775808Z", false, 0},
        {"1677-09-21T00:12:43.145224191Z", false, 0},
        {"", false, 0},
        {"2024", false, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int64_t ns = 4711;
        if (mln_time_parse(mln_bytes_of(rows[i].text), &ns) != rows[i].is_good ||
            ns != (rows[i].is_good ? rows[i].ns : 4711)) {
            fail_msg("\"%s\" gives %lld", rows[i].text, (long long)ns);
        }
    }
}

/* Against the C library's calendar, over all years that fit. */
static void test_against_gmtime(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_prng g;
    mln_prng_seed(&g, 3);
    for (int i = 0; i < 20000; i++) {
        int64_t ns = (int64_t)mln_prng_u64(&g);
        time_t seconds = (time_t)(ns / NS - (ns % NS < 0));
        struct tm tm;
        char want[80];
        assert_non_null(gmtime_r(&seconds, &tm));
        (void)snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        assert_string_equal(mln_time_text(cx, ns, 0), want);
        int64_t again = 0;
        assert_true(mln_time_parse(mln_bytes_of(mln_time_text(cx, ns, 9)), &again));
        assert_true(again == ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_print), cmocka_unit_test(test_parse),
                                       KIT_TEST(test_against_gmtime)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
