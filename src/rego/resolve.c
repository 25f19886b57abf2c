/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What names mean. A name is what the nearest body declares (":=", some, arguments), or a rule of the package or an import,
 * or else a variable of the outermost body in which it stands. Names of rules and imports become refs in place.
 */
#include "rego/compile_priv.h"

static void resolve_body(struct rg_compiler *c, struct rg_body *body, struct rg_term *const *heads,
                         uint32_t n);
static void resolve_term(struct rg_compiler *c, struct rg_term *t);
static void check_used(struct rg_compiler *c, const struct rg_scope *s);
static uint32_t error_count(const struct rg_compiler *c);

static struct rg_var *var_new(struct rg_compiler *c, const struct rg_term *t)
{
    struct rg_var *v = rg_new(c->heap, sizeof(*v));
    *v = (struct rg_var){
        .name = t->name, .loc = t->loc, .depth = c->scope->depth, .is_wildcard = t->is_wildcard};
    return v;
}

static void scope_add(struct rg_compiler *c, struct rg_scope *s, struct rg_var *v)
{
    RG_GROW(c->heap, s->vars, s->n, s->cap);
    s->vars[s->n++] = v;
}

static struct rg_var *scope_find(const struct rg_scope *s, const struct rg_str *name)
{
    for (uint32_t i = s->n; i > 0; i--) {
        if (s->vars[i - 1]->name == name) {
            return s->vars[i - 1];
        }
    }
    return NULL;
}

static bool is_pending(const struct rg_scope *s, const struct rg_str *name)
{
    for (uint32_t i = 0; i < s->pending_n; i++) {
        if (s->pending[i] == name) {
            return true;
        }
    }
    return false;
}

static const struct rg_str *alias_of(const struct rg_import *import)
{
    if (import->alias != NULL) {
        return import->alias;
    }
    const struct rg_term *last = import->path->items[import->path->n - 1];
    return last->kind == RG_T_VAR ? last->name : last->value.tag == RG_STR ? last->value.str : NULL;
}

static bool is_language(const struct rg_import *import)
{
    const struct rg_str *head = import->path->items[0]->name;
    return rg_name_is(head, "rego") || rg_name_is(head, "future");
}

static struct rg_import *find_import(struct rg_compiler *c, const struct rg_str *name)
{
    for (uint32_t i = 0; c->module != NULL && i < c->module->imports_n; i++) {
        struct rg_import *import = &c->module->imports[i];
        const struct rg_str *alias = is_language(import) ? NULL : alias_of(import);
        if (alias != NULL && mln_bytes_eq(mln_bytes_at(alias->text, alias->len),
                                          mln_bytes_at(name->text, name->len))) {
            import->is_used = true;
            return import;
        }
    }
    return NULL;
}

static struct rg_val text_of(const struct rg_str *s)
{
    return (struct rg_val){.tag = RG_STR, .hash = s->hash, .str = s};
}

/* The ref that a global name stands for; NULL when it is no global. */
static struct rg_term *global_ref(struct rg_compiler *c, const struct rg_term *t)
{
    struct rg_node *kid = c->package == NULL ? NULL : rg_node_kid(c->package, text_of(t->name));
    if (kid != NULL && kid->is_rule) {
        const struct rg_arr *path = kid->path.arr;
        struct rg_term *ref = rg_term_list(c->heap, RG_T_REF, t->loc, NULL, 0);
        ref->items = rg_new(c->heap, (path->len + 1) * sizeof(*ref->items));
        ref->items[ref->n++] = rg_term_var(c->heap, rg_name_of(c->names, "data"), t->loc);
        for (uint32_t i = 0; i < path->len; i++) {
            ref->items[ref->n++] = rg_term_value(c->heap, path->items[i], t->loc);
        }
        return ref;
    }
    struct rg_import *import = find_import(c, t->name);
    return import == NULL ? NULL : import->path;
}

static bool is_document(const struct rg_term *t)
{
    return rg_name_is(t->name, "data") || rg_name_is(t->name, "input");
}

/* A variable of a scope around, made unless it is a global. NULL: a global or a document. */
static struct rg_var *find_var(struct rg_compiler *c, const struct rg_term *t)
{
    for (struct rg_scope *s = c->scope; s != NULL; s = s->up) {
        struct rg_var *v = scope_find(s, t->name);
        if (v != NULL) {
            return v;
        }
        if (s == c->scope && is_pending(s, t->name)) {
            v = var_new(c, t); /* the declaration is told to come too late */
            scope_add(c, s, v);
            return v;
        }
    }
    return NULL;
}

static struct rg_var *implicit(struct rg_compiler *c, const struct rg_term *t)
{
    struct rg_var *v = var_new(c, t);
    scope_add(c, c->scope, v);
    return v;
}

static void become_ref(struct rg_compiler *c, struct rg_term *t, const struct rg_term *global)
{
    uint32_t keys = t->kind == RG_T_REF ? t->n - 1 : 0;
    struct rg_term **items = rg_new(c->heap, (global->n + keys) * sizeof(*items));
    mln_copy(items, global->items, global->n * sizeof(*items));
    if (keys > 0) {
        mln_copy(items + global->n, t->items + 1, keys * sizeof(*items));
    }
    if (global->n + keys == 1) { /* an import of input or data itself */
        t->kind = RG_T_VAR;
        t->name = global->items[0]->name;
        return;
    }
    t->kind = RG_T_REF;
    t->items = items;
    t->n = global->n + keys;
}

static void resolve_var(struct rg_compiler *c, struct rg_term *t)
{
    if (t->is_wildcard) {
        t->var = var_new(c, t);
        return;
    }
    t->var = find_var(c, t);
    if (t->var == NULL) {
        struct rg_term *global = global_ref(c, t);
        if (global != NULL) {
            become_ref(c, t, global);
        } else if (!is_document(t)) {
            t->var = implicit(c, t);
        }
    }
    if (t->var != NULL) {
        t->var->is_used = true;
    }
}

static void resolve_ref(struct rg_compiler *c, struct rg_term *t)
{
    struct rg_term *head = t->items[0];
    uint32_t n = t->n;
    if (head->kind == RG_T_VAR && !head->is_wildcard) {
        struct rg_var *v = find_var(c, head);
        struct rg_term *global = v == NULL ? global_ref(c, head) : NULL;
        if (global != NULL) {
            become_ref(c, t, global);
        } else if (v != NULL) {
            head->var = v;
            v->is_used = true;
        } else if (!is_document(head)) {
            head->var = implicit(c, head);
        }
    } else {
        resolve_term(c, head);
    }
    for (uint32_t i = t->n - (n - 1); t->kind == RG_T_REF && i < t->n; i++) {
        resolve_term(c, t->items[i]);
    }
}

/* The operator of a call: a function of this package or an import, or the name of a builtin. */
static void resolve_operator(struct rg_compiler *c, struct rg_term *op)
{
    struct rg_term *head = op->kind == RG_T_REF ? op->items[0] : op;
    if (is_document(head)) {
        return;
    }
    struct rg_term *global = global_ref(c, head);
    if (global != NULL) {
        become_ref(c, op, global);
    }
}

static void resolve_closure(struct rg_compiler *c, struct rg_body *body,
                            struct rg_term *const *heads, uint32_t n)
{
    struct rg_scope inner = {.up = c->scope, .depth = (uint16_t)(c->scope->depth + 1)};
    c->scope = &inner;
    resolve_body(c, body, heads, n);
    check_used(c, &inner);
    c->scope = inner.up;
}

static void resolve_term(struct rg_compiler *c, struct rg_term *t)
{
    switch (t == NULL ? RG_T_VALUE : (enum rg_kind)t->kind) {
    case RG_T_VALUE:
        return;
    case RG_T_VAR:
        resolve_var(c, t);
        return;
    case RG_T_REF:
        resolve_ref(c, t);
        return;
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
        resolve_closure(c, t->body, t->items, t->n);
        return;
    case RG_T_CALL:
        resolve_operator(c, t->items[0]);
        break;
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
    case RG_T_TEMPLATE:
        break;
    }
    if (t->body != NULL) { /* a part of a template that has a `with` */
        resolve_closure(c, t->body, t->items, t->n);
        return;
    }
    for (uint32_t i = t->kind == RG_T_CALL ? 1 : 0; i < t->n; i++) {
        resolve_term(c, t->items[i]);
    }
}

/* ---- declarations ---- */
static void declare(struct rg_compiler *c, struct rg_term *t, const char *how)
{
    if (t->is_wildcard) {
        t->var = var_new(c, t);
        return;
    }
    bool guarded = c->module != NULL && (c->module->is_v1 || c->policy->options.is_strict);
    if (is_document(t) && guarded) {
        rg_report(c->soft != NULL ? c->soft : c->errors, "rego_compile_error", t->loc,
                  "variables must not shadow %s (use a different variable name)", t->name->text);
        c->rule_errors++;
    }
    struct rg_var *had = scope_find(c->scope, t->name);
    if (had != NULL && !had->is_wildcard) {
        bool is_some = how[0] == 'd' && c->at.row != 0;
        rg_report(c->errors, "rego_compile_error", is_some ? c->at : t->loc, "var %s %s above", t->name->text,
                  had->is_declared ? how : "referenced");
    }
    struct rg_scope *s = c->scope;
    for (uint32_t i = 0; i < s->pending_n; i++) {
        if (s->pending[i] == t->name) {
            s->pending[i] = s->pending[--s->pending_n];
            break;
        }
    }
    t->var = var_new(c, t);
    t->var->is_declared = true;
    t->var->is_assigned = how[0] == 'a';
    t->var->is_walked = how[0] == 's' && how[1] == 'o';
    t->var->loc = c->at.row != 0 ? c->at : t->loc;
    scope_add(c, s, t->var);
}

/* Variables of a pattern; keys of objects and what is no pattern are resolved as terms. */
static void declare_pattern(struct rg_compiler *c, struct rg_term *t, const char *how)
{
    if (t == NULL) {
        return;
    }
    if (t->kind == RG_T_VAR) {
        if (scope_find(c->scope, t->name) != NULL && !is_pending(c->scope, t->name) &&
            how[0] == 's') {
            resolve_var(c, t); /* the same name twice in one pattern */
            return;
        }
        declare(c, t, how);
    } else if (t->kind == RG_T_ARRAY || t->kind == RG_T_OBJECT) {
        for (uint32_t i = 0; i < t->n; i++) {
            if (t->kind == RG_T_OBJECT && i % 2 == 0) {
                resolve_term(c, t->items[i]);
            } else {
                declare_pattern(c, t->items[i], how);
            }
        }
    } else {
        resolve_term(c, t);
    }
}

static void see_pending(void *with, struct rg_term *t)
{
    struct rg_compiler *c = with;
    struct rg_scope *s = c->scope;
    if (!t->is_wildcard && !is_pending(s, t->name)) {
        RG_GROW(c->heap, s->pending, s->pending_n, s->pending_cap);
        s->pending[s->pending_n++] = t->name;
    }
}

static void pend_pattern(struct rg_compiler *c, struct rg_term *t)
{
    if (t == NULL) {
        return;
    }
    if (t->kind == RG_T_VAR) {
        see_pending(c, t);
    }
    for (uint32_t i = 0; (t->kind == RG_T_ARRAY || t->kind == RG_T_OBJECT) && i < t->n; i++) {
        if (t->kind == RG_T_ARRAY || i % 2 == 1) {
            pend_pattern(c, t->items[i]);
        }
    }
}

static void pend(struct rg_compiler *c, struct rg_expr *e)
{
    if (e->kind == RG_E_SOME) {
        for (uint32_t i = 0; i < e->n; i++) {
            see_pending(c, e->terms[i]);
        }
    } else if (e->kind == RG_E_SOME_IN) {
        pend_pattern(c, e->terms[0]);
        pend_pattern(c, e->terms[1]);
    } else if (e->kind == RG_E_TERM && rg_call_is(e->term, "assign")) {
        pend_pattern(c, e->term->items[1]);
    }
}

/* A name that stands directly in this body: its variable belongs here, unless it is declared or known around. */
static void see_direct(void *with, struct rg_term *t)
{
    struct rg_compiler *c = with;
    if (t->is_wildcard || is_document(t)) {
        return;
    }
    for (struct rg_scope *s = c->scope; s != NULL; s = s->up) {
        if (scope_find(s, t->name) != NULL || (s == c->scope && is_pending(s, t->name))) {
            return;
        }
    }
    if (global_ref(c, t) == NULL) {
        (void)implicit(c, t);
    }
}

static void resolve_expr(struct rg_compiler *c, struct rg_expr *e)
{
    c->at = e->loc;
    for (uint32_t i = 0; i < e->with_n; i++) {
        if (e->with[i].value->is_name) {
            resolve_operator(c, e->with[i].value);
        } else {
            resolve_term(c, e->with[i].value);
        }
        resolve_operator(c, e->with[i].target);
    }
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        if (rg_call_is(e->term, "assign")) {
            resolve_term(c, e->term->items[2]);
            declare_pattern(c, e->term->items[1], "assigned");
        } else {
            resolve_term(c, e->term);
        }
        return;
    case RG_E_SOME:
        for (uint32_t i = 0; i < e->n; i++) {
            declare(c, e->terms[i], "declared");
        }
        return;
    case RG_E_SOME_IN:
        resolve_term(c, e->terms[2]);
        declare_pattern(c, e->terms[0], "some");
        declare_pattern(c, e->terms[1], "some");
        return;
    case RG_E_EVERY: {
        resolve_term(c, e->terms[2]);
        struct rg_scope inner = {.up = c->scope, .depth = (uint16_t)(c->scope->depth + 1)};
        c->scope = &inner;
        c->at = e->left->n > 0 ? e->left->exprs[0]->loc : e->loc;
        declare_pattern(c, e->terms[0], "declared");
        declare_pattern(c, e->terms[1], "declared");
        resolve_closure(c, e->left, NULL, 0);
        check_used(c, &inner);
        c->scope = inner.up;
        return;
    }
    case RG_E_NOT:
        if (!e->is_closure) {
            for (uint32_t i = 0; i < e->left->n; i++) {
                resolve_expr(c, e->left->exprs[i]);
            }
            return;
        }
        resolve_closure(c, e->left, NULL, 0);
        return;
    case RG_E_AND:
    case RG_E_OR:
        resolve_closure(c, e->right, NULL, 0);
        resolve_closure(c, e->left, NULL, 0);
        return;
    case RG_E_BLOCK:
        resolve_closure(c, e->left, NULL, 0);
        return;
    }
}

static void resolve_body(struct rg_compiler *c, struct rg_body *body, struct rg_term *const *heads,
                         uint32_t n)
{
    for (uint32_t i = 0; i < body->n; i++) {
        pend(c, body->exprs[i]);
    }
    for (uint32_t i = 0; i < body->n; i++) {
        rg_walk_expr(body->exprs[i], see_direct, c);
    }
    for (uint32_t i = 0; i < n; i++) {
        rg_walk_term(heads[i], see_direct, c);
    }
    for (uint32_t i = 0; i < body->n; i++) {
        resolve_expr(c, body->exprs[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        resolve_term(c, heads[i]);
    }
}

void rg_enter_rule(struct rg_compiler *c, struct rg_rule *rule)
{
    c->module = rule->module;
    c->rule = rule;
    c->package = rg_node_package(c->policy, rule->module->package, false);
}

static void see_arg(void *with, struct rg_term *t)
{
    struct rg_var *v = scope_find(with, t->name);
    if (v != NULL) {
        v->is_used = true;
    }
}

/* Arguments that an `else` speaks of are used. */
static void mark_args(struct rg_scope *args, struct rg_rule *r)
{
    rg_walk_body_all(r->body, see_arg, args);
    rg_walk_all(r->value, see_arg, args);
}

static uint32_t error_count(const struct rg_compiler *c)
{
    return c->errors->n + (c->soft != NULL ? c->soft->n : 0);
}

static uint32_t report_unused(struct rg_compiler *c, const struct rg_scope *s, bool is_assigned)
{
    uint32_t before = error_count(c);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct rg_var *v = s->vars[i];
        bool counts = v->is_declared && !v->is_arg && !v->is_walked && !v->is_wildcard;
        if (counts && !v->is_used && v->is_assigned == is_assigned) {
            rg_report(c->soft, "rego_compile_error", v->loc, "%s var %s unused",
                      is_assigned ? "assigned" : "declared", v->name->text);
        }
    }
    return error_count(c) - before;
}

/* What is declared must be used, by ":=" only in strict mode. Not told of a rule that has other errors in its names. */
static void check_used(struct rg_compiler *c, const struct rg_scope *s)
{
    if (c->soft == NULL || error_count(c) > c->rule_errors) {
        return;
    }
    if (!c->policy->options.is_strict || report_unused(c, s, true) == 0) {
        (void)report_unused(c, s, false);
    }
}

static void check_args(struct rg_compiler *c, const struct rg_scope *args, struct rg_loc loc)
{
    for (uint32_t i = 0; c->soft != NULL && c->policy->options.is_strict && i < args->n; i++) {
        const struct rg_var *v = args->vars[i];
        if (!v->is_used && !v->is_wildcard) {
            rg_report(c->soft, "rego_compile_error", loc,
                      "unused argument %s. (hint: use _ (wildcard variable) instead)",
                      v->name->text);
        }
    }
}

void rg_resolve_rule(struct rg_compiler *c, struct rg_rule *rule)
{
    struct rg_scope args = {0}, inner = {.up = &args, .depth = 1};
    c->scope = &args;
    c->rule_errors = error_count(c);
    c->at = rule->loc;
    for (uint32_t i = 0; i < rule->args_n; i++) {
        declare_pattern(c, rule->args[i], "some");
    }
    for (uint32_t i = 0; i < args.n; i++) {
        args.vars[i]->is_arg = true;
    }
    c->scope = &inner;
    struct rg_term **heads = rg_new(c->heap, (rule->ref->n + 2) * sizeof(*heads));
    uint32_t n = 0;
    for (uint32_t i = 1; !rule->is_else && i < rule->ref->n; i++) {
        heads[n++] = rule->ref->items[i];
    }
    if (rule->key != NULL) {
        heads[n++] = rule->key;
    }
    if (rule->value != NULL) {
        heads[n++] = rule->value;
    }
    resolve_body(c, rule->body, heads, n);
    check_used(c, &inner);
    for (struct rg_rule *r = rule->otherwise; r != NULL && args.n > 0; r = r->otherwise) {
        mark_args(&args, r);
    }
    if (!rule->is_else) {
        check_args(c, &args, rule->loc);
    }
    c->scope = NULL;
}

void rg_resolve_policy(struct rg_compiler *c)
{
    for (uint32_t m = 0; m < c->policy->modules_n; m++) {
        const struct rg_module *module = c->policy->modules[m];
        for (uint32_t i = 0; i < module->rules_n; i++) {
            for (struct rg_rule *r = module->rules[i]; r != NULL; r = r->otherwise) {
                rg_enter_rule(c, r);
                rg_resolve_rule(c, r);
            }
        }
    }
    c->rule = NULL;
}

void rg_resolve_query(struct rg_compiler *c, struct rg_body *body)
{
    struct rg_scope *top = rg_new(c->heap, sizeof(*top));
    *top = (struct rg_scope){0};
    c->scope = top;
    resolve_body(c, body, NULL, 0);
}
