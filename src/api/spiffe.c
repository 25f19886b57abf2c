/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SPIFFE Workload API: five calls, each a path of the engine `spiffe`. What WIT calls will be is not settled; their names are known
 * here, so that they are refused after the header's check as all others, and no number is taken by something else.
 * Source: spiffe.io, SPIFFE_Workload_API.md and workload.proto.
 */
#include "api/grpc_priv.h"
#include "api/spiffe.h"

/* ---- messages ---- */

/* clang-format off */
static const struct mln_pb_field x509_svid[] = {
    {1, "spiffe_id", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "chain", MLN_PB_BYTES, MLN_PB_ONE, NULL},
    {3, "key", MLN_PB_BYTES, MLN_PB_ONE, NULL}, {4, "bundle", MLN_PB_BYTES, MLN_PB_ONE, NULL},
    {5, "hint", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
const struct mln_pb_field mln_spiffe_x509_svids[] = {
    {1, "svids", MLN_PB_MESSAGE, MLN_PB_MANY, x509_svid}, {2, "crl", MLN_PB_BYTES, MLN_PB_MANY, NULL},
    {3, "federated", MLN_PB_BYTES, MLN_PB_MAP, NULL}, {0}};
static const struct mln_pb_field x509_bundles[] = {
    {1, "crl", MLN_PB_BYTES, MLN_PB_MANY, NULL}, {2, "bundles", MLN_PB_BYTES, MLN_PB_MAP, NULL}, {0}};
static const struct mln_pb_field jwt_svid[] = {
    {1, "spiffe_id", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "svid", MLN_PB_STRING, MLN_PB_ONE, NULL},
    {3, "hint", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
const struct mln_pb_field mln_spiffe_jwt_svids[] = {{1, "svids", MLN_PB_MESSAGE, MLN_PB_MANY, jwt_svid}, {0}};
static const struct mln_pb_field jwt_bundles[] = {{1, "bundles", MLN_PB_BYTES, MLN_PB_MAP, NULL}, {0}};
static const struct mln_pb_field validated[] = {
    {1, "spiffe_id", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "claims", MLN_PB_STRUCT, MLN_PB_ONE, NULL}, {0}};

static const struct mln_pb_field empty[] = {{0}};
const struct mln_pb_field mln_spiffe_jwt_ask[] = {
    {1, "audience", MLN_PB_STRING, MLN_PB_MANY, NULL}, {2, "spiffe_id", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field validate_request[] = {
    {1, "audience", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "svid", MLN_PB_SECRET, MLN_PB_ONE, NULL}, {0}};
/* clang-format on */

/* ---- questions ---- */

static struct mln_err ask_with(struct mln_cx *cx, const struct mln_grpc_call *call, const struct mln_pb_field *fields, const char *op,
                               const char *path, struct mln_value *rq)
{
    const struct mln_value *data = NULL;
    MLN_TRY(mln_pb_decode(cx, fields, call->message, &data));
    grpc_question(cx, rq, op, path, data);
    return MLN_OK;
}

static struct mln_err ask_x509_svids(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    return ask_with(cx, call, empty, "read", "spiffe/workload/x509-svids", rq);
}

static struct mln_err ask_x509_bundles(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    return ask_with(cx, call, empty, "read", "spiffe/workload/x509-bundles", rq);
}

static struct mln_err ask_jwt_bundles(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    return ask_with(cx, call, empty, "read", "spiffe/workload/jwt-bundles", rq);
}

static struct mln_err ask_jwt_svid(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    return ask_with(cx, call, mln_spiffe_jwt_ask, "write", "spiffe/workload/jwt-svid", rq);
}

static struct mln_err ask_validate(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    return ask_with(cx, call, validate_request, "write", "spiffe/workload/validate", rq);
}

/* ---- answers ---- */

static struct mln_err answer_x509_svids(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    (void)call;
    return mln_pb_encode(cx, mln_spiffe_x509_svids, mln_get(answer, "data"), out);
}

static struct mln_err answer_x509_bundles(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer,
                                          struct mln_buf *out)
{
    (void)call;
    return mln_pb_encode(cx, x509_bundles, mln_get(answer, "data"), out);
}

static struct mln_err answer_jwt_svid(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    (void)call;
    return mln_pb_encode(cx, mln_spiffe_jwt_svids, mln_get(answer, "data"), out);
}

static struct mln_err answer_jwt_bundles(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer,
                                         struct mln_buf *out)
{
    (void)call;
    return mln_pb_encode(cx, jwt_bundles, mln_get(answer, "data"), out);
}

static struct mln_err answer_validate(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    (void)call;
    return mln_pb_encode(cx, validated, mln_get(answer, "data"), out);
}

static const struct mln_grpc_method methods[] = {
    {.name = "FetchX509SVID", .shape = MLN_GRPC_STREAM, .ask = ask_x509_svids, .answer = answer_x509_svids},
    {.name = "FetchX509Bundles", .shape = MLN_GRPC_STREAM, .ask = ask_x509_bundles, .answer = answer_x509_bundles},
    {.name = "FetchJWTSVID", .shape = MLN_GRPC_UNARY, .ask = ask_jwt_svid, .answer = answer_jwt_svid},
    {.name = "FetchJWTBundles", .shape = MLN_GRPC_STREAM, .ask = ask_jwt_bundles, .answer = answer_jwt_bundles},
    {.name = "ValidateJWTSVID", .shape = MLN_GRPC_UNARY, .ask = ask_validate, .answer = answer_validate},
    {.name = "FetchWITSVID", .shape = MLN_GRPC_STREAM},
    {.name = "FetchWITBundles", .shape = MLN_GRPC_STREAM},
    {0},
};

const struct mln_grpc_service mln_grpc_spiffe_workload = {
    .name = "SpiffeWorkloadAPI", .header = "workload.spiffe.io", .methods = methods};
