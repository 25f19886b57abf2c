/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWT and OIDC through the descriptors, the world outside played by this test: whose tokens get in, what is refused with which
 * text, keys that change, and the browser's way with its state, nonce and code.
 */
#include <stdio.h>
#include <string.h>

#include "kit/engine_kit.h"

#include "crypto/jose_verify.h"

extern const struct mln_engine mln_method_jwt, mln_method_oidc;

/* ---- the world ---- */

static struct {
    struct mln_buf der[2], jwks, form, id_token;
    size_t asked_keys, asked;
    bool is_down;
} world;

#define ISSUER "https://id.example.org"
#define METADATA                                                                                                       \
    "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"" ISSUER "/keys\",\"authorization_endpoint\":\"" ISSUER "/auth?a=b\","    \
    "\"token_endpoint\":\"" ISSUER "/token\"}"

static struct mln_err fake_reach(struct mln_request *rq, const struct mln_value *ask, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *answer = mln_object(cx);
    const char *url = mln_get_text(cx, mln_get(ask, "url"), ""), *body = "{}";
    int status = 200;
    world.asked++;
    if (world.is_down) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "reach: down");
    }
    if (strstr(url, "/keys") != NULL) {
        world.asked_keys++;
        body = mln_text_dup(cx, mln_buf_bytes(&world.jwks));
    } else if (strcmp(url, ISSUER "/.well-known/openid-configuration") == 0) {
        body = METADATA;
    } else if (strcmp(url, ISSUER "/token") == 0) {
        mln_buf_clear(&world.form);
        mln_buf_add_bytes(&world.form, mln_get_bytes(mln_get(ask, "body")));
        mln_buf_add_byte(&world.form, 0);
        body = mln_text_format(cx, "{\"id_token\":\"%.*s\"}", (int)world.id_token.len, (const char *)world.id_token.ptr);
        status = world.id_token.len > 0 ? 200 : 400;
    } else {
        status = 404;
    }
    mln_put_int(cx, answer, "status", status);
    mln_put_text(cx, answer, "body", body);
    *ret = answer;
    return mln_cx_err(cx);
}

/* Publish the first n keys. */
static void publish(struct mln_cx *cx, size_t n)
{
    struct mln_value *set = mln_object(cx), *keys = mln_array(cx);
    for (size_t i = 0; i < n; i++) {
        const struct mln_value *jwk = NULL;
        kit_ok(cx, mln_jose_jwk(cx, MLN_JOSE_ES256, i == 0 ? "k0" : "k1", mln_buf_bytes(&world.der[i]), &jwk));
        mln_push(cx, keys, jwk);
    }
    mln_put(cx, set, "keys", keys);
    mln_buf_clear(&world.jwks);
    mln_json_print(&world.jwks, set, MLN_JSON_COMPACT);
}

static int make_world(void **state)
{
    struct mln_cx *cx = kit_cx_new();
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        world.der[i] = (struct mln_buf){.is_secret = true};
        kit_ok(cx, mln_jose_generate(cx, MLN_JOSE_ES256, &world.der[i]));
    }
    publish(cx, 1);
    kit_cx_free(cx);
    return 0;
}

static int end_world(void **state)
{
    (void)state;
    mln_buf_drop(&world.der[0]);
    mln_buf_drop(&world.der[1]);
    mln_buf_drop(&world.jwks);
    mln_buf_drop(&world.form);
    mln_buf_drop(&world.id_token);
    return 0;
}

static void sign(struct ek *k, size_t key, const char *claims, struct mln_buf *ret)
{
    const struct mln_value *v = NULL;
    struct mln_jose_key signer = {.alg = MLN_JOSE_ES256, .kid = key == 0 ? "k0" : "k1", .der = mln_buf_bytes(&world.der[key])};
    kit_ok(k->cx, mln_json_parse(k->cx, mln_bytes_of(claims), &v));
    mln_buf_clear(ret);
    kit_ok(k->cx, mln_jose_sign(k->cx, &signer, NULL, v, ret));
}

static struct ek *jwt_new(void)
{
    struct ek *k = ek_new();
    k->services.reach = fake_reach;
    ek_mount(k, "auth/jwt/", &mln_method_jwt, "44444444-0000-4000-8000-000000000000");
    ek_mount(k, "auth/oidc/", &mln_method_oidc, "55555555-0000-4000-8000-000000000000");
    publish(k->cx, 1);
    world.is_down = false;
    return k;
}
#define JWT(name) MLN_AUTO(ek_drop) struct ek *name = jwt_new()

/* Log in with claims (a format with one %lld for exp) signed by a key. */
static int login_as(struct ek *k, size_t key, const char *role, const char *claims)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf token = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {0};
    char all[1024];
    (void)snprintf(all, sizeof(all), "{\"exp\":%lld%s}", (long long)(k->now_ns / 1000000000 + 60), claims);
    sign(k, key, all, &token);
    mln_buf_add_format(&body, "{\"role\":\"%s\",\"jwt\":\"%.*s\"}", role, (int)token.len, (const char *)token.ptr);
    mln_buf_add_byte(&body, 0);
    return ek_write(k, "auth/jwt/login", (const char *)body.ptr);
}

#define ROLE                                                                                                           \
    "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_audiences\":\"merlon\",\"bound_claims\":{\"env\":[\"prod\"]},"  \
    "\"claim_mappings\":{\"env\":\"env\",\"/deep/0\":\"deep\"},\"groups_claim\":\"groups\",\"token_policies\":\"p1\",\"token_ttl\":600}"
#define GOOD ",\"sub\":\"alice\",\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":[\"a\",\"b\"],\"deep\":[5]"

static void test_login(void **state)
{
    (void)state;
    JWT(k);
    EK_WANT(k, ek_write(k, "auth/jwt/config", "{\"jwks_url\":\"" ISSUER "/keys\",\"default_role\":\"dev\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/Dev", ROLE), 204);
    EK_WANT(k, login_as(k, 0, "DEV", GOOD), 204);
    assert_non_null(k->re.login);
    assert_string_equal(k->re.login->alias, "alice");
    assert_int_equal(k->re.login->ttl_s, 600);
    EK_VALUE(k, k->re.login->policies, "[\"p1\"]");
    EK_VALUE(k, k->re.login->meta, "{\"deep\":\"5\",\"env\":\"prod\",\"role\":\"dev\"}");
    EK_VALUE(k, k->re.login->groups, "[\"a\",\"b\"]");
    EK_VALUE(k, k->re.login->internal, "{\"role\":\"dev\"}");
    assert_false(k->wrote);
    EK_WANT(k, login_as(k, 0, "", GOOD), 204); /* the default role */
}

static void test_refused_logins(void **state)
{
    static const struct {
        const char *role, *claims, *why;
    } t[] = {
        {"nosuch", GOOD, "role \"nosuch\" could not be found"},
        {"browser", GOOD, "role with oidc role_type is not allowed"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"other\",\"env\":\"prod\",\"groups\":[]",
         "error validating token: invalid audience (aud) claim: audience claim does not match any expected audience"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"merlon\",\"env\":\"dev\",\"groups\":[]",
         "error validating claims: claim \"env\" does not match any associated bound claim values"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"merlon\",\"groups\":[]", "error validating claims: claim \"env\" is missing"},
        {"dev", ",\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":[]", "claim \"sub\" not found in token"},
        {"dev", ",\"sub\":7,\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":[]", "claim \"sub\" could not be converted to string"},
        {"dev", ",\"sub\":\"\",\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":[]", "could not be converted"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"merlon\",\"env\":\"prod\"", "\"groups\" claim not found in token"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":[1]", "could not be converted to string list"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":{}", "could not be converted to string list"},
        {"dev", ",\"sub\":\"alice\",\"aud\":\"merlon\",\"env\":\"prod\",\"groups\":[],\"deep\":[[]]", "error converting claim '/deep/0'"},
        {"dev", GOOD ",\"iat\":9999999999", "token not yet valid"},
        {"bound", GOOD, "invalid subject (sub) claim"},
        {"open", GOOD, "audience claim found in JWT but no audiences bound to the role"},
    };
    (void)state;
    JWT(k);
    EK_REFUSED(k, login_as(k, 0, "dev", GOOD), 400, "could not load configuration");
    EK_WANT(k, ek_write(k, "auth/jwt/config", "{\"jwks_url\":\"" ISSUER "/keys\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/dev", ROLE), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/browser", "{\"user_claim\":\"sub\",\"allowed_redirect_uris\":\"https://a/cb\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/bound", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_subject\":\"bob\",\"bo"
        "und_audiences\":\"merlon\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/open", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_subject\":\"alice\"}"), 204);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, login_as(k, 0, t[i].role, t[i].claims), 400, t[i].why);
        assert_null(k->re.login);
    }
    EK_REFUSED(k, login_as(k, 0, "", GOOD), 400, "missing role");
    EK_REFUSED(k, ek_write(k, "auth/jwt/login", "{\"role\":\"dev\"}"), 400, "missing token");
    EK_REFUSED(k, ek_write(k, "auth/jwt/login", "{\"role\":\"dev\",\"jwt\":\"garbage\"}"), 400,
               "error validating token: error verifying token signature: go-jose/go-jose: compact JWS format must have three parts");
    EK_REFUSED(k, ek_write(k, "auth/jwt/login", "{\"role\":\"dev\",\"jwt\":\"eyJhbGciOiJub25lIn0.e30.\"}"), 400,
        "unexpected signature algorithm \"none\"");
    EK_WANT(k, ek_write(k, "auth/jwt/config", "{\"jwks_url\":\"" ISSUER "/keys\",\"bound_issuer\":\"https://iss\"}"), 204);
    EK_REFUSED(k, login_as(k, 0, "dev", GOOD), 400, "error validating token: invalid issuer (iss) claim");
    EK_WANT(k, login_as(k, 0, "dev", GOOD ",\"iss\":\"https://iss\""), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/config", "{\"jwks_url\":\"" ISSUER "/keys\",\"jwt_supported_algs\":\"RS256\"}"), 204);
    EK_REFUSED(k, login_as(k, 0, "dev", GOOD), 400, "token signed with unexpected algorithm \"ES256\"");
}

static void test_keys_that_change(void **state)
{
    (void)state;
    JWT(k);
    EK_WANT(k, ek_write(k, "auth/jwt/config", "{\"jwks_url\":\"" ISSUER "/keys\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/dev", ROLE), 204);
    EK_REFUSED(k, login_as(k, 1, "dev", GOOD), 400, "error validating token: error verifying token signature");
    size_t asked = world.asked_keys;
    mln_cx_clear(k->cx);
    publish(k->cx, 2);
    EK_WANT(k, login_as(k, 1, "dev", GOOD), 204);
    assert_int_equal(world.asked_keys, asked + 1);
    world.is_down = true;
    EK_WANT(k, login_as(k, 0, "dev", GOOD), 502);
}

static void test_configured_keys(void **state)
{
    (void)state;
    JWT(k);
    uint8_t scalar[32], point[65];
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {0};
    kit_ok(k->cx, mln_p256_generate(k->cx, scalar, point));
    kit_ok(k->cx, mln_p256_public_pem(k->cx, point, &pem));
    mln_buf_add_text(&body, "{\"jwt_validation_pubkeys\":[");
    mln_json_print_string(&body, mln_buf_bytes(&pem), 0);
    mln_buf_add_text(&body, "],\"bound_issuer\":\"https://iss\"}");
    mln_buf_add_byte(&body, 0);
    EK_WANT(k, ek_write(k, "auth/jwt/config", (const char *)body.ptr), 204);
    EK_WANT(k, ek_write(k, "auth/jwt/role/dev", ROLE), 204);
    EK_REFUSED(k, login_as(k, 0, "dev", GOOD), 400, "no known key successfully validated the token signature");
    EK_WANT(k, ek_read(k, "auth/jwt/config", NULL), 200);
    assert_true(mln_is_text(mln_get(k->re.data, "status"), "valid"));
    struct mln_bytes kept = mln_get_bytes(mln_item(mln_get(k->re.data, "jwt_validation_pubkeys"), 0));
    assert_true(kept.len > 0 && kept.ptr[kept.len - 1] == '-'); /* its line end is gone */
    assert_true(mln_is_text(mln_get(k->re.data, "oidc_discovery_url"), ""));
    assert_null(mln_get(k->re.data, "oidc_client_secret"));
}

static void test_refused_settings(void **state)
{
    static const struct {
        const char *path, *json, *why;
    } t[] = {
        {"config", "{}", "exactly one of"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"oidc_discovery_url\":\"" ISSUER "\"}", "exactly one of"},
        {"config", "{\"jwks_url\":\"" ISSUER "/nothing\"}", "error checking jwks URL"},
        {"config", "{\"oidc_discovery_url\":\"https://other.example.org\"}", "error checking oidc discovery URL"},
        {"config", "{\"oidc_discovery_url\":\"" ISSUER "/\"}", "the issuer is another"},
        {"config", "{\"jwt_validation_pubkeys\":\"x\"}", "error parsing public key"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"jwt_supported_algs\":\"HS256\"}", "unsupported algorithm"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"oidc_client_id\":\"me\"}", "both 'oidc_client_id'"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"oidc_client_id\":\"me\",\"oidc_client_secret\":\"s\"}", "must be set for OIDC"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"oidc_response_mode\":\"fragment\"}", "invalid response_mode"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"oidc_response_types\":\"id_token\"}", "unsupported response_type"},
        {"config", "{\"jwks_url\":\"" ISSUER "/keys\",\"provider_config\":{\"provider\":\"azure\"}}", "provider_config"},
        {"role/r", "{\"role_type\":\"jwt\",\"bound_subject\":\"x\"}", "a user claim must be defined on the role"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\"}", "at least one bound constraint"},
        {"role/r", "{\"role_type\":\"x\",\"user_claim\":\"sub\"}", "invalid 'role_type': x"},
        {"role/r", "{\"user_claim\":\"sub\"}", "'allowed_redirect_uris' must be set"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_claims\":{\"a\":{}}}", "claim is not a string or list"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_claims\":{\"a\":1},\"bound_claims_type\":\"glob\"}",
            "not a string"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_claims\":{\"a\":\"b\"},\"bound_claims_type\":\"re\""
            "}", "bound_claims_type"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_subject\":\"x\",\"claim_mappings\":{\"a\":\"role\"}"
            "}", "is reserved"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_subject\":\"x\",\"claim_mappings\":{\"a\":\"m\",\"b\""
            ":\"m\"}}", "multiple keys"},
        {"role/r", "{\"role_type\":\"jwt\",\"user_claim\":\"sub\",\"bound_subject\":\"x\",\"callback_mode\":\"device\"}",
            "invalid callback_mode"},
    };
    (void)state;
    JWT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "auth/jwt/%s", t[i].path);
        EK_REFUSED(k, ek_write(k, path, t[i].json), 400, t[i].why);
        assert_false(k->wrote);
    }
}

static void test_roles(void **state)
{
    (void)state;
    JWT(k);
    EK_WANT(k, ek_list(k, "auth/jwt/role/"), 404);
    EK_WANT(k, ek_read(k, "auth/jwt/role/dev", NULL), 404);
    EK_WANT(k, ek_write(k, "auth/jwt/role/dev", ROLE), 204);
    EK_WANT(k, ek_list(k, "auth/jwt/role/"), 200);
    EK_DATA(k, "{\"keys\":[\"dev\"]}");
    EK_WANT(k, ek_read(k, "auth/jwt/role/dev", NULL), 200);
    EK_DATA(k, "{\"allowed_redirect_uris\":null,\"bound_audiences\":[\"merlon\"],\"bound_claims\":{\"env\":[\"prod\"]},"
               "\"bound_claims_type\":\"string\",\"bound_subject\":\"\",\"callback_mode\":\"client\",\"claim_mappings\":{\"/dee"
                   "p/0\":\"deep\","
               "\"env\":\"env\"},\"clock_skew_leeway\":0,\"expiration_leeway\":0,\"groups_claim\":\"groups\",\"max_age\":0,"
               "\"not_before_leeway\":0,\"oauth2_metadata\":null,\"oidc_disable_confirmation\":false,\"oidc_scopes\":null,\"rol"
                   "e_type\":\"jwt\","
               "\"token_bound_cidrs\":[],\"token_explicit_max_ttl\":0,\"token_max_ttl\":0,\"token_no_default_policy\":false,"
               "\"token_num_uses\":0,\"token_period\":0,\"token_policies\":[\"p1\"],\"token_policies_template_claims\":false,"
               "\"token_strictly_bind_ip\":false,\"token_ttl\":600,\"token_type\":\"default\",\"user_claim\":\"sub\","
               "\"user_claim_json_pointer\":false,\"verbose_oidc_logging\":false}");
    EK_WANT(k, ek_delete(k, "auth/jwt/role/dev"), 204);
    EK_WANT(k, ek_read(k, "auth/jwt/role/dev", NULL), 404);
}

/* ---- the browser's way ---- */

#define OIDC_CONFIG "{\"oidc_discovery_url\":\"" ISSUER "\",\"oidc_client_id\":\"me\",\"oidc_client_secret\":\"s3cret\",\"defau" \
    "lt_role\":\"p\"}"
#define REDIRECT "http://localhost:8250/oidc/callback"

/* The value of a parameter of the URL that was given. */
static void parameter(const char *url, const char *name, char *to, size_t n)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "&%s=", name);
    const char *at = strstr(url, key);
    assert_non_null(at);
    at += strlen(key);
    size_t len = strcspn(at, "&");
    assert_true(len < n);
    memcpy(to, at, len);
    to[len] = 0;
}

static void begin(struct ek *k, const char *role_more, char state[2048], char nonce[128])
{
    char role[512];
    (void)snprintf(role, sizeof(role), "{\"user_claim\":\"sub\",\"allowed_redirect_uris\":\"" REDIRECT "\",\"oidc_scopes\":\"em"
        "ail\"%s}", role_more);
    EK_WANT(k, ek_write(k, "auth/oidc/config", OIDC_CONFIG), 204);
    EK_WANT(k, ek_write(k, "auth/oidc/role/p", role), 204);
    EK_WANT(k, ek_write(k, "auth/oidc/oidc/auth_url", "{\"redirect_uri\":\"" REDIRECT "\",\"client_nonce\":\"cn\"}"), 200);
    const char *url = ek_text(k, "auth_url");
    assert_non_null(strstr(url, ISSUER "/auth?a=b&client_id=me&code_challenge="));
    assert_non_null(strstr(url, "&code_challenge_method=S256&"));
    assert_non_null(strstr(url, "&scope=openid%20email"));
    parameter(url, "state", state, 2048);
    parameter(url, "nonce", nonce, 128);
    assert_false(k->wrote);
}

/* The nonce stands where claims have "%s". */
static void provider_signs(struct ek *k, const char *more, const char *nonce)
{
    char claims[512];
    const char *hole = strstr(more, "%s");
    (void)snprintf(claims, sizeof(claims), "{\"iss\":\"" ISSUER "\",\"sub\":\"alice\",\"exp\":%lld,%.*s%s%s}",
                   (long long)(k->now_ns / 1000000000 + 60), (int)(hole - more), more, nonce, hole + 2);
    sign(k, 0, claims, &world.id_token);
}

static int come_back(struct ek *k, const char *state, const char *more)
{
    char body[4096];
    (void)snprintf(body, sizeof(body), "{\"state\":\"%s\",\"code\":\"c0de\"%s}", state, more);
    return ek_read(k, "auth/oidc/oidc/callback", body);
}

static void test_browser_login(void **state)
{
    char given[2048], nonce[128];
    (void)state;
    JWT(k);
    begin(k, "", given, nonce);
    provider_signs(k, "\"aud\":\"me\",\"nonce\":\"%s\"", nonce);
    EK_WANT(k, come_back(k, given, ",\"client_nonce\":\"cn\""), 204);
    assert_non_null(k->re.login);
    assert_string_equal(k->re.login->alias, "alice");
    const char *form = (const char *)world.form.ptr;
    assert_non_null(strstr(form, "grant_type=authorization_code&code=c0de&redirect_uri=http%3A//localhost%3A8250/oidc/callback&"
        "code_verifier="));
    assert_null(strstr(form, "s3cret")); /* in the header */
}

static void test_refused_browser_logins(void **state)
{
    static const struct {
        const char *claims, *more, *why;
    } t[] = {
        {"\"aud\":\"me\",\"nonce\":\"%s\"", "", "invalid client_nonce"},
        {"\"aud\":\"me\",\"nonce\":\"%s\"", ",\"client_nonce\":\"other\"", "invalid client_nonce"},
        {"\"aud\":\"you\",\"nonce\":\"%s\"", ",\"client_nonce\":\"cn\"", "for somebody else"},
        {"\"aud\":[\"me\",\"you\"],\"nonce\":\"%s\"", ",\"client_nonce\":\"cn\"", "for somebody else"},
        {"\"aud\":\"me\",\"azp\":\"you\",\"nonce\":\"%s\"", ",\"client_nonce\":\"cn\"", "for somebody else"},
        {"\"aud\":\"me\",\"nonce\":\"x%s\"", ",\"client_nonce\":\"cn\"", "Invalid ID token nonce"},
        {"\"aud\":\"me\",\"was\":\"%s\"", ",\"client_nonce\":\"cn\"", "Invalid ID token nonce"},
        {"\"aud\":\"me\",\"iat\":9999999999,\"nonce\":\"%s\"", ",\"client_nonce\":\"cn\"", "token not yet valid"},
    };
    char given[2048], nonce[128];
    (void)state;
    JWT(k);
    begin(k, "", given, nonce);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        provider_signs(k, t[i].claims, nonce);
        EK_REFUSED(k, come_back(k, given, t[i].more), 400, t[i].why);
        assert_null(k->re.login);
    }
    mln_buf_clear(&world.id_token);
    EK_REFUSED(k, come_back(k, given, ",\"client_nonce\":\"cn\""), 400, "the provider refused it");
    EK_REFUSED(k, come_back(k, "", ",\"client_nonce\":\"cn\""), 400, "Expired or missing OAuth state.");
    EK_REFUSED(k, come_back(k, "AAAA", ",\"client_nonce\":\"cn\""), 400, "Expired or missing OAuth state.");
    given[9] = given[9] == 'A' ? 'B' : 'A';
    EK_REFUSED(k, come_back(k, given, ",\"client_nonce\":\"cn\""), 400, "Expired or missing OAuth state.");
    begin(k, "", given, nonce);
    k->now_ns += INT64_C(601) * 1000000000;
    EK_REFUSED(k, come_back(k, given, ",\"client_nonce\":\"cn\""), 400, "Expired or missing OAuth state.");
    EK_REFUSED(k, ek_write(k, "auth/oidc/oidc/auth_url", "{}"), 400, "missing redirect_uri");
    EK_WANT(k, ek_write(k, "auth/oidc/oidc/auth_url", "{\"redirect_uri\":\"https://evil.example\"}"), 200);
    EK_DATA(k, "{\"auth_url\":\"\"}");
    EK_WANT(k, ek_write(k, "auth/oidc/oidc/auth_url", "{\"redirect_uri\":\"http://localhost:1/other\"}"), 200);
    EK_DATA(k, "{\"auth_url\":\"\"}");
    static const char *const elsewhere[] = {"localhost:8250@evil.example", "localhost:@evil.example", "localhost:1.evil.example",
                                            "localhost:8250?@evil.example", "localhost:123456"};
    for (size_t i = 0; i < MLN_COUNT(elsewhere); i++) {
        char body[160];
        (void)snprintf(body, sizeof(body), "{\"redirect_uri\":\"http://%s/oidc/callback\"}", elsewhere[i]);
        EK_WANT(k, ek_write(k, "auth/oidc/oidc/auth_url", body), 200);
        EK_DATA(k, "{\"auth_url\":\"\"}");
    }
    EK_WANT(k, ek_write(k, "auth/oidc/oidc/auth_url", "{\"redirect_uri\":\"http://localhost:7777/oidc/callback\"}"), 200);
    assert_true(ek_text(k, "auth_url")[0] != 0); /* loopback: any port */
}

static void test_direct_mode(void **state)
{
    char given[2048], nonce[128], body[4096];
    (void)state;
    JWT(k);
    begin(k, ",\"callback_mode\":\"direct\"", given, nonce);
    (void)snprintf(body, sizeof(body), "{\"state\":\"%s\",\"client_nonce\":\"cn\"}", given);
    EK_REFUSED(k, ek_write(k, "auth/oidc/oidc/poll", body), 400, "authorization_pending");
    provider_signs(k, "\"aud\":\"me\",\"nonce\":\"%s\"", nonce);
    EK_WANT(k, come_back(k, given, ""), 200);
    assert_null(k->re.login);
    assert_true(k->re.raw.len > 0);
    char other[4096];
    (void)snprintf(other, sizeof(other), "{\"state\":\"%s\",\"client_nonce\":\"x\"}", given);
    EK_REFUSED(k, ek_write(k, "auth/oidc/oidc/poll", other), 400, "invalid client_nonce");
    EK_WANT(k, ek_write(k, "auth/oidc/oidc/poll", body), 204);
    assert_non_null(k->re.login);
    EK_REFUSED(k, ek_write(k, "auth/oidc/oidc/poll", body), 400, "authorization_pending"); /* once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),         cmocka_unit_test(test_refused_logins),   cmocka_unit_test(test_keys_that_change),
        cmocka_unit_test(test_configured_keys), cmocka_unit_test(test_refused_settings), cmocka_unit_test(test_roles),
        cmocka_unit_test(test_browser_login), cmocka_unit_test(test_refused_browser_logins), cmocka_unit_test(test_direct_mode),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
