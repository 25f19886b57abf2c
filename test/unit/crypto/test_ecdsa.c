/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 6979 A.2.5 (keys and a signature), OpenSSL's own P-384 and P-521 signatures, hostile keys and
 * encodings.
 */
#include "kit/kit.h"

#include <openssl/evp.h>

#include "crypto/crypto.h"

#define X "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
#define POINT                                                                                      \
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e956" \
    "28bc64f2f1b20c2d7e9f5"                                                                        \
    "177a3c294d4462299"
#define R     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define S     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

static void test_known(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t point[65];
    kit_ok(cx, mln_p256_public(cx, kit_hex(cx, X).ptr, point));
    kit_same(cx, mln_bytes_at(point, 65), kit_hex(cx, POINT));
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    kit_ok(cx, mln_ecdsa_raw_to_der(cx, kit_hex(cx, R S), &der));
    uint8_t digest[32];
    mln_sha256(MLN_BYTES("sample"), digest);
    kit_ok(cx, mln_p256_verify_digest(cx, point, digest, mln_buf_bytes(&der)));
    kit_ok(cx, mln_ecdsa_der_to_raw(cx, mln_buf_bytes(&der), 32, &raw));
    kit_same(cx, mln_buf_bytes(&raw), kit_hex(cx, R S));
    for (size_t i = 0; i < der.len; i++) {
        der.ptr[i] ^= 1;
        kit_refused(cx, mln_p256_verify_digest(cx, point, digest, mln_buf_bytes(&der)),
                    MLN_E_FORGED);
        der.ptr[i] ^= 1;
    }
    digest[0] ^= 1;
    kit_refused(cx, mln_p256_verify_digest(cx, point, digest, mln_buf_bytes(&der)), MLN_E_FORGED);
}

static void test_round_trip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t digest[32] = {9, 8, 7};
    for (size_t i = 0; i < 12; i++) {
        uint8_t scalar[32];
        uint8_t point[65];
        uint8_t again[65];
        kit_ok(cx, mln_p256_generate(cx, scalar, point));
        kit_ok(cx, mln_p256_public(cx, scalar, again));
        assert_memory_equal(point, again, 65);
        for (size_t round = 0; round < 3; round++) {
            MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
            MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
            MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
            kit_ok(cx, mln_p256_sign_digest(cx, scalar, digest, &sig));
            kit_ok(cx, mln_p256_verify_digest(cx, point, digest, mln_buf_bytes(&sig)));
            kit_ok(cx, mln_ecdsa_der_to_raw(cx, mln_buf_bytes(&sig), 32, &raw));
            kit_ok(cx, mln_ecdsa_raw_to_der(cx, mln_buf_bytes(&raw), &der));
            kit_same(cx, mln_buf_bytes(&der), mln_buf_bytes(&sig));
            if (round == 1) {
                mln_crypto_forget();
            }
        }
    }
}

/* Made by `openssl dgst -sign` over "merlon". */
static const struct {
    const char *md, *point, *der;
} larger[] = {
    {"SHA384",
     "04359119ef01c181e9a8a6f5c965413fb3ac97b0d34b597be08a8afe5921aa948acd9efce0faf800d2695877634cd"
     "2c18ba637c3a66e09564"
     "347838ca6d169d5339886e7b0a3d82cbf8ad710dcb1b69576cf2bca6ac741114b8041eeb623580c50",
     "3066023100c4d25f8fa800a11ed8969f009402aa5c498be5bff358aceaf4de4ece24d5fcb66753db8ac2c624ba81e"
     "8ae8d0618c4e1023100b"
     "42c4591c9d486fec2d729a9f0f3dafe747a30574e2a540f4f4a8fd55d486a9816b11d780688e6c6d65df82d256a10"
     "33"},
    {"SHA512",
     "0401655a08be403563308fd6f6a668e08e0bbd03c953ce11a3bdb51239011301d2d4255f67c90b562e3f9ffab90d9"
     "4360af4d9adeac974503"
     "0dd24a2635af529015c12000343cbaa4fe6996527736a550ce57ceb15205951ee04c38f00815e73d458ad9f2a5653"
     "ee2b12f09bd5380166a5"
     "f86e0283607995d8c305a42fddfd01ae46c79e36",
     "3081880242013f309d1ff6cf1b6e7344fccd441b92c727b3c4469265c9e4ae21919fa7f6f09057333860da1cc62f5"
     "e754c065b1272c9118f9"
     "3fca88fa3c50582cb4076da695b27024201b10a6dbf235ab1bdd472675d869e674b18d5b82c9b8d738e54deeb6e71"
     "7db9e65502d1a1a1d2e1"
     "1dd42d98a6047a854eef95a9864412452e7fcb5a70e07bdf439c"},
};

static void test_larger_curves(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(larger); i++) {
        uint8_t digest[64];
        size_t n = 0;
        assert_int_equal(EVP_Q_digest(NULL, larger[i].md, NULL, "merlon", 6, digest, &n), 1);
        struct mln_bytes point = kit_hex(cx, larger[i].point);
        struct mln_bytes der = kit_hex(cx, larger[i].der);
        kit_ok(cx, mln_ec_verify_digest(cx, point, mln_bytes_at(digest, n), der));
        MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
        MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
        kit_ok(cx, mln_ecdsa_der_to_raw(cx, der, (point.len - 1) / 2, &raw));
        kit_ok(cx, mln_ecdsa_raw_to_der(cx, mln_buf_bytes(&raw), &again));
        kit_same(cx, mln_buf_bytes(&again), der);
        digest[5] ^= 4;
        kit_refused(cx, mln_ec_verify_digest(cx, point, mln_bytes_at(digest, n), der),
                    MLN_E_FORGED);
        digest[5] ^= 4;
        uint8_t off_curve[133];
        mln_copy(off_curve, point.ptr, point.len);
        off_curve[point.len - 1] ^= 1;
        kit_refused(cx,
                    mln_ec_verify_digest(cx, mln_bytes_at(off_curve, point.len),
                                         mln_bytes_at(digest, n), der),
                    MLN_E_INVALID);
        kit_refused(cx,
                    mln_ec_verify_digest(cx, mln_bytes_sub(point, 0, point.len - 1),
                                         mln_bytes_at(digest, n), der),
                    MLN_E_INVALID);
        kit_refused(cx, mln_ec_verify_digest(cx, point, mln_bytes_at(digest, 19), der),
                    MLN_E_INVALID);
    }
}

static const struct {
    const char *name, *scalar;
    enum mln_code want;
} scalars[] = {
    {"zero", "0000000000000000000000000000000000000000000000000000000000000000", MLN_E_INVALID},
    {"one", "0000000000000000000000000000000000000000000000000000000000000001", MLN_E_OK},
    {"order - 1", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", MLN_E_OK},
    {"order", ORDER, MLN_E_INVALID},
    {"order + 1", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552",
     MLN_E_INVALID},
    {"all ones", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", MLN_E_INVALID},
};

static void test_scalars(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(scalars); i++) {
        const uint8_t *scalar = kit_hex(cx, scalars[i].scalar).ptr;
        uint8_t point[65];
        uint8_t digest[32] = {1};
        MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
        kit_expect(cx, scalars[i].name, mln_p256_public(cx, scalar, point), scalars[i].want);
        kit_expect(cx, scalars[i].name, mln_p256_sign_digest(cx, scalar, digest, &sig),
                   scalars[i].want);
        if (scalars[i].want == MLN_E_OK) {
            kit_ok(cx, mln_p256_verify_digest(cx, point, digest, mln_buf_bytes(&sig)));
        }
    }
}

static const struct {
    const char *name, *der;
    enum mln_code want;
} ders[] = {
    {"smallest", "3006020101020101", MLN_E_OK},
    {"empty", "", MLN_E_PARSE},
    {"bytes behind", "300602010102010100", MLN_E_PARSE},
    {"long length form", "308106020101020101", MLN_E_PARSE},
    {"padded r", "300702020001020101", MLN_E_PARSE},
    {"negative r", "3006020181020101", MLN_E_PARSE},
    {"cut short", "30060201010201", MLN_E_PARSE},
    {"no sequence", "020101", MLN_E_PARSE},
    {"r too long",
     "300802030100000201"
     "01",
     MLN_E_PARSE},
};

static void test_der(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(ders); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
        kit_expect(cx, ders[i].name, mln_ecdsa_der_to_raw(cx, kit_hex(cx, ders[i].der), 2, &raw),
                   ders[i].want);
        assert_int_equal(raw.len, ders[i].want == MLN_E_OK ? 4 : 0);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    kit_refused(cx, mln_ecdsa_raw_to_der(cx, MLN_BYTES("abc"), &der), MLN_E_PARSE);
    kit_refused(cx, mln_ecdsa_raw_to_der(cx, MLN_BYTES_NONE, &der), MLN_E_PARSE);
    kit_refused(cx, mln_ecdsa_der_to_raw(cx, MLN_BYTES("abc"), 67, &der), MLN_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_known),   KIT_TEST(test_round_trip), KIT_TEST(test_larger_curves),
        KIT_TEST(test_scalars), KIT_TEST(test_der),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
