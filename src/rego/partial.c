/* SPDX-License-Identifier: Apache-2.0 */
/* Goals in an order in which they can be solved, what is known by the evaluator, and the answer. */
#include "rego/partial_priv.h"

#include "base/clock.h"

static const struct rg_loc nowhere = {.file = "", .row = 1, .col = 1};

bool pe_fail(struct pe *pe, enum mln_code code, const char *text)
{
    if (!mln_failed(pe->err)) {
        pe->err = mln_fail(pe->cx, code, "partial evaluation: %s", text);
    }
    return false;
}

struct pe_goals *pe_goals_of(struct pe *pe, const struct rg_body *body, struct pe_goals *rest)
{
    for (uint32_t i = body->n; i > 0; i--) {
        struct pe_goals *g = rg_new(pe->heap, sizeof(*g));
        *g = (struct pe_goals){body->exprs[i - 1], rest};
        rest = g;
    }
    return rest;
}

/* ---- what is kept ---- */

/* Variables of what is kept get their values from it, later. */
static void mark_free(void *with, struct rg_term *var)
{
    struct pe *pe = with;
    if (pe_is_free(pe, var)) {
        pe_bind(pe, var->name, NULL);
    }
}

bool pe_save(struct pe *pe, struct rg_expr *e, struct pe_goals *rest, struct pe_then *then)
{
    uint32_t saved = pe->saved_n, bound = pe->bound_n;
    RG_GROW(pe->heap, pe->saved, pe->saved_n, pe->saved_cap);
    pe->saved[pe->saved_n++] = e;
    rg_walk_expr(e, mark_free, pe);
    bool ok = pe_solve(pe, rest, then);
    pe->saved_n = saved;
    pe->bound_n = bound;
    return ok;
}

struct rg_body *pe_saved_body(struct pe *pe)
{
    struct rg_body *body = rg_new(pe->heap, sizeof(*body));
    *body = (struct rg_body){.loc = nowhere};
    for (uint32_t i = pe->saved_from; i < pe->saved_n; i++) {
        rg_body_add(pe->heap, body, pe_plug_expr(pe, pe->saved[i]));
    }
    return body;
}

static bool keep_result(struct pe *pe, struct pe_then *then)
{
    (void)then;
    if (pe->results_n == MLN_PARTIAL_QUERIES_MAX) {
        return pe_fail(pe, MLN_E_LIMIT, "more alternatives than anybody could use");
    }
    RG_GROW(pe->heap, pe->results, pe->results_n, pe->results_cap);
    pe->results[pe->results_n++] = pe_saved_body(pe);
    return true;
}

bool pe_gather(struct pe *pe, struct pe_goals *goals, struct pe_then *then)
{
    uint32_t from = pe->saved_from;
    pe->saved_from = pe->saved_n;
    bool ok = pe_solve(pe, goals, then);
    pe->saved_from = from;
    return ok;
}

bool pe_collect(struct pe *pe, struct pe_goals *goals, struct rg_body ***ret, uint32_t *ret_n)
{
    struct rg_body **results = pe->results;
    uint32_t n = pe->results_n, cap = pe->results_cap;
    struct pe_then then = {keep_result};
    pe->results = NULL;
    pe->results_n = pe->results_cap = 0;
    bool ok = pe_gather(pe, goals, &then);
    *ret = pe->results;
    *ret_n = pe->results_n;
    pe->results = results;
    pe->results_n = n;
    pe->results_cap = cap;
    return ok;
}

/* ---- what is known ---- */

/* Compile a body; NULL: not all that it needs has a value yet. */
static struct rg_proc *compile(struct pe *pe, struct rg_body *body, struct mln_rego_query *q)
{
    struct rg_module *module = rg_new(pe->heap, sizeof(*module));
    *module = (struct rg_module){.file = "", .is_v1 = true};
    q->heap = pe->heap;
    q->policy = pe->policy;
    q->errors = (struct rg_errors){.heap = pe->heap, .max = 1};
    struct rg_compiler c = {.policy = pe->policy,
                            .heap = pe->heap,
                            .errors = &q->errors,
                            .names = &pe->out->names,
                            .module = module,
                            .stamp = 1,
                            .slots = pe->policy->slots};
    rg_resolve_query(&c, body);
    q->proc = q->errors.n == 0 ? rg_gen_query(&c, body) : NULL;
    q->slots = c.slots;
    return q->errors.n == 0 ? q->proc : NULL;
}

/* Evaluate; the bindings of the rows in the heap of the answer. */
static bool run(struct pe *pe, const struct mln_rego_query *q, struct rg_val *ret_rows)
{
    struct mln_rego_run_options how = {.budget = pe->options->budget};
    struct mln_cx own;
    mln_cx_init(&own, NULL);
    if (mln_failed(mln_rego_run(pe->eval, &own, q, pe->data, &how))) {
        const struct mln_rego_error *e = mln_rego_eval_error(pe->eval);
        return pe_fail(pe, MLN_E_INVALID, e == NULL ? own.text : e->message);
    }
    *ret_rows = rg_copy(pe->heap, pe->eval->vm.rows);
    return true;
}

/* One row after the other: its variables are bound while the rest is solved. */
static bool each_row(struct pe *pe, struct rg_val rows, struct pe_goals *rest, struct pe_then *then)
{
    for (size_t i = 0; i < rg_len(rows); i++) {
        struct rg_val vars = rg_item(rg_item(rows, i), 0);
        uint32_t bound = pe->bound_n;
        for (size_t k = 0; k < rg_len(vars); k++) {
            const struct rg_str *name = rg_name(&pe->out->names, rg_bytes(rg_key_at(vars, k)));
            if (pe_binding_of(pe, name) == NULL) {
                pe_bind(pe, name, pe_value(pe, rg_val_at(vars, k)));
            }
        }
        bool ok = pe_solve(pe, rest, then);
        pe->bound_n = bound;
        if (!ok) {
            return false;
        }
    }
    return true;
}

static struct rg_body *body_of(struct pe *pe, struct rg_expr *e)
{
    struct rg_body *body = rg_new(pe->heap, sizeof(*body));
    *body = (struct rg_body){.loc = nowhere};
    rg_body_add(pe->heap, body, e);
    return body;
}

struct known {
    struct pe_then then;
    struct pe_with *with;
    struct rg_term *var;
};

static bool give_known(struct pe *pe, struct pe_then *then)
{
    struct known *k = (struct known *)(void *)then;
    return k->with->run(pe, k->with, pe_plug(pe, k->var));
}

bool pe_known(struct pe *pe, struct rg_term *t, struct pe_with *with)
{
    struct known k = {.then = {give_known}, .with = with, .var = pe_fresh(pe)};
    struct mln_rego_query q = {0};
    struct rg_expr *e = pe_expr(pe, RG_E_TERM);
    struct rg_val rows;
    e->term = pe_call(pe, "eq", k.var, t);
    if (compile(pe, body_of(pe, e), &q) == NULL) {
        return pe_fail(pe, MLN_E_INVALID, q.errors.n > 0 ? q.errors.list[0].message : "an expression cannot be evaluated yet");
    }
    return run(pe, &q, &rows) && each_row(pe, rows, NULL, &k.then);
}

/* ---- expressions that depend on what is not known ---- */

struct statement {
    struct pe_with with;
    struct pe_goals *rest;
    struct pe_then *then;
    struct rg_term *other; /* of an equation */
};

static bool is_false(const struct rg_term *t)
{
    return t->kind == RG_T_VALUE && t->value.tag == RG_BOOL && t->value.integer == 0;
}

/* A term that stands alone must be true. */
static bool stand_alone(struct pe *pe, struct pe_with *with, struct rg_term *t)
{
    struct statement *s = (struct statement *)(void *)with;
    if (!pe_depends(pe, t) && !pe_is_free(pe, t)) {
        return is_false(t) || pe_solve(pe, s->rest, s->then);
    }
    struct rg_expr *e = pe_expr(pe, RG_E_TERM);
    e->term = t;
    return pe_save(pe, e, s->rest, s->then);
}

static bool second(struct pe *pe, struct pe_with *with, struct rg_term *b)
{
    struct statement *s = (struct statement *)(void *)with;
    return pe_unify(pe, s->other, b, s->rest, s->then);
}

static bool first(struct pe *pe, struct pe_with *with, struct rg_term *a)
{
    struct statement *s = (struct statement *)(void *)with;
    struct statement next = {{second}, s->rest, s->then, a};
    struct pe_want want = {.constant = a->kind == RG_T_VALUE ? a : NULL};
    return pe_term(pe, s->other, want, &next.with);
}

static bool equation(struct pe *pe, struct rg_term *call, struct pe_goals *rest, struct pe_then *then)
{
    struct rg_term *a = call->items[1], *b = call->items[2];
    struct pe_want want = {.constant = b->kind == RG_T_VALUE ? b : NULL};
    struct statement s = {{first}, rest, then, b};
    return pe_term(pe, a, want, &s.with);
}

/* A call whose arguments are written out; all may be known by now. */
static bool called(struct pe *pe, struct pe_with *with, struct rg_term *call)
{
    struct statement *s = (struct statement *)(void *)with;
    struct rg_expr *e = pe_expr(pe, RG_E_TERM);
    e->term = call;
    if (pe_depends(pe, call)) {
        return pe_save(pe, e, s->rest, s->then);
    }
    struct mln_rego_query q = {0};
    struct rg_val rows;
    if (compile(pe, body_of(pe, e), &q) == NULL) {
        return pe_save(pe, e, s->rest, s->then);
    }
    return run(pe, &q, &rows) && each_row(pe, rows, s->rest, s->then);
}

static bool statement(struct pe *pe, struct rg_expr *e, struct pe_goals *rest, struct pe_then *then)
{
    struct rg_term *t = e->term;
    bool is_equation = t->kind == RG_T_CALL && t->n == 3 && (rg_call_is(t, "eq") || rg_call_is(t, "equal") || rg_call_is(t, "assign"));
    if (is_equation) {
        return equation(pe, t, rest, then);
    }
    struct rg_callee callee = t->kind == RG_T_CALL ? rg_callee_of(&pe->look, t->items[0]) : (struct rg_callee){0};
    if (callee.decl != NULL) {
        struct statement s = {{called}, rest, then, NULL};
        return pe_terms(pe, t, 1, &s.with);
    }
    struct statement s = {{stand_alone}, rest, then, NULL};
    return pe_term(pe, t, (struct pe_want){.is_truth = true}, &s.with);
}

/* some k, v in xs: xs is walked by a variable when it is not known. */
struct walk {
    struct pe_with with;
    struct pe_goals *rest;
    struct pe_then *then;
    struct rg_expr *expr;
};

static bool walk_over(struct pe *pe, struct pe_with *with, struct rg_term *xs)
{
    struct walk *w = (struct walk *)(void *)with;
    struct rg_term *key = w->expr->terms[0] == NULL ? pe_fresh(pe) : w->expr->terms[0];
    struct rg_term *items[] = {xs, key};
    struct rg_expr *e = pe_expr(pe, RG_E_TERM);
    e->term = pe_call(pe, "eq", w->expr->terms[1], rg_term_list(pe->heap, RG_T_REF, xs->loc, items, 2));
    struct pe_goals goal = {e, w->rest};
    return pe_solve(pe, &goal, w->then);
}

/* every k, v in xs { body } over xs that is known: the body for each item. */
static bool hold_for_each(struct pe *pe, struct pe_with *with, struct rg_term *xs)
{
    struct walk *w = (struct walk *)(void *)with;
    struct rg_val v = rg_term_ground(pe->heap, xs);
    struct pe_goals *goals = w->rest;
    if (v.tag != RG_ARRAY && v.tag != RG_OBJECT && v.tag != RG_SET) {
        return v.tag != RG_UNDEF || pe_save(pe, w->expr, w->rest, w->then);
    }
    for (size_t i = rg_len(v); i > 0; i--) {
        struct rg_val key = v.tag == RG_ARRAY ? rg_int((int64_t)i - 1) : rg_key_at(v, i - 1);
        struct rg_val item = v.tag == RG_ARRAY ? rg_item(v, i - 1) : v.tag == RG_SET ? key : rg_val_at(v, i - 1);
        uint32_t bound = pe->bound_n;
        if (w->expr->terms[0] != NULL) {
            pe_bind(pe, w->expr->terms[0]->name, pe_value(pe, key));
        }
        pe_bind(pe, w->expr->terms[1]->name, pe_value(pe, item));
        struct pe_names names = {.by_name = true};
        struct rg_expr *plugged = pe_plug_expr(pe, w->expr);
        goals = pe_goals_of(pe, pe_copy_body(pe, &names, plugged->left), goals);
        pe->bound_n = bound;
    }
    return pe_solve(pe, goals, w->then);
}

/* The support rule whose body is this; its ref. */
static struct rg_term *support_of_body(struct pe *pe, struct rg_body *const *bodies, uint32_t n);

struct bodies {
    struct rg_body **list;
    uint32_t n;
};

static void see_any(void *with, struct rg_term *var)
{
    bool *has = with;
    *has = *has || !(rg_name_is(var->name, "input") || rg_name_is(var->name, "data"));
}

static struct rg_expr *negated(struct pe *pe, struct rg_expr *e)
{
    if (e->kind == RG_E_NOT && e->left->n == 1) {
        return e->left->exprs[0];
    }
    struct rg_expr *not = pe_expr(pe, RG_E_NOT);
    not->left = body_of(pe, e);
    return not;
}

/*
 * None of the bodies from i on holds: of each, one expression does not (De Morgan), each choice an alternative. Expressions that
 * share a variable stand for one another only as a whole: as a rule.
 */
static bool negate_from(struct pe *pe, const struct bodies *all, uint32_t i, struct pe_goals *rest, struct pe_then *then)
{
    if (i == all->n) {
        return pe_solve(pe, rest, then);
    }
    struct rg_body *body = all->list[i];
    bool has_vars = false, ok = true;
    rg_walk_body_all(body, see_any, &has_vars);
    if (has_vars && body->n > 1) {
        struct rg_expr *ref = pe_expr(pe, RG_E_TERM);
        ref->term = support_of_body(pe, &body, 1);
        body = body_of(pe, ref);
    }
    for (uint32_t k = 0; ok && k < body->n; k++) {
        RG_GROW(pe->heap, pe->saved, pe->saved_n, pe->saved_cap);
        pe->saved[pe->saved_n++] = negated(pe, body->exprs[k]);
        uint32_t saved = pe->saved_n - 1;
        ok = ++pe->steps <= MLN_PARTIAL_STEPS_MAX ? negate_from(pe, all, i + 1, rest, then)
                                                  : pe_fail(pe, MLN_E_LIMIT, "it takes too many steps");
        pe->saved_n = saved;
    }
    return ok;
}

/* not body: each alternative that is left must not hold. */
static bool negate(struct pe *pe, struct rg_expr *e, struct pe_goals *rest, struct pe_then *then)
{
    struct rg_body **left = NULL;
    uint32_t n = 0;
    if (!pe_collect(pe, pe_goals_of(pe, e->left, NULL), &left, &n)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (left[i]->n == 0) {
            return true; /* it holds: this way ends */
        }
    }
    struct bodies all = {left, n};
    return negate_from(pe, &all, 0, rest, then);
}

static bool unknown(struct pe *pe, struct rg_expr *e, struct pe_goals *rest, struct pe_then *then)
{
    struct walk w = {{walk_over}, rest, then, e}, each = {{hold_for_each}, rest, then, e};
    if (e->with_n > 0) {
        return pe_save(pe, e, rest, then);
    }
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        return statement(pe, e, rest, then);
    case RG_E_SOME:
        return pe_solve(pe, rest, then);
    case RG_E_SOME_IN:
        return pe_term(pe, e->terms[2], (struct pe_want){0}, &w.with);
    case RG_E_NOT:
        return negate(pe, e, rest, then);
    case RG_E_OR:
        return pe_solve(pe, pe_goals_of(pe, e->left, rest), then) && pe_solve(pe, pe_goals_of(pe, e->right, rest), then);
    case RG_E_AND:
        return pe_solve(pe, pe_goals_of(pe, e->left, pe_goals_of(pe, e->right, rest)), then);
    case RG_E_BLOCK:
        return pe_solve(pe, pe_goals_of(pe, e->left, rest), then);
    case RG_E_EVERY:
        return pe_depends(pe, e->terms[2]) ? pe_save(pe, e, rest, then) : pe_term(pe, e->terms[2], (struct pe_want){0}, &each.with);
    }
    return pe_save(pe, e, rest, then);
}

/* ---- order ---- */

/* All but one of the goals. */
static struct pe_goals *without(struct pe *pe, struct pe_goals *goals, const struct pe_goals *one)
{
    if (goals == one) {
        return goals->next;
    }
    struct pe_goals *g = rg_new(pe->heap, sizeof(*g));
    *g = (struct pe_goals){goals->expr, without(pe, goals->next, one)};
    return g;
}

struct look {
    struct pe *pe;
    bool is_waiting;
};

static void see_free(void *with, struct rg_term *var)
{
    struct look *l = with;
    l->is_waiting = l->is_waiting || pe_is_free(l->pe, var);
}

/* May an expression that is not known be taken now? One that only reads variables waits for those that others give. */
static bool can_take(struct pe *pe, struct rg_expr *e)
{
    struct look l = {pe, false};
    bool binds = e->kind == RG_E_SOME_IN || e->kind == RG_E_SOME || e->kind == RG_E_AND || e->kind == RG_E_OR || e->kind == RG_E_BLOCK;
    bool is_call = e->kind == RG_E_TERM && e->term->kind == RG_T_CALL;
    if (binds || (e->kind == RG_E_TERM && !is_call) || (is_call && (rg_call_is(e->term, "eq") || rg_call_is(e->term, "assign")))) {
        return true;
    }
    for (uint32_t i = 1; is_call && i < e->term->n; i++) { /* a ref may be walked over where it stands */
        struct rg_term *arg = e->term->items[i];
        if (arg->kind != RG_T_REF) {
            rg_walk_term(arg, see_free, &l);
        }
    }
    if (!is_call) {
        rg_walk_expr(e, see_free, &l);
    }
    return !l.is_waiting;
}

static bool take(struct pe *pe, struct pe_goals *goals, struct pe_goals *one, struct rg_expr *e, struct pe_then *then)
{
    struct pe_goals *rest = without(pe, goals, one);
    if (pe_expr_depends(pe, e)) {
        return unknown(pe, e, rest, then);
    }
    struct mln_rego_query q = {0};
    struct rg_val rows;
    if (compile(pe, body_of(pe, pe_plug_expr(pe, e)), &q) == NULL) {
        return pe_fail(pe, MLN_E_INVALID, q.errors.n > 0 ? q.errors.list[0].message : "an expression cannot be evaluated");
    }
    return run(pe, &q, &rows) && each_row(pe, rows, rest, then);
}

static bool choose(struct pe *pe, struct pe_goals *goals, struct pe_then *then)
{
    for (struct pe_goals *g = goals; g != NULL; g = g->next) {
        struct rg_expr *e = pe_plug_expr(pe, g->expr);
        struct mln_rego_query q = {0};
        bool depends = pe_expr_depends(pe, e);
        if (depends ? can_take(pe, e) : compile(pe, body_of(pe, pe_plug_expr(pe, e)), &q) != NULL) {
            return take(pe, goals, g, e, then);
        }
    }
    struct rg_expr *e = pe_plug_expr(pe, goals->expr); /* nothing can be: it is kept as it is */
    return pe_save(pe, e, goals->next, then);
}

bool pe_may_go_on(struct pe *pe)
{
    if (mln_failed(pe->err)) {
        return false;
    }
    if (++pe->steps > MLN_PARTIAL_STEPS_MAX || pe->depth >= MLN_PARTIAL_DEPTH_MAX) {
        return pe_fail(pe, MLN_E_LIMIT, "it takes too many steps, or goes too deep");
    }
    if (rg_heap_is_over(pe->heap)) {
        return pe_fail(pe, MLN_E_LIMIT, "it takes too much memory");
    }
    if (pe->deadline_ns != 0 && mln_mono_ns() > pe->deadline_ns) {
        return pe_fail(pe, MLN_E_TIMEOUT, "it takes too long");
    }
    return true;
}

bool pe_solve(struct pe *pe, struct pe_goals *goals, struct pe_then *then)
{
    if (!pe_may_go_on(pe)) {
        return false;
    }
    pe->depth++;
    bool ok = goals == NULL ? then->run(pe, then) : choose(pe, goals, then);
    pe->depth--;
    return ok;
}

/* ---- support for negations ---- */

static struct rg_term *support_of_body(struct pe *pe, struct rg_body *const *bodies, uint32_t n)
{
    struct mln_rego_partial *out = pe->out;
    struct rg_module *m = rg_new(pe->heap, sizeof(*m));
    const char *name = rg_text_format(pe->heap, "__not%u__", (unsigned)pe->nots++);
    struct rg_term *head = rg_term_var(pe->heap, rg_name_of(&out->names, name), nowhere);
    struct rg_term *package[] = {rg_term_var(pe->heap, rg_name_of(&out->names, "data"), nowhere),
                                 rg_term_value(pe->heap, rg_text(pe->heap, "partial"), nowhere)};
    *m = (struct rg_module){.file = "", .is_v1 = true, .package = rg_term_list(pe->heap, RG_T_REF, nowhere, package, 2)};
    for (uint32_t i = 0; i < n; i++) {
        struct rg_rule *r = rg_new(pe->heap, sizeof(*r));
        *r = (struct rg_rule){.loc = nowhere, .ref = rg_term_list(pe->heap, RG_T_REF, nowhere, &head, 1), .body = bodies[i], .module = m,
                              .value = rg_term_value(pe->heap, rg_bool(true), nowhere)};
        RG_GROW(pe->heap, m->rules, m->rules_n, m->rules_cap);
        m->rules[m->rules_n++] = r;
    }
    RG_GROW(pe->heap, out->support, out->support_n, out->support_cap);
    out->support[out->support_n++] = m;
    struct rg_term *ref[] = {package[0], package[1], rg_term_value(pe->heap, rg_text(pe->heap, name), nowhere)};
    return rg_term_list(pe->heap, RG_T_REF, nowhere, ref, 3);
}

/* ---- the whole ---- */

/* What a variable of the query is, when that is known: x = 1. */
static void add_asked(struct pe *pe)
{
    for (uint32_t i = 0; i < pe->asked_n; i++) {
        const struct pe_binding *b = pe_binding_of(pe, pe->asked[i]);
        if (b == NULL || b->value == NULL) {
            continue;
        }
        struct rg_expr *e = pe_expr(pe, RG_E_TERM);
        struct rg_term *var = rg_term_var(pe->heap, pe->asked[i], nowhere), *value = pe_plug(pe, b->value);
        e->term = pe_call(pe, "eq", var, value);
        struct rg_body *body = pe->results[pe->results_n - 1];
        rg_body_add(pe->heap, body, e);
    }
}

static bool keep_query(struct pe *pe, struct pe_then *then)
{
    bool ok = keep_result(pe, then);
    if (ok) {
        add_asked(pe);
    }
    return ok;
}

static struct rg_term *parse_ref(struct pe *pe, struct mln_bytes text)
{
    struct rg_module *module = rg_new(pe->heap, sizeof(*module));
    *module = (struct rg_module){.file = ""};
    struct rg_errors errors = {.heap = pe->heap, .max = 1};
    struct rg_parse how = {.heap = pe->heap, .names = &pe->out->names, .errors = &errors, .file = "",
                           .text = mln_bytes_at(rg_text_dup(pe->heap, text), text.len)};
    struct rg_body *body = rg_parse_query(&how, module);
    struct rg_term *t = body != NULL && errors.n == 0 && body->n == 1 && body->exprs[0]->kind == RG_E_TERM ? body->exprs[0]->term : NULL;
    if (t != NULL && t->kind == RG_T_VAR) {
        t = rg_term_list(pe->heap, RG_T_REF, nowhere, &t, 1);
    }
    bool ok = t != NULL && t->kind == RG_T_REF && (rg_name_is(t->items[0]->name, "input") || rg_name_is(t->items[0]->name, "data"));
    for (uint32_t i = 1; ok && i < t->n; i++) {
        ok = t->items[i]->kind == RG_T_VALUE;
    }
    return ok ? t : NULL;
}

static bool read_unknowns(struct pe *pe)
{
    const struct mln_bytes usual[] = {MLN_BYTES("input")};
    const struct mln_rego_partial_options *o = pe->options;
    bool has = o->n_unknowns > 0;
    size_t n = has ? o->n_unknowns : MLN_COUNT(usual);
    if (n > MLN_PARTIAL_UNKNOWNS_MAX) {
        return pe_fail(pe, MLN_E_LIMIT, "more than 64 unknowns");
    }
    pe->unknowns = rg_new(pe->heap, n * sizeof(*pe->unknowns));
    for (size_t i = 0; i < n; i++) {
        struct rg_term *t = parse_ref(pe, has ? o->unknowns[i] : usual[i]);
        if (t == NULL) {
            return pe_fail(pe, MLN_E_INVALID, "unknowns are refs below input or data");
        }
        pe->unknowns[pe->unknowns_n++] = t;
    }
    return true;
}

static struct rg_body *parse_query(struct pe *pe, struct mln_bytes text)
{
    struct rg_module *module = rg_new(pe->heap, sizeof(*module));
    *module = (struct rg_module){.file = ""};
    struct rg_compiler c = pe->look;
    c.module = module;
    c.errors = &pe->out->errors;
    struct rg_parse how = {.heap = pe->heap, .names = &pe->out->names, .errors = &pe->out->errors, .file = "",
                           .text = mln_bytes_at(rg_text_dup(pe->heap, text), text.len), .version = pe->options->version};
    struct rg_body *body = rg_parse_query(&how, module);
    if (body != NULL && pe->out->errors.n == 0) {
        rg_resolve_query(&c, body);
    }
    return pe->out->errors.n == 0 ? body : NULL;
}

/* A query that could not run at all is refused as it would be by the evaluator. */
static struct mln_err check_query(struct pe *pe, struct mln_rego *rego, struct mln_bytes query)
{
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *q = NULL;
    struct mln_rego_query_options how = {.version = pe->options->version};
    struct mln_err err = mln_rego_prepare(rego, pe->cx, query, &how, &q);
    for (size_t i = 0; q != NULL && i < mln_rego_query_error_count(q); i++) {
        const struct mln_rego_error *e = mln_rego_query_error_at(q, i);
        rg_report(&pe->out->errors, e->code, (struct rg_loc){.file = "", .row = e->row, .col = e->col}, "%s", e->message);
    }
    return err;
}

static struct mln_err evaluate(struct pe *pe, struct mln_rego *rego, struct mln_bytes query)
{
    struct pe_names names = {.keeps = true};
    struct pe_then then = {keep_query};
    MLN_TRY(check_query(pe, rego, query));
    struct rg_body *body = parse_query(pe, query);
    if (body == NULL) {
        const struct mln_rego_error *e = mln_rego_partial_error_at(pe->out, 0);
        return mln_fail(pe->cx, MLN_E_INVALID, "%s", e == NULL ? "the query cannot be read" : e->message);
    }
    pe->depends = rg_new(pe->heap, pe->policy->groups_n + 1);
    mln_fill(pe->depends, 0, pe->policy->groups_n + 1);
    if (!read_unknowns(pe) || !pe_solve(pe, pe_goals_of(pe, pe_copy_body(pe, &names, body), NULL), &then)) {
        return mln_failed(pe->err) ? pe->err : mln_fail(pe->cx, MLN_E_INTERNAL, "partial evaluation failed");
    }
    pe->out->queries = pe->results;
    pe->out->n = pe->results_n;
    return MLN_OK;
}

#define MEMORY_MAX ((size_t)128 << 20) /* of trees and values: alternatives multiply */

struct mln_err mln_rego_partial(struct mln_rego *rego, struct mln_cx *cx, struct mln_rego_eval *eval, struct mln_bytes query,
                                const struct mln_rego_data *data, const struct mln_rego_partial_options *options,
                                struct mln_rego_partial **ret)
{
    struct mln_rego_partial *out = mln_alloc(sizeof(*out));
    struct rg_heap *heap = rg_heap_new(MEMORY_MAX);
    struct pe *pe = mln_alloc(sizeof(*pe));
    if (out == NULL || heap == NULL || pe == NULL) {
        mln_free(out);
        mln_free(pe);
        rg_heap_free(heap);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    *out = (struct mln_rego_partial){.heap = heap, .names = {.heap = heap}, .errors = {.heap = heap, .max = MLN_REGO_ERRORS_MAX}};
    *pe = (struct pe){.cx = cx, .out = out, .heap = heap, .policy = &rego->policy, .eval = eval, .data = data, .options = options};
    pe->look = (struct rg_compiler){.policy = pe->policy, .heap = heap, .errors = &out->errors, .names = &out->names, .stamp = 1};
    *ret = out;
    uint64_t time_ns = options->budget.time_ns;
    pe->deadline_ns = time_ns == 0 || time_ns > INT64_MAX / 2 ? 0 : mln_mono_ns() + (int64_t)time_ns;
    struct mln_err err = evaluate(pe, rego, query);
    mln_free(pe);
    return err;
}

void mln_rego_partial_free(struct mln_rego_partial *partial)
{
    if (partial != NULL) {
        rg_heap_free(partial->heap);
        mln_free(partial);
    }
}

void mln_rego_partial_drop(struct mln_rego_partial **partial)
{
    mln_rego_partial_free(*partial);
    *partial = NULL;
}

const struct mln_rego_error *mln_rego_partial_error_at(const struct mln_rego_partial *partial, size_t i)
{
    return i < partial->errors.n ? &partial->errors.list[i] : NULL;
}

size_t mln_rego_partial_count(const struct mln_rego_partial *partial)
{
    return partial->n;
}

void mln_rego_partial_print(const struct mln_rego_partial *partial, struct mln_buf *buf)
{
    struct rg_heap *heap = partial->heap;
    struct rg_val out = rg_object(heap, 2), queries = rg_array(heap, partial->n), support = rg_array(heap, partial->support_n);
    for (uint32_t i = 0; i < partial->n; i++) {
        rg_push(heap, queries, rg_body_tree(heap, partial->queries[i]));
    }
    for (uint32_t i = 0; i < partial->support_n; i++) {
        rg_push(heap, support, rg_module_tree(heap, partial->support[i]));
    }
    if (partial->n > 0) {
        rg_put_text(heap, out, "queries", queries);
    }
    if (partial->support_n > 0) {
        rg_put_text(heap, out, "support", support);
    }
    rg_print_json(buf, out);
}
