/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_spiffe_id_parse, mln_spiffe_pattern_check, mln_spiffe_pattern_fits. An id's parts make the id again. */
#include "fuzz.h"

#include "base/spiffe_id.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_bytes text = mln_bytes_at(data, size);
    struct mln_spiffe_id id = {.text = MLN_BYTES_NONE};
    bool is_pattern = !mln_failed(mln_spiffe_pattern_check(NULL, text));
    if (mln_failed(mln_spiffe_id_parse(NULL, text, &id))) {
        MLN_CHECK(id.text.len == 0);
        MLN_CHECK(is_pattern || !mln_spiffe_pattern_fits(text, MLN_BYTES("spiffe://a/b")));
        return 0;
    }
    MLN_CHECK(is_pattern && mln_spiffe_domain_ok(id.domain));
    MLN_CHECK(9 + id.domain.len + id.path.len == size && id.path.ptr == id.domain.ptr + id.domain.len);
    MLN_CHECK(mln_spiffe_pattern_fits(text, text)); /* an id is a pattern of itself alone */
    struct mln_bytes cut = mln_bytes_sub(text, 0, size - 1);
    MLN_CHECK(!mln_spiffe_pattern_fits(text, cut) && !mln_spiffe_pattern_fits(cut, text));
    return 0;
}
