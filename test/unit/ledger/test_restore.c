/* SPDX-License-Identifier: Apache-2.0 */
/* A new log in an old one's place: what its first record says, and that an interruption at any step loses nothing. */
#include "ledger_kit.h"

#include <sys/stat.h>

#include "ledger/restore.h"

#define NEW_ORIGIN LK_ORIGIN "/restored-1"

static struct mln_err restart(struct lk *k, const char *origin)
{
    struct mln_restore r = {.dir = k->dir, .origin = origin};
    return mln_restore(k->cx, k->store, &r);
}

static bool is_there(struct lk *k, const char *name)
{
    char path[KIT_PATH_MAX];
    struct stat st;
    return stat(kit_path(path, k->dir, name), &st) == 0;
}

static const struct mln_value *first_content(struct lk *k)
{
    const struct mln_value *entries = NULL;
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, 0, 1, &entries));
    assert_true(mln_is_text(mln_get(mln_item(entries, 0), "class"), "origin"));
    return mln_get(mln_item(entries, 0), "content");
}

static void no_problems(struct lk *k)
{
    const struct mln_value *problems = NULL;
    kit_ok(k->cx, mln_ledger_verify_store(k->cx, k->ledger, &problems));
    assert_int_equal(mln_len(problems), 0);
}

static void the_first_record_names_the_old_log(void **state)
{
    struct lk *k = *state;
    struct mln_ledger_status old = {0}, now = {0};
    lk_write(k, "root/m/a", "one");
    lk_flush(k);
    mln_ledger_status(k->ledger, &old);
    lk_close(k);
    kit_ok(k->cx, restart(k, NEW_ORIGIN));
    assert_true(is_there(k, "past/1/store.snap"));
    assert_false(is_there(k, "past/1/ledger")); /* until the log opens */
    lk_open(k);
    assert_true(is_there(k, "past/1/ledger/checkpoint"));
    assert_true(is_there(k, "past/1/journal"));
    lk_flush(k);
    lk_audit_ok(k);
    mln_ledger_status(k->ledger, &now);
    assert_string_equal(now.origin, NEW_ORIGIN);
    assert_string_not_equal(now.vkey, old.vkey);
    const struct mln_value *why = mln_get(first_content(k), "restore"), *replaces = mln_get(why, "replaces");
    assert_true(mln_is_text(mln_get(replaces, "origin"), LK_ORIGIN));
    assert_int_equal(mln_get_int(mln_get(replaces, "size"), 0), old.published);
    assert_true(mln_is_text(mln_get(replaces, "vkey"), old.vkey));
    assert_true(mln_is_null(mln_get(why, "snapshot")));
    no_problems(k);
    lk_close(k);
    lk_open(k); /* and it is the log from now on */
    lk_write(k, "root/m/a", "two");
    no_problems(k);
}

static void an_older_copy_goes_on_under_a_new_name(void **state)
{
    struct lk *k = *state;
    lk_write(k, "root/m/a", "one");
    lk_flush(k);
    k->control->forget_unsynced = true;
    lk_write(k, "root/m/b", "two");
    lk_flush(k);
    lk_close(k);
    kit_ok(k->cx, mln_store_fault_crash(k->cx, k->store));
    k->control->forget_unsynced = false;
    kit_refused_with(k->cx, lk_try_open(k), MLN_E_CORRUPT, "merlon operator restore");
    kit_ok(k->cx, restart(k, NEW_ORIGIN));
    lk_open(k);
    no_problems(k);
    lk_audit_ok(k);
}

static void origins_are_checked(void **state)
{
    struct lk *k = *state;
    static const struct {
        const char *name, *origin, *part;
    } rows[] = {
        {"empty", "", "must be a name"},
        {"white space", "a b", "must be a name"},
        {"plus", "a+b", "must be a name"},
        {"control", "a\nb", "must be a name"},
        {"that of before", LK_ORIGIN, "another than the old log's"},
    };
    lk_flush(k);
    lk_close(k);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        kit_expect_at(k->cx, restart(k, rows[i].origin), MLN_E_INVALID, rows[i].part, rows[i].name, __FILE__, __LINE__);
    }
    assert_false(is_there(k, "past/1"));
    kit_ok(k->cx, restart(k, "elsewhere.test/log"));
    kit_refused_with(k->cx, lk_try_open(k), MLN_E_INVALID, "set ledger.origin to it");
}

static void every_interruption_is_taken_up(void **state)
{
    struct lk *k = *state;
    lk_write(k, "root/m/a", "one");
    lk_flush(k);
    lk_close(k);
    for (uint64_t n = 1; n <= 4; n++) { /* nothing happened: nothing is left */
        mln_fault_arm(MLN_FAULT_SYNC, n, false);
        assert_true(mln_failed(restart(k, NEW_ORIGIN)));
        mln_cx_clear(k->cx);
        mln_fault_arm(MLN_FAULT_SYNC, 0, false);
        assert_false(is_there(k, "past/1"));
    }
    lk_open(k);
    lk_close(k);
    kit_ok(k->cx, restart(k, NEW_ORIGIN));
    for (uint64_t n = 1; n < 40; n++) { /* the opening stops at its n-th write */
        mln_fault_arm(MLN_FAULT_WRITE, n, true);
        struct mln_err err = lk_try_open(k);
        mln_fault_arm(MLN_FAULT_WRITE, 0, false);
        mln_cx_clear(k->cx);
        if (!mln_failed(err)) {
            break;
        }
        assert_null(k->ledger);
    }
    if (k->ledger == NULL) {
        lk_open(k);
    }
    assert_true(is_there(k, "past/1/ledger/checkpoint"));
    lk_flush(k);
    lk_audit_ok(k);
    no_problems(k);
}

static void a_log_that_is_not_ours_is_not_overwritten(void **state)
{
    struct lk *k = *state;
    lk_flush(k);
    lk_close(k);
    struct mln_write gone[] = {{.op = MLN_WRITE_DELETE, .key = MLN_BYTES("root/ledger/log")},
                               {.op = MLN_WRITE_DELETE, .key = MLN_BYTES("root/ledger/state")}};
    struct mln_batch batch = {.writes = gone, .n = 2};
    kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
    kit_refused_with(k->cx, lk_try_open(k), MLN_E_CORRUPT, "the store knows of none");
    kit_ok(k->cx, restart(k, NEW_ORIGIN));
    lk_open(k);
}

static void a_damaged_beginning_is_refused(void **state)
{
    struct lk *k = *state;
    static const char *const rows[] = {"", "xx", "\xa0"};
    lk_flush(k);
    lk_close(k);
    kit_ok(k->cx, restart(k, NEW_ORIGIN));
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_write bad = {.op = MLN_WRITE_PUT, .key = MLN_BYTES("root/ledger/restart"), .value = mln_bytes_of(rows[i])};
        struct mln_batch batch = {.writes = &bad, .n = 1};
        kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
        kit_refused_with(k->cx, lk_try_open(k), MLN_E_CORRUPT, "begins a new log");
    }
    assert_true(is_there(k, "ledger/checkpoint"));
}

/* More rows than one record may list. */
static void a_large_store_is_vouched_for(void **state)
{
    struct lk *k = *state;
    static const uint8_t tail[1500] = {0};
    lk_flush(k);
    lk_close(k);
    for (unsigned i = 0; i < 4000; i += 500) {
        static struct mln_write writes[500];
        static uint8_t names[500][sizeof(tail)];
        for (unsigned j = 0; j < 500; j++) {
            mln_fill(names[j], 'x', sizeof(names[j]));
            (void)snprintf((char *)names[j], 40, "root/m/%08u", i + j);
            names[j][15] = '/';
            writes[j] = (struct mln_write){
                .op = MLN_WRITE_PUT, .key = mln_bytes_at(names[j], sizeof(names[j])), .value = MLN_BYTES("v")};
        }
        struct mln_batch batch = {.writes = writes, .n = 500};
        kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
    }
    kit_ok(k->cx, restart(k, NEW_ORIGIN));
    lk_open(k);
    struct mln_ledger_status status = {0};
    mln_ledger_status(k->ledger, &status);
    assert_true(status.size >= 2);
    no_problems(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LK_TEST_LMDB(the_first_record_names_the_old_log), LK_TEST(an_older_copy_goes_on_under_a_new_name),
        LK_TEST(origins_are_checked),                     LK_TEST(every_interruption_is_taken_up),
        LK_TEST(a_log_that_is_not_ours_is_not_overwritten), LK_TEST(a_damaged_beginning_is_refused),
        LK_TEST(a_large_store_is_vouched_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
