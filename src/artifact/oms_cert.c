/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of model signatures: a chain from the bundle to roots that the caller trusts, by
 * OpenSSL's verifier, and the identity that the leaf claims. Source: RFC 5280; OMS.md section 5 for
 * the reference's rules and where they are too lax.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "artifact/oms_priv.h"
#include "base/clock.h"
#include "base/text.h"

#define PEM_MAX   (1 << 20)
#define NAMES_MAX 64

static void bio_drop(BIO **bio)
{
    BIO_free(*bio);
}

static void cert_drop(X509 **cert)
{
    X509_free(*cert);
}

static void store_drop(X509_STORE **store)
{
    X509_STORE_free(*store);
}

static void store_ctx_drop(X509_STORE_CTX **ctx)
{
    X509_STORE_CTX_free(*ctx);
}

static void stack_drop(STACK_OF(X509) * *stack)
{
    sk_X509_pop_free(*stack, X509_free);
}

static void names_drop(GENERAL_NAMES **names)
{
    GENERAL_NAMES_free(*names);
}

static X509 *from_der(struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    ERR_clear_error();
    if (cert != NULL && at != der.ptr + der.len) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

struct mln_err oms_cert_key(struct mln_cx *cx, struct mln_bytes der, EVP_PKEY **ret)
{
    MLN_AUTO(cert_drop) X509 *cert = from_der(der);
    EVP_PKEY *key = cert != NULL ? X509_get_pubkey(cert) : NULL;
    ERR_clear_error();
    if (key == NULL) {
        return mln_fail(cx, MLN_E_FORGED, "bundle: the signer's certificate cannot be read");
    }
    *ret = key;
    return MLN_OK;
}

/* Every certificate of a PEM text, handed to `each`; false stops. Returns how many there were. */
static size_t each_pem(struct mln_bytes pem, bool (*each)(void *arg, X509 *cert), void *arg)
{
    MLN_AUTO(bio_drop)
    BIO *bio = pem.len <= PEM_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    size_t n = 0;
    bool goes_on = bio != NULL;
    while (goes_on) {
        MLN_AUTO(cert_drop) X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        goes_on = cert != NULL && each(arg, cert);
        n += goes_on;
    }
    ERR_clear_error();
    return n;
}

struct chain_to {
    struct mln_cx *cx;
    struct mln_dsse *dsse;
};

static bool keep_der(void *arg, X509 *cert)
{
    struct chain_to *to = arg;
    uint8_t *der = NULL;
    int n = i2d_X509(cert, &der);
    if (n <= 0 || to->dsse->n_certs == MLN_DSSE_CERTS_MAX) {
        OPENSSL_free(der);
        to->dsse->n_certs = 0;
        return false;
    }
    to->dsse->certs[to->dsse->n_certs++] = mln_bytes_dup(to->cx, mln_bytes_at(der, (size_t)n));
    OPENSSL_free(der);
    return true;
}

struct mln_err oms_chain_from_pem(struct mln_cx *cx, struct mln_bytes pem, struct mln_dsse *to)
{
    struct chain_to chain = {cx, to};
    to->n_certs = 0;
    each_pem(pem, keep_der, &chain);
    if (to->n_certs == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the certificate chain is not 1 to %d certificates in PEM",
                        MLN_DSSE_CERTS_MAX);
    }
    return mln_cx_err(cx);
}

static bool add_root(void *arg, X509 *cert)
{
    return X509_STORE_add_cert(arg, cert) == 1;
}

/* ---- what the leaf says ---- */

static const char *name_text(struct mln_cx *cx, const X509_NAME *name)
{
    MLN_AUTO(bio_drop) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL ||
        X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) <
            0) {
        ERR_clear_error();
        return "";
    }
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    return mln_tree_show(cx, mln_bytes_at(text, n > 0 ? (size_t)n : 0));
}

/* URI, e-mail and DNS names; a NUL or control character inside makes it no name. */
static struct mln_value *identities(struct mln_cx *cx, const X509 *leaf)
{
    struct mln_value *list = mln_array(cx);
    MLN_AUTO(names_drop)
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && i < NAMES_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI && name->type != GEN_EMAIL && name->type != GEN_DNS) {
            continue;
        }
        const ASN1_IA5STRING *text = name->d.ia5;
        struct mln_bytes view =
            mln_bytes_at(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
        struct mln_bytes shown = mln_bytes_of(mln_tree_show(cx, view));
        if (mln_bytes_eq(view, shown)) {
            mln_push(cx, list, mln_string(cx, shown));
        }
    }
    ERR_clear_error();
    return list;
}

static const char *time_text(struct mln_cx *cx, const ASN1_TIME *at)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1) {
        return "";
    }
    return mln_text_format(cx, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                           tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void describe(struct mln_cx *cx, X509 *leaf, struct mln_value *signer)
{
    mln_put_text(cx, signer, "kind", "certificate");
    mln_put_text(cx, signer, "subject", name_text(cx, X509_get_subject_name(leaf)));
    mln_put_text(cx, signer, "issuer", name_text(cx, X509_get_issuer_name(leaf)));
    mln_put(cx, signer, "identities", identities(cx, leaf));
    mln_put_text(cx, signer, "not_before", time_text(cx, X509_get0_notBefore(leaf)));
    mln_put_text(cx, signer, "not_after", time_text(cx, X509_get0_notAfter(leaf)));
    uint8_t hash[32];
    unsigned n = 0;
    if (X509_digest(leaf, EVP_sha256(), hash, &n) == 1) {
        mln_put_text(cx, signer, "fingerprint", mln_hex_text(cx, mln_bytes_at(hash, n)));
    }
}

static struct mln_err check_usage(struct mln_cx *cx, X509 *leaf)
{
    uint32_t usage = X509_get_key_usage(leaf);
    uint32_t extended = X509_get_extended_key_usage(leaf);
    bool may_sign = usage != UINT32_MAX && (usage & KU_DIGITAL_SIGNATURE) != 0;
    bool may_code = extended != UINT32_MAX && (extended & XKU_CODE_SIGN) != 0;
    if (!may_sign && !may_code) {
        return mln_fail(
            cx, MLN_E_FORGED,
            "the signer's certificate is neither for digitalSignature nor for codeSigning");
    }
    return MLN_OK;
}

static struct mln_err check_identity(struct mln_cx *cx, const char *identity,
                                     const struct mln_value *signer, struct mln_value *warnings)
{
    if (identity == NULL) {
        mln_push_text(cx, warnings,
                      "no identity was asked for: any signer under the roots is accepted");
        return MLN_OK;
    }
    const struct mln_value *names = mln_get(signer, "identities");
    for (size_t i = 0; i < mln_len(names); i++) {
        if (mln_is_text(mln_item(names, i), identity)) {
            return MLN_OK;
        }
    }
    if (mln_is_text(mln_get(signer, "subject"), identity)) {
        return MLN_OK;
    }
    struct mln_bytes subject = mln_get_bytes(mln_get(signer, "subject"));
    return mln_fail(cx, MLN_E_FORGED, "signed by \"%.*s\", not by \"%s\"", MLN_FMT(subject),
                    identity);
}

/* ---- the chain ---- */

static bool stack_of(const struct mln_dsse *dsse, STACK_OF(X509) * to)
{
    for (size_t i = 1; i < dsse->n_certs; i++) {
        X509 *cert = from_der(dsse->certs[i]);
        if (cert == NULL || sk_X509_push(to, cert) <= 0) {
            X509_free(cert);
            return false;
        }
    }
    return true;
}

/* Seconds since 1970 at which the chain must hold. */
static struct mln_err judging_time(struct mln_cx *cx, const X509 *leaf, bool valid_now,
                                   int64_t *ret)
{
    if (valid_now) {
        *ret = mln_now_ns() / 1000000000;
        return MLN_OK;
    }
    const char *text = time_text(cx, X509_get0_notBefore(leaf));
    int64_t ns = 0;
    if (!mln_time_parse(mln_bytes_of(text), &ns)) {
        return mln_fail(cx, MLN_E_FORGED, "the signer's certificate has no readable notBefore");
    }
    *ret = ns / 1000000000;
    return MLN_OK;
}

static struct mln_err walk_chain(struct mln_cx *cx, X509_STORE *store, X509 *leaf,
                                 STACK_OF(X509) * others, int64_t at_s)
{
    MLN_AUTO(store_ctx_drop) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL || X509_STORE_CTX_init(ctx, store, leaf, others) != 1) {
        ERR_clear_error();
        return mln_fail(cx, MLN_E_CRYPTO, "cannot verify certificates");
    }
    X509_STORE_CTX_set_time(ctx, 0, (time_t)at_s);
    X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), MLN_DSSE_CERTS_MAX);
    if (X509_verify_cert(ctx) != 1) {
        const char *why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
        ERR_clear_error();
        return mln_fail(cx, MLN_E_FORGED,
                        "the certificate chain does not lead to the given roots: %s", why);
    }
    return MLN_OK;
}

struct mln_err oms_chain_verify(struct mln_cx *cx, const struct mln_dsse *dsse,
                                const struct mln_oms_trust *trust, EVP_PKEY **ret_key,
                                struct mln_value *signer, struct mln_value *warnings)
{
    MLN_AUTO(store_drop) X509_STORE *store = X509_STORE_new();
    MLN_AUTO(stack_drop) STACK_OF(X509) *others = sk_X509_new_null();
    if (store == NULL || others == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for certificates");
    }
    if (each_pem(trust->roots_pem, add_root, store) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "no root certificate in PEM");
    }
    MLN_AUTO(cert_drop) X509 *leaf = from_der(dsse->certs[0]);
    if (leaf == NULL || !stack_of(dsse, others)) {
        return mln_fail(cx, MLN_E_FORGED, "bundle: a certificate cannot be read");
    }
    int64_t at_s = 0;
    MLN_TRY(judging_time(cx, leaf, trust->valid_now, &at_s));
    MLN_TRY(walk_chain(cx, store, leaf, others, at_s));
    MLN_TRY(check_usage(cx, leaf));
    describe(cx, leaf, signer);
    MLN_TRY(check_identity(cx, trust->identity, signer, warnings));
    MLN_TRY(oms_cert_key(cx, dsse->certs[0], ret_key));
    return mln_cx_err(cx);
}
