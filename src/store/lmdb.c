/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded engine: LMDB without a writable map, synced at each commit. Snapshots are read
 * transactions that are reset
 * and renewed from a pool, so one costs a fraction of a microsecond and readers' slots are bounded.
 */
#include "store/lmdb_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/io.h"

#define MAP_BYTES     ((uint64_t)64 << 30)
#define RESERVE_BYTES ((uint64_t)64 << 20)
#define READERS_MAX                                                                                \
    1022 /* snapshots open at once: far above the workers' number, a page of slots is 63 */
#define META_N 20

static struct lmdb *db_of(struct mln_store *store)
{
    return (struct lmdb *)store;
}

struct mln_err lmdb_failed(struct mln_cx *cx, struct lmdb *db, int rc, const char *what)
{
    enum mln_code code = MLN_E_IO;
    switch (rc) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        code = MLN_E_FULL;
        break;
    case MDB_TXN_FULL:
        code = MLN_E_TOO_LARGE;
        break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        code = MLN_E_CORRUPT;
        break;
    case MDB_VERSION_MISMATCH:
        code = MLN_E_UNSUPPORTED;
        break;
    case MDB_READERS_FULL:
        code = MLN_E_LIMIT;
        break;
    case ENOMEM:
        code = MLN_E_MEMORY;
        break;
    case EIO: /* LMDB says so of a short write as well */
        code = lmdb_disk_is_full(db) ? MLN_E_FULL : MLN_E_IO;
        break;
    default:
        break;
    }
    db->is_map_full = rc == MDB_MAP_FULL || (db->is_map_full && code == MLN_E_FULL);
    struct mln_err err =
        mln_fail(cx, code, "%s the store failed: %s", what, mln_err_text((uint32_t)code));
    mln_note(cx, "lmdb: %s", mdb_strerror(rc));
    return err;
}

/* ---- snapshots ---- */

static void snap_free(struct lmdb_snap *snap)
{
    if (snap->cursor != NULL) {
        mdb_cursor_close(snap->cursor);
    }
    if (snap->txn != NULL) {
        mdb_txn_abort(snap->txn);
    }
    mln_free(snap);
}

static struct lmdb_snap *pool_take(struct lmdb *db)
{
    pthread_mutex_lock(&db->pool_lock);
    while (db->is_resizing) {
        pthread_cond_wait(&db->pool_wake, &db->pool_lock);
    }
    struct lmdb_snap *snap = db->pool;
    if (snap != NULL) {
        db->pool = snap->next;
    }
    db->active++;
    pthread_mutex_unlock(&db->pool_lock);
    return snap;
}

static void pool_leave(struct lmdb *db, struct lmdb_snap *snap)
{
    pthread_mutex_lock(&db->pool_lock);
    if (snap != NULL) {
        snap->next = db->pool;
        db->pool = snap;
    }
    db->active--;
    if (db->is_resizing && db->active == 0) {
        pthread_cond_broadcast(&db->pool_wake);
    }
    pthread_mutex_unlock(&db->pool_lock);
}

static struct mln_err snap_start(struct mln_cx *cx, struct lmdb *db, struct lmdb_snap **snap)
{
    if (*snap == NULL) {
        *snap = mln_alloc(sizeof(**snap));
        if (*snap == NULL) {
            return mln_fail(cx, MLN_E_MEMORY, "out of memory");
        }
    }
    struct lmdb_snap *s = *snap;
    s->base.store = &db->base;
    s->has_cursor = false;
    int rc =
        s->txn != NULL ? mdb_txn_renew(s->txn) : mdb_txn_begin(db->env, NULL, MDB_RDONLY, &s->txn);
    return rc == 0 ? MLN_OK : lmdb_failed(cx, db, rc, "reading");
}

static struct mln_err snap_begin(struct mln_cx *cx, struct mln_store *store, struct mln_snap **ret)
{
    struct lmdb *db = db_of(store);
    struct lmdb_snap *snap = pool_take(db);
    struct mln_err err = snap_start(cx, db, &snap);
    if (mln_failed(err)) {
        if (snap != NULL) {
            snap_free(snap);
        }
        pool_leave(db, NULL);
        return err;
    }
    *ret = &snap->base;
    return MLN_OK;
}

static void snap_end(struct mln_snap *base)
{
    struct lmdb_snap *snap = (struct lmdb_snap *)base;
    mdb_txn_reset(snap->txn);
    pool_leave(db_of(base->store), snap);
}

static struct mln_err snap_get(struct mln_cx *cx, struct mln_snap *base, struct mln_bytes key,
                               struct mln_bytes *ret_value, uint64_t *ret_version)
{
    struct lmdb_snap *snap = (struct lmdb_snap *)base;
    return lmdb_get(cx, db_of(base->store), snap->txn, key, ret_value, ret_version);
}

static struct mln_err snap_seek(struct mln_cx *cx, struct mln_snap *base, struct mln_bytes from,
                                bool is_after, struct mln_bytes *ret_key,
                                struct mln_bytes *ret_value)
{
    struct lmdb_snap *snap = (struct lmdb_snap *)base;
    struct lmdb *db = db_of(base->store);
    if (!snap->has_cursor) {
        int rc = snap->cursor != NULL ? mdb_cursor_renew(snap->txn, snap->cursor)
                                      : mdb_cursor_open(snap->txn, db->dbi, &snap->cursor);
        if (rc != 0) {
            return lmdb_failed(cx, db, rc, "reading");
        }
        snap->has_cursor = true;
    }
    return lmdb_seek(cx, snap, from, is_after, ret_key, ret_value);
}

/* ---- the committer's side ---- */

static struct mln_err read_meta(struct mln_cx *cx, struct lmdb *db, uint64_t *ret_version)
{
    uint8_t zero = 0;
    MDB_val at = lmdb_val(&zero, 1);
    MDB_val val;
    int rc = mdb_get(db->txn, db->dbi, &at, &val);
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? (struct mln_err){MLN_E_NOT_FOUND}
                                  : lmdb_failed(cx, db, rc, "reading");
    }
    const uint8_t *meta = val.mv_data;
    if (val.mv_size < 4) {
        return mln_fail(cx, MLN_E_CORRUPT, "the store is damaged: its first row is cut short");
    }
    uint32_t format = mln_get_u32be(meta);
    if (format > STORE_FORMAT) {
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "the store has format %u, this program reads formats up to %u: start the "
                        "version that wrote it, or a newer one",
                        (unsigned)format, STORE_FORMAT);
    }
    if (format < STORE_FORMAT_OLDEST) {
        return mln_fail(cx, MLN_E_CORRUPT, "the store is damaged: format %u never was",
                        (unsigned)format);
    }
    if (val.mv_size != META_N) {
        return mln_fail(cx, MLN_E_CORRUPT,
                        "the store is damaged: its first row has a wrong length");
    }
    *ret_version = mln_get_u64be(meta + 4);
    db->bucket = mln_get_u64be(meta + 12);
    return MLN_OK;
}

static struct mln_err write_meta(struct mln_cx *cx, struct lmdb *db, uint64_t version)
{
    uint8_t zero = 0;
    uint8_t meta[META_N];
    mln_put_u32be(meta, STORE_FORMAT);
    mln_put_u64be(meta + 4, version);
    mln_put_u64be(meta + 12, db->bucket);
    MDB_val at = lmdb_val(&zero, 1);
    MDB_val val = lmdb_val(meta, sizeof(meta));
    int rc = mdb_put(db->txn, db->dbi, &at, &val, 0);
    return rc == 0 ? MLN_OK : lmdb_failed(cx, db, rc, "writing");
}

static void abort_txn(struct mln_store *store)
{
    struct lmdb *db = db_of(store);
    if (db->txn != NULL) {
        mdb_txn_abort(db->txn);
        db->txn = NULL;
    }
    if (db->is_relief) {
        db->is_relief = false;
        lmdb_relief_end(db);
    }
}

static struct mln_err begin(struct mln_cx *cx, struct mln_store *store, bool is_relief)
{
    struct lmdb *db = db_of(store);
    db->is_relief = is_relief;
    if (is_relief) {
        lmdb_relief_begin(db);
    }
    db->is_map_full = false;
    int rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    uint64_t version = 0;
    struct mln_err err = rc == 0 ? read_meta(cx, db, &version) : lmdb_failed(cx, db, rc, "writing");
    if (mln_failed(err)) {
        abort_txn(store);
    }
    return err;
}

static struct mln_err get(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key,
                          struct mln_bytes *ret_value, uint64_t *ret_version)
{
    struct lmdb *db = db_of(store);
    return lmdb_get(cx, db, db->txn, key, ret_value, ret_version);
}

static struct mln_err put(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key,
                          struct mln_bytes value, uint64_t version)
{
    struct lmdb *db = db_of(store);
    struct row_path path;
    MLN_TRY(lmdb_locate(cx, db, db->txn, key, true, &path));
    MDB_val at = lmdb_val(path.rows[path.depth].bytes, path.rows[path.depth].n);
    MDB_val val = {.mv_size = VERSION_N + value.len};
    int rc = mdb_put(db->txn, db->dbi, &at, &val, MDB_RESERVE);
    if (rc != 0) {
        return lmdb_failed(cx, db, rc, "writing");
    }
    uint8_t *to = val.mv_data;
    mln_put_u64be(to, version);
    mln_copy(to + VERSION_N, value.ptr, value.len);
    return MLN_OK;
}

static struct mln_err del(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key)
{
    struct lmdb *db = db_of(store);
    struct row_path path;
    struct mln_err err = lmdb_locate(cx, db, db->txn, key, false, &path);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    }
    MDB_val at = lmdb_val(path.rows[path.depth].bytes, path.rows[path.depth].n);
    int rc = mdb_del(db->txn, db->dbi, &at, NULL);
    if (rc == MDB_NOTFOUND) {
        return MLN_OK;
    }
    return rc == 0 ? lmdb_prune_path(cx, db, &path) : lmdb_failed(cx, db, rc, "writing");
}

static struct mln_err commit(struct mln_cx *cx, struct mln_store *store, uint64_t version)
{
    struct lmdb *db = db_of(store);
    struct mln_err err = write_meta(cx, db, version);
    if (!mln_failed(err)) {
        int rc = mdb_txn_commit(db->txn);
        db->txn = NULL; /* gone either way */
        err = rc == 0 ? MLN_OK : lmdb_failed(cx, db, rc, "writing");
    }
    bool was_relief = db->is_relief;
    abort_txn(store);
    if (!was_relief && !mln_failed(err)) {
        lmdb_space_tick(db);
    }
    return err;
}

static uint64_t bytes(struct mln_store *store)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(db_of(store)->env, &info);
    mdb_env_stat(db_of(store)->env, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

/* ---- opening and closing ---- */

static void free_db(struct lmdb *db)
{
    while (db->pool != NULL) {
        struct lmdb_snap *snap = db->pool;
        db->pool = snap->next;
        snap_free(snap);
    }
    if (db->env != NULL) {
        mdb_env_close(db->env);
    }
    mln_fd_drop(&db->lock_fd); /* and with it the lock */
    pthread_mutex_destroy(&db->pool_lock);
    pthread_cond_destroy(&db->pool_wake);
    mln_free(db->dir);
    mln_free(db->reserve_path);
    mln_free(db);
}

static void close_store(struct mln_store *store)
{
    MLN_CHECK(db_of(store)->active == 0); /* a snapshot would outlive its store */
    free_db(db_of(store));
}

static const struct store_ops ops = {
    .close = close_store,
    .snap_begin = snap_begin,
    .snap_end = snap_end,
    .snap_get = snap_get,
    .snap_seek = snap_seek,
    .begin = begin,
    .get = get,
    .put = put,
    .del = del,
    .commit = commit,
    .abort = abort_txn,
    .bytes = bytes,
};

static struct mln_err path_in(struct mln_cx *cx, const char *dir, const char *name, char **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf path = {0};
    mln_buf_add_text(&path, dir);
    mln_buf_add_text(&path, name);
    mln_buf_add_byte(&path, 0);
    MLN_TRY(mln_buf_ok(cx, &path));
    *ret = mln_strdup((const char *)path.ptr);
    return *ret != NULL ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "out of memory");
}

static struct mln_err take_lock(struct mln_cx *cx, struct lmdb *db)
{
    char *path = NULL;
    MLN_TRY(path_in(cx, db->dir, "/lock", &path));
    struct mln_err err = mln_file_open(cx, path, O_RDWR | O_CREAT, 0600, &db->lock_fd);
    mln_free(path);
    MLN_TRY(err);
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? mln_fail(cx, MLN_E_EXISTS, "the store is open in another process")
                   : mln_fail(cx, MLN_E_IO, "the store cannot be locked");
    }
    return MLN_OK;
}

static struct mln_err open_env(struct mln_cx *cx, struct lmdb *db, const struct mln_store_config *config)
{
    unsigned flags = MDB_NORDAHEAD | MDB_NOTLS | (config->no_sync ? MDB_NOSYNC : 0) | (config->is_reader ? MDB_RDONLY : 0);
    int dead = 0;
    int rc = mdb_env_create(&db->env);
    if (rc == 0) {
        rc = mdb_env_set_maxreaders(db->env, READERS_MAX);
    }
    if (rc == 0) {
        rc = mdb_env_set_mapsize(db->env, db->map_bytes);
    }
    if (rc == 0) {
        rc = mdb_env_open(db->env, db->dir, flags, 0600);
    }
    if (rc == 0) {
        rc = mdb_reader_check(db->env, &dead); /* places of readers that died hold pages */
    }
    return rc == 0 ? MLN_OK : lmdb_failed(cx, db, rc, "opening");
}

/* Read the first row, or write it into a new store. */
static struct mln_err open_rows(struct mln_cx *cx, struct lmdb *db, bool is_reader)
{
    int rc = mdb_txn_begin(db->env, NULL, is_reader ? MDB_RDONLY : 0, &db->txn);
    if (rc == 0) {
        rc = mdb_dbi_open(db->txn, NULL, 0, &db->dbi);
    }
    if (rc != 0) {
        abort_txn(&db->base);
        return lmdb_failed(cx, db, rc, "opening");
    }
    uint64_t version = 0;
    struct mln_err err = read_meta(cx, db, &version);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        MDB_stat stat = {0};
        mdb_stat(db->txn, db->dbi, &stat);
        err = stat.ms_entries == 0 && !is_reader
                  ? write_meta(cx, db, 0)
                  : mln_fail(cx, MLN_E_CORRUPT, "the store is damaged: its first row is missing");
    }
    if (mln_failed(err)) {
        abort_txn(&db->base);
        return err;
    }
    rc = mdb_txn_commit(db->txn);
    db->txn = NULL;
    db->base.version = version;
    return rc == 0 ? MLN_OK : lmdb_failed(cx, db, rc, "opening");
}

static struct mln_err find_file(struct mln_cx *cx, const struct lmdb *db)
{
    char *path = NULL;
    MLN_TRY(path_in(cx, db->dir, "/data.mdb", &path));
    bool is_there = access(path, F_OK) == 0;
    mln_free(path);
    return is_there ? MLN_OK : mln_fail(cx, MLN_E_NOT_FOUND, "there is no store in %s", db->dir);
}

static struct mln_err open_db(struct mln_cx *cx, struct lmdb *db,
                              const struct mln_store_config *config)
{
    db->map_bytes = config->map_bytes != 0 ? config->map_bytes : MAP_BYTES;
    db->reserve_bytes = config->reserve_bytes != 0 ? config->reserve_bytes : RESERVE_BYTES;
    MLN_TRY(path_in(cx, config->dir, "", &db->dir));
    MLN_TRY(path_in(cx, config->dir, "/reserve", &db->reserve_path));
    if (config->is_reader) {
        MLN_TRY(find_file(cx, db));
        MLN_TRY(open_env(cx, db, config));
        MLN_TRY(open_rows(cx, db, true));
        return store_start(cx, &db->base, &ops);
    }
    MLN_TRY(mln_dir_make(cx, config->dir, 0700));
    MLN_TRY(take_lock(cx, db));
    MLN_TRY(open_env(cx, db, config));
    MLN_TRY(open_rows(cx, db, false));
    lmdb_reserve_open(db);
    if (!config->no_sync) {
        MLN_TRY(mln_dir_sync(cx, db->dir));
    }
    return store_start(cx, &db->base, &ops);
}

struct mln_err mln_store_open_lmdb(struct mln_cx *cx, const struct mln_store_config *config,
                                   struct mln_store **ret)
{
    MLN_CHECK(config->dir != NULL);
    struct lmdb *db = mln_alloc(sizeof(*db));
    if (db == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    db->lock_fd = -1;
    pthread_mutex_init(&db->pool_lock, NULL);
    pthread_cond_init(&db->pool_wake, NULL);
    struct mln_err err = open_db(cx, db, config);
    if (mln_failed(err)) {
        free_db(db);
        return err;
    }
    *ret = &db->base;
    return MLN_OK;
}
