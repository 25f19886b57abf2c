/* SPDX-License-Identifier: Apache-2.0 */
/* Roles of the PKI engine: their members and texts, and which names they let through. */
#include "kit/pki_kit.h"

static void test_defaults(void **state)
{
    (void)state;
    PKI(k);
    EK_WANT(k,
            ek_write(k, "pki/roles/web",
                     "{\"allowed_domains\":\"example.com\",\"allow_subdomains\":true,\"key_type\":"
                     "\"ec\",\"max_ttl\":\"72h\"}"),
            200);
    const char *want =
        "{\"allow_any_name\":false,\"allow_bare_domains\":false,\"allow_glob_domains\":false,"
        "\"allow_globs_in_identity_templates\":false,\"allow_ip_sans\":true,\"allow_localhost\":"
        "true,\"allow_subdomains\":true,"
        "\"allow_token_displayname\":false,\"allow_wildcard_certificates\":true,\"allowed_"
        "domains\":[\"example.com\"],"
        "\"allowed_domains_template\":false,\"allowed_ip_sans_cidr\":[],\"allowed_other_sans\":[],"
        "\"allowed_serial_numbers\":[],"
        "\"allowed_uri_sans\":[],\"allowed_uri_sans_template\":false,\"allowed_user_ids\":[],"
        "\"basic_constraints_valid_for_non_ca\":false,\"client_flag\":true,\"cn_validations\":["
        "\"email\",\"hostname\"],"
        "\"code_signing_flag\":false,\"country\":[],\"email_protection_flag\":false,\"enforce_"
        "hostnames\":true,"
        "\"ext_key_usage\":[],\"ext_key_usage_oids\":[],\"generate_lease\":false,\"issuer_ref\":"
        "\"default\",\"key_bits\":256,"
        "\"key_type\":\"ec\",\"key_usage\":[\"DigitalSignature\",\"KeyAgreement\","
        "\"KeyEncipherment\"],\"locality\":[],"
        "\"max_ttl\":259200,\"no_store\":false,\"not_after\":\"\",\"not_after_bound\":\"permit\","
        "\"not_before\":\"\","
        "\"not_before_bound\":\"permit\",\"not_before_duration\":30,\"organization\":[],\"ou\":[],"
        "\"policy_identifiers\":[],"
        "\"postal_code\":[],\"province\":[],\"require_cn\":true,\"server_flag\":true,\"signature_"
        "bits\":0,\"street_address\":[],"
        "\"ttl\":0,\"use_csr_common_name\":true,\"use_csr_sans\":true,\"use_pss\":false}";
    EK_DATA(k, want);
    EK_WANT(k, ek_read(k, "pki/roles/web", NULL), 200);
    EK_DATA(k, want);
    EK_WANT(k, ek_list(k, "pki/roles"), 200);
    EK_DATA(k, "{\"keys\":[\"web\"]}");
    EK_WANT(k, ek_patch(k, "pki/roles/web", "{\"max_ttl\":\"1h\"}"), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "max_ttl"), 0), 3600);
    assert_true(mln_get_bool(mln_get(k->re.data, "allow_subdomains"), false));
    EK_WANT(k, ek_patch(k, "pki/roles/web", "{\"key_type\":\"rsa\"}"), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "key_bits"), 0), 2048);
    EK_WANT(k, ek_delete(k, "pki/roles/web"), 204);
    EK_WANT(k, ek_read(k, "pki/roles/web", NULL), 404);
    EK_WANT(k, ek_list(k, "pki/roles"), 404);
    EK_REFUSED(k, ek_patch(k, "pki/roles/web", "{}"), 400, "Unable to fetch role entry to patch");
}

static void test_refused_roles(void **state)
{
    (void)state;
    PKI(k);
    static const struct {
        const char *json, *text;
    } t[] = {
        {"{\"key_type\":\"silly\"}", "unknown key type silly"},
        {"{\"ttl\":\"3h\",\"max_ttl\":\"1h\"}",
         "\"ttl\" value must be less than \"max_ttl\" value"},
        {"{\"key_type\":\"rsa\",\"key_bits\":1024}",
         "RSA keys < 2048 bits are unsafe and not supported: got 1024"},
        {"{\"key_type\":\"ec\",\"key_bits\":123}", "unsupported bit length for EC key: 123"},
        {"{\"signature_bits\":100}", "unsupported hash signature algorithm: 100"},
        {"{\"key_type\":\"any\",\"signature_bits\":1}", "unsupported hash signature algorithm: 1"},
        {"{\"cn_validations\":\"disabled,email\"}", "cannot specify `disabled`"},
        {"{\"cn_validations\":\"x\"}", "unknown value for `cn_validations`"},
        {"{\"key_usage\":\"Nonsense\"}", "unrecognized key usage Nonsense"},
        {"{\"ext_key_usage\":\"Nonsense\"}", "unrecognized extended key usage Nonsense"},
        {"{\"ext_key_usage_oids\":\"1.a\"}", "no object identifier"},
        {"{\"policy_identifiers\":\"x\"}", "no object identifier"},
        {"{\"not_after\":\"tomorrow\"}", "RFC 3339"},
        {"{\"not_after_bound\":\"x\"}", "not_after_bound"},
        {"{\"not_before_bound\":\"x\"}", "not_before_bound"},
        {"{\"ttl\":-1}", "out of range"},
        {"{\"max_ttl\":99999999999}", "out of range"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "pki/roles/bad", t[i].json), 400, t[i].text);
    }
    EK_WANT(k, ek_read(k, "pki/roles/bad", NULL), 404);
}

static const struct {
    const char *role; /* members beside the key type */
    const char *ask;
    const char *refused; /* NULL: issued */
} names[] = {
    /* subdomains, bare domains */
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"a.ex.com\"}",
     NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"A.EX.Com\"}",
     NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"ex.com\"}",
     "common name ex.com not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"aex.com\"}",
     "common name aex.com not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true",
     "{\"common_name\":\"a.ex.com.evil.org\"}", "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true", "{\"common_name\":\"ex.com\"}",
     NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true", "{\"common_name\":\"a.ex.com\"}",
     "not allowed"},
    {"\"allowed_domains\":\"ex.com\"", "{\"common_name\":\"ex.com\"}", "not allowed"},
    /* wildcards */
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"*.ex.com\"}",
     NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"*.a.ex.com\"}",
     NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true",
     "{\"common_name\":\"a*.b.ex.com\"}", NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"a.*.ex.com\"}",
     "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"*.*.ex.com\"}",
     "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true", "{\"common_name\":\"**.ex.com\"}",
     "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true,\"allow_wildcard_certificates\":"
     "false",
     "{\"common_name\":\"*.ex.com\"}", "common name *.ex.com not allowed"},
    {"\"allow_any_name\":true,\"allow_wildcard_certificates\":false",
     "{\"common_name\":\"*.ex.com\"}", "not allowed"},
    /* patterns */
    {"\"allowed_domains\":\"ftp*.ex.com\",\"allow_glob_domains\":true",
     "{\"common_name\":\"ftp1.ex.com\"}", NULL},
    {"\"allowed_domains\":\"ftp*.ex.com\",\"allow_glob_domains\":true",
     "{\"common_name\":\"www.ex.com\"}", "not allowed"},
    {"\"allowed_domains\":\"ftp*.ex.com\"", "{\"common_name\":\"ftp1.ex.com\"}", "not allowed"},
    /* any name, shapes */
    {"\"allow_any_name\":true", "{\"common_name\":\"whatever.org\"}", NULL},
    {"\"allow_any_name\":true", "{\"common_name\":\"a b\"}", "common name a b not allowed"},
    {"\"allow_any_name\":true", "{\"common_name\":\"-a.org\"}", "not allowed"},
    {"\"allow_any_name\":true,\"enforce_hostnames\":false", "{\"common_name\":\"a b\"}", NULL},
    {"\"allow_any_name\":true,\"cn_validations\":\"disabled\"", "{\"common_name\":\"a b\"}", NULL},
    {"\"allowed_domains\":\"ex.com\",\"cn_validations\":\"disabled\"",
     "{\"common_name\":\"evil.org\"}", "subject alternate name evil.org not allowed"},
    {"\"allow_any_name\":true,\"cn_validations\":\"email\"", "{\"common_name\":\"a.org\"}",
     "common name a.org not allowed"},
    {"\"allow_any_name\":true,\"cn_validations\":\"hostname\"", "{\"common_name\":\"a@b.org\"}",
     "common name a@b.org not allowed"},
    /* localhost */
    {"\"allowed_domains\":[]", "{\"common_name\":\"localhost\"}", NULL},
    {"\"allow_localhost\":false", "{\"common_name\":\"localhost\"}", "not allowed"},
    {"\"allowed_domains\":[]", "{\"common_name\":\"a.localhost\"}", "not allowed"},
    {"\"allow_subdomains\":true", "{\"common_name\":\"a.localdomain\"}", NULL},
    /* mail */
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true",
     "{\"common_name\":\"me@ex.com\"}", NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true",
     "{\"common_name\":\"me@evil.com\"}", "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true",
     "{\"common_name\":\"a@b@ex.com\"}", "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true", "{\"common_name\":\"@ex.com\"}",
     "not allowed"},
    {"\"allowed_domains\":\"ex.com\",\"allow_bare_domains\":true",
     "{\"common_name\":\"ex.com\",\"alt_names\":\"x@evil.com\"}",
     "email address x@evil.com not allowed"},
    /* display name of the token: root */
    {"\"allow_token_displayname\":true", "{\"common_name\":\"root\"}", NULL},
    {"\"allow_token_displayname\":true", "{\"common_name\":\"other\"}", "not allowed"},
    /* alternative names */
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true",
     "{\"common_name\":\"a.ex.com\",\"alt_names\":\"b.ex.com,c.ex.com\"}", NULL},
    {"\"allowed_domains\":\"ex.com\",\"allow_subdomains\":true",
     "{\"common_name\":\"a.ex.com\",\"alt_names\":\"b.other.org\"}",
     "subject alternate name b.other.org not allowed by this role"},
    {"\"allow_any_name\":true", "{\"common_name\":\"a.ex.com\",\"alt_names\":\"a b\"}",
     "subject alternate name a b not allowed"},
    {"\"allow_any_name\":true", "{\"common_name\":\"a\",\"ip_sans\":\"10.0.0.1,::1\"}", NULL},
    {"\"allow_any_name\":true", "{\"common_name\":\"a\",\"ip_sans\":\"10.0.0\"}",
     "is not a valid IP address"},
    {"\"allow_any_name\":true,\"allow_ip_sans\":false",
     "{\"common_name\":\"a\",\"ip_sans\":\"10.0.0.1\"}",
     "IP Subject Alternative Names are not allowed in this role, but was provided via the API"},
    {"\"allow_any_name\":true,\"allowed_ip_sans_cidr\":\"10.0.0.0/9\"",
     "{\"common_name\":\"a\",\"ip_sans\":\"10.127.0.1\"}", NULL},
    {"\"allow_any_name\":true,\"allowed_ip_sans_cidr\":\"10.0.0.0/9\"",
     "{\"common_name\":\"a\",\"ip_sans\":\"10.128.0.1\"}", "allowed network"},
    {"\"allow_any_name\":true,\"allowed_uri_sans\":\"spiffe://ex/*\"",
     "{\"common_name\":\"a\",\"uri_sans\":\"spiffe://ex/a\"}", NULL},
    {"\"allow_any_name\":true,\"allowed_uri_sans\":\"spiffe://ex/*\"",
     "{\"common_name\":\"a\",\"uri_sans\":\"spiffe://evil/a\"}",
     "URI Subject Alternative Names were provided via the API which are not valid for this role"},
    {"\"allow_any_name\":true", "{\"common_name\":\"a\",\"uri_sans\":\"spiffe://ex/a\"}",
     "URI Subject Alternative Names are not allowed in this role"},
    {"\"allow_any_name\":true,\"allowed_uri_sans\":\"*\"",
     "{\"common_name\":\"a\",\"uri_sans\":\"nothing\"}", "is not a valid URI"},
    {"\"allow_any_name\":true,\"allowed_other_sans\":\"1.2.3;UTF8:x*\"",
     "{\"common_name\":\"a\",\"other_sans\":\"1.2.3;UTF8:xyz\"}", NULL},
    {"\"allow_any_name\":true,\"allowed_other_sans\":\"*\"",
     "{\"common_name\":\"a\",\"other_sans\":\"1.2.3;UTF8:xyz\"}", NULL},
    {"\"allow_any_name\":true,\"allowed_other_sans\":\"1.2.3;UTF8:x*\"",
     "{\"common_name\":\"a\",\"other_sans\":\"1.2.3;UTF8:y\"}", "not allowed"},
    {"\"allow_any_name\":true,\"allowed_other_sans\":\"*\"",
     "{\"common_name\":\"a\",\"other_sans\":\"1.2.3:y\"}", "could not parse requested other SAN"},
    {"\"allow_any_name\":true,\"allowed_other_sans\":\"*\"",
     "{\"common_name\":\"a\",\"other_sans\":\"1.x;UTF8:y\"}", "no object identifier"},
    /* subject */
    {"\"allow_any_name\":true", "{}",
     "the common_name field is required, or must be provided in a CSR"},
    {"\"allow_any_name\":true,\"require_cn\":false", "{\"alt_names\":\"a.org\"}", NULL},
    {"\"allow_any_name\":true", "{\"common_name\":\"a\",\"serial_number\":\"7\"}",
     "serial_number 7 not allowed by this role"},
    {"\"allow_any_name\":true,\"allowed_serial_numbers\":\"7*\"",
     "{\"common_name\":\"a\",\"serial_number\":\"77\"}", NULL},
    {"\"allow_any_name\":true", "{\"common_name\":\"a\",\"user_ids\":\"u\"}",
     "user_id u is not allowed by this role"},
    {"\"allow_any_name\":true,\"allowed_user_ids\":\"u*\"",
     "{\"common_name\":\"a\",\"user_ids\":\"u1\"}", NULL},
};

static void test_names(void **state)
{
    (void)state;
    PKI(k);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        char role[512];
        int n = snprintf(role, sizeof(role), "{\"key_type\":\"ec\",%s}", names[i].role);
        assert_true(n > 0 && n < (int)sizeof(role));
        EK_WANT(k, ek_write(k, "pki/roles/r", role), 200);
        ek_want_at(k, ek_write(k, "pki/issue/r", names[i].ask),
                   names[i].refused == NULL ? 200 : 400, names[i].refused, names[i].ask, (int)i);
    }
}

/* ---- identity templates ---- */

static struct mln_err fill(struct mln_request *rq, struct mln_bytes text, const char **ret)
{
    (void)rq;
    *ret = mln_bytes_is(text, "{{name}}.ex.com")   ? "alice.ex.com"
           : mln_bytes_is(text, "{{glob}}.ex.com") ? "*.ex.com"
                                                   : NULL;
    return MLN_OK;
}

static void test_templates(void **state)
{
    (void)state;
    PKI(k);
    static const struct {
        const char *role, *name;
        int status;
    } t[] = {
        {"\"allowed_domains\":\"{{name}}.ex.com\",\"allowed_domains_template\":true,\"allow_bare_"
         "domains\":true",
         "alice.ex.com", 200},
        {"\"allowed_domains\":\"{{name}}.ex.com\",\"allowed_domains_template\":true,\"allow_bare_"
         "domains\":true",
         "bob.ex.com", 400},
        {"\"allowed_domains\":\"{{name}}.ex.com\",\"allow_bare_domains\":true", "alice.ex.com",
         400},
        {"\"allowed_domains\":\"{{none}}.ex.com\",\"allowed_domains_template\":true,\"allow_bare_"
         "domains\":true",
         "alice.ex.com", 400},
        {"\"allowed_domains\":\"{{glob}}.ex.com\",\"allowed_domains_template\":true,\"allow_glob_"
         "domains\":true",
         "bob.ex.com", 400},
        {"\"allowed_domains\":\"{{glob}}.ex.com\",\"allowed_domains_template\":true,\"allow_glob_"
         "domains\":true,"
         "\"allow_globs_in_identity_templates\":true",
         "bob.ex.com", 200},
    };
    k->services.fill = fill;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char role[512], ask[128];
        snprintf(role, sizeof(role), "{\"key_type\":\"ec\",%s}", t[i].role);
        snprintf(ask, sizeof(ask), "{\"common_name\":\"%s\"}", t[i].name);
        EK_WANT(k, ek_write(k, "pki/roles/r", role), 200);
        ek_want_at(k, ek_write(k, "pki/issue/r", ask), t[i].status, NULL, t[i].role, (int)i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused_roles),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
