/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wheel of deadlines against a list that is searched: nothing fires early, nothing fires late,
 * nothing is forgotten.
 */
#include "kit/kit.h"

#include "base/clock.h"
#include "net/front_priv.h"

#define N      500u
#define SECOND ((int64_t)1000000000)

static unsigned fired;

static void late(struct conn *conn)
{
    conn->is_ready = true; /* marks it here */
    fired++;
}

static void test_against_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct wheel *wheel = mln_alloc(sizeof(*wheel));
        struct conn *conns = mln_alloc_array(N, sizeof(*conns));
        int64_t *want = mln_alloc_array(N, sizeof(*want));
        assert_true(wheel != NULL && conns != NULL && want != NULL);
        struct mln_prng g;
        mln_prng_seed(&g, seed);
        int64_t now = (int64_t)mln_prng_below(&g, 1u << 30) * 1000;
        wheel_begin(wheel, now);
        for (unsigned turn = 0; turn < 2000; turn++) {
            unsigned i = (unsigned)mln_prng_below(&g, N);
            uint64_t act = mln_prng_below(&g, 10);
            if (act < 6) { /* up to ten minutes: more than once around */
                want[i] =
                    now + (int64_t)mln_prng_below(&g, (uint64_t)(act == 0 ? 600 : 5) * SECOND);
                wheel_set(wheel, &conns[i], want[i]);
            } else if (act == 6) {
                wheel_remove(wheel, &conns[i]);
                want[i] = 0;
            } else if (act == 7) {
                wheel_set(wheel, &conns[i], INT64_MAX);
                want[i] = 0;
            }
            now += (int64_t)mln_prng_below(&g, (uint64_t)SECOND / 2);
            wheel_advance(wheel, now, late);
            for (unsigned k = 0; k < N; k++) {
                if (conns[k].is_ready) {
                    assert_true(want[k] != 0 && want[k] <= now); /* not early */
                    conns[k].is_ready = false;
                    want[k] = 0;
                }
                assert_true(want[k] == 0 || want[k] + 2 * WHEEL_TICK_NS > now); /* not late */
            }
        }
        mln_free(wheel);
        mln_free(conns);
        mln_free(want);
    }
    assert_true(fired > 1000);
}

static void test_timeout(void **state)
{
    static const int64_t waits[] = {1000000, SECOND, 10 * SECOND, 100 * SECOND, 130 * SECOND};
    (void)state;
    struct wheel *wheel = mln_alloc(sizeof(*wheel));
    struct conn *conn = mln_alloc(sizeof(*conn));
    assert_true(wheel != NULL && conn != NULL);
    for (size_t i = 0; i < MLN_COUNT(waits); i++) {
        for (int64_t now = 5 * SECOND; now < 400 * SECOND; now += 7 * SECOND + 12345) {
            *wheel = (struct wheel){0};
            *conn = (struct conn){0};
            wheel_begin(wheel, now);
            assert_int_equal(wheel_timeout_ms(wheel, now), -1);
            wheel_set(wheel, conn, now + waits[i]);
            int64_t ms = wheel_timeout_ms(wheel, now);
            assert_in_range(ms, waits[i] / 1000000,
                            waits[i] / 1000000 + 2 * WHEEL_TICK_NS / 1000000);
            wheel_remove(wheel, conn);
            assert_int_equal(wheel_timeout_ms(wheel, now), -1);
        }
    }
    mln_free(wheel);
    mln_free(conn);
}

/* A machine that slept for a day: everything that is due fires at once. */
static void test_long_sleep(void **state)
{
    (void)state;
    struct wheel *wheel = mln_alloc(sizeof(*wheel));
    struct conn *conns = mln_alloc_array(10, sizeof(*conns));
    assert_true(wheel != NULL && conns != NULL);
    wheel_begin(wheel, SECOND);
    for (unsigned i = 0; i < 10; i++) {
        wheel_set(wheel, &conns[i], (int64_t)(i * 20 + 2) * SECOND);
    }
    fired = 0;
    wheel_advance(wheel, 86400 * SECOND, late);
    wheel_advance(wheel, 86400 * SECOND + 2 * WHEEL_TICK_NS, late);
    assert_int_equal(fired, 10);
    mln_free(wheel);
    mln_free(conns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_against_a_list), KIT_TEST(test_timeout),
                                       KIT_TEST(test_long_sleep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
