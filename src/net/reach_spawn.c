/* SPDX-License-Identifier: Apache-2.0 */
/* A reach process of one's own, for programs that have no monitor to start one. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/reach_priv.h"

static _Noreturn void serve(struct mln_cx *cx, int fd, const struct mln_value *allow)
{
    struct mln_reach_config config = {.fd = fd, .state_fd = -1, .allow = allow};
    struct mln_err err = mln_reach_serve(cx, &config);
    _exit(mln_failed(err) ? 1 : 0);
}

static struct mln_err attach(struct mln_cx *cx, int fd, struct mln_reach_child *child)
{
    struct mln_err err = mln_reach_new(cx, &child->reach);
    if (mln_failed(err)) {
        (void)close(fd);
        return err;
    }
    return mln_reach_attach(cx, child->reach, fd);
}

struct mln_err mln_reach_spawn(struct mln_cx *cx, const struct mln_value *allow,
                               struct mln_reach_child *ret)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "cannot make a socket pair for the reach process");
    }
    struct mln_reach_child child = {.pid = fork()};
    if (child.pid == 0) {
        (void)close(ends[0]);
        serve(cx, ends[1], allow);
    }
    (void)close(ends[1]);
    if (child.pid < 0) {
        (void)close(ends[0]);
        return mln_fail(cx, MLN_E_INTERNAL, "cannot start the reach process");
    }
    struct mln_err err = attach(cx, ends[0], &child);
    if (mln_failed(err)) {
        mln_reach_child_drop(&child);
        return err;
    }
    *ret = child;
    return MLN_OK;
}

void mln_reach_child_drop(struct mln_reach_child *child)
{
    mln_reach_free(child->reach);
    if (child->pid > 0) {
        (void)kill(child->pid, SIGKILL); /* it holds nothing */
        (void)waitpid(child->pid, NULL, 0);
    }
    *child = (struct mln_reach_child){0};
}
