/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spiffe/verify: whose SVID is this? X.509-SVIDs (as a TLS client showed them) and JWT-SVIDs of our trust domain and of those that we
 * hold a bundle of. For logins (auth/spiffe.c), which ask with the system's authority, and for who may write here.
 */
#include "crypto/x509_chain.h"
#include "crypto/x509_svid.h"
#include "identity/spiffe_bundle.h"
#include "identity/spiffe_priv.h"

#define ROOTS_MAX     256u
#define AUDIENCES_MAX 64u

/* ---- X.509-SVIDs ---- */

struct mln_err sp_roots_of(struct mln_request *rq, struct sp_state *state, const char *domain,
                           struct mln_bytes *ret)
{
    SP_READ(state);
    if (!state->is_loaded) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "bundles are being read");
    }
    if (mln_bytes_is(mln_bytes_of(domain), state->id)) {
        *ret = mln_bytes_dup(rq->cx, mln_bytes_at(state->bundle, state->bundle_n));
        return mln_cx_err(rq->cx);
    }
    for (const struct sp_foreign *f = state->foreign; f != NULL; f = f->next) {
        if (mln_bytes_is(mln_bytes_of(domain), f->id)) {
            *ret = mln_bytes_dup(rq->cx, mln_bytes_at(f->der, f->der_n));
            return mln_cx_err(rq->cx);
        }
    }
    return mln_fail(rq->cx, MLN_E_FORGED, "no bundle of %s is known here", domain);
}

static struct mln_err split(struct mln_cx *cx, struct mln_bytes all, struct mln_bytes *ret,
                            size_t *ret_n)
{
    while (all.len > 0) {
        size_t n = sp_der_length(all);
        if (n == 0 || *ret_n == ROOTS_MAX) {
            return mln_fail(cx, MLN_E_CORRUPT, "a bundle's certificates cannot be told apart");
        }
        ret[(*ret_n)++] = mln_bytes_sub(all, 0, n);
        all = mln_bytes_from(all, n);
    }
    return MLN_OK;
}

static struct mln_err verify_certs(struct mln_request *rq, struct sp_state *state,
                                   const struct mln_value *certs, struct mln_spiffe_id *ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes sent[MLN_X509_CHAIN_MAX], all, roots[ROOTS_MAX];
    struct mln_x509_chain chain = {
        .certs = sent, .n = mln_len(certs), .roots = roots, .now_s = rq->now_ns / SP_SECOND_NS};
    if (chain.n == 0 || chain.n > MLN_X509_CHAIN_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "certs is a list of 1 to %u certificates, leaf first",
                        MLN_X509_CHAIN_MAX);
    }
    for (size_t i = 0; i < chain.n; i++) {
        sent[i] = mln_get_bytes(mln_item(certs, i));
    }
    MLN_TRY(mln_x509_svid_read(cx, sent[0], MLN_SVID_CLIENT, ret));
    MLN_TRY(sp_roots_of(rq, state, mln_text_format(cx, "spiffe://%.*s", MLN_FMT(ret->domain)), &all));
    MLN_TRY(split(cx, all, roots, &chain.n_roots));
    return mln_x509_chain_verify(cx, &chain);
}

/* ---- JWT-SVIDs ---- */

static struct mln_err verify_token(struct mln_request *rq, struct sp_state *state,
                                   struct mln_spiffe_id *ret)
{
    const struct mln_value *audiences = mln_field_of(rq, "audience"), *claims = NULL;
    struct mln_err err =
        mln_len(audiences) == 0 || mln_len(audiences) > AUDIENCES_MAX
            ? mln_fail(rq->cx, MLN_E_INVALID, "audience must be given: whom the token may be for")
            : MLN_OK;
    for (size_t i = 0; i < mln_len(audiences); i++) {
        const char *id = NULL;
        struct sp_asked asked = {.token = mln_get_bytes(mln_field_of(rq, "svid")),
                                 .audience = mln_get_text(rq->cx, mln_item(audiences, i), "")};
        mln_cx_clear(rq->cx);
        err = sp_jwt_validate(rq, state, &asked, &id, &claims);
        if (!mln_failed(err)) {
            return mln_spiffe_id_parse(rq->cx, mln_bytes_of(id), ret);
        }
    }
    return err;
}

static struct mln_err verify(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    struct mln_spiffe_id id;
    struct mln_value *data = mln_object(rq->cx);
    const struct mln_value *certs = mln_field_of(rq, "certs");
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(certs != NULL ? verify_certs(rq, state, certs, &id) : verify_token(rq, state, &id));
    MLN_TRY(sp_policy_check(rq, state, &id));
    mln_put_bytes(rq->cx, data, "spiffe_id", mln_bytes_dup(rq->cx, id.text));
    mln_put_bytes(rq->cx, data, "trust_domain", mln_bytes_dup(rq->cx, id.domain));
    mln_put(rq->cx, rq->detail, "verified", mln_get(data, "spiffe_id"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field fields[] = {
    {.name = "certs", .type = MLN_FIELD_ANY, .help = "DER certificates, leaf first; or"},
    {.name = "svid", .type = MLN_FIELD_SECRET, .help = "a JWT-SVID"},
    {.name = "audience", .type = MLN_FIELD_LIST, .help = "that is for one of these."},
    {0},
};

const struct mln_path sp_verify_paths[] = {
    {.pattern = "verify",
     .summary = "Whose SVID is this?",
     .fields = fields,
     .write = verify,
     .controls = "IA-9"},
    {0},
};
