/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance cases, one JSON object a line: this project's own, and OPA's where they lie beside the tree
 * (../shared/rego/cases.jsonl, or the file that MLN_REGO_CASES names). MLN_REGO_FAILURES=1 lists what fails,
 * MLN_REGO_ONLY=TEXT runs the cases whose note or category has the text.
 */
#include "kit/kit.h"

#include "base/io.h"
#include "base/json.h"
#include "rego/rego.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX ((size_t)512 << 20)

struct run {
    struct mln_cx *cx;
    const struct mln_value *c;
    struct mln_rego *rego;
    struct mln_rego_query *query;
    struct mln_rego_data *data;
    struct mln_rego_eval *eval;
    char code[64], message[2048]; /* of the first error */
};

struct tally {
    unsigned passed, failed, skipped;
};

static void keep_error(struct run *r, const struct mln_rego_error *e)
{
    if (e != NULL && r->code[0] == '\0') {
        (void)snprintf(r->code, sizeof(r->code), "%s", e->code);
        (void)snprintf(r->message, sizeof(r->message), "%s:%u: %s: %s",
                       e->file == NULL ? "" : e->file, e->row, e->code, e->message);
    }
}

static bool has(const struct run *r, const char *key)
{
    return mln_get(r->c, key) != NULL && !mln_is_null(mln_get(r->c, key));
}

static bool load_policy(struct run *r)
{
    struct mln_rego_options options = {
        .version = mln_is_text(mln_get(r->c, "rego"), "v0") ? MLN_REGO_V0 : MLN_REGO_V1};
    if (mln_failed(mln_rego_new(r->cx, &options, &r->rego))) {
        return false;
    }
    const struct mln_value *modules = mln_get(r->c, "modules");
    bool ok = true;
    for (size_t i = 0; i < mln_len(modules); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "test-%zu.rego", i);
        ok = !mln_failed(mln_rego_add(r->rego, r->cx, name, mln_get_bytes(mln_item(modules, i)))) &&
             ok;
    }
    ok = ok && !mln_failed(mln_rego_compile(r->rego, r->cx));
    keep_error(r, mln_rego_error_at(r->rego, 0));
    return ok;
}

static bool load_data(struct run *r)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    bool ok = true;
    if (has(r, "data")) {
        mln_json_print(&json, mln_get(r->c, "data"), MLN_JSON_COMPACT);
        ok = !mln_failed(mln_rego_data_load(r->cx, mln_buf_bytes(&json), &r->data));
    }
    mln_buf_clear(&json);
    if (ok && has(r, "input_term")) {
        ok = !mln_failed(
            mln_rego_eval_input_term(r->eval, r->cx, mln_get_bytes(mln_get(r->c, "input_term"))));
    } else if (ok && mln_get(r->c, "input") != NULL) {
        mln_json_print(&json, mln_get(r->c, "input"), MLN_JSON_COMPACT);
        ok = !mln_failed(mln_rego_eval_input(r->eval, r->cx, mln_buf_bytes(&json)));
    }
    return ok;
}

static bool evaluate(struct run *r)
{
    if (!load_policy(r) || mln_failed(mln_rego_eval_new(r->cx, &r->eval)) || !load_data(r)) {
        return false;
    }
    bool ok = !mln_failed(
        mln_rego_prepare(r->rego, r->cx, mln_get_bytes(mln_get(r->c, "query")), NULL, &r->query));
    if (!ok) {
        keep_error(r, r->query == NULL ? NULL : mln_rego_query_error_at(r->query, 0));
        return false;
    }
    struct mln_rego_run_options options = {
        .is_strict = mln_get_bool(mln_get(r->c, "strict_error"), false),
        .budget = {.steps_max = 50000000, .memory_max = MEMORY_MAX, .time_ns = 20000000000}};
    ok = !mln_failed(mln_rego_run(r->eval, r->cx, r->query, r->data, &options));
    keep_error(r, mln_rego_eval_error(r->eval));
    return ok;
}

/* ---- judging ---- */
static struct mln_value *canon(struct mln_cx *cx, const struct mln_value *v, bool sorted)
{
    if (mln_type_of(v) == MLN_OBJECT) {
        struct mln_value *out = mln_object(cx);
        for (size_t i = 0; i < mln_len(v); i++) {
            mln_put_key(cx, out, mln_member_at(v, i)->key,
                        canon(cx, &mln_member_at(v, i)->value, sorted));
        }
        return out;
    }
    if (mln_type_of(v) != MLN_ARRAY) {
        return mln_value_dup(cx, v);
    }
    struct mln_value *out = sorted ? mln_set(cx) : mln_array(cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        mln_push(cx, out, canon(cx, mln_item(v, i), sorted));
    }
    return out;
}

static const struct mln_value *rows_of(struct mln_cx *cx, const struct mln_value *rows, bool sorted)
{
    struct mln_value *out = mln_set(cx);
    for (size_t i = 0; i < mln_len(rows); i++) {
        mln_push(cx, out, canon(cx, mln_item(rows, i), sorted));
    }
    return out;
}

static const char *judge_answer(struct run *r)
{
    const struct mln_value *got = NULL, *want = mln_get(r->c, "want_result");
    struct mln_buf json = {0};
    mln_rego_rows_print(r->eval, &json);
    struct mln_bytes text = mln_bytes_dup(r->cx, mln_buf_bytes(&json));
    mln_buf_drop(&json);
    if (want == NULL || mln_type_of(want) != MLN_ARRAY) {
        bool defined = mln_get_bool(mln_get(r->c, "want_defined"), mln_rego_rows(r->eval) > 0);
        return want != NULL && mln_rego_rows(r->eval) > 0 ? "wanted nothing"
               : defined == (mln_rego_rows(r->eval) > 0)  ? NULL
                                                          : "wanted defined or not";
    }
    if (mln_failed(mln_json_parse(r->cx, text, &got))) {
        return "answer is no JSON";
    }
    bool sorted = mln_get_bool(mln_get(r->c, "sort_bindings"), false);
    if (mln_value_eq(rows_of(r->cx, got, sorted), rows_of(r->cx, want, sorted))) {
        return NULL;
    }
    return mln_text_format(r->cx, "got %.*s", MLN_FMT(text));
}

static const char *judge(struct run *r, bool ok)
{
    const char *code = mln_get_text(r->cx, mln_get(r->c, "want_error_code"), NULL);
    const char *text = mln_get_text(r->cx, mln_get(r->c, "want_error"), NULL);
    if (code == NULL && text == NULL) {
        return ok ? judge_answer(r)
                  : mln_text_format(r->cx, "error %s",
                                    r->message[0] != '\0' ? r->message : r->cx->text);
    }
    if (ok) {
        return "wanted an error";
    }
    bool right = (code == NULL || strcmp(code, r->code) == 0) &&
                 (text == NULL || strstr(r->message, text) != NULL);
    return right ? NULL
                 : mln_text_format(r->cx, "wanted error %s %s, got %s", code == NULL ? "" : code,
                                   text == NULL ? "" : text, r->message);
}

static const char *run_case(struct mln_cx *cx, const struct mln_value *c)
{
    struct run r = {.cx = cx, .c = c};
    mln_cx_clear(cx);
    bool ok = evaluate(&r);
    char said[MLN_CX_TEXT_MAX];
    (void)snprintf(said, sizeof(said), "%s", cx->text);
    mln_cx_clear(cx);
    if (r.message[0] == '\0') {
        (void)snprintf(r.message, sizeof(r.message), "%s", said);
    }
    const char *why = judge(&r, ok);
    mln_rego_eval_drop(&r.eval);
    mln_rego_query_drop(&r.query);
    mln_rego_data_drop(&r.data);
    mln_rego_drop(&r.rego);
    return why;
}

/* ---- files ---- */
static bool is_skipped(const struct mln_value *c)
{
    const struct mln_value *modules = mln_get(c, "modules");
    for (size_t i = 0; i < mln_len(modules); i++) {
        struct mln_bytes text = mln_get_bytes(mln_item(modules, i));
        if (mln_bytes_find_bytes(text, MLN_BYTES("test.sleep(")) < text.len) {
            return true; /* a builtin of OPA's own harness */
        }
    }
    return mln_len(mln_get(c, "env")) > 0;
}

static bool is_wanted(struct mln_cx *cx, const struct mln_value *c)
{
    const char *only = getenv("MLN_REGO_ONLY");
    if (only == NULL) {
        return true;
    }
    return strstr(mln_get_text(cx, mln_get(c, "note"), ""), only) != NULL ||
           strstr(mln_get_text(cx, mln_get(c, "category"), ""), only) != NULL;
}

static void run_line(struct mln_arena *arena, struct mln_bytes line, struct tally tally[2])
{
    struct mln_cx cx;
    const struct mln_value *c = NULL;
    mln_arena_reset(arena);
    mln_cx_init(&cx, arena);
    assert_false(mln_failed(mln_json_parse(&cx, line, &c)));
    struct tally *t = &tally[mln_is_text(mln_get(c, "rego"), "v0") ? 0 : 1];
    if (!is_wanted(&cx, c)) {
        return;
    }
    if (is_skipped(c)) {
        t->skipped++;
        return;
    }
    const char *why = run_case(&cx, c);
    t->passed += why == NULL;
    t->failed += why != NULL;
    if (why != NULL && getenv("MLN_REGO_FAILURES") != NULL) {
        (void)printf("FAIL\t%s\t%s\t%s\t%.400s\n", mln_get_text(&cx, mln_get(c, "rego"), ""),
                     mln_get_text(&cx, mln_get(c, "category"), ""),
                     mln_get_text(&cx, mln_get(c, "note"), ""), why);
    }
}

static bool run_file(const char *path, struct tally tally[2])
{
    struct mln_buf text = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (mln_failed(mln_file_read_all(&cx, path, (size_t)256 << 20, &text))) {
        return false;
    }
    struct mln_arena *arena = mln_arena_new((size_t)256 << 20, false);
    struct mln_bytes rest = mln_buf_bytes(&text);
    while (rest.len > 0) {
        struct mln_bytes line = mln_bytes_cut(rest, '\n', &rest);
        if (line.len > 0) {
            run_line(arena, line, tally);
        }
    }
    mln_arena_free(arena);
    mln_buf_drop(&text);
    for (size_t i = 0; i < 2; i++) {
        (void)printf("%s: v%zu: %u passed, %u failed, %u skipped\n", path, i, tally[i].passed,
                     tally[i].failed, tally[i].skipped);
    }
    return true;
}

static void test_own(void **state)
{
    (void)state;
    struct tally tally[2] = {{0}, {0}};
    assert_true(run_file(MLN_TEST_DIR "/vectors/rego/cases.jsonl", tally));
    assert_int_equal(tally[0].failed + tally[1].failed, 0);
    assert_true(tally[0].passed + tally[1].passed > 0 || getenv("MLN_REGO_ONLY") != NULL);
}

/* How many of OPA's cases may fail. */
#define OPA_FAILURES_MAX 0u

static void test_opa(void **state)
{
    (void)state;
    struct tally tally[2] = {{0}, {0}};
    const char *path = getenv("MLN_REGO_CASES");
    if (!run_file(path != NULL ? path : MLN_TEST_DIR "/../../shared/rego/cases.jsonl", tally)) {
        (void)printf("skipped: OPA's cases are not beside the tree\n");
        skip();
    }
    assert_true(tally[0].failed + tally[1].failed <= OPA_FAILURES_MAX);
}

/* ---- errors of the compiler: {modules, rego_version, strict, print_statements, want_errors: [{code, row, col, message}]} ---- */
static bool matches(const struct mln_rego_error *e, const struct mln_value *want, struct mln_cx *cx)
{
    return strcmp(e->code, mln_get_text(cx, mln_get(want, "code"), "")) == 0 &&
           e->row == mln_get_int(mln_get(want, "row"), 0) &&
           e->col == mln_get_int(mln_get(want, "col"), 0) &&
           strstr(e->message, mln_get_text(cx, mln_get(want, "message"), "?")) != NULL;
}

static bool compile_case(struct mln_cx *cx, const struct mln_value *c)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_rego_options options = {
        .version = mln_is_text(mln_get(c, "rego_version"), "v0") ? MLN_REGO_V0 : MLN_REGO_V1,
        .is_strict = mln_get_bool(mln_get(c, "strict"), false),
        .has_print = mln_get_bool(mln_get(c, "print_statements"), false),
    };
    assert_false(mln_failed(mln_rego_new(cx, &options, &rego)));
    const struct mln_value *modules = mln_get(c, "modules"), *want = mln_get(c, "want_errors");
    for (size_t i = 0; i < mln_len(modules); i++) {
        (void)mln_failed(mln_rego_add(rego, cx, "test.rego", mln_get_bytes(mln_item(modules, i))));
    }
    (void)mln_failed(mln_rego_compile(rego, cx));
    bool ok = mln_rego_error_count(rego) == mln_len(want) ||
              !mln_get_bool(mln_get(c, "exhaustive"), false);
    for (size_t i = 0; i < mln_len(want); i++) {
        bool found = false;
        for (size_t k = 0; k < mln_rego_error_count(rego) && !found; k++) {
            found = matches(mln_rego_error_at(rego, k), mln_item(want, i), cx);
        }
        ok = ok && found;
    }
    for (size_t k = 0; !ok && getenv("MLN_REGO_FAILURES") != NULL && k < mln_rego_error_count(rego);
         k++) {
        const struct mln_rego_error *e = mln_rego_error_at(rego, k);
        (void)printf("FAIL\t%s\tgot %u:%u %s: %s\n", mln_get_text(cx, mln_get(c, "note"), ""),
                     e->row, e->col, e->code, e->message);
    }
    return ok;
}

static bool compile_file(const char *path, struct tally *t)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    mln_cx_init(&cx, arena);
    bool there = !mln_failed(mln_file_read_all(&cx, path, (size_t)64 << 20, &text));
    struct mln_bytes rest = mln_buf_bytes(&text);
    while (rest.len > 0) {
        const struct mln_value *c = NULL;
        struct mln_bytes line = mln_bytes_cut(rest, '\n', &rest);
        mln_cx_clear(&cx);
        if (line.len > 0 && !mln_failed(mln_json_parse(&cx, line, &c))) {
            bool ok = compile_case(&cx, c);
            t->passed += ok;
            t->failed += !ok;
        }
    }
    mln_arena_free(arena);
    (void)printf("%s: %u passed, %u failed\n", path, t->passed, t->failed);
    return there;
}

static void test_own_errors(void **state)
{
    (void)state;
    struct tally t = {0};
    assert_true(compile_file(MLN_TEST_DIR "/vectors/rego/errors.jsonl", &t));
    assert_int_equal(t.failed, 0);
    assert_true(t.passed > 0);
}

#define OPA_ERROR_FAILURES_MAX 0u

static void test_opa_errors(void **state)
{
    (void)state;
    struct tally t = {0};
    const char *path = getenv("MLN_REGO_COMPILE_CASES");
    if (!compile_file(path != NULL ? path : MLN_TEST_DIR "/../../shared/rego/compile_cases.jsonl",
                      &t)) {
        (void)printf("skipped: OPA's cases are not beside the tree\n");
        skip();
    }
    assert_true(t.failed <= OPA_ERROR_FAILURES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own), cmocka_unit_test(test_opa),
                                       cmocka_unit_test(test_own_errors),
                                       cmocka_unit_test(test_opa_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
