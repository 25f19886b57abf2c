/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing of a Merkle log, its growing right edge, and proofs. Pure arithmetic: no recursion, no state.
 *
 * A range whose start is a multiple of its largest power of two is a row of full subtrees, falling in size; its hash folds
 * them from the right. All ranges that the proofs of RFC 6962 section 2.1 meet are of that kind.
 */
#include "ledger/tlog.h"

#include <inttypes.h>

#define LEAF_ON_STACK 256u

void mln_tlog_leaf(struct mln_bytes entry, struct mln_hash *ret)
{
    if (entry.len <= LEAF_ON_STACK) { /* every entry of ours: one pass over one block or two */
        uint8_t block[1 + LEAF_ON_STACK];
        block[0] = 0;
        mln_copy(block + 1, entry.ptr, entry.len);
        mln_sha256(mln_bytes_at(block, 1 + entry.len), ret->b);
        return;
    }
    static const uint8_t zero = 0;
    mln_sha256_2(mln_bytes_at(&zero, 1), entry, ret->b);
}

void mln_tlog_node(const struct mln_hash *l, const struct mln_hash *r, struct mln_hash *ret)
{
    uint8_t block[1 + 2 * sizeof(struct mln_hash)];
    block[0] = 1;
    mln_copy(block + 1, l->b, sizeof(l->b));
    mln_copy(block + 1 + sizeof(l->b), r->b, sizeof(r->b));
    mln_sha256(mln_bytes_at(block, sizeof(block)), ret->b);
}

/* ---- the edge ---- */

void mln_tlog_append(struct mln_tlog_edge *edge, const struct mln_hash *leaf)
{
    MLN_CHECK(edge->size < UINT64_MAX);
    struct mln_hash hash = *leaf;
    unsigned level = 0;
    for (uint64_t left = edge->size; (left & 1) != 0; left >>= 1) {
        mln_tlog_node(&edge->peaks[level], &hash, &hash);
        level++;
    }
    edge->peaks[level] = hash;
    edge->size++;
}

void mln_tlog_root(const struct mln_tlog_edge *edge, struct mln_hash *ret)
{
    bool has_any = false;
    struct mln_hash hash = {{0}};
    for (unsigned level = 0; level < 64; level++) {
        if ((edge->size >> level & 1) == 0) {
            continue;
        }
        if (has_any) {
            mln_tlog_node(&edge->peaks[level], &hash, &hash);
        } else {
            hash = edge->peaks[level];
            has_any = true;
        }
    }
    if (!has_any) {
        mln_sha256(MLN_BYTES_NONE, hash.b);
    }
    *ret = hash;
}

/* ---- proofs ---- */

/* The largest power of two below n; n >= 2. */
static uint64_t split_of(uint64_t n)
{
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

struct range {
    uint64_t low, high; /* leaves low .. high - 1 */
};

static struct mln_err range_hash(struct mln_cx *cx, const struct mln_tlog_source *src, struct range r, struct mln_hash *ret)
{
    struct mln_hash parts[64];
    size_t n = 0;
    while (r.low < r.high) {
        unsigned level = 63 - (unsigned)__builtin_clzll(r.high - r.low);
        MLN_TRY(src->hash(src->arg, cx, level, r.low >> level, &parts[n]));
        n++;
        r.low += (uint64_t)1 << level;
    }
    MLN_CHECK(n > 0);
    *ret = parts[--n];
    while (n > 0) {
        mln_tlog_node(&parts[--n], ret, ret);
    }
    return MLN_OK;
}

/* Ranges were met from the root down; proofs are written from the leaf up. */
static struct mln_err hash_ranges(struct mln_cx *cx, const struct mln_tlog_source *src, const struct range *ranges, size_t n,
                                  struct mln_hash *ret)
{
    for (size_t i = 0; i < n; i++) {
        MLN_TRY(range_hash(cx, src, ranges[n - 1 - i], &ret[i]));
    }
    return MLN_OK;
}

struct mln_err mln_tlog_prove_inclusion(struct mln_cx *cx, const struct mln_tlog_source *src, uint64_t size, uint64_t index,
                                        struct mln_hash *ret_proof, size_t *ret_n)
{
    if (index >= size) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: entry %" PRIu64 " is outside a tree of %" PRIu64, index, size);
    }
    struct range ranges[64];
    size_t n = 0;
    struct range at = {0, size};
    while (at.high - at.low > 1) {
        uint64_t middle = at.low + split_of(at.high - at.low);
        bool is_left = index < middle;
        ranges[n++] = is_left ? (struct range){middle, at.high} : (struct range){at.low, middle};
        at = is_left ? (struct range){at.low, middle} : (struct range){middle, at.high};
    }
    MLN_TRY(hash_ranges(cx, src, ranges, n, ret_proof));
    *ret_n = n;
    return MLN_OK;
}

struct mln_err mln_tlog_prove_consistency(struct mln_cx *cx, const struct mln_tlog_source *src, uint64_t old_size,
                                          uint64_t size, struct mln_hash *ret_proof, size_t *ret_n)
{
    if (old_size > size) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: a tree of %" PRIu64 " is no part of one of %" PRIu64, old_size, size);
    }
    struct range ranges[65];
    size_t n = 0;
    struct range at = {0, size};
    bool is_whole = true; /* the verifier has this subtree's hash already: it is the old root */
    while (old_size != 0 && old_size < at.high) {
        uint64_t middle = at.low + split_of(at.high - at.low);
        if (old_size <= middle) {
            ranges[n++] = (struct range){middle, at.high};
            at.high = middle;
        } else {
            ranges[n++] = (struct range){at.low, middle};
            at.low = middle;
            is_whole = false;
        }
    }
    if (!is_whole) {
        ranges[n++] = at;
    }
    MLN_TRY(hash_ranges(cx, src, ranges, n, ret_proof));
    *ret_n = n;
    return MLN_OK;
}

/* ---- checking: RFC 9162 sections 2.1.3.2 and 2.1.4.2, which are the algorithms for the same proofs ---- */

static bool hash_is(const struct mln_hash *a, const struct mln_hash *b)
{
    return mln_same(a->b, b->b, sizeof(a->b));
}

struct climb {
    uint64_t at, last; /* places of the node and of the tree's last node, at this level */
};

static void climb_up(struct climb *c)
{
    c->at >>= 1;
    c->last >>= 1;
}

/* Is the next hash of the proof a left sibling? Skips the levels at which the node has none. */
static bool climb_left(struct climb *c)
{
    bool is_left = (c->at & 1) != 0 || c->at == c->last;
    while (is_left && (c->at & 1) == 0 && c->at != 0) {
        climb_up(c);
    }
    climb_up(c);
    return is_left;
}

struct mln_err mln_tlog_check_inclusion(struct mln_cx *cx, const struct mln_hash *proof, size_t n, uint64_t size,
                                        const struct mln_hash *root, uint64_t index, const struct mln_hash *leaf)
{
    if (index >= size) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: entry %" PRIu64 " is outside a tree of %" PRIu64, index, size);
    }
    struct climb c = {index, size - 1};
    struct mln_hash hash = *leaf;
    for (size_t i = 0; i < n; i++) {
        if (c.last == 0) {
            return mln_fail(cx, MLN_E_FORGED, "ledger: the inclusion proof is too long");
        }
        if (climb_left(&c)) {
            mln_tlog_node(&proof[i], &hash, &hash);
        } else {
            mln_tlog_node(&hash, &proof[i], &hash);
        }
    }
    if (c.last != 0 || !hash_is(&hash, root)) {
        return mln_fail(cx, MLN_E_FORGED, "ledger: entry %" PRIu64 " is not in the tree", index);
    }
    return MLN_OK;
}

static struct mln_err not_consistent(struct mln_cx *cx, uint64_t old_size, uint64_t size)
{
    return mln_fail(cx, MLN_E_FORGED, "ledger: the tree of %" PRIu64 " does not continue the one of %" PRIu64, size, old_size);
}

struct mln_err mln_tlog_check_consistency(struct mln_cx *cx, const struct mln_hash *proof, size_t n, uint64_t old_size,
                                          const struct mln_hash *old_root, uint64_t size, const struct mln_hash *root)
{
    if (old_size > size) {
        return mln_fail(cx, MLN_E_FORGED, "ledger: the log shrank from %" PRIu64 " to %" PRIu64, old_size, size);
    }
    if (old_size == 0 || old_size == size) {
        bool is_same = n == 0 && (old_size == 0 || hash_is(old_root, root));
        return is_same ? MLN_OK : not_consistent(cx, old_size, size);
    }
    bool is_full = (old_size & (old_size - 1)) == 0;
    if (!is_full && n == 0) {
        return not_consistent(cx, old_size, size);
    }
    struct climb c = {old_size - 1, size - 1};
    while ((c.at & 1) != 0) {
        climb_up(&c);
    }
    struct mln_hash old_hash = is_full ? *old_root : proof[0];
    struct mln_hash hash = old_hash;
    for (size_t i = is_full ? 0 : 1; i < n; i++) {
        if (c.last == 0) {
            return not_consistent(cx, old_size, size);
        }
        if (climb_left(&c)) {
            mln_tlog_node(&proof[i], &old_hash, &old_hash);
            mln_tlog_node(&proof[i], &hash, &hash);
        } else {
            mln_tlog_node(&hash, &proof[i], &hash);
        }
    }
    if (c.last != 0 || !hash_is(&old_hash, old_root) || !hash_is(&hash, root)) {
        return not_consistent(cx, old_size, size);
    }
    return MLN_OK;
}
