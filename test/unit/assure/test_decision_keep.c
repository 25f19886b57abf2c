/* SPDX-License-Identifier: Apache-2.0 */
/* Engine `decision`: what is kept, what is refused, what a day holds, what goes. */
#include "kit/engine_kit.h"

#include "assure/decision.h"

extern const struct mln_engine mln_assurance_decision;

#define DAY_NS ((int64_t)86400 * 1000000000)

static const char *const heads[] = {"deny", NULL};

static struct mln_value *decision(struct mln_cx *cx, const char *text, int64_t now_ns)
{
    struct mln_rego_source source = {.name = "a.rego", .text = mln_bytes_of(text)};
    struct mln_rules_options o = {
        .modules = &source, .n_modules = 1, .prefix = "data", .heads = heads};
    struct mln_decision d = {.kind = "gate",
                             .verdict = "pass",
                             .rules = &o,
                             .input = mln_object(cx),
                             .said = mln_array(cx),
                             .now_ns = now_ns};
    struct mln_value *v = NULL;
    kit_ok(cx, mln_decision_make(cx, &d, &v));
    return v;
}

static const char *body_of(struct mln_cx *cx, const struct mln_value *d)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_text(&text, "{\"decision\":");
    mln_json_print(&text, d, MLN_JSON_COMPACT);
    mln_buf_add_byte(&text, '}');
    return mln_text_dup(cx, mln_buf_bytes(&text));
}

static struct ek *start(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "decision/", &mln_assurance_decision, "u-1");
    return k;
}

static void keep(struct ek *k, struct mln_cx *cx, const struct mln_value *d, enum mln_code want)
{
    (void)ek_call(k, MLN_OP_WRITE, "decision/keep", body_of(cx, d));
    if (want == MLN_E_OK ? mln_failed(k->err) : !mln_is(k->err, want)) {
        fail_msg("%s", k->cx->text);
    }
}

static void test_keep(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(ek_drop) struct ek *k = start();
    struct mln_value *d = decision(cx, "package a", k->now_ns), *bad = NULL;
    const char *id = mln_get_text(cx, mln_get(d, "id"), "");
    keep(k, cx, d, MLN_E_OK);
    assert_true(mln_is_text(mln_get(k->detail, "decision"), id));
    assert_non_null(mln_get(k->detail, "policy"));
    (void)ek_call(k, MLN_OP_READ, mln_text_format(cx, "decision/%s", id), NULL);
    assert_true(mln_value_eq(k->re.data, d)); /* with its policies again */
    static const char *const parts[] = {"input", "said", "policy"};
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        bad = mln_value_dup(cx, d);
        mln_put(cx, bad, parts[i], mln_get(decision(cx, "package b\nx := 1", 5), parts[i]));
        if (i == 2) {
            struct mln_value *policy = mln_value_dup(cx, mln_get(bad, "policy"));
            mln_put(cx, policy, "digest", mln_get(mln_get(d, "policy"), "digest"));
            mln_put(cx, bad, "policy", policy);
        } else {
            mln_put_text(cx, bad, parts[i], "something else");
        }
        keep(k, cx, bad, MLN_E_INVALID);
    }
    bad = mln_value_dup(cx, d);
    mln_put_text(cx, bad, "id", "../x");
    keep(k, cx, bad, MLN_E_INVALID);
    (void)ek_call(k, MLN_OP_READ, "decision/dec-0000000000000000", NULL);
    assert_true(mln_is(k->err, MLN_E_NOT_FOUND));
}

static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(ek_drop) struct ek *k = start();
    (void)ek_call(k, MLN_OP_WRITE, "decision/config", "{\"keep_days\":2,\"day_count\":2}");
    keep(k, cx, decision(cx, "package a", 1), MLN_E_OK);
    keep(k, cx, decision(cx, "package a", 2), MLN_E_OK);
    keep(k, cx, decision(cx, "package a", 3), MLN_E_LIMIT);
    k->now_ns += DAY_NS; /* another day */
    keep(k, cx, decision(cx, "package b", 4), MLN_E_OK);
    (void)ek_call(k, MLN_OP_WRITE, "decision/config", "{\"keep_days\":0}");
    assert_true(mln_is(k->err, MLN_E_INVALID));
    k->now_ns += 2 * DAY_NS; /* the first day is over, the second is not */
    ek_tick(k, 0);
    (void)ek_call(k, MLN_OP_LIST, "decision/", NULL);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 1);
    const char *id = mln_get_text(cx, mln_item(mln_get(k->re.data, "keys"), 0), "");
    (void)ek_call(k, MLN_OP_READ, mln_text_format(cx, "decision/%s", id), NULL);
    assert_int_equal(mln_len(mln_get(mln_get(k->re.data, "policy"), "modules")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_keep),
        KIT_TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
