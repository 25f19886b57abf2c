/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic, rounding, ranges, numbers from text. */
#include "rego/builtin_priv.h"

static bool two_numbers(struct rg_call *call, struct rg_val *a, struct rg_val *b)
{
    return rg_arg_number(call, 1, a) && rg_arg_number(call, 2, b);
}

static bool give(struct rg_call *call, struct rg_val v)
{
    return v.tag != RG_UNDEF ? rg_return(call, v) : rg_fail(call, "number too big");
}

static bool plus(struct rg_call *call)
{
    struct rg_val a, b;
    return two_numbers(call, &a, &b) && give(call, rg_num_add(call->heap, a, b));
}

static bool mul(struct rg_call *call)
{
    struct rg_val a, b;
    return two_numbers(call, &a, &b) && give(call, rg_num_mul(call->heap, a, b));
}

static struct rg_val difference(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    struct rg_val out = rg_set(heap, 0);
    for (uint32_t i = 0; i < a.map->len; i++) {
        if (!rg_has(b, a.map->keys[i])) {
            rg_add(heap, out, a.map->keys[i]);
        }
    }
    return out;
}

static bool minus(struct rg_call *call)
{
    struct rg_val a = call->args[0], b = call->args[1];
    if (a.tag == RG_SET && b.tag == RG_SET) {
        return rg_return(call, difference(call->heap, a, b));
    }
    if (rg_is_number(a) && rg_is_number(b)) {
        return give(call, rg_num_sub(call->heap, a, b));
    }
    if (!rg_is_number(a) && a.tag != RG_SET) {
        return rg_fail_operand(call, 1, "must be one of {number, set} but got %s", rg_type_name(a));
    }
    return rg_fail_type(call, 2, rg_is_number(a) ? "number" : "set");
}

static bool set_diff(struct rg_call *call)
{
    struct rg_val a, b;
    return rg_arg_tag(call, 1, RG_SET, &a) && rg_arg_tag(call, 2, RG_SET, &b) &&
           rg_return(call, difference(call->heap, a, b));
}

static bool divide(struct rg_call *call)
{
    struct rg_val a, b;
    if (!two_numbers(call, &a, &b)) {
        return false;
    }
    if (rg_num_cmp(b, rg_int(0)) == 0) {
        return rg_fail(call, "divide by zero");
    }
    return give(call, rg_num_div(call->heap, a, b));
}

static bool rem(struct rg_call *call)
{
    struct rg_val a, b;
    if (!two_numbers(call, &a, &b)) {
        return false;
    }
    if (!rg_num_is_int(a) || !rg_num_is_int(b)) {
        return rg_fail(call, "modulo on floating-point number");
    }
    if (rg_num_cmp(b, rg_int(0)) == 0) {
        return rg_fail(call, "modulo by zero");
    }
    return give(call, rg_num_rem(call->heap, a, b));
}

static bool absolute(struct rg_call *call)
{
    struct rg_val a;
    if (!rg_arg_number(call, 1, &a)) {
        return false;
    }
    return give(call, rg_num_abs(call->heap, a));
}

static bool ceiling(struct rg_call *call)
{
    struct rg_val a;
    return rg_arg_number(call, 1, &a) && give(call, rg_num_round(call->heap, a, 1));
}

static bool floor_(struct rg_call *call)
{
    struct rg_val a;
    return rg_arg_number(call, 1, &a) && give(call, rg_num_round(call->heap, a, -1));
}

static bool round_(struct rg_call *call)
{
    struct rg_val a;
    return rg_arg_number(call, 1, &a) && give(call, rg_num_round(call->heap, a, 0));
}

static bool whole(struct rg_call *call, uint32_t pos, struct rg_val *ret)
{
    return rg_arg_number(call, pos, ret) &&
           (rg_num_is_int(*ret) ||
            rg_fail_operand(call, pos, "must be integer number but got floating-point number"));
}

/* Both ends belong to it. */
static bool make_range(struct rg_call *call, struct rg_val a, struct rg_val b, struct rg_val by)
{
    struct rg_heap *heap = call->heap;
    struct rg_val out = rg_array(heap, 0);
    bool up = rg_num_cmp(a, b) <= 0;
    for (struct rg_val i = a;
         i.tag != RG_UNDEF && (up ? rg_num_cmp(i, b) <= 0 : rg_num_cmp(i, b) >= 0);) {
        if (!rg_spend(call->vm, 1)) {
            return true;
        }
        rg_push(heap, out, i);
        i = up ? rg_num_add(heap, i, by) : rg_num_sub(heap, i, by);
    }
    return rg_return(call, out);
}

static bool range(struct rg_call *call)
{
    struct rg_val a, b;
    return whole(call, 1, &a) && whole(call, 2, &b) && make_range(call, a, b, rg_int(1));
}

static bool range_step(struct rg_call *call)
{
    struct rg_val a, b, by;
    if (!whole(call, 1, &a) || !whole(call, 2, &b) || !whole(call, 3, &by)) {
        return false;
    }
    if (rg_num_cmp(by, rg_int(0)) <= 0) {
        return rg_fail(call, "step must be a positive integer");
    }
    return make_range(call, a, b, by);
}

/* Go's ParseFloat without hexadecimal, infinities and underscores. */
static bool is_number_text(struct mln_bytes t)
{
    size_t i = t.len > 0 && (t.ptr[0] == '-' || t.ptr[0] == '+'), digits = 0;
    for (; i < t.len && t.ptr[i] >= '0' && t.ptr[i] <= '9'; i++) {
        digits++;
    }
    if (i < t.len && t.ptr[i] == '.') {
        for (i++; i < t.len && t.ptr[i] >= '0' && t.ptr[i] <= '9'; i++) {
            digits++;
        }
    }
    if (digits == 0) {
        return false;
    }
    if (i < t.len && (t.ptr[i] | 32) == 'e') {
        i++;
        if (i < t.len && (t.ptr[i] == '-' || t.ptr[i] == '+')) {
            i++;
        }
        size_t from = i;
        while (i < t.len && t.ptr[i] >= '0' && t.ptr[i] <= '9') {
            i++;
        }
        return i == t.len && i > from;
    }
    return i == t.len;
}

static bool is_no_number(struct mln_bytes t)
{
    t = t.len > 0 && (t.ptr[0] == '-' || t.ptr[0] == '+') ? mln_bytes_from(t, 1) : t;
    return mln_bytes_is_nocase(t, "inf") || mln_bytes_is_nocase(t, "infinity") ||
           mln_bytes_is_nocase(t, "nan");
}

static bool to_number(struct rg_call *call)
{
    struct rg_val v = call->args[0];
    if (v.tag == RG_NULL) {
        return rg_return(call, rg_int(0));
    }
    if (v.tag == RG_BOOL) {
        return rg_return(call, rg_int(v.integer));
    }
    if (rg_is_number(v)) {
        return rg_return(call, v);
    }
    if (v.tag != RG_STR) {
        return rg_fail_operand(call, 1, "must be one of {null, boolean, number, string} but got %s",
                               rg_type_name(v));
    }
    if (is_no_number(rg_bytes(v))) {
        return rg_fail_operand(call, 1, "must be valid number string");
    }
    if (!is_number_text(rg_bytes(v)) || v.str->len > MLN_DECIMAL_DIGITS_MAX) {
        return rg_fail(call, "invalid syntax");
    }
    if (!rg_num_in_range(rg_bytes(v))) {
        return rg_fail(call, "invalid number: number too big");
    }
    return rg_return(call, rg_number(call->heap, rg_bytes(v)));
}

const struct rg_builtin rg_builtins_numbers[] = {
    {"plus", plus},
    {"minus", minus},
    {"mul", mul},
    {"div", divide},
    {"rem", rem},
    {"abs", absolute},
    {"ceil", ceiling},
    {"floor", floor_},
    {"round", round_},
    {"set_diff", set_diff},
    {"numbers.range", range},
    {"numbers.range_step", range_step},
    {"to_number", to_number},
    {NULL, NULL},
};
