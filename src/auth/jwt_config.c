/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a JWT or OIDC mount: exactly one source of keys, and it must answer now. */
#include "auth/jwt_priv.h"

#define PUBKEYS_MAX 32u /* a login tries each */

static const char *const text_fields[] = {
    "oidc_discovery_url", "oidc_discovery_ca_pem", "oidc_client_id", "oidc_response_mode", "jwks_url",
    "jwks_ca_pem", "bound_issuer", "default_role",
};
static const char *const list_fields[] = {"oidc_response_types", "jwt_validation_pubkeys", "jwt_supported_algs",
                                          "override_allowed_server_names"};

const char *jwt_text(struct mln_cx *cx, const struct mln_value *row, const char *member)
{
    return mln_get_text(cx, mln_get(row, member), "");
}

static struct mln_err load(struct mln_request *rq, const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), ret);
}

struct mln_err jwt_config_need(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = load(rq, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_INVALID, "could not load configuration") : err;
}

static bool is_set(const struct mln_value *config, const char *name)
{
    return mln_len(mln_get(config, name)) > 0;
}

static struct mln_err check_sources(struct mln_request *rq, const struct mln_value *config)
{
    int sources = is_set(config, "oidc_discovery_url") + is_set(config, "jwks_url") + is_set(config, "jwt_validation_pubkeys");
    bool has_id = is_set(config, "oidc_client_id"), has_secret = is_set(config, "oidc_client_secret");
    if (sources != 1) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set");
    }
    if (has_id != has_secret) {
        return mln_fail(rq->cx, MLN_E_INVALID, "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC");
    }
    if (has_id && !is_set(config, "oidc_discovery_url")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'oidc_discovery_url' must be set for OIDC");
    }
    return MLN_OK;
}

static struct mln_err check_algs(struct mln_request *rq, const struct mln_value *config)
{
    const struct mln_value *algs = mln_get(config, "jwt_supported_algs");
    for (size_t i = 0; i < mln_len(algs); i++) {
        enum mln_jose_alg alg;
        if (!mln_jose_alg_of(mln_get_bytes(mln_item(algs, i)), &alg)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "unsupported algorithm \"%.*s\" in 'jwt_supported_algs'",
                            MLN_FMT(mln_get_bytes(mln_item(algs, i))));
        }
    }
    return MLN_OK;
}

static struct mln_err check_pubkeys(struct mln_request *rq, const struct mln_value *config)
{
    const struct mln_value *pems = mln_get(config, "jwt_validation_pubkeys");
    if (mln_len(pems) > PUBKEYS_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "more than %u public keys", PUBKEYS_MAX);
    }
    for (size_t i = 0; i < mln_len(pems); i++) {
        MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
        struct mln_err err = mln_jose_public_from_pem(rq->cx, mln_get_bytes(mln_item(pems, i)), &key);
        if (mln_is(err, MLN_E_INVALID)) {
            return mln_refail(rq->cx, MLN_E_INVALID, "error parsing public key: data does not contain any valid public keys");
        }
        MLN_TRY(err);
    }
    return MLN_OK;
}

static struct mln_err check_modes(struct mln_request *rq, const struct mln_value *config)
{
    const char *mode = jwt_text(rq->cx, config, "oidc_response_mode");
    const struct mln_value *types = mln_get(config, "oidc_response_types");
    if (mode[0] != 0 && !mln_bytes_is(mln_bytes_of(mode), "query") && !mln_bytes_is(mln_bytes_of(mode), "form_post")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid response_mode: \"%.*s\"", MLN_FMT(mln_bytes_of(mode)));
    }
    for (size_t i = 0; i < mln_len(types); i++) {
        if (!mln_is_text(mln_item(types, i), "code")) { /* tokens in URLs are not worth having: RFC 9700 sec. 2.1.2 */
            return mln_fail(rq->cx, MLN_E_INVALID, "unsupported response_type: only \"code\" is");
        }
    }
    return MLN_OK;
}

/* A mistake is told now, not at somebody's login. */
static struct mln_err check_remote(struct mln_request *rq, const struct mln_value *config)
{
    const struct mln_value *answer = NULL;
    struct mln_err err = MLN_OK;
    const char *what = "oidc discovery URL";
    if (is_set(config, "oidc_discovery_url")) {
        err = mln_issuer_discover(rq, config, &answer);
    } else if (is_set(config, "jwks_url")) {
        what = "jwks URL";
        err = mln_issuer_fetch(rq, jwt_text(rq->cx, config, "jwks_url"), jwt_text(rq->cx, config, "jwks_ca_pem"), 1000, "JWKS", &answer);
    }
    if (mln_failed(err)) {
        const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
        return mln_refail(rq->cx, MLN_E_INVALID, "error checking %s: %s", what, why);
    }
    return MLN_OK;
}

/* Items of lists lose blanks at their ends, the last line end of a PEM among them: as Vault keeps them. */
static const struct mln_value *trimmed(struct mln_cx *cx, const struct mln_value *list)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_push(cx, out, mln_string(cx, mln_bytes_trim(mln_get_bytes(mln_item(list, i)))));
    }
    return out;
}

struct mln_err jwt_config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *config = mln_object(cx);
    (void)re;
    for (size_t i = 0; i < MLN_COUNT(text_fields); i++) {
        mln_put_text(cx, config, text_fields[i], mln_get_text(cx, mln_field_of(rq, text_fields[i]), ""));
    }
    for (size_t i = 0; i < MLN_COUNT(list_fields); i++) {
        mln_put(cx, config, list_fields[i], trimmed(cx, mln_field_of(rq, list_fields[i])));
    }
    const struct mln_value *secret = mln_field_of(rq, "oidc_client_secret"), *provider = mln_field_of(rq, "provider_config");
    if (!mln_is_null(secret)) {
        mln_put(cx, config, "oidc_client_secret", secret);
    }
    mln_put(cx, config, "provider_config", mln_is_null(provider) ? mln_object(cx) : provider);
    mln_put_bool(cx, config, "namespace_in_state", mln_get_bool(mln_field_of(rq, "namespace_in_state"), true));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(check_sources(rq, config));
    MLN_TRY(check_algs(rq, config));
    MLN_TRY(check_pubkeys(rq, config));
    MLN_TRY(check_modes(rq, config));
    if (mln_len(provider) > 0) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "provider_config: no provider has special treatment here");
    }
    MLN_TRY(check_remote(rq, config));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, MLN_BYTES("config"), config);
}

struct mln_err jwt_config_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL;
    MLN_TRY(load(rq, &config));
    struct mln_value *data = mln_value_dup(rq->cx, config);
    mln_remove(data, MLN_BYTES("oidc_client_secret"));
    mln_put_text(rq->cx, data, "status", "valid");
    re->data = data;
    return mln_cx_err(rq->cx);
}
