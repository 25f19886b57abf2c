/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a process on this node: who it is was attested here, what it gets says the replica; what that lacks, the server. */
#include "base/cbor.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "main/node_priv.h"
#include "net/wire.h"

#define PREFIX "spiffe/workload/"

#define TRIES_MAX 80u /* a token of each identity is one; entries may change meanwhile */
#define BEHIND_MAX                                                                                 \
    4u /* times that a token of another entry than is known here comes for one question */

struct asked {
    const struct mln_peer *peer;
    struct mln_replica_ask ask;
    unsigned behind;
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
    MLN_TRY(mln_peers_find(cx, node->peers, mln_get_int(mln_get(message, "peer"), 0), call,
                           &asked->peer));
    asked->ask = (struct mln_replica_ask){
        .question = mln_bytes_from(path, sizeof(PREFIX) - 1),
        .data = mln_type_of(mln_get(message, "data")) == MLN_OBJECT ? mln_get(message, "data")
                                                                    : mln_object(cx),
        .selectors = asked->peer->selectors,
        .tokens = mln_object(cx),
        .now_ns = mln_now_ns()};
    return mln_cx_err(cx);
}

/* A token for the entry as it is known here. One that changed meanwhile is heard of first: who gets it may have changed, too. */
static struct mln_err fetch_token(struct node *node, struct mln_cx *cx, struct asked *asked,
                                  const struct mln_replica_reply *lacks)
{
    const struct mln_value *data = NULL;
    struct node_call what = {
        .path = "/v1/spiffe/nodes/jwt", .body = lacks->body, .for_process = true};
    struct mln_err err = node_call(node, cx, &what, &data);
    if (!mln_failed(err)) {
        err = mln_replica_token(cx, node->replica, &asked->ask, lacks, data);
    }
    if (!mln_is(err, MLN_E_NOT_FOUND) || asked->behind++ >= BEHIND_MAX) {
        return err;
    }
    mln_cx_clear(cx);
    return node_catch_up(node, cx, true);
}

/* What is missing, asked of the server. */
static struct mln_err fetch(struct node *node, struct mln_cx *cx, struct asked *asked,
                            const struct mln_replica_reply *lacks)
{
    size_t n = 0;
    if (lacks->needs_match) {
        return node_match(node, cx, asked->ask.selectors);
    }
    if (lacks->ids != NULL) {
        MLN_TRY(node_sign(node, cx, lacks->ids, &n));
        if (n > 0) {
            node_wake(node);
        }
        return MLN_OK;
    }
    return fetch_token(node, cx, asked, lacks);
}

static struct mln_err answer_of(struct node *node, struct mln_cx *cx, struct mln_core_call *call,
                                struct asked *asked, const struct mln_value **ret)
{
    struct mln_replica_reply reply = {0};
    MLN_TRY(read_request(node, cx, call, asked));
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        MLN_TRY(mln_replica_answer(cx, node->replica, &asked->ask, &reply));
        if (reply.data != NULL) {
            *ret = reply.data;
            return MLN_OK;
        }
        if (call->block != NULL) {
            call->block(call->arg);
        }
        if (asked->ask.is_cut_off || mln_failed(fetch(node, cx, asked, &reply))) {
            mln_log_fault(MLN_LOG_DEBUG, "node", cx,
                          "the server does not answer: what is here will do");
            mln_cx_clear(cx);
            asked->ask.is_cut_off = true;
        }
    }
    return mln_fail(cx, MLN_E_UNREACHABLE, "entries change faster than SVIDs are signed");
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
    int64_t grpc = mln_failed(err) ? mln_err_grpc(err.code) : 0;
    mln_put_text(cx, message, "request_id", "");
    if (grpc != 0) {
        put_failure(cx, grpc, why, message);
    } else {
        mln_put_int(cx, message, "status", 200);
        mln_put(cx, message, "data", answer);
        mln_put_text(cx, message, "topic", NODE_TOPIC);
        mln_put_int(cx, message, "topic_version", (int64_t)version);
    }
    mln_cbor_print(out, message);
    mln_cx_clear(cx);
    return MLN_OK;
}
