/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over a query with the rules of section 5: who walks, and the rules it asks. All return false at an error. */
#pragma once

#include "rego/graphql_priv.h"

struct rg_gql_walk {
    struct rg_gql *gql;
    const struct rg_gql_schema *schema;
    struct rg_val doc;
    struct rg_val operation;      /* undefined below a fragment's own definition */
    struct rg_val used_variables; /* names, of this operation */
    struct rg_val used_fragments; /* names that an operation reaches */
    struct rg_val operations_seen, fragments_seen, cycles_seen; /* names */
    struct rg_val pairs;                                        /* of fields that do not conflict */
};

enum rg_gql_selection { RG_GQL_S_FIELD, RG_GQL_S_INLINE, RG_GQL_S_SPREAD };
enum rg_gql_selection rg_gql_selection_of(struct rg_val node);
bool rg_gql_def_is(struct rg_val def, const char *kind);
bool rg_gql_is_composite(struct rg_val def);
struct rg_val rg_gql_type_def(const struct rg_gql_walk *w,
                              struct rg_val node); /* of its Type; undefined when unknown */
struct rg_val rg_gql_fragment(const struct rg_gql_walk *w, struct rg_val spread);
struct rg_val rg_gql_field_def(const struct rg_gql_walk *w, struct rg_val parent,
                               struct rg_val field);

/* ---- rules (graphql_rules.c, graphql_values.c, graphql_overlap.c) ---- */
struct rg_gql_place_of_value {
    struct rg_val type, def; /* what is asked for; undefined when unknown */
    bool has_default;
};
bool rg_gql_rules_field(struct rg_gql_walk *w, struct rg_val field, struct rg_val parent,
                        struct rg_val def);
bool rg_gql_rules_inline(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent);
bool rg_gql_rules_spread(struct rg_gql_walk *w, struct rg_val node, struct rg_val parent,
                         struct rg_val fragment);
bool rg_gql_rules_fragment(struct rg_gql_walk *w, struct rg_val node);
bool rg_gql_rules_operation(struct rg_gql_walk *w, struct rg_val node, struct rg_val root);
bool rg_gql_rules_directive(struct rg_gql_walk *w, struct rg_val dir, const char *location);
bool rg_gql_rules_directives(struct rg_gql_walk *w, struct rg_val list);
bool rg_gql_rules_value(struct rg_gql_walk *w, struct rg_val value,
                        const struct rg_gql_place_of_value *at);
bool rg_gql_rules_overlap(struct rg_gql_walk *w, struct rg_val node,
                          struct rg_val parent); /* of its SelectionSet */
