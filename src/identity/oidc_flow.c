/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authorization code flow of OpenID Connect Core 1.0 with PKCE (RFC 7636). The caller's own token says who logs in; codes and
 * access tokens are random, kept as hashes, and a code is good once and for five minutes. Errors are those of RFC 6749.
 */
#include "identity/oidc_provider_priv.h"

#include "base/clock.h"

#define CODE_NS      (300 * OIDC_SECOND_NS)
#define SECRET_CHARS 48
#define TEXT_MAX     2048u /* of one parameter: addresses and challenges are shorter */
#define SWEEP_MAX    1000u /* rows that one tick looks at */
#define SCOPES_MAX   32u

/* ---- answers ---- */

static struct mln_err refuse(struct mln_request *rq, struct mln_reply *re, int status,
                             const char *error, const char *why)
{
    struct mln_value *bare = mln_object(rq->cx);
    const struct mln_value *state = mln_field_of(rq, "state");
    mln_put_text(rq->cx, bare, "error", error);
    mln_put_text(rq->cx, bare, "error_description", why);
    if (mln_len(state) > 0) {
        mln_put(rq->cx, bare, "state", state);
    }
    mln_put_text(rq->cx, rq->detail, "oidc", error);
    re->status = status;
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

static struct mln_bytes field(const struct mln_request *rq, const char *name)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, name));
    return text.len <= TEXT_MAX ? text : MLN_BYTES_NONE;
}

static const char *new_secret(struct mln_cx *cx)
{
    char *text = mln_new(cx, SECRET_CHARS + 1);
    if (text != NULL) {
        mln_random_base62(text, SECRET_CHARS);
    }
    return text != NULL ? text : "";
}

static struct mln_bytes hash_of(struct mln_cx *cx, struct mln_bytes text)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(text, digest);
    return mln_bytes_dup(cx, mln_bytes_at(digest, sizeof(digest)));
}

/* ---- who may ---- */

struct flow {
    struct mln_bytes name; /* of the provider */
    const struct mln_value *provider, *client;
    const char *issuer;
};

/* The provider of the path, and the client if it may use it; client NULL otherwise. */
static struct mln_err open_flow(struct mln_request *rq, struct mln_bytes client_id, struct flow *f)
{
    MLN_TRY(oidc_field_name(rq, &f->name));
    MLN_TRY(oidc_provider(rq, f->name, &f->provider));
    MLN_TRY(oidc_provider_issuer(rq, f->name, f->provider, &f->issuer));
    struct mln_err err = oidc_client_by_id(rq, client_id, &f->client);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (mln_failed(err) || !oidc_allows(mln_get(f->provider, "allowed_client_ids"), client_id)) {
        f->client = NULL;
    }
    return MLN_OK;
}

static struct mln_err is_assigned(struct mln_request *rq, const struct mln_value *client,
                                  const struct mln_value *person, bool *ret)
{
    const struct mln_value *names = mln_get(client, "assignments"),
                           *groups = mln_get(person, "groups"), *row = NULL;
    *ret = false;
    for (size_t i = 0; i < mln_len(names) && !*ret; i++) {
        struct mln_err err = oidc_assignment(rq, mln_get_bytes(mln_item(names, i)), &row);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue;
        }
        MLN_TRY(err);
        *ret = oidc_allows(mln_get(row, "entity_ids"), mln_get_bytes(mln_get(person, "id")));
        for (size_t k = 0; k < mln_len(groups) && !*ret; k++) {
            *ret = id_has(mln_get(row, "group_ids"),
                          mln_get_bytes(mln_get(mln_item(groups, k), "id")));
        }
    }
    return MLN_OK;
}

/* Scopes of the request that the provider knows; *ret_openid: openid is among them. */
static const struct mln_value *scopes_of(struct mln_request *rq, const struct flow *f,
                                         bool *ret_openid)
{
    struct mln_value *out = mln_array(rq->cx);
    struct mln_bytes left = field(rq, "scope");
    *ret_openid = false;
    while (left.len > 0 && mln_len(out) < SCOPES_MAX) {
        struct mln_bytes one = mln_bytes_cut(left, ' ', &left);
        *ret_openid = *ret_openid || mln_bytes_is(one, "openid");
        if (one.len > 0 && !id_has(out, one) &&
            id_has(mln_get(f->provider, "scopes_supported"), one)) {
            mln_push(rq->cx, out, mln_string(rq->cx, one));
        }
    }
    return out;
}

/* ---- authorize ---- */

static const char *bad_challenge(struct mln_request *rq, const struct flow *f)
{
    struct mln_bytes challenge = field(rq, "code_challenge"),
                     method = field(rq, "code_challenge_method");
    if (challenge.len == 0) {
        return mln_is_text(mln_get(f->client, "client_type"), "public")
                   ? "PKCE is required for public clients"
                   : NULL;
    }
    if (method.len > 0 && !mln_bytes_is(method, "S256") && !mln_bytes_is(method, "plain")) {
        return "invalid code_challenge_method";
    }
    return challenge.len < 43 || challenge.len > 128 ? "invalid code_challenge" : NULL;
}

static struct mln_err give_code(struct mln_request *rq, struct mln_reply *re, const struct flow *f,
                                const struct mln_value *scopes)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *row = mln_object(cx), *bare = mln_object(cx);
    struct mln_bytes method = field(rq, "code_challenge_method");
    const char *code = new_secret(cx);
    mln_put_bytes(cx, row, "provider", f->name);
    mln_put(cx, row, "client_id", mln_get(f->client, "client_id"));
    mln_put_bytes(cx, row, "redirect_uri", field(rq, "redirect_uri"));
    mln_put_text(cx, row, "entity_id", rq->actor->entity_id);
    mln_put(cx, row, "scopes", scopes);
    mln_put_bytes(cx, row, "nonce", field(rq, "nonce"));
    mln_put_bytes(cx, row, "challenge", field(rq, "code_challenge"));
    mln_put_bytes(cx, row, "challenge_method", method.len > 0 ? method : MLN_BYTES("plain"));
    mln_put_int(cx, row, "auth_time",
                mln_get_int(mln_get(rq->actor->token, "created_ns"), rq->now_ns) / OIDC_SECOND_NS);
    mln_put_int(cx, row, "expires_ns", rq->now_ns + CODE_NS);
    MLN_TRY(oidc_put(rq, "code", hash_of(cx, mln_bytes_of(code)), row));
    mln_put(cx, bare, "code", mln_secret_string(cx, mln_bytes_of(code)));
    mln_put_bytes(cx, bare, "state", field(rq, "state"));
    mln_put(cx, rq->detail, "client", mln_get(f->client, "client_id"));
    re->bare = bare;
    return mln_cx_err(cx);
}

static struct mln_err authorize(struct mln_request *rq, struct mln_reply *re)
{
    struct flow f = {0};
    const struct mln_value *person = NULL, *max_age = mln_field_of(rq, "max_age");
    bool has_openid = false, may = false;
    MLN_TRY(open_flow(rq, field(rq, "client_id"), &f));
    if (f.client == NULL) {
        return refuse(rq, re, 400, "invalid_client_id", "client with client_id not found");
    }
    if (!id_has(mln_get(f.client, "redirect_uris"), field(rq, "redirect_uri")) ||
        field(rq, "redirect_uri").len == 0) {
        return refuse(rq, re, 400, "invalid_redirect_uri",
                      "redirect_uri is not allowed for the client");
    }
    if (!mln_bytes_is(field(rq, "response_type"), "code")) {
        return refuse(rq, re, 400, "unsupported_response_type", "unsupported response_type value");
    }
    const struct mln_value *scopes = scopes_of(rq, &f, &has_openid);
    if (!has_openid) {
        return refuse(rq, re, 400, "invalid_scope", "openid scope is required");
    }
    const char *bad = bad_challenge(rq, &f);
    if (bad != NULL) {
        return refuse(rq, re, 400, "invalid_request", bad);
    }
    if (rq->actor->entity_id[0] == 0) {
        return refuse(rq, re, 400, "access_denied",
                      "identity entity must be associated with the request");
    }
    MLN_TRY(rq->services->entity(rq, rq->actor->entity_id, &person));
    MLN_TRY(is_assigned(rq, f.client, person, &may));
    if (!may) {
        return refuse(rq, re, 400, "access_denied",
                      "identity entity not authorized by client assignment");
    }
    int64_t age_s =
        (rq->now_ns - mln_get_int(mln_get(rq->actor->token, "created_ns"), rq->now_ns)) /
        OIDC_SECOND_NS;
    if (!mln_is_null(max_age) && age_s > mln_get_int(max_age, 0)) {
        return refuse(rq, re, 400, "max_age_violation",
                      "active re-authentication is required by max_age");
    }
    return give_code(rq, re, &f, scopes);
}

/* ---- token ---- */

static bool challenge_fits(struct mln_request *rq, const struct mln_value *code)
{
    struct mln_bytes challenge = mln_get_bytes(mln_get(code, "challenge")),
                     verifier = field(rq, "code_verifier");
    if (challenge.len == 0) {
        return verifier.len == 0;
    }
    if (mln_is_text(mln_get(code, "challenge_method"), "S256")) {
        verifier =
            mln_bytes_of(mln_base64_text(rq->cx, hash_of(rq->cx, verifier), MLN_B64_URL_RAW));
    }
    return mln_eq_ct(challenge.ptr, challenge.len, verifier.ptr, verifier.len);
}

static struct mln_err scope_claims(struct mln_request *rq, const struct mln_value *scopes,
                                   const struct mln_value *person, struct mln_value *claims)
{
    for (size_t i = 0; i < mln_len(scopes); i++) {
        const struct mln_value *scope = NULL;
        struct mln_err err = oidc_get(rq, "scope", mln_get_bytes(mln_item(scopes, i)), &scope);
        if (!mln_failed(err)) {
            err = oidc_claims(rq, id_text(rq->cx, scope, "template"), person, claims);
        }
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    return MLN_OK;
}

static struct mln_err id_token(struct mln_request *rq, const struct flow *f,
                               const struct mln_value *code, const char *access, const char **ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *key = NULL, *person = NULL;
    struct mln_value *claims = mln_object(cx);
    enum mln_jose_alg alg;
    const char *hash = NULL;
    int64_t now_s = rq->now_ns / OIDC_SECOND_NS;
    MLN_TRY(oidc_key(rq, mln_get_bytes(mln_get(f->client, "key")), &key));
    MLN_TRY(rq->services->entity(rq, id_text(cx, code, "entity_id"), &person));
    if (!mln_jose_alg_of(mln_get_bytes(mln_get(key, "algorithm")), &alg)) {
        return mln_fail(cx, MLN_E_CORRUPT, "oidc: a key of no algorithm");
    }
    MLN_TRY(mln_jose_half_hash(cx, alg, mln_bytes_of(access), &hash));
    mln_put_text(cx, claims, "at_hash", hash);
    mln_put(cx, claims, "aud", mln_get(f->client, "client_id"));
    mln_put(cx, claims, "auth_time", mln_get(code, "auth_time"));
    mln_put_int(cx, claims, "exp", now_s + mln_get_int(mln_get(f->client, "id_token_ttl"), 0));
    mln_put_int(cx, claims, "iat", now_s);
    mln_put_text(cx, claims, "iss", f->issuer);
    mln_put_text(cx, claims, "namespace", "root");
    if (mln_len(mln_get(code, "nonce")) > 0) {
        mln_put(cx, claims, "nonce", mln_get(code, "nonce"));
    }
    mln_put(cx, claims, "sub", mln_get(code, "entity_id"));
    MLN_TRY(scope_claims(rq, mln_get(code, "scopes"), person, claims));
    return oidc_sign(rq, key, claims, ret);
}

static struct mln_err give_tokens(struct mln_request *rq, struct mln_reply *re,
                                  const struct flow *f, const struct mln_value *code)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *row = mln_object(cx), *bare = mln_object(cx);
    const char *access = mln_text_format(cx, "hvo_access_%s", new_secret(cx)), *token = NULL;
    int64_t ttl_s = mln_get_int(mln_get(f->client, "access_token_ttl"), 0);
    mln_put_bytes(cx, row, "provider", f->name);
    mln_put(cx, row, "client_id", mln_get(code, "client_id"));
    mln_put(cx, row, "entity_id", mln_get(code, "entity_id"));
    mln_put(cx, row, "scopes", mln_get(code, "scopes"));
    mln_put_int(cx, row, "expires_ns", rq->now_ns + ttl_s * OIDC_SECOND_NS);
    MLN_TRY(oidc_put(rq, "access", hash_of(cx, mln_bytes_of(access)), row));
    MLN_TRY(id_token(rq, f, code, access, &token));
    mln_put(cx, bare, "access_token", mln_secret_string(cx, mln_bytes_of(access)));
    mln_put_int(cx, bare, "expires_in", ttl_s);
    mln_put(cx, bare, "id_token", mln_secret_string(cx, mln_bytes_of(token)));
    mln_put_text(cx, bare, "token_type", "Bearer");
    mln_put(cx, rq->detail, "client", mln_get(code, "client_id"));
    re->bare = bare;
    return mln_cx_err(cx);
}

static bool client_is_proved(struct mln_request *rq, const struct flow *f)
{
    struct mln_bytes want = mln_get_bytes(mln_get(f->client, "client_secret")),
                     got = field(rq, "client_secret");
    return f->client != NULL && (mln_is_text(mln_get(f->client, "client_type"), "public") ||
                                 (want.len > 0 && mln_eq_ct(want.ptr, want.len, got.ptr, got.len)));
}

static struct mln_err exchange(struct mln_request *rq, struct mln_reply *re)
{
    struct flow f = {0};
    const struct mln_value *code = NULL, *person = NULL;
    bool may = false;
    MLN_TRY(open_flow(rq, field(rq, "client_id"), &f));
    if (!client_is_proved(rq, &f)) {
        return refuse(rq, re, 401, "invalid_client", "client failed to authenticate");
    }
    if (!mln_bytes_is(field(rq, "grant_type"), "authorization_code")) {
        return refuse(rq, re, 400, "unsupported_grant_type", "unsupported grant_type value");
    }
    struct mln_bytes hash = hash_of(rq->cx, field(rq, "code"));
    struct mln_err err = oidc_get(rq, "code", hash, &code);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return refuse(rq, re, 400, "invalid_grant", "authorization grant is invalid or expired");
    }
    MLN_TRY(err);
    MLN_TRY(oidc_delete(rq, "code", hash)); /* also when what follows fails: nobody tries twice */
    bool fits =
        mln_get_int(mln_get(code, "expires_ns"), 0) > rq->now_ns &&
        mln_bytes_eq(mln_get_bytes(mln_get(code, "provider")), f.name) &&
        mln_value_eq(mln_get(code, "client_id"), mln_get(f.client, "client_id")) &&
        mln_bytes_eq(mln_get_bytes(mln_get(code, "redirect_uri")), field(rq, "redirect_uri")) &&
        challenge_fits(rq, code);
    if (fits) {
        err = rq->services->entity(rq, id_text(rq->cx, code, "entity_id"), &person);
        if (!mln_failed(err) && !mln_get_bool(mln_get(person, "disabled"), false)) {
            MLN_TRY(is_assigned(rq, f.client, person, &may));
        } else if (!mln_failed(err) || mln_is(err, MLN_E_NOT_FOUND)) {
            mln_cx_clear(rq->cx);
        } else {
            return err;
        }
    }
    return fits && may
               ? give_tokens(rq, re, &f, code)
               : refuse(rq, re, 400, "invalid_grant", "authorization grant is invalid or expired");
}

/* ---- userinfo ---- */

static struct mln_err userinfo(struct mln_request *rq, struct mln_reply *re)
{
    struct flow f = {0};
    const struct mln_value *access = NULL, *person = NULL;
    struct mln_value *claims = mln_object(rq->cx);
    bool may = false;
    struct mln_err err = oidc_get(rq, "access", hash_of(rq->cx, rq->bearer), &access);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return refuse(rq, re, 401, "invalid_token", "access token is invalid or expired");
    }
    MLN_TRY(err);
    MLN_TRY(open_flow(rq, mln_get_bytes(mln_get(access, "client_id")), &f));
    bool fits = f.client != NULL && mln_get_int(mln_get(access, "expires_ns"), 0) > rq->now_ns &&
                mln_bytes_eq(mln_get_bytes(mln_get(access, "provider")), f.name);
    err = fits ? rq->services->entity(rq, id_text(rq->cx, access, "entity_id"), &person)
               : (struct mln_err){MLN_E_NOT_FOUND};
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    mln_cx_clear(rq->cx);
    if (!mln_failed(err) && !mln_get_bool(mln_get(person, "disabled"), false)) {
        MLN_TRY(is_assigned(rq, f.client, person, &may));
    }
    if (!may) {
        return refuse(rq, re, 401, "invalid_token", "access token is invalid or expired");
    }
    mln_put(rq->cx, claims, "sub", mln_get(access, "entity_id"));
    MLN_TRY(scope_claims(rq, mln_get(access, "scopes"), person, claims));
    re->bare = claims;
    return mln_cx_err(rq->cx);
}

/* ---- discovery ---- */

static struct mln_err provider_keys(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *p = NULL, *names = NULL, *c = NULL;
    struct mln_value *keys = mln_set(rq->cx);
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(oidc_provider(rq, name, &p));
    MLN_TRY(oidc_names(rq, "client", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(oidc_get(rq, "client", mln_get_bytes(mln_item(names, i)), &c));
        if (oidc_allows(mln_get(p, "allowed_client_ids"), mln_get_bytes(mln_get(c, "client_id")))) {
            mln_push(rq->cx, keys, mln_get(c, "key"));
        }
    }
    return oidc_jwks(rq, keys, &re->bare);
}

static void put_texts(struct mln_request *rq, struct mln_value *to, const char *key,
                      const char *list)
{
    struct mln_value *out = mln_array(rq->cx);
    struct mln_bytes left = mln_bytes_of(list);
    while (left.len > 0) {
        mln_push(rq->cx, out, mln_string(rq->cx, mln_bytes_cut(left, ' ', &left)));
    }
    mln_put(rq->cx, to, key, out);
}

static struct mln_err provider_config(struct mln_request *rq, struct mln_reply *re)
{
    static const struct {
        const char *key, *list;
    } lists[] = {
        {"response_types_supported", "code"},
        {"id_token_signing_alg_values_supported", "RS256 RS384 RS512 ES256 ES384 ES512 EdDSA"},
        {"subject_types_supported", "public"},
        {"grant_types_supported", "authorization_code"},
        {"token_endpoint_auth_methods_supported", "none client_secret_post"},
        {"code_challenge_methods_supported", "plain S256"},
    };
    const struct mln_value *p = NULL;
    struct mln_value *bare = mln_object(rq->cx), *scopes = mln_array(rq->cx);
    const char *issuer = NULL;
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(oidc_provider(rq, name, &p));
    MLN_TRY(oidc_provider_issuer(rq, name, p, &issuer));
    struct mln_bytes all = mln_bytes_of(issuer);
    struct mln_bytes base =
        mln_bytes_sub(all, 0, mln_bytes_find_bytes(all, MLN_BYTES("/v1/identity/")));
    mln_put_text(rq->cx, bare, "issuer", issuer);
    mln_put_text(rq->cx, bare, "jwks_uri", mln_text_format(rq->cx, "%s/.well-known/keys", issuer));
    mln_put_text(rq->cx, bare, "authorization_endpoint",
                 mln_text_format(rq->cx, "%.*s/ui/vault/identity/oidc/provider/%.*s/authorize",
                                 MLN_FMT(base), MLN_FMT(name)));
    mln_put_text(rq->cx, bare, "token_endpoint", mln_text_format(rq->cx, "%s/token", issuer));
    mln_put_text(rq->cx, bare, "userinfo_endpoint", mln_text_format(rq->cx, "%s/userinfo", issuer));
    mln_push_text(rq->cx, scopes, "openid");
    for (size_t i = 0; i < mln_len(mln_get(p, "scopes_supported")); i++) {
        mln_push(rq->cx, scopes, mln_item(mln_get(p, "scopes_supported"), i));
    }
    mln_put(rq->cx, bare, "scopes_supported", scopes);
    mln_put_bool(rq->cx, bare, "request_parameter_supported", false);
    mln_put_bool(rq->cx, bare, "request_uri_parameter_supported", false);
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        put_texts(rq, bare, lists[i].key, lists[i].list);
    }
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

/* ---- what expired ---- */

struct mln_err oidc_flow_sweep(struct mln_request *rq)
{
    static const char *const kinds[] = {"code", "access"};
    for (size_t k = 0; k < MLN_COUNT(kinds); k++) {
        const struct mln_value *names = NULL, *row = NULL;
        MLN_TRY(oidc_names(rq, kinds[k], &names));
        for (size_t i = 0; i < mln_len(names) && i < SWEEP_MAX; i++) {
            MLN_TRY(oidc_get(rq, kinds[k], mln_get_bytes(mln_item(names, i)), &row));
            if (mln_get_int(mln_get(row, "expires_ns"), 0) <= rq->now_ns) {
                MLN_TRY(oidc_delete(rq, kinds[k], mln_get_bytes(mln_item(names, i))));
            }
        }
    }
    return MLN_OK;
}

#define TEXT(n, h)                                                                                 \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_TEXT, .help = h, .is_query = true                             \
    }

static const struct mln_field authorize_fields[] = {
    TEXT("name", "The provider."),
    TEXT("scope", "\"openid\" and others, space separated."),
    TEXT("response_type", "\"code\"."),
    TEXT("client_id", "The application."),
    TEXT("redirect_uri", "One that the client has."),
    TEXT("state", "Given back."),
    TEXT("nonce", "Comes in the id token."),
    TEXT("code_challenge", "PKCE."),
    TEXT("code_challenge_method", "\"S256\" or \"plain\"."),
    {.name = "max_age",
     .type = MLN_FIELD_INT,
     .help = "Seconds since the login, at most.",
     .is_query = true},
    {0},
};
static const struct mln_field token_fields[] = {
    TEXT("name", "The provider."),
    TEXT("grant_type", "\"authorization_code\"."),
    {.name = "code", .type = MLN_FIELD_SECRET, .help = "The code."},
    TEXT("redirect_uri", "As it was asked with."),
    TEXT("client_id", "The application."),
    {.name = "client_secret", .type = MLN_FIELD_SECRET, .help = "Of a confidential client."},
    {.name = "code_verifier", .type = MLN_FIELD_SECRET, .help = "PKCE."},
    {0},
};
static const struct mln_field name_fields[] = {TEXT("name", "The provider."), {0}};

const struct mln_path id_oidc_flow_paths[] = {
    {.pattern = "oidc/provider/{name}/authorize",
     .summary = "A code for an application.",
     .fields = authorize_fields,
     .read = authorize,
     .write = authorize,
     .controls = "IA-2"},
    {.pattern = "oidc/provider/{name}/token",
     .summary = "Tokens for a code.",
     .fields = token_fields,
     .write = exchange,
     .is_open = true,
     .act = MLN_ACT_LOGIN},
    {.pattern = "oidc/provider/{name}/userinfo",
     .summary = "Claims of an access token.",
     .fields = name_fields,
     .read = userinfo,
     .write = userinfo,
     .is_open = true},
    {.pattern = "oidc/provider/{name}/.well-known/keys",
     .summary = "Keys that verify id tokens.",
     .fields = name_fields,
     .read = provider_keys,
     .is_open = true},
    {.pattern = "oidc/provider/{name}/.well-known/openid-configuration",
     .summary = "Discovery.",
     .fields = name_fields,
     .read = provider_config,
     .is_open = true},
    {0},
};
