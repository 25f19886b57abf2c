/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types from JSON schemas, as OPA's checker takes them: properties and items say what there is; properties that a schema
 * does not name are not there unless it says additionalProperties. What a type cannot say (pattern, minimum, enum) is left out.
 */
#include "rego/type_priv.h"

#define REFS_MAX 64 /* $refs behind one another: more is a circle */

struct reader {
    struct rg_heap *heap;
    struct rg_val root;
    const char *error;
    unsigned depth;
};

static const struct rg_type *read_schema(struct reader *r, struct rg_val schema);

static const struct rg_type *refuse(struct reader *r, const char *why)
{
    r->error = r->error == NULL ? why : r->error;
    return &rg_type_any;
}

/* "#/$defs/x" and "#". */
static const struct rg_type *read_ref(struct reader *r, struct rg_val ref)
{
    struct rg_val at = r->root;
    struct mln_bytes rest = rg_bytes(ref);
    if (!mln_bytes_starts(rest, MLN_BYTES("#"))) {
        return refuse(r, "a $ref leads out of the schema: only #/.. is followed");
    }
    rest = mln_bytes_from(rest, 1);
    while (rest.len > 0) {
        (void)mln_bytes_cut(rest, '/', &rest);
        struct mln_bytes name = rest;
        name.len = mln_bytes_find(rest, '/');
        rest = mln_bytes_from(rest, name.len);
        at = at.tag == RG_OBJECT ? rg_get(at, rg_string(r->heap, name)) : RG_NONE;
    }
    return at.tag == RG_UNDEF ? refuse(r, "a $ref leads to nothing") : read_schema(r, at);
}

static const struct rg_type *read_object(struct reader *r, struct rg_val schema)
{
    struct rg_val properties = rg_get_text(schema, "properties"), more = rg_get_text(schema, "additionalProperties");
    struct rg_type *t = rg_type_object_new(r->heap);
    for (uint32_t i = 0; properties.tag == RG_OBJECT && i < properties.map->len; i++) {
        rg_type_member(r->heap, t, properties.map->keys[i], read_schema(r, properties.map->vals[i]));
    }
    bool is_open = more.tag == RG_OBJECT || (more.tag == RG_BOOL && more.integer != 0) ||
                   (more.tag == RG_UNDEF && properties.tag != RG_OBJECT);
    if (is_open) {
        t->key = more.tag == RG_OBJECT ? &rg_type_string : &rg_type_any;
        t->rest = more.tag == RG_OBJECT ? read_schema(r, more) : &rg_type_any;
    }
    return rg_type_done(t);
}

static const struct rg_type *read_array(struct reader *r, struct rg_val schema)
{
    struct rg_val items = rg_get_text(schema, "items");
    if (items.tag == RG_OBJECT) {
        return rg_type_array(r->heap, NULL, 0, read_schema(r, items));
    }
    if (items.tag != RG_ARRAY) {
        return rg_type_array(r->heap, NULL, 0, &rg_type_any);
    }
    const struct rg_type **list = rg_new(r->heap, (items.arr->len + 1) * sizeof(*list));
    for (uint32_t i = 0; i < items.arr->len; i++) {
        list[i] = read_schema(r, items.arr->items[i]);
    }
    return rg_type_array(r->heap, list, items.arr->len, NULL);
}

static const struct rg_type *read_named(struct reader *r, struct rg_val schema, struct rg_val type)
{
    static const struct {
        const char *name;
        const struct rg_type *type;
    } plain[] = {{"null", &rg_type_null},       {"boolean", &rg_type_bool},  {"number", &rg_type_number},
                 {"integer", &rg_type_number}, {"string", &rg_type_string}};
    for (size_t i = 0; i < MLN_COUNT(plain); i++) {
        if (mln_bytes_is(rg_bytes(type), plain[i].name)) {
            return plain[i].type;
        }
    }
    if (mln_bytes_is(rg_bytes(type), "object")) {
        return read_object(r, schema);
    }
    return mln_bytes_is(rg_bytes(type), "array") ? read_array(r, schema) : refuse(r, "a schema has an unknown type");
}

static const struct rg_type *read_any_of(struct reader *r, struct rg_val list)
{
    const struct rg_type *out = NULL;
    for (uint32_t i = 0; i < list.arr->len; i++) {
        out = rg_type_or(r->heap, out, read_schema(r, list.arr->items[i]));
    }
    return out == NULL ? &rg_type_any : out;
}

/* Objects put together; of other types the first counts. */
static const struct rg_type *read_all_of(struct reader *r, struct rg_val list)
{
    struct rg_type *all = rg_type_object_new(r->heap);
    for (uint32_t i = 0; i < list.arr->len; i++) {
        const struct rg_type *one = read_schema(r, list.arr->items[i]);
        if (one->kind != RG_Y_OBJECT) {
            return one;
        }
        for (uint32_t k = 0; k < one->n; k++) {
            rg_type_member(r->heap, all, one->keys[k], one->items[k]);
        }
        all->key = all->key == NULL ? one->key : all->key;
        all->rest = all->rest == NULL ? one->rest : all->rest;
    }
    return rg_type_done(all);
}

static const struct rg_type *read_plain(struct reader *r, struct rg_val schema)
{
    struct rg_val ref = rg_get_text(schema, "$ref"), any = rg_get_text(schema, "anyOf"),
                  all = rg_get_text(schema, "allOf"), type = rg_get_text(schema, "type");
    const struct rg_type *out = NULL;
    if (ref.tag == RG_STR) {
        return read_ref(r, ref);
    }
    if (any.tag == RG_ARRAY) {
        return read_any_of(r, any);
    }
    if (all.tag == RG_ARRAY) {
        return read_all_of(r, all);
    }
    if (type.tag == RG_STR) {
        return read_named(r, schema, type);
    }
    for (uint32_t i = 0; type.tag == RG_ARRAY && i < type.arr->len; i++) {
        struct rg_val one = type.arr->items[i];
        out = one.tag == RG_STR ? rg_type_or(r->heap, out, read_named(r, schema, one)) : refuse(r, "a type is no string");
    }
    if (out == NULL && rg_get_text(schema, "properties").tag == RG_OBJECT) {
        return read_object(r, schema);
    }
    return out == NULL ? &rg_type_any : out;
}

static const struct rg_type *read_schema(struct reader *r, struct rg_val schema)
{
    if (schema.tag == RG_BOOL) {
        return &rg_type_any;
    }
    if (schema.tag != RG_OBJECT) {
        return refuse(r, "a schema is neither an object nor a boolean");
    }
    if (r->depth >= REFS_MAX) {
        return &rg_type_any; /* a schema that holds itself */
    }
    r->depth++;
    const struct rg_type *t = read_plain(r, schema);
    r->depth--;
    return t;
}

const struct rg_type *rg_type_of_schema(struct rg_heap *heap, struct rg_val schema, const char **ret_error)
{
    struct reader r = {.heap = heap, .root = schema};
    const struct rg_type *t = read_schema(&r, schema);
    *ret_error = r.error;
    return r.error == NULL ? t : NULL;
}
