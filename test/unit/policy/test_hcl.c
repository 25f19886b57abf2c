/* SPDX-License-Identifier: Apache-2.0 */
/* HCL to values: what is read, and what is refused with which text. Each accepted row names the JSON of its value. */
#include "kit/kit.h"

#include "base/json.h"
#include "policy/acl.h"

static const struct {
    const char *name, *in, *want; /* want: sorted compact JSON */
} good[] = {
    {"empty", "", "{}"},
    {"blank and comments", " # a\n// b\n/* c\n */\t\r\n", "{}"},
    {"attribute", "a = 1", "{\"a\":1}"},
    {"several on one line", "a = 1 b = 2", "{\"a\":1,\"b\":2}"},
    {"commas between", "a = 1, b = 2,", "{\"a\":1,\"b\":2}"},
    {"booleans", "a = true b = false", "{\"a\":true,\"b\":false}"},
    {"numbers", "a = -5 b = 1.5 c = 0x1F d = 017 e = 1e3 f = 0 g = 0.25",
     "{\"a\":-5,\"b\":1.5,\"c\":31,\"d\":15,\"e\":1e3,\"f\":0,\"g\":0.25}"},
    {"string escapes", "a = \"x\\n\\t\\\\\\\"\\u00e9\\U0001F600\\x41\\101\"",
     "{\"a\":\"x\\n\\t\\\\\\\"\xc3\xa9\xf0\x9f\x98\x80" "AA\"}"},
    {"interpolation stays", "a = \"${b}\"", "{\"a\":\"${b}\"}"},
    {"hash in a string", "a = \"#x//y/*z\"", "{\"a\":\"#x//y/*z\"}"},
    {"quoted key", "\"a b\" = 1", "{\"a b\":1}"},
    {"name with dots and dashes", "a.b-c_1 = 1", "{\"a.b-c_1\":1}"},
    {"list", "a = [1, \"b\", true, [2], {c = 3}]", "{\"a\":[1,\"b\",true,[2],{\"c\":3}]}"},
    {"list with trailing comma", "a = [1,\n 2,\n]", "{\"a\":[1,2]}"},
    {"empty list and map", "a = [] b = {}", "{\"a\":[],\"b\":{}}"},
    {"comment in a list", "a = [1, # one\n 2 // two\n]", "{\"a\":[1,2]}"},
    {"block", "a { b = 1 }", "{\"a\":{\"b\":1}}"},
    {"block with label", "path \"x/y\" { c = [\"read\"] }", "{\"path\":{\"x/y\":{\"c\":[\"read\"]}}}"},
    {"blocks of several labels", "path \"x\" {} path \"y\" {}", "{\"path\":{\"x\":{},\"y\":{}}}"},
    {"two labels", "a \"b\" \"c\" { d = 1 }", "{\"a\":{\"b\":{\"c\":{\"d\":1}}}}"},
    {"repeated block", "a { n = 1 } a { n = 2 } a { n = 3 }", "{\"a\":[{\"n\":1},{\"n\":2},{\"n\":3}]}"},
    {"repeated label", "p \"x\" { n = 1 } p \"x\" { n = 2 }", "{\"p\":{\"x\":[{\"n\":1},{\"n\":2}]}}"},
    {"heredoc", "a = <<EOF\none\n  two\nEOF\nb = 1", "{\"a\":\"one\\n  two\\n\",\"b\":1}"},
    {"indented heredoc", "a = <<-EOF\n    one\n      two\n    EOF\n", "{\"a\":\"one\\n  two\\n\"}"},
    {"empty heredoc", "a = <<E\nE\n", "{\"a\":\"\"}"},
    {"heredoc with CR LF", "a = <<E\r\nx\r\nE\r\n", "{\"a\":\"x\\n\"}"},
    {"JSON", "{\"path\":{\"x\":{\"capabilities\":[\"read\"]}}}",
     "{\"path\":{\"x\":{\"capabilities\":[\"read\"]}}}"},
    {"JSON after blanks", " \n{\"a\":null}", "{\"a\":null}"},
};

static const struct {
    const char *name, *in, *text;
} bad[] = {
    {"block without end", "path {", "At 1:8: object expected closing RBRACE got: EOF"},
    {"stray closing brace", "a = 1 }", "At 1:7: expected: IDENT | STRING got: RBRACE"},
    {"number as key", "1 = 2", "At 1:1: expected: IDENT | STRING got: NUMBER"},
    {"key alone", "abc", "key 'abc' expected start of object ('{') or assignment ('=')"},
    {"key then list", "a [1]", "expected start of object"},
    {"two keys assigned", "a \"b\" = 1", "nested object expected: LBRACE got: ASSIGN"},
    {"no value", "a =", "At 1:5: expected a value, got: EOF"},
    {"bare word as value", "a = b", "At 1:5: expected a value, got: IDENT"},
    {"attribute twice", "a = 1\na = 2", "At 2:1: The argument \"a\" was already set"},
    {"attribute twice in a block", "p \"x\" { a = 1 a = 1 }", "was already set"},
    {"attribute after block", "a { } a = 1", "was already set"},
    {"label and none", "a { } a = 2", "was already set"},
    {"block over a scalar", "a = 1 a \"b\" { }", "share a name"},
    {"list without comma", "a = [1 2]", "error parsing list, expected comma or list end, got: NUMBER"},
    {"list with two commas", "a = [1,,2]", "expected a value, got: COMMA"},
    {"list with leading comma", "a = [,1]", "expected a value, got: COMMA"},
    {"list without end", "a = [1", "got: EOF"},
    {"string without end", "a = \"b", "At 1:5: literal not terminated"},
    {"string over a line", "a = \"b\nc\"", "At 1:5: literal not terminated"},
    {"escape that is none", "a = \"\\q\"", "illegal char escape"},
    {"short unicode escape", "a = \"\\u12\"", "illegal char escape"},
    {"surrogate", "a = \"\\ud800\"", "illegal char escape"},
    {"above Unicode", "a = \"\\U00110000\"", "illegal char escape"},
    {"NUL by escape", "a = \"\\x00\"", "illegal char escape"},
    {"byte above 127", "a = \"\\xff\"", "illegal char escape"},
    {"comment without end", "/* a", "At 1:1: comment not terminated"},
    {"heredoc without end", "a = <<E\nb\n", "heredoc not terminated"},
    {"heredoc without name", "a = <<\nb\n", "zero-length heredoc anchor"},
    {"heredoc with text behind", "a = <<E x\nE\n", "heredoc expectes newline after anchor"},
    {"character that is none", "a = 1 ; b = 2", "At 1:7: illegal character"},
    {"number that is none", "a = 12x", "At 1:5: illegal number"},
    {"octal with 8", "a = 08", "illegal number"},
    {"hex without digits", "a = 0x", "illegal number"},
    {"hex too large", "a = 0x10000000000000000", "illegal number"},
    {"lone minus", "a = -", "illegal number"},
    {"bad UTF-8", "a = \"\xff\"", "illegal UTF-8"},
    {"JSON with duplicate", "{\"a\":1,\"a\":2}", "json"},
    {"JSON cut", "{\"a\":", "json"},
};

static void test_good(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(good); i++) {
        const struct mln_value *v = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        kit_expect(cx, good[i].name, mln_hcl_parse(cx, mln_bytes_of(good[i].in), &v), MLN_E_OK);
        mln_json_print(&out, v, MLN_JSON_SORTED);
        print_message("%s\n", good[i].name);
        kit_text(mln_buf_bytes(&out), good[i].want);
    }
}

static void test_bad(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        const struct mln_value *v = NULL;
        print_message("%s\n", bad[i].name);
        kit_refused_with(cx, mln_hcl_parse(cx, mln_bytes_of(bad[i].in), &v), MLN_E_PARSE, bad[i].text);
        assert_null(v);
    }
}

static void test_nul_is_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *v = NULL;
    kit_refused_with(cx, mln_hcl_parse(cx, MLN_BYTES("a = 1\0b"), &v), MLN_E_PARSE, "null character");
}

static void repeat(struct mln_buf *to, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(to, text);
    }
}

static void test_depth(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const opens[] = {"a {", "a = [", "x \"l\" \"m\" {", "a = {"};
    for (size_t i = 0; i < MLN_COUNT(opens); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        const struct mln_value *v = NULL;
        repeat(&text, opens[i], 1);
        repeat(&text, i == 1 ? "[" : opens[i], 5000);
        kit_refused_with(cx, mln_hcl_parse(cx, mln_buf_bytes(&text), &v), MLN_E_PARSE, "too deeply");
    }
}

static void test_many_labels_are_fast(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < 5000; i++) {
        mln_buf_add_format(&text, "path \"a/%zu\" { n = %zu }\n", i, i);
    }
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_hcl_parse(cx, mln_buf_bytes(&text), &v));
    assert_int_equal(mln_len(mln_get(v, "path")), 5000);
    assert_int_equal(mln_get_int(mln_get(mln_get(mln_get(v, "path"), "a/4999"), "n"), -1), 4999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_good), KIT_TEST(test_bad), KIT_TEST(test_nul_is_refused), KIT_TEST(test_depth),
        KIT_TEST(test_many_labels_are_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
