/* SPDX-License-Identifier: Apache-2.0 */
/* Slots and lanes: see workers_priv.h and workers.c. */
#include <sched.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "main/main_priv.h"
#include "main/workers_priv.h"

#define BUFFER_KEPT (1u << 18) /* of a buffer between requests */
#define SPARE_KEPT  32u        /* slots of a ring between requests; all but one go after IDLE_S */

/* ---- slots ---- */

void slot_free(struct slot *slot)
{
    if (slot != NULL) {
        mln_buf_drop(&slot->in);
        mln_buf_drop(&slot->out);
        mln_arena_free(slot->cx.arena);
        mln_free(slot);
    }
}

static struct slot *slot_new(struct lane *lane)
{
    struct slot *slot = mln_alloc(sizeof(*slot));
    struct mln_arena *arena =
        mln_arena_new(MLN_REQUEST_ARENA_BYTES, lane->all->config.lock_requests);
    if (slot == NULL || arena == NULL) {
        mln_free(slot);
        mln_arena_free(arena);
        return NULL;
    }
    slot->lane = lane;
    slot->in = (struct mln_buf){.is_secret = true, .max = MLN_RING_MESSAGE_MAX};
    slot->out = slot->in;
    mln_cx_init(&slot->cx, arena);
    return slot;
}

struct slot *slot_take(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    struct slot *slot = lane->spare;
    if (slot != NULL) {
        lane->spare = slot->next;
        lane->n_spare--;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return slot != NULL ? slot : slot_new(lane);
}

void slot_keep(struct slot *slot)
{
    struct lane *lane = slot->lane;
    (void)pthread_mutex_lock(&lane->lock);
    bool fits = lane->n_spare < SPARE_KEPT;
    if (fits) {
        slot->next = lane->spare;
        lane->spare = slot;
        lane->n_spare++;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    if (!fits) {
        slot_free(slot);
    }
}

/* Spare slots go, but for `keep`. */
void slots_trim(struct lane *lane, unsigned keep)
{
    for (;;) {
        (void)pthread_mutex_lock(&lane->lock);
        struct slot *slot = lane->n_spare > keep ? lane->spare : NULL;
        if (slot != NULL) {
            lane->spare = slot->next;
            lane->n_spare--;
        }
        (void)pthread_mutex_unlock(&lane->lock);
        if (slot == NULL) {
            return;
        }
        slot_free(slot);
    }
}

/* On the committer's thread: the first slot of those that wait for the leader wakes it. */
void slot_ready(void *arg)
{
    struct slot *slot = arg;
    struct lane *lane = slot->lane;
    uint64_t one = 1;
    atomic_fetch_add(&lane->handing, 1);
    struct slot *first = atomic_load(&lane->ready);
    do {
        slot->next = first;
    } while (!atomic_compare_exchange_weak(&lane->ready, &first, slot));
    if (first == NULL) {
        ssize_t n = write(lane->fds.bell_core, &one, sizeof(one));
        (void)n;
    }
    atomic_fetch_sub(&lane->handing, 1);
}

static void forget(struct mln_buf *buf)
{
    if (buf->cap > BUFFER_KEPT) {
        mln_buf_drop(buf);
    } else {
        mln_buf_clear(buf);
    }
}

/* The slot's request is over. */
void slot_clear(struct slot *slot)
{
    if (slot->is_blocked) {
        slot->is_blocked = false;
        atomic_fetch_sub(&slot->lane->all->blocked, 1);
    }
    forget(&slot->in);
    forget(&slot->out);
    mln_cx_clear(&slot->cx);
    mln_arena_reset(slot->cx.arena);
}

/* ---- lanes ---- */

static void lane_free(struct lane *lane)
{
    while (atomic_load(&lane->handing) > 0) {
        (void)sched_yield(); /* the committer has a few instructions to go */
    }
    slots_trim(lane, 0);
    mln_ring_free(lane->ring);
    mln_ring_fds_close(&lane->fds);
    (void)pthread_mutex_destroy(&lane->reply);
    (void)pthread_mutex_destroy(&lane->lock);
    (void)pthread_cond_destroy(&lane->free);
    mln_free(lane);
}

void lane_unref(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    bool is_last = --lane->refs == 0;
    (void)pthread_mutex_unlock(&lane->lock);
    if (is_last) {
        lane_free(lane);
    }
}

void lane_end(struct lane *lane)
{
    uint64_t one = 1;
    (void)pthread_mutex_lock(&lane->lock);
    atomic_store(&lane->ended, true);
    (void)pthread_cond_broadcast(&lane->free);
    (void)pthread_mutex_unlock(&lane->lock);
    ssize_t n = write(lane->fds.bell_core, &one, sizeof(one));
    (void)n;
}

void lane_broken(struct lane *lane, const char *why)
{
    if (!atomic_exchange(&lane->is_broken, true) && !atomic_load(&lane->ended)) {
        mln_log(MLN_LOG_ERROR, "core", "ring %u of front's generation %llu is dropped: %s",
                lane->index, (unsigned long long)lane->generation, why);
        lane->all->config.broken(lane->all->config.arg, lane->generation);
    }
    lane_end(lane);
}

struct mln_err lane_new(struct mln_cx *cx, struct workers *all, uint64_t generation,
                        struct mln_ring_fds *fds, struct lane **ret)
{
    struct lane *lane = mln_alloc(sizeof(*lane));
    if (lane == NULL) {
        mln_ring_fds_close(fds);
        return mln_fail(cx, MLN_E_MEMORY, "core: out of memory for a ring");
    }
    *lane = (struct lane){.all = all, .generation = generation, .fds = *fds, .refs = 1};
    *fds = (struct mln_ring_fds){-1, -1, -1};
    (void)pthread_mutex_init(&lane->reply, NULL);
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->free, NULL);
    struct mln_err err = mln_ring_attach(cx, &lane->fds, MLN_RING_CORE, &lane->ring);
    if (mln_failed(err)) {
        lane_free(lane);
        return err;
    }
    *ret = lane;
    return MLN_OK;
}
