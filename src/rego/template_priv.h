/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go's text/template for strings.render_template: actions, pipelines, variables, if, range, with, define, template,
 * block, break, continue and Go's own functions. Values have no methods. What is said of numbers is OPA's: those of the
 * data are texts for a template (json.Number), so that "{{if .n}}" is true of 0 and "eq .n 1" is an error.
 *
 * (The agent's templates are another language: consul-template's, over secrets, strict about what is missing.)
 *
 * Bounds: MLN_REGO_NESTING_MAX blocks, calls and templates in one another; a step of the budget a node that runs; the
 * output may grow to what the heap leaves.
 */
#pragma once

#include "rego/builtin_priv.h"

/* A value: undefined is Go's zero Value ("<no value>"), null is nil. */
struct rg_tpl_val {
    struct rg_val v;
    bool is_go; /* a number is an int or float64 of the template, not one of the data */
};

enum rg_tpl_operand {
    RG_TPL_DOT,
    RG_TPL_LITERAL,
    RG_TPL_NIL,
    RG_TPL_VARIABLE,
    RG_TPL_FUNCTION,
    RG_TPL_PIPE
};
struct rg_tpl_arg {
    enum rg_tpl_operand kind;
    struct rg_tpl_val literal;
    struct mln_bytes name;      /* of a variable with its "$", of a function */
    struct rg_tpl_pipe *pipe;   /* in parentheses */
    struct mln_bytes *fields;   /* behind it: .a.b */
    uint32_t fields_n;
    size_t at, end;             /* in the source */
};
struct rg_tpl_command {
    struct rg_tpl_arg *args;
    uint32_t n;
};
struct rg_tpl_pipe {
    struct mln_bytes vars[2]; /* declared or assigned */
    uint32_t vars_n, n;
    bool is_assign;
    struct rg_tpl_command *commands;
};

enum rg_tpl_kind {
    RG_TPL_TEXT,
    RG_TPL_ACTION,
    RG_TPL_IF,
    RG_TPL_WITH,
    RG_TPL_RANGE,
    RG_TPL_CALL,
    RG_TPL_BREAK,
    RG_TPL_CONTINUE
};
struct rg_tpl_node {
    enum rg_tpl_kind kind;
    struct rg_tpl_node *next;
    struct mln_bytes text; /* of TEXT; the name of CALL */
    struct rg_tpl_pipe *pipe;
    struct rg_tpl_node *body, *other;
};
struct rg_tpl_define {
    struct rg_tpl_define *next;
    struct mln_bytes name;
    struct rg_tpl_node *body;
};

struct rg_tpl {
    struct rg_heap *heap;
    struct rg_vm *vm;
    struct mln_bytes source;
    struct rg_tpl_node *root;
    struct rg_tpl_define *defines;
    const char *error; /* the first */
};

bool rg_tpl_parse(struct rg_tpl *t); /* false with t->error */
bool rg_tpl_run(struct rg_tpl *t, struct rg_val data, struct mln_buf *out); /* likewise */

/* ---- between its files ---- */
bool rg_tpl_fail(struct rg_tpl *t, size_t at, const struct rg_tpl_arg *in, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* false. `in` NULL: an error of reading */
bool rg_tpl_is_function(struct mln_bytes name);
bool rg_tpl_call(struct rg_tpl *t, const struct rg_tpl_arg *fn, const struct rg_tpl_val *args, uint32_t n,
                 struct rg_tpl_val *ret);
bool rg_tpl_truth(struct rg_tpl_val v);
void rg_tpl_print(struct mln_buf *out, struct rg_tpl_val v, bool is_inner);
/* fmt.Sprintf (bi_format.c); args is an array */
void rg_format_into(struct mln_buf *buf, struct mln_bytes format, struct rg_val args);
