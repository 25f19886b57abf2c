/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc.health.v1: serving means that core is initialised and unsealed. Watch asks every few seconds, for a seal publishes nothing.
 * Source: grpc/doc/health-checking.md.
 */
#include "api/grpc_priv.h"

#define AGAIN_NS ((int64_t)5000000000) /* load balancers look every 5 to 30 s */

enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

static const struct mln_pb_field request[] = {{1, "service", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field response[] = {{1, "status", MLN_PB_INT, MLN_PB_ONE, NULL}, {0}};

/* "" is the whole server. */
static bool is_known(struct mln_bytes service)
{
    bool found = service.len == 0;
    for (size_t i = 0; mln_grpc_services[i] != NULL; i++) {
        found = found || mln_bytes_is(service, mln_grpc_services[i]->name);
    }
    return found;
}

static struct mln_err name_of(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_bytes *ret)
{
    const struct mln_value *data = NULL;
    MLN_TRY(mln_pb_decode(cx, request, call->message, &data));
    *ret = mln_get_bytes(mln_get(data, "service"));
    return MLN_OK;
}

static struct mln_err take_check(struct mln_cx *cx, struct mln_grpc_call *call, bool *ret_asks)
{
    struct mln_bytes name;
    *ret_asks = true;
    MLN_TRY(name_of(cx, call, &name));
    return is_known(name) ? MLN_OK : mln_fail(cx, MLN_E_NOT_FOUND, "unknown service");
}

static struct mln_err ask(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    (void)call;
    grpc_question(cx, rq, "read", "sys/health", NULL);
    return MLN_OK;
}

static struct mln_err put_status(struct mln_cx *cx, int status, struct mln_buf *out)
{
    struct mln_value *value = mln_object(cx);
    mln_put_int(cx, value, "status", status);
    return mln_pb_encode(cx, response, value, out);
}

static int status_of(const struct mln_value *answer)
{
    return mln_get_int(mln_get(answer, "status"), 500) == 200 ? SERVING : NOT_SERVING;
}

static struct mln_err answer_check(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    (void)call;
    return put_status(cx, status_of(answer), out);
}

/* A service that is unknown today may be known tomorrow: the stream says so and stays. */
static struct mln_err answer_watch(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    struct mln_bytes name;
    MLN_TRY(name_of(cx, call, &name));
    return put_status(cx, is_known(name) ? status_of(answer) : SERVICE_UNKNOWN, out);
}

static const struct mln_grpc_method methods[] = {
    {.name = "Check", .shape = MLN_GRPC_UNARY, .takes_faults = true, .take = take_check, .ask = ask, .answer = answer_check},
    {.name = "Watch", .shape = MLN_GRPC_STREAM, .takes_faults = true, .again_ns = AGAIN_NS, .ask = ask, .answer = answer_watch},
    {0},
};

const struct mln_grpc_service mln_grpc_health = {.name = "grpc.health.v1.Health", .methods = methods};
