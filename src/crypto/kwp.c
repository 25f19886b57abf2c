/* SPDX-License-Identifier: Apache-2.0 */
/* AES key wrap with padding (RFC 5649), opening only: keys come in wrapped, none leave so. */
#include "crypto/crypto_priv.h"

#define KWP_MAX 65536 /* bytes of a wrapped key: an RSA-4096 one takes 2.4 kB */

static void cipher_drop(EVP_CIPHER **p)
{
    EVP_CIPHER_free(*p);
}

static void ctx_drop(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
}

struct mln_err mln_aes_kwp_open(struct mln_cx *cx, const uint8_t key[32], struct mln_bytes box,
                                struct mln_buf *plain)
{
    if (box.len < 16 || box.len % 8 != 0 || box.len > KWP_MAX) {
        return mln_fail(cx, MLN_E_FORGED, "the wrapped key has an impossible length");
    }
    MLN_AUTO(cipher_drop) EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
    MLN_AUTO(ctx_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
    if (cipher == NULL || ctx == NULL || !mln_buf_reserve(&out, box.len)) {
        return crypto_failed(cx, "unwrapping");
    }
    int n = 0;
    if (EVP_DecryptInit_ex2(ctx, cipher, key, NULL, NULL) != 1 ||
        EVP_DecryptUpdate(ctx, out.ptr, &n, box.ptr, (int)box.len) != 1 || n < 1) {
        (void)crypto_failed(NULL, "unwrapping");
        mln_wipe(out.ptr, out.cap);
        return mln_fail(cx, MLN_E_FORGED, "the key was not wrapped under this one");
    }
    out.len = (size_t)n;
    mln_buf_add_bytes(plain, mln_buf_bytes(&out));
    mln_wipe(out.ptr, out.cap);
    return mln_buf_ok(cx, plain);
}
