/* SPDX-License-Identifier: Apache-2.0 */
/* A PKI mount with a root, for tests of the engine; answers looked at by OpenSSL and not by Merlon's own reader. */
#pragma once

#include "crypto/x509.h"
#include "kit/engine_kit.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

extern const struct mln_engine mln_engine_pki;

#define PKI_UUID "22222222-0000-4000-8000-000000000000"
#define PKI_ROOT                                                                                   \
    "{\"common_name\":\"Root\",\"key_type\":\"ec\",\"ttl\":\"8000h\",\"issuer_name\":\"r1\"}"

static inline struct ek *pk_bare(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "pki/", &mln_engine_pki, PKI_UUID);
    k->mounts[0].max_ttl_s = (int64_t)10 * 365 * 86400;
    k->now_ns = mln_now_ns(); /* OpenSSL has its own clock */
    return k;
}

static inline struct ek *pk_new(void)
{
    struct ek *k = pk_bare();
    EK_WANT(k, ek_write(k, "pki/root/generate/internal", PKI_ROOT), 200);
    return k;
}
#define PKI(name)      MLN_AUTO(ek_drop) struct ek *name = pk_new()
#define PKI_BARE(name) MLN_AUTO(ek_drop) struct ek *name = pk_bare()

/* A member of the answer, kept beyond the next call. */
static inline const char *pk_keep(struct ek *k, const char *name, char *to, size_t n)
{
    struct mln_bytes text = mln_get_bytes(mln_get(k->re.data, name));
    assert_true(text.len > 0 && text.len < n);
    mln_copy(to, text.ptr, text.len);
    to[text.len] = '\0';
    return to;
}

/* {"a":"<text as JSON string>", rest} */
static inline const char *pk_with(char *to, size_t n, const char *name, const char *text,
                                  const char *rest)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_buf_add_format(&out, "{\"%s\":", name);
    mln_json_print_string(&out, mln_bytes_of(text), 0);
    mln_buf_add_format(&out, "%s}", rest);
    assert_true(out.len < n);
    mln_copy(to, out.ptr, out.len);
    to[out.len] = '\0';
    return to;
}

static inline X509 *pk_x509(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(x);
    return x;
}

static inline X509 *pk_answer_x509(struct ek *k)
{
    return pk_x509(ek_text(k, "certificate"));
}

/* X509_V_OK or OpenSSL's reason. crl may be NULL. */
static inline int pk_verify(X509 *leaf, X509 *root, X509 *middle, X509_CRL *crl)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *more = sk_X509_new_null();
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    if (middle != NULL) {
        sk_X509_push(more, middle);
    }
    if (crl != NULL) {
        assert_int_equal(X509_STORE_add_crl(store, crl), 1);
    }
    assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, more), 1);
    X509_STORE_CTX_set_flags(ctx,
                             X509_V_FLAG_X509_STRICT | (crl != NULL ? X509_V_FLAG_CRL_CHECK : 0));
    int ok = X509_verify_cert(ctx), why = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_free(more);
    return ok == 1 ? X509_V_OK : why;
}

/* An extension as `openssl x509 -text` prints it, "" when absent. */
static inline const char *pk_extension(X509 *x, int nid, char *to, int n)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int at = X509_get_ext_by_NID(x, nid, -1);
    int got = at >= 0 && X509V3_EXT_print(bio, X509_get_ext(x, at), 0, 0) == 1
                  ? BIO_read(bio, to, n - 1)
                  : 0;
    to[got > 0 ? got : 0] = '\0';
    BIO_free(bio);
    return to;
}

static inline X509_CRL *pk_crl(struct ek *k, const char *path)
{
    EK_WANT(k, ek_read(k, path, NULL), 200 + 4); /* raw bodies have no data */
    const uint8_t *at = k->re.raw.ptr;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)k->re.raw.len);
    assert_non_null(crl);
    return crl;
}
