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

struct mln_err control_send_rings(struct mln_cx *cx, int fd, uint64_t generation,
                                  const struct mln_ring_fds *rings, unsigned n)
{
    MLN_CHECK(n > 0 && n <= CONTROL_RINGS_MAX);
    struct control_message message = {.kind = CONTROL_RINGS, .number = generation};
    struct iovec part = {&message, sizeof(message)};
    union control_area area = {0};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = area.bytes,
                          .msg_controllen = CMSG_SPACE(sizeof(*rings) * n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(*rings) * n);
    mln_copy(CMSG_DATA(c), rings, sizeof(*rings) * n);
    return send_all(cx, fd, &head);
}

/* Takes the descriptors that came; whole rings only, others are closed. */
static unsigned take_rings(struct msghdr *head, struct mln_ring_fds rings[CONTROL_RINGS_MAX])
{
    unsigned n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        size_t i = 0;
        for (; i + 3 <= fds && n < CONTROL_RINGS_MAX; i += 3) {
            mln_copy(&rings[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(rings[0]));
        }
        for (; i < fds; i++) {
            int odd = -1;
            mln_copy(&odd, CMSG_DATA(c) + i * sizeof(int), sizeof(odd));
            mln_fd_drop(&odd);
        }
    }
    return n;
}

struct mln_err control_receive(struct mln_cx *cx, int fd, bool no_wait, struct control_message *ret,
                               struct mln_ring_fds rings[CONTROL_RINGS_MAX], unsigned *ret_rings)
{
    struct iovec part = {ret, sizeof(*ret)};
    union control_area area = {0};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = area.bytes,
                          .msg_controllen = sizeof(area.bytes)};
    ssize_t n = 0;
    do {
        n = recvmsg(fd, &head, MSG_CMSG_CLOEXEC | (no_wait ? MSG_DONTWAIT : 0));
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (n <= 0) {
        return (struct mln_err){MLN_E_UNREACHABLE};
    }
    unsigned n_rings = take_rings(&head, rings);
    if (n != (ssize_t)sizeof(*ret) || ret->n > sizeof(ret->bytes) ||
        (n_rings != 0 && ret->kind != CONTROL_RINGS)) {
        for (unsigned i = 0; i < n_rings; i++) {
            mln_ring_fds_close(&rings[i]);
        }
        return mln_fail(cx, MLN_E_INVALID, "control: a message of the wrong form");
    }
    ret->text[sizeof(ret->text) - 1] = 0;
    *ret_rings = n_rings;
    return MLN_OK;
}
