/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of builtins, and what all builtins do with their operands. */
#include "rego/builtin_priv.h"

#include <stdio.h>

static const struct rg_decl decls[] = {
#define RG_DECL(name, args, result, arity, flags, infix) {name, args, result, arity, flags, infix},
#include "rego/decl.def"
#undef RG_DECL
};

#define RG_CATEGORY(name) extern const struct rg_builtin rg_builtins_##name[];
#include "rego/builtin.def"
#undef RG_CATEGORY

static const struct rg_builtin *const categories[] = {
#define RG_CATEGORY(name) rg_builtins_##name,
#include "rego/builtin.def"
#undef RG_CATEGORY
};

const struct rg_decl *rg_decl_at(size_t i)
{
    return i < MLN_COUNT(decls) ? &decls[i] : NULL;
}

const struct rg_decl *rg_decl_find(struct mln_bytes name)
{
    size_t lo = 0, hi = MLN_COUNT(decls);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = mln_bytes_cmp(mln_bytes_of(decls[mid].name), name);
        if (c == 0) {
            return &decls[mid];
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

rg_builtin_fn rg_builtin_find(const char *name)
{
    struct mln_bytes wanted = mln_bytes_of(name);
    for (size_t i = 0; i < MLN_COUNT(categories); i++) {
        for (const struct rg_builtin *b = categories[i]; b->name != NULL; b++) {
            if (mln_bytes_is(wanted, b->name)) {
                return b->fn;
            }
        }
    }
    return NULL;
}

__attribute__((format(printf, 4, 0))) static void fail_va(struct rg_call *call, const char *code,
                                                          const char *prefix, const char *format,
                                                          va_list args)
{
    char text[2048];
    (void)vsnprintf(text, sizeof(text), format, args);
    call->error_code = code;
    call->error = rg_text_format(call->heap, "%s: %s%s", call->name, prefix, text);
}

bool rg_fail(struct rg_call *call, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_va(call, "eval_builtin_error", "", format, args);
    va_end(args);
    return false;
}

bool rg_fail_operand(struct rg_call *call, uint32_t pos, const char *format, ...)
{
    char prefix[32];
    (void)snprintf(prefix, sizeof(prefix), "operand %u ", (unsigned)pos);
    va_list args;
    va_start(args, format);
    fail_va(call, "eval_type_error", prefix, format, args);
    va_end(args);
    return false;
}

bool rg_fail_type(struct rg_call *call, uint32_t pos, const char *wanted)
{
    return rg_fail_operand(call, pos, "must be %s but got %s", wanted,
                           rg_type_name(call->args[pos - 1]));
}

bool rg_arg_string(struct rg_call *call, uint32_t pos, struct mln_bytes *ret)
{
    struct rg_val v = call->args[pos - 1];
    if (v.tag != RG_STR) {
        return rg_fail_type(call, pos, "string");
    }
    *ret = rg_bytes(v);
    return true;
}

bool rg_arg_number(struct rg_call *call, uint32_t pos, struct rg_val *ret)
{
    struct rg_val v = call->args[pos - 1];
    if (!rg_is_number(v)) {
        return rg_fail_type(call, pos, "number");
    }
    *ret = v;
    return true;
}

bool rg_arg_int(struct rg_call *call, uint32_t pos, int64_t *ret)
{
    struct rg_val v = call->args[pos - 1];
    if (!rg_is_number(v)) {
        return rg_fail_type(call, pos, "number");
    }
    if (!rg_num_int(v, ret)) {
        return rg_fail_operand(call, pos, "must be integer number but got floating-point number");
    }
    return true;
}

bool rg_arg_tag(struct rg_call *call, uint32_t pos, enum rg_tag tag, struct rg_val *ret)
{
    struct rg_val v = call->args[pos - 1];
    if (v.tag != tag) {
        return rg_fail_type(call, pos, rg_type_name((struct rg_val){.tag = (uint8_t)tag}));
    }
    *ret = v;
    return true;
}
