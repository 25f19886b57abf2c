/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text as QR code in a PNG (ISO/IEC 18004; W3C PNG). The code is libqrencode's, the picture one bit a pixel. What is
 * made here is wiped; libqrencode's own copies of the text are not.
 */
#include "crypto/qr.h"

#include <qrencode.h>
#include <zlib.h>

#define QUIET 4 /* modules of white around: the standard's */

static void qr_drop(QRcode **p)
{
    if (*p != NULL) {
        mln_wipe((*p)->data, (size_t)(*p)->width * (size_t)(*p)->width);
    }
    QRcode_free(*p);
}

static void put_chunk(struct mln_buf *png, const char type[5], struct mln_bytes data)
{
    size_t from = png->len + 4;
    mln_buf_add_u32be(png, (uint32_t)data.len);
    mln_buf_add_text(png, type);
    mln_buf_add_bytes(png, data);
    if (!png->has_failed) {
        mln_buf_add_u32be(png, (uint32_t)crc32(0, png->ptr + from, (uInt)(png->len - from)));
    }
}

/* One row of pixels: a filter byte (none), then bits, 1 is white. y, below zero or beyond the code: quiet. */
static void put_row(struct mln_buf *rows, const QRcode *code, size_t side, size_t scale, int64_t y)
{
    size_t width = (size_t)code->width, left = (side - width * scale) / 2;
    mln_buf_add_byte(rows, 0);
    for (size_t x = 0; x < side; x += 8) {
        uint8_t byte = 0;
        for (size_t b = 0; b < 8; b++) {
            bool inside = y >= 0 && y < (int64_t)(width * scale) && x + b >= left && x + b < left + width * scale;
            size_t at = inside ? (size_t)y / scale * width + (x + b - left) / scale : 0;
            bool is_black = inside && (code->data[at] & 1) != 0;
            byte = (uint8_t)(byte << 1 | (is_black ? 0 : 1));
        }
        mln_buf_add_byte(rows, byte);
    }
}

static struct mln_err put_image(struct mln_cx *cx, const QRcode *code, size_t side, struct mln_buf *png)
{
    static const uint8_t mark[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    MLN_AUTO(mln_buf_drop) struct mln_buf rows = {.is_secret = true}, packed = {.is_secret = true}, head = {0};
    size_t whole = (size_t)code->width + 2 * QUIET, scale = side / whole > 0 ? side / whole : 1;
    side = side > whole ? side : whole;
    int64_t top = (int64_t)((side - (size_t)code->width * scale) / 2);
    for (size_t y = 0; y < side; y++) {
        put_row(&rows, code, side, scale, (int64_t)y - top);
    }
    MLN_TRY(mln_buf_ok(cx, &rows));
    uLongf n = compressBound(rows.len);
    if (!mln_buf_reserve(&packed, n) || compress2(packed.ptr, &n, rows.ptr, rows.len, 9) != Z_OK) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for a picture");
    }
    mln_buf_add_u32be(&head, (uint32_t)side);
    mln_buf_add_u32be(&head, (uint32_t)side);
    mln_buf_add(&head, "\x01\x00\x00\x00\x00", 5); /* one bit of grey, deflate, no interlace */
    mln_buf_add(png, mark, sizeof(mark));
    put_chunk(png, "IHDR", mln_buf_bytes(&head));
    put_chunk(png, "IDAT", mln_bytes_at(packed.ptr, n));
    put_chunk(png, "IEND", MLN_BYTES_NONE);
    mln_wipe(packed.ptr, n); /* its len was never set */
    return mln_buf_ok(cx, png);
}

struct mln_err mln_qr_png(struct mln_cx *cx, const char *text, size_t side_px, struct mln_buf *png)
{
    MLN_CHECK(png->is_secret && side_px <= MLN_QR_SIDE_MAX);
    MLN_AUTO(qr_drop) QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (code == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "too long a text for a QR code");
    }
    return put_image(cx, code, side_px, png);
}
