/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a child: fork and exec of this program under another name. Between fork and exec only
 * system calls, no memory is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "main/main_priv.h"

#define FDS_MAX     256u /* 16 listeners and three a ring of 64 */
#define FDS_ABOVE   512  /* sources are moved out of the way of their targets first */
#define EXEC_FAILED 127

extern char **environ;

/*
 * The terminal's and the service manager's signals go to all of a group: only monitor acts on them,
 * and tells the children by their descriptors.
 */
static void child_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT,
                                  SIGXFSZ}; /* a file at its limit is an error of the write */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;
    for (size_t i = 0; i < MLN_COUNT(ignored); i++) {
        (void)sigaction(ignored[i], &ignore, NULL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child(const char *name, const int *fds, unsigned n)
{
    int moved[FDS_MAX];
    char *const argv[] = {(char *)(uintptr_t)name, NULL};
    char *const clean[] = {NULL};
    for (unsigned i = 0; i < n; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD, FDS_ABOVE);
        if (moved[i] < 0) {
            _exit(EXEC_FAILED);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (dup2(moved[i], FD_BOOT + (int)i) < 0) {
            _exit(EXEC_FAILED);
        }
    }
    (void)syscall(SYS_close_range, (unsigned)FD_BOOT + n, ~0u, 0u);
    child_signals();
#ifdef MLN_SANITIZED
    (void)execve("/proc/self/exe", argv, environ); /* ASAN_OPTIONS and its kin */
    (void)clean;
#else
    (void)execve("/proc/self/exe", argv, clean);
#endif
    _exit(EXEC_FAILED);
}

struct mln_err spawn(struct mln_cx *cx, const char *name, const int *fds, unsigned n,
                     pid_t *ret_pid)
{
    MLN_CHECK(n <= FDS_MAX);
    pid_t pid = fork();
    if (pid < 0) {
        return mln_fail(cx, MLN_E_IO, "%s cannot be started (errno %d)", name, errno);
    }
    if (pid == 0) {
        child(name, fds, n);
    }
    *ret_pid = pid;
    return MLN_OK;
}
