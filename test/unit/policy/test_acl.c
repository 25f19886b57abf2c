/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of the policy language: which pattern wins, what is merged, what parameters may be; with the refused rows. */
#include "kit/kit.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "policy/acl.h"

#include <stdio.h>
#include <string.h>

#define R MLN_CAP_READ
#define C MLN_CAP_CREATE
#define U MLN_CAP_UPDATE
#define D MLN_CAP_DELETE
#define L MLN_CAP_LIST
#define P MLN_CAP_PATCH
#define S MLN_CAP_SUDO
#define NO MLN_CAP_DENY

static struct mln_acl *acl_of(struct mln_cx *cx, const char *a, const char *b)
{
    struct mln_policy *policies[2] = {0};
    const struct mln_policy *list[2];
    struct mln_acl *acl = NULL;
    kit_ok(cx, mln_policy_parse(cx, mln_bytes_of(a), &policies[0]));
    size_t n = 1;
    if (b != NULL) {
        kit_ok(cx, mln_policy_parse(cx, mln_bytes_of(b), &policies[1]));
        n = 2;
    }
    list[0] = policies[0];
    list[1] = policies[1];
    kit_ok(cx, mln_acl_new(cx, list, n, false, &acl));
    mln_policy_free(policies[0]);
    mln_policy_free(policies[1]);
    return acl;
}

#define CAP(path, list) "path \"" path "\" { capabilities = [" list "] }\n"

static const struct {
    const char *name, *policy, *second, *path;
    unsigned want;
} rules[] = {
    /* kinds of patterns */
    {"exact", CAP("a/b", "\"read\""), NULL, "a/b", R},
    {"exact is not a prefix", CAP("a/b", "\"read\""), NULL, "a/b/c", 0},
    {"exact is not below", CAP("a/b", "\"read\""), NULL, "a", 0},
    {"slash at the end counts", CAP("a/b/", "\"list\""), NULL, "a/b", 0},
    {"list path", CAP("a/b/", "\"list\""), NULL, "a/b/", L},
    {"glob", CAP("a/*", "\"read\""), NULL, "a/b/c", R},
    {"glob takes its own prefix", CAP("a/*", "\"read\""), NULL, "a/", R},
    {"glob without the slash", CAP("a/*", "\"read\""), NULL, "a", 0},
    {"glob inside a segment", CAP("a/b*", "\"read\""), NULL, "a/bcd/e", R},
    {"star alone", CAP("*", "\"read\""), NULL, "anything/at/all", R},
    {"star in the middle is a letter", CAP("a/*/c", "\"read\""), NULL, "a/b/c", 0},
    {"star in the middle, itself", CAP("a/*/c", "\"read\""), NULL, "a/*/c", R},
    {"plus", CAP("a/+/c", "\"read\""), NULL, "a/b/c", R},
    {"plus is one segment", CAP("a/+/c", "\"read\""), NULL, "a/b/b/c", 0},
    {"plus takes an empty one", CAP("a/+/c", "\"read\""), NULL, "a//c", R},
    {"plus at the end", CAP("a/+", "\"read\""), NULL, "a/b", R},
    {"plus at the end, deeper", CAP("a/+", "\"read\""), NULL, "a/b/c", 0},
    {"plus at the start", CAP("+/b", "\"read\""), NULL, "x/b", R},
    {"plus alone", CAP("+", "\"read\""), NULL, "x", R},
    {"plus alone, two segments", CAP("+", "\"read\""), NULL, "x/y", 0},
    {"two pluses", CAP("+/+/c", "\"read\""), NULL, "a/b/c", R},
    {"plus in a segment is a letter", CAP("a+b/c", "\"read\""), NULL, "axb/c", 0},
    {"plus in a segment, itself", CAP("a+b/c", "\"read\""), NULL, "a+b/c", R},
    {"plus and glob", CAP("a/+/c*", "\"read\""), NULL, "a/b/cd/e", R},
    {"plus and glob, wrong", CAP("a/+/c*", "\"read\""), NULL, "a/b/d", 0},
    {"plus and slash glob", CAP("+/b/*", "\"read\""), NULL, "x/b/", R},
    {"plus and slash glob, short", CAP("+/b/*", "\"read\""), NULL, "x/b", 0},
    {"leading slash is dropped", CAP("/a/b", "\"read\""), NULL, "a/b", R},
    {"nothing matches", CAP("a", "\"read\""), NULL, "b", 0},
    {"empty path", CAP("a", "\"read\""), NULL, "", 0},
    /* capabilities */
    {"all of them", CAP("a", "\"create\",\"read\",\"update\",\"delete\",\"list\",\"patch\",\"sudo\""), NULL,
     "a", C | R | U | D | L | P | S},
    {"newer ones", CAP("a", "\"scan\",\"recover\",\"subscribe\""), NULL, "a",
     MLN_CAP_SCAN | MLN_CAP_RECOVER | MLN_CAP_SUBSCRIBE},
    {"none", CAP("a", ""), NULL, "a", 0},
    {"deny beats the others", CAP("a", "\"read\",\"deny\""), NULL, "a", NO},
    {"old read", "path \"a\" { policy = \"read\" }", NULL, "a", R | L},
    {"old write", "path \"a\" { policy = \"write\" }", NULL, "a", C | R | U | D | L},
    {"old sudo", "path \"a\" { policy = \"sudo\" }", NULL, "a", C | R | U | D | L | S},
    {"old deny", "path \"a\" { policy = \"deny\" }", NULL, "a", NO},
    {"old and new together", "path \"a\" { policy = \"read\" capabilities = [\"delete\"] }", NULL, "a", R | L | D},
    {"JSON", "{\"path\":{\"a\":{\"capabilities\":[\"read\"]}}}", NULL, "a", R},
    {"JSON list of paths", "{\"path\":[{\"a\":{\"capabilities\":[\"read\"]}},{\"b\":{\"policy\":\"deny\"}}]}", NULL,
     "b", NO},
    {"name is allowed", "name = \"x\"\n" CAP("a", "\"read\""), NULL, "a", R},
    /* equal patterns: union, deny wins, in one policy and across two */
    {"union in one policy", CAP("a", "\"read\"") CAP("a", "\"list\""), NULL, "a", R | L},
    {"union across", CAP("a/*", "\"read\""), CAP("a/*", "\"update\""), "a/x", R | U},
    {"deny across", CAP("a/*", "\"read\""), CAP("a/*", "\"deny\""), "a/x", NO},
    {"deny across, other order", CAP("a/*", "\"deny\""), CAP("a/*", "\"read\""), "a/x", NO},
    {"union after a slash is dropped", CAP("/a", "\"read\""), CAP("a", "\"list\""), "a", R | L},
    /* the most specific wins across all policies, and alone */
    {"exact over glob", CAP("a/*", "\"read\",\"list\""), CAP("a/b", "\"update\""), "a/b", U},
    {"exact over plus", CAP("a/+", "\"read\""), CAP("a/b", "\"update\""), "a/b", U},
    {"exact deny in an open glob", CAP("a/*", "\"read\""), CAP("a/b", "\"deny\""), "a/b", NO},
    {"exact grant in a denied glob", CAP("a/*", "\"deny\""), CAP("a/b", "\"read\""), "a/b", R},
    {"longer glob", CAP("a/*", "\"deny\""), CAP("a/b/*", "\"read\""), "a/b/c", R},
    {"longer glob, elsewhere", CAP("a/*", "\"deny\""), CAP("a/b/*", "\"read\""), "a/c", NO},
    {"first wildcard later wins", CAP("a/+/c/d", "\"deny\""), CAP("a/b/*", "\"read\""), "a/b/c/d", R},
    {"first wildcard earlier loses", CAP("+/b/c", "\"deny\""), CAP("a/+/c", "\"read\""), "a/b/c", R},
    {"same place: a glob loses", CAP("a/+/c*", "\"deny\""), CAP("a/+/c", "\"read\""), "a/b/c", R},
    {"same place: plus over star", CAP("a/*", "\"deny\""), CAP("a/+", "\"read\""), "a/b", R},
    {"same place: more pluses lose", CAP("a/+/+/d", "\"deny\""), CAP("a/+/c/d", "\"read\""), "a/b/c/d", R},
    {"globs: more pluses lose", CAP("a/+/+/*", "\"deny\""), CAP("a/+/c/*", "\"read\""), "a/b/c/d", R},
    {"same pluses: shorter loses", CAP("a/+/c*", "\"deny\""), CAP("a/+/cd*", "\"read\""), "a/b/cde", R},
    {"same length: lower loses", CAP("a/+/b/+", "\"read\""), CAP("a/+/+/d", "\"deny\""), "a/x/b/d", R},
    {"the winner is alone", CAP("a/*", "\"read\",\"delete\""), CAP("a/b*", "\"list\""), "a/bc", L},
    /* templates that nobody fills in */
    {"template is dropped", CAP("a/{{identity.entity.id}}/*", "\"read\""), NULL, "a/{{identity.entity.id}}/x", 0},
    {"template does not hide others", CAP("a/{{identity.entity.id}}", "\"deny\"") CAP("a/*", "\"read\""), NULL,
     "a/{{identity.entity.id}}", R},
};

static void test_rules(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rules); i++) {
        struct mln_acl *acl = acl_of(cx, rules[i].policy, rules[i].second);
        unsigned got = mln_acl_capabilities(acl, mln_bytes_of(rules[i].path));
        if (got != rules[i].want) {
            fail_msg("%s: got %x, want %x", rules[i].name, got, rules[i].want);
        }
        for (unsigned bit = 1; bit <= MLN_CAP_SUBSCRIBE; bit <<= 1) {
            if (bit == MLN_CAP_DENY || bit == MLN_CAP_LIST) {
                continue;
            }
            bool may = rules[i].want != NO && (rules[i].want & bit) != 0;
            kit_expect(cx, rules[i].name, mln_acl_check(cx, acl, mln_bytes_of(rules[i].path), bit, NULL, NULL),
                       may ? MLN_E_OK : MLN_E_DENIED);
        }
        mln_acl_free(acl);
    }
}

static const struct {
    const char *name, *policy, *path;
    bool want;
} lists[] = {
    {"glob", CAP("a/*", "\"list\""), "a/", true},
    {"with slash", CAP("a/", "\"list\""), "a/", true},
    {"without slash, exact", CAP("a", "\"list\""), "a/", true},
    {"with slash before without", CAP("a", "\"list\"") CAP("a/", "\"deny\""), "a/", false},
    {"without the capability", CAP("a/", "\"read\""), "a/", false},
    {"elsewhere", CAP("a/", "\"list\""), "b/", false},
    {"plus does not take the slash", CAP("+", "\"list\""), "a/", false},
};

static void test_lists(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        struct mln_acl *acl = acl_of(cx, lists[i].policy, NULL);
        kit_expect(cx, lists[i].name, mln_acl_check(cx, acl, mln_bytes_of(lists[i].path), L, NULL, NULL),
                   lists[i].want ? MLN_E_OK : MLN_E_DENIED);
        mln_acl_free(acl);
    }
}

#define PAR(text) "path \"a\" { capabilities = [\"update\",\"read\"] " text " }\n"

static const struct {
    const char *name, *policy, *second, *data;
    bool want;
} parameters[] = {
    {"no constraint", PAR(""), NULL, "{\"x\":1}", true},
    {"required there", PAR("required_parameters = [\"x\"]"), NULL, "{\"x\":1}", true},
    {"required in another case", PAR("required_parameters = [\"Xy\"]"), NULL, "{\"xY\":1}", true},
    {"required missing", PAR("required_parameters = [\"x\"]"), NULL, "{\"y\":1}", false},
    {"required, no data", PAR("required_parameters = [\"x\"]"), NULL, NULL, false},
    {"one of two required", PAR("required_parameters = [\"x\",\"y\"]"), NULL, "{\"x\":1}", false},
    {"required of both policies", PAR("required_parameters = [\"x\"]"), PAR("required_parameters = [\"y\"]"),
     "{\"x\":1}", false},
    {"allowed", PAR("allowed_parameters = { x = [] }"), NULL, "{\"x\":1}", true},
    {"allowed in another case", PAR("allowed_parameters = { X = [] }"), NULL, "{\"x\":1}", true},
    {"not among the allowed", PAR("allowed_parameters = { x = [] }"), NULL, "{\"x\":1,\"y\":1}", false},
    {"allowed value", PAR("allowed_parameters = { x = [\"v\", 2] }"), NULL, "{\"x\":\"v\"}", true},
    {"allowed number", PAR("allowed_parameters = { x = [\"v\", 2] }"), NULL, "{\"x\":2}", true},
    {"number is not its text", PAR("allowed_parameters = { x = [2] }"), NULL, "{\"x\":\"2\"}", false},
    {"other value", PAR("allowed_parameters = { x = [\"v\"] }"), NULL, "{\"x\":\"w\"}", false},
    {"list value", PAR("allowed_parameters = { x = [[\"v\"]] }"), NULL, "{\"x\":[\"v\"]}", true},
    {"list is not its item", PAR("allowed_parameters = { x = [\"v\"] }"), NULL, "{\"x\":[\"v\"]}", false},
    {"star allows all", PAR("allowed_parameters = { \"*\" = [] }"), NULL, "{\"x\":1}", true},
    {"star and a bound one", PAR("allowed_parameters = { \"*\" = [] x = [\"v\"] }"), NULL, "{\"x\":\"w\"}", false},
    {"star and a bound one, right", PAR("allowed_parameters = { \"*\" = [] x = [\"v\"] }"), NULL,
     "{\"x\":\"v\",\"y\":1}", true},
    {"no data at all", PAR("allowed_parameters = { x = [\"v\"] }"), NULL, "{}", true},
    {"denied", PAR("denied_parameters = { x = [] }"), NULL, "{\"x\":1}", false},
    {"denied in another case", PAR("denied_parameters = { x = [] }"), NULL, "{\"X\":1}", false},
    {"another one is denied", PAR("denied_parameters = { x = [] }"), NULL, "{\"y\":1}", true},
    {"denied value", PAR("denied_parameters = { x = [\"v\"] }"), NULL, "{\"x\":\"v\"}", false},
    {"another value is denied", PAR("denied_parameters = { x = [\"v\"] }"), NULL, "{\"x\":\"w\"}", true},
    {"star denies all", PAR("denied_parameters = { \"*\" = [] }"), NULL, "{\"x\":1}", false},
    {"star denies nothing of nothing", PAR("denied_parameters = { \"*\" = [] }"), NULL, "{}", true},
    {"denied beats allowed", PAR("allowed_parameters = { x = [] } denied_parameters = { x = [] }"), NULL,
     "{\"x\":1}", false},
    {"glob at the end", PAR("allowed_parameters = { x = [\"v*\"] }"), NULL, "{\"x\":\"vwx\"}", true},
    {"glob at the end, other", PAR("allowed_parameters = { x = [\"v*\"] }"), NULL, "{\"x\":\"wv\"}", false},
    {"glob at the start", PAR("allowed_parameters = { x = [\"*v\"] }"), NULL, "{\"x\":\"wv\"}", true},
    {"glob at the start, other", PAR("allowed_parameters = { x = [\"*v\"] }"), NULL, "{\"x\":\"vw\"}", false},
    {"glob at both ends", PAR("denied_parameters = { x = [\"*v*\"] }"), NULL, "{\"x\":\"avb\"}", false},
    {"star as a value", PAR("allowed_parameters = { x = [\"*\"] }"), NULL, "{\"x\":\"any\"}", true},
    {"two stars", PAR("allowed_parameters = { x = [\"**\"] }"), NULL, "{\"x\":\"any\"}", true},
    {"glob in the middle is a letter", PAR("allowed_parameters = { x = [\"a*b\"] }"), NULL, "{\"x\":\"acb\"}", false},
    {"values of both policies", PAR("allowed_parameters = { x = [\"v\"] }"), PAR("allowed_parameters = { x = [\"w\"] }"),
     "{\"x\":\"w\"}", true},
    {"any value of one policy wins", PAR("allowed_parameters = { x = [\"v\"] }"), PAR("allowed_parameters = { x = [] }"),
     "{\"x\":\"z\"}", true},
    {"a second policy adds a name", PAR("allowed_parameters = { x = [] }"), PAR("allowed_parameters = { y = [] }"),
     "{\"x\":1,\"y\":1}", true},
    {"a second policy without them keeps them", PAR("allowed_parameters = { x = [] }"), PAR(""), "{\"y\":1}", false},
    {"denied of both", PAR("denied_parameters = { x = [\"v\"] }"), PAR("denied_parameters = { x = [\"w\"] }"),
     "{\"x\":\"w\"}", false},
    {"denied for any value wins", PAR("denied_parameters = { x = [\"v\"] }"), PAR("denied_parameters = { x = [] }"),
     "{\"x\":\"z\"}", false},
};

static void test_parameters(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(parameters); i++) {
        struct mln_acl *acl = acl_of(cx, parameters[i].policy, parameters[i].second);
        const struct mln_value *data = NULL;
        if (parameters[i].data != NULL) {
            kit_ok(cx, mln_json_parse(cx, mln_bytes_of(parameters[i].data), &data));
        }
        kit_expect(cx, parameters[i].name, mln_acl_check(cx, acl, MLN_BYTES("a"), U, data, NULL),
                   parameters[i].want ? MLN_E_OK : MLN_E_DENIED);
        /* parameters do not bind reads, nor give what the rule has not */
        kit_ok(cx, mln_acl_check(cx, acl, MLN_BYTES("a"), R, data, NULL));
        kit_refused_with(cx, mln_acl_check(cx, acl, MLN_BYTES("a"), D, data, NULL), MLN_E_DENIED, "permission denied");
        mln_acl_free(acl);
    }
}

static const struct {
    const char *name, *policy, *text;
} refused[] = {
    {"syntax", "path {", "failed to parse policy: At 1:8: object expected closing RBRACE got: EOF"},
    {"unknown capability", CAP("a", "\"fly\""), "failed to parse policy: path \"a\": invalid capability \"fly\""},
    {"capability in capitals", CAP("a", "\"Read\""), "invalid capability \"Read\""},
    {"capability as a number", "path \"a\" { capabilities = [1] }", "invalid capability"},
    {"capabilities as a text", "path \"a\" { capabilities = \"read\" }", "capabilities must be a list"},
    {"old form, unknown", "path \"a\" { policy = \"fly\" }", "path \"a\": invalid policy \"fly\""},
    {"old form, a list", "path \"a\" { policy = [\"read\"] }", "invalid policy"},
    {"unknown key", "path \"a\" { capabilites = [\"read\"] }", "path \"a\": invalid key \"capabilites\""},
    {"unknown top key", "paths \"a\" { }", "invalid key \"paths\""},
    {"what is not enforced", "path \"a\" { mfa_methods = [\"x\"] }", "\"mfa_methods\" is not supported"},
    {"wrapping, no duration", "path \"a\" { min_wrapping_ttl = \"x\" }", "error parsing min_wrapping_ttl"},
    {"wrapping, negative", "path \"a\" { max_wrapping_ttl = -1 }", "error parsing max_wrapping_ttl"},
    {"wrapping, least above most", "path \"a\" { min_wrapping_ttl = 9 max_wrapping_ttl = 8 }", "cannot be less than min_wrapping_ttl"},
    {"pages below zero", "path \"a\" { pagination_limit = -1 }", "pagination_limit must be 0 or more"},
    {"expiration, no time", "path \"a\" { expiration = \"soon\" }", "expiration must be a time"},
    {"expiration of all, a number", "expiration = 5", "expiration must be a time"},
    {"half a template", "path \"a/{{identity.entity.id\" { }", "unbalanced templating characters"},
    {"an unknown template", "path \"a/{{identity.entity.age}}\" { }", "unknown template directive"},
    {"control group", "path \"a\" { control_group = { } }", "\"control_group\" is not supported"},
    {"plus star", CAP("a/+*", "\"read\""), "invalid use of wildcards ('+*' is forbidden)"},
    {"no name", "path { capabilities = [\"read\"] }", "must be a block"},
    {"a value for a block", "path \"a\" { } path = 1", "already set"},
    {"path as a text", "path = \"a\"", "path must have a name"},
    {"allowed as a list", "path \"a\" { allowed_parameters = [\"x\"] }", "allowed_parameters must be a map of lists"},
    {"allowed values as a text", "path \"a\" { allowed_parameters = { x = \"v\" } }", "must be a map of lists"},
    {"denied as a text", "path \"a\" { denied_parameters = \"x\" }", "denied_parameters must be a map of lists"},
    {"required as a map", "path \"a\" { required_parameters = { x = [] } }", "required_parameters must be a list"},
    {"required as numbers", "path \"a\" { required_parameters = [1] }", "required_parameters must be a list"},
    {"JSON that is none", "{\"path\":", "failed to parse policy: json"},
};

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        struct mln_policy *policy = NULL;
        struct mln_err err = mln_policy_parse(cx, mln_bytes_of(refused[i].policy), &policy);
        print_message("%s\n", refused[i].name);
        assert_true(mln_is(err, MLN_E_PARSE) || mln_is(err, MLN_E_INVALID));
        assert_non_null(strstr(cx->text, refused[i].text));
        assert_null(policy);
        mln_cx_clear(cx);
    }
}

/* Limits of the winning rule; of equal ones the lower that is set. */
static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_acl *acl = acl_of(cx,
                                 "path \"a\" { capabilities = [\"read\"] min_wrapping_ttl = \"1m\" max_wrapping_ttl = 120 }\n"
                                 "path \"l/\" { capabilities = [\"list\"] pagination_limit = 50 }",
                                 "path \"a\" { min_wrapping_ttl = 30 max_wrapping_ttl = 0 }\npath \"l/\" { pagination_limit = 9 }");
    struct mln_acl_limits limits;
    mln_acl_limits_of(acl, MLN_BYTES("a"), false, &limits);
    assert_true(limits.min_wrap_s == 30 && limits.max_wrap_s == 120 && limits.pagination == 0);
    mln_acl_limits_of(acl, MLN_BYTES("l/"), true, &limits);
    assert_true(limits.min_wrap_s == 0 && limits.pagination == 9);
    mln_acl_limits_of(acl, MLN_BYTES("other"), false, &limits);
    assert_true(limits.min_wrap_s == 0 && limits.max_wrap_s == 0 && limits.pagination == 0);
    assert_true(mln_acl_until_ns(acl) == INT64_MAX);
    mln_acl_free(acl);
}

static void test_expiration(void **state)
{
    static const char text[] = "name = \"p\"\nexpiration = \"2030-01-01T00:00:00Z\"\n"
                               "path \"a\" { capabilities = [\"read\"] }\n"
                               "path \"b\" { capabilities = [\"read\"] expiration = \"2020-01-01T00:00:00Z\" }\n"
                               "path \"c\" { capabilities = [\"deny\"] expiration = \"2040-01-01T00:00:00Z\" }";
    static const struct {
        const char *now, *until; /* until NULL: for ever */
        unsigned a, b, c;
    } t[] = {
        {"2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z", MLN_CAP_READ, MLN_CAP_READ, MLN_CAP_DENY},
        {"2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z", MLN_CAP_READ, 0, MLN_CAP_DENY},
        {"2030-01-01T00:00:00Z", NULL, 0, 0, 0},
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_policy *policy = NULL;
    kit_ok(cx, mln_policy_parse(cx, mln_bytes_of(text), &policy));
    const struct mln_policy *list[] = {policy};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_acl_for who = {0};
        struct mln_acl *acl = NULL;
        int64_t until_ns = INT64_MAX;
        assert_true(mln_time_parse(mln_bytes_of(t[i].now), &who.now_ns));
        assert_true(t[i].until == NULL || mln_time_parse(mln_bytes_of(t[i].until), &until_ns));
        kit_ok(cx, mln_acl_new_for(cx, list, 1, &who, &acl));
        assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("a")), t[i].a);
        assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("b")), t[i].b);
        assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("c")), t[i].c);
        assert_true(mln_acl_until_ns(acl) == until_ns);
        mln_acl_free(acl);
    }
    mln_policy_free(policy);
}

static void test_too_large(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    while (text.len <= 256u << 10) {
        mln_buf_add_text(&text, "# a comment that fills\n");
    }
    struct mln_policy *policy = NULL;
    kit_refused(cx, mln_policy_parse(cx, mln_buf_bytes(&text), &policy), MLN_E_TOO_LARGE);
}

static void test_root(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_acl *acl = NULL;
    struct mln_bytes rule = {0};
    kit_ok(cx, mln_acl_new(cx, NULL, 0, true, &acl));
    kit_ok(cx, mln_acl_check(cx, acl, MLN_BYTES("sys/seal"), U | S, NULL, &rule));
    kit_text(rule, "root");
    assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("x")) & NO, 0);
    mln_acl_free(acl);
    kit_ok(cx, mln_acl_new(cx, NULL, 0, false, &acl));
    kit_refused(cx, mln_acl_check(cx, acl, MLN_BYTES("sys/seal"), U, NULL, NULL), MLN_E_DENIED);
    kit_refused(cx, mln_acl_check(cx, acl, MLN_BYTES("sys/seal"), 0, NULL, NULL), MLN_E_DENIED);
    mln_acl_free(acl);
}

static void test_names_the_rule(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_acl *acl = acl_of(cx, CAP("a/*", "\"read\"") CAP("a/b", "\"deny\""), NULL);
    struct mln_bytes rule = {0};
    kit_ok(cx, mln_acl_check(cx, acl, MLN_BYTES("a/x"), R, NULL, &rule));
    kit_text(rule, "a/*");
    kit_refused(cx, mln_acl_check(cx, acl, MLN_BYTES("a/b"), R, NULL, &rule), MLN_E_DENIED);
    kit_text(rule, "a/b");
    mln_acl_free(acl);
}

static void test_capability_names(void **state)
{
    static const struct {
        unsigned in;
        bool is_root;
        const char *want;
    } t[] = {
        {0, false, "[\"deny\"]"},
        {NO, false, "[\"deny\"]"},
        {NO | R, false, "[\"deny\"]"},
        {R | L, false, "[\"list\",\"read\"]"},
        {C | R | U | D | L | P | S, false,
         "[\"create\",\"delete\",\"list\",\"patch\",\"read\",\"sudo\",\"update\"]"},
        {R, true, "[\"root\"]"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        mln_json_print(&out, mln_capability_names(cx, t[i].in, t[i].is_root), 0);
        kit_text(mln_buf_bytes(&out), t[i].want);
    }
}

static void test_touches(void **state)
{
    static const struct {
        const char *policy, *prefix;
        bool want;
    } t[] = {
        {CAP("secret/data/a", "\"read\""), "secret/", true},
        {CAP("secret/*", "\"read\""), "secret/", true},
        {CAP("sec*", "\"read\""), "secret/", true},
        {CAP("+/data/*", "\"read\""), "secret/", true},
        {CAP("a/+/c", "\"read\""), "a/b/", true},
        {CAP("secret/", "\"list\""), "secret/", true},
        {CAP("secret/data/a", "\"deny\""), "secret/", false},
        {CAP("secret", "\"read\""), "secret/", false},
        {CAP("secrets/*", "\"read\""), "secret/", false},
        {CAP("a/+/c", "\"read\""), "b/c/", false},
        {CAP("*", "\"read\"") CAP("secret/*", "\"deny\""), "secret/", false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_acl *acl = acl_of(cx, t[i].policy, NULL);
        if (mln_acl_touches(acl, mln_bytes_of(t[i].prefix)) != t[i].want) {
            fail_msg("%s touches %s: %d", t[i].policy, t[i].prefix, !t[i].want);
        }
        mln_acl_free(acl);
    }
}

/* The table agrees with a plain reading of the priority rules on many random pattern sets. */
static bool plain_matches(const char *pattern, const char *path)
{
    for (;;) {
        if (pattern[0] == '*' && pattern[1] == '\0') {
            return true;
        }
        if (pattern[0] == '+' && (pattern[1] == '/' || pattern[1] == '\0')) {
            pattern++;
            while (*path != '\0' && *path != '/') {
                path++;
            }
            continue;
        }
        if (*pattern != *path) {
            return false;
        }
        if (*pattern == '\0') {
            return true;
        }
        pattern++;
        path++;
    }
}

static long plain_wild(const char *p)
{
    for (long i = 0; p[i] != '\0'; i++) {
        if (p[i] == '+' || (p[i] == '*' && p[i + 1] == '\0')) {
            return i;
        }
    }
    return 1 << 20;
}

static int plain_cmp(const char *a, const char *b)
{
    size_t an = strlen(a), bn = strlen(b);
    int a_star = a[an - 1] == '*', b_star = b[bn - 1] == '*', a_plus = 0, b_plus = 0;
    for (size_t i = 0; i < an; i++) {
        a_plus += a[i] == '+';
    }
    for (size_t i = 0; i < bn; i++) {
        b_plus += b[i] == '+';
    }
    if (plain_wild(a) != plain_wild(b)) {
        return plain_wild(a) > plain_wild(b) ? 1 : -1;
    }
    if (a_star != b_star) {
        return a_star ? -1 : 1;
    }
    if (a_plus != b_plus) {
        return a_plus > b_plus ? -1 : 1;
    }
    return an != bn ? (an > bn ? 1 : -1) : strcmp(a, b);
}

static void random_pattern(struct mln_prng *g, bool is_path, char to[32])
{
    static const char *const parts[] = {"a", "b", "ab", "+"};
    size_t n = 1 + mln_prng_below(g, 3), at = 0;
    for (size_t i = 0; i < n; i++) {
        const char *part = parts[mln_prng_below(g, is_path ? 3 : 4)];
        at += (size_t)snprintf(to + at, 32 - at, "%s%s", i > 0 ? "/" : "", part);
    }
    if (!is_path && to[at - 1] != '+' && mln_prng_below(g, 3) == 0) {
        snprintf(to + at, 32 - at, "*");
    }
}

static void one_random_set(struct mln_cx *cx, struct mln_prng *g)
{
    char patterns[8][32], path[32];
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < 8; i++) {
        random_pattern(g, false, patterns[i]);
        mln_buf_add_format(&text, "path \"%s\" { capabilities = [\"read\"] }\n", patterns[i]);
    }
    mln_buf_add_byte(&text, 0);
    struct mln_acl *acl = acl_of(cx, (const char *)text.ptr, NULL);
    for (size_t j = 0; j < 20; j++) {
        random_pattern(g, true, path);
        const char *best = NULL;
        for (size_t i = 0; i < 8; i++) {
            if (plain_matches(patterns[i], path) && (best == NULL || plain_cmp(patterns[i], best) > 0)) {
                best = patterns[i];
            }
        }
        struct mln_bytes rule = {0};
        struct mln_err err = mln_acl_check(cx, acl, mln_bytes_of(path), R, NULL, &rule);
        assert_int_equal(mln_failed(err), best == NULL);
        mln_cx_clear(cx);
        kit_text(rule, best != NULL ? best : "");
    }
    mln_acl_free(acl);
}

static void test_random_sets(void **state)
{
    struct mln_prng g;
    mln_prng_seed(&g, 20261124);
    for (size_t i = 0; i < 500; i++) {
        MLN_AUTO(kit_cx_drop) struct mln_cx *cx = kit_cx_new();
        one_random_set(cx, &g);
    }
    (void)state;
}

static struct mln_err build(struct mln_cx *cx, void *arg)
{
    struct mln_policy *policy = NULL;
    struct mln_acl *acl = NULL;
    (void)arg;
    MLN_TRY(mln_policy_parse(cx, MLN_BYTES(CAP("a/*", "\"read\"") CAP("b", "\"list\"")), &policy));
    const struct mln_policy *list = policy;
    struct mln_err err = mln_acl_new(cx, &list, 1, false, &acl);
    mln_policy_free(policy);
    mln_acl_free(acl);
    return err;
}

static void test_allocation_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, build, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_rules),         KIT_TEST(test_lists),   KIT_TEST(test_parameters),
        KIT_TEST(test_refused),       KIT_TEST(test_limits),    KIT_TEST(test_expiration), KIT_TEST(test_too_large), KIT_TEST(test_root),
        KIT_TEST(test_names_the_rule), KIT_TEST(test_capability_names), KIT_TEST(test_random_sets),
        KIT_TEST(test_allocation_faults), KIT_TEST(test_touches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
