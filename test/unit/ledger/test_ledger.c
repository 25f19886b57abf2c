/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger as its users see it: records of reads and mutations, contents, proofs, public files, opening again. */
#include "ledger_kit.h"

static void new_log_has_an_origin(void **state)
{
    struct lk *k = *state;
    const struct mln_value *list = NULL;
    lk_flush(k);
    assert_int_equal(lk_status(k).size, 1);
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, 0, 10, &list));
    assert_int_equal(mln_len(list), 1);
    assert_true(mln_is_text(mln_get(mln_item(list, 0), "class"), "origin"));
    assert_true(mln_is_text(mln_get(mln_get(mln_item(list, 0), "content"), "origin"), LK_ORIGIN));
    lk_audit_ok(k);
}

static void records_keep_order_and_content(void **state)
{
    struct lk *k = *state;
    const struct mln_value *list = NULL;
    lk_note(k, 3);
    uint64_t index = lk_write(k, "root/m/a", "one");
    assert_true(index >= 1);
    lk_flush(k);
    assert_int_equal(lk_status(k).size, 5);
    kit_ok(k->cx, mln_ledger_read(k->cx, k->ledger, 1, 100, &list));
    assert_int_equal(mln_len(list), 4);
    size_t reads = 0;
    for (size_t i = 0; i < 4; i++) {
        const struct mln_value *row = mln_item(list, i);
        assert_int_equal(mln_get_int(mln_get(row, "index"), -1), i + 1);
        assert_true(mln_is_text(mln_get(mln_get(row, "content"), "actor"), "alice"));
        reads += mln_is_text(mln_get(row, "class"), "read");
    }
    assert_int_equal(reads, 3);
    lk_audit_ok(k);
}

static void sizes_around_tiles(void **state)
{
    static const uint64_t sizes[] = {2, 3, 255, 256, 257, 511, 512, 513, 1000, 3000};
    struct lk *k = *state;
    struct mln_bytes old = MLN_BYTES_NONE;
    struct mln_arena *keep = mln_arena_new(1 << 20, false);
    struct mln_cx keeper;
    mln_cx_init(&keeper, keep);
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        bool is_immutable = true;
        struct mln_bytes note;
        lk_note(k, sizes[i] - lk_status(k).size);
        lk_flush(k);
        assert_int_equal(lk_status(k).published, sizes[i]);
        lk_audit_ok(k);
        if (old.len > 0) {
            assert_true(mln_get_bool(mln_get(lk_audit(k, old), "ok"), false));
        }
        kit_ok(k->cx, mln_ledger_file(k->cx, k->ledger, MLN_BYTES("checkpoint"), &note, &is_immutable));
        assert_false(is_immutable);
        old = mln_bytes_dup(&keeper, note);
        lk_close(k);
        lk_open(k); /* goes on from the files */
        assert_int_equal(lk_status(k).published, sizes[i]);
    }
    mln_arena_free(keep);
}

static void files_over_http(void **state)
{
    static const struct {
        const char *path;
        enum mln_code want;
        size_t len;
    } t[] = {
        {"tile/0/000", MLN_E_OK, 8192},          {"tile/0/000.p/1", MLN_E_OK, 32},       {"tile/0/001.p/44", MLN_E_OK, 44 * 32},
        {"tile/0/001.p/45", MLN_E_NOT_FOUND, 0}, {"tile/0/001", MLN_E_NOT_FOUND, 0},     {"tile/1/000.p/1", MLN_E_OK, 32},
        {"tile/1/000.p/2", MLN_E_NOT_FOUND, 0},  {"tile/entries/000", MLN_E_OK, 52 * 256}, {"tile/entries/000.p/7", MLN_E_OK, 7 * 52},
        {"tile/entries/001.p/3", MLN_E_OK, 156}, {"tile/9/000", MLN_E_NOT_FOUND, 0},     {"tile/63/000.p/1", MLN_E_NOT_FOUND, 0},
        {"tile/0/000.p/0", MLN_E_PARSE, 0},      {"tile/0/../../x", MLN_E_PARSE, 0},     {"../store/data.mdb", MLN_E_NOT_FOUND, 0},
        {"", MLN_E_NOT_FOUND, 0},                {"tile/0/x18446744073709551615", MLN_E_PARSE, 0},
    };
    struct lk *k = *state;
    lk_note(k, 299);
    lk_flush(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes got = MLN_BYTES_NONE;
        bool is_immutable = false;
        kit_expect(k->cx, t[i].path, mln_ledger_file(k->cx, k->ledger, mln_bytes_of(t[i].path), &got, &is_immutable), t[i].want);
        assert_int_equal(got.len, t[i].len);
        assert_true(is_immutable == (t[i].want == MLN_E_OK));
    }
}

static void proofs_stand_alone(void **state)
{
    struct lk *k = *state;
    lk_note(k, 600);
    uint64_t index = lk_write(k, "root/m/a", "one");
    for (uint64_t i = 0; i <= index; i += i < 10 ? 1 : 59) {
        const struct mln_value *p = NULL;
        struct mln_checkpoint c;
        struct mln_hash proof[64];
        struct mln_hash leaf;
        kit_ok(k->cx, mln_ledger_proof(k->cx, k->ledger, i, &p));
        struct mln_bytes entry = mln_get_bytes(mln_get(p, "entry"));
        kit_ok(k->cx, mln_checkpoint_open(k->cx, mln_get_bytes(mln_get(p, "checkpoint")), mln_bytes_of(lk_status(k).vkey), &c));
        for (size_t j = 0; j < mln_len(mln_get(p, "proof")); j++) {
            mln_copy(proof[j].b, mln_get_bytes(mln_item(mln_get(p, "proof"), j)).ptr, 32);
        }
        mln_tlog_leaf(entry, &leaf);
        kit_ok(k->cx, mln_tlog_check_inclusion(k->cx, proof, mln_len(mln_get(p, "proof")), c.size, &c.root, i, &leaf));
        uint8_t commitment[32];
        mln_sha256_2(mln_get_bytes(mln_get(p, "salt")), mln_get_bytes(mln_get(p, "content_cbor")), commitment);
        assert_memory_equal(commitment, entry.ptr + 18, 32);
    }
    const struct mln_value *p = NULL;
    kit_refused(k->cx, mln_ledger_proof(k->cx, k->ledger, 5000, &p), MLN_E_NOT_FOUND);
}

static void origin_is_fixed(void **state)
{
    struct lk *k = *state;
    struct mln_ledger *other = NULL;
    struct mln_ledger_config config = {.dir = k->dir, .origin = "merlon.test/other"};
    lk_close(k);
    kit_refused_with(k->cx, mln_ledger_open(k->cx, k->store, k->barrier, &config, &other), MLN_E_INVALID, LK_ORIGIN);
    config.origin = "with space";
    kit_refused(k->cx, mln_ledger_open(k->cx, k->store, k->barrier, &config, &other), MLN_E_INVALID);
    lk_open(k);
}

static void notes_are_sequenced_by_themselves(void **state)
{
    struct lk *k = *state;
    lk_note(k, 5);
    for (int i = 0; i < 200 && lk_status(k).published < 6; i++) {
        mln_sleep_ns(10000000);
    }
    assert_int_equal(lk_status(k).published, 6);
}

static void digests_are_keyed_and_stable(void **state)
{
    struct lk *k = *state;
    struct mln_value *a = mln_object(k->cx);
    struct mln_value *b = mln_object(k->cx);
    mln_put_int(k->cx, a, "x", 1);
    mln_put_int(k->cx, a, "y", 2);
    mln_put_int(k->cx, b, "y", 2);
    mln_put_int(k->cx, b, "x", 1);
    const char *first = mln_ledger_digest(k->cx, k->ledger, a);
    assert_int_equal(strlen(first), 32);
    assert_string_equal(first, mln_ledger_digest(k->cx, k->ledger, b));
    mln_put_int(k->cx, b, "x", 2);
    assert_string_not_equal(first, mln_ledger_digest(k->cx, k->ledger, b));
    lk_close(k);
    lk_open(k);
    assert_string_equal(first, mln_ledger_digest(k->cx, k->ledger, a));
}

static void too_large_is_refused(void **state)
{
    struct lk *k = *state;
    char *text = test_malloc(2u << 20);
    memset(text, 'a', (2u << 20) - 1);
    text[(2u << 20) - 1] = '\0';
    kit_refused(k->cx, lk_try_note(k, text), MLN_E_TOO_LARGE);
    text[300u << 10] = '\0'; /* fits a record, not this small journal */
    kit_refused(k->cx, lk_try_note(k, text), MLN_E_TOO_LARGE);
    test_free(text);
    lk_note(k, 1);
    lk_flush(k);
    assert_int_equal(lk_status(k).size, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LK_TEST(new_log_has_an_origin),
        LK_TEST(records_keep_order_and_content),
        LK_TEST(sizes_around_tiles),
        LK_TEST_LMDB(sizes_around_tiles),
        LK_TEST(files_over_http),
        LK_TEST(proofs_stand_alone),
        LK_TEST_LMDB(proofs_stand_alone),
        LK_TEST(origin_is_fixed),
        LK_TEST(notes_are_sequenced_by_themselves),
        LK_TEST(digests_are_keyed_and_stable),
        LK_TEST(too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
