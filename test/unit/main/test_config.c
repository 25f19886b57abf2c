/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon.yaml and the flags of `merlon server`: what is taken, and by which name the rest is
 * refused.
 */
#include "kit/kit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "main/config.c"
#include "main/config_read.c"
#include "main/config_vault.c"

#define LISTENERS "listeners:\n  - address: 127.0.0.1:8200\n    tls_disable: true\n"
#define FILES     "    tls_cert_file: c.pem\n    tls_key_file: k.pem\n"

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

static struct mln_err parse(const char *text, bool dev_tls, struct server_config *ret)
{
    mln_cx_clear(&cx);
    mln_arena_reset(cx.arena);
    return server_config_parse(&cx, mln_bytes_of(text), dev_tls, ret);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *text, *says;
    } rows[] = {
        {"nothing", "", "must hold keys"},
        {"a list", "- a\n", "must hold keys"},
        {"no YAML", "a: [\n", "yaml"},
        {"twice", "data: a\ndata: b\n" LISTENERS, "yaml"},
        {"unknown key", "date: /x\n" LISTENERS, "'date'"},
        {"no listeners", "data: /x\n", "'listeners'"},
        {"empty listeners", "listeners: []\n", "'listeners'"},
        {"listeners of the wrong kind", "listeners: {a: b}\n", "'listeners'"},
        {"a listener that is a text", "listeners: [x]\n", "'listeners'"},
        {"unknown key of a listener", LISTENERS "    tls_crt: x\n", "'listeners[0].tls_crt'"},
        {"a switch as a text", LISTENERS "    disable_unauthed_rekey_endpoints: 'no'\n",
         "'listeners[0].disable_unauthed_rekey_endpoints'"},
        {"listeners that differ",
         LISTENERS "    disable_unauthed_generate_root_endpoints: false\n"
                   "  - address: 127.0.0.1:2\n    tls_disable: true\n",
         "'listeners[1].disable_unauthed_...'"},
        {"a listener without address", "listeners:\n  - tls_disable: true\n",
         "'listeners[0].address'"},
        {"no certificate", "listeners:\n  - address: 127.0.0.1:1\n",
         "'listeners[0].tls_cert_file'"},
        {"no key", "listeners:\n  - address: 127.0.0.1:1\n    tls_cert_file: a\n",
         "'listeners[0].tls_key_file'"},
        {"plain with files", LISTENERS FILES, "'listeners[0].tls_disable'"},
        {"plain with client authorities", LISTENERS "    tls_client_ca_file: a\n",
         "'listeners[0].tls_disable'"},
        {"tls_disable as a text", "listeners:\n  - address: 127.0.0.1:1\n    tls_disable: 'yes'\n",
         "'listeners[0].tls_disable'"},
        {"a name as address", "listeners:\n  - address: example.org:1\n    tls_disable: true\n",
         "no address"},
        {"no port", "listeners:\n  - address: 127.0.0.1\n    tls_disable: true\n", "no address"},
        {"a port too high", "listeners:\n  - address: 127.0.0.1:65536\n    tls_disable: true\n",
         "no address"},
        {"a port with a sign", "listeners:\n  - address: 127.0.0.1:+1\n    tls_disable: true\n",
         "no address"},
        {"v6 without brackets", "listeners:\n  - address: '::1:1'\n    tls_disable: true\n",
         "no address"},
        {"v4 in brackets", "listeners:\n  - address: '[127.0.0.1]:1'\n    tls_disable: true\n",
         "no address"},
        {"address of the wrong kind", "listeners:\n  - address: 8200\n    tls_disable: true\n",
         "'listeners[0].address'"},
        {"data of the wrong kind", "data: {a: b}\n" LISTENERS, "'data'"},
        {"empty data", "data: ''\n" LISTENERS, "'data'"},
        {"seal of the wrong kind", "seal: shamir\n" LISTENERS, "'seal'"},
        {"unknown seal", "seal: {type: magic}\n" LISTENERS, "'seal.type'"},
        {"key file without path", "seal: {type: keyfile}\n" LISTENERS, "'seal.path'"},
        {"shamir with path", "seal: {type: shamir, path: /x}\n" LISTENERS, "'seal.path'"},
        {"unknown key of the seal", "seal: {kind: shamir}\n" LISTENERS, "'seal.kind'"},
        {"unknown durability", "ledger: {read_durability: never}\n" LISTENERS,
         "'ledger.read_durability'"},
        {"origin with a blank", "ledger: {origin: 'a b'}\n" LISTENERS, "'ledger.origin'"},
        {"origin with a plus", "ledger: {origin: a+b}\n" LISTENERS, "'ledger.origin'"},
        {"unknown key of the ledger", "ledger: {dir: x}\n" LISTENERS, "'ledger.dir'"},
        {"ttl that is none", "default_lease_ttl: soon\n" LISTENERS, "'default_lease_ttl'"},
        {"ttl of zero", "max_lease_ttl: 0\n" LISTENERS, "'max_lease_ttl'"},
        {"ttl below zero", "max_lease_ttl: -5\n" LISTENERS, "'max_lease_ttl'"},
        {"default above max", "default_lease_ttl: 2h\nmax_lease_ttl: 1h\n" LISTENERS,
         "'default_lease_ttl'"},
        {"unknown log level", "log: {level: loud}\n" LISTENERS, "log's level"},
        {"unknown log format", "log: {format: xml}\n" LISTENERS, "log's format"},
        {"unknown key of the log", "log: {file: x}\n" LISTENERS, "'log.file'"},
        {"spiffe is no mapping", "spiffe: a\n" LISTENERS, "'spiffe'"},
        {"trust domain with a capital", "spiffe: {trust_domain: Example.org}\n" LISTENERS, "a trust domain has"},
        {"trust domain of the wrong kind", "spiffe: {trust_domain: 7}\n" LISTENERS, "'spiffe.trust_domain'"},
        {"bundle endpoint without a port", "spiffe: {bundle_endpoint: 127.0.0.1}\n" LISTENERS, "'127.0.0.1' is no address"},
        {"bundle endpoint of the wrong kind", "spiffe: {bundle_endpoint: 7}\n" LISTENERS, "'spiffe.bundle_endpoint.address' is missing"},
        {"bundle endpoint without its key", "spiffe: {bundle_endpoint: {address: 127.0.0.1:1, tls_cert_file: a}}\n" LISTENERS,
         "'spiffe.bundle_endpoint.tls_key_file' is missing"},
        {"bundle endpoint with a listener's key", "spiffe: {bundle_endpoint: {address: 127.0.0.1:1, tls_disable: true}}\n" LISTENERS,
         "'spiffe.bundle_endpoint.tls_disable'"},
        {"unknown key of spiffe", "spiffe: {domain: a}\n" LISTENERS, "'spiffe.domain'"},
        {"audit is no list", "audit: {type: file}\n" LISTENERS, "'audit' must be a list"},
        {"audit of texts", "audit: [file]\n" LISTENERS, "'audit[0]' must hold keys"},
        {"bundle endpoint of a list", "spiffe: {bundle_endpoint: [a]}\n" LISTENERS, "'spiffe.bundle_endpoint.address' is missing"},
        {"audit without options", "audit: [{type: file, path: a}]\n" LISTENERS, "'audit[0].type'"},
        {"unknown key of audit", "audit: [{type: file, path: a, options: {}, file: x}]\n" LISTENERS, "'audit[0].file'"},
        {"audit by the API", "unsafe_allow_api_audit_creation: 1\n" LISTENERS, "'unsafe_allow_api_audit_creation'"},
        {"client certificates without TLS", LISTENERS "    tls_request_client_certs: true\n", "'listeners[0].tls_disable'"},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct server_config config = {.n_listeners = 77};
        struct mln_err err = parse(rows[i].text, false, &config);
        if (!mln_failed(err) || strstr(cx.text, rows[i].says) == NULL || config.n_listeners != 77) {
            print_error("%s: '%s' instead of '%s'\n", rows[i].name, cx.text, rows[i].says);
            fail();
        }
    }
}

static void test_too_many_listeners(void **state)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof(text), "listeners:\n");
    struct server_config config;
    (void)state;
    for (unsigned i = 0; i <= SERVER_LISTENERS_MAX; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "  - {address: '127.0.0.1:%u', tls_disable: true}\n", 8000 + i);
    }
    assert_true(mln_failed(parse(text, false, &config)));
    assert_non_null(strstr(cx.text, "more than 16"));
}

static void test_whole(void **state)
{
    static const char text[] =
        "data: /srv/merlon\n"
        "listeners:\n"
        "  - address: 127.0.0.1:8200\n" FILES "    tls_client_ca_file: ca.pem\n"
        "  - address: '[::1]:0'\n"
        "    tls_disable: true\n"
        "  - address: localhost:9\n"
        "    tls_disable: true\n"
        "seal: {type: keyfile, path: /k}\n"
        "ledger: {origin: example.org/log, read_durability: disk}\n"
        "default_lease_ttl: 30m\nmax_lease_ttl: 86400\n"
        "log: {level: debug, format: json}\n";
    struct server_config c;
    (void)state;
    assert_false(mln_failed(parse(text, false, &c)));
    assert_string_equal(c.data_dir, "/srv/merlon");
    assert_int_equal(c.n_listeners, 3);
    assert_true(c.listeners[0].is_tls);
    assert_string_equal(c.listeners[0].cert_file, "c.pem");
    assert_string_equal(c.listeners[0].key_file, "k.pem");
    assert_string_equal(c.listeners[0].client_ca_file, "ca.pem");
    assert_int_equal(c.listeners[0].address.sock.ss_family, AF_INET);
    assert_false(c.listeners[1].is_tls);
    assert_int_equal(c.listeners[1].address.sock.ss_family, AF_INET6);
    const struct sockaddr_in *local = (const struct sockaddr_in *)&c.listeners[2].address.sock;
    assert_int_equal(ntohl(local->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(ntohs(local->sin_port), 9);
    assert_int_equal(c.seal, MLN_SEAL_KEYFILE);
    assert_string_equal(c.keyfile, "/k");
    assert_null(c.audit);
    assert_false(c.audit_by_api || c.listeners[0].asks_certs);
    assert_string_equal(c.origin, "example.org/log");
    assert_true(c.durable_reads);
    assert_int_equal(c.default_ttl_s, 1800);
    assert_int_equal(c.max_ttl_s, 86400);
    assert_int_equal(c.log_level, MLN_LOG_DEBUG);
    assert_int_equal(c.log_form, MLN_LOG_JSON);
}

static void test_defaults(void **state)
{
    struct server_config c;
    (void)state;
    assert_false(mln_failed(parse(LISTENERS, false, &c)));
    assert_null(c.data_dir);
    assert_int_equal(c.seal, MLN_SEAL_SHAMIR);
    assert_string_equal(c.origin, "merlon.local/ledger");
    assert_false(c.durable_reads);
    assert_int_equal(c.default_ttl_s, 0);
    assert_int_equal(c.log_level, MLN_LOG_INFO);
    assert_false(mln_failed(parse("unsafe_allow_api_audit_creation: true\naudit: [{type: file, path: a, options: {file_path: /x}}]\n"
                                  "listeners:\n  - address: 127.0.0.1:1\n    tls_request_client_certs: true\n",
                                  true, &c)));
    assert_true(c.audit_by_api && c.listeners[0].asks_certs && mln_len(c.audit) == 1);
    assert_true(mln_is_text(mln_get(mln_item(c.audit, 0), "path"), "a/"));
    assert_true(c.listeners[0].is_tls); /* --dev-tls makes the files */
    assert_null(c.listeners[0].cert_file);
}

static struct mln_err load(struct mln_server_options options, struct server_config *ret)
{
    mln_cx_clear(&cx);
    mln_arena_reset(cx.arena);
    return server_config_load(&cx, &options, ret);
}

static void test_dev(void **state)
{
    struct server_config c;
    struct mln_server_options options = {
        .is_dev = true, .dev_root_token_id = "root", .rekey_per_minute = 3, .data_dir = "/d"};
    (void)state;
    assert_false(mln_failed(load(options, &c)));
    assert_true(c.is_dev);
    assert_int_equal(c.seal, MLN_SEAL_KEYFILE);
    assert_string_equal(c.root_token, "root");
    assert_string_equal(c.data_dir, "/d");
    assert_string_equal(c.listeners[0].address.text, "127.0.0.1:8200");
    assert_false(c.listeners[0].is_tls);
    options.dev_tls = true;
    options.dev_listen_address = "127.0.0.1:0";
    options.log_level = "warn";
    assert_false(mln_failed(load(options, &c)));
    assert_true(c.listeners[0].is_tls);
    assert_int_equal(c.log_level, MLN_LOG_WARN);
    options.rekey_per_minute = -1;
    assert_true(mln_is(load(options, &c), MLN_E_USAGE));
    options.rekey_per_minute = 1001;
    assert_true(mln_is(load(options, &c), MLN_E_USAGE));
    options.rekey_per_minute = 0;
    options.config_file = "/x";
    assert_true(mln_is(load(options, &c), MLN_E_USAGE));
    options.config_file = NULL;
    options.dev_listen_address = "nowhere";
    assert_true(mln_is(load(options, &c), MLN_E_INVALID));
}

static void test_file(void **state)
{
    char path[] = "/tmp/merlon-config-XXXXXX";
    struct server_config c;
    struct mln_server_options options = {
        .config_file = path, .rekey_per_minute = 3, .log_level = "info", .log_format = "text"};
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(write(fd, LISTENERS, strlen(LISTENERS)) > 0);
    assert_true(mln_is(load(options, &c), MLN_E_INVALID)); /* 'data' is missing */
    assert_non_null(strstr(cx.text, "'data'"));
    options.data_dir = "/other";
    options.dev_root_token_id = "t";
    assert_false(mln_failed(load(options, &c)));
    assert_string_equal(c.data_dir, "/other");
    assert_null(c.root_token); /* only --dev makes one */
    static const char log[] = "log: {level: debug, format: json}\n";
    assert_true(write(fd, log, sizeof(log) - 1) > 0);
    assert_false(mln_failed(load(options, &c)));
    assert_int_equal(c.log_level, MLN_LOG_DEBUG); /* a flag's default does not win over the file */
    options.log_level = "error";
    assert_false(mln_failed(load(options, &c)));
    assert_int_equal(c.log_level, MLN_LOG_ERROR);
    assert_int_equal(c.log_form, MLN_LOG_JSON);
    assert_true(write(fd, "nonsense: 1\n", 12) > 0);
    assert_true(mln_failed(load(options, &c)));
    assert_non_null(strstr(cx.text, path));
    assert_non_null(strstr(cx.text, "'nonsense'"));
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_true(mln_is(load(options, &c), MLN_E_NOT_FOUND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_too_many_listeners),
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_dev),     cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
