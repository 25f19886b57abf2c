/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Schema, drafts 4, 6 and 7, for json.verify_schema and json.match_schema: errors in the words of gojsonschema, which
 * OPA uses. A schema without $schema is read as a mix of the three, as there. References reach into the schema itself (by
 * pointer or $id); what lies elsewhere is not fetched.
 *
 * Bounds: MLN_REGO_NESTING_MAX schemas in one another (references count), a step of the budget a keyword looked at.
 */
#pragma once

#include "rego/builtin_priv.h"

enum { RG_SCHEMA_HYBRID = 99 }; /* of `draft`; else 4, 6, 7 */

struct rg_schema {
    struct rg_heap *heap;
    struct rg_vm *vm;
    struct rg_val root;
    int draft;
    struct rg_val ids;  /* text of "$id": schema */
    struct rg_val seen; /* schemas (by address) that were checked */
    const char *error;  /* the first; NULL: none */
};

/* False with s->error. `root` is an object, or a boolean from draft 6 on. */
bool rg_schema_check(struct rg_schema *s, struct rg_val root);
/* The schema that "$ref" names; undefined with s->error when there is none. */
struct rg_val rg_schema_resolve(struct rg_schema *s, struct mln_bytes ref);
/* Errors as OPA lists them, an empty array when the document fits; undefined with s->error. Checked before. */
struct rg_val rg_schema_match(struct rg_schema *s, struct rg_val document);
bool rg_schema_format_ok(struct rg_schema *s, struct mln_bytes format, struct mln_bytes text);
bool rg_schema_fail(struct rg_schema *s, const char *format, ...) __attribute__((format(printf, 2, 3))); /* false */

/* A pattern of the evaluation, compiled once. NULL: it is none (bi_regex.c). */
struct rg_regex *rg_pattern(struct rg_vm *vm, struct rg_val text);
bool rg_pattern_finds(struct rg_vm *vm, struct rg_regex *re, struct mln_bytes text);
bool rg_uri_reads(struct rg_heap *heap, struct mln_bytes text, struct mln_bytes *ret_scheme, struct mln_bytes *ret_path);
