/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a query: in the order of OPA, so that the first error is the same. */
#include "rego/graphql_walk_priv.h"

enum rg_gql_selection rg_gql_selection_of(struct rg_val node)
{
    if (rg_get_text(node, "TypeCondition").tag == RG_STR || rg_gql_text(node, "Name").len == 0) {
        return RG_GQL_S_INLINE;
    }
    return rg_get_text(node, "Alias").tag == RG_STR ? RG_GQL_S_FIELD : RG_GQL_S_SPREAD;
}

bool rg_gql_def_is(struct rg_val def, const char *kind)
{
    return mln_bytes_is(rg_gql_text(def, "Kind"), kind);
}

bool rg_gql_is_composite(struct rg_val def)
{
    return rg_gql_def_is(def, "OBJECT") || rg_gql_def_is(def, "INTERFACE") ||
           rg_gql_def_is(def, "UNION");
}

struct rg_val rg_gql_type_def(const struct rg_gql_walk *w, struct rg_val node)
{
    struct rg_val key = rg_gql_type_key(rg_get_text(node, "Type"));
    return key.tag == RG_STR ? rg_get(w->schema->types, key) : RG_NONE;
}

static struct rg_val type_named(const struct rg_gql_walk *w, struct rg_val name)
{
    return name.tag == RG_STR ? rg_get(w->schema->types, name) : RG_NONE;
}

struct rg_val rg_gql_fragment(const struct rg_gql_walk *w, struct rg_val spread)
{
    return rg_gql_named(w->doc, "Fragments", rg_gql_text(spread, "Name"));
}

struct rg_val rg_gql_field_def(const struct rg_gql_walk *w, struct rg_val parent,
                               struct rg_val field)
{
    struct mln_bytes name = rg_gql_text(field, "Name");
    if (!mln_bytes_is(name, "__typename")) {
        return rg_gql_named(parent, "Fields", name);
    }
    struct rg_heap *heap = w->gql->heap;
    struct rg_val def = rg_object(heap, 2), type = rg_object(heap, 2);
    rg_put_text(heap, type, "NamedType", rg_text(heap, "String"));
    rg_put_text(heap, def, "Name", rg_get_text(field, "Name"));
    rg_put_text(heap, def, "Type", type);
    return def;
}

/* ---- values ---- */
static bool walk_value(struct rg_gql_walk *w, struct rg_val value,
                       const struct rg_gql_place_of_value *at);

static bool has_default(struct rg_val def)
{
    struct rg_val v = rg_get_text(def, "DefaultValue");
    return v.tag == RG_OBJECT && rg_gql_value_kind(v) != RG_GQL_V_NULL;
}

static struct rg_gql_place_of_value place_of(const struct rg_gql_walk *w, struct rg_val def)
{
    return (struct rg_gql_place_of_value){.type = rg_get_text(def, "Type"),
                                          .def = rg_gql_type_def(w, def),
                                          .has_default = has_default(def)};
}

static bool walk_children(struct rg_gql_walk *w, struct rg_val value,
                          const struct rg_gql_place_of_value *at)
{
    bool is_list = rg_gql_value_kind(value) == RG_GQL_V_LIST;
    struct rg_val elem = rg_get_text(at->type, "Elem");
    for (size_t i = 0; i < rg_gql_n(value, "Children"); i++) {
        struct rg_val child = rg_gql_at(value, "Children", i);
        struct rg_gql_place_of_value below = {0};
        if (is_list && elem.tag == RG_OBJECT) {
            below = (struct rg_gql_place_of_value){.type = elem, .def = at->def};
        } else if (!is_list) {
            below = place_of(w, rg_gql_named(at->def, "Fields", rg_gql_text(child, "Name")));
        }
        if (!walk_value(w, rg_get_text(child, "Value"), &below)) {
            return false;
        }
    }
    return true;
}

static bool walk_value(struct rg_gql_walk *w, struct rg_val value,
                       const struct rg_gql_place_of_value *at)
{
    enum rg_gql_value kind = rg_gql_value_kind(value);
    if (!rg_spend(w->gql->vm, 1)) {
        return false;
    }
    if (kind == RG_GQL_V_VARIABLE && w->operation.tag != RG_UNDEF) {
        rg_add(w->gql->heap, w->used_variables, rg_get_text(value, "Raw"));
    }
    if ((kind == RG_GQL_V_LIST || kind == RG_GQL_V_OBJECT) && !walk_children(w, value, at)) {
        return false;
    }
    return rg_gql_rules_value(w, value, at);
}

static bool walk_arguments(struct rg_gql_walk *w, struct rg_val node, struct rg_val def)
{
    for (size_t i = 0; i < rg_gql_n(node, "Arguments"); i++) {
        struct rg_val arg = rg_gql_at(node, "Arguments", i);
        struct rg_gql_place_of_value at =
            place_of(w, rg_gql_named(def, "Arguments", rg_gql_text(arg, "Name")));
        if (!walk_value(w, rg_get_text(arg, "Value"), &at)) {
            return false;
        }
    }
    return true;
}

static bool walk_directives(struct rg_gql_walk *w, struct rg_val node, const char *location)
{
    struct rg_val list = rg_get_text(node, "Directives");
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        struct rg_val dir = list.arr->items[i];
        if (!walk_arguments(w, dir, rg_get(w->schema->directives, rg_get_text(dir, "Name"))) ||
            !rg_gql_rules_directive(w, dir, location)) {
            return false;
        }
    }
    return rg_gql_rules_directives(w, list);
}

/* ---- selections ---- */
struct seen {
    struct rg_val fragments; /* names whose body was walked on this way */
    unsigned depth;
};

static bool walk_selections(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                            struct seen *seen);

static bool walk_field(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                       struct seen *seen)
{
    struct rg_val def = rg_gql_field_def(w, parent, node);
    return walk_arguments(w, node, def) && walk_directives(w, node, "FIELD") &&
           walk_selections(w, node, rg_gql_type_def(w, def), seen) &&
           rg_gql_rules_field(w, node, parent, def);
}

static bool walk_inline(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                        struct seen *seen)
{
    bool has_type = rg_gql_text(node, "TypeCondition").len > 0;
    struct rg_val below = has_type ? type_named(w, rg_get_text(node, "TypeCondition")) : parent;
    return walk_directives(w, node, "INLINE_FRAGMENT") && walk_selections(w, node, below, seen) &&
           rg_gql_rules_inline(w, node, parent);
}

static bool walk_spread(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                        struct seen *seen)
{
    struct rg_val fragment = rg_gql_fragment(w, node), name = rg_get_text(node, "Name");
    if (!walk_directives(w, node, "FRAGMENT_SPREAD")) {
        return false;
    }
    if (fragment.tag != RG_UNDEF && !rg_has(seen->fragments, name)) {
        rg_add(w->gql->heap, seen->fragments, name);
        if (!walk_directives(w, fragment, "FRAGMENT_DEFINITION") ||
            !walk_selections(w, fragment, type_named(w, rg_get_text(fragment, "TypeCondition")),
                             seen)) {
            return false;
        }
    }
    return rg_gql_rules_spread(w, node, parent, fragment);
}

static bool walk_selections(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                            struct seen *seen)
{
    if (++seen->depth > MLN_REGO_CALLS_MAX) {
        return rg_gql_fail(w->gql, node, "fragments in fragments nested deeper than %u",
                           (unsigned)MLN_REGO_CALLS_MAX);
    }
    for (size_t i = 0; i < rg_gql_n(node, "SelectionSet"); i++) {
        struct rg_val child = rg_gql_at(node, "SelectionSet", i);
        enum rg_gql_selection kind = rg_gql_selection_of(child);
        bool ok = rg_spend(w->gql->vm, 1) &&
                  (kind == RG_GQL_S_FIELD    ? walk_field(w, child, parent, seen)
                   : kind == RG_GQL_S_INLINE ? walk_inline(w, child, parent, seen)
                                             : walk_spread(w, child, parent, seen));
        if (!ok) {
            return false;
        }
    }
    seen->depth--;
    return true;
}

/* ---- operations and fragments ---- */
static bool walk_variables(struct rg_gql_walk *w, struct rg_val node)
{
    size_t n = rg_gql_n(node, "VariableDefinitions");
    for (size_t i = 0; i < n; i++) {
        struct rg_val v = rg_gql_at(node, "VariableDefinitions", i);
        if (rg_gql_type_def(w, v).tag == RG_UNDEF) {
            struct mln_bytes name = rg_bytes(rg_gql_type_key(rg_get_text(v, "Type")));
            return rg_gql_fail(w->gql, v, "Unknown type \"%.*s\".", MLN_FMT(name));
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct rg_val v = rg_gql_at(node, "VariableDefinitions", i),
                      value = rg_get_text(v, "DefaultValue");
        struct rg_gql_place_of_value at = {.type = rg_get_text(v, "Type"),
                                           .def = rg_gql_type_def(w, v)};
        if ((value.tag == RG_OBJECT && !walk_value(w, value, &at)) ||
            !walk_directives(w, v, "VARIABLE_DEFINITION")) {
            return false;
        }
    }
    return true;
}

static bool walk_operation(struct rg_gql_walk *w, struct rg_val node)
{
    static const char *const locations[] = {"QUERY", "MUTATION", "SUBSCRIPTION"};
    struct mln_bytes type = rg_gql_text(node, "Operation");
    size_t root = mln_bytes_is(type, "mutation") ? 1 : mln_bytes_is(type, "subscription") ? 2 : 0;
    struct seen seen = {.fragments = rg_set(w->gql->heap, 0)};
    w->operation = node;
    w->used_variables = rg_set(w->gql->heap, 0);
    bool ok = walk_variables(w, node) && walk_directives(w, node, locations[root]) &&
              walk_selections(w, node, w->schema->roots[root], &seen) &&
              rg_gql_rules_operation(w, node, w->schema->roots[root]);
    w->operation = RG_NONE;
    return ok;
}

static bool walk_fragment(struct rg_gql_walk *w, struct rg_val node)
{
    struct seen seen = {.fragments = rg_set(w->gql->heap, 0)};
    struct rg_val def = type_named(w, rg_get_text(node, "TypeCondition"));
    return walk_directives(w, node, "FRAGMENT_DEFINITION") &&
           walk_selections(w, node, def, &seen) && rg_gql_rules_fragment(w, node);
}

bool rg_gql_check(struct rg_gql *gql, const struct rg_gql_schema *schema, struct rg_val query)
{
    struct rg_heap *heap = gql->heap;
    struct rg_gql_walk w = {.gql = gql,
                            .schema = schema,
                            .doc = query,
                            .used_variables = rg_set(heap, 0),
                            .used_fragments = rg_set(heap, 0),
                            .operations_seen = rg_set(heap, 0),
                            .fragments_seen = rg_set(heap, 0),
                            .cycles_seen = rg_set(heap, 0),
                            .pairs = rg_set(heap, 0)};
    for (size_t i = 0; i < rg_gql_n(query, "Operations"); i++) {
        if (!walk_operation(&w, rg_gql_at(query, "Operations", i))) {
            return false;
        }
    }
    for (size_t i = 0; i < rg_gql_n(query, "Fragments"); i++) {
        if (!walk_fragment(&w, rg_gql_at(query, "Fragments", i))) {
            return false;
        }
    }
    return !rg_heap_is_over(heap);
}
