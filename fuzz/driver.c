/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without a fuzzer: every seed, the empty input, and seeded mutations of the seeds. The same run on every
 * machine, so that a failure can be repeated; MLN_FUZZ_RUNS and MLN_FUZZ_SEED change it. With a file instead of a folder it
 * runs that one input: for what a real fuzzer found.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/text.h"
#include "fuzz.h"

#define RUNS_DEFAULT 2000
#define TIME_BOX_NS (INT64_C(20) * 1000000000)
#define INPUT_MAX ((size_t)1 << 20)
#define SEEDS_MAX 4096

struct corpus {
    struct mln_bytes seeds[SEEDS_MAX];
    size_t n;
};

static const uint8_t interesting[] = {0x00, 0x01, 0x0A, 0x20, 0x22, 0x24, 0x27, 0x2C, 0x2D, 0x2F, 0x30, 0x3A,
                                      0x3D, 0x5B, 0x5C, 0x5D, 0x7B, 0x7D, 0x7F, 0x80, 0xC0, 0xED, 0xFE, 0xFF};

static struct mln_err load_file(struct mln_cx *cx, const char *path, struct corpus *corpus)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    MLN_TRY(mln_file_read_all(cx, path, INPUT_MAX, &buf));
    if (corpus->n < SEEDS_MAX) {
        corpus->seeds[corpus->n++] = mln_bytes_dup(cx, mln_buf_bytes(&buf));
    }
    return mln_cx_err(cx);
}

/* A folder's files or one file; a path that is not there is an empty corpus. */
static struct mln_err load(struct mln_cx *cx, const char *path, struct corpus *corpus)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0) {
        return MLN_OK;
    }
    if (!S_ISDIR(st.st_mode)) {
        return load_file(cx, path, corpus);
    }
    const struct mln_value *names;
    MLN_TRY(mln_dir_list(cx, path, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        const char *file = mln_text_format(cx, "%s/%s", path, name);
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            MLN_TRY(load_file(cx, file, corpus));
        }
    }
    return MLN_OK;
}

/* ---- mutations ---- */

static void flip_bit(struct mln_prng *g, struct mln_buf *b)
{
    if (b->len > 0) {
        b->ptr[mln_prng_below(g, b->len)] ^= (uint8_t)(1u << mln_prng_below(g, 8));
    }
}

static void set_byte(struct mln_prng *g, struct mln_buf *b)
{
    if (b->len > 0) {
        b->ptr[mln_prng_below(g, b->len)] = interesting[mln_prng_below(g, sizeof(interesting))];
    }
}

static void insert_byte(struct mln_prng *g, struct mln_buf *b)
{
    uint8_t byte = mln_prng_below(g, 4) == 0 ? (uint8_t)mln_prng_u64(g)
                                             : interesting[mln_prng_below(g, sizeof(interesting))];
    mln_buf_add_byte(b, byte);
    size_t at = mln_prng_below(g, b->len);
    mln_move(b->ptr + at + 1, b->ptr + at, b->len - 1 - at);
    b->ptr[at] = byte;
}

static void cut_tail(struct mln_prng *g, struct mln_buf *b)
{
    b->len = mln_prng_below(g, b->len + 1);
}

static void cut_middle(struct mln_prng *g, struct mln_buf *b)
{
    size_t from = mln_prng_below(g, b->len + 1);
    size_t n = mln_prng_below(g, (b->len - from < 16 ? b->len - from : 16) + 1);
    mln_move(b->ptr + from, b->ptr + from + n, b->len - from - n);
    b->len -= n;
}

/* Repeat a part: lists grow, nesting deepens. */
static void repeat(struct mln_prng *g, struct mln_buf *b)
{
    size_t from = mln_prng_below(g, b->len + 1);
    size_t n = mln_prng_below(g, (b->len - from < 64 ? b->len - from : 64) + 1);
    uint64_t times = mln_prng_below(g, 8);
    for (uint64_t i = 0; i < times && b->len + n < INPUT_MAX && mln_buf_reserve(b, n); i++) {
        mln_move(b->ptr + from + n, b->ptr + from, b->len - from);
        b->len += n;
    }
}

/* The head of this one, the tail of another. */
static void splice(struct mln_prng *g, struct mln_buf *b, struct mln_bytes other)
{
    cut_tail(g, b);
    struct mln_bytes tail = mln_bytes_from(other, mln_prng_below(g, other.len + 1));
    if (b->len + tail.len < INPUT_MAX) {
        mln_buf_add_bytes(b, tail);
    }
}

static void mutate(struct mln_prng *g, struct mln_buf *b, const struct corpus *corpus)
{
    static void (*const steps[])(struct mln_prng *, struct mln_buf *) = {
        flip_bit, set_byte, insert_byte, insert_byte, cut_tail, cut_middle, repeat};
    uint64_t rounds = 1 + mln_prng_below(g, 6);
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t step = mln_prng_below(g, MLN_COUNT(steps) + 1);
        if (step < MLN_COUNT(steps)) {
            steps[step](g, b);
        } else if (corpus->n > 0) {
            splice(g, b, corpus->seeds[mln_prng_below(g, corpus->n)]);
        }
    }
}

/* A copy of exactly this length, so that ASan sees one byte too many. */
static void run_one(struct mln_bytes input)
{
    uint8_t *copy = malloc(input.len != 0 ? input.len : 1);
    MLN_CHECK(copy != NULL);
    mln_copy(copy, input.ptr, input.len);
    MLN_CHECK(mln_fuzz_one(copy, input.len) == 0);
    free(copy);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    uint64_t got = otherwise;
    (void)mln_u64_parse(mln_bytes_of(getenv(name)), &got);
    return got;
}

int main(int argc, char **argv)
{
    static struct corpus corpus;
    struct mln_arena *arena = mln_arena_new((size_t)256 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (arena == NULL || mln_failed(load(&cx, argc > 1 ? argv[1] : NULL, &corpus))) {
        fprintf(stderr, "fuzz: %s\n", cx.text);
        return 1;
    }
    run_one(MLN_BYTES_NONE);
    for (size_t i = 0; i < corpus.n; i++) {
        run_one(corpus.seeds[i]);
    }
    struct mln_prng g;
    mln_prng_seed(&g, setting("MLN_FUZZ_SEED", 1));
    uint64_t runs = setting("MLN_FUZZ_RUNS", RUNS_DEFAULT);
    uint64_t done = 0;
    int64_t until = mln_mono_ns() + TIME_BOX_NS;
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (; done < runs && mln_mono_ns() < until; done++) {
        mln_buf_clear(&buf);
        if (corpus.n > 0) {
            mln_buf_add_bytes(&buf, corpus.seeds[mln_prng_below(&g, corpus.n)]);
        }
        mutate(&g, &buf, &corpus);
        run_one(mln_buf_bytes(&buf));
    }
    printf("fuzz: %zu seeds, %" PRIu64 " of %" PRIu64 " mutations, no complaint\n", corpus.n, done, runs);
    mln_arena_free(arena);
    return 0;
}
