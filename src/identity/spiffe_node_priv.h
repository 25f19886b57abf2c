/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: what the files spiffe_node*.c share. */
#pragma once

#include "identity/spiffe_node_proof.h"
#include "identity/spiffe_priv.h"

#define SP_NODE_TOKEN "mns." /* session tokens of nodes begin so */

/* What a node has shown. */
struct sp_node_proof {
    const char *method;
    const char *id;                /* its SPIFFE id */
    const struct mln_value *facts; /* object: what was shown, for people; NULL = as they stand */
    const char *serial;            /* of the SVID that was shown; NULL = none */
    int64_t nonce_ns;              /* of the challenge that was signed; 0 = none */
};
const char *sp_node_hash(struct mln_cx *cx, struct mln_bytes text); /* SHA-256, hex */
/* A session, and an SVID when the request has a `csr`. */
struct mln_err sp_node_begin(struct mln_request *rq, const struct sp_node_proof *proof,
                             struct mln_reply *re);
/* Who shows this session token. DENIED whatever is wrong with it. */
struct mln_err sp_node_of(struct mln_request *rq, const struct mln_value **ret,
                          struct mln_bytes *ret_name);

/* ---- proofs (spiffe_node_attest.c) ---- */
/* DENIED, with a text that says nothing; why goes to the log and the record. */
struct mln_err sp_node_refuse(struct mln_request *rq, const char *why);
struct mln_err sp_node_id(struct mln_request *rq, const char *method, const char *rest,
                          const char **ret);
/* A challenge: nonce, context, trust_domain. */
struct mln_err sp_nonce_put(struct mln_request *rq, const char *context, struct mln_value *data);
/* A challenge of ours, not older than a minute; its time goes to the proof, by which it works once (sp_node_begin). DENIED */
struct mln_err sp_nonce_check(struct mln_request *rq, struct mln_bytes nonce,
                              struct sp_node_proof *proof);
#define SP_NODE_CHAIN_MAX 5u
/* Certificates (base64 of DER each) that are in their time. DENIED */
struct mln_err sp_chain_read(struct mln_request *rq, const struct mln_value *certs,
                             struct mln_x509_info chain[SP_NODE_CHAIN_MAX], size_t *ret_n);
/* Is sig64 by the key of the certificate, over context, nonce, trust domain and the request's csr (spiffe_node_proof.h)? DENIED */
struct sp_signed {
    const char *context;
    struct mln_bytes nonce, sig64;
};
struct mln_err sp_signature_check(struct mln_request *rq, const struct mln_x509_info *leaf,
                                  const struct sp_signed *what);
typedef struct mln_err sp_node_method(struct mln_request *rq, const struct mln_value *payload,
                                      struct sp_node_proof *proof);
sp_node_method sp_by_svid, sp_by_k8s_psat,
    sp_by_tpm; /* spiffe_node_svid.c, spiffe_node_psat.c, spiffe_node_tpm.c */

#define SP_TPM_ROOTS_MAX 64u /* of tpm_ca: there are some twenty makers */
/* Digests of endorsement keys: hex of SHA-256 each. INVALID */
struct mln_err sp_tpm_check_hashes(struct mln_request *rq, const struct mln_value *hashes);

/* ---- what is signed (spiffe_node_sign.c) ---- */
/* A PKCS #10 request in base64, of a kind of key that SVIDs may have. INVALID */
struct mln_err sp_csr_take(struct mln_request *rq, struct mln_bytes text,
                           struct mln_bytes *ret_spki, bool *ret_is_rsa);

extern const struct mln_path sp_node_paths[], sp_node_attest_paths[], sp_node_sync_paths[],
    sp_node_sign_paths[], sp_node_tpm_paths[];
