/* SPDX-License-Identifier: Apache-2.0 */
#include "barrier/cache_priv.h"

#include <stdatomic.h>
#include <string.h>

#include "barrier/barrier.h"

#define BOX_MAX (CACHE_PLAIN_MAX + MLN_BOX_OVERHEAD)

struct place {
    atomic_flag busy;
    uint32_t box_n, key_n; /* box_n 0: free */
    uint8_t key[CACHE_KEY_MAX];
    uint8_t box[BOX_MAX]; /* ciphertext: need not be locked */
};

struct cache {
    struct mln_secret plain; /* CACHE_PLACES times CACHE_PLAIN_MAX */
    struct place places[CACHE_PLACES];
};

struct mln_err cache_new(struct mln_cx *cx, struct cache **ret)
{
    struct cache *cache = mln_alloc(sizeof(*cache));
    if (cache == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    struct mln_err err = mln_secret_new(cx, (size_t)CACHE_PLACES * CACHE_PLAIN_MAX, &cache->plain);
    if (mln_failed(err)) {
        mln_free(cache);
        return err;
    }
    *ret = cache;
    return MLN_OK;
}

void cache_free(struct cache *cache)
{
    if (cache != NULL) {
        mln_secret_drop(&cache->plain);
        mln_free(cache);
    }
}

/* By the box's nonce, which is random; NULL when the box or key is not for here or the place is in use. */
static struct place *enter(struct cache *cache, struct mln_bytes key, struct mln_bytes box)
{
    if (box.len <= MLN_BOX_OVERHEAD || box.len > BOX_MAX || key.len > CACHE_KEY_MAX) {
        return NULL;
    }
    struct place *place = &cache->places[mln_get_u32le(box.ptr + 5) % CACHE_PLACES];
    return atomic_flag_test_and_set_explicit(&place->busy, memory_order_acquire) ? NULL : place;
}

static void leave(struct place *place)
{
    atomic_flag_clear_explicit(&place->busy, memory_order_release);
}

static uint8_t *plain_of(struct cache *cache, const struct place *place)
{
    return cache->plain.ptr + (size_t)(place - cache->places) * CACHE_PLAIN_MAX;
}

bool cache_get(struct cache *cache, struct mln_bytes key, struct mln_bytes box, uint8_t *to)
{
    struct place *place = enter(cache, key, box);
    if (place == NULL) {
        return false;
    }
    bool is_here = mln_bytes_eq(mln_bytes_at(place->box, place->box_n), box) &&
                   mln_bytes_eq(mln_bytes_at(place->key, place->key_n), key);
    if (is_here) {
        mln_copy(to, plain_of(cache, place), box.len - MLN_BOX_OVERHEAD);
    }
    leave(place);
    return is_here;
}

void cache_put(struct cache *cache, struct mln_bytes key, struct mln_bytes box, const uint8_t *plain)
{
    struct place *place = enter(cache, key, box);
    if (place == NULL) {
        return;
    }
    size_t n = box.len - MLN_BOX_OVERHEAD;
    uint8_t *mine = plain_of(cache, place);
    size_t before = place->box_n == 0 ? 0 : place->box_n - MLN_BOX_OVERHEAD;
    if (before > n) {
        mln_wipe(mine + n, before - n);
    }
    mln_copy(mine, plain, n);
    mln_copy(place->box, box.ptr, box.len);
    mln_copy(place->key, key.ptr, key.len);
    place->box_n = (uint32_t)box.len;
    place->key_n = (uint32_t)key.len;
    leave(place);
}

void cache_forget(struct cache *cache)
{
    for (size_t i = 0; i < CACHE_PLACES; i++) {
        struct place *place = &cache->places[i];
        while (atomic_flag_test_and_set_explicit(&place->busy, memory_order_acquire)) {
        }
        if (place->box_n != 0) {
            mln_wipe(plain_of(cache, place), CACHE_PLAIN_MAX);
        }
        place->box_n = place->key_n = 0;
        leave(place);
    }
}
