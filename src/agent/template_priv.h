/* SPDX-License-Identifier: Apache-2.0 */
/* What the parser makes and the evaluator runs: nodes hold expressions; a pipe "a | f x" is the call f(x, a). */
#pragma once

#include "agent/template.h"

#define ARGS_MAX   16u
#define FIELDS_MAX 16u /* .a.b.c */

struct place {
    uint32_t line, column;
};

enum term_kind { TERM_CONST, TERM_DOT, TERM_VAR, TERM_CALL };

struct term {
    enum term_kind kind;
    struct place at;
    const struct mln_value *value; /* TERM_CONST */
    size_t slot;                   /* TERM_VAR */
    const struct render_fn *fn;    /* TERM_CALL */
    const struct term **args;
    size_t n_args;
    const struct mln_bytes *fields; /* taken from what the term gives */
    size_t n_fields;
};

enum node_kind { NODE_TEXT, NODE_PRINT, NODE_SET, NODE_IF, NODE_WITH, NODE_RANGE };

#define SLOT_NONE SIZE_MAX

struct node {
    enum node_kind kind;
    struct place at;
    struct mln_bytes text;
    const struct term *term;
    size_t key_slot, value_slot; /* SLOT_NONE = not kept */
    struct node *body, *otherwise, *next;
};

struct mln_render {
    struct node *first;
};

/* One rendering. */
struct run {
    struct mln_cx *cx;
    const struct mln_render_world *world;
    struct mln_buf *to;
    const struct mln_value *dot;
    const struct mln_value *vars[MLN_RENDER_VARS_MAX];
    size_t steps;
};

struct render_fn {
    const char *name;
    unsigned min_args, max_args;
    struct mln_err (*call)(struct run *run, struct place at, const struct mln_value *const *args,
                           size_t n, const struct mln_value **ret);
};
extern const struct render_fn render_fns[]; /* ends with {0} */

bool render_is_true(const struct mln_value *v);
/* The text that a scalar prints as; INVALID for containers. In the arena or borrowed. */
struct mln_err render_text_of(struct run *run, struct place at, const struct mln_value *v,
                              struct mln_bytes *ret);
struct mln_err render_step(struct run *run, struct place at);
#define render_fail(cx, at, ...)                                                                   \
    render_fail_at((cx), (at), MLN_E_INVALID, mln_text_format((cx), __VA_ARGS__))
struct mln_err render_fail_at(struct mln_cx *cx, struct place at, enum mln_code code,
                              const char *text);
