/* SPDX-License-Identifier: Apache-2.0 */
/* Signing half of JOSE: each algorithm's tokens verify under OpenSSL with the key rebuilt from the printed JWK; wrong keys are refused. */
#include "kit/kit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/json.h"
#include "base/text.h"
#include "crypto/jose.h"

static const enum mln_jose_alg all[] = {
    MLN_JOSE_RS256, MLN_JOSE_RS384, MLN_JOSE_RS512, MLN_JOSE_PS256, MLN_JOSE_PS384,
    MLN_JOSE_PS512, MLN_JOSE_ES256, MLN_JOSE_ES384, MLN_JOSE_ES512, MLN_JOSE_EDDSA,
};

static struct mln_bytes decoded(struct mln_cx *cx, struct mln_bytes text)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    kit_ok(cx, mln_base64_parse(cx, text, MLN_B64_URL_RAW, &buf));
    return mln_bytes_dup(cx, mln_buf_bytes(&buf));
}

static BIGNUM *number(struct mln_cx *cx, const struct mln_value *jwk, const char *name)
{
    struct mln_bytes b = decoded(cx, mln_get_bytes(mln_get(jwk, name)));
    return BN_bin2bn(b.ptr, (int)b.len, NULL);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *public_key(struct mln_cx *cx, const struct mln_value *jwk)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = NULL, *e = NULL;
    EVP_PKEY *key = NULL;
    if (mln_is_text(mln_get(jwk, "kty"), "RSA")) {
        n = number(cx, jwk, "n");
        e = number(cx, jwk, "e");
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
        key = from_params("RSA", bld);
    } else if (mln_is_text(mln_get(jwk, "kty"), "EC")) {
        uint8_t point[133] = {4};
        struct mln_bytes x = decoded(cx, mln_get_bytes(mln_get(jwk, "x")));
        struct mln_bytes y = decoded(cx, mln_get_bytes(mln_get(jwk, "y")));
        mln_copy(point + 1, x.ptr, x.len);
        mln_copy(point + 1 + x.len, y.ptr, y.len);
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                        mln_get_text(cx, mln_get(jwk, "crv"), ""), 0);
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.len + y.len);
        key = from_params("EC", bld);
    } else {
        struct mln_bytes x = decoded(cx, mln_get_bytes(mln_get(jwk, "x")));
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.ptr, x.len);
    }
    BN_free(n);
    BN_free(e);
    OSSL_PARAM_BLD_free(bld);
    assert_non_null(key);
    return key;
}

static const char *hash_of(const char *name)
{
    return name[2] == '2' ? "SHA256" : name[2] == '3' ? "SHA384" : "SHA512";
}

static int verify(struct mln_cx *cx, const char *alg, EVP_PKEY *key, struct mln_bytes input,
                  struct mln_bytes sig)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    EVP_PKEY_CTX *options = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *hash = alg[0] == 'E' && alg[1] == 'd' ? NULL : hash_of(alg);
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &options, hash, NULL, NULL, key, NULL), 1);
    if (alg[0] == 'P') {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
    }
    if (alg[0] == 'E' && alg[1] == 'S') {
        kit_ok(cx, mln_ecdsa_raw_to_der(cx, sig, &der));
        sig = mln_buf_bytes(&der);
    }
    int ok = EVP_DigestVerify(ctx, sig.ptr, sig.len, input.ptr, input.len);
    EVP_MD_CTX_free(ctx);
    return ok;
}

static void check_alg(struct mln_cx *cx, enum mln_jose_alg alg)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf jwt = {0};
    const struct mln_value *jwk = NULL, *header = NULL, *claims = NULL;
    struct mln_value *body = mln_object(cx);
    mln_put_text(cx, body, "sub", "e1");
    mln_put_int(cx, body, "iat", 1795336877);
    kit_ok(cx, mln_jose_generate(cx, alg, &der));
    kit_ok(cx, mln_jose_jwk(cx, alg, "k1", mln_buf_bytes(&der), &jwk));
    struct mln_jose_key key = {.alg = alg, .kid = "k1", .der = mln_buf_bytes(&der)};
    kit_ok(cx, mln_jose_sign(cx, &key, NULL, body, &jwt));
    struct mln_bytes rest, sig, first = mln_bytes_cut(mln_buf_bytes(&jwt), '.', &rest);
    struct mln_bytes second = mln_bytes_cut(rest, '.', &sig);
    kit_ok(cx, mln_json_parse(cx, decoded(cx, first), &header));
    kit_ok(cx, mln_json_parse(cx, decoded(cx, second), &claims));
    assert_true(mln_is_text(mln_get(header, "alg"), mln_jose_alg_name(alg)));
    assert_true(mln_value_eq(claims, body));
    EVP_PKEY *pub = public_key(cx, jwk);
    struct mln_bytes input = mln_bytes_at(first.ptr, first.len + 1 + second.len),
                     raw = decoded(cx, sig);
    assert_int_equal(verify(cx, mln_jose_alg_name(alg), pub, input, raw), 1);
    input.len--;
    assert_int_not_equal(verify(cx, mln_jose_alg_name(alg), pub, input, raw), 1);
    EVP_PKEY_free(pub);
}

static void test_algorithms(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        check_alg(kit_cx(state), all[i]);
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool is_known;
    } t[] = {{"RS256", true},  {"EdDSA", true},  {"ES512", true}, {"none", false},
             {"HS256", false}, {"rs256", false}, {"", false},     {"ES256 ", false}};
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        enum mln_jose_alg alg = MLN_JOSE_RS256;
        assert_int_equal(mln_jose_alg_of(mln_bytes_of(t[i].name), &alg), t[i].is_known);
    }
}

/* A key of another kind, cut or followed by something else signs nothing. */
static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    const struct mln_value *jwk = NULL;
    kit_ok(cx, mln_jose_generate(cx, MLN_JOSE_ES256, &der));
    static const enum mln_jose_alg others[] = {MLN_JOSE_ES384, MLN_JOSE_ES512, MLN_JOSE_RS256,
                                               MLN_JOSE_PS512, MLN_JOSE_EDDSA};
    for (size_t i = 0; i < MLN_COUNT(others); i++) {
        kit_refused(cx, mln_jose_jwk(cx, others[i], "k", mln_buf_bytes(&der), &jwk), MLN_E_INVALID);
    }
    for (size_t n = 0; n < der.len; n += 7) {
        kit_refused(
            cx,
            mln_jose_jwk(cx, MLN_JOSE_ES256, "k", mln_bytes_sub(mln_buf_bytes(&der), 0, n), &jwk),
            MLN_E_INVALID);
    }
    mln_buf_add_byte(&der, 0);
    kit_refused(cx, mln_jose_jwk(cx, MLN_JOSE_ES256, "k", mln_buf_bytes(&der), &jwk),
                MLN_E_INVALID);
}

/* at_hash of the example in OpenID Connect Core 1.0, appendix A.3. */
static void test_half_hash(void **state)
{
    const char *hash = NULL;
    struct mln_bytes token = MLN_BYTES("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
    kit_ok(kit_cx(state), mln_jose_half_hash(kit_cx(state), MLN_JOSE_RS256, token, &hash));
    assert_string_equal(hash, "77QmUPtjPfzWtF2AnpK9RQ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_algorithms),
        KIT_TEST(test_names),
        KIT_TEST(test_refused),
        KIT_TEST(test_half_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
