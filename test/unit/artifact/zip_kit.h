/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of zip readers: build archives, honest ones and others. */
#pragma once

#include "kit/kit.h"

#define ZLIB_CONST
#include <zlib.h>

/* One member; zeros mean what an honest writer does. */
struct zip_part {
    const char *name;
    const char *local_name; /* NULL: as name */
    const char *data;
    size_t len; /* 0: of the text in data */
    bool is_deflated;
    bool is_streamed;  /* sizes behind the data */
    bool is_wide;      /* zip64 extra fields in both headers */
    bool is_hidden;    /* not in the directory */
    uint16_t method;   /* when not 0: claimed instead */
    uint16_t flags;    /* added in both headers */
    uint32_t crc_xor;  /* in both */
    uint32_t size_add; /* in the directory only */
    uint32_t mode;     /* Unix, in the directory */
};

struct zip_build {
    struct mln_buf file;
    struct mln_buf dir;
    unsigned count;
};

static inline void zip_u16(struct mln_buf *b, uint32_t v)
{
    mln_buf_add_byte(b, (uint8_t)v);
    mln_buf_add_byte(b, (uint8_t)(v >> 8));
}

static inline void zip_u32(struct mln_buf *b, uint32_t v)
{
    zip_u16(b, v);
    zip_u16(b, v >> 16);
}

static inline void zip_u64(struct mln_buf *b, uint64_t v)
{
    zip_u32(b, (uint32_t)v);
    zip_u32(b, (uint32_t)(v >> 32));
}

static inline struct mln_bytes zip_deflate(struct mln_bytes from, struct mln_buf *to)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_true(mln_buf_reserve(to, deflateBound(&z, from.len)));
    z.next_in = from.ptr;
    z.avail_in = (uInt)from.len;
    z.next_out = to->ptr;
    z.avail_out = (uInt)to->cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    to->len = z.total_out;
    deflateEnd(&z);
    return mln_buf_bytes(to);
}

/* The fields that both headers share, from version needed to the sizes. */
static inline void zip_common(struct mln_buf *b, const struct zip_part *p, uint32_t crc,
                              uint64_t packed, uint64_t size)
{
    unsigned method = p->method != 0 ? p->method : p->is_deflated ? 8 : 0;
    zip_u16(b, p->is_wide ? 45 : 20);
    zip_u16(b, p->flags | (p->is_streamed ? 8u : 0u));
    zip_u16(b, method);
    zip_u32(b, 0x00210000);
    zip_u32(b, crc);
    zip_u32(b, p->is_wide ? UINT32_MAX : (uint32_t)packed);
    zip_u32(b, p->is_wide ? UINT32_MAX : (uint32_t)size);
}

static inline void zip_wide(struct mln_buf *b, uint64_t packed, uint64_t size)
{
    zip_u16(b, 1);
    zip_u16(b, 16);
    zip_u64(b, size);
    zip_u64(b, packed);
}

static inline void zip_add(struct zip_build *z, const struct zip_part *p)
{
    struct mln_bytes raw = p->len != 0 ? mln_bytes_at(p->data, p->len) : mln_bytes_of(p->data);
    struct mln_bytes name = mln_bytes_of(p->name);
    struct mln_bytes local = p->local_name != NULL ? mln_bytes_of(p->local_name) : name;
    struct mln_buf packed_buf = {0};
    struct mln_bytes packed = p->is_deflated ? zip_deflate(raw, &packed_buf) : raw;
    uint32_t crc = (uint32_t)crc32_z(0, raw.ptr, raw.len) ^ p->crc_xor;
    uint32_t at = (uint32_t)z->file.len;
    mln_buf_add(&z->file, "PK\3\4", 4);
    zip_common(&z->file, p, p->is_streamed ? 0 : crc, p->is_streamed ? 0 : packed.len,
               p->is_streamed ? 0 : raw.len);
    zip_u16(&z->file, (uint32_t)local.len);
    zip_u16(&z->file, p->is_wide ? 20 : 0);
    mln_buf_add_bytes(&z->file, local);
    if (p->is_wide) {
        zip_wide(&z->file, packed.len, raw.len);
    }
    mln_buf_add_bytes(&z->file, packed);
    if (p->is_streamed) {
        mln_buf_add(&z->file, "PK\7\10", 4);
        zip_u32(&z->file, crc);
        zip_u32(&z->file, (uint32_t)packed.len);
        zip_u32(&z->file, (uint32_t)raw.len);
    }
    if (!p->is_hidden) {
        mln_buf_add(&z->dir, "PK\1\2", 4);
        zip_u16(&z->dir, 0x0314);
        zip_common(&z->dir, p, crc, packed.len, raw.len + p->size_add);
        zip_u16(&z->dir, (uint32_t)name.len);
        zip_u16(&z->dir, p->is_wide ? 20 : 0);
        zip_u16(&z->dir, 0);
        zip_u32(&z->dir, 0);
        zip_u32(&z->dir, p->mode << 16);
        zip_u32(&z->dir, at);
        mln_buf_add_bytes(&z->dir, name);
        if (p->is_wide) {
            zip_wide(&z->dir, packed.len, raw.len);
        }
        z->count++;
    }
    mln_buf_drop(&packed_buf);
}

/* Directory and end record; count_add lies about the number of members, shift about where the directory is. */
static inline void zip_end(struct zip_build *z, const char *comment, unsigned count_add,
                           uint32_t shift)
{
    uint32_t at = (uint32_t)z->file.len;
    mln_buf_add_bytes(&z->file, mln_buf_bytes(&z->dir));
    mln_buf_add(&z->file, "PK\5\6\0\0\0\0", 8);
    zip_u16(&z->file, z->count + count_add);
    zip_u16(&z->file, z->count + count_add);
    zip_u32(&z->file, (uint32_t)z->dir.len);
    zip_u32(&z->file, at + shift);
    zip_u16(&z->file, (uint32_t)mln_bytes_of(comment).len);
    mln_buf_add_text(&z->file, comment);
}

/* A copy in the arena of cx; the builder is dropped. */
static inline struct mln_bytes zip_take(struct mln_cx *cx, struct zip_build *z)
{
    struct mln_bytes file = mln_bytes_dup(cx, mln_buf_bytes(&z->file));
    mln_buf_drop(&z->file);
    mln_buf_drop(&z->dir);
    z->count = 0;
    return file;
}
