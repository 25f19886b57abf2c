/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For targets that are scanners: any bytes give a report, twice the same one; a verdict other than clean has a finding; offsets
 * are within the file unless they lie in a member.
 */
#pragma once

#include "fuzz.h"

#include "artifact/scan.h"

static inline void scan_check_findings(const struct mln_scan_report *report, size_t size)
{
    for (size_t i = 0; i < mln_len(report->findings); i++) {
        const struct mln_value *f = mln_item(report->findings, i);
        MLN_CHECK(mln_type_of(mln_get(f, "rule")) == MLN_STRING);
        MLN_CHECK(mln_type_of(mln_get(f, "detail")) == MLN_STRING);
        if (mln_get(f, "member") == NULL) {
            MLN_CHECK(mln_get_int(mln_get(f, "offset"), 0) <= (int64_t)size);
        }
    }
    MLN_CHECK(report->verdict == MLN_VERDICT_CLEAN || mln_len(report->findings) > 0 ||
              report->n_dropped > 0);
}

static inline int scan_fuzz(const struct mln_scanner *scanner, const char *path,
                            const uint8_t *data, size_t size)
{
    struct mln_scan_report reports[2];
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_scan_input input = {.path = path, .map = mln_bytes_at(data, size)};
    int sure = scanner->probe(&input);
    MLN_CHECK(sure >= 0 && sure <= 3 && sure == scanner->probe(&input));
    for (size_t i = 0; i < 2; i++) {
        reports[i] = (struct mln_scan_report){
            .cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
        struct mln_err err = scanner->scan(&cx, &input, &reports[i]);
        if (mln_failed(err)) {
            MLN_CHECK(mln_is(err, MLN_E_MEMORY));
            mln_arena_free(arena);
            return 0;
        }
        scan_check_findings(&reports[i], size);
    }
    MLN_CHECK(reports[0].verdict == reports[1].verdict);
    MLN_CHECK(mln_value_eq(reports[0].findings, reports[1].findings));
    mln_arena_free(arena);
    return 0;
}
