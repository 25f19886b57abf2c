/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS of front's connections: a tls_pipe between each socket and the protocol above. Signatures, and SVIDs where listeners show
 * them, come from core.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/cbor.h"
#include "net/front_priv.h"
#include "net/tls_pipe.h"

#define CIPHER_OUT_MAX     (64u << 10) /* then the socket must take some first */
#define CLIENT_CERTS_MAX   8 /* of one client: a leaf and what leads to its authority */
#define OWN_CHAIN_BYTES    (32u << 10) /* an SVID and what leads to its trust domain's authority */

struct tls_conn {
    struct mln_tls_pipe pipe; /* the first member: a pipe leads to its connection */
    struct mln_buf peer_chain; /* DER after DER */
    struct mln_bytes peer_certs[CLIENT_CERTS_MAX];
    size_t n_peer_certs;
    struct mln_buf own_chain; /* of an SVID: DER after DER, as core gave it for this handshake */
    int64_t key;              /* core's number of the key to sign with */
    bool wants_cert;          /* what core is asked for is the certificate, not the signature */
};

/* The certificate callback of listeners that show an SVID: the one of now, and which key core signs with for it. In the job too. */
int tls_ask_cert(SSL *ssl, void *arg)
{
    struct front *front = arg;
    struct tls_conn *tls = (struct tls_conn *)(void *)mln_tls_pipe_current();
    if (tls == NULL) {
        return 0;
    }
    tls->wants_cert = true;
    if (!mln_tls_pipe_wait(&tls->pipe)) {
        return 0;
    }
    tls->pipe.step = MLN_TLS_STEP_NONE;
    tls->wants_cert = false;
    return tls_use_chain(front, ssl, mln_buf_bytes(&tls->own_chain));
}

bool tls_thread_begin(void)
{
    return mln_tls_thread_begin(FRONT_JOBS_MAX);
}

void tls_thread_end(void)
{
    mln_tls_thread_end();
}

/* ---- life of a connection ---- */

struct tls_conn *tls_conn_new(struct conn *conn, SSL_CTX *ctx)
{
    struct tls_conn *tls = mln_alloc(sizeof(*tls));
    if (tls == NULL || !mln_tls_pipe_open(&tls->pipe, &conn->loop->front->tls_lib, ctx)) {
        mln_free(tls);
        return NULL;
    }
    tls->key = conn->listener->key;
    tls->own_chain.max = OWN_CHAIN_BYTES;
    SSL_set_accept_state(tls->pipe.ssl);
    return tls;
}

void tls_conn_free(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    if (tls == NULL) {
        return;
    }
    mln_tls_pipe_close(&tls->pipe);
    mln_buf_drop(&tls->peer_chain);
    mln_buf_drop(&tls->own_chain);
    mln_free_wiped(tls, sizeof(*tls));
    conn->tls = NULL;
}

/* ---- ciphertext ---- */

/* Receive into the loop's scratch; as recv. */
static ssize_t fill(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    if (!conn->can_read) {
        return -1;
    }
    ssize_t n = recv(conn->fd, conn->loop->cipher, sizeof(conn->loop->cipher), 0);
    if (n < 0) {
        conn->can_read = errno == EINTR;
        return errno == EAGAIN || errno == EINTR ? -1 : -2;
    }
    if ((size_t)n < sizeof(conn->loop->cipher) && n > 0 && !conn->has_hangup) {
        conn->can_read = false;
    }
    tls->pipe.in = conn->loop->cipher;
    tls->pipe.in_len = (size_t)n;
    return n;
}

/* The scratch belongs to all connections: keep what OpenSSL did not take. */
static void keep_left(struct conn *conn)
{
    if (!mln_tls_pipe_keep(&conn->tls->pipe)) {
        conn_kill(conn);
    }
}

bool tls_flush(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    while (tls->pipe.out_at < tls->pipe.out.len) {
        ssize_t n = conn->can_write ? send(conn->fd, tls->pipe.out.ptr + tls->pipe.out_at,
                                           tls->pipe.out.len - tls->pipe.out_at, MSG_NOSIGNAL)
                                    : -1;
        if (n < 0 && conn->can_write && errno != EAGAIN && errno != EINTR) {
            conn_kill(conn);
            return false;
        }
        if (n < 0) {
            conn->can_write = false;
            return false;
        }
        tls->pipe.out_at += (size_t)n;
    }
    mln_tls_pipe_sent(&tls->pipe);
    return true;
}

bool tls_has_pending(const struct conn *conn)
{
    return conn->tls->pipe.in_len > 0 || SSL_pending(conn->tls->pipe.ssl) > 0;
}

const struct mln_bytes *tls_peer_certs(const struct conn *conn, size_t *ret_n)
{
    *ret_n = conn->tls->n_peer_certs;
    return conn->tls->peer_certs;
}

/* ---- handshake ---- */

static bool keep_cert(struct tls_conn *tls, X509 *cert)
{
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    if (n > 0 && tls->n_peer_certs < CLIENT_CERTS_MAX) {
        mln_buf_add(&tls->peer_chain, der, (size_t)n);
        tls->peer_certs[tls->n_peer_certs++] = mln_bytes_at(NULL, (size_t)n);
    }
    OPENSSL_free(der);
    return n > 0 && !tls->peer_chain.has_failed;
}

/* Leaf first. A listener with authorities has let nobody through whose chain does not lead to one. */
static bool keep_peer_certs(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    X509 *leaf = SSL_get0_peer_certificate(tls->pipe.ssl);
    STACK_OF(X509) *more = SSL_get_peer_cert_chain(tls->pipe.ssl);
    if (leaf == NULL || (!conn->listener->asks_certs && SSL_get_verify_result(tls->pipe.ssl) != X509_V_OK)) {
        return true;
    }
    bool is_kept = keep_cert(tls, leaf);
    for (int i = 0; is_kept && i < sk_X509_num(more); i++) {
        is_kept = keep_cert(tls, sk_X509_value(more, i));
    }
    size_t at = 0;
    for (size_t i = 0; i < tls->n_peer_certs; i++) {
        tls->peer_certs[i].ptr = tls->peer_chain.ptr + at;
        at += tls->peer_certs[i].len;
    }
    return is_kept;
}

static void handshake_done(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    (void)SSL_clear_mode(tls->pipe.ssl, SSL_MODE_ASYNC);
    if (!keep_peer_certs(conn)) {
        conn_kill(conn);
        return;
    }
    const unsigned char *protocol = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(tls->pipe.ssl, &protocol, &n);
    conn->state = CONN_HEAD;
    conn->id = 0;
    conn_deadline(conn, conn->loop->front->config.header_deadline_ns);
    if (mln_bytes_is(mln_bytes_at(protocol, n), "h2") && !h2_begin(conn)) {
        conn_kill(conn);
    }
}

static void ask_core(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    struct loop *loop = conn->loop;
    const struct mln_value *message = NULL;
    struct mln_bytes input = mln_bytes_at(tls->pipe.input, tls->pipe.input_len);
    uint64_t id = loop_id(loop, conn);
    struct mln_value *none = tls->wants_cert ? mln_object(&loop->cx) : NULL;
    struct mln_err err = MLN_OK;
    message = none;
    if (none == NULL) {
        err = mln_tls_sign_message(&loop->cx, input, tls->pipe.how, tls->key, &message);
    }
    if (mln_failed(err) || mln_failed(loop_send(loop, id, tls->wants_cert ? MLN_WIRE_CERT : MLN_WIRE_SIGN, message))) {
        conn_kill(conn);
        return;
    }
    conn->id = id;
    tls->pipe.step = MLN_TLS_STEP_ASKED;
}

/* The signature of who answers here, at once. */
static void ask_here(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    struct loop *loop = conn->loop;
    const struct mln_front_local *local = &loop->front->config.local;
    const struct mln_value *message = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {.max = MLN_TLS_SIGNATURE_MAX};
    struct mln_bytes input = mln_bytes_at(tls->pipe.input, tls->pipe.input_len);
    struct mln_err err = mln_tls_sign_message(&loop->cx, input, tls->pipe.how, conn->listener->key, &message);
    err = mln_failed(err) ? err : local->sign(local->sign_arg, loop->index, &loop->cx, message, &sig);
    tls->pipe.step = MLN_TLS_STEP_ASKED;
    mln_tls_pipe_signed(&tls->pipe, mln_failed(err) || sig.has_failed ? MLN_BYTES_NONE : mln_buf_bytes(&sig));
    loop_clean(loop);
}

/* One step; true when the handshake may go on at once. */
static bool handshake_step(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    int r = mln_tls_pipe_handshake(&tls->pipe);
    if (r == 1) {
        handshake_done(conn);
        return false;
    }
    switch (SSL_get_error(tls->pipe.ssl, r)) {
    case SSL_ERROR_WANT_READ: {
        ssize_t n = fill(conn);
        if (n == 0 || n == -2) {
            conn_kill(conn);
        }
        return n > 0;
    }
    case SSL_ERROR_WANT_ASYNC:
        if (tls->pipe.step == MLN_TLS_STEP_WANTED && conn->loop->front->config.local.sign != NULL) {
            ask_here(conn);
            return true;
        }
        if (tls->pipe.step == MLN_TLS_STEP_WANTED) {
            ask_core(conn);
        }
        return false;
    case SSL_ERROR_WANT_ASYNC_JOB:
        loop_waiting(conn->loop, conn);
        return false;
    default:
        (void)tls_flush(conn); /* the alert */
        conn_kill(conn);
        return false;
    }
}

void tls_handshake(struct conn *conn)
{
    if (conn->tls->pipe.step == MLN_TLS_STEP_ASKED) {
        (void)tls_flush(conn);
        return;
    }
    while (conn->state == CONN_HANDSHAKE && handshake_step(conn)) {
    }
    if (conn->state != CONN_DEAD) {
        keep_left(conn);
        (void)tls_flush(conn);
    }
}

static bool take_chain(struct tls_conn *tls, const struct mln_value *value)
{
    struct mln_bytes chain = mln_get_bytes(mln_get(value, "chain"));
    tls->key = mln_get_int(mln_get(value, "key"), -1);
    mln_buf_clear(&tls->own_chain);
    mln_buf_add_bytes(&tls->own_chain, chain);
    return chain.len > 0 && !tls->own_chain.has_failed && tls->key >= 0;
}

void tls_signed(struct conn *conn, const struct mln_value *value)
{
    struct tls_conn *tls = conn->tls;
    if (tls == NULL || tls->pipe.step != MLN_TLS_STEP_ASKED) {
        return;
    }
    if (tls->wants_cert) {
        tls->pipe.step = take_chain(tls, value) ? MLN_TLS_STEP_DONE : MLN_TLS_STEP_REFUSED;
        conn->id = 0;
        conn_go(conn);
        return;
    }
    mln_tls_pipe_signed(&tls->pipe, mln_get_bytes(mln_get(value, "sig")));
    conn->id = 0;
    conn_go(conn);
}

/* ---- plaintext ---- */

ssize_t tls_read(struct conn *conn, uint8_t *to, size_t n)
{
    struct tls_conn *tls = conn->tls;
    ssize_t result = -1;
    for (;;) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(tls->pipe.ssl, to, n, &got) == 1) {
            result = (ssize_t)got;
            break;
        }
        int error = SSL_get_error(tls->pipe.ssl, 0);
        if (error != SSL_ERROR_WANT_READ) {
            result = error == SSL_ERROR_ZERO_RETURN ? 0 : -2;
            break;
        }
        ssize_t filled = fill(conn);
        if (filled <= 0) {
            result = filled;
            break;
        }
    }
    keep_left(conn);
    if (conn->state != CONN_DEAD && tls->pipe.out.len > 0) {
        (void)tls_flush(conn); /* a key update answered */
    }
    return conn->state == CONN_DEAD ? -1 : result;
}

ssize_t tls_write(struct conn *conn, const uint8_t *from, size_t n)
{
    struct tls_conn *tls = conn->tls;
    if (tls->pipe.out.len - tls->pipe.out_at >= CIPHER_OUT_MAX && !tls_flush(conn)) {
        return -1;
    }
    size_t sent = 0;
    ERR_clear_error();
    return SSL_write_ex(tls->pipe.ssl, from, n, &sent) == 1 ? (ssize_t)sent : -2;
}

void tls_close(struct conn *conn)
{
    if (conn->state == CONN_HANDSHAKE || conn->state == CONN_DEAD) {
        return;
    }
    ERR_clear_error();
    (void)SSL_shutdown(conn->tls->pipe.ssl);
    (void)tls_flush(conn);
}
