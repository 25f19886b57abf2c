/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire side: handshakes whose signatures the keeper makes, the verification of peers inside them, and the bytes afterwards. A peer
 * that is refused hears it as an alert. A server judges its client before that client has proved to hold the key: records say whether.
 */
#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "proxy/relay_priv.h"

#define SECOND_NS ((int64_t)1000000000)

static struct conn *conn_of(SSL *ssl)
{
    const struct relay *relay = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return SSL_get_ex_data(ssl, relay->ssl_index);
}

/* ---- the peer ---- */

static size_t read_certs(struct mln_cx *cx, X509_STORE_CTX *store, struct mln_bytes certs[PEER_CERTS_MAX])
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    size_t n = 0;
    for (int i = -1; leaf != NULL && i < sk_X509_num(sent) && n < PEER_CERTS_MAX; i++) {
        X509 *cert = i < 0 ? leaf : sk_X509_value(sent, i);
        if (i >= 0 && X509_cmp(cert, leaf) == 0) {
            continue;
        }
        int len = i2d_X509(cert, NULL);
        unsigned char *der = len > 0 ? mln_new(cx, (size_t)len) : NULL, *end = der;
        if (der == NULL || i2d_X509(cert, &end) != len) {
            return 0;
        }
        certs[n++] = mln_bytes_at(der, (size_t)len);
    }
    return n;
}

static int alert_of(enum mln_proxy_reason reason)
{
    return reason == MLN_PROXY_UNKNOWN_DOMAIN || reason == MLN_PROXY_UNTRUSTED ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
                                                                               : X509_V_ERR_CERT_REJECTED;
}

/* As mln_proxy_verify, but a chain that was trusted before under these bundles is not read again. */
static struct mln_err judge(struct conn *conn, const struct mln_bytes *certs, size_t n, const struct mln_proxy_rules *rules,
                            struct mln_spiffe_id *ret)
{
    struct mln_cx *cx = &conn->worker->cx;
    const struct identity *own = conn->identity;
    enum mln_proxy_reason *why = &conn->reason;
    *ret = (struct mln_spiffe_id){0};
    uint8_t digest[MLN_SHA256_BYTES];
    seen_digest(rules->side, certs, n, digest);
    if (n == 0 || !seen_find(cx, own->seen, digest, rules->now_s, ret)) {
        MLN_TRY(mln_proxy_trust(cx, certs, n, rules, ret, why));
        struct seen_trusted trusted = {
            .id = ret->text, .bundle = mln_proxy_bundle_of(rules, ret->domain), .now_s = rules->now_s};
        seen_keep(cx, own->seen, digest, certs, n, &trusted);
    }
    return mln_proxy_allow(cx, rules, ret, why);
}

int identity_verify(X509_STORE_CTX *store, void *arg)
{
    struct conn *conn = conn_of(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    struct mln_cx *cx = &conn->worker->cx;
    struct mln_bytes certs[PEER_CERTS_MAX];
    struct mln_spiffe_id id;
    const struct identity *own = conn->identity;
    struct mln_proxy_rules rules = {.bundles = own->bundles,
                                    .n_bundles = own->n_bundles,
                                    .allow = conn->listener->allow,
                                    .n_allow = conn->listener->n_allow,
                                    .side = conn->listener->side,
                                    .now_s = mln_now_ns() / SECOND_NS};
    (void)arg;
    size_t n = read_certs(cx, store, certs);
    struct mln_err err = judge(conn, certs, n, &rules, &id);
    conn->is_refused = mln_failed(err);
    mln_free(conn->peer_id);
    conn->peer_id = id.text.len > 0 ? mln_alloc(id.text.len + 1) : NULL;
    if (conn->peer_id != NULL) {
        mln_copy(conn->peer_id, id.text.ptr, id.text.len);
    }
    if (conn->is_refused) {
        mln_free(conn->detail);
        conn->detail = mln_strdup(cx->text);
        X509_STORE_CTX_set_error(store, alert_of(conn->reason));
    }
    mln_cx_clear(cx);
    mln_arena_reset(conn->worker->arena);
    return !conn->is_refused;
}

int identity_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
    const struct conn *conn = conn_of(ssl);
    struct mln_bytes ours = conn->listener->alpn;
    unsigned char *picked = NULL;
    (void)arg;
    if (ours.len == 0) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (SSL_select_next_proto(&picked, out_n, ours.ptr, (unsigned)ours.len, in, in_n) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- bytes ---- */

/* Ciphertext into the worker's scratch: n > 0, 0 = the end, -1 not now, -2 broken. */
static ssize_t fill(struct conn *conn)
{
    struct end *wire = &conn->wire;
    if (!wire->can_read) {
        return -1;
    }
    ssize_t n = recv(wire->fd, conn->worker->cipher, CIPHER_BYTES, 0);
    if (n < 0) {
        wire->can_read = errno == EINTR;
        return errno == EAGAIN || errno == EINTR ? -1 : -2;
    }
    conn->pipe.in = conn->worker->cipher;
    conn->pipe.in_len = (size_t)n;
    return n;
}

static void keep(struct conn *conn)
{
    if (conn->state != CONN_DEAD && !mln_tls_pipe_keep(&conn->pipe)) {
        relay_kill(conn, MLN_PROXY_MEMORY, NULL);
    }
}

bool wire_flush(struct conn *conn)
{
    struct mln_tls_pipe *pipe = &conn->pipe;
    while (pipe->out_at < pipe->out.len) {
        ssize_t n = conn->wire.can_write ? send(conn->wire.fd, pipe->out.ptr + pipe->out_at, pipe->out.len - pipe->out_at, MSG_NOSIGNAL)
                                         : -1;
        if (n < 0 && conn->wire.can_write && errno != EAGAIN && errno != EINTR) {
            relay_kill(conn, MLN_PROXY_CUT, "sending to the peer failed");
            return false;
        }
        if (n < 0) {
            conn->wire.can_write = false;
            return false;
        }
        pipe->out_at += (size_t)n;
    }
    mln_tls_pipe_sent(pipe);
    return true;
}

/* What OpenSSL has against the peer, or the peer's alert against us. */
static void kill_by_error(struct conn *conn)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_reason_error_string(code);
    int reason = ERR_GET_REASON(code);
    bool is_alert = ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET;
    bool has_none = ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    if (conn->is_refused) {
        relay_kill(conn, conn->reason, conn->detail);
    } else if (conn->pipe.step == MLN_TLS_STEP_REFUSED) {
        relay_kill(conn, MLN_PROXY_NO_KEY, "the keeper did not sign");
    } else {
        relay_kill(conn, has_none ? MLN_PROXY_NO_CERTIFICATE : is_alert ? MLN_PROXY_REFUSED_US : MLN_PROXY_TLS, text);
    }
    ERR_clear_error();
}

ssize_t wire_read(struct conn *conn, uint8_t *to, size_t n)
{
    for (;;) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(conn->pipe.ssl, to, n, &got) == 1) {
            return (ssize_t)got;
        }
        int error = SSL_get_error(conn->pipe.ssl, 0);
        if (error == SSL_ERROR_ZERO_RETURN) {
            return 0;
        }
        if (error != SSL_ERROR_WANT_READ) {
            kill_by_error(conn);
            return -2;
        }
        if (conn->pipe.out.len - conn->pipe.out_at >= STALL_MAX) { /* answers to key updates that nobody takes */
            return -1;
        }
        ssize_t filled = fill(conn);
        if (filled == 0 || filled == -2) {
            relay_kill(conn, MLN_PROXY_CUT, filled == 0 ? "the peer closed without saying so" : "the connection broke");
            return -2;
        }
        if (filled < 0) {
            return -1;
        }
    }
}

/* ---- the handshake ---- */

bool shake_begin(struct conn *conn)
{
    struct relay *relay = conn->worker->relay;
    struct mln_bytes alpn = conn->listener->alpn;
    bool is_client = conn->listener->side == MLN_PROXY_CLIENT;
    conn->identity = identity_now(relay);
    if (conn->identity == NULL) {
        relay_kill(conn, MLN_PROXY_NO_KEY, "this proxy has no identity now");
        return false;
    }
    conn->is_piped = mln_tls_pipe_open(&conn->pipe, &relay->tls, conn->identity->contexts[conn->listener->side]);
    if (!conn->is_piped || SSL_set_ex_data(conn->pipe.ssl, relay->ssl_index, conn) != 1 ||
        (is_client && alpn.len > 0 && SSL_set_alpn_protos(conn->pipe.ssl, alpn.ptr, (unsigned)alpn.len) != 0)) {
        relay_kill(conn, MLN_PROXY_MEMORY, NULL);
        return false;
    }
    if (is_client) {
        SSL_set_connect_state(conn->pipe.ssl);
    } else {
        SSL_set_accept_state(conn->pipe.ssl);
    }
    conn->state = CONN_SHAKE;
    atomic_fetch_add(&relay->config->counters->shaking, 1);
    queue_put(&conn->worker->shaking, conn);
    return true;
}

/* Ask the keeper; false when that must wait. */
static bool ask(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct mln_proxy_message message = {.kind = MLN_PROXY_SIGN, .conn = conn->number};
    struct mln_buf text = {.max = sizeof(message.bytes)};
    const struct mln_value *value = NULL;
    struct mln_bytes input = mln_bytes_at(conn->pipe.input, conn->pipe.input_len);
    if (worker->n_asked >= SIGNS_MAX) {
        return false;
    }
    struct mln_err err = mln_tls_sign_message_of(&worker->cx, input, conn->pipe.how, conn->identity->key,
                                                 MLN_TLS_SERVER | MLN_TLS_CLIENT, &value);
    if (!mln_failed(err)) {
        mln_cbor_print(&text, value);
        message.n = (uint32_t)text.len;
        mln_copy(message.bytes, text.ptr, text.len);
        err = mln_proxy_send(&worker->cx, worker->sign_fd, &message, NULL, 0, true);
    }
    mln_buf_drop(&text);
    mln_cx_clear(&worker->cx);
    mln_arena_reset(worker->arena);
    if (mln_failed(err) && !mln_is(err, MLN_E_LIMIT)) {
        relay_kill(conn, MLN_PROXY_NO_KEY, "the keeper is not there");
        return true;
    }
    if (!mln_failed(err)) {
        conn->pipe.step = MLN_TLS_STEP_ASKED;
        worker->n_asked++;
    }
    return !mln_failed(err);
}

static void shaken(struct conn *conn)
{
    (void)SSL_clear_mode(conn->pipe.ssl, SSL_MODE_ASYNC);
    conn->is_proved = true;
    relay_shaken(conn);
}

/* One step; true when the handshake may go on at once. */
static bool step(struct conn *conn)
{
    if (conn->pipe.step == MLN_TLS_STEP_WANTED || conn->pipe.step == MLN_TLS_STEP_ASKED) {
        if (conn->pipe.step == MLN_TLS_STEP_WANTED && !ask(conn)) {
            worker_waiting(conn->worker, conn);
        }
        return false;
    }
    int r = mln_tls_pipe_handshake(&conn->pipe);
    if (r == 1) {
        shaken(conn);
        return false;
    }
    switch (SSL_get_error(conn->pipe.ssl, r)) {
    case SSL_ERROR_WANT_READ: {
        ssize_t n = fill(conn);
        if (n == 0 || n == -2) {
            relay_kill(conn, MLN_PROXY_TLS, "the peer closed in the middle of the handshake");
        }
        return n > 0;
    }
    case SSL_ERROR_WANT_ASYNC:
        return conn->pipe.step == MLN_TLS_STEP_WANTED;
    case SSL_ERROR_WANT_ASYNC_JOB:
        worker_waiting(conn->worker, conn);
        return false;
    default:
        (void)wire_flush(conn); /* the alert */
        if (conn->state != CONN_DEAD) {
            kill_by_error(conn);
        }
        return false;
    }
}

void shake_go(struct conn *conn)
{
    while (conn->state == CONN_SHAKE && step(conn)) {
    }
    keep(conn);
    if (conn->state != CONN_DEAD && conn->is_piped) {
        (void)wire_flush(conn);
    }
}

void shake_signed(struct conn *conn, struct mln_bytes sig)
{
    if (conn->state == CONN_SHAKE && conn->pipe.step == MLN_TLS_STEP_ASKED) {
        mln_tls_pipe_signed(&conn->pipe, sig);
        relay_go(conn);
    }
}
