/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evidence ledger: one append-only Merkle log (RFC 6962 hashing), published as C2SP tlog-tiles with a signed-note
 * checkpoint. A leaf is a commitment; what it commits to is kept beside it, sealed, and can be proved or forgotten.
 *
 * entry (50 bytes, public)   version u8 = 1 | class u8 | index u64 BE | time ns u64 BE | SHA-256(salt 32 || content)
 * content (sealed)           canonical CBOR of the record's value
 * Everything is sequenced in the store's committer: index, entry and sealed content go into the same transaction as the
 * mutation they describe. Read records wait in a journal (pwrite before the answer leaves) and are sequenced within 20 ms.
 * Tiles, entry bundles and checkpoint are files under <dir>/ledger, derived from the store and rebuilt after a crash; a
 * checkpoint is signed only for a size that is durable.  docs/format-ledger.md
 */
#pragma once

#include "barrier/barrier.h"

enum mln_record_class {
    MLN_RECORD_ORIGIN = 0,  /* first entry of a log; after a restore it names the old checkpoint */
    MLN_RECORD_READ = 1,
    MLN_RECORD_MUTATION = 2,
    MLN_RECORD_DENIED = 3,
    MLN_RECORD_STRANGER = 4, /* aggregated refusals of the unauthenticated */
    MLN_RECORD_LOGIN = 5,
    MLN_RECORD_SYSTEM = 6,   /* start, unseal, seal, core re-keyed, tick */
    MLN_RECORD_PRUNE = 7,    /* baseline of digests and what was forgotten */
    MLN_RECORD_EVIDENCE = 8, /* scan, fairness, sign, approve, gate, open */
};

struct mln_ledger;

/*
 * One record on its way. Fill `klass` and `content`, then note it (reads) or attach it (mutations).
 * content  object with at least: actor, action, resource, decision; see docs/format-ledger.md for the members
 */
struct mln_record {
    enum mln_record_class klass;
    const struct mln_value *content;
    /* set by the ledger */
    int64_t time_ns;
    uint64_t index;       /* once sequenced (mutations: before the batch's done is called); UINT64_MAX before */
    struct mln_bytes frame; /* private: salt and content, encoded; in the arena of cx */
};

struct mln_ledger_config {
    const char *dir;      /* data folder; "<dir>/ledger" and "<dir>/journal" are made */
    const char *origin;   /* log name without scheme, e.g. "merlon.local/ledger"; fixed at initialisation, later mismatch is INVALID */
    int64_t publish_ns;   /* how long a checkpoint may lag; 0 = 200 ms */
    uint64_t journal_bytes; /* of one preallocated segment; 0 = 8 MiB */
};

/* After unseal. Installs itself as the store's sequencer, replays the journal, repairs the files. barrier and store borrowed.
 * errors CORRUPT (named index), INVALID, IO, FULL */
struct mln_err mln_ledger_open(struct mln_cx *cx, struct mln_store *store, struct mln_barrier *barrier,
                               const struct mln_ledger_config *config, struct mln_ledger **ret);
void mln_ledger_close(struct mln_ledger *ledger); /* sequences and publishes what is left */

/*
 * A record without a mutation: journalled before return, so that it survives this process; durable within 20 ms.
 * errors FULL, IO: then the answer must not leave. Any thread.
 */
struct mln_err mln_ledger_note(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record);
/* A record of a mutation: encodes it and hangs it on the batch (batch->tag); committed with it or not at all. The record lives
 * until the batch is done; record->index is set then. */
struct mln_err mln_ledger_attach(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record, struct mln_batch *batch);
/*
 * A refusal of a stranger: aggregated to one record per source and second for at most 64 sources, one for all the rest.
 * source  network address without port. Never fails, never blocks.
 */
void mln_ledger_stranger(struct mln_ledger *ledger, struct mln_bytes source, const char *what);
/* A keyed digest of a request or answer value for a record: HMAC-SHA-256 over its sorted CBOR; 16 bytes kept, hex text in the arena. */
const char *mln_ledger_digest(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value *value);

struct mln_ledger_status {
    uint64_t size;       /* sequenced */
    uint64_t published;  /* size of the newest checkpoint */
    uint64_t pruned;     /* contents below this index are gone */
    uint8_t root[32];    /* of the published tree */
    char vkey[256];      /* "origin+hash+key" */
    char origin[200];
};
void mln_ledger_status(struct mln_ledger *ledger, struct mln_ledger_status *ret);
struct mln_err mln_ledger_flush(struct mln_cx *cx, struct mln_ledger *ledger); /* sequence and publish all that was noted; blocks */

/*
 * Public files for HTTP: path relative to the log ("checkpoint", "tile/0/x001/067", "tile/entries/000.p/12", "vkey").
 * Partial tiles of any width up to the published size are answered. errors NOT_FOUND, PARSE. ret_immutable: cacheable for ever.
 */
struct mln_err mln_ledger_file(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_bytes path, struct mln_bytes *ret,
                               bool *ret_immutable);
/* Contents: array of {index, time, class, content|null when pruned} for from <= index, at most `max`; needs a capability (pipeline). */
struct mln_err mln_ledger_read(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t from, uint32_t max, const struct mln_value **ret);
/*
 * Offline proof of one entry: {index, entry, salt, content, content_cbor, proof:[hashes], checkpoint}: verifiable without the log;
 * content_cbor are the bytes committed to. salt and both contents are null when pruned. errors NOT_FOUND, CORRUPT
 */
struct mln_err mln_ledger_proof(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t index, const struct mln_value **ret);
/* Forget contents and salts below `before` (index), after writing baseline records of the digests as of it (from the records).
 * The tree stays whole. Works on a full disk. errors INVALID (beyond the log), CORRUPT, FULL, IO */
struct mln_err mln_ledger_prune(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t before, const struct mln_value *actor);
/* Compare every stored value with the digests in the records: array of {key, problem: "changed"|"missing"|"unrecorded"}.
 * A batch without a record gets one of class system; keys exempt from records: docs/format-ledger.md. errors CORRUPT (named) */
struct mln_err mln_ledger_verify_store(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value **ret);
