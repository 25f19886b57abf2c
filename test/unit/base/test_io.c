/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

struct folder {
    struct mln_cx *cx;
    char dir[KIT_PATH_MAX];
};

static int setup(void **state)
{
    struct folder *f = mln_alloc(sizeof(*f));
    f->cx = kit_cx_new();
    kit_tmpdir(f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    for (int kind = 0; kind < MLN_FAULT_KINDS; kind++) {
        mln_fault_arm((enum mln_fault_kind)kind, 0, false);
    }
    kit_rmtree(f->dir);
    kit_cx_free(f->cx);
    mln_free(f);
    return 0;
}

static void test_replace_and_read(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    kit_path(path, f->dir, "file");
    static const char *const contents[] = {"first", "", "the second, longer one"};
    for (size_t i = 0; i < MLN_COUNT(contents); i++) {
        kit_ok(f->cx, mln_file_replace(f->cx, path, mln_bytes_of(contents[i]), 0600, i % 2 == 0));
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_buf_add_text(&buf, ">");
        kit_ok(f->cx, mln_file_read_all(f->cx, path, 100, &buf));
        kit_text(mln_bytes_from(mln_buf_bytes(&buf), 1), contents[i]);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    const struct mln_value *names;
    kit_ok(f->cx, mln_dir_list(f->cx, f->dir, &names));
    assert_int_equal(mln_len(names), 1); /* nothing temporary stays */
}

static void test_read_limits(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    kit_path(path, f->dir, "file");
    static uint8_t big[200000];
    mln_fill(big, 'x', sizeof(big));
    kit_write_file(path, mln_bytes_at(big, sizeof(big)));
    static const struct {
        size_t max;
        enum mln_code want;
    } rows[] = {{200000, MLN_E_OK}, {199999, MLN_E_TOO_LARGE}, {0, MLN_E_TOO_LARGE}, {65536, MLN_E_TOO_LARGE},
                {MLN_BUF_MAX, MLN_E_OK}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        kit_expect(f->cx, "limit", mln_file_read_all(f->cx, path, rows[i].max, &buf), rows[i].want);
        if (rows[i].want == MLN_E_OK) {
            kit_same(f->cx, mln_buf_bytes(&buf), mln_bytes_at(big, sizeof(big)));
        }
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf small = {.max = 100};
    kit_refused(f->cx, mln_file_read_all(f->cx, path, 200000, &small), MLN_E_TOO_LARGE);
}

static void test_errors_name_the_path(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    kit_path(path, f->dir, "absent");
    kit_refused_with(f->cx, mln_file_read_all(f->cx, path, 10, &buf), MLN_E_NOT_FOUND, "absent");
    kit_refused_with(f->cx, mln_file_read_all(f->cx, f->dir, 10, &buf), MLN_E_IO, f->dir);
    const struct mln_value *names;
    kit_refused(f->cx, mln_dir_list(f->cx, path, &names), MLN_E_NOT_FOUND);
    kit_refused(f->cx, mln_dir_sync(f->cx, path), MLN_E_NOT_FOUND);
    int fd = -1;
    kit_refused(f->cx, mln_file_open(f->cx, "/proc/self/no-such", O_RDONLY, 0, &fd), MLN_E_NOT_FOUND);
    kit_refused(f->cx, mln_file_open(f->cx, f->dir, O_WRONLY, 0, &fd), MLN_E_IO);
    assert_int_equal(fd, -1);
    kit_path(path, f->dir, "absent/file");
    kit_refused(f->cx, mln_file_replace(f->cx, path, MLN_BYTES("x"), 0600, true), MLN_E_NOT_FOUND);
}

static void test_a_full_disk(void **state)
{
    struct folder *f = *state;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    kit_ok(f->cx, mln_file_open(f->cx, "/dev/full", O_WRONLY, 0, &fd));
    kit_refused(f->cx, mln_fd_write(f->cx, fd, "x", 1), MLN_E_FULL);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    kit_ok(f->cx, mln_fd_write(f->cx, fd, NULL, 0));
}

static void test_positions(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    MLN_AUTO(mln_fd_drop) int fd = -1;
    kit_ok(f->cx, mln_file_open(f->cx, kit_path(path, f->dir, "p"), O_RDWR | O_CREAT, 0600, &fd));
    kit_ok(f->cx, mln_fd_pwrite(f->cx, fd, "world", 5, 6));
    kit_ok(f->cx, mln_fd_pwrite(f->cx, fd, "hello ", 6, 0));
    kit_ok(f->cx, mln_fd_sync(f->cx, fd));
    char got[12] = {0};
    kit_ok(f->cx, mln_fd_pread(f->cx, fd, got, 11, 0));
    assert_string_equal(got, "hello world");
    kit_ok(f->cx, mln_fd_pread(f->cx, fd, got, 0, 99));
    kit_refused_with(f->cx, mln_fd_pread(f->cx, fd, got, 6, 6), MLN_E_IO, "1 bytes early");
    kit_refused(f->cx, mln_fd_pread(f->cx, fd, got, 1, 11), MLN_E_IO);
    uint64_t size = 0;
    kit_ok(f->cx, mln_file_size(f->cx, fd, &size));
    assert_int_equal(size, 11);
    kit_refused(f->cx, mln_fd_pwrite(f->cx, -1, "x", 1, 0), MLN_E_IO);
    kit_refused(f->cx, mln_file_size(f->cx, -1, &size), MLN_E_IO);
    kit_refused(f->cx, mln_fd_sync(f->cx, -1), MLN_E_IO);
}

static void test_pipe(void **state)
{
    struct folder *f = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    kit_ok(f->cx, mln_fd_write(f->cx, ends[1], "through", 7));
    mln_fd_drop(&ends[1]);
    assert_int_equal(ends[1], -1);
    mln_fd_drop(&ends[1]);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    kit_ok(f->cx, mln_fd_read_all(f->cx, ends[0], 7, &buf));
    kit_text(mln_buf_bytes(&buf), "through");
    mln_fd_drop(&ends[0]);
}

static void test_folders(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    kit_ok(f->cx, mln_dir_make(f->cx, kit_path(path, f->dir, "a/b/c"), 0700));
    kit_ok(f->cx, mln_dir_make(f->cx, path, 0700));
    kit_ok(f->cx, mln_dir_make(f->cx, kit_path(path, f->dir, "d/"), 0700));
    kit_write_file(kit_path(path, f->dir, "a/z"), MLN_BYTES(""));
    kit_write_file(kit_path(path, f->dir, "a/B"), MLN_BYTES(""));
    kit_write_file(kit_path(path, f->dir, "a/.hidden"), MLN_BYTES(""));
    const struct mln_value *names;
    kit_ok(f->cx, mln_dir_list(f->cx, kit_path(path, f->dir, "a"), &names));
    static const char *const want[] = {".hidden", "B", "b", "z"};
    assert_int_equal(mln_len(names), MLN_COUNT(want));
    for (size_t i = 0; i < MLN_COUNT(want); i++) {
        assert_true(mln_is_text(mln_item(names, i), want[i]));
    }
    kit_refused(f->cx, mln_dir_make(f->cx, kit_path(path, f->dir, "a/z"), 0700), MLN_E_IO);
    kit_refused(f->cx, mln_dir_make(f->cx, kit_path(path, f->dir, "a/z/x"), 0700), MLN_E_IO);
    kit_refused(f->cx, mln_dir_make(f->cx, "", 0700), MLN_E_NOT_FOUND);
    kit_ok(f->cx, mln_dir_list(f->cx, kit_path(path, f->dir, "d"), &names));
    assert_int_equal(mln_len(names), 0);
}

/* ---- faults ---- */

static struct mln_err replace_body(struct mln_cx *cx, void *arg)
{
    return mln_file_replace(cx, arg, MLN_BYTES("new content"), 0600, true);
}

/* Whatever fails: the file is the old one or the new one, whole, and nothing lies about. */
static struct mln_err replace_and_look(struct mln_cx *cx, void *arg)
{
    struct folder *f = arg;
    char path[KIT_PATH_MAX];
    struct mln_err err = replace_body(cx, (char *)(uintptr_t)kit_path(path, f->dir, "kept"));
    struct mln_cx *look = kit_cx_new();
    struct mln_bytes now = kit_read_file(look, path);
    assert_true(mln_bytes_is(now, "new content") || mln_bytes_is(now, "old"));
    kit_cx_free(look);
    return err;
}

static void test_replace_faults(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    static const enum mln_fault_kind kinds[] = {MLN_FAULT_READ, MLN_FAULT_WRITE, MLN_FAULT_SYNC};
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        kit_write_file(kit_path(path, f->dir, "kept"), MLN_BYTES("old"));
        assert_true(mln_each_fault(kinds[i], replace_and_look, f) >= 2);
        const struct mln_value *names;
        kit_ok(f->cx, mln_dir_list(f->cx, f->dir, &names));
        assert_int_equal(mln_len(names), 1);
    }
    kit_path(path, f->dir, "kept");
    assert_int_equal(mln_each_fault(MLN_FAULT_ALLOC, replace_body, path), 4);
}

static struct mln_err read_body(struct mln_cx *cx, void *arg)
{
    struct folder *f = arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    const struct mln_value *names;
    uint64_t size;
    char byte;
    char path[KIT_PATH_MAX];
    MLN_TRY(mln_file_read_all(cx, kit_path(path, f->dir, "r"), 100, &buf));
    MLN_TRY(mln_dir_list(cx, f->dir, &names));
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, path, O_RDONLY, 0, &fd));
    MLN_TRY(mln_file_size(cx, fd, &size));
    MLN_TRY(mln_fd_pread(cx, fd, &byte, 1, 0));
    return MLN_OK;
}

static struct mln_err write_body(struct mln_cx *cx, void *arg)
{
    struct folder *f = arg;
    char path[KIT_PATH_MAX];
    MLN_TRY(mln_dir_make(cx, kit_path(path, f->dir, "x/y"), 0700));
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, kit_path(path, f->dir, "w"), O_WRONLY | O_CREAT, 0600, &fd));
    MLN_TRY(mln_fd_write(cx, fd, "abc", 3));
    MLN_TRY(mln_fd_pwrite(cx, fd, "abc", 3, 1));
    MLN_TRY(mln_fd_sync(cx, fd));
    return mln_dir_sync(cx, f->dir);
}

static void test_read_and_write_faults(void **state)
{
    struct folder *f = *state;
    char path[KIT_PATH_MAX];
    kit_write_file(kit_path(path, f->dir, "r"), MLN_BYTES("content"));
    assert_true(mln_each_fault(MLN_FAULT_READ, read_body, f) >= 14);
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, read_body, f) >= 4);
    assert_true(mln_each_fault(MLN_FAULT_WRITE, write_body, f) >= 10);
    assert_int_equal(mln_each_fault(MLN_FAULT_SYNC, write_body, f), 4);
}

#define IO_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IO_TEST(test_replace_and_read), IO_TEST(test_read_limits),    IO_TEST(test_errors_name_the_path),
        IO_TEST(test_a_full_disk),      IO_TEST(test_positions),      IO_TEST(test_pipe),
        IO_TEST(test_folders),          IO_TEST(test_replace_faults), IO_TEST(test_read_and_write_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
