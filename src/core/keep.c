/* SPDX-License-Identifier: Apache-2.0 */
/* What engines keep in memory between requests, and what they do once their writes are durable. */
#include "core/core_priv.h"

#include "base/log.h"

struct mln_kept {
    struct mln_kept *next;
    char *uuid; /* of the mount */
    void *what;
    void (*drop)(void *what);
};

struct mln_after {
    struct mln_after *next;
    const struct mln_mount *mount;
    struct mln_err (*fn)(struct mln_request *rq, void *arg);
    void *arg;
};

static struct mln_kept *find(const struct mln_core *core, const char *uuid)
{
    struct mln_kept *k = core->kept;
    while (k != NULL && !mln_bytes_is(mln_bytes_of(uuid), k->uuid)) {
        k = k->next;
    }
    return k;
}

static struct mln_kept *add(struct mln_core *core, const char *uuid, void *(*make)(void),
                            void (*drop)(void *))
{
    struct mln_kept *k = mln_alloc(sizeof(*k));
    void *what = k != NULL ? make() : NULL;
    char *own = what != NULL ? mln_strdup(uuid) : NULL;
    if (own == NULL) {
        if (what != NULL) {
            drop(what);
        }
        mln_free(k);
        return NULL;
    }
    *k = (struct mln_kept){.next = core->kept, .uuid = own, .what = what, .drop = drop};
    core->kept = k;
    return k;
}

struct mln_err mln_keep(struct mln_request *rq, void *(*make)(void), void (*drop)(void *),
                        void **ret)
{
    struct mln_core *core = mln_core_of(rq);
    pthread_mutex_lock(&core->kept_lock);
    struct mln_kept *k = find(core, rq->mount->uuid);
    k = k != NULL ? k : add(core, rq->mount->uuid, make, drop);
    pthread_mutex_unlock(&core->kept_lock);
    if (k == NULL) {
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for what %s keeps", rq->mount->path);
    }
    *ret = k->what;
    return MLN_OK;
}

/* At the closed gate: nobody uses any of it. */
void mln_kept_forget(struct mln_core *core)
{
    while (core->kept != NULL) {
        struct mln_kept *k = core->kept;
        core->kept = k->next;
        k->drop(k->what);
        mln_free(k->uuid);
        mln_free(k);
    }
}

void mln_after(struct mln_request *rq, struct mln_err (*fn)(struct mln_request *rq, void *arg),
               void *arg)
{
    struct mln_run *run = mln_run_of(rq);
    struct mln_after *a = MLN_NEW(rq->cx, struct mln_after);
    if (a != NULL) {
        *a = (struct mln_after){.next = run->after, .mount = rq->mount, .fn = fn, .arg = arg};
        run->after = a;
    }
}

static struct mln_err run_one(struct mln_run *run, const struct mln_after *a)
{
    struct mln_request rq = run->rq;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    MLN_TRY(mln_txn_begin(rq.cx, run->core->store, run->core->barrier, &txn));
    rq.txn = txn;
    rq.mount = a->mount;
    return a->fn(&rq, a->arg);
}

void mln_after_run(struct mln_run *run)
{
    for (const struct mln_after *a = run->after; a != NULL; a = a->next) {
        if (mln_failed(run_one(run, a))) {
            mln_log_fault(MLN_LOG_ERROR, "core", run->rq.cx, "what follows a commit was not done");
            mln_cx_clear(run->rq.cx);
        }
    }
    run->after = NULL;
}
