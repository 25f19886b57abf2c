/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the language. Keywords are names: whether one is reserved depends on the module's version and place. */
#pragma once

#include "rego/ast_priv.h"

enum rg_token {
    RG_K_END,
    RG_K_NAME,
    RG_K_NUMBER,
    RG_K_STRING,   /* value is set */
    RG_K_TEMPLATE, /* $" or $`; what follows is read by rg_lex_piece */
    RG_K_SIGN,     /* one of the signs below, in sign[] */
    RG_K_BAD,
};

struct rg_lexer {
    struct rg_heap *heap;
    const char *file;
    const uint8_t *begin, *at, *end;
    const uint8_t *line; /* where the row begins */
    uint32_t row;
    struct rg_module *module; /* gets the comments; NULL: nobody */
    const char *error; /* of a BAD token */
    /* the token */
    enum rg_token token;
    char sign[3];
    struct rg_loc loc;
    struct rg_val value;
    uint32_t before;    /* offset where the token before ended */
    uint32_t row_before; /* and its row */
    bool is_first;      /* a new row began before this token */
};

void rg_lex_begin(struct rg_lexer *x, const struct rg_parse *how);
void rg_lex_next(struct rg_lexer *x);
/* The text of a template up to "{" or its end (*ret_done); false: an error. */
bool rg_lex_piece(struct rg_lexer *lexer, bool is_raw, struct mln_buf *buf, bool *ret_done);
