/* SPDX-License-Identifier: Apache-2.0 */
/* New shares while the server is open, cut off at every step; a seal that was never finished is forgotten. */
#include "barrier_kit.h"

#include <stdio.h>
#include <unistd.h>

#include "barrier/seal.h"

struct sealed {
    struct vault v;
    struct mln_seal *seal;
    struct mln_bytes old[255], new[255];
};

static int setup(void **state)
{
    struct sealed *s = calloc(1, sizeof(*s));
    struct mln_seal_config config = {.kind = MLN_SEAL_SHAMIR, .shares = 3, .threshold = 2};
    size_t n = 0;
    vault_open_sealed(&s->v);
    kit_ok(s->v.cx, mln_seal_new(s->v.cx, s->v.store, s->v.barrier, &s->seal));
    kit_ok(s->v.cx, mln_seal_init(s->v.cx, s->seal, &config, NULL, s->old, &n));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    mln_seal_free(((struct sealed *)*state)->seal);
    return vault_teardown(state);
}

#define CHANGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* Do these shares, from the n-th on, open a sealed barrier? */
static bool opens(struct sealed *s, const struct mln_bytes *shares, size_t n)
{
    unsigned progress = 1;
    struct mln_err err = MLN_OK;
    mln_barrier_seal(s->v.barrier);
    mln_seal_reset(s->seal);
    for (size_t i = 0; i < n && !mln_failed(err); i++) {
        err = mln_seal_give(s->v.cx, s->seal, shares[i], &progress);
    }
    mln_cx_clear(s->v.cx);
    mln_seal_reset(s->seal);
    return !mln_failed(err) && progress == 0;
}

static const struct mln_seal_config four = {.kind = MLN_SEAL_SHAMIR, .shares = 4, .threshold = 3};

static void test_prove(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    struct mln_seal_change change = {0};
    kit_ok(cx, mln_seal_prove(cx, s->seal, s->old, 2));
    kit_ok(cx, mln_seal_prove(cx, s->seal, s->old + 1, 2));
    kit_refused(cx, mln_seal_prove(cx, s->seal, s->old, 1), MLN_E_FORGED);
    kit_refused(cx, mln_seal_prove(cx, s->seal, s->old, 3), MLN_E_FORGED);
    kit_ok(cx, mln_seal_change_begin(cx, &four, s->new, &change));
    kit_refused(cx, mln_seal_prove(cx, s->seal, s->new, 2), MLN_E_FORGED);
    struct mln_bytes mixed[2] = {s->old[0], s->new[1]};
    kit_refused(cx, mln_seal_prove(cx, s->seal, mixed, 2), MLN_E_FORGED);
    kit_ok(cx, mln_seal_change_prove(cx, &change, s->new + 1, 3));
    kit_refused(cx, mln_seal_change_prove(cx, &change, s->new, 2), MLN_E_FORGED);
    kit_refused(cx, mln_seal_change_prove(cx, &change, s->old, 3), MLN_E_FORGED);
    assert_true(opens(s, s->old, 2)); /* nothing was changed */
    mln_seal_change_drop(&change);
}

static void test_change(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    struct mln_seal_change change = {0};
    struct mln_seal_config config;
    kit_ok(cx, mln_seal_change_begin(cx, &four, s->new, &change));
    kit_refused(cx, mln_seal_change_commit(cx, s->seal, &change), MLN_E_SEALED);
    assert_true(opens(s, s->old, 2));
    kit_ok(cx, mln_seal_change_commit(cx, s->seal, &change));
    mln_seal_change_drop(&change);
    assert_false(opens(s, s->old, 2));
    assert_false(opens(s, s->new, 2));
    assert_true(opens(s, s->new, 3));
    kit_ok(cx, mln_seal_read_config(cx, s->seal, &config));
    assert_true(config.shares == 4 && config.threshold == 3);
}

static void test_cut_off(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    struct mln_seal_change change = {0};
    assert_true(opens(s, s->old, 2));
    kit_ok(cx, mln_seal_change_begin(cx, &four, s->new, &change));
    s->v.control->fail_commit_at = 1;
    kit_refused(cx, mln_seal_change_commit(cx, s->seal, &change), MLN_E_IO);
    assert_true(opens(s, s->old, 2));
    s->v.control->fail_commit_at = 0;
    s->v.control->tear_last = true; /* the commit is half on the disk when the power goes */
    kit_ok(cx, mln_seal_change_commit(cx, s->seal, &change));
    kit_ok(cx, mln_store_fault_crash(cx, s->v.store));
    assert_true(opens(s, s->old, 2) != opens(s, s->new, 3));
    mln_seal_change_drop(&change);
}

static struct mln_err change_once(struct mln_cx *cx, void *arg)
{
    struct sealed *s = arg;
    struct mln_seal_change change = {0};
    struct mln_err err = mln_seal_change_begin(cx, &four, s->new, &change);
    err = mln_failed(err) ? err : mln_seal_change_commit(cx, s->seal, &change);
    mln_seal_change_drop(&change);
    return err;
}

static void test_faults(void **state)
{
    struct sealed *s = *state;
    assert_true(opens(s, s->old, 2));
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, change_once, s) > 3);
    kit_ok(s->v.cx, change_once(s->v.cx, s));
    assert_true(opens(s, s->new, 3));
}

static void test_refused(void **state)
{
    struct sealed *s = *state;
    struct mln_seal_change change = {0};
    static const struct {
        struct mln_seal_config config;
        enum mln_code want;
    } t[] = {
        {{.kind = MLN_SEAL_SHAMIR, .shares = 0, .threshold = 0}, MLN_E_INVALID},
        {{.kind = MLN_SEAL_SHAMIR, .shares = 2, .threshold = 3}, MLN_E_INVALID},
        {{.kind = MLN_SEAL_SHAMIR, .shares = 3, .threshold = 1}, MLN_E_INVALID},
        {{.kind = MLN_SEAL_SHAMIR, .shares = 256, .threshold = 2}, MLN_E_INVALID},
        {{.kind = MLN_SEAL_KEYFILE, .shares = 1, .threshold = 1}, MLN_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        kit_refused(s->v.cx, mln_seal_change_begin(s->v.cx, &t[i].config, s->new, &change), t[i].want);
    }
}

static void test_discard(void **state)
{
    struct sealed *s = *state;
    struct mln_seal_config config = {.kind = MLN_SEAL_SHAMIR, .shares = 1, .threshold = 1};
    size_t n = 0;
    for (int i = 0; i < 3000; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "x/%d", i);
        raw_put(&s->v, mln_bytes_of(key), MLN_BYTES("left over"));
    }
    s->v.control->fail_commit_at = 2; /* cut off between batches: it still counts as there, and is run again */
    kit_refused(s->v.cx, mln_seal_discard(s->v.cx, s->seal, NULL), MLN_E_IO);
    assert_true(mln_barrier_is_initialized(s->v.cx, s->v.barrier));
    s->v.control->fail_commit_at = 0;
    kit_ok(s->v.cx, mln_seal_discard(s->v.cx, s->seal, NULL));
    assert_false(mln_barrier_is_initialized(s->v.cx, s->v.barrier));
    kit_ok(s->v.cx, mln_seal_init(s->v.cx, s->seal, &config, NULL, s->new, &n));
    assert_true(opens(s, s->new, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHANGE_TEST(test_prove),   CHANGE_TEST(test_change),  CHANGE_TEST(test_cut_off),
        CHANGE_TEST(test_refused), CHANGE_TEST(test_faults),  CHANGE_TEST(test_discard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
