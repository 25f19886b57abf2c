/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over HTTP/2 in clear, on connections whose peer is known by other means (a Unix socket). What a service is stands in descriptors:
 * the api room has one file and one line a service, front does the rest (docs/format-grpc.md).
 *
 * A call is a value's way: take() looks at a request message, ask() builds the REQUEST for core, answer() turns core's ANSWER into a
 * message. Streams of the server follow the topic that the ANSWER names: when core publishes it, the same question is asked again, and
 * an answer that differs from what was sent last is sent. At most one question of a stream is with core at once.
 */
#pragma once

#include "base/value.h"

#define MLN_GRPC_MESSAGE_MAX  (4u << 20)  /* of answers: what clients of gRPC take unless they were told otherwise */
#define MLN_GRPC_REQUEST_MAX  (64u << 10) /* of requests, unless the method says otherwise: a JWT-SVID stays below 16 KiB */

enum mln_grpc_shape {
    MLN_GRPC_UNARY,  /* one message, one answer */
    MLN_GRPC_STREAM, /* one message, answers until an error */
    MLN_GRPC_BOTH,   /* messages and answers until an error or the client's end */
};

struct mln_grpc_call {
    void *state;              /* method's state_bytes, zeroed when the call begins; NULL when it has none */
    struct mln_bytes message; /* the last request message, without its prefix */
};

struct mln_grpc_method {
    const char *name;
    enum mln_grpc_shape shape;
    size_t request_max; /* 0 = MLN_GRPC_REQUEST_MAX */
    size_t state_bytes;
    int64_t again_ns;  /* a stream asks again after this long, topic or not; 0 = by topic only */
    bool takes_faults; /* answer() also sees core's refusals */
    /* A message came: check it, keep in state what is needed. *ret_asks (true at the call) = core is to be asked. NULL = ask. */
    struct mln_err (*take)(struct mln_cx *cx, struct mln_grpc_call *call, bool *ret_asks);
    /* Fill op, path and data of a REQUEST. NULL: the method is known and not implemented. */
    struct mln_err (*ask)(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq);
    /* Append the message for an ANSWER; a stream may leave `out` empty: nothing is sent. An error ends the call with its status. */
    struct mln_err (*answer)(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out);
    void (*close)(struct mln_grpc_call *call); /* free what state points to; NULL = nothing */
};

struct mln_grpc_service {
    const char *name;                      /* "grpc.health.v1.Health" */
    const char *header;                    /* metadata that must be there exactly once, with the value "true"; NULL = none */
    const struct mln_grpc_method *methods; /* ends with {0} */
};

/* "/Service/Method" of a list that ends with NULL; *ret_service set when found. NULL = there is none. */
const struct mln_grpc_method *mln_grpc_find(const struct mln_grpc_service *const *services, struct mln_bytes path,
                                            const struct mln_grpc_service **ret_service);
/* "1S", "250m": false when malformed; *ret_ns at most 2^62. */
bool mln_grpc_timeout_parse(struct mln_bytes text, int64_t *ret_ns);
/* grpc-message: visible ASCII stays, the rest and "%" as %XX. */
void mln_grpc_message_print(struct mln_buf *buf, struct mln_bytes text);
