/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between monitor, relay and keeper. */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "proxy/proxy.h"

#define HEAD_BYTES offsetof(struct mln_proxy_message, bytes)

union area {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MLN_PROXY_THREADS_MAX)];
};

struct mln_err mln_proxy_pair(struct mln_cx *cx, int ret[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) != 0) {
        return mln_fail(cx, MLN_E_IO, "no sockets between the proxy's processes (errno %d)", errno);
    }
    return MLN_OK;
}

/* send() where no descriptor goes along: the sandbox lets sendmsg through on one socket only. */
static ssize_t put(int fd, struct msghdr *head, int flags)
{
    ssize_t n = 0;
    do {
        n = head->msg_controllen > 0 ? sendmsg(fd, head, flags) : send(fd, head->msg_iov->iov_base, head->msg_iov->iov_len, flags);
    } while (n < 0 && errno == EINTR);
    return n;
}

struct mln_err mln_proxy_send(struct mln_cx *cx, int fd, const struct mln_proxy_message *message, const int *fds, unsigned n_fds,
                              bool no_wait)
{
    MLN_CHECK(message->n <= sizeof(message->bytes) && n_fds <= MLN_PROXY_THREADS_MAX);
    struct iovec part = {(void *)(uintptr_t)message, HEAD_BYTES + message->n};
    union area area = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds > 0) {
        head.msg_control = area.bytes;
        head.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        mln_copy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    ssize_t n = put(fd, &head, MSG_NOSIGNAL | (no_wait ? MSG_DONTWAIT : 0));
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_LIMIT};
    }
    return n == (ssize_t)part.iov_len ? MLN_OK
                                      : mln_fail(cx, MLN_E_UNREACHABLE, "another process of the proxy is gone (errno %d)", errno);
}

static unsigned take_fds(struct msghdr *head, int *fds)
{
    unsigned n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int one = -1;
            mln_copy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
            if (n < MLN_PROXY_THREADS_MAX) {
                fds[n++] = one;
            } else {
                mln_fd_drop(&one);
            }
        }
    }
    return n;
}

/* recv() where no descriptors can come: as above. */
static ssize_t get(int fd, struct msghdr *head, bool takes_fds, int flags)
{
    ssize_t n = 0;
    do {
        n = takes_fds ? recvmsg(fd, head, flags | MSG_CMSG_CLOEXEC) : recv(fd, head->msg_iov->iov_base, head->msg_iov->iov_len, flags);
    } while (n < 0 && errno == EINTR);
    return n;
}

struct mln_err mln_proxy_receive(struct mln_cx *cx, int fd, bool no_wait, struct mln_proxy_message *ret,
                                 int ret_fds[MLN_PROXY_THREADS_MAX], unsigned *ret_n)
{
    struct iovec part = {ret, sizeof(*ret)};
    union area area = {0};
    bool takes_fds = ret_fds != NULL;
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = area.bytes, .msg_controllen = sizeof(area.bytes)};
    ssize_t n = get(fd, &head, takes_fds, no_wait ? MSG_DONTWAIT : 0);
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (n <= 0) {
        return (struct mln_err){MLN_E_UNREACHABLE};
    }
    unsigned n_fds = takes_fds ? take_fds(&head, ret_fds) : 0;
    if (n < (ssize_t)HEAD_BYTES || ret->n != (size_t)n - HEAD_BYTES) {
        while (n_fds > 0) {
            mln_fd_drop(&ret_fds[--n_fds]);
        }
        return mln_fail(cx, MLN_E_INVALID, "a message of the wrong form between the proxy's processes");
    }
    if (takes_fds) {
        *ret_n = n_fds;
    }
    return MLN_OK;
}
