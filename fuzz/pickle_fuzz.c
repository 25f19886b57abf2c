/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_scanner_pickle, mln_scanner_text, mln_scan_pickle_at, mln_scan_bytes, pk_rate. */
#include "artifact/pickle_priv.h"
#include "scan_fuzz.h"

extern const struct mln_scanner mln_scanner_pickle;
extern const struct mln_scanner mln_scanner_text;

/* Where a stream is cut, a loader has done no more than before: what was malicious stays so. */
static void cut(struct mln_cx *cx, struct mln_bytes map)
{
    struct mln_scan_input input = {.path = "x", .map = map};
    enum mln_verdict last = MLN_VERDICT_CLEAN;
    for (size_t n = map.len / 4; n > 0 && n <= map.len; n += map.len / 4 + 1) {
        struct mln_scan_report report = {
            .cx = cx, .findings = mln_array(cx), .unread = mln_array(cx)};
        size_t end = 0;
        input.map.len = n;
        if (mln_failed(mln_scan_pickle_at(cx, &input, 0, false, &report, &end))) {
            return;
        }
        MLN_CHECK(end <= n && report.bytes_read <= n);
        MLN_CHECK(last != MLN_VERDICT_MALICIOUS || report.verdict == MLN_VERDICT_MALICIOUS);
        last = report.verdict;
    }
}

/* A name is allowed, dangerous or neither, wherever its halves are divided. */
static void rate(struct mln_bytes map)
{
    struct mln_bytes name = {0};
    struct mln_bytes module = mln_bytes_cut(mln_bytes_sub(map, 0, 256), '\n', &name);
    enum pk_rule rule = PK_RULE_NONE;
    enum pk_rating rating = pk_rate(module, name, &rule);
    MLN_CHECK(rating == PK_ALLOWED || rule == PK_RULE_NONE);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_scan_input input = {.path = "x", .map = mln_bytes_at(data, size)};
    struct mln_scan_report report = {
        .cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
    cut(&cx, input.map);
    rate(input.map);
    if (!mln_failed(mln_scan_bytes(&cx, &input, &report))) {
        MLN_CHECK(report.format != NULL);
        (void)mln_scan_report_value(&report, "x");
    }
    mln_arena_free(arena);
    (void)scan_fuzz(&mln_scanner_text, "x.yaml", data, size);
    (void)scan_fuzz(&mln_scanner_text, "x.json", data, size);
    return scan_fuzz(&mln_scanner_pickle, "x.pkl", data, size);
}
