/* SPDX-License-Identifier: Apache-2.0 */
/* See grpc_client.h. */
#include "net/grpc_client.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"
#include "net/h2_priv.h"

#define HEAD_BYTES     5u /* of a message: compressed or not, length */
#define READ_BYTES     16384u
#define OUT_MAX        (1u << 20) /* not yet sent: questions are small */
#define TEXT_BYTES     256u
#define WINDOW_BYTES   (1 << 20)
#define STATUS_UNKNOWN 2
#define STATUS_MAX     16u

struct call {
    int32_t number; /* 0 = free */
    struct mln_buf ask, in;
    size_t asked;
    int status; /* -1 = the server has not said yet */
    char text[TEXT_BYTES];
    bool is_broken;
};

struct mln_grpc_client {
    struct mln_grpc_client_config config;
    nghttp2_session *session;
    struct mln_buf out;
    size_t out_at;
    struct call calls[MLN_GRPC_CLIENT_CALLS_MAX];
};

static struct call *call_of(struct mln_grpc_client *client, int32_t number)
{
    for (size_t i = 0; i < MLN_COUNT(client->calls) && number > 0; i++) {
        if (client->calls[i].number == number) {
            return &client->calls[i];
        }
    }
    return NULL;
}

static void call_end(struct call *call)
{
    mln_buf_drop(&call->ask);
    mln_buf_drop(&call->in);
    *call = (struct call){0};
}

/* ---- what comes ---- */

/* Whole messages out of what was received; false: it is no gRPC, or too large. */
static bool take_messages(struct mln_grpc_client *client, struct call *call)
{
    int32_t number = call->number;
    while (call->in.len >= HEAD_BYTES) {
        size_t n = mln_get_u32be(call->in.ptr + 1);
        if (call->in.ptr[0] != 0 || n > MLN_GRPC_CLIENT_MESSAGE_MAX) {
            return false;
        }
        if (call->in.len - HEAD_BYTES < n) {
            return true;
        }
        client->config.on_message(client->config.arg, number, mln_bytes_at(call->in.ptr + HEAD_BYTES, n));
        mln_buf_shift(&call->in, HEAD_BYTES + n);
    }
    return true;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t number, const uint8_t *data, size_t n, void *arg)
{
    struct mln_grpc_client *client = arg;
    struct call *call = call_of(client, number);
    (void)flags;
    if (call == NULL || call->is_broken) {
        return 0;
    }
    mln_buf_add(&call->in, data, n);
    call->is_broken = call->in.has_failed || !take_messages(client, call);
    if (call->is_broken) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, number, NGHTTP2_CANCEL);
    }
    return 0;
}

static void keep_text(struct call *call, struct mln_bytes value)
{
    size_t n = value.len < sizeof(call->text) - 1 ? value.len : sizeof(call->text) - 1;
    mln_fill(call->text, 0, sizeof(call->text));
    for (size_t i = 0; i < n; i++) {
        uint8_t c = value.ptr[i];
        call->text[i] = (char)(c < 0x20 || c >= 0x7f ? ' ' : c);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value,
                     size_t value_n, uint8_t flags, void *arg)
{
    struct call *call = call_of(arg, frame->hd.stream_id);
    struct mln_bytes key = mln_bytes_at(name, name_n), text = mln_bytes_at(value, value_n);
    uint64_t status = 0;
    (void)session;
    (void)flags;
    if (call != NULL && mln_bytes_is(key, "grpc-status")) {
        call->status = mln_u64_parse(text, &status) && status <= STATUS_MAX ? (int)status : STATUS_UNKNOWN;
    } else if (call != NULL && mln_bytes_is(key, "grpc-message")) {
        keep_text(call, text);
    } else if (call != NULL && mln_bytes_is(key, ":status") && !mln_bytes_is(text, "200")) {
        call->is_broken = true;
        keep_text(call, MLN_BYTES("the socket answers, but not as gRPC does"));
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t number, uint32_t code, void *arg)
{
    struct mln_grpc_client *client = arg;
    struct call *call = call_of(client, number);
    char text[TEXT_BYTES];
    (void)session;
    (void)code;
    if (call != NULL) {
        bool is_cut = call->is_broken || call->status < 0 || call->in.len > 0;
        int status = is_cut && call->status <= 0 ? STATUS_UNKNOWN : call->status;
        mln_copy(text, call->text, sizeof(text));
        call_end(call);
        client->config.on_end(client->config.arg, number, status, text);
    }
    return 0;
}

/* ---- what is asked ---- */

static ssize_t give_ask(nghttp2_session *session, int32_t number, uint8_t *to, size_t n, uint32_t *flags, nghttp2_data_source *source,
                        void *arg)
{
    struct call *call = call_of(arg, number);
    (void)session;
    (void)source;
    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    size_t left = call->ask.len - call->asked;
    n = left < n ? left : n;
    mln_copy(to, call->ask.ptr + call->asked, n);
    call->asked += n;
    if (call->asked == call->ask.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static int32_t submit(struct mln_grpc_client *client, const char *path)
{
    const char *const *own = client->config.header;
    nghttp2_nv head[8] = {pair(":method", "POST"),
                          pair(":scheme", "http"),
                          pair(":path", path),
                          pair(":authority", client->config.authority),
                          pair("content-type", "application/grpc"),
                          pair("te", "trailers"),
                          pair("user-agent", "merlon/" MLN_VERSION)};
    size_t n = 7;
    if (own != NULL) {
        head[n++] = pair(own[0], own[1]);
    }
    nghttp2_data_provider body = {.read_callback = give_ask};
    return nghttp2_submit_request(client->session, NULL, head, n, &body, NULL);
}

struct mln_err mln_grpc_client_call(struct mln_cx *cx, struct mln_grpc_client *client, const char *path, struct mln_bytes message,
                                    int32_t *ret_call)
{
    struct call *call = client->calls;
    while (call < client->calls + MLN_COUNT(client->calls) && call->number != 0) {
        call++;
    }
    if (call == client->calls + MLN_COUNT(client->calls)) {
        return mln_fail(cx, MLN_E_LIMIT, "too many calls at once");
    }
    *call = (struct call){.status = -1, .in = {.is_secret = true, .max = MLN_GRPC_CLIENT_MESSAGE_MAX + READ_BYTES}};
    mln_buf_add_byte(&call->ask, 0);
    mln_buf_add_u32be(&call->ask, (uint32_t)message.len);
    mln_buf_add_bytes(&call->ask, message);
    int32_t number = call->ask.has_failed ? -1 : submit(client, path);
    if (number < 0) {
        call_end(call);
        return mln_fail(cx, MLN_E_REMOTE, "the connection takes no more calls");
    }
    call->number = number;
    *ret_call = number;
    return MLN_OK;
}

/* ---- the connection ---- */

static bool set_up(struct mln_grpc_client *client)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES}};
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return false;
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int rc = nghttp2_session_client_new3(&client->session, callbacks, client, NULL, &h2_mem);
    nghttp2_session_callbacks_del(callbacks);
    return rc == 0 && nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, MLN_COUNT(settings)) == 0 &&
           nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) == 0;
}

struct mln_err mln_grpc_client_new(struct mln_cx *cx, const struct mln_grpc_client_config *config, struct mln_grpc_client **ret)
{
    struct mln_grpc_client *client = mln_alloc(sizeof(*client));
    if (client == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    client->config = *config;
    client->config.fd = -1;
    client->out = (struct mln_buf){.max = OUT_MAX};
    if (!set_up(client)) {
        mln_grpc_client_free(client);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    client->config.fd = config->fd;
    *ret = client;
    return MLN_OK;
}

void mln_grpc_client_free(struct mln_grpc_client *client)
{
    if (client == NULL) {
        return;
    }
    for (size_t i = 0; i < MLN_COUNT(client->calls); i++) {
        call_end(&client->calls[i]);
    }
    nghttp2_session_del(client->session);
    mln_buf_drop(&client->out);
    mln_fd_drop(&client->config.fd);
    mln_free(client);
}

/* ---- a turn ---- */

static struct mln_err read_all(struct mln_cx *cx, struct mln_grpc_client *client)
{
    uint8_t bytes[READ_BYTES];
    for (;;) {
        ssize_t n = recv(client->config.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return MLN_OK;
        }
        if (n <= 0) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "the connection was closed");
        }
        ssize_t used = nghttp2_session_mem_recv(client->session, bytes, (size_t)n);
        mln_wipe(bytes, (size_t)n); /* keys of SVIDs come this way */
        if (used != n) {
            return mln_fail(cx, MLN_E_REMOTE, "what answers does not speak HTTP/2");
        }
    }
}

static struct mln_err send_out(struct mln_cx *cx, struct mln_grpc_client *client)
{
    while (client->out_at < client->out.len) {
        ssize_t n = send(client->config.fd, client->out.ptr + client->out_at, client->out.len - client->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return MLN_OK;
        }
        if (n < 0) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "the connection was closed");
        }
        client->out_at += (size_t)n;
    }
    client->out_at = 0;
    mln_buf_clear(&client->out);
    return MLN_OK;
}

static struct mln_err write_all(struct mln_cx *cx, struct mln_grpc_client *client)
{
    const uint8_t *bytes = NULL;
    ssize_t n = 0;
    while (client->out.len < READ_BYTES && (n = nghttp2_session_mem_send(client->session, &bytes)) > 0) {
        mln_buf_add(&client->out, bytes, (size_t)n);
    }
    if (n < 0) {
        return mln_fail(cx, MLN_E_REMOTE, "the connection is broken");
    }
    MLN_TRY(mln_buf_ok(cx, &client->out));
    return send_out(cx, client);
}

struct mln_err mln_grpc_client_turn(struct mln_cx *cx, struct mln_grpc_client *client)
{
    MLN_TRY(write_all(cx, client));
    MLN_TRY(read_all(cx, client));
    MLN_TRY(write_all(cx, client));
    bool is_alive = nghttp2_session_want_read(client->session) != 0 || nghttp2_session_want_write(client->session) != 0;
    return is_alive ? MLN_OK : mln_fail(cx, MLN_E_UNREACHABLE, "the connection was ended by the other side");
}

int mln_grpc_client_fd(const struct mln_grpc_client *client)
{
    return client->config.fd;
}

short mln_grpc_client_events(const struct mln_grpc_client *client)
{
    bool has_more = client->out_at < client->out.len || nghttp2_session_want_write(client->session) != 0;
    return (short)(POLLIN | (has_more ? POLLOUT : 0));
}
