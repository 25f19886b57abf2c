/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS server (or, in TLS 1.3, a client) signs in a handshake, and nothing else: both halves of the split. Front takes
 * apart what OpenSSL wants to have signed; core puts it together again itself, so that a taken
 * front never has a digest of its choice signed. Source: RFC 8446 section 4.4.3, RFC 8422 section
 * 5.4.
 */
#pragma once

#include "base/value.h"

#define MLN_TLS_SIGN_INPUT_MAX 160u /* 146: TLS 1.3 with SHA-384 */

/* How it is signed, by the names of the SIGN message. Which digest, the key says: SHA-384 for P-384, else SHA-256. */
enum mln_tls_how {
    MLN_TLS_ECDSA, /* "ecdsa" */
    MLN_TLS_PSS,   /* "pss": RSASSA-PSS, salt as long as the digest */
    MLN_TLS_PKCS1, /* "pkcs1": RSASSA-PKCS1-v1_5, in TLS 1.2 only (RFC 8446 section 4.2.3) */
};
/* Whose signature: a holder of keys says which it makes. */
enum mln_tls_side { MLN_TLS_SERVER = 1, MLN_TLS_CLIENT = 2 };
/*
 * Front: the SIGN message (net/wire.h) for the bytes that are to be signed, of servers only. errors INVALID: no such
 * structure
 */
struct mln_err mln_tls_sign_message(struct mln_cx *cx, struct mln_bytes input, enum mln_tls_how how, int64_t key,
                                    const struct mln_value **ret);
/* The same for any of these sides (enum mln_tls_side, added up). */
struct mln_err mln_tls_sign_message_of(struct mln_cx *cx, struct mln_bytes input, enum mln_tls_how how, int64_t key, unsigned sides,
                                       const struct mln_value **ret);
/* Core: the exact bytes to hash and sign, appended to buf, and how. Of servers only. errors INVALID */
struct mln_err mln_tls_sign_input(struct mln_cx *cx, const struct mln_value *message,
                                  struct mln_buf *buf, enum mln_tls_how *ret_how);
/* The same for any of these sides (enum mln_tls_side, added up). */
struct mln_err mln_tls_sign_input_of(struct mln_cx *cx, const struct mln_value *message, unsigned sides,
                                     struct mln_buf *buf, enum mln_tls_how *ret_how);
