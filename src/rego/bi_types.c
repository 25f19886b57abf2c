/* SPDX-License-Identifier: Apache-2.0 */
/* Types: asked for, named, and the casts of v0. */
#include "rego/builtin_priv.h"

#define IS(name, condition)                                                                        \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        struct rg_val v = call->args[0];                                                           \
        return rg_return(call, rg_bool(condition));                                                \
    }
IS(is_null, v.tag == RG_NULL)
IS(is_boolean, v.tag == RG_BOOL)
IS(is_number, rg_is_number(v))
IS(is_string, v.tag == RG_STR)
IS(is_array, v.tag == RG_ARRAY)
IS(is_object, v.tag == RG_OBJECT)
IS(is_set, v.tag == RG_SET)

static bool type_name(struct rg_call *call)
{
    return rg_return(call, rg_text(call->heap, rg_type_name(call->args[0])));
}

#define CAST(name, wanted)                                                                         \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        struct rg_val v;                                                                           \
        return rg_arg_tag(call, 1, wanted, &v) && rg_return(call, v);                              \
    }
CAST(cast_null, RG_NULL)
CAST(cast_boolean, RG_BOOL)
CAST(cast_string, RG_STR)
CAST(cast_object, RG_OBJECT)

static bool cast_array(struct rg_call *call)
{
    struct rg_val v = call->args[0];
    if (v.tag == RG_ARRAY) {
        return rg_return(call, v);
    }
    if (v.tag != RG_SET) {
        return rg_fail_operand(call, 1, "must be one of {array, set} but got %s", rg_type_name(v));
    }
    struct rg_val out = rg_array(call->heap, v.map->len);
    for (uint32_t i = 0; i < v.map->len; i++) {
        rg_push(call->heap, out, rg_key_at(v, i));
    }
    return rg_return(call, out);
}

static bool cast_set(struct rg_call *call)
{
    struct rg_val v = call->args[0];
    if (v.tag == RG_SET) {
        return rg_return(call, v);
    }
    if (v.tag != RG_ARRAY) {
        return rg_fail_operand(call, 1, "must be one of {array, set} but got %s", rg_type_name(v));
    }
    struct rg_val out = rg_set(call->heap, v.arr->len);
    for (uint32_t i = 0; i < v.arr->len; i++) {
        rg_add(call->heap, out, v.arr->items[i]);
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_types[] = {
    {"is_null", is_null},
    {"is_boolean", is_boolean},
    {"is_number", is_number},
    {"is_string", is_string},
    {"is_array", is_array},
    {"is_object", is_object},
    {"is_set", is_set},
    {"type_name", type_name},
    {"cast_null", cast_null},
    {"cast_boolean", cast_boolean},
    {"cast_string", cast_string},
    {"cast_object", cast_object},
    {"cast_array", cast_array},
    {"cast_set", cast_set},
    {NULL, NULL},
};
