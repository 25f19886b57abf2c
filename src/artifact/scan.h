/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scanning of model files: what would happen if a loader opened them. Never loads anything. Each format is one file that ends in
 * one descriptor plus one line in scanner.def. Pure over a read-only view of one file: runs in the box, in tests and in fuzzers.
 */
#pragma once

#include "base/value.h"

enum mln_verdict { MLN_VERDICT_CLEAN, MLN_VERDICT_UNSUPPORTED, MLN_VERDICT_SUSPICIOUS, MLN_VERDICT_MALFORMED, MLN_VERDICT_MALICIOUS };
enum mln_severity { MLN_SEVERITY_INFO, MLN_SEVERITY_LOW, MLN_SEVERITY_MEDIUM, MLN_SEVERITY_HIGH, MLN_SEVERITY_CRITICAL };
const char *mln_verdict_name(enum mln_verdict verdict);
const char *mln_severity_name(enum mln_severity severity);

#define MLN_SCAN_OFFSET_NONE UINT64_MAX
#define MLN_SCAN_DEPTH_MAX 4     /* archive in archive: deeper is suspicious */
#define MLN_SCAN_FINDINGS_MAX 256 /* of one file: the rest is counted */

/* The bytes of one file or member. map: the file mapped or read, borrowed. base: offset of map[0] in the outer file. */
struct mln_scan_input {
    const char *path;         /* as reports name it; members as "path!member" */
    struct mln_bytes map;
    uint64_t base;
    unsigned depth;
};

/* The report of one file while it grows; worst verdict wins. Lives in the arena of cx. */
struct mln_scan_report {
    struct mln_cx *cx;
    const char *format;       /* "pickle", "torch-zip", ...: set by the scanner */
    enum mln_verdict verdict;
    struct mln_value *findings; /* array of {"rule","severity","offset":n|null,"detail", "member"?, "opcode"?, "callable"?} */
    struct mln_value *unread;   /* array of {"what","offset","bytes"}: what was not looked at, e.g. tensor data */
    uint64_t n_dropped;
    uint64_t bytes_read;
};
/* Raise the verdict to at least `verdict` and add a finding. detail: one line, names made printable. */
void mln_scan_find(struct mln_scan_report *report, enum mln_verdict verdict, enum mln_severity severity, const char *rule,
                   uint64_t offset, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* The same with opcode and callable ("os.system") as members of their own; either may be NULL. */
void mln_scan_find_call(struct mln_scan_report *report, enum mln_verdict verdict, enum mln_severity severity, const char *rule,
                        uint64_t offset, const char *opcode, const char *callable, const char *format, ...)
    __attribute__((format(printf, 8, 9)));
void mln_scan_skip(struct mln_scan_report *report, const char *what, uint64_t offset, uint64_t bytes);

struct mln_scanner {
    const char *format;       /* "pickle" */
    const char *summary;
    const char *extensions;   /* " .pkl .pickle .joblib ": hints only, never trusted alone */
    /* How sure is it that this is the format: 0 no, 1 by extension only, 2 by magic, 3 by structure. */
    int (*probe)(const struct mln_scan_input *input);
    /* errors only MEMORY and the like: what is wrong with the file is a finding */
    struct mln_err (*scan)(struct mln_cx *cx, const struct mln_scan_input *input, struct mln_scan_report *report);
};
extern const struct mln_scanner *const mln_scanners[]; /* scanner.def; ends with NULL */

/*
 * Pick the scanners (every one that a loader might choose: magic and extension both count) and run them. Members of archives come
 * back through here with depth + 1. A truncated or unknown file is `unsupported` or `malformed`, never clean.
 */
struct mln_err mln_scan_bytes(struct mln_cx *cx, const struct mln_scan_input *input, struct mln_scan_report *report);
/* {"path","format","verdict","findings":[...],"not_read":[...],"bytes":n} */
const struct mln_value *mln_scan_report_value(const struct mln_scan_report *report, const char *path);

/*
 * A pickle stream inside `input` at `at`: runs the tracking interpreter to STOP; *ret_end is the offset behind it. Used by torch,
 * npy and joblib readers too. persistent ids are allowed when `allow_persid` (torch zip).
 */
struct mln_err mln_scan_pickle_at(struct mln_cx *cx, const struct mln_scan_input *input, size_t at, bool allow_persid,
                                  struct mln_scan_report *report, size_t *ret_end);
