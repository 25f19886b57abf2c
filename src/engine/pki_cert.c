/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: reading what was issued, and the CA's certificates as clients without a token fetch them. */
#include "engine/pki_priv.h"

#include "base/text.h"

struct mln_err pki_certs_list(struct mln_request *rq, struct mln_reply *re)
{
    return pki_answer_list(rq, re, "cert/");
}

struct mln_err pki_certs_revoked_list(struct mln_request *rq, struct mln_reply *re)
{
    return pki_answer_list(rq, re, "revoked/");
}

/* The certificate of the path's serial number; *ret empty when there is none. */
static struct mln_err stored(struct mln_request *rq, const char **ret_serial, struct mln_bytes *ret)
{
    const struct mln_value *v = NULL;
    const char *serial = pki_serial_parse(rq->cx, pki_text(rq, "serial"));
    *ret = MLN_BYTES_NONE;
    if (serial != NULL) {
        MLN_TRY(pki_find(rq, "cert/", mln_bytes_of(serial), &v));
        *ret = mln_get_bytes(mln_item(v, 0));
        *ret_serial = serial;
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err cert_answer(struct mln_request *rq, struct mln_reply *re, const char *text,
                                  const struct pki_revoked *revoked)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    mln_put_text(cx, data, "certificate", text);
    if (revoked != NULL) {
        mln_put_bytes(cx, data, "issuer_id", revoked->issuer_id);
    }
    mln_put_int(cx, data, "revocation_time", revoked != NULL ? revoked->at_ns / 1000000000 : 0);
    mln_put_text(cx, data, "revocation_time_rfc3339",
                 revoked != NULL ? mln_time_text_go(cx, revoked->at_ns) : "");
    re->data = data;
    return mln_cx_err(cx);
}

/* cert/ca, cert/ca_chain, cert/crl: of the default issuer. */
static struct mln_err special(struct mln_request *rq, struct mln_reply *re, struct mln_bytes name)
{
    struct pki_issuer issuer;
    struct mln_bytes der;
    struct mln_err err = pki_issuer_find(rq, MLN_BYTES_NONE, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return pki_not_found(re);
    }
    MLN_TRY(err);
    if (mln_bytes_is(name, "ca")) {
        return cert_answer(rq, re, mln_pem_text(rq->cx, "CERTIFICATE", issuer.der), NULL);
    }
    if (mln_bytes_is(name, "ca_chain")) {
        struct mln_value *scratch = mln_object(rq->cx);
        const char *bundle = NULL;
        MLN_TRY(pki_put_chain(rq, scratch, &issuer, PKI_PEM, &bundle));
        MLN_TRY(cert_answer(rq, re, bundle, NULL));
        struct mln_value *data = mln_value_dup(rq->cx, re->data);
        mln_put_text(rq->cx, data, "ca_chain", bundle);
        re->data = data;
        return mln_cx_err(rq->cx);
    }
    err = pki_crl_of(rq, &issuer, mln_bytes_is(name, "delta-crl"), &der);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return pki_not_found(re);
    }
    MLN_TRY(err);
    return cert_answer(rq, re, mln_pem_text(rq->cx, "X509 CRL", der), NULL);
}

struct mln_err pki_cert_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name = pki_text(rq, "serial"), der;
    struct pki_revoked revoked;
    const char *serial = NULL;
    bool is_revoked = false;
    if (mln_bytes_is(name, "ca") || mln_bytes_is(name, "ca_chain") || mln_bytes_is(name, "crl") ||
        mln_bytes_is(name, "delta-crl")) {
        return special(rq, re, name);
    }
    MLN_TRY(stored(rq, &serial, &der));
    if (der.len == 0) {
        return pki_not_found(re);
    }
    MLN_TRY(pki_revoked_find(rq, mln_bytes_of(serial), &revoked, &is_revoked));
    return cert_answer(rq, re, mln_pem_text(rq->cx, "CERTIFICATE", der),
                       is_revoked ? &revoked : NULL);
}

struct mln_err pki_cert_raw(struct mln_request *rq, struct mln_reply *re)
{
    const char *serial = NULL;
    struct mln_bytes der;
    if (mln_bytes_is(pki_text(rq, "serial"), "ca")) {
        return pki_ca_read(rq, re);
    }
    MLN_TRY(stored(rq, &serial, &der));
    return der.len > 0 ? pki_raw(re, der, "application/pkix-cert") : pki_not_found(re);
}

struct mln_err pki_cert_raw_pem(struct mln_request *rq, struct mln_reply *re)
{
    const char *serial = NULL;
    struct mln_bytes der;
    if (mln_bytes_is(pki_text(rq, "serial"), "ca")) {
        return pki_ca_pem_read(rq, re);
    }
    MLN_TRY(stored(rq, &serial, &der));
    return der.len > 0 ? pki_raw_text(re, mln_pem_text(rq->cx, "CERTIFICATE", der),
                                      "application/pem-certificate-chain")
                       : pki_not_found(re);
}

/* ---- the default issuer ---- */

struct mln_err pki_ca_read(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    struct mln_err err = pki_issuer_find(rq, MLN_BYTES_NONE, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return pki_not_found(re);
    }
    MLN_TRY(err);
    return pki_raw(re, issuer.der, "application/pkix-cert");
}

struct mln_err pki_ca_pem_read(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    struct mln_err err = pki_issuer_find(rq, MLN_BYTES_NONE, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return pki_not_found(re);
    }
    MLN_TRY(err);
    return pki_raw_text(re, mln_pem_text(rq->cx, "CERTIFICATE", issuer.der),
                        "application/pem-certificate-chain");
}

struct mln_err pki_ca_chain_read(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    struct mln_value *scratch = mln_object(rq->cx);
    const char *bundle = NULL;
    struct mln_err err = pki_issuer_find(rq, MLN_BYTES_NONE, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return pki_not_found(re);
    }
    MLN_TRY(err);
    MLN_TRY(pki_put_chain(rq, scratch, &issuer, PKI_PEM, &bundle));
    return pki_raw_text(re, bundle, "application/pkix-cert");
}
