/* SPDX-License-Identifier: Apache-2.0 */
/* SCAN: names however deep, pages, who may, and where it is no operation. */
#include "contract/engine.h"

extern const struct mln_engine mln_engine_cubbyhole;
#define CK_MORE_ENGINES &mln_engine_cubbyhole,
#include "life_kit.h"

#define R "root"

static void test_names(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "scan", "secret/metadata", NULL, 200, "data", "{}"}, /* nothing is no fault, unlike a list's */
        {R, "write", "secret/data/a", "{\"data\":{\"v\":1}}", 200, NULL, NULL},
        {R, "write", "secret/data/a-b", "{\"data\":{\"v\":1}}", 200, NULL, NULL},
        {R, "write", "secret/data/a/x", "{\"data\":{\"v\":1}}", 200, NULL, NULL},
        {R, "write", "secret/data/a/y/z", "{\"data\":{\"v\":1}}", 200, NULL, NULL},
        {R, "write", "secret/data/b/c", "{\"data\":{\"v\":1}}", 200, NULL, NULL},
        {R, "scan", "secret/metadata", NULL, 200, "data",
         "{\"keys\":[\"a\",\"a-b\",\"a/x\",\"a/y/z\",\"b/c\"]}"},
        {R, "scan", "secret/metadata/a", NULL, 200, "data|keys", "[\"x\",\"y/z\"]"},
        {R, "scan", "secret/metadata/a/", NULL, 200, "data|keys", "[\"x\",\"y/z\"]"},
        {R, "scan", "secret/metadata", "{\"limit\":\"2\"}", 200, "data|keys", "[\"a\",\"a-b\"]"},
        {R, "scan", "secret/metadata", "{\"after\":\"a/x\",\"limit\":1}", 200, "data|keys", "[\"a/y/z\"]"},
        {R, "scan", "secret/metadata", "{\"after\":\"z\"}", 200, "data", "{}"},
        {R, "scan", "secret/metadata", "{\"limit\":\"many\"}", 400, NULL,
         "Field validation failed: error converting input for field \"limit\": expected a number"},
        {R, "scan", "secret/detailed-metadata", "{\"after\":\"b\"}", 200, "data|keys", "[\"b/c\"]"},
        {R, "scan", "secret/detailed-metadata", NULL, 200, "data|key_info|a/y/z|current_version", "1"},
        {R, "write", "sys/mounts/one", "{\"type\":\"kv\",\"options\":{\"version\":\"1\"}}", 204, NULL, NULL},
        {R, "write", "one/p/q", "{\"v\":1}", 204, NULL, NULL},
        {R, "scan", "one", NULL, 200, "data", "{\"keys\":[\"p/q\"]}"},
        {R, "write", "cubbyhole/d/e", "{\"v\":1}", 204, NULL, NULL},
        {R, "scan", "cubbyhole", NULL, 200, "data", "{\"keys\":[\"d/e\"]}"},
        {R, "scan", "sys/policies/acl", NULL, 405, NULL, NULL},
        {R, "scan", "nowhere/", NULL, 404, NULL, NULL},
    };
    CK_PLAY(k, t);
}

static void test_who(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "lists", "path \"secret/metadata/*\" { capabilities = [\"list\"] }");
    lk_policy(k, "scans", "path \"secret/metadata/a\" { capabilities = [\"scan\"] }");
    CK_WANT(k, ck_call(k, R, "write", "secret/data/a/x", "{\"data\":{\"v\":1}}"), 200);
    char lists[64], scans[64];
    (void)snprintf(lists, sizeof(lists), "%s", lk_token(k, "{\"policies\":[\"lists\"]}"));
    (void)snprintf(scans, sizeof(scans), "%s", lk_token(k, "{\"policies\":[\"scans\"]}"));
    const struct ck_step t[] = {
        {lists, "scan", "secret/metadata/a", NULL, 403, NULL, "1 error occurred:\n\t* permission denied\n\n"},
        {lists, "list", "secret/metadata/a", NULL, 200, NULL, NULL},
        {scans, "scan", "secret/metadata/a", NULL, 200, "data|keys", "[\"x\"]"},
        {scans, "list", "secret/metadata/a", NULL, 403, NULL, NULL},
        {scans, "scan", "secret/metadata", NULL, 403, NULL, NULL},
        {NULL, "scan", "secret/metadata/a", NULL, 403, NULL, NULL},
    };
    CK_PLAY(k, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_who)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
