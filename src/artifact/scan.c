/* SPDX-License-Identifier: Apache-2.0 */
/* Reports, and which scanners look at a file: every one that a loader might choose. */
#include "artifact/scan.h"

#include "base/text.h"

#include <stdio.h>

#define DETAIL_MAX 512 /* of one line for a person */

#define MLN_SCANNER(name) extern const struct mln_scanner mln_scanner_##name;
#include "artifact/scanner.def"
#undef MLN_SCANNER
#define MLN_SCANNER(name) &mln_scanner_##name,
const struct mln_scanner *const mln_scanners[] = {
#include "artifact/scanner.def"
    NULL,
};
#undef MLN_SCANNER

#define SCANNERS_MAX 32u

const char *mln_verdict_name(enum mln_verdict verdict)
{
    static const char *const names[] = {"clean", "unsupported", "suspicious", "malformed",
                                        "malicious"};
    MLN_CHECK((unsigned)verdict < MLN_COUNT(names));
    return names[verdict];
}

const char *mln_severity_name(enum mln_severity severity)
{
    static const char *const names[] = {"info", "low", "medium", "high", "critical"};
    MLN_CHECK((unsigned)severity < MLN_COUNT(names));
    return names[severity];
}

/* ---- reports ---- */

/* Names from files are hostile: one line, valid UTF-8, no control characters. */
static struct mln_bytes printable(struct mln_cx *cx, struct mln_bytes text)
{
    bool is_utf8 = mln_utf8_valid(text);
    uint8_t *to = mln_new(cx, text.len + 1);
    for (size_t i = 0; to != NULL && i < text.len; i++) {
        uint8_t c = text.ptr[i];
        to[i] = c < 0x20 || c == 0x7F || (c >= 0x80 && !is_utf8) ? '?' : c;
    }
    return mln_bytes_at(to, to != NULL ? text.len : 0);
}

/* Cut at a whole character. */
static size_t cut_length(const char *text, size_t n)
{
    size_t at = n < DETAIL_MAX ? n : DETAIL_MAX - 1;
    while (n >= DETAIL_MAX && at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80) {
        at--;
    }
    return at;
}

/* One parameter more than others take: the two printf-like forms end here. */
__attribute__((format(printf, 8, 0))) /* NOLINTNEXTLINE(readability-function-size) */
static void add_finding(struct mln_scan_report *report, enum mln_verdict verdict,
                        enum mln_severity severity, const char *rule, uint64_t offset,
                        const char *opcode, const char *callable, const char *format, va_list ap)
{
    report->verdict = verdict > report->verdict ? verdict : report->verdict;
    if (mln_len(report->findings) >= MLN_SCAN_FINDINGS_MAX) {
        report->n_dropped++;
        return;
    }
    struct mln_cx *cx = report->cx;
    char text[DETAIL_MAX];
    int n = vsnprintf(text, sizeof(text), format, ap);
    size_t len = n > 0 ? cut_length(text, (size_t)n) : 0;
    struct mln_value *finding = mln_object(cx);
    mln_put_text(cx, finding, "rule", rule);
    mln_put_text(cx, finding, "severity", mln_severity_name(severity));
    if (offset == MLN_SCAN_OFFSET_NONE || offset > INT64_MAX) {
        mln_put_null(cx, finding, "offset");
    } else {
        mln_put_int(cx, finding, "offset", (int64_t)offset);
    }
    mln_put_bytes(cx, finding, "detail", printable(cx, mln_bytes_at(text, len)));
    if (opcode != NULL) {
        mln_put_text(cx, finding, "opcode", opcode);
    }
    if (callable != NULL) {
        mln_put_bytes(cx, finding, "callable", printable(cx, mln_bytes_of(callable)));
    }
    mln_push(cx, report->findings, finding);
}

void mln_scan_find(struct mln_scan_report *report, enum mln_verdict verdict,
                   enum mln_severity severity, const char *rule, uint64_t offset,
                   const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add_finding(report, verdict, severity, rule, offset, NULL, NULL, format, ap);
    va_end(ap);
}

void mln_scan_find_call(struct mln_scan_report *report, enum mln_verdict verdict,
                        enum mln_severity severity, const char *rule, uint64_t offset,
                        const char *opcode, const char *callable, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add_finding(report, verdict, severity, rule, offset, opcode, callable, format, ap);
    va_end(ap);
}

void mln_scan_skip(struct mln_scan_report *report, const char *what, uint64_t offset,
                   uint64_t bytes)
{
    if (mln_len(report->unread) >= MLN_SCAN_FINDINGS_MAX) {
        return;
    }
    struct mln_value *skipped = mln_object(report->cx);
    mln_put_bytes(report->cx, skipped, "what", printable(report->cx, mln_bytes_of(what)));
    mln_put_int(report->cx, skipped, "offset", (int64_t)offset);
    mln_put_int(report->cx, skipped, "bytes", (int64_t)bytes);
    mln_push(report->cx, report->unread, skipped);
}

const struct mln_value *mln_scan_report_value(const struct mln_scan_report *report,
                                              const char *path)
{
    struct mln_cx *cx = report->cx;
    struct mln_value *v = mln_object(cx);
    mln_put_bytes(cx, v, "path", printable(cx, mln_bytes_of(path)));
    mln_put_text(cx, v, "format", report->format != NULL ? report->format : "unknown");
    mln_put_text(cx, v, "verdict", mln_verdict_name(report->verdict));
    mln_put(cx, v, "findings", report->findings);
    mln_put(cx, v, "not_read", report->unread);
    mln_put_int(cx, v, "bytes", (int64_t)report->bytes_read);
    if (report->n_dropped > 0) {
        mln_put_int(cx, v, "more_findings", (int64_t)report->n_dropped);
    }
    return v;
}

/* ---- dispatch ---- */

/* How sure each scanner is; the best of all. */
static int probe_all(const struct mln_scan_input *input, int how[SCANNERS_MAX])
{
    int best = 0;
    for (size_t i = 0; mln_scanners[i] != NULL; i++) {
        MLN_CHECK(i < SCANNERS_MAX);
        how[i] = mln_scanners[i]->probe(input);
        best = how[i] > best ? how[i] : best;
    }
    return best;
}

/*
 * A name alone counts only where nothing in the bytes says what they are: a zip named .npy is a zip to every loader, while text
 * named .pkl is a broken pickle.
 */
struct mln_err mln_scan_bytes(struct mln_cx *cx, const struct mln_scan_input *input,
                              struct mln_scan_report *report)
{
    int how[SCANNERS_MAX] = {0};
    int best = probe_all(input, how);
    const char *format = NULL;
    for (int sure = best; sure > 0 && (sure > 1 || best == 1); sure--) {
        for (size_t i = 0; mln_scanners[i] != NULL; i++) {
            if (how[i] != sure) {
                continue;
            }
            report->format = mln_scanners[i]->format;
            MLN_TRY(mln_scanners[i]->scan(cx, input, report));
            format = format != NULL ? format : report->format;
        }
    }
    report->format = format != NULL ? format : "unknown";
    if (best == 0) {
        mln_scan_find(report, MLN_VERDICT_UNSUPPORTED, MLN_SEVERITY_INFO, "unsupported",
                      input->base, "no known format");
        mln_scan_skip(report, "whole file", input->base, input->map.len);
    }
    return mln_cx_err(cx);
}
