/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Password policies: how long a generated password is and which characters it has, in HCL or JSON as Vault's documentation of
 * sys/policies/password gives them:
 *
 *   length = 20
 *   rule "charset" { charset = "abc...", min-chars = 1 }   any number of times; an alphabet is the union of all charsets
 */
#pragma once

#include "policy/acl.h"

#define MLN_PASSGEN_LENGTH_MIN 4u
#define MLN_PASSGEN_LENGTH_MAX 100u
#define MLN_PASSGEN_RULES_MAX  32u   /* kinds of characters; people write four or five */
#define MLN_PASSGEN_CHARS_MAX  4096u /* characters of all charsets */

struct mln_passgen; /* in the arena of cx */

/* text: at most MLN_POLICY_MAX_BYTES. errors PARSE, INVALID */
struct mln_err mln_passgen_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_passgen **ret);
/*
 * One password, drawn evenly among all that the policy allows. Appended to a secret buffer.
 * errors INVALID when none was found in many draws: its rules are impossible or nearly so
 */
struct mln_err mln_passgen_draw(struct mln_cx *cx, const struct mln_passgen *policy, struct mln_buf *to);
