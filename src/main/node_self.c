/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this node is: a key that it made, the SVID that the server certified for it, a session that both were shown for. Key and SVID are
 * kept in DIR/node.pem, so that a start needs nothing else to show; the session is in memory only.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "crypto/x509.h"
#include "identity/spiffe_bundle.h"
#include "main/node_priv.h"

#define FILE_MAX (256u << 10)

static const char *path_of(struct node *node, struct mln_cx *cx)
{
    return mln_text_format(cx, "%s/node.pem", node->data_dir);
}

static int64_t now(void)
{
    return mln_now_ns() / 1000000000;
}

/* At half of its life, a tenth of that earlier or later: not all nodes at once. */
static int64_t turn_of(int64_t from_s, int64_t until_s)
{
    int64_t half = (until_s - from_s) / 2, tenth = half > 0 ? half / 10 : 0;
    return from_s + half - tenth + (int64_t)mln_random_below((uint64_t)(2 * tenth + 1));
}

/* Leaf first; what stands behind it is not looked at. */
static bool take(struct node_self *self, struct mln_cx *cx, struct mln_bytes key,
                 struct mln_bytes chain)
{
    struct mln_x509_info leaf;
    struct mln_key own;
    size_t n = sp_der_length(chain);
    bool ok = n > 0 && n <= chain.len &&
              !mln_failed(mln_x509_cert_read(cx, mln_bytes_sub(chain, 0, n), &leaf)) &&
              !mln_failed(mln_key_read(cx, key, &own)) && mln_bytes_eq(own.spki, leaf.spki);
    if (!ok) {
        return false;
    }
    mln_buf_clear(&self->key);
    mln_buf_clear(&self->chain);
    self->key.is_secret = true;
    mln_buf_add_bytes(&self->key, key);
    mln_buf_add_bytes(&self->chain, chain);
    self->expires_s = leaf.not_after_s;
    self->turn_s = turn_of(leaf.not_before_s, leaf.not_after_s);
    mln_fill(self->authority, 0, sizeof(self->authority));
    return !self->key.has_failed && !self->chain.has_failed;
}

static void drop(struct node_self *self)
{
    mln_buf_drop(&self->key);
    mln_buf_drop(&self->chain);
    *self = (struct node_self){0};
}

void node_self_load(struct node *node, struct mln_cx *cx)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true}, chain = {0};
    struct mln_bytes label, der, key = MLN_BYTES_NONE, left;
    bool is_bad = false,
         is_there = !mln_failed(mln_file_read_all(cx, path_of(node, cx), FILE_MAX, &text));
    mln_cx_clear(cx);
    left = mln_buf_bytes(&text);
    while (is_there && mln_pem_next(cx, &left, &label, &der, &is_bad)) {
        if (mln_bytes_is(label, "PRIVATE KEY")) {
            key = der;
        } else if (mln_bytes_is(label, "CERTIFICATE")) {
            mln_buf_add_bytes(&chain, der);
        }
    }
    if (is_there && (is_bad || !take(&node->self, cx, key, mln_buf_bytes(&chain)))) {
        drop(&node->self);
        mln_log(MLN_LOG_WARN, "node", "%s/node.pem cannot be read: this node shows again who it is",
                node->data_dir);
    }
    mln_cx_clear(cx);
}

static struct mln_err keep(struct node *node, struct mln_cx *cx)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    struct mln_bytes left = mln_buf_bytes(&node->self.chain);
    mln_buf_add_text(&text, mln_pem_text(cx, "PRIVATE KEY", mln_buf_bytes(&node->self.key)));
    mln_buf_add_byte(&text, '\n');
    while (left.len > 0) {
        size_t n = sp_der_length(left);
        if (n == 0 || n > left.len) {
            return mln_fail(cx, MLN_E_REMOTE, "the server's certificate cannot be read");
        }
        mln_buf_add_text(&text, mln_pem_text(cx, "CERTIFICATE", mln_bytes_sub(left, 0, n)));
        mln_buf_add_byte(&text, '\n');
        left = mln_bytes_from(left, n);
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_buf_ok(cx, &text));
    return mln_file_replace(cx, path_of(node, cx), mln_buf_bytes(&text), 0600, true);
}

void node_self_forget(struct node *node, struct mln_cx *cx)
{
    drop(&node->self);
    const char *path = path_of(node, cx);
    if (path != NULL) {
        (void)unlink(path);
    }
}

bool node_self_is_due(struct node *node, int64_t now_s)
{
    return node->self.chain.len == 0 || now_s >= node->self.turn_s ||
           (node->self.authority[0] != '\0' &&
            !mln_replica_trusts(node->replica, node->self.authority));
}

/* ---- the session ---- */

void node_session_end(struct node *node)
{
    (void)pthread_mutex_lock(&node->lock);
    mln_wipe(node->session, sizeof(node->session));
    (void)pthread_mutex_unlock(&node->lock);
}

static struct mln_err take_answer(struct node *node, struct mln_cx *cx, const struct mln_key *key,
                                  const struct mln_value *data)
{
    struct mln_bytes session = mln_get_bytes(mln_get(data, "session")),
                     authority = mln_get_bytes(mln_get(data, "authority"));
    struct mln_bytes id = mln_get_bytes(mln_get(data, "spiffe_id"));
    MLN_AUTO(mln_buf_drop) struct mln_buf chain = {.max = FILE_MAX};
    bool ok = session.len > 0 && session.len < sizeof(node->session) &&
              mln_bytes_find(session, '\n') == session.len &&
              mln_bytes_find(session, '\r') == session.len &&
              authority.len < sizeof(node->self.authority) &&
              !mln_failed(mln_base64_parse(cx, mln_get_bytes(mln_get(data, "svid")), MLN_B64_STD,
                                           &chain)) &&
              !chain.has_failed && take(&node->self, cx, key->pkcs8, mln_buf_bytes(&chain));
    if (!ok) {
        return mln_refail(cx, MLN_E_REMOTE, "the server gave no session or no SVID");
    }
    mln_copy(node->self.authority, authority.ptr, authority.len);
    MLN_TRY(keep(node, cx));
    (void)pthread_mutex_lock(&node->lock);
    mln_fill(node->session, 0, sizeof(node->session));
    mln_copy(node->session, session.ptr, session.len);
    (void)pthread_mutex_unlock(&node->lock);
    mln_log(MLN_LOG_INFO, "node", "attested as %.*s", MLN_FMT(id));
    return MLN_OK;
}

static struct mln_err put_svid(struct node *node, struct mln_cx *cx, const char *csr,
                               struct mln_value *payload)
{
    struct mln_value *certs = mln_array(cx);
    struct mln_bytes chain = mln_buf_bytes(&node->self.chain);
    struct node_possession has = {.context = MLN_NODE_SVID_CONTEXT,
                                  .csr = csr,
                                  .certs = certs,
                                  .key = mln_buf_bytes(&node->self.key)};
    mln_push_text(cx, certs,
                  mln_base64_text(cx, mln_bytes_sub(chain, 0, sp_der_length(chain)), MLN_B64_STD));
    return node_put_possession(node, cx, &has, payload);
}

/* The key comes first: what is shown covers it. method NULL: the SVID that is here */
static struct mln_err show(struct node *node, struct mln_cx *cx, const char *method)
{
    struct mln_key key;
    const struct mln_value *data = NULL;
    const char *csr = NULL;
    struct mln_value *body = mln_object(cx), *payload = mln_object(cx);
    struct node_call what = {.path = "/v1/spiffe/nodes/attest", .body = body};
    MLN_TRY(mln_key_generate(cx, MLN_KEY_EC, 256, &key));
    MLN_TRY(mln_replica_csr(cx, &key, &csr));
    MLN_TRY(method == NULL ? put_svid(node, cx, csr, payload)
                           : node_prove(node, cx, method, csr, payload));
    mln_put_text(cx, body, "method", method == NULL ? "x509_svid" : method);
    mln_put(cx, body, "payload", payload);
    mln_put_text(cx, body, "csr", csr);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(node_call(node, cx, &what, &data));
    return take_answer(node, cx, &key, data);
}

static struct mln_err by_proof(struct node *node, struct mln_cx *cx)
{
    const char *method = mln_get_text(cx, mln_get(node->proof, "method"), "");
    return show(node, cx, method);
}

struct mln_err node_attest(struct node *node, struct mln_cx *cx)
{
    if (node->self.chain.len == 0 || now() >= node->self.expires_s) {
        return by_proof(node, cx);
    }
    struct mln_err err = show(node, cx, NULL);
    if (!mln_is(err, MLN_E_DENIED)) {
        return err;
    }
    mln_log(MLN_LOG_WARN, "node", "the server does not take this node's SVID any more");
    mln_cx_clear(cx);
    err = by_proof(node, cx);
    if (mln_failed(err)) { /* whatever else is wrong, this node is out */
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_DENIED, "%s", why);
    }
    return MLN_OK;
}
