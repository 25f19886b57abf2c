/* SPDX-License-Identifier: Apache-2.0 */
/* Sequencing under faults: commits that fail, crashes, a full disk, batches without a record, many threads. */
#include "ledger_kit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void a_failed_commit_leaves_nothing(void **state)
{
    struct lk *k = *state;
    uint64_t index = 0;
    lk_flush(k);
    uint64_t size = lk_status(k).size;
    k->control->fail_commit_at = 1;
    kit_refused(k->cx, lk_try_write(k, "root/m/a", "one", false, &index), MLN_E_IO);
    assert_true(index == UINT64_MAX);
    assert_int_equal(lk_status(k).size, size);
    index = lk_write(k, "root/m/a", "two");
    assert_int_equal(index, size);
    lk_flush(k);
    lk_audit_ok(k);
}

static void notes_wait_for_a_store_that_fails(void **state)
{
    struct lk *k = *state;
    k->control->fail_from_then_on = true;
    k->control->fail_commit_at = 1;
    lk_note(k, 10);
    kit_refused(k->cx, mln_ledger_flush(k->cx, k->ledger), MLN_E_IO);
    assert_int_equal(lk_status(k).size, 1);
    k->control->fail_from_then_on = false;
    k->control->fail_commit_at = 0;
    lk_flush(k);
    assert_int_equal(lk_status(k).size, 11);
    lk_audit_ok(k);
}

static void a_crash_replays_the_journal_once(void **state)
{
    struct lk *k = *state;
    lk_note(k, 5);
    lk_flush(k);
    k->control->fail_from_then_on = true;
    k->control->fail_commit_at = 1;
    lk_note(k, 7);
    lk_close(k); /* cannot be sequenced: the journal keeps them */
    k->control->fail_from_then_on = false;
    k->control->fail_commit_at = 0;
    kit_ok(k->cx, mln_store_fault_crash(k->cx, k->store));
    lk_open(k);
    assert_int_equal(lk_status(k).size, 13);
    lk_close(k);
    lk_open(k);
    assert_int_equal(lk_status(k).size, 13);
    lk_audit_ok(k);
}

static void a_store_older_than_the_log_is_refused(void **state)
{
    struct lk *k = *state;
    lk_write(k, "root/m/a", "one");
    lk_flush(k);
    k->control->forget_unsynced = true; /* a disk that lies */
    lk_write(k, "root/m/b", "two");
    lk_flush(k);
    lk_close(k);
    kit_ok(k->cx, mln_store_fault_crash(k->cx, k->store));
    k->control->forget_unsynced = false;
    kit_refused_with(k->cx, lk_try_open(k), MLN_E_CORRUPT, "older copy");
    char folder[KIT_PATH_MAX];
    kit_rmtree(kit_path(folder, k->dir, "ledger")); /* who takes the checkpoint away takes the proof away */
    lk_open(k);
    lk_audit_ok(k);
}

static void another_history_of_that_size_is_refused(void **state)
{
    struct lk *k = *state;
    lk_flush(k);
    k->control->forget_unsynced = true;
    lk_write(k, "root/m/b", "two");
    lk_flush(k);
    char folder[KIT_PATH_MAX];
    char path[KIT_PATH_MAX];
    kit_path(path, kit_path(folder, k->dir, "ledger"), "checkpoint");
    struct mln_bytes note = kit_read_file(k->cx, path);
    lk_close(k);
    kit_ok(k->cx, mln_store_fault_crash(k->cx, k->store));
    k->control->forget_unsynced = false;
    kit_rmtree(folder);
    lk_open(k);
    lk_write(k, "root/m/c", "three");
    lk_close(k);
    kit_write_file(path, note);
    kit_refused_with(k->cx, lk_try_open(k), MLN_E_CORRUPT, "signed");
    kit_rmtree(folder);
    lk_open(k);
}

static void damaged_files_are_built_again(void **state)
{
    static const char *const t[] = {"tile/0/001.p/45", "tile/entries/001.p/45", "tile/1/000.p/1", "checkpoint"};
    struct lk *k = *state;
    lk_note(k, 300);
    lk_close(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char folder[KIT_PATH_MAX];
        char path[KIT_PATH_MAX];
        kit_path(path, kit_path(folder, k->dir, "ledger"), t[i]);
        struct mln_bytes content = mln_bytes_dup(k->cx, kit_read_file(k->cx, path));
        *(uint8_t *)(uintptr_t)(content.ptr + content.len / 2) ^= 4;
        kit_write_file(path, content);
        lk_open(k);
        assert_int_equal(lk_status(k).published, 301);
        lk_audit_ok(k);
        lk_close(k);
    }
}

static void a_full_disk_still_takes_relief(void **state)
{
    struct lk *k = *state;
    uint64_t index = 0;
    lk_write(k, "root/m/a", "one");
    lk_flush(k);
    k->control->is_full = true;
    kit_refused(k->cx, lk_try_write(k, "root/m/b", "two", false, &index), MLN_E_FULL);
    size_t notes = 0;
    struct mln_err err = MLN_OK;
    while (!mln_failed(err) && notes < 100000) {
        err = lk_try_note(k, "secret/data/a");
        notes += mln_failed(err) ? 0 : 1;
        if (notes % 1000 == 999) {
            lk_fresh(k);
        }
    }
    kit_refused(k->cx, err, MLN_E_FULL); /* no record, no answer */
    assert_true(notes > 500);
    for (int i = 0; i < 20; i++) {
        kit_ok(k->cx, lk_try_write(k, "root/m/a", NULL, true, &index)); /* but a revocation works */
    }
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, 1, NULL));
    lk_close(k);
    lk_open(k); /* and so does a start */
    kit_ok(k->cx, lk_try_write(k, "root/m/a", NULL, true, &index));
    k->control->is_full = false;
    lk_flush(k);
    const struct mln_value *list = NULL;
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, 0, 10000, &list));
    size_t reads = 0;
    for (size_t i = 0; i < mln_len(list); i++) {
        reads += mln_is_text(mln_get(mln_item(list, i), "class"), "read");
    }
    assert_int_equal(reads, notes);
    lk_audit_ok(k);
}

static void batches_without_a_record(void **state)
{
    static const struct {
        const char *key;
        uint64_t records;
    } t[] = {
        {"core/keyring/x", 0}, {"core/keyring-count/root", 0}, {"core/seal", 0}, {"core/seal-config", 0},
        {"core/mounts", 1},     {"root/m/x", 1},
    };
    struct lk *k = *state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        uint64_t size = lk_status(k).size;
        struct mln_write write = {.op = MLN_WRITE_PUT, .key = mln_bytes_of(t[i].key), .value = MLN_BYTES("v")};
        struct mln_batch batch = {.writes = &write, .n = 1};
        kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
        assert_int_equal(lk_status(k).size - size, t[i].records);
    }
    kit_ok(k->cx, mln_barrier_rotate(k->cx, k->barrier, MLN_NS_ROOT));
    lk_note(k, 3);
    lk_flush(k);
    const struct mln_value *problems = NULL;
    kit_ok(k->cx, mln_ledger_verify_store(k->cx, k->ledger, &problems));
    assert_int_equal(mln_len(problems), 0);
}

static struct mln_err open_close(struct mln_cx *cx, void *arg)
{
    struct lk *k = arg;
    struct mln_ledger *ledger = NULL;
    struct mln_ledger_config config = {.dir = k->dir, .origin = LK_ORIGIN, .journal_bytes = k->journal_bytes};
    struct mln_err err = mln_ledger_open(cx, k->store, k->barrier, &config, &ledger);
    if (!mln_failed(err)) {
        mln_fault_arm(MLN_FAULT_ALLOC, 0, false);
        mln_fault_arm(MLN_FAULT_READ, 0, false);
        mln_ledger_close(ledger);
    }
    return err;
}

static void opening_fails_clean(void **state)
{
    struct lk *k = *state;
    lk_note(k, 300);
    lk_close(k);
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, open_close, k) > 0);
    assert_true(mln_each_fault_loose(MLN_FAULT_READ, open_close, k) > 0);
    lk_open(k);
    assert_int_equal(lk_status(k).size, 301);
    lk_audit_ok(k);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS  300

static char failure[] = "failed";

static void *work(void *arg)
{
    struct lk *k = arg;
    struct lk mine = *k;
    mine.cx = kit_cx_new();
    for (int i = 0; i < ROUNDS; i++) {
        if (mln_failed(lk_try_note(&mine, "secret/data/a"))) {
            return failure;
        }
        if (i % 10 == 0 && mln_failed(lk_try_write(&mine, "root/m/a", "v", false, NULL))) {
            return failure;
        }
        if (i % 100 == 50 && mln_failed(mln_ledger_flush(mine.cx, mine.ledger))) {
            return failure;
        }
    }
    kit_cx_free(mine.cx);
    return NULL;
}

static void many_threads(void **state)
{
    struct lk *k = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, k), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    lk_flush(k);
    assert_int_equal(lk_status(k).size, 1 + THREADS * (ROUNDS + ROUNDS / 10));
    lk_audit_ok(k);
}

/* ---- kill -9 ---- */

static void stop(struct lk *k)
{
    lk_close(k);
    mln_barrier_free(k->barrier);
    mln_store_close(k->store);
    k->barrier = NULL;
    k->store = NULL;
}

static void start(struct lk *k)
{
    lk_open_lmdb(k);
    kit_ok(k->cx, mln_barrier_new(k->cx, k->store, &k->barrier));
    kit_ok(k->cx, mln_barrier_unseal(k->cx, k->barrier, &k->root));
    lk_open(k);
}

/* Notes and writes for ever; one byte to fd for each that was acknowledged. */
static void run_until_killed(struct lk *k, int fd)
{
    start(k);
    for (int i = 0;; i++) {
        struct mln_err err = i % 5 == 4 ? lk_try_write(k, "root/m/a", "v", false, NULL) : lk_try_note(k, "secret/data/a");
        if (mln_failed(err) || write(fd, "x", 1) != 1) {
            _exit(1);
        }
        if (i % 500 == 499) {
            lk_fresh(k);
        }
    }
}

static void killed_processes_lose_nothing(void **state)
{
    struct lk *k = *state;
    uint64_t acknowledged = 1; /* the origin */
    stop(k);
    for (int round = 0; round < 8; round++) {
        int ends[2];
        char bytes[256];
        ssize_t n = 0;
        size_t wanted = (size_t)(200 + 331 * round);
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            run_until_killed(k, ends[1]);
        }
        close(ends[1]);
        size_t got = 0;
        while ((n = read(ends[0], bytes, sizeof(bytes))) > 0) {
            got += (size_t)n;
            if (got >= wanted) {
                kill(child, SIGKILL);
            }
        }
        close(ends[0]);
        waitpid(child, NULL, 0);
        acknowledged += got;
        start(k);
        lk_flush(k);
        assert_true(lk_status(k).size >= acknowledged && lk_status(k).size <= acknowledged + 1);
        acknowledged = lk_status(k).size; /* one may have been on its way */
        lk_audit_ok(k);
        const struct mln_value *problems = NULL;
        kit_ok(k->cx, mln_ledger_verify_store(k->cx, k->ledger, &problems));
        assert_int_equal(mln_len(problems), 0);
        stop(k);
        lk_fresh(k);
    }
    start(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LK_TEST(a_failed_commit_leaves_nothing),
        LK_TEST(notes_wait_for_a_store_that_fails),
        LK_TEST(a_crash_replays_the_journal_once),
        LK_TEST(a_store_older_than_the_log_is_refused),
        LK_TEST(another_history_of_that_size_is_refused),
        LK_TEST(damaged_files_are_built_again),
        LK_TEST(a_full_disk_still_takes_relief),
        LK_TEST(batches_without_a_record),
        LK_TEST(opening_fails_clean),
        LK_TEST(many_threads),
        LK_TEST_LMDB(many_threads),
        LK_TEST_LMDB(killed_processes_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
