/* SPDX-License-Identifier: Apache-2.0 */
/* XChaCha20-Poly1305: the vector of draft-irtf-cfrg-xchacha-03 appendix A.3.1; AES-128-GCM: test case 4; every changed bit. */
#include "kit/kit.h"

#include "crypto/crypto.h"

typedef struct mln_err aead_fn(struct mln_cx *cx, const uint8_t *key, const uint8_t *nonce,
                               struct mln_bytes aad, struct mln_bytes in, uint8_t *out);

static const struct {
    const char *name;
    aead_fn *seal, *open;
    const char *key, *nonce, *aad, *plain, *box;
} t[] = {
    {"xchacha", mln_xchacha_seal, mln_xchacha_open,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "404142434445464748494a4b4c4d4e4f5051525354555657", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a20496620492"
     "0636f756c64"
     "206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e7363726"
     "5656e20776f"
     "756c642062652069742e",
     "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7"
     "e39ae64c670"
     "8c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f96"
     "64c97637da9"
     "768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"},
    {"aes128", mln_aes128_gcm_seal, mln_aes128_gcm_open, "feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b"
     "525b16aedf5"
     "aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84a"
     "a051ba30b39"
     "6a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"},
};

static void test_known(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        uint8_t box[256], plain[256];
        struct mln_bytes key = kit_hex(cx, t[i].key), nonce = kit_hex(cx, t[i].nonce),
                         aad = kit_hex(cx, t[i].aad);
        struct mln_bytes text = kit_hex(cx, t[i].plain), want = kit_hex(cx, t[i].box);
        kit_expect(cx, t[i].name, t[i].seal(cx, key.ptr, nonce.ptr, aad, text, box), MLN_E_OK);
        kit_same(cx, mln_bytes_at(box, want.len), want);
        kit_expect(cx, t[i].name, t[i].open(cx, key.ptr, nonce.ptr, aad, want, plain), MLN_E_OK);
        kit_same(cx, mln_bytes_at(plain, text.len), text);
    }
}

static void test_changed(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes key = kit_hex(cx, t[i].key), nonce = kit_hex(cx, t[i].nonce),
                         aad = kit_hex(cx, t[i].aad);
        struct mln_bytes box = kit_hex(cx, t[i].box);
        uint8_t changed[256], plain[256], zero[256] = {0};
        for (size_t bit = 0; bit < box.len * 8; bit++) {
            mln_copy(changed, box.ptr, box.len);
            changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            kit_refused(
                cx, t[i].open(cx, key.ptr, nonce.ptr, aad, mln_bytes_at(changed, box.len), plain),
                MLN_E_FORGED);
            assert_memory_equal(plain, zero, box.len - MLN_GCM_TAG_BYTES);
        }
        kit_refused(cx, t[i].open(cx, key.ptr, nonce.ptr, MLN_BYTES_NONE, box, plain),
                    MLN_E_FORGED);
        for (size_t n = 0; n < MLN_GCM_TAG_BYTES; n++) {
            kit_refused(cx, t[i].open(cx, key.ptr, nonce.ptr, aad, mln_bytes_sub(box, 0, n), plain),
                        MLN_E_FORGED);
        }
    }
}

static void test_empty(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        uint8_t box[16], plain[1];
        struct mln_bytes key = kit_hex(cx, t[i].key), nonce = kit_hex(cx, t[i].nonce);
        kit_ok(cx, t[i].seal(cx, key.ptr, nonce.ptr, MLN_BYTES_NONE, MLN_BYTES_NONE, box));
        kit_ok(cx, t[i].open(cx, key.ptr, nonce.ptr, MLN_BYTES_NONE, mln_bytes_at(box, 16), plain));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_known), KIT_TEST(test_changed),
                                       KIT_TEST(test_empty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
