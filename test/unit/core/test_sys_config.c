/* SPDX-License-Identifier: Apache-2.0 */
/* sys/config: web pages' origins and how they are judged, headers of audit devices and of a user interface. */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_rows(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/config/cors", NULL, 200, "top", "{\"enabled\":false}"},
        {R, "write", "sys/config/cors", "{}", 400, NULL, "at least one origin or the wildcard must be provided"},
        {R, "write", "sys/config/cors", "{\"allowed_origins\":\"*,https://a.example\"}", 400, NULL,
         "to allow all origins the '*' must be the only value for allowed_origins"},
        {R, "write", "sys/config/cors", "{\"allowed_origins\":[\"a b\"]}", 400, NULL,
         "'allowed_origins' holds what is no name"},
        {R, "write", "sys/config/cors", "{\"allowed_origins\":[\"https://a\"],\"allowed_headers\":[\"X-A\\r\\nB\"]}", 400,
         NULL, "'allowed_headers' holds what is no name"},
        {R, "read", "sys/config/auditing/request-headers", NULL, 200, "top", "{\"headers\":{}}"},
        {R, "write", "sys/config/auditing/request-headers/X-Real-IP", "{\"hmac\":true}", 204, NULL, NULL},
        {R, "read", "sys/config/auditing/request-headers/x-real-ip", NULL, 200, "data",
         "{\"x-real-ip\":{\"hmac\":true}}"},
        {R, "read", "sys/config/auditing/request-headers/other", NULL, 400, NULL, "Could not find header in config"},
        {R, "delete", "sys/config/auditing/request-headers/X-REAL-IP", NULL, 204, NULL, NULL},
        {R, "read", "sys/config/auditing/request-headers", NULL, 200, "data", "{\"headers\":{}}"},
        {R, "list", "sys/config/ui/headers/", NULL, 404, NULL, NULL},
        {R, "write", "sys/config/ui/headers/X-A", "{\"values\":[\"1\",\"2\"]}", 204, NULL, NULL},
        {R, "read", "sys/config/ui/headers/x-a", NULL, 200, "data", "{\"value\":\"1\"}"},
        {R, "read", "sys/config/ui/headers/x-a", "{\"multivalue\":true}", 200, "data",
         "{\"value\":\"1\",\"values\":[\"1\",\"2\"]}"},
        {R, "list", "sys/config/ui/headers/", NULL, 200, "data", "{\"keys\":[\"x-a\"]}"},
        {R, "delete", "sys/config/ui/headers/X-A", NULL, 204, NULL, NULL},
        {R, "read", "sys/config/ui/headers/x-a", NULL, 404, NULL, NULL},
        {R, "write", "sys/config/ui/headers/X-Vault-Token", "{\"values\":[\"1\"]}", 400, NULL,
         "X-Vault headers cannot be set"},
        {NULL, "read", "sys/config/cors", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

static int preflight(struct ck *k, const char *origin)
{
    k->origin = origin;
    k->is_preflight = true;
    int status = ck_call(k, NULL, "read", "secret/data/a", NULL);
    k->is_preflight = false;
    k->origin = NULL;
    return status;
}

static void test_judged(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, preflight(k, "https://a.example"), 400);
    assert_string_equal(ck_error(k), "cannot handle internal-only request operation");
    CK_WANT(k, ck_call(k, R, "write", "sys/config/cors",
                       "{\"allowed_origins\":\"https://a.example\",\"allowed_headers\":\"X-Mine\"}"), 204);
    CK_WANT(k, preflight(k, "https://a.example"), 204);
    assert_string_equal(ck_at(k, "cors|origin"), "\"https://a.example\"");
    assert_string_equal(ck_at(k, "cors|methods"), "\"DELETE, GET, LIST, OPTIONS, PATCH, POST, PUT, SCAN\"");
    assert_non_null(strstr(ck_at(k, "cors|headers"), "X-Vault-Token, X-Vault-Wrap-Format"));
    assert_non_null(strstr(ck_at(k, "cors|headers"), ", X-Mine"));
    CK_WANT(k, preflight(k, "https://b.example"), 403);
    assert_string_equal(ck_error(k), "origin not allowed");
    CK_WANT(k, preflight(k, NULL), 400);
    k->origin = "https://a.example";
    CK_WANT(k, ck_call(k, R, "read", "sys/mounts", NULL), 200);
    assert_string_equal(ck_at(k, "cors"), "{\"origin\":\"https://a.example\"}");
    CK_WANT(k, ck_call(k, NULL, "read", "sys/mounts", NULL), 403);
    assert_string_equal(ck_at(k, "cors"), "{\"origin\":\"https://a.example\"}"); /* so that the page may read why */
    k->origin = "https://b.example";
    CK_WANT(k, ck_call(k, R, "read", "sys/mounts", NULL), 403);
    assert_string_equal(ck_error(k), "origin not allowed");
    k->origin = NULL;
    CK_WANT(k, ck_call(k, R, "write", "sys/config/cors", "{\"allowed_origins\":\"*\"}"), 204);
    CK_WANT(k, preflight(k, "https://b.example"), 204);
    CK_WANT(k, ck_call(k, R, "delete", "sys/config/cors", NULL), 204);
    k->origin = "https://b.example";
    CK_WANT(k, ck_call(k, R, "read", "sys/mounts", NULL), 200);
    assert_string_equal(ck_at(k, "cors"), "absent");
    k->origin = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_judged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
