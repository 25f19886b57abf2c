/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: encrypting. Known answers: what is decrypted here was made by OpenSSL and libsodium under exported keys, in
 * Vault's formats; what is encrypted here they open. Contexts (HKDF by OpenSSL), convergence, versions, batches, refusals.
 */
#include "transit_kit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <sodium.h>

static const char *encrypt(struct ek *k, const char *name, const char *more)
{
    EK_WANT(k,
            ek_write(k, tk_format("transit/encrypt/%s", name),
                     tk_format("{\"plaintext\":\"aGVsbG8=\"%s}", more)),
            200);
    return tk_keep(k, "ciphertext");
}

static void decrypts(struct ek *k, const char *name, const char *text, const char *more)
{
    EK_WANT(k,
            ek_write(k, tk_format("transit/decrypt/%s", name),
                     tk_format("{\"ciphertext\":\"%s\"%s}", text, more)),
            200);
    EK_DATA(k, "{\"plaintext\":\"aGVsbG8=\"}");
}

static void not_decrypts(struct ek *k, const char *name, const char *text, const char *more,
                         const char *part)
{
    EK_REFUSED(k,
               ek_write(k, tk_format("transit/decrypt/%s", name),
                        tk_format("{\"ciphertext\":\"%s\"%s}", text, more)),
               400, part);
}

static const char *const types[] = {"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305",
                                    "xchacha20-poly1305"};

/* The raw key of a version. */
static size_t export_key(struct ek *k, const char *name, int version, uint8_t to[32])
{
    EK_WANT(k, ek_read(k, tk_format("transit/export/encryption-key/%s/%d", name, version), NULL),
            200);
    const struct mln_value *text = mln_get(mln_get(k->re.data, "keys"), tk_format("%d", version));
    struct mln_bytes key = tk_bytes(k->cx, mln_get_bytes(text));
    assert_true(key.len <= 32);
    mln_copy(to, key.ptr, key.len);
    return key.len;
}

/* nonce | box under another implementation; AAD text. */
static size_t seal_elsewhere(const char *type, const uint8_t *key, struct mln_bytes plain,
                             const char *aad, uint8_t *out)
{
    size_t nonce_n = type[0] == 'x' ? 24 : 12;
    struct mln_bytes bound = mln_bytes_of(aad);
    mln_fill(out, 0x24, nonce_n);
    if (type[0] == 'x') {
        unsigned long long n = 0;
        assert_int_equal(crypto_aead_xchacha20poly1305_ietf_encrypt(out + 24, &n, plain.ptr,
                                                                    plain.len, bound.ptr, bound.len,
                                                                    NULL, out, key),
                         0);
        return 24 + (size_t)n;
    }
    const EVP_CIPHER *cipher = type[0] == 'c'   ? EVP_chacha20_poly1305()
                               : type[3] == '1' ? EVP_aes_128_gcm()
                                                : EVP_aes_256_gcm();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, last = 0;
    assert_int_equal(EVP_EncryptInit_ex(ctx, cipher, NULL, key, out), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, bound.ptr, (int)bound.len), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out + 12, &n, plain.ptr, (int)plain.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out + 12 + n, &last), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 12 + n), 1);
    EVP_CIPHER_CTX_free(ctx);
    return 12 + (size_t)n + 16;
}

static void test_made_elsewhere(void **state)
{
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        uint8_t key[32], box[128];
        tk_make(k, types[i], types[i], ",\"exportable\":true");
        assert_int_equal(export_key(k, types[i], 1, key), i == 0 ? 16 : 32);
        size_t n = seal_elsewhere(types[i], key, MLN_BYTES("hello"), "bound", box);
        const char *text =
            tk_format("vault:v1:%s", mln_base64_text(k->cx, mln_bytes_at(box, n), MLN_B64_STD));
        decrypts(k, types[i], text, ",\"associated_data\":\"Ym91bmQ=\"");
        not_decrypts(k, types[i], text, ",\"associated_data\":\"Ym91bmU=\"",
                     "cipher: message authentication failed");
        not_decrypts(k, types[i], text, "", "cipher: message authentication failed");
        /* and there and back */
        const char *own = encrypt(k, types[i], ",\"associated_data\":\"Ym91bmQ=\"");
        decrypts(k, types[i], own, ",\"associated_data\":\"Ym91bmQ=\"");
        assert_int_equal(tk_payload(k->cx, own).len, n);
    }
}

static void hkdf(struct mln_bytes key, const char *context, uint8_t *out, size_t n)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    char hash[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.ptr, key.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)context,
                                          strlen(context)),
        OSSL_PARAM_construct_end(),
    };
    assert_int_equal(EVP_KDF_derive(ctx, out, n, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

#define CTX1 ",\"context\":\"Y3R4\"" /* "ctx" */
#define CTX2 ",\"context\":\"Y3R5\""

static void test_derived(void **state)
{
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        uint8_t key[32], derived[32], box[128];
        tk_make(k, types[i], types[i], ",\"exportable\":true,\"derived\":true");
        assert_true(mln_is_text(mln_get(k->re.data, "kdf"), "hkdf_sha256"));
        assert_false(mln_get_bool(mln_get(k->re.data, "convergent_encryption"), true));
        const char *a = encrypt(k, types[i], CTX1), *b = encrypt(k, types[i], CTX1);
        assert_string_not_equal(a, b);
        decrypts(k, types[i], a, CTX1);
        not_decrypts(k, types[i], a, CTX2, "message authentication failed");
        not_decrypts(k, types[i], a, "", "missing 'context' for key derivation");
        not_decrypts(k, types[i], a, ",\"context\":\"***\"", "illegal base64 data at input byte 0");
        size_t n = export_key(k, types[i], 1, key);
        hkdf(mln_bytes_at(key, n), "ctx", derived, n);
        size_t box_n = seal_elsewhere(types[i], derived, MLN_BYTES("hello"), "", box);
        decrypts(
            k, types[i],
            tk_format("vault:v1:%s", mln_base64_text(k->cx, mln_bytes_at(box, box_n), MLN_B64_STD)),
            CTX1);
    }
    EK_REFUSED(
        k, ek_write(k, "transit/encrypt/aes256-gcm96", "{\"plaintext\":\"YQ==\"}"), 400,
        "missing 'context' for key derivation; the key was created using a derived key, which "
        "means additional, "
        "per-request information must be included in order to perform operations with the key");
}

static void test_convergent(void **state)
{
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        uint8_t key[32], derived[64], want[32];
        size_t nonce_n = types[i][0] == 'x' ? 24 : 12;
        tk_make(k, types[i], types[i],
                ",\"exportable\":true,\"derived\":true,\"convergent_encryption\":true");
        assert_int_equal(mln_get_int(mln_get(k->re.data, "convergent_encryption_version"), 0), -1);
        const char *a = encrypt(k, types[i], CTX1), *b = encrypt(k, types[i], CTX1),
                   *c = encrypt(k, types[i], CTX2);
        assert_string_equal(a, b);
        assert_string_not_equal(a, c);
        decrypts(k, types[i], a, CTX1);
        not_decrypts(k, types[i], a, CTX2, "message authentication failed");
        /* the nonce: HMAC of the plaintext under the second half of what HKDF gives */
        size_t n = export_key(k, types[i], 1, key);
        hkdf(mln_bytes_at(key, n), "ctx", derived, n + 32);
        mln_hmac_sha256(mln_bytes_at(derived + n, 32), MLN_BYTES("hello"), want);
        assert_memory_equal(tk_payload(k->cx, a).ptr, want, nonce_n);
        EK_REFUSED(k,
                   ek_write(k, tk_format("transit/encrypt/%s", types[i]),
                            "{\"plaintext\":\"YQ==\",\"associated_data\":\"YQ==\"" CTX1 "}"),
                   400, "associated_data is not possible with convergent encryption");
        EK_REFUSED(k,
                   ek_write(k, tk_format("transit/encrypt/%s", types[i]),
                            "{\"plaintext\":\"YQ==\",\"nonce\":\"YWFhYWFhYWFhYWFh\"" CTX1 "}"),
                   400, "provided nonce not allowed for this key");
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *path, *json, *part;
    } t[] = {
        {"encrypt/k", "{}", "missing plaintext to encrypt"},
        {"encrypt/k", "{\"plaintext\":\"***\"}", "illegal base64 data at input byte 0"},
        {"encrypt/k", "{\"plaintext\":\"YQ==\",\"associated_data\":\"*\"}",
         "failed to base64-decode associated_data"},
        {"encrypt/k", "{\"plaintext\":\"YQ==\",\"key_version\":-1}",
         "requested version for encryption is negative"},
        {"encrypt/k", "{\"plaintext\":\"YQ==\",\"key_version\":4}",
         "requested version for encryption is higher than the latest key version"},
        {"encrypt/k", "{\"plaintext\":\"YQ==\",\"key_version\":1}",
         "requested version for encryption is less than the minimum encryption key version"},
        {"encrypt/k", "{\"batch_input\":[]}", "missing batch input to process"},
        {"encrypt/k", "{\"batch_input\":\"x\"}", "failed to parse batch input"},
        {"encrypt/k",
         "{\"batch_input\":[{\"plaintext\":\"YQ==\"},{\"plaintext\":\"YQ==\",\"context\":\"YQ==\"}]"
         "}",
         "context should be set either in all the request blocks or in none"},
        {"encrypt/ec", "{\"plaintext\":\"YQ==\"}",
         "message encryption not supported for key type ecdsa-p256"},
        {"encrypt/new", "{\"plaintext\":\"YQ==\",\"type\":\"nosuch\"}", "unknown key type nosuch"},
        {"encrypt/new", "{\"plaintext\":\"YQ==\",\"type\":\"ed25519\"}",
         "message encryption not supported for key type ed25519"},
        {"encrypt/new", "{\"plaintext\":\"YQ==\",\"convergent_encryption\":true}",
         "so context is required"},
        {"encrypt/new", "{\"plaintext\":\"YQ==\",\"type\":\"rsa-2048\",\"context\":\"YQ==\"}",
         "not supported for keys of type rsa-2048"},
        {"decrypt/k", "{}", "missing ciphertext to decrypt"},
        {"decrypt/k", "{\"ciphertext\":\"bad\"}", "invalid ciphertext: no prefix"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v1\"}",
         "invalid ciphertext: wrong number of fields"},
        {"decrypt/k", "{\"ciphertext\":\"vault:vx:AAAA\"}",
         "invalid ciphertext: version number could not be decoded"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v0:AAAA\"}",
         "invalid ciphertext: version number could not be decoded"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v-1:AAAA\"}",
         "invalid ciphertext: version number could not be decoded"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v9999999999999999999:AAAA\"}",
         "version number could not be decoded"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v4:AAAA\"}",
         "invalid ciphertext: version is too new"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v1:AAAA\"}",
         "ciphertext or signature version is disallowed by policy (too old)"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v3:A\"}",
         "invalid ciphertext: could not decode base64"},
        {"decrypt/k", "{\"ciphertext\":\"vault:v3:AAAA\"}", "invalid ciphertext length"},
        {"decrypt/ec", "{\"ciphertext\":\"vault:v1:AAAA\"}",
         "message decryption not supported for key type ecdsa-p256"},
        {"rewrap/k", "{}", "missing ciphertext to decrypt"},
        {"rewrap/k", "{\"ciphertext\":\"vault:v3:AAAA\"}", "invalid ciphertext length"},
        {"datakey/other/k", "{}", "Invalid path, must be 'plaintext' or 'wrapped'"},
        {"datakey/wrapped/k", "{\"bits\":64}", "invalid bit length"},
        {"datakey/wrapped/ec", "{}", "message encryption not supported"},
        {"datakey/wrapped/k", "{\"key_version\":9}", "higher than the latest"},
    };
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    tk_make(k, "ec", "ecdsa-p256", "");
    EK_WANT(k, ek_write(k, "transit/keys/k/rotate", NULL), 200);
    EK_WANT(k, ek_write(k, "transit/keys/k/rotate", NULL), 200);
    EK_WANT(k,
            ek_write(k, "transit/keys/k/config",
                     "{\"min_decryption_version\":2,\"min_encryption_version\":2}"),
            200);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, tk_format("transit/%s", t[i].path), t[i].json), 400, t[i].part);
        assert_false(k->wrote);
    }
    EK_WANT(k, ek_read(k, "transit/keys/new", NULL), 404);
}

static void test_versions(void **state)
{
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        tk_make(k, types[i], types[i], "");
        const char *one = encrypt(k, types[i], "");
        EK_WANT(k, ek_write(k, tk_format("transit/keys/%s/rotate", types[i]), NULL), 200);
        const char *two = encrypt(k, types[i], ""),
                   *first = encrypt(k, types[i], ",\"key_version\":\"1\"");
        assert_true(mln_bytes_starts(mln_bytes_of(two), MLN_BYTES("vault:v2:")));
        assert_true(mln_bytes_starts(mln_bytes_of(first), MLN_BYTES("vault:v1:")));
        decrypts(k, types[i], one, "");
        decrypts(k, types[i], first, "");
        EK_WANT(k,
                ek_write(k, tk_format("transit/rewrap/%s", types[i]),
                         tk_format("{\"ciphertext\":\"%s\"}", one)),
                200);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "key_version"), 0), 2);
        decrypts(k, types[i], tk_keep(k, "ciphertext"), "");
        not_decrypts(k, types[i], tk_format("vault:v1:%s", two + 9), "",
                     "message authentication failed");
        assert_false(k->wrote);
    }
}

static void test_upsert(void **state)
{
    (void)state;
    TRANSIT(k);
    bool exists = true;
    struct mln_request rq;
    ek_begin(k, &rq);
    struct mln_value *fields = mln_object(k->cx);
    mln_put_text(k->cx, fields, "name", "new");
    rq.mount = &k->mounts[0];
    rq.fields = fields;
    const struct mln_path *path = mln_engine_transit.paths;
    while (strcmp(path->pattern, "encrypt/{name}") != 0) {
        path++;
    }
    ek_end(k, path->exists(&rq, &exists));
    assert_false(exists); /* so the pipeline asks for "create" */
    decrypts(k, "new", encrypt(k, "new", ""), "");
    EK_WANT(k,
            ek_write(k, "transit/encrypt/d",
                     "{\"plaintext\":\"YQ==\",\"type\":\"chacha20-poly1305\",\"convergent_"
                     "encryption\":true" CTX1 "}"),
            200);
    EK_WANT(k, ek_read(k, "transit/keys/d", NULL), 200);
    assert_true(mln_get_bool(mln_get(k->re.data, "convergent_encryption"), false));
    assert_true(mln_is_text(mln_get(k->re.data, "type"), "chacha20-poly1305"));
    /* what fails makes none */
    EK_REFUSED(k, ek_write(k, "transit/encrypt/none", "{\"plaintext\":\"***\"}"), 400,
               "illegal base64");
    EK_WANT(k, ek_write(k, "transit/encrypt/none", "{\"batch_input\":[{\"plaintext\":\"***\"}]}"),
            400);
    EK_WANT(k, ek_read(k, "transit/keys/none", NULL), 404);
}

static void test_batch(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    EK_WANT(k,
            ek_write(k, "transit/encrypt/k",
                     "{\"batch_input\":[{\"plaintext\":\"YQ==\",\"reference\":\"r\"},{"
                     "\"plaintext\":\"***\"},7,{}]}"),
            400);
    const struct mln_value *results = mln_get(k->re.data, "batch_results");
    assert_int_equal(mln_len(results), 4);
    assert_true(mln_is_text(mln_get(mln_item(results, 0), "reference"), "r"));
    assert_int_equal(mln_get_int(mln_get(mln_item(results, 0), "key_version"), 0), 1);
    EK_VALUE(k, mln_item(results, 1),
             "{\"error\":\"illegal base64 data at input byte 0\",\"reference\":\"\"}");
    EK_VALUE(k, mln_item(results, 2),
             "{\"error\":\"a batch item must be a map\",\"reference\":\"\"}");
    EK_VALUE(k, mln_item(results, 3),
             "{\"error\":\"missing plaintext to encrypt\",\"reference\":\"\"}");
    EK_VALUE(k, k->detail, "{\"batch\":4,\"version\":1}");
    static const struct {
        const char *json;
        int status;
    } t[] = {
        {"{\"partial_failure_response_code\":207,\"batch_input\":[{\"plaintext\":\"YQ==\"},{}]}",
         207},
        {"{\"partial_failure_response_code\":200,\"batch_input\":[{\"plaintext\":\"YQ==\"},{}]}",
         200},
        {"{\"partial_failure_response_code\":207,\"batch_input\":[{},{}]}", 400},
        {"{\"partial_failure_response_code\":99,\"batch_input\":[{\"plaintext\":\"YQ==\"},{}]}",
         400},
        {"{\"partial_failure_response_code\":207,\"batch_input\":[{\"plaintext\":\"YQ==\"}]}", 200},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_write(k, "transit/encrypt/k", t[i].json), t[i].status);
    }
}

/* A failed item of decrypt still has its member; a batch of rewrap is 200 whatever its items are. */
static void test_failed_items(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    EK_WANT(k, ek_write(k, "transit/decrypt/k", "{\"batch_input\":[{\"ciphertext\":\"x\"},{}]}"), 400);
    EK_DATA(k, "{\"batch_results\":[{\"error\":\"invalid ciphertext: no prefix\",\"plaintext\":\"\",\"reference\":\"\"},"
               "{\"error\":\"missing ciphertext to decrypt\",\"plaintext\":\"\",\"reference\":\"\"}]}");
    EK_WANT(k, ek_write(k, "transit/rewrap/k", "{\"batch_input\":[{\"ciphertext\":\"x\",\"reference\":\"r\"}]}"), 200);
    EK_DATA(k, "{\"batch_results\":[{\"error\":\"invalid ciphertext: no prefix\",\"reference\":\"r\"}]}");
}

static void test_datakey(void **state)
{
    static const int bits[] = {128, 256, 512};
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    for (size_t i = 0; i < MLN_COUNT(bits); i++) {
        EK_WANT(k,
                ek_write(k, "transit/datakey/plaintext/k",
                         tk_format("{\"bits\":%d,\"associated_data\":\"YQ==\"}", bits[i])),
                200);
        const char *text = tk_keep(k, "ciphertext"), *plain = tk_keep(k, "plaintext");
        assert_true((mln_get(k->re.data, "plaintext")->flags & MLN_VALUE_SECRET) != 0);
        assert_int_equal(tk_bytes(k->cx, mln_bytes_of(plain)).len, bits[i] / 8);
        EK_WANT(k,
                ek_write(k, "transit/decrypt/k",
                         tk_format("{\"ciphertext\":\"%s\",\"associated_data\":\"YQ==\"}", text)),
                200);
        EK_DATA(k, tk_format("{\"plaintext\":\"%s\"}", plain));
    }
    EK_WANT(k, ek_write(k, "transit/datakey/wrapped/k", "{}"), 200);
    assert_null(mln_get(k->re.data, "plaintext"));
}

static void test_rsa(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "r", "rsa-2048", "");
    const char *a = encrypt(k, "r", "");
    decrypts(k, "r", a, "");
    assert_int_equal(tk_payload(k->cx, a).len, 256);
    struct mln_bytes box = tk_payload(k->cx, a);
    uint8_t changed[256];
    mln_copy(changed, box.ptr, 256);
    changed[200] ^= 1;
    not_decrypts(
        k, "r",
        tk_format("vault:v1:%s", mln_base64_text(k->cx, mln_bytes_at(changed, 256), MLN_B64_STD)),
        "", "failed to RSA decrypt the ciphertext");
    not_decrypts(k, "r", "vault:v1:AAAA", "", "failed to RSA decrypt the ciphertext");
    uint8_t big[191] = {0};
    const char *text = mln_base64_text(k->cx, mln_bytes_at(big, 191), MLN_B64_STD);
    EK_REFUSED(k, ek_write(k, "transit/encrypt/r", tk_format("{\"plaintext\":\"%s\"}", text)), 400,
               "too long for the key");
    EK_REFUSED(
        k,
        ek_write(k, "transit/encrypt/r", "{\"plaintext\":\"YQ==\",\"associated_data\":\"YQ==\"}"),
        400, "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048");
    EK_WANT(k,
            ek_write(k, "transit/encrypt/r",
                     "{\"batch_input\":[{\"plaintext\":\"YQ==\"},{\"plaintext\":\"YQ==\","
                     "\"associated_data\":\"YQ==\"}]}"),
            400);
    EK_VALUE(k, mln_get(mln_item(mln_get(k->re.data, "batch_results"), 1), "error"),
             "\"'[1].associated_data' provided for non-AEAD cipher suite rsa-2048\"");
}

/* One row is read for an encryption under the newest version. */
static void test_one_row(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "aes256-gcm96", "");
    for (int i = 0; i < 3; i++) {
        EK_WANT(k, ek_write(k, "transit/keys/k/rotate", NULL), 200);
    }
    struct mln_request rq;
    ek_begin(k, &rq); /* without the rows of older versions it is the same */
    ek_end(k, mln_txn_delete_all(k->cx, k->txn, k->mounts[0].view, MLN_BYTES("v/")));
    decrypts(k, "k", encrypt(k, "k", ""), "");
    EK_REFUSED(k, ek_write(k, "transit/encrypt/k", "{\"plaintext\":\"YQ==\",\"key_version\":2}"),
               400, "key version 2 is not available");
}

int main(void)
{
    MLN_CHECK(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_elsewhere),
        cmocka_unit_test(test_derived),
        cmocka_unit_test(test_convergent),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_upsert),
        cmocka_unit_test(test_batch), cmocka_unit_test(test_failed_items),
        cmocka_unit_test(test_datakey),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
