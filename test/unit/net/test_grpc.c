/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of gRPC against front with a fake core: what is taken, what is refused, streams, slow readers. */
#include "front_kit.h"

#include <nghttp2/nghttp2.h>

#include "net/grpc_priv.h"

#define CALLS_MAX 400u

/* ---- services: a message is the path that the fake core is asked for ---- */

static struct mln_err ask_path(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    if (mln_bytes_is(call->message, "/bad")) {
        return mln_fail(cx, MLN_E_INVALID, "a bad request");
    }
    mln_put(cx, rq, "path", mln_string(cx, call->message));
    mln_put(cx, rq, "raw", mln_blob(cx, call->message));
    return MLN_OK;
}

static struct mln_err answer_raw(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    (void)cx;
    (void)call;
    mln_buf_add_bytes(out, mln_get_bytes(mln_get(answer, "raw")));
    return MLN_OK;
}

/* Counts the messages of a call; "quiet" is not asked about. */
static struct mln_err take_counted(struct mln_cx *cx, struct mln_grpc_call *call, bool *ret_asks)
{
    unsigned *n = call->state;
    (*n)++;
    *ret_asks = !mln_bytes_is(call->message, "quiet");
    return *n > 100 ? mln_fail(cx, MLN_E_LIMIT, "too many messages") : MLN_OK;
}

static struct mln_err answer_counted(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    (void)cx;
    (void)answer;
    mln_buf_add_format(out, "%u", *(const unsigned *)call->state);
    return MLN_OK;
}

static const struct mln_grpc_method free_methods[] = {
    {.name = "Call", .shape = MLN_GRPC_UNARY, .ask = ask_path, .answer = answer_raw, .request_max = 100000},
    {.name = "Stream", .shape = MLN_GRPC_STREAM, .ask = ask_path, .answer = answer_raw},
    {.name = "Again", .shape = MLN_GRPC_STREAM, .ask = ask_path, .answer = answer_raw, .again_ns = 200 * MS},
    {.name = "Both", .shape = MLN_GRPC_BOTH, .state_bytes = sizeof(unsigned), .take = take_counted, .ask = ask_path,
     .answer = answer_counted},
    {.name = "Reserved", .shape = MLN_GRPC_STREAM},
    {0},
};
static const struct mln_grpc_method must_methods[] = {
    {.name = "Call", .shape = MLN_GRPC_UNARY, .ask = ask_path, .answer = answer_raw}, {.name = "Reserved", .shape = MLN_GRPC_UNARY}, {0}};
static const struct mln_grpc_service free_service = {.name = "a.Free", .methods = free_methods};
static const struct mln_grpc_service must_service = {.name = "Must", .header = "x-must", .methods = must_methods};
static const struct mln_grpc_service *const services[] = {&free_service, &must_service, NULL};

/* ---- a client ---- */

struct pair {
    const char *name, *value;
};

struct call {
    struct pair head[12]; /* what differs from the usual; value NULL = leave out; ends with {0} */
    struct mln_buf body;
    size_t sent;
    bool stays_open;
    int32_t number;
    /* what came */
    int http, status; /* -1 = none */
    char text[200], accept[20];
    uint32_t code;
    bool is_closed;
    struct mln_buf got;
};

struct client {
    int fd;
    nghttp2_session *session;
    struct call *calls[CALLS_MAX];
    size_t n, n_closed;
    bool has_goaway, is_broken;
};

static struct call *call_of(nghttp2_session *session, int32_t number)
{
    return nghttp2_session_get_stream_user_data(session, number);
}

static int number_of(struct mln_bytes text)
{
    uint64_t n = 0;
    return mln_u64_parse(text, &n) && n < 1000 ? (int)n : -2;
}

static int got_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                      const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct call *call = call_of(session, frame->hd.stream_id);
    struct mln_bytes key = mln_bytes_at(name, name_n), text = mln_bytes_at(value, value_n);
    (void)flags;
    (void)arg;
    if (call == NULL) {
        return 0;
    }
    if (mln_bytes_is(key, ":status")) {
        call->http = number_of(text);
    } else if (mln_bytes_is(key, "grpc-status")) {
        assert_int_equal(call->status, -1); /* once */
        call->status = number_of(text);
    } else if (mln_bytes_is(key, "grpc-message")) {
        mln_copy(call->text, text.ptr, text.len < sizeof(call->text) ? text.len : sizeof(call->text) - 1);
    } else if (mln_bytes_is(key, "grpc-accept-encoding")) {
        mln_copy(call->accept, text.ptr, text.len < sizeof(call->accept) ? text.len : sizeof(call->accept) - 1);
    } else if (mln_bytes_is(key, "content-type")) {
        assert_true(mln_bytes_is(text, "application/grpc"));
    }
    return 0;
}

static int got_data(nghttp2_session *session, uint8_t flags, int32_t number, const uint8_t *data, size_t n, void *arg)
{
    struct call *call = call_of(session, number);
    (void)flags;
    (void)arg;
    if (call != NULL) {
        mln_buf_add(&call->got, data, n);
    }
    return 0;
}

static int got_close(nghttp2_session *session, int32_t number, uint32_t code, void *arg)
{
    struct client *c = arg;
    struct call *call = call_of(session, number);
    if (call != NULL) {
        call->is_closed = true;
        call->code = code;
        c->n_closed++;
    }
    return 0;
}

static int got_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct client *c = arg;
    (void)session;
    c->has_goaway = c->has_goaway || frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static ssize_t give_body(nghttp2_session *session, int32_t number, uint8_t *to, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct call *call = source->ptr;
    size_t left = call->body.len - call->sent;
    (void)session;
    (void)number;
    (void)arg;
    n = n < left ? n : left;
    if (n == 0 && call->stays_open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    mln_copy(to, call->body.ptr + call->sent, n);
    call->sent += n;
    if (call->sent == call->body.len && !call->stays_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* window: of each stream; 0 = the usual. Windows are opened by the test when `is_slow`. */
static void client_begin(struct client *c, uint16_t port, uint32_t window, bool is_slow)
{
    nghttp2_session_callbacks *calls = NULL;
    nghttp2_option *option = NULL;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    assert_int_equal(nghttp2_session_callbacks_new(&calls), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, is_slow);
    nghttp2_session_callbacks_set_on_header_callback(calls, got_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, got_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, got_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, got_frame);
    assert_int_equal(nghttp2_session_client_new2(&c->session, calls, c, option), 0);
    nghttp2_session_callbacks_del(calls);
    nghttp2_option_del(option);
    assert_int_equal(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, is_slow || window > 0), 0);
    c->fd = dial(port);
}

static void client_end(struct client *c)
{
    for (size_t i = 0; i < c->n; i++) {
        mln_buf_drop(&c->calls[i]->body);
        mln_buf_drop(&c->calls[i]->got);
    }
    nghttp2_session_del(c->session);
    close(c->fd);
}

static void add_message(struct mln_buf *buf, uint8_t flag, struct mln_bytes message)
{
    mln_buf_add_byte(buf, flag);
    mln_buf_add_u32be(buf, (uint32_t)message.len);
    mln_buf_add_bytes(buf, message);
}

static void set_head(const struct call *call, nghttp2_nv *all, size_t *n, const char *name, const char *value)
{
    for (const struct pair *p = call->head; p->name != NULL; p++) {
        if (strcmp(p->name, name) == 0) {
            value = p->value;
        }
    }
    if (value != NULL) {
        all[(*n)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
    }
}

static void client_call(struct client *c, struct call *call)
{
    static const char *const usual[] = {":method", ":scheme", ":path", ":authority", "content-type", "te"};
    nghttp2_nv head[24];
    size_t n = 0;
    nghttp2_data_provider body = {.source = {.ptr = call}, .read_callback = give_body};
    call->http = call->status = -1;
    set_head(call, head, &n, ":method", "POST");
    set_head(call, head, &n, ":scheme", "http");
    set_head(call, head, &n, ":path", "/a.Free/Call");
    set_head(call, head, &n, ":authority", "x");
    set_head(call, head, &n, "content-type", "application/grpc");
    set_head(call, head, &n, "te", "trailers");
    for (const struct pair *p = call->head; p->name != NULL; p++) {
        bool is_usual = false;
        for (size_t i = 0; i < MLN_COUNT(usual); i++) {
            is_usual = is_usual || strcmp(usual[i], p->name) == 0;
        }
        if (!is_usual) {
            head[n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)p->name, (uint8_t *)(uintptr_t)p->value, strlen(p->name), strlen(p->value), 0};
        }
    }
    call->number = nghttp2_submit_request(c->session, NULL, head, n, &body, call);
    assert_true(call->number > 0 && c->n < CALLS_MAX);
    c->calls[c->n++] = call;
}

static struct call *ask_for(struct client *c, struct call *call, const char *path, const char *message)
{
    if (path != NULL) {
        call->head[0] = (struct pair){":path", path};
    }
    add_message(&call->body, 0, mln_bytes_of(message));
    client_call(c, call);
    return call;
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

static void client_turn(struct client *c)
{
    uint8_t bytes[16384];
    ssize_t n = client_send(c) ? recv(c->fd, bytes, sizeof(bytes), 0) : -1;
    c->is_broken = n <= 0 || nghttp2_session_mem_recv(c->session, bytes, (size_t)n) != n;
    (void)client_send(c);
}

static void client_run(struct client *c, size_t closed)
{
    (void)client_send(c);
    while (c->n_closed < closed && !c->is_broken) {
        client_turn(c);
    }
}

/* How many whole messages came; the last one in *ret. */
static size_t messages(const struct call *call, struct mln_bytes *ret)
{
    struct mln_bytes left = mln_buf_bytes(&call->got);
    size_t n = 0;
    while (left.len >= 5 && left.len - 5 >= mln_get_u32be(left.ptr + 1)) {
        assert_int_equal(left.ptr[0], 0);
        *ret = mln_bytes_sub(left, 5, mln_get_u32be(left.ptr + 1));
        left = mln_bytes_from(left, 5 + ret->len);
        n++;
    }
    return n;
}

static void until_message(struct client *c, const struct call *call, size_t n, const char *want)
{
    struct mln_bytes last = {0};
    while (messages(call, &last) < n && !c->is_broken && !call->is_closed) {
        client_turn(c);
    }
    assert_int_equal(messages(call, &last), n);
    kit_text(last, want);
}

static struct server *grpc_server(void)
{
    struct server *s = server_start(1);
    s->config.services = services;
    return s;
}

/* ---- tests ---- */

static void test_unary(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    struct call calls[6] = {0};
    struct mln_bytes got = {0};
    client_begin(&c, s->ports[3], 0, false);
    ask_for(&c, &calls[0], NULL, "echo me");
    ask_for(&c, &calls[1], NULL, "/size/300000");
    ask_for(&c, &calls[2], NULL, "/refuse/7");
    ask_for(&c, &calls[3], NULL, "/bad");
    ask_for(&c, &calls[4], NULL, "/size/5000000");
    ask_for(&c, &calls[5], NULL, "");
    client_run(&c, 6);
    assert_int_equal(messages(&calls[0], &got), 1);
    kit_text(got, "echo me");
    assert_int_equal(calls[0].status, 0);
    assert_int_equal(calls[0].http, 200);
    assert_int_equal(messages(&calls[1], &got), 1);
    assert_int_equal(got.len, 300000);
    assert_int_equal(calls[1].status, 0);
    assert_int_equal(calls[2].status, 7);
    assert_string_equal(calls[2].text, "no, 100%25");
    assert_int_equal(calls[2].got.len, 0);
    assert_int_equal(calls[3].status, 3);
    assert_string_equal(calls[3].text, "a bad request");
    assert_int_equal(calls[4].status, 8); /* larger than clients take */
    assert_int_equal(messages(&calls[5], &got), 1);
    assert_int_equal(got.len, 0);
    client_end(&c);
    server_end(s, 0);
}

static void test_heads(void **state)
{
    static const char many[] = "0123456789";
    static char heavy[9000];
    const struct {
        struct pair head[12];
        int http, status;
    } rows[] = {
        {{{0}}, 200, 0},
        {{{"content-type", "application/grpc+proto"}}, 200, 0},
        {{{"content-type", "application/grpc;charset=x"}}, 200, 0},
        {{{"grpc-encoding", "identity"}}, 200, 0},
        {{{"grpc-timeout", "99999999H"}}, 200, 0},
        {{{":path", "/Must/Call"}, {"x-must", "true"}}, 200, 0},
        {{{":method", "GET"}}, 405, 12},
        {{{"content-type", NULL}}, 415, 3},
        {{{"content-type", "application/json"}}, 415, 3},
        {{{"content-type", "application/grpcx"}}, 415, 3},
        {{{"content-type", "application/grpc+json"}}, 415, 3},
        {{{":path", "/a.Free/None"}}, 200, 12},
        {{{":path", "/a.Free/"}}, 200, 12},
        {{{":path", "/a.Free"}}, 200, 12},
        {{{":path", "/"}}, 200, 12},
        {{{":path", "/none.None/Call"}}, 200, 12},
        {{{":path", "/a.Free/Call?x"}}, 200, 12},
        {{{":path", "/a.Free/Reserved"}}, 200, 12},
        {{{":path", "/Must/Call"}}, 200, 3},
        {{{":path", "/Must/Call"}, {"x-must", "false"}}, 200, 3},
        {{{":path", "/Must/Call"}, {"x-must", "True"}}, 200, 3},
        {{{":path", "/Must/Call"}, {"x-must", ""}}, 200, 3},
        {{{":path", "/Must/Call"}, {"x-must", "true"}, {"x-must", "true"}}, 200, 3},
        {{{":path", "/Must/Call"}, {"x-must", "false"}, {"x-must", "true"}}, 200, 3},
        {{{":path", "/Must/Reserved"}}, 200, 3},
        {{{":path", "/Must/Reserved"}, {"x-must", "true"}}, 200, 12},
        {{{"te", NULL}}, 200, 3},
        {{{"grpc-timeout", "1"}}, 200, 3},
        {{{"grpc-timeout", "S"}}, 200, 3},
        {{{"grpc-timeout", "-1S"}}, 200, 3},
        {{{"grpc-timeout", "123456789S"}}, 200, 3},
        {{{"grpc-timeout", "1s"}}, 200, 3},
        {{{"grpc-timeout", "1S"}, {"grpc-timeout", "1S"}}, 200, 3},
        {{{"grpc-encoding", "gzip"}}, 200, 12},
        {{{"x-heavy", heavy}}, 200, 8},
        {{{"x-1", many}}, 200, 0},
    };
    (void)state;
    memset(heavy, 'h', sizeof(heavy) - 1);
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    static struct call calls[MLN_COUNT(rows)];
    client_begin(&c, s->ports[3], 0, false);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        memcpy(calls[i].head, rows[i].head, sizeof(rows[i].head));
        add_message(&calls[i].body, 0, mln_bytes_of("x"));
        client_call(&c, &calls[i]);
    }
    client_run(&c, MLN_COUNT(rows));
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (calls[i].http != rows[i].http || calls[i].status != rows[i].status || calls[i].code != 0) {
            fail_msg("row %zu (%s): %d %d, stream error %u, \"%s\"", i, rows[i].head[0].value, calls[i].http, calls[i].status,
                     calls[i].code, calls[i].text);
        }
        if (rows[i].status == 12 && rows[i].http == 200) {
            assert_string_equal(calls[i].accept, "identity");
        }
    }
    client_end(&c);
    server_end(s, 0);
}

static void test_bodies(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[24];
        size_t n;
        int status;
        const char *path;
    } rows[] = {
        {"one message", {0, 0, 0, 0, 1, 'x'}, 6, 0, NULL},
        {"none", {0}, 0, 12, NULL},
        {"two", {0, 0, 0, 0, 1, 'x', 0, 0, 0, 0, 1, 'y'}, 12, 12, NULL},
        {"half a prefix", {0, 0, 0}, 3, 13, NULL},
        {"half a message", {0, 0, 0, 0, 5, 'x'}, 6, 13, NULL},
        {"compressed", {1, 0, 0, 0, 1, 'x'}, 6, 12, NULL},
        {"a strange flag", {2, 0, 0, 0, 1, 'x'}, 6, 13, NULL},
        {"too large", {0, 0, 1, 0x86, 0xa1}, 5, 8, NULL},
        {"much too large", {0, 0xff, 0xff, 0xff, 0xff}, 5, 8, NULL},
        {"a stream of none", {0}, 0, 12, "/a.Free/Stream"},
        {"a stream of two", {0, 0, 0, 0, 1, 'x', 0, 0, 0, 0, 1, 'y'}, 12, 12, "/a.Free/Stream"},
        {"both ways, none", {0}, 0, 0, "/a.Free/Both"},
        {"both ways, half", {0, 0, 0, 0, 9, 'x'}, 6, 13, "/a.Free/Both"},
        {"both ways, compressed", {1, 0, 0, 0, 1, 'x'}, 6, 12, "/a.Free/Both"},
    };
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    static struct call calls[MLN_COUNT(rows)];
    client_begin(&c, s->ports[3], 0, false);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (rows[i].path != NULL) {
            calls[i].head[0] = (struct pair){":path", rows[i].path};
        }
        mln_buf_add(&calls[i].body, rows[i].bytes, rows[i].n);
        client_call(&c, &calls[i]);
    }
    client_run(&c, MLN_COUNT(rows));
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (calls[i].status != rows[i].status || calls[i].code != 0) {
            fail_msg("%s: %d, stream error %u, \"%s\"", rows[i].name, calls[i].status, calls[i].code, calls[i].text);
        }
    }
    client_end(&c);
    server_end(s, 0);
}

/* The refusal arrives although the client has not said all, and the rest is not wanted. */
static void test_early_refusal(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    struct call early = {.head = {{":path", "/no/Where"}}, .stays_open = true}, after = {0};
    client_begin(&c, s->ports[3], 0, false);
    client_call(&c, &early);
    client_run(&c, 1);
    assert_int_equal(early.status, 12);
    assert_int_equal(early.code, NGHTTP2_NO_ERROR);
    ask_for(&c, &after, NULL, "alive");
    client_run(&c, 2);
    assert_int_equal(after.status, 0);
    client_end(&c);
    server_end(s, 0);
}

static void run_one(struct client *c, const char *message)
{
    static struct call calls[CALLS_MAX];
    static size_t used;
    struct call *call = &calls[used++ % CALLS_MAX];
    *call = (struct call){0};
    size_t closed = c->n_closed;
    ask_for(c, call, NULL, message);
    while (!call->is_closed && !c->is_broken) {
        client_turn(c);
    }
    assert_true(c->n_closed > closed);
    assert_int_equal(call->status, 0);
}

static void test_stream(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0}, other = {0};
    struct call follow = {0}, until = {0}, again = {0};
    client_begin(&c, s->ports[3], 0, false);
    client_begin(&other, s->ports[3], 0, false);
    ask_for(&c, &follow, "/a.Free/Stream", "/follow");
    until_message(&c, &follow, 1, "0:");
    ask_for(&c, &until, "/a.Free/Stream", "/until/3");
    until_message(&c, &until, 1, "0:");
    run_one(&other, "/count");
    until_message(&c, &follow, 2, "1:");
    run_one(&other, "/touch"); /* nothing changed: nothing is sent */
    run_one(&other, "/group");
    run_one(&other, "/count");
    until_message(&c, &follow, 3, "2:");
    assert_false(until.is_closed);
    run_one(&other, "/count");
    until_message(&c, &follow, 4, "3:");
    client_run(&c, 1);
    assert_int_equal(until.status, 7); /* after its messages */
    struct mln_bytes last = {0};
    assert_int_equal(messages(&until, &last), 3);
    assert_false(follow.is_closed);
    ask_for(&c, &again, "/a.Free/Again", "/follow");
    until_message(&c, &again, 1, "3:");
    mln_sleep_ns(600 * MS);
    assert_int_equal(messages(&again, &last), 1);
    client_end(&c);
    client_end(&other);
    server_end(s, 0);
}

/* What is published while a reader takes nothing: he gets the newest, and it costs one message. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client slow = {0}, other = {0};
    struct call none = {0}, some = {0};
    client_begin(&slow, s->ports[3], 0, true);
    client_begin(&other, s->ports[3], 0, false);
    ask_for(&slow, &none, "/a.Free/Stream", "/follow/100000");
    ask_for(&slow, &some, "/a.Free/Stream", "/follow/9");
    assert_true(client_send(&slow));
    while (atomic_load(&s->core.requests) < 2) {
        mln_sleep_ns(MS);
    }
    for (int i = 0; i < 50; i++) {
        run_one(&other, "/count");
    }
    assert_int_equal(nghttp2_submit_window_update(slow.session, NGHTTP2_FLAG_NONE, some.number, 8), 0);
    while (some.got.len < 8) {
        client_turn(&slow); /* the newest message is being taken: it stays as it is */
    }
    for (int i = 0; i < 50; i++) {
        run_one(&other, "/count");
    }
    assert_int_equal(nghttp2_submit_window_update(slow.session, NGHTTP2_FLAG_NONE, some.number, 1 << 20), 0);
    until_message(&slow, &some, 2, "100:xxxxxxxxx");
    kit_text(mln_bytes_sub(mln_buf_bytes(&some.got), 5, 12), "50:xxxxxxxxx");
    assert_int_equal(none.got.len, 0);
    assert_int_equal(nghttp2_submit_window_update(slow.session, NGHTTP2_FLAG_NONE, none.number, 1 << 20), 0);
    assert_int_equal(nghttp2_submit_window_update(slow.session, NGHTTP2_FLAG_NONE, 0, 1 << 20), 0);
    struct mln_bytes last = {0};
    while (messages(&none, &last) < 1) {
        client_turn(&slow);
    }
    kit_text(mln_bytes_sub(last, 0, 5), "100:x");
    assert_int_equal(last.len, 100004);
    client_end(&slow);
    client_end(&other);
    server_end(s, 0);
}

static void test_both_ways(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    struct call both = {.stays_open = true};
    client_begin(&c, s->ports[3], 0, false);
    ask_for(&c, &both, "/a.Free/Both", "one");
    until_message(&c, &both, 1, "1");
    add_message(&both.body, 0, mln_bytes_of("quiet"));
    add_message(&both.body, 0, mln_bytes_of("three"));
    assert_int_equal(nghttp2_session_resume_data(c.session, both.number), 0);
    until_message(&c, &both, 2, "3");
    both.stays_open = false;
    assert_int_equal(nghttp2_session_resume_data(c.session, both.number), 0);
    client_run(&c, 1);
    assert_int_equal(both.status, 0);
    client_end(&c);
    server_end(s, 0);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct server *s = grpc_server();
    s->config.body_deadline_ns = 400 * MS;
    server_run(s);
    struct client c = {0};
    struct call late = {.head = {{":path", "/a.Free/Call"}, {"grpc-timeout", "200m"}}}, slow = {.stays_open = true},
                stream = {.head = {{":path", "/a.Free/Stream"}, {"grpc-timeout", "600m"}}};
    client_begin(&c, s->ports[3], 0, false);
    ask_for(&c, &late, NULL, "/hang");
    ask_for(&c, &slow, NULL, "never ends");
    ask_for(&c, &stream, NULL, "/follow");
    client_run(&c, 3);
    assert_int_equal(late.status, 4);
    assert_int_equal(slow.status, 4);
    assert_int_equal(stream.status, 4);
    struct mln_bytes last = {0};
    assert_int_equal(messages(&stream, &last), 1);
    run_one(&c, "alive");
    client_end(&c);
    server_end(s, 0);
}

/* go-spiffe cancels every stream that it opens: thousands are no attack, and cost no answers that nobody waits for. */
static void test_resets(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    static struct call calls[64];
    client_begin(&c, s->ports[3], 0, false);
    for (unsigned round = 0; round < 100; round++) {
        for (size_t i = 0; i < MLN_COUNT(calls); i++) {
            calls[i] = (struct call){0};
            ask_for(&c, &calls[i], "/a.Free/Stream", round % 2 == 0 ? "/follow" : "/size/20000");
        }
        assert_true(client_send(&c));
        for (size_t i = 0; i < MLN_COUNT(calls); i++) {
            assert_int_equal(nghttp2_submit_rst_stream(c.session, NGHTTP2_FLAG_NONE, calls[i].number, NGHTTP2_CANCEL), 0);
        }
        run_one(&c, "alive");
        for (size_t i = 0; i < c.n; i++) {
            mln_buf_drop(&c.calls[i]->body);
            mln_buf_drop(&c.calls[i]->got);
        }
        c.n = 0;
    }
    client_end(&c);
    server_end(s, 0);
}

/* Cancelled questions count until core has answered them: a connection has at most so many there. */
static void test_questions_of_the_gone(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    static struct call calls[GRPC_ASKS_MAX + 50];
    client_begin(&c, s->ports[3], 0, false);
    run_one(&c, "hello"); /* the limit of streams is known now */
    for (size_t i = 0; i < MLN_COUNT(calls); i++) {
        ask_for(&c, &calls[i], NULL, "/sleep/300");
    }
    assert_true(client_send(&c));
    while (atomic_load(&s->core.requests) < GRPC_ASKS_MAX + 1) {
        mln_sleep_ns(MS);
    }
    mln_sleep_ns(30 * MS);
    assert_int_equal(atomic_load(&s->core.requests), GRPC_ASKS_MAX + 1);
    for (size_t i = 0; i < MLN_COUNT(calls); i++) {
        assert_int_equal(nghttp2_submit_rst_stream(c.session, NGHTTP2_FLAG_NONE, calls[i].number, NGHTTP2_CANCEL), 0);
    }
    run_one(&c, "alive"); /* when the first of them is answered */
    assert_int_equal(atomic_load(&s->core.requests), GRPC_ASKS_MAX + 2);
    client_end(&c);
    server_end(s, 0);
}

static void test_stream_limit(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    static struct call calls[GRPC_STREAMS_MAX];
    client_begin(&c, s->ports[3], 0, false);
    for (size_t i = 0; i < MLN_COUNT(calls); i++) {
        ask_for(&c, &calls[i], "/a.Free/Stream", "/follow");
    }
    for (size_t i = 0; i < MLN_COUNT(calls); i++) {
        until_message(&c, &calls[i], 1, "0:");
    }
    assert_int_equal(nghttp2_session_get_remote_settings(c.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), GRPC_STREAMS_MAX);
    struct client other = {0};
    client_begin(&other, s->ports[3], 0, false);
    run_one(&other, "/group"); /* nothing new for any of them */
    run_one(&other, "/count");
    for (size_t i = 0; i < MLN_COUNT(calls); i++) {
        until_message(&c, &calls[i], 2, "1:");
    }
    client_end(&other);
    client_end(&c);
    server_end(s, 0);
}

static void test_stop(void **state)
{
    (void)state;
    struct server *s = server_run(grpc_server());
    struct client c = {0};
    struct call stream = {0}, slow = {0};
    client_begin(&c, s->ports[3], 0, false);
    ask_for(&c, &stream, "/a.Free/Stream", "/follow");
    until_message(&c, &stream, 1, "0:");
    ask_for(&c, &slow, NULL, "/sleep/200");
    assert_true(client_send(&c));
    while (atomic_load(&s->core.requests) < 2) {
        mln_sleep_ns(MS);
    }
    server_ask_stop(s);
    client_run(&c, 2);
    assert_int_equal(stream.status, 14);
    assert_int_equal(slow.status, 0);
    client_run(&c, 3);
    assert_true(c.is_broken && c.has_goaway);
    client_end(&c);
    server_end(s, 0);
}

static void test_garbage(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    (void)state;
    struct server *s = server_run(grpc_server());
    int fd = dial(s->ports[3]);
    char got[1000];
    put_text(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    while (recv(fd, got, sizeof(got), 0) > 0) {
    }
    close(fd);
    for (unsigned i = 0; i < 300; i++) {
        uint8_t noise[300];
        fd = dial(s->ports[3]);
        mln_random(noise, sizeof(noise));
        noise[0] = noise[1] = 0; /* a short frame */
        noise[3] %= 11;
        assert_true(put(fd, preface, sizeof(preface) - 1) && put(fd, noise, sizeof(noise)));
        shutdown(fd, SHUT_WR);
        while (recv(fd, noise, sizeof(noise), 0) > 0) {
        }
        close(fd);
    }
    fd = dial(s->ports[3]); /* says nothing: sent away */
    assert_int_equal(recv(fd, got, sizeof(got), 0) >= 0, 1);
    while (recv(fd, got, sizeof(got), 0) > 0) {
    }
    close(fd);
    struct client c = {0};
    client_begin(&c, s->ports[3], 0, false);
    run_one(&c, "alive");
    client_end(&c);
    server_end(s, 0);
}

static void test_parsers(void **state)
{
    static const struct {
        const char *text;
        int64_t ns; /* -1 = refused */
    } rows[] = {
        {"1H", 3600000000000}, {"2M", 120000000000}, {"3S", 3000000000}, {"250m", 250000000}, {"7u", 7000}, {"0n", 0},
        {"99999999H", INT64_MAX / 2}, {"", -1}, {"S", -1}, {"1", -1}, {"1s", -1}, {"+1S", -1}, {"1.5S", -1}, {"100000000n", -1},
        {" 1S", -1},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int64_t ns = -1;
        assert_int_equal(mln_grpc_timeout_parse(mln_bytes_of(rows[i].text), &ns), rows[i].ns >= 0);
        assert_int_equal(ns, rows[i].ns);
    }
    struct mln_buf buf = {0};
    mln_grpc_message_print(&buf, mln_bytes_of("a b%\n\xc3\xa9~"));
    kit_text(mln_buf_bytes(&buf), "a b%25%0A%C3%A9~");
    mln_buf_drop(&buf);
    const struct mln_grpc_service *found = NULL;
    assert_ptr_equal(mln_grpc_find(services, mln_bytes_of("/Must/Call"), &found), &must_methods[0]);
    assert_ptr_equal(found, &must_service);
    assert_null(mln_grpc_find(NULL, mln_bytes_of("/Must/Call"), &found));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary),      cmocka_unit_test(test_heads),        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_early_refusal), cmocka_unit_test(test_stream),    cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_both_ways),  cmocka_unit_test(test_deadlines),    cmocka_unit_test(test_resets),
        cmocka_unit_test(test_questions_of_the_gone), cmocka_unit_test(test_stream_limit), cmocka_unit_test(test_stop),
        cmocka_unit_test(test_garbage),    cmocka_unit_test(test_parsers),
    };
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* test_grpc NAME: that one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
