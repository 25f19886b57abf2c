/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public files under <dir>/ledger: checkpoint, vkey, tile/... They are derived from the rows of the store. Order on the disk:
 * bundles and tiles, sync, then the checkpoint by rename; so a root is never out whose tiles are not.
 *
 * A `tree` is what is needed to go on: the hashes of the unfinished tile of every level and the unfinished bundle. Publishing
 * works on a copy; it becomes the view when the checkpoint is written. The two newest sets of partial tiles stay on the disk,
 * for readers of the checkpoint before.
 *
 * Opening reads the tree from the files; if they do not add up to the signed root, all is built again from the store. A signed
 * checkpoint that the store does not lead to is never silent: CORRUPT.
 */
#include <inttypes.h>
#include <unistd.h>

#include "base/io.h"
#include "ledger/ledger_priv.h"

#define LEVELS       8u /* of 8 bits: a tree of 2^64 */
#define TILE_BYTES   (MLN_TILE_WIDTH * sizeof(struct mln_hash))
#define BUNDLE_MAX   (MLN_TILE_WIDTH * BUNDLE_BYTES)
#define NOTE_MAX     (64u << 10)
#define SCRATCH      ((size_t)64 << 20)
#define SCRATCH_STEP 256u /* tiles between two resets */

struct tree {
    struct mln_tlog_edge edge;
    struct mln_hash hashes[LEVELS][MLN_TILE_WIDTH];
    uint8_t bundle[BUNDLE_MAX];
};

struct publisher {
    char *dir; /* "<dir>/ledger" */
    pthread_mutex_t run_lock; /* one publishes at a time; guards what follows it */
    struct tree *work;
    uint64_t before; /* size of the checkpoint before the newest */

    pthread_mutex_t lock; /* the view */
    struct tree *view;
    struct mln_hash root;
    struct mln_buf note;
    bool has_note;
};

static size_t width_at(uint64_t size, unsigned level)
{
    return (size_t)(size >> (8 * level) & 0xff);
}

/* Hashes of level `level` that a tree of this size has. */
static uint64_t hashes_at(uint64_t size, unsigned level)
{
    return size >> (8 * level);
}

static void fold(const struct mln_hash *hashes, size_t n, struct mln_hash *ret)
{
    struct mln_tlog_edge edge = {0};
    for (size_t i = 0; i < n; i++) {
        mln_tlog_append(&edge, &hashes[i]);
    }
    mln_tlog_root(&edge, ret);
}

/* ---- files ---- */

static const char *path_of(struct mln_cx *cx, const struct publisher *p, const char *name)
{
    return mln_text_format(cx, "%s/%s", p->dir, name);
}

static struct mln_err write_tile(struct mln_cx *cx, const struct publisher *p, int level, uint64_t n, struct mln_bytes content,
                                 size_t width)
{
    const char *path = path_of(cx, p, mln_tlog_tile_path(cx, level, n, (unsigned)width));
    MLN_TRY(mln_cx_err(cx));
    struct mln_bytes folder = mln_bytes_of(path);
    while (folder.len > 0 && folder.ptr[folder.len - 1] != '/') {
        folder.len--;
    }
    const char *dir = mln_text_dup(cx, mln_bytes_sub(folder, 0, folder.len - 1));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_dir_make(cx, dir, 0755));
    return mln_file_replace(cx, path, content, 0644, false);
}

static struct mln_err write_level(struct mln_cx *cx, const struct publisher *p, unsigned level, uint64_t n, size_t width)
{
    return write_tile(cx, p, (int)level, n, mln_bytes_at(p->work->hashes[level], width * sizeof(struct mln_hash)), width);
}

static void remove_tile(struct mln_cx *cx, const struct publisher *p, int level, uint64_t n, size_t width)
{
    const char *path = path_of(cx, p, mln_tlog_tile_path(cx, level, n, (unsigned)width));
    if (!mln_failed(mln_cx_err(cx))) {
        (void)unlink(path);
        struct mln_bytes text = mln_bytes_of(path);
        while (text.len > 0 && text.ptr[text.len - 1] != '/') {
            text.len--;
        }
        const char *dir = mln_text_dup(cx, mln_bytes_sub(text, 0, text.len - 1));
        (void)rmdir(dir); /* the ".p" folder, once it is empty */
    }
}

/* The partial tiles of one size that two later sizes do not have. */
static void remove_partials(struct mln_cx *cx, const struct publisher *p, uint64_t size, uint64_t keep, uint64_t keep_too)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        size_t width = width_at(size, level);
        uint64_t hashes = hashes_at(size, level);
        if (width == 0 || hashes == hashes_at(keep, level) || hashes == hashes_at(keep_too, level)) {
            continue;
        }
        remove_tile(cx, p, (int)level, hashes >> 8, width);
        if (level == 0) {
            remove_tile(cx, p, -1, hashes >> 8, width);
        }
    }
}

/* ---- growing ---- */

static struct mln_err finish_tiles(struct mln_cx *cx, struct publisher *p)
{
    struct tree *t = p->work;
    uint64_t n = t->edge.size >> 8;
    MLN_TRY(write_tile(cx, p, -1, n - 1, mln_bytes_at(t->bundle, BUNDLE_MAX), MLN_TILE_WIDTH));
    for (unsigned level = 0; level + 1 < LEVELS; level++) {
        MLN_TRY(write_level(cx, p, level, n - 1, MLN_TILE_WIDTH));
        fold(t->hashes[level], MLN_TILE_WIDTH, &t->hashes[level + 1][(n - 1) & 0xff]);
        if ((n & 0xff) != 0) {
            break;
        }
        n >>= 8;
    }
    return MLN_OK;
}

static struct mln_err grow(struct mln_cx *cx, struct publisher *p, struct mln_bytes entry)
{
    struct tree *t = p->work;
    size_t at = width_at(t->edge.size, 0);
    uint8_t *to = t->bundle + at * BUNDLE_BYTES;
    mln_put_u16be(to, ENTRY_BYTES);
    mln_copy(to + 2, entry.ptr, ENTRY_BYTES);
    mln_tlog_leaf(entry, &t->hashes[0][at]);
    mln_tlog_append(&t->edge, &t->hashes[0][at]);
    return width_at(t->edge.size, 0) == 0 ? finish_tiles(cx, p) : MLN_OK;
}

/* A checkpoint that was signed before, to be met on the way. */
struct signed_tree {
    uint64_t size;
    struct mln_hash root;
};

static struct mln_err check_signed(struct mln_cx *cx, const struct mln_tlog_edge *edge, const struct signed_tree *s)
{
    struct mln_hash root;
    if (s == NULL || edge->size != s->size) {
        return MLN_OK;
    }
    mln_tlog_root(edge, &root);
    if (!mln_same(root.b, s->root.b, sizeof(root.b))) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: the records below %" PRIu64 " are not those that were signed", s->size);
    }
    return MLN_OK;
}

static struct mln_err grow_to(struct mln_cx *cx, struct mln_ledger *ledger, struct publisher *p, uint64_t size,
                              const struct signed_tree *known)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRATCH, false);
    struct mln_cx scratch; /* names of tiles are forgotten on the way: a rebuild may write millions */
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_cx_init(&scratch, arena);
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    MLN_AUTO(rows_drop) struct rows rows = {.snap = snap, .index = p->work->edge.size};
    while (p->work->edge.size < size) {
        struct mln_bytes entry = MLN_BYTES_NONE;
        MLN_TRY(check_signed(cx, &p->work->edge, known));
        MLN_TRY(rows_entry(cx, &rows, &entry));
        struct mln_err err = grow(&scratch, p, entry);
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", scratch.text);
        }
        if (p->work->edge.size % (SCRATCH_STEP * MLN_TILE_WIDTH) == 0) {
            mln_arena_reset(arena);
        }
    }
    return check_signed(cx, &p->work->edge, known);
}

static struct mln_err write_partials(struct mln_cx *cx, const struct publisher *p)
{
    uint64_t size = p->work->edge.size;
    for (unsigned level = 0; level < LEVELS; level++) {
        size_t width = width_at(size, level);
        if (width == 0) {
            continue;
        }
        MLN_TRY(write_level(cx, p, level, hashes_at(size, level) >> 8, width));
        if (level == 0) {
            MLN_TRY(write_tile(cx, p, -1, size >> 8, mln_bytes_at(p->work->bundle, width * BUNDLE_BYTES), width));
        }
    }
    return MLN_OK;
}

static struct mln_err sign_tree(struct mln_cx *cx, struct mln_ledger *ledger, const struct publisher *p,
                                const struct mln_hash *root, struct mln_buf *note)
{
    struct mln_checkpoint c = {mln_bytes_of(ledger->origin), p->work->edge.size, *root};
    MLN_TRY(mln_checkpoint_sign(cx, &c, LEDGER_SEED(ledger), note));
    const char *path = path_of(cx, p, "checkpoint");
    MLN_TRY(mln_cx_err(cx));
    return mln_file_replace(cx, path, mln_buf_bytes(note), 0644, true);
}

/* The work is the view from here on; what it needs no more is removed. */
static void show(struct mln_cx *cx, struct publisher *p, const struct mln_hash *root, struct mln_buf *note)
{
    pthread_mutex_lock(&p->lock);
    uint64_t old = p->view->edge.size;
    mln_copy(p->view, p->work, sizeof(*p->view));
    p->root = *root;
    struct mln_buf spare = p->note;
    p->note = *note;
    p->has_note = true;
    *note = spare;
    pthread_mutex_unlock(&p->lock);
    remove_partials(cx, p, p->before, old, p->work->edge.size);
    p->before = old;
}

static struct mln_err publish_to(struct mln_cx *cx, struct mln_ledger *ledger, struct publisher *p,
                                 const struct mln_tlog_edge *target, const struct signed_tree *known)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf note = {0};
    struct mln_hash root;
    struct mln_hash want;
    MLN_TRY(grow_to(cx, ledger, p, target->size, known));
    mln_tlog_root(&p->work->edge, &root);
    mln_tlog_root(target, &want);
    if (!mln_same(root.b, want.b, sizeof(root.b))) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: the entries in the store below %" PRIu64 " are not those recorded",
                        target->size);
    }
    MLN_TRY(write_partials(cx, p));
    MLN_TRY(mln_fs_sync(cx, p->dir));
    MLN_TRY(sign_tree(cx, ledger, p, &root, &note));
    show(cx, p, &root, &note);
    return MLN_OK;
}

struct mln_err publisher_run(struct mln_cx *cx, struct mln_ledger *ledger)
{
    struct publisher *p = ledger->publisher;
    struct mln_err err = MLN_OK;
    pthread_mutex_lock(&p->run_lock);
    pthread_mutex_lock(&ledger->lock);
    struct mln_tlog_edge target = ledger->state.edge;
    pthread_mutex_unlock(&ledger->lock);
    if (target.size > p->view->edge.size || !p->has_note) {
        mln_copy(p->work, p->view, sizeof(*p->work)); /* only this thread writes the view */
        err = publish_to(cx, ledger, p, &target, NULL);
    }
    pthread_mutex_unlock(&p->run_lock);
    return err;
}

/* ---- opening ---- */

static struct mln_err read_file(struct mln_cx *cx, const struct publisher *p, const char *name, size_t max, struct mln_buf *ret)
{
    const char *path = path_of(cx, p, name);
    MLN_TRY(mln_cx_err(cx));
    return mln_file_read_all(cx, path, max, ret);
}

static struct mln_err read_tile(struct mln_cx *cx, const struct publisher *p, int level, uint64_t n, size_t width, void *to,
                                size_t bytes)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf content = {0};
    const char *name = mln_tlog_tile_path(cx, level, n, (unsigned)width);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(read_file(cx, p, name, bytes, &content));
    if (content.len != bytes) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: %s is cut short", name);
    }
    mln_copy(to, content.ptr, bytes);
    return MLN_OK;
}

static void peaks_of(struct tree *t)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        size_t width = width_at(t->edge.size, level);
        size_t at = 0;
        for (unsigned bit = 8; bit > 0; bit--) {
            size_t n = (size_t)1 << (bit - 1);
            if ((width & n) != 0) {
                fold(&t->hashes[level][at], n, &t->edge.peaks[8 * level + bit - 1]);
                at += n;
            }
        }
    }
}

static bool bundle_is_whole(const struct tree *t)
{
    for (size_t i = 0; i < width_at(t->edge.size, 0); i++) {
        const uint8_t *at = t->bundle + i * BUNDLE_BYTES;
        struct mln_hash leaf;
        mln_tlog_leaf(mln_bytes_at(at + 2, ENTRY_BYTES), &leaf);
        if (mln_get_u16be(at) != ENTRY_BYTES || !mln_same(leaf.b, t->hashes[0][i].b, sizeof(leaf.b))) {
            return false;
        }
    }
    return true;
}

/* The tree of the signed size from its partial tiles; any error: the files cannot be used. */
static struct mln_err load_tree(struct mln_cx *cx, struct publisher *p, const struct signed_tree *s)
{
    struct tree *t = p->work;
    struct mln_hash root;
    mln_fill(t, 0, sizeof(*t));
    t->edge.size = s->size;
    for (unsigned level = 0; level < LEVELS; level++) {
        size_t width = width_at(s->size, level);
        if (width > 0) {
            MLN_TRY(read_tile(cx, p, (int)level, hashes_at(s->size, level) >> 8, width, t->hashes[level],
                              width * sizeof(struct mln_hash)));
        }
    }
    size_t width = width_at(s->size, 0);
    if (width > 0) {
        MLN_TRY(read_tile(cx, p, -1, s->size >> 8, width, t->bundle, width * BUNDLE_BYTES));
    }
    peaks_of(t);
    mln_tlog_root(&t->edge, &root);
    if (!bundle_is_whole(t) || !mln_same(root.b, s->root.b, sizeof(root.b))) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: the tiles do not add up to the checkpoint");
    }
    return MLN_OK;
}

/* The newest checkpoint on the disk, when it is one of ours. */
static bool load_checkpoint(struct mln_cx *cx, struct mln_ledger *ledger, const struct publisher *p, struct mln_buf *note,
                            struct signed_tree *ret)
{
    struct mln_checkpoint c = {0};
    if (mln_failed(read_file(cx, p, "checkpoint", NOTE_MAX, note)) ||
        mln_failed(mln_checkpoint_open(cx, mln_buf_bytes(note), mln_bytes_of(ledger->vkey), &c))) {
        mln_cx_clear(cx);
        return false;
    }
    *ret = (struct signed_tree){c.size, c.root};
    return true;
}

static struct mln_err first_publish(struct mln_cx *cx, struct mln_ledger *ledger, struct publisher *p)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf note = {0};
    struct signed_tree known = {0};
    const struct mln_tlog_edge *target = &ledger->state.edge;
    bool is_known = load_checkpoint(cx, ledger, p, &note, &known);
    if (is_known && known.size > target->size) {
        return mln_fail(cx, MLN_E_CORRUPT,
                        "ledger: a log of %" PRIu64 " records was signed, the store holds %" PRIu64 ": it is an older copy. "
                        "'merlon operator restore' goes on with it under a new origin",
                        known.size, target->size);
    }
    if (is_known && !mln_failed(load_tree(cx, p, &known))) {
        show(cx, p, &known.root, &note);
    } else {
        mln_cx_clear(cx);
        mln_fill(p->work, 0, sizeof(*p->work));
        is_known = is_known && known.size > 0;
        return target->size == 0 ? MLN_OK : publish_to(cx, ledger, p, target, is_known ? &known : NULL);
    }
    return target->size == known.size ? check_signed(cx, target, &known)
                                      : publish_to(cx, ledger, p, target, NULL);
}

static void publisher_drop(struct publisher **p)
{
    publisher_close(*p);
}

struct mln_err publisher_open(struct mln_cx *cx, struct mln_ledger *ledger, const char *dir, struct publisher **ret)
{
    MLN_AUTO(publisher_drop) struct publisher *p = mln_alloc(sizeof(*p));
    if (p == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->run_lock, NULL);
    p->dir = mln_strdup(dir);
    p->work = mln_alloc(sizeof(*p->work));
    p->view = mln_alloc(sizeof(*p->view));
    if (p->dir == NULL || p->work == NULL || p->view == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(mln_dir_make(cx, dir, 0755));
    MLN_AUTO(mln_buf_drop) struct mln_buf vkey = {0};
    mln_buf_add_format(&vkey, "%s\n", ledger->vkey);
    MLN_TRY(mln_buf_ok(cx, &vkey));
    const char *path = path_of(cx, p, "vkey");
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = mln_file_replace(cx, path, mln_buf_bytes(&vkey), 0644, true);
    if (!mln_failed(err)) {
        err = first_publish(cx, ledger, p);
    }
    if (mln_is(err, MLN_E_FULL) && ledger->state.edge.size > 0) {
        mln_cx_clear(cx); /* the records are what counts: files follow when there is room */
        err = MLN_OK;
    }
    MLN_TRY(err);
    *ret = mln_take(&p);
    return MLN_OK;
}

void publisher_close(struct publisher *p)
{
    if (p != NULL) {
        mln_free(p->dir);
        mln_free(p->work);
        mln_free(p->view);
        mln_buf_drop(&p->note);
        pthread_mutex_destroy(&p->lock);
        pthread_mutex_destroy(&p->run_lock);
        mln_free(p);
    }
}

/* ---- reading what is published ---- */

uint64_t publisher_size(struct publisher *p, struct mln_hash *ret_root)
{
    pthread_mutex_lock(&p->lock);
    uint64_t size = p->view->edge.size;
    if (size == 0) {
        mln_tlog_root(&p->view->edge, ret_root);
    } else {
        *ret_root = p->root;
    }
    pthread_mutex_unlock(&p->lock);
    return size;
}

struct mln_err publisher_checkpoint(struct mln_cx *cx, struct publisher *p, struct mln_bytes *ret)
{
    pthread_mutex_lock(&p->lock);
    bool has_note = p->has_note;
    *ret = has_note ? mln_bytes_dup(cx, mln_buf_bytes(&p->note)) : MLN_BYTES_NONE;
    pthread_mutex_unlock(&p->lock);
    return has_note ? mln_cx_err(cx) : mln_fail(cx, MLN_E_NOT_FOUND, "ledger: nothing is published yet");
}

struct mln_err publisher_tile(struct mln_cx *cx, struct publisher *p, int level, uint64_t n, unsigned width, struct mln_bytes *ret)
{
    size_t item = level < 0 ? BUNDLE_BYTES : sizeof(struct mln_hash);
    unsigned row = level < 0 ? 0 : (unsigned)level;
    uint8_t *to = mln_new(cx, MLN_TILE_WIDTH * item);
    if (to == NULL) {
        return mln_cx_err(cx);
    }
    pthread_mutex_lock(&p->lock);
    uint64_t there = row < LEVELS ? hashes_at(p->view->edge.size, row) : 0;
    bool is_full = n < there >> 8;
    bool is_there = is_full || (row < LEVELS && n == there >> 8 && width <= (there & 0xff));
    if (is_there && !is_full) {
        mln_copy(to, level < 0 ? (const void *)p->view->bundle : (const void *)p->view->hashes[row], width * item);
    }
    pthread_mutex_unlock(&p->lock);
    if (!is_there) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "ledger: no such tile");
    }
    if (is_full) {
        MLN_TRY(read_tile(cx, p, level, n, MLN_TILE_WIDTH, to, MLN_TILE_WIDTH * item));
    }
    *ret = mln_bytes_at(to, width * item);
    return MLN_OK;
}

struct mln_err publisher_hash(void *arg, struct mln_cx *cx, unsigned level, uint64_t index, struct mln_hash *ret)
{
    unsigned row = level / 8;
    uint64_t first = index << (level % 8);
    size_t n = (size_t)1 << (level % 8);
    size_t at = (size_t)(first & 0xff);
    struct mln_bytes tile = MLN_BYTES_NONE;
    struct mln_hash hashes[MLN_TILE_WIDTH];
    MLN_TRY(publisher_tile(cx, arg, (int)row, first >> 8, (unsigned)(at + n), &tile));
    mln_copy(hashes, tile.ptr, tile.len);
    fold(hashes + at, n, ret);
    return MLN_OK;
}
