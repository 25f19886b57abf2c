/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA (FIPS 186-5) over P-256, and verification over P-384 and P-521; keys as SEC 1 bytes,
 * signatures as DER or r || s.
 * Keys go in by fromdata and come out by numbers: no PEM passes through a BIO, which would leave
 * copies behind.
 */
#include "crypto/crypto_priv.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>

#include "base/clock.h"

static void pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void pkey_ctx_drop(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}

static void bn_drop(BIGNUM **p)
{
    BN_clear_free(*p);
}

static void point_drop(EC_POINT **p)
{
    EC_POINT_clear_free(*p);
}

static void sig_drop(ECDSA_SIG **p)
{
    ECDSA_SIG_free(*p);
}

EVP_PKEY *crypto_ec_key(const char *curve, const uint8_t *scalar, struct mln_bytes point)
{
    uint8_t native[32]; /* OSSL_PARAM numbers are little-endian here: x86-64 and arm64 */
    char name[32] = {0};
    mln_copy(name, curve, mln_bytes_of(curve).len);
    OSSL_PARAM params[4] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0)};
    size_t n = 1;
    if (scalar != NULL) {
        for (size_t i = 0; i < 32; i++) {
            native[i] = scalar[31 - i];
        }
        params[n++] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, 32);
    }
    uint8_t encoded[133];
    if (point.len > 0 && point.len <= sizeof(encoded)) {
        mln_copy(encoded, point.ptr, point.len);
        params[n++] =
            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, encoded, point.len);
    }
    params[n] = OSSL_PARAM_construct_end();
    MLN_AUTO(pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    int selection = scalar != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, selection, params) != 1) {
        key = NULL;
    }
    mln_wipe(native, sizeof(native));
    return key;
}

struct mln_err mln_p256_public(struct mln_cx *cx, const uint8_t scalar[32], uint8_t point[65])
{
    const EC_GROUP *group = crypto_algorithms()->p256;
    MLN_AUTO(bn_drop) BIGNUM *d = BN_secure_new();
    MLN_AUTO(point_drop) EC_POINT *q = EC_POINT_new(group);
    if (d == NULL || q == NULL || BN_bin2bn(scalar, 32, d) == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    BN_set_flags(d, BN_FLG_CONSTTIME);
    if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0) {
        return mln_fail(cx, MLN_E_INVALID, "the P-256 private key is out of range");
    }
    if (EC_POINT_mul(group, q, d, NULL, NULL, NULL) != 1 ||
        EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, point, 65, NULL) != 65) {
        return crypto_failed(cx, "key computation");
    }
    return MLN_OK;
}

struct mln_err mln_p256_generate(struct mln_cx *cx, uint8_t scalar[32], uint8_t point[65])
{
    struct mln_err err;
    uint8_t drawn[32];
    do { /* rejection: out of range is one draw in 2^32 */
        mln_random(drawn, sizeof(drawn));
        err = mln_p256_public(NULL, drawn, point);
    } while (mln_is(err, MLN_E_INVALID));
    if (mln_failed(err)) {
        return mln_fail(cx, (enum mln_code)err.code, "no P-256 key can be made");
    }
    mln_copy(scalar, drawn, sizeof(drawn));
    mln_wipe(drawn, sizeof(drawn));
    return MLN_OK;
}

/* ---- signing ---- */

static bool scalar_in_range(const uint8_t scalar[32])
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    unsigned borrow = 0;
    unsigned any = 0;
    for (size_t i = 32; i-- > 0;) { /* scalar - order, in constant time */
        unsigned difference = (unsigned)scalar[i] - order[i] - borrow;
        borrow = difference >> 8 & 1;
        any |= scalar[i];
    }
    return borrow == 1 && any != 0;
}

static EVP_PKEY_CTX *signer_for(struct crypto_thread *t, const uint8_t scalar[32])
{
    for (size_t i = 0; i < EC_SLOTS; i++) {
        if (t->ec[i].ctx != NULL && mln_eq_ct(t->ec[i].scalar, 32, scalar, 32)) {
            return t->ec[i].ctx;
        }
    }
    MLN_AUTO(pkey_drop) EVP_PKEY *key = crypto_ec_key("prime256v1", scalar, MLN_BYTES_NONE);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    struct ec_slot *slot = &t->ec[t->ec_next++ % EC_SLOTS];
    EVP_PKEY_CTX_free(slot->ctx);
    slot->ctx = ctx;
    mln_copy(slot->scalar, scalar, 32);
    return ctx;
}

struct mln_err mln_p256_sign_digest(struct mln_cx *cx, const uint8_t scalar[32],
                                    const uint8_t digest[32], struct mln_buf *sig)
{
    if (!scalar_in_range(scalar)) {
        return mln_fail(cx, MLN_E_INVALID, "the P-256 private key is out of range");
    }
    uint8_t der[80]; /* 72 at most for P-256 */
    size_t n = sizeof(der);
    {
        CRYPTO_ENTER(t);
        EVP_PKEY_CTX *ctx = signer_for(t, scalar);
        if (ctx == NULL || EVP_PKEY_sign(ctx, der, &n, digest, 32) != 1) {
            return crypto_failed(cx, "signing");
        }
    }
    mln_buf_add(sig, der, n);
    return mln_buf_ok(cx, sig);
}

/* ---- verifying ---- */

static const char *curve_of(struct mln_bytes point)
{
    if (point.len == 0 || point.ptr[0] != 4) {
        return NULL;
    }
    return point.len == 65    ? "prime256v1"
           : point.len == 97  ? "secp384r1"
           : point.len == 133 ? "secp521r1"
                              : NULL;
}

struct mln_err mln_ec_verify_digest(struct mln_cx *cx, struct mln_bytes point,
                                    struct mln_bytes digest, struct mln_bytes der)
{
    const char *curve = curve_of(point);
    MLN_AUTO(pkey_drop) EVP_PKEY *key = curve != NULL ? crypto_ec_key(curve, NULL, point) : NULL;
    if (key == NULL) {
        (void)crypto_failed(NULL, "key"); /* drains OpenSSL's queue */
        return mln_fail(cx, MLN_E_INVALID, "the elliptic curve public key is not valid");
    }
    if (digest.len < 20 || digest.len > 64) {
        return mln_fail(cx, MLN_E_INVALID, "a digest has 20 to 64 bytes");
    }
    MLN_AUTO(pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1) {
        return crypto_failed(cx, "verification");
    }
    static const uint8_t nothing;
    const uint8_t *text = der.ptr != NULL ? der.ptr : &nothing;
    if (EVP_PKEY_verify(ctx, text, der.len, digest.ptr, digest.len) != 1) {
        (void)crypto_failed(NULL, "verification");
        return mln_fail(cx, MLN_E_FORGED, "the ECDSA signature is not valid");
    }
    return MLN_OK;
}

struct mln_err mln_p256_verify_digest(struct mln_cx *cx, const uint8_t point[65],
                                      const uint8_t digest[32], struct mln_bytes der)
{
    return mln_ec_verify_digest(cx, mln_bytes_at(point, 65), mln_bytes_at(digest, 32), der);
}

/* ---- forms of a signature ---- */

struct mln_err mln_ecdsa_der_to_raw(struct mln_cx *cx, struct mln_bytes der, size_t half,
                                    struct mln_buf *raw)
{
    if (half < 1 || half > 66) {
        return mln_fail(cx, MLN_E_INVALID, "half a signature has 1 to 66 bytes");
    }
    const uint8_t *at = der.ptr;
    MLN_AUTO(sig_drop)
    ECDSA_SIG *sig = der.len > 0 && der.len < 256 ? d2i_ECDSA_SIG(NULL, &at, (long)der.len) : NULL;
    uint8_t again[256];
    uint8_t *put = again;
    uint8_t out[132];
    if (sig == NULL || at != der.ptr + der.len || i2d_ECDSA_SIG(sig, NULL) != (int)der.len ||
        i2d_ECDSA_SIG(sig, &put) != (int)der.len || !mln_same(again, der.ptr, der.len) ||
        BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half) < 0 ||
        BN_is_negative(ECDSA_SIG_get0_r(sig)) || BN_is_negative(ECDSA_SIG_get0_s(sig))) {
        (void)crypto_failed(NULL, "signature");
        return mln_fail(cx, MLN_E_PARSE, "the signature is not ECDSA in DER");
    }
    mln_buf_add(raw, out, 2 * half);
    return mln_buf_ok(cx, raw);
}

struct mln_err mln_ecdsa_raw_to_der(struct mln_cx *cx, struct mln_bytes raw, struct mln_buf *der)
{
    if (raw.len < 2 || raw.len % 2 != 0 || raw.len > 132) {
        return mln_fail(cx, MLN_E_PARSE, "the signature is not r || s");
    }
    int half = (int)(raw.len / 2);
    MLN_AUTO(sig_drop) ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.ptr, half, NULL);
    BIGNUM *s = BN_bin2bn(raw.ptr + half, half, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    uint8_t out[160];
    uint8_t *at = out;
    int n = i2d_ECDSA_SIG(sig, &at);
    if (n <= 0) {
        return crypto_failed(cx, "encoding");
    }
    mln_buf_add(der, out, (size_t)n);
    return mln_buf_ok(cx, der);
}
