/* SPDX-License-Identifier: Apache-2.0 */
/* Base documents that change: each kind of change, patches, clashes with rules, bodies of requests, indentation. */
#include "kit/kit.h"

#include "rego/rego_doc.h"

#include <string.h>

struct fixture {
    struct mln_arena *arena;
    struct mln_cx cx;
};

static int begin(void **state)
{
    static struct fixture f;
    f.arena = mln_arena_new((size_t)16 << 20, false);
    mln_cx_init(&f.cx, f.arena);
    *state = &f;
    return 0;
}

static int end(void **state)
{
    mln_arena_free(((struct fixture *)*state)->arena);
    return 0;
}

static struct mln_rego_path path_of(const char *text, struct mln_bytes names[16])
{
    struct mln_rego_path path = {names, 0};
    struct mln_bytes rest = mln_bytes_of(text);
    while (rest.len > 0) {
        names[path.n++] = mln_bytes_cut(rest, '/', &rest);
    }
    return path;
}

static void assert_data(const struct mln_rego_data *data, const char *want)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    assert_true(mln_rego_data_print(data, (struct mln_rego_path){0}, &buf));
    mln_buf_add_byte(&buf, 0);
    assert_string_equal((const char *)buf.ptr, want);
}

static void test_changes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *old;
        enum mln_rego_change change;
        const char *path, *json, *want; /* want NULL: refused with code */
        enum mln_code code;
    } t[] = {
        {"{}", MLN_REGO_PUT, "", "{\"a\":1}", "{\"a\":1}", 0},
        {"{\"a\":1}", MLN_REGO_PUT, "b/c", "[1]", "{\"a\":1,\"b\":{\"c\":[1]}}", 0},
        {"{\"a\":[1,2]}", MLN_REGO_PUT, "a/0", "5", "{\"a\":[5,2]}", 0},
        {"{\"a\":[1,2]}", MLN_REGO_PUT, "a/-", "5", "{\"a\":[1,2,5]}", 0},
        {"{\"a\":[1,2]}", MLN_REGO_ADD, "a/0", "5", "{\"a\":[5,1,2]}", 0},
        {"{\"a\":[1,2]}", MLN_REGO_ADD, "a/2", "5", "{\"a\":[1,2,5]}", 0},
        {"{\"a\":[1,2]}", MLN_REGO_REPLACE, "a/1", "5", "{\"a\":[1,5]}", 0},
        {"{\"a\":[1,2],\"b\":0}", MLN_REGO_REMOVE, "a/0", "", "{\"a\":[2],\"b\":0}", 0},
        {"{\"a\":[1,2],\"b\":0}", MLN_REGO_REMOVE, "a", "", "{\"b\":0}", 0},
        {"{\"a\":{\"b\":1}}", MLN_REGO_MERGE, "", "{\"a\":{\"c\":2},\"d\":3}", "{\"a\":{\"b\":1,\"c\":2},\"d\":3}", 0},
        {"{\"a\":{\"b\":1}}", MLN_REGO_MERGE, "x/y", "{\"z\":2}", "{\"a\":{\"b\":1},\"x\":{\"y\":{\"z\":2}}}", 0},
        {"{\"a\":1}", MLN_REGO_MERGE, "", "{\"a\":2}", NULL, MLN_E_EXISTS},
        {"{}", MLN_REGO_PUT, "", "[1]", NULL, MLN_E_INVALID},
        {"{}", MLN_REGO_PUT, "", "{", NULL, MLN_E_PARSE},
        {"{}", MLN_REGO_REMOVE, "", "", NULL, MLN_E_INVALID},
        {"{}", MLN_REGO_REMOVE, "a", "", NULL, MLN_E_NOT_FOUND},
        {"{}", MLN_REGO_REPLACE, "a", "1", NULL, MLN_E_NOT_FOUND},
        {"{}", MLN_REGO_ADD, "a/b", "1", NULL, MLN_E_NOT_FOUND},
        {"{\"a\":1}", MLN_REGO_PUT, "a/b", "1", NULL, MLN_E_NOT_FOUND},
        {"{\"a\":[1]}", MLN_REGO_ADD, "a/2", "1", NULL, MLN_E_NOT_FOUND},
        {"{\"a\":[1]}", MLN_REGO_REPLACE, "a/-", "1", NULL, MLN_E_NOT_FOUND},
        {"{\"a\":[1]}", MLN_REGO_REMOVE, "a/x", "", NULL, MLN_E_NOT_FOUND},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *old = NULL, *data = NULL;
        struct mln_bytes names[16];
        mln_cx_clear(&f->cx);
        assert_false(mln_failed(mln_rego_data_load(&f->cx, mln_bytes_of(t[i].old), &old)));
        struct mln_err err = mln_rego_data_change(&f->cx, old, t[i].change, path_of(t[i].path, names),
                                                  mln_bytes_of(t[i].json), &data);
        assert_int_equal(err.code, t[i].code);
        assert_data(old, t[i].old); /* readers of the old snapshot see no change */
        if (t[i].want != NULL) {
            assert_data(data, t[i].want);
        } else {
            assert_null(data);
        }
    }
}

static void test_patches(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *patch, *want;
        enum mln_code code;
    } t[] = {
        {"[]", "{\"a\":{\"x/y\":[1]}}", 0},
        {"[{\"op\":\"add\",\"path\":\"/b\",\"value\":1}]", "{\"a\":{\"b\":1,\"x/y\":[1]}}", 0},
        {"[{\"op\":\"add\",\"path\":\"x~1y/-\",\"value\":null}]", "{\"a\":{\"x/y\":[1,null]}}", 0},
        {"[{\"op\":\"remove\",\"path\":\"/x~1y/0\"},{\"op\":\"add\",\"path\":\"/~0\",\"value\":{}}]",
         "{\"a\":{\"x/y\":[],\"~\":{}}}", 0},
        {"[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/c\"}]", NULL, MLN_E_NOT_FOUND},
        {"[{\"op\":\"add\",\"path\":\"/~2\",\"value\":1}]", NULL, MLN_E_PARSE},
        {"[{\"op\":\"add\",\"path\":\"/b\"}]", NULL, MLN_E_PARSE},
        {"[{\"op\":\"copy\",\"path\":\"/b\",\"from\":\"/a\"}]", NULL, MLN_E_PARSE},
        {"[{\"op\":\"add\",\"path\":1,\"value\":1}]", NULL, MLN_E_PARSE},
        {"[1]", NULL, MLN_E_PARSE},
        {"{}", NULL, MLN_E_PARSE},
        {"[", NULL, MLN_E_PARSE},
    };
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *old = NULL;
    struct mln_bytes names[16];
    assert_false(mln_failed(mln_rego_data_load(&f->cx, MLN_BYTES("{\"a\":{\"x/y\":[1]}}"), &old)));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
        mln_cx_clear(&f->cx);
        struct mln_err err =
            mln_rego_data_patch(&f->cx, old, path_of("a", names), mln_bytes_of(t[i].patch), &data);
        assert_int_equal(err.code, t[i].code);
        assert_data(t[i].want != NULL ? data : old, t[i].want != NULL ? t[i].want : "{\"a\":{\"x/y\":[1]}}");
    }
}

static void test_long_pointer(void **state)
{
    struct fixture *f = *state;
    MLN_AUTO(mln_buf_drop) struct mln_buf patch = {0};
    struct mln_rego_data *data = NULL;
    mln_buf_add_text(&patch, "[{\"op\":\"remove\",\"path\":\"");
    for (size_t i = 0; i <= MLN_REGO_PATH_MAX; i++) {
        mln_buf_add_text(&patch, "/a");
    }
    mln_buf_add_text(&patch, "\"}]");
    struct mln_err err =
        mln_rego_data_patch(&f->cx, NULL, (struct mln_rego_path){0}, mln_buf_bytes(&patch), &data);
    assert_int_equal(err.code, MLN_E_PARSE);
}

static void test_clashes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *data, *clash; /* NULL: none */
    } t[] = {
        {"{}", NULL},
        {"{\"a\":{\"c\":1}}", NULL},
        {"{\"x\":{\"a\":{\"p\":1}}}", NULL},
        {"{\"a\":{\"p\":1}}", "a/p"},
        {"{\"a\":{\"b\":{\"f\":null}}}", "a/b/f"},
        {"{\"a\":{\"b\":7}}", "a/b/f"}, /* a rule cannot stand in what is no object */
    };
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    assert_false(mln_failed(mln_rego_new(&f->cx, NULL, &rego)));
    assert_false(mln_failed(mln_rego_add(rego, &f->cx, "a", MLN_BYTES("package a\n\np := 1\n"))));
    assert_false(mln_failed(mln_rego_add(rego, &f->cx, "b", MLN_BYTES("package a.b\n\nf(x) := x\n"))));
    assert_false(mln_failed(mln_rego_compile(rego, &f->cx)));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf path = {0};
        assert_false(mln_failed(mln_rego_data_load(&f->cx, mln_bytes_of(t[i].data), &data)));
        assert_int_equal(mln_rego_data_conflict(rego, data, &path), t[i].clash != NULL);
        assert_true(mln_bytes_eq(mln_buf_bytes(&path), mln_bytes_of(t[i].clash)));
    }
}

static void test_bodies(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *json, *query;
        bool has_input, is_bad;
    } t[] = {
        {"{}", "", false, false},
        {"{\"input\":null}", "", true, false},
        {"{\"query\":\"x = 1\",\"input\":[1]}", "x = 1", true, false},
        {"{\"query\":1}", "", false, false},
        {"[]", "", false, true},
        {"", "", false, true},
        {"{\"input\":", "", false, true},
    };
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    assert_false(mln_failed(mln_rego_eval_new(&f->cx, &eval)));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes query = {0};
        bool has_input = false;
        mln_cx_clear(&f->cx);
        struct mln_err err = mln_rego_eval_body(eval, &f->cx, mln_bytes_of(t[i].json), &query, &has_input);
        assert_int_equal(mln_failed(err), t[i].is_bad);
        assert_int_equal(has_input, t[i].has_input);
        assert_true(mln_bytes_eq(query, mln_bytes_of(t[i].query)));
    }
}

/* Sizes around the first chunks of a heap: nothing is written behind them (ASan looks). */
static void test_sizes(void **state)
{
    struct fixture *f = *state;
    for (size_t n = 8192; n <= 131072; n += 4096) {
        MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        mln_buf_add_text(&text, "package a\n#");
        while (text.len < n) {
            mln_buf_add_byte(&text, 'x');
        }
        mln_buf_add_text(&text, "\np := 1\n");
        assert_false(mln_failed(mln_rego_new(&f->cx, NULL, &rego)));
        assert_false(mln_failed(mln_rego_add(rego, &f->cx, "a", mln_buf_bytes(&text))));
        assert_false(mln_failed(mln_rego_compile(rego, &f->cx)));
    }
}

static void test_indent(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } t[] = {
        {"1", "1"},
        {"[]", "[]"},
        {"{\"a\":[1,{}],\"b\":\"x{,:\\\"}\"}", "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x{,:\\\"}\"\n}"},
        {"\"no end", "\"no end"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        mln_rego_json_indent(&out, mln_bytes_of(t[i].in), "  ");
        mln_buf_add_byte(&out, 0);
        assert_string_equal((const char *)out.ptr, t[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_changes, begin, end),
        cmocka_unit_test_setup_teardown(test_patches, begin, end),
        cmocka_unit_test_setup_teardown(test_long_pointer, begin, end),
        cmocka_unit_test_setup_teardown(test_clashes, begin, end),
        cmocka_unit_test_setup_teardown(test_bodies, begin, end),
        cmocka_unit_test_setup_teardown(test_sizes, begin, end),
        cmocka_unit_test_setup_teardown(test_indent, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
