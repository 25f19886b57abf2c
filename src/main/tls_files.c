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
#include "crypto/crypto.h"
#include "main/main_priv.h"

#define KEY_FILE_MAX_BYTES (64u << 10) /* a P-256 key in PEM is 250 bytes; some files hold more */
#define POINT_BYTES        65u
#define PEM_LINE           64u

struct mln_err tls_key_load(struct mln_cx *cx, const char *path, struct mln_secret *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {.is_secret = true};
    MLN_TRY(mln_file_read_all(cx, path, KEY_FILE_MAX_BYTES, &pem));
    struct mln_secret key = {0};
    uint8_t point[POINT_BYTES];
    MLN_TRY(mln_secret_new(cx, MLN_KEY_BYTES, &key));
    struct mln_err err = mln_p256_from_pem(cx, mln_buf_bytes(&pem), key.ptr, point);
    mln_wipe_stack();
    if (mln_failed(err)) {
        mln_secret_drop(&key);
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "%s: %s", path, why);
    }
    *ret = key;
    return MLN_OK;
}

struct mln_err tls_key_fits(struct mln_cx *cx, const struct mln_secret *key,
                            struct mln_bytes cert_pem)
{
    uint8_t mine[POINT_BYTES], theirs[POINT_BYTES];
    size_t n = 0;
    MLN_TRY(mln_p256_public(cx, key->ptr, mine));
    BIO *bio = BIO_new_mem_buf(cert_pem.ptr, (int)cert_pem.len);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *public_key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    bool fits =
        public_key != NULL &&
        EVP_PKEY_get_octet_string_param(public_key, "pub", theirs, sizeof(theirs), &n) == 1 &&
        n == sizeof(theirs) && mln_same(mine, theirs, n);
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
