/* SPDX-License-Identifier: Apache-2.0 */
/* Times, zones, layouts and durations. */
#include "rows.h"

static void test_civil(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"time.date(0)", "[1970,1,1]"},
        {"time.date(-1)", "[1969,12,31]"},
        {"time.clock(-1)", "[23,59,59]"},
        {"time.date(9223372036854775807)", "[2262,4,11]"},
        {"time.weekday(1517832000000000000)", "\"Monday\""},
        {"time.clock([1517832000000000000, \"America/New_York\"])", "[7,0,0]"},
        {"time.clock([4687000000000000000, \"Europe/Berlin\"])", "[18,26,40]"}, /* by the rule at the end */
        {"time.clock([0, \"../../etc/passwd\"])", "!unknown time zone"},
        {"time.clock([0, \"No/Where\"])", "!unknown time zone No/Where"},
        {"time.clock(1e30)", "!timestamp too big"},
        {"time.clock(json.unmarshal(`\"x\"`))", "!operand 1 must be one of {number, array} but got string"},
        {"time.date(time.add_date(0, 0, 1, 30))", "[1970,3,3]"},
        {"time.add_date(-9223372036854775808, 0, 0, -1)", "!time outside of valid range"},
        {"time.diff(951782400000000000, 0)", "[30,1,28,0,0,0]"},
        {"time.diff([0, \"UTC\"], [1, \"Asia/Shanghai\"])", "[0,0,0,0,0,0]"},
        {"time.now_ns()", "1700000000000000000"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_layouts(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"time.format(1670006453141828752)", "\"2022-12-02T18:40:53.141828752Z\""},
        {"time.format([0, \"UTC\", \"Monday January _2 002 3:4:5.000 pm Z0700 06\"])",
         "\"Thursday January  1 001 12:0:0.000 am Z 70\""},
        {"time.format([1670006453141828752, \"Asia/Kolkata\", \"RFC1123Z\"])",
         "\"Sat, 03 Dec 2022 00:10:53 +0530\""},
        {"time.parse_ns(\"RFC822Z\", \"02 Jun 17 19:00 -0700\")", "1496455200000000000"},
        {"time.parse_ns(\"01/02 03:04:05PM '06 -0700\", \"06/02 07:00:00PM '17 -0700\")",
         "1496455200000000000"},
        {"time.parse_ns(\"2006-01-02\", \"2023-02-29\")", "!day out of range"},
        {"time.parse_ns(\"2006-01-02\", \"2023-13-01\")", "!month out of range"},
        {"time.parse_ns(\"2006-01-02\", \"2023-01-01x\")", "!extra text: \"x\""},
        {"time.parse_ns(\"2006-01-02\", \"23\")",
         "!parsing time \"23\" as \"2006-01-02\": cannot parse \"23\" as \"2006\""},
        {"time.parse_rfc3339_ns(\"1677-09-21T00:12:43.145224192-00:00\")", "-9223372036854775808"},
        {"time.parse_rfc3339_ns(\"2262-04-11T23:47:16.854775808-00:00\")",
         "!time outside of valid range"},
        {"time.parse_duration_ns(\"-1h15m30.5s\")", "-4530500000000"},
        {"time.parse_duration_ns(\"1d2h\")", "93600000000000"},
        {"time.parse_duration_ns(\"\")", "!time: invalid duration \"\""},
        {"time.parse_duration_ns(\"5\")", "!time: missing unit in duration \"5\""},
        {"time.parse_duration_ns(\"5x\")", "!time: unknown unit \"x\" in duration \"5x\""},
        {"time.parse_duration_ns(\"99999999999h\")", "!time: invalid duration"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_civil),
                                       cmocka_unit_test(test_layouts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
