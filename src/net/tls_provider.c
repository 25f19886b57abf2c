/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenSSL provider inside front: an EC P-256 key that is a public point only, and an ECDSA whose
 * signatures are fetched from core. It has no export, so nothing else in OpenSSL can use the key.
 * Source: provider-keymgmt(7), provider-signature(7).
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <string.h>

#include "net/front_priv.h"

#define POINT_BYTES         65
#define SIGNATURE_BYTES_MAX 72 /* DER of two 32-byte integers */

struct key {
    uint8_t point[POINT_BYTES];
    bool has_point;
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
    return k != NULL && k->has_point;
}

static int key_match(const void *a, const void *b, int selection)
{
    (void)selection;
    return a != NULL && b != NULL && mln_same(a, b, sizeof(struct key));
}

static int key_import(void *key, int selection, const OSSL_PARAM params[])
{
    struct key *k = key;
    (void)selection;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    if (p == NULL || p->data_type != OSSL_PARAM_OCTET_STRING || p->data_size != POINT_BYTES) {
        return 0;
    }
    mln_copy(k->point, p->data, POINT_BYTES);
    k->has_point = true;
    return 1;
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
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

static int key_get_params(void *key, OSSL_PARAM params[])
{
    (void)key;
    return set_int(params, OSSL_PKEY_PARAM_BITS, 256) &&
           set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, 128) &&
           set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, SIGNATURE_BYTES_MAX) &&
           set_text(params, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1") &&
           set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256");
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

static const char *key_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

/* ---- signature ---- */

static void *sign_new(void *provider, const char *properties)
{
    (void)provider;
    (void)properties;
    return mln_alloc(8);
}

static void sign_free(void *ctx)
{
    mln_free(ctx);
}

static int sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
    (void)ctx;
    (void)key;
    (void)params;
    return digest == NULL || strcmp(digest, "SHA256") == 0 || strcmp(digest, "SHA2-256") == 0;
}

static int sign_once(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_max,
                     const unsigned char *input, size_t n)
{
    (void)ctx;
    if (sig == NULL) {
        *sig_len = SIGNATURE_BYTES_MAX;
        return 1;
    }
    return sig_max >= SIGNATURE_BYTES_MAX && sign_input(input, n, sig, sig_len, sig_max);
}

/* ---- tables ---- */

#define ENTRY(id, fn)                                                                              \
    {                                                                                              \
        (id), (void (*)(void))(fn)                                                                 \
    }

static const OSSL_DISPATCH key_functions[] = {
    ENTRY(OSSL_FUNC_KEYMGMT_NEW, key_new),
    ENTRY(OSSL_FUNC_KEYMGMT_FREE, key_free),
    ENTRY(OSSL_FUNC_KEYMGMT_HAS, key_has),
    ENTRY(OSSL_FUNC_KEYMGMT_MATCH, key_match),
    ENTRY(OSSL_FUNC_KEYMGMT_IMPORT, key_import),
    ENTRY(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),
    ENTRY(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),
    ENTRY(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),
    ENTRY(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, key_operation),
    {0, NULL},
};
static const OSSL_DISPATCH sign_functions[] = {
    ENTRY(OSSL_FUNC_SIGNATURE_NEWCTX, sign_new),
    ENTRY(OSSL_FUNC_SIGNATURE_FREECTX, sign_free),
    ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sign_init),
    ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign_once),
    {0, NULL},
};
static const OSSL_ALGORITHM keys[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=merlon", key_functions, "keys in core"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", "provider=merlon", sign_functions, "signatures by core"},
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

struct mln_err tls_provider_key(struct mln_cx *cx, OSSL_LIB_CTX *lib, const X509 *cert,
                                EVP_PKEY **ret)
{
    uint8_t point[POINT_BYTES];
    char group[32] = "";
    size_t n = 0;
    EVP_PKEY *public_key = X509_get0_pubkey(cert);
    if (public_key == NULL || EVP_PKEY_get_group_name(public_key, group, sizeof(group), &n) != 1 ||
        strcmp(group, "prime256v1") != 0 ||
        EVP_PKEY_get_octet_string_param(public_key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                        &n) != 1 ||
        n != sizeof(point)) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "tls: the listener's certificate has no P-256 key");
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, "EC", "provider=merlon");
    EVP_PKEY *key = NULL;
    bool is_made = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
                   EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!is_made) {
        return mln_fail(cx, MLN_E_CRYPTO, "tls: the listener's key cannot be made");
    }
    *ret = key;
    return MLN_OK;
}
