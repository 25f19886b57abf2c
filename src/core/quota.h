/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits: how many requests a source may make below a path. The rules lie in view "root/quota/" and are read into memory when one
 * changes; a bucket is kept for each rule and source, in a table of fixed size, so that a flood costs no memory.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "contract/request.h"

#define MLN_QUOTAS_MAX        256u   /* rules of one server: each is looked at by each request */
#define MLN_QUOTA_BUCKETS     16384u /* sources in sight at once: 2 MiB */
#define MLN_QUOTA_SOURCE_MAX  48u    /* bytes of an address as text */

struct mln_core;
struct mln_run;
struct mln_txn;

struct mln_quota {
    char *name, *path; /* path: "" = everything; a final "*" or "/" = all below; else this path alone */
    double rate;       /* requests an interval */
    int64_t interval_ns, block_ns;
    uint64_t id;       /* new with each change of the rules, so that old buckets count for nothing */
};

struct mln_quota_bucket {
    uint64_t id; /* 0 = free */
    char source[MLN_QUOTA_SOURCE_MAX];
    double left;
    int64_t last_ns, blocked_until_ns;
};

struct mln_quotas {
    pthread_mutex_t lock;
    atomic_bool has_any; /* without rules the lock is not taken */
    struct mln_quota *rules;
    size_t n;
    char **exempt; /* NULL-ended */
    bool shows_headers;
    struct mln_quota_bucket *buckets; /* made with the first rule */
    uint64_t last_id, hash_key;
};

/* What a limited request is told. */
struct mln_rate {
    int64_t limit, left, reset_s; /* limit 0: no rule */
    bool is_shown;
};

void mln_quotas_init(struct mln_quotas *q);
void mln_quotas_drop(struct mln_quotas *q);
void mln_quotas_forget(struct mln_core *core); /* the server is sealed */
/* Read the rules. MEMORY and as mln_txn_get: the rules of before stay in force. */
struct mln_err mln_quotas_load(struct mln_cx *cx, struct mln_core *core);
/* One request from `source` on `path`. LIMIT: too many. ret says what the answer's headers say. */
struct mln_err mln_quotas_take(struct mln_cx *cx, struct mln_quotas *q, struct mln_bytes path,
                               const char *source, int64_t now_ns, struct mln_rate *ret);

/* Does a rule's path ("" = everything; a final "*" or "/" = all below) cover this one? */
bool mln_quota_covers(struct mln_bytes rule, struct mln_bytes path);

/* Rows; NOT_FOUND without text. */
static inline struct mln_view mln_quota_view(void)
{
    return (struct mln_view){.ns = MLN_BYTES("root"), .prefix = MLN_BYTES("root/quota/")};
}
/* The stored settings, or the usual ones: {"enable_rate_limit_...", "rate_limit_exempt_paths"} */
struct mln_err mln_quotas_config(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret);
