/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of registration entries: memory of an entry, putting one in, and finding those of a caller that shows 12 selectors,
 * three of which every entry has too.
 *
 * bench_spiffe [N]   N entries (default 100000)
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "identity/spiffe_index.h"

#define ROUNDS  3
#define CALLERS 20000u
#define COMMON  3

static double cpu_us(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static struct mln_value *selectors_of(struct mln_cx *cx, unsigned i, unsigned more)
{
    static const char *const common[COMMON] = {"k8s:ns:prod", "k8s:node-name:n1", "unix:uid:1000"};
    struct mln_value *list = mln_array(cx);
    for (unsigned c = 0; c < COMMON; c++) {
        mln_push_text(cx, list, common[c]);
    }
    mln_push_text(cx, list, mln_text_format(cx, "k8s:sa:job-%u", i));
    for (unsigned m = 0; m < more; m++) {
        mln_push_text(cx, list, mln_text_format(cx, "k8s:pod-label:l%u:%u", m, i % 97));
    }
    return list;
}

static void put(struct mln_cx *cx, struct sp_index *index, unsigned i)
{
    struct mln_value *row = mln_object(cx);
    mln_put_text(cx, row, "id", mln_text_format(cx, "00000000-0000-4000-8000-%012u", i));
    mln_put_text(cx, row, "spiffe_id", mln_text_format(cx, "spiffe://example.org/job/%u", i));
    mln_put_text(cx, row, "parent_id", "spiffe://example.org/merlon/server");
    mln_put(cx, row, "selectors", selectors_of(cx, i, 0));
    mln_put_int(cx, row, "created_ns", i + 1);
    mln_put_int(cx, row, "revision", 1);
    if (mln_failed(sp_index_put(cx, index, row))) {
        (void)fprintf(stderr, "%s\n", cx->text);
        exit(1);
    }
}

static void fill(struct mln_arena *arena, struct sp_index *index, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct mln_cx cx;
        mln_arena_reset(arena);
        mln_cx_init(&cx, arena);
        put(&cx, index, i);
    }
}

static double match(struct mln_arena *arena, const struct sp_index *index, unsigned n)
{
    static struct sp_entry *found[SP_MATCH_MAX];
    struct mln_bytes parent = mln_bytes_of("spiffe://example.org/merlon/server");
    double sum_us = 0;
    for (unsigned i = 0; i < CALLERS; i++) {
        struct mln_cx cx;
        mln_arena_reset(arena);
        mln_cx_init(&cx, arena);
        const struct mln_value *shown = selectors_of(&cx, i * 7919u % n, 8);
        double from_us = cpu_us();
        size_t got = sp_index_match(index, parent, shown, 1, found);
        sum_us += cpu_us() - from_us;
        if (got != 1) {
            (void)fprintf(stderr, "%zu entries match, not one\n", got);
            exit(1);
        }
    }
    return sum_us / CALLERS;
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
    if (n == 0 || n > SP_ENTRIES_MAX) {
        (void)fprintf(stderr, "usage: bench_spiffe [1..%u]\n", SP_ENTRIES_MAX);
        return 2;
    }
    struct mln_arena *arena = mln_arena_new(1u << 20, false);
    for (int round = 0; arena != NULL && round < ROUNDS; round++) {
        size_t before = mallinfo2().uordblks;
        double from_us = cpu_us();
        struct sp_index *index = sp_index_new(NULL);
        if (index == NULL) {
            return 1;
        }
        fill(arena, index, n);
        double put_us = (cpu_us() - from_us) / n;
        size_t bytes = (mallinfo2().uordblks - before) / n;
        (void)printf("%u entries: put %.2f us, %zu bytes, match %.2f us\n", n, put_us, bytes,
                     match(arena, index, n));
        sp_index_free(index);
    }
    mln_arena_free(arena);
    return 0;
}
