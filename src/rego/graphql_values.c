/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of section 5 on values: of the type that is asked for, variables that may stand where they stand. */
#include "rego/graphql_walk_priv.h"

#include "base/text.h"

#include <stdlib.h>

#define NAME(node) MLN_FMT(rg_gql_text((node), "Name"))

static void print_value(struct mln_buf *out, struct rg_val value, unsigned depth)
{
    enum rg_gql_value kind = rg_gql_value_kind(value);
    if (kind == RG_GQL_V_STRING || kind == RG_GQL_V_BLOCK) {
        rg_print_json(out, rg_get_text(value, "Raw"));
        return;
    }
    if ((kind != RG_GQL_V_LIST && kind != RG_GQL_V_OBJECT) || depth > MLN_REGO_NESTING_MAX ||
        out->len > 1024) {
        mln_buf_add_text(out, kind == RG_GQL_V_VARIABLE ? "$" : "");
        mln_buf_add_bytes(out, rg_gql_text(value, "Raw"));
        return;
    }
    mln_buf_add_byte(out, kind == RG_GQL_V_LIST ? '[' : '{');
    for (size_t i = 0; i < rg_gql_n(value, "Children"); i++) {
        struct rg_val child = rg_gql_at(value, "Children", i);
        mln_buf_add_text(out, i > 0 ? "," : "");
        if (kind == RG_GQL_V_OBJECT) {
            mln_buf_add_bytes(out, rg_gql_text(child, "Name"));
            mln_buf_add_byte(out, ':');
        }
        print_value(out, rg_get_text(child, "Value"), depth + 1);
    }
    mln_buf_add_byte(out, kind == RG_GQL_V_LIST ? ']' : '}');
}

static const char *value_text(struct rg_gql_walk *w, struct rg_val value)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    print_value(&out, value, 0);
    return rg_text_format(w->gql->heap, "%.*s", MLN_FMT(mln_buf_bytes(&out)));
}

static bool is_digits(struct mln_bytes t)
{
    size_t i = t.len > 0 && t.ptr[0] == '-';
    for (size_t k = i; k < t.len; k++) {
        if (t.ptr[k] < '0' || t.ptr[k] > '9') {
            return false;
        }
    }
    return t.len > i;
}

/* The value is of a wrong kind: in the words that fit what was asked for. */
static bool unexpected(struct rg_gql_walk *w, struct rg_val value,
                       const struct rg_gql_place_of_value *at)
{
    static const struct {
        const char *type, *text;
    } known[] = {{"Int", "Int cannot represent non-integer value: %s"},
                 {"String", "String cannot represent a non string value: %s"},
                 {"Boolean", "Boolean cannot represent a non boolean value: %s"},
                 {"Float", "Float cannot represent non numeric value: %s"},
                 {"ID", "ID cannot represent a non-string and non-integer value: %s"}};
    struct mln_bytes type = mln_bytes_of(rg_gql_type_text(w->gql->heap, at->type));
    struct mln_bytes bare =
        mln_bytes_ends(type, MLN_BYTES("!")) ? mln_bytes_sub(type, 0, type.len - 1) : type;
    const char *text = value_text(w, value);
    int64_t i = 0;
    if (mln_bytes_is(bare, "Int") && is_digits(rg_gql_text(value, "Raw")) &&
        (!mln_i64_parse(rg_gql_text(value, "Raw"), &i) || i > INT32_MAX || i < INT32_MIN)) {
        return rg_gql_fail(w->gql, value,
                           "Int cannot represent non 32-bit signed integer value: %s", text);
    }
    for (size_t k = 0; k < MLN_COUNT(known); k++) {
        if (mln_bytes_is(bare, known[k].type) || (k == 1 && mln_bytes_is(type, "[String]"))) {
            size_t n = mln_bytes_find(mln_bytes_of(known[k].text), '%');
            return rg_gql_fail(w->gql, value, "%.*s%s", (int)n, known[k].text, text);
        }
    }
    if (rg_gql_def_is(at->def, "ENUM")) {
        return rg_gql_fail(w->gql, value, "Enum \"%.*s\" cannot represent non-enum value: %s.",
                           MLN_FMT(type), text);
    }
    return rg_gql_fail(w->gql, value, "Expected value of type \"%.*s\", found %s.", MLN_FMT(type),
                       text);
}

static bool is_one_of(struct rg_val def, const char *a, const char *b, const char *c)
{
    struct mln_bytes name = rg_gql_text(def, "Name");
    return mln_bytes_is(name, a) || mln_bytes_is(name, b) || mln_bytes_is(name, c);
}

static bool check_enum(struct rg_gql_walk *w, struct rg_val value,
                       const struct rg_gql_place_of_value *at)
{
    struct mln_bytes raw = rg_gql_text(value, "Raw");
    if (!rg_gql_def_is(at->def, "ENUM")) {
        return unexpected(w, value, at);
    }
    return rg_gql_named(at->def, "EnumValues", raw).tag != RG_UNDEF ||
           rg_gql_fail(w->gql, value, "Value \"%.*s\" does not exist in \"%s\" enum.", MLN_FMT(raw),
                       rg_gql_type_text(w->gql->heap, at->type));
}

static bool check_one_of(struct rg_gql_walk *w, struct rg_val value, struct rg_val def)
{
    if (rg_gql_n(value, "Children") != 1) {
        return rg_gql_fail(w->gql, value,
                           "OneOf Input Object \"%.*s\" must specify exactly one key.", NAME(def));
    }
    struct rg_val only = rg_get_text(rg_gql_at(value, "Children", 0), "Value");
    return rg_gql_value_kind(only) != RG_GQL_V_NULL ||
           rg_gql_fail(w->gql, only, "Field \"%.*s.%.*s\" must be non-null.", NAME(def),
                       NAME(rg_gql_at(value, "Children", 0)));
}

static bool check_object(struct rg_gql_walk *w, struct rg_val value, struct rg_val def)
{
    for (size_t i = 0; i < rg_gql_n(def, "Fields"); i++) {
        struct rg_val want = rg_gql_at(def, "Fields", i), type = rg_get_text(want, "Type");
        if (rg_gql_flag(type, "NonNull") && rg_get_text(want, "DefaultValue").tag != RG_OBJECT &&
            rg_gql_named(value, "Children", rg_gql_text(want, "Name")).tag == RG_UNDEF) {
            return rg_gql_fail(w->gql, value,
                               "Field \"%.*s.%.*s\" of required type \"%s\" was not provided.",
                               NAME(def), NAME(want), rg_gql_type_text(w->gql->heap, type));
        }
    }
    if (rg_gql_named(def, "Directives", MLN_BYTES("oneOf")).tag != RG_UNDEF &&
        !check_one_of(w, value, def)) {
        return false;
    }
    for (size_t i = 0; i < rg_gql_n(value, "Children"); i++) {
        struct rg_val child = rg_gql_at(value, "Children", i);
        if (rg_gql_named(def, "Fields", rg_gql_text(child, "Name")).tag == RG_UNDEF) {
            return rg_gql_fail(w->gql, child, "Field \"%.*s\" is not defined by type \"%.*s\".",
                               NAME(child), NAME(def));
        }
    }
    return true;
}

static bool check_string(struct rg_gql_walk *w, struct rg_val value,
                         const struct rg_gql_place_of_value *at)
{
    if (rg_gql_def_is(at->def, "ENUM")) {
        return rg_gql_fail(w->gql, value, "Enum \"%s\" cannot represent non-enum value: %s.",
                           rg_gql_type_text(w->gql->heap, at->type), value_text(w, value));
    }
    return is_one_of(at->def, "String", "ID", "ID") || unexpected(w, value, at);
}

static bool check_kind(struct rg_gql_walk *w, struct rg_val value,
                       const struct rg_gql_place_of_value *at)
{
    int64_t i = 0;
    switch (rg_gql_value_kind(value)) {
    case RG_GQL_V_LIST:
        return rg_get_text(at->type, "Elem").tag == RG_OBJECT || unexpected(w, value, at);
    case RG_GQL_V_INT:
        return (mln_i64_parse(rg_gql_text(value, "Raw"), &i) &&
                is_one_of(at->def, "Int", "Float", "ID")) ||
               unexpected(w, value, at);
    case RG_GQL_V_FLOAT:
        return is_one_of(at->def, "Float", "Float", "Float") || unexpected(w, value, at);
    case RG_GQL_V_BOOL:
        return is_one_of(at->def, "Boolean", "Boolean", "Boolean") || unexpected(w, value, at);
    case RG_GQL_V_STRING:
    case RG_GQL_V_BLOCK:
        return check_string(w, value, at);
    case RG_GQL_V_ENUM:
        return check_enum(w, value, at);
    case RG_GQL_V_OBJECT:
        return check_object(w, value, at->def);
    case RG_GQL_V_NULL:
    case RG_GQL_V_VARIABLE:
    default:
        return true;
    }
}

static bool check_type(struct rg_gql_walk *w, struct rg_val value,
                       const struct rg_gql_place_of_value *at)
{
    if (at->def.tag == RG_UNDEF || at->type.tag == RG_UNDEF) {
        return true;
    }
    if (rg_gql_value_kind(value) == RG_GQL_V_NULL && rg_gql_flag(at->type, "NonNull")) {
        return rg_gql_fail(w->gql, value, "Expected value of type \"%s\", found null.",
                           rg_gql_type_text(w->gql->heap, at->type));
    }
    bool is_custom = rg_gql_def_is(at->def, "SCALAR") &&
                     !is_one_of(at->def, "Int", "Float", "String") &&
                     !is_one_of(at->def, "Boolean", "ID", "ID");
    return is_custom || check_kind(w, value, at);
}

static struct rg_val variable_of(const struct rg_gql_walk *w, struct rg_val value)
{
    struct mln_bytes name = rg_gql_text(value, "Raw");
    for (size_t i = 0; i < rg_gql_n(w->operation, "VariableDefinitions"); i++) {
        struct rg_val v = rg_gql_at(w->operation, "VariableDefinitions", i);
        if (mln_bytes_eq(rg_gql_text(v, "Variable"), name)) {
            return v;
        }
    }
    return RG_NONE;
}

static bool check_variable(struct rg_gql_walk *w, struct rg_val value,
                           const struct rg_gql_place_of_value *at)
{
    struct rg_heap *heap = w->gql->heap;
    struct rg_val v = variable_of(w, value), type = rg_get_text(v, "Type"),
                  initial = rg_get_text(v, "DefaultValue");
    if (v.tag == RG_UNDEF || at->type.tag == RG_UNDEF) {
        return true;
    }
    bool has_initial = initial.tag == RG_OBJECT && rg_gql_value_kind(initial) != RG_GQL_V_NULL;
    struct rg_val want = at->type;
    if (has_initial || at->has_default) { /* then null will not be what arrives */
        want = rg_object(heap, 2);
        rg_put_text(heap, want, "NamedType", rg_get_text(at->type, "NamedType"));
        if (rg_get_text(at->type, "Elem").tag == RG_OBJECT) {
            rg_put_text(heap, want, "Elem", rg_get_text(at->type, "Elem"));
        }
    }
    return rg_gql_is_compatible(type, want) ||
           rg_gql_fail(w->gql, value,
                       "Variable \"%s\" of type \"%s\" used in position expecting type \"%s\".",
                       value_text(w, value), rg_gql_type_text(heap, type),
                       rg_gql_type_text(heap, at->type));
}

/* Of an input object that takes exactly one field: a variable in it must not be null. */
static bool check_one_of_variables(struct rg_gql_walk *w, struct rg_val value, struct rg_val def)
{
    if (def.tag == RG_UNDEF ||
        rg_gql_named(def, "Directives", MLN_BYTES("oneOf")).tag == RG_UNDEF) {
        return true;
    }
    for (size_t i = 0; i < rg_gql_n(value, "Children"); i++) {
        struct rg_val child = rg_get_text(rg_gql_at(value, "Children", i), "Value");
        struct rg_val v = variable_of(w, child), type = rg_get_text(v, "Type");
        if (rg_gql_value_kind(child) == RG_GQL_V_VARIABLE && v.tag != RG_UNDEF &&
            !rg_gql_flag(type, "NonNull")) {
            return rg_gql_fail(w->gql, v,
                               "Variable \"%s\" is of type \"%s\" but must be non-nullable to be "
                               "used for OneOf Input "
                               "Object \"%.*s\".",
                               value_text(w, child), rg_gql_type_text(w->gql->heap, type),
                               NAME(def));
        }
    }
    return true;
}

static bool check_children_names(struct rg_gql_walk *w, struct rg_val value)
{
    struct rg_val seen = rg_set(w->gql->heap, 0);
    for (size_t i = 0; i < rg_gql_n(value, "Children"); i++) {
        struct rg_val child = rg_gql_at(value, "Children", i), name = rg_get_text(child, "Name");
        if (rg_has(seen, name)) {
            return rg_gql_fail(w->gql, child, "There can be only one input field named \"%.*s\".",
                               NAME(child));
        }
        rg_add(w->gql->heap, seen, name);
    }
    return true;
}

bool rg_gql_rules_value(struct rg_gql_walk *w, struct rg_val value,
                        const struct rg_gql_place_of_value *at)
{
    enum rg_gql_value kind = rg_gql_value_kind(value);
    bool in_operation = w->operation.tag != RG_UNDEF;
    if (kind == RG_GQL_V_VARIABLE && in_operation && variable_of(w, value).tag == RG_UNDEF) {
        struct mln_bytes name = rg_gql_text(w->operation, "Name");
        return name.len == 0 ? rg_gql_fail(w->gql, value, "Variable \"%s\" is not defined.",
                                           value_text(w, value))
                             : rg_gql_fail(w->gql, value,
                                           "Variable \"%s\" is not defined by operation \"%.*s\".",
                                           value_text(w, value), MLN_FMT(name));
    }
    if ((kind == RG_GQL_V_OBJECT && !check_children_names(w, value)) || !check_type(w, value, at)) {
        return false;
    }
    if (kind == RG_GQL_V_VARIABLE && in_operation) {
        return check_variable(w, value, at);
    }
    return kind != RG_GQL_V_OBJECT || !in_operation || check_one_of_variables(w, value, at->def);
}
