/* SPDX-License-Identifier: Apache-2.0 */
/* Threads over a row of items; what it promises stands in digest_pool.h. */
#include "artifact/digest_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define PROGRESS_EVERY_NS 100000000 /* ten a second: STYLE, "Command line", rule 6 */
#define WAIT_NS           5000000

struct pool {
    struct mln_work *work;
    _Atomic size_t next;
    _Atomic bool is_over;
    _Atomic unsigned active;
    pthread_mutex_t lock; /* over fault and fault_at */
    struct mln_cx fault;
    size_t fault_at;
    int64_t shown_ns;
};

struct pool_thread {
    struct pool *pool;
    unsigned worker;
    pthread_t id;
};

unsigned mln_work_threads(const struct mln_work *work)
{
    long cores = work->threads != 0 ? (long)work->threads : sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = cores < 1                      ? 1
                 : cores > MLN_WORK_THREADS_MAX ? MLN_WORK_THREADS_MAX
                                                : (unsigned)cores;
    if (n > work->n_items) {
        n = (unsigned)work->n_items;
    }
    return n == 0 ? 1 : n;
}

static void show(struct pool *pool, bool is_last)
{
    struct mln_work *work = pool->work;
    if (work->progress.step == NULL) {
        return;
    }
    int64_t now = mln_mono_ns();
    if (is_last || now - pool->shown_ns >= PROGRESS_EVERY_NS) {
        pool->shown_ns = now;
        work->progress.step(work->progress.arg, atomic_load(&work->done_bytes), work->all_bytes);
    }
}

void mln_work_step(struct mln_work *work, unsigned worker, uint64_t bytes)
{
    atomic_fetch_add(&work->done_bytes, bytes);
    if (worker == 0) {
        show(work->state, false);
    }
}

bool mln_work_is_over(const struct mln_work *work)
{
    return atomic_load(&((struct pool *)work->state)->is_over);
}

static void keep_fault(struct pool *pool, const struct mln_cx *cx, size_t index)
{
    pthread_mutex_lock(&pool->lock);
    if (!atomic_load(&pool->is_over) || index < pool->fault_at) {
        pool->fault = *cx;
        pool->fault_at = index;
        atomic_store(&pool->is_over, true);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void work_off(struct pool *pool, unsigned worker)
{
    struct mln_cx cx;
    while (!atomic_load(&pool->is_over)) {
        size_t index = atomic_fetch_add(&pool->next, 1);
        if (index >= pool->work->n_items) {
            return;
        }
        mln_cx_init(&cx, NULL);
        struct mln_err err = pool->work->item(&cx, pool->work, worker, index);
        if (mln_failed(err)) {
            cx.fault = err;
            keep_fault(pool, &cx, index);
        }
    }
}

static void *thread_main(void *arg)
{
    struct pool_thread *thread = arg;
    work_off(thread->pool, thread->worker);
    atomic_fetch_sub(&thread->pool->active, 1);
    return NULL;
}

/*
 * Starts up to n - 1 threads; fewer when the system gives no more, the caller's thread does the
 * work then.
 */
static unsigned start_threads(struct pool *pool, struct pool_thread *threads, unsigned n)
{
    unsigned started = 0;
    for (unsigned i = 1; i < n; i++) {
        threads[i] = (struct pool_thread){.pool = pool, .worker = i};
        atomic_fetch_add(&pool->active, 1);
        if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0) {
            atomic_fetch_sub(&pool->active, 1);
            break;
        }
        started = i;
    }
    return started;
}

struct mln_err mln_work_run(struct mln_cx *cx, struct mln_work *work)
{
    struct pool pool = {.work = work, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct pool_thread threads[MLN_WORK_THREADS_MAX];
    mln_cx_init(&pool.fault, NULL);
    pool.shown_ns = mln_mono_ns();
    work->state = &pool;
    unsigned started = start_threads(&pool, threads, mln_work_threads(work));
    work_off(&pool, 0);
    while (work->progress.step != NULL && atomic_load(&pool.active) > 0) {
        mln_sleep_ns(WAIT_NS);
        show(&pool, false);
    }
    for (unsigned i = 1; i <= started; i++) {
        pthread_join(threads[i].id, NULL);
    }
    show(&pool, true);
    work->state = NULL;
    pthread_mutex_destroy(&pool.lock);
    if (!atomic_load(&pool.is_over)) {
        return MLN_OK;
    }
    return mln_fail_at(cx, (enum mln_code)pool.fault.fault.code,
                       pool.fault.file != NULL ? pool.fault.file : __FILE__, pool.fault.line, "%s",
                       pool.fault.text);
}
