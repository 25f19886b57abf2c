/* SPDX-License-Identifier: Apache-2.0 */
/* Glob patterns: "*" and "?" stop at delimiters, "**" does not; [a-z] [!ab] {x,y} and \ before any of them. */
#pragma once

#include "base/bytes.h"

#include <stdbool.h>

#define GLOB_STEPS_MAX 65536u /* steps of a pattern: longer ones are no pattern of names */
#define GLOB_NEST_MAX  100    /* braces in braces: the reader recurses */

struct rg_glob;
/* NULL: *why says what is wrong (static). One thread's: it keeps room for its runs. */
struct rg_glob *rg_glob_new(struct mln_bytes pattern, const uint32_t *delimiters, uint32_t n, const char **why);
void rg_glob_free(void *glob);
bool rg_glob_match(struct rg_glob *glob, struct mln_bytes text, uint64_t *ret_steps); /* adds what it took */
