/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: form, round trip, the worked example's PAE, and what is refused. */
#include "kit/kit.h"

#include "artifact/dsse.h"
#include "base/text.h"

static struct mln_bytes read_test(struct mln_cx *cx, const char *name)
{
    char path[KIT_PATH_MAX];
    return kit_read_file(cx, kit_test_file(path, name));
}

static void test_worked_example(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_dsse dsse;
    struct mln_buf pae = {0};
    kit_ok(cx, mln_dsse_parse(cx, read_test(cx, "vectors/oms/tiny.p256.sig"), &dsse));
    assert_int_equal(dsse.material, MLN_DSSE_KEY);
    kit_text(dsse.payload_type, MLN_DSSE_IN_TOTO);
    kit_same(cx, dsse.payload, read_test(cx, "vectors/oms/tiny.p256.payload.json"));
    kit_same(cx, dsse.sig, read_test(cx, "vectors/oms/tiny.p256.sig.der"));
    mln_dsse_pae(&pae, dsse.payload_type, dsse.payload);
    kit_same(cx, mln_buf_bytes(&pae), read_test(cx, "vectors/oms/tiny.p256.pae.bin"));
    mln_buf_drop(&pae);
}

static void test_chain(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_dsse dsse;
    kit_ok(cx, mln_dsse_parse(cx, read_test(cx, "vectors/oms/tiny.cert.sig"), &dsse));
    assert_int_equal(dsse.material, MLN_DSSE_CHAIN);
    assert_true(dsse.n_certs >= 1);
    assert_int_equal(dsse.certs[0].ptr[0], 0x30);
}

static void test_round_trip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const names[] = {"tiny.p256.sig", "tiny.cert.sig", "single_file.sig",
                                        "negative/ok_no_hint.sig"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        struct mln_dsse first, second;
        struct mln_buf text = {0};
        kit_ok(cx, mln_dsse_parse(
                       cx, read_test(cx, mln_text_format(cx, "vectors/oms/%s", names[i])), &first));
        mln_dsse_print(cx, &text, &first);
        kit_ok(cx, mln_dsse_parse(cx, mln_buf_bytes(&text), &second));
        kit_same(cx, second.payload, first.payload);
        kit_same(cx, second.sig, first.sig);
        kit_same(cx, second.hint, first.hint);
        assert_int_equal(second.n_certs, first.n_certs);
        mln_buf_drop(&text);
    }
}

#define MATERIAL "\"verificationMaterial\":{\"publicKey\":{\"hint\":\"\"}}"
#define ENVELOPE                                                                                   \
    "\"dsseEnvelope\":{\"payload\":\"e30=\",\"payloadType\":\"t\",\"signatures\":[{\"sig\":\"MAA=" \
    "\"}]}"
#define TYPE "\"mediaType\":\"" MLN_DSSE_MEDIA_TYPE "\""

static const struct {
    const char *name, *json;
    enum mln_code code;
    const char *part;
} rows[] = {
    {"good", "{" TYPE "," MATERIAL "," ENVELOPE "}", MLN_E_OK, NULL},
    {"unknown members", "{\"x\":1," TYPE "," MATERIAL "," ENVELOPE "}", MLN_E_OK, NULL},
    {"hint is null",
     "{" TYPE ",\"verificationMaterial\":{\"publicKey\":{\"hint\":null}}," ENVELOPE "}", MLN_E_OK,
     NULL},
    {"empty", "", MLN_E_FORGED, "json"},
    {"no object", "[]", MLN_E_FORGED, "mediaType"},
    {"other version",
     "{\"mediaType\":\"application/vnd.dev.sigstore.bundle+json;version=0.1\"," MATERIAL
     "," ENVELOPE "}",
     MLN_E_FORGED, "mediaType"},
    {"member twice", "{" TYPE "," TYPE "," MATERIAL "," ENVELOPE "}", MLN_E_FORGED, "json"},
    {"text behind", "{" TYPE "," MATERIAL "," ENVELOPE "}x", MLN_E_FORGED, "json"},
    {"no material", "{" TYPE "," ENVELOPE "}", MLN_E_FORGED, "verificationMaterial"},
    {"two materials",
     "{" TYPE ",\"verificationMaterial\":{\"publicKey\":{},\"x509CertificateChain\":{}}," ENVELOPE
     "}",
     MLN_E_FORGED, "exactly one"},
    {"keyless",
     "{" TYPE ",\"verificationMaterial\":{\"certificate\":{\"rawBytes\":\"MAA=\"}}," ENVELOPE "}",
     MLN_E_UNSUPPORTED, "keyless"},
    {"empty chain",
     "{" TYPE ",\"verificationMaterial\":{\"x509CertificateChain\":{\"certificates\":[]}}," ENVELOPE
     "}",
     MLN_E_FORGED, "certificates"},
    {"nine certificates",
     "{" TYPE ",\"verificationMaterial\":{\"x509CertificateChain\":{\"certificates\":[1,2,3,4,5,6,"
              "7,8,9]}}," ENVELOPE "}",
     MLN_E_FORGED, "1 to 8"},
    {"hint is a number",
     "{" TYPE ",\"verificationMaterial\":{\"publicKey\":{\"hint\":5}}," ENVELOPE "}", MLN_E_FORGED,
     "publicKey"},
    {"message signature", "{" TYPE ",\"messageSignature\":{}," MATERIAL "," ENVELOPE "}",
     MLN_E_FORGED, "messageSignature"},
    {"no envelope", "{" TYPE "," MATERIAL "}", MLN_E_FORGED, "dsseEnvelope"},
    {"no signature",
     "{" TYPE "," MATERIAL
     ",\"dsseEnvelope\":{\"payload\":\"e30=\",\"payloadType\":\"t\",\"signatures\":[]}}",
     MLN_E_FORGED, "exactly one"},
    {"two signatures",
     "{" TYPE "," MATERIAL ",\"dsseEnvelope\":{\"payload\":\"e30=\",\"payloadType\":\"t\","
                           "\"signatures\":[{\"sig\":\"MAA=\"},{\"sig\":\"MAA=\"}]}}",
     MLN_E_FORGED, "exactly one"},
    {"payload without padding",
     "{" TYPE "," MATERIAL ",\"dsseEnvelope\":{\"payload\":\"e30\",\"payloadType\":\"t\","
                           "\"signatures\":[{\"sig\":\"MAA=\"}]}}",
     MLN_E_FORGED, "payload is not base64"},
    {"payload in the URL alphabet",
     "{" TYPE "," MATERIAL ",\"dsseEnvelope\":{\"payload\":\"e-_=\",\"payloadType\":\"t\","
                           "\"signatures\":[{\"sig\":\"MAA=\"}]}}",
     MLN_E_FORGED, "payload is not base64"},
    {"no payload type",
     "{" TYPE "," MATERIAL
     ",\"dsseEnvelope\":{\"payload\":\"e30=\",\"signatures\":[{\"sig\":\"MAA=\"}]}}",
     MLN_E_FORGED, "payloadType"},
};

static void test_form(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_dsse dsse;
        struct mln_err err = mln_dsse_parse(cx, mln_bytes_of(rows[i].json), &dsse);
        kit_expect_at(cx, err, rows[i].code, rows[i].part, rows[i].name, __FILE__, __LINE__);
    }
}

static const struct {
    const char *payload, *want;
} legacy[] = {
    {"{}", "DSSEV1 1 t 5 b'{}'"},
    {"", "DSSEV1 1 t 3 b''"},
    {"a'b", "DSSEV1 1 t 6 b\"a'b\""},
    {"a'b\"", "DSSEV1 1 t 8 b'a\\'b\"'"},
    {"\\\n\t\x01\xc3", "DSSEV1 1 t 17 b'\\\\\\n\\t\\x01\\xc3'"},
};

static void test_legacy_pae(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(legacy); i++) {
        struct mln_buf buf = {0};
        mln_dsse_pae_legacy(&buf, MLN_BYTES("t"), mln_bytes_of(legacy[i].payload));
        kit_text(mln_buf_bytes(&buf), legacy[i].want);
        mln_buf_drop(&buf);
    }
}

static struct mln_err parse_body(struct mln_cx *cx, void *arg)
{
    struct mln_dsse dsse;
    (void)arg;
    return mln_dsse_parse(cx, mln_bytes_of(rows[0].json), &dsse);
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, parse_body, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_worked_example), KIT_TEST(test_chain),      KIT_TEST(test_round_trip),
        KIT_TEST(test_form),           KIT_TEST(test_legacy_pae), KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
