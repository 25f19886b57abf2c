/* SPDX-License-Identifier: Apache-2.0 */
/* See spiffe_rule.h. */
#include "identity/spiffe_rule.h"

static bool is_prefix(struct mln_bytes pattern)
{
    return mln_bytes_ends(pattern, MLN_BYTES("*"));
}

static struct mln_bytes stem(struct mln_bytes pattern)
{
    return is_prefix(pattern) ? mln_bytes_sub(pattern, 0, pattern.len - 1) : pattern;
}

bool mln_rule_fits(struct mln_bytes pattern, struct mln_bytes text)
{
    return is_prefix(pattern) ? mln_bytes_starts(text, stem(pattern)) : mln_bytes_eq(pattern, text);
}

bool mln_rule_fits_any(const struct mln_value *patterns, struct mln_bytes text)
{
    bool found = mln_len(patterns) == 0;
    for (size_t i = 0; i < mln_len(patterns) && !found; i++) {
        found = mln_rule_fits(mln_get_bytes(mln_item(patterns, i)), text);
    }
    return found;
}

bool mln_rule_covers(struct mln_bytes wide, struct mln_bytes narrow)
{
    return is_prefix(wide) ? mln_bytes_starts(stem(narrow), stem(wide))
                           : !is_prefix(narrow) && mln_bytes_eq(wide, narrow);
}

bool mln_rule_meets(struct mln_bytes a, struct mln_bytes b)
{
    return mln_rule_covers(a, b) || mln_rule_covers(b, a);
}
