/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and sets: arrays of keys and values in the order of insertion, with an index of hashes from 9 keys on. */
#include "rego/val_priv.h"

#define SCAN_MOST 8 /* keys that are compared one by one */

static struct rg_map *map_new(struct rg_heap *heap, uint32_t cap, bool is_set)
{
    struct rg_map *m = rg_new(heap, sizeof(*m));
    *m = (struct rg_map){.heap = heap, .is_sorted = true};
    if (cap > 0) {
        size_t n = (size_t)cap * sizeof(struct rg_val);
        struct rg_val *both = rg_try(heap, is_set ? n : 2 * n);
        m->keys = both;
        m->vals = is_set || both == NULL ? NULL : both + cap;
        m->cap = both == NULL ? 0 : cap;
    }
    return m;
}

struct rg_val rg_object(struct rg_heap *heap, uint32_t cap)
{
    /* an object is told from a set by vals, so it has room from the start */
    return (struct rg_val){.tag = RG_OBJECT, .map = map_new(heap, cap == 0 ? 2 : cap, false)};
}

struct rg_val rg_set(struct rg_heap *heap, uint32_t cap)
{
    return (struct rg_val){.tag = RG_SET, .map = map_new(heap, cap, true)};
}

static bool same_key(struct rg_val a, struct rg_val b)
{
    return a.tag == RG_STR && b.tag == RG_STR ? rg_same_string(a, b) : rg_eq(a, b);
}

/* position + 1, 0 when absent */
static uint32_t scan(const struct rg_map *m, struct rg_val key)
{
    for (uint32_t i = 0; i < m->len; i++) {
        if (same_key(m->keys[i], key)) {
            return i + 1;
        }
    }
    return 0;
}

static uint32_t scan_text(const struct rg_map *m, struct rg_val key)
{
    for (uint32_t i = 0; i < m->len; i++) {
        const struct rg_val *k = &m->keys[i];
        if (k->hash == key.hash && k->tag == RG_STR && rg_same_string(*k, key)) {
            return i + 1;
        }
    }
    return 0;
}

static uint32_t find(const struct rg_map *m, struct rg_val key)
{
    if (m->index == NULL) {
        return key.tag == RG_STR ? scan_text(m, key) : scan(m, key);
    }
    uint32_t at = rg_hash(key) & m->mask;
    while (m->index[at] != 0) {
        uint32_t i = m->index[at];
        if (same_key(m->keys[i - 1], key)) {
            return i;
        }
        at = (at + 1) & m->mask;
    }
    return 0;
}

static void index_add(struct rg_map *m, uint32_t position)
{
    uint32_t at = rg_hash(m->keys[position]) & m->mask;
    while (m->index[at] != 0) {
        at = (at + 1) & m->mask;
    }
    m->index[at] = position + 1;
}

static bool index_build(struct rg_heap *heap, struct rg_map *m, uint32_t slots)
{
    uint32_t *index = rg_try(heap, (size_t)slots * sizeof(*index));
    if (index == NULL) {
        return false;
    }
    mln_fill(index, 0, (size_t)slots * sizeof(*index));
    m->index = index;
    m->mask = slots - 1;
    for (uint32_t i = 0; i < m->len; i++) {
        index_add(m, i);
    }
    return true;
}

static bool grow(struct rg_heap *heap, struct rg_map *m, bool is_set)
{
    if (m->cap >= UINT32_MAX / 8) {
        (void)rg_try(heap, SIZE_MAX / 2);
        return false;
    }
    uint32_t cap = m->cap < 4 ? 4 : m->cap * 2;
    size_t n = (size_t)cap * sizeof(struct rg_val);
    struct rg_val *both = rg_try(heap, is_set ? n : 2 * n);
    if (both == NULL) {
        return false;
    }
    mln_copy(both, m->keys, m->len * sizeof(*both));
    if (!is_set) {
        mln_copy(both + cap, m->vals, m->len * sizeof(*both));
        m->vals = both + cap;
    }
    m->keys = both;
    m->cap = cap;
    return true;
}

void rg_put(struct rg_heap *heap, struct rg_val map, struct rg_val key, struct rg_val val)
{
    struct rg_map *m = map.map;
    bool is_set = map.tag == RG_SET;
    uint32_t at = find(m, key);
    if (at != 0) {
        if (!is_set) {
            m->vals[at - 1] = val;
            m->hash = 0;
            rg_weigh(heap, map, val);
        }
        return;
    }
    if (m->len == m->cap && !grow(heap, m, is_set)) {
        return;
    }
    m->keys[m->len] = key;
    if (!is_set) {
        m->vals[m->len] = val;
    }
    m->len++;
    m->is_sorted = m->len == 1;
    m->hash = 0;
    rg_weigh(heap, map, key);
    rg_weigh(heap, map, val);
    if (m->index != NULL && m->len * 2 <= m->mask + 1) {
        index_add(m, m->len - 1);
    } else if (m->len > SCAN_MOST) {
        uint32_t slots = 32;
        while (slots < m->len * 4) {
            slots *= 2;
        }
        if (!index_build(heap, m, slots)) {
            m->len--;
        }
    }
}

void rg_put_text(struct rg_heap *heap, struct rg_val object, const char *key, struct rg_val val)
{
    rg_put(heap, object, rg_text(heap, key), val);
}

void rg_add(struct rg_heap *heap, struct rg_val set, struct rg_val item)
{
    rg_put(heap, set, item, RG_NONE);
}

struct rg_val rg_map_find(const struct rg_map *m, struct rg_val key)
{
    uint32_t at = find(m, key);
    if (at == 0) {
        return RG_NONE;
    }
    return m->vals == NULL ? m->keys[at - 1] : m->vals[at - 1];
}

struct rg_val rg_get_text(struct rg_val object, const char *key)
{
    size_t n = mln_bytes_of(key).len;
    for (uint32_t i = 0; object.tag == RG_OBJECT && i < object.map->len; i++) {
        struct rg_val k = object.map->keys[i];
        if (k.tag == RG_STR && k.str->len == n && mln_same(k.str->text, key, n)) {
            return object.map->vals[i];
        }
    }
    return RG_NONE;
}

bool rg_has(struct rg_val v, struct rg_val key)
{
    return (v.tag == RG_OBJECT || v.tag == RG_SET) && find(v.map, key) != 0;
}

/* Bottom-up would need the same room; this one is stable and has no bad case. */
static void merge_sort(const struct rg_val *keys, uint32_t *order, uint32_t *spare, uint32_t n)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t lo = 0; lo < n; lo += 2 * width) {
            uint32_t mid = lo + width < n ? lo + width : n,
                     hi = lo + 2 * width < n ? lo + 2 * width : n;
            uint32_t i = lo, j = mid, k = lo;
            while (i < mid && j < hi) {
                spare[k++] = rg_cmp(keys[order[j]], keys[order[i]]) < 0 ? order[j++] : order[i++];
            }
            mln_copy(spare + k, order + i, (mid - i) * sizeof(*spare));
            k += mid - i;
            mln_copy(spare + k, order + j, (hi - j) * sizeof(*spare));
        }
        uint32_t *was = order; /* n is small or the copy is cheap beside the comparisons */
        mln_copy(was, spare, n * sizeof(*spare));
    }
}

static void permute(struct rg_val *items, const uint32_t *order, struct rg_val *spare, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        spare[i] = items[order[i]];
    }
    mln_copy(items, spare, n * sizeof(*items));
}

static bool in_order(const struct rg_val *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (rg_cmp(items[i - 1], items[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* Few keys: insertion, in place. */
static void sort_few(struct rg_val *keys, struct rg_val *vals, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct rg_val k = keys[i], v = vals == NULL ? RG_NONE : vals[i];
        uint32_t j = i;
        for (; j > 0 && rg_cmp(keys[j - 1], k) > 0; j--) {
            keys[j] = keys[j - 1];
            if (vals != NULL) {
                vals[j] = vals[j - 1];
            }
        }
        keys[j] = k;
        if (vals != NULL) {
            vals[j] = v;
        }
    }
}

static void sort_both(struct rg_val *keys, struct rg_val *vals, uint32_t n)
{
    if (n <= 16) {
        sort_few(keys, vals, n);
        return;
    }
    uint8_t *room = mln_alloc(n * (2 * sizeof(uint32_t) + sizeof(struct rg_val)));
    MLN_CHECK(room != NULL); /* less than what holds the keys already */
    struct rg_val *spare = (struct rg_val *)(void *)room;
    uint32_t *order = (uint32_t *)(void *)(room + n * sizeof(struct rg_val));
    for (uint32_t i = 0; i < n; i++) {
        order[i] = i;
    }
    merge_sort(keys, order, order + n, n);
    if (vals != NULL) {
        permute(vals, order, spare, n);
    }
    permute(keys, order, spare, n);
    mln_free(room);
}

static void reindex(struct rg_map *m)
{
    if (m->index != NULL) {
        mln_fill(m->index, 0, ((size_t)m->mask + 1) * sizeof(*m->index));
        for (uint32_t i = 0; i < m->len; i++) {
            index_add(m, i);
        }
    }
}

/* The old arrays stay as they are: somebody may be walking over them. */
static bool copy_arrays(struct rg_map *m)
{
    struct rg_val *keys =
        rg_try(m->heap, (size_t)m->len * sizeof(*keys) * (m->vals == NULL ? 1 : 2));
    if (keys == NULL) {
        return false;
    }
    mln_copy(keys, m->keys, m->len * sizeof(*keys));
    if (m->vals != NULL) {
        mln_copy(keys + m->len, m->vals, m->len * sizeof(*keys));
        m->vals = keys + m->len;
    }
    m->keys = keys;
    m->cap = m->len;
    return true;
}

void rg_sort(struct rg_val map)
{
    struct rg_map *m = map.map;
    if (m->is_sorted) {
        return;
    }
    if (!in_order(m->keys, m->len)) {
        if (!copy_arrays(m)) {
            return;
        }
        sort_both(m->keys, m->vals, m->len);
        reindex(m);
    }
    m->is_sorted = true;
}

void rg_sort_here(struct rg_val map)
{
    struct rg_map *m = map.map;
    if (!m->is_sorted && !in_order(m->keys, m->len)) {
        sort_both(m->keys, m->vals, m->len);
        reindex(m);
    }
    m->is_sorted = true;
}

void rg_sort_items(struct rg_val *items, size_t n)
{
    if (!in_order(items, n)) {
        sort_both(items, NULL, (uint32_t)n);
    }
}

struct rg_val rg_key_at(struct rg_val v, size_t i)
{
    rg_sort(v);
    return i < v.map->len ? v.map->keys[i] : RG_NONE;
}

struct rg_val rg_val_at(struct rg_val v, size_t i)
{
    rg_sort(v);
    return i < v.map->len ? v.map->vals[i] : RG_NONE;
}
