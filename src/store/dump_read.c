/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a dump. Strict: these members in this order, each header with its checksum, rows rising, numbers that agree, nothing
 * behind the end. All is bounded: a member of text by its limit, rows by the store's, so that a small file cannot swell in memory.
 */
#include "store/dump_priv.h"

#include <zlib.h>

#include "base/json.h"
#include "base/text.h"

#define OUT_BYTES ((size_t)64 << 10)
#define GZIP_BITS (15 + 16)
#define DUMP_PAD  (64u * TAR_BLOCK) /* zeros behind the end: tar pads to records */

struct unpack {
    z_stream z;
    bool has_z, is_at_end;
    struct mln_bytes rest; /* of the file, not yet given to zlib */
    size_t at, have;       /* in out */
    struct mln_sha256_stream sha;
    struct mln_buf row, last;
    uint8_t out[OUT_BYTES];
};

static void unpack_drop(struct unpack **unpack)
{
    struct unpack *u = *unpack;
    uint8_t spare[MLN_SHA256_BYTES];
    if (u != NULL) {
        if (u->has_z) {
            inflateEnd(&u->z);
        }
        if (u->sha.ctx != NULL) {
            mln_sha256_end(&u->sha, spare);
        }
        mln_buf_drop(&u->row);
        mln_buf_drop(&u->last);
        mln_free(u);
    }
}

/* ---- gzip ---- */

static struct mln_err cut_short(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_PARSE, "the snapshot is cut short: save or copy it again");
}

/* More in out; none at the end of the stream. */
static struct mln_err fill(struct mln_cx *cx, struct unpack *u)
{
    u->at = u->have = 0;
    while (u->have == 0 && !u->is_at_end) {
        if (u->z.avail_in == 0) {
            union {
                const uint8_t *from;
                uint8_t *to;
            } strip = {.from = u->rest.ptr};
            size_t n = u->rest.len < OUT_BYTES ? u->rest.len : OUT_BYTES;
            if (n == 0) {
                return cut_short(cx);
            }
            u->z.next_in = strip.to;
            u->z.avail_in = (uInt)n;
            u->rest = mln_bytes_from(u->rest, n);
        }
        u->z.next_out = u->out;
        u->z.avail_out = OUT_BYTES;
        int rc = inflate(&u->z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            return mln_fail(cx, rc == Z_MEM_ERROR ? MLN_E_MEMORY : MLN_E_PARSE,
                            "the snapshot is damaged, or this is no snapshot: it is not whole gzip data");
        }
        u->have = OUT_BYTES - u->z.avail_out;
        u->is_at_end = rc == Z_STREAM_END;
    }
    return MLN_OK;
}

/* All n bytes. */
static struct mln_err take(struct mln_cx *cx, struct unpack *u, void *to, size_t n)
{
    uint8_t *out = to;
    while (n > 0) {
        if (u->at == u->have) {
            MLN_TRY(fill(cx, u));
            if (u->have == 0) {
                return cut_short(cx);
            }
        }
        size_t step = u->have - u->at < n ? u->have - u->at : n;
        mln_copy(out, u->out + u->at, step);
        if (u->sha.ctx != NULL) {
            mln_sha256_update(&u->sha, u->out + u->at, step);
        }
        u->at += step;
        out += step;
        n -= step;
    }
    return MLN_OK;
}

/* ---- tar ---- */

static bool octal(const uint8_t *at, size_t digits, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits; i++) {
        if (at[i] < '0' || at[i] > '7') {
            return false;
        }
        n = n << 3 | (uint64_t)(at[i] - '0');
    }
    *ret = n;
    return true;
}

static struct mln_err no_snapshot(struct mln_cx *cx, const char *what)
{
    return mln_fail(cx, MLN_E_PARSE, "this is no snapshot of Merlon: %s", what);
}

static struct mln_err take_header(struct mln_cx *cx, struct unpack *u, const char *name, uint64_t *ret_size)
{
    uint8_t block[TAR_BLOCK];
    uint64_t sum = 0;
    MLN_TRY(take(cx, u, block, TAR_BLOCK));
    struct mln_bytes want = mln_bytes_of(name), field = mln_bytes_at(block, 100);
    bool is_tar = mln_bytes_starts(mln_bytes_at(block + 257, 5), MLN_BYTES("ustar")) && octal(block + 148, 6, &sum) &&
                  sum == tar_sum(block) && octal(block + 124, 11, ret_size);
    if (!is_tar) {
        return no_snapshot(cx, "its headers are not tar's");
    }
    if (!mln_bytes_starts(field, want) || block[want.len] != 0 || (block[156] != '0' && block[156] != 0)) {
        return mln_fail(cx, MLN_E_PARSE, "this is no snapshot of Merlon: %s is not where it belongs", name);
    }
    return MLN_OK;
}

static struct mln_err take_padding(struct mln_cx *cx, struct unpack *u, uint64_t size)
{
    uint8_t pad[TAR_BLOCK];
    return take(cx, u, pad, (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK));
}

/* A whole small member. */
static struct mln_err take_member(struct mln_cx *cx, struct unpack *u, const char *name, size_t max, struct mln_bytes *ret)
{
    uint64_t size = 0;
    MLN_TRY(take_header(cx, u, name, &size));
    if (size > max) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the snapshot is damaged: its %s has %llu bytes", name, (unsigned long long)size);
    }
    uint8_t *content = mln_new(cx, (size_t)size + 1);
    if (content == NULL) {
        return mln_cx_err(cx);
    }
    MLN_TRY(take(cx, u, content, (size_t)size));
    MLN_TRY(take_padding(cx, u, size));
    *ret = mln_bytes_at(content, (size_t)size);
    return MLN_OK;
}

static struct mln_err take_end(struct mln_cx *cx, struct unpack *u)
{
    uint8_t end[2 * TAR_BLOCK];
    size_t more = 0;
    MLN_TRY(take(cx, u, end, sizeof(end)));
    bool is_zero = true;
    for (size_t i = 0; i < sizeof(end); i++) {
        is_zero = is_zero && end[i] == 0;
    }
    while (is_zero && more <= DUMP_PAD) {
        MLN_TRY(fill(cx, u));
        if (u->have == 0) {
            break;
        }
        for (size_t i = 0; i < u->have; i++) {
            is_zero = is_zero && u->out[i] == 0;
        }
        more += u->have;
    }
    if (!is_zero || more > DUMP_PAD || u->rest.len > 0 || u->z.avail_in > 0) {
        return no_snapshot(cx, "something follows its end");
    }
    return MLN_OK;
}

/* ---- members ---- */

static struct mln_err read_meta(struct mln_cx *cx, struct mln_bytes text, struct mln_dump_facts *ret)
{
    const struct mln_value *meta = NULL;
    struct mln_err err = mln_json_parse(cx, text, &meta);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    int64_t format = mln_get_int(mln_get(meta, "format"), 0), rows = mln_get_int(mln_get(meta, "rows"), -1),
            bytes = mln_get_int(mln_get(meta, "bytes"), -1);
    if (mln_failed(err) || mln_type_of(meta) != MLN_OBJECT || format < 1) {
        return mln_refail(cx, MLN_E_PARSE, "this is no snapshot of Merlon: its meta.json is not ours");
    }
    if (format > MLN_DUMP_FORMAT) {
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "the snapshot has format %lld, this program reads formats up to %d: restore it with the version that made it, "
                        "or newer",
                        (long long)format, MLN_DUMP_FORMAT);
    }
    if (rows < 0 || bytes < 0) {
        return no_snapshot(cx, "its meta.json does not say how many rows there are");
    }
    ret->about = meta;
    ret->rows = (uint64_t)rows;
    ret->bytes = (uint64_t)bytes;
    return MLN_OK;
}

static struct mln_err take_row(struct mln_cx *cx, struct unpack *u, const struct mln_dump_take *to, uint64_t *ret_bytes)
{
    uint8_t head[ROW_HEAD];
    MLN_TRY(take(cx, u, head, ROW_HEAD));
    size_t n_key = mln_get_u16be(head), n_value = mln_get_u32be(head + 2);
    if (n_key < 1 || n_key > MLN_STORE_KEY_MAX || n_value > MLN_STORE_VALUE_MAX) {
        return mln_fail(cx, MLN_E_PARSE, "the snapshot is damaged: a row of it is larger than rows are");
    }
    mln_buf_clear(&u->row);
    if (!mln_buf_reserve(&u->row, n_key + n_value)) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(take(cx, u, u->row.ptr, n_key + n_value));
    struct mln_bytes key = mln_bytes_at(u->row.ptr, n_key);
    if (u->last.len > 0 && mln_bytes_cmp(key, mln_buf_bytes(&u->last)) <= 0) {
        return mln_fail(cx, MLN_E_PARSE, "the snapshot is damaged: its rows are not in order");
    }
    mln_buf_clear(&u->last);
    mln_buf_add_bytes(&u->last, key);
    MLN_TRY(mln_buf_ok(cx, &u->last));
    *ret_bytes += n_key + n_value;
    return to != NULL && to->row != NULL ? to->row(to->arg, cx, key, mln_bytes_at(u->row.ptr + n_key, n_value)) : MLN_OK;
}

static struct mln_err take_rows(struct mln_cx *cx, struct unpack *u, const struct mln_dump_take *to,
                                const struct mln_dump_facts *facts, uint8_t sum[32])
{
    uint64_t size = 0, bytes = 0;
    MLN_TRY(take_header(cx, u, DUMP_ROWS, &size));
    bool fits = facts->rows <= TAR_SIZE_MAX / ROW_HEAD && facts->bytes <= TAR_SIZE_MAX &&
                size == facts->bytes + ROW_HEAD * facts->rows;
    MLN_TRY(mln_sha256_begin(cx, &u->sha));
    for (uint64_t i = 0; fits && i < facts->rows; i++) {
        MLN_TRY(take_row(cx, u, to, &bytes));
        fits = bytes <= facts->bytes;
    }
    mln_sha256_end(&u->sha, sum);
    u->sha.ctx = NULL;
    return fits && bytes == facts->bytes ? take_padding(cx, u, size)
                                         : mln_fail(cx, MLN_E_PARSE, "the snapshot is damaged: it has other rows than it says");
}

static bool is_sealed_with(struct mln_cx *cx, const uint8_t *key, struct mln_bytes sums, struct mln_bytes sealed)
{
    uint8_t mac[MLN_SHA256_BYTES];
    if (key == NULL) {
        return false;
    }
    mln_hmac_sha256(mln_bytes_at(key, 32), sums, mac);
    const char *want = mln_text_format(cx, SEALED_PREFIX "%s\n", mln_hex_text(cx, mln_bytes_at(mac, sizeof(mac))));
    struct mln_bytes w = mln_bytes_of(want);
    return !mln_failed(mln_cx_err(cx)) && mln_eq_ct(w.ptr, w.len, sealed.ptr, sealed.len);
}

static struct mln_err read_members(struct mln_cx *cx, struct unpack *u, const uint8_t *key, const struct mln_dump_take *to,
                                   struct mln_dump_facts *ret)
{
    struct mln_bytes meta, sums, sealed;
    uint8_t meta_sum[32], rows_sum[32];
    MLN_TRY(take_member(cx, u, DUMP_META, MLN_DUMP_META_MAX, &meta));
    MLN_TRY(read_meta(cx, meta, ret));
    MLN_TRY(take_rows(cx, u, to, ret, rows_sum));
    MLN_TRY(take_member(cx, u, DUMP_SUMS, SUMS_MAX, &sums));
    MLN_TRY(take_member(cx, u, DUMP_SEALED, SEALED_MAX, &sealed));
    MLN_TRY(take_end(cx, u));
    mln_sha256(meta, meta_sum);
    const char *want = mln_text_format(cx, "%s  " DUMP_META "\n%s  " DUMP_ROWS "\n", mln_hex_text(cx, mln_bytes_at(meta_sum, 32)),
                                       mln_hex_text(cx, mln_bytes_at(rows_sum, 32)));
    MLN_TRY(mln_cx_err(cx));
    if (!mln_bytes_is(sums, want)) {
        return mln_fail(cx, MLN_E_FORGED, "the snapshot was changed: its content is not what its SHA256SUMS says");
    }
    mln_sha256(sums, ret->sums);
    ret->is_authentic = is_sealed_with(cx, key, sums, sealed);
    return mln_cx_err(cx);
}

struct mln_err mln_dump_read(struct mln_cx *cx, struct mln_bytes file, const uint8_t *key, const struct mln_dump_take *take_to,
                             struct mln_dump_facts *ret)
{
    MLN_AUTO(unpack_drop) struct unpack *u = mln_alloc(sizeof(*u));
    struct mln_dump_facts facts = {0};
    if (u == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (file.len < 2 || file.ptr[0] != 0x1f || file.ptr[1] != 0x8b) {
        return no_snapshot(cx, "it is not gzip data");
    }
    u->rest = file;
    u->has_z = inflateInit2(&u->z, GZIP_BITS) == Z_OK;
    if (!u->has_z) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(read_members(cx, u, key, take_to, &facts));
    *ret = facts;
    return MLN_OK;
}
