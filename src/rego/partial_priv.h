/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   partial.c       start, goals, results       partial_term.c   terms, refs, rules in the place of refs
 *   partial_copy.c  copies, bindings, what depends on what is not known
 *
 * Goals are solved from the first that can be. A goal that is known is compiled and run; its rows bind variables, one after the
 * other. A goal that is not is kept, with what is known written in. Variables of a rule get new names each time it is entered, so a
 * name is a variable. Solving goes on by continuations: each alternative runs to the end of the query and is undone.
 */
#pragma once

#include "rego/partial.h"
#include "rego/rego_priv.h"

struct mln_rego_partial {
    struct rg_heap *heap;
    struct rg_errors errors;
    struct rg_names names;
    struct rg_body **queries;
    uint32_t n, cap;
    struct rg_module **support;
    uint32_t support_n, support_cap;
};

struct pe_binding {
    const struct rg_str *name;
    struct rg_term *value; /* NULL: it is the answer of something that is not known */
};

struct pe_goals {
    struct rg_expr *expr;
    struct pe_goals *next;
};

struct pe;
struct pe_then { /* when all goals are solved */
    bool (*run)(struct pe *pe, struct pe_then *then);
};
struct pe_with { /* when a term has a value, or is written out */
    bool (*run)(struct pe *pe, struct pe_with *with, struct rg_term *t);
};

struct pe {
    struct mln_cx *cx;
    struct mln_rego_partial *out;
    struct rg_heap *heap; /* of out */
    struct rg_policy *policy;
    struct mln_rego_eval *eval;
    const struct mln_rego_data *data;
    const struct mln_rego_partial_options *options;
    struct rg_compiler look; /* for callees and nodes */
    struct rg_term **unknowns;
    uint32_t unknowns_n;
    uint8_t *depends; /* by group: 0 not looked at, 1 no, 2 yes, 3 looked at now */
    struct pe_binding *bound;
    uint32_t bound_n, bound_cap;
    struct rg_expr **saved;
    uint32_t saved_n, saved_cap, saved_from; /* of the query at hand */
    struct rg_body **results;                /* of the query at hand */
    uint32_t results_n, results_cap;
    const struct rg_str **asked; /* variables of the query, in order */
    uint32_t asked_n, asked_cap;
    const struct rg_group **supported;
    uint32_t supported_n, supported_cap;
    uint32_t fresh, nots, depth, steps;
    int64_t deadline_ns; /* 0: none */
    struct mln_err err;
};

/* ---- partial.c ---- */
bool pe_fail(struct pe *pe, enum mln_code code, const char *text); /* false */
bool pe_may_go_on(struct pe *pe); /* one step more; false after pe_fail */
bool pe_solve(struct pe *pe, struct pe_goals *goals, struct pe_then *then);
bool pe_save(struct pe *pe, struct rg_expr *e, struct pe_goals *rest, struct pe_then *then); /* and go on */
/* What is left of goals, each alternative for itself; bindings of now hold. */
bool pe_collect(struct pe *pe, struct pe_goals *goals, struct rg_body ***ret, uint32_t *ret_n);
/* Solve goals as a query of their own: what is kept for it begins anew. */
bool pe_gather(struct pe *pe, struct pe_goals *goals, struct pe_then *then);
struct rg_body *pe_saved_body(struct pe *pe); /* what is kept of the query at hand, with bindings written in */
struct pe_goals *pe_goals_of(struct pe *pe, const struct rg_body *body, struct pe_goals *rest);
/* The value(s) of a term that depends on nothing unknown. */
bool pe_known(struct pe *pe, struct rg_term *t, struct pe_with *with);

/* ---- partial_term.c ---- */
/* How the value is going to be used: it must be this constant (else NULL), or true. */
struct pe_want {
    const struct rg_term *constant;
    bool is_truth;
};
bool pe_term(struct pe *pe, struct rg_term *t, struct pe_want want, struct pe_with *with);
bool pe_terms(struct pe *pe, struct rg_term *list, uint32_t from, struct pe_with *with); /* a copy of list with its items evaluated */
bool pe_unify(struct pe *pe, struct rg_term *a, struct rg_term *b, struct pe_goals *rest, struct pe_then *then);

/* ---- partial_copy.c ---- */
struct pe_names { /* of one entry of a rule */
    struct rg_var **vars;
    const struct rg_str **names, **old;
    uint32_t n, cap;
    bool keeps;   /* names stay: of the query itself */
    bool by_name; /* a copy of a copy: its free variables get new names once more */
};
struct rg_term *pe_copy(struct pe *pe, struct pe_names *names, const struct rg_term *t);
struct rg_body *pe_copy_body(struct pe *pe, struct pe_names *names, const struct rg_body *body);
struct rg_term *pe_plug(struct pe *pe, const struct rg_term *t); /* a copy with bindings written in */
struct rg_expr *pe_plug_expr(struct pe *pe, const struct rg_expr *e);
struct rg_term *pe_value(struct pe *pe, struct rg_val v);
struct rg_term *pe_fresh(struct pe *pe);
struct rg_term *pe_call(struct pe *pe, const char *op, struct rg_term *a, struct rg_term *b);
struct rg_expr *pe_expr(struct pe *pe, enum rg_expr_kind kind);
const struct pe_binding *pe_binding_of(const struct pe *pe, const struct rg_str *name);
void pe_bind(struct pe *pe, const struct rg_str *name, struct rg_term *value);
bool pe_depends(struct pe *pe, const struct rg_term *t);
bool pe_expr_depends(struct pe *pe, const struct rg_expr *e);
bool pe_group_depends(struct pe *pe, const struct rg_group *group);
bool pe_is_unknown(const struct pe *pe, const struct rg_term *ref); /* of a ref below input or data */
bool pe_is_free(struct pe *pe, const struct rg_term *t);            /* an unbound variable that may still get a value */
