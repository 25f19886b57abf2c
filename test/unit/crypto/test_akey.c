/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs: round trips in every kind and form, OpenSSL as the second opinion, hostile DER and PEM. */
#include "kit/kit.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/akey.h"

static const enum mln_akey quick[] = {MLN_AKEY_P256, MLN_AKEY_P384, MLN_AKEY_P521,
                                      MLN_AKEY_RSA2048};

struct pair {
    struct mln_buf priv, pub;
};

static void pair_drop(struct pair *p)
{
    mln_buf_drop(&p->priv);
    mln_buf_drop(&p->pub);
}

static void make(struct mln_cx *cx, enum mln_akey kind, struct pair *p)
{
    p->priv.is_secret = true;
    kit_ok(cx, mln_akey_generate(cx, kind, &p->priv, &p->pub));
}
#define PAIR(name) MLN_AUTO(pair_drop) struct pair name = {0}

static void test_sign(void **state)
{
    static const enum mln_hash hashes[] = {MLN_HASH_SHA1, MLN_HASH_SHA2_256, MLN_HASH_SHA2_384,
                                           MLN_HASH_SHA3_512};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(quick); i++) {
        PAIR(p);
        make(cx, quick[i], &p);
        for (size_t j = 0; j < 2 * MLN_COUNT(hashes); j++) {
            struct mln_akey_how how = {
                .hash = hashes[j / 2], .is_pkcs1v15 = j % 2 == 1, .salt = MLN_AKEY_SALT_AUTO};
            uint8_t sum[MLN_HASH_MAX_BYTES];
            struct mln_bytes digest = mln_bytes_at(sum, mln_hash_bytes(how.hash));
            MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
            mln_hash_sum(how.hash, MLN_BYTES("a model"), sum);
            kit_ok(cx, mln_akey_sign(cx, quick[i], mln_buf_bytes(&p.priv), &how, digest, &sig));
            kit_ok(cx, mln_akey_verify(cx, quick[i], mln_buf_bytes(&p.pub), &how, digest,
                                       mln_buf_bytes(&sig)));
            sum[0] ^= 1;
            kit_refused(cx,
                        mln_akey_verify(cx, quick[i], mln_buf_bytes(&p.pub), &how, digest,
                                        mln_buf_bytes(&sig)),
                        MLN_E_FORGED);
            sum[0] ^= 1;
            sig.ptr[sig.len - 1] ^= 1;
            kit_refused(cx,
                        mln_akey_verify(cx, quick[i], mln_buf_bytes(&p.pub), &how, digest,
                                        mln_buf_bytes(&sig)),
                        MLN_E_FORGED);
            kit_refused(
                cx,
                mln_akey_verify(cx, quick[i], mln_buf_bytes(&p.pub), &how, digest, MLN_BYTES_NONE),
                MLN_E_FORGED);
        }
    }
}

static void test_salts(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        int salt, other;
        enum mln_code want, verify;
    } t[] = {
        {MLN_AKEY_SALT_AUTO, MLN_AKEY_SALT_AUTO, MLN_E_OK, MLN_E_OK},
        {MLN_AKEY_SALT_HASH, MLN_AKEY_SALT_AUTO, MLN_E_OK, MLN_E_OK},
        {MLN_AKEY_SALT_HASH, 32, MLN_E_OK, MLN_E_OK},
        {20, 20, MLN_E_OK, MLN_E_OK},
        {20, 32, MLN_E_OK, MLN_E_FORGED},
        {222, MLN_AKEY_SALT_AUTO, MLN_E_OK, MLN_E_OK}, /* 256 - 32 - 2 */
        {223, MLN_AKEY_SALT_AUTO, MLN_E_INVALID, MLN_E_OK},
    };
    PAIR(p);
    make(cx, MLN_AKEY_RSA2048, &p);
    uint8_t sum[32] = {7};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .salt = t[i].salt};
        MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
        kit_refused(cx,
                    mln_akey_sign(cx, MLN_AKEY_RSA2048, mln_buf_bytes(&p.priv), &how,
                                  mln_bytes_at(sum, 32), &sig),
                    t[i].want);
        how.salt = t[i].other;
        if (t[i].want == MLN_E_OK) {
            kit_refused(cx,
                        mln_akey_verify(cx, MLN_AKEY_RSA2048, mln_buf_bytes(&p.pub), &how,
                                        mln_bytes_at(sum, 32), mln_buf_bytes(&sig)),
                        t[i].verify);
        }
    }
}

static void test_sign_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        enum mln_akey kind;
        struct mln_akey_how how;
        size_t digest;
    } t[] = {
        {MLN_AKEY_P256, {.hash = MLN_HASH_SHA2_256}, 31},
        {MLN_AKEY_P256, {.hash = MLN_HASH_SHA2_256}, 0},
        {MLN_AKEY_P256, {.hash = MLN_HASH_SHA2_512}, 32},
        {MLN_AKEY_P256, {.hash = MLN_HASH_NONE, .is_pkcs1v15 = true}, 32},
        {MLN_AKEY_RSA2048, {.hash = MLN_HASH_NONE}, 32},
        {MLN_AKEY_RSA2048, {.hash = MLN_HASH_NONE, .is_pkcs1v15 = true}, 0},
        {MLN_AKEY_RSA2048,
         {.hash = MLN_HASH_NONE, .is_pkcs1v15 = true},
         246}, /* 256 - 11 is the most */
    };
    uint8_t digest[256] = {0};
    PAIR(ec);
    PAIR(rsa);
    make(cx, MLN_AKEY_P256, &ec);
    make(cx, MLN_AKEY_RSA2048, &rsa);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
        struct mln_bytes priv = mln_buf_bytes(t[i].kind == MLN_AKEY_P256 ? &ec.priv : &rsa.priv);
        kit_refused(
            cx,
            mln_akey_sign(cx, t[i].kind, priv, &t[i].how, mln_bytes_at(digest, t[i].digest), &sig),
            MLN_E_INVALID);
        assert_int_equal(sig.len, 0);
    }
}

static void test_oaep(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    PAIR(p);
    uint8_t big[191] = {1};
    make(cx, MLN_AKEY_RSA2048, &p);
    for (size_t n = 0; n <= 190; n += 95) { /* 256 - 2 * 32 - 2 = 190 is the most */
        MLN_AUTO(mln_buf_drop) struct mln_buf box = {0};
        MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
        kit_ok(cx, mln_akey_oaep_seal(cx, mln_buf_bytes(&p.pub), MLN_HASH_SHA2_256, MLN_BYTES_NONE,
                                      mln_bytes_at(big, n), &box));
        kit_ok(cx, mln_akey_oaep_open(cx, mln_buf_bytes(&p.priv), MLN_HASH_SHA2_256,
                                      mln_buf_bytes(&box), &plain));
        kit_same(cx, mln_buf_bytes(&plain), mln_bytes_at(big, n));
        mln_buf_clear(&plain);
        kit_refused(cx,
                    mln_akey_oaep_open(cx, mln_buf_bytes(&p.priv), MLN_HASH_SHA1,
                                       mln_buf_bytes(&box), &plain),
                    MLN_E_FORGED);
        mln_buf_clear(&box); /* with a label: for somebody else */
        kit_ok(cx, mln_akey_oaep_seal(cx, mln_buf_bytes(&p.pub), MLN_HASH_SHA2_256, MLN_BYTES("x"),
                                      mln_bytes_at(big, n), &box));
        kit_refused(cx,
                    mln_akey_oaep_open(cx, mln_buf_bytes(&p.priv), MLN_HASH_SHA2_256,
                                       mln_buf_bytes(&box), &plain),
                    MLN_E_FORGED);
        mln_buf_clear(&box);
        kit_ok(cx, mln_akey_oaep_seal(cx, mln_buf_bytes(&p.pub), MLN_HASH_SHA2_256, MLN_BYTES_NONE,
                                      mln_bytes_at(big, n), &box));
        box.ptr[17] ^= 1;
        kit_refused(cx,
                    mln_akey_oaep_open(cx, mln_buf_bytes(&p.priv), MLN_HASH_SHA2_256,
                                       mln_buf_bytes(&box), &plain),
                    MLN_E_FORGED);
        kit_refused(cx,
                    mln_akey_oaep_open(cx, mln_buf_bytes(&p.priv), MLN_HASH_SHA2_256,
                                       MLN_BYTES_NONE, &plain),
                    MLN_E_FORGED);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf box = {0};
    kit_refused(cx,
                mln_akey_oaep_seal(cx, mln_buf_bytes(&p.pub), MLN_HASH_SHA2_256, MLN_BYTES_NONE,
                                   mln_bytes_at(big, 191), &box),
                MLN_E_INVALID);
}

/* PKCS #8 by OpenSSL of what is kept here. */
static struct mln_bytes pkcs8_of(struct mln_cx *cx, bool is_rsa, struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    uint8_t *out = NULL;
    EVP_PKEY *key = d2i_PrivateKey(is_rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, NULL, &at, (long)der.len);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int n = i2d_PKCS8_PRIV_KEY_INFO(info, &out);
    struct mln_bytes copy = mln_bytes_dup(cx, mln_bytes_at(out, (size_t)n));
    OPENSSL_free(out);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
    return copy;
}

static void test_take(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(quick); i++) {
        PAIR(p);
        PAIR(again);
        PAIR(third);
        again.priv.is_secret = third.priv.is_secret = true;
        make(cx, quick[i], &p);
        struct mln_bytes der = pkcs8_of(cx, mln_akey_is_rsa(quick[i]), mln_buf_bytes(&p.priv));
        kit_ok(cx, mln_akey_from_pkcs8(cx, quick[i], der, &again.priv, &again.pub));
        kit_same(cx, mln_buf_bytes(&again.priv), mln_buf_bytes(&p.priv));
        kit_same(cx, mln_buf_bytes(&again.pub), mln_buf_bytes(&p.pub));
        kit_ok(cx, mln_akey_from_private(cx, quick[i], mln_buf_bytes(&p.priv), &third.priv,
                                         &third.pub));
        kit_same(cx, mln_buf_bytes(&third.pub), mln_buf_bytes(&p.pub));
        kit_ok(cx, mln_akey_check_public(cx, quick[i], mln_buf_bytes(&p.pub)));
        PAIR(none);
        none.priv.is_secret = true;
        enum mln_akey other = quick[(i + 1) % MLN_COUNT(quick)];
        kit_refused(cx, mln_akey_from_pkcs8(cx, other, der, &none.priv, &none.pub), MLN_E_INVALID);
        kit_refused(cx, mln_akey_check_public(cx, other, mln_buf_bytes(&p.pub)), MLN_E_INVALID);
        for (size_t cut = 0; cut < der.len; cut += 1 + der.len / 50) {
            kit_refused(cx,
                        mln_akey_from_pkcs8(cx, quick[i], mln_bytes_sub(der, 0, cut), &none.priv,
                                            &none.pub),
                        MLN_E_PARSE);
        }
        struct mln_bytes longer = mln_bytes_format(cx, "%*s", (int)der.len + 1, "");
        mln_copy((uint8_t *)(uintptr_t)longer.ptr, der.ptr, der.len);
        kit_refused(cx, mln_akey_from_pkcs8(cx, quick[i], longer, &none.priv, &none.pub),
                    MLN_E_PARSE);
        kit_refused(cx,
                    mln_akey_check_public(cx, quick[i],
                                          mln_bytes_sub(mln_buf_bytes(&p.pub), 0, p.pub.len - 1)),
                    MLN_E_PARSE);
        kit_refused(cx, mln_akey_check_public(cx, quick[i], MLN_BYTES_NONE), MLN_E_PARSE);
        assert_int_equal(none.priv.len, 0);
    }
}

/* RFC 8410 section 10.3 */
static void test_ed25519_pkcs8(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes der = kit_hex(cx, "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f76"
                                       "9f8ad3afe7c28cbf1d4fbe097a88f44755842");
    uint8_t seed[32];
    kit_ok(cx, mln_ed25519_from_pkcs8(cx, der, seed));
    kit_same(cx, mln_bytes_at(seed, 32), mln_bytes_from(der, 16));
    kit_refused(cx, mln_ed25519_from_pkcs8(cx, mln_bytes_sub(der, 0, 47), seed), MLN_E_PARSE);
    PAIR(p);
    make(cx, MLN_AKEY_P256, &p);
    kit_refused(cx, mln_ed25519_from_pkcs8(cx, pkcs8_of(cx, false, mln_buf_bytes(&p.priv)), seed),
                MLN_E_INVALID);
}

static void test_forget(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    PAIR(p);
    uint8_t digest[32] = {1};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256};
    make(cx, MLN_AKEY_P384, &p);
    for (size_t i = 0; i < 3; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
        kit_ok(cx, mln_akey_sign(cx, MLN_AKEY_P384, mln_buf_bytes(&p.priv), &how,
                                 mln_bytes_at(digest, 32), &sig));
        mln_crypto_forget();
        kit_ok(cx, mln_akey_verify(cx, MLN_AKEY_P384, mln_buf_bytes(&p.pub), &how,
                                   mln_bytes_at(digest, 32), mln_buf_bytes(&sig)));
    }
}

/* More keys than a thread keeps. */
static void test_many(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p[12] = {0};
    uint8_t digest[32] = {1};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256};
    for (size_t i = 0; i < MLN_COUNT(p); i++) {
        make(cx, MLN_AKEY_P256, &p[i]);
    }
    for (size_t i = 0; i < 3 * MLN_COUNT(p); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
        struct pair *a = &p[i % MLN_COUNT(p)], *b = &p[(i + 1) % MLN_COUNT(p)];
        kit_ok(cx, mln_akey_sign(cx, MLN_AKEY_P256, mln_buf_bytes(&a->priv), &how,
                                 mln_bytes_at(digest, 32), &sig));
        kit_ok(cx, mln_akey_verify(cx, MLN_AKEY_P256, mln_buf_bytes(&a->pub), &how,
                                   mln_bytes_at(digest, 32), mln_buf_bytes(&sig)));
        kit_refused(cx,
                    mln_akey_verify(cx, MLN_AKEY_P256, mln_buf_bytes(&b->pub), &how,
                                    mln_bytes_at(digest, 32), mln_buf_bytes(&sig)),
                    MLN_E_FORGED);
    }
    for (size_t i = 0; i < MLN_COUNT(p); i++) {
        pair_drop(&p[i]);
    }
}

static void test_pem(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    struct mln_bytes in =
        MLN_BYTES("The quick brown fox jumps over the lazy dog, again and again.");
    kit_ok(cx, mln_pem_print(cx, "TEST", in, &pem));
    kit_text(
        mln_buf_bytes(&pem),
        "-----BEGIN TEST-----\nVGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZywgYWdh\n"
        "aW4gYW5kIGFnYWluLg==\n-----END TEST-----\n");
    kit_ok(cx, mln_pem_read(cx, "TEST", mln_buf_bytes(&pem), &der));
    kit_same(cx, mln_buf_bytes(&der), in);
    static const char *const bad[] = {
        "",
        "-----BEGIN TEST-----",
        "-----BEGIN TEST-----\nYQ==\n",
        "-----END TEST-----\n-----BEGIN TEST-----\nYQ==",
        "-----BEGIN OTHER-----\nYQ==\n-----END OTHER-----\n",
        "-----BEGIN TEST-----\nY Q==\n-----END TEST-----\n",
        "-----BEGIN TEST-----\nYR==\n-----END TEST-----\n",
    };
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        mln_buf_clear(&der);
        kit_refused(cx, mln_pem_read(cx, "TEST", mln_bytes_of(bad[i]), &der), MLN_E_PARSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_sign),   KIT_TEST(test_salts), KIT_TEST(test_sign_refused),
        KIT_TEST(test_oaep),   KIT_TEST(test_take),  KIT_TEST(test_ed25519_pkcs8),
        KIT_TEST(test_forget), KIT_TEST(test_many),  KIT_TEST(test_pem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
