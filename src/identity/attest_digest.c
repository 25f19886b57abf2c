/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of programs. A file that has the same device, inode, size and times as before has the same bytes: its change time is the
 * kernel's to set, and who can turn the clock back or write to the disk below is root already.
 */
#include <pthread.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/crypto.h"
#include "identity/attest_priv.h"

#define PLACES     1024u /* programs that are remembered: 100 KiB */
#define PART_BYTES 65536u

struct place {
    uint64_t dev, inode, size;
    struct timespec changed, modified;
    char hex[65];
};

struct mln_attest_cache {
    pthread_mutex_t lock;
    struct place places[PLACES];
};

struct mln_attest_cache *mln_attest_cache_new(void)
{
    struct mln_attest_cache *cache = mln_alloc(sizeof(*cache));
    if (cache != NULL) {
        (void)pthread_mutex_init(&cache->lock, NULL);
    }
    return cache;
}

void mln_attest_cache_free(struct mln_attest_cache *cache)
{
    if (cache != NULL) {
        (void)pthread_mutex_destroy(&cache->lock);
        mln_free(cache);
    }
}

static struct place place_of(const struct stat *st)
{
    return (struct place){.dev = st->st_dev,
                          .inode = st->st_ino,
                          .size = (uint64_t)st->st_size,
                          .changed = st->st_ctim,
                          .modified = st->st_mtim};
}

static bool is_same_file(const struct place *a, const struct place *b)
{
    return a->dev == b->dev && a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec && a->modified.tv_sec == b->modified.tv_sec &&
           a->modified.tv_nsec == b->modified.tv_nsec;
}

static struct place *home_of(struct mln_attest_cache *cache, const struct place *place)
{
    uint64_t mixed = (place->inode ^ place->dev << 32) * UINT64_C(0x9e3779b97f4a7c15);
    return &cache->places[mixed >> 54]; /* ten bits */
}

static bool remembered(struct mln_attest_cache *cache, const struct place *place, char ret_hex[65])
{
    (void)pthread_mutex_lock(&cache->lock);
    const struct place *home = home_of(cache, place);
    bool is_there = home->hex[0] != 0 && is_same_file(home, place);
    if (is_there) {
        mln_copy(ret_hex, home->hex, sizeof(home->hex));
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return is_there;
}

static void remember(struct mln_attest_cache *cache, const struct place *place)
{
    (void)pthread_mutex_lock(&cache->lock);
    *home_of(cache, place) = *place;
    (void)pthread_mutex_unlock(&cache->lock);
}

static struct mln_err hash(struct mln_cx *cx, int fd, uint64_t max, char ret_hex[65])
{
    struct mln_sha256_stream stream;
    uint8_t digest[MLN_SHA256_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf hex = {0};
    MLN_AUTO(mln_free_drop) uint8_t *part = mln_alloc(PART_BYTES);
    uint64_t at = 0;
    ssize_t got = part != NULL ? 1 : -1;
    MLN_TRY(mln_sha256_begin(cx, &stream));
    while (got > 0 && at <= max) {
        got = pread(fd, part, PART_BYTES, (off_t)at);
        mln_sha256_update(&stream, part, (size_t)(got > 0 ? got : 0));
        at += (uint64_t)(got > 0 ? got : 0);
    }
    mln_sha256_end(&stream, digest);
    if (got < 0) {
        return mln_fail(cx, MLN_E_IO, "a program cannot be read");
    }
    if (at > max) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "a program grew while it was read");
    }
    mln_hex_print(&hex, mln_bytes_at(digest, sizeof(digest)));
    MLN_TRY(mln_buf_ok(cx, &hex));
    mln_copy(ret_hex, hex.ptr, 64);
    ret_hex[64] = 0;
    return MLN_OK;
}

struct mln_err attest_digest(struct mln_cx *cx, struct mln_attest_cache *cache, int fd, uint64_t max, char ret_hex[65])
{
    struct stat st, after;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return mln_fail(cx, MLN_E_INVALID, "a program that is no file");
    }
    if ((uint64_t)st.st_size > max) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "a program larger than the limit");
    }
    struct place place = place_of(&st);
    if (remembered(cache, &place, ret_hex)) {
        return MLN_OK;
    }
    MLN_TRY(hash(cx, fd, max, place.hex));
    struct place now = fstat(fd, &after) == 0 ? place_of(&after) : (struct place){0};
    if (!is_same_file(&place, &now)) {
        return mln_fail(cx, MLN_E_CONFLICT, "a program changed while it was read");
    }
    remember(cache, &place);
    mln_copy(ret_hex, place.hex, sizeof(place.hex));
    return MLN_OK;
}
