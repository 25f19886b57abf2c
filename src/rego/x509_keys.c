/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as values: Go's structures and JSON web keys (RFC 7518, RFC 8037). */
#include "rego/x509_shape_priv.h"

#include "base/text.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>

#define EC_HALF_MAX 66 /* bytes of a coordinate of P-521 */

enum algorithm { UNKNOWN, RSA_KEY, DSA_KEY, EC_KEY_, ED25519_KEY }; /* x509.PublicKeyAlgorithm */

struct rg_val rg_x509_base64(struct rg_heap *heap, struct mln_bytes bytes)
{
    struct mln_buf out = {0};
    mln_base64_print(&out, bytes, MLN_B64_STD);
    return rg_string_buf(heap, &out);
}

struct rg_val rg_x509_bn(struct rg_heap *heap, const BIGNUM *n)
{
    char *text = n == NULL ? NULL : BN_bn2dec(n);
    struct rg_val v = text == NULL ? rg_null() : rg_number(heap, mln_bytes_of(text));
    OPENSSL_free(text);
    return v;
}

int rg_x509_key_algorithm(const EVP_PKEY *key)
{
    switch (key == NULL ? 0 : EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return RSA_KEY;
    case EVP_PKEY_DSA:
        return DSA_KEY;
    case EVP_PKEY_EC:
        return EC_KEY_;
    case EVP_PKEY_ED25519:
        return ED25519_KEY;
    default:
        return UNKNOWN;
    }
}

static struct rg_val number(struct rg_heap *heap, EVP_PKEY *key, const char *name)
{
    MLN_AUTO(rg_x509_bn_drop) BIGNUM *n = NULL;
    return EVP_PKEY_get_bn_param(key, name, &n) == 1 ? rg_x509_bn(heap, n) : rg_null();
}

/* The members of Go's ecdsa.PublicKey. */
static void put_point(struct rg_heap *heap, struct rg_val out, EVP_PKEY *key)
{
    rg_put_text(heap, out, "Curve", rg_object(heap, 0));
    rg_put_text(heap, out, "X", number(heap, key, OSSL_PKEY_PARAM_EC_PUB_X));
    rg_put_text(heap, out, "Y", number(heap, key, OSSL_PKEY_PARAM_EC_PUB_Y));
}

static void put_modulus(struct rg_heap *heap, struct rg_val out, EVP_PKEY *key)
{
    rg_put_text(heap, out, "N", number(heap, key, OSSL_PKEY_PARAM_RSA_N));
    rg_put_text(heap, out, "E", number(heap, key, OSSL_PKEY_PARAM_RSA_E));
}

static struct rg_val dsa_key(struct rg_heap *heap, EVP_PKEY *key)
{
    struct rg_val out = rg_object(heap, 2), p = rg_object(heap, 3);
    rg_put_text(heap, p, "P", number(heap, key, OSSL_PKEY_PARAM_FFC_P));
    rg_put_text(heap, p, "Q", number(heap, key, OSSL_PKEY_PARAM_FFC_Q));
    rg_put_text(heap, p, "G", number(heap, key, OSSL_PKEY_PARAM_FFC_G));
    rg_put_text(heap, out, "Parameters", p);
    rg_put_text(heap, out, "Y", number(heap, key, OSSL_PKEY_PARAM_PUB_KEY));
    return out;
}

struct rg_val rg_x509_public_key(struct rg_heap *heap, EVP_PKEY *key)
{
    uint8_t raw[32];
    size_t n = sizeof(raw);
    struct rg_val out = rg_object(heap, 3);
    switch (rg_x509_key_algorithm(key)) {
    case RSA_KEY:
        put_modulus(heap, out, key);
        return out;
    case EC_KEY_:
        put_point(heap, out, key);
        return out;
    case DSA_KEY:
        return dsa_key(heap, key);
    case ED25519_KEY:
        return EVP_PKEY_get_raw_public_key(key, raw, &n) == 1
                   ? rg_x509_base64(heap, mln_bytes_at(raw, n))
                   : rg_null();
    default:
        return rg_null();
    }
}

static struct rg_val rsa_private(struct rg_heap *heap, EVP_PKEY *key)
{
    struct rg_val out = rg_object(heap, 5), more = rg_object(heap, 4), primes = rg_array(heap, 2);
    put_modulus(heap, out, key);
    rg_put_text(heap, out, "D", number(heap, key, OSSL_PKEY_PARAM_RSA_D));
    rg_push(heap, primes, number(heap, key, OSSL_PKEY_PARAM_RSA_FACTOR1));
    rg_push(heap, primes, number(heap, key, OSSL_PKEY_PARAM_RSA_FACTOR2));
    rg_put_text(heap, out, "Primes", primes);
    rg_put_text(heap, more, "Dp", number(heap, key, OSSL_PKEY_PARAM_RSA_EXPONENT1));
    rg_put_text(heap, more, "Dq", number(heap, key, OSSL_PKEY_PARAM_RSA_EXPONENT2));
    rg_put_text(heap, more, "Qinv", number(heap, key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1));
    rg_put_text(heap, more, "CRTValues", rg_array(heap, 0));
    rg_put_text(heap, out, "Precomputed", more);
    return out;
}

struct rg_val rg_x509_private_key(struct rg_heap *heap, EVP_PKEY *key)
{
    uint8_t raw[64];
    size_t seed = 32, point = 32;
    struct rg_val out = rg_object(heap, 4);
    switch (rg_x509_key_algorithm(key)) {
    case RSA_KEY:
        return rsa_private(heap, key);
    case EC_KEY_:
        put_point(heap, out, key);
        rg_put_text(heap, out, "D", number(heap, key, OSSL_PKEY_PARAM_PRIV_KEY));
        return out;
    case ED25519_KEY: /* Go's is the seed and the public key */
        out = EVP_PKEY_get_raw_private_key(key, raw, &seed) == 1 &&
                      EVP_PKEY_get_raw_public_key(key, raw + 32, &point) == 1
                  ? rg_x509_base64(heap, mln_bytes_at(raw, sizeof(raw)))
                  : RG_NONE;
        OPENSSL_cleanse(raw, sizeof(raw));
        return out;
    default:
        return RG_NONE;
    }
}

/* ---- JSON web keys ---- */
static struct rg_val base64url(struct rg_heap *heap, struct mln_bytes bytes)
{
    struct mln_buf out = {0};
    mln_base64_print(&out, bytes, MLN_B64_URL_RAW);
    return rg_string_buf(heap, &out);
}

/* A number as bytes, `width` of them or (0) as few as will do. */
static bool put_bytes(struct rg_heap *heap, struct rg_val out, const char *member, EVP_PKEY *key,
                      const char *name, int width)
{
    uint8_t raw[2048];
    MLN_AUTO(rg_x509_bn_drop) BIGNUM *n = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &n) != 1 || BN_num_bytes(n) > (int)sizeof(raw)) {
        return false;
    }
    int len = width == 0 ? BN_num_bytes(n) : width;
    bool ok = BN_bn2binpad(n, raw, len) == len;
    rg_put_text(heap, out, member, base64url(heap, mln_bytes_at(raw, ok ? (size_t)len : 0)));
    OPENSSL_cleanse(raw, sizeof(raw));
    return ok;
}

static struct rg_val jwk_rsa(struct rg_heap *heap, EVP_PKEY *key)
{
    static const char *const members[][2] = {
        {"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
        {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
        {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
        {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};
    struct rg_val out = rg_object(heap, 9);
    rg_put_text(heap, out, "kty", rg_text(heap, "RSA"));
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (!put_bytes(heap, out, members[i][0], key, members[i][1], 0)) {
            return RG_NONE;
        }
    }
    return out;
}

static struct rg_val jwk_ec(struct rg_heap *heap, EVP_PKEY *key)
{
    static const struct {
        const char *group, *name;
        int half;
    } curves[] = {{"prime256v1", "P-256", 32},
                  {"secp384r1", "P-384", 48},
                  {"secp521r1", "P-521", EC_HALF_MAX}};
    char group[64];
    size_t n = 0;
    struct rg_val out = rg_object(heap, 5);
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), &n) != 1) {
        return RG_NONE;
    }
    for (size_t i = 0; i < MLN_COUNT(curves); i++) {
        if (mln_bytes_is(mln_bytes_of(group), curves[i].group)) {
            rg_put_text(heap, out, "kty", rg_text(heap, "EC"));
            rg_put_text(heap, out, "crv", rg_text(heap, curves[i].name));
            return put_bytes(heap, out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].half) &&
                           put_bytes(heap, out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y,
                                     curves[i].half) &&
                           put_bytes(heap, out, "d", key, OSSL_PKEY_PARAM_PRIV_KEY, curves[i].half)
                       ? out
                       : RG_NONE;
        }
    }
    return RG_NONE;
}

static struct rg_val jwk_ed25519(struct rg_heap *heap, EVP_PKEY *key)
{
    uint8_t raw[64];
    size_t seed = 32, point = 32;
    struct rg_val out = rg_object(heap, 4);
    if (EVP_PKEY_get_raw_private_key(key, raw, &seed) != 1 ||
        EVP_PKEY_get_raw_public_key(key, raw + 32, &point) != 1) {
        return RG_NONE;
    }
    rg_put_text(heap, out, "kty", rg_text(heap, "OKP"));
    rg_put_text(heap, out, "crv", rg_text(heap, "Ed25519"));
    rg_put_text(heap, out, "d", base64url(heap, mln_bytes_at(raw, 32)));
    rg_put_text(heap, out, "x", base64url(heap, mln_bytes_at(raw + 32, 32)));
    OPENSSL_cleanse(raw, sizeof(raw));
    return out;
}

struct rg_val rg_x509_jwk(struct rg_heap *heap, EVP_PKEY *key)
{
    switch (rg_x509_key_algorithm(key)) {
    case RSA_KEY:
        return jwk_rsa(heap, key);
    case EC_KEY_:
        return jwk_ec(heap, key);
    case ED25519_KEY:
        return jwk_ed25519(heap, key);
    default:
        return RG_NONE;
    }
}
