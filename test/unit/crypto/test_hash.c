/* SPDX-License-Identifier: Apache-2.0 */
/* FIPS 180-4 examples, RFC 4231 (HMAC), RFC 5869 (HKDF), and the ways of feeding one digest. */
#include "kit/kit.h"

#include "crypto/crypto.h"

static const struct {
    const char *text, *want;
} sha_rows[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_sha256(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(sha_rows); i++) {
        struct mln_bytes text = mln_bytes_of(sha_rows[i].text);
        uint8_t out[32];
        mln_sha256(text, out);
        kit_same(cx, mln_bytes_at(out, 32), kit_hex(cx, sha_rows[i].want));
        for (size_t cut = 0; cut <= text.len; cut++) {
            uint8_t again[32];
            mln_sha256_2(mln_bytes_sub(text, 0, cut), mln_bytes_from(text, cut), again);
            kit_same(cx, mln_bytes_at(again, 32), mln_bytes_at(out, 32));
        }
    }
}

static void test_stream(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t block[1000];
    mln_fill(block, 'a', sizeof(block));
    struct mln_sha256_stream s = {0};
    kit_ok(cx, mln_sha256_begin(cx, &s));
    for (size_t i = 0; i < 1000; i++) {
        mln_sha256_update(&s, block, sizeof(block));
    }
    mln_sha256_update(&s, NULL, 0);
    uint8_t out[32];
    mln_sha256_end(&s, out);
    assert_null(s.ctx);
    kit_same(cx, mln_bytes_at(out, 32), /* a million times "a": FIPS 180-4 */
             kit_hex(cx, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
}

static const struct {
    const char *key_hex, *text, *want;
} hmac_rows[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {NULL /* 131 times aa */, "Test Using Larger Than Block-Size Key - Hash Key First",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
};

static void test_hmac(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t longest[131];
    mln_fill(longest, 0xaa, sizeof(longest));
    for (size_t i = 0; i < MLN_COUNT(hmac_rows); i++) {
        const char *hex = hmac_rows[i].key_hex;
        struct mln_bytes key =
            hex != NULL ? kit_hex(cx, hex) : mln_bytes_at(longest, sizeof(longest));
        uint8_t out[32];
        mln_hmac_sha256(key, mln_bytes_of(hmac_rows[i].text), out);
        kit_same(cx, mln_bytes_at(out, 32), kit_hex(cx, hmac_rows[i].want));
        struct mln_hmac_key set;
        mln_hmac_key_set(&set, key);
        for (int again = 0; again < 2; again++) {
            mln_hmac_by(&set, mln_bytes_of(hmac_rows[i].text), out);
            kit_same(cx, mln_bytes_at(out, 32), kit_hex(cx, hmac_rows[i].want));
        }
    }
}

static const struct {
    const char *ikm, *salt, *info, *want;
} hkdf_rows[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
     "f0f1f2f3f4f5f6f7f8f9",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2"
     "e2f"
     "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
     "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8"
     "e8f"
     "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcddd"
     "edf"
     "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590"
     "e09"
     "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

static void test_hkdf(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(hkdf_rows); i++) {
        struct mln_bytes want = kit_hex(cx, hkdf_rows[i].want);
        uint8_t out[128];
        mln_hkdf_sha256(kit_hex(cx, hkdf_rows[i].ikm), kit_hex(cx, hkdf_rows[i].salt),
                        kit_hex(cx, hkdf_rows[i].info), out, want.len);
        kit_same(cx, mln_bytes_at(out, want.len), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_sha256),
        KIT_TEST(test_stream),
        KIT_TEST(test_hmac),
        KIT_TEST(test_hkdf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
