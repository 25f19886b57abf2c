/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of files against digests of bytes, walking folders, and what a walk refuses. */
#include "kit/kit.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/digest.h"
#include "base/clock.h"

static char dir[KIT_PATH_MAX];

static int setup(void **state)
{
    kit_tmpdir(dir);
    return kit_setup(state);
}

static int teardown(void **state)
{
    kit_rmtree(dir);
    return kit_teardown(state);
}

static void put(const char *name, struct mln_bytes content)
{
    char path[KIT_PATH_MAX];
    kit_write_file(kit_path(path, dir, name), content);
}

static void make_dir(const char *name)
{
    char path[KIT_PATH_MAX];
    assert_int_equal(mkdir(kit_path(path, dir, name), 0700), 0);
}

static void make_link(const char *target, const char *name)
{
    char path[KIT_PATH_MAX];
    assert_int_equal(symlink(target, kit_path(path, dir, name)), 0);
}

static const struct {
    const char *a, *b;
    int order;
} orders[] = {
    {"sub/z", "sub.txt", -1},
    {"B.txt", "config.json", -1},
    {"a", "a", 0},
    {"a", "a/b", -1},
    {"a/b", "a.b", -1},
    {"a/b/c", "a/b", 1},
    {"a\xc3\xa9", "az", 1},
    {"", "a", -1},
};

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(orders); i++) {
        assert_int_equal(mln_tree_cmp(orders[i].a, orders[i].b), orders[i].order);
        assert_int_equal(mln_tree_cmp(orders[i].b, orders[i].a), -orders[i].order);
    }
}

static const struct {
    const char *path, *rule;
    bool is_below;
} rules[] = {
    {"sub/z", "sub", true}, {"sub/z", "sub/", true}, {"sub.txt", "sub", false},
    {"sub", "sub", true},   {"a", ".", true},        {"a/b/c", "a/b", true},
    {"a/bc", "a/b", false}, {"a", "", false},        {"a", "/", false},
    {"ab", "a", false},
};

static const struct {
    const char *path;
    bool is_valid;
} paths[] = {
    {"a", true},       {"a/b", true},  {"a b", true}, {"..a/b..", true}, {"caf\xc3\xa9", true},
    {"", false},       {"/a", false},  {"a/", false}, {"a//b", false},   {"..", false},
    {"a/../b", false}, {"./a", false}, {".", false},  {"\xff", false},
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(rules); i++) {
        assert_int_equal(mln_tree_is_below(rules[i].path, mln_bytes_of(rules[i].rule)),
                         rules[i].is_below);
    }
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        assert_int_equal(mln_tree_path_valid(mln_bytes_of(paths[i].path)), paths[i].is_valid);
    }
    assert_false(mln_tree_path_valid(mln_bytes_at("a\0b", 3)));
}

static void test_walk(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_tree tree;
    make_dir("sub");
    make_dir("skip");
    make_dir("empty");
    put("sub/z", MLN_BYTES("12"));
    put("sub.txt", MLN_BYTES(""));
    put("skip/x", MLN_BYTES("1"));
    put("B", MLN_BYTES("123"));
    make_link("B", "link");
    make_link("sub", "linked-folder");
    make_link("nowhere", "broken");
    char pipe_path[KIT_PATH_MAX];
    assert_int_equal(mkfifo(kit_path(pipe_path, dir, "pipe"), 0600), 0);
    struct mln_value *ignore = mln_array(cx);
    mln_push_text(cx, ignore, "skip");
    kit_ok(cx, mln_tree_walk(cx, dir, ignore, &tree));
    static const struct {
        const char *path;
        enum mln_tree_kind kind;
        bool plain, linked;
    } want[] = {
        {"B", MLN_TREE_FILE, true, true},
        {"broken", MLN_TREE_LINK_ODD, false, false},
        {"link", MLN_TREE_LINK_FILE, false, true},
        {"linked-folder", MLN_TREE_LINK_ODD, false, false},
        {"pipe", MLN_TREE_ODD, false, false},
        {"sub/z", MLN_TREE_FILE, true, true},
        {"sub.txt", MLN_TREE_FILE, true, true},
    };
    assert_int_equal(tree.n_files, MLN_COUNT(want));
    for (size_t i = 0; i < MLN_COUNT(want); i++) {
        assert_string_equal(tree.files[i].path, want[i].path);
        assert_int_equal(tree.files[i].kind, want[i].kind);
        assert_int_equal(!mln_failed(mln_tree_check(NULL, &tree.files[i], false)), want[i].plain);
        assert_int_equal(!mln_failed(mln_tree_check(NULL, &tree.files[i], true)), want[i].linked);
    }
    mln_tree_drop(&tree);
}

static void test_walk_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_tree tree;
    char path[KIT_PATH_MAX];
    kit_refused_with(cx, mln_tree_walk(cx, kit_path(path, dir, "none"), NULL, &tree),
                     MLN_E_NOT_FOUND, "none");
    kit_refused(cx, mln_tree_walk(cx, "/dev/null", NULL, &tree), MLN_E_INVALID);
    put("\xff\xfe", MLN_BYTES(""));
    kit_refused_with(cx, mln_tree_walk(cx, dir, NULL, &tree), MLN_E_INVALID, "UTF-8");
    unlink(kit_path(path, dir, "\xff\xfe"));
    char deep[KIT_PATH_MAX] = "d";
    for (size_t i = 0; i <= MLN_TREE_DEPTH_MAX; i++) {
        make_dir(deep);
        strcat(deep, "/d");
    }
    kit_refused_with(cx, mln_tree_walk(cx, dir, NULL, &tree), MLN_E_TOO_LARGE, "nested");
}

/* A file that is swapped between the walk and the reading. */
static void test_swapped(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char path[KIT_PATH_MAX], other[KIT_PATH_MAX];
    make_dir("sub");
    put("sub/a", MLN_BYTES("1"));
    put("other", MLN_BYTES("2"));
    kit_path(path, dir, "sub/a");
    kit_path(other, dir, "other");
    struct mln_tree tree;
    kit_ok(cx, mln_tree_walk(cx, dir, NULL, &tree));
    assert_string_equal(tree.files[1].path, "sub/a");
    int fd = -1;
    unlink(path);
    kit_refused(cx, mln_tree_open(cx, &tree, &tree.files[1], &fd), MLN_E_NOT_FOUND);
    make_link("../other", "sub/a");
    kit_refused(cx, mln_tree_open(cx, &tree, &tree.files[1], &fd), MLN_E_CONFLICT);
    unlink(path);
    put("sub/a", MLN_BYTES("1")); /* same text, another file */
    kit_refused(cx, mln_tree_open(cx, &tree, &tree.files[1], &fd), MLN_E_CONFLICT);
    kit_ok(cx, mln_tree_open(cx, &tree, &tree.files[0], &fd));
    kit_ok(cx, mln_tree_unchanged(cx, &tree.files[0], fd));
    put("other", MLN_BYTES("longer"));
    kit_refused(cx, mln_tree_unchanged(cx, &tree.files[0], fd), MLN_E_CONFLICT);
    close(fd);
    /* A folder swapped for a link to another one. */
    unlink(path);
    rmdir(kit_path(path, dir, "sub"));
    make_link("/", "sub");
    kit_refused(cx, mln_tree_open(cx, &tree, &tree.files[1], &fd), MLN_E_CONFLICT);
    mln_tree_drop(&tree);
}

static void expect_digest(struct mln_cx *cx, enum mln_digest kind, struct mln_bytes content,
                          const struct mln_digest_job *job)
{
    uint8_t want[64];
    unsigned n = 0;
    struct mln_bytes part =
        mln_bytes_sub(content, (size_t)job->start, (size_t)(job->end - job->start));
    EVP_Digest(part.ptr, part.len, want, &n,
               kind == MLN_DIGEST_SHA256 ? EVP_sha256() : EVP_blake2b512(), NULL);
    assert_int_equal(n, mln_digest_len(kind));
    kit_same(cx, mln_bytes_at(job->digest, n), mln_bytes_at(want, n));
}

/* A clock on which every look is a second later, so that progress is shown after every block. */
static int64_t ticks;

static int64_t tick(void *arg)
{
    (void)arg;
    ticks += 1000000000;
    return ticks;
}

static void slow_clock_begin(void)
{
    static const struct mln_clock clock = {tick, tick, NULL};
    mln_clock_use(&clock);
}

static void slow_clock_end(void)
{
    mln_clock_use(NULL);
}

static void count_progress(void *arg, uint64_t done, uint64_t all)
{
    uint64_t *last = arg;
    assert_true(done <= all);
    assert_true(done >= *last);
    *last = done;
}

static void test_digests(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t *bytes = mln_new(cx, 700001);
    mln_random(bytes, 700001);
    struct mln_bytes whole = mln_bytes_at(bytes, 700001);
    put("big", whole);
    put("empty", MLN_BYTES(""));
    struct mln_tree tree;
    kit_ok(cx, mln_tree_walk(cx, dir, NULL, &tree));
    for (int kind = 0; kind < 2; kind++) {
        struct mln_digest_job jobs[] = {{.file = &tree.files[0], .end = 700001},
                                        {.file = &tree.files[1]},
                                        {.file = &tree.files[0], .start = 5, .end = 6},
                                        {.file = &tree.files[0], .start = 262143, .end = 524290}};
        uint64_t last = 0;
        struct mln_work_progress progress = {count_progress, &last};
        kit_ok(cx,
               mln_digest_files(cx, &tree, (enum mln_digest)kind, jobs, MLN_COUNT(jobs), progress));
        assert_int_equal(last, 700001 + 1 + 524290 - 262143);
        expect_digest(cx, (enum mln_digest)kind, whole, &jobs[0]);
        expect_digest(cx, (enum mln_digest)kind, MLN_BYTES_NONE, &jobs[1]);
        expect_digest(cx, (enum mln_digest)kind, whole, &jobs[2]);
        expect_digest(cx, (enum mln_digest)kind, whole, &jobs[3]);
    }
    mln_tree_drop(&tree);
}

/* A file that is cut, or written to, while it is hashed. */
static void cut_file(void *arg, uint64_t done, uint64_t all)
{
    if (done < all) {
        assert_int_equal(truncate(arg, 4 << 20), 0);
    }
}

static void touch_file(void *arg, uint64_t done, uint64_t all)
{
    if (done < all) {
        int fd = open(arg, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "x", 1, 5), 1);
        close(fd);
    }
}

static void test_changing(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    void (*const changes[])(void *, uint64_t, uint64_t) = {cut_file, touch_file};
    char path[KIT_PATH_MAX];
    kit_path(path, dir, "big");
    for (size_t i = 0; i < MLN_COUNT(changes); i++) {
        struct mln_tree tree;
        put("big", MLN_BYTES("x"));
        assert_int_equal(truncate(path, 64 << 20), 0);
        kit_ok(cx, mln_tree_walk(cx, dir, NULL, &tree));
        struct mln_digest_job job = {.file = &tree.files[0], .end = tree.files[0].size};
        struct mln_work_progress progress = {changes[i], path};
        slow_clock_begin();
        struct mln_err err = mln_digest_files(cx, &tree, MLN_DIGEST_SHA256, &job, 1, progress);
        slow_clock_end();
        kit_expect_at(cx, err, MLN_E_CONFLICT, "big changed while", "changing", __FILE__, __LINE__);
        mln_tree_drop(&tree);
    }
}

/* Of several bad files the first is named, whatever the threads do. */
static void test_first_error(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char path[KIT_PATH_MAX];
    for (char name[] = "a"; name[0] <= 'z'; name[0]++) {
        put(name, MLN_BYTES("x"));
    }
    struct mln_tree tree;
    struct mln_digest_job jobs[26];
    kit_ok(cx, mln_tree_walk(cx, dir, NULL, &tree));
    for (size_t i = 0; i < 26; i++) {
        jobs[i] = (struct mln_digest_job){.file = &tree.files[i], .end = 1};
    }
    unlink(kit_path(path, dir, "t"));
    unlink(kit_path(path, dir, "k"));
    for (int round = 0; round < 20; round++) {
        kit_refused_with(
            cx,
            mln_digest_files(cx, &tree, MLN_DIGEST_SHA256, jobs, 26, (struct mln_work_progress){0}),
            MLN_E_NOT_FOUND, "open k:");
    }
    mln_tree_drop(&tree);
}

static struct mln_err digest_body(struct mln_cx *cx, void *arg)
{
    (void)arg;
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    MLN_TRY(mln_tree_walk(cx, dir, NULL, &tree));
    struct mln_digest_job job = {.file = &tree.files[0], .end = tree.files[0].size};
    return mln_digest_files(cx, &tree, MLN_DIGEST_SHA256, &job, 1, (struct mln_work_progress){0});
}

static void test_faults(void **state)
{
    (void)state;
    put("a", MLN_BYTES("content"));
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, digest_body, NULL) > 0);
    assert_true(mln_each_fault(MLN_FAULT_READ, digest_body, NULL) > 0);
}

static void test_names(void **state)
{
    enum mln_digest kind = MLN_DIGEST_SHA256;
    struct mln_cx *cx = kit_cx(state);
    assert_true(mln_digest_parse(MLN_BYTES("blake2b"), &kind) && kind == MLN_DIGEST_BLAKE2B);
    assert_true(mln_digest_parse(mln_bytes_of(mln_digest_name(MLN_DIGEST_SHA256)), &kind) &&
                kind == MLN_DIGEST_SHA256);
    assert_false(mln_digest_parse(MLN_BYTES("blake3"), &kind));
    assert_false(mln_digest_parse(MLN_BYTES("SHA256"), &kind));
    assert_false(mln_digest_parse(MLN_BYTES(""), &kind));
    assert_string_equal(mln_tree_show(cx, MLN_BYTES("a\nb\x1b[1mc\xc3\xa9")), "a?b?[1mc\xc3\xa9");
    assert_string_equal(mln_tree_show(cx, MLN_BYTES("a\xff")), "a?");
}

#define DIR_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_order),       DIR_TEST(test_walk),     DIR_TEST(test_walk_refused),
        DIR_TEST(test_swapped),     DIR_TEST(test_changing), DIR_TEST(test_digests),
        DIR_TEST(test_first_error), DIR_TEST(test_faults),   KIT_TEST(test_rules),
        KIT_TEST(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
