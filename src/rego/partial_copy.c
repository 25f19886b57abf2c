/* SPDX-License-Identifier: Apache-2.0 */
/* Copies with new names, bindings, and what depends on what is not known. */
#include "rego/partial_priv.h"

#include <stdio.h>

/* ---- making ---- */

struct rg_term *pe_fresh(struct pe *pe)
{
    static const struct rg_loc nowhere = {.file = ""};
    char name[32];
    (void)snprintf(name, sizeof(name), "__local%u__1", (unsigned)pe->fresh++);
    return rg_term_var(pe->heap, rg_name_of(&pe->out->names, name), nowhere);
}

struct rg_term *pe_call(struct pe *pe, const char *op, struct rg_term *a, struct rg_term *b)
{
    struct rg_term *items[] = {rg_term_var(pe->heap, rg_name_of(&pe->out->names, op), a->loc), a, b};
    return rg_term_list(pe->heap, RG_T_CALL, a->loc, items, MLN_COUNT(items));
}

struct rg_expr *pe_expr(struct pe *pe, enum rg_expr_kind kind)
{
    struct rg_expr *e = rg_new(pe->heap, sizeof(*e));
    *e = (struct rg_expr){.kind = (uint8_t)kind, .loc.file = ""};
    return e;
}

struct rg_term *pe_value(struct pe *pe, struct rg_val v)
{
    static const struct rg_loc nowhere = {.file = ""};
    enum rg_kind kind = v.tag == RG_ARRAY ? RG_T_ARRAY : v.tag == RG_SET ? RG_T_SET : RG_T_OBJECT;
    bool is_object = v.tag == RG_OBJECT;
    if (v.tag != RG_ARRAY && v.tag != RG_SET && !is_object) {
        return rg_term_value(pe->heap, v, nowhere);
    }
    uint32_t n = (uint32_t)rg_len(v);
    struct rg_term *t = rg_term_list(pe->heap, kind, nowhere, NULL, 0);
    t->items = rg_new(pe->heap, (is_object ? 2 * n : n) * sizeof(*t->items) + 8);
    for (uint32_t i = 0; i < n; i++) {
        t->items[t->n++] = pe_value(pe, v.tag == RG_ARRAY ? rg_item(v, i) : rg_key_at(v, i));
        if (is_object) {
            t->items[t->n++] = pe_value(pe, rg_val_at(v, i));
        }
    }
    return t;
}

/* ---- bindings ---- */

const struct pe_binding *pe_binding_of(const struct pe *pe, const struct rg_str *name)
{
    for (uint32_t i = pe->bound_n; i > 0; i--) {
        if (pe->bound[i - 1].name == name) {
            return &pe->bound[i - 1];
        }
    }
    return NULL;
}

void pe_bind(struct pe *pe, const struct rg_str *name, struct rg_term *value)
{
    RG_GROW(pe->heap, pe->bound, pe->bound_n, pe->bound_cap);
    pe->bound[pe->bound_n++] = (struct pe_binding){name, value};
}

static bool is_document(const struct rg_term *t)
{
    return t->kind == RG_T_VAR && t->var == NULL && (rg_name_is(t->name, "input") || rg_name_is(t->name, "data"));
}

bool pe_is_free(struct pe *pe, const struct rg_term *t)
{
    return t->kind == RG_T_VAR && !is_document(t) && pe_binding_of(pe, t->name) == NULL;
}

/* ---- copies ---- */

static const struct rg_str *rename_var(struct pe *pe, struct pe_names *names, const struct rg_term *t)
{
    if (names->by_name && pe_binding_of(pe, t->name) != NULL) {
        return t->name;
    }
    for (uint32_t i = 0; i < names->n; i++) {
        if (names->by_name ? names->old[i] == t->name : names->vars[i] == t->var) {
            return names->names[i];
        }
    }
    uint32_t cap = names->cap; /* three lists grow alike: the last one counts */
    RG_GROW(pe->heap, names->old, names->n, cap);
    names->old[names->n] = t->name;
    cap = names->cap;
    RG_GROW(pe->heap, names->vars, names->n, cap);
    RG_GROW(pe->heap, names->names, names->n, names->cap);
    bool is_kept = names->keeps && !t->is_wildcard && !t->is_generated;
    names->vars[names->n] = t->var;
    names->names[names->n] = is_kept ? rg_name(&pe->out->names, mln_bytes_at(t->name->text, t->name->len)) : pe_fresh(pe)->name;
    if (is_kept) {
        RG_GROW(pe->heap, pe->asked, pe->asked_n, pe->asked_cap);
        pe->asked[pe->asked_n++] = names->names[names->n];
    }
    return names->names[names->n++];
}

static struct rg_term *shell(struct pe *pe, const struct rg_term *t)
{
    struct rg_term *out = rg_new(pe->heap, sizeof(*out));
    *out = *t;
    out->items = t->n == 0 ? NULL : rg_new(pe->heap, t->n * sizeof(*out->items) + 8);
    return out;
}

struct rg_term *pe_copy(struct pe *pe, struct pe_names *names, const struct rg_term *t)
{
    if (t == NULL) {
        return NULL;
    }
    struct rg_term *out = shell(pe, t);
    if (t->kind == RG_T_VAR && (t->var != NULL || (names->by_name && !is_document(t)))) {
        out->name = rename_var(pe, names, t);
        out->var = NULL;
        out->is_wildcard = out->is_generated = false;
        return out;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        bool is_operator = t->kind == RG_T_CALL && i == 0;
        out->items[i] = is_operator ? t->items[i] : pe_copy(pe, names, t->items[i]);
    }
    if (t->kind == RG_T_CALL && rg_call_is(t, "assign")) { /* names are new: nothing is shadowed any more */
        out->items[0] = rg_term_var(pe->heap, rg_name_of(&pe->out->names, "eq"), t->loc);
    }
    out->body = t->body == NULL ? NULL : pe_copy_body(pe, names, t->body);
    return out;
}

static struct rg_expr *copy_expr(struct pe *pe, struct pe_names *names, const struct rg_expr *e)
{
    struct rg_expr *out = pe_expr(pe, (enum rg_expr_kind)e->kind);
    *out = *e;
    out->term = e->term == NULL ? NULL : pe_copy(pe, names, e->term);
    out->terms = e->n == 0 && e->kind != RG_E_SOME_IN && e->kind != RG_E_EVERY ? NULL : rg_new(pe->heap, (e->n + 3) * sizeof(*out->terms));
    uint32_t terms = e->kind == RG_E_SOME_IN || e->kind == RG_E_EVERY ? 3 : e->kind == RG_E_SOME ? e->n : 0;
    for (uint32_t i = 0; i < terms; i++) {
        out->terms[i] = pe_copy(pe, names, e->terms[i]);
    }
    out->left = e->left == NULL ? NULL : pe_copy_body(pe, names, e->left);
    out->right = e->right == NULL ? NULL : pe_copy_body(pe, names, e->right);
    out->with = e->with_n == 0 ? NULL : rg_new(pe->heap, e->with_n * sizeof(*out->with));
    for (uint32_t i = 0; i < e->with_n; i++) {
        out->with[i] = (struct rg_with){e->with[i].target, pe_copy(pe, names, e->with[i].value), e->with[i].loc};
    }
    return out;
}

struct rg_body *pe_copy_body(struct pe *pe, struct pe_names *names, const struct rg_body *body)
{
    struct rg_body *out = rg_new(pe->heap, sizeof(*out));
    *out = (struct rg_body){.loc = body->loc};
    for (uint32_t i = 0; i < body->n; i++) {
        if (body->exprs[i]->kind != RG_E_SOME) { /* what it declares has its own name now */
            rg_body_add(pe->heap, out, copy_expr(pe, names, body->exprs[i]));
        }
    }
    return out;
}

/* ---- bindings written in ---- */

/* {"a": x}["a"], [x, y][1]: the item; NULL when that is not to be seen from here. */
static struct rg_term *item_of(const struct rg_term *composite, const struct rg_term *key)
{
    int64_t i = -1;
    if (key->kind != RG_T_VALUE) {
        return NULL;
    }
    if (composite->kind == RG_T_ARRAY) {
        bool is_there = rg_num_int(key->value, &i) && i >= 0 && i < (int64_t)composite->n;
        return is_there ? composite->items[i] : NULL;
    }
    for (uint32_t k = 0; composite->kind == RG_T_OBJECT && k + 1 < composite->n; k += 2) {
        if (composite->items[k]->kind != RG_T_VALUE) {
            return NULL;
        }
        if (rg_eq(composite->items[k]->value, key->value)) {
            return composite->items[k + 1];
        }
    }
    return NULL;
}

/* A ref whose head became a ref is one ref; into a composite that is written out, it is what stands there. */
static struct rg_term *flatten(struct pe *pe, struct rg_term *ref)
{
    struct rg_term *inside = ref->n > 1 ? item_of(ref->items[0], ref->items[1]) : NULL;
    if (inside != NULL && ref->n == 2) {
        return inside;
    }
    if (inside != NULL) {
        struct rg_term *shorter = shell(pe, ref);
        mln_copy(shorter->items, ref->items + 1, (ref->n - 1) * sizeof(*ref->items));
        shorter->items[0] = inside;
        shorter->n = ref->n - 1;
        return flatten(pe, shorter);
    }
    const struct rg_term *head = ref->items[0];
    if (head->kind != RG_T_REF) {
        return ref;
    }
    struct rg_term *out = shell(pe, ref);
    out->items = rg_new(pe->heap, (head->n + ref->n) * sizeof(*out->items));
    mln_copy(out->items, head->items, head->n * sizeof(*out->items));
    mln_copy(out->items + head->n, ref->items + 1, (ref->n - 1) * sizeof(*out->items));
    out->n = head->n + ref->n - 1;
    return out;
}

static struct rg_body *plug_body(struct pe *pe, const struct rg_body *body)
{
    struct rg_body *out = rg_new(pe->heap, sizeof(*out));
    *out = (struct rg_body){.loc = body->loc};
    for (uint32_t i = 0; i < body->n; i++) {
        rg_body_add(pe->heap, out, pe_plug_expr(pe, body->exprs[i]));
    }
    return out;
}

struct rg_term *pe_plug(struct pe *pe, const struct rg_term *t)
{
    if (t == NULL || rg_heap_is_over(pe->heap)) { /* values in values grow by themselves: the next step ends it */
        return (struct rg_term *)(uintptr_t)t;
    }
    if (t->kind == RG_T_VAR) {
        const struct pe_binding *b = is_document(t) ? NULL : pe_binding_of(pe, t->name);
        return b == NULL || b->value == NULL ? shell(pe, t) : pe_plug(pe, b->value);
    }
    struct rg_term *out = shell(pe, t);
    for (uint32_t i = 0; i < t->n; i++) {
        out->items[i] = t->kind == RG_T_CALL && i == 0 ? t->items[i] : pe_plug(pe, t->items[i]);
    }
    out->body = t->body == NULL ? NULL : plug_body(pe, t->body);
    return t->kind == RG_T_REF ? flatten(pe, out) : out;
}

struct rg_expr *pe_plug_expr(struct pe *pe, const struct rg_expr *e)
{
    struct rg_expr *out = pe_expr(pe, (enum rg_expr_kind)e->kind);
    *out = *e;
    out->term = pe_plug(pe, e->term);
    uint32_t terms = e->kind == RG_E_SOME_IN || e->kind == RG_E_EVERY ? 3 : 0;
    out->terms = terms == 0 ? e->terms : rg_new(pe->heap, terms * sizeof(*out->terms));
    for (uint32_t i = 0; i < terms; i++) {
        out->terms[i] = pe_plug(pe, e->terms[i]);
    }
    out->left = e->left == NULL ? NULL : plug_body(pe, e->left);
    out->right = e->right == NULL ? NULL : plug_body(pe, e->right);
    out->with = e->with_n == 0 ? NULL : rg_new(pe->heap, e->with_n * sizeof(*out->with));
    for (uint32_t i = 0; i < e->with_n; i++) {
        out->with[i] = (struct rg_with){e->with[i].target, pe_plug(pe, e->with[i].value), e->with[i].loc};
    }
    return out;
}

/* ---- dependence ---- */

/* Is one of the two a prefix of the other? What is no constant may be anything. */
static bool overlaps(const struct rg_term *unknown, const struct rg_term *ref)
{
    if (unknown->items[0]->name == NULL || ref->items[0]->kind != RG_T_VAR ||
        !mln_bytes_is(mln_bytes_at(ref->items[0]->name->text, ref->items[0]->name->len), unknown->items[0]->name->text)) {
        return false;
    }
    for (uint32_t i = 1; i < unknown->n && i < ref->n; i++) {
        if (ref->items[i]->kind == RG_T_VALUE && !rg_eq(ref->items[i]->value, unknown->items[i]->value)) {
            return false;
        }
    }
    return true;
}

bool pe_is_unknown(const struct pe *pe, const struct rg_term *ref)
{
    for (uint32_t i = 0; i < pe->unknowns_n; i++) {
        if (overlaps(pe->unknowns[i], ref)) {
            return true;
        }
    }
    return false;
}

static bool node_depends(struct pe *pe, const struct rg_node *node)
{
    if (node->group != NULL && pe_group_depends(pe, node->group)) {
        return true;
    }
    for (uint32_t i = 0; i < node->n; i++) {
        if (node_depends(pe, node->kids[i])) {
            return true;
        }
    }
    return false;
}

/* data.partial..: a rule of support, which is known when the query is evaluated. */
static bool is_support(const struct pe *pe, const struct rg_term *ref)
{
    struct rg_val v = ref->n > 1 && ref->items[1]->kind == RG_T_VALUE ? ref->items[1]->value : RG_NONE;
    bool has_any = pe->supported_n > 0 || pe->nots > 0;
    return has_any && v.tag == RG_STR && mln_bytes_is(rg_bytes(v), "partial") && rg_name_is(ref->items[0]->name, "data");
}

static bool document_depends(struct pe *pe, const struct rg_term *ref)
{
    uint32_t used = 0;
    if (is_support(pe, ref)) {
        return true;
    }
    struct rg_node *node = rg_name_is(ref->items[0]->name, "data") ? rg_ref_node(&pe->look, ref, &used) : NULL;
    return (node != NULL && node_depends(pe, node)) || pe_is_unknown(pe, ref);
}

static bool call_depends(struct pe *pe, const struct rg_term *call)
{
    struct rg_callee callee = rg_callee_of(&pe->look, call->items[0]);
    if (callee.decl != NULL) {
        return (callee.decl->flags & RG_NONDETERMINISTIC) != 0;
    }
    return callee.group != NULL && pe_group_depends(pe, callee.group);
}

static bool body_depends(struct pe *pe, const struct rg_body *body)
{
    for (uint32_t i = 0; body != NULL && i < body->n; i++) {
        if (pe_expr_depends(pe, body->exprs[i])) {
            return true;
        }
    }
    return false;
}

bool pe_depends(struct pe *pe, const struct rg_term *t)
{
    if (t == NULL || t->kind == RG_T_VALUE) {
        return false;
    }
    if (t->kind == RG_T_VAR) {
        if (is_document(t)) {
            struct rg_term *items[] = {(struct rg_term *)(uintptr_t)t};
            struct rg_term ref = {.kind = RG_T_REF, .n = 1, .items = items};
            return document_depends(pe, &ref);
        }
        const struct pe_binding *b = pe_binding_of(pe, t->name);
        return b != NULL && (b->value == NULL || pe_depends(pe, b->value));
    }
    if ((t->kind == RG_T_CALL && call_depends(pe, t)) || body_depends(pe, t->body)) {
        return true;
    }
    bool is_document_ref = t->kind == RG_T_REF && is_document(t->items[0]);
    if (is_document_ref && document_depends(pe, t)) {
        return true;
    }
    for (uint32_t i = t->kind == RG_T_CALL || is_document_ref ? 1 : 0; i < t->n; i++) {
        if (pe_depends(pe, t->items[i])) {
            return true;
        }
    }
    return false;
}

bool pe_expr_depends(struct pe *pe, const struct rg_expr *e)
{
    bool depends = pe_depends(pe, e->term) || body_depends(pe, e->left) || body_depends(pe, e->right);
    for (uint32_t i = 0; !depends && (e->kind == RG_E_SOME_IN || e->kind == RG_E_EVERY) && i < 3; i++) {
        depends = pe_depends(pe, e->terms[i]);
    }
    for (uint32_t i = 0; !depends && i < e->with_n; i++) {
        depends = pe_depends(pe, e->with[i].value);
    }
    return depends;
}

static bool rule_depends(struct pe *pe, const struct rg_rule *r)
{
    for (; r != NULL; r = r->otherwise) {
        if (body_depends(pe, r->body) || pe_depends(pe, r->value) || pe_depends(pe, r->key)) {
            return true;
        }
        for (uint32_t i = 1; i < r->ref->n; i++) {
            if (pe_depends(pe, r->ref->items[i])) {
                return true;
            }
        }
    }
    return false;
}

bool pe_group_depends(struct pe *pe, const struct rg_group *group)
{
    uint8_t *mark = &pe->depends[group->id];
    if (*mark == 1 || *mark == 3) {
        return false; /* there are no cycles that evaluate */
    }
    if (*mark == 2) {
        return true;
    }
    *mark = 3;
    bool depends = group->fallback != NULL && rule_depends(pe, group->fallback);
    for (uint32_t i = 0; !depends && i < group->n; i++) {
        depends = rule_depends(pe, group->rules[i]);
    }
    *mark = depends ? 2 : 1;
    return depends;
}
