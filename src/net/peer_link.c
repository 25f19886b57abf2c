/* SPDX-License-Identifier: Apache-2.0 */
/* See peer_link.h. */
#include "net/peer_link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

union area {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

struct mln_err mln_peer_link_pair(struct mln_cx *cx, int ret[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) != 0) {
        return mln_fail(cx, MLN_E_IO, "no socket to front (errno %d)", errno);
    }
    return MLN_OK;
}

struct mln_err mln_peer_link_give(struct mln_cx *cx, int link, uint64_t number, int fd)
{
    struct iovec part = {&number, sizeof(number)};
    union area area = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = area.bytes, .msg_controllen = sizeof(area.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    mln_copy(CMSG_DATA(c), &fd, sizeof(fd));
    ssize_t n = 0;
    do {
        n = sendmsg(link, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_LIMIT};
    }
    return n == (ssize_t)sizeof(number) ? MLN_OK : mln_fail(cx, MLN_E_IO, "front does not take a connection (errno %d)", errno);
}

/* One message of eight bytes; a descriptor beside it, or -1. */
static struct mln_err receive(struct mln_cx *cx, int link, uint64_t *number, int *fd)
{
    uint64_t said = 0;
    struct iovec part = {&said, sizeof(said)};
    union area area = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = area.bytes, .msg_controllen = sizeof(area.bytes)};
    ssize_t n = 0;
    *fd = -1;
    do {
        n = recvmsg(link, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (n <= 0) {
        return mln_fail(cx, MLN_E_IO, "the other side of the workload socket is gone");
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(*fd))) {
        mln_copy(fd, CMSG_DATA(c), sizeof(*fd));
    }
    if (n == (ssize_t)sizeof(said) && (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && said != 0) {
        *number = said;
        return MLN_OK;
    }
    mln_fd_drop(fd);
    return mln_fail(cx, MLN_E_INVALID, "a message of the wrong form between monitor and front");
}

struct mln_err mln_peer_link_take(struct mln_cx *cx, int link, uint64_t *ret_number, int *ret_fd)
{
    uint64_t number = 0;
    int fd = -1;
    MLN_TRY(receive(cx, link, &number, &fd));
    if (fd < 0) {
        return mln_fail(cx, MLN_E_INVALID, "a connection that came without its socket");
    }
    *ret_number = number;
    *ret_fd = fd;
    return MLN_OK;
}

void mln_peer_link_tell_end(int link, uint64_t number)
{
    ssize_t n = 0;
    do {
        n = send(link, &number, sizeof(number), MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
}

struct mln_err mln_peer_link_hear_end(struct mln_cx *cx, int link, uint64_t *ret_number)
{
    uint64_t number = 0;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(receive(cx, link, &number, &fd));
    *ret_number = number;
    return MLN_OK;
}
