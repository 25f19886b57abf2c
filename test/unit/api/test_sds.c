/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's secrets: names, ACKs and NACKs, what changes; and its external authorization. */
#include "kit/kit.h"

#include <string.h>

#include "api/grpc.h"
#include "api/protobuf.h"
#include "base/json.h"
#include "base/text.h"

extern const struct mln_grpc_service mln_grpc_sds, mln_grpc_authz;

#define TYPE "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

/* ---- messages, as a client sees them ---- */

static const struct mln_pb_field rpc_status[] = {{1, "code", MLN_PB_INT, MLN_PB_ONE, NULL},
                                                 {2, "message", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                                 {0}};
static const struct mln_pb_field node[] = {{1, "id", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field request[] = {{1, "version", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                              {2, "node", MLN_PB_MESSAGE, MLN_PB_ONE, node},
                                              {3, "names", MLN_PB_STRING, MLN_PB_MANY, NULL},
                                              {4, "type", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                              {5, "nonce", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                              {6, "error", MLN_PB_MESSAGE, MLN_PB_ONE, rpc_status},
                                              {0}};
static const struct mln_pb_field source[] = {{2, "inline", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field domain[] = {{1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                             {2, "bundle", MLN_PB_MESSAGE, MLN_PB_ONE, source},
                                             {0}};
static const struct mln_pb_field config[] = {{1, "domains", MLN_PB_MESSAGE, MLN_PB_MANY, domain},
                                             {0}};
static const struct mln_pb_field config_any[] = {{1, "type", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                                 {2, "value", MLN_PB_MESSAGE, MLN_PB_ONE, config},
                                                 {0}};
static const struct mln_pb_field custom[] = {{1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                             {2, "config", MLN_PB_MESSAGE, MLN_PB_ONE, config_any},
                                             {0}};
static const struct mln_pb_field certificate[] = {{1, "chain", MLN_PB_MESSAGE, MLN_PB_ONE, source},
                                                  {2, "key", MLN_PB_MESSAGE, MLN_PB_ONE, source},
                                                  {0}};
static const struct mln_pb_field validation[] = {{1, "ca", MLN_PB_MESSAGE, MLN_PB_ONE, source},
                                                 {12, "custom", MLN_PB_MESSAGE, MLN_PB_ONE, custom},
                                                 {0}};
static const struct mln_pb_field secret[] = {
    {1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL},
    {2, "certificate", MLN_PB_MESSAGE, MLN_PB_ONE, certificate},
    {4, "validation", MLN_PB_MESSAGE, MLN_PB_ONE, validation},
    {0}};
static const struct mln_pb_field any[] = {{1, "type", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                          {2, "value", MLN_PB_MESSAGE, MLN_PB_ONE, secret},
                                          {0}};
static const struct mln_pb_field response[] = {{1, "version", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                               {2, "resources", MLN_PB_MESSAGE, MLN_PB_MANY, any},
                                               {4, "type", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                               {5, "nonce", MLN_PB_STRING, MLN_PB_ONE, NULL},
                                               {0}};

static const char *text_of(struct mln_cx *cx, const struct mln_value *value)
{
    struct mln_buf buf = {0};
    mln_json_print(&buf, value, MLN_JSON_COMPACT);
    const char *text = mln_text_dup(cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return text;
}

static struct mln_bytes message_of(struct mln_cx *cx, const struct mln_pb_field *fields,
                                   const char *json)
{
    const struct mln_value *value = NULL;
    struct mln_buf buf = {0};
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(json), &value));
    kit_ok(cx, mln_pb_encode(cx, fields, value, &buf));
    struct mln_bytes bytes = mln_bytes_dup(cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return bytes;
}

/* "spiffe://td/a" and "spiffe://td/b" with bundles of td and far; leaf: what stands in the first chain. */
static const struct mln_value *core_answer(struct mln_cx *cx, struct mln_bytes leaf)
{
    static const char *const ids[] = {"spiffe://td/a", "spiffe://td/b"};
    struct mln_value *answer = mln_object(cx), *data = mln_object(cx), *svids = mln_array(cx),
                     *bundles = mln_object(cx);
    for (size_t i = 0; i < 2; i++) {
        struct mln_value *svid = mln_object(cx);
        mln_put_text(cx, svid, "spiffe_id", ids[i]);
        mln_put(cx, svid, "chain", mln_blob(cx, leaf));
        mln_put(cx, svid, "key", mln_blob(cx, MLN_BYTES("\x30\x01\x07")));
        mln_put(cx, svid, "bundle", mln_blob(cx, MLN_BYTES("\x30\x00\x30\x01\x05")));
        mln_push(cx, svids, svid);
    }
    mln_put(cx, bundles, "spiffe://td", mln_blob(cx, MLN_BYTES("\x30\x00\x30\x01\x05")));
    mln_put(cx, bundles, "spiffe://far", mln_blob(cx, MLN_BYTES("\x30\x81\x01\x06")));
    mln_put(cx, data, "svids", svids);
    mln_put(cx, data, "bundles", bundles);
    mln_put(cx, answer, "data", data);
    return answer;
}

struct stream {
    const struct mln_grpc_method *method;
    struct mln_grpc_call call;
};

static struct stream stream_begin(const char *name)
{
    struct stream s = {0};
    const struct mln_grpc_service *service = NULL;
    char path[128] = "/envoy.service.secret.v3.SecretDiscoveryService/";
    strcat(path, name);
    s.method = mln_grpc_find(mln_grpc_services, mln_bytes_of(path), &service);
    assert_non_null(s.method);
    assert_ptr_equal(service, &mln_grpc_sds);
    assert_null(service->header); /* Envoy cannot send one */
    s.call.state = mln_alloc(s.method->state_bytes);
    return s;
}

static void stream_end(struct stream *s)
{
    s->method->close(&s->call);
    mln_free(s->call.state);
}

static bool say(struct mln_cx *cx, struct stream *s, const char *json)
{
    bool asks = true;
    s->call.message = message_of(cx, request, json);
    kit_ok(cx, s->method->take(cx, &s->call, &asks));
    return asks;
}

/* What is sent for this answer of core; NULL = nothing. */
static const struct mln_value *hear(struct mln_cx *cx, struct stream *s, struct mln_bytes leaf)
{
    struct mln_buf out = {0};
    const struct mln_value *got = NULL;
    kit_ok(cx, s->method->answer(cx, &s->call, core_answer(cx, leaf), &out));
    struct mln_bytes bytes = mln_bytes_dup(cx, mln_buf_bytes(&out));
    if (bytes.len > 0) {
        kit_ok(cx, mln_pb_decode(cx, response, bytes, &got));
        assert_true(mln_is_text(mln_get(got, "type"), TYPE));
    }
    mln_buf_drop(&out);
    return got;
}

#define LEAF_1      MLN_BYTES("\x30\x01\x01")
#define LEAF_2      MLN_BYTES("\x30\x01\x02")
#define PEM(base64) "-----BEGIN CERTIFICATE-----\\n" base64 "\\n-----END CERTIFICATE-----\\n"
#define CA_TD       "{\"ca\":{\"inline\":\"" PEM("MAA=") PEM("MAEF") "\"}}"
#define CA_FAR      "{\"ca\":{\"inline\":\"" PEM("MIEBBg==") "\"}}"
#define CERT                                                                                       \
    "{\"chain\":{\"inline\":\"" PEM("MAEB") "\"},\"key\":{\"inline\":\"-----BEGIN PRIVATE "        \
                                            "KEY-----\\nMAEH\\n-----END PRIVATE KEY-----\\n\"}}"

/* ---- tests ---- */

static void test_names(void **state)
{
    static const struct {
        const char *name, *json; /* json NULL: refused */
    } rows[] = {
        {"default", "\"certificate\":" CERT},
        {"spiffe://td/b", "\"certificate\":" CERT},
        {"ROOTCA", "\"validation\":" CA_TD},
        {"spiffe://td", "\"validation\":" CA_TD},
        {"spiffe://far", "\"validation\":" CA_FAR},
        {"spiffe://td/c", NULL},
        {"spiffe://else", NULL},
        {"all", NULL},
        {"", NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct stream s = stream_begin("StreamSecrets");
        assert_true(say(cx, &s,
                        mln_text_format(cx,
                                        "{\"names\":[\"%s\"],\"type\":\"" TYPE
                                        "\",\"node\":{\"id\":\"n\"}}",
                                        rows[i].name)));
        if (rows[i].json == NULL) {
            struct mln_buf out = {0};
            kit_refused(cx, s.method->answer(cx, &s.call, core_answer(cx, LEAF_1), &out),
                        MLN_E_INVALID);
            mln_buf_drop(&out);
        } else {
            const struct mln_value *got =
                mln_get(mln_item(mln_get(hear(cx, &s, LEAF_1), "resources"), 0), "value");
            assert_string_equal(text_of(cx, got), mln_text_format(cx, "{\"name\":\"%s\",%s}",
                                                                  rows[i].name, rows[i].json));
        }
        stream_end(&s);
    }
}

static void test_all_and_none(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct stream s = stream_begin("StreamSecrets"), none = stream_begin("FetchSecrets");
    assert_true(say(cx, &s, "{\"names\":[\"ALL\",\"default\",\"ALL\"]}"));
    const struct mln_value *got = hear(cx, &s, LEAF_1);
    assert_int_equal(mln_len(mln_get(got, "resources")), 2);
    got = mln_get(mln_get(mln_get(mln_item(mln_get(got, "resources"), 0), "value"), "validation"),
                  "custom");
    assert_string_equal(
        text_of(cx, got),
        "{\"name\":\"envoy.tls.cert_validator.spiffe\",\"config\":{\"type\":"
        "\"type.googleapis.com/"
        "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig\",\"value\":{"
        "\"domains\":["
        "{\"name\":\"td\",\"bundle\":{\"inline\":\"" PEM("MAA=")
            PEM("MAEF") "\"}},"
                        "{\"name\":\"far\",\"bundle\":{\"inline\":\"" PEM("MIEBBg==") "\"}}]}}}");
    assert_true(say(cx, &none, "{}"));
    got = hear(cx, &none, LEAF_1);
    assert_int_equal(mln_len(mln_get(got, "resources")), 4); /* two ids, two trust domains */
    stream_end(&s);
    stream_end(&none);
}

static void test_acks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct stream s = stream_begin("StreamSecrets");
    assert_true(say(cx, &s, "{\"names\":[\"default\"]}"));
    const struct mln_value *got = hear(cx, &s, LEAF_1);
    assert_true(mln_is_text(mln_get(got, "nonce"), "1") &&
                mln_is_text(mln_get(got, "version"), "1"));
    assert_false(
        say(cx, &s, "{\"version\":\"1\",\"nonce\":\"1\",\"names\":[\"default\"]}")); /* ACK */
    assert_null(hear(cx, &s, LEAF_1)); /* published, and nothing changed */
    got = hear(cx, &s, LEAF_2);
    assert_true(mln_is_text(mln_get(got, "nonce"), "2"));
    assert_false(say(cx, &s,
                     "{\"version\":\"1\",\"nonce\":\"2\",\"names\":[\"default\"],\"error\":{"
                     "\"code\":3}}")); /* NACK */
    assert_null(hear(cx, &s, LEAF_2)); /* not again what was refused */
    assert_false(say(
        cx, &s, "{\"nonce\":\"1\",\"names\":[\"default\",\"ROOTCA\"]}")); /* to an older response */
    assert_false(say(cx, &s, "{\"nonce\":\"x\",\"names\":[\"ROOTCA\"]}"));
    assert_true(say(cx, &s, "{\"nonce\":\"2\",\"names\":[\"default\",\"ROOTCA\"]}")); /* one more */
    got = hear(cx, &s, LEAF_2);
    assert_true(mln_is_text(mln_get(got, "nonce"), "3"));
    assert_int_equal(mln_len(mln_get(got, "resources")), 2);
    stream_end(&s);
}

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct stream s = stream_begin("StreamSecrets");
    bool asks = true;
    s.call.message = message_of(
        cx, request, "{\"type\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\"}");
    kit_refused(cx, s.method->take(cx, &s.call, &asks), MLN_E_INVALID);
    struct mln_value *names = mln_array(cx), *many = mln_object(cx);
    for (int i = 0; i < 257; i++) {
        mln_push(cx, names, mln_textf(cx, "n%d", i));
    }
    mln_put(cx, many, "names", names);
    struct mln_buf buf = {0}, out = {0};
    kit_ok(cx, mln_pb_encode(cx, request, many, &buf));
    s.call.message = mln_buf_bytes(&buf);
    kit_refused(cx, s.method->take(cx, &s.call, &asks), MLN_E_INVALID);
    mln_buf_drop(&buf);
    const struct mln_bytes bad[] = {MLN_BYTES("\x30"),
                                    MLN_BYTES("\x30\x02\x01"),
                                    MLN_BYTES("\x31\x00"),
                                    MLN_BYTES("\x30\x80\x00\x00"),
                                    MLN_BYTES("\x30\x85\x01\x01\x01\x01\x01"),
                                    MLN_BYTES("\x30\x00\xff"),
                                    MLN_BYTES("\x30\x82\x01")};
    assert_true(say(cx, &s, "{\"names\":[\"default\"]}"));
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        kit_refused(cx, s.method->answer(cx, &s.call, core_answer(cx, bad[i]), &out),
                    MLN_E_INTERNAL);
    }
    mln_buf_drop(&out);
    stream_end(&s);
}

static void test_authz(void **state)
{
    /* who p, whom d, http { method GET, headers {a: b}, path /x?y, host h, body z } */
    static const char hex[] = "0a 27 0a03220170 12 03220164 22 1b 12 19 1203474554 1a060a016112 "
                              "0162 22042f783f79 2a0168 5a01 7a";
    struct mln_cx *cx = kit_cx(state);
    const struct mln_grpc_service *service = NULL;
    const struct mln_grpc_method *check = mln_grpc_find(
        mln_grpc_services, mln_bytes_of("/envoy.service.auth.v3.Authorization/Check"), &service);
    assert_ptr_equal(service, &mln_grpc_authz);
    struct mln_grpc_call call = {.message = kit_hex(cx, hex)};
    struct mln_value *rq = mln_object(cx);
    kit_ok(cx, check->ask(cx, &call, rq));
    assert_string_equal(text_of(cx, rq),
                        "{\"op\":\"write\",\"path\":\"spiffe/"
                        "authz\",\"data\":{\"principal\":\"p\",\"destination\":\"d\","
                        "\"method\":\"GET\",\"path\":\"/x\",\"host\":\"h\"}}");
    static const struct {
        const char *json, *hex;
    } rows[] = {
        {"{\"data\":{\"allowed\":true}}", "0a00 1a00"},
        {"{\"data\":{\"allowed\":false,\"reason\":\"r\"}}",
         "0a05 0807 120172 1219 0a03 089303 1a12 7065726d697373696f6e2064656e6965640a"},
        {"{\"data\":{}}", "0a02 0807 1219 0a03 089303 1a12 7065726d697373696f6e2064656e6965640a"},
        {"{\"data\":{\"allowed\":\"true\"}}",
         "0a02 0807 1219 0a03 089303 1a12 7065726d697373696f6e2064656e6965640a"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_value *answer = NULL;
        struct mln_buf out = {0};
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(rows[i].json), &answer));
        kit_ok(cx, check->answer(cx, &call, answer, &out));
        assert_string_equal(kit_hex_of(cx, mln_buf_bytes(&out)),
                            kit_hex_of(cx, kit_hex(cx, rows[i].hex)));
        mln_buf_drop(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_names), KIT_TEST(test_all_and_none),
                                       KIT_TEST(test_acks), KIT_TEST(test_refused),
                                       KIT_TEST(test_authz)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
