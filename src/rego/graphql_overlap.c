/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Section 5.3.2: fields with one name in the answer must be mergeable. Each pair of fields is compared once for each of
 * the two ways (their objects can be the same, or cannot), so that the time is bounded by the square of the fields.
 */
#include "rego/graphql_walk_priv.h"

#define NAME(node) MLN_FMT(rg_gql_text((node), "Name"))

struct field {
    struct rg_val node, parent, def;
    struct rg_val key; /* its name in the answer */
};

struct fields {
    struct field *list;
    size_t n, cap;
    struct rg_val spreads; /* of names, each once */
};

struct compare {
    struct rg_gql_walk *w;
    const char *why; /* the first conflict, in words */
    struct rg_val at;
    unsigned depth; /* fields in fields */
    unsigned chain; /* fragments behind one another */
    bool is_over;   /* too deep, or the budget is used up: nothing more is compared */
};

static void add_field(struct rg_gql_walk *w, struct fields *f, struct rg_val node,
                      struct rg_val parent)
{
    struct rg_val alias = rg_get_text(node, "Alias");
    if (f->n == f->cap) {
        size_t cap = f->cap < 8 ? 8 : f->cap * 2;
        struct field *list = rg_try(w->gql->heap, cap * sizeof(*list));
        if (list == NULL) {
            return;
        }
        mln_copy(list, f->list, f->n * sizeof(*list));
        f->list = list;
        f->cap = cap;
    }
    f->list[f->n++] = (struct field){.node = node,
                                     .parent = parent,
                                     .def = rg_gql_field_def(w, parent, node),
                                     .key = alias.str->len > 0 ? alias : rg_get_text(node, "Name")};
}

static void collect(struct rg_gql_walk *w, struct fields *f, struct rg_val node,
                    struct rg_val parent)
{
    for (size_t i = 0; i < rg_gql_n(node, "SelectionSet"); i++) {
        struct rg_val child = rg_gql_at(node, "SelectionSet", i);
        enum rg_gql_selection kind = rg_gql_selection_of(child);
        if (!rg_spend(w->gql->vm, 1)) {
            return;
        }
        if (kind == RG_GQL_S_FIELD) {
            add_field(w, f, child, parent);
        } else if (kind == RG_GQL_S_SPREAD) {
            rg_add(w->gql->heap, f->spreads, rg_get_text(child, "Name"));
        } else {
            struct rg_val type = rg_get_text(child, "TypeCondition");
            bool has_type = type.tag == RG_STR && type.str->len > 0;
            collect(w, f, child, has_type ? rg_get(w->schema->types, type) : parent);
        }
    }
}

static struct fields fields_of(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent)
{
    struct fields f = {.spreads = rg_set(w->gql->heap, 0)};
    collect(w, &f, node, parent);
    return f;
}

static struct rg_val fragment_type(const struct rg_gql_walk *w, struct rg_val fragment)
{
    struct rg_val type = rg_get_text(fragment, "TypeCondition");
    return type.tag == RG_STR ? rg_get(w->schema->types, type) : RG_NONE;
}

static bool same_value(struct rg_val a, struct rg_val b, unsigned depth)
{
    enum rg_gql_value kind = rg_gql_value_kind(a);
    size_t n = rg_gql_n(a, "Children");
    if (kind != rg_gql_value_kind(b) ||
        !mln_bytes_eq(rg_gql_text(a, "Raw"), rg_gql_text(b, "Raw")) ||
        n != rg_gql_n(b, "Children") || depth > MLN_REGO_NESTING_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct rg_val x = rg_gql_at(a, "Children", i);
        struct rg_val y = kind == RG_GQL_V_OBJECT
                              ? rg_gql_named(b, "Children", rg_gql_text(x, "Name"))
                              : rg_gql_at(b, "Children", i);
        if (y.tag == RG_UNDEF ||
            !same_value(rg_get_text(x, "Value"), rg_get_text(y, "Value"), depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool same_arguments(struct rg_val a, struct rg_val b)
{
    size_t n = rg_gql_n(a, "Arguments");
    for (size_t i = 0; i < n; i++) {
        struct rg_val x = rg_gql_at(a, "Arguments", i),
                      y = rg_gql_named(b, "Arguments", rg_gql_text(x, "Name"));
        if (y.tag == RG_UNDEF || !same_value(rg_get_text(x, "Value"), rg_get_text(y, "Value"), 0)) {
            return false;
        }
    }
    return n == rg_gql_n(b, "Arguments");
}

static bool types_conflict(const struct rg_gql_walk *w, struct rg_val a, struct rg_val b)
{
    for (;;) {
        struct rg_val x = rg_get_text(a, "Elem"), y = rg_get_text(b, "Elem");
        if (x.tag != y.tag) {
            return true;
        }
        if (x.tag != RG_OBJECT) {
            break;
        }
        a = x;
        b = y;
    }
    struct rg_val x = rg_get(w->schema->types, rg_gql_type_key(a)),
                  y = rg_get(w->schema->types, rg_gql_type_key(b));
    bool leafs = (rg_gql_def_is(x, "SCALAR") || rg_gql_def_is(x, "ENUM")) &&
                 (rg_gql_def_is(y, "SCALAR") || rg_gql_def_is(y, "ENUM"));
    return rg_gql_flag(a, "NonNull") != rg_gql_flag(b, "NonNull") ||
           (leafs && !mln_bytes_eq(rg_gql_text(x, "Name"), rg_gql_text(y, "Name")));
}

/* All functions below: true when something conflicts, which is then in c->why. */
static bool between(struct compare *c, const struct fields *a, const struct fields *b,
                    bool is_apart);
static bool with_fragment(struct compare *c, const struct fields *a, struct rg_val name,
                          struct rg_val done, bool is_apart);

static bool conflict(struct compare *c, const struct field *b, const char *why)
{
    c->why = why;
    c->at = b->node;
    return true;
}

/* Was this pair compared before? It is from now on. */
static bool was_compared(struct compare *c, const void *a, const void *b, bool is_apart)
{
    struct rg_heap *heap = c->w->gql->heap;
    struct rg_val key = rg_array(heap, 3);
    rg_push(heap, key, rg_int((int64_t)(intptr_t)(a < b ? a : b)));
    rg_push(heap, key, rg_int((int64_t)(intptr_t)(a < b ? b : a)));
    rg_push(heap, key, rg_bool(is_apart));
    if (rg_has(c->w->pairs, key)) {
        return true;
    }
    rg_add(heap, c->w->pairs, key);
    return false;
}

/* Looking up a fragment reads the list of them. False: stop, c says why. */
static bool enter_fragment(struct compare *c, struct rg_val at)
{
    uint64_t steps = 1 + rg_gql_n(c->w->doc, "Fragments") / 8;
    if (!c->is_over && rg_spend(c->w->gql->vm, steps) && c->chain < MLN_REGO_CALLS_MAX) {
        c->chain++;
        return true;
    }
    c->is_over = true;
    c->why = "they are nested too deep to be compared";
    c->at = at;
    return false;
}

static bool pair_of_fragments(struct compare *c, struct rg_val a, struct rg_val b, bool is_apart);

static bool between_fragments(struct compare *c, struct rg_val a, struct rg_val b, bool is_apart)
{
    if (!enter_fragment(c, c->at)) {
        return true;
    }
    bool found = pair_of_fragments(c, a, b, is_apart);
    c->chain--;
    return found;
}

static bool pair_of_fragments(struct compare *c, struct rg_val a, struct rg_val b, bool is_apart)
{
    struct rg_gql_walk *w = c->w;
    struct rg_val x = rg_gql_named(w->doc, "Fragments", rg_bytes(a));
    struct rg_val y = rg_gql_named(w->doc, "Fragments", rg_bytes(b));
    if (rg_eq(a, b) || x.tag != RG_OBJECT || y.tag != RG_OBJECT ||
        was_compared(c, x.map, y.map, is_apart)) {
        return false;
    }
    struct fields f = fields_of(w, x, fragment_type(w, x)),
                  g = fields_of(w, y, fragment_type(w, y));
    bool found = between(c, &f, &g, is_apart);
    for (size_t i = 0; !found && i < rg_len(g.spreads); i++) {
        found = between_fragments(c, a, rg_key_at(g.spreads, i), is_apart);
    }
    for (size_t i = 0; !found && i < rg_len(f.spreads); i++) {
        found = between_fragments(c, rg_key_at(f.spreads, i), b, is_apart);
    }
    return found;
}

static bool subfields(struct compare *c, const struct field *a, const struct field *b,
                      bool is_apart)
{
    struct rg_gql_walk *w = c->w;
    struct rg_heap *heap = w->gql->heap;
    struct fields f = fields_of(w, a->node, rg_gql_type_def(w, a->def));
    struct fields g = fields_of(w, b->node, rg_gql_type_def(w, b->def));
    bool found = between(c, &f, &g, is_apart);
    for (size_t i = 0; !found && i < rg_len(g.spreads); i++) {
        found = with_fragment(c, &f, rg_key_at(g.spreads, i), rg_set(heap, 0), is_apart);
    }
    for (size_t i = 0; !found && i < rg_len(f.spreads); i++) {
        found = with_fragment(c, &g, rg_key_at(f.spreads, i), rg_set(heap, 0), is_apart);
    }
    for (size_t i = 0; !found && i < rg_len(f.spreads); i++) {
        for (size_t k = 0; !found && k < rg_len(g.spreads); k++) {
            found =
                between_fragments(c, rg_key_at(f.spreads, i), rg_key_at(g.spreads, k), is_apart);
        }
    }
    return found;
}

static bool differ(struct compare *c, const struct field *a, const struct field *b, bool is_apart)
{
    struct rg_heap *heap = c->w->gql->heap;
    struct rg_val type = rg_get_text(a->def, "Type"), other = rg_get_text(b->def, "Type");
    if (!is_apart && !mln_bytes_eq(rg_gql_text(a->node, "Name"), rg_gql_text(b->node, "Name"))) {
        return conflict(c, b,
                        rg_text_format(heap, "\"%.*s\" and \"%.*s\" are different fields",
                                       NAME(a->node), NAME(b->node)));
    }
    if (!is_apart && !same_arguments(a->node, b->node)) {
        return conflict(c, b, "they have differing arguments");
    }
    if (a->def.tag != RG_UNDEF && b->def.tag != RG_UNDEF && types_conflict(c->w, type, other)) {
        return conflict(c, b,
                        rg_text_format(heap, "they return conflicting types \"%s\" and \"%s\"",
                                       rg_gql_type_text(heap, type),
                                       rg_gql_type_text(heap, other)));
    }
    if (!subfields(c, a, b, is_apart)) {
        return false;
    }
    if (!c->is_over) {
        c->at = b->node;
    }
    return true;
}

static bool compare(struct compare *c, const struct field *a, const struct field *b, bool is_apart)
{
    if (a->parent.tag == RG_UNDEF || b->parent.tag == RG_UNDEF || a->node.map == b->node.map) {
        return false;
    }
    is_apart =
        is_apart ||
        (a->parent.map != b->parent.map && a->def.tag != RG_UNDEF && b->def.tag != RG_UNDEF &&
         !mln_bytes_eq(rg_gql_text(a->parent, "Name"), rg_gql_text(b->parent, "Name")) &&
         rg_gql_def_is(a->parent, "OBJECT") && rg_gql_def_is(b->parent, "OBJECT"));
    if (was_compared(c, a->node.map, b->node.map, is_apart)) {
        return false;
    }
    if (++c->depth > MLN_REGO_NESTING_MAX || !rg_spend(c->w->gql->vm, 4)) {
        c->is_over = true;
        return conflict(c, b, "they are nested too deep to be compared");
    }
    bool found = differ(c, a, b, is_apart);
    c->depth--;
    if (found && c->at.map == b->node.map && c->depth > 0) {
        c->why = rg_text_format(c->w->gql->heap, "subfields \"%.*s\" conflict because %s",
                                MLN_FMT(rg_bytes(a->key)), c->why);
    }
    return found;
}

static bool between(struct compare *c, const struct fields *a, const struct fields *b,
                    bool is_apart)
{
    for (size_t i = 0; i < a->n; i++) {
        for (size_t k = 0; k < b->n; k++) {
            if (rg_eq(a->list[i].key, b->list[k].key) &&
                compare(c, &a->list[i], &b->list[k], is_apart)) {
                return true;
            }
        }
        if (!rg_spend(c->w->gql->vm, 1 + b->n / 8)) {
            c->is_over = true;
            return conflict(c, &a->list[i], "they are too many to be compared");
        }
    }
    return false;
}

static bool fields_of_fragment(struct compare *c, const struct fields *a, struct rg_val name,
                               struct rg_val done, bool is_apart)
{
    struct rg_gql_walk *w = c->w;
    struct rg_val fragment = rg_gql_named(w->doc, "Fragments", rg_bytes(name));
    if (fragment.tag != RG_OBJECT) {
        return false;
    }
    rg_add(w->gql->heap, done, name);
    struct fields b = fields_of(w, fragment, fragment_type(w, fragment));
    bool found = between(c, a, &b, is_apart);
    for (size_t i = 0; !found && i < rg_len(b.spreads); i++) {
        found = with_fragment(c, a, rg_key_at(b.spreads, i), done, is_apart);
    }
    return found;
}

static bool with_fragment(struct compare *c, const struct fields *a, struct rg_val name,
                          struct rg_val done, bool is_apart)
{
    if (rg_has(done, name)) {
        return false;
    }
    if (!enter_fragment(c, c->at)) {
        return true;
    }
    bool found = fields_of_fragment(c, a, name, done, is_apart);
    c->chain--;
    return found;
}

static bool within(struct compare *c, const struct fields *f)
{
    for (size_t i = 0; i < f->n; i++) {
        for (size_t k = i + 1; k < f->n; k++) {
            if (rg_eq(f->list[i].key, f->list[k].key) &&
                compare(c, &f->list[i], &f->list[k], false)) {
                return true;
            }
        }
        if (!rg_spend(c->w->gql->vm, 1 + f->n / 8)) {
            c->is_over = true;
            return conflict(c, &f->list[i], "they are too many to be compared");
        }
    }
    struct rg_val done = rg_set(c->w->gql->heap, 0);
    for (size_t i = 0; i < rg_len(f->spreads); i++) {
        if (with_fragment(c, f, rg_key_at(f->spreads, i), done, false)) {
            return true;
        }
        for (size_t k = i + 1; k < rg_len(f->spreads); k++) {
            if (between_fragments(c, rg_key_at(f->spreads, i), rg_key_at(f->spreads, k), false)) {
                return true;
            }
        }
    }
    return false;
}

bool rg_gql_rules_overlap(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent)
{
    struct compare c = {.w = w, .at = node};
    struct fields f = fields_of(w, node, parent);
    if (!within(&c, &f)) {
        return true;
    }
    return rg_gql_fail(w->gql, c.at,
                       "Fields \"%.*s\" conflict because %s. Use different aliases on the fields "
                       "to fetch both if this "
                       "was intentional.",
                       MLN_FMT(rg_gql_text(c.at, "Alias")), c.why);
}
