/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Browser logins: the authorization code flow with PKCE (RFC 7636) and a nonce. What the second half needs to know travels sealed
 * in the state, so that strangers who begin logins leave nothing behind here. In mode direct the provider sends the browser to
 * us, and the command line asks for the outcome, which waits in a row.
 */
#include "auth/jwt_priv.h"
#include "base/cbor.h"
#include "base/clock.h"
#include "base/json.h"

#define RANDOM_CHARS   32u /* of nonce and verifier: 190 bits */
#define VERIFIER_CHARS 64u /* RFC 7636: 43 to 128 */
#define REDIRECT_MAX   2048u
#define STATE_MAX      8192u
#define FAILED         "Vault login failed. "

/* ---- the state ---- */

static struct mln_err seal_state(struct mln_request *rq, const struct mln_value *state, const char **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    struct mln_bytes key;
    MLN_TRY(mln_txn_get(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key"), &key));
    mln_cbor_print(&plain, state);
    MLN_TRY(mln_buf_ok(rq->cx, &plain));
    size_t n = MLN_XAES_NONCE_BYTES + plain.len + MLN_GCM_TAG_BYTES;
    uint8_t *box = mln_new(rq->cx, n);
    if (box == NULL) {
        return mln_cx_err(rq->cx);
    }
    mln_random(box, MLN_XAES_NONCE_BYTES);
    MLN_TRY(mln_xaes_seal(rq->cx, key.ptr, box, mln_bytes_of(rq->mount->uuid), mln_buf_bytes(&plain), box + MLN_XAES_NONCE_BYTES));
    *ret = mln_base64_text(rq->cx, mln_bytes_at(box, n), MLN_B64_URL_RAW);
    return mln_cx_err(rq->cx);
}

static struct mln_err bad_state(struct mln_request *rq)
{
    return mln_refail(rq->cx, MLN_E_BAD_LOGIN, FAILED "Expired or missing OAuth state.");
}

static struct mln_err open_state(struct mln_request *rq, struct mln_bytes text, const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf box = {0};
    struct mln_bytes key;
    MLN_TRY(mln_txn_get(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key"), &key));
    if (text.len > STATE_MAX || mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_URL_RAW, &box)) ||
        box.len < MLN_XAES_NONCE_BYTES + MLN_GCM_TAG_BYTES) {
        return bad_state(rq);
    }
    struct mln_bytes sealed = mln_bytes_from(mln_buf_bytes(&box), MLN_XAES_NONCE_BYTES);
    size_t n = sealed.len - MLN_GCM_TAG_BYTES;
    uint8_t *plain = mln_new(rq->cx, n + 1);
    if (plain == NULL) {
        return mln_cx_err(rq->cx);
    }
    if (mln_failed(mln_xaes_open(rq->cx, key.ptr, box.ptr, mln_bytes_of(rq->mount->uuid), sealed, plain)) ||
        mln_failed(mln_cbor_parse(rq->cx, mln_bytes_at(plain, n), ret))) {
        return bad_state(rq);
    }
    int64_t age_s = (rq->now_ns - mln_get_int(mln_get(*ret, "made_ns"), 0)) / 1000000000;
    return age_s >= 0 && age_s <= JWT_STATE_SECONDS ? MLN_OK : bad_state(rq);
}

/* ---- the first half ---- */

static bool is_loopback(struct mln_bytes host)
{
    return mln_bytes_is(host, "localhost") || mln_bytes_is(host, "127.0.0.1") || mln_bytes_is(host, "[::1]");
}

/* ":8250", or nothing. What else stands behind a host would make it another one: "localhost:1@elsewhere". */
static bool is_port(struct mln_bytes text)
{
    uint64_t port = 0;
    return text.len == 0 || (text.ptr[0] == ':' && text.len <= 6 && mln_u64_parse(mln_bytes_from(text, 1), &port) && port <= 65535);
}

/* scheme, host and the rest of "http://127.0.0.1:8250/oidc/callback"; no host where more than a port stands behind it. */
static struct mln_bytes without_port(struct mln_bytes uri, struct mln_bytes *ret_host, struct mln_bytes *ret_path)
{
    size_t at = mln_bytes_find_bytes(uri, MLN_BYTES("://"));
    struct mln_bytes rest = mln_bytes_from(uri, at + 3);
    size_t end = mln_bytes_find(rest, '/');
    struct mln_bytes place = mln_bytes_sub(rest, 0, end);
    bool is_v6 = place.len > 0 && place.ptr[0] == '[';
    size_t host_n = is_v6 ? mln_bytes_find(place, ']') + 1 : mln_bytes_find(place, ':');
    *ret_path = mln_bytes_from(rest, end);
    *ret_host = is_port(mln_bytes_from(place, host_n)) ? mln_bytes_sub(place, 0, host_n) : MLN_BYTES_NONE;
    return mln_bytes_sub(uri, 0, at);
}

/* As it is listed; on loopback with any port (RFC 8252 sec. 7.3). */
static bool redirect_is_allowed(const struct mln_value *list, struct mln_bytes uri)
{
    struct mln_bytes host, path, its_host, its_path;
    struct mln_bytes scheme = without_port(uri, &host, &path);
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes listed = mln_get_bytes(mln_item(list, i));
        struct mln_bytes its_scheme = without_port(listed, &its_host, &its_path);
        if (mln_bytes_eq(listed, uri) || (is_loopback(host) && mln_bytes_eq(scheme, its_scheme) && mln_bytes_eq(host, its_host) &&
                                          mln_bytes_eq(path, its_path))) {
            return true;
        }
    }
    return false;
}

static void add_pair(struct mln_buf *buf, char before, const char *name, struct mln_bytes value)
{
    mln_buf_add_byte(buf, (uint8_t)before);
    mln_buf_add_text(buf, name);
    mln_buf_add_byte(buf, '=');
    mln_percent_print(buf, value);
}

static void add_scopes(struct mln_buf *buf, const struct mln_value *role)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf scope = {0};
    const struct mln_value *more = mln_get(role, "oidc_scopes");
    mln_buf_add_text(&scope, "openid");
    for (size_t i = 0; i < mln_len(more); i++) {
        if (!mln_is_text(mln_item(more, i), "openid")) {
            mln_buf_add_byte(&scope, ' ');
            mln_buf_add_bytes(&scope, mln_get_bytes(mln_item(more, i)));
        }
    }
    add_pair(buf, '&', "scope", mln_buf_bytes(&scope));
}

static const char *challenge_of(struct mln_cx *cx, struct mln_bytes verifier)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(verifier, digest);
    return mln_base64_text(cx, mln_bytes_at(digest, sizeof(digest)), MLN_B64_URL_RAW);
}

static struct mln_err build_url(struct mln_request *rq, const struct mln_value *config, const struct mln_value *role,
                                const struct mln_value *state, struct mln_buf *url)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *metadata = NULL;
    const char *sealed = "";
    MLN_TRY(mln_issuer_discover(rq, config, &metadata));
    MLN_TRY(seal_state(rq, state, &sealed));
    struct mln_bytes at = mln_get_bytes(mln_get(metadata, "authorization_endpoint"));
    struct mln_bytes mode = mln_get_bytes(mln_get(config, "oidc_response_mode"));
    int64_t max_age_s = mln_get_int(mln_get(role, "max_age"), 0);
    mln_buf_add_bytes(url, at);
    add_pair(url, mln_bytes_find(at, '?') < at.len ? '&' : '?', "client_id", mln_get_bytes(mln_get(config, "oidc_client_id")));
    add_pair(url, '&', "code_challenge", mln_bytes_of(challenge_of(cx, mln_get_bytes(mln_get(state, "verifier")))));
    add_pair(url, '&', "code_challenge_method", MLN_BYTES("S256"));
    add_pair(url, '&', "nonce", mln_get_bytes(mln_get(state, "nonce")));
    add_pair(url, '&', "redirect_uri", mln_get_bytes(mln_get(state, "redirect_uri")));
    add_pair(url, '&', "response_type", MLN_BYTES("code"));
    add_scopes(url, role);
    add_pair(url, '&', "state", mln_bytes_of(sealed));
    if (mode.len > 0) {
        add_pair(url, '&', "response_mode", mode);
    }
    if (max_age_s > 0) {
        add_pair(url, '&', "max_age", mln_bytes_format(cx, "%lld", (long long)max_age_s));
    }
    return mln_buf_ok(cx, url);
}

static struct mln_value *new_state(struct mln_request *rq, const char *role, struct mln_bytes redirect)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *state = mln_object(cx);
    char *nonce = mln_new(cx, RANDOM_CHARS + 1), *verifier = mln_new(cx, VERIFIER_CHARS + 1);
    if (nonce == NULL || verifier == NULL) {
        return state;
    }
    mln_random_base62(nonce, RANDOM_CHARS);
    mln_random_base62(verifier, VERIFIER_CHARS);
    mln_put_text(cx, state, "role", role);
    mln_put_text(cx, state, "nonce", nonce);
    mln_put_text(cx, state, "verifier", verifier);
    mln_put(cx, state, "redirect_uri", mln_string_dup(cx, redirect));
    mln_put(cx, state, "client_nonce", mln_string_dup(cx, mln_get_bytes(mln_field_of(rq, "client_nonce"))));
    mln_put_int(cx, state, "made_ns", rq->now_ns);
    return state;
}

/* A redirect that is not listed gives an empty URL, as Vault answers. */
struct mln_err jwt_auth_url(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes redirect = mln_get_bytes(mln_field_of(rq, "redirect_uri"));
    const struct mln_value *config = NULL, *role = NULL;
    struct mln_value *data = mln_object(rq->cx);
    const char *name = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf url = {0};
    MLN_TRY(jwt_config_need(rq, &config));
    if (mln_len(mln_get(config, "oidc_client_id")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "OIDC login is not configured for this mount");
    }
    if (redirect.len == 0 || redirect.len > REDIRECT_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing redirect_uri");
    }
    MLN_TRY(jwt_role_need(rq, config, &name, &role));
    bool is_allowed = redirect_is_allowed(mln_get(role, "allowed_redirect_uris"), redirect);
    if (is_allowed && mln_is_text(mln_get(role, "role_type"), "oidc")) {
        MLN_TRY(build_url(rq, config, role, new_state(rq, name, redirect), &url));
    }
    mln_put(rq->cx, data, "auth_url", mln_string_dup(rq->cx, mln_buf_bytes(&url)));
    if (mln_is_text(mln_get(role, "callback_mode"), "direct")) {
        mln_put_text(rq->cx, data, "poll_interval", "5");
    }
    mln_put_text(rq->cx, rq->detail, "role", name);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- the second half ---- */

static bool takes_basic(const struct mln_value *metadata)
{
    const struct mln_value *methods = mln_get(metadata, "token_endpoint_auth_methods_supported");
    bool has_post = false;
    for (size_t i = 0; i < mln_len(methods); i++) {
        if (mln_is_text(mln_item(methods, i), "client_secret_basic")) {
            return true;
        }
        has_post = has_post || mln_is_text(mln_item(methods, i), "client_secret_post");
    }
    return !has_post; /* OpenID Connect Discovery: basic is the default */
}

/* RFC 6749 sec. 2.3.1: both form-encoded, then base64. */
static void put_basic(struct mln_cx *cx, const struct mln_value *config, struct mln_value *headers)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf both = {.is_secret = true};
    mln_percent_print(&both, mln_get_bytes(mln_get(config, "oidc_client_id")));
    mln_buf_add_byte(&both, ':');
    mln_percent_print(&both, mln_get_bytes(mln_get(config, "oidc_client_secret")));
    const char *text = mln_text_format(cx, "Basic %s", mln_base64_text(cx, mln_buf_bytes(&both), MLN_B64_STD));
    mln_put(cx, headers, "Authorization", mln_secret_string(cx, mln_bytes_of(text)));
}

static struct mln_err token_ask(struct mln_request *rq, const struct mln_value *config, const struct mln_value *metadata,
                                const struct mln_value *state, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ask = mln_object(cx), *headers = mln_object(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf form = {.is_secret = true};
    mln_buf_add_text(&form, "grant_type=authorization_code");
    add_pair(&form, '&', "code", mln_get_bytes(mln_field_of(rq, "code")));
    add_pair(&form, '&', "redirect_uri", mln_get_bytes(mln_get(state, "redirect_uri")));
    add_pair(&form, '&', "code_verifier", mln_get_bytes(mln_get(state, "verifier")));
    if (takes_basic(metadata)) {
        put_basic(cx, config, headers);
    } else {
        add_pair(&form, '&', "client_id", mln_get_bytes(mln_get(config, "oidc_client_id")));
        add_pair(&form, '&', "client_secret", mln_get_bytes(mln_get(config, "oidc_client_secret")));
    }
    MLN_TRY(mln_buf_ok(cx, &form));
    mln_put_text(cx, headers, "Content-Type", "application/x-www-form-urlencoded");
    mln_put_text(cx, headers, "Accept", "application/json");
    mln_put_text(cx, ask, "kind", "http");
    mln_put_text(cx, ask, "method", "POST");
    mln_put(cx, ask, "url", mln_get(metadata, "token_endpoint"));
    mln_put(cx, ask, "headers", headers);
    mln_put(cx, ask, "body", mln_secret_string(cx, mln_bytes_dup(cx, mln_buf_bytes(&form))));
    if (mln_len(mln_get(config, "oidc_discovery_ca_pem")) > 0) {
        mln_put(cx, ask, "ca_pem", mln_get(config, "oidc_discovery_ca_pem"));
    }
    *ret = ask;
    return mln_cx_err(cx);
}

/* The code becomes an ID token. */
static struct mln_err exchange(struct mln_request *rq, const struct mln_value *config, const struct mln_value *state,
                               struct mln_bytes *ret_id_token)
{
    const struct mln_value *metadata = NULL, *ask = NULL, *answer = NULL, *body = NULL;
    MLN_TRY(mln_issuer_discover(rq, config, &metadata));
    MLN_TRY(token_ask(rq, config, metadata, state, &ask));
    MLN_TRY(rq->services->reach(rq, ask, &answer));
    if (mln_get_int(mln_get(answer, "status"), 0) != 200 ||
        mln_failed(mln_json_parse(rq->cx, mln_get_bytes(mln_get(answer, "body")), &body))) {
        return mln_refail(rq->cx, MLN_E_BAD_LOGIN, FAILED "Error exchanging oidc code: the provider refused it");
    }
    *ret_id_token = mln_get_bytes(mln_get(body, "id_token"));
    return ret_id_token->len > 0 ? MLN_OK : mln_fail(rq->cx, MLN_E_BAD_LOGIN, FAILED "No id_token found in response.");
}

static bool has_audience(const struct mln_value *aud, struct mln_bytes id)
{
    for (size_t i = 0; mln_type_of(aud) == MLN_ARRAY && i < mln_len(aud); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(aud, i)), id)) {
            return true;
        }
    }
    return mln_type_of(aud) == MLN_STRING && mln_bytes_eq(mln_get_bytes(aud), id);
}

/* OpenID Connect Core 3.1.3.7: for us, and for this login. */
static struct mln_err check_id_token(struct mln_request *rq, const struct mln_value *config, const struct mln_value *role,
                                     const struct mln_value *state, const struct mln_value *claims)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *aud = mln_get(claims, "aud"), *azp = mln_get(claims, "azp");
    struct mln_bytes id = mln_get_bytes(mln_get(config, "oidc_client_id")), want = mln_get_bytes(mln_get(state, "nonce"));
    struct mln_bytes nonce = mln_get_bytes(mln_get(claims, "nonce"));
    int64_t max_age_s = mln_get_int(mln_get(role, "max_age"), 0), now_s = rq->now_ns / 1000000000;
    bool is_many = mln_type_of(aud) == MLN_ARRAY && mln_len(aud) > 1;
    if (!has_audience(aud, id) || ((is_many || azp != NULL) && !mln_bytes_eq(mln_get_bytes(azp), id))) {
        return mln_fail(cx, MLN_E_BAD_LOGIN, FAILED "The id_token is for somebody else.");
    }
    if (mln_len(mln_get(role, "bound_audiences")) > 0 &&
        mln_failed(mln_claims_check_audience(cx, claims, mln_get(role, "bound_audiences")))) {
        return mln_refail(cx, MLN_E_BAD_LOGIN, FAILED "error validating token: invalid audience (aud) claim");
    }
    if (!mln_eq_ct(nonce.ptr, nonce.len, want.ptr, want.len)) {
        return mln_fail(cx, MLN_E_BAD_LOGIN, FAILED "Invalid ID token nonce.");
    }
    if (max_age_s > 0 && mln_get_int(mln_get(claims, "auth_time"), 0) + max_age_s + 60 < now_s) {
        return mln_fail(cx, MLN_E_BAD_LOGIN, FAILED "Authentication is older than max_age.");
    }
    return MLN_OK;
}

static struct mln_err check_client_nonce(struct mln_request *rq, const struct mln_value *state)
{
    struct mln_bytes want = mln_get_bytes(mln_get(state, "client_nonce")), given = mln_get_bytes(mln_field_of(rq, "client_nonce"));
    return mln_eq_ct(want.ptr, want.len, given.ptr, given.len) ? MLN_OK
                                                               : mln_fail(rq->cx, MLN_E_BAD_LOGIN, FAILED "invalid client_nonce");
}

static const char *poll_key(struct mln_request *rq)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(mln_get_bytes(mln_field_of(rq, "state")), digest);
    return mln_text_format(rq->cx, "poll/%s", mln_hex_text(rq->cx, mln_bytes_at(digest, sizeof(digest))));
}

/* Mode direct: the browser sees a page, the claims wait for who began the login. */
static struct mln_err keep_outcome(struct mln_request *rq, const struct mln_value *claims, struct mln_reply *re)
{
    struct mln_value *row = mln_object(rq->cx);
    mln_put(rq->cx, row, "claims", claims);
    mln_put_int(rq->cx, row, "made_ns", rq->now_ns);
    MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(poll_key(rq)), row));
    re->raw = MLN_BYTES("<!doctype html><title>Signed in</title><p>You are signed in. This page can be closed.</p>");
    re->content_type = "text/html; charset=utf-8";
    re->status = 200;
    return mln_cx_err(rq->cx);
}

static struct mln_err role_of_state(struct mln_request *rq, const struct mln_value *state, const char **ret_name,
                                    const struct mln_value **ret)
{
    *ret_name = jwt_text(rq->cx, state, "role");
    struct mln_err err = jwt_role_load(rq, *ret_name, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_BAD_LOGIN, FAILED "Role could not be found") : err;
}

struct mln_err jwt_callback(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL, *state = NULL, *role = NULL, *claims = NULL;
    struct mln_bytes id_token;
    const char *name = NULL;
    MLN_TRY(jwt_config_need(rq, &config));
    MLN_TRY(open_state(rq, mln_get_bytes(mln_field_of(rq, "state")), &state));
    MLN_TRY(role_of_state(rq, state, &name, &role));
    bool is_direct = mln_is_text(mln_get(role, "callback_mode"), "direct");
    if (!is_direct) {
        MLN_TRY(check_client_nonce(rq, state));
    }
    if (!is_direct && !mln_token_fields_from(rq, role)) { /* in mode direct the poll decides: that is the client */
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    if (mln_get_bytes(mln_field_of(rq, "code")).len == 0) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, FAILED "OAuth code parameter not provided");
    }
    MLN_TRY(exchange(rq, config, state, &id_token));
    MLN_TRY(mln_issuer_verify(rq, config, id_token, &claims));
    MLN_TRY(check_id_token(rq, config, role, state, claims));
    MLN_TRY(jwt_check(rq, config, role, claims));
    return is_direct ? keep_outcome(rq, claims, re) : jwt_finish(rq, name, role, claims, re);
}

struct mln_err jwt_poll(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *state = NULL, *role = NULL, *row = NULL;
    const char *name = NULL, *key = poll_key(rq);
    MLN_TRY(open_state(rq, mln_get_bytes(mln_field_of(rq, "state")), &state));
    MLN_TRY(check_client_nonce(rq, state));
    if (mln_len(mln_get(state, "client_nonce")) == 0) { /* whoever sees the browser's URL must not be able to poll */
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, FAILED "invalid client_nonce");
    }
    MLN_TRY(role_of_state(rq, state, &name, &role));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(key), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "authorization_pending");
    }
    MLN_TRY(err);
    if (!mln_token_fields_from(rq, role)) {
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(key)));
    return jwt_finish(rq, name, role, mln_get(row, "claims"), re);
}

/* Outcomes that nobody came for. */
struct mln_err jwt_tick(struct mln_request *rq)
{
    const struct mln_value *names = NULL, *row = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("poll/"), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes key = mln_bytes_format(rq->cx, "poll/%.*s", MLN_FMT(mln_get_bytes(mln_item(names, i))));
        MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, &row));
        int64_t age_s = (rq->now_ns - mln_get_int(mln_get(row, "made_ns"), 0)) / 1000000000;
        if (age_s > JWT_STATE_SECONDS) {
            MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key));
        }
    }
    return MLN_OK;
}
