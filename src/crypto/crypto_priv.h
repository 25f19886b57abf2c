/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share: algorithms fetched once for the process, and a set of contexts
 * per thread.
 *
 * Every thread has its own contexts, so calls never wait for each other; each holds its own lock
 * while it works, which only
 * mln_crypto_forget ever contends: that is how another thread can wipe expanded keys at once and
 * not merely some day.
 */
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#include "crypto/crypto.h"
#include "crypto/digest.h"

#define XAES_SLOTS                                                                                 \
    4 /* long-term keys of a thread: newest and an older keyring key, the root key, one to spare */
#define EC_SLOTS 4 /* P-256 keys of a thread: TLS, transit, sign */
#define ED_SLOTS 2
#define PKEY_SLOTS                                                                                 \
    8 /* RSA and EC keys of a thread, private or public: parsing one costs as much as verifying */
#define AEAD_MAX                                                                                   \
    ((size_t)1 << 30) /* EVP counts in int; nothing that is sealed in one piece is larger */

struct xaes_slot {
    EVP_CIPHER_CTX *ecb; /* AES-256 under the long-term key */
    uint8_t key[32];
    uint8_t k1[16]; /* CMAC's first subkey */
    bool is_set;
};

struct gcm_key {
    uint8_t key[32];
    bool is_set;
};

struct ec_slot {
    EVP_PKEY_CTX *ctx; /* ready to sign */
    uint8_t scalar[32];
};

struct ed_slot {
    uint8_t seed[32];
    uint8_t secret[64];
    bool is_set;
};

struct pkey_slot {
    EVP_PKEY *key;
    uint8_t id[MLN_SHA256_BYTES]; /* of the DER that it was read from */
};

struct crypto_thread {
    atomic_flag lock;
    struct crypto_thread *next, *prev; /* of the registry */
    EVP_MD_CTX *sha256;
    EVP_CIPHER_CTX *gcm[2];    /* open, seal */
    struct gcm_key gcm_key[2]; /* what they are keyed with, unless it was derived for one call */
    EVP_CIPHER_CTX *gcm128[2];
    EVP_CIPHER_CTX *chacha[2];
    struct xaes_slot xaes[XAES_SLOTS];
    struct ec_slot ec[EC_SLOTS];
    struct ed_slot ed[ED_SLOTS];
    struct pkey_slot pkey[PKEY_SLOTS];
    unsigned xaes_next, ec_next, ed_next, pkey_next; /* the slot that is given up next */
};

struct crypto_algorithms {
    EVP_MD *sha256;
    EVP_CIPHER *gcm, *gcm128, *chacha, *ecb;
    const EC_GROUP *p256; /* making it takes longer than a multiplication in it */
};

const struct crypto_algorithms *crypto_algorithms(void);
/*
 * This thread's contexts, locked until crypto_leave. Never NULL: without memory for them the
 * process ends.
 */
struct crypto_thread *crypto_enter(void);
void crypto_leave(struct crypto_thread **t);
#define CRYPTO_ENTER(name) MLN_AUTO(crypto_leave) struct crypto_thread *name = crypto_enter()

/* The failure of a library call that should not fail; drains OpenSSL's error queue. */
struct mln_err crypto_failed(struct mln_cx *cx, const char *what);
/*
 * An EC key. curve: OpenSSL's name; scalar: 32 bytes or NULL; point: may be empty. NULL when they
 * make no key.
 */
EVP_PKEY *crypto_ec_key(const char *curve, const uint8_t *scalar, struct mln_bytes point);
/* OpenSSL's name of a hash; NULL for MLN_HASH_NONE. */
const char *crypto_hash_name(enum mln_hash hash);
static inline void crypto_md_drop(EVP_MD **p)
{
    EVP_MD_free(*p);
}
