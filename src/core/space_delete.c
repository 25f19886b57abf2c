/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How namespaces go. Deleting marks one ("tainted"): from then on no request finds it and its tokens are as good as none. Ticks empty it
 * step by step, each step a batch with its own record, so that a kill between two of them costs nothing: the next tick looks at what is
 * left and goes on. In this order:
 *
 *   1. all mounts are unmounted, as if each had been disabled: their leases are revoked by their engines, logins' tokens with them
 *   2. all tokens are revoked, and what hangs on them
 *   3. when no lease is left that is still to be revoked: rows of mounts, policies, identity
 *   4. the keyring is destroyed, and last the namespace's own rows
 */
#include "core/space_priv.h"

#include "base/clock.h"
#include "base/log.h"

#define TICK_NS      (300 * 1000000LL) /* of work in a tick, beside the ticks of lifetimes */
#define TOKENS_BATCH 256u              /* revoked in one batch */
#define LEASES_BATCH 256u
#define GONE_SEEN    4096u
#define ARENA_BYTES  (64u << 20)

struct end {
    struct mln_core *core;
    struct mln_cx *cx;
    const struct mln_space *space;
    struct mln_bytes ns;
    struct mln_run run; /* its txn stands in the namespace */
};

static struct mln_err begin(struct end *e)
{
    e->run = (struct mln_run){.is_system = true};
    MLN_TRY(mln_run_begin(e->cx, e->core, &e->run));
    e->run.actor.kind = MLN_ACTOR_SYSTEM;
    e->run.rq.ns = e->ns;
    MLN_TRY(mln_run_txn(&e->run));
    mln_txn_mark_relief(e->run.rq.txn);
    return MLN_OK;
}

static struct mln_err commit(struct end *e, const char *what)
{
    struct mln_value *detail = mln_object(e->cx);
    mln_put_text(e->cx, detail, "namespace", e->space->path);
    mln_put_bytes(e->cx, detail, "id", e->ns);
    return mln_core_commit(e->core, e->cx, e->run.rq.txn, what, detail);
}

/* ---- the steps: *ret_done says that there was nothing left to do ---- */

static struct mln_err unmount(struct end *e, bool *ret_done)
{
    struct mln_request *rq = &e->run.rq;
    const struct mln_value *rows = NULL;
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    *ret_done = mln_len(rows) == 0;
    for (size_t i = 0; i < mln_len(rows); i++) {
        const char *uuid = mln_get_text(rq->cx, mln_get(mln_item(rows, i), "uuid"), "?");
        MLN_TRY(mln_mounts_gone(rq->cx, rq->txn, uuid));
        MLN_TRY(mln_lease_mount_gone(rq, uuid));
    }
    if (*ret_done) {
        return MLN_OK;
    }
    MLN_TRY(mln_mounts_put(rq->cx, rq->txn, mln_array(rq->cx)));
    MLN_TRY(commit(e, "unmount what a deleted namespace has"));
    return mln_mounts_load(e->cx, e->core, e->ns);
}

static struct mln_err revoke_tokens(struct end *e, bool *ret_done)
{
    struct mln_request *rq = &e->run.rq;
    struct mln_value *names = mln_array(e->cx);
    struct mln_bytes below = mln_bytes_format(e->cx, "root/token/ns/%.*s/", MLN_FMT(e->ns));
    MLN_TRY(mln_life_keys(e->core, e->cx, below, MLN_BYTES_NONE, MLN_BYTES_NONE, TOKENS_BATCH, names));
    *ret_done = mln_len(names) == 0;
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *entry = NULL;
        const char *name = mln_get_text(e->cx, mln_item(names, i), "");
        struct mln_err err = mln_token_by_name(e->cx, rq->txn, name, &entry);
        if (mln_life_is_lost(e->cx, err)) {
            err = mln_txn_delete(e->cx, rq->txn, mln_token_view(), mln_token_ns_key(e->cx, mln_bytes_of(name)));
        } else if (!mln_failed(err)) {
            err = mln_token_revoke(e->core, e->cx, rq->txn, entry);
        }
        MLN_TRY(err);
    }
    return *ret_done ? MLN_OK : commit(e, "revoke tokens of a deleted namespace");
}

/*
 * Trees of its revoked tokens are swept by the tick of lifetimes, rows of its mounts by that of mounts: only then is it known that no
 * lease is left. Of a longer list than GONE_SEEN it is believed that some are.
 */
static struct mln_err waits(struct end *e, bool *ret)
{
    struct mln_value *tokens = mln_array(e->cx), *mounts = mln_array(e->cx);
    MLN_TRY(mln_life_keys(e->core, e->cx, MLN_BYTES("root/token/gone/"), MLN_BYTES_NONE, MLN_BYTES_NONE, GONE_SEEN, tokens));
    MLN_TRY(mln_life_keys(e->core, e->cx, MLN_BYTES("root/mount/gone/"), MLN_BYTES_NONE, MLN_BYTES_NONE, GONE_SEEN, mounts));
    *ret = mln_len(tokens) == GONE_SEEN || mln_len(mounts) == GONE_SEEN;
    for (size_t i = 0; i < mln_len(tokens) && !*ret; i++) {
        *ret = mln_bytes_eq(mln_token_name_ns(mln_get_bytes(mln_item(tokens, i))), e->ns);
    }
    for (size_t i = 0; i < mln_len(mounts) && !*ret; i++) {
        struct mln_bytes ns = MLN_BYTES_NONE, key = mln_get_bytes(mln_item(mounts, i));
        struct mln_err err = mln_txn_get(e->cx, e->run.rq.txn, mln_core_view("root/mount/gone/"), key, &ns);
        *ret = !mln_failed(err) && mln_bytes_eq(ns, e->ns);
        MLN_TRY(mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err);
    }
    return MLN_OK;
}

static struct mln_err end_leases(struct end *e, bool *ret_done)
{
    bool is_busy = true, is_waiting = true;
    MLN_TRY(mln_lease_space_is_busy(e->core, e->cx, e->run.rq.txn, e->ns, LEASES_BATCH, &is_busy));
    if (mln_txn_has_writes(e->run.rq.txn)) {
        MLN_TRY(commit(e, "delete leases of a deleted namespace that nothing could revoke"));
        *ret_done = false;
        return MLN_OK;
    }
    MLN_TRY(waits(e, &is_waiting));
    *ret_done = !is_busy && !is_waiting;
    return MLN_OK;
}

static struct mln_err delete_rows(struct end *e, bool *ret_done)
{
    struct mln_view view = {.ns = e->ns, .prefix = mln_bytes_format(e->cx, "%.*s/", MLN_FMT(e->ns))};
    bool is_all = false;
    MLN_TRY(mln_rows_sweep(e->cx, e->core, e->run.rq.txn, view, &is_all));
    *ret_done = is_all && !mln_txn_has_writes(e->run.rq.txn);
    return *ret_done ? MLN_OK : commit(e, "delete rows of a deleted namespace");
}

static struct mln_err forget(struct end *e)
{
    struct mln_txn *txn = e->run.rq.txn;
    MLN_TRY(mln_barrier_remove_namespace(e->cx, e->core->barrier, e->ns));
    MLN_TRY(mln_txn_delete(e->cx, txn, space_view(), mln_bytes_format(e->cx, "id/%.*s", MLN_FMT(e->ns))));
    MLN_TRY(mln_txn_delete(e->cx, txn, space_view(), mln_bytes_format(e->cx, "path/%s", e->space->path)));
    MLN_TRY(commit(e, "destroy the keyring of a deleted namespace"));
    return mln_spaces_load(e->cx, e->core);
}

/* ---- one batch ---- */

/* *ret_more: another batch can follow at once; false: all is done, or others have to go on first. */
static struct mln_err step(struct end *e, bool *ret_more)
{
    static struct mln_err (*const steps[])(struct end *, bool *) = {unmount, revoke_tokens, end_leases, delete_rows};
    *ret_more = false;
    MLN_TRY(begin(e));
    for (size_t i = 0; i < MLN_COUNT(steps); i++) {
        bool is_done = false;
        MLN_TRY(steps[i](e, &is_done));
        if (!is_done) {
            *ret_more = steps[i] != end_leases;
            return MLN_OK;
        }
    }
    return forget(e);
}

static void end_one(struct mln_core *core, const struct mln_space *space, struct mln_arena *arena, int64_t until_ns)
{
    bool more = true;
    while (more && mln_mono_ns() < until_ns) {
        struct mln_cx cx;
        mln_arena_reset(arena);
        mln_cx_init(&cx, arena);
        struct end e = {.core = core, .cx = &cx, .space = space, .ns = mln_bytes_of(space->id)};
        struct mln_err err = step(&e, &more);
        mln_txn_drop(&e.run.rq.txn);
        if (mln_failed(err) && !mln_is(err, MLN_E_CONFLICT)) {
            mln_log_fault(MLN_LOG_WARN, "core", &cx, "a deleted namespace is not emptied yet");
            return;
        }
        more = more || mln_failed(err);
    }
}

void mln_spaces_tick(struct mln_cx *cx, struct mln_core *core, int64_t now_ns)
{
    MLN_AUTO(mln_spaces_release_drop) struct mln_spaces *spaces = mln_spaces_hold(core);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = NULL;
    int64_t until_ns = mln_mono_ns() + TICK_NS;
    (void)cx;
    (void)now_ns;
    for (size_t i = 0; spaces != NULL && i < spaces->n; i++) {
        if (!spaces->list[i].is_tainted) {
            continue;
        }
        arena = arena != NULL ? arena : mln_arena_new(ARENA_BYTES, false);
        if (arena == NULL) {
            mln_log(MLN_LOG_WARN, "core", "no memory to delete namespaces");
            return;
        }
        end_one(core, &spaces->list[i], arena, until_ns);
    }
}
