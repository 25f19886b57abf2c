/* SPDX-License-Identifier: Apache-2.0 */
/* A node's calls to the server: attestation, questions, the session that is kept in a file for the next start. */
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/akey.h"
#include "crypto/crypto.h"
#include "crypto/digest.h"
#include "crypto/x509.h"
#include "main/node_priv.h"

#define FILE_MAX (256u << 10)

/* ---- calls ---- */

static struct mln_err borrow_client(struct node *node, struct mln_cx *cx, struct mln_client **ret)
{
    (void)pthread_mutex_lock(&node->lock);
    struct mln_client *client = node->n_idle > 0 ? node->idle[--node->n_idle] : NULL;
    (void)pthread_mutex_unlock(&node->lock);
    if (client == NULL) {
        MLN_TRY(mln_client_new(cx, &node->server, &client));
    }
    *ret = client;
    return MLN_OK;
}

static void give_client(struct node *node, struct mln_client *client)
{
    (void)pthread_mutex_lock(&node->lock);
    if (node->n_idle < NODE_CLIENTS_MAX) {
        node->idle[node->n_idle++] = client;
        client = NULL;
    }
    (void)pthread_mutex_unlock(&node->lock);
    mln_client_free(client);
}

static struct mln_err judge(struct mln_cx *cx, const struct mln_client_answer *answer)
{
    const struct mln_value *json = NULL;
    if (answer->status >= 200 && answer->status < 300) {
        return MLN_OK;
    }
    bool is_json = !mln_failed(mln_json_parse(cx, answer->body, &json));
    mln_cx_clear(cx);
    struct mln_bytes why =
        is_json ? mln_get_bytes(mln_item(mln_get(json, "errors"), 0)) : MLN_BYTES_NONE;
    enum mln_code code = answer->status == 403   ? MLN_E_DENIED
                         : answer->status == 503 ? MLN_E_UNREACHABLE
                                                 : MLN_E_REMOTE;
    return mln_fail(cx, code, "the server answers %d: %.*s", answer->status,
                    MLN_FMT(mln_bytes_sub(why, 0, 200)));
}

struct mln_err node_call(struct node *node, struct mln_cx *cx, const char *path,
                         const struct mln_value *body, struct mln_client_answer *ret)
{
    struct mln_client *client = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    char session[sizeof(node->session)];
    if (body != NULL) {
        mln_json_print(&text, body, MLN_JSON_COMPACT);
        MLN_TRY(mln_buf_ok(cx, &text));
    }
    (void)pthread_mutex_lock(&node->lock);
    mln_copy(session, node->session, sizeof(session));
    (void)pthread_mutex_unlock(&node->lock);
    const char *const headers[] = {"X-Vault-Request: true",
                                   mln_text_format(cx, "X-Vault-Token: %.*s",
                                                   (int)mln_bytes_of(session).len,
                                                   (const char *)session)};
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(borrow_client(node, cx, &client));
    struct mln_err err = mln_client_call(cx, client, body != NULL ? "POST" : "GET", path, headers,
                                         session[0] != 0 ? 2 : 1, mln_buf_bytes(&text), ret);
    mln_wipe(session, sizeof(session));
    if (mln_failed(err)) {
        mln_client_free(client);
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_UNREACHABLE, "%s", why);
    }
    give_client(node, client);
    return judge(cx, ret);
}

/* ---- the session ---- */

static const char *session_path(struct node *node, struct mln_cx *cx)
{
    return mln_text_format(cx, "%s/session", node->data_dir);
}

static bool recall_session(struct node *node, struct mln_cx *cx)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    bool ok = !mln_failed(mln_file_read_all(cx, session_path(node, cx), sizeof(node->session) - 1,
                                            &text)) &&
              text.len > 0;
    mln_cx_clear(cx);
    (void)pthread_mutex_lock(&node->lock);
    mln_fill(node->session, 0, sizeof(node->session));
    mln_copy(node->session, text.ptr, ok ? text.len : 0);
    (void)pthread_mutex_unlock(&node->lock);
    return ok;
}

static struct mln_err keep_session(struct node *node, struct mln_cx *cx,
                                   const struct mln_client_answer *answer)
{
    const struct mln_value *json = NULL;
    MLN_TRY(mln_json_parse(cx, answer->body, &json));
    const struct mln_value *data = mln_get(json, "data");
    struct mln_bytes session = mln_get_bytes(mln_get(data, "session")),
                     id = mln_get_bytes(mln_get(data, "spiffe_id"));
    if (session.len == 0 || session.len >= sizeof(node->session) ||
        mln_bytes_find(session, '\n') < session.len) {
        return mln_fail(cx, MLN_E_REMOTE, "the server gave no session");
    }
    MLN_TRY(mln_file_replace(cx, session_path(node, cx), session, 0600, true));
    (void)pthread_mutex_lock(&node->lock);
    mln_fill(node->session, 0, sizeof(node->session));
    mln_copy(node->session, session.ptr, session.len);
    (void)pthread_mutex_unlock(&node->lock);
    mln_log(MLN_LOG_INFO, "node", "attested as %.*s", MLN_FMT(id));
    return MLN_OK;
}

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

static struct mln_err sign_nonce(struct mln_cx *cx, struct mln_bytes key_pem, const char *nonce,
                                 const char **ret)
{
    static const enum mln_akey kinds[] = {MLN_AKEY_P256, MLN_AKEY_P384, MLN_AKEY_RSA2048,
                                          MLN_AKEY_RSA3072, MLN_AKEY_RSA4096};
    MLN_AUTO(mln_buf_drop)
    struct mln_buf input = {0},
                   priv = {.is_secret = true}, pub = {0}, sig = {0};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .salt = MLN_AKEY_SALT_HASH};
    struct mln_bytes label, der;
    bool is_bad = false;
    uint8_t digest[MLN_SHA256_BYTES];
    mln_buf_add_text(&input, "merlon node x509pop");
    mln_buf_add_byte(&input, 0);
    mln_buf_add_text(&input, nonce);
    mln_sha256(mln_buf_bytes(&input), digest);
    if (!mln_pem_next(cx, &key_pem, &label, &der, &is_bad) || !mln_bytes_is(label, "PRIVATE KEY")) {
        return mln_fail(cx, MLN_E_INVALID, "the node's key must be PKCS #8 in PEM (PRIVATE KEY)");
    }
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

static struct mln_err put_possession(struct node *node, struct mln_cx *cx,
                                     struct mln_value *payload)
{
    struct mln_bytes certs, key, label, der;
    struct mln_client_answer answer = {0};
    const struct mln_value *json = NULL;
    struct mln_value *list = mln_array(cx);
    const char *sig = NULL;
    bool is_bad = false;
    MLN_TRY(read_file(node, cx, "cert_file", &certs));
    MLN_TRY(read_file(node, cx, "key_file", &key));
    while (mln_pem_next(cx, &certs, &label, &der, &is_bad)) {
        mln_push_text(cx, list, mln_base64_text(cx, der, MLN_B64_STD));
    }
    MLN_TRY(node_call(node, cx, "/v1/spiffe/nodes/challenge", mln_object(cx), &answer));
    MLN_TRY(mln_json_parse(cx, answer.body, &json));
    const char *nonce = mln_get_text(cx, mln_get(mln_get(json, "data"), "nonce"), "");
    MLN_TRY(sign_nonce(cx, key, nonce, &sig));
    mln_put(cx, payload, "certificates", list);
    mln_put_text(cx, payload, "nonce", nonce);
    mln_put_text(cx, payload, "signature", sig);
    return mln_cx_err(cx);
}

static struct mln_err fill_payload(struct node *node, struct mln_cx *cx, const char *method,
                                   struct mln_value *payload)
{
    if (mln_bytes_is(mln_bytes_of(method), "x509pop")) {
        return put_possession(node, cx, payload);
    }
    if (mln_bytes_is(mln_bytes_of(method), "k8s_psat")) {
        mln_put(cx, payload, "cluster", mln_get(node->proof, "cluster"));
        return put_token(node, cx, "psat_token_file", payload);
    }
    return put_token(node, cx, "join_token_file", payload);
}

struct mln_err node_attest(struct node *node, struct mln_cx *cx, bool is_anew)
{
    struct mln_value *body = mln_object(cx), *payload = mln_object(cx);
    struct mln_client_answer answer = {0};
    const char *method = mln_get_text(cx, mln_get(node->proof, "method"), "");
    if (!is_anew && recall_session(node, cx)) {
        return MLN_OK;
    }
    MLN_TRY(fill_payload(node, cx, method, payload));
    mln_put_text(cx, body, "method", method);
    mln_put(cx, body, "payload", payload);
    MLN_TRY(node_call(node, cx, "/v1/spiffe/nodes/attest", body, &answer));
    return keep_session(node, cx, &answer);
}
