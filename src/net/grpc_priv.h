/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside gRPC: a session of nghttp2 a connection, small streams, topics of the loop.
 *
 *   grpc.c       session, deadlines, what the connection asks of its protocol
 *   grpc_head.c  methods, metadata, which calls begin at all
 *   grpc_call.c  messages in, questions to core, answers
 *   grpc_out.c   heads, messages, trailers
 *
 * Memory: a stream that idles holds this struct, nghttp2's and the name of its topic. A message on its way out is the only copy: when
 * something changes while a slow reader has not begun to take it, the newer one replaces it; while it is being taken, the question is
 * asked again after its end. So a reader who never reads costs one message, and reads the newest when he does.
 */
#pragma once

#include "net/grpc.h"
#include "net/h2_priv.h"

/* An Envoy has a stream a secret, go-spiffe three, a broker some for each of its pods; 256 times 4 kB is 1 MiB a peer. */
#define GRPC_STREAMS_MAX      256u
#define GRPC_ALL_STREAMS_MAX  32768u      /* of a thread: 10,000 are promised */
#define GRPC_ASKS_MAX         128u        /* with core at once for one connection, of streams that were cancelled too */
#define GRPC_HEADERS_MAX      64u         /* of one call; clients send about 10 */
#define GRPC_HEAD_BYTES_MAX   (8u << 10)  /* what gRPC clients themselves hold for the limit of metadata */
#define GRPC_IDLE_NS          ((int64_t)600000000000) /* without any stream: a client that comes back connects again for nothing */
#define GRPC_PREFIX_BYTES     5u          /* flag, length */
#define GRPC_TEXT_MAX         1024u       /* of grpc-message before it is encoded */
/*
 * Clients that cancel every stream are honest (go-spiffe does); the work that each costs is bounded by GRPC_ASKS_MAX. This ends who does
 * nothing else: no client on this machine opens and cancels more than 20,000 streams a second.
 */
#define GRPC_RESETS_BURST     50000u
#define GRPC_RESETS_PER_S     20000u

struct grpc;

/* What the metadata said, until the head is whole. */
struct grpc_head {
    const struct mln_grpc_service *service;
    uint32_t n_lines, n_bytes;
    uint16_t n_must; /* how often the service's header came */
    bool is_post, has_type, is_grpc, has_te, is_true, is_packed;
    bool is_timeless; /* a grpc-timeout that is none */
};

struct grpc_stream {
    struct grpc_stream *next, *prev; /* of the connection */
    struct grpc_stream *asks_next;   /* with core */
    struct grpc_stream *wait_next;   /* for a credit */
    struct follower follower; /* of the topic that its answers name */
    struct grpc *grpc;
    const struct mln_grpc_method *method; /* NULL = unknown */
    struct mln_grpc_call call;
    int32_t number;   /* 0: its client left while core was asked */
    int32_t status;   /* how it ends, when is_ending */
    uint64_t id;      /* what core's answer must name; 0 = not with core */
    int64_t deadline_ns; /* INT64_MAX = none */
    int64_t again_ns;    /* when to ask again; INT64_MAX = when its topic says so */
    int64_t timeout_ns;  /* the client's, from the head's end; INT64_MAX = none */
    char *text;          /* grpc-message */
    struct mln_buf in;   /* the message that comes in; of a stream the last one, for asking again */
    struct mln_buf out;  /* prefix and message */
    size_t out_at;
    size_t promised; /* bytes that nghttp2 will fetch next: they must stay as they are */
    size_t held;     /* counted in grpc->held */
    uint8_t sent[16]; /* digest of the last message */
    struct grpc_head head;
    bool has_sent, has_head, is_whole, is_open, is_asked, is_waiting, is_dirty, is_deferred, is_ending, is_done, has_message;
};

struct grpc {
    struct conn *conn;
    nghttp2_session *session;
    struct grpc_stream *streams;
    struct grpc_stream *asks_first, *asks_last;
    struct grpc_stream *wait_first, *wait_last;
    unsigned n_streams, n_asks;
    size_t held;
    size_t out_before;
    int64_t out_ns;
    int64_t soonest_ns; /* no stream's time is up before; may be too early */
    bool has_preface, is_stopping;
};

/* grpc_head.c */
void grpc_head_line(struct grpc_stream *stream, struct mln_bytes name, struct mln_bytes value);
/* May the call begin? If not it is ended here. */
bool grpc_head_end(struct grpc_stream *stream);

/* grpc_call.c */
struct grpc_stream *grpc_stream_new(struct grpc *grpc, int32_t number);
void grpc_stream_close(struct grpc_stream *stream); /* its client is gone: freed now, or when core has answered */
void grpc_stream_free(struct grpc_stream *stream);
void grpc_take_data(struct grpc_stream *stream, struct mln_bytes data);
void grpc_take_end(struct grpc_stream *stream); /* the client will say nothing more */
void grpc_want(struct grpc_stream *stream);     /* ask core, again or for the first time, as soon as may be */
void grpc_send_waiting(struct grpc *grpc);
void grpc_take_answer(struct grpc_stream *stream, const struct mln_value *answer);
void grpc_deadline(struct grpc_stream *stream, int64_t at_ns);
void grpc_count(struct grpc_stream *stream); /* after its buffers changed */

/* grpc_out.c */
void grpc_send(struct grpc_stream *stream); /* what stands in out */
void grpc_finish(struct grpc_stream *stream, int status, const char *text);
void grpc_refuse(struct grpc_stream *stream, int http, int status, const char *text);
int grpc_put_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n, nghttp2_data_source *source, void *arg);

