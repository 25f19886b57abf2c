/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same random batches on both engines of the store: results, and every row in order, must be
 * the same. Input: operations of a kind byte, a length byte, a fill byte and a tail byte; lengths
 * reach over the edges of the long-key scheme.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"
#include "store/store.h"

#define OPS_MAX 48

static struct mln_store *lmdb, *memory;
static char dir[] = "/tmp/merlon-fuzz-XXXXXX";

static void leave(void)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock", "reserve"};
    mln_store_close(lmdb);
    mln_store_close(memory);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void start(void)
{
    struct mln_store_fault *control = NULL;
    MLN_CHECK(mkdtemp(dir) != NULL);
    struct mln_store_config config = {.dir = dir, .no_sync = true, .reserve_bytes = 4096};
    MLN_CHECK(!mln_failed(mln_store_open_lmdb(NULL, &config, &lmdb)));
    MLN_CHECK(!mln_failed(mln_store_open_fault(NULL, &memory, &control)));
    atexit(leave);
}

static struct mln_err run(struct mln_store *store, struct mln_write *writes, size_t n)
{
    struct mln_batch batch = {.writes = writes, .n = n};
    return mln_store_commit(NULL, store, &batch);
}

static void compare(bool do_clear)
{
    struct mln_snap *a = NULL;
    struct mln_snap *b = NULL;
    struct mln_bytes key_a = MLN_BYTES_NONE, key_b = MLN_BYTES_NONE, value_a, value_b;
    MLN_CHECK(!mln_failed(mln_snap_begin(NULL, lmdb, &a)) &&
              !mln_failed(mln_snap_begin(NULL, memory, &b)));
    for (;;) {
        struct mln_err err_a = mln_snap_next(NULL, a, MLN_BYTES_NONE, key_a, &key_a, &value_a);
        struct mln_err err_b = mln_snap_next(NULL, b, MLN_BYTES_NONE, key_b, &key_b, &value_b);
        MLN_CHECK(err_a.code == err_b.code);
        if (mln_failed(err_a)) {
            MLN_CHECK(mln_is(err_a, MLN_E_NOT_FOUND));
            break;
        }
        uint64_t version_a = 0, version_b = 0;
        MLN_CHECK(mln_bytes_eq(key_a, key_b) && mln_bytes_eq(value_a, value_b));
        MLN_CHECK(!mln_failed(mln_snap_get(NULL, a, key_b, &value_a, &version_a)));
        MLN_CHECK(!mln_failed(mln_snap_get(NULL, b, key_a, &value_b, &version_b)) &&
                  version_a == version_b);
        if (do_clear) {
            struct mln_write away = {.op = MLN_WRITE_DELETE, .key = key_b};
            MLN_CHECK(!mln_failed(run(lmdb, &away, 1)) && !mln_failed(run(memory, &away, 1)));
        }
    }
    mln_snap_end(a);
    mln_snap_end(b);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t keys[OPS_MAX][1100];
    struct mln_write writes[OPS_MAX];
    size_t n = 0;
    if (lmdb == NULL) {
        start();
    }
    for (size_t at = 0; at + 4 <= size; at += 4, n++) {
        size_t key_n = (size_t)data[at + 1] * 4 + data[at + 2] % 8; /* 0 is refused by both */
        mln_fill(keys[n], data[at + 2] / 128, key_n);
        if (key_n > 0) {
            keys[n][key_n - 1] = data[at + 3];
        }
        writes[n] = (struct mln_write){.op = data[at] % 8 == 7   ? MLN_WRITE_EXPECT
                                             : data[at] % 4 == 3 ? MLN_WRITE_DELETE
                                                                 : MLN_WRITE_PUT,
                                       .key = mln_bytes_at(keys[n], key_n),
                                       .value = mln_bytes_at(data + at, 4),
                                       .version = 0};
        bool is_batch_end = data[at] >= 128;
        if (is_batch_end || n + 1 == OPS_MAX) {
            struct mln_err a = run(lmdb, writes, n + 1);
            MLN_CHECK(a.code == run(memory, writes, n + 1).code);
            n = (size_t)-1; /* the loop makes it 0 */
        }
    }
    compare(false);
    compare(true);
    return 0;
}
