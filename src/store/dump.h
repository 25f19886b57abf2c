/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dump: all rows of a store as of one moment, as they lie there (values sealed), in one file that any engine can be filled
 * from. A gzip'ed tar of three members, in this order (docs/format-snapshot.md):
 *
 * meta.json           JSON object: "format": 1, "rows", "bytes", and what the caller adds
 * store.rows          for each row, rising by key: key bytes u16 BE | value bytes u32 BE | key | value
 * SHA256SUMS          digests of the two before, as sha256sum prints them
 * SHA256SUMS.sealed   "hmac-sha256:" and the HMAC of SHA256SUMS in hex, under the caller's key; "none" without one
 *
 * Neither side holds more than a row at a time.
 */
#pragma once

#include "base/value.h"
#include "store/store.h"

#define MLN_DUMP_FORMAT   1
#define MLN_DUMP_META_MAX (256u << 10) /* of meta.json: a checkpoint and a few names */

/* Where the bytes of a dump go. */
struct mln_dump_sink {
    struct mln_err (*write)(void *arg, struct mln_cx *cx, struct mln_bytes bytes);
    void *arg;
};
/*
 * about  object: goes into meta.json beside "format", "rows" and "bytes"
 * key    32 bytes that authenticate the dump; NULL: it is not
 */
struct mln_err mln_dump_write(struct mln_cx *cx, struct mln_snap *snap, const struct mln_value *about, const uint8_t *key,
                              const struct mln_dump_sink *sink);

/* Rows as they come; key and value borrowed for the call. `row` may be NULL. An error ends the reading. */
struct mln_dump_take {
    struct mln_err (*row)(void *arg, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes value);
    void *arg;
};
struct mln_dump_facts {
    const struct mln_value *about; /* meta.json, in the arena of cx */
    uint64_t rows, bytes;          /* of keys and values */
    uint8_t sums[32];              /* SHA-256 of SHA256SUMS: names this dump */
    bool is_authentic;             /* made with `key` */
};
/*
 * Read it from its first byte to its last. Rows are handed on before the digests at the end are known: who acts on them must be
 * able to undo it when this fails.
 * errors  PARSE (no snapshot, cut short, rows out of order), UNSUPPORTED (newer format, named), FORGED (a digest is wrong),
 *         TOO_LARGE, MEMORY, and those of `row`
 */
struct mln_err mln_dump_read(struct mln_cx *cx, struct mln_bytes file, const uint8_t *key, const struct mln_dump_take *take,
                             struct mln_dump_facts *ret);
