/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of TLS listeners: certificates, what clients are asked for, protocols. Handshakes and bytes are tls.c. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "net/front_priv.h"

#define CLIENT_CERTS_DEPTH 4
#define CLIENT_CERTS_BYTES (32u << 10) /* together, as TLS carries them */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *picked = NULL;
    if (SSL_select_next_proto(&picked, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

static X509 *next_cert(OSSL_LIB_CTX *lib, BIO *pem)
{
    X509 *cert = X509_new_ex(lib, "?provider=default");
    if (cert != NULL && PEM_read_bio_X509(pem, &cert, NULL, NULL) == NULL) {
        X509_free(cert);
        cert = NULL;
    }
    ERR_clear_error();
    return cert;
}

static struct mln_err use_leaf(struct mln_cx *cx, SSL_CTX *ctx, const struct mln_tls_lib *lib, BIO *pem)
{
    X509 *leaf = next_cert(lib->lib, pem);
    if (leaf == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "tls: the listener has no certificate in PEM");
    }
    EVP_PKEY *key = NULL;
    struct mln_err err = mln_tls_lib_key(cx, lib, leaf, &key);
    if (!mln_failed(err) &&
        (SSL_CTX_use_certificate(ctx, leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) {
        err = mln_fail(cx, MLN_E_INVALID, "tls: the listener's certificate cannot be used");
    }
    EVP_PKEY_free(key);
    X509_free(leaf);
    return err;
}

static struct mln_err use_chain(struct mln_cx *cx, SSL_CTX *ctx, const struct mln_tls_lib *lib,
                                struct mln_bytes chain)
{
    BIO *pem = BIO_new_mem_buf(chain.ptr, (int)chain.len);
    if (pem == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "tls: out of memory");
    }
    struct mln_err err = use_leaf(cx, ctx, lib, pem);
    X509 *more;
    while (!mln_failed(err) && (more = next_cert(lib->lib, pem)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, more) != 1) {
            X509_free(more);
            err = mln_fail(cx, MLN_E_INVALID, "tls: a certificate of the chain cannot be used");
        }
    }
    BIO_free(pem);
    return err;
}

/* Resumed sessions would carry a certificate that was proved long ago. */
static void no_sessions(SSL_CTX *ctx)
{
    static const unsigned char session_context[] = "merlon";
    (void)SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
    /* A ticket key would let who has it resume as somebody else. */
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CERTS_BYTES);
}

/* Core judges the chain against the authorities of its cert auth methods; TLS has the client prove that it holds the key. */
static int take_any(int is_good, X509_STORE_CTX *store)
{
    (void)is_good;
    (void)store;
    return 1;
}

static void use_any_client(SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, take_any);
    no_sessions(ctx);
}

static struct mln_err use_client_ca(struct mln_cx *cx, SSL_CTX *ctx, OSSL_LIB_CTX *lib,
                                    struct mln_bytes ca)
{
    BIO *pem = BIO_new_mem_buf(ca.ptr, (int)ca.len);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509 *cert;
    size_t n = 0;
    while (pem != NULL && (cert = next_cert(lib, pem)) != NULL) {
        n += X509_STORE_add_cert(store, cert) == 1 && SSL_CTX_add_client_CA(ctx, cert) == 1;
        X509_free(cert);
    }
    BIO_free(pem);
    if (n == 0) {
        return mln_fail(cx, MLN_E_INVALID, "tls: no certificate in the authorities for clients");
    }
    SSL_CTX_set_verify_depth(ctx, CLIENT_CERTS_DEPTH);
    no_sessions(ctx);
    return MLN_OK;
}

static bool set_options(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ASYNC | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    char groups[] = "X25519:P-256"; /* the macros take no const */
    char ours[] = "ECDSA+SHA256:ECDSA+SHA384:rsa_pss_rsae_sha256:RSA+SHA256"; /* what core signs */
    char theirs[] = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"
                    "rsa_pss_rsae_sha512:rsa_pss_pss_sha256:RSA+SHA256:RSA+SHA384:RSA+SHA512";
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx,
                                   "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                                   "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:"
                                   "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305") == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, ours) == 1 &&
           SSL_CTX_set1_client_sigalgs_list(ctx, theirs) == 1 &&
           SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

/* ---- a certificate that is given for one handshake ---- */

static X509 *next_der(OSSL_LIB_CTX *lib, const unsigned char **at, size_t *left)
{
    const unsigned char *from = *at;
    X509 *cert = X509_new_ex(lib, "?provider=default");
    if (cert != NULL && d2i_X509(&cert, at, (long)*left) == NULL) {
        cert = NULL; /* freed */
    }
    *left -= cert != NULL ? (size_t)(*at - from) : 0;
    return cert;
}

static bool use_own_leaf(const struct mln_tls_lib *lib, SSL *ssl, X509 *leaf)
{
    struct mln_cx cx;
    EVP_PKEY *key = NULL;
    mln_cx_init(&cx, NULL);
    bool ok = leaf != NULL && !mln_failed(mln_tls_lib_key(&cx, lib, leaf, &key)) &&
              SSL_use_certificate(ssl, leaf) == 1 && SSL_use_PrivateKey(ssl, key) == 1;
    EVP_PKEY_free(key);
    return ok;
}

int tls_use_chain(struct front *front, SSL *ssl, struct mln_bytes chain)
{
    const unsigned char *at = chain.ptr;
    size_t left = chain.len;
    X509 *leaf = next_der(front->tls_lib.lib, &at, &left);
    bool ok = use_own_leaf(&front->tls_lib, ssl, leaf);
    X509_free(leaf);
    while (ok && left > 0) {
        X509 *more = next_der(front->tls_lib.lib, &at, &left);
        ok = more != NULL && SSL_add0_chain_cert(ssl, more) == 1;
        if (!ok) {
            X509_free(more);
        }
    }
    return ok;
}

static struct mln_err setup_one(struct mln_cx *cx, struct front *front, unsigned i)
{
    const struct mln_front_listener *listener = &front->config.listeners[i];
    SSL_CTX *ctx = SSL_CTX_new_ex(front->tls_lib.lib, "?provider=default", TLS_server_method());
    front->tls[i] = ctx;
    if (ctx == NULL || !set_options(ctx)) {
        return mln_fail(cx, MLN_E_CRYPTO, "tls: a context cannot be made");
    }
    if (listener->shows_svid) { /* a session that is resumed would not see a newer one */
        SSL_CTX_set_cert_cb(ctx, tls_ask_cert, front);
        no_sessions(ctx);
        return MLN_OK;
    }
    MLN_TRY(use_chain(cx, ctx, &front->tls_lib, listener->cert_pem));
    if (listener->client_ca_pem.len > 0) {
        MLN_TRY(use_client_ca(cx, ctx, front->tls_lib.lib, listener->client_ca_pem));
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (listener->needs_certs ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
        return MLN_OK;
    }
    if (listener->asks_certs) {
        use_any_client(ctx);
    }
    return MLN_OK;
}

struct mln_err tls_setup(struct mln_cx *cx, struct front *front)
{
    unsigned n = 0;
    for (unsigned i = 0; i < front->config.n_listeners; i++) {
        n += front->config.listeners[i].is_tls;
    }
    if (n == 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_tls_lib_init(cx, &front->tls_lib));
    for (unsigned i = 0; i < front->config.n_listeners; i++) {
        if (front->config.listeners[i].is_tls) {
            MLN_TRY(setup_one(cx, front, i));
        }
    }
    return MLN_OK;
}

void tls_fini(struct front *front)
{
    for (unsigned i = 0; i < front->config.n_listeners && i < MLN_FRONT_LISTENERS_MAX; i++) {
        SSL_CTX_free(front->tls[i]);
    }
    mln_tls_lib_fini(&front->tls_lib);
}
