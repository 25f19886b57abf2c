/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making programs. A body is straight code with loops inside one another: when an instruction has no answer it goes on at
 * g->fail, which is the NEXT of the innermost loop or the end of the body. A label is a number until the program is done.
 */
#pragma once

#include "rego/compile_priv.h"

struct rg_gen {
    struct rg_compiler *c;
    struct rg_heap *heap;
    struct rg_proc *proc;
    uint32_t *labels; /* where they stand */
    uint32_t labels_n, labels_cap;
    uint32_t fail;    /* label */
    struct rg_loc loc;
    bool is_bad;      /* an error was reported, in this rule */
    bool was_bad;     /* in a rule before */
    bool is_head;     /* the head of a rule is made */
    struct rg_term **case_keys; /* of a table of tests, until all are bound; NULL: no such rule */
    uint32_t case_n;
    bool any_order;   /* of what loops give */
    uint32_t *results; /* of a query's expressions, by their place */
};

void rg_gen_begin(struct rg_gen *g, struct rg_compiler *c, const char *name);
struct rg_proc *rg_gen_end(struct rg_gen *g); /* NULL when errors were reported */
struct rg_ins *rg_emit(struct rg_gen *g, enum rg_op op, uint32_t a, uint32_t b, uint32_t c);
void rg_emit_d(struct rg_gen *g, enum rg_op op, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
uint32_t rg_label(struct rg_gen *g);
void rg_place(struct rg_gen *g, uint32_t label); /* it stands here */
void rg_jump(struct rg_gen *g, uint32_t label);
uint32_t rg_reg(struct rg_gen *g, uint32_t n);   /* the first of n new registers */
uint32_t rg_const(struct rg_gen *g, struct rg_val v); /* an operand */
uint32_t rg_const_index(struct rg_gen *g, struct rg_val v);
uint32_t rg_in_row(struct rg_gen *g, const uint32_t *operands, uint32_t n); /* moved into registers side by side: the first */

uint32_t rg_gen_term(struct rg_gen *g, struct rg_term *t); /* an operand, never a DOC */
void rg_gen_match(struct rg_gen *g, struct rg_term *pattern, uint32_t operand);
void rg_gen_unify(struct rg_gen *g, struct rg_term *a, struct rg_term *b);
uint32_t rg_gen_call(struct rg_gen *g, struct rg_term *t, uint32_t args_n);
uint32_t *rg_gen_all(struct rg_gen *g, struct rg_term **items, uint32_t n); /* operands, in an order that binds before use */
uint32_t rg_gen_loop(struct rg_gen *g, uint32_t over, uint32_t *ret_key); /* opens a loop; value and key registers */
void rg_gen_body(struct rg_gen *g, struct rg_body *body); /* goes on behind it once a solution */
uint32_t rg_gen_expr(struct rg_gen *g, struct rg_expr *e);
void rg_gen_note(struct rg_gen *g, enum mln_rego_event event, uint32_t note); /* nothing without has_notes */
void rg_gen_case(struct rg_gen *g); /* when the keys of a table of tests are bound */
uint32_t rg_note_rule(struct rg_gen *g, const struct rg_rule *r);
uint32_t rg_note_expr(struct rg_gen *g, const struct rg_expr *e);
void rg_gen_not(struct rg_gen *g, struct rg_expr *e);
void rg_gen_closure(struct rg_gen *g, struct rg_body *body, uint32_t deeper);
uint32_t rg_gen_with(struct rg_gen *g, struct rg_expr *e);
