/* SPDX-License-Identifier: Apache-2.0 */
/* What signing and verifying share inside this room. */
#pragma once

#include <openssl/evp.h>

#include "artifact/oms.h"

/* One thing that has a digest: a whole file or one shard of it. */
struct oms_unit {
    struct mln_bytes name;
    const struct mln_tree_file *file;
    uint64_t start, end;
};

/* The names that git leaves in a model's folder; ignored unless the signer says otherwise. */
extern const char *const oms_git_paths[4];

/* How many units the files make. */
uint64_t oms_units_count(const struct mln_tree_file *files, size_t n, uint64_t shard_size);
/* Append the units of one file; the caller has counted. Empty files have none in shards. */
void oms_units_of(struct mln_cx *cx, const struct mln_tree_file *file, uint64_t shard_size,
                  struct oms_unit *units, size_t *n);
/* The path of the signature relative to the model, or NULL when it lies elsewhere. */
const char *oms_signature_inside(struct mln_cx *cx, const char *model_path,
                                 const char *signature_path);

/* ---- keys (oms_key.c) ---- */
void oms_pkey_drop(EVP_PKEY **key);
/* errors INVALID (no PEM public key), UNSUPPORTED (not ECDSA on one of the three curves) */
struct mln_err oms_key_from_public_pem(struct mln_cx *cx, struct mln_bytes pem, EVP_PKEY **ret);
/* UNSUPPORTED unless it is one of the three curves. *ret: its hash. */
struct mln_err oms_key_hash(struct mln_cx *cx, EVP_PKEY *key, const EVP_MD **ret);
/* Canonical PEM of the public half; its SHA-256 in hex is the hint. */
struct mln_err oms_key_pem(struct mln_cx *cx, EVP_PKEY *key, struct mln_bytes *ret_pem,
                           const char **ret_hint);
/* MLN_OK or FORGED. message is hashed with md. */
struct mln_err oms_key_verify(struct mln_cx *cx, EVP_PKEY *key, const EVP_MD *md,
                              struct mln_bytes message, struct mln_bytes sig);
struct mln_err oms_hash(struct mln_cx *cx, const EVP_MD *md, struct mln_bytes message,
                        uint8_t out[64], size_t *ret_n);

/* ---- certificates (oms_cert.c) ---- */
/*
 * Leaf of a chain that ends in the roots, with what it says about the signer. errors FORGED,
 * INVALID (roots), UNSUPPORTED
 */
struct mln_err oms_chain_verify(struct mln_cx *cx, const struct mln_dsse *dsse,
                                const struct mln_oms_trust *trust, EVP_PKEY **ret_key,
                                struct mln_value *signer, struct mln_value *warnings);
/* DER of the certificates in a PEM, in its order. errors INVALID */
struct mln_err oms_chain_from_pem(struct mln_cx *cx, struct mln_bytes pem, struct mln_dsse *to);
/* The key of a DER certificate. */
struct mln_err oms_cert_key(struct mln_cx *cx, struct mln_bytes der, EVP_PKEY **ret);
