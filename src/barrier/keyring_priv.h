/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A namespace's keyring: in memory, and as it lies in the store (docs/format-barrier.md).
 *
 * row      version u8 = 1 | nonce 24 | XAES-256-GCM under the root key of: ring | tag 16 associated
 *          data: "merlon keyring 1" 00 || store key
 * ring     version u8 = 1 | n u32 BE | n times: id u32 BE | made ns u64 BE | key 32 ids are 1, 2,
 *          ... n
 */
#pragma once

#include <stdatomic.h>

#include "barrier/barrier.h"

#define KEYRING_PREFIX       MLN_BYTES("core/keyring/")
#define KEYRING_COUNT_PREFIX MLN_BYTES("core/keyring-count/")
#define KEYRING_KEYS_MAX     65536u /* a rotation a day for 180 years; 2 MiB locked */
#define KEYRING_NS_MAX       64u
#define ROW_OVERHEAD         (1 + 24 + 16)

struct keyring {
    struct mln_bytes ns;    /* own copy */
    struct mln_secret keys; /* n times 32 bytes */
    uint32_t n;             /* and id of the newest */
    int64_t *made_ns;       /* n */
    uint64_t row_version;   /* of its row in the store */
    _Atomic uint64_t seals; /* under the newest key, about */
    uint64_t saved_seals;   /* as last written */
};

void keyring_free(struct keyring *ring); /* NULL is fine */
void keyring_drop(struct keyring **ring);
/* What `from` holds (NULL: nothing) and one new random key. LIMIT, MEMORY */
struct mln_err keyring_grow(struct mln_cx *cx, struct mln_bytes ns, const struct keyring *from,
                            struct keyring **ret);
/* To and from a row. open: FORGED (not under this root key, moved or changed), CORRUPT */
struct mln_err keyring_seal(struct mln_cx *cx, const struct keyring *ring,
                            const struct mln_secret *root, struct mln_bytes *ret_row);
struct mln_err keyring_open(struct mln_cx *cx, struct mln_bytes ns, const struct mln_secret *root,
                            struct mln_bytes row, struct keyring **ret);
/* "core/keyring/<ns>" in the arena of cx. */
struct mln_err keyring_key(struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes *ret);

/*
 * Sealing a small secret under a key, for rows of this room: `label` separates the uses of a key.
 * out: plain.len + ROW_OVERHEAD
 */
struct mln_err row_seal(struct mln_cx *cx, const uint8_t key[32], struct mln_bytes label,
                        struct mln_bytes where, struct mln_bytes plain, struct mln_bytes *ret_row);
struct mln_err row_open(struct mln_cx *cx, const uint8_t key[32], struct mln_bytes label,
                        struct mln_bytes where, struct mln_bytes row, struct mln_secret *ret);
