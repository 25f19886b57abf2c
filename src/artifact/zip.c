/* SPDX-License-Identifier: Apache-2.0 */
/* Zip structure: end records, directories, local headers, gaps. What it promises stands in zip.h; content is in zip_content.c. */
#include "artifact/zip_priv.h"

#include <stdlib.h>

#define END_BYTES       22u
#define END64_BYTES     56u
#define LOCATOR_BYTES   20u
#define CENTRAL_BYTES   46u
#define LOCAL_BYTES     30u
#define COMMENT_MAX     65535u
#define ENDS_MAX        4u /* end records that fit the file's length: more than one is a trick anyway */
#define EXTRA_ZIP64     0x0001u
#define EXTRA_UNICODE   0x7075u
#define FLAGS_ENCRYPTED 0x0041u
#define FLAG_PATCH      0x0020u
#define U32_MAX         0xffffffffu

void mln_zip_bad(struct mln_scan_report *report, const struct mln_zip *zip, uint64_t at,
                 const char *rule, const char *text)
{
    mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, rule, zip->base + at, "%s",
                  text);
}

/* The data of the first extra field with this id; none when absent. */
static struct mln_bytes extra_find(struct mln_bytes extra, unsigned id)
{
    struct mln_reader r = mln_reader_of(extra);
    while (mln_reader_left(&r) >= 4) {
        unsigned found = mln_read_u16le(&r);
        struct mln_bytes data = mln_read_bytes(&r, mln_read_u16le(&r));
        if (r.is_short) {
            break;
        }
        if (found == id) {
            return data;
        }
    }
    return MLN_BYTES_NONE;
}

/* Take the 64-bit values that stand in for full 32-bit ones, in their fixed order. */
static void widen(struct mln_bytes extra, uint64_t **fields, size_t n)
{
    struct mln_reader r = mln_reader_of(extra_find(extra, EXTRA_ZIP64));
    for (size_t i = 0; i < n; i++) {
        if (*fields[i] == U32_MAX && mln_reader_left(&r) >= 8) {
            *fields[i] = mln_read_u64le(&r);
        }
    }
}

/* A local header at `at`, if there is one that fits. */
bool mln_zip_local(struct mln_bytes map, uint64_t at, struct mln_zip_member *m)
{
    if (!mln_zip_sig_at(map, at, SIG_LOCAL) || map.len - at < LOCAL_BYTES) {
        return false;
    }
    const uint8_t *p = map.ptr + at;
    uint64_t name_len = mln_get_u16le(p + 26);
    uint64_t extra_len = mln_get_u16le(p + 28);
    if (map.len - at - LOCAL_BYTES < name_len + extra_len) {
        return false;
    }
    *m = (struct mln_zip_member){.header_at = at, .in_local = true};
    m->flags = mln_get_u16le(p + 6);
    m->method = mln_get_u16le(p + 8);
    m->crc = mln_get_u32le(p + 14);
    m->packed = mln_get_u32le(p + 18);
    m->size = mln_get_u32le(p + 22);
    m->local_name = mln_bytes_at(p + LOCAL_BYTES, (size_t)name_len);
    m->name = m->local_name;
    uint64_t *wide[] = {&m->size, &m->packed};
    widen(mln_bytes_at(p + LOCAL_BYTES + name_len, (size_t)extra_len), wide, 2);
    m->data_at = at + LOCAL_BYTES + name_len + extra_len;
    m->has_size = (m->flags & FLAG_STREAMED) == 0 || m->packed != 0;
    return true;
}

struct mln_zip_member *mln_zip_add(struct mln_cx *cx, struct mln_zip *zip,
                                   const struct mln_zip_member *m)
{
    if (zip->n == zip->cap) {
        size_t cap = zip->cap == 0 ? 64 : zip->cap * 2;
        struct mln_zip_member *more = mln_new_array(cx, cap, sizeof(*more));
        if (more == NULL) {
            return NULL;
        }
        mln_copy(more, zip->members, zip->n * sizeof(*more));
        zip->members = more;
        zip->cap = cap;
    }
    zip->members[zip->n] = *m;
    return &zip->members[zip->n++];
}

/* ---- central directory ---- */

/* Length of the data descriptor at the end of the data: what of it agrees with the directory; 0 when nothing does. */
static uint64_t descriptor_len(struct mln_bytes map, const struct mln_zip_member *m)
{
    uint64_t at = m->data_at + m->packed;
    uint64_t left = map.len - at;
    uint64_t skip = mln_zip_sig_at(map, at, SIG_DESCR) ? 4 : 0;
    const uint8_t *p = map.ptr + at + skip;
    if (left < skip + 12 || mln_get_u32le(p) != m->crc) {
        return 0;
    }
    if (left >= skip + 20 && mln_get_u64le(p + 4) == m->packed &&
        mln_get_u64le(p + 12) == m->size) {
        return skip + 20;
    }
    if (mln_get_u32le(p + 4) == (uint32_t)m->packed && mln_get_u32le(p + 8) == (uint32_t)m->size) {
        return skip + 12;
    }
    return 0;
}

/* Compare a directory entry with its local header, which a streaming loader believes instead. */
static void compare(struct mln_scan_report *report, const struct mln_zip *zip,
                    const struct mln_zip_member *c, const struct mln_zip_member *l)
{
    bool is_streamed = (l->flags & FLAG_STREAMED) != 0;
    if (!mln_bytes_eq(c->name, l->name)) {
        mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "zip-name-differs",
                      zip->base + l->header_at,
                      "the directory calls the member %.*s, its own header %.*s", MLN_FMT(c->name),
                      MLN_FMT(l->name));
    }
    if (c->method != l->method || ((c->flags ^ l->flags) & ~0x0800u) != 0) {
        mln_zip_bad(report, zip, l->header_at, "zip-header-differs",
                    "directory and local header differ in method or flags");
    }
    bool same = c->crc == l->crc && c->size == l->size && c->packed == l->packed;
    bool blank = l->crc == 0 && l->size == 0 && l->packed == 0;
    if (!same && !(is_streamed && blank)) {
        mln_zip_bad(report, zip, l->header_at, "zip-header-differs",
                    "directory and local header differ in size or CRC");
    }
}

static bool name_is_safe(struct mln_bytes name)
{
    struct mln_bytes rest = name;
    if (name.len == 0 || name.ptr[0] == '/' || (name.len > 1 && name.ptr[1] == ':')) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < 0x20 || name.ptr[i] == '\\' || name.ptr[i] == 0x7f) {
            return false;
        }
    }
    while (rest.len > 0) {
        if (mln_bytes_is(mln_bytes_cut(rest, '/', &rest), "..")) {
            return false;
        }
    }
    return true;
}

void mln_zip_check_name(struct mln_scan_report *report, const struct mln_zip *zip,
                        const struct mln_zip_member *m)
{
    if (!name_is_safe(m->name) || (m->in_local && !name_is_safe(m->local_name))) {
        mln_scan_find(
            report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_HIGH, "zip-path", zip->base + m->header_at,
            "the member's name %.*s leads out of the folder it is unpacked to", MLN_FMT(m->name));
    }
    if ((m->flags & (FLAGS_ENCRYPTED | FLAG_PATCH)) != 0) {
        mln_zip_bad(report, zip, m->header_at, "zip-encrypted",
                    "the member is marked encrypted or patched: loaders disagree on what it holds");
    }
}

/* Complete a directory entry by its local header. */
static void join_local(struct mln_scan_report *report, const struct mln_zip *zip,
                       struct mln_zip_member *m)
{
    struct mln_zip_member local;
    m->has_size = true;
    m->in_central = true;
    if (!mln_zip_local(zip->map, m->header_at, &local)) {
        m->header_at = m->header_at < zip->map.len ? m->header_at : zip->map.len;
        mln_zip_bad(report, zip, m->header_at, "zip-no-header",
                    "the directory names a member where no local header is");
        m->packed = 0;
        m->data_at = m->end_at = m->header_at;
        return;
    }
    compare(report, zip, m, &local);
    m->in_local = true;
    m->local_name = local.local_name;
    m->data_at = local.data_at;
    if (m->packed > zip->map.len - m->data_at) {
        mln_zip_bad(report, zip, m->header_at, "zip-truncated",
                    "a member reaches behind the end of the file");
        m->packed = zip->map.len - m->data_at;
    }
    if (m->method == MLN_ZIP_STORED && m->packed != m->size) {
        mln_zip_bad(report, zip, m->header_at, "zip-size", "a stored member has two sizes");
    }
    m->end_at = m->data_at + m->packed;
    if ((local.flags & FLAG_STREAMED) != 0) {
        uint64_t len = descriptor_len(zip->map, m);
        m->end_at += len;
        if (len == 0 && local.crc != m->crc) {
            mln_zip_bad(report, zip, m->header_at, "zip-header-differs",
                        "a member's data descriptor is missing or differs");
        }
    }
}

/* One entry of the directory; r stands behind it on success. */
static struct mln_err read_entry(struct mln_cx *cx, struct mln_scan_report *report,
                                 struct mln_zip *zip, struct mln_reader *r, uint64_t shift)
{
    struct mln_bytes fixed = mln_read_bytes(r, CENTRAL_BYTES);
    if (r->is_short || mln_get_u32le(fixed.ptr) != SIG_CENTRAL) {
        r->is_short = true;
        return MLN_OK;
    }
    const uint8_t *p = fixed.ptr;
    struct mln_zip_member m = {.flags = mln_get_u16le(p + 8), .method = mln_get_u16le(p + 10)};
    m.crc = mln_get_u32le(p + 16);
    m.packed = mln_get_u32le(p + 20);
    m.size = mln_get_u32le(p + 24);
    m.header_at = mln_get_u32le(p + 42);
    m.name = mln_read_bytes(r, mln_get_u16le(p + 28));
    struct mln_bytes extra = mln_read_bytes(r, mln_get_u16le(p + 30));
    (void)mln_read_bytes(r, mln_get_u16le(p + 32));
    if (r->is_short) {
        return MLN_OK;
    }
    uint64_t *wide[] = {&m.size, &m.packed, &m.header_at};
    widen(extra, wide, 3);
    m.header_at = m.header_at > UINT64_MAX - shift ? UINT64_MAX : m.header_at + shift;
    join_local(report, zip, &m);
    mln_zip_check_name(report, zip, &m);
    struct mln_bytes unicode = extra_find(extra, EXTRA_UNICODE);
    if (unicode.len > 5 && !mln_bytes_eq(mln_bytes_from(unicode, 5), m.name)) {
        mln_zip_bad(report, zip, m.header_at, "zip-name-differs",
                    "a member has a second name in its extra fields");
    }
    if (p[5] == 3 && (mln_get_u32le(p + 38) >> 28) == 0xA) {
        mln_scan_find(report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_HIGH, "zip-symlink",
                      zip->base + m.header_at, "the member %.*s is a symbolic link",
                      MLN_FMT(m.name));
    }
    return mln_zip_add(cx, zip, &m) == NULL ? mln_cx_err(cx) : MLN_OK;
}

static struct mln_err read_directory(struct mln_cx *cx, struct mln_scan_report *report,
                                     struct mln_zip *zip, const struct mln_zip_end *end)
{
    struct mln_reader r =
        mln_reader_of(mln_bytes_sub(zip->map, (size_t)end->dir_at, (size_t)end->dir_len));
    uint64_t n = 0;
    while (mln_reader_left(&r) > 0 && zip->n < MLN_ZIP_MEMBERS_MAX) {
        MLN_TRY(read_entry(cx, report, zip, &r, end->shift));
        if (r.is_short) {
            mln_zip_bad(report, zip, end->dir_at, "zip-directory",
                        "the directory is cut or holds something else");
            return MLN_OK;
        }
        n++;
    }
    if (mln_reader_left(&r) > 0) {
        mln_zip_bad(report, zip, end->dir_at, "zip-directory", "too many members");
    } else if (n != end->count) {
        mln_zip_bad(report, zip, end->dir_at, "zip-directory",
                    "the end record counts other members than the directory has");
    }
    return MLN_OK;
}

/* ---- end records ---- */

/* The zip64 records before the end record at end->at, when there are any. */
static void read_end64(struct mln_scan_report *report, const struct mln_zip *zip,
                       struct mln_zip_end *end, uint64_t *dir_offset)
{
    struct mln_bytes map = zip->map;
    if (end->at < LOCATOR_BYTES || !mln_zip_sig_at(map, end->at - LOCATOR_BYTES, SIG_LOCATOR)) {
        return;
    }
    uint64_t at = mln_get_u64le(map.ptr + end->at - LOCATOR_BYTES + 8);
    uint64_t near =
        end->at >= LOCATOR_BYTES + END64_BYTES ? end->at - LOCATOR_BYTES - END64_BYTES : UINT64_MAX;
    if (near != UINT64_MAX && mln_zip_sig_at(map, near, SIG_END64)) {
        if (at != near && mln_zip_sig_at(map, at, SIG_END64)) {
            mln_zip_bad(report, zip, at, "zip-two-ends",
                        "two zip64 end records: loaders disagree on the directory");
        }
        at = near;
    } else if (!mln_zip_sig_at(map, at, SIG_END64) || at > end->at - LOCATOR_BYTES ||
               end->at - LOCATOR_BYTES - at < END64_BYTES) {
        mln_zip_bad(report, zip, end->at - LOCATOR_BYTES, "zip-directory",
                    "the zip64 end record is missing");
        return;
    }
    const uint8_t *p = map.ptr + at;
    uint64_t narrow[] = {end->count, end->dir_len, *dir_offset};
    uint64_t full[] = {0xffff, U32_MAX, U32_MAX};
    uint64_t wide[] = {mln_get_u64le(p + 32), mln_get_u64le(p + 40), mln_get_u64le(p + 48)};
    for (size_t i = 0; i < 3; i++) {
        if (narrow[i] != full[i] && narrow[i] != wide[i]) {
            mln_zip_bad(report, zip, at, "zip-two-ends",
                        "the zip64 end record differs from the short one");
            break;
        }
    }
    end->count = wide[0];
    end->dir_len = wide[1];
    *dir_offset = wide[2];
    end->extra_at = at;
}

/* Read the end record at `at`; false when its directory is nowhere. */
static bool read_end(struct mln_scan_report *report, const struct mln_zip *zip, uint64_t at,
                     struct mln_zip_end *ret)
{
    struct mln_bytes map = zip->map;
    const uint8_t *p = map.ptr + at;
    uint64_t offset = mln_get_u32le(p + 16);
    uint64_t to = at + END_BYTES + mln_get_u16le(p + 20);
    *ret = (struct mln_zip_end){.at = at, .to = to < map.len ? to : map.len, .extra_at = at};
    ret->count = mln_get_u16le(p + 10);
    ret->dir_len = mln_get_u32le(p + 12);
    if (mln_get_u16le(p + 4) != 0 || mln_get_u16le(p + 6) != 0 ||
        mln_get_u16le(p + 8) != ret->count) {
        mln_zip_bad(report, zip, at, "zip-directory", "an archive of several disks");
    }
    if (to > map.len) {
        mln_zip_bad(report, zip, at, "zip-truncated", "the archive's comment is cut");
    }
    read_end64(report, zip, ret, &offset);
    if (ret->dir_len > ret->extra_at) {
        mln_zip_bad(report, zip, at, "zip-directory", "the directory is longer than the file");
        return false;
    }
    ret->dir_at = ret->extra_at - ret->dir_len;
    if (ret->dir_at == offset ||
        (ret->dir_at > offset && mln_zip_sig_at(map, ret->dir_at, SIG_CENTRAL))) {
        ret->shift = ret->dir_at - offset;
        return true;
    }
    if (offset > ret->extra_at || ret->dir_len > ret->extra_at - offset ||
        !mln_zip_sig_at(map, offset, SIG_CENTRAL)) {
        mln_zip_bad(report, zip, at, "zip-directory",
                    "the directory is not where the end record says");
        return false;
    }
    ret->dir_at = offset;
    return true;
}

/* All end records that a loader might take: the last one, and others whose comment ends with the file. */
static size_t find_ends(struct mln_bytes map, uint64_t ends[ENDS_MAX])
{
    size_t n = 0;
    if (map.len < END_BYTES) {
        return 0;
    }
    size_t last = map.len - END_BYTES;
    size_t low = last > COMMENT_MAX ? last - COMMENT_MAX : 0;
    for (size_t at = last + 1; at-- > low && n < ENDS_MAX;) {
        bool fits = mln_zip_sig_at(map, at, SIG_END);
        if (fits && (n == 0 || at + END_BYTES + mln_get_u16le(map.ptr + at + 20) == map.len)) {
            ends[n++] = at;
        }
    }
    return n;
}

/* ---- the whole ---- */

static int by_header(const void *a, const void *b)
{
    const struct mln_zip_member *x = a, *y = b;
    return x->header_at < y->header_at ? -1 : x->header_at > y->header_at;
}

int mln_zip_probe(struct mln_bytes map)
{
    uint64_t ends[ENDS_MAX];
    bool starts = mln_zip_sig_at(map, 0, SIG_LOCAL) || mln_zip_sig_at(map, 0, SIG_END);
    size_t n = find_ends(map, ends);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = map.ptr + ends[i];
        uint64_t dir_len = mln_get_u32le(p + 12);
        uint64_t offset = mln_get_u32le(p + 16);
        bool ends_well = dir_len <= ends[i] && mln_zip_sig_at(map, ends[i] - dir_len, SIG_CENTRAL);
        bool is_wide =
            ends[i] >= LOCATOR_BYTES && mln_zip_sig_at(map, ends[i] - LOCATOR_BYTES, SIG_LOCATOR);
        if (ends_well || is_wide || mln_zip_sig_at(map, offset, SIG_CENTRAL)) {
            return starts ? 3 : 2;
        }
    }
    return starts ? 2 : 0;
}

struct mln_err mln_zip_read(struct mln_cx *cx, const struct mln_scan_input *input,
                            struct mln_scan_report *report, struct mln_zip *ret)
{
    uint64_t at[ENDS_MAX];
    struct mln_zip_end ends[ENDS_MAX];
    struct mln_zip zip = {.map = input->map, .base = input->base};
    unsigned depth = input->depth < MLN_SCAN_DEPTH_MAX ? input->depth : MLN_SCAN_DEPTH_MAX;
    zip.budget = MLN_ZIP_TOTAL_BYTES_MAX >> (3 * depth);
    size_t n_at = find_ends(zip.map, at);
    size_t n = 0;
    if (n_at > 1) {
        mln_zip_bad(report, &zip, at[1], "zip-two-ends",
                    "several end records: loaders disagree on the directory");
    }
    for (size_t i = 0; i < n_at; i++) {
        if (read_end(report, &zip, at[i], &ends[n])) {
            MLN_TRY(read_directory(cx, report, &zip, &ends[n]));
            report->bytes_read += ends[n].dir_len + END_BYTES;
            n++;
        }
    }
    if (n_at == 0) {
        mln_zip_bad(report, &zip, 0, "zip-no-directory",
                    "no central directory: the archive is cut");
    }
    MLN_TRY(mln_zip_account(cx, report, &zip, ends, n));
    if (zip.n > 0) {
        qsort(zip.members, zip.n, sizeof(*zip.members), by_header);
    }
    MLN_TRY(mln_zip_doubles(cx, report, &zip));
    *ret = zip;
    return MLN_OK;
}
