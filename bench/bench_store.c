/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lmdb store: durable writes of 1 KB by 64 writers, snapshots with a get, and the same through
 * the barrier.
 *
 * bench_store [DIR]   a new folder below DIR (default /var/tmp: not a file system in memory)
 */
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "barrier/barrier.h"
#include "base/clock.h"

#define WRITERS 64
#define VALUE_N 1024
#define KEYS    100000u
#define RUN_NS  4000000000

struct bench {
    struct mln_store *store;
    struct mln_barrier *barrier;
    char dir[256];
    _Atomic bool is_over;
    _Atomic uint64_t done;
};

static struct mln_bytes key_of(char *to, uint64_t i)
{
    int n = snprintf(to, 64, "root/11111111-2222-3333-4444-555555555555/data/%08u",
                     (unsigned)(i % KEYS));
    return mln_bytes_at(to, (size_t)n);
}

static void *write_values(void *arg)
{
    struct bench *b = arg;
    uint8_t value[VALUE_N];
    mln_random(value, sizeof(value));
    while (!b->is_over) {
        char key[64];
        struct mln_write write = {.op = MLN_WRITE_PUT,
                                  .key = key_of(key, mln_random_below(KEYS)),
                                  .value = mln_bytes_at(value, sizeof(value))};
        struct mln_batch batch = {.writes = &write, .n = 1};
        MLN_CHECK(!mln_failed(mln_store_commit(NULL, b->store, &batch)));
        b->done++;
    }
    return NULL;
}

static double run_writers(struct bench *b, unsigned n)
{
    pthread_t threads[WRITERS];
    b->is_over = false;
    b->done = 0;
    int64_t start = mln_mono_ns();
    for (unsigned i = 0; i < n; i++) {
        MLN_CHECK(pthread_create(&threads[i], NULL, write_values, b) == 0);
    }
    mln_sleep_ns(RUN_NS);
    b->is_over = true;
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    return (double)b->done * 1e9 / (double)(mln_mono_ns() - start);
}

static void fill(struct bench *b)
{
    uint8_t value[VALUE_N];
    mln_random(value, sizeof(value));
    struct mln_write *writes = mln_alloc_array(1000, sizeof(*writes));
    char(*keys)[64] = mln_alloc_array(1000, 64);
    MLN_CHECK(writes != NULL && keys != NULL);
    for (unsigned at = 0; at < KEYS; at += 1000) {
        for (unsigned i = 0; i < 1000; i++) {
            writes[i] = (struct mln_write){.op = MLN_WRITE_PUT,
                                           .key = key_of(keys[i], at + i),
                                           .value = mln_bytes_at(value, sizeof(value))};
        }
        struct mln_batch batch = {.writes = writes, .n = 1000};
        MLN_CHECK(!mln_failed(mln_store_commit(NULL, b->store, &batch)));
    }
    mln_free(writes);
    mln_free(keys);
}

static void *read_values(void *arg)
{
    struct bench *b = arg;
    uint64_t n = 0;
    struct mln_prng g;
    mln_prng_seed(&g, mln_random_u64());
    while (!b->is_over) {
        char key[64];
        struct mln_snap *snap = NULL;
        struct mln_bytes value;
        uint64_t version = 0;
        struct mln_bytes name = key_of(key, mln_prng_u64(&g));
        MLN_CHECK(!mln_failed(mln_snap_begin(NULL, b->store, &snap)));
        MLN_CHECK(!mln_failed(mln_snap_get(NULL, snap, name, &value, &version)));
        MLN_CHECK(value.len == VALUE_N);
        mln_snap_end(snap);
        n++;
    }
    b->done += n;
    return NULL;
}

static double run_readers(struct bench *b, unsigned n)
{
    pthread_t threads[WRITERS];
    b->is_over = false;
    b->done = 0;
    int64_t start = mln_mono_ns();
    for (unsigned i = 0; i < n; i++) {
        MLN_CHECK(pthread_create(&threads[i], NULL, read_values, b) == 0);
    }
    mln_sleep_ns(RUN_NS / 2);
    b->is_over = true;
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    return (double)b->done * 1e9 / (double)(mln_mono_ns() - start);
}

static double snapshot_ns(struct bench *b)
{
    int64_t start = mln_cpu_ns();
    for (unsigned i = 0; i < 1000000; i++) {
        struct mln_snap *snap = NULL;
        MLN_CHECK(!mln_failed(mln_snap_begin(NULL, b->store, &snap)));
        mln_snap_end(snap);
    }
    return (double)(mln_cpu_ns() - start) / 1e6;
}

static double scan_ns(struct bench *b)
{
    struct mln_snap *snap = NULL;
    struct mln_bytes key = MLN_BYTES_NONE;
    unsigned n = 0;
    MLN_CHECK(!mln_failed(mln_snap_begin(NULL, b->store, &snap)));
    int64_t start = mln_cpu_ns();
    while (!mln_failed(mln_snap_next(NULL, snap, MLN_BYTES("root/"), key, &key, NULL))) {
        n++;
    }
    int64_t took = mln_cpu_ns() - start;
    mln_snap_end(snap);
    MLN_CHECK(n == KEYS);
    return (double)took / n;
}

static void box_ns(struct bench *b, double *ret_seal, double *ret_open)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new(1 << 20, false);
    uint8_t plain[VALUE_N] = {1};
    struct mln_bytes box;
    struct mln_bytes again;
    mln_cx_init(&cx, arena);
    int64_t start = mln_cpu_ns();
    for (unsigned i = 0; i < 300000; i++) {
        mln_arena_reset(arena);
        MLN_CHECK(!mln_failed(mln_barrier_encrypt(&cx, b->barrier, MLN_NS_ROOT, MLN_BYTES("k"),
                                                  mln_bytes_at(plain, VALUE_N), &box)));
    }
    *ret_seal = (double)(mln_cpu_ns() - start) / 3e5;
    uint8_t kept[VALUE_N + MLN_BOX_OVERHEAD];
    mln_copy(kept, box.ptr, box.len);
    start = mln_cpu_ns();
    for (unsigned i = 0; i < 300000; i++) {
        mln_arena_reset(arena);
        MLN_CHECK(!mln_failed(mln_barrier_decrypt(&cx, b->barrier, MLN_NS_ROOT, MLN_BYTES("k"),
                                                  mln_bytes_at(kept, sizeof(kept)), &again)));
    }
    *ret_open = (double)(mln_cpu_ns() - start) / 3e5;
    mln_arena_free(arena);
}

/*
 * LMDB by itself: one thread that puts 64 values a transaction, synced: what a perfect committer
 * could do.
 */
static double lmdb_alone(const char *dir)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    uint8_t value[VALUE_N];
    uint64_t n = 0;
    mln_random(value, sizeof(value));
    MLN_CHECK(mdb_env_create(&env) == 0 && mdb_env_set_mapsize(env, (size_t)4 << 30) == 0);
    MLN_CHECK(mdb_env_open(env, dir, MDB_NORDAHEAD | MDB_NOSUBDIR, 0600) == 0);
    int64_t start = mln_mono_ns();
    while (mln_mono_ns() - start < RUN_NS) {
        MLN_CHECK(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &dbi) == 0);
        for (unsigned i = 0; i < WRITERS; i++, n++) {
            char text[64];
            struct mln_bytes key = key_of(text, mln_random_below(KEYS));
            MDB_val k = {key.len, text}, v = {sizeof(value), value};
            MLN_CHECK(mdb_put(txn, dbi, &k, &v, 0) == 0);
        }
        MLN_CHECK(mdb_txn_commit(txn) == 0);
    }
    double rate = (double)n * 1e9 / (double)(mln_mono_ns() - start);
    mdb_env_close(env);
    return rate;
}

static void open_bench(struct bench *b, const char *base, struct mln_cx *cx)
{
    struct mln_secret root = {0};
    snprintf(b->dir, sizeof(b->dir), "%s/merlon-bench-XXXXXX", base);
    MLN_CHECK(mkdtemp(b->dir) != NULL);
    struct mln_store_config config = {.dir = b->dir};
    MLN_CHECK(!mln_failed(mln_store_open_lmdb(cx, &config, &b->store)));
    MLN_CHECK(!mln_failed(mln_barrier_new(cx, b->store, &b->barrier)));
    MLN_CHECK(!mln_failed(mln_secret_random(cx, 32, &root)));
    MLN_CHECK(!mln_failed(mln_barrier_init(cx, b->barrier, &root)));
    MLN_CHECK(!mln_failed(mln_barrier_unseal(cx, b->barrier, &root)));
    mln_secret_drop(&root);
}

static void remove_files(const struct bench *b)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock",
                                        "reserve",  "alone",    "alone-lock"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", b->dir, names[i]);
        unlink(path);
    }
    rmdir(b->dir);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new(16 << 20, false);
    char alone[300];
    double seal = 0;
    double open = 0;
    mln_cx_init(&cx, arena);
    open_bench(&b, argc > 1 ? argv[1] : "/var/tmp", &cx);
    fill(&b);
    snprintf(alone, sizeof(alone), "%s/alone", b.dir);
    double limit = lmdb_alone(alone);
    double writes = run_writers(&b, WRITERS);
    printf("%-46s %10.0f\n", "LMDB alone, 64 puts of 1 KB a commit, puts/s", limit);
    printf("%-46s %10.0f  %.2fx\n", "store, 64 writers of 1 KB, durable writes/s", writes,
           writes / limit);
    printf("%-46s %10.0f\n", "store, 1 writer, durable writes/s", run_writers(&b, 1));
    printf("%-46s %10.0f\n", "snapshot and get of 1 KB, 1 thread, reads/s", run_readers(&b, 1));
    printf("%-46s %10.0f\n", "snapshot and get of 1 KB, 2 threads, reads/s", run_readers(&b, 2));
    printf("%-46s %10.0f\n", "snapshot, begin and end, ns", snapshot_ns(&b));
    printf("%-46s %10.0f\n", "next key of a scan, ns", scan_ns(&b));
    box_ns(&b, &seal, &open);
    printf("%-46s %10.0f\n", "barrier, seal 1 KB, ns", seal);
    printf("%-46s %10.0f\n", "barrier, open 1 KB, ns", open);
    mln_barrier_free(b.barrier);
    mln_store_close(b.store);
    mln_arena_free(arena);
    remove_files(&b);
    return 0;
}
