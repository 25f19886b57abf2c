/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of registration entries share. */
#pragma once

#include "cli/cli_priv.h"

/* Every value given for a flag, in order; as SPIRE has them a comma is part of a value. */
const struct mln_value *entry_all_of(struct mln_cli *cli, const char *flag, const char *other);
/* The flag, or its spelling of spire-server. NULL: neither */
const char *entry_text(struct mln_cli *cli, const char *flag, const char *other);
void entry_table(struct mln_cli *cli, const struct mln_value *entries);
/* All entries that fit the query ("&parent_id=..."), page by page: an array of objects, oldest first. */
struct mln_err entry_fetch(struct mln_cli *cli, const char *query, const struct mln_value **ret);
/* A part of a query: "&name=value", percent-encoded; "" when value is NULL. */
const char *entry_query(struct mln_cli *cli, const char *name, const char *value);
/* The file of --file (or -f): {"trust_domain","entries":[],"rules":[],...}; a bare list is the entries. errors INVALID */
struct mln_err entry_file(struct mln_cli *cli, const struct mln_value **ret);

/* ---- apply ---- */
struct entry_apply {
    struct mln_cli *cli;
    const char *source;
    const struct mln_value *there; /* entries of the server */
    struct mln_value *keys;        /* object: what makes them the same -> entry */
    struct mln_value *seen;        /* object: the same, of the file */
    int64_t created, updated, deleted, same;
    bool prunes, is_dry;
};
/* Does the file say something of it that the server has otherwise? Lists as sets. */
bool entry_differs(struct mln_cli *cli, const struct mln_value *want, const struct mln_value *have);
/* The lists of the file besides entries (entry_parts.c); counts in a. */
struct mln_err entry_apply_parts(struct entry_apply *a, const struct mln_value *file);
