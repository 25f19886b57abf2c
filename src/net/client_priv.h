/* SPDX-License-Identifier: Apache-2.0 */
/* The client's connection: a socket, perhaps TLS over it, and one deadline for all that it does. */
#pragma once

#include <openssl/types.h>

#include "net/client.h"

struct client_link {
    int fd; /* -1 = closed */
    int cancel_fd; /* -1 = none */
    SSL *ssl;
    SSL_CTX *tls;
    int64_t deadline_ns;
};
struct client_place {
    bool is_tls;
    bool is_unix;
    const char *host, *port; /* or the socket's path in host */
};

struct mln_err client_tls_setup(struct mln_cx *cx, const struct mln_client_config *config,
                                SSL_CTX **ret);
/* name: for SNI and verification; NULL with is_unix */
struct mln_err client_dial(struct mln_cx *cx, const struct client_place *place, char *name,
                           bool skips_verify, struct client_link *link);
void client_hang_up(struct client_link *link);
struct mln_err client_write(struct mln_cx *cx, struct client_link *link, struct mln_bytes from);
/* 0 bytes = the end */
struct mln_err client_read(struct mln_cx *cx, struct client_link *link, uint8_t *to, size_t n,
                           size_t *ret_n);
