/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ed25519 (RFC 8032) and X25519 (RFC 7748) by libsodium: 2.7 times as fast as OpenSSL's, and strict
 * about small orders.
 */
#include "crypto/crypto_priv.h"

#include <sodium.h>

static const uint8_t *expand(struct crypto_thread *t, const uint8_t seed[32])
{
    for (size_t i = 0; i < ED_SLOTS; i++) {
        if (t->ed[i].is_set && mln_eq_ct(t->ed[i].seed, 32, seed, 32)) {
            return t->ed[i].secret;
        }
    }
    struct ed_slot *slot = &t->ed[t->ed_next++ % ED_SLOTS];
    uint8_t public_key[32];
    MLN_CHECK(crypto_sign_seed_keypair(public_key, slot->secret, seed) == 0);
    mln_copy(slot->seed, seed, 32);
    slot->is_set = true;
    return slot->secret;
}

void mln_ed25519_public(const uint8_t seed[32], uint8_t public_key[32])
{
    CRYPTO_ENTER(t);
    mln_copy(public_key, expand(t, seed) + 32,
             32); /* libsodium's secret key is seed || public key */
}

void mln_ed25519_sign(const uint8_t seed[32], struct mln_bytes message, uint8_t signature[64])
{
    CRYPTO_ENTER(t);
    static const uint8_t nothing;
    const uint8_t *text = message.ptr != NULL ? message.ptr : &nothing;
    MLN_CHECK(crypto_sign_detached(signature, NULL, text, message.len, expand(t, seed)) == 0);
}

struct mln_err mln_ed25519_verify(struct mln_cx *cx, const uint8_t public_key[32],
                                  struct mln_bytes message, struct mln_bytes signature)
{
    crypto_algorithms(); /* starts libsodium */
    static const uint8_t nothing;
    const uint8_t *text = message.ptr != NULL ? message.ptr : &nothing;
    if (signature.len != 64 ||
        crypto_sign_verify_detached(signature.ptr, text, message.len, public_key) != 0) {
        return mln_fail(cx, MLN_E_FORGED, "the Ed25519 signature is not valid");
    }
    return MLN_OK;
}

struct mln_err mln_x25519(struct mln_cx *cx, const uint8_t scalar[32], const uint8_t point[32],
                          uint8_t out[32])
{
    crypto_algorithms();
    if (crypto_scalarmult_curve25519(out, scalar, point) != 0) {
        mln_wipe(out, 32);
        return mln_fail(cx, MLN_E_INVALID, "the X25519 point is of small order");
    }
    return MLN_OK;
}

void mln_x25519_public(const uint8_t scalar[32], uint8_t public_key[32])
{
    crypto_algorithms();
    MLN_CHECK(crypto_scalarmult_curve25519_base(public_key, scalar) == 0);
}
