/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine through its descriptor: keys from making to deleting, with Vault's answers and texts. */
#include "transit_kit.h"

#define T1 "1795336877"

static void test_key(void **state)
{
    (void)state;
    TRANSIT(k);
    static const char *const want =
        "{\"allow_plaintext_backup\":false,\"auto_rotate_period\":0,\"deletion_allowed\":false,"
        "\"derived\":false,"
        "\"exportable\":false,\"imported_key\":false,\"keys\":{\"1\":" T1
        "},\"latest_version\":1,\"min_available_version\":0,"
        "\"min_decryption_version\":1,\"min_encryption_version\":0,\"name\":\"k\",\"soft_deleted\":"
        "false,"
        "\"supports_decryption\":true,\"supports_derivation\":true,\"supports_encryption\":true,"
        "\"supports_signing\":false,"
        "\"type\":\"aes256-gcm96\"}";
    EK_WANT(k, ek_write(k, "transit/keys/k", "{}"), 200);
    EK_DATA(k, want);
    EK_VALUE(k, k->detail, "{\"type\":\"aes256-gcm96\"}");
    EK_WANT(k, ek_read(k, "transit/keys/k", NULL), 200);
    EK_DATA(k, want);
    assert_false(k->wrote);
    EK_WANT(k, ek_write(k, "transit/keys/k", "{\"type\":\"ed25519\"}"), 200);
    EK_DATA(k, want);
    EK_VALUE(k, k->re.warnings, "[\"key k already existed\"]");
    EK_WANT(k, ek_list(k, "transit/keys"), 200);
    EK_DATA(k, "{\"keys\":[\"k\"]}");
}

static void test_types(void **state)
{
    static const struct {
        const char *type;
        bool encrypts, derives, signs;
        const char *title;
    } t[] = {
        {"aes128-gcm96", true, true, false, NULL},
        {"aes256-gcm96", true, true, false, NULL},
        {"chacha20-poly1305", true, true, false, NULL},
        {"xchacha20-poly1305", true, true, false, NULL},
        {"ed25519", false, true, true, "ed25519"},
        {"ecdsa-p256", false, false, true, "P-256"},
        {"ecdsa-p384", false, false, true, "P-384"},
        {"ecdsa-p521", false, false, true, "P-521"},
        {"rsa-2048", true, false, true, "rsa-2048"},
        {"hmac", false, false, false, NULL},
    };
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        tk_make(k, t[i].type, t[i].type, "");
        assert_true(mln_is_text(mln_get(k->re.data, "type"), t[i].type));
        assert_int_equal(mln_get_bool(mln_get(k->re.data, "supports_encryption"), false),
                         t[i].encrypts);
        assert_int_equal(mln_get_bool(mln_get(k->re.data, "supports_decryption"), false),
                         t[i].encrypts);
        assert_int_equal(mln_get_bool(mln_get(k->re.data, "supports_derivation"), false),
                         t[i].derives);
        assert_int_equal(mln_get_bool(mln_get(k->re.data, "supports_signing"), false), t[i].signs);
        const struct mln_value *one = mln_get(mln_get(k->re.data, "keys"), "1");
        assert_int_equal(mln_type_of(one), t[i].title != NULL ? MLN_OBJECT : MLN_INT);
        assert_true(t[i].title == NULL || mln_is_text(mln_get(one, "name"), t[i].title));
        assert_int_equal(k->blocks, strcmp(t[i].type, "rsa-2048") == 0 || i == 9 ? 1 : 0);
    }
}

static void test_refused_keys(void **state)
{
    static const struct {
        const char *path, *json, *part;
    } t[] = {
        {"x", "{\"type\":\"nosuch\"}", "unknown key type nosuch"},
        {"x", "{\"type\":\"managed_key\"}", "not supported"},
        {"x", "{\"convergent_encryption\":true}",
         "convergent encryption requires derivation to be enabled"},
        {"x", "{\"type\":\"ecdsa-p256\",\"derived\":true}",
         "key derivation and convergent encryption not supported for keys of type ecdsa-p256"},
        {"x", "{\"type\":\"rsa-2048\",\"convergent_encryption\":true}",
         "not supported for keys of type rsa-2048"},
        {"x", "{\"type\":\"hmac\",\"derived\":true}", "not supported for keys of type hmac"},
        {"x", "{\"type\":\"ed25519\",\"derived\":true,\"convergent_encryption\":true}",
         "convergent encryption not supported for keys of type ed25519"},
        {"x", "{\"auto_rotate_period\":\"59m\"}",
         "auto rotate period must be 0 to disable or at least an hour"},
        {"x", "{\"auto_rotate_period\":-1}", "auto rotate period must be 0"},
        {"x", "{\"key_size\":32}", "key_size is not valid for algorithm aes256-gcm96"},
        {"x", "{\"type\":\"hmac\",\"key_size\":31}", "invalid key_size 31"},
        {"x", "{\"type\":\"hmac\",\"key_size\":513}", "invalid key_size 513"},
        {"-x", "{}", "invalid key name"},
        {"x-", "{}", "invalid key name"},
        {"a b", "{}", "invalid key name"},
        {"a%b", "{}", "invalid key name"},
    };
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, tk_format("transit/keys/%s", t[i].path), t[i].json), 400,
                   t[i].part);
        assert_false(k->wrote);
    }
    EK_WANT(k, ek_list(k, "transit/keys"), 404);
    EK_WANT(k, ek_read(k, "transit/keys/x", NULL), 404);
    assert_true(k->re.no_errors_text);
}

static void test_nothing_there(void **state)
{
    static const struct {
        enum mln_op op;
        const char *path, *json;
        int status;
        const char *part;
    } t[] = {
        {MLN_OP_WRITE, "decrypt/n", "{\"ciphertext\":\"vault:v1:AAAA\"}", 400,
         "encryption key not found"},
        {MLN_OP_WRITE, "rewrap/n", "{\"ciphertext\":\"vault:v1:AAAA\"}", 400,
         "encryption key not found"},
        {MLN_OP_WRITE, "datakey/plaintext/n", NULL, 400, "encryption key not found"},
        {MLN_OP_WRITE, "sign/n", "{\"input\":\"YQ==\"}", 400, "signing key not found"},
        {MLN_OP_WRITE, "verify/n", "{\"input\":\"YQ==\"}", 400,
         "signature verification key not found"},
        {MLN_OP_WRITE, "hmac/n", "{\"input\":\"YQ==\"}", 400, "encryption key not found"},
        {MLN_OP_WRITE, "keys/n/config", "{}", 400, "no existing key named n could be found"},
        {MLN_OP_WRITE, "keys/n/rotate", NULL, 400, "key not found"},
        {MLN_OP_WRITE, "keys/n/trim", NULL, 400, "invalid key name"},
        {MLN_OP_WRITE, "keys/n/soft-delete", NULL, 400, "no existing key named n could be found"},
        {MLN_OP_WRITE, "keys/n/import_version", "{}", 400,
         "no key found with name n; to import a new key"},
        {MLN_OP_DELETE, "keys/n", NULL, 400,
         "error deleting policy n: could not delete key; not found"},
        {MLN_OP_READ, "export/signing-key/n", NULL, 404, NULL},
        {MLN_OP_READ, "backup/n", NULL, 404, NULL},
    };
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_call(k, t[i].op, tk_format("transit/%s", t[i].path), t[i].json),
                   t[i].status, t[i].part);
    }
}

static void test_rotate_config_trim(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "ed25519", "");
    for (int i = 2; i <= 5; i++) {
        EK_WANT(k, ek_write(k, "transit/keys/k/rotate", NULL), 200);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "latest_version"), 0), i);
        assert_int_equal(mln_len(mln_get(k->re.data, "keys")), i);
    }
    static const struct {
        const char *path, *json;
        int status;
        const char *part;
    } t[] = {
        {"trim", "{\"min_available_version\":1}", 400,
         "minimum available version cannot be set when minimum encryption version is not set"},
        {"config", "{\"min_decryption_version\":6}", 400,
         "cannot set min decryption version of 6, latest key version is 5"},
        {"config", "{\"min_decryption_version\":-1}", 400,
         "min decryption version cannot be negative"},
        {"config", "{\"min_encryption_version\":6}", 400,
         "cannot set min encryption version of 6, latest key version is 5"},
        {"config", "{\"min_encryption_version\":-1}", 400,
         "min encryption version cannot be negative"},
        {"config", "{\"min_decryption_version\":3,\"min_encryption_version\":2}", 400,
         "cannot set min encryption/decryption values; min encryption version of 2 must be greater "
         "than or equal to min "
         "decryption version of 3"},
        {"config", "{\"min_decryption_version\":3,\"min_encryption_version\":4}", 200, NULL},
        {"trim", "{\"min_available_version\":0}", 400,
         "minimum available version must be positive"},
        {"trim", "{\"min_available_version\":5}", 400,
         "cannot be greater than minmum encryption version"},
        {"trim", "{\"min_available_version\":4}", 400,
         "cannot be greater than minimum decryption version"},
        {"trim", "{\"min_available_version\":3}", 200, NULL},
        {"trim", "{\"min_available_version\":2}", 400,
         "minimum available version cannot be decremented"},
        {"config", "{\"min_decryption_version\":2}", 400, "versions below 3 are trimmed"},
        {"config", "{\"min_decryption_version\":4}", 200, NULL},
        {"config", "{\"min_encryption_version\":0}", 200, NULL},
        {"config", "{\"auto_rotate_period\":60}", 400, "at least an hour"},
        {"config", "{\"auto_rotate_period\":\"1h\"}", 200, NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, tk_format("transit/keys/k/%s", t[i].path), t[i].json),
                   t[i].status, t[i].part);
    }
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 2);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "min_available_version"), 0), 3);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "auto_rotate_period"), 0), 3600);
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"min_decryption_version\":3}"), 200);
    EK_WANT(k, ek_read(k, "transit/keys/k", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 3);
}

static void test_delete(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    EK_WANT(k, ek_write(k, "transit/keys/k/rotate", NULL), 200);
    EK_REFUSED(k, ek_delete(k, "transit/keys/k"), 400,
               "error deleting policy k: deletion is not allowed for this key");
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"deletion_allowed\":true}"), 200);
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"deletion_allowed\":false}"), 200);
    EK_REFUSED(k, ek_delete(k, "transit/keys/k"), 400, "deletion is not allowed");
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"deletion_allowed\":true}"), 200);
    EK_WANT(k, ek_delete(k, "transit/keys/k"), 204);
    EK_WANT(k, ek_read(k, "transit/keys/k", NULL), 404);
    tk_make(k, "k", "aes256-gcm96", ""); /* nothing of the old versions is left */
    assert_int_equal(mln_get_int(mln_get(k->re.data, "latest_version"), 0), 1);
}

static void test_soft_delete(void **state)
{
    static const struct {
        enum mln_op op;
        const char *path, *json;
    } uses[] = {
        {MLN_OP_WRITE, "encrypt/k", "{\"plaintext\":\"YQ==\"}"},
        {MLN_OP_WRITE, "decrypt/k", "{\"ciphertext\":\"vault:v1:AAAA\"}"},
        {MLN_OP_WRITE, "hmac/k", "{\"input\":\"YQ==\"}"},
        {MLN_OP_WRITE, "sign/k", "{\"input\":\"YQ==\"}"},
        {MLN_OP_WRITE, "datakey/wrapped/k", "{}"},
        {MLN_OP_WRITE, "keys/k/rotate", "{}"},
        {MLN_OP_WRITE, "keys/k/config", "{}"},
        {MLN_OP_READ, "export/hmac-key/k", NULL},
    };
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96",
            ",\"exportable\":true,\"allow_plaintext_backup\":true,\"auto_rotate_period\":\"1h\"");
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"deletion_allowed\":true}"), 200);
    EK_WANT(k, ek_delete(k, "transit/keys/k/soft-delete"), 204);
    EK_WANT(k, ek_write(k, "transit/keys/k/soft-delete", NULL), 204);
    assert_false(k->wrote);
    for (size_t i = 0; i < MLN_COUNT(uses); i++) {
        EK_REFUSED(k, ek_call(k, uses[i].op, tk_format("transit/%s", uses[i].path), uses[i].json),
                   400, "soft deleted");
    }
    EK_WANT(k, ek_read(k, "transit/keys/k", NULL), 200);
    assert_true(mln_get_bool(mln_get(k->re.data, "soft_deleted"), false));
    EK_WANT(k, ek_read(k, "transit/backup/k", NULL), 200);
    EK_WANT(k, ek_write(k, "transit/keys/k/soft-delete-restore", NULL), 204);
    EK_WANT(k, ek_write(k, "transit/encrypt/k", "{\"plaintext\":\"YQ==\"}"), 200);
    EK_WANT(k, ek_write(k, "transit/keys/k/soft-delete", NULL), 204);
    EK_WANT(k, ek_delete(k, "transit/keys/k"), 204);
}

static void test_turned_on_stays(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"exportable\":false}"), 200);
    assert_null(k->re.warnings);
    EK_WANT(k,
            ek_write(k, "transit/keys/k/config",
                     "{\"exportable\":true,\"allow_plaintext_backup\":true}"),
            200);
    EK_WANT(k,
            ek_write(k, "transit/keys/k/config",
                     "{\"exportable\":false,\"allow_plaintext_backup\":false}"),
            200);
    assert_int_equal(mln_len(k->re.warnings), 2);
    assert_true(mln_get_bool(mln_get(k->re.data, "exportable"), false));
    assert_true(mln_get_bool(mln_get(k->re.data, "allow_plaintext_backup"), false));
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"min_decryption_version\":0}"), 200);
    EK_VALUE(k, k->re.warnings,
             "[\"since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1\"]");
}

static void tick(struct ek *k)
{
    struct mln_request rq;
    ek_begin(k, &rq);
    rq.mount = &k->mounts[0];
    ek_end(k, mln_engine_transit.tick(&rq));
    kit_ok(k->cx, k->err);
}

static void test_tick(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "by-hand", "aes256-gcm96", "");
    tk_make(k, "hourly", "aes256-gcm96", ",\"auto_rotate_period\":\"1h\"");
    tk_make(k, "daily", "ed25519", ",\"auto_rotate_period\":\"24h\"");
    tk_make(k, "gone", "aes256-gcm96", ",\"auto_rotate_period\":\"1h\"");
    EK_WANT(k, ek_write(k, "transit/keys/gone/soft-delete", NULL), 204);
    k->now_ns += (int64_t)3599 * 1000000000;
    tick(k);
    assert_false(k->wrote);
    k->now_ns += (int64_t)1 * 1000000000;
    tick(k);
    static const struct {
        const char *name;
        int64_t latest;
    } t[] = {{"by-hand", 1}, {"hourly", 2}, {"daily", 1}, {"gone", 1}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_read(k, tk_format("transit/keys/%s", t[i].name), NULL), 200);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "latest_version"), 0), t[i].latest);
    }
    tick(k);
    assert_false(k->wrote);
}

static void test_settings(void **state)
{
    (void)state;
    TRANSIT(k);
    EK_WANT(k, ek_read(k, "transit/cache-config", NULL), 200);
    EK_DATA(k, "{\"size\":0}");
    EK_REFUSED(k, ek_write(k, "transit/cache-config", "{\"size\":9}"), 400,
               "size must be 0 or a value greater or equal to 10");
    EK_REFUSED(k, ek_write(k, "transit/cache-config", "{\"size\":-1}"), 400, "size must be 0");
    EK_WANT(k, ek_write(k, "transit/cache-config", "{\"size\":10}"), 204);
    EK_WANT(k, ek_read(k, "transit/config/keys", NULL), 200);
    EK_DATA(k, "{\"disable_upsert\":false}");
    EK_WANT(k, ek_write(k, "transit/config/keys", "{\"disable_upsert\":true}"), 200);
    EK_DATA(k, "{\"disable_upsert\":true}");
    EK_WANT(k, ek_read(k, "transit/cache-config", NULL), 200);
    EK_DATA(k, "{\"size\":10}");
    EK_REFUSED(k, ek_write(k, "transit/encrypt/new", "{\"plaintext\":\"YQ==\"}"), 400,
               "encryption key not found");
    EK_WANT(k, ek_write(k, "transit/config/keys", "{}"), 200);
    EK_DATA(k, "{\"disable_upsert\":true}");
    EK_WANT(k, ek_write(k, "transit/config/keys", "{\"disable_upsert\":false}"), 200);
    EK_WANT(k, ek_write(k, "transit/encrypt/new", "{\"plaintext\":\"YQ==\"}"), 200);
}

static void test_tools(void **state)
{
    (void)state;
    TRANSIT(k);
    static const struct {
        const char *path, *json;
        size_t n;
    } t[] = {{"random", "{}", 44},
             {"random/16", "{\"format\":\"hex\"}", 32},
             {"random/platform/3", "{}", 4}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_write(k, tk_format("transit/%s", t[i].path), t[i].json), 200);
        assert_int_equal(mln_len(mln_get(k->re.data, "random_bytes")), t[i].n);
    }
    EK_REFUSED(k, ek_write(k, "transit/random/0", "{}"), 400, "\"bytes\" cannot be less than 1");
    EK_WANT(k, ek_write(k, "transit/hash/sha2-256", "{\"input\":\"YQ==\"}"), 200);
    EK_DATA(k, "{\"sum\":\"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\"}");
    EK_REFUSED(k, ek_write(k, "transit/hash", "{\"input\":\"YQ==\",\"algorithm\":\"md5\"}"), 400,
               "unsupported algorithm md5");
}

/* A key whose row was changed behind the engine's back is not used. */
static void test_damaged(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    struct mln_request rq;
    ek_begin(k, &rq);
    struct mln_value *row = mln_array(k->cx);
    mln_push(k->cx, row, mln_int(k->cx, 2));
    ek_end(k, mln_txn_put_value(k->cx, k->txn, k->mounts[0].view, MLN_BYTES("k/k"), row));
    kit_ok(k->cx, k->err);
    EK_REFUSED(k, ek_write(k, "transit/encrypt/k", "{\"plaintext\":\"YQ==\"}"), 500, "damaged key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_refused_keys),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_rotate_config_trim),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_soft_delete),
        cmocka_unit_test(test_turned_on_stays),
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
