/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of types: what it carries from rule to rule. */
#pragma once

#include "rego/type_priv.h"

struct rg_infer {
    struct rg_compiler *c;
    struct rg_heap *heap;
    struct rg_errors errors; /* found so far, in no order */
    struct rg_val schemas; /* of the rule at hand: METADATA's list; undefined: none */
    const struct rg_type **decls; /* by index of rg_decl_at, made when needed */
};

const struct rg_type *rg_infer_term(struct rg_infer *f, struct rg_term *t); /* checks it; NULL: unknown yet */
void rg_infer_body(struct rg_infer *f, struct rg_body *body);
/* A term may have this type: unknown variables in it get it. In a union what they had stays possible. */
bool rg_infer_unify(struct rg_infer *f, struct rg_term *t, const struct rg_type *type, bool is_union);
bool rg_infer_equal(struct rg_infer *f, struct rg_term *a, struct rg_term *b);
const struct rg_type *rg_infer_ref(struct rg_infer *f, struct rg_term *t);
/* What a key is looked up in, and which it is: the type behind it; NULL and an error when there is nothing. */
const struct rg_type *rg_infer_step(struct rg_infer *f, const struct rg_term *ref, uint32_t i,
                                    const struct rg_type *in);
/* `details` are lines below the message, NULL: none. */
void rg_infer_fail(struct rg_infer *f, struct rg_loc loc, const char *message, const char *details);
