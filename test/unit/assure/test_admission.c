/* SPDX-License-Identifier: Apache-2.0 */
/* Admission without a server: reviews that are refused, answers, matches of constraints, templates, patches. */
#include "kit/kit.h"

#include "assure/admission.h"
#include "base/json.h"

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

#define REQUEST(more)                                                                              \
    "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{"           \
    "\"uid\":\"u1\",\"operation\":\"CREATE\",\"kind\":{\"group\":\"\",\"version\":\"v1\","         \
    "\"kind\":\"Pod\"},\"name\":\"p\",\"namespace\":\"ns\"" more "}}"

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
} reviews[] = {
    {"least", REQUEST(""), MLN_E_OK, NULL},
    {"objects", REQUEST(",\"object\":{},\"oldObject\":null,\"dryRun\":true"), MLN_E_OK, NULL},
    {"members of a later version", REQUEST(",\"weather\":1"), MLN_E_OK, NULL},
    {"a list", "[]", MLN_E_INVALID, "no AdmissionReview"},
    {"v1beta1", "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1beta1\"}",
     MLN_E_INVALID, "apiVersion"},
    {"no request", "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\"}",
     MLN_E_INVALID, "request is missing"},
    {"an object that is a text", REQUEST(",\"object\":\"x\""), MLN_E_INVALID,
     "request.object is no object"},
    {"an old object that is a list", REQUEST(",\"oldObject\":[]"), MLN_E_INVALID,
     "request.oldObject is no object"},
    {"dryRun is a number", REQUEST(",\"dryRun\":1"), MLN_E_INVALID, "dryRun"},
    {"a sub-resource that is a number", REQUEST(",\"subResource\":1"), MLN_E_INVALID,
     "request.subResource is no text"},
    {"userInfo is a text", REQUEST(",\"userInfo\":\"x\""), MLN_E_INVALID, "userInfo"},
};

static void test_reviews(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(reviews); i++) {
        struct mln_admission_review r;
        kit_expect_at(cx, mln_admission_read(cx, json(cx, reviews[i].text), &r), reviews[i].code,
                      reviews[i].part, reviews[i].name, __FILE__, __LINE__);
    }
    struct mln_admission_review r;
    kit_ok(cx, mln_admission_read(cx, json(cx, reviews[1].text), &r));
    assert_true(r.is_dry_run && r.object != NULL && r.old_object == NULL &&
                mln_bytes_is(r.uid, "u1"));
}

/* ---- match: expected answers follow Gatekeeper's rules (docs/admission.md) ---- */

enum { POD, CLUSTER, NAMESPACE, LABELLED, OBJECTS };
static const char *const objects[OBJECTS] = {
    [POD] = REQUEST(",\"object\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\"}}"),
    [CLUSTER] = "{\"apiVersion\":\"admission.k8s.io/"
                "v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"u\",\"operation\":"
                "\"CREATE\",\"kind\":{\"group\":\"x.io\",\"version\":\"v1\",\"kind\":\"Thing\"},"
                "\"name\":\"t\",\"object\":{}}}",
    [NAMESPACE] = "{\"apiVersion\":\"admission.k8s.io/"
                  "v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"u\",\"operation\":"
                  "\"CREATE\",\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Namespace\"},"
                  "\"name\":\"ns\",\"namespace\":\"ns\","
                  "\"object\":{\"metadata\":{\"name\":\"ns\",\"labels\":{\"tier\":\"prod\"}}}}}",
    [LABELLED] = REQUEST(",\"object\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\","
                         "\"labels\":{\"app\":\"a\"}}}"),
};
#define SPACE "{\"metadata\":{\"name\":\"ns\",\"labels\":{\"tier\":\"prod\"}}}"

static const struct {
    const char *name, *match;
    int object;
    bool fits;
} matches[] = {
    {"nothing", "{}", POD, true},
    {"its kind", "{\"kinds\":[{\"apiGroups\":[\"\"],\"kinds\":[\"Pod\"]}]}", POD, true},
    {"any group", "{\"kinds\":[{\"apiGroups\":[\"*\"],\"kinds\":[\"Thing\"]}]}", CLUSTER, true},
    {"another group", "{\"kinds\":[{\"apiGroups\":[\"apps\"],\"kinds\":[\"Pod\"]}]}", POD, false},
    {"the second of two", "{\"kinds\":[{\"kinds\":[\"X\"]},{\"kinds\":[\"*\"]}]}", POD, true},
    {"in a namespace", "{\"namespaces\":[\"ns\"]}", POD, true},
    {"by prefix", "{\"namespaces\":[\"n*\"]}", POD, true},
    {"by suffix", "{\"namespaces\":[\"*s\"]}", POD, true},
    {"in another", "{\"namespaces\":[\"other\"]}", POD, false},
    {"what is in none is not left out by one", "{\"namespaces\":[\"other\"]}", CLUSTER, true},
    {"a namespace is in itself", "{\"namespaces\":[\"ns\"]}", NAMESPACE, true},
    {"excluded", "{\"excludedNamespaces\":[\"n*\"]}", POD, false},
    {"an excluded namespace itself", "{\"excludedNamespaces\":[\"ns\"]}", NAMESPACE, false},
    {"what is in none is not excluded", "{\"excludedNamespaces\":[\"*\"]}", CLUSTER, true},
    {"scope Cluster", "{\"scope\":\"Cluster\"}", POD, false},
    {"scope Cluster of a Namespace", "{\"scope\":\"Cluster\"}", NAMESPACE, true},
    {"scope Namespaced", "{\"scope\":\"Namespaced\"}", POD, true},
    {"scope Namespaced of what is in none", "{\"scope\":\"Namespaced\"}", CLUSTER, false},
    {"label", "{\"labelSelector\":{\"matchLabels\":{\"app\":\"a\"}}}", LABELLED, true},
    {"another label", "{\"labelSelector\":{\"matchLabels\":{\"app\":\"b\"}}}", LABELLED, false},
    {"no labels", "{\"labelSelector\":{\"matchLabels\":{\"app\":\"a\"}}}", POD, false},
    {"In",
     "{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":["
     "\"a\",\"b\"]}]}}",
     LABELLED, true},
    {"NotIn",
     "{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":"
     "[\"a\"]}]}}",
     LABELLED, false},
    {"NotIn without the label",
     "{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":"
     "[\"a\"]}]}}",
     POD, true},
    {"Exists",
     "{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}}", POD,
     false},
    {"DoesNotExist",
     "{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"DoesNotExist\"}]}}",
     POD, true},
    {"the namespace's labels", "{\"namespaceSelector\":{\"matchLabels\":{\"tier\":\"prod\"}}}", POD,
     true},
    {"other labels of the namespace",
     "{\"namespaceSelector\":{\"matchLabels\":{\"tier\":\"test\"}}}", POD, false},
    {"a Namespace's own labels", "{\"namespaceSelector\":{\"matchLabels\":{\"tier\":\"prod\"}}}",
     NAMESPACE, true},
    {"a namespaceSelector and no namespace",
     "{\"namespaceSelector\":{\"matchLabels\":{\"tier\":\"x\"}}}", CLUSTER, true},
    {"name", "{\"name\":\"p*\"}", POD, true},
    {"another name", "{\"name\":\"q*\"}", POD, false},
};

static void test_matches(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(matches); i++) {
        struct mln_admission_review r;
        bool fits = false;
        kit_ok(cx, mln_admission_read(cx, json(cx, objects[matches[i].object]), &r));
        kit_ok(cx, mln_admission_match(cx, json(cx, matches[i].match), &r, r.object,
                                       json(cx, SPACE), &fits));
        if (fits != matches[i].fits) {
            fail_msg("%s", matches[i].name);
        }
    }
    struct mln_admission_review r;
    bool fits = false;
    kit_ok(cx, mln_admission_read(cx, json(cx, objects[POD]), &r));
    kit_expect(
        cx, "a namespace that is not known",
        mln_admission_match(cx, json(cx, "{\"namespaceSelector\":{\"matchLabels\":{\"a\":\"b\"}}}"),
                            &r, r.object, NULL, &fits),
        MLN_E_PRECONDITION);
}

/* ---- templates and constraints ---- */

#define TEMPLATE(api, name, kind, target)                                                          \
    "{\"apiVersion\":\"templates.gatekeeper.sh/" api "\",\"kind\":\"ConstraintTemplate\","         \
    "\"metadata\":{\"name\":\"" name                                                               \
    "\"},\"spec\":{\"crd\":{\"spec\":{\"names\":{\"kind\":\"" kind "\"}}},\"targets\":[" target    \
    "]}}"
#define TARGET(more) "{\"target\":\"admission.k8s.gatekeeper.sh\"" more "}"

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
    size_t sources;
    bool is_v0;
} templates[] = {
    {"v1", TEMPLATE("v1", "a", "A", TARGET(",\"rego\":\"package a\"")), MLN_E_OK, NULL, 1, true},
    {"v1beta1 with libraries",
     TEMPLATE("v1beta1", "a", "A",
              TARGET(",\"rego\":\"package a\",\"libs\":[\"package lib.b\",\"package lib.c\"]")),
     MLN_E_OK, NULL, 3, true},
    {"code in Rego v1",
     TEMPLATE("v1", "a", "A",
              TARGET(",\"code\":[{\"engine\":\"Rego\",\"source\":{\"version\":\"v1\",\"rego\":"
                     "\"package a\"}}]")),
     MLN_E_OK, NULL, 1, false},
    {"code in another engine",
     TEMPLATE("v1", "a", "A", TARGET(",\"code\":[{\"engine\":\"K8sNativeValidation\"}]")),
     MLN_E_UNSUPPORTED, "other engines", 0, false},
    {"no Rego", TEMPLATE("v1", "a", "A", TARGET("")), MLN_E_INVALID, "template.rego is no text", 0,
     false},
    {"another version", TEMPLATE("v2", "a", "A", TARGET("")), MLN_E_INVALID, "apiVersion", 0,
     false},
    {"name and kind differ", TEMPLATE("v1", "a", "B", TARGET("")), MLN_E_INVALID, "in lower case",
     0, false},
    {"two targets", TEMPLATE("v1", "a", "A", TARGET("") "," TARGET("")), MLN_E_INVALID,
     "list of one", 0, false},
    {"another target", TEMPLATE("v1", "a", "A", "{\"target\":\"x\",\"rego\":\"package a\"}"),
     MLN_E_UNSUPPORTED, "its target", 0, false},
    {"no template", "{\"kind\":\"Pod\"}", MLN_E_INVALID, "no ConstraintTemplate", 0, false},
};

static void test_templates(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(templates); i++) {
        struct mln_admission_template t = {0};
        kit_expect_at(cx, mln_admission_template(cx, json(cx, templates[i].text), &t),
                      templates[i].code, templates[i].part, templates[i].name, __FILE__, __LINE__);
        assert_int_equal(t.n_sources, templates[i].sources);
        assert_int_equal(t.is_v0, templates[i].is_v0);
    }
}

#define CONSTRAINT(spec)                                                                           \
    "{\"apiVersion\":\"constraints.gatekeeper.sh/v1beta1\",\"kind\":\"A\",\"metadata\":{\"name\":" \
    "\"c\"},\"spec\":{" spec "}}"
#define SCOPED(action, point)                                                                      \
    "{\"action\":\"" action "\",\"enforcementPoints\":[{\"name\":\"" point "\"}]}"

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part, *action;
} constraints[] = {
    {"least", CONSTRAINT(""), MLN_E_OK, NULL, "deny"},
    {"warn", CONSTRAINT("\"enforcementAction\":\"warn\""), MLN_E_OK, NULL, "warn"},
    {"dryrun", CONSTRAINT("\"enforcementAction\":\"dryrun\""), MLN_E_OK, NULL, "dryrun"},
    {"scoped: the strictest of the webhook's",
     CONSTRAINT("\"enforcementAction\":\"scoped\",\"scopedEnforcementActions\":[" SCOPED(
         "warn", "*") "," SCOPED("deny", "validation.gatekeeper.sh") "]"),
     MLN_E_OK, NULL, "deny"},
    {"scoped: only the audit's",
     CONSTRAINT("\"enforcementAction\":\"scoped\",\"scopedEnforcementActions\":[" SCOPED(
         "deny", "audit.gatekeeper.sh") "]"),
     MLN_E_OK, NULL, NULL},
    {"another action", CONSTRAINT("\"enforcementAction\":\"shrug\""), MLN_E_INVALID,
     "enforcementAction", NULL},
    {"no name", "{\"apiVersion\":\"constraints.gatekeeper.sh/v1\",\"kind\":\"A\"}", MLN_E_INVALID,
     "metadata.name", NULL},
    {"another group", "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"c\"}}",
     MLN_E_INVALID, "apiVersion", NULL},
    {"an unknown condition", CONSTRAINT("\"match\":{\"weather\":[]}"), MLN_E_UNSUPPORTED,
     "spec.match.weather", NULL},
    {"namespaces is a text", CONSTRAINT("\"match\":{\"namespaces\":\"a\"}"), MLN_E_INVALID,
     "namespaces is malformed", NULL},
    {"a scope that is misspelt", CONSTRAINT("\"match\":{\"scope\":\"cluster\"}"), MLN_E_INVALID,
     "spec.match.scope", NULL},
    {"an operator that is not known",
     CONSTRAINT("\"match\":{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":"
                "\"Gt\"}]}}"),
     MLN_E_INVALID, "labelSelector is malformed", NULL},
    {"In without values",
     CONSTRAINT("\"match\":{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":"
                "\"In\"}]}}"),
     MLN_E_INVALID, "labelSelector is malformed", NULL},
    {"generated resources", CONSTRAINT("\"match\":{\"source\":\"Generated\"}"), MLN_E_UNSUPPORTED,
     "not expanded", NULL},
};

static void test_constraints(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(constraints); i++) {
        const struct mln_value *v = json(cx, constraints[i].text);
        kit_expect_at(cx, mln_admission_constraint(cx, v), constraints[i].code, constraints[i].part,
                      constraints[i].name, __FILE__, __LINE__);
        if (constraints[i].code == MLN_E_OK) {
            const char *action = mln_admission_action(v);
            assert_true(constraints[i].action == NULL
                            ? action == NULL
                            : mln_bytes_is(mln_bytes_of(action), constraints[i].action));
        }
    }
}

/* ---- judging ---- */

static const char *const mutate[] = {"patch", NULL}, *const validate[] = {"deny", "violation",
                                                                          "warn", "annotations*",
                                                                          NULL};

static struct mln_err judge(struct mln_cx *cx, const char *policy, const char *review,
                            bool is_mutating, struct mln_value **ret,
                            const struct mln_value **ret_answer)
{
    MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
    struct mln_rego_source source = {.name = "p.rego", .text = mln_bytes_of(policy)};
    struct mln_rules_options o = {.modules = &source,
                                  .n_modules = 1,
                                  .prefix = MLN_ADMISSION_PREFIX,
                                  .heads = is_mutating ? mutate : validate};
    struct mln_admission_review r;
    MLN_TRY(mln_rules_new(cx, &o, &rules));
    struct mln_admission_judge j = {
        .validate = is_mutating ? NULL : rules, .mutate = is_mutating ? rules : NULL, .now_ns = 1};
    MLN_TRY(mln_admission_read(cx, json(cx, review), &r));
    MLN_TRY(mln_admission_judge(cx, &j, &r, is_mutating, ret));
    return mln_admission_answer(cx, &r, *ret, ret_answer);
}

static const struct {
    const char *name, *policy;
    bool is_mutating;
    enum mln_code code;
    const char *part; /* of the answer, or of the error */
} judged[] = {
    {"nothing", "package merlon.admission.p", false, MLN_E_OK,
     "\"response\":{\"uid\":\"u1\",\"allowed\":true}"},
    {"denied", "package merlon.admission.p\ndeny contains \"no\"", false, MLN_E_OK,
     "\"allowed\":false,\"status\":{\"code\":403,\"reason\":\"Forbidden\",\"message\":\"[p] no\"}"},
    {"violation too", "package merlon.admission.p\nviolation contains {\"msg\": \"no\"}", false,
     MLN_E_OK, "[p] no"},
    {"warned", "package merlon.admission.p\nwarn contains \"hm\"", false, MLN_E_OK,
     "\"allowed\":true,\"warnings\":[\"[p] hm\"]"},
    {"annotated", "package merlon.admission.p\nannotations[\"k\"] := \"v\"", false, MLN_E_OK,
     "\"auditAnnotations\":{\"p.k\":\"v\"}"},
    {"patched", "package merlon.admission.p\npatch contains {\"op\": \"remove\", \"path\": \"/a\"}",
     true, MLN_E_OK,
     "\"patchType\":\"JSONPatch\",\"patch\":\"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2EifV0=\""},
    {"no patch",
     "package merlon.admission.p\npatch contains {\"op\": \"add\", \"path\": \"/a\", \"value\": 1} "
     "if false",
     true, MLN_E_OK, "\"allowed\":true}"},
    {"add without a value",
     "package merlon.admission.p\npatch contains {\"op\": \"add\", \"path\": \"/a\"}", true,
     MLN_E_INVALID, "no operation"},
    {"move without from",
     "package merlon.admission.p\npatch contains {\"op\": \"move\", \"path\": \"/a\"}", true,
     MLN_E_INVALID, "no operation"},
    {"a path that is none",
     "package merlon.admission.p\npatch contains {\"op\": \"remove\", \"path\": \"a\"}", true,
     MLN_E_INVALID, "no operation"},
    {"a patch that is a text", "package merlon.admission.p\npatch := \"x\"", true, MLN_E_INVALID,
     "no list"},
    {"a conflict", "package merlon.admission.p\ndeny := 1\ndeny := 2", false, MLN_E_INVALID,
     "eval_conflict_error"},
};

static void test_judged(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(judged); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        struct mln_value *verdict = NULL;
        const struct mln_value *answer = NULL;
        struct mln_err err = judge(cx, judged[i].policy, REQUEST(",\"object\":{}"),
                                   judged[i].is_mutating, &verdict, &answer);
        kit_expect_at(cx, err, judged[i].code, judged[i].code == MLN_E_OK ? NULL : judged[i].part,
                      judged[i].name, __FILE__, __LINE__);
        if (judged[i].code == MLN_E_OK) {
            mln_json_print(&text, answer, MLN_JSON_COMPACT);
            if (mln_bytes_find_bytes(mln_buf_bytes(&text), mln_bytes_of(judged[i].part)) ==
                text.len) {
                fail_msg("%s: %.*s", judged[i].name, MLN_FMT(mln_buf_bytes(&text)));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_reviews),     KIT_TEST(test_matches), KIT_TEST(test_templates),
        KIT_TEST(test_constraints), KIT_TEST(test_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
