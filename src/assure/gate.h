/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate of a release: what `release.yaml` asks for, and whether evidence meets it. It is
 * compiled to Rego, and that module is what judges. Pure: no file, no clock, no network, so that the
 * same evidence always gives the same verdict and anyone can judge it again from the ledger.
 *
 *   model: diabetes              # name of the release; letters, digits, "-", "_", ".", at most 64
 *   scan: clean                  # clean (default) | skip
 *   signature: required          # required (default) | skip
 *   fairness:                    # may be absent
 *     predictions: predictions.csv   # in the model's folder
 *     label: y_true
 *     prediction: y_pred
 *     group: sex                 # or a list of columns: their intersections
 *     metric: adverse_impact_ratio   # default; any disparity of fairness.h
 *     minimum: 0.8               # least ratio, default 0.8
 *     use: point                 # point (default) | lower: the low end of the 95 % interval
 *     min_group: 30              # smaller groups are "insufficient", which fails
 *   gates: shown                 # shown (default): gates in Rego that were run must have passed | required: they must have been run
 *   approvals:
 *     count: 1                   # people other than the author, default 1, at most 10
 *
 * What is not in this list is refused by name: a misspelt check must not be a check that is not
 * made.
 */
#pragma once

#include "assure/fairness.h"

#define MLN_GATE_APPROVALS_MAX 10
#define MLN_GATE_MODULE        "release.rego"       /* name of the module that release.yaml becomes */
#define MLN_GATE_PREFIX        "data.merlon.gates"  /* where it and the gates beside it stand */

struct mln_gate {
    const char *model;
    bool wants_clean_scan;
    bool wants_signature;
    bool wants_fairness;
    bool wants_gates; /* in Rego, beside release.yaml: they must have been run */
    const char *predictions;      /* relative path, checked: stays in the folder */
    struct mln_fair_options fair; /* borrows the value's texts */
    uint32_t approvals;
};

/* errors INVALID naming the key: unknown, missing, or with a value that it cannot have */
struct mln_err mln_gate_parse(struct mln_cx *cx, const struct mln_value *v, struct mln_gate *ret);
/*
 * The gate as a module of the package merlon.gates.release, which OPA runs too: rule `decision`, over
 * input.evidence. Arena of cx.
 */
struct mln_err mln_gate_rego(struct mln_cx *cx, const struct mln_gate *gate, struct mln_bytes *ret);
/* What a record of the release engine (docs/release.md) shows, as evidence for the gate. */
struct mln_err mln_gate_evidence(struct mln_cx *cx, const struct mln_value *record,
                                 const struct mln_value **ret);
/*
 * Judge. What is missing from the evidence was not shown and does not hold.
 *
 * evidence  {"root": hex root digest of the model,
 *            "scan": {"verdict":"clean"|..., "files":n, "findings":[{"file","message"},...]},
 *            "signature": {"verdict":"ok"|"refused", "root":hex, "error":text},
 *            "fairness": an answer of mln_fair_judge with "predictions": path | {"error":text},
 *            "gates": {"verdict":"pass"|"fail", "summary":text},
 *            "author": {"id":entity id,"name"},
 *            "approvals": [{"id":entity id,"name","root":hex}]}
 *           Approvals count when they have an id, for this root, once a person, and not the
 *           author's own.
 * ret       {"verdict":"pass"|"fail"|"waiting","model",
 *            "checks":[{"name","ok","detail","value","limit"}]};
 *           waiting: all holds but approvals
 */
struct mln_err mln_gate_judge(struct mln_cx *cx, const struct mln_gate *gate,
                              const struct mln_value *evidence, const struct mln_value **ret);
/* The same, and the decision as it can be replayed (decision.h); ret_decision may be NULL. */
struct mln_err mln_gate_decide(struct mln_cx *cx, const struct mln_gate *gate, const struct mln_value *evidence, int64_t now_ns,
                               const struct mln_value **ret, struct mln_value **ret_decision);
