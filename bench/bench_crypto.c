/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cost of one call of the crypto room and of the barrier's box, beside OpenSSL called without
 * cached contexts.
 */
#include <openssl/evp.h>
#include <stdio.h>

#include "base/clock.h"
#include "crypto/crypto.h"

static uint8_t key[32] = {1}, nonce[24] = {2}, plain[65536], box[65536 + 16], point[65], scalar[32],
               digest[32];
static uint8_t seed[32] = {5}, ed_public[32], ed_signature[64];
static struct mln_buf der;

typedef bool bench_fn(size_t n);

static bool sha256(size_t n)
{
    mln_sha256(mln_bytes_at(plain, n), digest);
    return true;
}

static bool hmac(size_t n)
{
    mln_hmac_sha256(mln_bytes_at(key, 32), mln_bytes_at(plain, n), digest);
    return true;
}

static bool gcm(size_t n)
{
    nonce[0]++;
    return !mln_failed(
        mln_aes_gcm_seal(NULL, key, nonce, MLN_BYTES_NONE, mln_bytes_at(plain, n), box));
}

static bool gcm_naive(size_t n)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int put = 0;
    bool is_ok = EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
                 EVP_EncryptUpdate(ctx, box, &put, plain, (int)n) == 1 &&
                 EVP_EncryptFinal_ex(ctx, box + n, &put) == 1 &&
                 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, box + n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return is_ok;
}

static bool xaes(size_t n)
{
    mln_random(nonce, sizeof(nonce));
    return !mln_failed(
        mln_xaes_seal(NULL, key, nonce, MLN_BYTES("some/key"), mln_bytes_at(plain, n), box));
}

static bool xaes_open(size_t n)
{
    return !mln_failed(
        mln_xaes_open(NULL, key, nonce, MLN_BYTES("some/key"), mln_bytes_at(box, n + 16), plain));
}

static bool chacha(size_t n)
{
    return !mln_failed(
        mln_chacha_seal(NULL, key, nonce, MLN_BYTES_NONE, mln_bytes_at(plain, n), box));
}

static bool p256_sign(size_t n)
{
    (void)n;
    mln_buf_clear(&der);
    return !mln_failed(mln_p256_sign_digest(NULL, scalar, digest, &der));
}

static bool p256_verify(size_t n)
{
    (void)n;
    return !mln_failed(mln_p256_verify_digest(NULL, point, digest, mln_buf_bytes(&der)));
}

static bool ed_sign(size_t n)
{
    mln_ed25519_sign(seed, mln_bytes_at(digest, n), ed_signature);
    return true;
}

static bool ed_verify(size_t n)
{
    return !mln_failed(mln_ed25519_verify(NULL, ed_public, mln_bytes_at(digest, n),
                                          mln_bytes_at(ed_signature, 64)));
}

static const struct {
    const char *name;
    bench_fn *fn;
    size_t n, times;
} rows[] = {
    {"SHA-256", sha256, 32, 1000000},
    {"SHA-256", sha256, 65536, 10000},
    {"HMAC-SHA-256", hmac, 32, 500000},
    {"AES-256-GCM seal", gcm, 32, 1000000},
    {"  without cached contexts", gcm_naive, 32, 300000},
    {"AES-256-GCM seal", gcm, 65536, 10000},
    {"XAES-256-GCM seal", xaes, 32, 1000000},
    {"XAES-256-GCM open", xaes_open, 32, 1000000},
    {"XAES-256-GCM seal", xaes, 65536, 10000},
    {"ChaCha20-Poly1305 seal", chacha, 65536, 10000},
    {"P-256 sign", p256_sign, 32, 10000},
    {"P-256 verify", p256_verify, 32, 5000},
    {"Ed25519 sign", ed_sign, 32, 10000},
    {"Ed25519 verify", ed_verify, 32, 5000},
};

int main(void)
{
    if (mln_failed(mln_p256_generate(NULL, scalar, point))) {
        return 1;
    }
    mln_ed25519_public(seed, ed_public);
    printf("%-28s %8s %12s %10s\n", "call", "bytes", "ns", "MB/s");
    for (size_t r = 0; r < MLN_COUNT(rows); r++) {
        rows[r].fn(rows[r].n);
        int64_t start = mln_cpu_ns();
        for (size_t i = 0; i < rows[r].times; i++) {
            if (!rows[r].fn(rows[r].n)) {
                printf("%s failed\n", rows[r].name);
                return 1;
            }
        }
        double ns = (double)(mln_cpu_ns() - start) / (double)rows[r].times;
        printf("%-28s %8zu %12.0f %10.0f\n", rows[r].name, rows[r].n, ns,
               (double)rows[r].n / ns * 1000);
    }
    mln_buf_drop(&der);
    return 0;
}
