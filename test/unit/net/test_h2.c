/* SPDX-License-Identifier: Apache-2.0 */
/* Front over HTTP/2, with nghttp2's client on the other side; in clear by prior knowledge. */
#include "front_kit.h"

#include <nghttp2/nghttp2.h>

#define ASKS_MAX 64u

struct ask {
    const char *method, *path;
    struct mln_bytes body;
    size_t sent;
    bool never_ends; /* the body stays open */
    /* what came */
    int status;
    uint32_t code;
    bool is_closed;
    size_t n_body;
    uint8_t begin[64];
    size_t n_begin;
    bool has_hsts, has_cache;
};

struct client {
    int fd;
    nghttp2_session *session;
    struct ask *asks[ASKS_MAX];
    size_t n, n_closed;
    bool has_goaway, is_broken;
};

static struct ask *ask_of(nghttp2_session *session, int32_t number)
{
    return nghttp2_session_get_stream_user_data(session, number);
}

static int got_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                      const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct ask *ask = ask_of(session, frame->hd.stream_id);
    uint64_t status = 0;
    (void)flags;
    (void)arg;
    if (ask != NULL && mln_bytes_is(mln_bytes_at(name, name_n), ":status")) {
        assert_true(mln_u64_parse(mln_bytes_at(value, value_n), &status));
        ask->status = (int)status;
    }
    if (ask != NULL && mln_bytes_is(mln_bytes_at(name, name_n), "cache-control")) {
        ask->has_cache = mln_bytes_is(mln_bytes_at(value, value_n), "no-store");
    }
    return 0;
}

static int got_data(nghttp2_session *session, uint8_t flags, int32_t number, const uint8_t *data, size_t n, void *arg)
{
    struct ask *ask = ask_of(session, number);
    (void)flags;
    (void)arg;
    for (size_t i = 0; i < n && ask->n_begin < sizeof(ask->begin); i++) {
        ask->begin[ask->n_begin++] = data[i];
    }
    ask->n_body += n;
    return 0;
}

static int got_close(nghttp2_session *session, int32_t number, uint32_t code, void *arg)
{
    struct client *c = arg;
    struct ask *ask = ask_of(session, number);
    if (ask != NULL) {
        ask->is_closed = true;
        ask->code = code;
        c->n_closed++;
    }
    return 0;
}

static int got_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    struct client *c = arg;
    c->has_goaway = c->has_goaway || frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static ssize_t give_body(nghttp2_session *session, int32_t number, uint8_t *to, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct ask *ask = source->ptr;
    size_t left = ask->body.len - ask->sent;
    (void)session;
    (void)number;
    (void)arg;
    n = n < left ? n : left;
    if (n == 0 && ask->never_ends) {
        return NGHTTP2_ERR_DEFERRED;
    }
    mln_copy(to, ask->body.ptr + ask->sent, n);
    ask->sent += n;
    if (ask->sent == ask->body.len && !ask->never_ends) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static void client_begin(struct client *c, uint16_t port)
{
    nghttp2_session_callbacks *calls = NULL;
    assert_int_equal(nghttp2_session_callbacks_new(&calls), 0);
    nghttp2_session_callbacks_set_on_header_callback(calls, got_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, got_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, got_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, got_frame);
    assert_int_equal(nghttp2_session_client_new(&c->session, calls, c), 0);
    nghttp2_session_callbacks_del(calls);
    assert_int_equal(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    (void)nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
    c->fd = dial(port);
}

static void client_end(struct client *c)
{
    nghttp2_session_del(c->session);
    close(c->fd);
}

#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE    \
    }

static void client_ask(struct client *c, struct ask *ask)
{
    nghttp2_nv head[] = {NV(":method", ask->method), NV(":path", ask->path), NV(":scheme", "http"), NV(":authority", "x")};
    nghttp2_data_provider body = {.source = {.ptr = ask}, .read_callback = give_body};
    bool has_body = ask->body.len > 0 || ask->never_ends;
    assert_true(nghttp2_submit_request(c->session, NULL, head, 4, has_body ? &body : NULL, ask) > 0);
    c->asks[c->n++] = ask;
}

static bool client_send(struct client *c)
{
    const uint8_t *data = NULL;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(c->session, &data)) > 0) {
        if (!put(c->fd, data, (size_t)n)) {
            return false;
        }
    }
    return n == 0;
}

/* Until `closed` streams are closed or the other side hangs up. */
static void client_run(struct client *c, size_t closed)
{
    uint8_t bytes[16384];
    while (c->n_closed < closed && !c->is_broken) {
        ssize_t n = client_send(c) ? recv(c->fd, bytes, sizeof(bytes), 0) : -1;
        c->is_broken = n <= 0 || nghttp2_session_mem_recv(c->session, bytes, (size_t)n) != n;
    }
    (void)client_send(c);
}

/* ---- tests ---- */

static void test_requests(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    struct client c = {0};
    struct ask get = {.method = "GET", .path = "/size/5000"}, head = {.method = "HEAD", .path = "/size/70"},
               post = {.method = "POST", .path = "/echo", .body = MLN_BYTES("to and fro")},
               star = {.method = "OPTIONS", .path = "*"};
    client_begin(&c, s->ports[0]);
    client_ask(&c, &get);
    client_ask(&c, &head);
    client_ask(&c, &post);
    client_ask(&c, &star);
    client_run(&c, 4);
    assert_int_equal(get.status, 200);
    assert_int_equal(get.n_body, 5000);
    assert_true(get.has_cache);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.n_body, 0);
    assert_int_equal(post.status, 200);
    kit_text(mln_bytes_at(post.begin, post.n_begin), "to and fro");
    assert_int_equal(star.status, 400);
    client_end(&c);
    server_end(s, 0);
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.in_flight_max = 4; /* most of them wait for a credit */
    server_run(s);
    struct client c = {0};
    struct ask asks[ASKS_MAX];
    client_begin(&c, s->ports[0]);
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        asks[i] = (struct ask){.method = "GET", .path = i % 8 == 0 ? "/sleep/20" : i % 2 == 0 ? "/size/300000" : "/size/10"};
        client_ask(&c, &asks[i]);
    }
    client_run(&c, ASKS_MAX);
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        assert_int_equal(asks[i].status, 200);
        assert_int_equal(asks[i].code, NGHTTP2_NO_ERROR);
        if (i % 8 != 0) {
            assert_int_equal(asks[i].n_body, i % 2 == 0 ? 300000 : 10);
        }
    }
    client_end(&c);
    server_end(s, 0);
}

static void test_bodies(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.body_max = 3 * MIB;
    server_run(s);
    struct client c = {0};
    struct mln_buf big = {0};
    assert_true(mln_buf_reserve(&big, 4 * MIB));
    memset(big.ptr, 'x', 4 * MIB);
    struct ask fits = {.method = "POST", .path = "/echo", .body = mln_bytes_at(big.ptr, 3 * MIB)},
               over = {.method = "POST", .path = "/echo", .body = mln_bytes_at(big.ptr, 3 * MIB + 1)},
               after = {.method = "GET", .path = "/size/1"};
    client_begin(&c, s->ports[0]);
    client_ask(&c, &fits);
    client_run(&c, 1);
    assert_int_equal(fits.status, 200);
    assert_int_equal(fits.n_body, 3 * MIB);
    client_ask(&c, &over);
    client_run(&c, 2);
    assert_int_equal(over.status, 413);
    client_ask(&c, &after); /* the connection lives on */
    client_run(&c, 3);
    assert_int_equal(after.status, 200);
    client_end(&c);
    mln_buf_drop(&big);
    server_end(s, 0);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct server *s = server_start(1);
    s->config.body_deadline_ns = 400 * MS;
    s->config.idle_ns = 300 * MS;
    server_run(s);
    struct client c = {0};
    struct ask slow = {.method = "POST", .path = "/echo", .body = MLN_BYTES("begun"), .never_ends = true},
               quick = {.method = "GET", .path = "/size/1"};
    client_begin(&c, s->ports[0]);
    client_ask(&c, &slow);
    client_ask(&c, &quick);
    client_run(&c, 2);
    assert_int_equal(quick.status, 200);
    assert_int_equal(slow.status, 408);
    client_run(&c, 3); /* there is no third: until it is sent away for idling */
    assert_true(c.is_broken && c.has_goaway);
    client_end(&c);
    server_end(s, 0);
}

static void test_graceful_stop(void **state)
{
    (void)state;
    struct server *s = server_run(server_start(1));
    struct client c = {0};
    struct ask first = {.method = "GET", .path = "/size/1"}, slow = {.method = "GET", .path = "/sleep/300"};
    client_begin(&c, s->ports[0]);
    client_ask(&c, &first);
    client_run(&c, 1);
    client_ask(&c, &slow);
    assert_true(client_send(&c));
    while (atomic_load(&s->core.requests) < 2) {
        mln_sleep_ns(MS);
    }
    server_ask_stop(s);
    client_run(&c, 2);
    assert_int_equal(slow.status, 200);
    client_run(&c, 3);
    assert_true(c.is_broken && c.has_goaway);
    client_end(&c);
    server_end(s, 0);
}

/* What is no preface is HTTP/1.1, and what is no frame ends the connection; front lives on. */
static void test_garbage(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    (void)state;
    struct server *s = server_run(server_start(1));
    for (unsigned n = 1; n < sizeof(preface) - 1; n++) { /* cut, then something else */
        int fd = dial(s->ports[0]);
        assert_true(put(fd, preface, n) && put(fd, "#\r\n\r\n", 5));
        char got[13] = {0};
        assert_int_equal(recv(fd, got, 12, MSG_WAITALL), 12);
        assert_string_equal(got, "HTTP/1.1 400");
        close(fd);
    }
    for (unsigned i = 0; i < 200; i++) {
        uint8_t noise[300];
        int fd = dial(s->ports[0]);
        mln_random(noise, sizeof(noise));
        noise[0] = noise[1] = 0; /* a short frame */
        assert_true(put(fd, preface, sizeof(preface) - 1) && put(fd, noise, sizeof(noise)));
        shutdown(fd, SHUT_WR);
        while (recv(fd, noise, sizeof(noise), 0) > 0) {
        }
        close(fd);
    }
    struct client c = {0};
    struct ask ask = {.method = "GET", .path = "/size/9"};
    client_begin(&c, s->ports[0]);
    client_ask(&c, &ask);
    client_run(&c, 1);
    assert_int_equal(ask.status, 200);
    client_end(&c);
    server_end(s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),  cmocka_unit_test(test_many_at_once),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_deadlines), cmocka_unit_test(test_graceful_stop), cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
