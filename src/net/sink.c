/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t len;
};

static bool unix_address(const char *path, struct address *ret)
{
    size_t n = mln_bytes_of(path).len;
    *ret = (struct address){.at.un.sun_family = AF_UNIX, .len = (socklen_t)sizeof(struct sockaddr_un)};
    if (n == 0 || n >= sizeof(ret->at.un.sun_path)) {
        return false;
    }
    mln_copy(ret->at.un.sun_path, path, n);
    return true;
}

/* "127.0.0.1:514", "[::1]:514": numbers only, core asks no name server. */
static bool ip_address(const char *text, struct address *ret)
{
    char host[64] = "";
    struct mln_bytes all = mln_bytes_of(text);
    size_t colon = all.len;
    uint64_t port = 0;
    for (size_t i = 0; i < all.len; i++) {
        colon = all.ptr[i] == ':' ? i : colon;
    }
    struct mln_bytes name = mln_bytes_sub(all, 0, colon);
    if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']') {
        name = mln_bytes_sub(name, 1, name.len - 2);
    }
    if (name.len >= sizeof(host) || !mln_u64_parse(mln_bytes_from(all, colon + 1), &port) || port == 0 || port > 65535) {
        return false;
    }
    mln_copy(host, name.ptr, name.len);
    *ret = (struct address){.at.v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}, .len = sizeof(ret->at.v4)};
    if (inet_pton(AF_INET, host, &ret->at.v4.sin_addr) == 1) {
        return true;
    }
    *ret = (struct address){.at.v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)}, .len = sizeof(ret->at.v6)};
    return inet_pton(AF_INET6, host, &ret->at.v6.sin6_addr) == 1;
}

bool mln_sink_wait(int fd, int64_t until_mono_ns)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int64_t left_ms = (until_mono_ns - mln_mono_ns()) / 1000000;
    int n = left_ms > 0 ? poll(&poll_fd, 1, (int)left_ms) : 0;
    return n > 0 || (n < 0 && errno == EINTR);
}

static bool is_connected(int fd, int64_t until_ns)
{
    int fault = 0;
    socklen_t len = sizeof(fault);
    return mln_sink_wait(fd, until_ns) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 && fault == 0;
}

bool mln_sink_is_datagram(const char *kind)
{
    return mln_bytes_is(mln_bytes_of(kind), "udp") || mln_bytes_is(mln_bytes_of(kind), "unixgram");
}

int mln_sink_open(const char *kind, const char *target, int64_t until_mono_ns)
{
    struct address address;
    bool is_unix = mln_bytes_starts(mln_bytes_of(kind), MLN_BYTES("unix"));
    if (!(is_unix ? unix_address(target, &address) : ip_address(target, &address))) {
        errno = EINVAL;
        return -1;
    }
    int type = mln_sink_is_datagram(kind) ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(address.at.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, &address.at.any, address.len) != 0 && !(errno == EINPROGRESS && is_connected(fd, until_mono_ns))) {
        (void)close(fd);
        errno = ECONNREFUSED;
        return -1;
    }
    return fd;
}

ptrdiff_t mln_sink_send(int fd, struct mln_bytes bytes)
{
    return send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
}
