/* SPDX-License-Identifier: Apache-2.0 */
/* SPIFFE trust bundle documents (SPIFFE_Trust_Domain_and_Bundle.md of spiffe.io): strict reading of what others publish. */
#pragma once

#include "base/value.h"

#define SP_BUNDLE_BYTES    (1u << 20) /* of a document: an authority takes some 2 KiB */
#define SP_BUNDLE_KEYS_MAX 200u
#define SP_HINT_MAX_S      (365 * 86400)

/*
 * ret     {"sequence", "refresh_hint" (0 = none), "x509": [DER], "jwt": [JWK with kty, kid and the key alone]}
 * errors  INVALID, with what is wrong. Keys of unknown use are passed over, as the standard says; a document without any key that
 *         counts is refused, so that nobody's trust ends by a broken publisher.
 */
struct mln_err sp_bundle_parse(struct mln_cx *cx, const struct mln_value *document,
                               const struct mln_value **ret);
/* The same of a text: JSON, or PEM certificates. Borrows from it. */
struct mln_err sp_bundle_parse_text(struct mln_cx *cx, struct mln_bytes text,
                                    const struct mln_value **ret);
/* Whichever of both it is. */
struct mln_err sp_bundle_parse_any(struct mln_cx *cx, const struct mln_value *given,
                                   const struct mln_value **ret);
/* The length of the first DER element, head included; 0 when there is none that is whole. */
size_t sp_der_length(struct mln_bytes der);
