/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* Reads `in`, prints it compact: `want`, or the part of the refusal's text that begins with '!'. */
static const struct {
    const char *in, *want;
} rows[] = {
    /* words and white space */
    {"null", "null"},
    {" \t\r\n true \n", "true"},
    {"false", "false"},
    {"", "!ends early at byte 0"},
    {"   ", "!ends early at byte 3"},
    {"nul", "!ends early at byte 3"},
    {"nulL", "!unexpected character at byte 3"},
    {"truefalse", "!behind the document at byte 4"},
    {"True", "!unexpected character at byte 0"},
    {"\vnull", "!unexpected character at byte 0"},
    {"\xC2\xA0null", "!unexpected character at byte 0"},
    {"\xEF\xBB\xBFnull", "!unexpected character at byte 0"},
    {"null null", "!behind the document at byte 5"},
    {"// x\n1", "!unexpected character"},
    {"/**/1", "!unexpected character"},
    /* numbers */
    {"0", "0"},
    {"-0", "-0"},
    {"123", "123"},
    {"-9223372036854775808", "-9223372036854775808"},
    {"9223372036854775807", "9223372036854775807"},
    {"9223372036854775808", "9223372036854775808"},
    {"123456789012345678", "123456789012345678"},
    {"1234567890123456789", "1234567890123456789"},
    {"1.50", "1.50"},
    {"1E-7", "1E-7"},
    {"-0.0", "-0.0"},
    {"1e400", "1e400"},
    {"01", "!bad number at byte 0"},
    {"-", "!bad number"},
    {"-a", "!bad number"},
    {"1.", "!bad number"},
    {"1.e5", "!bad number"},
    {"1e", "!bad number"},
    {"1e+", "!bad number"},
    {"1e99999999999", "!bad number"},
    {".5", "!unexpected character"},
    {"+1", "!unexpected character"},
    {"1a", "!behind the document at byte 1"},
    {"0x10", "!behind the document at byte 1"},
    {"NaN", "!unexpected character"},
    {"-Infinity", "!bad number"},
    {"[-]", "!bad number at byte 1"},
    {"[1 2]", "!expected a comma"},
    /* strings */
    {"\"\"", "\"\""},
    {"\"abc\"", "\"abc\""},
    {"\"0123456789abcdef0123456789abcdef\"", "\"0123456789abcdef0123456789abcdef\""},
    {"\"0123456789abcde\\n0123456789abcdef\"", "\"0123456789abcde\\n0123456789abcdef\""},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
    {"\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"", "\"A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
    {"\"\\u0000\\u001f\"", "\"\\u0000\\u001f\""},
    {"\"\x7F\"", "\"\x7F\""},
    {"\"\xF4\x8F\xBF\xBF\"", "\"\xF4\x8F\xBF\xBF\""},
    {"\"\xEF\xBF\xBF\"", "\"\xEF\xBF\xBF\""},
    {"\"", "!ends early at byte 1"},
    {"\"abc", "!ends early at byte 4"},
    {"\"a\\\"", "!ends early"},
    {"\"\\", "!bad escape at byte 1"},
    {"\"\\x\"", "!bad escape at byte 1"},
    {"\"\\u12\"", "!bad escape"},
    {"\"\\u12g4\"", "!bad escape"},
    {"\"\\ud800\"", "!bad escape at byte 1"},
    {"\"\\ud800x\"", "!bad escape"},
    {"\"\\ud800\\n12345\"", "!bad escape"},
    {"\"\\ud800\\u0041\"", "!bad escape"},
    {"\"\\udc00\"", "!bad escape"},
    {"\"\\ud83d\\ud83d\"", "!bad escape"},
    {"\"a\nb\"", "!control character in a string at byte 2"},
    {"\"a\tb\"", "!control character"},
    {"\"0123456789abcdef\x01\"", "!control character in a string at byte 17"},
    {"\"\xC0\x80\"", "!bad UTF-8 at byte 1"},
    {"\"\xC3\"", "!bad UTF-8"},
    {"\"\xED\xA0\x80\"", "!bad UTF-8"},
    {"\"\xE0\x9F\x80\"", "!bad UTF-8"},
    {"\"\xF4\x90\x80\x80\"", "!bad UTF-8"},
    {"\"\xF5\x80\x80\x80\"", "!bad UTF-8"},
    {"\"\x80\"", "!bad UTF-8"},
    {"\"0123456789abcdefghi\xFF\"", "!bad UTF-8 at byte 20"},
    {"'a'", "!unexpected character"},
    /* arrays */
    {"[]", "[]"},
    {"[ ]", "[]"},
    {"[1,2 , 3]", "[1,2,3]"},
    {"[[],[[]],{}]", "[[],[[]],{}]"},
    {"[", "!ends early"},
    {"[1", "!ends early"},
    {"[1,", "!ends early"},
    {"[1,]", "!unexpected character at byte 3"},
    {"[,1]", "!unexpected character at byte 1"},
    {"[1,,2]", "!unexpected character at byte 3"},
    {"[1}", "!expected a comma"},
    {"]", "!unexpected character"},
    {"[]]", "!behind the document"},
    {"[\"a\" \"b\"]", "!expected a comma"},
    /* objects */
    {"{}", "{}"},
    {"{ }", "{}"},
    {"{\"a\":1,\"b\" : {\"c\":[]}}", "{\"a\":1,\"b\":{\"c\":[]}}"},
    {"{\"\":0}", "{\"\":0}"},
    {"{\"\\u0061b\":1}", "{\"ab\":1}"},
    {"{", "!ends early"},
    {"{\"a\"", "!ends early"},
    {"{\"a\":", "!ends early"},
    {"{\"a\":1", "!ends early"},
    {"{\"a\":1,", "!ends early"},
    {"{\"a\":1,}", "!expected a key at byte 7"},
    {"{,}", "!expected a key"},
    {"{a:1}", "!expected a key"},
    {"{1:1}", "!expected a key"},
    {"{null:1}", "!expected a key"},
    {"{\"a\" 1}", "!expected a colon"},
    {"{\"a\":1 \"b\":2}", "!expected a comma"},
    {"{\"a\":}", "!unexpected character at byte 5"},
    {"{\"a\":1]", "!expected a comma"},
    {"{\"a\":1,\"a\":2}", "!duplicate key \"a\" at byte 7"},
    {"{\"a\":1,\"\\u0061\":2}", "!duplicate key \"a\""},
    {"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", "!duplicate key \"a\" at byte 18"},
    {"{\"\":1,\"\":2}", "!duplicate key \"\""},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        /* a copy of exactly this length: reading on is seen */
        size_t n = strlen(rows[i].in);
        MLN_AUTO(mln_free_drop) uint8_t *copy = mln_alloc(n);
        mln_copy(copy, rows[i].in, n);
        const struct mln_value *v = NULL;
        struct mln_err err = mln_json_parse(cx, mln_bytes_at(copy, n), &v);
        if (rows[i].want[0] == '!') {
            kit_expect_at(cx, err, MLN_E_PARSE, rows[i].want + 1, rows[i].in, __FILE__, __LINE__);
            assert_null(v);
            continue;
        }
        kit_expect(cx, rows[i].in, err, MLN_E_OK);
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_json_print(&buf, v, MLN_JSON_COMPACT);
        kit_text(mln_buf_bytes(&buf), rows[i].want);
    }
}

/* Every special byte at every place around a step of the scan. */
static void test_scan_positions(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *special;
        bool is_good;
    } specials[] = {{"\\n", true}, {"\xC3\xA9", true}, {"\x01", false}, {"\xFF", false}, {"\\q", false}};
    for (size_t s = 0; s < MLN_COUNT(specials); s++) {
        for (int before = 0; before < 40; before++) {
            char text[100];
            int n = snprintf(text, sizeof(text), "\"%.*s%sz\"", before,
                             "................................................", specials[s].special);
            MLN_AUTO(mln_free_drop) uint8_t *copy = mln_alloc((size_t)n);
            mln_copy(copy, text, (size_t)n);
            const struct mln_value *v = NULL;
            struct mln_err err = mln_json_parse(cx, mln_bytes_at(copy, (size_t)n), &v);
            kit_expect(cx, text, err, specials[s].is_good ? MLN_E_OK : MLN_E_PARSE);
            if (specials[s].is_good) {
                MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
                mln_json_print(&buf, v, MLN_JSON_COMPACT);
                kit_text(mln_buf_bytes(&buf), text);
            }
        }
    }
}

static void test_borrows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const char *text = "{\"key\":\"plain\",\"other\":\"esc\\n\"}";
    const struct mln_value *v;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    assert_ptr_equal(mln_get_bytes(mln_get(v, "key")).ptr, (const uint8_t *)text + 8);
    assert_true(mln_is_text(mln_get(v, "other"), "esc\n"));
}

static void nested(struct mln_buf *buf, const char *open, const char *close, int n)
{
    for (int i = 0; i < n; i++) {
        mln_buf_add_text(buf, open);
    }
    mln_buf_add_text(buf, "1");
    for (int i = 0; i < n; i++) {
        mln_buf_add_text(buf, close);
    }
}

static void test_depth(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *open, *close;
        int n;
        enum mln_code want;
    } depths[] = {
        {"[", "]", MLN_VALUE_DEPTH_MAX, MLN_E_OK},
        {"[", "]", MLN_VALUE_DEPTH_MAX + 1, MLN_E_PARSE},
        {"{\"a\":", "}", MLN_VALUE_DEPTH_MAX, MLN_E_OK},
        {"{\"a\":", "}", MLN_VALUE_DEPTH_MAX + 1, MLN_E_PARSE},
        {"[", "", 100000, MLN_E_PARSE},
    };
    for (size_t i = 0; i < MLN_COUNT(depths); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        nested(&buf, depths[i].open, depths[i].close, depths[i].n);
        const struct mln_value *v;
        kit_expect(cx, "depth", mln_json_parse(cx, mln_buf_bytes(&buf), &v), depths[i].want);
    }
}

static void test_many_members(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const int sizes[] = {15, 16, 17, 1000, 100000};
    for (size_t s = 0; s < MLN_COUNT(sizes); s++) {
        for (int twice = 0; twice < 2; twice++) {
            MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
            mln_buf_add_text(&buf, "{");
            for (int i = 0; i < sizes[s]; i++) {
                mln_buf_add_format(&buf, "%s\"k%d\":%d", i > 0 ? "," : "", i, i);
            }
            mln_buf_add_text(&buf, twice != 0 ? ",\"k3\":0}" : "}");
            const struct mln_value *v;
            struct mln_err err = mln_json_parse(cx, mln_buf_bytes(&buf), &v);
            kit_expect(cx, "many", err, twice != 0 ? MLN_E_PARSE : MLN_E_OK);
            if (twice == 0) {
                assert_int_equal(mln_len(v), sizes[s]);
                char last[24];
                (void)snprintf(last, sizeof(last), "k%d", sizes[s] - 1);
                assert_int_equal(mln_get_int(mln_get(v, last), -1), sizes[s] - 1);
                assert_null(mln_get(v, "k"));
            }
        }
    }
}

static void test_prefix(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes text = MLN_BYTES("{\"a\":1}\n[2] 3\n");
    static const char *const want[] = {"{\"a\":1}", "[2]", "3"};
    for (size_t i = 0; i < MLN_COUNT(want); i++) {
        const struct mln_value *v;
        size_t used = 0;
        kit_ok(cx, mln_json_parse_prefix(cx, text, &v, &used));
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_json_print(&buf, v, MLN_JSON_COMPACT);
        kit_text(mln_buf_bytes(&buf), want[i]);
        text = mln_bytes_from(text, used);
    }
    assert_int_equal(text.len, 0);
    const struct mln_value *v;
    size_t used;
    kit_refused(cx, mln_json_parse_prefix(cx, text, &v, &used), MLN_E_PARSE);
}

static struct mln_err parse_and_print(struct mln_cx *cx, void *arg)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    const struct mln_value *v;
    MLN_TRY(mln_json_parse(cx, *(const struct mln_bytes *)arg, &v));
    mln_json_print(&buf, v, MLN_JSON_SORTED | MLN_JSON_PRETTY);
    return mln_buf_ok(cx, &buf);
}

static void test_faults(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_buf_add_text(&buf, "{\"big\":[");
    for (int i = 0; i < 300; i++) {
        mln_buf_add_format(&buf, "%s\"a\\n%d\"", i > 0 ? "," : "", i);
    }
    mln_buf_add_text(&buf, "],\"o\":{");
    for (int i = 0; i < 20; i++) {
        mln_buf_add_format(&buf, "%s\"k%d\":1", i > 0 ? "," : "", i);
    }
    mln_buf_add_text(&buf, "}}");
    kit_ok(cx, mln_buf_ok(cx, &buf));
    struct mln_bytes text = mln_buf_bytes(&buf);
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, parse_and_print, &text) > 100);
}

/* ---- printing ---- */

static void test_styles(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *o = mln_object(cx);
    struct mln_value *list = mln_array(cx);
    mln_push(cx, list, mln_int(cx, 1));
    mln_push(cx, list, mln_object(cx));
    mln_put(cx, o, "b", list);
    mln_put(cx, o, "a", mln_secret_string(cx, MLN_BYTES("<s>&\xE2\x80\xA8")));
    mln_put(cx, o, "e", mln_array(cx));
    static const struct {
        unsigned style;
        const char *want;
    } styles[] = {
        {MLN_JSON_COMPACT, "{\"b\":[1,{}],\"a\":\"<s>&\xE2\x80\xA8\",\"e\":[]}"},
        {MLN_JSON_SORTED, "{\"a\":\"<s>&\xE2\x80\xA8\",\"b\":[1,{}],\"e\":[]}"},
        {MLN_JSON_HIDE, "{\"b\":[1,{}],\"a\":\"(hidden)\",\"e\":[]}"},
        {MLN_JSON_HTML, "{\"b\":[1,{}],\"a\":\"\\u003cs\\u003e\\u0026\\u2028\",\"e\":[]}"},
        {MLN_JSON_PRETTY | MLN_JSON_HIDE | MLN_JSON_SORTED,
         "{\n  \"a\": \"(hidden)\",\n  \"b\": [\n    1,\n    {}\n  ],\n  \"e\": []\n}"},
    };
    for (size_t i = 0; i < MLN_COUNT(styles); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_json_print(&buf, o, styles[i].style);
        kit_text(mln_buf_bytes(&buf), styles[i].want);
    }
}

static void test_what_json_lacks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *set = mln_set(cx);
    mln_push(cx, set, mln_int(cx, 2));
    mln_push(cx, set, mln_int(cx, 1));
    struct {
        const struct mln_value *v;
        const char *want;
    } odd[] = {
        {NULL, "null"},
        {set, "[1,2]"},
        {mln_blob(cx, MLN_BYTES("\xff\x00z")), "\"/wB6\""},
        {mln_string(cx, MLN_BYTES("a\xffz\xC3")), "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\""},
        {mln_string(cx, MLN_BYTES("a\0z")), "\"a\\u0000z\""},
        {mln_int(cx, INT64_MIN), "-9223372036854775808"},
        {mln_double(cx, 0.25), "0.25"},
    };
    for (size_t i = 0; i < MLN_COUNT(odd); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_json_print(&buf, odd[i].v, MLN_JSON_COMPACT);
        kit_text(mln_buf_bytes(&buf), odd[i].want);
    }
}

static void test_print_too_deep(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *v = mln_array(cx);
    for (int i = 0; i < 100; i++) {
        struct mln_value *outer = mln_array(cx);
        mln_push(cx, outer, v);
        v = outer;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_json_print(&buf, v, MLN_JSON_COMPACT);
    kit_refused(cx, mln_buf_ok(cx, &buf), MLN_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),         KIT_TEST(test_scan_positions), KIT_TEST(test_borrows),
        KIT_TEST(test_depth),        KIT_TEST(test_many_members),   KIT_TEST(test_prefix),
        KIT_TEST(test_faults),       KIT_TEST(test_styles),         KIT_TEST(test_what_json_lacks),
        KIT_TEST(test_print_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
