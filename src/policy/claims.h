/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What methods that take tokens of others ask of their claims. Nothing here verifies a signature: claims are believed only after
 * crypto/jose_verify.h said so. Texts of errors are those of Vault's, whose clients match on them.
 */
#pragma once

#include "contract/engine.h"

/*
 * "name", or "/a/b/0" (RFC 6901) when is_pointer; a name that begins with "/" is a pointer where mln_claim says so. NULL when absent.
 */
const struct mln_value *mln_claim_at(struct mln_cx *cx, const struct mln_value *claims, struct mln_bytes name, bool is_pointer);
/* A name, or a pointer by its first "/". */
const struct mln_value *mln_claim(struct mln_cx *cx, const struct mln_value *claims, struct mln_bytes name);
/* Text of a text, number or boolean; NULL for others. */
const char *mln_claim_text(struct mln_cx *cx, const struct mln_value *claim);
/* "*" stands for any bytes; linear in the text times the pattern. */
bool mln_glob_fits(struct mln_bytes pattern, struct mln_bytes text);

/* Seconds; 0 = the default (150 without exp or nbf, 60 for clocks), negative = none. */
struct mln_claim_leeways {
    int64_t expiration_s, not_before_s, clock_skew_s;
};
/* exp, nbf, iat of RFC 7519: at least one must be there. errors INVALID */
struct mln_err mln_claims_check_times(struct mln_cx *cx, const struct mln_value *claims, int64_t now_ns,
                                      const struct mln_claim_leeways *leeways);
/* Is one of "aud" in the list? An empty list: yes when there is no aud. */
struct mln_err mln_claims_check_audience(struct mln_cx *cx, const struct mln_value *claims, const struct mln_value *bound);
/* Every bound claim must have one of its values. */
struct mln_err mln_claims_check_bound(struct mln_cx *cx, const struct mln_value *claims, const struct mln_value *bound, bool is_glob);
