/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKI engine: OCSP responder (RFC 6960), answers signed by the issuer itself. Whatever is not revoked is good: certificates
 * of roles with no_store leave no row that could tell them from others.
 */
#include "engine/pki_priv.h"

#include "base/text.h"

#define CONTENT_TYPE "application/ocsp-response"

static struct mln_err refuse(struct mln_request *rq, struct mln_reply *re,
                             enum mln_ocsp_refusal why)
{
    mln_cx_clear(rq->cx);
    MLN_TRY(pki_raw(re, mln_ocsp_refusal(rq->cx, why), CONTENT_TYPE));
    return mln_cx_err(rq->cx);
}

/* An issuer of that name and key which may sign answers; NULL when there is none. */
static const struct pki_issuer *issuer_of(const struct mln_ocsp_asked *asked,
                                          const struct pki_issuer *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool can_sign = all[i].key_id[0] != '\0' && (all[i].usage & PKI_OCSP_SIGNING) != 0;
        if (can_sign && mln_ocsp_is_issuer(asked, all[i].subject, all[i].spki)) {
            return &all[i];
        }
    }
    return NULL;
}

/* Issuers of one name and key share their certificates, as they share a list. */
static bool is_of(const struct pki_issuer *all, size_t n, struct mln_bytes id,
                  const struct pki_issuer *issuer)
{
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is(id, all[i].id)) {
            return mln_bytes_is(mln_bytes_of(all[i].list), issuer->list);
        }
    }
    return false;
}

static struct mln_err answer(struct mln_request *rq, struct mln_reply *re, struct mln_bytes request,
                             const struct mln_ocsp_ask *ask)
{
    struct pki_crl_config config;
    struct pki_issuer *all = NULL;
    struct mln_ocsp_state_of states[MLN_OCSP_ASKED_MAX];
    size_t n = 0;
    struct mln_bytes out;
    MLN_TRY(pki_crl_config_load(rq, &config));
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    const struct pki_issuer *issuer = issuer_of(&ask->asked[0], all, n);
    if (issuer == NULL || config.ocsp_disable) {
        return refuse(rq, re, MLN_OCSP_UNAUTHORIZED);
    }
    for (size_t i = 0; i < ask->n; i++) {
        struct pki_revoked revoked;
        bool is_revoked = false,
             is_ours = mln_ocsp_is_issuer(&ask->asked[i], issuer->subject, issuer->spki);
        MLN_TRY(pki_revoked_find(rq, mln_bytes_of(pki_serial_text(rq->cx, ask->asked[i].serial)),
                                 &revoked, &is_revoked));
        is_revoked = is_revoked && is_of(all, n, revoked.issuer_id, issuer);
        states[i] = (struct mln_ocsp_state_of){!is_ours     ? MLN_OCSP_UNKNOWN
                                               : is_revoked ? MLN_OCSP_REVOKED
                                                            : MLN_OCSP_GOOD,
                                               revoked.at_ns / 1000000000};
    }
    int64_t now_s = rq->now_ns / 1000000000;
    struct mln_ocsp_spec spec = {.request = request,
                                 .states = states,
                                 .this_s = now_s,
                                 .next_s = config.ocsp_s > 0 ? now_s + config.ocsp_s : 0,
                                 .issuer = issuer->der};
    MLN_TRY(pki_signer_of(rq, issuer, 0, false, &spec.by));
    spec.by.sig = issuer->list_sig;
    MLN_TRY(mln_ocsp_build(rq->cx, &spec, &out));
    return pki_raw(re, out, CONTENT_TYPE);
}

static struct mln_err respond(struct mln_request *rq, struct mln_reply *re,
                              struct mln_bytes request)
{
    struct mln_ocsp_ask ask;
    struct mln_err err = mln_ocsp_read(rq->cx, request, &ask);
    if (mln_is(err, MLN_E_PARSE) || mln_is(err, MLN_E_TOO_LARGE)) {
        return refuse(rq, re, MLN_OCSP_MALFORMED);
    }
    MLN_TRY(err);
    return answer(rq, re, request, &ask);
}

/* RFC 6960 appendix A.1: base64 in the path; also without padding and of the URL's alphabet. */
struct mln_err pki_ocsp_read(struct mln_request *rq, struct mln_reply *re)
{
    static const enum mln_b64 kinds[] = {MLN_B64_STD, MLN_B64_URL, MLN_B64_STD_RAW,
                                         MLN_B64_URL_RAW};
    struct mln_bytes text = pki_text(rq, "request");
    for (size_t i = 0; i < MLN_COUNT(kinds) && text.len <= MLN_OCSP_REQUEST_MAX; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = MLN_OCSP_REQUEST_MAX};
        if (!mln_failed(mln_base64_parse(rq->cx, text, kinds[i], &der))) {
            return respond(rq, re, mln_bytes_dup(rq->cx, mln_buf_bytes(&der)));
        }
        mln_cx_clear(rq->cx);
    }
    return refuse(rq, re, MLN_OCSP_MALFORMED);
}

struct mln_err pki_ocsp_write(struct mln_request *rq, struct mln_reply *re)
{
    return respond(rq, re, mln_get_bytes(mln_get(rq->data, "raw")));
}
