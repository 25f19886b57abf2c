/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS server signs in a handshake, and nothing else: both halves of the split. Front takes
 * apart what OpenSSL wants to have signed; core puts it together again itself, so that a taken
 * front never has a digest of its choice signed. Source: RFC 8446 section 4.4.3, RFC 8422 section
 * 5.4.
 */
#pragma once

#include "base/value.h"

#define MLN_TLS_SIGN_INPUT_MAX 160u /* 146: TLS 1.3 with SHA-384 */

/*
 * Front: the SIGN message (net/wire.h) for the bytes that are to be signed. errors INVALID: no such
 * structure
 */
struct mln_err mln_tls_sign_message(struct mln_cx *cx, struct mln_bytes input, int64_t key,
                                    const struct mln_value **ret);
/* Core: the exact bytes to hash and sign, appended to buf. errors INVALID */
struct mln_err mln_tls_sign_input(struct mln_cx *cx, const struct mln_value *message,
                                  struct mln_buf *buf);
