/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How leases end by themselves: due ones in batches, those whose engine failed again later (10 s, 20 s, ... 160 s; after six tries
 * they are irrevocable and wait for revoke-force), those of a prefix or a mount that is to be emptied.
 */
#include "core/lease_priv.h"

#include "base/clock.h"

#define TRIES_MAX     6
#define RETRY_BASE_NS (10 * 1000000000LL)
#define CHUNK_ROWS    64u  /* of a batch in which one failed: the others of a chunk go together */
#define SWEEP_ROWS    256u /* of one batch */

/* A run of the system's own in a transaction of its own. */
static struct mln_err begin(struct mln_lease_work *work, struct mln_cx *cx, struct mln_run *run)
{
    *run = (struct mln_run){.is_system = true, .table = work->table};
    MLN_TRY(mln_run_begin(cx, work->core, run));
    run->actor.kind = MLN_ACTOR_SYSTEM;
    run->rq.op = MLN_OP_DELETE;
    return mln_txn_begin(cx, work->core->store, work->core->barrier, &run->rq.txn);
}

static struct mln_err commit(struct mln_lease_work *work, struct mln_cx *cx, struct mln_run *run,
                             const char *action, const struct mln_value *leases)
{
    struct mln_value *detail = mln_object(cx);
    mln_put(cx, detail, "leases", leases);
    mln_txn_mark_relief(run->rq.txn);
    return mln_core_commit(work->core, cx, run->rq.txn, action, detail);
}

/* ---- due ---- */

static bool is_slow(const struct mln_lease_work *work, const char *uuid)
{
    for (size_t i = 0; i < work->slow_n; i++) {
        if (mln_bytes_is(mln_bytes_of(work->slow[i]), uuid)) {
            return true;
        }
    }
    return false;
}

static struct mln_bytes id_in(struct mln_bytes row) /* "<time>/<id>" */
{
    struct mln_bytes id;
    (void)mln_bytes_cut(row, '/', &id);
    return id;
}

/* NOT_FOUND when there is nothing to end: gone, or renewed since the row was read. */
static struct mln_err due_lease(struct mln_lease_work *work, struct mln_run *run,
                                struct mln_bytes row, const struct mln_value **ret)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_err err = mln_lease_get(cx, run->rq.txn, id_in(row), ret);
    bool is_lost = mln_life_is_lost(cx, err);
    if (!is_lost) {
        MLN_TRY(err);
    }
    if (is_lost || mln_get_int(mln_get(*ret, "expires_ns"), 0) > work->now_ns ||
        mln_get_bool(mln_get(*ret, "bad"), false)) {
        MLN_TRY(mln_txn_delete(cx, run->rq.txn, mln_lease_view(),
                               mln_bytes_format(cx, "expiry/%.*s", MLN_FMT(row))));
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return MLN_OK;
}

static struct mln_err end_rows(struct mln_lease_work *work, struct mln_run *run,
                               const struct mln_value *rows, struct mln_value *ended)
{
    struct mln_cx *cx = run->rq.cx;
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *lease = NULL;
        struct mln_err err = due_lease(work, run, mln_get_bytes(mln_item(rows, i)), &lease);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue;
        }
        MLN_TRY(err);
        if (is_slow(work, mln_get_text(cx, mln_get(lease, "mount"), ""))) {
            continue;
        }
        MLN_TRY(mln_lease_end(&run->rq, lease, false));
        mln_push(cx, ended, mln_get(lease, "id"));
    }
    return mln_cx_err(cx);
}

static struct mln_err try_rows(struct mln_lease_work *work, struct mln_cx *cx,
                               const struct mln_value *rows)
{
    struct mln_run run;
    struct mln_value *ended = mln_array(cx);
    MLN_TRY(begin(work, cx, &run));
    struct mln_err err = end_rows(work, &run, rows, ended);
    err = mln_failed(err) ? err : commit(work, cx, &run, "revoke leases that are due", ended);
    mln_txn_drop(&run.rq.txn);
    return err;
}

/* Tried and failed: when again, or never. */
static void put_failure(struct mln_cx *cx, struct mln_value *lease, int64_t now_ns,
                        const char *text)
{
    int64_t tries = mln_get_int(mln_get(lease, "tries"), 0) + 1;
    mln_put_int(cx, lease, "tries", tries);
    mln_put_text(cx, lease, "error", text);
    if (tries >= TRIES_MAX) {
        mln_put_bool(cx, lease, "bad", true);
    } else {
        mln_put_int(cx, lease, "expires_ns", now_ns + (RETRY_BASE_NS << (tries - 1)));
    }
}

static struct mln_err postpone(struct mln_lease_work *work, struct mln_cx *cx, struct mln_bytes row,
                               const char *text)
{
    struct mln_run run;
    const struct mln_value *lease = NULL;
    struct mln_value *ids = mln_array(cx);
    MLN_TRY(begin(work, cx, &run));
    struct mln_err err = due_lease(work, &run, row, &lease);
    if (!mln_failed(err)) {
        struct mln_value *later = mln_value_dup(cx, lease);
        put_failure(cx, later, work->now_ns, text);
        mln_push(cx, ids, mln_get(lease, "id"));
        err = mln_lease_put(cx, run.rq.txn, lease, later);
        if (work->slow_n < MLN_COUNT(work->slow)) {
            work->slow[work->slow_n++] = "";
            for (size_t i = 0; work->table != NULL && i < work->table->n;
                 i++) { /* a text that outlives this batch */
                bool is_it = mln_is_text(mln_get(lease, "mount"), work->table->mounts[i].uuid);
                work->slow[work->slow_n - 1] =
                    is_it ? work->table->mounts[i].uuid : work->slow[work->slow_n - 1];
            }
        }
    }
    err = mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    err = mln_failed(err) ? err : commit(work, cx, &run, "revoking a lease failed", ids);
    mln_txn_drop(&run.rq.txn);
    return err;
}

/* One by one, so that the one that fails stops no other. */
static struct mln_err end_singly(struct mln_lease_work *work, struct mln_cx *cx,
                                 const struct mln_value *rows)
{
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_value *one = mln_array(cx);
        mln_push(cx, one, mln_item(rows, i));
        struct mln_err err = try_rows(work, cx, one);
        if (!mln_failed(err)) {
            continue;
        }
        const char *text =
            mln_text_dup(cx, mln_bytes_of(cx->text[0] != 0 ? cx->text : mln_err_text(err.code)));
        mln_cx_clear(cx);
        if (!mln_is(err, MLN_E_CONFLICT)) {
            MLN_TRY(postpone(work, cx, mln_get_bytes(mln_item(rows, i)), text));
        }
    }
    return mln_cx_err(cx);
}

struct mln_err mln_lease_end_due(struct mln_lease_work *work, struct mln_cx *cx,
                                 const struct mln_value *rows)
{
    struct mln_err err = try_rows(work, cx, rows);
    if (!mln_failed(err) || mln_is(err, MLN_E_MEMORY) || mln_is(err, MLN_E_FULL)) {
        return err;
    }
    mln_cx_clear(cx);
    for (size_t i = 0; i < mln_len(rows); i += CHUNK_ROWS) {
        struct mln_value *chunk = mln_array(cx);
        for (size_t k = i; k < i + CHUNK_ROWS && k < mln_len(rows); k++) {
            mln_push(cx, chunk, mln_item(rows, k));
        }
        if (mln_failed(try_rows(work, cx, chunk))) {
            mln_cx_clear(cx);
            MLN_TRY(end_singly(work, cx, chunk));
        }
    }
    return mln_cx_err(cx);
}

/* ---- below a prefix ---- */

/* Tokens of logins below it: "path/<path>/<name>". */
static struct mln_err end_tokens(struct mln_request *rq, struct mln_bytes prefix, size_t max,
                                 size_t *ret_n)
{
    struct mln_core *core = mln_core_of(rq);
    struct mln_value *rows = mln_array(rq->cx);
    struct mln_bytes key = mln_token_path_key(rq->cx, rq->ns, prefix);
    struct mln_bytes below = mln_bytes_format(rq->cx, "root/token/%.*s", MLN_FMT(key));
    MLN_TRY(mln_life_keys(core, rq->cx, below, MLN_BYTES_NONE, MLN_BYTES_NONE, max, rows));
    *ret_n = mln_len(rows);
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *entry = NULL;
        struct mln_bytes row = mln_get_bytes(mln_item(rows, i));
        size_t from = row.len;
        while (from > 0 && row.ptr[from - 1] != '/') {
            from--;
        }
        struct mln_err err = mln_token_by_name(
            rq->cx, rq->txn, mln_text_dup(rq->cx, mln_bytes_from(row, from)), &entry);
        if (mln_life_is_lost(rq->cx, err)) {
            err = mln_txn_delete(
                rq->cx, rq->txn, mln_token_view(),
                mln_bytes_format(rq->cx, "%.*s%.*s", MLN_FMT(key), MLN_FMT(row)));
        } else if (!mln_failed(err)) {
            err = mln_token_revoke(core, rq->cx, rq->txn, entry);
        }
        MLN_TRY(err);
    }
    return MLN_OK;
}

/* Are tokens that tokens made below it? They lie under auth/token/, and no row leads to them by path. */
static bool has_made(struct mln_bytes prefix)
{
    const struct mln_bytes token = MLN_BYTES("auth/token/");
    return mln_bytes_starts(prefix, token) || mln_bytes_starts(token, prefix);
}

static struct mln_err end_names(struct mln_request *rq, const struct mln_value *names)
{
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *entry = NULL;
        struct mln_err err =
            mln_token_by_name(rq->cx, rq->txn, mln_get_text(rq->cx, mln_item(names, i), ""), &entry);
        if (!mln_life_is_lost(rq->cx, err)) {
            MLN_TRY(err);
            MLN_TRY(mln_token_revoke(mln_core_of(rq), rq->cx, rq->txn, entry));
        }
    }
    return mln_cx_err(rq->cx);
}

/* Until max or a little more are found. */
static struct mln_err end_made(struct mln_request *rq, struct mln_bytes prefix, size_t max, bool *ret_all)
{
    struct mln_value *names = mln_array(rq->cx);
    struct mln_bytes after = MLN_BYTES_NONE;
    *ret_all = !has_made(prefix);
    while (!*ret_all && mln_len(names) < max) {
        MLN_TRY(mln_token_made_below(rq, prefix, &after, names, ret_all));
    }
    return end_names(rq, names);
}

static struct mln_err end_leases(struct mln_request *rq, struct mln_bytes prefix, bool is_forced,
                                 size_t max, size_t *ret_n)
{
    struct mln_value *rows = mln_array(rq->cx);
    struct mln_bytes below =
        mln_bytes_format(rq->cx, MLN_LEASE_PREFIX "%.*s", MLN_FMT(mln_lease_id_key(rq->cx, rq->ns, prefix)));
    MLN_TRY(
        mln_life_keys(mln_core_of(rq), rq->cx, below, MLN_BYTES_NONE, MLN_BYTES_NONE, max, rows));
    *ret_n = mln_len(rows);
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *lease = NULL;
        struct mln_bytes id = mln_bytes_format(rq->cx, "%.*s%.*s", MLN_FMT(prefix),
                                               MLN_FMT(mln_get_bytes(mln_item(rows, i))));
        struct mln_err err = mln_lease_get(rq->cx, rq->txn, id, &lease);
        if (!mln_life_is_lost(rq->cx, err)) {
            MLN_TRY(err);
            MLN_TRY(mln_lease_end(rq, lease, is_forced));
        }
    }
    return MLN_OK;
}

struct mln_err mln_lease_end_prefix(struct mln_request *rq, struct mln_bytes prefix, bool is_forced,
                                    size_t max, bool *ret_all)
{
    size_t leases = 0, tokens = 0;
    bool is_all_made = true;
    MLN_TRY(end_leases(rq, prefix, is_forced, max, &leases));
    MLN_TRY(end_tokens(rq, prefix, max, &tokens));
    MLN_TRY(end_made(rq, prefix, max, &is_all_made));
    *ret_all = leases < max && tokens < max && is_all_made;
    return mln_cx_err(rq->cx);
}

/* ---- jobs: prefixes and mounts that ticks empty. What is below becomes due, and is ended like the rest ---- */

static struct mln_bytes job_key(struct mln_request *rq, struct mln_bytes prefix)
{
    return mln_bytes_eq(rq->ns, MLN_NS_ROOT)
               ? mln_bytes_format(rq->cx, "job/%.*s", MLN_FMT(prefix))
               : mln_bytes_format(rq->cx, "nsjob/%.*s/%.*s", MLN_FMT(rq->ns), MLN_FMT(prefix));
}

/*
 * A job is a row "job/<prefix>", "nsjob/<namespace>/<prefix>": {"force": bool, "mount": uuid of a mount that is gone or absent,
 * "after": where it stands, "left": how many it met in this pass that are not yet ended, "made_after": the last token that was looked
 * at}. That of a mount goes round until none is left that is still being tried.
 */
static struct mln_err put_job(struct mln_request *rq, struct mln_bytes prefix, bool is_forced,
                              const char *uuid)
{
    struct mln_value *job = mln_object(rq->cx);
    mln_put_bool(rq->cx, job, "force", is_forced);
    if (uuid != NULL) {
        mln_put_text(rq->cx, job, "mount", uuid);
    }
    return mln_txn_put_value(rq->cx, rq->txn, mln_lease_view(),
                             job_key(rq, prefix), job);
}

struct mln_err mln_lease_queue_prefix(struct mln_request *rq, struct mln_bytes prefix,
                                      bool is_forced)
{
    return put_job(rq, prefix, is_forced, NULL);
}

struct emptying {
    struct mln_request *rq;
    struct mln_bytes prefix; /* of ids */
    const struct mln_value *mount;
    bool is_forced;
    int64_t left;
    struct mln_value *ids;
};

static struct mln_err empty_one(struct mln_lease_work *work, struct emptying *e,
                                struct mln_bytes id)
{
    struct mln_request *rq = e->rq;
    const struct mln_value *lease = NULL;
    struct mln_err err = mln_lease_get(rq->cx, rq->txn, id, &lease);
    if (mln_life_is_lost(rq->cx, err)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    bool is_meant = e->mount == NULL || mln_value_eq(mln_get(lease, "mount"), e->mount);
    if (is_meant && e->is_forced) {
        mln_push(rq->cx, e->ids, mln_get(lease, "id"));
        return mln_lease_end(rq, lease, true);
    }
    if (!is_meant || mln_get_bool(mln_get(lease, "bad"), false)) {
        return MLN_OK;
    }
    e->left++;
    if (mln_get_int(mln_get(lease, "tries"), 0) > 0 ||
        mln_get_int(mln_get(lease, "expires_ns"), 0) <= work->now_ns) {
        return MLN_OK; /* it is being ended */
    }
    mln_push(rq->cx, e->ids, mln_get(lease, "id"));
    return mln_lease_make_due(rq->cx, rq->txn, lease, work->now_ns);
}

/* One look at what tokens made; the job remembers where to go on. */
static struct mln_err made_pass(struct emptying *e, const struct mln_value *job, bool *ret_all)
{
    struct mln_request *rq = e->rq;
    struct mln_value *names = mln_array(rq->cx), *further = mln_value_dup(rq->cx, job);
    struct mln_bytes after = mln_get_bytes(mln_get(job, "made_after"));
    MLN_TRY(mln_token_made_below(rq, e->prefix, &after, names, ret_all));
    MLN_TRY(end_names(rq, names));
    mln_put_bytes(rq->cx, further, "made_after", after);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, mln_lease_view(), job_key(rq, e->prefix), further);
}

static struct mln_err next_pass(struct emptying *e, const struct mln_value *job, bool *ret_more)
{
    struct mln_request *rq = e->rq;
    size_t tokens = 0;
    bool is_all_made = true;
    if (e->mount == NULL && has_made(e->prefix)) {
        MLN_TRY(made_pass(e, job, &is_all_made));
        *ret_more = !is_all_made;
        if (!is_all_made) {
            return MLN_OK;
        }
    }
    if (mln_bytes_starts(e->prefix, MLN_BYTES("auth/"))) {
        MLN_TRY(end_tokens(rq, e->prefix, SWEEP_ROWS, &tokens));
    }
    if (tokens > 0 || (e->mount != NULL && mln_get_int(mln_get(job, "left"), 0) > 0)) {
        return put_job(rq, e->prefix, e->is_forced,
                       e->mount == NULL ? NULL : mln_get_text(rq->cx, e->mount, ""));
    }
    if (e->mount != NULL) {
        struct mln_bytes mount =
            mln_bytes_format(rq->cx, "mount/%.*s", MLN_FMT(mln_get_bytes(e->mount)));
        MLN_TRY(mln_txn_delete(rq->cx, rq->txn, mln_lease_view(), mount));
    }
    return mln_txn_delete(rq->cx, rq->txn, mln_lease_view(),
                          job_key(rq, e->prefix));
}

static struct mln_err empty_some(struct mln_lease_work *work, struct emptying *e, bool *ret_more)
{
    struct mln_request *rq = e->rq;
    struct mln_value *rows = mln_array(rq->cx);
    const struct mln_value *job = NULL;
    struct mln_bytes key = job_key(rq, e->prefix);
    struct mln_bytes below =
        mln_bytes_format(rq->cx, MLN_LEASE_PREFIX "%.*s", MLN_FMT(mln_lease_id_key(rq->cx, rq->ns, e->prefix)));
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, mln_lease_view(), key, &job));
    struct mln_bytes last = mln_get_bytes(mln_get(job, "after")), after = MLN_BYTES_NONE;
    after =
        last.len > 0 ? mln_bytes_format(rq->cx, "%.*s%.*s", MLN_FMT(below), MLN_FMT(last)) : after;
    e->is_forced = mln_get_bool(mln_get(job, "force"), false);
    e->mount = mln_get(job, "mount");
    e->left = mln_get_int(mln_get(job, "left"), 0);
    MLN_TRY(mln_life_keys(work->core, rq->cx, below, after, MLN_BYTES_NONE, SWEEP_ROWS, rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_bytes rest = mln_get_bytes(mln_item(rows, i));
        MLN_TRY(empty_one(work, e,
                          mln_bytes_format(rq->cx, "%.*s%.*s", MLN_FMT(e->prefix), MLN_FMT(rest))));
    }
    *ret_more = mln_len(rows) > 0;
    if (!*ret_more) {
        return next_pass(e, job, ret_more);
    }
    struct mln_value *further = mln_value_dup(rq->cx, job);
    mln_put(rq->cx, further, "after", mln_item(rows, mln_len(rows) - 1));
    mln_put_int(rq->cx, further, "left", e->left);
    return mln_txn_put_value(rq->cx, rq->txn, mln_lease_view(), key, further);
}

struct mln_err mln_lease_sweep(struct mln_lease_work *work, struct mln_cx *cx, struct mln_bytes ns,
                               struct mln_bytes prefix, bool *ret_more)
{
    struct mln_run run;
    MLN_TRY(begin(work, cx, &run));
    if (!mln_bytes_eq(ns, MLN_NS_ROOT)) {
        run.rq.ns = ns;
        run.table = NULL;
        (void)mln_txn_enter(run.rq.txn, ns);
    }
    struct emptying e = {.rq = &run.rq, .prefix = prefix, .ids = mln_array(cx)};
    struct mln_err err = empty_some(work, &e, ret_more);
    err = mln_failed(err) ? err : commit(work, cx, &run, "revoke what is below", e.ids);
    mln_txn_drop(&run.rq.txn);
    return err;
}

/* ---- mounts that go ---- */

struct mln_err mln_lease_mount_gone(struct mln_request *rq, const char *uuid)
{
    const struct mln_value *rows = NULL;
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        if (mln_is_text(mln_get(row, "uuid"), uuid)) {
            struct mln_value *gone = mln_object(rq->cx);
            mln_put(rq->cx, gone, "path", mln_get(row, "path"));
            mln_put(rq->cx, gone, "type", mln_get(row, "type"));
            MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, mln_lease_view(),
                                      mln_bytes_format(rq->cx, "mount/%s", uuid), gone));
            return put_job(rq, mln_get_bytes(mln_get(row, "path")), false, uuid);
        }
    }
    return mln_cx_err(rq->cx);
}

struct mln_err mln_lease_mount_is_busy(struct mln_cx *cx, struct mln_txn *txn, const char *uuid,
                                       bool *ret)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    struct mln_err err =
        mln_txn_get(cx, txn, mln_lease_view(), mln_bytes_format(cx, "mount/%s", uuid), &row);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}
