/* SPDX-License-Identifier: Apache-2.0 */
/* AppRole through the descriptor: roles and their fields, secret ids, logins, what is refused and what expires. */
#include <stdio.h>

#include "kit/engine_kit.h"

extern const struct mln_engine mln_method_approle;

#define AR     "auth/approle/"
#define ROLE   AR "role/r"
#define SECOND 1000000000

static struct ek *ar_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, AR, &mln_method_approle, "44444444-0000-4000-8000-000000000000");
    return k;
}
#define APPROLE(name) MLN_AUTO(ek_drop) struct ek *name = ar_new()

static void copy_text(struct ek *k, const char *member, char out[64])
{
    (void)snprintf(out, 64, "%s", ek_text(k, member));
}

static void make_secret(struct ek *k, const char *json, char id[64], char accessor[64])
{
    EK_WANT(k, ek_write(k, ROLE "/secret-id", json), 200);
    copy_text(k, "secret_id", id);
    copy_text(k, "secret_id_accessor", accessor);
}

static int log_in(struct ek *k, const char *role_id, const char *secret_id)
{
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"role_id\":\"%s\",\"secret_id\":\"%s\"}", role_id, secret_id);
    return ek_write(k, AR "login", json);
}

static int with(struct ek *k, const char *path, const char *member, const char *text)
{
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"%s\":\"%s\"}", member, text);
    return ek_write(k, path, json);
}

static void test_role(void **state)
{
    (void)state;
    APPROLE(k);
    EK_WANT(k, ek_list(k, AR "role/"), 404);
    EK_WANT(k, ek_read(k, ROLE, NULL), 404);
    EK_WANT(k, ek_write(k, AR "role/R", "{\"token_policies\":\"p1\",\"token_ttl\":\"20m\",\"token_max_ttl\":\"30m\","
                                        "\"secret_id_num_uses\":40,\"secret_id_ttl\":\"10m\",\"bind_secret_id\":true}"),
            204);
    EK_WANT(k, ek_read(k, ROLE, NULL), 200);
    EK_DATA(k, "{\"bind_secret_id\":true,\"local_secret_ids\":false,\"secret_id_bound_cidrs\":null,\"secret_id_num_uses\":40,"
               "\"secret_id_ttl\":600,\"token_bound_cidrs\":[],\"token_explicit_max_ttl\":0,\"token_max_ttl\":1800,"
               "\"token_no_default_policy\":false,\"token_num_uses\":0,\"token_period\":0,\"token_policies\":[\"p1\"],"
               "\"token_strictly_bind_ip\":false,\"token_ttl\":1200,\"token_type\":\"default\"}");
    EK_WANT(k, ek_list(k, AR "role/"), 200);
    EK_DATA(k, "{\"keys\":[\"r\"]}");
    EK_WANT(k, ek_delete(k, ROLE), 204);
    EK_WANT(k, ek_delete(k, ROLE), 204);
    EK_WANT(k, ek_read(k, ROLE, NULL), 404);
}

static void test_fields(void **state)
{
    (void)state;
    APPROLE(k);
    static const struct {
        const char *segment, *write, *read, *after;
    } t[] = {
        {"policies", "{\"token_policies\":[\"b\",\"a\"]}", "{\"token_policies\":[\"a\",\"b\"]}", "{\"token_policies\":[]}"},
        {"policies", "{\"policies\":\"c\"}", "{\"token_policies\":[\"c\"]}", "{\"token_policies\":[]}"},
        {"secret-id-num-uses", "{\"secret_id_num_uses\":7}", "{\"secret_id_num_uses\":7}", "{\"secret_id_num_uses\":0}"},
        {"secret-id-ttl", "{\"secret_id_ttl\":\"1m\"}", "{\"secret_id_ttl\":60}", "{\"secret_id_ttl\":0}"},
        {"token-ttl", "{\"token_ttl\":5}", "{\"token_ttl\":5}", "{\"token_ttl\":0}"},
        {"token-max-ttl", "{\"token_max_ttl\":\"1h\"}", "{\"token_max_ttl\":3600}", "{\"token_max_ttl\":0}"},
        {"token-num-uses", "{\"token_num_uses\":3}", "{\"token_num_uses\":3}", "{\"token_num_uses\":0}"},
        {"period", "{\"period\":9}", "{\"token_period\":9}", "{\"token_period\":0}"},
        {"token-bound-cidrs", "{\"token_bound_cidrs\":\"10.0.0.0/8\"}", "{\"token_bound_cidrs\":[\"10.0.0.0/8\"]}",
         "{\"token_bound_cidrs\":[]}"},
        {"secret-id-bound-cidrs", "{\"secret_id_bound_cidrs\":\"10.0.0.0/8\"}", "{\"secret_id_bound_cidrs\":[\"10.0.0.0/8\"]}",
         "{\"secret_id_bound_cidrs\":null}"},
    };
    EK_WANT(k, ek_write(k, ROLE, "{}"), 204);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), ROLE "/%s", t[i].segment);
        EK_WANT(k, ek_write(k, path, t[i].write), 204);
        EK_WANT(k, ek_read(k, path, NULL), 200);
        EK_DATA(k, t[i].read);
        EK_WANT(k, ek_delete(k, path), 204);
        EK_WANT(k, ek_read(k, path, NULL), 200);
        EK_DATA(k, t[i].after);
        EK_REFUSED(k, ek_write(k, path, "{}"), 400, "missing ");
    }
    EK_WANT(k, ek_read(k, ROLE "/local-secret-ids", NULL), 200);
    EK_DATA(k, "{\"local_secret_ids\":false}");
    EK_WANT(k, ek_read(k, AR "role/none/token-ttl", NULL), 404);
    EK_REFUSED(k, ek_write(k, AR "role/none/token-ttl", "{\"token_ttl\":1}"), 400, "role \"none\" does not exist");
}

static void test_refused_roles(void **state)
{
    (void)state;
    APPROLE(k);
    EK_WANT(k, ek_write(k, AR "role/other", "{\"role_id\":\"taken\"}"), 204);
    EK_WANT(k, ek_write(k, AR "role/old", "{}"), 204);
    static const struct {
        const char *path, *json, *text;
    } t[] = {
        {ROLE, "{\"bind_secret_id\":false}", "at least one constraint should be enabled on the role"},
        {ROLE, "{\"secret_id_num_uses\":-1}", "secret_id_num_uses cannot be negative"},
        {ROLE, "{\"secret_id_ttl\":99999999999}", "secret_id_ttl is too large"},
        {ROLE, "{\"secret_id_bound_cidrs\":\"x\"}", "invalid CIDR block \"x\""},
        {ROLE, "{\"role_id\":\"taken\"}", "already in use"},
        {ROLE, "{\"token_ttl\":2,\"token_max_ttl\":1}", "'token_ttl' cannot be greater than 'token_max_ttl'"},
        {AR "role/old", "{\"local_secret_ids\":true}", "only be modified during role creation"},
        {AR "role/old/local-secret-ids", "{\"local_secret_ids\":true}", "only be modified during role creation"},
        {AR "role/old/bind-secret-id", "{\"bind_secret_id\":false}", "at least one constraint"},
        {AR "role/old/role-id", "{\"role_id\":\"taken\"}", "already in use"},
        {AR "role/old/role-id", "{}", "missing role_id"},
        {AR "role/a\001", "{}", "no control characters"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), 400, t[i].text);
        assert_false(k->wrote && !mln_failed(k->err));
    }
}

static void test_login(void **state)
{
    (void)state;
    APPROLE(k);
    char role_id[64], id[64], accessor[64];
    EK_WANT(k, ek_write(k, ROLE, "{\"token_policies\":\"p1\",\"token_ttl\":60,\"secret_id_num_uses\":2}"), 204);
    EK_WANT(k, ek_read(k, ROLE "/role-id", NULL), 200);
    copy_text(k, "role_id", role_id);
    make_secret(k, "{\"metadata\":\"{\\\"k\\\":\\\"v\\\"}\"}", id, accessor);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "secret_id_num_uses"), -1), 2);
    EK_WANT(k, log_in(k, role_id, id), 204);
    EK_VALUE(k, k->re.login->meta, "{\"k\":\"v\",\"role_name\":\"r\"}");
    EK_VALUE(k, k->re.login->policies, "[\"p1\"]");
    assert_string_equal(k->re.login->alias, role_id);
    assert_int_equal(k->re.login->ttl_s, 60);
    EK_WANT(k, with(k, ROLE "/secret-id/lookup", "secret_id", id), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "secret_id_num_uses"), -1), 1);
    EK_WANT(k, log_in(k, role_id, id), 204);
    EK_REFUSED(k, log_in(k, role_id, id), 400, "invalid role or secret ID"); /* used up */
    EK_WANT(k, with(k, ROLE "/secret-id/lookup", "secret_id", id), 204);
    EK_WANT(k, ek_list(k, ROLE "/secret-id/"), 404);
}

static void test_refused_logins(void **state)
{
    (void)state;
    APPROLE(k);
    char id[64], accessor[64], other[64];
    EK_WANT(k, ek_write(k, AR "role/other", "{\"role_id\":\"two\"}"), 204);
    EK_WANT(k, ek_write(k, AR "role/other/secret-id", "{}"), 200);
    copy_text(k, "secret_id", other);
    EK_WANT(k, ek_write(k, ROLE, "{\"role_id\":\"one\"}"), 204);
    make_secret(k, "{\"cidr_list\":\"10.0.0.0/8\"}", id, accessor);
    EK_REFUSED(k, log_in(k, "one", "bad"), 400, "invalid role or secret ID");
    EK_REFUSED(k, log_in(k, "bad", id), 400, "invalid role or secret ID");
    EK_REFUSED(k, log_in(k, "one", other), 400, "invalid role or secret ID"); /* another role's */
    EK_REFUSED(k, log_in(k, "one", accessor), 400, "invalid role or secret ID");
    EK_REFUSED(k, log_in(k, "one", ""), 400, "missing secret_id");
    EK_REFUSED(k, log_in(k, "", id), 400, "missing role_id");
    EK_REFUSED(k, log_in(k, "one", id), 400, "CIDR restrictions on the secret ID");
    EK_WANT(k, ek_write(k, ROLE, "{\"secret_id_bound_cidrs\":\"10.0.0.0/8\"}"), 204);
    make_secret(k, "{}", id, accessor);
    EK_REFUSED(k, log_in(k, "one", id), 400, "CIDR restrictions on the role");
    EK_WANT(k, ek_write(k, ROLE, "{\"secret_id_bound_cidrs\":\"127.0.0.0/8\",\"token_bound_cidrs\":\"10.0.0.0/8\"}"), 204);
    EK_REFUSED(k, log_in(k, "one", id), 400, "CIDR restrictions on the token");
}

/* A role without secret ids is bound by addresses alone. */
static void test_role_id_alone(void **state)
{
    (void)state;
    APPROLE(k);
    EK_WANT(k, ek_write(k, ROLE, "{\"role_id\":\"one\",\"bind_secret_id\":false,\"secret_id_bound_cidrs\":\"127.0.0.1\"}"), 204);
    EK_WANT(k, log_in(k, "one", ""), 204);
    EK_VALUE(k, k->re.login->meta, "{\"role_name\":\"r\"}");
    EK_REFUSED(k, ek_write(k, ROLE "/secret-id", "{}"), 400, "bind_secret_id is not set on the role");
}

static void test_secret_ids(void **state)
{
    (void)state;
    APPROLE(k);
    char id[64], accessor[64];
    k->now_ns = 1795336877112564042;
    EK_WANT(k, ek_write(k, ROLE, "{\"role_id\":\"one\",\"secret_id_ttl\":600}"), 204);
    make_secret(k, "{\"metadata\":\"a=b, c=d\",\"token_bound_cidrs\":\"127.0.0.0/8\",\"num_uses\":5,\"ttl\":\"1m\"}", id, accessor);
    EK_WANT(k, with(k, ROLE "/secret-id-accessor/lookup", "secret_id_accessor", accessor), 200);
    char want[512];
    (void)snprintf(want, sizeof(want),
                   "{\"cidr_list\":[],\"creation_time\":\"2026-11-22T08:41:17.112564042Z\",\"expiration_time\":"
                   "\"2026-11-22T08:42:17.112564042Z\",\"last_updated_time\":\"2026-11-22T08:41:17.112564042Z\",\"metadata\":"
                   "{\"a\":\"b\",\"c\":\"d\"},\"secret_id_accessor\":\"%s\",\"secret_id_num_uses\":5,\"secret_id_ttl\":60,"
                   "\"token_bound_cidrs\":[\"127.0.0.0/8\"]}",
                   accessor);
    EK_DATA(k, want);
    EK_WANT(k, ek_list(k, ROLE "/secret-id/"), 200);
    EK_WANT(k, log_in(k, "one", id), 204);
    EK_VALUE(k, k->re.login->bound_cidrs, "[\"127.0.0.0/8\"]");
    EK_WANT(k, with(k, ROLE "/secret-id-accessor/destroy", "secret_id_accessor", accessor), 204);
    EK_REFUSED(k, log_in(k, "one", id), 400, "invalid role or secret ID");
    EK_REFUSED(k, with(k, ROLE "/secret-id-accessor/destroy", "secret_id_accessor", "nosuch"), 404,
               "failed to find accessor entry for secret_id_accessor: \"nosuch\"");
    EK_WANT(k, with(k, ROLE "/custom-secret-id", "secret_id", "my-own"), 200);
    assert_string_equal(ek_text(k, "secret_id"), "my-own");
    EK_REFUSED(k, with(k, ROLE "/custom-secret-id", "secret_id", "my-own"), 400, "already registered");
    EK_WANT(k, with(k, ROLE "/secret-id/destroy", "secret_id", "my-own"), 204);
    EK_WANT(k, with(k, ROLE "/secret-id/destroy", "secret_id", "my-own"), 204);
}

static void test_refused_secret_ids(void **state)
{
    (void)state;
    APPROLE(k);
    EK_WANT(k, ek_write(k, ROLE, "{\"secret_id_num_uses\":3,\"secret_id_ttl\":60,\"secret_id_bound_cidrs\":\"10.0.0.0/8\"}"), 204);
    static const struct {
        const char *json, *text;
    } t[] = {
        {"{\"num_uses\":4}", "num_uses cannot be higher than the role's secret_id_num_uses"},
        {"{\"num_uses\":0}", "num_uses cannot be higher"},
        {"{\"num_uses\":-1}", "num_uses cannot be negative"},
        {"{\"ttl\":\"2m\"}", "ttl cannot be longer than the role's secret_id_ttl"},
        {"{\"metadata\":\"{\"}", "failed to parse metadata"},
        {"{\"metadata\":\"{\\\"a\\\":1}\"}", "object of strings"},
        {"{\"metadata\":\"[]\"}", "failed to parse metadata"},
        {"{\"metadata\":\"ab\"}", "failed to parse metadata"},
        {"{\"cidr_list\":\"11.0.0.0/8\"}", "must be a subset"},
        {"{\"cidr_list\":\"10.0.0.0/7\"}", "must be a subset"},
        {"{\"cidr_list\":\"ten\"}", "invalid CIDR block"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, ROLE "/secret-id", t[i].json), 400, t[i].text);
        assert_false(k->wrote);
    }
    EK_REFUSED(k, ek_write(k, AR "role/none/secret-id", "{}"), 400, "role \"none\" does not exist");
    EK_REFUSED(k, ek_write(k, ROLE "/custom-secret-id", "{}"), 400, "missing secret_id");
    EK_REFUSED(k, ek_write(k, ROLE "/secret-id/lookup", "{}"), 400, "missing secret_id");
}

static size_t count_rows(struct ek *k, const char *folder)
{
    const struct mln_value *names = NULL;
    struct mln_request rq;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_txn_list(k->cx, k->txn, k->mounts[0].view, mln_bytes_of(folder), &names));
    size_t n = mln_len(names);
    ek_end(k, MLN_OK);
    return n;
}

static void test_expiry(void **state)
{
    (void)state;
    APPROLE(k);
    char id[64], accessor[64];
    EK_WANT(k, ek_write(k, ROLE, "{\"role_id\":\"one\",\"secret_id_ttl\":60}"), 204);
    make_secret(k, "{}", id, accessor);
    k->now_ns += (int64_t)59 * SECOND;
    EK_WANT(k, log_in(k, "one", id), 204);
    k->now_ns += (int64_t)2 * SECOND;
    EK_REFUSED(k, log_in(k, "one", id), 400, "invalid role or secret ID");
    EK_WANT(k, ek_write(k, AR "tidy/secret-id", NULL), 202);
    assert_int_equal(count_rows(k, "due/"), 1); /* its hour is not over */
    k->now_ns += (int64_t)3600 * SECOND;
    EK_WANT(k, ek_write(k, AR "tidy/secret-id", NULL), 202);
    assert_int_equal(count_rows(k, "due/"), 0);
    assert_int_equal(count_rows(k, "secret/"), 0);
    assert_int_equal(count_rows(k, "accessor/"), 0);
}

/* A role made anew is another: old secret ids and the old role id are worth nothing. */
static void test_role_again(void **state)
{
    (void)state;
    APPROLE(k);
    char id[64], accessor[64];
    EK_WANT(k, ek_write(k, ROLE, "{\"role_id\":\"one\"}"), 204);
    make_secret(k, "{\"ttl\":5}", id, accessor);
    EK_WANT(k, ek_delete(k, ROLE), 204);
    assert_int_equal(count_rows(k, "secret/"), 0);
    assert_int_equal(count_rows(k, "role-id/"), 0);
    EK_WANT(k, ek_write(k, ROLE, "{\"role_id\":\"one\"}"), 204);
    EK_REFUSED(k, log_in(k, "one", id), 400, "invalid role or secret ID");
    make_secret(k, "{}", id, accessor);
    EK_WANT(k, with(k, ROLE "/role-id", "role_id", "new"), 204);
    EK_REFUSED(k, log_in(k, "one", id), 400, "invalid role or secret ID");
    EK_WANT(k, log_in(k, "new", id), 204);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_role),          cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refused_roles), cmocka_unit_test(test_login),
        cmocka_unit_test(test_refused_logins), cmocka_unit_test(test_role_id_alone),
        cmocka_unit_test(test_secret_ids),    cmocka_unit_test(test_refused_secret_ids),
        cmocka_unit_test(test_expiry),        cmocka_unit_test(test_role_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
