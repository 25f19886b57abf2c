/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The offline audit of a log's public files. It trusts nothing but the verifier key: the signature gives the root, and
 * everything else is hashed up to it.
 *
 * Where a bundle and its tile disagree, one of the two is damaged; the tile above (or, at the right edge, the root) tells which.
 * So a single flipped byte is named by file and entry, although a Merkle root alone only says that something is wrong.
 *
 * Memory does not grow with the log, but for one hash per 256 entries: bundles are read one at a time, into a scratch arena.
 */
#include <inttypes.h>

#include "ledger/tlog.h"

#include "base/text.h"

#define PROBLEMS_MAX 100u
#define SCRATCH      ((size_t)96 << 20)
#define LEVELS       8u

struct audit {
    struct mln_cx *cx;      /* the caller's: problems live here */
    struct mln_cx scratch;  /* one file at a time */
    const struct mln_tlog_fetch *fetch;
    struct mln_checkpoint checkpoint;
    struct mln_value *problems;
    size_t n_problems;
    struct mln_buf level[2]; /* roots of full tiles of one level, and of the next */
    struct mln_tlog_edge edge;      /* of what was believed */
    struct mln_tlog_edge old_edge;  /* the same, as it was at the older checkpoint's size */
    uint64_t old_size;
    uint64_t checked;
};

/* A tile's number and width at one level of the tree. */
struct place {
    int level;
    uint64_t n;
    unsigned width;
};

static void problem(struct audit *a, const char *file, const uint64_t *index, const char *detail)
{
    a->n_problems++;
    if (a->n_problems > PROBLEMS_MAX) {
        return;
    }
    struct mln_value *row = mln_object(a->cx);
    mln_put(a->cx, row, "file", mln_string_dup(a->cx, mln_bytes_of(file)));
    if (index != NULL) {
        mln_put_int(a->cx, row, "index", (int64_t)*index);
    } else {
        mln_put_null(a->cx, row, "index");
    }
    mln_put(a->cx, row, "detail", mln_string_dup(a->cx, mln_bytes_of(detail)));
    mln_push(a->cx, a->problems, row);
}

/* ---- reading files ---- */

/* The tile, or its full form when the partial one is gone. NOT_FOUND is a finding; other errors end the audit. */
static struct mln_err read_place(struct audit *a, struct place at, const char **ret_path, struct mln_bytes *ret)
{
    struct mln_cx *cx = &a->scratch;
    *ret_path = mln_tlog_tile_path(cx, at.level, at.n, at.width);
    struct mln_err err = a->fetch->file(a->fetch->arg, cx, *ret_path, ret);
    if (mln_is(err, MLN_E_NOT_FOUND) && at.width < MLN_TILE_WIDTH) {
        mln_cx_clear(cx);
        const char *full = mln_tlog_tile_path(cx, at.level, at.n, MLN_TILE_WIDTH);
        err = a->fetch->file(a->fetch->arg, cx, full, ret);
        *ret_path = mln_failed(err) ? *ret_path : full;
    }
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(cx);
    }
    return err;
}

/* Leaf hashes of a bundle; how many entries it holds whole, of those wanted. */
static unsigned bundle_leaves(struct mln_bytes bundle, unsigned width, bool is_exact, struct mln_hash *ret, bool *ret_is_whole)
{
    struct mln_reader r = mln_reader_of(bundle);
    unsigned n = 0;
    while (n < width) {
        struct mln_bytes entry = mln_read_bytes(&r, mln_read_u16be(&r));
        if (r.is_short) {
            break;
        }
        mln_tlog_leaf(entry, &ret[n++]);
    }
    *ret_is_whole = n == width && (!is_exact || mln_reader_left(&r) == 0);
    return n;
}

static bool hash_is(const struct mln_hash *a, const struct mln_hash *b)
{
    return mln_same(a->b, b->b, sizeof(a->b));
}

static void subtree(const struct mln_hash *hashes, unsigned n, struct mln_hash *ret)
{
    struct mln_tlog_edge edge = {0};
    for (unsigned i = 0; i < n; i++) {
        mln_tlog_append(&edge, &hashes[i]);
    }
    mln_tlog_root(&edge, ret);
}

/* ---- leaves: a bundle against its tile ---- */

struct pair {
    struct place at; /* level 0 */
    const char *bundle_path, *tile_path;
    struct mln_hash leaves[MLN_TILE_WIDTH], hashes[MLN_TILE_WIDTH];
    unsigned n_leaves, n_hashes;
    bool is_bundle_whole, is_tile_whole;
};

static struct mln_err read_pair(struct audit *a, struct pair *p)
{
    struct mln_bytes content = MLN_BYTES_NONE;
    struct place entries = {-1, p->at.n, p->at.width};
    struct mln_err err = read_place(a, entries, &p->bundle_path, &content);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    bool is_exact = mln_bytes_is(mln_bytes_of(p->bundle_path), mln_tlog_tile_path(&a->scratch, -1, p->at.n, p->at.width));
    if (!mln_failed(err)) {
        p->n_leaves = bundle_leaves(content, p->at.width, is_exact, p->leaves, &p->is_bundle_whole);
    }
    content = MLN_BYTES_NONE;
    err = read_place(a, p->at, &p->tile_path, &content);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    is_exact = mln_bytes_is(mln_bytes_of(p->tile_path), mln_tlog_tile_path(&a->scratch, 0, p->at.n, p->at.width));
    size_t want = p->at.width * sizeof(struct mln_hash);
    p->n_hashes = (unsigned)(content.len < want ? content.len / sizeof(struct mln_hash) : p->at.width);
    p->is_tile_whole = content.len == want || (!is_exact && content.len == sizeof(p->hashes));
    mln_copy(p->hashes, content.ptr, p->n_hashes * sizeof(struct mln_hash));
    return MLN_OK;
}

/* Which of the two is wrong, by the hash above: that of the subtree when the tile is full, the root at the edge. */
static void judge(struct audit *a, const struct pair *p, bool believes_tile)
{
    const char *file = believes_tile ? p->bundle_path : p->tile_path;
    bool is_whole = believes_tile ? p->is_bundle_whole : p->is_tile_whole;
    unsigned n = p->n_leaves < p->n_hashes ? p->n_leaves : p->n_hashes;
    bool has_found = false;
    for (unsigned i = 0; i < n; i++) {
        if (!hash_is(&p->leaves[i], &p->hashes[i])) {
            uint64_t index = p->at.n * MLN_TILE_WIDTH + i;
            problem(a, file, &index,
                    believes_tile ? "the entry is not the one that its leaf hash commits to" : "the leaf hash is not the entry's");
            has_found = true;
        }
    }
    if (!is_whole && !has_found) {
        uint64_t index = p->at.n * MLN_TILE_WIDTH + (believes_tile ? p->n_leaves : p->n_hashes);
        problem(a, file, &index, "the file is missing, cut short or too long");
    }
}

static bool agrees(const struct pair *p)
{
    return p->is_bundle_whole && p->is_tile_whole && p->n_leaves == p->n_hashes &&
           mln_same(p->leaves, p->hashes, p->n_leaves * sizeof(struct mln_hash));
}

/* The hash that the level above has for this full tile, when it is to be had. */
static struct mln_err hash_above(struct audit *a, const struct pair *p, struct mln_hash *ret, bool *ret_has)
{
    uint64_t all = a->checkpoint.size >> 8; /* hashes of level 1 */
    uint64_t left = all - (p->at.n & ~(uint64_t)0xff);
    struct place at = {1, p->at.n >> 8, left < MLN_TILE_WIDTH ? (unsigned)left : MLN_TILE_WIDTH};
    size_t from = (size_t)(p->at.n & 0xff) * sizeof(*ret);
    struct mln_bytes content = MLN_BYTES_NONE;
    const char *path = NULL;
    struct mln_err err = read_place(a, at, &path, &content);
    *ret_has = !mln_failed(err) && content.len >= from + sizeof(*ret);
    if (*ret_has) {
        mln_copy(ret->b, content.ptr + from, sizeof(ret->b));
    }
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static void root_with(const struct audit *a, const struct mln_hash *leaves, unsigned n, struct mln_hash *ret)
{
    struct mln_tlog_edge edge = a->edge;
    for (unsigned i = 0; i < n; i++) {
        mln_tlog_append(&edge, &leaves[i]);
    }
    mln_tlog_root(&edge, ret);
}

/* Bundle and tile differ. Tell which, by what lies above. */
static struct mln_err arbitrate(struct audit *a, const struct pair *p, bool *ret_tile)
{
    struct mln_hash by_tile;
    struct mln_hash above = a->checkpoint.root;
    bool has = true;
    if (p->at.width == MLN_TILE_WIDTH && a->checkpoint.size > MLN_TILE_WIDTH) {
        subtree(p->hashes, p->n_hashes, &by_tile);
        MLN_TRY(hash_above(a, p, &above, &has));
    } else {
        root_with(a, p->hashes, p->n_hashes, &by_tile);
    }
    *ret_tile = has ? p->n_hashes == p->at.width && hash_is(&by_tile, &above) : !p->is_bundle_whole;
    judge(a, p, *ret_tile);
    return MLN_OK;
}

static void believe(struct audit *a, const struct mln_hash *leaves, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (a->edge.size == a->old_size) {
            a->old_edge = a->edge;
        }
        mln_tlog_append(&a->edge, &leaves[i]);
    }
}

static struct mln_err check_pair(struct audit *a, struct pair *p)
{
    bool believes_tile = false;
    MLN_TRY(read_pair(a, p));
    if (!agrees(p)) {
        MLN_TRY(arbitrate(a, p, &believes_tile));
    }
    const struct mln_hash *leaves = believes_tile ? p->hashes : p->leaves;
    believe(a, leaves, p->at.width); /* a hash that is not there is zero: the root will not fit */
    a->checked += p->n_leaves;
    if (p->at.width == MLN_TILE_WIDTH) {
        struct mln_hash root;
        subtree(leaves, MLN_TILE_WIDTH, &root);
        mln_buf_add(&a->level[0], root.b, sizeof(root.b));
    }
    return mln_buf_ok(a->cx, &a->level[0]);
}

static struct mln_err up(struct audit *a, struct mln_err err)
{
    return mln_failed(err) ? mln_fail(a->cx, (enum mln_code)err.code, "%s", a->scratch.text) : MLN_OK;
}

static struct mln_err check_leaves(struct audit *a)
{
    MLN_AUTO(mln_free_drop) struct pair *p = mln_alloc(sizeof(*p));
    if (p == NULL) {
        return mln_fail(a->cx, MLN_E_MEMORY, "out of memory");
    }
    for (uint64_t n = 0; n * MLN_TILE_WIDTH < a->checkpoint.size; n++) {
        uint64_t left = a->checkpoint.size - n * MLN_TILE_WIDTH;
        mln_fill(p, 0, sizeof(*p));
        p->at = (struct place){0, n, left < MLN_TILE_WIDTH ? (unsigned)left : MLN_TILE_WIDTH};
        MLN_TRY(up(a, check_pair(a, p)));
        MLN_TRY(mln_cx_err(a->cx));
        mln_arena_reset(a->scratch.arena);
        if (a->fetch->progress != NULL) {
            a->fetch->progress(a->fetch->arg, a->checked, a->checkpoint.size);
        }
    }
    return MLN_OK;
}

/* ---- the levels above ---- */

static struct mln_err check_tile(struct audit *a, struct place at, const uint8_t *want)
{
    struct mln_bytes content = MLN_BYTES_NONE;
    const char *path = NULL;
    struct mln_err err = read_place(a, at, &path, &content);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    bool is_exact = mln_bytes_is(mln_bytes_of(path), mln_tlog_tile_path(&a->scratch, at.level, at.n, at.width));
    size_t n = at.width * sizeof(struct mln_hash);
    bool is_whole = content.len == n || (!is_exact && content.len == MLN_TILE_WIDTH * sizeof(struct mln_hash));
    for (size_t i = 0; i < at.width && (i + 1) * sizeof(struct mln_hash) <= content.len; i++) {
        size_t from = i * sizeof(struct mln_hash);
        if (!mln_same(content.ptr + from, want + from, sizeof(struct mln_hash))) {
            uint64_t index = (at.n * MLN_TILE_WIDTH + i) << (8 * at.level);
            problem(a, path, &index, "the hash is not that of the entries below it, from this one on");
        }
    }
    if (!is_whole) {
        problem(a, path, NULL, "the file is missing, cut short or too long");
    }
    return MLN_OK;
}

/* Tiles of `level` hold the roots in level[0]; those of its full tiles go to level[1]. */
static struct mln_err check_level(struct audit *a, unsigned level)
{
    size_t all = a->level[0].len / sizeof(struct mln_hash);
    mln_buf_clear(&a->level[1]);
    for (size_t from = 0; from < all; from += MLN_TILE_WIDTH) {
        unsigned width = all - from < MLN_TILE_WIDTH ? (unsigned)(all - from) : MLN_TILE_WIDTH;
        const uint8_t *want = a->level[0].ptr + from * sizeof(struct mln_hash);
        struct place at = {(int)level, from / MLN_TILE_WIDTH, width};
        MLN_TRY(up(a, check_tile(a, at, want)));
        if (width == MLN_TILE_WIDTH) {
            struct mln_hash hashes[MLN_TILE_WIDTH];
            struct mln_hash root;
            mln_copy(hashes, want, sizeof(hashes));
            subtree(hashes, width, &root);
            mln_buf_add(&a->level[1], root.b, sizeof(root.b));
        }
        mln_arena_reset(a->scratch.arena);
    }
    struct mln_buf spare = a->level[0];
    a->level[0] = a->level[1];
    a->level[1] = spare;
    return mln_buf_ok(a->cx, &a->level[0]);
}

static struct mln_err check_files(struct audit *a)
{
    struct mln_hash root;
    MLN_TRY(check_leaves(a));
    for (unsigned level = 1; level < LEVELS && a->level[0].len > 0; level++) {
        MLN_TRY(check_level(a, level));
    }
    mln_tlog_root(&a->edge, &root);
    if (!hash_is(&root, &a->checkpoint.root) && a->n_problems == 0) {
        problem(a, "checkpoint", NULL, "the entries do not add up to the signed root");
    }
    return MLN_OK;
}

/* ---- an older checkpoint ---- */

static struct mln_err check_old(struct audit *a, const struct mln_checkpoint *old)
{
    struct mln_hash root;
    if (old->size > a->checkpoint.size) {
        problem(a, "checkpoint", NULL, "the log is shorter than the older checkpoint says");
        return MLN_OK;
    }
    if (a->edge.size == old->size) {
        a->old_edge = a->edge;
    }
    mln_tlog_root(&a->old_edge, &root);
    bool is_same = hash_is(&root, &old->root);
    if (old->size == a->checkpoint.size) {
        is_same = hash_is(&a->checkpoint.root, &old->root);
    }
    if (!is_same && (a->n_problems == 0 || old->size == a->checkpoint.size)) {
        uint64_t index = old->size;
        problem(a, "checkpoint", &index, "the log does not continue the older checkpoint: it was rewritten below this entry");
    }
    return MLN_OK;
}

/* ---- the door ---- */

static struct mln_err open_note(struct audit *a, struct mln_bytes note, struct mln_bytes vkey, const char *name,
                                struct mln_checkpoint *ret, bool *ret_is_good)
{
    struct mln_cx *cx = a->cx;
    struct mln_err err = mln_checkpoint_open(cx, MLN_BYTES_NONE, vkey, ret);
    if (mln_bytes_starts(mln_bytes_of(cx->text), MLN_BYTES("ledger: the verifier key"))) {
        return err; /* the caller's mistake, not a finding */
    }
    mln_cx_clear(cx);
    err = mln_checkpoint_open(cx, note, vkey, ret);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    *ret_is_good = !mln_failed(err);
    if (mln_failed(err)) {
        char text[MLN_CX_TEXT_MAX];
        mln_copy(text, cx->text, sizeof(text));
        mln_cx_clear(cx);
        problem(a, name, NULL, text);
    }
    return MLN_OK;
}

static struct mln_err run(struct audit *a, struct mln_bytes vkey, struct mln_bytes old_note, struct mln_bytes note)
{
    struct mln_checkpoint old = {0};
    bool is_good = false;
    bool has_old = false;
    a->old_size = UINT64_MAX;
    MLN_TRY(open_note(a, note, vkey, "checkpoint", &a->checkpoint, &is_good));
    if (old_note.len > 0) {
        MLN_TRY(open_note(a, old_note, vkey, "older checkpoint", &old, &has_old));
        a->old_size = has_old ? old.size : UINT64_MAX;
    }
    if (!is_good) {
        return MLN_OK;
    }
    MLN_TRY(check_files(a));
    return has_old ? check_old(a, &old) : MLN_OK;
}

static void put_answer(struct audit *a, struct mln_value *out)
{
    struct mln_cx *cx = a->cx;
    mln_put(cx, out, "origin", mln_string_dup(cx, a->checkpoint.origin));
    mln_put_int(cx, out, "size", (int64_t)a->checkpoint.size);
    mln_put_text(cx, out, "root", mln_hex_text(cx, mln_bytes_at(a->checkpoint.root.b, sizeof(struct mln_hash))));
    mln_put_int(cx, out, "checked", (int64_t)a->checked);
    mln_put_bool(cx, out, "ok", a->n_problems == 0);
    mln_put(cx, out, "problems", a->problems);
    mln_put_int(cx, out, "problem_count", (int64_t)a->n_problems);
}

struct mln_err mln_tlog_audit(struct mln_cx *cx, const struct mln_tlog_fetch *fetch, struct mln_bytes vkey,
                              struct mln_bytes old_checkpoint, const struct mln_value **ret)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRATCH, false);
    MLN_AUTO(mln_free_drop) struct audit *a = mln_alloc(sizeof(*a));
    struct mln_bytes note = MLN_BYTES_NONE;
    if (arena == NULL || a == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    a->cx = cx;
    a->fetch = fetch;
    a->problems = mln_array(cx);
    mln_cx_init(&a->scratch, arena);
    MLN_TRY(fetch->file(fetch->arg, cx, "checkpoint", &note));
    struct mln_err err = run(a, vkey, old_checkpoint, note);
    mln_buf_drop(&a->level[0]);
    mln_buf_drop(&a->level[1]);
    MLN_TRY(err);
    struct mln_value *out = mln_object(cx);
    put_answer(a, out);
    MLN_TRY(mln_cx_err(cx));
    *ret = out;
    return MLN_OK;
}
