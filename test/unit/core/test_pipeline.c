/* SPDX-License-Identifier: Apache-2.0 */
/* Requests through a whole core: secrets, policies, tokens, users, refusals, sealing, records. */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()

static void test_secret(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a/b", "{\"data\":{\"k\":\"v\"}}"), 200);
    assert_true(mln_get_int(mln_get(k->answer, "ledger"), -1) > 0);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a/b", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "data")), "{\"k\":\"v\"}");
    CK_WANT(k, ck_call(k, "root", "list", "secret/metadata/", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"keys\":[\"a/\"]}");
}

static void test_refused(void **state)
{
    (void)state;
    CK(k);
    static const struct {
        const char *token, *op, *path, *json;
        int status;
        const char *text;
    } t[] = {
        {NULL, "read", "secret/data/a", NULL, 403, "permission denied"},
        {"bad", "read", "secret/data/a", NULL, 403, "permission denied"},
        {"root", "read", "secret/data/a", NULL, 404, ""},
        {"root", "read", "nope/x", NULL, 404,
         "no handler for route \"nope/x\". route entry not found."},
        {"root", "read", "sys/nope/x", NULL, 404, "1 error occurred:\n\t* unsupported path\n\n"},
        {"root", "patch", "sys/seal", "{}", 405,
         "1 error occurred:\n\t* unsupported operation\n\n"},
        {"root", "write", "sys/mounts/secret", "{\"type\":\"kv\"}", 400,
         "path is already in use at secret/"},
        {"root", "write", "sys/mounts/x", "{\"type\":\"nope\"}", 400,
         "plugin not found in the catalog: nope"},
        {"root", "write", "sys/mounts/sys/x", "{\"type\":\"kv\"}", 400,
         "cannot mount under existing mount \"sys/\""},
        {"root", "delete", "sys/mounts/sys", NULL, 400, "cannot unmount \"sys/\""},
        {"root", "write", "sys/policies/acl/root", "{\"policy\":\"path \\\"a\\\" {}\"}", 400,
         "cannot update \"root\" policy"},
        {"root", "delete", "sys/policies/acl/default", NULL, 400, "cannot delete default policy"},
        {"root", "write", "auth/token/renew-self", "{}", 400, "invalid lease ID"},
        {"root", "write", "auth/token/lookup", "{\"token\":\"hvs.nope\"}", 403, "bad token"},
        {"root", "write", "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1}", 400,
         "Vault is already initialized"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, ck_call(k, t[i].token, t[i].op, t[i].path, t[i].json), t[i].status);
        assert_string_equal(ck_error(k), t[i].text);
    }
}

static const char *new_token(struct ck *k, const char *by, const char *json)
{
    CK_WANT(k, ck_call(k, by, "write", "auth/token/create", json), 200);
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, "auth"), "client_token"), "");
}

static void test_policy(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(
        k,
        ck_call(k, "root", "write", "sys/policies/acl/reader",
                "{\"policy\":\"path \\\"secret/data/a\\\" { capabilities = [\\\"read\\\"] }\"}"),
        204);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"k\":1}}"), 200);
    const char *token = new_token(k, "root", "{\"policies\":[\"reader\"],\"ttl\":\"1h\"}");
    CK_WANT(k, ck_call(k, token, "read", "secret/data/a", NULL), 200);
    CK_WANT(k, ck_call(k, token, "write", "secret/data/a", "{\"data\":{}}"), 403);
    assert_string_equal(ck_error(k), "1 error occurred:\n\t* permission denied\n\n");
    CK_WANT(k, ck_call(k, token, "read", "secret/data/b", NULL), 403);
    CK_WANT(k,
            ck_call(k, token, "write", "sys/capabilities-self",
                    "{\"paths\":[\"secret/data/a\",\"x\"]}"),
            200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "secret/data/a")),
                        "[\"read\"]");
    CK_WANT(k,
            ck_call(k, "root", "write", "sys/policies/acl/reader",
                    "{\"policy\":\"path \\\"x\\\" { capabilities = [\\\"read\\\"] }\"}"),
            204);
    CK_WANT(k, ck_call(k, token, "read", "secret/data/a", NULL),
            403); /* at once, not after a while */
    CK_WANT(k, ck_call(k, token, "write", "auth/token/create", "{\"policies\":[\"root\"]}"), 403);
}

static void test_tokens(void **state)
{
    (void)state;
    CK(k);
    const char *parent = new_token(k, "root", "{\"policies\":[\"p\"],\"ttl\":60}");
    CK_WANT(k, ck_call(k, parent, "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "policies")),
                        "[\"default\",\"p\"]");
    const char *twice = new_token(k, "root", "{\"policies\":[\"default\"],\"num_uses\":2}");
    CK_WANT(k, ck_call(k, twice, "read", "auth/token/lookup-self", NULL), 200);
    CK_WANT(k, ck_call(k, twice, "read", "auth/token/lookup-self", NULL), 200);
    CK_WANT(k, ck_call(k, twice, "read", "auth/token/lookup-self", NULL), 403);
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/renew-self", "{\"increment\":\"30m\"}"),
            200);
    assert_int_equal(mln_get_int(mln_get(mln_get(k->answer, "auth"), "lease_duration"), 0), 1800);
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/revoke-self", NULL), 204);
    CK_WANT(k, ck_call(k, parent, "read", "auth/token/lookup-self", NULL), 403);
}

static void test_tree(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(
        k,
        ck_call(
            k, "root", "write", "sys/policies/acl/maker",
            "{\"policy\":\"path \\\"auth/token/create\\\" { capabilities = [\\\"update\\\"] }\"}"),
        204);
    const char *parent = new_token(k, "root", "{\"policies\":[\"maker\"]}");
    const char *child = new_token(k, parent, "{\"policies\":[\"maker\"]}");
    const char *grandchild = new_token(k, child, "{}");
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/create", "{\"policies\":[\"other\"]}"), 400);
    assert_string_equal(ck_error(k), "child policies must be subset of parent");
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/create", "{\"id\":\"mine\"}"), 400);
    char json[128];
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\"}", parent);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/revoke", json), 204);
    CK_WANT(k, ck_call(k, child, "read", "auth/token/lookup-self", NULL), 403);
    CK_WANT(k, ck_call(k, grandchild, "read", "auth/token/lookup-self", NULL), 403);
}

static void test_person(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 204);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/userpass/users/alice",
                    "{\"password\":\"pw\",\"token_policies\":\"p\"}"),
            204);
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"no\"}"),
            400);
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"pw\"}"),
            200);
    const struct mln_value *auth = mln_get(k->answer, "auth");
    const char *first = mln_get_text(&k->cx, mln_get(auth, "entity_id"), "");
    assert_int_equal(mln_bytes_of(first).len, 36);
    assert_string_equal(ck_json(k, mln_get(auth, "policies")), "[\"default\",\"p\"]");
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"pw\"}"),
            200);
    assert_string_equal(mln_get_text(&k->cx, mln_get(mln_get(k->answer, "auth"), "entity_id"), ""),
                        first);
    assert_true(k->blocks > 0);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/auth/userpass", NULL), 204);
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"pw\"}"),
            403);
}

static void test_mounts(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k,
            ck_call(k, "root", "write", "sys/mounts/team/kv",
                    "{\"type\":\"kv\",\"options\":{\"version\":\"2\"}}"),
            204);
    CK_WANT(k, ck_call(k, "root", "write", "team/kv/data/x", "{\"data\":{\"a\":1}}"), 200);
    CK_WANT(k, ck_call(k, "root", "read", "sys/internal/ui/mounts/team/kv/x", NULL), 200);
    assert_string_equal(mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "path"), ""),
                        "team/kv/");
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/team/kv/tune", "{\"max_lease_ttl\":\"1h\"}"),
            204);
    CK_WANT(k, ck_call(k, "root", "read", "sys/mounts/team/kv/tune", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(mln_get(k->answer, "data"), "max_lease_ttl"), 0), 3600);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/mounts/team/kv", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "team/kv/data/x", NULL), 404);
    CK_WANT(k,
            ck_call(k, "root", "write", "sys/mounts/team/kv",
                    "{\"type\":\"kv\",\"options\":{\"version\":\"2\"}}"),
            204);
    CK_WANT(k, ck_call(k, "root", "read", "team/kv/data/x", NULL), 404);
    assert_string_equal(ck_error(k), "");
}

static void test_seal(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/health", NULL), 200);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/seal", NULL), 403);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"k\":1}}"), 200);
    CK_WANT(k, ck_call(k, "root", "write", "sys/seal", NULL), 204);
    assert_true(mln_core_is_sealed(k->core));
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a", NULL), 503);
    assert_string_equal(ck_error(k), "Vault is sealed");
    CK_WANT(k, ck_call(k, NULL, "read", "sys/health", NULL), 503);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/seal-status", NULL), 200);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", "{\"key\":\"00\"}"), 400);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", "{\"key\":\"zz\"}"), 400);
    assert_true(mln_core_is_sealed(k->core));
    mln_core_close(k->core);
    ck_open(k); /* the key file opens it */
    assert_false(mln_core_is_sealed(k->core));
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a", NULL), 200);
}

static void test_records(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"k\":\"hush-hush\"}}"),
            200);
    int64_t index = mln_get_int(mln_get(k->answer, "ledger"), -1);
    char path[64];
    (void)snprintf(path, sizeof(path), "sys/ledger/proof/%lld", (long long)index);
    CK_WANT(k, ck_call(k, "root", "read", path, NULL), 200);
    const struct mln_value *content = mln_get(mln_get(k->answer, "data"), "content");
    assert_string_equal(mln_get_text(&k->cx, mln_get(content, "resource"), ""), "secret/data/a");
    assert_string_equal(mln_get_text(&k->cx, mln_get(content, "decision"), ""), "allow");
    assert_string_equal(mln_get_text(&k->cx, mln_get(mln_get(content, "actor"), "name"), ""),
                        "token");
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/entries", "{\"max\":1000}"), 200);
    const char *all = ck_json(k, mln_get(k->answer, "data"));
    assert_true(mln_bytes_find_bytes(mln_bytes_of(all), MLN_BYTES("hush-hush")) ==
                mln_bytes_of(all).len);
    CK_WANT(k, ck_call(k, "root", "read", "sys/verify-store", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "problems")), "[]");
    CK_WANT(k, ck_call(k, NULL, "read", "sys/internal/ledger/checkpoint", NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_policy),  cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_tree),    cmocka_unit_test(test_person),
        cmocka_unit_test(test_mounts),  cmocka_unit_test(test_seal),
        cmocka_unit_test(test_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
