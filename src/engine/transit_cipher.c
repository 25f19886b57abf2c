/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: the boxes behind "vault:vN:". Of an AEAD: nonce | ciphertext | tag 16, nonce 12 bytes (XChaCha20: 24); of RSA:
 * OAEP with SHA-256.
 *
 * Nonces are random (NIST SP 800-38D section 8.2.2): rotate a key before it encrypted 2^32 times. With convergent encryption
 * (Vault's version 3) the derived key is longer by 32 bytes; HMAC-SHA256 under those over the plaintext, cut, is the nonce. So equal
 * plaintexts give equal texts and others another nonce. Associated data are not in that HMAC: two of them with one plaintext would
 * be sealed under one nonce, and GCM then gives its authentication key away. Both together are therefore refused.
 */
#include "engine/transit_priv.h"

#include "base/clock.h"
#include "base/text.h"

#define NONCE_MAX   MLN_XCHACHA_NONCE_BYTES
#define HMAC_KEY    32
#define DERIVED_MAX (32 + HMAC_KEY)

void transit_extra_drop(struct transit_extra *x)
{
    mln_buf_drop(&x->context);
    mln_buf_drop(&x->aad);
}

static struct mln_err read_aad(struct transit_call *call, struct mln_bytes text,
                               struct mln_buf *aad)
{
    struct mln_cx *cx = call->rq->cx;
    const struct transit_traits *traits = transit_traits(call->key->type);
    if (!traits->is_aead) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'[%zu].associated_data' provided for non-AEAD cipher suite %s",
                        call->index, traits->name);
    }
    if (transit_is(call->key, TRANSIT_CONVERGENT)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "associated_data is not possible with convergent encryption");
    }
    return mln_failed(mln_base64_parse(cx, text, MLN_B64_STD, aad))
               ? mln_refail(cx, MLN_E_INVALID, "failed to base64-decode associated_data")
               : MLN_OK;
}

struct mln_err transit_read_extra(struct transit_call *call, const struct mln_value *in,
                                  struct transit_extra *x)
{
    struct mln_bytes aad = mln_get_bytes(mln_get(in, "associated_data"));
    if (aad.len > 0) {
        MLN_TRY(read_aad(call, aad, &x->aad));
    }
    return transit_read_context(call->rq->cx, in, &x->context);
}

/* ---- AEAD ---- */

typedef struct mln_err (*aead_fn)(struct mln_cx *cx, const uint8_t *key, const uint8_t *nonce,
                                  struct mln_bytes aad, struct mln_bytes in, uint8_t *out);

static const struct aead {
    aead_fn seal, open;
    size_t nonce;
} aeads[TRANSIT_TYPES] = {
    [TRANSIT_AES128] = {mln_aes128_gcm_seal, mln_aes128_gcm_open, MLN_GCM_NONCE_BYTES},
    [TRANSIT_AES256] = {mln_aes_gcm_seal, mln_aes_gcm_open, MLN_GCM_NONCE_BYTES},
    [TRANSIT_CHACHA] = {mln_chacha_seal, mln_chacha_open, MLN_GCM_NONCE_BYTES},
    [TRANSIT_XCHACHA] = {mln_xchacha_seal, mln_xchacha_open, MLN_XCHACHA_NONCE_BYTES},
};

static void choose_nonce(const struct transit_key *key, const uint8_t *hmac_key,
                         struct mln_bytes plain, uint8_t *nonce, size_t n)
{
    uint8_t sum[MLN_SHA256_BYTES];
    if (!transit_is(key, TRANSIT_CONVERGENT)) {
        mln_random(nonce, n);
        return;
    }
    mln_hmac_sha256(mln_bytes_at(hmac_key, HMAC_KEY), plain, sum);
    mln_copy(nonce, sum, n);
}

static struct mln_err seal_aead(struct transit_call *call, const struct transit_version *v,
                                const struct transit_extra *x, struct mln_bytes plain,
                                struct mln_bytes *ret)
{
    struct mln_cx *cx = call->rq->cx;
    const struct aead *aead = &aeads[call->key->type];
    size_t key_n = transit_traits(call->key->type)->key_bytes,
           box_n = aead->nonce + plain.len + MLN_GCM_TAG_BYTES;
    uint8_t key[DERIVED_MAX], *box = mln_new(cx, box_n);
    bool is_convergent = transit_is(call->key, TRANSIT_CONVERGENT);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(transit_derive(cx, call->key, v, mln_buf_bytes(&x->context), key,
                           key_n + (is_convergent ? HMAC_KEY : 0)));
    choose_nonce(call->key, key + key_n, plain, box, aead->nonce);
    struct mln_err err = aead->seal(cx, key, box, mln_buf_bytes(&x->aad), plain, box + aead->nonce);
    mln_wipe(key, sizeof(key));
    *ret = mln_bytes_at(box, box_n);
    return err;
}

static struct mln_err open_aead(struct transit_call *call, const struct transit_version *v,
                                const struct transit_extra *x, struct mln_bytes box,
                                struct mln_buf *plain)
{
    struct mln_cx *cx = call->rq->cx;
    const struct aead *aead = &aeads[call->key->type];
    uint8_t key[DERIVED_MAX];
    if (box.len < aead->nonce + MLN_GCM_TAG_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "invalid ciphertext length");
    }
    size_t n = box.len - aead->nonce - MLN_GCM_TAG_BYTES;
    if (!mln_buf_reserve(plain, n + 1)) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(transit_derive(cx, call->key, v, mln_buf_bytes(&x->context), key,
                           transit_traits(call->key->type)->key_bytes));
    struct mln_err err = aead->open(cx, key, box.ptr, mln_buf_bytes(&x->aad),
                                    mln_bytes_from(box, aead->nonce), plain->ptr);
    mln_wipe(key, sizeof(key));
    if (mln_is(err, MLN_E_FORGED)) {
        return mln_refail(cx, MLN_E_FORGED, "cipher: message authentication failed");
    }
    plain->len = mln_failed(err) ? 0 : n;
    return err;
}

/* ---- either ---- */

struct mln_err transit_seal(struct transit_call *call, const struct transit_extra *x,
                            int64_t number, struct mln_bytes plain, struct mln_value **ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    struct mln_bytes box = MLN_BYTES_NONE;
    MLN_AUTO(mln_buf_drop) struct mln_buf rsa = {0};
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    if (transit_traits(call->key->type)->is_aead) {
        MLN_TRY(seal_aead(call, &v, x, plain, &box));
    } else {
        MLN_TRY(mln_akey_oaep_seal(cx, v.public, MLN_HASH_SHA2_256, MLN_BYTES_NONE, plain, &rsa));
        box = mln_buf_bytes(&rsa);
    }
    *ret = transit_wrap_text(cx, number, box, false);
    return mln_cx_err(cx);
}

static struct mln_err open_rsa(struct mln_cx *cx, const struct transit_version *v,
                               struct mln_bytes box, struct mln_buf *plain)
{
    if (v->key.len == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "requested version for decryption does not contain a private part");
    }
    struct mln_err err = mln_akey_oaep_open(cx, v->key, MLN_HASH_SHA2_256, box, plain);
    return mln_is(err, MLN_E_FORGED)
               ? mln_refail(cx, MLN_E_FORGED, "failed to RSA decrypt the ciphertext")
               : err;
}

struct mln_err transit_open(struct transit_call *call, const struct transit_extra *x,
                            struct mln_bytes text, struct mln_buf *plain)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    struct mln_bytes payload;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf box = {0};
    MLN_TRY(transit_split_for(cx, call->key, "ciphertext", text, &number, &payload));
    if (mln_failed(mln_base64_parse(cx, payload, MLN_B64_STD, &box))) {
        return mln_refail(cx, MLN_E_INVALID, "invalid ciphertext: could not decode base64");
    }
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    return transit_traits(call->key->type)->is_aead
               ? open_aead(call, &v, x, mln_buf_bytes(&box), plain)
               : open_rsa(cx, &v, mln_buf_bytes(&box), plain);
}
