/* SPDX-License-Identifier: Apache-2.0 */
/* What attestors say of processes, and of which processes they say nothing. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "identity/attest_priv.h"
#include "kit/kit.h"

struct at {
    struct mln_arena *arena;
    struct mln_cx cx;
    struct mln_attest_config config;
};

static struct at *start(void)
{
    struct at *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    k->arena = mln_arena_new(16u << 20, false);
    mln_cx_init(&k->cx, k->arena);
    k->config = (struct mln_attest_config){.cache = mln_attest_cache_new(), .proc = "/proc", .etc = "/etc"};
    return k;
}

static void stop(struct at **at)
{
    mln_attest_cache_free((*at)->config.cache);
    mln_arena_free((*at)->arena);
    free(*at);
}
#define ATTEST(k) MLN_AUTO(stop) struct at *k = start()

static const char *json(struct at *k, const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_json_print(&out, v, MLN_JSON_COMPACT);
    return mln_text_dup(&k->cx, mln_buf_bytes(&out));
}

static bool has(const struct mln_value *selectors, const char *text)
{
    bool is_there = false;
    for (size_t i = 0; i < mln_len(selectors); i++) {
        is_there = is_there || mln_is_text(mln_item(selectors, i), text);
    }
    return is_there;
}

/* ---- the kernel's texts ---- */

static void test_ids(void **state)
{
    (void)state;
    ATTEST(k);
    static const struct {
        const char *text;
        bool ok;
        uint32_t uid, gid;
        size_t n_groups;
    } rows[] = {
        {"Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n", true, 2, 6, 2},
        {"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t\n", true, 0, 0, 0},
        {"Name:\tUid:\t9\t9\t9\t9\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n", true, 2, 6, 0}, /* a name is no line of its own */
        {"Uid:\t1\t2\t3\nGid:\t5\t6\t7\t8\n", false, 0, 0, 0},
        {"Uid:\t1\t2\t3\t4\n", false, 0, 0, 0},
        {"Uid:\t1\t2\t3\t4\nUid:\t0\t0\t0\t0\nGid:\t5\t6\t7\t8\n", false, 0, 0, 0},
        {"Uid:\t1\t2\t3\tx\nGid:\t5\t6\t7\t8\n", false, 0, 0, 0},
        {"Uid:\t1\t2\t3\t4294967296\nGid:\t5\t6\t7\t8\n", false, 0, 0, 0},
        {"Uid:\t-1\t2\t3\t4\nGid:\t5\t6\t7\t8\n", false, 0, 0, 0},
        {"", false, 0, 0, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct attest_ids ids = {0};
        mln_cx_clear(&k->cx);
        struct mln_err err = attest_ids_parse(&k->cx, mln_bytes_of(rows[i].text), &ids);
        if (mln_failed(err) == rows[i].ok || ids.uid[1] != rows[i].uid || ids.gid[1] != rows[i].gid || ids.n_groups != rows[i].n_groups) {
            fail_msg("row %zu: %s uid %u gid %u groups %zu", i, mln_err_name(err.code), ids.uid[1], ids.gid[1], ids.n_groups);
        }
    }
}

static void test_start(void **state)
{
    (void)state;
    ATTEST(k);
    static const struct {
        const char *text;
        bool ok;
        int64_t ns;
    } rows[] = {
        {"7 (sh) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 250 1 2\n", true, 2500000000},
        {"7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 3 1 2\n", true, 30000000}, /* brackets in the name */
        {"7 (x) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9 (z\n", true, 90000000},
        {"7 sh S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 250\n", false, 0},
        {"7 (sh) S 1 7", false, 0},
        {"7 (sh) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 -5 1\n", false, 0},
        {"7 (sh) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99999999999999999999 1\n", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int64_t ns = 0;
        mln_cx_clear(&k->cx);
        struct mln_err err = attest_start_parse(&k->cx, mln_bytes_of(rows[i].text), 100, &ns);
        if (mln_failed(err) == rows[i].ok || ns != rows[i].ns) {
            fail_msg("row %zu: %s %lld", i, mln_err_name(err.code), (long long)ns);
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char file[] = "root:x:0:0::/root:/bin/sh\nbad\n:x:5:\nal:x:1000:1000::/:\nother:x:1000:1::/:\nlast:x:7:7";
    static const struct {
        uint32_t number;
        const char *name;
    } rows[] = {{0, "root"}, {1000, "al"}, {7, "last"}, {5, ""}, {9, ""}, {4294967295u, ""}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes got = attest_name_of(mln_bytes_of(file), rows[i].number);
        if (!mln_bytes_is(got, rows[i].name)) {
            fail_msg("row %zu: %.*s", i, MLN_FMT(got));
        }
    }
}

/* A process chooses its names: what is no clean text is no selector. */
static void test_what_is_no_selector(void **state)
{
    (void)state;
    ATTEST(k);
    static char longest[1200];
    memset(longest, 'a', sizeof(longest) - 1);
    const char *const refused[] = {"", "a\nb", "a\x7f", "\xff\xfe", "a\tb", longest};
    struct mln_value *all = mln_array(&k->cx);
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        mln_attest_push(&k->cx, all, "unix:path", mln_bytes_of(refused[i]));
        assert_int_equal(mln_len(all), 0);
    }
    mln_attest_push(&k->cx, all, "unix:path", MLN_BYTES("/a b:c"));
    assert_string_equal(json(k, all), "[\"unix:path:/a b:c\"]");
}

/* ---- processes ---- */

static struct mln_attest_who who_of(pid_t pid)
{
    struct mln_attest_who who = {.pid = pid, .uid = geteuid(), .gid = getegid()};
    who.pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
    assert_true(who.pidfd >= 0);
    return who;
}

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_a_process(void **state)
{
    (void)state;
    ATTEST(k);
    struct mln_attest_who who = who_of(getpid());
    const struct mln_value *all = NULL;
    char path[4096] = {0};
    assert_false(mln_failed(mln_attest(&k->cx, &k->config, &who, &all)));
    assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
    assert_true(has(all, mln_text_format(&k->cx, "unix:uid:%u", geteuid())));
    assert_true(has(all, mln_text_format(&k->cx, "unix:gid:%u", getegid())));
    assert_true(has(all, mln_text_format(&k->cx, "unix:path:%s", path)));
    if (geteuid() == 0) {
        assert_true(has(all, "unix:user:root"));
        assert_true(has(all, "unix:group:root"));
    }
    unsigned digests = 0;
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(all, i));
        digests += mln_bytes_starts(one, MLN_BYTES("unix:sha256:")) && one.len == 12 + 64 ? 1 : 0;
        assert_true(i == 0 || mln_value_cmp(mln_item(all, i - 1), mln_item(all, i)) < 0);
    }
    assert_int_equal(digests, 1);
    (void)close(who.pidfd);
}

/* Its own folder of names: what the attestor says of them is theirs. */
static void test_settings(void **state)
{
    (void)state;
    ATTEST(k);
    struct mln_attest_who who = who_of(getpid());
    const struct mln_value *all = NULL, *settings = NULL;
    static const char *const texts[] = {"{\"unix\":{\"sha256\":false}}", "{\"unix\":{\"size_limit\":10}}",
                                        "{\"unix\":{\"size_limit\":\"1K\"}}"};
    k->config.etc = "/nowhere";
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(texts[i]), &settings)));
        assert_false(mln_failed(mln_attest_check(&k->cx, settings)));
        k->config.settings = settings;
        assert_false(mln_failed(mln_attest(&k->cx, &k->config, &who, &all)));
        assert_null(strstr(json(k, all), "sha256"));
        assert_null(strstr(json(k, all), "unix:user:"));
        assert_non_null(strstr(json(k, all), "unix:uid:"));
    }
    (void)close(who.pidfd);
}

static void test_settings_that_are_refused(void **state)
{
    (void)state;
    ATTEST(k);
    static const struct {
        const char *settings, *says;
    } rows[] = {
        {"[]", "'spiffe.attest' must hold"},
        {"{\"magic\":{}}", "unknown key 'spiffe.attest.magic'"},
        {"{\"unix\":5}", "'spiffe.attest.unix' must hold"},
        {"{\"unix\":{\"x\":1}}", "unknown key 'spiffe.attest.unix.x'"},
        {"{\"unix\":{\"sha256\":1}}", "true or false"},
        {"{\"unix\":{\"size_limit\":-1}}", "a size"},
        {"{\"unix\":{\"size_limit\":\"much\"}}", "a size"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_value *settings = NULL;
        mln_cx_clear(&k->cx);
        assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(rows[i].settings), &settings)));
        struct mln_err err = mln_attest_check(&k->cx, settings);
        if (!mln_is(err, MLN_E_INVALID) || strstr(k->cx.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s %s", i, mln_err_name(err.code), k->cx.text);
        }
    }
}

static int64_t boot_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void refuse(struct at *k, const struct mln_attest_who *who, const char *says)
{
    const struct mln_value *all = NULL;
    mln_cx_clear(&k->cx);
    struct mln_err err = mln_attest(&k->cx, &k->config, who, &all);
    if (!mln_is(err, MLN_E_DENIED) || strstr(k->cx.text, says) == NULL) {
        fail_msg("%s: %s", mln_err_name(err.code), k->cx.text);
    }
    assert_null(all);
}

static void test_a_process_that_ended(void **state)
{
    (void)state;
    ATTEST(k);
    pid_t pid = sleeper();
    struct mln_attest_who who = who_of(pid);
    const struct mln_value *all = NULL;
    assert_false(mln_failed(mln_attest(&k->cx, &k->config, &who, &all)));
    end(pid);
    refuse(k, &who, "has ended");
    (void)close(who.pidfd);
}

/* The race: A connects and ends, its number goes to B. The pidfd is A's, the number leads to B. */
static void test_a_number_that_is_used_again(void **state)
{
    (void)state;
    ATTEST(k);
    pid_t first = sleeper();
    struct mln_attest_who who = who_of(first);
    end(first);
    pid_t second = sleeper();
    who.pid = second;
    refuse(k, &who, "has ended");
    (void)close(who.pidfd);
    /* Kernels that give no pidfd: the number was opened, and leads to B from the start. B is younger than the connection. */
    int64_t connected = boot_ns();
    struct timespec tick = {.tv_nsec = 30000000}; /* starts are counted in hundredths of a second */
    (void)nanosleep(&tick, NULL);
    pid_t third = sleeper();
    who = who_of(third);
    who.is_by_number = true;
    who.connected_by_ns = connected;
    refuse(k, &who, "its number is another's");
    who.connected_by_ns = boot_ns() + 1000000000;
    const struct mln_value *all = NULL;
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(mln_attest(&k->cx, &k->config, &who, &all)));
    who.uid = geteuid() + 1; /* or is another user's */
    refuse(k, &who, "its number is another's");
    (void)close(who.pidfd);
    end(second);
    end(third);
}

static void test_nobody(void **state)
{
    (void)state;
    ATTEST(k);
    struct mln_attest_who who = who_of(getpid());
    who.pid = 0; /* of a pid namespace that is not ours */
    refuse(k, &who, "cannot be seen");
    (void)close(who.pidfd);
    who = (struct mln_attest_who){.pid = getpid(), .pidfd = -1};
    refuse(k, &who, "cannot be seen");
}

/* ---- digests ---- */

static void test_digest(void **state)
{
    (void)state;
    ATTEST(k);
    char path[] = "/tmp/mln-attest-XXXXXX", hex[65] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_false(mln_failed(attest_digest(&k->cx, k->config.cache, fd, 3, hex)));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_false(mln_failed(attest_digest(&k->cx, k->config.cache, fd, 3, hex))); /* remembered */
    assert_true(mln_is(attest_digest(&k->cx, k->config.cache, fd, 2, hex), MLN_E_TOO_LARGE));
    mln_cx_clear(&k->cx);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1); /* the same size: the times tell */
    struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 5}};
    assert_int_equal(futimens(fd, times), 0);
    assert_false(mln_failed(attest_digest(&k->cx, k->config.cache, fd, 3, hex)));
    assert_string_not_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(mln_is(attest_digest(&k->cx, k->config.cache, fd, 9, hex), MLN_E_INVALID));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_what_is_no_selector),
        cmocka_unit_test(test_a_process),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_settings_that_are_refused),
        cmocka_unit_test(test_a_process_that_ended),
        cmocka_unit_test(test_a_number_that_is_used_again),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
