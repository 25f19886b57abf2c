/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates, requests and keys as values of the shape that OPA gives them: what Go's encoding/json makes of
 * x509.Certificate, x509.CertificateRequest, rsa.PrivateKey and their kin. OpenSSL reads them; nothing here judges.
 */
#pragma once

#include "rego/builtin_priv.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

struct rg_val rg_x509_cert(struct rg_heap *heap, X509 *cert);
struct rg_val rg_x509_request(struct rg_heap *heap, X509_REQ *req, struct mln_bytes der);
struct rg_val rg_x509_uri_strings(struct rg_heap *heap, X509 *cert); /* null when it names none */

/* ---- keys (x509_keys.c) ---- */
struct rg_val rg_x509_public_key(struct rg_heap *heap,
                                 EVP_PKEY *key); /* null when Go knows no such key */
struct rg_val rg_x509_private_key(struct rg_heap *heap, EVP_PKEY *key); /* undefined likewise */
struct rg_val rg_x509_jwk(struct rg_heap *heap, EVP_PKEY *key); /* private; undefined likewise */
int rg_x509_key_algorithm(const EVP_PKEY *key); /* Go's number; 0 unknown; NULL is fine */
struct rg_val rg_x509_bn(struct rg_heap *heap, const BIGNUM *n);
struct rg_val rg_x509_base64(struct rg_heap *heap, struct mln_bytes bytes);

/* ---- scope ---- */
static inline void rg_x509_drop(X509 **p)
{
    X509_free(*p);
}
static inline void rg_x509_req_drop(X509_REQ **p)
{
    X509_REQ_free(*p);
}
static inline void rg_x509_pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static inline void rg_x509_bn_drop(BIGNUM **p)
{
    BN_clear_free(*p);
}
static inline void rg_x509_bio_drop(BIO **p)
{
    (void)BIO_free(*p);
}
static inline void rg_x509_stack_drop(STACK_OF(X509) * *p)
{
    sk_X509_pop_free(*p, X509_free);
}
