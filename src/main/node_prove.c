/* SPDX-License-Identifier: Apache-2.0 */
/* What a node shows: a join token, a certificate and its key, a service account token, its TPM; or the SVID that it got (node_self.c). */
#include "base/io.h"
#include "base/text.h"
#include "crypto/akey.h"
#include "crypto/crypto.h"
#include "crypto/digest.h"
#include "crypto/x509.h"
#include "main/node_priv.h"

#define FILE_MAX (256u << 10)

/* ---- what a node shows ---- */

static struct mln_err read_file(struct node *node, struct mln_cx *cx, const char *name,
                                struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    const char *path = mln_get_text(cx, mln_get(node->proof, name), NULL);
    if (path == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "%s is needed to attest this node", name);
    }
    MLN_TRY(mln_file_read_all(cx, path, FILE_MAX, &text));
    *ret = mln_bytes_dup(cx, mln_bytes_trim(mln_buf_bytes(&text)));
    return mln_cx_err(cx);
}

static struct mln_err put_token(struct node *node, struct mln_cx *cx, const char *name,
                                struct mln_value *payload)
{
    struct mln_bytes token;
    MLN_TRY(read_file(node, cx, name, &token));
    mln_put(cx, payload, "token", mln_secret_string(cx, token));
    return MLN_OK;
}

struct mln_err node_sign_proof(struct mln_cx *cx, const struct mln_node_signed *what,
                               struct mln_bytes der, const char **ret)
{
    static const enum mln_akey kinds[] = {MLN_AKEY_P256, MLN_AKEY_P384, MLN_AKEY_RSA2048,
                                          MLN_AKEY_RSA3072, MLN_AKEY_RSA4096};
    MLN_AUTO(mln_buf_drop)
    struct mln_buf priv = {.is_secret = true}, pub = {0}, sig = {0};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .salt = MLN_AKEY_SALT_HASH};
    uint8_t digest[MLN_SHA256_BYTES];
    MLN_TRY(mln_node_proof_digest(cx, what, digest));
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        bool fits = !mln_failed(mln_akey_from_pkcs8(cx, kinds[i], der, &priv, &pub));
        mln_cx_clear(cx);
        if (fits) {
            MLN_TRY(mln_akey_sign(cx, kinds[i], mln_buf_bytes(&priv), &how,
                                  mln_bytes_at(digest, sizeof(digest)), &sig));
            *ret = mln_base64_text(cx, mln_buf_bytes(&sig), MLN_B64_STD);
            return mln_cx_err(cx);
        }
        mln_buf_clear(&priv);
        mln_buf_clear(&pub);
    }
    return mln_fail(cx, MLN_E_INVALID,
                    "the node's key must be P-256, P-384 or RSA of 2048, 3072 or 4096 bits");
}

struct mln_err node_put_possession(struct node *node, struct mln_cx *cx,
                                   const struct node_possession *has, struct mln_value *payload)
{
    const struct mln_value *data = NULL;
    const char *sig = NULL;
    struct node_call what = {.path = "/v1/spiffe/nodes/challenge", .body = mln_object(cx)};
    MLN_TRY(node_call(node, cx, &what, &data));
    const char *nonce = mln_get_text(cx, mln_get(data, "nonce"), ""),
               *domain = mln_get_text(cx, mln_get(data, "trust_domain"), "");
    struct mln_node_signed input = {.context = has->context,
                                    .nonce = mln_bytes_of(nonce),
                                    .domain = mln_bytes_of(domain),
                                    .csr = mln_bytes_of(has->csr)};
    MLN_TRY(node_sign_proof(cx, &input, has->key, &sig));
    mln_put(cx, payload, "certificates", has->certs);
    mln_put_text(cx, payload, "nonce", nonce);
    mln_put_text(cx, payload, "signature", sig);
    return mln_cx_err(cx);
}

static struct mln_err put_x509pop(struct node *node, struct mln_cx *cx, const char *csr,
                                  struct mln_value *payload)
{
    struct mln_bytes certs, key, label, der;
    struct mln_value *list = mln_array(cx);
    struct node_possession has = {.context = MLN_NODE_POP_CONTEXT, .csr = csr, .certs = list};
    bool is_bad = false;
    MLN_TRY(read_file(node, cx, "cert_file", &certs));
    MLN_TRY(read_file(node, cx, "key_file", &key));
    while (mln_pem_next(cx, &certs, &label, &der, &is_bad)) {
        mln_push_text(cx, list, mln_base64_text(cx, der, MLN_B64_STD));
    }
    if (!mln_pem_next(cx, &key, &label, &has.key, &is_bad) || !mln_bytes_is(label, "PRIVATE KEY")) {
        return mln_fail(cx, MLN_E_INVALID, "the node's key must be PKCS #8 in PEM (PRIVATE KEY)");
    }
    return node_put_possession(node, cx, &has, payload);
}

static struct mln_err put_tpm(struct node *node, struct mln_cx *cx, const char *csr,
                              struct mln_value *payload)
{
    const struct mln_value *data = NULL;
    struct mln_value *body = mln_object(cx);
    struct node_call what = {.path = "/v1/spiffe/nodes/tpm-challenge", .body = body};
    MLN_TRY(node_tpm_put_keys(node->tpm, cx, payload));
    mln_put(cx, body, "payload", payload);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(node_call(node, cx, &what, &data));
    return node_tpm_answer(node->tpm, cx, data, csr, payload);
}

struct mln_err node_prove(struct node *node, struct mln_cx *cx, const char *method,
                          const char *csr, struct mln_value *payload)
{
    if (mln_bytes_is(mln_bytes_of(method), "x509pop")) {
        return put_x509pop(node, cx, csr, payload);
    }
    if (node->tpm != NULL) {
        return put_tpm(node, cx, csr, payload);
    }
    if (mln_bytes_is(mln_bytes_of(method), "k8s_psat")) {
        mln_put(cx, payload, "cluster", mln_get(node->proof, "cluster"));
        return put_token(node, cx, "psat_token_file", payload);
    }
    return put_token(node, cx, "join_token_file", payload);
}
