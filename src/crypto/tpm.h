/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a verifier of TPM 2.0 does: it reads public keys and quotes, and makes credentials that only one TPM can open, and only for one
 * key. No TPM is needed here. Source: Trusted Platform Module Library, family "2.0", revision 1.59: part 1 sec. 11.4.10 (KDFa), 24
 * (credentials), annex B.4 (RSA); part 2 sec. 10.12 (attestation), 12.2 (public areas). Only these kinds are taken: an endorsement key
 * of RSA-2048 after the TCG's EK credential profile (template L-1), an attestation key of P-256 or RSA-2048.
 */
#pragma once

#include "crypto/akey.h"

#define MLN_TPM_NAME_BYTES   34u   /* algorithm and SHA-256 */
#define MLN_TPM_PUBLIC_MAX   1024u /* bytes of a TPMT_PUBLIC: RSA-2048 has 314 */
#define MLN_TPM_QUOTE_MAX    2048u /* of a TPMS_ATTEST: one of a single bank has some 130 */
#define MLN_TPM_SECRET_BYTES 32u   /* of a credential: as long as its digest */

struct mln_tpm_key {
    enum mln_akey kind;
    struct mln_bytes spki; /* DER of SubjectPublicKeyInfo, in the arena */
    uint8_t name[MLN_TPM_NAME_BYTES];
};
/* TPMT_PUBLIC of an endorsement key: bound to its TPM, restricted to decrypt. errors PARSE (none), INVALID (a key of another kind) */
struct mln_err mln_tpm_ek_parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_key *ret);
/* Of an attestation key: made in its TPM and bound to it, restricted to sign, with SHA-256. errors as above */
struct mln_err mln_tpm_ak_parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_key *ret);

/*
 * MakeCredential: what TPM2_ActivateCredential opens in the TPM of ek when it has a key of this name.
 *
 * secret          what only that TPM shall learn
 * ret_blob        arena: what a TPM2B_ID_OBJECT holds: HMAC and the encrypted secret
 * ret_seed        arena: what a TPM2B_ENCRYPTED_SECRET holds: RSA-2048 OAEP
 * errors          CRYPTO, MEMORY
 */
struct mln_err mln_tpm_credential(struct mln_cx *cx, const struct mln_tpm_key *ek, const uint8_t name[MLN_TPM_NAME_BYTES],
                                  const uint8_t secret[MLN_TPM_SECRET_BYTES], struct mln_bytes *ret_blob, struct mln_bytes *ret_seed);

struct mln_tpm_quote {
    struct mln_bytes extra;      /* qualifyingData of whoever asked; views */
    struct mln_bytes pcr_digest; /* of the registers that the node chose */
    uint32_t resets, restarts;
    uint64_t firmware;
};
/* TPMS_ATTEST that is a quote. PARSE */
struct mln_err mln_tpm_quote_parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_quote *ret);
/* Is sig (TPMT_SIGNATURE, with SHA-256) by ak over these bytes? errors PARSE (no signature of the key's kind), FORGED */
struct mln_err mln_tpm_verify(struct mln_cx *cx, const struct mln_tpm_key *ak, struct mln_bytes bytes, struct mln_bytes sig);
