/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of HCL 1. hcl_lex.c cuts text into them, hcl.c makes values of them.
 *
 *   file    := { item }                          item   := key { key } ( "=" value | object )  [ "," ]
 *   object  := "{" file "}"                      key    := IDENT | STRING
 *   value   := STRING | HEREDOC | NUMBER | "true" | "false" | object | "[" [ value { "," value } [","] ] "]"
 */
#pragma once

#include "policy/acl.h"

enum hcl_kind {
    HCL_EOF,
    HCL_IDENT,
    HCL_STRING,
    HCL_HEREDOC,
    HCL_NUMBER,
    HCL_ASSIGN,
    HCL_COMMA,
    HCL_LBRACE,
    HCL_RBRACE,
    HCL_LBRACKET,
    HCL_RBRACKET,
};

struct hcl_token {
    enum hcl_kind kind;
    struct mln_bytes text; /* identifiers and numbers as written; strings without escapes */
    size_t line, column;
};

struct hcl_lexer {
    struct mln_bytes all;
    size_t at, line, column;
};

void hcl_lex_start(struct hcl_lexer *lx, struct mln_bytes text);
struct mln_err hcl_lex(struct mln_cx *cx, struct hcl_lexer *lx, struct hcl_token *ret);
const char *hcl_kind_name(enum hcl_kind kind);
