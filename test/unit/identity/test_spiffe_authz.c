/* SPDX-License-Identifier: Apache-2.0 */
/* Who may talk to whom: rules, what they take, and what is denied. */
#include "unit/identity/spiffe_kit.h"

#define DB  "{\"spiffe_id\":\"spiffe://example.org/db\",\"selectors\":[\"unix:uid:1000\"]}"
#define WEB "spiffe://example.org/web/1"

static void rule(struct ek *k, const char *name, const char *json)
{
    char path[200];
    (void)snprintf(path, sizeof(path), "spiffe/authz/rules/%s", name);
    EK_WANT(k, ek_write(k, path, json), 204);
}

static bool allowed(struct ek *k, const char *who, const char *method, const char *path)
{
    char json[512];
    (void)snprintf(json, sizeof(json),
                   "{\"principal\":\"%s\",\"destination\":\"spiffe://example.org/"
                   "db\",\"method\":\"%s\",\"path\":\"%s\"}",
                   who, method, path);
    EK_WANT(k, ek_write(k, "spiffe/authz", json), 200);
    assert_non_null(mln_get(k->detail, "verdict")); /* evidence of each */
    bool is = mln_get_bool(mln_get(k->re.data, "allowed"), false);
    assert_true(is == (mln_len(mln_get(k->re.data, "reason")) == 0));
    return is;
}

static void test_verdicts(void **state)
{
    static const struct {
        const char *who, *method, *path;
        bool is_allowed;
    } rows[] = {
        {WEB, "GET", "/a", true},
        {WEB, "GET", "/a%20b", true},
        {WEB, "GET", "/a%C3%A9", true},
        {WEB, "GET", "/a.b/..c", true},
        {WEB, "POST", "/a", false},
        {"spiffe://example.org/web", "GET", "/a", false},
        {"spiffe://example.org/other", "GET", "/a", false},
        {"spiffe://elsewhere.org/web/1", "GET", "/a", false},
        {"", "GET", "/a", false},
        {"CN=web", "GET", "/a", false},
        {"spiffe://example.org/web/../web/1", "GET", "/a", false},
        {WEB, "GET", "", false},
        {WEB, "GET", "a", false},
        {WEB, "GET", "/admin", false},
        {WEB, "GET", "/admin/x", false},
        {WEB, "GET", "/%61dmin", false},
        {WEB, "GET", "/x/../admin", false},
        {WEB, "GET", "/x/%2e%2E/admin", false},
        {WEB, "GET", "/x/..", false},
        {WEB, "GET", "//admin", false},
        {WEB, "GET", "/./admin", false},
        {WEB, "GET", "/x%2fadmin", false},
        {WEB, "GET", "/x\\\\admin", false},
        {WEB, "GET", "/x%", false},
        {WEB, "GET", "/x%0", false},
        {WEB, "GET", "/x%00", false},
        {WEB, "GET", "/x%zz", false},
        {WEB, "GET", "/x#y", false},
    };
    (void)state;
    SK(k);
    (void)sk_entry(k, DB);
    sk_be(k, "[\"unix:uid:1000\"]");
    assert_false(allowed(k, WEB, "GET", "/a")); /* no rule */
    rule(k, "read",
         "{\"effect\":\"allow\",\"principals\":[\"spiffe://example.org/web/"
         "*\"],\"destinations\":[\"spiffe://example.org/db\"],"
         "\"methods\":[\"GET\"],\"paths\":[\"/*\"]}");
    rule(k, "admin", "{\"effect\":\"deny\",\"paths\":[\"/admin*\"]}");
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (allowed(k, rows[i].who, rows[i].method, rows[i].path) != rows[i].is_allowed) {
            fail_msg("%s %s by %s", rows[i].method, rows[i].path, rows[i].who);
        }
    }
    EK_WANT(k, ek_delete(k, "spiffe/authz/rules/admin"), 204);
    assert_true(allowed(k, WEB, "GET", "/admin"));
    EK_WANT(k, ek_delete(k, "spiffe/authz/rules/read"), 204);
    assert_false(allowed(k, WEB, "GET", "/a"));
}

static void test_callers(void **state)
{
    (void)state;
    SK(k);
    (void)sk_entry(k, DB);
    rule(k, "all", "{\"effect\":\"allow\",\"principals\":[\"spiffe://*\"]}");
    sk_be(k, "[\"unix:uid:1000\"]");
    EK_WANT(k, ek_write(k, "spiffe/authz", "{\"principal\":\"" WEB "\",\"path\":\"/\"}"),
            200); /* its first identity is meant */
    assert_true(mln_get_bool(mln_get(k->re.data, "allowed"), false));
    EK_REFUSED(k,
               ek_write(k, "spiffe/authz",
                        "{\"principal\":\"" WEB
                        "\",\"destination\":\"spiffe://example.org/x\",\"path\":\"/\"}"),
               403, "not an identity of the caller");
    sk_be(k, "[\"unix:uid:1001\"]");
    EK_REFUSED(k, ek_write(k, "spiffe/authz", "{\"principal\":\"" WEB "\",\"path\":\"/\"}"), 403,
               "no identity issued");
}

static void test_rules(void **state)
{
    static const struct {
        const char *json, *part;
    } bad[] = {
        {"{}", "effect"},
        {"{\"effect\":\"maybe\"}", "effect"},
        {"{\"effect\":\"allow\"}", "principals"},
        {"{\"effect\":\"allow\",\"principals\":[\"spiffe://*/x\"]}", "only at its end"},
        {"{\"effect\":\"allow\",\"principals\":[\"\"]}", "pattern"},
        {"{\"effect\":\"deny\",\"paths\":[\"*x\"]}", "only at its end"},
        {"{\"effect\":\"deny\",\"paths\":[\"**\"]}", "only at its end"},
    };
    (void)state;
    SK(k);
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        EK_REFUSED(k, ek_write(k, "spiffe/authz/rules/r", bad[i].json), 400, bad[i].part);
    }
    EK_WANT(k, ek_read(k, "spiffe/authz/rules/r", NULL), 404);
    rule(k, "r", "{\"effect\":\"deny\",\"methods\":\"PUT,POST\"}");
    EK_WANT(k, ek_read(k, "spiffe/authz/rules/r", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "methods")), 2);
    EK_WANT(k, ek_list(k, "spiffe/authz/rules"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 1);
    EK_WANT(k, ek_delete(k, "spiffe/authz/rules/none"), 204);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts),
                                       cmocka_unit_test(test_callers),
                                       cmocka_unit_test(test_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
