/* SPDX-License-Identifier: Apache-2.0 */
/* Front as a whole, over loopback, with a core of a few lines behind it. */
#include "front_kit.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/wait.h>

struct answer {
    int status;
    char head[2048];
    struct mln_buf body;
};

static size_t length_in(const char *head)
{
    const char *at = strstr(head, "Content-Length: ");
    uint64_t n = 0;
    if (at != NULL) {
        at += strlen("Content-Length: ");
        assert_true(mln_u64_parse(mln_bytes_at(at, strcspn(at, "\r")), &n));
    }
    return (size_t)n;
}

/* One answer from the socket; false when it was closed first. is_head: no body follows. */
static bool get_answer(int fd, bool is_head, struct answer *ret)
{
    size_t n = 0;
    ret->status = 0;
    mln_buf_clear(&ret->body);
    while (n < sizeof(ret->head) - 1) {
        if (recv(fd, ret->head + n, 1, 0) != 1) {
            return false;
        }
        ret->head[++n] = 0;
        if (n >= 4 && strcmp(ret->head + n - 4, "\r\n\r\n") == 0) {
            break;
        }
    }
    uint64_t status = 0;
    assert_true(strncmp(ret->head, "HTTP/1.1 ", 9) == 0 &&
                mln_u64_parse(mln_bytes_at(ret->head + 9, 3), &status));
    ret->status = (int)status;
    size_t left = is_head ? 0 : length_in(ret->head);
    assert_true(mln_buf_reserve(&ret->body, left));
    while (left > 0) {
        ssize_t got = recv(fd, ret->body.ptr + ret->body.len, left, 0);
        if (got <= 0) {
            return false;
        }
        ret->body.len += (size_t)got;
        left -= (size_t)got;
    }
    return true;
}

static bool is_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

#define HOST "Host: x\r\n"

static void expect_text(int fd, const char *request, int status, const char *body)
{
    struct answer a = {0};
    put_text(fd, request);
    assert_true(get_answer(fd, false, &a));
    assert_int_equal(a.status, status);
    if (body != NULL) {
        kit_text(mln_buf_bytes(&a.body), body);
    }
    mln_buf_drop(&a.body);
}

/* ---- plain ---- */

static void test_keep_alive(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    int fd = dial(s->ports[0]);
    for (unsigned i = 0; i < 5; i++) {
        expect_text(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 200,
                    "hello");
        expect_text(fd, "GET /echo HTTP/1.1\r\n" HOST "\r\n", 200, "");
        expect_text(fd, "GET /bad HTTP/1.1\r\n" HOST "\r\n", 400,
                    "a bad request"); /* framing is fine: it stays open */
    }
    expect_text(fd, "GET /size/3 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 200, "xxx");
    assert_true(is_closed(fd));
    close(fd);
    fd = dial(s->ports[0]);
    expect_text(fd, "GET /size/3 HTTP/1.0\r\n\r\n", 200, "xxx");
    assert_true(is_closed(fd));
    close(fd);
    server_end(s, 0);
}

static void test_head_and_headers(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    int fd = dial(s->ports[0]);
    struct answer a = {0};
    put_text(fd, "HEAD /size/1000 HTTP/1.1\r\n" HOST "\r\n");
    assert_true(get_answer(fd, true, &a));
    assert_non_null(strstr(a.head, "Content-Length: 1000\r\n"));
    assert_non_null(strstr(a.head, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(a.head, "\r\nDate: "));
    assert_null(strstr(a.head, "Strict-Transport"));
    expect_text(fd, "GET /size/2 HTTP/1.1\r\n" HOST "\r\n", 200, "xx");
    mln_buf_drop(&a.body);
    close(fd);
    server_end(s, 0);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    int fd = dial(s->ports[0]);
    struct mln_buf all = {0};
    for (unsigned i = 0; i < 50; i++) {
        mln_buf_add_format(&all,
                           i % 10 == 3 ? "GET /sleep/20 HTTP/1.1\r\n" HOST "X: %u\r\n\r\n"
                                       : "GET /size/%u HTTP/1.1\r\n" HOST "\r\n",
                           i);
    }
    mln_buf_add_text(
        &all, "POST /echo HTTP/1.1\r\n" HOST
              "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /size/1 HTTP/1.1\r\n" HOST
              "\r\n");
    assert_true(put(fd, all.ptr, all.len));
    struct answer a = {0};
    for (unsigned i = 0; i < 50; i++) {
        assert_true(get_answer(fd, false, &a));
        assert_int_equal(a.body.len, i % 10 == 3 ? 5 : i);
    }
    assert_true(get_answer(fd, false, &a));
    kit_text(mln_buf_bytes(&a.body), "abc");
    assert_true(get_answer(fd, false, &a));
    kit_text(mln_buf_bytes(&a.body), "x");
    mln_buf_drop(&a.body);
    mln_buf_drop(&all);
    close(fd);
    server_end(s, 0);
}

static void test_bytes_one_by_one(void **state)
{
    (void)state;
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nwxyz";
    struct server *s = server_run(server_start(1));
    int fd = dial(s->ports[0]);
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        assert_true(put(fd, text + i, 1));
        mln_sleep_ns(MS / 2);
    }
    struct answer a = {0};
    assert_true(get_answer(fd, false, &a));
    kit_text(mln_buf_bytes(&a.body), "abcde");
    assert_true(get_answer(fd, false, &a));
    kit_text(mln_buf_bytes(&a.body), "wxyz");
    mln_buf_drop(&a.body);
    close(fd);
    server_end(s, 0);
}

static void test_expect_continue(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    int fd = dial(s->ports[0]);
    struct answer a = {0};
    put_text(fd,
             "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_true(get_answer(fd, true, &a));
    assert_int_equal(a.status, 100);
    expect_text(fd, "abc", 200, "abc");
    expect_text(
        fd, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\ndef",
        200, "def");
    expect_text(fd,
                "POST /echo HTTP/1.1\r\n" HOST
                "Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n",
                413, NULL);
    assert_true(is_closed(fd));
    mln_buf_drop(&a.body);
    close(fd);
    server_end(s, 0);
}

static void test_refusals_close(void **state)
{
    static const struct {
        const char *text;
        int status;
    } t[] = {
        {"GET / HTTP/1.1\nHost: x\n\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 400},
        {"PUT / HTTP/1.1\r\n" HOST
         "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n" HOST
         "\r\n",
         400},
        {"PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 33554433\r\n\r\n", 413},
        {"PUT / HTTP/1.1\r\n" HOST "Expect: lunch\r\n\r\n", 417},
        {"\x16\x03\x01\x02", 400},
    };
    (void)state;
    struct server *s = server_run(server_start(1));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int fd = dial(s->ports[0]);
        if (t[i].status == 413 && strstr(t[i].text, "ffff") != NULL) {
            put_text(fd, t[i].text);
            expect_text(fd, "x", 413, NULL);
        } else {
            expect_text(fd, t[i].text, t[i].status, NULL);
        }
        assert_true(is_closed(fd)); /* and never a second answer */
        close(fd);
    }
    struct mln_buf big = {0};
    mln_buf_add_text(&big, "GET / HTTP/1.1\r\n" HOST "X-A: ");
    for (size_t i = 0; i < MIB; i++) {
        mln_buf_add_byte(&big, 'a');
    }
    int fd = dial(s->ports[0]);
    (void)put(fd, big.ptr, big.len);
    struct answer a = {0};
    assert_true(get_answer(fd, false, &a)); /* the refusal arrives although we were still sending */
    assert_int_equal(a.status, 431);
    mln_buf_drop(&a.body);
    mln_buf_drop(&big);
    close(fd);
    assert_int_equal(atomic_load(&s->core.requests), 0);
    server_end(s, 0);
}

static void test_hundred_connections(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(2));
    int fds[100];
    for (unsigned i = 0; i < MLN_COUNT(fds); i++) {
        fds[i] = dial(s->ports[0]);
    }
    for (unsigned round = 0; round < 10; round++) {
        char text[200];
        for (unsigned i = 0; i < MLN_COUNT(fds); i++) {
            (void)snprintf(text, sizeof(text), "GET /%s/%u HTTP/1.1\r\n" HOST "\r\n",
                           (i + round) % 7 == 0 ? "sleep" : "size", i);
            put_text(fds[i], text);
        }
        struct answer a = {0};
        for (unsigned i = 0; i < MLN_COUNT(fds); i++) {
            assert_true(get_answer(fds[i], false, &a));
            assert_int_equal(a.body.len, (i + round) % 7 == 0 ? 5 : i);
        }
        mln_buf_drop(&a.body);
    }
    for (unsigned i = 0; i < MLN_COUNT(fds); i++) {
        close(fds[i]);
    }
    server_end(s, 0);
}

/*
 * More requests than core takes at once wait their turn; more connections than allowed wait to be
 * accepted.
 */
static void test_limits_of_a_thread(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.in_flight_max = 3;
    s->config.conns_max = 20;
    (void)server_run(s);
    int fds[30];
    for (unsigned i = 0; i < MLN_COUNT(fds); i++) {
        fds[i] = dial(s->ports[0]);
        put_text(fds[i], "GET /sleep/20 HTTP/1.1\r\n" HOST "\r\n");
    }
    struct answer a = {0};
    for (unsigned i = 0; i < MLN_COUNT(fds); i++) {
        if (i < 20) {
            assert_true(get_answer(fds[i], false, &a));
            kit_text(mln_buf_bytes(&a.body), "slept");
        }
    }
    assert_int_equal(atomic_load(&s->core.requests), 20);
    for (unsigned i = 0; i < 20; i++) {
        close(fds[i]);
    }
    for (unsigned i = 20; i < MLN_COUNT(fds); i++) { /* there is room now */
        assert_true(get_answer(fds[i], false, &a));
        kit_text(mln_buf_bytes(&a.body), "slept");
        close(fds[i]);
    }
    mln_buf_drop(&a.body);
    server_end(s, 0);
}

/* Answers to connections that went away reach nobody, also not the next one in the same slot. */
static void test_late_answers_are_dropped(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    for (unsigned i = 0; i < 30; i++) {
        int gone = dial(s->ports[0]);
        put_text(gone, "GET /sleep/30 HTTP/1.1\r\n" HOST "\r\n");
        mln_sleep_ns(MS);
        close(gone);
        int fd = dial(s->ports[0]);
        expect_text(fd, "GET /size/7 HTTP/1.1\r\n" HOST "\r\n", 200, "xxxxxxx");
        expect_text(fd, "GET /sleep/40 HTTP/1.1\r\n" HOST "\r\n", 200, "slept");
        close(fd);
    }
    server_end(s, 0);
}

static int held(struct server *s, const char *path)
{
    int fd = dial(s->ports[0]);
    char text[128];
    (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", path);
    put_text(fd, text);
    return fd;
}

#define HELD 40u

/* It waits without a credit, and goes when the topic moves. */
static void test_held_answers(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    int fds[HELD], other = dial(s->ports[0]);
    for (size_t i = 0; i < HELD; i++) {
        fds[i] = held(s, "/hold/60");
    }
    put_text(fds[0], "GET /size/3 HTTP/1.1\r\n" HOST "\r\n"); /* comes after it */
    close(fds[1]);                                               /* nobody waits any more */
    mln_sleep_ns(50 * MS);
    expect_text(other, "GET /size/7 HTTP/1.1\r\n" HOST "\r\n", 200, "xxxxxxx");
    int64_t begin_ns = mln_mono_ns();
    expect_text(other, "GET /count HTTP/1.1\r\n" HOST "\r\n", 200, "done");
    for (size_t i = 0; i < HELD; i++) {
        if (i != 1) {
            expect_text(fds[i], "", 204, "");
        }
    }
    assert_true(mln_mono_ns() - begin_ns < 30000 * MS); /* not by their time */
    expect_text(fds[0], "", 200, "xxx");
    for (size_t i = 0; i < HELD; i++) {
        if (i != 1) {
            close(fds[i]);
        }
    }
    close(other);
    server_end(s, 0);
}

/* By its time, by what was published before it was followed, by a group of topics, by a front that leaves. */
static void test_held_answers_end(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    int fd = held(s, "/hold/1");
    expect_text(fd, "", 204, "");
    int other = dial(s->ports[0]);
    expect_text(other, "GET /count HTTP/1.1\r\n" HOST "\r\n", 200, "done");
    expect_text(other, "GET /count HTTP/1.1\r\n" HOST "\r\n", 200, "done");
    expect_text(fd, "GET /missed/60 HTTP/1.1\r\n" HOST "\r\n", 204, "");
    put_text(fd, "GET /hold/60 HTTP/1.1\r\n" HOST "\r\n");
    mln_sleep_ns(50 * MS);
    expect_text(other, "GET /group HTTP/1.1\r\n" HOST "\r\n", 200, "done");
    expect_text(fd, "", 204, "");
    put_text(fd, "GET /hold/60 HTTP/1.1\r\n" HOST "\r\n");
    mln_sleep_ns(50 * MS);
    server_ask_stop(s);
    expect_text(fd, "", 204, "");
    assert_true(is_closed(fd));
    assert_int_equal(server_join(s), 0);
    close(fd);
    close(other);
    server_end(s, 0);
}

static void big_bodies(uint16_t port, struct answer *a)
{
    struct mln_buf rq = {0};
    size_t n = 32 * MIB;
    mln_buf_add_format(&rq, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", n);
    size_t head = rq.len;
    assert_true(mln_buf_reserve(&rq, n));
    for (size_t i = 0; i < n; i++) {
        rq.ptr[rq.len++] = (uint8_t)(i * 7 + (i >> 13));
    }
    int fd = dial(port);
    assert_true(put(fd, rq.ptr, rq.len));
    assert_true(get_answer(fd, false, a));
    assert_int_equal(a->status, 200);
    assert_true(a->body.len == n && mln_same(a->body.ptr, rq.ptr + head, n));
    mln_buf_drop(&rq);
    close(fd);
}

static void test_big_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.body_deadline_ns = 60000 * MS;
    (void)server_run(s);
    struct answer a = {0};
    big_bodies(s->ports[0], &a);
    int fd = dial(s->ports[0]);
    put_text(fd, "GET /size/60000000 HTTP/1.1\r\n" HOST "\r\nGET /size/1 HTTP/1.1\r\n" HOST "\r\n");
    assert_true(get_answer(fd, false, &a));
    assert_int_equal(a.body.len, 60000000);
    assert_true(get_answer(fd, false, &a));
    assert_int_equal(a.body.len, 1);
    close(fd);
    /* A large chunked body in small chunks. */
    fd = dial(s->ports[0]);
    put_text(fd, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; i < 3000; i++) {
        char chunk[5 + 256 + 2] = "100\r\n";
        mln_fill(chunk + 5, (uint8_t)('a' + i % 26), 256);
        mln_copy(chunk + 5 + 256, "\r\n", 2);
        assert_true(put(fd, chunk, sizeof(chunk)));
    }
    put_text(fd, "0\r\n\r\n");
    assert_true(get_answer(fd, false, &a));
    assert_int_equal(a.body.len, 3000 * 256);
    close(fd);
    mln_buf_drop(&a.body);
    server_end(s, 0);
}

/* ---- deadlines ---- */

static int64_t drip(int fd, const char *head, const char *drop)
{
    int64_t begin = mln_mono_ns();
    put_text(fd, head);
    while (mln_mono_ns() - begin < 10000 * MS) {
        char c;
        mln_sleep_ns(50 * MS);
        if (send(fd, drop, 1, MSG_NOSIGNAL) != 1 || recv(fd, &c, 1, MSG_DONTWAIT) >= 0) {
            break;
        }
    }
    return (mln_mono_ns() - begin) / MS;
}

static void test_deadlines(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.body_deadline_ns = 1000 * MS;
    (void)server_run(s);
    int fd = dial(s->ports[0]);
    int64_t ms = drip(fd, "GET / HTTP/1.1\r\n" HOST "X: ", "a");
    assert_in_range(ms, 600, 3000);
    close(fd);
    fd = dial(s->ports[0]);
    expect_text(fd, "GET /size/1 HTTP/1.1\r\n" HOST "\r\n", 200, "x");
    ms = drip(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n", "a");
    assert_in_range(ms, 900, 4000);
    close(fd);
    int silent = dial(s->ports[0]), idle = dial(s->ports[0]);
    expect_text(idle, "GET /size/1 HTTP/1.1\r\n" HOST "\r\n", 200, "x");
    int64_t begin = mln_mono_ns();
    assert_true(is_closed(silent)); /* said nothing */
    assert_in_range((mln_mono_ns() - begin) / MS, 300, 3000);
    assert_true(is_closed(idle));
    assert_in_range((mln_mono_ns() - begin) / MS, 2000, 6000);
    close(silent);
    close(idle);
    server_end(s, 0);
}

/* A reader that takes nothing is cut, and holds up nobody. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.body_deadline_ns = 800 * MS;
    (void)server_run(s);
    int slow = dial(s->ports[0]);
    put_text(slow, "GET /size/30000000 HTTP/1.1\r\n" HOST "\r\n");
    int fd = dial(s->ports[0]);
    for (unsigned i = 0; i < 20; i++) {
        expect_text(fd, "GET /size/1 HTTP/1.1\r\n" HOST "\r\n", 200, "x");
    }
    mln_sleep_ns(2000 * MS);
    struct answer a = {0};
    assert_false(get_answer(slow, false, &a));
    expect_text(fd, "GET /size/1 HTTP/1.1\r\n" HOST "\r\n", 200, "x");
    mln_buf_drop(&a.body);
    close(slow);
    close(fd);
    server_end(s, 0);
}

/* ---- stop ---- */

static void test_graceful_stop(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(2));
    int idle = dial(s->ports[0]), busy = dial(s->ports[0]), half = dial(s->ports[0]);
    expect_text(idle, "GET /size/1 HTTP/1.1\r\n" HOST "\r\n", 200, "x");
    put_text(busy, "GET /sleep/400 HTTP/1.1\r\n" HOST "\r\n");
    put_text(half, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nab");
    mln_sleep_ns(100 * MS);
    server_ask_stop(s);
    assert_true(is_closed(idle));
    put_text(half, "cd");
    struct answer a = {0};
    assert_true(get_answer(half, false, &a));
    kit_text(mln_buf_bytes(&a.body), "abcd");
    assert_non_null(strstr(a.head, "Connection: close\r\n"));
    assert_true(get_answer(busy, false, &a));
    kit_text(mln_buf_bytes(&a.body), "slept");
    assert_true(is_closed(busy));
    assert_int_equal(server_join(s), 0);
    mln_buf_drop(&a.body);
    close(idle);
    close(busy);
    close(half);
    server_end(s, 0);
}

static void test_grace_ends(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.grace_ns = 300 * MS;
    (void)server_run(s);
    int fd = dial(s->ports[0]);
    put_text(fd, "GET /hang HTTP/1.1\r\n" HOST "\r\n");
    mln_sleep_ns(100 * MS);
    int64_t begin = mln_mono_ns();
    server_ask_stop(s);
    assert_int_equal(server_join(s), 0);
    assert_in_range((mln_mono_ns() - begin) / MS, 250, 3000);
    assert_true(is_closed(fd));
    close(fd);
    server_end(s, 0);
}

static void test_corrupt_ring_ends_front(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(2));
    int fd = dial(s->ports[0]);
    put_text(fd, "GET /corrupt HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(server_join(s), 1);
    assert_true(is_closed(fd));
    close(fd);
    server_end(s, 1);
}

static void test_bad_configuration(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->listeners[1].cert_pem = MLN_BYTES("no certificate");
    (void)server_run(s);
    assert_int_equal(server_join(s), 1);
    server_end(s, 1);
}

/* ---- TLS ---- */

static SSL *tls_dial(uint16_t port, SSL_CTX *ctx, int version, int *ret_fd)
{
    *ret_fd = dial(port);
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_min_proto_version(ssl, version), 1);
    assert_int_equal(SSL_set_max_proto_version(ssl, version), 1);
    assert_int_equal(SSL_set_fd(ssl, *ret_fd), 1);
    return ssl;
}

static SSL_CTX *client_ctx(struct server *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    BIO *pem = BIO_new_mem_buf(s->cert.ptr, (int)s->cert.len);
    X509 *cert = PEM_read_bio_X509(pem, NULL, NULL, NULL);
    assert_true(ctx != NULL && cert != NULL &&
                X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    X509_free(cert);
    BIO_free(pem);
    return ctx;
}

/* Send a request, read until the end of the stream or until want bytes of body came. */
static size_t tls_ask(SSL *ssl, const char *request, struct mln_buf *all)
{
    size_t n = 0;
    mln_buf_clear(all);
    assert_int_equal(SSL_write_ex(ssl, request, strlen(request), &n), 1);
    for (;;) {
        char some[16384];
        int r = SSL_read_ex(ssl, some, sizeof(some), &n);
        if (r != 1) {
            return 0;
        }
        mln_buf_add(all, some, n);
        mln_buf_add_byte(all, 0);
        all->len--;
        const char *end = strstr((const char *)all->ptr, "\r\n\r\n");
        if (end != NULL && all->len - (size_t)(end + 4 - (const char *)all->ptr) >=
                               length_in((const char *)all->ptr)) {
            return length_in((const char *)all->ptr);
        }
    }
}

static void test_tls_versions(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    struct server *s = server_run(server_start(1));
    SSL_CTX *ctx = client_ctx(s);
    for (unsigned i = 0; i < 2 * MLN_COUNT(versions); i++) {
        int fd;
        SSL *ssl = tls_dial(s->ports[1], ctx, versions[i / 2], &fd);
        char both[] = "X25519:P-256", p256[] = "P-256"; /* the macro takes no const */
        assert_int_equal(SSL_set1_groups_list(ssl, i % 2 == 0 ? both : p256), 1); /* both shapes of TLS 1.2 */
        assert_int_equal(SSL_connect(ssl), 1);
        struct mln_buf all = {0};
        for (unsigned k = 0; k < 10; k++) {
            assert_int_equal(tls_ask(ssl, "GET /size/5000 HTTP/1.1\r\n" HOST "\r\n", &all), 5000);
            assert_non_null(strstr((const char *)all.ptr, "Strict-Transport-Security: "));
        }
        assert_int_equal(tls_ask(ssl, "GET /sleep/20 HTTP/1.1\r\n" HOST "\r\n", &all), 5);
        assert_int_equal(
            tls_ask(ssl, "GET /size/3000000 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", &all),
            3000000);
        char c;
        assert_int_equal(SSL_read(ssl, &c, 1), 0);
        assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN); /* a proper end */
        SSL_free(ssl);
        mln_buf_drop(&all);
        close(fd);
    }
    assert_int_equal(atomic_load(&s->core.signatures), 4);
    SSL_CTX_free(ctx);
    server_end(s, 0);
}

static void test_tls_big_body(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.body_deadline_ns = 60000 * MS;
    (void)server_run(s);
    SSL_CTX *ctx = client_ctx(s);
    int fd;
    SSL *ssl = tls_dial(s->ports[1], ctx, TLS1_3_VERSION, &fd);
    assert_int_equal(SSL_connect(ssl), 1);
    struct mln_buf rq = {0}, all = {0};
    mln_buf_add_format(&rq, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", 8 * MIB);
    for (size_t i = 0; i < 8 * MIB; i++) {
        mln_buf_add_byte(&rq, (uint8_t)('a' + i % 23));
    }
    mln_buf_add_byte(&rq, 0);
    assert_int_equal(tls_ask(ssl, (const char *)rq.ptr, &all), 8 * MIB);
    assert_true(mln_same(all.ptr + all.len - 8 * MIB, rq.ptr + rq.len - 1 - 8 * MIB, 8 * MIB));
    SSL_free(ssl);
    close(fd);
    mln_buf_drop(&rq);
    mln_buf_drop(&all);
    SSL_CTX_free(ctx);
    server_end(s, 0);
}

/* A listener without a certificate of its own asks core at each handshake, and core may have none. */
static void test_tls_svid(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    (void)state;
    struct server *s = server_run(server_start(1));
    SSL_CTX *ctx = client_ctx(s);
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    for (unsigned i = 0; i < 6; i++) {
        int fd;
        bool has_one = i % 3 != 1;
        atomic_store(&s->core.has_no_svid, !has_one);
        SSL *ssl = tls_dial(s->ports[4], ctx, versions[i / 3], &fd);
        assert_int_equal(SSL_connect(ssl) == 1, has_one);
        if (has_one) {
            assert_int_equal(tls_ask(ssl, "GET /size/500 HTTP/1.1\r\n" HOST "\r\n", &all), 500);
            assert_int_equal(atomic_load(&s->core.last_key), FAKE_SVID_KEY);
        }
        SSL_free(ssl);
        close(fd);
        ERR_clear_error();
    }
    /* what core says is no certificate */
    atomic_store(&s->core.has_no_svid, false);
    s->core.svid.ptr[0] ^= 1;
    int fd;
    SSL *ssl = tls_dial(s->ports[4], ctx, TLS1_3_VERSION, &fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    close(fd);
    ERR_clear_error();
    SSL_CTX_free(ctx);
    server_end(s, 0);
}

static void test_tls_refused_signature(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    SSL_CTX *ctx = client_ctx(s);
    atomic_store(&s->core.refuses_to_sign, true);
    int fd;
    SSL *ssl = tls_dial(s->ports[1], ctx, TLS1_3_VERSION, &fd);
    assert_true(SSL_connect(ssl) <= 0);
    SSL_free(ssl);
    close(fd);
    atomic_store(&s->core.refuses_to_sign, false);
    ssl = tls_dial(s->ports[1], ctx, TLS1_3_VERSION, &fd);
    assert_int_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    close(fd);
    /* Noise, silence and plain HTTP on the TLS port; hellos that hang up while core signs. */
    for (unsigned i = 0; i < 40; i++) {
        fd = dial(s->ports[1]);
        if (i % 4 == 0) {
            put_text(fd, "GET / HTTP/1.1\r\n\r\n");
            assert_true(is_closed(fd) || true);
        } else {
            ssl = SSL_new(ctx);
            BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
            SSL_set_bio(ssl, in, out);
            assert_true(SSL_connect(ssl) < 0);
            char *hello = NULL;
            long n = BIO_get_mem_data(out, &hello);
            assert_true(n > 0 && put(fd, hello, (size_t)n));
            SSL_free(ssl);
            mln_sleep_ns(i % 2 == 0 ? 0 : MS);
        }
        close(fd);
    }
    SSL_CTX_free(ctx);
    server_end(s, 0);
}

/* A certificate of its own authority, with a new key. */
static X509 *client_cert(EVP_PKEY **ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_true(key != NULL && cert != NULL && X509_set_version(cert, 2) == 1 &&
                X509_set_pubkey(cert, key) == 1);
    X509_NAME *name = X509_get_subject_name(cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"client", -1, -1, 0),
                     1);
    assert_true(X509_set_issuer_name(cert, name) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(cert), 7) == 1);
    assert_true(X509_gmtime_adj(X509_getm_notBefore(cert), -60) != NULL &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    *ret_key = key;
    return cert;
}

/* Connect with a certificate and ask which one the server saw; its length, or -1. */
static long cert_seen(struct server *s, SSL_CTX *ctx, X509 *cert, EVP_PKEY *key, int version,
                      struct mln_buf *all)
{
    int fd;
    SSL *ssl = tls_dial(s->ports[2], ctx, version, &fd);
    if (cert != NULL) {
        assert_true(SSL_use_certificate(ssl, cert) == 1 && SSL_use_PrivateKey(ssl, key) == 1);
    }
    bool is_up = SSL_connect(ssl) == 1;
    mln_buf_clear(all);
    size_t n = is_up ? tls_ask(ssl, "GET /cert HTTP/1.1\r\n" HOST "\r\n", all) : 0;
    SSL_free(ssl);
    close(fd);
    return all->len > 0 ? (long)n : -1;
}

static void test_tls_client_certificate(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    struct server *s = server_start(1);
    EVP_PKEY *key, *other_key;
    X509 *cert = client_cert(&key), *other = client_cert(&other_key);
    BIO *pem = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(PEM_write_bio_X509(pem, cert), 1);
    long n = BIO_get_mem_data(pem, &text);
    s->listeners[2].client_ca_pem = mln_bytes_at(text, (size_t)n);
    (void)server_run(s);
    SSL_CTX *ctx = client_ctx(s);
    unsigned char *der = NULL;
    int der_n = i2d_X509(cert, &der);
    for (unsigned i = 0; i < MLN_COUNT(versions); i++) {
        struct mln_buf all = {0};
        assert_int_equal(cert_seen(s, ctx, NULL, NULL, versions[i], &all), 0);
        assert_int_equal(cert_seen(s, ctx, other, other_key, versions[i], &all), -1);
        assert_int_equal(cert_seen(s, ctx, cert, key, versions[i], &all), der_n);
        assert_true(mln_same(all.ptr + all.len - der_n, der, (size_t)der_n));
        mln_buf_drop(&all);
    }
    OPENSSL_free(der);
    X509_free(cert);
    X509_free(other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    SSL_CTX_free(ctx);
    server_end(s, 0);
    BIO_free(pem);
}

/* A listener that only asks takes what it gets: whose it is, core judges. */
static void test_tls_any_client_certificate(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    EVP_PKEY *key;
    X509 *cert = client_cert(&key);
    struct mln_buf all = {0};
    s->listeners[2].client_ca_pem = MLN_BYTES_NONE, s->listeners[2].asks_certs = true;
    SSL_CTX *ctx = client_ctx(server_run(s));
    assert_int_equal(cert_seen(s, ctx, NULL, NULL, TLS1_3_VERSION, &all), 0);
    assert_int_equal(cert_seen(s, ctx, cert, key, TLS1_2_VERSION, &all), i2d_X509(cert, NULL));
    mln_buf_drop(&all);
    X509_free(cert), EVP_PKEY_free(key), SSL_CTX_free(ctx);
    server_end(s, 0);
}

/* ---- as a process of its own ---- */

static pid_t server_fork(struct server *s, uint64_t nth_allocation, bool from_then_on)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        mln_fault_arm(MLN_FAULT_ALLOC, nth_allocation, from_then_on);
        _exit(mln_front_main(&s->config));
    }
    return pid;
}

/* What a client sees of it does not matter, as long as it sees an end. */
static void poke(struct server *s)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        "GET /size/200000 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    struct answer a = {0};
    int fd = dial(s->ports[0]);
    (void)put(fd, text, sizeof(text) - 1);
    while (get_answer(fd, false, &a)) {
    }
    close(fd);
    mln_buf_drop(&a.body);
    SSL_CTX *ctx = client_ctx(s);
    SSL *ssl = tls_dial(s->ports[1], ctx, TLS1_3_VERSION, &fd);
    struct mln_buf all = {0};
    if (SSL_connect(ssl) == 1) {
        (void)tls_ask(ssl, "GET /size/5 HTTP/1.1\r\n" HOST "\r\n", &all);
    }
    mln_buf_drop(&all);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

/* Each allocation fails once, then all from the n-th on: front refuses or ends, it never crashes or hangs. */
static void test_each_allocation_fails(void **state)
{
    (void)state;
    unsigned good = 0;
    patience_s = 1;
    for (uint64_t nth = 1; nth <= 120; nth += nth < 60 ? 1 : 7) {
        struct server *s = server_prepare(1);
        s->config.header_deadline_ns = 300 * MS;
        s->config.grace_ns = 300 * MS;
        pid_t pid = server_fork(s, nth, nth % 2 == 0);
        int status = 0;
        fake_core_run(&s->core);
        mln_sleep_ns(60 * MS);
        if (waitpid(pid, &status, WNOHANG) == 0) {
            poke(s);
            server_ask_stop(s);
            assert_int_equal(waitpid(pid, &status, 0), pid);
        }
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        good += WEXITSTATUS(status) == 0;
        s->is_joined = true;
        server_end(s, 0);
    }
    patience_s = 20;
    assert_true(good > 10);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_keep_alive),
        KIT_TEST(test_head_and_headers),
        KIT_TEST(test_pipelining),
        KIT_TEST(test_bytes_one_by_one),
        KIT_TEST(test_expect_continue),
        KIT_TEST(test_refusals_close),
        KIT_TEST(test_hundred_connections),
        KIT_TEST(test_limits_of_a_thread),
        KIT_TEST(test_late_answers_are_dropped),
        KIT_TEST(test_held_answers),
        KIT_TEST(test_held_answers_end),
        KIT_TEST(test_big_bodies),
        KIT_TEST(test_deadlines),
        KIT_TEST(test_slow_reader),
        KIT_TEST(test_graceful_stop),
        KIT_TEST(test_grace_ends),
        KIT_TEST(test_corrupt_ring_ends_front),
        KIT_TEST(test_bad_configuration),
        KIT_TEST(test_tls_versions),
        KIT_TEST(test_tls_big_body),
        KIT_TEST(test_tls_svid),
        KIT_TEST(test_tls_refused_signature),
        KIT_TEST(test_tls_client_certificate),
        KIT_TEST(test_tls_any_client_certificate),
        KIT_TEST(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
