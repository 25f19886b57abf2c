/* SPDX-License-Identifier: Apache-2.0 */
/* MakeCredential, see tpm.h: a seed for the endorsement key (OAEP), of it a key to encrypt with and one to authenticate with. */
#include "crypto/tpm.h"

#include <openssl/evp.h>

#include "base/clock.h"

#define SEED_BYTES 32u
#define AES_BYTES  16u
#define SECRET_2B  (2 + MLN_TPM_SECRET_BYTES)

/* KDFa of SHA-256, one block: bits at most 256. */
static void kdf(const uint8_t seed[SEED_BYTES], struct mln_bytes label, struct mln_bytes context, uint32_t bits,
                uint8_t out[MLN_HASH_MAX_BYTES])
{
    uint8_t text[4 + 16 + 1 + MLN_TPM_NAME_BYTES + 4] = {0};
    uint8_t *at = text + 4;
    MLN_CHECK(label.len <= 16 && context.len <= MLN_TPM_NAME_BYTES);
    mln_put_u32be(text, 1);
    mln_copy(at, label.ptr, label.len);
    at += label.len + 1; /* with its NUL */
    mln_copy(at, context.ptr, context.len);
    at += context.len;
    mln_put_u32be(at, bits);
    mln_hmac_sum(MLN_HASH_SHA2_256, mln_bytes_at(seed, SEED_BYTES), mln_bytes_at(text, (size_t)(at + 4 - text)), out);
}

static void cipher_drop(EVP_CIPHER_CTX **at)
{
    EVP_CIPHER_CTX_free(*at);
}

static struct mln_err encrypt(struct mln_cx *cx, const uint8_t key[AES_BYTES], const uint8_t secret[MLN_TPM_SECRET_BYTES],
                              uint8_t out[SECRET_2B])
{
    static const uint8_t zero[AES_BYTES] = {0};
    uint8_t plain[SECRET_2B];
    int n = 0;
    MLN_AUTO(cipher_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    plain[0] = 0;
    plain[1] = MLN_TPM_SECRET_BYTES;
    mln_copy(plain + 2, secret, MLN_TPM_SECRET_BYTES);
    bool ok = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_128_cfb128(), NULL, key, zero) == 1 &&
              EVP_EncryptUpdate(ctx, out, &n, plain, (int)sizeof(plain)) == 1 && n == (int)sizeof(plain);
    mln_wipe(plain, sizeof(plain));
    return ok ? MLN_OK : mln_fail(cx, MLN_E_CRYPTO, "tpm: a credential cannot be encrypted");
}

/* integrity and box, as TPM2B_ID_OBJECT holds them */
static void add_blob(const uint8_t seed[SEED_BYTES], struct mln_bytes box, struct mln_bytes name, struct mln_buf *to)
{
    uint8_t key[MLN_HASH_MAX_BYTES], mac[MLN_HASH_MAX_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf covered = {0};
    kdf(seed, MLN_BYTES("INTEGRITY"), MLN_BYTES_NONE, 8 * MLN_SHA256_BYTES, key);
    mln_buf_add_bytes(&covered, box);
    mln_buf_add_bytes(&covered, name);
    to->has_failed = to->has_failed || covered.has_failed;
    mln_hmac_sum(MLN_HASH_SHA2_256, mln_bytes_at(key, MLN_SHA256_BYTES), mln_buf_bytes(&covered), mac);
    mln_wipe(key, sizeof(key));
    mln_buf_add_u16be(to, MLN_SHA256_BYTES);
    mln_buf_add(to, mac, MLN_SHA256_BYTES);
    mln_buf_add_bytes(to, box);
}

struct mln_err mln_tpm_credential(struct mln_cx *cx, const struct mln_tpm_key *ek, const uint8_t name[MLN_TPM_NAME_BYTES],
                                  const uint8_t secret[MLN_TPM_SECRET_BYTES], struct mln_bytes *ret_blob, struct mln_bytes *ret_seed)
{
    uint8_t seed[SEED_BYTES], storage[MLN_HASH_MAX_BYTES], box[SECRET_2B];
    struct mln_bytes label = mln_bytes_at("IDENTITY", sizeof("IDENTITY")); /* with its NUL */
    struct mln_bytes named = mln_bytes_at(name, MLN_TPM_NAME_BYTES);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0}, sealed = {0};
    mln_random(seed, sizeof(seed));
    kdf(seed, MLN_BYTES("STORAGE"), named, 8 * AES_BYTES, storage);
    struct mln_err err = encrypt(cx, storage, secret, box);
    err = mln_failed(err) ? err
                          : mln_akey_oaep_seal(cx, ek->spki, MLN_HASH_SHA2_256, label, mln_bytes_at(seed, sizeof(seed)), &sealed);
    add_blob(seed, mln_bytes_at(box, sizeof(box)), named, &blob);
    mln_wipe(seed, sizeof(seed));
    mln_wipe(storage, sizeof(storage));
    MLN_TRY(err);
    MLN_TRY(mln_buf_ok(cx, &blob));
    *ret_blob = mln_bytes_dup(cx, mln_buf_bytes(&blob));
    *ret_seed = mln_bytes_dup(cx, mln_buf_bytes(&sealed));
    return mln_cx_err(cx);
}
