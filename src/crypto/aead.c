/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (NIST SP 800-38D), XAES-256-GCM (C2SP xaes-256-gcm), ChaCha20-Poly1305 (RFC 8439).
 *
 * XAES derives a key per nonce: with K1 = CMAC's first subkey of AES_K, M1 = 00 01 'X' 00 || N[:12]
 * and
 * M2 = 00 02 'X' 00 || N[:12], the key is AES_K(M1 ^ K1) || AES_K(M2 ^ K1) and the inner nonce
 * N[12:].
 */
#include "crypto/crypto_priv.h"

enum direction { OPEN, SEAL };

struct aead_call {
    EVP_CIPHER_CTX **ctx; /* of this thread; made when missing */
    const EVP_CIPHER *cipher;
    const uint8_t *key, *nonce;
    struct mln_bytes aad, in;
    bool
        is_keyed; /* the context has this key: before, from the last call; after, that it took it */
};

static bool key_context(struct aead_call *call, enum direction direction)
{
    bool is_new = *call->ctx == NULL;
    if (is_new) {
        *call->ctx = EVP_CIPHER_CTX_new();
    }
    const EVP_CIPHER *cipher = is_new ? call->cipher : NULL;
    const uint8_t *key = call->is_keyed ? NULL : call->key;
    call->is_keyed = *call->ctx != NULL && EVP_CipherInit_ex2(*call->ctx, cipher, key, call->nonce,
                                                              direction == SEAL, NULL) == 1;
    if (!call->is_keyed) {
        EVP_CIPHER_CTX_free(*call->ctx); /* in whatever state it is */
        *call->ctx = NULL;
    }
    return call->is_keyed;
}

static bool pass(EVP_CIPHER_CTX *ctx, uint8_t *out, struct mln_bytes in)
{
    int n = 0;
    return in.len == 0 || EVP_CipherUpdate(ctx, out, &n, in.ptr, (int)in.len) == 1;
}

static struct mln_err aead_seal(struct mln_cx *cx, struct aead_call *call, uint8_t *out)
{
    if (call->in.len > AEAD_MAX || call->aad.len > AEAD_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "too large to seal in one piece");
    }
    int n = 0;
    uint8_t *tag = out + call->in.len;
    if (!key_context(call, SEAL) || !pass(*call->ctx, NULL, call->aad) ||
        !pass(*call->ctx, out, call->in) || EVP_CipherFinal_ex(*call->ctx, tag, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(*call->ctx, EVP_CTRL_AEAD_GET_TAG, MLN_GCM_TAG_BYTES, tag) != 1) {
        mln_wipe(out, call->in.len + MLN_GCM_TAG_BYTES);
        return crypto_failed(cx, "sealing");
    }
    return MLN_OK;
}

static struct mln_err aead_open(struct mln_cx *cx, struct aead_call *call, uint8_t *out)
{
    if (call->in.len < MLN_GCM_TAG_BYTES) {
        return mln_fail(cx, MLN_E_FORGED, "sealed data is cut short");
    }
    struct mln_bytes text = mln_bytes_sub(call->in, 0, call->in.len - MLN_GCM_TAG_BYTES);
    if (text.len > AEAD_MAX || call->aad.len > AEAD_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "too large to open in one piece");
    }
    uint8_t tag[MLN_GCM_TAG_BYTES];
    mln_copy(tag, call->in.ptr + text.len, sizeof(tag));
    int n = 0;
    uint8_t none[MLN_GCM_TAG_BYTES]; /* the final call writes nothing, but wants a place */
    if (!key_context(call, OPEN) || !pass(*call->ctx, NULL, call->aad) ||
        !pass(*call->ctx, out, text) ||
        EVP_CIPHER_CTX_ctrl(*call->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1) {
        mln_wipe(out, text.len);
        return crypto_failed(cx, "opening");
    }
    if (EVP_CipherFinal_ex(*call->ctx, none, &n) != 1) {
        mln_wipe(out, text.len);
        return mln_fail(cx, MLN_E_FORGED, "sealed data is not authentic");
    }
    return MLN_OK;
}

/* The key is of one call only (XAES): nothing of it is kept but its schedule, until the next. */
static struct mln_err gcm_once(struct mln_cx *cx, struct crypto_thread *t, enum direction direction,
                               struct aead_call *call, uint8_t *out)
{
    t->gcm_key[direction].is_set = false;
    call->ctx = &t->gcm[direction];
    call->cipher = crypto_algorithms()->gcm;
    return direction == SEAL ? aead_seal(cx, call, out) : aead_open(cx, call, out);
}

static struct mln_err gcm(struct mln_cx *cx, struct crypto_thread *t, enum direction direction,
                          struct aead_call *call, uint8_t *out)
{
    struct gcm_key *last = &t->gcm_key[direction];
    bool is_same = last->is_set && mln_eq_ct(last->key, 32, call->key, 32);
    call->is_keyed = is_same;
    struct mln_err err = gcm_once(cx, t, direction, call, out);
    if (!is_same) {
        mln_copy(last->key, call->key, 32);
    }
    last->is_set = call->is_keyed;
    return err;
}

struct mln_err mln_aes_gcm_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                                struct mln_bytes aad, struct mln_bytes plain, uint8_t *out)
{
    CRYPTO_ENTER(t);
    struct aead_call call = {.key = key, .nonce = nonce, .aad = aad, .in = plain};
    return gcm(cx, t, SEAL, &call, out);
}

struct mln_err mln_aes_gcm_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                                struct mln_bytes aad, struct mln_bytes box, uint8_t *out)
{
    CRYPTO_ENTER(t);
    struct aead_call call = {.key = key, .nonce = nonce, .aad = aad, .in = box};
    return gcm(cx, t, OPEN, &call, out);
}

/* ---- AES-128-GCM ---- */

struct mln_err mln_aes128_gcm_seal(struct mln_cx *cx, const uint8_t key[16],
                                   const uint8_t nonce[12], struct mln_bytes aad,
                                   struct mln_bytes plain, uint8_t *out)
{
    CRYPTO_ENTER(t);
    struct aead_call call = {.ctx = &t->gcm128[SEAL],
                             .cipher = crypto_algorithms()->gcm128,
                             .key = key,
                             .nonce = nonce,
                             .aad = aad,
                             .in = plain};
    return aead_seal(cx, &call, out);
}

struct mln_err mln_aes128_gcm_open(struct mln_cx *cx, const uint8_t key[16],
                                   const uint8_t nonce[12], struct mln_bytes aad,
                                   struct mln_bytes box, uint8_t *out)
{
    CRYPTO_ENTER(t);
    struct aead_call call = {.ctx = &t->gcm128[OPEN],
                             .cipher = crypto_algorithms()->gcm128,
                             .key = key,
                             .nonce = nonce,
                             .aad = aad,
                             .in = box};
    return aead_open(cx, &call, out);
}

/* ---- ChaCha20-Poly1305 ---- */

struct mln_err mln_chacha_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                               struct mln_bytes aad, struct mln_bytes plain, uint8_t *out)
{
    CRYPTO_ENTER(t);
    struct aead_call call = {.ctx = &t->chacha[SEAL],
                             .cipher = crypto_algorithms()->chacha,
                             .key = key,
                             .nonce = nonce,
                             .aad = aad,
                             .in = plain};
    return aead_seal(cx, &call, out);
}

struct mln_err mln_chacha_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                               struct mln_bytes aad, struct mln_bytes box, uint8_t *out)
{
    CRYPTO_ENTER(t);
    struct aead_call call = {.ctx = &t->chacha[OPEN],
                             .cipher = crypto_algorithms()->chacha,
                             .key = key,
                             .nonce = nonce,
                             .aad = aad,
                             .in = box};
    return aead_open(cx, &call, out);
}

/* ---- XAES-256-GCM ---- */

static bool ecb(EVP_CIPHER_CTX *ctx, const uint8_t *in, size_t n, uint8_t *out)
{
    int put = 0;
    return EVP_EncryptUpdate(ctx, out, &put, in, (int)n) == 1 && put == (int)n;
}

static bool slot_set(struct xaes_slot *slot, const uint8_t key[32])
{
    slot->is_set = false;
    bool is_new = slot->ecb == NULL;
    if (is_new && (slot->ecb = EVP_CIPHER_CTX_new()) == NULL) {
        return false;
    }
    const EVP_CIPHER *cipher = is_new ? crypto_algorithms()->ecb : NULL;
    uint8_t zero[16] = {0};
    uint8_t l[16];
    if (EVP_EncryptInit_ex2(slot->ecb, cipher, key, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(slot->ecb, 0) != 1 || !ecb(slot->ecb, zero, 16, l)) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) { /* double in GF(2^128), without a branch on the key */
        slot->k1[i] = (uint8_t)(l[i] << 1 | (i < 15 ? l[i + 1] >> 7 : 0));
    }
    slot->k1[15] ^= (uint8_t)(0x87 & (0U - (unsigned)(l[0] >> 7)));
    mln_wipe(l, sizeof(l));
    mln_copy(slot->key, key, 32);
    slot->is_set = true;
    return true;
}

static struct xaes_slot *slot_for(struct crypto_thread *t, const uint8_t key[32])
{
    for (size_t i = 0; i < XAES_SLOTS; i++) {
        if (t->xaes[i].is_set && mln_eq_ct(t->xaes[i].key, 32, key, 32)) {
            return &t->xaes[i];
        }
    }
    struct xaes_slot *slot = &t->xaes[t->xaes_next++ % XAES_SLOTS];
    return slot_set(slot, key) ? slot : NULL;
}

static struct mln_err derive(struct mln_cx *cx, struct crypto_thread *t, const uint8_t key[32],
                             const uint8_t nonce[24], uint8_t ret_key[32])
{
    const struct xaes_slot *slot = slot_for(t, key);
    if (slot == NULL) {
        return crypto_failed(cx, "key derivation");
    }
    uint8_t m[32] = {0, 1, 'X', 0};
    m[17] = 2;
    m[18] = 'X';
    mln_copy(m + 4, nonce, 12);
    mln_copy(m + 20, nonce, 12);
    for (size_t i = 0; i < 32; i++) {
        m[i] ^= slot->k1[i % 16];
    }
    bool is_ok = ecb(slot->ecb, m, sizeof(m), ret_key);
    mln_wipe(m, sizeof(m));
    return is_ok ? MLN_OK : crypto_failed(cx, "key derivation");
}

static struct mln_err xaes(struct mln_cx *cx, enum direction direction, struct aead_call *call,
                           uint8_t *out)
{
    CRYPTO_ENTER(t);
    uint8_t derived[32];
    MLN_TRY(derive(cx, t, call->key, call->nonce, derived));
    call->key = derived;
    call->nonce += 12;
    struct mln_err err = gcm_once(cx, t, direction, call, out);
    call->key = NULL;
    mln_wipe(derived, sizeof(derived));
    return err;
}

struct mln_err mln_xaes_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                             struct mln_bytes aad, struct mln_bytes plain, uint8_t *out)
{
    struct aead_call call = {.key = key, .nonce = nonce, .aad = aad, .in = plain};
    return xaes(cx, SEAL, &call, out);
}

struct mln_err mln_xaes_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                             struct mln_bytes aad, struct mln_bytes box, uint8_t *out)
{
    struct aead_call call = {.key = key, .nonce = nonce, .aad = aad, .in = box};
    return xaes(cx, OPEN, &call, out);
}
