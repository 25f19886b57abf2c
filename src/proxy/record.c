/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection leaves behind: a value, which monitor takes apart again and writes. */
#include "base/cbor.h"
#include "base/clock.h"
#include "proxy/relay_priv.h"

static void put_identity(struct mln_cx *cx, const struct conn *conn, struct mln_value *record)
{
    if (conn->identity != NULL) {
        mln_put_text(cx, record, "own_id", conn->identity->id);
        mln_put_text(cx, record, "own_serial", conn->identity->serial);
    }
    if (conn->peer_id != NULL) {
        mln_put_text(cx, record, "peer_id", conn->peer_id);
        mln_put_bool(cx, record, "proved", conn->is_proved);
    }
}

void record_event(struct conn *conn, const char *event, enum mln_proxy_reason reason)
{
    struct worker *worker = conn->worker;
    struct mln_cx cx;
    struct mln_proxy_message message = {.kind = MLN_PROXY_RECORD, .thread = worker->index, .conn = conn->number};
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = sizeof(message.bytes)};
    bool is_open = mln_bytes_is(mln_bytes_of(event), "open");
    /* inside a handshake the worker's context may be in use: an arena of its own */
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(64u << 10, false);
    if (arena == NULL) {
        return;
    }
    mln_cx_init(&cx, arena);
    struct mln_value *record = mln_object(&cx);
    mln_put_text(&cx, record, "event", event);
    mln_put_int(&cx, record, "conn", (int64_t)conn->name);
    mln_put_int(&cx, record, "listener", conn->listener - worker->relay->config->listeners);
    mln_put_text(&cx, record, "from", conn->from);
    put_identity(&cx, conn, record);
    mln_put_int(&cx, record, "start_ns", conn->start_ns);
    if (!is_open) {
        mln_put_int(&cx, record, "end_ns", mln_now_ns());
        mln_put_int(&cx, record, "bytes_in", (int64_t)conn->bytes_in);
        mln_put_int(&cx, record, "bytes_out", (int64_t)conn->bytes_out);
        mln_put_text(&cx, record, "reason", mln_proxy_reason_name(reason));
        if (conn->detail != NULL) {
            mln_put_text(&cx, record, "detail", conn->detail);
        }
    }
    mln_cbor_print(&text, record);
    if (!text.has_failed && !mln_failed(mln_cx_err(&cx))) {
        message.n = (uint32_t)text.len;
        mln_copy(message.bytes, text.ptr, text.len);
        worker_tell(worker, &message);
    }
}
