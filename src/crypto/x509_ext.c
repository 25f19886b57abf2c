/* SPDX-License-Identifier: Apache-2.0 */
/* Extensions of certificates and requests (RFC 5280 sec. 4.2), as DER. */
#include "crypto/x509_priv.h"

#include <openssl/objects.h>
#include <openssl/sha.h>

#define LIST_MAX 1024u /* items of one extension */

struct mln_bytes mln_ext_basic(struct mln_cx *cx, bool is_ca, int64_t path_length)
{
    struct mln_bytes ca = is_ca ? der_true() : MLN_BYTES_NONE;
    struct mln_bytes length = is_ca && path_length >= 0 ? der_int(cx, path_length) : MLN_BYTES_NONE;
    return der_extension(cx, der_nid(cx, NID_basic_constraints), true,
                         DER(cx, DER_SEQUENCE, ca, length));
}

/* A named bit list: the first bit is the highest, trailing zeros are cut (X.690 sec. 11.2.2). */
struct mln_bytes mln_ext_key_usage(struct mln_cx *cx, unsigned usage)
{
    uint8_t bits[3] = {0};
    unsigned highest = 0;
    for (unsigned i = 0; i < 9; i++) {
        if ((usage >> i & 1) != 0) {
            bits[1 + i / 8] |= (uint8_t)(0x80 >> i % 8);
            highest = i;
        }
    }
    bits[0] = (uint8_t)(usage != 0 ? 7 - highest % 8 : 0);
    size_t n = usage == 0 ? 1 : 2 + highest / 8;
    return der_extension(cx, der_nid(cx, NID_key_usage), true,
                         DER(cx, DER_BITS, mln_bytes_at(bits, n)));
}

/* Each text of the list by `one`, in a sequence. */
static struct mln_bytes sequence_of(struct mln_cx *cx, const struct mln_value *texts,
                                    struct mln_bytes (*one)(struct mln_cx *, struct mln_bytes))
{
    size_t n = mln_len(texts);
    if (n > LIST_MAX) {
        (void)mln_failed(
            mln_fail(cx, MLN_E_INVALID, "more than %u items of one extension", LIST_MAX));
        return MLN_BYTES_NONE;
    }
    struct mln_bytes *parts = mln_new_array(cx, n + 1, sizeof(*parts));
    for (size_t i = 0; parts != NULL && i < n; i++) {
        parts[i] = one(cx, mln_get_bytes(mln_item(texts, i)));
    }
    return parts != NULL ? der_wrap(cx, DER_SEQUENCE, parts, n) : MLN_BYTES_NONE;
}

struct mln_bytes mln_ext_ext_key_usage(struct mln_cx *cx, const struct mln_value *oids)
{
    return der_extension(cx, der_nid(cx, NID_ext_key_usage), false, sequence_of(cx, oids, der_oid));
}

static struct mln_bytes policy(struct mln_cx *cx, struct mln_bytes oid)
{
    return DER(cx, DER_SEQUENCE, der_oid(cx, oid));
}

struct mln_bytes mln_ext_policies(struct mln_cx *cx, const struct mln_value *oids)
{
    return der_extension(cx, der_nid(cx, NID_certificate_policies), false,
                         sequence_of(cx, oids, policy));
}

struct mln_bytes mln_ext_subject_key(struct mln_cx *cx, struct mln_bytes id)
{
    return der_extension(cx, der_nid(cx, NID_subject_key_identifier), false,
                         DER(cx, DER_OCTETS, id));
}

struct mln_bytes mln_ext_authority_key(struct mln_cx *cx, struct mln_bytes id)
{
    struct mln_bytes inner = DER(cx, DER_SEQUENCE, DER(cx, DER_CONTEXT + 0, id));
    return der_extension(cx, der_nid(cx, NID_authority_key_identifier), false, inner);
}

static bool is_ia5(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 0x80 || text.ptr[i] < 0x20) {
            return false;
        }
    }
    return true;
}

static struct mln_bytes general_name(struct mln_cx *cx, const struct mln_san *san)
{
    if (san->kind == MLN_SAN_OTHER) {
        struct mln_bytes value = DER(cx, DER_CONTEXT_IN + 0, DER(cx, DER_UTF8, san->value));
        return DER(cx, DER_CONTEXT_IN + 0, der_oid(cx, san->oid), value);
    }
    if (san->kind != MLN_SAN_IP && !is_ia5(san->value)) {
        (void)mln_failed(mln_fail(cx, MLN_E_INVALID, "an alternative name is not ASCII"));
    }
    return DER(cx, DER_CONTEXT + (unsigned)san->kind, san->value);
}

struct mln_bytes mln_ext_names(struct mln_cx *cx, const struct mln_san *sans, size_t n,
                               bool is_critical)
{
    struct mln_bytes *parts = mln_new_array(cx, n + 1, sizeof(*parts));
    for (size_t i = 0; parts != NULL && i < n; i++) {
        parts[i] = general_name(cx, &sans[i]);
    }
    struct mln_bytes names = parts != NULL ? der_wrap(cx, DER_SEQUENCE, parts, n) : MLN_BYTES_NONE;
    return der_extension(cx, der_nid(cx, NID_subject_alt_name), is_critical, names);
}

static struct mln_bytes url_name(struct mln_cx *cx, struct mln_bytes url)
{
    return general_name(cx, &(struct mln_san){.kind = MLN_SAN_URI, .value = url});
}

static struct mln_bytes crl_point(struct mln_cx *cx, struct mln_bytes url)
{
    struct mln_bytes full = DER(cx, DER_CONTEXT_IN + 0, url_name(cx, url));
    return DER(cx, DER_SEQUENCE, DER(cx, DER_CONTEXT_IN + 0, full));
}

struct mln_bytes mln_ext_crl_points(struct mln_cx *cx, const struct mln_value *urls, bool is_delta)
{
    int nid = is_delta ? NID_freshest_crl : NID_crl_distribution_points;
    return der_extension(cx, der_nid(cx, nid), false, sequence_of(cx, urls, crl_point));
}

static struct mln_bytes ocsp_access(struct mln_cx *cx, struct mln_bytes url)
{
    return DER(cx, DER_SEQUENCE, der_nid(cx, NID_ad_OCSP), url_name(cx, url));
}

static struct mln_bytes issuer_access(struct mln_cx *cx, struct mln_bytes url)
{
    return DER(cx, DER_SEQUENCE, der_nid(cx, NID_ad_ca_issuers), url_name(cx, url));
}

/* What is inside an outer tag: sequence_of's own head is not wanted twice. */
static struct mln_bytes inside(struct mln_bytes der)
{
    size_t head = der.len < 2 ? der.len : der.ptr[1] < 0x80 ? 2 : 2 + (size_t)(der.ptr[1] & 0x7f);
    return mln_bytes_from(der, head);
}

struct mln_bytes mln_ext_access(struct mln_cx *cx, const struct mln_value *ocsp,
                                const struct mln_value *issuers)
{
    struct mln_bytes a = sequence_of(cx, ocsp, ocsp_access),
                     b = sequence_of(cx, issuers, issuer_access);
    return der_extension(cx, der_nid(cx, NID_info_access), false,
                         DER(cx, DER_SEQUENCE, inside(a), inside(b)));
}

static struct mln_bytes dns_subtree(struct mln_cx *cx, struct mln_bytes domain)
{
    return DER(cx, DER_SEQUENCE,
               general_name(cx, &(struct mln_san){.kind = MLN_SAN_DNS, .value = domain}));
}

struct mln_bytes mln_ext_permitted_dns(struct mln_cx *cx, const struct mln_value *domains)
{
    struct mln_bytes permitted =
        DER(cx, DER_CONTEXT_IN + 0, inside(sequence_of(cx, domains, dns_subtree)));
    return der_extension(cx, der_nid(cx, NID_name_constraints), true,
                         DER(cx, DER_SEQUENCE, permitted));
}

/* ---- identifiers ---- */

struct mln_bytes x509_key_bits(struct mln_bytes spki)
{
    const uint8_t *at = spki.ptr;
    long n = 0;
    int tag = 0, klass = 0;
    const uint8_t *end = spki.ptr + spki.len;
    if (spki.len == 0 || (ASN1_get_object(&at, &n, &tag, &klass, end - at) & 0x80) != 0 ||
        tag != V_ASN1_SEQUENCE) {
        return MLN_BYTES_NONE;
    }
    if ((ASN1_get_object(&at, &n, &tag, &klass, end - at) & 0x80) != 0 || n > end - at) {
        return MLN_BYTES_NONE;
    }
    at += n;
    bool is_bits =
        (ASN1_get_object(&at, &n, &tag, &klass, end - at) & 0x80) == 0 && tag == V_ASN1_BIT_STRING;
    return is_bits && n > 1 && n <= end - at ? mln_bytes_at(at + 1, (size_t)n - 1) : MLN_BYTES_NONE;
}

struct mln_err mln_x509_key_id(struct mln_cx *cx, struct mln_bytes spki, struct mln_bytes *ret)
{
    uint8_t id[20];
    struct mln_bytes bits = x509_key_bits(spki);
    if (bits.len == 0 || EVP_Digest(bits.ptr, bits.len, id, NULL, EVP_sha1(), NULL) != 1) {
        return crypto_failed(cx, "identifying a key");
    }
    *ret = mln_bytes_dup(cx, DER_RAW(id));
    return mln_cx_err(cx);
}
