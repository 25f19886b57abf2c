/* SPDX-License-Identifier: Apache-2.0 */
/* The gate: its language and what is refused, verdicts on evidence, the committed example. */
#include "kit/kit.h"

#include <stdio.h>

#include "assure/gate.h"
#include "base/json.h"
#include "base/yaml.h"

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

#define FAIR "\"predictions\":\"p.csv\",\"label\":\"y\",\"prediction\":\"p\",\"group\":\"g\""

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
} gates[] = {
    {"least", "{\"model\":\"m\"}", MLN_E_OK, NULL},
    {"all",
     "{\"model\":\"a-b_c.1\",\"scan\":\"clean\",\"signature\":\"required\",\"fairness\":{" FAIR
     ",\"metric\":\"equalized_odds\",\"minimum\":1,\"use\":\"lower\",\"min_group\":0},"
     "\"approvals\":{\"count\":10}}",
     MLN_E_OK, NULL},
    {"skips",
     "{\"model\":\"m\",\"scan\":\"skip\",\"signature\":\"skip\",\"approvals\":{\"count\":0}}",
     MLN_E_OK, NULL},
    {"group list",
     "{\"model\":\"m\",\"fairness\":{\"predictions\":\"a/"
     "p.csv\",\"label\":\"y\",\"prediction\":\"p\",\"group\":[\"g\",\"h\"]}}",
     MLN_E_OK, NULL},
    {"no mapping", "[]", MLN_E_INVALID, "not a mapping"},
    {"no model", "{}", MLN_E_INVALID, "model is missing"},
    {"model is a number", "{\"model\":5}", MLN_E_INVALID, "model is not a text"},
    {"model is a path", "{\"model\":\"a/b\"}", MLN_E_INVALID, "no name"},
    {"model begins with a dot", "{\"model\":\".m\"}", MLN_E_INVALID, "no name"},
    {"misspelt check", "{\"model\":\"m\",\"fairnes\":{}}", MLN_E_INVALID, "no key \"fairnes\""},
    {"misspelt key inside", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"min\":0.9}}", MLN_E_INVALID,
     "fairness has no key \"min\""},
    {"misspelt approvals", "{\"model\":\"m\",\"approvals\":{\"number\":1}}", MLN_E_INVALID,
     "approvals has no key \"number\""},
    {"scan is other", "{\"model\":\"m\",\"scan\":\"ok\"}", MLN_E_INVALID, "scan is neither"},
    {"scan is a boolean", "{\"model\":\"m\",\"scan\":true}", MLN_E_INVALID, "scan is neither"},
    {"signature is other", "{\"model\":\"m\",\"signature\":\"no\"}", MLN_E_INVALID,
     "signature is neither"},
    {"gates are required", "{\"model\":\"m\",\"gates\":\"required\"}", MLN_E_OK, NULL},
    {"gates is other", "{\"model\":\"m\",\"gates\":\"maybe\"}", MLN_E_INVALID, "gates is neither"},
    {"fairness is a text", "{\"model\":\"m\",\"fairness\":\"yes\"}", MLN_E_INVALID,
     "fairness is not a mapping"},
    {"no predictions", "{\"model\":\"m\",\"fairness\":{\"label\":\"y\"}}", MLN_E_INVALID,
     "fairness.predictions is missing"},
    {"predictions elsewhere", "{\"model\":\"m\",\"fairness\":{\"predictions\":\"../p.csv\"}}",
     MLN_E_INVALID, "no path inside"},
    {"absolute predictions", "{\"model\":\"m\",\"fairness\":{\"predictions\":\"/p.csv\"}}",
     MLN_E_INVALID, "no path inside"},
    {"a folder", "{\"model\":\"m\",\"fairness\":{\"predictions\":\"p/\"}}", MLN_E_INVALID,
     "no path inside"},
    {"no group",
     "{\"model\":\"m\",\"fairness\":{\"predictions\":\"p\",\"label\":\"y\",\"prediction\":\"p\"}}",
     MLN_E_INVALID, "fairness.group is missing"},
    {"empty group list",
     "{\"model\":\"m\",\"fairness\":{\"predictions\":\"p\",\"label\":\"y\",\"prediction\":\"p\","
     "\"group\":[]}}",
     MLN_E_INVALID, "fairness.group"},
    {"unknown metric", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"metric\":\"justice\"}}",
     MLN_E_INVALID, "\"justice\" is not known"},
    {"minimum above 1", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"minimum\":80}}", MLN_E_INVALID,
     "from 0 to 1"},
    {"minimum is a text", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"minimum\":\"0.8\"}}",
     MLN_E_INVALID, "from 0 to 1"},
    {"use is other", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"use\":\"upper\"}}", MLN_E_INVALID,
     "fairness.use"},
    {"min_group is negative", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"min_group\":-1}}",
     MLN_E_INVALID, "min_group"},
    {"half an approval", "{\"model\":\"m\",\"approvals\":{\"count\":0.5}}", MLN_E_INVALID,
     "approvals.count"},
    {"eleven approvals", "{\"model\":\"m\",\"approvals\":{\"count\":11}}", MLN_E_INVALID,
     "approvals.count"},
};

static void test_language(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(gates); i++) {
        struct mln_gate gate;
        struct mln_err err = mln_gate_parse(cx, json(cx, gates[i].text), &gate);
        kit_expect_at(cx, err, gates[i].code, gates[i].part, gates[i].name, __FILE__, __LINE__);
    }
    struct mln_gate gate;
    kit_ok(cx, mln_gate_parse(cx, json(cx, gates[0].text), &gate));
    assert_true(gate.wants_clean_scan && gate.wants_signature && !gate.wants_fairness);
    assert_int_equal(gate.approvals, 1);
    kit_ok(cx, mln_gate_parse(cx, json(cx, gates[1].text), &gate));
    assert_int_equal(gate.fair.use, MLN_FAIR_LOWER);
    assert_int_equal(gate.fair.min_group, 0);
    kit_ok(cx, mln_gate_parse(cx, json(cx, gates[3].text), &gate));
    assert_int_equal(gate.fair.n_groups, 2);
    assert_true(gate.fair.minimum > 0.79 && gate.fair.minimum < 0.81);
}

/* ---- verdicts ---- */

#define SCAN "\"scan\":{\"verdict\":\"clean\",\"files\":3}"
#define SIG  "\"signature\":{\"verdict\":\"ok\",\"root\":\"r1\"}"
#define NUMBERS(ratio, n)                                                                          \
    "\"fairness\":{\"predictions\":\"p.csv\",\"columns\":{\"label\":\"y\",\"prediction\":\"p\","   \
    "\"groups\":[\"g\"]},"                                                                         \
    "\"groups\":{\"A\":{\"n\":100},\"B\":{\"n\":" n                                                \
    "}},\"verdict\":\"pass\",\"disparity\":{\"adverse_impact_ratio\":{\"ratio\":" ratio            \
    ",\"ratio_interval\":[0.7,0.95]}}}"
#define AUTHOR "\"root\":\"r1\",\"author\":{\"id\":\"alice\",\"name\":\"Alice\"}"
#define BOB    "\"approvals\":[{\"id\":\"bob\",\"name\":\"Bob\",\"root\":\"r1\"}]"
#define GATE   "{\"model\":\"m\",\"fairness\":{" FAIR "}}"

static const struct {
    const char *name, *gate, *evidence, *verdict, *failing, *part;
} cases[] = {
    {"all good", GATE, "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.9", "50") "," BOB "}", "pass",
     NULL, NULL},
    {"nobody approved", GATE, "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.9", "50") "}", "waiting",
     "approvals", "none of 1"},
    {"the author approved", GATE,
     "{" AUTHOR "," SCAN "," SIG
     "," NUMBERS("0.9", "50") ",\"approvals\":[{\"id\":\"alice\",\"root\":\"r1\"}]}",
     "waiting", "approvals", "none"},
    {"an approval without a person", GATE,
     "{" AUTHOR "," SCAN "," SIG
     "," NUMBERS("0.9", "50") ",\"approvals\":[{\"id\":\"\",\"name\":\"root\",\"root\":\"r1\"}]}",
     "waiting", "approvals", "none"},
    {"an approval of another model", GATE,
     "{" AUTHOR "," SCAN "," SIG
     "," NUMBERS("0.9", "50") ",\"approvals\":[{\"id\":\"bob\",\"root\":\"r0\"}]}",
     "waiting", "approvals", "none"},
    {"an unknown author", GATE,
     "{\"root\":\"r1\"," SCAN "," SIG "," NUMBERS("0.9", "50") "," BOB "}", "waiting", "approvals",
     "none"},
    {"one person twice", "{\"model\":\"m\",\"approvals\":{\"count\":2}}",
     "{" AUTHOR "," SCAN "," SIG ",\"approvals\":[{\"id\":\"bob\",\"name\":\"Bob\",\"root\":\"r1\"}"
     ",{\"id\":\"bob\",\"name\":\"Bob\",\"root\":\"r1\"}]}",
     "waiting", "approvals", "1 of 2 given, by Bob"},
    {"two people", "{\"model\":\"m\",\"approvals\":{\"count\":2}}",
     "{" AUTHOR "," SCAN "," SIG ",\"approvals\":[{\"id\":\"bob\",\"name\":\"Bob\",\"root\":\"r1\"}"
     ",{\"id\":\"eve\",\"name\":\"Eve\",\"root\":\"r1\"}]}",
     "pass", NULL, NULL},
    {"a finding", GATE,
     "{" AUTHOR ",\"scan\":{\"verdict\":\"malicious\",\"findings\":[{\"file\":\"model.pkl\","
     "\"message\":\"calls posix.system\"}]}," SIG "," NUMBERS("0.9", "50") "," BOB "}",
     "fail", "scan", "model.pkl: calls posix.system"},
    {"not scanned", GATE, "{" AUTHOR "," SIG "," NUMBERS("0.9", "50") "," BOB "}", "fail", "scan",
     "no scan was shown"},
    {"unsupported is not clean", GATE,
     "{" AUTHOR ",\"scan\":{\"verdict\":\"unsupported\"}," SIG "," NUMBERS("0.9", "50") "," BOB "}",
     "fail", "scan", "unsupported"},
    {"not signed", GATE, "{" AUTHOR "," SCAN "," NUMBERS("0.9", "50") "," BOB "}", "fail",
     "signature", "no signature"},
    {"a bad signature", GATE,
     "{" AUTHOR "," SCAN
     ",\"signature\":{\"verdict\":\"refused\",\"root\":\"r1\",\"error\":\"different a\"}," NUMBERS(
         "0.9", "50") "," BOB "}",
     "fail", "signature", "different a"},
    {"a signature of another model", GATE,
     "{" AUTHOR "," SCAN
     ",\"signature\":{\"verdict\":\"ok\",\"root\":\"r2\"}," NUMBERS("0.9", "50") "," BOB "}",
     "fail", "signature", "another model"},
    {"exactly the limit", GATE, "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.8", "50") "," BOB "}",
     "pass", NULL, NULL},
    {"below the limit, whatever it says itself", GATE,
     "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.79", "50") "," BOB "}", "fail", "fairness",
     "is 0.7900, below 0.8000"},
    {"the low end", "{\"model\":\"m\",\"fairness\":{" FAIR ",\"use\":\"lower\"}}",
     "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.9", "50") "," BOB "}", "fail", "fairness",
     "low end of adverse_impact_ratio is 0.7000"},
    {"a small group", GATE, "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.9", "29") "," BOB "}",
     "fail", "fairness", "group \"B\" has 29 rows"},
    {"no number", GATE, "{" AUTHOR "," SCAN "," SIG "," NUMBERS("null", "50") "," BOB "}", "fail",
     "fairness", "insufficient"},
    {"no numbers", GATE, "{" AUTHOR "," SCAN "," SIG "," BOB "}", "fail", "fairness",
     "no numbers were shown"},
    {"an error instead", GATE,
     "{" AUTHOR "," SCAN "," SIG ",\"fairness\":{\"error\":\"csv: line 3 is empty\"}," BOB "}",
     "fail", "fairness", "line 3 is empty"},
    {"other columns",
     "{\"model\":\"m\",\"fairness\":{\"predictions\":\"p.csv\",\"label\":\"y\",\"prediction\":"
     "\"p\",\"group\":\"age\"}}",
     "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.9", "50") "," BOB "}", "fail", "fairness",
     "other columns"},
    {"another file",
     "{\"model\":\"m\",\"fairness\":{\"predictions\":\"q.csv\",\"label\":\"y\",\"prediction\":"
     "\"p\",\"group\":\"g\"}}",
     "{" AUTHOR "," SCAN "," SIG "," NUMBERS("0.9", "50") "," BOB "}", "fail", "fairness",
     "another file"},
    {"groups are no mapping", GATE,
     "{" AUTHOR "," SCAN "," SIG ",\"fairness\":{\"predictions\":\"p.csv\",\"columns\":{\"label\":"
                                 "\"y\",\"prediction\":\"p\",\"groups\":[\"g\"]},\"groups\":[1,2],"
                                 "\"disparity\":{\"adverse_impact_ratio\":{\"ratio\":1}}}," BOB "}",
     "fail", "fairness", "insufficient"},
    {"gates were not run", "{\"model\":\"m\",\"gates\":\"required\"}", "{" AUTHOR "," SCAN "," SIG "," BOB "}", "fail",
     "gates", "no gates were run"},
    {"gates say no, though nobody asked", "{\"model\":\"m\"}",
     "{" AUTHOR "," SCAN "," SIG "," BOB ",\"gates\":{\"verdict\":\"fail\",\"summary\":\"licences: no\"}}", "fail", "gates",
     "licences: no"},
    {"gates say yes", "{\"model\":\"m\",\"gates\":\"required\"}",
     "{" AUTHOR "," SCAN "," SIG "," BOB ",\"gates\":{\"verdict\":\"pass\",\"summary\":\"2 gates\"}}", "pass", NULL, NULL},
    {"nothing at all", GATE, "{}", "fail", "scan", "no scan"},
    {"nothing asked",
     "{\"model\":\"m\",\"scan\":\"skip\",\"signature\":\"skip\",\"approvals\":{\"count\":0}}", "{}",
     "pass", NULL, NULL},
};

static void check_answer(const char *name, const struct mln_value *answer, const char *failing,
                         const char *part)
{
    const struct mln_value *checks = mln_get(answer, "checks");
    assert_true(mln_len(checks) == 4 || mln_len(checks) == 5); /* with gates in Rego */
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *check = mln_item(checks, i);
        if (failing == NULL) {
            assert_true(mln_get_bool(mln_get(check, "ok"), false));
        } else if (mln_is_text(mln_get(check, "name"), failing)) {
            struct mln_bytes detail = mln_get_bytes(mln_get(check, "detail"));
            bool has = mln_bytes_find_bytes(detail, mln_bytes_of(part)) < detail.len;
            if (mln_get_bool(mln_get(check, "ok"), true) || !has) {
                fail_msg("%s: %.*s", name, MLN_FMT(detail));
            }
        }
    }
}

static void test_verdicts(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(cases); i++) {
        struct mln_gate gate;
        const struct mln_value *answer = NULL;
        kit_ok(cx, mln_gate_parse(cx, json(cx, cases[i].gate), &gate));
        kit_expect(cx, cases[i].name,
                   mln_gate_judge(cx, &gate, json(cx, cases[i].evidence), &answer), MLN_E_OK);
        if (!mln_is_text(mln_get(answer, "verdict"), cases[i].verdict)) {
            fail_msg("%s: %.*s", cases[i].name, MLN_FMT(mln_get_bytes(mln_get(answer, "verdict"))));
        }
        check_answer(cases[i].name, answer, cases[i].failing, cases[i].part);
    }
}

/* ---- the committed example ---- */

static struct mln_bytes read_example(struct mln_cx *cx, const char *name)
{
    char path[KIT_PATH_MAX];
    snprintf(path, sizeof(path), "%s/../examples/%s", MLN_TEST_DIR, name);
    return kit_read_file(cx, path);
}

static const char *example(struct mln_cx *cx, const char *predictions)
{
    const struct mln_value *release = NULL, *fair = NULL, *answer = NULL;
    struct mln_gate gate;
    struct mln_csv csv;
    kit_ok(cx, mln_yaml_parse(cx, read_example(cx, "diabetes/release.yaml"), &release));
    kit_ok(cx, mln_gate_parse(cx, release, &gate));
    kit_ok(cx, mln_csv_parse(cx, read_example(cx, predictions), &csv));
    kit_ok(cx, mln_fair_judge(cx, &csv, &gate.fair, &fair));
    struct mln_value *shown = mln_value_dup(cx, fair);
    mln_put_text(cx, shown, "predictions", gate.predictions);
    struct mln_value *evidence =
        mln_value_dup(cx, json(cx, "{" AUTHOR "," SCAN "," SIG "," BOB "}"));
    mln_put(cx, evidence, "fairness", shown);
    kit_ok(cx, mln_gate_judge(cx, &gate, evidence, &answer));
    return mln_get_text(cx, mln_get(answer, "verdict"), "");
}

static void test_example(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    assert_string_equal(example(cx, "diabetes/predictions.csv"), "pass");
    assert_string_equal(example(cx, "biased/predictions.csv"), "fail");
}

/* Up to the module: memory that Rego itself runs out of stops the process (rego/heap.c), on purpose. */
static struct mln_err judge_body(struct mln_cx *cx, void *arg)
{
    const struct mln_value *gate_value = NULL;
    struct mln_bytes module = MLN_BYTES_NONE;
    struct mln_gate gate;
    (void)arg;
    MLN_TRY(mln_json_parse(cx, mln_bytes_of(cases[0].gate), &gate_value));
    MLN_TRY(mln_gate_parse(cx, gate_value, &gate));
    return mln_gate_rego(cx, &gate, &module);
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, judge_body, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_language),
        KIT_TEST(test_verdicts),
        KIT_TEST(test_example),
        KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
