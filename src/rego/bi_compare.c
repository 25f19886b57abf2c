/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons, as values: in bodies they are instructions. */
#include "rego/builtin_priv.h"

#define COMPARE(name, condition)                                                                   \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        struct rg_val a = call->args[0], b = call->args[1];                                        \
        return rg_return(call, rg_bool(condition));                                                \
    }
COMPARE(compare_eq, rg_eq(a, b))
COMPARE(compare_neq, !rg_eq(a, b))
COMPARE(compare_lt, rg_cmp(a, b) < 0)
COMPARE(compare_lte, rg_cmp(a, b) <= 0)
COMPARE(compare_gt, rg_cmp(a, b) > 0)
COMPARE(compare_gte, rg_cmp(a, b) >= 0)

static bool has_value(struct rg_val item, struct rg_val in)
{
    if (in.tag == RG_SET) {
        return rg_has(in, item);
    }
    size_t n = in.tag == RG_ARRAY || in.tag == RG_OBJECT ? rg_len(in) : 0;
    for (size_t i = 0; i < n; i++) {
        if (rg_eq(item, in.tag == RG_ARRAY ? in.arr->items[i] : in.map->vals[i])) {
            return true;
        }
    }
    return false;
}

static bool member_2(struct rg_call *call)
{
    return rg_return(call, rg_bool(has_value(call->args[0], call->args[1])));
}

static bool member_3(struct rg_call *call)
{
    struct rg_val in = call->args[2], v = rg_get(in, call->args[0]);
    return rg_return(call, rg_bool(v.tag != RG_UNDEF && rg_eq(v, call->args[1])));
}

const struct rg_builtin rg_builtins_compare[] = {
    {"equal", compare_eq},
    {"eq", compare_eq},
    {"assign", compare_eq},
    {"neq", compare_neq},
    {"lt", compare_lt},
    {"lte", compare_lte},
    {"gt", compare_gt},
    {"gte", compare_gte},
    {"internal.member_2", member_2},
    {"internal.member_3", member_3},
    {NULL, NULL},
};
