/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a process on this node: who it is was attested here, what it gets says the server. */
#include "base/cbor.h"
#include "base/clock.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "main/node_priv.h"
#include "net/wire.h"

#define PREFIX "spiffe/workload/"

struct asked {
    struct mln_bytes question;
    const struct mln_value *data;
    const struct mln_peer *peer;
    struct node_question q;
};

static struct mln_err read_request(struct node *node, struct mln_cx *cx, struct mln_core_call *call,
                                   struct asked *asked)
{
    const struct mln_value *message = NULL;
    if (mln_failed(mln_cbor_parse(cx, call->message, &message)) ||
        mln_type_of(mln_get(message, "path")) != MLN_STRING) {
        return mln_refail(cx, MLN_E_CORRUPT, "node: a message that is no request");
    }
    struct mln_bytes path = mln_get_bytes(mln_get(message, "path"));
    if (!mln_bytes_starts(path, MLN_BYTES(PREFIX)) || mln_get(message, "peer") == NULL) {
        return mln_fail(cx, MLN_E_NO_ROUTE, "a node answers processes at its workload socket only");
    }
    asked->question = mln_bytes_from(path, sizeof(PREFIX) - 1);
    asked->data = mln_type_of(mln_get(message, "data")) == MLN_OBJECT ? mln_get(message, "data")
                                                                      : mln_object(cx);
    return mln_peers_find(cx, node->peers, mln_get_int(mln_get(message, "peer"), 0), call,
                          &asked->peer);
}

static struct mln_err key_of(struct mln_cx *cx, struct asked *asked)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {.is_secret = true};
    mln_buf_add_bytes(&all, asked->question);
    mln_buf_add_byte(&all, 0);
    mln_cbor_print(&all, asked->peer->selectors);
    mln_cbor_print_sorted(&all, asked->data);
    MLN_TRY(mln_buf_ok(cx, &all));
    mln_sha256(mln_buf_bytes(&all), asked->q.key);
    asked->q.now_s = mln_now_ns() / 1000000000;
    return MLN_OK;
}

static struct mln_err ask_server(struct node *node, struct mln_cx *cx, const struct asked *asked,
                                 const struct mln_value **ret)
{
    struct mln_value *body = mln_object(cx);
    struct mln_client_answer answer = {0};
    mln_put_bytes(cx, body, "ask", asked->question);
    mln_put(cx, body, "selectors", asked->peer->selectors);
    mln_put(cx, body, "data", asked->data);
    mln_put_int(cx, body, "pid", asked->peer->pid);
    mln_put_int(cx, body, "uid", asked->peer->uid);
    mln_put_int(cx, body, "gid", asked->peer->gid);
    MLN_TRY(node_call(node, cx, "/v1/spiffe/nodes/workload", body, &answer));
    MLN_TRY(mln_cbor_parse(cx, answer.body, ret));
    return mln_type_of(mln_get(*ret, "grpc")) == MLN_INT
               ? MLN_OK
               : mln_fail(cx, MLN_E_REMOTE, "the server's answer cannot be read");
}

static struct mln_err answer_of(struct node *node, struct mln_cx *cx, struct mln_core_call *call,
                                struct asked *asked, const struct mln_value **ret)
{
    MLN_TRY(read_request(node, cx, call, asked));
    MLN_TRY(key_of(cx, asked));
    if (node_recall(node, cx, &asked->q, true, ret)) {
        return MLN_OK;
    }
    if (call->block != NULL) {
        call->block(call->arg);
    }
    struct mln_err err = ask_server(node, cx, asked, ret);
    if (!mln_failed(err)) {
        node_remember(node, cx, &asked->q, *ret);
        return MLN_OK;
    }
    const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    if (!mln_is(err, MLN_E_DENIED) &&
        node_recall(node, cx, &asked->q, false, ret)) { /* cut off: what is good still */
        return MLN_OK;
    }
    return mln_fail(cx, MLN_E_UNREACHABLE, "%s",
                    why); /* whatever it is, it may pass: a process tries again */
}

static void put_failure(struct mln_cx *cx, int64_t grpc, const char *text, struct mln_value *out)
{
    struct mln_value *errors = mln_array(cx);
    mln_push_text(cx, errors, text);
    mln_put_int(cx, out, "status", grpc == 3 ? 400 : grpc == 7 ? 403 : 503);
    mln_put(cx, out, "errors", errors);
    mln_put_int(cx, out, "grpc", grpc);
}

struct mln_err node_answer_call(void *arg, struct mln_cx *cx, struct mln_core_call *call,
                                struct mln_buf *out)
{
    struct node *node = arg;
    struct asked asked = {0};
    const struct mln_value *answer = NULL;
    uint64_t version = atomic_load(
        &node->version); /* before the answer is looked for: what changes after that is told */
    struct mln_err err = answer_of(node, cx, call, &asked, &answer);
    if (mln_is(err, MLN_E_CORRUPT)) {
        return err;
    }
    const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    struct mln_value *message = mln_object(cx);
    int64_t grpc =
        mln_failed(err) ? mln_err_grpc(err.code) : mln_get_int(mln_get(answer, "grpc"), 13);
    mln_put_text(cx, message, "request_id", "");
    if (grpc != 0) {
        put_failure(cx, grpc,
                    mln_failed(err) ? why : mln_get_text(cx, mln_get(answer, "error"), ""),
                    message);
    } else {
        mln_put_int(cx, message, "status", 200);
        mln_put(cx, message, "data", mln_get(answer, "data"));
        mln_put_text(cx, message, "topic", NODE_TOPIC);
        mln_put_int(cx, message, "topic_version", (int64_t)version);
    }
    mln_cbor_print(out, message);
    mln_cx_clear(cx);
    return MLN_OK;
}
