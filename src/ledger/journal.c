/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: where a record without a mutation waits until the store holds it. Two preallocated files of one size are
 * written in turn; one is written again from its start when all its frames are in the store.
 *
 * frame    bytes of body u32 BE | number u64 BE | body (record.c) | first 16 bytes of HMAC-SHA-256 over what is before
 * Numbers go up by one inside a file, so what an earlier turn left behind never follows a newer frame. Reading a file ends at
 * the first frame that is not whole: a torn one, or the end. Numbers above the mark that the store holds are sequenced again,
 * so replay is idempotent. After a start numbers jump, so that no old frame can continue a new one.
 *
 * The lock is held for one pwrite into the page cache: that order is what makes the file a prefix after a crash of the process.
 */
#include <fcntl.h>

#include "base/io.h"
#include "ledger/ledger_priv.h"

#define FRAME_HEAD   12u
#define MAC_BYTES    16u
#define FILES        2u
#define NUMBER_JUMP  ((uint64_t)1 << 32)
#define ROOM_WAIT_NS ((int64_t)2000000000) /* a disk that stalls this long is as good as full */
#define ZEROS        (64u << 10)

struct journal_file {
    int fd;
    uint64_t at;   /* where the next frame goes */
    uint64_t last; /* number of its last frame; 0 = none */
    bool is_dirty;
};

struct journal {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct mln_secret key; /* a struct mln_hmac_key */
    uint64_t bytes;
    struct journal_file files[FILES];
    unsigned current;
    uint64_t number; /* of the newest frame */
    uint64_t mark;
    bool is_failing;
    struct mln_buf incoming; /* frames without their MAC */
    struct mln_buf frame;
    /* the committer's */
    struct mln_buf taken;
    size_t taken_at;
};

/* ---- opening ---- */

static struct mln_err fill_file(struct mln_cx *cx, int fd, uint64_t bytes)
{
    static const uint8_t zeros[ZEROS];
    uint64_t size = 0;
    MLN_TRY(mln_file_size(cx, fd, &size));
    while (size < bytes) { /* written, not only reserved: later writes need neither space nor metadata */
        size_t n = bytes - size < ZEROS ? (size_t)(bytes - size) : ZEROS;
        MLN_TRY(mln_fd_pwrite(cx, fd, zeros, n, size));
        size += n;
    }
    return MLN_OK;
}

static void mac_of(const struct journal *j, struct mln_bytes frame, uint8_t ret[MLN_SHA256_BYTES])
{
    mln_hmac_by((const void *)j->key.ptr, frame, ret);
}

/* The whole frame at r, or false. */
static bool read_frame(const struct journal *j, struct mln_reader *r, uint64_t *ret_number, struct mln_bytes *ret_frame)
{
    struct mln_bytes from = mln_bytes_from(r->all, r->at);
    uint8_t mac[MLN_SHA256_BYTES];
    uint32_t n = mln_read_u32be(r);
    uint64_t number = mln_read_u64be(r);
    (void)mln_read_bytes(r, n);
    struct mln_bytes kept = mln_read_bytes(r, MAC_BYTES);
    if (r->is_short || n < BODY_HEAD) {
        return false;
    }
    *ret_frame = mln_bytes_sub(from, 0, FRAME_HEAD + n);
    mac_of(j, *ret_frame, mac);
    *ret_number = number;
    return mln_eq_ct(mac, MAC_BYTES, kept.ptr, MAC_BYTES);
}

static struct mln_err replay_file(struct mln_cx *cx, struct journal *j, struct journal_file *f, struct mln_buf *content)
{
    struct mln_reader r = mln_reader_of(mln_buf_bytes(content));
    uint64_t number = 0;
    struct mln_bytes frame;
    while (read_frame(j, &r, &number, &frame) && (f->last == 0 || number == f->last + 1)) {
        f->last = number;
        if (number > j->mark) {
            mln_buf_add_bytes(&j->incoming, frame);
        }
    }
    f->at = f->last > j->mark ? j->bytes : 0; /* nothing is written into a file that still counts */
    return mln_buf_ok(cx, &j->incoming);
}

static uint64_t first_number(const struct journal *j, const struct mln_buf *content)
{
    struct mln_reader r = mln_reader_of(mln_buf_bytes(content));
    uint64_t number = 0;
    struct mln_bytes frame;
    return read_frame(j, &r, &number, &frame) ? number : 0;
}

/* The file, or nothing when it begins with no frame: as a file does that is new or was closed in good order. */
static struct mln_err load_file(struct mln_cx *cx, const struct journal *j, const struct journal_file *f, struct mln_buf *to)
{
    uint8_t head[FRAME_HEAD];
    MLN_TRY(mln_fd_pread(cx, f->fd, head, sizeof(head), 0));
    if (mln_get_u32be(head) == 0) {
        return MLN_OK;
    }
    if (!mln_buf_reserve(to, j->bytes)) {
        return mln_buf_ok(cx, to);
    }
    MLN_TRY(mln_fd_pread(cx, f->fd, to->ptr, j->bytes, 0));
    to->len = j->bytes;
    return MLN_OK;
}

static struct mln_err replay(struct mln_cx *cx, struct journal *j)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf a = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf b = {0};
    struct mln_buf *contents[FILES] = {&a, &b};
    for (unsigned i = 0; i < FILES; i++) {
        MLN_TRY(load_file(cx, j, &j->files[i], contents[i]));
    }
    unsigned older = first_number(j, &a) < first_number(j, &b) ? 0 : 1;
    MLN_TRY(replay_file(cx, j, &j->files[older], contents[older]));
    MLN_TRY(replay_file(cx, j, &j->files[1 - older], contents[1 - older]));
    j->current = 1 - older;
    uint64_t last = j->files[0].last > j->files[1].last ? j->files[0].last : j->files[1].last;
    last = last > j->mark ? last : j->mark;
    j->number = last + NUMBER_JUMP;
    return MLN_OK;
}

static void journal_drop(struct journal **j)
{
    journal_close(*j);
}

struct mln_err journal_open(struct mln_cx *cx, const char *dir, uint64_t bytes, const uint8_t key[32], uint64_t mark,
                            struct journal **ret)
{
    MLN_AUTO(journal_drop) struct journal *j = mln_alloc(sizeof(*j));
    if (j == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    pthread_mutex_init(&j->lock, NULL);
    ledger_cond_init(&j->room);
    j->bytes = bytes;
    j->mark = mark;
    j->files[0].fd = j->files[1].fd = -1;
    MLN_TRY(mln_secret_new(cx, sizeof(struct mln_hmac_key), &j->key));
    mln_hmac_key_set((void *)j->key.ptr, mln_bytes_at(key, 32));
    MLN_TRY(mln_dir_make(cx, dir, 0700));
    for (unsigned i = 0; i < FILES; i++) {
        const char *path = mln_text_format(cx, "%s/%u", dir, i);
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(mln_file_open(cx, path, O_RDWR | O_CREAT, 0600, &j->files[i].fd));
        MLN_TRY(fill_file(cx, j->files[i].fd, bytes));
    }
    MLN_TRY(mln_dir_sync(cx, dir));
    MLN_TRY(replay(cx, j));
    *ret = mln_take(&j);
    return MLN_OK;
}

/* All is in the store: the next start need not look at the frames. */
static void clear_files(struct journal *j)
{
    static const uint8_t zeros[FRAME_HEAD];
    for (unsigned i = 0; i < FILES; i++) {
        if (j->files[i].fd >= 0 && j->files[i].last > 0 && j->files[i].last <= j->mark) {
            (void)mln_failed(mln_fd_pwrite(NULL, j->files[i].fd, zeros, sizeof(zeros), 0));
        }
    }
}

void journal_close(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    clear_files(j);
    for (unsigned i = 0; i < FILES; i++) {
        mln_fd_drop(&j->files[i].fd);
    }
    mln_buf_drop(&j->incoming);
    mln_buf_drop(&j->frame);
    mln_buf_drop(&j->taken);
    mln_secret_drop(&j->key);
    pthread_cond_destroy(&j->room);
    pthread_mutex_destroy(&j->lock);
    mln_free(j);
}

/* ---- adding ---- */

static bool make_room(struct journal *j, size_t n)
{
    if (j->files[j->current].at + n <= j->bytes) {
        return true;
    }
    struct journal_file *other = &j->files[1 - j->current];
    if (other->last > j->mark) {
        return false;
    }
    j->current = 1 - j->current;
    other->at = 0;
    other->last = 0;
    return true;
}

/* With the lock held. */
static struct mln_err wait_for_room(struct mln_cx *cx, struct journal *j, size_t n)
{
    if (n > j->bytes) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "ledger: a record of %zu bytes is too large for the journal", n);
    }
    bool has_time = true;
    while (!make_room(j, n)) {
        if (j->is_failing || !has_time) {
            return mln_fail(cx, MLN_E_FULL, "the ledger cannot take another record: no space left");
        }
        has_time = ledger_wait(&j->room, &j->lock, ROOM_WAIT_NS);
    }
    return MLN_OK;
}

static struct mln_err add_locked(struct mln_cx *cx, struct journal *j, struct mln_bytes body)
{
    size_t n = FRAME_HEAD + body.len + MAC_BYTES;
    uint8_t mac[MLN_SHA256_BYTES];
    MLN_TRY(wait_for_room(cx, j, n));
    mln_buf_clear(&j->frame);
    mln_buf_add_u32be(&j->frame, (uint32_t)body.len);
    mln_buf_add_u64be(&j->frame, j->number + 1);
    mln_buf_add_bytes(&j->frame, body);
    MLN_TRY(mln_buf_ok(cx, &j->frame));
    mac_of(j, mln_buf_bytes(&j->frame), mac);
    mln_buf_add(&j->frame, mac, MAC_BYTES);
    MLN_TRY(mln_buf_ok(cx, &j->frame));
    if (!mln_buf_reserve(&j->incoming, n)) {
        struct mln_err err = mln_buf_ok(cx, &j->incoming);
        j->incoming.has_failed = j->incoming.is_over = false; /* what waits in it is whole */
        return err;
    }
    struct journal_file *f = &j->files[j->current];
    MLN_TRY(mln_fd_pwrite(cx, f->fd, j->frame.ptr, n, f->at));
    mln_buf_add(&j->incoming, j->frame.ptr, n - MAC_BYTES);
    f->at += n;
    f->last = ++j->number;
    f->is_dirty = true;
    return MLN_OK;
}

struct mln_err journal_add(struct mln_cx *cx, struct journal *j, struct mln_bytes body)
{
    pthread_mutex_lock(&j->lock);
    struct mln_err err = add_locked(cx, j, body);
    pthread_mutex_unlock(&j->lock);
    return err;
}

struct mln_err journal_sync(struct mln_cx *cx, struct journal *j)
{
    for (unsigned i = 0; i < FILES; i++) {
        pthread_mutex_lock(&j->lock);
        bool is_dirty = j->files[i].is_dirty;
        j->files[i].is_dirty = false;
        pthread_mutex_unlock(&j->lock);
        struct mln_err err = is_dirty ? mln_fd_sync(cx, j->files[i].fd) : MLN_OK;
        if (mln_failed(err)) {
            pthread_mutex_lock(&j->lock);
            j->files[i].is_dirty = true;
            pthread_mutex_unlock(&j->lock);
            return err;
        }
    }
    return MLN_OK;
}

bool journal_is_idle(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool is_idle = j->files[0].last <= j->mark && j->files[1].last <= j->mark;
    pthread_mutex_unlock(&j->lock);
    return is_idle;
}

bool journal_is_past(struct journal *j, uint64_t number)
{
    pthread_mutex_lock(&j->lock);
    bool is_past = j->mark >= number;
    pthread_mutex_unlock(&j->lock);
    return is_past;
}

uint64_t journal_last(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    uint64_t a = j->files[0].last;
    uint64_t b = j->files[1].last;
    pthread_mutex_unlock(&j->lock);
    return a > b ? a : b;
}

/* ---- taking: the committer's thread ---- */

static bool swap_in(struct journal *j)
{
    if (j->taken_at < j->taken.len) {
        return true;
    }
    pthread_mutex_lock(&j->lock);
    mln_buf_clear(&j->taken);
    struct mln_buf spare = j->taken;
    j->taken = j->incoming;
    j->incoming = spare;
    pthread_mutex_unlock(&j->lock);
    j->taken_at = 0;
    return j->taken.len > 0;
}

bool journal_next(struct journal *j, size_t *at, uint64_t *ret_number, struct mln_bytes *ret_body)
{
    if (*at == 0) {
        if (!swap_in(j)) {
            return false;
        }
        *at = j->taken_at;
    }
    if (*at >= j->taken.len) {
        return false;
    }
    struct mln_reader r = {.all = mln_buf_bytes(&j->taken), .at = *at};
    uint32_t n = mln_read_u32be(&r);
    *ret_number = mln_read_u64be(&r);
    *ret_body = mln_read_bytes(&r, n);
    MLN_CHECK(!r.is_short);
    *at = r.at;
    return true;
}

void journal_done(struct journal *j, size_t at, uint64_t mark)
{
    j->taken_at = at > j->taken_at ? at : j->taken_at;
    pthread_mutex_lock(&j->lock);
    j->mark = mark;
    j->is_failing = false;
    pthread_cond_broadcast(&j->room);
    pthread_mutex_unlock(&j->lock);
}

void journal_failed(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->is_failing = true;
    pthread_cond_broadcast(&j->room);
    pthread_mutex_unlock(&j->lock);
}
