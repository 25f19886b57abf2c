/* SPDX-License-Identifier: Apache-2.0 */
/* Code of expressions and bodies. */
#include "rego/gen_priv.h"

static uint32_t true_operand(struct rg_gen *g)
{
    return rg_const(g, rg_bool(true));
}

static const struct {
    const char *name;
    enum rg_op op;
} tests[] = {{"equal", RG_OP_EQ},
             {"neq", RG_OP_NEQ},
             {"lt", RG_OP_LT},
             {"lte", RG_OP_LTE},
             {"gt", RG_OP_GT},
             {"gte", RG_OP_GTE},
             {"internal.member_2", RG_OP_MEMBER}};

/* A comparison: no value is made. false: the call is another one. */
static bool gen_test(struct rg_gen *g, struct rg_term *t)
{
    for (size_t i = 0; i < MLN_COUNT(tests); i++) {
        if (t->n == 3 && rg_call_is(t, tests[i].name)) {
            uint32_t *operands = rg_gen_all(g, t->items + 1, 2);
            rg_emit(g, tests[i].op, 0, operands[0], operands[1]);
            return true;
        }
    }
    return false;
}

static void see_undeclared(void *with, struct rg_term *t)
{
    struct rg_gen *g = with;
    if (t->var != NULL && !t->var->is_bound && t->var->depth <= g->c->depth) {
        rg_report(g->c->errors, "rego_compile_error", t->loc, "var %s is undeclared",
                  t->name->text);
        g->is_bad = true;
    }
}

/* Operands that are undefined say so; print itself is always true. */
static uint32_t gen_print(struct rg_gen *g, struct rg_term *t)
{
    uint32_t outer = g->fail, n = t->n - 1, first = rg_reg(g, n);
    for (uint32_t i = 0; i < n && !g->is_bad; i++) {
        uint32_t missing = rg_label(g);
        rg_emit(g, RG_OP_UNSET, first + i, 0, 0);
        g->fail = missing;
        uint32_t v = rg_gen_term(g, t->items[1 + i]);
        rg_emit(g, RG_OP_MOVE, first + i, v, 0);
        rg_place(g, missing);
    }
    g->fail = outer;
    rg_emit(g, RG_OP_PRINT, 0, first, n);
    return true_operand(g);
}

static uint32_t gen_call_expr(struct rg_gen *g, struct rg_term *t)
{
    if (rg_call_is(t, "eq") || rg_call_is(t, "assign")) {
        rg_gen_unify(g, t->items[1], t->items[2]);
        return true_operand(g);
    }
    if (rg_call_is(t, "print")) {
        for (uint32_t i = 1; g->c->policy->options.has_print && i < t->n; i++) {
            rg_walk_all(t->items[i], see_undeclared, g);
        }
        return gen_print(g, t);
    }
    if (gen_test(g, t)) {
        return true_operand(g);
    }
    struct rg_callee callee = rg_callee_of(g->c, t->items[0]);
    if ((callee.decl != NULL || callee.group != NULL) && t->n == callee.arity + 2) {
        rg_gen_match(g, t->items[t->n - 1], rg_gen_call(g, t, callee.arity));
        return true_operand(g);
    }
    uint32_t v = rg_gen_call(g, t, t->n - 1);
    rg_emit(g, RG_OP_TEST, v, 0, 0);
    return v;
}

static uint32_t gen_term_expr(struct rg_gen *g, struct rg_term *t)
{
    if (t->kind == RG_T_CALL) {
        return gen_call_expr(g, t);
    }
    if (t->kind == RG_T_VALUE && rg_is_true(t->value)) {
        return rg_const(g, t->value);
    }
    uint32_t v = rg_gen_term(g, t);
    rg_emit(g, RG_OP_TEST, v, 0, 0);
    return v;
}

void rg_gen_closure(struct rg_gen *g, struct rg_body *body, uint32_t deeper)
{
    g->c->depth += deeper;
    rg_gen_body(g, body);
    g->c->depth -= deeper;
}

/* Once is enough; then the loops inside are left. */
static void gen_block(struct rg_gen *g, struct rg_body *body)
{
    uint32_t outer = g->fail, done = rg_label(g);
    rg_gen_closure(g, body, 1);
    rg_jump(g, done);
    rg_place(g, done);
    g->fail = outer;
}

static void gen_or(struct rg_gen *g, struct rg_expr *e)
{
    uint32_t outer = g->fail, second = rg_label(g), done = rg_label(g);
    g->fail = second;
    rg_gen_closure(g, e->left, 1);
    rg_jump(g, done);
    rg_place(g, second);
    g->fail = outer;
    rg_gen_closure(g, e->right, 1);
    rg_place(g, done);
    g->fail = outer;
}

static void gen_some_in(struct rg_gen *g, struct rg_expr *e)
{
    uint32_t key = 0, value = rg_gen_loop(g, rg_gen_term(g, e->terms[2]), &key);
    if (e->terms[0] != NULL) {
        rg_gen_match(g, e->terms[0], key);
    }
    rg_gen_match(g, e->terms[1], value);
}

static void gen_every(struct rg_gen *g, struct rg_expr *e)
{
    uint32_t done = rg_label(g), over = rg_gen_term(g, e->terms[2]);
    uint32_t inner_fail = g->fail, walk = rg_reg(g, 4), next = rg_label(g);
    rg_emit(g, RG_OP_ITER, walk, over, RG_ANY_ORDER);
    rg_place(g, next);
    g->fail = done;
    rg_emit(g, RG_OP_NEXT, walk, walk + 2, walk + 3);
    g->fail = inner_fail;
    if (e->terms[0] != NULL) {
        rg_gen_match(g, e->terms[0], walk + 2);
    }
    rg_gen_match(g, e->terms[1], walk + 3);
    rg_gen_closure(g, e->left, 2);
    rg_jump(g, next);
    rg_place(g, done);
    g->fail = inner_fail;
}

static uint32_t gen_plain(struct rg_gen *g, struct rg_expr *e)
{
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        return gen_term_expr(g, e->term);
    case RG_E_SOME:
        break;
    case RG_E_SOME_IN:
        gen_some_in(g, e);
        break;
    case RG_E_EVERY:
        gen_every(g, e);
        break;
    case RG_E_AND:
        gen_block(g, e->left);
        gen_block(g, e->right);
        break;
    case RG_E_OR:
        gen_or(g, e);
        break;
    case RG_E_NOT:
        rg_gen_not(g, e);
        break;
    case RG_E_BLOCK:
        gen_block(g, e->left);
        break;
    }
    return true_operand(g);
}

/* ---- with ---- */
struct outs {
    struct rg_compiler *c;
    struct rg_term **list;
    uint32_t n, cap;
};

static void see_out(void *with, struct rg_term *t)
{
    struct outs *o = with;
    if (t->var == NULL || t->var->is_bound || t->var->is_wildcard) {
        return;
    }
    for (uint32_t i = 0; i < o->n; i++) {
        if (o->list[i]->var == t->var) {
            return;
        }
    }
    RG_GROW(o->c->heap, o->list, o->n, o->cap);
    o->list[o->n++] = t;
}

static bool with_target(struct rg_gen *g, const struct rg_with *w, struct rg_with_part *part)
{
    const struct rg_term *t = w->target, *head = t->kind == RG_T_REF ? t->items[0] : t;
    bool input = head->kind == RG_T_VAR && rg_name_is(head->name, "input"),
         data = rg_is_root(head, "data");
    if (!input && !data) {
        struct rg_callee callee = rg_callee_of(g->c, t);
        part->kind = RG_W_CALL;
        part->decl = callee.decl;
        return callee.decl != NULL;
    }
    part->kind = input ? RG_W_INPUT : RG_W_DATA;
    part->path = rg_array(g->heap, 4);
    struct rg_node *node = data ? g->c->policy->root : NULL;
    for (uint32_t i = 1; t->kind == RG_T_REF && i < t->n; i++) {
        if (t->items[i]->kind != RG_T_VALUE) {
            return false;
        }
        rg_push(g->heap, part->path, t->items[i]->value);
        node = node == NULL ? NULL : rg_node_kid(node, t->items[i]->value);
    }
    part->node = node;
    if (node != NULL && node->group != NULL && node->group->kind == RG_G_FUNCTION) {
        part->kind = RG_W_CALL;
        part->group = node->group;
    }
    return true;
}

/* The rule at hand may call what stands in. */
static void need(struct rg_compiler *c, struct rg_group *group)
{
    struct rg_group *own = c->group;
    if (group != NULL && own != NULL) {
        RG_GROW(c->heap, own->needs, own->needs_n, own->needs_cap);
        own->needs[own->needs_n++] = group;
    }
}

static bool with_value(struct rg_gen *g, const struct rg_with *w, struct rg_with_part *part,
                       uint32_t *ret_operand)
{
    *ret_operand = rg_const(g, rg_null());
    if (part->kind == RG_W_CALL && (w->value->kind == RG_T_VAR || w->value->kind == RG_T_REF)) {
        bool local = w->value->kind == RG_T_VAR && w->value->var != NULL && w->value->var->is_bound;
        struct rg_callee callee = local ? (struct rg_callee){0} : rg_callee_of(g->c, w->value);
        if (callee.decl != NULL || (callee.group != NULL && callee.group->kind == RG_G_FUNCTION)) {
            part->is_call = true;
            part->by_decl = callee.decl;
            part->by_group = callee.group;
            need(g->c, callee.group);
            return true;
        }
    }
    *ret_operand = rg_gen_term(g, w->value);
    return true;
}

static void gen_with_begin(struct rg_gen *g, struct rg_expr *e, struct rg_with_set *set,
                           uint32_t *ret_first)
{
    uint32_t *operands = rg_new(g->heap, (e->with_n + 1) * sizeof(*operands));
    set->parts = rg_new(g->heap, e->with_n * sizeof(*set->parts));
    set->n = e->with_n;
    for (uint32_t i = 0; i < e->with_n && !g->is_bad; i++) {
        set->parts[i] = (struct rg_with_part){0};
        if (!with_target(g, &e->with[i], &set->parts[i])) {
            rg_report(g->c->errors, "rego_type_error", e->with[i].target->loc,
                      "with keyword target must reference existing %s",
                      "input, data, or a function");
            g->is_bad = true;
        } else {
            (void)with_value(g, &e->with[i], &set->parts[i], &operands[i]);
        }
    }
    *ret_first = g->is_bad ? 1 : rg_in_row(g, operands, e->with_n);
}

static void emit_with(struct rg_gen *g, struct rg_with_set *set, uint32_t first)
{
    /* the set is a constant that only this instruction reads */
    struct rg_proc *p = g->proc;
    RG_GROW(g->heap, p->withs, p->withs_n, p->withs_cap);
    p->withs[p->withs_n] = set;
    rg_emit_d(g, RG_OP_WITH, 0, first, 0, p->withs_n++);
}

/*
 * What the expression binds is collected while the with lasts and walked over after it: so a with never has to be taken up
 * again.
 */
uint32_t rg_gen_with(struct rg_gen *g, struct rg_expr *e)
{
    struct rg_with_set *set = rg_new(g->heap, sizeof(*set));
    uint32_t first = 1, with_n = e->with_n;
    gen_with_begin(g, e, set, &first);
    uint32_t outer = g->fail, all = rg_reg(g, 1), end = rg_label(g), row = rg_reg(g, 1), key = 0;
    struct outs outs = {.c = g->c};
    e->with_n = 0;
    rg_walk_expr(e, see_out, &outs);
    rg_emit(g, RG_OP_SET_NEW, all, 0, 0);
    emit_with(g, set, first);
    g->fail = end;
    uint32_t v = gen_plain(g, e);
    e->with_n = with_n;
    uint32_t *operands = rg_new(g->heap, (outs.n + 1) * sizeof(*operands));
    uint32_t n = 0;
    struct rg_var **vars = rg_new(g->heap, (outs.n + 1) * sizeof(struct rg_var *));
    for (uint32_t i = 0; i < outs.n; i++) {
        if (outs.list[i]->var->is_bound) {
            vars[n] = outs.list[i]->var;
            operands[n++] = outs.list[i]->var->reg;
        }
    }
    operands[n] = v;
    if (!g->is_bad) {
        rg_emit(g, RG_OP_ARRAY, row, rg_in_row(g, operands, n + 1), n + 1);
        rg_emit(g, RG_OP_ADD, all, row, 0);
    }
    rg_jump(g, n == 0 ? end : g->fail);
    rg_place(g, end);
    g->fail = outer;
    rg_emit(g, RG_OP_WITHOUT, 0, 0, 0);
    row = rg_gen_loop(g, all, &key);
    for (uint32_t i = 0; i <= n && !g->is_bad; i++) {
        uint32_t part = rg_reg(g, 1);
        rg_emit(g, RG_OP_DOT, part, row, rg_const(g, rg_int(i)));
        if (i == n) {
            return part;
        }
        vars[i]->reg = part;
    }
    return v;
}

uint32_t rg_gen_expr(struct rg_gen *g, struct rg_expr *e)
{
    g->loc = e->loc;
    return e->with_n > 0 ? rg_gen_with(g, e) : gen_plain(g, e);
}

/* With its notes: what fails in it says so and goes on to where it would have gone. */
static uint32_t gen_watched(struct rg_gen *g, struct rg_expr *e)
{
    bool is_generated = (e->kind == RG_E_TERM && e->term->is_generated) || e->kind == RG_E_SOME ||
                        e->kind == RG_E_SOME_IN;
    if (!g->c->policy->options.has_notes || g->c->rule == NULL || is_generated) {
        return rg_gen_expr(g, e);
    }
    uint32_t note = rg_note_expr(g, e), outer = g->fail, failed = rg_label(g), behind = rg_label(g);
    rg_gen_note(g, MLN_REGO_EVAL, note);
    g->fail = failed;
    uint32_t v = rg_gen_expr(g, e);
    rg_gen_note(g, MLN_REGO_PASS, note);
    rg_jump(g, behind);
    rg_place(g, failed);
    rg_gen_note(g, MLN_REGO_FAIL, note);
    rg_jump(g, outer);
    rg_place(g, behind);
    g->fail = g->fail == failed ? outer : g->fail; /* a loop was opened: what comes fails into it */
    return v;
}

void rg_gen_body(struct rg_gen *g, struct rg_body *body)
{
    struct rg_expr **rest = rg_new(g->heap, (body->n + 1) * sizeof(*rest));
    uint32_t *place = rg_new(g->heap, (body->n + 1) * sizeof(*place)), *results = g->results;
    g->results = NULL; /* of the outermost body only */
    uint32_t n = body->n;
    for (uint32_t i = 0; i < n; i++) {
        rest[i] = body->exprs[i];
        place[i] = i;
    }
    body->safe = rg_new(g->heap, (body->n + 1) * sizeof(*body->safe));
    while (n > 0 && !g->is_bad) {
        uint32_t i = 0;
        g->c->all_but_print = 1;
        while (i < n && !rg_expr_ready(g->c, rest[i])) {
            i++;
        }
        g->c->all_but_print = 0;
        for (i = i == n ? 0 : i; i < n && !rg_expr_ready(g->c, rest[i]);) {
            i++;
        }
        if (i == n) {
            rg_report_unsafe(g->c, rest, n);
            g->is_bad = true;
            break;
        }
        body->safe[body->n - n] = rest[i];
        uint32_t v = gen_watched(g, rest[i]);
        rg_gen_case(g);
        if (results != NULL) {
            results[place[i]] = v;
        }
        n--;
        mln_move(rest + i, rest + i + 1, (n - i) * sizeof(*rest));
        mln_move(place + i, place + i + 1, (n - i) * sizeof(*place));
    }
    g->results = results;
}
