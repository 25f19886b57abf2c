/* SPDX-License-Identifier: Apache-2.0 */
/* The zip reader: union of directory and local headers, every byte accounted for; archives of torch and numpy. */
#include "scan_kit.h"
#include "zip_kit.h"

#include "artifact/zip.h"

extern const struct mln_scanner mln_scanner_zip;

#define PICKLE_BAD                                                                                 \
    "\x80\x02"                                                                                     \
    "cposix\nsystem\nX\x04\0\0\0true\x85R."
#define PICKLE_GOOD                                                                                \
    "\x80\x02"                                                                                     \
    "]N."
#define NPY_BAD                                                                                    \
    "\x93NUMPY\1\0\x3c\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }   \n" PICKLE_BAD
#define P_BAD  PICKLE_BAD, .len = sizeof(PICKLE_BAD) - 1
#define P_GOOD PICKLE_GOOD, .len = sizeof(PICKLE_GOOD) - 1

/* Read the structure alone. */
static struct mln_scan_report read_zip(struct mln_cx *cx, struct mln_bytes map, struct mln_zip *ret)
{
    struct mln_scan_report report = scan_report(cx);
    struct mln_scan_input input = {.path = "x.zip", .map = map};
    kit_ok(cx, mln_zip_read(cx, &input, &report, ret));
    return report;
}

static struct mln_bytes zip_of(struct mln_cx *cx, const struct zip_part *parts, size_t n)
{
    struct zip_build z = {0};
    for (size_t i = 0; i < n && parts[i].name != NULL; i++) {
        zip_add(&z, &parts[i]);
    }
    zip_end(&z, "", 0, 0);
    return zip_take(cx, &z);
}

#define PARTS 4
static const struct {
    const char *name;
    struct zip_part parts[PARTS];
    size_t members;
    enum mln_verdict verdict;
    const char *rule;
} rows[] = {
    {"two members",
     {{.name = "a", .data = "x"}, {.name = "b/c", .data = "yy"}},
     2,
     MLN_VERDICT_CLEAN,
     NULL},
    {"no member", {{0}}, 0, MLN_VERDICT_CLEAN, NULL},
    {"deflated",
     {{.name = "a", .data = "xxxxxxxxxxxxxx", .is_deflated = true}},
     1,
     MLN_VERDICT_CLEAN,
     NULL},
    {"streamed",
     {{.name = "a", .data = "xyz", .is_streamed = true}, {.name = "b", .data = "y"}},
     2,
     MLN_VERDICT_CLEAN,
     NULL},
    {"wide", {{.name = "a", .data = "xyz", .is_wide = true}}, 1, MLN_VERDICT_CLEAN, NULL},
    {"empty member and folder",
     {{.name = "a", .data = ""}, {.name = "d/", .data = ""}},
     2,
     MLN_VERDICT_CLEAN,
     NULL},
    {"dots in a name", {{.name = "a..b/..c/d", .data = "x"}}, 1, MLN_VERDICT_CLEAN, NULL},
    {"names differ",
     {{.name = "a", .local_name = "b", .data = "x"}},
     1,
     MLN_VERDICT_MALFORMED,
     "zip-name-differs"},
    {"twice",
     {{.name = "a", .data = "x"}, {.name = "a", .data = "y"}},
     2,
     MLN_VERDICT_MALFORMED,
     "zip-duplicate"},
    {"hidden",
     {{.name = "h", .data = "x", .is_hidden = true}, {.name = "a", .data = "y"}},
     2,
     MLN_VERDICT_MALFORMED,
     "zip-hidden-member"},
    {"hidden and streamed",
     {{.name = "h", .data = "x", .is_hidden = true, .is_streamed = true},
      {.name = "a", .data = "y"}},
     2,
     MLN_VERDICT_MALFORMED,
     "zip-hidden-member"},
    {"hidden at the end",
     {{.name = "a", .data = "y"}, {.name = "h", .data = "xyz", .is_hidden = true}},
     2,
     MLN_VERDICT_MALFORMED,
     "zip-hidden-member"},
    {"encrypted",
     {{.name = "a", .data = "x", .flags = 1}},
     1,
     MLN_VERDICT_MALFORMED,
     "zip-encrypted"},
    {"patched",
     {{.name = "a", .data = "x", .flags = 0x20}},
     1,
     MLN_VERDICT_MALFORMED,
     "zip-encrypted"},
    {"strongly encrypted",
     {{.name = "a", .data = "x", .flags = 0x40}},
     1,
     MLN_VERDICT_MALFORMED,
     "zip-encrypted"},
    {"sizes differ",
     {{.name = "a", .data = "x", .size_add = 3}},
     1,
     MLN_VERDICT_MALFORMED,
     "zip-header-differs"},
    {"up and out", {{.name = "../a", .data = "x"}}, 1, MLN_VERDICT_SUSPICIOUS, "zip-path"},
    {"out in the middle",
     {{.name = "a/../../b", .data = "x"}},
     1,
     MLN_VERDICT_SUSPICIOUS,
     "zip-path"},
    {"absolute", {{.name = "/etc/passwd", .data = "x"}}, 1, MLN_VERDICT_SUSPICIOUS, "zip-path"},
    {"drive", {{.name = "C:evil", .data = "x"}}, 1, MLN_VERDICT_SUSPICIOUS, "zip-path"},
    {"backslash", {{.name = "a\\b", .data = "x"}}, 1, MLN_VERDICT_SUSPICIOUS, "zip-path"},
    {"control character", {{.name = "a\nb", .data = "x"}}, 1, MLN_VERDICT_SUSPICIOUS, "zip-path"},
    {"no name", {{.name = "", .data = "x"}}, 1, MLN_VERDICT_SUSPICIOUS, "zip-path"},
    {"symbolic link",
     {{.name = "a", .data = "/etc/passwd", .mode = 0xA1FF}},
     1,
     MLN_VERDICT_SUSPICIOUS,
     "zip-symlink"},
};

static void test_structure(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_zip zip;
        struct mln_scan_report report = read_zip(cx, zip_of(cx, rows[i].parts, PARTS), &zip);
        scan_expect(rows[i].name, &report, rows[i].verdict, rows[i].rule);
        assert_int_equal(zip.n, rows[i].members);
    }
}

/* An archive with bytes put in at a place; at counts from the end when negative. */
static struct mln_bytes insert(struct mln_cx *cx, struct mln_bytes map, size_t at,
                               struct mln_bytes what)
{
    uint8_t *p = mln_new(cx, map.len + what.len);
    mln_copy(p, map.ptr, at);
    mln_copy(p + at, what.ptr, what.len);
    mln_copy(p + at + what.len, map.ptr + at, map.len - at);
    return mln_bytes_at(p, map.len + what.len);
}

static void test_surroundings(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct zip_part one[] = {{.name = "a", .data = "hello"}};
    struct mln_bytes honest = zip_of(cx, one, 1);
    size_t dir_at = honest.len - 22 - 47;
    const struct {
        const char *name;
        struct mln_bytes map;
        enum mln_verdict verdict;
        const char *rule;
    } t[] = {
        {"before", insert(cx, honest, 0, MLN_BYTES("MZ\0\0")), MLN_VERDICT_MALFORMED, "zip-gap"},
        {"zeros before", insert(cx, honest, 0, MLN_BYTES("\0\0\0\0")), MLN_VERDICT_CLEAN, NULL},
        {"behind", insert(cx, honest, honest.len, MLN_BYTES("tail")), MLN_VERDICT_MALFORMED,
         "zip-gap"},
        {"between members and directory", insert(cx, honest, dir_at, MLN_BYTES("gap")),
         MLN_VERDICT_MALFORMED, NULL},
        {"between directory and end", insert(cx, honest, honest.len - 22, MLN_BYTES("gap")),
         MLN_VERDICT_MALFORMED, "zip-gap"},
        {"no end record", mln_bytes_sub(honest, 0, honest.len - 22), MLN_VERDICT_MALFORMED,
         "zip-no-directory"},
        {"no directory", mln_bytes_sub(honest, 0, dir_at), MLN_VERDICT_MALFORMED,
         "zip-no-directory"},
        {"two archives", insert(cx, honest, 0, honest), MLN_VERDICT_MALFORMED, NULL},
        {"nothing", MLN_BYTES_NONE, MLN_VERDICT_MALFORMED, "zip-no-directory"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_zip zip;
        struct mln_scan_report report = read_zip(cx, t[i].map, &zip);
        scan_expect(t[i].name, &report, t[i].verdict, t[i].rule);
    }
}

/* Cut anywhere, the archive is never clean; its member is still found once its header is whole. */
static void test_every_cut(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct zip_part one[] = {{.name = "a", .data = "hello"}};
    struct mln_bytes honest = zip_of(cx, one, 1);
    for (size_t n = 0; n < honest.len; n++) {
        struct mln_zip zip;
        struct mln_scan_report report = read_zip(cx, mln_bytes_sub(honest, 0, n), &zip);
        assert_int_equal(report.verdict, MLN_VERDICT_MALFORMED);
        assert_int_equal(zip.n, n >= 31 ? 1 : 0);
    }
}

static void test_ends(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct zip_part one = {.name = "a", .data = "hello"};
    static const struct {
        const char *name, *comment;
        unsigned count_add;
        uint32_t shift;
        enum mln_verdict verdict;
        const char *rule;
    } t[] = {
        {"a comment", "made by hand", 0, 0, MLN_VERDICT_CLEAN, NULL},
        {"wrong count", "", 1, 0, MLN_VERDICT_MALFORMED, "zip-directory"},
        {"directory further on", "", 0, 5, MLN_VERDICT_MALFORMED, "zip-directory"},
        {"an end record in the comment", "PK\5\6xxxxxxxxxxxxxxxxxxxx", 0, 0, MLN_VERDICT_MALFORMED,
         NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct zip_build z = {0};
        struct mln_zip zip;
        zip_add(&z, &one);
        zip_end(&z, t[i].comment, t[i].count_add, t[i].shift);
        struct mln_scan_report report = read_zip(cx, zip_take(cx, &z), &zip);
        scan_expect(t[i].name, &report, t[i].verdict, t[i].rule);
    }
}

/* Two entries of the directory for one local header, as bombs have it. */
static void test_overlap(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct zip_part one = {.name = "a", .data = "hello"};
    struct zip_build z = {0};
    struct mln_zip zip;
    zip_add(&z, &one);
    mln_buf_add_bytes(&z.dir, mln_bytes_dup(cx, mln_buf_bytes(&z.dir)));
    z.count = 2;
    zip_end(&z, "", 0, 0);
    struct mln_scan_report report = read_zip(cx, zip_take(cx, &z), &zip);
    scan_expect("overlap", &report, MLN_VERDICT_MALFORMED, "zip-overlap");
    assert_true(scan_has_rule(&report, "zip-duplicate"));
}

/* Many entries for the same stored bytes are read once or twice, not each time. */
static void test_views_are_bounded(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct zip_part one = {.name = "a",
                                        .data = "0123456789012345678901234567890123456"};
    struct zip_build z = {0};
    struct mln_zip zip;
    struct mln_buf scratch = {0};
    zip_add(&z, &one);
    struct mln_bytes entry = mln_bytes_dup(cx, mln_buf_bytes(&z.dir));
    for (z.count = 1; z.count < 500; z.count++) {
        mln_buf_add_bytes(&z.dir, entry);
    }
    zip_end(&z, "", 0, 0);
    struct mln_bytes map = zip_take(cx, &z);
    struct mln_scan_report report = read_zip(cx, map, &zip);
    zip.map.len = 200; /* as if the directory were small beside its members */
    for (size_t i = 0; i < zip.n; i++) {
        struct mln_bytes content;
        bool whole = true;
        kit_ok(cx, mln_zip_content(cx, &zip, &zip.members[i], &report, &scratch, &content, &whole));
        assert_int_equal(content.len, i < 5 ? 37 : 0);
    }
    assert_int_equal(zip.viewed, 500 * 37);
    mln_buf_drop(&scratch);
}

static void test_content(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *name;
        struct zip_part part;
        enum mln_verdict verdict;
        const char *rule;
        const char *want;
    } t[] = {
        {"stored", {.name = "a", .data = "hello"}, MLN_VERDICT_CLEAN, NULL, "hello"},
        {"deflated",
         {.name = "a", .data = "hello", .is_deflated = true},
         MLN_VERDICT_CLEAN,
         NULL,
         "hello"},
        {"checksum",
         {.name = "a", .data = "hello", .crc_xor = 1},
         MLN_VERDICT_MALFORMED,
         "zip-crc",
         "hello"},
        {"deflated checksum",
         {.name = "a", .data = "hello", .is_deflated = true, .crc_xor = 1},
         MLN_VERDICT_MALFORMED,
         "zip-crc",
         "hello"},
        {"method",
         {.name = "a", .data = "hello", .method = 93},
         MLN_VERDICT_UNSUPPORTED,
         "zip-method",
         ""},
        {"no deflate",
         {.name = "a", .data = "\xff\xff\xff", .method = 8},
         MLN_VERDICT_MALFORMED,
         "zip-deflate",
         ""},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_zip zip;
        struct mln_buf scratch = {0};
        struct mln_bytes content;
        bool whole;
        struct mln_scan_report report = read_zip(cx, zip_of(cx, &t[i].part, 1), &zip);
        kit_ok(cx, mln_zip_content(cx, &zip, &zip.members[0], &report, &scratch, &content, &whole));
        scan_expect(t[i].name, &report, t[i].verdict, t[i].rule);
        kit_text(content, t[i].want);
        mln_buf_drop(&scratch);
    }
}

static void test_bomb(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    size_t len = MLN_ZIP_MEMBER_BYTES_MAX + 4096;
    char *zeros = mln_alloc(len);
    assert_non_null(zeros);
    struct zip_part part = {.name = "a", .data = zeros, .len = len, .is_deflated = true};
    struct mln_zip zip;
    struct mln_buf scratch = {0};
    struct mln_bytes content;
    bool whole = true;
    struct mln_scan_report report = read_zip(cx, zip_of(cx, &part, 1), &zip);
    kit_ok(cx, mln_zip_content(cx, &zip, &zip.members[0], &report, &scratch, &content, &whole));
    scan_expect("bomb", &report, MLN_VERDICT_SUSPICIOUS, "zip-bomb");
    assert_false(whole);
    assert_int_equal(content.len, MLN_ZIP_MEMBER_BYTES_MAX);
    kit_ok(cx, mln_zip_head(cx, &zip, &zip.members[0], 100, &scratch, &content));
    assert_int_equal(content.len, 100);
    mln_buf_drop(&scratch);
    mln_free(zeros);
}

/* Archives by what is in them, and what their members come to. */
static void test_archives(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *name, *path;
        struct zip_part parts[PARTS];
        const char *format;
        enum mln_verdict least;
    } t[] = {
        {"torch",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD},
          {.name = "m/data/0", .data = "zz"},
          {.name = "m/version", .data = "3\n"}},
         "torch-zip",
         MLN_VERDICT_CLEAN},
        {"torch, bad",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_BAD}},
         "torch-zip",
         MLN_VERDICT_SUSPICIOUS},
        {"torch, deflated bad",
         "m.bin",
         {{.name = "m/data.pkl", .data = P_BAD, .is_deflated = true}},
         "torch-zip",
         MLN_VERDICT_SUSPICIOUS},
        {"torch by its local name",
         "m",
         {{.name = "m/x.txt", .local_name = "m/data.pkl", .data = P_BAD}},
         "torch-zip",
         MLN_VERDICT_MALFORMED},
        {"torch, bytes behind the pickle",
         "m.pt",
         {{.name = "m/data.pkl",
           .data = PICKLE_GOOD PICKLE_BAD,
           .len = sizeof(PICKLE_GOOD PICKLE_BAD) - 1}},
         "torch-zip",
         MLN_VERDICT_SUSPICIOUS},
        {"script",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD},
          {.name = "m/constants.pkl", .data = P_GOOD},
          {.name = "m/code/__torch__.py", .data = "def forward(self):\n  return torch.relu(x)\n"}},
         "torchscript",
         MLN_VERDICT_CLEAN},
        {"script that writes",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD},
          {.name = "m/code/__torch__.py", .data = "def f(self):\n  torch.save(x, \"/tmp/x\")\n"}},
         "torchscript",
         MLN_VERDICT_MALICIOUS},
        {"constants, bad",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD}, {.name = "m/constants.pkl", .data = P_BAD}},
         "torchscript",
         MLN_VERDICT_SUSPICIOUS},
        {"version that is none",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD}, {.name = "m/version", .data = P_BAD}},
         "torch-zip",
         MLN_VERDICT_SUSPICIOUS},
        {"arrays", "a.npz", {{.name = "a.npy", .data = "x"}}, "npz", MLN_VERDICT_MALFORMED},
        {"Keras",
         "m.keras",
         {{.name = "config.json", .data = "{}"}},
         "zip",
         MLN_VERDICT_UNSUPPORTED},
        {"an array of objects as storage",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD},
          {.name = "m/data/0", .data = NPY_BAD, .len = sizeof(NPY_BAD) - 1}},
         "torch-zip",
         MLN_VERDICT_SUSPICIOUS},
        {"the same, deflated",
         "m.pt",
         {{.name = "m/data.pkl", .data = P_GOOD},
          {.name = "m/data/0", .data = NPY_BAD, .len = sizeof(NPY_BAD) - 1, .is_deflated = true}},
         "torch-zip",
         MLN_VERDICT_SUSPICIOUS},
        {"Keras that looks like torch",
         "m.zip",
         {{.name = "config.json", .data = "{}"},
          {.name = "metadata.json", .data = "{}"},
          {.name = "m/data.pkl", .data = P_GOOD}},
         "torch-zip",
         MLN_VERDICT_UNSUPPORTED},
        {"any member",
         "m.zip",
         {{.name = "any.txt", .data = P_BAD}},
         "zip",
         MLN_VERDICT_SUSPICIOUS},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_scan_report report =
            scan_with(cx, &mln_scanner_zip, t[i].path, zip_of(cx, t[i].parts, PARTS));
        assert_string_equal(report.format, t[i].format);
        if (t[i].least == MLN_VERDICT_CLEAN) {
            scan_expect(t[i].name, &report, MLN_VERDICT_CLEAN, NULL);
        } else if (report.verdict < t[i].least) {
            scan_expect(t[i].name, &report, t[i].least, NULL);
        }
    }
}

/* Members name themselves in findings, through archives in archives; too deep is not read and not clean. */
static void test_nested(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct zip_part inner = {.name = "x.pkl", .data = P_BAD};
    struct mln_bytes map = zip_of(cx, &inner, 1);
    for (unsigned depth = 1; depth < 8; depth++) {
        struct zip_part part = {.name = "in.zip", .data = (const char *)map.ptr, .len = map.len};
        map = zip_of(cx, &part, 1);
        struct mln_scan_report report = scan_with(cx, &mln_scanner_zip, "out.zip", map);
        assert_true(report.verdict >= MLN_VERDICT_SUSPICIOUS);
        const char *member =
            mln_get_text(cx, mln_get(mln_item(report.findings, 0), "member"), "none");
        assert_true(mln_bytes_starts(mln_bytes_of(member), MLN_BYTES("in.zip")));
        if (depth == 1) {
            assert_string_equal(member, "in.zip!x.pkl");
        }
    }
}

static void test_storages_are_not_read(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    size_t len = (size_t)1 << 20;
    char *weights = mln_new(cx, len);
    const struct zip_part parts[] = {{.name = "m/data.pkl", .data = P_GOOD},
                                     {.name = "m/data/0", .data = weights, .len = len},
                                     {.name = "m/data/1", .data = weights, .len = len}};
    struct mln_scan_report report =
        scan_with(cx, &mln_scanner_zip, "m.pt", zip_of(cx, parts, MLN_COUNT(parts)));
    scan_expect("storages", &report, MLN_VERDICT_CLEAN, NULL);
    assert_int_equal(mln_len(report.unread), 1);
    assert_int_equal(mln_get_int(mln_get(mln_item(report.unread, 0), "bytes"), 0), 2 * len);
    assert_true(report.bytes_read < 4096);
}

static void test_probe(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct zip_part one[] = {{.name = "a", .data = "hello"}};
    struct mln_bytes honest = zip_of(cx, one, 1);
    const struct mln_scanner *s = &mln_scanner_zip;
    assert_int_equal(scan_probe(s, "x", honest), 3);
    assert_int_equal(scan_probe(s, "x", insert(cx, honest, 0, MLN_BYTES("\x80\4N."))), 2);
    assert_int_equal(scan_probe(s, "x", mln_bytes_sub(honest, 0, 40)), 2);
    assert_int_equal(scan_probe(s, "x.ZIP", MLN_BYTES("hello")), 1);
    assert_int_equal(scan_probe(s, "x.pt", MLN_BYTES("hello")), 0);
    assert_int_equal(scan_probe(s, "x", MLN_BYTES("text about PK\5\6, which is no archive")), 0);
    assert_int_equal(scan_probe(s, "", MLN_BYTES_NONE), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KIT_TEST(test_structure),
        KIT_TEST(test_surroundings),
        KIT_TEST(test_every_cut),
        KIT_TEST(test_ends),
        KIT_TEST(test_overlap),
        KIT_TEST(test_content),
        KIT_TEST(test_views_are_bounded),
        KIT_TEST(test_bomb),
        KIT_TEST(test_archives),
        KIT_TEST(test_nested),
        KIT_TEST(test_probe),
        KIT_TEST(test_storages_are_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
