/* SPDX-License-Identifier: Apache-2.0 */
/* Sets: & and |, and the same of many. */
#include "rego/builtin_priv.h"

static struct rg_val meet(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    struct rg_val out = rg_set(heap, 0);
    bool less = a.map->len <= b.map->len;
    struct rg_val few = less ? a : b, many = less ? b : a;
    for (uint32_t i = 0; i < few.map->len; i++) {
        if (rg_has(many, few.map->keys[i])) {
            rg_add(heap, out, few.map->keys[i]);
        }
    }
    return out;
}

static void add_all(struct rg_heap *heap, struct rg_val to, struct rg_val from)
{
    for (uint32_t i = 0; i < from.map->len; i++) {
        rg_add(heap, to, from.map->keys[i]);
    }
}

static bool and_(struct rg_call *call)
{
    struct rg_val a, b;
    return rg_arg_tag(call, 1, RG_SET, &a) && rg_arg_tag(call, 2, RG_SET, &b) &&
           rg_return(call, meet(call->heap, a, b));
}

static bool or_(struct rg_call *call)
{
    struct rg_val a, b;
    if (!rg_arg_tag(call, 1, RG_SET, &a) || !rg_arg_tag(call, 2, RG_SET, &b)) {
        return false;
    }
    struct rg_val out = rg_set(call->heap, a.map->len + b.map->len);
    add_all(call->heap, out, a);
    add_all(call->heap, out, b);
    return rg_return(call, out);
}

static bool set_of_sets(struct rg_call *call, struct rg_val *ret)
{
    if (!rg_arg_tag(call, 1, RG_SET, ret)) {
        return false;
    }
    for (uint32_t i = 0; i < ret->map->len; i++) {
        if (ret->map->keys[i].tag != RG_SET) {
            return rg_fail_operand(call, 1, "must be set of sets but got set containing %s",
                                   rg_type_name(ret->map->keys[i]));
        }
    }
    return true;
}

static bool union_(struct rg_call *call)
{
    struct rg_val sets, out = rg_set(call->heap, 0);
    if (!set_of_sets(call, &sets)) {
        return false;
    }
    for (uint32_t i = 0; i < sets.map->len; i++) {
        add_all(call->heap, out, sets.map->keys[i]);
    }
    return rg_return(call, out);
}

static bool intersection(struct rg_call *call)
{
    struct rg_val sets;
    if (!set_of_sets(call, &sets)) {
        return false;
    }
    struct rg_val out = sets.map->len > 0 ? sets.map->keys[0] : rg_set(call->heap, 0);
    for (uint32_t i = 1; i < sets.map->len; i++) {
        out = meet(call->heap, out, sets.map->keys[i]);
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_sets[] = {
    {"and", and_}, {"or", or_}, {"union", union_}, {"intersection", intersection}, {NULL, NULL},
};
