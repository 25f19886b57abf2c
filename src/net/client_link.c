/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the client: non-blocking underneath, so that one deadline bounds connecting, TLS,
 * writing and reading.
 */
#include "net/client_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/io.h"

/* Wait until the socket can do what is asked. errors TIMEOUT, UNREACHABLE (given up) */
static struct mln_err wait_for(struct mln_cx *cx, const struct client_link *link, short events)
{
    for (;;) {
        int64_t left = link->deadline_ns - mln_mono_ns();
        if (left <= 0) {
            return mln_fail(cx, MLN_E_TIMEOUT, "the server took too long");
        }
        struct pollfd pf[] = {{.fd = link->fd, .events = events}, {.fd = link->cancel_fd, .events = POLLIN}};
        int n = poll(pf, MLN_COUNT(pf), left / 1000000 > 60000 ? 60000 : (int)(left / 1000000) + 1);
        if (n > 0 && pf[1].revents != 0) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "the call was given up");
        }
        if (n > 0) {
            return MLN_OK;
        }
        if (n < 0 && errno != EINTR) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "the connection failed: %s", strerror(errno));
        }
    }
}

/* ---- TLS ---- */

static struct mln_err tls_fault(struct mln_cx *cx, const SSL *ssl, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    long verdict = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
    if (verdict != X509_V_OK) {
        reason = X509_verify_cert_error_string(verdict);
    }
    struct mln_err err = mln_fail(cx, MLN_E_UNREACHABLE, "tls: %s: %s", what,
                                  reason != NULL ? reason : "the connection broke");
    ERR_clear_error();
    return err;
}

struct mln_err client_tls_setup(struct mln_cx *cx, const struct mln_client_config *config,
                                SSL_CTX **ret)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        return mln_fail(cx, MLN_E_CRYPTO, "tls: cannot be set up");
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ctx,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(ctx, config->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_default_verify_paths(
        ctx); /* no system store is no error: ca_file may be all there is */
    ERR_clear_error();
    struct mln_err err = MLN_OK;
    if (config->ca_file != NULL && SSL_CTX_load_verify_file(ctx, config->ca_file) != 1) {
        err = mln_fail(cx, MLN_E_INVALID, "tls: no certificates can be read from %s",
                       config->ca_file);
    } else if (config->cert_file != NULL &&
               (SSL_CTX_use_certificate_chain_file(ctx, config->cert_file) != 1 ||
                config->key_file == NULL ||
                SSL_CTX_use_PrivateKey_file(ctx, config->key_file, SSL_FILETYPE_PEM) != 1)) {
        err = mln_fail(cx, MLN_E_INVALID, "tls: the client certificate or its key cannot be used");
    }
    ERR_clear_error();
    if (mln_failed(err)) {
        SSL_CTX_free(ctx);
        return err;
    }
    *ret = ctx;
    return MLN_OK;
}

/* What SSL_get_error asks for; MLN_OK = try again. */
static struct mln_err tls_wait(struct mln_cx *cx, struct client_link *link, int result,
                               const char *what)
{
    switch (SSL_get_error(link->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(cx, link, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(cx, link, POLLOUT);
    default:
        return tls_fault(cx, link->ssl, what);
    }
}

static bool set_name(SSL *ssl, char *name)
{
    unsigned char address[16];
    bool is_address =
        inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    }
    return SSL_set_tlsext_host_name(ssl, name) == 1 &&
           X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static struct mln_err tls_begin(struct mln_cx *cx, char *name, bool skips_verify,
                                struct client_link *link)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    link->ssl = SSL_new(link->tls);
    if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1 ||
        SSL_set_alpn_protos(link->ssl, protocols, sizeof(protocols) - 1) != 0 ||
        (!set_name(link->ssl, name) && !skips_verify)) {
        return tls_fault(cx, NULL, "cannot begin");
    }
    for (;;) {
        ERR_clear_error();
        int r = SSL_connect(link->ssl);
        if (r == 1) {
            return MLN_OK;
        }
        MLN_TRY(tls_wait(cx, link, r, "handshake failed"));
    }
}

/* ---- connecting ---- */

static struct mln_err connect_to(struct mln_cx *cx, const struct sockaddr *to, socklen_t n,
                                 int family, struct client_link *link)
{
    if (mln_fault_hit(MLN_FAULT_CONNECT)) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "connection refused by a test");
    }
    link->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "no socket: %s", strerror(errno));
    }
    int one = 1;
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int failure = connect(link->fd, to, n) == 0 ? 0 : errno;
    if (failure == EINPROGRESS) {
        socklen_t size = sizeof(failure);
        MLN_TRY(wait_for(cx, link, POLLOUT));
        failure =
            getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 ? failure : errno;
    }
    if (failure != 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "%s", strerror(failure));
    }
    return MLN_OK;
}

static struct mln_err dial_unix(struct mln_cx *cx, const char *path, struct client_link *link)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(to.sun_path)) {
        return mln_fail(cx, MLN_E_INVALID, "the socket's path is empty or too long");
    }
    mln_copy(to.sun_path, path, n);
    return connect_to(cx, (const struct sockaddr *)&to, sizeof(to), AF_UNIX, link);
}

static struct mln_err dial_tcp(struct mln_cx *cx, const struct client_place *place,
                               struct client_link *link)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int failure = getaddrinfo(place->host, place->port, &hints, &list);
    if (failure != 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "%s: %s", place->host, gai_strerror(failure));
    }
    struct mln_err err = {MLN_E_UNREACHABLE};
    for (const struct addrinfo *a = list; a != NULL && mln_is(err, MLN_E_UNREACHABLE);
         a = a->ai_next) {
        client_hang_up(link);
        mln_cx_clear(cx);
        err = connect_to(cx, a->ai_addr, a->ai_addrlen, a->ai_family, link);
    }
    freeaddrinfo(list);
    return err;
}

struct mln_err client_dial(struct mln_cx *cx, const struct client_place *place, char *name,
                           bool skips_verify, struct client_link *link)
{
    struct mln_err err =
        place->is_unix ? dial_unix(cx, place->host, link) : dial_tcp(cx, place, link);
    if (!mln_failed(err) && place->is_tls) {
        err = tls_begin(cx, name, skips_verify, link);
    }
    if (mln_failed(err)) {
        client_hang_up(link);
    }
    return err;
}

void client_hang_up(struct client_link *link)
{
    if (link->ssl != NULL) {
        ERR_clear_error();
        (void)SSL_shutdown(link->ssl);
        SSL_free(link->ssl);
        ERR_clear_error();
    }
    link->ssl = NULL;
    mln_fd_drop(&link->fd);
}

/* ---- bytes ---- */

static struct mln_err write_some(struct mln_cx *cx, struct client_link *link, struct mln_bytes from,
                                 size_t *ret_n)
{
    *ret_n = 0;
    if (link->ssl != NULL) {
        ERR_clear_error();
        int r = SSL_write_ex(link->ssl, from.ptr, from.len, ret_n);
        return r == 1 ? MLN_OK : tls_wait(cx, link, r, "sending failed");
    }
    ssize_t n = send(link->fd, from.ptr, from.len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return wait_for(cx, link, POLLOUT);
    }
    if (n < 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "sending failed: %s", strerror(errno));
    }
    *ret_n = (size_t)n;
    return MLN_OK;
}

struct mln_err client_write(struct mln_cx *cx, struct client_link *link, struct mln_bytes from)
{
    while (from.len > 0) {
        size_t n = 0;
        MLN_TRY(write_some(cx, link, from, &n));
        from = mln_bytes_from(from, n);
    }
    return MLN_OK;
}

struct mln_err client_read(struct mln_cx *cx, struct client_link *link, uint8_t *to, size_t n,
                           size_t *ret_n)
{
    for (;;) {
        if (link->ssl != NULL) {
            ERR_clear_error();
            int r = SSL_read_ex(link->ssl, to, n, ret_n);
            if (r == 1) {
                return MLN_OK;
            }
            if (SSL_get_error(link->ssl, r) == SSL_ERROR_ZERO_RETURN) {
                *ret_n = 0;
                return MLN_OK;
            }
            MLN_TRY(tls_wait(cx, link, r, "receiving failed"));
            continue;
        }
        ssize_t got = recv(link->fd, to, n, 0);
        if (got >= 0) {
            *ret_n = (size_t)got;
            return MLN_OK;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "receiving failed: %s", strerror(errno));
        }
        MLN_TRY(wait_for(cx, link, POLLIN));
    }
}
