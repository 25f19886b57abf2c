/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

static void test_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        const char *name, *klass, *text;
        int http, grpc, exit_code;
    } rows[] = {
        {MLN_E_OK, "OK", "OK", "ok", 200, 0, 0},
        {MLN_E_USAGE, "USAGE", "INPUT", "wrong usage", 400, 3, 2},
        {MLN_E_NOT_FOUND, "NOT_FOUND", "STATE", "not found", 404, 5, 3},
        {MLN_E_SEALED, "SEALED", "STATE", "sealed", 503, 14, 6},
        {MLN_E_INTERRUPTED, "INTERRUPTED", "INTERNAL", "interrupted", 499, 1, 130},
        {MLN_E_COUNT, "INTERNAL", "INTERNAL", "internal error", 500, 13, 1},
        {UINT32_MAX, "INTERNAL", "INTERNAL", "internal error", 500, 13, 1},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_string_equal(mln_err_name(rows[i].code), rows[i].name);
        assert_string_equal(mln_err_class(rows[i].code), rows[i].klass);
        assert_string_equal(mln_err_text(rows[i].code), rows[i].text);
        assert_int_equal(mln_err_http(rows[i].code), rows[i].http);
        assert_int_equal(mln_err_grpc(rows[i].code), rows[i].grpc);
        assert_int_equal(mln_err_exit(rows[i].code), rows[i].exit_code);
    }
}

static void test_every_code_is_usable(void **state)
{
    (void)state;
    for (uint32_t code = 1; code < MLN_E_COUNT; code++) {
        assert_true(strlen(mln_err_name(code)) > 0 && strlen(mln_err_text(code)) > 0);
        assert_in_range(mln_err_http(code), 200, 599);
        assert_in_range(mln_err_grpc(code), 1, 16);
        assert_in_range(mln_err_exit(code), 1, 130);
        for (uint32_t other = 1; other < code; other++) {
            assert_string_not_equal(mln_err_name(code), mln_err_name(other));
        }
    }
}

static void test_first_cause_wins(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    assert_false(mln_failed(mln_cx_err(cx)));
    int line = __LINE__ + 1;
    struct mln_err err = mln_fail(cx, MLN_E_PARSE, "pki: bad serial at byte %d", 7);
    assert_true(mln_is(err, MLN_E_PARSE));
    assert_string_equal(cx->text, "pki: bad serial at byte 7");
    assert_int_equal(cx->line, line);
    assert_non_null(strstr(cx->file, "test_err.c"));
    err = mln_fail(cx, MLN_E_IO, "second");
    assert_true(mln_is(err, MLN_E_PARSE));
    assert_string_equal(cx->text, "pki: bad serial at byte 7");
    err = mln_refail(cx, MLN_E_DENIED, "third");
    assert_true(mln_is(err, MLN_E_DENIED));
    assert_string_equal(cx->text, "third");
    mln_cx_clear(cx);
    assert_false(mln_failed(mln_cx_err(cx)));
    assert_string_equal(cx->text, "");
    assert_non_null(cx->arena);
}

static void test_without_context(void **state)
{
    (void)state;
    assert_true(mln_is(mln_fail(NULL, MLN_E_IO, "x"), MLN_E_IO));
    assert_false(mln_failed(mln_cx_err(NULL)));
    mln_note(NULL, "x");
    mln_cx_clear(NULL);
}

static void test_text_is_one_printable_line(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"plain", "plain"},
        {"a\nb\r\tc", "a\\nb\\r\\tc"},
        {"bell \a esc \033[31m del \177", "bell \\x07 esc \\x1b[31m del \\x7f"},
        {"h\xC3\xA9 \xF0\x9F\x98\x80", "h\xC3\xA9 \xF0\x9F\x98\x80"},
        {"c1 \xC2\x9B", "c1 \\xc2\\x9b"},
        {"bad \xC3( \xFF", "bad \\xc3( \\xff"},
        {"surrogate \xED\xA0\x80", "surrogate \\xed\\xa0\\x80"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        mln_cx_clear(cx);
        (void)mln_fail(cx, MLN_E_PARSE, "%s", rows[i].in);
        assert_string_equal(cx->text, rows[i].want);
    }
}

static void test_long_text_is_cut(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char longer[3000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    (void)mln_fail(cx, MLN_E_PARSE, "%s", longer);
    assert_int_equal(strlen(cx->text), MLN_CX_TEXT_MAX - 1);
    mln_cx_clear(cx);
    /* a character of several bytes is never cut in two */
    memset(longer, 'x', MLN_CX_TEXT_MAX - 2);
    memcpy(longer + MLN_CX_TEXT_MAX - 2, "\xC3\xA9", 3);
    (void)mln_fail(cx, MLN_E_PARSE, "%s", longer);
    assert_int_equal(strlen(cx->text), MLN_CX_TEXT_MAX - 2);
}

static void test_notes_add_up(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    mln_note(cx, "file %s", "a\nb");
    mln_note(cx, "page %d", 3);
    assert_string_equal(cx->note, "file a\\nb; page 3");
    for (int i = 0; i < 200; i++) {
        mln_note(cx, "more and more");
    }
    assert_int_equal(strlen(cx->note), MLN_CX_TEXT_MAX - 1);
}

static struct mln_err tries(struct mln_cx *cx, bool fails, int *ret_after)
{
    MLN_TRY(fails ? mln_fail(cx, MLN_E_LIMIT, "no") : MLN_OK);
    *ret_after = 1;
    return MLN_OK;
}

static void test_try(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    int after = 0;
    kit_ok(cx, tries(cx, false, &after));
    assert_int_equal(after, 1);
    after = 0;
    kit_refused_with(cx, tries(cx, true, &after), MLN_E_LIMIT, "no");
    assert_int_equal(after, 0);
}

static void test_take(void **state)
{
    (void)state;
    int x = 1;
    int *p = &x;
    int *q = mln_take(&p);
    assert_ptr_equal(q, &x);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_every_code_is_usable),
        KIT_TEST(test_first_cause_wins),
        cmocka_unit_test(test_without_context),
        KIT_TEST(test_text_is_one_printable_line),
        KIT_TEST(test_long_text_is_cut),
        KIT_TEST(test_notes_add_up),
        KIT_TEST(test_try),
        cmocka_unit_test(test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
