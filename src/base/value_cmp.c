/* SPDX-License-Identifier: Apache-2.0 */
/* Order, equality and deep copies of values. The order is OPA's, so that sets and sorted answers agree with Rego. */
#include "base/value.h"

#include <stdlib.h>
#include <string.h>

#include "base/value_priv.h"

#define CMP_DEPTH_MAX 256u   /* deeper values can only be built by code */
#define SORT_FEW_MAX 24u     /* members that insertion sorts faster */
#define SORT_ON_STACK_MAX 64 /* members; above, the order is allocated */

static int cmp_at(const struct mln_value *a, const struct mln_value *b, unsigned depth);

/* ---- sorted members ---- */

static int by_key(const void *a, const void *b)
{
    const struct mln_member *x = *(const struct mln_member *const *)a;
    const struct mln_member *y = *(const struct mln_member *const *)b;
    return mln_bytes_cmp(x->key, y->key);
}

/* Insertion: most objects have a few members, many of them in order already; the library's sort allocates. */
static void sort_few(const struct mln_value *v, const struct mln_member **order)
{
    for (size_t i = 0; i < v->len; i++) {
        const struct mln_member *m = &v->members[i];
        size_t at = i;
        while (at > 0 && mln_bytes_cmp(order[at - 1]->key, m->key) > 0) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = m;
    }
}

void mln_members_sort(const struct mln_value *v, const struct mln_member **order)
{
    if (v->len <= SORT_FEW_MAX) {
        sort_few(v, order);
        return;
    }
    bool is_sorted = true;
    for (size_t i = 0; i < v->len; i++) {
        order[i] = &v->members[i];
        is_sorted = is_sorted && (i == 0 || mln_bytes_cmp(order[i - 1]->key, order[i]->key) < 0);
    }
    if (!is_sorted) {
        qsort(order, v->len, sizeof(order[0]), by_key);
    }
}

/* The member with the smallest key above `after` (any when NULL): for when there is no memory to sort. */
static const struct mln_member *member_after(const struct mln_value *v, const struct mln_member *after)
{
    const struct mln_member *best = NULL;
    for (size_t i = 0; i < v->len; i++) {
        const struct mln_member *m = &v->members[i];
        bool is_above = after == NULL || mln_bytes_cmp(m->key, after->key) > 0;
        if (is_above && (best == NULL || mln_bytes_cmp(m->key, best->key) < 0)) {
            best = m;
        }
    }
    return best;
}

static int member_cmp(const struct mln_member *a, const struct mln_member *b, unsigned depth)
{
    int order = mln_bytes_cmp(a->key, b->key);
    return order != 0 ? order : cmp_at(&a->value, &b->value, depth);
}

static int len_cmp(const struct mln_value *a, const struct mln_value *b)
{
    return (a->len > b->len) - (a->len < b->len);
}

static int object_cmp_slow(const struct mln_value *a, const struct mln_value *b, unsigned depth)
{
    const struct mln_member *x = NULL;
    const struct mln_member *y = NULL;
    for (size_t i = 0; i < a->len && i < b->len; i++) {
        x = member_after(a, x);
        y = member_after(b, y);
        int order = x != NULL && y != NULL ? member_cmp(x, y, depth) : 0;
        if (order != 0) {
            return order;
        }
    }
    return len_cmp(a, b);
}

static int object_cmp_in(const struct mln_value *a, const struct mln_value *b, unsigned depth,
                         const struct mln_member **x, const struct mln_member **y)
{
    mln_members_sort(a, x);
    mln_members_sort(b, y);
    for (size_t i = 0; i < a->len && i < b->len; i++) {
        int order = member_cmp(x[i], y[i], depth);
        if (order != 0) {
            return order;
        }
    }
    return len_cmp(a, b);
}

static int object_cmp(const struct mln_value *a, const struct mln_value *b, unsigned depth)
{
    size_t n = (size_t)a->len + b->len;
    if (n <= SORT_ON_STACK_MAX) {
        const struct mln_member *here[SORT_ON_STACK_MAX];
        return object_cmp_in(a, b, depth, here, here + a->len);
    }
    const struct mln_member **order = mln_alloc_array(n, sizeof(*order));
    if (order == NULL) {
        return object_cmp_slow(a, b, depth);
    }
    int got = object_cmp_in(a, b, depth, order, order + a->len);
    mln_free(order);
    return got;
}

/* ---- order ---- */

static int list_cmp(const struct mln_value *a, const struct mln_value *b, unsigned depth)
{
    for (size_t i = 0; i < a->len && i < b->len; i++) {
        int order = cmp_at(&a->items[i], &b->items[i], depth);
        if (order != 0) {
            return order;
        }
    }
    return len_cmp(a, b);
}

static int string_cmp(const struct mln_value *a, const struct mln_value *b)
{
    int order = mln_bytes_cmp(mln_get_bytes(a), mln_get_bytes(b));
    if (order != 0) {
        return order;
    }
    return (a->flags & MLN_VALUE_BYTES) - (b->flags & MLN_VALUE_BYTES);
}

static int cmp_at(const struct mln_value *a, const struct mln_value *b, unsigned depth)
{
    static const uint8_t rank[] = {
        [MLN_NULL] = 0,   [MLN_BOOL] = 1,  [MLN_INT] = 2,    [MLN_DECIMAL] = 2,
        [MLN_STRING] = 3, [MLN_ARRAY] = 4, [MLN_OBJECT] = 5, [MLN_SET] = 6,
    };
    MLN_CHECK(depth < CMP_DEPTH_MAX);
    enum mln_type type = mln_type_of(a);
    int by_type = rank[type] - rank[mln_type_of(b)];
    if (by_type != 0) {
        return by_type;
    }
    switch (type) {
    case MLN_NULL:
        return 0;
    case MLN_BOOL:
        return a->boolean - b->boolean;
    case MLN_INT:
    case MLN_DECIMAL:
        return mln_number_cmp(a, b);
    case MLN_STRING:
        return string_cmp(a, b);
    case MLN_ARRAY:
    case MLN_SET:
        return list_cmp(a, b, depth + 1);
    case MLN_OBJECT:
        return object_cmp(a, b, depth + 1);
    }
    return 0;
}

int mln_value_cmp(const struct mln_value *a, const struct mln_value *b)
{
    return cmp_at(a, b, 0);
}

/* ---- equality: objects by lookup, without sorting ---- */

static bool eq_at(const struct mln_value *a, const struct mln_value *b, unsigned depth)
{
    MLN_CHECK(depth < CMP_DEPTH_MAX);
    enum mln_type type = mln_type_of(a);
    if (type < MLN_ARRAY || type != mln_type_of(b)) {
        return cmp_at(a, b, depth) == 0;
    }
    if (a->len != b->len) {
        return false;
    }
    for (size_t i = 0; i < a->len; i++) {
        const struct mln_value *x = type == MLN_OBJECT ? &a->members[i].value : &a->items[i];
        const struct mln_value *y =
            type == MLN_OBJECT ? mln_get_key(b, a->members[i].key) : &b->items[i];
        if (y == NULL || !eq_at(x, y, depth + 1)) {
            return false;
        }
    }
    return true;
}

bool mln_value_eq(const struct mln_value *a, const struct mln_value *b)
{
    return eq_at(a, b, 0);
}

/* ---- copies ---- */

static bool dup_into(struct mln_cx *cx, const struct mln_value *v, struct mln_value *to, unsigned depth);

static bool dup_list(struct mln_cx *cx, const struct mln_value *v, struct mln_value *to, unsigned depth)
{
    to->items = mln_new_array(cx, v->len, sizeof(*to->items));
    bool fits = to->items != NULL;
    for (size_t i = 0; fits && i < v->len; i++) {
        fits = dup_into(cx, &v->items[i], &to->items[i], depth + 1);
    }
    return fits;
}

static bool dup_object(struct mln_cx *cx, const struct mln_value *v, struct mln_value *to, unsigned depth)
{
    to->members = v->len != 0 ? mln_members_new(cx, v->len) : NULL;
    bool fits = v->len == 0 || to->members != NULL;
    for (size_t i = 0; fits && i < v->len; i++) {
        to->members[i].key = mln_bytes_dup(cx, v->members[i].key);
        fits = to->members[i].key.ptr != NULL &&
               dup_into(cx, &v->members[i].value, &to->members[i].value, depth + 1);
    }
    size_t twice;
    return fits && (v->len == 0 || mln_members_seal(cx, to, &twice));
}

static bool dup_into(struct mln_cx *cx, const struct mln_value *v, struct mln_value *to, unsigned depth)
{
    if (depth >= CMP_DEPTH_MAX) {
        (void)mln_fail(cx, MLN_E_TOO_LARGE, "too large: nested deeper than %u", CMP_DEPTH_MAX);
        return false;
    }
    *to = *v;
    to->spare = 0;
    switch (mln_type_of(v)) {
    case MLN_NULL:
    case MLN_BOOL:
    case MLN_INT:
        return true;
    case MLN_DECIMAL:
    case MLN_STRING:
        to->text = mln_bytes_dup(cx, mln_bytes_at(v->text, v->len)).ptr;
        return to->text != NULL;
    case MLN_ARRAY:
    case MLN_SET:
        return dup_list(cx, v, to, depth);
    case MLN_OBJECT:
        return dup_object(cx, v, to, depth);
    }
    return false;
}

struct mln_value *mln_value_dup(struct mln_cx *cx, const struct mln_value *v)
{
    struct mln_value *copy = mln_null(cx);
    struct mln_value got = {.type = MLN_NULL};
    if (v == NULL || mln_failed(mln_cx_err(cx)) || !dup_into(cx, v, &got, 0)) {
        return copy;
    }
    *copy = got;
    return copy;
}
