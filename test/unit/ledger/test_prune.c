/* SPDX-License-Identifier: Apache-2.0 */
/* Forgetting, and the store against the records: what was changed behind our back shows, before and after pruning. */
#include "ledger_kit.h"

/* Behind the ledger's back: no sequencer sees it. */
static void tamper(struct lk *k, const char *key, const char *value)
{
    lk_close(k);
    struct mln_write write = {.op = value != NULL ? MLN_WRITE_PUT : MLN_WRITE_DELETE, .key = mln_bytes_of(key),
                              .value = mln_bytes_of(value)};
    struct mln_batch batch = {.writes = &write, .n = 1};
    kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
    lk_open(k);
}

static void expect(struct lk *k, const char *key, const char *problem)
{
    const struct mln_value *list = NULL;
    kit_ok(k->cx, mln_ledger_verify_store(k->cx, k->ledger, &list));
    assert_int_equal(mln_len(list), problem != NULL ? 1 : 0);
    if (problem != NULL) {
        assert_true(mln_is_text(mln_get(mln_item(list, 0), "key"), key));
        assert_true(mln_is_text(mln_get(mln_item(list, 0), "problem"), problem));
    }
}

static void tampering_shows(void **state)
{
    struct lk *k = *state;
    lk_write(k, "root/m/a", "one");
    lk_write(k, "root/m/b", "two");
    lk_write(k, "root/m/c", "three");
    lk_write(k, "root/m/c", NULL);
    expect(k, NULL, NULL);
    tamper(k, "root/m/a", "uno");
    expect(k, "root/m/a", "changed");
    tamper(k, "root/m/a", "one");
    expect(k, NULL, NULL);
    tamper(k, "root/m/b", NULL);
    expect(k, "root/m/b", "missing");
    tamper(k, "root/m/b", "two");
    tamper(k, "root/m/c", "three"); /* a deleted value is back */
    expect(k, "root/m/c", "unrecorded");
    tamper(k, "root/m/c", NULL);
    tamper(k, "core/token/x", "forged");
    expect(k, "core/token/x", "unrecorded");
    tamper(k, "core/token/x", NULL);
    lk_write(k, "root/m/a", "newer");
    tamper(k, "root/m/a", "one"); /* rolled back */
    expect(k, "root/m/a", "changed");
}

static void what_was_before_the_ledger_counts(void **state)
{
    struct lk *k = *state;
    struct mln_store *store = k->store;
    char folder[KIT_PATH_MAX];
    (void)store;
    lk_close(k);
    const char *const gone[] = {"root/ledger/log", "root/ledger/state"};
    for (size_t i = 0; i < 2; i++) { /* a store from before there was a ledger */
        struct mln_write write = {.op = MLN_WRITE_DELETE, .key = mln_bytes_of(gone[i])};
        struct mln_batch batch = {.writes = &write, .n = 1};
        kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
    }
    kit_rmtree(kit_path(folder, k->dir, "ledger"));
    kit_rmtree(kit_path(folder, k->dir, "journal"));
    struct mln_write write = {.op = MLN_WRITE_PUT, .key = MLN_BYTES("root/m/old"), .value = MLN_BYTES("old")};
    struct mln_batch batch = {.writes = &write, .n = 1};
    kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
    lk_open(k);
    expect(k, NULL, NULL);
    tamper(k, "root/m/old", "new");
    expect(k, "root/m/old", "changed");
}

static void pruning_forgets_and_still_verifies(void **state)
{
    struct lk *k = *state;
    const struct mln_value *list = NULL;
    const struct mln_value *proof = NULL;
    for (int i = 0; i < 1200; i++) { /* more than two baseline records */
        char key[32];
        (void)snprintf(key, sizeof(key), "root/m/%04d", i);
        lk_write(k, key, "v");
        if (i % 400 == 399) {
            lk_fresh(k);
        }
    }
    uint64_t before = lk_write(k, "root/m/0001", "w");
    lk_write(k, "root/m/0002", "after"); /* between the baseline's index and the baseline */
    lk_write(k, "root/m/0003", NULL);
    kit_refused(k->cx, mln_ledger_prune(k->cx, k->ledger, 1000000, NULL), MLN_E_INVALID);
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, before, mln_text(k->cx, "alice")));
    assert_int_equal(lk_status(k).pruned, before);
    expect(k, NULL, NULL);
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, before - 2, 5, &list));
    assert_true(mln_is_null(mln_get(mln_item(list, 1), "content")));
    assert_false(mln_is_null(mln_get(mln_item(list, 2), "content")));
    kit_ok(k->cx, mln_ledger_proof(k->cx, k->ledger, 5, &proof));
    assert_true(mln_is_null(mln_get(proof, "salt")));
    tamper(k, "root/m/0500", "x");
    expect(k, "root/m/0500", "changed");
    tamper(k, "root/m/0500", "v");
    tamper(k, "root/m/0003", "v");
    expect(k, "root/m/0003", "unrecorded");
    tamper(k, "root/m/0003", NULL);
    lk_write(k, "root/m/0004", "x");
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, before + 2, NULL)); /* older baseline records are after this index */
    expect(k, NULL, NULL);
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, lk_status(k).size, NULL));
    expect(k, NULL, NULL);
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, 3, NULL)); /* done already */
    lk_close(k);
    lk_open(k);
    expect(k, NULL, NULL);
    tamper(k, "root/m/0500", "x");
    expect(k, "root/m/0500", "changed");
    lk_flush(k);
    lk_audit_ok(k);
}

static void a_row_is_cut_where_pruning_ends(void **state)
{
    struct lk *k = *state;
    const struct mln_value *list = NULL;
    k->control->stall_ns = 30000000; /* so that many notes share a row */
    lk_note(k, 100);
    lk_flush(k);
    k->control->stall_ns = 0;
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, 50, NULL));
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, 40, 30, &list));
    for (size_t i = 0; i < 30; i++) {
        assert_true(mln_is_null(mln_get(mln_item(list, i), "content")) == (i < 10));
    }
    expect(k, NULL, NULL);
}

/* No content of a forgotten record is left in any row. */
static void nothing_is_left(void **state)
{
    struct lk *k = *state;
    lk_note(k, 300);
    lk_flush(k);
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, lk_status(k).size, NULL));
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value = MLN_BYTES_NONE;
    size_t rows = 0;
    kit_ok(k->cx, mln_snap_begin(k->cx, k->store, &snap));
    while (!mln_failed(mln_snap_next(k->cx, snap, MLN_BYTES("root/ledger/c/"), key, &key, &value))) {
        key = mln_bytes_dup(k->cx, key);
        assert_true(mln_get_u64be(value.ptr) >= 301);
        rows++;
    }
    assert_true(rows >= 1);
}

static void a_prune_that_fails_changes_nothing(void **state)
{
    struct lk *k = *state;
    lk_write(k, "root/m/a", "one");
    lk_note(k, 50);
    lk_flush(k);
    for (uint64_t at = 1; at <= 2; at++) { /* the baseline, the decision */
        k->control->fail_commit_at = at;
        kit_refused(k->cx, mln_ledger_prune(k->cx, k->ledger, 40, NULL), MLN_E_IO);
        assert_int_equal(lk_status(k).pruned, 0);
        expect(k, NULL, NULL);
    }
    k->control->fail_commit_at = 3; /* decided, not yet swept: the next start does it */
    kit_refused(k->cx, mln_ledger_prune(k->cx, k->ledger, 40, NULL), MLN_E_IO);
    assert_int_equal(lk_status(k).pruned, 40);
    expect(k, NULL, NULL);
    lk_close(k);
    lk_open(k);
    expect(k, NULL, NULL);
    lk_flush(k);
    lk_audit_ok(k);
}

static void damaged_rows_are_named(void **state)
{
    struct lk *k = *state;
    const struct mln_value *list = NULL;
    lk_write(k, "root/m/a", "one");
    lk_flush(k);
    uint8_t key[32];
    const char *const prefixes[] = {"root/ledger/c/", "root/ledger/e/"};
    for (size_t i = 0; i < 2; i++) {
        struct mln_bytes value = MLN_BYTES_NONE;
        uint64_t version = 0;
        size_t n = strlen(prefixes[i]);
        mln_copy(key, prefixes[i], n);
        mln_put_u64be(key + n, 1);
        struct mln_snap *snap = NULL;
        kit_ok(k->cx, mln_snap_begin(k->cx, k->store, &snap));
        kit_ok(k->cx, mln_snap_get(k->cx, snap, mln_bytes_at(key, n + 8), &value, &version));
        struct mln_bytes good = mln_bytes_dup(k->cx, value);
        mln_snap_end(snap);
        struct mln_bytes bad = mln_bytes_dup(k->cx, good);
        *(uint8_t *)(uintptr_t)(bad.ptr + good.len - 5) ^= 1;
        struct mln_write write = {.op = MLN_WRITE_PUT, .key = mln_bytes_at(key, n + 8), .value = bad};
        struct mln_batch batch = {.writes = &write, .n = 1};
        kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
        kit_refused(k->cx, mln_ledger_verify_store(k->cx, k->ledger, &list), MLN_E_CORRUPT);
        write.value = good;
        kit_ok(k->cx, mln_store_commit(k->cx, k->store, &batch));
        expect(k, NULL, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LK_TEST(tampering_shows),
        LK_TEST_LMDB(tampering_shows),
        LK_TEST(what_was_before_the_ledger_counts),
        LK_TEST(pruning_forgets_and_still_verifies),
        LK_TEST_LMDB(pruning_forgets_and_still_verifies),
        LK_TEST(a_row_is_cut_where_pruning_ends),
        LK_TEST(nothing_is_left),
        LK_TEST(a_prune_that_fails_changes_nothing),
        LK_TEST(damaged_rows_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
