/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partial evaluation: what is left of a query when parts of its input or data are not known yet. What is known is evaluated; rules
 * that look at what is not are written into the query. The answer is a list of queries, of which one must hold (none: it never
 * holds; an empty one: it always does), and modules of rules that they need ("support").
 */
#pragma once

#include "rego/rego_doc.h"

/* Limits, each with its reason. */
#define MLN_PARTIAL_QUERIES_MAX  4096u   /* a disjunction that long helps nobody; alternatives multiply */
#define MLN_PARTIAL_STEPS_MAX    200000u /* expressions and terms that are looked at */
#define MLN_PARTIAL_DEPTH_MAX    1000u   /* rules in rules, expressions and terms behind one another: it recurses */
#define MLN_PARTIAL_UNKNOWNS_MAX 64u

struct mln_rego_partial;

struct mln_rego_partial_options {
    const struct mln_bytes *unknowns; /* "input", "input.x", "data.a.b"; none: input */
    size_t n_unknowns;
    const struct mln_bytes *kept;     /* "data.a.p": rules that are not written into queries, but become support */
    size_t n_kept;
    struct mln_rego_budget budget;    /* of each evaluation of what is known */
    enum mln_rego_version version;
};

/*
 * The input of eval is what is known of it.
 * errors  INVALID (the query: *ret holds its errors for mln_rego_partial_error_at; or an evaluation failed), LIMIT, TIMEOUT, MEMORY
 */
struct mln_err mln_rego_partial(struct mln_rego *rego, struct mln_cx *cx, struct mln_rego_eval *eval, struct mln_bytes query,
                                const struct mln_rego_data *data, const struct mln_rego_partial_options *options,
                                struct mln_rego_partial **ret);
void mln_rego_partial_free(struct mln_rego_partial *partial); /* NULL is fine */
void mln_rego_partial_drop(struct mln_rego_partial **partial);
const struct mln_rego_error *mln_rego_partial_error_at(const struct mln_rego_partial *partial, size_t i);
size_t mln_rego_partial_count(const struct mln_rego_partial *partial); /* queries */
/* {"queries": [..], "support": [..]} in the shape of OPA's syntax trees; members that are empty are left out. */
void mln_rego_partial_print(const struct mln_rego_partial *partial, struct mln_buf *buf);
