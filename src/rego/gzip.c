/* SPDX-License-Identifier: Apache-2.0 */
/* See gzip.h. */
#include "rego/gzip.h"

#include <zlib.h>

#define GZIP_BITS (15 + 16)
#define STEP      ((size_t)64 << 10)
#define STEP_MOST ((size_t)256 << 20)

/* zlib's input is not const, though it only reads. */
static Bytef *input_of(struct mln_bytes text)
{
    union {
        const uint8_t *from;
        uint8_t *to;
    } strip = {.from = text.ptr};
    return strip.to;
}

static struct mln_err check_size(struct mln_cx *cx, size_t unpacked, size_t packed, size_t max)
{
    if (unpacked > max) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "gzip: more than %zu bytes unpacked", max);
    }
    if (unpacked > MLN_GZIP_RATIO_FROM && unpacked / MLN_GZIP_RATIO_MAX > packed) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "gzip: it unpacks to more than %u times its size", MLN_GZIP_RATIO_MAX);
    }
    return MLN_OK;
}

static void inflate_drop(z_stream *z)
{
    (void)inflateEnd(z);
}

static struct mln_err step(struct mln_cx *cx, z_stream *z, size_t room, struct mln_buf *out, int *ret_rc)
{
    if (!mln_buf_reserve(out, room)) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "gzip: it unpacks to more than there is room for");
    }
    z->next_out = out->ptr + out->len;
    z->avail_out = (uInt)room;
    *ret_rc = inflate(z, Z_NO_FLUSH);
    size_t got = room - z->avail_out;
    out->len += got;
    bool is_stuck = got == 0 && z->avail_in == 0 && *ret_rc != Z_STREAM_END;
    if ((*ret_rc != Z_OK && *ret_rc != Z_STREAM_END) || is_stuck) {
        return mln_fail(cx, MLN_E_PARSE, "gzip: this is no whole gzip data");
    }
    return MLN_OK;
}

struct mln_err mln_gzip_open(struct mln_cx *cx, struct mln_bytes packed, size_t max, struct mln_buf *ret)
{
    MLN_AUTO(inflate_drop) z_stream z = {0};
    size_t before = ret->len;
    int rc = inflateInit2(&z, GZIP_BITS);
    if (rc != Z_OK) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (packed.len > UINT32_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "gzip: more than 4 GiB");
    }
    z.next_in = input_of(packed);
    z.avail_in = (uInt)packed.len;
    while (rc != Z_STREAM_END) {
        size_t have = ret->len - before;
        size_t room = have < STEP ? STEP : have > STEP_MOST ? STEP_MOST : have; /* doubles */
        room = room > max + 1 - have ? max + 1 - have : room;
        MLN_TRY(step(cx, &z, room, ret, &rc));
        MLN_TRY(check_size(cx, ret->len - before, packed.len, max));
    }
    return z.avail_in == 0 ? MLN_OK : mln_fail(cx, MLN_E_PARSE, "gzip: something stands behind the gzip data");
}

struct mln_err mln_gzip_make(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *ret)
{
    z_stream z = {0};
    if (text.len > UINT32_MAX || deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    size_t bound = deflateBound(&z, (uLong)text.len);
    bool ok = mln_buf_reserve(ret, bound);
    if (ok) {
        z.next_in = input_of(text);
        z.avail_in = (uInt)text.len;
        z.next_out = ret->ptr + ret->len;
        z.avail_out = (uInt)bound;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        ret->len += bound - z.avail_out;
    }
    (void)deflateEnd(&z);
    return ok ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "out of memory");
}
