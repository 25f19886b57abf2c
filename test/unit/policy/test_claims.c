/* SPDX-License-Identifier: Apache-2.0 */
/* Claims: finding them, times with their leeways, audiences, bound values, globs. */
#include "kit/kit.h"

#include "policy/claims.h"
#include "base/json.h"

#define NOW 1700000000

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

static void test_finding(void **state)
{
    static const struct {
        const char *name, *want; /* NULL: absent */
    } t[] = {
        {"a", "x"},       {"/b/c", "y"},      {"/l/1", "second"}, {"/sl~1ash/ti~0lde", "z"}, {"/", "empty"},  {"n", "7"},
        {"t", "true"},    {"d", "1.5"},       {"b", NULL},        {"/b/d", NULL},            {"/l/2", NULL},  {"/l/01", NULL},
        {"/l/-", NULL},   {"/l/x", NULL},     {"/a/b", NULL},     {"/sl~2ash", NULL},        {"/sl~", NULL},  {"c", NULL},
        {"/l/18446744073709551616", NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *claims = json(cx, "{\"a\":\"x\",\"b\":{\"c\":\"y\"},\"l\":[\"first\",\"second\"],\"n\":7,\"t\":true,"
                                              "\"d\":1.5,\"sl/ash\":{\"ti~lde\":\"z\"},\"\":\"empty\"}");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *text = mln_claim_text(cx, mln_claim(cx, claims, mln_bytes_of(t[i].name)));
        if ((text == NULL) != (t[i].want == NULL) || (text != NULL && !mln_bytes_is(mln_bytes_of(text), t[i].want))) {
            fail_msg("%s gives %s", t[i].name, text);
        }
    }
    assert_null(mln_claim_at(cx, claims, MLN_BYTES("/b/c"), false));
    assert_ptr_equal(mln_claim_at(cx, claims, MLN_BYTES(""), true), claims);
}

static void test_globs(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool fits;
    } t[] = {
        {"", "", true},         {"", "a", false},        {"*", "", true},       {"*", "abc", true},       {"a*", "abc", true},
        {"*c", "abc", true},    {"a*c", "abc", true},    {"a*c", "abcd", false}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false},
        {"abc", "abc", true},   {"abc", "ab", false},    {"**", "x", true},     {"*aaaa*b", "aaaaaaaaaaaaaaaac", false},
        {"a?c", "abc", false},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (mln_glob_fits(mln_bytes_of(t[i].pattern), mln_bytes_of(t[i].text)) != t[i].fits) {
            fail_msg("%s and %s", t[i].pattern, t[i].text);
        }
    }
}

static void test_times(void **state)
{
    static const struct {
        const char *claims;
        struct mln_claim_leeways leeways;
        const char *why; /* NULL: good */
    } t[] = {
        {"{\"exp\":1700000060}", {0}, NULL},
        {"{\"exp\":1699999941}", {0}, NULL}, /* within the skew of a minute */
        {"{\"exp\":1699999939}", {0}, "token is expired"},
        {"{\"exp\":1699999999}", {0, 0, -1}, "token is expired"},
        {"{\"exp\":1699999000}", {0, 0, 2000}, NULL},
        {"{\"exp\":1700000060.5}", {0}, NULL},
        {"{\"nbf\":1700000060}", {0}, NULL},
        {"{\"nbf\":1700000061}", {0}, "token not yet valid"},
        {"{\"nbf\":1700000030,\"exp\":1700000100}", {0, 0, -1}, "token not yet valid"},
        {"{\"iat\":1700000061,\"exp\":1700000100,\"nbf\":1}", {0}, "issued in the future"},
        {"{\"iat\":1699999900}", {0}, NULL}, /* lives 150 s */
        {"{\"iat\":1699999700}", {0}, "token is expired"},
        {"{\"iat\":1699999700}", {600, 0, 0}, NULL},
        {"{\"iat\":1699999900}", {-1, 0, -1}, "token is expired"},
        {"{\"exp\":1700000300}", {0}, "token not yet valid"}, /* exp alone: not before 150 s ahead of it */
        {"{\"exp\":1700000300}", {0, 600, 0}, NULL},
        {"{}", {0}, "no issued at (iat)"},
        {"{\"exp\":\"soon\"}", {0}, "no date"},
        {"{\"exp\":-1}", {0}, "no date"},
        {"{\"exp\":1e300}", {0}, "no date"},
        {"{\"exp\":99999999999999999999}", {0}, "no date"},
        {"{\"exp\":null}", {0}, "no date"},
        {"{\"exp\":[1700000060]}", {0}, "no date"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_err err = mln_claims_check_times(cx, json(cx, t[i].claims), NOW * INT64_C(1000000000), &t[i].leeways);
        kit_expect_at(cx, err, t[i].why == NULL ? MLN_E_OK : MLN_E_INVALID, t[i].why, t[i].claims, __FILE__, __LINE__);
    }
}

static void test_audiences_and_bounds(void **state)
{
    static const struct {
        const char *claims, *bound, *why;
    } a[] = {
        {"{\"aud\":\"me\"}", "[\"you\",\"me\"]", NULL},
        {"{\"aud\":[\"x\",\"me\"]}", "[\"me\"]", NULL},
        {"{\"aud\":[\"x\"]}", "[\"me\"]", "does not match any expected audience"},
        {"{}", "[\"me\"]", "does not match any expected audience"},
        {"{\"aud\":{\"me\":1}}", "[\"me\"]", "does not match"},
        {"{\"aud\":\"me\"}", "[]", "no audiences bound to the role"},
        {"{}", "[]", NULL},
    };
    static const struct {
        const char *claims, *bound;
        bool is_glob;
        const char *why;
    } b[] = {
        {"{\"e\":\"prod\"}", "{\"e\":\"prod\"}", false, NULL},
        {"{\"e\":\"prod\"}", "{\"e\":[\"dev\",\"prod\"]}", false, NULL},
        {"{\"e\":[\"x\",\"prod\"]}", "{\"e\":\"prod\"}", false, NULL},
        {"{\"e\":true}", "{\"e\":true}", false, NULL},
        {"{\"e\":5}", "{\"e\":[5]}", false, NULL},
        {"{\"a\":{\"b\":\"v\"}}", "{\"/a/b\":\"v\"}", false, NULL},
        {"{\"e\":\"prod-7\"}", "{\"e\":\"prod-*\"}", true, NULL},
        {"{\"e\":\"prod-7\"}", "{\"e\":\"prod-*\"}", false, "claim \"e\" does not match any associated bound claim values"},
        {"{\"e\":\"true\"}", "{\"e\":true}", false, "does not match"},
        {"{\"e\":\"prod\"}", "{\"f\":\"prod\"}", false, "claim \"f\" is missing"},
        {"{\"e\":null}", "{\"e\":\"prod\"}", false, "does not match"},
        {"{\"e\":[]}", "{\"e\":\"prod\"}", false, "does not match"},
        {"{\"e\":{\"prod\":1}}", "{\"e\":\"*\"}", true, "does not match"},
        {"{\"e\":\"prod\",\"f\":\"x\"}", "{\"e\":\"prod\",\"f\":\"y\"}", false, "claim \"f\""},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(a); i++) {
        struct mln_err err = mln_claims_check_audience(cx, json(cx, a[i].claims), json(cx, a[i].bound));
        kit_expect_at(cx, err, a[i].why == NULL ? MLN_E_OK : MLN_E_INVALID, a[i].why, a[i].claims, __FILE__, __LINE__);
    }
    for (size_t i = 0; i < MLN_COUNT(b); i++) {
        struct mln_err err = mln_claims_check_bound(cx, json(cx, b[i].claims), json(cx, b[i].bound), b[i].is_glob);
        kit_expect_at(cx, err, b[i].why == NULL ? MLN_E_OK : MLN_E_INVALID, b[i].why, b[i].claims, __FILE__, __LINE__);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_finding), KIT_TEST(test_globs), KIT_TEST(test_times),
                                       KIT_TEST(test_audiences_and_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
