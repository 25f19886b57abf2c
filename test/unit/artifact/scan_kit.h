/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of scanners: run one scanner over bytes, look for rules in its report. */
#pragma once

#include "kit/kit.h"

#include "artifact/scan.h"

static inline struct mln_scan_report scan_report(struct mln_cx *cx)
{
    return (struct mln_scan_report){.cx = cx, .findings = mln_array(cx), .unread = mln_array(cx)};
}

static inline struct mln_scan_report scan_with(struct mln_cx *cx, const struct mln_scanner *scanner,
                                               const char *path, struct mln_bytes map)
{
    struct mln_scan_report report = scan_report(cx);
    struct mln_scan_input input = {.path = path, .map = map};
    kit_ok(cx, scanner->scan(cx, &input, &report));
    return report;
}

static inline int scan_probe(const struct mln_scanner *scanner, const char *path,
                             struct mln_bytes map)
{
    struct mln_scan_input input = {.path = path, .map = map};
    return scanner->probe(&input);
}

static inline bool scan_has_rule(const struct mln_scan_report *report, const char *rule)
{
    for (size_t i = 0; i < mln_len(report->findings); i++) {
        if (mln_is_text(mln_get(mln_item(report->findings, i), "rule"), rule)) {
            return true;
        }
    }
    return false;
}

/* The verdict, and a finding of this rule; NULL: no finding above severity low. */
static inline void scan_expect(const char *name, const struct mln_scan_report *report,
                               enum mln_verdict verdict, const char *rule)
{
    bool has = rule == NULL || scan_has_rule(report, rule);
    if (report->verdict != verdict || !has) {
        for (size_t i = 0; i < mln_len(report->findings); i++) {
            const struct mln_value *f = mln_item(report->findings, i);
            print_error("  %.*s: %.*s\n", MLN_FMT(mln_get_bytes(mln_get(f, "rule"))),
                        MLN_FMT(mln_get_bytes(mln_get(f, "detail"))));
        }
        fail_msg("%s: verdict %d, wanted %d with rule %s", name, (int)report->verdict, (int)verdict,
                 rule == NULL ? "none" : rule);
    }
}
