/* SPDX-License-Identifier: Apache-2.0 */
/* The box: reports of files and folders, workers that die or are late, what a taken worker can say. */
#include "kit/kit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "artifact/box_priv.h"
#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"

#define EVIL "\x80\x04\x8c\x02os\x8c\x06system\x93)R."

struct box_test {
    struct mln_cx *cx;
    struct mln_box *box;
    char dir[KIT_PATH_MAX];
};

static int setup(void **state)
{
    static struct box_test t;
    t = (struct box_test){.cx = kit_cx_new()};
    struct mln_box_config config = {.no_exec = true, .file_deadline_ns = INT64_C(20000000000)};
    kit_tmpdir(t.dir);
    kit_ok(t.cx, mln_box_start(t.cx, &config, &t.box));
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    struct box_test *t = *state;
    mln_box_drop(&t->box);
    kit_rmtree(t->dir);
    kit_cx_free(t->cx);
    return 0;
}

static void write_in(struct box_test *t, const char *name, struct mln_bytes content)
{
    char path[KIT_PATH_MAX];
    kit_write_file(kit_path(path, t->dir, name), content);
}

static const struct mln_value *scan_one(struct box_test *t, const char *name)
{
    char path[KIT_PATH_MAX];
    MLN_AUTO(mln_fd_drop) int fd = -1;
    const struct mln_value *report = NULL;
    kit_ok(t->cx, mln_file_open(t->cx, kit_path(path, t->dir, name), O_RDONLY, 0, &fd));
    kit_ok(t->cx, mln_box_scan(t->cx, t->box, name, fd, &report));
    return report;
}

static void expect(const struct mln_value *report, const char *path, const char *verdict)
{
    kit_text(mln_get_bytes(mln_get(report, "path")), path);
    kit_text(mln_get_bytes(mln_get(report, "verdict")), verdict);
}

static void test_scan(void **state)
{
    struct box_test *t = *state;
    write_in(t, "a.pkl", MLN_BYTES(EVIL));
    write_in(t, "b.txt", MLN_BYTES("hello\n"));
    write_in(t, "c.txt", MLN_BYTES(""));
    expect(scan_one(t, "a.pkl"), "a.pkl", "malicious");
    expect(scan_one(t, "b.txt"), "b.txt", "clean");
    expect(scan_one(t, "c.txt"), "c.txt", "clean");
    const struct mln_value *state_value = mln_box_state(t->cx, t->box);
    assert_non_null(mln_get(state_value, "seccomp"));
    assert_true(mln_box_pid(t->box) > 0);
}

/* More files than one worker gets. */
static void test_batches(void **state)
{
    struct box_test *t = *state;
    write_in(t, "b.txt", MLN_BYTES("hello\n"));
    for (int i = 0; i < 100; i++) {
        expect(scan_one(t, "b.txt"), "b.txt", "clean");
    }
}

/* Large tables are sorted, large arenas grow: nothing that the sandbox refuses. */
static void test_large(void **state)
{
    struct box_test *t = *state;
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {0};
    mln_buf_add_text(&file, "\x80\x04]\x94(");
    for (int i = 0; i < 300000; i++) {
        mln_buf_add(&file, "}\x94\x8c\x01x\x94K\x01s", 8);
    }
    mln_buf_add_text(&file, "e.");
    write_in(t, "big.pkl", mln_buf_bytes(&file));
    expect(scan_one(t, "big.pkl"), "big.pkl", "clean");
}

static void test_no_file(void **state)
{
    struct box_test *t = *state;
    int pair[2];
    const struct mln_value *report = NULL;
    assert_int_equal(pipe(pair), 0);
    kit_ok(t->cx, mln_box_scan(t->cx, t->box, "pipe", pair[0], &report));
    expect(report, "pipe", "clean"); /* of size 0: an empty file */
    (void)close(pair[0]);
    (void)close(pair[1]);
}

/* The zygote is gone: no box can be had, and that is an error, not a verdict. */
static void test_zygote_dies(void **state)
{
    struct box_test *t = *state;
    char path[KIT_PATH_MAX];
    MLN_AUTO(mln_fd_drop) int fd = -1;
    const struct mln_value *report = NULL;
    write_in(t, "b.txt", MLN_BYTES("hello\n"));
    kit_ok(t->cx, mln_file_open(t->cx, kit_path(path, t->dir, "b.txt"), O_RDONLY, 0, &fd));
    assert_int_equal(kill(mln_box_pid(t->box), SIGKILL), 0);
    mln_sleep_ns(INT64_C(100000000));
    kit_ok(t->cx, mln_box_scan(t->cx, t->box, "b.txt", fd, &report)); /* its worker went with it */
    expect(report, "b.txt", "malformed");
    kit_refused(t->cx, mln_box_scan(t->cx, t->box, "b.txt", fd, &report), MLN_E_IO);
}

static void test_no_program(void **state)
{
    struct box_test *t = *state;
    struct mln_box_config config = {.exe = "/nonexistent/program"};
    struct mln_box *box = NULL;
    kit_refused(t->cx, mln_box_start(t->cx, &config, &box), MLN_E_IO);
    assert_null(box);
}

/* ---- a worker that was taken: this test plays zygote and worker ---- */

static void answer(int link, struct mln_bytes report, uint64_t len)
{
    char path[BOX_PATH_MAX];
    int fd = -1;
    if (mln_box_receive(link, path, sizeof(path), &fd) > 0) {
        (void)close(fd);
        (void)mln_box_send(link, &len, sizeof(len), -1);
        if (report.len > 0) {
            (void)mln_box_send(link, report.ptr, report.len, -1);
        }
    }
}

static const struct {
    const char *name;
    const char *
        report; /* JSON, sent as CBOR; NULL: as many bytes as `len` says are promised and none come */
    uint64_t len; /* when not 0: claimed */
    bool is_believed;
    bool hangs;
} lies[] = {
    {"a report",
     "{\"path\":\"other\",\"format\":\"x\",\"verdict\":\"clean\",\"findings\":[],\"not_read\":[],"
     "\"bytes\":1}",
     0, true, false},
    {"no object", "[]", 0, false, false},
    {"no verdict", "{\"format\":\"x\",\"findings\":[],\"not_read\":[],\"bytes\":1}", 0, false,
     false},
    {"unknown verdict",
     "{\"format\":\"x\",\"verdict\":\"fine\",\"findings\":[],\"not_read\":[],\"bytes\":1}", 0,
     false, false},
    {"findings are no list",
     "{\"format\":\"x\",\"verdict\":\"clean\",\"findings\":{},\"not_read\":[],\"bytes\":1}", 0,
     false, false},
    {"finding without a rule",
     "{\"format\":\"x\",\"verdict\":\"clean\",\"findings\":[{}],\"not_read\":[],\"bytes\":1}", 0,
     false, false},
    {"too long", NULL, UINT64_C(1) << 40, false, false},
    {"too short", NULL, 100, false, false},
    {"empty", NULL, 0, false, false},
    {"late", NULL, 0, false, true},
};

/* The other program's life; who started it ends it. */
static int serve_lies(int control, size_t row)
{
    struct mln_cx *cx = kit_cx_new();
    struct box_order order;
    int link = -1;
    MLN_AUTO(mln_buf_drop) struct mln_buf cbor = {0};
    const struct mln_value *v = NULL;
    if (lies[row].report != NULL &&
        !mln_failed(mln_json_parse(cx, mln_bytes_of(lies[row].report), &v))) {
        mln_cbor_print(&cbor, v);
    }
    while (mln_box_receive(control, &order, sizeof(order), &link) == (ssize_t)sizeof(order)) {
        struct box_born born = {.magic = BOX_MAGIC, .pid = getpid()};
        struct box_hello hello = {.magic = BOX_MAGIC, .is_ready = 1};
        (void)mln_box_send(control, &born, sizeof(born), -1);
        (void)mln_box_send(link, &hello, sizeof(hello), -1);
        if (!lies[row].hangs) {
            answer(link, mln_buf_bytes(&cbor), lies[row].len != 0 ? lies[row].len : cbor.len);
            (void)close(link);
        }
    }
    kit_cx_free(cx);
    return 0;
}

/* A program of this name lies as the row says; "real" is the box itself. */
static int other_program(void)
{
    static const char lie[] = "lie-";
    struct mln_bytes name = {0};
    uint64_t row = 0;
    unsigned long at = getauxval(AT_EXECFN);
    const char *path = NULL;
    mln_copy(&path, &at, sizeof(path));
    name = mln_bytes_of(path);
    size_t found = mln_bytes_find_bytes(name, mln_bytes_of(lie));
    if (found == name.len) {
        return mln_box_main(BOX_FD);
    }
    bool is_row =
        mln_u64_parse(mln_bytes_from(name, found + sizeof(lie) - 1), &row) && row < MLN_COUNT(lies);
    return is_row ? serve_lies(BOX_FD, (size_t)row) : 1;
}

static void start_other(struct box_test *t, const char *name, struct mln_box **ret)
{
    char path[KIT_PATH_MAX];
    char own[KIT_PATH_MAX] = {0};
    assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
    assert_int_equal(symlink(own, kit_path(path, t->dir, name)), 0);
    struct mln_box_config config = {.exe = path, .file_deadline_ns = INT64_C(300000000)};
    kit_ok(t->cx, mln_box_start(t->cx, &config, ret));
}

static void test_lies(void **state)
{
    struct box_test *t = *state;
    for (size_t i = 0; i < MLN_COUNT(lies); i++) {
        char path[KIT_PATH_MAX];
        MLN_AUTO(mln_box_drop) struct mln_box *box = NULL;
        MLN_AUTO(mln_fd_drop) int fd = -1;
        const struct mln_value *report = NULL;
        start_other(t, mln_text_format(t->cx, "lie-%zu", i), &box);
        kit_ok(t->cx, mln_file_open(t->cx, kit_path(path, t->dir, "."), O_RDONLY, 0, &fd));
        kit_ok(t->cx, mln_box_scan(t->cx, box, lies[i].name, fd, &report));
        expect(report, lies[i].name, lies[i].is_believed ? "clean" : "malformed");
        if (lies[i].hangs) {
            kit_text(mln_get_bytes(mln_get(mln_item(mln_get(report, "findings"), 0), "rule")),
                     "box-late");
        }
    }
}

static void test_exec(void **state)
{
    struct box_test *t = *state;
    mln_box_drop(&t->box);
    start_other(t, "real", &t->box);
    write_in(t, "a.pkl", MLN_BYTES(EVIL));
    expect(scan_one(t, "a.pkl"), "a.pkl", "malicious");
}

/* ---- paths ---- */

static void count_steps(void *arg, uint64_t done, uint64_t all)
{
    assert_true(done <= all);
    ++*(unsigned *)arg;
}

static void test_paths(void **state)
{
    struct box_test *t = *state;
    char path[KIT_PATH_MAX];
    unsigned steps = 0;
    struct mln_scan_progress progress = {.step = count_steps, .arg = &steps};
    const struct mln_value *answer = NULL;
    kit_ok(t->cx, mln_dir_make(t->cx, kit_path(path, t->dir, "sub"), 0700));
    write_in(t, "a.pkl", MLN_BYTES(EVIL));
    write_in(t, "sub/b.txt", MLN_BYTES("hello\n"));
    write_in(t, "c.bin", MLN_BYTES("\1\2\3"));
    assert_int_equal(symlink("/nonexistent/x", kit_path(path, t->dir, "d")), 0);
    const char *paths[] = {t->dir, kit_path(path, t->dir, "a.pkl")};
    kit_ok(t->cx, mln_scan_paths(t->cx, t->box, paths, 2, &progress, &answer));
    const struct mln_value *files = mln_get(answer, "files");
    const struct mln_value *sum = mln_get(answer, "summary");
    assert_int_equal(mln_len(files), 5);
    assert_int_equal(steps, 5);
    expect(mln_item(files, 0), path, "malicious");
    expect(mln_item(files, 4), path, "malicious");
    assert_int_equal(mln_get_int(mln_get(sum, "files"), 0), 5);
    assert_int_equal(mln_get_int(mln_get(sum, "malicious"), 0), 2);
    assert_int_equal(mln_get_int(mln_get(sum, "unsupported"), 0), 2);
    assert_int_equal(mln_get_int(mln_get(sum, "clean"), 0), 1);
    kit_text(mln_get_bytes(mln_get(sum, "verdict")), "malicious");
    paths[1] = "/nonexistent/y";
    kit_refused(t->cx, mln_scan_paths(t->cx, t->box, paths, 2, NULL, &answer), MLN_E_NOT_FOUND);
}

#define BOX_CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 0 && mln_bytes_is(mln_bytes_of(argv[0]), "merlon-box")) {
        return other_program();
    }
    const struct CMUnitTest tests[] = {
        BOX_CASE(test_scan),    BOX_CASE(test_batches),     BOX_CASE(test_large),
        BOX_CASE(test_no_file), BOX_CASE(test_zygote_dies), BOX_CASE(test_no_program),
        BOX_CASE(test_lies),    BOX_CASE(test_exec),        BOX_CASE(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
