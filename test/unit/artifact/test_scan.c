/* SPDX-License-Identifier: Apache-2.0 */
/* Which scanners look at a file, the report, and text that is data or more than that. */
#include "scan_kit.h"

#define B(text) text, sizeof(text) - 1
#define EVIL    "\x80\x04\x8c\x02os\x8c\x06system\x93)R."

static const struct {
    const char *path;
    const char *bytes;
    size_t len;
    const char *format;
    enum mln_verdict verdict;
    const char *rule;
} rows[] = {
    /* whatever a pickle is named, it is one */
    {"a.pkl", B(EVIL), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a.txt", B(EVIL), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a.onnx", B(EVIL), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a.npy", B(EVIL), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a.h5", B(EVIL), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a", B("cos\nsystem\n(S'x'\ntR."), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a.md", B("cos\nsystem\n(S'x'\ntR."), "pickle", MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"a.pkl", B("just text\n"), "pickle", MLN_VERDICT_MALFORMED, "pickle-mark"},
    {"a.pkl", B(""), "pickle", MLN_VERDICT_MALFORMED, "pickle-truncated"},
    {"a.npy", B("\x01\x02\x03"), "npy", MLN_VERDICT_MALFORMED, NULL},
    /* not judged */
    {"a.bin", B("\x01\x02\x03\x04\xff\xfe"), "unknown", MLN_VERDICT_UNSUPPORTED, "unsupported"},
    {"a.pt", B("\x89PNG\r\n\x1a\n0000"), "png", MLN_VERDICT_UNSUPPORTED, "unsupported"},
    {"a.gguf", B("GGUF\3\0\0\0"), "gguf", MLN_VERDICT_UNSUPPORTED, "unsupported"},
    {"a.py", B("print(1)\n"), "code", MLN_VERDICT_UNSUPPORTED, "unsupported"},
    {"a.txt", B("#!/bin/sh\n"), "code", MLN_VERDICT_UNSUPPORTED, "unsupported"},
    {"a", B("<?xml version='1.0'?>"), "code", MLN_VERDICT_UNSUPPORTED, "unsupported"},
    {"a.json", B("{\"class_name\":\"Sequential\",\"config\":{}}"), "json", MLN_VERDICT_UNSUPPORTED,
     "unsupported"},
    {"a.json", B("{\"learner\":{},\"version\":[2,0,0]}"), "json", MLN_VERDICT_UNSUPPORTED,
     "unsupported"},
    /* data */
    {"a.txt", B("hello\n"), "text", MLN_VERDICT_CLEAN, NULL},
    {"a.txt", B("na\xefve\n"), "text", MLN_VERDICT_CLEAN, NULL},
    {"README", B("h\xc3\xa9llo\n"), "text", MLN_VERDICT_CLEAN, NULL},
    {"a", B(""), "text", MLN_VERDICT_CLEAN, NULL},
    {"a.csv", B("a,b\r\n1,2\r\n"), "csv", MLN_VERDICT_CLEAN, NULL},
    {"a.MD", B("# os.system\n"), "markdown", MLN_VERDICT_CLEAN, NULL},
    {"a.json", B("\xef\xbb\xbf{\"a\":[1,{\"b\":null}]}"), "json", MLN_VERDICT_CLEAN, NULL},
    {"a.jsonl", B("{\"a\":1}\n\n{\"a\":2}\n"), "jsonl", MLN_VERDICT_CLEAN, NULL},
    {"a.yaml", B("lr: 0.1\nlayers: [1, 2]\n"), "yaml", MLN_VERDICT_CLEAN, NULL},
    {"a.yaml", B("a: &x 1\nb: *x\n"), "yaml", MLN_VERDICT_CLEAN, NULL},
    {"a.json", B("{\"chat_template\":\"{% for m in messages %}{{ m.content }}{% endfor %}\"}"),
     "json", MLN_VERDICT_CLEAN, NULL},
    {"a.json", B("{\"trust_remote_code\":false,\"auto_map\":null}"), "json", MLN_VERDICT_CLEAN,
     NULL},
    {"MLmodel", B("loader_module: mlflow.sklearn\n"), "yaml", MLN_VERDICT_CLEAN, NULL},
    {"a.yaml", B("_target_: collections.OrderedDict\n"), "yaml", MLN_VERDICT_CLEAN, NULL},
    /* data that is more */
    {"a.json", B("{\"a\":[{\"chat_template\":\"{{ ''.__class__ }}\"}]}"), "json",
     MLN_VERDICT_MALICIOUS, "template-escape"},
    {"a.json", B("{\"chat_template\":\"{{ lipsum|attr('x') }}\"}"), "json", MLN_VERDICT_SUSPICIOUS,
     "template-odd"},
    {"a.json", B("{\"auto_map\":{\"AutoModel\":\"x--y.Z\"}}"), "json", MLN_VERDICT_SUSPICIOUS,
     "config-code"},
    {"a.json", B("{\"trust_remote_code\":true}"), "json", MLN_VERDICT_SUSPICIOUS, "config-trust"},
    {"a", B("{\"x\":{\"_target_\":\"os.system\"}}"), "json", MLN_VERDICT_MALICIOUS,
     "config-target"},
    {"a.jsonl", B("{}\n{\"_target_\":\"my.thing\"}\n"), "jsonl", MLN_VERDICT_SUSPICIOUS,
     "config-target"},
    {"a.yaml", B("m:\n  _target_: subprocess.run\n"), "yaml", MLN_VERDICT_MALICIOUS,
     "config-target"},
    {"a.yml", B("m: !!python/object/apply:os.system ['x']\n"), "yaml", MLN_VERDICT_MALICIOUS,
     "yaml-tag"},
    {"a.yml", B("m: !Thing {}\n"), "yaml", MLN_VERDICT_SUSPICIOUS, "yaml-tag"},
    {"a.yml", B("a: &x 1\nb: *x\n_target_: os.system\n"), "yaml", MLN_VERDICT_SUSPICIOUS,
     "config-unread"},
    {"m/MLmodel", B("flavors:\n  python_function:\n    loader_module: os\n"), "yaml",
     MLN_VERDICT_MALICIOUS, "config-loader"},
    /* broken */
    {"a.json", B("{\"a\":}"), "json", MLN_VERDICT_MALFORMED, "json"},
    {"a.json", B("{\"a\":1,\"a\":2}"), "json", MLN_VERDICT_MALFORMED, "json"},
    {"a.jsonl", B("{}\n{\n"), "jsonl", MLN_VERDICT_MALFORMED, "json"},
    {"a.yaml", B("a: [1\n"), "yaml", MLN_VERDICT_MALFORMED, "yaml"},
    {"a.txt", B("text\0and not\n"), "text", MLN_VERDICT_MALFORMED, "text"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_scan_report report = scan_report(cx);
        struct mln_scan_input input = {.path = rows[i].path,
                                       .map = mln_bytes_at(rows[i].bytes, rows[i].len)};
        const char *name = mln_text_format(cx, "row %zu, %s", i, rows[i].path);
        kit_ok(cx, mln_scan_bytes(cx, &input, &report));
        scan_expect(name, &report, rows[i].verdict, rows[i].rule);
        kit_text(mln_bytes_of(report.format), rows[i].format);
    }
}

/* The worst verdict stays; the value has what scripts rely on. */
static void test_report(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_scan_report report = scan_report(cx);
    mln_scan_find_call(&report, MLN_VERDICT_MALICIOUS, MLN_SEVERITY_CRITICAL, "r", 7, "REDUCE",
                       "os.\nsystem", "calls %s", "x\x01y\xff");
    mln_scan_find(&report, MLN_VERDICT_CLEAN, MLN_SEVERITY_LOW, "s", MLN_SCAN_OFFSET_NONE, "note");
    mln_scan_skip(&report, "data", 10, 20);
    report.bytes_read = 30;
    const struct mln_value *v = mln_scan_report_value(&report, "d/a\tb");
    kit_text(mln_get_bytes(mln_get(v, "path")), "d/a?b");
    kit_text(mln_get_bytes(mln_get(v, "verdict")), "malicious");
    kit_text(mln_get_bytes(mln_get(v, "format")), "unknown");
    assert_int_equal(mln_get_int(mln_get(v, "bytes"), 0), 30);
    assert_null(mln_get(v, "more_findings"));
    const struct mln_value *first = mln_item(mln_get(v, "findings"), 0);
    kit_text(mln_get_bytes(mln_get(first, "detail")), "calls x?y?");
    kit_text(mln_get_bytes(mln_get(first, "callable")), "os.?system");
    assert_int_equal(mln_get_int(mln_get(first, "offset"), 0), 7);
    assert_true(mln_is_null(mln_get(mln_item(mln_get(v, "findings"), 1), "offset")));
    assert_int_equal(mln_get_int(mln_get(mln_item(mln_get(v, "not_read"), 0), "bytes"), 0), 20);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(mln_verdict_name(MLN_VERDICT_MALFORMED), "malformed");
    assert_string_equal(mln_severity_name(MLN_SEVERITY_INFO), "info");
    for (size_t i = 0; mln_scanners[i] != NULL; i++) {
        assert_non_null(mln_scanners[i]->format);
        assert_non_null(mln_scanners[i]->summary);
    }
}

/* A long detail is cut at a whole character. */
static void test_long_detail(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_scan_report report = scan_report(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < 400; i++) {
        mln_buf_add_text(&text, "\xc3\xa9");
    }
    mln_scan_find(&report, MLN_VERDICT_CLEAN, MLN_SEVERITY_LOW, "s", 0, "x%.*s",
                  MLN_FMT(mln_buf_bytes(&text)));
    struct mln_bytes detail = mln_get_bytes(mln_get(mln_item(report.findings, 0), "detail"));
    assert_true(detail.len > 400 && detail.len % 2 == 1);
    assert_int_equal(mln_bytes_find(detail, '?'), detail.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_report),
                                       KIT_TEST(test_names), KIT_TEST(test_long_detail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
