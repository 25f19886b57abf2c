/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of GraphQL's type system (section 3) on types and directives, one by one. */
#include "rego/graphql_schema_priv.h"

#include "rego/rego.h"

#define NAME(node) MLN_FMT(rg_gql_text((node), "Name"))
#define KIND(node) MLN_FMT(rg_gql_text((node), "Kind"))

bool rg_gql_schema_is(struct rg_val def, const char *kind)
{
    return mln_bytes_is(rg_gql_text(def, "Kind"), kind);
}

static bool is_input(struct rg_val def)
{
    return rg_gql_schema_is(def, "SCALAR") || rg_gql_schema_is(def, "ENUM") ||
           rg_gql_schema_is(def, "INPUT_OBJECT");
}

static bool check_name(const struct rg_gql_checker *c, struct rg_val node)
{
    return !mln_bytes_starts(rg_gql_text(node, "Name"), MLN_BYTES("__")) ||
           rg_gql_fail(c->gql, node,
                       "Name \"%.*s\" must not begin with \"__\", which is reserved by GraphQL "
                       "introspection.",
                       NAME(node));
}

static bool has_text(struct rg_val list, struct mln_bytes text)
{
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        if (mln_bytes_eq(rg_bytes(list.arr->items[i]), text)) {
            return true;
        }
    }
    return false;
}

/* ---- directives where they are used ---- */
static bool check_directive_arguments(const struct rg_gql_checker *c, struct rg_val dir,
                                      struct rg_val def)
{
    for (size_t i = 0; i < rg_gql_n(dir, "Arguments"); i++) {
        struct rg_val arg = rg_gql_at(dir, "Arguments", i);
        if (rg_gql_named(def, "Arguments", rg_gql_text(arg, "Name")).tag == RG_UNDEF) {
            return rg_gql_fail(c->gql, arg, "Undefined argument %.*s for directive %.*s.",
                               NAME(arg), NAME(dir));
        }
    }
    for (size_t i = 0; i < rg_gql_n(def, "Arguments"); i++) {
        struct rg_val want = rg_gql_at(def, "Arguments", i);
        struct rg_val arg = rg_gql_named(dir, "Arguments", rg_gql_text(want, "Name"));
        if (rg_gql_flag(rg_get_text(want, "Type"), "NonNull") &&
            rg_get_text(want, "DefaultValue").tag != RG_OBJECT &&
            (arg.tag == RG_UNDEF ||
             rg_gql_value_kind(rg_get_text(arg, "Value")) == RG_GQL_V_NULL)) {
            return rg_gql_fail(c->gql, dir, "Argument %.*s for directive %.*s cannot be null.",
                               NAME(want), NAME(dir));
        }
    }
    return true;
}

static bool is_repeated(struct rg_val list, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        if (mln_bytes_eq(rg_gql_text(list.arr->items[k], "Name"),
                         rg_gql_text(list.arr->items[i], "Name"))) {
            return true;
        }
    }
    return false;
}

bool rg_gql_check_directives(const struct rg_gql_checker *c, struct rg_val node,
                             const char *location, struct rg_val self, bool is_one)
{
    struct rg_val list = rg_get_text(node, "Directives");
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        struct rg_val dir = list.arr->items[i];
        struct rg_val def = rg_get(c->schema->directives, rg_get_text(dir, "Name"));
        if (!check_name(c, dir) || !rg_spend(c->gql->vm, 1 + i)) {
            return false;
        }
        if (self.tag != RG_UNDEF &&
            mln_bytes_eq(rg_gql_text(dir, "Name"), rg_gql_text(self, "Name"))) {
            return rg_gql_fail(c->gql, dir, "Directive %.*s cannot refer to itself.", NAME(dir));
        }
        if (def.tag == RG_UNDEF) {
            return rg_gql_fail(c->gql, dir, "Undefined directive %.*s.", NAME(dir));
        }
        if (is_one && !rg_gql_flag(def, "IsRepeatable") && is_repeated(list, i)) {
            return rg_gql_fail(c->gql, dir,
                               "The directive %.*s can only be used once at this location.",
                               NAME(dir));
        }
        if (!has_text(rg_get_text(def, "Locations"), mln_bytes_of(location))) {
            return rg_gql_fail(c->gql, dir, "Directive %.*s is not applicable on %s.", NAME(dir),
                               location);
        }
        if (!check_directive_arguments(c, dir, def)) {
            return false;
        }
    }
    return true;
}

/* ---- definitions ---- */
static struct rg_val type_of(const struct rg_gql_checker *c, struct rg_val node)
{
    return rg_get(c->schema->types, rg_gql_type_key(rg_get_text(node, "Type")));
}

static bool check_type_ref(const struct rg_gql_checker *c, struct rg_val node)
{
    struct rg_val type = rg_get_text(node, "Type");
    return type_of(c, node).tag != RG_UNDEF ||
           rg_gql_fail(c->gql, type, "Undefined type %.*s.",
                       MLN_FMT(rg_bytes(rg_gql_type_key(type))));
}

static bool check_arguments(const struct rg_gql_checker *c, struct rg_val node, struct rg_val self)
{
    for (size_t i = 0; i < rg_gql_n(node, "Arguments"); i++) {
        struct rg_val arg = rg_gql_at(node, "Arguments", i);
        if (!check_name(c, arg) || !check_type_ref(c, arg)) {
            return false;
        }
        struct rg_val type = type_of(c, arg);
        if (!is_input(type)) {
            return rg_gql_fail(
                c->gql, arg,
                "cannot use %s as argument %.*s because %.*s is not a valid input type",
                rg_gql_type_text(c->gql->heap, rg_get_text(arg, "Type")), NAME(arg), KIND(type));
        }
        if (!rg_gql_check_directives(c, arg, "ARGUMENT_DEFINITION", self, true)) {
            return false;
        }
    }
    return true;
}

static bool check_fields(const struct rg_gql_checker *c, struct rg_val def)
{
    bool input = rg_gql_schema_is(def, "INPUT_OBJECT");
    for (size_t i = 0; i < rg_gql_n(def, "Fields"); i++) {
        struct rg_val field = rg_gql_at(def, "Fields", i);
        if (!rg_spend(c->gql->vm, 1) || !check_name(c, field) || !check_type_ref(c, field) ||
            !check_arguments(c, field, RG_NONE) ||
            !rg_gql_check_directives(
                c, field, input ? "INPUT_FIELD_DEFINITION" : "FIELD_DEFINITION", RG_NONE, true)) {
            return false;
        }
    }
    return true;
}

static bool check_members(const struct rg_gql_checker *c, struct rg_val def)
{
    struct rg_val types = rg_get_text(def, "Types");
    for (uint32_t i = 0; types.tag == RG_ARRAY && i < types.arr->len; i++) {
        struct rg_val type = rg_get(c->schema->types, types.arr->items[i]);
        struct mln_bytes name = rg_bytes(types.arr->items[i]);
        if (type.tag == RG_UNDEF) {
            return rg_gql_fail(c->gql, def, "Undefined type \"%.*s\".", MLN_FMT(name));
        }
        if (!rg_gql_schema_is(type, "OBJECT")) {
            return rg_gql_fail(c->gql, def, "%.*s type \"%.*s\" must be OBJECT.", KIND(def),
                               MLN_FMT(name));
        }
    }
    return true;
}

/* What a field's type is may stand where `want` is asked for. */
static bool is_covariant(const struct rg_gql_checker *c, struct rg_val want, struct rg_val got)
{
    for (;;) {
        if (rg_gql_flag(want, "NonNull") && !rg_gql_flag(got, "NonNull")) {
            return false;
        }
        struct mln_bytes name = rg_gql_text(want, "NamedType"),
                         other = rg_gql_text(got, "NamedType");
        if (name.len > 0) {
            struct rg_val possible = rg_get(c->schema->possible, rg_get_text(want, "NamedType"));
            bool found = mln_bytes_eq(name, other);
            for (uint32_t i = 0; !found && possible.tag == RG_ARRAY && i < possible.arr->len; i++) {
                found = mln_bytes_eq(rg_gql_text(possible.arr->items[i], "Name"), other);
            }
            return found;
        }
        want = rg_get_text(want, "Elem");
        got = rg_get_text(got, "Elem");
        if (want.tag != RG_OBJECT || got.tag != RG_OBJECT) {
            return false;
        }
    }
}

bool rg_gql_is_compatible(struct rg_val a, struct rg_val b)
{
    for (;;) {
        struct rg_val x = rg_get_text(a, "Elem"), y = rg_get_text(b, "Elem");
        if (!mln_bytes_eq(rg_gql_text(a, "NamedType"), rg_gql_text(b, "NamedType")) ||
            (x.tag == RG_OBJECT && y.tag != RG_OBJECT) ||
            (rg_gql_flag(b, "NonNull") && !rg_gql_flag(a, "NonNull"))) {
            return false;
        }
        if (x.tag != RG_OBJECT) {
            return true;
        }
        a = x;
        b = y;
    }
}

static bool check_same_arguments(const struct rg_gql_checker *c, struct rg_val def,
                                 struct rg_val want, struct rg_val got, struct mln_bytes of)
{
    struct rg_gql *gql = c->gql;
    for (size_t i = 0; i < rg_gql_n(want, "Arguments"); i++) {
        struct rg_val arg = rg_gql_at(want, "Arguments", i);
        struct rg_val found = rg_gql_named(got, "Arguments", rg_gql_text(arg, "Name"));
        if (found.tag == RG_UNDEF) {
            return rg_gql_fail(
                gql, got,
                "For %.*s to implement %.*s the field %.*s must have the same arguments but it is "
                "missing %.*s.",
                NAME(def), MLN_FMT(of), NAME(want), NAME(arg));
        }
        if (!rg_gql_is_compatible(rg_get_text(arg, "Type"), rg_get_text(found, "Type"))) {
            return rg_gql_fail(gql, found,
                               "For %.*s to implement %.*s the field %.*s must have the same "
                               "arguments but %.*s has "
                               "the wrong type.",
                               NAME(def), MLN_FMT(of), NAME(want), NAME(arg));
        }
    }
    for (size_t i = 0; i < rg_gql_n(got, "Arguments"); i++) {
        struct rg_val arg = rg_gql_at(got, "Arguments", i);
        if (rg_gql_named(want, "Arguments", rg_gql_text(arg, "Name")).tag == RG_UNDEF &&
            rg_gql_flag(rg_get_text(arg, "Type"), "NonNull") &&
            rg_get_text(arg, "DefaultValue").tag != RG_OBJECT) {
            return rg_gql_fail(gql, arg,
                               "For %.*s to implement %.*s any additional arguments on %.*s must "
                               "be optional or have "
                               "a default value but %.*s is required.",
                               NAME(def), MLN_FMT(of), NAME(got), NAME(arg));
        }
    }
    return true;
}

static bool check_ancestors(const struct rg_gql_checker *c, struct rg_val def, struct rg_val of)
{
    struct rg_val more = rg_get_text(of, "Interfaces");
    for (uint32_t i = 0; more.tag == RG_ARRAY && i < more.arr->len; i++) {
        struct mln_bytes name = rg_bytes(more.arr->items[i]);
        if (has_text(rg_get_text(def, "Interfaces"), name)) {
            continue;
        }
        if (mln_bytes_eq(name, rg_gql_text(def, "Name"))) {
            return rg_gql_fail(
                c->gql, def,
                "Type %.*s cannot implement %.*s because it would create a circular reference.",
                NAME(def), NAME(of));
        }
        return rg_gql_fail(c->gql, def,
                           "Type %.*s must implement %.*s because it is implemented by %.*s.",
                           NAME(def), MLN_FMT(name), NAME(of));
    }
    return true;
}

static bool check_implements(const struct rg_gql_checker *c, struct rg_val def, struct rg_val name)
{
    struct rg_gql *gql = c->gql;
    struct rg_val of = rg_get(c->schema->types, name);
    struct mln_bytes text = rg_bytes(name);
    if (of.tag == RG_UNDEF) {
        return rg_gql_fail(gql, def, "Undefined type \"%.*s\".", MLN_FMT(text));
    }
    if (!rg_gql_schema_is(of, "INTERFACE")) {
        return rg_gql_fail(gql, def, "\"%.*s\" is a non interface type %.*s.", MLN_FMT(text),
                           KIND(of));
    }
    for (size_t i = 0; i < rg_gql_n(of, "Fields"); i++) {
        struct rg_val want = rg_gql_at(of, "Fields", i), type = rg_get_text(want, "Type");
        struct rg_val got = rg_gql_named(def, "Fields", rg_gql_text(want, "Name"));
        if (!rg_spend(gql->vm, 1 + rg_gql_n(def, "Fields") / 8)) {
            return false;
        }
        if (got.tag == RG_UNDEF) {
            return rg_gql_fail(gql, def,
                               "For %.*s to implement %.*s it must have a field called %.*s.",
                               NAME(def), MLN_FMT(text), NAME(want));
        }
        if (!is_covariant(c, type, rg_get_text(got, "Type"))) {
            return rg_gql_fail(
                gql, got, "For %.*s to implement %.*s the field %.*s must have type %s.", NAME(def),
                MLN_FMT(text), NAME(want), rg_gql_type_text(gql->heap, type));
        }
        if (!check_same_arguments(c, def, want, got, text)) {
            return false;
        }
    }
    return check_ancestors(c, def, of);
}

static bool check_object(const struct rg_gql_checker *c, struct rg_val def)
{
    if (rg_gql_n(def, "Fields") == 0) {
        return rg_gql_fail(c->gql, def, "%.*s %.*s: must define one or more fields.", KIND(def),
                           NAME(def));
    }
    for (size_t i = 0; i < rg_gql_n(def, "Fields"); i++) {
        struct rg_val field = rg_gql_at(def, "Fields", i);
        if (rg_gql_schema_is(type_of(c, field), "INPUT_OBJECT")) {
            return rg_gql_fail(
                c->gql, field,
                "%.*s %.*s: field must be one of SCALAR, OBJECT, INTERFACE, UNION, ENUM.",
                KIND(def), NAME(def));
        }
    }
    return true;
}

static bool check_input(const struct rg_gql_checker *c, struct rg_val def)
{
    if (rg_gql_n(def, "Fields") == 0) {
        return rg_gql_fail(c->gql, def, "%.*s %.*s: must define one or more input fields.",
                           KIND(def), NAME(def));
    }
    for (size_t i = 0; i < rg_gql_n(def, "Fields"); i++) {
        struct rg_val field = rg_gql_at(def, "Fields", i), type = type_of(c, field);
        if (!is_input(type)) {
            return rg_gql_fail(c->gql, field,
                               "%.*s %.*s: field must be one of SCALAR, ENUM, INPUT_OBJECT.",
                               KIND(type), NAME(field));
        }
    }
    return true;
}

static bool check_enum(const struct rg_gql_checker *c, struct rg_val def)
{
    if (rg_gql_n(def, "EnumValues") == 0) {
        return rg_gql_fail(c->gql, def, "%.*s %.*s: must define one or more unique enum values.",
                           KIND(def), NAME(def));
    }
    for (size_t i = 0; i < rg_gql_n(def, "EnumValues"); i++) {
        struct rg_val value = rg_gql_at(def, "EnumValues", i);
        struct mln_bytes name = rg_gql_text(value, "Name");
        if (mln_bytes_is(name, "true") || mln_bytes_is(name, "false") ||
            mln_bytes_is(name, "null")) {
            return rg_gql_fail(c->gql, def, "%.*s %.*s: non-enum value %.*s.", KIND(def), NAME(def),
                               NAME(value));
        }
        if (!rg_gql_check_directives(c, value, "ENUM_VALUE", RG_NONE, true)) {
            return false;
        }
    }
    return true;
}

/* The item that stands twice in a list, undefined when none does. */
static struct rg_val twice(const struct rg_gql_checker *c, struct rg_val def, const char *key,
                           bool is_named)
{
    struct rg_val list = rg_get_text(def, key), seen = rg_set(c->gql->heap, 0);
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        struct rg_val name =
            is_named ? rg_get_text(list.arr->items[i], "Name") : list.arr->items[i];
        if (rg_has(seen, name)) {
            return list.arr->items[i];
        }
        rg_add(c->gql->heap, seen, name);
    }
    return RG_NONE;
}

static bool check_unique(const struct rg_gql_checker *c, struct rg_val def)
{
    struct rg_val again = twice(c, def, "Fields", true);
    if (again.tag != RG_UNDEF) {
        return rg_gql_fail(c->gql, again, "Field %.*s.%.*s can only be defined once.", NAME(def),
                           NAME(again));
    }
    again = twice(c, def, "EnumValues", true);
    if (again.tag != RG_UNDEF) {
        return rg_gql_fail(c->gql, again, "Enum value %.*s.%.*s can only be defined once.",
                           NAME(def), NAME(again));
    }
    again = twice(c, def, "Types", false);
    return again.tag == RG_UNDEF ||
           rg_gql_fail(c->gql, def, "Union type %.*s can only include type %.*s once.", NAME(def),
                       MLN_FMT(rg_bytes(again)));
}

static bool check_definition(const struct rg_gql_checker *c, struct rg_val def)
{
    char location[32];
    struct mln_bytes kind = rg_gql_text(def, "Kind");
    struct rg_val interfaces = rg_get_text(def, "Interfaces");
    if (!check_fields(c, def) || !check_members(c, def)) {
        return false;
    }
    for (uint32_t i = 0; interfaces.tag == RG_ARRAY && i < interfaces.arr->len; i++) {
        if (!check_implements(c, def, interfaces.arr->items[i])) {
            return false;
        }
    }
    bool ok = rg_gql_schema_is(def, "OBJECT") || rg_gql_schema_is(def, "INTERFACE")
                  ? check_object(c, def)
              : rg_gql_schema_is(def, "ENUM")         ? check_enum(c, def)
              : rg_gql_schema_is(def, "INPUT_OBJECT") ? check_input(c, def)
                                                      : true;
    size_t n = kind.len < sizeof(location) ? kind.len : sizeof(location) - 1;
    mln_copy(location, kind.ptr, n);
    location[n] = '\0';
    return ok && check_unique(c, def) && (rg_gql_flag(def, "BuiltIn") || check_name(c, def)) &&
           rg_gql_check_directives(c, def, location, RG_NONE, false);
}

/* ---- input objects that need themselves ---- */
struct way {
    const struct way *up;
    struct rg_val def, field;
    unsigned depth;
};

static bool is_circular(const struct rg_gql_checker *c, const struct way *way, struct rg_val done)
{
    struct rg_val fields = rg_get_text(way->def, "Fields"), name = rg_get_text(way->def, "Name");
    if (rg_has(done, name) || way->depth > MLN_REGO_CALLS_MAX || !rg_spend(c->gql->vm, 1)) {
        return false;
    }
    rg_add(c->gql->heap, done, name);
    for (uint32_t i = 0; fields.tag == RG_ARRAY && i < fields.arr->len; i++) {
        struct rg_val type = rg_get_text(fields.arr->items[i], "Type"),
                      def = type_of(c, fields.arr->items[i]);
        if (!rg_gql_flag(type, "NonNull") || rg_gql_text(type, "NamedType").len == 0 ||
            !rg_gql_schema_is(def, "INPUT_OBJECT")) {
            continue;
        }
        struct way below = {
            .up = way, .def = def, .field = fields.arr->items[i], .depth = way->depth + 1};
        for (const struct way *w = way; w != NULL; w = w->up) {
            if (w->def.map == def.map) {
                return !rg_gql_fail(
                    c->gql, below.field,
                    "Cannot reference Input Object \"%.*s\" within itself through a series of "
                    "non-null fields.",
                    NAME(def));
            }
        }
        if (is_circular(c, &below, done)) {
            return true;
        }
    }
    return false;
}

static bool check_circles(const struct rg_gql_checker *c)
{
    struct rg_val done = rg_set(c->gql->heap, 0), types = c->schema->types;
    for (size_t i = 0; i < rg_len(types); i++) {
        struct way way = {.def = rg_val_at(types, i)};
        if (rg_gql_schema_is(way.def, "INPUT_OBJECT") && is_circular(c, &way, done)) {
            return false;
        }
    }
    return true;
}

/* ---- all ---- */
bool rg_gql_check_types(const struct rg_gql_checker *c)
{
    for (size_t i = 0; i < rg_len(c->schema->types); i++) {
        if (!check_definition(c, rg_val_at(c->schema->types, i))) {
            return false;
        }
    }
    if (!check_circles(c)) {
        return false;
    }
    for (size_t i = 0; i < rg_len(c->schema->directives); i++) {
        struct rg_val def = rg_val_at(c->schema->directives, i);
        if (!check_name(c, def) || !check_arguments(c, def, def)) {
            return false;
        }
    }
    return true;
}
