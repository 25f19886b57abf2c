/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the committer and the engines. An engine keeps rows, snapshots and one write transaction
 * at a time; batches,
 * expectations, groups, the sequencer and the retries on a full disk are the committer's (store.c),
 * the same for all.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "store/store.h"

#define STORE_GROUP_MAX 1024u /* batches in one transaction: a waiter's delay stays bounded */
#define STORE_GROUP_BYTES                                                                          \
    (32u << 20) /* values in one transaction; a single larger batch goes alone */
#define STORE_GATHER_NS (1000 * 1000) /* at most, for the writers of the last group to come back */
#define STORE_ARENA_BYTES ((size_t)256 << 20) /* for the sequencer, a group at a time */

/*
 * All calls on the committer's side come from one thread at a time; is_relief: the reserve may be
 * used.
 */
struct store_ops {
    void (*close)(struct mln_store *store);
    struct mln_err (*snap_begin)(struct mln_cx *cx, struct mln_store *store, struct mln_snap **ret);
    void (*snap_end)(struct mln_snap *snap);
    struct mln_err (*snap_get)(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes key,
                               struct mln_bytes *ret_value, uint64_t *ret_version);
    /*
     * First key >= from (> when is_after) of the whole store; borrowed until the next seek but one.
     */
    struct mln_err (*snap_seek)(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes from,
                                bool is_after, struct mln_bytes *ret_key,
                                struct mln_bytes *ret_value);
    struct mln_err (*begin)(struct mln_cx *cx, struct mln_store *store, bool is_relief);
    struct mln_err (*get)(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key,
                          struct mln_bytes *ret_value, uint64_t *ret_version);
    struct mln_err (*put)(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key,
                          struct mln_bytes value, uint64_t version);
    struct mln_err (*del)(struct mln_cx *cx, struct mln_store *store, struct mln_bytes key);
    struct mln_err (*commit)(struct mln_cx *cx, struct mln_store *store, uint64_t version);
    void (*abort)(struct mln_store *store);
    uint64_t (*bytes)(struct mln_store *store);
};

struct mln_store {
    const struct store_ops *ops;
    struct mln_cx cx; /* the committer's */
    struct mln_arena *arena;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* queue, flags, statistics */
    pthread_cond_t wake;
    struct mln_batch *first, *last;
    size_t queued;
    size_t gather_for;    /* wake the committer when so many wait; 0 = at the first */
    size_t expected;      /* writers of late: those of the last group, and who waited behind it */
    int64_t commit_ns;    /* what the last group took */
    bool is_kicked, is_closing;
    struct mln_store_stat stat;

    pthread_mutex_t commit_lock; /* held while a group is on its way; guards what follows */
    struct mln_sequencer sequencer;
    bool has_sequencer;
    _Atomic uint64_t version; /* of the last commit; the engine sets it when it opens */
    struct mln_batch *group[STORE_GROUP_MAX], *passed[STORE_GROUP_MAX];
};

struct mln_snap {
    struct mln_store *store;
};

struct mln_store_writer {
    struct mln_store *store;
    uint64_t version;
    size_t writes;
};

/*
 * Engines embed struct mln_store first: start after the engine's own fields are ready, stop before
 * they go.
 */
struct mln_err store_start(struct mln_cx *cx, struct mln_store *store, const struct store_ops *ops);
void store_stop(struct mln_store *store);
