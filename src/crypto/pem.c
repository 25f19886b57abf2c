/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PEM (RFC 7468) of keys: public ones out (SubjectPublicKeyInfo, RFC 5480 and 8410), private P-256
 * ones in (PKCS #8 and
 * SEC 1). Private text is decoded here, into wiped memory, and parsed as DER: OpenSSL's PEM reader
 * leaves copies behind.
 */
#include "crypto/crypto_priv.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <sodium.h>

#define DER_MAX 1024 /* a P-256 key takes 138 bytes; parameters in full some 200 more */

static struct mln_err public_pem(struct mln_cx *cx, struct mln_bytes head, struct mln_bytes key,
                                 struct mln_buf *pem)
{
    uint8_t der[128];
    char text[200];
    MLN_CHECK(head.len + key.len <= sizeof(der));
    mln_copy(der, head.ptr, head.len);
    mln_copy(der + head.len, key.ptr, key.len);
    sodium_bin2base64(text, sizeof(text), der, head.len + key.len, sodium_base64_VARIANT_ORIGINAL);
    mln_buf_add_text(pem, "-----BEGIN PUBLIC KEY-----\n");
    struct mln_bytes left = mln_bytes_of(text);
    for (size_t at = 0; at < left.len; at += 64) {
        mln_buf_add_bytes(pem, mln_bytes_sub(left, at, 64));
        mln_buf_add_byte(pem, '\n');
    }
    mln_buf_add_text(pem, "-----END PUBLIC KEY-----\n");
    return mln_buf_ok(cx, pem);
}

struct mln_err mln_p256_public_pem(struct mln_cx *cx, const uint8_t point[65], struct mln_buf *pem)
{
    static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    return public_pem(cx, mln_bytes_at(head, sizeof(head)), mln_bytes_at(point, 65), pem);
}

struct mln_err mln_ed25519_public_pem(struct mln_cx *cx, const uint8_t public_key[32],
                                      struct mln_buf *pem)
{
    static const uint8_t head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                   0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    return public_pem(cx, mln_bytes_at(head, sizeof(head)), mln_bytes_at(public_key, 32), pem);
}

/* The base64 between the first pair of these lines; empty when they are not there. */
static struct mln_bytes between(struct mln_bytes pem, struct mln_bytes begin, struct mln_bytes end)
{
    struct mln_bytes rest = mln_bytes_from(pem, mln_bytes_find_bytes(pem, begin));
    if (rest.len == 0) {
        return rest;
    }
    rest = mln_bytes_from(rest, begin.len);
    size_t stop = mln_bytes_find_bytes(rest, end);
    return stop == rest.len ? MLN_BYTES_NONE : mln_bytes_sub(rest, 0, stop);
}

static struct mln_err take_numbers(struct mln_cx *cx, EVP_PKEY *key, uint8_t scalar[32],
                                   uint8_t point[65])
{
    char curve[32] = {0};
    size_t n = 0;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), &n) !=
            1 ||
        !mln_bytes_is(mln_bytes_at(curve, n), "prime256v1")) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_UNSUPPORTED, "the private key is not on P-256");
    }
    BIGNUM *d = BN_secure_new();
    uint8_t out[32];
    bool is_ok = d != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
                 BN_bn2binpad(d, out, 32) == 32;
    BN_clear_free(d);
    struct mln_err err =
        is_ok ? mln_p256_public(cx, out, point) : crypto_failed(cx, "reading the private key");
    if (!mln_failed(err)) {
        mln_copy(scalar, out, 32);
    }
    mln_wipe(out, sizeof(out));
    return err;
}

struct mln_err mln_p256_from_pem(struct mln_cx *cx, struct mln_bytes pem, uint8_t scalar[32],
                                 uint8_t point[65])
{
    crypto_algorithms();
    if (mln_bytes_find_bytes(pem, MLN_BYTES("ENCRYPTED")) < pem.len) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "the private key is encrypted");
    }
    struct mln_bytes text = between(pem, MLN_BYTES("-----BEGIN PRIVATE KEY-----"),
                                    MLN_BYTES("-----END PRIVATE KEY-----"));
    if (text.len == 0) {
        text = between(pem, MLN_BYTES("-----BEGIN EC PRIVATE KEY-----"),
                       MLN_BYTES("-----END EC PRIVATE KEY-----"));
    }
    if (text.len == 0) {
        return mln_fail(cx, MLN_E_PARSE, "no private key in PEM");
    }
    uint8_t der[DER_MAX];
    size_t n = 0;
    if (sodium_base642bin(der, sizeof(der), (const char *)text.ptr, text.len, "\r\n \t", &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        mln_wipe(der, sizeof(der));
        return mln_fail(cx, MLN_E_PARSE, "the private key is not base64");
    }
    const uint8_t *at = der;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)n);
    mln_wipe(der, sizeof(der));
    if (key == NULL) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_PARSE, "the private key is damaged or of an unknown kind");
    }
    struct mln_err err = take_numbers(cx, key, scalar, point);
    EVP_PKEY_free(key);
    return err;
}
