/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What everybody may read: the OIDC discovery document and keys for JWT-SVIDs, and our bundle for other trust domains. The issuer is
 * what spiffe/config says and never what a request calls this server, so no Host header can make a document of another issuer.
 */
#include "base/json.h"
#include "identity/spiffe_priv.h"

static struct mln_value *algorithms(struct mln_cx *cx, const struct sp_state *state)
{
    struct mln_value *names = mln_set(cx), *list = mln_array(cx);
    for (size_t i = 0; i < state->authorities.jwt_n; i++) {
        mln_push(cx, names, mln_text(cx, mln_jose_alg_name(state->authorities.jwt[i].alg)));
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        mln_push(cx, list, mln_item(names, i));
    }
    return list;
}

static void put_one(struct mln_cx *cx, struct mln_value *doc, const char *key, const char *text)
{
    struct mln_value *list = mln_array(cx);
    mln_push_text(cx, list, text);
    mln_put(cx, doc, key, list);
}

static struct mln_err read_discovery(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct sp_state *state = NULL;
    struct sp_config config;
    struct mln_value *doc = mln_object(cx);
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(sp_config_get(rq, &config));
    if (config.issuer[0] == '\0') {
        return mln_fail(cx, MLN_E_NOT_FOUND,
                        "no OIDC issuer: write spiffe/config jwt_issuer=https://...");
    }
    mln_put_text(cx, doc, "issuer", config.issuer);
    mln_put_text(cx, doc, "jwks_uri", mln_text_format(cx, "%s/keys", config.issuer));
    mln_put_text(cx, doc, "authorization_endpoint", "");
    put_one(cx, doc, "response_types_supported", "id_token");
    put_one(cx, doc, "subject_types_supported", "public");
    {
        SP_READ(state);
        mln_put(cx, doc, "id_token_signing_alg_values_supported", algorithms(cx, state));
    }
    re->bare = doc;
    re->is_public = true;
    return mln_cx_err(cx);
}

static struct mln_err read_keys(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct sp_state *state = NULL;
    struct mln_value *doc = mln_object(cx), *keys = mln_array(cx);
    MLN_TRY(sp_state_get(rq, &state));
    {
        SP_READ(state);
        for (size_t i = 0; i < state->authorities.jwt_n; i++) {
            const struct sp_authority *a = &state->authorities.jwt[i];
            const struct mln_value *jwk = NULL;
            if (!sp_authority_is_shown(a, rq->now_ns / SP_SECOND_NS)) {
                continue;
            }
            MLN_TRY(mln_json_parse(cx, mln_bytes_dup(cx, mln_bytes_of(a->jwk)), &jwk));
            struct mln_value *key = mln_value_dup(cx, jwk);
            mln_put_text(cx, key, "use", "sig");
            mln_put_text(cx, key, "alg", mln_jose_alg_name(a->alg));
            mln_push(cx, keys, key);
        }
    }
    mln_put(cx, doc, "keys", keys);
    re->bare = doc;
    re->is_public = true;
    return mln_cx_err(cx);
}

static struct mln_err read_bundle(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(sp_bundle_document(rq, state, &re->bare));
    re->is_public = true;
    return mln_cx_err(rq->cx);
}

static const struct mln_field none_fields[] = {{0}};

const struct mln_path sp_public_paths[] = {
    {.pattern = ".well-known/openid-configuration",
     .summary = "OIDC discovery for JWT-SVIDs.",
     .fields = none_fields,
     .read = read_discovery,
     .is_open = true},
    {.pattern = "keys",
     .summary = "Keys that verify JWT-SVIDs.",
     .fields = none_fields,
     .read = read_keys,
     .is_open = true},
    {.pattern = "bundle/endpoint",
     .summary = "This trust domain's bundle, for other trust domains.",
     .fields = none_fields,
     .read = read_bundle,
     .is_open = true},
    {0},
};
