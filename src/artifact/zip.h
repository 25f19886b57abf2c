/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A zip reader for the suspicious: it takes the union of what the central directories name and of what local headers lie in the
 * file, since loaders differ in which of the two they believe. Every byte is accounted for: members, directory, end records;
 * what is left over is a gap, and a gap that is not all zero is a finding. Never extracts to disk.
 * Source: PKWARE APPNOTE 6.3.10.
 */
#pragma once

#include "artifact/scan.h"

#define MLN_ZIP_MEMBERS_MAX                                                                        \
    (1u << 18) /* of one archive: large models have some ten thousand tensors */
#define MLN_ZIP_MEMBER_BYTES_MAX ((size_t)64 << 20) /* unpacked of one member; more is not read */
#define MLN_ZIP_TOTAL_BYTES_MAX                                                                    \
    ((size_t)512 << 20) /* unpacked of one archive: a bomb is cut there */
#define MLN_ZIP_STORED   0
#define MLN_ZIP_DEFLATED 8

struct mln_zip_member {
    struct mln_bytes
        name; /* as the directory has it, else the local header's; borrowed from the map */
    struct mln_bytes local_name; /* the local header's; equal to name in an honest file */
    uint64_t header_at;          /* of the local header, in the map */
    uint64_t data_at;
    uint64_t end_at; /* behind data and descriptor */
    uint64_t packed; /* cut to what lies in the map */
    uint64_t size;
    uint32_t crc;
    uint16_t method;
    uint16_t flags;
    bool in_central;
    bool in_local;
    bool has_size; /* false: size and CRC unknown (streamed, and the directory does not name it) */
};

struct mln_zip {
    struct mln_bytes map;
    uint64_t base;                  /* of the map in the outer file: for offsets in findings */
    struct mln_zip_member *members; /* by header_at */
    size_t n;
    size_t cap;
    uint64_t unpacked; /* so far, by mln_zip_content and mln_zip_head */
    uint64_t viewed;   /* of stored members: more than the map holds means that members overlap */
    uint64_t
        budget; /* for unpacked: less for archives in archives, so that nesting does not multiply */
};

/* 0 no zip; 2 begins like one or has an end record whose directory is where it says; 3 both. */
int mln_zip_probe(struct mln_bytes map);
/*
 * Walk directories, local headers and gaps; what is wrong becomes findings of `report`.
 * ret      members in the arena of cx; empty when there is no structure at all
 * errors   MEMORY
 */
struct mln_err mln_zip_read(struct mln_cx *cx, const struct mln_scan_input *input,
                            struct mln_scan_report *report, struct mln_zip *ret);
/*
 * The content of a member: a view for stored ones, unpacked into `scratch` otherwise; size and CRC are checked.
 * ret         none when the method is unknown; a part when limits cut it (then *ret_whole is false, with a finding)
 * errors      MEMORY
 */
struct mln_err mln_zip_content(struct mln_cx *cx, struct mln_zip *zip,
                               const struct mln_zip_member *member, struct mln_scan_report *report,
                               struct mln_buf *scratch, struct mln_bytes *ret, bool *ret_whole);
/* The first bytes of a deflated member, at most `max`, in `scratch`; fewer when it is damaged. errors MEMORY */
struct mln_err mln_zip_head(struct mln_cx *cx, struct mln_zip *zip,
                            const struct mln_zip_member *member, size_t max,
                            struct mln_buf *scratch, struct mln_bytes *ret);
