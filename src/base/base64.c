/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648 sections 4 and 5). Reading is canonical: no white space, exact padding, unused bits zero. */
#include "base/text.h"

static const char alphabets[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

static bool is_url(enum mln_b64 kind)
{
    return kind == MLN_B64_URL || kind == MLN_B64_URL_RAW;
}

static bool is_raw(enum mln_b64 kind)
{
    return kind == MLN_B64_STD_RAW || kind == MLN_B64_URL_RAW;
}

static size_t printed_len(size_t n, enum mln_b64 kind)
{
    size_t tail = n % 3;
    return n / 3 * 4 + (tail == 0 ? 0 : is_raw(kind) ? tail + 1 : 4);
}

static void print_into(uint8_t *to, struct mln_bytes bytes, enum mln_b64 kind)
{
    const char *digits = alphabets[is_url(kind)];
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;
    for (; left >= 3; left -= 3, p += 3) {
        uint32_t word = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *to++ = (uint8_t)digits[word >> 18];
        *to++ = (uint8_t)digits[word >> 12 & 63];
        *to++ = (uint8_t)digits[word >> 6 & 63];
        *to++ = (uint8_t)digits[word & 63];
    }
    if (left == 0) {
        return;
    }
    uint32_t word = (uint32_t)p[0] << 16 | (left == 2 ? (uint32_t)p[1] << 8 : 0);
    *to++ = (uint8_t)digits[word >> 18];
    *to++ = (uint8_t)digits[word >> 12 & 63];
    if (left == 2) {
        *to++ = (uint8_t)digits[word >> 6 & 63];
    }
    if (!is_raw(kind)) {
        mln_fill(to, '=', 3 - left);
    }
}

void mln_base64_print(struct mln_buf *buf, struct mln_bytes bytes, enum mln_b64 kind)
{
    if (bytes.len > MLN_BUF_MAX) {
        buf->has_failed = true;
        buf->is_over = true;
        return;
    }
    size_t n = printed_len(bytes.len, kind);
    if (mln_buf_reserve(buf, n)) {
        print_into(buf->ptr + buf->len, bytes, kind);
        buf->len += n;
    }
}

const char *mln_base64_text(struct mln_cx *cx, struct mln_bytes bytes, enum mln_b64 kind)
{
    char *to = bytes.len <= MLN_BUF_MAX ? mln_new(cx, printed_len(bytes.len, kind) + 1) : NULL;
    if (to == NULL) {
        (void)mln_fail(cx, MLN_E_TOO_LARGE, "too large: %zu bytes as base64", bytes.len);
        return "";
    }
    print_into((uint8_t *)to, bytes, kind);
    return to;
}

static int digit_of(uint8_t c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (url ? '-' : '+')) {
        return 62;
    }
    return c == (url ? '_' : '/') ? 63 : -1;
}

/*
 * The digits without their padding; false with the offset that Go would name when the padding is wrong (as a
 * quantum that breaks off counts from its start).
 */
static bool cut_padding(struct mln_bytes *text, enum mln_b64 kind, size_t *ret_at)
{
    size_t n = text->len;
    if (!is_raw(kind)) {
        if (n % 4 != 0) {
            *ret_at = n / 4 * 4;
            return false;
        }
        for (int i = 0; i < 2 && n > 0 && text->ptr[n - 1] == '='; i++) {
            n--;
        }
    }
    *ret_at = n / 4 * 4;
    text->len = n;
    return n % 4 != 1;
}

/* Decode into `to`; the offset of what is wrong, or SIZE_MAX. */
static size_t parse_into(uint8_t *to, struct mln_bytes text, bool url)
{
    uint32_t word = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.ptr[i], url);
        if (digit < 0) {
            return i;
        }
        word = word << 6 | (uint32_t)digit;
        if (i % 4 == 3) {
            *to++ = (uint8_t)(word >> 16);
            *to++ = (uint8_t)(word >> 8);
            *to++ = (uint8_t)word;
            word = 0;
        }
    }
    size_t tail = text.len % 4;
    if (tail == 2) {
        *to++ = (uint8_t)(word >> 4);
        return (word & 15) != 0 ? text.len - 1 : SIZE_MAX;
    }
    if (tail == 3) {
        *to++ = (uint8_t)(word >> 10);
        *to++ = (uint8_t)(word >> 2);
        return (word & 3) != 0 ? text.len - 1 : SIZE_MAX;
    }
    return SIZE_MAX;
}

struct mln_err mln_base64_parse(struct mln_cx *cx, struct mln_bytes text, enum mln_b64 kind, struct mln_buf *buf)
{
    size_t bad_padding = 0;
    bool is_padded = cut_padding(&text, kind, &bad_padding);
    size_t n = text.len / 4 * 3 + (text.len % 4 == 0 ? 0 : text.len % 4 - 1);
    if (!mln_buf_reserve(buf, n)) {
        return mln_buf_ok(cx, buf);
    }
    size_t bad = parse_into(buf->ptr + buf->len, text, is_url(kind));
    if (bad == SIZE_MAX && !is_padded) {
        bad = bad_padding;
    }
    if (bad != SIZE_MAX) {
        mln_wipe(buf->ptr + buf->len, n);
        return mln_fail(cx, MLN_E_PARSE, "illegal base64 data at input byte %zu", bad);
    }
    buf->len += n;
    return MLN_OK;
}
