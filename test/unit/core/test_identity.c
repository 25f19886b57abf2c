/* SPDX-License-Identifier: Apache-2.0 */
/* Identity in the pipeline: policies of entities and groups act at once, disabling and deleting refuse, templates are filled in. */
#include "core_kit.h"

#include <string.h>

#include "base/clock.h"
#include "crypto/otp.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()

static void policy(struct ck *k, const char *name, const char *rules)
{
    char path[64], json[512];
    (void)snprintf(path, sizeof(path), "sys/policies/acl/%s", name);
    (void)snprintf(json, sizeof(json), "{\"policy\":\"%s\"}", rules);
    CK_WANT(k, ck_call(k, "root", "write", path, json), 204);
}

static void text_of(struct ck *k, const char *part, const char *name, char to[100])
{
    (void)snprintf(to, 100, "%s",
                   mln_get_text(&k->cx, mln_get(mln_get(k->answer, part), name), ""));
    assert_true(to[0] != 0);
}

struct who {
    char token[100], entity[100];
};

static struct who log_in(struct ck *k)
{
    struct who w;
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"secret\"}"),
            200);
    text_of(k, "auth", "client_token", w.token);
    text_of(k, "auth", "entity_id", w.entity);
    return w;
}

static struct who start(struct ck *k)
{
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 204);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/userpass/users/alice", "{\"password\":\"secret\"}"),
            204);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"n\":1}}"), 200);
    return log_in(k);
}

/* The JSON's "@" stands for the id. */
static void write_to(struct ck *k, const char *path, const char *text, const char *id, int want)
{
    char json[400];
    struct mln_bytes rest, first = mln_bytes_cut(mln_bytes_of(text), '@', &rest);
    (void)snprintf(json, sizeof(json), "%.*s%s%.*s", MLN_FMT(first), id, MLN_FMT(rest));
    CK_WANT(k, ck_call(k, "root", "write", path, json), want);
}

static void test_policies_of_groups(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k);
    policy(k, "reads", "path \\\"secret/data/*\\\" { capabilities = [\\\"read\\\"] }");
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 403);
    write_to(k, "identity/group",
             "{\"name\":\"g\",\"policies\":[\"reads\"],\"member_entity_ids\":[\"@\"]}", w.entity,
             200);
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 200);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 200);
    const struct mln_value *data = mln_get(k->answer, "data");
    assert_string_equal(ck_json(k, mln_get(data, "identity_policies")), "[\"reads\"]");
    assert_string_equal(ck_json(k, mln_get(data, "policies")), "[\"default\"]");
    CK_WANT(k,
            ck_call(k, w.token, "write", "sys/capabilities-self", "{\"path\":\"secret/data/a\"}"),
            200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "capabilities")),
                        "[\"read\"]");
    struct who again = log_in(k);
    const struct mln_value *auth = mln_get(k->answer, "auth");
    assert_string_equal(again.entity, w.entity);
    assert_string_equal(ck_json(k, mln_get(auth, "policies")), "[\"default\",\"reads\"]");
    assert_string_equal(ck_json(k, mln_get(auth, "token_policies")), "[\"default\"]");
    assert_string_equal(ck_json(k, mln_get(auth, "identity_policies")), "[\"reads\"]");
    CK_WANT(k, ck_call(k, "root", "delete", "identity/group/name/g", NULL), 204);
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 403);
    write_to(k, "identity/entity", "{\"policies\":[\"reads\"],\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 200);
    policy(k, "reads", "path \\\"secret/data/*\\\" { capabilities = [\\\"deny\\\"] }");
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 403);
}

/* What a child gets on paper stays within the token's own policies: those of a group end with the membership. */
static void test_children(void **state)
{
    char child[100];
    (void)state;
    CK(k);
    struct who w = start(k);
    policy(k, "reads", "path \\\"secret/data/*\\\" { capabilities = [\\\"read\\\"] }");
    policy(k, "makes", "path \\\"auth/token/create\\\" { capabilities = [\\\"update\\\"] }");
    write_to(k, "identity/entity", "{\"policies\":[\"reads\",\"makes\"],\"id\":\"@\"}", w.entity,
             204);
    CK_WANT(k, ck_call(k, w.token, "write", "auth/token/create", "{}"), 200);
    text_of(k, "auth", "client_token", child);
    CK_WANT(k, ck_call(k, child, "read", "secret/data/a", NULL), 200); /* of the same entity */
    write_to(k, "identity/entity", "{\"policies\":[],\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, child, "read", "secret/data/a", NULL), 403);
}

/* What a login made is not what is meant by its name: it gives the name up and gets nothing, until somebody named it by its id. */
static void test_names_of_logins(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k);
    CK_WANT(k, ck_call(k, "root", "write", "identity/entity", "{\"name\":\"alice\",\"policies\":[\"admin\"]}"), 200);
    assert_null(strstr(ck_at(k, "data|id"), w.entity));
    CK_WANT(k, ck_call(k, "root", "read", mln_text_format(&k->cx, "identity/entity/id/%s", w.entity), NULL), 200);
    assert_string_equal(ck_at(k, "data|policies"), "[]");
    assert_non_null(strstr(ck_at(k, "data|name"), "\"entity_"));
    CK_WANT(k, ck_call(k, "root", "write", "identity/entity/name/alice", "{\"policies\":[\"more\"]}"), 204);
    CK_WANT(k, ck_call(k, "root", "write", "identity/entity", "{\"name\":\"bob\",\"policies\":[\"admin\"]}"), 200);
    CK_WANT(k, ck_call(k, "root", "write", "identity/entity", "{\"name\":\"bob\",\"policies\":[\"more\"]}"), 204);
    write_to(k, "identity/entity", "{\"name\":\"kim\",\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, "root", "write", "identity/entity", "{\"name\":\"kim\",\"policies\":[\"admin\"]}"), 204);
}

static void test_disabled(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 200);
    write_to(k, "identity/entity", "{\"disabled\":true,\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 403);
    assert_string_equal(ck_error(k), "permission denied");
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"secret\"}"),
            403);
    write_to(k, "identity/entity", "{\"disabled\":false,\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 200);
    CK_WANT(k, ck_call(k, "root", "delete", "identity/entity/name/alice", NULL), 204);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 403);
}

/* A path with an alias's name in it; a name that would change the path's shape fills nothing. */
static void test_templates(void **state)
{
    char path[200];
    (void)state;
    CK(k);
    struct who w = start(k);
    (void)snprintf(path, sizeof(path), "identity/entity/id/%s", w.entity);
    CK_WANT(k, ck_call(k, w.token, "read", path, NULL), 200); /* by the default policy */
    CK_WANT(k, ck_call(k, w.token, "read", "identity/entity/name/alice", NULL), 200);
    CK_WANT(k, ck_call(k, w.token, "read", "identity/entity/name/bob", NULL), 403);
    policy(k, "default",
           "path \\\"secret/data/{{identity.entity.metadata.team}}/*\\\" { capabilities = "
           "[\\\"read\\\"] }");
    static const struct {
        const char *team, *path;
        int status;
    } t[] = {
        {"red", "secret/data/red/x", 404}, {"red", "secret/data/blue/x", 403},
        {"*", "secret/data/blue/x", 403},  {"+", "secret/data/blue/x", 403},
        {"a/b", "secret/data/a/b/x", 403}, {"blue", "secret/data/blue/x", 404},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char json[200], by_id[200];
        (void)snprintf(json, sizeof(json), "{\"metadata\":{\"team\":\"%s\"}}", t[i].team);
        (void)snprintf(by_id, sizeof(by_id), "identity/entity/id/%s", w.entity);
        CK_WANT(k, ck_call(k, "root", "write", by_id, json), 204);
        CK_WANT(k, ck_call(k, w.token, "read", t[i].path, NULL), t[i].status);
    }
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"policies\":[\"default\"]}"),
            200);
    text_of(k, "auth", "client_token", path);
    CK_WANT(k, ck_call(k, path, "read", "secret/data/blue/x", NULL),
            403); /* no entity: the path is dropped */
}

static void test_unmount(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k), other;
    CK_WANT(k, ck_call(k, "root", "delete", "sys/auth/userpass", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "identity/entity/name/alice", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "aliases")), "[]");
    other = start(k);
    assert_string_not_equal(other.entity, w.entity);
    CK_WANT(k, ck_call(k, "root", "read", "sys/mounts", NULL), 200);
    assert_non_null(mln_get(mln_get(k->answer, "data"), "identity/"));
    CK_WANT(k, ck_call(k, "root", "delete", "sys/mounts/identity", NULL), 400);
    mln_core_tick(&k->cx, k->core);
}

/* ---- second factors ---- */

struct factor {
    char method[100], secret[100];
};

static uint8_t letter(char c)
{
    return (uint8_t)(c >= 'A' ? c - 'A' : c - '2' + 26);
}

/* The code that an app would show at this time. */
static void code_of(struct ck *k, const struct factor *f, int64_t step,
                    char to[MLN_OTP_DIGITS_MAX + 1])
{
    uint8_t key[64];
    size_t n = 0;
    unsigned bits = 0, n_bits = 0;
    for (const char *p = f->secret; *p != 0; p++) {
        bits = (bits << 5 | letter(*p)) & 0xfffffu;
        n_bits += 5;
        if (n_bits >= 8) {
            n_bits -= 8;
            key[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    assert_false(mln_failed(
        mln_otp_code(&k->cx, MLN_OTP_SHA1, mln_bytes_at(key, n), (uint64_t)step, 6, to)));
}

static struct factor need_factor(struct ck *k, const char *entity)
{
    struct factor f;
    char path[300];
    CK_WANT(k,
            ck_call(k, "root", "write", "identity/mfa/method/totp",
                    "{\"issuer\":\"merlon\",\"method_name\":\"app\",\"period\":3600}"),
            200);
    text_of(k, "data", "method_id", f.method);
    (void)snprintf(path, sizeof(path), "{\"method_id\":\"%s\",\"entity_id\":\"%s\"}", f.method,
                   entity);
    CK_WANT(k, ck_call(k, "root", "write", "identity/mfa/method/totp/admin-generate", path), 200);
    const char *url = mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "url"), "");
    const char *secret = strstr(url, "secret=");
    assert_non_null(secret);
    (void)snprintf(f.secret, sizeof(f.secret), "%s", secret + 7);
    write_to(k, "identity/mfa/login-enforcement/e",
             "{\"mfa_method_ids\":[\"@\"],\"auth_method_types\":\"userpass\"}", f.method, 204);
    return f;
}

static void wait_for(struct ck *k, char request[100])
{
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"secret\"}"),
            200);
    const struct mln_value *auth = mln_get(k->answer, "auth"),
                           *need = mln_get(auth, "mfa_requirement");
    assert_true(mln_is_text(mln_get(auth, "client_token"), ""));
    (void)snprintf(request, 100, "%s", mln_get_text(&k->cx, mln_get(need, "mfa_request_id"), ""));
    assert_true(request[0] != 0);
    assert_int_equal(mln_len(mln_get(mln_get(mln_get(need, "mfa_constraints"), "e"), "any")), 1);
}

static int validate(struct ck *k, const char *request, const char *method, const char *code)
{
    char json[400];
    (void)snprintf(json, sizeof(json),
                   "{\"mfa_request_id\":\"%s\",\"mfa_payload\":{\"%s\":[\"%s\"]}}", request, method,
                   code);
    return ck_call(k, NULL, "write", "sys/mfa/validate", json);
}

static void test_mfa(void **state)
{
    char request[100], code[MLN_OTP_DIGITS_MAX + 1], path[200];
    (void)state;
    CK(k);
    struct who w = start(k);
    struct factor f = need_factor(k, w.entity);
    int64_t step = mln_now_ns() / 1000000000 / 3600;
    wait_for(k, request);
    CK_WANT(k, validate(k, request, f.method, "000000"), 403);
    CK_WANT(k, validate(k, request, "nosuch", "000000"), 403);
    CK_WANT(k, validate(k, "nosuch", f.method, "000000"), 400);
    code_of(k, &f, step - 1, code); /* skew */
    CK_WANT(k, validate(k, request, f.method, code), 200);
    text_of(k, "auth", "client_token", path);
    CK_WANT(k, ck_call(k, path, "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "path"), ""),
                        "auth/userpass/login/alice");
    CK_WANT(k, validate(k, request, f.method, code), 400); /* once */
    wait_for(k, request);
    CK_WANT(k, validate(k, request, f.method, code), 403); /* the code too */
    code_of(k, &f, step, code);
    CK_WANT(k, validate(k, request, f.method, code), 200);
    /* guessing ends: then the right one does not help either */
    wait_for(k, request);
    for (int i = 0; i < 5; i++) {
        CK_WANT(k, validate(k, request, f.method, "111111"), 403);
    }
    code_of(k, &f, step + 1, code);
    CK_WANT(k, validate(k, request, f.method, code), 403);
    (void)snprintf(path, sizeof(path), "identity/mfa/method/totp/%s", f.method);
    CK_WANT(k, ck_call(k, "root", "delete", path, NULL), 400); /* in use */
    CK_WANT(k, ck_call(k, "root", "delete", "identity/mfa/login-enforcement/e", NULL), 204);
    (void)log_in(k);
    CK_WANT(k, ck_call(k, "root", "delete", path, NULL), 204);
}

static void test_mfa_refused(void **state)
{
    static const struct {
        const char *path, *json;
    } t[] = {
        {"identity/mfa/method/totp", "{}"},
        {"identity/mfa/method/totp", "{\"issuer\":\"a\",\"digits\":7}"},
        {"identity/mfa/method/totp", "{\"issuer\":\"a\",\"skew\":2}"},
        {"identity/mfa/method/totp", "{\"issuer\":\"a\",\"algorithm\":\"MD5\"}"},
        {"identity/mfa/method/totp", "{\"issuer\":\"a\",\"period\":0}"},
        {"identity/mfa/method/totp/nosuch", "{\"issuer\":\"a\"}"},
        {"identity/mfa/method/totp/generate", "{\"method_id\":\"x\"}"},
        {"identity/mfa/method/totp/admin-generate", "{\"method_id\":\"x\",\"entity_id\":\"y\"}"},
        {"identity/mfa/login-enforcement/e", "{}"},
        {"identity/mfa/login-enforcement/e",
         "{\"mfa_method_ids\":\"nosuch\",\"auth_method_types\":\"userpass\"}"},
        {"sys/mfa/validate", "{}"},
        {"sys/mfa/validate", "{\"mfa_request_id\":\"../x\",\"mfa_payload\":{\"a\":[\"1\"]}}"},
    };
    (void)state;
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, ck_call(k, "root", "write", t[i].path, t[i].json), 400);
    }
}

/* ---- the OIDC provider ---- */

#define PKCE_VERIFIER  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" /* RFC 7636 appendix B */
#define PKCE_CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define PROVIDER       "identity/oidc/provider/default/"

struct app {
    char id[100], secret[100];
};

static struct app new_app(struct ck *k, const char *assignments)
{
    struct app a;
    CK_WANT(k,
            ck_call(k, "root", "write", "identity/oidc/key/k",
                    "{\"algorithm\":\"ES256\",\"allowed_client_ids\":\"*\"}"),
            204);
    write_to(k, "identity/oidc/client/app",
             "{\"key\":\"k\",\"redirect_uris\":\"https://app/cb\",\"assignments\":\"@\"}",
             assignments, 204);
    CK_WANT(k, ck_call(k, "root", "read", "identity/oidc/client/app", NULL), 200);
    text_of(k, "data", "client_id", a.id);
    text_of(k, "data", "client_secret", a.secret);
    return a;
}

static int authorize(struct ck *k, const char *token, const char *id, const char *uri,
                     const char *scope)
{
    char json[600];
    (void)snprintf(json, sizeof(json),
                   "{\"client_id\":\"%s\",\"redirect_uri\":\"%s\",\"scope\":\"%s\",\"response_"
                   "type\":\"code\",\"state\":\"s\",\"nonce\":\"n\","
                   "\"code_challenge\":\"" PKCE_CHALLENGE "\",\"code_challenge_method\":\"S256\"}",
                   id, uri, scope);
    return ck_call(k, token, "read", PROVIDER "authorize", json);
}

static int exchange(struct ck *k, const struct app *a, const char *code, const char *verifier,
                    const char *secret)
{
    char json[600];
    (void)snprintf(json, sizeof(json),
                   "{\"grant_type\":\"authorization_code\",\"client_id\":\"%s\",\"client_secret\":"
                   "\"%s\",\"code\":\"%s\","
                   "\"redirect_uri\":\"https://app/cb\",\"code_verifier\":\"%s\"}",
                   a->id, secret, code, verifier);
    return ck_call(k, NULL, "write", PROVIDER "token", json);
}

static const char *bare(struct ck *k, const char *name)
{
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, "bare"), name), "");
}

static void new_code(struct ck *k, const struct who *w, const struct app *a, char code[100])
{
    CK_WANT(k, authorize(k, w->token, a->id, "https://app/cb", "openid"), 200);
    (void)snprintf(code, 100, "%s", bare(k, "code"));
    assert_string_equal(bare(k, "state"), "s");
}

static void test_provider(void **state)
{
    char code[100], access[100];
    (void)state;
    CK(k);
    struct who w = start(k);
    struct app a = new_app(k, "allow_all");
    static const struct {
        const char *id, *uri, *scope, *error;
    } t[] = {
        {"nosuch", "https://app/cb", "openid", "invalid_client_id"},
        {NULL, "https://app/cb/", "openid", "invalid_redirect_uri"},
        {NULL, "", "openid", "invalid_redirect_uri"},
        {NULL, "https://app/cb", "profile", "invalid_scope"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, authorize(k, w.token, t[i].id != NULL ? t[i].id : a.id, t[i].uri, t[i].scope),
                400);
        assert_string_equal(bare(k, "error"), t[i].error);
    }
    CK_WANT(k, authorize(k, NULL, a.id, "https://app/cb", "openid"), 403);
    CK_WANT(k, authorize(k, "root", a.id, "https://app/cb", "openid"), 400);
    assert_string_equal(bare(k, "error"), "access_denied"); /* root is nobody */
    new_code(k, &w, &a, code);
    CK_WANT(k, exchange(k, &a, code, PKCE_VERIFIER, "wrong"), 401);
    CK_WANT(k, exchange(k, &a, code, "wrong", a.secret), 400);
    CK_WANT(k, exchange(k, &a, code, PKCE_VERIFIER, a.secret),
            400); /* a failed try spends the code */
    new_code(k, &w, &a, code);
    CK_WANT(k, exchange(k, &a, code, PKCE_VERIFIER, a.secret), 200);
    (void)snprintf(access, sizeof(access), "%s", bare(k, "access_token"));
    assert_true(strlen(bare(k, "id_token")) > 100);
    CK_WANT(k, exchange(k, &a, code, PKCE_VERIFIER, a.secret), 400);
    assert_string_equal(bare(k, "error"), "invalid_grant");
    CK_WANT(k, ck_call(k, access, "read", PROVIDER "userinfo", NULL), 200);
    assert_string_equal(bare(k, "sub"), w.entity);
    CK_WANT(k, ck_call(k, access, "read", "auth/token/lookup-self", NULL),
            403); /* it is no token of ours */
    CK_WANT(k, ck_call(k, w.token, "read", PROVIDER "userinfo", NULL), 401);
    write_to(k, "identity/entity", "{\"disabled\":true,\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, access, "read", PROVIDER "userinfo", NULL), 401);
    CK_WANT(k, ck_call(k, NULL, "read", PROVIDER ".well-known/openid-configuration", NULL), 200);
    CK_WANT(k, ck_call(k, NULL, "read", PROVIDER ".well-known/keys", NULL), 200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "bare"), "keys")), 2);
}

/* Who is in no assignment of the client gets no code. */
static void test_assignment(void **state)
{
    char code[100];
    (void)state;
    CK(k);
    struct who w = start(k);
    CK_WANT(
        k,
        ck_call(k, "root", "write", "identity/oidc/assignment/few", "{\"entity_ids\":\"nobody\"}"),
        204);
    struct app a = new_app(k, "few");
    CK_WANT(k, authorize(k, w.token, a.id, "https://app/cb", "openid"), 400);
    assert_string_equal(bare(k, "error"), "access_denied");
    write_to(k, "identity/oidc/assignment/few", "{\"entity_ids\":\"@\"}", w.entity, 204);
    new_code(k, &w, &a, code);
    CK_WANT(
        k,
        ck_call(k, "root", "write", "identity/oidc/assignment/few", "{\"entity_ids\":\"nobody\"}"),
        204);
    CK_WANT(k, exchange(k, &a, code, PKCE_VERIFIER, a.secret), 400);
    CK_WANT(k, ck_call(k, "root", "write", "identity/oidc/scope/openid", "{}"), 400);
    CK_WANT(k, ck_call(k, "root", "write", "identity/oidc/assignment/allow_all", "{}"), 400);
    CK_WANT(k, ck_call(k, "root", "delete", "identity/oidc/key/k", NULL), 400);
    CK_WANT(k,
            ck_call(k, "root", "write", "identity/oidc/provider/p",
                    "{\"scopes_supported\":\"nosuch\"}"),
            400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies_of_groups),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_names_of_logins),
        cmocka_unit_test(test_disabled),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_unmount),
        cmocka_unit_test(test_mfa),
        cmocka_unit_test(test_mfa_refused),
        cmocka_unit_test(test_provider),
        cmocka_unit_test(test_assignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
