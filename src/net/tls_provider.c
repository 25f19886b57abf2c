/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenSSL provider inside front: EC (P-256, P-384) and RSA keys that are public halves only, and signatures that are fetched from
 * core. It has no export, so nothing else in OpenSSL can use a key.
 * Source: provider-keymgmt(7), provider-signature(7).
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_provider_priv.h"

#define POINT_BYTES_MAX   97 /* P-384, uncompressed */
#define MODULUS_BYTES_MAX 512
#define MODULUS_BYTES_MIN 256 /* RSA-2048: browsers refuse less */
#define EXPONENT_BYTES    8

enum kind { KIND_NONE, KIND_EC, KIND_RSA };

/* Zero behind what is used, so that keys compare as bytes. */
struct key {
    enum kind kind;
    size_t n; /* of point or modulus */
    uint8_t point[POINT_BYTES_MAX];
    uint8_t modulus[MODULUS_BYTES_MAX], exponent[EXPONENT_BYTES];
};

struct signing {
    const struct key *key;
    bool is_pss;
};

static tls_sign_fn *sign_input; /* the same for all: set before threads start */

/* ---- key management ---- */

static void *key_new(void *provider)
{
    (void)provider;
    return mln_alloc(sizeof(struct key));
}

static void key_free(void *key)
{
    mln_free(key);
}

static int key_has(const void *key, int selection)
{
    const struct key *k = key;
    (void)selection; /* the private part is with core */
    return k != NULL && k->kind != KIND_NONE;
}

static int key_match(const void *a, const void *b, int selection)
{
    (void)selection;
    return a != NULL && b != NULL && mln_same(a, b, sizeof(struct key));
}

static int ec_import(void *key, int selection, const OSSL_PARAM params[])
{
    struct key *k = key;
    (void)selection;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    if (p == NULL || p->data_type != OSSL_PARAM_OCTET_STRING || (p->data_size != 65 && p->data_size != 97)) {
        return 0;
    }
    mln_copy(k->point, p->data, p->data_size);
    k->n = p->data_size;
    k->kind = KIND_EC;
    return 1;
}

static int rsa_import(void *key, int selection, const OSSL_PARAM params[])
{
    struct key *k = key;
    BIGNUM *n = NULL, *e = NULL;
    (void)selection;
    const OSSL_PARAM *pn = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_N);
    const OSSL_PARAM *pe = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_E);
    bool is_good = pn != NULL && pe != NULL && OSSL_PARAM_get_BN(pn, &n) == 1 && OSSL_PARAM_get_BN(pe, &e) == 1 &&
                   BN_num_bytes(n) >= MODULUS_BYTES_MIN && BN_num_bytes(n) <= MODULUS_BYTES_MAX &&
                   BN_bn2binpad(e, k->exponent, EXPONENT_BYTES) == EXPONENT_BYTES;
    if (is_good) {
        k->n = (size_t)BN_num_bytes(n);
        (void)BN_bn2bin(n, k->modulus);
        k->kind = KIND_RSA;
    }
    BN_free(n);
    BN_free(e);
    return is_good;
}

static const OSSL_PARAM *ec_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_END};
    (void)selection;
    return types;
}

static const OSSL_PARAM *rsa_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
                                       OSSL_PARAM_END};
    (void)selection;
    return types;
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    return p == NULL || OSSL_PARAM_set_int(p, value);
}

static int set_text(OSSL_PARAM params[], const char *name, const char *value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    return p == NULL || OSSL_PARAM_set_utf8_string(p, value);
}

/* DER of two integers of 32 or 48 bytes, or the modulus' length. */
static size_t signature_size(const struct key *k)
{
    return k->kind == KIND_RSA ? k->n : k->n == 65 ? 72 : 104;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
    const struct key *k = key;
    bool is_rsa = k->kind == KIND_RSA, is_p256 = k->n == 65;
    int bits = is_rsa ? (int)k->n * 8 : is_p256 ? 256 : 384;
    int strength = !is_rsa ? bits / 2 : k->n < 384 ? 112 : 128; /* SP 800-57 part 1, table 2 */
    return set_int(params, OSSL_PKEY_PARAM_BITS, bits) && set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, strength) &&
           set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, (int)signature_size(k)) &&
           (is_rsa || set_text(params, OSSL_PKEY_PARAM_GROUP_NAME, is_p256 ? "prime256v1" : "secp384r1")) &&
           set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, is_rsa || is_p256 ? "SHA256" : "SHA384");
}

static const OSSL_PARAM *key_gettable(void *provider)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)provider;
    return types;
}

static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *rsa_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

/* ---- signature ---- */

static void *sign_new(void *provider, const char *properties)
{
    (void)provider;
    (void)properties;
    return mln_alloc(sizeof(struct signing));
}

static void sign_free(void *ctx)
{
    mln_free(ctx);
}

static bool is_digest(const char *digest, const char *a, const char *b)
{
    return digest == NULL || strcmp(digest, a) == 0 || strcmp(digest, b) == 0;
}

/* Padding by name or number; the salt is always as long as the digest. */
static int sign_set_params(void *ctx, const OSSL_PARAM params[])
{
    struct signing *s = ctx;
    const OSSL_PARAM *pad = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    const OSSL_PARAM *salt = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (pad != NULL && pad->data_type == OSSL_PARAM_UTF8_STRING) {
        s->is_pss = strcmp(pad->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
    } else if (pad != NULL) {
        int mode = 0;
        s->is_pss = OSSL_PARAM_get_int(pad, &mode) == 1 && mode == RSA_PKCS1_PSS_PADDING;
    }
    if (salt != NULL && salt->data_type == OSSL_PARAM_UTF8_STRING) {
        return strcmp(salt->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
    }
    int n = RSA_PSS_SALTLEN_DIGEST;
    return salt == NULL || (OSSL_PARAM_get_int(salt, &n) == 1 && (n == RSA_PSS_SALTLEN_DIGEST || n == 32));
}

static const OSSL_PARAM *sign_settable(void *ctx, void *provider)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END};
    (void)ctx;
    (void)provider;
    return types;
}

static int sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct signing *s = ctx;
    s->key = key != NULL ? key : s->key;
    s->is_pss = false;
    if (s->key == NULL || (params != NULL && !sign_set_params(ctx, params))) {
        return 0;
    }
    bool is_p384 = s->key->kind == KIND_EC && s->key->n == 97;
    return is_p384 ? is_digest(digest, "SHA384", "SHA2-384") : is_digest(digest, "SHA256", "SHA2-256");
}

static int sign_once(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_max,
                     const unsigned char *input, size_t n)
{
    const struct signing *s = ctx;
    size_t size = signature_size(s->key);
    if (sig == NULL) {
        *sig_len = size;
        return 1;
    }
    enum mln_tls_how how = s->key->kind == KIND_EC ? MLN_TLS_ECDSA : s->is_pss ? MLN_TLS_PSS : MLN_TLS_PKCS1;
    return sig_max >= size && sign_input(how, input, n, sig, sig_len, sig_max);
}

/* ---- tables ---- */

#define ENTRY(id, fn)                                                                              \
    {                                                                                              \
        (id), (void (*)(void))(fn)                                                                 \
    }

#define KEY_FUNCTIONS(kind)                                                                        \
    {                                                                                              \
        ENTRY(OSSL_FUNC_KEYMGMT_NEW, key_new), ENTRY(OSSL_FUNC_KEYMGMT_FREE, key_free),            \
            ENTRY(OSSL_FUNC_KEYMGMT_HAS, key_has), ENTRY(OSSL_FUNC_KEYMGMT_MATCH, key_match),      \
            ENTRY(OSSL_FUNC_KEYMGMT_IMPORT, kind##_import),                                        \
            ENTRY(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, kind##_import_types),                            \
            ENTRY(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                                   \
            ENTRY(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),                                \
            ENTRY(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, kind##_operation), {0, NULL},            \
    }

static const OSSL_DISPATCH ec_functions[] = KEY_FUNCTIONS(ec);
static const OSSL_DISPATCH rsa_functions[] = KEY_FUNCTIONS(rsa);
static const OSSL_DISPATCH sign_functions[] = {
    ENTRY(OSSL_FUNC_SIGNATURE_NEWCTX, sign_new),
    ENTRY(OSSL_FUNC_SIGNATURE_FREECTX, sign_free),
    ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sign_init),
    ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign_once),
    ENTRY(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, sign_set_params),
    ENTRY(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, sign_settable),
    {0, NULL},
};
static const OSSL_ALGORITHM keys[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=merlon", ec_functions, "keys in core"},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=merlon", rsa_functions, "keys in core"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", "provider=merlon", sign_functions, "signatures by core"},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=merlon", sign_functions, "signatures by core"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
                                                   {0, NULL}};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **ctx)
{
    static char self;
    (void)handle;
    (void)in;
    *out = provider_functions;
    *ctx = &self;
    return 1;
}

struct mln_err tls_provider_load(struct mln_cx *cx, OSSL_LIB_CTX *lib, tls_sign_fn *sign,
                                 OSSL_PROVIDER *ret_loaded[2])
{
    sign_input = sign;
    ret_loaded[0] = OSSL_PROVIDER_load(lib, "default");
    if (ret_loaded[0] != NULL && OSSL_PROVIDER_add_builtin(lib, "merlon", provider_init) == 1) {
        ret_loaded[1] = OSSL_PROVIDER_load(lib, "merlon");
    }
    if (ret_loaded[1] == NULL) {
        return mln_fail(cx, MLN_E_CRYPTO, "tls: the signing provider cannot be loaded");
    }
    return MLN_OK;
}

static EVP_PKEY *make_key(OSSL_LIB_CTX *lib, const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, type, "provider=merlon");
    EVP_PKEY *key = NULL;
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1) {
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *ec_key(OSSL_LIB_CTX *lib, EVP_PKEY *public_key)
{
    uint8_t point[POINT_BYTES_MAX];
    char group[32] = "";
    size_t n = 0;
    if (EVP_PKEY_get_group_name(public_key, group, sizeof(group), &n) != 1 ||
        (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0) ||
        EVP_PKEY_get_octet_string_param(public_key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) != 1) {
        return NULL;
    }
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, n), OSSL_PARAM_construct_end()};
    return make_key(lib, "EC", params);
}

static EVP_PKEY *rsa_key(OSSL_LIB_CTX *lib, EVP_PKEY *public_key)
{
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;
    if (EVP_PKEY_todata(public_key, EVP_PKEY_PUBLIC_KEY, &params) == 1) {
        key = make_key(lib, "RSA", params);
    }
    OSSL_PARAM_free(params);
    return key;
}

struct mln_err tls_provider_key(struct mln_cx *cx, OSSL_LIB_CTX *lib, const X509 *cert,
                                EVP_PKEY **ret)
{
    EVP_PKEY *public_key = X509_get0_pubkey(cert);
    EVP_PKEY *key = public_key == NULL                  ? NULL
                    : EVP_PKEY_is_a(public_key, "RSA") == 1 ? rsa_key(lib, public_key)
                                                            : ec_key(lib, public_key);
    if (key == NULL) {
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "tls: the listener's certificate has no key of P-256, P-384 or RSA with 2,048 to 4,096 bits");
    }
    *ret = key;
    return MLN_OK;
}
