/* SPDX-License-Identifier: Apache-2.0 */
/* Is a value a JSON Schema? Each keyword's kind, references that lead somewhere, patterns that compile. */
#include "rego/schema_priv.h"

#include "base/text.h"
#include "rego/rego.h"

#include <stdio.h>

static bool check(struct rg_schema *s, struct rg_val schema, unsigned depth);

bool rg_schema_fail(struct rg_schema *s, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (s->error == NULL) {
        s->error = rg_text_dup(s->heap, mln_bytes_of(text));
    }
    return false;
}

static bool wrong_type(struct rg_schema *s, const char *expected, const char *given)
{
    return rg_schema_fail(s, "Invalid type. Expected: %s, given: %s", expected, given);
}

/* ---- references ---- */
static struct rg_val step_into(struct rg_val at, struct rg_heap *heap, struct mln_bytes token)
{
    uint64_t i = 0;
    char *to = rg_text_dup(heap, token);
    size_t n = 0;
    for (size_t k = 0; k < token.len; k++) {
        char c = (char)token.ptr[k];
        if (c == '~' && k + 1 < token.len && (token.ptr[k + 1] == '0' || token.ptr[k + 1] == '1')) {
            c = token.ptr[++k] == '0' ? '~' : '/';
        }
        to[n++] = c;
    }
    if (at.tag == RG_ARRAY) {
        return mln_u64_parse(mln_bytes_at(to, n), &i) ? rg_item(at, i) : RG_NONE;
    }
    return at.tag == RG_OBJECT ? rg_get(at, rg_string(heap, mln_bytes_at(to, n))) : RG_NONE;
}

static struct rg_val follow(struct rg_schema *s, struct rg_val from, struct mln_bytes pointer)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {0};
    if (mln_failed(mln_percent_parse(NULL, pointer, false, &plain))) {
        return RG_NONE;
    }
    struct mln_bytes rest = mln_bytes_from(mln_buf_bytes(&plain), 1);
    bool more = plain.len > 1;
    while (more && from.tag != RG_UNDEF) {
        size_t n = mln_bytes_find(rest, '/');
        more = n < rest.len;
        from = step_into(from, s->heap, mln_bytes_sub(rest, 0, n));
        rest = mln_bytes_from(rest, n + 1);
    }
    return from;
}

/* A schema by its id, or by what its id ends in: relative references within one document. */
static struct rg_val named(const struct rg_schema *s, struct mln_bytes base)
{
    struct rg_val v = rg_get(s->ids, rg_string(s->heap, base));
    for (size_t i = 0; v.tag == RG_UNDEF && i < rg_len(s->ids); i++) {
        struct mln_bytes id = rg_bytes(rg_key_at(s->ids, i));
        if (id.len > base.len && id.ptr[id.len - base.len - 1] == '/' && mln_bytes_ends(id, base)) {
            v = rg_val_at(s->ids, i);
        }
    }
    return v;
}

struct rg_val rg_schema_resolve(struct rg_schema *s, struct mln_bytes ref)
{
    struct mln_bytes fragment, base = mln_bytes_cut(ref, '#', &fragment);
    struct rg_val v = base.len == 0 ? s->root : named(s, base);
    if (v.tag != RG_UNDEF && fragment.len > 0) {
        v = fragment.ptr[0] == '/'
                ? follow(s, v, fragment)
                : rg_get(s->ids,
                         rg_text(s->heap, rg_text_format(s->heap, "%.*s#%.*s", MLN_FMT(base),
                                                         MLN_FMT(fragment))));
    }
    if (v.tag == RG_UNDEF) {
        (void)rg_schema_fail(
            s, "reference %.*s leads nowhere in this schema; others are not fetched", MLN_FMT(ref));
    }
    return v;
}

/* All schemas that have a name, before any is checked. */
static void collect_ids(struct rg_schema *s, struct rg_val v, unsigned depth)
{
    if (depth > MLN_REGO_NESTING_MAX || !rg_spend(s->vm, 1)) {
        return;
    }
    for (uint32_t i = 0; v.tag == RG_ARRAY && i < v.arr->len; i++) {
        collect_ids(s, v.arr->items[i], depth + 1);
    }
    if (v.tag != RG_OBJECT) {
        return;
    }
    static const char *const keys[] = {"$id", "id"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        struct rg_val id = rg_get_text(v, keys[i]);
        if (id.tag == RG_STR) {
            struct mln_bytes t = rg_bytes(id);
            t.len -= mln_bytes_ends(t, MLN_BYTES("#"));
            struct rg_val key = rg_string(s->heap, t);
            if (!rg_has(s->ids, key)) {
                rg_put(s->heap, s->ids, key, v);
            }
        }
    }
    for (uint32_t i = 0; i < v.map->len; i++) {
        collect_ids(s, v.map->vals[i], depth + 1);
    }
}

/* ---- keywords ---- */
static bool is_schema(struct rg_val v)
{
    return v.tag == RG_OBJECT || v.tag == RG_BOOL;
}

static bool check_type_name(struct rg_schema *s, struct rg_val name)
{
    static const char *const known[] = {"array", "boolean", "integer", "number",
                                        "null",  "object",  "string"};
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is(rg_bytes(name), known[i])) {
            return true;
        }
    }
    return rg_schema_fail(
        s,
        "has a primitive type that is NOT VALID -- given: /%.*s/ Expected valid values are:[array "
        "boolean integer number null object string]",
        MLN_FMT(rg_bytes(name)));
}

static bool check_type(struct rg_schema *s, struct rg_val v)
{
    if (v.tag == RG_STR) {
        return check_type_name(s, v);
    }
    struct rg_val seen = rg_set(s->heap, 0);
    for (uint32_t i = 0; v.tag == RG_ARRAY && i < v.arr->len; i++) {
        struct rg_val name = v.arr->items[i];
        if (name.tag != RG_STR) {
            return wrong_type(s, "type", "string/array of strings");
        }
        if (!check_type_name(s, name)) {
            return false;
        }
        if (rg_has(seen, name)) {
            return rg_schema_fail(s, "%.*s type is duplicated", MLN_FMT(rg_bytes(name)));
        }
        rg_add(s->heap, seen, name);
    }
    return v.tag == RG_ARRAY || wrong_type(s, "type", "string/array of strings");
}

static bool check_members(struct rg_schema *s, struct rg_val schema, const char *key,
                          unsigned depth)
{
    struct rg_val v = rg_get_text(schema, key);
    bool properties = mln_bytes_is(mln_bytes_of(key), "properties");
    if (v.tag == RG_UNDEF) {
        return true;
    }
    if (v.tag != RG_OBJECT) {
        return properties ? rg_schema_fail(s, "Properties must be of type object")
               : mln_bytes_is(mln_bytes_of(key), "definitions")
                   ? wrong_type(s, "array of schemas", key)
                   : wrong_type(s, "schema", key);
    }
    for (uint32_t i = 0; i < v.map->len; i++) {
        if (v.map->keys[i].tag == RG_STR && !check(s, v.map->vals[i], depth)) {
            return false;
        }
    }
    return true;
}

static bool check_patterns(struct rg_schema *s, struct rg_val schema)
{
    struct rg_val v = rg_get_text(schema, "patternProperties"),
                  one = rg_get_text(schema, "pattern");
    for (uint32_t i = 0; v.tag == RG_OBJECT && i < v.map->len; i++) {
        if (v.map->keys[i].tag == RG_STR && rg_pattern(s->vm, v.map->keys[i]) == NULL) {
            return rg_schema_fail(s, "Invalid regex pattern '%.*s'",
                                  MLN_FMT(rg_bytes(v.map->keys[i])));
        }
    }
    return one.tag != RG_STR || rg_pattern(s->vm, one) != NULL ||
           rg_schema_fail(s, "pattern must be a valid regex");
}

static bool check_texts(struct rg_schema *s, struct rg_val schema)
{
    static const char *const keys[] = {"title", "description", "pattern", "format"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        struct rg_val v = rg_get_text(schema, keys[i]);
        if (v.tag != RG_UNDEF && v.tag != RG_STR) {
            return wrong_type(s, "string", keys[i]);
        }
    }
    return true;
}

static bool check_limit(struct rg_schema *s, struct rg_val schema, const char *key, int64_t *ret)
{
    struct rg_val v = rg_get_text(schema, key);
    *ret = -1;
    if (v.tag == RG_UNDEF) {
        return true;
    }
    if (!rg_is_number(v) || !rg_num_int(v, ret)) {
        return rg_schema_fail(s, "%s must be of an integer", key);
    }
    return *ret >= 0 || rg_schema_fail(s, "%s must be greater than or equal to 0", key);
}

static bool check_limits(struct rg_schema *s, struct rg_val schema)
{
    static const struct {
        const char *least, *most, *text;
    } pairs[] = {
        {"minLength", "maxLength", "minLength cannot be greater than maxLength"},
        {"minProperties", "maxProperties", "minProperties cannot be greater than maxProperties"},
        {"minItems", "maxItems", NULL}};
    for (size_t i = 0; i < MLN_COUNT(pairs); i++) {
        int64_t least = 0, most = 0;
        if (!check_limit(s, schema, pairs[i].least, &least) ||
            !check_limit(s, schema, pairs[i].most, &most)) {
            return false;
        }
        if (most >= 0 && least > most && pairs[i].text != NULL) {
            return rg_schema_fail(s, "%s", pairs[i].text);
        }
    }
    return true;
}

static bool check_exclusive(struct rg_schema *s, struct rg_val schema, const char *key,
                            const char *of)
{
    struct rg_val v = rg_get_text(schema, key);
    bool may_bool = s->draft == 4 || s->draft == RG_SCHEMA_HYBRID, may_number = s->draft != 4;
    if (v.tag == RG_UNDEF || (rg_is_number(v) && may_number)) {
        return true;
    }
    if (v.tag == RG_BOOL && may_bool) {
        return rg_get_text(schema, of).tag != RG_UNDEF ||
               rg_schema_fail(s, "%s cannot be used without %s", key, of);
    }
    return wrong_type(s,
                      may_bool && may_number ? "boolean/number"
                      : may_bool             ? "boolean"
                                             : "number",
                      key);
}

static bool check_numbers(struct rg_schema *s, struct rg_val schema)
{
    static const char *const keys[] = {"minimum", "maximum"};
    struct rg_val multiple = rg_get_text(schema, "multipleOf");
    if (multiple.tag != RG_UNDEF && !rg_is_number(multiple)) {
        return wrong_type(s, "number", "multipleOf");
    }
    if (multiple.tag != RG_UNDEF && rg_num_cmp(multiple, rg_int(0)) <= 0) {
        return rg_schema_fail(s, "multipleOf must be strictly greater than 0");
    }
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        struct rg_val v = rg_get_text(schema, keys[i]);
        if (v.tag != RG_UNDEF && !rg_is_number(v)) {
            return rg_schema_fail(s, "%s must be of a number", keys[i]);
        }
    }
    return check_exclusive(s, schema, "exclusiveMinimum", "minimum") &&
           check_exclusive(s, schema, "exclusiveMaximum", "maximum");
}

static bool check_lists(struct rg_schema *s, struct rg_val schema)
{
    static const char *const keys[] = {"required", "enum"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        struct rg_val v = rg_get_text(schema, keys[i]), seen = rg_set(s->heap, 0);
        if (v.tag != RG_UNDEF && v.tag != RG_ARRAY) {
            return rg_schema_fail(s, "%s must be of an array", keys[i]);
        }
        for (uint32_t k = 0; v.tag == RG_ARRAY && k < v.arr->len; k++) {
            if (i == 0 && v.arr->items[k].tag != RG_STR) {
                return wrong_type(s, "string", "required");
            }
            if (rg_has(seen, v.arr->items[k])) {
                return rg_schema_fail(s, "%s items must be unique", keys[i]);
            }
            rg_add(s->heap, seen, v.arr->items[k]);
        }
    }
    struct rg_val unique = rg_get_text(schema, "uniqueItems");
    return unique.tag == RG_UNDEF || unique.tag == RG_BOOL ||
           rg_schema_fail(s, "uniqueItems must be of a boolean");
}

static bool check_items(struct rg_schema *s, struct rg_val schema, unsigned depth)
{
    struct rg_val items = rg_get_text(schema, "items");
    for (uint32_t i = 0; items.tag == RG_ARRAY && i < items.arr->len; i++) {
        if (!is_schema(items.arr->items[i])) {
            return wrong_type(s, "schema/array of schemas", "items");
        }
        if (!check(s, items.arr->items[i], depth)) {
            return false;
        }
    }
    if (items.tag != RG_UNDEF && items.tag != RG_ARRAY && !is_schema(items)) {
        return wrong_type(s, "schema/array of schemas", "items");
    }
    return items.tag == RG_UNDEF || items.tag == RG_ARRAY || check(s, items, depth);
}

static bool check_dependencies(struct rg_schema *s, struct rg_val schema, unsigned depth)
{
    struct rg_val v = rg_get_text(schema, "dependencies");
    if (v.tag != RG_UNDEF && v.tag != RG_OBJECT) {
        return rg_schema_fail(s, "dependencies must be of type object");
    }
    for (uint32_t i = 0; v.tag == RG_OBJECT && i < v.map->len; i++) {
        struct rg_val d = v.map->vals[i];
        bool ok = d.tag == RG_ARRAY || is_schema(d);
        for (uint32_t k = 0; d.tag == RG_ARRAY && k < d.arr->len; k++) {
            ok = ok && d.arr->items[k].tag == RG_STR;
        }
        if (!ok) {
            return rg_schema_fail(s, "dependency must be of type schema or array of strings");
        }
        if (d.tag != RG_ARRAY && !check(s, d, depth)) {
            return false;
        }
    }
    return true;
}

/* Keywords whose value is one schema. */
static bool check_single(struct rg_schema *s, struct rg_val schema, unsigned depth)
{
    static const struct {
        const char *key;
        int from; /* draft */
        bool additional;
    } keys[] = {{"additionalProperties", 4, true},
                {"additionalItems", 4, true},
                {"propertyNames", 6, false},
                {"contains", 6, false},
                {"not", 4, false},
                {"if", 7, false},
                {"then", 7, false},
                {"else", 7, false}};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        struct rg_val v = rg_get_text(schema, keys[i].key);
        if (v.tag == RG_UNDEF || s->draft < keys[i].from ||
            (keys[i].additional && v.tag == RG_BOOL)) {
            continue;
        }
        if (!is_schema(v)) {
            return keys[i].additional ? wrong_type(s, "boolean/schema", keys[i].key)
                                      : rg_schema_fail(s, "%s must be of an object", keys[i].key);
        }
        if (!check(s, v, depth)) {
            return false;
        }
    }
    return true;
}

static bool check_combined(struct rg_schema *s, struct rg_val schema, unsigned depth)
{
    static const char *const keys[] = {"oneOf", "anyOf", "allOf"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        struct rg_val v = rg_get_text(schema, keys[i]);
        if (v.tag != RG_UNDEF && v.tag != RG_ARRAY) {
            return rg_schema_fail(s, "%s must be of an array", keys[i]);
        }
        for (uint32_t k = 0; v.tag == RG_ARRAY && k < v.arr->len; k++) {
            if (!check(s, v.arr->items[k], depth)) {
                return false;
            }
        }
    }
    return true;
}

static bool check_ref(struct rg_schema *s, struct rg_val ref, unsigned depth)
{
    if (ref.tag != RG_STR) {
        return wrong_type(s, "string", "$ref");
    }
    struct rg_val target = rg_schema_resolve(s, rg_bytes(ref));
    return target.tag != RG_UNDEF &&
           (is_schema(target) ? check(s, target, depth)
                              : rg_schema_fail(s, "schema must be of type object"));
}

static bool was_seen(struct rg_schema *s, struct rg_val schema)
{
    struct rg_val key = rg_int((int64_t)(intptr_t)schema.map);
    if (rg_has(s->seen, key)) {
        return true;
    }
    rg_add(s->heap, s->seen, key);
    return false;
}

static bool check(struct rg_schema *s, struct rg_val schema, unsigned depth)
{
    if (schema.tag == RG_BOOL && s->draft >= 6) {
        return true;
    }
    if (schema.tag != RG_OBJECT) {
        return rg_schema_fail(s, "Expected: schema, given: Invalid JSON");
    }
    if (was_seen(s, schema)) {
        return true;
    }
    if (++depth > MLN_REGO_NESTING_MAX || !rg_spend(s->vm, 8)) {
        return rg_schema_fail(s, "schemas are nested deeper than %u",
                              (unsigned)MLN_REGO_NESTING_MAX);
    }
    struct rg_val ref = rg_get_text(schema, "$ref"), type = rg_get_text(schema, "type");
    if (!check_members(s, schema, "definitions", depth) || !check_texts(s, schema)) {
        return false;
    }
    if (ref.tag != RG_UNDEF) {
        return check_ref(s, ref, depth);
    }
    return (type.tag == RG_UNDEF || check_type(s, type)) &&
           check_members(s, schema, "properties", depth) && check_patterns(s, schema) &&
           check_members(s, schema, "patternProperties", depth) &&
           check_dependencies(s, schema, depth) && check_items(s, schema, depth) &&
           check_numbers(s, schema) && check_limits(s, schema) && check_lists(s, schema) &&
           check_single(s, schema, depth) && check_combined(s, schema, depth);
}

static int draft_of(struct rg_val root)
{
    struct rg_val v = rg_get_text(root, "$schema");
    struct mln_bytes t = v.tag == RG_STR ? rg_bytes(v) : MLN_BYTES_NONE;
    return mln_bytes_is(t, "http://json-schema.org/draft-04/schema#") ||
                   mln_bytes_is(t, "http://json-schema.org/draft-04/schema")
               ? 4
           : mln_bytes_is(t, "http://json-schema.org/draft-06/schema#") ||
                   mln_bytes_is(t, "http://json-schema.org/draft-06/schema")
               ? 6
           : mln_bytes_is(t, "http://json-schema.org/draft-07/schema#") ||
                   mln_bytes_is(t, "http://json-schema.org/draft-07/schema")
               ? 7
               : RG_SCHEMA_HYBRID;
}

bool rg_schema_check(struct rg_schema *s, struct rg_val root)
{
    s->root = root;
    s->ids = rg_object(s->heap, 0);
    s->seen = rg_set(s->heap, 0);
    s->draft = RG_SCHEMA_HYBRID;
    if (root.tag == RG_OBJECT) {
        struct rg_val v = rg_get_text(root, "$schema");
        if (v.tag != RG_UNDEF && v.tag != RG_STR) {
            return rg_schema_fail(s, "$schema must be of type string");
        }
        s->draft = draft_of(root);
        collect_ids(s, root, 0);
    } else if (root.tag != RG_BOOL) {
        return rg_schema_fail(s, "schema is invalid");
    }
    return check(s, root, 0) && !rg_heap_is_over(s->heap);
}
