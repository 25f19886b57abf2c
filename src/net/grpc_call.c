/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a call: messages that come in, questions to core, answers. */
#include "net/grpc_priv.h"

#include <sodium.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"

/* ---- streams ---- */

/* One that asks looks at what is wanted when it is answered. */
static void hear(struct follower *follower)
{
    struct grpc_stream *stream = follower->arg;
    if (stream->id == 0) {
        grpc_want(stream);
    }
}

struct grpc_stream *grpc_stream_new(struct grpc *grpc, int32_t number)
{
    struct grpc_stream *stream = mln_alloc(sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    stream->grpc = grpc;
    stream->number = number;
    stream->follower = (struct follower){.wake = hear, .arg = stream};
    stream->in.is_secret = stream->out.is_secret = true;
    stream->timeout_ns = stream->again_ns = INT64_MAX;
    stream->next = grpc->streams;
    if (grpc->streams != NULL) {
        grpc->streams->prev = stream;
    }
    grpc->streams = stream;
    grpc->n_streams++;
    grpc->conn->loop->n_calls++;
    grpc_deadline(stream, grpc->conn->loop->now_ns + grpc->conn->loop->front->config.body_deadline_ns);
    return stream;
}

/* Take it out of a list of those that wait or ask, in which it may stand anywhere. */
static void asks_remove(struct grpc_stream *stream)
{
    struct grpc *grpc = stream->grpc;
    struct grpc_stream *before = NULL;
    for (struct grpc_stream *s = grpc->asks_first; s != stream; s = s->asks_next) {
        MLN_CHECK(s != NULL);
        before = s;
    }
    *(before != NULL ? &before->asks_next : &grpc->asks_first) = stream->asks_next;
    if (grpc->asks_last == stream) {
        grpc->asks_last = before;
    }
    stream->asks_next = NULL;
    stream->id = 0;
    grpc->n_asks--;
}

static void wait_remove(struct grpc_stream *stream)
{
    struct grpc *grpc = stream->grpc;
    struct grpc_stream *before = NULL;
    for (struct grpc_stream *s = grpc->wait_first; s != stream; s = s->wait_next) {
        MLN_CHECK(s != NULL);
        before = s;
    }
    *(before != NULL ? &before->wait_next : &grpc->wait_first) = stream->wait_next;
    if (grpc->wait_last == stream) {
        grpc->wait_last = before;
    }
    stream->wait_next = NULL;
    stream->is_waiting = false;
}

void grpc_count(struct grpc_stream *stream)
{
    size_t held = stream->in.cap + stream->out.cap;
    stream->grpc->held += held - stream->held;
    stream->held = held;
}

static void drop_state(struct grpc_stream *stream)
{
    if (stream->call.state != NULL) {
        if (stream->method->close != NULL) {
            stream->method->close(&stream->call);
        }
        mln_free_wiped(stream->call.state, stream->method->state_bytes);
        stream->call.state = NULL;
    }
}

void grpc_stream_free(struct grpc_stream *stream)
{
    struct grpc *grpc = stream->grpc;
    topic_leave(stream->grpc->conn->loop, &stream->follower);
    if (stream->id != 0) {
        asks_remove(stream);
    }
    if (stream->is_waiting) {
        wait_remove(stream);
    }
    drop_state(stream);
    mln_buf_drop(&stream->in);
    mln_buf_drop(&stream->out);
    grpc_count(stream);
    mln_free(stream->text);
    *(stream->prev != NULL ? &stream->prev->next : &grpc->streams) = stream->next;
    if (stream->next != NULL) {
        stream->next->prev = stream->prev;
    }
    grpc->n_streams--;
    grpc->conn->loop->n_calls--;
    mln_free(stream);
}

/* A question of a stream that is gone still costs core: it counts until it is answered. */
void grpc_stream_close(struct grpc_stream *stream)
{
    if (stream->id == 0) {
        grpc_stream_free(stream);
        return;
    }
    topic_leave(stream->grpc->conn->loop, &stream->follower);
    drop_state(stream);
    mln_buf_drop(&stream->in);
    mln_buf_drop(&stream->out);
    stream->out_at = stream->promised = 0;
    stream->number = 0;
    stream->is_ending = true;
    stream->again_ns = INT64_MAX;
    grpc_count(stream);
    grpc_deadline(stream, stream->grpc->conn->loop->now_ns + FRONT_ANSWER_NS);
}

/* ---- messages in ---- */

static void fail_call(struct grpc_stream *stream, struct mln_err err)
{
    const struct mln_cx *cx = &stream->grpc->conn->loop->cx;
    grpc_finish(stream, mln_err_grpc(err.code), cx->text[0] != 0 ? cx->text : mln_err_text(err.code));
}

/* A whole message stands in stream->in: what is to be done with it? */
static void take_message(struct grpc_stream *stream)
{
    struct mln_cx *cx = &stream->grpc->conn->loop->cx;
    bool asks = true;
    stream->call.message = mln_bytes_from(mln_buf_bytes(&stream->in), GRPC_PREFIX_BYTES);
    if (stream->method->take != NULL) {
        struct mln_err err = stream->method->take(cx, &stream->call, &asks);
        if (mln_failed(err)) {
            fail_call(stream, err);
            return;
        }
    }
    if (asks && !stream->is_ending) {
        grpc_want(stream);
    }
}

/* Flag and length of the message that stands in stream->in; false: the call is ended. */
static bool check_prefix(struct grpc_stream *stream, size_t *ret_n)
{
    size_t max = stream->method->request_max != 0 ? stream->method->request_max : MLN_GRPC_REQUEST_MAX;
    uint8_t flag = stream->in.ptr[0];
    uint32_t n = mln_get_u32be(stream->in.ptr + 1);
    char text[96];
    if (flag == 1) {
        grpc_finish(stream, mln_err_grpc(MLN_E_UNSUPPORTED), "compressed messages are not taken");
    } else if (flag != 0) {
        grpc_finish(stream, mln_err_grpc(MLN_E_INTERNAL), "a message begins with neither 0 nor 1");
    } else if (n > max) {
        (void)snprintf(text, sizeof(text), "message of %u bytes, the most is %zu", n, max);
        grpc_finish(stream, mln_err_grpc(MLN_E_TOO_LARGE), text);
    } else {
        *ret_n = n;
        return true;
    }
    return false;
}

/* Move bytes from data to stream->in until n stand there; true when they do. */
static bool fill(struct grpc_stream *stream, struct mln_bytes *data, size_t n)
{
    size_t want = n > stream->in.len ? n - stream->in.len : 0;
    size_t take = want < data->len ? want : data->len;
    mln_buf_add(&stream->in, data->ptr, take);
    *data = mln_bytes_from(*data, take);
    grpc_count(stream);
    if (stream->in.has_failed || !conn_hold(stream->grpc->conn, 0)) {
        grpc_finish(stream, mln_err_grpc(MLN_E_MEMORY), "no memory for the request at present");
        return false;
    }
    return stream->in.len >= n;
}

void grpc_take_data(struct grpc_stream *stream, struct mln_bytes data)
{
    size_t n = 0;
    while (data.len > 0 && !stream->is_ending) {
        if (stream->has_message && stream->method->shape != MLN_GRPC_BOTH) {
            grpc_finish(stream, mln_err_grpc(MLN_E_UNSUPPORTED), "more than one message in the request");
            return;
        }
        if (stream->has_message) { /* the next one of many */
            stream->has_message = false;
            stream->call.message = MLN_BYTES_NONE;
            mln_buf_clear(&stream->in);
        }
        if (!fill(stream, &data, GRPC_PREFIX_BYTES) || !check_prefix(stream, &n) ||
            !fill(stream, &data, GRPC_PREFIX_BYTES + n)) {
            return;
        }
        stream->has_message = true;
        if (stream->method->shape == MLN_GRPC_BOTH) {
            take_message(stream);
        }
    }
}

void grpc_take_end(struct grpc_stream *stream)
{
    if (stream->is_ending) {
        return;
    }
    if (!stream->has_message && stream->in.len > 0) {
        grpc_finish(stream, mln_err_grpc(MLN_E_INTERNAL), "the request ends within a message");
    } else if (stream->method->shape == MLN_GRPC_BOTH) {
        grpc_finish(stream, 0, NULL);
    } else if (!stream->has_message) {
        grpc_finish(stream, mln_err_grpc(MLN_E_UNSUPPORTED), "no message in the request");
    } else {
        take_message(stream);
    }
}

/* ---- questions ---- */

void grpc_want(struct grpc_stream *stream)
{
    struct grpc *grpc = stream->grpc;
    bool is_gone = stream->is_ending || stream->number == 0 || grpc->conn->state == CONN_DEAD;
    if (is_gone || stream->is_waiting || (!stream->has_message && stream->method->shape != MLN_GRPC_BOTH)) {
        return;
    }
    if (stream->id != 0 || stream->out_at > 0 || stream->promised > 0) {
        stream->is_dirty = true; /* when that is over */
        return;
    }
    stream->is_dirty = false;
    stream->is_waiting = true;
    *(grpc->wait_last != NULL ? &grpc->wait_last->wait_next : &grpc->wait_first) = stream;
    grpc->wait_last = stream;
    grpc_deadline(stream, grpc->conn->loop->now_ns + FRONT_ANSWER_NS < stream->timeout_ns
                              ? grpc->conn->loop->now_ns + FRONT_ANSWER_NS
                              : stream->timeout_ns);
    loop_ready(grpc->conn->loop, grpc->conn);
}

static void put_peer(struct mln_cx *cx, const struct conn *conn, struct mln_value *rq)
{
    mln_put_text(cx, rq, "ns", "");
    mln_put_text(cx, rq, "from", conn->peer);
    mln_put_int(cx, rq, "port", conn->peer_port);
    mln_put_bool(cx, rq, "head", false);
    if (conn->peer_number != 0) {
        mln_put_int(cx, rq, "peer", (int64_t)conn->peer_number);
    }
}

static void ask(struct grpc_stream *stream)
{
    struct grpc *grpc = stream->grpc;
    struct loop *loop = grpc->conn->loop;
    struct mln_value *rq = mln_object(&loop->cx);
    struct mln_err err = stream->method->ask(&loop->cx, &stream->call, rq);
    put_peer(&loop->cx, grpc->conn, rq);
    err = mln_failed(err) ? err : mln_cx_err(&loop->cx);
    if (!mln_failed(err)) {
        stream->id = loop_id(loop, grpc->conn);
        err = loop_send(loop, stream->id, MLN_WIRE_REQUEST, rq);
    }
    if (mln_failed(err)) {
        stream->id = 0;
        fail_call(stream, err);
    } else {
        loop->in_flight++;
        grpc->n_asks++;
        *(grpc->asks_last != NULL ? &grpc->asks_last->asks_next : &grpc->asks_first) = stream;
        grpc->asks_last = stream;
    }
    if (stream->method->shape == MLN_GRPC_UNARY) {
        mln_buf_drop(&stream->in); /* a stream's is needed again */
        stream->call.message = MLN_BYTES_NONE;
        grpc_count(stream);
    }
    loop_clean(loop);
}

void grpc_send_waiting(struct grpc *grpc)
{
    struct loop *loop = grpc->conn->loop;
    while (grpc->wait_first != NULL && grpc->n_asks < GRPC_ASKS_MAX &&
           loop->in_flight < loop->front->config.in_flight_max) {
        struct grpc_stream *stream = grpc->wait_first;
        wait_remove(stream);
        if (!stream->is_ending) {
            ask(stream);
        }
    }
    if (grpc->wait_first != NULL) {
        loop_waiting(loop, grpc->conn);
    }
}

/* ---- answers ---- */

static bool is_refused(const struct mln_value *answer)
{
    int64_t status = mln_get_int(mln_get(answer, "status"), 500);
    return status < 200 || status > 299;
}

static void pass_refusal(struct grpc_stream *stream, const struct mln_value *answer)
{
    struct mln_cx *cx = &stream->grpc->conn->loop->cx;
    int64_t code = mln_get_int(mln_get(answer, "grpc"), mln_err_grpc(MLN_E_INTERNAL));
    const char *text = mln_get_text(cx, mln_item(mln_get(answer, "errors"), 0), "");
    bool is_code = code > 0 && code <= 16;
    grpc_finish(stream, is_code ? (int)code : mln_err_grpc(MLN_E_INTERNAL), text);
}

/* Build the message behind its prefix; *ret_has false when the method had nothing to say. */
static struct mln_err build(struct grpc_stream *stream, const struct mln_value *answer, struct mln_buf *out, bool *ret_has)
{
    struct mln_cx *cx = &stream->grpc->conn->loop->cx;
    static const uint8_t prefix[GRPC_PREFIX_BYTES];
    bool is_unary = stream->method->shape == MLN_GRPC_UNARY;
    mln_buf_add(out, prefix, sizeof(prefix));
    MLN_TRY(stream->method->answer(cx, &stream->call, answer, out));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_buf_ok(cx, out));
    mln_put_u32be(out->ptr + 1, (uint32_t)(out->len - GRPC_PREFIX_BYTES));
    *ret_has = is_unary || out->len > GRPC_PREFIX_BYTES || !stream->has_sent;
    return MLN_OK;
}

/* Is it what was sent last? Remembers it if not. */
static bool is_same(struct grpc_stream *stream, struct mln_bytes message)
{
    uint8_t digest[sizeof(stream->sent)];
    (void)crypto_generichash(digest, sizeof(digest), message.ptr, message.len, NULL, 0);
    bool same = stream->has_sent && mln_same(digest, stream->sent, sizeof(digest));
    mln_copy(stream->sent, digest, sizeof(digest));
    stream->has_sent = true;
    return same;
}

static void send_message(struct grpc_stream *stream, struct mln_buf *message)
{
    mln_buf_drop(&stream->out); /* one that nobody has begun to take is out of date */
    stream->out = *message;
    *message = (struct mln_buf){0};
    grpc_count(stream);
    if (!conn_hold(stream->grpc->conn, 0)) {
        grpc_finish(stream, mln_err_grpc(MLN_E_LIMIT), "no memory for the answer at present");
    } else if (stream->method->shape == MLN_GRPC_UNARY) {
        grpc_finish(stream, 0, NULL);
    } else {
        grpc_send(stream);
    }
}

/* Follow the answer's topic, and ask again if something newer is known already. */
static void go_on(struct grpc_stream *stream, const struct mln_value *answer)
{
    struct loop *loop = stream->grpc->conn->loop;
    struct mln_bytes topic = mln_get_bytes(mln_get(answer, "topic"));
    if (stream->method->shape == MLN_GRPC_UNARY || stream->is_ending) {
        return;
    }
    stream->follower.version = (uint64_t)mln_get_int(mln_get(answer, "topic_version"), 0);
    if (topic.len == 0) {
        topic_leave(loop, &stream->follower);
    } else if (!topic_follow(loop, &stream->follower, topic)) { /* worse than none: it would never hear of changes */
        grpc_finish(stream, mln_err_grpc(MLN_E_MEMORY), "no memory to follow changes at present");
        return;
    }
    if (stream->method->again_ns > 0) {
        stream->again_ns = loop->now_ns + stream->method->again_ns;
    }
    int64_t until = stream->timeout_ns < stream->again_ns ? stream->timeout_ns : stream->again_ns;
    stream->grpc->soonest_ns = until < stream->grpc->soonest_ns ? until : stream->grpc->soonest_ns;
    stream->deadline_ns = stream->timeout_ns;
    if (stream->is_dirty || topic_is_behind(loop, &stream->follower)) {
        grpc_want(stream);
    }
}

void grpc_take_answer(struct grpc_stream *stream, const struct mln_value *answer)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {.is_secret = true, .max = GRPC_PREFIX_BYTES + MLN_GRPC_MESSAGE_MAX};
    bool has_any = false;
    asks_remove(stream);
    if (stream->number == 0) {
        grpc_stream_free(stream);
        return;
    }
    if (stream->is_ending) {
        return;
    }
    if (stream->out_at > 0 || stream->promised > 0) {
        stream->is_dirty = true; /* an older one is being taken: what is true after it is asked for then */
        return;
    }
    if (is_refused(answer) && !stream->method->takes_faults) {
        pass_refusal(stream, answer);
        return;
    }
    struct mln_err err = build(stream, answer, &message, &has_any);
    if (mln_failed(err)) {
        fail_call(stream, err);
        return;
    }
    if (has_any && (stream->method->shape == MLN_GRPC_UNARY || !is_same(stream, mln_buf_bytes(&message)))) {
        send_message(stream, &message);
    }
    go_on(stream, answer);
}
