/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lifetimes: what time it is for them, and the tick that ends what is due. Nothing is kept in memory: rows of expiry lie in the store in
 * the order of their time, and a tick reads them from the front in bounded batches, each a transaction and a record of its own, so that
 * a million due rows stop neither readers nor writers and a start costs nothing.
 */
#include "core/lease_priv.h"

#include "base/clock.h"
#include "base/log.h"

#define TICK_NS      (900 * 1000000LL) /* of work in a tick, which comes once a second */
#define TICK_BATCHES 200u              /* the same bound where the clock stands still */
#define BATCH_ROWS   512u /* due rows of one batch: some milliseconds of the committer */
#define BACKLOG_ROWS                                                                               \
    4096u /* when that was not all: each commit of a large store costs much by itself */
#define BATCH_ARENA_BYTES (192u << 20) /* rows of so many tokens with much metadata */
#define JOBS_MAX          16u          /* prefixes that one tick works at */

int64_t mln_life_ns(struct mln_core *core, int64_t now_ns)
{
    long long latest = atomic_load(&core->life_ns);
    while (latest < now_ns && !atomic_compare_exchange_weak(&core->life_ns, &latest, now_ns)) {
    }
    return latest < now_ns ? now_ns : latest;
}

struct mln_err mln_life_keys(struct mln_core *core, struct mln_cx *cx, struct mln_bytes prefix,
                             struct mln_bytes after, struct mln_bytes until, size_t max,
                             struct mln_value *ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes key;
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_snap_begin(cx, core->store, &snap));
    while (mln_len(ret) < max) {
        struct mln_err err = mln_snap_next(cx, snap, prefix, after, &key, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return MLN_OK;
        }
        MLN_TRY(err);
        after = mln_bytes_dup(cx, key);
        struct mln_bytes rest = mln_bytes_from(after, prefix.len);
        if (until.len > 0 && mln_bytes_cmp(rest, until) > 0) {
            return MLN_OK;
        }
        mln_push(cx, ret, mln_string(cx, rest));
        MLN_TRY(mln_cx_err(cx));
    }
    return MLN_OK;
}

bool mln_life_is_lost(struct mln_cx *cx, struct mln_err err)
{
    if (mln_is(err, MLN_E_CORRUPT) || mln_is(err, MLN_E_FORGED)) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "a damaged row of a token or lease is left alone");
        mln_cx_clear(cx);
        return true;
    }
    return mln_is(err, MLN_E_NOT_FOUND);
}

/* ---- the tick ---- */

struct tick {
    struct mln_lease_work work;
    struct mln_cx *cx;       /* of the whole tick */
    struct mln_arena *arena; /* of a batch */
    int64_t until_ns;
    unsigned batches;
    bool is_late; /* something is left for the next */
};

static bool goes_on(struct tick *t)
{
    if (t->batches >= TICK_BATCHES || mln_mono_ns() >= t->until_ns) {
        t->is_late = true;
        return false;
    }
    t->batches++;
    mln_arena_reset(t->arena);
    return true;
}

/* A batch that failed is tried again in the next tick; a conflict with a request is none. */
static bool is_fine(struct tick *t, struct mln_cx *cx, struct mln_err err, const char *what)
{
    if (mln_failed(err) && !mln_is(err, MLN_E_CONFLICT)) {
        mln_log_fault(MLN_LOG_WARN, "core", cx, what);
    }
    t->is_late = t->is_late || mln_failed(err);
    return !mln_failed(err) || mln_is(err, MLN_E_CONFLICT);
}

static void expire_tokens(struct tick *t)
{
    size_t n = BATCH_ROWS;
    struct mln_cx cx;
    for (size_t max = BATCH_ROWS; n >= BATCH_ROWS && goes_on(t); max = BACKLOG_ROWS) {
        mln_cx_init(&cx, t->arena);
        struct mln_err err = mln_token_expire(t->work.core, &cx, t->work.now_ns, max, &n);
        if (!is_fine(t, &cx, err, "expired tokens are not deleted yet")) {
            return;
        }
        n = mln_failed(err) ? BATCH_ROWS : n;
    }
}

static void sweep_trees(struct tick *t)
{
    bool more = true;
    struct mln_cx cx;
    while (more && goes_on(t)) {
        mln_cx_init(&cx, t->arena);
        if (!is_fine(t, &cx, mln_token_sweep(t->work.core, &cx, &more),
                     "what hung on revoked tokens is not deleted yet")) {
            return;
        }
    }
}

static void run_jobs_of(struct tick *t, struct mln_bytes kind, bool is_of_spaces)
{
    struct mln_value *jobs = mln_array(t->cx);
    struct mln_cx cx;
    if (mln_failed(mln_life_keys(t->work.core, t->cx, kind, MLN_BYTES_NONE, MLN_BYTES_NONE, JOBS_MAX,
                                 jobs))) {
        mln_cx_clear(t->cx);
    }
    for (size_t i = 0; i < mln_len(jobs); i++) {
        struct mln_bytes prefix = mln_get_bytes(mln_item(jobs, i)), ns = MLN_NS_ROOT;
        if (is_of_spaces) {
            ns = mln_bytes_cut(prefix, '/', &prefix);
        }
        bool more = true;
        while (more && goes_on(t)) {
            mln_cx_init(&cx, t->arena);
            struct mln_err err = mln_lease_sweep(&t->work, &cx, ns, prefix, &more);
            if (!is_fine(t, &cx, err, "leases below a prefix are not revoked yet")) {
                break;
            }
        }
    }
}

static void run_jobs(struct tick *t)
{
    run_jobs_of(t, MLN_BYTES(MLN_LEASE_PREFIX "job/"), false);
    run_jobs_of(t, MLN_BYTES(MLN_LEASE_PREFIX "nsjob/"), true);
}

/* Those of a slow mount stay in front: go on behind them. */
static struct mln_err lease_batch(struct tick *t, struct mln_cx *cx, struct mln_buf *after,
                                  size_t max, size_t *ret_n)
{
    struct mln_value *rows = mln_array(cx);
    const struct mln_bytes prefix = MLN_BYTES(MLN_LEASE_PREFIX "expiry/");
    struct mln_bytes until =
        mln_bytes_format(cx, "%016llx0", (unsigned long long)t->work.now_ns); /* '0' follows '/' */
    MLN_TRY(mln_life_keys(t->work.core, cx, prefix, mln_buf_bytes(after), until, max, rows));
    *ret_n = mln_len(rows);
    if (mln_len(rows) == 0) {
        return MLN_OK;
    }
    mln_buf_clear(after);
    mln_buf_add_bytes(after, prefix);
    mln_buf_add_bytes(after, mln_get_bytes(mln_item(rows, mln_len(rows) - 1)));
    MLN_TRY(mln_buf_ok(cx, after));
    return mln_lease_end_due(&t->work, cx, rows);
}

static void expire_leases(struct tick *t)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf after = {0};
    size_t n = BATCH_ROWS;
    struct mln_cx cx;
    for (size_t max = BATCH_ROWS; n >= BATCH_ROWS && goes_on(t); max = BACKLOG_ROWS) {
        mln_cx_init(&cx, t->arena);
        if (!is_fine(t, &cx, lease_batch(t, &cx, &after, max, &n),
                     "leases that are due are not revoked yet")) {
            return;
        }
    }
}

void mln_life_tick(struct mln_core *core, struct mln_cx *cx, int64_t now_ns)
{
    MLN_AUTO(mln_mounts_release_drop) struct mln_mount_table *table = mln_mounts_hold(core);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(BATCH_ARENA_BYTES, false);
    long long life_ns = mln_life_ns(core, now_ns);
    struct tick t = {.work = {.core = core, .table = table, .now_ns = life_ns},
                     .cx = cx,
                     .arena = arena,
                     .until_ns = mln_mono_ns() + TICK_NS};
    if (arena == NULL) {
        mln_log(MLN_LOG_WARN, "core", "no memory to expire tokens and leases");
        return;
    }
    run_jobs(&t);
    expire_tokens(&t);
    sweep_trees(&t);
    expire_leases(&t);
    if (!t.is_late &&
        life_ns > now_ns) { /* the clock went back, and all that had been due is gone */
        (void)atomic_compare_exchange_strong(&core->life_ns, &life_ns, now_ns);
    }
}
