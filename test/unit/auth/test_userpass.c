/* SPDX-License-Identifier: Apache-2.0 */
/* Users with passwords through the descriptor: who gets in, what is refused, what a user may not learn. */
#include <stdio.h>

#include "kit/engine_kit.h"

extern const struct mln_engine mln_method_userpass;

static struct ek *up_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "auth/userpass/", &mln_method_userpass, "33333333-0000-4000-8000-000000000000");
    return k;
}
#define UP(name) MLN_AUTO(ek_drop) struct ek *name = up_new()

static void test_login(void **state)
{
    (void)state;
    UP(k);
    EK_WANT(k, ek_write(k, "auth/userpass/users/Alice", "{\"password\":\"horse\",\"token_policies\":\"a,b\",\"token_ttl\":\"1h\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/userpass/login/ALICE", "{\"password\":\"horse\"}"), 204);
    assert_non_null(k->re.login);
    assert_string_equal(k->re.login->alias, "alice");
    assert_string_equal(k->re.login->display_name, "alice");
    assert_int_equal(k->re.login->ttl_s, 3600);
    EK_VALUE(k, k->re.login->policies, "[\"a\",\"b\"]");
    EK_VALUE(k, k->re.login->meta, "{\"username\":\"alice\"}");
    assert_false(k->wrote);
}

static void test_refused_logins(void **state)
{
    (void)state;
    UP(k);
    EK_WANT(k, ek_write(k, "auth/userpass/users/alice", "{\"password\":\"horse\"}"), 204);
    static const struct {
        const char *name, *json, *text;
    } t[] = {
        {"alice", "{\"password\":\"Horse\"}", "invalid username or password"},
        {"alice", "{\"password\":\"horse \"}", "invalid username or password"},
        {"nobody", "{\"password\":\"horse\"}", "invalid username or password"},
        {"alice", "{\"password\":\"\"}", "missing password"},
        {"alice", "{}", "missing password"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "auth/userpass/login/%s", t[i].name);
        EK_REFUSED(k, ek_write(k, path, t[i].json), 400, t[i].text);
        assert_null(k->re.login);
    }
}

static void test_users(void **state)
{
    (void)state;
    UP(k);
    EK_WANT(k, ek_list(k, "auth/userpass/users/"), 404);
    EK_WANT(k, ek_read(k, "auth/userpass/users/bob", NULL), 404);
    EK_WANT(k, ek_write(k, "auth/userpass/users/bob", "{\"password\":\"p\",\"policies\":[\"x\"],\"max_ttl\":60}"), 204);
    EK_WANT(k, ek_list(k, "auth/userpass/users/"), 200);
    EK_DATA(k, "{\"keys\":[\"bob\"]}");
    EK_WANT(k, ek_read(k, "auth/userpass/users/bob", NULL), 200);
    EK_DATA(k, "{\"max_ttl\":60,\"policies\":[\"x\"],\"token_bound_cidrs\":[],\"token_explicit_max_ttl\":0,\"token_max_ttl\":60,"
               "\"token_no_default_policy\":false,\"token_num_uses\":0,\"token_period\":0,\"token_policies\":[\"x\"],"
               "\"token_strictly_bind_ip\":false,\"token_ttl\":0,\"token_type\":\"default\"}");
    EK_WANT(k, ek_write(k, "auth/userpass/users/bob/policies", "{\"token_policies\":\"y\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/userpass/users/bob/password", "{\"password\":\"q\"}"), 204);
    EK_REFUSED(k, ek_write(k, "auth/userpass/login/bob", "{\"password\":\"p\"}"), 400, "invalid username or password");
    EK_WANT(k, ek_write(k, "auth/userpass/login/bob", "{\"password\":\"q\"}"), 204);
    EK_VALUE(k, k->re.login->policies, "[\"y\"]");
    EK_WANT(k, ek_delete(k, "auth/userpass/users/bob"), 204);
    EK_REFUSED(k, ek_write(k, "auth/userpass/login/bob", "{\"password\":\"q\"}"), 400, "invalid username or password");
}

static void test_refused_users(void **state)
{
    (void)state;
    UP(k);
    static const struct {
        const char *path, *json, *text;
    } t[] = {
        {"auth/userpass/users/carol", "{}", "must provide either password or password_hash"},
        {"auth/userpass/users/carol", "{\"password\":\"p\",\"token_ttl\":-1}", "cannot be negative"},
        {"auth/userpass/users/carol", "{\"password\":\"p\",\"token_ttl\":\"2h\",\"token_max_ttl\":\"1h\"}", "cannot be greater"},
        {"auth/userpass/users/carol", "{\"password_hash\":\"$2y$\"}", "not supported"},
        {"auth/userpass/users/carol/password", "{\"password\":\"p\"}", "username does not exist"},
        {"auth/userpass/users/carol/policies", "{\"token_policies\":\"p\"}", "username does not exist"},
        {"auth/userpass/users/ca\001rol", "{\"password\":\"p\"}", "no control characters"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), 400, t[i].text);
        assert_false(k->wrote);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_refused_logins),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_refused_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
