/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret bytes: own pages with guards, locked, left out of core dumps, wiped (libsodium). There is no way to format one.
 * Locking counts against RLIMIT_MEMLOCK: failing to lock is MLN_E_MEMORY unless mln_secret_allow_unlocked was called.
 */
#pragma once

#include "base/bytes.h"

struct mln_secret {
    uint8_t *ptr;
    size_t len;
};

struct mln_err mln_secret_new(struct mln_cx *cx, size_t n, struct mln_secret *ret); /* zeroed */
struct mln_err mln_secret_from(struct mln_cx *cx, struct mln_bytes from, struct mln_secret *ret);
struct mln_err mln_secret_random(struct mln_cx *cx, size_t n, struct mln_secret *ret);
void mln_secret_drop(struct mln_secret *secret); /* wipes and frees; {0} is fine */
void mln_secret_allow_unlocked(bool allow);
static inline struct mln_bytes mln_secret_bytes(const struct mln_secret *s)
{
    return (struct mln_bytes){s->ptr, s->len};
}
/* Process-wide hardening at start: no core dumps, not dumpable, no-new-privs, umask 077. `for_tests` keeps it dumpable. */
void mln_process_harden(bool for_tests);
