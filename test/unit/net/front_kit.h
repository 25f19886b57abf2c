/* SPDX-License-Identifier: Apache-2.0 */
/* A front with a fake core behind it, on loopback, and a socket to it. */
#pragma once

#include "kit/kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/akey.h"
#include "fake_core.h"

#define MS  ((int64_t)1000000)
#define MIB ((size_t)1 << 20)

/* ---- a server ---- */

struct server {
    struct fake_core core;
    struct mln_front_config config;
    struct mln_front_listener listeners[5];
    uint16_t ports[5]; /* plain, TLS, TLS with client certificates, gRPC, TLS with a certificate from core */
    struct mln_buf cert;
    pthread_t thread;
    int exit_code;
    bool is_joined;
};

static inline int listen_on(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 512) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static inline void *server_main(void *arg)
{
    struct server *s = arg;
    s->exit_code = mln_front_main(&s->config);
    return NULL;
}

static inline struct server *server_prepare(unsigned threads)
{
    struct server *s = mln_alloc(sizeof(*s));
    struct mln_cx *cx = kit_cx_new();
    assert_non_null(s);
    fake_core_prepare(&s->core, threads);
    kit_ok(cx, mln_dev_certificate(cx, s->core.scalar, "localhost", &s->cert));
    kit_ok(cx, mln_pem_read(cx, "CERTIFICATE", mln_buf_bytes(&s->cert), &s->core.svid));
    for (unsigned i = 0; i < 5; i++) {
        s->listeners[i].fd = listen_on(&s->ports[i]);
        s->listeners[i].is_tls = i == 1 || i == 2 || i == 4;
        s->listeners[i].shows_svid = i == 4;
        s->listeners[i].is_grpc = i == 3;
        s->listeners[i].cert_pem = mln_buf_bytes(&s->cert);
        s->listeners[i].key = i;
    }
    s->listeners[2].client_ca_pem = mln_buf_bytes(&s->cert);
    s->config = (struct mln_front_config){
        .rings = s->core.fds,
        .n_rings = threads,
        .listeners = s->listeners,
        .n_listeners = 5,
        .api = &fake_api,
        .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .state_fd = -1,
        .header_deadline_ns = 700 * MS,
        .body_deadline_ns = 5000 * MS,
        .idle_ns = 2500 * MS,
        .grace_ns = 2000 * MS,
        .no_sandbox = true,
    };
    kit_cx_free(cx);
    return s;
}

static inline struct server *server_start(unsigned threads)
{
    struct server *s = server_prepare(threads);
    fake_core_run(&s->core);
    return s;
}

static inline struct server *server_run(struct server *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
    return s;
}

static inline void server_ask_stop(struct server *s)
{
    uint64_t one = 1;
    assert_int_equal(write(s->config.stop_fd, &one, sizeof(one)), sizeof(one));
}

static inline int server_join(struct server *s)
{
    if (!s->is_joined) {
        pthread_join(s->thread, NULL);
        s->is_joined = true;
    }
    return s->exit_code;
}

static inline void server_end(struct server *s, int want)
{
    if (!s->is_joined) {
        server_ask_stop(s);
    }
    assert_int_equal(server_join(s), want);
    fake_core_stop(&s->core);
    for (unsigned i = 0; i < 5; i++) {
        close(s->listeners[i].fd);
    }
    close(s->config.stop_fd);
    mln_buf_drop(&s->cert);
    mln_buf_drop(&s->core.svid);
    mln_free(s);
}

/* ---- a client ---- */

static time_t patience_s = 20;

static inline int dial(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = patience_s};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

static inline bool put(int fd, const void *from, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, (const uint8_t *)from + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += (size_t)sent;
    }
    return true;
}

static inline void put_text(int fd, const char *text)
{
    assert_true(put(fd, text, strlen(text)));
}
