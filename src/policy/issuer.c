/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/issuer.h"

#include "base/json.h"
#include "base/text.h"
#include "crypto/jose_verify.h"

#define KEYS_AGE_MS   3600000 /* how long a publisher's keys are believed without asking */
#define KEYS_AGAIN_MS 30000   /* how often an unknown key may make us ask again */

static const char *text_of(struct mln_cx *cx, const struct mln_value *row, const char *member)
{
    return mln_get_text(cx, mln_get(row, member), "");
}

/* What came as text for an error of ours. */
static struct mln_err not_json(struct mln_request *rq, const char *what)
{
    return mln_refail(rq->cx, MLN_E_INVALID, "%s is no JSON object", what);
}

struct mln_err mln_issuer_fetch(struct mln_request *rq, const char *url, const char *ca_pem, int64_t max_age_ms, const char *what,
                                const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ask = mln_object(cx), *headers = mln_object(cx);
    const struct mln_value *answer = NULL;
    mln_put_text(cx, headers, "Accept", "application/json");
    mln_put_text(cx, ask, "kind", "http");
    mln_put_text(cx, ask, "method", "GET");
    mln_put_text(cx, ask, "url", url);
    mln_put(cx, ask, "headers", headers);
    mln_put_int(cx, ask, "redirects", 2);
    mln_put_int(cx, ask, "max_age_ms", max_age_ms);
    if (ca_pem[0] != 0) {
        mln_put_text(cx, ask, "ca_pem", ca_pem);
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(rq->services->reach(rq, ask, &answer));
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    if (status != 200) {
        return mln_fail(cx, MLN_E_INVALID, "%s: the answer has status %lld", what, (long long)status);
    }
    if (mln_failed(mln_json_parse(cx, mln_get_bytes(mln_get(answer, "body")), ret)) || mln_type_of(*ret) != MLN_OBJECT) {
        return not_json(rq, what);
    }
    return MLN_OK;
}

struct mln_err mln_issuer_discover(struct mln_request *rq, const struct mln_value *config, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const char *issuer = text_of(cx, config, "oidc_discovery_url");
    struct mln_bytes bare = mln_bytes_of(issuer);
    bare.len -= bare.len > 0 && bare.ptr[bare.len - 1] == '/' ? 1 : 0;
    struct mln_buf url = {0};
    mln_buf_add_bytes(&url, bare);
    mln_buf_add_text(&url, "/.well-known/openid-configuration");
    const char *text = mln_text_dup(cx, mln_buf_bytes(&url));
    mln_buf_drop(&url);
    MLN_TRY(mln_issuer_fetch(rq, text, text_of(cx, config, "oidc_discovery_ca_pem"), KEYS_AGE_MS, "OIDC discovery", ret));
    if (!mln_is_text(mln_get(*ret, "issuer"), issuer)) {
        return mln_fail(cx, MLN_E_INVALID, "OIDC discovery: the issuer is another than the discovery URL");
    }
    return MLN_OK;
}

/* Where is the set, and which authorities vouch for that place? */
static struct mln_err set_place(struct mln_request *rq, const struct mln_value *config, const char **ret_url, const char **ret_ca)
{
    const struct mln_value *metadata = NULL;
    const char *url = text_of(rq->cx, config, "jwks_url");
    *ret_url = url;
    *ret_ca = text_of(rq->cx, config, "jwks_ca_pem");
    if (url[0] != 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_issuer_discover(rq, config, &metadata));
    *ret_url = text_of(rq->cx, metadata, "jwks_uri");
    *ret_ca = text_of(rq->cx, config, "oidc_discovery_ca_pem");
    return mln_cx_err(rq->cx);
}

/* By what was published lately; when that does not do, by what is published now, twice a minute at most. */
static struct mln_err verify_published(struct mln_request *rq, const struct mln_value *config, const struct mln_jose_token *token)
{
    const char *url = "", *ca = "";
    const struct mln_value *set = NULL;
    MLN_TRY(set_place(rq, config, &url, &ca));
    MLN_TRY(mln_issuer_fetch(rq, url, ca, KEYS_AGE_MS, "JWKS", &set));
    struct mln_err err = mln_jose_verify_set(rq->cx, set, token);
    if (mln_is(err, MLN_E_NOT_FOUND) || mln_is(err, MLN_E_FORGED)) {
        mln_cx_clear(rq->cx);
        MLN_TRY(mln_issuer_fetch(rq, url, ca, KEYS_AGAIN_MS, "JWKS", &set));
        err = mln_jose_verify_set(rq->cx, set, token);
    }
    return err;
}

static struct mln_err verify_configured(struct mln_request *rq, const struct mln_value *pems, const struct mln_jose_token *token)
{
    for (size_t i = 0; i < mln_len(pems); i++) {
        MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
        struct mln_err err = mln_jose_public_from_pem(rq->cx, mln_get_bytes(mln_item(pems, i)), &key);
        err = mln_failed(err) ? err : mln_jose_verify(rq->cx, key, token);
        if (!mln_failed(err)) {
            return MLN_OK;
        }
        if (!mln_is(err, MLN_E_FORGED) && !mln_is(err, MLN_E_INVALID)) {
            return err;
        }
        mln_cx_clear(rq->cx);
    }
    return mln_fail(rq->cx, MLN_E_FORGED, "no known key successfully validated the token signature");
}

static bool alg_is_taken(const struct mln_value *config, enum mln_jose_alg alg)
{
    const struct mln_value *list = mln_get(config, "jwt_supported_algs");
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_is_text(mln_item(list, i), mln_jose_alg_name(alg))) {
            return true;
        }
    }
    return mln_len(list) == 0;
}

static struct mln_err verify(struct mln_request *rq, const struct mln_value *config, struct mln_bytes text,
                             struct mln_jose_token *token)
{
    const struct mln_value *pems = mln_get(config, "jwt_validation_pubkeys");
    MLN_TRY(mln_jose_parse(rq->cx, text, token));
    if (!alg_is_taken(config, token->alg)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "token signed with unexpected algorithm \"%s\"", mln_jose_alg_name(token->alg));
    }
    return mln_len(pems) > 0 ? verify_configured(rq, pems, token) : verify_published(rq, config, token);
}

struct mln_err mln_issuer_verify(struct mln_request *rq, const struct mln_value *config, struct mln_bytes text,
                                 const struct mln_value **ret_claims)
{
    struct mln_jose_token token;
    struct mln_err err = verify(rq, config, text, &token);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
        bool is_remote = !mln_is(err, MLN_E_FORGED) && !mln_is(err, MLN_E_INVALID) && !mln_is(err, MLN_E_NOT_FOUND);
        return mln_refail(rq->cx, is_remote ? (enum mln_code)err.code : MLN_E_BAD_LOGIN,
                          "error validating token: error verifying token signature: %s", why);
    }
    *ret_claims = token.claims;
    return MLN_OK;
}
