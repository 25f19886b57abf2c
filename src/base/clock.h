/* SPDX-License-Identifier: Apache-2.0 */
/* Time and randomness, reached only through here so that a simulator can own them. */
#pragma once

#include "base/bytes.h"

int64_t mln_now_ns(void);  /* wall clock, ns since 1970 */
int64_t mln_mono_ns(void); /* monotonic, for deadlines and durations */
int64_t mln_cpu_ns(void);  /* CPU time of this process */
void mln_sleep_ns(int64_t ns);
/* Tests and the simulator: replace the clock; NULL restores the system's. */
struct mln_clock {
    int64_t (*now_ns)(void *arg);
    int64_t (*mono_ns)(void *arg);
    void *arg;
};
void mln_clock_use(const struct mln_clock *clock);

/* Cryptographic randomness from a 4 KiB pool per thread (refilled from OpenSSL, wiped on fork). Never fails: a dead
 * generator kills the process. */
void mln_random(void *to, size_t n);
uint64_t mln_random_u64(void);
uint64_t mln_random_below(uint64_t bound);                 /* unbiased; bound >= 1 */
void mln_random_base62(char *to, size_t n);                /* n characters and a NUL: to has n + 1 bytes */
void mln_uuid(char to[37]);                                /* random (version 4) UUID text */
/* Seeded, for bootstrap and simulation only; not for secrets. (xoshiro256**, seeded by splitmix64) */
struct mln_prng {
    uint64_t s[4];
};
void mln_prng_seed(struct mln_prng *g, uint64_t seed);
uint64_t mln_prng_u64(struct mln_prng *g);
uint64_t mln_prng_below(struct mln_prng *g, uint64_t bound);
