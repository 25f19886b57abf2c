/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: heads of all forms, else, default, the chained bodies of v0. */
#include "rego/parse_priv.h"

static struct rg_rule *rule_new(struct rg_parser *p)
{
    struct rg_rule *r = rg_new(p->heap, sizeof(*r));
    *r = (struct rg_rule){.loc = p->x.loc, .module = p->module};
    return r;
}

static void add_rule(struct rg_parser *p, struct rg_rule *r)
{
    struct rg_module *m = p->module;
    if (m->rules_n == m->rules_cap) {
        uint32_t cap = m->rules_cap == 0 ? 16 : m->rules_cap * 2;
        struct rg_rule **more = rg_try(p->heap, cap * sizeof(*more));
        if (more == NULL) {
            rg_refuse(p, "no memory");
            return;
        }
        mln_copy(more, m->rules, m->rules_n * sizeof(*more));
        m->rules = more;
        m->rules_cap = cap;
    }
    m->rules[m->rules_n++] = r;
}

static struct rg_term *true_term(struct rg_parser *p, struct rg_loc loc)
{
    struct rg_term *t = rg_term_value(p->heap, rg_bool(true), loc);
    t->is_generated = true;
    return t;
}

static struct rg_body *true_body(struct rg_parser *p, struct rg_loc loc)
{
    struct rg_body *body = rg_new(p->heap, sizeof(*body));
    *body = (struct rg_body){.loc = loc};
    struct rg_expr *e = rg_new(p->heap, sizeof(*e));
    *e = (struct rg_expr){.kind = RG_E_TERM, .loc = loc, .term = true_term(p, loc)};
    rg_body_add(p->heap, body, e);
    return body;
}

static bool parse_head_args(struct rg_parser *p, struct rg_rule *r)
{
    if (!rg_at_sign(p, "(") || !rg_is_glued(p)) {
        return true;
    }
    struct rg_list list = {0};
    rg_lex_next(&p->x);
    if (!rg_parse_args(p, ")", &list)) {
        return false;
    }
    r->args = list.items;
    r->args_n = list.n;
    r->is_function = list.n > 0; /* without arguments it is a rule like others, as in OPA */
    return true;
}

/* Behind the ref: "contains k", ":= v", "= v" or nothing. */
static bool parse_head_value(struct rg_parser *p, struct rg_rule *r)
{
    if (p->has_contains && rg_take_word(p, "contains")) {
        r->head = RG_HEAD_SET;
        r->key = rg_parse_term(p, RG_P_IN);
        return r->key != NULL;
    }
    r->is_assign = rg_at_sign(p, ":=");
    if (rg_take_sign(p, ":=") || rg_take_sign(p, "=")) {
        r->has_value = true;
        r->value = rg_parse_in(p);
        return r->value != NULL;
    }
    r->value = true_term(p, r->loc);
    return true;
}

static bool parse_head(struct rg_parser *p, struct rg_rule *r)
{
    struct mln_bytes text = rg_token_text(p);
    bool is_word = p->x.token == RG_K_NAME;
    bool dotted = p->x.at < p->x.end && (*p->x.at == '.' || *p->x.at == '[');
    if (!is_word || (rg_is_reserved(p, text) && !dotted)) {
        rg_unexpected(p, "");
        return false;
    }
    if (mln_bytes_is(text, "_")) {
        rg_refuse(p, "expected rule head name");
        return false;
    }
    r->ref = rg_parse_head_ref(p);
    return r->ref != NULL && parse_head_args(p, r) && parse_head_value(p, r);
}

/* "if { ... }", "if expression", in v0 also "{ ... }". *ret_body stays NULL when there is none. */
static bool parse_rule_body(struct rg_parser *p, struct rg_body **ret_body, bool *ret_if)
{
    *ret_if = p->has_if && rg_take_word(p, "if");
    if (!*ret_if && !rg_at_sign(p, "{")) {
        return true;
    }
    struct rg_saved saved;
    if (rg_at_sign(p, "{")) {
        if (!*ret_if && p->module->is_v1) {
            rg_refuse(p, "`if` keyword is required before rule body");
            return false;
        }
        bool trial = *ret_if && rg_try_begin(p, &saved);
        rg_lex_next(&p->x);
        if (rg_at_sign(p, "}")) {
            p->trial -= trial;
            rg_refuse(p, "found empty body");
            return false;
        }
        *ret_body = rg_parse_body(p, "}");
        bool logic = *ret_body != NULL && (rg_at_word(p, "and") || rg_at_word(p, "or"));
        bool operator= p->x.token == RG_K_SIGN && !rg_at_sign(p, ";") && !rg_at_sign(p, "{");
        bool ok = *ret_body != NULL &&
                  (p->x.is_first || !(operator|| rg_at_word(p, "in") || rg_at_word(p, "with")));
        ok = ok && !(logic && (p->module->has_and || p->module->has_or));
        if (!trial) {
            return *ret_body != NULL;
        }
        rg_try_end(p, &saved, ok);
        if (ok) {
            return true;
        }
        struct rg_saved again;
        *ret_body = NULL;
        if (rg_try_begin(
                p,
                &again)) { /* a set or object as the one expression, or else the error of the body */
            struct rg_expr *e = rg_parse_literal(p);
            rg_try_end(p, &again, false);
            if (e == NULL) {
                rg_lex_next(&p->x);
                *ret_body = rg_parse_body(p, "}");
                return *ret_body != NULL;
            }
        }
    }
    struct rg_expr *e = rg_parse_literal(p);
    if (e == NULL) {
        return false;
    }
    *ret_body = rg_new(p->heap, sizeof(**ret_body));
    **ret_body = (struct rg_body){.loc = e->loc};
    rg_body_add(p->heap, *ret_body, e);
    return true;
}

static bool parse_else(struct rg_parser *p, struct rg_rule *r)
{
    while (rg_at_word(p, "else") && !rg_is_keyed(p)) {
        if (r->head == RG_HEAD_SET) {
            rg_refuse(p, "else keyword cannot be used on multi-value rules");
            return false;
        }
        struct rg_rule *e = rule_new(p);
        rg_lex_next(&p->x);
        e->is_else = true;
        e->ref = r->ref;
        e->args = rg_terms_copy(p->heap, r->args, r->args_n);
        e->args_n = r->args_n;
        e->is_function = r->is_function;
        if (!parse_head_value(p, e)) {
            return false;
        }
        bool has_if = false;
        if (!parse_rule_body(p, &e->body, &has_if)) {
            return false;
        }
        if (e->body == NULL && !e->has_value) {
            rg_unexpected(p, "expected else value term or rule body");
            return false;
        }
        if (e->body == NULL) {
            e->body = true_body(p, e->loc);
        }
        e->loc.to = p->x.before;
        r->otherwise = e;
        r = e;
    }
    return true;
}

/* v0: further bodies behind the first are rules with the same head. */
static bool parse_chained(struct rg_parser *p, struct rg_rule *first)
{
    while (!p->module->is_v1 && rg_at_sign(p, "{")) {
        struct rg_rule *r = rule_new(p);
        struct rg_rule copy = *first;
        copy.loc = r->loc;
        copy.otherwise = NULL;
        copy.is_chained = true;
        copy.ref = rg_term_copy(p->heap, first->ref);
        copy.key = rg_term_copy(p->heap, first->key);
        copy.value = rg_term_copy(p->heap, first->value);
        copy.args = rg_terms_copy(p->heap, first->args, first->args_n);
        *r = copy;
        rg_lex_next(&p->x);
        r->body = rg_parse_body(p, "}");
        if (r->body == NULL) {
            return false;
        }
        add_rule(p, r);
    }
    return true;
}

static void finish_head(struct rg_parser *p, struct rg_rule *r, bool has_if)
{
    bool pair = r->ref->n == 2 && !r->is_function && r->head == RG_HEAD_COMPLETE;
    if (pair && !has_if && !r->has_value && !r->is_default) {
        r->head = RG_HEAD_SET; /* v0: p[x] { } */
        r->key = r->ref->items[1];
        r->ref = rg_term_list(p->heap, RG_T_REF, r->ref->loc, r->ref->items, 1);
    }
    if (r->head == RG_HEAD_SET) {
        return;
    }
    for (uint32_t i = 1; i < r->ref->n; i++) {
        if (r->ref->items[i]->kind != RG_T_VALUE) {
            r->head = RG_HEAD_OBJECT;
        }
    }
}

/* What a default value or argument may not hold; NULL: nothing such. Comprehensions stand for themselves. */
static const char *not_fixed(const struct rg_term *t, bool is_arg)
{
    if (t->kind == RG_T_REF || t->kind == RG_T_CALL || (t->kind == RG_T_VAR && !is_arg)) {
        return t->kind == RG_T_REF ? "ref" : t->kind == RG_T_CALL ? "call" : "var";
    }
    for (uint32_t i = 0; t->body == NULL && t->kind != RG_T_TEMPLATE && i < t->n; i++) {
        bool is_closure = t->kind == RG_T_ARRAY_OF || t->kind == RG_T_SET_OF || t->kind == RG_T_OBJECT_OF;
        const char *why = is_closure ? NULL : not_fixed(t->items[i], false);
        if (why != NULL) {
            return why;
        }
    }
    return NULL;
}

static bool check_default(struct rg_parser *p, const struct rg_rule *r)
{
    const char *why = not_fixed(r->value, false);
    if (why != NULL) {
        p->x.loc = r->loc;
        rg_refuse(p, "illegal default rule (value cannot contain %s)", why);
    }
    return why == NULL;
}

void rg_parse_rule(struct rg_parser *p)
{
    struct rg_rule *r = rule_new(p);
    r->is_default = !rg_is_keyed(p) && rg_take_word(p, "default");
    if (!parse_head(p, r)) {
        return;
    }
    bool has_if = false;
    if (r->is_default) {
        if (!r->has_value) {
            rg_unexpected(p, "expected default rule value");
            return;
        }
        if (!check_default(p, r)) {
            return;
        }
        r->body = true_body(p, r->loc);
    } else if (!parse_rule_body(p, &r->body, &has_if)) {
        return;
    }
    bool bare = r->body == NULL && !r->has_value && r->head != RG_HEAD_SET;
    if (bare && !r->is_function && (r->ref->n == 1 || p->module->is_v1)) {
        p->x.loc = r->loc;
        rg_refuse(p, r->ref->n == 1 && !r->is_function
                         ? "var cannot be used for rule name"
                         : "`contains` or `if` keyword, or a value, is required");
        return;
    }
    if (p->module->is_v1 && !has_if && r->body != NULL && !r->is_default) {
        p->x.loc = r->loc;
        rg_refuse(p, "`if` keyword is required before rule body");
        return;
    }
    finish_head(p, r, has_if);
    if (r->body == NULL) {
        r->body = true_body(p, r->loc);
    }
    if (!r->is_default && !parse_else(p, r)) {
        return;
    }
    r->loc.to = p->x.before;
    r->end_row = p->x.row_before;
    add_rule(p, r);
    (void)parse_chained(p, r);
}
