/* SPDX-License-Identifier: Apache-2.0 */
/* Terms that depend on what is not known: refs, rules in the place of refs, calls of functions, equations. */
#include "rego/partial_priv.h"

static bool is_ground(const struct rg_term *t)
{
    if (t->kind == RG_T_VALUE) {
        return true;
    }
    bool ground = t->kind == RG_T_ARRAY || t->kind == RG_T_OBJECT || t->kind == RG_T_SET;
    for (uint32_t i = 0; ground && i < t->n; i++) {
        ground = is_ground(t->items[i]);
    }
    return ground;
}

/* ---- lists of terms ---- */

struct list {
    struct pe_with with;
    struct pe_with *then;
    struct rg_term *made;
    uint32_t at;
};

static bool next_item(struct pe *pe, struct list *l);

static bool take_item(struct pe *pe, struct pe_with *with, struct rg_term *t)
{
    struct list *l = (struct list *)(void *)with;
    struct list next = {.with = {take_item}, .then = l->then, .at = l->at + 1};
    next.made = rg_new(pe->heap, sizeof(*next.made));
    *next.made = *l->made;
    next.made->items = rg_new(pe->heap, l->made->n * sizeof(*next.made->items));
    mln_copy(next.made->items, l->made->items, l->made->n * sizeof(*next.made->items));
    next.made->items[l->at] = t;
    return next_item(pe, &next);
}

static bool next_item(struct pe *pe, struct list *l)
{
    while (l->at < l->made->n && is_ground(l->made->items[l->at])) {
        l->at++;
    }
    if (l->at >= l->made->n) {
        return l->then->run(pe, l->then, l->made);
    }
    return pe_term(pe, l->made->items[l->at], (struct pe_want){0}, &l->with);
}

bool pe_terms(struct pe *pe, struct rg_term *list, uint32_t from, struct pe_with *with)
{
    struct list l = {.with = {take_item}, .then = with, .made = list, .at = from};
    return next_item(pe, &l);
}

/* ---- equations ---- */

static bool save_equation(struct pe *pe, struct rg_term *a, struct rg_term *b, struct pe_goals *rest, struct pe_then *then)
{
    struct rg_expr *e = pe_expr(pe, RG_E_TERM);
    e->term = pe_call(pe, "eq", a, b);
    return pe_save(pe, e, rest, then);
}

/* Items of arrays, values of objects, as more goals. */
static bool unify_items(struct pe *pe, const struct rg_term *a, const struct rg_term *b, struct pe_goals *rest, struct pe_then *then)
{
    for (uint32_t i = a->n; i > 0; i--) {
        struct pe_goals *g = rg_new(pe->heap, sizeof(*g));
        struct rg_expr *e = pe_expr(pe, RG_E_TERM);
        e->term = pe_call(pe, "eq", a->items[i - 1], b->items[i - 1]);
        *g = (struct pe_goals){e, rest};
        rest = g;
    }
    return pe_solve(pe, rest, then);
}

static bool bind_to(struct pe *pe, const struct rg_term *var, struct rg_term *value, struct pe_goals *rest, struct pe_then *then)
{
    uint32_t bound = pe->bound_n;
    pe_bind(pe, var->name, value);
    bool ok = pe_solve(pe, rest, then);
    pe->bound_n = bound;
    return ok;
}

bool pe_unify(struct pe *pe, struct rg_term *a, struct rg_term *b, struct pe_goals *rest, struct pe_then *then)
{
    bool same_var = a->kind == RG_T_VAR && b->kind == RG_T_VAR && a->name == b->name;
    if (same_var) {
        return pe_solve(pe, rest, then);
    }
    if (pe_is_free(pe, a) || pe_is_free(pe, b)) {
        return pe_is_free(pe, a) ? bind_to(pe, a, b, rest, then) : bind_to(pe, b, a, rest, then);
    }
    if (is_ground(a) && is_ground(b)) {
        struct rg_val x = rg_term_ground(pe->heap, a), y = rg_term_ground(pe->heap, b);
        return rg_eq(x, y) ? pe_solve(pe, rest, then) : true;
    }
    bool same_shape = a->kind == b->kind && a->kind == RG_T_ARRAY;
    if (same_shape) {
        return a->n == b->n ? unify_items(pe, a, b, rest, then) : true;
    }
    bool is_never = (a->kind == RG_T_VALUE && (b->kind == RG_T_ARRAY || b->kind == RG_T_OBJECT || b->kind == RG_T_SET)) ||
                    (b->kind == RG_T_VALUE && (a->kind == RG_T_ARRAY || a->kind == RG_T_OBJECT || a->kind == RG_T_SET));
    return is_never ? true : save_equation(pe, a, b, rest, then);
}

/* ---- rules in the place of refs ---- */

struct entry {
    struct pe_then then;
    struct pe_with value_with;
    struct pe_with *with;
    struct pe_want want;
    struct rg_term *value;        /* of the rule, with its own names */
    struct rg_term **keys;        /* behind the rule's path: what the ref goes on with */
    uint32_t keys_n;
};

/* value[keys..], evaluated on. */
static bool go_on(struct pe *pe, struct rg_term *value, struct rg_term *const *keys, uint32_t n, struct pe_with *with)
{
    if (n == 0) {
        return with->run(pe, with, value);
    }
    struct rg_term *ref = rg_term_list(pe->heap, RG_T_REF, value->loc, NULL, 0);
    ref->items = rg_new(pe->heap, (n + 1) * sizeof(*ref->items));
    ref->items[ref->n++] = value;
    for (uint32_t i = 0; i < n; i++) {
        ref->items[ref->n++] = keys[i];
    }
    return pe_term(pe, pe_plug(pe, ref), (struct pe_want){0}, with);
}

static bool have_value(struct pe *pe, struct pe_with *with, struct rg_term *value)
{
    struct entry *e = (struct entry *)(void *)((char *)with - offsetof(struct entry, value_with));
    return go_on(pe, value, e->keys, e->keys_n, e->with);
}

static bool body_solved(struct pe *pe, struct pe_then *then)
{
    struct entry *e = (struct entry *)(void *)then;
    return pe_term(pe, e->value, e->want, &e->value_with);
}

/* a = b for each, in front of goals. */
static struct pe_goals *add_equation(struct pe *pe, struct rg_term *a, struct rg_term *b, struct pe_goals *rest)
{
    struct pe_goals *g = rg_new(pe->heap, sizeof(*g));
    struct rg_expr *e = pe_expr(pe, RG_E_TERM);
    e->term = pe_call(pe, "eq", a, b);
    *g = (struct pe_goals){e, rest};
    return g;
}

struct use {
    const struct rg_group *group;
    struct rg_term **args;
    uint32_t args_n;
    struct rg_term **keys;
    uint32_t keys_n;
    struct pe_want want;
    struct pe_with *with;
};

/* The goals of one rule (or of one else: those before it must not hold), and the value. */
static struct pe_goals *goals_of_rule(struct pe *pe, const struct use *u, const struct rg_rule *r, struct pe_names *names)
{
    struct pe_goals *goals = pe_goals_of(pe, pe_copy_body(pe, names, r->body), NULL);
    for (uint32_t i = 0; i < r->args_n && i < u->args_n; i++) {
        goals = add_equation(pe, pe_copy(pe, names, r->args[i]), u->args[i], goals);
    }
    return goals;
}

static struct pe_goals *not_before(struct pe *pe, const struct use *u, const struct rg_rule *first, const struct rg_rule *r,
                                   struct pe_goals *goals)
{
    for (const struct rg_rule *before = first; before != r; before = before->otherwise) {
        struct pe_names names = {0};
        struct pe_goals *g = rg_new(pe->heap, sizeof(*g));
        struct rg_expr *e = pe_expr(pe, RG_E_NOT);
        e->left = pe_copy_body(pe, &names, before->body);
        *g = (struct pe_goals){e, goals};
        goals = g;
        for (uint32_t i = 0; i < before->args_n && i < u->args_n; i++) {
            goals = add_equation(pe, pe_copy(pe, &names, before->args[i]), u->args[i], goals);
        }
    }
    return goals;
}

/* A key that nobody knows gets its value from the body. */
static struct pe_goals *behind(struct pe_goals *goals, struct pe_goals *last)
{
    struct pe_goals **end = &goals;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = last;
    return goals;
}

static bool enter_rule(struct pe *pe, const struct use *u, const struct rg_rule *first, const struct rg_rule *r)
{
    struct pe_names names = {0};
    struct entry e = {.then = {body_solved}, .value_with = {have_value}, .with = u->with, .keys = u->keys, .keys_n = u->keys_n};
    struct pe_goals *goals = not_before(pe, u, first, r, goals_of_rule(pe, u, r, &names));
    e.want = u->keys_n == 0 ? u->want : (struct pe_want){0};
    if (u->group->kind == RG_G_SET) {
        e.value = pe_copy(pe, &names, r->key);
        goals = pe_is_free(pe, u->keys[0]) ? behind(goals, add_equation(pe, e.value, u->keys[0], NULL))
                                           : add_equation(pe, e.value, u->keys[0], goals);
        e.keys++;
        e.keys_n--;
    } else if (u->group->kind == RG_G_OBJECT) {
        uint32_t package_n = (uint32_t)rg_len(rg_node_package(pe->policy, r->module->package, false)->path);
        uint32_t fixed = (uint32_t)rg_len(u->group->node->path) - package_n;
        for (uint32_t i = fixed; i < r->ref->n && e.keys_n > 0; i++) {
            goals = add_equation(pe, pe_copy(pe, &names, r->ref->items[i]), e.keys[0], goals);
            e.keys++;
            e.keys_n--;
        }
        e.value = pe_copy(pe, &names, r->value);
    } else {
        e.value = pe_copy(pe, &names, r->value);
    }
    return pe_solve(pe, goals, &e.then);
}

static bool is_kept(const struct pe *pe, const struct rg_group *group)
{
    for (size_t i = 0; i < pe->options->n_kept; i++) {
        if (mln_bytes_is(pe->options->kept[i], group->name)) {
            return true;
        }
    }
    return false;
}

/* Can the default be the answer? Not when another constant is wanted, or the truth and it is false. */
static bool needs_default(const struct pe *pe, const struct use *u)
{
    const struct rg_rule *d = u->group->fallback;
    struct rg_val v = d == NULL ? RG_NONE : rg_term_ground(pe->heap, d->value);
    if (d == NULL) {
        return false;
    }
    if (u->keys_n == 0 && u->want.is_truth) {
        return !(v.tag == RG_BOOL && v.integer == 0);
    }
    bool has_constant = u->keys_n == 0 && u->want.constant != NULL && v.tag != RG_UNDEF;
    return !has_constant || rg_eq(v, u->want.constant->value);
}

/* ---- rules that stay rules ---- */

struct support_rule {
    struct pe_then then;
    struct rg_module *module;
    const struct rg_rule *rule;
    struct rg_term *value, *key; /* variables that the head's terms are equal to; NULL: none */
    const struct rg_str *name;
};

static struct rg_rule *head_of(struct pe *pe, const struct support_rule *s)
{
    struct rg_rule *r = rg_new(pe->heap, sizeof(*r));
    struct rg_term *head = rg_term_var(pe->heap, s->name, s->rule->loc);
    *r = (struct rg_rule){.loc = s->rule->loc, .module = s->module, .head = s->rule->head, .is_assign = true};
    r->ref = rg_term_list(pe->heap, RG_T_REF, head->loc, &head, 1);
    RG_GROW(pe->heap, s->module->rules, s->module->rules_n, s->module->rules_cap);
    s->module->rules[s->module->rules_n++] = r;
    return r;
}

static bool keep_rule(struct pe *pe, struct pe_then *then)
{
    struct support_rule *s = (struct support_rule *)(void *)then;
    struct rg_rule *r = head_of(pe, s);
    r->body = pe_saved_body(pe);
    if (r->body->n == 0) {
        struct rg_expr *e = pe_expr(pe, RG_E_TERM);
        e->term = rg_term_value(pe->heap, rg_bool(true), r->loc);
        rg_body_add(pe->heap, r->body, e);
    }
    struct rg_term *value = s->value == NULL ? NULL : pe_plug(pe, s->value), *key = s->key == NULL ? NULL : pe_plug(pe, s->key);
    if (s->rule->head == RG_HEAD_SET) {
        r->key = key;
        r->is_assign = false;
    } else if (key != NULL) { /* p[key] := value */
        struct rg_term *items[] = {r->ref->items[0], key};
        r->ref = rg_term_list(pe->heap, RG_T_REF, r->loc, items, MLN_COUNT(items));
        r->value = value;
    } else {
        r->value = value;
    }
    return true;
}

static bool support_one(struct pe *pe, struct rg_module *m, const struct rg_group *group, const struct rg_rule *first,
                        const struct rg_rule *r)
{
    struct pe_names names = {0};
    struct use none = {.group = group};
    struct rg_val last = rg_item(group->node->path, rg_len(group->node->path) - 1);
    struct support_rule s = {.then = {keep_rule}, .module = m, .rule = r, .name = rg_name(&pe->out->names, rg_bytes(last))};
    struct pe_goals *goals = pe_goals_of(pe, pe_copy_body(pe, &names, r->body), NULL), **end = &goals;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    if (group->kind == RG_G_SET || group->kind == RG_G_OBJECT) {
        s.key = pe_fresh(pe);
        *end = add_equation(pe, s.key, pe_copy(pe, &names, group->kind == RG_G_SET ? r->key : r->ref->items[r->ref->n - 1]), NULL);
        end = &(*end)->next;
    }
    if (group->kind != RG_G_SET) {
        s.value = pe_fresh(pe);
        *end = add_equation(pe, s.value, pe_copy(pe, &names, r->value), NULL);
    }
    return pe_gather(pe, not_before(pe, &none, first, r, goals), &s.then);
}

static bool make_support(struct pe *pe, const struct rg_group *group)
{
    struct mln_rego_partial *out = pe->out;
    const struct rg_arr *path = group->node->path.arr;
    struct rg_module *m = rg_new(pe->heap, sizeof(*m));
    *m = (struct rg_module){.file = "", .is_v1 = true, .package = rg_term_list(pe->heap, RG_T_REF, group->rules[0]->loc, NULL, 0)};
    m->package->items = rg_new(pe->heap, (path->len + 2) * sizeof(*m->package->items));
    m->package->items[m->package->n++] = rg_term_var(pe->heap, rg_name_of(&out->names, "data"), m->package->loc);
    m->package->items[m->package->n++] = rg_term_value(pe->heap, rg_text(pe->heap, "partial"), m->package->loc);
    for (uint32_t i = 0; i + 1 < path->len; i++) {
        m->package->items[m->package->n++] = rg_term_value(pe->heap, path->items[i], m->package->loc);
    }
    RG_GROW(pe->heap, pe->supported, pe->supported_n, pe->supported_cap);
    pe->supported[pe->supported_n++] = group;
    for (uint32_t i = 0; i < group->n; i++) {
        for (const struct rg_rule *r = group->rules[i]; r != NULL; r = r->otherwise) {
            if (!support_one(pe, m, group, group->rules[i], r)) {
                return false;
            }
        }
    }
    if (group->fallback != NULL) {
        struct pe_names names = {0};
        struct support_rule s = {.module = m, .rule = group->fallback,
                                 .name = rg_name(&out->names, rg_bytes(path->items[path->len - 1]))};
        struct rg_rule *r = head_of(pe, &s);
        r->is_default = true;
        r->value = pe_copy(pe, &names, group->fallback->value);
        r->body = pe_copy_body(pe, &names, group->fallback->body);
    }
    RG_GROW(pe->heap, out->support, out->support_n, out->support_cap);
    out->support[out->support_n++] = m;
    return true;
}

static bool is_supported(const struct pe *pe, const struct rg_group *group)
{
    for (uint32_t i = 0; i < pe->supported_n; i++) {
        if (pe->supported[i] == group) {
            return true;
        }
    }
    return false;
}

/* A ref to the rules of support. Functions stay what they are in the policy. */
static bool leave(struct pe *pe, const struct use *u)
{
    const struct rg_arr *path = u->group->node->path.arr;
    bool is_function = u->group->kind == RG_G_FUNCTION;
    if (!is_function && !is_supported(pe, u->group) && !make_support(pe, u->group)) {
        return false;
    }
    struct rg_term *ref = rg_term_list(pe->heap, RG_T_REF, u->group->rules[0]->loc, NULL, 0);
    ref->items = rg_new(pe->heap, (path->len + u->keys_n + 3) * sizeof(*ref->items));
    ref->items[ref->n++] = rg_term_var(pe->heap, rg_name_of(&pe->out->names, "data"), ref->loc);
    if (!is_function) {
        ref->items[ref->n++] = rg_term_value(pe->heap, rg_text(pe->heap, "partial"), ref->loc);
    }
    for (uint32_t i = 0; i < path->len; i++) {
        ref->items[ref->n++] = rg_term_value(pe->heap, path->items[i], ref->loc);
    }
    for (uint32_t i = 0; i < u->keys_n; i++) {
        ref->items[ref->n++] = u->keys[i];
    }
    if (is_function) {
        struct rg_term *call = rg_term_list(pe->heap, RG_T_CALL, ref->loc, NULL, 0);
        call->items = rg_new(pe->heap, (u->args_n + 1) * sizeof(*call->items));
        call->items[call->n++] = ref;
        mln_copy(call->items + 1, u->args, u->args_n * sizeof(*call->items));
        call->n += u->args_n;
        ref = call;
    }
    return u->with->run(pe, u->with, ref);
}

static bool use_group(struct pe *pe, const struct use *u)
{
    bool is_whole = (u->group->kind == RG_G_SET || u->group->kind == RG_G_OBJECT) && u->keys_n == 0;
    if (is_whole || is_kept(pe, u->group) || needs_default(pe, u)) {
        return leave(pe, u);
    }
    for (uint32_t i = 0; i < u->group->n; i++) {
        for (const struct rg_rule *r = u->group->rules[i]; r != NULL; r = r->otherwise) {
            if (!enter_rule(pe, u, u->group->rules[i], r)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- refs ---- */

struct reference {
    struct pe_with with;
    struct pe_with *then;
    struct pe_want want;
};

/* A ref whose keys are evaluated. */
static bool have_ref(struct pe *pe, struct pe_with *with, struct rg_term *ref)
{
    struct reference *r = (struct reference *)(void *)with;
    uint32_t used = 0;
    bool is_data = ref->items[0]->kind == RG_T_VAR && rg_name_is(ref->items[0]->name, "data");
    struct rg_node *node = is_data && !pe_is_unknown(pe, ref) ? rg_ref_node(&pe->look, ref, &used) : NULL;
    if (node == NULL || node->group == NULL) {
        return pe_depends(pe, ref) ? r->then->run(pe, r->then, ref) : pe_known(pe, ref, r->then);
    }
    if (!pe_group_depends(pe, node->group)) {
        return r->then->run(pe, r->then, ref);
    }
    struct use u = {.group = node->group, .keys = ref->items + used, .keys_n = ref->n - used, .want = r->want, .with = r->then};
    return use_group(pe, &u);
}

/* ---- calls ---- */

static bool have_call(struct pe *pe, struct pe_with *with, struct rg_term *call)
{
    struct reference *r = (struct reference *)(void *)with;
    struct rg_callee callee = rg_callee_of(&pe->look, call->items[0]);
    if (callee.group != NULL) {
        struct use u = {.group = callee.group, .args = call->items + 1, .args_n = call->n - 1, .want = r->want, .with = r->then};
        return use_group(pe, &u);
    }
    return pe_depends(pe, call) ? r->then->run(pe, r->then, call) : pe_known(pe, call, r->then);
}

/* ---- all ---- */

static bool evaluate(struct pe *pe, struct rg_term *term, struct pe_want want, struct pe_with *with)
{
    struct rg_term *t = pe_plug(pe, term);
    struct reference r = {{have_ref}, with, want};
    if (t->kind == RG_T_VALUE || t->kind == RG_T_VAR || is_ground(t)) {
        return with->run(pe, with, t);
    }
    bool is_composite = t->kind == RG_T_ARRAY || t->kind == RG_T_OBJECT || t->kind == RG_T_SET;
    if (!pe_depends(pe, t) && !is_composite) {
        return pe_known(pe, t, with);
    }
    switch ((enum rg_kind)t->kind) {
    case RG_T_REF:
        return pe_terms(pe, t, 1, &r.with);
    case RG_T_CALL:
        r.with.run = have_call;
        return pe_terms(pe, t, 1, &r.with);
    case RG_T_ARRAY:
    case RG_T_OBJECT:
    case RG_T_SET:
        return pe_terms(pe, t, 0, with);
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
    case RG_T_TEMPLATE:
    case RG_T_VALUE:
    case RG_T_VAR:
        break;
    }
    return with->run(pe, with, t);
}

bool pe_term(struct pe *pe, struct rg_term *term, struct pe_want want, struct pe_with *with)
{
    bool ok = pe_may_go_on(pe);
    pe->depth++;
    ok = ok && evaluate(pe, term, want, with);
    pe->depth--;
    return ok;
}
