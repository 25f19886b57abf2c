/* SPDX-License-Identifier: Apache-2.0 */
/* A store in memory with a barrier on it, for the tests of this room. */
#pragma once

#include "kit/kit.h"

#include <stdlib.h>

#include "barrier/barrier.h"
#include "base/clock.h"

struct vault {
    struct mln_cx *cx;
    struct mln_store *store;
    struct mln_store_fault *control;
    struct mln_barrier *barrier;
    struct mln_secret root;
};

static inline void vault_open_sealed(struct vault *v)
{
    v->cx = kit_cx_new();
    kit_ok(v->cx, mln_store_open_fault(v->cx, &v->store, &v->control));
    kit_ok(v->cx, mln_barrier_new(v->cx, v->store, &v->barrier));
    kit_ok(v->cx, mln_secret_random(v->cx, 32, &v->root));
}

static inline int vault_setup(void **state)
{
    struct vault *v = calloc(1, sizeof(*v));
    vault_open_sealed(v);
    kit_ok(v->cx, mln_barrier_init(v->cx, v->barrier, &v->root));
    kit_ok(v->cx, mln_barrier_unseal(v->cx, v->barrier, &v->root));
    *state = v;
    return 0;
}

static inline int vault_teardown(void **state)
{
    struct vault *v = *state;
    for (int kind = 0; kind < MLN_FAULT_KINDS; kind++) {
        mln_fault_arm((enum mln_fault_kind)kind, 0, false);
    }
    mln_clock_use(NULL);
    mln_barrier_free(v->barrier);
    mln_store_close(v->store);
    mln_secret_drop(&v->root);
    kit_cx_free(v->cx);
    free(v);
    return 0;
}

#define VAULT_TEST(fn) cmocka_unit_test_setup_teardown(fn, vault_setup, vault_teardown)

/* Behind the barrier's back. */
static inline void raw_put(struct vault *v, struct mln_bytes key, struct mln_bytes value)
{
    struct mln_write write = {.op = MLN_WRITE_PUT, .key = key, .value = value};
    struct mln_batch batch = {.writes = &write, .n = 1};
    kit_ok(v->cx, mln_store_commit(v->cx, v->store, &batch));
}

static inline struct mln_bytes raw_get(struct vault *v, struct mln_bytes key)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes value;
    uint64_t version = 0;
    kit_ok(v->cx, mln_snap_begin(v->cx, v->store, &snap));
    kit_ok(v->cx, mln_snap_get(v->cx, snap, key, &value, &version));
    return mln_bytes_dup(v->cx, value);
}
