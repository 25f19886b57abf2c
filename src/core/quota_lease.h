/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lease counts: how many leases and tokens that expire may live below a path. A transaction notes what it makes and ends
 * (mln_txn_tally); its commit claims the room before and settles afterwards, so that the counts in memory are exact. They are counted
 * anew from the store at unseal and when a rule changes.
 */
#pragma once

#include <pthread.h>

#include "barrier/txn.h"
#include "contract/request.h"

#define MLN_LEASE_QUOTAS_MAX 256u /* rules of one server: each lease that is made or ends is compared with all */

struct mln_core;

struct mln_lease_rule {
    char *path, *role; /* as in struct mln_quota, from the root; role "" = any. A rule with a role stands for an auth mount */
    bool is_inheritable; /* also counts what lies in namespaces below `path` */
    int64_t max, count;
};

/* Like a lock of readers and writers, but one thread may enter and another leave: commits end on the committer's. */
struct mln_lease_gate {
    pthread_mutex_t lock;
    pthread_cond_t free;
    unsigned inside, waiting; /* waiting: who wants to close; nobody enters meanwhile */
    bool is_closed;
};

/* Kept with the core. gate: commits that change a count are inside, a count from the store closes it. */
struct mln_lease_quotas {
    struct mln_lease_gate gate;
    pthread_mutex_t lock;
    char **names; /* of the rules, in their order */
    struct mln_lease_rule *rules;
    size_t n;
};

/* What one commit holds until it is settled. */
struct mln_lease_claim {
    bool is_held;
    int64_t *net; /* for each rule; NULL = no rules */
};

void mln_lease_quotas_init(struct mln_lease_quotas *q);
void mln_lease_quotas_drop(struct mln_lease_quotas *q);
void mln_lease_quotas_forget(struct mln_core *core); /* the server is sealed */
/* Read the rules and count. MEMORY and as mln_txn_get: the rules of before stay in force. */
struct mln_err mln_lease_quotas_load(struct mln_cx *cx, struct mln_core *core);
/* Leases that count for this rule now; 0 when there is none of that name. */
int64_t mln_lease_quota_count(struct mln_core *core, struct mln_bytes name);
/*
 * Room for what a transaction is about to commit. Nothing is held after an error.
 * errors LIMIT (`path` is named as the request's), MEMORY
 */
struct mln_err mln_lease_claim(struct mln_cx *cx, struct mln_core *core, const struct mln_tally *tallies,
                               struct mln_bytes path, struct mln_lease_claim *ret);
/* Any thread, also the committer's. */
void mln_lease_settle(struct mln_core *core, struct mln_lease_claim *claim, bool is_committed);
