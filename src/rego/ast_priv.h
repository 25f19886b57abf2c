/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules as trees. All of a tree is in one heap; names are interned, so that equal names are equal pointers.
 *
 *   module -> rules -> (else) -> body -> expressions -> terms -> (comprehensions) -> body
 *
 * Infix operators are calls of the builtins that they mean ("a + b" is plus(a, b)); ":=" and "=" are calls of assign and eq.
 */
#pragma once

#include "rego/builtin_priv.h"
#include "rego/rego.h"

struct rg_loc {
    const char *file;
    uint32_t row, col;   /* from 1, columns in bytes */
    uint32_t from, to;   /* of the module's text */
};

enum rg_kind {
    RG_T_VALUE, /* null, bool, number, string */
    RG_T_VAR,
    RG_T_REF,      /* items[0] head (var, call, or a composite), then keys */
    RG_T_ARRAY,
    RG_T_SET,
    RG_T_OBJECT,   /* key, value, key, value... */
    RG_T_ARRAY_OF, /* comprehensions: items[0] (and [1] of an object), body */
    RG_T_SET_OF,
    RG_T_OBJECT_OF,
    RG_T_CALL,     /* items[0] operator (var or ref), then arguments */
    RG_T_TEMPLATE, /* strings and terms in turn */
};

struct rg_var;  /* what a name means, set when names are resolved (compile_priv.h) */
struct rg_body;
struct rg_type; /* type_priv.h */

struct rg_term {
    uint8_t kind;        /* enum rg_kind */
    bool is_wildcard;    /* var "_" */
    bool is_generated;
    bool is_grouped;     /* stood in parentheses */
    bool is_name;        /* of a builtin, behind `with f as` */
    bool is_typed;       /* type is final */
    bool is_bad;         /* its type has errors */
    uint32_t n;
    struct rg_loc loc;
    struct rg_val value;       /* VALUE */
    const struct rg_str *name; /* VAR */
    struct rg_var *var;        /* VAR that is a local one */
    struct rg_term **items;
    struct rg_body *body;
    const struct rg_type *type;
    uint32_t held; /* operand that holds its value already (gen_not.c); 0: none */
};

struct rg_with {
    struct rg_term *target; /* var or ref */
    struct rg_term *value;
    struct rg_loc loc;
};

enum rg_expr_kind { RG_E_TERM, RG_E_SOME, RG_E_SOME_IN, RG_E_EVERY, RG_E_AND, RG_E_OR, RG_E_NOT, RG_E_BLOCK };

struct rg_expr {
    uint8_t kind; /* enum rg_expr_kind */
    bool is_closure; /* NOT of rego.v2: unsafe names inside are its own */
    uint32_t n;
    uint32_t with_n;
    struct rg_loc loc;
    struct rg_term *term;   /* TERM */
    struct rg_term **terms; /* SOME: vars. SOME_IN, EVERY: [0] key or NULL, [1] value, [2] domain */
    struct rg_body *left, *right; /* AND, OR; EVERY, NOT and BLOCK use left */
    struct rg_with *with;
};

struct rg_body {
    struct rg_expr **exprs;
    struct rg_expr **safe; /* in the order of evaluation; NULL before code was made */
    uint32_t n, cap;
    bool is_grouped; /* one expression in parentheses */
    bool is_braced;  /* an operand in braces */
    struct rg_loc loc;
};

enum rg_head { RG_HEAD_COMPLETE, RG_HEAD_SET, RG_HEAD_OBJECT };

struct rg_rule {
    uint8_t head; /* enum rg_head: SET when `contains` (or v0's p[x]), else by whether the ref has variables */
    bool is_default;
    bool is_function;
    bool is_assign;    /* ":=" */
    bool has_value;    /* written out */
    bool is_else;
    bool is_chained; /* a body behind another one, in v0 */
    struct rg_loc loc;
    struct rg_term *ref;   /* REF from the package's name on: p.q[x] */
    struct rg_term *key;   /* of SET */
    struct rg_term *value; /* true when not written */
    struct rg_term **args;
    uint32_t args_n;
    struct rg_body *body;
    struct rg_rule *otherwise; /* else */
    struct rg_module *module;
    struct rg_val notes; /* METADATA before it: an array of objects, or undefined */
    const char *path;    /* "data.a.p", once the tree is built */
    uint32_t end_row;
};

struct rg_import {
    struct rg_term *path;
    const struct rg_str *alias; /* NULL: the last part */
    struct rg_loc loc;
    bool is_used;
};

struct rg_comment {
    uint32_t row, col;
    uint32_t from, to; /* of the module's text, from its sign on */
};

struct rg_module {
    struct rg_loc loc;
    const char *file;
    struct mln_bytes text;
    struct rg_term *package; /* REF data.a.b */
    struct rg_import *imports;
    uint32_t imports_n;
    struct rg_rule **rules;
    uint32_t rules_n, rules_cap;
    struct rg_comment *comments; /* in the order of their rows */
    uint32_t comments_n, comments_cap;
    bool is_v1;    /* the language of this module, by version or import */
    bool has_and, has_or, has_not; /* future.keywords of 2026, or rego.v2 */
    struct rg_val notes; /* METADATA of the package and wider */
};

/* ---- errors of a policy or a query ---- */
struct rg_errors {
    struct rg_heap *heap;
    struct mln_rego_error *list;
    uint32_t n, max;
};
extern const char rg_code_head[]; /* "rego_unsafe_var_error", of a variable in the head of a rule */
void rg_report(struct rg_errors *errors, const char *code, struct rg_loc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* In the order of their places; equal places stay as they came. code: only these; NULL: all. */
void rg_errors_move(struct rg_errors *to, struct rg_errors *from, const char *code);

/* Names that are equal are one string. */
struct rg_names {
    struct rg_heap *heap;
    struct rg_val table; /* object string -> string */
};
const struct rg_str *rg_name(struct rg_names *names, struct mln_bytes text);
const struct rg_str *rg_name_of(struct rg_names *names, const char *text);
static inline bool rg_name_is(const struct rg_str *name, const char *text)
{
    return name != NULL && mln_bytes_is(mln_bytes_at(name->text, name->len), text);
}

/* ---- parser ---- */
struct rg_parse {
    struct rg_heap *heap;
    struct rg_names *names;
    struct rg_errors *errors;
    const char *file;
    struct mln_bytes text;
    enum mln_rego_version version;
};
struct rg_module *rg_parse_module(const struct rg_parse *how);                 /* NULL: errors has why */
struct rg_body *rg_parse_query(const struct rg_parse *how, struct rg_module *module); /* module: whose keywords count */
struct rg_term *rg_parse_value(const struct rg_parse *how);                    /* one ground term */
struct rg_import *rg_parse_import_text(const struct rg_parse *how);

/* ---- making trees ---- */
struct rg_term *rg_term_new(struct rg_heap *heap, enum rg_kind kind, struct rg_loc loc);
struct rg_term *rg_term_value(struct rg_heap *heap, struct rg_val v, struct rg_loc loc);
struct rg_term *rg_term_var(struct rg_heap *heap, const struct rg_str *name, struct rg_loc loc);
struct rg_term *rg_term_list(struct rg_heap *heap, enum rg_kind kind, struct rg_loc loc, struct rg_term *const *items, uint32_t n);
/* Deep, before names are resolved; NULL stays NULL. */
struct rg_term *rg_term_copy(struct rg_heap *heap, const struct rg_term *t);
struct rg_term **rg_terms_copy(struct rg_heap *heap, struct rg_term *const *terms, uint32_t n);
void rg_body_add(struct rg_heap *heap, struct rg_body *body, struct rg_expr *expr);
/* The value of a term without variables, calls and refs; undefined when it is not. */
struct rg_val rg_term_ground(struct rg_heap *heap, const struct rg_term *t);
/* Trees as values, in OPA's shape. */
struct rg_val rg_term_tree(struct rg_heap *heap, const struct rg_term *t);
struct rg_val rg_body_tree(struct rg_heap *heap, const struct rg_body *body);
struct rg_val rg_module_tree(struct rg_heap *heap, const struct rg_module *m);
void rg_notes_read(struct rg_heap *heap, struct rg_module *m); /* METADATA to rules and package */
/* "data.a.b" as text, for messages. */
void rg_print_term(struct mln_buf *buf, const struct rg_term *t);
const char *rg_term_text(struct rg_heap *heap, const struct rg_term *t);
bool rg_call_is(const struct rg_term *t, const char *op); /* a call of this plain name */
