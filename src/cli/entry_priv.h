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
