/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and arrays, and what all kinds of values share. */
#include "rego/val_priv.h"

#include "rego/regex_priv.h"
#include "rego/rego.h"

uint32_t rg_hash_bytes(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint64_t h = 0x9e3779b97f4a7c15u ^ n;
    while (n >= 8) {
        h = (h ^ mln_get_u64le(b)) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
        b += 8;
        n -= 8;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < n; i++) {
        tail |= (uint64_t)b[i] << (8 * i);
    }
    h = (h ^ tail) * 0xc4ceb9fe1a85ec53u;
    h ^= h >> 29;
    return (uint32_t)(h ^ (h >> 32));
}

static const struct rg_str empty_string;

struct rg_str *rg_str_new(struct rg_heap *heap, size_t len)
{
    if (len >= UINT32_MAX) {
        (void)rg_try(heap, SIZE_MAX / 2);
        return NULL;
    }
    struct rg_str *s = rg_try(heap, sizeof(*s) + (len | 7) + 1);
    if (s != NULL) {
        s->len = (uint32_t)len;
        mln_fill(s->text + (len & ~(size_t)7), 0, 8);
    }
    return s;
}

struct rg_val rg_string_of(struct rg_str *str)
{
    str->hash = rg_hash_bytes(str->text, str->len);
    return (struct rg_val){.tag = RG_STR, .hash = str->hash, .str = str};
}

struct rg_val rg_string(struct rg_heap *heap, struct mln_bytes text)
{
    struct rg_str *s = rg_str_new(heap, text.len);
    if (s == NULL) {
        return (struct rg_val){.tag = RG_STR, .str = &empty_string};
    }
    mln_copy(s->text, text.ptr, text.len);
    return rg_string_of(s);
}

struct rg_val rg_text(struct rg_heap *heap, const char *text)
{
    return rg_string(heap, mln_bytes_of(text));
}

struct rg_val rg_string_buf(struct rg_heap *heap, struct mln_buf *buf)
{
    struct rg_val v = rg_string(heap, mln_buf_bytes(buf));
    if (buf->has_failed) {
        (void)rg_try(heap, SIZE_MAX / 2); /* as one that does not fit */
    }
    mln_buf_drop(buf);
    return v;
}

struct rg_val rg_array(struct rg_heap *heap, uint32_t cap)
{
    struct rg_arr *a = rg_new(heap, sizeof(*a));
    *a = (struct rg_arr){0};
    if (cap > 0) {
        a->items = rg_try(heap, (size_t)cap * sizeof(*a->items));
        a->cap = a->items == NULL ? 0 : cap;
    }
    return (struct rg_val){.tag = RG_ARRAY, .arr = a};
}

void rg_weigh(struct rg_heap *heap, struct rg_val container, struct rg_val item)
{
    uint32_t weight = 1, depth = 0;
    if (item.tag == RG_ARRAY) {
        weight = item.arr->weight + 1;
        depth = item.arr->depth + 1;
    } else if (item.tag == RG_OBJECT || item.tag == RG_SET) {
        weight = item.map->weight + 1;
        depth = item.map->depth + 1;
    }
    uint32_t *w = container.tag == RG_ARRAY ? &container.arr->weight : &container.map->weight;
    uint32_t *d = container.tag == RG_ARRAY ? &container.arr->depth : &container.map->depth;
    *w = weight > RG_WEIGHT_MAX - *w ? RG_WEIGHT_MAX : *w + weight;
    *d = depth > *d ? depth : *d;
    if (*w >= RG_WEIGHT_MAX) {
        rg_heap_refuse(heap, "a value holds more than 134 million values");
    } else if (*d > MLN_REGO_JSON_DEPTH_MAX) {
        rg_heap_refuse(heap, "a value is nested too deep");
    }
}

void rg_push(struct rg_heap *heap, struct rg_val array, struct rg_val item)
{
    struct rg_arr *a = array.arr;
    if (a->len == a->cap) {
        uint32_t cap = a->cap < 4 ? 4 : a->cap * 2;
        struct rg_val *items =
            a->cap < UINT32_MAX / 2 ? rg_try(heap, (size_t)cap * sizeof(*items)) : NULL;
        if (items == NULL) {
            return;
        }
        mln_copy(items, a->items, a->len * sizeof(*items));
        a->items = items;
        a->cap = cap;
    }
    a->items[a->len++] = item;
    a->hash = 0;
    rg_weigh(heap, array, item);
}

/* A byte that is no UTF-8 counts as one, as in Go. */
static size_t count_runes(struct mln_bytes text)
{
    size_t n = 0, len = 1;
    for (size_t i = 0; i < text.len; i += len) {
        (void)rx_rune(text.ptr + i, text.len - i, &len);
        n++;
    }
    return n;
}

size_t rg_len(struct rg_val v)
{
    switch (v.tag) {
    case RG_STR:
        return count_runes(rg_bytes(v));
    case RG_ARRAY:
        return v.arr->len;
    case RG_OBJECT:
    case RG_SET:
        return v.map->len;
    default:
        return 0;
    }
}

struct rg_val rg_item(struct rg_val v, size_t i)
{
    return i < v.arr->len ? v.arr->items[i] : RG_NONE;
}

struct rg_val rg_get(struct rg_val from, struct rg_val key)
{
    if (from.tag != RG_ARRAY) {
        return from.tag == RG_OBJECT || from.tag == RG_SET ? rg_map_find(from.map, key) : RG_NONE;
    }
    int64_t i = 0;
    if (key.tag == RG_INT) {
        i = key.integer;
    } else if (key.tag != RG_BIG || !rg_num_int(key, &i)) {
        return RG_NONE;
    }
    return i >= 0 && i < (int64_t)from.arr->len ? from.arr->items[i] : RG_NONE;
}

static struct rg_val copy_map(struct rg_heap *heap, struct rg_val v)
{
    const struct rg_map *m = v.map;
    struct rg_val out = v.tag == RG_SET ? rg_set(heap, m->len) : rg_object(heap, m->len);
    for (uint32_t i = 0; i < m->len; i++) {
        rg_put(heap, out, rg_copy(heap, m->keys[i]),
               m->vals == NULL ? RG_NONE : rg_copy(heap, m->vals[i]));
    }
    return out;
}

struct rg_val rg_copy(struct rg_heap *heap, struct rg_val v)
{
    if (v.tag == RG_STR) {
        return rg_string(heap, rg_bytes(v));
    }
    if (v.tag == RG_BIG) {
        return rg_number(heap, mln_bytes_at(v.big->text, v.big->len));
    }
    if (v.tag == RG_OBJECT || v.tag == RG_SET) {
        return copy_map(heap, v);
    }
    if (v.tag != RG_ARRAY) {
        return v;
    }
    struct rg_val out = rg_array(heap, v.arr->len);
    for (uint32_t i = 0; i < v.arr->len; i++) {
        rg_push(heap, out, rg_copy(heap, v.arr->items[i]));
    }
    return out;
}

void rg_settle(struct rg_val v)
{
    if (v.tag == RG_ARRAY) {
        for (uint32_t i = 0; i < v.arr->len; i++) {
            rg_settle(v.arr->items[i]);
        }
    } else if (v.tag == RG_OBJECT || v.tag == RG_SET) {
        for (uint32_t i = 0; i < v.map->len; i++) {
            rg_settle(v.map->keys[i]);
            rg_settle(v.map->vals == NULL ? RG_NONE : v.map->vals[i]);
        }
        rg_sort_here(v);
    }
}

const char *rg_type_name(struct rg_val v)
{
    static const char *const names[] = {
        [RG_UNDEF] = "undefined", [RG_NULL] = "null",     [RG_BOOL] = "boolean",
        [RG_INT] = "number",      [RG_BIG] = "number",    [RG_STR] = "string",
        [RG_ARRAY] = "array",     [RG_OBJECT] = "object", [RG_SET] = "set",
        [RG_DOC] = "object"};
    return names[v.tag];
}
