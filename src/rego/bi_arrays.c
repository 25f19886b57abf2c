/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays: joined, cut, turned round, flattened. */
#include "rego/builtin_priv.h"

static struct rg_val part(struct rg_call *call, struct rg_val from, int64_t lo, int64_t hi)
{
    struct rg_val out = rg_array(call->heap, hi > lo ? (uint32_t)(hi - lo) : 0);
    for (int64_t i = lo; i < hi; i++) {
        rg_push(call->heap, out, from.arr->items[i]);
    }
    return out;
}

static bool concat(struct rg_call *call)
{
    struct rg_val a, b;
    if (!rg_arg_tag(call, 1, RG_ARRAY, &a) || !rg_arg_tag(call, 2, RG_ARRAY, &b)) {
        return false;
    }
    struct rg_val out = rg_array(call->heap, a.arr->len + b.arr->len);
    for (uint32_t i = 0; i < a.arr->len; i++) {
        rg_push(call->heap, out, a.arr->items[i]);
    }
    for (uint32_t i = 0; i < b.arr->len; i++) {
        rg_push(call->heap, out, b.arr->items[i]);
    }
    return rg_return(call, out);
}

static bool slice(struct rg_call *call)
{
    struct rg_val a;
    int64_t lo = 0, hi = 0;
    if (!rg_arg_tag(call, 1, RG_ARRAY, &a) || !rg_arg_int(call, 2, &lo) ||
        !rg_arg_int(call, 3, &hi)) {
        return false;
    }
    int64_t n = a.arr->len;
    lo = lo < 0 ? 0 : lo > n ? n : lo;
    hi = hi < lo ? lo : hi > n ? n : hi;
    return rg_return(call, part(call, a, lo, hi));
}

static bool reverse(struct rg_call *call)
{
    struct rg_val a;
    if (!rg_arg_tag(call, 1, RG_ARRAY, &a)) {
        return false;
    }
    struct rg_val out = rg_array(call->heap, a.arr->len);
    for (uint32_t i = a.arr->len; i > 0; i--) {
        rg_push(call->heap, out, a.arr->items[i - 1]);
    }
    return rg_return(call, out);
}

/* One level: arrays in the array give their items. */
static bool flatten(struct rg_call *call)
{
    struct rg_val a, out = rg_array(call->heap, 0);
    if (!rg_arg_tag(call, 1, RG_ARRAY, &a)) {
        return false;
    }
    for (uint32_t i = 0; i < a.arr->len; i++) {
        struct rg_val v = a.arr->items[i];
        for (uint32_t k = 0; v.tag == RG_ARRAY && k < v.arr->len; k++) {
            rg_push(call->heap, out, v.arr->items[k]);
        }
        if (v.tag != RG_ARRAY) {
            rg_push(call->heap, out, v);
        }
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_arrays[] = {
    {"array.concat", concat},   {"array.slice", slice}, {"array.reverse", reverse},
    {"array.flatten", flatten}, {NULL, NULL},
};
