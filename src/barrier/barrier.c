/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barrier: sealing and opening values, and the life of the keyrings behind it.
 *
 * Two locks. `keys` is a readers' lock around every use of key material; sealing takes it for
 * writing and so waits out the
 * calls that run. `admin` orders what changes keyrings in the store; it is never taken by encrypt
 * and decrypt, so that the
 * committer's thread (the ledger seals its rows there) cannot wait for a thread that waits for a
 * commit.
 */
#include "barrier/cache_priv.h"
#include "barrier/keyring_priv.h"

#include <pthread.h>

#include "base/clock.h"

#define BOX_VERSION 1
#define BOX_HEAD    (1 + 4 + MLN_XAES_NONCE_BYTES)
#define SAVE_EVERY                                                                                 \
    65536u /* seals between two writes of a count: what a crash makes the count forget */
#define COUNT_BYTES 12u /* key id u32 BE | seals u64 BE */

struct mln_barrier {
    struct mln_store *store;
    pthread_mutex_t admin;
    pthread_rwlock_t keys;
    struct keyring **rings; /* sorted by namespace; NULL while sealed */
    size_t n;
    struct mln_secret root;
    struct cache *cache; /* under `keys`, as what it was opened with */
    _Atomic bool is_sealed;
    _Atomic uint64_t seals_max; /* when a tick finds a key due; 0 = the maximum */
    _Atomic int64_t age_max_ns; /* 0 = never by age */
};

struct read_lock {
    pthread_rwlock_t *lock;
};

static void read_unlock(struct read_lock *held)
{
    if (held->lock != NULL) {
        pthread_rwlock_unlock(held->lock);
    }
}

#define READ_LOCK(name, b)                                                                         \
    MLN_AUTO(read_unlock) struct read_lock name = {&(b)->keys};                                    \
    pthread_rwlock_rdlock(name.lock)

static void admin_unlock(pthread_mutex_t **held)
{
    pthread_mutex_unlock(*held);
}

#define ADMIN_LOCK(name, b)                                                                        \
    MLN_AUTO(admin_unlock) pthread_mutex_t *name = &(b)->admin;                                    \
    pthread_mutex_lock(name)

static struct mln_err sealed(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_SEALED, "Vault is sealed");
}

/* ---- finding a keyring ---- */

static size_t place_of(struct keyring *const *rings, size_t n, struct mln_bytes ns)
{
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        if (mln_bytes_cmp(rings[middle]->ns, ns) < 0) {
            low = middle + 1;
        } else {
            n = middle;
        }
    }
    return low;
}

/* With `keys` held. */
static struct mln_err find(struct mln_cx *cx, const struct mln_barrier *b, struct mln_bytes ns,
                           struct keyring **ret)
{
    if (b->rings == NULL) {
        return sealed(cx);
    }
    size_t at = place_of(b->rings, b->n, ns);
    if (at == b->n || !mln_bytes_eq(b->rings[at]->ns, ns)) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "no keyring for the namespace");
    }
    *ret = b->rings[at];
    return MLN_OK;
}

/* ---- values ---- */

/* out: plain.len + MLN_BOX_OVERHEAD bytes */
static struct mln_err seal_box(struct mln_cx *cx, struct keyring *ring, struct mln_bytes key,
                               struct mln_bytes plain, uint8_t *out)
{
    const uint8_t *newest = ring->keys.ptr + (size_t)(ring->n - 1) * MLN_KEY_BYTES;
    out[0] = BOX_VERSION;
    mln_put_u32be(out + 1, ring->n);
    mln_random(out + 5, MLN_XAES_NONCE_BYTES);
    return mln_xaes_seal(cx, newest, out + 5, key, plain, out + BOX_HEAD);
}

static struct mln_err open_box(struct mln_cx *cx, const struct keyring *ring, struct mln_bytes key,
                               struct mln_bytes box, uint8_t *out)
{
    uint32_t id = mln_get_u32be(box.ptr + 1);
    if (id < 1 || id > ring->n) {
        return mln_fail(cx, MLN_E_NOT_FOUND,
                        "a stored value is sealed under a key that is not known");
    }
    const uint8_t *secret = ring->keys.ptr + (size_t)(id - 1) * MLN_KEY_BYTES;
    return mln_xaes_open(cx, secret, box.ptr + 5, key, mln_bytes_from(box, BOX_HEAD), out);
}

/* ---- counts ---- */

struct count_write {
    struct mln_batch batch;
    struct mln_write write;
    uint8_t key[32 + KEYRING_NS_MAX];
    uint8_t box[COUNT_BYTES + MLN_BOX_OVERHEAD];
};

static void count_done(struct mln_batch *batch)
{
    mln_free(batch->arg);
}

static size_t count_key(uint8_t *to, struct mln_bytes ns)
{
    struct mln_bytes prefix = KEYRING_COUNT_PREFIX;
    mln_copy(to, prefix.ptr, prefix.len);
    mln_copy(to + prefix.len, ns.ptr, ns.len);
    return prefix.len + ns.len;
}

/*
 * With `keys` held. A batch to submit once it is not, or NULL: the count is approximate, so want of
 * memory is no error.
 */
static struct count_write *make_count(struct keyring *ring, uint64_t seals)
{
    struct count_write *c = mln_alloc(sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    uint8_t plain[COUNT_BYTES];
    mln_put_u32be(plain, ring->n);
    mln_put_u64be(plain + 4, seals);
    struct mln_bytes key = mln_bytes_at(c->key, count_key(c->key, ring->ns));
    if (mln_failed(seal_box(NULL, ring, key, mln_bytes_at(plain, sizeof(plain)), c->box))) {
        mln_free(c);
        return NULL;
    }
    c->write = (struct mln_write){
        .op = MLN_WRITE_PUT, .key = key, .value = mln_bytes_at(c->box, sizeof(c->box))};
    c->batch = (struct mln_batch){.writes = &c->write, .n = 1, .done = count_done, .arg = c};
    return c;
}

static void submit_count(struct mln_barrier *b, struct count_write *c)
{
    if (c != NULL) {
        mln_store_submit(b->store, &c->batch);
    }
}

static void load_count(struct mln_cx *cx, struct mln_snap *snap, struct keyring *ring)
{
    uint8_t name[32 + KEYRING_NS_MAX];
    uint8_t plain[COUNT_BYTES];
    struct mln_bytes key = mln_bytes_at(name, count_key(name, ring->ns));
    struct mln_bytes box = MLN_BYTES_NONE;
    uint64_t version = 0;
    if (mln_failed(mln_snap_get(cx, snap, key, &box, &version)) ||
        box.len != COUNT_BYTES + MLN_BOX_OVERHEAD || box.ptr[0] != BOX_VERSION ||
        mln_failed(open_box(NULL, ring, key, box, plain)) || mln_get_u32be(plain) != ring->n) {
        return; /* none yet, or of an older key: about nothing is known, as after a rotation */
    }
    ring->seals = mln_get_u64be(plain + 4);
    ring->saved_seals = ring->seals;
}

/* ---- sealing and opening ---- */

struct mln_err mln_barrier_encrypt(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                   struct mln_bytes key, struct mln_bytes plain,
                                   struct mln_bytes *ret_box)
{
    if (plain.len > MLN_STORE_VALUE_MAX - MLN_BOX_OVERHEAD) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "a value may have %u bytes",
                        MLN_STORE_VALUE_MAX - MLN_BOX_OVERHEAD);
    }
    uint8_t *box = mln_new(cx, plain.len + MLN_BOX_OVERHEAD);
    if (box == NULL) {
        return mln_cx_err(cx);
    }
    struct count_write *count = NULL;
    {
        READ_LOCK(held, b);
        struct keyring *ring = NULL;
        MLN_TRY(find(cx, b, ns, &ring));
        MLN_TRY(seal_box(cx, ring, key, plain, box));
        uint64_t seals = atomic_fetch_add_explicit(&ring->seals, 1, memory_order_relaxed) + 1;
        if (seals % SAVE_EVERY == 0) {
            count = make_count(ring, seals);
        }
    }
    submit_count(b, count);
    *ret_box = mln_bytes_at(box, plain.len + MLN_BOX_OVERHEAD);
    return MLN_OK;
}

struct mln_err mln_barrier_decrypt(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                   struct mln_bytes key, struct mln_bytes box,
                                   struct mln_bytes *ret_plain)
{
    READ_LOCK(held, b);
    struct keyring *ring = NULL;
    MLN_TRY(find(cx, b, ns, &ring));
    if (box.len < MLN_BOX_OVERHEAD || box.ptr[0] != BOX_VERSION) {
        return mln_fail(cx, MLN_E_FORGED, "a stored value is not sealed as it should be");
    }
    size_t n = box.len - MLN_BOX_OVERHEAD;
    uint8_t *plain = mln_new(cx, n + 1); /* a NUL behind, as in all texts of the arena */
    if (plain == NULL) {
        return mln_cx_err(cx);
    }
    if (!cache_get(b->cache, key, box, plain)) {
        MLN_TRY(open_box(cx, ring, key, box, plain));
        cache_put(b->cache, key, box, plain);
    }
    *ret_plain = mln_bytes_at(plain, n);
    return MLN_OK;
}

struct mln_err mln_barrier_derive(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                  const char *purpose, uint8_t ret[32])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf info = {0};
    mln_buf_add_bytes(&info, MLN_BYTES("merlon derive 1\0"));
    mln_buf_add_text(&info, purpose);
    MLN_TRY(mln_buf_ok(cx, &info));
    READ_LOCK(held, b);
    struct keyring *ring = NULL;
    MLN_TRY(find(cx, b, ns, &ring));
    struct mln_bytes first = mln_bytes_at(ring->keys.ptr, MLN_KEY_BYTES);
    mln_hkdf_sha256(first, MLN_BYTES_NONE, mln_buf_bytes(&info), ret, 32);
    return MLN_OK;
}

/* ---- life ---- */

struct mln_err mln_barrier_new(struct mln_cx *cx, struct mln_store *store, struct mln_barrier **ret)
{
    struct mln_barrier *b = mln_alloc(sizeof(*b));
    if (b == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    struct mln_err err = cache_new(cx, &b->cache);
    if (mln_failed(err)) {
        mln_free(b);
        return err;
    }
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr); /* the seal must not starve under load */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&b->keys, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&b->admin, NULL);
    b->store = store;
    b->is_sealed = true;
    b->age_max_ns = MLN_KEY_AGE_MAX_NS;
    *ret = b;
    return MLN_OK;
}

void mln_barrier_free(struct mln_barrier *b)
{
    if (b != NULL) {
        mln_barrier_seal(b);
        pthread_rwlock_destroy(&b->keys);
        pthread_mutex_destroy(&b->admin);
        cache_free(b->cache);
        mln_free(b);
    }
}

static struct mln_err read_row(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes key,
                               uint64_t *ret_version)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_TRY(mln_snap_begin(cx, b->store, &snap));
    return mln_snap_get(cx, snap, key, &row, ret_version);
}

bool mln_barrier_is_initialized(struct mln_cx *cx, struct mln_barrier *b)
{
    uint64_t version = 0;
    return !mln_failed(read_row(cx, b, MLN_BYTES("core/keyring/root"), &version));
}

bool mln_barrier_is_sealed(const struct mln_barrier *b)
{
    return b->is_sealed;
}

/*
 * Write a keyring's row, which must not have changed since it was read (version 0: not be there).
 */
static struct mln_err store_ring(struct mln_cx *cx, struct mln_barrier *b, struct keyring *ring,
                                 const struct mln_secret *root)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    struct mln_bytes key = MLN_BYTES_NONE;
    MLN_TRY(keyring_key(cx, ring->ns, &key));
    MLN_TRY(keyring_seal(cx, ring, root, &row));
    struct mln_write writes[] = {{.op = MLN_WRITE_EXPECT, .key = key, .version = ring->row_version},
                                 {.op = MLN_WRITE_PUT, .key = key, .value = row}};
    struct mln_batch batch = {.writes = writes, .n = 2};
    MLN_TRY(mln_store_commit(cx, b->store, &batch));
    ring->row_version = batch.version;
    return MLN_OK;
}

static struct mln_err check_root(struct mln_cx *cx, const struct mln_secret *root)
{
    return root->len == MLN_KEY_BYTES
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "a root key has %d bytes", MLN_KEY_BYTES);
}

struct mln_err mln_barrier_init(struct mln_cx *cx, struct mln_barrier *b,
                                const struct mln_secret *root)
{
    MLN_TRY(check_root(cx, root));
    ADMIN_LOCK(held, b);
    MLN_AUTO(keyring_drop) struct keyring *ring = NULL;
    MLN_TRY(keyring_grow(cx, MLN_NS_ROOT, NULL, &ring));
    struct mln_err err = store_ring(cx, b, ring, root);
    return mln_is(err, MLN_E_CONFLICT)
               ? mln_refail(cx, MLN_E_EXISTS, "Vault is already initialized")
               : err;
}

/* ---- unsealing ---- */

struct rings {
    struct keyring **all;
    size_t n;
};

static void rings_drop(struct rings *rings)
{
    for (size_t i = 0; i < rings->n; i++) {
        keyring_free(rings->all[i]);
    }
    mln_free(rings->all);
    *rings = (struct rings){0};
}

/* Put a ring in its place, replacing (and freeing) one of the same namespace. */
static struct mln_err rings_add(struct mln_cx *cx, struct rings *rings, struct keyring *ring)
{
    size_t at = place_of(rings->all, rings->n, ring->ns);
    if (at < rings->n && mln_bytes_eq(rings->all[at]->ns, ring->ns)) {
        keyring_free(rings->all[at]);
        rings->all[at] = ring;
        return MLN_OK;
    }
    size_t word = sizeof(struct keyring *);
    struct keyring **more = mln_realloc(rings->all, rings->n * word, (rings->n + 1) * word, false);
    if (more == NULL) {
        keyring_free(ring);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_move(more + at + 1, more + at, (rings->n - at) * word);
    more[at] = ring;
    rings->all = more;
    rings->n++;
    return MLN_OK;
}

/* The root namespace first: it tells a wrong root key from damage elsewhere. */
static struct mln_err load_root(struct mln_cx *cx, struct mln_snap *snap,
                                const struct mln_secret *root, struct rings *rings)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    uint64_t version = 0;
    struct mln_err err = mln_snap_get(cx, snap, MLN_BYTES("core/keyring/root"), &row, &version);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_UNINIT, "Vault is not initialized");
    }
    MLN_TRY(err);
    struct keyring *ring = NULL;
    MLN_TRY(keyring_open(cx, MLN_NS_ROOT, root, row, &ring));
    ring->row_version = version;
    load_count(cx, snap, ring);
    return rings_add(cx, rings, ring);
}

static struct mln_err load_others(struct mln_cx *cx, struct mln_snap *snap,
                                  const struct mln_secret *root, struct rings *rings)
{
    struct mln_bytes key = MLN_BYTES_NONE;
    for (;;) {
        struct mln_bytes row = MLN_BYTES_NONE;
        uint64_t version = 0;
        struct mln_err err = mln_snap_next(cx, snap, KEYRING_PREFIX, key, &key, &row);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return MLN_OK;
        }
        MLN_TRY(err);
        struct mln_bytes ns = mln_bytes_from(key, KEYRING_PREFIX.len);
        if (mln_bytes_eq(ns, MLN_NS_ROOT)) {
            continue;
        }
        MLN_TRY(mln_snap_get(cx, snap, key, &row, &version));
        struct keyring *ring = NULL;
        err = ns.len <= KEYRING_NS_MAX ? keyring_open(cx, ns, root, row, &ring)
                                       : (struct mln_err){MLN_E_FORGED};
        if (mln_is(err, MLN_E_FORGED)) {
            return mln_refail(cx, MLN_E_CORRUPT, "the keyring of namespace %.*s is damaged",
                              MLN_FMT(ns));
        }
        MLN_TRY(err);
        ring->row_version = version;
        load_count(cx, snap, ring);
        MLN_TRY(rings_add(cx, rings, ring));
    }
}

static struct mln_err load(struct mln_cx *cx, struct mln_barrier *b, const struct mln_secret *root,
                           struct rings *rings)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_TRY(mln_snap_begin(cx, b->store, &snap));
    MLN_TRY(load_root(cx, snap, root, rings));
    return load_others(cx, snap, root, rings);
}

struct mln_err mln_barrier_unseal(struct mln_cx *cx, struct mln_barrier *b,
                                  const struct mln_secret *root)
{
    MLN_TRY(check_root(cx, root));
    ADMIN_LOCK(held, b);
    MLN_AUTO(rings_drop) struct rings rings = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret copy = {0};
    MLN_TRY(load(cx, b, root,
                 &rings)); /* also when unsealed already: a wrong key is never called right */
    MLN_TRY(mln_secret_from(cx, mln_secret_bytes(root), &copy));
    pthread_rwlock_wrlock(&b->keys);
    if (b->rings == NULL) {
        b->rings = rings.all;
        b->n = rings.n;
        b->root = copy;
        b->is_sealed = false;
        rings = (struct rings){0};
        copy = (struct mln_secret){0};
    }
    pthread_rwlock_unlock(&b->keys);
    return MLN_OK;
}

/*
 * With `keys` held for writing: what the seal writes down is the counts, sealed, without waiting
 * for the disk.
 */
static void save_counts(struct mln_barrier *b, const struct rings *rings)
{
    for (size_t i = 0; i < rings->n; i++) {
        struct keyring *ring = rings->all[i];
        if (ring->seals != ring->saved_seals) {
            submit_count(b, make_count(ring, ring->seals));
        }
    }
}

void mln_barrier_seal(struct mln_barrier *b)
{
    pthread_rwlock_wrlock(&b->keys); /* waits until running calls are through */
    struct rings rings = {b->rings, b->n};
    save_counts(b, &rings);
    b->is_sealed = true;
    b->rings = NULL;
    b->n = 0;
    mln_secret_drop(&b->root);
    b->root = (struct mln_secret){0};
    cache_forget(b->cache);
    pthread_rwlock_unlock(&b->keys);
    rings_drop(&rings);
    mln_crypto_forget();
    mln_wipe_stack();
}

struct mln_err mln_barrier_root(struct mln_cx *cx, struct mln_barrier *b, struct mln_secret *ret)
{
    READ_LOCK(held, b);
    return b->rings != NULL ? mln_secret_from(cx, mln_secret_bytes(&b->root), ret) : sealed(cx);
}

struct mln_err mln_barrier_fits(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes row)
{
    MLN_AUTO(keyring_drop) struct keyring *ring = NULL;
    READ_LOCK(held, b);
    return b->rings != NULL ? keyring_open(cx, MLN_NS_ROOT, &b->root, row, &ring) : sealed(cx);
}

/* ---- changing keyrings ---- */

static bool ns_is_valid(struct mln_bytes ns)
{
    for (size_t i = 0; i < ns.len; i++) {
        uint8_t c = ns.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return ns.len >= 1 && ns.len <= KEYRING_NS_MAX;
}

/*
 * The next state of a namespace's keyring, and a copy of the root key to seal it with. must_exist:
 * rotate, not add.
 */
static struct mln_err next_ring(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                bool must_exist, struct keyring **ret, struct mln_secret *ret_root)
{
    READ_LOCK(held, b);
    struct keyring *old = NULL;
    struct mln_err err = find(cx, b, ns, &old);
    if (!must_exist && !mln_failed(err)) {
        return mln_fail(cx, MLN_E_EXISTS, "the namespace has a keyring already");
    }
    if (!must_exist && mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(cx);
        err = MLN_OK;
    }
    MLN_TRY(err);
    MLN_AUTO(keyring_drop) struct keyring *ring = NULL;
    MLN_TRY(keyring_grow(cx, ns, old, &ring));
    MLN_TRY(mln_secret_from(cx, mln_secret_bytes(&b->root), ret_root));
    *ret = mln_take(&ring);
    return MLN_OK;
}

static struct mln_err change_ring(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                  bool must_exist)
{
    ADMIN_LOCK(held, b);
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    MLN_AUTO(keyring_drop) struct keyring *ring = NULL;
    MLN_TRY(next_ring(cx, b, ns, must_exist, &ring, &root));
    MLN_TRY(store_ring(cx, b, ring, &root));
    pthread_rwlock_wrlock(&b->keys);
    struct mln_err err =
        b->rings != NULL ? MLN_OK
                         : sealed(cx); /* sealed meanwhile: the key is in the store all the same */
    if (!mln_failed(err)) {
        struct rings rings = {b->rings, b->n};
        err = rings_add(cx, &rings, mln_take(&ring));
        b->rings = rings.all;
        b->n = rings.n;
    }
    pthread_rwlock_unlock(&b->keys);
    return err;
}

struct mln_err mln_barrier_rotate(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns)
{
    return change_ring(cx, b, ns, true);
}

struct mln_err mln_barrier_add_namespace(struct mln_cx *cx, struct mln_barrier *b,
                                         struct mln_bytes ns)
{
    if (!ns_is_valid(ns)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "a namespace id has 1 to %u letters, digits, \".\", \"_\" or \"-\"",
                        KEYRING_NS_MAX);
    }
    return change_ring(cx, b, ns, false);
}

static void forget_ring(struct mln_barrier *b, struct mln_bytes ns)
{
    size_t at = place_of(b->rings, b->n, ns);
    if (at < b->n && mln_bytes_eq(b->rings[at]->ns, ns)) {
        keyring_free(b->rings[at]);
        mln_move(b->rings + at, b->rings + at + 1, (b->n - at - 1) * sizeof(struct keyring *));
        b->n--;
    }
}

struct mln_err mln_barrier_remove_namespace(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns)
{
    uint8_t count[32 + KEYRING_NS_MAX];
    struct mln_bytes key = MLN_BYTES_NONE;
    if (!ns_is_valid(ns) || mln_bytes_eq(ns, MLN_NS_ROOT)) {
        return mln_fail(cx, MLN_E_INVALID, "the keyring of this namespace cannot be destroyed");
    }
    ADMIN_LOCK(held, b);
    MLN_TRY(keyring_key(cx, ns, &key));
    struct mln_write writes[] = {
        {.op = MLN_WRITE_DELETE, .key = key},
        {.op = MLN_WRITE_DELETE, .key = mln_bytes_at(count, count_key(count, ns))}};
    struct mln_batch batch = {.writes = writes, .n = 2, .is_relief = true};
    MLN_TRY(mln_store_commit(cx, b->store, &batch));
    pthread_rwlock_wrlock(&b->keys);
    if (b->rings != NULL) {
        forget_ring(b, ns);
    }
    cache_forget(b->cache);
    pthread_rwlock_unlock(&b->keys);
    return MLN_OK;
}

struct mln_err mln_barrier_key_status(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes ns,
                                      struct mln_barrier_status *ret)
{
    READ_LOCK(held, b);
    struct keyring *ring = NULL;
    MLN_TRY(find(cx, b, ns, &ring));
    *ret = (struct mln_barrier_status){
        .term = ring->n, .install_ns = ring->made_ns[ring->n - 1], .encryptions = ring->seals};
    return MLN_OK;
}

/*
 * The first namespace behind `after` whose key is due, copied into the arena; none (len 0) at the
 * end.
 */
static struct mln_err next_due(struct mln_cx *cx, struct mln_barrier *b, struct mln_bytes after,
                               struct mln_bytes *ret)
{
    READ_LOCK(held, b);
    if (b->rings == NULL) {
        return sealed(cx);
    }
    int64_t now = mln_now_ns(), age_ns = b->age_max_ns;
    uint64_t seals_max = b->seals_max != 0 && b->seals_max < MLN_KEY_SEALS_MAX ? b->seals_max
                                                                              : MLN_KEY_SEALS_MAX;
    *ret = MLN_BYTES_NONE;
    for (size_t i = 0; i < b->n && ret->len == 0; i++) {
        const struct keyring *ring = b->rings[i];
        bool is_due = ring->seals >= seals_max ||
                      (age_ns > 0 && now - ring->made_ns[ring->n - 1] > age_ns);
        if (is_due && mln_bytes_cmp(ring->ns, after) > 0) {
            *ret = mln_bytes_dup(cx, ring->ns);
        }
    }
    return mln_cx_err(cx);
}

void mln_barrier_limits(struct mln_barrier *b, uint64_t seals_max, int64_t age_max_ns)
{
    b->seals_max = seals_max;
    b->age_max_ns = age_max_ns;
}

struct mln_err mln_barrier_tick(struct mln_cx *cx, struct mln_barrier *b, size_t *ret_n)
{
    size_t n = 0;
    struct mln_bytes ns = MLN_BYTES_NONE;
    MLN_TRY(next_due(cx, b, ns, &ns));
    while (ns.len > 0) {
        MLN_TRY(mln_barrier_rotate(cx, b, ns));
        n++;
        MLN_TRY(next_due(cx, b, ns, &ns));
    }
    if (ret_n != NULL) {
        *ret_n = n;
    }
    return MLN_OK;
}
