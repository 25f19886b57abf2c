/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX: wire format, structure, sizes, operators, paths of external data. */
#include "scan_kit.h"

#include "artifact/proto.h"

extern const struct mln_scanner mln_scanner_onnx;

/* ---- messages by hand: a field of bytes, of text, a varint ---- */

static void put_varint(struct mln_buf *b, uint64_t v)
{
    for (; v > 0x7f; v >>= 7) {
        mln_buf_add_byte(b, (uint8_t)(v | 0x80));
    }
    mln_buf_add_byte(b, (uint8_t)v);
}

static struct mln_bytes done(struct mln_cx *cx, struct mln_buf *b)
{
    struct mln_bytes all = mln_bytes_dup(cx, mln_buf_bytes(b));
    mln_buf_drop(b);
    return all;
}

static struct mln_bytes num(struct mln_cx *cx, unsigned field, uint64_t v)
{
    struct mln_buf b = {0};
    put_varint(&b, field << 3);
    put_varint(&b, v);
    return done(cx, &b);
}

static struct mln_bytes sub(struct mln_cx *cx, unsigned field, struct mln_bytes content)
{
    struct mln_buf b = {0};
    put_varint(&b, field << 3 | 2);
    put_varint(&b, content.len);
    mln_buf_add_bytes(&b, content);
    return done(cx, &b);
}

static struct mln_bytes text(struct mln_cx *cx, unsigned field, const char *content)
{
    return sub(cx, field, mln_bytes_of(content));
}

static struct mln_bytes cat(struct mln_cx *cx, struct mln_bytes a, struct mln_bytes b)
{
    struct mln_buf buf = {0};
    mln_buf_add_bytes(&buf, a);
    mln_buf_add_bytes(&buf, b);
    return done(cx, &buf);
}

/* ---- models ---- */

static struct mln_bytes node_of(struct mln_cx *cx, const char *op, const char *domain)
{
    return cat(cx, text(cx, 4, op), text(cx, 7, domain));
}

static struct mln_bytes model_of(struct mln_cx *cx, struct mln_bytes graph)
{
    return cat(cx, num(cx, 1, 8), sub(cx, 7, graph));
}

static struct mln_bytes tensor_of(struct mln_cx *cx, uint64_t type, uint64_t dim, size_t raw)
{
    static const uint8_t zeros[64];
    struct mln_bytes head = cat(cx, num(cx, 1, dim), num(cx, 2, type));
    return cat(cx, head, sub(cx, 9, mln_bytes_at(zeros, raw)));
}

static struct mln_scan_report scan(struct mln_cx *cx, struct mln_bytes model)
{
    return scan_with(cx, &mln_scanner_onnx, "m.onnx", model);
}

static void test_operators(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *op, *domain;
        enum mln_verdict verdict;
        const char *rule;
    } t[] = {
        {"Relu", "", MLN_VERDICT_CLEAN, NULL},
        {"Relu", "ai.onnx", MLN_VERDICT_CLEAN, NULL},
        {"LinearClassifier", "ai.onnx.ml", MLN_VERDICT_CLEAN, NULL},
        {"FusedConv", "com.microsoft", MLN_VERDICT_CLEAN, NULL},
        {"Exec", "evil.domain", MLN_VERDICT_SUSPICIOUS, "onnx-custom-operator"},
        {"Relu", "ai.onnx.evil", MLN_VERDICT_SUSPICIOUS, "onnx-custom-operator"},
        {"PyOp", "ai.onnx.contrib", MLN_VERDICT_MALICIOUS, "onnx-code-operator"},
        {"PythonOp", "com.microsoft", MLN_VERDICT_MALICIOUS, "onnx-code-operator"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes node = sub(cx, 1, node_of(cx, t[i].op, t[i].domain));
        struct mln_scan_report report = scan(cx, model_of(cx, node));
        scan_expect(t[i].op, &report, t[i].verdict, t[i].rule);
        /* The same in a branch of an If, in a function and in a training graph. */
        struct mln_bytes branch = cat(cx, text(cx, 4, "If"), sub(cx, 5, sub(cx, 6, node)));
        report = scan(cx, model_of(cx, sub(cx, 1, branch)));
        scan_expect("in a branch", &report, t[i].verdict, t[i].rule);
        struct mln_bytes function = sub(cx, 7, node_of(cx, t[i].op, t[i].domain));
        report = scan(cx, cat(cx, model_of(cx, MLN_BYTES_NONE), sub(cx, 25, function)));
        scan_expect("in a function", &report, t[i].verdict, t[i].rule);
        report = scan(cx, cat(cx, model_of(cx, MLN_BYTES_NONE), sub(cx, 20, sub(cx, 2, node))));
        scan_expect("in training", &report, t[i].verdict, t[i].rule);
    }
}

static void test_own_functions(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes model = model_of(cx, sub(cx, 1, node_of(cx, "Mine", "my.functions")));
    struct mln_bytes function = cat(cx, text(cx, 1, "Mine"), text(cx, 10, "my.functions"));
    struct mln_scan_report report = scan(cx, model);
    scan_expect("without", &report, MLN_VERDICT_SUSPICIOUS, "onnx-custom-operator");
    report = scan(cx, cat(cx, model, sub(cx, 25, function)));
    scan_expect("with", &report, MLN_VERDICT_CLEAN, NULL);
}

static void test_external(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *key, *value;
        enum mln_verdict verdict;
        const char *rule;
    } t[] = {
        {"location", "weights.bin", MLN_VERDICT_CLEAN, "onnx-external-data"},
        {"location", "data/w..1/weights", MLN_VERDICT_CLEAN, "onnx-external-data"},
        {"location", "/etc/passwd", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"location", "../x", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"location", "a/../../x", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"location", "a\\..\\x", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"location", "C:/x", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"location", "https://x.example/w", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"location", "", MLN_VERDICT_SUSPICIOUS, "onnx-external-path"},
        {"offset", "-1", MLN_VERDICT_MALFORMED, "onnx-external"},
        {"length", "9223372036854775808", MLN_VERDICT_MALFORMED, "onnx-external"},
        {"length", "x", MLN_VERDICT_MALFORMED, "onnx-external"},
        {"checksum", "abc", MLN_VERDICT_MALFORMED, "onnx-external"}, /* no location */
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes pair = cat(cx, text(cx, 1, t[i].key), text(cx, 2, t[i].value));
        struct mln_bytes tensor = cat(cx, num(cx, 2, 1), sub(cx, 13, pair));
        struct mln_bytes outside = cat(cx, tensor, num(cx, 14, 1));
        struct mln_scan_report report = scan(cx, model_of(cx, sub(cx, 5, outside)));
        scan_expect(t[i].value, &report, t[i].verdict, t[i].rule);
        report = scan(cx, model_of(cx, sub(cx, 5, tensor))); /* does not say that it is outside */
        assert_int_equal(report.verdict, MLN_VERDICT_MALFORMED);
    }
}

static void test_sizes(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *name;
        uint64_t type, dim;
        size_t raw;
        enum mln_verdict verdict;
    } t[] = {
        {"floats", 1, 2, 8, MLN_VERDICT_CLEAN},
        {"halves", 10, 3, 6, MLN_VERDICT_CLEAN},
        {"four bits, odd", 22, 3, 2, MLN_VERDICT_CLEAN},
        {"empty", 1, 0, 0, MLN_VERDICT_CLEAN},
        {"an unknown type", 99, 3, 1, MLN_VERDICT_CLEAN},
        {"too few", 1, 2, 7, MLN_VERDICT_MALFORMED},
        {"too many", 1, 2, 9, MLN_VERDICT_MALFORMED},
        {"negative", 1, UINT64_MAX, 8, MLN_VERDICT_MALFORMED},
        {"too large", 11, INT64_MAX, 8, MLN_VERDICT_MALFORMED},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes tensor = tensor_of(cx, t[i].type, t[i].dim, t[i].raw);
        struct mln_scan_report report = scan(cx, model_of(cx, sub(cx, 5, tensor)));
        scan_expect(t[i].name, &report, t[i].verdict,
                    t[i].verdict == MLN_VERDICT_CLEAN ? NULL : "onnx-size");
        struct mln_bytes constant =
            cat(cx, text(cx, 4, "Constant"), sub(cx, 5, sub(cx, 5, tensor)));
        report = scan(cx, model_of(cx, sub(cx, 1, constant)));
        assert_int_equal(report.verdict, t[i].verdict);
    }
}

static void test_structure(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes graph = sub(cx, 1, node_of(cx, "Relu", ""));
    const struct {
        const char *name;
        struct mln_bytes model;
        enum mln_verdict verdict;
        const char *rule;
    } t[] = {
        {"no graph", num(cx, 1, 8), MLN_VERDICT_MALFORMED, "onnx-structure"},
        {"nothing", MLN_BYTES_NONE, MLN_VERDICT_MALFORMED, "onnx-structure"},
        {"two graphs", cat(cx, model_of(cx, graph), sub(cx, 7, graph)), MLN_VERDICT_MALFORMED,
         "onnx-structure"},
        {"graph is a number", cat(cx, model_of(cx, graph), num(cx, 7, 1)), MLN_VERDICT_MALFORMED,
         "onnx-structure"},
        {"unknown field", cat(cx, model_of(cx, graph), text(cx, 99, "x")), MLN_VERDICT_CLEAN,
         "onnx-unknown-field"},
        {"a group", cat(cx, model_of(cx, graph), MLN_BYTES("\x0b\x0c")), MLN_VERDICT_MALFORMED,
         "onnx-structure"},
        {"field 0", cat(cx, model_of(cx, graph), MLN_BYTES("\x02\x00")), MLN_VERDICT_MALFORMED,
         "onnx-structure"},
        {"a node that is cut", model_of(cx, sub(cx, 1, MLN_BYTES("\x22\x09Rel"))),
         MLN_VERDICT_MALFORMED, "onnx-structure"},
        {"a tail", cat(cx, model_of(cx, graph), MLN_BYTES("PK\3\4")), MLN_VERDICT_MALFORMED,
         "onnx-structure"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_scan_report report = scan(cx, t[i].model);
        scan_expect(t[i].name, &report, t[i].verdict, t[i].rule);
    }
    struct mln_bytes whole = model_of(cx, graph);
    for (size_t n = 0; n < whole.len; n++) {
        struct mln_scan_report report = scan(cx, mln_bytes_sub(whole, 0, n));
        assert_int_equal(report.verdict, MLN_VERDICT_MALFORMED);
    }
}

static void test_depth(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes graph = MLN_BYTES_NONE;
    for (unsigned depth = 0; depth < 64; depth++) {
        struct mln_scan_report report = scan(cx, model_of(cx, graph));
        scan_expect("depth", &report, depth < 32 ? MLN_VERDICT_CLEAN : MLN_VERDICT_MALFORMED,
                    depth < 32 ? NULL : "onnx-depth");
        graph = sub(cx, 1, cat(cx, text(cx, 4, "If"), sub(cx, 5, sub(cx, 6, graph))));
    }
}

static void test_probe(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_scanner *s = &mln_scanner_onnx;
    struct mln_bytes model = model_of(cx, sub(cx, 1, node_of(cx, "Relu", "")));
    assert_int_equal(scan_probe(s, "x", model), 3);
    assert_int_equal(scan_probe(s, "x", mln_bytes_sub(model, 0, model.len - 1)), 0);
    assert_int_equal(scan_probe(s, "x.ONNX", MLN_BYTES("hello")), 1);
    assert_int_equal(scan_probe(s, "x", MLN_BYTES("hello")), 0);
    assert_int_equal(scan_probe(s, "x", cat(cx, num(cx, 1, 1), sub(cx, 2, model))), 0);
    assert_int_equal(scan_probe(s, "", MLN_BYTES_NONE), 0);
}

static void test_varints(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct mln_bytes in;
        bool ok;
        uint64_t want;
    } t[] = {
        {"zero", {(const uint8_t *)"\0", 1}, true, 0},
        {"two bytes", {(const uint8_t *)"\xac\x02", 2}, true, 300},
        {"largest",
         {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
         true,
         UINT64_MAX},
        {"more than 64 bits",
         {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
         false,
         0},
        {"eleven bytes",
         {(const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11},
         false,
         0},
        {"cut", {(const uint8_t *)"\x80", 1}, false, 0},
        {"nothing", {(const uint8_t *)"", 0}, false, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_proto r = mln_proto_of(t[i].in);
        uint64_t v = 7;
        assert_int_equal(mln_proto_varint(&r, &v), t[i].ok);
        assert_int_equal(v, t[i].ok ? t[i].want : 7);
        assert_int_equal(r.is_bad, !t[i].ok);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KIT_TEST(test_operators), KIT_TEST(test_own_functions), KIT_TEST(test_external),
        KIT_TEST(test_sizes),     KIT_TEST(test_structure),     KIT_TEST(test_depth),
        KIT_TEST(test_probe),     KIT_TEST(test_varints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
