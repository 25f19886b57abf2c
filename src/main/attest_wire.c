/* SPDX-License-Identifier: Apache-2.0 */
/* See attest_wire.h. */
#include "main/attest_wire.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"

union area {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

#define TELL_HEAD offsetof(struct attest_tell, bytes)

static ssize_t send_some(int fd, const struct msghdr *head, int flags)
{
    ssize_t n = 0;
    do {
        n = sendmsg(fd, head, MSG_NOSIGNAL | flags);
    } while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t receive_some(int fd, struct msghdr *head)
{
    ssize_t n = 0;
    do {
        n = recvmsg(fd, head, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* ---- monitor to attest ---- */

struct mln_err attest_ask_send(struct mln_cx *cx, int fd, const struct attest_ask *ask, int pidfd)
{
    struct attest_ask copy = *ask;
    struct iovec part = {&copy, sizeof(copy)};
    union area area = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (pidfd >= 0) {
        head.msg_control = area.bytes;
        head.msg_controllen = sizeof(area.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(pidfd));
        mln_copy(CMSG_DATA(c), &pidfd, sizeof(pidfd));
    }
    ssize_t n = send_some(fd, &head, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return (struct mln_err){MLN_E_LIMIT};
    }
    return n == (ssize_t)sizeof(copy) ? MLN_OK : mln_fail(cx, MLN_E_IO, "the attest process does not hear (errno %d)", errno);
}

struct mln_err attest_ask_receive(struct mln_cx *cx, int fd, struct attest_ask *ret, int *ret_pidfd)
{
    struct attest_ask ask = {0};
    struct iovec part = {&ask, sizeof(ask)};
    union area area = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = area.bytes, .msg_controllen = sizeof(area.bytes)};
    MLN_AUTO(mln_fd_drop) int pidfd = -1;
    ssize_t n = receive_some(fd, &head);
    if (n <= 0) {
        return (struct mln_err){MLN_E_UNREACHABLE};
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(pidfd))) {
        mln_copy(&pidfd, CMSG_DATA(c), sizeof(pidfd));
    }
    bool is_new = ask.kind == ATTEST_NEW, is_end = ask.kind == ATTEST_END;
    if (n != (ssize_t)sizeof(ask) || (head.msg_flags & MSG_TRUNC) != 0 || (!is_new && !is_end) || (is_end && pidfd >= 0)) {
        return mln_fail(cx, MLN_E_INVALID, "attest: a message of the wrong form");
    }
    *ret = ask;
    *ret_pidfd = pidfd; /* -1 for a new one too, when descriptors are out */
    pidfd = -1;
    return MLN_OK;
}

/* ---- attest to core ---- */

struct mln_err attest_tell_fill(struct mln_cx *cx, const struct mln_value *selectors, struct attest_tell *tell)
{
    size_t at = 0;
    for (size_t i = 0; i < mln_len(selectors); i++) {
        struct mln_bytes text = mln_get_bytes(mln_item(selectors, i));
        if (text.len + 1 > sizeof(tell->bytes) - at || mln_bytes_find(text, 0) < text.len) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "the selectors of a process are more than %u bytes", ATTEST_SELECTOR_BYTES);
        }
        mln_copy(tell->bytes + at, text.ptr, text.len);
        at += text.len;
        tell->bytes[at++] = 0;
    }
    tell->n = (uint32_t)mln_len(selectors);
    tell->n_bytes = (uint32_t)at;
    return MLN_OK;
}

/* Only as much of the room as is used goes over: most processes have a hundred bytes. */
struct mln_err attest_tell_send(struct mln_cx *cx, int fd, const struct attest_tell *tell)
{
    MLN_CHECK(tell->n_bytes <= sizeof(tell->bytes));
    struct iovec part = {(void *)(uintptr_t)tell, TELL_HEAD + tell->n_bytes};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    return send_some(fd, &head, 0) == (ssize_t)part.iov_len
               ? MLN_OK
               : mln_fail(cx, MLN_E_IO, "attest: core does not hear (errno %d)", errno);
}

struct mln_err attest_tell_receive(struct mln_cx *cx, int fd, struct attest_tell *ret)
{
    struct iovec part = {ret, sizeof(*ret)};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n = receive_some(fd, &head);
    if (n <= 0) {
        return (struct mln_err){MLN_E_UNREACHABLE};
    }
    if ((size_t)n < TELL_HEAD || (head.msg_flags & MSG_TRUNC) != 0 || ret->n_bytes > sizeof(ret->bytes) ||
        (size_t)n != TELL_HEAD + ret->n_bytes) {
        return mln_fail(cx, MLN_E_INVALID, "attest: a message of the wrong form");
    }
    return MLN_OK;
}

static struct mln_err take_found(struct mln_cx *cx, struct mln_peers *peers, const struct attest_tell *tell)
{
    struct mln_value *selectors = mln_array(cx);
    struct mln_bytes left = mln_bytes_at(tell->bytes, tell->n_bytes);
    uint32_t n = 0;
    if (tell->n > MLN_PEER_SELECTORS || (left.len > 0 && left.ptr[left.len - 1] != 0)) {
        return mln_fail(cx, MLN_E_INVALID, "attest: selectors of the wrong form");
    }
    for (; left.len > 0; n++) {
        struct mln_bytes text = mln_bytes_cut(left, 0, &left);
        if (!mln_utf8_valid(text)) {
            return mln_fail(cx, MLN_E_INVALID, "attest: a selector that is no text");
        }
        mln_push(cx, selectors, mln_string(cx, text));
    }
    if (n != tell->n) {
        return mln_fail(cx, MLN_E_INVALID, "attest: selectors of the wrong number");
    }
    struct mln_peer peer = {.number = tell->number, .pid = tell->pid, .uid = tell->uid, .gid = tell->gid, .selectors = selectors};
    return mln_peers_put(cx, peers, &peer);
}

struct mln_err attest_tell_take(struct mln_cx *cx, struct mln_peers *peers, const struct attest_tell *tell)
{
    switch (tell->kind) {
    case ATTEST_FOUND:
        return take_found(cx, peers, tell);
    case ATTEST_END:
        mln_peers_end(peers, tell->number);
        return MLN_OK;
    case ATTEST_REFUSED:
        mln_peers_refuse(cx, peers, tell->number, tell->why == MLN_E_DENIED ? MLN_E_DENIED : MLN_E_UNREACHABLE);
        return MLN_OK;
    default:
        return mln_fail(cx, MLN_E_INVALID, "attest: a message of an unknown kind");
    }
}
