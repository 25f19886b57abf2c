/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All gates of one thing together: what release.yaml became, and the gates beside it (gates/NAME.rego). Convention: a gate is a
 * package merlon.gates.NAME with rules `deny` and `warn`, sets of messages or of objects {"msg", ...}; members "file" and "line" of
 * such an object say where. Other packages are libraries. docs/gates.md.
 */
#pragma once

#include "assure/gate.h"
#include "assure/rules.h"

#define MLN_GATES_FILE_MAX ((size_t)1 << 20) /* of one policy: written by hand */

struct mln_gates {
    const struct mln_gate *gate;           /* NULL: there is no release.yaml */
    const struct mln_rego_source *sources; /* gates beside it; names are paths */
    size_t n_sources;
    const struct mln_value *input;         /* {"evidence", "release", "card", "documents", ...} */
    const struct mln_value *exceptions;    /* of mln_exceptions_parse; NULL = none */
    int64_t now_ns;
    const struct mln_value *masks;         /* decision.h; NULL = none */
};
/*
 * ret  {"verdict": "pass"|"fail"|"waiting", "model"?, "checks": of gate.h, "gates": [names],
 *       "findings": [{"gate", "level": "deny"|"warn"|"excepted", "msg", "details"?, "exception"?}],
 *       "expired": [exceptions that would have covered something], "unused": [ids], "decision": decision.h}
 *      waiting: nothing is missing but approvals
 * errors INVALID (a policy, an evaluation), UNJUDGED (nothing to judge by), TIMEOUT, TOO_LARGE
 */
struct mln_err mln_gates_judge(struct mln_cx *cx, const struct mln_gates *gates, const struct mln_value **ret);
/* The same from what the rules said: replay uses it. */
struct mln_err mln_gates_sum(struct mln_cx *cx, const struct mln_value *said, const struct mln_value *exceptions,
                             struct mln_value **ret);
