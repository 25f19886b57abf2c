/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of the system's own: a transaction and a record of its own each. Ticks do it by the clock; errands ask the world outside first, on
 * threads of their own, so that neither ticks nor the gate wait for strangers.
 */
#include "core/core_priv.h"

#include "base/limits.h"
#include "base/log.h"
#include "identity/identity.h"
#include "net/reach.h"

#define ERRANDS_MAX                                                                                \
    16u /* at once: half of what reach does, so that requests that ask outside find room */
#define TRIES_MAX 8 /* against requests that change the same rows */
#ifdef MLN_SANITIZED
#define STACK_BYTES (2u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif

struct errand {
    struct mln_core *core;
    struct mln_arena *arena;
    struct mln_cx cx;
    const struct mln_value *ask, *arg;
    struct mln_bytes ns;
    const char *uuid, *target;
    mln_then then;
    const struct mln_value *answer; /* NULL: why not */
    const char *why;
};

struct mln_err mln_system_work(struct mln_cx *cx, struct mln_core *core,
                               const struct mln_system_job *work, struct mln_value *topics)
{
    struct mln_run run = {.is_system = true, .table = work->table};
    const struct mln_mount *mount = work->mount;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    MLN_TRY(mln_run_begin(cx, core, &run));
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    run.actor.kind = MLN_ACTOR_SYSTEM;
    run.rq.txn = txn;
    run.rq.mount = mount;
    run.rq.path = mln_bytes_of(mount->path);
    run.rq.ns = mount->view.ns;
    (void)mln_txn_enter(txn, run.rq.ns);
    MLN_TRY(work->fn(&run.rq, work->arg));
    const char *action = mln_text_format(cx, "%s %s", work->name, mount->path);
    MLN_TRY(mln_core_commit(core, cx, txn, action, run.rq.detail));
    if (mln_txn_has_writes(txn) && mln_bytes_is(mln_bytes_of(mount->path), MLN_IDENTITY_MOUNT)) {
        atomic_fetch_add(&core->person_epoch, 1);
    }
    mln_txn_drop(&txn);
    run.rq.txn = NULL;
    mln_after_run(&run);
    for (size_t i = 0; i < mln_len(run.topics); i++) {
        mln_push(cx, topics, mln_item(run.topics, i));
    }
    return MLN_OK;
}

/* ---- errands ---- */

void mln_errands_init(struct mln_core *core)
{
    (void)pthread_mutex_init(&core->errands.lock, NULL);
    (void)pthread_cond_init(&core->errands.none, NULL);
}

void mln_errands_end(struct mln_core *core)
{
    struct mln_errands *all = &core->errands;
    (void)pthread_mutex_lock(&all->lock);
    all->is_over = true;
    while (all->n > 0) {
        (void)pthread_cond_wait(&all->none, &all->lock);
    }
    (void)pthread_mutex_unlock(&all->lock);
}

void mln_errands_fini(struct mln_core *core)
{
    (void)pthread_cond_destroy(&core->errands.none);
    (void)pthread_mutex_destroy(&core->errands.lock);
}

static bool begin(struct mln_core *core)
{
    struct mln_errands *all = &core->errands;
    (void)pthread_mutex_lock(&all->lock);
    bool may = !all->is_over && all->n < ERRANDS_MAX;
    all->n += may;
    (void)pthread_mutex_unlock(&all->lock);
    return may;
}

static void end(struct mln_core *core)
{
    struct mln_errands *all = &core->errands;
    (void)pthread_mutex_lock(&all->lock);
    if (--all->n == 0) {
        (void)pthread_cond_broadcast(&all->none);
    }
    (void)pthread_mutex_unlock(&all->lock); /* core may be gone from here on */
}

static struct mln_err answered(struct mln_request *rq, void *arg)
{
    const struct errand *e = arg;
    mln_put_text(rq->cx, rq->detail, "reached", e->target);
    return e->then(rq, e->arg, e->answer, e->why);
}

static struct mln_err conclude_once(struct errand *e, struct mln_value *topics)
{
    MLN_AUTO(mln_mounts_release_drop) struct mln_mount_table *table = NULL;
    MLN_TRY(mln_mounts_hold_of(&e->cx, e->core, e->ns, &table));
    for (size_t i = 0; table != NULL && i < table->n; i++) {
        if (mln_bytes_is(mln_bytes_of(table->mounts[i].uuid), e->uuid)) {
            struct mln_system_job work = {.table = table,
                                          .mount = &table->mounts[i],
                                          .name = "errand",
                                          .fn = answered,
                                          .arg = e};
            return mln_system_work(&e->cx, e->core, &work, topics);
        }
    }
    return MLN_OK; /* unmounted meanwhile */
}

static void conclude(struct errand *e)
{
    struct mln_run run = {.core = e->core, .rq = {.cx = &e->cx}, .topics = mln_array(&e->cx)};
    struct mln_err err = MLN_OK;
    (void)pthread_rwlock_rdlock(&e->core->gate);
    for (int i = 0; atomic_load(&e->core->is_open) && i < TRIES_MAX; i++) {
        mln_cx_clear(&e->cx);
        err = conclude_once(e, run.topics);
        if (!mln_is(err, MLN_E_CONFLICT)) {
            break;
        }
    }
    (void)pthread_rwlock_unlock(&e->core->gate);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_WARN, "core", &e->cx, "what was asked outside came to nothing");
    }
    mln_topics_publish(&run);
}

static void *errand_main(void *arg)
{
    struct errand *e = arg;
    struct mln_core *core = e->core;
    struct mln_arena *arena = e->arena;
    const struct mln_core_config *config = &core->config;
    if (mln_failed(config->reach(config->arg, &e->cx, e->ask, &e->answer))) {
        e->answer = NULL;
        e->why = mln_text_dup(&e->cx, mln_bytes_of(e->cx.text));
        mln_cx_clear(&e->cx);
    }
    conclude(e);
    mln_arena_free(arena); /* the errand lies in it */
    end(core);
    return NULL;
}

/* In an arena of its own: the request is over long before. */
static struct errand *errand_new(struct mln_request *rq, const struct mln_value *ask, mln_then then,
                                 const struct mln_value *arg)
{
    struct mln_arena *arena = mln_arena_new(MLN_REQUEST_ARENA_BYTES, false);
    struct mln_cx cx;
    if (arena == NULL) {
        return NULL;
    }
    mln_cx_init(&cx, arena);
    struct errand *e = MLN_NEW(&cx, struct errand);
    if (e != NULL) {
        *e = (struct errand){.core = mln_core_of(rq), .arena = arena, .then = then};
        mln_cx_init(&e->cx, arena);
        e->ask = mln_value_dup(&e->cx, ask);
        e->arg = mln_value_dup(&e->cx, arg);
        e->ns = mln_bytes_dup(&e->cx, rq->mount->view.ns);
        e->uuid = mln_text_dup(&e->cx, mln_bytes_of(rq->mount->uuid));
        (void)mln_reach_target(&e->cx, ask, &e->target);
    }
    if (e == NULL || mln_failed(mln_cx_err(&e->cx)) || e->target == NULL) {
        mln_arena_free(arena);
        return NULL;
    }
    return e;
}

static bool start(struct errand *e)
{
    pthread_attr_t attr;
    pthread_t id;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool is_started = pthread_create(&id, &attr, errand_main, e) == 0;
    (void)pthread_attr_destroy(&attr);
    return is_started;
}

struct mln_err mln_errand(struct mln_request *rq, const struct mln_value *ask, mln_then then,
                          const struct mln_value *arg)
{
    struct mln_core *core = mln_core_of(rq);
    const char *target = NULL;
    if (core->config.reach == NULL) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "this server reaches nothing outside");
    }
    MLN_TRY(mln_reach_target(rq->cx, ask, &target));
    if (!begin(core)) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "%u things are asked outside already", ERRANDS_MAX);
    }
    struct errand *e = errand_new(rq, ask, then, arg);
    if (e == NULL || !start(e)) {
        mln_arena_free(e != NULL ? e->arena : NULL);
        end(core);
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory to ask outside");
    }
    return MLN_OK;
}
