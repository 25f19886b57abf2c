/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: the rules' paths, and requests that are refused. */
#include "core_kit.h"

#include "base/clock.h"

#include <time.h>

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static int64_t now_ns = 1800000000000000000;

static int64_t fixed_now(void *arg)
{
    (void)arg;
    return now_ns;
}

/* Deadlines of the ledger's threads go on. */
static int64_t true_mono(void *arg)
{
    struct timespec t;
    (void)arg;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void use_fixed_clock(void)
{
    static const struct mln_clock clock = {.now_ns = fixed_now, .mono_ns = true_mono};
    mln_clock_use(&clock);
}

static void test_paths(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/quotas/config", NULL, 200, "data|enable_rate_limit_response_headers", "false"},
        {R, "list", "sys/quotas/rate-limit/", NULL, 404, "errors", "[]"},
        {R, "write", "sys/quotas/rate-limit/q", "{\"rate\":100000}", 204, NULL, NULL},
        {R, "read", "sys/quotas/rate-limit/q", NULL, 200, "data",
         "{\"block_interval\":0,\"inheritable\":true,\"interval\":1,\"name\":\"q\",\"path\":\"\","
         "\"rate\":100000,\"role\":\"\",\"type\":\"rate-limit\"}"},
        {R, "write", "sys/quotas/rate-limit/m", "{\"rate\":\"2.5\",\"interval\":\"1m\",\"path\":\"secret\"}", 204,
         NULL, NULL},
        {R, "read", "sys/quotas/rate-limit/m", NULL, 200, "data|path", "\"secret/\""},
        {R, "read", "sys/quotas/rate-limit/m", NULL, 200, "data|rate", "2.5"},
        {R, "list", "sys/quotas/rate-limit/", NULL, 200, "data|keys", "[\"m\",\"q\"]"},
        {R, "delete", "sys/quotas/rate-limit/m", NULL, 204, NULL, NULL},
        {R, "read", "sys/quotas/rate-limit/m", NULL, 404, "errors", "[]"},
        {R, "write", "sys/quotas/rate-limit/x", "{}", 400, NULL, "'rate' is invalid"},
        {R, "write", "sys/quotas/rate-limit/x", "{\"rate\":0}", 400, NULL, "'rate' is invalid"},
        {R, "write", "sys/quotas/rate-limit/x", "{\"rate\":-1}", 400, NULL, "'rate' is invalid"},
        {R, "write", "sys/quotas/rate-limit/x", "{\"rate\":\"many\"}", 400, NULL, "'rate' is invalid"},
        {R, "write", "sys/quotas/rate-limit/x", "{\"rate\":1,\"interval\":\"0s\"}", 400, NULL,
         "'interval' is invalid"},
        {R, "write", "sys/quotas/rate-limit/x", "{\"rate\":1,\"block_interval\":-1}", 400, NULL,
         "'block_interval' is invalid"},
        {R, "write", "sys/quotas/rate-limit/x", "{\"rate\":1,\"role\":\"r\"}", 400, NULL,
         "quotas for a role are not supported"},
        {NULL, "read", "sys/quotas/config", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

static void test_limited(void **state)
{
    (void)state;
    CK(k);
    use_fixed_clock();
    static const struct ck_step t[] = {
        {R, "write", "sys/quotas/rate-limit/q", "{\"rate\":2,\"interval\":\"10s\",\"path\":\"secret/\"}", 204, NULL,
         NULL},
        {R, "read", "secret/data/a", NULL, 404, "rate", "absent"},
        {R, "read", "secret/data/a", NULL, 404, NULL, NULL},
        {R, "read", "secret/data/a", NULL, 429, NULL,
         "request path \"secret/data/a\": rate limit quota exceeded"},
        {NULL, "read", "secret/data/a", NULL, 429, "rate", "{\"limit\":2,\"remaining\":0,\"reset\":5}"},
        {NULL, "read", "secret/data/a", NULL, 429, "retry_after", "5"},
        {R, "read", "sys/mounts", NULL, 200, NULL, NULL},
    };
    CK_PLAY(k, t);
    now_ns += 5000000000; /* half the interval: one more */
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 404);
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 429);
    static const struct ck_step more[] = {
        {R, "write", "sys/quotas/rate-limit/one", "{\"rate\":1,\"path\":\"secret/data/a\"}", 204, NULL, NULL},
        {R, "read", "secret/data/a", NULL, 404, NULL, NULL}, /* the longer rule decides */
        {R, "read", "secret/data/a", NULL, 429, NULL, NULL},
        {R, "read", "secret/data/b", NULL, 404, NULL, NULL}, /* changed rules begin anew */
        {R, "write", "sys/quotas/config",
         "{\"rate_limit_exempt_paths\":[\"secret/data/*\"],\"enable_rate_limit_response_headers\":true}", 204, NULL,
         NULL},
        {R, "read", "secret/data/a", NULL, 404, "rate", "absent"},
        {R, "read", "secret/data/a", NULL, 404, NULL, NULL},
        {R, "read", "secret/data/a", NULL, 404, NULL, NULL},
        {R, "list", "secret/metadata/", NULL, 404, "rate", "{\"limit\":2,\"remaining\":1,\"reset\":5}"},
    };
    CK_PLAY(k, more);
    mln_clock_use(NULL);
}

static void test_block(void **state)
{
    (void)state;
    CK(k);
    use_fixed_clock();
    static const struct ck_step t[] = {
        {R, "write", "sys/quotas/rate-limit/q",
         "{\"rate\":1,\"interval\":1,\"block_interval\":60,\"path\":\"secret/*\"}", 204, NULL, NULL},
        {R, "read", "secret/data/a", NULL, 404, NULL, NULL},
        {R, "read", "secret/data/a", NULL, 429, "retry_after", "60"},
    };
    CK_PLAY(k, t);
    now_ns += 30000000000;
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 429);
    now_ns += 30000000000;
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 404);
    mln_clock_use(NULL);
}

/* Rules are read again after a restart. */
static void test_kept(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, R, "write", "sys/quotas/rate-limit/q", "{\"rate\":1,\"interval\":3600,\"path\":\"secret/\"}"), 204);
    mln_core_close(k->core);
    k->core = NULL;
    ck_open(k);
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 404);
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 429);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_limited),
                                       cmocka_unit_test(test_block), cmocka_unit_test(test_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
