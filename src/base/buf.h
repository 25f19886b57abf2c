/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing bytes with a sticky failure: append freely, ask once at the end (mln_buf_ok). Memory is from mln_alloc; a buffer
 * marked secret is wiped whenever it moves or is dropped.
 */
#pragma once

#include "base/arena.h"

struct mln_buf {
    uint8_t *ptr;
    size_t len;
    size_t cap;
    size_t max; /* most it may grow to; 0 = MLN_BUF_MAX */
    bool is_secret;
    bool has_failed; /* an append did not fit or memory was out; later appends do nothing */
    bool is_over;    /* the failure was the limit, not memory */
};

#define MLN_BUF_MAX ((size_t)1 << 30) /* one gibibyte: nothing that is built in memory is larger */

void mln_buf_drop(struct mln_buf *buf);  /* free (and wipe if secret); the buffer can be used again */
void mln_buf_clear(struct mln_buf *buf); /* len = 0, keeps memory, wiped if secret, forgets a failure */
bool mln_buf_reserve(struct mln_buf *buf, size_t more);
void mln_buf_add(struct mln_buf *buf, const void *from, size_t n);
void mln_buf_add_bytes(struct mln_buf *buf, struct mln_bytes from);
void mln_buf_add_text(struct mln_buf *buf, const char *text);
void mln_buf_add_byte(struct mln_buf *buf, uint8_t byte);
void mln_buf_add_format(struct mln_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mln_buf_add_u16be(struct mln_buf *buf, uint16_t v);
void mln_buf_add_u32be(struct mln_buf *buf, uint32_t v);
void mln_buf_add_u64be(struct mln_buf *buf, uint64_t v);
/* Drop the first n bytes (n <= len). */
void mln_buf_shift(struct mln_buf *buf, size_t n);
static inline struct mln_bytes mln_buf_bytes(const struct mln_buf *buf)
{
    return (struct mln_bytes){buf->ptr, buf->len};
}
/* MLN_OK, or MLN_E_MEMORY / MLN_E_TOO_LARGE recorded on cx. */
struct mln_err mln_buf_ok(struct mln_cx *cx, const struct mln_buf *buf);

/*
 * A reading cursor over a view: every getter checks the length once and turns `is_short` on instead of reading outside;
 * after that all getters give zero. Ask mln_reader_ok at the end of a structure.
 */
struct mln_reader {
    struct mln_bytes all;
    size_t at;
    bool is_short;
};
struct mln_reader mln_reader_of(struct mln_bytes all);
size_t mln_reader_left(const struct mln_reader *r);
uint8_t mln_read_u8(struct mln_reader *r);
uint16_t mln_read_u16be(struct mln_reader *r);
uint32_t mln_read_u32be(struct mln_reader *r);
uint64_t mln_read_u64be(struct mln_reader *r);
uint16_t mln_read_u16le(struct mln_reader *r);
uint32_t mln_read_u32le(struct mln_reader *r);
uint64_t mln_read_u64le(struct mln_reader *r);
struct mln_bytes mln_read_bytes(struct mln_reader *r, size_t n);
