/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_exceptions_parse, mln_decision_mask, mln_decision_replay, over one JSON document. What replays equal does so twice. */
#include "fuzz.h"

#include "assure/decision.h"
#include "assure/exception.h"
#include "base/json.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)32 << 20, false);
    struct mln_cx cx;
    const struct mln_value *doc = NULL, *list = NULL, *first = NULL, *second = NULL;
    struct mln_value *masked = NULL, *hit = NULL;
    mln_cx_init(&cx, arena);
    if (size <= 65536 && !mln_failed(mln_json_parse(&cx, mln_bytes_at(data, size), &doc))) {
        (void)mln_failed(mln_exceptions_parse(&cx, mln_get(doc, "exceptions"), 1, &list));
        mln_cx_clear(&cx);
        (void)mln_failed(mln_decision_mask(&cx, mln_get(doc, "input"), mln_get(doc, "masks"), &masked, &hit));
        mln_cx_clear(&cx);
        if (!mln_failed(mln_decision_replay(&cx, doc, &first)) && !mln_failed(mln_decision_replay(&cx, doc, &second))) {
            MLN_CHECK(mln_value_eq(mln_get(first, "outcome"), mln_get(second, "outcome")));
        }
    }
    mln_arena_free(arena);
    return 0;
}
