/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going back to an older state of the store, or on with an older copy of it, without a silent fork: the log of before ends, and a
 * new one of another origin begins, whose first record names the old log's last checkpoint.
 *
 * What was there goes to "<dir>/past/<n>/", n = 1, 2, ...: "ledger" (the old log's public files, whole and verifiable),
 * "journal", and "store.snap" (the store as it was, a dump).  docs/backup.md, docs/format-ledger.md
 */
#pragma once

#include "store/dump.h"

struct mln_restore {
    const char *dir;            /* data folder */
    const char *origin;         /* of the new log */
    struct mln_bytes dump;      /* none: the store's own rows stay, only the log begins anew */
    const uint8_t *key;         /* authenticates dumps (mln_barrier_derive "snapshot"), or NULL */
    const struct mln_value *by; /* object for the record: who asked; or NULL */
};
/*
 * Replaces the store's rows in one transaction; on an error everything is what it was. The ledger must be closed. The next
 * mln_ledger_open moves the old log's files and begins the new log; it takes up where an interrupted one stopped.
 * errors  as mln_dump_read, mln_store_replace; INVALID (the origin); CORRUPT (the old checkpoint cannot be read); IO, FULL
 */
struct mln_err mln_restore(struct mln_cx *cx, struct mln_store *store, const struct mln_restore *restore);
/* A name of a log that this configuration's log may have after a restore: "<origin>/restored-<UTC time>". */
const char *mln_restore_origin(struct mln_cx *cx, const char *origin, int64_t now_ns);
/* What meta.json of a snapshot says: origin, checkpoint, vkey of the log in `dir`, time, version. */
const struct mln_value *mln_restore_about(struct mln_cx *cx, const char *dir, int64_t now_ns);
