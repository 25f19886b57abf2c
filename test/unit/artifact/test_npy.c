/* SPDX-License-Identifier: Apache-2.0 */
/* npy: the header's literal, sizes, arrays of objects. */
#include "artifact/npy.h"
#include "scan_kit.h"

extern const struct mln_scanner mln_scanner_npy;

#define H(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape ", }"
/* os.system("true") and None, as pickles */
#define PICKLE_BAD                                                                                 \
    "\x80\x03"                                                                                     \
    "cposix\nsystem\nX\x04\0\0\0true\x85R."
#define PICKLE_GOOD                                                                                \
    "\x80\x03"                                                                                     \
    "]N."

static struct mln_bytes file_of(struct mln_cx *cx, uint8_t major, const char *header,
                                struct mln_bytes data)
{
    struct mln_buf buf = {0};
    struct mln_bytes text = mln_bytes_of(header);
    uint8_t len[4];
    mln_put_u32le(len, (uint32_t)text.len + 1);
    mln_buf_add(&buf, "\x93NUMPY", 6);
    mln_buf_add_byte(&buf, major);
    mln_buf_add_byte(&buf, 0);
    mln_buf_add(&buf, len, major == 1 ? 2 : 4);
    mln_buf_add_bytes(&buf, text);
    mln_buf_add_byte(&buf, '\n');
    mln_buf_add_bytes(&buf, data);
    struct mln_bytes file = mln_bytes_dup(cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return file;
}

static const struct {
    const char *name;
    const char *header;
    size_t data;
    enum mln_verdict verdict;
    const char *rule;
} rows[] = {
    {"floats", H("'<f4'", "(2, 3)"), 24, MLN_VERDICT_CLEAN, NULL},
    {"scalar", H("'|u1'", "()"), 1, MLN_VERDICT_CLEAN, NULL},
    {"one dimension", H("'<i8'", "(3,)"), 24, MLN_VERDICT_CLEAN, NULL},
    {"empty", H("'<i8'", "(0, 7)"), 0, MLN_VERDICT_CLEAN, NULL},
    {"text", H("'<U3'", "(2,)"), 24, MLN_VERDICT_CLEAN, NULL},
    {"bytes", H("'|S5'", "(2,)"), 10, MLN_VERDICT_CLEAN, NULL},
    {"bool", H("'|b1'", "(4,)"), 4, MLN_VERDICT_CLEAN, NULL},
    {"time", H("'<M8[ns]'", "(1,)"), 8, MLN_VERDICT_CLEAN, NULL},
    {"longs of Python 2", H("'<i4'", "(2L,)"), 8, MLN_VERDICT_CLEAN, NULL},
    {"structured", H("[('a', '<i4'), ('b', '<f8', (2, 2)), ('', '|V4')]", "(2,)"), 80,
     MLN_VERDICT_CLEAN, NULL},
    {"nested structure", H("[('a', [('x', '<i2'), ('y', '<i2')])]", "(1,)"), 4, MLN_VERDICT_CLEAN,
     NULL},
    {"titles", H("[(('title', 'a'), '<i4')]", "(1,)"), 4, MLN_VERDICT_CLEAN, NULL},
    {"other order of keys", "{'shape': (1,), 'descr': '|u1', 'fortran_order': True}", 1,
     MLN_VERDICT_CLEAN, NULL},
    {"too short", H("'<f4'", "(2, 3)"), 23, MLN_VERDICT_MALFORMED, "npy-short"},
    {"tail", H("'<f4'", "(2, 3)"), 25, MLN_VERDICT_MALFORMED, "npy-tail"},
    {"size overflows", H("'<f8'", "(4294967296, 4294967296)"), 8, MLN_VERDICT_MALFORMED,
     "npy-header"},
    {"negative shape", H("'<f8'", "(-1,)"), 8, MLN_VERDICT_MALFORMED, "npy-header"},
    {"shape is no tuple", H("'<f8'", "(1)"), 8, MLN_VERDICT_MALFORMED, "npy-header"},
    {"shape is a list", H("'<f8'", "[1]"), 8, MLN_VERDICT_MALFORMED, "npy-header"},
    {"unknown kind", H("'<z4'", "(1,)"), 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"no size", H("'<f'", "(1,)"), 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"type by name", H("'object'", "(1,)"), 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"types in a string", H("'i4,O'", "(1,)"), 12, MLN_VERDICT_MALFORMED, "npy-header"},
    {"huge item", H("'|S99999999999'", "(1,)"), 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"a call", H("__import__('os')", "(1,)"), 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"escapes", H("'\\x3cf4'", "(1,)"), 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"string does not end", "{'descr: 1}", 4, MLN_VERDICT_MALFORMED, "npy-header"},
    {"key twice", "{'descr': '|u1', 'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 1,
     MLN_VERDICT_MALFORMED, "npy-header"},
    {"unknown key", "{'descr': '|u1', 'x': 1, 'fortran_order': False, 'shape': (1,)}", 1,
     MLN_VERDICT_MALFORMED, "npy-header"},
    {"key missing", "{'descr': '|u1', 'shape': (1,)}", 1, MLN_VERDICT_MALFORMED, "npy-header"},
    {"behind the dict", H("'|u1'", "(1,)") " or 1", 1, MLN_VERDICT_MALFORMED, "npy-header"},
    {"order is a number", "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}", 1,
     MLN_VERDICT_MALFORMED, "npy-header"},
    {"no dict", "[]", 0, MLN_VERDICT_MALFORMED, "npy-header"},
    {"nothing", "", 0, MLN_VERDICT_MALFORMED, "npy-header"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const uint8_t zeros[128];
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        for (uint8_t major = 1; major <= 3; major++) {
            struct mln_bytes map =
                file_of(cx, major, rows[i].header, mln_bytes_at(zeros, rows[i].data));
            struct mln_scan_report report = scan_with(cx, &mln_scanner_npy, "a.npy", map);
            scan_expect(rows[i].name, &report, rows[i].verdict, rows[i].rule);
        }
    }
}

static void test_objects(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const headers[] = {H("'|O'", "(1,)"), H("'O'", "(1,)"), H("'|O8'", "(1,)"),
                                          H("[('a', '<i4'), ('b', '|O')]", "(1,)"),
                                          H("('|O', (2,))", "(1,)")};
    for (size_t i = 0; i < MLN_COUNT(headers); i++) {
        struct mln_scan_report bad = scan_with(cx, &mln_scanner_npy, "a.npy",
                                               file_of(cx, 1, headers[i], MLN_BYTES(PICKLE_BAD)));
        assert_true(bad.verdict >= MLN_VERDICT_SUSPICIOUS);
        assert_true(scan_has_rule(&bad, "npy-object"));
        struct mln_scan_report good = scan_with(cx, &mln_scanner_npy, "a.npy",
                                                file_of(cx, 1, headers[i], MLN_BYTES(PICKLE_GOOD)));
        scan_expect(headers[i], &good, MLN_VERDICT_CLEAN, "npy-object");
        assert_string_equal(good.format, "npy");
        struct mln_scan_report tail =
            scan_with(cx, &mln_scanner_npy, "a.npy",
                      file_of(cx, 1, headers[i], MLN_BYTES(PICKLE_GOOD PICKLE_BAD)));
        assert_true(tail.verdict >= MLN_VERDICT_SUSPICIOUS);
    }
}

/* Several arrays in one file, as numpy.save on an open file writes them: the last one counts too. */
static void test_several(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes first = file_of(cx, 1, H("'|u1'", "(2,)"), MLN_BYTES("ab"));
    struct mln_bytes bad = file_of(cx, 2, H("'|O'", "(1,)"), MLN_BYTES(PICKLE_BAD));
    uint8_t *p = mln_new(cx, 2 * first.len + bad.len);
    mln_copy(p, first.ptr, first.len);
    mln_copy(p + first.len, first.ptr, first.len);
    mln_copy(p + 2 * first.len, bad.ptr, bad.len);
    struct mln_scan_report two =
        scan_with(cx, &mln_scanner_npy, "a.npy", mln_bytes_at(p, 2 * first.len));
    scan_expect("two", &two, MLN_VERDICT_CLEAN, NULL);
    struct mln_scan_report three =
        scan_with(cx, &mln_scanner_npy, "a.npy", mln_bytes_at(p, 2 * first.len + bad.len));
    assert_true(three.verdict >= MLN_VERDICT_SUSPICIOUS);
}

static void test_frames(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes whole = file_of(cx, 1, H("'|u1'", "(2,)"), MLN_BYTES("ab"));
    for (size_t n = 0; n < whole.len; n++) {
        struct mln_scan_report report =
            scan_with(cx, &mln_scanner_npy, "a.npy", mln_bytes_sub(whole, 0, n));
        assert_int_equal(report.verdict, MLN_VERDICT_MALFORMED);
    }
    struct mln_scan_report four =
        scan_with(cx, &mln_scanner_npy, "a.npy", file_of(cx, 4, "{}", MLN_BYTES_NONE));
    scan_expect("version 4", &four, MLN_VERDICT_MALFORMED, "npy-version");
    char deep[600] = "{'descr': ";
    for (size_t i = 0; i < 20; i++) {
        mln_copy(deep + 10 + 7 * i, "[('a', ", 7);
    }
    struct mln_scan_report nested =
        scan_with(cx, &mln_scanner_npy, "a.npy", file_of(cx, 1, deep, MLN_BYTES_NONE));
    scan_expect("deep", &nested, MLN_VERDICT_MALFORMED, "npy-header");
}

static void test_probe_and_plain(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes plain = file_of(cx, 1, H("'|u1'", "(2,)"), MLN_BYTES("ab"));
    struct mln_bytes object = file_of(cx, 1, H("'|O'", "(2,)"), MLN_BYTES("ab"));
    assert_int_equal(scan_probe(&mln_scanner_npy, "x", plain), 2);
    assert_int_equal(scan_probe(&mln_scanner_npy, "x.NPY", MLN_BYTES("abc")), 1);
    assert_int_equal(scan_probe(&mln_scanner_npy, "x", MLN_BYTES("\x93NUMP")), 0);
    assert_true(mln_npy_is_plain(plain, plain.len));
    assert_true(mln_npy_is_plain(mln_bytes_sub(plain, 0, plain.len - 2), plain.len));
    assert_false(mln_npy_is_plain(plain, plain.len + 1));
    assert_false(mln_npy_is_plain(mln_bytes_sub(plain, 0, 40), plain.len));
    assert_false(mln_npy_is_plain(object, object.len));
    assert_false(mln_npy_is_plain(MLN_BYTES_NONE, 0));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),   KIT_TEST(test_objects),         KIT_TEST(test_several),
        KIT_TEST(test_frames), KIT_TEST(test_probe_and_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
