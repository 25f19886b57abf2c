/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures as SSH writes them: RFC 8332 (RSA), RFC 5656 (ECDSA), RFC 8709 (Ed25519). RSA with SHA-1 is not made. */
#include "crypto/ssh_priv.h"

static void md_ctx_drop(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

/* The algorithm's name and hash for this kind of key. */
static struct mln_err pick(struct mln_cx *cx, enum mln_ssh_kind kind, const char *asked, const char **ret_name,
                           const char **ret_hash)
{
    struct mln_bytes name = mln_bytes_of(asked != NULL ? asked : kind == MLN_SSH_RSA ? "rsa-sha2-256" : ssh_kinds[kind].name);
    if (kind == MLN_SSH_RSA && mln_bytes_is(name, "rsa-sha2-256")) {
        *ret_name = "rsa-sha2-256";
        *ret_hash = "SHA256";
    } else if (kind == MLN_SSH_RSA && mln_bytes_is(name, "rsa-sha2-512")) {
        *ret_name = "rsa-sha2-512";
        *ret_hash = "SHA512";
    } else if (kind != MLN_SSH_RSA && mln_bytes_is(name, ssh_kinds[kind].name)) {
        *ret_name = ssh_kinds[kind].name;
        *ret_hash = ssh_kinds[kind].hash;
    } else {
        return mln_fail(cx, MLN_E_INVALID, "ssh: a key of kind %s does not sign by that algorithm", ssh_kinds[kind].name);
    }
    return MLN_OK;
}

static struct mln_err raw_sign(struct mln_cx *cx, EVP_PKEY *key, const char *hash, struct mln_bytes message,
                               struct mln_buf *raw)
{
    MLN_AUTO(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = (size_t)EVP_PKEY_get_size(key);
    bool ok = ctx != NULL && mln_buf_reserve(raw, n) &&
              EVP_DigestSignInit_ex(ctx, NULL, hash, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestSign(ctx, raw->ptr, &n, message.ptr, message.len) == 1;
    raw->len = ok ? n : 0;
    return ok ? MLN_OK : crypto_failed(cx, "ssh: signing");
}

/* DER's r and s as two mpints. */
static struct mln_err put_ecdsa(struct mln_cx *cx, struct mln_bytes der, size_t half, struct mln_buf *to)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0}, body = {0};
    MLN_TRY(mln_ecdsa_der_to_raw(cx, der, half, &raw));
    ssh_put_mpint(&body, mln_bytes_sub(mln_buf_bytes(&raw), 0, half));
    ssh_put_mpint(&body, mln_bytes_from(mln_buf_bytes(&raw), half));
    MLN_TRY(mln_buf_ok(cx, &body));
    mln_ssh_put_string(to, mln_buf_bytes(&body));
    return mln_buf_ok(cx, to);
}

struct mln_err mln_ssh_sign(struct mln_cx *cx, struct mln_bytes der, const char *algorithm, struct mln_bytes message,
                            struct mln_buf *sig)
{
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *key = ssh_pkey_of(der);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0}, raw = {0};
    enum mln_ssh_kind kind = MLN_SSH_KINDS;
    const char *name = NULL, *hash = NULL;
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: no private key found");
    }
    MLN_TRY(ssh_pkey_public(cx, key, &kind, &blob));
    MLN_TRY(pick(cx, kind, algorithm, &name, &hash));
    MLN_TRY(raw_sign(cx, key, hash, message, &raw));
    mln_ssh_put_string(sig, mln_bytes_of(name));
    if (ssh_kinds[kind].curve != NULL) {
        return put_ecdsa(cx, mln_buf_bytes(&raw), (ssh_kinds[kind].bits + 7) / 8, sig);
    }
    mln_ssh_put_string(sig, mln_buf_bytes(&raw));
    return mln_buf_ok(cx, sig);
}
