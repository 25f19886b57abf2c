/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs of RSA and of the three NIST curves as DER bytes: the private half as PKCS #1 (RSA, RFC 8017) or SEC 1 (EC,
 * RFC 5915), the public half as SubjectPublicKeyInfo (RFC 5280). Parsed keys are kept per thread until mln_crypto_forget.
 * No PEM passes through OpenSSL, whose reader and writer leave copies behind.
 */
#pragma once

#include "crypto/crypto.h"
#include "crypto/digest.h"

enum mln_akey {
    MLN_AKEY_P256,
    MLN_AKEY_P384,
    MLN_AKEY_P521,
    MLN_AKEY_RSA2048,
    MLN_AKEY_RSA3072,
    MLN_AKEY_RSA4096,
    MLN_AKEY_COUNT
};

bool mln_akey_is_rsa(enum mln_akey kind);
/* Half a raw ECDSA signature: 32, 48 or 66 bytes; 0 for RSA. */
size_t mln_akey_half(enum mln_akey kind);

/* Appends both halves; priv must be a secret buffer. RSA takes 0.1 s (2048) to some seconds (4096). */
struct mln_err mln_akey_generate(struct mln_cx *cx, enum mln_akey kind, struct mln_buf *priv,
                                 struct mln_buf *pub);
/* The same from PKCS #8 (RFC 5958) without attributes. PARSE when it is none, INVALID when it is of another kind or a bad key. */
struct mln_err mln_akey_from_pkcs8(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes der,
                                   struct mln_buf *priv, struct mln_buf *pub);
/* The same from the private half as it is kept here. */
struct mln_err mln_akey_from_private(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes der,
                                     struct mln_buf *priv, struct mln_buf *pub);
/* An Ed25519 seed out of PKCS #8 (RFC 8410). */
struct mln_err mln_ed25519_from_pkcs8(struct mln_cx *cx, struct mln_bytes der, uint8_t seed[32]);
/* Does this public half (SubjectPublicKeyInfo) have this kind? PARSE, INVALID. */
struct mln_err mln_akey_check_public(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes pub);

/* How a signature is made. Only hash counts for EC. */
struct mln_akey_how {
    enum mln_hash
        hash; /* of the digest; NONE: only RSA PKCS #1 v1.5, the digest is padded as it is */
    bool is_pkcs1v15; /* else PSS with MGF1 of the same hash (RFC 8017) */
    int salt;         /* PSS: bytes, or one of the two below */
};
#define MLN_AKEY_SALT_AUTO (-2) /* signing: as long as fits; verifying: whatever was used */
#define MLN_AKEY_SALT_HASH (-1)

/* Appends the signature: DER for EC. INVALID when digest and options do not fit the key. */
struct mln_err mln_akey_sign(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes priv,
                             const struct mln_akey_how *how, struct mln_bytes digest,
                             struct mln_buf *sig);
/* FORGED when the signature is wrong. */
struct mln_err mln_akey_verify(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes pub,
                               const struct mln_akey_how *how, struct mln_bytes digest,
                               struct mln_bytes sig);

/* RSA-OAEP (RFC 8017), MGF1 of the same hash; label may be empty. open: without a label, FORGED whatever was wrong. */
struct mln_err mln_akey_oaep_seal(struct mln_cx *cx, struct mln_bytes pub, enum mln_hash hash,
                                  struct mln_bytes label, struct mln_bytes plain, struct mln_buf *box);
struct mln_err mln_akey_oaep_open(struct mln_cx *cx, struct mln_bytes priv, enum mln_hash hash,
                                  struct mln_bytes box, struct mln_buf *plain);

/* PEM (RFC 7468) of any DER: label "PUBLIC KEY", 64 columns, final newline. */
struct mln_err mln_pem_print(struct mln_cx *cx, const char *label, struct mln_bytes der,
                             struct mln_buf *pem);
/* The first block of this label; strict base64 between its lines (line ends are free). PARSE. */
struct mln_err mln_pem_read(struct mln_cx *cx, const char *label, struct mln_bytes pem,
                            struct mln_buf *der);
