/* SPDX-License-Identifier: Apache-2.0 */
/* Formats that are named and not judged: unsupported, never clean. */
#include "scan_kit.h"

extern const struct mln_scanner mln_scanner_opaque;

static const struct {
    const char *format;
    struct mln_bytes in;
} rows[] = {
#define ROW(format, text)                                                                          \
    {                                                                                              \
        format,                                                                                    \
        {                                                                                          \
            (const uint8_t *)text, sizeof(text) - 1                                                \
        }                                                                                          \
    }
    ROW("gzip", "\x1f\x8b\x08"),
    ROW("bzip2", "BZh91AY"),
    ROW("xz", "\xfd"
              "7zXZ\0\0"),
    ROW("zlib", "\x78\x9c\x01"),
    ROW("zstd", "\x28\xb5\x2f\xfd\x04"),
    ROW("7z", "7z\xbc\xaf\x27\x1c\0"),
    ROW("h5", "\x89HDF\r\n\x1a\n"),
    ROW("gguf", "GGUF\3\0\0\0"),
    ROW("tflite", "\x1c\0\0\0TFL3"),
    ROW("elf", "\x7f"
               "ELF\2"),
    ROW("png", "\x89PNG\r\n\x1a\n"),
    ROW(NULL, "hello"),
    ROW(NULL, ""),
    ROW(NULL, "GGU"),
    ROW(NULL, "7z\xbc\xaf"),
#undef ROW
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        assert_int_equal(scan_probe(&mln_scanner_opaque, "x", rows[i].in),
                         rows[i].format != NULL ? 2 : 0);
        if (rows[i].format != NULL) {
            struct mln_scan_report report = scan_with(cx, &mln_scanner_opaque, "x", rows[i].in);
            scan_expect(rows[i].format, &report, MLN_VERDICT_UNSUPPORTED, "unsupported");
            assert_string_equal(report.format, rows[i].format);
            assert_int_equal(mln_len(report.unread), 1);
        }
    }
}

static void test_tar(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t block[512] = {0};
    mln_copy(block + 257, "ustar", 5);
    struct mln_scan_report report =
        scan_with(cx, &mln_scanner_opaque, "x", mln_bytes_at(block, sizeof(block)));
    scan_expect("tar", &report, MLN_VERDICT_UNSUPPORTED, "unsupported");
    assert_string_equal(report.format, "tar");
    assert_int_equal(scan_probe(&mln_scanner_opaque, "x", mln_bytes_at(block, 261)), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_tar)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
