/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.x509.*, crypto.parse_private_keys: text (PEM, or base64 of PEM or DER) to certificates, requests, keys. */
#include "rego/x509_shape_priv.h"

#include "base/text.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#define TEXT_MAX  ((size_t)1 << 20) /* bytes of one argument: certificates are a few KB each */
#define CERTS_MAX 128 /* in one argument: chains are short, each costs a verification */

static bool is_pem(struct mln_bytes t)
{
    return mln_bytes_starts(t, MLN_BYTES("-----BEGIN"));
}

/* Base64 with line ends, into the heap of the call. */
static bool read_base64(struct rg_call *call, struct mln_bytes t, struct mln_bytes *ret)
{
    struct mln_cx cx;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_cx_init(&cx, NULL);
    if (mln_failed(mln_base64_parse(&cx, rg_one_line(call->heap, t), MLN_B64_STD, &out))) {
        return rg_fail(call, "%s", cx.text);
    }
    *ret = mln_bytes_at(rg_text_dup(call->heap, mln_buf_bytes(&out)), out.len);
    return true;
}

/* PEM as it is, else what base64 makes of the text. */
static bool unwrap(struct rg_call *call, uint32_t pos, struct mln_bytes *ret)
{
    if (!rg_arg_string(call, pos, ret)) {
        return false;
    }
    if (ret->len > TEXT_MAX || !rg_spend(call->vm, 100 + ret->len)) {
        return rg_fail(call, "text is longer than %zu bytes", TEXT_MAX);
    }
    return is_pem(*ret) || read_base64(call, *ret, ret);
}

/* The next block of PEM. False at the end; *ret_der is freed with OPENSSL_free. */
static bool next_block(BIO *bio, char **ret_type, unsigned char **ret_der, long *ret_len)
{
    char *header = NULL;
    bool ok = PEM_read_bio(bio, ret_type, &header, ret_der, ret_len) == 1;
    OPENSSL_free(header);
    ERR_clear_error();
    return ok;
}

static bool add_certs(struct rg_call *call, STACK_OF(X509) * list, const unsigned char *der,
                      long len)
{
    const unsigned char *p = der;
    while (p < der + len) {
        X509 *cert = sk_X509_num(list) < CERTS_MAX ? d2i_X509(NULL, &p, der + len - p) : NULL;
        if (cert == NULL || sk_X509_push(list, cert) == 0) {
            X509_free(cert);
            ERR_clear_error();
            return rg_fail(call, sk_X509_num(list) >= CERTS_MAX ? "more than 128 certificates"
                                                                : "x509: malformed certificate");
        }
    }
    return true;
}

static bool add_pem(struct rg_call *call, STACK_OF(X509) * list, struct mln_bytes pem)
{
    MLN_AUTO(rg_x509_bio_drop) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    char *type = NULL;
    unsigned char *der = NULL;
    long len = 0;
    bool ok = bio != NULL;
    while (ok && next_block(bio, &type, &der, &len)) {
        ok = mln_bytes_is(mln_bytes_of(type), "CERTIFICATE")
                 ? add_certs(call, list, der, len)
                 : rg_fail(call, "PEM block type is '%.64s', expected CERTIFICATE", type);
        OPENSSL_free(type);
        OPENSSL_free(der);
    }
    return ok;
}

/* All certificates of an argument, one at least. */
static bool read_certs(struct rg_call *call, uint32_t pos, STACK_OF(X509) * *ret)
{
    struct mln_bytes t;
    *ret = sk_X509_new_null();
    if (*ret == NULL || !unwrap(call, pos, &t)) {
        return false;
    }
    bool ok = is_pem(t) ? add_pem(call, *ret, t) : add_certs(call, *ret, t.ptr, (long)t.len);
    return ok && (sk_X509_num(*ret) > 0 || rg_fail(call, "x509: malformed certificate"));
}

static struct rg_val cert_value(struct rg_call *call, X509 *cert, bool with_uris)
{
    struct rg_val v = rg_x509_cert(call->heap, cert);
    if (with_uris) {
        rg_put_text(call->heap, v, "URIStrings", rg_x509_uri_strings(call->heap, cert));
    }
    return v;
}

static bool parse_certificates(struct rg_call *call)
{
    MLN_AUTO(rg_x509_stack_drop) STACK_OF(X509) *certs = NULL;
    struct rg_val out = rg_array(call->heap, 2);
    if (!read_certs(call, 1, &certs)) {
        return false;
    }
    for (int i = 0; i < sk_X509_num(certs); i++) {
        rg_push(call->heap, out, cert_value(call, sk_X509_value(certs, i), true));
    }
    return rg_return(call, out);
}

/* ---- chains ---- */
struct wanted {
    struct mln_bytes dns;
    int64_t now_s;   /* 0: now */
    uint32_t usages; /* bits of Go's numbers; 0: server */
};

static const struct usage {
    const char *name;
    int nid; /* 0: OpenSSL has none */
} usages[] = {{"KeyUsageAny", NID_anyExtendedKeyUsage},
              {"KeyUsageServerAuth", NID_server_auth},
              {"KeyUsageClientAuth", NID_client_auth},
              {"KeyUsageCodeSigning", NID_code_sign},
              {"KeyUsageEmailProtection", NID_email_protect},
              {"KeyUsageIPSECEndSystem", NID_ipsecEndSystem},
              {"KeyUsageIPSECTunnel", NID_ipsecTunnel},
              {"KeyUsageIPSECUser", NID_ipsecUser},
              {"KeyUsageTimeStamping", NID_time_stamp},
              {"KeyUsageOCSPSigning", NID_OCSP_sign},
              {"KeyUsageMicrosoftServerGatedCrypto", NID_ms_sgc},
              {"KeyUsageNetscapeServerGatedCrypto", NID_ns_sgc},
              {"KeyUsageMicrosoftCommercialCodeSigning", NID_ms_code_com},
              {"KeyUsageMicrosoftKernelCodeSigning", 0}};

/* The usages, of those asked for, that a certificate allows. */
static uint32_t allowed(X509 *cert, uint32_t asked)
{
    EXTENDED_KEY_USAGE *list = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    uint32_t out = list == NULL ? asked : 0;
    for (int i = 0; i < (list == NULL ? 0 : sk_ASN1_OBJECT_num(list)); i++) {
        int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(list, i));
        if (nid == NID_anyExtendedKeyUsage) {
            out = asked;
        }
        for (size_t k = 1; k < MLN_COUNT(usages); k++) {
            out |= usages[k].nid != 0 && usages[k].nid == nid ? asked & UINT32_C(1) << k : 0;
        }
    }
    EXTENDED_KEY_USAGE_free(list);
    return out;
}

/* One of the usages must be left when each certificate of the chain took away what it does not allow (as Go does). */
static bool has_usage(const STACK_OF(X509) * chain, uint32_t asked)
{
    asked = asked == 0 ? 2 : asked;
    for (int i = sk_X509_num(chain) - 1; i >= 0 && (asked & 1) == 0; i--) {
        asked = allowed(sk_X509_value(chain, i), asked);
    }
    return asked != 0;
}

static bool has_name(X509 *leaf, struct mln_bytes name)
{
    const unsigned flags =
        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    char text[256];
    if (name.len == 0) {
        return true;
    }
    if (name.len >= sizeof(text)) {
        return false;
    }
    mln_copy(text, name.ptr, name.len);
    text[name.len] = '\0';
    return X509_check_host(leaf, text, name.len, flags, NULL) == 1 ||
           X509_check_ip_asc(leaf, text, 0) == 1;
}

/* Root first, leaf last, what is between them in any order. The chain from leaf to root, or NULL. */
static STACK_OF(X509) * verify(const STACK_OF(X509) * certs, const struct wanted *w)
{
    int n = sk_X509_num(certs);
    STACK_OF(X509) *between = sk_X509_new_null(), *chain = NULL;
    X509_STORE *roots = X509_STORE_new();
    X509_STORE_CTX *cx = X509_STORE_CTX_new();
    bool ok = n >= 2 && between != NULL && roots != NULL && cx != NULL &&
              X509_STORE_add_cert(roots, sk_X509_value(certs, 0)) == 1;
    for (int i = 1; ok && i < n - 1; i++) {
        ok = sk_X509_push(between, sk_X509_value(certs, i)) > 0;
    }
    X509 *leaf = n > 0 ? sk_X509_value(certs, n - 1) : NULL;
    if (ok && X509_STORE_CTX_init(cx, roots, leaf, between) == 1) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(cx);
        X509_VERIFY_PARAM_set_auth_level(param, 1); /* no MD5, no SHA-1: as Go */
        (void)X509_VERIFY_PARAM_set_flags(param,
                                          X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
        if (w->now_s != 0) {
            X509_VERIFY_PARAM_set_time(param, (time_t)w->now_s);
        }
        if (X509_verify_cert(cx) == 1 && has_name(leaf, w->dns)) {
            chain = X509_STORE_CTX_get1_chain(cx);
        }
    }
    X509_STORE_CTX_free(cx);
    X509_STORE_free(roots);
    sk_X509_free(between);
    ERR_clear_error();
    if (chain != NULL && !has_usage(chain, w->usages)) {
        sk_X509_pop_free(chain, X509_free);
        return NULL;
    }
    return chain;
}

static bool verified(struct rg_call *call, const STACK_OF(X509) * certs, const struct wanted *w,
                     bool with_uris)
{
    MLN_AUTO(rg_x509_stack_drop) STACK_OF(X509) *chain = certs == NULL ? NULL : verify(certs, w);
    struct rg_val out = rg_array(call->heap, 2), list = rg_array(call->heap, 2);
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
        rg_push(call->heap, list, cert_value(call, sk_X509_value(chain, i), with_uris));
    }
    rg_push(call->heap, out, rg_bool(chain != NULL));
    rg_push(call->heap, out, list);
    return rg_return(call, out);
}

static bool parse_and_verify(struct rg_call *call)
{
    MLN_AUTO(rg_x509_stack_drop) STACK_OF(X509) *certs = NULL;
    const struct wanted any = {.now_s = rg_now_ns(call->vm) / 1000000000};
    struct mln_bytes t;
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    bool ok = read_certs(call, 1, &certs);
    return verified(call, ok ? certs : NULL, &any, true);
}

static bool read_usages(struct rg_call *call, struct rg_val v, uint32_t *ret)
{
    if (v.tag != RG_ARRAY && v.tag != RG_SET) {
        return rg_fail(call, "'KeyUsages' should be an Array or Set");
    }
    for (size_t i = 0; i < rg_len(v); i++) {
        struct rg_val name = v.tag == RG_ARRAY ? rg_item(v, i) : rg_key_at(v, i);
        size_t k = 0;
        while (k < MLN_COUNT(usages) && name.tag == RG_STR &&
               !mln_bytes_is(rg_bytes(name), usages[k].name)) {
            k++;
        }
        if (name.tag == RG_STR && k == MLN_COUNT(usages)) {
            return rg_fail(call, "invalid entries for 'KeyUsages' found: [%.*s]",
                           MLN_FMT(rg_bytes(name)));
        }
        *ret |= name.tag == RG_STR ? UINT32_C(1) << k : 0;
    }
    return true;
}

static bool read_option(struct rg_call *call, struct rg_val key, struct rg_val v, struct wanted *w)
{
    struct mln_bytes name = key.tag == RG_STR ? rg_bytes(key) : MLN_BYTES_NONE;
    int64_t n = 0;
    if (key.tag != RG_STR) {
        return true;
    }
    if (mln_bytes_is(name, "DNSName")) {
        w->dns = v.tag == RG_STR ? rg_bytes(v) : MLN_BYTES_NONE;
        return v.tag == RG_STR || rg_fail(call, "'DNSName' should be a string");
    }
    if (mln_bytes_is(name, "CurrentTime")) {
        if (!rg_is_number(v) || !rg_num_int(v, &n)) {
            return rg_fail(call, "'CurrentTime' should be a %s",
                           rg_is_number(v) ? "valid int64 number" : "number");
        }
        w->now_s = n / 1000000000;
        return true;
    }
    if (mln_bytes_is(name, "MaxConstraintComparisons")) { /* OpenSSL has a bound of its own */
        return (rg_is_number(v) && rg_num_int(v, &n)) ||
               rg_fail(call, "'MaxConstraintComparisons' should be a number");
    }
    return mln_bytes_is(name, "KeyUsages") ? read_usages(call, v, &w->usages)
                                           : rg_fail(call, "invalid key option");
}

static bool parse_and_verify_with(struct rg_call *call)
{
    MLN_AUTO(rg_x509_stack_drop) STACK_OF(X509) *certs = NULL;
    struct wanted w = {.now_s = rg_now_ns(call->vm) / 1000000000};
    struct rg_val options;
    struct mln_bytes t;
    if (!rg_arg_string(call, 1, &t) || !rg_arg_tag(call, 2, RG_OBJECT, &options)) {
        return false;
    }
    if (!read_certs(call, 1, &certs)) {
        return verified(call, NULL, &w, false);
    }
    for (size_t i = 0; i < rg_len(options); i++) {
        if (!read_option(call, rg_key_at(options, i), rg_val_at(options, i), &w)) {
            return false;
        }
    }
    return verified(call, certs, &w, false);
}

/* ---- requests ---- */
static bool parse_request(struct rg_call *call)
{
    MLN_AUTO(rg_x509_req_drop) X509_REQ *req = NULL;
    struct mln_bytes t;
    if (!unwrap(call, 1, &t)) {
        return false;
    }
    if (is_pem(t)) {
        MLN_AUTO(rg_x509_bio_drop) BIO *bio = BIO_new_mem_buf(t.ptr, (int)t.len);
        char *type = NULL;
        unsigned char *der = NULL;
        long len = 0;
        if (bio == NULL || !next_block(bio, &type, &der, &len)) {
            return rg_fail(call, "invalid PEM-encoded certificate signing request");
        }
        bool ok = mln_bytes_is(mln_bytes_of(type), "CERTIFICATE REQUEST");
        t = mln_bytes_at(rg_text_dup(call->heap, mln_bytes_at(der, (size_t)len)), (size_t)len);
        OPENSSL_free(type);
        OPENSSL_free(der);
        if (!ok) {
            return rg_fail(call, "invalid PEM-encoded certificate signing request");
        }
    }
    const unsigned char *p = t.ptr;
    req = d2i_X509_REQ(NULL, &p, (long)t.len);
    ERR_clear_error();
    if (req == NULL || p != t.ptr + t.len) {
        return rg_fail(call, "asn1: structure error: this is no certificate request");
    }
    return rg_return(call, rg_x509_request(call->heap, req, t));
}

/* ---- private keys ---- */
static EVP_PKEY *read_key(const char *type, const unsigned char *der, long len)
{
    static const struct {
        const char *type;
        int kind; /* of EVP; 0: PKCS #8 */
    } known[] = {
        {"RSA PRIVATE KEY", EVP_PKEY_RSA}, {"EC PRIVATE KEY", EVP_PKEY_EC}, {"PRIVATE KEY", 0}};
    const unsigned char *p = der;
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (!mln_bytes_is(mln_bytes_of(type), known[i].type)) {
            continue;
        }
        EVP_PKEY *key = known[i].kind != 0 ? d2i_PrivateKey(known[i].kind, NULL, &p, len)
                                           : d2i_AutoPrivateKey(NULL, &p, len);
        ERR_clear_error();
        return key;
    }
    return NULL;
}

static bool is_key_block(const char *type)
{
    struct mln_bytes t = mln_bytes_of(type);
    return mln_bytes_is(t, "PRIVATE KEY") || mln_bytes_is(t, "RSA PRIVATE KEY") ||
           mln_bytes_is(t, "EC PRIVATE KEY");
}

/* Go's parser of what the block should be. */
static bool no_key(struct rg_call *call)
{
    return rg_fail(call, "x509: failed to parse private key");
}

typedef struct rg_val (*key_value_fn)(struct rg_heap *heap, EVP_PKEY *key);

/* The keys of PEM, each as a value; blocks of other kinds are passed over. */
static bool read_keys(struct rg_call *call, struct mln_bytes pem, key_value_fn make,
                      struct rg_val list)
{
    MLN_AUTO(rg_x509_bio_drop) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    char *type = NULL;
    unsigned char *der = NULL;
    long len = 0;
    bool ok = bio != NULL;
    while (ok && list.arr->len < CERTS_MAX && next_block(bio, &type, &der, &len)) {
        if (is_key_block(type)) {
            MLN_AUTO(rg_x509_pkey_drop) EVP_PKEY *key = read_key(type, der, len);
            struct rg_val v = key == NULL ? RG_NONE : make(call->heap, key);
            ok = v.tag != RG_UNDEF || no_key(call);
            rg_push(call->heap, list, ok ? v : rg_null());
        }
        OPENSSL_free(type);
        OPENSSL_clear_free(der, (size_t)len);
    }
    return ok;
}

static bool parse_private_keys(struct rg_call *call)
{
    struct mln_bytes t, plain;
    struct rg_val list = rg_array(call->heap, 1);
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    if (t.len == 0) {
        return rg_return(call, rg_null());
    }
    if (t.len > TEXT_MAX || !rg_spend(call->vm, 100 + t.len)) {
        return rg_fail(call, "text is longer than %zu bytes", TEXT_MAX);
    }
    plain = !is_pem(t) && read_base64(call, t, &plain) ? plain : t;
    return read_keys(call, plain, rg_x509_private_key, list) && rg_return(call, list);
}

static bool parse_rsa_private_key(struct rg_call *call)
{
    struct mln_bytes t;
    struct rg_val list = rg_array(call->heap, 1);
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    if (t.len == 0) {
        return rg_fail(call, "input PEM data was empty");
    }
    return unwrap(call, 1, &t) && read_keys(call, t, rg_x509_jwk, list) &&
           rg_return(call, list.arr->len == 0 ? rg_null() : rg_item(list, 0));
}

/* ---- pairs ---- */
static bool read_pair_key(struct rg_call *call, EVP_PKEY **ret)
{
    struct mln_bytes t;
    if (!unwrap(call, 2, &t)) {
        return false;
    }
    if (!is_pem(t)) {
        *ret = read_key("PRIVATE KEY", t.ptr, (long)t.len);
        return *ret != NULL || no_key(call);
    }
    MLN_AUTO(rg_x509_bio_drop) BIO *bio = BIO_new_mem_buf(t.ptr, (int)t.len);
    char *type = NULL;
    unsigned char *der = NULL;
    long len = 0;
    while (bio != NULL && *ret == NULL && next_block(bio, &type, &der, &len)) {
        *ret = is_key_block(type) ? read_key(type, der, len) : NULL;
        OPENSSL_free(type);
        OPENSSL_clear_free(der, (size_t)len);
    }
    return *ret != NULL || rg_fail(call, "tls: failed to find any PEM data in key input");
}

static bool parse_keypair(struct rg_call *call)
{
    MLN_AUTO(rg_x509_stack_drop) STACK_OF(X509) *certs = NULL;
    MLN_AUTO(rg_x509_pkey_drop) EVP_PKEY *key = NULL;
    struct rg_heap *heap = call->heap;
    struct rg_val out = rg_object(heap, 6), list = rg_array(heap, 1);
    if (!read_certs(call, 1, &certs) || !read_pair_key(call, &key)) {
        return false;
    }
    X509 *leaf = sk_X509_value(certs, 0);
    struct rg_val private = rg_x509_private_key(heap, key);
    if (private.tag == RG_UNDEF) {
        return rg_fail(call, "tls: found unknown private key type");
    }
    if (EVP_PKEY_eq(X509_get0_pubkey(leaf), key) != 1) {
        ERR_clear_error();
        return rg_fail(call, "tls: private key does not match public key");
    }
    for (int i = 0; i < sk_X509_num(certs); i++) {
        struct rg_val v = rg_x509_cert(heap, sk_X509_value(certs, i));
        rg_push(heap, list, rg_get_text(v, "Raw"));
    }
    rg_put_text(heap, out, "Certificate", list);
    rg_put_text(heap, out, "PrivateKey", private);
    rg_put_text(heap, out, "Leaf", rg_x509_cert(heap, leaf));
    rg_put_text(heap, out, "OCSPStaple", rg_null());
    rg_put_text(heap, out, "SignedCertificateTimestamps", rg_null());
    rg_put_text(heap, out, "SupportedSignatureAlgorithms", rg_null());
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_x509[] = {
    {"crypto.x509.parse_certificates", parse_certificates},
    {"crypto.x509.parse_and_verify_certificates", parse_and_verify},
    {"crypto.x509.parse_and_verify_certificates_with_options", parse_and_verify_with},
    {"crypto.x509.parse_certificate_request", parse_request},
    {"crypto.x509.parse_keypair", parse_keypair},
    {"crypto.x509.parse_rsa_private_key", parse_rsa_private_key},
    {"crypto.parse_private_keys", parse_private_keys},
    {NULL, NULL}};
