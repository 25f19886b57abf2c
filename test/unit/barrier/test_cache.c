/* SPDX-License-Identifier: Apache-2.0 */
/* What was opened lately: only the same box under the same key comes back, and nothing after forgetting. */
#include "barrier/cache_priv.h"

#include <string.h>

#include "barrier/barrier.h"
#include "base/clock.h"
#include "kit/kit.h"

#define PLAIN_N 40u

struct sample {
    uint8_t box[2048];
    uint8_t plain[2048];
    size_t n; /* of the box */
};

static struct sample sample_of(size_t plain_n)
{
    struct sample s = {.n = plain_n + MLN_BOX_OVERHEAD};
    mln_random(s.box, s.n);
    mln_random(s.plain, plain_n);
    return s;
}

static struct mln_bytes box_of(const struct sample *s)
{
    return mln_bytes_at(s->box, s->n);
}

static bool is_kept(struct cache *cache, const char *key, const struct sample *s)
{
    uint8_t got[2048] = {0};
    bool is_here = cache_get(cache, mln_bytes_of(key), box_of(s), got);
    if (is_here) {
        assert_memory_equal(got, s->plain, s->n - MLN_BOX_OVERHEAD);
    }
    return is_here;
}

static struct cache *fresh(void)
{
    struct cache *cache = NULL;
    mln_secret_allow_unlocked(true);
    assert_false(mln_failed(cache_new(NULL, &cache)));
    return cache;
}

static void test_only_the_same(void **state)
{
    (void)state;
    struct cache *cache = fresh();
    struct sample s = sample_of(PLAIN_N);
    assert_false(is_kept(cache, "root/a", &s));
    cache_put(cache, MLN_BYTES("root/a"), box_of(&s), s.plain);
    assert_true(is_kept(cache, "root/a", &s));
    assert_false(is_kept(cache, "root/b", &s)); /* moved */
    assert_false(is_kept(cache, "root/", &s));
    for (size_t i = 0; i < s.n; i++) { /* changed, wherever */
        s.box[i] ^= 1;
        assert_false(is_kept(cache, "root/a", &s));
        s.box[i] ^= 1;
    }
    s.n--;
    assert_false(is_kept(cache, "root/a", &s));
    s.n++;
    assert_true(is_kept(cache, "root/a", &s));
    cache_free(cache);
}

static void test_taken_over_and_forgotten(void **state)
{
    (void)state;
    struct cache *cache = fresh();
    struct sample first = sample_of(CACHE_PLAIN_MAX), second = sample_of(PLAIN_N);
    memcpy(second.box + 5, first.box + 5, 4); /* the same place */
    cache_put(cache, MLN_BYTES("k"), box_of(&first), first.plain);
    assert_true(is_kept(cache, "k", &first));
    cache_put(cache, MLN_BYTES("k"), box_of(&second), second.plain);
    assert_false(is_kept(cache, "k", &first));
    assert_true(is_kept(cache, "k", &second));
    cache_forget(cache);
    assert_false(is_kept(cache, "k", &second));
    cache_free(cache);
}

static void test_not_for_here(void **state)
{
    (void)state;
    struct cache *cache = fresh();
    char key[CACHE_KEY_MAX + 2];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    struct sample large = sample_of(CACHE_PLAIN_MAX + 1), empty = sample_of(0), some = sample_of(PLAIN_N);
    cache_put(cache, MLN_BYTES("k"), box_of(&large), large.plain);
    assert_false(is_kept(cache, "k", &large));
    cache_put(cache, MLN_BYTES("k"), box_of(&empty), empty.plain);
    assert_false(is_kept(cache, "k", &empty));
    cache_put(cache, mln_bytes_of(key), box_of(&some), some.plain);
    assert_false(is_kept(cache, key, &some));
    key[CACHE_KEY_MAX] = '\0';
    cache_put(cache, mln_bytes_of(key), box_of(&some), some.plain);
    assert_true(is_kept(cache, key, &some));
    cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_same),
        cmocka_unit_test(test_taken_over_and_forgotten),
        cmocka_unit_test(test_not_for_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
