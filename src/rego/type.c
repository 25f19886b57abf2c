/* SPDX-License-Identifier: Apache-2.0 */
/* Types: made, compared, joined, looked into, printed. */
#include "rego/type_priv.h"

const struct rg_type rg_type_any = {.kind = RG_Y_ANY}, rg_type_null = {.kind = RG_Y_NULL},
                     rg_type_bool = {.kind = RG_Y_BOOL}, rg_type_number = {.kind = RG_Y_NUMBER},
                     rg_type_string = {.kind = RG_Y_STRING};

#define ALTERNATIVES_MAX 64u /* then it is "any": a union is compared with each of its parts */
#define MEMBERS_MAX 4096u    /* fixed members of one object; the others are "any" */

static struct rg_type *type_new(struct rg_heap *heap, enum rg_type_kind kind)
{
    struct rg_type *t = rg_new(heap, sizeof(*t));
    *t = (struct rg_type){.kind = (uint8_t)kind};
    return t;
}

static void weigh(struct rg_type *t, const struct rg_type *part)
{
    if (part != NULL) {
        t->weight += part->weight + 1;
        t->depth = part->depth + 1 > t->depth ? part->depth + 1 : t->depth;
    }
}

const struct rg_type *rg_type_done(struct rg_type *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        weigh(t, t->items[i]);
        if (t->weight > RG_TYPE_WEIGHT_MAX) {
            return &rg_type_any;
        }
    }
    weigh(t, t->key);
    weigh(t, t->rest);
    return t->weight > RG_TYPE_WEIGHT_MAX || t->depth > RG_TYPE_DEPTH_MAX ? &rg_type_any : t;
}

const struct rg_type *rg_type_array(struct rg_heap *heap, const struct rg_type **items, uint32_t n,
                                    const struct rg_type *rest)
{
    struct rg_type *t = type_new(heap, RG_Y_ARRAY);
    t->items = items;
    t->n = n;
    t->rest = rest;
    return rg_type_done(t);
}

struct rg_type *rg_type_object_new(struct rg_heap *heap)
{
    return type_new(heap, RG_Y_OBJECT);
}

const struct rg_type *rg_type_object(struct rg_heap *heap, const struct rg_type *key,
                                     const struct rg_type *rest)
{
    struct rg_type *t = rg_type_object_new(heap);
    t->key = key;
    t->rest = rest;
    return rg_type_done(t);
}

/* Where a key stands or would stand among the sorted ones. */
static uint32_t place_of(const struct rg_type *object, struct rg_val key)
{
    uint32_t lo = 0, hi = object->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (rg_cmp(object->keys[mid], key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool has_key(const struct rg_type *object, uint32_t at, struct rg_val key)
{
    return at < object->n && rg_eq(object->keys[at], key);
}

void rg_type_member(struct rg_heap *heap, struct rg_type *object, struct rg_val key,
                    const struct rg_type *type)
{
    uint32_t at = place_of(object, key);
    if (has_key(object, at, key)) {
        object->items[at] = type;
        return;
    }
    if (object->n >= MEMBERS_MAX) {
        object->key = object->rest = &rg_type_any;
        return;
    }
    if ((object->n & (object->n - 1)) == 0) { /* room is a power of two */
        uint32_t cap = object->n == 0 ? 1 : object->n * 2;
        struct rg_val *keys = rg_new(heap, cap * sizeof(*keys));
        const struct rg_type **items = rg_new(heap, cap * sizeof(*items));
        mln_copy(keys, object->keys, object->n * sizeof(*keys));
        mln_copy(items, object->items, object->n * sizeof(*items));
        object->keys = keys;
        object->items = items;
    }
    mln_move(object->keys + at + 1, object->keys + at, (object->n - at) * sizeof(*object->keys));
    mln_move(object->items + at + 1, object->items + at,
             (object->n - at) * sizeof(*object->items));
    object->keys[at] = key;
    object->items[at] = type;
    object->n++;
}

const struct rg_type *rg_type_set(struct rg_heap *heap, const struct rg_type *of)
{
    struct rg_type *t = type_new(heap, RG_Y_SET);
    t->rest = of;
    return rg_type_done(t);
}

const struct rg_type *rg_type_function(struct rg_heap *heap, const struct rg_type **args,
                                       uint32_t n, const struct rg_type *result)
{
    struct rg_type *t = type_new(heap, RG_Y_FUNCTION);
    t->items = args;
    t->n = n;
    t->rest = result;
    return rg_type_done(t);
}

static const struct rg_type *value_at(struct rg_heap *heap, struct rg_val v, unsigned depth);

static const struct rg_type *of_array(struct rg_heap *heap, struct rg_val v, unsigned depth)
{
    uint32_t n = v.arr->len;
    if (n > MEMBERS_MAX) {
        return rg_type_array(heap, NULL, 0, &rg_type_any);
    }
    const struct rg_type **items = rg_new(heap, (n + 1) * sizeof(*items));
    for (uint32_t i = 0; i < n; i++) {
        items[i] = value_at(heap, v.arr->items[i], depth);
    }
    return rg_type_array(heap, items, n, NULL);
}

static const struct rg_type *value_at(struct rg_heap *heap, struct rg_val v, unsigned depth)
{
    if (depth >= RG_TYPE_DEPTH_MAX) {
        return &rg_type_any;
    }
    switch ((enum rg_tag)v.tag) {
    case RG_NULL:
        return &rg_type_null;
    case RG_BOOL:
        return &rg_type_bool;
    case RG_INT:
    case RG_BIG:
        return &rg_type_number;
    case RG_STR:
        return &rg_type_string;
    case RG_ARRAY:
        return of_array(heap, v, depth + 1);
    case RG_SET: {
        const struct rg_type *of = NULL;
        for (uint32_t i = 0; i < v.map->len; i++) {
            of = rg_type_or(heap, of, value_at(heap, v.map->keys[i], depth + 1));
        }
        return rg_type_set(heap, of);
    }
    case RG_OBJECT: {
        struct rg_type *t = type_new(heap, RG_Y_OBJECT);
        for (uint32_t i = 0; i < v.map->len; i++) {
            rg_type_member(heap, t, v.map->keys[i], value_at(heap, v.map->vals[i], depth + 1));
        }
        return rg_type_done(t);
    }
    case RG_UNDEF:
    case RG_DOC:
        break;
    }
    return &rg_type_any;
}

const struct rg_type *rg_type_of_value(struct rg_heap *heap, struct rg_val v)
{
    return value_at(heap, v, 0);
}

/* ---- order ---- */
static int cmp_items(const struct rg_type *a, const struct rg_type *b)
{
    uint32_t n = a->n < b->n ? a->n : b->n;
    for (uint32_t i = 0; i < n; i++) {
        int c = a->keys != NULL && b->keys != NULL ? rg_cmp(a->keys[i], b->keys[i]) : 0;
        c = c != 0 ? c : rg_type_cmp(a->items[i], b->items[i]);
        if (c != 0) {
            return c;
        }
    }
    return a->n < b->n ? -1 : a->n > b->n;
}

int rg_type_cmp(const struct rg_type *a, const struct rg_type *b)
{
    if (a == b) {
        return 0;
    }
    if (a == NULL || b == NULL) {
        return a == NULL ? -1 : 1;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    int c = cmp_items(a, b);
    c = c != 0 ? c : rg_type_cmp(a->key, b->key);
    return c != 0 ? c : rg_type_cmp(a->rest, b->rest);
}

/* ---- joining ---- */
static const struct rg_type *join_functions(struct rg_heap *heap, const struct rg_type *a,
                                            const struct rg_type *b)
{
    if (a->n != b->n) {
        return a;
    }
    const struct rg_type **args = rg_new(heap, (a->n + 1) * sizeof(*args));
    for (uint32_t i = 0; i < a->n; i++) {
        args[i] = rg_type_or(heap, a->items[i], b->items[i]);
    }
    return rg_type_function(heap, args, a->n, rg_type_or(heap, a->rest, b->rest));
}

static uint32_t merge_into(const struct rg_type **out, uint32_t n, const struct rg_type *t)
{
    uint32_t at = 0;
    while (at < n && rg_type_cmp(out[at], t) < 0) {
        at++;
    }
    if (at < n && rg_type_cmp(out[at], t) == 0) {
        return n;
    }
    mln_move(out + at + 1, out + at, (n - at) * sizeof(*out));
    out[at] = t;
    return n + 1;
}

const struct rg_type *rg_type_or(struct rg_heap *heap, const struct rg_type *a,
                                 const struct rg_type *b)
{
    if (a == NULL || b == NULL || rg_type_cmp(a, b) == 0) {
        return a == NULL ? b : a;
    }
    if (a->kind == RG_Y_FUNCTION && b->kind == RG_Y_FUNCTION) {
        return join_functions(heap, a, b);
    }
    const struct rg_type *both[2] = {a, b};
    uint32_t n = 0, room = 0;
    for (size_t i = 0; i < 2; i++) {
        if (both[i]->kind == RG_Y_ANY && both[i]->n == 0) {
            return &rg_type_any;
        }
        room += both[i]->kind == RG_Y_ANY ? both[i]->n : 1;
    }
    if (room > ALTERNATIVES_MAX) {
        return &rg_type_any;
    }
    struct rg_type *t = type_new(heap, RG_Y_ANY);
    t->items = rg_new(heap, room * sizeof(*t->items));
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; both[i]->kind == RG_Y_ANY && k < both[i]->n; k++) {
            n = merge_into(t->items, n, both[i]->items[k]);
        }
        n = both[i]->kind == RG_Y_ANY ? n : merge_into(t->items, n, both[i]);
    }
    t->n = n;
    return n == 1 ? t->items[0] : rg_type_done(t);
}

/* ---- looking into ---- */
const struct rg_type *rg_type_keys(struct rg_heap *heap, const struct rg_type *t)
{
    const struct rg_type *out = NULL;
    switch (t == NULL ? RG_Y_NULL : (enum rg_type_kind)t->kind) {
    case RG_Y_ANY:
        for (uint32_t i = 0; i < t->n; i++) {
            out = rg_type_or(heap, out, rg_type_keys(heap, t->items[i]));
        }
        return t->n == 0 ? t : out;
    case RG_Y_ARRAY:
        return &rg_type_number;
    case RG_Y_OBJECT:
        for (uint32_t i = 0; i < t->n; i++) {
            out = rg_type_or(heap, out, rg_type_of_value(heap, t->keys[i]));
        }
        return rg_type_or(heap, out, t->key);
    case RG_Y_SET:
        return t->rest;
    case RG_Y_NULL:
    case RG_Y_BOOL:
    case RG_Y_NUMBER:
    case RG_Y_STRING:
    case RG_Y_FUNCTION:
        break;
    }
    return NULL;
}

const struct rg_type *rg_type_values(struct rg_heap *heap, const struct rg_type *t)
{
    const struct rg_type *out = NULL;
    if (t == NULL || (t->kind == RG_Y_ANY && t->n == 0)) {
        return t;
    }
    if (t->kind == RG_Y_SET) {
        return t->rest;
    }
    if (t->kind != RG_Y_ARRAY && t->kind != RG_Y_OBJECT && t->kind != RG_Y_ANY) {
        return NULL;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        out = rg_type_or(heap, out,
                         t->kind == RG_Y_ANY ? rg_type_values(heap, t->items[i]) : t->items[i]);
    }
    return rg_type_or(heap, out, t->rest);
}

bool rg_type_has(const struct rg_type *t, const struct rg_type *part)
{
    if (t == NULL || part == NULL) {
        return false;
    }
    if (part->kind == RG_Y_ANY) {
        for (uint32_t i = 0; i < part->n; i++) {
            if (rg_type_has(t, part->items[i])) {
                return true;
            }
        }
        return part->n == 0;
    }
    if (t->kind == RG_Y_ANY) {
        for (uint32_t i = 0; i < t->n; i++) {
            if (rg_type_has(t->items[i], part)) {
                return true;
            }
        }
        return t->n == 0;
    }
    return rg_type_cmp(t, part) == 0;
}

static const struct rg_type *select_item(const struct rg_type *t, struct rg_val key)
{
    int64_t i = 0;
    if (!rg_is_number(key) || !rg_num_int(key, &i) || i < 0) {
        return NULL;
    }
    return i < t->n ? t->items[i] : t->rest;
}

static const struct rg_type *select_member(struct rg_heap *heap, const struct rg_type *t,
                                           struct rg_val key)
{
    uint32_t at = place_of(t, key);
    if (has_key(t, at, key)) {
        return t->items[at];
    }
    return t->key != NULL && rg_type_has(t->key, rg_type_of_value(heap, key)) ? t->rest : NULL;
}

const struct rg_type *rg_type_select(struct rg_heap *heap, const struct rg_type *t,
                                     struct rg_val key)
{
    const struct rg_type *out = NULL;
    if (t == NULL || (t->kind == RG_Y_ANY && t->n == 0)) {
        return t;
    }
    if (t->kind == RG_Y_ARRAY) {
        return select_item(t, key);
    }
    if (t->kind == RG_Y_OBJECT) {
        return select_member(heap, t, key);
    }
    if (t->kind == RG_Y_SET) {
        const struct rg_type *own = rg_type_of_value(heap, key); /* a member gives itself */
        return rg_type_has(t->rest, own) ? own : NULL;
    }
    for (uint32_t i = 0; t->kind == RG_Y_ANY && i < t->n; i++) {
        out = rg_type_or(heap, out, rg_type_select(heap, t->items[i], key));
    }
    return out;
}

/* ---- unifying ---- */
static bool any_unifies(const struct rg_type *any, const struct rg_type *b)
{
    for (uint32_t i = 0; i < any->n; i++) {
        if (rg_type_unifies(any->items[i], b)) {
            return true;
        }
    }
    return any->n == 0 && b->kind != RG_Y_FUNCTION;
}

static bool fixed_in(const struct rg_type *a, const struct rg_type *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct rg_type *other = i < b->n ? b->items[i] : b->rest;
        if (a->kind == RG_Y_OBJECT) {
            uint32_t at = place_of(b, a->keys[i]);
            other = has_key(b, at, a->keys[i]) ? b->items[at] : NULL;
            struct rg_type key = {.kind = a->keys[i].tag == RG_STR    ? RG_Y_STRING
                                          : a->keys[i].tag == RG_BOOL ? RG_Y_BOOL
                                          : a->keys[i].tag == RG_NULL ? RG_Y_NULL
                                                                      : RG_Y_NUMBER};
            if (other == NULL && b->key != NULL && rg_type_has(b->key, &key)) {
                other = b->rest;
            }
        }
        if (!rg_type_unifies(a->items[i], other)) {
            return false;
        }
    }
    return true;
}

bool rg_type_unifies(const struct rg_type *a, const struct rg_type *b)
{
    if (a == NULL || b == NULL) {
        return false;
    }
    if (a->kind == RG_Y_ANY || b->kind == RG_Y_ANY) {
        return (a->kind == RG_Y_ANY && any_unifies(a, b)) ||
               (b->kind == RG_Y_ANY && any_unifies(b, a));
    }
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == RG_Y_ARRAY || a->kind == RG_Y_OBJECT) {
        return fixed_in(a, b) && fixed_in(b, a) &&
               (a->rest == NULL || b->rest == NULL || rg_type_unifies(a->rest, b->rest));
    }
    if (a->kind == RG_Y_SET) {
        return (a->rest == NULL && b->rest == NULL) || rg_type_unifies(a->rest, b->rest);
    }
    return a->kind != RG_Y_FUNCTION || a->n == b->n;
}

bool rg_type_is_nil(const struct rg_type *t)
{
    if (t == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        if (rg_type_is_nil(t->items[i])) {
            return true;
        }
    }
    return (t->key != NULL && rg_type_is_nil(t->key)) || (t->rest != NULL && rg_type_is_nil(t->rest));
}

/* ---- printing ---- */
static void print_fixed(struct mln_buf *buf, const struct rg_type *t, const char *open,
                        const char *close)
{
    for (uint32_t i = 0; i < t->n; i++) {
        mln_buf_add_text(buf, i == 0 ? open : ", ");
        if (t->kind == RG_Y_OBJECT && t->keys[i].tag == RG_STR) {
            mln_buf_add_bytes(buf, rg_bytes(t->keys[i]));
            mln_buf_add_text(buf, ": ");
        } else if (t->kind == RG_Y_OBJECT) {
            rg_print_rego(buf, t->keys[i]);
            mln_buf_add_text(buf, ": ");
        }
        if (t->kind == RG_Y_FUNCTION && t->names != NULL && t->names[i] != NULL) {
            mln_buf_add_format(buf, "%s: ", t->names[i]);
        }
        rg_type_print(buf, t->items[i]);
    }
    mln_buf_add_text(buf, t->n == 0 ? "" : close);
}

void rg_type_print(struct mln_buf *buf, const struct rg_type *t)
{
    static const char *const names[] = {"null",  "boolean", "number", "string", "array",
                                        "object", "set",     "any",    ""};
    if (t == NULL || buf->has_failed) {
        mln_buf_add_text(buf, "???");
        return;
    }
    mln_buf_add_text(buf, names[t->kind]);
    if (t->kind == RG_Y_FUNCTION) {
        rg_type_print_args(buf, t);
        mln_buf_add_text(buf, " => ");
        rg_type_print(buf, t->rest);
        return;
    }
    print_fixed(buf, t, "<", ">");
    if (t->rest != NULL) {
        mln_buf_add_byte(buf, '[');
        if (t->key != NULL) {
            rg_type_print(buf, t->key);
            mln_buf_add_text(buf, ": ");
        }
        rg_type_print(buf, t->rest);
        mln_buf_add_byte(buf, ']');
    }
}

void rg_type_print_args(struct mln_buf *buf, const struct rg_type *function)
{
    mln_buf_add_byte(buf, '(');
    print_fixed(buf, function, "", "");
    mln_buf_add_byte(buf, ')');
}
