/* SPDX-License-Identifier: Apache-2.0 */
/* What methods do with the rows of their roles and users: names of rows, lists of them. */
#pragma once

#include "contract/engine.h"

/*
 * A name as rows have it: folded to lower case, one segment.
 * what     "role", "user": for the text
 * name     the caller has looked at its length, and says what is wrong with that in its own words
 * errors   INVALID: control characters or "/"
 */
struct mln_err mln_method_fold(struct mln_request *rq, const char *what, struct mln_bytes name, const char **ret);
/* Answer the names below a folder of the mount ("role/"); none: 404 without a text. */
struct mln_err mln_method_list(struct mln_request *rq, struct mln_reply *re, struct mln_bytes folder);
