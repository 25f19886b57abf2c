/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of the rules of who may talk to whom (spiffe/authz/rules): a text, or with "*" at its end all that begin so. The server
 * judges by them and the command line draws by them, so they stand here once. Only at the end, so that a rule can be read at a glance.
 */
#pragma once

#include "base/value.h"

bool mln_rule_fits(struct mln_bytes pattern, struct mln_bytes text);
/* An absent or empty list is for all. */
bool mln_rule_fits_any(const struct mln_value *patterns, struct mln_bytes text);
/* Does `wide` fit whatever `narrow`, a pattern itself, fits? */
bool mln_rule_covers(struct mln_bytes wide, struct mln_bytes narrow);
/* Is there a text that both patterns fit? */
bool mln_rule_meets(struct mln_bytes a, struct mln_bytes b);
