/* SPDX-License-Identifier: Apache-2.0 */
/* The gRPC client against a server made of bytes: messages whole and in pieces, ends, and what is no gRPC. */
#include "kit/kit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/grpc_client.h"

struct heard {
    unsigned messages, ends;
    int status;
    char text[64];
    uint8_t bytes[256];
    size_t n;
};

static void on_message(void *arg, int32_t call, struct mln_bytes message)
{
    struct heard *h = arg;
    assert_int_equal(call, 1);
    assert_true(h->n + message.len <= sizeof(h->bytes));
    mln_copy(h->bytes + h->n, message.ptr, message.len);
    h->n += message.len;
    h->messages++;
}

static void on_end(void *arg, int32_t call, int status, const char *text)
{
    struct heard *h = arg;
    assert_int_equal(call, 1);
    h->ends++;
    h->status = status;
    size_t n = mln_bytes_of(text).len;
    mln_copy(h->text, text, n < sizeof(h->text) - 1 ? n : sizeof(h->text) - 1);
}

/* A frame of HTTP/2 (RFC 9113 section 4.1). */
static void frame(struct mln_buf *to, uint8_t type, uint8_t flags, uint32_t stream, struct mln_bytes body)
{
    mln_buf_add_byte(to, (uint8_t)(body.len >> 16));
    mln_buf_add_u16be(to, (uint16_t)body.len);
    mln_buf_add_byte(to, type);
    mln_buf_add_byte(to, flags);
    mln_buf_add_u32be(to, stream);
    mln_buf_add_bytes(to, body);
}

/* A header without a table (RFC 7541 section 6.2.2). */
static void header(struct mln_buf *to, const char *name, const char *value)
{
    mln_buf_add_byte(to, 0);
    mln_buf_add_byte(to, (uint8_t)mln_bytes_of(name).len);
    mln_buf_add_text(to, name);
    mln_buf_add_byte(to, (uint8_t)mln_bytes_of(value).len);
    mln_buf_add_text(to, value);
}

#define SETTINGS 4u
#define HEADERS  1u
#define DATA     0u
#define RESET    3u
#define END_HEADERS 4u
#define END_STREAM  1u

static void begin(struct mln_buf *to, const char *status)
{
    struct mln_buf block = {0};
    frame(to, SETTINGS, 0, 0, MLN_BYTES_NONE);
    header(&block, ":status", status);
    header(&block, "content-type", "application/grpc");
    frame(to, HEADERS, END_HEADERS, 1, mln_buf_bytes(&block));
    mln_buf_drop(&block);
}

static void end(struct mln_buf *to, const char *status, const char *text)
{
    struct mln_buf block = {0};
    header(&block, "grpc-status", status);
    if (text != NULL) {
        header(&block, "grpc-message", text);
    }
    frame(to, HEADERS, END_HEADERS | END_STREAM, 1, mln_buf_bytes(&block));
    mln_buf_drop(&block);
}

/* Give the client these bytes, `step` at a time; what the last turn said. */
static struct mln_err play(struct mln_cx *cx, struct mln_bytes bytes, size_t step, bool closes, struct heard *h)
{
    static const char *const header_line[] = {"workload.spiffe.io", "true"};
    struct mln_grpc_client *client = NULL;
    struct mln_err err = MLN_OK;
    int fds[2];
    int32_t call = 0;
    uint8_t asked[4096];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *h = (struct heard){.status = -1};
    struct mln_grpc_client_config config = {
        .fd = fds[0], .authority = "localhost", .header = header_line, .on_message = on_message, .on_end = on_end, .arg = h};
    kit_ok(cx, mln_grpc_client_new(cx, &config, &client));
    kit_ok(cx, mln_grpc_client_call(cx, client, "/Service/Method", MLN_BYTES("ask"), &call));
    kit_ok(cx, mln_grpc_client_turn(cx, client));
    struct mln_bytes sent = mln_bytes_at(asked, (size_t)recv(fds[1], asked, sizeof(asked), 0));
    assert_true(mln_bytes_starts(sent, MLN_BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
    assert_true(mln_bytes_find_bytes(sent, MLN_BYTES("\0\0\0\0\3ask")) < sent.len);
    while (bytes.len > 0 && !mln_failed(err)) {
        size_t n = step < bytes.len ? step : bytes.len;
        assert_int_equal(send(fds[1], bytes.ptr, n, MSG_NOSIGNAL), (ssize_t)n);
        bytes = mln_bytes_from(bytes, n);
        err = mln_grpc_client_turn(cx, client);
    }
    (void)close(fds[1]);
    if (closes && !mln_failed(err)) {
        err = mln_grpc_client_turn(cx, client);
    }
    mln_grpc_client_free(client);
    return err;
}

static void test_stream(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf bytes = {0};
    struct heard h;
    begin(&bytes, "200");
    frame(&bytes, DATA, 0, 1, MLN_BYTES("\0\0\0\0\3one\0\0\0\0\3t"));
    frame(&bytes, DATA, 0, 1, MLN_BYTES("wo\0\0\0\0\0"));
    end(&bytes, "7", "no\tsuch");
    for (size_t step = 1; step < 4096; step *= 3) {
        kit_ok(cx, play(cx, mln_buf_bytes(&bytes), step, false, &h));
        assert_int_equal(h.messages, 3);
        assert_memory_equal(h.bytes, "onetwo", 6);
        assert_int_equal(h.ends, 1);
        assert_int_equal(h.status, 7);
        assert_string_equal(h.text, "no such");
    }
    kit_refused(cx, play(cx, mln_buf_bytes(&bytes), 4096, true, &h), MLN_E_UNREACHABLE);
    mln_buf_drop(&bytes);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *status, *data;
        size_t n;
        const char *end; /* NULL: a reset */
        int want;
    } t[] = {
        {"an answer of HTTP", "404", "", 0, "0", 2},
        {"a compressed message", "200", "\1\0\0\0\1x", 6, "0", 2},
        {"a message without end", "200", "\0\0\0\0\5ab", 7, "0", 2},
        {"a message that is too large", "200", "\0\x7f\xff\xff\xff", 5, "0", 2},
        {"a status that is none", "200", "", 0, "x", 2},
        {"a status above all", "200", "", 0, "17", 2},
        {"no status at all", "200", "", 0, NULL, 2},
        {"fine", "200", "\0\0\0\0\1a", 6, "0", 0},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_buf bytes = {0};
        struct heard h;
        begin(&bytes, t[i].status);
        frame(&bytes, DATA, 0, 1, mln_bytes_at(t[i].data, t[i].n));
        if (t[i].end != NULL) {
            end(&bytes, t[i].end, NULL);
        } else {
            frame(&bytes, RESET, 0, 1, MLN_BYTES("\0\0\0\x08"));
        }
        kit_ok(cx, play(cx, mln_buf_bytes(&bytes), 4096, false, &h));
        if (h.ends != 1 || h.status != t[i].want) {
            fail_msg("%s: %u ends, status %d", t[i].name, h.ends, h.status);
        }
        mln_buf_drop(&bytes);
    }
}

static void test_no_http2(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct heard h;
    kit_refused(cx, play(cx, MLN_BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), 4096, false, &h), MLN_E_UNREACHABLE);
    assert_int_equal(h.messages + h.ends, 0);
    kit_refused(cx, play(cx, MLN_BYTES_NONE, 1, true, &h), MLN_E_UNREACHABLE);
}

/* More calls than may be at once. */
static void test_limit(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct heard h = {0};
    struct mln_grpc_client *client = NULL;
    int fds[2];
    int32_t call = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct mln_grpc_client_config config = {.fd = fds[0], .authority = "localhost", .on_message = on_message, .on_end = on_end, .arg = &h};
    kit_ok(cx, mln_grpc_client_new(cx, &config, &client));
    for (unsigned i = 0; i < MLN_GRPC_CLIENT_CALLS_MAX; i++) {
        kit_ok(cx, mln_grpc_client_call(cx, client, "/S/M", MLN_BYTES_NONE, &call));
    }
    kit_refused(cx, mln_grpc_client_call(cx, client, "/S/M", MLN_BYTES_NONE, &call), MLN_E_LIMIT);
    mln_grpc_client_free(client);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_stream), KIT_TEST(test_refused), KIT_TEST(test_no_http2), KIT_TEST(test_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
