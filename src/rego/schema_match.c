/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a document fit a schema that was checked? All that does not fit is told. Of schemas of which one must fit, the
 * errors of the one that came nearest are told too: the score counts what was looked at and fitted.
 */
#include "rego/schema_priv.h"

#include "rego/rego.h"

#include <stdio.h>

struct place { /* in the document */
    const struct place *up;
    struct mln_bytes name;
};

struct result {
    struct rg_val errors;
    int64_t score;
};

struct matcher {
    struct rg_schema *s;
    unsigned depth;
};

static void match(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                  const struct place *at);

static struct result new_result(struct matcher *m)
{
    return (struct result){.errors = rg_array(m->s->heap, 0)};
}

static void print_place(struct mln_buf *out, const struct place *at)
{
    if (at->up != NULL && at->up->up != NULL) {
        print_place(out, at->up);
        mln_buf_add_byte(out, '.');
    }
    mln_buf_add_bytes(out, at->name);
}

__attribute__((format(printf, 5, 6))) static void add_error(struct matcher *m, struct result *r,
                                                            const struct place *at,
                                                            const char *type, const char *format,
                                                            ...)
{
    char text[1024];
    struct rg_heap *heap = m->s->heap;
    MLN_AUTO(mln_buf_drop) struct mln_buf field = rg_buf(heap);
    struct rg_val e = rg_object(heap, 4);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_place(&field, at);
    struct mln_bytes f = mln_buf_bytes(&field);
    rg_put_text(heap, e, "type", rg_text(heap, type));
    rg_put_text(heap, e, "field", rg_string(heap, f));
    rg_put_text(heap, e, "desc", rg_text(heap, text));
    rg_put_text(heap, e, "error",
                rg_text(heap, rg_text_format(heap, "%.*s: %s", MLN_FMT(f), text)));
    rg_push(heap, r->errors, e);
    r->score -= 2;
}

static void merge(struct matcher *m, struct result *to, const struct result *from)
{
    for (uint32_t i = 0; i < from->errors.arr->len; i++) {
        rg_push(m->s->heap, to->errors, from->errors.arr->items[i]);
    }
    to->score += from->score;
}

static bool fits(const struct result *r)
{
    return r->errors.arr->len == 0;
}

static struct result try(struct matcher *m, struct rg_val schema, struct rg_val v,
                         const struct place *at)
{
    struct result r = new_result(m);
    match(m, schema, v, &r, at);
    return r;
}

static const char *json_text(struct matcher *m, struct rg_val v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.max = 4096};
    rg_print_json(&out, v);
    return rg_text_format(m->s->heap, "%.*s", MLN_FMT(mln_buf_bytes(&out)));
}

static const char *limit_text(struct matcher *m, struct rg_val v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.max = 1024};
    rg_num_print_double(&out, rg_num_to_double(v));
    return rg_text_format(m->s->heap, "%.*s", MLN_FMT(mln_buf_bytes(&out)));
}

/* ---- types ---- */
static const char *type_of(struct rg_val v)
{
    switch (v.tag) {
    case RG_NULL:
        return "null";
    case RG_BOOL:
        return "boolean";
    case RG_STR:
        return "string";
    case RG_OBJECT:
        return "object";
    case RG_INT:
    case RG_BIG:
        return rg_num_is_int(v) ? "integer" : "number";
    default:
        return "array";
    }
}

static bool is_type(struct rg_val v, struct rg_val name)
{
    const char *type = type_of(v);
    return mln_bytes_is(rg_bytes(name), type) ||
           (rg_is_number(v) && mln_bytes_is(rg_bytes(name), "number"));
}

static bool match_type(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                       const struct place *at)
{
    struct rg_val type = rg_get_text(schema, "type");
    MLN_AUTO(mln_buf_drop) struct mln_buf names = {.max = 1024};
    if (type.tag == RG_STR) {
        if (is_type(v, type)) {
            return true;
        }
        mln_buf_add_bytes(&names, rg_bytes(type));
    }
    for (uint32_t i = 0; type.tag == RG_ARRAY && i < type.arr->len; i++) {
        if (is_type(v, type.arr->items[i])) {
            return true;
        }
        mln_buf_add_text(&names, i > 0 ? "," : type.arr->len > 1 ? "[" : "");
        mln_buf_add_bytes(&names, rg_bytes(type.arr->items[i]));
    }
    if (names.len == 0) {
        return true;
    }
    mln_buf_add_text(&names, type.tag == RG_ARRAY && type.arr->len > 1 ? "]" : "");
    add_error(m, r, at, "invalid_type", "Invalid type. Expected: %.*s, given: %s",
              MLN_FMT(mln_buf_bytes(&names)), type_of(v));
    return false;
}

/* ---- schemas of which some must fit ---- */
static void keep_best(struct result *best, bool *has_best, const struct result *r)
{
    if (!*has_best || r->score > best->score) {
        *best = *r;
        *has_best = true;
    }
}

static void match_any(struct matcher *m, struct rg_val list, struct rg_val v, struct result *r,
                      const struct place *at)
{
    struct result best = {0};
    bool has_best = false;
    for (uint32_t i = 0; i < list.arr->len; i++) {
        struct result one = try(m, list.arr->items[i], v, at);
        if (fits(&one)) {
            return;
        }
        keep_best(&best, &has_best, &one);
    }
    add_error(m, r, at, "number_any_of", "Must validate at least one schema (anyOf)");
    if (has_best) {
        merge(m, r, &best);
    }
}

static void match_one(struct matcher *m, struct rg_val list, struct rg_val v, struct result *r,
                      const struct place *at)
{
    struct result best = {0};
    bool has_best = false;
    unsigned n = 0;
    for (uint32_t i = 0; i < list.arr->len; i++) {
        struct result one = try(m, list.arr->items[i], v, at);
        if (fits(&one)) {
            n++;
        } else if (n == 0) {
            keep_best(&best, &has_best, &one);
        }
    }
    if (n != 1) {
        add_error(m, r, at, "number_one_of", "Must validate one and only one schema (oneOf)");
        if (n == 0 && has_best) {
            merge(m, r, &best);
        }
    }
}

static void match_all(struct matcher *m, struct rg_val list, struct rg_val v, struct result *r,
                      const struct place *at)
{
    bool all = true;
    for (uint32_t i = 0; i < list.arr->len; i++) {
        struct result one = try(m, list.arr->items[i], v, at);
        all = all && fits(&one);
        merge(m, r, &one);
    }
    if (!all) {
        add_error(m, r, at, "number_all_of", "Must validate all the schemas (allOf)");
    }
}

static void match_if(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                     const struct place *at)
{
    struct rg_val condition = rg_get_text(schema, "if");
    if (condition.tag == RG_UNDEF || m->s->draft < 7) {
        return;
    }
    struct result one = try(m, condition, v, at);
    struct rg_val next = rg_get_text(schema, fits(&one) ? "then" : "else");
    if (next.tag == RG_UNDEF) {
        return;
    }
    struct result two = try(m, next, v, at);
    if (!fits(&two)) {
        if (fits(&one)) {
            add_error(m, r, at, "condition_then", "Must validate \"then\" as \"if\" was valid");
        } else {
            add_error(m, r, at, "condition_else", "Must validate \"else\" as \"if\" was not valid");
        }
        merge(m, r, &two);
    }
}

static void match_dependencies(struct matcher *m, struct rg_val schema, struct rg_val v,
                               struct result *r, const struct place *at)
{
    struct rg_val all = rg_get_text(schema, "dependencies");
    for (size_t i = 0; all.tag == RG_OBJECT && v.tag == RG_OBJECT && i < rg_len(all); i++) {
        struct rg_val d = rg_val_at(all, i);
        if (!rg_has(v, rg_key_at(all, i))) {
            continue;
        }
        if (d.tag != RG_ARRAY) {
            match(m, d, v, r, at);
        }
        for (uint32_t k = 0; d.tag == RG_ARRAY && k < d.arr->len; k++) {
            if (!rg_has(v, d.arr->items[k])) {
                add_error(m, r, at, "missing_dependency", "Has a dependency on %.*s",
                          MLN_FMT(rg_bytes(d.arr->items[k])));
            }
        }
    }
}

static void match_combined(struct matcher *m, struct rg_val schema, struct rg_val v,
                           struct result *r, const struct place *at)
{
    struct rg_val any = rg_get_text(schema, "anyOf"), one = rg_get_text(schema, "oneOf");
    struct rg_val all = rg_get_text(schema, "allOf"), no = rg_get_text(schema, "not");
    if (any.tag == RG_ARRAY && any.arr->len > 0) {
        match_any(m, any, v, r, at);
    }
    if (one.tag == RG_ARRAY && one.arr->len > 0) {
        match_one(m, one, v, r, at);
    }
    if (all.tag == RG_ARRAY && all.arr->len > 0) {
        match_all(m, all, v, r, at);
    }
    if (no.tag != RG_UNDEF) {
        struct result other = try(m, no, v, at);
        if (fits(&other)) {
            add_error(m, r, at, "number_not", "Must not validate the schema (not)");
        }
    }
    match_dependencies(m, schema, v, r, at);
    match_if(m, schema, v, r, at);
    r->score++;
}

/* ---- any value ---- */
static void match_common(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                         const struct place *at)
{
    struct rg_val same = rg_get_text(schema, "const"), list = rg_get_text(schema, "enum");
    struct rg_val format = rg_get_text(schema, "format");
    MLN_AUTO(mln_buf_drop) struct mln_buf where = {.max = 4096};
    MLN_AUTO(mln_buf_drop) struct mln_buf allowed = {.max = 4096};
    print_place(&where, at);
    if (same.tag != RG_UNDEF && m->s->draft >= 6 && !rg_eq(same, v)) {
        add_error(m, r, at, "const", "%.*s does not match: %s", MLN_FMT(mln_buf_bytes(&where)),
                  json_text(m, same));
    }
    bool found = list.tag != RG_ARRAY;
    for (uint32_t i = 0; !found && i < list.arr->len; i++) {
        found = rg_eq(list.arr->items[i], v);
        mln_buf_add_text(&allowed, i > 0 ? ", " : "");
        mln_buf_add_text(&allowed, found ? "" : json_text(m, list.arr->items[i]));
    }
    if (!found) {
        add_error(m, r, at, "enum", "%.*s must be one of the following: %.*s",
                  MLN_FMT(mln_buf_bytes(&where)), MLN_FMT(mln_buf_bytes(&allowed)));
    }
    if (format.tag == RG_STR && v.tag == RG_STR &&
        !rg_schema_format_ok(m->s, rg_bytes(format), rg_bytes(v))) {
        add_error(m, r, at, "format", "Does not match format '%.*s'", MLN_FMT(rg_bytes(format)));
    }
    r->score++;
}

/* ---- numbers ---- */
static void match_number(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                         const struct place *at)
{
    struct rg_val multiple = rg_get_text(schema, "multipleOf");
    struct rg_val most = rg_get_text(schema, "maximum"),
                  below = rg_get_text(schema, "exclusiveMaximum");
    struct rg_val least = rg_get_text(schema, "minimum"),
                  above = rg_get_text(schema, "exclusiveMinimum");
    if (multiple.tag != RG_UNDEF && !rg_num_is_multiple(v, multiple)) {
        add_error(m, r, at, "multiple_of", "Must be a multiple of %s", limit_text(m, multiple));
    }
    if (below.tag == RG_BOOL) { /* draft 4: the other limit is meant */
        bool is_set = below.integer != 0;
        below = is_set ? most : RG_NONE;
        most = is_set ? RG_NONE : most;
    }
    if (above.tag == RG_BOOL) {
        bool is_set = above.integer != 0;
        above = is_set ? least : RG_NONE;
        least = is_set ? RG_NONE : least;
    }
    if (most.tag != RG_UNDEF && rg_num_cmp(v, most) > 0) {
        add_error(m, r, at, "number_lte", "Must be less than or equal to %s", limit_text(m, most));
    }
    if (below.tag != RG_UNDEF && rg_num_cmp(v, below) >= 0) {
        add_error(m, r, at, "number_lt", "Must be less than %s", limit_text(m, below));
    }
    if (least.tag != RG_UNDEF && rg_num_cmp(v, least) < 0) {
        add_error(m, r, at, "number_gte", "Must be greater than or equal to %s",
                  limit_text(m, least));
    }
    if (above.tag != RG_UNDEF && rg_num_cmp(v, above) <= 0) {
        add_error(m, r, at, "number_gt", "Must be greater than %s", limit_text(m, above));
    }
    r->score++;
}

/* ---- what has a size ---- */
static void match_size(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                       const struct place *at)
{
    static const struct {
        enum rg_tag tag;
        const char *least, *most, *least_type, *most_type, *least_text, *most_text;
    } kinds[] = {{RG_STR, "minLength", "maxLength", "string_gte", "string_lte",
                  "String length must be greater than or equal to %lld",
                  "String length must be less than or equal to %lld"},
                 {RG_ARRAY, "minItems", "maxItems", "array_min_items", "array_max_items",
                  "Array must have at least %lld items", "Array must have at most %lld items"},
                 {RG_OBJECT, "minProperties", "maxProperties", "array_min_properties",
                  "array_max_properties", "Must have at least %lld properties",
                  "Must have at most %lld properties"}};
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        struct rg_val least = rg_get_text(schema, kinds[i].least),
                      most = rg_get_text(schema, kinds[i].most);
        int64_t n = (int64_t)rg_len(v), limit = 0;
        if (v.tag != kinds[i].tag) {
            continue;
        }
        if (least.tag != RG_UNDEF && rg_num_int(least, &limit) && n < limit) {
            size_t cut = mln_bytes_find(mln_bytes_of(kinds[i].least_text), '%');
            add_error(m, r, at, kinds[i].least_type, "%.*s%lld%s", (int)cut, kinds[i].least_text,
                      (long long)limit, kinds[i].least_text + cut + 4);
        }
        if (most.tag != RG_UNDEF && rg_num_int(most, &limit) && n > limit) {
            size_t cut = mln_bytes_find(mln_bytes_of(kinds[i].most_text), '%');
            add_error(m, r, at, kinds[i].most_type, "%.*s%lld%s", (int)cut, kinds[i].most_text,
                      (long long)limit, kinds[i].most_text + cut + 4);
        }
    }
}

static void match_string(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                         const struct place *at)
{
    struct rg_val pattern = rg_get_text(schema, "pattern");
    match_size(m, schema, v, r, at);
    if (pattern.tag == RG_STR) {
        struct rg_regex *re = rg_pattern(m->s->vm, pattern);
        if (re != NULL && !rg_pattern_finds(m->s->vm, re, rg_bytes(v))) {
            add_error(m, r, at, "pattern", "Does not match pattern '%.*s'",
                      MLN_FMT(rg_bytes(pattern)));
        }
    }
    r->score++;
}

/* ---- arrays ---- */
static void match_item(struct matcher *m, struct rg_val schema, struct rg_val v, uint32_t i,
                       struct result *r, const struct place *at)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%u", (unsigned)i);
    struct place below = {.up = at, .name = mln_bytes_of(name)};
    struct result one = try(m, schema, v.arr->items[i], &below);
    merge(m, r, &one);
}

static void match_items(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                        const struct place *at)
{
    struct rg_val items = rg_get_text(schema, "items"),
                  more = rg_get_text(schema, "additionalItems");
    uint32_t n = items.tag == RG_ARRAY ? items.arr->len : 0;
    for (uint32_t i = 0; items.tag != RG_UNDEF && i < v.arr->len; i++) {
        if (items.tag != RG_ARRAY) {
            match_item(m, items, v, i, r, at);
        } else if (i < n) {
            match_item(m, items.arr->items[i], v, i, r, at);
        } else if (n > 0 && more.tag == RG_OBJECT) {
            match_item(m, more, v, i, r, at);
        }
    }
    if (n > 0 && n < v.arr->len && more.tag == RG_BOOL && more.integer == 0) {
        add_error(m, r, at, "array_no_additional_items", "No additional items allowed on array");
    }
}

static void match_unique(struct matcher *m, struct rg_val v, struct result *r,
                         const struct place *at)
{
    struct rg_val seen = rg_object(m->s->heap, v.arr->len);
    for (uint32_t i = 0; i < v.arr->len; i++) {
        struct rg_val before = rg_get(seen, v.arr->items[i]);
        if (before.tag == RG_INT) {
            add_error(m, r, at, "unique", "array items[%lld,%u] must be unique",
                      (long long)before.integer, (unsigned)i);
        }
        rg_put(m->s->heap, seen, v.arr->items[i], rg_int(i));
    }
}

static void match_contains(struct matcher *m, struct rg_val schema, struct rg_val v,
                           struct result *r, const struct place *at)
{
    struct result best = {0};
    bool has_best = false;
    for (uint32_t i = 0; i < v.arr->len; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", (unsigned)i);
        struct place below = {.up = at, .name = mln_bytes_of(name)};
        struct result one = try(m, schema, v.arr->items[i], &below);
        if (fits(&one)) {
            return;
        }
        keep_best(&best, &has_best, &one);
    }
    add_error(m, r, at, "contains", "At least one of the items must match");
    if (has_best) {
        merge(m, r, &best);
    }
}

static void match_array(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                        const struct place *at)
{
    struct rg_val unique = rg_get_text(schema, "uniqueItems"),
                  contains = rg_get_text(schema, "contains");
    match_items(m, schema, v, r, at);
    match_size(m, schema, v, r, at);
    if (unique.tag == RG_BOOL && unique.integer != 0) {
        match_unique(m, v, r, at);
    }
    if (contains.tag != RG_UNDEF && m->s->draft >= 6) {
        match_contains(m, contains, v, r, at);
    }
    r->score++;
}

/* ---- objects ---- */
static bool match_patterns(struct matcher *m, struct rg_val patterns, struct rg_val key,
                           struct rg_val v, struct result *r, const struct place *below)
{
    bool any = false;
    for (size_t i = 0; patterns.tag == RG_OBJECT && i < rg_len(patterns); i++) {
        struct rg_regex *re = rg_pattern(m->s->vm, rg_key_at(patterns, i));
        if (re != NULL && rg_pattern_finds(m->s->vm, re, rg_bytes(key))) {
            struct result one = try(m, rg_val_at(patterns, i), v, below);
            merge(m, r, &one);
            any = true;
        }
    }
    r->score += any;
    return any;
}

static void match_member(struct matcher *m, struct rg_val schema, struct rg_val key,
                         struct rg_val v, struct result *r, const struct place *at)
{
    struct place below = {.up = at, .name = rg_bytes(key)};
    struct rg_val properties = rg_get_text(schema, "properties"),
                  more = rg_get_text(schema, "additionalProperties");
    bool known = properties.tag == RG_OBJECT && rg_has(properties, key);
    if (match_patterns(m, rg_get_text(schema, "patternProperties"), key, v, r, &below) || known) {
        return;
    }
    if (more.tag == RG_BOOL && more.integer == 0) {
        add_error(m, r, at, "additional_property_not_allowed",
                  "Additional property %.*s is not allowed", MLN_FMT(rg_bytes(key)));
    } else if (more.tag == RG_OBJECT) {
        struct result one = try(m, more, v, &below);
        merge(m, r, &one);
    }
}

static void match_names(struct matcher *m, struct rg_val names, struct rg_val v, struct result *r,
                        const struct place *at)
{
    for (size_t i = 0; i < rg_len(v); i++) {
        struct result one = try(m, names, rg_key_at(v, i), at);
        if (!fits(&one)) {
            add_error(m, r, at, "invalid_property_name", "Property name of \"%.*s\" does not match",
                      MLN_FMT(rg_bytes(rg_key_at(v, i))));
            merge(m, r, &one);
        }
    }
}

static void match_object(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                         const struct place *at)
{
    struct rg_val required = rg_get_text(schema, "required"),
                  names = rg_get_text(schema, "propertyNames");
    match_size(m, schema, v, r, at);
    for (uint32_t i = 0; required.tag == RG_ARRAY && i < required.arr->len; i++) {
        if (rg_has(v, required.arr->items[i])) {
            r->score++;
        } else {
            add_error(m, r, at, "required", "%.*s is required",
                      MLN_FMT(rg_bytes(required.arr->items[i])));
        }
    }
    for (size_t i = 0; i < rg_len(v); i++) {
        if (rg_spend(m->s->vm, 1) && rg_key_at(v, i).tag == RG_STR) {
            match_member(m, schema, rg_key_at(v, i), rg_val_at(v, i), r, at);
        }
    }
    if (names.tag != RG_UNDEF && m->s->draft >= 6) {
        match_names(m, names, v, r, at);
    }
    r->score++;
}

static void match_properties(struct matcher *m, struct rg_val schema, struct rg_val v,
                             struct result *r, const struct place *at)
{
    struct rg_val properties = rg_get_text(schema, "properties");
    for (size_t i = 0; properties.tag == RG_OBJECT && i < rg_len(properties); i++) {
        struct rg_val key = rg_key_at(properties, i), item = rg_get(v, key);
        if (item.tag != RG_UNDEF && key.tag == RG_STR) {
            struct place below = {.up = at, .name = rg_bytes(key)};
            match(m, rg_val_at(properties, i), item, r, &below);
        }
    }
}

/* ---- all ---- */
static void match_keywords(struct matcher *m, struct rg_val schema, struct rg_val v,
                           struct result *r, const struct place *at)
{
    match_combined(m, schema, v, r, at);
    if (rg_is_number(v)) {
        match_number(m, schema, v, r, at);
    } else if (v.tag == RG_ARRAY) {
        match_array(m, schema, v, r, at);
    } else if (v.tag == RG_OBJECT) {
        match_object(m, schema, v, r, at);
    }
    match_common(m, schema, v, r, at);
    if (v.tag == RG_STR) {
        match_string(m, schema, v, r, at);
    } else if (v.tag == RG_OBJECT) {
        match_properties(m, schema, v, r, at);
    }
    r->score++;
}

static void match(struct matcher *m, struct rg_val schema, struct rg_val v, struct result *r,
                  const struct place *at)
{
    if (schema.tag == RG_BOOL) {
        if (schema.integer == 0) {
            add_error(m, r, at, "false", "False always fails validation");
        }
        return;
    }
    if (++m->depth > MLN_REGO_NESTING_MAX || !rg_spend(m->s->vm, 8)) {
        (void)rg_schema_fail(m->s, "schemas refer to one another without end, or deeper than %u",
                             (unsigned)MLN_REGO_NESTING_MAX);
        m->depth--;
        return;
    }
    struct rg_val ref = rg_get_text(schema, "$ref");
    if (m->s->error != NULL) {
        m->depth--;
        return;
    }
    if (ref.tag == RG_STR) {
        struct rg_val target = rg_schema_resolve(m->s, rg_bytes(ref));
        if (target.tag != RG_UNDEF) {
            match(m, target, v, r, at);
        }
    } else if (match_type(m, schema, v, r, at)) {
        match_keywords(m, schema, v, r, at);
    }
    m->depth--;
}

struct rg_val rg_schema_match(struct rg_schema *s, struct rg_val document)
{
    struct matcher m = {.s = s};
    struct place top = {.name = MLN_BYTES("(Root)")};
    struct result r = try(&m, s->root, document, &top);
    return s->error != NULL || rg_heap_is_over(s->heap) ? RG_NONE : r.errors;
}
