/* SPDX-License-Identifier: Apache-2.0 */
/* Views of bytes: comparing, finding, cutting, and integers in both byte orders. Nothing here reads outside its view. */
#include "base/bytes.h"

#include <string.h>

struct mln_bytes mln_bytes_of(const char *text)
{
    if (text == NULL) {
        return MLN_BYTES_NONE;
    }
    return (struct mln_bytes){(const uint8_t *)text, strlen(text)};
}

bool mln_bytes_eq(struct mln_bytes a, struct mln_bytes b)
{
    return a.len == b.len && mln_same(a.ptr, b.ptr, a.len);
}

bool mln_bytes_is(struct mln_bytes a, const char *text)
{
    return mln_bytes_eq(a, mln_bytes_of(text));
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool mln_bytes_is_nocase(struct mln_bytes a, const char *text)
{
    struct mln_bytes b = mln_bytes_of(text);
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

int mln_bytes_cmp(struct mln_bytes a, struct mln_bytes b)
{
    int order = mln_compare(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

bool mln_bytes_starts(struct mln_bytes a, struct mln_bytes prefix)
{
    return a.len >= prefix.len && mln_same(a.ptr, prefix.ptr, prefix.len);
}

bool mln_bytes_ends(struct mln_bytes a, struct mln_bytes suffix)
{
    return a.len >= suffix.len &&
           (suffix.len == 0 || mln_same(a.ptr + (a.len - suffix.len), suffix.ptr, suffix.len));
}

size_t mln_bytes_find(struct mln_bytes a, uint8_t byte)
{
    const uint8_t *at = a.len != 0 ? memchr(a.ptr, byte, a.len) : NULL;
    return at != NULL ? (size_t)(at - a.ptr) : a.len;
}

size_t mln_bytes_find_bytes(struct mln_bytes a, struct mln_bytes needle)
{
    if (needle.len == 0) {
        return 0;
    }
    const uint8_t *at = a.len != 0 ? memmem(a.ptr, a.len, needle.ptr, needle.len) : NULL;
    return at != NULL ? (size_t)(at - a.ptr) : a.len;
}

/* On a mismatch the last "*" takes one more: linear but for one factor, without recursion. */
bool mln_bytes_glob(struct mln_bytes pattern, struct mln_bytes text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

struct mln_bytes mln_bytes_sub(struct mln_bytes a, size_t from, size_t len)
{
    struct mln_bytes rest = mln_bytes_from(a, from);
    return (struct mln_bytes){rest.ptr, len < rest.len ? len : rest.len};
}

struct mln_bytes mln_bytes_from(struct mln_bytes a, size_t from)
{
    if (a.ptr == NULL) {
        return MLN_BYTES_NONE;
    }
    size_t skip = from < a.len ? from : a.len;
    return (struct mln_bytes){a.ptr + skip, a.len - skip};
}

struct mln_bytes mln_bytes_cut(struct mln_bytes a, uint8_t byte, struct mln_bytes *rest)
{
    size_t at = mln_bytes_find(a, byte);
    *rest = mln_bytes_from(a, at < a.len ? at + 1 : a.len);
    return (struct mln_bytes){a.ptr, at};
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct mln_bytes mln_bytes_trim(struct mln_bytes a)
{
    while (a.len > 0 && is_space(a.ptr[0])) {
        a.ptr++;
        a.len--;
    }
    while (a.len > 0 && is_space(a.ptr[a.len - 1])) {
        a.len--;
    }
    return a;
}

uint16_t mln_get_u16be(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t mln_get_u32be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint64_t mln_get_u64be(const uint8_t *p)
{
    return (uint64_t)mln_get_u32be(p) << 32 | mln_get_u32be(p + 4);
}

uint16_t mln_get_u16le(const uint8_t *p)
{
    return (uint16_t)(p[1] << 8 | p[0]);
}

uint32_t mln_get_u32le(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

uint64_t mln_get_u64le(const uint8_t *p)
{
    return (uint64_t)mln_get_u32le(p + 4) << 32 | mln_get_u32le(p);
}

void mln_put_u16be(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void mln_put_u32be(uint8_t *p, uint32_t v)
{
    mln_put_u16be(p, (uint16_t)(v >> 16));
    mln_put_u16be(p + 2, (uint16_t)v);
}

void mln_put_u64be(uint8_t *p, uint64_t v)
{
    mln_put_u32be(p, (uint32_t)(v >> 32));
    mln_put_u32be(p + 4, (uint32_t)v);
}

void mln_put_u32le(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

void mln_put_u64le(uint8_t *p, uint64_t v)
{
    mln_put_u32le(p, (uint32_t)v);
    mln_put_u32le(p + 4, (uint32_t)(v >> 32));
}
