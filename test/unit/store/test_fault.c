/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault engine: the conformance suite, and that it fails, fills up, forgets and tears as told.
 */
#include "conformance.h"

static void world_open(struct world *w)
{
    kit_ok(w->cx, mln_store_open_fault(w->cx, &w->store, &w->control));
}

static void world_close(struct world *w)
{
    mln_store_close(w->store);
}

static void world_reopen(struct world *w)
{
    struct mln_batch nothing = {0}; /* behind all that was submitted */
    kit_ok(w->cx, mln_store_commit(w->cx, w->store, &nothing));
    kit_ok(w->cx, mln_store_fault_crash(w->cx, w->store));
}

static void test_fails_on_command(void **state)
{
    struct world *w = *state;
    struct mln_write write = put_of(MLN_BYTES("a"), MLN_BYTES("1"));
    w->control->fail_commit_at = 2;
    kit_ok(w->cx, commit_writes(w, &write, 1, NULL));
    write = put_of(MLN_BYTES("b"), MLN_BYTES("1"));
    kit_refused(w->cx, commit_writes(w, &write, 1, NULL), MLN_E_IO);
    assert_false(is_there(w, MLN_BYTES("b")));
    kit_ok(w->cx, commit_writes(w, &write, 1, NULL));
    w->control->fail_commit_at = 1;
    w->control->fail_from_then_on = true;
    for (size_t i = 0; i < 3; i++) {
        kit_refused(w->cx, commit_writes(w, &write, 1, NULL), MLN_E_IO);
    }
    w->control->fail_commit_at = 0;
    kit_ok(w->cx, commit_writes(w, &write, 1, NULL));
}

static void test_full(void **state)
{
    struct world *w = *state;
    struct mln_write write = put_of(MLN_BYTES("a"), MLN_BYTES("1"));
    struct mln_batch relief = {.writes = &write, .n = 1, .is_relief = true};
    struct mln_store_stat stat;
    w->control->is_full = true;
    kit_refused(w->cx, commit_writes(w, &write, 1, NULL), MLN_E_FULL);
    mln_store_stat(w->store, &stat);
    assert_true(stat.is_full);
    kit_ok(w->cx, mln_store_commit(w->cx, w->store, &relief));
    assert_true(is_there(w, MLN_BYTES("a")));
    uint8_t *big = mln_new(w->cx, 2 << 20); /* more than the reserve */
    write.value = mln_bytes_at(big, 2 << 20);
    kit_refused(w->cx, mln_store_commit(w->cx, w->store, &relief), MLN_E_FULL);
    w->control->is_full = false;
    kit_ok(w->cx, commit_writes(w, &write, 1, NULL));
    mln_store_stat(w->store, &stat);
    assert_false(stat.is_full);
}

static void test_stalls(void **state)
{
    struct world *w = *state;
    w->control->stall_ns = 20000000;
    int64_t start = mln_mono_ns();
    put_one(w, MLN_BYTES("a"), MLN_BYTES("1"));
    assert_true(mln_mono_ns() - start >= 20000000);
}

static void test_forgets(void **state)
{
    struct world *w = *state;
    put_one(w, MLN_BYTES("synced"), MLN_BYTES("1"));
    w->control->forget_unsynced = true;
    uint64_t lost = put_one(w, MLN_BYTES("lost"), MLN_BYTES("1"));
    delete_one(w, MLN_BYTES("synced"));
    kit_ok(w->cx, mln_store_fault_crash(w->cx, w->store));
    assert_true(is_there(w, MLN_BYTES("synced")));
    assert_false(is_there(w, MLN_BYTES("lost")));
    w->control->forget_unsynced = false;
    assert_int_equal(put_one(w, MLN_BYTES("next"), MLN_BYTES("1")),
                     lost); /* the version is given again */
    kit_ok(w->cx, mln_store_fault_crash(w->cx, w->store));
    assert_true(is_there(w, MLN_BYTES("next")));
}

static void test_tears(void **state)
{
    struct world *w = *state;
    put_one(w, MLN_BYTES("whole"), MLN_BYTES("1"));
    struct mln_write writes[] = {put_of(MLN_BYTES("half1"), MLN_BYTES("x")),
                                 put_of(MLN_BYTES("half2"), MLN_BYTES("x")),
                                 delete_of(MLN_BYTES("whole"))};
    kit_ok(w->cx, commit_writes(w, writes, 3, NULL));
    w->control->tear_last = true;
    kit_ok(w->cx, mln_store_fault_crash(w->cx, w->store));
    w->control->tear_last = false;
    assert_true(is_there(w, MLN_BYTES("whole")));
    assert_false(is_there(w, MLN_BYTES("half1")) || is_there(w, MLN_BYTES("half2")));
    kit_ok(w->cx, mln_store_fault_crash(w->cx, w->store)); /* what was cut stays cut */
    assert_true(is_there(w, MLN_BYTES("whole")));
}

static void test_crash_beside_a_snapshot(void **state)
{
    struct world *w = *state;
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    kit_refused(w->cx, mln_store_fault_crash(w->cx, w->store), MLN_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MLN_CONFORMANCE_TESTS,
        WORLD_TEST(test_fails_on_command),
        WORLD_TEST(test_full),
        WORLD_TEST(test_stalls),
        WORLD_TEST(test_forgets),
        WORLD_TEST(test_tears),
        WORLD_TEST(test_crash_beside_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
