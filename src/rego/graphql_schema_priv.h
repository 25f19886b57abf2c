/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the schema's rules: who collects a schema, and who checks its types. */
#pragma once

#include "rego/graphql_priv.h"

struct rg_gql_checker {
    struct rg_gql *gql;
    struct rg_gql_schema *schema;
    struct rg_val meta; /* the fields that each query root has besides its own */
};

bool rg_gql_schema_is(struct rg_val def, const char *kind);
/*
 * Directives where they are used. `self`: the directive that is being defined, which may not use itself. `is_one`: the
 * list stands in one place.
 */
bool rg_gql_check_directives(const struct rg_gql_checker *c, struct rg_val node,
                             const char *location, struct rg_val self, bool is_one);
bool rg_gql_check_types(
    const struct rg_gql_checker *c); /* all types and directives that were collected */
