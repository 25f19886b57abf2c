/* SPDX-License-Identifier: Apache-2.0 */
/* What a node signs to show that it holds a key: the same bytes at the node and at the server. */
#pragma once

#include "base/value.h"
#include "crypto/crypto.h"

#define MLN_NODE_POP_CONTEXT  "merlon node x509pop v2"
#define MLN_NODE_SVID_CONTEXT "merlon node svid v2"
#define MLN_NODE_TPM_CONTEXT  "merlon node tpm v1"
#define MLN_NODE_CSR_MAX      4096u /* bytes: RSA-4096 has 1.2 KiB */

struct mln_node_signed {
    const char *context;            /* what it is signed for */
    struct mln_bytes nonce, domain; /* of the server's challenge; no zero bytes */
    struct mln_bytes csr; /* the request that goes with it: PKCS #10 in base64; empty = none */
};
/*
 * SHA-256 of context, 0, nonce, 0, trust domain, 0, SHA-256 of the request's DER. Who sees a proof can so use it for no key but the
 * one that was asked for. errors INVALID: csr is not base64, or longer than MLN_NODE_CSR_MAX
 */
struct mln_err mln_node_proof_digest(struct mln_cx *cx, const struct mln_node_signed *what,
                                     uint8_t ret[MLN_SHA256_BYTES]);
