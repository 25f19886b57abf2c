/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of rules: what fits, what covers, what meets. */
#include "kit/kit.h"

#include "identity/spiffe_rule.h"

static const struct {
    const char *pattern, *text;
    bool fits, covers, meets; /* text taken as a text, then as a pattern */
} rows[] = {
    {"spiffe://a/b", "spiffe://a/b", true, true, true},
    {"spiffe://a/b", "spiffe://a/bc", false, false, false},
    {"spiffe://a/b*", "spiffe://a/bc", true, true, true},
    {"spiffe://a/b*", "spiffe://a/b", true, true, true},
    {"spiffe://a/b*", "spiffe://a/", false, false, false},
    {"spiffe://a/b*", "spiffe://a/*", false, false, true},
    {"spiffe://a/*", "spiffe://a/b*", true, true, true},
    {"spiffe://a/b", "spiffe://a/*", false, false, true},
    {"spiffe://a/b*", "spiffe://a/c*", false, false, false},
    {"*", "", true, true, true},
    {"*", "*", true, true, true},
    {"", "", true, true, true},
    {"", "a", false, false, false},
    {"a*b", "a*b", true, true, true}, /* only at the end is it one */
    {"a*b", "axb", false, false, false},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes pattern = mln_bytes_of(rows[i].pattern), text = mln_bytes_of(rows[i].text);
        if (mln_rule_fits(pattern, text) != rows[i].fits ||
            mln_rule_covers(pattern, text) != rows[i].covers ||
            mln_rule_meets(pattern, text) != rows[i].meets ||
            mln_rule_meets(text, pattern) != rows[i].meets) {
            fail_msg("%s against %s", rows[i].pattern, rows[i].text);
        }
    }
}

static void test_lists(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *list = mln_array(cx);
    assert_true(mln_rule_fits_any(NULL, MLN_BYTES("a")));
    assert_true(mln_rule_fits_any(list, MLN_BYTES("a")));
    mln_push_text(cx, list, "b");
    assert_false(mln_rule_fits_any(list, MLN_BYTES("a")));
    mln_push_text(cx, list, "a*");
    assert_true(mln_rule_fits_any(list, MLN_BYTES("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
