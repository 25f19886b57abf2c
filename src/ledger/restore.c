/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring: a dump of what is there, then all rows anew in one transaction, without the log's rows and with one row more that says
 * what was replaced ("root/ledger/restart"). Opening the ledger finds that row, moves the old log's files away and writes the
 * first record, which takes the row's place in one batch.
 */
#include "ledger/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/text.h"
#include "ledger/ledger_priv.h"

#define PAST_MAX 100000u /* restores of one data folder */
#define FILE_MAX (64u << 10)

/* ---- the old log ---- */

static struct mln_err read_public(struct mln_cx *cx, const char *dir, const char *name, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf content = {0};
    const char *path = mln_text_format(cx, "%s/ledger/%s", dir, name);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_file_read_all(cx, path, FILE_MAX, &content));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&content));
    return mln_cx_err(cx);
}

/* Object: origin, size, root, checkpoint, vkey of the newest checkpoint; NULL when nothing was published. */
static struct mln_err old_log(struct mln_cx *cx, const char *dir, const struct mln_value **ret)
{
    struct mln_bytes note = MLN_BYTES_NONE, vkey = MLN_BYTES_NONE;
    struct mln_checkpoint c = {0};
    struct mln_err err = read_public(cx, dir, "checkpoint", &note);
    *ret = NULL;
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    err = read_public(cx, dir, "vkey", &vkey);
    err = mln_failed(err) ? err : mln_checkpoint_open(cx, note, mln_bytes_trim(vkey), &c);
    if (mln_failed(err)) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the checkpoint in %s/ledger does not open with the vkey beside it: it cannot be "
                                             "named as what is replaced; move the folder away to begin without it", dir);
    }
    struct mln_value *log = mln_object(cx);
    mln_put_bytes(cx, log, "origin", c.origin);
    mln_put_int(cx, log, "size", (int64_t)c.size);
    mln_put_text(cx, log, "root", mln_hex_text(cx, mln_bytes_at(c.root.b, sizeof(c.root.b))));
    mln_put_bytes(cx, log, "checkpoint", note);
    mln_put_bytes(cx, log, "vkey", mln_bytes_trim(vkey));
    *ret = log;
    return mln_cx_err(cx);
}

const struct mln_value *mln_restore_about(struct mln_cx *cx, const char *dir, int64_t now_ns)
{
    struct mln_value *about = mln_object(cx);
    const struct mln_value *log = NULL;
    mln_put_text(cx, about, "created", mln_time_text(cx, now_ns, 0));
    mln_put_text(cx, about, "version", MLN_VERSION);
    if (mln_failed(old_log(cx, dir, &log))) {
        mln_cx_clear(cx); /* a snapshot is worth having all the same */
    }
    mln_put(cx, about, "ledger", log != NULL ? log : mln_null(cx));
    return about;
}

/* ---- origins ---- */

#define RESTORED "/restored-"

const char *mln_restore_origin(struct mln_cx *cx, const char *origin, int64_t now_ns)
{
    char digits[32] = "";
    size_t n = 0;
    const char *time = mln_time_text(cx, now_ns, 3);
    for (size_t i = 0; time[i] != 0 && n + 1 < sizeof(digits); i++) {
        if (time[i] != '-' && time[i] != ':') {
            digits[n++] = time[i];
        }
    }
    return mln_text_format(cx, "%s" RESTORED "%s", origin, digits);
}

bool restore_origin_fits(struct mln_bytes origin, const char *configured)
{
    struct mln_bytes base = mln_bytes_of(configured);
    return mln_bytes_eq(origin, base) ||
           (mln_bytes_starts(origin, base) && mln_bytes_starts(mln_bytes_from(origin, base.len), MLN_BYTES(RESTORED)));
}

static struct mln_err check_origin(struct mln_cx *cx, struct mln_bytes origin, const struct mln_value *old)
{
    bool is_ok = origin.len > 0 && origin.len < 200;
    for (size_t i = 0; i < origin.len; i++) {
        is_ok = is_ok && origin.ptr[i] > ' ' && origin.ptr[i] < 0x7f && origin.ptr[i] != '+';
    }
    if (!is_ok) {
        return mln_fail(cx, MLN_E_INVALID, "the new origin must be a name such as example.org/merlon-2 of at most 199 bytes");
    }
    return mln_bytes_eq(mln_get_bytes(mln_get(old, "origin")), origin)
               ? mln_fail(cx, MLN_E_INVALID, "the new origin must be another than the old log's, \"%.*s\"", MLN_FMT(origin))
               : MLN_OK;
}

/* ---- the place of what is replaced ---- */

static struct mln_err make_past(struct mln_cx *cx, const char *dir, const char **ret)
{
    const char *top = mln_text_format(cx, "%s/past", dir);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_dir_make(cx, top, 0700));
    for (unsigned n = 1; n <= PAST_MAX; n++) {
        const char *path = mln_text_format(cx, "%s/%u", top, n);
        MLN_TRY(mln_cx_err(cx));
        if (mkdir(path, 0700) == 0) {
            *ret = mln_text_format(cx, "past/%u", n);
            struct mln_err err = mln_cx_err(cx);
            err = mln_failed(err) ? err : mln_dir_sync(cx, top);
            if (mln_failed(err)) {
                (void)rmdir(path);
            }
            return err;
        }
        if (errno != EEXIST) {
            return mln_fail(cx, errno == ENOSPC ? MLN_E_FULL : MLN_E_IO, "%s cannot be made", path);
        }
    }
    return mln_fail(cx, MLN_E_LIMIT, "%s holds too many past logs", top);
}

static struct mln_err to_fd(void *arg, struct mln_cx *cx, struct mln_bytes bytes)
{
    return mln_fd_write(cx, *(const int *)arg, bytes.ptr, bytes.len);
}

static struct mln_err save_past(struct mln_cx *cx, struct mln_snap *snap, const struct mln_restore *r, const char *past)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    struct mln_dump_sink sink = {to_fd, &fd};
    const char *folder = mln_text_format(cx, "%s/%s", r->dir, past);
    const char *path = mln_text_format(cx, "%s/store.snap", folder);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_file_open(cx, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd));
    MLN_TRY(mln_dump_write(cx, snap, mln_restore_about(cx, r->dir, mln_now_ns()), r->key, &sink));
    MLN_TRY(mln_fd_sync(cx, fd));
    return mln_dir_sync(cx, folder);
}

static void drop_past(struct mln_cx *cx, const char *dir, const char *past)
{
    struct mln_cx cause = *cx; /* what failed is told, not this */
    const char *folder = mln_text_format(cx, "%s/%s", dir, past);
    const char *path = mln_text_format(cx, "%s/store.snap", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    *cx = cause;
}

/* ---- the rows ---- */

struct refill {
    const struct mln_restore *restore;
    struct mln_store_writer *writer;
    struct mln_snap *snap;
    const struct mln_value *old;
    const char *past;
};

static struct mln_err put_row(void *arg, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes value)
{
    const struct refill *f = arg;
    return mln_bytes_starts(key, MLN_BYTES(ROW_PREFIX)) ? MLN_OK : mln_writer_put(cx, f->writer, key, value);
}

static struct mln_err put_own(struct mln_cx *cx, struct refill *f)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf last = {0};
    struct mln_bytes key = MLN_BYTES_NONE, value = MLN_BYTES_NONE;
    for (;;) {
        struct mln_err err = mln_snap_next(cx, f->snap, MLN_BYTES_NONE, mln_buf_bytes(&last), &key, &value);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return MLN_OK;
        }
        MLN_TRY(err);
        mln_buf_clear(&last);
        mln_buf_add_bytes(&last, key);
        MLN_TRY(mln_buf_ok(cx, &last));
        MLN_TRY(put_row(f, cx, mln_buf_bytes(&last), value));
    }
}

static const struct mln_value *snapshot_value(struct mln_cx *cx, const struct mln_dump_facts *facts)
{
    struct mln_value *snapshot = mln_object(cx);
    mln_put_text(cx, snapshot, "sums", mln_hex_text(cx, mln_bytes_at(facts->sums, sizeof(facts->sums))));
    mln_put_int(cx, snapshot, "rows", (int64_t)facts->rows);
    mln_put_bool(cx, snapshot, "authentic", facts->is_authentic);
    mln_put(cx, snapshot, "created", mln_get(facts->about, "created"));
    mln_put(cx, snapshot, "ledger", mln_get(facts->about, "ledger"));
    return snapshot;
}

static struct mln_err put_restart(struct mln_cx *cx, const struct refill *f, const struct mln_dump_facts *facts)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf row = {.max = NOTE_BYTES_MAX};
    struct mln_value *restart = mln_object(cx);
    mln_put_int(cx, restart, "version", 1);
    mln_put_text(cx, restart, "origin", f->restore->origin);
    mln_put_text(cx, restart, "past", f->past);
    mln_put(cx, restart, "replaces", f->old != NULL ? f->old : mln_null(cx));
    mln_put(cx, restart, "snapshot", facts != NULL ? snapshot_value(cx, facts) : mln_null(cx));
    mln_put(cx, restart, "by", f->restore->by != NULL ? f->restore->by : mln_null(cx));
    MLN_TRY(mln_cx_err(cx));
    mln_cbor_print_sorted(&row, restart);
    MLN_TRY(mln_buf_ok(cx, &row));
    return mln_writer_put(cx, f->writer, RESTART_KEY, mln_buf_bytes(&row));
}

static struct mln_err put_all(void *arg, struct mln_cx *cx, struct mln_store_writer *w)
{
    struct refill *f = arg;
    struct mln_dump_facts facts = {0};
    struct mln_dump_take take = {put_row, f};
    bool is_dump = f->restore->dump.len > 0;
    f->writer = w;
    MLN_TRY(is_dump ? mln_dump_read(cx, f->restore->dump, f->restore->key, &take, &facts) : put_own(cx, f));
    MLN_TRY(check_origin(cx, mln_bytes_of(f->restore->origin), mln_get(facts.about, "ledger"))); /* another folder's log */
    return put_restart(cx, f, is_dump ? &facts : NULL);
}

struct mln_err mln_restore(struct mln_cx *cx, struct mln_store *store, const struct mln_restore *restore)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct refill f = {.restore = restore};
    struct mln_store_fill fill = {put_all, &f};
    MLN_TRY(old_log(cx, restore->dir, &f.old));
    MLN_TRY(check_origin(cx, mln_bytes_of(restore->origin), f.old));
    MLN_TRY(mln_snap_begin(cx, store, &snap));
    MLN_TRY(make_past(cx, restore->dir, &f.past));
    f.snap = snap;
    struct mln_err err = save_past(cx, snap, restore, f.past);
    err = mln_failed(err) ? err : mln_store_replace(cx, store, &fill);
    if (mln_failed(err)) {
        drop_past(cx, restore->dir, f.past);
    }
    return err;
}

/* ---- opening after it ---- */

static bool is_past_name(struct mln_bytes name)
{
    struct mln_bytes number = mln_bytes_from(name, 5);
    bool is_ok = mln_bytes_starts(name, MLN_BYTES("past/")) && number.len >= 1 && number.len <= 6 && number.ptr[0] != '0';
    for (size_t i = 0; i < number.len; i++) {
        is_ok = is_ok && number.ptr[i] >= '0' && number.ptr[i] <= '9';
    }
    return is_ok;
}

struct mln_err restart_load(struct mln_cx *cx, struct mln_snap *snap, const char *configured, const struct mln_value **ret)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    uint64_t version = 0;
    struct mln_err err = mln_snap_get(cx, snap, RESTART_KEY, &row, &version);
    *ret = NULL;
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    row = mln_bytes_dup(cx, row);
    MLN_TRY(mln_cx_err(cx));
    err = mln_cbor_parse(cx, row, ret);
    struct mln_bytes origin = mln_get_bytes(mln_get(*ret, "origin"));
    if (mln_failed(err) || mln_get_int(mln_get(*ret, "version"), 0) != 1 || !is_past_name(mln_get_bytes(mln_get(*ret, "past"))) ||
        origin.len == 0 || origin.len >= 200) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the row that begins a new log after a restore is damaged");
    }
    return restore_origin_fits(origin, configured)
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "ledger: the store was restored with the origin \"%.*s\": set ledger.origin to it in the "
                                             "configuration", MLN_FMT(origin));
}

static struct mln_err move_one(struct mln_cx *cx, const char *dir, const char *past, const char *name)
{
    struct stat st;
    const char *from = mln_text_format(cx, "%s/%s", dir, name);
    const char *to = mln_text_format(cx, "%s/%s/%s", dir, past, name);
    MLN_TRY(mln_cx_err(cx));
    if (lstat(to, &st) == 0 || (lstat(from, &st) != 0 && errno == ENOENT)) {
        return MLN_OK; /* moved before an interruption, or never there */
    }
    return rename(from, to) == 0 ? MLN_OK : mln_fail(cx, MLN_E_IO, "%s cannot be moved to %s", from, to);
}

struct mln_err restart_move(struct mln_cx *cx, const char *dir, const struct mln_value *restart)
{
    const char *past = mln_get_text(cx, mln_get(restart, "past"), "");
    const char *folder = mln_text_format(cx, "%s/%s", dir, past);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_dir_make(cx, folder, 0700));
    MLN_TRY(move_one(cx, dir, past, "ledger"));
    MLN_TRY(move_one(cx, dir, past, "journal"));
    MLN_TRY(mln_dir_sync(cx, folder));
    return mln_dir_sync(cx, dir);
}
