/* SPDX-License-Identifier: Apache-2.0 */
/* AES-KWP against OpenSSL's wrapping; changed, cut and foreign boxes. RFC 5649 itself has vectors of AES-192 only. */
#include "kit/kit.h"

#include <openssl/evp.h>

#include "crypto/crypto.h"

static size_t wrap(const uint8_t key[32], struct mln_bytes in, uint8_t *out)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    assert_int_equal(EVP_EncryptInit_ex2(ctx, cipher, key, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in.ptr, (int)in.len), 1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return (size_t)n;
}

static void test_round(void **state)
{
    static const size_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 138, 1218, 2400};
    struct mln_cx *cx = kit_cx(state);
    uint8_t key[32], in[2400], box[2432];
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)(i * 7 + 1);
    }
    mln_fill(key, 0x42, sizeof(key));
    for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
        size_t n = wrap(key, mln_bytes_at(in, sizes[i]), box);
        kit_ok(cx, mln_aes_kwp_open(cx, key, mln_bytes_at(box, n), &plain));
        kit_same(cx, mln_buf_bytes(&plain), mln_bytes_at(in, sizes[i]));
    }
}

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t key[32] = {1}, other[32] = {2}, in[32] = {3}, box[64];
    size_t n = wrap(key, mln_bytes_at(in, sizeof(in)), box);
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    for (size_t bit = 0; bit < n * 8; bit++) {
        box[bit / 8] ^= (uint8_t)(1u << bit % 8);
        kit_refused(cx, mln_aes_kwp_open(cx, key, mln_bytes_at(box, n), &plain), MLN_E_FORGED);
        box[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < n; cut++) {
        kit_refused(cx, mln_aes_kwp_open(cx, key, mln_bytes_at(box, cut), &plain), MLN_E_FORGED);
    }
    kit_refused(cx, mln_aes_kwp_open(cx, other, mln_bytes_at(box, n), &plain), MLN_E_FORGED);
    assert_int_equal(plain.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_round), KIT_TEST(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
