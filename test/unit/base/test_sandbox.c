/* SPDX-License-Identifier: Apache-2.0 */
/* What a node's sandbox lets through and what not: each in a child of its own, which ends there for good. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "kit/kit.h"

static char home[64], secret[96], mine[96], moved[96], token[96];

static int read_one(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && close(fd) == 0 ? 0 : errno;
}

static int make_and_move(void)
{
    int fd = open(mine, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && close(fd) == 0;
    return ok && rename(mine, moved) == 0 && unlink(moved) == 0 ? 0 : errno;
}

static int write_elsewhere(void)
{
    int fd = open(secret, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && close(fd) == 0 ? 0 : errno;
}

static int read_token(void)
{
    return read_one(token);
}

static int read_secret(void)
{
    return read_one(secret);
}

static int read_passwd(void)
{
    return read_one("/etc/passwd");
}

static int dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}, .sin_port = htons(1)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? errno : connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 || errno == ECONNREFUSED ? 0 : errno;
    (void)close(fd);
    return rc;
}

static int listen_here(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return listen(fd, 1) == 0 ? 0 : errno;
}

static int run_program(void)
{
    char name[] = "/bin/true", *argv[] = {name, NULL};
    return execv(name, argv);
}

static int make_unix(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && close(fd) == 0 ? 0 : errno;
}

#define NOT_CONFINED 99 /* the kernel has not what this row is about */

/* A program with sanitizers may read any file: they need it (base/sandbox.c). */
#ifdef MLN_SANITIZED
static const bool reads_are_confined = false;
#else
static const bool reads_are_confined = true;
#endif

static int in_sandbox(int (*what)(void), bool is_about_files)
{
    const char *const reads[] = {token, "/nonexistent/folder"};
    struct mln_sandbox_folders folders = {.reads = reads, .n_reads = 2, .writes = home};
    struct mln_sandbox_state state = {0};
    struct mln_cx cx;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        mln_cx_init(&cx, NULL);
        bool is_in = !mln_failed(mln_sandbox_enter_node(&cx, &folders, &state));
        bool counts = is_about_files ? state.has_landlock : state.has_seccomp;
        _exit(!is_in ? 98 : !counts ? NOT_CONFINED : what());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_what_a_node_may(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*what)(void);
        bool is_about_files;
        int want;
    } rows[] = {
        {"read what it was told of", read_token, true, 0},
        {"replace a file in its folder", make_and_move, true, 0},
        {"read another file", read_secret, true, EACCES},
        {"read the users", read_passwd, true, EACCES},
        {"write another file", write_elsewhere, true, EACCES},
        {"ask the outside", dial, false, 0},
        {"listen", listen_here, false, -SIGSYS},
        {"run a program", run_program, false, -SIGSYS},
        {"make a Unix socket", make_unix, false, EPERM},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        bool is_denied_read = rows[i].what == read_secret || rows[i].what == read_passwd;
        if (is_denied_read && !reads_are_confined) {
            continue;
        }
        int got = in_sandbox(rows[i].what, rows[i].is_about_files);
        if (got != rows[i].want && got != NOT_CONFINED) {
            fail_msg("%s: %d, not %d", rows[i].name, got, rows[i].want);
        }
    }
}

static void put(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && close(fd) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_a_node_may)};
    (void)snprintf(home, sizeof(home), "/tmp/mln-sandbox-XXXXXX");
    if (mkdtemp(home) == NULL) {
        return 1;
    }
    (void)snprintf(mine, sizeof(mine), "%s/a", home);
    (void)snprintf(moved, sizeof(moved), "%s/b", home);
    (void)snprintf(secret, sizeof(secret), "%s.secret", home);
    (void)snprintf(token, sizeof(token), "%s.token", home);
    put(secret);
    put(token);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(secret);
    (void)unlink(token);
    (void)rmdir(home);
    return failed;
}
