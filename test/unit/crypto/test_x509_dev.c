/* SPDX-License-Identifier: Apache-2.0 */
/* The development certificate, as OpenSSL's verifier sees it. */
#include "kit/kit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "crypto/crypto.h"

static const struct {
    const char *name, *host, *dns, *ip;
    enum mln_code want;
} rows[] = {
    {"no host", NULL, "localhost", "127.0.0.1", MLN_E_OK},
    {"a name", "merlon.example", "merlon.example", "::1", MLN_E_OK},
    {"an address", "10.1.2.3", "localhost", "10.1.2.3", MLN_E_OK},
    {"IPv6", "fd00::7", "localhost", "fd00::7", MLN_E_OK},
    {"known already", "127.0.0.1", "localhost", "127.0.0.1", MLN_E_OK},
    {"another kind of name", "x,email:a@b", NULL, NULL, MLN_E_INVALID},
    {"white space", "a b", NULL, NULL, MLN_E_INVALID},
    {"empty", "", NULL, NULL, MLN_E_INVALID},
};

static X509 *parse(struct mln_bytes pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(x);
    return x;
}

static void check_trusted(X509 *x)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, x);
    X509_STORE_CTX_init(ctx, store, x, NULL);
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    assert_int_equal(X509_verify_cert(ctx), 1);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
}

static void test_certificate(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t scalar[32];
    uint8_t point[65];
    kit_ok(cx, mln_p256_generate(cx, scalar, point));
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
        kit_expect(cx, rows[i].name, mln_dev_certificate(cx, scalar, rows[i].host, &pem),
                   rows[i].want);
        if (rows[i].want != MLN_E_OK) {
            assert_int_equal(pem.len, 0);
            continue;
        }
        X509 *x = parse(mln_buf_bytes(&pem));
        assert_int_equal(X509_check_host(x, rows[i].dns, 0, 0, NULL), 1);
        assert_int_equal(X509_check_ip_asc(x, rows[i].ip, 0), 1);
        assert_int_equal(X509_check_host(x, "other.example", 0, 0, NULL), 0);
        assert_int_equal(X509_check_ca(x), 0);
        assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
        check_trusted(x);
        X509_free(x);
    }
    uint8_t zero[32] = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    kit_refused(cx, mln_dev_certificate(cx, zero, NULL, &pem), MLN_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_certificate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
