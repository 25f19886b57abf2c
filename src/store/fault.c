/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault engine: rows in memory with all their versions, and a log of commits as a disk would
 * hold it. It fails, stalls and
 * fills up on command; a crash throws the rows away and reads the log again, cut where a power cut
 * would have cut it.
 *
 * log frame   bytes u32 BE | FNV-1a of the rest u64 BE | version u64 BE | operations
 * operation   01 put, 02 delete | key bytes u32 BE | key | value bytes u32 BE | value (put)
 * A frame that is cut short or whose sum differs ends the log: it is dropped whole, with everything
 * behind it.
 */
#include "store/store_priv.h"

#include "base/buf.h"
#include "base/clock.h"

#define FRAME_HEAD    12u
#define RESERVE_BYTES (1u << 20)
#define LOG_MAX       ((size_t)1 << 30)

struct fault_version {
    uint64_t version;
    struct fault_version *older;
    bool is_deleted;
    size_t n;
    uint8_t value[];
};

struct fault_entry {
    struct fault_version *newest; /* NULL: written only by a transaction that was aborted */
    size_t n;
    uint8_t key[];
};

struct fault {
    struct mln_store base;
    struct mln_store_fault control;
    pthread_rwlock_t
        lock; /* the rows; a version is kept as long as the store, so views stay valid */
    struct fault_entry **entries; /* sorted */
    size_t n, cap;
    struct mln_buf log, frame;
    size_t synced, last_frame;
    uint64_t pending;
    bool is_relief;
    size_t reserve_left;
    _Atomic size_t active;
};

struct fault_snap {
    struct mln_snap base;
    uint64_t version;
};

static struct fault *fault_of(struct mln_store *store)
{
    return (struct fault *)store;
}

static struct mln_err no_memory(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_MEMORY, "out of memory");
}

/* ---- rows ---- */

static struct mln_bytes key_of(const struct fault_entry *e)
{
    return mln_bytes_at(e->key, e->n);
}

/* The first entry >= key (> when is_after). */
static size_t place_of(const struct fault *f, struct mln_bytes key, bool is_after)
{
    size_t low = 0;
    size_t high = f->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = mln_bytes_cmp(key_of(f->entries[middle]), key);
        if (order < 0 || (order == 0 && is_after)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct fault_version *version_at(const struct fault_entry *e, uint64_t version)
{
    const struct fault_version *v = e->newest;
    while (v != NULL && v->version > version) {
        v = v->older;
    }
    return v != NULL && !v->is_deleted ? v : NULL;
}

static struct mln_err read_at(struct fault *f, struct mln_bytes key, uint64_t version,
                              struct mln_bytes *ret_value, uint64_t *ret_version)
{
    size_t at = place_of(f, key, false);
    if (at == f->n || !mln_bytes_eq(key_of(f->entries[at]), key)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    const struct fault_version *v = version_at(f->entries[at], version);
    if (v == NULL) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    *ret_value = mln_bytes_at(v->value, v->n);
    *ret_version = v->version;
    return MLN_OK;
}

static struct fault_entry *entry_for(struct fault *f, struct mln_bytes key)
{
    size_t at = place_of(f, key, false);
    if (at < f->n && mln_bytes_eq(key_of(f->entries[at]), key)) {
        return f->entries[at];
    }
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 64 : 2 * f->cap;
        size_t word = sizeof(struct fault_entry *);
        struct fault_entry **more = mln_realloc(f->entries, f->cap * word, cap * word, false);
        if (more == NULL) {
            return NULL;
        }
        f->entries = more;
        f->cap = cap;
    }
    struct fault_entry *e = mln_alloc(sizeof(*e) + key.len);
    if (e != NULL) {
        e->n = key.len;
        mln_copy(e->key, key.ptr, key.len);
        mln_move(f->entries + at + 1, f->entries + at, (f->n - at) * sizeof(struct fault_entry *));
        f->entries[at] = e;
        f->n++;
    }
    return e;
}

static bool set_row(struct fault *f, struct mln_bytes key, const struct mln_bytes *value,
                    uint64_t version)
{
    pthread_rwlock_wrlock(&f->lock);
    struct fault_entry *e = entry_for(f, key);
    struct fault_version *v =
        e != NULL ? mln_alloc(sizeof(*v) + (value != NULL ? value->len : 0)) : NULL;
    if (v != NULL) {
        v->version = version;
        v->is_deleted = value == NULL;
        v->n = value != NULL ? value->len : 0;
        mln_copy(v->value, value != NULL ? value->ptr : NULL, v->n);
        v->older = e->newest;
        e->newest = v;
    }
    pthread_rwlock_unlock(&f->lock);
    return v != NULL;
}

/* Forget versions above this one: all with 0, since the first commit is 1. */
static void forget_above(struct fault *f, uint64_t version)
{
    pthread_rwlock_wrlock(&f->lock);
    for (size_t i = 0; i < f->n; i++) {
        while (f->entries[i]->newest != NULL && f->entries[i]->newest->version > version) {
            struct fault_version *v = f->entries[i]->newest;
            f->entries[i]->newest = v->older;
            mln_free(v);
        }
    }
    pthread_rwlock_unlock(&f->lock);
}

/* ---- reading ---- */

static struct mln_err snap_begin(struct mln_cx *cx, struct mln_store *store, struct mln_snap **ret)
{
    struct fault_snap *snap = mln_alloc(sizeof(*snap));
    if (snap == NULL) {
        return no_memory(cx);
    }
    snap->base.store = store;
    snap->version = store->version;
    fault_of(store)->active++;
    *ret = &snap->base;
    return MLN_OK;
}

static void snap_end(struct mln_snap *snap)
{
    fault_of(snap->store)->active--;
    mln_free(snap);
}

static struct mln_err snap_get(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes key,
                               struct mln_bytes *ret_value, uint64_t *ret_version)
{
    (void)cx;
    struct fault *f = fault_of(snap->store);
    pthread_rwlock_rdlock(&f->lock);
    struct mln_err err =
        read_at(f, key, ((struct fault_snap *)snap)->version, ret_value, ret_version);
    pthread_rwlock_unlock(&f->lock);
    return err;
}

static struct mln_err snap_seek(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes from,
                                bool is_after, struct mln_bytes *ret_key,
                                struct mln_bytes *ret_value)
{
    (void)cx;
    struct fault *f = fault_of(snap->store);
    const struct fault_version *v = NULL;
    pthread_rwlock_rdlock(&f->lock);
    for (size_t at = place_of(f, from, is_after); at < f->n && v == NULL; at++) {
        v = version_at(f->entries[at], ((struct fault_snap *)snap)->version);
        *ret_key = key_of(f->entries[at]);
    }
    pthread_rwlock_unlock(&f->lock);
    if (v == NULL) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    *ret_value = mln_bytes_at(v->value, v->n);
    return MLN_OK;
}

/* ---- the committer's side ---- */

static struct mln_err begin(struct mln_cx *cx, struct mln_store *store, bool is_relief)
{
    (void)cx;
    struct fault *f = fault_of(store);
    f->is_relief = is_relief;
    f->pending = store->version + 1;
    mln_buf_clear(&f->frame);
    return MLN_OK;
}

static struct mln_err get(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key,
                          struct mln_bytes *ret_value, uint64_t *ret_version)
{
    (void)cx;
    struct fault *f = fault_of(store);
    return read_at(f, key, f->pending, ret_value,
                   ret_version); /* only the committer changes rows */
}

static void log_op(struct fault *f, uint8_t op, struct mln_bytes key, const struct mln_bytes *value)
{
    mln_buf_add_byte(&f->frame, op);
    mln_buf_add_u32be(&f->frame, (uint32_t)key.len);
    mln_buf_add_bytes(&f->frame, key);
    if (value != NULL) {
        mln_buf_add_u32be(&f->frame, (uint32_t)value->len);
        mln_buf_add_bytes(&f->frame, *value);
    }
}

static struct mln_err put(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key,
                          struct mln_bytes value, uint64_t version)
{
    struct fault *f = fault_of(store);
    log_op(f, 1, key, &value);
    return set_row(f, key, &value, version) ? MLN_OK : no_memory(cx);
}

static struct mln_err del(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key)
{
    struct fault *f = fault_of(store);
    log_op(f, 2, key, NULL);
    return set_row(f, key, NULL, f->pending) ? MLN_OK : no_memory(cx);
}

static void abort_txn(struct mln_store *store)
{
    if (fault_of(store)->frame.len > 0 || fault_of(store)->frame.has_failed) {
        forget_above(fault_of(store), store->version);
    }
}

static uint64_t sum_of(struct mln_bytes bytes) /* FNV-1a */
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes.len; i++) {
        sum = (sum ^ bytes.ptr[i]) * 0x100000001b3u;
    }
    return sum;
}

static struct mln_err meet_faults(struct mln_cx *cx, struct fault *f)
{
    struct mln_store_fault *c = &f->control;
    int64_t stall_ns = __atomic_load_n(&c->stall_ns, __ATOMIC_RELAXED);
    if (stall_ns > 0) {
        mln_sleep_ns(stall_ns);
    }
    uint64_t countdown = __atomic_load_n(&c->fail_commit_at, __ATOMIC_RELAXED);
    if (countdown > 0) {
        bool stays = countdown == 1 && __atomic_load_n(&c->fail_from_then_on, __ATOMIC_RELAXED);
        __atomic_store_n(&c->fail_commit_at, stays ? 1 : countdown - 1, __ATOMIC_RELAXED);
        if (countdown == 1) {
            return mln_fail(cx, MLN_E_IO, "writing the store failed, as it was told to");
        }
    }
    if (!__atomic_load_n(&c->is_full, __ATOMIC_RELAXED)) {
        f->reserve_left = RESERVE_BYTES;
        return MLN_OK;
    }
    if (!f->is_relief || f->frame.len > f->reserve_left) {
        return mln_fail(cx, MLN_E_FULL, "writing the store failed: no space left");
    }
    f->reserve_left -= f->frame.len;
    return MLN_OK;
}

static struct mln_err commit(struct mln_cx *cx, struct mln_store *store, uint64_t version)
{
    struct fault *f = fault_of(store);
    struct mln_err err = meet_faults(cx, f);
    if (!mln_failed(err)) {
        MLN_AUTO(mln_buf_drop) struct mln_buf body = {0};
        mln_buf_add_u64be(&body, version);
        mln_buf_add_bytes(&body, mln_buf_bytes(&f->frame));
        err = f->frame.has_failed || !mln_buf_reserve(&f->log, FRAME_HEAD + body.len)
                  ? no_memory(cx)
                  : mln_buf_ok(cx, &body);
        if (!mln_failed(err)) {
            f->last_frame = f->log.len;
            mln_buf_add_u32be(&f->log, (uint32_t)body.len);
            mln_buf_add_u64be(&f->log, sum_of(mln_buf_bytes(&body)));
            mln_buf_add_bytes(&f->log, mln_buf_bytes(&body));
        }
    }
    if (mln_failed(err)) {
        f->log.has_failed = false; /* a failed reserve is sticky; the log itself is whole */
        abort_txn(store);
        return err;
    }
    if (!__atomic_load_n(&f->control.forget_unsynced, __ATOMIC_RELAXED)) {
        f->synced = f->log.len;
    }
    return MLN_OK;
}

static uint64_t bytes(struct mln_store *store)
{
    return fault_of(store)->log.len;
}

/* ---- crash ---- */

static bool replay_ops(struct fault *f, struct mln_reader *r, uint64_t version)
{
    bool is_ok = true;
    while (is_ok && mln_reader_left(r) > 0) {
        uint8_t op = mln_read_u8(r);
        struct mln_bytes key = mln_read_bytes(r, mln_read_u32be(r));
        struct mln_bytes value = op == 1 ? mln_read_bytes(r, mln_read_u32be(r)) : MLN_BYTES_NONE;
        is_ok = !r->is_short && set_row(f, key, op == 1 ? &value : NULL, version);
    }
    return is_ok;
}

/* Read the log from its start; what is torn at the end is cut off. */
static struct mln_err replay(struct mln_cx *cx, struct fault *f)
{
    struct mln_reader r = mln_reader_of(mln_buf_bytes(&f->log));
    uint64_t version = 0;
    size_t good = 0;
    while (mln_reader_left(&r) >= FRAME_HEAD) {
        uint32_t n = mln_read_u32be(&r);
        uint64_t sum = mln_read_u64be(&r);
        struct mln_bytes body = mln_read_bytes(&r, n);
        if (r.is_short || body.len < 8 || sum_of(body) != sum) {
            break;
        }
        struct mln_reader inside = mln_reader_of(body);
        version = mln_read_u64be(&inside);
        if (!replay_ops(f, &inside, version)) {
            return no_memory(cx);
        }
        f->last_frame = good;
        good += FRAME_HEAD + n;
    }
    f->log.len = good;
    f->synced = good;
    f->base.version = version;
    return MLN_OK;
}

struct mln_err mln_store_fault_crash(struct mln_cx *cx, struct mln_store *store)
{
    struct fault *f = fault_of(store);
    pthread_mutex_lock(&store->commit_lock);
    struct mln_err err;
    if (f->active > 0) {
        err = mln_fail(cx, MLN_E_INVALID, "a snapshot of the store is open");
    } else {
        bool is_torn = f->control.tear_last && f->log.len > f->last_frame;
        if (f->control.forget_unsynced) {
            f->log.len = f->synced;
        }
        if (is_torn && f->log.len > f->last_frame) {
            f->log.len = f->last_frame + (f->log.len - f->last_frame) / 2;
        }
        forget_above(f, 0);
        err = replay(cx, f);
    }
    pthread_mutex_unlock(&store->commit_lock);
    return err;
}

/* ---- opening and closing ---- */

static void free_fault(struct fault *f)
{
    forget_above(f, 0);
    for (size_t i = 0; i < f->n; i++) {
        mln_free(f->entries[i]);
    }
    mln_free(f->entries);
    mln_buf_drop(&f->log);
    mln_buf_drop(&f->frame);
    pthread_rwlock_destroy(&f->lock);
    mln_free(f);
}

static void close_store(struct mln_store *store)
{
    MLN_CHECK(fault_of(store)->active == 0);
    free_fault(fault_of(store));
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

struct mln_err mln_store_open_fault(struct mln_cx *cx, struct mln_store **ret,
                                    struct mln_store_fault **ret_control)
{
    struct fault *f = mln_alloc(sizeof(*f));
    if (f == NULL) {
        return no_memory(cx);
    }
    f->reserve_left = RESERVE_BYTES;
    f->log.max = LOG_MAX;
    pthread_rwlock_init(&f->lock, NULL);
    struct mln_err err = store_start(cx, &f->base, &ops);
    if (mln_failed(err)) {
        free_fault(f);
        return err;
    }
    *ret = &f->base;
    *ret_control = &f->control;
    return MLN_OK;
}
