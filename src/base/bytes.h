/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed view of bytes: valid as long as what it points into. Text is UTF-8 and need not end in NUL. */
#pragma once

#include "base/mem.h"

struct mln_bytes {
    const uint8_t *ptr;
    size_t len;
};

#define MLN_BYTES(text_literal) ((struct mln_bytes){(const uint8_t *)("" text_literal), sizeof(text_literal) - 1})
#define MLN_BYTES_NONE ((struct mln_bytes){0})
/* For "%.*s" of text that is no secret. */
#define MLN_FMT(b) (int)((b).len > 4096 ? 4096 : (b).len), (const char *)((b).ptr != NULL ? (b).ptr : (const uint8_t *)"")

struct mln_bytes mln_bytes_of(const char *text); /* NULL gives none */
static inline struct mln_bytes mln_bytes_at(const void *ptr, size_t len)
{
    return (struct mln_bytes){(const uint8_t *)ptr, len};
}
bool mln_bytes_eq(struct mln_bytes a, struct mln_bytes b);
bool mln_bytes_is(struct mln_bytes a, const char *text);
bool mln_bytes_is_nocase(struct mln_bytes a, const char *text); /* ASCII only */
int mln_bytes_cmp(struct mln_bytes a, struct mln_bytes b);      /* as memcmp, then by length */
bool mln_bytes_starts(struct mln_bytes a, struct mln_bytes prefix);
bool mln_bytes_ends(struct mln_bytes a, struct mln_bytes suffix);
/* The first index of `byte` or of `needle`; a.len when absent. */
size_t mln_bytes_find(struct mln_bytes a, uint8_t byte);
size_t mln_bytes_find_bytes(struct mln_bytes a, struct mln_bytes needle);
/* Does the pattern fit the whole text? "*" stands for any run of bytes, anywhere and as often as it likes. Time O(pattern * text). */
bool mln_bytes_glob(struct mln_bytes pattern, struct mln_bytes text);
/* A part; both ends are cut to the view, so it cannot reach outside. */
struct mln_bytes mln_bytes_sub(struct mln_bytes a, size_t from, size_t len);
struct mln_bytes mln_bytes_from(struct mln_bytes a, size_t from);
/* Split at the first `byte`: returns the part before, *rest the part after (empty when absent). */
struct mln_bytes mln_bytes_cut(struct mln_bytes a, uint8_t byte, struct mln_bytes *rest);
struct mln_bytes mln_bytes_trim(struct mln_bytes a); /* ASCII space, tab, CR, LF at both ends */

/* Big- and little-endian reads and writes; the caller has checked that the bytes are there. */
uint16_t mln_get_u16be(const uint8_t *p);
uint32_t mln_get_u32be(const uint8_t *p);
uint64_t mln_get_u64be(const uint8_t *p);
uint16_t mln_get_u16le(const uint8_t *p);
uint32_t mln_get_u32le(const uint8_t *p);
uint64_t mln_get_u64le(const uint8_t *p);
void mln_put_u16be(uint8_t *p, uint16_t v);
void mln_put_u32be(uint8_t *p, uint32_t v);
void mln_put_u64be(uint8_t *p, uint64_t v);
void mln_put_u32le(uint8_t *p, uint32_t v);
void mln_put_u64le(uint8_t *p, uint64_t v);
