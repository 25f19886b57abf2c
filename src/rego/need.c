/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which expressions can be evaluated now. Keys of refs may be unbound: they are walked over and bound. All else needs its
 * variables bound. An attempt marks what it would bind with c->stamp; only the code generator binds for good.
 */
#include "rego/compile_priv.h"

bool rg_is_bound(const struct rg_compiler *c, const struct rg_var *v)
{
    return v->is_bound || v->stamp == c->stamp;
}

void rg_attempt(struct rg_compiler *c)
{
    c->stamp++;
    c->trail_n = 0;
}

bool rg_is_root(const struct rg_term *t, const char *name)
{
    return t->kind == RG_T_VAR && t->var == NULL && rg_name_is(t->name, name);
}

struct rg_node *rg_ref_node(const struct rg_compiler *c, const struct rg_term *ref,
                            uint32_t *ret_used)
{
    const struct rg_term *head = ref->kind == RG_T_REF ? ref->items[0] : ref;
    if (!rg_is_root(head, "data") || c->policy->root == NULL) {
        return NULL;
    }
    struct rg_node *node = c->policy->root;
    uint32_t i = 1;
    for (; ref->kind == RG_T_REF && i < ref->n && node->group == NULL; i++) {
        const struct rg_term *key = ref->items[i];
        if (key->kind != RG_T_VALUE) {
            break;
        }
        struct rg_node *kid = rg_node_kid(node, key->value);
        if (kid == NULL) {
            return NULL;
        }
        node = kid;
    }
    *ret_used = i;
    return node;
}

/* A call names its function down to the last key, past groups. */
static struct rg_group *function_of(const struct rg_compiler *c, const struct rg_term *op)
{
    if (op->kind != RG_T_REF || !rg_is_root(op->items[0], "data")) {
        return NULL;
    }
    const struct rg_node *node = c->policy->root;
    for (uint32_t i = 1; node != NULL && i < op->n; i++) {
        node = op->items[i]->kind == RG_T_VALUE ? rg_node_kid(node, op->items[i]->value) : NULL;
    }
    return node == NULL ? NULL : node->group;
}

struct rg_callee rg_callee_of(const struct rg_compiler *c, const struct rg_term *op)
{
    struct rg_callee callee = {.group = function_of(c, op)};
    if (callee.group != NULL) {
        callee.arity = callee.group->kind == RG_G_FUNCTION ? callee.group->arity : 0;
        return callee;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf name = {0};
    rg_print_term(&name, op);
    callee.decl = rg_decl_find(mln_buf_bytes(&name));
    if (callee.decl != NULL && c->policy->allowed != NULL && !c->policy->allowed[callee.decl - rg_decl_at(0)]) {
        callee.decl = NULL;
    }
    callee.arity = callee.decl == NULL ? 0 : callee.decl->arity;
    return callee;
}

/* Of a closure: what is bound outside must be bound now. Deeper scopes are its own. */
struct outer {
    struct rg_compiler *c;
    uint32_t depth;
    bool is_free;
};

static void see_outer(void *with, struct rg_term *t)
{
    struct outer *o = with;
    if (t->var != NULL && t->var->depth <= o->depth && !t->var->is_wildcard &&
        !rg_is_bound(o->c, t->var)) {
        o->is_free = true;
    }
}

/* An attempt that fails must not leave marks. */
static bool tried(struct rg_compiler *c, struct rg_term *t,
                  bool (*can)(struct rg_compiler *, struct rg_term *))
{
    uint32_t mark = c->trail_n;
    bool ok = can(c, t);
    while (!ok && c->trail_n > mark) {
        c->trail[--c->trail_n]->stamp = 0;
    }
    return ok;
}

/* Until nothing more can be done: some items bind what others need. */
static bool each(struct rg_compiler *c, struct rg_term **items, uint32_t n,
                 bool (*can)(struct rg_compiler *, struct rg_term *))
{
    uint64_t done = 0;
    uint32_t left = n;
    for (bool moved = true; moved && left > 0;) {
        moved = false;
        for (uint32_t i = 0; i < n; i++) {
            bool was = i < 64 && (done >> i & 1);
            if (!was && tried(c, items[i], can)) {
                done |= i < 64 ? UINT64_C(1) << i : 0;
                moved = i < 64 || moved;
                left--;
            } else if (!was && i >= 64) {
                return false;
            }
        }
        if (n > 64) {
            return left == 0;
        }
    }
    return left == 0;
}

static bool can_close(struct rg_compiler *c, struct rg_term *t)
{
    struct outer o = {.c = c, .depth = c->depth};
    rg_walk_all(t, see_outer, &o);
    return !o.is_free;
}

static bool can_ref(struct rg_compiler *c, struct rg_term *t)
{
    struct rg_term *head = t->items[0];
    if (head->kind != RG_T_VAR || head->var != NULL) {
        if (!rg_can_eval(c, head)) {
            return false;
        }
    }
    for (uint32_t i = 1; i < t->n; i++) {
        if (!rg_can_match(c, t->items[i])) {
            return false;
        }
    }
    return true;
}

bool rg_can_eval(struct rg_compiler *c, struct rg_term *t)
{
    if (t->is_name) {
        return true;
    }
    switch ((enum rg_kind)t->kind) {
    case RG_T_VALUE:
        return true;
    case RG_T_VAR:
        return t->var == NULL || rg_is_bound(c, t->var);
    case RG_T_REF:
        return can_ref(c, t);
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
    case RG_T_TEMPLATE:
        return can_close(c, t);
    case RG_T_CALL:
        return each(c, t->items + 1, t->n - 1, rg_can_eval);
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
        return each(c, t->items, t->n, rg_can_eval);
    }
    return false;
}

static void bind_var(struct rg_compiler *c, struct rg_var *var)
{
    if (!rg_is_bound(c, var)) {
        RG_GROW(c->heap, c->trail, c->trail_n, c->trail_cap);
        c->trail[c->trail_n++] = var;
        var->stamp = c->stamp;
    }
}

bool rg_can_match(struct rg_compiler *c, struct rg_term *t)
{
    if (t->kind == RG_T_VAR && t->var != NULL) {
        bind_var(c, t->var);
        return true;
    }
    if (t->kind == RG_T_ARRAY) {
        return each(c, t->items, t->n, rg_can_match);
    }
    if (t->kind != RG_T_OBJECT) {
        return rg_can_eval(c, t);
    }
    for (uint32_t i = 0; i < t->n; i += 2) {
        if (!rg_can_eval(c, t->items[i]) || !rg_can_match(c, t->items[i + 1])) {
            return false;
        }
    }
    return true;
}

static bool unify_items(struct rg_compiler *c, struct rg_term *a, struct rg_term *b)
{
    bool moved = true;
    uint32_t left = a->n;
    uint64_t done = 0;
    if (a->kind != b->kind || a->n != b->n || a->n > 64 ||
        (a->kind != RG_T_ARRAY && a->kind != RG_T_OBJECT)) {
        return false;
    }
    while (moved && left > 0) {
        moved = false;
        for (uint32_t i = 0; i < a->n; i++) {
            if (!(done >> i & 1) && rg_can_unify(c, a->items[i], b->items[i])) {
                done |= UINT64_C(1) << i;
                left--;
                moved = true;
            }
        }
    }
    return left == 0;
}

static bool is_list(const struct rg_term *t)
{
    return t->kind == RG_T_ARRAY || t->kind == RG_T_OBJECT;
}

/* A pattern and what is written out and no such thing: nothing in it is bound, as in OPA. */
static bool never_match(const struct rg_term *a, const struct rg_term *b)
{
    bool literal = b->kind == RG_T_VALUE || b->kind == RG_T_SET || is_list(b);
    return is_list(a) && literal && (a->kind != b->kind || a->n != b->n);
}

bool rg_can_unify(struct rg_compiler *c, struct rg_term *a, struct rg_term *b)
{
    if (never_match(a, b) || never_match(b, a)) {
        return tried(c, a, rg_can_eval) && rg_can_eval(c, b);
    }
    if (a->kind == RG_T_ARRAY && b->kind == RG_T_ARRAY && a->n <= 64) {
        return unify_items(c, a, b);
    }
    if (tried(c, a, rg_can_eval)) {
        return rg_can_match(c, b);
    }
    if (tried(c, b, rg_can_eval)) {
        return rg_can_match(c, a);
    }
    return unify_items(c, a, b);
}

static bool can_call(struct rg_compiler *c, struct rg_term *t)
{
    struct rg_callee callee = rg_callee_of(c, t->items[0]);
    bool known = callee.decl != NULL || callee.group != NULL;
    uint32_t n = t->n - 1;
    if (!known || n != callee.arity + 1) {
        return rg_can_eval(c, t);
    }
    return each(c, t->items + 1, n - 1, rg_can_eval) && rg_can_match(c, t->items[n]);
}

static bool can_close_body(struct rg_compiler *c, struct rg_body *body)
{
    struct outer o = {.c = c, .depth = c->depth};
    rg_walk_body_all(body, see_outer, &o);
    return !o.is_free;
}

static bool can_not(struct rg_compiler *c, struct rg_expr *e)
{
    if (e->is_closure) {
        return can_close_body(c, e->left);
    }
    struct outer o = {.c = c, .depth = c->depth};
    rg_walk_body_all(e->left, see_outer, &o);
    return !o.is_free;
}

bool rg_can_run(struct rg_compiler *c, struct rg_expr *e)
{
    for (uint32_t i = 0; i < e->with_n; i++) {
        if (!rg_can_eval(c, e->with[i].value)) {
            return false;
        }
    }
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        if (rg_call_is(e->term, "print")) {
            return c->all_but_print == 0;
        }
        if (rg_call_is(e->term, "eq") || rg_call_is(e->term, "assign")) {
            return e->term->n == 3 && rg_can_unify(c, e->term->items[1], e->term->items[2]);
        }
        return e->term->kind == RG_T_CALL ? can_call(c, e->term) : rg_can_eval(c, e->term);
    case RG_E_SOME:
        return true;
    case RG_E_SOME_IN:
        return rg_can_eval(c, e->terms[2]) &&
               (e->terms[0] == NULL || rg_can_match(c, e->terms[0])) &&
               rg_can_match(c, e->terms[1]);
    case RG_E_EVERY:
        return rg_can_eval(c, e->terms[2]) && can_close_body(c, e->left);
    case RG_E_NOT:
        return can_not(c, e);
    case RG_E_AND:
    case RG_E_OR:
        return can_close_body(c, e->left) && can_close_body(c, e->right);
    case RG_E_BLOCK:
        return can_close_body(c, e->left);
    }
    return false;
}

bool rg_expr_ready(struct rg_compiler *c, struct rg_expr *e)
{
    rg_attempt(c);
    bool ok = rg_can_run(c, e);
    rg_attempt(c);
    return ok;
}

struct unsafe {
    struct rg_compiler *c;
    struct rg_term *first[8];
    struct rg_loc at[8]; /* of the expressions */
    struct rg_loc loc;
    uint32_t n;
};

static void see_unsafe(void *with, struct rg_term *t)
{
    struct unsafe *u = with;
    bool outside = t->var == NULL || t->var->is_bound || t->var->depth > u->c->depth;
    if (outside || u->n == MLN_COUNT(u->first)) {
        return;
    }
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->first[i]->var == t->var) {
            return;
        }
    }
    u->at[u->n] = u->loc;
    u->first[u->n++] = t;
}

/* A variable that a waiting expression would bind is not the cause. */
static void see_bound_later(void *with, struct rg_term *t)
{
    struct unsafe *u = with;
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->first[i]->var == t->var) {
            u->first[i] = u->first[--u->n];
            u->at[i] = u->at[u->n];
            return;
        }
    }
}

const char *rg_in_rule(const struct rg_compiler *c)
{
    const struct rg_rule *rule = c->rule;
    for (uint32_t i = 0; rule != NULL && i < rule->module->rules_n; i++) {
        const struct rg_rule *other = rule->module->rules[i];
        bool same_line = other != rule && other->loc.row == rule->loc.row;
        if (same_line && !mln_bytes_eq(mln_bytes_of(rg_term_text(c->heap, other->ref)),
                                       mln_bytes_of(rg_term_text(c->heap, rule->ref)))) {
            return rg_text_format(c->heap, " in rule %s", rg_term_text(c->heap, rule->ref));
        }
    }
    return "";
}

static void sort_by_place(struct unsafe *u)
{
    for (uint32_t i = 1; i < u->n; i++) {
        for (uint32_t k = i; k > 0 && u->first[k]->loc.from < u->first[k - 1]->loc.from; k--) {
            struct rg_loc at = u->at[k];
            u->at[k] = u->at[k - 1];
            u->at[k - 1] = at;
            struct rg_term *t = u->first[k];
            u->first[k] = u->first[k - 1];
            u->first[k - 1] = t;
        }
    }
}

void rg_report_unsafe(struct rg_compiler *c, struct rg_expr *const *exprs, uint32_t n)
{
    struct unsafe all = {.c = c};
    for (uint32_t i = 0; i < n; i++) {
        all.loc = exprs[i]->loc;
        rg_walk_expr_all(exprs[i], see_unsafe, &all);
    }
    struct unsafe u = all;
    for (uint32_t i = 0; i < n; i++) {
        const struct rg_term *t = exprs[i]->kind == RG_E_TERM ? exprs[i]->term : NULL;
        if (t != NULL && t->n == 3 && (rg_call_is(t, "assign") || rg_call_is(t, "eq"))) {
            rg_walk_term(t->items[1], see_bound_later, &u);
        }
    }
    u = u.n == 0 ? all : u;
    sort_by_place(&u);
    for (uint32_t i = 0; i < u.n; i++) {
        rg_report(c->errors, "rego_unsafe_var_error", u.at[i], "var %s is unsafe%s",
                  u.first[i]->name->text, rg_in_rule(c));
    }
    if (u.n == 0 && n > 0) {
        rg_report(c->errors, "rego_unsafe_var_error", exprs[0]->loc, "expression is unsafe%s",
                  rg_in_rule(c));
    }
}
