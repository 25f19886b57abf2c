/* SPDX-License-Identifier: Apache-2.0 */
/* Code of rules: all rules of a path are one program. */
#include "rego/gen_priv.h"

static void enter(struct rg_gen *g, struct rg_rule *rule)
{
    rg_enter_rule(g->c, rule);
    g->was_bad |= g->is_bad;
    g->is_bad = g->is_head = false;
    g->c->depth = 1;
    g->loc = rule->loc;
}

/* Arguments that are patterns, or (late) those that need what the body binds. */
static void match_args(struct rg_gen *g, const struct rg_rule *rule, bool late)
{
    g->c->depth = 0;
    for (uint32_t i = 0; i < rule->args_n; i++) {
        bool pattern = rule->args[i]->kind != RG_T_TEMPLATE && rule->args[i]->kind != RG_T_CALL;
        if (pattern != late) {
            rg_gen_match(g, rule->args[i], 1 + i);
        }
    }
    g->c->depth = 1;
}

static struct rg_val constant_of(struct rg_gen *g, const struct rg_rule *rule)
{
    return rule->value == NULL ? RG_NONE : rg_term_ground(g->heap, rule->value);
}

/* All values are one constant: the first that is found is the answer. */
static bool may_exit(struct rg_gen *g, const struct rg_group *group)
{
    struct rg_val one = RG_NONE;
    for (uint32_t i = 0; i < group->n; i++) {
        for (const struct rg_rule *r = group->rules[i]; r != NULL; r = r->otherwise) {
            struct rg_val v = constant_of(g, r);
            if (v.tag == RG_UNDEF || (one.tag != RG_UNDEF && !rg_eq(one, v))) {
                return false;
            }
            one = v;
        }
    }
    return true;
}

/* One rule and its else. */
static void gen_chain(struct rg_gen *g, struct rg_rule *rule, bool exits)
{
    uint32_t flag = rg_reg(g, 1), done = rg_label(g);
    rg_emit(g, RG_OP_UNSET, flag, 0, 0);
    for (struct rg_rule *r = rule; r != NULL; r = r->otherwise) {
        uint32_t end = rg_label(g);
        enter(g, r);
        g->fail = end;
        uint32_t note = rg_note_rule(g, r);
        match_args(g, r, false);
        rg_gen_note(g, MLN_REGO_ENTER, note);
        rg_gen_body(g, r->body);
        g->is_head = true;
        match_args(g, r, true);
        uint32_t v = g->is_bad ? 0 : rg_gen_term(g, r->value);
        g->loc = r->loc;
        rg_gen_note(g, MLN_REGO_EXIT, note);
        rg_emit(g, exits ? RG_OP_DONE : RG_OP_RESULT, v, flag, rule->is_function);
        rg_place(g, end);
        g->fail = done;
        if (r->otherwise != NULL) {
            rg_emit(g, RG_OP_IF_SET, flag, 0, 0);
        }
    }
    rg_place(g, done);
}

static void gen_default(struct rg_gen *g, struct rg_rule *rule)
{
    uint32_t end = rg_label(g);
    g->fail = end;
    rg_emit(g, RG_OP_IF_SET, 0, 0, 0);
    enter(g, rule);
    rg_gen_note(g, MLN_REGO_EXIT, rg_note_rule(g, rule));
    match_args(g, rule, false);
    rg_emit(g, RG_OP_MOVE, 0, g->is_bad ? 0 : rg_gen_term(g, rule->value), 0);
    rg_place(g, end);
}

static void gen_complete(struct rg_gen *g, struct rg_group *group)
{
    if (group->kind == RG_G_FUNCTION) {
        (void)rg_reg(g, group->arity);
    }
    bool exits = may_exit(g, group);
    rg_emit(g, RG_OP_UNSET, 0, 0, 0);
    for (uint32_t i = 0; i < group->n; i++) {
        gen_chain(g, group->rules[i], exits);
    }
    if (group->fallback != NULL) {
        gen_default(g, group->fallback);
    }
}

static void gen_set(struct rg_gen *g, struct rg_group *group)
{
    rg_emit(g, RG_OP_SET_NEW, 0, 0, 1);
    for (uint32_t i = 0; i < group->n; i++) {
        uint32_t end = rg_label(g);
        enter(g, group->rules[i]);
        g->fail = end;
        uint32_t note = rg_note_rule(g, group->rules[i]);
        rg_gen_note(g, MLN_REGO_ENTER, note);
        rg_gen_body(g, group->rules[i]->body);
        g->is_head = true;
        uint32_t v = g->is_bad ? 0 : rg_gen_term(g, group->rules[i]->key);
        rg_gen_note(g, MLN_REGO_EXIT, note);
        rg_emit(g, RG_OP_ADD, 0, v, 0);
        rg_jump(g, g->fail);
        rg_place(g, end);
    }
}

static void gen_object_rule(struct rg_gen *g, struct rg_group *group, struct rg_rule *r)
{
    uint32_t fixed = 1,
             package_n = rg_node_package(g->c->policy, r->module->package, false)->path.arr->len;
    fixed = group->node->path.arr->len - package_n; /* items of the ref that are the group's path */
    uint32_t n = r->ref->n - fixed, note = rg_note_rule(g, r);
    rg_gen_note(g, MLN_REGO_ENTER, note);
    bool is_table = g->c->policy->options.has_print && r->head != RG_HEAD_SET &&
                    mln_bytes_starts(mln_bytes_of(r->ref->items[0]->name->text), MLN_BYTES("test_"));
    g->case_keys = is_table ? r->ref->items + fixed : NULL;
    g->case_n = n;
    rg_gen_body(g, r->body);
    g->case_keys = NULL;
    g->is_head = true;
    struct rg_term **items = rg_new(g->heap, (n + 1) * sizeof(*items));
    mln_copy(items, r->ref->items + fixed, n * sizeof(*items));
    items[n] = r->head == RG_HEAD_SET ? r->key : r->value;
    uint32_t *operands = g->is_bad ? NULL : rg_gen_all(g, items, n + 1);
    if (operands != NULL && !g->is_bad) {
        g->loc = r->loc;
        rg_gen_note(g, MLN_REGO_EXIT, note);
        rg_emit(g, r->head == RG_HEAD_SET ? RG_OP_ADD_PATH : RG_OP_PUT_PATH, operands[n],
                rg_in_row(g, operands, n), n);
    }
    rg_jump(g, g->fail);
}

static void gen_object(struct rg_gen *g, struct rg_group *group)
{
    rg_emit(g, RG_OP_OBJECT_NEW, 0, 0, 1);
    for (uint32_t i = 0; i < group->n; i++) {
        uint32_t end = rg_label(g);
        enter(g, group->rules[i]);
        g->fail = end;
        gen_object_rule(g, group, group->rules[i]);
        rg_place(g, end);
    }
}

void rg_gen_group(struct rg_compiler *c, struct rg_group *group)
{
    struct rg_gen gen, *g = &gen;
    rg_gen_begin(g, c, group->name);
    g->any_order = true;
    c->group = group;
    g->fail = rg_label(g);
    if (group->kind == RG_G_SET) {
        gen_set(g, group);
    } else if (group->kind == RG_G_OBJECT) {
        gen_object(g, group);
    } else {
        gen_complete(g, group);
    }
    rg_place(g, 0);
    rg_emit(g, RG_OP_END, 0, 0, 0);
    group->proc = rg_gen_end(g);
    c->rule = NULL;
    c->group = NULL;
}
