/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: ordered keys, snapshot reads, atomic batches with compare conditions, prefix scans. It
 * sees ciphertext values only. One contract, one conformance suite (test/unit/store/conformance.h),
 * several engines: lmdb (embedded default), fault (in memory; fails, tears, stalls and forgets
 * unsynced writes on command).
 *
 * Every value carries the version (commit number) of the batch that wrote it; a condition compares
 * it. A group committer turns all waiting batches into one durable transaction; a batch is reported
 * done only when it is durable.
 *
 * Keys: 1..MLN_STORE_KEY_MAX bytes, any bytes, ordered as by memcmp. The lmdb engine keeps keys
 * above 511 bytes listable by its own ordered scheme. Values: 0..MLN_STORE_VALUE_MAX bytes.
 */
#pragma once

#include "base/arena.h"

#define MLN_STORE_KEY_MAX       4096
#define MLN_STORE_VALUE_MAX     (64u << 20)
#define MLN_STORE_BATCH_OPS_MAX 65536u

struct mln_store;
struct mln_snap;

struct mln_store_config {
    const char *dir;        /* lmdb: the folder (made when missing, mode 0700) */
    uint64_t map_bytes;     /* lmdb: most it may grow to; 0 = 64 GiB (sparse) */
    uint64_t reserve_bytes; /* kept back so that relief batches work on a full disk; 0 = 64 MiB */
    bool no_sync;           /* tests only */
    /*
     * lmdb: look only, beside the process that has it open (backup). Every batch fails; nothing is made that is not there:
     * NOT_FOUND. A store of an older format is read as it is.
     */
    bool is_reader;
};

/* ---- reading ---- */
/*
 * A consistent view; many may be open, each short-lived (a long-lived one pins old pages). One
 * thread uses a snap.
 */
struct mln_err mln_snap_begin(struct mln_cx *cx, struct mln_store *store, struct mln_snap **ret);
void mln_snap_end(struct mln_snap *snap);
void mln_snap_drop(struct mln_snap **snap);
/* ret_value is borrowed until the snap ends. NOT_FOUND leaves *ret_version = 0. */
struct mln_err mln_snap_get(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes key,
                            struct mln_bytes *ret_value, uint64_t *ret_version);
/*
 * Next key of `prefix` that is > `after` (empty = from the start) in order; NOT_FOUND at the end.
 * Results borrowed until the next call or the end of the snap; ret_value may be NULL.
 */
struct mln_err mln_snap_next(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes prefix,
                             struct mln_bytes after, struct mln_bytes *ret_key,
                             struct mln_bytes *ret_value);
/*
 * The same, but the first key of `prefix` that is >= `from`: to skip a folder, go on from its name
 * with '0' behind ('/' + 1).
 */
struct mln_err mln_snap_from(struct mln_cx *cx, struct mln_snap *snap, struct mln_bytes prefix,
                             struct mln_bytes from, struct mln_bytes *ret_key,
                             struct mln_bytes *ret_value);

/* ---- writing ---- */
enum mln_write_op { MLN_WRITE_PUT, MLN_WRITE_DELETE, MLN_WRITE_EXPECT };
struct mln_write {
    enum mln_write_op op;
    struct mln_bytes key;
    struct mln_bytes value; /* PUT */
    uint64_t version;       /* EXPECT: the key's version must be this (0 = absent) */
};
/*
 * A batch: all or nothing. Expectations are checked before any write of it; writes happen in order.
 * It and what it points to must live until `done` was called.
 * is_relief   may use the reserve when the disk is full (seal, revoke, delete, prune)
 * tag         for the sequencer (ledger's record); the store does not look at it
 * done        called once, on the committer's thread, when durable or refused: it must not block
 * result      OK, CONFLICT (an expectation failed: nothing of the batch was done), INVALID,
 *             TOO_LARGE, FULL, IO; valid in and after done
 */
struct mln_batch {
    struct mln_write *writes;
    size_t n;
    bool is_relief;
    void *tag;
    void (*done)(struct mln_batch *batch);
    void *arg;
    struct mln_err result;
    uint64_t version;       /* of the commit, when OK */
    struct mln_batch *next; /* private */
};
void mln_store_submit(struct mln_store *store,
                      struct mln_batch *batch); /* any thread; never blocks on the disk */
struct mln_err mln_store_commit(struct mln_cx *cx, struct mln_store *store,
                                struct mln_batch *batch); /* submit and wait; sets done itself */

/*
 * The sequencer: called on the committer's thread inside each transaction, after conditions were
 * checked and writes applied, with the batches that will commit; it may write more rows (the
 * ledger's) into the same transaction through `w`. If it returns an error the whole group fails
 * with it. A group that does not fit is tried again batch by batch: each try is a new transaction
 * with its own `sequence` and `after`, so nothing may be kept of a try whose `after` said false.
 * mln_store_set_sequencer waits for the transaction that runs; not from the committer's thread.
 * `after` is called once the transaction is durable (ok) or not, before the batches' `done`.
 * mln_store_kick asks for a transaction even when no batch waits (soon, coalesced).
 */
struct mln_store_writer;
struct mln_err mln_writer_put(struct mln_cx *cx, struct mln_store_writer *w, struct mln_bytes key,
                              struct mln_bytes value);
struct mln_err mln_writer_delete(struct mln_cx *cx, struct mln_store_writer *w,
                                 struct mln_bytes key);
struct mln_err mln_writer_get(struct mln_cx *cx, struct mln_store_writer *w, struct mln_bytes key,
                              struct mln_bytes *ret_value);
struct mln_sequencer {
    struct mln_err (*sequence)(void *arg, struct mln_cx *cx, struct mln_store_writer *w,
                               struct mln_batch *const *batches, size_t n);
    void (*after)(void *arg, bool ok);
    void *arg;
};
void mln_store_set_sequencer(struct mln_store *store,
                             const struct mln_sequencer *sequencer); /* NULL removes */
void mln_store_kick(struct mln_store *store);

/*
 * Everything anew: in one transaction all rows go and those come that `rows` puts. When it fails, or `rows` does, the store is
 * what it was. Runs on the caller's thread; batches wait meanwhile. No sequencer may be set (PRECONDITION): its log would be of
 * other rows. errors FULL, IO, TOO_LARGE, PRECONDITION, and those of `rows`
 */
struct mln_store_fill {
    struct mln_err (*rows)(void *arg, struct mln_cx *cx, struct mln_store_writer *w);
    void *arg;
};
struct mln_err mln_store_replace(struct mln_cx *cx, struct mln_store *store, const struct mln_store_fill *fill);

struct mln_store_stat {
    uint64_t version; /* last commit */
    uint64_t bytes;   /* used on disk */
    uint64_t batches, commits, conflicts;
    bool is_full; /* the last ordinary batch was refused for space */
};
void mln_store_stat(struct mln_store *store, struct mln_store_stat *ret);

/* ---- engines ---- */
/*
 * lmdb. One process opens a folder at a time (lock file): EXISTS otherwise. errors IO, FULL,
 * CORRUPT, UNSUPPORTED (newer format, named)
 */
struct mln_err mln_store_open_lmdb(struct mln_cx *cx, const struct mln_store_config *config,
                                   struct mln_store **ret);
/* fault: in memory, with a controller for tests. */
struct mln_store_fault {
    uint64_t fail_commit_at; /* n-th commit from now fails with IO; 0 = off */
    bool fail_from_then_on;
    bool is_full;         /* ordinary commits: FULL; relief ones work while reserve lasts */
    int64_t stall_ns;     /* each commit takes this long */
    bool forget_unsynced; /* on mln_store_fault_crash, commits since the last sync are lost */
    bool tear_last;       /* on crash the last commit is half there: noticed and dropped whole */
};
struct mln_err mln_store_open_fault(struct mln_cx *cx, struct mln_store **ret,
                                    struct mln_store_fault **ret_control);
struct mln_err mln_store_fault_crash(
    struct mln_cx *cx,
    struct mln_store *store); /* lose what a power cut would lose; reopen in place */

/* Finishes what was submitted, then closes. NULL is fine. */
void mln_store_close(struct mln_store *store);
