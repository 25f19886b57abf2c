/* SPDX-License-Identifier: Apache-2.0 */
/* See x509_chain.h. */
#include "crypto/x509_chain.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

static X509 *read_cert(struct mln_bytes der)
{
    const unsigned char *at = der.ptr;
    X509 *cert = der.len > 0 && der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    if (cert != NULL && at != der.ptr + der.len) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

struct parts {
    X509 *leaf;
    STACK_OF(X509) * others;
    X509_STORE *store;
    X509_STORE_CTX *ctx;
};

static void parts_drop(struct parts *p)
{
    X509_STORE_CTX_free(p->ctx);
    X509_STORE_free(p->store);
    sk_X509_pop_free(p->others, X509_free);
    X509_free(p->leaf);
}

static bool add_others(struct parts *p, const struct mln_x509_chain *chain)
{
    p->others = sk_X509_new_null();
    for (size_t i = 1; p->others != NULL && i < chain->n; i++) {
        X509 *cert = read_cert(chain->certs[i]);
        if (cert == NULL || sk_X509_push(p->others, cert) <= 0) {
            X509_free(cert);
            return false;
        }
    }
    return p->others != NULL;
}

static bool add_roots(struct parts *p, const struct mln_x509_chain *chain)
{
    p->store = X509_STORE_new();
    for (size_t i = 0; p->store != NULL && i < chain->n_roots; i++) {
        X509 *cert = read_cert(chain->roots[i]);
        bool ok = cert != NULL && X509_STORE_add_cert(p->store, cert) == 1;
        X509_free(cert);
        if (!ok) {
            return false;
        }
    }
    return p->store != NULL;
}

struct mln_err mln_x509_chain_verify(struct mln_cx *cx, const struct mln_x509_chain *chain)
{
    MLN_AUTO(parts_drop)
    struct parts p = {.leaf = chain->n > 0 ? read_cert(chain->certs[0]) : NULL};
    if (p.leaf == NULL || chain->n > MLN_X509_CHAIN_MAX || !add_others(&p, chain)) {
        return mln_fail(cx, MLN_E_INVALID, "the certificates sent are none, or more than %u",
                        MLN_X509_CHAIN_MAX);
    }
    p.ctx = add_roots(&p, chain) ? X509_STORE_CTX_new() : NULL;
    if (p.ctx == NULL || X509_STORE_CTX_init(p.ctx, p.store, p.leaf, p.others) != 1) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to verify a certificate");
    }
    /* a root of the bundle may be an intermediate of a larger hierarchy */
    X509_STORE_CTX_set_flags(p.ctx, X509_V_FLAG_PARTIAL_CHAIN);
    X509_STORE_CTX_set_time(p.ctx, 0, (time_t)chain->now_s);
    if (X509_verify_cert(p.ctx) == 1) {
        return MLN_OK;
    }
    return mln_fail(cx, MLN_E_FORGED, "the certificate is not trusted: %s",
                    X509_verify_cert_error_string(X509_STORE_CTX_get_error(p.ctx)));
}
