/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of section 5 on operations, fields, fragments and directives. */
#include "rego/graphql_walk_priv.h"

#define NAME(node) MLN_FMT(rg_gql_text((node), "Name"))

static bool is_leaf(struct rg_val def)
{
    return rg_gql_def_is(def, "SCALAR") || rg_gql_def_is(def, "ENUM");
}

/* The item of a list whose member `key` another before it has; undefined when none does. */
static struct rg_val repeated(struct rg_gql_walk *w, struct rg_val node, const char *list,
                              const char *key)
{
    struct rg_val seen = rg_set(w->gql->heap, 0);
    for (size_t i = 0; i < rg_gql_n(node, list); i++) {
        struct rg_val item = rg_gql_at(node, list, i), name = rg_get_text(item, key);
        if (rg_has(seen, name)) {
            return item;
        }
        rg_add(w->gql->heap, seen, name);
    }
    return RG_NONE;
}

static bool unique_arguments(struct rg_gql_walk *w, struct rg_val node)
{
    struct rg_val again = repeated(w, node, "Arguments", "Name");
    return again.tag == RG_UNDEF ||
           rg_gql_fail(w->gql, again, "There can be only one argument named \"%.*s\".",
                       NAME(again));
}

/* An argument that must be given and is not. */
static struct rg_val missing(struct rg_val node, struct rg_val def)
{
    for (size_t i = 0; i < rg_gql_n(def, "Arguments"); i++) {
        struct rg_val want = rg_gql_at(def, "Arguments", i);
        if (rg_gql_flag(rg_get_text(want, "Type"), "NonNull") &&
            rg_get_text(want, "DefaultValue").tag != RG_OBJECT &&
            rg_gql_named(node, "Arguments", rg_gql_text(want, "Name")).tag == RG_UNDEF) {
            return want;
        }
    }
    return RG_NONE;
}

static struct rg_val unknown_argument(struct rg_val node, struct rg_val def)
{
    for (size_t i = 0; i < rg_gql_n(node, "Arguments"); i++) {
        struct rg_val arg = rg_gql_at(node, "Arguments", i);
        if (rg_gql_named(def, "Arguments", rg_gql_text(arg, "Name")).tag == RG_UNDEF) {
            return arg;
        }
    }
    return RG_NONE;
}

/* ---- fields ---- */
#define LISTS_IN_LISTS_MOST 3 /* of an introspection: more is a way to make a server work */

static bool is_deep(struct rg_gql_walk *w, struct rg_val node, struct rg_val around, unsigned lists,
                    unsigned depth)
{
    static const char *const heavy[] = {"fields", "interfaces", "possibleTypes", "inputFields"};
    struct rg_val inside = around;
    bool spread = rg_gql_selection_of(node) == RG_GQL_S_SPREAD;
    if (depth > MLN_REGO_NESTING_MAX || !rg_spend(w->gql->vm, 1)) {
        return true;
    }
    for (size_t i = 0; rg_gql_selection_of(node) == RG_GQL_S_FIELD && i < MLN_COUNT(heavy); i++) {
        lists += mln_bytes_is(rg_gql_text(node, "Name"), heavy[i]);
    }
    if (lists >= LISTS_IN_LISTS_MOST) {
        return true;
    }
    if (spread) {
        struct rg_val name = rg_get_text(node, "Name");
        if (rg_has(around, name)) {
            return false;
        }
        inside = rg_copy(w->gql->heap, around);
        rg_add(w->gql->heap, inside, name);
        node = rg_gql_fragment(w, node);
    }
    for (size_t i = 0; i < rg_gql_n(node, "SelectionSet"); i++) {
        if (is_deep(w, rg_gql_at(node, "SelectionSet", i), inside, lists, depth + 1)) {
            return true;
        }
    }
    return false;
}

static bool check_introspection(struct rg_gql_walk *w, struct rg_val field)
{
    struct mln_bytes name = rg_gql_text(field, "Name");
    if ((mln_bytes_is(name, "__schema") || mln_bytes_is(name, "__type")) &&
        is_deep(w, field, rg_set(w->gql->heap, 0), 0, 0)) {
        return rg_gql_fail(w->gql, field, "Maximum introspection depth exceeded");
    }
    return true;
}

static bool check_leaf(struct rg_gql_walk *w, struct rg_val field, struct rg_val def)
{
    struct rg_val type = rg_gql_type_def(w, def);
    size_t n = rg_gql_n(field, "SelectionSet");
    if (type.tag != RG_UNDEF && is_leaf(type) && n > 0) {
        return rg_gql_fail(
            w->gql, field,
            "Field \"%.*s\" must not have a selection since type \"%.*s\" has no subfields.",
            NAME(field), NAME(type));
    }
    if (type.tag != RG_UNDEF && !is_leaf(type) && n == 0) {
        return rg_gql_fail(
            w->gql, field,
            "Field \"%.*s\" of type \"%s\" must have a selection of subfields. Did you mean "
            "\"%.*s { ... }\"?",
            NAME(field), rg_gql_type_text(w->gql->heap, rg_get_text(def, "Type")), NAME(field));
    }
    return true;
}

bool rg_gql_rules_field(struct rg_gql_walk *w, struct rg_val field, struct rg_val parent,
                        struct rg_val def)
{
    struct rg_gql *gql = w->gql;
    if (parent.tag != RG_UNDEF && def.tag == RG_UNDEF) {
        return rg_gql_fail(gql, field, "Cannot query field \"%.*s\" on type \"%.*s\".", NAME(field),
                           NAME(parent));
    }
    struct rg_val odd = unknown_argument(field, def), need = missing(field, def);
    if (def.tag != RG_UNDEF && parent.tag != RG_UNDEF && odd.tag != RG_UNDEF) {
        return rg_gql_fail(gql, field, "Unknown argument \"%.*s\" on field \"%.*s.%.*s\".",
                           NAME(odd), NAME(parent), NAME(field));
    }
    if (!check_introspection(w, field) ||
        (w->operation.tag != RG_UNDEF &&
         !rg_gql_rules_overlap(w, field, rg_gql_type_def(w, def)))) {
        return false;
    }
    if (need.tag != RG_UNDEF) {
        return rg_gql_fail(
            gql, field,
            "Field \"%.*s\" argument \"%.*s\" of type \"%s\" is required, but it was not provided.",
            NAME(field), NAME(need), rg_gql_type_text(gql->heap, rg_get_text(need, "Type")));
    }
    return check_leaf(w, field, def) && unique_arguments(w, field);
}

/* ---- fragments ---- */
static bool may_be(const struct rg_gql_walk *w, struct rg_val parent, struct rg_val type)
{
    struct rg_val alone = rg_array(w->gql->heap, 1);
    rg_push(w->gql->heap, alone, parent);
    struct rg_val a = rg_gql_def_is(parent, "OBJECT")
                          ? alone
                          : rg_get(w->schema->possible, rg_get_text(parent, "Name"));
    struct rg_val b = rg_get(w->schema->possible, rg_get_text(type, "Name"));
    for (uint32_t i = 0; b.tag == RG_ARRAY && i < b.arr->len; i++) {
        for (uint32_t k = 0; a.tag == RG_ARRAY && k < a.arr->len; k++) {
            if (mln_bytes_eq(rg_gql_text(a.arr->items[k], "Name"),
                             rg_gql_text(b.arr->items[i], "Name"))) {
                return true;
            }
        }
    }
    return false;
}

/* Can what stands here ever be of the fragment's type? True also when another rule speaks of it. */
static bool can_spread(const struct rg_gql_walk *w, struct rg_val parent, struct rg_val condition)
{
    struct rg_val type = condition.tag == RG_STR ? rg_get(w->schema->types, condition) : RG_NONE;
    return parent.tag == RG_UNDEF || !rg_gql_is_composite(parent) || type.tag == RG_UNDEF ||
           !rg_gql_is_composite(type) || may_be(w, parent, type);
}

bool rg_gql_rules_inline(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent)
{
    struct rg_val name = rg_get_text(node, "TypeCondition");
    struct mln_bytes text = rg_gql_text(node, "TypeCondition");
    struct rg_val type = name.tag == RG_STR ? rg_get(w->schema->types, name) : RG_NONE;
    if (type.tag != RG_UNDEF && !rg_gql_is_composite(type)) {
        return rg_gql_fail(w->gql, node,
                           "Fragment cannot condition on non composite type \"%.*s\".",
                           MLN_FMT(text));
    }
    if (text.len > 0 && type.tag == RG_UNDEF) {
        return rg_gql_fail(w->gql, node, "Unknown type \"%.*s\".", MLN_FMT(text));
    }
    if (!rg_gql_rules_overlap(w, node, text.len > 0 ? type : parent)) {
        return false;
    }
    return can_spread(w, parent, name) ||
           rg_gql_fail(w->gql, node,
                       "Fragment cannot be spread here as objects of type \"%.*s\" can never be of "
                       "type \"%.*s\".",
                       NAME(parent), MLN_FMT(text));
}

bool rg_gql_rules_spread(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                         struct rg_val fragment)
{
    if (fragment.tag == RG_UNDEF) {
        return rg_gql_fail(w->gql, node, "Unknown fragment \"%.*s\".", NAME(node));
    }
    if (w->operation.tag != RG_UNDEF) {
        rg_add(w->gql->heap, w->used_fragments, rg_get_text(node, "Name"));
    }
    return can_spread(w, parent, rg_get_text(fragment, "TypeCondition")) ||
           rg_gql_fail(w->gql, node,
                       "Fragment \"%.*s\" cannot be spread here as objects of type \"%.*s\" can "
                       "never be of type "
                       "\"%.*s\".",
                       NAME(node), NAME(parent), MLN_FMT(rg_gql_text(fragment, "TypeCondition")));
}

struct way {
    const struct way *up;
    struct rg_val name;
    unsigned depth;
};

/* Spreads below a node lead back to a fragment on the way. */
static bool is_cycle(struct rg_gql_walk *w, struct rg_val node, const struct way *way)
{
    for (size_t i = 0; i < rg_gql_n(node, "SelectionSet"); i++) {
        struct rg_val child = rg_gql_at(node, "SelectionSet", i), name = rg_get_text(child, "Name");
        struct way below = {.up = way, .name = name, .depth = way->depth + 1};
        if (below.depth > MLN_REGO_CALLS_MAX || !rg_spend(w->gql->vm, 1)) {
            return !rg_gql_fail(w->gql, child, "fragments are nested too deep");
        }
        if (rg_gql_selection_of(child) != RG_GQL_S_SPREAD) {
            below.name = RG_NONE;
            if (is_cycle(w, child, &below)) {
                return true;
            }
            continue;
        }
        for (const struct way *up = way; up != NULL; up = up->up) {
            if (up->name.tag == RG_STR && rg_eq(up->name, name)) {
                return !rg_gql_fail(w->gql, child,
                                    "Cannot spread fragment \"%.*s\" within itself%s.", NAME(child),
                                    up == way ? "" : " via others");
            }
        }
        if (!rg_has(w->cycles_seen, name)) {
            rg_add(w->gql->heap, w->cycles_seen, name);
            if (is_cycle(w, rg_gql_fragment(w, child), &below)) {
                return true;
            }
        }
    }
    return false;
}

bool rg_gql_rules_fragment(struct rg_gql_walk *w, struct rg_val node)
{
    struct rg_gql *gql = w->gql;
    struct rg_val name = rg_get_text(node, "Name"), on = rg_get_text(node, "TypeCondition");
    struct rg_val def = on.tag == RG_STR ? rg_get(w->schema->types, on) : RG_NONE;
    struct mln_bytes type = rg_gql_text(node, "TypeCondition");
    struct way way = {.name = name};
    if (def.tag != RG_UNDEF && !rg_gql_is_composite(def)) {
        return rg_gql_fail(gql, node,
                           "Fragment \"%.*s\" cannot condition on non composite type \"%.*s\".",
                           NAME(node), MLN_FMT(type));
    }
    if (def.tag == RG_UNDEF) {
        return rg_gql_fail(gql, node, "Unknown type \"%.*s\".", MLN_FMT(type));
    }
    if (!rg_has(w->cycles_seen, name)) {
        rg_add(gql->heap, w->cycles_seen, name);
        if (is_cycle(w, node, &way)) {
            return false;
        }
    }
    if (!rg_has(w->used_fragments, name)) {
        return rg_gql_fail(gql, node, "Fragment \"%.*s\" is never used.", NAME(node));
    }
    if (!rg_gql_rules_overlap(w, node, def)) {
        return false;
    }
    if (rg_has(w->fragments_seen, name)) {
        return rg_gql_fail(gql, node, "There can be only one fragment named \"%.*s\".", NAME(node));
    }
    rg_add(gql->heap, w->fragments_seen, name);
    return true;
}

/* ---- operations ---- */
static void top_fields(struct rg_gql_walk *w, struct rg_val node, struct rg_val list,
                       struct rg_val seen)
{
    for (size_t i = 0; i < rg_gql_n(node, "SelectionSet"); i++) {
        struct rg_val child = rg_gql_at(node, "SelectionSet", i), name = rg_get_text(child, "Name");
        enum rg_gql_selection kind = rg_gql_selection_of(child);
        if (kind == RG_GQL_S_FIELD) {
            rg_push(w->gql->heap, list, child);
        } else if (kind == RG_GQL_S_INLINE) {
            top_fields(w, child, list, seen);
        } else if (!rg_has(seen, name)) {
            rg_add(w->gql->heap, seen, name);
            top_fields(w, rg_gql_fragment(w, child), list, seen);
        }
    }
}

static bool check_subscription(struct rg_gql_walk *w, struct rg_val node)
{
    struct rg_heap *heap = w->gql->heap;
    struct rg_val list = rg_array(heap, 1), names = rg_set(heap, 0);
    struct mln_bytes name = rg_gql_text(node, "Name");
    const char *who = name.len == 0 ? "Anonymous Subscription"
                                    : rg_text_format(heap, "Subscription \"%.*s\"", MLN_FMT(name));
    top_fields(w, node, list, rg_set(heap, 0));
    for (uint32_t i = 0; i < list.arr->len; i++) {
        rg_add(heap, names, rg_get_text(list.arr->items[i], "Name"));
        if (rg_len(names) > 1) {
            return rg_gql_fail(w->gql, list.arr->items[i],
                               "%s must select only one top level field.", who);
        }
    }
    for (uint32_t i = 0; i < list.arr->len; i++) {
        if (mln_bytes_starts(rg_gql_text(list.arr->items[i], "Name"), MLN_BYTES("__"))) {
            return rg_gql_fail(w->gql, list.arr->items[i],
                               "%s must not select an introspection top level field.", who);
        }
    }
    return true;
}

static bool check_used_variables(struct rg_gql_walk *w, struct rg_val node)
{
    struct mln_bytes name = rg_gql_text(node, "Name");
    for (size_t i = 0; i < rg_gql_n(node, "VariableDefinitions"); i++) {
        struct rg_val v = rg_gql_at(node, "VariableDefinitions", i);
        if (rg_has(w->used_variables, rg_get_text(v, "Variable"))) {
            continue;
        }
        const char *where =
            name.len == 0 ? ""
                          : rg_text_format(w->gql->heap, " in operation \"%.*s\"", MLN_FMT(name));
        return rg_gql_fail(w->gql, v, "Variable \"$%.*s\" is never used%s.",
                           MLN_FMT(rg_gql_text(v, "Variable")), where);
    }
    return true;
}

static bool check_variables(struct rg_gql_walk *w, struct rg_val node)
{
    struct rg_val again = repeated(w, node, "VariableDefinitions", "Variable");
    if (again.tag != RG_UNDEF) {
        return rg_gql_fail(w->gql, again, "There can be only one variable named \"$%.*s\".",
                           MLN_FMT(rg_gql_text(again, "Variable")));
    }
    for (size_t i = 0; i < rg_gql_n(node, "VariableDefinitions"); i++) {
        struct rg_val v = rg_gql_at(node, "VariableDefinitions", i), def = rg_gql_type_def(w, v);
        if (def.tag != RG_UNDEF && !is_leaf(def) && !rg_gql_def_is(def, "INPUT_OBJECT")) {
            return rg_gql_fail(w->gql, v, "Variable \"$%.*s\" cannot be non-input type \"%s\".",
                               MLN_FMT(rg_gql_text(v, "Variable")),
                               rg_gql_type_text(w->gql->heap, rg_get_text(v, "Type")));
        }
    }
    return true;
}

bool rg_gql_rules_operation(struct rg_gql_walk *w, struct rg_val node, struct rg_val root)
{
    struct rg_gql *gql = w->gql;
    struct rg_val name = rg_get_text(node, "Name");
    bool is_named = rg_gql_text(node, "Name").len > 0;
    if (root.tag == RG_UNDEF) {
        return rg_gql_fail(gql, node, "Schema does not support operation type \"%.*s\"",
                           MLN_FMT(rg_gql_text(node, "Operation")));
    }
    if (!is_named && rg_gql_n(w->doc, "Operations") > 1) {
        return rg_gql_fail(gql, node,
                           "This anonymous operation must be the only defined operation.");
    }
    if (!check_used_variables(w, node) || !rg_gql_rules_overlap(w, node, root)) {
        return false;
    }
    if (mln_bytes_is(rg_gql_text(node, "Operation"), "subscription") &&
        !check_subscription(w, node)) {
        return false;
    }
    if (is_named && rg_has(w->operations_seen, name)) {
        return rg_gql_fail(gql, node, "There can be only one operation named \"%.*s\".",
                           NAME(node));
    }
    rg_add(gql->heap, w->operations_seen, name);
    return check_variables(w, node);
}

/* ---- directives ---- */
static bool may_stand(struct rg_val def, const char *location)
{
    struct rg_val list = rg_get_text(def, "Locations");
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        if (mln_bytes_is(rg_bytes(list.arr->items[i]), location)) {
            return true;
        }
    }
    return false;
}

bool rg_gql_rules_directive(struct rg_gql_walk *w, struct rg_val dir, const char *location)
{
    struct rg_gql *gql = w->gql;
    struct rg_val name = rg_get_text(dir, "Name");
    struct rg_val def = name.tag == RG_STR ? rg_get(w->schema->directives, name) : RG_NONE;
    if (def.tag == RG_UNDEF) {
        return rg_gql_fail(gql, dir, "Unknown directive \"@%.*s\".", NAME(dir));
    }
    struct rg_val odd = unknown_argument(dir, def), need = missing(dir, def);
    if (odd.tag != RG_UNDEF) {
        return rg_gql_fail(gql, dir, "Unknown argument \"%.*s\" on directive \"@%.*s\".", NAME(odd),
                           NAME(dir));
    }
    if (!may_stand(def, location)) {
        return rg_gql_fail(gql, dir, "Directive \"@%.*s\" may not be used on %s.", NAME(dir),
                           location);
    }
    if (need.tag != RG_UNDEF) {
        return rg_gql_fail(gql, dir,
                           "Directive \"@%.*s\" argument \"%.*s\" of type \"%s\" is required, but "
                           "it was not provided.",
                           NAME(dir), NAME(need),
                           rg_gql_type_text(gql->heap, rg_get_text(need, "Type")));
    }
    return unique_arguments(w, dir);
}

bool rg_gql_rules_directives(struct rg_gql_walk *w, struct rg_val list)
{
    struct rg_val seen = rg_set(w->gql->heap, 0);
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        struct rg_val dir = list.arr->items[i], name = rg_get_text(dir, "Name");
        if (!rg_gql_flag(rg_get(w->schema->directives, name), "IsRepeatable") &&
            rg_has(seen, name)) {
            return rg_gql_fail(w->gql, dir,
                               "The directive \"@%.*s\" can only be used once at this location.",
                               NAME(dir));
        }
        rg_add(w->gql->heap, seen, name);
    }
    return true;
}
