/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and signatures as SSH writes them: public keys (RFC 4253 sec. 6.6, RFC 5656, RFC 8709, and OpenSSH's PROTOCOL.u2f for keys in
 * tokens), private ones (OpenSSH's PROTOCOL.key, or PEM), signatures (RFC 8332 for RSA). Inside, a private key is PKCS#8 DER.
 */
#pragma once

#include "base/buf.h"

enum mln_ssh_kind {
    MLN_SSH_RSA, MLN_SSH_ED25519, MLN_SSH_P256, MLN_SSH_P384, MLN_SSH_P521, MLN_SSH_SK_ED25519, MLN_SSH_SK_P256, MLN_SSH_KINDS,
};

#define MLN_SSH_RSA_BITS_MIN 1024
#define MLN_SSH_RSA_BITS_MAX 16384 /* OpenSSH's own limit: larger ones only cost time */
#define MLN_SSH_TEXT_MAX     65536 /* of a key's text: an RSA key of that size has 14 KiB in private form */

struct mln_ssh_key {
    enum mln_ssh_kind kind;
    unsigned bits;          /* RSA: of the modulus; EC: of the curve; Ed25519: 256 */
    struct mln_bytes blob;  /* wire form: string name, then the kind's own parts */
};

const char *mln_ssh_kind_name(enum mln_ssh_kind kind); /* "ssh-ed25519" */
/*
 * One line of authorized_keys without options: name, base64, comment or none; white space around is fine. RSA moduli of
 * MLN_SSH_RSA_BITS_MIN..MAX bits, points on their curve; certificates and DSA are refused.
 * ret  blob in the arena of cx
 */
struct mln_err mln_ssh_public_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_ssh_key *ret);
/* The same from the wire form; blob is borrowed. */
struct mln_err mln_ssh_blob_parse(struct mln_cx *cx, struct mln_bytes blob, struct mln_ssh_key *ret);
/* "name base64" without an end of line, of a key or a certificate; arena. */
const char *mln_ssh_public_text(struct mln_cx *cx, struct mln_bytes blob);

/* A new key; bits only for RSA (2048, 3072 or 4096: seconds of work). Appended to der, which must be marked secret. */
struct mln_err mln_ssh_generate(struct mln_cx *cx, enum mln_ssh_kind kind, unsigned bits, struct mln_buf *der);
/* OpenSSH's form, PKCS#8, PKCS#1 or SEC 1, all without a passphrase; halves that do not belong together are refused. */
struct mln_err mln_ssh_private_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *der);
/* OpenSSH's form; text must be marked secret. */
struct mln_err mln_ssh_private_print(struct mln_cx *cx, struct mln_bytes der, struct mln_buf *text);
struct mln_err mln_ssh_public_of(struct mln_cx *cx, struct mln_bytes der, struct mln_ssh_key *ret);
/*
 * A signature blob (string algorithm, string signature) is appended to sig.
 * algorithm  NULL = the key's own, for RSA "rsa-sha2-256"; else for RSA "rsa-sha2-256" or "rsa-sha2-512", for others their name
 * errors     INVALID: an algorithm that is not the key's
 */
struct mln_err mln_ssh_sign(struct mln_cx *cx, struct mln_bytes der, const char *algorithm, struct mln_bytes message,
                            struct mln_buf *sig);

/* "string" of RFC 4251: length u32 BE, bytes. */
void mln_ssh_put_string(struct mln_buf *buf, struct mln_bytes bytes);
