/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-signed certificate of `merlon server --dev-tls` (RFC 5280). For development: it is its
 * own trust anchor.
 */
#include "crypto/crypto_priv.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"

#define YEAR_S  31536000
#define SLACK_S 300 /* clocks of clients may lag */

static void x509_drop(X509 **p)
{
    X509_free(*p);
}

static void pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void bio_drop(BIO **p)
{
    BIO_free(*p);
}

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool is_ok = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return is_ok;
}

/* Host names and addresses only, so that `host` cannot bring in other kinds of names. */
static bool host_is_sane(const char *host)
{
    struct mln_bytes all = mln_bytes_of(host);
    for (size_t i = 0; i < all.len; i++) {
        uint8_t c = all.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && c != '.' && c != '-' && c != ':') {
            return false;
        }
    }
    return all.len > 0 && all.len <= 253;
}

static void add_names(struct mln_buf *names, const char *host)
{
    uint8_t address[16];
    mln_buf_add_text(names, "DNS:localhost,IP:127.0.0.1,IP:::1");
    if (host == NULL || mln_bytes_is(mln_bytes_of(host), "localhost") ||
        mln_bytes_is(mln_bytes_of(host), "127.0.0.1") || mln_bytes_is(mln_bytes_of(host), "::1")) {
        return;
    }
    bool is_ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    mln_buf_add_format(names, ",%s:%s", is_ip ? "IP" : "DNS", host);
}

static bool fill(X509 *x, EVP_PKEY *key, const char *names)
{
    uint8_t serial[16];
    mln_random(serial, sizeof(serial));
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, always 16 bytes */
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool has_serial =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    time_t now = (time_t)(mln_now_ns() / 1000000000);
    X509_NAME *name = X509_get_subject_name(x);
    static const uint8_t common[] = "Merlon development server";
    return has_serial && X509_set_version(x, X509_VERSION_3) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(x), now - SLACK_S) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x), now + YEAR_S) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common, -1, -1, 0) == 1 &&
           X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
           add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x, NID_ext_key_usage, "serverAuth") &&
           add_extension(x, NID_subject_key_identifier, "hash") &&
           add_extension(x, NID_subject_alt_name, names) && X509_sign(x, key, EVP_sha256()) > 0;
}

struct mln_err mln_dev_certificate(struct mln_cx *cx, const uint8_t scalar[32], const char *host,
                                   struct mln_buf *cert_pem)
{
    if (host != NULL && !host_is_sane(host)) {
        return mln_fail(cx, MLN_E_INVALID, "the host is neither a name nor an address");
    }
    uint8_t point[65];
    MLN_TRY(mln_p256_public(cx, scalar, point));
    MLN_AUTO(mln_buf_drop) struct mln_buf names = {0};
    add_names(&names, host);
    mln_buf_add_byte(&names, 0);
    MLN_TRY(mln_buf_ok(cx, &names));
    MLN_AUTO(pkey_drop)
    EVP_PKEY *key = crypto_ec_key("prime256v1", scalar, mln_bytes_at(point, 65));
    MLN_AUTO(x509_drop) X509 *x = X509_new();
    MLN_AUTO(bio_drop) BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (key == NULL || x == NULL || bio == NULL || !fill(x, key, (const char *)names.ptr) ||
        PEM_write_bio_X509(bio, x) != 1) {
        return crypto_failed(cx, "making a certificate");
    }
    long n = BIO_get_mem_data(bio, &text);
    mln_buf_add(cert_pem, text, (size_t)n);
    return mln_buf_ok(cx, cert_pem);
}
