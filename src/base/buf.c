/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes and the reading cursor: one length check each, failures that stick. */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#define BUF_FIRST_BYTES 512 /* most messages, records and rows fit: growing copies, and wipes what was secret */

void mln_buf_drop(struct mln_buf *buf)
{
    if (buf->is_secret) {
        mln_free_wiped(buf->ptr, buf->cap);
    } else {
        mln_free(buf->ptr);
    }
    buf->ptr = NULL;
    buf->len = 0;
    buf->cap = 0;
    buf->has_failed = false;
    buf->is_over = false;
}

void mln_buf_clear(struct mln_buf *buf)
{
    if (buf->is_secret) {
        mln_wipe(buf->ptr, buf->len);
    }
    buf->len = 0;
    buf->has_failed = false;
    buf->is_over = false;
}

static bool buf_grow(struct mln_buf *buf, size_t more)
{
    size_t max = buf->max != 0 ? buf->max : MLN_BUF_MAX;
    if (buf->len > max || more > max - buf->len) {
        buf->has_failed = true;
        buf->is_over = true;
        return false;
    }
    size_t cap = buf->cap < BUF_FIRST_BYTES / 2 ? BUF_FIRST_BYTES : buf->cap * 2;
    cap = cap > buf->len + more ? cap : buf->len + more;
    cap = cap < max ? cap : max;
    uint8_t *grown = mln_realloc(buf->ptr, buf->len, cap, buf->is_secret);
    if (grown == NULL) {
        buf->has_failed = true;
        return false;
    }
    buf->ptr = grown;
    buf->cap = cap;
    return true;
}

bool mln_buf_reserve(struct mln_buf *buf, size_t more)
{
    if (__builtin_expect(buf->has_failed, 0)) {
        return false;
    }
    return __builtin_expect(more <= buf->cap - buf->len, 1) || buf_grow(buf, more);
}

void mln_buf_add(struct mln_buf *buf, const void *from, size_t n)
{
    if (n != 0 && mln_buf_reserve(buf, n)) {
        memcpy(buf->ptr + buf->len, from, n);
        buf->len += n;
    }
}

void mln_buf_add_bytes(struct mln_buf *buf, struct mln_bytes from)
{
    mln_buf_add(buf, from.ptr, from.len);
}

void mln_buf_add_text(struct mln_buf *buf, const char *text)
{
    mln_buf_add_bytes(buf, mln_bytes_of(text));
}

void mln_buf_add_byte(struct mln_buf *buf, uint8_t byte)
{
    if (mln_buf_reserve(buf, 1)) {
        buf->ptr[buf->len++] = byte;
    }
}

void mln_buf_add_format(struct mln_buf *buf, const char *format, ...)
{
    char here[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(here, sizeof(here), format, args);
    va_end(args);
    if (n < 0) {
        buf->has_failed = true;
    } else if ((size_t)n < sizeof(here)) {
        mln_buf_add(buf, here, (size_t)n);
    } else if (mln_buf_reserve(buf, (size_t)n + 1)) {
        va_start(args, format);
        (void)vsnprintf((char *)buf->ptr + buf->len, (size_t)n + 1, format, args);
        va_end(args);
        buf->len += (size_t)n;
    }
    if (buf->is_secret) {
        mln_wipe(here, sizeof(here));
    }
}

void mln_buf_add_u16be(struct mln_buf *buf, uint16_t v)
{
    if (mln_buf_reserve(buf, 2)) {
        mln_put_u16be(buf->ptr + buf->len, v);
        buf->len += 2;
    }
}

void mln_buf_add_u32be(struct mln_buf *buf, uint32_t v)
{
    if (mln_buf_reserve(buf, 4)) {
        mln_put_u32be(buf->ptr + buf->len, v);
        buf->len += 4;
    }
}

void mln_buf_add_u64be(struct mln_buf *buf, uint64_t v)
{
    if (mln_buf_reserve(buf, 8)) {
        mln_put_u64be(buf->ptr + buf->len, v);
        buf->len += 8;
    }
}

void mln_buf_shift(struct mln_buf *buf, size_t n)
{
    MLN_CHECK(n <= buf->len);
    size_t left = buf->len - n;
    mln_move(buf->ptr, buf->ptr + n, left);
    if (buf->is_secret) {
        mln_wipe(buf->ptr + left, n);
    }
    buf->len = left;
}

struct mln_err mln_buf_ok(struct mln_cx *cx, const struct mln_buf *buf)
{
    if (!buf->has_failed) {
        return MLN_OK;
    }
    if (buf->is_over) {
        size_t max = buf->max != 0 ? buf->max : MLN_BUF_MAX;
        return mln_fail(cx, MLN_E_TOO_LARGE, "too large: more than %zu bytes", max);
    }
    return mln_fail(cx, MLN_E_MEMORY, "out of memory: a buffer of %zu bytes cannot grow", buf->len);
}

/* ---- reading ---- */

struct mln_reader mln_reader_of(struct mln_bytes all)
{
    return (struct mln_reader){.all = all};
}

size_t mln_reader_left(const struct mln_reader *r)
{
    return r->is_short ? 0 : r->all.len - r->at;
}

/* The next n bytes, or NULL with is_short on. */
static const uint8_t *take(struct mln_reader *r, size_t n)
{
    if (r->is_short || n > r->all.len - r->at) {
        r->is_short = true;
        return NULL;
    }
    const uint8_t *p = r->all.ptr + r->at;
    r->at += n;
    return p;
}

uint8_t mln_read_u8(struct mln_reader *r)
{
    const uint8_t *p = take(r, 1);
    return p != NULL ? *p : 0;
}

uint16_t mln_read_u16be(struct mln_reader *r)
{
    const uint8_t *p = take(r, 2);
    return p != NULL ? mln_get_u16be(p) : 0;
}

uint32_t mln_read_u32be(struct mln_reader *r)
{
    const uint8_t *p = take(r, 4);
    return p != NULL ? mln_get_u32be(p) : 0;
}

uint64_t mln_read_u64be(struct mln_reader *r)
{
    const uint8_t *p = take(r, 8);
    return p != NULL ? mln_get_u64be(p) : 0;
}

uint16_t mln_read_u16le(struct mln_reader *r)
{
    const uint8_t *p = take(r, 2);
    return p != NULL ? mln_get_u16le(p) : 0;
}

uint32_t mln_read_u32le(struct mln_reader *r)
{
    const uint8_t *p = take(r, 4);
    return p != NULL ? mln_get_u32le(p) : 0;
}

uint64_t mln_read_u64le(struct mln_reader *r)
{
    const uint8_t *p = take(r, 8);
    return p != NULL ? mln_get_u64le(p) : 0;
}

struct mln_bytes mln_read_bytes(struct mln_reader *r, size_t n)
{
    if (r->is_short || n > r->all.len - r->at) {
        r->is_short = true;
        return MLN_BYTES_NONE;
    }
    struct mln_bytes got = mln_bytes_sub(r->all, r->at, n);
    r->at += n;
    return got;
}
