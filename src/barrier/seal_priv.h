/* SPDX-License-Identifier: Apache-2.0 */
/* What seal.c and seal_change.c share: the seal's rows. */
#pragma once

#include "barrier/seal.h"

#include <pthread.h>

#include "barrier/keyring_priv.h"

#define CONFIG_N   4u
#define SEAL_KEY   MLN_BYTES("core/seal")
#define CONFIG_KEY MLN_BYTES("core/seal-config")
#define SEAL_LABEL MLN_BYTES("merlon seal 1\0")

struct mln_seal {
    struct mln_store *store;
    struct mln_barrier *barrier;
    pthread_mutex_t lock;
    struct mln_secret given[255];
    unsigned n;
    char nonce[37];
};

/* UNINIT when absent. ret in the arena; ret_version may be NULL. */
struct mln_err seal_row(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes key,
                        struct mln_bytes *ret, uint64_t *ret_version);
struct mln_err seal_config(struct mln_cx *cx, struct mln_seal *seal, struct mln_seal_config *ret,
                           struct mln_bytes *ret_row);
struct mln_err seal_check_config(struct mln_cx *cx, const struct mln_seal_config *config);
void seal_put_config(uint8_t row[CONFIG_N], const struct mln_seal_config *config);
struct mln_err seal_make_shares(struct mln_cx *cx, const struct mln_seal_config *config,
                                const struct mln_secret *unseal_key, struct mln_bytes *ret_shares);
struct mln_err seal_combine(struct mln_cx *cx, const struct mln_bytes *shares, size_t n,
                            struct mln_secret *ret);
/* The root key out of its row. FORGED */
struct mln_err seal_open_root(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes config,
                              const struct mln_secret *unseal_key, struct mln_secret *ret);
struct mln_err seal_read_keyfile(struct mln_cx *cx, const char *path, struct mln_secret *ret);
