/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS over buffers: OpenSSL reads from what the loop received and writes to a buffer that the loop
 * sends, so that it never touches a descriptor. Server signatures come from core: the handshake
 * runs as an async job that pauses until the answer is there. A job that still waits when its
 * connection dies is resumed once more, to fail, before anything is freed.
 */
#include <errno.h>
#include <openssl/async.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/cbor.h"
#include "net/front_priv.h"
#include "net/tls_sign.h"

#define CIPHER_OUT_MAX     (64u << 10) /* then the socket must take some first */
#define CLIENT_CERTS_MAX   8 /* of one client: a leaf and what leads to its authority */
#define OWN_CHAIN_BYTES    (32u << 10) /* an SVID and what leads to its trust domain's authority */

enum sign_step { SIGN_NONE, SIGN_WANTED, SIGN_ASKED, SIGN_DONE, SIGN_REFUSED };

struct tls_conn {
    SSL *ssl;
    const uint8_t *in; /* ciphertext not yet taken by OpenSSL */
    size_t in_len;
    struct mln_buf in_left; /* the same, kept from an earlier turn */
    struct mln_buf out;     /* ciphertext not yet sent */
    size_t out_at;
    struct mln_buf peer_chain; /* DER after DER */
    struct mln_bytes peer_certs[CLIENT_CERTS_MAX];
    size_t n_peer_certs;
    struct mln_buf own_chain; /* of an SVID: DER after DER, as core gave it for this handshake */
    int64_t key;              /* core's number of the key to sign with */
    bool wants_cert;          /* what core is asked for is the certificate, not the signature */
    enum sign_step step;
    enum mln_tls_how how;
    size_t input_len, sig_len;
    uint8_t input[MLN_TLS_SIGN_INPUT_MAX];
    uint8_t sig[TLS_SIGNATURE_BYTES_MAX];
};

static _Thread_local struct tls_conn *current; /* whose handshake runs on this thread */

/* ---- the buffers as a BIO ---- */

static int bio_read(BIO *bio, char *to, size_t n, size_t *ret_n)
{
    struct tls_conn *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    n = n < tls->in_len ? n : tls->in_len;
    mln_copy(to, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    *ret_n = n;
    return 1;
}

static int bio_write(BIO *bio, const char *from, size_t n, size_t *ret_n)
{
    struct tls_conn *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    mln_buf_add(&tls->out, from, n);
    *ret_n = n;
    return !tls->out.has_failed;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "merlon");
    if (method == NULL || BIO_meth_set_read_ex(method, bio_read) != 1 ||
        BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* ---- what core does for a handshake ---- */

/* Runs inside the async job of a handshake: ask core and wait. */
int tls_ask_sign(enum mln_tls_how how, const unsigned char *input, size_t n, unsigned char *sig, size_t *sig_len,
                 size_t sig_max)
{
    struct tls_conn *tls = current;
    if (tls == NULL || tls->step != SIGN_NONE || n > sizeof(tls->input) ||
        ASYNC_get_current_job() == NULL) {
        return 0;
    }
    mln_copy(tls->input, input, n);
    tls->input_len = n;
    tls->how = how;
    tls->step = SIGN_WANTED;
    if (ASYNC_pause_job() != 1 || tls->step != SIGN_DONE || tls->sig_len > sig_max) {
        return 0;
    }
    mln_copy(sig, tls->sig, tls->sig_len);
    *sig_len = tls->sig_len;
    return 1;
}

/* The certificate callback of listeners that show an SVID: the one of now, and which key core signs with for it. In the job too. */
int tls_ask_cert(SSL *ssl, void *arg)
{
    struct front *front = arg;
    struct tls_conn *tls = current;
    if (tls == NULL || tls->step != SIGN_NONE || ASYNC_get_current_job() == NULL) {
        return 0;
    }
    tls->wants_cert = true;
    tls->step = SIGN_WANTED;
    if (ASYNC_pause_job() != 1 || tls->step != SIGN_DONE) {
        return 0;
    }
    tls->step = SIGN_NONE;
    tls->wants_cert = false;
    return tls_use_chain(front, ssl, mln_buf_bytes(&tls->own_chain));
}

bool tls_thread_begin(void)
{
    return ASYNC_init_thread(FRONT_JOBS_MAX, 0) == 1;
}

void tls_thread_end(void)
{
    ASYNC_cleanup_thread();
    OPENSSL_thread_stop();
}

/* ---- life of a connection ---- */

struct tls_conn *tls_conn_new(struct conn *conn, SSL_CTX *ctx)
{
    struct tls_conn *tls = mln_alloc(sizeof(*tls));
    BIO *bio = tls != NULL ? BIO_new(conn->loop->front->tls_bio) : NULL;
    if (bio == NULL) {
        mln_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    tls->key = conn->listener->key;
    tls->own_chain.max = OWN_CHAIN_BYTES;
    tls->ssl = SSL_new(ctx);
    if (tls->ssl == NULL) {
        BIO_free(bio);
        mln_free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_conn_free(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    if (tls == NULL) {
        return;
    }
    if (tls->step == SIGN_WANTED || tls->step == SIGN_ASKED) {
        tls->step = SIGN_REFUSED;
        current = tls;
        (void)SSL_do_handshake(tls->ssl); /* the job ends */
        current = NULL;
    }
    SSL_free(tls->ssl);
    ERR_clear_error();
    mln_buf_drop(&tls->in_left);
    mln_buf_drop(&tls->out);
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
    tls->in = conn->loop->cipher;
    tls->in_len = (size_t)n;
    return n;
}

/* The scratch belongs to all connections: keep what OpenSSL did not take. */
static void keep_left(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    if (tls->in_len == 0) {
        mln_buf_drop(&tls->in_left);
        tls->in = NULL;
    } else if (tls->in_left.len == 0) {
        mln_buf_add(&tls->in_left, tls->in, tls->in_len);
        tls->in = tls->in_left.ptr;
        if (tls->in_left.has_failed) {
            conn_kill(conn);
        }
    }
}

bool tls_flush(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    while (tls->out_at < tls->out.len) {
        ssize_t n = conn->can_write ? send(conn->fd, tls->out.ptr + tls->out_at,
                                           tls->out.len - tls->out_at, MSG_NOSIGNAL)
                                    : -1;
        if (n < 0 && conn->can_write && errno != EAGAIN && errno != EINTR) {
            conn_kill(conn);
            return false;
        }
        if (n < 0) {
            conn->can_write = false;
            return false;
        }
        tls->out_at += (size_t)n;
    }
    tls->out_at = 0;
    tls->out.len = 0;
    if (tls->out.cap > FRONT_SPARE_BYTES_MAX) {
        mln_buf_drop(&tls->out);
    }
    return true;
}

bool tls_has_pending(const struct conn *conn)
{
    return conn->tls->in_len > 0 || SSL_pending(conn->tls->ssl) > 0;
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
    X509 *leaf = SSL_get0_peer_certificate(tls->ssl);
    STACK_OF(X509) *more = SSL_get_peer_cert_chain(tls->ssl);
    if (leaf == NULL || (!conn->listener->asks_certs && SSL_get_verify_result(tls->ssl) != X509_V_OK)) {
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
    (void)SSL_clear_mode(tls->ssl, SSL_MODE_ASYNC);
    if (!keep_peer_certs(conn)) {
        conn_kill(conn);
        return;
    }
    const unsigned char *protocol = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(tls->ssl, &protocol, &n);
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
    struct mln_bytes input = mln_bytes_at(tls->input, tls->input_len);
    uint64_t id = loop_id(loop, conn);
    struct mln_value *none = tls->wants_cert ? mln_object(&loop->cx) : NULL;
    struct mln_err err = MLN_OK;
    message = none;
    if (none == NULL) {
        err = mln_tls_sign_message(&loop->cx, input, tls->how, tls->key, &message);
    }
    if (mln_failed(err) || mln_failed(loop_send(loop, id, tls->wants_cert ? MLN_WIRE_CERT : MLN_WIRE_SIGN, message))) {
        conn_kill(conn);
        return;
    }
    conn->id = id;
    tls->step = SIGN_ASKED;
}

/* One step; true when the handshake may go on at once. */
static bool handshake_step(struct conn *conn)
{
    struct tls_conn *tls = conn->tls;
    ERR_clear_error();
    current = tls;
    int r = SSL_do_handshake(tls->ssl);
    current = NULL;
    if (r == 1) {
        handshake_done(conn);
        return false;
    }
    switch (SSL_get_error(tls->ssl, r)) {
    case SSL_ERROR_WANT_READ: {
        ssize_t n = fill(conn);
        if (n == 0 || n == -2) {
            conn_kill(conn);
        }
        return n > 0;
    }
    case SSL_ERROR_WANT_ASYNC:
        if (tls->step == SIGN_WANTED) {
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
    if (conn->tls->step == SIGN_ASKED) {
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
    if (tls == NULL || tls->step != SIGN_ASKED) {
        return;
    }
    if (tls->wants_cert) {
        tls->step = take_chain(tls, value) ? SIGN_DONE : SIGN_REFUSED;
        conn->id = 0;
        conn_go(conn);
        return;
    }
    struct mln_bytes sig = mln_get_bytes(mln_get(value, "sig"));
    bool is_good = sig.len > 0 && sig.len <= sizeof(tls->sig);
    if (is_good) {
        mln_copy(tls->sig, sig.ptr, sig.len);
        tls->sig_len = sig.len;
    }
    tls->step = is_good ? SIGN_DONE : SIGN_REFUSED;
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
        if (SSL_read_ex(tls->ssl, to, n, &got) == 1) {
            result = (ssize_t)got;
            break;
        }
        int error = SSL_get_error(tls->ssl, 0);
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
    if (conn->state != CONN_DEAD && tls->out.len > 0) {
        (void)tls_flush(conn); /* a key update answered */
    }
    return conn->state == CONN_DEAD ? -1 : result;
}

ssize_t tls_write(struct conn *conn, const uint8_t *from, size_t n)
{
    struct tls_conn *tls = conn->tls;
    if (tls->out.len - tls->out_at >= CIPHER_OUT_MAX && !tls_flush(conn)) {
        return -1;
    }
    size_t sent = 0;
    ERR_clear_error();
    return SSL_write_ex(tls->ssl, from, n, &sent) == 1 ? (ssize_t)sent : -2;
}

void tls_close(struct conn *conn)
{
    if (conn->state == CONN_HANDSHAKE || conn->state == CONN_DEAD) {
        return;
    }
    ERR_clear_error();
    (void)SSL_shutdown(conn->tls->ssl);
    (void)tls_flush(conn);
}
