/* SPDX-License-Identifier: Apache-2.0 */
/* What a request leaves in the ledger: who, what, on what, decided how and why; digests instead of contents. docs/format-ledger.md */
#include "core/core_priv.h"

#include "base/log.h"

static const char *const op_names[] = {"read", "list", "write", "patch", "delete", "help", "scan"};

static void put_actor(struct mln_run *run, struct mln_value *content)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_actor *a = &run->actor;
    struct mln_value *actor = mln_object(cx);
    static const char *const kinds[] = {"stranger", "token", "system", "peer", "bearer"};
    mln_put_text(cx, actor, "kind", kinds[a->kind]);
    if (a->kind == MLN_ACTOR_TOKEN) {
        mln_put_text(cx, actor, "name", a->display_name);
        mln_put_text(cx, actor, "accessor", a->accessor);
        if (a->entity_id[0] != 0) {
            mln_put_text(cx, actor, "entity_id", a->entity_id);
            mln_put_text(cx, actor, "entity", a->entity_name);
        }
    }
    if (a->kind == MLN_ACTOR_BEARER) {
        mln_put_text(cx, actor, "name", a->display_name);
    }
    if (a->kind == MLN_ACTOR_PEER) {
        mln_put_int(cx, actor, "pid", run->rq.peer->pid);
        mln_put_int(cx, actor, "uid", run->rq.peer->uid);
        mln_put_int(cx, actor, "gid", run->rq.peer->gid);
    }
    if (run->rq.source[0] != 0) {
        mln_put_text(cx, actor, "from", run->rq.source);
    }
    mln_put(cx, content, "actor", actor);
}

/* By policy or token, or by the engine (an approval of one's own, a wrong password). */
static bool is_denied(const struct mln_run *run, struct mln_err err)
{
    return run->is_refused || (mln_failed(err) && mln_bytes_is(mln_bytes_of(mln_err_class(err.code)), "ACCESS"));
}

static void put_decision(struct mln_run *run, struct mln_err err, struct mln_value *content)
{
    struct mln_cx *cx = run->rq.cx;
    bool is_by_engine = is_denied(run, err) && !run->is_refused;
    mln_put_text(cx, content, "decision", is_denied(run, err) ? "deny" : "allow");
    if (run->reason != NULL) {
        mln_put_text(cx, content, "reason", is_by_engine ? "engine" : run->reason);
    }
    if (run->rule != NULL) {
        mln_put_text(cx, content, "rule", run->rule);
    }
}

static void put_answer(struct mln_run *run, struct mln_err err, struct mln_value *content)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_reply *re = &run->reply;
    if (mln_failed(err)) {
        mln_put_text(cx, content, "error", mln_err_name(err.code));
        return;
    }
    const struct mln_value *given = re->auth != NULL ? re->auth : re->data != NULL ? re->data : re->bare;
    given = given == NULL && re->raw.len > 0 ? mln_blob(cx, re->raw) : given;
    if (given != NULL) {
        mln_put_text(cx, content, "answer", mln_ledger_digest(cx, run->core->ledger, given));
    }
}

static enum mln_record_class class_of(const struct mln_run *run, struct mln_err err, bool wrote)
{
    const struct mln_path *route = run->rq.route;
    if (run->is_system) {
        return MLN_RECORD_SYSTEM;
    }
    if (route != NULL && route->act == MLN_ACT_LOGIN) {
        return MLN_RECORD_LOGIN;
    }
    if (is_denied(run, err)) {
        return MLN_RECORD_DENIED;
    }
    if (route != NULL && route->act == MLN_ACT_EVIDENCE) {
        return MLN_RECORD_EVIDENCE;
    }
    return wrote ? MLN_RECORD_MUTATION : MLN_RECORD_READ;
}

/* Where the resource lies, and whence who asks for it comes; nothing of the root. */
static void put_namespace(struct mln_run *run, struct mln_value *content)
{
    if (run->space != NULL) {
        mln_put_text(run->rq.cx, content, "namespace", run->space->path);
        mln_put_text(run->rq.cx, content, "namespace_id", run->space->id);
    }
    if (run->home != NULL) {
        mln_put_text(run->rq.cx, content, "token_namespace", run->home->path);
    }
}

void mln_run_record(struct mln_run *run, struct mln_err err, const struct mln_value *digests, struct mln_record *ret)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *content = mln_object(cx);
    const struct mln_path *route = run->rq.route;
    put_actor(run, content);
    mln_put_text(cx, content, "action", op_names[run->rq.op]);
    mln_put_bytes(cx, content, "resource", run->rq.path);
    put_namespace(run, content);
    put_decision(run, err, content);
    mln_put_text(cx, content, "request_id", run->rq.id);
    if (mln_len(run->rq.data) > 0) {
        mln_put_text(cx, content, "request", mln_ledger_digest(cx, run->core->ledger, run->rq.data));
    }
    put_answer(run, err, content);
    if (mln_len(run->rq.detail) > 0) {
        mln_put(cx, content, "detail", run->rq.detail);
    }
    if (run->calls != NULL) {
        mln_put(cx, content, "calls", run->calls);
    }
    if (route != NULL && route->controls != NULL) {
        mln_put_text(cx, content, "controls", route->controls);
    }
    if (mln_len(digests) > 0) {
        mln_put(cx, content, "digests", digests);
    }
    *ret = (struct mln_record){.klass = class_of(run, err, digests != NULL), .content = content, .index = UINT64_MAX};
}

/* ---- writing it ---- */

/* A commit on its way; in the request's arena. */
struct mln_landing {
    struct mln_batch batch;
    struct mln_record record;
    struct mln_lease_claim claim;
};

/* On the committer's thread. */
static void landed(struct mln_batch *batch)
{
    const struct mln_run *run = batch->arg;
    mln_lease_settle(run->core, &run->landing->claim, !mln_failed(batch->result));
    run->call->ready(run->call->arg);
}

/* Whose caller can come back need not sleep. Records of failures are written at once: what failed is about to be told. */
static bool may_wait(const struct mln_run *run, struct mln_err err)
{
    return !mln_failed(err) && !run->has_blocked && run->call != NULL && run->call->ready != NULL;
}

static struct mln_err commit_claimed(struct mln_run *run, struct mln_err err, bool is_relief, struct mln_landing *l)
{
    struct mln_request *rq = &run->rq;
    const struct mln_value *digests = NULL;
    MLN_TRY(mln_audit_flush(run));
    MLN_TRY(mln_txn_batch(rq->cx, rq->txn, &l->batch, &digests));
    l->batch.is_relief = l->batch.is_relief || is_relief;
    mln_run_record(run, err, digests, &l->record);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_ledger_attach(rq->cx, run->core->ledger, &l->record, &l->batch));
    mln_txn_drop(&rq->txn); /* its snapshot pins pages, and the wait is long */
    if (may_wait(run, err)) {
        run->landing = l;
        l->batch.done = landed;
        l->batch.arg = run;
        mln_store_submit(run->core->store, &l->batch);
        return MLN_OK;
    }
    mln_run_block(run);
    MLN_TRY(mln_store_commit(rq->cx, run->core->store, &l->batch));
    run->ledger_index = l->record.index;
    return MLN_OK;
}

static struct mln_err commit(struct mln_run *run, struct mln_err err, bool is_relief)
{
    struct mln_landing *l = MLN_NEW(run->rq.cx, struct mln_landing);
    const struct mln_tally *tallies = mln_txn_tallies(run->rq.txn);
    if (l == NULL) {
        return mln_cx_err(run->rq.cx);
    }
    MLN_TRY(mln_lease_claim(run->rq.cx, run->core, tallies, run->rq.path, &l->claim));
    struct mln_err done = commit_claimed(run, err, is_relief, l);
    if (run->landing == NULL) {
        mln_lease_settle(run->core, &l->claim, !mln_failed(done));
    }
    return done;
}

static struct mln_err note(struct mln_run *run, struct mln_err err)
{
    struct mln_request *rq = &run->rq;
    struct mln_record record = {0};
    mln_run_record(run, err, NULL, &record);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_ledger_note(rq->cx, run->core->ledger, &record));
    run->ledger_index = record.index;
    if (run->core->config.durable_reads) {
        mln_run_block(run);
        return mln_ledger_flush(rq->cx, run->core->ledger);
    }
    return MLN_OK;
}

/* The disk is full, but what this request does makes room or safety: its record may use the reserve. */
static struct mln_err note_or_relief(struct mln_run *run, struct mln_err err)
{
    struct mln_request *rq = &run->rq;
    struct mln_err noted = note(run, err);
    if (!mln_is(noted, MLN_E_FULL) || rq->route == NULL || !rq->route->is_relief) {
        return noted;
    }
    mln_cx_clear(rq->cx);
    mln_txn_drop(&rq->txn);
    MLN_TRY(mln_run_txn(run));
    return commit(run, err, true);
}

/* A use of the token is spent by what was refused or failed too: the writes of the try are gone, this one is made alone. */
static struct mln_err spend(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    const struct mln_value *entry = NULL;
    mln_txn_drop(&rq->txn);
    if (mln_get_int(mln_get(run->entry, "num_uses"), 0) == 0 || run->is_use_spent) {
        return MLN_OK;
    }
    MLN_TRY(mln_run_txn(run));
    struct mln_err err = mln_token_find(run->core, rq->cx, rq->txn, rq->now_ns, run->token, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        mln_cx_clear(rq->cx);
        return MLN_OK; /* spent meanwhile */
    }
    MLN_TRY(err);
    return mln_token_use(run->core, rq->cx, rq->txn, entry);
}

static struct mln_err record_failure(struct mln_run *run, struct mln_err err)
{
    MLN_TRY(spend(run));
    bool wrote = run->rq.txn != NULL && mln_txn_has_writes(run->rq.txn);
    return wrote ? commit(run, err, true) : note_or_relief(run, err);
}

static const char *stranger_text(const struct mln_run *run, struct mln_err err)
{
    if (mln_is(err, MLN_E_BAD_LOGIN)) {
        return "failed login";
    }
    return mln_failed(err) && !run->is_refused ? mln_err_name(err.code) : run->reason != NULL ? run->reason : "open";
}

/* What failed is recorded, then told. */
static struct mln_err end_failed(struct mln_run *run, struct mln_err err)
{
    struct mln_request *rq = &run->rq;
    struct mln_cx cause = *rq->cx; /* what the client is told, unless recording it fails as well */
    mln_cx_clear(rq->cx);
    struct mln_err written = record_failure(run, err);
    if (mln_failed(written)) {
        mln_log(MLN_LOG_WARN, "core", "request %s failed (%s) and could not be recorded (%s)", rq->id, mln_err_name(err.code),
                mln_err_name(written.code));
        return written;
    }
    *rq->cx = cause;
    return err;
}

struct mln_err mln_run_finish(struct mln_run *run, struct mln_err err)
{
    struct mln_request *rq = &run->rq;
    bool wrote = !mln_failed(err) && mln_txn_has_writes(rq->txn);
    if (run->actor.kind == MLN_ACTOR_STRANGER && !wrote) { /* counted together, or a flood of them would fill the log */
        mln_ledger_stranger(run->core->ledger, mln_bytes_of(rq->source), stranger_text(run, err));
        return err;
    }
    if (!mln_failed(err)) {
        err = wrote ? commit(run, err, false) : note_or_relief(run, err);
        if (!wrote || !mln_failed(err) || mln_is(err, MLN_E_CONFLICT)) {
            return err;
        }
    }
    return end_failed(run, err);
}

struct mln_err mln_run_landed(struct mln_run *run)
{
    const struct mln_landing *l = run->landing;
    run->landing = NULL;
    if (!mln_failed(l->batch.result)) {
        run->ledger_index = l->record.index;
        return MLN_OK;
    }
    enum mln_code code = (enum mln_code)l->batch.result.code;
    struct mln_err err = mln_fail(run->rq.cx, code, "%s", mln_err_text(l->batch.result.code));
    return mln_is(err, MLN_E_CONFLICT) ? err : end_failed(run, err);
}
