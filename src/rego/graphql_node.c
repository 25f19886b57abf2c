/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of GraphQL documents: what all that read them need, and whether a value that came from outside is one. */
#include "rego/graphql_priv.h"

#include <stdio.h>

void rg_gql_mark(struct rg_gql *gql, struct rg_val node, struct rg_gql_place at)
{
    struct rg_gql_marks *m = &gql->marks;
    if (m->n == m->cap) {
        size_t cap = m->cap < 64 ? 64 : m->cap * 2;
        struct rg_gql_mark *list = rg_try(gql->heap, cap * sizeof(*list));
        if (list == NULL) {
            return;
        }
        mln_copy(list, m->list, m->n * sizeof(*list));
        m->list = list;
        m->cap = cap;
    }
    m->list[m->n++] = (struct rg_gql_mark){.node = node.map, .at = at};
}

static struct rg_gql_place place_of(const struct rg_gql *gql, struct rg_val node)
{
    for (size_t i = 0; node.tag == RG_OBJECT && i < gql->marks.n; i++) {
        if (gql->marks.list[i].node == node.map) {
            return gql->marks.list[i].at;
        }
    }
    return (struct rg_gql_place){0};
}

__attribute__((format(printf, 3, 0))) static bool
fail_va(struct rg_gql *gql, struct rg_gql_place at, const char *format, va_list args)
{
    char text[1024];
    if (gql->error.text == NULL) {
        (void)vsnprintf(text, sizeof(text), format, args);
        gql->error.text = rg_text_dup(gql->heap, mln_bytes_of(text));
        gql->error.at = at;
    }
    return false;
}

bool rg_gql_fail(struct rg_gql *gql, struct rg_val node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fail_va(gql, place_of(gql, node), format, args);
    va_end(args);
    return false;
}

bool rg_gql_fail_at(struct rg_gql *gql, struct rg_gql_place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fail_va(gql, at, format, args);
    va_end(args);
    return false;
}

struct mln_bytes rg_gql_text(struct rg_val node, const char *key)
{
    struct rg_val v = rg_get_text(node, key);
    return v.tag == RG_STR ? rg_bytes(v) : MLN_BYTES_NONE;
}

bool rg_gql_flag(struct rg_val node, const char *key)
{
    struct rg_val v = rg_get_text(node, key);
    return v.tag == RG_BOOL && v.integer != 0;
}

size_t rg_gql_n(struct rg_val node, const char *key)
{
    struct rg_val v = rg_get_text(node, key);
    return v.tag == RG_ARRAY ? v.arr->len : 0;
}

struct rg_val rg_gql_at(struct rg_val node, const char *key, size_t i)
{
    struct rg_val v = rg_get_text(node, key);
    return v.tag == RG_ARRAY ? rg_item(v, i) : RG_NONE;
}

struct rg_val rg_gql_named(struct rg_val node, const char *key, struct mln_bytes name)
{
    struct rg_val v = rg_get_text(node, key);
    for (size_t i = 0; v.tag == RG_ARRAY && i < v.arr->len; i++) {
        if (mln_bytes_eq(rg_gql_text(v.arr->items[i], "Name"), name)) {
            return v.arr->items[i];
        }
    }
    return RG_NONE;
}

struct rg_val rg_gql_type_key(struct rg_val type)
{
    while (rg_gql_text(type, "NamedType").len == 0 && rg_get_text(type, "Elem").tag == RG_OBJECT) {
        type = rg_get_text(type, "Elem");
    }
    return rg_get_text(type, "NamedType");
}

const char *rg_gql_type_text(struct rg_heap *heap, struct rg_val type)
{
    const char *bang = rg_gql_flag(type, "NonNull") ? "!" : "";
    struct mln_bytes name = rg_gql_text(type, "NamedType");
    unsigned lists = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = rg_buf(heap), tail = rg_buf(heap);
    while (name.len == 0 && rg_get_text(type, "Elem").tag == RG_OBJECT &&
           lists < MLN_REGO_NESTING_MAX) {
        lists++;
        mln_buf_add_byte(&out, '[');
        mln_buf_add_byte(&tail, bang[0] == '!' ? '!' : ' ');
        type = rg_get_text(type, "Elem");
        bang = rg_gql_flag(type, "NonNull") ? "!" : "";
        name = rg_gql_text(type, "NamedType");
    }
    mln_buf_add_bytes(&out, name);
    mln_buf_add_text(&out, bang);
    while (lists-- > 0) {
        mln_buf_add_text(&out, tail.ptr[lists] == '!' ? "]!" : "]");
    }
    return rg_text_dup(heap, mln_buf_bytes(&out));
}

enum rg_gql_value rg_gql_value_kind(struct rg_val value)
{
    int64_t kind = 0;
    struct rg_val v = rg_get_text(value, "Kind");
    return rg_is_number(v) && rg_num_int(v, &kind) && kind > 0 && kind <= RG_GQL_V_OBJECT
               ? (enum rg_gql_value)kind
               : RG_GQL_V_VARIABLE;
}

/* ---- shapes ---- */
enum shape {
    TEXT,
    FLAG,
    NUMBER,
    TEXTS,
    TYPE,
    VALUE,
    CHILD,
    ARGUMENT,
    DIRECTIVE,
    SELECTION,
    VARIABLE,
    OPERATION,
    FRAGMENT,
    QUERY,
    ARGUMENT_DEF,
    FIELD_DEF,
    ENUM_DEF,
    DEFINITION,
    DIRECTIVE_DEF,
    ROOT,
    SCHEMA_DEF,
    SCHEMA
};

/* Members of nodes: a list of them, or one; one that must be there. */
static const struct member {
    uint8_t of, is;
    bool is_list, is_needed;
    const char *key;
} members[] = {
    {TYPE, TEXT, false, false, "NamedType"},
    {TYPE, TYPE, false, false, "Elem"},
    {TYPE, FLAG, false, false, "NonNull"},
    {VALUE, TEXT, false, false, "Raw"},
    {VALUE, NUMBER, false, false, "Kind"},
    {VALUE, CHILD, true, false, "Children"},
    {CHILD, TEXT, false, false, "Name"},
    {CHILD, VALUE, false, true, "Value"},
    {ARGUMENT, TEXT, false, false, "Name"},
    {ARGUMENT, VALUE, false, true, "Value"},
    {DIRECTIVE, TEXT, false, false, "Name"},
    {DIRECTIVE, ARGUMENT, true, false, "Arguments"},
    {SELECTION, TEXT, false, false, "Alias"},
    {SELECTION, TEXT, false, false, "Name"},
    {SELECTION, TEXT, false, false, "TypeCondition"},
    {SELECTION, ARGUMENT, true, false, "Arguments"},
    {SELECTION, DIRECTIVE, true, false, "Directives"},
    {SELECTION, SELECTION, true, false, "SelectionSet"},
    {VARIABLE, TEXT, false, false, "Variable"},
    {VARIABLE, TYPE, false, true, "Type"},
    {VARIABLE, VALUE, false, false, "DefaultValue"},
    {VARIABLE, DIRECTIVE, true, false, "Directives"},
    {OPERATION, TEXT, false, false, "Operation"},
    {OPERATION, TEXT, false, false, "Name"},
    {OPERATION, VARIABLE, true, false, "VariableDefinitions"},
    {OPERATION, DIRECTIVE, true, false, "Directives"},
    {OPERATION, SELECTION, true, false, "SelectionSet"},
    {FRAGMENT, TEXT, false, false, "Name"},
    {FRAGMENT, TEXT, false, false, "TypeCondition"},
    {FRAGMENT, VARIABLE, true, false, "VariableDefinition"},
    {FRAGMENT, DIRECTIVE, true, false, "Directives"},
    {FRAGMENT, SELECTION, true, false, "SelectionSet"},
    {QUERY, OPERATION, true, false, "Operations"},
    {QUERY, FRAGMENT, true, false, "Fragments"},
    {ARGUMENT_DEF, TEXT, false, false, "Name"},
    {ARGUMENT_DEF, TYPE, false, true, "Type"},
    {ARGUMENT_DEF, VALUE, false, false, "DefaultValue"},
    {ARGUMENT_DEF, DIRECTIVE, true, false, "Directives"},
    {FIELD_DEF, TEXT, false, false, "Name"},
    {FIELD_DEF, TYPE, false, true, "Type"},
    {FIELD_DEF, ARGUMENT_DEF, true, false, "Arguments"},
    {FIELD_DEF, VALUE, false, false, "DefaultValue"},
    {FIELD_DEF, DIRECTIVE, true, false, "Directives"},
    {ENUM_DEF, TEXT, false, false, "Name"},
    {ENUM_DEF, DIRECTIVE, true, false, "Directives"},
    {DEFINITION, TEXT, false, false, "Kind"},
    {DEFINITION, TEXT, false, false, "Name"},
    {DEFINITION, TEXTS, false, false, "Interfaces"},
    {DEFINITION, TEXTS, false, false, "Types"},
    {DEFINITION, FIELD_DEF, true, false, "Fields"},
    {DEFINITION, ENUM_DEF, true, false, "EnumValues"},
    {DEFINITION, DIRECTIVE, true, false, "Directives"},
    {DEFINITION, FLAG, false, false, "BuiltIn"},
    {DIRECTIVE_DEF, TEXT, false, false, "Name"},
    {DIRECTIVE_DEF, ARGUMENT_DEF, true, false, "Arguments"},
    {DIRECTIVE_DEF, TEXTS, false, false, "Locations"},
    {DIRECTIVE_DEF, FLAG, false, false, "IsRepeatable"},
    {ROOT, TEXT, false, false, "Operation"},
    {ROOT, TEXT, false, false, "Type"},
    {SCHEMA_DEF, DIRECTIVE, true, false, "Directives"},
    {SCHEMA_DEF, ROOT, true, false, "OperationTypes"},
    {SCHEMA, SCHEMA_DEF, true, false, "Schema"},
    {SCHEMA, SCHEMA_DEF, true, false, "SchemaExtension"},
    {SCHEMA, DIRECTIVE_DEF, true, false, "Directives"},
    {SCHEMA, DEFINITION, true, false, "Definitions"},
    {SCHEMA, DEFINITION, true, false, "Extensions"},
};

static bool fits(struct rg_gql *gql, struct rg_val v, enum shape shape, unsigned depth);

static bool fits_texts(struct rg_val v)
{
    for (uint32_t i = 0; v.tag == RG_ARRAY && i < v.arr->len; i++) {
        if (v.arr->items[i].tag != RG_STR) {
            return false;
        }
    }
    return v.tag == RG_ARRAY;
}

static bool fits_member(struct rg_gql *gql, struct rg_val v, const struct member *m, unsigned depth)
{
    if (v.tag == RG_UNDEF || v.tag == RG_NULL) {
        return !m->is_needed;
    }
    if (!m->is_list) {
        return fits(gql, v, (enum shape)m->is, depth);
    }
    for (uint32_t i = 0; v.tag == RG_ARRAY && i < v.arr->len; i++) {
        if (!fits(gql, v.arr->items[i], (enum shape)m->is, depth)) {
            return false;
        }
    }
    return v.tag == RG_ARRAY;
}

static bool fits(struct rg_gql *gql, struct rg_val v, enum shape shape, unsigned depth)
{
    if (shape == TEXT || shape == FLAG) {
        return v.tag == (shape == TEXT ? RG_STR : RG_BOOL);
    }
    if (shape == NUMBER) {
        return rg_is_number(v);
    }
    if (shape == TEXTS) {
        return fits_texts(v);
    }
    if (v.tag != RG_OBJECT || depth > MLN_REGO_NESTING_MAX || !rg_spend(gql->vm, 1)) {
        return false;
    }
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (members[i].of == shape &&
            !fits_member(gql, rg_get_text(v, members[i].key), &members[i], depth + 1)) {
            return rg_gql_fail(gql, RG_NONE,
                               "a member \"%s\" of a node has the wrong kind or is missing",
                               members[i].key);
        }
    }
    return shape != TYPE || (rg_gql_type_key(v).tag == RG_STR && rg_gql_type_key(v).str->len > 0);
}

bool rg_gql_is_query(struct rg_gql *gql, struct rg_val v)
{
    return fits(gql, v, QUERY, 0) || rg_gql_fail(gql, RG_NONE, "this is no syntax tree of a query");
}

bool rg_gql_is_schema(struct rg_gql *gql, struct rg_val v)
{
    return fits(gql, v, SCHEMA, 0) ||
           rg_gql_fail(gql, RG_NONE, "this is no syntax tree of a schema");
}
