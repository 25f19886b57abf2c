/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: revoking certificates. */
#include "engine/pki_priv.h"

#include "base/text.h"

struct mln_err pki_revoked_find(struct mln_request *rq, struct mln_bytes serial,
                                struct pki_revoked *ret, bool *ret_is)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "revoked/", serial, &v));
    *ret_is = v != NULL;
    *ret = (struct pki_revoked){.at_ns = mln_get_int(mln_item(v, 0), 0),
                                .issuer_id = mln_get_bytes(mln_item(v, 1)),
                                .not_after_s = mln_get_int(mln_item(v, 2), 0)};
    return MLN_OK;
}

/* A certificate that is to be revoked. */
struct target {
    const char *serial; /* text */
    struct mln_bytes der, issuer_id;
    int64_t not_after_s;
};

static struct mln_err by_serial(struct mln_request *rq, struct mln_bytes text, struct target *ret)
{
    const struct mln_value *v = NULL;
    const char *serial = pki_serial_parse(rq->cx, text);
    if (serial != NULL) {
        MLN_TRY(pki_find(rq, "cert/", mln_bytes_of(serial), &v));
    }
    if (v == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "certificate with serial %.*s not found.",
                        MLN_FMT(mln_bytes_sub(text, 0, 128)));
    }
    *ret = (struct target){.serial = serial,
                           .der = mln_get_bytes(mln_item(v, 0)),
                           .issuer_id = mln_get_bytes(mln_item(v, 1)),
                           .not_after_s = mln_get_int(mln_item(v, 2), 0)};
    return mln_cx_err(rq->cx);
}

/* A certificate that is not kept (no_store): it must be by one of the issuers. It is kept from now on. */
static struct mln_err by_certificate(struct mln_request *rq, struct mln_bytes text,
                                     struct target *ret)
{
    struct mln_x509_info info;
    struct mln_bytes der;
    struct pki_issuer *all = NULL;
    const struct mln_value *v = NULL;
    size_t n = 0;
    MLN_TRY(pki_pem_one(rq->cx, text, "CERTIFICATE", "certificate contains no PEM data", &der));
    MLN_TRY(mln_x509_cert_read(rq->cx, der, &info));
    const char *serial = pki_serial_text(rq->cx, info.serial);
    MLN_TRY(pki_find(rq, "cert/", mln_bytes_of(serial), &v));
    if (v != NULL && mln_bytes_eq(mln_get_bytes(mln_item(v, 0)), der)) {
        return by_serial(rq, mln_bytes_of(serial), ret);
    }
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    for (size_t i = 0; i < n && v == NULL; i++) {
        if (!mln_bytes_eq(all[i].subject, info.issuer) ||
            mln_failed(mln_x509_cert_verify(NULL, der, all[i].der))) {
            continue;
        }
        MLN_TRY(pki_cert_store(rq, info.serial, der, all[i].id, info.not_after_s));
        *ret = (struct target){.serial = serial,
                               .der = der,
                               .issuer_id = mln_bytes_of(all[i].id),
                               .not_after_s = info.not_after_s};
        return MLN_OK;
    }
    return mln_fail(
        rq->cx, MLN_E_INVALID,
        "unable to verify signature on presented cert from any present issuer in this mount");
}

static struct mln_err target_of(struct mln_request *rq, struct target *ret)
{
    struct mln_bytes serial = pki_text(rq, "serial_number"),
                     certificate = pki_text(rq, "certificate");
    if (serial.len == 0 && certificate.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "The serial number or certificate to revoke must be provided.");
    }
    if (serial.len > 0 && certificate.len > 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "Must provide either the certificate or the serial to revoke; not both.");
    }
    return serial.len > 0 ? by_serial(rq, serial, ret) : by_certificate(rq, certificate, ret);
}

static struct mln_err answer(struct mln_request *rq, struct mln_reply *re, int64_t at_ns)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put_int(rq->cx, data, "revocation_time", at_ns / 1000000000);
    mln_put_text(rq->cx, data, "revocation_time_rfc3339", mln_time_text_go(rq->cx, at_ns));
    mln_put_text(rq->cx, data, "state", "revoked");
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* The issuer's list gets the entry; when the issuer is gone there is nobody left to sign one. */
static struct mln_err mark(struct mln_request *rq, const struct target *t)
{
    struct mln_value *row = mln_array(rq->cx);
    struct pki_issuer issuer;
    mln_push(rq->cx, row, mln_int(rq->cx, rq->now_ns));
    mln_push(rq->cx, row, mln_string(rq->cx, t->issuer_id));
    mln_push(rq->cx, row, mln_int(rq->cx, t->not_after_s));
    MLN_TRY(pki_put(rq, "revoked/", mln_bytes_of(t->serial), row));
    mln_put_text(rq->cx, rq->detail, "serial_number", t->serial);
    struct mln_err err = pki_issuer_load(rq, t->issuer_id, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    return pki_crl_add(rq, issuer.list, pki_serial_bytes(rq->cx, mln_bytes_of(t->serial)),
                       rq->now_ns);
}

static struct mln_err is_own_root(struct mln_request *rq, const struct target *t)
{
    struct pki_issuer *all = NULL;
    size_t n = 0;
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_eq(all[i].der, t->der) && mln_bytes_is(t->issuer_id, all[i].id)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "adding issuer (as its own root) to its own CRL is not allowed");
        }
    }
    return MLN_OK;
}

static struct mln_err revoke(struct mln_request *rq, struct mln_reply *re, const struct target *t)
{
    struct pki_revoked old;
    struct pki_crl_config config;
    bool is_revoked = false;
    MLN_TRY(pki_revoked_find(rq, mln_bytes_of(t->serial), &old, &is_revoked));
    if (is_revoked) {
        return answer(rq, re, old.at_ns);
    }
    MLN_TRY(is_own_root(rq, t));
    MLN_TRY(pki_crl_config_load(rq, &config));
    if (!config.allow_expired && t->not_after_s < rq->now_ns / 1000000000) {
        mln_reply_warn(
            rq, re,
            mln_text_format(rq->cx,
                            "certificate with serial %s already expired; refusing to add to CRL",
                            t->serial));
        return mln_cx_err(rq->cx);
    }
    MLN_TRY(mark(rq, t));
    return answer(rq, re, rq->now_ns);
}

struct mln_err pki_revoke_write(struct mln_request *rq, struct mln_reply *re)
{
    struct target t;
    MLN_TRY(target_of(rq, &t));
    return revoke(rq, re, &t);
}

/* Who holds the key may revoke: possession is shown by giving it. */
struct mln_err pki_revoke_with_key(struct mln_request *rq, struct mln_reply *re)
{
    struct target t;
    struct mln_key key;
    struct mln_x509_info info;
    struct mln_bytes text = pki_text(rq, "private_key"), label, der;
    bool is_bad = false;
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "No private key was provided to revoke the certificate.");
    }
    MLN_TRY(target_of(rq, &t));
    do {
        if (!mln_pem_next(rq->cx, &text, &label, &der, &is_bad)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "failed to parse the provided private key: no PEM data");
        }
    } while (mln_bytes_is(label, "EC PARAMETERS"));
    MLN_TRY(mln_key_read(rq->cx, der, &key));
    MLN_TRY(mln_x509_cert_read(rq->cx, t.der, &info));
    if (!mln_eq_ct(key.spki.ptr, key.spki.len, info.spki.ptr, info.spki.len)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "provided private key does not match the certificate's public key");
    }
    return revoke(rq, re, &t);
}

/* The end of a lease. A certificate that is gone (tidied) or revoked already is as it should be. */
struct mln_err pki_lease_revoke(struct mln_request *rq, const struct mln_value *internal)
{
    struct mln_reply ignored = {0};
    const struct mln_value *v = NULL;
    struct target t;
    const char *serial =
        pki_serial_parse(rq->cx, mln_get_bytes(mln_get(internal, "serial_number")));
    if (serial == NULL) {
        return mln_fail(rq->cx, MLN_E_CORRUPT, "pki: a lease without serial number");
    }
    MLN_TRY(pki_find(rq, "cert/", mln_bytes_of(serial), &v));
    if (v == NULL) {
        return MLN_OK;
    }
    MLN_TRY(by_serial(rq, mln_bytes_of(serial), &t));
    return revoke(rq, &ignored, &t);
}
