/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory. libsodium gives guard pages, a canary and wiping; it ignores a failing mlock, so the lock is asked for
 * again here and its refusal is an error with its remedy in the text.
 */
#include "base/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem_priv.h"
#include "base/secret_priv.h"

static _Atomic bool may_be_unlocked;

void mln_secret_allow_unlocked(bool allow)
{
    atomic_store(&may_be_unlocked, allow);
}

static bool lock_pages(void *ptr, size_t n)
{
    return mlock(ptr, n) == 0 || atomic_load(&may_be_unlocked);
}

void *mln_pages_new(size_t n)
{
    if (fault_point(MLN_FAULT_ALLOC)) {
        return NULL;
    }
    void *pages = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(pages, n, MADV_DONTDUMP);
    if (!lock_pages(pages, n)) {
        (void)munmap(pages, n);
        return NULL;
    }
    return pages;
}

void mln_pages_free(void *pages, size_t n)
{
    if (pages != NULL) {
        mln_wipe(pages, n);
        (void)munmap(pages, n);
    }
}

static struct mln_err lock_failed(struct mln_cx *cx, size_t n)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    return mln_fail(cx, MLN_E_MEMORY,
                    "%zu bytes of secret memory cannot be locked (RLIMIT_MEMLOCK is %llu bytes): "
                    "raise the limit or pass --no-mlock",
                    n, (unsigned long long)limit.rlim_cur);
}

struct mln_err mln_secret_new(struct mln_cx *cx, size_t n, struct mln_secret *ret)
{
    MLN_CHECK(ret != NULL);
    if (sodium_init() < 0) {
        return mln_fail(cx, MLN_E_CRYPTO, "libsodium cannot start");
    }
    uint8_t *ptr = fault_point(MLN_FAULT_ALLOC) ? NULL : sodium_malloc(n != 0 ? n : 1);
    if (ptr == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory: %zu bytes of secret memory", n);
    }
    if (!lock_pages(ptr, n != 0 ? n : 1)) {
        sodium_free(ptr);
        return lock_failed(cx, n);
    }
    mln_fill(ptr, 0, n);
    *ret = (struct mln_secret){ptr, n};
    return MLN_OK;
}

struct mln_err mln_secret_from(struct mln_cx *cx, struct mln_bytes from, struct mln_secret *ret)
{
    struct mln_secret fresh = {0};
    MLN_TRY(mln_secret_new(cx, from.len, &fresh));
    mln_copy(fresh.ptr, from.ptr, from.len);
    *ret = fresh;
    return MLN_OK;
}

struct mln_err mln_secret_random(struct mln_cx *cx, size_t n, struct mln_secret *ret)
{
    struct mln_secret fresh = {0};
    MLN_TRY(mln_secret_new(cx, n, &fresh));
    mln_random(fresh.ptr, n);
    *ret = fresh;
    return MLN_OK;
}

void mln_secret_drop(struct mln_secret *secret)
{
    sodium_free(secret->ptr);
    *secret = (struct mln_secret){0};
}

void mln_process_harden(bool for_tests)
{
    umask(077);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!for_tests) {
        struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}
