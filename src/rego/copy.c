/* SPDX-License-Identifier: Apache-2.0 */
/* Trees that are written once and stand in two rules: what names mean is kept in the tree, so each rule has its own. */
#include "rego/ast_priv.h"

static struct rg_body *copy_body(struct rg_heap *heap, const struct rg_body *body);

struct rg_term **rg_terms_copy(struct rg_heap *heap, struct rg_term *const *terms, uint32_t n)
{
    struct rg_term **out = rg_new(heap, (n + 1) * sizeof(*out));
    for (uint32_t i = 0; i < n; i++) {
        out[i] = rg_term_copy(heap, terms[i]);
    }
    return out;
}

struct rg_term *rg_term_copy(struct rg_heap *heap, const struct rg_term *t)
{
    if (t == NULL) {
        return NULL;
    }
    struct rg_term *out = rg_new(heap, sizeof(*out));
    *out = *t;
    out->items = rg_terms_copy(heap, t->items, t->n);
    out->body = copy_body(heap, t->body);
    return out;
}

static struct rg_expr *copy_expr(struct rg_heap *heap, const struct rg_expr *e)
{
    struct rg_expr *out = rg_new(heap, sizeof(*out));
    *out = *e;
    out->term = rg_term_copy(heap, e->term);
    out->terms = rg_terms_copy(heap, e->terms, e->n);
    out->left = copy_body(heap, e->left);
    out->right = copy_body(heap, e->right);
    out->with = rg_new(heap, (e->with_n + 1) * sizeof(*out->with));
    for (uint32_t i = 0; i < e->with_n; i++) {
        out->with[i] = e->with[i];
        out->with[i].target = rg_term_copy(heap, e->with[i].target);
        out->with[i].value = rg_term_copy(heap, e->with[i].value);
    }
    return out;
}

static struct rg_body *copy_body(struct rg_heap *heap, const struct rg_body *body)
{
    if (body == NULL) {
        return NULL;
    }
    struct rg_body *out = rg_new(heap, sizeof(*out));
    *out = (struct rg_body){.loc = body->loc};
    for (uint32_t i = 0; i < body->n; i++) {
        rg_body_add(heap, out, copy_expr(heap, body->exprs[i]));
    }
    return out;
}
