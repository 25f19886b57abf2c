/* SPDX-License-Identifier: Apache-2.0 */
/* Between zip.c (headers, directories, end records), zip_gaps.c (the rest of the file) and zip_content.c (unpacking). */
#pragma once

#include "artifact/zip.h"

#define SIG_LOCAL   0x04034b50u
#define SIG_CENTRAL 0x02014b50u
#define SIG_END     0x06054b50u
#define SIG_END64   0x06064b50u
#define SIG_LOCATOR 0x07064b50u
#define SIG_DESCR   0x08074b50u

#define FLAG_STREAMED 0x0008u

/* One end record and where its directory lies. */
struct mln_zip_end {
    uint64_t at;
    uint64_t to; /* behind the comment */
    uint64_t dir_at;
    uint64_t dir_len;
    uint64_t count;
    uint64_t shift;    /* bytes before the archive that offsets do not count */
    uint64_t extra_at; /* of the zip64 records before it; = at when there are none */
};

static inline bool mln_zip_sig_at(struct mln_bytes map, uint64_t at, uint32_t sig)
{
    return at <= map.len && map.len - at >= 4 && mln_get_u32le(map.ptr + at) == sig;
}

/* A finding "malformed" at an offset of the map. */
void mln_zip_bad(struct mln_scan_report *report, const struct mln_zip *zip, uint64_t at,
                 const char *rule, const char *text);
/* A local header at `at`, if there is one that fits the map; its data may reach further. */
bool mln_zip_local(struct mln_bytes map, uint64_t at, struct mln_zip_member *ret);
/* Append a copy; NULL with MEMORY on cx. */
struct mln_zip_member *mln_zip_add(struct mln_cx *cx, struct mln_zip *zip,
                                   const struct mln_zip_member *member);
/* Findings for names that lead out of a folder and for flags that change what a member holds. */
void mln_zip_check_name(struct mln_scan_report *report, const struct mln_zip *zip,
                        const struct mln_zip_member *member);
/* Account for every byte: what lies between members and directories becomes members or findings. errors MEMORY */
struct mln_err mln_zip_account(struct mln_cx *cx, struct mln_scan_report *report,
                               struct mln_zip *zip, const struct mln_zip_end *ends, size_t n_ends);
/* Findings for members of one name. errors MEMORY */
struct mln_err mln_zip_doubles(struct mln_cx *cx, struct mln_scan_report *report,
                               const struct mln_zip *zip);
