/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader of policies and the decision table share: one rule for one pattern. */
#pragma once

#include "policy/acl.h"

#define ACL_MEMORY_MAX   (64u << 20) /* of one parsed policy or one table; a text of 256 KiB of rules needs far less */
#define ACL_SEGMENTS_MAX 128         /* of a pattern: bounds the walk of a match */

/* Constraints are objects of name -> array of values (an empty array: any value); names in lower case. */
struct acl_rule {
    struct mln_bytes pattern;  /* as written, without a leading "/" */
    struct mln_bytes literal;  /* pattern without the final "*" of a glob */
    unsigned capabilities;     /* MLN_CAP_DENY alone when denied */
    bool is_glob;              /* ends in "*" */
    bool has_plus;             /* a whole segment is "+" */
    size_t first_wild;         /* position of the first "+" or the final "*"; SIZE_MAX without */
    size_t plus_n;
    uint64_t head, head_mask; /* the first fixed bytes (up to 8): a cheap test before the whole one */
    struct mln_value *allowed, *denied; /* objects or NULL */
    struct mln_value *required;         /* array of names or NULL */
    int64_t min_wrap_s, max_wrap_s;     /* 0 = no limit */
    int64_t pagination;                 /* most entries that a list may ask for; 0 = no limit */
    int64_t expires_ns;                 /* 0 = never */
};

struct mln_policy {
    struct mln_arena *arena;
    struct acl_rule *rules;
    size_t n, cap;
};

/* The first 8 bytes of a path or pattern as a number, zeros behind a shorter one. */
static inline uint64_t acl_head(struct mln_bytes text)
{
    uint8_t first[8] = {0};
    mln_copy(first, text.ptr, text.len < 8 ? text.len : 8);
    return mln_get_u64be(first);
}

/* Fill in what follows from the pattern. */
void acl_rule_classify(struct acl_rule *rule);
/* Is there a "{{...}}" in the pattern that only an identity could fill? */
bool acl_rule_is_template(const struct acl_rule *rule);
