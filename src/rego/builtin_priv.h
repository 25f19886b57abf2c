/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builtins. A category is one file bi_<category>.c that ends with its table, and one line in builtin.def. Names, types
 * and flags of all of OPA's builtins stand in decl.def; a builtin without a function here is known to the
 * compiler, and a call of it is an error that says so.
 *
 *   static bool count(struct rg_call *call) { ...; return rg_return(call, rg_int(n)); }
 *   const struct rg_builtin rg_builtins_aggregates[] = {{"count", count}, ..., {NULL, NULL}};
 *
 * Arguments are defined values, never RG_DOC, and of any type: check them with the operand helpers, whose errors have
 * OPA's words. A function that gives no answer leaves `out` undefined and returns true.
 */
#pragma once

#include "rego/val_priv.h"

struct rg_vm;
struct mln_rego_net;
struct mln_rego_zones;

struct rg_call {
    struct rg_vm *vm;
    struct rg_heap *heap; /* what the answer is made in */
    const char *name;
    const struct rg_val *args;
    uint32_t n;
    struct rg_val out;
    const char *error_code; /* set by the fail helpers */
    const char *error;      /* in heap */
    bool is_fatal;          /* an error that ends the evaluation in any mode */
};

typedef bool (*rg_builtin_fn)(struct rg_call *call);

struct rg_builtin {
    const char *name;
    rg_builtin_fn fn;
};

enum rg_decl_flag { RG_NONDETERMINISTIC = 1, RG_DEPRECATED = 2, RG_RELATION = 4, RG_VARIADIC = 8 };

/*
 * What decl.def says. Types are written: * any, 0 null, b boolean, n number, s string, [T] array, (T,U) array of just
 * these, {T} set, <"k":T,K:V> object, |T,U| one of. `args` are separated by ";".
 */
struct rg_decl {
    const char *name;
    const char *args;
    const char *result;
    uint8_t arity;
    uint8_t flags;
    const char *infix; /* "" when none */
};

const struct rg_decl *rg_decl_find(struct mln_bytes name); /* NULL: no such builtin */
const struct rg_decl *rg_decl_at(size_t i);                /* NULL behind the last */
rg_builtin_fn rg_builtin_find(const char *name);           /* NULL: not here */

/* ---- answers ---- */
static inline bool rg_return(struct rg_call *call, struct rg_val v)
{
    call->out = v;
    return true;
}
/* All return false. `pos` counts from 1. */
bool rg_fail_type(struct rg_call *call, uint32_t pos, const char *wanted); /* "operand 1 must be string but got number" */
bool rg_fail_operand(struct rg_call *call, uint32_t pos, const char *format, ...) /* eval_type_error "operand 1 ..." */
    __attribute__((format(printf, 3, 4)));
bool rg_fail(struct rg_call *call, const char *format, ...) __attribute__((format(printf, 2, 3))); /* eval_builtin_error */

/* ---- operands: true and *ret, or false after rg_fail_type ---- */
bool rg_arg_string(struct rg_call *call, uint32_t pos, struct mln_bytes *ret);
bool rg_arg_int(struct rg_call *call, uint32_t pos, int64_t *ret); /* "must be integer number but got floating-point number" */
bool rg_arg_number(struct rg_call *call, uint32_t pos, struct rg_val *ret);
bool rg_arg_tag(struct rg_call *call, uint32_t pos, enum rg_tag tag, struct rg_val *ret); /* array, object, set, bool */

/* Without line ends, which Go's base64 skips. */
struct mln_bytes rg_one_line(struct rg_heap *heap, struct mln_bytes t);

/* ---- what the evaluation gives ---- */
int64_t rg_now_ns(struct rg_vm *vm);    /* the same for one evaluation */
uint64_t rg_random(struct rg_vm *vm);
const struct mln_rego_net *rg_net(const struct rg_vm *vm);     /* NULL: nothing may be reached */
const struct mln_rego_zones *rg_zones(const struct rg_vm *vm); /* NULL: read them from files */
struct rg_val rg_answers(struct rg_vm *vm); /* an object of this evaluation: requests that were sent, and their answers */
bool rg_spend(struct rg_vm *vm, uint64_t steps); /* long loops count as steps; false: stop now, the budget is used up */
/* A pointer that lives as long as the evaluation's policy, per key: for compiled patterns. NULL until set. */
void *rg_cache_get(struct rg_vm *vm, const void *kind, struct rg_val key);
void rg_cache_put(struct rg_vm *vm, const void *kind, struct rg_val key, void *item, void (*drop)(void *item));
/* An item of more than a few KB: its bytes count for the budget of this evaluation and for how long items are kept. */
void rg_cache_weigh(struct rg_vm *vm, size_t n);
