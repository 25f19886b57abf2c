/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes and HMAC by name. SHA-256 goes the short way of hash.c; the others cost a context a call. */
#include "crypto/digest.h"

#include <openssl/hmac.h>

#include "crypto/crypto_priv.h"

static const struct {
    const char *name, *openssl;
    size_t bytes;
} hashes[MLN_HASH_COUNT] = {
    [MLN_HASH_NONE] = {"none", NULL, 0},
    [MLN_HASH_SHA1] = {"sha1", "SHA1", 20},
    [MLN_HASH_SHA2_224] = {"sha2-224", "SHA2-224", 28},
    [MLN_HASH_SHA2_256] = {"sha2-256", "SHA2-256", 32},
    [MLN_HASH_SHA2_384] = {"sha2-384", "SHA2-384", 48},
    [MLN_HASH_SHA2_512] = {"sha2-512", "SHA2-512", 64},
    [MLN_HASH_SHA3_224] = {"sha3-224", "SHA3-224", 28},
    [MLN_HASH_SHA3_256] = {"sha3-256", "SHA3-256", 32},
    [MLN_HASH_SHA3_384] = {"sha3-384", "SHA3-384", 48},
    [MLN_HASH_SHA3_512] = {"sha3-512", "SHA3-512", 64},
};

bool mln_hash_of_name(struct mln_bytes name, enum mln_hash *ret)
{
    for (size_t i = 0; i < MLN_HASH_COUNT; i++) {
        if (mln_bytes_is(name, hashes[i].name)) {
            *ret = (enum mln_hash)i;
            return true;
        }
    }
    return false;
}

const char *mln_hash_name(enum mln_hash hash)
{
    MLN_CHECK(hash < MLN_HASH_COUNT);
    return hashes[hash].name;
}

size_t mln_hash_bytes(enum mln_hash hash)
{
    MLN_CHECK(hash < MLN_HASH_COUNT);
    return hashes[hash].bytes;
}

const char *crypto_hash_name(enum mln_hash hash)
{
    MLN_CHECK(hash < MLN_HASH_COUNT);
    return hashes[hash].openssl;
}

void mln_hash_sum(enum mln_hash hash, struct mln_bytes in, uint8_t out[MLN_HASH_MAX_BYTES])
{
    MLN_CHECK(hash > MLN_HASH_NONE && hash < MLN_HASH_COUNT);
    if (hash == MLN_HASH_SHA2_256) {
        mln_sha256(in, out);
        return;
    }
    size_t n = 0;
    static const uint8_t nothing;
    const uint8_t *text = in.ptr != NULL ? in.ptr : &nothing;
    MLN_CHECK(EVP_Q_digest(NULL, hashes[hash].openssl, NULL, text, in.len, out, &n) == 1);
}

void mln_hmac_sum(enum mln_hash hash, struct mln_bytes key, struct mln_bytes in,
                  uint8_t out[MLN_HASH_MAX_BYTES])
{
    MLN_CHECK(hash > MLN_HASH_NONE && hash < MLN_HASH_COUNT);
    if (hash == MLN_HASH_SHA2_256) {
        mln_hmac_sha256(key, in, out);
        return;
    }
    size_t n = 0;
    static const uint8_t nothing;
    const uint8_t *text = in.ptr != NULL ? in.ptr : &nothing;
    MLN_CHECK(EVP_Q_mac(NULL, "HMAC", NULL, hashes[hash].openssl, NULL, key.ptr, key.len, text,
                        in.len, out, MLN_HASH_MAX_BYTES, &n) != NULL);
}
