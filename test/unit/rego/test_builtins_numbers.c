/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of any size: what is exact, what has 64 bits, how they print and compare, and where they end. */
#include "rows.h"

static void test_whole(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"9223372036854775807 + 1", "9223372036854775808"},
        {"9223372036854775808 - 1", "9223372036854775807"},
        {"123456789012345678901234567890 * 987654321", "121932631124828532112482853211126352690"},
        {"-18446744073709551617 - 1", "-18446744073709551618"},
        {"1e30 + 1", "1000000000000000000000000000001"},
        {"10.00 + 5", "15"},
        {"18446744073709551617 % 18446744073709551616", "1"},
        {"-7 % 3", "-1"},
        {"7 % -18446744073709551616", "7"},
        {"product([4294967296, 4294967296, 4294967296])", "79228162514264337593543950336"},
        {"sum([18446744073709551615, 1, -1])", "18446744073709551615"},
        {"numbers.range(18446744073709551615, 18446744073709551617)",
         "[18446744073709551615,18446744073709551616,18446744073709551617]"},
        {"numbers.range_step(0, 10, 99999999999999999999)", "[0]"},
        {"format_int(18446744073709551617, 16)", "\"10000000000000001\""},
        {"format_int(-18446744073709551617, 2)",
         "\"-10000000000000000000000000000000000000000000000000000000000000001\""},
        {"7 % 0", "!modulo by zero"},
        {"7.5 % 2", "!modulo on floating-point number"},
        {"1 / 0.0", "!divide by zero"},
        {"numbers.range(1.5, 2)",
         "!operand 1 must be integer number but got floating-point number"},
        {"numbers.range_step(1, 2, 0)", "!step must be a positive integer"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_fractions(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"1 / 3", "0.33333333333333333334"},
        {"0.1 + 0.2", "0.3"},
        {"1e15 / 7", "1.4285714285714285715e+14"},
        {"1234567.5 * 1", "1.2345675e+06"},
        {"123456.5 * 1", "123456.5"},
        {"0.00001 * 1", "1e-05"},
        {"18446744073709551617 / 3", "6.1489146912365172055e+18"},
        {"abs(-18446744073709551617)", "18446744073709551616"}, /* as OPA: 64 bits are left */
        {"round(2.5)", "3"},
        {"floor(-2.5)", "-3"},
        {"ceil(1e20)", "100000000000000000000"},
        {"sprintf(\"%v %d %x\", [1e30, 18446744073709551617, 18446744073709551617])",
         "\"1e+30 18446744073709551617 10000000000000001\""},
        {"sprintf(\"%d %v %v\", [1.5, 1.0, 2.50])", "\"%!d(float64=1.5) 1 2.5\""},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_order(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"18446744073709551617 == 18446744073709551616", "false"},
        {"18446744073709551617 > 18446744073709551616.5", "true"},
        {"1e30 == 1000000000000000000000000000000", "true"},
        {"[1.0 == 1, -0.0 == 0, 1e2 == 100.00, 0.5e-3 == 0.0005, 5e-1 < 0.51]",
         "[true,true,true,true,true]"},
        {"{1.0: \"a\"}[1]", "\"a\""},
        {"count({18446744073709551617, 18446744073709551616, 18446744073709551617.0})", "2"},
        {"sort([1e3, 18446744073709551616, -1e-3, 999.9])",
         "[-1e-3,999.9,1e3,18446744073709551616]"},
        {"[1, 2, 3][1.0]", "2"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_ends(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"json.unmarshal(\"1e30102\") > 0", "true"},
        {"json.unmarshal(\"1e30103\")", "!number too big"},
        {"json.unmarshal(\"1e-2147483648\")", "!number too big"},
        {"to_number(\"1e40000\")", "!number too big"},
        {"json.unmarshal(\"1e5000\") * 1", "!number too big"},
        {"json.unmarshal(\"1e4000\") * json.unmarshal(\"1e4000\")", "!number too big"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole),
                                       cmocka_unit_test(test_fractions),
                                       cmocka_unit_test(test_order), cmocka_unit_test(test_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
