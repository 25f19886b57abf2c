/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a request's way for which the store must be open: its tries, and what follows a commit. A try that met a newer version
 * is made again. A caller that can come back (core.h) does so where the commit is on its way, and passes the gate a second time.
 */
#include "core/core_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/govern.h"

#define TRIES_MAX     100     /* conflicts of one request before it gives up: with 64 writers on one key a commit lets one through */
#define TRIES_EAGER   4       /* made at once; the others wait first */
#define RETRY_WAIT_NS 1000000 /* at most: about two group commits */

struct mln_err mln_run_txn(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    MLN_TRY(mln_txn_begin(rq->cx, run->core->store, run->core->barrier, &rq->txn));
    (void)mln_txn_enter(rq->txn, rq->ns);
    return MLN_OK;
}

static struct mln_err try_once(struct mln_run *run)
{
    run->topic_version = mln_topics_version(run->core);
    MLN_TRY(mln_run_txn(run));
    return mln_run_finish(run, mln_run_handle(run));
}

static void again(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    mln_txn_drop(&rq->txn);
    mln_cx_clear(rq->cx);
    run->reply = (struct mln_reply){0};
    run->actor = mln_stranger;
    run->entry = NULL;
    run->wrap_info = run->unwrapped = NULL;
    run->lease_id = NULL;
    run->is_use_spent = false;
    run->subject = (struct mln_subject){0};
    run->is_refused = run->seals = false;
    run->restore = NULL;
    run->reload_audit = false;
    run->reload_mounts = run->changed_policies = run->changed_identity = run->reload_spaces = false;
    run->home = NULL;
    run->changed_quotas = run->changed_lease_quotas = run->changed_cors = run->changed_rules = false;
    run->attempt = NULL;
    run->mfa_done = false;
    run->topics = run->calls = NULL;
    run->after = NULL;
    run->rule = run->reason = NULL;
    rq->detail = mln_object(rq->cx);
    rq->fields = mln_object(rq->cx);
    rq->route = NULL;
}

/* err: how the last one ended, CONFLICT before the first. May come back with a commit on its way. */
static struct mln_err tries(struct mln_run *run, struct mln_err err)
{
    for (; run->n_tries < TRIES_MAX && mln_is(err, MLN_E_CONFLICT); run->n_tries++) {
        if (run->n_tries > TRIES_EAGER) {
            mln_run_block(run);
            mln_sleep_ns((int64_t)mln_random_below(RETRY_WAIT_NS));
        }
        again(run);
        err = try_once(run);
    }
    mln_txn_drop(&run->rq.txn);
    return err;
}

/* After a commit and before its answer: later requests must see what was changed. */
static void settle(struct mln_run *run)
{
    struct mln_core *core = run->core;
    struct mln_cx *cx = run->rq.cx;
    mln_after_run(run);
    if (run->changed_policies) {
        atomic_fetch_add(&core->acl_epoch, 1);
    }
    if (run->changed_identity) {
        atomic_fetch_add(&core->person_epoch, 1);
    }
    if (run->changed_quotas && mln_failed(mln_quotas_load(cx, core))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the quotas of before stay until the next change");
        mln_cx_clear(cx);
    }
    if (run->changed_lease_quotas && mln_failed(mln_lease_quotas_load(cx, core))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the lease counts of before stay until the next change");
        mln_cx_clear(cx);
    }
    if (run->changed_cors && mln_failed(mln_cors_load(cx, core))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the origins of before stay until the next change");
        mln_cx_clear(cx);
    }
    if (run->changed_rules && mln_failed(mln_govern_load(cx, core))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the rules of before stay until the next change");
        mln_cx_clear(cx);
    }
    if (run->reload_spaces && mln_failed(mln_spaces_load(cx, core))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the namespaces of before stay until the next change");
        mln_cx_clear(cx);
    }
    if (run->reload_mounts && mln_failed(mln_mounts_load(cx, core, run->rq.ns))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the mount table of before stays until the next change");
        mln_cx_clear(cx);
    }
    if (run->reload_audit && mln_failed(mln_audit_load(cx, core))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "the audit devices of before stay until the next change");
        mln_cx_clear(cx);
    }
}

/* Refused before anything is looked up; counted with the strangers, or a flood would fill the log. */
static struct mln_err limit(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    struct mln_err err =
        mln_quotas_take(rq->cx, &run->core->quotas, mln_space_full_path(run, rq->path), rq->source, rq->now_ns, &run->rate);
    if (mln_is(err, MLN_E_LIMIT)) {
        mln_ledger_stranger(run->core->ledger, mln_bytes_of(rq->source), "rate limit");
    }
    return err;
}

static struct mln_err begin_open(struct mln_run *run)
{
    MLN_TRY(mln_space_resolve(run));
    MLN_TRY(mln_mounts_hold_of(run->rq.cx, run->core, run->rq.ns, &run->table));
    MLN_TRY(limit(run));
    return tries(run, (struct mln_err){MLN_E_CONFLICT});
}

static struct mln_err go_on(struct mln_run *run)
{
    return tries(run, mln_run_landed(run));
}

static struct mln_err conclude(struct mln_run *run, struct mln_err err)
{
    if (!mln_failed(err)) {
        settle(run);
    } else if (run->fresh_ns[0] != 0) { /* nothing lies under it */
        struct mln_cx cx;
        mln_cx_init(&cx, run->rq.cx->arena);
        (void)mln_barrier_remove_namespace(&cx, run->core->barrier, mln_bytes_of(run->fresh_ns));
    }
    mln_lockout_ended(run, err);
    return mln_audit_response(run, err);
}

/* What is sealed is sealed, whoever wishes it: scripts that seal twice are not told of an error. */
static bool asks_to_seal(const struct mln_request *rq)
{
    return rq->op == MLN_OP_WRITE && mln_bytes_is(rq->path, "sys/seal");
}

/*
 * A part of the way for which the store must be open. The gate is not held over a commit that is waited for: who seals or restores
 * has the store emptied of commits first, and what comes back to a closed gate is told so, although its write is durable.
 */
struct mln_err mln_run_pass_gate(struct mln_run *run)
{
    struct mln_core *core = run->core;
    struct mln_err err = MLN_OK;
    pthread_rwlock_rdlock(&core->gate);
    if (atomic_load(&core->is_open)) {
        err = run->landing == NULL ? begin_open(run) : go_on(run);
        err = run->landing != NULL ? err : conclude(run, err);
    } else {
        run->landing = NULL;
        err = asks_to_seal(&run->rq) ? MLN_OK : mln_fail(run->rq.cx, MLN_E_SEALED, "Vault is sealed");
    }
    pthread_rwlock_unlock(&core->gate);
    return err;
}
