/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Negation. OPA evaluates what an expression calls and looks up in its operands before the `not`, outside of it: with an
 * undefined input.x, "not f(input.x)" is undefined, not true, and "not f(xs[_])" walks over xs. Only refs that are the
 * expression themselves or stand beside "==" and "=" are under the `not`. With rego.v2 all of it is.
 */
#include "rego/gen_priv.h"

static void hold(struct rg_gen *g, struct rg_term *t);

static void hold_items(struct rg_gen *g, struct rg_term *t, uint32_t from)
{
    for (uint32_t i = from; i < t->n && !g->is_bad; i++) {
        hold(g, t->items[i]);
    }
}

/* What a term holds, not itself. */
static void hold_inside(struct rg_gen *g, struct rg_term *t)
{
    switch ((enum rg_kind)t->kind) {
    case RG_T_REF:
        if (t->items[0]->kind != RG_T_VAR) {
            hold(g, t->items[0]);
        }
        hold_items(g, t, 1);
        return;
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
        hold_items(g, t, 0);
        return;
    case RG_T_VALUE:
    case RG_T_VAR:
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
    case RG_T_CALL:
    case RG_T_TEMPLATE:
        return;
    }
}

static void hold(struct rg_gen *g, struct rg_term *t)
{
    bool is_document = t->kind == RG_T_VAR && t->var == NULL && !t->is_name;
    if (t->kind == RG_T_REF || t->kind == RG_T_CALL || is_document) {
        t->held = rg_gen_term(g, t);
    } else {
        hold_inside(g, t);
    }
}

static void hold_operands(struct rg_gen *g, struct rg_term *t)
{
    bool is_equal = rg_call_is(t, "eq") || rg_call_is(t, "equal") || rg_call_is(t, "assign");
    for (uint32_t i = 1; i < t->n && !g->is_bad; i++) {
        if (is_equal && t->items[i]->kind == RG_T_REF) {
            hold_inside(g, t->items[i]);
        } else if (!is_equal || t->items[i]->kind != RG_T_VAR) {
            hold(g, t->items[i]);
        }
    }
}

void rg_gen_not(struct rg_gen *g, struct rg_expr *e)
{
    const struct rg_expr *inner = e->left->exprs[0];
    if (!e->is_closure && e->left->n == 1 && inner->kind == RG_E_TERM && inner->with_n == 0) {
        if (inner->term->kind == RG_T_CALL) {
            hold_operands(g, inner->term);
        } else {
            hold_inside(g, inner->term);
        }
    }
    uint32_t outer = g->fail, good = rg_label(g);
    g->fail = good;
    rg_gen_closure(g, e->left, e->is_closure ? 1 : 0);
    rg_jump(g, outer);
    rg_place(g, good);
    g->fail = outer;
}
