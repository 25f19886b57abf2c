/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: sp_bundle_parse, sp_bundle_parse_text, sp_der_length. What parses has keys and whole certificates. */
#include "fuzz.h"

#include "identity/spiffe_bundle.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    const struct mln_value *parsed = NULL;
    MLN_CHECK(sp_der_length(mln_bytes_at(data, size)) <= size);
    if (!mln_failed(sp_bundle_parse_text(&cx, mln_bytes_at(data, size), &parsed))) {
        const struct mln_value *x509 = mln_get(parsed, "x509"), *jwt = mln_get(parsed, "jwt");
        MLN_CHECK(mln_len(x509) + mln_len(jwt) > 0);
        MLN_CHECK(mln_get_int(mln_get(parsed, "sequence"), -1) >= 0);
        for (size_t i = 0; i < mln_len(x509); i++) {
            struct mln_bytes der = mln_get_bytes(mln_item(x509, i));
            MLN_CHECK(sp_der_length(der) == der.len);
        }
        for (size_t i = 0; i < mln_len(jwt); i++) {
            MLN_CHECK(mln_len(mln_get(mln_item(jwt, i), "kid")) > 0);
            MLN_CHECK(mln_get(mln_item(jwt, i), "d") == NULL);
        }
    }
    mln_arena_free(arena);
    return 0;
}
