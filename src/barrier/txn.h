/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What engines see of the store: one transaction a request. It reads a snapshot through the
 * barrier, overlaid with its own writes; a transaction that writes also expects that everything it
 * read is unchanged (optimistic), so that read-modify-write needs no lock: on CONFLICT the pipeline
 * runs the handler again. Keys here are relative to a view ("<ns>/<mount-uuid>/"), which a mount
 * cannot leave.
 */
#pragma once

#include "barrier/barrier.h"
#include "contract/view.h"

struct mln_txn;

/* All memory is in the arena of cx, which must outlive the transaction. */
struct mln_err mln_txn_begin(struct mln_cx *cx, struct mln_store *store,
                             struct mln_barrier *barrier, struct mln_txn **ret);
/* One beside another: newer, with the memory of its own cx, so that much can be read piece by piece. */
struct mln_err mln_txn_beside(struct mln_cx *cx, const struct mln_txn *txn, struct mln_txn **ret);
/*
 * From here on views without a namespace are of this one (at first the root); returns the one of before. ns is borrowed and must live
 * as long as the transaction.
 */
struct mln_bytes mln_txn_enter(struct mln_txn *txn, struct mln_bytes ns);
struct mln_bytes mln_txn_home(const struct mln_txn *txn);
/* Drops the snapshot; writes that were not handed on are forgotten. */
void mln_txn_end(struct mln_txn *txn);
void mln_txn_drop(struct mln_txn **txn);

/*
 * NOT_FOUND when absent (no text is recorded on cx for it: it is an ordinary answer). ret lives in
 * the arena.
 */
struct mln_err mln_txn_get(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                           struct mln_bytes key, struct mln_bytes *ret);
struct mln_err mln_txn_get_value(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                 struct mln_bytes key, const struct mln_value **ret);
struct mln_err mln_txn_put(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                           struct mln_bytes key, struct mln_bytes plain);
struct mln_err mln_txn_put_value(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                 struct mln_bytes key, const struct mln_value *value);
struct mln_err mln_txn_delete(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                              struct mln_bytes key);
/*
 * One level below `prefix` (empty or ending in "/"): names, and "folder/" once for what lies
 * deeper; sorted. An array of strings. max 0 = MLN_LIST_MAX; more entries than that is TOO_LARGE.
 */
#define MLN_LIST_MAX 1000000u /* names in one answer: about 64 MB of JSON */
struct mln_err mln_txn_list(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                            struct mln_bytes prefix, const struct mln_value **ret);
/* Delete everything below `prefix` (of the view). */
struct mln_err mln_txn_delete_all(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                  struct mln_bytes prefix);

/*
 * What this transaction changes in counts that its owner keeps, newest first: +1 of a thing of this namespace, path and role, or -1. The
 * list is in the arena and outlives the transaction.
 */
struct mln_tally {
    const struct mln_tally *next;
    struct mln_bytes ns, path, role;
    int delta;
};
struct mln_err mln_txn_tally(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns, struct mln_bytes path,
                             struct mln_bytes role, int delta);
const struct mln_tally *mln_txn_tallies(const struct mln_txn *txn); /* NULL = none */

bool mln_txn_has_writes(const struct mln_txn *txn);
/* May use the disk reserve: revoke, delete, seal, prune. */
void mln_txn_mark_relief(struct mln_txn *txn);
/*
 * The batch to submit: writes (ciphertexts) and expectations; also for each write the SHA-256 of
 * its ciphertext (zero for a delete), which goes into the mutation's ledger record: an array of
 * [store key (bytes), digest (bytes or null)]. The batch does not need the transaction: end it
 * before waiting for the commit, its snapshot pins pages of the store.
 */
struct mln_err mln_txn_batch(struct mln_cx *cx, struct mln_txn *txn, struct mln_batch *ret,
                             const struct mln_value **ret_digests);
