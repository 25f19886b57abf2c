/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of SPIFFE ids: which are taken, what claims make of them, and which claims are refused. */
#include "kit/kit.h"

#include "base/json.h"
#include "identity/spiffe_claims_id.h"

#define TD "spiffe://example.org/"

static void test_check(void **state)
{
    static const struct {
        const char *text, *why; /* NULL: taken */
    } t[] = {
        {TD "web", NULL},
        {TD "ci/{{repository:2}}/{{ref...}}", NULL},
        {TD "{{a}}/x-{{b}}-y/{{c:8}}", NULL},
        {TD "ns/{{/kubernetes.io/namespace}}", NULL},
        {"", "of this trust domain"},
        {"spiffe://example.org", "of this trust domain"},
        {"spiffe://example.org/", "of this trust domain"},
        {"spiffe://other.example/{{a}}", "of this trust domain"},
        {"spiffe://{{domain}}/a", "of this trust domain"},
        {"https://example.org/{{a}}", "of this trust domain"},
        {TD "{{}}", "names no claim"},
        {TD "{{a b}}", "names no claim"},
        {TD "{{...}}", "names no claim"},
        {TD "{{{a}}}", "names no claim"},
        {TD "{{a", "a brace"},
        {TD "a}}", "a brace"},
        {TD "{a}", "a brace"},
        {TD "{{a}}}", "a brace"},
        {TD "{{a:1}}", "2 to 8"},
        {TD "{{a:0}}", "2 to 8"},
        {TD "{{a:9}}", "2 to 8"},
        {TD "x{{a:2}}", "between slashes"},
        {TD "{{a:2}}x", "between slashes"},
        {TD "x-{{a...}}", "between slashes"},
        {TD "{{a...}}/x", "at the end"},
        {TD "{{a}}{{b}}", "at most one"},
        {TD "{{a}}-{{b}}", "at most one"},
        {TD "a//{{b}}", "segments of"},
        {TD "{{a}}/", "segments of"},
        {TD "../{{a}}", "segments of"},
        {TD "merlon/{{a}}", "/merlon/"},
        {TD "merlon", "/merlon/"},
        {TD "{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/{{a}}/"
            "{{a}}/{{a}}/{{a}}",
         "at most 16"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        mln_cx_clear(cx);
        struct mln_err err =
            sp_claims_id_check(cx, mln_bytes_of(t[i].text), MLN_BYTES("example.org"));
        bool is_as_wanted = t[i].why == NULL ? !mln_failed(err)
                                             : mln_is(err, MLN_E_INVALID) &&
                                                   mln_bytes_find_bytes(mln_bytes_of(cx->text),
                                                                        mln_bytes_of(t[i].why)) <
                                                       mln_bytes_of(cx->text).len;
        if (!is_as_wanted) {
            fail_msg("%s: %s", t[i].text, cx->text);
        }
    }
}

static void test_fill(void **state)
{
    static const struct {
        const char *text, *claims, *want; /* NULL: refused */
    } t[] = {
        {TD "web", "{}", TD "web"},
        {TD "ci/{{r:2}}/{{ref...}}", "{\"r\":\"org/repo\",\"ref\":\"refs/heads/main\"}",
         TD "ci/org/repo/refs/heads/main"},
        {TD "ci/{{r:2}}/{{ref...}}", "{\"r\":\"org/repo\",\"ref\":\"v1\"}", TD "ci/org/repo/v1"},
        {TD "ns/{{/k.io/namespace}}/sa/{{/k.io/sa/name}}",
         "{\"k.io\":{\"namespace\":\"prod\",\"sa\":{\"name\":\"web\"}}}", TD "ns/prod/sa/web"},
        {TD "p-{{id}}", "{\"id\":42}", TD "p-42"},
        {TD "{{a}}", "{}", NULL},
        {TD "{{a}}", "{\"a\":null}", NULL},
        {TD "{{a}}", "{\"a\":true}", NULL},
        {TD "{{a}}", "{\"a\":[\"x\"]}", NULL},
        {TD "{{a}}", "{\"a\":1.5}", NULL},
        {TD "{{a}}", "{\"a\":\"\"}", NULL},
        {TD "{{a}}", "{\"a\":\".\"}", NULL},
        {TD "{{a}}", "{\"a\":\"..\"}", NULL},
        {TD "{{a}}", "{\"a\":\"x/y\"}", NULL},
        {TD "{{a}}", "{\"a\":\"x y\"}", NULL},
        {TD "{{a}}", "{\"a\":\"x%2fy\"}", NULL},
        {TD "{{a}}", "{\"a\":\"x:y\"}", NULL},
        {TD "{{a}}", "{\"a\":\"x\\u0000y\"}", NULL},
        {TD "{{a}}", "{\"a\":\"\\u00fc\"}", NULL},
        {TD "{{a}}", "{\"a\":\"{{b}}\",\"b\":\"x\"}", NULL},
        {TD "{{a}}", "{\"a\":\"merlon\"}", NULL},
        {TD "{{a}}/server", "{\"a\":\"merlon\"}", NULL},
        {TD "x-{{a}}", "{\"a\":\".\"}", NULL},
        {TD "{{a:2}}", "{\"a\":\"x\"}", NULL},
        {TD "{{a:2}}", "{\"a\":\"x/y/z\"}", NULL},
        {TD "{{a:2}}", "{\"a\":\"x/\"}", NULL},
        {TD "{{a:2}}", "{\"a\":\"/y\"}", NULL},
        {TD "{{a:2}}", "{\"a\":\"../y\"}", NULL},
        {TD "{{a...}}", "{\"a\":\"x//y\"}", NULL},
        {TD "{{a...}}", "{\"a\":\"x/y/\"}", NULL},
        {TD "{{a...}}", "{\"a\":\"x/../y\"}", NULL},
        {TD "{{a...}}", "{\"a\":\"merlon/server\"}", NULL},
        {TD "{{/a/b}}", "{\"a\":\"x\"}", NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *claims = NULL;
        const char *got = NULL;
        mln_cx_clear(cx);
        kit_ok(cx, sp_claims_id_check(cx, mln_bytes_of(t[i].text), MLN_BYTES("example.org")));
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(t[i].claims), &claims));
        struct mln_err err = sp_claims_id_fill(cx, mln_bytes_of(t[i].text), claims, &got);
        if (t[i].want == NULL) {
            kit_expect(cx, t[i].claims, err, MLN_E_INVALID);
            assert_null(got);
        } else {
            kit_ok(cx, err);
            assert_string_equal(got, t[i].want);
        }
    }
}

/* An id has 2,048 bytes, however long the claims are. */
static void test_length(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *claims = mln_object(cx);
    char *text = mln_new(cx, 4096);
    const char *got = NULL;
    for (size_t i = 0; i < 2048 - 21; i++) {
        text[i] = 'x';
    }
    mln_put_text(cx, claims, "a", text);
    kit_ok(cx, sp_claims_id_fill(cx, MLN_BYTES(TD "{{a}}"), claims, &got));
    assert_int_equal(mln_bytes_of(got).len, 2048);
    kit_refused(cx, sp_claims_id_fill(cx, MLN_BYTES(TD "b{{a}}"), claims, &got), MLN_E_INVALID);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {KIT_TEST(test_check), KIT_TEST(test_fill),
                                              KIT_TEST(test_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
