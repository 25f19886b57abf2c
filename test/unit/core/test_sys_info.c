/* SPDX-License-Identifier: Apache-2.0 */
/* Tools, the catalog, versions, the machine, counts. (mln_sys_info, mln_sys_tools, mln_sys_metrics) */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_tools(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/tools/hash", "{\"input\":\"YQ==\"}", 200, "data|sum",
         "\"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\""},
        {R, "write", "sys/tools/hash/sha2-512", "{\"input\":\"YQ==\",\"format\":\"base64\"}", 200, NULL, NULL},
        {R, "write", "sys/tools/hash/md5", "{\"input\":\"YQ==\"}", 400, NULL, NULL},
        {R, "write", "sys/tools/hash", "{\"input\":\"!\"}", 400, NULL, NULL},
        {R, "write", "sys/tools/random", "{}", 200, NULL, NULL},
        {R, "write", "sys/tools/random/8", "{\"format\":\"hex\"}", 200, NULL, NULL},
        {R, "write", "sys/tools/random/platform/8", "{}", 200, NULL, NULL},
        {R, "write", "sys/tools/random/0", "{}", 400, NULL, NULL},
        {R, "write", "sys/tools/random/99999999", "{}", 400, NULL, NULL},
        {NULL, "write", "sys/tools/random", "{}", 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
    CK_WANT(k, ck_call(k, R, "write", "sys/tools/random/8", "{\"format\":\"hex\"}"), 200);
    assert_int_equal(strlen(ck_at(k, "data|random_bytes")), 18);
}

static void test_info(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/plugins/catalog", NULL, 200, "data|auth", "[\"userpass\"]"},
        {R, "list", "sys/plugins/catalog/auth/", NULL, 200, "data|keys", "[\"userpass\"]"},
        {R, "read", "sys/plugins/catalog/secret/kv", NULL, 200, "data|builtin", "true"},
        {R, "read", "sys/plugins/catalog/secret/nope", NULL, 404, "errors", "[]"},
        {R, "read", "sys/plugins/catalog/odd", NULL, 400, NULL, "\"odd\" is not a supported plugin type"},
        {R, "write", "sys/plugins/catalog/secret/mine", "{}", 400, NULL,
         "engines are built in: none can be registered or removed"},
        {R, "list", "sys/version-history/", NULL, 200, "data|keys", "[\"" MLN_VERSION "\"]"},
        {R, "read", "sys/version-history", NULL, 200, "data|key_info|" MLN_VERSION "|previous_version", "null"},
        {R, "read", "sys/host-info", NULL, 200, "data|host|os", "\"Linux\""},
        {R, "read", "sys/internal/counters/tokens", NULL, 200, "data|counters|service_tokens|total", "1"},
        {R, "write", "auth/token/create", "{}", 200, NULL, NULL},
        {R, "read", "sys/internal/counters/tokens", NULL, 200, "data|counters|service_tokens|total", "2"},
        {NULL, "read", "sys/host-info", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
    CK_WANT(k, ck_call(k, R, "read", "sys/plugins/catalog", NULL), 200);
    assert_non_null(strstr(ck_at(k, "data|secret"), "\"kv\",\"spiffe\",\"transit\""));
}

static void test_server(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/config/state/sanitized", NULL, 200, "data|storage|type", "\"lmdb\""},
        {R, "read", "sys/config/state/sanitized", NULL, 200, "data|raw_storage_endpoint", "false"},
        {R, "write", "sys/loggers", "{\"level\":\"error\"}", 204, NULL, NULL},
        {R, "read", "sys/loggers/core", NULL, 200, "data|core", "\"error\""},
        {R, "write", "sys/loggers/core", "{\"level\":\"trace\"}", 204, NULL, NULL},
        {R, "read", "sys/loggers", NULL, 200, "data|core", "\"debug\""},
        {R, "delete", "sys/loggers", NULL, 204, NULL, NULL},
        {R, "read", "sys/loggers", NULL, 200, "data|core", "\"info\""},
        {R, "write", "sys/loggers", "{\"level\":\"bogus\"}", 400, NULL, "invalid level provided: unknown log level: bogus"},
        {R, "write", "sys/loggers", "{}", 400, NULL, "level is required"},
        {R, "read", "sys/loggers/other", NULL, 404, NULL, "logger \"other\" not found"},
        {NULL, "write", "sys/loggers", "{\"level\":\"debug\"}", 403, NULL, "permission denied"},
        {R, "read", "sys/monitor", NULL, 400, NULL,
         "the log is not streamed: read it where the server's standard error goes, e.g. with 'journalctl -fu merlon'"},
        {R, "read", "sys/pprof/heap", NULL, 400, NULL,
         "this server is not written in Go and has no profiles of its runtime: use perf on its processes, or sys/metrics"},
        {R, "write", "sys/plugins/reload/backend", "{\"plugin\":\"kv\"}", 200, NULL, NULL},
        {R, "write", "sys/plugins/reload/backend", "{\"plugin\":\"kv\",\"mounts\":[\"secret/\"]}", 400, NULL,
         "plugin and mounts cannot be set at the same time"},
        {R, "write", "sys/plugins/reload/backend", "{}", 400, NULL, "plugin or mounts must be provided"},
        {R, "delete", "sys/plugins/catalog/secret/mine", NULL, 204, NULL, NULL},
        {R, "delete", "sys/plugins/catalog/secret/kv", NULL, 400, NULL, "engines are built in: none can be registered or removed"},
        {R, "read", "sys/internal/counters/entities", NULL, 200, "data|counters|entities|total", "0"},
        {R, "write", "identity/entity", "{\"name\":\"a\"}", 200, NULL, NULL},
        {R, "read", "sys/internal/counters/entities", NULL, 200, "data|counters|entities|total", "1"},
    };
    CK_PLAY(k, t);
}

static void test_metrics(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, R, "read", "secret/data/a", NULL), 404);
    CK_WANT(k, ck_call(k, R, "read", "sys/metrics", "{\"format\":\"prometheus\"}"), 200);
    const char *text = mln_get_text(&k->cx, mln_get(k->answer, "raw"), "");
    assert_non_null(strstr(text, "# TYPE merlon_requests_total counter\n"));
    assert_non_null(strstr(text, "merlon_requests_total{op=\"read\",status=\"4xx\"} 1\n"));
    assert_non_null(strstr(text, "\nmerlon_mounts "));
    assert_non_null(strstr(text, "\nmerlon_ledger_size "));
    CK_WANT(k, ck_call(k, R, "read", "sys/metrics", NULL), 200);
    assert_string_not_equal(ck_at(k, "bare|Counters"), "[]");
    CK_WANT(k, ck_call(k, R, "read", "sys/metrics", "{\"format\":\"xml\"}"), 400);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/metrics", NULL), 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tools), cmocka_unit_test(test_info),
                                       cmocka_unit_test(test_metrics), cmocka_unit_test(test_server)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
