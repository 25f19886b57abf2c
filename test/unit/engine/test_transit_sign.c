/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: signing, verifying, keyed hashes. Each signature is checked by OpenSSL under the public half that the engine
 * tells; options as Vault has them, refusals with its texts.
 */
#include "transit_kit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define MSG "YSBtb2RlbA==" /* "a model" */

static const struct {
    const char *name;
    const char *openssl;
} hashes[] = {
    {"sha1", "SHA1"},         {"sha2-224", "SHA224"},   {"sha2-256", "SHA256"},
    {"sha2-384", "SHA384"},   {"sha2-512", "SHA512"},   {"sha3-224", "SHA3-224"},
    {"sha3-256", "SHA3-256"}, {"sha3-384", "SHA3-384"}, {"sha3-512", "SHA3-512"},
};

static EVP_PKEY *public_of(struct ek *k, const char *name)
{
    EK_WANT(k, ek_read(k, tk_format("transit/keys/%s", name), NULL), 200);
    struct mln_bytes text =
        mln_get_bytes(mln_get(mln_get(mln_get(k->re.data, "keys"), "1"), "public_key"));
    if (!mln_bytes_starts(text, MLN_BYTES("-----"))) {
        struct mln_bytes raw = tk_bytes(k->cx, text);
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw.ptr, raw.len);
    }
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

static bool opens(EVP_PKEY *key, const char *hash, bool is_pss, struct mln_bytes signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    bool is_ed = EVP_PKEY_is_a(key, "ED25519");
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &how, is_ed ? NULL : hash, NULL, NULL, key, NULL),
                     1);
    if (EVP_PKEY_is_a(key, "RSA")) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(how, is_pss ? RSA_PKCS1_PSS_PADDING
                                                             : RSA_PKCS1_PADDING) == 1);
    }
    int ok =
        EVP_DigestVerify(ctx, signature.ptr, signature.len, (const unsigned char *)"a model", 7);
    EVP_MD_CTX_free(ctx);
    return ok == 1;
}

static const char *sign(struct ek *k, const char *name, const char *options)
{
    EK_WANT(k,
            ek_write(k, tk_format("transit/sign/%s", name),
                     tk_format("{\"input\":\"" MSG "\"%s}", options)),
            200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "key_version"), 0), 1);
    return tk_keep(k, "signature");
}

static bool verify(struct ek *k, const char *name, const char *input, const char *what,
                   const char *text, const char *options)
{
    EK_WANT(k,
            ek_write(k, tk_format("transit/verify/%s", name),
                     tk_format("{\"input\":\"%s\",\"%s\":\"%s\"%s}", input, what, text, options)),
            200);
    return mln_get_bool(mln_get(k->re.data, "valid"), false);
}

static void test_elsewhere(void **state)
{
    static const char *const kinds[] = {"ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521",
                                        "rsa-2048"};
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        tk_make(k, kinds[i], kinds[i], "");
        EVP_PKEY *key = public_of(k, kinds[i]);
        for (size_t j = 0; j < 2 * MLN_COUNT(hashes); j++) {
            bool is_pss = j % 2 == 0;
            const char *options =
                tk_format(",\"hash_algorithm\":\"%s\",\"signature_algorithm\":\"%s\"",
                          hashes[j / 2].name, is_pss ? "pss" : "pkcs1v15");
            const char *text = sign(k, kinds[i], options);
            assert_true(opens(key, hashes[j / 2].openssl, is_pss, tk_payload(k->cx, text)));
            assert_true(verify(k, kinds[i], MSG, "signature", text, options));
            assert_false(verify(k, kinds[i], "b3RoZXI=", "signature", text, options));
        }
        EVP_PKEY_free(key);
    }
}

static void test_forms(void **state)
{
    static const struct {
        const char *kind;
        size_t jws; /* bytes */
    } t[] = {{"ed25519", 64},
             {"ecdsa-p256", 64},
             {"ecdsa-p384", 96},
             {"ecdsa-p521", 132},
             {"rsa-2048", 256}};
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        tk_make(k, t[i].kind, t[i].kind, "");
        const char *text = sign(k, t[i].kind, ",\"marshaling_algorithm\":\"jws\"");
        MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
        kit_ok(k->cx, mln_base64_parse(k->cx, mln_bytes_of(text + 9), MLN_B64_URL_RAW, &raw));
        assert_int_equal(raw.len, t[i].jws);
        assert_true(
            verify(k, t[i].kind, MSG, "signature", text, ",\"marshaling_algorithm\":\"jws\""));
        EK_WANT(k,
                ek_write(k, tk_format("transit/sign/%s/sha2-384", t[i].kind),
                         "{\"input\":\"" MSG "\"}"),
                200);
        text = tk_keep(k, "signature");
        bool is_ed = i == 0;
        assert_true(verify(k, t[i].kind, MSG, "signature", text, ",\"algorithm\":\"sha2-384\""));
        assert_int_equal(verify(k, t[i].kind, MSG, "signature", text, ""), is_ed);
    }
}

static void test_prehashed(void **state)
{
    static const char *const kinds[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048"};
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        uint8_t sum[32];
        tk_make(k, kinds[i], kinds[i], "");
        mln_sha256(MLN_BYTES("a model"), sum);
        const char *input =
            tk_format("%s", mln_base64_text(k->cx, mln_bytes_at(sum, sizeof(sum)), MLN_B64_STD));
        EK_WANT(k,
                ek_write(k, tk_format("transit/sign/%s", kinds[i]),
                         tk_format("{\"input\":\"%s\",\"prehashed\":true}", input)),
                200);
        const char *text = tk_keep(k, "signature");
        assert_true(verify(k, kinds[i], MSG, "signature", text, ""));
        assert_true(verify(k, kinds[i], input, "signature", text, ",\"prehashed\":true"));
        EK_REFUSED(k,
                   ek_write(k, tk_format("transit/sign/%s", kinds[i]),
                            "{\"input\":\"YQ==\",\"prehashed\":true}"),
                   400, "prehashed input must have 32 bytes");
    }
    const char *none = ",\"prehashed\":true,\"hash_algorithm\":\"none\",\"signature_algorithm\":"
                       "\"pkcs1v15\"";
    const char *text = sign(k, "rsa-2048", none);
    assert_true(verify(k, "rsa-2048", MSG, "signature", text, none));
    assert_false(verify(k, "rsa-2048", "YQ==", "signature", text, none));
}

static void test_salt(void **state)
{
    static const struct {
        const char *sign, *verify;
        bool valid;
    } t[] = {
        {"auto", "auto", true}, {"auto", "hash", false}, {"hash", "hash", true},
        {"hash", "32", true},   {"20", "20", true},      {"20", "auto", true},
        {"20", "21", false},    {"0", "auto", true},     {"-1", "HASH", true},
    };
    (void)state;
    TRANSIT(k);
    tk_make(k, "r", "rsa-2048", "");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *text = sign(k, "r", tk_format(",\"salt_length\":\"%s\"", t[i].sign));
        assert_int_equal(verify(k, "r", MSG, "signature", text,
                                tk_format(",\"salt_length\":\"%s\"", t[i].verify)),
                         t[i].valid);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *path, *json, *part;
    } t[] = {
        {"sign/aes", "{\"input\":\"YQ==\"}", "key type aes256-gcm96 does not support signing"},
        {"sign/hm", "{\"input\":\"YQ==\"}", "key type hmac does not support signing"},
        {"sign/ec", "{}", "missing input"},
        {"sign/ec", "{\"input\":\"***\"}",
         "unable to decode input as base64: illegal base64 data at input byte 0"},
        {"sign/ec", "{\"input\":\"YQ==\",\"hash_algorithm\":\"md5\"}",
         "invalid hash algorithm \"md5\""},
        {"sign/ec/sha256", "{\"input\":\"YQ==\"}", "invalid hash algorithm \"sha256\""},
        {"sign/ec", "{\"input\":\"YQ==\",\"hash_algorithm\":\"none\"}",
         "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15"},
        {"sign/ec",
         "{\"input\":\"YQ==\",\"hash_algorithm\":\"none\",\"prehashed\":true,"
         "\"signature_algorithm\":\"pkcs1v15\"}",
         "only for RSA"},
        {"sign/ec", "{\"input\":\"YQ==\",\"marshaling_algorithm\":\"der\"}",
         "invalid marshaling type \"der\""},
        {"sign/ec", "{\"input\":\"YQ==\",\"signature_algorithm\":\"x\"}",
         "unsupported rsa signature algorithm x"},
        {"sign/ec", "{\"input\":\"YQ==\",\"salt_length\":\"x\"}",
         "salt length not \"auto\", \"hash\", or an int: x"},
        {"sign/ec", "{\"input\":\"YQ==\",\"salt_length\":\"-2\"}", "salt length is invalid: -2"},
        {"sign/r", "{\"input\":\"YQ==\",\"salt_length\":\"300\"}", "do not fit together"},
        {"sign/ec", "{\"input\":\"YQ==\",\"key_version\":2}",
         "requested version for signing is higher than the latest key version"},
        {"sign/ec", "{\"input\":\"YQ==\",\"key_version\":-1}",
         "requested version for signing is negative"},
        {"sign/ed", "{\"input\":\"YQ==\",\"prehashed\":true}",
         "only Pure Ed25519 signatures supported"},
        {"verify/ec", "{\"input\":\"YQ==\"}", "neither a 'signature' nor 'hmac' was provided"},
        {"verify/ec", "{\"input\":\"YQ==\",\"hmac\":\"x\",\"signature\":\"vault:v1:YQ==\"}",
         "provide one of 'signature' or 'hmac'"},
        {"verify/ec", "{\"input\":\"YQ==\",\"hmac\":\"vault:v1:Y\",\"signature\":\"vault:v1:Y\"}",
         "invalid base64 signature value"},
        {"verify/ec", "{\"signature\":\"vault:v1:YQ==\"}", "missing input"},
        {"verify/ec", "{\"input\":\"YQ==\",\"signature\":\"x\"}", "invalid signature: no prefix"},
        {"verify/ec", "{\"input\":\"YQ==\",\"signature\":\"vault:v2:YQ==\"}",
         "invalid signature: version is too new"},
        {"verify/ec", "{\"input\":\"YQ==\",\"signature\":\"vault:v1:Y\"}",
         "invalid base64 signature value"},
        {"verify/aes", "{\"input\":\"YQ==\",\"signature\":\"vault:v1:YQ==\"}",
         "key type aes256-gcm96 does not support verification"},
        {"verify/ec", "{\"input\":\"YQ==\",\"hmac\":\"x\"}", "invalid HMAC to verify: no prefix"},
        {"verify/ec", "{\"input\":\"YQ==\",\"hmac\":\"vault:v2:YQ==\"}",
         "invalid HMAC: version is too new"},
        {"verify/ec", "{\"input\":\"YQ==\",\"hmac\":\"vault:v1:Y\"}",
         "unable to decode verification string as base64"},
        {"verify/ec", "{\"input\":\"YQ==\",\"hmac\":\"vault:v1:YQ==\",\"hash_algorithm\":\"none\"}",
         "unsupported algorithm \"none\""},
        {"hmac/ec", "{}", "missing input for HMAC"},
        {"hmac/ec/md5", "{\"input\":\"YQ==\"}", "unsupported algorithm \"md5\""},
        {"hmac/ec", "{\"input\":\"YQ==\",\"key_version\":2}",
         "key version does not exist; latest key version is 1"},
        {"hmac/ec", "{\"input\":\"YQ==\",\"key_version\":-1}", "cannot be negative"},
    };
    (void)state;
    TRANSIT(k);
    tk_make(k, "aes", "aes256-gcm96", "");
    tk_make(k, "hm", "hmac", "");
    tk_make(k, "ec", "ecdsa-p256", "");
    tk_make(k, "ed", "ed25519", "");
    tk_make(k, "r", "rsa-2048", "");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, tk_format("transit/%s", t[i].path), t[i].json), 400, t[i].part);
    }
}

/* What is no signature at all is simply wrong. */
static void test_wrong(void **state)
{
    static const char *const kinds[] = {"ed25519", "ecdsa-p256", "rsa-2048"};
    static const char *const texts[] = {"vault:v1:", "vault:v1:AAAA", "vault:v1:MAYCAQACAQA="};
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        tk_make(k, kinds[i], kinds[i], "");
        for (size_t j = 0; j < MLN_COUNT(texts); j++) {
            assert_false(verify(k, kinds[i], MSG, "signature", texts[j], ""));
        }
        assert_false(verify(k, kinds[i], MSG, "signature", "vault:v1:AAAA",
                            ",\"marshaling_algorithm\":\"jws\""));
        assert_false(verify(k, kinds[i], MSG, "hmac", "vault:v1:AAAA", ""));
    }
}

static void test_derived(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "d", "ed25519", ",\"derived\":true,\"exportable\":true");
    const struct mln_value *one = mln_get(mln_get(k->re.data, "keys"), "1");
    assert_true(mln_is_text(mln_get(one, "public_key"), ""));
    EK_WANT(k, ek_read(k, "transit/export/signing-key/d/latest", NULL), 200);
    struct mln_bytes secret =
        tk_bytes(k->cx, mln_get_bytes(mln_get(mln_get(k->re.data, "keys"), "1")));
    assert_int_equal(secret.len, 64);
    uint8_t seed[32], public[32], want[64];
    mln_hkdf_sha256(mln_bytes_sub(secret, 0, 32), MLN_BYTES_NONE, MLN_BYTES("ctx"), seed, 32);
    mln_ed25519_public(seed, public);
    mln_ed25519_sign(seed, MLN_BYTES("a model"), want);
    const char *text = sign(k, "d", ",\"context\":\"Y3R4\"");
    kit_same(k->cx, tk_payload(k->cx, text), mln_bytes_at(want, 64));
    const char *told = tk_keep(k, "public_key");
    kit_same(k->cx, tk_bytes(k->cx, mln_bytes_of(told)), mln_bytes_at(public, 32));
    assert_true(verify(k, "d", MSG, "signature", text, ",\"context\":\"Y3R4\""));
    assert_false(verify(k, "d", MSG, "signature", text, ",\"context\":\"Y3R5\""));
    EK_REFUSED(k, ek_write(k, "transit/sign/d", "{\"input\":\"YQ==\"}"), 400,
               "missing 'context' for key derivation");
    EK_WANT(k, ek_read(k, "transit/keys/d", "{\"context\":\"Y3R4\"}"), 200);
    one = mln_get(mln_get(k->re.data, "keys"), "1");
    assert_true(mln_is_text(mln_get(one, "public_key"), told));
}

static void test_hmac(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "h", "hmac", ",\"key_size\":100,\"exportable\":true");
    assert_int_equal(mln_get_int(mln_get(k->re.data, "key_size"), 0), 100);
    tk_make(k, "a", "aes256-gcm96", ",\"exportable\":true");
    static const char *const names[] = {"h", "a"};
    for (size_t i = 0; i < 2 * MLN_COUNT(hashes); i++) {
        const char *name = names[i % 2], *hash = hashes[i / 2].name;
        uint8_t key[100], want[64];
        size_t n = 0;
        EK_WANT(k, ek_read(k, tk_format("transit/export/hmac-key/%s", name), NULL), 200);
        struct mln_bytes raw =
            tk_bytes(k->cx, mln_get_bytes(mln_get(mln_get(k->re.data, "keys"), "1")));
        size_t key_n = raw.len;
        assert_int_equal(key_n, i % 2 == 0 ? 100 : 32);
        mln_copy(key, raw.ptr, key_n);
        EK_WANT(k,
                ek_write(k, tk_format("transit/hmac/%s/%s", name, hash), "{\"input\":\"" MSG "\"}"),
                200);
        const char *text = tk_keep(k, "hmac");
        assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, hashes[i / 2].openssl, NULL, key, key_n,
                                  (const unsigned char *)"a model", 7, want, sizeof(want), &n));
        kit_same(k->cx, tk_payload(k->cx, text), mln_bytes_at(want, n));
        const char *option = tk_format(",\"hash_algorithm\":\"%s\"", hash);
        assert_true(verify(k, name, MSG, "hmac", text, option));
        assert_false(verify(k, name, "YQ==", "hmac", text, option));
    }
}

static void test_old_versions(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "ecdsa-p256", "");
    const char *signature = sign(k, "k", "");
    EK_WANT(k, ek_write(k, "transit/hmac/k", "{\"input\":\"" MSG "\"}"), 200);
    const char *hmac = tk_keep(k, "hmac");
    EK_WANT(k, ek_write(k, "transit/keys/k/rotate", NULL), 200);
    assert_true(verify(k, "k", MSG, "signature", signature, ""));
    assert_true(verify(k, "k", MSG, "hmac", hmac, ""));
    sign(k, "k", ",\"key_version\":1");
    EK_WANT(k,
            ek_write(k, "transit/keys/k/config",
                     "{\"min_decryption_version\":2,\"min_encryption_version\":2}"),
            200);
    static const struct {
        const char *what, *part;
    } t[] = {{"signature", "ciphertext or signature version is disallowed by policy (too old)"},
             {"hmac", "cannot verify HMAC: version is too old (disallowed by policy)"}};
    for (size_t i = 0; i < 2; i++) {
        EK_REFUSED(k,
                   ek_write(k, "transit/verify/k",
                            tk_format("{\"input\":\"" MSG "\",\"%s\":\"%s\"}", t[i].what,
                                      i == 0 ? signature : hmac)),
                   400, t[i].part);
    }
    EK_REFUSED(k, ek_write(k, "transit/sign/k", "{\"input\":\"YQ==\",\"key_version\":1}"), 400,
               "requested version for signing is less than the minimum encryption key version");
    EK_REFUSED(k, ek_write(k, "transit/hmac/k", "{\"input\":\"YQ==\",\"key_version\":1}"), 400,
               "cannot generate HMAC: version is too old (disallowed by policy)");
}

static void test_batches(void **state)
{
    (void)state;
    TRANSIT(k);
    tk_make(k, "k", "ed25519", "");
    EK_WANT(k,
            ek_write(k, "transit/sign/k",
                     "{\"batch_input\":[{\"input\":\"" MSG
                     "\",\"reference\":\"r\"},{\"inputt\":1}]}"),
            200);
    const struct mln_value *results = mln_get(k->re.data, "batch_results");
    assert_true(mln_is_text(mln_get(mln_item(results, 0), "reference"), "r"));
    EK_VALUE(k, mln_item(results, 1), "{\"error\":\"missing input\",\"key_version\":0,\"reference\":\"\"}");
    const char *text =
        tk_format("%s", mln_get_text(k->cx, mln_get(mln_item(results, 0), "signature"), ""));
    EK_WANT(k, ek_write(k, "transit/hmac/k", "{\"batch_input\":[{\"input\":\"" MSG "\"}]}"), 200);
    const char *hmac = tk_format(
        "%s", mln_get_text(k->cx,
                           mln_get(mln_item(mln_get(k->re.data, "batch_results"), 0), "hmac"), ""));
    EK_WANT(k,
            ek_write(k, "transit/verify/k",
                     tk_format("{\"batch_input\":[{\"input\":\"" MSG
                               "\",\"signature\":\"%s\",\"reference\":\"a\"},"
                               "{\"input\":\"YQ==\",\"signature\":\"%s\"},{\"input\":\"" MSG
                               "\",\"hmac\":\"%s\"}]}",
                               text, text, hmac)),
            200);
    EK_DATA(k, "{\"batch_results\":[{\"reference\":\"a\",\"valid\":true},{\"reference\":\"\","
               "\"valid\":false},{\"reference\":\"\",\"valid\":true}]}");
    EK_WANT(k, ek_write(k, "transit/verify/k", "{\"batch_input\":[{\"input\":\"" MSG "\"}]}"), 200);
    const struct mln_value *failed = mln_item(mln_get(k->re.data, "batch_results"), 0);
    EK_VALUE(k, mln_get(failed, "valid"), "false");
    assert_true(mln_type_of(mln_get(failed, "error")) == MLN_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elsewhere),    cmocka_unit_test(test_forms),
        cmocka_unit_test(test_prehashed),    cmocka_unit_test(test_salt),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_derived),      cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_old_versions), cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
