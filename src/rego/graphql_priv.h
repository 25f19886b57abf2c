/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GraphQL (the specification of October 2021) for graphql.*: documents are read into values of the shape that OPA gives
 * them (the one of Go's gqlparser, without places and without what is empty), and the rules run on these values, so that
 * a document may come as text or as a value that was read before.
 *
 * Bounds: MLN_REGO_NESTING_MAX selections, values and types in one another, one step of the budget a token and a
 * compared pair of fields.
 */
#pragma once

#include "rego/builtin_priv.h"
#include "rego/rego.h"

enum rg_gql_kind {
    RG_GQL_INVALID,
    RG_GQL_EOF,
    RG_GQL_BANG,
    RG_GQL_DOLLAR,
    RG_GQL_AMP,
    RG_GQL_PAREN_L,
    RG_GQL_PAREN_R,
    RG_GQL_SPREAD,
    RG_GQL_COLON,
    RG_GQL_EQUALS,
    RG_GQL_AT,
    RG_GQL_BRACKET_L,
    RG_GQL_BRACKET_R,
    RG_GQL_BRACE_L,
    RG_GQL_BRACE_R,
    RG_GQL_PIPE,
    RG_GQL_NAME,
    RG_GQL_INT,
    RG_GQL_FLOAT,
    RG_GQL_STRING,
    RG_GQL_BLOCK,
    RG_GQL_COMMENT,
};

/* A place: from 1, columns in code points. Zero line: none. */
struct rg_gql_place {
    uint32_t line;
    int32_t col; /* of a text of several lines it may be less than 1, as in OPA */
};

struct rg_gql_token {
    enum rg_gql_kind kind;
    struct mln_bytes value; /* in the source or the heap */
    struct rg_gql_place at;
    const char *error; /* of RG_GQL_INVALID; in the heap */
};

struct rg_gql_lex {
    struct rg_heap *heap;
    struct mln_bytes text;
    size_t start, end;
    int32_t start_col,
        end_col; /* code points since the line began, as they are when it is no new line */
    uint32_t line;
};
void rg_gql_next(struct rg_gql_lex *lex, struct rg_gql_token *ret);
const char *rg_gql_kind_text(enum rg_gql_kind kind);

/* Where a node stood: looked up only for the text of an error. */
struct rg_gql_mark {
    const struct rg_map *node;
    struct rg_gql_place at;
};
struct rg_gql_marks {
    struct rg_gql_mark *list;
    size_t n, cap;
};

/* The first error of a document or of its rules. */
struct rg_gql_error {
    const char *text; /* NULL: none */
    struct rg_gql_place at;
};

enum rg_gql_stage { RG_GQL_IN_TEXT, RG_GQL_IN_SCHEMA, RG_GQL_IN_RULES };
struct rg_gql {
    enum rg_gql_stage stage; /* where the error was found: OPA words each in another way */
    struct rg_heap *heap;    /* of the nodes, marks and errors */
    struct rg_vm *vm;
    struct rg_gql_marks marks;
    struct rg_gql_error error;
};

/* Undefined with gql->error. `is_builtin` marks the definitions as the specification's own. */
struct rg_val rg_gql_parse_query(struct rg_gql *gql, struct mln_bytes text);
struct rg_val rg_gql_parse_schema(struct rg_gql *gql, struct mln_bytes text, bool is_builtin);

/* A value that somebody hands in as a document: true when each member has the kind that the rules rely on. */
bool rg_gql_is_query(struct rg_gql *gql, struct rg_val v);
bool rg_gql_is_schema(struct rg_gql *gql, struct rg_val v);

/* A schema whose rules hold. */
struct rg_gql_schema {
    struct rg_val types;      /* name: definition, with its extensions */
    struct rg_val directives; /* name: definition */
    struct rg_val possible;   /* name: array of definitions */
    struct rg_val roots[3];   /* query, mutation, subscription; undefined when absent */
};
bool rg_gql_schema_of(struct rg_gql *gql, struct rg_val document, struct rg_gql_schema *ret);
bool rg_gql_check(struct rg_gql *gql, const struct rg_gql_schema *schema, struct rg_val query);

/* ---- helpers of the readers of nodes ---- */
void rg_gql_mark(struct rg_gql *gql, struct rg_val node, struct rg_gql_place at);
/* Keeps the first. Return false. `node` undefined: no place. */
bool rg_gql_fail(struct rg_gql *gql, struct rg_val node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool rg_gql_fail_at(struct rg_gql *gql, struct rg_gql_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct mln_bytes rg_gql_text(struct rg_val node, const char *key); /* "" when absent */
bool rg_gql_flag(struct rg_val node, const char *key);
size_t rg_gql_n(struct rg_val node, const char *key); /* items of an array; 0 when absent */
struct rg_val rg_gql_at(struct rg_val node, const char *key, size_t i);
struct rg_val rg_gql_named(struct rg_val node, const char *key,
                           struct mln_bytes name); /* the item with that Name */
struct rg_val rg_gql_type_key(struct rg_val type); /* its name, without lists and marks */
const char *rg_gql_type_text(struct rg_heap *heap, struct rg_val type);

bool rg_gql_is_compatible(
    struct rg_val a, struct rg_val b); /* may a variable of type a stand where b is asked for? */
enum rg_gql_value {                    /* "Kind" of a value */
                    RG_GQL_V_VARIABLE,
                    RG_GQL_V_INT,
                    RG_GQL_V_FLOAT,
                    RG_GQL_V_STRING,
                    RG_GQL_V_BLOCK,
                    RG_GQL_V_BOOL,
                    RG_GQL_V_NULL,
                    RG_GQL_V_ENUM,
                    RG_GQL_V_LIST,
                    RG_GQL_V_OBJECT
};
enum rg_gql_value rg_gql_value_kind(struct rg_val value);

/* ---- between the files of the parser ---- */
struct rg_gql_parser {
    struct rg_gql *gql;
    struct rg_gql_lex lex;
    struct rg_gql_token peeked, prev;
    bool has_peeked;
    struct rg_val comment; /* of what was peeked: {"List": [..]} or undefined */
    unsigned depth;
};
struct rg_gql_token rg_gql_peek(struct rg_gql_parser *p);
struct rg_gql_token rg_gql_take(struct rg_gql_parser *p);
bool rg_gql_expect(struct rg_gql_parser *p, enum rg_gql_kind kind);
void rg_gql_expect_word(struct rg_gql_parser *p, const char *word);
bool rg_gql_skip(struct rg_gql_parser *p, enum rg_gql_kind kind);
bool rg_gql_peeks(struct rg_gql_parser *p, enum rg_gql_kind kind);
bool rg_gql_peeks_word(struct rg_gql_parser *p, const char *word);
void rg_gql_unexpected(struct rg_gql_parser *p, struct rg_gql_token t);
bool rg_gql_ok(const struct rg_gql_parser *p);
bool rg_gql_deeper(struct rg_gql_parser *p); /* false: too deep; then depth-- is still due */
struct rg_val rg_gql_comment(struct rg_gql_parser *p); /* of what comes next */
struct rg_val
rg_gql_node(struct rg_gql_parser *p); /* an object, marked with where the next token stands */
struct rg_val rg_gql_name(struct rg_gql_parser *p);
void rg_gql_put(struct rg_gql_parser *p, struct rg_val node, const char *key,
                struct rg_val v); /* nothing empty */
typedef struct rg_val (*rg_gql_item_fn)(struct rg_gql_parser *p);
/* Items between two marks, at least one; none when the first mark is not there. ret_comment may be NULL. */
struct rg_val rg_gql_some(struct rg_gql_parser *p, enum rg_gql_kind open, rg_gql_item_fn item,
                          struct rg_val *ret_comment);
struct rg_val rg_gql_type(struct rg_gql_parser *p);
struct rg_val rg_gql_literal(struct rg_gql_parser *p, bool is_const);
struct rg_val rg_gql_directives(struct rg_gql_parser *p, bool is_const);
struct rg_val rg_gql_operation_type(struct rg_gql_parser *p);
