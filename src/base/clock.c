/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time and randomness. Each thread draws from a page of its own that the kernel wipes in a forked child (its count of bytes
 * left lies in it too, so that a child refills before it draws); bytes are wiped as they are handed out.
 */
#include "base/clock.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

/* ---- time ---- */

static struct mln_clock other_clock;
static _Atomic bool has_other_clock;

void mln_clock_use(const struct mln_clock *clock)
{
    atomic_store(&has_other_clock, false);
    if (clock != NULL) {
        MLN_CHECK(clock->now_ns != NULL && clock->mono_ns != NULL);
        other_clock = *clock;
        atomic_store(&has_other_clock, true);
    }
}

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    MLN_CHECK(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t mln_now_ns(void)
{
    if (atomic_load_explicit(&has_other_clock, memory_order_acquire)) {
        return other_clock.now_ns(other_clock.arg);
    }
    return read_clock(CLOCK_REALTIME);
}

int64_t mln_mono_ns(void)
{
    if (atomic_load_explicit(&has_other_clock, memory_order_acquire)) {
        return other_clock.mono_ns(other_clock.arg);
    }
    return read_clock(CLOCK_MONOTONIC);
}

int64_t mln_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void mln_sleep_ns(int64_t ns)
{
    if (ns <= 0) {
        return;
    }
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
    }
}

/* ---- the random pool ---- */

#define POOL_BYTES 4096
#define DRAW_MAX 1024 /* more is fetched directly: it would only empty the pool */

struct pool {
    uint32_t left;
    uint8_t bytes[POOL_BYTES - sizeof(uint32_t)];
};
static_assert(sizeof(struct pool) == POOL_BYTES);

static _Thread_local struct pool *my_pool;
static _Thread_local bool has_no_pool; /* the thread ends, or there are no pages: draw directly */
static pthread_key_t pool_key;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void pool_end(void *pool)
{
    mln_wipe(pool, POOL_BYTES);
    (void)munmap(pool, POOL_BYTES);
    my_pool = NULL;
    has_no_pool = true;
}

/* For kernels without MADV_WIPEONFORK, and for the pool of the thread that forks. */
static void pool_forked(void)
{
    if (my_pool != NULL) {
        mln_wipe(my_pool, POOL_BYTES);
    }
}

static void pool_start(void)
{
    MLN_CHECK(pthread_key_create(&pool_key, pool_end) == 0);
    MLN_CHECK(pthread_atfork(NULL, NULL, pool_forked) == 0);
}

/*
 * A process may end while its threads still work: the cleanup that OpenSSL does at exit would pull its locks from under them.
 * Its memory goes with the process.
 */
__attribute__((constructor)) static void keep_openssl(void)
{
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static void fetch(void *to, size_t n)
{
    uint8_t *at = to;
    while (n > 0) {
        int part = n < (1u << 20) ? (int)n : 1 << 20;
        MLN_CHECK(RAND_bytes(at, part) == 1);
        at += part;
        n -= (size_t)part;
    }
}

static struct pool *pool_new(void)
{
    (void)pthread_once(&pool_once, pool_start);
    void *page = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        has_no_pool = true;
        return NULL;
    }
    (void)madvise(page, POOL_BYTES, MADV_WIPEONFORK);
    (void)madvise(page, POOL_BYTES, MADV_DONTDUMP);
    if (pthread_setspecific(pool_key, page) != 0) {
        (void)munmap(page, POOL_BYTES);
        has_no_pool = true;
        return NULL;
    }
    my_pool = page;
    return my_pool;
}

void mln_random(void *to, size_t n)
{
    struct pool *pool = my_pool;
    if (n > DRAW_MAX || has_no_pool || (pool == NULL && (pool = pool_new()) == NULL)) {
        fetch(to, n);
        return;
    }
    if (pool->left < n) {
        fetch(pool->bytes, sizeof(pool->bytes));
        pool->left = sizeof(pool->bytes);
    }
    uint8_t *from = pool->bytes + (pool->left - n);
    mln_copy(to, from, n);
    mln_wipe(from, n);
    pool->left -= (uint32_t)n;
}

uint64_t mln_random_u64(void)
{
    uint8_t bytes[8];
    mln_random(bytes, sizeof(bytes));
    return mln_get_u64le(bytes);
}

/* The smallest draw that is kept: below it some remainders would come up once more often than others. */
static uint64_t threshold(uint64_t bound)
{
    MLN_CHECK(bound >= 1);
    return (0 - bound) % bound;
}

uint64_t mln_random_below(uint64_t bound)
{
    uint64_t low = threshold(bound);
    uint64_t draw;
    do {
        draw = mln_random_u64();
    } while (draw < low);
    return draw % bound;
}

void mln_random_base62(char *to, size_t n)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t draw[64];
    for (size_t put = 0; put < n;) {
        mln_random(draw, sizeof(draw));
        for (size_t i = 0; i < sizeof(draw) && put < n; i++) {
            if (draw[i] < 248) { /* 4 * 62 */
                to[put++] = digits[draw[i] % 62];
            }
        }
    }
    to[n] = '\0';
    mln_wipe(draw, sizeof(draw));
}

void mln_uuid(char to[37])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[16];
    mln_random(raw, sizeof(raw));
    raw[6] = (uint8_t)(0x40 | (raw[6] & 0x0F));
    raw[8] = (uint8_t)(0x80 | (raw[8] & 0x3F));
    for (size_t i = 0; i < sizeof(raw); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        *to++ = digits[raw[i] >> 4];
        *to++ = digits[raw[i] & 15];
    }
    *to = '\0';
}

/* ---- seeded numbers: xoshiro256** 1.0 and splitmix64 (Blackman and Vigna, public domain) ---- */

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

void mln_prng_seed(struct mln_prng *g, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        g->s[i] = z ^ z >> 31;
    }
}

uint64_t mln_prng_u64(struct mln_prng *g)
{
    uint64_t *s = g->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t mln_prng_below(struct mln_prng *g, uint64_t bound)
{
    uint64_t low = threshold(bound);
    uint64_t draw;
    do {
        draw = mln_prng_u64(g);
    } while (draw < low);
    return draw % bound;
}
