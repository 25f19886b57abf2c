/* SPDX-License-Identifier: Apache-2.0 */
/* XChaCha20-Poly1305 by libsodium, which OpenSSL does not have. */
#include "crypto/crypto_priv.h"

#include <sodium.h>

struct mln_err mln_xchacha_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                                struct mln_bytes aad, struct mln_bytes plain, uint8_t *out)
{
    crypto_algorithms(); /* starts libsodium */
    if (plain.len > AEAD_MAX || aad.len > AEAD_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "too large to seal in one piece");
    }
    MLN_CHECK(crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain.ptr, plain.len, aad.ptr,
                                                         aad.len, NULL, nonce, key) == 0);
    return MLN_OK;
}

struct mln_err mln_xchacha_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                                struct mln_bytes aad, struct mln_bytes box, uint8_t *out)
{
    crypto_algorithms();
    if (box.len < MLN_GCM_TAG_BYTES) {
        return mln_fail(cx, MLN_E_FORGED, "sealed data is cut short");
    }
    if (box.len > AEAD_MAX || aad.len > AEAD_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "too large to open in one piece");
    }
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, box.ptr, box.len, aad.ptr,
                                                   aad.len, nonce, key) != 0) {
        mln_wipe(out, box.len - MLN_GCM_TAG_BYTES);
        return mln_fail(cx, MLN_E_FORGED, "sealed data is not authentic");
    }
    return MLN_OK;
}
