/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decision as it can be replayed: policies, input, time, what was looked up, what the rules said. The ledger keeps its digests; the
 * document itself lies in a file (merlon gate check --record) or, sealed, in the server's store (sys/decisions).
 *
 *   {"id": "dec-<16 hex>", "kind": "gate"|"admission"|"rule", "time": RFC 3339, "now_ns": n, "verdict": text,
 *    "policy": {"digest", "prefix", "rules": [heads], "modules": [{"name", "text"}]},
 *    "input_digest", "input", "masked": [paths], "lookups": [{"name", "args", "answer"?}], "said": [..], "result_digest"}
 *
 * Masked parts of the input read as "(masked)" in the document; the digest is that of the document's input. docs/gates.md.
 */
#pragma once

#include "assure/rules.h"

#define MLN_DECISION_ID_HEX     16u
#define MLN_DECISION_INPUT_MAX  ((size_t)4 << 20) /* of the input as JSON: an AdmissionReview has two objects of 1.5 MiB at most */
#define MLN_DECISION_MASKS_MAX  64u
#define MLN_DECISION_LOOKUPS_MAX 256u /* more are not kept, and the decision says that it cannot be replayed */

/* Stands between a question and its host: keeps what was looked up. Put it where q->lookup_with points. */
struct mln_lookups {
    struct mln_cx *cx;
    enum mln_rego_lookup (*ask)(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret);
    void *with;
    struct mln_value *kept; /* array */
    bool is_over;
};
enum mln_rego_lookup mln_lookups_ask(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret);

struct mln_decision {
    const char *kind, *verdict;
    const struct mln_rules_options *rules;
    const struct mln_value *input, *said;
    const struct mln_value *masks; /* array of paths as "/request/object/data", "*" for any member; NULL = none */
    const struct mln_lookups *lookups; /* NULL = none */
    int64_t now_ns;
};
/* errors TOO_LARGE (input), INVALID (masks) */
struct mln_err mln_decision_make(struct mln_cx *cx, const struct mln_decision *d, struct mln_value **ret);
/* A copy with what the paths name replaced by "(masked)"; *ret_hit: the paths that named something. errors INVALID, LIMIT */
struct mln_err mln_decision_mask(struct mln_cx *cx, const struct mln_value *input, const struct mln_value *masks,
                                 struct mln_value **ret, struct mln_value **ret_hit);
/*
 * Evaluate again.
 * ret  {"id", "outcome": "equal"|"different"|"unjudged", "why", "said"}: different also when a digest does not fit its content;
 *      unjudged: the answers differ and parts of the input are masked
 * errors INVALID (no decision document, policies that do not compile), TIMEOUT
 */
struct mln_err mln_decision_replay(struct mln_cx *cx, const struct mln_value *decision, const struct mln_value **ret);
