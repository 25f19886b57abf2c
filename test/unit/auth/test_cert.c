/* SPDX-License-Identifier: Apache-2.0 */
/* TLS client certificates: who leads to whom, constraints one by one, revocation, renewals. Certificates are made here. */
#include <stdio.h>

#include "kit/engine_kit.h"

#include "auth/cert_priv.h"

#include <openssl/pem.h>

extern const struct mln_engine mln_method_cert;

#define CERTS "auth/cert/certs/"
#define LOGIN "auth/cert/login"

/* ---- making certificates ---- */

struct party {
    X509 *cert;
    EVP_PKEY *key;
    uint8_t der[2048];
    size_t n;
};

static void party_drop(struct party *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
}

static void add_ext(X509 *cert, X509 *issuer, const char *name, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_nconf(NULL, &ctx, name, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

struct plan {
    const char *cn;
    const struct party *by; /* NULL: of its own */
    bool is_ca;
    const char *usage; /* "clientAuth" */
    const char *names; /* subjectAltName */
    const char *other; /* an extension 1.2.3.4.5 */
    long days;   /* 0: 30; below: over already */
    long serial; /* 0: 7 */
};

static void make(struct party *p, const struct plan *plan)
{
    p->key = EVP_EC_gen("P-256");
    p->cert = X509_new();
    assert_true(p->key != NULL && p->cert != NULL && X509_set_version(p->cert, 2) == 1 && X509_set_pubkey(p->cert, p->key) == 1);
    X509_NAME *name = X509_get_subject_name(p->cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)plan->cn, -1, -1, 0), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8, (const uint8_t *)"ops", -1, -1, 0), 1);
    X509 *issuer = plan->by != NULL ? plan->by->cert : p->cert;
    assert_int_equal(X509_set_issuer_name(p->cert, X509_get_subject_name(issuer)), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(p->cert), plan->serial != 0 ? plan->serial : 7), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(p->cert), -86400));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(p->cert), (plan->days != 0 ? plan->days : 30) * 86400));
    add_ext(p->cert, issuer, "basicConstraints", plan->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_ext(p->cert, issuer, "subjectKeyIdentifier", "hash");
    if (plan->by != NULL) {
        add_ext(p->cert, issuer, "authorityKeyIdentifier", "keyid:always");
    }
    if (plan->usage != NULL) {
        add_ext(p->cert, issuer, "extendedKeyUsage", plan->usage);
    }
    if (plan->names != NULL) {
        add_ext(p->cert, issuer, "subjectAltName", plan->names);
    }
    if (plan->other != NULL) {
        add_ext(p->cert, issuer, "1.2.3.4.5", plan->other);
    }
    assert_true(X509_sign(p->cert, plan->by != NULL ? plan->by->key : p->key, EVP_sha256()) > 0);
    uint8_t *at = p->der;
    p->n = (size_t)i2d_X509(p->cert, &at);
    assert_true(p->n > 0 && p->n <= sizeof(p->der));
}
#define PARTY(name, ...)                                                                            \
    MLN_AUTO(party_drop) struct party name = {0};                                                   \
    make(&name, &(struct plan){__VA_ARGS__})

/* {"certificate": PEM, ...more} */
static int entry(struct ek *k, const char *name, const struct party *p, const char *more)
{
    char json[4096], path[64];
    char *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, p->cert), 1);
    long n = BIO_get_mem_data(bio, &pem);
    size_t at = (size_t)snprintf(json, sizeof(json), "{\"certificate\":\"");
    for (long i = 0; i < n; i++) {
        json[at++] = pem[i] == '\n' ? '\\' : pem[i];
        if (pem[i] == '\n') {
            json[at++] = 'n';
        }
    }
    (void)snprintf(json + at, sizeof(json) - at, "\"%s}", more);
    (void)snprintf(path, sizeof(path), CERTS "%s", name);
    BIO_free(bio);
    return ek_write(k, path, json);
}

static struct ek *ct_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "auth/cert/", &mln_method_cert, "55555555-0000-4000-8000-000000000000");
    k->now_ns = mln_now_ns();
    return k;
}
#define CERT(name) MLN_AUTO(ek_drop) struct ek *name = ct_new()

static struct mln_bytes shown[3];

static void show(struct ek *k, const struct party *a, const struct party *b)
{
    shown[0] = a != NULL ? mln_bytes_at(a->der, a->n) : MLN_BYTES_NONE;
    shown[1] = b != NULL ? mln_bytes_at(b->der, b->n) : MLN_BYTES_NONE;
    k->client_certs = shown;
    k->n_client_certs = (a != NULL) + (size_t)(b != NULL);
}

/* ---- chains ---- */

#define NOT_TRUSTED "invalid certificate or no client certificate supplied"
#define NOT_FITTING "failed to match all constraints for this login certificate"

static void test_chains(void **state)
{
    (void)state;
    CERT(k);
    PARTY(root, .cn = "root", .is_ca = true);
    PARTY(middle, .cn = "middle", .by = &root, .is_ca = true);
    PARTY(leaf, .cn = "web", .by = &middle, .usage = "clientAuth");
    PARTY(server, .cn = "server", .by = &middle, .usage = "serverAuth");
    PARTY(stranger, .cn = "root", .is_ca = true);
    PARTY(forged, .cn = "web", .by = &stranger);
    PARTY(old, .cn = "old", .by = &root, .days = -1);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, "client certificate must be supplied");
    show(k, &leaf, &middle);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
    EK_WANT(k, entry(k, "web", &root, ",\"token_policies\":\"p\",\"token_ttl\":60"), 204);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    const struct mln_login *login = k->re.login;
    assert_string_equal(login->alias, "web");
    assert_string_equal(login->display_name, "web");
    assert_int_equal(login->ttl_s, 60);
    EK_VALUE(k, mln_get(login->meta, "cert_name"), "\"web\"");
    EK_VALUE(k, mln_get(login->meta, "serial_number"), "\"7\"");
    assert_int_equal(mln_len(mln_get(login->meta, "subject_key_id")), 59);
    assert_int_equal(mln_len(mln_get(login->meta, "authority_key_id")), 59);
    EK_WANT(k, ek_write(k, LOGIN, "{\"name\":\"web\"}"), 204);
    EK_REFUSED(k, ek_write(k, LOGIN, "{\"name\":\"other\"}"), 400, NOT_TRUSTED);
    show(k, &leaf, NULL); /* the middle one is missing */
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
    EK_WANT(k, entry(k, "middle", &middle, ""), 204); /* an intermediate is trusted as it stands */
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    show(k, &server, &middle);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
    show(k, &forged, &root);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
    show(k, &old, NULL);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
    shown[0] = MLN_BYTES("no certificate");
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, "cannot be read");
}

/* A certificate of no authority stands for itself: only the very same one gets in. */
static void test_pinned(void **state)
{
    (void)state;
    CERT(k);
    PARTY(mine, .cn = "me");
    PARTY(same_name, .cn = "me");
    EK_WANT(k, entry(k, "me", &mine, ",\"display_name\":\"shown\""), 204);
    show(k, &mine, NULL);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    assert_string_equal(k->re.login->display_name, "shown");
    show(k, &same_name, NULL);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
    k->now_ns += (int64_t)40 * 86400 * 1000000000;
    show(k, &mine, NULL);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_TRUSTED);
}

static void test_constraints(void **state)
{
    (void)state;
    CERT(k);
    PARTY(root, .cn = "root", .is_ca = true);
    PARTY(leaf, .cn = "web.example", .by = &root, .names = "DNS:a.example,email:joe@b.example,URI:spiffe://c/d",
          .other = "ASN1:UTF8String:colour");
    static const struct {
        const char *more;
        bool fits;
    } t[] = {
        {",\"allowed_names\":\"*.example\"", true},
        {",\"allowed_names\":\"a.example\"", true},
        {",\"allowed_names\":\"joe@*\"", true},
        {",\"allowed_names\":\"spiffe:*\"", false},
        {",\"allowed_names\":\"x,*z\"", false},
        {",\"allowed_common_names\":\"web*\"", true},
        {",\"allowed_common_names\":\"a.example\"", false},
        {",\"allowed_dns_sans\":\"a.*\"", true},
        {",\"allowed_dns_sans\":\"web.example\"", false},
        {",\"allowed_email_sans\":\"*@b.example\"", true},
        {",\"allowed_email_sans\":\"*@c.example\"", false},
        {",\"allowed_uri_sans\":\"spiffe://c/*\"", true},
        {",\"allowed_uri_sans\":\"spiffe://e/*\"", false},
        {",\"allowed_organizational_units\":\"ops\"", true},
        {",\"allowed_organizational_units\":\"dev\"", false},
        {",\"required_extensions\":\"1.2.3.4.5:col*\"", true},
        {",\"required_extensions\":\"hex:1.2.3.4.5:0c06*\"", true},
        {",\"required_extensions\":[\"1.2.3.4.5:*\",\"1.2.3.4.6:*\"]", false},
        {",\"required_extensions\":\"1.2.3.4.5:color\"", false},
        {",\"allowed_common_names\":\"web*\",\"allowed_dns_sans\":\"b\"", false},
    };
    show(k, &leaf, NULL);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_delete(k, CERTS "e"), 204);
        EK_WANT(k, entry(k, "e", &root, t[i].more), 204);
        int status = ek_write(k, LOGIN, NULL);
        if (status != (t[i].fits ? 204 : 400) || (!t[i].fits && strstr(k->cx->text, NOT_FITTING) == NULL)) {
            fail_msg("%s: %d %s", t[i].more, status, k->cx->text);
        }
    }
    EK_WANT(k, entry(k, "e", &root, ",\"required_extensions\":[],\"allowed_common_names\":[],\"allowed_dns_sans\":[],"
                                    "\"allowed_metadata_extensions\":\"1.2.3.4.5\",\"token_bound_cidrs\":\"10.0.0.0/8\""),
            204);
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 403, "permission denied");
    EK_WANT(k, entry(k, "e", &root, ",\"token_bound_cidrs\":\"127.0.0.0/8\""), 204);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    EK_VALUE(k, mln_get(k->re.login->meta, "1-2-3-4-5"), "\"colour\"");
}

static void test_revoked(void **state)
{
    (void)state;
    CERT(k);
    PARTY(root, .cn = "root", .is_ca = true);
    PARTY(leaf, .cn = "a", .by = &root, .serial = 77);
    PARTY(other, .cn = "b", .by = &root, .serial = 78);
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *one = X509_REVOKED_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    assert_true(ASN1_INTEGER_set(serial, 77) == 1 && X509_REVOKED_set_serialNumber(one, serial) == 1 &&
                X509_REVOKED_set_revocationDate(one, now) == 1 && X509_CRL_add0_revoked(crl, one) == 1 &&
                X509_CRL_set_issuer_name(crl, X509_get_subject_name(root.cert)) == 1 && X509_CRL_set1_lastUpdate(crl, now) == 1 &&
                X509_CRL_sign(crl, root.key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL, json[2048] = "{\"crl\":\"";
    assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
    long n = BIO_get_mem_data(bio, &pem);
    size_t at = strlen(json);
    for (long i = 0; i < n; i++) {
        json[at++] = pem[i] == '\n' ? '\\' : pem[i];
        if (pem[i] == '\n') {
            json[at++] = 'n';
        }
    }
    (void)snprintf(json + at, sizeof(json) - at, "\"}");
    EK_WANT(k, entry(k, "e", &root, ""), 204);
    show(k, &leaf, NULL);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    EK_WANT(k, ek_write(k, "auth/cert/crls/c", json), 204);
    EK_WANT(k, ek_read(k, "auth/cert/crls/c", NULL), 200);
    EK_DATA(k, "{\"cdp\":null,\"serials\":{\"77\":{}}}");
    EK_REFUSED(k, ek_write(k, LOGIN, NULL), 400, NOT_FITTING);
    show(k, &other, NULL);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    EK_WANT(k, ek_delete(k, "auth/cert/crls/c"), 204);
    show(k, &leaf, NULL);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    EK_REFUSED(k, ek_read(k, "auth/cert/crls/c", NULL), 400, "no such CRL c");
    EK_REFUSED(k, ek_write(k, "auth/cert/crls/c", "{\"crl\":\"x\"}"), 400, "failed to parse CRL");
    EK_REFUSED(k, ek_write(k, "auth/cert/crls/c", "{\"url\":\"http://x\"}"), 400, "not fetched");
    BIO_free(bio);
    X509_CRL_free(crl);
    ASN1_TIME_free(now);
    ASN1_INTEGER_free(serial);
}

static struct mln_err renew(struct ek *k, const struct party *with, const char *skid, const char *akid)
{
    struct mln_request rq;
    struct mln_login login = {0};
    show(k, with, NULL);
    ek_begin(k, &rq);
    rq.mount = &k->mounts[0];
    struct mln_value *internal = mln_object(k->cx);
    mln_put_text(k->cx, internal, "cert_name", "e");
    mln_put_text(k->cx, internal, "serial_number", "7");
    mln_put_text(k->cx, internal, "subject_key_id", skid);
    mln_put_text(k->cx, internal, "authority_key_id", akid);
    struct mln_err err = mln_method_cert.renew_login(&rq, internal, &login);
    ek_end(k, MLN_OK);
    return err;
}

static void test_renewal(void **state)
{
    (void)state;
    CERT(k);
    char skid[64], akid[64];
    PARTY(root, .cn = "root", .is_ca = true);
    PARTY(leaf, .cn = "a", .by = &root);
    PARTY(other, .cn = "b", .by = &root);
    EK_WANT(k, entry(k, "e", &root, ""), 204);
    show(k, &leaf, NULL);
    EK_WANT(k, ek_write(k, LOGIN, NULL), 204);
    (void)snprintf(skid, sizeof(skid), "%s", mln_get_text(k->cx, mln_get(k->re.login->internal, "subject_key_id"), ""));
    (void)snprintf(akid, sizeof(akid), "%s", mln_get_text(k->cx, mln_get(k->re.login->internal, "authority_key_id"), ""));
    assert_false(mln_failed(renew(k, &leaf, skid, akid)));
    assert_true(mln_failed(renew(k, &other, skid, akid)));
    assert_true(mln_failed(renew(k, NULL, skid, akid)));
    EK_WANT(k, ek_write(k, "auth/cert/config", "{\"disable_binding\":true}"), 204);
    EK_WANT(k, ek_read(k, "auth/cert/config", NULL), 200);
    EK_DATA(k, "{\"disable_binding\":true,\"enable_identity_alias_metadata\":false,\"ocsp_cache_size\":100,\"role_cache_size\":200}");
    assert_false(mln_failed(renew(k, NULL, skid, akid)));
    EK_WANT(k, ek_delete(k, CERTS "e"), 204);
    assert_true(mln_failed(renew(k, &leaf, skid, akid)));
}

static void test_entries(void **state)
{
    (void)state;
    CERT(k);
    PARTY(root, .cn = "root", .is_ca = true);
    EK_WANT(k, ek_list(k, CERTS), 404);
    EK_WANT(k, entry(k, "e", &root, ",\"policies\":\"p\""), 204);
    EK_WANT(k, ek_list(k, CERTS), 200);
    EK_DATA(k, "{\"keys\":[\"e\"]}");
    EK_WANT(k, ek_read(k, CERTS "e", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "token_policies"), "[\"p\"]");
    EK_VALUE(k, mln_get(k->re.data, "display_name"), "\"e\"");
    EK_WANT(k, entry(k, "e", &root, ",\"display_name\":\"\""), 204); /* hvac sends it empty */
    EK_WANT(k, ek_read(k, CERTS "e", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "display_name"), "\"e\"");
    EK_WANT(k, ek_read(k, CERTS "f", NULL), 404);
    EK_REFUSED(k, ek_write(k, CERTS "f", "{}"), 400, "failed to parse certificate");
    EK_REFUSED(k, ek_write(k, CERTS "f", "{\"certificate\":\"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n\"}"), 400,
               "failed to parse certificate");
    static const struct {
        const char *more, *text;
    } t[] = {
        {",\"required_extensions\":\"1.2.3\"", "oid:value"},
        {",\"required_extensions\":\"hex:1.2.3\"", "oid:value"},
        {",\"required_extensions\":\"x.y:z\"", "no object identifier"},
        {",\"allowed_metadata_extensions\":\"abc\"", "no object identifier"},
        {",\"ocsp_enabled\":true", "OCSP is not supported"},
        {",\"token_type\":\"x\"", "invalid 'token_type'"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, entry(k, "f", &root, t[i].more), 400, t[i].text);
        assert_false(k->wrote);
    }
}

static void test_glob(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool want;
    } t[] = {
        {"", "", true},       {"*", "", true},           {"*", "abc", true},       {"a*c", "abc", true},      {"a*c", "abd", false},
        {"*b*", "abc", true}, {"**a**a*", "xaya", true}, {"abc", "abcd", false},   {"abc*", "abc", true},     {"", "a", false},
        {"*ab", "aab", true}, {"a*a", "a", false},       {"*a*b*c", "abcabd", false},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_int_equal(mln_bytes_glob(mln_bytes_of(t[i].pattern), mln_bytes_of(t[i].text)), t[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),  cmocka_unit_test(test_pinned),  cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_revoked), cmocka_unit_test(test_renewal), cmocka_unit_test(test_entries),
        cmocka_unit_test(test_glob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
