/* SPDX-License-Identifier: Apache-2.0 */
/* The template language: what renders to what, and where and why the rest is refused. */
#include "kit/kit.h"

#include <stdio.h>
#include <string.h>

#include "agent/template.h"
#include "base/json.h"

static const char answer[] =
    "{\"LeaseID\":\"\",\"LeaseDuration\":0,\"Data\":{\"data\":{\"user\":\"app\",\"password\":\"p}}"
    "w\",\"port\":5432,\"on\":true,\"none\":null,"
    "\"ratio\":0.50,\"list\":[\"a\",\"b\",\"c\"],\"map\":{\"z\":1,\"y\":2},\"b64\":\"aGVsbG8=\","
    "\"json\":\"{\\\"k\\\":\\\"v\\\"}\",\"pem\":\"l1\\nl2\"}"
    ",\"metadata\":{\"version\":3}}}";

struct asked {
    char path[64], params[64];
    bool is_list;
};

static struct mln_err fake_secret(struct mln_cx *cx, void *arg, struct mln_bytes path, bool is_list,
                                  const struct mln_value *params, const struct mln_value **ret)
{
    struct asked *asked = arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    memset(asked, 0, sizeof(*asked));
    snprintf(asked->path, sizeof(asked->path), "%.*s", MLN_FMT(path));
    asked->is_list = is_list;
    if (params != NULL) {
        mln_json_print(&buf, params, MLN_JSON_COMPACT);
        snprintf(asked->params, sizeof(asked->params), "%.*s", (int)buf.len, (const char *)buf.ptr);
    }
    if (mln_bytes_is(path, "gone")) {
        *ret = mln_null(cx);
        return MLN_OK;
    }
    if (mln_bytes_is(path, "denied")) {
        return mln_fail(cx, MLN_E_DENIED, "permission denied");
    }
    return mln_json_parse(cx,
                          is_list ? mln_bytes_of("{\"Data\":{\"keys\":[\"one\",\"two/\"]}}")
                                  : mln_bytes_of(answer),
                          ret);
}

static const char *fake_env(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "APP") == 0 ? "web" : NULL;
}

static struct mln_err render(struct mln_cx *cx, const char *text, bool fails_on_missing,
                             struct asked *asked, struct mln_buf *to)
{
    struct mln_render *parsed = NULL;
    struct mln_render_world world = {
        .secret = fake_secret, .env = fake_env, .arg = asked, .fails_on_missing = fails_on_missing};
    mln_buf_clear(to);
    MLN_TRY(mln_render_parse(cx, mln_bytes_of(text), &parsed));
    return mln_render_run(cx, parsed, &world, to);
}

#define WITH(inner) "{{ with secret \"secret/data/app\" }}" inner "{{ end }}"

static void test_renders(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"", ""},
        {"plain { } }} text\n", "plain { } }} text\n"},
        {"a{{/* note }} */}}b", "ab"},
        {"a \n {{- /* note */ -}} \n b", "ab"},
        {"{{ \"q\\\"\\n\\u00e9\" }}", "q\"\n\xc3\xa9"},
        {"{{ `raw \\ }}` }}", "raw \\ }}"},
        {"{{ -5 }} {{ true }}{{false}}", "-5 truefalse"},
        {"x  {{- 1 -}}  y", "x1y"},
        {WITH("{{ .Data.data.password }}"), "p}}w"},
        {WITH("{{ .Data.data.port }}/{{ .Data.data.ratio }}/{{ .Data.data.on }}"),
         "5432/0.50/true"},
        {WITH("{{ .Data.data.nosuch }}"), "<no value>"},
        {WITH("{{ with .Data.data }}{{ .user }}:{{ .password }}{{ end }}"), "app:p}}w"},
        {WITH("{{ if .Data.data.on }}yes{{ else }}no{{ end }}"), "yes"},
        {WITH("{{ if .Data.data.none }}1{{ else if .Data.data.on }}2{{ else }}3{{ end }}"), "2"},
        {WITH("{{ if .Data.data.none }}1{{ else if eq .Data.data.port 1 }}2{{ else if false }}4{{ "
              "else }}3{{ end }}!"),
         "3!"},
        {WITH("{{ range .Data.data.list }}[{{ . }}]{{ end }}"), "[a][b][c]"},
        {WITH("{{ range $i, $v := .Data.data.list }}{{ $i }}={{ $v }};{{ end }}"), "0=a;1=b;2=c;"},
        {WITH("{{ range $k, $v := .Data.data.map }}{{ $k }}={{ $v }};{{ end }}"), "y=2;z=1;"},
        {WITH("{{ range $v := .Data.data.list }}{{ $v }}{{ end }}"), "abc"},
        {WITH("{{ range .Data.data.none }}x{{ else }}empty{{ end }}"), "empty"},
        {"{{ with secret \"gone\" }}x{{ else }}none{{ end }}", "none"},
        {"{{ with $s := secret \"x\" }}{{ $s.Data.metadata.version }}{{ end }}", "3"},
        {"{{ $app := env \"APP\" }}{{ $app }}{{ $app | toUpper }}", "webWEB"},
        {"{{ $a := 1 }}{{ if true }}{{ $a := 2 }}{{ $a }}{{ end }}{{ $a }}", "21"},
        {"{{ env \"NOSUCH\" }}|", "|"},
        {WITH("{{ .Data.data.b64 | base64Decode }}"), "hello"},
        {"{{ base64Encode \"hello\" }}{{ \"_w==\" | base64URLDecode | len }}", "aGVsbG8=1"},
        {WITH("{{ .Data.data.map | toJSON }}"), "{\"y\":2,\"z\":1}"},
        {WITH("{{ .Data.data.map | toJSONPretty }}"), "{\n  \"y\": 2,\n  \"z\": 1\n}"},
        {WITH("{{ (parseJSON .Data.data.json).k }}"), "v"},
        {WITH("{{ index .Data.data \"user\" }}{{ index .Data.data.list 2 }}"), "appc"},
        {WITH("{{ index .Data \"data\" \"list\" 0 }}"), "a"},
        {WITH("{{ index .Data.data.list 0 | toUpper | printf \"<%s>\" }}"), "<A>"},
        {WITH("{{ join \", \" .Data.data.list }}"), "a, b, c"},
        {WITH("{{ .Data.data.pem | indent 2 }}"), "  l1\n  l2"},
        {"{{ range split \",\" \"a,b,\" }}({{ . }}){{ end }}", "(a)(b)()"},
        {"{{ printf \"%s-%d-%v-%q%%\" \"a\" 5 true \"q\\\"\" }}", "a-5-true-\"q\\\"\"%"},
        {"{{ if and true (not false) (eq 1 2 1) (ne 1 2) }}y{{ end }}", "y"},
        {"{{ or \"\" \"b\" }}{{ and 1 0 }}", "b0"},
        {"{{ trimSpace \" a \" }}{{ toLower \"AB\" }}{{ replaceAll \"a\" \"bb\" \"aca\" }}",
         "aabbbcbb"},
        {"{{ if contains \"b\" \"abc\" }}y{{ end }}{{ if contains \"z\" \"abc\" }}n{{ end }}", "y"},
        {"{{ range secrets \"secret/metadata\" }}{{ . }} {{ end }}", "one two/ "},
    };
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    struct asked asked;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        kit_expect(cx, rows[i].in, render(cx, rows[i].in, false, &asked, &buf), MLN_E_OK);
        kit_text(mln_buf_bytes(&buf), rows[i].want);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *in;
        enum mln_code code;
        const char *says;
    } rows[] = {
        {"{{", MLN_E_PARSE, "line 1, column 3: the action is not closed"},
        {"a\n  {{ nosuch 1 }}", MLN_E_PARSE, "line 2, column 6: unknown function 'nosuch'"},
        {"{{ if true }}x", MLN_E_PARSE, "line 1, column 4: 'end' is missing"},
        {"{{ end }}", MLN_E_PARSE, "outside of any block"},
        {"{{ else }}", MLN_E_PARSE, "outside of any block"},
        {"{{ if true }}{{ else }}{{ else }}{{ end }}", MLN_E_PARSE, "a second 'else'"},
        {"{{ if }}x{{ end }}", MLN_E_PARSE, "a value is missing"},
        {"{{ }}", MLN_E_PARSE, "a value is missing"},
        {"{{ \"a }}", MLN_E_PARSE, "not closed"},
        {"{{ \"\\x41\" }}", MLN_E_PARSE, "an escape"},
        {"{{ `a }}", MLN_E_PARSE, "not closed"},
        {"{{/* a }}", MLN_E_PARSE, "the comment is not closed"},
        {"{{ 1.5 }}", MLN_E_PARSE, "not a whole number"},
        {"{{ $x }}", MLN_E_PARSE, "undefined variable '$x'"},
        {"{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", MLN_E_PARSE, "undefined variable"},
        {"{{ $x := 1 }}{{ $x = 2 }}", MLN_E_PARSE, "set once"},
        {"{{ with $a, $b := 1 }}{{ end }}", MLN_E_PARSE, "for 'range' only"},
        {"{{ .a b }}", MLN_E_PARSE, "takes no arguments"},
        {"{{ .a..b }}", MLN_E_PARSE, "a field's name is missing"},
        {"{{ 1 | 2 }}", MLN_E_PARSE, "a function is missing"},
        {"{{ (1 }}", MLN_E_PARSE, "')' is missing"},
        {"{{ 1) }}", MLN_E_PARSE, "not"},
        {"{{ env }}", MLN_E_PARSE, "wrong number of arguments for 'env': 0"},
        {"{{ env \"A\" \"B\" }}", MLN_E_PARSE, "wrong number"},
        {"{{ template \"x\" }}", MLN_E_PARSE, "unknown function 'template'"},
        {"{{ define \"x\" }}{{ end }}", MLN_E_PARSE, "unknown function 'define'"},
        {"{{ executeTemplate \"x\" }}", MLN_E_PARSE, "unknown function"},
        {"{{ plugin \"/bin/sh\" }}", MLN_E_PARSE, "unknown function"},
        {"{{ file \"/etc/passwd\" }}", MLN_E_PARSE, "unknown function"},
        {"{{ .a }}", MLN_E_INVALID, "'.a' of nothing"},
        {"{{ env 1 }}", MLN_E_INVALID, "must be a text"},
        {WITH("{{ .Data }}"), MLN_E_INVALID, "a map cannot be printed"},
        {WITH("{{ .Data.data.list }}"), MLN_E_INVALID, "a list cannot be printed"},
        {WITH("{{ .Data.data.user.x }}"), MLN_E_INVALID, "of what is no map"},
        {WITH("{{ index .Data.data.list 3 }}"), MLN_E_INVALID, "no item"},
        {WITH("{{ range .Data.data.user }}{{ end }}"), MLN_E_INVALID, "over maps and lists only"},
        {WITH("{{ .Data.data.password | base64Decode }}"), MLN_E_INVALID, "not base64"},
        {"{{ if eq 1 \"1\" }}{{ end }}", MLN_E_INVALID, "different kinds"},
        {"{{ printf \"%s\" }}", MLN_E_INVALID, "printf"},
        {"{{ printf \"%x\" 1 }}", MLN_E_INVALID, "printf"},
        {"{{ printf \"a\" 1 }}", MLN_E_INVALID, "more values"},
        {"{{ secret \"a\" \"novalue\" }}", MLN_E_INVALID, "name=value"},
        {"{{ secret \"denied\" }}", MLN_E_DENIED, "permission denied"},
    };
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    struct asked asked;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        kit_expect_at(cx, render(cx, rows[i].in, false, &asked, &buf), rows[i].code, rows[i].says,
                      rows[i].in, __FILE__, __LINE__);
    }
    kit_refused_with(cx, render(cx, WITH("\n{{ .Data.data.nosuch }}"), true, &asked, &buf),
                     MLN_E_INVALID, "line 2, column 4: there is no member 'nosuch'");
}

/* Nothing that a secret holds may come back in an error. */
static void test_errors_hold_no_secret(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    struct asked asked;
    assert_true(mln_failed(
        render(cx, WITH("{{ .Data.data.password | base64Decode }}"), false, &asked, &buf)));
    assert_null(strstr(cx->text, "p}}w"));
    mln_cx_clear(cx);
    assert_true(
        mln_failed(render(cx, WITH("{{ .Data.data.password | parseJSON }}"), false, &asked, &buf)));
    assert_null(strstr(cx->text, "p}}w"));
    mln_cx_clear(cx);
}

static void test_asks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    struct asked asked;
    kit_ok(cx, render(cx,
                      "{{ with secret (printf \"pki/issue/%s\" (env \"APP\")) \"common_name=a.b\" "
                      "\"ttl=1h=\" }}{{ end }}",
                      false, &asked, &buf));
    assert_string_equal(asked.path, "pki/issue/web");
    assert_string_equal(asked.params, "{\"common_name\":\"a.b\",\"ttl\":\"1h=\"}");
    assert_false(asked.is_list);
    kit_ok(cx,
           render(cx, "{{ range secrets \"secret/metadata/\" }}{{ end }}", false, &asked, &buf));
    assert_true(asked.is_list && asked.params[0] == '\0');
}

/* Depth, length of output and work are bounded, whatever the template. */
static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0}, buf = {0};
    struct asked asked;
    for (size_t i = 0; i < 40; i++) {
        mln_buf_add_text(&text, "{{ if true }}");
    }
    mln_buf_add_byte(&text, 0);
    kit_refused_with(cx, render(cx, (const char *)text.ptr, false, &asked, &buf), MLN_E_PARSE,
                     "nested deeper");
    mln_buf_clear(&text);
    mln_buf_add_text(&text, "{{ ");
    for (size_t i = 0; i < 40; i++) {
        mln_buf_add_text(&text, "(");
    }
    mln_buf_add_byte(&text, 0);
    kit_refused_with(cx, render(cx, (const char *)text.ptr, false, &asked, &buf), MLN_E_PARSE,
                     "not closed");
    text.len--;
    mln_buf_add_text(&text, "}}");
    mln_buf_add_byte(&text, 0);
    kit_refused_with(cx, render(cx, (const char *)text.ptr, false, &asked, &buf), MLN_E_PARSE,
                     "nested deeper");
    mln_buf_clear(&text);
    mln_buf_add_text(&text, "{{ $l := split \",\" \",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\" }}");
    for (size_t i = 0; i < 8; i++) {
        mln_buf_add_text(&text, "{{ range $l }}");
    }
    for (size_t i = 0; i < 8; i++) {
        mln_buf_add_text(&text, "{{ end }}");
    }
    mln_buf_add_byte(&text, 0);
    kit_refused_with(cx, render(cx, (const char *)text.ptr, false, &asked, &buf), MLN_E_TOO_LARGE,
                     "runs too long");
    mln_buf_clear(&text);
    mln_buf_add_text(&text, "{{ $a := \"0123456789012345678901234567890123456789\" }}");
    for (char c = 'b'; c < 'z'; c++) {
        mln_buf_add_format(&text, "{{ $%c := printf \"%%s%%s\" $%c $%c }}", c, c - 1, c - 1);
    }
    mln_buf_add_byte(&text, 0);
    assert_true(mln_failed(render(cx, (const char *)text.ptr, false, &asked, &buf)));
    mln_cx_clear(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_renders), KIT_TEST(test_refused), KIT_TEST(test_errors_hold_no_secret),
        KIT_TEST(test_asks),    KIT_TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
