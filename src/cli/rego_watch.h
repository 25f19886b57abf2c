/* SPDX-License-Identifier: Apache-2.0 */
/* What is learned by watching evaluations: which lines ran, how long they took, what failed. */
#pragma once

#include "cli/rego_priv.h"

enum rego_trace { REGO_TRACE_NONE, REGO_TRACE_FAILS, REGO_TRACE_FULL };

struct rego_watch {
    struct mln_cx *cx;
    const struct mln_rego *rego;
    enum rego_trace trace;
    size_t n;        /* notes of the policy */
    uint64_t *evals; /* by note: how often it began, and held */
    uint64_t *holds;
    int64_t *time_ns;
    bool *is_open;   /* begun and not yet held */
    size_t at;       /* whose time runs; n: nobody's */
    int64_t since_ns;
    struct mln_buf lines; /* of the trace */
    size_t *stack;        /* rules that were entered, for the trace */
    unsigned *depths;
    bool *is_told;
    size_t stack_n;
};

struct mln_err rego_watch_begin(struct rego_watch *w, struct mln_cx *cx, const struct mln_rego *rego, enum rego_trace trace);
void rego_watch_drop(struct rego_watch *w);
void rego_watch_note(void *watch, enum mln_rego_event event, size_t i, unsigned depth); /* for mln_rego_run_options.note */
/* {"files": {..}, "covered_lines", "not_covered_lines", "coverage"} as OPA's */
struct mln_value *rego_watch_coverage(struct rego_watch *w, double *ret_percent);
/* [{"total_time_ns", "num_eval", "num_redo", "num_gen_expr", "location"}], slowest first */
struct mln_value *rego_watch_profile(struct rego_watch *w);
