/* SPDX-License-Identifier: Apache-2.0 */
/* The parser's state. Functions give NULL after an error was reported; p->trial > 0: errors are only noted. */
#pragma once

#include "rego/lex_priv.h"

#define RG_TRIALS_MAX 2000 /* readings that failed and were tried otherwise: they nest, so without a bound they would multiply */

#define RG_CHAIN_MAX 1000u  /* a + b + ...: a tree that deep, and trees are walked by recursion */

struct rg_parser {
    struct rg_lexer x;
    struct rg_heap *heap;
    struct rg_names *names;
    struct rg_errors *errors;
    struct rg_module *module;
    unsigned depth;
    unsigned trial;
    unsigned trials_left;
    bool is_bad;
    bool has_in, has_every, has_if, has_contains;
};

bool rg_at_sign(const struct rg_parser *p, const char *sign);
bool rg_at_word(const struct rg_parser *p, const char *word); /* a name that stands as a keyword here */
bool rg_is_keyed(const struct rg_parser *p); /* a name with a key in brackets: at the begin of a rule even a keyword is a name */
bool rg_take_sign(struct rg_parser *p, const char *sign);     /* true: it was there and is behind us */
bool rg_take_word(struct rg_parser *p, const char *word);
bool rg_want_sign(struct rg_parser *p, const char *sign);     /* reports when it is not there */
void rg_refuse(struct rg_parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rg_unexpected(struct rg_parser *p, const char *wanted); /* "" when nothing is to be said */
bool rg_enter(struct rg_parser *p);                            /* false: nested too deep */
void rg_leave(struct rg_parser *p);
struct mln_bytes rg_token_text(const struct rg_parser *p);
bool rg_is_glued(const struct rg_parser *p); /* no blank before the token */
bool rg_is_reserved(const struct rg_parser *p, struct mln_bytes name);

struct rg_saved {
    struct rg_lexer x;
    bool is_bad;
};
/* Try a reading: after rg_try_begin, rg_try_end(false) goes back. false from begin: no trials are left. */
bool rg_try_begin(struct rg_parser *p, struct rg_saved *saved);
void rg_try_end(struct rg_parser *p, const struct rg_saved *saved, bool is_kept);

enum { RG_P_IN = 1, RG_P_RELATION, RG_P_OR, RG_P_AND, RG_P_SUM, RG_P_PRODUCT, RG_P_PRIMARY };

struct rg_list {
    struct rg_term **items;
    uint32_t n, cap;
};
void rg_list_add(struct rg_parser *p, struct rg_list *list, struct rg_term *t);

struct rg_term *rg_parse_term(struct rg_parser *p, int level);
struct rg_term *rg_parse_in(struct rg_parser *p); /* with "k, v in xs" */
struct rg_term *rg_parse_primary(struct rg_parser *p);
struct rg_term *rg_parse_composite(struct rg_parser *p); /* at [ or { */
struct rg_term *rg_parse_template(struct rg_parser *p);
struct rg_term *rg_call2(struct rg_parser *p, const char *op, struct rg_loc loc, struct rg_term *a, struct rg_term *b);
bool rg_parse_args(struct rg_parser *p, const char *close, struct rg_list *list);
struct rg_body *rg_parse_body(struct rg_parser *p, const char *close); /* up to and with `close`; "" the end */
/* `t` with the withs that follow, as a body of one expression. */
struct rg_body *rg_parse_with_body(struct rg_parser *p, struct rg_term *t);
struct rg_expr *rg_parse_literal(struct rg_parser *p);
struct rg_term *rg_parse_head_ref(struct rg_parser *p);
void rg_parse_rule(struct rg_parser *p);
bool rg_parse_import(struct rg_parser *p, struct rg_import *ret);
