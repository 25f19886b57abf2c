/* SPDX-License-Identifier: Apache-2.0 */
/* SSH keys as ssh-keygen writes them, read and written; signatures that OpenSSL verifies; damaged and foreign ones refused. */
#include "kit/kit.h"

#include "base/text.h"
#include "crypto/crypto.h"
#include "crypto/ssh.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

static struct mln_bytes file(struct mln_cx *cx, const char *name, const char *end)
{
    char at[KIT_PATH_MAX];
    return kit_read_file(cx, kit_test_file(at, mln_text_format(cx, "vectors/ssh/%s.%s", name, end)));
}

/* "name base64" of the line: without its comment. */
static const char *bare(struct mln_cx *cx, struct mln_bytes line)
{
    struct mln_bytes rest, name = mln_bytes_cut(mln_bytes_trim(line), ' ', &rest);
    struct mln_bytes body = mln_bytes_cut(rest, ' ', &rest);
    return mln_text_format(cx, "%.*s %.*s", MLN_FMT(name), MLN_FMT(body));
}

static const struct {
    const char *file, *public;
    enum mln_ssh_kind kind;
    unsigned bits;
    const char *algorithms[3]; /* NULL = the default */
} keys[] = {
    {"rsa", "rsa", MLN_SSH_RSA, 1024, {NULL, "rsa-sha2-256", "rsa-sha2-512"}},
    {"rsa-pkcs1", "rsa", MLN_SSH_RSA, 1024, {NULL}},
    {"rsa-pkcs8", "rsa", MLN_SSH_RSA, 1024, {NULL}},
    {"ed25519", "ed25519", MLN_SSH_ED25519, 256, {NULL, "ssh-ed25519"}},
    {"p256", "p256", MLN_SSH_P256, 256, {NULL, "ecdsa-sha2-nistp256"}},
    {"p256-sec1", "p256", MLN_SSH_P256, 256, {NULL}},
    {"p256-pkcs8", "p256", MLN_SSH_P256, 256, {NULL}},
    {"p256-compressed", "p256", MLN_SSH_P256, 256, {NULL}}, /* kept without what its file says besides */
    {"p256-no-public", "p256", MLN_SSH_P256, 256, {NULL}},
    {"p384", "p384", MLN_SSH_P384, 384, {NULL}},
    {"p521", "p521", MLN_SSH_P521, 521, {NULL}},
};

static void test_public(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *name;
        enum mln_ssh_kind kind;
        unsigned bits;
    } t[] = {{"rsa", MLN_SSH_RSA, 1024},      {"ed25519", MLN_SSH_ED25519, 256},       {"p256", MLN_SSH_P256, 256},
             {"p384", MLN_SSH_P384, 384},     {"p521", MLN_SSH_P521, 521},             {"encrypted", MLN_SSH_ED25519, 256},
             {"sk-p256", MLN_SSH_SK_P256, 256}, {"sk-ed25519", MLN_SSH_SK_ED25519, 256}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_ssh_key key;
        struct mln_bytes line = file(cx, t[i].name, "pub");
        kit_ok(cx, mln_ssh_public_parse(cx, line, &key));
        assert_int_equal(key.kind, t[i].kind);
        assert_int_equal(key.bits, t[i].bits);
        assert_string_equal(mln_ssh_public_text(cx, key.blob), bare(cx, line));
    }
}

static void test_private(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true}, text = {.is_secret = true},
                                              again = {.is_secret = true};
        struct mln_ssh_key key;
        kit_ok(cx, mln_ssh_private_parse(cx, file(cx, keys[i].file, "key"), &der));
        kit_ok(cx, mln_ssh_public_of(cx, mln_buf_bytes(&der), &key));
        assert_int_equal(key.kind, keys[i].kind);
        assert_int_equal(key.bits, keys[i].bits);
        assert_string_equal(mln_ssh_public_text(cx, key.blob), bare(cx, file(cx, keys[i].public, "pub")));
        kit_ok(cx, mln_ssh_private_print(cx, mln_buf_bytes(&der), &text));
        kit_ok(cx, mln_ssh_private_parse(cx, mln_buf_bytes(&text), &again));
        kit_same(cx, mln_buf_bytes(&again), mln_buf_bytes(&der));
    }
}

static struct mln_bytes part(struct mln_reader *r)
{
    return mln_read_bytes(r, mln_read_u32be(r));
}

/* The signature as OpenSSL wants it: DER for ECDSA. */
static struct mln_bytes native(struct mln_cx *cx, enum mln_ssh_kind kind, struct mln_bytes sig)
{
    static struct mln_buf der;
    size_t half = kind == MLN_SSH_P256 ? 32 : kind == MLN_SSH_P384 ? 48 : 66;
    if (kind != MLN_SSH_P256 && kind != MLN_SSH_P384 && kind != MLN_SSH_P521) {
        return sig;
    }
    uint8_t raw[132] = {0};
    struct mln_reader r = mln_reader_of(sig);
    for (size_t i = 0; i < 2; i++) {
        struct mln_bytes n = part(&r);
        n = n.len > half ? mln_bytes_from(n, n.len - half) : n;
        mln_copy(raw + (i + 1) * half - n.len, n.ptr, n.len);
    }
    assert_false(r.is_short);
    mln_buf_clear(&der);
    kit_ok(cx, mln_ecdsa_raw_to_der(cx, mln_bytes_at(raw, 2 * half), &der));
    struct mln_bytes out = mln_bytes_dup(cx, mln_buf_bytes(&der));
    mln_buf_drop(&der);
    return out;
}

static bool verifies(struct mln_bytes der, const char *hash, struct mln_bytes message, struct mln_bytes sig)
{
    const uint8_t *p = der.ptr;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_non_null(key);
    bool ok = EVP_DigestVerifyInit_ex(ctx, NULL, hash, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestVerify(ctx, sig.ptr, sig.len, message.ptr, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

static const char *hash_of(struct mln_bytes algorithm)
{
    return mln_bytes_is(algorithm, "ssh-ed25519") ? NULL
           : mln_bytes_is(algorithm, "rsa-sha2-512") || mln_bytes_is(algorithm, "ecdsa-sha2-nistp521") ? "SHA512"
           : mln_bytes_is(algorithm, "ecdsa-sha2-nistp384") ? "SHA384"
                                                             : "SHA256";
}

static void test_sign(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes message = MLN_BYTES("what is signed");
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
        kit_ok(cx, mln_ssh_private_parse(cx, file(cx, keys[i].file, "key"), &der));
        for (size_t a = 0; a < MLN_COUNT(keys[i].algorithms); a++) {
            MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
            if (a > 0 && keys[i].algorithms[a] == NULL) {
                continue;
            }
            kit_ok(cx, mln_ssh_sign(cx, mln_buf_bytes(&der), keys[i].algorithms[a], message, &sig));
            struct mln_reader r = mln_reader_of(mln_buf_bytes(&sig));
            struct mln_bytes name = part(&r), raw = part(&r);
            assert_true(!r.is_short && mln_reader_left(&r) == 0);
            assert_true(keys[i].algorithms[a] == NULL || mln_bytes_is(name, keys[i].algorithms[a]));
            raw = native(cx, keys[i].kind, raw);
            assert_true(verifies(mln_buf_bytes(&der), hash_of(name), message, raw));
            assert_false(verifies(mln_buf_bytes(&der), hash_of(name), MLN_BYTES("else"), raw));
        }
    }
}

static void test_algorithms_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *file, *algorithm;
    } t[] = {{"rsa", "ssh-rsa"}, {"rsa", "ssh-ed25519"}, {"rsa", ""}, {"ed25519", "rsa-sha2-256"}, {"p256", "ecdsa-sha2-nistp384"}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true}, sig = {0};
        kit_ok(cx, mln_ssh_private_parse(cx, file(cx, t[i].file, "key"), &der));
        kit_refused_with(cx, mln_ssh_sign(cx, mln_buf_bytes(&der), t[i].algorithm, MLN_BYTES("m"), &sig), MLN_E_INVALID,
                         "does not sign by that algorithm");
        assert_int_equal(sig.len, 0);
        mln_cx_clear(cx);
    }
}

static void test_generate(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        enum mln_ssh_kind kind;
        unsigned bits, want;
    } t[] = {{MLN_SSH_RSA, 2048, 2048}, {MLN_SSH_ED25519, 0, 256}, {MLN_SSH_P256, 0, 256}, {MLN_SSH_P384, 0, 384}, {MLN_SSH_P521, 0, 521}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
        struct mln_ssh_key key;
        kit_ok(cx, mln_ssh_generate(cx, t[i].kind, t[i].bits, &der));
        kit_ok(cx, mln_ssh_public_of(cx, mln_buf_bytes(&der), &key));
        assert_int_equal(key.kind, t[i].kind);
        assert_int_equal(key.bits, t[i].want);
    }
    static const unsigned bad[] = {0, 1024, 2047, 8192, 65536};
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
        kit_refused(cx, mln_ssh_generate(cx, MLN_SSH_RSA, bad[i], &der), MLN_E_INVALID);
        mln_cx_clear(cx);
    }
}

static void test_public_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *text, *part;
    } t[] = {
        {"", "no key found"},
        {"ssh-ed25519", "no key found"},
        {"ssh-ed25519 !!!!", "no key found"},
        {"ssh-ed25519 AAAA", "unknown kind"},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAK5Agaeo6EaN0kP3O0noI8FO7SXla/SG3+zGvFHiux1\nmore", "one line"},
        {"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAK5Agaeo6EaN0kP3O0noI8FO7SXla/SG3+zGvFHiux1", "kind that its line says"},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAK5Agaeo6EaN0kP3O0noI8FO7SXla/SG3+zGvFHiux1AA==", "damaged key"},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAHwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "damaged Ed25519"},
        {"ssh-dss AAAAB3NzaC1kc3M=", "unknown kind"},
        {"ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t", "unknown kind"},
        {"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAACQCAAAAAAAAAAQ==", "1024 to 16384 bits"},
        {"ssh-rsa AAAAB3NzaC1yc2EAAAABAQAAAAkAgAAAAAAAAAE=", "damaged RSA"},
        {"ssh-rsa AAAAB3NzaC1yc2EAAAAA/////w==", "damaged RSA"},
        {"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
         "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "not on its curve"},
        {"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAzODQAAAAA", "damaged ECDSA"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_ssh_key key;
        kit_refused_with(cx, mln_ssh_public_parse(cx, mln_bytes_of(t[i].text), &key), MLN_E_INVALID, t[i].part);
        mln_cx_clear(cx);
    }
}

static void test_private_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes good = file(cx, "ed25519", "key"), bad = mln_bytes_dup(cx, good);
    const struct {
        struct mln_bytes text;
        const char *part;
    } t[] = {
        {MLN_BYTES_NONE, "no key found"},
        {MLN_BYTES("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), "no key found"},
        {MLN_BYTES("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "no key found"},
        {MLN_BYTES("-----BEGIN PRIVATE KEY-----\nAAA\n-----END PRIVATE KEY-----\n"), "damaged"},
        {MLN_BYTES("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), "damaged"},
        {mln_bytes_sub(good, 0, good.len / 2), "no key found"},
        {file(cx, "encrypted", "key"), "is encrypted"},
        {file(cx, "ed25519", "pub"), "no key found"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
        kit_refused_with(cx, mln_ssh_private_parse(cx, t[i].text, &der), MLN_E_INVALID, t[i].part);
        assert_int_equal(der.len, 0);
        mln_cx_clear(cx);
    }
    /* each byte of the base64 changed: refused, or a key whose halves still fit (a changed check number, comment or seed) */
    uint8_t *p = mln_new(cx, bad.len);
    for (size_t i = 36; i < good.len - 36; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
        struct mln_ssh_key key;
        mln_copy(p, good.ptr, good.len);
        p[i] = p[i] == 'A' ? 'B' : 'A';
        if (!mln_failed(mln_ssh_private_parse(cx, mln_bytes_at(p, good.len), &der))) {
            kit_ok(cx, mln_ssh_public_of(cx, mln_buf_bytes(&der), &key));
        }
        mln_cx_clear(cx);
    }
}

static struct mln_err read_print_sign(struct mln_cx *cx, void *arg)
{
    const struct mln_bytes *text = arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true}, again = {.is_secret = true}, sig = {0};
    struct mln_ssh_key key;
    MLN_TRY(mln_ssh_private_parse(cx, *text, &der));
    MLN_TRY(mln_ssh_public_of(cx, mln_buf_bytes(&der), &key));
    MLN_TRY(mln_ssh_public_parse(cx, mln_bytes_of(mln_ssh_public_text(cx, key.blob)), &key));
    MLN_TRY(mln_ssh_private_print(cx, mln_buf_bytes(&der), &again));
    MLN_TRY(mln_ssh_sign(cx, mln_buf_bytes(&der), NULL, *text, &sig));
    assert_true(sig.len > 0 && again.len > 0);
    return MLN_OK;
}

static void test_no_memory(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const names[] = {"ed25519", "p384", "rsa-pkcs1"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        struct mln_bytes text = file(cx, names[i], "key");
        assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, read_print_sign, &text) > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_public),   KIT_TEST(test_private),        KIT_TEST(test_sign),           KIT_TEST(test_algorithms_refused),
        KIT_TEST(test_generate), KIT_TEST(test_public_refused), KIT_TEST(test_private_refused),
        KIT_TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
