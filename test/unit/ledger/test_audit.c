/* SPDX-License-Identifier: Apache-2.0 */
/* The offline audit: one flipped byte anywhere is found, and named by file and entry. */
#include "ledger_kit.h"

static const char *problem_of(struct lk *k, const struct mln_value *answer, const char *member)
{
    return mln_get_text(k->cx, mln_get(mln_item(mln_get(answer, "problems"), 0), member), "");
}

static void flip(struct lk *k, const char *name, size_t at)
{
    char folder[KIT_PATH_MAX];
    char path[KIT_PATH_MAX];
    kit_path(folder, k->dir, "ledger");
    kit_path(path, folder, name);
    struct mln_bytes content = kit_read_file(k->cx, path);
    assert_true(at < content.len);
    *(uint8_t *)(uintptr_t)(content.ptr + at) ^= 1;
    kit_write_file(path, content);
}

/* 600 entries: two full tiles and a partial one of 88, level 1 of two hashes. */
static void one_flipped_byte_is_named(void **state)
{
    static const struct {
        const char *file;
        size_t at;
        int64_t index; /* -1: none */
    } t[] = {
        {"tile/entries/000", 52 * 3 + 20, 3},
        {"tile/entries/000", 2, 0},
        {"tile/entries/001", 52 * 255 + 51, 511},
        {"tile/entries/002.p/88", 52 * 87 + 2, 599},
        {"tile/entries/002.p/88", 52 * 40 + 30, 552},
        {"tile/entries/001", 52 * 10, 266}, /* the length of an entry: what follows cannot be read */
        {"tile/0/000", 32 * 7 + 5, 7},
        {"tile/0/001", 0, 256},
        {"tile/0/002.p/88", 32 * 87 + 31, 599},
        {"tile/1/000.p/2", 33, 256},
        {"tile/1/000.p/2", 0, 0},
        {"checkpoint", 0, -1},
        {"checkpoint", 25, -1},
    };
    struct lk *k = *state;
    lk_note(k, 599);
    lk_flush(k);
    lk_audit_ok(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        flip(k, t[i].file, t[i].at);
        const struct mln_value *answer = lk_audit(k, MLN_BYTES_NONE);
        assert_false(mln_get_bool(mln_get(answer, "ok"), true));
        assert_string_equal(problem_of(k, answer, "file"), t[i].file);
        assert_int_equal(mln_get_int(mln_get(mln_item(mln_get(answer, "problems"), 0), "index"), -1), t[i].index);
        flip(k, t[i].file, t[i].at);
        lk_audit_ok(k);
    }
}

static void missing_and_cut_files_are_named(void **state)
{
    static const struct {
        const char *file;
        int cut; /* bytes; -1: the file is gone */
    } t[] = {
        {"tile/entries/000", -1}, {"tile/entries/000", 100}, {"tile/0/001", -1},     {"tile/0/001", 64},
        {"tile/1/000.p/2", -1},   {"tile/1/000.p/2", 32},    {"tile/0/002.p/88", 0}, {"tile/entries/002.p/88", -1},
    };
    struct lk *k = *state;
    lk_note(k, 599);
    lk_flush(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char folder[KIT_PATH_MAX];
        char path[KIT_PATH_MAX];
        kit_path(folder, k->dir, "ledger");
        kit_path(path, folder, t[i].file);
        struct mln_bytes content = kit_read_file(k->cx, path);
        if (t[i].cut < 0) {
            assert_int_equal(unlink(path), 0);
        } else {
            kit_write_file(path, mln_bytes_sub(content, 0, (size_t)t[i].cut));
        }
        const struct mln_value *answer = lk_audit(k, MLN_BYTES_NONE);
        assert_false(mln_get_bool(mln_get(answer, "ok"), true));
        assert_string_equal(problem_of(k, answer, "file"), t[i].file);
        kit_write_file(path, content);
        lk_audit_ok(k);
    }
}

static struct mln_bytes old_note(struct lk *k)
{
    struct mln_bytes note;
    bool is_immutable = false;
    kit_ok(k->cx, mln_ledger_file(k->cx, k->ledger, MLN_BYTES("checkpoint"), &note, &is_immutable));
    return note;
}

static void older_checkpoints(void **state)
{
    struct lk *k = *state;
    lk_note(k, 300);
    lk_flush(k);
    struct mln_bytes old = old_note(k);
    lk_note(k, 300);
    lk_flush(k);
    struct mln_bytes now = old_note(k);
    assert_true(mln_get_bool(mln_get(lk_audit(k, old), "ok"), false));
    assert_true(mln_get_bool(mln_get(lk_audit(k, now), "ok"), false));
    /* a rolled back log: the older files under the newer saved checkpoint */
    char folder[KIT_PATH_MAX];
    char path[KIT_PATH_MAX];
    kit_path(folder, k->dir, "ledger");
    kit_path(path, folder, "checkpoint");
    kit_write_file(path, old);
    const struct mln_value *answer = lk_audit(k, now);
    assert_false(mln_get_bool(mln_get(answer, "ok"), true));
    kit_write_file(path, now);
    /* one that was never signed */
    assert_false(mln_get_bool(mln_get(lk_audit(k, MLN_BYTES("nonsense")), "ok"), true));
}

static void another_log_of_the_same_name_is_a_fork(void **state)
{
    struct lk *k = *state;
    struct lk *other = lk_new(false);
    lk_flush(k);
    lk_flush(other);
    const struct mln_value *answer = NULL;
    char folder[KIT_PATH_MAX];
    kit_path(folder, other->dir, "ledger");
    struct mln_tlog_fetch fetch = {.file = mln_tlog_fetch_dir, .arg = folder};
    kit_ok(k->cx, mln_tlog_audit(k->cx, &fetch, mln_bytes_of(lk_status(k).vkey), MLN_BYTES_NONE, &answer));
    assert_false(mln_get_bool(mln_get(answer, "ok"), true));
    void *state_of_other = other;
    lk_teardown(&state_of_other);
}

static void audits_that_cannot_run(void **state)
{
    struct lk *k = *state;
    const struct mln_value *answer = NULL;
    char nowhere[KIT_PATH_MAX];
    char folder[KIT_PATH_MAX];
    struct mln_tlog_fetch fetch = {.file = mln_tlog_fetch_dir, .arg = (void *)(uintptr_t)kit_path(nowhere, k->dir, "nowhere")};
    struct mln_ledger_status s = lk_status(k);
    kit_refused(k->cx, mln_tlog_audit(k->cx, &fetch, mln_bytes_of(s.vkey), MLN_BYTES_NONE, &answer), MLN_E_NOT_FOUND);
    fetch.arg = (void *)(uintptr_t)kit_path(folder, k->dir, "ledger");
    kit_refused(k->cx, mln_tlog_audit(k->cx, &fetch, MLN_BYTES("x+y+z"), MLN_BYTES_NONE, &answer), MLN_E_PARSE);
}

static void pruned_log_passes(void **state)
{
    struct lk *k = *state;
    lk_note(k, 700);
    lk_flush(k);
    struct mln_bytes old = old_note(k);
    kit_ok(k->cx, mln_ledger_prune(k->cx, k->ledger, 650, NULL));
    lk_flush(k);
    lk_audit_ok(k);
    assert_true(mln_get_bool(mln_get(lk_audit(k, old), "ok"), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LK_TEST(one_flipped_byte_is_named), LK_TEST(missing_and_cut_files_are_named),
        LK_TEST(older_checkpoints),         LK_TEST(another_log_of_the_same_name_is_a_fork),
        LK_TEST(audits_that_cannot_run),    LK_TEST(pruned_log_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
