/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sys/tools and the transit engine both answer: random bytes and plain hashes. fields: as the path's schema parsed them
 * (request.h); each fills *ret with the answer's data, in the arena of cx. Errors INVALID with the texts of Vault's API.
 */
#pragma once

#include "base/value.h"

#define MLN_TOOLS_RANDOM_MAX 131072 /* bytes of one answer: Vault's limit */

/* "source" and "urlbytes" (of the path), "bytes" (32), "format" (base64 or hex) -> {"random_bytes"}, a secret */
struct mln_err mln_tools_random(struct mln_cx *cx, const struct mln_value *fields,
                                const struct mln_value **ret);
/* "urlalgorithm" (of the path) or "algorithm" (sha2-256), "format" (hex or base64), "input" (base64) -> {"sum"} */
struct mln_err mln_tools_hash(struct mln_cx *cx, const struct mln_value *fields,
                              const struct mln_value **ret);
