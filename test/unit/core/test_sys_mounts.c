/* SPDX-License-Identifier: Apache-2.0 */
/* sys/mounts, sys/auth, their settings, moves, and what the user interface sees of them. (mln_sys_mounts, mln_sys_ui, mln_sys_remount) */
#include "core_kit.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()
#define R "root"

static void test_enable(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/a/b",
         "{\"type\":\"transit\",\"description\":\"d\",\"local\":true,\"seal_wrap\":true,\"config\":{"
         "\"default_lease_ttl\":\"1h\",\"max_lease_ttl\":7200,\"force_no_cache\":true,"
         "\"listing_visibility\":\"unauth\",\"audit_non_hmac_request_keys\":\"x,y\","
         "\"passthrough_request_headers\":[\"X-A\"]}}",
         204, NULL, NULL},
        {R, "read", "sys/mounts/a/b", NULL, 200, "data|config",
         "{\"audit_non_hmac_request_keys\":[\"x\",\"y\"],\"default_lease_ttl\":3600,"
         "\"force_no_cache\":true,\"listing_visibility\":\"unauth\",\"max_lease_ttl\":7200,"
         "\"passthrough_request_headers\":[\"X-A\"]}"},
        {R, "read", "sys/mounts/a/b/", NULL, 200, "data|local", "true"},
        {R, "read", "sys/mounts/a/b", NULL, 200, "data|seal_wrap", "true"},
        {R, "read", "sys/mounts/a/b", NULL, 200, "data|options", "{}"},
        {R, "read", "sys/mounts", NULL, 200, "top|a/b/|type", "\"transit\""},
        {R, "read", "sys/mounts", NULL, 200, "data|sys/|config|passthrough_request_headers",
         "[\"Accept\"]"},
        {R, "read", "sys/auth", NULL, 200, "data|token/|config|token_type", "\"default-service\""},
        {R, "write", "sys/mounts/v2", "{\"type\":\"kv-v2\"}", 204, NULL, NULL},
        {R, "read", "sys/mounts/v2", NULL, 200, "data|options", "{\"version\":\"2\"}"},
        {R, "write", "sys/mounts/g", "{\"type\":\"generic\"}", 204, NULL, NULL},
        {R, "read", "sys/mounts/g", NULL, 200, "data|type", "\"kv\""},
        {R, "read", "sys/mounts/g", NULL, 200, "data|options", "{}"},
        {R, "write", "sys/auth/u", "{\"type\":\"userpass\"}", 204, NULL, NULL},
        {R, "read", "sys/auth/u", NULL, 200, "data|type", "\"userpass\""},
        {R, "delete", "sys/auth/u", NULL, 204, NULL, NULL},
        {R, "read", "sys/auth/u", NULL, 400, NULL, "No auth engine at u/"},
        {R, "delete", "sys/mounts/a/b", NULL, 204, NULL, NULL},
        {R, "delete", "sys/mounts/a/b", NULL, 204, NULL, NULL},
        {R, "read", "sys/mounts/a/b", NULL, 400, NULL, "No secret engine mount at a/b/"},
    };
    CK_PLAY(k, t);
}

static void test_refused(void **state)
{
    (void)state;
    CK(k);
#define ENABLE(config) R, "write", "sys/mounts/x", "{\"type\":\"transit\",\"config\":{" config "}}", 400, NULL
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/x", "{}", 400, NULL, "backend type must be specified as a string"},
        {R, "write", "sys/mounts/x", "{\"type\":\"nope\"}", 400, NULL,
         "plugin not found in the catalog: nope"},
        {R, "write", "sys/mounts/x", "{\"type\":\"userpass\"}", 400, NULL,
         "plugin not found in the catalog: userpass"},
        {R, "write", "sys/mounts/auth/x", "{\"type\":\"userpass\"}", 400, NULL,
         "cannot mount under existing mount \"auth/\""},
        {R, "write", "sys/mounts/secret/x", "{\"type\":\"kv\"}", 400, NULL,
         "path is already in use at secret/"},
        {R, "write", "sys/mounts/a//b", "{\"type\":\"kv\"}", 400, NULL,
         "a mount's path has no empty, \".\", \"..\" or \"+\" segment"},
        {R, "write", "sys/mounts/x", "{\"type\":\"kv\",\"options\":{\"version\":[2]}}", 400, NULL,
         "options are names with texts"},
        {ENABLE("\"default_lease_ttl\":\"2h\",\"max_lease_ttl\":\"1h\""),
         "given default lease TTL greater than given max lease TTL"},
        {ENABLE("\"default_lease_ttl\":\"9000h\""),
         "given default lease TTL greater than system max lease TTL of 2764800"},
        {ENABLE("\"max_lease_ttl\":\"soon\""),
         "unable to parse max TTL of soon: a duration such as \"24h\" or \"system\" is expected"},
        {ENABLE("\"listing_visibility\":\"all\""), "invalid listing visibility type"},
        {ENABLE("\"token_type\":\"batch\""), "'token_type' can only be modified on auth mounts"},
        {ENABLE("\"plugin_version\":\"v9\""),
         "engines are built in: no version \"v9\" is in the catalog"},
        {R, "write", "sys/auth/x", "{\"type\":\"userpass\",\"config\":{\"token_type\":\"gold\"}}", 400,
         NULL, "invalid value for 'token_type'"},
        {R, "delete", "sys/mounts/sys", NULL, 400, NULL, "cannot unmount \"sys/\""},
        {R, "delete", "sys/mounts/identity", NULL, 400, NULL, "cannot unmount \"identity/\""},
        {R, "delete", "sys/auth/token", NULL, 400, NULL,
         "token credential backend cannot be disabled"},
        {R, "read", "sys/mounts/nope/tune", NULL, 400, NULL,
         "cannot fetch sysview for path \"nope/\""},
        {NULL, "read", "sys/mounts", NULL, 403, NULL, "permission denied"},
    };
#undef ENABLE
    CK_PLAY(k, t);
}

static void test_tune(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "read", "sys/mounts/secret/tune", NULL, 200, "data",
         "{\"default_lease_ttl\":2764800,\"force_no_cache\":false,\"max_lease_ttl\":2764800,"
         "\"description\":\"key/value secret storage\",\"options\":{\"version\":\"2\"}}"},
        {R, "write", "sys/mounts/secret/tune",
         "{\"max_lease_ttl\":\"48h\",\"default_lease_ttl\":3600,\"description\":\"new\","
         "\"audit_non_hmac_request_keys\":[\"x\"]}",
         204, NULL, NULL},
        {R, "read", "sys/mounts/secret/tune", NULL, 200, "top",
         "{\"audit_non_hmac_request_keys\":[\"x\"],\"default_lease_ttl\":3600,"
         "\"force_no_cache\":false,\"max_lease_ttl\":172800,\"description\":\"new\","
         "\"options\":{\"version\":\"2\"}}"},
        {R, "write", "sys/mounts/secret/tune",
         "{\"default_lease_ttl\":\"system\",\"audit_non_hmac_request_keys\":[]}", 204, NULL, NULL},
        {R, "read", "sys/mounts/secret", NULL, 200, "data|config",
         "{\"default_lease_ttl\":0,\"force_no_cache\":false,\"max_lease_ttl\":172800}"},
        {R, "write", "sys/mounts/secret/tune", "{\"default_lease_ttl\":\"49h\"}", 400, NULL,
         "backend max lease TTL of 172800 would be less than backend default lease TTL of 176400"},
        {R, "write", "sys/mounts/secret/tune", "{\"options\":{\"version\":\"1\"}}", 400, NULL,
         "cannot downgrade mount from version 2"},
        {R, "write", "sys/mounts/secret/tune", "{\"options\":{\"version\":\"3\"}}", 400, NULL,
         "invalid options version: 1 or 2 is expected"},
        {R, "write", "sys/auth/u", "{\"type\":\"userpass\"}", 204, NULL, NULL},
        {R, "write", "sys/auth/u/tune", "{\"default_lease_ttl\":\"1h\",\"token_type\":\"batch\"}", 204,
         NULL, NULL},
        {R, "read", "sys/mounts/auth/u/tune", NULL, 200, "data",
         "{\"default_lease_ttl\":3600,\"force_no_cache\":false,\"max_lease_ttl\":2764800,"
         "\"token_type\":\"batch\",\"description\":\"\"}"},
        {R, "write", "sys/auth/token/tune", "{\"token_type\":\"batch\"}", 400, NULL,
         "'token_type' cannot be set for 'token' or 'ns_token' auth mounts"},
    };
    CK_PLAY(k, t);
}

static void test_move(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step before[] = {
        {R, "write", "secret/data/s", "{\"data\":{\"k\":\"v\"}}", 200, NULL, NULL},
        {R, "write", "sys/auth/u", "{\"type\":\"userpass\"}", 204, NULL, NULL},
        {R, "write", "auth/u/users/al", "{\"password\":\"pw\"}", 204, NULL, NULL},
        {R, "write", "sys/remount", "{\"from\":\"auth/u/\",\"to\":\"auth/w\"}", 200, NULL, NULL},
        {NULL, "write", "auth/w/login/al", "{\"password\":\"pw\"}", 200, NULL, NULL},
        {R, "write", "sys/remount", "{\"from\":\"secret\",\"to\":\"moved/here\"}", 200, NULL, NULL},
    };
    static const struct ck_step after[] = {
        {R, "read", "moved/here/data/s", NULL, 200, "data|data", "{\"k\":\"v\"}"},
        {R, "read", "secret/data/s", NULL, 404, NULL,
         "no handler for route \"secret/data/s\". route entry not found."},
        {R, "read", "sys/remount/status/nope", NULL, 404, "errors", "[]"},
        {R, "write", "sys/remount", "{\"from\":\"nope\",\"to\":\"x\"}", 400, NULL,
         "no matching mount at \"nope/\""},
        {R, "write", "sys/remount", "{\"from\":\"moved/here\"}", 400, NULL,
         "both 'from' and 'to' path must be specified as a string"},
        {R, "write", "sys/remount", "{\"from\":\"moved/here\",\"to\":\"auth/x\"}", 400, NULL,
         "cannot remount secret mount to auth mount at \"auth/x/\""},
        {R, "write", "sys/remount", "{\"from\":\"moved/here\",\"to\":\"sys/x\"}", 400, NULL,
         "cannot mount under existing mount \"sys/\""},
        {R, "write", "sys/remount", "{\"from\":\"sys\",\"to\":\"x\"}", 400, NULL,
         "cannot remount \"sys/\""},
        {R, "write", "sys/remount", "{\"from\":\"auth/token\",\"to\":\"auth/x\"}", 400, NULL,
         "cannot remount \"auth/token/\""},
        {R, "write", "sys/remount", "{\"from\":\"moved/here\",\"to\":\"moved/here/x\"}", 200, NULL,
         NULL},
    };
    CK_PLAY(k, before);
    const char *path = mln_text_format(
        &k->cx, "sys/remount/status/%s",
        mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "migration_id"), ""));
    CK_WANT(k, ck_call(k, R, "read", path, NULL), 200);
    assert_string_equal(ck_at(k, "data|migration_info"),
                        "{\"source_mount\":\"secret/\",\"status\":\"success\","
                        "\"target_mount\":\"moved/here/\"}");
    CK_PLAY(k, after);
}

static void test_ui(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step setup[] = {
        {R, "write", "sys/mounts/open", "{\"type\":\"kv-v2\",\"config\":{\"listing_visibility\":\"unauth\"}}",
         204, NULL, NULL},
        {NULL, "read", "sys/internal/ui/mounts", NULL, 200, "data",
         "{\"auth\":{},\"secret\":{\"open/\":{\"description\":\"\",\"options\":{\"version\":\"2\"},"
         "\"type\":\"kv\"}}}"},
        {R, "read", "sys/internal/ui/mounts", NULL, 200, "data|secret|sys/|type", "\"system\""},
        {R, "read", "sys/internal/ui/mounts/secret/a/b", NULL, 200, "data|path", "\"secret/\""},
        {R, "read", "sys/internal/ui/mounts/nope/a", NULL, 403, NULL,
         "preflight capability check returned 403, please ensure client's policies grant access to "
         "path \"nope/a/\""},
        {NULL, "read", "sys/internal/ui/mounts/secret/a", NULL, 403, NULL,
         "preflight capability check returned 403, please ensure client's policies grant access to "
         "path \"secret/a/\""},
        {R, "read", "sys/internal/ui/resultant-acl", NULL, 200, "data", "{\"root\":true}"},
        {R, "write", "sys/policies/acl/deep",
         "{\"policy\":\"path \\\"secret/data/x/y\\\" { capabilities=[\\\"read\\\"] } path "
         "\\\"open/*\\\" { capabilities=[\\\"deny\\\"] }\"}",
         204, NULL, NULL},
    };
    CK_PLAY(k, setup);
    const char *token = ck_token(k, "{\"policies\":[\"deep\"],\"no_default_policy\":true}");
    const struct ck_step t[] = {
        {token, "read", "sys/internal/ui/mounts/secret/other", NULL, 200, "data|type", "\"kv\""},
        {token, "read", "sys/internal/ui/mounts/open", NULL, 403, NULL, NULL},
        {token, "read", "sys/internal/ui/mounts", NULL, 200, "data|secret|sys/", "absent"},
        {token, "read", "sys/internal/ui/mounts", NULL, 200, "data|secret|secret/|type", "\"kv\""},
    };
    CK_PLAY(k, t);
    const char *usual = ck_token(k, "{\"policies\":[\"deep\"]}");
    CK_WANT(k, ck_call(k, usual, "read", "sys/internal/ui/resultant-acl", NULL), 200);
    assert_string_equal(ck_at(k, "data|exact_paths|secret/data/x/y"),
                        "{\"capabilities\":[\"read\"]}");
    assert_string_equal(ck_at(k, "data|glob_paths|open/"), "{\"capabilities\":[\"deny\"]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enable), cmocka_unit_test(test_refused), cmocka_unit_test(test_tune),
        cmocka_unit_test(test_move),   cmocka_unit_test(test_ui),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
