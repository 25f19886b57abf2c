/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types, as OPA's checker has them. NULL is a type that is not known yet; it is also what a part may be.
 *
 *   null boolean number string   array<T, U>[rest]   object<"k": T>[K: V]   set[T]   any<T, U> (any: everything)   (T, U) => R
 */
#pragma once

#include "rego/compile_priv.h"

enum rg_type_kind {
    RG_Y_NULL,
    RG_Y_BOOL,
    RG_Y_NUMBER,
    RG_Y_STRING,
    RG_Y_ARRAY,
    RG_Y_OBJECT,
    RG_Y_SET,
    RG_Y_ANY,
    RG_Y_FUNCTION,
};

struct rg_type {
    uint8_t kind; /* enum rg_type_kind */
    uint32_t n;   /* of items: fixed items, fixed members, alternatives, arguments */
    const struct rg_type **items;
    struct rg_val *keys;        /* OBJECT: of items */
    const struct rg_type *key;  /* OBJECT: of members that are not fixed; NULL: there are none */
    const struct rg_type *rest; /* ARRAY and OBJECT: what is not fixed; SET: members; FUNCTION: answer */
    const char *const *names;   /* FUNCTION: of arguments; NULL: none */
    bool is_variadic;
    uint32_t weight, depth; /* with all that is in it, shared parts each time */
};

#define RG_TYPE_DEPTH_MAX 64    /* types in types: deeper ones are "any"; comparing recurses */
#define RG_TYPE_WEIGHT_MAX 8192 /* a few rules that hold one another twice would be a type that nobody can compare */

extern const struct rg_type rg_type_any, rg_type_null, rg_type_bool, rg_type_number, rg_type_string;

const struct rg_type *rg_type_array(struct rg_heap *heap, const struct rg_type **items, uint32_t n,
                                    const struct rg_type *rest);
const struct rg_type *rg_type_object(struct rg_heap *heap, const struct rg_type *key,
                                     const struct rg_type *rest);
/* An object that is not done: it gets fixed members, key and rest, then rg_type_done. */
struct rg_type *rg_type_object_new(struct rg_heap *heap);
void rg_type_member(struct rg_heap *heap, struct rg_type *object, struct rg_val key,
                    const struct rg_type *type);
/* When its members are there: the object, or "any" when it is too much. */
const struct rg_type *rg_type_done(struct rg_type *t);
const struct rg_type *rg_type_set(struct rg_heap *heap, const struct rg_type *of);
const struct rg_type *rg_type_function(struct rg_heap *heap, const struct rg_type **args,
                                       uint32_t n, const struct rg_type *result);
const struct rg_type *rg_type_of_value(struct rg_heap *heap, struct rg_val v);
const struct rg_type *rg_type_or(struct rg_heap *heap, const struct rg_type *a,
                                 const struct rg_type *b);
const struct rg_type *rg_type_keys(struct rg_heap *heap, const struct rg_type *t);   /* NULL: has none */
const struct rg_type *rg_type_values(struct rg_heap *heap, const struct rg_type *t);
const struct rg_type *rg_type_select(struct rg_heap *heap, const struct rg_type *t,
                                     struct rg_val key);
bool rg_type_has(const struct rg_type *t, const struct rg_type *part); /* t contains part */
bool rg_type_unifies(const struct rg_type *a, const struct rg_type *b);
bool rg_type_is_nil(const struct rg_type *t); /* unknown, or a part of it is */
int rg_type_cmp(const struct rg_type *a, const struct rg_type *b);
void rg_type_print(struct mln_buf *buf, const struct rg_type *t);
void rg_type_print_args(struct mln_buf *buf, const struct rg_type *function); /* "(x: string, number)" */

/* What a builtin is declared as (builtin_priv.h tells the writing). */
const struct rg_type *rg_type_of_decl(struct rg_heap *heap, const struct rg_decl *decl);
/* What a JSON schema says; a schema that is not understood: NULL and *ret_error. */
const struct rg_type *rg_type_of_schema(struct rg_heap *heap, struct rg_val schema,
                                        const char **ret_error);
