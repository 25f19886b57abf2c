/* SPDX-License-Identifier: Apache-2.0 */
/* Help and OpenAPI from descriptors. */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_help(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "help", "sys/rotate/config", NULL, 200, "bare|openapi|paths|/sys/rotate/config|post|requestBody|content|"
                                                    "application/json|schema|properties|enabled",
         "{\"type\":\"boolean\",\"description\":\"Make new keys without being told.\"}"},
        {R, "help", "secret/data/a/b", NULL, 200, "bare|openapi|paths|/secret/data/{path}|parameters",
         "[{\"name\":\"path\",\"in\":\"path\",\"schema\":{\"type\":\"string\","
         "\"description\":\"Where the secret lies.\"},\"required\":true}]"},
        {R, "help", "secret/", NULL, 200, "bare|openapi|openapi", "\"3.0.2\""},
        {R, "help", "secret", NULL, 200, "bare|openapi|info|title", "\"Merlon API\""},
        {R, "help", "sys/nosuch", NULL, 404, NULL, NULL},
        {R, "help", "nosuch/x", NULL, 404, NULL, NULL},
        {NULL, "help", "sys/rotate", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

static void test_document(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, R, "read", "sys/internal/specs/openapi", NULL), 200);
    assert_string_equal(ck_at(k, "bare|paths|/sys/seal|x-vault-sudo"), "true");
    assert_string_equal(ck_at(k, "bare|paths|/sys/health|x-vault-unauthenticated"), "true");
    assert_string_equal(ck_at(k, "bare|paths|/sys/mounts/{path}/tune|get|summary"),
                        "\"Read or change a mount's settings.\"");
    assert_string_not_equal(ck_at(k, "bare|paths|/auth/token/lookup-self"), "absent");
    const char *token = ck_token(k, "{\"policies\":[\"nothing\"],\"no_default_policy\":true}");
    CK_WANT(k, ck_call(k, R, "write", "sys/policies/acl/spec",
                       "{\"policy\":\"path \\\"sys/internal/specs/openapi\\\" { capabilities=[\\\"read\\\"] }\"}"), 204);
    CK_WANT(k, ck_call(k, token, "read", "sys/internal/specs/openapi", NULL), 403);
    token = ck_token(k, "{\"policies\":[\"spec\"],\"no_default_policy\":true}");
    CK_WANT(k, ck_call(k, token, "read", "sys/internal/specs/openapi", NULL), 200);
    assert_string_equal(ck_at(k, "bare|paths|/auth/token/lookup-self"), "absent");
    assert_string_not_equal(ck_at(k, "bare|paths|/sys/seal"), "absent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_help), cmocka_unit_test(test_document)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
