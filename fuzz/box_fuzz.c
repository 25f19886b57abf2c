/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a disk that someone else wrote: no box opens that the barrier did not seal, no keyring or
 * seal row unseals it, and the refusal is one of those in the contract. The first byte says which
 * row the rest replaces.
 */
#include "barrier/seal.h"
#include "fuzz.h"

struct world {
    struct mln_cx cx;
    struct mln_store *store;
    struct mln_barrier *barrier;
    struct mln_seal *seal;
    struct mln_bytes shares[255];
    size_t n;
};

static struct world *world(void)
{
    static struct world w;
    if (w.store == NULL) {
        struct mln_store_fault *control = NULL;
        struct mln_seal_config config = {.kind = MLN_SEAL_SHAMIR, .shares = 2, .threshold = 2};
        mln_cx_init(&w.cx, mln_arena_new((size_t)64 << 20, false));
        MLN_CHECK(!mln_failed(mln_store_open_fault(&w.cx, &w.store, &control)));
        MLN_CHECK(!mln_failed(mln_barrier_new(&w.cx, w.store, &w.barrier)));
        MLN_CHECK(!mln_failed(mln_seal_new(&w.cx, w.store, w.barrier, &w.seal)));
        MLN_CHECK(!mln_failed(mln_seal_init(&w.cx, w.seal, &config, NULL, w.shares, &w.n)));
    }
    return &w;
}

static struct mln_err unseal(struct world *w, struct mln_cx *cx)
{
    unsigned progress = 0;
    mln_seal_reset(w->seal);
    MLN_TRY(mln_seal_give(cx, w->seal, w->shares[0], &progress));
    return mln_seal_give(cx, w->seal, w->shares[1], &progress);
}

static void put(struct world *w, struct mln_bytes key, struct mln_bytes value)
{
    struct mln_write write = {.op = MLN_WRITE_PUT, .key = key, .value = value};
    struct mln_batch batch = {.writes = &write, .n = 1};
    MLN_CHECK(!mln_failed(mln_store_commit(NULL, w->store, &batch)));
}

static void try_row(struct world *w, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes row)
{
    struct mln_snap *snap = NULL;
    struct mln_bytes good;
    uint64_t version = 0;
    MLN_CHECK(!mln_failed(mln_snap_begin(cx, w->store, &snap)));
    MLN_CHECK(!mln_failed(mln_snap_get(cx, snap, key, &good, &version)));
    good = mln_bytes_dup(cx, good);
    mln_snap_end(snap);
    put(w, key, row);
    struct mln_err err = unseal(w, cx);
    MLN_CHECK(mln_is(err, MLN_E_FORGED) || mln_is(err, MLN_E_CORRUPT) ||
              mln_is(err, MLN_E_UNSUPPORTED) || mln_is(err, MLN_E_INVALID) ||
              mln_bytes_eq(row, good) || mln_barrier_is_sealed(w->barrier));
    MLN_CHECK(mln_bytes_eq(row, good) || mln_barrier_is_sealed(w->barrier));
    mln_barrier_seal(w->barrier);
    put(w, key, good);
}

static void try_box(struct world *w, struct mln_cx *cx, struct mln_bytes box)
{
    struct mln_bytes plain;
    MLN_CHECK(!mln_failed(unseal(w, cx)));
    struct mln_err err =
        mln_barrier_decrypt(cx, w->barrier, MLN_NS_ROOT, MLN_BYTES("k"), box, &plain);
    MLN_CHECK(mln_is(err, MLN_E_FORGED) || mln_is(err, MLN_E_NOT_FOUND));
    mln_barrier_seal(w->barrier);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct world *w = world();
    struct mln_cx cx;
    struct mln_bytes rest = size > 0 ? mln_bytes_at(data + 1, size - 1) : MLN_BYTES_NONE;
    mln_cx_init(&cx, mln_arena_new((size_t)8 << 20, false));
    switch (size > 0 ? data[0] % 4 : 0) {
    case 1:
        try_row(w, &cx, MLN_BYTES("core/seal"), rest);
        break;
    case 2:
        try_row(w, &cx, MLN_BYTES("core/seal-config"), rest);
        break;
    case 3:
        try_row(w, &cx, MLN_BYTES("core/keyring/root"), rest);
        break;
    default:
        try_box(w, &cx, rest);
        break;
    }
    mln_arena_free(cx.arena);
    return 0;
}
