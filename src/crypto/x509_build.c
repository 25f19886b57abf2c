/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, requests and revocation lists: what is signed, put together. */
#include "crypto/x509_priv.h"

#include <openssl/objects.h>

static struct mln_bytes validity(struct mln_cx *cx, const struct mln_cert_spec *spec)
{
    return DER(cx, DER_SEQUENCE, der_time(cx, spec->not_before_s), der_time(cx, spec->not_after_s));
}

struct mln_err mln_cert_build(struct mln_cx *cx, const struct mln_cert_spec *spec,
                              const struct mln_x509_signer *by, struct mln_bytes *ret)
{
    MLN_CHECK(spec->serial.len > 0 && spec->serial.len <= 20);
    struct mln_bytes version = DER(cx, DER_CONTEXT_IN + 0, der_int(cx, 2));
    struct mln_bytes extensions = MLN_BYTES_NONE;
    if (spec->n > 0) {
        extensions =
            DER(cx, DER_CONTEXT_IN + 3, der_wrap(cx, DER_SEQUENCE, spec->extensions, spec->n));
    }
    struct mln_bytes tbs =
        DER(cx, DER_SEQUENCE, version, der_uint(cx, spec->serial), der_algorithm(cx, by->sig),
            spec->issuer, validity(cx, spec), spec->subject, spec->spki, extensions);
    return x509_sign(cx, tbs, by, ret);
}

/* Extensions travel in the attribute extensionRequest (RFC 2985 sec. 5.4.2). */
struct mln_err mln_csr_build(struct mln_cx *cx, const struct mln_cert_spec *spec,
                             const struct mln_x509_signer *by, struct mln_bytes *ret)
{
    struct mln_bytes wanted = MLN_BYTES_NONE;
    if (spec->n > 0) {
        struct mln_bytes list = der_wrap(cx, DER_SEQUENCE, spec->extensions, spec->n);
        wanted = DER(cx, DER_SEQUENCE, der_nid(cx, NID_ext_req), DER(cx, DER_SET, list));
    }
    struct mln_bytes tbs = DER(cx, DER_SEQUENCE, der_int(cx, 0), spec->subject, spec->spki,
                               DER(cx, DER_CONTEXT_IN + 0, wanted));
    return x509_sign(cx, tbs, by, ret);
}

struct mln_bytes mln_crl_entry(struct mln_cx *cx, struct mln_bytes serial, int64_t revoked_s)
{
    return DER(cx, DER_SEQUENCE, der_uint(cx, serial), der_time(cx, revoked_s));
}

static struct mln_bytes crl_extensions(struct mln_cx *cx, const struct mln_crl_spec *spec)
{
    struct mln_bytes key = mln_ext_authority_key(cx, spec->authority_key), base = MLN_BYTES_NONE;
    struct mln_bytes number =
        der_extension(cx, der_nid(cx, NID_crl_number), false, der_int(cx, spec->number));
    if (spec->base_number >= 0) {
        base = der_extension(cx, der_nid(cx, NID_delta_crl), true, der_int(cx, spec->base_number));
    }
    return DER(cx, DER_CONTEXT_IN + 0, DER(cx, DER_SEQUENCE, key, number, base));
}

struct mln_err mln_crl_build(struct mln_cx *cx, const struct mln_crl_spec *spec,
                             const struct mln_x509_signer *by, struct mln_bytes *ret)
{
    size_t entries = 0;
    for (size_t i = 0; i < spec->n; i++) {
        entries += spec->parts[i].len;
    }
    struct mln_bytes revoked =
        entries > 0 ? der_wrap(cx, DER_SEQUENCE, spec->parts, spec->n) : MLN_BYTES_NONE;
    struct mln_bytes tbs = DER(cx, DER_SEQUENCE, der_int(cx, 1), der_algorithm(cx, by->sig),
                               spec->issuer, der_time(cx, spec->this_s), der_time(cx, spec->next_s),
                               revoked, crl_extensions(cx, spec));
    return x509_sign(cx, tbs, by, ret);
}
