/* SPDX-License-Identifier: Apache-2.0 */
/* sys/policies/password through a whole core. */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_life(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "list", "sys/policies/password/", NULL, 404, "errors", "[]"},
        {R, "write", "sys/policies/password/pp",
         "{\"policy\":\"length=20\\nrule \\\"charset\\\" { charset=\\\"a\\\" min-chars=1 }\"}", 204, NULL, NULL},
        {R, "read", "sys/policies/password/pp", NULL, 200, "data|policy",
         "\"length=20\\nrule \\\"charset\\\" { charset=\\\"a\\\" min-chars=1 }\""},
        {R, "read", "sys/policies/password/pp/generate", NULL, 200, "data|password",
         "\"aaaaaaaaaaaaaaaaaaaa\""},
        {R, "write", "sys/policies/password/b64",
         "{\"policy\":\"bGVuZ3RoPTQKcnVsZSAiY2hhcnNldCIgeyBjaGFyc2V0PSJ6IiB9\"}", 204, NULL, NULL},
        {R, "read", "sys/policies/password/b64/generate", NULL, 200, "data|password", "\"zzzz\""},
        {R, "list", "sys/policies/password/", NULL, 200, "data|keys", "[\"b64\",\"pp\"]"},
        {R, "delete", "sys/policies/password/pp", NULL, 204, NULL, NULL},
        {R, "read", "sys/policies/password/pp", NULL, 404, NULL, "policy does not exist"},
        {R, "read", "sys/policies/password/pp/generate", NULL, 404, NULL, "policy does not exist"},
        {R, "write", "sys/policies/password/x", "{}", 400, NULL, "missing policy"},
        {R, "write", "sys/policies/password/x", "{\"policy\":\"length=2\"}", 400, NULL,
         "passwords must be between 4 and 100 characters"},
        {R, "write", "sys/policies/password/x", "{\"policy\":\"length=\"}", 400, NULL, NULL},
        {NULL, "read", "sys/policies/password/b64/generate", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_life)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
