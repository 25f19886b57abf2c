/* SPDX-License-Identifier: Apache-2.0 */
/* tls_provider.c: a public key (P-256, P-384, RSA) whose signatures come from sign(). */
#pragma once

#include <openssl/types.h>

#include "net/tls_sign.h"

typedef int tls_sign_fn(enum mln_tls_how how, const unsigned char *input, size_t n, unsigned char *sig, size_t *sig_len,
                        size_t sig_max);
struct mln_err tls_provider_load(struct mln_cx *cx, OSSL_LIB_CTX *lib, tls_sign_fn *sign,
                                 OSSL_PROVIDER *ret_loaded[2]);
struct mln_err tls_provider_key(struct mln_cx *cx, OSSL_LIB_CTX *lib, const X509 *cert,
                                EVP_PKEY **ret);
