/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row of independent items worked off by all cores: threads take the next index until none is
 * left or one failed. It is no queue and keeps no threads: a call starts them and joins them.
 */
#pragma once

#include "base/err.h"

#define MLN_WORK_THREADS_MAX 16 /* more cores than this wait for memory anyway; bounds buffers */

/*
 * How far the work is, for a person: called by the thread that called, about ten times a second.
 * May be {0}.
 */
struct mln_work_progress {
    void (*step)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
    void *arg;
};

struct mln_work {
    /*
     * cx is the thread's own and has no arena; worker is 0..threads-1, for scratch memory of the
     * caller.
     */
    struct mln_err (*item)(struct mln_cx *cx, struct mln_work *work, unsigned worker, size_t index);
    void *arg;
    size_t n_items;
    unsigned threads; /* 0 = as many as the machine has cores */
    struct mln_work_progress progress;
    uint64_t all_bytes;
    _Atomic uint64_t done_bytes; /* items add to it with mln_work_step */
    void *state;                 /* private */
};

/* How many workers a run will have: 1..MLN_WORK_THREADS_MAX, never more than n_items. */
unsigned mln_work_threads(const struct mln_work *work);
/*
 * Run all items. Of several failures the one of the lowest index is reported, so the error does not
 * depend on timing.
 * errors    those of the items
 */
struct mln_err mln_work_run(struct mln_cx *cx, struct mln_work *work);
/* Called inside an item: counts bytes, shows progress when this is the caller's thread. */
void mln_work_step(struct mln_work *work, unsigned worker, uint64_t bytes);
/* True once another item failed: long items may stop early. */
bool mln_work_is_over(const struct mln_work *work);
