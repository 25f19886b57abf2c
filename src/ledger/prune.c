/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting contents and salts below an index. First the digests that the forgotten records carried are written down again,
 * as of that index and from the records (not from the store: what somebody changed there must not be vouched for). Then one
 * record, whose transaction moves `pruned`, makes it so; then the rows are deleted. Stopped anywhere, the log is whole: the
 * baseline of a prune that never came about is not looked at, and rows that should be gone are swept at the next start.
 */
#include <inttypes.h>

#include "ledger/ledger_priv.h"

#define PAIRS_MAX 512u /* digests in one record: 70 KiB */
#define SWEEP_MAX 256u /* rows deleted in one batch */
#define SCRATCH   ((size_t)64 << 20)

static void mutex_drop(pthread_mutex_t **held)
{
    pthread_mutex_unlock(*held);
}

/* ---- the baseline ---- */

static void push_pair(struct mln_cx *cx, struct mln_value *digests, const struct digest_row *row)
{
    struct mln_value *pair = mln_array(cx);
    mln_push(cx, pair, mln_blob(cx, row->key));
    mln_push(cx, pair, mln_blob(cx, mln_bytes_at(row->digest, sizeof(row->digest))));
    mln_push(cx, digests, pair);
}

static struct mln_err write_part(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value *actor, uint64_t before,
                                 const struct mln_value *digests)
{
    struct mln_value *content = ledger_content(cx, actor, "prune-baseline");
    mln_put_int(cx, content, "before", (int64_t)before);
    mln_put(cx, content, "digests", digests);
    MLN_TRY(mln_cx_err(cx));
    struct mln_record record = {.klass = MLN_RECORD_PRUNE, .content = content};
    return ledger_commit(cx, ledger, &record);
}

/* cx is scratch: reset after each part. */
static struct mln_err write_baseline(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value *actor,
                                     uint64_t before, struct digests *d)
{
    size_t i = 0;
    while (digests_at(d, i) != NULL) {
        mln_arena_reset(cx->arena);
        struct mln_value *digests = mln_array(cx);
        for (; digests_at(d, i) != NULL && mln_len(digests) < PAIRS_MAX; i++) {
            if (digests_at(d, i)->is_there) {
                push_pair(cx, digests, digests_at(d, i));
            }
        }
        if (mln_len(digests) > 0) {
            MLN_TRY(write_part(cx, ledger, actor, before, digests));
        }
    }
    return MLN_OK;
}

static struct mln_err read_digests(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t before, struct ledger_state *ret_state,
                                   struct digests **ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    MLN_TRY(state_load(cx, ledger, snap, ret_state));
    if (before > ret_state->edge.size) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: it holds %" PRIu64 " records, it cannot be pruned below %" PRIu64,
                        ret_state->edge.size, before);
    }
    return before > ret_state->pruned ? digests_read(cx, ledger, snap, before, ret) : MLN_OK;
}

static struct mln_err write_decision(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value *actor, uint64_t from,
                                     uint64_t before)
{
    struct mln_value *content = ledger_content(cx, actor, "prune");
    mln_put_int(cx, content, "from", (int64_t)from);
    mln_put_int(cx, content, "before", (int64_t)before);
    MLN_TRY(mln_cx_err(cx));
    struct mln_record record = {.klass = MLN_RECORD_PRUNE, .content = content};
    pthread_mutex_lock(&ledger->lock);
    ledger->prune = &record;
    ledger->prune_to = before;
    pthread_mutex_unlock(&ledger->lock);
    struct mln_err err = ledger_commit(cx, ledger, &record);
    pthread_mutex_lock(&ledger->lock);
    ledger->prune = NULL;
    pthread_mutex_unlock(&ledger->lock);
    return err;
}

/* ---- deleting ---- */

/* The rest of a row whose first records are forgotten. */
static struct mln_err trim(struct mln_cx *cx, struct mln_bytes value, uint64_t pruned, struct mln_bytes *ret)
{
    struct mln_reader r = mln_reader_of(value);
    uint64_t first = mln_read_u64be(&r);
    for (; first < pruned && !r.is_short; first++) {
        (void)mln_read_bytes(&r, mln_read_u32be(&r));
    }
    size_t n = mln_reader_left(&r);
    uint8_t *to = mln_new(cx, 8 + n);
    if (to == NULL) {
        return mln_cx_err(cx);
    }
    mln_put_u64be(to, pruned);
    mln_copy(to + 8, value.ptr + r.at, n);
    *ret = mln_bytes_at(to, 8 + n);
    return r.is_short ? mln_fail(cx, MLN_E_CORRUPT, "ledger: the row of record %" PRIu64 "'s content is damaged", pruned) : MLN_OK;
}

static struct mln_err collect(struct mln_cx *cx, struct mln_snap *snap, uint64_t pruned, struct mln_write *writes, size_t *ret_n)
{
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value = MLN_BYTES_NONE;
    size_t n = 0;
    struct mln_err err = mln_snap_next(cx, snap, CONTENT_PREFIX, key, &key, &value);
    for (; n < SWEEP_MAX && !mln_failed(err); err = mln_snap_next(cx, snap, CONTENT_PREFIX, key, &key, &value)) {
        key = mln_bytes_dup(cx, key);
        MLN_TRY(mln_cx_err(cx));
        if (key.len != CONTENT_PREFIX.len + 8 || value.len < 8 || mln_get_u64be(value.ptr) >= pruned) {
            break;
        }
        writes[n] = (struct mln_write){.op = MLN_WRITE_DELETE, .key = key};
        if (mln_get_u64be(key.ptr + CONTENT_PREFIX.len) >= pruned) {
            writes[n].op = MLN_WRITE_PUT;
            MLN_TRY(trim(cx, value, pruned, &writes[n].value));
        }
        n++;
    }
    *ret_n = n;
    return mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND) ? err : MLN_OK;
}

struct mln_err prune_sweep(struct mln_cx *cx, struct mln_ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    uint64_t pruned = ledger->state.pruned;
    pthread_mutex_unlock(&ledger->lock);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRATCH, false);
    struct mln_cx scratch;
    size_t n = 0;
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_cx_init(&scratch, arena);
    do {
        struct mln_write writes[SWEEP_MAX];
        mln_arena_reset(arena);
        struct mln_snap *snap = NULL;
        MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
        struct mln_err err = collect(&scratch, snap, pruned, writes, &n);
        mln_snap_end(snap);
        struct mln_batch batch = {.writes = writes, .n = n, .is_relief = true};
        if (!mln_failed(err) && n > 0) {
            err = mln_store_commit(&scratch, ledger->store, &batch);
        }
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", scratch.text);
        }
    } while (n > 0);
    return MLN_OK;
}

struct mln_err mln_ledger_prune(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t before, const struct mln_value *actor)
{
    MLN_AUTO(digests_drop) struct digests *d = NULL;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRATCH, false);
    struct ledger_state state = {0};
    struct mln_cx scratch;
    MLN_AUTO(mutex_drop) pthread_mutex_t *held = &ledger->prune_lock;
    pthread_mutex_lock(held);
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(read_digests(cx, ledger, before, &state, &d));
    if (d != NULL) {
        mln_cx_init(&scratch, arena);
        struct mln_err err = write_baseline(&scratch, ledger, actor, before, d);
        if (!mln_failed(err)) {
            err = write_decision(&scratch, ledger, actor, state.pruned, before);
        }
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", scratch.text);
        }
    }
    return prune_sweep(cx, ledger);
}
