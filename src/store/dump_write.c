/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a dump: the rows are walked twice, for tar wants a member's size before its bytes. The snapshot holds still. */
#include "store/dump_priv.h"

#include <stdio.h>
#include <zlib.h>

#include "base/json.h"
#include "base/text.h"

#define OUT_BYTES ((size_t)64 << 10)
#define GZIP_BITS (15 + 16)
#define LEVEL     1 /* sealed values do not shrink: what shrinks are names and padding */

struct pack {
    const struct mln_dump_sink *sink;
    z_stream z;
    bool has_z;
    struct mln_sha256_stream sha; /* of the member that is being written */
    uint8_t out[OUT_BYTES];
};

static void pack_drop(struct pack **pack)
{
    uint8_t spare[MLN_SHA256_BYTES];
    if (*pack != NULL) {
        if ((*pack)->has_z) {
            deflateEnd(&(*pack)->z);
        }
        if ((*pack)->sha.ctx != NULL) {
            mln_sha256_end(&(*pack)->sha, spare);
        }
        mln_free(*pack);
    }
}

/* ---- gzip ---- */

static struct mln_err deflate_all(struct mln_cx *cx, struct pack *p, int flush)
{
    int rc = Z_OK;
    do {
        p->z.next_out = p->out;
        p->z.avail_out = OUT_BYTES;
        rc = deflate(&p->z, flush);
        size_t n = OUT_BYTES - p->z.avail_out;
        if (rc == Z_STREAM_ERROR) {
            return mln_fail(cx, MLN_E_INTERNAL, "the snapshot cannot be compressed");
        }
        if (n > 0) {
            MLN_TRY(p->sink->write(p->sink->arg, cx, mln_bytes_at(p->out, n)));
        }
    } while (p->z.avail_out == 0 || (flush == Z_FINISH && rc != Z_STREAM_END));
    return MLN_OK;
}

static struct mln_err put(struct mln_cx *cx, struct pack *p, struct mln_bytes bytes)
{
    union {
        const uint8_t *from;
        uint8_t *to;
    } strip = {.from = bytes.ptr}; /* zlib's type lacks const */
    if (p->sha.ctx != NULL) {
        mln_sha256_update(&p->sha, bytes.ptr, bytes.len);
    }
    p->z.next_in = strip.to;
    p->z.avail_in = (uInt)bytes.len; /* rows and members are far below 4 GiB */
    return bytes.len > 0 ? deflate_all(cx, p, Z_NO_FLUSH) : MLN_OK;
}

/* ---- tar ---- */

static struct mln_err put_header(struct mln_cx *cx, struct pack *p, const char *name, uint64_t size)
{
    uint8_t block[TAR_BLOCK] = {0};
    if (size > TAR_SIZE_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the store is larger than a snapshot may be: 8 GiB");
    }
    (void)snprintf((char *)block, 100, "%s", name);
    (void)snprintf((char *)block + 100, 8, "0000600");
    (void)snprintf((char *)block + 108, 8, "0000000");
    (void)snprintf((char *)block + 116, 8, "0000000");
    (void)snprintf((char *)block + 124, 12, "%011llo", (unsigned long long)size);
    (void)snprintf((char *)block + 136, 12, "00000000000");
    block[156] = '0';
    mln_copy(block + 257, "ustar\00000", 8);
    (void)snprintf((char *)block + 148, 8, "%06o", tar_sum(block));
    block[155] = ' ';
    return put(cx, p, mln_bytes_at(block, TAR_BLOCK));
}

static struct mln_err put_padding(struct mln_cx *cx, struct pack *p, uint64_t size)
{
    static const uint8_t zero[TAR_BLOCK] = {0};
    return put(cx, p, mln_bytes_at(zero, (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK)));
}

/* A whole small member; its digest too. */
static struct mln_err put_member(struct mln_cx *cx, struct pack *p, const char *name, struct mln_bytes content, uint8_t sum[32])
{
    mln_sha256(content, sum);
    MLN_TRY(put_header(cx, p, name, content.len));
    MLN_TRY(put(cx, p, content));
    return put_padding(cx, p, content.len);
}

/* ---- rows ---- */

struct count {
    uint64_t rows, bytes;
};

/* p NULL: only counted. */
static struct mln_err walk(struct mln_cx *cx, struct mln_snap *snap, struct pack *p, struct count *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf last = {0};
    struct mln_bytes key = MLN_BYTES_NONE, value = MLN_BYTES_NONE;
    struct mln_err err = mln_snap_next(cx, snap, MLN_BYTES_NONE, MLN_BYTES_NONE, &key, &value);
    *ret = (struct count){0};
    for (; !mln_failed(err); err = mln_snap_next(cx, snap, MLN_BYTES_NONE, mln_buf_bytes(&last), &key, &value)) {
        uint8_t head[ROW_HEAD];
        mln_put_u16be(head, (uint16_t)key.len);
        mln_put_u32be(head + 2, (uint32_t)value.len);
        ret->rows++;
        ret->bytes += key.len + value.len;
        mln_buf_clear(&last);
        mln_buf_add_bytes(&last, key);
        MLN_TRY(mln_buf_ok(cx, &last));
        if (p != NULL) {
            MLN_TRY(put(cx, p, mln_bytes_at(head, ROW_HEAD)));
            MLN_TRY(put(cx, p, key));
            MLN_TRY(put(cx, p, value));
        }
    }
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err put_rows(struct mln_cx *cx, struct pack *p, struct mln_snap *snap, const struct count *count, uint8_t sum[32])
{
    struct count again;
    uint64_t size = count->bytes + ROW_HEAD * count->rows;
    MLN_TRY(put_header(cx, p, DUMP_ROWS, size));
    MLN_TRY(mln_sha256_begin(cx, &p->sha));
    MLN_TRY(walk(cx, snap, p, &again));
    mln_sha256_end(&p->sha, sum);
    p->sha.ctx = NULL;
    MLN_CHECK(again.rows == count->rows && again.bytes == count->bytes); /* a snapshot holds still */
    return put_padding(cx, p, size);
}

/* ---- the whole ---- */

static struct mln_err make_meta(struct mln_cx *cx, const struct mln_value *about, const struct count *count, struct mln_buf *ret)
{
    struct mln_value *meta = mln_object(cx);
    mln_put_int(cx, meta, "format", MLN_DUMP_FORMAT);
    mln_put_int(cx, meta, "rows", (int64_t)count->rows);
    mln_put_int(cx, meta, "bytes", (int64_t)count->bytes);
    for (size_t i = 0; i < mln_len(about); i++) {
        mln_put_key(cx, meta, mln_member_at(about, i)->key, &mln_member_at(about, i)->value);
    }
    MLN_TRY(mln_cx_err(cx));
    ret->max = MLN_DUMP_META_MAX;
    mln_json_print(ret, meta, MLN_JSON_COMPACT);
    mln_buf_add_byte(ret, '\n');
    return mln_buf_ok(cx, ret);
}

static struct mln_err put_sums(struct mln_cx *cx, struct pack *p, const uint8_t meta[32], const uint8_t rows[32], const uint8_t *key)
{
    uint8_t mac[MLN_SHA256_BYTES], spare[32];
    const char *sums = mln_text_format(cx, "%s  " DUMP_META "\n%s  " DUMP_ROWS "\n", mln_hex_text(cx, mln_bytes_at(meta, 32)),
                                       mln_hex_text(cx, mln_bytes_at(rows, 32)));
    const char *sealed = "none\n";
    MLN_TRY(mln_cx_err(cx));
    if (key != NULL) {
        mln_hmac_sha256(mln_bytes_at(key, 32), mln_bytes_of(sums), mac);
        sealed = mln_text_format(cx, SEALED_PREFIX "%s\n", mln_hex_text(cx, mln_bytes_at(mac, sizeof(mac))));
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(put_member(cx, p, DUMP_SUMS, mln_bytes_of(sums), spare));
    return put_member(cx, p, DUMP_SEALED, mln_bytes_of(sealed), spare);
}

struct mln_err mln_dump_write(struct mln_cx *cx, struct mln_snap *snap, const struct mln_value *about, const uint8_t *key,
                              const struct mln_dump_sink *sink)
{
    static const uint8_t end[2 * TAR_BLOCK] = {0};
    MLN_AUTO(pack_drop) struct pack *p = mln_alloc(sizeof(*p));
    MLN_AUTO(mln_buf_drop) struct mln_buf meta = {0};
    uint8_t meta_sum[32], rows_sum[32];
    struct count count;
    if (p == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    p->sink = sink;
    p->has_z = deflateInit2(&p->z, LEVEL, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    if (!p->has_z) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(walk(cx, snap, NULL, &count));
    MLN_TRY(make_meta(cx, about, &count, &meta));
    MLN_TRY(put_member(cx, p, DUMP_META, mln_buf_bytes(&meta), meta_sum));
    MLN_TRY(put_rows(cx, p, snap, &count, rows_sum));
    MLN_TRY(put_sums(cx, p, meta_sum, rows_sum, key));
    MLN_TRY(put(cx, p, mln_bytes_at(end, sizeof(end))));
    return deflate_all(cx, p, Z_FINISH);
}
