/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: syntax and its errors, which match is taken, groups, bombs. */
#include "rows.h"

static void test_syntax(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"count(regex.find_n(`(?i)straße|K`, \"STRAßE \\u212a\", -1))", "2"},
        {"regex.match(`^\\p{Greek}+$`, \"αβγ\")", "true"},
        {"regex.match(`^\\p{Greek}+$`, \"abc\")", "false"},
        {"regex.match(`^\\pL\\PL$`, \"é1\")", "true"},
        {"regex.match(`^[[:alpha:]\\d_-]+$`, \"a-9_\")", "true"},
        {"regex.match(`^[^[:^digit:]]+$`, \"123\")", "true"},
        {"regex.match(`a.c`, \"a\\nc\")", "false"},
        {"regex.match(`(?s)a.c`, \"a\\nc\")", "true"},
        {"regex.find_n(`(?m)^\\w+$`, \"ab\\ncd\\n\", -1)", "[\"ab\",\"cd\"]"},
        {"regex.find_n(`(?U)a+`, \"aaa\", -1)", "[\"a\",\"a\",\"a\"]"},
        {"regex.find_n(`\\bfoo\\b`, \"foo foobar foo\", -1)", "[\"foo\",\"foo\"]"},
        {"regex.find_n(`\\Qa.b\\E+`, \"a.bbb\", -1)", "[\"a.bbb\"]"},
        {"regex.match(`^\\x41\\x{1F600}\\101$`, \"A\\ud83d\\ude00A\")", "true"},
        {"regex.match(`^a{2,3}$`, \"aaaa\")", "false"},
        {"regex.match(`^a{,3}$`, \"a{,3}\")", "true"},
        {"regex.match(`(`, \"\")", "!error parsing regexp: missing closing ): `(`"},
        {"regex.match(`a)`, \"\")", "!error parsing regexp: unexpected ): `a)`"},
        {"regex.match(`[`, \"\")", "!error parsing regexp: missing closing ]: `[`"},
        {"regex.match(`[b-a]`, \"\")", "!error parsing regexp: invalid character class range: `b-a`"},
        {"regex.match(`++`, \"\")", "!error parsing regexp: missing argument to repetition operator"},
        {"regex.match(`a**`, \"\")",
         "!error parsing regexp: invalid nested repetition operator: `**`"},
        {"regex.match(`a{1001}`, \"\")", "!error parsing regexp: invalid repeat count: `{1001}`"},
        {"regex.match(`(a{100}){11}`, \"\")", "!error parsing regexp: invalid repeat count"},
        {"regex.match(`a\\`, \"\")", "!error parsing regexp: trailing backslash at end of expression"},
        {"regex.match(`\\8`, \"\")", "!error parsing regexp: invalid escape sequence: `\\8`"},
        {"regex.match(`(?=a)`, \"\")", "!error parsing regexp: invalid or unsupported Perl syntax"},
        {"regex.match(`(?P<n`, \"\")", "!error parsing regexp: invalid named capture: `(?P<n`"},
        {"regex.match(`(?P<n>a)(?P<n>b)`, \"\")", "!duplicate"},
        {"regex.match(`\\p{Nope}`, \"\")", "!invalid character class range: `\\p{Nope}`"},
        {"regex.is_valid(`a{1001}`)", "false"},
        {"regex.is_valid(json.unmarshal(`7`))", "false"},
        {"regex.is_valid(`(?P<n>.)`)", "true"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_which_match(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"regex.find_n(`a|ab`, \"ab\", -1)", "[\"a\"]"},
        {"regex.find_n(`ab|a`, \"ab\", -1)", "[\"ab\"]"},
        {"regex.find_n(`a*?`, \"aa\", -1)", "[\"\",\"\",\"\"]"},
        {"regex.find_n(`a*`, \"baac\", -1)", "[\"\",\"aa\",\"\"]"},
        {"regex.find_n(``, \"é\", -1)", "[\"\",\"\"]"},
        {"regex.find_n(`x`, \"xxx\", 2)", "[\"x\",\"x\"]"},
        {"regex.find_all_string_submatch_n(`(a*)*`, \"b\", -1)", "[[\"\",\"\"],[\"\",\"\"]]"},
        {"regex.find_all_string_submatch_n(`(a)|(b)`, \"ab\", -1)",
         "[[\"a\",\"a\",\"\"],[\"b\",\"\",\"b\"]]"},
        {"regex.find_all_string_submatch_n(`(a+)(a*)`, \"aaa\", -1)", "[[\"aaa\",\"aaa\",\"\"]]"},
        {"regex.find_all_string_submatch_n(`(a+?)(a*)`, \"aaa\", -1)", "[[\"aaa\",\"a\",\"aa\"]]"},
        {"regex.split(`a*`, \"baac\")", "[\"b\",\"c\"]"},
        {"regex.split(`,`, \"a,b,\")", "[\"a\",\"b\",\"\"]"},
        {"regex.split(`,`, \"\")", "[\"\"]"},
        {"regex.replace(\"ip=10.7.\", `ip=(?P<a>\\d+)\\.(\\d+)`, \"${a}-$2-$$-$9\")", "\"10-7-$-.\""},
        {"regex.replace(\"abc\", `b`, \"$1x\")", "\"ac\""},
        {"regex.replace(\"abc\", ``, \"-\")", "\"-a-b-c-\""},
        {"regex.template_match(\"urn:<[a-z]{2,3}>:x\", \"urn:ab:x\", \"<\", \">\")", "true"},
        {"regex.template_match(\"urn:<.*\", \"urn:ab\", \"<\", \">\")", "!unbalanced braces"},
        {"regex.template_match(\"a\", \"a\", \"<<\", \">\")", "!operand 3 must be a single character"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

/* What would take a backtracking engine longer than the world lasts. */
static void test_bombs(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"regex.match(`^(a+)+$`, sprintf(\"%s!\", [concat(\"\", [\"a\" | "
         "numbers.range(1, 20000)[_]])]))",
         "false"},
        {"regex.match(`(x+x+)+y`, concat(\"\", [\"x\" | numbers.range(1, 20000)[_]]))", "false"},
        {"count(regex.find_n(`(a?){30}a{30}`, concat(\"\", [\"a\" | numbers.range(1, 2000)[_]]), "
         "-1))",
         "33"},
        {"regex.match(`[01]*1[01]{40}$`, concat(\"\", [\"01\" | numbers.range(1, 20000)[_]]))",
         "true"},
        {"regex.match(concat(\"\", [\"(\" | numbers.range(1, 1001)[_]]), \"\")",
         "!expression nests too deeply"},
        {"regex.match(`((a{100}){10}){1}(\\pL{1000}){1}`, \"b\")", "false"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_syntax),
                                       cmocka_unit_test(test_which_match),
                                       cmocka_unit_test(test_bombs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
