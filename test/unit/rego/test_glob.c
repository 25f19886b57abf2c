/* SPDX-License-Identifier: Apache-2.0 */
/* Globs: delimiters, classes, alternatives, what is refused, bombs. */
#include "rows.h"

static void test_glob(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"glob.match(\"*.github.com\", [], \"api.github.com\")", "true"},
        {"glob.match(\"*\", [], \"a.b\")", "false"},
        {"glob.match(\"*\", null, \"a.b\")", "true"},
        {"glob.match(\"api.**.com\", [\".\"], \"api.cdn.github.com\")", "true"},
        {"glob.match(\"*\", [\".\", \"/\"], \"a/b\")", "false"},
        {"glob.match(\"?at\", [\"f\"], \"fat\")", "false"},
        {"glob.match(\"[!a-c]at\", [], \"fat\")", "true"},
        {"glob.match(\"[!a-c]at\", [], \"bat\")", "false"},
        {"glob.match(\"{cat,b{a,o}t,[fr]at}\", [], \"bot\")", "true"},
        {"glob.match(\"{cat,bat}\", [], \"at\")", "false"},
        {"glob.match(\"{**/,}x\", null, \"x\")", "true"},
        {"glob.match(\"\\\\*é\", null, \"*é\")", "true"},
        {"glob.match(\"\\\\*\", null, \"a\")", "false"},
        {"glob.match(\"\", null, \"\")", "true"},
        {"glob.match(\"[a\", null, \"a\")", "!glob.match: "},
        {"glob.match(\"{a\", null, \"a\")", "!glob.match: unexpected end of input"},
        {"glob.match(\"[c-a]\", null, \"a\")", "!hi character should be greater"},
        {"glob.match(\"*\", [\"ab\"], \"a\")", "!delimiters must be single characters"},
        {"glob.match(concat(\"\", [\"{\" | numbers.range(1, 200)[_]]), null, \"a\")",
         "!pattern nests too deeply"},
        {"glob.match(concat(\"\", [\"*a\" | numbers.range(1, 300)[_]]), null, "
         "concat(\"\", [\"a\" | numbers.range(1, 5000)[_]]))",
         "true"},
        {"glob.match(concat(\"\", [\"{*,**}\" | numbers.range(1, 300)[_]]), null, "
         "concat(\"\", [\"a\" | numbers.range(1, 3000)[_]]))",
         "true"},
        {"glob.quote_meta(\"*.{a}?[b]\\\\\")", "\"\\\\*.\\\\{a\\\\}\\\\?\\\\[b\\\\]\\\\\\\\\""},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_glob)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
