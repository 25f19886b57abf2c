/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key and certificate files of listeners. Private keys are read by core alone, into locked memory;
 * the certificate is public and goes to front.
 */
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/io.h"
#include "base/text.h"
#include "crypto/akey.h"
#include "main/main_priv.h"

#define KEY_FILE_MAX_BYTES (64u << 10) /* a P-256 key in PEM is 250 bytes; some files hold more */
#define POINT_BYTES        65u
#define PEM_LINE           64u

/* One block of PEM as a key of this kind, however it is wrapped; false: try another. */
static bool take_kind(struct mln_cx *cx, struct mln_bytes pem, enum mln_akey kind, struct mln_buf *priv, struct mln_buf *pub)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    const char *label = mln_akey_is_rsa(kind) ? "RSA PRIVATE KEY" : "EC PRIVATE KEY";
    struct mln_err err = mln_pem_read(cx, "PRIVATE KEY", pem, &der);
    if (!mln_failed(err)) {
        err = mln_akey_from_pkcs8(cx, kind, mln_buf_bytes(&der), priv, pub);
    } else {
        mln_cx_clear(cx);
        err = mln_pem_read(cx, label, pem, &der);
        err = mln_failed(err) ? err : mln_akey_from_private(cx, kind, mln_buf_bytes(&der), priv, pub);
    }
    mln_cx_clear(cx);
    return !mln_failed(err);
}

/* A secret of the kind as a byte and the private half. */
static struct mln_err keep(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes priv, struct mln_secret *ret)
{
    MLN_TRY(mln_secret_new(cx, priv.len + 1, ret));
    ret->ptr[0] = (uint8_t)kind;
    mln_copy(ret->ptr + 1, priv.ptr, priv.len);
    return MLN_OK;
}

static struct mln_err load_other(struct mln_cx *cx, struct mln_bytes pem, struct mln_secret *ret)
{
    static const enum mln_akey kinds[] = {MLN_AKEY_RSA2048, MLN_AKEY_RSA3072, MLN_AKEY_RSA4096, MLN_AKEY_P384};
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf priv = {.is_secret = true};
        MLN_AUTO(mln_buf_drop) struct mln_buf pub = {0};
        if (take_kind(cx, pem, kinds[i], &priv, &pub)) {
            return keep(cx, kinds[i], mln_buf_bytes(&priv), ret);
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "no private key in PEM of P-256, P-384 or RSA with 2048, 3072 or 4096 bits, not encrypted");
}

struct mln_err tls_key_take(struct mln_cx *cx, struct mln_bytes pkcs8, struct mln_secret *ret)
{
    static const enum mln_akey kinds[] = {MLN_AKEY_P256, MLN_AKEY_P384, MLN_AKEY_RSA2048, MLN_AKEY_RSA3072, MLN_AKEY_RSA4096};
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf priv = {.is_secret = true};
        MLN_AUTO(mln_buf_drop) struct mln_buf pub = {0};
        if (!mln_failed(mln_akey_from_pkcs8(cx, kinds[i], pkcs8, &priv, &pub))) {
            return keep(cx, kinds[i], mln_buf_bytes(&priv), ret);
        }
        mln_cx_clear(cx);
    }
    return mln_fail(cx, MLN_E_INVALID, "not a private key to sign handshakes with");
}

struct mln_err tls_key_load(struct mln_cx *cx, const char *path, struct mln_secret *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {.is_secret = true};
    MLN_TRY(mln_file_read_all(cx, path, KEY_FILE_MAX_BYTES, &pem));
    struct mln_secret key = {0};
    uint8_t point[POINT_BYTES];
    MLN_TRY(mln_secret_new(cx, MLN_KEY_BYTES, &key));
    struct mln_err err = mln_p256_from_pem(cx, mln_buf_bytes(&pem), key.ptr, point);
    if (mln_failed(err)) {
        mln_secret_drop(&key);
        mln_cx_clear(cx);
        err = load_other(cx, mln_buf_bytes(&pem), &key);
    }
    mln_wipe_stack();
    if (mln_failed(err)) {
        mln_secret_drop(&key);
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "%s: %s", path, why);
    }
    *ret = key;
    return MLN_OK;
}

static bool is_scalar(const struct mln_secret *key)
{
    return key->len == MLN_KEY_BYTES; /* any other key's DER is longer */
}

struct mln_err tls_key_sign(struct mln_cx *cx, const struct mln_secret *key, enum mln_tls_how how, struct mln_bytes input,
                            struct mln_buf *sig)
{
    uint8_t digest[MLN_HASH_MAX_BYTES];
    enum mln_akey kind = is_scalar(key) ? MLN_AKEY_P256 : (enum mln_akey)key->ptr[0];
    if ((how == MLN_TLS_ECDSA) == mln_akey_is_rsa(kind)) {
        return mln_fail(cx, MLN_E_INVALID, "core: the listener's key does not sign so");
    }
    enum mln_hash hash = kind == MLN_AKEY_P384 ? MLN_HASH_SHA2_384 : MLN_HASH_SHA2_256;
    mln_hash_sum(hash, input, digest);
    if (is_scalar(key)) {
        return mln_p256_sign_digest(cx, key->ptr, digest, sig);
    }
    struct mln_akey_how options = {.hash = hash, .is_pkcs1v15 = how == MLN_TLS_PKCS1, .salt = MLN_AKEY_SALT_HASH};
    struct mln_bytes priv = mln_bytes_from(mln_secret_bytes(key), 1);
    return mln_akey_sign(cx, kind, priv, &options, mln_bytes_at(digest, mln_hash_bytes(hash)), sig);
}

/* The public half of a key as SubjectPublicKeyInfo. */
static struct mln_err public_of(struct mln_cx *cx, const struct mln_secret *key, struct mln_buf *pub)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf priv = {.is_secret = true};
    return mln_akey_from_private(cx, (enum mln_akey)key->ptr[0], mln_bytes_from(mln_secret_bytes(key), 1), &priv, pub);
}

static bool is_point_of(const struct mln_secret *key, EVP_PKEY *public_key)
{
    uint8_t mine[POINT_BYTES], theirs[POINT_BYTES];
    size_t n = 0;
    return !mln_failed(mln_p256_public(NULL, key->ptr, mine)) &&
           EVP_PKEY_get_octet_string_param(public_key, "pub", theirs, sizeof(theirs), &n) == 1 && n == sizeof(theirs) &&
           mln_same(mine, theirs, n);
}

static bool is_public_of(const struct mln_secret *key, EVP_PKEY *public_key)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pub = {0};
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(public_key, &der);
    bool fits = n > 0 && !mln_failed(public_of(NULL, key, &pub)) &&
                mln_bytes_eq(mln_buf_bytes(&pub), mln_bytes_at(der, (size_t)n));
    OPENSSL_free(der);
    return fits;
}

struct mln_err tls_key_fits(struct mln_cx *cx, const struct mln_secret *key,
                            struct mln_bytes cert_pem)
{
    BIO *bio = BIO_new_mem_buf(cert_pem.ptr, (int)cert_pem.len);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *public_key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    bool fits = public_key != NULL && (is_scalar(key) ? is_point_of(key, public_key) : is_public_of(key, public_key));
    X509_free(cert);
    BIO_free(bio);
    return fits ? MLN_OK
                : mln_fail(cx, MLN_E_INVALID,
                           "the listener's private key does not belong to its certificate");
}

/* ECPrivateKey of RFC 5915 for P-256 as PEM: the two numbers between fixed bytes. */
static void print_key(struct mln_buf *pem, const uint8_t scalar[32], const uint8_t point[65])
{
    static const uint8_t head[] = {0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20};
    static const uint8_t middle[] = {0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                     0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00};
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    mln_buf_add(&der, head, sizeof(head));
    mln_buf_add(&der, scalar, MLN_KEY_BYTES);
    mln_buf_add(&der, middle, sizeof(middle));
    mln_buf_add(&der, point, POINT_BYTES);
    mln_base64_print(&text, mln_buf_bytes(&der), MLN_B64_STD);
    mln_buf_add_text(pem, "-----BEGIN EC PRIVATE KEY-----\n");
    for (size_t at = 0; at < text.len; at += PEM_LINE) {
        mln_buf_add_bytes(pem, mln_bytes_sub(mln_buf_bytes(&text), at, PEM_LINE));
        mln_buf_add_byte(pem, '\n');
    }
    mln_buf_add_text(pem, "-----END EC PRIVATE KEY-----\n");
    pem->has_failed = pem->has_failed || der.has_failed || text.has_failed;
}

static struct mln_err make(struct mln_cx *cx, const uint8_t scalar[32], const uint8_t point[65],
                           const char *host, const char *cert_path, const char *key_path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf cert = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf key = {.is_secret = true};
    MLN_TRY(mln_dev_certificate(cx, scalar, host, &cert));
    print_key(&key, scalar, point);
    MLN_TRY(mln_buf_ok(cx, &key));
    MLN_TRY(mln_file_replace(cx, key_path, mln_buf_bytes(&key), 0600, false));
    return mln_file_replace(cx, cert_path, mln_buf_bytes(&cert), 0644, false);
}

struct mln_err tls_files_make(struct mln_cx *cx, const char *dir, const char *host,
                              const char **ret_cert, const char **ret_key)
{
    uint8_t scalar[MLN_KEY_BYTES], point[POINT_BYTES];
    const char *cert = mln_text_format(cx, "%s/dev-tls-ca.pem", dir);
    const char *key = mln_text_format(cx, "%s/dev-tls-key.pem", dir);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_p256_generate(cx, scalar, point));
    struct mln_err err = make(cx, scalar, point, host, cert, key);
    mln_wipe(scalar, sizeof(scalar));
    mln_wipe_stack();
    MLN_TRY(err);
    *ret_cert = cert;
    *ret_key = key;
    return MLN_OK;
}
