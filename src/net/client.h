/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small blocking HTTP/1.1 client for the command line: http and https (OpenSSL, verified) with
 * keep-alive, or a Unix socket; deadlines, limits, no redirects to other hosts. Not for the server
 * (that is reach's work).
 */
#pragma once

#include "net/http.h"

struct mln_client;
struct mln_client_config {
    const char *url;                  /* "http://127.0.0.1:8200", "https://...", "unix:/path" */
    const char *ca_file;              /* PEM, besides or instead of the system's; NULL */
    const char *server_name;          /* SNI and name to verify; NULL = the URL's host */
    const char *cert_file, *key_file; /* client certificate; NULL */
    bool skip_verify;                 /* as the user asked; the caller warns */
    int64_t timeout_ns;               /* whole call; 0 = 60 s */
    bool has_cancel;
    int cancel_fd; /* with has_cancel: when it becomes readable a call that waits ends, UNREACHABLE; borrowed */
};
struct mln_client_answer {
    int status;
    struct mln_http_header *headers; /* in the arena of cx */
    size_t n_headers;
    struct mln_bytes body; /* in the arena of cx */
};
struct mln_err mln_client_new(struct mln_cx *cx, const struct mln_client_config *config,
                              struct mln_client **ret); /* UNREACHABLE, INVALID */
void mln_client_free(struct mln_client *client);
void mln_client_drop(struct mln_client **client);
/*
 * headers: array of "Name: value" texts without CR or LF. errors UNREACHABLE, TIMEOUT, REMOTE (not
 * HTTP), TOO_LARGE
 */
struct mln_err mln_client_call(struct mln_cx *cx, struct mln_client *client, const char *method,
                               const char *target, const char *const *headers, size_t n_headers,
                               struct mln_bytes body, struct mln_client_answer *ret);
