/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying a chain of certificates up to given roots (RFC 5280 sec. 6), by OpenSSL. */
#pragma once

#include "crypto/crypto.h"

#define MLN_X509_CHAIN_MAX 16u /* certificates that are sent, leaf first */

struct mln_x509_chain {
    const struct mln_bytes *certs; /* DER, leaf first */
    size_t n;
    const struct mln_bytes *roots; /* DER */
    size_t n_roots;
    int64_t now_s;
};
/* MLN_OK when the leaf is trusted at now_s, for whatever use. errors INVALID (no certificate, too many), FORGED (says why) */
struct mln_err mln_x509_chain_verify(struct mln_cx *cx, const struct mln_x509_chain *chain);
