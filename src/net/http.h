/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP as the rest of front sees it, whatever version carried it. Views are borrowed from the
 * connection until the answer is built.
 */
#pragma once

#include "base/buf.h"

#define MLN_HTTP_HEADERS_MAX 128u /* of one request; browsers send some 20 */
#define MLN_HTTP_HEAD_BYTES_MAX                                                                    \
    (64u << 10) /* request line and headers together; JWTs in headers stay below 16 KiB */

struct mln_http_header {
    struct mln_bytes name; /* as sent; compare without case */
    struct mln_bytes value;
};
struct mln_http_request {
    struct mln_bytes method;
    struct mln_bytes target; /* as sent */
    struct mln_bytes path;   /* before "?" , still percent-encoded */
    struct mln_bytes query;  /* after "?" */
    const struct mln_http_header *headers;
    size_t n_headers;
    struct mln_bytes body;
    struct mln_bytes peer; /* address text without port */
    uint16_t peer_port;
    const struct mln_bytes *peer_certs; /* that the TLS client proved to hold, DER, leaf first */
    size_t n_peer_certs;
    bool is_tls;
    bool only_bundle; /* came to a bundle endpoint: nothing else is served there */
    bool is_diagnostic; /* of the listener: health and metrics only */
};
struct mln_http_answer {
    int status;
    const char *content_type;  /* NULL = none */
    const char *cache_control; /* NULL = "no-store" */
    const char *extra; /* more header lines, each ending in CRLF; may be NULL. Built by us only. */
    bool no_body;      /* HEAD: send the headers of the body, not the body */
};
const char *mln_http_reason(int status);
/* The value of a header, without case; empty when absent. */
struct mln_bytes mln_http_header(const struct mln_http_request *http, const char *name);
