/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of the Workload API as TLS contexts. Only TLS 1.3: a client's signature of 1.2 covers the handshake's whole text, which the
 * keeper could not judge, and 1.2 shows certificates to everybody on the way. No sessions are resumed: each connection proves anew who
 * it is.
 */
#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/cbor.h"
#include "proxy/relay_priv.h"

#define CERT_LIST_BYTES (64u << 10) /* of one peer */

static X509 *cert_of(const struct mln_tls_lib *lib, struct mln_bytes der)
{
    X509 *cert = X509_new_ex(lib->lib, "?provider=default");
    const unsigned char *at = der.ptr;
    if (cert != NULL && (der.len == 0 || der.len > INT32_MAX || d2i_X509(&cert, &at, (long)der.len) == NULL)) {
        X509_free(cert);
        cert = NULL;
    }
    ERR_clear_error();
    return cert;
}

static bool set_options(SSL_CTX *ctx)
{
    static const unsigned char session[] = "merlon-proxy";
    char groups[] = "X25519:P-256:P-384"; /* the macros take no const */
    char sigs[] = "ECDSA+SHA256:ECDSA+SHA384:rsa_pss_rsae_sha256:ed25519:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512";
    (void)SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ASYNC | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                    SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(ctx, session, sizeof(session) - 1);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, CERT_LIST_BYTES);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, identity_verify, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set1_groups_list(ctx, groups) == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, sigs) == 1;
}

static struct mln_err use_certs(struct mln_cx *cx, const struct relay *relay, const struct mln_value *certs, SSL_CTX *ctx)
{
    EVP_PKEY *key = NULL;
    X509 *leaf = cert_of(&relay->tls, mln_get_bytes(mln_item(certs, 0)));
    if (leaf == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "the snapshot has no certificate");
    }
    struct mln_err err = mln_tls_lib_key(cx, &relay->tls, leaf, &key);
    if (!mln_failed(err) && (SSL_CTX_use_certificate(ctx, leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) {
        err = mln_fail(cx, MLN_E_INVALID, "the snapshot's certificate cannot be used");
    }
    EVP_PKEY_free(key);
    X509_free(leaf);
    for (size_t i = 1; i < mln_len(certs) && !mln_failed(err); i++) {
        X509 *more = cert_of(&relay->tls, mln_get_bytes(mln_item(certs, i)));
        if (more == NULL || SSL_CTX_add0_chain_cert(ctx, more) != 1) {
            X509_free(more);
            err = mln_fail(cx, MLN_E_INVALID, "a certificate of the snapshot's chain cannot be used");
        }
    }
    return err;
}

static struct mln_err make_contexts(struct mln_cx *cx, struct relay *relay, const struct mln_value *certs, struct identity *identity)
{
    for (int side = MLN_PROXY_SERVER; side <= MLN_PROXY_CLIENT; side++) {
        const SSL_METHOD *method = side == MLN_PROXY_SERVER ? TLS_server_method() : TLS_client_method();
        SSL_CTX *ctx = SSL_CTX_new_ex(relay->tls.lib, "?provider=default", method);
        identity->contexts[side] = ctx;
        if (ctx == NULL || !set_options(ctx)) {
            return mln_fail(cx, MLN_E_CRYPTO, "a TLS context cannot be made");
        }
        SSL_CTX_set_app_data(ctx, relay);
        MLN_TRY(use_certs(cx, relay, certs, ctx));
    }
    SSL_CTX_set_alpn_select_cb(identity->contexts[MLN_PROXY_SERVER], identity_alpn, NULL);
    return MLN_OK;
}

static struct mln_err take_bundles(struct mln_cx *cx, const struct mln_value *list, struct identity *identity)
{
    identity->n_bundles = mln_len(list);
    identity->bundles = mln_new_array(cx, identity->n_bundles, sizeof(*identity->bundles));
    MLN_TRY(mln_cx_err(cx));
    if (identity->n_bundles > MLN_PROXY_DOMAINS_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the snapshot has more than %u bundles", MLN_PROXY_DOMAINS_MAX);
    }
    for (size_t i = 0; i < identity->n_bundles; i++) {
        const struct mln_value *one = mln_item(list, i), *roots = mln_get(one, "roots");
        struct mln_bytes *der = mln_new_array(cx, mln_len(roots), sizeof(*der));
        MLN_TRY(mln_cx_err(cx));
        if (mln_len(roots) > MLN_PROXY_ROOTS_MAX || !mln_spiffe_domain_ok(mln_get_bytes(mln_get(one, "domain")))) {
            return mln_fail(cx, MLN_E_INVALID, "a bundle of the snapshot cannot be used");
        }
        for (size_t k = 0; k < mln_len(roots); k++) {
            der[k] = mln_get_bytes(mln_item(roots, k));
        }
        identity->bundles[i] =
            (struct mln_proxy_bundle){.domain = mln_get_bytes(mln_get(one, "domain")), .roots = der, .n = mln_len(roots)};
    }
    return MLN_OK;
}

static struct mln_err fill(struct mln_cx *cx, struct relay *relay, struct mln_bytes bytes, struct identity *identity)
{
    const struct mln_value *all = NULL;
    struct mln_bytes kept = mln_bytes_dup(cx, bytes);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_cbor_parse(cx, kept, &all));
    identity->key = mln_get_int(mln_get(all, "key"), -1);
    identity->id = mln_get_text(cx, mln_get(all, "spiffe_id"), "");
    identity->serial = mln_get_text(cx, mln_get(all, "serial"), "");
    identity->not_after_s = mln_get_int(mln_get(all, "not_after"), 0);
    MLN_TRY(take_bundles(cx, mln_get(all, "bundles"), identity));
    MLN_TRY(make_contexts(cx, relay, mln_get(all, "certs"), identity));
    return mln_cx_err(cx);
}

struct mln_err identity_make(struct mln_cx *cx, struct relay *relay, struct mln_bytes bytes, struct identity **ret)
{
    struct identity *identity = mln_alloc(sizeof(*identity));
    struct mln_cx own;
    if (identity == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    atomic_init(&identity->refs, 1);
    identity->arena = mln_arena_new(4 * bytes.len + (1u << 20), false);
    mln_cx_init(&own, identity->arena);
    identity->seen = seen_new();
    bool has_memory = identity->arena != NULL && identity->seen != NULL;
    struct mln_err err = has_memory ? fill(&own, relay, bytes, identity) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        identity_drop(identity);
        return mln_fail(cx, (enum mln_code)err.code, "%s", own.text);
    }
    *ret = identity;
    return MLN_OK;
}

void identity_drop(struct identity *identity)
{
    if (identity == NULL || atomic_fetch_sub(&identity->refs, 1) != 1) {
        return;
    }
    SSL_CTX_free(identity->contexts[MLN_PROXY_SERVER]);
    SSL_CTX_free(identity->contexts[MLN_PROXY_CLIENT]);
    seen_free(identity->seen);
    mln_arena_free(identity->arena);
    mln_free(identity);
}

struct identity *identity_now(struct relay *relay)
{
    (void)pthread_mutex_lock(&relay->lock);
    struct identity *identity = relay->identity;
    if (identity != NULL) {
        atomic_fetch_add(&identity->refs, 1);
    }
    (void)pthread_mutex_unlock(&relay->lock);
    return identity;
}

void identity_set(struct relay *relay, struct identity *identity)
{
    (void)pthread_mutex_lock(&relay->lock);
    struct identity *old = relay->identity;
    relay->identity = identity;
    (void)pthread_mutex_unlock(&relay->lock);
    identity_drop(old);
}
