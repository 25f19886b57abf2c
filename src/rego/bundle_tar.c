/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar, inside gzip. Read: plain files and folders, long names by pax or GNU headers. Links, devices and sparse files are refused: no
 * tool puts them into bundles, and what they point at nobody signed. Written: plain files, long names by pax headers.
 */
#include "rego/bundle_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "rego/gzip.h"

#define BLOCK     512u
#define PAX_MAX   ((size_t)64 << 10) /* of one extended header: a path and a size */
#define SIZE_MOST ((uint64_t)MLN_BUNDLE_BYTES_MAX)

/* ---- tar ---- */

static bool octal(const uint8_t *at, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < n && at[i] == ' ') {
        i++;
    }
    size_t first = i;
    for (; i < n && at[i] >= '0' && at[i] <= '7'; i++) {
        v = v << 3 | (uint64_t)(at[i] - '0');
    }
    size_t digits = i - first;
    while (i < n && (at[i] == ' ' || at[i] == 0)) {
        i++;
    }
    *ret = v;
    return digits > 0 && digits <= 12 && i == n;
}

static uint64_t sum_of(const uint8_t *block)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        sum += i >= 148 && i < 156 ? (uint64_t)' ' : block[i];
    }
    return sum;
}

static bool is_zero(const uint8_t *block)
{
    uint8_t any = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        any |= block[i];
    }
    return any == 0;
}

static struct mln_bytes field(const uint8_t *block, size_t at, size_t n)
{
    struct mln_bytes f = mln_bytes_at(block + at, n);
    return mln_bytes_sub(f, 0, mln_bytes_find(f, 0));
}

/* What headers before a file say of it. */
struct pending {
    struct mln_bytes path; /* none: as in the header */
    bool has_size;
    uint64_t size;
};

/* "LEN KEY=VALUE\n", again and again. */
static struct mln_err read_pax(struct mln_cx *cx, struct mln_bytes text, struct pending *p)
{
    while (text.len > 0) {
        struct mln_bytes rest, value;
        uint64_t len = 0;
        struct mln_bytes digits = mln_bytes_cut(text, ' ', &rest);
        if (!mln_u64_parse(digits, &len) || len > text.len || len < digits.len + 3 || text.ptr[len - 1] != '\n') {
            return mln_fail(cx, MLN_E_PARSE, "bundle: an extended header of its tar is malformed");
        }
        struct mln_bytes key = mln_bytes_cut(mln_bytes_sub(text, digits.len + 1, len - digits.len - 2), '=', &value);
        if (mln_bytes_is(key, "path")) {
            p->path = value;
        } else if (mln_bytes_is(key, "size")) {
            p->has_size = true;
            if (!mln_u64_parse(value, &p->size)) {
                return mln_fail(cx, MLN_E_PARSE, "bundle: an extended header of its tar is malformed");
            }
        } else if (mln_bytes_starts(key, MLN_BYTES("GNU.sparse"))) {
            return mln_fail(cx, MLN_E_PARSE, "bundle: its tar has a sparse file");
        }
        text = mln_bytes_from(text, (size_t)len);
    }
    return MLN_OK;
}

static struct mln_err name_of(struct mln_cx *cx, const uint8_t *block, const struct pending *p, struct mln_bytes *ret)
{
    struct mln_bytes name = field(block, 0, 100), prefix = field(block, 345, 155);
    bool is_ustar = mln_bytes_is(field(block, 257, 6), "ustar");
    if (p->path.ptr != NULL) {
        *ret = p->path;
    } else if (is_ustar && prefix.len > 0) {
        *ret = mln_bytes_format(cx, "%.*s/%.*s", MLN_FMT(prefix), MLN_FMT(name));
    } else {
        *ret = name;
    }
    while (mln_bytes_starts(*ret, MLN_BYTES("./"))) {
        *ret = mln_bytes_from(*ret, 2);
    }
    *ret = mln_bytes_starts(*ret, MLN_BYTES("/")) ? mln_bytes_from(*ret, 1) : *ret;
    return mln_cx_err(cx);
}

static struct mln_err take_entry(struct bundle_making *m, const uint8_t *block, struct mln_bytes content, struct pending *p)
{
    struct mln_bytes name;
    char kind = (char)block[156];
    if (kind == 'x' || kind == 'L') {
        if (content.len > PAX_MAX) {
            return mln_fail(m->cx, MLN_E_PARSE, "bundle: an extended header of its tar is too long");
        }
        if (kind == 'x') {
            return read_pax(m->cx, content, p);
        }
        p->path = mln_bytes_sub(content, 0, mln_bytes_find(content, 0));
        return MLN_OK;
    }
    if (kind == 'g') {
        return MLN_OK; /* comments for all files: git writes its commit there */
    }
    MLN_TRY(name_of(m->cx, block, p, &name));
    *p = (struct pending){0};
    if (kind == '5') {
        return MLN_OK;
    }
    if (kind != '0' && kind != 0) {
        return mln_fail(m->cx, MLN_E_PARSE, "bundle: %.*s is a link or a device; bundles have files only", MLN_FMT(name));
    }
    return bundle_add_file(m, name, content);
}

static struct mln_err read_header(struct mln_cx *cx, const uint8_t *block, const struct pending *p, uint64_t left,
                                  uint64_t *ret_size)
{
    uint64_t sum = 0, size = 0;
    if (!octal(block + 148, 8, &sum) || sum != sum_of(block) || !octal(block + 124, 12, &size)) {
        return mln_fail(cx, MLN_E_PARSE, "bundle: its headers are not tar's");
    }
    char kind = (char)block[156];
    size = p->has_size && kind != 'x' && kind != 'L' && kind != 'g' ? p->size : size;
    if (size > SIZE_MOST || size > left) {
        return mln_fail(cx, MLN_E_PARSE, "bundle: its tar is cut short");
    }
    *ret_size = size;
    return MLN_OK;
}

static struct mln_err read_tar(struct bundle_making *m, struct mln_bytes tar)
{
    struct pending pending = {0};
    size_t at = 0;
    while (tar.len - at >= BLOCK && !is_zero(tar.ptr + at)) {
        const uint8_t *block = tar.ptr + at;
        uint64_t size = 0;
        at += BLOCK;
        MLN_TRY(read_header(m->cx, block, &pending, tar.len - at, &size));
        MLN_TRY(take_entry(m, block, mln_bytes_sub(tar, at, (size_t)size), &pending));
        size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
        at = padded <= tar.len - at ? at + padded : tar.len;
    }
    if (pending.path.ptr != NULL || tar.len - at < BLOCK) {
        return mln_fail(m->cx, MLN_E_PARSE, "bundle: its tar is cut short");
    }
    for (; tar.len - at >= BLOCK; at += BLOCK) {
        if (!is_zero(tar.ptr + at)) {
            return mln_fail(m->cx, MLN_E_PARSE, "bundle: something stands behind the end of its tar");
        }
    }
    return MLN_OK;
}

struct mln_err bundle_unpack(struct bundle_making *m, struct mln_bytes packed)
{
    struct mln_buf *out = &m->bundle->store->unpacked;
    if (packed.len > MLN_BUNDLE_PACKED_MAX) {
        return mln_fail(m->cx, MLN_E_TOO_LARGE, "bundle: more than %zu bytes", MLN_BUNDLE_PACKED_MAX);
    }
    MLN_TRY(mln_gzip_open(m->cx, packed, MLN_BUNDLE_BYTES_MAX, out));
    return read_tar(m, mln_buf_bytes(out));
}

/* ---- writing ---- */

static void put_header(struct mln_buf *tar, struct mln_bytes name, size_t size, char kind)
{
    uint8_t block[BLOCK] = {0};
    char sum[8];
    mln_copy(block, name.ptr, name.len < 100 ? name.len : 100);
    mln_copy(block + 100, "0000644", 8);
    mln_copy(block + 108, "0000000", 8);
    mln_copy(block + 116, "0000000", 8);
    (void)snprintf((char *)block + 124, 12, "%011zo", size);
    mln_copy(block + 136, "00000000000", 12);
    block[156] = (uint8_t)kind;
    mln_copy(block + 257, "ustar\00000", 8);
    (void)snprintf(sum, sizeof(sum), "%06llo", (unsigned long long)sum_of(block));
    mln_copy(block + 148, sum, 7);
    block[155] = ' ';
    mln_buf_add(tar, block, BLOCK);
}

static void put_content(struct mln_buf *tar, struct mln_bytes content)
{
    static const uint8_t zeros[BLOCK];
    mln_buf_add_bytes(tar, content);
    mln_buf_add(tar, zeros, (BLOCK - content.len % BLOCK) % BLOCK);
}

/* The length counts its own digits. */
static void put_long_name(struct mln_buf *tar, struct mln_bytes name)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf record = {0};
    size_t n = name.len + sizeof(" path=\n") - 1, digits = 1;
    for (size_t k = 10; k <= n + digits; k *= 10) {
        digits++;
    }
    mln_buf_add_format(&record, "%zu path=", n + digits);
    mln_buf_add_bytes(&record, name);
    mln_buf_add_byte(&record, '\n');
    put_header(tar, MLN_BYTES("pax"), record.len, 'x');
    put_content(tar, mln_buf_bytes(&record));
}

static int by_path(const void *a, const void *b)
{
    const struct mln_bundle_file *const *x = a, *const *y = b;
    return mln_bytes_cmp(mln_bytes_of((*x)->path), mln_bytes_of((*y)->path));
}

struct mln_err mln_bundle_pack(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n, struct mln_buf *ret)
{
    static const uint8_t end[2 * BLOCK];
    MLN_AUTO(mln_buf_drop) struct mln_buf tar = {.max = MLN_BUNDLE_BYTES_MAX};
    const struct mln_bundle_file **order = mln_new_array(cx, n + 1, sizeof(struct mln_bundle_file *));
    MLN_TRY(mln_cx_err(cx));
    if (n > MLN_BUNDLE_FILES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "bundle: more than %u files", MLN_BUNDLE_FILES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = &files[i];
    }
    qsort(order, n, sizeof(*order), by_path);
    for (size_t i = 0; i < n; i++) {
        struct mln_bytes name = mln_bytes_of(order[i]->path);
        bool is_twice = i > 0 && mln_bytes_is(name, order[i - 1]->path);
        if (!bundle_path_ok(name) || is_twice) {
            return mln_fail(cx, MLN_E_INVALID, "bundle: %s %s", order[i]->path, is_twice ? "is there twice" : "is no path for a file");
        }
        if (name.len > 100) {
            put_long_name(&tar, name);
        }
        put_header(&tar, name, order[i]->bytes.len, '0');
        put_content(&tar, order[i]->bytes);
    }
    mln_buf_add(&tar, end, sizeof(end));
    MLN_TRY(mln_buf_ok(cx, &tar));
    return mln_gzip_make(cx, mln_buf_bytes(&tar), ret);
}
