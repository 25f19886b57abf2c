/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869). */
#include "crypto/crypto_priv.h"

#define BLOCK 64

static void digest_begin(struct crypto_thread *t)
{
    MLN_CHECK(EVP_DigestInit_ex2(t->sha256, NULL, NULL) == 1);
}

static void digest_add(struct crypto_thread *t, const void *p, size_t n)
{
    MLN_CHECK(n == 0 || EVP_DigestUpdate(t->sha256, p, n) == 1);
}

static void digest_end(struct crypto_thread *t, uint8_t out[MLN_SHA256_BYTES])
{
    MLN_CHECK(EVP_DigestFinal_ex(t->sha256, out, NULL) == 1);
}

void mln_sha256(struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES])
{
    mln_sha256_2(in, MLN_BYTES_NONE, out);
}

void mln_sha256_2(struct mln_bytes a, struct mln_bytes b, uint8_t out[MLN_SHA256_BYTES])
{
    CRYPTO_ENTER(t);
    digest_begin(t);
    digest_add(t, a.ptr, a.len);
    digest_add(t, b.ptr, b.len);
    digest_end(t, out);
}

/* HMAC over the concatenation of three views, written out: EVP_MAC costs a microsecond a call. */
static void hmac_3(struct mln_bytes key, const struct mln_bytes in[3],
                   uint8_t out[MLN_SHA256_BYTES])
{
    uint8_t pad[BLOCK] = {0};
    if (key.len > BLOCK) {
        mln_sha256(key, pad);
    } else {
        mln_copy(pad, key.ptr, key.len);
    }
    for (size_t i = 0; i < BLOCK; i++) {
        pad[i] ^= 0x36;
    }
    CRYPTO_ENTER(t);
    uint8_t inner[MLN_SHA256_BYTES];
    digest_begin(t);
    digest_add(t, pad, BLOCK);
    for (size_t i = 0; i < 3; i++) {
        digest_add(t, in[i].ptr, in[i].len);
    }
    digest_end(t, inner);
    for (size_t i = 0; i < BLOCK; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    digest_begin(t);
    digest_add(t, pad, BLOCK);
    digest_add(t, inner, sizeof(inner));
    digest_end(t, out);
    mln_wipe(pad, sizeof(pad));
    mln_wipe(inner, sizeof(inner));
}

void mln_hmac_sha256(struct mln_bytes key, struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES])
{
    hmac_3(key, (const struct mln_bytes[3]){in, MLN_BYTES_NONE, MLN_BYTES_NONE}, out);
}

void mln_hkdf_sha256(struct mln_bytes ikm, struct mln_bytes salt, struct mln_bytes info,
                     uint8_t *out, size_t out_n)
{
    MLN_CHECK(out_n <= (size_t)255 * MLN_SHA256_BYTES);
    uint8_t prk[MLN_SHA256_BYTES];
    uint8_t t[MLN_SHA256_BYTES];
    mln_hmac_sha256(salt, ikm, prk); /* an empty salt and 32 zero bytes give the same HMAC key */
    size_t done = 0;
    for (uint8_t i = 1; done < out_n; i++) {
        struct mln_bytes before = done == 0 ? MLN_BYTES_NONE : mln_bytes_at(t, sizeof(t));
        hmac_3(mln_bytes_at(prk, sizeof(prk)),
               (const struct mln_bytes[3]){before, info, mln_bytes_at(&i, 1)}, t);
        size_t n = out_n - done < sizeof(t) ? out_n - done : sizeof(t);
        mln_copy(out + done, t, n);
        done += n;
    }
    mln_wipe(prk, sizeof(prk));
    mln_wipe(t, sizeof(t));
}

struct mln_err mln_sha256_begin(struct mln_cx *cx, struct mln_sha256_stream *s)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex2(ctx, crypto_algorithms()->sha256, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    s->ctx = ctx;
    return MLN_OK;
}

void mln_sha256_update(struct mln_sha256_stream *s, const void *p, size_t n)
{
    MLN_CHECK(n == 0 || EVP_DigestUpdate(s->ctx, p, n) == 1);
}

void mln_sha256_end(struct mln_sha256_stream *s, uint8_t out[MLN_SHA256_BYTES])
{
    MLN_CHECK(EVP_DigestFinal_ex(s->ctx, out, NULL) == 1);
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;
}
