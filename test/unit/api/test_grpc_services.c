/* SPDX-License-Identifier: Apache-2.0 */
/* The services of gRPC: what a request message asks of core, and what message core's answer becomes. */
#include "kit/kit.h"

#include <string.h>

#include "api/grpc.h"
#include "base/json.h"
#include "base/text.h"

extern const struct mln_grpc_service mln_grpc_spiffe_workload, mln_grpc_health;

static const char *text_of(struct mln_cx *cx, const struct mln_value *value)
{
    struct mln_buf buf = {0};
    mln_json_print(&buf, value, MLN_JSON_COMPACT);
    const char *text = mln_text_dup(cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return text;
}

static const struct mln_grpc_method *method_of(const char *path)
{
    const struct mln_grpc_service *service = NULL;
    const struct mln_grpc_method *method = mln_grpc_find(mln_grpc_services, mln_bytes_of(path), &service);
    assert_non_null(method);
    return method;
}

#define W "/SpiffeWorkloadAPI/"
#define H "/grpc.health.v1.Health/"

static void test_questions(void **state)
{
    static const struct {
        const char *method, *hex, *json; /* json NULL: refused */
    } rows[] = {
        {W "FetchX509SVID", "", "{\"op\":\"read\",\"path\":\"spiffe/workload/x509-svids\",\"data\":{}}"},
        {W "FetchX509SVID", "0a0161", "{\"op\":\"read\",\"path\":\"spiffe/workload/x509-svids\",\"data\":{}}"}, /* of a later version */
        {W "FetchX509SVID", "0a", NULL},
        {W "FetchX509Bundles", "", "{\"op\":\"read\",\"path\":\"spiffe/workload/x509-bundles\",\"data\":{}}"},
        {W "FetchJWTBundles", "", "{\"op\":\"read\",\"path\":\"spiffe/workload/jwt-bundles\",\"data\":{}}"},
        {W "FetchJWTSVID", "0a01610a0162120473703a2f",
         "{\"op\":\"write\",\"path\":\"spiffe/workload/jwt-svid\",\"data\":{\"audience\":[\"a\",\"b\"],\"spiffe_id\":\"sp:/\"}}"},
        {W "FetchJWTSVID", "", "{\"op\":\"write\",\"path\":\"spiffe/workload/jwt-svid\",\"data\":{}}"},
        {W "FetchJWTSVID", "0a01ff", NULL},
        {W "FetchJWTSVID", "12016112 0162", NULL},
        {W "ValidateJWTSVID", "0a01611203782e79",
         "{\"op\":\"write\",\"path\":\"spiffe/workload/validate\",\"data\":{\"audience\":\"a\",\"svid\":\"x.y\"}}"},
        {W "ValidateJWTSVID", "0a01610a0162", NULL},
        {H "Check", "", "{\"op\":\"read\",\"path\":\"sys/health\",\"data\":null}"},
        {H "Watch", "0a0161", "{\"op\":\"read\",\"path\":\"sys/health\",\"data\":null}"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_grpc_method *method = method_of(rows[i].method);
        struct mln_value *rq = mln_object(cx);
        struct mln_grpc_call call = {.message = kit_hex(cx, rows[i].hex)};
        struct mln_err err = method->ask(cx, &call, rq);
        if (mln_failed(err) != (rows[i].json == NULL)) {
            fail_msg("%s %s: %s", rows[i].method, rows[i].hex, mln_failed(err) ? cx->text : "taken");
        }
        if (rows[i].json != NULL) {
            assert_string_equal(text_of(cx, rq), rows[i].json);
        } else {
            assert_int_equal(mln_err_grpc(err.code), 3);
        }
        mln_cx_clear(cx);
    }
}

static void test_answers(void **state)
{
    static const struct {
        const char *method, *json, *hex; /* hex NULL: refused */
    } rows[] = {
        {W "FetchX509SVID",
         "{\"status\":200,\"data\":{\"svids\":[{\"spiffe_id\":\"i\",\"chain\":\"c\",\"key\":\"k\",\"bundle\":\"b\",\"hint\":\"h\"}],"
         "\"crl\":[\"r\"],\"federated\":{\"t\":\"f\"}}}",
         "0a0f0a01691201631a016b2201622a01681201721a060a0174120166"},
        {W "FetchX509SVID", "{\"status\":200,\"data\":{\"svids\":\"x\"}}", NULL},
        {W "FetchX509Bundles", "{\"status\":200,\"data\":{\"crl\":[],\"bundles\":{\"t\":\"f\"}}}", "12060a0174120166"},
        {W "FetchJWTBundles", "{\"status\":200,\"data\":{\"bundles\":{\"t\":\"f\"}}}", "0a060a0174120166"},
        {W "FetchJWTSVID",
         "{\"status\":200,\"data\":{\"svids\":[{\"spiffe_id\":\"i\",\"svid\":\"s\",\"hint\":\"\"}]}}", "0a060a0169120173"},
        {W "ValidateJWTSVID",
         "{\"status\":200,\"data\":{\"spiffe_id\":\"i\",\"claims\":{\"a\":\"x\"}}}", "0a016912 0a0a080a016112031a0178"},
        {H "Check", "{\"status\":200}", "0801"},
        {H "Check", "{\"status\":503}", "0802"},
        {H "Watch", "{\"status\":200}", "0801"},
        {H "Watch", "{\"status\":473}", "0802"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_grpc_method *method = method_of(rows[i].method);
        const struct mln_value *answer = NULL;
        struct mln_buf bytes = {0};
        struct mln_grpc_call call = {0};
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(rows[i].json), &answer));
        struct mln_err err = method->answer(cx, &call, answer, &bytes);
        if (mln_failed(err) != (rows[i].hex == NULL)) {
            fail_msg("%s %s: %s", rows[i].method, rows[i].json, mln_failed(err) ? cx->text : "taken");
        }
        mln_cx_clear(cx);
        if (rows[i].hex != NULL && !mln_bytes_eq(kit_hex(cx, rows[i].hex), mln_buf_bytes(&bytes))) {
            fail_msg("%s: %s", rows[i].json, mln_hex_text(cx, mln_buf_bytes(&bytes)));
        }
        mln_cx_clear(cx);
        mln_buf_drop(&bytes);
    }
}

/* Names that are known and not answered, and a header that all calls of the Workload API need. */
static void test_reserved(void **state)
{
    static const char *const reserved[] = {W "FetchWITSVID", W "FetchWITBundles"};
    const struct mln_grpc_service *service = NULL;
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(reserved); i++) {
        assert_null(method_of(reserved[i])->ask);
    }
    assert_non_null(mln_grpc_find(mln_grpc_services, mln_bytes_of(W "FetchX509SVID"), &service));
    assert_ptr_equal(service, &mln_grpc_spiffe_workload);
    assert_string_equal(service->header, "workload.spiffe.io");
    assert_null(mln_grpc_find(mln_grpc_services, mln_bytes_of("/spiffe.SpiffeWorkloadAPI/FetchX509SVID"), &service));
    assert_null(mln_grpc_health.header);
}

static void test_health_names(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_grpc_method *check = method_of(H "Check");
    const struct mln_grpc_method *watch = method_of(H "Watch");
    bool asks = true;
    struct mln_grpc_call known = {.message = MLN_BYTES("\x0a\x11SpiffeWorkloadAPI")};
    struct mln_grpc_call other = {.message = MLN_BYTES("\x0a\x01x")};
    struct mln_buf out = {0};
    kit_ok(cx, check->take(cx, &known, &asks));
    kit_refused(cx, check->take(cx, &other, &asks), MLN_E_NOT_FOUND);
    struct mln_value *answer = mln_object(cx);
    mln_put_int(cx, answer, "status", 200);
    kit_ok(cx, watch->answer(cx, &other, answer, &out));
    assert_true(mln_bytes_eq(mln_buf_bytes(&out), MLN_BYTES("\x08\x03")));
    mln_buf_drop(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_questions), KIT_TEST(test_answers), KIT_TEST(test_reserved),
                                       KIT_TEST(test_health_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
