/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema, templates, globs that meet, certificates that are none, requests: each with what is refused. */
#include "rows.h"

#define MATCH(document, schema) "json.match_schema(`" document "`, `" schema "`)"
#define FITS(document, schema)  "json.match_schema(`" document "`, `" schema "`)[0]"
#define SAYS(document, schema)  "json.match_schema(`" document "`, `" schema "`)[1][0].error"

static void test_schema(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {MATCH("{\"a\": 1}", "{\"required\": [\"b\"]}"),
         "[false,[{\"desc\":\"b is required\",\"error\":\"(Root): b is "
         "required\",\"field\":\"(Root)\",\"type\":\"required\"}]]"},
        {MATCH("{\"a\": 1}", "{\"type\": \"object\"}"), "[true,[]]"},
        {FITS("0.0075", "{\"multipleOf\": 0.0001}"), "true"},
        {FITS("[1, 1.0]", "{\"uniqueItems\": true}"), "false"},
        {FITS("{\"x\": [[1]]}",
              "{\"properties\": {\"x\": {\"$ref\": \"#/definitions/l\"}}, "
              "\"definitions\": {\"l\": {\"items\": {\"anyOf\": [{\"type\": \"integer\"}, "
              "{\"$ref\": \"#/definitions/l\"}]}, \"type\": \"array\"}}}"),
         "true"},
        {SAYS("{\"a\": {\"b\": \"c\"}}",
              "{\"properties\": {\"a\": {\"properties\": {\"b\": {\"type\": \"integer\"}}}}}"),
         "\"a.b: Invalid type. Expected: integer, given: string\""},
        {SAYS("5", "{\"minimum\": 5, \"exclusiveMinimum\": true}"),
         "\"(Root): Must be greater than 5\""},
        {SAYS(
             "5",
             "{\"$schema\": \"http://json-schema.org/draft-07/schema#\", \"exclusiveMinimum\": 5}"),
         "\"(Root): Must be greater than 5\""},
        {FITS("\"2020-02-30\"", "{\"format\": \"date\"}"), "false"},
        {FITS("\"a@b.c\"", "{\"format\": \"email\"}"), "true"},
        {FITS("\"anything\"", "{\"format\": \"unheard-of\"}"), "true"},
        {"json.verify_schema({\"type\": \"unknown\"})[1]",
         "\"jsonschema: has a primitive type that is NOT VALID -- given: /unknown/ Expected valid "
         "values are:[array boolean "
         "integer number null object string]\""},
        {"json.verify_schema({\"$ref\": \"http://example.com/x\"})[0]", "false"},
        {"json.verify_schema({\"$ref\": \"#/nowhere\"})[0]", "false"},
        {"json.verify_schema({\"pattern\": \"(\"})",
         "[false,\"jsonschema: pattern must be a valid regex\"]"},
        {"json.verify_schema(\"{\")", "[false,\"jsonschema: invalid JSON string\"]"},
        {"json.verify_schema(json.unmarshal(\"7\"))", "[false,\"jsonschema: wrong type, expected string or object\"]"},
        {MATCH("1", "{\"$ref\": \"#\"}"), "!without end"},
        {MATCH("1", "{\"allOf\": [{\"$ref\": \"#\"}]}"), "!without end"},
        {MATCH("1", "{\"minLength\": -1}"), "!minLength must be greater than or equal to 0"},
        {MATCH("{", "{}"), "!invalid JSON string"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

#define RENDER(text, data) "strings.render_template(`" text "`, " data ")"

static void test_templates(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {RENDER("{{.a}} {{.b.c}} {{.nope}}", "{\"a\": \"x\", \"b\": {\"c\": [1, {\"k\": null}]}}"),
         "\"x [1 map[k:<nil>]] <undefined>\""},
        {RENDER("{{range $i, $e := .l}}{{if $i}},{{end}}{{$e}}{{else}}none{{end}}",
                "{\"l\": [\"a\", \"b\"]}"),
         "\"a,b\""},
        {RENDER("{{range .l}}x{{else}}none{{end}}", "{\"l\": []}"), "\"none\""},
        {RENDER("{{if .n}}yes{{else}}no{{end}}", "{\"n\": 0}"),
         "\"yes\""}, /* as OPA: a number of the data is a text */
        {RENDER("a  {{- /* c */ -}}  b", "{}"), "\"ab\""},
        {RENDER("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .x}}", "{\"x\": \"y\"}"),
         "\"<y>\""},
        {RENDER("{{$x := 1}}{{range .l}}{{$x = 2}}{{end}}{{$x}}", "{\"l\": [0]}"), "\"2\""},
        {RENDER("{{printf \"%05d|%-4s|%q\" 42 \"a\" .s | html}}", "{\"s\": \"<\"}"),
         "\"00042|a   |&#34;&lt;&#34;\""},
        {RENDER(
             "{{len .l}} {{index .l 1}} {{slice \"abc\" 1}} {{eq \"a\" \"b\" \"a\"}} {{and 1 0}}",
             "{\"l\": [1, 2]}"),
         "\"2 2 bc true 0\""},
        {RENDER("{{if eq .a 1}}a{{else if eq .b \"c\"}}b{{end}}", "{\"a\": \"x\"}"),
         "!incompatible types for comparison"},
        {RENDER("{{nope}}", "{}"), "!template: template:1: function \"nope\" not defined"},
        {RENDER("{{.a", "{}"), "!unclosed action"},
        {RENDER("{{if .a}}x", "{}"), "!unexpected EOF"},
        {RENDER("{{end}}", "{}"), "!unexpected {{end}}"},
        {RENDER("{{break}}", "{}"), "!{{break}} outside {{range}}"},
        {RENDER("{{$y}}", "{}"), "!undefined variable \"$y\""},
        {RENDER("{{.s.x}}", "{\"s\": \"t\"}"), "!can't evaluate field x in type interface {}"},
        {RENDER("{{index .l 5}}", "{\"l\": []}"), "!index out of range: 5"},
        {RENDER("{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}", "{}"),
         "!exceeded maximum template depth"},
        {"strings.render_template(json.unmarshal(\"1\"), {})", "!operand 1 must be string but got number"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_globs(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"regex.globs_match(\"a.a.[0-9]+z\", \".b.b2359825792*594823z\")", "true"},
        {"regex.globs_match(\"[a-z]+\", \"[0-9]*\")", "false"},
        {"regex.globs_match(\"a*b\", \"b\")", "true"},
        {"regex.globs_match(\"ab*\", \"a\")", "false"}, /* as OPA */
        {"regex.globs_match(\"[a-c]+\\\\.x\", \"b.*x\")", "true"},
        {"regex.globs_match(\"\", \"\")", "true"},
        {"regex.globs_match(\"pqrs]\", \"a\")",
         "!input:pqrs], pos:5, set-close ']' with no preceding '['"},
        {"regex.globs_match(\"[b-a]\", \"a\")", "!range is out of order"},
        {"regex.globs_match(\"a**\", \"a\")", "!flag '*' must be preceded by a non-flag"},
        {"regex.globs_match(\"[a\", \"a\")", "!found [ without matching ]"},
        {"regex.globs_match(\"a\\\\\", \"a\")", "!input ends with a \\ (escape) character"},
        {"regex.globs_match(concat(\"\", [\"x\" | numbers.range(1, 2000)[_]]), \"a\")",
         "!more than 1024 tokens"},
        {"regex.globs_match(concat(\"\", [\".*a+\" | numbers.range(1, 60)[_]]), "
         "concat(\"\", [\".*b+\" | numbers.range(1, 60)[_]]))",
         "false"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_certificates(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"crypto.x509.parse_certificates(\"foobar\")", "!illegal base64"},
        {"crypto.x509.parse_certificates(\"YmFkc3RyaW5n\")", "!x509: malformed certificate"},
        {"crypto.x509.parse_certificates(\"\")", "!x509: malformed certificate"},
        {"crypto.x509.parse_certificate_request(\"YmFkc3RyaW5n\")", "!asn1: structure error"},
        {"crypto.x509.parse_and_verify_certificates(\"foobar\")", "[false,[]]"},
        {"crypto.x509.parse_and_verify_certificates_with_options(\"foobar\", {\"DNSName\": 1})",
         "[false,[]]"},
        {"crypto.parse_private_keys(\"\")", "null"},
        {"crypto.parse_private_keys(\"nope\")", "[]"},
        {"crypto.parse_private_keys(\"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE "
         "KEY-----\")",
         "!failed to parse private key"},
        {"crypto.x509.parse_rsa_private_key(\"\")", "!input PEM data was empty"},
        {"crypto.x509.parse_rsa_private_key(\"invalid\")", "!illegal base64"},
        {"crypto.x509.parse_keypair(\"AAAA\", \"AAAA\")", "!x509: malformed certificate"},
        {"crypto.x509.parse_certificates(json.unmarshal(\"1\"))", "!operand 1 must be string but got number"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_network(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"net.lookup_ip_addr(\"10.0.0.1\")", "[\"10.0.0.1\"]"},
        {"net.lookup_ip_addr(\"localhost\")", "[\"127.0.0.1\",\"::1\"]"},
        {"net.lookup_ip_addr(\"example.com\")", "!no name may be looked up from here"},
        {"http.send({\"method\": \"get\", \"url\": \"http://example.com\"})",
         "!nothing may be reached from here"},
        {"http.send({\"method\": \"get\"})", "!missing required request parameters(s): {\"url\"}"},
        {"http.send({\"method\": \"get\", \"url\": \"x\", \"bad\": 1})",
         "!invalid request parameters(s): {\"bad\"}"},
        {"http.send({\"method\": \"get\", \"url\": \"x\", \"tls_ca_cert_file\": \"/etc/passwd\"})",
         "!is not supported"},
        {"opa.runtime()", "{}"},
        {"trace(\"x\")", "true"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

/* What the host answers, and that it is asked once for the same request. */
static unsigned asked;

static struct mln_err answer(void *with, struct mln_cx *cx, const struct mln_value *ask,
                             const struct mln_value **ret)
{
    struct mln_value *out = mln_object(cx), *headers = mln_object(cx);
    (void)with;
    asked++;
    if (!mln_is_text(mln_get(ask, "method"), "POST") ||
        !mln_is_text(mln_get(ask, "body"), "{\"a\":[1]}") ||
        !mln_is_text(mln_get(mln_get(ask, "headers"), "x"), "y") ||
        mln_get_int(mln_get(ask, "timeout_ms"), 0) != 1500) {
        return mln_fail(cx, MLN_E_INVALID, "asked for something else");
    }
    mln_put(cx, headers, "content-type",
            mln_string(cx, MLN_BYTES("application/json; charset=utf-8")));
    mln_put(cx, out, "status", mln_int(cx, 201));
    mln_put(cx, out, "headers", headers);
    mln_put(cx, out, "body", mln_string(cx, MLN_BYTES("{\"b\": 2}")));
    *ret = out;
    return MLN_OK;
}

static void test_host(void **state)
{
    (void)state;
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf got = {0};
    const struct mln_rego_net net = {.http = answer};
    const struct mln_rego_run_options options = {.net = &net, .is_strict = true};
    mln_cx_init(&cx, arena);
    assert_false(mln_failed(mln_rego_new(&cx, NULL, &rego)));
    assert_false(mln_failed(mln_rego_compile(rego, &cx)));
    assert_false(mln_failed(mln_rego_eval_new(&cx, &eval)));
    assert_false(mln_failed(mln_rego_prepare(
        rego, &cx,
        MLN_BYTES("r := {\"method\": \"post\", \"url\": \"http://h/\", \"body\": {\"a\": [1]}, "
                  "\"headers\": {\"x\": "
                  "\"y\"}, \"timeout\": \"1.5s\"}; a := http.send(r); b := http.send(r); a == b; x "
                  ":= [a.status, "
                  "a.status_code, a.body.b, a.raw_body, a.headers[\"content-type\"][0]]"),
        NULL, &query)));
    assert_false(mln_failed(mln_rego_run(eval, &cx, query, NULL, &options)));
    assert_true(mln_rego_binding_print(eval, 0, "x", &got));
    assert_true(mln_bytes_is(
        mln_buf_bytes(&got),
        "[\"201 Created\",201,2,\"{\\\"b\\\": 2}\",\"application/json; charset=utf-8\"]"));
    assert_int_equal(asked, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema),  cmocka_unit_test(test_templates),
        cmocka_unit_test(test_globs),   cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_network), cmocka_unit_test(test_host)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
