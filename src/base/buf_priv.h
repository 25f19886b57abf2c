/* SPDX-License-Identifier: Apache-2.0 */
/* Appending without a call while there is room: for printers. */
#pragma once

#include <string.h>

#include "base/buf.h"

static inline bool buf_room(struct mln_buf *buf, size_t n)
{
    return __builtin_expect(!buf->has_failed && n <= buf->cap - buf->len, 1) ||
           mln_buf_reserve(buf, n);
}

static inline void buf_put(struct mln_buf *buf, const void *from, size_t n)
{
    if (n != 0 && buf_room(buf, n)) {
        memcpy(buf->ptr + buf->len, from, n);
        buf->len += n;
    }
}

static inline void buf_byte(struct mln_buf *buf, uint8_t byte)
{
    if (buf_room(buf, 1)) {
        buf->ptr[buf->len++] = byte;
    }
}
