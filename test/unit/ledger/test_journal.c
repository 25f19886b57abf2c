/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: what was noted survives the process, once; torn, forged and stale frames do not count; a full one refuses. */
#include "ledger_kit.h"

#include "ledger/ledger_priv.h"

#include <fcntl.h>

#define BYTES ((uint64_t)64 << 10)

struct jk {
    struct mln_cx *cx;
    char dir[KIT_PATH_MAX];
    struct journal *j;
    uint8_t key[32];
};

static int setup(void **state)
{
    struct jk *k = calloc(1, sizeof(*k));
    k->cx = kit_cx_new();
    mln_secret_allow_unlocked(true);
    kit_tmpdir(k->dir);
    mln_fill(k->key, 7, 32);
    kit_ok(k->cx, journal_open(k->cx, k->dir, BYTES, k->key, 0, &k->j));
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct jk *k = *state;
    journal_close(k->j);
    kit_rmtree(k->dir);
    kit_cx_free(k->cx);
    free(k);
    return 0;
}

static struct mln_err try_add(struct jk *k, uint8_t byte, size_t n)
{
    uint8_t body[2048];
    mln_fill(body, byte, n);
    return journal_add(k->cx, k->j, mln_bytes_at(body, n));
}

static void close_it(struct jk *k)
{
    journal_close(k->j);
    k->j = NULL;
}

static void reopen(struct jk *k, uint64_t mark)
{
    close_it(k);
    kit_ok(k->cx, journal_open(k->cx, k->dir, BYTES, k->key, mark, &k->j));
}

/* Takes all; the first bytes of the bodies into `to`; returns the last number. */
static uint64_t take(struct jk *k, uint8_t *to, size_t *ret_n)
{
    size_t at = 0;
    uint64_t number = 0;
    struct mln_bytes body;
    *ret_n = 0;
    while (journal_next(k->j, &at, &number, &body)) {
        to[(*ret_n)++] = body.ptr[0];
    }
    if (*ret_n > 0) {
        journal_done(k->j, at, number);
    }
    return number;
}

static void frames_survive_the_process_once(void **state)
{
    struct jk *k = *state;
    uint8_t got[16];
    size_t n = 0;
    for (uint8_t i = 1; i <= 3; i++) {
        kit_ok(k->cx, try_add(k, i, 100));
    }
    reopen(k, 0);
    assert_false(journal_is_idle(k->j));
    uint64_t mark = take(k, got, &n);
    assert_int_equal(n, 3);
    assert_true(got[0] == 1 && got[1] == 2 && got[2] == 3);
    assert_true(journal_is_idle(k->j));
    reopen(k, mark);
    (void)take(k, got, &n);
    assert_int_equal(n, 0);
    kit_ok(k->cx, try_add(k, 9, 100));
    reopen(k, mark);
    mark = take(k, got, &n);
    assert_true(n == 1 && got[0] == 9);
}

static void not_taken_until_done(void **state)
{
    struct jk *k = *state;
    size_t at = 0;
    uint64_t number = 0;
    struct mln_bytes body;
    uint8_t got[16];
    size_t n = 0;
    kit_ok(k->cx, try_add(k, 1, 100));
    assert_true(journal_next(k->j, &at, &number, &body)); /* a transaction that failed */
    kit_ok(k->cx, try_add(k, 2, 100));
    (void)take(k, got, &n);
    assert_int_equal(n, 1);
    (void)take(k, got, &n);
    assert_true(n == 1 && got[0] == 2);
}

static void damage_ends_the_replay(void **state)
{
    struct jk *k = *state;
    const size_t frame = 12 + 100 + 16;
    char path[KIT_PATH_MAX];
    uint8_t got[16];
    size_t n = 0;
    for (uint8_t i = 1; i <= 4; i++) {
        kit_ok(k->cx, try_add(k, i, 100));
    }
    kit_path(path, k->dir, "0");
    const struct mln_bytes whole = kit_read_file(k->cx, path);
    for (size_t at = 2 * frame; at < 3 * frame; at += 5) {
        struct mln_bytes copy = mln_bytes_dup(k->cx, whole);
        *(uint8_t *)(uintptr_t)(copy.ptr + at) ^= 0x40;
        close_it(k); /* which clears a file that is done with */
        kit_write_file(path, copy);
        reopen(k, 0);
        (void)take(k, got, &n);
        assert_int_equal(n, 2);
    }
    close_it(k);
    kit_write_file(path, whole);
    mln_fill(k->key, 8, 32); /* frames of another key are no frames */
    reopen(k, 0);
    (void)take(k, got, &n);
    assert_int_equal(n, 0);
}

static void files_are_written_in_turn(void **state)
{
    struct jk *k = *state;
    uint8_t got[256];
    size_t n = 0;
    uint64_t mark = 0;
    for (int round = 0; round < 40; round++) {
        for (uint8_t i = 0; i < 20; i++) {
            kit_ok(k->cx, try_add(k, (uint8_t)(round + 1), 500));
        }
        if (round % 3 == 0) {
            reopen(k, mark); /* old frames behind the new ones */
        }
        mark = take(k, got, &n);
        assert_int_equal(n, 20);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(got[i], round + 1);
        }
    }
}

static void full_is_refused_and_ends(void **state)
{
    struct jk *k = *state;
    uint8_t got[256];
    size_t n = 0;
    size_t added = 0;
    journal_failed(k->j); /* nobody waits for a store that fails */
    struct mln_err err = MLN_OK;
    while (!mln_failed(err)) {
        err = try_add(k, 1, 1500);
        added += mln_failed(err) ? 0 : 1;
    }
    kit_refused(k->cx, err, MLN_E_FULL);
    assert_true(added > 2 * (BYTES / 1600) - 4);
    uint64_t mark = take(k, got, &n);
    assert_int_equal(n, added);
    kit_ok(k->cx, try_add(k, 2, 1500));
    reopen(k, mark);
    (void)take(k, got, &n);
    assert_true(n == 1 && got[0] == 2);
}

static void full_at_the_start_waits(void **state)
{
    struct jk *k = *state;
    uint8_t got[256];
    size_t n = 0;
    size_t added = 0;
    journal_failed(k->j);
    while (!mln_failed(try_add(k, 1, 1500))) {
        added++;
    }
    mln_cx_clear(k->cx);
    reopen(k, 0);
    journal_failed(k->j);
    kit_refused(k->cx, try_add(k, 3, 1500), MLN_E_FULL); /* what is there is not written over */
    (void)take(k, got, &n);
    assert_int_equal(n, added);
    kit_ok(k->cx, try_add(k, 4, 1500));
}

static struct mln_err open_again(struct mln_cx *cx, void *arg)
{
    struct jk *k = arg;
    struct journal *j = NULL;
    char dir[KIT_PATH_MAX];
    kit_path(dir, k->dir, "sub");
    struct mln_err err = journal_open(cx, dir, BYTES, k->key, 0, &j);
    if (!mln_failed(err)) {
        uint8_t body[100] = {1};
        err = journal_add(cx, j, mln_bytes_at(body, sizeof(body)));
    }
    if (!mln_failed(err)) {
        err = journal_sync(cx, j);
    }
    journal_close(j);
    if (access(dir, F_OK) == 0) {
        kit_rmtree(dir);
    }
    return err;
}

static void faults_leave_nothing(void **state)
{
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, open_again, *state) > 0);
    assert_true(mln_each_fault(MLN_FAULT_READ, open_again, *state) > 0);
    assert_true(mln_each_fault(MLN_FAULT_WRITE, open_again, *state) > 0);
    assert_true(mln_each_fault(MLN_FAULT_SYNC, open_again, *state) > 0);
}

#define JOURNAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(frames_survive_the_process_once), JOURNAL_TEST(not_taken_until_done),
        JOURNAL_TEST(damage_ends_the_replay),          JOURNAL_TEST(files_are_written_in_turn),
        JOURNAL_TEST(full_is_refused_and_ends),        JOURNAL_TEST(full_at_the_start_waits),
        JOURNAL_TEST(faults_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
