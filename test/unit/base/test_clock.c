/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static void test_time_goes_on(void **state)
{
    (void)state;
    int64_t mono = mln_mono_ns();
    int64_t wall = mln_now_ns();
    assert_true(wall > INT64_C(1600000000) * 1000000000);
    mln_sleep_ns(2000000);
    mln_sleep_ns(0);
    mln_sleep_ns(-5);
    assert_true(mln_mono_ns() - mono >= 2000000);
    int64_t cpu = mln_cpu_ns();
    volatile uint64_t sum = 0;
    for (int i = 0; i < 1000000; i++) {
        sum = sum + 1;
    }
    assert_true(mln_cpu_ns() > cpu);
}

static int64_t fixed_now(void *arg)
{
    return *(int64_t *)arg;
}

static int64_t fixed_mono(void *arg)
{
    return *(int64_t *)arg * 2;
}

static void test_other_clock(void **state)
{
    (void)state;
    int64_t at = 42;
    struct mln_clock clock = {.now_ns = fixed_now, .mono_ns = fixed_mono, .arg = &at};
    mln_clock_use(&clock);
    assert_int_equal(mln_now_ns(), 42);
    at = 50;
    assert_int_equal(mln_mono_ns(), 100);
    mln_clock_use(NULL);
    assert_true(mln_now_ns() > 1000);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    while (n > 0 && *p == 0) {
        p++;
        n--;
    }
    return n == 0;
}

static void test_random_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16, 32, 1000, 1024, 1025, 4096, 100000};
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        MLN_AUTO(mln_free_drop) uint8_t *a = mln_alloc(sizes[i]);
        MLN_AUTO(mln_free_drop) uint8_t *b = mln_alloc(sizes[i]);
        mln_random(a, sizes[i]);
        mln_random(b, sizes[i]);
        if (sizes[i] >= 16) {
            assert_false(mln_same(a, b, sizes[i]));
            assert_false(is_zero(a, 16) || is_zero(a + sizes[i] - 16, 16));
        }
    }
}

/* Across many refills no draw is ever given twice. */
static void test_random_never_repeats(void **state)
{
    (void)state;
    static uint64_t seen[4096];
    for (size_t i = 0; i < MLN_COUNT(seen); i++) {
        seen[i] = mln_random_u64();
        for (size_t j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
}

static void test_random_after_fork(void **state)
{
    (void)state;
    (void)mln_random_u64(); /* the pool is filled */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        uint64_t drawn[4];
        mln_random(drawn, sizeof(drawn));
        _exit(write(ends[1], drawn, sizeof(drawn)) == sizeof(drawn) ? 0 : 1);
    }
    uint64_t mine[4];
    uint64_t other[4];
    mln_random(mine, sizeof(mine));
    assert_int_equal(read(ends[0], other, sizeof(other)), sizeof(other));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            assert_true(mine[i] != other[j]);
        }
    }
    close(ends[0]);
    close(ends[1]);
}

static void *draw(void *arg)
{
    mln_random(arg, 32);
    return NULL;
}

static void test_random_of_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint8_t drawn[4][32] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, draw, drawn[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(is_zero(drawn[i], 32));
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(drawn[i], drawn[j], 32);
        }
    }
}

static void test_below(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {1, 2, 3, 62, 1000, (uint64_t)1 << 63, UINT64_MAX};
    struct mln_prng g;
    mln_prng_seed(&g, 1);
    for (size_t i = 0; i < MLN_COUNT(bounds); i++) {
        for (int n = 0; n < 200; n++) {
            assert_true(mln_random_below(bounds[i]) < bounds[i]);
            assert_true(mln_prng_below(&g, bounds[i]) < bounds[i]);
        }
    }
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++) {
        counts[mln_random_below(6)]++;
    }
    for (int i = 0; i < 6; i++) { /* 10 standard deviations */
        assert_in_range(counts[i], 9100, 10900);
    }
}

static void test_base62(void **state)
{
    (void)state;
    char text[301];
    static const size_t sizes[] = {0, 1, 24, 64, 65, 300};
    for (size_t s = 0; s < MLN_COUNT(sizes); s++) {
        mln_fill(text, '!', sizeof(text));
        mln_random_base62(text, sizes[s]);
        assert_int_equal(strlen(text), sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++) {
            char c = text[i];
            assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
        }
    }
    int counts[128] = {0};
    for (int round = 0; round < 200; round++) {
        mln_random_base62(text, 300);
        for (size_t i = 0; i < 300; i++) {
            counts[(uint8_t)text[i]]++;
        }
    }
    for (const char *c = "0AZaz9mM"; *c != '\0'; c++) { /* 60,000 / 62 = 968 each */
        assert_in_range(counts[(uint8_t)*c], 650, 1300);
    }
}

static void test_uuid(void **state)
{
    (void)state;
    char a[37];
    char b[37];
    mln_uuid(a);
    mln_uuid(b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 36);
    for (size_t i = 0; i < 36; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        assert_int_equal(a[i] == '-', is_dash);
        assert_true(is_dash || strchr("0123456789abcdef", a[i]) != NULL);
    }
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
}

/* splitmix64 of seed 0 begins with e220a8397b1dcdaf: the state must too. */
static void test_prng(void **state)
{
    (void)state;
    struct mln_prng g;
    mln_prng_seed(&g, 0);
    assert_true(g.s[0] == 0xe220a8397b1dcdafu && g.s[1] == 0x6e789e6aa1b965f4u);
    struct mln_prng known = {.s = {1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240};
    for (size_t i = 0; i < MLN_COUNT(want); i++) {
        assert_true(mln_prng_u64(&known) == want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_goes_on),      cmocka_unit_test(test_other_clock),
        cmocka_unit_test(test_random_sizes),      cmocka_unit_test(test_random_never_repeats),
        cmocka_unit_test(test_random_after_fork), cmocka_unit_test(test_random_of_threads),
        cmocka_unit_test(test_below),             cmocka_unit_test(test_base62),
        cmocka_unit_test(test_uuid),              cmocka_unit_test(test_prng),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
