/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation in the PKI engine: lists, deltas, OCSP, leases, tidying; judged by OpenSSL. */
#include "kit/pki_kit.h"

#include <openssl/ocsp.h>

#define DAY_NS ((int64_t)86400 * 1000000000)

static char serial[128], pem[16384], key_pem[4096], json[32768], path[256];

/* A new certificate: its serial number, certificate and key in the statics above. */
static void issue(struct ek *k)
{
    EK_WANT(k, ek_write(k, "pki/issue/r", "{\"common_name\":\"a.org\",\"ttl\":\"2h\"}"), 200);
    pk_keep(k, "serial_number", serial, sizeof(serial));
    pk_keep(k, "certificate", pem, sizeof(pem));
    pk_keep(k, "private_key", key_pem, sizeof(key_pem));
}

static const char *by_serial(void)
{
    snprintf(json, sizeof(json), "{\"serial_number\":\"%s\"}", serial);
    return json;
}

static struct ek *with_role(void)
{
    struct ek *k = pk_new();
    EK_WANT(k, ek_write(k, "pki/roles/r", "{\"key_type\":\"ec\",\"allow_any_name\":true}"), 200);
    return k;
}
#define WITH_ROLE(name) MLN_AUTO(ek_drop) struct ek *name = with_role()

static X509 *root_of(struct ek *k)
{
    EK_WANT(k, ek_read(k, "pki/cert/ca", NULL), 200);
    return pk_answer_x509(k);
}

static int entries(struct ek *k, const char *from)
{
    X509_CRL *crl = pk_crl(k, from);
    int n = X509_CRL_get_REVOKED(crl) != NULL ? sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)) : 0;
    X509_CRL_free(crl);
    return n;
}

static void test_revoke(void **state)
{
    (void)state;
    WITH_ROLE(k);
    issue(k);
    X509 *root = root_of(k), *leaf = pk_x509(pem);
    X509_CRL *before = pk_crl(k, "pki/crl");
    assert_int_equal(pk_verify(leaf, root, NULL, before), X509_V_OK);
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    assert_string_equal(ek_text(k, "state"), "revoked");
    int64_t at = mln_get_int(mln_get(k->re.data, "revocation_time"), 0);
    assert_int_equal(at, k->now_ns / 1000000000);
    X509_CRL *after = pk_crl(k, "pki/crl");
    assert_int_equal(pk_verify(leaf, root, NULL, after), X509_V_ERR_CERT_REVOKED);
    k->now_ns += 5000000000;
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200); /* twice: the first time stays */
    assert_int_equal(mln_get_int(mln_get(k->re.data, "revocation_time"), 0), at);
    assert_false(k->wrote);
    snprintf(path, sizeof(path), "pki/cert/%s", serial);
    EK_WANT(k, ek_read(k, path, NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "revocation_time"), 0), at);
    assert_int_equal(strlen(ek_text(k, "issuer_id")), 36);
    EK_WANT(k, ek_list(k, "pki/certs/revoked"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 1);
    EK_WANT(k, ek_read(k, "pki/crl/pem", NULL), 204);
    EK_WANT(k, ek_read(k, "pki/issuer/default/crl", NULL), 200);
    EK_WANT(k, ek_read(k, "pki/issuer/default/crl/der", NULL), 204);
    X509_CRL_free(before);
    X509_CRL_free(after);
    X509_free(leaf);
    X509_free(root);
}

static void test_refused(void **state)
{
    (void)state;
    WITH_ROLE(k);
    issue(k);
    EK_REFUSED(k, ek_write(k, "pki/revoke", "{\"serial_number\":\"00:11\"}"), 400,
               "certificate with serial 00:11 not found.");
    EK_REFUSED(k, ek_write(k, "pki/revoke", "{\"serial_number\":\"../x\"}"), 400, "not found.");
    EK_REFUSED(k, ek_write(k, "pki/revoke", "{}"), 400,
               "The serial number or certificate to revoke must be provided.");
    EK_REFUSED(k, ek_write(k, "pki/revoke", "{\"certificate\":\"x\"}"), 400, "no PEM data");
    EK_REFUSED(k, ek_write(k, "pki/revoke", "{\"certificate\":\"x\",\"serial_number\":\"1\"}"), 400,
               "not both");
    EK_REFUSED(k, ek_write(k, "pki/revoke-with-key", by_serial()), 400,
               "No private key was provided");
    EK_WANT(k, ek_read(k, "pki/cert/ca", NULL), 200);
    X509 *root = pk_answer_x509(k);
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(root), NULL);
    char *hex = BN_bn2hex(number);
    snprintf(json, sizeof(json), "{\"serial_number\":\"%s\"}", hex);
    EK_REFUSED(k, ek_write(k, "pki/revoke", json), 400,
               "adding issuer (as its own root) to its own CRL is not allowed");
    OPENSSL_free(hex);
    BN_free(number);
    X509_free(root);
    k->now_ns += DAY_NS;
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 204); /* expired */
    assert_int_equal(mln_len(k->re.warnings), 1);
    assert_int_equal(entries(k, "pki/crl"), 0);
}

/* Both serial numbers and certificates, also of what was not kept; and by the key. */
static void test_ways(void **state)
{
    (void)state;
    WITH_ROLE(k);
    EK_WANT(k,
            ek_write(k, "pki/roles/r",
                     "{\"key_type\":\"ec\",\"allow_any_name\":true,\"no_store\":true}"),
            200);
    issue(k);
    EK_REFUSED(k, ek_write(k, "pki/revoke", by_serial()), 400, "not found");
    EK_WANT(k, ek_write(k, "pki/revoke", pk_with(json, sizeof(json), "certificate", pem, "")), 200);
    EK_WANT(k, ek_write(k, "pki/roles/r", "{\"key_type\":\"ec\",\"allow_any_name\":true}"), 200);
    issue(k);
    for (char *c = serial; *c != '\0'; c++) {
        *c = *c == ':' ? '-' : *c >= 'a' && *c <= 'f' ? (char)(*c - 32) : *c;
    }
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    issue(k);
    char of_first[4096], rest[8192];
    mln_copy(of_first, key_pem, sizeof(of_first));
    issue(k);
    snprintf(rest, sizeof(rest), ",\"serial_number\":\"%s\"", serial);
    EK_REFUSED(k,
               ek_write(k, "pki/revoke-with-key",
                        pk_with(json, sizeof(json), "private_key", of_first, rest)),
               400, "does not match");
    EK_WANT(k,
            ek_write(k, "pki/revoke-with-key",
                     pk_with(json, sizeof(json), "private_key", key_pem, rest)),
            200);
    assert_int_equal(entries(k, "pki/crl"), 3);
}

static void test_lease(void **state)
{
    (void)state;
    WITH_ROLE(k);
    issue(k);
    for (int i = 0; i < 2; i++) { /* must bear being run twice */
        struct mln_request rq;
        ek_begin(k, &rq);
        rq.mount = &k->mounts[0];
        struct mln_value *internal = mln_object(k->cx);
        mln_put_text(k->cx, internal, "serial_number", serial);
        ek_end(k, mln_engine_pki.revoke(&rq, internal));
        kit_ok(k->cx, k->err);
    }
    assert_int_equal(entries(k, "pki/crl"), 1);
}

/* Over several segments; unchanged lists are read without writing. */
static void test_many(void **state)
{
    (void)state;
    WITH_ROLE(k);
    for (int i = 0; i < 600; i++) {
        issue(k);
        EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    }
    assert_int_equal(entries(k, "pki/crl"), 600);
    assert_true(k->wrote);
    assert_int_equal(entries(k, "pki/crl"), 600);
    assert_false(k->wrote);
    k->now_ns += 5 * DAY_NS / 2 + DAY_NS / 24; /* 61 hours, of 72 less 12: made anew */
    assert_int_equal(entries(k, "pki/crl"), 600);
    assert_true(k->wrote);
    k->now_ns += 5 * DAY_NS;
    EK_WANT(k, ek_write(k, "pki/tidy", "{\"tidy_cert_store\":true,\"tidy_revoked_certs\":true}"),
            202);
    EK_WANT(k, ek_read(k, "pki/tidy-status", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "revoked_cert_deleted_count"), 0), 600);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "cert_store_deleted_count"), 0), 600);
    assert_int_equal(entries(k, "pki/crl"), 0);
    EK_WANT(k, ek_list(k, "pki/certs/revoked"), 404);
}

static void test_tidy_some(void **state)
{
    (void)state;
    WITH_ROLE(k);
    for (int i = 0; i < 300; i++) {
        issue(k);
        EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    }
    k->now_ns += 10 * DAY_NS;
    for (int i = 0; i < 300; i++) {
        issue(k);
        EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    }
    assert_int_equal(entries(k, "pki/crl"), 600);
    EK_WANT(k, ek_write(k, "pki/tidy", "{\"tidy_revoked_certs\":true}"), 202);
    assert_int_equal(entries(k, "pki/crl"), 300);
    issue(k);
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    assert_int_equal(entries(k, "pki/crl"), 301);
}

static void tick(struct ek *k)
{
    struct mln_request rq;
    ek_begin(k, &rq);
    rq.mount = &k->mounts[0];
    ek_end(k, mln_engine_pki.tick(&rq));
    kit_ok(k->cx, k->err);
}

static void test_delta(void **state)
{
    (void)state;
    WITH_ROLE(k);
    EK_WANT(k, ek_read(k, "pki/crl/delta", NULL), 404);
    EK_WANT(k, ek_write(k, "pki/config/crl", "{\"auto_rebuild\":true,\"enable_delta\":true}"), 200);
    EK_DATA(k, "{\"allow_expired_cert_revocation\":false,\"auto_rebuild\":true,\"auto_rebuild_"
               "grace_period\":\"12h\","
               "\"delta_rebuild_interval\":\"15m\",\"disable\":false,\"enable_delta\":true,"
               "\"expiry\":\"72h\",\"ocsp_disable\":false,"
               "\"ocsp_expiry\":\"12h\"}");
    assert_int_equal(entries(k, "pki/crl"), 0);
    assert_int_equal(entries(k, "pki/crl/delta"), 0);
    issue(k);
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    assert_int_equal(entries(k, "pki/crl"), 0);       /* waits for its end */
    assert_int_equal(entries(k, "pki/crl/delta"), 0); /* waits for its interval */
    k->now_ns += (int64_t)1000 * 1000000000;
    assert_int_equal(entries(k, "pki/crl/delta"), 1);
    X509_CRL *full = pk_crl(k, "pki/crl"), *delta = pk_crl(k, "pki/crl/delta");
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(full, NID_crl_number, NULL, NULL),
                 *base = X509_CRL_get_ext_d2i(delta, NID_delta_crl, NULL, NULL);
    assert_int_equal(ASN1_INTEGER_cmp(number, base), 0);
    ASN1_INTEGER_free(number);
    ASN1_INTEGER_free(base);
    X509_CRL_free(full);
    X509_CRL_free(delta);
    k->now_ns +=
        (int64_t)61 * 3600 * 1000000000; /* within 12 hours of its end: the clock builds it */
    tick(k);
    assert_true(k->wrote);
    assert_int_equal(entries(k, "pki/crl"), 1);
    assert_int_equal(entries(k, "pki/crl/delta"), 0);
    EK_WANT(k, ek_read(k, "pki/crl/rotate", NULL), 200);
    EK_DATA(k, "{\"success\":true}");
    EK_WANT(k, ek_read(k, "pki/crl/rotate-delta", NULL), 200);
    EK_WANT(k, ek_write(k, "pki/config/crl", "{\"disable\":true}"), 200);
    assert_int_equal(entries(k, "pki/crl"), 0);
}

/* ---- OCSP ---- */

/* One question by POST; returns V_OCSP_CERTSTATUS_*, or -status of an answer that is a refusal. */
static int ask(struct ek *k, X509 *leaf, X509 *root, const EVP_MD *md, bool by_get)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_request_add0_id(request, OCSP_cert_to_id(md, leaf, root));
    OCSP_request_add1_nonce(request, NULL, -1);
    uint8_t *der = NULL;
    int n = i2d_OCSP_REQUEST(request, &der);
    struct mln_request rq;
    k->re = (struct mln_reply){0};
    ek_begin(k, &rq);
    rq.mount = &k->mounts[0];
    struct mln_value *data = mln_object(k->cx);
    if (by_get) {
        mln_put_text(k->cx, data, "request",
                     mln_base64_text(k->cx, mln_bytes_at(der, (size_t)n), MLN_B64_STD));
    } else {
        mln_put(k->cx, data, "raw",
                mln_blob(k->cx, mln_bytes_dup(k->cx, mln_bytes_at(der, (size_t)n))));
    }
    rq.data = rq.fields = data;
    const struct mln_path *p = mln_engine_pki.paths;
    while (strcmp(p->pattern, by_get ? "ocsp/{request...}" : "ocsp") != 0) {
        p++;
    }
    ek_end(k, (by_get ? p->read : p->write)(&rq, &k->re));
    kit_ok(k->cx, k->err);
    OPENSSL_free(der);
    const uint8_t *at = k->re.raw.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)k->re.raw.len);
    assert_non_null(response);
    int status = OCSP_response_status(response), reason = 0, cert_status = -status;
    if (status == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
        STACK_OF(X509) *certs = sk_X509_new_null();
        sk_X509_push(certs, root);
        X509_STORE *store = X509_STORE_new();
        X509_STORE_add_cert(store, root);
        assert_int_equal(OCSP_basic_verify(basic, certs, store, 0), 1);
        assert_int_equal(OCSP_check_nonce(request, basic), 1);
        ASN1_GENERALIZEDTIME *revoked, *this, *next;
        OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0));
        assert_int_equal(
            OCSP_resp_find_status(basic, id, &cert_status, &reason, &revoked, &this, &next), 1);
        X509_STORE_free(store);
        sk_X509_free(certs);
        OCSP_BASICRESP_free(basic);
    }
    OCSP_RESPONSE_free(response);
    OCSP_REQUEST_free(request);
    return cert_status;
}

static void test_ocsp(void **state)
{
    (void)state;
    WITH_ROLE(k);
    issue(k);
    X509 *root = root_of(k), *leaf = pk_x509(pem);
    assert_int_equal(ask(k, leaf, root, EVP_sha1(), false), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(ask(k, leaf, root, EVP_sha256(), true), V_OCSP_CERTSTATUS_GOOD);
    assert_int_equal(ask(k, leaf, leaf, EVP_sha1(), false),
                     -OCSP_RESPONSE_STATUS_UNAUTHORIZED); /* another issuer */
    assert_int_equal(ask(k, leaf, root, EVP_sha512(), false), -OCSP_RESPONSE_STATUS_UNAUTHORIZED);
    EK_WANT(k, ek_write(k, "pki/revoke", by_serial()), 200);
    assert_int_equal(ask(k, leaf, root, EVP_sha1(), false), V_OCSP_CERTSTATUS_REVOKED);
    assert_int_equal(ask(k, leaf, root, EVP_sha256(), true), V_OCSP_CERTSTATUS_REVOKED);
    EK_WANT(k, ek_write(k, "pki/config/crl", "{\"ocsp_disable\":true}"), 200);
    assert_int_equal(ask(k, leaf, root, EVP_sha1(), false), -OCSP_RESPONSE_STATUS_UNAUTHORIZED);
    EK_WANT(k, ek_read(k, "pki/ocsp/AAAA", NULL), 204);
    assert_int_equal(k->re.raw.len, 5);
    assert_int_equal(k->re.raw.ptr[4], OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
    EK_WANT(k, ek_read(k, "pki/ocsp/!!", NULL), 204);
    EK_WANT(k, ek_write(k, "pki/ocsp", "{}"), 204);
    X509_free(leaf);
    X509_free(root);
}

static void test_auto_tidy(void **state)
{
    (void)state;
    WITH_ROLE(k);
    issue(k);
    EK_WANT(k, ek_read(k, "pki/tidy-status", NULL), 200);
    assert_string_equal(ek_text(k, "state"), "Inactive");
    EK_WANT(k,
            ek_write(k, "pki/config/auto-tidy",
                     "{\"enabled\":true,\"tidy_cert_store\":true,\"interval_duration\":\"1h\"}"),
            200);
    k->now_ns += 10 * DAY_NS;
    tick(k);
    EK_WANT(k, ek_read(k, "pki/tidy-status", NULL), 200);
    assert_string_equal(ek_text(k, "state"), "Finished");
    assert_int_equal(mln_get_int(mln_get(k->re.data, "cert_store_deleted_count"), 0), 1);
    tick(k);
    assert_false(k->wrote); /* not due */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revoke),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ways),      cmocka_unit_test(test_lease),
        cmocka_unit_test(test_many),      cmocka_unit_test(test_tidy_some),
        cmocka_unit_test(test_delta),     cmocka_unit_test(test_ocsp),
        cmocka_unit_test(test_auto_tidy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
