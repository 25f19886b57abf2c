/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of policies asked together: which rules, what they say, what is refused, budgets, lookups, digests. */
#include "kit/kit.h"

#include "assure/rules.h"
#include "base/json.h"

static const char *const heads[] = {"deny", "warn", "notes*", NULL};

static struct mln_err make(struct mln_cx *cx, const char *text, struct mln_rules **ret)
{
    struct mln_rego_source source = {.name = "a.rego", .text = mln_bytes_of(text)};
    struct mln_rules_options o = {
        .modules = &source, .n_modules = 1, .prefix = "data.t", .heads = heads, .own_path = "data.t.own", .own_file = "own.rego"};
    return mln_rules_new(cx, &o, ret);
}

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
    size_t n;
} sets[] = {
    {"none", "package t.a\nx := 1\n", MLN_E_OK, NULL, 0},
    {"one rule of two bodies", "package t.a\ndeny contains 1\ndeny contains 2\n", MLN_E_OK, NULL, 1},
    {"two rules", "package t.a\ndeny contains 1\nwarn contains 2\n", MLN_E_OK, NULL, 2},
    {"the prefix itself", "package t\ndeny contains 1\n", MLN_E_OK, NULL, 1},
    {"a key behind a rule that takes none", "package t.a\ndeny[\"x\"] := 1\n", MLN_E_OK, NULL, 0},
    {"keys behind a rule that takes them", "package t.a\nnotes[\"x\"] := 1\nnotes[\"y\"] := 2\n", MLN_E_OK, NULL, 1},
    {"another prefix", "package tt.a\ndeny contains 1\n", MLN_E_OK, NULL, 0},
    {"a function is not asked", "package t.a\ndeny(x) := x\n", MLN_E_OK, NULL, 0},
    {"nested packages", "package t.a.b\ndeny contains 1\n", MLN_E_OK, NULL, 1},
    {"no module", "nothing", MLN_E_INVALID, "a.rego:1:1: rego_parse_error", 0},
    {"unsafe", "package t.a\ndeny contains x if y\n", MLN_E_INVALID, "rego_unsafe_var_error", 0},
    {"another's package", "package t.own\ndeny contains 1\n", MLN_E_INVALID, "no policy may have rules below data.t.own", 0},
    {"below another's package", "package t.own.x\nq := 1\n", MLN_E_INVALID, "no policy may have rules below", 0},
    {"beside another's package", "package t.owner\ndeny contains 1\n", MLN_E_OK, NULL, 1},
};

static void test_sets(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(sets); i++) {
        MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
        struct mln_err err = make(cx, sets[i].text, &rules);
        kit_expect_at(cx, err, sets[i].code, sets[i].part, sets[i].name, __FILE__, __LINE__);
        assert_int_equal(rules == NULL ? 0 : mln_rules_count(rules), sets[i].n);
    }
}

static enum mln_rego_lookup answer(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret)
{
    (void)with;
    assert_true(n == 1 || mln_bytes_is(mln_bytes_of(name), "merlon.evidence"));
    if (mln_bytes_is(args[0], "bad")) {
        *ret = MLN_BYTES("the cache is old");
        return MLN_REGO_FAILED;
    }
    if (!mln_bytes_is(args[0], "known")) {
        return MLN_REGO_ABSENT;
    }
    *ret = MLN_BYTES("{\"verdict\":\"released\"}");
    return MLN_REGO_FOUND;
}

static const struct {
    const char *name, *text, *input;
    enum mln_code code;
    const char *part; /* of the messages as JSON, or of the error */
} asked[] = {
    {"undefined says nothing", "package t.a\ndeny if input.x", "{}", MLN_E_OK, "[]"},
    {"true", "package t.a\ndeny if input.x", "{\"x\":1}", MLN_E_OK, "\"msg\":\"deny holds\""},
    {"false", "package t.a\ndeny := false", "{}", MLN_E_OK, "[]"},
    {"a text", "package t.a\ndeny := \"no\"", "{}", MLN_E_OK, "[{\"package\":\"a\",\"rule\":\"deny\",\"msg\":\"no\"}]"},
    {"a set", "package t.a\ndeny contains \"x\"\ndeny contains \"y\"", "{}", MLN_E_OK, "\"msg\":\"y\""},
    {"details", "package t.a\ndeny contains {\"msg\": \"m\", \"line\": 3}", "{}", MLN_E_OK, "\"msg\":\"m\",\"details\":{\"line\":3}"},
    {"message", "package t.a\ndeny contains {\"message\": \"m\"}", "{}", MLN_E_OK, "\"msg\":\"m\"}"},
    {"no text in it", "package t.a\ndeny contains {\"x\": 1}", "{}", MLN_E_OK, "\"msg\":\"deny holds\""},
    {"an input of another type", "package t.a\ndeny contains input.a.b", "[1]", MLN_E_OK, "[]"},
    {"the time is given", "package t.a\ndeny contains sprintf(\"%d\", [time.now_ns()])", "{}", MLN_E_OK, "\"msg\":\"77\""},
    {"a conflict", "package t.a\ndeny := 1\ndeny := 2", "{}", MLN_E_INVALID, "eval_conflict_error: rule a.deny"},
    {"a budget", "package t.a\ndeny contains x if {\n x := numbers.range(1, 100000)[_]\n y := numbers.range(1, 100000)[_]\n x == y\n}",
     "{}", MLN_E_TIMEOUT, "eval_cancel_error: rule a.deny"},
    {"found", "package t.a\ndeny contains merlon.model.verdict(input.d).verdict", "{\"d\":\"known\"}", MLN_E_OK, "\"msg\":\"released\""},
    {"absent", "package t.a\ndeny contains \"unknown\" if not merlon.model.verdict(input.d)", "{\"d\":\"other\"}", MLN_E_OK, "unknown"},
    {"not to be said is neither", "package t.a\ndeny contains \"unknown\" if not merlon.approval(input.d)", "{\"d\":\"bad\"}",
     MLN_E_INVALID, "eval_lookup_error: rule a.deny: merlon.approval: the cache is old"},
    {"an argument of another type", "package t.a\ndeny contains \"x\" if not merlon.evidence(input.d, \"scan\")", "{\"d\":7}", MLN_E_OK,
     "\"msg\":\"x\""},
    {"a test's stand-in", "package t.a\ndeny contains d if d := merlon.evidence(\"bad\", \"scan\") with merlon.evidence as \"stand-in\"",
     "{}", MLN_E_OK, "stand-in"},
};

static void test_asked(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(asked); i++) {
        MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        const struct mln_value *said = NULL, *messages = NULL;
        kit_ok(cx, make(cx, asked[i].text, &rules));
        struct mln_rules_question q = {
            .input = json(cx, asked[i].input), .now_ns = 77, .lookup = answer, .budget.steps_max = 1000000};
        struct mln_err err = mln_rules_ask(rules, cx, &q, &said);
        bool is_lookup = mln_rules_is_lookup(cx);
        kit_expect_at(cx, err, asked[i].code, asked[i].code == MLN_E_OK ? NULL : asked[i].part, asked[i].name, __FILE__, __LINE__);
        assert_int_equal(is_lookup, mln_bytes_starts(mln_bytes_of(asked[i].part), MLN_BYTES("eval_lookup_error")));
        if (asked[i].code != MLN_E_OK) {
            continue;
        }
        kit_ok(cx, mln_rules_messages(cx, said, NULL, &messages));
        mln_json_print(&text, messages, MLN_JSON_COMPACT);
        if (mln_bytes_find_bytes(mln_buf_bytes(&text), mln_bytes_of(asked[i].part)) == text.len) {
            fail_msg("%s: %.*s", asked[i].name, MLN_FMT(mln_buf_bytes(&text)));
        }
    }
}

/* Where one file ends and the next begins counts, their order does not. */
static void test_digests(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_rego_source a[] = {{"a", MLN_BYTES("xy")}, {"b", MLN_BYTES("z")}};
    struct mln_rego_source b[] = {{"b", MLN_BYTES("z")}, {"a", MLN_BYTES("xy")}};
    struct mln_rego_source c[] = {{"a", MLN_BYTES("x")}, {"b", MLN_BYTES("yz")}};
    const char *da = NULL, *db = NULL, *dc = NULL, *v = NULL, *w = NULL;
    kit_ok(cx, mln_digest_sources(cx, a, 2, &da));
    kit_ok(cx, mln_digest_sources(cx, b, 2, &db));
    kit_ok(cx, mln_digest_sources(cx, c, 2, &dc));
    assert_string_equal(da, db);
    assert_string_not_equal(da, dc);
    kit_ok(cx, mln_digest_value(cx, json(cx, "{\"a\":1,\"b\":2}"), &v));
    kit_ok(cx, mln_digest_value(cx, json(cx, "{\"b\":2,\"a\":1}"), &w));
    assert_string_equal(v, w);
    /* printf '{"a":1,"b":2}' | sha256sum */
    assert_string_equal(v, "sha256:43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_sets),
        KIT_TEST(test_asked),
        KIT_TEST(test_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
