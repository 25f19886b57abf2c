/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions from gates: whoever owns the risk says why, and until when.
 *
 *   exceptions:
 *     - id: EX-7                  # unique; letters, digits, "-", "_", "."
 *       gate: licences            # a check of release.yaml or the package behind merlon.gates; not "approvals"
 *       match: "*gpl-3.0*"        # of the message; "*" stands for anything; absent = any message
 *       owner: alice@example.org
 *       reason: Removed in 2.1, due in March
 *       expires: 2027-03-31       # a day (its end, UTC) or RFC 3339; at most 366 days ahead
 *
 * What is not in this list is refused by name. One that has expired excuses nothing and is named.
 */
#pragma once

#include "base/value.h"

#define MLN_EXCEPTIONS_MAX      256u /* more are a gate that is off */
#define MLN_EXCEPTION_DAYS_MAX  366  /* what lasts longer is a rule and belongs into the gate */
#define MLN_EXCEPTION_TEXT_MAX  1024u

/*
 * v    the object above, or the array alone
 * ret  array of {"id","gate","match","owner","reason","expires": RFC 3339,"is_expired"}
 * errors INVALID naming entry and key, LIMIT
 */
struct mln_err mln_exceptions_parse(struct mln_cx *cx, const struct mln_value *v, int64_t now_ns, const struct mln_value **ret);
/* The first that covers a message of a gate; one in force before one that has expired. NULL: none */
const struct mln_value *mln_exception_find(const struct mln_value *exceptions, struct mln_bytes gate, struct mln_bytes msg);
