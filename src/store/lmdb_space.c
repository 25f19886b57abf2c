/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space for relief: a file "reserve" whose blocks are allocated. When a relief batch finds the disk
 * full, the file goes, the batch commits, and a file as large as still fits comes back, so that
 * ordinary batches cannot eat the rest. The same for the map's own limit: it grows by the reserve
 * for one transaction.
 */
#include "store/lmdb_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define RESERVE_STEP ((uint64_t)16 << 10)
#define DISK_LEAST   ((uint64_t)1 << 20) /* less than this is full */
#define RETRY_NS     1000000000
#define READERS_CHECK_NS 60000000000
#define QUIET_NS     1000000000 /* how long a resize waits for snapshots to end */

/* Keeps what is there when nothing larger fits. */
static bool reserve_make(struct lmdb *db, uint64_t bytes)
{
    MLN_AUTO(mln_fd_drop) int fd = open(db->reserve_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    if (bytes > 0 && posix_fallocate(fd, 0, (off_t)bytes) != 0) {
        return false;
    }
    db->reserve_left = bytes;
    return ftruncate(fd, (off_t)bytes) == 0;
}

void lmdb_reserve_open(struct lmdb *db)
{
    struct stat st;
    db->reserve_tried_ns = mln_mono_ns();
    db->reserve_left = stat(db->reserve_path, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (db->reserve_left != db->reserve_bytes && !reserve_make(db, db->reserve_bytes)) {
        /* What did not fit goes again. */
        if (truncate(db->reserve_path, (off_t)db->reserve_left) != 0) {
            db->reserve_left = 0;
        }
    }
}

static uint64_t disk_free(const struct lmdb *db)
{
    struct statvfs fs;
    return statvfs(db->dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

bool lmdb_disk_is_full(const struct lmdb *db)
{
    return disk_free(db) < DISK_LEAST;
}

/* LMDB may be resized only while no transaction of this process is active. */
static void resize(struct lmdb *db, uint64_t bytes)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until); /* pthread_cond_timedwait's clock; a bound, not a fact */
    until.tv_sec += QUIET_NS / 1000000000;
    pthread_mutex_lock(&db->pool_lock);
    db->is_resizing = true;
    while (db->active > 0 && pthread_cond_timedwait(&db->pool_wake, &db->pool_lock, &until) == 0) {
    }
    if (db->active == 0) {
        db->is_map_grown =
            mdb_env_set_mapsize(db->env, bytes) == 0 ? bytes > db->map_bytes : db->is_map_grown;
    }
    db->is_resizing = false;
    pthread_cond_broadcast(&db->pool_wake);
    pthread_mutex_unlock(&db->pool_lock);
}

void lmdb_relief_begin(struct lmdb *db)
{
    if (db->is_map_full) {
        resize(db, db->map_bytes + db->reserve_bytes);
    } else {
        (void)unlink(db->reserve_path);
    }
}

void lmdb_relief_end(struct lmdb *db)
{
    if (db->is_map_grown) {
        resize(db, db->map_bytes);
        return;
    }
    uint64_t bytes = disk_free(db) < db->reserve_bytes ? disk_free(db) : db->reserve_bytes;
    for (unsigned tries = 0; bytes > 0 && !reserve_make(db, bytes); tries++) {
        uint64_t step =
            tries < 16 ? RESERVE_STEP : bytes / 8 + RESERVE_STEP; /* blocks for itself */
        bytes = bytes > step ? bytes - step : 0;
    }
    db->reserve_tried_ns = mln_mono_ns();
}

/* A backup beside us that was killed leaves its place in the table, and with it pages that cannot be used again. */
static void forget_dead_readers(struct lmdb *db)
{
    int64_t now_ns = mln_mono_ns();
    int dead = 0;
    if (now_ns - db->readers_checked_ns > READERS_CHECK_NS) {
        db->readers_checked_ns = now_ns;
        (void)mdb_reader_check(db->env, &dead);
    }
}

void lmdb_space_tick(struct lmdb *db)
{
    forget_dead_readers(db);
    if (db->is_map_grown) {
        resize(db, db->map_bytes);
    }
    if (db->reserve_left != db->reserve_bytes && mln_mono_ns() - db->reserve_tried_ns > RETRY_NS) {
        lmdb_reserve_open(db);
    }
}
