/* SPDX-License-Identifier: Apache-2.0 */
/* Both versions of the key-value engine and the cubbyhole, through mounts, policies and tokens. */
extern const struct mln_engine mln_engine_cubbyhole;
#define CK_MORE_ENGINES &mln_engine_cubbyhole,
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_upgrade(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/k", "{\"type\":\"kv\"}", 204, NULL, NULL},
        {R, "write", "k/data/a", "{\"x\":\"1\",\"ttl\":\"1m\"}", 204, NULL, NULL},
        {R, "read", "k/data/a", NULL, 200, "data", "{\"x\":\"1\",\"ttl\":\"1m\"}"},
        {R, "read", "k/data/a", NULL, 200, "lease_duration", "60"},
        {R, "list", "k", NULL, 200, "data|keys", "[\"data/\"]"},
        {R, "list", "k", "{\"path\":\"data\"}", 200, "data|keys", "[\"data/\"]"},
        {R, "write", "k/e", "{}", 400, NULL, "missing data fields"},
        {R, "patch", "k/data/a", "{\"y\":1}", 405, NULL, "1 error occurred:\n\t* unsupported operation\n\n"},
        {R, "write", "sys/mounts/k/tune", "{\"options\":{\"version\":\"2\"}}", 200, NULL, NULL},
        {R, "read", "k/data/data/a", NULL, 200, "data|data", "{\"x\":\"1\",\"ttl\":\"1m\"}"},
        {R, "write", "k/data/data/a", "{\"data\":{\"x\":\"2\"}}", 200, "data|version", "2"},
        {R, "list", "k/metadata", NULL, 200, "data|keys", "[\"data/\"]"},
        {R, "list", "k/metadata", "{\"path\":\"data\"}", 200, "data|keys", "[\"data/\"]"},
        {R, "read", "k/a", NULL, 404, "errors", "absent"},
        {R, "write", "sys/mounts/j", "{\"type\":\"kv\",\"options\":{\"version\":\"3\"}}", 400, NULL,
         "nil backend of type \"kv\" returned from factory: version is \"1\" or \"2\""},
    };
    CK_PLAY(k, t);
}

static void test_create_or_update(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/k", "{\"type\":\"kv\"}", 204, NULL, NULL},
        {R, "write", "sys/policies/acl/c", "{\"policy\":\"path \\\"k/*\\\" { capabilities = [\\\"create\\\"] } path "
                                           "\\\"secret/*\\\" { capabilities = [\\\"create\\\"] }\"}", 204, NULL, NULL},
        {R, "write", "auth/token/create", "{\"id\":\"hvs.creator\",\"policies\":[\"c\"]}", 200, NULL, NULL},
        {"hvs.creator", "write", "k/a", "{\"x\":1}", 204, NULL, NULL},
        {"hvs.creator", "write", "k/a", "{\"x\":2}", 403, NULL, NULL},
        {"hvs.creator", "write", "secret/metadata/a", "{\"max_versions\":2}", 204, NULL, NULL},
        {"hvs.creator", "write", "secret/metadata/a", "{\"max_versions\":3}", 403, NULL, NULL},
    };
    CK_PLAY(k, t);
}

static void test_cubbyhole(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/mounts/cubbyhole", NULL, 200, "data|type", "\"cubbyhole\""},
        {R, "write", "sys/mounts/cubbyhole/x", "{\"type\":\"kv\"}", 400, NULL, "cannot mount under existing mount \"cubbyhole/\""},
        {R, "write", "auth/token/create", "{\"id\":\"hvs.one\",\"policies\":[\"default\"]}", 200, NULL, NULL},
        {R, "write", "auth/token/create", "{\"id\":\"hvs.two\",\"policies\":[\"default\"]}", 200, NULL, NULL},
        {"hvs.one", "write", "cubbyhole/a/b", "{\"x\":\"1\"}", 204, NULL, NULL},
        {"hvs.one", "read", "cubbyhole/a/b", NULL, 200, "data", "{\"x\":\"1\"}"},
        {"hvs.two", "read", "cubbyhole/a/b", NULL, 404, NULL, NULL},
        {R, "read", "cubbyhole/a/b", NULL, 404, NULL, NULL},
        {"hvs.two", "list", "cubbyhole", NULL, 404, NULL, NULL},
        {"hvs.one", "list", "cubbyhole", NULL, 200, "data|keys", "[\"a/\"]"},
        {NULL, "read", "cubbyhole/a/b", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_create_or_update),
        cmocka_unit_test(test_cubbyhole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
