/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only caller of malloc and of the C library's block operations. Fault injection sits here too: each fault point counts
 * down, and the one that was armed fails as the real thing would.
 */
#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem_priv.h"

#define WIPE_STACK_BYTES 8192 /* deeper than any frame chain of the crypto calls that hold secrets */

/* ---- fault injection ---- */

_Atomic bool mln_fault_is_armed;

static struct fault {
    _Atomic uint64_t left; /* 0 = not armed */
    _Atomic bool from_then_on;
    _Atomic bool fired;
} faults[MLN_FAULT_KINDS];

void mln_fault_arm(enum mln_fault_kind kind, uint64_t nth, bool from_then_on)
{
    MLN_CHECK(kind < MLN_FAULT_KINDS);
    atomic_store(&faults[kind].left, nth);
    atomic_store(&faults[kind].from_then_on, from_then_on);
    atomic_store(&faults[kind].fired, false);
    bool any = false;
    for (size_t i = 0; i < MLN_FAULT_KINDS; i++) {
        any = any || atomic_load(&faults[i].left) != 0;
    }
    atomic_store(&mln_fault_is_armed, any);
}

bool mln_fault_hit(enum mln_fault_kind kind)
{
    MLN_CHECK(kind < MLN_FAULT_KINDS);
    if (!atomic_load_explicit(&mln_fault_is_armed, memory_order_relaxed)) {
        return false;
    }
    struct fault *fault = &faults[kind];
    uint64_t left = atomic_load(&fault->left);
    while (left > 1 && !atomic_compare_exchange_weak(&fault->left, &left, left - 1)) {
    }
    if (left != 1) {
        return false;
    }
    if (!atomic_load(&fault->from_then_on) &&
        !atomic_compare_exchange_strong(&fault->left, &left, 0)) {
        return false;
    }
    atomic_store(&fault->fired, true);
    return true;
}

bool mln_fault_fired(enum mln_fault_kind kind)
{
    MLN_CHECK(kind < MLN_FAULT_KINDS);
    return atomic_load(&faults[kind].fired);
}

/* ---- allocation ---- */

void *mln_alloc(size_t n)
{
    return mln_alloc_array(n, 1);
}

void *mln_alloc_array(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n) || n > PTRDIFF_MAX || fault_point(MLN_FAULT_ALLOC)) {
        return NULL;
    }
    return calloc(n != 0 ? n : 1, 1);
}

void *mln_realloc(void *ptr, size_t old_n, size_t new_n, bool wipe)
{
    size_t keep = old_n < new_n ? old_n : new_n;
    if (wipe) {
        void *fresh = mln_alloc(new_n);
        if (fresh != NULL) {
            mln_copy(fresh, ptr, keep);
            mln_free_wiped(ptr, old_n);
        }
        return fresh;
    }
    if (fault_point(MLN_FAULT_ALLOC)) {
        return NULL;
    }
    uint8_t *grown = realloc(ptr, new_n != 0 ? new_n : 1);
    if (grown != NULL && new_n > keep) {
        memset(grown + keep, 0, new_n - keep);
    }
    return grown;
}

void mln_free(void *ptr)
{
    free(ptr);
}

void mln_free_wiped(void *ptr, size_t n)
{
    mln_wipe(ptr, n);
    free(ptr);
}

char *mln_strdup(const char *text)
{
    MLN_CHECK(text != NULL);
    size_t n = strlen(text);
    char *copy = mln_alloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

void mln_free_drop(void *ptr_to_ptr)
{
    void *ptr;
    memcpy(&ptr, ptr_to_ptr, sizeof(ptr));
    free(ptr);
    ptr = NULL;
    memcpy(ptr_to_ptr, &ptr, sizeof(ptr));
}

/* ---- blocks ---- */

void mln_copy(void *to, const void *from, size_t n)
{
    if (n != 0) {
        memcpy(to, from, n);
    }
}

void mln_move(void *to, const void *from, size_t n)
{
    if (n != 0) {
        memmove(to, from, n);
    }
}

void mln_fill(void *to, uint8_t byte, size_t n)
{
    if (n != 0) {
        memset(to, byte, n);
    }
}

int mln_compare(const void *a, const void *b, size_t n)
{
    return n != 0 ? memcmp(a, b, n) : 0;
}

bool mln_same(const void *a, const void *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

void mln_wipe(void *ptr, size_t n)
{
    if (ptr != NULL && n != 0) {
        explicit_bzero(ptr, n);
    }
}

bool mln_eq_ct(const void *a, size_t a_n, const void *b, size_t b_n)
{
    if (a_n != b_n) {
        return false;
    }
    return a_n == 0 || CRYPTO_memcmp(a, b, a_n) == 0;
}

__attribute__((noinline)) void mln_wipe_stack(void)
{
    uint8_t below[WIPE_STACK_BYTES];
    explicit_bzero(below, sizeof(below));
}
