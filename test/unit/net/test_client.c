/* SPDX-License-Identifier: Apache-2.0 */
/* The client against servers that answer with fixed bytes, and against front itself with TLS. */
#include "kit/kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fake_core.h"
#include "net/client.h"

#define MS ((int64_t)1000000)

static int listen_on(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 16) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* ---- a server that reads a head and answers with given bytes ---- */

struct script {
    int fd;
    struct mln_bytes answer;
    unsigned per_connection; /* answers before it closes */
    unsigned connections;
    bool stays_silent;
    char seen[4096];
    size_t seen_n;
};

static bool read_head(struct script *s, int fd)
{
    s->seen_n = 0;
    while (s->seen_n < sizeof(s->seen) - 1) {
        if (recv(fd, s->seen + s->seen_n, 1, 0) != 1) {
            return false;
        }
        s->seen[++s->seen_n] = 0;
        if (s->seen_n >= 4 && strcmp(s->seen + s->seen_n - 4, "\r\n\r\n") == 0) {
            return true;
        }
    }
    return false;
}

static void *script_main(void *arg)
{
    struct script *s = arg;
    for (unsigned i = 0; i < s->connections; i++) {
        int fd = accept(s->fd, NULL, NULL);
        for (unsigned k = 0; fd >= 0 && k < s->per_connection && read_head(s, fd); k++) {
            if (s->stays_silent) {
                char c;
                (void)recv(fd, &c, 1, 0); /* until the client gives up */
            } else {
                (void)send(fd, s->answer.ptr, s->answer.len, MSG_NOSIGNAL);
            }
        }
        close(fd);
    }
    return NULL;
}

static struct mln_client *client_for(struct mln_cx *cx, uint16_t port, int64_t timeout_ms)
{
    char url[64];
    struct mln_client *client = NULL;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    struct mln_client_config config = {.url = url, .timeout_ns = timeout_ms * MS};
    kit_ok(cx, mln_client_new(cx, &config, &client));
    return client;
}

static void test_answers(void **state)
{
    static const struct {
        const char *name, *answer;
        enum mln_code want;
        int status;
        const char *body;
    } t[] = {
        {"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", MLN_E_OK, 200, "{}"},
        {"to the end", "HTTP/1.1 404 Not Found\r\n\r\nnothing", MLN_E_OK, 404, "nothing"},
        {"old", "HTTP/1.0 200 OK\r\n\r\nold", MLN_E_OK, 200, "old"},
        {"chunked",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
         MLN_E_OK, 200, "abcd"},
        {"no content", "HTTP/1.1 204 No Content\r\n\r\n", MLN_E_OK, 204, ""},
        {"interim first",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 "
         "OK\r\nContent-Length: 1\r\n\r\nx",
         MLN_E_OK, 200, "x"},
        {"nothing", "", MLN_E_UNREACHABLE, 0, NULL},
        {"half a head", "HTTP/1.1 200 OK\r\nContent-", MLN_E_UNREACHABLE, 0, NULL},
        {"not http", "SSH-2.0-OpenSSH\r\n\r\n", MLN_E_REMOTE, 0, NULL},
        {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", MLN_E_REMOTE, 0, NULL},
        {"cut off", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", MLN_E_REMOTE, 0, NULL},
        {"more than announced", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", MLN_E_REMOTE, 0,
         NULL},
        {"chunks cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
         MLN_E_REMOTE, 0, NULL},
        {"bad chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", MLN_E_REMOTE,
         0, NULL},
        {"length and chunks",
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         MLN_E_REMOTE, 0, NULL},
        {"too large", "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", MLN_E_TOO_LARGE, 0,
         NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        uint16_t port;
        struct script s = {.fd = listen_on(&port),
                           .answer = mln_bytes_of(t[i].answer),
                           .per_connection = 1,
                           .connections = 1};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, script_main, &s), 0);
        struct mln_client *client = client_for(cx, port, 5000);
        struct mln_client_answer a = {0};
        kit_expect(cx, t[i].name,
                   mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a), t[i].want);
        if (t[i].want == MLN_E_OK) {
            assert_int_equal(a.status, t[i].status);
            kit_text(a.body, t[i].body);
        }
        mln_client_free(client);
        pthread_join(thread, NULL);
        close(s.fd);
    }
}

/* The buffer moves while a large body is read: the head's views must not point into it. */
static void test_headers_of_large(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf answer = {0};
    mln_buf_add_text(&answer, "HTTP/1.1 200 OK\r\nX-Mark: value\r\nContent-Length: 300000\r\n\r\n");
    for (size_t i = 0; i < 300000; i++) {
        mln_buf_add_byte(&answer, 'x');
    }
    uint16_t port = 0;
    struct script s = {.fd = listen_on(&port), .answer = mln_buf_bytes(&answer), .per_connection = 1, .connections = 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, script_main, &s), 0);
    struct mln_client *client = client_for(cx, port, 5000);
    struct mln_client_answer a = {0};
    kit_ok(cx, mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a));
    assert_true(a.n_headers == 2 && a.body.len == 300000);
    kit_text(a.headers[0].name, "X-Mark");
    kit_text(a.headers[0].value, "value");
    mln_client_free(client);
    pthread_join(thread, NULL);
    close(s.fd);
}

static void test_request_bytes(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint16_t port;
    struct script s = {.fd = listen_on(&port),
                       .answer = MLN_BYTES("HTTP/1.1 204 No Content\r\n\r\n"),
                       .per_connection = 1,
                       .connections = 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, script_main, &s), 0);
    struct mln_client *client = client_for(cx, port, 5000);
    static const char *const headers[] = {"X-Vault-Token: t", "X-Other: u"};
    struct mln_client_answer a = {0};
    kit_ok(cx, mln_client_call(cx, client, "PUT", "/v1/a?b", headers, 2, MLN_BYTES_NONE, &a));
    char want[256];
    (void)snprintf(want, sizeof(want),
                   "PUT /v1/a?b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: merlon/" MLN_VERSION
                   "\r\nX-Vault-Token: t\r\nX-Other: u\r\nContent-Length: 0\r\n\r\n",
                   port);
    assert_string_equal(s.seen, want);
    static const char *const split[] = {"X: a\r\nX-Vault-Token: b"};
    kit_refused(cx, mln_client_call(cx, client, "GET", "/", split, 1, MLN_BYTES_NONE, &a),
                MLN_E_INVALID);
    kit_refused(cx, mln_client_call(cx, client, "GET", "/a b", NULL, 0, MLN_BYTES_NONE, &a),
                MLN_E_INVALID);
    kit_refused(cx, mln_client_call(cx, client, "GET", "http://x/", NULL, 0, MLN_BYTES_NONE, &a),
                MLN_E_INVALID);
    kit_refused(cx, mln_client_call(cx, client, "GET", "/a\r\nX: y", NULL, 0, MLN_BYTES_NONE, &a),
                MLN_E_INVALID);
    mln_client_free(client);
    pthread_join(thread, NULL);
    close(s.fd);
}

/* A kept connection that the server closed: reads are repeated once, writes never. */
static void test_kept_connections(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint16_t port;
    struct script s = {.fd = listen_on(&port),
                       .answer = MLN_BYTES("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
                       .per_connection = 2,
                       .connections = 3};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, script_main, &s), 0);
    struct mln_client *client = client_for(cx, port, 5000);
    struct mln_client_answer a = {0};
    for (unsigned i = 0; i < 4; i++) {
        kit_ok(cx, mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a));
        mln_sleep_ns(20 * MS);
    }
    kit_refused(cx, mln_client_call(cx, client, "POST", "/", NULL, 0, MLN_BYTES("{}"), &a),
                MLN_E_UNREACHABLE);
    kit_ok(cx, mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a));
    mln_client_free(client);
    pthread_join(thread, NULL);
    close(s.fd);
}

static void test_unreachable_and_late(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint16_t port;
    struct script s = {
        .fd = listen_on(&port), .per_connection = 1, .connections = 1, .stays_silent = true};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, script_main, &s), 0);
    struct mln_client *client = client_for(cx, port, 200);
    struct mln_client_answer a = {0};
    kit_refused(cx, mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a),
                MLN_E_TIMEOUT);
    mln_client_free(client);
    pthread_join(thread, NULL);
    close(s.fd);
    client = client_for(cx, port, 2000); /* nobody listens any more */
    kit_refused(cx, mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a),
                MLN_E_UNREACHABLE);
    mln_client_free(client);
}

static void test_unix_socket(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char dir[KIT_PATH_MAX], path[KIT_PATH_MAX], url[KIT_PATH_MAX + 8];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    kit_tmpdir(dir);
    (void)kit_path(path, dir, "s");
    assert_true(strlen(path) < sizeof(at.sun_path));
    mln_copy(at.sun_path, path, strlen(path));
    (void)snprintf(url, sizeof(url), "unix:%s", path);
    struct script s = {.answer = MLN_BYTES("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
                       .per_connection = 1,
                       .connections = 1};
    s.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(bind(s.fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(s.fd, 4) == 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, script_main, &s), 0);
    struct mln_client *client = NULL;
    struct mln_client_config config = {.url = url};
    struct mln_client_answer a = {0};
    kit_ok(cx, mln_client_new(cx, &config, &client));
    kit_ok(cx, mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a));
    kit_text(a.body, "x");
    mln_client_free(client);
    pthread_join(thread, NULL);
    close(s.fd);
    kit_rmtree(dir);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *url;
        enum mln_code want;
    } t[] = {
        {"http://localhost", MLN_E_OK},
        {"http://localhost:8200/", MLN_E_OK},
        {"https://[::1]:8200", MLN_E_OK},
        {"https://vault.example", MLN_E_OK},
        {"unix:/run/x", MLN_E_OK},
        {"ftp://x", MLN_E_INVALID},
        {"localhost:8200", MLN_E_INVALID},
        {"http://", MLN_E_INVALID},
        {"http://:80", MLN_E_INVALID},
        {"http://x:0", MLN_E_INVALID},
        {"http://x:65536", MLN_E_INVALID},
        {"http://x:80a", MLN_E_INVALID},
        {"http://u@x", MLN_E_INVALID},
        {"http://x/path", MLN_E_INVALID},
        {"http://[::1", MLN_E_INVALID},
        {"http://[::1]x", MLN_E_INVALID},
        {"http://x y", MLN_E_INVALID},
        {"http://x\r\nA: b", MLN_E_INVALID},
        {"", MLN_E_INVALID},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_client *client = NULL;
        struct mln_client_config config = {.url = t[i].url};
        kit_expect(cx, t[i].url, mln_client_new(cx, &config, &client), t[i].want);
        mln_client_free(client);
    }
}

/* ---- TLS, against front ---- */

static void *front_main(void *arg)
{
    return mln_front_main(arg) == 0 ? NULL : arg;
}

static enum mln_code call_with(struct mln_cx *cx, const struct mln_client_config *config,
                               const char *want)
{
    struct mln_client *client = NULL;
    struct mln_client_answer a = {0};
    struct mln_err err = mln_client_new(cx, config, &client);
    for (unsigned i = 0; i < 3 && !mln_failed(err); i++) {
        err = mln_client_call(cx, client, "POST", "/echo", NULL, 0, mln_bytes_of(want), &a);
        if (!mln_failed(err)) {
            kit_text(a.body, want);
        }
    }
    mln_client_free(client);
    mln_cx_clear(cx);
    return err.code;
}

static void test_tls(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static struct fake_core core;
    struct mln_buf cert = {0};
    uint16_t port;
    char dir[KIT_PATH_MAX], ca[KIT_PATH_MAX], other[KIT_PATH_MAX], url[64], by_name[64];
    kit_tmpdir(dir);
    core = (struct fake_core){0};
    fake_core_prepare(&core, 1);
    fake_core_run(&core);
    kit_ok(cx, mln_dev_certificate(cx, core.scalar, "merlon.test", &cert));
    kit_write_file(kit_path(ca, dir, "ca.pem"), mln_buf_bytes(&cert));
    kit_write_file(kit_path(other, dir, "other.pem"), MLN_BYTES("nothing"));
    struct mln_front_listener listener = {
        .fd = listen_on(&port), .is_tls = true, .cert_pem = mln_buf_bytes(&cert)};
    (void)fcntl(listener.fd, F_SETFL, O_NONBLOCK);
    struct mln_front_config front = {.rings = core.fds,
                                     .n_rings = 1,
                                     .listeners = &listener,
                                     .n_listeners = 1,
                                     .api = &fake_api,
                                     .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                     .state_fd = -1,
                                     .no_sandbox = true};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, front_main, &front), 0);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", port);
    (void)snprintf(by_name, sizeof(by_name), "https://localhost:%u", port);
    struct mln_client_config good = {.url = url, .ca_file = ca, .timeout_ns = 10000 * MS};
    assert_int_equal(call_with(cx, &good, "hello"), MLN_E_OK);
    struct mln_client_config named = {.url = by_name, .ca_file = ca};
    assert_int_equal(call_with(cx, &named, "hello"), MLN_E_OK);
    struct mln_client_config other_name = {.url = url, .ca_file = ca, .server_name = "merlon.test"};
    assert_int_equal(call_with(cx, &other_name, "hello"), MLN_E_OK);
    struct mln_client_config wrong_name = {.url = url, .ca_file = ca, .server_name = "other.test"};
    assert_int_equal(call_with(cx, &wrong_name, "hello"), MLN_E_UNREACHABLE);
    struct mln_client_config unknown = {.url = url};
    assert_int_equal(call_with(cx, &unknown, "hello"), MLN_E_UNREACHABLE);
    struct mln_client_config lax = {.url = url, .skip_verify = true};
    assert_int_equal(call_with(cx, &lax, "hello"), MLN_E_OK);
    struct mln_client_config no_ca = {.url = url, .ca_file = other};
    assert_int_equal(call_with(cx, &no_ca, "hello"), MLN_E_INVALID);
    struct mln_client_config no_cert = {.url = url, .cert_file = other, .key_file = other};
    assert_int_equal(call_with(cx, &no_cert, "hello"), MLN_E_INVALID);
    uint64_t one = 1;
    (void)!write(front.stop_fd, &one, sizeof(one));
    void *failed = NULL;
    pthread_join(thread, &failed);
    assert_null(failed);
    fake_core_stop(&core);
    close(listener.fd);
    close(front.stop_fd);
    mln_buf_drop(&cert);
    kit_rmtree(dir);
}

static struct mln_err faulty(struct mln_cx *cx, void *arg)
{
    struct mln_client *client = NULL;
    struct mln_client_config config = {.url = arg};
    struct mln_client_answer a = {0};
    MLN_TRY(mln_client_new(cx, &config, &client));
    struct mln_err err = mln_client_call(cx, client, "GET", "/", NULL, 0, MLN_BYTES_NONE, &a);
    mln_client_free(client);
    return err;
}

static void *serve_for_ever(void *arg)
{
    struct script *s = arg;
    int fd;
    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        (void)read_head(s, fd);
        (void)send(fd, s->answer.ptr, s->answer.len, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static void test_each_fault(void **state)
{
    (void)state;
    uint16_t port;
    char url[64];
    struct script s = {
        .fd = listen_on(&port),
        .answer = MLN_BYTES(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve_for_ever, &s), 0);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty, url) > 5);
    assert_true(mln_each_fault(MLN_FAULT_CONNECT, faulty, url) > 0);
    (void)shutdown(s.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(s.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_answers),
        KIT_TEST(test_request_bytes), KIT_TEST(test_headers_of_large),
        KIT_TEST(test_kept_connections),
        KIT_TEST(test_unreachable_and_late),
        KIT_TEST(test_unix_socket),
        KIT_TEST(test_addresses),
        KIT_TEST(test_tls),
        KIT_TEST(test_each_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
