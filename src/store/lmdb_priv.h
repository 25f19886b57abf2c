/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the lmdb engine (docs/format-store.md). LMDB takes keys of 1..511 bytes; longer ones go
 * on in buckets. Numbers are big-endian:
 *
 * meta     00                                  format u32 | version u64 | last bucket u64 direct
 * 01 || key                           version u64 || value direct   02 || bucket u64 || rest of key
 * version u64 || value marker   head || next chunk || 01            bucket u64: keys that go on
 * behind this chunk
 *
 * head is 01, or 02 || bucket; head and chunk together are 497 bytes. A key whose rest fits into
 * that stays direct. A marker (498 bytes) sorts behind the direct row that is equal to its chunk
 * and before everything larger, so walking rows and stepping into markers meets keys in memcmp
 * order.
 */
#pragma once

#include <lmdb.h>

#include "store/store_priv.h"

#define ROW_DIRECT_MAX   497u
#define ROW_MARKER_N     (ROW_DIRECT_MAX + 1)
#define BUCKET_HEAD_N    9u
#define BUCKET_DEPTH_MAX 10u /* 4096 bytes take 1 + 8 buckets */
#define STORE_FORMAT        1u /* written; every commit writes it, so an older store is brought up by its first one */
#define STORE_FORMAT_OLDEST 1u /* read */
#define VERSION_N        8u

struct row {
    size_t n;
    uint8_t bytes[ROW_MARKER_N];
};

/* The markers that lead to a row, and last the row itself. */
struct row_path {
    size_t depth;
    struct row rows[BUCKET_DEPTH_MAX + 1];
};

struct lmdb_snap {
    struct mln_snap base;
    MDB_txn *txn;
    MDB_cursor *cursor;
    bool has_cursor; /* renewed for this transaction */
    struct lmdb_snap *next;
    unsigned turn; /* keys handed out alternate, so that the last one may be passed back in */
    uint8_t keys[2][MLN_STORE_KEY_MAX];
};

struct lmdb {
    struct mln_store base;
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;    /* the committer's */
    uint64_t bucket; /* last number given away, in this transaction */
    char *dir, *reserve_path;
    int lock_fd;
    uint64_t map_bytes, reserve_bytes;
    uint64_t reserve_left; /* size of the reserve file */
    int64_t reserve_tried_ns, readers_checked_ns;
    bool is_map_full, is_map_grown, is_relief;

    pthread_mutex_t pool_lock;
    pthread_cond_t pool_wake;
    struct lmdb_snap *pool; /* reset transactions, ready to be renewed */
    size_t active;
    bool is_resizing;
};

struct mln_err lmdb_failed(struct mln_cx *cx, struct lmdb *db, int rc, const char *what);
static inline MDB_val lmdb_val(const void *p, size_t n)
{
    union {
        const void *from;
        void *to;
    } strip = {.from = p}; /* LMDB's type lacks const */
    return (MDB_val){.mv_size = n, .mv_data = strip.to};
}

/* ---- lmdb_key.c ---- */
/*
 * The row of a key; `make`: with buckets that are missing (db's transaction). NOT_FOUND (bare)
 * without.
 */
struct mln_err lmdb_locate(struct mln_cx *cx, struct lmdb *db, MDB_txn *txn, struct mln_bytes key,
                           bool make, struct row_path *ret);
struct mln_err lmdb_get(struct mln_cx *cx, struct lmdb *db, MDB_txn *txn, struct mln_bytes key,
                        struct mln_bytes *ret_value, uint64_t *ret_version);
/* Remove the markers on the path whose buckets are empty now. */
struct mln_err lmdb_prune_path(struct mln_cx *cx, struct lmdb *db, const struct row_path *path);
struct mln_err lmdb_seek(struct mln_cx *cx, struct lmdb_snap *snap, struct mln_bytes from,
                         bool is_after, struct mln_bytes *ret_key, struct mln_bytes *ret_value);

/* ---- lmdb_space.c ---- */
void lmdb_reserve_open(
    struct lmdb *db); /* make the file when it is missing or short; silent without space */
void lmdb_relief_begin(struct lmdb *db); /* give the reserve's space to the next transaction */
void lmdb_relief_end(struct lmdb *db);   /* and take back what is left of it */
void lmdb_space_tick(
    struct lmdb *db); /* after an ordinary commit: a missing reserve is made again */
bool lmdb_disk_is_full(const struct lmdb *db);
