/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was answered lately to the same GET. Who asks says how old an answer may be: key sets live for an hour that way, and a flood of
 * tokens with made-up key ids asks a publisher twice a minute, not each time. Failures are kept for seconds.
 */
#include <pthread.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "crypto/crypto.h"
#include "net/reach_priv.h"

#define ENTRIES       64u          /* publishers of keys that one server listens to */
#define ANSWER_MAX    (256u << 10) /* larger answers are not kept */
#define FAILURE_MS    3000
#define MS_NS         ((int64_t)1000000)

struct entry {
    uint8_t key[MLN_SHA256_BYTES];
    int64_t at_ns;
    struct mln_buf frame;
    bool is_failure;
};
struct reach_cache {
    pthread_mutex_t lock;
    struct entry entries[ENTRIES];
};

struct reach_cache *reach_cache_new(void)
{
    struct reach_cache *cache = mln_alloc(sizeof(*cache));
    if (cache != NULL) {
        (void)pthread_mutex_init(&cache->lock, NULL);
    }
    return cache;
}

void reach_cache_free(struct reach_cache *cache)
{
    for (size_t i = 0; cache != NULL && i < ENTRIES; i++) {
        mln_buf_drop(&cache->entries[i].frame);
    }
    if (cache != NULL) {
        (void)pthread_mutex_destroy(&cache->lock);
    }
    mln_free(cache);
}

int64_t reach_cache_age_ms(const struct mln_value *ask)
{
    const struct mln_value *method = mln_get(ask, "method");
    bool is_get = mln_is_text(mln_get(ask, "kind"), "http") && (method == NULL || mln_is_text(method, "GET"));
    return is_get && mln_is_null(mln_get(ask, "body")) ? mln_get_int(mln_get(ask, "max_age_ms"), 0) : 0;
}

/* Of everything that decides the answer. */
struct mln_err reach_cache_key(struct mln_cx *cx, const struct mln_value *ask, uint8_t ret[MLN_SHA256_BYTES])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    struct mln_value *plain = mln_value_dup(cx, ask);
    mln_remove(plain, MLN_BYTES("max_age_ms"));
    mln_remove(plain, MLN_BYTES("timeout_ms"));
    mln_cbor_print_sorted(&text, plain);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_buf_ok(cx, &text));
    mln_sha256(mln_buf_bytes(&text), ret);
    return MLN_OK;
}

bool reach_cache_get(struct reach_cache *cache, const uint8_t key[MLN_SHA256_BYTES], int64_t age_ms, struct mln_buf *ret)
{
    bool is_there = false;
    (void)pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < ENTRIES && !is_there; i++) {
        const struct entry *e = &cache->entries[i];
        int64_t most = e->is_failure && age_ms > FAILURE_MS ? FAILURE_MS : age_ms;
        if (e->frame.len > 0 && mln_same(e->key, key, MLN_SHA256_BYTES)) {
            is_there = mln_mono_ns() - e->at_ns < most * MS_NS;
            mln_buf_add_bytes(ret, is_there ? mln_buf_bytes(&e->frame) : MLN_BYTES_NONE);
        }
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return is_there && !ret->has_failed;
}

/* The one of this key, else the oldest. */
static struct entry *place_of(struct reach_cache *cache, const uint8_t key[MLN_SHA256_BYTES])
{
    struct entry *place = &cache->entries[0];
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *e = &cache->entries[i];
        if (e->frame.len > 0 && mln_same(e->key, key, MLN_SHA256_BYTES)) {
            return e;
        }
        place = e->at_ns < place->at_ns ? e : place;
    }
    return place;
}

void reach_cache_put(struct reach_cache *cache, const uint8_t key[MLN_SHA256_BYTES], struct mln_bytes frame, bool is_failure)
{
    if (frame.len > ANSWER_MAX) {
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *e = place_of(cache, key);
    e->frame.is_secret = true;
    mln_buf_clear(&e->frame);
    mln_buf_add_bytes(&e->frame, frame);
    e->at_ns = mln_mono_ns();
    e->is_failure = is_failure;
    mln_copy(e->key, key, MLN_SHA256_BYTES);
    (void)pthread_mutex_unlock(&cache->lock);
}
