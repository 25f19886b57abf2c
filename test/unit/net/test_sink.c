/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that take lines: addresses that are taken and refused, streams and datagrams, a reader that does not read. */
#include "kit/kit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sink.h"

#define SECOND_NS ((int64_t)1000000000)

static int listener(int type, char target[32])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    (void)snprintf(target, 32, "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    return fd;
}

static void test_tcp(void **state)
{
    (void)state;
    char target[32], got[8] = "";
    int at = listener(SOCK_STREAM, target);
    assert_int_equal(listen(at, 1), 0);
    int64_t until = mln_mono_ns() + SECOND_NS;
    int fd = mln_sink_open("tcp", target, until);
    assert_true(fd >= 0);
    int peer = accept(at, NULL, NULL);
    assert_int_equal(mln_sink_send(fd, MLN_BYTES("line\n")), 5);
    assert_int_equal(recv(peer, got, 5, MSG_WAITALL), 5);
    assert_string_equal(got, "line\n");
    static uint8_t much[1u << 20];
    bool is_open = true;
    int64_t took_ns = 0;
    for (int i = 0; i < 100 && is_open; i++) { /* the kernel may make more room for a while; nobody reads */
        while (mln_sink_send(fd, mln_bytes_at(much, sizeof(much))) > 0) {
        }
        int64_t from = mln_mono_ns();
        is_open = mln_sink_wait(fd, from + SECOND_NS / 10);
        took_ns = mln_mono_ns() - from;
    }
    assert_false(is_open);
    assert_true(took_ns >= SECOND_NS / 11);
    (void)close(fd);
    (void)close(peer);
    (void)close(at);
    assert_int_equal(mln_sink_open("tcp", target, mln_mono_ns() + SECOND_NS), -1); /* nobody listens */
}

static void test_udp(void **state)
{
    (void)state;
    char target[32], got[8] = "";
    int at = listener(SOCK_DGRAM, target);
    int fd = mln_sink_open("udp", target, mln_mono_ns() + SECOND_NS);
    assert_true(fd >= 0 && mln_sink_is_datagram("udp") && !mln_sink_is_datagram("unix"));
    assert_int_equal(mln_sink_send(fd, MLN_BYTES("line\n")), 5);
    assert_int_equal(recv(at, got, sizeof(got), 0), 5);
    (void)close(fd);
    (void)close(at);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *target;
    } t[] = {
        {"tcp", "localhost:80"}, {"tcp", "127.0.0.1"},  {"tcp", "127.0.0.1:0"},  {"tcp", "127.0.0.1:65536"}, {"udp", ":80"},
        {"udp", "[::1:80"},      {"unix", ""},          {"unix", "/nosuch/sock"}, {"unixgram", "/nosuch/sock"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_int_equal(mln_sink_open(t[i].kind, t[i].target, mln_mono_ns() + SECOND_NS), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tcp), cmocka_unit_test(test_udp), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
