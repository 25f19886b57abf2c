/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of certificates: made, read, printed, and signing with them. Their forms (RFC 5958, 5915, 8017, 5480, 8410) are put
 * together here from numbers: OpenSSL 3.0 looks up an encoder for each print, which takes longer than making a P-256 key.
 */
#include "crypto/x509_priv.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/clock.h"

#define KEY_DER_MAX (8u << 10) /* RSA 8192 takes 4.7 KiB */

static const struct {
    unsigned bits, bytes; /* of a coordinate */
    int nid;
    const char *name;
} curves[] = {
    {224, 28, NID_secp224r1, "secp224r1"},
    {256, 32, NID_X9_62_prime256v1, "prime256v1"},
    {384, 48, NID_secp384r1, "secp384r1"},
    {521, 66, NID_secp521r1, "secp521r1"},
};

static const char *const kind_names[MLN_KEY_KINDS] = {
    [MLN_KEY_RSA] = "rsa", [MLN_KEY_EC] = "ec", [MLN_KEY_ED25519] = "ed25519"};

static void pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void bn_drop(BIGNUM **p)
{
    BN_clear_free(*p);
}

const char *mln_key_kind_name(enum mln_key_kind kind)
{
    return kind < MLN_KEY_KINDS ? kind_names[kind] : "";
}

bool mln_key_kind_of(struct mln_bytes name, enum mln_key_kind *ret)
{
    for (size_t i = 0; i < MLN_KEY_KINDS; i++) {
        if (mln_bytes_is(name, kind_names[i])) {
            *ret = (enum mln_key_kind)i;
            return true;
        }
    }
    return false;
}

static int curve_of_bits(unsigned bits)
{
    for (size_t i = 0; i < MLN_COUNT(curves); i++) {
        if (curves[i].bits == bits) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- forms ---- */

static struct mln_bytes pkcs8_of(struct mln_cx *cx, struct mln_bytes algorithm,
                                 struct mln_bytes inner)
{
    return DER(cx, DER_SEQUENCE, der_int(cx, 0), algorithm, DER(cx, DER_OCTETS, inner));
}

static struct mln_err ec_forms(struct mln_cx *cx, int curve, struct mln_bytes scalar,
                               struct mln_bytes point, struct mln_key *ret)
{
    struct mln_bytes oid = der_nid(cx, curves[curve].nid);
    struct mln_bytes algorithm = DER(cx, DER_SEQUENCE, der_nid(cx, NID_X9_62_id_ecPublicKey), oid);
    struct mln_bytes bits = der_bits(cx, point), one = der_int(cx, 1),
                     octets = DER(cx, DER_OCTETS, scalar);
    struct mln_bytes public = DER(cx, DER_CONTEXT_IN + 1, bits);
    struct mln_key key = {.kind = MLN_KEY_EC, .bits = curves[curve].bits};
    key.plain = DER(cx, DER_SEQUENCE, one, octets, DER(cx, DER_CONTEXT_IN + 0, oid), public);
    key.pkcs8 = pkcs8_of(cx, algorithm, DER(cx, DER_SEQUENCE, one, octets, public));
    key.spki = DER(cx, DER_SEQUENCE, algorithm, bits);
    *ret = key;
    return mln_cx_err(cx);
}

static struct mln_err ed_forms(struct mln_cx *cx, const uint8_t seed[32], struct mln_key *ret)
{
    uint8_t public[32];
    mln_ed25519_public(seed, public);
    struct mln_bytes algorithm = DER(cx, DER_SEQUENCE, der_nid(cx, NID_ED25519));
    struct mln_key key = {.kind = MLN_KEY_ED25519};
    key.pkcs8 = pkcs8_of(cx, algorithm, DER(cx, DER_OCTETS, mln_bytes_at(seed, 32)));
    key.plain = key.pkcs8;
    key.spki = DER(cx, DER_SEQUENCE, algorithm, der_bits(cx, DER_RAW(public)));
    *ret = key;
    return mln_cx_err(cx);
}

/* i2d_* into the arena; the copy in between is wiped. */
static struct mln_bytes printed(struct mln_cx *cx, EVP_PKEY *key,
                                int (*print)(const EVP_PKEY *, unsigned char **))
{
    uint8_t *out = NULL;
    int n = print(key, &out);
    struct mln_bytes copy =
        n > 0 ? mln_bytes_dup(cx, mln_bytes_at(out, (size_t)n)) : MLN_BYTES_NONE;
    OPENSSL_clear_free(out, n > 0 ? (size_t)n : 0);
    return copy;
}

static struct mln_err rsa_forms(struct mln_cx *cx, EVP_PKEY *pkey, struct mln_key *ret)
{
    struct mln_key key = {.kind = MLN_KEY_RSA, .bits = (unsigned)EVP_PKEY_get_bits(pkey)};
    struct mln_bytes algorithm = DER(cx, DER_SEQUENCE, der_nid(cx, NID_rsaEncryption), der_null());
    key.plain = printed(cx, pkey, i2d_PrivateKey);
    struct mln_bytes public = printed(cx, pkey, i2d_PublicKey);
    if (key.plain.len == 0 || public.len == 0) {
        return crypto_failed(cx, "printing a key");
    }
    key.pkcs8 = pkcs8_of(cx, algorithm, key.plain);
    key.spki = DER(cx, DER_SEQUENCE, algorithm, der_bits(cx, public));
    *ret = key;
    return mln_cx_err(cx);
}

static int curve_of_key(EVP_PKEY *key)
{
    char name[32] = {0};
    size_t n = 0;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name), &n) !=
        1) {
        return -1;
    }
    for (size_t i = 0; i < MLN_COUNT(curves); i++) {
        if (mln_bytes_is(mln_bytes_of(name), curves[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

struct mln_err x509_key_kind(struct mln_cx *cx, EVP_PKEY *key, enum mln_key_kind *ret,
                             unsigned *ret_bits)
{
    int curve = EVP_PKEY_is_a(key, "EC") ? curve_of_key(key) : -1;
    unsigned bits = (unsigned)EVP_PKEY_get_bits(key);
    if (curve >= 0) {
        *ret = MLN_KEY_EC;
        *ret_bits = curves[curve].bits;
    } else if (EVP_PKEY_is_a(key, "ED25519")) {
        *ret = MLN_KEY_ED25519;
        *ret_bits = 0;
    } else if (EVP_PKEY_is_a(key, "RSA") && bits >= 1024 && bits <= 16384) {
        *ret = MLN_KEY_RSA;
        *ret_bits = bits;
    } else {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "the key is neither RSA, of a NIST curve nor Ed25519");
    }
    return MLN_OK;
}

static struct mln_err ec_read(struct mln_cx *cx, EVP_PKEY *pkey, struct mln_key *ret)
{
    int curve = curve_of_key(pkey);
    uint8_t scalar[66], point[133];
    size_t n = 0, bytes = curve >= 0 ? curves[curve].bytes : 0;
    MLN_AUTO(bn_drop) BIGNUM *d = BN_secure_new();
    bool is_ok =
        curve >= 0 && d != NULL && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
        BN_bn2binpad(d, scalar, (int)bytes) == (int)bytes &&
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) ==
            1 &&
        n == 2 * bytes + 1 && point[0] == 4;
    struct mln_err err =
        is_ok ? ec_forms(cx, curve, mln_bytes_at(scalar, bytes), mln_bytes_at(point, n), ret)
              : crypto_failed(cx, "reading the private key");
    mln_wipe(scalar, sizeof(scalar));
    return err;
}

static struct mln_err forms_of(struct mln_cx *cx, EVP_PKEY *pkey, struct mln_key *ret)
{
    enum mln_key_kind kind = MLN_KEY_RSA;
    unsigned bits = 0;
    uint8_t seed[32];
    size_t n = sizeof(seed);
    MLN_TRY(x509_key_kind(cx, pkey, &kind, &bits));
    if (kind == MLN_KEY_RSA) {
        return rsa_forms(cx, pkey, ret);
    }
    if (kind == MLN_KEY_EC) {
        return ec_read(cx, pkey, ret);
    }
    struct mln_err err = EVP_PKEY_get_raw_private_key(pkey, seed, &n) == 1
                             ? ed_forms(cx, seed, ret)
                             : crypto_failed(cx, "reading a key");
    mln_wipe(seed, sizeof(seed));
    return err;
}

struct mln_err mln_key_read(struct mln_cx *cx, struct mln_bytes der, struct mln_key *ret)
{
    const uint8_t *at = der.ptr;
    crypto_algorithms();
    MLN_AUTO(pkey_drop)
    EVP_PKEY *key =
        der.len > 0 && der.len <= KEY_DER_MAX ? d2i_AutoPrivateKey(NULL, &at, (long)der.len) : NULL;
    if (key == NULL || at != der.ptr + der.len) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_PARSE, "the private key is damaged or of an unknown kind");
    }
    return forms_of(cx, key, ret);
}

/* ---- making ---- */

static struct mln_err p256_generate(struct mln_cx *cx, struct mln_key *ret)
{
    uint8_t scalar[32], point[65];
    MLN_TRY(mln_p256_generate(cx, scalar, point));
    struct mln_err err = ec_forms(cx, curve_of_bits(256), DER_RAW(scalar), DER_RAW(point), ret);
    mln_wipe(scalar, sizeof(scalar));
    return err;
}

static struct mln_err ed_generate(struct mln_cx *cx, struct mln_key *ret)
{
    uint8_t seed[32];
    mln_random(seed, sizeof(seed));
    struct mln_err err = ed_forms(cx, seed, ret);
    mln_wipe(seed, sizeof(seed));
    return err;
}

struct mln_err mln_key_generate(struct mln_cx *cx, enum mln_key_kind kind, unsigned bits,
                                struct mln_key *ret)
{
    crypto_algorithms();
    if (kind == MLN_KEY_ED25519) {
        return ed_generate(cx, ret);
    }
    int curve = kind == MLN_KEY_EC ? curve_of_bits(bits) : -1;
    bool is_rsa =
        kind == MLN_KEY_RSA && (bits == 2048 || bits == 3072 || bits == 4096 || bits == 8192);
    if (curve < 0 && !is_rsa) {
        return mln_fail(cx, MLN_E_INVALID, "unsupported bit length for %s key: %u",
                        kind == MLN_KEY_RSA ? "RSA" : "EC", bits);
    }
    if (bits == 256) {
        return p256_generate(cx, ret);
    }
    MLN_AUTO(pkey_drop) EVP_PKEY *key = is_rsa ? EVP_RSA_gen(bits) : EVP_EC_gen(curves[curve].name);
    return key != NULL ? forms_of(cx, key, ret) : crypto_failed(cx, "making a key");
}

/* ---- algorithms ---- */

static const struct {
    const char *name;
    enum mln_key_kind kind;
    unsigned hash_bits;
} sigs[MLN_SIGS] = {
    [MLN_SIG_RSA_256] = {"SHA256WithRSA", MLN_KEY_RSA, 256},
    [MLN_SIG_RSA_384] = {"SHA384WithRSA", MLN_KEY_RSA, 384},
    [MLN_SIG_RSA_512] = {"SHA512WithRSA", MLN_KEY_RSA, 512},
    [MLN_SIG_PSS_256] = {"SHA256WithRSAPSS", MLN_KEY_RSA, 256},
    [MLN_SIG_PSS_384] = {"SHA384WithRSAPSS", MLN_KEY_RSA, 384},
    [MLN_SIG_PSS_512] = {"SHA512WithRSAPSS", MLN_KEY_RSA, 512},
    [MLN_SIG_EC_256] = {"ECDSAWithSHA256", MLN_KEY_EC, 256},
    [MLN_SIG_EC_384] = {"ECDSAWithSHA384", MLN_KEY_EC, 384},
    [MLN_SIG_EC_512] = {"ECDSAWithSHA512", MLN_KEY_EC, 512},
    [MLN_SIG_ED25519] = {"PureEd25519", MLN_KEY_ED25519, 0},
};

bool x509_is_pss(enum mln_sig sig)
{
    return sig == MLN_SIG_PSS_256 || sig == MLN_SIG_PSS_384 || sig == MLN_SIG_PSS_512;
}

const char *mln_sig_name(enum mln_sig sig)
{
    return sig < MLN_SIGS ? sigs[sig].name : "";
}

bool mln_sig_of(struct mln_bytes name, enum mln_sig *ret)
{
    for (size_t i = 0; i < MLN_SIGS; i++) {
        if (mln_bytes_is_nocase(name, sigs[i].name)) {
            *ret = (enum mln_sig)i;
            return true;
        }
    }
    return false;
}

bool mln_sig_fits(enum mln_sig sig, enum mln_key_kind kind)
{
    return sig < MLN_SIGS && sigs[sig].kind == kind;
}

const EVP_MD *x509_digest_of(enum mln_sig sig)
{
    unsigned bits = sigs[sig].hash_bits;
    return bits == 256   ? EVP_sha256()
           : bits == 384 ? EVP_sha384()
           : bits == 512 ? EVP_sha512()
                         : NULL;
}

struct mln_err mln_sig_pick(struct mln_cx *cx, enum mln_key_kind kind, unsigned key_bits,
                            int64_t hash_bits, bool use_pss, enum mln_sig *ret)
{
    if (hash_bits != 0 && hash_bits != 256 && hash_bits != 384 && hash_bits != 512) {
        return mln_fail(cx, MLN_E_INVALID, "unsupported hash signature algorithm: %lld",
                        (long long)hash_bits);
    }
    if (kind == MLN_KEY_ED25519) {
        *ret = MLN_SIG_ED25519;
    } else if (kind == MLN_KEY_EC) {
        *ret = key_bits <= 256 ? MLN_SIG_EC_256 : key_bits == 384 ? MLN_SIG_EC_384 : MLN_SIG_EC_512;
    } else {
        enum mln_sig base = use_pss ? MLN_SIG_PSS_256 : MLN_SIG_RSA_256;
        *ret = (enum mln_sig)(base + (hash_bits == 384 ? 1 : hash_bits == 512 ? 2 : 0));
    }
    return MLN_OK;
}

/* ---- signing ---- */

EVP_PKEY *x509_key_of(struct crypto_thread *t, struct mln_bytes pkcs8)
{
    uint8_t id[32];
    const uint8_t *at = pkcs8.ptr;
    EVP_Digest(pkcs8.ptr, pkcs8.len, id, NULL, crypto_algorithms()->sha256, NULL);
    for (size_t i = 0; i < PKEY_SLOTS; i++) {
        if (t->pkey[i].key != NULL && mln_eq_ct(t->pkey[i].id, 32, id, 32)) {
            return t->pkey[i].key;
        }
    }
    EVP_PKEY *key = pkcs8.len > 0 ? d2i_AutoPrivateKey(NULL, &at, (long)pkcs8.len) : NULL;
    if (key == NULL) {
        return NULL;
    }
    struct pkey_slot *slot = &t->pkey[t->pkey_next++ % PKEY_SLOTS];
    EVP_PKEY_free(slot->key); /* OpenSSL wipes private numbers when it frees them */
    slot->key = key;
    mln_copy(slot->id, id, sizeof(id));
    return key;
}

static bool sign_with(EVP_PKEY *key, enum mln_sig sig, struct mln_bytes tbs, uint8_t *out,
                      size_t *ret_n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    bool is_ok =
        ctx != NULL && EVP_DigestSignInit(ctx, &options, x509_digest_of(sig), NULL, key) == 1;
    if (is_ok && x509_is_pss(sig)) {
        is_ok = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) > 0 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) > 0;
    }
    is_ok = is_ok && EVP_DigestSign(ctx, out, ret_n, tbs.ptr, tbs.len) == 1;
    EVP_MD_CTX_free(ctx);
    return is_ok;
}

struct mln_err x509_sign(struct mln_cx *cx, struct mln_bytes tbs, const struct mln_x509_signer *by,
                         struct mln_bytes *ret)
{
    uint8_t signature[2048]; /* RSA 16384 */
    size_t n = sizeof(signature);
    MLN_TRY(mln_cx_err(cx)); /* of the parts */
    {
        CRYPTO_ENTER(t);
        EVP_PKEY *key = x509_key_of(t, by->pkcs8);
        if (key == NULL || (size_t)EVP_PKEY_get_size(key) > sizeof(signature) ||
            !sign_with(key, by->sig, tbs, signature, &n)) {
            return crypto_failed(cx, "signing");
        }
    }
    *ret = DER(cx, DER_SEQUENCE, tbs, der_algorithm(cx, by->sig),
               der_bits(cx, mln_bytes_at(signature, n)));
    return mln_cx_err(cx);
}
