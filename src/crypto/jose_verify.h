/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JOSE: verifying the tokens of others (RFC 7515, 7517, 7518, 7519, 8037, 8725). Signatures by public keys only: "none" and the
 * HMACs do not exist here, so that no public key can be taken for a shared secret. The key decides what it verifies: an RSA key
 * RSA's algorithms, a curve its own.
 */
#pragma once

#include "crypto/jose.h"

#define MLN_JOSE_TEXT_MAX (64u << 10) /* of one token: headers of HTTP end far below */
#define MLN_JOSE_KEYS_MAX 100u        /* of one set: publishers keep a few */
#define MLN_JOSE_PEM_MAX  (16u << 10) /* of one PEM text: an RSA key of 8192 bits takes 1.5 KiB, a certificate some more */

struct mln_jose_token {
    enum mln_jose_alg alg;
    struct mln_bytes kid;             /* empty when absent */
    const struct mln_value *header;   /* object */
    const struct mln_value *claims;   /* object: believed only after a verification */
    struct mln_bytes signed_part;     /* borrowed from the text */
    struct mln_bytes signature;
};
/*
 * A compact JWS whose payload is a JSON object. Borrows from text. "crit" is refused whatever it names: nothing is understood.
 * errors    INVALID: the text says in what, as clients know it ("... compact JWS format must have three parts")
 */
struct mln_err mln_jose_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_jose_token *ret);

struct mln_jose_public; /* a public key for verifying */
void mln_jose_public_free(struct mln_jose_public *key);
void mln_jose_public_drop(struct mln_jose_public **key);
/* "PUBLIC KEY" (SubjectPublicKeyInfo) or "CERTIFICATE", the first of the text. RSA 2048..8192, P-256/384/521, Ed25519. errors INVALID */
struct mln_err mln_jose_public_from_pem(struct mln_cx *cx, struct mln_bytes pem, struct mln_jose_public **ret);
/* A JWK; one for encryption, or private, or of another kind is INVALID. */
struct mln_err mln_jose_public_from_jwk(struct mln_cx *cx, const struct mln_value *jwk, struct mln_jose_public **ret);
/* May this key verify that algorithm at all? */
bool mln_jose_public_fits(const struct mln_jose_public *key, enum mln_jose_alg alg);
/* MLN_OK or FORGED (also when the key is not one for the algorithm). */
struct mln_err mln_jose_verify(struct mln_cx *cx, const struct mln_jose_public *key, const struct mln_jose_token *token);
/*
 * By one of a set {"keys":[...]}: those with the token's kid, or all that fit when it names none. Keys that are none for us are
 * passed over, as RFC 7517 sec. 5 says.
 * errors    NOT_FOUND (no key of that kid: ask for a newer set), FORGED, INVALID (no set)
 */
struct mln_err mln_jose_verify_set(struct mln_cx *cx, const struct mln_value *jwks, const struct mln_jose_token *token);
