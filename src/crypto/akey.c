/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs as DER: made, taken in, signing, verifying, RSA-OAEP. Forms of text are in akey_pem.c. */
#include "crypto/akey.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/crypto_priv.h"

#define SIGNATURE_MAX 512  /* RSA-4096 */
#define DER_MAX       8192 /* PKCS #8 of RSA-4096 takes 2.4 kB */

static const struct {
    const char *name;
    size_t bits, half;
    bool is_rsa;
} kinds[MLN_AKEY_COUNT] = {
    [MLN_AKEY_P256] = {"prime256v1", 256, 32, false},
    [MLN_AKEY_P384] = {"secp384r1", 384, 48, false},
    [MLN_AKEY_P521] = {"secp521r1", 521, 66, false},
    [MLN_AKEY_RSA2048] = {"RSA", 2048, 0, true},
    [MLN_AKEY_RSA3072] = {"RSA", 3072, 0, true},
    [MLN_AKEY_RSA4096] = {"RSA", 4096, 0, true},
};

bool mln_akey_is_rsa(enum mln_akey kind)
{
    return kinds[kind].is_rsa;
}

size_t mln_akey_half(enum mln_akey kind)
{
    return kinds[kind].half;
}

static void pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void ctx_drop(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}

/* ---- DER ---- */

static struct mln_err add_der(struct mln_cx *cx, int n, uint8_t *der, struct mln_buf *to)
{
    if (n <= 0) {
        return crypto_failed(cx, "encoding of a key");
    }
    mln_buf_add(to, der, (size_t)n);
    OPENSSL_clear_free(der, (size_t)n);
    return mln_buf_ok(cx, to);
}

static struct mln_err add_both(struct mln_cx *cx, const EVP_PKEY *key, struct mln_buf *priv,
                               struct mln_buf *pub)
{
    uint8_t *private_der = NULL;
    uint8_t *public_der = NULL;
    MLN_CHECK(priv->is_secret);
    int n = i2d_PrivateKey(key, &private_der);
    MLN_TRY(add_der(cx, n, private_der, priv));
    n = i2d_PUBKEY(key, &public_der);
    return add_der(cx, n, public_der, pub);
}

/* Is the key of this kind? The curve by its name, so that explicit parameters are refused. */
static bool has_kind(const EVP_PKEY *key, enum mln_akey kind)
{
    char curve[32] = {0};
    size_t n = 0;
    if (kinds[kind].is_rsa) {
        return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == (int)kinds[kind].bits;
    }
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
                                          &n) == 1 &&
           mln_bytes_is(mln_bytes_at(curve, n), kinds[kind].name);
}

static EVP_PKEY *read_private(bool is_rsa, struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    return d2i_PrivateKey(is_rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, NULL, &at, (long)der.len);
}

static EVP_PKEY *read_public(struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.len);
    if (key != NULL && at != der.ptr + der.len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

enum half { PRIVATE_EC, PRIVATE_RSA, PUBLIC };

/* A key of this thread, parsed when it is not there yet. Borrowed: only while the thread's lock is held. */
static EVP_PKEY *key_for(struct crypto_thread *t, const uint8_t id[MLN_SHA256_BYTES],
                         enum half half, struct mln_bytes der)
{
    for (size_t i = 0; i < PKEY_SLOTS; i++) {
        if (t->pkey[i].key != NULL &&
            mln_eq_ct(t->pkey[i].id, MLN_SHA256_BYTES, id, MLN_SHA256_BYTES)) {
            return t->pkey[i].key;
        }
    }
    EVP_PKEY *key = half == PUBLIC ? read_public(der) : read_private(half == PRIVATE_RSA, der);
    if (key == NULL) {
        return NULL;
    }
    struct pkey_slot *slot = &t->pkey[t->pkey_next++ % PKEY_SLOTS];
    EVP_PKEY_free(slot->key);
    slot->key = key;
    mln_copy(slot->id, id, MLN_SHA256_BYTES);
    return key;
}

static enum half private_of(bool is_rsa)
{
    return is_rsa ? PRIVATE_RSA : PRIVATE_EC;
}

struct mln_err mln_akey_generate(struct mln_cx *cx, enum mln_akey kind, struct mln_buf *priv,
                                 struct mln_buf *pub)
{
    MLN_CHECK(kind < MLN_AKEY_COUNT);
    crypto_algorithms();
    MLN_AUTO(pkey_drop)
    EVP_PKEY *key = kinds[kind].is_rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", kinds[kind].bits)
                                       : EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[kind].name);
    return key != NULL ? add_both(cx, key, priv, pub) : crypto_failed(cx, "key generation");
}

static bool is_sound(EVP_PKEY *key)
{
    MLN_AUTO(ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    return ctx != NULL && EVP_PKEY_pairwise_check(ctx) == 1 && EVP_PKEY_public_check(ctx) == 1;
}

static struct mln_err read_pkcs8(struct mln_cx *cx, struct mln_bytes der, EVP_PKEY **ret)
{
    const uint8_t *at = der.ptr;
    crypto_algorithms();
    if (der.len == 0 || der.len > DER_MAX) {
        return mln_fail(cx, MLN_E_PARSE, "no PKCS #8 key: impossible length");
    }
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    bool is_whole = info != NULL && at == der.ptr + der.len;
    EVP_PKEY *key = is_whole ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (key == NULL) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_PARSE, "no PKCS #8 key, or of an unknown kind");
    }
    *ret = key;
    return MLN_OK;
}

static struct mln_err check_pair(struct mln_cx *cx, enum mln_akey kind, EVP_PKEY *key)
{
    if (!has_kind(key, kind)) {
        return mln_fail(cx, MLN_E_INVALID, "the key is of another type or size");
    }
    if (!is_sound(key)) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_INVALID, "the key's halves do not belong together");
    }
    return MLN_OK;
}

struct mln_err mln_akey_from_pkcs8(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes der,
                                   struct mln_buf *priv, struct mln_buf *pub)
{
    MLN_AUTO(pkey_drop) EVP_PKEY *key = NULL;
    MLN_CHECK(kind < MLN_AKEY_COUNT);
    MLN_TRY(read_pkcs8(cx, der, &key));
    MLN_TRY(check_pair(cx, kind, key));
    return add_both(cx, key, priv, pub);
}

struct mln_err mln_akey_from_private(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes der,
                                     struct mln_buf *priv, struct mln_buf *pub)
{
    MLN_CHECK(kind < MLN_AKEY_COUNT);
    crypto_algorithms();
    MLN_AUTO(pkey_drop)
    EVP_PKEY *key =
        der.len > 0 && der.len <= DER_MAX ? read_private(kinds[kind].is_rsa, der) : NULL;
    if (key == NULL) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_PARSE, "no private key");
    }
    MLN_TRY(check_pair(cx, kind, key));
    return add_both(cx, key, priv, pub);
}

struct mln_err mln_ed25519_from_pkcs8(struct mln_cx *cx, struct mln_bytes der, uint8_t seed[32])
{
    MLN_AUTO(pkey_drop) EVP_PKEY *key = NULL;
    uint8_t raw[32];
    size_t n = sizeof(raw);
    MLN_TRY(read_pkcs8(cx, der, &key));
    if (!EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_get_raw_private_key(key, raw, &n) != 1 ||
        n != sizeof(raw)) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_INVALID, "the key is of another type or size");
    }
    mln_copy(seed, raw, sizeof(raw));
    mln_wipe(raw, sizeof(raw));
    return MLN_OK;
}

struct mln_err mln_akey_check_public(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes pub)
{
    crypto_algorithms();
    MLN_AUTO(pkey_drop) EVP_PKEY *key = pub.len > 0 && pub.len < DER_MAX ? read_public(pub) : NULL;
    MLN_AUTO(ctx_drop)
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    if (ctx == NULL) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_PARSE, "no public key");
    }
    if (!has_kind(key, kind) || EVP_PKEY_public_check(ctx) != 1) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_INVALID, "the public key is bad, or of another type or size");
    }
    return MLN_OK;
}

/* ---- signatures ---- */

static bool has_options(EVP_PKEY_CTX *ctx, const struct mln_akey_how *how, bool is_signing)
{
    const char *hash = crypto_hash_name(how->hash);
    int salt = how->salt == MLN_AKEY_SALT_HASH   ? RSA_PSS_SALTLEN_DIGEST
               : how->salt != MLN_AKEY_SALT_AUTO ? how->salt
               : is_signing                      ? RSA_PSS_SALTLEN_MAX
                                                 : RSA_PSS_SALTLEN_AUTO;
    MLN_AUTO(crypto_md_drop) EVP_MD *md = hash != NULL ? EVP_MD_fetch(NULL, hash, NULL) : NULL;
    int padding = how->is_pkcs1v15 ? RSA_PKCS1_PADDING : RSA_PKCS1_PSS_PADDING;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1 &&
           (md == NULL || EVP_PKEY_CTX_set_signature_md(ctx, md) == 1) &&
           (how->is_pkcs1v15 || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) == 1);
}

static struct mln_err check_digest(struct mln_cx *cx, enum mln_akey kind,
                                   const struct mln_akey_how *how, struct mln_bytes digest)
{
    if (how->hash == MLN_HASH_NONE) {
        return kinds[kind].is_rsa && how->is_pkcs1v15 && digest.len > 0
                   ? MLN_OK
                   : mln_fail(cx, MLN_E_INVALID, "without a hash only RSA PKCS #1 v1.5 signs");
    }
    return digest.len == mln_hash_bytes(how->hash)
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "a %s digest has %zu bytes", mln_hash_name(how->hash),
                          mln_hash_bytes(how->hash));
}

struct mln_err mln_akey_sign(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes priv,
                             const struct mln_akey_how *how, struct mln_bytes digest,
                             struct mln_buf *sig)
{
    uint8_t id[MLN_SHA256_BYTES];
    uint8_t out[SIGNATURE_MAX];
    size_t n = sizeof(out);
    bool is_rsa = kinds[kind].is_rsa;
    MLN_TRY(check_digest(cx, kind, how, digest));
    mln_sha256(priv, id);
    {
        CRYPTO_ENTER(t);
        EVP_PKEY *key = key_for(t, id, private_of(is_rsa), priv);
        MLN_AUTO(ctx_drop)
        EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
        if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1) {
            return crypto_failed(cx, "signing");
        }
        /* what fails from here on is what was asked for: a salt or a digest too long for the key */
        if ((is_rsa && !has_options(ctx, how, true)) ||
            EVP_PKEY_sign(ctx, out, &n, digest.ptr, digest.len) != 1) {
            (void)crypto_failed(NULL, "signing");
            return mln_fail(cx, MLN_E_INVALID, "digest, salt and key do not fit together");
        }
    }
    mln_buf_add(sig, out, n);
    return mln_buf_ok(cx, sig);
}

struct mln_err mln_akey_verify(struct mln_cx *cx, enum mln_akey kind, struct mln_bytes pub,
                               const struct mln_akey_how *how, struct mln_bytes digest,
                               struct mln_bytes sig)
{
    static const uint8_t nothing;
    const uint8_t *text = sig.ptr != NULL ? sig.ptr : &nothing;
    uint8_t id[MLN_SHA256_BYTES];
    MLN_TRY(check_digest(cx, kind, how, digest));
    mln_sha256(pub, id);
    CRYPTO_ENTER(t);
    EVP_PKEY *key = key_for(t, id, PUBLIC, pub);
    MLN_AUTO(ctx_drop)
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1) {
        return crypto_failed(cx, "verification");
    }
    if ((kinds[kind].is_rsa && !has_options(ctx, how, false)) ||
        EVP_PKEY_verify(ctx, text, sig.len, digest.ptr, digest.len) != 1) {
        (void)crypto_failed(NULL, "verification");
        return mln_fail(cx, MLN_E_FORGED, "the signature is not valid");
    }
    return MLN_OK;
}

/* ---- RSA-OAEP ---- */

/* The context takes the label's copy over. */
static bool has_label(EVP_PKEY_CTX *ctx, struct mln_bytes label)
{
    void *own = label.len > 0 ? OPENSSL_memdup(label.ptr, label.len) : NULL;
    if (label.len > 0 && (own == NULL || EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, own, (int)label.len) != 1)) {
        OPENSSL_free(own);
        return false;
    }
    return true;
}

static bool has_oaep(EVP_PKEY_CTX *ctx, enum mln_hash hash)
{
    const char *name = crypto_hash_name(hash);
    MLN_AUTO(crypto_md_drop) EVP_MD *md = name != NULL ? EVP_MD_fetch(NULL, name, NULL) : NULL;
    return md != NULL && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1;
}

struct mln_err mln_akey_oaep_seal(struct mln_cx *cx, struct mln_bytes pub, enum mln_hash hash,
                                  struct mln_bytes label, struct mln_bytes plain, struct mln_buf *box)
{
    static const uint8_t nothing;
    const uint8_t *text = plain.ptr != NULL ? plain.ptr : &nothing;
    uint8_t id[MLN_SHA256_BYTES];
    uint8_t out[SIGNATURE_MAX];
    size_t n = sizeof(out);
    mln_sha256(pub, id);
    {
        CRYPTO_ENTER(t);
        EVP_PKEY *key = key_for(t, id, PUBLIC, pub);
        MLN_AUTO(ctx_drop)
        EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
        if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 || !has_oaep(ctx, hash) ||
            !has_label(ctx, label)) {
            return crypto_failed(cx, "encryption");
        }
        if (EVP_PKEY_encrypt(ctx, out, &n, text, plain.len) != 1) {
            (void)crypto_failed(NULL, "encryption");
            return mln_fail(cx, MLN_E_INVALID, "the plaintext is too long for the key");
        }
    }
    mln_buf_add(box, out, n);
    return mln_buf_ok(cx, box);
}

struct mln_err mln_akey_oaep_open(struct mln_cx *cx, struct mln_bytes priv, enum mln_hash hash,
                                  struct mln_bytes box, struct mln_buf *plain)
{
    static const uint8_t nothing;
    const uint8_t *text = box.ptr != NULL ? box.ptr : &nothing;
    uint8_t id[MLN_SHA256_BYTES];
    uint8_t out[SIGNATURE_MAX];
    size_t n = sizeof(out);
    bool is_open = false;
    MLN_CHECK(plain->is_secret);
    mln_sha256(priv, id);
    {
        CRYPTO_ENTER(t);
        EVP_PKEY *key = key_for(t, id, PRIVATE_RSA, priv);
        MLN_AUTO(ctx_drop)
        EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
        if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) != 1 || !has_oaep(ctx, hash)) {
            return crypto_failed(cx, "decryption");
        }
        is_open = EVP_PKEY_decrypt(ctx, out, &n, text, box.len) == 1;
    }
    if (!is_open) {
        (void)crypto_failed(NULL, "decryption");
        return mln_fail(cx, MLN_E_FORGED, "the ciphertext was not made for this key");
    }
    mln_buf_add(plain, out, n);
    mln_wipe(out, sizeof(out));
    return mln_buf_ok(cx, plain);
}
