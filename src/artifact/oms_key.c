/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of model signatures: P-256, P-384 and P-521 through OpenSSL, since a model may be signed by
 * any of them while the server's own keys are P-256 only. Also the bundle that a key makes.
 */
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "artifact/oms_priv.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define POINT_MAX 133 /* uncompressed, P-521 */

static void bio_drop(BIO **bio)
{
    BIO_free(*bio);
}

static void pkey_ctx_drop(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

void oms_pkey_drop(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
    *key = NULL;
}

/* A passphrase is never asked for here: a library has no terminal. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int no_passphrase(char *to, int size, int is_writing, void *arg)
{
    (void)to;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

struct mln_err oms_key_hash(struct mln_cx *cx, EVP_PKEY *key, const EVP_MD **ret)
{
    char group[64] = "";
    size_t n = 0;
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1) {
        if (strcmp(group, "prime256v1") == 0) {
            *ret = EVP_sha256();
            return MLN_OK;
        }
        if (strcmp(group, "secp384r1") == 0) {
            *ret = EVP_sha384();
            return MLN_OK;
        }
        if (strcmp(group, "secp521r1") == 0) {
            *ret = EVP_sha512();
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_UNSUPPORTED, "the key is not ECDSA on P-256, P-384 or P-521");
}

struct mln_err oms_key_from_public_pem(struct mln_cx *cx, struct mln_bytes pem, EVP_PKEY **ret)
{
    MLN_AUTO(bio_drop) BIO *bio = pem.len <= 65536 ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    MLN_AUTO(oms_pkey_drop)
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    ERR_clear_error();
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "no public key in PEM (BEGIN PUBLIC KEY)");
    }
    const EVP_MD *md = NULL;
    MLN_TRY(oms_key_hash(cx, key, &md));
    *ret = mln_take(&key);
    return MLN_OK;
}

struct mln_err oms_key_pem(struct mln_cx *cx, EVP_PKEY *key, struct mln_bytes *ret_pem,
                           const char **ret_hint)
{
    MLN_AUTO(bio_drop) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_PUBKEY(bio, key) != 1) {
        ERR_clear_error();
        return mln_fail(cx, MLN_E_CRYPTO, "cannot write the public key");
    }
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    *ret_pem = mln_bytes_dup(cx, mln_bytes_at(text, (size_t)n));
    uint8_t hash[32];
    mln_sha256(*ret_pem, hash);
    *ret_hint = mln_hex_text(cx, mln_bytes_at(hash, sizeof(hash)));
    return mln_cx_err(cx);
}

struct mln_err oms_hash(struct mln_cx *cx, const EVP_MD *md, struct mln_bytes message,
                        uint8_t out[64], size_t *ret_n)
{
    unsigned n = 0;
    if (EVP_Digest(message.ptr, message.len, out, &n, md, NULL) != 1) {
        ERR_clear_error();
        return mln_fail(cx, MLN_E_CRYPTO, "cannot hash");
    }
    *ret_n = n;
    return MLN_OK;
}

struct mln_err oms_key_verify(struct mln_cx *cx, EVP_PKEY *key, const EVP_MD *md,
                              struct mln_bytes message, struct mln_bytes sig)
{
    uint8_t digest[64];
    uint8_t point[POINT_MAX];
    size_t digest_n = 0;
    size_t point_n = 0;
    MLN_TRY(oms_hash(cx, md, message, digest, &digest_n));
    if (EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &point_n) != 1) {
        ERR_clear_error();
        return mln_fail(cx, MLN_E_CRYPTO, "cannot read the public key");
    }
    /* A compressed key comes back compressed; the crypto room takes the other form only. */
    if (point_n > 0 && point[0] != 4) {
        EVP_PKEY_set_utf8_string_param(key, "point-format", "uncompressed");
        if (EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point),
                                            &point_n) != 1) {
            ERR_clear_error();
            return mln_fail(cx, MLN_E_CRYPTO, "cannot read the public key");
        }
    }
    struct mln_err err =
        mln_ec_verify_digest(cx, mln_bytes_at(point, point_n), mln_bytes_at(digest, digest_n), sig);
    return mln_failed(err)
               ? mln_refail(cx, MLN_E_FORGED, "the signature does not verify with this key")
               : MLN_OK;
}

/* ---- signing ---- */

static struct mln_err sign_with_key(void *arg, struct mln_cx *cx, struct mln_bytes digest,
                                    struct mln_buf *sig)
{
    EVP_PKEY *key = arg;
    uint8_t der[160];
    size_t n = sizeof(der);
    MLN_AUTO(pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_sign(ctx, der, &n, digest.ptr, digest.len) != 1) {
        ERR_clear_error();
        return mln_fail(cx, MLN_E_CRYPTO, "cannot sign with this key");
    }
    mln_buf_add(sig, der, n);
    return mln_buf_ok(cx, sig);
}

struct mln_err mln_oms_signer_from_pem(struct mln_cx *cx, struct mln_bytes private_pem,
                                       struct mln_oms_signer *ret)
{
    MLN_AUTO(bio_drop)
    BIO *bio =
        private_pem.len <= 65536 ? BIO_new_mem_buf(private_pem.ptr, (int)private_pem.len) : NULL;
    MLN_AUTO(oms_pkey_drop)
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    ERR_clear_error();
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "no private key in PEM (encrypted ones are not read)");
    }
    const EVP_MD *md = NULL;
    MLN_TRY(oms_key_hash(cx, key, &md));
    struct mln_oms_signer signer = {.sign = sign_with_key};
    const char *hint = NULL;
    MLN_TRY(oms_key_pem(cx, key, &signer.public_pem, &hint));
    signer.arg = mln_take(&key);
    *ret = signer;
    return MLN_OK;
}

void mln_oms_signer_free(struct mln_oms_signer *signer)
{
    if (signer->sign == sign_with_key) {
        EVP_PKEY_free(signer->arg);
    }
    *signer = (struct mln_oms_signer){0};
}

/* The leaf of the chain must hold the key that signs, else nobody could verify the bundle. */
static struct mln_err take_chain(struct mln_cx *cx, const struct mln_oms_signer *signer,
                                 EVP_PKEY *key, struct mln_dsse *to)
{
    MLN_TRY(oms_chain_from_pem(cx, signer->chain_pem, to));
    MLN_AUTO(oms_pkey_drop) EVP_PKEY *leaf = NULL;
    MLN_TRY(oms_cert_key(cx, to->certs[0], &leaf));
    if (EVP_PKEY_eq(leaf, key) != 1) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the first certificate does not belong to the signing key");
    }
    to->material = MLN_DSSE_CHAIN;
    return MLN_OK;
}

static struct mln_err sign_pae(struct mln_cx *cx, const struct mln_oms_signer *signer,
                               EVP_PKEY *key, const EVP_MD *md, struct mln_dsse *to)
{
    struct mln_buf pae = {0};
    struct mln_buf sig = {0};
    mln_dsse_pae(&pae, to->payload_type, to->payload);
    struct mln_err err = mln_buf_ok(cx, &pae);
    uint8_t digest[64];
    size_t n = 0;
    if (!mln_failed(err)) {
        err = oms_hash(cx, md, mln_buf_bytes(&pae), digest, &n);
    }
    if (!mln_failed(err)) {
        err = signer->sign(signer->arg, cx, mln_bytes_at(digest, n), &sig);
    }
    if (!mln_failed(err)) {
        err = mln_buf_ok(cx, &sig);
    }
    if (!mln_failed(err) &&
        mln_failed(oms_key_verify(cx, key, md, mln_buf_bytes(&pae), mln_buf_bytes(&sig)))) {
        err = mln_refail(cx, MLN_E_CRYPTO,
                         "the signer's signature does not verify with its own public key");
    }
    if (!mln_failed(err)) {
        to->sig = mln_bytes_dup(cx, mln_buf_bytes(&sig));
        err = mln_cx_err(cx);
    }
    mln_buf_drop(&pae);
    mln_buf_drop(&sig);
    return err;
}

struct mln_err mln_oms_bundle(struct mln_cx *cx, struct mln_bytes payload,
                              const struct mln_oms_signer *signer, struct mln_buf *bundle)
{
    MLN_AUTO(oms_pkey_drop) EVP_PKEY *key = NULL;
    const EVP_MD *md = NULL;
    struct mln_bytes pem;
    const char *hint = NULL;
    MLN_TRY(oms_key_from_public_pem(cx, signer->public_pem, &key));
    MLN_TRY(oms_key_hash(cx, key, &md));
    MLN_TRY(oms_key_pem(cx, key, &pem, &hint));
    struct mln_dsse dsse = {.material = MLN_DSSE_KEY,
                            .hint = mln_bytes_of(hint),
                            .payload_type = mln_bytes_of(MLN_DSSE_IN_TOTO),
                            .payload = payload};
    if (signer->chain_pem.len > 0) {
        MLN_TRY(take_chain(cx, signer, key, &dsse));
    }
    MLN_TRY(sign_pae(cx, signer, key, md, &dsse));
    mln_dsse_print(cx, bundle, &dsse);
    MLN_TRY(mln_cx_err(cx));
    return mln_buf_ok(cx, bundle);
}
