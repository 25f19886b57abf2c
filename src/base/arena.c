/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump arena. All memory of a block behind its mark is zero at any time: blocks are born zeroed and wiped up to the mark
 * when reset, so that an allocation is an addition and a comparison. Under ASan unused memory is poisoned, with a red zone
 * behind each allocation.
 */
#include "base/arena.h"

#include <stdio.h>

#include "base/mem_priv.h"
#include "base/secret_priv.h"

#if defined(MLN_SANITIZED) && (defined(__SANITIZE_ADDRESS__) || defined(__clang__))
#include <sanitizer/asan_interface.h>
#define RED_ZONE 16
#define poison(ptr, n) ASAN_POISON_MEMORY_REGION((ptr), (n))
#define unpoison(ptr, n) ASAN_UNPOISON_MEMORY_REGION((ptr), (n))
#else
#define RED_ZONE 0
#define poison(ptr, n) ((void)(ptr), (void)(n))
#define unpoison(ptr, n) ((void)(ptr), (void)(n))
#endif

#define ALIGN 16
#define FIRST_BLOCK_BYTES ((size_t)32 << 10) /* holds an ordinary request whole */

struct block {
    struct block *next; /* the older one */
    size_t size;        /* with this header */
    size_t used;        /* with this header */
    size_t spare;
};
static_assert(sizeof(struct block) % ALIGN == 0);

struct mln_arena {
    struct block *now;
    size_t cap;
    size_t taken; /* sizes of all blocks */
    bool is_secret;
};

static void block_free(const struct mln_arena *arena, struct block *block)
{
    unpoison(block, block->size);
    if (arena->is_secret) {
        mln_pages_free(block, block->size);
    } else {
        mln_free_wiped(block, block->used);
    }
}

static bool block_add(struct mln_arena *arena, size_t need)
{
    size_t size = arena->now == NULL ? FIRST_BLOCK_BYTES : arena->now->size * 2;
    size_t left = arena->cap - arena->taken;
    if (need > left || sizeof(struct block) > left - need) {
        return false;
    }
    size = size > need + sizeof(struct block) ? size : need + sizeof(struct block);
    size = size < left ? size : left;
    struct block *block = arena->is_secret ? mln_pages_new(size) : mln_alloc(size);
    if (block == NULL) {
        return false;
    }
    block->next = arena->now;
    block->size = size;
    block->used = sizeof(*block);
    poison(block + 1, size - sizeof(*block));
    arena->now = block;
    arena->taken += size;
    return true;
}

struct mln_arena *mln_arena_new(size_t cap_bytes, bool is_secret)
{
    struct mln_arena *arena = mln_alloc(sizeof(*arena));
    if (arena == NULL) {
        return NULL;
    }
    arena->cap = cap_bytes;
    arena->is_secret = is_secret;
    if (!block_add(arena, 0)) {
        mln_free(arena);
        return NULL;
    }
    return arena;
}

void mln_arena_free(struct mln_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    while (arena->now != NULL) {
        struct block *old = arena->now;
        arena->now = old->next;
        block_free(arena, old);
    }
    mln_free(arena);
}

void mln_arena_drop(struct mln_arena **arena)
{
    mln_arena_free(*arena);
    *arena = NULL;
}

void mln_arena_reset(struct mln_arena *arena)
{
    while (arena->now->next != NULL) {
        struct block *old = arena->now;
        arena->now = old->next;
        arena->taken -= old->size;
        block_free(arena, old);
    }
    struct block *first = arena->now;
    unpoison(first + 1, first->used - sizeof(*first));
    mln_wipe(first + 1, first->used - sizeof(*first));
    first->used = sizeof(*first);
    poison(first + 1, first->size - sizeof(*first));
}

size_t mln_arena_used(const struct mln_arena *arena)
{
    size_t used = 0;
    for (const struct block *block = arena->now; block != NULL; block = block->next) {
        used += block->used - sizeof(*block);
    }
    return used;
}

void *mln_arena_alloc(struct mln_arena *arena, size_t n)
{
    if (n > arena->cap || fault_point(MLN_FAULT_ALLOC)) {
        return NULL;
    }
    size_t need = (n + RED_ZONE + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
    if (__builtin_expect(arena->now->size - arena->now->used < need, 0) &&
        !block_add(arena, need)) {
        return NULL;
    }
    uint8_t *at = (uint8_t *)arena->now + arena->now->used;
    arena->now->used += need;
    unpoison(at, n);
    return at;
}

void *mln_new(struct mln_cx *cx, size_t n)
{
    MLN_CHECK(cx != NULL);
    void *got = cx->arena != NULL ? mln_arena_alloc(cx->arena, n) : NULL;
    if (__builtin_expect(got == NULL, 0)) {
        (void)mln_fail(cx, MLN_E_MEMORY, "out of memory: %zu more bytes do not fit", n);
    }
    return got;
}

void *mln_new_array(struct mln_cx *cx, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        (void)mln_fail(cx, MLN_E_MEMORY, "out of memory: %zu items do not fit", count);
        return NULL;
    }
    return mln_new(cx, n);
}

struct mln_bytes mln_bytes_dup(struct mln_cx *cx, struct mln_bytes from)
{
    uint8_t *copy = from.len < SIZE_MAX ? mln_new(cx, from.len + 1) : NULL;
    if (copy == NULL) {
        return MLN_BYTES_NONE;
    }
    mln_copy(copy, from.ptr, from.len);
    return (struct mln_bytes){copy, from.len};
}

const char *mln_text_dup(struct mln_cx *cx, struct mln_bytes from)
{
    struct mln_bytes copy = mln_bytes_dup(cx, from);
    return copy.ptr != NULL ? (const char *)copy.ptr : "";
}

static struct mln_bytes format_bytes(struct mln_cx *cx, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static struct mln_bytes format_bytes(struct mln_cx *cx, const char *format, va_list args)
{
    char here[256];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(here, sizeof(here), format, args);
    struct mln_bytes got = MLN_BYTES_NONE;
    if (n < 0) {
        (void)mln_fail(cx, MLN_E_INTERNAL, "text cannot be formatted");
    } else if ((size_t)n < sizeof(here)) {
        got = mln_bytes_dup(cx, mln_bytes_at(here, (size_t)n));
    } else {
        char *copy = mln_new(cx, (size_t)n + 1);
        if (copy != NULL) {
            (void)vsnprintf(copy, (size_t)n + 1, format, again);
            got = mln_bytes_at(copy, (size_t)n);
        }
    }
    va_end(again);
    mln_wipe(here, sizeof(here));
    return got;
}

const char *mln_text_format(struct mln_cx *cx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct mln_bytes got = format_bytes(cx, format, args);
    va_end(args);
    return got.ptr != NULL ? (const char *)got.ptr : "";
}

struct mln_bytes mln_bytes_format(struct mln_cx *cx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct mln_bytes got = format_bytes(cx, format, args);
    va_end(args);
    return got;
}
