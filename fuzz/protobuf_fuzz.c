/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_pb_decode, mln_pb_encode and the requests of every method in mln_grpc_services; mln_grpc_timeout_parse, mln_grpc_find.
 * The first byte chooses the method. What a message asks of core is printed as CBOR and must be read there.
 */
#include "fuzz.h"

#include "api/grpc.h"
#include "api/protobuf.h"
#include "base/cbor.h"

#define ARENA ((size_t)16 << 20)

/* clang-format off */
static const struct mln_pb_field leaf[] = {{1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "n", MLN_PB_INT, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field all[] = {
    {1, "text", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "blob", MLN_PB_BYTES, MLN_PB_MANY, NULL},
    {3, "yes", MLN_PB_BOOL, MLN_PB_ONE, NULL}, {4, "texts", MLN_PB_STRING, MLN_PB_MANY, NULL},
    {5, "inner", MLN_PB_MESSAGE, MLN_PB_ONE, leaf}, {6, "many", MLN_PB_MESSAGE, MLN_PB_MANY, leaf},
    {7, "map", MLN_PB_STRING, MLN_PB_MAP, NULL}, {8, "maps", MLN_PB_MESSAGE, MLN_PB_MAP, leaf},
    {16, "n", MLN_PB_INT, MLN_PB_ONE, NULL}, {0}};
/* clang-format on */

/* What was read is printed, read again and printed: the two prints are the same. */
static void round_trip(struct mln_cx *cx, struct mln_bytes bytes)
{
    const struct mln_value *one = NULL, *two = NULL;
    struct mln_buf first = {0}, second = {0};
    if (!mln_failed(mln_pb_decode(cx, all, bytes, &one))) {
        MLN_CHECK(!mln_failed(mln_pb_encode(cx, all, one, &first)));
        MLN_CHECK(!mln_failed(mln_pb_decode(cx, all, mln_buf_bytes(&first), &two)));
        MLN_CHECK(!mln_failed(mln_pb_encode(cx, all, two, &second)));
        MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&first), mln_buf_bytes(&second)));
    }
    mln_cx_clear(cx);
    mln_buf_drop(&first);
    mln_buf_drop(&second);
}

static void ask(struct mln_cx *cx, const struct mln_grpc_method *method, struct mln_bytes message)
{
    struct mln_grpc_call call = {.message = message, .state = method->state_bytes > 0 ? mln_alloc(method->state_bytes) : NULL};
    struct mln_value *rq = mln_object(cx);
    struct mln_buf cbor = {0};
    const struct mln_value *again = NULL;
    bool asks = true;
    struct mln_err err = method->take != NULL ? method->take(cx, &call, &asks) : MLN_OK;
    if (!mln_failed(err) && asks && !mln_failed(method->ask(cx, &call, rq))) {
        mln_cbor_print(&cbor, rq);
        MLN_CHECK(!mln_failed(mln_cbor_parse(cx, mln_buf_bytes(&cbor), &again)));
    }
    if (method->close != NULL) {
        method->close(&call);
    }
    mln_free(call.state);
    mln_buf_drop(&cbor);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new(ARENA, false);
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    struct mln_bytes rest = mln_bytes_from(mln_bytes_at(data, size), 1);
    unsigned chosen = size > 0 ? data[0] : 0;
    const struct mln_grpc_service *found = NULL;
    int64_t ns = 0;
    round_trip(&cx, rest);
    for (size_t i = 0; mln_grpc_services[i] != NULL; i++) {
        for (const struct mln_grpc_method *m = mln_grpc_services[i]->methods; m->name != NULL; m++) {
            if (chosen-- % 32 == 0 && m->ask != NULL) {
                ask(&cx, m, rest);
            }
        }
    }
    (void)mln_grpc_find(mln_grpc_services, rest, &found);
    MLN_CHECK(!mln_grpc_timeout_parse(rest, &ns) || ns >= 0);
    mln_arena_free(arena);
    return 0;
}
