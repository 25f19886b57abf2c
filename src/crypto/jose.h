/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JOSE: signed JWTs and JWKs (RFC 7515, 7517, 7518, 8037). This header is the signing half (jose.c);
 * verification of tokens of others is jose_verify.c.
 */
#pragma once

#include "base/value.h"
#include "crypto/crypto.h"

enum mln_jose_alg {
    MLN_JOSE_RS256, MLN_JOSE_RS384, MLN_JOSE_RS512, MLN_JOSE_PS256, MLN_JOSE_PS384, MLN_JOSE_PS512,
    MLN_JOSE_ES256, MLN_JOSE_ES384, MLN_JOSE_ES512, MLN_JOSE_EDDSA,
};

/* By its exact name ("ES256"); false for others, "none" and the HMACs among them. */
bool mln_jose_alg_of(struct mln_bytes name, enum mln_jose_alg *ret);
const char *mln_jose_alg_name(enum mln_jose_alg alg);

/*
 * A new private key for alg (RSA: 2048 bits; EdDSA: Ed25519) as PKCS#8 DER, appended to der, which must be marked secret.
 * RSA takes up to a second: block first.
 */
struct mln_err mln_jose_generate(struct mln_cx *cx, enum mln_jose_alg alg, struct mln_buf *der);
/* The public half of a PKCS#8 private key as JWK with "use":"sig", "kid" (borrowed) and "alg". errors INVALID: not alg's kind */
struct mln_err mln_jose_jwk(struct mln_cx *cx, enum mln_jose_alg alg, const char *kid,
                            struct mln_bytes der, const struct mln_value **ret);
/* The same of a SubjectPublicKeyInfo, the key alone: no use, kid and alg. RSA, P-256, P-384, P-521, Ed25519. errors INVALID */
struct mln_err mln_jose_jwk_of_spki(struct mln_cx *cx, struct mln_bytes spki, const struct mln_value **ret);
/*
 * Sign claims as a compact JWS, appended to jwt; header {"alg","kid"} and, unless NULL, "typ".
 * errors INVALID: the key is not of alg's kind
 */
struct mln_jose_key {
    enum mln_jose_alg alg;
    const char *kid;
    struct mln_bytes der; /* PKCS#8 */
};
struct mln_err mln_jose_sign(struct mln_cx *cx, const struct mln_jose_key *key, const char *typ,
                             const struct mln_value *claims, struct mln_buf *jwt);
/* The left half of the algorithm's hash of text, base64url: at_hash and c_hash of OpenID Connect Core 3.1.3.6. */
struct mln_err mln_jose_half_hash(struct mln_cx *cx, enum mln_jose_alg alg, struct mln_bytes text,
                                  const char **ret);
