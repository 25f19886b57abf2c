/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request's view of the store: a snapshot through the barrier, overlaid with its own writes.
 *
 * What was read once is kept with its version; when the transaction writes, the batch expects all
 * those versions, so that a
 * change by someone else is a CONFLICT. Listing expects nothing: a name that appears meanwhile is
 * no conflict.
 * Values are sealed when the batch is made, once per key, whatever was written before.
 */
#include "barrier/txn.h"

#include <stdlib.h>

#include "base/cbor.h"

#define SLOTS_MIN 16u

struct item {
    struct mln_bytes key; /* of the store, in the arena */
    struct mln_bytes ns;
    struct mln_bytes box;                         /* as read from the snapshot, which lives as long */
    struct mln_bytes plain;                       /* newest, when it is there */
    uint64_t version;                             /* as read from the snapshot, 0 = absent */
    bool was_read, is_there, is_written, is_open; /* is_open: `plain` is filled */
};

struct mln_txn {
    struct mln_store *store;
    struct mln_barrier *barrier;
    struct mln_snap *snap;
    struct item **items; /* in the order of their first use */
    size_t n, cap;
    uint32_t *slots; /* hash table: index + 1 into items; 0 = empty */
    size_t slots_n;  /* a power of two */
    size_t writes;
    const struct mln_tally *tallies;
    bool is_relief;
    struct mln_bytes home; /* namespace of views that name none */
};

struct mln_err mln_txn_begin(struct mln_cx *cx, struct mln_store *store,
                             struct mln_barrier *barrier, struct mln_txn **ret)
{
    struct mln_txn *txn = MLN_NEW(cx, struct mln_txn);
    if (txn == NULL) {
        return mln_cx_err(cx);
    }
    txn->store = store;
    txn->barrier = barrier;
    txn->home = MLN_NS_ROOT;
    MLN_TRY(mln_snap_begin(cx, store, &txn->snap));
    *ret = txn;
    return MLN_OK;
}

struct mln_err mln_txn_beside(struct mln_cx *cx, const struct mln_txn *txn, struct mln_txn **ret)
{
    MLN_TRY(mln_txn_begin(cx, txn->store, txn->barrier, ret));
    (*ret)->home = txn->home;
    return MLN_OK;
}

struct mln_bytes mln_txn_enter(struct mln_txn *txn, struct mln_bytes ns)
{
    struct mln_bytes before = txn->home;
    txn->home = ns;
    return before;
}

struct mln_bytes mln_txn_home(const struct mln_txn *txn)
{
    return txn->home;
}

void mln_txn_end(struct mln_txn *txn)
{
    if (txn != NULL) {
        mln_snap_drop(&txn->snap);
    }
}

void mln_txn_drop(struct mln_txn **txn)
{
    mln_txn_end(*txn);
    *txn = NULL;
}

struct mln_err mln_txn_tally(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns, struct mln_bytes path,
                             struct mln_bytes role, int delta)
{
    struct mln_tally *tally = MLN_NEW(cx, struct mln_tally);
    if (tally == NULL) {
        return mln_cx_err(cx);
    }
    *tally = (struct mln_tally){.next = txn->tallies,
                                .ns = mln_bytes_dup(cx, ns),
                                .path = mln_bytes_dup(cx, path),
                                .role = mln_bytes_dup(cx, role),
                                .delta = delta};
    txn->tallies = tally;
    return mln_cx_err(cx);
}

const struct mln_tally *mln_txn_tallies(const struct mln_txn *txn)
{
    return txn == NULL ? NULL : txn->tallies;
}

/* ---- items ---- */

static size_t
hash_of(struct mln_bytes key) /* FNV-1a; keys of one request, at most a batch of them */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ key.ptr[i]) * 0x100000001b3u;
    }
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the key, or the empty one where it belongs. */
static size_t slot_of(const struct mln_txn *txn, struct mln_bytes key)
{
    size_t at = hash_of(key) & (txn->slots_n - 1);
    while (txn->slots[at] != 0 && !mln_bytes_eq(txn->items[txn->slots[at] - 1]->key, key)) {
        at = (at + 1) & (txn->slots_n - 1);
    }
    return at;
}

static struct mln_err grow(struct mln_cx *cx, struct mln_txn *txn)
{
    size_t cap = txn->cap == 0 ? SLOTS_MIN / 2 : 2 * txn->cap;
    struct item **items = mln_new_array(cx, cap, sizeof(*items));
    uint32_t *slots = mln_new_array(cx, 2 * cap, sizeof(*slots));
    if (items == NULL || slots == NULL) {
        return mln_cx_err(cx);
    }
    mln_copy(items, txn->items, txn->n * sizeof(*items));
    txn->items = items;
    txn->cap = cap;
    txn->slots = slots;
    txn->slots_n = 2 * cap;
    for (size_t i = 0; i < txn->n; i++) {
        txn->slots[slot_of(txn, items[i]->key)] = (uint32_t)i + 1;
    }
    return MLN_OK;
}

static struct item *find_item(const struct mln_txn *txn, struct mln_bytes key)
{
    uint32_t at = txn->slots_n > 0 ? txn->slots[slot_of(txn, key)] : 0;
    return at != 0 ? txn->items[at - 1] : NULL;
}

/* key: in the arena already */
static struct mln_err add_item(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns,
                               struct mln_bytes key, struct item **ret)
{
    if (txn->n == txn->cap) {
        MLN_TRY(grow(cx, txn));
    }
    struct item *item = MLN_NEW(cx, struct item);
    if (item == NULL) {
        return mln_cx_err(cx);
    }
    item->key = key;
    item->ns = mln_bytes_dup(cx, ns);
    MLN_TRY(mln_cx_err(cx));
    txn->items[txn->n++] = item;
    txn->slots[slot_of(txn, key)] = (uint32_t)txn->n;
    *ret = item;
    return MLN_OK;
}

static struct mln_err item_for(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns,
                               struct mln_bytes key, struct item **ret)
{
    *ret = find_item(txn, key);
    return *ret != NULL ? MLN_OK : add_item(cx, txn, ns, key, ret);
}

static struct mln_bytes ns_of(const struct mln_txn *txn, struct mln_view view)
{
    return view.ns.len > 0 ? view.ns : txn->home;
}

/* Bytes of a store key that the view stands for. */
static size_t head_of(const struct mln_txn *txn, struct mln_view view)
{
    return view.prefix.len + (view.ns.len > 0 ? 0 : txn->home.len + 1);
}

static struct mln_err store_key(struct mln_cx *cx, const struct mln_txn *txn, struct mln_view view,
                                struct mln_bytes key, struct mln_bytes *ret)
{
    size_t head = head_of(txn, view), at = head - view.prefix.len;
    if (head + key.len > MLN_STORE_KEY_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the path is too long");
    }
    uint8_t *to = mln_new(cx, head + key.len + 1);
    if (to == NULL) {
        return mln_cx_err(cx);
    }
    if (at > 0) {
        mln_copy(to, txn->home.ptr, at - 1);
        to[at - 1] = '/';
    }
    mln_copy(to + at, view.prefix.ptr, view.prefix.len);
    mln_copy(to + head, key.ptr, key.len);
    *ret = mln_bytes_at(to, head + key.len);
    return MLN_OK;
}

/* ---- reading ---- */

/* Bring the snapshot's row in; its value is opened only when it is asked for. */
static struct mln_err read_item(struct mln_cx *cx, struct mln_txn *txn, struct item *item)
{
    struct mln_bytes box = MLN_BYTES_NONE;
    uint64_t version = 0;
    if (item->was_read || item->is_written) {
        return MLN_OK;
    }
    struct mln_err err = mln_snap_get(cx, txn->snap, item->key, &box, &version);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    item->was_read = true;
    item->version = version;
    item->is_there = !mln_failed(err);
    item->box = box;
    return MLN_OK;
}

static struct mln_err open_item(struct mln_cx *cx, struct mln_txn *txn, struct item *item)
{
    if (item->is_open) {
        return MLN_OK;
    }
    struct mln_err err =
        mln_barrier_decrypt(cx, txn->barrier, item->ns, item->key, item->box, &item->plain);
    if (mln_is(err, MLN_E_NOT_FOUND)) { /* of the key, not of the value */
        return mln_refail(cx, MLN_E_CORRUPT,
                          "a stored value is sealed under a key that is not known");
    }
    MLN_TRY(err);
    item->is_open = true;
    return MLN_OK;
}

struct mln_err mln_txn_get(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                           struct mln_bytes key, struct mln_bytes *ret)
{
    struct mln_bytes full = MLN_BYTES_NONE;
    struct item *item = NULL;
    MLN_TRY(store_key(cx, txn, view, key, &full));
    MLN_TRY(item_for(cx, txn, ns_of(txn, view), full, &item));
    MLN_TRY(read_item(cx, txn, item));
    if (!item->is_there) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    MLN_TRY(open_item(cx, txn, item));
    *ret = item->plain;
    return MLN_OK;
}

struct mln_err mln_txn_get_value(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                 struct mln_bytes key, const struct mln_value **ret)
{
    struct mln_bytes plain = MLN_BYTES_NONE;
    MLN_TRY(mln_txn_get(cx, txn, view, key, &plain));
    struct mln_err err = mln_cbor_parse(cx, plain, ret);
    return mln_is(err, MLN_E_PARSE)
               ? mln_refail(cx, MLN_E_CORRUPT, "a stored value is not what its format says")
               : err;
}

/* ---- writing ---- */

static struct mln_err written(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                              struct mln_bytes key, struct item **ret)
{
    struct mln_bytes full = MLN_BYTES_NONE;
    MLN_TRY(store_key(cx, txn, view, key, &full));
    if (full.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "the path is empty");
    }
    MLN_TRY(item_for(cx, txn, ns_of(txn, view), full, ret));
    if (!(*ret)->is_written) {
        (*ret)->is_written = true;
        txn->writes++;
    }
    return MLN_OK;
}

struct mln_err mln_txn_put(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                           struct mln_bytes key, struct mln_bytes plain)
{
    struct mln_bytes copy = mln_bytes_dup(cx, plain);
    MLN_TRY(mln_cx_err(cx));
    struct item *item = NULL;
    MLN_TRY(written(cx, txn, view, key, &item));
    item->plain = copy;
    item->is_there = true;
    item->is_open = true;
    return MLN_OK;
}

struct mln_err mln_txn_put_value(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                 struct mln_bytes key, const struct mln_value *value)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    mln_cbor_print(&plain, value);
    MLN_TRY(mln_buf_ok(cx, &plain));
    return mln_txn_put(cx, txn, view, key, mln_buf_bytes(&plain));
}

struct mln_err mln_txn_delete(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                              struct mln_bytes key)
{
    struct item *item = NULL;
    MLN_TRY(written(cx, txn, view, key, &item));
    item->plain = MLN_BYTES_NONE;
    item->is_there = false;
    item->is_open = false;
    return MLN_OK;
}

bool mln_txn_has_writes(const struct mln_txn *txn)
{
    return txn->writes > 0;
}

void mln_txn_mark_relief(struct mln_txn *txn)
{
    txn->is_relief = true;
}

/* What this transaction wrote or read below a store key's prefix. */
static struct mln_err delete_own(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                 struct mln_bytes full)
{
    struct mln_err err = MLN_OK;
    size_t n = txn->n;
    for (size_t i = 0; i < n && !mln_failed(err); i++) {
        const struct item *item = txn->items[i];
        if (item->is_there && mln_bytes_starts(item->key, full)) {
            err = mln_txn_delete(cx, txn, view, mln_bytes_from(item->key, head_of(txn, view)));
        }
    }
    return err;
}

struct mln_err mln_txn_delete_all(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                                  struct mln_bytes prefix)
{
    struct mln_bytes full = MLN_BYTES_NONE;
    struct mln_bytes key = MLN_BYTES_NONE;
    MLN_TRY(store_key(cx, txn, view, prefix, &full));
    MLN_TRY(delete_own(cx, txn, view, full));
    struct mln_err err = mln_snap_next(cx, txn->snap, full, key, &key, NULL);
    while (!mln_failed(err)) {
        MLN_TRY(mln_txn_delete(cx, txn, view, mln_bytes_from(key, head_of(txn, view))));
        err = mln_snap_next(cx, txn->snap, full, key, &key, NULL);
    }
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

/* ---- listing ---- */

struct listing {
    struct mln_cx *cx;
    struct mln_txn *txn;
    struct mln_bytes full; /* prefix as a store key */
    struct mln_bytes *own; /* names that this transaction wrote; sorted */
    size_t own_n, own_at;
    struct mln_bytes last;
    struct mln_value *names;
};

/* One level of what lies behind the prefix: "name", or "folder/". */
static struct mln_bytes level_of(struct mln_bytes rest)
{
    size_t slash = mln_bytes_find(rest, '/');
    return slash < rest.len ? mln_bytes_sub(rest, 0, slash + 1) : rest;
}

static int by_bytes(const void *a, const void *b)
{
    return mln_bytes_cmp(*(const struct mln_bytes *)a, *(const struct mln_bytes *)b);
}

static struct mln_err collect_own(struct listing *l)
{
    l->own = mln_new_array(l->cx, l->txn->n + 1, sizeof(*l->own));
    if (l->own == NULL) {
        return mln_cx_err(l->cx);
    }
    for (size_t i = 0; i < l->txn->n; i++) {
        const struct item *item = l->txn->items[i];
        if (item->is_written && item->is_there && mln_bytes_starts(item->key, l->full) &&
            item->key.len > l->full.len) {
            l->own[l->own_n++] = level_of(mln_bytes_from(item->key, l->full.len));
        }
    }
    qsort(l->own, l->own_n, sizeof(*l->own), by_bytes);
    return MLN_OK;
}

/* name: in the arena. Names come in order; one that is there already is left out. */
static struct mln_err add_name(struct listing *l, struct mln_bytes name)
{
    if (mln_len(l->names) > 0 && mln_bytes_eq(l->last, name)) {
        return MLN_OK;
    }
    if (mln_len(l->names) >= MLN_LIST_MAX) {
        return mln_fail(l->cx, MLN_E_TOO_LARGE, "more than %u entries to list", MLN_LIST_MAX);
    }
    l->last = name;
    mln_push(l->cx, l->names, mln_string(l->cx, name));
    return mln_cx_err(l->cx);
}

/* Own names below `before` (all of them when it is empty). */
static struct mln_err add_own(struct listing *l, struct mln_bytes before)
{
    while (l->own_at < l->own_n &&
           (before.len == 0 || mln_bytes_cmp(l->own[l->own_at], before) < 0)) {
        MLN_TRY(add_name(l, l->own[l->own_at++]));
    }
    return MLN_OK;
}

static bool is_deleted(const struct listing *l, struct mln_bytes key)
{
    const struct item *item = find_item(l->txn, key);
    return item != NULL && item->is_written && !item->is_there;
}

/*
 * The key at which the walk goes on: behind this key, or behind the whole folder ('0' follows '/').
 */
static struct mln_err walk(struct listing *l)
{
    uint8_t from[MLN_STORE_KEY_MAX + 1];
    struct mln_bytes at = l->full;
    bool is_after = false;
    for (;;) {
        struct mln_bytes key = MLN_BYTES_NONE;
        struct mln_err err = is_after ? mln_snap_next(l->cx, l->txn->snap, l->full, at, &key, NULL)
                                      : mln_snap_from(l->cx, l->txn->snap, l->full, at, &key, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return MLN_OK;
        }
        MLN_TRY(err);
        mln_copy(from, key.ptr, key.len);
        at = mln_bytes_at(from, key.len);
        is_after = true;
        if (key.len == l->full.len || is_deleted(l, key)) {
            continue;
        }
        struct mln_bytes name = mln_bytes_dup(l->cx, level_of(mln_bytes_from(key, l->full.len)));
        MLN_TRY(mln_cx_err(l->cx));
        MLN_TRY(add_own(l, name));
        MLN_TRY(add_name(l, name));
        if (name.ptr[name.len - 1] == '/') {
            from[l->full.len + name.len - 1] = '/' + 1;
            at = mln_bytes_at(from, l->full.len + name.len);
            is_after = false;
        }
    }
}

struct mln_err mln_txn_list(struct mln_cx *cx, struct mln_txn *txn, struct mln_view view,
                            struct mln_bytes prefix, const struct mln_value **ret)
{
    if (prefix.len > 0 && prefix.ptr[prefix.len - 1] != '/') {
        return mln_fail(cx, MLN_E_INVALID, "a folder to list ends in a slash");
    }
    struct listing l = {.cx = cx, .txn = txn, .names = mln_array(cx)};
    MLN_TRY(store_key(cx, txn, view, prefix, &l.full));
    MLN_TRY(collect_own(&l));
    MLN_TRY(walk(&l));
    MLN_TRY(add_own(&l, MLN_BYTES_NONE));
    MLN_TRY(mln_cx_err(cx));
    *ret = l.names;
    return MLN_OK;
}

/* ---- the batch ---- */

static struct mln_err add_write(struct mln_cx *cx, struct mln_txn *txn, const struct item *item,
                                struct mln_write *w, struct mln_value *digests)
{
    *w = (struct mln_write){.op = MLN_WRITE_DELETE, .key = item->key};
    struct mln_value *pair = mln_array(cx);
    mln_push(cx, pair, mln_blob(cx, item->key));
    if (item->is_there) {
        w->op = MLN_WRITE_PUT;
        MLN_TRY(mln_barrier_encrypt(cx, txn->barrier, item->ns, item->key, item->plain, &w->value));
        uint8_t *digest = mln_new(cx, MLN_SHA256_BYTES);
        if (digest == NULL) {
            return mln_cx_err(cx);
        }
        mln_sha256(w->value, digest);
        mln_push(cx, pair, mln_blob(cx, mln_bytes_at(digest, MLN_SHA256_BYTES)));
    } else {
        mln_push(cx, pair, mln_null(cx));
    }
    mln_push(cx, digests, pair);
    return mln_cx_err(cx);
}

static size_t add_expectations(const struct mln_txn *txn, struct mln_write *writes)
{
    size_t n = 0;
    for (size_t i = 0; i < txn->n; i++) {
        const struct item *item = txn->items[i];
        if (item->was_read) {
            writes[n++] = (struct mln_write){
                .op = MLN_WRITE_EXPECT, .key = item->key, .version = item->version};
        }
    }
    return n;
}

struct mln_err mln_txn_batch(struct mln_cx *cx, struct mln_txn *txn, struct mln_batch *ret,
                             const struct mln_value **ret_digests)
{
    struct mln_write *writes = mln_new_array(cx, 2 * txn->n + 1, sizeof(*writes));
    struct mln_value *digests = mln_array(cx);
    if (writes == NULL) {
        return mln_cx_err(cx);
    }
    size_t n = txn->writes > 0 ? add_expectations(txn, writes) : 0;
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < txn->n && !mln_failed(err); i++) {
        if (txn->items[i]->is_written) {
            err = add_write(cx, txn, txn->items[i], &writes[n++], digests);
        }
    }
    MLN_TRY(err);
    if (n > MLN_STORE_BATCH_OPS_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the request changes too much at once");
    }
    *ret = (struct mln_batch){.writes = writes, .n = n, .is_relief = txn->is_relief};
    *ret_digests = digests;
    return MLN_OK;
}
