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

/* What is wrong with what stands behind the digits, by Go's offsets; SIZE_MAX when it is the padding that belongs there. */
static size_t padding_fault(struct mln_bytes text, size_t digits, enum mln_b64 kind)
{
    size_t tail = digits % 4;
    if (digits == text.len) {
        bool is_whole = tail == 0 || (is_raw(kind) && tail != 1);
        return is_whole ? SIZE_MAX : digits - tail;
    }
    if (is_raw(kind) || text.ptr[digits] != '=' || tail < 2) {
        return digits;
    }
    size_t end = digits + 1;
    if (tail == 2) {
        if (end == text.len) {
            return end;
        }
        if (text.ptr[end] != '=') {
            return digits;
        }
        end++;
    }
    return end < text.len ? end : SIZE_MAX;
}

/* Decode digits into `to` up to the first other byte: how many digits there were. Unused bits go to *ret_rest. */
static size_t parse_into(uint8_t *to, struct mln_bytes text, bool url, uint32_t *ret_rest)
{
    uint32_t word = 0;
    size_t n = 0;
    for (; n < text.len; n++) {
        int digit = digit_of(text.ptr[n], url);
        if (digit < 0) {
            break;
        }
        word = word << 6 | (uint32_t)digit;
        if (n % 4 == 3) {
            *to++ = (uint8_t)(word >> 16);
            *to++ = (uint8_t)(word >> 8);
            *to++ = (uint8_t)word;
            word = 0;
        }
    }
    *ret_rest = 0;
    if (n % 4 == 2) {
        *to++ = (uint8_t)(word >> 4);
        *ret_rest = word & 15;
    } else if (n % 4 == 3) {
        *to++ = (uint8_t)(word >> 10);
        *to++ = (uint8_t)(word >> 2);
        *ret_rest = word & 3;
    }
    return n;
}

struct mln_err mln_base64_parse(struct mln_cx *cx, struct mln_bytes text, enum mln_b64 kind, struct mln_buf *buf)
{
    size_t most = text.len / 4 * 3 + 3;
    if (!mln_buf_reserve(buf, most)) {
        return mln_buf_ok(cx, buf);
    }
    uint32_t rest;
    size_t digits = parse_into(buf->ptr + buf->len, text, is_url(kind), &rest);
    size_t bad = padding_fault(text, digits, kind);
    if (bad == SIZE_MAX && rest != 0) {
        bad = digits - 1;
    }
    if (bad != SIZE_MAX) {
        mln_wipe(buf->ptr + buf->len, most);
        return mln_fail(cx, MLN_E_PARSE, "illegal base64 data at input byte %zu", bad);
    }
    buf->len += digits / 4 * 3 + (digits % 4 == 0 ? 0 : digits % 4 - 1);
    return MLN_OK;
}
