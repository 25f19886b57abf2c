/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of clients by OpenSSL: reading, what the leaf says, the way to an authority, revocation. */
#include "auth/cert_priv.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#define CHAIN_MAX   8    /* certificates of one client, as front sends them */
#define DEPTH_MAX   8    /* authorities between a leaf and what is trusted */
#define AUTH_LEVEL  2    /* 112 bits: no SHA-1 signatures, no RSA below 2048 */


void cert_stack_drop(STACK_OF(X509) * *stack)
{
    sk_X509_pop_free(*stack, X509_free);
    *stack = NULL;
}

void cert_chain_drop(struct cert_chain *chain)
{
    X509_free(chain->leaf);
    cert_stack_drop(&chain->others);
    chain->leaf = NULL;
}

/* ---- reading ---- */

static X509 *from_der(struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    X509 *cert = der.len > 0 && der.len <= CERT_PEM_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    ERR_clear_error();
    if (cert != NULL && at != der.ptr + der.len) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

struct mln_err cert_chain_read(struct mln_cx *cx, const struct mln_value *certs, struct cert_chain *ret)
{
    MLN_AUTO(cert_chain_drop) struct cert_chain chain = {.others = sk_X509_new_null()};
    if (mln_len(certs) > CHAIN_MAX || chain.others == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "more client certificates than %d", CHAIN_MAX);
    }
    for (size_t i = 0; i < mln_len(certs); i++) {
        X509 *cert = from_der(mln_get_bytes(mln_item(certs, i)));
        if (cert == NULL) {
            return mln_fail(cx, MLN_E_INVALID, "a client certificate cannot be read");
        }
        if (i == 0) {
            chain.leaf = cert;
        } else if (sk_X509_push(chain.others, cert) <= 0) {
            X509_free(cert);
            return mln_fail(cx, MLN_E_MEMORY, "out of memory");
        }
    }
    *ret = chain;
    chain = (struct cert_chain){0};
    return MLN_OK;
}

/* Blanks and texts between the blocks are let be, as OpenSSL does; a block that is no certificate is refused. */
struct mln_err cert_pem_read(struct mln_cx *cx, struct mln_bytes pem, STACK_OF(X509) * *ret)
{
    MLN_AUTO(cert_stack_drop) STACK_OF(X509) *stack = sk_X509_new_null();
    BIO *bio = pem.len > 0 && pem.len <= CERT_PEM_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    X509 *cert;
    bool is_good = stack != NULL;
    while (is_good && bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        is_good = sk_X509_push(stack, cert) > 0;
    }
    unsigned long why = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (!is_good || !is_end || sk_X509_num(stack) < 1) {
        return mln_fail(cx, MLN_E_INVALID, "failed to parse certificate");
    }
    *ret = mln_take(&stack);
    return MLN_OK;
}

/* ---- what a leaf says ---- */

static struct mln_value *text_of(struct mln_cx *cx, const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, string);
    struct mln_bytes text = n > 0 ? mln_bytes_at(utf8, (size_t)n) : MLN_BYTES_NONE;
    bool is_good = text.len > 0 && text.len <= MLN_NAME_MAX_BYTES && mln_bytes_find(text, 0) == text.len && mln_utf8_valid(text);
    struct mln_value *ret = is_good ? mln_string_dup(cx, text) : NULL;
    OPENSSL_free(utf8);
    return ret;
}

static struct mln_value *entries_of(struct mln_cx *cx, const X509_NAME *name, int nid)
{
    struct mln_value *out = mln_array(cx);
    for (int at = X509_NAME_get_index_by_NID(name, nid, -1); at >= 0 && mln_len(out) < CERT_NAMES_MAX;
         at = X509_NAME_get_index_by_NID(name, nid, at)) {
        struct mln_value *text = text_of(cx, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
        if (text != NULL) {
            mln_push(cx, out, text);
        }
    }
    return out;
}

static void read_alt_names(struct mln_cx *cx, X509 *leaf, struct cert_facts *facts)
{
    struct mln_value *dns = mln_array(cx), *emails = mln_array(cx), *uris = mln_array(cx);
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < CERT_NAMES_MAX; i++) {
        int kind = 0;
        const ASN1_STRING *string = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
        struct mln_value *list = kind == GEN_DNS ? dns : kind == GEN_EMAIL ? emails : kind == GEN_URI ? uris : NULL;
        struct mln_value *text = list != NULL ? text_of(cx, string) : NULL;
        if (text != NULL) {
            mln_push(cx, list, text);
        }
    }
    GENERAL_NAMES_free(names);
    facts->dns = dns;
    facts->emails = emails;
    facts->uris = uris;
}

static const char *colons(struct mln_cx *cx, const ASN1_OCTET_STRING *id)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = id != NULL ? (size_t)ASN1_STRING_length(id) : 0;
    const uint8_t *from = n > 0 ? ASN1_STRING_get0_data(id) : NULL;
    char *text = n > 0 && n <= MLN_NAME_MAX_BYTES ? mln_new(cx, 3 * n) : NULL;
    for (size_t i = 0; text != NULL && i < n; i++) {
        text[3 * i] = digits[from[i] >> 4];
        text[3 * i + 1] = digits[from[i] & 15];
        text[3 * i + 2] = i + 1 < n ? ':' : '\0';
    }
    return text != NULL ? text : "";
}

static const char *serial_of(struct mln_cx *cx, const ASN1_INTEGER *serial)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
    char *decimal = number != NULL ? BN_bn2dec(number) : NULL;
    const char *text = decimal != NULL ? mln_text_dup(cx, mln_bytes_of(decimal)) : "";
    OPENSSL_free(decimal);
    BN_free(number);
    return text;
}

struct mln_err cert_facts_read(struct mln_cx *cx, X509 *leaf, struct cert_facts *ret)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    struct mln_value *common = entries_of(cx, subject, NID_commonName);
    struct cert_facts facts = {
        .common_name = mln_get_text(cx, mln_item(common, 0), ""),
        .serial = serial_of(cx, X509_get0_serialNumber(leaf)),
        .subject_key_id = colons(cx, X509_get0_subject_key_id(leaf)),
        .authority_key_id = colons(cx, X509_get0_authority_key_id(leaf)),
        .units = entries_of(cx, subject, NID_organizationalUnitName),
    };
    read_alt_names(cx, leaf, &facts);
    ERR_clear_error();
    *ret = facts;
    return mln_cx_err(cx);
}

/* The text in a DER string of whatever kind, or none. */
static struct mln_bytes string_in(struct mln_cx *cx, struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    ASN1_TYPE *any = d2i_ASN1_TYPE(NULL, &at, (long)der.len);
    struct mln_value *text = NULL;
    int kind = any != NULL ? ASN1_TYPE_get(any) : 0;
    if (kind == V_ASN1_UTF8STRING || kind == V_ASN1_PRINTABLESTRING || kind == V_ASN1_IA5STRING || kind == V_ASN1_T61STRING ||
        kind == V_ASN1_BMPSTRING || kind == V_ASN1_NUMERICSTRING || kind == V_ASN1_VISIBLESTRING) {
        text = text_of(cx, any->value.asn1_string);
    }
    ASN1_TYPE_free(any);
    ERR_clear_error();
    return mln_get_bytes(text);
}

bool cert_extension(struct mln_cx *cx, X509 *leaf, const char *oid, struct mln_bytes *ret_text, struct mln_bytes *ret_der)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = object != NULL ? X509_get_ext_by_OBJ(leaf, object, -1) : -1;
    ASN1_OBJECT_free(object);
    ERR_clear_error();
    if (at < 0) {
        return false;
    }
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(leaf, at));
    *ret_der = mln_bytes_dup(cx, mln_bytes_at(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)));
    *ret_text = string_in(cx, *ret_der);
    return true;
}

/* ---- trust ---- */

static bool is_authority(X509 *cert)
{
    return X509_check_ca(cert) == 1;
}

static bool is_in_time(const X509 *cert, time_t now)
{
    time_t at = now;
    return X509_cmp_time(X509_get0_notBefore(cert), &at) < 0 && X509_cmp_time(X509_get0_notAfter(cert), &at) > 0;
}

/* The leaf itself stands in the entry. */
static bool is_pinned(const struct cert_chain *chain, STACK_OF(X509) * trusted, time_t now, STACK_OF(X509) * *ret_path)
{
    bool is_found = false;
    for (int i = 0; !is_found && i < sk_X509_num(trusted); i++) {
        X509 *cert = sk_X509_value(trusted, i);
        is_found = !is_authority(cert) && X509_cmp(cert, chain->leaf) == 0 && is_in_time(cert, now);
    }
    STACK_OF(X509) *path = is_found ? sk_X509_new_null() : NULL;
    if (path == NULL || sk_X509_push(path, chain->leaf) <= 0) {
        sk_X509_free(path);
        return false;
    }
    (void)X509_up_ref(chain->leaf);
    *ret_path = path;
    return true;
}

static X509_STORE *store_of(STACK_OF(X509) * trusted)
{
    X509_STORE *store = X509_STORE_new();
    int n = 0;
    for (int i = 0; store != NULL && i < sk_X509_num(trusted); i++) {
        X509 *cert = sk_X509_value(trusted, i);
        n += is_authority(cert) && X509_STORE_add_cert(store, cert) == 1;
    }
    if (n == 0) {
        X509_STORE_free(store);
        return NULL;
    }
    return store;
}

bool cert_is_trusted(const struct cert_chain *chain, STACK_OF(X509) * trusted, int64_t now_s, STACK_OF(X509) * *ret_path)
{
    if (is_pinned(chain, trusted, (time_t)now_s, ret_path)) {
        return true;
    }
    X509_STORE *store = store_of(trusted);
    X509_STORE_CTX *ctx = store != NULL ? X509_STORE_CTX_new() : NULL;
    bool is_good = ctx != NULL && X509_STORE_CTX_init(ctx, store, chain->leaf, chain->others) == 1;
    if (is_good) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
        X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
        X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
        is_good = X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) == 1 &&
                  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                  X509_verify_cert(ctx) == 1;
    }
    STACK_OF(X509) *path = is_good ? X509_STORE_CTX_get1_chain(ctx) : NULL;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    *ret_path = path != NULL ? path : *ret_path;
    return path != NULL;
}

/* ---- revocation ---- */

static X509_CRL *crl_of(struct mln_bytes text)
{
    X509_CRL *crl = NULL;
    if (text.len == 0 || text.len > CERT_CRL_MAX) {
        return NULL;
    }
    if (text.ptr[0] == 0x30) {
        const uint8_t *at = text.ptr;
        crl = d2i_X509_CRL(NULL, &at, (long)text.len);
    } else {
        BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
        crl = bio != NULL ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
        BIO_free(bio);
    }
    ERR_clear_error();
    return crl;
}

struct mln_err cert_crl_read(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes *ret_der, const struct mln_value **ret_serials)
{
    X509_CRL *crl = crl_of(text);
    struct mln_value *serials = mln_array(cx);
    unsigned char *der = NULL;
    if (crl == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "failed to parse CRL");
    }
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < sk_X509_REVOKED_num(revoked); i++) {
        const X509_REVOKED *one = sk_X509_REVOKED_value(revoked, i);
        mln_push_text(cx, serials, serial_of(cx, X509_REVOKED_get0_serialNumber(one)));
    }
    int n = i2d_X509_CRL(crl, &der);
    *ret_der = n > 0 ? mln_bytes_dup(cx, mln_bytes_at(der, (size_t)n)) : MLN_BYTES_NONE;
    *ret_serials = serials;
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return mln_cx_err(cx);
}

bool cert_is_revoked(struct mln_bytes crl_der, STACK_OF(X509) * path)
{
    X509_CRL *crl = crl_of(crl_der);
    X509_REVOKED *entry = NULL;
    bool is_revoked = crl == NULL; /* what was stored can be read; if not, nobody gets in by it */
    for (int i = 0; !is_revoked && i < sk_X509_num(path); i++) {
        X509 *cert = sk_X509_value(path, i);
        is_revoked = X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(cert)) == 0 &&
                     X509_CRL_get0_by_cert(crl, &entry, cert) == 1; /* 2: taken off again */
    }
    X509_CRL_free(crl);
    ERR_clear_error();
    return is_revoked;
}
