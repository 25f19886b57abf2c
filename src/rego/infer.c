/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of rules, in the order in which they need one another. A body is read in the order in which it is evaluated: the
 * first expression that says what a variable is gives it its type, the others must agree.
 */
#include "rego/infer_priv.h"

#define FOUND_MAX 1000u /* errors that are put in order before the first few are told */

void rg_infer_fail(struct rg_infer *f, struct rg_loc loc, const char *message, const char *details)
{
    uint32_t before = f->errors.n;
    rg_report(&f->errors, "rego_type_error", loc, "%s", message);
    if (f->errors.n > before) {
        f->errors.list[before].details = details;
    }
}

/* ---- unifying terms ---- */
static bool unify_array(struct rg_infer *f, struct rg_term *t, const struct rg_type *type, bool is_union)
{
    if (type->n != t->n && type->rest == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        const struct rg_type *item = i < type->n ? type->items[i] : type->rest;
        if (!rg_infer_unify(f, t->items[i], item, is_union)) {
            return false;
        }
    }
    return true;
}

static bool unify_object(struct rg_infer *f, struct rg_term *t, const struct rg_type *type, bool is_union)
{
    if (t->n / 2 != type->n && type->rest == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < t->n; i += 2) {
        struct rg_val key = rg_term_ground(f->heap, t->items[i]);
        const struct rg_type *item = NULL;
        if (key.tag != RG_UNDEF) {
            item = rg_type_select(f->heap, type, key);
        } else if (rg_infer_unify(f, t->items[i], rg_type_keys(f->heap, type), is_union)) {
            item = rg_type_values(f->heap, type);
        }
        if (item == NULL || !rg_infer_unify(f, t->items[i + 1], item, is_union)) {
            return false;
        }
    }
    return true;
}

static bool unify_all(struct rg_infer *f, struct rg_term *t, const struct rg_type *type, bool is_union)
{
    bool ok = true;
    for (uint32_t i = 0; i < t->n; i++) {
        ok = rg_infer_unify(f, t->items[i], type, is_union) && ok;
    }
    return ok;
}

static bool unify_composite(struct rg_infer *f, struct rg_term *t, const struct rg_type *type,
                            bool is_union)
{
    if (type->kind == RG_Y_ANY) {
        bool ok = type->n == 0;
        if (ok) {
            (void)unify_all(f, t, type, true);
        }
        for (uint32_t i = 0; i < type->n; i++) {
            ok = rg_infer_unify(f, t, type->items[i], true) || ok;
        }
        return ok;
    }
    if (t->kind == RG_T_ARRAY) {
        return type->kind == RG_Y_ARRAY && unify_array(f, t, type, is_union);
    }
    if (t->kind == RG_T_SET) {
        return type->kind == RG_Y_SET && unify_all(f, t, type->rest, is_union);
    }
    return type->kind == RG_Y_OBJECT && unify_object(f, t, type, is_union);
}

bool rg_infer_unify(struct rg_infer *f, struct rg_term *t, const struct rg_type *type, bool is_union)
{
    if (type == NULL) {
        return false;
    }
    if (t->kind == RG_T_ARRAY || t->kind == RG_T_SET || t->kind == RG_T_OBJECT) {
        return unify_composite(f, t, type, is_union);
    }
    if (t->kind == RG_T_VAR && t->var != NULL) {
        if (t->var->type != NULL && !is_union) {
            return rg_type_unifies(t->var->type, type);
        }
        t->var->type = is_union ? rg_type_or(f->heap, t->var->type, type) : type;
        return true;
    }
    const struct rg_type *own = rg_infer_term(f, t);
    bool may_be_unknown = t->kind == RG_T_CALL || t->is_bad;
    return own == NULL ? may_be_unknown : rg_type_unifies(own, type);
}

static bool equal_items(struct rg_infer *f, struct rg_term *a, struct rg_term *b)
{
    if (a->kind != b->kind || a->n != b->n) {
        return false;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        bool is_key = a->kind == RG_T_OBJECT && i % 2 == 0;
        if (!is_key && !rg_infer_equal(f, a->items[i], b->items[i])) {
            return false;
        }
    }
    return true;
}

bool rg_infer_equal(struct rg_infer *f, struct rg_term *a, struct rg_term *b)
{
    const struct rg_type *x = rg_infer_term(f, a), *y = rg_infer_term(f, b);
    bool no_x = rg_type_is_nil(x), no_y = rg_type_is_nil(y);
    if (!no_x && !no_y) {
        return rg_type_unifies(x, y);
    }
    if (no_x != no_y) {
        return no_x ? rg_infer_unify(f, a, y, false) : rg_infer_unify(f, b, x, false);
    }
    if (a->kind == RG_T_VAR && b->kind == RG_T_VAR) {
        return rg_infer_unify(f, a, &rg_type_any, false) &&
               rg_infer_unify(f, b, &rg_type_any, false);
    }
    if (a->kind == RG_T_ARRAY || a->kind == RG_T_OBJECT) {
        return b->kind == RG_T_VAR || b->is_bad || b->kind == RG_T_CALL || equal_items(f, a, b);
    }
    return a->kind == RG_T_VAR || a->is_bad || b->is_bad || a->kind == RG_T_CALL ||
           b->kind == RG_T_CALL;
}

/* ---- terms ---- */
static const struct rg_type *composite(struct rg_infer *f, struct rg_term *t)
{
    const struct rg_type *of = NULL, **items = rg_new(f->heap, (t->n + 1) * sizeof(*items));
    for (uint32_t i = 0; i < t->n; i++) {
        items[i] = rg_infer_term(f, t->items[i]);
        of = t->kind == RG_T_SET ? rg_type_or(f->heap, of, items[i]) : NULL;
    }
    if (t->kind == RG_T_ARRAY) {
        return rg_type_array(f->heap, items, t->n, NULL);
    }
    if (t->kind == RG_T_SET) {
        return rg_type_set(f->heap, of);
    }
    struct rg_type *object = rg_type_object_new(f->heap);
    for (uint32_t i = 0; i < t->n; i += 2) {
        struct rg_val key = rg_term_ground(f->heap, t->items[i]);
        if (key.tag != RG_UNDEF) {
            rg_type_member(f->heap, object, key, items[i + 1]);
        } else {
            object->key = rg_type_or(f->heap, object->key, items[i]);
            object->rest = rg_type_or(f->heap, object->rest, items[i + 1]);
        }
    }
    return rg_type_done(object);
}

static const struct rg_type *comprehension(struct rg_infer *f, struct rg_term *t)
{
    uint32_t before = f->errors.n;
    rg_infer_body(f, t->body);
    const struct rg_type *first = rg_infer_term(f, t->items[0]);
    const struct rg_type *second = t->n == 2 ? rg_infer_term(f, t->items[1]) : NULL;
    if (f->errors.n > before) {
        t->is_bad = true;
        return NULL;
    }
    if (t->kind == RG_T_ARRAY_OF) {
        return rg_type_array(f->heap, NULL, 0, first == NULL ? &rg_type_any : first);
    }
    if (t->kind == RG_T_SET_OF) {
        return rg_type_set(f->heap, first == NULL ? &rg_type_any : first);
    }
    return rg_type_object(f->heap, first == NULL ? &rg_type_any : first,
                          second == NULL ? &rg_type_any : second);
}

/* ---- calls ---- */
static const struct rg_type *callee_type(struct rg_infer *f, const struct rg_callee *callee)
{
    if (callee->group != NULL) {
        return callee->group->type;
    }
    size_t i = (size_t)(callee->decl - rg_decl_at(0));
    if (f->decls[i] == NULL) {
        f->decls[i] = rg_type_of_decl(f->heap, callee->decl);
    }
    return f->decls[i];
}

static void print_arg(struct mln_buf *text, const struct rg_type *t, bool is_short)
{
    if (is_short && t != NULL && t->kind == RG_Y_ANY && t->n > 2) {
        mln_buf_add_text(text, "any<...>");
    } else {
        rg_type_print(text, t);
    }
}

/* The answer of a call in a term stands in a variable of its own, which counts as an argument. */
static void fail_args(struct rg_infer *f, struct rg_term *t, struct rg_loc loc, const struct rg_type *fn,
                      bool is_nested)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_text(&text, "have: (");
    for (uint32_t i = 1; i < t->n; i++) {
        mln_buf_add_text(&text, i == 1 ? "" : ", ");
        print_arg(&text, rg_infer_term(f, t->items[i]), true);
    }
    mln_buf_add_text(&text, is_nested ? ", ?\?\?)\nwant: (" : ")\nwant: (");
    uint32_t n = fn->rest != NULL ? fn->n + 1 : fn->n;
    for (uint32_t i = 0; i < n; i++) {
        const char *name = fn->names == NULL ? NULL : fn->names[i];
        mln_buf_add_format(&text, "%s%s%s", i == 0 ? "" : ", ", name == NULL ? "" : name,
                           name == NULL ? "" : ": ");
        print_arg(&text, i < fn->n ? fn->items[i] : fn->rest, true);
    }
    mln_buf_add_byte(&text, ')');
    rg_infer_fail(f, loc,
                  rg_text_format(f->heap, "%s: invalid argument(s)",
                                 rg_term_text(f->heap, t->items[0])),
                  rg_text_dup(f->heap, mln_buf_bytes(&text)));
}

static void add_hint(struct mln_buf *text, const struct rg_type *a, const struct rg_type *b)
{
    static const char *const names[] = {
        [RG_Y_ARRAY] = "arrays", [RG_Y_OBJECT] = "objects", [RG_Y_SET] = "sets", [RG_Y_FUNCTION] = NULL};
    if (a != NULL && b != NULL && a->kind == b->kind && names[a->kind] != NULL) {
        mln_buf_add_format(text,
                           "\nhint  : both sides are %s but their types differ, so they can never be equal (see "
                           "https://www.openpolicyagent.org/docs/errors/rego-type-error/match-error)",
                           names[a->kind]);
    }
}

static const struct rg_type *call(struct rg_infer *f, struct rg_term *t, struct rg_loc loc,
                                  bool is_nested)
{
    uint32_t before = f->errors.n;
    for (uint32_t i = 1; i < t->n; i++) {
        (void)rg_infer_term(f, t->items[i]);
    }
    bool had_errors = f->errors.n > before;
    if (t->n == 3 && (rg_call_is(t, "eq") || rg_call_is(t, "assign") || rg_call_is(t, "equal"))) {
        if (!rg_infer_equal(f, t->items[1], t->items[2]) && !had_errors) {
            MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
            mln_buf_add_text(&text, "left  : ");
            rg_type_print(&text, rg_infer_term(f, t->items[1]));
            mln_buf_add_text(&text, "\nright : ");
            rg_type_print(&text, rg_infer_term(f, t->items[2]));
            add_hint(&text, rg_infer_term(f, t->items[1]), rg_infer_term(f, t->items[2]));
            rg_infer_fail(f, loc, "match error", rg_text_dup(f->heap, mln_buf_bytes(&text)));
        }
        return &rg_type_bool;
    }
    struct rg_callee callee = rg_callee_of(f->c, t->items[0]);
    const struct rg_type *fn =
        callee.decl == NULL && callee.group == NULL ? NULL : callee_type(f, &callee);
    if (fn == NULL || fn->kind != RG_Y_FUNCTION || fn->is_variadic) {
        return NULL; /* of what has errors itself nothing more is said */
    }
    for (uint32_t i = 1; i < t->n; i++) {
        const struct rg_type *want = i <= fn->n ? fn->items[i - 1] : fn->rest;
        if (want != NULL && !rg_infer_unify(f, t->items[i], want, false)) {
            if (!had_errors) {
                fail_args(f, t, loc, fn, is_nested);
            }
            return NULL;
        }
    }
    return fn->rest;
}

static void template_parts(struct rg_infer *f, struct rg_term *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->items[i]->kind != RG_T_VALUE) {
            rg_infer_body(f, t->items[i]->body);
            (void)rg_infer_term(f, t->items[i]->items[0]);
        }
    }
}

const struct rg_type *rg_infer_term(struct rg_infer *f, struct rg_term *t)
{
    if (t->is_typed) {
        return t->type;
    }
    switch ((enum rg_kind)t->kind) {
    case RG_T_VALUE:
        t->type = rg_type_of_value(f->heap, t->value);
        break;
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
        return composite(f, t); /* it may hold variables that become known */
    case RG_T_VAR:
        if (t->var != NULL) {
            return t->var->type;
        }
        [[fallthrough]];
    case RG_T_REF: {
        uint32_t before = f->errors.n;
        t->type = rg_infer_ref(f, t);
        t->is_bad = f->errors.n > before;
        break;
    }
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
        t->type = comprehension(f, t);
        break;
    case RG_T_CALL:
        t->type = call(f, t, t->loc, true);
        break;
    case RG_T_TEMPLATE:
        template_parts(f, t);
        t->type = &rg_type_string;
        break;
    }
    t->is_typed = true;
    return t->type;
}

/* ---- expressions ---- */
static void walk_over(struct rg_infer *f, struct rg_expr *e)
{
    const struct rg_type *in = rg_infer_term(f, e->terms[2]);
    struct rg_term key = {.kind = RG_T_VAR, .is_wildcard = true, .loc = e->loc}, *items[2];
    struct rg_var any = {0};
    key.var = &any;
    key.name = rg_name_of(f->c->names, "_");
    items[0] = e->terms[2];
    items[1] = e->terms[0] != NULL ? e->terms[0] : &key;
    struct rg_term ref = {.kind = RG_T_REF, .n = 2, .items = items, .loc = e->terms[2]->loc};
    bool is_literal = e->terms[2]->kind != RG_T_VAR && e->terms[2]->kind != RG_T_REF;
    if (in == NULL || (is_literal && rg_type_keys(f->heap, in) == NULL)) { /* OPA lets that pass */
        return;
    }
    const struct rg_type *value = rg_infer_step(f, &ref, 1, in);
    if (value != NULL && !rg_infer_unify(f, e->terms[1], value, false)) {
        rg_infer_fail(f, e->loc, "match error", NULL);
    }
}

/* Of what is wrong inside of `every` OPA tells only refs that lead to nothing. */
static void quietly(struct rg_infer *f, struct rg_body *body)
{
    uint32_t kept = f->errors.n, i = kept;
    rg_infer_body(f, body);
    for (; i < f->errors.n; i++) {
        if (mln_bytes_starts(mln_bytes_of(f->errors.list[i].message), MLN_BYTES("undefined ref: "))) {
            f->errors.list[kept++] = f->errors.list[i];
        }
    }
    f->errors.n = kept;
}

/* "x in xs" as an expression: an item of xs may be x. */
static void may_be_in(struct rg_infer *f, struct rg_term *t, struct rg_loc loc)
{
    const struct rg_type *x = rg_infer_term(f, t->items[1]),
                         *of = rg_type_values(f->heap, rg_infer_term(f, t->items[2]));
    if (rg_type_is_nil(x) || rg_type_is_nil(of) || rg_type_unifies(x, of)) {
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_text(&text, "left  : ");
    rg_type_print(&text, x);
    mln_buf_add_text(&text, "\nright : ");
    rg_type_print(&text, of);
    add_hint(&text, x, of);
    rg_infer_fail(f, loc, "match error", rg_text_dup(f->heap, mln_buf_bytes(&text)));
}

static void infer_expr(struct rg_infer *f, struct rg_expr *e)
{
    for (uint32_t i = 0; i < e->with_n; i++) {
        if (!e->with[i].value->is_name && rg_callee_of(f->c, e->with[i].value).group == NULL) {
            (void)rg_infer_term(f, e->with[i].value);
        }
    }
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        if (e->term->kind == RG_T_CALL) {
            uint32_t before = f->errors.n;
            (void)call(f, e->term, e->loc, false);
            if (f->errors.n == before && e->term->n == 3 && rg_call_is(e->term, "internal.member_2")) {
                may_be_in(f, e->term, e->loc);
            }
        } else {
            (void)rg_infer_term(f, e->term);
        }
        return;
    case RG_E_SOME:
        return;
    case RG_E_SOME_IN:
        walk_over(f, e);
        return;
    case RG_E_EVERY:
        (void)rg_infer_term(f, e->terms[2]);
        quietly(f, e->left);
        return;
    case RG_E_NOT:
    case RG_E_BLOCK:
    case RG_E_AND:
    case RG_E_OR:
        rg_infer_body(f, e->left);
        rg_infer_body(f, e->right);
        return;
    }
}

void rg_infer_body(struct rg_infer *f, struct rg_body *body)
{
    for (uint32_t i = 0; body != NULL && i < body->n; i++) {
        infer_expr(f, body->safe != NULL ? body->safe[i] : body->exprs[i]);
    }
}

/* ---- rules ---- */
static const struct rg_type *or_any(const struct rg_type *t)
{
    return rg_type_is_nil(t) ? &rg_type_any : t;
}

static const struct rg_type *function_type(struct rg_infer *f, struct rg_rule *r,
                                           const struct rg_type *result)
{
    const struct rg_type **args = rg_new(f->heap, (r->args_n + 1) * sizeof(*args));
    for (uint32_t i = 0; i < r->args_n; i++) {
        args[i] = or_any(rg_infer_term(f, r->args[i]));
    }
    return rg_type_function(f->heap, args, r->args_n, or_any(result));
}

/* The keys of a rule's head that are no part of its group's path. */
static const struct rg_type *below_keys(struct rg_infer *f, const struct rg_rule *r,
                                        const struct rg_type *type)
{
    uint32_t fixed = 1;
    while (fixed < r->ref->n && r->ref->items[fixed]->kind == RG_T_VALUE &&
           r->ref->items[fixed]->value.tag == RG_STR) {
        fixed++;
    }
    for (uint32_t i = r->ref->n; i > fixed; i--) {
        struct rg_val key = rg_term_ground(f->heap, r->ref->items[i - 1]);
        if (key.tag == RG_UNDEF) {
            type = rg_type_object(f->heap, or_any(rg_infer_term(f, r->ref->items[i - 1])), type);
            continue;
        }
        struct rg_type *object = rg_type_object_new(f->heap);
        rg_type_member(f->heap, object, key, type);
        type = rg_type_done(object);
    }
    return type;
}

static const struct rg_type *rule_type(struct rg_infer *f, const struct rg_group *group, struct rg_rule *r)
{
    uint32_t before = f->errors.n;
    rg_infer_body(f, r->body);
    const struct rg_type *key = r->key != NULL ? rg_infer_term(f, r->key) : NULL;
    const struct rg_type *type = r->value != NULL ? rg_infer_term(f, r->value) : NULL;
    type = r->head == RG_HEAD_SET ? rg_type_set(f->heap, or_any(key)) : or_any(type);
    if (group->kind == RG_G_OBJECT) {
        type = below_keys(f, r, type);
    } else if (group->kind == RG_G_FUNCTION) {
        type = function_type(f, r, type);
    }
    return f->errors.n > before ? NULL : type;
}

static struct rg_val add_schemas(struct rg_infer *f, struct rg_val all, struct rg_val notes, const char *scope)
{
    for (uint32_t i = 0; notes.tag == RG_ARRAY && i < notes.arr->len; i++) {
        struct rg_val one = notes.arr->items[i], list = rg_get_text(one, "schemas"), has = rg_get_text(one, "scope");
        bool is_meant = scope == NULL || (has.tag == RG_STR && mln_bytes_is(rg_bytes(has), scope));
        for (uint32_t k = 0; is_meant && list.tag == RG_ARRAY && k < list.arr->len; k++) {
            all = all.tag == RG_UNDEF ? rg_array(f->heap, 4) : all;
            rg_push(f->heap, all, list.arr->items[k]);
        }
    }
    return all;
}

/* Schemas that METADATA names for a rule: its own, those of its document and of its package. */
static struct rg_val schemas_of(struct rg_infer *f, const struct rg_group *g, const struct rg_rule *r)
{
    struct rg_val all = add_schemas(f, RG_NONE, r->notes, NULL);
    for (uint32_t i = 0; i < g->n; i++) {
        all = g->rules[i] == r ? all : add_schemas(f, all, g->rules[i]->notes, "document");
    }
    return add_schemas(f, all, r->module->notes, NULL);
}

static void infer_group(struct rg_infer *f, struct rg_group *g)
{
    const struct rg_type *type = NULL;
    bool is_bad = false;
    f->c->group = g;
    for (uint32_t i = 0; i <= g->n; i++) {
        for (struct rg_rule *r = i < g->n ? g->rules[i] : g->fallback; r != NULL; r = r->otherwise) {
            f->c->rule = r;
            f->c->module = r->module;
            f->schemas = schemas_of(f, g, r);
            const struct rg_type *one = rule_type(f, g, r);
            is_bad |= one == NULL;
            type = rg_type_or(f->heap, type, one);
        }
    }
    g->type = is_bad || type == NULL ? &rg_type_any : type;
}

static void visit(struct rg_infer *f, struct rg_group *g);

static void visit_tree(struct rg_infer *f, struct rg_node *node)
{
    if (node->group != NULL) {
        visit(f, node->group);
    }
    for (uint32_t i = 0; i < node->n; i++) {
        visit_tree(f, node->kids[i]);
    }
}

/* What it needs first; there are no cycles, and the way is no longer than MLN_REGO_CALLS_MAX. */
static void visit(struct rg_infer *f, struct rg_group *g)
{
    if (g->type != NULL) {
        return;
    }
    g->type = &rg_type_any;
    for (uint32_t i = 0; i < g->needs_n; i++) {
        visit(f, g->needs[i]);
    }
    for (uint32_t i = 0; i < g->trees_n; i++) {
        visit_tree(f, g->trees[i]);
    }
    infer_group(f, g);
}

static struct rg_infer begin(struct rg_compiler *c)
{
    size_t n = 0;
    while (rg_decl_at(n) != NULL) {
        n++;
    }
    struct rg_infer f = {.c = c, .heap = c->heap, .errors = {.heap = c->heap, .max = FOUND_MAX}};
    f.decls = rg_new(c->heap, n * sizeof(*f.decls));
    mln_fill(f.decls, 0, n * sizeof(*f.decls));
    return f;
}

void rg_infer_policy(struct rg_compiler *c)
{
    struct rg_infer f = begin(c);
    for (uint32_t i = 0; i < c->policy->groups_n; i++) {
        visit(&f, c->policy->groups[i]);
    }
    c->rule = NULL;
    c->group = NULL;
    rg_errors_move(c->errors, &f.errors, NULL);
}

void rg_infer_query(struct rg_compiler *c, struct rg_body *body)
{
    struct rg_infer f = begin(c);
    rg_infer_body(&f, body);
    rg_errors_move(c->errors, &f.errors, NULL);
}
