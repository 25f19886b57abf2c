/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies and expressions: some, every, not, with, and the logical operators of rego.v2. */
#include "rego/parse_priv.h"

static struct rg_expr *expr_new(struct rg_parser *p, enum rg_expr_kind kind, struct rg_loc loc)
{
    struct rg_expr *e = rg_new(p->heap, sizeof(*e));
    *e = (struct rg_expr){.kind = (uint8_t)kind, .loc = loc};
    return e;
}

static struct rg_body *body_of(struct rg_parser *p, struct rg_expr *e)
{
    struct rg_body *body = rg_new(p->heap, sizeof(*body));
    *body = (struct rg_body){.loc = e->loc};
    rg_body_add(p->heap, body, e);
    return body;
}

static void set_terms(struct rg_parser *p, struct rg_expr *e, const struct rg_list *list)
{
    e->terms = rg_new(p->heap, (list->n + 1) * sizeof(*e->terms));
    mln_copy(e->terms, list->items, list->n * sizeof(*e->terms));
    e->n = list->n;
}

static struct rg_expr *parse_some(struct rg_parser *p)
{
    struct rg_loc loc = p->x.loc;
    struct rg_list list = {0};
    rg_lex_next(&p->x);
    do {
        struct rg_term *t = rg_parse_term(p, RG_P_RELATION);
        if (t == NULL) {
            return NULL;
        }
        rg_list_add(p, &list, t);
    } while (rg_take_sign(p, ","));
    if (p->has_in && rg_take_word(p, "in")) {
        struct rg_term *domain = rg_parse_term(p, RG_P_IN);
        if (domain == NULL || list.n > 2) {
            rg_refuse(p, "illegal `some` declaration: expected at most two variables before `in`");
            return NULL;
        }
        struct rg_list three = {0};
        rg_list_add(p, &three, list.n == 2 ? list.items[0] : NULL);
        rg_list_add(p, &three, list.items[list.n - 1]);
        rg_list_add(p, &three, domain);
        struct rg_expr *e = expr_new(p, RG_E_SOME_IN, loc);
        set_terms(p, e, &three);
        return e;
    }
    for (uint32_t i = 0; i < list.n; i++) {
        if (list.items[i]->kind != RG_T_VAR) {
            rg_refuse(p, "illegal `some` declaration: expected variable");
            return NULL;
        }
    }
    struct rg_expr *e = expr_new(p, RG_E_SOME, loc);
    set_terms(p, e, &list);
    return e;
}

static struct rg_expr *parse_every(struct rg_parser *p)
{
    struct rg_expr *e = expr_new(p, RG_E_EVERY, p->x.loc);
    struct rg_list list = {0};
    rg_lex_next(&p->x);
    struct rg_term *first = rg_parse_term(p, RG_P_PRIMARY), *second = NULL;
    if (first != NULL && rg_take_sign(p, ",")) {
        second = rg_parse_term(p, RG_P_PRIMARY);
    }
    if (p->is_bad || !rg_take_word(p, "in")) {
        rg_unexpected(p, "expected `x[, y] in xs { ... }` expression");
        return NULL;
    }
    struct rg_term *domain = rg_parse_term(p, RG_P_RELATION);
    bool vars = first->kind == RG_T_VAR && (second == NULL || second->kind == RG_T_VAR);
    if (domain == NULL || !vars || !rg_want_sign(p, "{")) {
        rg_refuse(p, "expected `x[, y] in xs { ... }` expression");
        return NULL;
    }
    rg_list_add(p, &list, second != NULL ? first : NULL);
    rg_list_add(p, &list, second != NULL ? second : first);
    rg_list_add(p, &list, domain);
    set_terms(p, e, &list);
    e->left = rg_parse_body(p, "}");
    return e->left == NULL ? NULL : e;
}

static struct rg_expr *parse_term_expr(struct rg_parser *p)
{
    struct rg_expr *e = expr_new(p, RG_E_TERM, p->x.loc);
    struct rg_term *t = rg_parse_in(p);
    const char *op = rg_at_sign(p, ":=") ? "assign" : rg_at_sign(p, "=") ? "eq" : NULL;
    if (t != NULL && op != NULL) {
        rg_lex_next(&p->x);
        struct rg_term *right = rg_parse_in(p);
        t = right == NULL ? NULL : rg_call2(p, op, e->loc, t, right);
    }
    e->term = t;
    return t == NULL ? NULL : e;
}

/* `with f as count`: the name of a builtin is no variable. */
static void mark_name(struct rg_parser *p, struct rg_with *w)
{
    struct rg_term *head = w->target->kind == RG_T_REF ? w->target->items[0] : w->target;
    bool input = rg_name_is(head->name, "input");
    if (!input && (w->value->kind == RG_T_VAR || w->value->kind == RG_T_REF)) {
        w->value->is_name = rg_decl_find(mln_bytes_of(rg_term_text(p->heap, w->value))) != NULL;
    }
}

static bool parse_with(struct rg_parser *p, struct rg_expr *e)
{
    while (rg_at_word(p, "with")) {
        struct rg_with w = {.loc = p->x.loc};
        rg_lex_next(&p->x);
        w.target = rg_parse_term(p, RG_P_PRIMARY);
        if (w.target == NULL || !rg_take_word(p, "as")) {
            rg_unexpected(p, "expected `as` keyword");
            return false;
        }
        w.value = rg_parse_term(p, RG_P_IN);
        if (w.value == NULL) {
            return false;
        }
        mark_name(p, &w);
        struct rg_with *more = rg_new(p->heap, (e->with_n + 1) * sizeof(*more));
        mln_copy(more, e->with, e->with_n * sizeof(*more));
        more[e->with_n++] = w;
        e->with = more;
    }
    return true;
}

struct rg_body *rg_parse_with_body(struct rg_parser *p, struct rg_term *t)
{
    struct rg_expr *e = expr_new(p, RG_E_TERM, t->loc);
    e->term = t;
    return parse_with(p, e) ? body_of(p, e) : NULL;
}

static struct rg_expr *parse_logic(struct rg_parser *p);

/* "{ body }" as an operand; NULL and back when it is a term. */
static struct rg_expr *try_block(struct rg_parser *p, bool must)
{
    struct rg_saved saved;
    struct rg_loc loc = p->x.loc;
    if (!rg_try_begin(p, &saved)) {
        return NULL;
    }
    rg_lex_next(&p->x);
    struct rg_body *body = rg_parse_body(p, "}");
    bool ok = body != NULL && (must || rg_at_word(p, "and") || rg_at_word(p, "or"));
    rg_try_end(p, &saved, ok);
    if (!ok) {
        return NULL;
    }
    struct rg_expr *e = expr_new(p, RG_E_BLOCK, loc);
    e->left = body;
    body->is_braced = true;
    return e;
}

static bool ends_operand(const struct rg_parser *p)
{
    return p->x.token == RG_K_END || p->x.is_first || rg_at_word(p, "and") || rg_at_word(p, "or") ||
           rg_at_word(p, "with") || rg_at_word(p, "else") || rg_at_sign(p, ")") ||
           rg_at_sign(p, "}") || rg_at_sign(p, "]") || rg_at_sign(p, ";");
}

/* "( a or b )" as an operand; NULL and back when it is a term. */
static struct rg_expr *try_group(struct rg_parser *p)
{
    struct rg_saved saved;
    struct rg_loc loc = p->x.loc;
    if (!rg_try_begin(p, &saved)) {
        return NULL;
    }
    rg_lex_next(&p->x);
    struct rg_expr *inner = parse_logic(p);
    bool ok = inner != NULL && parse_with(p, inner) && rg_take_sign(p, ")") && ends_operand(p);
    rg_try_end(p, &saved, ok);
    if (!ok) {
        return NULL;
    }
    struct rg_expr *e = expr_new(p, RG_E_BLOCK, loc);
    e->left = body_of(p, inner);
    e->left->is_grouped = true;
    return e;
}

static struct rg_expr *parse_operand(struct rg_parser *p, bool is_right);

static struct rg_expr *parse_not(struct rg_parser *p)
{
    struct rg_expr *e = expr_new(p, RG_E_NOT, p->x.loc);
    rg_lex_next(&p->x);
    struct rg_expr *inner = parse_operand(p, p->module->has_not);
    e->is_closure = p->module->has_not;
    bool is_block = inner != NULL && inner->kind == RG_E_BLOCK && inner->with_n == 0;
    e->left = inner == NULL ? NULL : is_block ? inner->left : body_of(p, inner);
    return inner == NULL ? NULL : e;
}

static struct rg_expr *parse_plain(struct rg_parser *p)
{
    if (rg_at_word(p, "not")) {
        return parse_not(p);
    }
    if (rg_at_word(p, "some")) {
        return parse_some(p);
    }
    if (p->has_every && rg_at_word(p, "every")) {
        return parse_every(p);
    }
    return parse_term_expr(p);
}

static struct rg_expr *parse_operand(struct rg_parser *p, bool is_right)
{
    if (!rg_enter(p)) {
        return NULL;
    }
    bool logic = p->module->has_and || p->module->has_or || p->module->has_not;
    struct rg_expr *e = NULL;
    if (logic && rg_at_sign(p, "{")) {
        e = try_block(p, is_right);
    } else if (logic && rg_at_sign(p, "(")) {
        e = try_group(p);
    }
    if (e == NULL) {
        e = parse_plain(p);
    }
    rg_leave(p);
    return e;
}

static struct rg_expr *join(struct rg_parser *p, enum rg_expr_kind kind, struct rg_expr *a,
                            struct rg_expr *b)
{
    if (a == NULL || b == NULL) {
        return NULL;
    }
    struct rg_expr *e = expr_new(p, kind, a->loc);
    e->left = a->kind == RG_E_BLOCK && a->with_n == 0 ? a->left : body_of(p, a);
    e->right = b->kind == RG_E_BLOCK && b->with_n == 0 ? b->left : body_of(p, b);
    return e;
}

static struct rg_expr *parse_and(struct rg_parser *p, bool is_right)
{
    struct rg_expr *e = parse_operand(p, is_right);
    for (unsigned n = 0;
         e != NULL && n < RG_CHAIN_MAX && p->module->has_and && rg_take_word(p, "and"); n++) {
        e = join(p, RG_E_AND, e, parse_operand(p, true));
    }
    return e;
}

static struct rg_expr *parse_logic(struct rg_parser *p)
{
    if (!rg_enter(p)) {
        return NULL;
    }
    struct rg_expr *e = parse_and(p, false);
    for (unsigned n = 0;
         e != NULL && n < RG_CHAIN_MAX && p->module->has_or && rg_take_word(p, "or"); n++) {
        e = join(p, RG_E_OR, e, parse_and(p, true));
    }
    rg_leave(p);
    return e;
}

struct rg_expr *rg_parse_literal(struct rg_parser *p)
{
    struct rg_expr *e = parse_logic(p);
    if (e != NULL && !parse_with(p, e)) {
        return NULL;
    }
    if (e != NULL) {
        e->loc.to = p->x.before;
    }
    return e;
}

static bool at_close(const struct rg_parser *p, const char *close)
{
    return close[0] == '\0' ? p->x.token == RG_K_END : rg_at_sign(p, close);
}

struct rg_body *rg_parse_body(struct rg_parser *p, const char *close)
{
    if (!rg_enter(p)) {
        return NULL;
    }
    struct rg_body *body = rg_new(p->heap, sizeof(*body));
    *body = (struct rg_body){.loc = p->x.loc};
    while (!p->is_bad && !at_close(p, close)) {
        struct rg_expr *e = rg_parse_literal(p);
        if (e == NULL) {
            break;
        }
        rg_body_add(p->heap, body, e);
        bool more = rg_take_sign(p, ";");
        if (!more && !at_close(p, close) && !p->x.is_first) {
            rg_unexpected(p, close[0] == '}'   ? "expected \\n or ; or }"
                             : close[0] == ']' ? "expected \\n or ; or ]"
                                               : "");
        }
    }
    if (!p->is_bad && body->n == 0) {
        rg_refuse(p, close[0] == '\0' ? "empty body" : "found empty body");
    }
    rg_leave(p);
    if (p->is_bad) {
        return NULL;
    }
    if (close[0] != '\0') {
        rg_lex_next(&p->x);
    }
    return body;
}
