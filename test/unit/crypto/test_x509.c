/* SPDX-License-Identifier: Apache-2.0 */
/* X.509: keys, names, extensions, certificates, lists; written here and read by OpenSSL, read here and refused. */
#include "kit/kit.h"

#include "base/text.h"
#include "crypto/x509.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string.h>

static void test_keys(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        enum mln_key_kind kind;
        unsigned bits;
        enum mln_code want;
        const char *type;
    } t[] = {
        {MLN_KEY_RSA, 2048, MLN_E_OK, "RSA"},     {MLN_KEY_EC, 224, MLN_E_OK, "EC"},
        {MLN_KEY_EC, 256, MLN_E_OK, "EC"},        {MLN_KEY_EC, 384, MLN_E_OK, "EC"},
        {MLN_KEY_EC, 521, MLN_E_OK, "EC"},        {MLN_KEY_ED25519, 0, MLN_E_OK, "ED25519"},
        {MLN_KEY_RSA, 1024, MLN_E_INVALID, NULL}, {MLN_KEY_RSA, 2049, MLN_E_INVALID, NULL},
        {MLN_KEY_EC, 255, MLN_E_INVALID, NULL},   {MLN_KEY_EC, 0, MLN_E_INVALID, NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_key key, again;
        kit_expect(cx, t[i].type, mln_key_generate(cx, t[i].kind, t[i].bits, &key), t[i].want);
        if (t[i].want != MLN_E_OK) {
            continue;
        }
        const uint8_t *at = key.plain.ptr, *public_at = key.spki.ptr;
        EVP_PKEY *private = d2i_AutoPrivateKey(NULL, &at, (long)key.plain.len);
        EVP_PKEY *public = d2i_PUBKEY(NULL, &public_at, (long)key.spki.len);
        assert_true(private != NULL && public != NULL && EVP_PKEY_is_a(private, t[i].type));
        assert_int_equal(EVP_PKEY_eq(private, public), 1);
        kit_ok(cx, mln_key_read(cx, key.plain, &again));
        kit_same(cx, again.pkcs8, key.pkcs8);
        kit_ok(cx, mln_key_read(cx, key.pkcs8, &again));
        kit_same(cx, again.plain, key.plain);
        kit_same(cx, again.spki, key.spki);
        EVP_PKEY_free(private);
        EVP_PKEY_free(public);
    }
}

static void test_bad_keys(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_key key, got;
    kit_refused(cx, mln_key_read(cx, MLN_BYTES_NONE, &got), MLN_E_PARSE);
    kit_refused(cx, mln_key_read(cx, MLN_BYTES("no key"), &got), MLN_E_PARSE);
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, &key));
    uint8_t *longer = mln_new(cx, key.pkcs8.len + 1);
    mln_copy(longer, key.pkcs8.ptr, key.pkcs8.len);
    kit_refused(cx, mln_key_read(cx, mln_bytes_at(longer, key.pkcs8.len + 1), &got), MLN_E_PARSE);
    kit_refused(cx, mln_key_read(cx, mln_bytes_sub(key.pkcs8, 0, 60), &got), MLN_E_PARSE);
    EVP_PKEY *other = EVP_EC_gen("secp256k1");
    uint8_t *der = NULL;
    int n = i2d_PrivateKey(other, &der);
    kit_refused(cx, mln_key_read(cx, mln_bytes_at(der, (size_t)n), &got), MLN_E_UNSUPPORTED);
    OPENSSL_free(der);
    EVP_PKEY_free(other);
}

static void test_picks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        enum mln_key_kind kind;
        unsigned bits;
        int64_t hash;
        bool pss;
        const char *want; /* NULL: refused */
    } t[] = {
        {MLN_KEY_RSA, 2048, 0, false, "SHA256WithRSA"},
        {MLN_KEY_RSA, 2048, 384, false, "SHA384WithRSA"},
        {MLN_KEY_RSA, 2048, 512, true, "SHA512WithRSAPSS"},
        {MLN_KEY_EC, 224, 0, false, "ECDSAWithSHA256"},
        {MLN_KEY_EC, 384, 256, false, "ECDSAWithSHA384"},
        {MLN_KEY_EC, 521, 0, true, "ECDSAWithSHA512"},
        {MLN_KEY_ED25519, 0, 512, false, "PureEd25519"},
        {MLN_KEY_RSA, 2048, 224, false, NULL},
        {MLN_KEY_EC, 256, 1, false, NULL},
        {MLN_KEY_RSA, 2048, -256, false, NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        enum mln_sig sig = MLN_SIGS, named = MLN_SIGS;
        struct mln_err err = mln_sig_pick(cx, t[i].kind, t[i].bits, t[i].hash, t[i].pss, &sig);
        kit_expect(cx, t[i].want, err, t[i].want != NULL ? MLN_E_OK : MLN_E_INVALID);
        if (t[i].want != NULL) {
            assert_string_equal(mln_sig_name(sig), t[i].want);
            assert_true(mln_sig_of(mln_bytes_of(t[i].want), &named) && named == sig &&
                        mln_sig_fits(sig, t[i].kind));
        }
    }
}

/* A self-signed certificate with these extensions, read by OpenSSL. */
static X509 *made(struct mln_cx *cx, struct mln_bytes *ret_der, const struct mln_bytes *extensions,
                  size_t n, int64_t end_s)
{
    struct mln_key key;
    static const uint8_t serial[] = {0x80, 0x01};
    struct mln_value *ou = mln_array(cx);
    mln_push_text(cx, ou, "b\xc3\xbc");
    mln_push_text(cx, ou, "a");
    struct mln_x509_name parts = {.ou = ou, .common_name = MLN_BYTES("a.org")};
    struct mln_bytes name;
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, &key));
    kit_ok(cx, mln_x509_name_print(cx, &parts, &name));
    struct mln_x509_signer by = {key.pkcs8, MLN_SIG_EC_256};
    struct mln_cert_spec spec = {.serial = mln_bytes_at(serial, 2),
                                 .issuer = name,
                                 .subject = name,
                                 .spki = key.spki,
                                 .not_before_s = 0,
                                 .not_after_s = end_s,
                                 .extensions = extensions,
                                 .n = n};
    kit_ok(cx, mln_cert_build(cx, &spec, &by, ret_der));
    const uint8_t *at = ret_der->ptr;
    X509 *x = d2i_X509(NULL, &at, (long)ret_der->len);
    assert_non_null(x);
    assert_true(at == ret_der->ptr + ret_der->len);
    assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
    /* DER is canonical: OpenSSL prints the same bytes when it encodes anew */
    uint8_t *again = NULL;
    int again_n = i2d_re_X509_tbs(x, &again);
    assert_true(again_n > 0 && mln_bytes_find_bytes(
                                   *ret_der, mln_bytes_at(again, (size_t)again_n)) < ret_der->len);
    OPENSSL_free(again);
    return x;
}

static void test_certificate(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes der;
    struct mln_x509_info info;
    struct mln_value *oids = mln_array(cx);
    mln_push_text(cx, oids, "1.3.6.1.5.5.7.3.1");
    static const uint8_t ip[] = {10, 0, 0, 1};
    const struct mln_san sans[] = {
        {.kind = MLN_SAN_DNS, .value = MLN_BYTES("a.org")},
        {.kind = MLN_SAN_IP, .value = {ip, 4}},
        {.kind = MLN_SAN_OTHER, .value = MLN_BYTES("x"), .oid = MLN_BYTES("1.2.3")},
    };
    const struct mln_bytes ext[] = {
        mln_ext_basic(cx, true, 300),
        mln_ext_key_usage(cx, MLN_KU_CERT_SIGN | MLN_KU_DECIPHER_ONLY | MLN_KU_KEY_AGREEMENT),
        mln_ext_ext_key_usage(cx, oids),
        mln_ext_names(cx, sans, 3, true),
        mln_ext_policies(cx, oids),
    };
    X509 *x = made(cx, &der, ext, MLN_COUNT(ext), 4102444800); /* 2100: GeneralizedTime */
    kit_ok(cx, mln_x509_cert_read(cx, der, &info));
    assert_true(info.is_ca && info.path_length == 300);
    assert_int_equal(info.key_usage,
                     MLN_KU_CERT_SIGN | MLN_KU_DECIPHER_ONLY | MLN_KU_KEY_AGREEMENT);
    assert_int_equal(info.sans_n, 3);
    kit_text(info.sans[2].value, "x");
    kit_text(info.sans[2].oid, "1.2.3");
    kit_text(info.common_name, "a.org");
    assert_int_equal(info.not_before_s, 0);
    assert_int_equal(info.not_after_s, 4102444800);
    assert_int_equal(info.serial.len, 2);
    kit_ok(cx, mln_x509_cert_verify(cx, der, der));
    X509_free(x);
    struct mln_bytes other;
    x = made(cx, &other, NULL, 0, 1000);
    kit_refused(cx, mln_x509_cert_verify(cx, der, other), MLN_E_FORGED);
    kit_refused(cx, mln_x509_cert_read(cx, mln_bytes_sub(der, 0, der.len - 1), &info), MLN_E_PARSE);
    kit_refused(cx, mln_x509_cert_read(cx, MLN_BYTES_NONE, &info), MLN_E_PARSE);
    kit_refused(cx, mln_x509_csr_read(cx, der, &info), MLN_E_PARSE);
    X509_free(x);
}

static void test_bad_extensions(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const oids[] = {"", "1", "x", "1.2.x", "3.1.1", "1.2.3.", "1.2.-3"};
    for (size_t i = 0; i < MLN_COUNT(oids); i++) {
        struct mln_value *list = mln_array(cx);
        mln_push_text(cx, list, oids[i]);
        (void)mln_ext_policies(cx, list);
        kit_refused(cx, mln_cx_err(cx), MLN_E_INVALID);
        mln_cx_clear(cx);
    }
    struct mln_san san = {.kind = MLN_SAN_DNS, .value = MLN_BYTES("\xc3\xbc.org")};
    (void)mln_ext_names(cx, &san, 1, false);
    kit_refused(cx, mln_cx_err(cx), MLN_E_INVALID);
    mln_cx_clear(cx);
    struct mln_x509_name name = {.common_name = MLN_BYTES("\xff")};
    struct mln_bytes out;
    kit_refused(cx, mln_x509_name_print(cx, &name, &out), MLN_E_INVALID);
}

static void test_requests(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_key key;
    struct mln_bytes name, der;
    struct mln_x509_info info;
    struct mln_x509_name parts = {.common_name = MLN_BYTES("a.org")};
    kit_ok(cx, mln_x509_name_print(cx, &parts, &name));
    for (unsigned kind = 0; kind < MLN_KEY_KINDS; kind++) {
        enum mln_sig sig = MLN_SIGS;
        kit_ok(cx, mln_key_generate(cx, (enum mln_key_kind)kind, kind == MLN_KEY_RSA ? 2048 : 384,
                                    &key));
        kit_ok(cx, mln_sig_pick(cx, key.kind, key.bits, 0, true, &sig));
        struct mln_x509_signer by = {key.pkcs8, sig};
        struct mln_bytes basic = mln_ext_basic(cx, true, -1);
        struct mln_cert_spec spec = {
            .subject = name, .spki = key.spki, .extensions = &basic, .n = 1};
        kit_ok(cx, mln_csr_build(cx, &spec, &by, &der));
        kit_ok(cx, mln_x509_csr_read(cx, der, &info));
        assert_true(info.is_ca && mln_bytes_eq(info.spki, key.spki));
        uint8_t *forged = mln_new(cx, der.len);
        mln_copy(forged, der.ptr, der.len);
        forged[mln_bytes_find_bytes(der, MLN_BYTES("a.org"))] = 'b';
        kit_refused(cx, mln_x509_csr_read(cx, mln_bytes_at(forged, der.len), &info), MLN_E_FORGED);
    }
}

static void test_pem(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *text, *label; /* NULL: none */
        bool is_bad;
        size_t n;
    } t[] = {
        {"", NULL, false, 0},
        {"nothing", NULL, false, 0},
        {"-----BEGIN A-----\nAAAA\n-----END A-----\n", "A", false, 3},
        {"x\n-----BEGIN A B-----\r\nAA==\r\n-----END A B-----", "A B", false, 1},
        {"-----BEGIN A-----\n-----END A-----", "A", false, 0},
        {"-----BEGIN A-----\nAAAA\n-----END B-----", NULL, true, 0},
        {"-----BEGIN A-----\nAA!A\n-----END A-----", NULL, true, 0},
        {"-----BEGIN A-----\nAAA\n-----END A-----", NULL, true, 0},
        {"-----BEGIN A", NULL, true, 0},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes text = mln_bytes_of(t[i].text), label = {0}, der = {0};
        bool is_bad = false, got = mln_pem_next(cx, &text, &label, &der, &is_bad);
        assert_int_equal(got, t[i].label != NULL);
        assert_int_equal(is_bad, t[i].is_bad);
        if (got) {
            kit_text(label, t[i].label);
            assert_int_equal(der.len, t[i].n);
        }
    }
    assert_string_equal(mln_pem_text(cx, "A", MLN_BYTES("abc")),
                        "-----BEGIN A-----\nYWJj\n-----END A-----");
}

/* Another thread may wipe the expanded keys at any time. */
static void test_forget(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes der;
    for (int i = 0; i < 3; i++) {
        X509_free(made(cx, &der, NULL, 0, 1000));
        mln_crypto_forget();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_keys),        KIT_TEST(test_bad_keys),       KIT_TEST(test_picks),
        KIT_TEST(test_certificate), KIT_TEST(test_bad_extensions), KIT_TEST(test_requests),
        KIT_TEST(test_pem),         KIT_TEST(test_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
