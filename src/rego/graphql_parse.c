/* SPDX-License-Identifier: Apache-2.0 */
/* Reading GraphQL queries, and what they share with schemas: values, types, directives. */
#include "rego/graphql_priv.h"

bool rg_gql_ok(const struct rg_gql_parser *p)
{
    return p->gql->error.text == NULL;
}

static struct rg_val comment_list(struct rg_gql_parser *p)
{
    struct rg_heap *heap = p->gql->heap;
    struct rg_val list = rg_array(heap, 2), group = rg_object(heap, 1);
    while (p->peeked.kind == RG_GQL_COMMENT && rg_spend(p->gql->vm, 1)) {
        struct rg_val c = rg_object(heap, 1);
        rg_put_text(heap, c, "Value", rg_string(heap, p->peeked.value));
        rg_push(heap, list, c);
        rg_gql_next(&p->lex, &p->peeked);
    }
    rg_put_text(heap, group, "List", list);
    return group;
}

struct rg_gql_token rg_gql_peek(struct rg_gql_parser *p)
{
    if (!rg_gql_ok(p)) {
        return p->prev;
    }
    if (!p->has_peeked) {
        if (!rg_spend(p->gql->vm, 1)) {
            (void)rg_gql_fail_at(p->gql, (struct rg_gql_place){0}, "the budget is used up");
            return p->prev;
        }
        rg_gql_next(&p->lex, &p->peeked);
        p->has_peeked = true;
        p->comment = p->peeked.kind == RG_GQL_COMMENT ? comment_list(p) : RG_NONE;
    }
    return p->peeked;
}

struct rg_gql_token rg_gql_take(struct rg_gql_parser *p)
{
    struct rg_gql_token t = rg_gql_peek(p);
    if (rg_gql_ok(p)) {
        p->has_peeked = false;
        p->comment = RG_NONE;
        p->prev = t;
        if (t.kind == RG_GQL_INVALID) {
            (void)rg_gql_fail_at(p->gql, t.at, "%s", t.error);
        }
    }
    return p->prev;
}

static const char *token_text(struct rg_gql_parser *p, struct rg_gql_token t)
{
    if (t.value.len == 0) {
        return rg_gql_kind_text(t.kind);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    rg_print_json(&out, rg_string(p->gql->heap, mln_bytes_sub(t.value, 0, 400)));
    return rg_text_format(p->gql->heap, "%s %.*s", rg_gql_kind_text(t.kind),
                          MLN_FMT(mln_buf_bytes(&out)));
}

void rg_gql_unexpected(struct rg_gql_parser *p, struct rg_gql_token t)
{
    (void)rg_gql_fail_at(p->gql, t.at, "Unexpected %s", token_text(p, t));
}

bool rg_gql_peeks(struct rg_gql_parser *p, enum rg_gql_kind kind)
{
    return rg_gql_peek(p).kind == kind;
}

bool rg_gql_peeks_word(struct rg_gql_parser *p, const char *word)
{
    return mln_bytes_is(rg_gql_peek(p).value, word);
}

bool rg_gql_expect(struct rg_gql_parser *p, enum rg_gql_kind kind)
{
    struct rg_gql_token t = rg_gql_peek(p);
    if (t.kind == kind) {
        (void)rg_gql_take(p);
        return rg_gql_ok(p);
    }
    return rg_gql_fail_at(p->gql, t.at, "Expected %s, found %s", rg_gql_kind_text(kind),
                          rg_gql_kind_text(t.kind));
}

void rg_gql_expect_word(struct rg_gql_parser *p, const char *word)
{
    struct rg_gql_token t = rg_gql_peek(p);
    if (t.kind == RG_GQL_NAME && mln_bytes_is(t.value, word)) {
        (void)rg_gql_take(p);
        return;
    }
    (void)rg_gql_fail_at(p->gql, t.at, "Expected \"%s\", found %s", word, token_text(p, t));
}

bool rg_gql_skip(struct rg_gql_parser *p, enum rg_gql_kind kind)
{
    if (!rg_gql_ok(p) || !rg_gql_peeks(p, kind)) {
        return false;
    }
    (void)rg_gql_take(p);
    return true;
}

bool rg_gql_deeper(struct rg_gql_parser *p)
{
    p->depth++;
    return p->depth <= MLN_REGO_NESTING_MAX ||
           rg_gql_fail_at(p->gql, rg_gql_peek(p).at, "nested deeper than %u",
                          (unsigned)MLN_REGO_NESTING_MAX);
}

struct rg_val rg_gql_comment(struct rg_gql_parser *p)
{
    (void)rg_gql_peek(p);
    return p->comment;
}

struct rg_val rg_gql_node(struct rg_gql_parser *p)
{
    struct rg_val node = rg_object(p->gql->heap, 8);
    rg_gql_mark(p->gql, node, rg_gql_peek(p).at);
    return node;
}

void rg_gql_put(struct rg_gql_parser *p, struct rg_val node, const char *key, struct rg_val v)
{
    bool is_empty = v.tag == RG_UNDEF || (v.tag == RG_ARRAY && v.arr->len == 0) ||
                    (v.tag == RG_OBJECT && v.map->len == 0);
    if (!is_empty) {
        rg_put_text(p->gql->heap, node, key, v);
    }
}

struct rg_val rg_gql_name(struct rg_gql_parser *p)
{
    struct rg_gql_token t = rg_gql_peek(p);
    return rg_gql_expect(p, RG_GQL_NAME) ? rg_string(p->gql->heap, t.value)
                                         : rg_text(p->gql->heap, "");
}

struct rg_val rg_gql_some(struct rg_gql_parser *p, enum rg_gql_kind open, rg_gql_item_fn item,
                          struct rg_val *ret_comment)
{
    struct rg_val list = rg_array(p->gql->heap, 0);
    if (!rg_gql_skip(p, open)) {
        return list;
    }
    enum rg_gql_kind close = (enum rg_gql_kind)(open + 1); /* each has its mate behind it */
    while (!rg_gql_peeks(p, close) && rg_gql_ok(p)) {
        rg_push(p->gql->heap, list, item(p));
    }
    if (list.arr->len == 0) {
        struct rg_gql_token t = rg_gql_peek(p);
        (void)rg_gql_fail_at(p->gql, t.at, "expected at least one definition, found %s",
                             rg_gql_kind_text(t.kind));
        return list;
    }
    if (ret_comment != NULL) {
        *ret_comment = rg_gql_comment(p);
    }
    (void)rg_gql_take(p);
    return list;
}

/* ---- types, values, directives ---- */
struct rg_val rg_gql_type(struct rg_gql_parser *p)
{
    struct rg_heap *heap = p->gql->heap;
    struct rg_val type = rg_object(heap, 4), name = rg_text(heap, "");
    if (rg_gql_deeper(p) && rg_gql_skip(p, RG_GQL_BRACKET_L)) {
        rg_gql_mark(p->gql, type, rg_gql_peek(p).at);
        rg_gql_put(p, type, "Elem", rg_gql_type(p));
        (void)rg_gql_expect(p, RG_GQL_BRACKET_R);
    } else {
        rg_gql_mark(p->gql, type, rg_gql_peek(p).at);
        name = rg_gql_name(p);
    }
    p->depth--;
    rg_put_text(heap, type, "NamedType", name);
    rg_put_text(heap, type, "NonNull", rg_bool(rg_gql_skip(p, RG_GQL_BANG)));
    return type;
}

static struct rg_val value_node(struct rg_gql_parser *p, enum rg_gql_value kind, struct rg_val raw)
{
    struct rg_heap *heap = p->gql->heap;
    struct rg_val node = rg_gql_node(p);
    rg_put_text(heap, node, "Kind", rg_int(kind));
    rg_put_text(heap, node, "Raw", raw);
    rg_put_text(heap, node, "ExpectedTypeHasDefault", rg_bool(false));
    return node;
}

static struct rg_val container(struct rg_gql_parser *p, bool is_const, bool is_list)
{
    struct rg_heap *heap = p->gql->heap;
    enum rg_gql_kind close = is_list ? RG_GQL_BRACKET_R : RG_GQL_BRACE_R;
    struct rg_val list = rg_array(heap, 0), comment = rg_gql_comment(p);
    struct rg_val node =
        value_node(p, is_list ? RG_GQL_V_LIST : RG_GQL_V_OBJECT, rg_text(heap, ""));
    (void)rg_gql_take(p);
    while (!rg_gql_peeks(p, close) && rg_gql_ok(p)) {
        struct rg_val child = rg_gql_node(p), name = rg_text(heap, "");
        struct rg_val child_comment = is_list ? RG_NONE : rg_gql_comment(p);
        if (!is_list) {
            name = rg_gql_name(p);
            (void)rg_gql_expect(p, RG_GQL_COLON);
        }
        rg_put_text(heap, child, "Name", name);
        rg_gql_put(p, child, "Value", rg_gql_literal(p, is_const));
        rg_gql_put(p, child, "Comment", child_comment);
        rg_push(heap, list, child);
    }
    (void)rg_gql_take(p);
    rg_gql_put(p, node, "Children", list);
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

static struct rg_val variable_name(struct rg_gql_parser *p)
{
    (void)rg_gql_expect(p, RG_GQL_DOLLAR);
    return rg_gql_name(p);
}

static int scalar_kind(struct rg_gql_token t) /* -1: none */
{
    switch ((int)t.kind) {
    case RG_GQL_INT:
        return RG_GQL_V_INT;
    case RG_GQL_FLOAT:
        return RG_GQL_V_FLOAT;
    case RG_GQL_STRING:
        return RG_GQL_V_STRING;
    case RG_GQL_BLOCK:
        return RG_GQL_V_BLOCK;
    case RG_GQL_NAME:
        return mln_bytes_is(t.value, "true") || mln_bytes_is(t.value, "false") ? RG_GQL_V_BOOL
               : mln_bytes_is(t.value, "null")                                 ? RG_GQL_V_NULL
                                                                               : RG_GQL_V_ENUM;
    default:
        return -1;
    }
}

struct rg_val rg_gql_literal(struct rg_gql_parser *p, bool is_const)
{
    struct rg_gql_token t = rg_gql_peek(p);
    struct rg_val node = RG_NONE;
    if (!rg_gql_ok(p)) {
        return node;
    }
    if (t.kind == RG_GQL_BRACKET_L || t.kind == RG_GQL_BRACE_L) {
        if (rg_gql_deeper(p)) {
            node = container(p, is_const, t.kind == RG_GQL_BRACKET_L);
        }
        p->depth--;
        return node;
    }
    if (t.kind == RG_GQL_DOLLAR && !is_const) {
        node = value_node(p, RG_GQL_V_VARIABLE, rg_text(p->gql->heap, ""));
        rg_put_text(p->gql->heap, node, "Raw", variable_name(p));
        return node;
    }
    int kind = scalar_kind(t);
    if (kind < 0) {
        rg_gql_unexpected(p, t);
        return node;
    }
    node = value_node(p, (enum rg_gql_value)kind, rg_string(p->gql->heap, t.value));
    (void)rg_gql_take(p);
    return node;
}

static struct rg_val argument(struct rg_gql_parser *p, bool is_const)
{
    struct rg_val node = rg_gql_node(p), comment = rg_gql_comment(p);
    rg_gql_put(p, node, "Name", rg_gql_name(p));
    (void)rg_gql_expect(p, RG_GQL_COLON);
    rg_gql_put(p, node, "Value", rg_gql_literal(p, is_const));
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

static struct rg_val argument_open(struct rg_gql_parser *p)
{
    return argument(p, false);
}

static struct rg_val argument_const(struct rg_gql_parser *p)
{
    return argument(p, true);
}

static struct rg_val arguments(struct rg_gql_parser *p, bool is_const)
{
    return rg_gql_some(p, RG_GQL_PAREN_L, is_const ? argument_const : argument_open, NULL);
}

struct rg_val rg_gql_directives(struct rg_gql_parser *p, bool is_const)
{
    struct rg_val list = rg_array(p->gql->heap, 0);
    while (rg_gql_peeks(p, RG_GQL_AT) && rg_gql_ok(p)) {
        (void)rg_gql_take(p);
        struct rg_val node = rg_gql_node(p);
        rg_put_text(p->gql->heap, node, "Location", rg_text(p->gql->heap, ""));
        rg_gql_put(p, node, "Name", rg_gql_name(p));
        rg_gql_put(p, node, "Arguments", arguments(p, is_const));
        rg_push(p->gql->heap, list, node);
    }
    return list;
}

/* ---- queries ---- */
static struct rg_val selection(struct rg_gql_parser *p);

static struct rg_val selections(struct rg_gql_parser *p)
{
    struct rg_val list = RG_NONE;
    if (!rg_gql_peeks(p, RG_GQL_BRACE_L)) {
        struct rg_gql_token t = rg_gql_peek(p);
        (void)rg_gql_fail_at(p->gql, t.at, "Expected {, found %s", rg_gql_kind_text(t.kind));
        return list;
    }
    if (rg_gql_deeper(p)) {
        list = rg_gql_some(p, RG_GQL_BRACE_L, selection, NULL);
    }
    p->depth--;
    return list;
}

static struct rg_val fragment_name(struct rg_gql_parser *p)
{
    if (rg_gql_peeks_word(p, "on")) {
        rg_gql_unexpected(p, rg_gql_peek(p));
    }
    return rg_gql_name(p);
}

static struct rg_val spread(struct rg_gql_parser *p)
{
    struct rg_val comment = rg_gql_comment(p);
    (void)rg_gql_take(p);
    struct rg_val node = rg_gql_node(p);
    if (rg_gql_peeks(p, RG_GQL_NAME) && !rg_gql_peeks_word(p, "on")) {
        rg_gql_put(p, node, "Name", fragment_name(p));
        rg_gql_put(p, node, "Directives", rg_gql_directives(p, false));
    } else {
        struct rg_val on = rg_text(p->gql->heap, "");
        if (rg_gql_peeks_word(p, "on")) {
            (void)rg_gql_take(p);
            on = rg_gql_name(p);
        }
        rg_put_text(p->gql->heap, node, "TypeCondition", on);
        rg_gql_put(p, node, "Directives", rg_gql_directives(p, false));
        rg_gql_put(p, node, "SelectionSet", selections(p));
    }
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

static struct rg_val selection(struct rg_gql_parser *p)
{
    if (rg_gql_peeks(p, RG_GQL_SPREAD)) {
        return spread(p);
    }
    struct rg_val node = rg_gql_node(p), comment = rg_gql_comment(p), alias = rg_gql_name(p);
    rg_put_text(p->gql->heap, node, "Alias", alias);
    rg_put_text(p->gql->heap, node, "Name", rg_gql_skip(p, RG_GQL_COLON) ? rg_gql_name(p) : alias);
    rg_gql_put(p, node, "Arguments", arguments(p, false));
    rg_gql_put(p, node, "Directives", rg_gql_directives(p, false));
    if (rg_gql_peeks(p, RG_GQL_BRACE_L)) {
        rg_gql_put(p, node, "SelectionSet", selections(p));
    }
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

static struct rg_val variable(struct rg_gql_parser *p)
{
    struct rg_val node = rg_gql_node(p), comment = rg_gql_comment(p);
    rg_put_text(p->gql->heap, node, "Variable", variable_name(p));
    rg_put_text(p->gql->heap, node, "Used", rg_bool(false));
    (void)rg_gql_expect(p, RG_GQL_COLON);
    rg_gql_put(p, node, "Type", rg_gql_type(p));
    if (rg_gql_skip(p, RG_GQL_EQUALS)) {
        rg_gql_put(p, node, "DefaultValue", rg_gql_literal(p, true));
    }
    rg_gql_put(p, node, "Directives", rg_gql_directives(p, false));
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

struct rg_val rg_gql_operation_type(struct rg_gql_parser *p)
{
    struct rg_gql_token t = rg_gql_take(p);
    if (!mln_bytes_is(t.value, "query") && !mln_bytes_is(t.value, "mutation") &&
        !mln_bytes_is(t.value, "subscription")) {
        rg_gql_unexpected(p, t);
    }
    return rg_string(p->gql->heap, t.value);
}

static struct rg_val operation(struct rg_gql_parser *p)
{
    struct rg_heap *heap = p->gql->heap;
    struct rg_val node = rg_gql_node(p), comment = rg_gql_comment(p), name = rg_text(heap, "");
    struct rg_val type = rg_text(heap, "query");
    if (!rg_gql_peeks(p, RG_GQL_BRACE_L)) {
        type = rg_gql_operation_type(p);
        if (rg_gql_peeks(p, RG_GQL_NAME)) {
            name = rg_gql_name(p);
        }
        rg_gql_put(p, node, "VariableDefinitions", rg_gql_some(p, RG_GQL_PAREN_L, variable, NULL));
        rg_gql_put(p, node, "Directives", rg_gql_directives(p, false));
        rg_gql_put(p, node, "Comment", comment); /* as OPA: not of the short form */
    }
    rg_put_text(heap, node, "Operation", type);
    rg_put_text(heap, node, "Name", name);
    rg_gql_put(p, node, "SelectionSet", selections(p));
    return node;
}

static struct rg_val fragment(struct rg_gql_parser *p)
{
    struct rg_val node = rg_gql_node(p), comment = rg_gql_comment(p);
    rg_gql_expect_word(p, "fragment");
    rg_gql_put(p, node, "Name", fragment_name(p));
    rg_gql_put(p, node, "VariableDefinition", rg_gql_some(p, RG_GQL_PAREN_L, variable, NULL));
    rg_gql_expect_word(p, "on");
    rg_gql_put(p, node, "TypeCondition", rg_gql_name(p));
    rg_gql_put(p, node, "Directives", rg_gql_directives(p, false));
    rg_gql_put(p, node, "SelectionSet", selections(p));
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

struct rg_val rg_gql_parse_query(struct rg_gql *gql, struct mln_bytes text)
{
    struct rg_gql_parser p = {.gql = gql, .lex = {.heap = gql->heap, .text = text, .line = 1}};
    struct rg_val doc = rg_object(gql->heap, 2), operations = rg_array(gql->heap, 1),
                  fragments = rg_array(gql->heap, 0);
    while (!rg_gql_peeks(&p, RG_GQL_EOF) && rg_gql_ok(&p)) {
        struct rg_gql_token t = rg_gql_peek(&p);
        bool is_name = t.kind == RG_GQL_NAME;
        if (t.kind == RG_GQL_BRACE_L ||
            (is_name && (mln_bytes_is(t.value, "query") || mln_bytes_is(t.value, "mutation") ||
                         mln_bytes_is(t.value, "subscription")))) {
            rg_push(gql->heap, operations, operation(&p));
        } else if (is_name && mln_bytes_is(t.value, "fragment")) {
            rg_push(gql->heap, fragments, fragment(&p));
        } else {
            rg_gql_unexpected(&p, t);
        }
    }
    rg_gql_put(&p, doc, "Operations", operations);
    rg_gql_put(&p, doc, "Fragments", fragments);
    return rg_gql_ok(&p) ? doc : RG_NONE;
}
