/* SPDX-License-Identifier: Apache-2.0 */
/* Text: UTF-8, hexadecimal and percent encoding, numbers. Base64: base64.c; durations, sizes and times: units.c, time_text.c. */
#include "base/text.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/utf8_priv.h"
#include "base/value_priv.h"

bool mln_utf8_valid(struct mln_bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        while (text.len - at >= 8 && (mln_get_u64le(text.ptr + at) & 0x8080808080808080u) == 0) {
            at += 8;
        }
        while (at < text.len && text.ptr[at] < 0x80) {
            at++;
        }
        size_t step = utf8_step(text.ptr + at, text.len - at);
        if (step == 0) {
            return at == text.len;
        }
        at += step;
    }
    return true;
}

/* ---- hexadecimal ---- */

static const char hex_digits[] = "0123456789abcdef";

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void mln_hex_print(struct mln_buf *buf, struct mln_bytes bytes)
{
    if (bytes.len > MLN_BUF_MAX || !mln_buf_reserve(buf, 2 * bytes.len)) {
        buf->has_failed = true;
        return;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        buf->ptr[buf->len++] = (uint8_t)hex_digits[bytes.ptr[i] >> 4];
        buf->ptr[buf->len++] = (uint8_t)hex_digits[bytes.ptr[i] & 15];
    }
}

struct mln_err mln_hex_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *buf)
{
    size_t before = buf->len;
    if (text.len % 2 != 0) {
        return mln_fail(cx, MLN_E_PARSE, "hex: odd length %zu", text.len);
    }
    if (!mln_buf_reserve(buf, text.len / 2)) {
        return mln_buf_ok(cx, buf);
    }
    for (size_t i = 0; i < text.len; i += 2) {
        int high = nibble(text.ptr[i]);
        int low = nibble(text.ptr[i + 1]);
        if (high < 0 || low < 0) {
            buf->len = before;
            return mln_fail(cx, MLN_E_PARSE, "hex: bad digit at byte %zu", high < 0 ? i : i + 1);
        }
        buf->ptr[buf->len++] = (uint8_t)(high << 4 | low);
    }
    return MLN_OK;
}

const char *mln_hex_text(struct mln_cx *cx, struct mln_bytes bytes)
{
    char *to = bytes.len < SIZE_MAX / 2 ? mln_new(cx, 2 * bytes.len + 1) : NULL;
    if (to == NULL) {
        return "";
    }
    for (size_t i = 0; i < bytes.len; i++) {
        to[2 * i] = hex_digits[bytes.ptr[i] >> 4];
        to[2 * i + 1] = hex_digits[bytes.ptr[i] & 15];
    }
    return to;
}

/* ---- percent encoding (RFC 3986 section 2) ---- */

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == '/';
}

void mln_percent_print(struct mln_buf *buf, struct mln_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.ptr[i];
        if (is_unreserved(c)) {
            mln_buf_add_byte(buf, c);
        } else {
            uint8_t escape[3] = {'%', (uint8_t)"0123456789ABCDEF"[c >> 4], (uint8_t)"0123456789ABCDEF"[c & 15]};
            mln_buf_add(buf, escape, sizeof(escape));
        }
    }
}

struct mln_err mln_percent_parse(struct mln_cx *cx, struct mln_bytes text, bool plus_is_space, struct mln_buf *buf)
{
    size_t before = buf->len;
    if (!mln_buf_reserve(buf, text.len)) {
        return mln_buf_ok(cx, buf);
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '%') {
            int high = text.len - i > 2 ? nibble(text.ptr[i + 1]) : -1;
            int low = text.len - i > 2 ? nibble(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0) {
                buf->len = before;
                return mln_fail(cx, MLN_E_PARSE, "bad percent encoding at byte %zu", i);
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '\0') {
            buf->len = before;
            return mln_fail(cx, MLN_E_PARSE, "NUL at byte %zu", i);
        }
        buf->ptr[buf->len++] = c;
    }
    return MLN_OK;
}

/* ---- numbers ---- */

bool mln_u64_parse(struct mln_bytes text, uint64_t *ret)
{
    uint64_t sum = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(c - '0'), &sum)) {
            return false;
        }
    }
    *ret = sum;
    return true;
}

bool mln_i64_parse(struct mln_bytes text, int64_t *ret)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t sum;
    if (!mln_u64_parse(mln_bytes_from(text, is_negative), &sum) ||
        sum > (uint64_t)INT64_MAX + is_negative) {
        return false;
    }
    *ret = (int64_t)(is_negative ? 0 - sum : sum);
    return true;
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_start(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool double_of(char *copy, struct mln_bytes text, double *ret)
{
    mln_copy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    (void)pthread_once(&c_locale_once, c_locale_start);
    char *end = NULL;
    double d = c_locale != (locale_t)0 ? strtod_l(copy, &end, c_locale) : strtod(copy, &end);
    if (end != copy + text.len || !__builtin_isfinite(d)) {
        return false;
    }
    *ret = d;
    return true;
}

/* Apart, so that ordinary numbers do not pay for the room. */
__attribute__((noinline)) static bool long_double_of(struct mln_bytes text, double *ret)
{
    char copy[MLN_DECIMAL_DIGITS_MAX + 1];
    return double_of(copy, text, ret);
}

bool mln_double_parse(struct mln_bytes text, double *ret)
{
    bool is_int;
    size_t span = mln_number_span(text, &is_int);
    if (span == 0 || span != text.len) {
        return false;
    }
    char copy[40];
    return span < sizeof(copy) ? double_of(copy, text, ret) : long_double_of(text, ret);
}
