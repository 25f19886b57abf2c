/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of the PKI engine as OpenSSL sees them: roots, intermediates, leaves, imports, forms, times. */
#include "kit/pki_kit.h"

static char text_a[16384], text_b[16384], text_c[32768];

static const char *role(struct ek *k, const char *members)
{
    static char json[1024];
    snprintf(json, sizeof(json), "{\"key_type\":\"ec\",\"allow_any_name\":true%s%s}",
             members[0] != '\0' ? "," : "", members);
    EK_WANT(k, ek_write(k, "pki/roles/r", json), 200);
    return "pki/issue/r";
}

static void test_leaf(void **state)
{
    (void)state;
    PKI(k);
    static const struct {
        int nid;
        const char *want;
    } t[] = {
        {NID_key_usage, "Digital Signature, Key Encipherment, Key Agreement"},
        {NID_ext_key_usage,
         "TLS Web Server Authentication, TLS Web Client Authentication, Code Signing, 1.2.3.4"},
        {NID_basic_constraints, "CA:FALSE"},
        {NID_certificate_policies, "Policy: 1.2.3.9"},
        {NID_subject_alt_name, "DNS:a.org, DNS:*.b.org, email:me@a.org, IP Address:10.0.0.1, IP "
                               "Address:0:0:0:0:0:0:0:1, URI:spiffe://x/y"},
        {NID_info_access, "OCSP - URI:http://x/ocsp"},
        {NID_crl_distribution_points, "URI:http://x/crl"},
    };
    EK_WANT(k,
            ek_write(k, "pki/config/urls",
                     "{\"issuing_certificates\":\"http://x/"
                     "ca\",\"crl_distribution_points\":\"http://x/crl\","
                     "\"ocsp_servers\":\"http://x/ocsp\"}"),
            200);
    const char *path =
        role(k, "\"basic_constraints_valid_for_non_ca\":true,\"policy_identifiers\":\"1.2.3.9\","
                "\"ext_key_usage\":\"CodeSigning\","
                "\"ext_key_usage_oids\":\"1.2.3.4\",\"allowed_uri_sans\":\"*\",\"ou\":\"U\"");
    EK_WANT(k,
            ek_write(k, path,
                     "{\"common_name\":\"a.org\",\"alt_names\":\"*.b.org,me@a.org\",\"ip_sans\":"
                     "\"10.0.0.1,::1\","
                     "\"uri_sans\":\"spiffe://x/y\",\"ttl\":\"1h\"}"),
            200);
    X509 *leaf = pk_answer_x509(k), *root = pk_x509(ek_text(k, "issuing_ca"));
    assert_int_equal(pk_verify(leaf, root, NULL, NULL), X509_V_OK);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char got[1024];
        pk_extension(leaf, t[i].nid, got, sizeof(got));
        if (strstr(got, t[i].want) == NULL) {
            fail_msg("%s: %s, want %s", OBJ_nid2sn(t[i].nid), got, t[i].want);
        }
    }
    BIO *bio = BIO_new_mem_buf(ek_text(k, "private_key"), -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_int_equal(X509_check_private_key(leaf, key), 1);
    assert_true((mln_get(k->re.data, "private_key")->flags & MLN_VALUE_SECRET) != 0);
    assert_null(k->re.lease);
    EVP_PKEY_free(key);
    BIO_free(bio);
    X509_free(leaf);
    X509_free(root);
}

/* Every kind of key signs leaves of every kind. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        int bits;
    } t[] = {{"rsa", 2048}, {"ec", 224}, {"ec", 256}, {"ec", 384}, {"ec", 521}, {"ed25519", 0}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        PKI_BARE(k);
        char json[256];
        snprintf(json, sizeof(json),
                 "{\"common_name\":\"Root\",\"key_type\":\"%s\",\"key_bits\":%d,\"ttl\":\"99h\","
                 "\"use_pss\":true}",
                 t[i].kind, t[i].bits);
        EK_WANT(k, ek_write(k, "pki/root/generate/exported", json), 200);
        X509 *root = pk_answer_x509(k);
        snprintf(json, sizeof(json),
                 "{\"allow_any_name\":true,\"key_type\":\"%s\",\"key_bits\":%d,\"use_pss\":true}",
                 t[i].kind, t[i].bits);
        EK_WANT(k, ek_write(k, "pki/roles/r", json), 200);
        EK_WANT(k, ek_write(k, "pki/issue/r", "{\"common_name\":\"a.org\",\"ttl\":\"1h\"}"), 200);
        X509 *leaf = pk_answer_x509(k);
        assert_int_equal(pk_verify(leaf, root, NULL, NULL), X509_V_OK);
        X509_CRL *crl = pk_crl(k, "pki/crl");
        assert_int_equal(pk_verify(leaf, root, NULL, crl), X509_V_OK);
        X509_CRL_free(crl);
        X509_free(leaf);
        X509_free(root);
    }
}

static void test_intermediate(void **state)
{
    (void)state;
    PKI_BARE(k);
    ek_mount(k, "int/", &mln_engine_pki, "33333333-0000-4000-8000-000000000000");
    k->mounts[1].max_ttl_s = k->mounts[0].max_ttl_s;
    EK_WANT(k,
            ek_write(k, "pki/root/generate/internal",
                     "{\"common_name\":\"Root\",\"key_type\":\"ec\",\"ttl\":\"999h\",\"max_path_"
                     "length\":1}"),
            200);
    X509 *root = pk_answer_x509(k);
    EK_WANT(k,
            ek_write(k, "int/intermediate/generate/internal",
                     "{\"common_name\":\"Int\",\"key_type\":\"ec\"}"),
            200);
    pk_keep(k, "csr", text_a, sizeof(text_a));
    EK_REFUSED(k,
               ek_write(k, "pki/root/sign-intermediate",
                        pk_with(text_c, sizeof(text_c), "csr", text_a,
                                ",\"ttl\":\"9999h\",\"enforce_leaf_not_after_behavior\":true")),
               400, "cannot satisfy request, as TTL would result in notAfter of");
    EK_WANT(k,
            ek_write(k, "pki/root/sign-intermediate",
                     pk_with(text_c, sizeof(text_c), "csr", text_a, ",\"ttl\":\"9999h\"")),
            200);
    X509 *longer = pk_answer_x509(k);
    assert_true(ASN1_TIME_compare(X509_get0_notAfter(longer), X509_get0_notAfter(root)) > 0);
    assert_int_equal(mln_len(k->re.warnings), 1);
    X509_free(longer);
    EK_REFUSED(k,
               ek_write(k, "pki/root/sign-intermediate",
                        pk_with(text_c, sizeof(text_c), "csr", text_a,
                                ",\"ttl\":\"9h\",\"max_path_length\":1")),
               400, "max path length");
    EK_WANT(k,
            ek_write(k, "pki/root/sign-intermediate",
                     pk_with(text_c, sizeof(text_c), "csr", text_a,
                             ",\"common_name\":\"Int\",\"ttl\":\"99h\",\"format\":\"pem_bundle\"")),
            200);
    pk_keep(k, "certificate", text_b, sizeof(text_b));
    X509 *middle = pk_x509(text_b);
    assert_int_equal(X509_get_pathlen(middle), 0);
    EK_WANT(k,
            ek_write(k, "int/intermediate/set-signed",
                     pk_with(text_c, sizeof(text_c), "certificate", text_b, "")),
            200);
    assert_int_equal(mln_len(mln_get(k->re.data, "imported_issuers")), 2);
    assert_true(mln_is_null(mln_get(k->re.data, "imported_keys")));
    EK_WANT(k, ek_write(k, "int/roles/r", "{\"key_type\":\"ec\",\"allow_any_name\":true}"), 200);
    EK_WANT(k, ek_write(k, "int/issue/r", "{\"common_name\":\"a.org\",\"ttl\":\"1h\"}"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "ca_chain")), 2);
    X509 *leaf = pk_answer_x509(k);
    assert_int_equal(pk_verify(leaf, root, middle, NULL), X509_V_OK);
    EK_WANT(k,
            ek_write(k, "int/issue/r",
                     "{\"common_name\":\"a.org\",\"ttl\":\"1h\",\"remove_roots_from_chain\":true}"),
            200);
    assert_int_equal(mln_len(mln_get(k->re.data, "ca_chain")), 1);
    EK_REFUSED(k,
               ek_write(k, "int/root/sign-intermediate",
                        pk_with(text_c, sizeof(text_c), "csr", text_a, ",\"ttl\":\"1h\"")),
               400, "max path length of zero");
    X509_free(leaf);
    X509_free(middle);
    X509_free(root);
}

/* A request made by OpenSSL, with a name of its own and an extension that asks for a CA. */
static const char *csr_of(int nid, unsigned bits_or_curve, const char *name, const char *extension,
                          char *to, size_t n)
{
    EVP_PKEY *key = nid == EVP_PKEY_RSA ? EVP_RSA_gen(bits_or_curve) : EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
                               (const uint8_t *)name, -1, -1, 0);
    X509_REQ_set_pubkey(req, key);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, extension));
    sk_X509_EXTENSION_push(
        exts, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
    sk_X509_EXTENSION_push(
        exts, X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "keyCertSign,digitalSignature"));
    X509_REQ_add_extensions(req, exts);
    assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    int got = BIO_read(bio, to, (int)n - 1);
    assert_true(got > 0);
    to[got] = '\0';
    BIO_free(bio);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return to;
}

static void test_sign(void **state)
{
    (void)state;
    PKI(k);
    char got[512];
    csr_of(EVP_PKEY_EC, 256, "csr.ex.com", "DNS:san.ex.com", text_a, sizeof(text_a));
    EK_WANT(
        k,
        ek_write(k, "pki/roles/r",
                 "{\"key_type\":\"ec\",\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true}"),
        200);
    EK_WANT(k,
            ek_write(k, "pki/sign/r",
                     pk_with(text_c, sizeof(text_c), "csr", text_a, ",\"ttl\":\"1h\"")),
            200);
    assert_null(mln_get(k->re.data, "private_key"));
    X509 *leaf = pk_answer_x509(k);
    assert_string_equal(pk_extension(leaf, NID_subject_alt_name, got, sizeof(got)),
                        "DNS:csr.ex.com, DNS:san.ex.com");
    assert_int_equal(X509_check_ca(leaf), 0);
    X509_free(leaf);
    EK_WANT(k,
            ek_write(k, "pki/sign-verbatim",
                     pk_with(text_c, sizeof(text_c), "csr", text_a, ",\"ttl\":\"1h\"")),
            200);
    leaf = pk_answer_x509(k);
    assert_string_equal(pk_extension(leaf, NID_subject_alt_name, got, sizeof(got)),
                        "DNS:san.ex.com");
    assert_string_equal(pk_extension(leaf, NID_key_usage, got, sizeof(got)), "Digital Signature");
    assert_int_equal(X509_check_ca(leaf), 0);
    X509_free(leaf);
    EK_WANT(k,
            ek_write(k, "pki/root/sign-intermediate",
                     pk_with(text_c, sizeof(text_c), "csr", text_a,
                             ",\"ttl\":\"1h\",\"use_csr_values\":true")),
            200);
    leaf = pk_answer_x509(k);
    assert_int_equal(X509_check_ca(leaf), 1);
    X509_free(leaf);
    EK_WANT(k, ek_write(k, "pki/roles/r", "{\"key_type\":\"ec\",\"allowed_domains\":\"ex.com\"}"),
            200);
    EK_REFUSED(k, ek_write(k, "pki/sign/r", pk_with(text_c, sizeof(text_c), "csr", text_a, "")),
               400, "common name csr.ex.com not allowed");
    EK_WANT(k, ek_write(k, "pki/roles/r", "{\"key_type\":\"ed25519\",\"allow_any_name\":true}"),
            200);
    EK_REFUSED(k, ek_write(k, "pki/sign/r", pk_with(text_c, sizeof(text_c), "csr", text_a, "")),
               400, "role requires keys of type ed25519");
    EK_WANT(k,
            ek_write(k, "pki/roles/r",
                     "{\"key_type\":\"ec\",\"key_bits\":384,\"allow_any_name\":true}"),
            200);
    EK_REFUSED(k, ek_write(k, "pki/sign/r", pk_with(text_c, sizeof(text_c), "csr", text_a, "")),
               400, "role requires a minimum of a 384-bit key");
    EK_WANT(k, ek_write(k, "pki/roles/r", "{\"key_type\":\"any\",\"allow_any_name\":true}"), 200);
    EK_REFUSED(k, ek_write(k, "pki/issue/r", "{\"common_name\":\"a\"}"), 400, "only signing");
    csr_of(EVP_PKEY_RSA, 1024, "a.ex.com", "DNS:a.ex.com", text_b, sizeof(text_b));
    EK_REFUSED(k, ek_write(k, "pki/sign/r", pk_with(text_c, sizeof(text_c), "csr", text_b, "")),
               400, "RSA keys < 2048 bits are unsafe");
    text_a[400] = text_a[400] == 'A' ? 'B' : 'A'; /* within the signature or what it covers */
    assert_int_equal(ek_write(k, "pki/sign/r", pk_with(text_c, sizeof(text_c), "csr", text_a, "")),
                     400);
    EK_REFUSED(k, ek_write(k, "pki/sign/r", "{\"csr\":\"bad\"}"), 400, "csr contains no data");
    EK_REFUSED(k, ek_write(k, "pki/sign/r", "{}"), 400, "\"csr\" is empty");
}

static void test_times(void **state)
{
    (void)state;
    PKI(k);
    static const struct {
        const char *role, *ask, *refused;
        int64_t life_s; /* from now; 0: not looked at */
    } t[] = {
        {"", "{\"common_name\":\"a\",\"ttl\":\"90s\"}", NULL, 90},
        {"\"ttl\":\"2h\"", "{\"common_name\":\"a\"}", NULL, 7200},
        {"\"max_ttl\":\"1h\"", "{\"common_name\":\"a\",\"ttl\":\"9h\"}", NULL, 3600},
        {"\"max_ttl\":\"1h\"", "{\"common_name\":\"a\"}", NULL, 3600},
        {"", "{\"common_name\":\"a\"}", NULL, 2764800},
        {"", "{\"common_name\":\"a\",\"not_after\":\"2000-01-01T00:00:00Z\"}",
         "is later than the certificate's Not After (2000-01-01T00:00:00Z)", 0},
        {"", "{\"common_name\":\"a\",\"not_after\":\"soon\"}", "RFC 3339", 0},
        {"", "{\"common_name\":\"a\",\"not_after\":\"2099-01-01T00:00:00Z\"}",
         "cannot satisfy request, as TTL would result in notAfter of 2099-01-01T00:00:00Z", 0},
        {"", "{\"common_name\":\"a\",\"ttl\":\"1h\",\"not_after\":\"2099-01-01T00:00:00Z\"}",
         "Either ttl or not_after", 0},
        {"\"not_after_bound\":\"forbid\"",
         "{\"common_name\":\"a\",\"not_after\":\"2099-01-01T00:00:00Z\"}",
         "not_after may not be given", 0},
        {"\"not_after_bound\":\"ttl-limited\",\"max_ttl\":\"1h\"",
         "{\"common_name\":\"a\",\"not_after\":\"2099-01-01T00:00:00Z\"}",
         "later than this role permits", 0},
        {"\"not_before_bound\":\"forbid\"",
         "{\"common_name\":\"a\",\"not_before\":\"2000-01-01T00:00:00Z\"}",
         "not_before may not be given", 0},
        {"\"not_before_bound\":\"duration\"",
         "{\"common_name\":\"a\",\"not_before\":\"2000-01-01T00:00:00Z\"}",
         "earlier than this role permits", 0},
        {"", "{\"common_name\":\"a\",\"ttl\":-5}", "ttl cannot be negative", 0},
        {"", "{\"common_name\":\"a\",\"format\":\"silly\"}",
         "the \"format\" path parameter must be", 0},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *path = role(k, t[i].role);
        ek_want_at(k, ek_write(k, path, t[i].ask), t[i].refused == NULL ? 200 : 400, t[i].refused,
                   t[i].ask, (int)i);
        if (t[i].life_s != 0) {
            assert_int_equal(mln_get_int(mln_get(k->re.data, "expiration"), 0),
                             k->now_ns / 1000000000 + t[i].life_s);
            assert_int_equal(mln_get_int(mln_get(k->re.data, "not_before"), 0),
                             k->now_ns / 1000000000 - 30);
        }
    }
    EK_WANT(k, ek_patch(k, "pki/issuer/r1", "{\"leaf_not_after_behavior\":\"truncate\"}"), 200);
    EK_WANT(k, ek_write(k, role(k, ""), "{\"common_name\":\"a\",\"ttl\":\"80000h\"}"), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "expiration"), 0),
                     k->now_ns / 1000000000 + 8000 * 3600);
    EK_WANT(k, ek_write(k, "pki/issuer/r1", "{\"leaf_not_after_behavior\":\"permit\"}"), 200);
    EK_WANT(k, ek_write(k, role(k, ""), "{\"common_name\":\"a\",\"ttl\":\"80000h\"}"), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "expiration"), 0),
                     k->now_ns / 1000000000 + 80000 * 3600);
    EK_WANT(k, ek_write(k, "pki/issuer/r1", "{\"usage\":\"read-only\"}"), 200);
    EK_REFUSED(k, ek_write(k, role(k, ""), "{\"common_name\":\"a\"}"), 400,
               "requested usage issuing-certificates");
}

static void test_forms(void **state)
{
    (void)state;
    PKI(k);
    const char *path = role(k, "\"generate_lease\":true");
    EK_WANT(k, ek_write(k, path, "{\"common_name\":\"a.org\",\"ttl\":\"1h\",\"format\":\"der\"}"),
            200);
    assert_int_equal(mln_bytes_find(mln_get_bytes(mln_get(k->re.data, "certificate")), '-'),
                     mln_len(mln_get(k->re.data, "certificate")));
    assert_non_null(k->re.lease);
    assert_int_equal(k->re.lease->ttl_s, 3600);
    assert_false(k->re.lease->is_renewable);
    EK_WANT(k, ek_write(k, path, "{\"common_name\":\"a.org\",\"format\":\"pem_bundle\"}"), 200);
    assert_true(mln_bytes_starts(mln_get_bytes(mln_get(k->re.data, "certificate")),
                                 MLN_BYTES("-----BEGIN EC PRIVATE KEY-----")));
    EK_WANT(k, ek_write(k, path, "{\"common_name\":\"a.org\",\"private_key_format\":\"pkcs8\"}"),
            200);
    assert_true(mln_bytes_starts(mln_get_bytes(mln_get(k->re.data, "private_key")),
                                 MLN_BYTES("-----BEGIN PRIVATE KEY-----")));
    EK_WANT(k, ek_write(k, role(k, "\"no_store\":true"), "{\"common_name\":\"a.org\"}"), 200);
    snprintf(text_a, sizeof(text_a), "pki/cert/%s", ek_text(k, "serial_number"));
    EK_WANT(k, ek_read(k, text_a, NULL), 404);
}

static void test_bundles(void **state)
{
    (void)state;
    PKI_BARE(k);
    ek_mount(k, "two/", &mln_engine_pki, "33333333-0000-4000-8000-000000000000");
    EK_WANT(k,
            ek_write(k, "pki/root/generate/exported",
                     "{\"common_name\":\"Root\",\"key_type\":\"ec\",\"format\":\"pem_bundle\"}"),
            200);
    pk_keep(k, "certificate", text_a, sizeof(text_a));
    const char *json = pk_with(text_c, sizeof(text_c), "pem_bundle", text_a, "");
    EK_REFUSED(k, ek_write(k, "two/issuers/import/cert", json), 400,
               "private keys found in the PEM but not allowed");
    EK_WANT(k, ek_write(k, "two/config/ca", json), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "imported_keys")), 1);
    EK_WANT(k, ek_write(k, "two/issuers/import/bundle", json), 200);
    assert_true(mln_is_null(mln_get(k->re.data, "imported_keys")));
    assert_int_equal(mln_len(mln_get(k->re.data, "existing_issuers")), 1);
    EK_WANT(k, ek_write(k, "two/roles/r", "{\"key_type\":\"ec\",\"allow_any_name\":true}"), 200);
    EK_WANT(k, ek_write(k, "two/issue/r", "{\"common_name\":\"a\",\"ttl\":\"1h\"}"), 200);
    EK_REFUSED(k, ek_write(k, "two/config/ca", "{\"pem_bundle\":\"x\"}"), 400,
               "provided data for import was too short");
    EK_WANT(k, ek_list(k, "two/issuers"), 200);
    EK_WANT(k, ek_list(k, "two/keys"), 200);
    EK_WANT(k, ek_read(k, "two/key/default", NULL), 200);
    EK_REFUSED(k, ek_delete(k, "two/key/default"), 400, "key is in use by at least one issuer");
    EK_WANT(k, ek_delete(k, "two/root"), 204);
    EK_WANT(k, ek_list(k, "two/issuers"), 404);
    EK_REFUSED(k, ek_write(k, "two/issue/r", "{\"common_name\":\"a\"}"), 400,
               "no default issuer currently configured");
}

static void test_refused(void **state)
{
    (void)state;
    PKI(k);
    static const struct {
        const char *path, *json, *text;
    } t[] = {
        {"pki/issue/none", "{\"common_name\":\"a\"}", "unknown role: none"},
        {"pki/root/generate/silly", "{}",
         "the \"exported\" path parameter must be \"internal\", \"existing\", exported\" or "
         "\"kms\""},
        {"pki/root/generate/kms", "{}", "hardware"},
        {"pki/root/generate/internal", "{\"key_type\":\"ec\",\"key_bits\":123}",
         "unsupported bit length for EC key: 123"},
        {"pki/root/generate/internal", "{\"key_type\":\"ec\",\"issuer_name\":\"r1\"}",
         "issuer name already in use"},
        {"pki/root/generate/internal", "{\"key_type\":\"ec\",\"issuer_name\":\"default\"}",
         "reserved keyword"},
        {"pki/root/generate/internal", "{\"key_type\":\"ec\",\"issuer_name\":\"a/b\"}",
         "invalid characters"},
        {"pki/root/generate/internal", "{\"key_type\":\"ec\",\"max_path_length\":-7}",
         "max_path_length"},
        {"pki/root/generate/existing", "{\"key_ref\":\"none\"}",
         "unable to find PKI key for reference: none"},
        {"pki/config/urls", "{\"ocsp_servers\":\"nothing\"}", "invalid URL found in ocsp_servers"},
        {"pki/config/cluster", "{\"path\":\"nothing\"}", "invalid, non-URL path given to cluster"},
        {"pki/config/crl", "{\"enable_delta\":true}", "Delta CRLs cannot be enabled"},
        {"pki/config/crl", "{\"auto_rebuild\":true,\"expiry\":\"1h\"}",
         "must be strictly shorter than CRL expiry"},
        {"pki/config/crl", "{\"expiry\":\"-1h\"}", ""},
        {"pki/config/issuers", "{\"default\":\"none\"}",
         "unable to find PKI issuer for reference: none"},
        {"pki/config/issuers", "{}", "invalid issuer specification"},
        {"pki/config/keys", "{\"default\":\"none\"}", "unable to find PKI key for reference: none"},
        {"pki/issuer/r1", "{\"usage\":\"flying\"}", "unable to parse specified usages"},
        {"pki/issuer/r1", "{\"leaf_not_after_behavior\":\"x\"}", "leaf_not_after_behavior"},
        {"pki/issuer/r1", "{\"manual_chain\":\"none\"}", "unable to find PKI issuer"},
        {"pki/issuer/r1", "{\"revocation_signature_algorithm\":\"SHA256WithRSA\"}",
         "unfit signature algorithm"},
        {"pki/config/auto-tidy", "{\"enabled\":true}", "no tidy operations were requested"},
        {"pki/tidy", "{\"tidy_cert_store\":true,\"safety_buffer\":0}",
         "safety_buffer must be greater than zero"},
        {"pki/root/sign-self-issued", "{\"certificate\":\"x\"}", "could not be PEM-decoded"},
        {"pki/intermediate/set-signed", "{\"certificate\":\"bad\"}",
         "provided data for import was too short"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        ek_want_at(k, ek_write(k, t[i].path, t[i].json), 400, t[i].text, t[i].path, (int)i);
    }
    EK_WANT(k, ek_read(k, "pki/issuer/none", NULL), 500);
    EK_VALUE(k, k->re.bare,
             "{\"errors\":[\"1 error occurred:\\n\\t* unable to find PKI issuer for reference: "
             "none\\n\\n\"]}");
    EK_WANT(k, ek_read(k, "pki/acme/directory", NULL), 404);
    EK_WANT(k, ek_read(k, "pki/config/acme", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "enabled"), "false");
    EK_WANT(k, ek_write(k, "pki/config/acme", "{\"enabled\":true}"), 400);
    EK_WANT(k, ek_write(k, "pki/config/acme", "{\"enabled\":false}"), 200);
}

static void test_several(void **state)
{
    (void)state;
    PKI(k);
    EK_WANT(k,
            ek_write(k, "pki/root/rotate/internal",
                     "{\"common_name\":\"Next\",\"key_type\":\"ec\",\"ttl\":\"8000h\"}"),
            200);
    assert_string_equal(ek_text(k, "issuer_name"), "next");
    EK_WANT(k, ek_write(k, role(k, ""), "{\"common_name\":\"a\",\"ttl\":\"1h\"}"), 200);
    X509 *leaf = pk_answer_x509(k);
    X509_free(leaf);
    char name[64];
    EK_WANT(k, ek_write(k, "pki/issue/r", /* the role's issuer, whatever the body says */
                        "{\"common_name\":\"a\",\"ttl\":\"1h\",\"issuer_ref\":\"next\"}"),
            200);
    leaf = pk_answer_x509(k);
    X509_NAME_get_text_by_NID(X509_get_issuer_name(leaf), NID_commonName, name, sizeof(name));
    assert_string_not_equal(name, "Next");
    X509_free(leaf);
    EK_WANT(k, ek_write(k, "pki/issuer/next/issue/r", "{\"common_name\":\"a\",\"ttl\":\"1h\"}"),
            200);
    leaf = pk_answer_x509(k);
    X509_NAME_get_text_by_NID(X509_get_issuer_name(leaf), NID_commonName, name, sizeof(name));
    assert_string_equal(name, "Next");
    X509_free(leaf);
    EK_WANT(k, ek_write(k, "pki/root/replace", "{}"), 200);
    EK_WANT(k, ek_write(k, "pki/issue/r", "{\"common_name\":\"a\",\"ttl\":\"1h\"}"), 200);
    leaf = pk_answer_x509(k);
    X509_NAME_get_text_by_NID(X509_get_issuer_name(leaf), NID_commonName, name, sizeof(name));
    assert_string_equal(name, "Next");
    X509_free(leaf);
    EK_WANT(k,
            ek_write(k, "pki/issuers/generate/root/existing",
                     "{\"common_name\":\"Root\",\"key_ref\":\"default\",\"ttl\":\"9h\"}"),
            200);
    EK_WANT(k, ek_write(k, "pki/issuer/next/revoke", "{}"), 200);
    assert_true(mln_get_bool(mln_get(k->re.data, "revoked"), false));
    EK_REFUSED(k, ek_write(k, "pki/issue/r", "{\"common_name\":\"a\"}"), 400,
               "requested usage issuing-certificates");
    EK_WANT(k, ek_delete(k, "pki/issuer/next"), 200 + 4);
    assert_int_equal(mln_len(k->re.warnings), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaf),         cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_intermediate), cmocka_unit_test(test_sign),
        cmocka_unit_test(test_times),        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_bundles),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
