/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of values: a bump allocator whose chunks are kept for the next evaluation. */
#include "rego/val_priv.h"

#include <stdio.h>

#define CHUNK_FIRST ((size_t)16 << 10)
#define CHUNK_MOST  ((size_t)1 << 20)
#define KEEP_MOST   ((size_t)8 << 20) /* free memory that a heap keeps between evaluations */

struct chunk {
    struct chunk *next;
    size_t size; /* of data */
    uint8_t data[];
};

struct rg_heap {
    uint8_t *at, *end; /* free part of the first chunk */
    struct chunk *used;
    struct chunk *kept; /* empty, for reuse */
    size_t used_bytes;  /* of all chunks in use */
    size_t kept_bytes;
    size_t budget;
    bool is_over;
    const char *why;
};

struct rg_heap *rg_heap_new(size_t budget)
{
    struct rg_heap *heap = mln_alloc(sizeof(*heap));
    if (heap != NULL) {
        heap->budget = budget;
    }
    return heap;
}

static void free_chunks(struct chunk *c)
{
    while (c != NULL) {
        struct chunk *next = c->next;
        mln_free(c);
        c = next;
    }
}

void rg_heap_free(struct rg_heap *heap)
{
    if (heap != NULL) {
        free_chunks(heap->used);
        free_chunks(heap->kept);
        mln_free(heap);
    }
}

void rg_heap_reset(struct rg_heap *heap, size_t budget)
{
    heap->budget = budget;
    heap->is_over = false;
    heap->why = NULL;
    struct chunk *only = heap->used;
    if (only != NULL && only->next == NULL && only->size <= KEEP_MOST) {
        heap->at = only->data; /* the common case: one chunk was enough */
        return;
    }
    while (heap->used != NULL) {
        struct chunk *c = heap->used;
        heap->used = c->next;
        if (c->size <= CHUNK_MOST && heap->kept_bytes + c->size <= KEEP_MOST) {
            c->next = heap->kept;
            heap->kept = c;
            heap->kept_bytes += c->size;
        } else {
            mln_free(c);
        }
    }
    heap->at = heap->end = NULL;
    heap->used_bytes = 0;
}

void rg_heap_refuse(struct rg_heap *heap, const char *why)
{
    heap->is_over = true;
    heap->why = why;
}

const char *rg_heap_why(const struct rg_heap *heap)
{
    return heap->why;
}

void rg_heap_charge(struct rg_heap *heap, size_t n)
{
    if (heap->budget != 0 && n >= heap->budget) {
        heap->is_over = true;
    } else if (heap->budget != 0) {
        heap->budget -= n;
    }
}

struct mln_buf rg_buf(const struct rg_heap *heap)
{
    size_t left = heap->used_bytes < heap->budget ? heap->budget - heap->used_bytes : RG_SMALL;
    return (struct mln_buf){.max = heap->budget == 0 || left > MLN_BUF_MAX ? 0 : left};
}

bool rg_heap_is_over(const struct rg_heap *heap)
{
    return heap->is_over;
}

size_t rg_heap_used(const struct rg_heap *heap)
{
    return heap->used_bytes - (size_t)(heap->end - heap->at);
}

size_t rg_heap_held(const struct rg_heap *heap)
{
    return heap->used_bytes + heap->kept_bytes;
}

/* The first that fits without much waste, of those looked at. */
static struct chunk *take_kept(struct rg_heap *heap, size_t n)
{
    struct chunk **at = &heap->kept;
    for (unsigned i = 0; i < 64 && *at != NULL; i++, at = &(*at)->next) {
        struct chunk *c = *at;
        if (c->size >= n && (n < RG_SMALL || c->size <= 2 * n)) {
            *at = c->next;
            heap->kept_bytes -= c->size;
            return c;
        }
    }
    return NULL;
}

static struct chunk *new_chunk(struct rg_heap *heap, size_t n)
{
    size_t size = heap->used_bytes < CHUNK_FIRST ? CHUNK_FIRST : heap->used_bytes;
    size = size > CHUNK_MOST ? CHUNK_MOST : size;
    size = n >= RG_SMALL || n > size ? n : size; /* the first chunk may be asked for more than its usual size */
    struct chunk *c = mln_alloc(sizeof(*c) + size);
    if (c != NULL) {
        c->size = size;
    }
    return c;
}

static void *alloc_slow(struct rg_heap *heap, size_t n)
{
    struct chunk *c = take_kept(heap, n);
    if (c == NULL) {
        c = new_chunk(heap, n);
    }
    if (c == NULL) {
        return NULL;
    }
    heap->used_bytes += c->size;
    if (heap->budget != 0 && heap->used_bytes > heap->budget) {
        heap->is_over = true;
    }
    if (heap->used != NULL && c->size - n < (size_t)(heap->end - heap->at)) {
        c->next = heap->used->next; /* the old chunk has more room left: stay with it */
        heap->used->next = c;
        return c->data;
    }
    c->next = heap->used;
    heap->used = c;
    heap->at = c->data + n;
    heap->end = c->data + c->size;
    return c->data;
}

void *rg_new(struct rg_heap *heap, size_t n)
{
    n = (n + 7) & ~(size_t)7;
    if (n <= (size_t)(heap->end - heap->at)) {
        void *p = heap->at;
        heap->at += n;
        return p;
    }
    void *p = alloc_slow(heap, n);
    MLN_CHECK(p !=
              NULL); /* a few bytes beside a budget that was kept: the machine is out of memory */
    return p;
}

void *rg_try(struct rg_heap *heap, size_t n)
{
    if (n < RG_SMALL) {
        return rg_new(heap, n);
    }
    if (n > SIZE_MAX / 2 ||
        (heap->budget != 0 &&
         n > heap->budget - (heap->used_bytes < heap->budget ? heap->used_bytes : heap->budget))) {
        heap->is_over = true;
        return NULL;
    }
    void *p = alloc_slow(heap, (n + 7) & ~(size_t)7);
    heap->is_over |= p == NULL;
    return p;
}

char *rg_text_dup(struct rg_heap *heap, struct mln_bytes text)
{
    char *p = rg_try(heap, text.len + 1);
    if (p == NULL) {
        p = rg_new(heap, 1);
        text.len = 0;
    }
    mln_copy(p, text.ptr, text.len);
    p[text.len] = '\0';
    return p;
}

char *rg_text_format(struct rg_heap *heap, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    return rg_text_dup(heap, mln_bytes_at(text, len));
}
