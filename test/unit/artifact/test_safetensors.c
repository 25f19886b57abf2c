/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: every byte belongs to one tensor, the header is strict. */
#include "scan_kit.h"

extern const struct mln_scanner mln_scanner_safetensors;

#define T(dtype, shape, from, to)                                                                  \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static struct mln_bytes file_of(struct mln_cx *cx, const char *header, size_t tail)
{
    struct mln_bytes text = mln_bytes_of(header);
    uint8_t *p = mln_new(cx, 8 + text.len + tail);
    mln_put_u64le(p, text.len);
    mln_copy(p + 8, text.ptr, text.len);
    return mln_bytes_at(p, 8 + text.len + tail);
}

static const struct {
    const char *name;
    const char *header;
    size_t data;
    enum mln_verdict verdict;
    const char *rule;
} rows[] = {
    {"one tensor", "{\"a\":" T("F32", "[2]", 0, 8) "}", 8, MLN_VERDICT_CLEAN, NULL},
    {"no tensor", "{}", 0, MLN_VERDICT_CLEAN, NULL},
    {"padded header", "{}      ", 0, MLN_VERDICT_CLEAN, NULL},
    {"metadata", "{\"__metadata__\":{\"format\":\"pt\"}}", 0, MLN_VERDICT_CLEAN, NULL},
    {"scalar and empty", "{\"a\":" T("I64", "[]", 0, 8) ",\"b\":" T("U8", "[0,4]", 8, 8) "}", 8,
     MLN_VERDICT_CLEAN, NULL},
    {"in another order", "{\"b\":" T("U8", "[4]", 4, 8) ",\"a\":" T("U8", "[4]", 0, 4) "}", 8,
     MLN_VERDICT_CLEAN, NULL},
    {"four bits", "{\"a\":" T("F4", "[2,3]", 0, 3) "}", 3, MLN_VERDICT_CLEAN, NULL},
    {"odd bits", "{\"a\":" T("F4", "[3]", 0, 2) "}", 2, MLN_VERDICT_MALFORMED, "safetensors-size"},
    {"tail", "{\"a\":" T("U8", "[4]", 0, 4) "}", 5, MLN_VERDICT_MALFORMED, "safetensors-tail"},
    {"only a tail", "{}", 3, MLN_VERDICT_MALFORMED, "safetensors-tail"},
    {"hole", "{\"a\":" T("U8", "[4]", 4, 8) "}", 8, MLN_VERDICT_MALFORMED, "safetensors-hole"},
    {"overlap", "{\"a\":" T("U8", "[4]", 0, 4) ",\"b\":" T("U8", "[4]", 2, 6) "}", 6,
     MLN_VERDICT_MALFORMED, "safetensors-overlap"},
    {"same bytes twice", "{\"a\":" T("U8", "[4]", 0, 4) ",\"b\":" T("U8", "[4]", 0, 4) "}", 4,
     MLN_VERDICT_MALFORMED, "safetensors-overlap"},
    {"beyond the file", "{\"a\":" T("U8", "[9]", 0, 9) "}", 8, MLN_VERDICT_MALFORMED,
     "safetensors-offsets"},
    {"backwards", "{\"a\":" T("U8", "[0]", 4, 0) "}", 4, MLN_VERDICT_MALFORMED,
     "safetensors-offsets"},
    {"negative", "{\"a\":" T("U8", "[4]", -4, 0) "}", 4, MLN_VERDICT_MALFORMED,
     "safetensors-offsets"},
    {"size differs", "{\"a\":" T("F32", "[2]", 0, 4) "}", 4, MLN_VERDICT_MALFORMED,
     "safetensors-size"},
    {"size overflows", "{\"a\":" T("F32", "[4294967296,4294967296]", 0, 4) "}", 4,
     MLN_VERDICT_MALFORMED, "safetensors-size"},
    {"negative shape", "{\"a\":" T("U8", "[-4]", 0, 4) "}", 4, MLN_VERDICT_MALFORMED,
     "safetensors-size"},
    {"shape is no list", "{\"a\":" T("U8", "4", 0, 4) "}", 4, MLN_VERDICT_MALFORMED,
     "safetensors-size"},
    {"unknown dtype", "{\"a\":" T("OBJ", "[4]", 0, 4) "}", 4, MLN_VERDICT_MALFORMED,
     "safetensors-dtype"},
    {"more members", "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":1}}", 0,
     MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0,0]}}", 0,
     MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"tensor is a number", "{\"a\":1}", 0, MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"duplicate key", "{\"a\":" T("U8", "[4]", 0, 4) ",\"a\":" T("U8", "[4]", 0, 4) "}", 4,
     MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"no JSON", "{nope}", 0, MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"an array", "[]", 0, MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"text behind the header", "{} x", 0, MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"blank before the header", " {}", 0, MLN_VERDICT_MALFORMED, "safetensors-header"},
    {"metadata with a number", "{\"__metadata__\":{\"a\":1}}", 0, MLN_VERDICT_MALFORMED,
     "safetensors-metadata"},
    {"metadata is text", "{\"__metadata__\":\"x\"}", 0, MLN_VERDICT_MALFORMED,
     "safetensors-metadata"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_scan_report report = scan_with(cx, &mln_scanner_safetensors, "m.safetensors",
                                                  file_of(cx, rows[i].header, rows[i].data));
        scan_expect(rows[i].name, &report, rows[i].verdict, rows[i].rule);
        assert_string_equal(report.format, "safetensors");
    }
}

static void test_lengths(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const uint64_t lengths[] = {
        3, 1000, (uint64_t)100 << 20, ((uint64_t)100 << 20) + 1, (uint64_t)1 << 62, UINT64_MAX};
    for (size_t i = 0; i < MLN_COUNT(lengths); i++) {
        uint8_t raw[10] = {[8] = '{', [9] = '}'};
        mln_put_u64le(raw, lengths[i]);
        struct mln_scan_report report =
            scan_with(cx, &mln_scanner_safetensors, "m.safetensors", mln_bytes_at(raw, 10));
        scan_expect("length", &report, MLN_VERDICT_MALFORMED, "safetensors-length");
    }
    for (size_t n = 0; n < 10; n++) {
        struct mln_scan_report report =
            scan_with(cx, &mln_scanner_safetensors, "m.safetensors",
                      mln_bytes_sub(MLN_BYTES("\0\0\0\0\0\0\0\0\0"), 0, n));
        scan_expect("short", &report, MLN_VERDICT_MALFORMED, "safetensors-header");
    }
}

static void test_probe(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_scanner *s = &mln_scanner_safetensors;
    assert_int_equal(scan_probe(s, "m.bin", file_of(cx, "{}", 0)), 3);
    assert_int_equal(scan_probe(s, "m.SafeTensors", MLN_BYTES("hello")), 1);
    assert_int_equal(scan_probe(s, "m.bin", MLN_BYTES("hello, this is text")), 0);
    assert_int_equal(scan_probe(s, "m.json", MLN_BYTES("{\"a\": 1, {\"b\": 2}}")), 0);
    assert_int_equal(scan_probe(s, "", MLN_BYTES_NONE), 0);
}

static void test_not_read(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_scan_report report =
        scan_with(cx, &mln_scanner_safetensors, "m.safetensors",
                  file_of(cx, "{\"a\":" T("U8", "[1000]", 0, 1000) "}", 1000));
    assert_int_equal(mln_len(report.unread), 1);
    assert_int_equal(mln_get_int(mln_get(mln_item(report.unread, 0), "bytes"), 0), 1000);
    assert_true(report.bytes_read < 200);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),
        KIT_TEST(test_lengths),
        KIT_TEST(test_probe),
        KIT_TEST(test_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
