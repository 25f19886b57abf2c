/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPIFFE ids made of claims: "spiffe://example.org/ci/{{repository:2}}/{{ref...}}". Whoever signs the token chooses the values, so they are
 * taken as they are or refused, never repaired, and each placeholder says how many segments it makes, so that no two sets of claims that
 * differ make the same id:
 *   {{claim}}     what stands in one segment: letters, digits, ".", "-", "_"; at most one a segment, beside other text
 *   {{claim:N}}   exactly N whole segments, 2 to 8
 *   {{claim...}}  one or more whole segments; only at the end
 * A claim is a name or, when it begins with "/", a JSON pointer (policy/claims.h); texts and whole numbers can be filled in.
 */
#pragma once

#include "base/spiffe_id.h"
#include "base/value.h"

#define SP_CLAIMS_ID_PARTS_MAX 16u /* placeholders: an id has 2,048 bytes */

/* domain: the trust domain that it must be of. errors INVALID, with what is wrong */
struct mln_err sp_claims_id_check(struct mln_cx *cx, struct mln_bytes text,
                                  struct mln_bytes domain);
/*
 * text   one that sp_claims_id_check took
 * ret    in the arena: an id of the same trust domain; never one of servers and nodes (/merlon/)
 * errors INVALID: a claim is not there, or its value does not fit; the text names the claim, not the value
 */
struct mln_err sp_claims_id_fill(struct mln_cx *cx, struct mln_bytes text,
                                 const struct mln_value *claims, const char **ret);
/* Below "/merlon/": ids of servers and nodes. */
bool sp_id_is_reserved(const struct mln_spiffe_id *id);
