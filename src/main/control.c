/* SPDX-License-Identifier: Apache-2.0 */
/* See control.h. */
#include "main/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

#define FDS_MAX (3u * CONTROL_RINGS_MAX) /* below the kernel's 253 a message */
static_assert(sizeof(struct mln_ring_fds) == 3 * sizeof(int));

union control_area {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

struct mln_err control_pair(struct mln_cx *cx, int ret[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) != 0) {
        return mln_fail(cx, MLN_E_IO, "no socket to core (errno %d)", errno);
    }
    return MLN_OK;
}

static struct mln_err send_all(struct mln_cx *cx, int fd, const struct msghdr *head)
{
    ssize_t n = 0;
    do {
        n = sendmsg(fd, head, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(struct control_message)
               ? MLN_OK
               : mln_fail(cx, MLN_E_IO, "control: the other side is gone (errno %d)", errno);
}

struct mln_err control_send(struct mln_cx *cx, int fd, const struct control_message *message)
{
    struct control_message copy = *message;
    struct iovec part = {&copy, sizeof(copy)};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    struct mln_err err = send_all(cx, fd, &head);
    mln_wipe(&copy, sizeof(copy));
    return err;
}

/* A message with descriptors: size bytes of ints at `fds`. */
static struct mln_err send_with(struct mln_cx *cx, int fd, struct control_message *message,
                                const void *fds, size_t size)
{
    struct iovec part = {message, sizeof(*message)};
    union control_area area = {0};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = area.bytes,
                          .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(size);
    mln_copy(CMSG_DATA(c), fds, size);
    return send_all(cx, fd, &head);
}

struct mln_err control_send_rings(struct mln_cx *cx, int fd, uint64_t generation,
                                  const struct mln_ring_fds *rings, unsigned n)
{
    MLN_CHECK(n > 0 && n <= CONTROL_RINGS_MAX);
    struct control_message message = {.kind = CONTROL_RINGS, .number = generation};
    return send_with(cx, fd, &message, rings, sizeof(*rings) * n);
}

struct mln_err control_send_socket(struct mln_cx *cx, int fd, enum control_kind kind, int passed)
{
    struct control_message message = {.kind = kind};
    return send_with(cx, fd, &message, &passed, sizeof(passed));
}

void control_fds_close(struct control_fds *fds)
{
    for (unsigned i = 0; i < fds->n_rings; i++) {
        mln_ring_fds_close(&fds->rings[i]);
    }
    fds->n_rings = 0;
    mln_fd_drop(&fds->socket);
}

/* One descriptor alone is a socket, three together are a ring; what is left over is closed. */
static void take_fds(struct msghdr *head, struct control_fds *fds)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        size_t i = 0;
        for (; i + 3 <= n && fds->n_rings < CONTROL_RINGS_MAX; i += 3) {
            mln_copy(&fds->rings[fds->n_rings++], CMSG_DATA(c) + i * sizeof(int),
                     sizeof(fds->rings[0]));
        }
        for (; i < n; i++) {
            int one = -1;
            mln_copy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
            if (n == 1 && fds->socket < 0) {
                fds->socket = one;
            } else {
                mln_fd_drop(&one);
            }
        }
    }
}

struct mln_err control_receive(struct mln_cx *cx, int fd, bool no_wait, struct control_message *ret,
                               struct control_fds *ret_fds)
{
    struct iovec part = {ret, sizeof(*ret)};
    union control_area area = {0};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = area.bytes,
                          .msg_controllen = sizeof(area.bytes)};
    ssize_t n = 0;
    *ret_fds = (struct control_fds){.socket = -1};
    do {
        n = recvmsg(fd, &head, MSG_CMSG_CLOEXEC | (no_wait ? MSG_DONTWAIT : 0));
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (n <= 0) {
        return (struct mln_err){MLN_E_UNREACHABLE};
    }
    take_fds(&head, ret_fds);
    if (n != (ssize_t)sizeof(*ret) || ret->n > sizeof(ret->bytes) ||
        (ret_fds->n_rings != 0 && ret->kind != CONTROL_RINGS) ||
        (ret_fds->socket >= 0) != (ret->kind == CONTROL_REACH || ret->kind == CONTROL_ATTEST)) {
        control_fds_close(ret_fds);
        return mln_fail(cx, MLN_E_INVALID, "control: a message of the wrong form");
    }
    ret->text[sizeof(ret->text) - 1] = 0;
    return MLN_OK;
}
