/* SPDX-License-Identifier: Apache-2.0 */
/* Gates beside release.yaml, exceptions, and decisions that are replayed. */
#include "kit/kit.h"

#include "assure/decision.h"
#include "assure/exception.h"
#include "assure/gates.h"
#include "base/json.h"

#define NOW INT64_C(1790000000000000000) /* 2026-09-21 */

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

/* ---- exceptions ---- */

#define E(more)                                                                                    \
    "[{\"id\":\"EX-1\",\"gate\":\"licences\",\"owner\":\"alice\",\"reason\":\"r\",\"expires\":"    \
    "\"2026-12-31\"" more "}]"

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
} exceptions[] = {
    {"one", E(""), MLN_E_OK, NULL},
    {"in a mapping", "{\"exceptions\":" E("") "}", MLN_E_OK, NULL},
    {"a time",
     "[{\"id\":\"a\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2026-12-31T10:"
     "00:00+02:00\"}]",
     MLN_E_OK, NULL},
    {"none", "[]", MLN_E_OK, NULL},
    {"no list", "{}", MLN_E_INVALID, "a list"},
    {"more beside it", "{\"exceptions\":[],\"x\":1}", MLN_E_INVALID, "one key"},
    {"no mapping", "[1]", MLN_E_INVALID, "exception 1 is not a mapping"},
    {"misspelt", E(",\"until\":1"), MLN_E_INVALID, "no key \"until\""},
    {"no owner", "[{\"id\":\"a\",\"gate\":\"g\",\"reason\":\"r\",\"expires\":\"2026-12-31\"}]",
     MLN_E_INVALID, "owner is missing"},
    {"blank reason",
     "[{\"id\":\"a\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\" \",\"expires\":\"2026-12-31\"}]",
     MLN_E_INVALID, "reason"},
    {"no end", "[{\"id\":\"a\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\"r\"}]", MLN_E_INVALID,
     "each has an end"},
    {"no day",
     "[{\"id\":\"a\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2026-13-31\"}]",
     MLN_E_INVALID, "neither a day"},
    {"for ever",
     "[{\"id\":\"a\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2099-01-01\"}]",
     MLN_E_INVALID, "366 days"},
    {"id is a path",
     "[{\"id\":\"a/"
     "b\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2026-12-31\"}]",
     MLN_E_INVALID, "id is no name"},
    {"from approvals",
     "[{\"id\":\"a\",\"gate\":\"approvals\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2026-12-"
     "31\"}]",
     MLN_E_INVALID, "excused from approvals"},
    {"an id twice",
     "[{\"id\":\"a\",\"gate\":\"g\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2026-12-31\"},"
     "{\"id\":\"a\",\"gate\":\"h\",\"owner\":\"o\",\"reason\":\"r\",\"expires\":\"2026-12-31\"}]",
     MLN_E_INVALID, "taken by another"},
};

static void test_exceptions(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(exceptions); i++) {
        const struct mln_value *list = NULL;
        struct mln_err err = mln_exceptions_parse(cx, json(cx, exceptions[i].text), NOW, &list);
        kit_expect_at(cx, err, exceptions[i].code, exceptions[i].part, exceptions[i].name, __FILE__,
                      __LINE__);
    }
}

/* ---- verdicts ---- */

#define LICENCES                                                                                   \
    "package merlon.gates.licences\ndeny contains {\"msg\": sprintf(\"%v is not approved\", "      \
    "[l]), \"line\": 4} if {\n"                                                                    \
    " l := object.get(input.card, \"license\", \"none\")\n not l in {\"mit\"}\n}\n"
#define OLD                                                                                        \
    "[{\"id\":\"EX-0\",\"gate\":\"licences\",\"owner\":\"bob\",\"reason\":\"r\",\"expires\":"      \
    "\"2026-01-01\"}]"
#define NARROW                                                                                     \
    "[{\"id\":\"EX-2\",\"gate\":\"licences\",\"match\":\"apache*\",\"owner\":\"a\",\"reason\":"    \
    "\"r\",\"expires\":\"2026-12-31\"}]"

static const struct {
    const char *name, *release, *policy, *input, *exceptions;
    const char *verdict, *level;
    size_t n_expired, n_unused;
    enum mln_code code;
    const char *part;
} cases[] = {
    {"passes", NULL, LICENCES, "{\"card\":{\"license\":\"mit\"}}", NULL, "pass", NULL, 0, 0,
     MLN_E_OK, NULL},
    {"denied", NULL, LICENCES, "{\"card\":{\"license\":\"gpl\"}}", NULL, "fail", "deny", 0, 0,
     MLN_E_OK, NULL},
    {"excepted", NULL, LICENCES, "{\"card\":{\"license\":\"gpl\"}}", E(""), "pass", "excepted", 0,
     0, MLN_E_OK, NULL},
    {"the exception has expired", NULL, LICENCES, "{\"card\":{\"license\":\"gpl\"}}", OLD, "fail",
     "deny", 1, 0, MLN_E_OK, NULL},
    {"the exception is of another message", NULL, LICENCES, "{\"card\":{\"license\":\"gpl\"}}",
     NARROW, "fail", "deny", 0, 1, MLN_E_OK, NULL},
    {"an exception that is not needed", NULL, LICENCES, "{\"card\":{\"license\":\"mit\"}}", E(""),
     "pass", NULL, 0, 1, MLN_E_OK, NULL},
    {"a warning passes", NULL, "package merlon.gates.w\nwarn contains \"hm\"", "{}", NULL, "pass",
     "warn", 0, 0, MLN_E_OK, NULL},
    {"with release.yaml", "{\"model\":\"m\",\"scan\":\"skip\",\"signature\":\"skip\"}", LICENCES,
     "{\"card\":{\"license\":\"mit\"}}", NULL, "waiting", NULL, 0, 0, MLN_E_OK, NULL},
    {"a check of release.yaml", "{\"model\":\"m\",\"signature\":\"skip\"}", NULL, "{}", NULL,
     "fail", "deny", 0, 0, MLN_E_OK, NULL},
    {"a check of release.yaml, excepted",
     "{\"model\":\"m\",\"signature\":\"skip\",\"approvals\":{\"count\":0}}", NULL, "{}",
     "[{\"id\":\"s\",\"gate\":\"scan\",\"owner\":\"a\",\"reason\":\"r\",\"expires\":\"2026-12-31\"}"
     "]",
     "pass", "excepted", 0, 0, MLN_E_OK, NULL},
    {"nothing to judge by", NULL, "package other\ndeny contains 1", "{}", NULL, NULL, NULL, 0, 0,
     MLN_E_UNJUDGED, "nothing to judge by"},
    {"in release's place", "{\"model\":\"m\"}",
     "package merlon.gates.release\ndecision := {\"verdict\": \"pass\"}", "{}", NULL, NULL, NULL, 0,
     0, MLN_E_INVALID, "no policy may have rules below data.merlon.gates.release"},
    {"a gate that does not compile", NULL, "package merlon.gates.x\ndeny if", "{}", NULL, NULL,
     NULL, 0, 0, MLN_E_INVALID, "gates/x.rego:"},
};

static struct mln_err judge(struct mln_cx *cx, size_t i, const struct mln_value *masks,
                            const struct mln_value **ret)
{
    struct mln_gate *gate = MLN_NEW(cx, struct mln_gate);
    struct mln_rego_source *source = MLN_NEW(cx, struct mln_rego_source);
    struct mln_gates g = {.input = json(cx, cases[i].input), .now_ns = NOW, .masks = masks};
    MLN_TRY(mln_cx_err(cx));
    if (cases[i].release != NULL) {
        MLN_TRY(mln_gate_parse(cx, json(cx, cases[i].release), gate));
        g.gate = gate;
    }
    if (cases[i].policy != NULL) {
        *source =
            (struct mln_rego_source){.name = "gates/x.rego", .text = mln_bytes_of(cases[i].policy)};
        g.sources = source;
        g.n_sources = 1;
    }
    if (cases[i].exceptions != NULL) {
        MLN_TRY(mln_exceptions_parse(cx, json(cx, cases[i].exceptions), NOW, &g.exceptions));
    }
    return mln_gates_judge(cx, &g, ret);
}

static void test_verdicts(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(cases); i++) {
        const struct mln_value *v = NULL;
        kit_expect_at(cx, judge(cx, i, NULL, &v), cases[i].code, cases[i].part, cases[i].name,
                      __FILE__, __LINE__);
        if (cases[i].code != MLN_E_OK) {
            continue;
        }
        const struct mln_value *first = mln_item(mln_get(v, "findings"), 0);
        if (!mln_is_text(mln_get(v, "verdict"), cases[i].verdict) ||
            (cases[i].level == NULL ? first != NULL
                                    : !mln_is_text(mln_get(first, "level"), cases[i].level)) ||
            mln_len(mln_get(v, "expired")) != cases[i].n_expired ||
            mln_len(mln_get(v, "unused")) != cases[i].n_unused) {
            MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
            mln_json_print(&text, v, MLN_JSON_COMPACT);
            fail_msg("%s: %.*s", cases[i].name, MLN_FMT(mln_buf_bytes(&text)));
        }
    }
}

/* ---- replay ---- */

/* A decision as it comes back from a file. */
static struct mln_value *written(struct mln_cx *cx, const struct mln_value *decision)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const struct mln_value *v = NULL;
    mln_json_print(&text, decision, MLN_JSON_PRETTY);
    kit_ok(cx, mln_json_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&text)), &v));
    return mln_value_dup(cx, v);
}

static void expect_outcome(struct mln_cx *cx, const struct mln_value *decision, const char *outcome,
                           const char *why)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_decision_replay(cx, decision, &v));
    struct mln_bytes text = mln_get_bytes(mln_get(v, "why"));
    if (!mln_is_text(mln_get(v, "outcome"), outcome) ||
        mln_bytes_find_bytes(text, mln_bytes_of(why)) == text.len) {
        fail_msg("wanted %s, %s: %.*s", outcome, why, MLN_FMT(text));
    }
}

static void test_replay(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(cases); i++) {
        const struct mln_value *v = NULL;
        if (cases[i].code == MLN_E_OK) {
            kit_ok(cx, judge(cx, i, NULL, &v));
            expect_outcome(cx, written(cx, mln_get(v, "decision")), "equal", "the same");
        }
    }
    const struct mln_value *v = NULL;
    kit_ok(cx, judge(cx, 1, NULL, &v));
    struct mln_value *d = written(cx, mln_get(v, "decision"));
    mln_put(cx, d, "input", json(cx, "{\"card\":{\"license\":\"mit\"}}"));
    expect_outcome(cx, d, "different", "the input is not");
    const char *digest = NULL; /* somebody who mends the digest is found by the answer */
    kit_ok(cx, mln_digest_value(cx, mln_get(d, "input"), &digest));
    mln_put_text(cx, d, "input_digest", digest);
    expect_outcome(cx, d, "different", "say something else");
    d = written(cx, mln_get(v, "decision"));
    mln_put(cx, d, "said", mln_array(cx));
    expect_outcome(cx, d, "different", "the result is not");
}

static void test_masks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *v = NULL;
    kit_ok(cx, judge(cx, 1, json(cx, "[\"/card/license\",\"/nothing\"]"), &v));
    const struct mln_value *d = mln_get(v, "decision");
    assert_int_equal(mln_len(mln_get(d, "masked")), 1);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, mln_get(d, "input"), MLN_JSON_COMPACT);
    assert_true(mln_bytes_is(mln_buf_bytes(&text), "{\"card\":{\"license\":\"(masked)\"}}"));
    expect_outcome(cx, written(cx, d), "unjudged", "masked");
    struct mln_value *masked = NULL, *hit = NULL;
    const struct mln_value *in = json(cx, "{\"a\":[{\"v\":1,\"n\":2},{\"v\":3}]}");
    kit_ok(cx, mln_decision_mask(cx, in, json(cx, "[\"/a/*/v\"]"), &masked, &hit));
    assert_true(mln_value_eq(
        masked, json(cx, "{\"a\":[{\"v\":\"(masked)\",\"n\":2},{\"v\":\"(masked)\"}]}")));
    kit_expect(cx, "no path", mln_decision_mask(cx, in, json(cx, "[\"a\"]"), &masked, &hit),
               MLN_E_INVALID);
}

static const struct {
    const char *name, *text;
} no_decisions[] = {
    {"a list", "[]"},
    {"empty", "{}"},
    {"no time", "{\"input\":{}}"},
    {"no modules",
     "{\"now_ns\":1,\"input\":{},\"policy\":{\"prefix\":\"data\",\"rules\":[\"deny\"]}}"},
    {"no rules",
     "{\"now_ns\":1,\"input\":{},\"policy\":{\"prefix\":\"data\",\"rules\":[],\"modules\":[]}}"},
    {"no name", "{\"now_ns\":1,\"input\":{},\"policy\":{\"prefix\":\"data\",\"rules\":[\"deny\"],"
                "\"modules\":[{}]}}"},
};

static void test_no_decision(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(no_decisions); i++) {
        const struct mln_value *v = NULL;
        kit_expect(cx, no_decisions[i].name,
                   mln_decision_replay(cx, json(cx, no_decisions[i].text), &v), MLN_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_exceptions), KIT_TEST(test_verdicts),    KIT_TEST(test_replay),
        KIT_TEST(test_masks),      KIT_TEST(test_no_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
