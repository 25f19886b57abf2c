/* SPDX-License-Identifier: Apache-2.0 */
/* How long the committer waits for more writers: never alone, never for all too long, and no longer than until they are there. */
#include "kit/kit.h"

#include <string.h>

#include "store/store.c"

enum { TRIES = 20 };

/* The shortest of some: the machine may be busy. */
static int64_t shortest_ns(struct mln_store *store)
{
    int64_t best_ns = INT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        int64_t begin_ns = mln_mono_ns();
        pthread_mutex_lock(&store->lock);
        gather(store);
        pthread_mutex_unlock(&store->lock);
        int64_t took_ns = mln_mono_ns() - begin_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    return best_ns;
}

static void init(struct mln_store *store)
{
    pthread_condattr_t steady;
    memset(store, 0, sizeof(*store));
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->wake, &steady);
    pthread_condattr_destroy(&steady);
}

static void test_wait(void **state)
{
    static struct mln_store store;
    static const struct {
        const char *name;
        size_t queued, expected;
        int64_t commit_ns, least_ns, most_ns;
        bool is_closing;
    } t[] = {
        {"nobody", 0, 0, 800000, 0, 300000, false},
        {"nobody writes now, many did", 0, 9, 800000, 0, 300000, false},
        {"one alone", 1, 1, 800000, 0, 300000, false},
        {"all are there", 8, 8, 800000, 0, 300000, false},
        {"more than all", 9, 8, 800000, 0, 300000, false},
        {"it closes", 1, 8, 800000, 0, 300000, true},
        {"half of the last commit", 1, 8, 800000, 400000, INT64_MAX, false},
        {"at most a millisecond", 1, 8, 60000000000, 1000000, 1000000000, false},
        {"a commit that took no time", 1, 8, 0, 0, 300000, false},
    };
    (void)state;
    init(&store);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        store.queued = t[i].queued;
        store.expected = t[i].expected;
        store.commit_ns = t[i].commit_ns;
        store.is_closing = t[i].is_closing;
        int64_t took_ns = shortest_ns(&store);
        if (took_ns < t[i].least_ns || took_ns > t[i].most_ns) {
            fail_msg("%s: %lld ns", t[i].name, (long long)took_ns);
        }
        assert_int_equal(store.gather_for, 0);
    }
}

static void never(struct mln_batch *batch)
{
    (void)batch;
}

/* Who makes the number full wakes the committer; those before him do not. */
static void *submit_two(void *arg)
{
    static struct mln_batch batches[2] = {{.done = never}, {.done = never}};
    mln_store_submit(arg, &batches[0]);
    mln_store_submit(arg, &batches[1]);
    return NULL;
}

static void test_full(void **state)
{
    static struct mln_store store;
    pthread_t thread;
    (void)state;
    init(&store);
    store.queued = 1;
    store.expected = 3;
    store.commit_ns = INT64_MAX;
    pthread_mutex_lock(&store.lock);
    assert_int_equal(pthread_create(&thread, NULL, submit_two, &store), 0);
    for (int i = 0; i < 60000 && store.queued < 3; i++) { /* the wait itself is short: a slow thread is waited for again */
        gather(&store);
    }
    assert_int_equal(store.queued, 3);
    pthread_mutex_unlock(&store.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wait), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
