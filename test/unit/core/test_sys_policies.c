/* SPDX-License-Identifier: Apache-2.0 */
/* sys/policies/acl, sys/policy and sys/capabilities through a whole core. */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"
#define READER "path \\\"secret/data/a\\\" { capabilities = [\\\"read\\\", \\\"list\\\"] }"

static void test_both_forms(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/policies/acl/p1", "{\"policy\":\"" READER "\"}", 204, NULL, NULL},
        {R, "read", "sys/policies/acl/p1", NULL, 200, "data|policy", "\"" READER "\""},
        {R, "read", "sys/policies/acl/p1", NULL, 200, "top", "absent"},
        {R, "read", "sys/policy/p1", NULL, 200, "top|rules", "\"" READER "\""},
        {R, "read", "sys/policy/p1", NULL, 200, "data|name", "\"p1\""},
        {R, "write", "sys/policy/p2", "{\"rules\":\"" READER "\"}", 204, NULL, NULL},
        {R, "write", "sys/policy/p3",
         "{\"policy\":\"cGF0aCAiYSIgeyBjYXBhYmlsaXRpZXMgPSBbInJlYWQiXSB9\"}", 204, NULL, NULL},
        {R, "read", "sys/policy/p3", NULL, 200, "data|rules",
         "\"path \\\"a\\\" { capabilities = [\\\"read\\\"] }\""},
        {R, "list", "sys/policies/acl/", NULL, 200, "data|keys",
         "[\"default\",\"p1\",\"p2\",\"p3\",\"root\"]"},
        {R, "read", "sys/policy", NULL, 200, "top|policies",
         "[\"default\",\"p1\",\"p2\",\"p3\",\"root\"]"},
        {R, "write", "sys/policies/acl/UP", "{\"policy\":\"" READER "\"}", 200, "warnings",
         "[\"policy name was converted to lower case\"]"},
        {R, "read", "sys/policies/acl/up", NULL, 200, "data|name", "\"up\""},
        {R, "delete", "sys/policy/p1", NULL, 204, NULL, NULL},
        {R, "read", "sys/policies/acl/p1", NULL, 404, "errors", "[]"},
        {R, "read", "sys/policies/acl/root", NULL, 200, "data|policy", "\"\""},
        {R, "delete", "sys/policies/acl/root", NULL, 400, NULL, "cannot delete \"root\" policy"},
        {R, "write", "sys/policies/acl/x", "{}", 400, NULL, "'policy' parameter not supplied or empty"},
        {R, "write", "sys/policies/acl/x", "{\"policy\":\"path {\"}", 400, NULL, NULL},
    };
    CK_PLAY(k, t);
}

static void test_capabilities(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, R, "write", "sys/policies/acl/p1", "{\"policy\":\"" READER "\"}"), 204);
    const char *token = ck_token(k, "{\"policies\":[\"p1\"]}");
    const char *accessor =
        mln_get_text(&k->cx, mln_get(mln_get(k->answer, "auth"), "accessor"), "");
    const char *by_token = mln_text_format(&k->cx, "{\"token\":\"%s\",\"paths\":\"secret/data/a,x\"}", token);
    const char *by_accessor =
        mln_text_format(&k->cx, "{\"accessor\":\"%s\",\"path\":[\"secret/data/a\"]}", accessor);
    const struct ck_step t[] = {
        {token, "write", "sys/capabilities-self", "{\"paths\":[\"secret/data/a\",\"x\"]}", 200, "data",
         "{\"secret/data/a\":[\"list\",\"read\"],\"x\":[\"deny\"]}"},
        {token, "write", "sys/capabilities-self", "{\"paths\":[\"x\"]}", 200, "data", "{\"x\":[\"deny\"],\"capabilities\":[\"deny\"]}"},
        {R, "write", "sys/capabilities-self", "{\"path\":\"x\"}", 200, "top|capabilities", "[\"root\"]"},
        {R, "write", "sys/capabilities", by_token, 200, "data|x", "[\"deny\"]"},
        {R, "write", "sys/capabilities-accessor", by_accessor, 200, "data|secret/data/a",
         "[\"list\",\"read\"]"},
        {R, "write", "sys/capabilities-accessor", "{\"accessor\":\"no\",\"path\":\"a\"}", 400, NULL,
         "invalid accessor"},
        {R, "write", "sys/capabilities", "{\"token\":\"no\",\"path\":\"a\"}", 400, NULL, "invalid token"},
        {R, "write", "sys/capabilities-self", "{}", 400, NULL, "paths must be supplied"},
        {token, "write", "sys/capabilities", "{\"path\":\"x\"}", 403, NULL, NULL},
    };
    CK_PLAY(k, t);
}

/* Names that the server keeps: shown, never changed, never given to a token. */
static void test_kept_names(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/policies/acl/response-wrapping", "{\"policy\":\"" READER "\"}", 400, NULL,
         "cannot update \"response-wrapping\" policy"},
        {R, "write", "sys/policy/Control-Group", "{\"policy\":\"" READER "\"}", 400, NULL,
         "cannot update \"control-group\" policy"},
        {R, "delete", "sys/policies/acl/response-wrapping", NULL, 400, NULL, "cannot delete \"response-wrapping\" policy"},
        {R, "delete", "sys/policies/acl/control-group", NULL, 400, NULL, "cannot delete \"control-group\" policy"},
        {R, "list", "sys/policies/acl", NULL, 200, "data|keys", "[\"default\",\"root\"]"},
        {R, "read", "sys/policies/acl/response-wrapping", NULL, 200, "data|name", "\"response-wrapping\""},
        {R, "read", "sys/policies/acl/root", NULL, 200, "data|policy", "\"\""},
        {R, "write", "auth/token/create", "{\"policies\":[\"response-wrapping\"]}", 400, NULL,
         "cannot assign policy \"response-wrapping\""},
        {R, "write", "auth/token/create-orphan", "{\"policies\":[\"default\",\"Control-Group\"]}", 400, NULL,
         "cannot assign policy \"control-group\""},
        {R, "write", "sys/policies/acl/response-wrapping-2", "{\"policy\":\"" READER "\"}", 204, NULL, NULL},
    };
    CK_PLAY(k, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept_names), cmocka_unit_test(test_both_forms),
                                       cmocka_unit_test(test_capabilities)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
