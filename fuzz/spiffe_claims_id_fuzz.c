/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: sp_claims_id_check, sp_claims_id_fill. Input: a template, a line end, claims as JSON. What is filled is an id of a workload of
 * the template's own trust domain with every literal part of the template in its place, whatever the claims say.
 */
#include "fuzz.h"

#include "base/json.h"
#include "identity/spiffe_claims_id.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    struct mln_bytes json, text = mln_bytes_cut(mln_bytes_at(data, size), '\n', &json);
    const struct mln_value *claims = NULL;
    const char *filled = NULL;
    struct mln_spiffe_id id;
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    bool is_template = !mln_failed(sp_claims_id_check(&cx, text, MLN_BYTES("example.org")));
    mln_cx_clear(&cx);
    if (is_template && !mln_failed(mln_json_parse(&cx, json, &claims)) &&
        !mln_failed(sp_claims_id_fill(&cx, text, claims, &filled))) {
        MLN_CHECK(!mln_failed(mln_spiffe_id_parse(&cx, mln_bytes_of(filled), &id)));
        MLN_CHECK(mln_bytes_is(id.domain, "example.org") && id.path.len > 1 &&
                  !sp_id_is_reserved(&id));
        struct mln_bytes head = mln_bytes_sub(text, 0, mln_bytes_find_bytes(text, MLN_BYTES("{{")));
        MLN_CHECK(mln_bytes_starts(id.text, head));
    }
    mln_arena_free(arena);
    return 0;
}
