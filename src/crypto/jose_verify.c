/* SPDX-License-Identifier: Apache-2.0 */
/* See jose_verify.h. Parsing is our own and strict, arithmetic is OpenSSL's. */
#include "crypto/jose_verify.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/json.h"
#include "base/text.h"
#include "crypto/crypto_priv.h"

#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   8192 /* verifying grows with the cube of it */
#define RSA_BYTES_MAX  (RSA_BITS_MAX / 8)
#define SOUND_KEYS     32u /* a few issuers' keys: 1 KiB a thread */
#define EXPONENT_BYTES 8u /* 65537 takes three; longer ones only cost time */

enum kind { KIND_RSA, KIND_P256, KIND_P384, KIND_P521, KIND_ED25519 };

struct mln_jose_public {
    enum kind kind;
    EVP_PKEY *pkey;
};

static const struct alg {
    const char *hash; /* NULL: the algorithm's own */
    size_t half;      /* of an ECDSA signature */
    enum kind kind;
    bool is_pss;
} algs[] = {
    [MLN_JOSE_RS256] = {"SHA256", 0, KIND_RSA, false}, [MLN_JOSE_RS384] = {"SHA384", 0, KIND_RSA, false},
    [MLN_JOSE_RS512] = {"SHA512", 0, KIND_RSA, false}, [MLN_JOSE_PS256] = {"SHA256", 0, KIND_RSA, true},
    [MLN_JOSE_PS384] = {"SHA384", 0, KIND_RSA, true},  [MLN_JOSE_PS512] = {"SHA512", 0, KIND_RSA, true},
    [MLN_JOSE_ES256] = {"SHA256", 32, KIND_P256, false}, [MLN_JOSE_ES384] = {"SHA384", 48, KIND_P384, false},
    [MLN_JOSE_ES512] = {"SHA512", 66, KIND_P521, false}, [MLN_JOSE_EDDSA] = {NULL, 0, KIND_ED25519, false},
};

static void pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void md_ctx_drop(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

/* ---- the token ---- */

static struct mln_err decode(struct mln_cx *cx, struct mln_bytes text, const char *what, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (mln_failed(mln_base64_parse(cx, text, MLN_B64_URL_RAW, &out))) {
        return mln_refail(cx, MLN_E_INVALID, "go-jose/go-jose: the %s is not base64url", what);
    }
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

static struct mln_err decode_object(struct mln_cx *cx, struct mln_bytes text, const char *what,
                                    const struct mln_value **ret)
{
    struct mln_bytes json;
    MLN_TRY(decode(cx, text, what, &json));
    struct mln_err err = mln_json_parse(cx, json, ret);
    if (mln_is(err, MLN_E_PARSE) || (!mln_failed(err) && mln_type_of(*ret) != MLN_OBJECT)) {
        return mln_refail(cx, MLN_E_INVALID, "go-jose/go-jose: the %s is no JSON object", what);
    }
    return err;
}

static struct mln_err read_header(struct mln_cx *cx, struct mln_jose_token *token)
{
    struct mln_bytes alg = mln_get_bytes(mln_get(token->header, "alg"));
    const struct mln_value *kid = mln_get(token->header, "kid");
    if (mln_get(token->header, "crit") != NULL || mln_get(token->header, "b64") != NULL) {
        return mln_fail(cx, MLN_E_INVALID, "go-jose/go-jose: unsupported crit header");
    }
    if (!mln_jose_alg_of(alg, &token->alg)) {
        return mln_fail(cx, MLN_E_INVALID, "go-jose/go-jose: unexpected signature algorithm \"%.*s\"",
                        alg.len > 16 || !mln_utf8_valid(alg) ? 0 : (int)alg.len, (const char *)alg.ptr);
    }
    if (kid != NULL && mln_type_of(kid) != MLN_STRING) {
        return mln_fail(cx, MLN_E_INVALID, "go-jose/go-jose: kid is no text");
    }
    token->kid = mln_get_bytes(kid);
    return MLN_OK;
}

struct mln_err mln_jose_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_jose_token *ret)
{
    struct mln_jose_token token = {0};
    struct mln_bytes rest, last;
    if (text.len > MLN_JOSE_TEXT_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "go-jose/go-jose: the token is longer than %u bytes", MLN_JOSE_TEXT_MAX);
    }
    struct mln_bytes header = mln_bytes_cut(text, '.', &rest);
    struct mln_bytes claims = mln_bytes_cut(rest, '.', &last);
    bool has_three = header.len < text.len && claims.len < rest.len && mln_bytes_find(last, '.') == last.len;
    if (!has_three) {
        return mln_fail(cx, MLN_E_INVALID, "go-jose/go-jose: compact JWS format must have three parts");
    }
    token.signed_part = mln_bytes_sub(text, 0, header.len + 1 + claims.len);
    MLN_TRY(decode_object(cx, header, "header", &token.header));
    MLN_TRY(read_header(cx, &token));
    MLN_TRY(decode_object(cx, claims, "payload", &token.claims));
    MLN_TRY(decode(cx, last, "signature", &token.signature));
    *ret = token;
    return MLN_OK;
}

/* ---- keys ---- */

void mln_jose_public_free(struct mln_jose_public *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        mln_free(key);
    }
}

void mln_jose_public_drop(struct mln_jose_public **key)
{
    mln_jose_public_free(*key);
}

/* Which of ours is it? Sizes and curves that are not ours are refused, points are checked to lie on their curve. */
static bool kind_of(const EVP_PKEY *pkey, enum kind *ret)
{
    static const struct {
        const char *name;
        enum kind kind;
    } curves[] = {{"prime256v1", KIND_P256}, {"secp384r1", KIND_P384}, {"secp521r1", KIND_P521}};
    char curve[32] = {0};
    if (EVP_PKEY_is_a(pkey, "ED25519") == 1) {
        *ret = KIND_ED25519;
        return true;
    }
    if (EVP_PKEY_is_a(pkey, "RSA") == 1) {
        *ret = KIND_RSA;
        return EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN && EVP_PKEY_get_bits(pkey) <= RSA_BITS_MAX;
    }
    if (EVP_PKEY_is_a(pkey, "EC") != 1 ||
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), NULL) != 1) {
        return false;
    }
    for (size_t i = 0; i < MLN_COUNT(curves); i++) {
        if (mln_bytes_is(mln_bytes_of(curve), curves[i].name)) {
            *ret = curves[i].kind;
            return true;
        }
    }
    return false;
}

/*
 * Keys that this thread has found sound lately, by the digest of all that they are. OpenSSL takes some 10 ms for an RSA key (a gcd of its
 * modulus), and who sends tokens, forged ones too, has the same few keys looked at again and again.
 */
static _Thread_local struct {
    uint8_t digests[SOUND_KEYS][MLN_SHA256_BYTES];
    size_t n, next;
} sound;

static bool digest_of(EVP_PKEY *pkey, uint8_t ret[MLN_SHA256_BYTES])
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(pkey, &der);
    if (n > 0) {
        mln_sha256(mln_bytes_at(der, (size_t)n), ret);
    }
    OPENSSL_free(der);
    return n > 0;
}

static bool is_remembered(const uint8_t digest[MLN_SHA256_BYTES])
{
    for (size_t i = 0; i < sound.n; i++) {
        if (mln_same(sound.digests[i], digest, MLN_SHA256_BYTES)) {
            return true;
        }
    }
    return false;
}

static void remember(const uint8_t digest[MLN_SHA256_BYTES])
{
    mln_copy(sound.digests[sound.next], digest, MLN_SHA256_BYTES);
    sound.next = (sound.next + 1) % SOUND_KEYS;
    sound.n += sound.n < SOUND_KEYS;
}

static bool is_sound(EVP_PKEY *pkey)
{
    uint8_t digest[MLN_SHA256_BYTES];
    bool has_digest = digest_of(pkey, digest);
    if (has_digest && is_remembered(digest)) {
        return true;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool ok = ctx != NULL && EVP_PKEY_public_check_quick(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (ok && has_digest) {
        remember(digest);
    }
    return ok;
}

/* Takes pkey, also when it fails; NULL is no key. */
static struct mln_err make_public(struct mln_cx *cx, EVP_PKEY *pkey, struct mln_jose_public **ret)
{
    MLN_AUTO(pkey_drop) EVP_PKEY *mine = pkey;
    enum kind kind = KIND_RSA;
    if (mine == NULL || !kind_of(mine, &kind) || !is_sound(mine)) {
        ERR_clear_error();
        return mln_fail(cx, MLN_E_INVALID, "jose: this is no public key of a kind that is verified with");
    }
    struct mln_jose_public *key = mln_alloc(sizeof(*key));
    if (key == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for a key");
    }
    *key = (struct mln_jose_public){.kind = kind, .pkey = mln_take(&mine)};
    *ret = key;
    return MLN_OK;
}

static EVP_PKEY *key_of_der(const char *name, const unsigned char *der, long n)
{
    const unsigned char *at = der;
    EVP_PKEY *pkey = NULL;
    if (mln_bytes_is(mln_bytes_of(name), PEM_STRING_PUBLIC)) {
        pkey = d2i_PUBKEY(NULL, &at, n);
    } else if (mln_bytes_is(mln_bytes_of(name), PEM_STRING_X509)) {
        X509 *x = d2i_X509(NULL, &at, n);
        pkey = x != NULL ? X509_get_pubkey(x) : NULL;
        X509_free(x);
    }
    if (pkey != NULL && at != der + n) { /* something behind it */
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return pkey;
}

struct mln_err mln_jose_public_from_pem(struct mln_cx *cx, struct mln_bytes pem, struct mln_jose_public **ret)
{
    char *name = NULL, *head = NULL;
    unsigned char *der = NULL;
    long n = 0;
    EVP_PKEY *pkey = NULL;
    BIO *bio = pem.len > 0 && pem.len <= MLN_JOSE_PEM_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    if (bio != NULL && PEM_read_bio(bio, &name, &head, &der, &n) == 1) {
        pkey = head == NULL || head[0] == 0 ? key_of_der(name, der, n) : NULL;
    }
    OPENSSL_free(name);
    OPENSSL_free(head);
    OPENSSL_free(der);
    BIO_free(bio);
    ERR_clear_error();
    return make_public(cx, pkey, ret);
}

/* ---- JWK ---- */

/* A member in base64url of 1 to max bytes. */
static struct mln_err member(struct mln_cx *cx, const struct mln_value *jwk, const char *name, size_t max,
                             struct mln_buf *ret)
{
    struct mln_bytes text = mln_get_bytes(mln_get(jwk, name));
    if (text.len == 0 || text.len > max * 2 || mln_failed(mln_base64_parse(cx, text, MLN_B64_URL_RAW, ret)) ||
        ret->len == 0 || ret->len > max) {
        mln_cx_clear(cx);
        return mln_fail(cx, MLN_E_INVALID, "jose: member %s of a key", name);
    }
    return MLN_OK;
}

static EVP_PKEY *rsa_from(struct mln_bytes n, struct mln_bytes e)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn(n.ptr, (int)n.len, NULL), *bn_e = BN_bin2bn(e.ptr, (int)e.len, NULL);
    OSSL_PARAM *params = NULL;
    if (ctx != NULL && build != NULL && bn_n != NULL && bn_e != NULL && BN_is_odd(bn_e) && !BN_is_one(bn_e) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn_n);
    BN_free(bn_e);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static struct mln_err rsa_from_jwk(struct mln_cx *cx, const struct mln_value *jwk, EVP_PKEY **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf n = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf e = {0};
    MLN_TRY(member(cx, jwk, "n", RSA_BYTES_MAX + 1, &n));
    MLN_TRY(member(cx, jwk, "e", EXPONENT_BYTES, &e));
    *ret = rsa_from(mln_buf_bytes(&n), mln_buf_bytes(&e));
    return MLN_OK;
}

static struct mln_err ec_from_jwk(struct mln_cx *cx, const struct mln_value *jwk, EVP_PKEY **ret)
{
    static const struct {
        const char *crv;
        size_t half;
    } curves[] = {{"P-256", 32}, {"P-384", 48}, {"P-521", 66}};
    MLN_AUTO(mln_buf_drop) struct mln_buf x = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf y = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf point = {0};
    MLN_TRY(member(cx, jwk, "x", 66, &x));
    MLN_TRY(member(cx, jwk, "y", 66, &y));
    mln_buf_add_byte(&point, 4);
    mln_buf_add_bytes(&point, mln_buf_bytes(&x));
    mln_buf_add_bytes(&point, mln_buf_bytes(&y));
    MLN_TRY(mln_buf_ok(cx, &point));
    for (size_t i = 0; i < MLN_COUNT(curves); i++) {
        if (mln_is_text(mln_get(jwk, "crv"), curves[i].crv) && x.len == curves[i].half && y.len == curves[i].half) {
            *ret = crypto_ec_key(curves[i].crv, NULL, mln_buf_bytes(&point));
        }
    }
    return MLN_OK;
}

static struct mln_err okp_from_jwk(struct mln_cx *cx, const struct mln_value *jwk, EVP_PKEY **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf x = {0};
    MLN_TRY(member(cx, jwk, "x", 32, &x));
    if (mln_is_text(mln_get(jwk, "crv"), "Ed25519") && x.len == 32) {
        *ret = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.ptr, x.len);
    }
    return MLN_OK;
}

static bool has_item(const struct mln_value *list, const char *text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_is_text(mln_item(list, i), text)) {
            return true;
        }
    }
    return false;
}

/* Is it given out for verifying? A private key in a public set is somebody's accident and not to be built on. */
static bool is_for_verifying(const struct mln_value *jwk)
{
    const struct mln_value *use = mln_get(jwk, "use"), *ops = mln_get(jwk, "key_ops");
    return (use == NULL || mln_is_text(use, "sig")) && (ops == NULL || has_item(ops, "verify")) &&
           mln_get(jwk, "d") == NULL && mln_get(jwk, "k") == NULL;
}

struct mln_err mln_jose_public_from_jwk(struct mln_cx *cx, const struct mln_value *jwk, struct mln_jose_public **ret)
{
    const struct mln_value *kty = mln_get(jwk, "kty");
    EVP_PKEY *pkey = NULL;
    if (!is_for_verifying(jwk)) {
        return mln_fail(cx, MLN_E_INVALID, "jose: the key is not for verifying");
    }
    if (mln_is_text(kty, "RSA")) {
        MLN_TRY(rsa_from_jwk(cx, jwk, &pkey));
    } else if (mln_is_text(kty, "EC")) {
        MLN_TRY(ec_from_jwk(cx, jwk, &pkey));
    } else if (mln_is_text(kty, "OKP")) {
        MLN_TRY(okp_from_jwk(cx, jwk, &pkey));
    }
    return make_public(cx, pkey, ret);
}

bool mln_jose_public_fits(const struct mln_jose_public *key, enum mln_jose_alg alg)
{
    return key->kind == algs[alg].kind;
}

/* ---- verifying ---- */

static struct mln_err forged(struct mln_cx *cx)
{
    ERR_clear_error();
    return mln_refail(cx, MLN_E_FORGED, "go-jose/go-jose: error in cryptographic primitive");
}

/* ECDSA signatures stand as r || s in a token, OpenSSL wants DER. */
static struct mln_err signature_of(struct mln_cx *cx, const struct alg *a, struct mln_bytes signature, struct mln_buf *ret)
{
    if (a->half == 0) {
        mln_buf_add_bytes(ret, signature);
        return mln_buf_ok(cx, ret);
    }
    return signature.len == 2 * a->half && !mln_failed(mln_ecdsa_raw_to_der(cx, signature, ret)) ? MLN_OK : forged(cx);
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct alg *a)
{
    if (a->kind != KIND_RSA) {
        return true;
    }
    return EVP_PKEY_CTX_set_rsa_padding(ctx, a->is_pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1 &&
           (!a->is_pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

struct mln_err mln_jose_verify(struct mln_cx *cx, const struct mln_jose_public *key, const struct mln_jose_token *token)
{
    const struct alg *a = &algs[token->alg];
    MLN_AUTO(mln_buf_drop) struct mln_buf signature = {0};
    EVP_PKEY_CTX *pctx = NULL;
    if (!mln_jose_public_fits(key, token->alg)) {
        return forged(cx);
    }
    MLN_TRY(signature_of(cx, a, token->signature, &signature));
    MLN_AUTO(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestVerifyInit_ex(ctx, &pctx, a->hash, NULL, NULL, key->pkey, NULL) != 1 ||
        !set_padding(pctx, a)) {
        return crypto_failed(cx, "verifying a token");
    }
    int rc = signature.len == 0 ? 0
                                : EVP_DigestVerify(ctx, signature.ptr, signature.len, token->signed_part.ptr,
                                                   token->signed_part.len);
    return rc == 1 ? MLN_OK : forged(cx);
}

/* One key of a set; *ret_fits: it is one for this token. */
static struct mln_err try_key(struct mln_cx *cx, const struct mln_value *jwk, const struct mln_jose_token *token,
                              bool *ret_fits)
{
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
    const struct mln_value *alg = mln_get(jwk, "alg");
    struct mln_err err = mln_jose_public_from_jwk(cx, jwk, &key);
    if (mln_is(err, MLN_E_INVALID)) {
        mln_cx_clear(cx);
        return (struct mln_err){MLN_E_FORGED};
    }
    MLN_TRY(err);
    *ret_fits = mln_jose_public_fits(key, token->alg) &&
                (alg == NULL || mln_is_text(alg, mln_jose_alg_name(token->alg)));
    return *ret_fits ? mln_jose_verify(cx, key, token) : (struct mln_err){MLN_E_FORGED};
}

struct mln_err mln_jose_verify_set(struct mln_cx *cx, const struct mln_value *jwks, const struct mln_jose_token *token)
{
    const struct mln_value *keys = mln_get(jwks, "keys");
    bool has_one = false;
    if (mln_type_of(keys) != MLN_ARRAY || mln_len(keys) > MLN_JOSE_KEYS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "jose: a set of keys is an array \"keys\" of at most %u", MLN_JOSE_KEYS_MAX);
    }
    for (size_t i = 0; i < mln_len(keys); i++) {
        const struct mln_value *jwk = mln_item(keys, i);
        bool fits = false;
        if (token->kid.len > 0 && !mln_bytes_eq(mln_get_bytes(mln_get(jwk, "kid")), token->kid)) {
            continue;
        }
        struct mln_err err = try_key(cx, jwk, token, &fits);
        if (!mln_is(err, MLN_E_FORGED)) {
            return err;
        }
        mln_cx_clear(cx);
        has_one = has_one || fits;
    }
    return has_one ? forged(cx) : mln_fail(cx, MLN_E_NOT_FOUND, "jose: no key of the set is the token's");
}
