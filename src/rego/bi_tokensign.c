/* SPDX-License-Identifier: Apache-2.0 */
/* io.jwt.encode_sign and encode_sign_raw: tokens signed by a JWK (oct, RSA, EC, OKP). */
#include "rego/builtin_priv.h"

#include "base/text.h"
#include "crypto/digest.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#define MEMBER_MAX 2048u /* bytes of one number: RSA keys of 16,384 bits */

struct alg {
    const char *name, *kty, *curve;
    enum mln_hash hash;
    const EVP_MD *(*md)(void);
    bool pss;
    int half; /* of an ECDSA signature */
};

static const struct alg algs[] = {
    {"HS256", "oct", NULL, MLN_HASH_SHA2_256, EVP_sha256, false, 0},
    {"HS384", "oct", NULL, MLN_HASH_SHA2_384, EVP_sha384, false, 0},
    {"HS512", "oct", NULL, MLN_HASH_SHA2_512, EVP_sha512, false, 0},
    {"RS256", "RSA", NULL, MLN_HASH_SHA2_256, EVP_sha256, false, 0},
    {"RS384", "RSA", NULL, MLN_HASH_SHA2_384, EVP_sha384, false, 0},
    {"RS512", "RSA", NULL, MLN_HASH_SHA2_512, EVP_sha512, false, 0},
    {"PS256", "RSA", NULL, MLN_HASH_SHA2_256, EVP_sha256, true, 0},
    {"PS384", "RSA", NULL, MLN_HASH_SHA2_384, EVP_sha384, true, 0},
    {"PS512", "RSA", NULL, MLN_HASH_SHA2_512, EVP_sha512, true, 0},
    {"ES256", "EC", "P-256", MLN_HASH_SHA2_256, EVP_sha256, false, 32},
    {"ES384", "EC", "P-384", MLN_HASH_SHA2_384, EVP_sha384, false, 48},
    {"ES512", "EC", "P-521", MLN_HASH_SHA2_512, EVP_sha512, false, 66},
    {"EdDSA", "OKP", "Ed25519", MLN_HASH_NONE, NULL, false, 0},
};

static const struct alg *alg_of(struct mln_bytes name)
{
    for (size_t i = 0; i < MLN_COUNT(algs); i++) {
        if (mln_bytes_is(name, algs[i].name)) {
            return &algs[i];
        }
    }
    return NULL;
}

static bool member(struct rg_val jwk, const char *name, struct mln_buf *out)
{
    struct rg_val v = rg_get_text(jwk, name);
    out->is_secret = true;
    return v.tag == RG_STR && v.str->len <= MEMBER_MAX * 2 &&
           !mln_failed(mln_base64_parse(NULL, rg_bytes(v), MLN_B64_URL_RAW, out));
}

static bool push_number(OSSL_PARAM_BLD *to, const char *key, struct rg_val jwk, const char *name,
                        BIGNUM **keep)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    if (!member(jwk, name, &raw) || raw.len == 0) {
        return false;
    }
    *keep = BN_bin2bn(raw.ptr, (int)raw.len, NULL);
    return *keep != NULL && OSSL_PARAM_BLD_push_BN(to, key, *keep) == 1;
}

static EVP_PKEY *of_params(OSSL_PARAM_BLD *build, const char *kind)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *cx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = NULL;
    bool ok = params != NULL && cx != NULL && EVP_PKEY_fromdata_init(cx) == 1 &&
              EVP_PKEY_fromdata(cx, &key, EVP_PKEY_KEYPAIR, params) == 1;
    EVP_PKEY_CTX_free(cx);
    OSSL_PARAM_free(params);
    return ok ? key : NULL;
}

static EVP_PKEY *rsa_key(struct rg_val jwk)
{
    static const char *const names[][2] = {
        {OSSL_PKEY_PARAM_RSA_N, "n"},           {OSSL_PKEY_PARAM_RSA_E, "e"},
        {OSSL_PKEY_PARAM_RSA_D, "d"},           {OSSL_PKEY_PARAM_RSA_FACTOR1, "p"},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, "q"},     {OSSL_PKEY_PARAM_RSA_EXPONENT1, "dp"},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, "dq"},  {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, "qi"}};
    BIGNUM *keep[MLN_COUNT(names)] = {NULL};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool crt = rg_get_text(jwk, "p").tag == RG_STR, ok = build != NULL;
    for (size_t i = 0; ok && i < (crt ? MLN_COUNT(names) : 3); i++) {
        ok = push_number(build, names[i][0], jwk, names[i][1], &keep[i]);
    }
    EVP_PKEY *key = ok ? of_params(build, "RSA") : NULL;
    OSSL_PARAM_BLD_free(build);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        BN_clear_free(keep[i]);
    }
    return key;
}

static EVP_PKEY *ec_key(struct rg_val jwk, const struct alg *alg)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf x = {0}, y = {0};
    uint8_t point[1 + 2 * 66] = {4};
    BIGNUM *d = NULL;
    size_t half = (size_t)alg->half;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool ok = build != NULL && member(jwk, "x", &x) && member(jwk, "y", &y) && x.len == half &&
              y.len == half;
    if (ok) {
        mln_copy(point + 1, x.ptr, half);
        mln_copy(point + 1 + half, y.ptr, half);
    }
    ok = ok &&
         OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, alg->curve, 0) == 1 &&
         OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * half) ==
             1 &&
         push_number(build, OSSL_PKEY_PARAM_PRIV_KEY, jwk, "d", &d);
    EVP_PKEY *key = ok ? of_params(build, "EC") : NULL;
    OSSL_PARAM_BLD_free(build);
    BN_clear_free(d);
    return key;
}

static EVP_PKEY *key_of(struct rg_val jwk, const struct alg *alg)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf d = {0};
    struct rg_val crv = rg_get_text(jwk, "crv");
    if (alg->curve != NULL && (crv.tag != RG_STR || !mln_bytes_is(rg_bytes(crv), alg->curve))) {
        return NULL;
    }
    if (alg->md == NULL) {
        return member(jwk, "d", &d) && d.len == 32
                   ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d.ptr, d.len)
                   : NULL;
    }
    return alg->half > 0 ? ec_key(jwk, alg) : rsa_key(jwk);
}

/* The two numbers of a DER signature, each as wide as the curve. */
static bool to_raw(const uint8_t *der, size_t n, int half, struct mln_buf *out)
{
    uint8_t raw[2 * 66];
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, half) == half &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, half) == half;
    ECDSA_SIG_free(sig);
    if (ok) {
        mln_buf_add(out, raw, 2 * (size_t)half);
    }
    return ok;
}

static bool sign_public(struct rg_val jwk, const struct alg *alg, struct mln_bytes text,
                        struct mln_buf *out)
{
    uint8_t sig[MEMBER_MAX];
    size_t n = sizeof(sig);
    EVP_PKEY *key = key_of(jwk, alg);
    EVP_MD_CTX *cx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    bool ok = key != NULL && cx != NULL &&
              EVP_DigestSignInit(cx, &options, alg->md == NULL ? NULL : alg->md(), NULL, key) == 1;
    if (ok && alg->pss) {
        ok = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    ok = ok && EVP_DigestSign(cx, sig, &n, text.ptr, text.len) == 1;
    if (ok && alg->half > 0) {
        ok = to_raw(sig, n, alg->half, out);
    } else if (ok) {
        mln_buf_add(out, sig, n);
    }
    EVP_MD_CTX_free(cx);
    EVP_PKEY_free(key);
    return ok;
}

static bool sign(struct rg_val jwk, const struct alg *alg, struct mln_bytes text,
                 struct mln_buf *out)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf secret = {0};
    uint8_t sum[MLN_HASH_MAX_BYTES];
    struct rg_val kty = rg_get_text(jwk, "kty");
    if (kty.tag != RG_STR || !mln_bytes_is(rg_bytes(kty), alg->kty)) {
        return false;
    }
    if (!mln_bytes_is(rg_bytes(kty), "oct")) {
        return sign_public(jwk, alg, text, out);
    }
    if (!member(jwk, "k", &secret)) {
        return false;
    }
    mln_hmac_sum(alg->hash, mln_buf_bytes(&secret), text, sum);
    mln_buf_add(out, sum, mln_hash_bytes(alg->hash));
    return true;
}

/* Header, payload and key as they are written. */
static bool encode(struct rg_call *call, struct mln_bytes header, struct mln_bytes payload,
                   struct mln_bytes key)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0}, signature = {0};
    const char *why = NULL;
    struct rg_val head = rg_json_parse(call->heap, header, &why), name, typ, body;
    if (head.tag == RG_UNDEF && header.len != 1) {
        return rg_fail(call, "missing or invalid 'alg' header: cannot parse JSON: cannot parse %s",
                       header.len == 0 ? "empty string" : "the header");
    }
    name = rg_get_text(head, "alg");
    if (head.tag != RG_OBJECT || name.tag != RG_STR) {
        return rg_fail(call, "missing or invalid 'alg' header: jwsbb: header \"alg\" not found");
    }
    const struct alg *alg = alg_of(rg_bytes(name));
    if (alg == NULL) {
        return rg_fail(call, "unknown JWS algorithm: %.*s", MLN_FMT(rg_bytes(name)));
    }
    typ = rg_get_text(head, "typ");
    body = rg_json_parse(call->heap, payload, &why);
    if (body.tag == RG_UNDEF &&
        (typ.tag == RG_UNDEF || (typ.tag == RG_STR && mln_bytes_is(rg_bytes(typ), "JWT")))) {
        return rg_fail(call, "type is JWT but payload is not JSON");
    }
    struct rg_val jwk = rg_json_parse(call->heap, key, &why);
    mln_base64_print(&out, header, MLN_B64_URL_RAW);
    mln_buf_add_byte(&out, '.');
    mln_base64_print(&out, payload, MLN_B64_URL_RAW);
    if (jwk.tag != RG_OBJECT || !sign(jwk, alg, mln_buf_bytes(&out), &signature)) {
        return rg_fail(call, "failed to parse a JWK key for %s", alg->name);
    }
    mln_buf_add_byte(&out, '.');
    mln_base64_print(&out, mln_buf_bytes(&signature), MLN_B64_URL_RAW);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool encode_sign_raw(struct rg_call *call)
{
    struct mln_bytes header, payload, key;
    return rg_arg_string(call, 1, &header) && rg_arg_string(call, 2, &payload) &&
           rg_arg_string(call, 3, &key) && encode(call, header, payload, key);
}

static bool add_object(struct rg_call *call, uint32_t pos, struct mln_buf *out)
{
    struct rg_val v;
    if (!rg_arg_tag(call, pos, RG_OBJECT, &v)) {
        return false;
    }
    rg_print_json(out, v);
    return true;
}

static bool encode_sign(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf header = {0}, payload = {0}, key = {.is_secret = true};
    return add_object(call, 1, &header) && add_object(call, 2, &payload) &&
           add_object(call, 3, &key) &&
           encode(call, mln_buf_bytes(&header), mln_buf_bytes(&payload), mln_buf_bytes(&key));
}

const struct rg_builtin rg_builtins_tokensign[] = {{"io.jwt.encode_sign", encode_sign},
                                                   {"io.jwt.encode_sign_raw", encode_sign_raw},
                                                   {NULL, NULL}};
