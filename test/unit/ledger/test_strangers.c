/* SPDX-License-Identifier: Apache-2.0 */
/* A flood of strangers adds at most 65 records a second, and none of them is lost from the count. */
#include "ledger_kit.h"

static int64_t fake_ns = (int64_t)1000 * 1000000000;

static int64_t fake_mono(void *arg)
{
    (void)arg;
    return __atomic_load_n(&fake_ns, __ATOMIC_RELAXED);
}

static int64_t fake_now(void *arg)
{
    return (int64_t)1795336877 * 1000000000 + fake_mono(arg);
}

static void flood(struct lk *k, unsigned sources, unsigned each)
{
    for (unsigned i = 0; i < sources * each; i++) {
        char source[32];
        (void)snprintf(source, sizeof(source), "10.0.%u.%u", i % sources / 256, i % sources % 256);
        mln_ledger_stranger(k->ledger, mln_bytes_of(source), "secret/data/a");
    }
}

static void count(struct lk *k, uint64_t from, size_t *ret_records, int64_t *ret_sum)
{
    const struct mln_value *list = NULL;
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, from, 10000, &list));
    *ret_records = 0;
    *ret_sum = 0;
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_is_text(mln_get(mln_item(list, i), "class"), "stranger")) {
            (*ret_records)++;
            *ret_sum += mln_get_int(mln_get(mln_get(mln_item(list, i), "content"), "count"), 0);
        }
    }
}

static void a_flood_is_65_records_a_second(void **state)
{
    static const struct {
        unsigned sources, each;
        size_t records;
    } t[] = {{1, 1, 1}, {1, 5000, 1}, {64, 10, 64}, {65, 10, 65}, {1000, 20, 65}};
    struct lk *k = *state;
    struct mln_clock clock = {fake_now, fake_mono, NULL};
    mln_clock_use(&clock);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        uint64_t from = lk_status(k).size;
        size_t records = 0;
        int64_t sum = 0;
        flood(k, t[i].sources, t[i].each);
        mln_sleep_ns(300000000); /* more ticks than one: the second is not over */
        lk_flush(k);
        count(k, from, &records, &sum);
        assert_int_equal(records, 0);
        __atomic_fetch_add(&fake_ns, 1000000000, __ATOMIC_RELAXED);
        for (int tries = 0; tries < 100 && sum < (int64_t)t[i].sources * t[i].each; tries++) {
            mln_sleep_ns(20000000);
            lk_flush(k);
            count(k, from, &records, &sum);
        }
        assert_int_equal(records, t[i].records);
        assert_int_equal(sum, (int64_t)t[i].sources * t[i].each);
    }
    mln_clock_use(NULL);
}

static void closing_keeps_the_count(void **state)
{
    struct lk *k = *state;
    size_t records = 0;
    int64_t sum = 0;
    flood(k, 3, 7);
    mln_ledger_stranger(k->ledger, MLN_BYTES("evil\x01\xff\n"), "path\"\x7f");
    lk_close(k);
    lk_open(k);
    count(k, 0, &records, &sum);
    assert_true(records >= 4); /* 8 when a second ended meanwhile */
    assert_int_equal(sum, 22);
}

static void a_full_disk_loses_no_count(void **state)
{
    struct lk *k = *state;
    size_t records = 0;
    int64_t sum = 0;
    k->control->is_full = true;
    while (!mln_failed(lk_try_note(k, "secret/data/a"))) {
    }
    lk_fresh(k);
    flood(k, 100, 2);
    mln_sleep_ns(1500000000);
    k->control->is_full = false;
    lk_flush(k);
    for (int tries = 0; tries < 200 && sum < 200; tries++) {
        mln_sleep_ns(20000000);
        lk_flush(k);
        lk_fresh(k);
        count(k, 0, &records, &sum);
    }
    assert_int_equal(sum, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LK_TEST(a_flood_is_65_records_a_second),
        LK_TEST(closing_keeps_the_count),
        LK_TEST(a_full_disk_loses_no_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
