/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 on a connection (RFC 9113), framing by nghttp2. A session parses what came in and says what is to go out; requests are
 * the same values as those of HTTP/1.1, many of a connection may be with core at once.
 *
 *   h2.c       session, streams, requests, deadlines        h2_answer.c   answers
 *
 * Tokens come as headers, and header compression keeps the latest of them for as long as the connection lives (a table of size 0 would
 * be right, but encoders that open with the default size are then cut off, h2spec's among them). nghttp2's memory is wiped when it is
 * freed, so nothing outlives the connection.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "net/front_priv.h"

#define H2_STREAMS_MAX  128u          /* with one client at once; more wait on its side */
#define H2_WINDOW       (1u << 20)    /* of a stream: what may come before we say more */
#define H2_CONN_WINDOW  (4u << 20)
#define H2_OUT_MAX      (256u << 10)  /* frames that wait for the socket, then nghttp2 waits */
#define H2_ANSWER_LINES 16u

struct h2_span {
    uint32_t at, n; /* in the stream's text */
};
struct h2_header {
    struct h2_span name, value;
};

struct h2_stream {
    struct h2_stream *next;
    int32_t number;
    uint64_t id; /* what core's answer must name; 0 = not with core */
    int64_t deadline_ns;
    bool is_whole;    /* its request is here to the end */
    bool is_waiting;  /* for a credit */
    bool is_answered; /* submitted */
    bool is_head;     /* the method, for the answer */
    bool is_heavy;    /* more headers than are taken */
    struct h2_span method, target;
    struct h2_header headers[MLN_HTTP_HEADERS_MAX];
    size_t n_headers;
    struct mln_buf text; /* names and values */
    struct mln_buf body;
    struct mln_buf out;
    size_t out_at;
};

struct h2 {
    struct conn *conn;
    nghttp2_session *session;
    struct h2_stream *streams;
    unsigned n_streams;
    size_t out_before; /* what stood in the socket's way at the last look */
    int64_t out_ns;    /* and since when */
};

/* Memory of sessions: wiped when it is freed. */
extern nghttp2_mem h2_mem;
/* What a session has to say, as far as the socket takes it. False when the connection died. */
bool h2_write_out(struct conn *conn, nghttp2_session *session);

/* Submit what stands in stream->out under this head. */
void h2_send_answer(struct h2 *h2, struct h2_stream *stream, const struct mln_http_answer *ans);
/* Submit the API's text for a fault; status 0 = what the error says. */
void h2_send_fault(struct h2 *h2, struct h2_stream *stream, struct mln_err err, int status);
/* Core's answer, NULL = unreadable. */
void h2_take_answer(struct h2 *h2, struct h2_stream *stream, const struct mln_value *answer);
