/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thin, hard-to-misuse layer over OpenSSL and libsodium. Algorithms are fetched once, contexts
 * are cached per thread. Verify-style functions return an error only and leave outputs zeroed on
 * failure.
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

#define MLN_SHA256_BYTES 32
#define MLN_KEY_BYTES    32

void mln_sha256(struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES]);
void mln_sha256_2(struct mln_bytes a, struct mln_bytes b,
                  uint8_t out[MLN_SHA256_BYTES]); /* hash of a || b */
void mln_hmac_sha256(struct mln_bytes key, struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES]);
/* A key that is used often, with its two pads hashed already: as secret as the key, wiped by who holds it. */
struct mln_hmac_key {
    uint32_t inner[8], outer[8];
};
void mln_hmac_key_set(struct mln_hmac_key *to, struct mln_bytes key);
void mln_hmac_by(const struct mln_hmac_key *key, struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES]);
/* RFC 5869; salt may be empty (32 zero bytes). out_n <= 255 * 32 */
void mln_hkdf_sha256(struct mln_bytes ikm, struct mln_bytes salt, struct mln_bytes info,
                     uint8_t *out, size_t out_n);

/* A streaming SHA-256 for large input. */
struct mln_sha256_stream {
    void *ctx; /* EVP_MD_CTX */
};
struct mln_err mln_sha256_begin(struct mln_cx *cx, struct mln_sha256_stream *s);
void mln_sha256_update(struct mln_sha256_stream *s, const void *p, size_t n);
void mln_sha256_end(struct mln_sha256_stream *s, uint8_t out[MLN_SHA256_BYTES]); /* also frees */

/*
 * AES-256-GCM (NIST SP 800-38D), 96-bit nonce, 128-bit tag. key: 32 bytes. out: plain.len + 16 /
 * box.len - 16 bytes. The caller chooses the nonce and never repeats it under a key. open: FORGED
 * and a zeroed out on any change.
 */
#define MLN_GCM_NONCE_BYTES 12
#define MLN_GCM_TAG_BYTES   16
struct mln_err mln_aes_gcm_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                                struct mln_bytes aad, struct mln_bytes plain, uint8_t *out);
struct mln_err mln_aes_gcm_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                                struct mln_bytes aad, struct mln_bytes box, uint8_t *out);
/*
 * XAES-256-GCM (C2SP): 192-bit nonce, safe to draw at random. Same sizes. Tested on the C2SP
 * vectors.
 */
#define MLN_XAES_NONCE_BYTES 24
struct mln_err mln_xaes_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                             struct mln_bytes aad, struct mln_bytes plain, uint8_t *out);
struct mln_err mln_xaes_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                             struct mln_bytes aad, struct mln_bytes box, uint8_t *out);

/* ChaCha20-Poly1305 (RFC 8439), 96-bit nonce; the rest as AES-GCM. */
struct mln_err mln_chacha_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                               struct mln_bytes aad, struct mln_bytes plain, uint8_t *out);
struct mln_err mln_chacha_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[12],
                               struct mln_bytes aad, struct mln_bytes box, uint8_t *out);
/* AES-128-GCM, the rest as AES-256-GCM. */
struct mln_err mln_aes128_gcm_seal(struct mln_cx *cx, const uint8_t key[16],
                                   const uint8_t nonce[12], struct mln_bytes aad,
                                   struct mln_bytes plain, uint8_t *out);
struct mln_err mln_aes128_gcm_open(struct mln_cx *cx, const uint8_t key[16],
                                   const uint8_t nonce[12], struct mln_bytes aad,
                                   struct mln_bytes box, uint8_t *out);
/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), 192-bit nonce, by libsodium; the rest as AES-GCM. */
#define MLN_XCHACHA_NONCE_BYTES 24
struct mln_err mln_xchacha_seal(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                                struct mln_bytes aad, struct mln_bytes plain, uint8_t *out);
struct mln_err mln_xchacha_open(struct mln_cx *cx, const uint8_t key[32], const uint8_t nonce[24],
                                struct mln_bytes aad, struct mln_bytes box, uint8_t *out);
/*
 * AES-KWP (RFC 5649) under a 256-bit key: appends what was wrapped to plain. FORGED when the
 * box was not made under this key.
 */
struct mln_err mln_aes_kwp_open(struct mln_cx *cx, const uint8_t key[32], struct mln_bytes box,
                                struct mln_buf *plain);
/*
 * Contexts that hold expanded keys are cached per thread. This wipes those of every thread of the
 * process (it waits for calls that run); they are made again when next needed. The barrier calls it
 * when it seals.
 */
void mln_crypto_forget(void);

/* X25519 (RFC 7748), by libsodium. INVALID when the shared point is of small order (all zero). */
struct mln_err mln_x25519(struct mln_cx *cx, const uint8_t scalar[32], const uint8_t point[32],
                          uint8_t out[32]);
void mln_x25519_public(const uint8_t scalar[32], uint8_t public_key[32]);

/* Ed25519 (libsodium). seed: 32 secret bytes. */
void mln_ed25519_public(const uint8_t seed[32], uint8_t public_key[32]);
void mln_ed25519_sign(const uint8_t seed[32], struct mln_bytes message, uint8_t signature[64]);
struct mln_err mln_ed25519_verify(struct mln_cx *cx, const uint8_t public_key[32],
                                  struct mln_bytes message, struct mln_bytes signature);

/*
 * ECDSA P-256 with SHA-256. Private key: 32-byte scalar; public: 65-byte uncompressed point;
 * signature: DER.
 */
struct mln_err mln_p256_generate(struct mln_cx *cx, uint8_t scalar[32], uint8_t point[65]);
struct mln_err mln_p256_public(struct mln_cx *cx, const uint8_t scalar[32], uint8_t point[65]);
/* digest: what was hashed already (32 bytes). Appends DER to sig. */
struct mln_err mln_p256_sign_digest(struct mln_cx *cx, const uint8_t scalar[32],
                                    const uint8_t digest[32], struct mln_buf *sig);
struct mln_err mln_p256_verify_digest(struct mln_cx *cx, const uint8_t point[65],
                                      const uint8_t digest[32], struct mln_bytes der);
/*
 * ECDSA on any of the three curves: point uncompressed (65, 97 or 133 bytes, tells the curve),
 * digest 20..64 bytes, strict DER.
 */
struct mln_err mln_ec_verify_digest(struct mln_cx *cx, struct mln_bytes point,
                                    struct mln_bytes digest, struct mln_bytes der);
struct mln_err mln_ecdsa_der_to_raw(struct mln_cx *cx, struct mln_bytes der, size_t half,
                                    struct mln_buf *raw); /* r || s, each half bytes */
struct mln_err mln_ecdsa_raw_to_der(struct mln_cx *cx, struct mln_bytes raw, struct mln_buf *der);
/*
 * SubjectPublicKeyInfo PEM, 64-column base64, final newline; point 65 (P-256) or key 32 (Ed25519)
 * bytes.
 */
struct mln_err mln_p256_public_pem(struct mln_cx *cx, const uint8_t point[65], struct mln_buf *pem);
struct mln_err mln_ed25519_public_pem(struct mln_cx *cx, const uint8_t public_key[32],
                                      struct mln_buf *pem);

/*
 * Argon2id (RFC 9106) by libsodium. Parameters and salt are in the text: "$argon2id$v=19$m=...".
 * Costs 64 MiB, ~50 ms.
 */
struct mln_err mln_password_hash(struct mln_cx *cx, struct mln_bytes password,
                                 struct mln_buf *text);
/* MLN_OK, BAD_LOGIN, MEMORY. Constant time in the password. */
struct mln_err mln_password_verify(struct mln_cx *cx, struct mln_bytes password,
                                   struct mln_bytes text);

/*
 * Shamir's secret sharing over GF(2^8), as Vault: a share is the polynomial's bytes then one byte x
 * (1..255, distinct). secret 1..64 bytes; 2 <= threshold <= shares <= 255; constant time in the
 * secret (no tables indexed by secrets). With shares = threshold = 1 the share is the secret
 * itself.
 */
#define MLN_SHAMIR_SECRET_MAX 64
struct mln_err mln_shamir_split(struct mln_cx *cx, struct mln_bytes secret, unsigned shares,
                                unsigned threshold,
                                uint8_t (*ret_shares)[MLN_SHAMIR_SECRET_MAX + 1]);
/*
 * All shares of one length, distinct x; errors INVALID. A wrong share gives a wrong secret: the
 * caller checks it.
 */
struct mln_err mln_shamir_combine(struct mln_cx *cx, const struct mln_bytes *shares, size_t n,
                                  struct mln_secret *ret);

/*
 * Self-signed P-256 certificate for --dev-tls: PEM, one year, SANs localhost, 127.0.0.1, ::1 and
 * `host` (may be NULL).
 */
struct mln_err mln_dev_certificate(struct mln_cx *cx, const uint8_t scalar[32], const char *host,
                                   struct mln_buf *cert_pem);
/* Load a PEM private key (P-256) without leaving copies: from bytes that the caller wipes. */
struct mln_err mln_p256_from_pem(struct mln_cx *cx, struct mln_bytes pem, uint8_t scalar[32],
                                 uint8_t point[65]);
