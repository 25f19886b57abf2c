/* SPDX-License-Identifier: Apache-2.0 */
/* OPA's total order, equality and hashes. The depth of values is bounded where they are made (JSON's reader, the compiler). */
#include "rego/val_priv.h"

static int cmp_bytes(const struct rg_str *a, const struct rg_str *b)
{
    int c = mln_compare(a->text, b->text, a->len < b->len ? a->len : b->len);
    return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

static int cmp_arrays(const struct rg_arr *a, const struct rg_arr *b)
{
    for (uint32_t i = 0; i < a->len && i < b->len; i++) {
        int c = rg_cmp(a->items[i], b->items[i]);
        if (c != 0) {
            return c;
        }
    }
    return (a->len > b->len) - (a->len < b->len);
}

static int cmp_maps(struct rg_val a, struct rg_val b)
{
    rg_sort(a);
    rg_sort(b);
    const struct rg_map *x = a.map, *y = b.map;
    for (uint32_t i = 0; i < x->len && i < y->len; i++) {
        int c = rg_cmp(x->keys[i], y->keys[i]);
        if (c == 0 && a.tag == RG_OBJECT) {
            c = rg_cmp(x->vals[i], y->vals[i]);
        }
        if (c != 0) {
            return c;
        }
    }
    return (x->len > y->len) - (x->len < y->len);
}

static int rank(struct rg_val v)
{
    return v.tag == RG_BIG ? RG_INT : v.tag;
}

int rg_cmp(struct rg_val a, struct rg_val b)
{
    if (rank(a) != rank(b)) {
        return rank(a) < rank(b) ? -1 : 1;
    }
    switch (a.tag) {
    case RG_BOOL:
        return (a.integer > b.integer) - (a.integer < b.integer);
    case RG_INT:
    case RG_BIG:
        if (a.tag == RG_INT && b.tag == RG_INT) {
            return (a.integer > b.integer) - (a.integer < b.integer);
        }
        return rg_num_cmp(a, b);
    case RG_STR:
        return a.str == b.str ? 0 : cmp_bytes(a.str, b.str);
    case RG_ARRAY:
        return a.arr == b.arr ? 0 : cmp_arrays(a.arr, b.arr);
    case RG_OBJECT:
    case RG_SET:
        return a.map == b.map ? 0 : cmp_maps(a, b);
    default:
        return 0;
    }
}

static bool eq_maps(struct rg_val a, struct rg_val b)
{
    const struct rg_map *x = a.map, *y = b.map;
    if (x == y) {
        return true;
    }
    if (x->len != y->len) {
        return false;
    }
    for (uint32_t i = 0; i < x->len; i++) {
        struct rg_val other = rg_map_find(y, x->keys[i]);
        if (other.tag == RG_UNDEF || (a.tag == RG_OBJECT && !rg_eq(x->vals[i], other))) {
            return false;
        }
    }
    return true;
}

static bool eq_arrays(const struct rg_arr *a, const struct rg_arr *b)
{
    if (a->len != b->len) {
        return false;
    }
    for (uint32_t i = 0; i < a->len; i++) {
        if (!rg_eq(a->items[i], b->items[i])) {
            return false;
        }
    }
    return true;
}

bool rg_eq(struct rg_val a, struct rg_val b)
{
    if (a.tag != b.tag) {
        return rg_is_number(a) && rg_is_number(b) && rg_num_cmp(a, b) == 0;
    }
    switch (a.tag) {
    case RG_BOOL:
    case RG_INT:
        return a.integer == b.integer;
    case RG_BIG:
        return rg_num_cmp(a, b) == 0;
    case RG_STR:
        return rg_same_string(a, b);
    case RG_ARRAY:
        return a.arr == b.arr || eq_arrays(a.arr, b.arr);
    case RG_OBJECT:
    case RG_SET:
        return eq_maps(a, b);
    default:
        return true;
    }
}

static uint32_t mix(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

static uint32_t hash_number(struct rg_val v)
{
    double d = v.tag == RG_INT ? (double)v.integer : rg_num_to_double(v);
    d += 0.0; /* of the two zeros one */
    return rg_hash_bytes(&d, sizeof(d));
}

/* Of maps the order does not count: sums. */
static uint32_t hash_map(struct rg_val v)
{
    uint32_t h = v.map->len;
    for (uint32_t i = 0; i < v.map->len; i++) {
        uint32_t k = rg_hash(v.map->keys[i]);
        h += mix(k + (v.tag == RG_OBJECT ? 31 * rg_hash(v.map->vals[i]) : 7));
    }
    return mix(h + v.tag);
}

static uint32_t hash_array(const struct rg_arr *a)
{
    uint32_t h = RG_ARRAY;
    for (uint32_t i = 0; i < a->len; i++) {
        h = mix(h * 31 + rg_hash(a->items[i]));
    }
    return h;
}

/* Kept in the container: readers of shared values write the same number, so the order does not matter. */
static uint32_t hash_container(struct rg_val v)
{
    uint32_t *kept = v.tag == RG_ARRAY ? &v.arr->hash : &v.map->hash;
    uint32_t h = __atomic_load_n(kept, __ATOMIC_RELAXED);
    if (h == 0) {
        h = v.tag == RG_ARRAY ? hash_array(v.arr) : hash_map(v);
        h = h == 0 ? 1 : h;
        __atomic_store_n(kept, h, __ATOMIC_RELAXED);
    }
    return h;
}

uint32_t rg_hash(struct rg_val v)
{
    uint32_t h = v.tag;
    switch (v.tag) {
    case RG_STR:
        return v.hash;
    case RG_INT:
        if (v.integer > -(INT64_C(1) << 31) && v.integer < (INT64_C(1) << 31)) {
            return mix((uint32_t)(int32_t)v.integer);
        }
        return hash_number(v);
    case RG_BIG: {
        int64_t i = 0;
        return rg_num_int(v, &i) ? rg_hash(rg_int(i)) : hash_number(v);
    }
    case RG_ARRAY:
    case RG_OBJECT:
    case RG_SET:
        return hash_container(v);
    default:
        return mix(h + (uint32_t)v.integer);
    }
}
