/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: keys out and in. Wrapped with OpenSSL as a client would; exports read by OpenSSL; backups restored under
 * another name, and changed ones.
 */
#include "transit_kit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static EVP_PKEY *read_pem(const char *text, bool is_private)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                               : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

static EVP_PKEY *wrapping_key(struct ek *k)
{
    EK_WANT(k, ek_read(k, "transit/wrapping_key", NULL), 200);
    EVP_PKEY *key = read_pem(tk_keep(k, "public_key"), false);
    assert_int_equal(EVP_PKEY_get_bits(key), 4096);
    return key;
}

/* base64 of OAEP(kek) | KWP(kek, key) */
static const char *wrap(struct ek *k, EVP_PKEY *under, const char *hash, struct mln_bytes key)
{
    uint8_t kek[32], out[4096];
    size_t n = 512;
    int m = 0;
    mln_fill(kek, 0x5a, sizeof(kek));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, under, NULL);
    EVP_MD *md = EVP_MD_fetch(NULL, hash, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, out, &n, kek, sizeof(kek)), 1);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
    EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex2(aes, cipher, kek, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(aes, out + 512, &m, key.ptr, (int)key.len), 1);
    EVP_CIPHER_CTX_free(aes);
    EVP_CIPHER_free(cipher);
    EVP_MD_free(md);
    EVP_PKEY_CTX_free(ctx);
    return tk_format("%s", mln_base64_text(k->cx, mln_bytes_at(out, n + (size_t)m), MLN_B64_STD));
}

static struct mln_bytes pkcs8_of(struct mln_cx *cx, EVP_PKEY *key)
{
    uint8_t *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    struct mln_bytes out = mln_bytes_dup(cx, mln_bytes_at(der, (size_t)n));
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    return out;
}

static int import(struct ek *k, const char *path, const char *wrapped, const char *more)
{
    return ek_write(k, tk_format("transit/keys/%s", path),
                    tk_format("{\"ciphertext\":\"%s\"%s}", wrapped, more));
}

#define KEY32 "0123456789abcdef0123456789abcdef"

static void test_symmetric(void **state)
{
    static const struct {
        const char *type;
        size_t n;
    } t[] = {{"aes128-gcm96", 16},
             {"aes256-gcm96", 32},
             {"chacha20-poly1305", 32},
             {"xchacha20-poly1305", 32}};
    static const struct {
        const char *name, *openssl;
    } hashes[] = {{"SHA1", "SHA1"},
                  {"SHA224", "SHA224"},
                  {"SHA256", "SHA256"},
                  {"SHA384", "SHA384"},
                  {"sha512", "SHA512"}};
    (void)state;
    TRANSIT(k);
    EVP_PKEY *under = wrapping_key(k);
    assert_true(k->wrote && k->blocks == 1);
    EK_WANT(k, ek_read(k, "transit/wrapping_key", NULL), 200);
    assert_false(k->wrote);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes key = mln_bytes_sub(MLN_BYTES(KEY32), 0, t[i].n);
        const char *more = tk_format(",\"type\":\"%s\",\"exportable\":true", t[i].type);
        EK_WANT(k,
                import(k, tk_format("%s/import", t[i].type), wrap(k, under, "SHA256", key), more),
                204);
        EK_WANT(k, ek_read(k, tk_format("transit/export/encryption-key/%s", t[i].type), NULL), 200);
        struct mln_bytes text = mln_get_bytes(mln_get(mln_get(k->re.data, "keys"), "1"));
        kit_same(k->cx, tk_bytes(k->cx, text), key);
        EK_REFUSED(k, import(k, "bad/import", wrap(k, under, "SHA256", MLN_BYTES(KEY32 "x")), more),
                   400, tk_format("invalid key size 33 bytes for key type %s", t[i].type));
    }
    for (size_t i = 0; i < MLN_COUNT(hashes); i++) {
        EK_WANT(k,
                import(k, tk_format("h%zu/import", i),
                       wrap(k, under, hashes[i].openssl, MLN_BYTES(KEY32)),
                       tk_format(",\"hash_function\":\"%s\"", hashes[i].name)),
                204);
    }
    EK_WANT(k,
            import(k, "h/import", wrap(k, under, "SHA256", MLN_BYTES(KEY32 KEY32)),
                   ",\"type\":\"hmac\""),
            204);
    EK_WANT(k, ek_read(k, "transit/keys/h", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "key_size"), 0), 64);
    EVP_PKEY_free(under);
}

static void test_pairs(void **state)
{
    static const struct {
        const char *type, *kind, *curve;
    } t[] = {{"ecdsa-p256", "EC", "P-256"},
             {"ecdsa-p384", "EC", "P-384"},
             {"ecdsa-p521", "EC", "P-521"},
             {"ed25519", "ED25519", NULL},
             {"rsa-2048", "RSA", NULL}};
    (void)state;
    TRANSIT(k);
    EVP_PKEY *under = wrapping_key(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EVP_PKEY *key = t[i].kind[0] == 'R'  ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                        : t[i].curve != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", t[i].curve)
                                             : EVP_PKEY_Q_keygen(NULL, NULL, t[i].kind);
        const char *type = tk_format(",\"type\":\"%s\",\"allow_rotation\":true", t[i].type);
        const char *wrapped = wrap(k, under, "SHA256", pkcs8_of(k->cx, key));
        EK_WANT(k, import(k, tk_format("%s/import", t[i].type), wrapped, type), 204);
        EK_WANT(k, ek_read(k, tk_format("transit/keys/%s", t[i].type), NULL), 200);
        assert_true(mln_get_bool(mln_get(k->re.data, "imported_key"), false));
        assert_true(mln_get_bool(mln_get(k->re.data, "imported_key_allow_rotation"), false));
        EK_REFUSED(k,
                   import(k, "other/import", wrapped,
                          i == 0 ? ",\"type\":\"ecdsa-p384\"" : ",\"type\":\"ecdsa-p256\""),
                   400, "another type or size");
        EK_WANT(k, ek_write(k, tk_format("transit/sign/%s", t[i].type), "{\"input\":\"YQ==\"}"),
                200);
        const char *signature = tk_keep(k, "signature");
        /* the public half alone verifies; its private half may follow */
        BIO *bio = BIO_new(BIO_s_mem());
        char pem[2048] = {0}, line[2048];
        assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
        assert_true(BIO_read(bio, pem, sizeof(pem) - 1) > 0);
        BIO_free(bio);
        size_t at = 0;
        for (const char *p = pem; *p != '\0'; p++) {
            line[at++] = *p == '\n' ? '\\' : *p;
            line[at] = 'n';
            at += *p == '\n' ? 1 : 0;
        }
        line[at] = '\0';
        EK_WANT(k,
                ek_write(k, tk_format("transit/keys/p%zu/import", i),
                         tk_format("{\"public_key\":\"%s\"%s}", line, type)),
                204);
        EK_WANT(k,
                ek_write(k, tk_format("transit/verify/p%zu", i),
                         tk_format("{\"input\":\"YQ==\",\"signature\":\"%s\"}", signature)),
                200);
        EK_DATA(k, "{\"valid\":true}");
        EK_REFUSED(k, ek_write(k, tk_format("transit/sign/p%zu", i), "{\"input\":\"YQ==\"}"), 400,
                   "requested version for signing does not contain a private part");
        EK_REFUSED(k, ek_write(k, tk_format("transit/keys/p%zu/rotate", i), NULL), 400,
                   "only its public half");
        EK_REFUSED(k, import(k, tk_format("p%zu/import_version", i), wrapped, ",\"version\":2"),
                   400, "key version 2 not found");
        EK_WANT(k, import(k, tk_format("p%zu/import_version", i), wrapped, ",\"version\":1"), 204);
        EK_WANT(k, ek_write(k, tk_format("transit/sign/p%zu", i), "{\"input\":\"YQ==\"}"), 200);
        EVP_PKEY_free(key);
    }
    EVP_PKEY_free(under);
}

static void test_versions(void **state)
{
    (void)state;
    TRANSIT(k);
    EVP_PKEY *under = wrapping_key(k);
    const char *wrapped = wrap(k, under, "SHA256", MLN_BYTES(KEY32));
    EVP_PKEY_free(under);
    EK_WANT(k, import(k, "k/import", wrapped, ""), 204);
    EK_REFUSED(k, import(k, "k/import", wrapped, ""), 400,
               "the import path cannot be used with an existing key; use import-version to rotate "
               "an existing imported key");
    EK_REFUSED(k, ek_write(k, "transit/keys/k/rotate", NULL), 400,
               "imported key k does not allow rotation within Vault");
    EK_REFUSED(k, ek_write(k, "transit/keys/k/config", "{\"auto_rotate_period\":\"1h\"}"), 400,
               "does not allow rotation");
    EK_WANT(k, import(k, "k/import_version", wrapped, ""), 204);
    EK_WANT(k, ek_write(k, "transit/encrypt/k", "{\"plaintext\":\"YQ==\"}"), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "key_version"), 0), 2);
    tk_make(k, "own", "aes256-gcm96", "");
    EK_REFUSED(k, import(k, "own/import_version", wrapped, ""), 400,
               "the import_version endpoint can only be used with an imported key");
    EK_WANT(k, import(k, "r/import", wrapped, ",\"allow_rotation\":true"), 204);
    EK_WANT(k, ek_write(k, "transit/keys/r/rotate", NULL), 200);
    assert_false(mln_get_bool(mln_get(k->re.data, "imported_key"), true));
    EK_REFUSED(k, import(k, "r/import_version", wrapped, ""), 400, "imported key");
}

static void test_import_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{}", "one of the following fields, ciphertext and public_key, must be provided"},
        {"{\"ciphertext\":\"YQ==\",\"public_key\":\"x\"}", "only one of the following fields"},
        {"{\"ciphertext\":\"***\"}", "failed to base64-decode ciphertext"},
        {"{\"ciphertext\":\"YQ==\"}", "failed to unwrap the key"},
        {"{\"ciphertext\":\"YQ==\",\"hash_function\":\"MD5\"}", "unsupported hash_function: MD5"},
        {"{\"ciphertext\":\"YQ==\",\"type\":\"x\"}", "unknown key type x"},
        {"{\"ciphertext\":\"YQ==\",\"auto_rotate_period\":\"1h\"}",
         "allow_rotation must be set to true if auto-rotation is enabled"},
        {"{\"ciphertext\":\"YQ==\",\"auto_rotate_period\":5}", "at least an hour"},
        {"{\"ciphertext\":\"YQ==\",\"convergent_encryption\":true}", "convergent encryption"},
        {"{\"ciphertext\":\"YQ==\",\"type\":\"ecdsa-p256\",\"derived\":true}",
         "key derivation not supported"},
        {"{\"public_key\":\"x\",\"type\":\"ed25519\",\"derived\":true}",
         "key derivation not supported for this key"},
        {"{\"public_key\":\"x\"}", "type aes256-gcm96 does not support public_key import"},
        {"{\"public_key\":\"x\",\"type\":\"ed25519\"}", "no PUBLIC KEY in PEM"},
        {"{\"public_key\":\"-----BEGIN PUBLIC KEY-----\\nYQ==\\n-----END PUBLIC KEY-----\","
         "\"type\":\"ed25519\"}",
         "the public key is bad"},
    };
    (void)state;
    TRANSIT(k);
    EK_REFUSED(k, import(k, "x/import", "YQ==", ""), 400, "there is no wrapping key yet");
    EVP_PKEY *under = wrapping_key(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "transit/keys/x/import", t[i].json), 400, t[i].part);
        assert_false(k->wrote);
    }
    /* each part of the box changed */
    const char *good = wrap(k, under, "SHA256", MLN_BYTES(KEY32));
    size_t n = strlen(good);
    for (size_t at = 0; at < n - 8; at += 61) {
        char changed[1024];
        mln_copy(changed, good, n + 1);
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        EK_REFUSED(k, import(k, "x/import", changed, ""), 400, "failed to unwrap the key");
    }
    EK_REFUSED(k, import(k, "x/import", good, ",\"hash_function\":\"SHA1\""), 400,
               "failed to unwrap the key");
    EK_REFUSED(k, import(k, "x/import", good, ",\"type\":\"ecdsa-p256\""), 400, "no PKCS #8 key");
    EVP_PKEY_free(under);
}

static void test_export(void **state)
{
    static const struct {
        const char *type, *path;
        int status;
        const char *part; /* of the error, or how the text begins */
    } t[] = {
        {"aes256-gcm96", "encryption-key", 200, NULL},
        {"aes256-gcm96", "signing-key", 400, "signing not supported for the key"},
        {"aes256-gcm96", "public-key", 400, "unknown key type for export type public-key"},
        {"ed25519", "encryption-key", 400, "encryption not supported for the key"},
        {"ed25519", "signing-key", 200, NULL},
        {"ed25519", "public-key", 200, NULL},
        {"ecdsa-p384", "signing-key", 200, "-----BEGIN EC PRIVATE KEY-----\n"},
        {"ecdsa-p384", "public-key", 200, "-----BEGIN PUBLIC KEY-----\n"},
        {"rsa-2048", "signing-key", 200, "-----BEGIN RSA PRIVATE KEY-----\n"},
        {"rsa-2048", "encryption-key", 200, "-----BEGIN RSA PRIVATE KEY-----\n"},
        {"hmac", "hmac-key", 200, NULL},
        {"hmac", "encryption-key", 400, "encryption not supported for the key"},
        {"hmac", "other", 400, "invalid export type: other"},
    };
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        tk_make(k, t[i].type, t[i].type, ",\"exportable\":true");
        int got = ek_read(k, tk_format("transit/export/%s/%s", t[i].path, t[i].type), NULL);
        EK_REFUSED(k, got, t[i].status, t[i].status == 400 ? t[i].part : NULL);
        if (t[i].status == 200) {
            const struct mln_value *text = mln_get(mln_get(k->re.data, "keys"), "1");
            bool is_public = strcmp(t[i].path, "public-key") == 0;
            assert_int_equal((text->flags & MLN_VALUE_SECRET) != 0, !is_public);
            assert_true(t[i].part == NULL ||
                        mln_bytes_starts(mln_get_bytes(text), mln_bytes_of(t[i].part)));
            if (t[i].part != NULL) {
                EVP_PKEY_free(read_pem(mln_get_text(k->cx, text, ""), !is_public));
            }
        }
    }
    EK_WANT(k, ek_write(k, "transit/keys/ed25519/rotate", NULL), 200);
    EK_WANT(k, ek_write(k, "transit/keys/ed25519/rotate", NULL), 200);
    EK_WANT(k, ek_write(k, "transit/keys/ed25519/config", "{\"min_decryption_version\":2}"), 200);
    static const struct {
        const char *version;
        int status;
        const char *part;
    } v[] = {
        {"", 200, NULL},
        {"/2", 200, NULL},
        {"/v3", 200, NULL},
        {"/latest", 200, NULL},
        {"/1", 400, "version for export is below minimum decryption version"},
        {"/4", 400, "version does not exist or cannot be found"},
        {"/x", 400, "invalid key version"},
    };
    for (size_t i = 0; i < MLN_COUNT(v); i++) {
        EK_REFUSED(k,
                   ek_read(k, tk_format("transit/export/hmac-key/ed25519%s", v[i].version), NULL),
                   v[i].status, v[i].part);
    }
    tk_make(k, "closed", "ed25519", "");
    EK_REFUSED(k, ek_read(k, "transit/export/signing-key/closed", NULL), 400,
               "private key material is not exportable");
    EK_WANT(k, ek_read(k, "transit/export/public-key/closed", NULL), 200);
}

static void test_backup(void **state)
{
    static const char *const kinds[] = {"aes128-gcm96", "aes256-gcm96", "ed25519",
                                        "ecdsa-p521",   "rsa-2048",     "hmac"};
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        const char *name = kinds[i];
        tk_make(k, name, name,
                i < 2 ? ",\"exportable\":true,\"allow_plaintext_backup\":true,\"derived\":true"
                      : ",\"exportable\":true,\"allow_plaintext_backup\":true");
        EK_WANT(k, ek_write(k, tk_format("transit/keys/%s/rotate", name), NULL), 200);
        EK_WANT(k,
                ek_write(k, tk_format("transit/hmac/%s", name),
                         "{\"input\":\"YQ==\",\"key_version\":1}"),
                200);
        const char *hmac = tk_keep(k, "hmac");
        EK_WANT(k, ek_read(k, tk_format("transit/backup/%s", name), NULL), 200);
        const char *backup = tk_keep(k, "backup");
        EK_REFUSED(k, ek_write(k, "transit/restore", tk_format("{\"backup\":\"%s\"}", backup)), 400,
                   tk_format("key \"%s\" already exists", name));
        EK_WANT(k,
                ek_write(k, tk_format("transit/restore/r%zu", i),
                         tk_format("{\"backup\":\"%s\"}", backup)),
                204);
        EK_WANT(
            k,
            ek_write(k, "transit/restore", tk_format("{\"backup\":\"%s\",\"force\":true}", backup)),
            204);
        EK_WANT(k,
                ek_write(k, tk_format("transit/hmac/r%zu", i),
                         "{\"input\":\"YQ==\",\"key_version\":1}"),
                200);
        assert_true(mln_is_text(mln_get(k->re.data, "hmac"), hmac));
        EK_WANT(k, ek_read(k, tk_format("transit/keys/r%zu", i), NULL), 200);
        assert_int_equal(mln_get_bool(mln_get(k->re.data, "derived"), false), i < 2);
        EK_WANT(k, ek_read(k, tk_format("transit/backup/r%zu", i), NULL), 200);
    }
}

static void test_backup_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{}", "'backup' must be supplied"},
        {"{\"backup\":\"***\"}", "backup is not base64"},
        {"{\"backup\":\"YQ==\"}", "backup is not what a backup of a key is"},
        {"{\"backup\":\"e30=\"}", "backup is not what a backup of a key is"},
        /* {"policy":{"name":"exp"},"keys":{}} */
        {"{\"backup\":\"eyJwb2xpY3kiOnsibmFtZSI6ImV4cCJ9LCJrZXlzIjp7fX0=\"}",
         "backup was not made by Merlon"},
    };
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "transit/restore/x", t[i].json), 400, t[i].part);
    }
    tk_make(k, "k", "ed25519", "");
    EK_REFUSED(k, ek_read(k, "transit/backup/k", NULL), 400,
               "exporting is disallowed on the policy");
    EK_WANT(k, ek_write(k, "transit/keys/k/config", "{\"exportable\":true}"), 200);
    EK_REFUSED(k, ek_read(k, "transit/backup/k", NULL), 400,
               "plaintext backup is disallowed on the policy");
}

/* Any byte of the JSON changed: restored or refused, never a failure of the server or a key that does not work. */
static void test_backup_changed(void **state)
{
    static const char *const kinds[] = {"aes256-gcm96", "ed25519", "ecdsa-p256"};
    (void)state;
    TRANSIT(k);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        uint8_t json[4096];
        tk_make(k, kinds[i], kinds[i], ",\"exportable\":true,\"allow_plaintext_backup\":true");
        EK_WANT(k, ek_read(k, tk_format("transit/backup/%s", kinds[i]), NULL), 200);
        struct mln_bytes all = tk_bytes(k->cx, mln_get_bytes(mln_get(k->re.data, "backup")));
        assert_true(all.len < sizeof(json));
        mln_copy(json, all.ptr, all.len);
        for (size_t at = 0; at < all.len; at += 3) {
            uint8_t before = json[at];
            json[at] = before == '1' ? '9' : '1';
            const char *text =
                tk_format("{\"backup\":\"%s\",\"force\":true}",
                          mln_base64_text(k->cx, mln_bytes_at(json, all.len), MLN_B64_STD));
            int got = ek_write(k, "transit/restore/x", text);
            assert_true(got == 204 || got == 400);
            if (got == 204) {
                EK_WANT(k, ek_read(k, "transit/keys/x", NULL), 200);
                EK_WANT(k, ek_write(k, "transit/hmac/x", "{\"input\":\"YQ==\"}"), 200);
            }
            json[at] = before;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symmetric),      cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_versions),       cmocka_unit_test(test_import_refused),
        cmocka_unit_test(test_export),         cmocka_unit_test(test_backup),
        cmocka_unit_test(test_backup_refused), cmocka_unit_test(test_backup_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
