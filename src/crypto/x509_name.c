/* SPDX-License-Identifier: Apache-2.0 */
/* Distinguished names (X.501) and PEM (RFC 7468) of certificates. */
#include "crypto/x509_priv.h"

#include <limits.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <sodium.h>

#include "base/text.h"

#define NAME_PART_MAX  1024 /* bytes of one attribute: RFC 5280's bounds are below, real names too */
#define NAME_PARTS_MAX 64   /* values of one attribute */

/* Go's asn1.isPrintable: PrintableString, with "*" and "&" which names of hosts and firms have. */
static bool is_printable(struct mln_bytes text)
{
    const struct mln_bytes others = MLN_BYTES(" '()+,-./:=?*&");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && mln_bytes_find(others, c) == others.len) {
            return false;
        }
    }
    return true;
}

static struct mln_err attribute(struct mln_cx *cx, int nid, struct mln_bytes text,
                                struct mln_bytes *ret)
{
    if (text.len > NAME_PART_MAX || !mln_utf8_valid(text) || mln_bytes_find(text, 0) < text.len) {
        return mln_fail(cx, MLN_E_INVALID, "a part of the subject is too long or no text");
    }
    unsigned tag = is_printable(text) ? DER_PRINTABLE : DER_UTF8;
    *ret = DER(cx, DER_SEQUENCE, der_nid(cx, nid), DER(cx, tag, text));
    return MLN_OK;
}

/* SET OF is sorted (X.690 sec. 11.6). */
static void sort_parts(struct mln_bytes *parts, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct mln_bytes one = parts[i];
        size_t at = i;
        for (; at > 0 && mln_bytes_cmp(parts[at - 1], one) > 0; at--) {
            parts[at] = parts[at - 1];
        }
        parts[at] = one;
    }
}

/* All values of an attribute in one relative name. */
static struct mln_err relative(struct mln_cx *cx, int nid, const struct mln_value *texts,
                               struct mln_bytes *ret)
{
    struct mln_bytes parts[NAME_PARTS_MAX];
    size_t n = 0;
    if (mln_len(texts) > NAME_PARTS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "more than %d values of one part of the subject",
                        NAME_PARTS_MAX);
    }
    for (size_t i = 0; i < mln_len(texts); i++) {
        struct mln_bytes text = mln_get_bytes(mln_item(texts, i));
        if (text.len > 0) {
            MLN_TRY(attribute(cx, nid, text, &parts[n]));
            n++;
        }
    }
    sort_parts(parts, n);
    *ret = n > 0 ? der_wrap(cx, DER_SET, parts, n) : MLN_BYTES_NONE;
    return MLN_OK;
}

static const struct mln_value *one_of(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_value *list = mln_array(cx);
    if (text.len > 0) {
        mln_push(cx, list, mln_string(cx, text));
    }
    return list;
}

struct mln_err mln_x509_name_print(struct mln_cx *cx, const struct mln_x509_name *name,
                                   struct mln_bytes *ret)
{
    const struct {
        int nid;
        const struct mln_value *texts;
    } all[] = {
        {NID_countryName, name->country},
        {NID_organizationName, name->organization},
        {NID_organizationalUnitName, name->ou},
        {NID_localityName, name->locality},
        {NID_stateOrProvinceName, name->province},
        {NID_streetAddress, name->street},
        {NID_postalCode, name->postal_code},
        {NID_commonName, one_of(cx, name->common_name)},
        {NID_serialNumber, one_of(cx, name->serial_number)},
        {NID_userId, name->user_ids},
    };
    struct mln_bytes parts[MLN_COUNT(all)];
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        MLN_TRY(relative(cx, all[i].nid, all[i].texts, &parts[i]));
    }
    *ret = der_wrap(cx, DER_SEQUENCE, parts, MLN_COUNT(all));
    return mln_cx_err(cx);
}

/* ---- PEM ---- */

bool mln_pem_next(struct mln_cx *cx, struct mln_bytes *text, struct mln_bytes *ret_label,
                  struct mln_bytes *ret_der, bool *ret_bad)
{
    const struct mln_bytes begin = MLN_BYTES("-----BEGIN "), dashes = MLN_BYTES("-----");
    struct mln_bytes rest = mln_bytes_from(*text, mln_bytes_find_bytes(*text, begin));
    *ret_bad = false;
    if (rest.len == 0) {
        return false;
    }
    rest = mln_bytes_from(rest, begin.len);
    *ret_bad = true;
    size_t label_n = mln_bytes_find_bytes(rest, dashes);
    struct mln_bytes label = mln_bytes_sub(rest, 0, label_n);
    if (label_n == rest.len || label_n > 64) {
        return false;
    }
    rest = mln_bytes_from(rest, label_n + dashes.len);
    struct mln_bytes end = mln_bytes_format(cx, "-----END %.*s-----", MLN_FMT(label));
    size_t body_n = mln_bytes_find_bytes(rest, end);
    uint8_t *der = end.len > 0 && body_n < rest.len ? mln_new(cx, body_n / 4 * 3 + 3) : NULL;
    size_t n = 0;
    if (der == NULL ||
        sodium_base642bin(der, body_n / 4 * 3 + 3, (const char *)rest.ptr, body_n, "\r\n \t", &n,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
        return false;
    }
    *text = mln_bytes_from(rest, body_n + end.len);
    *ret_label = label;
    *ret_der = mln_bytes_at(der, n);
    *ret_bad = false;
    return true;
}

const char *mln_pem_text(struct mln_cx *cx, const char *label, struct mln_bytes der)
{
    size_t base64_n = (der.len + 2) / 3 * 4, lines = (base64_n + 63) / 64,
           label_n = mln_bytes_of(label).len;
    size_t all = base64_n + lines + 2 * label_n + 34;
    char *raw = mln_new(cx, base64_n + 1), *out = mln_new(cx, all);
    if (raw == NULL || out == NULL) {
        return "";
    }
    sodium_bin2base64(raw, base64_n + 1, der.ptr, der.len, sodium_base64_VARIANT_ORIGINAL);
    size_t at = 0;
    const struct mln_bytes head[] = {MLN_BYTES("-----BEGIN "), mln_bytes_of(label),
                                     MLN_BYTES("-----\n")};
    const struct mln_bytes tail[] = {MLN_BYTES("-----END "), mln_bytes_of(label),
                                     MLN_BYTES("-----")};
    for (size_t i = 0; i < MLN_COUNT(head); i++) {
        mln_copy(out + at, head[i].ptr, head[i].len);
        at += head[i].len;
    }
    for (size_t from = 0; from < base64_n; from += 64) {
        size_t n = base64_n - from < 64 ? base64_n - from : 64;
        mln_copy(out + at, raw + from, n);
        at += n;
        out[at++] = '\n';
    }
    for (size_t i = 0; i < MLN_COUNT(tail); i++) {
        mln_copy(out + at, tail[i].ptr, tail[i].len);
        at += tail[i].len;
    }
    MLN_CHECK(at < all);
    return out; /* mln_new gave zeros: it ends in NUL */
}

/* ---- as text ---- */

static void x509_drop(X509 **cert)
{
    X509_free(*cert);
}

static void bio_drop(BIO **bio)
{
    (void)BIO_free(*bio);
}

struct mln_err mln_x509_subject_text(struct mln_cx *cx, struct mln_bytes cert_der, const char **ret)
{
    const unsigned char *at = cert_der.ptr;
    char *text = NULL;
    MLN_AUTO(x509_drop) X509 *cert = cert_der.len <= LONG_MAX ? d2i_X509(NULL, &at, (long)cert_der.len) : NULL;
    MLN_AUTO(bio_drop) BIO *out = BIO_new(BIO_s_mem());
    if (cert == NULL || out == NULL ||
        X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0) {
        return mln_fail(cx, MLN_E_PARSE, "the certificate cannot be read");
    }
    long n = BIO_get_mem_data(out, &text);
    *ret = mln_text_dup(cx, mln_bytes_at(text, n > 0 ? (size_t)n : 0));
    return mln_cx_err(cx);
}
