/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of modules in the one form that OPA's formatter gives them. Comments are written when the thing that stands
 * behind them is, and one on the row of a thing waits for the end of the line.
 */
#pragma once

#include "rego/ast_priv.h"

struct rg_fmt {
    struct rg_heap *heap;
    const struct rg_module *module;
    struct mln_buf *out;
    uint32_t next;  /* the first comment that is not written */
    uint32_t level; /* of indentation */
    const struct rg_comment *waits; /* for the end of the line */
    bool is_inline;
    bool is_delayed; /* `waits` stays for the line behind */
    bool is_call; /* the items are the arguments of a call */
    bool is_top; /* the operator of an expression is written: its operands need no brackets */
    bool has_if, has_contains, is_v1;
    bool drops_imports;
    bool has_v2; /* rego.v2 is imported: it means all other imports of the language */
    bool has_refs; /* v0: heads with more than one key, so that p.q is written with a dot */
};

void rg_fmt_text(struct rg_fmt *f, const char *text);
void rg_fmt_bytes(struct rg_fmt *f, struct mln_bytes text);
void rg_fmt_start(struct rg_fmt *f); /* of a line: its indentation */
void rg_fmt_end(struct rg_fmt *f);
void rg_fmt_blank(struct rg_fmt *f);
void rg_fmt_comments(struct rg_fmt *f, uint32_t row); /* those above and on this row; 0: none */
struct mln_bytes rg_fmt_source(const struct rg_fmt *f, struct rg_loc loc);
/* The row of the bracket that closes the first one in a text that begins on loc's row; 0 when there is none. */
uint32_t rg_fmt_close(const struct rg_fmt *f, struct rg_loc loc, const char *skip, const char *pair);

bool rg_fmt_is_keyword(const struct rg_fmt *f, struct mln_bytes name);
void rg_fmt_term(struct rg_fmt *f, struct rg_term *t, bool parens);
void rg_fmt_ref(struct rg_fmt *f, struct rg_term *const *items, uint32_t n);
/* Items side by side, or in as many lines as the source has them. */
void rg_fmt_items(struct rg_fmt *f, struct rg_term *const *items, uint32_t n, struct rg_loc open,
                  uint32_t close_row);
void rg_fmt_expr(struct rg_fmt *f, struct rg_expr *e);
void rg_fmt_body(struct rg_fmt *f, struct rg_body *body);
/* Behind "|" or "{": in the line, or in lines of its own. */
void rg_fmt_closure(struct rg_fmt *f, struct rg_body *body, uint32_t row, uint32_t close_row);
