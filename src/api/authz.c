/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's external authorization: may the peer of this request do it? Core decides by its rules (spiffe/authz). Headers and bodies of
 * the request stay here: who asks is told by mutual TLS, and tokens of others are no business of core's.
 * Source: envoy/service/auth/v3/external_auth.proto, attribute_context.proto.
 */
#include "api/grpc_priv.h"

#define REQUEST_MAX (1u << 20) /* Envoy may be told to send heads of 60 KiB and some of the body */
#define FORBIDDEN   403
#define DENIED      7

/* clang-format off */
static const struct mln_pb_field peer[] = {{4, "principal", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field http[] = {
    {2, "method", MLN_PB_STRING, MLN_PB_ONE, NULL}, {4, "path", MLN_PB_STRING, MLN_PB_ONE, NULL},
    {5, "host", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field request[] = {{2, "http", MLN_PB_MESSAGE, MLN_PB_ONE, http}, {0}};
static const struct mln_pb_field attributes[] = {
    {1, "source", MLN_PB_MESSAGE, MLN_PB_ONE, peer}, {2, "destination", MLN_PB_MESSAGE, MLN_PB_ONE, peer},
    {4, "request", MLN_PB_MESSAGE, MLN_PB_ONE, request}, {0}};
static const struct mln_pb_field check[] = {{1, "attributes", MLN_PB_MESSAGE, MLN_PB_ONE, attributes}, {0}};

static const struct mln_pb_field status[] = {
    {1, "code", MLN_PB_INT, MLN_PB_ONE, NULL}, {2, "message", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field http_status[] = {{1, "code", MLN_PB_INT, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field denied[] = {
    {1, "status", MLN_PB_MESSAGE, MLN_PB_ONE, http_status}, {3, "body", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field allowed[] = {{0}};
static const struct mln_pb_field response[] = {
    {1, "status", MLN_PB_MESSAGE, MLN_PB_ONE, status}, {2, "denied", MLN_PB_MESSAGE, MLN_PB_ONE, denied},
    {3, "ok", MLN_PB_MESSAGE, MLN_PB_ONE, allowed}, {0}};
/* clang-format on */

static struct mln_err ask(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    const struct mln_value *got = NULL;
    struct mln_value *data = mln_object(cx);
    MLN_TRY(mln_pb_decode(cx, check, call->message, &got));
    got = mln_get(got, "attributes");
    const struct mln_value *asked = mln_get(mln_get(got, "request"), "http");
    struct mln_bytes query;
    struct mln_bytes path = mln_bytes_cut(mln_get_bytes(mln_get(asked, "path")), '?', &query);
    mln_put_bytes(cx, data, "principal", mln_get_bytes(mln_get(mln_get(got, "source"), "principal")));
    mln_put_bytes(cx, data, "destination", mln_get_bytes(mln_get(mln_get(got, "destination"), "principal")));
    mln_put_bytes(cx, data, "method", mln_get_bytes(mln_get(asked, "method")));
    mln_put_bytes(cx, data, "path", path);
    mln_put_bytes(cx, data, "host", mln_get_bytes(mln_get(asked, "host")));
    grpc_question(cx, rq, "write", "spiffe/authz", data);
    return MLN_OK;
}

static struct mln_err answer(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    const struct mln_value *data = mln_get(answer, "data");
    struct mln_value *reply = mln_object(cx), *verdict = mln_object(cx), *refusal = mln_object(cx), *code = mln_object(cx);
    (void)call;
    if (mln_get_bool(mln_get(data, "allowed"), false)) {
        mln_put(cx, reply, "status", verdict);
        mln_put(cx, reply, "ok", mln_object(cx));
        return mln_pb_encode(cx, response, reply, out);
    }
    mln_put_int(cx, code, "code", FORBIDDEN);
    mln_put(cx, refusal, "status", code);
    mln_put_text(cx, refusal, "body", "permission denied\n"); /* the reason is for Envoy, not for who was refused */
    mln_put_int(cx, verdict, "code", DENIED);
    mln_put_bytes(cx, verdict, "message", mln_get_bytes(mln_get(data, "reason")));
    mln_put(cx, reply, "status", verdict);
    mln_put(cx, reply, "denied", refusal);
    return mln_pb_encode(cx, response, reply, out);
}

static const struct mln_grpc_method methods[] = {
    {.name = "Check", .shape = MLN_GRPC_UNARY, .request_max = REQUEST_MAX, .ask = ask, .answer = answer},
    {0},
};

const struct mln_grpc_service mln_grpc_authz = {.name = "envoy.service.auth.v3.Authorization", .methods = methods};
