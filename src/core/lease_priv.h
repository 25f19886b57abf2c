/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of leases share: rows (lease.c), their end (lease_end.c), ticks (lease_tick.c), sys/leases (lease_paths.c).
 * A lease is an object: {"id", "path", "mount": uuid, "token": name or "", "created_ns", "expires_ns", "ttl_s", "max_ns": latest end,
 * "renewable", "internal"?, "renewed_ns"?, "tries"?, "error"?, "bad"?: true when revoking failed for good}.
 */
#pragma once

#include "core/token_priv.h"

static inline struct mln_view mln_lease_view(void)
{
    return mln_core_view("root/lease/");
}
#define MLN_LEASE_PREFIX "root/lease/"
/* The namespace of a lease's id: "<path>/<24 characters>.<namespace>", without one of the root. */
static inline struct mln_bytes mln_lease_ns(struct mln_bytes id)
{
    size_t at = id.len;
    while (at > 0 && id.ptr[at - 1] != '/') {
        at--;
    }
    return mln_token_name_ns(mln_bytes_from(id, at));
}
/* Where ids below a path lie: "id/<path>", "ns/<namespace>/<path>". */
static inline struct mln_bytes mln_lease_id_key(struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes path)
{
    return mln_bytes_eq(ns, MLN_NS_ROOT) ? mln_bytes_format(cx, "id/%.*s", MLN_FMT(path))
                                         : mln_bytes_format(cx, "ns/%.*s/%.*s", MLN_FMT(ns), MLN_FMT(path));
}

/* NOT_FOUND without text. */
struct mln_err mln_lease_get(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                             const struct mln_value **ret);
/* The path in front of its id, in its namespace, by which it counts for quotas. */
struct mln_bytes mln_lease_quota_path(struct mln_bytes id);
/* Put a changed lease, moving its row of expiry; old NULL: a new one. */
struct mln_err mln_lease_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                             const struct mln_value *lease);
struct mln_err mln_lease_remove(struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *lease);
/* Its end is now: the next tick revokes it; no longer listed with its token. */
struct mln_err mln_lease_make_due(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_value *lease, int64_t now_ns);
/* Leases of a token that is gone become due, at most max; *ret_n how many. */
struct mln_err mln_lease_token_gone(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                    const char *name, size_t max, size_t *ret_n);
/* The engine's part of a renewal and of a revocation. rq is of who asks, run->table has the mounts. */
struct mln_err mln_lease_renew(struct mln_request *rq, struct mln_reply *re,
                               const struct mln_value *lease, int64_t asked_s);
/* Undo what the lease handed out and delete its rows. is_forced: errors of the engine do not matter. */
struct mln_err mln_lease_end(struct mln_request *rq, const struct mln_value *lease, bool is_forced);

/* lease_end.c, for ticks: each with transactions and records of their own. */
struct mln_lease_work {
    struct mln_core *core;
    struct mln_mount_table *table;
    int64_t now_ns;
    const char *slow
        [16]; /* mounts whose revocation failed in this tick: the others of theirs wait for the next */
    size_t slow_n;
};
/* Rows of "expiry/", as read: end these leases, one batch; those that fail are tried again later. */
struct mln_err mln_lease_end_due(struct mln_lease_work *work, struct mln_cx *cx,
                                 const struct mln_value *rows);
/* One batch of the job that empties this prefix; *ret_more: call again, false: it is done or has to wait for the next tick. */
struct mln_err mln_lease_sweep(struct mln_lease_work *work, struct mln_cx *cx, struct mln_bytes ns,
                               struct mln_bytes prefix, bool *ret_more);
/* Revoke all below a path's prefix ("pki/issue/", "auth/userpass/"): at most max now, *ret_all: nothing was left over. */
struct mln_err mln_lease_end_prefix(struct mln_request *rq, struct mln_bytes prefix, bool is_forced,
                                    size_t max, bool *ret_all);
/* What is left goes in ticks. */
struct mln_err mln_lease_queue_prefix(struct mln_request *rq, struct mln_bytes prefix,
                                      bool is_forced);
