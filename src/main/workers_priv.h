/* SPDX-License-Identifier: Apache-2.0 */
/* What workers.c and workers_lane.c share: rings with their threads, and requests' memory. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "main/workers.h"
#include "net/front.h"

#define LANES_MAX MLN_FRONT_THREADS_MAX

/* A request: its memory, and what core keeps of it while its commit is on its way. */
struct slot {
    struct lane *lane;
    struct worker *worker; /* the thread that works on it */
    struct slot *next;     /* spare, or ready */
    struct mln_cx cx;
    struct mln_buf in, out;
    struct mln_core_call call;
    uint64_t id;
    bool is_blocked; /* counted in workers.blocked */
};

struct lane {
    struct workers *all;
    uint64_t generation;
    unsigned index;
    struct mln_ring *ring;
    struct mln_ring_fds fds;
    pthread_mutex_t reply; /* sends and flushes */
    pthread_mutex_t lock;  /* what follows */
    pthread_cond_t free;   /* the ring wants a leader */
    bool has_leader;
    unsigned idle; /* threads that wait for the lead */
    unsigned refs; /* threads, and one for the list */
    struct slot *spare;
    unsigned n_spare;
    _Atomic(struct slot *) ready; /* handed back by the committer, last one first */
    _Atomic unsigned waiting;     /* slots put aside; the leader's */
    _Atomic unsigned handing;     /* committer's calls in slot_ready: the lane stays */
    _Atomic bool ended;
    _Atomic bool is_broken;
};

struct workers {
    struct workers_config config;
    pthread_mutex_t lock; /* the list and the count */
    pthread_cond_t empty;
    struct lane *lanes[LANES_MAX];
    unsigned n_lanes;
    unsigned n_threads;
    _Atomic unsigned blocked;
};

struct worker {
    struct lane *lane;
    struct slot *slot; /* for the next request; NULL: one is taken */
    bool is_leader;
    unsigned unrung; /* answers sent since the last bell */
};

struct slot *slot_take(struct lane *lane); /* NULL: no memory */
void slot_keep(struct slot *slot);         /* for the next request; cleared */
void slot_free(struct slot *slot);
void slot_clear(struct slot *slot); /* its request is over: wiped */
void slots_trim(struct lane *lane, unsigned keep);
/* core's `ready`, any thread: the slot is handed to the lane's leader. */
void slot_ready(void *arg);

/* Takes the descriptors, also when it fails. */
struct mln_err lane_new(struct mln_cx *cx, struct workers *all, uint64_t generation,
                        struct mln_ring_fds *fds, struct lane **ret);
void lane_unref(struct lane *lane);
void lane_end(struct lane *lane); /* all threads shall leave it; whoever sleeps is woken */
void lane_broken(struct lane *lane, const char *why);
