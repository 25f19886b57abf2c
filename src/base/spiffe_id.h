/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPIFFE ids (SPIFFE-ID.md of spiffe.io): "spiffe://" trust domain path. Strict: nothing is decoded, folded or repaired, so that two
 * ids are the same when their bytes are.
 */
#pragma once

#include "base/bytes.h"

#define MLN_SPIFFE_ID_MAX     2048u /* bytes of an id, and */
#define MLN_SPIFFE_DOMAIN_MAX 255u  /* of a trust domain: both of the standard */

/* Views of the parsed text. */
struct mln_spiffe_id {
    struct mln_bytes text;   /* whole */
    struct mln_bytes domain; /* "example.org" */
    struct mln_bytes path;   /* "/a/b"; empty: the trust domain itself */
};
/* errors INVALID, with what is wrong */
struct mln_err mln_spiffe_id_parse(struct mln_cx *cx, struct mln_bytes text,
                                   struct mln_spiffe_id *ret);
/* One segment of a path: letters, digits, dot, dash and underscore, but not "." or ".." */
bool mln_spiffe_segment_ok(struct mln_bytes segment);
/* A trust domain's name: 1..255 of a-z 0-9 . _ - */
bool mln_spiffe_domain_ok(struct mln_bytes name);

/*
 * Patterns of ids: an id in which "*" stands for any characters within one segment of the path, and a last segment "**" for one or
 * more segments: "spiffe://example.org/ns/<star>/sa/web". The trust domain is never a pattern.
 */
struct mln_err mln_spiffe_pattern_check(struct mln_cx *cx, struct mln_bytes pattern); /* INVALID */
/* False also for what is no pattern or no id. */
bool mln_spiffe_pattern_fits(struct mln_bytes pattern, struct mln_bytes id);
