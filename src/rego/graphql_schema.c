/* SPDX-License-Identifier: Apache-2.0 */
/* A whole GraphQL schema: what it defines, its extensions merged into what they extend, its roots. */
#include "rego/graphql_schema_priv.h"

/* What each schema has without saying it: sections 3.5, 3.13 and 4.2. */
static const char builtin_text[] =
    "scalar Int scalar Float scalar String scalar Boolean scalar ID\n"
    "directive @defer(if: Boolean = true, label: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT\n"
    "directive @include(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT\n"
    "directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT\n"
    "directive @deprecated(reason: String = \"No longer supported\")\n"
    "  on FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE\n"
    "directive @specifiedBy(url: String!) on SCALAR\n"
    "directive @oneOf on INPUT_OBJECT\n"
    "type __Schema { description: String types: [__Type!]! queryType: __Type! mutationType: "
    "__Type\n"
    "  subscriptionType: __Type directives: [__Directive!]! }\n"
    "type __Type { kind: __TypeKind! name: String description: String specifiedByURL: String\n"
    "  fields(includeDeprecated: Boolean = false): [__Field!] interfaces: [__Type!]\n"
    "  possibleTypes: [__Type!] enumValues(includeDeprecated: Boolean = false): [__EnumValue!]\n"
    "  inputFields(includeDeprecated: Boolean = false): [__InputValue!] ofType: __Type isOneOf: "
    "Boolean }\n"
    "enum __TypeKind { SCALAR OBJECT INTERFACE UNION ENUM INPUT_OBJECT LIST NON_NULL }\n"
    "type __Field { name: String! description: String\n"
    "  args(includeDeprecated: Boolean = false): [__InputValue!]! type: __Type!\n"
    "  isDeprecated: Boolean! deprecationReason: String }\n"
    "type __InputValue { name: String! description: String type: __Type! defaultValue: String\n"
    "  isDeprecated: Boolean! deprecationReason: String }\n"
    "type __EnumValue { name: String! description: String isDeprecated: Boolean! "
    "deprecationReason: String }\n"
    "type __Directive { name: String! description: String isRepeatable: Boolean!\n"
    "  locations: [__DirectiveLocation!]! args(includeDeprecated: Boolean = false): "
    "[__InputValue!]! }\n"
    "enum __DirectiveLocation { QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION "
    "FRAGMENT_SPREAD\n"
    "  INLINE_FRAGMENT VARIABLE_DEFINITION SCHEMA SCALAR OBJECT FIELD_DEFINITION "
    "ARGUMENT_DEFINITION\n"
    "  INTERFACE UNION ENUM ENUM_VALUE INPUT_OBJECT INPUT_FIELD_DEFINITION }\n";

/* The fields that the root of queries has besides its own. */
static const char meta_text[] = "type Meta { __schema: __Schema! __type(name: String!): __Type }\n";

#define NAME(node) MLN_FMT(rg_gql_text((node), "Name"))
#define KIND(node) MLN_FMT(rg_gql_text((node), "Kind"))

/* ---- the whole ---- */
static void append(struct rg_heap *heap, struct rg_val to, struct rg_val from, const char *key)
{
    struct rg_val a = rg_get_text(to, key), b = rg_get_text(from, key), out = rg_array(heap, 0);
    if (b.tag != RG_ARRAY || b.arr->len == 0) {
        return;
    }
    for (uint32_t i = 0; a.tag == RG_ARRAY && i < a.arr->len; i++) {
        rg_push(heap, out, a.arr->items[i]);
    }
    for (uint32_t i = 0; i < b.arr->len; i++) {
        rg_push(heap, out, b.arr->items[i]);
    }
    rg_put_text(heap, to, key, out);
}

/* A node of our own, so that what was handed in stays as it is. */
static struct rg_val shallow(struct rg_gql *gql, struct rg_val node)
{
    struct rg_val out = rg_object(gql->heap, node.map->len + 1);
    for (uint32_t i = 0; i < node.map->len; i++) {
        rg_put(gql->heap, out, node.map->keys[i], node.map->vals[i]);
    }
    for (size_t i = 0; i < gql->marks.n; i++) {
        if (gql->marks.list[i].node == node.map) {
            rg_gql_mark(gql, out, gql->marks.list[i].at);
            break;
        }
    }
    return out;
}

static bool collect_definitions(const struct rg_gql_checker *c, struct rg_val doc)
{
    for (size_t i = 0; i < rg_gql_n(doc, "Definitions"); i++) {
        struct rg_val def = rg_gql_at(doc, "Definitions", i), name = rg_get_text(def, "Name");
        if (name.tag != RG_STR || rg_has(c->schema->types, name)) {
            return rg_gql_fail(c->gql, def, "Cannot redeclare type %.*s.", NAME(def));
        }
        rg_put(c->gql->heap, c->schema->types, name, def);
    }
    return true;
}

static bool collect_extensions(const struct rg_gql_checker *c, struct rg_val doc)
{
    static const char *const lists[] = {"Directives", "Interfaces", "Fields", "Types",
                                        "EnumValues"};
    struct rg_heap *heap = c->gql->heap;
    struct rg_val own = rg_set(heap, 0); /* that are copies already */
    for (size_t i = 0; i < rg_gql_n(doc, "Extensions"); i++) {
        struct rg_val more = rg_gql_at(doc, "Extensions", i), name = rg_get_text(more, "Name");
        struct rg_val def = name.tag == RG_STR ? rg_get(c->schema->types, name) : RG_NONE;
        if (name.tag != RG_STR) {
            return rg_gql_fail(c->gql, more, "an extension without a name");
        }
        if (!rg_spend(c->gql->vm, 1 + rg_gql_n(def, "Fields") / 16)) {
            return false;
        }
        if (def.tag == RG_UNDEF) {
            rg_put(heap, c->schema->types, name, shallow(c->gql, more));
            rg_add(heap, own, name);
            continue;
        }
        if (!mln_bytes_eq(rg_gql_text(def, "Kind"), rg_gql_text(more, "Kind"))) {
            return rg_gql_fail(c->gql, more,
                               "Cannot extend type %.*s because the base type is a %.*s, not %.*s.",
                               NAME(more), KIND(def), KIND(more));
        }
        if (!rg_has(own, name)) {
            def = shallow(c->gql, def);
            rg_put(heap, c->schema->types, name, def);
            rg_add(heap, own, name);
        }
        for (size_t k = 0; k < MLN_COUNT(lists); k++) {
            append(heap, def, more, lists[k]);
        }
    }
    return true;
}

static void add_possible(const struct rg_gql_checker *c, struct rg_val name, struct rg_val def)
{
    struct rg_val list = rg_get(c->schema->possible, name);
    if (list.tag != RG_ARRAY) {
        list = rg_array(c->gql->heap, 1);
        rg_put(c->gql->heap, c->schema->possible, name, list);
    }
    rg_push(c->gql->heap, list, def);
}

static void collect_possible(const struct rg_gql_checker *c)
{
    struct rg_val types = c->schema->types;
    for (size_t i = 0; i < rg_len(types); i++) {
        struct rg_val def = rg_val_at(types, i), name = rg_key_at(types, i);
        struct rg_val members = rg_get_text(def, "Types"), faces = rg_get_text(def, "Interfaces");
        for (uint32_t k = 0;
             rg_gql_schema_is(def, "UNION") && members.tag == RG_ARRAY && k < members.arr->len;
             k++) {
            struct rg_val member = rg_get(types, members.arr->items[k]);
            if (member.tag != RG_UNDEF) {
                add_possible(c, name, member);
            }
        }
        for (uint32_t k = 0;
             !rg_gql_schema_is(def, "UNION") && faces.tag == RG_ARRAY && k < faces.arr->len; k++) {
            add_possible(c, faces.arr->items[k], def);
        }
        if (rg_gql_schema_is(def, "OBJECT") || rg_gql_schema_is(def, "INPUT_OBJECT")) {
            add_possible(c, name, def);
        }
    }
}

static bool collect_directives(const struct rg_gql_checker *c, struct rg_val doc)
{
    static const char *const again[] = {"include",     "skip",  "deprecated",
                                        "specifiedBy", "defer", "oneOf"};
    for (size_t i = 0; i < rg_gql_n(doc, "Directives"); i++) {
        struct rg_val def = rg_gql_at(doc, "Directives", i), name = rg_get_text(def, "Name");
        bool may = false;
        for (size_t k = 0; k < MLN_COUNT(again); k++) {
            may = may || mln_bytes_is(rg_gql_text(def, "Name"), again[k]);
        }
        if (name.tag != RG_STR || (!may && rg_has(c->schema->directives, name))) {
            return rg_gql_fail(c->gql, def, "Cannot redeclare directive %.*s.", NAME(def));
        }
        rg_put(c->gql->heap, c->schema->directives, name, def);
    }
    return true;
}

static int root_of(struct mln_bytes operation)
{
    return mln_bytes_is(operation, "query")          ? 0
           : mln_bytes_is(operation, "mutation")     ? 1
           : mln_bytes_is(operation, "subscription") ? 2
                                                     : -1;
}

static bool check_roots(const struct rg_gql_checker *c, struct rg_val doc, const char *key)
{
    for (size_t i = 0; i < rg_gql_n(doc, key); i++) {
        struct rg_val node = rg_gql_at(doc, key, i);
        for (size_t k = 0; k < rg_gql_n(node, "OperationTypes"); k++) {
            struct rg_val entry = rg_gql_at(node, "OperationTypes", k),
                          name = rg_get_text(entry, "Type");
            struct rg_val def = name.tag == RG_STR ? rg_get(c->schema->types, name) : RG_NONE;
            int root = root_of(rg_gql_text(entry, "Operation"));
            if (def.tag == RG_UNDEF) {
                return rg_gql_fail(
                    c->gql, entry, "Schema root %.*s refers to a type %.*s that does not exist.",
                    MLN_FMT(rg_gql_text(entry, "Operation")), MLN_FMT(rg_gql_text(entry, "Type")));
            }
            if (root >= 0) {
                c->schema->roots[root] = def;
            }
        }
        if (!rg_gql_check_directives(c, node, "SCHEMA", RG_NONE, true)) {
            return false;
        }
    }
    return true;
}

static void find_roots(const struct rg_gql_checker *c, struct rg_val doc)
{
    static const char *const names[] = {"Query", "Mutation", "Subscription"};
    struct rg_gql_schema *s = c->schema;
    for (size_t i = 0; rg_gql_n(doc, "Schema") == 0 && i < MLN_COUNT(names); i++) {
        struct rg_val def = rg_get_text(s->types, names[i]);
        s->roots[i] = s->roots[i].tag == RG_UNDEF ? def : s->roots[i];
    }
    if (s->roots[0].tag == RG_OBJECT) {
        struct rg_val name = rg_get_text(s->roots[0], "Name");
        s->roots[0] = shallow(c->gql, s->roots[0]);
        append(c->gql->heap, s->roots[0], c->meta, "Fields");
        rg_put(c->gql->heap, s->types, name, s->roots[0]);
    }
}

static bool add_builtins(struct rg_gql_checker *c)
{
    struct rg_val doc = rg_gql_parse_schema(c->gql, mln_bytes_of(builtin_text), true);
    struct rg_val extra = rg_gql_parse_schema(c->gql, mln_bytes_of(meta_text), true);
    if (doc.tag == RG_UNDEF || extra.tag == RG_UNDEF) {
        return false;
    }
    c->meta = rg_gql_at(extra, "Definitions", 0);
    return collect_definitions(c, doc) && collect_directives(c, doc);
}

bool rg_gql_schema_of(struct rg_gql *gql, struct rg_val doc, struct rg_gql_schema *ret)
{
    struct rg_heap *heap = gql->heap;
    struct rg_gql_checker c = {.gql = gql, .schema = ret};
    *ret = (struct rg_gql_schema){.types = rg_object(heap, 32),
                                  .directives = rg_object(heap, 8),
                                  .possible = rg_object(heap, 32)};
    if (!add_builtins(&c) || !collect_definitions(&c, doc) || !collect_extensions(&c, doc)) {
        return false;
    }
    collect_possible(&c);
    if (!collect_directives(&c, doc)) {
        return false;
    }
    if (rg_gql_n(doc, "Schema") > 1) {
        return rg_gql_fail(
            gql, rg_gql_at(doc, "Schema", 1),
            "Cannot have multiple schema entry points, consider schema extensions instead.");
    }
    if (!check_roots(&c, doc, "Schema") || !check_roots(&c, doc, "SchemaExtension") ||
        !rg_gql_check_types(&c)) {
        return false;
    }
    find_roots(&c, doc);
    return !rg_heap_is_over(heap);
}
