/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869). */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_*: see one_shot */
#include <openssl/sha.h>

#include "crypto/crypto_priv.h"

#define BLOCK 64

/*
 * Short inputs are the rule here (tokens, digests of requests, nodes of trees), and EVP costs more than hashing them: 193 ns for 32
 * bytes against 60. OpenSSL keeps the plain calls, with the same code for SHA-NI behind them; they are marked as old, not as wrong.
 */
static void one_shot(SHA256_CTX *ctx, const struct mln_bytes *in, size_t n, uint8_t out[MLN_SHA256_BYTES])
{
    for (size_t i = 0; i < n; i++) {
        MLN_CHECK(in[i].len == 0 || SHA256_Update(ctx, in[i].ptr, in[i].len) == 1);
    }
    MLN_CHECK(SHA256_Final(out, ctx) == 1);
}

void mln_sha256(struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES])
{
    mln_sha256_2(in, MLN_BYTES_NONE, out);
}

void mln_sha256_2(struct mln_bytes a, struct mln_bytes b, uint8_t out[MLN_SHA256_BYTES])
{
    SHA256_CTX ctx;
    MLN_CHECK(SHA256_Init(&ctx) == 1);
    one_shot(&ctx, (const struct mln_bytes[2]){a, b}, 2, out);
    mln_wipe(&ctx, sizeof(ctx));
}

static void pad_hash(const uint8_t key[BLOCK], uint8_t with, uint32_t to[8])
{
    uint8_t pad[BLOCK];
    SHA256_CTX ctx;
    for (size_t i = 0; i < BLOCK; i++) {
        pad[i] = key[i] ^ with;
    }
    MLN_CHECK(SHA256_Init(&ctx) == 1 && SHA256_Update(&ctx, pad, BLOCK) == 1);
    mln_copy(to, ctx.h, sizeof(ctx.h));
    mln_wipe(pad, sizeof(pad));
    mln_wipe(&ctx, sizeof(ctx));
}

/* A context that has taken one block, the pad. */
static void pad_resume(SHA256_CTX *ctx, const uint32_t from[8])
{
    MLN_CHECK(SHA256_Init(ctx) == 1);
    mln_copy(ctx->h, from, sizeof(ctx->h));
    ctx->Nl = BLOCK * 8;
}
static_assert(sizeof(((SHA256_CTX *)NULL)->h) == sizeof(((struct mln_hmac_key *)NULL)->inner));

void mln_hmac_key_set(struct mln_hmac_key *to, struct mln_bytes key)
{
    uint8_t block[BLOCK] = {0};
    if (key.len > BLOCK) {
        mln_sha256(key, block);
    } else {
        mln_copy(block, key.ptr, key.len);
    }
    pad_hash(block, 0x36, to->inner);
    pad_hash(block, 0x5c, to->outer);
    mln_wipe(block, sizeof(block));
}

static void hmac_by(const struct mln_hmac_key *key, const struct mln_bytes in[3], uint8_t out[MLN_SHA256_BYTES])
{
    SHA256_CTX ctx;
    uint8_t inner[MLN_SHA256_BYTES];
    pad_resume(&ctx, key->inner);
    one_shot(&ctx, in, 3, inner);
    pad_resume(&ctx, key->outer);
    one_shot(&ctx, &(struct mln_bytes){inner, sizeof(inner)}, 1, out);
    mln_wipe(inner, sizeof(inner));
    mln_wipe(&ctx, sizeof(ctx));
}

void mln_hmac_by(const struct mln_hmac_key *key, struct mln_bytes in, uint8_t out[MLN_SHA256_BYTES])
{
    hmac_by(key, (const struct mln_bytes[3]){in, MLN_BYTES_NONE, MLN_BYTES_NONE}, out);
}

/* HMAC over the concatenation of three views, written out: EVP_MAC costs a microsecond a call. */
static void hmac_3(struct mln_bytes key, const struct mln_bytes in[3],
                   uint8_t out[MLN_SHA256_BYTES])
{
    struct mln_hmac_key set;
    mln_hmac_key_set(&set, key);
    hmac_by(&set, in, out);
    mln_wipe(&set, sizeof(set));
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
