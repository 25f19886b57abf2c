/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery keys: proved, made anew, cut off at every step, moved and swapped behind the server's back. */
#include "barrier_kit.h"

#include "barrier/seal.h"

struct sealed {
    struct vault v;
    struct mln_seal *seal;
    struct mln_bytes unseal[255], old[255], new[255];
};

static const struct mln_seal_config three = {.kind = MLN_SEAL_SHAMIR, .shares = 3, .threshold = 2};
static const struct mln_seal_config four = {.kind = MLN_SEAL_SHAMIR, .shares = 4, .threshold = 3};

static int setup(void **state)
{
    struct sealed *s = calloc(1, sizeof(*s));
    struct mln_seal_config one = {.kind = MLN_SEAL_SHAMIR, .shares = 1, .threshold = 1};
    size_t n = 0;
    unsigned progress = 1;
    vault_open_sealed(&s->v);
    kit_ok(s->v.cx, mln_seal_new(s->v.cx, s->v.store, s->v.barrier, &s->seal));
    kit_ok(s->v.cx, mln_seal_init(s->v.cx, s->seal, &one, NULL, s->unseal, &n));
    kit_ok(s->v.cx, mln_seal_give(s->v.cx, s->seal, s->unseal[0], &progress));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    mln_seal_free(((struct sealed *)*state)->seal);
    return vault_teardown(state);
}

#define RECOVERY_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static struct mln_err make(struct mln_cx *cx, struct sealed *s, const struct mln_seal_config *config, struct mln_bytes *shares)
{
    struct mln_seal_change change = {0};
    struct mln_err err = mln_seal_change_begin(cx, config, shares, &change);
    err = mln_failed(err) ? err : mln_seal_recovery_commit(cx, s->seal, &change);
    mln_seal_change_drop(&change);
    return err;
}

static bool proves(struct sealed *s, const struct mln_bytes *shares, size_t n)
{
    bool is_proof = !mln_failed(mln_seal_recovery_prove(s->v.cx, s->seal, shares, n));
    mln_cx_clear(s->v.cx);
    return is_proof;
}

static void test_prove(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    struct mln_seal_config config = {.shares = 9};
    kit_ok(cx, mln_seal_recovery_config(cx, s->seal, &config));
    assert_int_equal(config.shares, 0);
    kit_refused(cx, mln_seal_recovery_prove(cx, s->seal, s->unseal, 1), MLN_E_NOT_FOUND);
    kit_ok(cx, make(cx, s, &three, s->old));
    kit_ok(cx, mln_seal_recovery_config(cx, s->seal, &config));
    assert_true(config.shares == 3 && config.threshold == 2);
    kit_ok(cx, mln_seal_recovery_prove(cx, s->seal, s->old, 2));
    kit_ok(cx, mln_seal_recovery_prove(cx, s->seal, s->old + 1, 2));
    kit_refused(cx, mln_seal_recovery_prove(cx, s->seal, s->old, 1), MLN_E_FORGED);
    kit_refused(cx, mln_seal_recovery_prove(cx, s->seal, s->old, 3), MLN_E_FORGED);
    kit_refused(cx, mln_seal_recovery_prove(cx, s->seal, s->unseal, 1), MLN_E_FORGED);
    kit_ok(cx, make(cx, s, &four, s->new));
    assert_false(proves(s, s->old, 2));
    assert_false(proves(s, s->new, 2));
    assert_true(proves(s, s->new, 3));
}

/* Recovery keys open no barrier, and nothing is proved while it is sealed. */
static void test_sealed(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    struct mln_seal_config config;
    static const struct mln_seal_config one = {.kind = MLN_SEAL_SHAMIR, .shares = 1, .threshold = 1};
    unsigned progress = 1;
    kit_ok(cx, make(cx, s, &one, s->old));
    assert_true(proves(s, s->old, 1));
    mln_barrier_seal(s->v.barrier);
    kit_refused(cx, mln_seal_recovery_prove(cx, s->seal, s->old, 1), MLN_E_SEALED);
    kit_refused(cx, make(cx, s, &four, s->new), MLN_E_SEALED);
    kit_ok(cx, mln_seal_recovery_config(cx, s->seal, &config));
    assert_int_equal(config.shares, 1);
    kit_refused(cx, mln_seal_give(cx, s->seal, s->old[0], &progress), MLN_E_FORGED);
    kit_ok(cx, mln_seal_give(cx, s->seal, s->unseal[0], &progress));
    assert_true(proves(s, s->old, 1));
}

static void test_cut_off(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    kit_ok(cx, make(cx, s, &three, s->old));
    s->v.control->fail_commit_at = 1;
    kit_refused(cx, make(cx, s, &four, s->new), MLN_E_IO);
    assert_true(proves(s, s->old, 2));
    s->v.control->fail_commit_at = 0;
    s->v.control->tear_last = true; /* the commit is half on the disk when the power goes */
    kit_ok(cx, make(cx, s, &four, s->new));
    kit_ok(cx, mln_store_fault_crash(cx, s->v.store));
    assert_true(proves(s, s->old, 2) != proves(s, s->new, 3));
}

static struct mln_err make_once(struct mln_cx *cx, void *arg)
{
    struct sealed *s = arg;
    return make(cx, s, &four, s->new);
}

static void test_faults(void **state)
{
    struct sealed *s = *state;
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, make_once, s) > 3);
    kit_ok(s->v.cx, make_once(s->v.cx, s));
    assert_true(proves(s, s->new, 3));
}

/* Who can write the store cannot make recovery keys of his own: the row is the barrier's, and what lies in clear decides nothing. */
static void test_hostile(void **state)
{
    struct sealed *s = *state;
    struct mln_cx *cx = s->v.cx;
    struct mln_seal_config config;
    const struct {
        const char *key;
        struct mln_bytes value;
        enum mln_code config, prove;
    } t[] = {
        {"core/seal-recovery-config", MLN_BYTES("\1\0\1\1"), MLN_E_OK, MLN_E_OK},
        {"core/seal-recovery-config", MLN_BYTES("\1\0\3\1"), MLN_E_CORRUPT, MLN_E_OK},
        {"core/seal-recovery-config", MLN_BYTES("\2\0\3\2"), MLN_E_CORRUPT, MLN_E_OK},
        {"core/seal-recovery-config", MLN_BYTES(""), MLN_E_CORRUPT, MLN_E_OK},
        {"core/seal-recovery", MLN_BYTES(""), MLN_E_CORRUPT, MLN_E_FORGED},
        {"core/seal-recovery", MLN_BYTES("0123456789012345678901234567890123456789"
                                          "0123456789012345678901234567890123456789"),
         MLN_E_CORRUPT, MLN_E_FORGED},
    };
    kit_ok(cx, make(cx, s, &three, s->old));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_write put = {.op = MLN_WRITE_PUT, .key = mln_bytes_of(t[i].key), .value = t[i].value};
        struct mln_batch batch = {.writes = &put, .n = 1};
        kit_ok(cx, mln_store_commit(cx, s->v.store, &batch));
        assert_int_equal(mln_seal_recovery_config(cx, s->seal, &config).code, t[i].config);
        mln_cx_clear(cx);
        struct mln_err err = mln_seal_recovery_prove(cx, s->seal, s->old, 2);
        assert_true((err.code == MLN_E_OK) == (t[i].prove == MLN_E_OK));
        mln_cx_clear(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECOVERY_TEST(test_prove),  RECOVERY_TEST(test_sealed), RECOVERY_TEST(test_cut_off),
        RECOVERY_TEST(test_faults), RECOVERY_TEST(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
