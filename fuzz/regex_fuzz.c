/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: the first line is the pattern, the rest the text. The automaton and the program must agree. */
#include "fuzz.h"
#include "rego/regex_priv.h"

static bool spend(void *of, uint64_t steps)
{
    uint64_t *left = of;
    *left = steps > *left ? 0 : *left - steps;
    return *left > 0;
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_bytes text, pattern = mln_bytes_cut(mln_bytes_at(data, size), '\n', &text);
    char why[512];
    uint64_t left = 200000;
    struct rg_regex_meter meter = {spend, &left};
    struct rg_regex *re = rg_regex_new(pattern, why, sizeof(why));
    if (re == NULL) {
        MLN_CHECK(mln_bytes_starts(mln_bytes_of(why), MLN_BYTES("error parsing regexp: ")));
        return 0;
    }
    size_t *places = mln_alloc_array((size_t)re->groups * 2, sizeof(*places));
    MLN_CHECK(places != NULL);
    enum rg_found whole = rg_regex_test(re, text, &meter);
    enum rg_found first = rg_regex_find(re, text, 0, places, re->groups, &meter);
    if (whole != RG_FOUND_STOPPED && first != RG_FOUND_STOPPED) {
        MLN_CHECK(whole == first);
    }
    if (first == RG_FOUND) {
        MLN_CHECK(places[0] <= places[1] && places[1] <= text.len);
    }
    mln_free(places);
    rg_regex_free(re);
    return 0;
}
