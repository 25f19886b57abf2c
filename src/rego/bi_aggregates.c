/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a whole collection: count, sum, least and greatest, sorted, all, any. */
#include "rego/builtin_priv.h"

/* The items of an array or set; false after an error. */
static bool items_of(struct rg_call *call, const struct rg_val **ret_items, size_t *ret_n)
{
    struct rg_val v = call->args[0];
    if (v.tag == RG_ARRAY) {
        *ret_items = v.arr->items;
        *ret_n = v.arr->len;
    } else if (v.tag == RG_SET) {
        rg_sort(v);
        *ret_items = v.map->keys;
        *ret_n = v.map->len;
    } else {
        return rg_fail_operand(call, 1, "must be one of {set, array} but got %s", rg_type_name(v));
    }
    return rg_spend(call->vm, *ret_n / 16);
}

static bool count(struct rg_call *call)
{
    struct rg_val v = call->args[0];
    if (v.tag != RG_ARRAY && v.tag != RG_OBJECT && v.tag != RG_SET && v.tag != RG_STR) {
        return rg_fail_operand(call, 1, "must be one of {array, object, set, string} but got %s",
                               rg_type_name(v));
    }
    return rg_return(call, rg_int((int64_t)rg_len(v)));
}

static bool fold(struct rg_call *call, struct rg_val out,
                 struct rg_val (*join)(struct rg_heap *, struct rg_val, struct rg_val))
{
    const struct rg_val *items = NULL;
    size_t n = 0;
    if (!items_of(call, &items, &n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!rg_is_number(items[i])) {
            return rg_fail_operand(call, 1, "must be %s of numbers but got %s containing %s",
                                   call->args[0].tag == RG_SET ? "set" : "array",
                                   rg_type_name(call->args[0]), rg_type_name(items[i]));
        }
        out = join(call->heap, out, items[i]);
        if (out.tag == RG_UNDEF) {
            return rg_fail(call, "number too big");
        }
    }
    return rg_return(call, out);
}

static bool sum(struct rg_call *call)
{
    return fold(call, rg_int(0), rg_num_add);
}

static bool product(struct rg_call *call)
{
    return fold(call, rg_int(1), rg_num_mul);
}

static bool extreme(struct rg_call *call, int sign)
{
    const struct rg_val *items = NULL;
    size_t n = 0;
    if (!items_of(call, &items, &n)) {
        return false;
    }
    struct rg_val best = RG_NONE;
    for (size_t i = 0; i < n; i++) {
        if (best.tag == RG_UNDEF || rg_cmp(items[i], best) * sign > 0) {
            best = items[i];
        }
    }
    return rg_return(call, best);
}

static bool max(struct rg_call *call)
{
    return extreme(call, 1);
}

static bool min(struct rg_call *call)
{
    return extreme(call, -1);
}

static bool sort(struct rg_call *call)
{
    const struct rg_val *items = NULL;
    size_t n = 0;
    if (!items_of(call, &items, &n)) {
        return false;
    }
    struct rg_val out = rg_array(call->heap, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        rg_push(call->heap, out, items[i]);
    }
    if (call->args[0].tag == RG_ARRAY && rg_spend(call->vm, n)) {
        rg_sort_items(out.arr->items, out.arr->len);
    }
    return rg_return(call, out);
}

static bool all(struct rg_call *call)
{
    const struct rg_val *items = NULL;
    size_t n = 0;
    if (!items_of(call, &items, &n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (items[i].tag != RG_BOOL || items[i].integer == 0) {
            return rg_return(call, rg_bool(false));
        }
    }
    return rg_return(call, rg_bool(true));
}

static bool any(struct rg_call *call)
{
    const struct rg_val *items = NULL;
    size_t n = 0;
    if (!items_of(call, &items, &n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (items[i].tag == RG_BOOL && items[i].integer != 0) {
            return rg_return(call, rg_bool(true));
        }
    }
    return rg_return(call, rg_bool(false));
}

const struct rg_builtin rg_builtins_aggregates[] = {
    {"count", count}, {"sum", sum}, {"product", product}, {"max", max}, {"min", min},
    {"sort", sort},   {"all", all}, {"any", any},         {NULL, NULL},
};
