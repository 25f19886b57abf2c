/* SPDX-License-Identifier: Apache-2.0 */
/* Reading GraphQL schemas: the type system of section 3, as text. */
#include "rego/graphql_priv.h"

struct description {
    struct rg_val text; /* "" when none */
    struct rg_val comment;
};

static struct description description(struct rg_gql_parser *p)
{
    struct description d = {.text = rg_text(p->gql->heap, "")};
    struct rg_gql_token t = rg_gql_peek(p);
    if (t.kind == RG_GQL_STRING || t.kind == RG_GQL_BLOCK) {
        d.comment = rg_gql_comment(p);
        d.text = rg_string(p->gql->heap, t.value);
        (void)rg_gql_take(p);
    }
    return d;
}

/* The node of something that may have a description before it. */
static struct rg_val described(struct rg_gql_parser *p, const struct description *d,
                               struct rg_val after)
{
    struct rg_val node = rg_gql_node(p);
    rg_put_text(p->gql->heap, node, "Description", d->text);
    if (d->text.str->len > 0) {
        rg_gql_put(p, node, "BeforeDescriptionComment", d->comment);
    }
    rg_gql_put(p, node, "AfterDescriptionComment", after);
    return node;
}

static void directives(struct rg_gql_parser *p, struct rg_val node)
{
    rg_gql_put(p, node, "Directives", rg_gql_directives(p, true));
}

/* ": type = default @directives" */
static void typed(struct rg_gql_parser *p, struct rg_val node, bool may_default)
{
    (void)rg_gql_expect(p, RG_GQL_COLON);
    rg_gql_put(p, node, "Type", rg_gql_type(p));
    if (may_default && rg_gql_skip(p, RG_GQL_EQUALS)) {
        rg_gql_put(p, node, "DefaultValue", rg_gql_literal(p, true));
    }
    directives(p, node);
}

static struct rg_val named(struct rg_gql_parser *p)
{
    struct description d = description(p);
    struct rg_val node = described(p, &d, rg_gql_comment(p));
    rg_gql_put(p, node, "Name", rg_gql_name(p));
    return node;
}

static struct rg_val input_value(struct rg_gql_parser *p)
{
    struct rg_val node = named(p);
    typed(p, node, true);
    return node;
}

static struct rg_val field(struct rg_gql_parser *p)
{
    struct rg_val node = named(p);
    rg_gql_put(p, node, "Arguments", rg_gql_some(p, RG_GQL_PAREN_L, input_value, NULL));
    typed(p, node, false);
    return node;
}

static struct rg_val enum_value(struct rg_gql_parser *p)
{
    struct rg_val node = named(p);
    directives(p, node);
    return node;
}

/* Names between marks, with one before the first if the writer likes. */
static struct rg_val names(struct rg_gql_parser *p, enum rg_gql_kind between)
{
    struct rg_val list = rg_array(p->gql->heap, 0);
    (void)rg_gql_skip(p, between);
    do {
        rg_push(p->gql->heap, list, rg_gql_name(p));
    } while (rg_gql_skip(p, between) && rg_gql_ok(p));
    return list;
}

static void interfaces(struct rg_gql_parser *p, struct rg_val node)
{
    if (rg_gql_peeks_word(p, "implements")) {
        (void)rg_gql_take(p);
        rg_gql_put(p, node, "Interfaces", names(p, RG_GQL_AMP));
    }
}

static void body(struct rg_gql_parser *p, struct rg_val node, const char *key, rg_gql_item_fn item)
{
    struct rg_val comment = RG_NONE;
    rg_gql_put(p, node, key, rg_gql_some(p, RG_GQL_BRACE_L, item, &comment));
    rg_gql_put(p, node, "EndOfDefinitionComment", comment);
}

static const struct kind {
    const char *word, *name;
    const char *list; /* what its body is called, NULL: none */
    rg_gql_item_fn item;
    bool may_implement, may_implement_more; /* in a definition, in an extension */
} kinds[] = {
    {"scalar", "SCALAR", NULL, NULL, false, false},
    {"type", "OBJECT", "Fields", field, true, true},
    {"interface", "INTERFACE", "Fields", field, true, false},
    {"union", "UNION", NULL, NULL, false, false},
    {"enum", "ENUM", "EnumValues", enum_value, false, false},
    {"input", "INPUT_OBJECT", "Fields", input_value, false, false},
};

static const struct kind *kind_of(struct mln_bytes word)
{
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        if (mln_bytes_is(word, kinds[i].word)) {
            return &kinds[i];
        }
    }
    return NULL;
}

static struct rg_val definition(struct rg_gql_parser *p, const struct kind *kind,
                                const struct description *d, struct rg_val after, bool is_more)
{
    struct rg_heap *heap = p->gql->heap;
    (void)rg_gql_take(p);
    struct rg_val node = described(p, d, after);
    rg_put_text(heap, node, "Kind", rg_text(heap, kind->name));
    rg_put_text(heap, node, "BuiltIn", rg_bool(false));
    rg_gql_put(p, node, "Name", rg_gql_name(p));
    if (is_more ? kind->may_implement_more : kind->may_implement) {
        interfaces(p, node);
    }
    directives(p, node);
    if (kind->list != NULL) {
        body(p, node, kind->list, kind->item);
    } else if (kind->word[0] == 'u' && rg_gql_skip(p, RG_GQL_EQUALS)) {
        rg_gql_put(p, node, "Types", names(p, RG_GQL_PIPE));
    }
    if (is_more && rg_gql_n(node, "Directives") + rg_gql_n(node, "Interfaces") +
                           rg_gql_n(node, "Fields") + rg_gql_n(node, "Types") +
                           rg_gql_n(node, "EnumValues") ==
                       0) {
        rg_gql_unexpected(p, rg_gql_peek(p));
    }
    return node;
}

static struct rg_val root(struct rg_gql_parser *p)
{
    struct rg_val node = rg_gql_node(p), comment = rg_gql_comment(p);
    rg_gql_put(p, node, "Operation", rg_gql_operation_type(p));
    (void)rg_gql_expect(p, RG_GQL_COLON);
    rg_gql_put(p, node, "Type", rg_gql_name(p));
    rg_gql_put(p, node, "Comment", comment);
    return node;
}

static struct rg_val schema(struct rg_gql_parser *p, const struct description *d,
                            struct rg_val after, bool is_more)
{
    (void)rg_gql_take(p);
    struct rg_val node = described(p, d, after);
    directives(p, node);
    body(p, node, "OperationTypes", root);
    if (is_more && rg_gql_n(node, "Directives") + rg_gql_n(node, "OperationTypes") == 0) {
        rg_gql_unexpected(p, rg_gql_peek(p));
    }
    return node;
}

static struct rg_val location(struct rg_gql_parser *p)
{
    static const char *const known[] = {"QUERY",
                                        "MUTATION",
                                        "SUBSCRIPTION",
                                        "FIELD",
                                        "FRAGMENT_DEFINITION",
                                        "FRAGMENT_SPREAD",
                                        "INLINE_FRAGMENT",
                                        "VARIABLE_DEFINITION",
                                        "SCHEMA",
                                        "SCALAR",
                                        "OBJECT",
                                        "FIELD_DEFINITION",
                                        "ARGUMENT_DEFINITION",
                                        "INTERFACE",
                                        "UNION",
                                        "ENUM",
                                        "ENUM_VALUE",
                                        "INPUT_OBJECT",
                                        "INPUT_FIELD_DEFINITION"};
    struct rg_gql_token t = rg_gql_peek(p);
    struct rg_val name = rg_gql_name(p);
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is(rg_bytes(name), known[i])) {
            return name;
        }
    }
    rg_gql_unexpected(p, t);
    return name;
}

static struct rg_val directive(struct rg_gql_parser *p, const struct description *d)
{
    struct rg_heap *heap = p->gql->heap;
    struct rg_val after = rg_gql_comment(p), locations = rg_array(heap, 1);
    (void)rg_gql_take(p);
    (void)rg_gql_expect(p, RG_GQL_AT);
    struct rg_val node = described(p, d, after);
    rg_gql_put(p, node, "Name", rg_gql_name(p));
    rg_gql_put(p, node, "Arguments", rg_gql_some(p, RG_GQL_PAREN_L, input_value, NULL));
    bool is_repeatable = rg_gql_peeks(p, RG_GQL_NAME) && rg_gql_peeks_word(p, "repeatable");
    if (is_repeatable) {
        (void)rg_gql_take(p);
    }
    rg_put_text(heap, node, "IsRepeatable", rg_bool(is_repeatable));
    rg_gql_expect_word(p, "on");
    (void)rg_gql_skip(p, RG_GQL_PIPE);
    do {
        rg_push(heap, locations, location(p));
    } while (rg_gql_skip(p, RG_GQL_PIPE) && rg_gql_ok(p));
    rg_gql_put(p, node, "Locations", locations);
    return node;
}

struct lists {
    struct rg_val schema, schema_more, directives, definitions, more;
};

static void extension(struct rg_gql_parser *p, const struct lists *to, const struct description *d)
{
    struct rg_heap *heap = p->gql->heap;
    const struct description none = {.text = rg_text(heap, "")};
    if (d->text.str->len > 0) {
        rg_gql_unexpected(p, p->prev);
    }
    struct rg_val after = rg_gql_comment(p);
    (void)rg_gql_take(p);
    struct mln_bytes word = rg_gql_peek(p).value;
    const struct kind *kind = kind_of(word);
    if (mln_bytes_is(word, "schema")) {
        rg_push(heap, to->schema_more, schema(p, &none, after, true));
    } else if (kind != NULL) {
        rg_push(heap, to->more, definition(p, kind, &none, after, true));
    } else {
        rg_gql_unexpected(p, rg_gql_peek(p));
    }
}

static void entry(struct rg_gql_parser *p, const struct lists *to)
{
    struct rg_heap *heap = p->gql->heap;
    struct description d = description(p);
    struct rg_gql_token t = rg_gql_peek(p);
    const struct kind *kind = kind_of(t.value);
    if (t.kind != RG_GQL_NAME) {
        rg_gql_unexpected(p, t);
    } else if (kind != NULL) {
        rg_push(heap, to->definitions, definition(p, kind, &d, rg_gql_comment(p), false));
    } else if (mln_bytes_is(t.value, "schema")) {
        rg_push(heap, to->schema, schema(p, &d, rg_gql_comment(p), false));
    } else if (mln_bytes_is(t.value, "directive")) {
        rg_push(heap, to->directives, directive(p, &d));
    } else if (mln_bytes_is(t.value, "extend")) {
        extension(p, to, &d);
    } else {
        rg_gql_unexpected(p, t);
    }
}

struct rg_val rg_gql_parse_schema(struct rg_gql *gql, struct mln_bytes text, bool is_builtin)
{
    struct rg_heap *heap = gql->heap;
    struct rg_gql_parser p = {.gql = gql, .lex = {.heap = heap, .text = text, .line = 1}};
    struct lists to = {.schema = rg_array(heap, 0),
                       .schema_more = rg_array(heap, 0),
                       .directives = rg_array(heap, 0),
                       .definitions = rg_array(heap, 4),
                       .more = rg_array(heap, 0)};
    struct rg_val doc = rg_object(heap, 4);
    while (rg_gql_ok(&p) && !rg_gql_peeks(&p, RG_GQL_EOF)) {
        entry(&p, &to);
    }
    for (uint32_t i = 0; is_builtin && i < to.definitions.arr->len; i++) {
        rg_put_text(heap, to.definitions.arr->items[i], "BuiltIn", rg_bool(true));
    }
    rg_gql_put(&p, doc, "Schema", to.schema);
    rg_gql_put(&p, doc, "SchemaExtension", to.schema_more);
    rg_gql_put(&p, doc, "Directives", to.directives);
    rg_gql_put(&p, doc, "Definitions", to.definitions);
    rg_gql_put(&p, doc, "Extensions", to.more);
    rg_gql_put(&p, doc, "Comment", rg_gql_comment(&p));
    return rg_gql_ok(&p) ? doc : RG_NONE;
}
