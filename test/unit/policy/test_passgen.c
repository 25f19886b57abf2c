/* SPDX-License-Identifier: Apache-2.0 */
/* Password policies: what is read, what is refused, that draws meet the rules and are even. */
#include "kit/kit.h"

#include "policy/passgen.h"

#include <string.h>

#define RULE(chars, least) "rule \"charset\" { charset = \"" chars "\" min-chars = " least " }\n"

static void test_read(void **state)
{
    static const struct {
        const char *text;
        enum mln_code want;
        const char *why;
    } t[] = {
        {"length = 20\n" RULE("abcdefghij", "1"), MLN_E_OK, NULL},
        {"length=20\nrule \"charset\" { charset=\"abc\" }", MLN_E_OK, NULL},
        {"length = 8\n" RULE("abc", "4") RULE("ABC", "4"), MLN_E_OK, NULL},
        {"length = 8\n" RULE("äöü", "1") RULE("äa", "8"), MLN_E_OK, NULL},
        {"{\"length\":12,\"rule\":[{\"charset\":{\"charset\":\"ab\"}}]}", MLN_E_OK, NULL},
        {"length = 3\n" RULE("abc", "1"), MLN_E_INVALID, "passwords must be between 4 and 100 characters"},
        {"length = 101\n" RULE("abc", "1"), MLN_E_INVALID, "passwords must be between 4 and 100 characters"},
        {RULE("abc", "1"), MLN_E_INVALID, "passwords must be between 4 and 100 characters"},
        {"length = 20", MLN_E_INVALID, "a password policy needs a charset rule"},
        {"length = 20\n" RULE("", "0"), MLN_E_INVALID,
         "a charset rule needs a charset of at least one character"},
        {"length = 20\n" RULE("a\\tb", "0"), MLN_E_INVALID, "a charset has printable characters only"},
        {"length = 8\n" RULE("abc", "9"), MLN_E_INVALID, "min-chars is 0 to the length of the password"},
        {"length = 8\n" RULE("abc", "-1"), MLN_E_INVALID, "min-chars is 0 to the length of the password"},
        {"length = 8\n" RULE("abc", "5") RULE("ABC", "4"), MLN_E_INVALID,
         "the rules ask for more characters than the length"},
        {"length = 8\nrule \"words\" { }", MLN_E_INVALID, "the only kind of rule is \"charset\""},
        {"length = 8\nrule \"charset\" { charset = \"ab\" max-chars = 1 }", MLN_E_INVALID,
         "a charset rule has no \"max-chars\""},
        {"length = 8\nwidth = 2\n" RULE("ab", "0"), MLN_E_INVALID, "a password policy has no \"width\""},
        {"length = ", MLN_E_PARSE, NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_passgen *p = NULL;
        struct mln_err err = mln_passgen_parse(cx, mln_bytes_of(t[i].text), &p);
        if (err.code != (uint32_t)t[i].want || (t[i].why != NULL && strcmp(cx->text, t[i].why) != 0)) {
            fail_msg("%s: %s %s", t[i].text, mln_err_name(err.code), cx->text);
        }
        mln_cx_clear(cx);
    }
}

static void test_draw(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_passgen *p = NULL;
    unsigned counts[256] = {0};
    kit_ok(cx, mln_passgen_parse(cx, MLN_BYTES("length = 16\n" RULE("abcdefgh", "1") RULE("01", "3")), &p));
    for (int i = 0; i < 2000; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf to = {.is_secret = true};
        unsigned digits = 0, letters = 0;
        kit_ok(cx, mln_passgen_draw(cx, p, &to));
        assert_int_equal(to.len, 16);
        for (size_t k = 0; k < to.len; k++) {
            digits += to.ptr[k] == '0' || to.ptr[k] == '1';
            letters += to.ptr[k] >= 'a' && to.ptr[k] <= 'h';
            counts[to.ptr[k]]++;
        }
        assert_int_equal(digits + letters, 16);
        assert_true(digits >= 3 && letters >= 1);
    }
    for (int c = 'a'; c < 'h'; c++) { /* 2000 * 16 characters, about 2930 of each letter; 8 deviations */
        assert_in_range(counts[c], 2500, 3400);
    }
}

static void test_impossible(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_passgen *p = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf to = {.is_secret = true};
    /* "a" is in both charsets, so reading finds no contradiction; 90 times one of a thousand is never drawn. */
    kit_ok(cx, mln_passgen_parse(cx,
                                 MLN_BYTES("length = 100\n" RULE("ab", "100") RULE(
                                     "acdefghijklmnopqrstuvwxyz0123456789", "0")),
                                 &p));
    assert_int_equal(mln_passgen_draw(cx, p, &to).code, MLN_E_INVALID);
    assert_int_equal(to.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_read), KIT_TEST(test_draw), KIT_TEST(test_impossible)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
