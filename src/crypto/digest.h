/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes (FIPS 180-4, FIPS 202) and HMAC (RFC 2104) by the names that Vault's API has for them: "sha2-256". */
#pragma once

#include "base/bytes.h"

enum mln_hash {
    MLN_HASH_NONE, /* "none": what is signed is no digest; no function here takes it */
    MLN_HASH_SHA1,
    MLN_HASH_SHA2_224,
    MLN_HASH_SHA2_256,
    MLN_HASH_SHA2_384,
    MLN_HASH_SHA2_512,
    MLN_HASH_SHA3_224,
    MLN_HASH_SHA3_256,
    MLN_HASH_SHA3_384,
    MLN_HASH_SHA3_512,
    MLN_HASH_COUNT
};

#define MLN_HASH_MAX_BYTES 64

/* Exact names; false leaves *ret untouched. */
bool mln_hash_of_name(struct mln_bytes name, enum mln_hash *ret);
const char *mln_hash_name(enum mln_hash hash);
size_t mln_hash_bytes(enum mln_hash hash); /* 0 for MLN_HASH_NONE */
/* out: mln_hash_bytes(hash) of its bytes are written */
void mln_hash_sum(enum mln_hash hash, struct mln_bytes in, uint8_t out[MLN_HASH_MAX_BYTES]);
void mln_hmac_sum(enum mln_hash hash, struct mln_bytes key, struct mln_bytes in,
                  uint8_t out[MLN_HASH_MAX_BYTES]);
