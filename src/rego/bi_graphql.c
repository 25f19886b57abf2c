/* SPDX-License-Identifier: Apache-2.0 */
/* graphql.*: syntax trees and validity of queries and schemas. Schemas that were seen are kept by the evaluation. */
#include "rego/graphql_priv.h"

/* A schema that was read and checked, in a heap of its own. */
struct known {
    struct rg_heap *heap;
    struct rg_gql_schema schema;
    struct rg_val tree;
};

#define SCHEMA_MEMORY_MAX                                                                          \
    ((size_t)64 << 20) /* of one kept schema: what a text of a few MB becomes */

static const char known_kind;

static void drop_known(void *item)
{
    struct known *k = item;
    rg_heap_free(k->heap);
    mln_free(k);
}

static bool is_document(struct rg_val v)
{
    return v.tag == RG_STR || v.tag == RG_OBJECT;
}

/* A query, from text or a tree. False with gql->error. */
static bool read_query(struct rg_gql *gql, struct rg_val v, struct rg_val *ret)
{
    *ret = v.tag == RG_STR ? rg_gql_parse_query(gql, rg_bytes(v)) : v;
    return ret->tag != RG_UNDEF && (v.tag == RG_STR || rg_gql_is_query(gql, v));
}

static bool read_schema(struct rg_gql *gql, struct rg_val v, struct rg_val *ret)
{
    *ret = v.tag == RG_STR ? rg_gql_parse_schema(gql, rg_bytes(v), false) : v;
    return ret->tag != RG_UNDEF && (v.tag == RG_STR || rg_gql_is_schema(gql, v));
}

/* The checked schema of an argument. NULL with gql->error, whose text is in gql->heap. */
static const struct known *schema_of(struct rg_call *call, struct rg_gql *gql, struct rg_val v)
{
    struct known *k = rg_cache_get(call->vm, &known_kind, v);
    if (k != NULL) {
        return k;
    }
    k = mln_alloc(sizeof(*k));
    struct rg_heap *heap = rg_heap_new(SCHEMA_MEMORY_MAX);
    if (k == NULL || heap == NULL) {
        mln_free(k);
        rg_heap_free(heap);
        (void)rg_gql_fail_at(gql, (struct rg_gql_place){0}, "no memory");
        return NULL;
    }
    *k = (struct known){.heap = heap};
    struct rg_gql own = {.heap = heap, .vm = gql->vm};
    struct rg_val doc = v.tag == RG_STR ? v : rg_copy(heap, v);
    bool is_read = read_schema(&own, doc, &k->tree);
    if (!is_read || !rg_gql_schema_of(&own, k->tree, &k->schema) || rg_heap_is_over(heap)) {
        gql->stage = is_read ? RG_GQL_IN_SCHEMA : RG_GQL_IN_TEXT;
        (void)rg_gql_fail_at(gql, own.error.at, "%s",
                             own.error.text != NULL ? own.error.text
                                                    : "the schema is larger than allowed");
        drop_known(k);
        return NULL;
    }
    rg_cache_weigh(call->vm, rg_heap_held(heap));
    rg_cache_put(call->vm, &known_kind, v, k, drop_known);
    return k;
}

static bool refuse(struct rg_call *call, const struct rg_gql *gql)
{
    struct mln_bytes t =
        mln_bytes_of(gql->error.text != NULL ? gql->error.text : "the budget is used up");
    if (gql->stage == RG_GQL_IN_SCHEMA) {
        return gql->error.at.line == 0
                   ? rg_fail(call,
                             "Error in gqlparser SchemaDocument to Schema conversion: input: %.*s",
                             MLN_FMT(t))
                   : rg_fail(call,
                             "Error in gqlparser SchemaDocument to Schema conversion: input:%u:%d: "
                             "%.*s",
                             gql->error.at.line, gql->error.at.col, MLN_FMT(t));
    }
    t.len -= gql->stage == RG_GQL_IN_RULES && mln_bytes_ends(t, MLN_BYTES("."));
    if (gql->error.at.line == 0) {
        return rg_fail(call, "GraphQL parse error: %.*s", MLN_FMT(t));
    }
    return rg_fail(call, "%.*s in GraphQL string at location %u:%d", MLN_FMT(t), gql->error.at.line,
                   gql->error.at.col);
}

static struct rg_gql begin(struct rg_call *call)
{
    return (struct rg_gql){.heap = call->heap, .vm = call->vm};
}

static bool parse_query(struct rg_call *call)
{
    struct mln_bytes text;
    struct rg_gql gql = begin(call);
    if (!rg_arg_string(call, 1, &text)) {
        return false;
    }
    struct rg_val tree = rg_gql_parse_query(&gql, text);
    return tree.tag == RG_UNDEF ? refuse(call, &gql) : rg_return(call, tree);
}

static bool parse_schema(struct rg_call *call)
{
    struct mln_bytes text;
    struct rg_gql gql = begin(call);
    if (!rg_arg_string(call, 1, &text)) {
        return false;
    }
    struct rg_val tree = rg_gql_parse_schema(&gql, text, false);
    return tree.tag == RG_UNDEF ? refuse(call, &gql) : rg_return(call, tree);
}

static bool schema_is_valid(struct rg_call *call)
{
    struct rg_gql gql = begin(call);
    return rg_return(
        call, rg_bool(is_document(call->args[0]) && schema_of(call, &gql, call->args[0]) != NULL));
}

/* Both documents read and checked: true with their trees. */
static bool verify(struct rg_call *call, struct rg_gql *gql, struct rg_val *ret_query,
                   struct rg_val *ret_schema)
{
    if (!read_query(gql, call->args[0], ret_query)) {
        return false;
    }
    const struct known *k = schema_of(call, gql, call->args[1]);
    if (k == NULL) {
        return false;
    }
    gql->stage = RG_GQL_IN_RULES;
    if (!rg_gql_check(gql, &k->schema, *ret_query)) {
        return false;
    }
    *ret_schema = call->args[1].tag == RG_STR ? rg_copy(call->heap, k->tree) : call->args[1];
    return true;
}

static bool is_valid(struct rg_call *call)
{
    struct rg_gql gql = begin(call);
    struct rg_val query;
    const struct known *k = NULL;
    bool ok = is_document(call->args[0]) && is_document(call->args[1]) &&
              read_query(&gql, call->args[0], &query) &&
              (k = schema_of(call, &gql, call->args[1])) != NULL &&
              rg_gql_check(&gql, &k->schema, query);
    return rg_return(call, rg_bool(ok));
}

static bool parse(struct rg_call *call)
{
    struct rg_gql gql = begin(call);
    struct rg_val query, schema, out = rg_array(call->heap, 2);
    for (uint32_t i = 0; i < 2; i++) {
        if (!is_document(call->args[i])) {
            return rg_fail_type(call, i + 1, "one of {object, string}");
        }
    }
    if (!verify(call, &gql, &query, &schema)) {
        return refuse(call, &gql);
    }
    rg_push(call->heap, out, query);
    rg_push(call->heap, out, schema);
    return rg_return(call, out);
}

static bool parse_and_verify(struct rg_call *call)
{
    struct rg_gql gql = begin(call);
    struct rg_val query, schema, out = rg_array(call->heap, 3);
    bool ok = is_document(call->args[0]) && is_document(call->args[1]) &&
              verify(call, &gql, &query, &schema);
    rg_push(call->heap, out, rg_bool(ok));
    rg_push(call->heap, out, ok ? query : rg_object(call->heap, 0));
    rg_push(call->heap, out, ok ? schema : rg_object(call->heap, 0));
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_graphql[] = {{"graphql.parse_query", parse_query},
                                                 {"graphql.parse_schema", parse_schema},
                                                 {"graphql.parse", parse},
                                                 {"graphql.parse_and_verify", parse_and_verify},
                                                 {"graphql.is_valid", is_valid},
                                                 {"graphql.schema_is_valid", schema_is_valid},
                                                 {NULL, NULL}};
