/* SPDX-License-Identifier: Apache-2.0 */
/* Where listeners listen and where targets are. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"
#include "main/proxy_priv.h"

#define HOST_MAX 253u /* of a name in DNS */

static bool is_host(struct mln_bytes host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];
        bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (!is_good) {
            return false;
        }
    }
    return host.len > 0 && host.len <= HOST_MAX;
}

static bool is_six(struct mln_cx *cx, struct mln_bytes host)
{
    struct in6_addr address;
    return inet_pton(AF_INET6, mln_text_dup(cx, host), &address) == 1;
}

static struct mln_err unix_place(struct mln_cx *cx, struct mln_bytes path, struct proxy_place *ret)
{
    while (mln_bytes_starts(path, MLN_BYTES("//"))) { /* of unix:///path */
        path = mln_bytes_from(path, 1);
    }
    if (path.len == 0 || path.ptr[0] != '/' || path.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return mln_fail(cx, MLN_E_INVALID, "'unix:%.*s' must be an absolute path of at most %zu bytes", MLN_FMT(path),
                        sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
    }
    *ret = (struct proxy_place){.is_unix = true, .path = mln_text_dup(cx, path)};
    return mln_cx_err(cx);
}

struct mln_err proxy_place_parse(struct mln_cx *cx, const char *text, struct proxy_place *ret)
{
    struct mln_bytes all = mln_bytes_of(text);
    uint64_t port = 0;
    if (mln_bytes_starts(all, MLN_BYTES("unix:"))) {
        return unix_place(cx, mln_bytes_from(all, 5), ret);
    }
    size_t colon = all.len;
    for (size_t i = 0; i < all.len; i++) {
        colon = all.ptr[i] == ':' ? i : colon;
    }
    struct mln_bytes host = mln_bytes_sub(all, 0, colon);
    bool is_bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    host = is_bracketed ? mln_bytes_sub(host, 1, host.len - 2) : host;
    bool is_good = is_bracketed ? is_six(cx, host) : is_host(host);
    if (!is_good || !mln_u64_parse(mln_bytes_from(all, colon + 1), &port) || port > 65535) {
        return mln_fail(cx, MLN_E_INVALID, "'%.*s' is no address: write 127.0.0.1:8443, [::1]:8443, name:8443 or unix:/path",
                        MLN_FMT(all));
    }
    *ret = (struct proxy_place){.host = mln_text_dup(cx, host), .port = (uint16_t)port};
    return mln_cx_err(cx);
}

bool proxy_place_is_local(const struct proxy_place *place)
{
    struct in_addr four;
    struct in6_addr six;
    if (place->is_unix) {
        return true;
    }
    if (inet_pton(AF_INET, place->host, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    return (inet_pton(AF_INET6, place->host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six)) ||
           mln_bytes_is(mln_bytes_of(place->host), "localhost");
}

/* ---- dialling ---- */

static int connect_to(int family, const void *sock, socklen_t len, int *ret_errno)
{
    int one = 1;
    MLN_AUTO(mln_fd_drop) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *ret_errno = errno;
        return -1;
    }
    if (family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    if (connect(fd, sock, len) != 0 && errno != EINPROGRESS) {
        *ret_errno = errno;
        return -1;
    }
    int taken = fd;
    fd = -1;
    *ret_errno = 0;
    return taken;
}

int proxy_dial(const struct proxy_place *place, const struct mln_resolved *known, unsigned i, int *ret_errno)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (place->is_unix) {
        struct mln_bytes path = mln_bytes_of(place->path);
        mln_copy(at.sun_path, path.ptr, path.len);
        return connect_to(AF_UNIX, &at, sizeof(at), ret_errno);
    }
    if (known->n == 0) {
        *ret_errno = EHOSTUNREACH;
        return -1;
    }
    i %= (unsigned)known->n;
    return connect_to(known->sock[i].ss_family, &known->sock[i], known->len[i], ret_errno);
}
