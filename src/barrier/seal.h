/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seal keeps the root key. Shamir: a random 32-byte unseal key seals the root key (at
 * "core/seal"); the unseal key is split into shares and never stored. Dev: the unseal key lies in a
 * file of mode 0600 (for development, said so in status).
 */
#pragma once

#include "barrier/barrier.h"

enum mln_seal_kind { MLN_SEAL_SHAMIR, MLN_SEAL_KEYFILE };

struct mln_seal_config { /* stored in clear at "core/seal-config": no secret in it */
    enum mln_seal_kind kind;
    unsigned shares, threshold;
    unsigned recovery_shares, recovery_threshold; /* wanted at init of a key file; 0 = none. Not in the row */
};
struct mln_seal;

struct mln_err mln_seal_new(struct mln_cx *cx, struct mln_store *store, struct mln_barrier *barrier,
                            struct mln_seal **ret);
void mln_seal_free(struct mln_seal *seal);
/*
 * Initialise barrier and seal: shares (in the arena of cx, secret) to hand out once. keyfile may be
 * NULL for Shamir.
 * errors EXISTS, INVALID (1 <= threshold <= shares <= 255; threshold 1 only with shares 1) */
struct mln_err mln_seal_init(struct mln_cx *cx, struct mln_seal *seal,
                             const struct mln_seal_config *config, const char *keyfile,
                             struct mln_bytes *ret_shares, size_t *ret_n);
struct mln_err mln_seal_read_config(struct mln_cx *cx, struct mln_seal *seal,
                                    struct mln_seal_config *ret); /* UNINIT */
/* What a row of "core/seal-config" in another state of the store says. CORRUPT */
struct mln_err mln_seal_parse_config(struct mln_cx *cx, struct mln_bytes row, struct mln_seal_config *ret);
/*
 * Give one share. When the threshold is reached the barrier is unsealed: *ret_progress = 0 and
 * MLN_OK; while more are needed MLN_OK with *ret_progress > 0. A wrong set: FORGED and progress
 * starts again. The same share twice counts once.
 */
struct mln_err mln_seal_give(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes share,
                             unsigned *ret_progress);
void mln_seal_reset(struct mln_seal *seal);
struct mln_seal_progress {
    unsigned given;
    char nonce[37]; /* UUID while in progress, else "" */
};
void mln_seal_progress(struct mln_seal *seal, struct mln_seal_progress *ret);
struct mln_err mln_seal_open_keyfile(struct mln_cx *cx, struct mln_seal *seal,
                                     const char *keyfile); /* unseal from the file */

/* ---- what holders of shares decide while the server is open ---- */
/* Do these open the seal? Nothing changes. FORGED when not; a wrong number of them is FORGED too. */
struct mln_err mln_seal_prove(struct mln_cx *cx, struct mln_seal *seal, const struct mln_bytes *shares,
                              size_t n);
/* A new unseal key, not yet in force. Made by _begin with its shares (in the arena of cx, secret), dropped by _drop. */
struct mln_seal_change {
    struct mln_seal_config config;
    struct mln_secret key;
};
/* errors INVALID (as init), UNSUPPORTED (a key file) */
struct mln_err mln_seal_change_begin(struct mln_cx *cx, const struct mln_seal_config *config,
                                     struct mln_bytes *ret_shares, struct mln_seal_change *ret);
/* Are these the change's shares? FORGED */
struct mln_err mln_seal_change_prove(struct mln_cx *cx, const struct mln_seal_change *change,
                                     const struct mln_bytes *shares, size_t n);
/* From now on the new shares open, the old ones do not: one batch, so that nothing lies between. SEALED, CONFLICT, FULL, IO */
struct mln_err mln_seal_change_commit(struct mln_cx *cx, struct mln_seal *seal,
                                      const struct mln_seal_change *change);
void mln_seal_change_drop(struct mln_seal_change *change);

/* ---- recovery keys: shares of a key that opens nothing, for decisions under a seal that opens by itself ---- */
/* shares 0: there are none. Also while sealed; nothing may be decided by it. CORRUPT */
struct mln_err mln_seal_recovery_config(struct mln_cx *cx, struct mln_seal *seal, struct mln_seal_config *ret);
/* Are these the recovery keys? FORGED when not or of a wrong number, NOT_FOUND (there are none), SEALED, CORRUPT */
struct mln_err mln_seal_recovery_prove(struct mln_cx *cx, struct mln_seal *seal, const struct mln_bytes *shares, size_t n);
/* From now on these (mln_seal_change_begin), and none of before: one batch. SEALED, CONFLICT, FULL, IO */
struct mln_err mln_seal_recovery_commit(struct mln_cx *cx, struct mln_seal *seal, const struct mln_seal_change *change);
/*
 * Forget a seal whose initialisation was cut off before anything was stored: all rows go. The caller has made sure of that.
 * keyfile   removed when it is this seal's; may be NULL
 */
struct mln_err mln_seal_discard(struct mln_cx *cx, struct mln_seal *seal, const char *keyfile);
