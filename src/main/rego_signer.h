/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer of a server of policies: a process that holds the private key of its listeners and signs TLS handshakes, nothing else
 * (net/tls_sign.h). Each thread of front has a socket to it.
 */
#pragma once

#include "base/value.h"

#define REGO_SIGNER_THREADS_MAX 64u

struct rego_signer {
    int fds[REGO_SIGNER_THREADS_MAX]; /* one a thread of front */
    unsigned n;
};
/* Reads the key, which must be the certificate's, and forks. errors as of tls_key_load, INVALID (another key), IO */
struct mln_err rego_signer_start(struct mln_cx *cx, const char *key_file, struct mln_bytes cert_pem, unsigned threads,
                                 struct rego_signer *ret);
/* For mln_front_local.sign; arg is the struct rego_signer. */
struct mln_err rego_signer_sign(void *arg, unsigned thread, struct mln_cx *cx, const struct mln_value *message, struct mln_buf *sig);
