/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the variables of a tree, with closures and without. Names of functions are not variables. */
#include "rego/compile_priv.h"

static void walk_items(struct rg_term *t, rg_see_fn see, void *with, bool all)
{
    /* the operator of a call is a name, not a variable */
    for (uint32_t i = t->kind == RG_T_CALL ? 1 : 0; i < t->n; i++) {
        if (all) {
            rg_walk_all(t->items[i], see, with);
        } else {
            rg_walk_term(t->items[i], see, with);
        }
    }
}

void rg_walk_term(struct rg_term *t, rg_see_fn see, void *with)
{
    if (t == NULL || t->kind == RG_T_VALUE || t->is_name) {
        return;
    }
    if (t->kind == RG_T_VAR) {
        see(with, t);
    } else if (t->body == NULL) {
        walk_items(t, see, with, false);
    }
}

void rg_walk_all(struct rg_term *t, rg_see_fn see, void *with)
{
    if (t == NULL || t->kind == RG_T_VALUE || t->is_name) {
        return;
    }
    if (t->kind == RG_T_VAR) {
        see(with, t);
        return;
    }
    walk_items(t, see, with, true);
    rg_walk_body_all(t->body, see, with);
}

static void walk_withs(struct rg_expr *e, rg_see_fn see, void *with, bool all)
{
    for (uint32_t i = 0; i < e->with_n; i++) {
        if (all) {
            rg_walk_all(e->with[i].value, see, with);
        } else {
            rg_walk_term(e->with[i].value, see, with);
        }
    }
}

void rg_walk_expr(struct rg_expr *e, rg_see_fn see, void *with)
{
    walk_withs(e, see, with, false);
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        rg_walk_term(e->term, see, with);
        return;
    case RG_E_SOME_IN:
        rg_walk_term(e->terms[0], see, with);
        rg_walk_term(e->terms[1], see, with);
        rg_walk_term(e->terms[2], see, with);
        return;
    case RG_E_EVERY:
        rg_walk_term(e->terms[2], see, with);
        return;
    case RG_E_NOT:
        for (uint32_t i = 0; !e->is_closure && i < e->left->n; i++) {
            rg_walk_expr(e->left->exprs[i], see, with);
        }
        return;
    case RG_E_SOME:
    case RG_E_AND:
    case RG_E_OR:
    case RG_E_BLOCK:
        return;
    }
}

void rg_walk_expr_all(struct rg_expr *e, rg_see_fn see, void *with)
{
    walk_withs(e, see, with, true);
    rg_walk_all(e->term, see, with);
    for (uint32_t i = 0; e->kind != RG_E_SOME && i < e->n; i++) {
        rg_walk_all(e->terms[i], see, with);
    }
    rg_walk_body_all(e->left, see, with);
    rg_walk_body_all(e->right, see, with);
}

void rg_walk_body_all(struct rg_body *body, rg_see_fn see, void *with)
{
    for (uint32_t i = 0; body != NULL && i < body->n; i++) {
        rg_walk_expr_all(body->exprs[i], see, with);
    }
}
