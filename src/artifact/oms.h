/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSF Model Signing: sign the files of a model and verify them. Works with no server.
 *
 *   manifest    path -> the digest of every file and the root digest over them
 *   statement   manifest -> an in-toto statement (the payload that is signed)
 *   bundle      statement + key -> `model.sig`
 *   verify      model + bundle + whom to trust -> a report, or the reason why not
 *
 * ECDSA only: P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512. Where the reference
 * implementation is lax this one is strict; docs/model-signing.md lists where. Sources:
 * github.com/ossf/model-signing-spec; in-toto Statement v1; DSSE.
 */
#pragma once

#include "artifact/digest.h"
#include "artifact/dsse.h"

#define MLN_OMS_PREDICATE        "https://model_signing/signature/v1.0"
#define MLN_OMS_PREDICATE_LEGACY "https://model_signing/Digests/v0.1"
#define MLN_OMS_STATEMENT        "https://in-toto.io/Statement/v1"
#define MLN_OMS_UNITS_MAX        (4u << 20) /* files or shards of one model */

struct mln_oms_options {
    const struct mln_value *ignore; /* array of relative paths; NULL = none */
    const char *signature_path;     /* where the bundle lies; no part of the model when inside */
    bool allow_symlinks;  /* signing: hash what links to regular files lead to */
    bool keep_git_paths;  /* signing: do not ignore .git, .gitattributes, .github, .gitignore */
    bool ignore_unsigned; /* verifying: files that the bundle does not know are no error */
    /* verifying: accept that the signer left out files that may hold weights or code */
    bool allow_uncovered;
    bool legacy;            /* verifying: also accept the formats from before 1.0 */
    enum mln_digest digest; /* signing */
    uint64_t shard_size;    /* signing: 0 = one digest a file */
    struct mln_work_progress progress;
};

struct mln_oms_entry {
    struct mln_bytes name; /* "sub/z", or "sub/z:0:1000" of a shard */
    const uint8_t *digest;
};

struct mln_oms_manifest {
    const char *name; /* of the folder or file: informative */
    enum mln_digest digest;
    uint64_t shard_size; /* 0 = files */
    bool allow_symlinks;
    const struct mln_value *ignore;
    struct mln_oms_entry *entries; /* in order of path components, shards by start */
    size_t n_entries, n_files;
    uint64_t bytes;
    uint8_t root[32]; /* SHA-256 over the entries' digests in this order */
};

/*
 * Hash a model, a folder or one file, on all cores.
 * errors    INVALID (links, devices, a name that is no UTF-8, an empty model), CONFLICT (changed
 *           meanwhile), as mln_tree_walk
 */
struct mln_err mln_oms_manifest(struct mln_cx *cx, const char *path,
                                const struct mln_oms_options *options,
                                struct mln_oms_manifest *ret);
/* Append the in-toto statement as compact JSON. */
struct mln_err mln_oms_statement(struct mln_cx *cx, const struct mln_oms_manifest *manifest,
                                 struct mln_buf *payload);

/*
 * Who signs.
 * sign        append the DER signature of `digest` (32, 48 or 64 bytes, by the key's curve) to sig;
 *             may ask a server
 * public_pem  SubjectPublicKeyInfo; the signature is checked against it before a bundle is made
 * chain_pem   certificates, leaf first, for a bundle that is verified by roots; empty = a bundle
 *             verified by key
 */
struct mln_oms_signer {
    struct mln_err (*sign)(void *arg, struct mln_cx *cx, struct mln_bytes digest,
                           struct mln_buf *sig);
    void *arg;
    struct mln_bytes public_pem;
    struct mln_bytes chain_pem;
};
/*
 * Append `model.sig`. errors: those of the signer; CRYPTO when what it made does not verify;
 * UNSUPPORTED curve; PARSE
 */
struct mln_err mln_oms_bundle(struct mln_cx *cx, struct mln_bytes payload,
                              const struct mln_oms_signer *signer, struct mln_buf *bundle);
/*
 * A signer from a private key in PEM (unencrypted; wiped by the caller). Free with
 * mln_oms_signer_free.
 */
struct mln_err mln_oms_signer_from_pem(struct mln_cx *cx, struct mln_bytes private_pem,
                                       struct mln_oms_signer *ret);
void mln_oms_signer_free(struct mln_oms_signer *signer);

/* Whom to trust: a public key, or roots (exactly one of the two). */
struct mln_oms_trust {
    struct mln_bytes public_pem;
    struct mln_bytes roots_pem;
    /* a SAN (URI, e-mail, DNS) or RFC 2253 subject that the leaf must have; NULL = any */
    const char *identity;
    /* the chain must be valid today; else at the leaf's notBefore, as the reference has it */
    bool valid_now;
};

/*
 * Verify a model against a bundle.
 *
 * ret_report  {"verdict":"ok"|"refused","model","root","method","hash","files","bytes",
 *              "signer":{...},"ignored":[...],
 *              "uncovered":[...],"missing":[...],"extra":[...],"different":[...],"warnings":[...]}.
 *             Set when the signature held, also when the files then did not (FORGED); untouched
 *             otherwise. NULL is fine.
 * errors      FORGED: the signature or a file is not what was signed, the text names it;
 *             UNSUPPORTED: BLAKE3, keyless, other curves; INVALID: trust is unusable; CONFLICT,
 *             NOT_FOUND, DENIED, IO: the model cannot be read
 */
struct mln_err mln_oms_verify(struct mln_cx *cx, const char *model_path, struct mln_bytes bundle,
                              const struct mln_oms_trust *trust,
                              const struct mln_oms_options *options,
                              const struct mln_value **ret_report);
/*
 * The signature alone, no files, for who has the digests already.
 * ret_root    the root digest, recomputed over the resources of the authentic statement
 * ret_signer  as in the report, with "warnings"
 */
struct mln_err mln_oms_verify_signature(struct mln_cx *cx, struct mln_bytes bundle,
                                        const struct mln_oms_trust *trust, bool legacy,
                                        uint8_t ret_root[32], const struct mln_value **ret_signer);
