/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GCM test cases 13-16 (McGrew, Viega), C2SP XAES-256-GCM vectors with the accumulated one, RFC
 * 8439; every changed bit.
 */
#include "kit/kit.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "base/clock.h"
#include "crypto/crypto.h"

typedef struct mln_err aead_fn(struct mln_cx *cx, const uint8_t *key, const uint8_t *nonce,
                               struct mln_bytes aad, struct mln_bytes in, uint8_t *out);

static const struct kind {
    const char *name;
    aead_fn *seal, *open;
    size_t nonce_n;
} kinds[] = {
    {"gcm", mln_aes_gcm_seal, mln_aes_gcm_open, 12},
    {"xaes", mln_xaes_seal, mln_xaes_open, 24},
    {"chacha", mln_chacha_seal, mln_chacha_open, 12},
};
enum { GCM, XAES, CHACHA };

#define ONES     "0101010101010101010101010101010101010101010101010101010101010101"
#define THREES   "0303030303030303030303030303030303030303030303030303030303030303"
#define ZERO12   "000000000000000000000000"
#define ZERO16   "00000000000000000000000000000000"
#define ALPHABET "4142434445464748494a4b4c4d4e4f505152535455565758"

static const struct {
    int kind;
    const char *key, *nonce, *aad, *plain, *box;
} known[] = {
    {GCM, ZERO16 ZERO16, ZERO12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {GCM, ZERO16 ZERO16, ZERO12, "", ZERO16,
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
    {XAES, ONES, ALPHABET, "", "584145532d3235362d47434d",
     "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
    {XAES, THREES, ALPHABET, "633273702e6f72672f584145532d3235362d47434d",
     "584145532d3235362d47434d", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
    {CHACHA, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a20496620492"
     "0636f756c6420"
     "6f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e736372656"
     "56e20776f756c"
     "642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da927"
     "28b1a71de0a9e"
     "060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def"
     "08e4b7a9de576"
     "d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
};

static void test_known(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        const struct kind *k = &kinds[known[i].kind];
        struct mln_bytes key = kit_hex(cx, known[i].key);
        struct mln_bytes nonce = kit_hex(cx, known[i].nonce);
        struct mln_bytes aad = kit_hex(cx, known[i].aad);
        struct mln_bytes plain = kit_hex(cx, known[i].plain);
        struct mln_bytes box = kit_hex(cx, known[i].box);
        uint8_t out[256];
        assert_int_equal(nonce.len, k->nonce_n);
        kit_ok(cx, k->seal(cx, key.ptr, nonce.ptr, aad, plain, out));
        kit_same(cx, mln_bytes_at(out, plain.len + 16), box);
        kit_ok(cx, k->open(cx, key.ptr, nonce.ptr, aad, box, out));
        kit_same(cx, mln_bytes_at(out, plain.len), plain);
    }
}

/*
 * The C2SP accumulated vector: 10,000 random calls drawn from SHAKE128, results hashed by another.
 */
static void test_xaes_accumulated(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const size_t stream_n = (size_t)6 << 20;
    uint8_t *stream = mln_alloc(stream_n);
    EVP_MD_CTX *in = EVP_MD_CTX_new();
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    assert_true(EVP_DigestInit_ex(in, EVP_shake128(), NULL) == 1 &&
                EVP_DigestInit_ex(sum, EVP_shake128(), NULL) == 1);
    assert_int_equal(EVP_DigestFinalXOF(in, stream, stream_n), 1);
    struct mln_reader r = mln_reader_of(mln_bytes_at(stream, stream_n));
    uint8_t box[512];
    uint8_t plain_again[256];
    for (size_t i = 0; i < 10000; i++) {
        const uint8_t *key = mln_read_bytes(&r, 32).ptr;
        const uint8_t *nonce = mln_read_bytes(&r, 24).ptr;
        struct mln_bytes plain = mln_read_bytes(&r, mln_read_u8(&r));
        struct mln_bytes aad = mln_read_bytes(&r, mln_read_u8(&r));
        assert_false(mln_failed(mln_xaes_seal(cx, key, nonce, aad, plain, box)));
        EVP_DigestUpdate(sum, box, plain.len + 16);
        assert_false(mln_failed(
            mln_xaes_open(cx, key, nonce, aad, mln_bytes_at(box, plain.len + 16), plain_again)));
        assert_true(mln_same(plain_again, plain.ptr, plain.len));
    }
    assert_false(r.is_short);
    uint8_t out[32];
    EVP_DigestFinalXOF(sum, out, sizeof(out));
    kit_same(cx, mln_bytes_at(out, 32),
             kit_hex(cx, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"));
    EVP_MD_CTX_free(in);
    EVP_MD_CTX_free(sum);
    mln_free(stream);
}

/* Any changed bit of box, key, nonce or associated data is FORGED and leaves a zeroed output. */
static void test_changes(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        const struct kind *k = &kinds[i];
        uint8_t all[32 + 24 + 5 + 9 + 16] = {1, 2, 3};
        uint8_t *key = all, *nonce = all + 32, *aad = all + 56, *box = all + 61;
        uint8_t plain[9] = {'m', 'e', 'r', 'l', 'o', 'n', 1, 2, 3};
        kit_ok(cx, k->seal(cx, key, nonce, mln_bytes_at(aad, 5), mln_bytes_at(plain, 9), box));
        for (size_t bit = 0; bit < 8 * sizeof(all); bit++) {
            bool is_unused = bit / 8 >= 32 + k->nonce_n && bit / 8 < 56;
            uint8_t out[9];
            mln_fill(out, 0x55, sizeof(out));
            all[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct mln_err err =
                k->open(cx, key, nonce, mln_bytes_at(aad, 5), mln_bytes_at(box, 25), out);
            kit_expect(cx, k->name, err, is_unused ? MLN_E_OK : MLN_E_FORGED);
            uint8_t zero[9] = {0};
            assert_memory_equal(out, is_unused ? plain : zero, 9);
            all[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        uint8_t out[9];
        for (size_t n = 0; n < 25; n++) {
            kit_refused(cx,
                        k->open(cx, key, nonce, mln_bytes_at(aad, 5), mln_bytes_at(box, n), out),
                        MLN_E_FORGED);
        }
        kit_ok(cx, k->open(cx, key, nonce, mln_bytes_at(aad, 5), mln_bytes_at(box, 25), out));
    }
}

/* More long-term keys than a thread caches, in turn, and after a forget. */
static void test_many_keys(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t boxes[9][20];
    uint8_t nonce[24] = {7};
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 9; i++) {
            uint8_t key[32] = {(uint8_t)i};
            uint8_t box[20];
            kit_ok(cx, mln_xaes_seal(cx, key, nonce, MLN_BYTES_NONE, MLN_BYTES("four"), box));
            if (round > 0) {
                assert_memory_equal(box, boxes[i], sizeof(box));
            }
            mln_copy(boxes[i], box, sizeof(box));
        }
        mln_crypto_forget();
    }
}

/*
 * Two keys in turn with refused calls in between: a kept key schedule is never used for the other
 * key.
 */
static void test_kept_keys(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t keys[2][32] = {{1}, {2}};
    uint8_t nonce[24] = {3};
    uint8_t out[32];
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        uint8_t boxes[2][20];
        for (size_t k = 0; k < 2; k++) {
            mln_crypto_forget(); /* sealed by fresh contexts */
            kit_ok(cx,
                   kinds[i].seal(cx, keys[k], nonce, MLN_BYTES_NONE, MLN_BYTES("four"), boxes[k]));
        }
        for (size_t step = 0; step < 64; step++) { /* all orders of three steps, at both keys */
            for (size_t bits = step, n = 0; n < 3; n++, bits >>= 2) {
                size_t k = bits & 1;
                struct mln_bytes box = mln_bytes_at(boxes[k], 20);
                if (bits & 2) {
                    struct mln_bytes wrong =
                        step % 2 == 0 ? mln_bytes_sub(box, 0, 9) : mln_bytes_at(boxes[!k], 20);
                    kit_refused(cx, kinds[i].open(cx, keys[k], nonce, MLN_BYTES_NONE, wrong, out),
                                MLN_E_FORGED);
                }
                kit_ok(cx, kinds[i].open(cx, keys[k], nonce, MLN_BYTES_NONE, box, out));
                kit_ok(cx,
                       kinds[i].seal(cx, keys[k], nonce, MLN_BYTES_NONE, MLN_BYTES("four"), out));
                kit_same(cx, mln_bytes_at(out, 20), box);
            }
        }
    }
}

static void *seal_for_a_while(void *arg)
{
    struct mln_cx *cx = kit_cx_new();
    uint8_t key[32] = {*(uint8_t *)arg};
    uint8_t box[64];
    uint8_t plain[48];
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t nonce[24];
        mln_random(nonce, sizeof(nonce));
        bool is_bad =
            mln_failed(
                mln_xaes_seal(cx, key, nonce, MLN_BYTES("a"), mln_bytes_at(plain, 48), box)) ||
            mln_failed(mln_xaes_open(cx, key, nonce, MLN_BYTES("a"), mln_bytes_at(box, 64), plain));
        if (is_bad) {
            *(uint8_t *)arg = 0;
        }
    }
    kit_cx_free(cx);
    return NULL;
}

static void test_forget_beside_running_calls(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint8_t args[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, seal_for_a_while, &args[i]), 0);
    }
    for (size_t i = 0; i < 200; i++) {
        mln_crypto_forget();
        mln_sleep_ns(100000);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_not_equal(args[i], 0);
    }
    mln_crypto_forget(); /* the ended threads are no longer in the registry */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_known),     KIT_TEST(test_xaes_accumulated),
        KIT_TEST(test_changes),   KIT_TEST(test_many_keys),
        KIT_TEST(test_kept_keys), KIT_TEST(test_forget_beside_running_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
