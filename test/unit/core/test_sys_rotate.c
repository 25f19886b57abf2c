/* SPDX-License-Identifier: Apache-2.0 */
/* The barrier's keys and who leads, through a whole core. (mln_sys_rotate, mln_sys_ha) */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_keys(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/key-status", NULL, 200, "top|term", "1"},
        {R, "write", "secret/data/a", "{\"data\":{\"k\":1}}", 200, NULL, NULL},
        {R, "write", "sys/rotate", NULL, 204, NULL, NULL},
        {R, "write", "sys/rotate/keyring", NULL, 204, NULL, NULL},
        {R, "read", "sys/key-status", NULL, 200, "data|term", "3"},
        {R, "read", "secret/data/a", NULL, 200, "data|data", "{\"k\":1}"},
        {R, "read", "sys/rotate/config", NULL, 200, "data",
         "{\"enabled\":true,\"interval\":31536000,\"max_operations\":3865470566}"},
        {R, "write", "sys/rotate/config", "{\"interval\":\"48h\",\"max_operations\":2000000}", 204, NULL, NULL},
        {R, "read", "sys/rotate/keyring/config", NULL, 200, "top",
         "{\"enabled\":true,\"interval\":172800,\"max_operations\":2000000}"},
        {R, "write", "sys/rotate/config", "{\"enabled\":false}", 204, NULL, NULL},
        {R, "read", "sys/rotate/config", NULL, 200, "data|enabled", "false"},
        {R, "write", "sys/rotate/config", "{\"interval\":\"1h\"}", 400, NULL, NULL},
        {R, "write", "sys/rotate/config", "{\"interval\":-1}", 400, NULL, NULL},
        {R, "write", "sys/rotate/config", "{\"max_operations\":5}", 400, NULL,
         "max_operations must be in the range 1000000 to 3865470566"},
        {NULL, "write", "sys/rotate", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

static void test_leader(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {NULL, "read", "sys/leader", NULL, 200, "bare|is_self", "true"},
        {R, "read", "sys/ha-status", NULL, 200, "data|nodes", NULL},
        {R, "write", "sys/step-down", NULL, 204, NULL, NULL},
        {NULL, "read", "sys/ha-status", NULL, 403, NULL, "permission denied"},
        {NULL, "write", "sys/step-down", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_leader)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
