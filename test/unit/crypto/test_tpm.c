/* SPDX-License-Identifier: Apache-2.0 */
/* Public areas, credentials and quotes of TPMs: what swtpm and tpm2-tools made, each field damaged, all cut short. */
#include "kit/kit.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/tpm.h"
#include "crypto/x509.h"

static struct mln_bytes vector(struct mln_cx *cx, const char *name)
{
    char path[KIT_PATH_MAX];
    struct mln_bytes file = kit_read_file(cx, kit_test_file(path, mln_text_format(cx, "vectors/tpm/%s", name)));
    return mln_bytes_dup(cx, file);
}

static struct mln_bytes changed(struct mln_cx *cx, struct mln_bytes from, size_t at, uint8_t mask)
{
    uint8_t *copy = mln_new(cx, from.len);
    assert_non_null(copy);
    mln_copy(copy, from.ptr, from.len);
    copy[at] ^= mask;
    return mln_bytes_at(copy, from.len);
}

typedef struct mln_err parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_key *ret);

static struct mln_err parse_quote(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_key *ret)
{
    struct mln_tpm_quote quote;
    (void)ret;
    return mln_tpm_quote_parse(cx, from, &quote);
}

static void test_kinds(void **state)
{
    static const struct {
        const char *file;
        parse *as;
        enum mln_code want;
        enum mln_akey kind;
    } rows[] = {
        {"ek.public", mln_tpm_ek_parse, MLN_E_OK, MLN_AKEY_RSA2048},
        {"known.public", mln_tpm_ek_parse, MLN_E_OK, MLN_AKEY_RSA2048},
        {"ak_p256.public", mln_tpm_ak_parse, MLN_E_OK, MLN_AKEY_P256},
        {"ak_rsa.public", mln_tpm_ak_parse, MLN_E_OK, MLN_AKEY_RSA2048},
        {"ak_p256.public", mln_tpm_ek_parse, MLN_E_INVALID, 0},
        {"ak_rsa.public", mln_tpm_ek_parse, MLN_E_INVALID, 0},
        {"ek.public", mln_tpm_ak_parse, MLN_E_INVALID, 0},
        {"unrestricted.public", mln_tpm_ak_parse, MLN_E_INVALID, 0},
        {"p256.quote", mln_tpm_ak_parse, MLN_E_INVALID, 0},
        {"p256.quote", parse_quote, MLN_E_OK, 0},
        {"rsa.quote", parse_quote, MLN_E_OK, 0},
        {"p256.certify", parse_quote, MLN_E_PARSE, 0},
        {"ek.public", parse_quote, MLN_E_PARSE, 0},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_tpm_key key = {0};
        struct mln_bytes from = vector(cx, rows[i].file);
        kit_expect(cx, rows[i].file, rows[i].as(cx, from, &key), rows[i].want);
        if (rows[i].want == MLN_E_OK && rows[i].as != parse_quote) {
            uint8_t digest[MLN_SHA256_BYTES];
            mln_sha256(from, digest);
            kit_same(cx, mln_bytes_at(key.name + 2, sizeof(digest)), mln_bytes_at(digest, sizeof(digest)));
            assert_int_equal(key.kind, rows[i].kind);
            kit_ok(cx, mln_akey_check_public(cx, key.kind, key.spki));
        }
    }
}

/* One field damaged. Offsets: kind 0, name's hash 2, attributes 4, length of the policy 8. */
static void test_damaged(void **state)
{
    static const struct {
        const char *what, *file;
        parse *as;
        size_t at;
        uint8_t mask;
        enum mln_code want;
    } rows[] = {
        {"another kind", "ek.public", mln_tpm_ek_parse, 1, 0x22, MLN_E_INVALID},
        {"a name by SHA-384", "ek.public", mln_tpm_ek_parse, 3, 0x07, MLN_E_INVALID},
        {"not of this TPM", "ek.public", mln_tpm_ek_parse, 7, 0x02, MLN_E_INVALID},
        {"not of this parent", "ek.public", mln_tpm_ek_parse, 7, 0x10, MLN_E_INVALID},
        {"brought from outside", "ek.public", mln_tpm_ek_parse, 7, 0x20, MLN_E_INVALID},
        {"not restricted", "ek.public", mln_tpm_ek_parse, 5, 0x01, MLN_E_INVALID},
        {"may not decrypt", "ek.public", mln_tpm_ek_parse, 5, 0x02, MLN_E_INVALID},
        {"may sign, too", "ek.public", mln_tpm_ek_parse, 5, 0x04, MLN_E_INVALID},
        {"a policy that is longer than a digest", "ek.public", mln_tpm_ek_parse, 9, 0x40, MLN_E_PARSE},
        {"AES of 192 bits", "ek.public", mln_tpm_ek_parse, 45, 0x40, MLN_E_INVALID},
        {"another mode than CFB", "ek.public", mln_tpm_ek_parse, 47, 0x01, MLN_E_INVALID},
        {"another size", "ek.public", mln_tpm_ek_parse, 50, 0x04, MLN_E_INVALID},
        {"another exponent", "ek.public", mln_tpm_ek_parse, 55, 0x03, MLN_E_INVALID},
        {"a modulus that is even", "ek.public", mln_tpm_ek_parse, 313, 0x01, MLN_E_INVALID},
        {"of an attestation key: not of this TPM", "ak_p256.public", mln_tpm_ak_parse, 7, 0x02, MLN_E_INVALID},
        {"not of this parent", "ak_p256.public", mln_tpm_ak_parse, 7, 0x10, MLN_E_INVALID},
        {"brought from outside", "ak_p256.public", mln_tpm_ak_parse, 7, 0x20, MLN_E_INVALID},
        {"not restricted", "ak_p256.public", mln_tpm_ak_parse, 5, 0x01, MLN_E_INVALID},
        {"may decrypt, too", "ak_p256.public", mln_tpm_ak_parse, 5, 0x02, MLN_E_INVALID},
        {"may not sign", "ak_p256.public", mln_tpm_ak_parse, 5, 0x04, MLN_E_INVALID},
        {"a point that is not on the curve", "ak_p256.public", mln_tpm_ak_parse, 87, 0x01, MLN_E_INVALID},
        {"another curve", "ak_p256.public", mln_tpm_ak_parse, 17, 0x07, MLN_E_INVALID},
        {"SHA-1", "ak_p256.public", mln_tpm_ak_parse, 15, 0x0f, MLN_E_INVALID},
        {"RSA: not restricted", "ak_rsa.public", mln_tpm_ak_parse, 5, 0x01, MLN_E_INVALID},
        {"a quote that no TPM made", "p256.quote", parse_quote, 0, 0x01, MLN_E_PARSE},
        {"of another type", "p256.quote", parse_quote, 5, 0x01, MLN_E_PARSE},
        {"a clock that is neither safe nor not", "p256.quote", parse_quote, 92, 0x02, MLN_E_PARSE},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_tpm_key key;
        struct mln_bytes from = changed(cx, vector(cx, rows[i].file), rows[i].at, rows[i].mask);
        kit_expect(cx, rows[i].what, rows[i].as(cx, from, &key), rows[i].want);
    }
}

/* No beginning of a structure is one, nor is one with something behind it. */
static void test_cut(void **state)
{
    static const struct {
        const char *file;
        parse *as;
    } rows[] = {{"ek.public", mln_tpm_ek_parse},
                {"ak_p256.public", mln_tpm_ak_parse},
                {"ak_rsa.public", mln_tpm_ak_parse},
                {"p256.quote", parse_quote}};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes whole = vector(cx, rows[i].file);
        uint8_t *longer = mln_new(cx, whole.len + 1);
        struct mln_tpm_key key;
        for (size_t n = 0; n < whole.len; n++) {
            assert_true(mln_failed(rows[i].as(cx, mln_bytes_sub(whole, 0, n), &key)));
            mln_cx_clear(cx);
        }
        mln_copy(longer, whole.ptr, whole.len);
        kit_expect(cx, rows[i].file, rows[i].as(cx, mln_bytes_at(longer, whole.len + 1), &key), MLN_E_PARSE);
    }
}

/* ---- credentials: the TPM's side, by OpenSSL alone ---- */

static void kdf(struct mln_bytes seed, const char *label, struct mln_bytes context, uint32_t bits, uint8_t out[MLN_SHA256_BYTES])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_u32be(&text, 1);
    mln_buf_add_text(&text, label);
    mln_buf_add_byte(&text, 0);
    mln_buf_add_bytes(&text, context);
    mln_buf_add_u32be(&text, bits);
    mln_hmac_sha256(seed, mln_buf_bytes(&text), out);
}

static size_t open_seed(struct mln_bytes key, struct mln_bytes sealed, uint8_t out[256])
{
    const uint8_t *at = key.ptr;
    size_t n = 256;
    EVP_PKEY *own = d2i_AutoPrivateKey(NULL, &at, (long)key.len);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, OPENSSL_memdup("IDENTITY", 9), 9), 1);
    n = EVP_PKEY_decrypt(ctx, out, &n, sealed.ptr, sealed.len) == 1 ? n : 0;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(own);
    return n;
}

/* What TPM2_ActivateCredential gives; false as that refuses. */
static bool activate(struct mln_bytes key, struct mln_bytes name, struct mln_bytes blob, struct mln_bytes sealed, uint8_t secret[32])
{
    static const uint8_t zero[16] = {0};
    uint8_t seed[256], keys[32], mac[32], plain[34];
    int n = 0;
    size_t seed_n = open_seed(key, sealed, seed);
    MLN_AUTO(mln_buf_drop) struct mln_buf covered = {0};
    if (seed_n != 32 || blob.len != 2 + 32 + 34 || mln_get_u16be(blob.ptr) != 32) {
        return false;
    }
    kdf(mln_bytes_at(seed, seed_n), "INTEGRITY", MLN_BYTES_NONE, 256, keys);
    mln_buf_add_bytes(&covered, mln_bytes_from(blob, 34));
    mln_buf_add_bytes(&covered, name);
    mln_hmac_sha256(mln_bytes_at(keys, 32), mln_buf_bytes(&covered), mac);
    if (!mln_same(mac, blob.ptr + 2, 32)) {
        return false;
    }
    kdf(mln_bytes_at(seed, seed_n), "STORAGE", name, 128, keys);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_DecryptInit_ex(ctx, EVP_aes_128_cfb128(), NULL, keys, zero), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, plain, &n, blob.ptr + 34, 34), 1);
    EVP_CIPHER_CTX_free(ctx);
    mln_copy(secret, plain + 2, 32);
    return n == 34 && mln_get_u16be(plain) == 32;
}

static void test_credential(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_tpm_key ek, ak, other;
    struct mln_bytes blob, seed, key = vector(cx, "known.key"), theirs = vector(cx, "known.credential");
    uint8_t got[32], secret[32];
    kit_ok(cx, mln_tpm_ek_parse(cx, vector(cx, "known.public"), &ek));
    kit_ok(cx, mln_tpm_ak_parse(cx, vector(cx, "ak_p256.public"), &ak));
    kit_ok(cx, mln_tpm_ak_parse(cx, vector(cx, "ak_rsa.public"), &other));
    struct mln_bytes name = mln_bytes_at(ak.name, sizeof(ak.name));
    /* the opener of this test opens what tpm2-tools made: magic, version, blob and seed as 2Bs */
    for (size_t i = 0; i < sizeof(secret); i++) {
        secret[i] = 's';
    }
    assert_true(activate(key, name, mln_bytes_sub(theirs, 10, 68), mln_bytes_from(theirs, 10 + 68 + 2), got));
    assert_memory_equal(got, secret, 32);
    /* and what is made here */
    secret[0] = 'x';
    kit_ok(cx, mln_tpm_credential(cx, &ek, ak.name, secret, &blob, &seed));
    assert_true(activate(key, name, blob, seed, got));
    assert_memory_equal(got, secret, 32);
    assert_false(activate(key, mln_bytes_at(other.name, sizeof(other.name)), blob, seed, got)); /* for another key */
    assert_false(activate(key, name, changed(cx, blob, 60, 1), seed, got));
    assert_false(activate(key, name, blob, changed(cx, seed, 200, 1), got));
    kit_ok(cx, mln_tpm_ek_parse(cx, vector(cx, "ek.public"), &ek));
    kit_ok(cx, mln_tpm_credential(cx, &ek, ak.name, secret, &blob, &seed)); /* for another TPM */
    assert_false(activate(key, name, blob, seed, got));
}

/* ---- quotes ---- */

static void test_quote(void **state)
{
    static const char *const kinds[] = {"p256", "rsa"};
    struct mln_cx *cx = kit_cx(state);
    uint8_t want[MLN_SHA256_BYTES];
    mln_sha256(MLN_BYTES("a challenge of the test"), want);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        struct mln_tpm_key ak, other;
        struct mln_tpm_quote q;
        struct mln_bytes quote = vector(cx, mln_text_format(cx, "%s.quote", kinds[i])),
                         sig = vector(cx, mln_text_format(cx, "%s.signature", kinds[i]));
        kit_ok(cx, mln_tpm_ak_parse(cx, vector(cx, mln_text_format(cx, "ak_%s.public", kinds[i])), &ak));
        kit_ok(cx, mln_tpm_ak_parse(cx, vector(cx, mln_text_format(cx, "ak_%s.public", kinds[1 - i])), &other));
        kit_ok(cx, mln_tpm_quote_parse(cx, quote, &q));
        kit_same(cx, q.extra, mln_bytes_at(want, sizeof(want)));
        assert_int_equal(q.pcr_digest.len, 32);
        kit_ok(cx, mln_tpm_verify(cx, &ak, quote, sig));
        kit_refused(cx, mln_tpm_verify(cx, &other, quote, sig), MLN_E_PARSE);
        for (size_t at = 0; at < quote.len; at++) {
            kit_refused(cx, mln_tpm_verify(cx, &ak, changed(cx, quote, at, 1), sig), MLN_E_FORGED);
        }
        kit_refused(cx, mln_tpm_verify(cx, &ak, quote, changed(cx, sig, sig.len - 1, 1)), MLN_E_FORGED);
        kit_refused(cx, mln_tpm_verify(cx, &ak, quote, changed(cx, sig, 3, 0x07)), MLN_E_PARSE); /* SHA-384 */
        for (size_t n = 0; n < sig.len; n++) {
            kit_refused(cx, mln_tpm_verify(cx, &ak, quote, mln_bytes_sub(sig, 0, n)), MLN_E_PARSE);
        }
    }
}

/* A certificate of a TPM names it by a directory name, which ours are not read with. */
static void test_certificate(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_x509_info info;
    struct mln_bytes der = vector(cx, "ek.certificate");
    kit_refused(cx, mln_x509_cert_read(cx, der, &info), MLN_E_UNSUPPORTED);
    kit_ok(cx, mln_x509_cert_read_unnamed(cx, der, &info));
    assert_int_equal(info.sans_n, 0);
    assert_false(info.is_ca);
    assert_int_equal(info.bits, 2048);
    kit_same(cx, mln_get_bytes(mln_item(info.ext_key_usage, 0)), MLN_BYTES("2.23.133.8.1"));
    kit_refused(cx, mln_x509_cert_read_unnamed(cx, mln_bytes_sub(der, 0, der.len - 1), &info), MLN_E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_kinds), KIT_TEST(test_damaged), KIT_TEST(test_cut), KIT_TEST(test_credential),
                                       KIT_TEST(test_quote), KIT_TEST(test_certificate)};
    return cmocka_run_group_tests_name("tpm", tests, NULL, NULL);
}
