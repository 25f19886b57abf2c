/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign certificates and requests, read by OpenSSL into plain members. Nothing here trusts what it reads. */
#include "crypto/x509_priv.h"

#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/text.h"

static void x509_drop(X509 **p)
{
    X509_free(*p);
}

static void req_drop(X509_REQ **p)
{
    X509_REQ_free(*p);
}

static void exts_drop(STACK_OF(X509_EXTENSION) * *p)
{
    sk_X509_EXTENSION_pop_free(*p, X509_EXTENSION_free);
}

static void octets_drop(ASN1_OCTET_STRING **p)
{
    ASN1_OCTET_STRING_free(*p);
}

static struct mln_err parse_failed(struct mln_cx *cx, const char *what)
{
    (void)crypto_failed(NULL, what); /* drains OpenSSL's queue */
    return mln_fail(cx, MLN_E_PARSE, "the %s is damaged", what);
}

static struct mln_bytes octets_of(struct mln_cx *cx, const ASN1_STRING *s)
{
    return s != NULL ? mln_bytes_dup(cx, mln_bytes_at(ASN1_STRING_get0_data(s),
                                                      (size_t)ASN1_STRING_length(s)))
                     : MLN_BYTES_NONE;
}

/* A name as DER: OpenSSL keeps what it read. */
static struct mln_err name_of(struct mln_cx *cx, const X509_NAME *name, struct mln_bytes *ret)
{
    const unsigned char *der = NULL;
    size_t n = 0;
    if (X509_NAME_get0_der(name, &der, &n) != 1) {
        return parse_failed(cx, "name");
    }
    *ret = mln_bytes_dup(cx, mln_bytes_at(der, n));
    return MLN_OK;
}

static struct mln_err common_name_of(struct mln_cx *cx, const X509_NAME *name,
                                     struct mln_bytes *ret)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    *ret = MLN_BYTES_NONE;
    if (at < 0) {
        return MLN_OK;
    }
    unsigned char *text = NULL;
    int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (n < 0) {
        return parse_failed(cx, "common name");
    }
    *ret = mln_bytes_dup(cx, mln_bytes_at(text, (size_t)n));
    OPENSSL_free(text);
    return MLN_OK;
}

static struct mln_err key_of(struct mln_cx *cx, EVP_PKEY *key, X509_PUBKEY *public,
                             struct mln_x509_info *info)
{
    unsigned char *der = NULL;
    if (key == NULL) {
        (void)crypto_failed(NULL, "key");
        return mln_fail(cx, MLN_E_UNSUPPORTED, "the public key is of an unknown kind");
    }
    MLN_TRY(x509_key_kind(cx, key, &info->kind, &info->bits));
    int n = i2d_X509_PUBKEY(public, &der);
    if (n <= 0) {
        return parse_failed(cx, "public key");
    }
    info->spki = mln_bytes_dup(cx, mln_bytes_at(der, (size_t)n));
    OPENSSL_free(der);
    return MLN_OK;
}

/* ---- extensions ---- */

static bool san_of(struct mln_cx *cx, const GENERAL_NAME *g, struct mln_san *ret)
{
    int type = 0;
    const void *value = GENERAL_NAME_get0_value(g, &type);
    char oid[128];
    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI || type == GEN_IPADD) {
        *ret = (struct mln_san){.kind = (enum mln_san_kind)type, .value = octets_of(cx, value)};
        return type != GEN_IPADD || ret->value.len == 4 || ret->value.len == 16;
    }
    if (type != GEN_OTHERNAME) {
        return false;
    }
    const OTHERNAME *other = value;
    int n = OBJ_obj2txt(oid, sizeof(oid), other->type_id, 1);
    if (n <= 0 || n >= (int)sizeof(oid) || other->value->type != V_ASN1_UTF8STRING) {
        return false;
    }
    *ret = (struct mln_san){.kind = MLN_SAN_OTHER,
                            .value = octets_of(cx, other->value->value.utf8string),
                            .oid = mln_bytes_dup(cx, mln_bytes_at(oid, (size_t)n))};
    return true;
}

static struct mln_err sans_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                              struct mln_x509_info *info)
{
    int critical = 0;
    GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, &critical, NULL);
    int n = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
    struct mln_err err = MLN_OK;
    if (critical == -2 || (names == NULL && critical != -1) || n > (int)MLN_X509_NAMES_MAX) {
        err = parse_failed(cx, "list of alternative names");
        n = 0;
    }
    struct mln_san *sans = mln_new_array(cx, (size_t)n + 1, sizeof(*sans));
    for (int i = 0; sans != NULL && i < n && !mln_failed(err); i++) {
        if (san_of(cx, sk_GENERAL_NAME_value(names, i), &sans[info->sans_n])) {
            info->sans_n++;
        } else {
            err = mln_fail(cx, MLN_E_UNSUPPORTED, "an alternative name is of an unsupported kind");
        }
    }
    info->sans = sans;
    GENERAL_NAMES_free(names);
    return mln_failed(err) ? err : mln_cx_err(cx);
}

static struct mln_err basic_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                               struct mln_x509_info *info)
{
    int critical = 0;
    BASIC_CONSTRAINTS *basic = X509V3_get_d2i(exts, NID_basic_constraints, &critical, NULL);
    info->path_length = -1;
    if (basic == NULL) {
        return critical == -1 ? MLN_OK : parse_failed(cx, "basic constraints");
    }
    info->has_basic = true;
    info->is_ca = basic->ca != 0;
    if (basic->pathlen != NULL) {
        info->path_length = ASN1_INTEGER_get(basic->pathlen);
    }
    BASIC_CONSTRAINTS_free(basic);
    return info->path_length >= -1 ? MLN_OK : parse_failed(cx, "path length");
}

static struct mln_err usage_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                               struct mln_x509_info *info)
{
    int critical = 0;
    ASN1_BIT_STRING *bits = X509V3_get_d2i(exts, NID_key_usage, &critical, NULL);
    if (bits == NULL) {
        return critical == -1 ? MLN_OK : parse_failed(cx, "key usage");
    }
    for (int i = 0; i < 9; i++) {
        info->key_usage |= ASN1_BIT_STRING_get_bit(bits, i) != 0 ? 1u << i : 0;
    }
    ASN1_BIT_STRING_free(bits);
    return MLN_OK;
}

static struct mln_err ext_usage_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                                   struct mln_x509_info *info)
{
    int critical = 0;
    EXTENDED_KEY_USAGE *all = X509V3_get_d2i(exts, NID_ext_key_usage, &critical, NULL);
    struct mln_value *out = mln_array(cx);
    info->ext_key_usage = out;
    if (all == NULL) {
        return critical == -1 ? MLN_OK : parse_failed(cx, "extended key usage");
    }
    for (int i = 0; i < sk_ASN1_OBJECT_num(all); i++) {
        char oid[128];
        int n = OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(all, i), 1);
        if (n > 0 && n < (int)sizeof(oid)) {
            mln_push(cx, out, mln_string_dup(cx, mln_bytes_at(oid, (size_t)n)));
        }
    }
    EXTENDED_KEY_USAGE_free(all);
    return mln_cx_err(cx);
}

static struct mln_err key_ids_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                                 struct mln_x509_info *info)
{
    int critical = 0;
    MLN_AUTO(octets_drop)
    ASN1_OCTET_STRING *own = X509V3_get_d2i(exts, NID_subject_key_identifier, &critical, NULL);
    info->subject_key = octets_of(cx, own);
    if (own == NULL && critical != -1) {
        return parse_failed(cx, "subject key identifier");
    }
    AUTHORITY_KEYID *authority =
        X509V3_get_d2i(exts, NID_authority_key_identifier, &critical, NULL);
    if (authority != NULL) {
        info->authority_key = octets_of(cx, authority->keyid);
    }
    AUTHORITY_KEYID_free(authority);
    ERR_clear_error(); /* a damaged one is as none: nothing is decided by it */
    return mln_cx_err(cx);
}

static struct mln_err raw_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                             struct mln_x509_info *info)
{
    int n = exts != NULL ? sk_X509_EXTENSION_num(exts) : 0;
    if (n > (int)MLN_X509_EXTS_MAX) {
        return mln_fail(cx, MLN_E_PARSE, "more than %u extensions", MLN_X509_EXTS_MAX);
    }
    struct mln_x509_extension *all = mln_new_array(cx, (size_t)(n < 0 ? 0 : n) + 1, sizeof(*all));
    for (int i = 0; all != NULL && i < n; i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(exts, i);
        char oid[128];
        unsigned char *der = NULL;
        int oid_n = OBJ_obj2txt(oid, sizeof(oid), X509_EXTENSION_get_object(e), 1),
            der_n = i2d_X509_EXTENSION(e, &der);
        if (oid_n <= 0 || oid_n >= (int)sizeof(oid) || der_n <= 0) {
            OPENSSL_free(der);
            return parse_failed(cx, "extension");
        }
        all[i].oid = mln_text_dup(cx, mln_bytes_at(oid, (size_t)oid_n));
        all[i].der = mln_bytes_dup(cx, mln_bytes_at(der, (size_t)der_n));
        OPENSSL_free(der);
    }
    info->extensions = all;
    info->extensions_n = (size_t)(n < 0 ? 0 : n);
    return mln_cx_err(cx);
}

/* All but the alternative names. */
static struct mln_err extensions_of(struct mln_cx *cx, const STACK_OF(X509_EXTENSION) * exts,
                                    struct mln_x509_info *info)
{
    MLN_TRY(raw_of(cx, exts, info));
    MLN_TRY(basic_of(cx, exts, info));
    MLN_TRY(usage_of(cx, exts, info));
    MLN_TRY(ext_usage_of(cx, exts, info));
    return key_ids_of(cx, exts, info);
}

/* ---- certificates and requests ---- */

static struct mln_err time_of(struct mln_cx *cx, const ASN1_TIME *t, int64_t *ret)
{
    int days = 0, seconds = 0;
    ASN1_TIME *zero = ASN1_TIME_new();
    bool is_ok = zero != NULL && ASN1_TIME_set(zero, 0) != NULL &&
                 ASN1_TIME_diff(&days, &seconds, zero, t) == 1;
    ASN1_TIME_free(zero);
    if (!is_ok) {
        return parse_failed(cx, "time");
    }
    *ret = (int64_t)days * 86400 + seconds;
    return MLN_OK;
}

static struct mln_err serial_of(struct mln_cx *cx, const ASN1_INTEGER *serial,
                                struct mln_bytes *ret)
{
    if (serial == NULL || ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ||
        ASN1_STRING_length(serial) > 20) {
        return mln_fail(cx, MLN_E_PARSE, "the serial number is negative or too long");
    }
    *ret = octets_of(cx, serial);
    return MLN_OK;
}

static struct mln_err read_cert(struct mln_cx *cx, struct mln_bytes der, bool has_names,
                                struct mln_x509_info *ret)
{
    const uint8_t *at = der.ptr;
    struct mln_x509_info info = {.der = der};
    crypto_algorithms();
    MLN_AUTO(x509_drop)
    X509 *x =
        der.len > 0 && der.len <= MLN_X509_MAX_BYTES ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    if (x == NULL || at != der.ptr + der.len) {
        return parse_failed(cx, "certificate");
    }
    MLN_TRY(name_of(cx, X509_get_subject_name(x), &info.subject));
    MLN_TRY(name_of(cx, X509_get_issuer_name(x), &info.issuer));
    MLN_TRY(common_name_of(cx, X509_get_subject_name(x), &info.common_name));
    MLN_TRY(serial_of(cx, X509_get0_serialNumber(x), &info.serial));
    MLN_TRY(time_of(cx, X509_get0_notBefore(x), &info.not_before_s));
    MLN_TRY(time_of(cx, X509_get0_notAfter(x), &info.not_after_s));
    MLN_TRY(key_of(cx, X509_get0_pubkey(x), X509_get_X509_PUBKEY(x), &info));
    MLN_TRY(extensions_of(cx, X509_get0_extensions(x), &info));
    MLN_TRY(has_names ? sans_of(cx, X509_get0_extensions(x), &info) : MLN_OK);
    *ret = info;
    return mln_cx_err(cx);
}

struct mln_err mln_x509_cert_read(struct mln_cx *cx, struct mln_bytes der,
                                  struct mln_x509_info *ret)
{
    return read_cert(cx, der, true, ret);
}

struct mln_err mln_x509_cert_read_unnamed(struct mln_cx *cx, struct mln_bytes der,
                                          struct mln_x509_info *ret)
{
    return read_cert(cx, der, false, ret);
}

struct mln_err mln_x509_csr_read(struct mln_cx *cx, struct mln_bytes der, struct mln_x509_info *ret)
{
    const uint8_t *at = der.ptr;
    struct mln_x509_info info = {.der = der};
    crypto_algorithms();
    MLN_AUTO(req_drop)
    X509_REQ *r =
        der.len > 0 && der.len <= MLN_X509_MAX_BYTES ? d2i_X509_REQ(NULL, &at, (long)der.len)
                                                     : NULL;
    if (r == NULL || at != der.ptr + der.len) {
        return parse_failed(cx, "request");
    }
    EVP_PKEY *key = X509_REQ_get0_pubkey(r);
    MLN_TRY(name_of(cx, X509_REQ_get_subject_name(r), &info.subject));
    MLN_TRY(common_name_of(cx, X509_REQ_get_subject_name(r), &info.common_name));
    MLN_TRY(key_of(cx, key, X509_REQ_get_X509_PUBKEY(r), &info));
    if (X509_REQ_verify(r, key) != 1) {
        (void)crypto_failed(NULL, "request");
        return mln_fail(cx, MLN_E_FORGED, "the request is not signed by its own key");
    }
    MLN_AUTO(exts_drop) STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(r);
    ERR_clear_error();
    MLN_TRY(extensions_of(cx, exts, &info));
    MLN_TRY(sans_of(cx, exts, &info));
    *ret = info;
    return mln_cx_err(cx);
}

struct mln_err mln_x509_cert_verify(struct mln_cx *cx, struct mln_bytes der,
                                    struct mln_bytes issuer)
{
    const uint8_t *at = der.ptr, *issuer_at = issuer.ptr;
    crypto_algorithms();
    MLN_AUTO(x509_drop)
    X509 *x =
        der.len > 0 && der.len <= MLN_X509_MAX_BYTES ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    MLN_AUTO(x509_drop)
    X509 *by = issuer.len > 0 && issuer.len <= MLN_X509_MAX_BYTES
                   ? d2i_X509(NULL, &issuer_at, (long)issuer.len)
                   : NULL;
    if (x == NULL || by == NULL) {
        return parse_failed(cx, "certificate");
    }
    bool is_named = X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(by)) == 0;
    if (!is_named || X509_get0_pubkey(by) == NULL || X509_verify(x, X509_get0_pubkey(by)) != 1) {
        (void)crypto_failed(NULL, "certificate");
        return mln_fail(cx, MLN_E_FORGED, "the certificate is not by this issuer");
    }
    return MLN_OK;
}
