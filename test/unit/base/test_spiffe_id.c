/* SPDX-License-Identifier: Apache-2.0 */
/* SPIFFE ids and patterns of them: what is one, what is none, what fits. */
#include "kit/kit.h"

#include "base/spiffe_id.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text, *domain, *path; /* domain NULL: refused */
    } t[] = {
        {"spiffe://example.org", "example.org", ""},
        {"spiffe://example.org/a", "example.org", "/a"},
        {"spiffe://a_b-c.9/A.b_c-D/9/...", "a_b-c.9", "/A.b_c-D/9/..."},
        {"spiffe://1.2.3.4/x", "1.2.3.4", "/x"},
        {"", NULL, NULL},
        {"spiffe:/example.org/a", NULL, NULL},
        {"SPIFFE://example.org/a", NULL, NULL},
        {"spiffe://", NULL, NULL},
        {"spiffe:///a", NULL, NULL},
        {"spiffe://Example.org/a", NULL, NULL},
        {"spiffe://example.org:80/a", NULL, NULL},
        {"spiffe://u@example.org/a", NULL, NULL},
        {"spiffe://example.org/", NULL, NULL},
        {"spiffe://example.org/a/", NULL, NULL},
        {"spiffe://example.org//a", NULL, NULL},
        {"spiffe://example.org/a/./b", NULL, NULL},
        {"spiffe://example.org/a/../b", NULL, NULL},
        {"spiffe://example.org/a%20b", NULL, NULL},
        {"spiffe://example.org/a?b", NULL, NULL},
        {"spiffe://example.org/a#b", NULL, NULL},
        {"spiffe://example.org/a b", NULL, NULL},
        {"spiffe://example.org/\xc3\xa4", NULL, NULL},
        {"spiffe://example.org/*", NULL, NULL},
        {"https://example.org/a", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_spiffe_id id;
        struct mln_err err = mln_spiffe_id_parse(NULL, mln_bytes_of(t[i].text), &id);
        if (t[i].domain == NULL) {
            if (!mln_is(err, MLN_E_INVALID)) {
                fail_msg("taken: %s", t[i].text);
            }
            continue;
        }
        assert_false(mln_failed(err));
        assert_true(mln_bytes_is(id.domain, t[i].domain) && mln_bytes_is(id.path, t[i].path));
    }
}

static void test_lengths(void **state)
{
    char text[MLN_SPIFFE_ID_MAX + 2];
    struct mln_spiffe_id id;
    (void)state;
    mln_fill(text, 'a', sizeof(text));
    mln_copy(text, "spiffe://", 9);
    assert_false(mln_failed(mln_spiffe_id_parse(NULL, mln_bytes_at(text, 9 + 255), &id)));
    assert_true(mln_failed(mln_spiffe_id_parse(NULL, mln_bytes_at(text, 9 + 256), &id)));
    text[10] = '/';
    assert_false(mln_failed(mln_spiffe_id_parse(NULL, mln_bytes_at(text, MLN_SPIFFE_ID_MAX), &id)));
    assert_true(mln_failed(mln_spiffe_id_parse(NULL, mln_bytes_at(text, MLN_SPIFFE_ID_MAX + 1), &id)));
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *id;
        bool fits;
    } t[] = {
        {"spiffe://a/b", "spiffe://a/b", true},
        {"spiffe://a/b", "spiffe://a/b/c", false},
        {"spiffe://a/b/c", "spiffe://a/b", false},
        {"spiffe://a", "spiffe://a", true},
        {"spiffe://a/*", "spiffe://a", false},
        {"spiffe://a/*", "spiffe://a/b", true},
        {"spiffe://a/*", "spiffe://a/b/c", false},
        {"spiffe://a/*", "spiffe://b/b", false},
        {"spiffe://a/**", "spiffe://a/b/c", true},
        {"spiffe://a/**", "spiffe://a", false},
        {"spiffe://a/**/c", "spiffe://a/b/c", true},
        {"spiffe://a/**/c", "spiffe://a/b/d/c", false},
        {"spiffe://a/ns/*/sa/web-*", "spiffe://a/ns/x/sa/web-1", true},
        {"spiffe://a/ns/*/sa/web-*", "spiffe://a/ns/x/sa/db-1", false},
        {"spiffe://a/x*y*z", "spiffe://a/x1y2yz", true},
        {"spiffe://a/x*y*z", "spiffe://a/x1y2", false},
        {"spiffe://*/b", "spiffe://a/b", false},
        {"spiffe://a/b", "spiffe://a/b/", false},
        {"b", "spiffe://a/b", false},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (mln_spiffe_pattern_fits(mln_bytes_of(t[i].pattern), mln_bytes_of(t[i].id)) != t[i].fits) {
            fail_msg("%s and %s", t[i].pattern, t[i].id);
        }
    }
    assert_true(mln_failed(mln_spiffe_pattern_check(NULL, MLN_BYTES("spiffe://*/b"))));
    assert_false(mln_failed(mln_spiffe_pattern_check(NULL, MLN_BYTES("spiffe://a/*/**"))));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
