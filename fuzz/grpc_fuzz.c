/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target: gRPC on a connection (net/grpc*.c), a real loop of front with a core beside it that answers all. The input is what a client
 * writes behind a preface that is right; a byte 0xfe where a frame would begin makes core publish the topic that all streams follow.
 * Whatever stands there: no crash, well-formed frames come back, and nothing is left when the client is gone.
 */
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "api/grpc.h"
#include "base/cbor.h"
#include "base/limits.h"
#include "net/grpc_priv.h"

#define ROUNDS     8u
#define INPUT_MAX  (48u << 10) /* fits a socket's buffer */
#define FRAME_HEAD 9u

static struct front front;
static struct loop loop;
static struct mln_ring_fds ring_fds;
static struct mln_ring *core;
static struct mln_cx core_cx;
static uint64_t version = 1;

static const struct mln_front_api no_api;

static void begin(void)
{
    struct mln_cx cx;
    if (core != NULL) {
        return;
    }
    mln_cx_init(&cx, NULL);
    mln_cx_init(&core_cx, mln_arena_new((size_t)16 << 20, false));
    MLN_CHECK(!mln_failed(mln_ring_create(&cx, &ring_fds)));
    MLN_CHECK(!mln_failed(mln_ring_attach(&cx, &ring_fds, MLN_RING_CORE, &core)));
    front.abort_fd = 0;
    front.config = (struct mln_front_config){.rings = &ring_fds,
                                             .n_rings = 1,
                                             .api = &no_api,
                                             .services = mln_grpc_services,
                                             .stop_fd = -1,
                                             .state_fd = -1,
                                             .peer_fd = -1,
                                             .header_deadline_ns = 1000000000,
                                             .body_deadline_ns = 1000000000,
                                             .idle_ns = 1000000000,
                                             .grace_ns = 1000000000,
                                             .body_max = MLN_BODY_MAX_BYTES,
                                             .in_flight_max = 16,
                                             .conns_max = 16};
    int pair[2];
    MLN_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0); /* never readable: nobody aborts */
    front.abort_fd = pair[0];
    MLN_CHECK(!mln_failed(loop_init(&cx, &loop, &front, 0)));
}

static void send_core(uint64_t id, uint32_t kind, const struct mln_value *value)
{
    struct mln_ring_head head = {.id = id, .kind = kind};
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_cbor_print(&out, value);
    MLN_CHECK(!out.has_failed && !mln_failed(mln_ring_send(core, &head, mln_buf_bytes(&out))));
}

static void publish(void)
{
    struct mln_value *v = mln_object(&core_cx);
    mln_put_text(&core_cx, v, "topic", version % 3 == 0 ? "t/" : "t/x");
    mln_put_int(&core_cx, v, "version", (int64_t)++version);
    send_core(0, MLN_WIRE_TOPIC, v);
}

static void answer(uint64_t id)
{
    struct mln_value *v = mln_object(&core_cx), *data = mln_object(&core_cx), *bundles = mln_object(&core_cx);
    mln_put_int(&core_cx, v, "status", id % 7 == 0 ? 403 : 200);
    mln_put_int(&core_cx, v, "grpc", 7);
    mln_put(&core_cx, bundles, "spiffe://td", mln_blob(&core_cx, MLN_BYTES("\x30\x01\x01")));
    mln_put(&core_cx, data, "bundles", bundles);
    mln_put(&core_cx, data, "spiffe_id", mln_textf(&core_cx, "%u", (unsigned)version));
    mln_put(&core_cx, v, "data", data);
    mln_put_text(&core_cx, v, "topic", "t/x");
    mln_put_int(&core_cx, v, "topic_version", (int64_t)version);
    send_core(id, MLN_WIRE_ANSWER, v);
}

static void serve(void)
{
    for (;;) {
        struct mln_ring_head head;
        MLN_AUTO(mln_buf_drop) struct mln_buf in = {0};
        const struct mln_value *request = NULL;
        if (mln_failed(mln_ring_receive(core, &head, &in))) {
            break;
        }
        MLN_CHECK(head.kind == MLN_WIRE_REQUEST);
        MLN_CHECK(!mln_failed(mln_cbor_parse(&core_cx, mln_buf_bytes(&in), &request)));
        MLN_CHECK(mln_len(mln_get(request, "path")) > 0);
        answer(head.id);
        mln_arena_reset(core_cx.arena);
    }
    MLN_CHECK(!mln_failed(mln_ring_flush(core)));
}

/* Frames of front: heads that make sense, whole ones only at the end. */
static void check_output(struct mln_bytes got)
{
    while (got.len >= FRAME_HEAD) {
        size_t n = (size_t)got.ptr[0] << 16 | (size_t)got.ptr[1] << 8 | got.ptr[2];
        MLN_CHECK(n <= 16384 && got.ptr[3] <= 9);
        if (got.len < FRAME_HEAD + n) {
            break; /* the socket was full */
        }
        got = mln_bytes_from(got, FRAME_HEAD + n);
    }
}

static void turns(int client, struct mln_buf *got)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t bytes[4096];
        ssize_t n;
        (void)loop_turn(&loop, true);
        serve();
        while (client >= 0 && (n = recv(client, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
            mln_buf_add(got, bytes, (size_t)n);
        }
    }
}

static void put(int client, const void *from, size_t n)
{
    ssize_t sent = send(client, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    static const struct mln_front_listener listener = {.fd = -1, .is_grpc = true};
    int pair[2];
    struct mln_buf got = {0};
    begin();
    MLN_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    struct conn *conn = loop_adopt(&loop, pair[0], &listener, 0);
    MLN_CHECK(conn != NULL);
    loop_watch(&loop, conn);
    put(pair[1], preface, sizeof(preface));
    size = size < INPUT_MAX ? size : INPUT_MAX;
    for (size_t at = 0; at < size;) {
        size_t n = mln_bytes_find(mln_bytes_at(data + at, size - at), 0xfe);
        put(pair[1], data + at, n);
        turns(pair[1], &got);
        at += n;
        if (at < size) {
            publish();
            at++;
        }
    }
    turns(pair[1], &got);
    check_output(mln_buf_bytes(&got));
    (void)close(pair[1]);
    turns(-1, &got);
    MLN_CHECK(loop.n_conns == 0 && loop.n_calls == 0 && loop.in_flight == 0 && loop.held_bytes == 0);
    mln_buf_drop(&got);
    mln_arena_reset(core_cx.arena);
    return 0;
}
