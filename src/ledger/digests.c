/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digest of every value in the store, as the records tell: the latest mutation of a key counts. A prune leaves a baseline:
 * PRUNE records whose "before" is the index up to which contents are forgotten, and whose "digests" hold as of that index. They
 * come later in the log than mutations they precede in effect, so they fill in only keys that no record has named.
 */
#include <inttypes.h>

#include "base/cbor.h"
#include "ledger/ledger_priv.h"

#define KEYS_BYTES  ((size_t)4 << 30) /* of all keys together: ten million of the longest usual */
#define SCRATCH     ((size_t)128 << 20)
#define SLOTS_MIN   1024u

struct digests {
    struct mln_arena *keys;
    struct digest_row *rows;
    size_t n, cap;
    size_t *slots; /* index + 1; 0 = empty */
    size_t n_slots; /* a power of two */
};

void digests_free(struct digests *d)
{
    if (d != NULL) {
        mln_arena_free(d->keys);
        mln_free(d->rows);
        mln_free(d->slots);
        mln_free(d);
    }
}

void digests_drop(struct digests **d)
{
    digests_free(*d);
    *d = NULL;
}

static size_t hash_of(struct mln_bytes key) /* FNV-1a: keys are ours, long runs of equal slots only cost time */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ key.ptr[i]) * 0x100000001b3u;
    }
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the key, or the empty one where it belongs. */
static size_t slot_of(const struct digests *d, struct mln_bytes key)
{
    size_t slot = hash_of(key) & (d->n_slots - 1);
    while (d->slots[slot] != 0 && !mln_bytes_eq(d->rows[d->slots[slot] - 1].key, key)) {
        slot = (slot + 1) & (d->n_slots - 1);
    }
    return slot;
}

struct digest_row *digests_find(struct digests *d, struct mln_bytes key)
{
    size_t row = d->slots[slot_of(d, key)];
    return row != 0 ? &d->rows[row - 1] : NULL;
}

struct digest_row *digests_at(struct digests *d, size_t i)
{
    return i < d->n ? &d->rows[i] : NULL;
}

static bool grow(struct digests *d)
{
    if (d->n == d->cap) {
        size_t cap = d->cap == 0 ? SLOTS_MIN / 2 : 2 * d->cap;
        struct digest_row *rows = mln_realloc(d->rows, d->cap * sizeof(*rows), cap * sizeof(*rows), false);
        if (rows == NULL) {
            return false;
        }
        d->rows = rows;
        d->cap = cap;
    }
    if (2 * (d->n + 1) <= d->n_slots) {
        return true;
    }
    size_t *slots = mln_alloc_array(2 * d->n_slots, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    mln_free(d->slots);
    d->slots = slots;
    d->n_slots *= 2;
    for (size_t i = 0; i < d->n; i++) {
        d->slots[slot_of(d, d->rows[i].key)] = i + 1;
    }
    return true;
}

static struct digest_row *add(struct digests *d, struct mln_bytes key)
{
    uint8_t *copy = grow(d) ? mln_arena_alloc(d->keys, key.len) : NULL;
    if (copy == NULL) {
        return NULL;
    }
    mln_copy(copy, key.ptr, key.len);
    struct digest_row *row = &d->rows[d->n];
    *row = (struct digest_row){.key = mln_bytes_at(copy, key.len)};
    d->slots[slot_of(d, key)] = ++d->n;
    return row;
}

static struct mln_err set(struct mln_cx *cx, struct digests *d, const struct mln_value *pair, bool is_baseline)
{
    struct mln_bytes key = mln_get_bytes(mln_item(pair, 0));
    struct mln_bytes digest = mln_get_bytes(mln_item(pair, 1));
    bool is_there = !mln_is_null(mln_item(pair, 1));
    if (key.len == 0 || (is_there && digest.len != MLN_SHA256_BYTES)) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: a record lists no proper digest");
    }
    struct digest_row *row = digests_find(d, key);
    if (row != NULL && is_baseline) {
        return MLN_OK;
    }
    row = row != NULL ? row : add(d, key);
    if (row == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    row->is_there = is_there;
    if (is_there) {
        mln_copy(row->digest, digest.ptr, digest.len);
    }
    return MLN_OK;
}

/* ---- reading the records ---- */

struct span {
    uint64_t pruned, before;
};

static bool may_change(uint8_t klass)
{
    return klass != MLN_RECORD_READ && klass != MLN_RECORD_DENIED && klass != MLN_RECORD_STRANGER;
}

static struct mln_err apply(struct mln_cx *cx, struct digests *d, struct mln_bytes entry, struct mln_bytes plain, struct span span)
{
    const struct mln_value *content = NULL;
    bool is_baseline = entry.ptr[1] == MLN_RECORD_PRUNE;
    MLN_TRY(mln_cbor_parse(cx, mln_bytes_from(plain, SALT_BYTES), &content));
    const struct mln_value *digests = mln_get(content, "digests");
    if (is_baseline ? mln_get_int(mln_get(content, "before"), -1) != (int64_t)span.pruned
                    : entry_index(entry.ptr) >= span.before) {
        return MLN_OK;
    }
    for (size_t i = 0; i < mln_len(digests); i++) {
        MLN_TRY(set(cx, d, mln_item(digests, i), is_baseline));
    }
    return MLN_OK;
}

static struct mln_err read_records(struct mln_cx *cx, struct mln_ledger *ledger, struct digests *d, struct rows *entries,
                                   struct rows *boxes, struct span span)
{
    struct mln_bytes entry = MLN_BYTES_NONE;
    struct mln_bytes box = MLN_BYTES_NONE;
    struct mln_bytes plain = MLN_BYTES_NONE;
    MLN_TRY(rows_entry(cx, entries, &entry));
    if (!may_change(entry.ptr[1])) {
        return MLN_OK;
    }
    boxes->index = entry_index(entry.ptr);
    struct mln_err err = rows_box(cx, boxes, &box);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the content of record %" PRIu64 " is missing", entry_index(entry.ptr));
    }
    MLN_TRY(err);
    MLN_TRY(record_open(cx, ledger, entry.ptr, box, &plain));
    return apply(cx, d, entry, plain, span);
}

static struct mln_err read_all(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_snap *snap, uint64_t before,
                               struct digests *d)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRATCH, false);
    struct ledger_state state = {0};
    struct mln_cx scratch;
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_cx_init(&scratch, arena);
    MLN_TRY(state_load(cx, ledger, snap, &state));
    MLN_AUTO(rows_drop) struct rows entries = {.snap = snap, .index = state.pruned};
    MLN_AUTO(rows_drop) struct rows boxes = {.snap = snap, .index = state.pruned};
    struct span span = {state.pruned, before};
    while (entries.index < state.edge.size) {
        struct mln_err err = read_records(&scratch, ledger, d, &entries, &boxes, span);
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", scratch.text);
        }
        mln_arena_reset(arena);
    }
    return MLN_OK;
}

struct mln_err digests_read(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_snap *snap, uint64_t before,
                            struct digests **ret)
{
    MLN_AUTO(digests_drop) struct digests *d = mln_alloc(sizeof(*d));
    if (d != NULL) {
        d->keys = mln_arena_new(KEYS_BYTES, false);
        d->slots = mln_alloc_array(SLOTS_MIN, sizeof(*d->slots));
        d->n_slots = SLOTS_MIN;
    }
    if (d == NULL || d->keys == NULL || d->slots == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(read_all(cx, ledger, snap, before, d));
    *ret = mln_take(&d);
    return MLN_OK;
}
