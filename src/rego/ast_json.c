/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as values, in the shape of OPA's parser: for rego.parse_module and `parse`. */
#include "rego/compile_priv.h"

static struct rg_val body_value(struct rg_heap *heap, const struct rg_body *body);

static struct rg_val typed(struct rg_heap *heap, const char *type, struct rg_val v)
{
    struct rg_val out = rg_object(heap, 2);
    rg_put_text(heap, out, "type", rg_text(heap, type));
    rg_put_text(heap, out, "value", v);
    return out;
}

static struct rg_val items_value(struct rg_heap *heap, struct rg_term *const *items, uint32_t n)
{
    struct rg_val out = rg_array(heap, n);
    for (uint32_t i = 0; i < n; i++) {
        rg_push(heap, out, rg_term_tree(heap, items[i]));
    }
    return out;
}

static struct rg_val object_value(struct rg_heap *heap, const struct rg_term *t)
{
    struct rg_val out = rg_array(heap, t->n / 2);
    for (uint32_t i = 0; i < t->n; i += 2) {
        rg_push(heap, out, items_value(heap, t->items + i, 2));
    }
    return out;
}

static struct rg_val comprehension_value(struct rg_heap *heap, const struct rg_term *t)
{
    struct rg_val out = rg_object(heap, 3);
    if (t->n == 2) {
        rg_put_text(heap, out, "key", rg_term_tree(heap, t->items[0]));
        rg_put_text(heap, out, "value", rg_term_tree(heap, t->items[1]));
    } else {
        rg_put_text(heap, out, "term", rg_term_tree(heap, t->items[0]));
    }
    rg_put_text(heap, out, "body", body_value(heap, t->body));
    return out;
}

/* The operator of a call is always a ref. */
static struct rg_val call_items(struct rg_heap *heap, const struct rg_term *t)
{
    struct rg_val out = rg_array(heap, t->n), op = rg_term_tree(heap, t->items[0]);
    if (t->items[0]->kind == RG_T_VAR) {
        struct rg_val one = rg_array(heap, 1);
        rg_push(heap, one, op);
        op = typed(heap, "ref", one);
    }
    rg_push(heap, out, op);
    for (uint32_t i = 1; i < t->n; i++) {
        rg_push(heap, out, rg_term_tree(heap, t->items[i]));
    }
    return out;
}

struct rg_val rg_term_tree(struct rg_heap *heap, const struct rg_term *t)
{
    switch ((enum rg_kind)t->kind) {
    case RG_T_VALUE:
        return typed(heap, rg_type_name(t->value), t->value);
    case RG_T_VAR:
        return typed(heap, "var",
                     (struct rg_val){.tag = RG_STR, .hash = t->name->hash, .str = t->name});
    case RG_T_REF:
        return typed(heap, "ref", items_value(heap, t->items, t->n));
    case RG_T_ARRAY:
        return typed(heap, "array", items_value(heap, t->items, t->n));
    case RG_T_SET:
        return typed(heap, "set", items_value(heap, t->items, t->n));
    case RG_T_OBJECT:
        return typed(heap, "object", object_value(heap, t));
    case RG_T_ARRAY_OF:
        return typed(heap, "arraycomprehension", comprehension_value(heap, t));
    case RG_T_SET_OF:
        return typed(heap, "setcomprehension", comprehension_value(heap, t));
    case RG_T_OBJECT_OF:
        return typed(heap, "objectcomprehension", comprehension_value(heap, t));
    case RG_T_CALL:
        return typed(heap, "call", call_items(heap, t));
    case RG_T_TEMPLATE:
        return typed(heap, "templatestring", items_value(heap, t->items, t->n));
    }
    return RG_NONE;
}

static struct rg_val some_value(struct rg_heap *heap, const struct rg_expr *e)
{
    struct rg_val out = rg_object(heap, 1);
    if (e->kind == RG_E_SOME) {
        rg_put_text(heap, out, "symbols", items_value(heap, e->terms, e->n));
        return out;
    }
    struct rg_val call = rg_array(heap, 4), op = rg_array(heap, 2);
    rg_push(heap, op, typed(heap, "var", rg_text(heap, "internal")));
    rg_push(heap, op,
            typed(heap, "string", rg_text(heap, e->terms[0] == NULL ? "member_2" : "member_3")));
    rg_push(heap, call, typed(heap, "ref", op));
    for (uint32_t i = e->terms[0] == NULL ? 1 : 0; i < 3; i++) {
        rg_push(heap, call, rg_term_tree(heap, e->terms[i]));
    }
    struct rg_val symbols = rg_array(heap, 1);
    rg_push(heap, symbols, typed(heap, "call", call));
    rg_put_text(heap, out, "symbols", symbols);
    return out;
}

static struct rg_val every_value(struct rg_heap *heap, const struct rg_expr *e)
{
    struct rg_val out = rg_object(heap, 4);
    rg_put_text(heap, out, "key",
                e->terms[0] == NULL ? rg_null() : rg_term_tree(heap, e->terms[0]));
    rg_put_text(heap, out, "value", rg_term_tree(heap, e->terms[1]));
    rg_put_text(heap, out, "domain", rg_term_tree(heap, e->terms[2]));
    rg_put_text(heap, out, "body", body_value(heap, e->left));
    return out;
}

static struct rg_val logic_value(struct rg_heap *heap, const struct rg_expr *e)
{
    struct rg_val out = rg_object(heap, 3);
    rg_put_text(heap, out, "op",
                rg_text(heap, e->kind == RG_E_AND  ? "and"
                              : e->kind == RG_E_OR ? "or"
                                                   : "body"));
    rg_put_text(heap, out, "left", body_value(heap, e->left));
    if (e->right != NULL) {
        rg_put_text(heap, out, "right", body_value(heap, e->right));
    }
    return out;
}

static struct rg_val terms_value(struct rg_heap *heap, const struct rg_expr *e)
{
    if (e->kind == RG_E_TERM) {
        return e->term->kind == RG_T_CALL ? call_items(heap, e->term) : rg_term_tree(heap, e->term);
    }
    if (e->kind == RG_E_SOME || e->kind == RG_E_SOME_IN) {
        return some_value(heap, e);
    }
    return e->kind == RG_E_EVERY ? every_value(heap, e) : logic_value(heap, e);
}

static struct rg_val expr_value(struct rg_heap *heap, const struct rg_expr *e, uint32_t index)
{
    bool negated = e->kind == RG_E_NOT && e->left->n == 1;
    struct rg_val out = negated ? expr_value(heap, e->left->exprs[0], index) : rg_object(heap, 4);
    if (negated) {
        rg_put_text(heap, out, "negated", rg_bool(true));
    } else {
        rg_put_text(heap, out, "terms", terms_value(heap, e));
    }
    rg_put_text(heap, out, "index", rg_int(index));
    struct rg_val withs = rg_array(heap, e->with_n);
    for (uint32_t i = 0; i < e->with_n; i++) {
        struct rg_val w = rg_object(heap, 2);
        rg_put_text(heap, w, "target", rg_term_tree(heap, e->with[i].target));
        rg_put_text(heap, w, "value", rg_term_tree(heap, e->with[i].value));
        rg_push(heap, withs, w);
    }
    if (e->with_n > 0) {
        rg_put_text(heap, out, "with", withs);
    }
    return out;
}

static struct rg_val body_value(struct rg_heap *heap, const struct rg_body *body)
{
    struct rg_val out = rg_array(heap, body->n);
    for (uint32_t i = 0; i < body->n; i++) {
        rg_push(heap, out, expr_value(heap, body->exprs[i], i));
    }
    return out;
}

struct rg_val rg_body_tree(struct rg_heap *heap, const struct rg_body *body)
{
    return body_value(heap, body);
}

static struct rg_val head_value(struct rg_heap *heap, const struct rg_rule *r)
{
    struct rg_val out = rg_object(heap, 6);
    const struct rg_str *name = r->ref->items[0]->name;
    rg_put_text(heap, out, "name", (struct rg_val){.tag = RG_STR, .hash = name->hash, .str = name});
    if (r->is_function) {
        rg_put_text(heap, out, "args", items_value(heap, r->args, r->args_n));
    }
    if (r->key != NULL) {
        rg_put_text(heap, out, "key", rg_term_tree(heap, r->key));
    }
    if (r->value != NULL) {
        rg_put_text(heap, out, "value", rg_term_tree(heap, r->value));
    }
    if (r->is_assign) {
        rg_put_text(heap, out, "assign", rg_bool(true));
    }
    rg_put_text(heap, out, "ref", items_value(heap, r->ref->items, r->ref->n));
    return out;
}

static struct rg_val rule_value(struct rg_heap *heap, const struct rg_rule *r)
{
    struct rg_val out = rg_object(heap, 4);
    if (r->is_default) {
        rg_put_text(heap, out, "default", rg_bool(true));
    }
    rg_put_text(heap, out, "head", head_value(heap, r));
    rg_put_text(heap, out, "body", body_value(heap, r->body));
    if (r->otherwise != NULL) {
        rg_put_text(
            heap, out, "else",
            rule_value(heap, r->otherwise)); /* the parser bounds how many follow one another */
    }
    return out;
}

struct rg_val rg_module_tree(struct rg_heap *heap, const struct rg_module *m)
{
    struct rg_val out = rg_object(heap, 3), package = rg_object(heap, 1),
                  imports = rg_array(heap, m->imports_n), rules = rg_array(heap, m->rules_n);
    rg_put_text(heap, package, "path", items_value(heap, m->package->items, m->package->n));
    rg_put_text(heap, out, "package", package);
    for (uint32_t i = 0; i < m->imports_n; i++) {
        struct rg_val one = rg_object(heap, 2);
        rg_put_text(heap, one, "path",
                    typed(heap, "ref",
                          items_value(heap, m->imports[i].path->items, m->imports[i].path->n)));
        if (m->imports[i].alias != NULL) {
            rg_put_text(heap, one, "alias", rg_text(heap, m->imports[i].alias->text));
        }
        rg_push(heap, imports, one);
    }
    for (uint32_t i = 0; i < m->rules_n; i++) {
        rg_push(heap, rules, rule_value(heap, m->rules[i]));
    }
    if (m->imports_n > 0) {
        rg_put_text(heap, out, "imports", imports);
    }
    if (m->rules_n > 0) {
        rg_put_text(heap, out, "rules", rules);
    }
    return out;
}
