/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of others: the examples of RFC 7515 (A.2, A.3) and RFC 8037 (A.4), what our own half signs, and everything that must not
 * pass: no algorithm, shared secrets, keys of another kind, critical headers, text that is nearly a token.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "kit/kit.h"

#include "base/json.h"
#include "base/text.h"
#include "crypto/jose_verify.h"

/* RFC 7515 A.3, and its key of A.3.1. */
#define ES256_KEY                                                                                  \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","     \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define CLAIMS_A "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define ES256_TOKEN                                                                                \
    "eyJhbGciOiJFUzI1NiJ9." CLAIMS_A                                                               \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
/* RFC 7515 A.2. */
#define RS256_KEY                                                                                  \
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-"   \
    "yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6" \
    "65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\","    \
    "\"e\":\"AQAB\"}"
#define RS256_TOKEN                                                                                \
    "eyJhbGciOiJSUzI1NiJ9." CLAIMS_A                                                               \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjb"       \
    "KBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6Bf"     \
    "I7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
/* RFC 8037 A.4 has a payload that is no JSON; its key, for the kinds. */
#define ED_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

static struct mln_err check(struct mln_cx *cx, const char *jwk, const char *text)
{
    struct mln_jose_token token;
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
    MLN_TRY(mln_jose_public_from_jwk(cx, json(cx, jwk), &key));
    MLN_TRY(mln_jose_parse(cx, mln_bytes_of(text), &token));
    return mln_jose_verify(cx, key, &token);
}

static void test_examples(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_jose_token token;
    kit_ok(cx, check(cx, ES256_KEY, ES256_TOKEN));
    kit_ok(cx, check(cx, RS256_KEY, RS256_TOKEN));
    kit_refused(cx, check(cx, RS256_KEY, ES256_TOKEN), MLN_E_FORGED);
    kit_refused(cx, check(cx, ES256_KEY, RS256_TOKEN), MLN_E_FORGED);
    kit_refused(cx, check(cx, ED_KEY, RS256_TOKEN), MLN_E_FORGED);
    kit_ok(cx, mln_jose_parse(cx, MLN_BYTES(ES256_TOKEN), &token));
    assert_int_equal(token.alg, MLN_JOSE_ES256);
    kit_text(mln_get_bytes(mln_get(token.claims, "iss")), "joe");
}

static void test_flipped_bits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static char text[] = ES256_TOKEN;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        if (!mln_failed(check(cx, ES256_KEY, text))) {
            fail_msg("byte %zu may change", i);
        }
        mln_cx_clear(cx);
        text[i] = was;
    }
}

/* header and payload as JSON, unsigned, with a signature of zeros. */
static const char *compact(struct mln_cx *cx, const char *header, const char *claims)
{
    return mln_text_format(cx, "%s.%s.AAAA", mln_base64_text(cx, mln_bytes_of(header), MLN_B64_URL_RAW),
                           mln_base64_text(cx, mln_bytes_of(claims), MLN_B64_URL_RAW));
}

static void test_refused_texts(void **state)
{
    static const struct {
        const char *text, *why;
    } t[] = {
        {"", "three parts"},
        {"garbage", "three parts"},
        {"a.b", "three parts"},
        {"a.b.c.d", "three parts"},
        {"..", "header"},
        {"e30=.e30.", "header is not base64url"},
        {"e30.e30.", "unexpected signature algorithm"},
        {"e30.e30", "three parts"},
        {"eyJhbGciOiJFUzI1NiJ9.!.", "payload is not base64url"},
        {"eyJhbGciOiJFUzI1NiJ9.W10.", "payload is no JSON object"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.A", "signature is not base64url"},
        {"eyJhbGciOiJFUzI1NiJ9 .e30.", "header is not base64url"},
        {"W10.e30.", "header is no JSON object"},
    };
    static const struct {
        const char *header, *why;
    } h[] = {
        {"{\"alg\":\"none\"}", "unexpected signature algorithm \"none\""},
        {"{\"alg\":\"None\"}", "unexpected"},
        {"{\"alg\":\"HS256\"}", "unexpected signature algorithm \"HS256\""},
        {"{\"alg\":\"es256\"}", "unexpected"},
        {"{\"alg\":[\"ES256\"]}", "unexpected"},
        {"{\"alg\":\"ES256K\"}", "unexpected"},
        {"{\"alg\":\"ES256\",\"alg\":\"none\"}", "no JSON object"},
        {"{\"alg\":\"ES256\",\"crit\":[\"exp\"]}", "crit"},
        {"{\"alg\":\"ES256\",\"crit\":[]}", "crit"},
        {"{\"alg\":\"ES256\",\"b64\":false}", "crit"},
        {"{\"alg\":\"ES256\",\"kid\":7}", "kid"},
        {"{}", "unexpected"},
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_jose_token token;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        kit_refused_with(cx, mln_jose_parse(cx, mln_bytes_of(t[i].text), &token), MLN_E_INVALID, t[i].why);
    }
    for (size_t i = 0; i < MLN_COUNT(h); i++) {
        const char *text = compact(cx, h[i].header, "{}");
        kit_refused_with(cx, mln_jose_parse(cx, mln_bytes_of(text), &token), MLN_E_INVALID, h[i].why);
    }
    char *longer = mln_new(cx, MLN_JOSE_TEXT_MAX + 2);
    mln_fill(longer, 'A', MLN_JOSE_TEXT_MAX + 1);
    kit_refused_with(cx, mln_jose_parse(cx, mln_bytes_at(longer, MLN_JOSE_TEXT_MAX + 1), &token), MLN_E_INVALID, "longer");
}

#define X "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""
#define Y "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""

#define PRIVATE_PEM                                                                                                  \
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"

static void test_refused_keys(void **state)
{
    static const char *const t[] = {
        "{}",
        "[]",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
        /* a point that is not on the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\"," X ","
        "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\"," X "," Y "}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\"," X "," Y "}",
        "{\"kty\":\"EC\",\"use\":\"enc\",\"crv\":\"P-256\"," X "," Y "}",
        "{\"kty\":\"EC\",\"d\":\"AA\",\"crv\":\"P-256\"," X "," Y "}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", /* a small one */
        "{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
    };
    static const char *const pems[] = {
        "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        PRIVATE_PEM,
        "not a key",
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_jose_public *key = NULL;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        kit_expect(cx, t[i], mln_jose_public_from_jwk(cx, json(cx, t[i]), &key), MLN_E_INVALID);
    }
    for (size_t i = 0; i < MLN_COUNT(pems); i++) {
        kit_expect(cx, pems[i], mln_jose_public_from_pem(cx, mln_bytes_of(pems[i]), &key), MLN_E_INVALID);
    }
    assert_null(key);
}

/* What our own half signs is verified, by the same key only and under the same algorithm only. */
static void test_own_tokens(void **state)
{
    static const enum mln_jose_alg all[] = {MLN_JOSE_RS256, MLN_JOSE_PS512, MLN_JOSE_ES256, MLN_JOSE_ES384,
                                            MLN_JOSE_ES512, MLN_JOSE_EDDSA, MLN_JOSE_RS512, MLN_JOSE_PS256};
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *keys = mln_array(cx), *set = mln_object(cx);
    struct mln_jose_token tokens[MLN_COUNT(all)];
    mln_put(cx, set, "keys", keys);
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
        struct mln_buf text = {0};
        const struct mln_value *jwk = NULL;
        kit_ok(cx, mln_jose_generate(cx, all[i], &der));
        const char *kid = mln_text_format(cx, "k%zu", i);
        struct mln_jose_key key = {.alg = all[i], .kid = kid, .der = mln_buf_bytes(&der)};
        kit_ok(cx, mln_jose_jwk(cx, all[i], kid, key.der, &jwk));
        mln_push(cx, keys, mln_value_dup(cx, jwk));
        kit_ok(cx, mln_jose_sign(cx, &key, NULL, json(cx, "{\"sub\":\"s\"}"), &text));
        kit_ok(cx, mln_jose_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&text)), &tokens[i]));
        mln_buf_drop(&text);
    }
    mln_put(cx, set, "keys", keys);
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        kit_ok(cx, mln_jose_verify_set(cx, set, &tokens[i]));
        struct mln_jose_token other = tokens[i];
        other.kid = MLN_BYTES("nobody");
        kit_refused(cx, mln_jose_verify_set(cx, set, &other), MLN_E_NOT_FOUND);
        other.kid = MLN_BYTES_NONE; /* then all are tried */
        kit_ok(cx, mln_jose_verify_set(cx, set, &other));
        for (size_t j = 0; j < MLN_COUNT(all); j++) {
            MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
            kit_ok(cx, mln_jose_public_from_jwk(cx, mln_item(keys, j), &key));
            if (i != j) {
                kit_refused(cx, mln_jose_verify(cx, key, &tokens[i]), MLN_E_FORGED);
            }
        }
        other = tokens[i];
        other.alg = all[(i + 1) % MLN_COUNT(all)]; /* as if the header said so */
        kit_refused(cx, mln_jose_verify_set(cx, set, &other), MLN_E_NOT_FOUND);
    }
}

static void test_pem_and_certificate(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t scalar[32], point[65];
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf cert = {0};
    struct mln_jose_public *key = NULL;
    kit_ok(cx, mln_p256_generate(cx, scalar, point));
    kit_ok(cx, mln_p256_public_pem(cx, point, &pem));
    kit_ok(cx, mln_jose_public_from_pem(cx, mln_buf_bytes(&pem), &key));
    assert_true(mln_jose_public_fits(key, MLN_JOSE_ES256));
    assert_false(mln_jose_public_fits(key, MLN_JOSE_ES384));
    mln_jose_public_free(key);
    kit_ok(cx, mln_dev_certificate(cx, scalar, NULL, &cert));
    kit_ok(cx, mln_jose_public_from_pem(cx, mln_buf_bytes(&cert), &key));
    assert_true(mln_jose_public_fits(key, MLN_JOSE_ES256));
    mln_jose_public_free(key);
}

static void test_sets(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_jose_token token;
    kit_ok(cx, mln_jose_parse(cx, MLN_BYTES(ES256_TOKEN), &token));
    kit_refused(cx, mln_jose_verify_set(cx, json(cx, "{}"), &token), MLN_E_INVALID);
    kit_refused(cx, mln_jose_verify_set(cx, json(cx, "[]"), &token), MLN_E_INVALID);
    kit_refused(cx, mln_jose_verify_set(cx, json(cx, "{\"keys\":[]}"), &token), MLN_E_NOT_FOUND);
    kit_refused(cx, mln_jose_verify_set(cx, json(cx, "{\"keys\":[null,{\"kty\":\"oct\"}," RS256_KEY "]}"), &token), MLN_E_NOT_FOUND);
    kit_ok(cx, mln_jose_verify_set(cx, json(cx, "{\"keys\":[null,{\"kty\":\"oct\"}," RS256_KEY "," ES256_KEY "]}"), &token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_examples),     KIT_TEST(test_flipped_bits), KIT_TEST(test_refused_texts),       KIT_TEST(test_refused_keys),
        KIT_TEST(test_own_tokens),   KIT_TEST(test_sets),         KIT_TEST(test_pem_and_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
