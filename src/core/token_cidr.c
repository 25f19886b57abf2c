/* SPDX-License-Identifier: Apache-2.0 */
/* Where a token may be used from. */
#include "core/token_priv.h"

#include "base/cidr.h"

#define CIDRS_MAX 256u /* of one token: each use walks them */

struct mln_err mln_token_cidrs_check(struct mln_cx *cx, const struct mln_value *list)
{
    struct mln_cidr block;
    if (mln_len(list) > CIDRS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "more than %u address blocks", CIDRS_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes text = mln_bytes_trim(mln_get_bytes(mln_item(list, i)));
        if (!mln_cidr_parse(text, &block)) {
            return mln_fail(cx, MLN_E_INVALID, "invalid CIDR block \"%.*s\"",
                            MLN_FMT(mln_bytes_sub(text, 0, 64)));
        }
    }
    return MLN_OK;
}

bool mln_token_may_come_from(const struct mln_value *entry, const char *source)
{
    const struct mln_value *list = mln_get(entry, "bound_cidrs");
    struct mln_cidr block;
    bool may = mln_len(list) == 0;
    for (size_t i = 0; i < mln_len(list) && !may; i++) {
        may = mln_cidr_parse(mln_bytes_trim(mln_get_bytes(mln_item(list, i))), &block) &&
              mln_cidr_has(&block, mln_bytes_of(source));
    }
    return may;
}
