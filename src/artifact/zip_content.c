/* SPDX-License-Identifier: Apache-2.0 */
/* Members' content: views of stored ones, bounded unpacking of deflated ones. Contract: zip.h. */
#include "artifact/zip_priv.h"

#define ZLIB_CONST /* zlib does not write to its input; then its type says so */
#include <zlib.h>

#define CHUNK      ((size_t)256 << 10)
#define Z_STEP_MAX ((size_t)1 << 30) /* zlib counts in 32 bits */

static uint32_t crc_of(struct mln_bytes data)
{
    return (uint32_t)crc32_z(0, data.ptr, data.len);
}

static void limit_hit(struct mln_scan_report *report, const struct mln_zip *zip,
                      const struct mln_zip_member *m)
{
    mln_scan_find(report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "zip-bomb",
                  zip->base + m->header_at, "the member %.*s unpacks to more than is read",
                  MLN_FMT(m->name));
}

/* Run zlib until the stream ends, is bad, or `max` bytes are out. Z_STREAM_END, Z_OK for the limit, others for bad. */
static int inflate_to(z_stream *z, struct mln_bytes from, size_t max, struct mln_buf *to)
{
    size_t at = 0;
    int rc = Z_OK;
    while (rc == Z_OK && to->len < max) {
        size_t want = max - to->len < CHUNK ? max - to->len : CHUNK;
        if (z->avail_in == 0) {
            size_t step = from.len - at < Z_STEP_MAX ? from.len - at : Z_STEP_MAX;
            z->next_in = from.ptr + at;
            z->avail_in = (uInt)step;
            at += step;
        }
        if (!mln_buf_reserve(to, want)) {
            return Z_MEM_ERROR;
        }
        z->next_out = to->ptr + to->len;
        z->avail_out = (uInt)want;
        rc = inflate(z, Z_NO_FLUSH);
        to->len += want - z->avail_out;
    }
    return rc;
}

static struct mln_err unpack(struct mln_cx *cx, struct mln_bytes from, size_t max,
                             struct mln_buf *to, int *ret_rc)
{
    z_stream z = {0};
    mln_buf_clear(to);
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) {
        return mln_fail(cx, MLN_E_MEMORY, "zip: no memory to unpack");
    }
    *ret_rc = inflate_to(&z, from, max, to);
    inflateEnd(&z);
    return *ret_rc == Z_MEM_ERROR ? mln_fail(cx, MLN_E_MEMORY, "zip: no memory to unpack") : MLN_OK;
}

static struct mln_err content_deflated(struct mln_cx *cx, struct mln_zip *zip,
                                       const struct mln_zip_member *m,
                                       struct mln_scan_report *report, struct mln_buf *scratch,
                                       bool *ret_whole)
{
    struct mln_bytes raw = mln_bytes_sub(zip->map, (size_t)m->data_at, (size_t)m->packed);
    size_t left = zip->unpacked < zip->budget ? (size_t)(zip->budget - zip->unpacked) : 0;
    size_t max = left < MLN_ZIP_MEMBER_BYTES_MAX ? left : MLN_ZIP_MEMBER_BYTES_MAX;
    int rc = Z_OK;
    MLN_TRY(unpack(cx, raw, max, scratch, &rc));
    zip->unpacked += scratch->len;
    *ret_whole = rc == Z_STREAM_END;
    if (rc == Z_OK && scratch->len == max) {
        limit_hit(report, zip, m);
    } else if (rc != Z_STREAM_END) {
        mln_zip_bad(report, zip, m->data_at, "zip-deflate",
                    "a member's compressed data is damaged");
    }
    return MLN_OK;
}

struct mln_err mln_zip_content(struct mln_cx *cx, struct mln_zip *zip,
                               const struct mln_zip_member *m, struct mln_scan_report *report,
                               struct mln_buf *scratch, struct mln_bytes *ret, bool *ret_whole)
{
    bool is_whole = true;
    struct mln_bytes content = mln_bytes_sub(zip->map, (size_t)m->data_at, (size_t)m->packed);
    if (m->method == MLN_ZIP_DEFLATED) {
        MLN_TRY(content_deflated(cx, zip, m, report, scratch, &is_whole));
        content = mln_buf_bytes(scratch);
    } else if (m->method == MLN_ZIP_STORED) {
        zip->viewed += m->packed;
        if (zip->viewed > zip->map.len) {
            limit_hit(report, zip, m);
            content = MLN_BYTES_NONE;
            is_whole = false;
        }
    } else {
        mln_scan_find(report, MLN_VERDICT_UNSUPPORTED, MLN_SEVERITY_MEDIUM, "zip-method",
                      zip->base + m->header_at,
                      "the member %.*s is packed by method %u, which is not read", MLN_FMT(m->name),
                      (unsigned)m->method);
        content = MLN_BYTES_NONE;
        is_whole = false;
    }
    report->bytes_read += content.len;
    if (is_whole && m->has_size) {
        if (content.len != m->size) {
            mln_zip_bad(report, zip, m->header_at, "zip-size",
                        "a member's size is not what its header says");
        }
        if (crc_of(content) != m->crc) {
            mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "zip-crc",
                          zip->base + m->header_at, "the checksum of %.*s is wrong",
                          MLN_FMT(m->name));
        }
    }
    *ret = content;
    *ret_whole = is_whole;
    return MLN_OK;
}

struct mln_err mln_zip_head(struct mln_cx *cx, struct mln_zip *zip, const struct mln_zip_member *m,
                            size_t max, struct mln_buf *scratch, struct mln_bytes *ret)
{
    int rc = Z_OK;
    MLN_TRY(unpack(cx, mln_bytes_sub(zip->map, (size_t)m->data_at, (size_t)m->packed), max, scratch,
                   &rc));
    zip->unpacked += scratch->len;
    *ret = mln_buf_bytes(scratch);
    return MLN_OK;
}
