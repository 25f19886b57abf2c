/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's door and its group committer: one thread per store turns all waiting batches into one
 * durable transaction.
 *
 * A group is tried whole. When it does not fit (FULL, or too large for one transaction), it is
 * tried again batch by batch, so
 * that one large batch does not fail the others; a relief batch that finds the disk full is tried
 * once more with the
 * reserve. Expectations are checked before any write of their batch, so a refused batch leaves
 * nothing to undo.
 */
#include "store/store_priv.h"

#include <errno.h>
#include <semaphore.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

/* ---- one batch ---- */

static bool key_is_valid(struct mln_bytes key)
{
    return key.len >= 1 && key.len <= MLN_STORE_KEY_MAX;
}

static enum mln_code check_batch(const struct mln_batch *batch)
{
    if (batch->n > MLN_STORE_BATCH_OPS_MAX) {
        return MLN_E_TOO_LARGE;
    }
    for (size_t i = 0; i < batch->n; i++) {
        const struct mln_write *w = &batch->writes[i];
        if (!key_is_valid(w->key)) {
            return MLN_E_INVALID;
        }
        if (w->op == MLN_WRITE_PUT && w->value.len > MLN_STORE_VALUE_MAX) {
            return MLN_E_TOO_LARGE;
        }
    }
    return MLN_E_OK;
}

static struct mln_err expect(struct mln_store *store, const struct mln_write *w)
{
    uint64_t version = 0;
    struct mln_bytes value;
    struct mln_err err = store->ops->get(&store->cx, store, w->key, &value, &version);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    return version == w->version ? MLN_OK : (struct mln_err){MLN_E_CONFLICT};
}

static struct mln_err write_one(struct mln_store *store, struct mln_store_writer *writer,
                                const struct mln_write *w)
{
    if (w->op == MLN_WRITE_EXPECT) {
        return MLN_OK;
    }
    writer->writes++;
    if (mln_fault_hit(MLN_FAULT_WRITE)) {
        return mln_fail(&store->cx, MLN_E_IO, "the store cannot be written");
    }
    return w->op == MLN_WRITE_PUT
               ? store->ops->put(&store->cx, store, w->key, w->value, writer->version)
               : store->ops->del(&store->cx, store, w->key);
}

/* The result goes to the batch; an error is returned when the whole transaction is spoilt. */
static struct mln_err apply(struct mln_store *store, struct mln_store_writer *writer,
                            struct mln_batch *batch)
{
    batch->result = (struct mln_err){check_batch(batch)};
    for (size_t i = 0; i < batch->n && !mln_failed(batch->result); i++) {
        if (batch->writes[i].op == MLN_WRITE_EXPECT) {
            batch->result = expect(store, &batch->writes[i]);
        }
    }
    if (mln_failed(batch->result)) {
        return mln_cx_err(&store->cx); /* a conflict or an invalid batch spoils only itself */
    }
    for (size_t i = 0; i < batch->n; i++) {
        MLN_TRY(write_one(store, writer, &batch->writes[i]));
    }
    return MLN_OK;
}

/* ---- one transaction ---- */

static struct mln_err sequence(struct mln_store *store, struct mln_store_writer *writer, size_t n)
{
    if (!store->has_sequencer) {
        return MLN_OK;
    }
    const struct mln_sequencer *s = &store->sequencer;
    return s->sequence(s->arg, &store->cx, writer, store->passed, n);
}

static struct mln_err fill(struct mln_store *store, struct mln_store_writer *writer,
                           struct mln_batch *const *batches, size_t n, bool *was_sequenced)
{
    size_t passed = 0;
    for (size_t i = 0; i < n; i++) {
        MLN_TRY(apply(store, writer, batches[i]));
        if (!mln_failed(batches[i]->result)) {
            batches[i]->version = writer->version;
            store->passed[passed++] = batches[i];
        }
    }
    *was_sequenced = true;
    return sequence(store, writer, passed);
}

static struct mln_err finish(struct mln_store *store, const struct mln_store_writer *writer)
{
    if (writer->writes == 0) {
        store->ops->abort(store);
        return MLN_OK;
    }
    if (mln_fault_hit(MLN_FAULT_SYNC)) {
        store->ops->abort(store);
        return mln_fail(&store->cx, MLN_E_IO, "the store cannot be synced");
    }
    MLN_TRY(store->ops->commit(&store->cx, store, writer->version));
    store->version = writer->version;
    return MLN_OK;
}

/*
 * On failure nothing of any batch is done; results of batches that were refused on their own
 * account stay.
 */
static struct mln_err attempt(struct mln_store *store, struct mln_batch *const *batches, size_t n,
                              bool is_relief)
{
    mln_cx_clear(&store->cx);
    mln_arena_reset(store->arena);
    struct mln_store_writer writer = {.store = store, .version = store->version + 1};
    bool was_sequenced = false;
    struct mln_err err = store->ops->begin(&store->cx, store, is_relief);
    if (!mln_failed(err)) {
        err = fill(store, &writer, batches, n, &was_sequenced);
        if (mln_failed(err)) {
            store->ops->abort(store);
        } else {
            err = finish(store, &writer);
        }
    }
    if (was_sequenced && store->has_sequencer && store->sequencer.after != NULL) {
        store->sequencer.after(store->sequencer.arg, !mln_failed(err));
    }
    for (size_t i = 0; i < n; i++) {
        if (mln_failed(err) && (!was_sequenced || !mln_failed(batches[i]->result))) {
            batches[i]->result = err;
        }
    }
    return err;
}

static bool may_fit_alone(struct mln_err err)
{
    return mln_is(err, MLN_E_FULL) || mln_is(err, MLN_E_TOO_LARGE);
}

static void commit_group(struct mln_store *store, struct mln_batch *const *batches, size_t n)
{
    struct mln_err err = attempt(store, batches, n, false);
    bool was_full = mln_is(err, MLN_E_FULL);
    if (may_fit_alone(err)) {
        for (size_t i = 0; i < n; i++) {
            err = n > 1 ? attempt(store, &batches[i], 1, false) : err;
            if (mln_is(err, MLN_E_FULL) && batches[i]->is_relief) {
                err = attempt(store, &batches[i], 1, true);
            }
        }
    }
    uint64_t conflicts = 0;
    bool has_refused = was_full && n == 0;
    bool has_passed = false;
    for (size_t i = 0; i < n; i++) {
        conflicts += mln_is(batches[i]->result, MLN_E_CONFLICT);
        has_refused = has_refused || mln_is(batches[i]->result, MLN_E_FULL);
        has_passed = has_passed || (!mln_failed(batches[i]->result) && !batches[i]->is_relief);
    }
    pthread_mutex_lock(&store->lock);
    store->stat.batches += n;
    store->stat.commits++;
    store->stat.conflicts += conflicts;
    store->stat.is_full = has_refused || (store->stat.is_full && !has_passed);
    pthread_mutex_unlock(&store->lock);
}

/* ---- the thread ---- */

static size_t batch_bytes(const struct mln_batch *batch)
{
    size_t bytes = 0;
    if (batch->n > MLN_STORE_BATCH_OPS_MAX) {
        return bytes; /* refused before anything of it is read */
    }
    for (size_t i = 0; i < batch->n && bytes < STORE_GROUP_BYTES; i++) {
        bytes += batch->writes[i].key.len + batch->writes[i].value.len;
    }
    return bytes;
}

/*
 * Those of the last group are answered and write again within a moment. To wait for them, no longer than half of what that group
 * took, makes fewer and larger commits: the disk and the kernel are paid once for all. Who writes alone never waits. With the lock.
 */
static void gather(struct mln_store *store)
{
    struct timespec until;
    int64_t wait_ns = store->commit_ns / 2 < STORE_GATHER_NS ? store->commit_ns / 2 : STORE_GATHER_NS;
    if (store->queued == 0 || store->queued >= store->expected) {
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    wait_ns += until.tv_nsec;
    until.tv_sec += wait_ns / 1000000000;
    until.tv_nsec = wait_ns % 1000000000;
    store->gather_for = store->expected;
    int rc = 0;
    while (store->queued < store->expected && !store->is_closing && rc == 0) {
        rc = pthread_cond_timedwait(&store->wake, &store->lock, &until);
    }
    store->gather_for = 0;
}

/* Waits for work. false: the store closes and everything is done. */
static bool take_group(struct mln_store *store, size_t *ret_n)
{
    pthread_mutex_lock(&store->lock);
    while (store->first == NULL && !store->is_kicked && !store->is_closing) {
        pthread_cond_wait(&store->wake, &store->lock);
    }
    gather(store);
    bool has_work = store->first != NULL || store->is_kicked;
    size_t n = 0;
    size_t bytes = 0;
    while (store->first != NULL && n < STORE_GROUP_MAX) {
        bytes += batch_bytes(store->first);
        if (n > 0 && bytes > STORE_GROUP_BYTES) {
            break;
        }
        store->group[n++] = store->first;
        store->first = store->first->next;
    }
    if (store->first == NULL) {
        store->last = NULL;
    }
    store->queued -= n;
    store->is_kicked = false;
    pthread_mutex_unlock(&store->lock);
    *ret_n = n;
    return has_work;
}

static void *commit_for_ever(void *arg)
{
    struct mln_store *store = arg;
    size_t n = 0;
    while (take_group(store, &n)) {
        int64_t begin_ns = mln_mono_ns();
        pthread_mutex_lock(&store->commit_lock);
        if (n > 0 || store->has_sequencer) {
            commit_group(store, store->group, n);
        }
        pthread_mutex_unlock(&store->commit_lock);
        pthread_mutex_lock(&store->lock);
        store->expected = n + store->queued;
        store->commit_ns = mln_mono_ns() - begin_ns;
        pthread_mutex_unlock(&store->lock);
        for (size_t i = 0; i < n; i++) {
            store->group[i]->done(store->group[i]);
        }
    }
    return NULL;
}

struct mln_err store_start(struct mln_cx *cx, struct mln_store *store, const struct store_ops *ops)
{
    store->ops = ops;
    store->arena = mln_arena_new(STORE_ARENA_BYTES, false);
    if (store->arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_cx_init(&store->cx, store->arena);
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->commit_lock, NULL);
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &steady);
    pthread_condattr_destroy(&steady);
    store->has_thread = pthread_create(&store->thread, NULL, commit_for_ever, store) == 0;
    if (!store->has_thread) {
        store_stop(store);
        return mln_fail(cx, MLN_E_MEMORY, "no thread for the store");
    }
    return MLN_OK;
}

void store_stop(struct mln_store *store)
{
    if (store->arena == NULL) {
        return; /* never started */
    }
    if (store->has_thread) {
        pthread_mutex_lock(&store->lock);
        store->is_closing = true;
        pthread_cond_signal(&store->wake);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->thread, NULL);
    }
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->commit_lock);
    pthread_cond_destroy(&store->wake);
    mln_arena_free(store->arena);
    store->arena = NULL;
}

/* ---- writing ---- */

void mln_store_submit(struct mln_store *store, struct mln_batch *batch)
{
    MLN_CHECK(batch->done != NULL);
    batch->next = NULL;
    pthread_mutex_lock(&store->lock);
    /*
     * While closing, the committer may still submit: the sequencer's seals are counted in the
     * store.
     */
    MLN_CHECK(!store->is_closing || pthread_equal(pthread_self(), store->thread));
    store->queued++;
    if (store->last != NULL) {
        store->last->next = batch;
    } else {
        store->first = batch;
    }
    store->last = batch;
    if (store->queued == 1 || store->queued == store->gather_for) {
        pthread_cond_signal(&store->wake);
    }
    pthread_mutex_unlock(&store->lock);
}

static void wake_waiter(struct mln_batch *batch)
{
    MLN_CHECK(sem_post(batch->arg) == 0);
}

struct mln_err mln_store_commit(struct mln_cx *cx, struct mln_store *store, struct mln_batch *batch)
{
    MLN_CHECK(!pthread_equal(pthread_self(), store->thread)); /* it would wait for itself */
    sem_t done;
    MLN_CHECK(sem_init(&done, 0, 0) == 0);
    batch->done = wake_waiter;
    batch->arg = &done;
    mln_store_submit(store, batch);
    while (sem_wait(&done) != 0) {
        MLN_CHECK(errno == EINTR);
    }
    sem_destroy(&done);
    if (mln_failed(batch->result)) {
        enum mln_code code = (enum mln_code)batch->result.code;
        return mln_fail(cx, code, "%s", mln_err_text(batch->result.code));
    }
    return MLN_OK;
}

void mln_store_set_sequencer(struct mln_store *store, const struct mln_sequencer *sequencer)
{
    pthread_mutex_lock(&store->commit_lock);
    store->has_sequencer = sequencer != NULL;
    store->sequencer = sequencer != NULL ? *sequencer : (struct mln_sequencer){0};
    pthread_mutex_unlock(&store->commit_lock);
}

void mln_store_kick(struct mln_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (!store->is_kicked) {
        store->is_kicked = true;
        pthread_cond_signal(&store->wake);
    }
    pthread_mutex_unlock(&store->lock);
}

struct mln_err mln_writer_put(struct mln_cx *cx, struct mln_store_writer *w, struct mln_bytes key,
                              struct mln_bytes value)
{
    if (!key_is_valid(key) || value.len > MLN_STORE_VALUE_MAX) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the store takes keys of 1 to %d bytes and values of up to 64 MiB",
                        MLN_STORE_KEY_MAX);
    }
    w->writes++;
    if (mln_fault_hit(MLN_FAULT_WRITE)) {
        return mln_fail(cx, MLN_E_IO, "the store cannot be written");
    }
    return w->store->ops->put(cx, w->store, key, value, w->version);
}

struct mln_err mln_writer_delete(struct mln_cx *cx, struct mln_store_writer *w,
                                 struct mln_bytes key)
{
    if (!key_is_valid(key)) {
        return mln_fail(cx, MLN_E_INVALID, "the store takes keys of 1 to %d bytes",
                        MLN_STORE_KEY_MAX);
    }
    w->writes++;
    return w->store->ops->del(cx, w->store, key);
}

struct mln_err mln_writer_get(struct mln_cx *cx, struct mln_store_writer *w, struct mln_bytes key,
                              struct mln_bytes *ret_value)
{
    uint64_t version = 0;
    if (!key_is_valid(key)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return w->store->ops->get(cx, w->store, key, ret_value, &version);
}

/* ---- reading ---- */

struct mln_err mln_snap_begin(struct mln_cx *cx, struct mln_store *store, struct mln_snap **ret)
{
    return store->ops->snap_begin(cx, store, ret);
}

void mln_snap_end(struct mln_snap *snap)
{
    if (snap != NULL) {
        snap->store->ops->snap_end(snap);
    }
}

void mln_snap_drop(struct mln_snap **snap)
{
    mln_snap_end(*snap);
    *snap = NULL;
}

struct mln_err mln_snap_get(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes key,
                            struct mln_bytes *ret_value, uint64_t *ret_version)
{
    *ret_version = 0;
    if (!key_is_valid(key)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return snap->store->ops->snap_get(cx, snap, key, ret_value, ret_version);
}

struct seek {
    struct mln_snap *snap;
    struct mln_bytes prefix, from;
    bool is_after;
};

static struct mln_err seek(struct mln_cx *cx, struct seek s, struct mln_bytes *ret_key,
                           struct mln_bytes *ret_value)
{
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value = MLN_BYTES_NONE;
    if (mln_bytes_cmp(s.from, s.prefix) < 0 || s.from.len == 0) {
        s.from = s.prefix;
        s.is_after = false;
    }
    MLN_TRY(s.snap->store->ops->snap_seek(cx, s.snap, s.from, s.is_after, &key, &value));
    if (!mln_bytes_starts(key, s.prefix)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    *ret_key = key;
    if (ret_value != NULL) {
        *ret_value = value;
    }
    return MLN_OK;
}

struct mln_err mln_snap_next(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes prefix,
                             struct mln_bytes after, struct mln_bytes *ret_key,
                             struct mln_bytes *ret_value)
{
    return seek(cx, (struct seek){snap, prefix, after, true}, ret_key, ret_value);
}

struct mln_err mln_snap_from(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes prefix,
                             struct mln_bytes from, struct mln_bytes *ret_key,
                             struct mln_bytes *ret_value)
{
    return seek(cx, (struct seek){snap, prefix, from, false}, ret_key, ret_value);
}

/* ---- everything anew ---- */

static struct mln_err delete_all(struct mln_cx *cx, struct mln_store *store, struct mln_store_writer *writer)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf last = {0};
    struct mln_bytes key = MLN_BYTES_NONE;
    MLN_TRY(mln_snap_begin(cx, store, &snap));
    for (;;) {
        struct mln_err err = mln_snap_next(cx, snap, MLN_BYTES_NONE, mln_buf_bytes(&last), &key, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return MLN_OK;
        }
        MLN_TRY(err);
        mln_buf_clear(&last);
        mln_buf_add_bytes(&last, key);
        MLN_TRY(mln_buf_ok(cx, &last));
        MLN_TRY(mln_writer_delete(cx, writer, mln_buf_bytes(&last)));
    }
}

static struct mln_err replace(struct mln_cx *cx, struct mln_store *store, const struct mln_store_fill *fill)
{
    struct mln_store_writer writer = {.store = store, .version = store->version + 1};
    if (store->has_sequencer) {
        return mln_fail(cx, MLN_E_PRECONDITION, "the store cannot be replaced while its log is open");
    }
    MLN_TRY(store->ops->begin(cx, store, false));
    struct mln_err err = delete_all(cx, store, &writer);
    err = mln_failed(err) ? err : fill->rows(fill->arg, cx, &writer);
    if (mln_failed(err) || writer.writes == 0 || mln_fault_hit(MLN_FAULT_SYNC)) {
        store->ops->abort(store);
        return mln_failed(err) || writer.writes == 0 ? err : mln_fail(cx, MLN_E_IO, "the store cannot be synced");
    }
    MLN_TRY(store->ops->commit(cx, store, writer.version));
    store->version = writer.version;
    return MLN_OK;
}

struct mln_err mln_store_replace(struct mln_cx *cx, struct mln_store *store, const struct mln_store_fill *fill)
{
    pthread_mutex_lock(&store->commit_lock);
    struct mln_err err = replace(cx, store, fill);
    pthread_mutex_unlock(&store->commit_lock);
    return err;
}

/* ---- the rest ---- */

void mln_store_stat(struct mln_store *store, struct mln_store_stat *ret)
{
    pthread_mutex_lock(&store->lock);
    *ret = store->stat;
    pthread_mutex_unlock(&store->lock);
    ret->version = store->version;
    ret->bytes = store->ops->bytes(store);
}

void mln_store_close(struct mln_store *store)
{
    if (store != NULL) {
        store_stop(store);
        store->ops->close(store);
    }
}
