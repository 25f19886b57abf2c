/* SPDX-License-Identifier: Apache-2.0 */
/* A node whose server is away: who waits is told at once, and nobody waits behind another one who waits. */
#include "kit/kit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "main/node_link.c"
#include "main/node_sync.c"

void workers_publish(struct workers *workers, struct mln_bytes message)
{
    (void)workers;
    (void)message;
    fail_msg("there are no workers to tell");
}

/* A server: listens on a port of loopback, and when there is a thread for it answers 204 to all, and keeps no connection. */
struct server {
    int fd, stop[2];
    pthread_t thread;
    char url[40];
};

static int listen_at(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* With "{}" as its body, or without one. */
static bool is_whole(struct mln_bytes text)
{
    size_t at = mln_bytes_find_bytes(text, MLN_BYTES("\r\n\r\n"));
    return at < text.len &&
           (mln_bytes_starts(text, MLN_BYTES("GET ")) || text.len >= at + sizeof("\r\n\r\n{}") - 1);
}

static void serve(int fd)
{
    static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
    char text[4096];
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n < sizeof(text) && !is_whole(mln_bytes_at(text, n))) {
        got = read(fd, text + n, sizeof(text) - n);
        n += got > 0 ? (size_t)got : 0;
    }
    got = write(fd, answer, sizeof(answer) - 1);
    (void)got;
    (void)close(fd);
}

static void *serve_all(void *arg)
{
    struct server *server = arg;
    struct pollfd fds[] = {{.fd = server->stop[0], .events = POLLIN},
                           {.fd = server->fd, .events = POLLIN}};
    while (poll(fds, 2, -1) > 0 && fds[0].revents == 0) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd >= 0) {
            serve(fd);
        }
    }
    return NULL;
}

/* Nobody waits to be accepted. */
static bool is_quiet(const struct server *server)
{
    struct pollfd fd = {.fd = server->fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 0;
}

static struct node *node_new(const char *url)
{
    struct node *node = mln_alloc(sizeof(*node));
    assert_non_null(node);
    node->server = (struct mln_client_config){.url = url, .timeout_ns = 5000000000};
    node->replica = mln_replica_new();
    assert_non_null(node->replica);
    (void)pthread_mutex_init(&node->lock, NULL);
    (void)pthread_mutex_init(&node->signing, NULL);
    (void)pthread_mutex_init(&node->syncing, NULL);
    return node;
}

static void node_free(struct node *node)
{
    while (node->n_idle > 0) {
        mln_client_free(node->idle[--node->n_idle]);
    }
    mln_replica_free(node->replica);
    mln_free(node);
}

static bool is_away(struct mln_cx *cx, struct mln_err err)
{
    bool is = mln_is(err, MLN_E_UNREACHABLE);
    mln_cx_clear(cx);
    return is;
}

static void test_away(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct server server = {0};
    uint16_t port = 0;
    const struct mln_value *data = NULL;
    struct node_call poll_it = {.path = "/v1/spiffe/nodes/sync"},
                     ask = {.path = "/v1/spiffe/nodes/jwt",
                            .body = mln_object(cx),
                            .for_process = true};
    server.fd = listen_at(0, &port); /* nothing listens there yet */
    (void)snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%u", port);
    struct node *node = node_new(server.url);
    assert_true(is_away(cx, node_call(node, cx, &ask, &data)));
    assert_int_equal(listen(server.fd, 8), 0);
    /* it is there again, but processes are answered of what is here: no call is made */
    assert_true(is_away(cx, node_call(node, cx, &ask, &data)));
    assert_true(is_away(cx, node_match(node, cx, mln_array(cx))));
    assert_true(is_quiet(&server));
    assert_int_equal(pipe2(server.stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&server.thread, NULL, serve_all, &server), 0);
    /* the poller asks all the same, and what it hears is known to all */
    assert_false(mln_failed(node_call(node, cx, &poll_it, &data)));
    for (size_t i = 0; i < 3; i++) { /* connections that were kept, and are closed there */
        kit_ok(cx, node_call(node, cx, &ask, &data));
    }
    assert_int_equal(write(server.stop[1], "x", 1), 1);
    (void)pthread_join(server.thread, NULL);
    (void)close(server.stop[0]);
    (void)close(server.stop[1]);
    (void)close(server.fd);
    node_free(node);
}

/* Another one asks for certificates, or for changes, and waits for the server: this one goes on with what is here. */
static void test_behind_another(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct node *node = node_new("http://127.0.0.1:1");
    size_t n = 0;
    (void)pthread_mutex_lock(&node->signing);
    assert_true(is_away(cx, node_sign(node, cx, mln_array(cx), &n)));
    (void)pthread_mutex_unlock(&node->signing);
    assert_false(mln_failed(node_sign(node, cx, mln_array(cx), &n))); /* nothing is missing */
    (void)pthread_mutex_lock(&node->syncing);
    assert_true(is_away(cx, take_pages(node, cx, true)));
    (void)pthread_mutex_unlock(&node->syncing);
    node_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_away), KIT_TEST(test_behind_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
