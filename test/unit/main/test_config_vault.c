/* SPDX-License-Identifier: Apache-2.0 */
/* The configurations of Vault and OpenBao servers: as their documentation shows them, and what is refused or warned of. */
#include "kit/kit.h"

#include <string.h>

#include "main/config.c"
#include "main/config_read.c"
#include "main/config_vault.c"

static struct mln_cx cx;

static int setup(void **state)
{
    (void)state;
    mln_cx_init(&cx, mln_arena_new((size_t)4 << 20, false));
    return cx.arena == NULL;
}

static int teardown(void **state)
{
    (void)state;
    mln_arena_free(cx.arena);
    return 0;
}

static struct mln_err parse(const char *text, struct server_config *ret)
{
    mln_cx_clear(&cx);
    mln_arena_reset(cx.arena);
    return server_config_parse(&cx, mln_bytes_of(text), false, ret);
}

static void test_production(void **state)
{
    static const char text[] = "# a file of years\n"
                               "ui            = true\n"
                               "cluster_addr  = \"https://127.0.0.1:8201\"\n"
                               "api_addr      = \"https://127.0.0.1:8200\"\n"
                               "disable_mlock = true\n"
                               "storage \"raft\" {\n  path = \"/opt/vault/data\"\n  node_id = \"node1\"\n}\n"
                               "listener \"tcp\" {\n  address       = \"0.0.0.0:8200\"\n"
                               "  tls_cert_file = \"/c.pem\"\n  tls_key_file = \"/k.pem\"\n"
                               "  tls_client_ca_file = \"/ca.pem\"\n  tls_min_version = \"tls12\"\n}\n"
                               "listener \"tcp\" {\n  address = \":8300\"\n  tls_disable = 1\n  tls_cert_file = \"/old.pem\"\n"
                               "  disable_unauthed_rekey_endpoints = false\n  disable_unauthed_generate_root_endpoints = \"true\"\n}\n"
                               "default_lease_ttl = \"24h\"\nmax_lease_ttl = 172800\nlog_level = \"Trace\"\nlog_format = \"json\"\n"
                               "telemetry {\n  disable_hostname = true\n}\nlicense_path = \"/x\"\n"
                               "audit \"file\" \"to-disk\" {\n  description = \"d\"\n  options {\n    file_path = \"/a.log\"\n  }\n}\n"
                               "unsafe_allow_api_audit_creation = true\n";
    struct server_config c;
    (void)state;
    struct mln_err err = parse(text, &c);
    assert_true(mln_failed(err)); /* the listeners differ in what they answer without a token */
    assert_non_null(strstr(cx.text, "disable_unauthed"));
    char same[sizeof(text)];
    mln_copy(same, text, sizeof(text));
    char *at = strstr(same, "disable_unauthed_rekey_endpoints = false");
    memcpy(at, "disable_unauthed_rekey_endpoints = true ", 40);
    kit_ok(&cx, parse(same, &c));
    assert_string_equal(c.data_dir, "/opt/vault/data");
    assert_int_equal(c.n_listeners, 2);
    assert_string_equal(c.listeners[0].cert_file, "/c.pem");
    assert_string_equal(c.listeners[0].client_ca_file, "/ca.pem");
    assert_true(c.listeners[0].is_tls && !c.listeners[0].asks_certs);
    assert_false(c.listeners[1].is_tls);
    assert_string_equal(c.listeners[1].address.text, "0.0.0.0:8300");
    assert_int_equal(c.seal, MLN_SEAL_SHAMIR);
    assert_int_equal(c.default_ttl_s, 86400);
    assert_int_equal(c.max_ttl_s, 172800);
    assert_int_equal(c.log_level, MLN_LOG_DEBUG);
    assert_int_equal(c.log_form, MLN_LOG_JSON);
    assert_true(c.audit_by_api);
    assert_int_equal(mln_len(c.audit), 1);
    assert_true(mln_is_text(mln_get(mln_item(c.audit, 0), "path"), "to-disk/"));
    assert_int_equal(mln_len(c.warnings), 2);
    assert_non_null(strstr(mln_get_text(&cx, mln_item(c.warnings, 0), ""), "'listener.tls_min_version'"));
    assert_non_null(strstr(mln_get_text(&cx, mln_item(c.warnings, 1), ""), "'license_path'"));
}

static void test_shapes(void **state)
{
    static const char *const texts[] = {
        "{\"listener\": {\"tcp\": {\"address\": \"127.0.0.1:8200\", \"tls_disable\": true}}, \"backend\": {\"file\": {\"path\": \"/d\"}}}",
        ("{\"listener\": [{\"tcp\": {\"address\": \"127.0.0.1:8200\", \"tls_disable\": \"true\"}}],"
         " \"storage\": [{\"file\": {\"path\": \"/d\"}}]}"),
        "{\"listener\": {\"tcp\": [{\"address\": \"127.0.0.1:8200\", \"tls_disable\": 1}]}, \"storage\": {\"raft\": {\"path\": \"/d\"}}}",
        "listener \"tcp\" {\n tls_disable = \"1\"\n}\nbackend \"file\" {\n path = \"/d\"\n}\n",
        "listener tcp {\n tls_disable = true\n}\nstorage file {\n path = \"/d\"\n}\nseal \"shamir\" {}\n",
    };
    struct server_config c;
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        kit_ok(&cx, parse(texts[i], &c));
        assert_string_equal(c.data_dir, "/d");
        assert_int_equal(c.n_listeners, 1);
        assert_false(c.listeners[0].is_tls);
        assert_string_equal(c.listeners[0].address.text, "127.0.0.1:8200");
        assert_false(c.is_temporary);
    }
    kit_ok(&cx, parse("storage \"inmem\" {}\nlistener \"tcp\" {\n tls_disable = true\n}\n", &c));
    assert_true(c.is_temporary);
    assert_null(c.data_dir);
}

static void test_refused(void **state)
{
#define STORAGE "storage \"inmem\" {}\n"
#define PLAIN   "listener \"tcp\" {\n tls_disable = true\n}\n"
    static const struct {
        const char *text, *says;
    } rows[] = {
        {STORAGE, "listeners"},
        {"storage \"consul\" {}\n" PLAIN, "consul"},
        {STORAGE "listener \"unix\" {\n address = \"/s\"\n}\n", "unix"},
        {STORAGE "listener \"tcp\" {}\n", "tls_cert_file"},
        {STORAGE "listener \"tcp\" {\n tls_disable = \"perhaps\"\n}\n", "tls_disable"},
        {STORAGE "listener \"tcp\" {\n tls_disable = true\n address = \"nowhere\"\n}\n", "address"},
        {STORAGE "listener \"tcp\" {\n tls_cert_file = \"c\"\n tls_key_file = \"k\"\n tls_require_and_verify_client_cert = true\n}\n",
         "tls_require_and_verify_client_cert"},
        {STORAGE PLAIN "seal \"transit\" {\n address = \"https://x\"\n}\n", "transit"},
        {STORAGE PLAIN "log_level = \"loud\"\n", "log_level"},
        {STORAGE PLAIN "default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"\n", "max_lease_ttl"},
        {STORAGE PLAIN "audit \"file\" {\n file_path = \"/a\"\n}\n", "path"},
        {STORAGE "listener \"tcp\" {\n tls_disable = true\n", ""},
        {"listener = 5\nstorage \"inmem\" {}\n", "listener"},
    };
    struct server_config c;
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        bool has_failed = mln_failed(parse(rows[i].text, &c));
        if (!has_failed || strstr(cx.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s", i, has_failed ? cx.text : "was taken");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_production), cmocka_unit_test(test_shapes), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
