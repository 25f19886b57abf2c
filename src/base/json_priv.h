/* SPDX-License-Identifier: Apache-2.0 */
/* Scanning a string for what needs a look: shared by the reader and the printer of JSON. */
#pragma once

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The first quote, backslash, control character or byte above 0x7F from p on; `end` when there is none. */
static inline const uint8_t *json_plain_end(const uint8_t *p, const uint8_t *end)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');
    while (end - p >= 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i_u *)p);
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, slash));
        special = _mm_or_si128(special, _mm_cmplt_epi8(chunk, space)); /* signed: above 0x7F too */
        int mask = _mm_movemask_epi8(special);
        if (mask != 0) {
            return p + __builtin_ctz((unsigned)mask);
        }
        p += 16;
    }
#endif
    while (p < end && *p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }
    return p;
}
