/* SPDX-License-Identifier: Apache-2.0 */
/* Writing DER (X.690): a value is made by wrapping its parts; lengths are known because the inside comes first. */
#include "crypto/x509_priv.h"

#include <openssl/objects.h>

#include "base/text.h"

#define OID_TEXT_MAX 128 /* dotted: the longest in use have some 60 characters */

static size_t put_head(uint8_t head[10], unsigned tag, size_t len)
{
    size_t n = 0;
    head[n++] = (uint8_t)tag;
    if (len < 0x80) {
        head[n++] = (uint8_t)len;
        return n;
    }
    unsigned octets = 1;
    while (len >> (8 * octets) != 0) {
        octets++;
    }
    head[n++] = (uint8_t)(0x80 | octets);
    while (octets-- > 0) {
        head[n++] = (uint8_t)(len >> (8 * octets));
    }
    return n;
}

struct mln_bytes der_wrap(struct mln_cx *cx, unsigned tag, const struct mln_bytes *parts, size_t n)
{
    size_t len = 0;
    uint8_t head[10];
    for (size_t i = 0; i < n; i++) {
        len += parts[i].len;
    }
    size_t at = put_head(head, tag, len);
    uint8_t *out = mln_new(cx, at + len);
    if (out == NULL) {
        return MLN_BYTES_NONE;
    }
    mln_copy(out, head, at);
    for (size_t i = 0; i < n; i++) {
        mln_copy(out + at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    return mln_bytes_at(out, at);
}

struct mln_bytes der_null(void)
{
    static const uint8_t null[] = {DER_NULL, 0};
    return DER_RAW(null);
}

struct mln_bytes der_true(void)
{
    static const uint8_t yes[] = {DER_BOOLEAN, 1, 0xff};
    return DER_RAW(yes);
}

struct mln_bytes der_uint(struct mln_cx *cx, struct mln_bytes magnitude)
{
    static const uint8_t zero[1];
    while (magnitude.len > 0 && magnitude.ptr[0] == 0) {
        magnitude = mln_bytes_from(magnitude, 1);
    }
    bool needs_zero = magnitude.len == 0 || (magnitude.ptr[0] & 0x80) != 0;
    return DER(cx, DER_INTEGER, mln_bytes_at(zero, needs_zero ? 1 : 0), magnitude);
}

struct mln_bytes der_int(struct mln_cx *cx, int64_t i)
{
    uint8_t bytes[8];
    MLN_CHECK(i >= 0);
    mln_put_u64be(bytes, (uint64_t)i);
    return der_uint(cx, DER_RAW(bytes));
}

struct mln_bytes der_nid(struct mln_cx *cx, int nid)
{
    const ASN1_OBJECT *o = OBJ_nid2obj(nid);
    MLN_CHECK(o != NULL);
    return DER(cx, DER_OID, mln_bytes_at(OBJ_get0_data(o), OBJ_length(o)));
}

/* Numbers with single dots between: OpenSSL's reader also takes a dot at the end. */
static bool is_dotted(struct mln_bytes text)
{
    bool was_digit = false;
    for (size_t i = 0; i < text.len; i++) {
        bool is_digit = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        if (!is_digit && !(text.ptr[i] == '.' && was_digit)) {
            return false;
        }
        was_digit = is_digit;
    }
    return was_digit && text.len <= OID_TEXT_MAX;
}

struct mln_bytes der_oid(struct mln_cx *cx, struct mln_bytes dotted)
{
    bool is_shaped = is_dotted(dotted);
    ASN1_OBJECT *o = is_shaped ? OBJ_txt2obj(mln_text_dup(cx, dotted), 1) : NULL;
    if (o == NULL || OBJ_length(o) == 0) {
        (void)crypto_failed(NULL, "oid"); /* drains OpenSSL's queue */
        (void)mln_failed(mln_fail(cx, MLN_E_INVALID, "\"%.*s\" is no object identifier",
                                  MLN_FMT(mln_bytes_sub(dotted, 0, OID_TEXT_MAX))));
        ASN1_OBJECT_free(o);
        return MLN_BYTES_NONE;
    }
    struct mln_bytes out = DER(cx, DER_OID, mln_bytes_at(OBJ_get0_data(o), OBJ_length(o)));
    ASN1_OBJECT_free(o);
    return out;
}

struct mln_bytes der_bits(struct mln_cx *cx, struct mln_bytes bytes)
{
    static const uint8_t none_unused[1];
    return DER(cx, DER_BITS, DER_RAW(none_unused), bytes);
}

/* From RFC 3339: "2026-11-22T08:41:17Z" to "20261122084117Z". */
struct mln_bytes der_time(struct mln_cx *cx, int64_t s)
{
    struct mln_bytes text = mln_bytes_of(mln_time_text(cx, s * 1000000000, 0));
    uint8_t digits[32];
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < sizeof(digits); i++) {
        uint8_t c = text.ptr[i];
        if ((c >= '0' && c <= '9') || c == 'Z') {
            digits[n++] = c;
        }
    }
    bool is_short = s < 2524608000; /* 2050: RFC 5280 sec. 4.1.2.5 */
    return is_short ? DER(cx, DER_UTC_TIME, mln_bytes_from(mln_bytes_at(digits, n), 2))
                    : DER(cx, DER_TIME, mln_bytes_at(digits, n));
}

static struct mln_bytes pss_parameters(struct mln_cx *cx, int hash, int64_t salt_bytes)
{
    struct mln_bytes alg = DER(cx, DER_SEQUENCE, der_nid(cx, hash), der_null());
    struct mln_bytes mgf = DER(cx, DER_SEQUENCE, der_nid(cx, NID_mgf1), alg);
    return DER(cx, DER_SEQUENCE, DER(cx, DER_CONTEXT_IN + 0, alg), DER(cx, DER_CONTEXT_IN + 1, mgf),
               DER(cx, DER_CONTEXT_IN + 2, der_int(cx, salt_bytes)));
}

struct mln_bytes der_algorithm(struct mln_cx *cx, enum mln_sig sig)
{
    static const int nids[MLN_SIGS] = {
        [MLN_SIG_RSA_256] = NID_sha256WithRSAEncryption,
        [MLN_SIG_RSA_384] = NID_sha384WithRSAEncryption,
        [MLN_SIG_RSA_512] = NID_sha512WithRSAEncryption,
        [MLN_SIG_EC_256] = NID_ecdsa_with_SHA256,
        [MLN_SIG_EC_384] = NID_ecdsa_with_SHA384,
        [MLN_SIG_EC_512] = NID_ecdsa_with_SHA512,
        [MLN_SIG_ED25519] = NID_ED25519,
    };
    switch (sig) {
    case MLN_SIG_PSS_256:
        return DER(cx, DER_SEQUENCE, der_nid(cx, NID_rsassaPss),
                   pss_parameters(cx, NID_sha256, 32));
    case MLN_SIG_PSS_384:
        return DER(cx, DER_SEQUENCE, der_nid(cx, NID_rsassaPss),
                   pss_parameters(cx, NID_sha384, 48));
    case MLN_SIG_PSS_512:
        return DER(cx, DER_SEQUENCE, der_nid(cx, NID_rsassaPss),
                   pss_parameters(cx, NID_sha512, 64));
    case MLN_SIG_RSA_256:
    case MLN_SIG_RSA_384:
    case MLN_SIG_RSA_512:
        return DER(cx, DER_SEQUENCE, der_nid(cx, nids[sig]), der_null());
    case MLN_SIG_EC_256:
    case MLN_SIG_EC_384:
    case MLN_SIG_EC_512:
    case MLN_SIG_ED25519:
    case MLN_SIGS:
    default:
        MLN_CHECK(sig < MLN_SIGS);
        return DER(cx, DER_SEQUENCE, der_nid(cx, nids[sig]));
    }
}

struct mln_bytes der_extension(struct mln_cx *cx, struct mln_bytes oid, bool is_critical,
                               struct mln_bytes value)
{
    struct mln_bytes octets = DER(cx, DER_OCTETS, value);
    return is_critical ? DER(cx, DER_SEQUENCE, oid, der_true(), octets)
                       : DER(cx, DER_SEQUENCE, oid, octets);
}
