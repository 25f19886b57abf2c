/* SPDX-License-Identifier: Apache-2.0 */
/* The door: errors, budgets, hostile modules and data, sharing between evaluations. */
#include "kit/kit.h"

#include "rego/rego.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct mln_arena *arena;
    struct mln_cx cx;
    struct mln_rego *rego;
    struct mln_rego_query *query;
    struct mln_rego_eval *eval;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.arena = mln_arena_new((size_t)64 << 20, false)};
    mln_cx_init(&f->cx, f->arena);
    assert_false(mln_failed(mln_rego_eval_new(&f->cx, &f->eval)));
}

static void end(struct fixture *f)
{
    mln_rego_eval_drop(&f->eval);
    mln_rego_query_drop(&f->query);
    mln_rego_drop(&f->rego);
    mln_arena_free(f->arena);
}

static bool compile(struct fixture *f, struct mln_bytes text)
{
    mln_cx_clear(&f->cx);
    mln_rego_drop(&f->rego);
    assert_false(mln_failed(mln_rego_new(&f->cx, NULL, &f->rego)));
    bool ok = !mln_failed(mln_rego_add(f->rego, &f->cx, "a.rego", text));
    ok = !mln_failed(mln_rego_compile(f->rego, &f->cx)) && ok;
    assert_int_equal(ok, mln_rego_error_count(f->rego) == 0);
    return ok;
}

static struct mln_err ask(struct fixture *f, const char *query,
                          const struct mln_rego_run_options *options)
{
    mln_cx_clear(&f->cx);
    mln_rego_query_drop(&f->query);
    MLN_TRY(mln_rego_prepare(f->rego, &f->cx, mln_bytes_of(query), NULL, &f->query));
    return mln_rego_run(f->eval, &f->cx, f->query, NULL, options);
}

static void assert_answer(struct fixture *f, const char *want)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_rego_rows_print(f->eval, &buf);
    assert_int_equal(buf.len, strlen(want));
    assert_memory_equal(buf.ptr, want, buf.len);
}

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *query, *want; /* NULL: refused when it is prepared */
    } t[] = {
        {"x := 1 + 1", "[{\"x\":2}]"},
        {"some x in [2, 1]", "[{\"x\":2},{\"x\":1}]"},
        {"data.a.p", "[{}]"},
        {"data.a.none", "[]"},
        {"x = data.a", "[{\"x\":{\"p\":{\"k\":[1,2]}}}]"},
        {"data.a.p.k[i] = 2", "[{\"i\":1}]"},
        {"1 == 2", "[]"},
        {"x", NULL},
        {"", NULL},
        {"x := ", NULL},
        {"data.a.p(1)", NULL},
        {"nope(1)", NULL},
    };
    struct fixture f;
    begin(&f);
    assert_true(compile(&f, MLN_BYTES("package a\n\np := {\"k\": [1, 2]}\n")));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_err err = ask(&f, t[i].query, NULL);
        assert_int_equal(mln_failed(err), t[i].want == NULL);
        if (t[i].want != NULL) {
            assert_answer(&f, t[i].want);
        } else {
            assert_true(mln_rego_query_error_count(f.query) > 0);
        }
    }
    end(&f);
}

static void test_parse_refused(void **state)
{
    (void)state;
    static const char *const t[] = {
        "",
        "p := 1",
        "package a.\n",
        "package a\np :=",
        "package a\np := {",
        "package a\np := [1,,2]",
        "package a\np := \"x",
        "package a\np := `x",
        "package a\np := $\"{\"",
        "package a\np := $\"{}\"",
        "package a\np := 01",
        "package a\np := 1e",
        "package a\np := 1x",
        "package a\np := \"\\q\"",
        "package a\np if {}",
        "package a\np if { some }",
        "package a\np if every x in [1] { }",
        "package a\nimport nothing\n",
        "package a\nimport data.\n",
        "package a\np := 1 with",
        "package a\ndefault p\n",
        "package a\np contains 1 else := 2",
        "package a\n\xff\xfe := 1",
        "package a\np := \"\xff\"",
        "package a\np := @",
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_false(compile(&f, mln_bytes_of(t[i])));
        assert_string_equal(mln_rego_error_at(f.rego, 0)->code, "rego_parse_error");
        assert_string_equal(mln_rego_error_at(f.rego, 0)->file, "a.rego");
        assert_true(mln_rego_error_at(f.rego, 0)->row >= 1);
    }
    end(&f);
}

/* n times `open`, `middle`, n times `close` */
static struct mln_bytes nested(struct fixture *f, size_t n, const char *open, const char *middle,
                               const char *close)
{
    struct mln_buf buf = {0};
    mln_buf_add_text(&buf, "package a\n\np := ");
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(&buf, open);
    }
    mln_buf_add_text(&buf, middle);
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(&buf, close);
    }
    struct mln_bytes text = mln_bytes_dup(&f->cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return text;
}

static void test_nesting(void **state)
{
    (void)state;
    static const struct {
        const char *open, *middle, *close;
        size_t n;
        bool want;
    } t[] = {
        {"[", "1", "]", 50, true},           {"[", "1", "]", 100000, false},
        {"{", "1", "}", 100000, false},      {"(", "1", ")", 100000, false},
        {"{\"a\":", "1", "}", 50, true},     {"{\"a\":", "1", "}", 50000, false},
        {"abs(", "1", ")", 50000, false},    {"[x|x:=", "1", "]", 50000, false},
        {"[1|", "true", "]", 100, false},    {"1 + ", "1", "", 500, true},
        {"1 + ", "1", "", 100000, false},    {"a[", "1", "]", 50000, false},
        {"$\"{", "1", "}\"", 50000, false},  {"[a | ", "a", "]", 150, false},
        {"", "1", " in [1]", 100000, false},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_int_equal(compile(&f, nested(&f, t[i].n, t[i].open, t[i].middle, t[i].close)),
                         t[i].want);
    }
    end(&f);
}

static void test_budgets(void **state)
{
    (void)state;
    static const struct {
        const char *module;
        struct mln_rego_budget budget;
        bool want;
    } t[] = {
        {"p := count([x | x := numbers.range(1, 1000)[_]])", {.steps_max = 100000}, true},
        {"p := count([x | x := numbers.range(1, 100000)[_]])", {.steps_max = 1000}, false},
        {"p := count([x | some a in numbers.range(1, 5000); some b in numbers.range(1, 5000); x := "
         "a + b])",
         {.time_ns = 30000000},
         false},
        {"p := numbers.range(1, 100000000)", {.memory_max = (size_t)4 << 20}, false},
        {"p := count({[a, b] | some a in numbers.range(1, 1000); some b in numbers.range(1, "
         "1000)})",
         {.memory_max = (size_t)8 << 20},
         false},
        {"p := count(sprintf(\"%9999d%9999d%9999d\", [1, 2, 3]))",
         {.memory_max = (size_t)8 << 20},
         true},
        {"p := concat(\"\", [s | s := sprintf(\"%9999d\", [numbers.range(1, 100000)[_]])])",
         {.memory_max = (size_t)16 << 20},
         false},
        {"p := count({x | walk(numbers.range(1, 100000), [x, _])})", {.steps_max = 2000}, false},
        {"p := strings.render_template(`{{range 9000000000000000000}}{{end}}`, {})",
         {.steps_max = 100000},
         false},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *text = mln_text_format(&f.cx, "package a\n\n%s\n", t[i].module);
        assert_true(compile(&f, mln_bytes_of(text)));
        struct mln_rego_run_options options = {.budget = t[i].budget};
        struct mln_err err = ask(&f, "x = data.a.p", &options);
        assert_int_equal(mln_failed(err), !t[i].want);
        if (!t[i].want) {
            assert_true(mln_is(err, MLN_E_TIMEOUT));
            assert_string_equal(mln_rego_eval_error(f.eval)->code, "eval_cancel_error");
            assert_int_equal(mln_rego_rows(f.eval), 0);
        }
    }
    end(&f);
}

/* a_n holds a_n-1 twice: as a tree it would have 2^200 leaves, as a chain it would be thousands deep. */
static void test_bombs(void **state)
{
    (void)state;
    static const struct {
        const char *open, *middle, *close;
        unsigned n;
    } t[] = {
        {"[", ", ", "]", 200},
        {"{\"x\": ", ", \"y\": ", "}", 200},
        {"{1, ", ", [", "]}", 200},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_buf buf = {0};
        mln_buf_add_text(&buf, "package a\n\na0 := 1\n");
        for (unsigned k = 1; k < t[i].n; k++) {
            char line[64];
            (void)snprintf(line, sizeof(line), "a%u := %sa%u%sa%u%s\n", k, t[i].open, k - 1,
                           t[i].middle, k - 1, t[i].close);
            mln_buf_add_text(&buf, line);
        }
        assert_true(compile(&f, mln_buf_bytes(&buf)));
        mln_buf_drop(&buf);
        char query[64];
        (void)snprintf(query, sizeof(query), "x = {data.a.a%u}", t[i].n - 1);
        assert_true(mln_is(ask(&f, query, NULL), MLN_E_TIMEOUT));
    }
    end(&f);
}

static void test_stop(void **state)
{
    (void)state;
    static const volatile bool stop = true;
    struct fixture f;
    begin(&f);
    assert_true(compile(
        &f, MLN_BYTES("package a\n\np := count([x | some x in numbers.range(1, 10000)])\n")));
    struct mln_rego_run_options options = {.stop = &stop};
    assert_true(mln_is(ask(&f, "x = data.a.p", &options), MLN_E_TIMEOUT));
    assert_false(mln_failed(ask(&f, "x = data.a.p", NULL))); /* the next run is as new */
    assert_answer(&f, "[{\"x\":10000}]");
    end(&f);
}

static void test_data_and_input(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool want;
    } t[] = {
        {"{\"k\": [1, 2.5, true, null, \"x\"]}", true},
        {"{\"k\": 1, \"k\": 2}", true},
        {"[]", true},
        {" 1 ", true},
        {"", false},
        {"{", false},
        {"{\"a\" 1}", false},
        {"[1,]", false},
        {"01", false},
        {"1 2", false},
        {"nul", false},
        {"\"\\x\"", false},
        {"\"\x01\"", false},
        {"\"\xff\"", false},
        {"1e", false},
        {"-", false},
        {"{1: 2}", false},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_rego_data *data = NULL;
        mln_cx_clear(&f.cx);
        assert_int_equal(!mln_failed(mln_rego_data_load(&f.cx, mln_bytes_of(t[i].json), &data)),
                         t[i].want);
        assert_int_equal(!mln_failed(mln_rego_eval_input(f.eval, &f.cx, mln_bytes_of(t[i].json))),
                         t[i].want);
        mln_rego_data_drop(&data);
    }
    assert_false(mln_failed(mln_rego_eval_input_term(f.eval, &f.cx, MLN_BYTES("{1, set()}"))));
    assert_true(mln_failed(mln_rego_eval_input_term(f.eval, &f.cx, MLN_BYTES("x"))));
    assert_true(mln_failed(mln_rego_eval_input_term(f.eval, &f.cx, MLN_BYTES("{1} {2}"))));
    end(&f);
}

static void test_deep_json(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct mln_buf buf = {0};
    for (size_t i = 0; i < 1000000; i++) {
        mln_buf_add_byte(&buf, '[');
    }
    assert_true(mln_failed(mln_rego_eval_input(f.eval, &f.cx, mln_buf_bytes(&buf))));
    assert_non_null(strstr(f.cx.text, "nested too deep"));
    mln_buf_drop(&buf);
    end(&f);
}

static void test_strict(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(compile(&f, MLN_BYTES("package a\n\np := 1 / input.n\n")));
    assert_false(mln_failed(mln_rego_eval_input(f.eval, &f.cx, MLN_BYTES("{\"n\": 0}"))));
    assert_false(mln_failed(ask(&f, "x = data.a.p", NULL)));
    assert_answer(&f, "[]");
    struct mln_rego_run_options options = {.is_strict = true};
    assert_true(mln_is(ask(&f, "x = data.a.p", &options), MLN_E_INVALID));
    assert_string_equal(mln_rego_eval_error(f.eval)->code, "eval_builtin_error");
    assert_int_equal(mln_rego_eval_error(f.eval)->row, 3);
    end(&f);
}

static void test_snapshots(void **state)
{
    (void)state;
    static const struct {
        const char *path[3], *json, *want; /* json NULL: remove; want NULL: refused */
    } t[] = {
        {{"a"}, "2", "[{\"x\":{\"a\":2,\"b\":{\"c\":[1]},\"pkg\":{}}}]"},
        {{"b", "d"},
         "{\"e\":1}",
         "[{\"x\":{\"a\":2,\"b\":{\"c\":[1],\"d\":{\"e\":1}},\"pkg\":{}}}]"},
        {{"b", "c"}, NULL, "[{\"x\":{\"a\":2,\"b\":{\"d\":{\"e\":1}},\"pkg\":{}}}]"},
        {{"b", "none"}, NULL, NULL},
        {{"a", "x"}, "1", NULL},
        {{"a"}, "[", NULL},
        {{NULL}, "{}", "[{\"x\":{\"pkg\":{}}}]"},
    };
    struct fixture f;
    struct mln_rego_data *data = NULL, *old = NULL;
    begin(&f);
    assert_true(compile(&f, MLN_BYTES("package pkg\n")));
    assert_false(
        mln_failed(mln_rego_data_load(&f.cx, MLN_BYTES("{\"a\":1,\"b\":{\"c\":[1]}}"), &data)));
    for (size_t i = 0; i < MLN_COUNT(t) * 20; i++) { /* often enough that a whole copy is made */
        size_t k = i % MLN_COUNT(t);
        struct mln_value *path = mln_array(&f.cx);
        for (size_t n = 0; n < 3 && t[k].path[n] != NULL; n++) {
            mln_push_text(&f.cx, path, t[k].path[n]);
        }
        if (k == 0 && i > 0) {
            mln_rego_data_drop(&data);
            assert_false(mln_failed(
                mln_rego_data_load(&f.cx, MLN_BYTES("{\"a\":1,\"b\":{\"c\":[1]}}"), &data)));
        }
        old = data;
        mln_cx_clear(&f.cx);
        struct mln_bytes json = t[k].json == NULL ? MLN_BYTES_NONE : mln_bytes_of(t[k].json);
        struct mln_err err = mln_rego_data_put(&f.cx, old, path, json, &data);
        assert_int_equal(mln_failed(err), t[k].want == NULL);
        if (t[k].want != NULL) {
            mln_rego_data_free(old); /* what is shared lives on */
            mln_rego_query_drop(&f.query);
            assert_false(
                mln_failed(mln_rego_prepare(f.rego, &f.cx, MLN_BYTES("x = data"), NULL, &f.query)));
            assert_false(mln_failed(mln_rego_run(f.eval, &f.cx, f.query, data, NULL)));
            MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
            mln_rego_rows_print(f.eval, &buf);
            assert_true(mln_bytes_is(mln_buf_bytes(&buf), t[k].want));
        }
    }
    mln_rego_data_drop(&data);
    end(&f);
}

static void keep_print(void *with, const char *file, uint32_t row, const char *text)
{
    char *to = with;
    (void)snprintf(to, 200, "%s:%u: %s", file, row, text);
}

static void test_print_and_rules(void **state)
{
    (void)state;
    char said[200] = "";
    struct fixture f;
    struct mln_rego_rule rule;
    begin(&f);
    assert_true(compile(
        &f,
        MLN_BYTES("package a\n\ntest_p if {\n\tprint(\"v\", [1], input.none)\n}\n\nf(x) := x\n")));
    struct mln_rego_run_options options = {.print = keep_print, .print_with = said};
    assert_false(mln_failed(ask(&f, "data.a.test_p", &options)));
    assert_string_equal(said, "a.rego:4: v [1] <undefined>");
    assert_int_equal(mln_rego_rule_count(f.rego), 2);
    assert_true(mln_rego_rule_at(f.rego, 0, &rule));
    assert_string_equal(rule.path, "data.a.test_p");
    assert_int_equal(rule.row, 3);
    assert_int_equal(rule.end_row, 5);
    assert_true(mln_rego_rule_at(f.rego, 1, &rule) && rule.is_function);
    assert_false(mln_rego_rule_at(f.rego, 2, &rule));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_parse_refused),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_data_and_input),
        cmocka_unit_test(test_deep_json),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_print_and_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
