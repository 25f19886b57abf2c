/* SPDX-License-Identifier: Apache-2.0 */
/* Token fields through a method that has them (userpass): old and new names, what is refused, what a login gets. */
#include "kit/engine_kit.h"

#include "auth/token_fields.h"

extern const struct mln_engine mln_method_userpass;

static struct ek *tf_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "auth/userpass/", &mln_method_userpass, "33333333-0000-4000-8000-000000000000");
    return k;
}
#define TF(name) MLN_AUTO(ek_drop) struct ek *name = tf_new()
#define USER "auth/userpass/users/u"

static void test_names(void **state)
{
    (void)state;
    TF(k);
    EK_WANT(k, ek_write(k, USER, "{\"password\":\"p\",\"policies\":\"B, a,b,\",\"ttl\":\"1m\",\"period\":5}"), 204);
    EK_WANT(k, ek_read(k, USER, NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "token_policies"), "[\"a\",\"b\"]");
    EK_VALUE(k, mln_get(k->re.data, "policies"), "[\"a\",\"b\"]");
    EK_VALUE(k, mln_get(k->re.data, "ttl"), "60");
    EK_WANT(k, ek_write(k, USER, "{\"token_ttl\":7,\"ttl\":8}"), 204);
    EK_WANT(k, ek_read(k, USER, NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "token_ttl"), "7");
    assert_null(mln_get(k->re.data, "ttl"));
    EK_VALUE(k, mln_get(k->re.data, "token_period"), "5");
}

static void test_login(void **state)
{
    (void)state;
    TF(k);
    EK_WANT(k, ek_write(k, USER,
                        "{\"password\":\"p\",\"token_max_ttl\":\"2h\",\"token_explicit_max_ttl\":9,\"token_no_default_policy\":true,"
                        "\"token_bound_cidrs\":[\"127.0.0.0/8\",\"::1\"],\"token_type\":\"batch\"}"),
            204);
    EK_WANT(k, ek_write(k, "auth/userpass/login/u", "{\"password\":\"p\"}"), 204);
    const struct mln_login *login = k->re.login;
    assert_int_equal(login->max_ttl_s, 7200);
    assert_int_equal(login->explicit_max_ttl_s, 9);
    assert_true(login->no_default_policy);
    assert_true(login->is_batch);
    EK_VALUE(k, login->bound_cidrs, "[\"127.0.0.0/8\",\"::1\"]");
    EK_WANT(k, ek_write(k, USER, "{\"token_bound_cidrs\":\"10.0.0.0/8\"}"), 204);
    EK_REFUSED(k, ek_write(k, "auth/userpass/login/u", "{\"password\":\"p\"}"), 403, "permission denied");
}

static void test_refused(void **state)
{
    (void)state;
    TF(k);
    static const struct {
        const char *json, *text;
    } t[] = {
        {"{\"password\":\"p\",\"token_num_uses\":-1}", "'token_num_uses' cannot be negative"},
        {"{\"password\":\"p\",\"token_period\":\"-1s\"}", "'token_period' cannot be negative"},
        {"{\"password\":\"p\",\"token_ttl\":9223372036854775807}", "too large"},
        {"{\"password\":\"p\",\"ttl\":5,\"max_ttl\":4}", "'token_ttl' cannot be greater than 'token_max_ttl'"},
        {"{\"password\":\"p\",\"token_bound_cidrs\":\"10.0.0.0/99\"}", "invalid CIDR block"},
        {"{\"password\":\"p\",\"token_bound_cidrs\":[\"host\"]}", "invalid CIDR block \"host\""},
        {"{\"password\":\"p\",\"token_type\":\"default-batch\"}", "invalid 'token_type' value \"default-batch\""},
        {"{\"password\":\"p\",\"token_type\":\"batch\",\"token_period\":5}", "periodic tokens"},
        {"{\"password\":\"p\",\"token_type\":\"batch\",\"token_num_uses\":5}", "limited use count"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, USER, t[i].json), 400, t[i].text);
        assert_false(k->wrote);
    }
}

/* A renewal looks the user up again. */
static void test_renew(void **state)
{
    (void)state;
    TF(k);
    struct mln_request rq;
    struct mln_login login = {0};
    EK_WANT(k, ek_write(k, USER, "{\"password\":\"p\",\"token_policies\":\"b,a\",\"token_ttl\":60}"), 204);
    ek_begin(k, &rq);
    rq.mount = &k->mounts[0];
    struct mln_value *internal = mln_object(k->cx), *policies = mln_array(k->cx);
    mln_put_text(k->cx, internal, "username", "u");
    mln_push_text(k->cx, policies, "a");
    mln_push_text(k->cx, policies, "b");
    mln_push_text(k->cx, policies, "default");
    login.policies = policies;
    kit_ok(k->cx, mln_method_userpass.renew_login(&rq, internal, &login));
    assert_int_equal(login.ttl_s, 60);
    mln_push_text(k->cx, policies, "c");
    login.policies = policies;
    assert_true(mln_is(mln_method_userpass.renew_login(&rq, internal, &login), MLN_E_INVALID));
    assert_string_equal(k->cx->text, "policies have changed, not renewing");
    mln_cx_clear(k->cx);
    mln_put_text(k->cx, internal, "username", "gone");
    assert_true(mln_is(mln_method_userpass.renew_login(&rq, internal, &login), MLN_E_INVALID));
    ek_end(k, MLN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_renew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
