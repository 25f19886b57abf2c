/* SPDX-License-Identifier: Apache-2.0 */
/* Who vouches for a service account's token: the cluster, configured keys, or both, which must then agree. */
#include "auth/kubernetes_priv.h"
#include "base/json.h"
#include "crypto/jose_verify.h"

#define USER_PREFIX    "system:serviceaccount:"
#define ISSUER_DEFAULT "kubernetes/serviceaccount"

static struct mln_err denied(struct mln_request *rq, const char *why)
{
    struct mln_err err = mln_refail(rq->cx, MLN_E_DENIED, "permission denied");
    mln_note(rq->cx, "kubernetes: %s", why);
    return err;
}

static const char *text_of(struct mln_cx *cx, const struct mln_value *object, const char *name)
{
    return mln_get_text(cx, mln_get(object, name), "");
}

/* ---- by configured keys ---- */

/* Tokens of today name the account in an object, those of Secrets in claims with long names. */
static void account_of_claims(struct mln_cx *cx, const struct mln_value *claims, struct kubernetes_account *ret)
{
    const struct mln_value *own = mln_get(claims, "kubernetes.io"), *account = mln_get(own, "serviceaccount");
    if (account != NULL) {
        *ret = (struct kubernetes_account){text_of(cx, own, "namespace"), text_of(cx, account, "name"),
                                           text_of(cx, account, "uid")};
        return;
    }
    *ret = (struct kubernetes_account){text_of(cx, claims, "kubernetes.io/serviceaccount/namespace"),
                                       text_of(cx, claims, "kubernetes.io/serviceaccount/service-account.name"),
                                       text_of(cx, claims, "kubernetes.io/serviceaccount/service-account.uid")};
}

static struct mln_err check_signature(struct mln_request *rq, const struct mln_value *pems, const struct mln_jose_token *token)
{
    for (size_t i = 0; i < mln_len(pems); i++) {
        MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
        struct mln_err err = mln_jose_public_from_pem(rq->cx, mln_get_bytes(mln_item(pems, i)), &key);
        err = mln_failed(err) ? err : mln_jose_verify(rq->cx, key, token);
        if (!mln_failed(err)) {
            return MLN_OK;
        }
        mln_cx_clear(rq->cx);
    }
    return denied(rq, "no configured key made this signature");
}

/* A token of a Secret has no dates and lives as long as its Secret: only the cluster knows. */
static struct mln_err check_dates(struct mln_request *rq, const struct mln_value *claims)
{
    struct mln_claim_leeways leeways = {0};
    if (mln_get(claims, "exp") == NULL && mln_get(claims, "nbf") == NULL && mln_get(claims, "iat") == NULL) {
        return MLN_OK;
    }
    struct mln_err err = mln_claims_check_times(rq->cx, claims, rq->now_ns, &leeways);
    return mln_is(err, MLN_E_INVALID) ? denied(rq, "the token's dates") : err;
}

static struct mln_err by_keys(struct mln_request *rq, const struct mln_value *config, struct mln_bytes jwt, const char *audience,
                              struct kubernetes_account *ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_jose_token token;
    const char *issuer = text_of(cx, config, "issuer");
    struct mln_value *wanted = mln_array(cx);
    if (mln_failed(mln_jose_parse(cx, jwt, &token))) {
        return denied(rq, "the token cannot be read");
    }
    MLN_TRY(check_signature(rq, mln_get(config, "pem_keys"), &token));
    MLN_TRY(check_dates(rq, token.claims));
    if (!mln_get_bool(mln_get(config, "disable_iss_validation"), true) &&
        !mln_is_text(mln_get(token.claims, "iss"), issuer[0] != 0 ? issuer : ISSUER_DEFAULT)) {
        return denied(rq, "the token's issuer");
    }
    mln_push_text(cx, wanted, audience);
    if (audience[0] != 0 && mln_failed(mln_claims_check_audience(cx, token.claims, wanted))) {
        return denied(rq, "the token's audience");
    }
    account_of_claims(cx, token.claims, ret);
    return mln_cx_err(cx);
}

/* ---- by the cluster ---- */

static struct mln_err review_ask(struct mln_request *rq, const struct mln_value *config, struct mln_bytes jwt, const char *audience,
                                 const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ask = mln_object(cx), *headers = mln_object(cx), *review = mln_object(cx), *spec = mln_object(cx);
    struct mln_value *audiences = mln_array(cx);
    struct mln_bytes reviewer = mln_get_bytes(mln_get(config, "token_reviewer_jwt"));
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {.is_secret = true};
    reviewer = reviewer.len > 0 ? reviewer : jwt; /* its own token may ask about itself, with the right role in the cluster */
    mln_put(cx, spec, "token", mln_secret_string(cx, jwt));
    if (audience[0] != 0) {
        mln_push_text(cx, audiences, audience);
        mln_put(cx, spec, "audiences", audiences);
    }
    mln_put_text(cx, review, "apiVersion", "authentication.k8s.io/v1");
    mln_put_text(cx, review, "kind", "TokenReview");
    mln_put(cx, review, "spec", spec);
    mln_json_print(&body, review, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &body));
    struct mln_bytes bearer = mln_bytes_format(cx, "Bearer %.*s", (int)reviewer.len, (const char *)reviewer.ptr);
    mln_put(cx, headers, "Authorization", mln_secret_string(cx, bearer));
    mln_put_text(cx, headers, "Content-Type", "application/json");
    mln_put_text(cx, headers, "Accept", "application/json");
    mln_put_text(cx, ask, "kind", "http");
    mln_put_text(cx, ask, "method", "POST");
    mln_put_text(cx, ask, "url", mln_text_format(cx, "%s/apis/authentication.k8s.io/v1/tokenreviews", text_of(cx, config,
        "kubernetes_host")));
    mln_put(cx, ask, "headers", headers);
    mln_put(cx, ask, "body", mln_secret_string(cx, mln_bytes_dup(cx, mln_buf_bytes(&body))));
    if (mln_len(mln_get(config, "kubernetes_ca_cert")) > 0) {
        mln_put(cx, ask, "ca_pem", mln_get(config, "kubernetes_ca_cert"));
    }
    *ret = ask;
    return mln_cx_err(cx);
}

/* "system:serviceaccount:space:name" */
static struct mln_err account_of_user(struct mln_request *rq, const struct mln_value *user, struct kubernetes_account *ret)
{
    struct mln_bytes full = mln_get_bytes(mln_get(user, "username")), name;
    if (!mln_bytes_starts(full, MLN_BYTES(USER_PREFIX))) {
        return denied(rq, "the token is not a service account's");
    }
    struct mln_bytes rest = mln_bytes_from(full, sizeof(USER_PREFIX) - 1);
    struct mln_bytes space = mln_bytes_cut(rest, ':', &name);
    if (space.len == 0 || name.len == 0 || mln_bytes_find(name, ':') < name.len) {
        return denied(rq, "the token is not a service account's");
    }
    *ret = (struct kubernetes_account){mln_text_dup(rq->cx, space), mln_text_dup(rq->cx, name), text_of(rq->cx, user, "uid")};
    return mln_cx_err(rq->cx);
}

static bool has_audience(const struct mln_value *list, const char *audience)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_is_text(mln_item(list, i), audience)) {
            return true;
        }
    }
    return audience[0] == 0;
}

static struct mln_err by_review(struct mln_request *rq, const struct mln_value *config, struct mln_bytes jwt, const char *audience,
                                struct kubernetes_account *ret)
{
    const struct mln_value *ask = NULL, *answer = NULL, *review = NULL;
    MLN_TRY(review_ask(rq, config, jwt, audience, &ask));
    MLN_TRY(rq->services->reach(rq, ask, &answer));
    int64_t http = mln_get_int(mln_get(answer, "status"), 0);
    if (http != 200 && http != 201) {
        return denied(rq, "the cluster refused the review");
    }
    if (mln_failed(mln_json_parse(rq->cx, mln_get_bytes(mln_get(answer, "body")), &review))) {
        return denied(rq, "the cluster's answer cannot be read");
    }
    const struct mln_value *status = mln_get(review, "status");
    if (!mln_get_bool(mln_get(status, "authenticated"), false) || mln_len(mln_get(status, "error")) > 0) {
        return denied(rq, "the cluster does not know the token");
    }
    if (!has_audience(mln_get(status, "audiences"), audience)) {
        return denied(rq, "the token's audience");
    }
    return account_of_user(rq, mln_get(status, "user"), ret);
}

static bool same(const char *a, const char *b)
{
    return mln_bytes_eq(mln_bytes_of(a), mln_bytes_of(b));
}

struct mln_err kubernetes_account_of(struct mln_request *rq, const struct mln_value *config, struct mln_bytes jwt,
                                     const char *audience, struct kubernetes_account *ret)
{
    struct kubernetes_account local = {"", "", ""}, seen = {"", "", ""};
    bool has_keys = mln_len(mln_get(config, "pem_keys")) > 0;
    bool asks = !mln_get_bool(mln_get(config, "disable_token_review"), false);
    for (size_t i = 0; i < jwt.len; i++) { /* it goes into a header */
        if (jwt.ptr[i] <= ' ' || jwt.ptr[i] >= 0x7f) {
            return denied(rq, "the token cannot be read");
        }
    }
    if (has_keys) {
        MLN_TRY(by_keys(rq, config, jwt, audience, &local));
    }
    if (asks) {
        MLN_TRY(by_review(rq, config, jwt, audience, &seen));
    }
    if (has_keys && asks && (!same(local.space, seen.space) || !same(local.name, seen.name) || !same(local.uid, seen.uid))) {
        return denied(rq, "key and cluster vouch for different accounts");
    }
    *ret = asks ? seen : local;
    return ret->space[0] != 0 && ret->name[0] != 0 && ret->uid[0] != 0 ? mln_cx_err(rq->cx)
                                                                       : denied(rq, "the token names no service account");
}
