/* SPDX-License-Identifier: Apache-2.0 */
/* See attest_helper.h. One question at a time. */
#include "main/attest_helper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "identity/attest.h"
#include "main/main_priv.h"

#define ASK_MAX   32768u
#define ANSWER_MS 15000 /* all tries of a find and their waits */

/* ---- the process that asks ---- */

static struct mln_err fill(struct mln_cx *cx, const struct mln_value *selectors,
                           struct attest_tell *to)
{
    struct mln_value *set = mln_set(cx), *list = mln_array(cx);
    for (size_t i = 0; i < mln_len(selectors); i++) {
        mln_push(cx, set, mln_item(selectors, i));
    }
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_push(cx, list, mln_item(set, i));
    }
    *to = (struct attest_tell){.kind = ATTEST_FOUND};
    return attest_tell_fill(cx, list, to);
}

static void answer(struct mln_cx *cx, const struct attest_helper_kind *kind, void *self,
                   const void *ask, int fd)
{
    static struct attest_tell tell;
    const struct mln_value *found = NULL;
    struct mln_err err = kind->find(cx, self, ask, &found);
    err = mln_failed(err) ? err : fill(cx, found, &tell);
    if (mln_failed(err)) {
        tell = (struct attest_tell){.kind = ATTEST_REFUSED, .why = err.code};
        (void)snprintf(tell.bytes, sizeof(tell.bytes), "%s", cx->text);
        tell.n_bytes = (uint32_t)mln_bytes_of(tell.bytes).len + 1;
        mln_cx_clear(cx);
    }
    if (mln_failed(attest_tell_send(cx, fd, &tell))) {
        _exit(0);
    }
    mln_arena_reset(cx->arena);
}

static _Noreturn void child_main(const struct attest_helper_kind *kind, void *self, int fd,
                                 pid_t parent)
{
    static uint8_t ask[ASK_MAX];
    struct mln_sandbox_state state;
    struct mln_cx cx;
    mln_cx_init(&cx, mln_arena_new(kind->arena_bytes, false));
    name_process(kind->name);
    struct mln_err err = {cx.arena != NULL ? MLN_E_OK : MLN_E_MEMORY};
    err = mln_failed(err) ? err : kind->begin(&cx, self);
    harden_process();
    if (!mln_failed(err) && !die_with_parent(parent)) {
        _exit(0);
    }
    err = mln_failed(err) ? err : mln_sandbox_enter(&cx, kind->profile, -1, &state);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "attest", &cx, kind->name);
        _exit(1);
    }
    for (;;) {
        ssize_t n = recv(fd, ask, sizeof(ask), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n != (ssize_t)kind->ask_bytes) {
            _exit(0);
        }
        answer(&cx, kind, self, ask, fd);
        mln_wipe(ask, kind->ask_bytes);
    }
}

/* ---- the attest process ---- */

struct mln_err attest_helper_start(struct mln_cx *cx, const struct attest_helper_kind *kind,
                                   void *self, struct attest_helper *ret)
{
    int pair[2] = {-1, -1};
    MLN_CHECK(kind->ask_bytes <= ASK_MAX);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return mln_fail(cx, MLN_E_IO, "no socket for %s (errno %d)", kind->name, errno);
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        for (int fd = FD_BOOT; fd <= FD_MORE; fd++) {
            (void)close(fd);
        }
        (void)close(pair[0]);
        child_main(kind, self, pair[1], parent);
    }
    mln_fd_drop(&pair[1]);
    ret->kind = kind;
    ret->fd = pair[0];
    ret->tell = mln_alloc(sizeof(*ret->tell));
    (void)pthread_mutex_init(&ret->lock, NULL);
    return pid > 0 && ret->tell != NULL
               ? MLN_OK
               : mln_fail(cx, MLN_E_IO, "no process for %s (errno %d)", kind->name, errno);
}

static void call(struct mln_cx *cx, const struct attest_helper *helper, void *ask,
                 struct attest_tell *ret)
{
    struct pollfd one = {.fd = helper->fd, .events = POLLIN};
    struct iovec part = {ask, helper->kind->ask_bytes};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1}; /* the sandbox knows sendmsg, not send */
    bool ok = sendmsg(helper->fd, &head, MSG_NOSIGNAL) == (ssize_t)helper->kind->ask_bytes &&
              poll(&one, 1, ANSWER_MS) == 1 &&
              !mln_failed(attest_tell_receive(cx, helper->fd, ret));
    if (!ok) { /* it died, or hangs: both start anew together */
        mln_log(MLN_LOG_ERROR, "attest", "%s is gone", helper->kind->name);
        _exit(1);
    }
}

/* Whatever it says, it can only say so of its own kind. */
static struct mln_err take(struct mln_cx *cx, const struct attest_tell *tell, const char *prefix,
                           const struct mln_value **ret)
{
    struct mln_value *found = mln_array(cx);
    struct mln_bytes left = mln_bytes_dup(cx, mln_bytes_at(tell->bytes, tell->n_bytes)),
                     head = mln_bytes_of(prefix);
    if (tell->kind != ATTEST_FOUND) {
        struct mln_bytes why = mln_bytes_cut(left, 0, &left);
        return mln_fail(cx, tell->why == MLN_E_NOT_FOUND ? MLN_E_NOT_FOUND : MLN_E_UNREACHABLE,
                        "%.*s", MLN_FMT(why));
    }
    while (left.len > 0) {
        struct mln_bytes one = mln_bytes_cut(left, 0, &left);
        if (mln_bytes_starts(one, head)) {
            size_t colon = head.len + mln_bytes_find(mln_bytes_from(one, head.len), ':');
            mln_attest_push(cx, found, mln_text_dup(cx, mln_bytes_sub(one, 0, colon)),
                            mln_bytes_from(one, colon + 1));
        }
    }
    *ret = found;
    return mln_cx_err(cx);
}

struct mln_err attest_helper_ask(struct mln_cx *cx, struct attest_helper *helper, void *ask,
                                 const struct mln_value **ret)
{
    (void)pthread_mutex_lock(&helper->lock);
    call(cx, helper, ask, helper->tell);
    struct mln_err err = take(cx, helper->tell, helper->kind->prefix, ret);
    (void)pthread_mutex_unlock(&helper->lock);
    return err;
}
