/* SPDX-License-Identifier: Apache-2.0 */
/* One step through UTF-8, after the table of well-formed sequences in Unicode 15, table 3-7. */
#pragma once

#include "base/bytes.h"

/* Length 1..4 of the well-formed sequence at p, 0 when there is none within n bytes. */
static inline size_t utf8_step(const uint8_t *p, size_t n)
{
    if (n == 0) {
        return 0;
    }
    uint8_t a = p[0];
    if (a < 0x80) {
        return 1;
    }
    if (a < 0xC2 || a > 0xF4) {
        return 0;
    }
    size_t len = a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
    if (n < len) {
        return 0;
    }
    uint8_t low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
    uint8_t high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

/* Write code point c (no surrogate, <= 0x10FFFF) and return its length. */
static inline size_t utf8_put(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xC0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/*
 * Copy `from` as one printable line into to[max] with a NUL: control characters, C1 controls and bytes that are no UTF-8
 * become \n, \t, \r or \xNN; what does not fit is cut at a whole character. Returns the length.
 */
size_t mln_escape_line(char *to, size_t max, const char *from, size_t n);
