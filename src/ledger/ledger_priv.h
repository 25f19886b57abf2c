/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the ledger: its rows in the store, its journal, its published files. docs/format-ledger.md has the bytes.
 *
 * note ---> journal (pwrite) --+                       +--> publisher: tiles, bundles, checkpoint under <dir>/ledger
 *                              +--> sequencer (store) --+
 * attach -> batch->tag --------+    rows e/ c/ state
 *
 * Locks, outer first: prune_lock; the publisher's run_lock; ledger->lock (state, flags of the threads); then one of the
 * innermost: the journal's, the publisher's (the published view), the strangers'. The sequencer's own fields belong to the
 * committer's thread.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "ledger/ledger.h"
#include "ledger/tlog.h"

#define ENTRY_BYTES    50u
#define ENTRY_VERSION  1u
#define BUNDLE_BYTES   (2u + ENTRY_BYTES) /* of one entry in a bundle: length u16 BE, entry */
#define SALT_BYTES     32u
#define BODY_HEAD      (1u + 8u + 32u)    /* class, time, commitment; the box follows */
#define CONTENT_MAX    (8u << 20)         /* of one record: a batch of 65536 keys lists 6 MiB of digests */
#define NOTE_BYTES_MAX (1u << 20)         /* of a record without a mutation: it must fit the journal many times */
#define TICK_NS        ((int64_t)8000000) /* notes wait this long to be sequenced together: under the 20 ms promised */

#define ROW_PREFIX     "root/ledger/"
#define LOG_KEY        MLN_BYTES(ROW_PREFIX "log")
#define RESTART_KEY    MLN_BYTES(ROW_PREFIX "restart")
#define STATE_KEY      MLN_BYTES(ROW_PREFIX "state")
#define ENTRIES_PREFIX MLN_BYTES(ROW_PREFIX "e/")
#define CONTENT_PREFIX MLN_BYTES(ROW_PREFIX "c/")

struct publisher;
struct journal;
struct strangers;

/* What the newest transaction left: row "root/ledger/state", sealed. */
struct ledger_state {
    struct mln_tlog_edge edge;
    uint64_t mark;   /* all frames of the journal up to this number are sequenced */
    uint64_t pruned; /* contents below this index are forgotten */
};

/* One transaction that is under way; nothing of it counts until `after` said so. */
struct ledger_try {
    struct ledger_state state;
    struct mln_batch *const *batches;
    size_t n;
    size_t taken_to; /* of the journal's queue */
    bool is_open;
};

struct mln_ledger {
    struct mln_store *store;
    struct mln_barrier *barrier;
    struct journal *journal;
    struct publisher *publisher;
    struct strangers *strangers;
    struct mln_secret keys;       /* seed of the checkpoint key 32 | key of the journal's frames 32 */
    struct mln_secret digest_key; /* a struct mln_hmac_key */
    char origin[200];
    char vkey[256];
    int64_t publish_ns;

    pthread_mutex_t lock; /* state, flags */
    pthread_cond_t wake_keeper, wake_publisher, closing;
    struct ledger_state state; /* durable; written by the committer only */
    bool is_closing;
    _Atomic bool keeper_waits;
    bool has_keeper, has_publisher;
    pthread_t keeper, publishing;
    pthread_mutex_t prune_lock; /* one prune at a time */

    /* the committer's */
    struct ledger_try attempt;
    struct mln_buf entries, contents;
    _Atomic bool has_failed;          /* the last transaction did not commit */
    const struct mln_record *prune;   /* under lock: the record that commits a prune, and to where */
    uint64_t prune_to;
};

/* ---- record.c: a record's bytes ---- */
#define LEDGER_SEED(l)        ((l)->keys.ptr)
#define LEDGER_DIGEST_KEY(l)  ((const struct mln_hmac_key *)(const void *)(l)->digest_key.ptr)
#define LEDGER_JOURNAL_KEY(l) ((l)->keys.ptr + 32)
/* body: class u8 | time u64 BE | commitment 32 | box; into record->frame. TOO_LARGE, SEALED, MEMORY */
struct mln_err record_seal(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record, size_t max);
void record_entry(struct mln_bytes body, uint64_t index, uint8_t ret[ENTRY_BYTES]);
/* salt || canonical CBOR, checked against the entry. CORRUPT names the index. */
struct mln_err record_open(struct mln_cx *cx, struct mln_ledger *ledger, const uint8_t entry[ENTRY_BYTES], struct mln_bytes box,
                           struct mln_bytes *ret_plain);
const char *record_class_name(unsigned klass);
uint64_t entry_index(const uint8_t entry[ENTRY_BYTES]);

/* ---- rows.c: the ledger's rows ---- */
struct mln_bytes row_key(struct mln_bytes prefix, uint64_t last, uint8_t to[64]);
struct mln_err state_encode(struct mln_cx *cx, struct mln_ledger *ledger, const struct ledger_state *s, struct mln_bytes *ret);
/* NOT_FOUND when there is none */
struct mln_err state_load(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_snap *snap, struct ledger_state *ret);
/*
 * Walks entries, or contents, in the order of their index. Holds a copy of its row, so that two walks share a snapshot.
 * Zero it but for snap and index; rows_drop when done.
 */
struct rows {
    struct mln_snap *snap;
    uint64_t index; /* of the next one */
    struct mln_buf row;
    uint64_t first, end; /* indexes in the row; first == end: none loaded */
    size_t at;           /* contents: where index `next` begins */
    uint64_t next;
};
void rows_drop(struct rows *rows);
struct mln_err rows_entry(struct mln_cx *cx, struct rows *rows, struct mln_bytes *ret_entry); /* CORRUPT when it is not there */
struct mln_err rows_box(struct mln_cx *cx, struct rows *rows, struct mln_bytes *ret_box);     /* NOT_FOUND when forgotten */
/* Rows that hold keys that need no record: the barrier's own, authenticated by the root key, and the ledger's. */
bool key_is_exempt(struct mln_bytes key);

/* ---- journal.c ---- */
struct mln_err journal_open(struct mln_cx *cx, const char *dir, uint64_t bytes, const uint8_t key[32], uint64_t mark,
                            struct journal **ret);
void journal_close(struct journal *j);
struct mln_err journal_add(struct mln_cx *cx, struct journal *j, struct mln_bytes body);
struct mln_err journal_sync(struct mln_cx *cx, struct journal *j); /* durable, what was added until now */
bool journal_is_idle(struct journal *j);                           /* nothing waits to be sequenced */
uint64_t journal_last(struct journal *j);                          /* number of the newest frame */
bool journal_is_past(struct journal *j, uint64_t number);          /* sequenced up to it */
/* The committer's: waiting frames from place *at on; false at the end. Nothing is taken until journal_done. */
bool journal_next(struct journal *j, size_t *at, uint64_t *ret_number, struct mln_bytes *ret_body);
void journal_done(struct journal *j, size_t at, uint64_t mark);
void journal_failed(struct journal *j); /* a transaction failed: whoever waits for room gives up */

/* ---- sequence.c ---- */
struct mln_err ledger_sequence(void *arg, struct mln_cx *cx, struct mln_store_writer *w, struct mln_batch *const *batches,
                               size_t n);
void ledger_after(void *arg, bool ok);

/* ---- publish.c ---- */
/* Reads what is published; rebuilds when it is damaged. CORRUPT when the store is not what was signed. */
struct mln_err publisher_open(struct mln_cx *cx, struct mln_ledger *ledger, const char *dir, struct publisher **ret);
void publisher_close(struct publisher *p);
struct mln_err publisher_run(struct mln_cx *cx, struct mln_ledger *ledger); /* up to the durable size */
uint64_t publisher_size(struct publisher *p, struct mln_hash *ret_root);
struct mln_err publisher_checkpoint(struct mln_cx *cx, struct publisher *p, struct mln_bytes *ret);
struct mln_err publisher_tile(struct mln_cx *cx, struct publisher *p, int level, uint64_t n, unsigned width, struct mln_bytes *ret);
/* A hash of the published tree, for proofs; arg is the publisher. */
struct mln_err publisher_hash(void *arg, struct mln_cx *cx, unsigned level, uint64_t index, struct mln_hash *ret);

/* ---- strangers.c ---- */
struct strangers *strangers_new(void);
void strangers_free(struct strangers *s);
bool strangers_add(struct strangers *s, struct mln_bytes source, const char *what); /* true: the first of a second */
bool strangers_any(struct strangers *s);
/* Notes those of seconds that are over (all of them when `all`). */
void strangers_note(struct mln_ledger *ledger, bool all);

/* ---- prune.c ---- */
struct mln_err prune_sweep(struct mln_cx *cx, struct mln_ledger *ledger); /* contents below `pruned` that are still there */

/* ---- ledger.c ---- */
struct mln_err ledger_settle(struct mln_cx *cx, struct mln_ledger *ledger); /* sequence what was noted until now; blocks */
/* A record with no values of its own, committed alone; may use the disk reserve. */
struct mln_err ledger_commit(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record);
/* actor, action, resource "ledger", decision "allowed" */
struct mln_value *ledger_content(struct mln_cx *cx, const struct mln_value *actor, const char *action);

/* ---- restore.c: after a restore ---- */
/* What begins a new log, or NULL; object in the arena. INVALID (another origin is configured), CORRUPT */
struct mln_err restart_load(struct mln_cx *cx, struct mln_snap *snap, const char *configured, const struct mln_value **ret);
/* The old log's files to their place; again after an interruption. */
struct mln_err restart_move(struct mln_cx *cx, const char *dir, const struct mln_value *restart);
/* Is this the configured origin, or one that a restore made of it? */
bool restore_origin_fits(struct mln_bytes origin, const char *configured);

/* ---- digests.c: the digest of every value, as the records tell ---- */
struct digests;
void digests_free(struct digests *d);
void digests_drop(struct digests **d);
/* As of index `before` (UINT64_MAX: as of the snapshot). CORRUPT, MEMORY */
struct mln_err digests_read(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_snap *snap, uint64_t before,
                            struct digests **ret);
struct digest_row {
    struct mln_bytes key;
    bool is_there; /* false: deleted */
    bool was_seen;
    uint8_t digest[32];
};
struct digest_row *digests_find(struct digests *d, struct mln_bytes key);
struct digest_row *digests_at(struct digests *d, size_t i); /* NULL at the end; in no order */

/* Waits on `cond` for at most ns; false when time ran out. */
bool ledger_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns);
void ledger_cond_init(pthread_cond_t *cond);
