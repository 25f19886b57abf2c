/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: what is filled with what, what fills nothing, what is malformed; paths of policies keep their shape. */
#include "kit/kit.h"

#include "base/json.h"
#include "policy/acl.h"
#include "policy/template.h"

static const char person_text[] =
    "{\"id\":\"e-1\",\"name\":\"alice\",\"metadata\":{\"team\":\"red\",\"a.b\":\"dots\",\"n\":\"\"}"
    ","
    "\"aliases\":[{\"id\":\"a-1\",\"name\":\"alice@x\",\"mount_accessor\":\"acc\",\"metadata\":{"
    "\"k\":\"v\"},\"custom_metadata\":{\"c\":\"w/x\"}}],"
    "\"groups\":[{\"id\":\"g-1\",\"name\":\"ops\",\"metadata\":{\"m\":\"*\"}},{\"id\":\"g-2\","
    "\"name\":\"dev\",\"metadata\":{}}]}";

static struct mln_template_who alice(struct mln_cx *cx)
{
    struct mln_template_who who = {.now_s = 1000};
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(person_text), &who.person));
    return who;
}

static void test_fill(void **state)
{
    static const struct {
        enum mln_template_mode mode;
        const char *in, *out; /* NULL: nothing */
    } t[] = {
        {MLN_TEMPLATE_TEXT, "plain", "plain"},
        {MLN_TEMPLATE_TEXT, "", ""},
        {MLN_TEMPLATE_TEXT, "a/{{identity.entity.id}}/b", "a/e-1/b"},
        {MLN_TEMPLATE_TEXT, "{{ identity.entity.name }}{{identity.entity.name}}", "alicealice"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.metadata.team}}", "red"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.metadata.a.b}}", "dots"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.metadata.none}}", NULL},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.aliases.acc.name}}", "alice@x"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.aliases.acc.id}}", "a-1"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.aliases.acc.metadata.k}}", "v"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.aliases.acc.custom_metadata.c}}", "w/x"},
        {MLN_TEMPLATE_TEXT, "{{identity.entity.aliases.other.name}}", NULL},
        {MLN_TEMPLATE_TEXT, "{{identity.groups.ids.g-1.name}}", "ops"},
        {MLN_TEMPLATE_TEXT, "{{identity.groups.names.dev.id}}", "g-2"},
        {MLN_TEMPLATE_TEXT, "{{identity.groups.names.none.id}}", NULL},
        {MLN_TEMPLATE_TEXT, "{{identity.groups.ids.g-1.metadata.m}}", "*"},
        {MLN_TEMPLATE_PATH, "{{identity.groups.ids.g-1.metadata.m}}", NULL},
        {MLN_TEMPLATE_PATH, "{{identity.entity.aliases.acc.custom_metadata.c}}", NULL},
        {MLN_TEMPLATE_PATH, "x/{{identity.entity.metadata.n}}/y", NULL},
        {MLN_TEMPLATE_PATH, "x/{{identity.entity.aliases.acc.name}}/*", "x/alice@x/*"},
        {MLN_TEMPLATE_JSON, "{\"a\":{{identity.entity.name}}}", "{\"a\":\"alice\"}"},
        {MLN_TEMPLATE_JSON, "{\"a\":{\"b\":{{identity.entity.metadata}}}}",
         "{\"a\":{\"b\":{\"team\":\"red\",\"a.b\":\"dots\",\"n\":\"\"}}}"},
        {MLN_TEMPLATE_JSON, "{{identity.entity.groups.names}}", "[\"ops\",\"dev\"]"},
        {MLN_TEMPLATE_JSON, "{{identity.entity.groups.ids}}", "[\"g-1\",\"g-2\"]"},
        {MLN_TEMPLATE_JSON, "{{identity.entity.metadata.none}}", "\"\""},
        {MLN_TEMPLATE_JSON, "{{identity.entity.aliases.none.metadata}}", "{}"},
        {MLN_TEMPLATE_JSON, "{{time.now}}", "1000"},
        {MLN_TEMPLATE_JSON, "{{time.now.plus.1h}}", "4600"},
        {MLN_TEMPLATE_JSON, "{{time.now.minus.10s}}", "990"},
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_template_who who = alice(cx), nobody = {.now_s = 1000};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *out = NULL;
        kit_expect(cx, t[i].in, mln_template_fill(cx, mln_bytes_of(t[i].in), t[i].mode, &who, &out),
                   MLN_E_OK);
        if (t[i].out == NULL ? out != NULL
                             : out == NULL || !mln_bytes_is(mln_bytes_of(out), t[i].out)) {
            fail_msg("%s: %s", t[i].in, out != NULL ? out : "(nothing)");
        }
        kit_expect(cx, t[i].in,
                   mln_template_fill(cx, mln_bytes_of(t[i].in), t[i].mode, &nobody, &out),
                   MLN_E_OK);
        assert_true(t[i].mode == MLN_TEMPLATE_JSON ||
                    (out != NULL) == !mln_template_has(mln_bytes_of(t[i].in)));
    }
}

static void test_malformed(void **state)
{
    static const char *const t[] = {
        "{{",
        "a}}",
        "{{identity.entity.id",
        "{{identity.{{entity.id}}",
        "}}{{identity.entity.id}}",
        "{{}}",
        "{{ }}",
        "{{identity}}",
        "{{identity.entity}}",
        "{{identity.entity.}}",
        "{{identity.entity.nosuch}}",
        "{{identity.entity.metadata}}",
        "{{identity.entity.metadata.}}",
        "{{identity.entity.aliases}}",
        "{{identity.entity.aliases.acc}}",
        "{{identity.entity.aliases.acc.nosuch}}",
        "{{identity.groups.ids}}",
        "{{identity.groups.ids.g}}",
        "{{identity.groups.ids.g.id}}",
        "{{identity.groups.x.y.z}}",
        "{{time.now}}",
        "{{identity.entity.groups.names}}",
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_template_who who = alice(cx);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *out = NULL;
        kit_expect(cx, t[i],
                   mln_template_fill(cx, mln_bytes_of(t[i]), MLN_TEMPLATE_TEXT, &who, &out),
                   MLN_E_INVALID);
    }
    static const char *const json[] = {"{{time.now.plus}}", "{{time.now.plus.x}}", "{{time.then}}",
                                       "{{time.now.plus.9223372036854775807}}"};
    for (size_t i = 0; i < MLN_COUNT(json); i++) {
        const char *out = NULL;
        kit_expect(cx, json[i],
                   mln_template_fill(cx, mln_bytes_of(json[i]), MLN_TEMPLATE_JSON, &who, &out),
                   MLN_E_INVALID);
    }
}

/* Filled in, a path is judged as if it had been written so; without a person it is dropped. */
static void test_acl(void **state)
{
    static const char text[] =
        "path \"secret/{{identity.entity.name}}/*\" { capabilities = [\"read\"] }\n"
        "path \"kv/{{identity.entity.metadata.none}}/*\" { capabilities = [\"read\"] }\n"
        "path \"secret/+/x\" { capabilities = [\"list\"] }\n"
        "path \"team/{{identity.entity.metadata.team}}\" { capabilities = [\"update\"] }";
    struct mln_cx *cx = kit_cx(state);
    struct mln_template_who who = alice(cx);
    struct mln_policy *policy = NULL;
    struct mln_acl *acl = NULL, *none = NULL;
    kit_ok(cx, mln_policy_parse(cx, mln_bytes_of(text), &policy));
    const struct mln_policy *list[] = {policy};
    kit_ok(cx, mln_acl_new_for(cx, list, 1, &(struct mln_acl_for){.person = who.person}, &acl));
    kit_ok(cx, mln_acl_new_for(cx, list, 1, &(struct mln_acl_for){0}, &none));
    mln_policy_free(policy);
    assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("secret/alice/x")), MLN_CAP_READ);
    assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("secret/bob/x")), MLN_CAP_LIST);
    assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("kv//x")), 0);
    assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("team/red")), MLN_CAP_UPDATE);
    assert_int_equal(mln_acl_capabilities(acl, MLN_BYTES("team/{{identity.entity.metadata.team}}")),
                     0);
    assert_int_equal(mln_acl_capabilities(none, MLN_BYTES("secret/alice/x")), MLN_CAP_LIST);
    assert_int_equal(mln_acl_capabilities(none, MLN_BYTES("team/red")), 0);
    mln_acl_free(acl);
    mln_acl_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_fill), KIT_TEST(test_malformed),
                                       KIT_TEST(test_acl)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
