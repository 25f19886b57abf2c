/* SPDX-License-Identifier: Apache-2.0 */
/* Terms: operators by precedence, references, calls, composites, comprehensions, templates. */
#include "rego/parse_priv.h"

static const struct {
    const char *sign, *op;
    int level;
} operators[] = {
    {"==", "equal", RG_P_RELATION}, {"!=", "neq", RG_P_RELATION}, {"<", "lt", RG_P_RELATION},
    {"<=", "lte", RG_P_RELATION},   {">", "gt", RG_P_RELATION},   {">=", "gte", RG_P_RELATION},
    {"|", "or", RG_P_OR},           {"&", "and", RG_P_AND},       {"+", "plus", RG_P_SUM},
    {"-", "minus", RG_P_SUM},       {"*", "mul", RG_P_PRODUCT},   {"/", "div", RG_P_PRODUCT},
    {"%", "rem", RG_P_PRODUCT},
};

/* The operator at the token, of at least `level`; -1 when there is none. */
static int operator_at(const struct rg_parser *p, int level)
{
    for (size_t i = 0; p->x.token == RG_K_SIGN && i < MLN_COUNT(operators); i++) {
        if (operators[i].level >= level && rg_at_sign(p, operators[i].sign)) {
            return (int)i;
        }
    }
    return -1;
}

struct rg_term *rg_call2(struct rg_parser *p, const char *op, struct rg_loc loc, struct rg_term *a,
                         struct rg_term *b)
{
    struct rg_term *items[3] = {rg_term_var(p->heap, rg_name_of(p->names, op), loc), a, b};
    return rg_term_list(p->heap, RG_T_CALL, loc, items, 3);
}

static struct rg_term *parse_infix(struct rg_parser *p, struct rg_term *left, int level)
{
    int op = operator_at(p, level);
    for (unsigned n = 0; op >= 0 && left != NULL; n++) {
        if (n > RG_CHAIN_MAX) {
            rg_refuse(p, "more than %u operators in one term", RG_CHAIN_MAX);
            return NULL;
        }
        struct rg_loc loc = left->loc;
        rg_lex_next(&p->x);
        struct rg_term *right = rg_parse_term(p, operators[op].level + 1);
        if (right == NULL) {
            return NULL;
        }
        left = rg_call2(p, operators[op].op, loc, left, right);
        op = operator_at(p, level);
    }
    return left;
}

/* "x in a in b" */
static struct rg_term *parse_ins(struct rg_parser *p, struct rg_term *t)
{
    for (unsigned n = 0; t != NULL && p->has_in && rg_take_word(p, "in"); n++) {
        struct rg_term *in = rg_parse_term(p, RG_P_RELATION);
        if (n > RG_CHAIN_MAX) {
            rg_refuse(p, "more than %u operators in one term", RG_CHAIN_MAX);
            return NULL;
        }
        t = in == NULL ? NULL : rg_call2(p, "internal.member_2", t->loc, t, in);
    }
    return t;
}

struct rg_term *rg_parse_term(struct rg_parser *p, int level)
{
    struct rg_term *t = rg_parse_primary(p);
    if (level < RG_P_PRIMARY) {
        t = parse_infix(p, t, level > RG_P_IN ? level : RG_P_RELATION);
    }
    return level <= RG_P_IN ? parse_ins(p, t) : t;
}

struct rg_term *rg_parse_in(struct rg_parser *p)
{
    struct rg_term *t = rg_parse_term(p, RG_P_IN);
    struct rg_saved saved;
    if (t == NULL || !p->has_in || !rg_at_sign(p, ",") || !rg_try_begin(p, &saved)) {
        return t;
    }
    rg_lex_next(&p->x);
    struct rg_term *second = rg_parse_term(p, RG_P_RELATION);
    struct rg_term *domain =
        second != NULL && rg_take_word(p, "in") ? rg_parse_term(p, RG_P_RELATION) : NULL;
    rg_try_end(p, &saved, domain != NULL);
    if (domain == NULL) {
        return t;
    }
    struct rg_term *items[4] = {
        rg_term_var(p->heap, rg_name_of(p->names, "internal.member_3"), t->loc), t, second, domain};
    t = rg_term_list(p->heap, RG_T_CALL, t->loc, items, 4);
    t = parse_ins(p, t);
    return t;
}

/* Items up to `close`, which is taken; a comma may stand behind the last. */
bool rg_parse_args(struct rg_parser *p, const char *close, struct rg_list *list)
{
    while (!rg_take_sign(p, close)) {
        struct rg_term *t = rg_parse_term(p, RG_P_IN);
        if (t == NULL) {
            return false;
        }
        rg_list_add(p, list, t);
        if (!rg_take_sign(p, ",") && !rg_at_sign(p, close)) {
            rg_unexpected(p, "expected \",\" or the closing bracket");
            return false;
        }
    }
    return !p->is_bad;
}

static struct rg_term *as_ref(struct rg_parser *p, struct rg_term *head, struct rg_list *keys)
{
    if (keys->n == 0) {
        return head;
    }
    struct rg_list all = {0};
    if (head->kind == RG_T_REF) {
        for (uint32_t i = 0; i < head->n; i++) {
            rg_list_add(p, &all, head->items[i]);
        }
    } else {
        rg_list_add(p, &all, head);
    }
    for (uint32_t i = 0; i < keys->n; i++) {
        rg_list_add(p, &all, keys->items[i]);
    }
    keys->n = 0;
    return rg_term_list(p->heap, RG_T_REF, head->loc, all.items, all.n);
}

static struct rg_term *parse_dot(struct rg_parser *p)
{
    if (p->x.token != RG_K_NAME || !rg_is_glued(p)) {
        rg_unexpected(p, "expected ident");
        return NULL;
    }
    struct rg_term *t = rg_term_value(p->heap, RG_NONE, p->x.loc);
    const struct rg_str *name = rg_name(p->names, rg_token_text(p));
    t->value = (struct rg_val){.tag = RG_STR, .hash = name->hash, .str = name};
    rg_lex_next(&p->x);
    return t;
}

/* One key, ".name" or "[term]", when one follows without a blank. false: none, or an error. */
static bool parse_key(struct rg_parser *p, struct rg_list *keys)
{
    if (!rg_is_glued(p) || (!rg_at_sign(p, ".") && !rg_at_sign(p, "["))) {
        return false;
    }
    bool dot = rg_at_sign(p, ".");
    rg_lex_next(&p->x);
    struct rg_term *key = dot ? parse_dot(p) : rg_parse_term(p, RG_P_IN);
    if (key == NULL || (!dot && !rg_want_sign(p, "]"))) {
        return false;
    }
    rg_list_add(p, keys, key);
    return true;
}

static struct rg_term *parse_call(struct rg_parser *p, struct rg_term *op)
{
    struct rg_list list = {0};
    rg_list_add(p, &list, op);
    rg_lex_next(&p->x);
    if (!rg_parse_args(p, ")", &list)) {
        return NULL;
    }
    struct rg_term *t = rg_term_list(p->heap, RG_T_CALL, op->loc, list.items, list.n);
    t->loc.to = p->x.before;
    return t;
}

static struct rg_term *parse_postfix(struct rg_parser *p, struct rg_term *t)
{
    struct rg_list keys = {0};
    while (t != NULL && !p->is_bad) {
        if (parse_key(p, &keys)) {
            continue;
        }
        if (p->is_bad || !rg_is_glued(p) || !rg_at_sign(p, "(")) {
            break;
        }
        t = as_ref(p, t, &keys);
        bool plain = t->kind == RG_T_VAR || (t->kind == RG_T_REF && t->items[0]->kind == RG_T_VAR);
        if (!plain) {
            rg_unexpected(p, "");
            return NULL;
        }
        t = parse_call(p, t);
    }
    if (t == NULL || p->is_bad) {
        return NULL;
    }
    struct rg_term *ref = as_ref(p, t, &keys);
    ref->loc.to = p->x.before;
    return ref;
}

struct rg_term *rg_parse_head_ref(struct rg_parser *p)
{
    struct rg_term *head = rg_term_var(p->heap, rg_name(p->names, rg_token_text(p)), p->x.loc);
    struct rg_list keys = {0};
    rg_lex_next(&p->x);
    while (parse_key(p, &keys)) {
    }
    struct rg_term *ref =
        keys.n > 0 ? as_ref(p, head, &keys) : rg_term_list(p->heap, RG_T_REF, head->loc, &head, 1);
    return p->is_bad ? NULL : ref;
}

static struct rg_term *parse_name(struct rg_parser *p)
{
    struct mln_bytes text = rg_token_text(p);
    struct rg_loc loc = p->x.loc;
    bool is_true = mln_bytes_is(text, "true");
    uint8_t after = p->x.at < p->x.end ? *p->x.at : 0;
    bool dotted = after == '.'; /* false.x is a ref of a rule named so */
    if (!dotted && (is_true || mln_bytes_is(text, "false"))) {
        rg_lex_next(&p->x);
        return rg_term_value(p->heap, rg_bool(is_true), loc);
    }
    if (!dotted && mln_bytes_is(text, "null")) {
        rg_lex_next(&p->x);
        return rg_term_value(p->heap, rg_null(), loc);
    }
    bool call = after == '(' && mln_bytes_is(text, "contains");
    if (rg_is_reserved(p, text) && !dotted && !call) {
        rg_unexpected(p, "");
        return NULL;
    }
    struct rg_term *t = rg_term_var(p->heap, rg_name(p->names, text), loc);
    t->is_wildcard = mln_bytes_is(text, "_");
    rg_lex_next(&p->x);
    if (mln_bytes_is(text, "set") && rg_at_sign(p, "(") && rg_is_glued(p)) {
        rg_lex_next(&p->x);
        return rg_want_sign(p, ")")
                   ? parse_postfix(p, rg_term_list(p->heap, RG_T_SET, loc, NULL, 0))
                   : NULL;
    }
    return parse_postfix(p, t);
}

static struct rg_term *parse_minus(struct rg_parser *p)
{
    struct rg_loc loc = p->x.loc;
    rg_lex_next(&p->x);
    if (p->x.token != RG_K_NUMBER || !rg_is_glued(p)) {
        rg_unexpected(p, "expected number");
        return NULL;
    }
    char text[MLN_DECIMAL_DIGITS_MAX + 8] = "-";
    struct mln_bytes digits = rg_token_text(p);
    mln_copy(text + 1, digits.ptr, digits.len);
    loc.to = p->x.loc.to;
    struct rg_term *t =
        rg_term_value(p->heap, rg_number(p->heap, mln_bytes_at(text, digits.len + 1)), loc);
    rg_lex_next(&p->x);
    return t;
}

static struct rg_term *parse_group(struct rg_parser *p)
{
    rg_lex_next(&p->x);
    struct rg_term *t = rg_parse_in(p);
    if (t == NULL || !rg_want_sign(p, ")")) {
        return NULL;
    }
    t->is_grouped = true;
    return parse_postfix(p, t);
}

static struct rg_term *parse_any(struct rg_parser *p)
{
    struct rg_term *t = NULL;
    if (p->is_bad) {
        return NULL;
    }
    if (p->x.token == RG_K_NAME) {
        return parse_name(p);
    }
    if (p->x.token == RG_K_NUMBER || p->x.token == RG_K_STRING) {
        t = rg_term_value(p->heap, p->x.value, p->x.loc);
        rg_lex_next(&p->x);
        return parse_postfix(p, t);
    }
    if (p->x.token == RG_K_TEMPLATE) {
        return parse_postfix(p, rg_parse_template(p));
    }
    if (rg_at_sign(p, "-")) {
        return parse_minus(p);
    }
    if (rg_at_sign(p, "(")) {
        return parse_group(p);
    }
    if (rg_at_sign(p, "[") || rg_at_sign(p, "{")) {
        return parse_postfix(p, rg_parse_composite(p));
    }
    rg_unexpected(p, "");
    return NULL;
}

/* All terms in terms come through here. */
struct rg_term *rg_parse_primary(struct rg_parser *p)
{
    if (p->is_bad || !rg_enter(p)) {
        return NULL;
    }
    struct rg_term *t = parse_any(p);
    rg_leave(p);
    return t;
}

/* At "|" behind the head(s): a comprehension, or NULL and we stand where we stood. */
static struct rg_term *parse_of(struct rg_parser *p, enum rg_kind kind, struct rg_loc loc,
                                struct rg_term *const *heads, uint32_t n)
{
    struct rg_saved saved;
    bool may_retry = rg_try_begin(p, &saved);
    rg_lex_next(&p->x);
    struct rg_body *body = rg_parse_body(p, kind == RG_T_ARRAY_OF ? "]" : "}");
    if (may_retry) {
        rg_try_end(p, &saved, body != NULL);
    }
    if (body == NULL) {
        return NULL;
    }
    struct rg_term *t = rg_term_list(p->heap, kind, loc, heads, n);
    t->body = body;
    t->loc.to = p->x.before;
    return t;
}

/* The first item; behind it "|" may begin a comprehension, which then is *ret_whole. */
static struct rg_term *parse_first(struct rg_parser *p, enum rg_kind kind, struct rg_loc loc,
                                   struct rg_term *key, struct rg_term **ret_whole)
{
    struct rg_term *t = parse_infix(p, rg_parse_primary(p), RG_P_AND);
    if (t != NULL && rg_at_sign(p, "|")) {
        struct rg_term *heads[2] = {key != NULL ? key : t, t};
        *ret_whole = parse_of(p, kind, loc, heads, key != NULL ? 2 : 1);
        if (*ret_whole != NULL || p->is_bad) {
            return t;
        }
    }
    t = parse_infix(p, t, RG_P_RELATION); /* on with what binds less */
    t = parse_ins(p, t);
    return t;
}

static struct rg_term *parse_object(struct rg_parser *p, struct rg_loc loc, struct rg_term *key)
{
    struct rg_list list = {0};
    struct rg_term *whole = NULL;
    rg_list_add(p, &list, key);
    struct rg_term *first = parse_first(p, RG_T_OBJECT_OF, loc, key, &whole);
    if (whole != NULL || first == NULL) {
        return whole;
    }
    rg_list_add(p, &list, first);
    while (!p->is_bad && !rg_take_sign(p, "}")) {
        if (!rg_want_sign(p, ",")) {
            return NULL;
        }
        if (rg_take_sign(p, "}")) {
            break;
        }
        struct rg_term *k = rg_parse_term(p, RG_P_RELATION);
        struct rg_term *v = k != NULL && rg_want_sign(p, ":") ? rg_parse_term(p, RG_P_IN) : NULL;
        if (v == NULL) {
            return NULL;
        }
        rg_list_add(p, &list, k);
        rg_list_add(p, &list, v);
    }
    struct rg_term *t = rg_term_list(p->heap, RG_T_OBJECT, loc, list.items, list.n);
    t->loc.to = p->x.before;
    return t;
}

struct rg_term *rg_parse_composite(struct rg_parser *p)
{
    bool is_array = rg_at_sign(p, "[");
    struct rg_loc loc = p->x.loc;
    struct rg_list list = {0};
    struct rg_term *whole = NULL;
    rg_lex_next(&p->x);
    if (rg_take_sign(p, is_array ? "]" : "}")) {
        loc.to = p->x.before;
        return rg_term_list(p->heap, is_array ? RG_T_ARRAY : RG_T_OBJECT, loc, NULL, 0);
    }
    struct rg_term *first =
        parse_first(p, is_array ? RG_T_ARRAY_OF : RG_T_SET_OF, loc, NULL, &whole);
    if (whole != NULL || first == NULL || p->is_bad) {
        return whole;
    }
    if (!is_array && rg_take_sign(p, ":")) {
        return parse_object(p, loc, first);
    }
    rg_list_add(p, &list, first);
    const char *close = is_array ? "]" : "}";
    if (!rg_at_sign(p, close) && !rg_want_sign(p, ",")) {
        return NULL;
    }
    if (!rg_parse_args(p, close, &list)) {
        return NULL;
    }
    struct rg_term *t =
        rg_term_list(p->heap, is_array ? RG_T_ARRAY : RG_T_SET, loc, list.items, list.n);
    t->loc.to = p->x.before;
    return t;
}

static bool template_piece(struct rg_parser *p, bool is_raw, struct rg_list *list, bool *ret_done)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    if (!rg_lex_piece(&p->x, is_raw, &buf, ret_done)) {
        p->x.loc.row = p->x.row;
        rg_refuse(p, "non-terminated string");
        return false;
    }
    if (buf.len > 0) {
        rg_list_add(p, list,
                    rg_term_value(p->heap, rg_string(p->heap, mln_buf_bytes(&buf)), p->x.loc));
    }
    return true;
}

/* What stands in braces, in a set of one so that it is told from text; with `with` it has a body. */
static struct rg_term *template_part(struct rg_parser *p, struct rg_term *t)
{
    if (!rg_at_word(p, "with")) {
        return rg_term_list(p->heap, RG_T_SET, t->loc, &t, 1);
    }
    struct rg_term *var = rg_term_var(p->heap, rg_name_of(p->names, "__part__"), t->loc);
    struct rg_term *same = rg_term_var(p->heap, var->name, t->loc);
    struct rg_term *one = rg_term_list(p->heap, RG_T_SET, t->loc, &same, 1);
    one->body = rg_parse_with_body(p, rg_call2(p, "eq", t->loc, var, t));
    return one->body == NULL ? NULL : one;
}

struct rg_term *rg_parse_template(struct rg_parser *p)
{
    struct rg_loc loc = p->x.loc;
    bool is_raw = p->x.at[-1] == '`', done = false;
    struct rg_list list = {0};
    while (template_piece(p, is_raw, &list, &done) && !done) {
        rg_lex_next(&p->x);
        struct rg_term *t = rg_parse_in(p);
        if (t == NULL) {
            return NULL;
        }
        uint32_t end = p->x.before;
        struct rg_term *one = template_part(p, t);
        if (one == NULL) {
            return NULL;
        }
        one->loc.to = end > p->x.before ? end : p->x.before;
        rg_list_add(p, &list, one);
        if (!rg_at_sign(p, "}")) {
            rg_unexpected(p, "expected \"}\"");
            return NULL;
        }
    }
    if (p->is_bad) {
        return NULL;
    }
    loc.to = (uint32_t)(p->x.at - p->x.begin);
    struct rg_term *t = rg_term_list(p->heap, RG_T_TEMPLATE, loc, list.items, list.n);
    rg_lex_next(&p->x);
    return t;
}
