/* SPDX-License-Identifier: Apache-2.0 */
/* Code of terms and patterns. */
#include "rego/gen_priv.h"

#include "rego/type_priv.h"

static void need_group(struct rg_compiler *c, struct rg_group *group)
{
    struct rg_group *g = c->group;
    for (uint32_t i = 0; g != NULL && i < g->needs_n; i++) {
        if (g->needs[i] == group) {
            return;
        }
    }
    if (g != NULL) {
        RG_GROW(c->heap, g->needs, g->needs_n, g->needs_cap);
        g->needs[g->needs_n++] = group;
    }
}

static void need_tree(struct rg_compiler *c, struct rg_node *node)
{
    struct rg_group *g = c->group;
    if (g != NULL) {
        RG_GROW(c->heap, g->trees, g->trees_n, g->trees_cap);
        g->trees[g->trees_n++] = node;
    }
}

/* All rules that a ref below a node can mean: constant keys lead to one child, others to all. */
static void need_match(struct rg_compiler *c, struct rg_node *node, const struct rg_term *ref,
                       uint32_t i)
{
    if (ref->kind != RG_T_REF || i >= ref->n) {
        need_tree(c, node);
        return;
    }
    if (node->group != NULL) {
        need_group(c, node->group);
    }
    const struct rg_term *key = ref->items[i];
    struct rg_node *one = key->kind == RG_T_VALUE ? rg_node_kid(node, key->value) : NULL;
    for (uint32_t k = 0; k < node->n; k++) {
        if (key->kind != RG_T_VALUE || node->kids[k] == one) {
            need_match(c, node->kids[k], ref, i + 1);
        }
    }
}

static void unsafe(struct rg_gen *g, const struct rg_term *t)
{
    if (!g->is_bad) {
        bool is_head = g->is_head && g->c->depth == 1;
        rg_report(g->c->errors, is_head ? rg_code_head : "rego_unsafe_var_error", t->loc, "var %s is unsafe%s",
                  t->name->text, rg_in_rule(g->c));
    }
    g->is_bad = true;
}

uint32_t rg_gen_loop(struct rg_gen *g, uint32_t over, uint32_t *ret_key)
{
    uint32_t walk = rg_reg(g, 4), next = rg_label(g);
    rg_emit(g, RG_OP_ITER, walk, over, g->any_order ? RG_ANY_ORDER : 0);
    rg_place(g, next);
    rg_emit(g, RG_OP_NEXT, walk, walk + 2, walk + 3);
    g->fail = next;
    *ret_key = walk + 2;
    return walk + 3;
}

static bool ready(struct rg_gen *g, struct rg_term *t,
                  bool (*can)(struct rg_compiler *, struct rg_term *))
{
    rg_attempt(g->c);
    bool ok = can(g->c, t);
    rg_attempt(g->c);
    return ok;
}

/* All variables of a key are bound: it is looked up. Else it is walked for. */
static void see_free(void *with, struct rg_term *t)
{
    bool *is_free = with;
    *is_free |= t->var != NULL && !t->var->is_bound;
}

static bool is_pattern(struct rg_term *t)
{
    bool is_free = false;
    if (t->kind == RG_T_VAR || t->kind == RG_T_ARRAY || t->kind == RG_T_OBJECT) {
        rg_walk_term(t, see_free, &is_free);
    }
    return is_free;
}

static uint32_t gen_key(struct rg_gen *g, uint32_t base, struct rg_term *key)
{
    if (is_pattern(key)) {
        uint32_t k = 0, v = rg_gen_loop(g, base, &k);
        rg_gen_match(g, key, k);
        return v;
    }
    uint32_t k = rg_gen_term(g, key), to = rg_reg(g, 1);
    rg_emit(g, RG_OP_DOT, to, base, k);
    return to;
}

/* A document at constant keys, as many as there are; *ret_used of the ref's items are used up. */
static uint32_t gen_path(struct rg_gen *g, enum rg_op op, const struct rg_term *t,
                         uint32_t *ret_used)
{
    struct rg_val path = rg_array(g->heap, 4);
    uint32_t i = 1, to = rg_reg(g, 1);
    while (t->kind == RG_T_REF && i < t->n && t->items[i]->kind == RG_T_VALUE) {
        rg_push(g->heap, path, t->items[i++]->value);
    }
    *ret_used = i;
    rg_emit_d(g, op, to, rg_const(g, path), 0, g->c->slots++);
    return to;
}

static uint32_t gen_data(struct rg_gen *g, struct rg_term *t, uint32_t *ret_used, bool *ret_doc)
{
    struct rg_node *node = rg_ref_node(g->c, t, ret_used);
    if (node == NULL) {
        return gen_path(g, RG_OP_BASE, t, ret_used);
    }
    uint32_t to = rg_reg(g, 1);
    if (node->group != NULL && node->n == 0) {
        need_group(g->c, node->group);
        rg_emit_d(g, RG_OP_RULE, to, 0, 0, node->group->id);
        return to;
    }
    need_match(g->c, node, t, *ret_used);
    uint32_t path = rg_const_index(g, node->path);
    rg_emit_d(g, RG_OP_DOC, to, 0, 0, path);
    *ret_doc = true;
    return to;
}

static uint32_t gen_ref(struct rg_gen *g, struct rg_term *t)
{
    struct rg_term *head = t->kind == RG_T_REF ? t->items[0] : t;
    uint32_t used = 1, at = 0;
    bool is_doc = false;
    if (rg_is_root(head, "input")) {
        at = gen_path(g, RG_OP_INPUT, t, &used);
    } else if (rg_is_root(head, "data")) {
        at = gen_data(g, t, &used, &is_doc);
    } else {
        at = rg_gen_term(g, head);
    }
    for (uint32_t i = used; t->kind == RG_T_REF && i < t->n && !g->is_bad; i++) {
        at = gen_key(g, at, t->items[i]);
    }
    if (is_doc) {
        rg_emit(g, RG_OP_FORCE, at, 0, 0);
    }
    return at;
}

uint32_t *rg_gen_all(struct rg_gen *g, struct rg_term **items, uint32_t n)
{
    uint32_t *operands =
        rg_new(g->heap, (n + 1) * sizeof(*operands)); /* bounded by a module's text */
    for (uint32_t i = 0; i < n; i++) {
        operands[i] = UINT32_MAX;
    }
    for (uint32_t left = n; left > 0 && !g->is_bad;) {
        uint32_t before = left;
        for (uint32_t i = 0; i < n; i++) {
            if (operands[i] == UINT32_MAX &&
                (items[i]->kind == RG_T_VALUE || ready(g, items[i], rg_can_eval))) {
                operands[i] = rg_gen_term(g, items[i]);
                left--;
            }
        }
        if (left == before) {
            for (uint32_t i = 0; i < n; i++) {
                operands[i] = operands[i] == UINT32_MAX ? rg_gen_term(g, items[i])
                                                        : operands[i]; /* reports what is unsafe */
            }
            break;
        }
    }
    return operands;
}

static uint32_t gen_composite(struct rg_gen *g, struct rg_term *t)
{
    struct rg_val ground = rg_term_ground(g->heap, t);
    if (ground.tag != RG_UNDEF) {
        return rg_const(g, ground);
    }
    uint32_t *operands = rg_gen_all(g, t->items, t->n);
    uint32_t first = g->is_bad ? 1 : rg_in_row(g, operands, t->n), to = rg_reg(g, 1);
    enum rg_op op = t->kind == RG_T_ARRAY ? RG_OP_ARRAY
                    : t->kind == RG_T_SET ? RG_OP_SET
                                          : RG_OP_OBJECT;
    rg_emit(g, op, to, first, t->n);
    return to;
}

static uint32_t gen_comprehension(struct rg_gen *g, struct rg_term *t)
{
    uint32_t to = rg_reg(g, 1), outer = g->fail, end = rg_label(g);
    bool array = t->kind == RG_T_ARRAY_OF, set = t->kind == RG_T_SET_OF;
    rg_emit(g, array ? RG_OP_ARRAY_NEW : set ? RG_OP_SET_NEW : RG_OP_OBJECT_NEW, to, 0, 0);
    bool any_order = g->any_order;
    g->any_order = !array;
    g->fail = end;
    g->c->depth++;
    rg_gen_body(g, t->body);
    uint32_t *heads = rg_gen_all(g, t->items, t->n);
    if (t->n == 2) {
        rg_emit(g, RG_OP_PUT, to, heads[0], heads[1]);
    } else {
        rg_emit(g, array ? RG_OP_PUSH : RG_OP_ADD, to, heads[0], 0);
    }
    rg_jump(g, g->fail);
    g->any_order = any_order;
    g->c->depth--;
    rg_place(g, end);
    g->fail = outer;
    return to;
}

static uint32_t gen_template(struct rg_gen *g, struct rg_term *t)
{
    uint32_t outer = g->fail, first = rg_reg(g, t->n), to = rg_reg(g, 1);
    for (uint32_t i = 0; i < t->n && !g->is_bad; i++) {
        if (t->items[i]->kind == RG_T_VALUE) {
            rg_emit(g, RG_OP_MOVE, first + i, rg_const(g, t->items[i]->value), 0);
            continue;
        }
        uint32_t missing = rg_label(g);
        rg_emit(g, RG_OP_UNSET, first + i, 0, 0);
        g->fail = missing;
        struct rg_term *of = t->items[i];
        if (of->body != NULL) {
            rg_gen_closure(g, of->body, 1);
        }
        uint32_t v = rg_gen_term(g, of->items[0]);

        uint32_t wrapped = rg_reg(g, 1);
        rg_emit(g, RG_OP_ARRAY, wrapped, rg_in_row(g, &v, 1), of->n);
        rg_emit(g, RG_OP_MOVE, first + i, wrapped, 0);
        rg_place(g, missing);
    }
    g->fail = outer;
    rg_emit(g, RG_OP_TEMPLATE, to, first, t->n);
    return to;
}

uint32_t rg_gen_term(struct rg_gen *g, struct rg_term *t)
{
    if (g->is_bad || t->held != 0) {
        return g->is_bad ? 0 : t->held;
    }
    switch ((enum rg_kind)t->kind) {
    case RG_T_VALUE:
        return rg_const(g, t->value);
    case RG_T_VAR:
        if (t->var == NULL) {
            return gen_ref(g, t);
        }
        if (!t->var->is_bound) {
            unsafe(g, t);
            return 0;
        }
        return t->var->reg;
    case RG_T_REF:
        return gen_ref(g, t);
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
        return gen_composite(g, t);
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
        return gen_comprehension(g, t);
    case RG_T_CALL:
        return rg_gen_call(g, t, t->n - 1);
    case RG_T_TEMPLATE:
        return gen_template(g, t);
    }
    return 0;
}

/* What a call has, in lines below the error. */
static const char *arity_details(struct rg_gen *g, const struct rg_term *t, const struct rg_decl *decl)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_text(&text, "have: (");
    for (uint32_t i = 1; i < t->n; i++) {
        struct rg_val ground = rg_term_ground(g->heap, t->items[i]);
        mln_buf_add_text(&text, i == 1 ? "" : ", ");
        rg_type_print(&text, ground.tag == RG_UNDEF ? NULL : rg_type_of_value(g->heap, ground));
    }
    mln_buf_add_text(&text, ")\nwant: ");
    rg_type_print_args(&text, rg_type_of_decl(g->heap, decl));
    return rg_text_dup(g->heap, mln_buf_bytes(&text));
}

static void report_callee(struct rg_gen *g, const struct rg_term *t, const struct rg_callee *callee)
{
    const char *name = rg_term_text(g->heap, t->items[0]);
    struct rg_errors *errors = g->c->errors;
    uint32_t before = errors->n;
    bool is_function = callee->group != NULL && callee->group->kind == RG_G_FUNCTION;
    if (callee->decl == NULL && !is_function) {
        rg_report(errors, "rego_type_error", t->loc, "undefined function %s", name);
    } else if (is_function) {
        rg_report(errors, "rego_type_error", t->loc, "function %s has arity %u, got %u argument%s",
                  name, callee->arity, t->n - 1, t->n == 2 ? "" : "s");
    } else {
        rg_report(errors, "rego_type_error", t->loc, "%s: arity mismatch", name);
        if (errors->n > before) {
            errors->list[before].details = arity_details(g, t, callee->decl);
        }
    }
    g->is_bad = true;
}

static bool is_notes(const struct rg_decl *decl, const char *name)
{
    return decl != NULL && mln_bytes_is(mln_bytes_of(decl->name), name);
}

uint32_t rg_gen_call(struct rg_gen *g, struct rg_term *t, uint32_t args_n)
{
    struct rg_callee callee = rg_callee_of(g->c, t->items[0]);
    struct rg_loc loc = g->loc;
    bool is_value = callee.group != NULL && callee.group->kind != RG_G_FUNCTION;
    if ((callee.decl == NULL && callee.group == NULL) || args_n != callee.arity || is_value) {
        report_callee(g, t, &callee);
        return 0;
    }
    if (is_notes(callee.decl, "rego.metadata.rule")) {
        return rg_const(g, rg_notes_rule(g->c));
    }
    if (is_notes(callee.decl, "rego.metadata.chain")) {
        return rg_const(g, rg_notes_chain(g->c));
    }
    if (callee.decl != NULL && (callee.decl->flags & RG_DEPRECATED) != 0 && g->c->module != NULL &&
        g->c->module->is_v1) {
        struct rg_errors *late = g->c->late != NULL ? g->c->late : g->c->errors;
        rg_report(late, "rego_type_error", g->loc,
                  "deprecated built-in function calls in expression: %s", callee.decl->name);
    }
    uint32_t *operands = rg_gen_all(g, t->items + 1, args_n);
    uint32_t first = g->is_bad ? 1 : rg_in_row(g, operands, args_n), to = rg_reg(g, 1);
    g->loc = t->loc;
    if (callee.group != NULL) {
        need_group(g->c, callee.group);
        rg_emit_d(g, RG_OP_FUNC, to, first, args_n, callee.group->id);
    } else {
        rg_emit_d(g, RG_OP_CALL, to, first, args_n, (uint32_t)(callee.decl - rg_decl_at(0)));
    }
    g->loc = loc;
    if (callee.decl != NULL && (callee.decl->flags & RG_RELATION) != 0) {
        uint32_t key = 0;
        return rg_gen_loop(g, to, &key);
    }
    return to;
}

static void match_items(struct rg_gen *g, struct rg_term *pattern, uint32_t operand)
{
    bool array = pattern->kind == RG_T_ARRAY;
    uint32_t step = array ? 1 : 2, n = pattern->n / step;
    rg_emit(g, array ? RG_OP_ARRAY_IS : RG_OP_OBJECT_IS, operand, 0, n);
    uint32_t *parts = rg_new(g->heap, (n + 1) * sizeof(*parts));
    bool *done = rg_new(g->heap, n + 1);
    for (uint32_t i = 0; i < n && !g->is_bad; i++) {
        uint32_t key = array ? rg_const(g, rg_int(i)) : rg_gen_term(g, pattern->items[2 * i]);
        parts[i] = rg_reg(g, 1);
        done[i] = false;
        rg_emit(g, RG_OP_DOT, parts[i], operand, key);
    }
    for (bool moved = true; moved && !g->is_bad;) {
        moved = false;
        for (uint32_t i = 0; i < n; i++) {
            struct rg_term *item = pattern->items[i * step + step - 1];
            if (!done[i] && ready(g, item, rg_can_match)) {
                rg_gen_match(g, item, parts[i]);
                done[i] = moved = true;
            }
        }
    }
    for (uint32_t i = 0; i < n && !g->is_bad; i++) {
        if (!done[i]) {
            rg_gen_match(g, pattern->items[i * step + step - 1],
                         parts[i]); /* reports what is unsafe */
        }
    }
}

void rg_gen_match(struct rg_gen *g, struct rg_term *pattern, uint32_t operand)
{
    if (g->is_bad) {
        return;
    }
    if (pattern->kind == RG_T_VAR && pattern->var != NULL && !pattern->var->is_bound) {
        pattern->var->is_bound = true;
        pattern->var->reg = operand;
        return;
    }
    if ((pattern->kind == RG_T_ARRAY || pattern->kind == RG_T_OBJECT) && is_pattern(pattern)) {
        match_items(g, pattern, operand);
        return;
    }
    rg_emit(g, RG_OP_EQ, 0, operand, rg_gen_term(g, pattern));
}

void rg_gen_unify(struct rg_gen *g, struct rg_term *a, struct rg_term *b)
{
    if (ready(g, a, rg_can_eval)) {
        rg_gen_match(g, b, rg_gen_term(g, a));
        return;
    }
    if (ready(g, b, rg_can_eval)) {
        rg_gen_match(g, a, rg_gen_term(g, b));
        return;
    }
    if (a->kind != b->kind || a->n != b->n || (a->kind != RG_T_ARRAY && a->kind != RG_T_OBJECT)) {
        (void)rg_gen_term(g, a); /* reports what is unsafe */
        return;
    }
    bool *done = rg_new(g->heap, a->n + 1);
    mln_fill(done, 0, a->n + 1);
    for (bool moved = true; moved && !g->is_bad;) {
        moved = false;
        for (uint32_t i = 0; i < a->n; i++) {
            rg_attempt(g->c);
            if (!done[i] && rg_can_unify(g->c, a->items[i], b->items[i])) {
                rg_gen_unify(g, a->items[i], b->items[i]);
                done[i] = moved = true;
            }
        }
    }
}
