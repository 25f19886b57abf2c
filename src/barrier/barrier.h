/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barrier: everything below sees ciphertext. Each value is sealed with XAES-256-GCM (random
 * 192-bit nonce) under the newest key of its namespace's keyring; the store key is associated data,
 * so a moved value does not open.
 *
 * box      version u8 = 1 | key id u32 BE | nonce 24 | ciphertext | tag 16
 *          (docs/format-barrier.md)
 * keyring  one per namespace, at "core/keyring/<ns>", itself sealed under the root key; rotated by
 *          command, count (2^32 seals) and age. Old keys stay for reading. Keys lie in secret
 *          memory.
 * root     32 random bytes; sealed by the seal (shamir shares of an unseal key, or a development
 *          key file).
 */
#pragma once

#include "base/value.h"
#include "crypto/crypto.h"
#include "store/store.h"

struct mln_barrier;
#define MLN_NS_ROOT      MLN_BYTES("root") /* the id of the root namespace */
#define MLN_BOX_OVERHEAD (1 + 4 + 24 + 16)

struct mln_err mln_barrier_new(struct mln_cx *cx, struct mln_store *store,
                               struct mln_barrier **ret); /* store borrowed; sealed at first */
void mln_barrier_free(struct mln_barrier *b);             /* seals and wipes */
bool mln_barrier_is_initialized(struct mln_cx *cx, struct mln_barrier *b);
bool mln_barrier_is_sealed(const struct mln_barrier *b);
/*
 * Make the keyring of the root namespace under this root key; it stays sealed. EXISTS when
 * initialised already.
 */
struct mln_err mln_barrier_init(struct mln_cx *cx, struct mln_barrier *b,
                                const struct mln_secret *root);
/*
 * FORGED when the root key is not the right one (nothing changes); UNINIT; CORRUPT (another keyring
 * is damaged, named).
 */
struct mln_err mln_barrier_unseal(struct mln_cx *cx, struct mln_barrier *b,
                                  const struct mln_secret *root);
/* Wipes all keys; later calls give SEALED. Safe beside running calls. */
void mln_barrier_seal(struct mln_barrier *b);
/* A copy of the root key, for the monitor that re-keys a crashed core. SEALED */
struct mln_err mln_barrier_root(struct mln_cx *cx, struct mln_barrier *b, struct mln_secret *ret);
/*
 * Is this row, of "core/keyring/root" in another state of the store, one of this root key? FORGED when not; SEALED, CORRUPT
 */
struct mln_err mln_barrier_fits(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes row);
/*
 * New newest key for a namespace, durable on return (a batch of its own, without a ledger record:
 * the caller notes one). Blocks: not from the committer's thread. errors SEALED, NOT_FOUND (no such
 * namespace), LIMIT, CONFLICT, FULL, IO
 */
struct mln_err mln_barrier_rotate(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns);
/*
 * A keyring for a new namespace id (1..64 bytes of [A-Za-z0-9._-]). EXISTS, INVALID and as above.
 */
struct mln_err mln_barrier_add_namespace(struct mln_cx *cx, struct mln_barrier *b,
                                         struct mln_bytes ns);
/*
 * Destroy a namespace's keyring, here and in the store: what lies sealed under it cannot be opened any more, whatever copies of the
 * store are left, except with a copy of the keyring's row. One that is not there is no error. Not the root's: INVALID
 */
struct mln_err mln_barrier_remove_namespace(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns);
/*
 * Rotates every namespace whose newest key is due by count or age; for a timed tick. ret_n: how
 * many (may be NULL).
 */
#define MLN_KEY_SEALS_MAX  ((uint64_t)1 << 32)
#define MLN_KEY_AGE_MAX_NS ((int64_t)365 * 86400 * 1000000000)
struct mln_err mln_barrier_tick(struct mln_cx *cx, struct mln_barrier *b, size_t *ret_n);
/* When a tick finds a key due: earlier than the maxima above if so said, 0 = only at the maximum. seals_max above it is the maximum. */
void mln_barrier_limits(struct mln_barrier *b, uint64_t seals_max, int64_t age_max_ns);
struct mln_barrier_status {
    uint32_t term;        /* newest key id */
    int64_t install_ns;   /* when it was made */
    uint64_t encryptions; /* seals under it, about (Vault's key-status) */
};
struct mln_err mln_barrier_key_status(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                      struct mln_barrier_status *ret);

/*
 * Seal and open one value. ret in the arena of cx. errors SEALED, FORGED (changed, moved, or of
 * another keyring), NOT_FOUND (no such key id)
 */
struct mln_err mln_barrier_encrypt(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                   struct mln_bytes key, struct mln_bytes plain,
                                   struct mln_bytes *ret_box);
struct mln_err mln_barrier_decrypt(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                   struct mln_bytes key, struct mln_bytes box,
                                   struct mln_bytes *ret_plain);
/*
 * A 32-byte key derived from the namespace's first keyring key, for HMACs that must be stable
 * ("token", "audit", "ledger").
 */
struct mln_err mln_barrier_derive(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                  const char *purpose, uint8_t ret[32]);

/* ---- seal: how the root key is kept (barrier/seal.h has Shamir progress and the key file) ---- */
