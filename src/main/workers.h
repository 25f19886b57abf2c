/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core's workers: leader and followers over the rings of one generation of front. Each ring has one
 * leader, who receives and answers; who is about to block hands the ring to a follower first.
 */
#pragma once

#include "core/core.h"
#include "main/core_svid.h"
#include "net/ring.h"

/* Rego recurses: values MLN_REGO_JSON_DEPTH_MAX deep, rules MLN_REGO_CALLS_MAX behind one another. Only what is used is memory. */
#ifdef MLN_SANITIZED
#define WORKER_STACK_BYTES (32u << 20) /* red zones around every variable */
#else
#define WORKER_STACK_BYTES (4u << 20)
#endif

struct workers;

struct workers_config {
    struct mln_core *core;
    /* Who answers instead of core: a node's own. Never puts a call aside. NULL = core */
    struct mln_err (*answer)(void *arg, struct mln_cx *cx, struct mln_core_call *call, struct mln_buf *out);
    const struct mln_secret *keys; /* TLS private key of each listener; {0} = it has none */
    unsigned n_keys;
    struct core_svid *svid; /* what listeners without files show; NULL = there are none */
    bool lock_requests; /* request data in locked memory */
    /* A generation of front broke its ring or said nonsense: end it. Any thread. */
    void (*broken)(void *arg, uint64_t generation);
    void *arg;
};

struct mln_err workers_new(struct mln_cx *cx, const struct workers_config *config,
                           struct workers **ret);
/* Serve these rings and leave the older ones; takes the descriptors, also when it fails. */
struct mln_err workers_attach(struct mln_cx *cx, struct workers *workers, uint64_t generation,
                              struct mln_ring_fds *rings, unsigned n);
/* One message of core to every thread of front (TOPIC). Any thread. */
void workers_publish(struct workers *workers, struct mln_bytes message);
void workers_free(struct workers *workers); /* finishes what runs, waits for all threads */
