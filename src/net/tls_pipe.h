/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS between buffers, with signatures from another process. OpenSSL reads from bytes that the owner received and writes to a buffer
 * that the owner sends; it never touches a descriptor. A handshake that needs a signature pauses as an async job: the owner asks who has
 * the key, hands the answer in and goes on. For front (net/tls.c) and for the SPIFFE proxy (proxy/).
 */
#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "net/tls_sign.h"

#define MLN_TLS_SIGNATURE_MAX 512u /* RSA-4096 */

/* One a process: OpenSSL's library with the provider whose keys are public halves. */
struct mln_tls_lib {
    OSSL_LIB_CTX *lib;
    BIO_METHOD *bio;
    OSSL_PROVIDER *providers[2];
};
struct mln_err mln_tls_lib_init(struct mln_cx *cx, struct mln_tls_lib *ret); /* errors MEMORY, CRYPTO; _fini all the same */
void mln_tls_lib_fini(struct mln_tls_lib *lib);
/* The public half of a certificate as a key that signs through a pipe's owner. errors UNSUPPORTED (P-256, P-384, RSA 2,048 to 4,096) */
struct mln_err mln_tls_lib_key(struct mln_cx *cx, const struct mln_tls_lib *lib, const X509 *cert, EVP_PKEY **ret);

enum mln_tls_step { MLN_TLS_STEP_NONE, MLN_TLS_STEP_WANTED, MLN_TLS_STEP_ASKED, MLN_TLS_STEP_DONE, MLN_TLS_STEP_REFUSED };

struct mln_tls_pipe {
    SSL *ssl;
    const uint8_t *in; /* ciphertext not yet taken by OpenSSL: the owner's, until mln_tls_pipe_keep */
    size_t in_len;
    struct mln_buf in_left; /* the same, kept from an earlier turn */
    struct mln_buf out;     /* ciphertext not yet sent */
    size_t out_at;
    enum mln_tls_step step; /* WANTED: ask for a signature of `input`, then set ASKED */
    enum mln_tls_how how;
    size_t input_len, sig_len;
    uint8_t input[MLN_TLS_SIGN_INPUT_MAX];
    uint8_t sig[MLN_TLS_SIGNATURE_MAX];
};

/* For each thread that shakes hands: at most `jobs` wait for a signature at once, 32 KiB of stack each. */
bool mln_tls_thread_begin(size_t jobs);
void mln_tls_thread_end(void);

bool mln_tls_pipe_open(struct mln_tls_pipe *pipe, const struct mln_tls_lib *lib, SSL_CTX *ctx); /* false: no memory */
/* Also in the middle of a handshake: a job that waits is resumed once more, to fail. The struct is the owner's to free, wiped. */
void mln_tls_pipe_close(struct mln_tls_pipe *pipe);
int mln_tls_pipe_handshake(struct mln_tls_pipe *pipe); /* as SSL_do_handshake */
/* For OpenSSL's callbacks, inside a handshake's job: whose is it (NULL: there is none that could wait), and wait for the owner. */
struct mln_tls_pipe *mln_tls_pipe_current(void);
bool mln_tls_pipe_wait(struct mln_tls_pipe *pipe); /* sets WANTED, returns when the owner set DONE (true) or REFUSED and goes on */
/* Whoever had the key answered; none = it refused. The next handshake step goes on. */
void mln_tls_pipe_signed(struct mln_tls_pipe *pipe, struct mln_bytes sig);
/* The bytes behind `in` are about to be used for something else: keep what is left. False: no memory. */
bool mln_tls_pipe_keep(struct mln_tls_pipe *pipe);
/* All of `out` was sent: forget it; a large buffer goes back. */
void mln_tls_pipe_sent(struct mln_tls_pipe *pipe);
