/* SPDX-License-Identifier: Apache-2.0 */
/* Signing JWTs and printing JWKs over EVP. Keys are PKCS#8 DER in memory of the caller; no PEM passes through a BIO. */
#include "crypto/jose.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/json.h"
#include "base/text.h"
#include "crypto/crypto_priv.h"
#include "crypto/x509_priv.h"

#define RSA_BITS        2048u
#define RSA_BITS_MAX    8192u /* of a key that is signed with: bounds time and sizes */
#define SIGNATURE_BYTES (RSA_BITS_MAX / 8)

enum kind { RSA_PKCS1, RSA_PSS, EC, ED25519 };

static const struct alg {
    const char *name, *hash, *curve, *crv; /* curve: OpenSSL's name; crv: JWK's */
    enum kind kind;
    size_t half; /* bytes of a coordinate */
} algs[] = {
    [MLN_JOSE_RS256] = {"RS256", "SHA256", NULL, NULL, RSA_PKCS1, 0},
    [MLN_JOSE_RS384] = {"RS384", "SHA384", NULL, NULL, RSA_PKCS1, 0},
    [MLN_JOSE_RS512] = {"RS512", "SHA512", NULL, NULL, RSA_PKCS1, 0},
    [MLN_JOSE_PS256] = {"PS256", "SHA256", NULL, NULL, RSA_PSS, 0},
    [MLN_JOSE_PS384] = {"PS384", "SHA384", NULL, NULL, RSA_PSS, 0},
    [MLN_JOSE_PS512] = {"PS512", "SHA512", NULL, NULL, RSA_PSS, 0},
    [MLN_JOSE_ES256] = {"ES256", "SHA256", "P-256", "P-256", EC, 32},
    [MLN_JOSE_ES384] = {"ES384", "SHA384", "P-384", "P-384", EC, 48},
    [MLN_JOSE_ES512] = {"ES512", "SHA512", "P-521", "P-521", EC, 66},
    [MLN_JOSE_EDDSA] = {"EdDSA", "SHA512", NULL, "Ed25519", ED25519, 32},
};

bool mln_jose_alg_of(struct mln_bytes name, enum mln_jose_alg *ret)
{
    for (size_t i = 0; i < MLN_COUNT(algs); i++) {
        if (mln_bytes_is(name, algs[i].name)) {
            *ret = (enum mln_jose_alg)i;
            return true;
        }
    }
    return false;
}

const char *mln_jose_alg_name(enum mln_jose_alg alg)
{
    return algs[alg].name;
}

static void pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void md_ctx_drop(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

static void bn_drop(BIGNUM **p)
{
    BN_clear_free(*p);
}

/* ---- keys ---- */

struct mln_err mln_jose_generate(struct mln_cx *cx, enum mln_jose_alg alg, struct mln_buf *der)
{
    const struct alg *a = &algs[alg];
    MLN_CHECK(der->is_secret);
    MLN_AUTO(pkey_drop)
    EVP_PKEY *key = a->kind == EC        ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", a->curve)
                    : a->kind == ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                         : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
    PKCS8_PRIV_KEY_INFO *info = key != NULL ? EVP_PKEY2PKCS8(key) : NULL;
    unsigned char *out = NULL;
    int n = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &out) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (n <= 0) {
        return crypto_failed(cx, "making a signing key");
    }
    mln_buf_add(der, out, (size_t)n);
    OPENSSL_clear_free(out, (size_t)n);
    return mln_buf_ok(cx, der);
}

static bool is_of_kind(const EVP_PKEY *key, const struct alg *a)
{
    char curve[32] = {0};
    switch (a->kind) {
    case EC:
        return EVP_PKEY_is_a(key, "EC") == 1 &&
               EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
                                              NULL) == 1 &&
               EVP_PKEY_get_bits(key) == (a->half == 66 ? 521 : (int)a->half * 8) &&
               mln_bytes_starts(mln_bytes_of(curve), a->half == 32   ? MLN_BYTES("prime256v1")
                                                     : a->half == 48 ? MLN_BYTES("secp384r1")
                                                                     : MLN_BYTES("secp521r1"));
    case ED25519:
        return EVP_PKEY_is_a(key, "ED25519") == 1;
    case RSA_PKCS1:
    case RSA_PSS:
    default:
        return EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) >= (int)RSA_BITS &&
               EVP_PKEY_get_bits(key) <= (int)RSA_BITS_MAX;
    }
}

static struct mln_err load(struct mln_cx *cx, const struct alg *a, struct mln_bytes der,
                           EVP_PKEY **ret)
{
    const unsigned char *at = der.ptr;
    PKCS8_PRIV_KEY_INFO *info = der.len > 0 && der.len < AEAD_MAX
                                    ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len)
                                    : NULL;
    MLN_AUTO(pkey_drop)
    EVP_PKEY *key = info != NULL && at == der.ptr + der.len ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (key == NULL || !is_of_kind(key, a)) {
        return mln_fail(cx, MLN_E_INVALID, "the key is none for %s", a->name);
    }
    *ret = mln_take(&key);
    return MLN_OK;
}

/* ---- JWK ---- */

/* pad: bytes that the number is filled up to; 0: as short as it is (RFC 7518 sec. 2, Base64urlUInt). */
static struct mln_err put_number(struct mln_cx *cx, const EVP_PKEY *key, const char *param,
                                 const char *name, size_t pad, struct mln_value *jwk)
{
    uint8_t bytes[SIGNATURE_BYTES];
    BIGNUM *raw = NULL;
    if (EVP_PKEY_get_bn_param(key, param, &raw) != 1) {
        return crypto_failed(cx, "reading a public key");
    }
    MLN_AUTO(bn_drop) BIGNUM *n = raw;
    int len = pad > 0 ? (int)pad : BN_num_bytes(n);
    if (len > (int)sizeof(bytes) || BN_bn2binpad(n, bytes, len) != len) {
        return crypto_failed(cx, "reading a public key");
    }
    mln_put_text(cx, jwk, name,
                 mln_base64_text(cx, mln_bytes_at(bytes, (size_t)len), MLN_B64_URL_RAW));
    return MLN_OK;
}

static struct mln_err put_public(struct mln_cx *cx, const struct alg *a, const EVP_PKEY *key,
                                 struct mln_value *jwk)
{
    if (a->kind == RSA_PKCS1 || a->kind == RSA_PSS) {
        MLN_TRY(put_number(cx, key, OSSL_PKEY_PARAM_RSA_N, "n", 0, jwk));
        return put_number(cx, key, OSSL_PKEY_PARAM_RSA_E, "e", 0, jwk);
    }
    if (a->kind == EC) {
        MLN_TRY(put_number(cx, key, OSSL_PKEY_PARAM_EC_PUB_X, "x", a->half, jwk));
        return put_number(cx, key, OSSL_PKEY_PARAM_EC_PUB_Y, "y", a->half, jwk);
    }
    uint8_t point[32];
    size_t n = sizeof(point);
    if (EVP_PKEY_get_raw_public_key(key, point, &n) != 1) {
        return crypto_failed(cx, "reading a public key");
    }
    mln_put_text(cx, jwk, "x", mln_base64_text(cx, mln_bytes_at(point, n), MLN_B64_URL_RAW));
    return MLN_OK;
}

struct mln_err mln_jose_jwk(struct mln_cx *cx, enum mln_jose_alg alg, const char *kid,
                            struct mln_bytes der, const struct mln_value **ret)
{
    const struct alg *a = &algs[alg];
    EVP_PKEY *loaded = NULL;
    MLN_TRY(load(cx, a, der, &loaded));
    MLN_AUTO(pkey_drop) EVP_PKEY *key = loaded;
    struct mln_value *jwk = mln_object(cx);
    mln_put_text(cx, jwk, "use", "sig");
    mln_put_text(cx, jwk, "kty", a->kind == EC ? "EC" : a->kind == ED25519 ? "OKP" : "RSA");
    mln_put_text(cx, jwk, "kid", kid);
    if (a->crv != NULL) {
        mln_put_text(cx, jwk, "crv", a->crv);
    }
    mln_put_text(cx, jwk, "alg", a->name);
    MLN_TRY(put_public(cx, a, key, jwk));
    *ret = jwk;
    return mln_cx_err(cx);
}

struct mln_err mln_jose_jwk_of_spki(struct mln_cx *cx, struct mln_bytes spki, const struct mln_value **ret)
{
    static const enum mln_jose_alg kinds[] = {MLN_JOSE_ES256, MLN_JOSE_ES384, MLN_JOSE_ES512, MLN_JOSE_RS256, MLN_JOSE_EDDSA};
    const unsigned char *at = spki.ptr;
    MLN_AUTO(pkey_drop) EVP_PKEY *key = spki.len > 0 && spki.len < AEAD_MAX ? d2i_PUBKEY(NULL, &at, (long)spki.len) : NULL;
    for (size_t i = 0; key != NULL && i < MLN_COUNT(kinds); i++) {
        const struct alg *a = &algs[kinds[i]];
        if (is_of_kind(key, a)) {
            struct mln_value *jwk = mln_object(cx);
            mln_put_text(cx, jwk, "kty", a->kind == EC ? "EC" : a->kind == ED25519 ? "OKP" : "RSA");
            if (a->crv != NULL) {
                mln_put_text(cx, jwk, "crv", a->crv);
            }
            MLN_TRY(put_public(cx, a, key, jwk));
            *ret = jwk;
            return mln_cx_err(cx);
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "the public key is of no kind that a JWK has here");
}

/* ---- JWS ---- */

static bool prepare(const struct alg *a, EVP_PKEY *key, EVP_MD_CTX *ctx)
{
    EVP_PKEY_CTX *options = NULL; /* ctx's own */
    if (EVP_DigestSignInit_ex(ctx, &options, a->kind == ED25519 ? NULL : a->hash, NULL, NULL, key,
                              NULL) != 1) {
        return false;
    }
    return a->kind != RSA_PSS ||
           (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
}

/* Appends "." and the signature over all that jwt holds from `from` on. */
static struct mln_err add_signature(struct mln_cx *cx, const struct alg *a, EVP_PKEY *key,
                                    size_t from, struct mln_buf *jwt)
{
    uint8_t sig[SIGNATURE_BYTES];
    size_t n = sizeof(sig);
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    MLN_AUTO(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct mln_bytes input = mln_bytes_from(mln_buf_bytes(jwt), from);
    if (ctx == NULL || !prepare(a, key, ctx) ||
        EVP_DigestSign(ctx, sig, &n, input.ptr, input.len) != 1) {
        return crypto_failed(cx, "signing a token");
    }
    struct mln_bytes signature = mln_bytes_at(sig, n);
    if (a->kind == EC) {
        MLN_TRY(mln_ecdsa_der_to_raw(cx, signature, a->half, &raw));
        signature = mln_buf_bytes(&raw);
    }
    mln_buf_add_byte(jwt, '.');
    mln_base64_print(jwt, signature, MLN_B64_URL_RAW);
    return mln_buf_ok(cx, jwt);
}

struct mln_err mln_jose_sign(struct mln_cx *cx, const struct mln_jose_key *key, const char *typ,
                             const struct mln_value *claims, struct mln_buf *jwt)
{
    const struct alg *a = &algs[key->alg];
    size_t from = jwt->len;
    CRYPTO_ENTER(t);
    EVP_PKEY *pkey = x509_key_of(t, key->der); /* kept by the thread: taking a key apart costs ten signatures */
    if (pkey == NULL || !is_of_kind(pkey, a)) {
        return mln_fail(cx, MLN_E_INVALID, "the key is none for %s", a->name);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf part = {.is_secret = true};
    struct mln_value *header = mln_object(cx);
    mln_put_text(cx, header, "alg", a->name);
    mln_put_text(cx, header, "kid", key->kid);
    if (typ != NULL) {
        mln_put_text(cx, header, "typ", typ);
    }
    MLN_TRY(mln_cx_err(cx));
    mln_json_print(&part, header, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &part));
    mln_base64_print(jwt, mln_buf_bytes(&part), MLN_B64_URL_RAW);
    mln_buf_clear(&part);
    mln_json_print(&part, claims, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &part));
    mln_buf_add_byte(jwt, '.');
    mln_base64_print(jwt, mln_buf_bytes(&part), MLN_B64_URL_RAW);
    MLN_TRY(mln_buf_ok(cx, jwt));
    return add_signature(cx, a, pkey, from, jwt);
}

struct mln_err mln_jose_half_hash(struct mln_cx *cx, enum mln_jose_alg alg, struct mln_bytes text,
                                  const char **ret)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t n = 0;
    if (EVP_Q_digest(NULL, algs[alg].hash, NULL, text.ptr, text.len, digest, &n) != 1) {
        return crypto_failed(cx, "hashing a token");
    }
    *ret = mln_base64_text(cx, mln_bytes_at(digest, n / 2), MLN_B64_URL_RAW);
    return mln_cx_err(cx);
}
