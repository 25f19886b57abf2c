/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyrings: growing one by a key, and their rows. Nothing here takes a lock or knows of namespaces
 * beside its own.
 */
#include "barrier/keyring_priv.h"

#include "base/clock.h"

#define ROW_VERSION   1
#define RING_VERSION  1
#define RING_HEAD     5u
#define RING_ITEM     44u
#define KEYRING_LABEL MLN_BYTES("merlon keyring 1\0")

void keyring_free(struct keyring *ring)
{
    if (ring != NULL) {
        mln_secret_drop(&ring->keys);
        mln_free(ring->made_ns);
        mln_free(ring);
    }
}

void keyring_drop(struct keyring **ring)
{
    keyring_free(*ring);
    *ring = NULL;
}

static struct mln_err ring_new(struct mln_cx *cx, struct mln_bytes ns, uint32_t n,
                               struct keyring **ret)
{
    MLN_AUTO(keyring_drop) struct keyring *ring = mln_alloc(sizeof(*ring) + ns.len);
    if (ring == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    ring->made_ns = mln_alloc_array(n, sizeof(int64_t));
    if (ring->made_ns == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_copy(ring + 1, ns.ptr, ns.len); /* the name lies behind the struct */
    ring->ns = mln_bytes_at(ring + 1, ns.len);
    ring->n = n;
    MLN_TRY(mln_secret_new(cx, (size_t)n * MLN_KEY_BYTES, &ring->keys));
    *ret = mln_take(&ring);
    return MLN_OK;
}

struct mln_err keyring_grow(struct mln_cx *cx, struct mln_bytes ns, const struct keyring *from,
                            struct keyring **ret)
{
    uint32_t old_n = from != NULL ? from->n : 0;
    if (old_n >= KEYRING_KEYS_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "the keyring is full: %u keys", KEYRING_KEYS_MAX);
    }
    struct keyring *ring = NULL;
    MLN_TRY(ring_new(cx, ns, old_n + 1, &ring));
    if (from != NULL) {
        mln_copy(ring->keys.ptr, from->keys.ptr, from->keys.len);
        mln_copy(ring->made_ns, from->made_ns, old_n * sizeof(int64_t));
        ring->row_version = from->row_version;
    }
    mln_random(ring->keys.ptr + (size_t)old_n * MLN_KEY_BYTES, MLN_KEY_BYTES);
    ring->made_ns[old_n] = mln_now_ns();
    *ret = ring;
    return MLN_OK;
}

struct mln_err keyring_key(struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes *ret)
{
    *ret = mln_bytes_format(cx, "%.*s%.*s", MLN_FMT(KEYRING_PREFIX), MLN_FMT(ns));
    return mln_cx_err(cx); /* an empty name would seal a row that never opens again */
}

/* ---- rows ---- */

static struct mln_err row_aad(struct mln_cx *cx, struct mln_bytes label, struct mln_bytes where,
                              struct mln_bytes *ret)
{
    uint8_t *aad = mln_new(cx, label.len + where.len);
    if (aad == NULL) {
        return mln_cx_err(cx);
    }
    mln_copy(aad, label.ptr, label.len);
    mln_copy(aad + label.len, where.ptr, where.len);
    *ret = mln_bytes_at(aad, label.len + where.len);
    return MLN_OK;
}

struct mln_err row_seal(struct mln_cx *cx, const uint8_t key[32], struct mln_bytes label,
                        struct mln_bytes where, struct mln_bytes plain, struct mln_bytes *ret_row)
{
    struct mln_bytes aad = MLN_BYTES_NONE;
    MLN_TRY(row_aad(cx, label, where, &aad));
    uint8_t *row = mln_new(cx, plain.len + ROW_OVERHEAD);
    if (row == NULL) {
        return mln_cx_err(cx);
    }
    row[0] = ROW_VERSION;
    mln_random(row + 1, MLN_XAES_NONCE_BYTES);
    MLN_TRY(mln_xaes_seal(cx, key, row + 1, aad, plain, row + 1 + MLN_XAES_NONCE_BYTES));
    *ret_row = mln_bytes_at(row, plain.len + ROW_OVERHEAD);
    return MLN_OK;
}

struct mln_err row_open(struct mln_cx *cx, const uint8_t key[32], struct mln_bytes label,
                        struct mln_bytes where, struct mln_bytes row, struct mln_secret *ret)
{
    struct mln_bytes aad = MLN_BYTES_NONE;
    if (row.len < ROW_OVERHEAD || row.ptr[0] != ROW_VERSION) {
        return mln_fail(cx, MLN_E_FORGED, "a sealed row of the store is damaged");
    }
    MLN_TRY(row_aad(cx, label, where, &aad));
    MLN_AUTO(mln_secret_drop) struct mln_secret plain = {0};
    MLN_TRY(mln_secret_new(cx, row.len - ROW_OVERHEAD, &plain));
    struct mln_bytes box = mln_bytes_from(row, 1 + MLN_XAES_NONCE_BYTES);
    MLN_TRY(mln_xaes_open(cx, key, row.ptr + 1, aad, box, plain.ptr));
    *ret = plain;
    plain = (struct mln_secret){0};
    return MLN_OK;
}

struct mln_err keyring_seal(struct mln_cx *cx, const struct keyring *ring,
                            const struct mln_secret *root, struct mln_bytes *ret_row)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret plain = {0};
    MLN_TRY(mln_secret_new(cx, RING_HEAD + (size_t)ring->n * RING_ITEM, &plain));
    plain.ptr[0] = RING_VERSION;
    mln_put_u32be(plain.ptr + 1, ring->n);
    for (uint32_t i = 0; i < ring->n; i++) {
        uint8_t *item = plain.ptr + RING_HEAD + (size_t)i * RING_ITEM;
        mln_put_u32be(item, i + 1);
        mln_put_u64be(item + 4, (uint64_t)ring->made_ns[i]);
        mln_copy(item + 12, ring->keys.ptr + (size_t)i * MLN_KEY_BYTES, MLN_KEY_BYTES);
    }
    struct mln_bytes where = MLN_BYTES_NONE;
    MLN_TRY(keyring_key(cx, ring->ns, &where));
    return row_seal(cx, root->ptr, KEYRING_LABEL, where, mln_secret_bytes(&plain), ret_row);
}

static struct mln_err parse_ring(struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes plain,
                                 struct keyring **ret)
{
    struct mln_reader r = mln_reader_of(plain);
    uint8_t version = mln_read_u8(&r);
    uint32_t n = mln_read_u32be(&r);
    if (r.is_short || version != RING_VERSION || n < 1 || n > KEYRING_KEYS_MAX ||
        plain.len != RING_HEAD + (size_t)n * RING_ITEM) {
        return mln_fail(cx, MLN_E_CORRUPT, "a keyring is damaged or of a newer format");
    }
    MLN_AUTO(keyring_drop) struct keyring *ring = NULL;
    MLN_TRY(ring_new(cx, ns, n, &ring));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = mln_read_u32be(&r);
        ring->made_ns[i] = (int64_t)mln_read_u64be(&r);
        mln_copy(ring->keys.ptr + (size_t)i * MLN_KEY_BYTES, mln_read_bytes(&r, MLN_KEY_BYTES).ptr,
                 MLN_KEY_BYTES);
        if (id != i + 1) {
            return mln_fail(cx, MLN_E_CORRUPT,
                            "a keyring is damaged: key %u stands where %u belongs", (unsigned)id,
                            (unsigned)i + 1);
        }
    }
    *ret = mln_take(&ring);
    return MLN_OK;
}

struct mln_err keyring_open(struct mln_cx *cx, struct mln_bytes ns, const struct mln_secret *root,
                            struct mln_bytes row, struct keyring **ret)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret plain = {0};
    struct mln_bytes where = MLN_BYTES_NONE;
    MLN_TRY(keyring_key(cx, ns, &where));
    MLN_TRY(row_open(cx, root->ptr, KEYRING_LABEL, where, row, &plain));
    return parse_ring(cx, ns, mln_secret_bytes(&plain), ret);
}
