/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 as bytes: pure functions over buffers of the caller, for both directions. Strict by
 * intent: whatever two readers could take in two ways (smuggling) is refused. What is refused
 * stands in docs/http.md. Source: RFC 9110, RFC 9112.
 */
#pragma once

#include "net/http.h"

#define MLN_HTTP1_METHOD_MAX          32u
#define MLN_HTTP1_TRAILER_BYTES_MAX   (8u << 10) /* read and dropped; nobody sends more */
#define MLN_HTTP1_CHUNK_LINE_MAX      256u       /* size and extensions of one chunk */
#define MLN_HTTP1_EXTENSION_BYTES_MAX (4u << 10) /* of all chunks of a body together */

/* How far the end of a head was looked for; {0} at its beginning. */
struct mln_http1_scan {
    size_t at;
    size_t line; /* where the current line begins */
};
/*
 * Look for the empty line that ends a head, in all bytes that came so far (the same beginning at
 *     each call).
 * *ret_len  length of the head with its empty line; 0 = more bytes are needed
 * errors    PARSE at the first byte that cannot be right (bare CR or LF, control characters),
 *     TOO_LARGE
 */
struct mln_err mln_http1_scan(struct mln_cx *cx, struct mln_http1_scan *scan, struct mln_bytes in,
                              size_t *ret_len);

/* What the head says of the body and the connection. */
struct mln_http1_framing {
    uint64_t length; /* of the body, when has_length */
    bool has_length;
    bool is_chunked;
    bool is_http10;
    bool wants_close;      /* Connection: close, or HTTP/1.0 without keep-alive */
    bool expects_continue; /* Expect: 100-continue */
};
struct mln_http1_head {
    struct mln_bytes method, target, path, query; /* request */
    int status;                                   /* answer */
    struct mln_http1_framing framing;
    size_t n_headers;
    struct mln_http_header headers[MLN_HTTP_HEADERS_MAX];
};
/*
 * Parse a whole head as found by mln_http1_scan; views into it. errors PARSE, TOO_LARGE (too many
 * headers), UNSUPPORTED
 */
struct mln_err mln_http1_request(struct mln_cx *cx, struct mln_bytes head,
                                 struct mln_http1_head *ret);
struct mln_err mln_http1_answer(struct mln_cx *cx, struct mln_bytes head,
                                struct mln_http1_head *ret);

/* A chunked body on its way; {0} at its beginning. */
struct mln_http1_chunks {
    uint64_t left;       /* of the chunk */
    uint32_t line_bytes; /* of the line being read */
    uint32_t extension_bytes;
    uint32_t trailer_bytes;
    uint8_t step; /* private */
    bool is_done;
};
/*
 * Decode what is there; content is appended to body.
 * *ret_used  bytes of `in` that were taken; all of them unless the body ended
 * errors     PARSE, TOO_LARGE (body would pass body_max), MEMORY
 */
struct mln_err mln_http1_chunks(struct mln_cx *cx, struct mln_http1_chunks *chunks,
                                struct mln_bytes in, struct mln_buf *body, size_t body_max,
                                size_t *ret_used);
