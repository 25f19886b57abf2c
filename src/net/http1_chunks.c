/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked bodies (RFC 9112 section 7.1), byte by byte through lines, in blocks through content.
 * Extensions and trailers are checked, counted and dropped.
 */
#include "net/http1.h"

enum step {
    SIZE,
    SIZE_MORE,
    EXTENSION,
    SIZE_LF,
    CONTENT,
    CONTENT_CR,
    CONTENT_LF,
    LINE,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF
};

#define SIZE_DIGITS_MAX 8u /* a chunk of 4 GiB is above every limit */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t low = c | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool is_name_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
           c == '_' || c == '.';
}

static bool is_text_byte(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* One byte of the line with the size; false when it cannot be there. */
static bool size_byte(struct mln_http1_chunks *k, uint8_t c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        k->left = k->left << 4 | (unsigned)digit;
        k->step = SIZE_MORE;
        return ++k->line_bytes <= SIZE_DIGITS_MAX;
    }
    if (k->step == SIZE) {
        return false;
    }
    k->step = c == ';' ? EXTENSION : SIZE_LF;
    return c == ';' || c == '\r';
}

static bool extension_byte(struct mln_http1_chunks *k, uint8_t c)
{
    if (c == '\r') {
        k->step = SIZE_LF;
        return true;
    }
    return is_text_byte(c) && ++k->line_bytes <= MLN_HTTP1_CHUNK_LINE_MAX &&
           ++k->extension_bytes <= MLN_HTTP1_EXTENSION_BYTES_MAX;
}

static bool trailer_byte(struct mln_http1_chunks *k, uint8_t c)
{
    if (++k->trailer_bytes > MLN_HTTP1_TRAILER_BYTES_MAX) {
        return false;
    }
    switch ((enum step)k->step) {
    case LINE:
        k->step = c == '\r' ? END_LF : TRAILER_NAME;
        return c == '\r' || is_name_byte(c);
    case TRAILER_NAME:
        k->step = c == ':' ? TRAILER_VALUE : TRAILER_NAME;
        return c == ':' || is_name_byte(c);
    case TRAILER_VALUE:
        k->step = c == '\r' ? TRAILER_LF : TRAILER_VALUE;
        return c == '\r' || is_text_byte(c);
    case TRAILER_LF:
        k->step = LINE;
        return c == '\n';
    case END_LF:
        k->is_done = true;
        return c == '\n';
    case SIZE:
    case SIZE_MORE:
    case EXTENSION:
    case SIZE_LF:
    case CONTENT:
    case CONTENT_CR:
    case CONTENT_LF:
        break;
    }
    return false;
}

/* One byte outside of content; false when it cannot be there. */
static bool line_byte(struct mln_http1_chunks *k, uint8_t c)
{
    switch ((enum step)k->step) {
    case SIZE:
    case SIZE_MORE:
        return size_byte(k, c);
    case EXTENSION:
        return extension_byte(k, c);
    case SIZE_LF:
        k->step = k->left == 0 ? LINE : CONTENT;
        k->line_bytes = 0;
        return c == '\n';
    case CONTENT_CR:
        k->step = CONTENT_LF;
        return c == '\r';
    case CONTENT_LF:
        k->step = SIZE;
        return c == '\n';
    case CONTENT:
        return false;
    case LINE:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LF:
    case END_LF:
        return trailer_byte(k, c);
    }
    return false;
}

struct mln_err mln_http1_chunks(struct mln_cx *cx, struct mln_http1_chunks *chunks,
                                struct mln_bytes in, struct mln_buf *body, size_t body_max,
                                size_t *ret_used)
{
    size_t at = 0;
    while (at < in.len && !chunks->is_done) {
        if (chunks->step != CONTENT) {
            if (!line_byte(chunks, in.ptr[at])) {
                return mln_fail(cx, MLN_E_PARSE, "http: malformed chunked body");
            }
            at++;
            continue;
        }
        if (chunks->left > body_max - body->len) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "http: body larger than %zu bytes", body_max);
        }
        size_t n = in.len - at < chunks->left ? in.len - at : (size_t)chunks->left;
        mln_buf_add(body, in.ptr + at, n);
        MLN_TRY(mln_buf_ok(cx, body));
        at += n;
        chunks->left -= n;
        if (chunks->left == 0) {
            chunks->step = CONTENT_CR;
        }
    }
    *ret_used = at;
    return MLN_OK;
}
