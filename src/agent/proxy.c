/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's listeners: a thread that accepts, a thread a connection up to a limit, and an end that waits for all of them. */
#include "agent/agent_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

#define BACKLOG 64

/* ---- sockets ---- */

/* A socket that nobody listens on is left from before; anything else of this name is not ours to remove. */
static struct mln_err clear_path(struct mln_cx *cx, const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) != 0) {
        return MLN_OK;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return mln_fail(cx, MLN_E_EXISTS, "%s is there and is no socket", at->sun_path);
    }
    MLN_AUTO(mln_fd_drop) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)at, sizeof(*at)) == 0) {
        return mln_fail(cx, MLN_E_EXISTS, "somebody listens on %s", at->sun_path);
    }
    return unlink(at->sun_path) == 0 ? MLN_OK
                                     : mln_fail(cx, MLN_E_IO, "%s cannot be removed", at->sun_path);
}

/* The process's umask is 077 while this runs, so that there is no moment with more than `mode`. */
static struct mln_err listen_unix(struct mln_cx *cx, const struct mln_agent_listener *l, int *ret)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct mln_bytes path = mln_bytes_of(l->address);
    if (path.len >= sizeof(at.sun_path)) {
        return mln_fail(cx, MLN_E_INVALID, "the path of a socket has at most %zu bytes",
                        sizeof(at.sun_path) - 1);
    }
    mln_copy(at.sun_path, path.ptr, path.len);
    MLN_TRY(clear_path(cx, &at));
    MLN_AUTO(mln_fd_drop) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177);
    bool is_bound =
        fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)) == 0;
    (void)umask(old);
    if (!is_bound || chmod(l->address, (mode_t)l->mode) != 0 || listen(fd, BACKLOG) != 0) {
        return mln_fail(cx, MLN_E_IO, "cannot listen on %s: %s", l->address, strerror(errno));
    }
    *ret = fd;
    fd = -1;
    return MLN_OK;
}

/* "127.0.0.1:8100", "localhost:8100", "[::1]:8100" and no other machine's */
static struct mln_err listen_tcp(struct mln_cx *cx, const struct mln_agent_listener *l, int *ret)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct mln_bytes text = mln_bytes_of(l->address), port_text;
    uint64_t port = 0;
    bool is_six = mln_bytes_starts(text, MLN_BYTES("[::1]:"));
    struct mln_bytes host = mln_bytes_cut(is_six ? mln_bytes_from(text, 5) : text, ':', &port_text);
    const char *name =
        mln_bytes_is(host, "localhost") || is_six ? "127.0.0.1" : mln_text_dup(cx, host);
    if (inet_pton(AF_INET, name, &in4.sin_addr) != 1 || ntohl(in4.sin_addr.s_addr) >> 24 != 127 ||
        !mln_u64_parse(port_text, &port) || port > 65535) {
        return mln_fail(cx, MLN_E_INVALID, "%s is no address and port of this machine", l->address);
    }
    in4.sin_port = in6.sin6_port = htons((uint16_t)port);
    MLN_AUTO(mln_fd_drop)
    int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    const void *at = is_six ? (const void *)&in6 : (const void *)&in4;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, at, is_six ? sizeof(in6) : sizeof(in4)) != 0 || listen(fd, BACKLOG) != 0) {
        return mln_fail(cx, MLN_E_IO, "cannot listen on %s: %s", l->address, strerror(errno));
    }
    *ret = fd;
    fd = -1;
    return MLN_OK;
}

/* ---- threads ---- */

static void *serve_thread(void *arg)
{
    struct connection *c = arg;
    struct agent *agent = c->agent;
    agent_serve(c);
    (void)close(c->fd);
    mln_free(c);
    atomic_fetch_sub(&agent->n_connections, 1);
    return NULL;
}

static void start_connection(struct agent *agent, const struct mln_agent_listener *listener, int fd)
{
    struct connection *c = mln_alloc(sizeof(*c));
    struct timeval limit = {.tv_sec = 30};
    pthread_attr_t attr;
    pthread_t thread;
    bool is_started = false;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
                     sizeof(limit)); /* who does not read does not keep a thread */
    atomic_fetch_add(&agent->n_connections, 1);
    if (c != NULL && pthread_attr_init(&attr) == 0) {
        *c = (struct connection){.agent = agent, .listener = listener, .fd = fd};
        is_started = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
                     pthread_create(&thread, &attr, serve_thread, c) == 0;
        (void)pthread_attr_destroy(&attr);
    }
    if (!is_started) {
        atomic_fetch_sub(&agent->n_connections, 1);
        (void)close(fd);
        mln_free(c);
    }
}

struct accepting {
    struct agent *agent;
    size_t i;
};

static void *accept_thread(void *arg)
{
    struct accepting *a = arg;
    struct agent *agent = a->agent;
    size_t i = a->i;
    mln_free(a);
    for (;;) {
        struct pollfd fds[2] = {{.fd = agent->stop_fd, .events = POLLIN},
                                {.fd = agent->listen_fds[i], .events = POLLIN}};
        bool is_full = atomic_load(&agent->n_connections) >=
                       AGENT_CONNECTIONS_MAX; /* then they wait in the kernel's queue */
        (void)poll(fds, is_full ? 1 : 2, is_full ? 50 : -1);
        if (fds[0].revents != 0) {
            return NULL;
        }
        int fd = is_full || fds[1].revents == 0
                     ? -1
                     : accept4(agent->listen_fds[i], NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            start_connection(agent, &agent->config->listeners[i], fd);
        } else if (!is_full && errno != EINTR && errno != ECONNABORTED) {
            mln_sleep_ns(SECOND_NS / 20); /* out of descriptors: they come back */
        }
    }
}

static struct mln_err listen_one(struct mln_cx *cx, struct agent *agent, size_t i)
{
    const struct mln_agent_listener *l = &agent->config->listeners[i];
    struct accepting *a = NULL;
    MLN_TRY(l->is_unix ? listen_unix(cx, l, &agent->listen_fds[i])
                       : listen_tcp(cx, l, &agent->listen_fds[i]));
    a = mln_alloc(sizeof(*a));
    if (a != NULL) {
        *a = (struct accepting){.agent = agent, .i = i};
    }
    if (a == NULL || pthread_create(&agent->threads[i], NULL, accept_thread, a) != 0) {
        mln_free(a);
        mln_fd_drop(&agent->listen_fds[i]);
        return mln_fail(cx, MLN_E_MEMORY, "a thread cannot be started");
    }
    agent->n_listening++;
    mln_log(MLN_LOG_INFO, "agent", "listening on %s", l->address);
    return MLN_OK;
}

struct mln_err agent_listen(struct mln_cx *cx, struct agent *agent)
{
    if (agent->config->n_listeners == 0) {
        return MLN_OK;
    }
    agent->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (agent->stop_fd < 0) {
        return mln_fail(cx, MLN_E_IO, "no event descriptor: %s", strerror(errno));
    }
    for (size_t i = 0; i < agent->config->n_listeners; i++) {
        MLN_TRY(listen_one(cx, agent, i));
    }
    return MLN_OK;
}

void agent_unlisten(struct agent *agent)
{
    uint64_t one = 1;
    if (agent->stop_fd < 0) {
        return;
    }
    MLN_CHECK(write(agent->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    for (size_t i = 0; i < agent->n_listening; i++) {
        (void)pthread_join(agent->threads[i], NULL);
        mln_fd_drop(&agent->listen_fds[i]);
        if (agent->config->listeners[i].is_unix) {
            (void)unlink(agent->config->listeners[i].address);
        }
    }
    while (atomic_load(&agent->n_connections) >
           0) { /* each ends with its request, whose calls have limits */
        mln_sleep_ns(SECOND_NS / 100);
    }
    mln_fd_drop(&agent->stop_fd);
}
