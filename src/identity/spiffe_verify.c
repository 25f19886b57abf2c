/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spiffe/verify: whose SVID is this? X.509-SVIDs (as a TLS client showed them) and JWT-SVIDs of our trust domain and of those that we
 * hold a bundle of. For logins (auth/spiffe.c), which ask with the system's authority, and for who may write here.
 */
#include "crypto/x509_chain.h"
#include "identity/spiffe_bundle.h"
#include "identity/spiffe_priv.h"

#define ROOTS_MAX     256u
#define AUDIENCES_MAX 64u
#define CLIENT_AUTH   "1.3.6.1.5.5.7.3.2"

/* ---- X.509-SVIDs ---- */

/* What a leaf must be: X509-SVID.md sec. 2 to 4 and 5.2. */
static struct mln_err check_leaf(struct mln_cx *cx, struct mln_bytes der, struct mln_spiffe_id *ret)
{
    struct mln_x509_info info;
    struct mln_bytes uri = MLN_BYTES_NONE;
    size_t n = 0;
    bool has_client = false;
    MLN_TRY(mln_x509_cert_read(cx, der, &info));
    for (size_t i = 0; i < info.sans_n; i++) {
        if (info.sans[i].kind == MLN_SAN_URI) {
            uri = info.sans[i].value;
            n++;
        }
    }
    for (size_t i = 0; i < mln_len(info.ext_key_usage); i++) {
        has_client = has_client || mln_is_text(mln_item(info.ext_key_usage, i), CLIENT_AUTH);
    }
    unsigned forbidden = MLN_KU_CERT_SIGN | MLN_KU_CRL_SIGN;
    bool is_leaf = !info.is_ca && (info.key_usage & MLN_KU_DIGITAL_SIGNATURE) != 0 &&
                   (info.key_usage & forbidden) == 0 &&
                   (mln_len(info.ext_key_usage) == 0 || has_client);
    if (n != 1 || !is_leaf) {
        return mln_fail(cx, MLN_E_FORGED, "the certificate is no X.509-SVID of a workload: %s",
                        n != 1 ? "it has not exactly one URI" : "its uses are others");
    }
    struct mln_err err = mln_spiffe_id_parse(cx, mln_bytes_dup(cx, uri), ret);
    return mln_failed(err) || ret->path.len == 0
               ? mln_refail(cx, MLN_E_FORGED, "the certificate's URI is no SPIFFE id of a workload")
               : MLN_OK;
}

/* Certificates of a trust domain, copied out of memory that is locked. NOT_FOUND without text */
static struct mln_err roots_of(struct mln_request *rq, struct sp_state *state, const char *domain,
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
    MLN_TRY(check_leaf(cx, sent[0], ret));
    MLN_TRY(roots_of(rq, state, mln_text_format(cx, "spiffe://%.*s", MLN_FMT(ret->domain)), &all));
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

/* A relationship may say which ids of its domain count here. */
static struct mln_err check_policy(struct mln_request *rq, const struct sp_state *state,
                                   const struct mln_spiffe_id *id)
{
    const struct mln_value *row = NULL;
    if (mln_bytes_is(id->domain, state->domain)) {
        return MLN_OK;
    }
    struct mln_err err = sp_row_get(rq, "relationship/", id->domain, &row);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    }
    return sp_policy_allows(row, id->text)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_DENIED,
                          "the relationship with %.*s does not take this identity",
                          MLN_FMT(id->domain));
}

static struct mln_err verify(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    struct mln_spiffe_id id;
    struct mln_value *data = mln_object(rq->cx);
    const struct mln_value *certs = mln_field_of(rq, "certs");
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(certs != NULL ? verify_certs(rq, state, certs, &id) : verify_token(rq, state, &id));
    MLN_TRY(check_policy(rq, state, &id));
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
