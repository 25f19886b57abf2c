/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_scanner_zip, mln_zip_probe, mln_zip_read, mln_zip_content, mln_zip_head, mln_torch_code. */
#include "artifact/torch_code.h"
#include "artifact/zip.h"
#include "scan_fuzz.h"

extern const struct mln_scanner mln_scanner_zip;

/* Members lie in the file, in order; their content stays within the limits. */
static void members(struct mln_cx *cx, const struct mln_scan_input *input)
{
    struct mln_zip zip;
    struct mln_buf scratch = {0};
    struct mln_scan_report report = {.cx = cx, .findings = mln_array(cx), .unread = mln_array(cx)};
    if (mln_failed(mln_zip_read(cx, input, &report, &zip))) {
        return;
    }
    for (size_t i = 0; i < zip.n; i++) {
        const struct mln_zip_member *m = &zip.members[i];
        struct mln_bytes content = MLN_BYTES_NONE;
        bool is_whole = false;
        MLN_CHECK(i == 0 || zip.members[i - 1].header_at <= m->header_at);
        if (!m->in_local) {
            continue;
        }
        MLN_CHECK(m->header_at < m->data_at && m->data_at <= m->end_at);
        MLN_CHECK(m->end_at <= input->map.len && m->packed <= m->end_at - m->data_at);
        if (!mln_failed(mln_zip_head(cx, &zip, m, 64, &scratch, &content))) {
            MLN_CHECK(content.len <= 64);
        }
        struct mln_err err = mln_zip_content(cx, &zip, m, &report, &scratch, &content, &is_whole);
        MLN_CHECK(mln_failed(err) || content.len <= MLN_ZIP_MEMBER_BYTES_MAX);
    }
    mln_buf_drop(&scratch);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_scan_input input = {.path = "x.zip", .map = mln_bytes_at(data, size)};
    struct mln_scan_report report = {
        .cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
    members(&cx, &input);
    mln_torch_code(&report, input.map, 0);
    scan_check_findings(&report, size);
    mln_arena_free(arena);
    return scan_fuzz(&mln_scanner_zip, "x.zip", data, size);
}
