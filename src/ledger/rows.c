/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's rows in the store. A transaction writes one row of entries and one of contents for all its records; the key
 * ends in the index of the last, so that the first key >= an index is the row that holds it.
 *
 * root/ledger/e/<last u64 BE>   entries of 50 bytes, one after the other (public, kept for ever)
 * root/ledger/c/<last u64 BE>   first u64 BE | per record: bytes u32 BE, box (forgotten by a prune)
 * root/ledger/state             box of: version u8 = 1 | size | mark | pruned (u64 BE each) | peaks of the edge, lowest first
 * root/ledger/log               box of: version u8 = 1 | seed 32 | origin
 */
#include <inttypes.h>

#include "ledger/ledger_priv.h"

#define STATE_VERSION 1u

bool key_is_exempt(struct mln_bytes key)
{
    static const char *const prefixes[] = {"core/keyring/", "core/keyring-count/", "core/seal", ROW_PREFIX};
    for (size_t i = 0; i < MLN_COUNT(prefixes); i++) {
        if (mln_bytes_starts(key, mln_bytes_of(prefixes[i]))) {
            return true;
        }
    }
    return false;
}

struct mln_bytes row_key(struct mln_bytes prefix, uint64_t last, uint8_t to[64])
{
    MLN_CHECK(prefix.len + 8 <= 64);
    mln_copy(to, prefix.ptr, prefix.len);
    mln_put_u64be(to + prefix.len, last);
    return mln_bytes_at(to, prefix.len + 8);
}

/* ---- state ---- */

struct mln_err state_encode(struct mln_cx *cx, struct mln_ledger *ledger, const struct ledger_state *s, struct mln_bytes *ret)
{
    uint8_t plain[1 + 3 * 8 + 64 * sizeof(struct mln_hash)];
    size_t n = 1 + 3 * 8;
    plain[0] = STATE_VERSION;
    mln_put_u64be(plain + 1, s->edge.size);
    mln_put_u64be(plain + 9, s->mark);
    mln_put_u64be(plain + 17, s->pruned);
    for (unsigned level = 0; level < 64; level++) {
        if ((s->edge.size >> level & 1) != 0) {
            mln_copy(plain + n, s->edge.peaks[level].b, sizeof(struct mln_hash));
            n += sizeof(struct mln_hash);
        }
    }
    return mln_barrier_encrypt(cx, ledger->barrier, MLN_NS_ROOT, STATE_KEY, mln_bytes_at(plain, n), ret);
}

static bool state_decode(struct mln_bytes plain, struct ledger_state *ret)
{
    struct mln_reader r = mln_reader_of(plain);
    bool is_known = mln_read_u8(&r) == STATE_VERSION;
    struct ledger_state s = {.edge.size = mln_read_u64be(&r)};
    s.mark = mln_read_u64be(&r);
    s.pruned = mln_read_u64be(&r);
    for (unsigned level = 0; level < 64; level++) {
        if ((s.edge.size >> level & 1) != 0) {
            struct mln_bytes peak = mln_read_bytes(&r, sizeof(struct mln_hash));
            mln_copy(s.edge.peaks[level].b, peak.ptr, peak.len);
        }
    }
    if (!is_known || r.is_short || mln_reader_left(&r) != 0 || s.pruned > s.edge.size) {
        return false;
    }
    *ret = s;
    return true;
}

struct mln_err state_load(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_snap *snap, struct ledger_state *ret)
{
    struct mln_bytes box;
    struct mln_bytes plain;
    uint64_t version = 0;
    MLN_TRY(mln_snap_get(cx, snap, STATE_KEY, &box, &version));
    struct mln_err err = mln_barrier_decrypt(cx, ledger->barrier, MLN_NS_ROOT, STATE_KEY, box, &plain);
    if (mln_is(err, MLN_E_SEALED) || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err) || !state_decode(plain, ret)) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: its state in the store is damaged");
    }
    return MLN_OK;
}

/* ---- walking ---- */

void rows_drop(struct rows *rows)
{
    mln_buf_drop(&rows->row);
}

static struct mln_err load_row(struct mln_cx *cx, struct rows *rows, struct mln_bytes prefix, uint64_t *ret_last)
{
    uint8_t from[64];
    struct mln_bytes key;
    struct mln_bytes value;
    rows->first = rows->end = 0;
    MLN_TRY(mln_snap_from(cx, rows->snap, prefix, row_key(prefix, rows->index, from), &key, &value));
    if (key.len != prefix.len + 8) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: a row near record %" PRIu64 " has a bad name", rows->index);
    }
    *ret_last = mln_get_u64be(key.ptr + prefix.len);
    mln_buf_clear(&rows->row);
    mln_buf_add_bytes(&rows->row, value);
    return mln_buf_ok(cx, &rows->row);
}

static struct mln_err bad_entry(struct mln_cx *cx, uint64_t index)
{
    return mln_refail(cx, MLN_E_CORRUPT, "ledger: entry %" PRIu64 " in the store is damaged or missing", index);
}

struct mln_err rows_entry(struct mln_cx *cx, struct rows *rows, struct mln_bytes *ret_entry)
{
    if (rows->index < rows->first || rows->index >= rows->end) {
        uint64_t last = 0;
        struct mln_err err = load_row(cx, rows, ENTRIES_PREFIX, &last);
        uint64_t n = rows->row.len / ENTRY_BYTES;
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return bad_entry(cx, rows->index);
        }
        MLN_TRY(err);
        if (rows->row.len % ENTRY_BYTES != 0 || n == 0 || n > last + 1 || last + 1 - n > rows->index) {
            return bad_entry(cx, rows->index);
        }
        rows->first = last + 1 - n;
        rows->end = last + 1;
    }
    const uint8_t *entry = rows->row.ptr + (rows->index - rows->first) * ENTRY_BYTES;
    if (entry[0] != ENTRY_VERSION || entry_index(entry) != rows->index) {
        return bad_entry(cx, rows->index);
    }
    rows->index++;
    *ret_entry = mln_bytes_at(entry, ENTRY_BYTES);
    return MLN_OK;
}

static struct mln_err bad_row(struct mln_cx *cx, uint64_t index)
{
    return mln_refail(cx, MLN_E_CORRUPT, "ledger: the row of record %" PRIu64 "'s content is damaged", index);
}

static struct mln_err find_boxes(struct mln_cx *cx, struct rows *rows)
{
    uint64_t last = 0;
    MLN_TRY(load_row(cx, rows, CONTENT_PREFIX, &last));
    if (rows->row.len < 8 || mln_get_u64be(rows->row.ptr) > last) {
        return bad_row(cx, rows->index);
    }
    rows->first = mln_get_u64be(rows->row.ptr);
    rows->end = last + 1;
    rows->next = rows->first;
    rows->at = 8;
    return MLN_OK;
}

struct mln_err rows_box(struct mln_cx *cx, struct rows *rows, struct mln_bytes *ret_box)
{
    if (rows->index < rows->first || rows->index >= rows->end || rows->next > rows->index) {
        MLN_TRY(find_boxes(cx, rows));
    }
    if (rows->index < rows->first) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_reader r = {.all = mln_buf_bytes(&rows->row), .at = rows->at};
    struct mln_bytes box = MLN_BYTES_NONE;
    while (rows->next <= rows->index && !r.is_short) {
        box = mln_read_bytes(&r, mln_read_u32be(&r));
        rows->next++;
    }
    if (r.is_short) {
        return bad_row(cx, rows->index);
    }
    rows->at = r.at;
    rows->index++;
    *ret_box = box;
    return MLN_OK;
}
