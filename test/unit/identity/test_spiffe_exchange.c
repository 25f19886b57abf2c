/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token exchange: issuers and rules that are taken or refused, which tokens become what, who acts for whom, single uses. The issuer is a
 * key of this program, pinned as PEM.
 */
#include "unit/identity/spiffe_kit.h"

#include "crypto/jose.h"
#include "identity/spiffe_exchange_priv.h"

#define GRANT "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE  "urn:ietf:params:oauth:token-type:"
#define X509  "urn:merlon:params:oauth:token-type:x509-svid"
#define ISS   "https://ci.example"
#define NOW   1795336877LL

static uint8_t key_der[256], pem_text[1024];
static size_t key_n;
static char vouched[128];

static void vouch(struct mln_request *rq, const char *name)
{
    (void)rq;
    (void)snprintf(vouched, sizeof(vouched), "%s", name);
}

/* A token of the issuer: the claims as JSON, iss, aud and exp among them. */
static const char *sign(const char *claims_json)
{
    static char tokens[4][2048];
    static size_t at;
    struct mln_cx *cx = kit_cx_new();
    const struct mln_value *claims = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_jose_key key = {
        .alg = MLN_JOSE_ES256, .kid = "k", .der = mln_bytes_at(key_der, key_n)};
    char *to = tokens[at++ % 4];
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(claims_json), &claims));
    kit_ok(cx, mln_jose_sign(cx, &key, "JWT", claims, &out));
    (void)snprintf(to, 2048, "%.*s", MLN_FMT(mln_buf_bytes(&out)));
    kit_cx_free(cx);
    return to;
}

/* With these claims besides the usual ones. */
static const char *token(const char *more)
{
    char json[1024];
    (void)snprintf(json, sizeof(json),
                   "{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"iat\":%lld,\"exp\":%lld%s%s}",
                   NOW - 5, NOW + 600, more[0] != 0 ? "," : "", more);
    return sign(json);
}

static void make_key(struct ek *k)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    struct mln_key key;
    kit_ok(k->cx, mln_jose_generate(k->cx, MLN_JOSE_ES256, &der));
    assert_true(der.len <= sizeof(key_der));
    mln_copy(key_der, der.ptr, der.len);
    key_n = der.len;
    kit_ok(k->cx, mln_key_read(k->cx, mln_buf_bytes(&der), &key));
    struct mln_bytes pem = mln_bytes_of(mln_pem_text(k->cx, "PUBLIC KEY", key.spki));
    assert_true(pem.len < sizeof(pem_text));
    size_t n = 0;
    for (size_t i = 0; i < pem.len; i++) { /* as JSON */
        if (pem.ptr[i] == '\n') {
            pem_text[n++] = '\\';
            pem_text[n++] = 'n';
        } else {
            pem_text[n++] = pem.ptr[i];
        }
    }
    pem_text[n] = 0;
}

#define ISSUER "spiffe/exchange/issuers/ci"
#define RULE   "spiffe/exchange/rules/ci"
#define PLAIN                                                                                      \
    "{\"issuer\":\"ci\",\"bound_claims\":{\"repository\":\"org/repo\"},\"id_template\":\"spiffe:/" \
    "/example.org/ci/{{repository:2}}/"                                                            \
    "{{ref...}}\",\"audiences\":[\"db\",\"https://*.example\"],\"ttl\":\"2m\"}"

static int issuer(struct ek *k, const char *more)
{
    char json[2048];
    (void)snprintf(json, sizeof(json),
                   "{\"issuer\":\"" ISS "\",\"public_keys\":[\"%s\"],\"audiences\":\"merlon\"%s%s}",
                   (const char *)pem_text, more[0] != 0 ? "," : "", more);
    return ek_write(k, ISSUER, json);
}

static struct ek *kit(void)
{
    struct ek *k = sk_new();
    k->services.vouch = vouch;
    make_key(k);
    EK_WANT(k, issuer(k, ""), 204);
    EK_WANT(k, ek_write(k, RULE, PLAIN), 204);
    k->actor.is_root = false;
    return k;
}
#define XK(name) MLN_AUTO(sk_drop) struct ek *name = kit()

static int exchange(struct ek *k, const char *subject, const char *more)
{
    char json[8192];
    vouched[0] = 0;
    (void)snprintf(json, sizeof(json),
                   "{\"grant_type\":\"" GRANT
                   "\",\"subject_token\":\"%s\",\"subject_token_type\":\"" TYPE "jwt\"%s%s}",
                   subject, more[0] != 0 ? "," : "", more);
    int status = ek_write(k, "spiffe/token", json);
    return status == 204 ? 200 : status; /* the kit's word for an answer without data */
}

static const char *bare(struct ek *k, const char *name)
{
    return mln_get_text(k->cx, mln_get(k->re.bare, name), "");
}

static void refused_at(struct ek *k, int status, const char *error, const char *why, int line)
{
    const char *said = mln_get_text(k->cx, mln_get(k->detail, "refused"), "");
    if (status != 400 || strcmp(bare(k, "error"), error) != 0 || strstr(said, why) == NULL ||
        mln_get(k->re.bare, "access_token") != NULL) {
        fail_msg("line %d: status %d, %s, why: %s (%s)", line, status, bare(k, "error"), said,
                 k->cx->text);
    }
}
#define REFUSED(k, call, error, why) refused_at((k), (call), (error), (why), __LINE__)

static struct mln_jose_token given(struct ek *k)
{
    struct mln_jose_token t;
    struct mln_bytes text = mln_bytes_dup(k->cx, mln_bytes_of(bare(k, "access_token")));
    kit_ok(k->cx, mln_jose_parse(k->cx, text, &t));
    return t;
}

static void test_jwt(void **state)
{
    (void)state;
    XK(k);
    EK_WANT(k,
            exchange(k,
                     token("\"sub\":\"repo:org/repo\",\"repository\":\"org/repo\",\"ref\":\"refs/"
                           "heads/main\",\"jti\":\"j1\""),
                     "\"audience\":\"db\",\"resource\":\"https://a.example\""),
            200);
    assert_string_equal(bare(k, "issued_token_type"), TYPE "jwt");
    assert_string_equal(bare(k, "token_type"), "Bearer");
    assert_int_equal(mln_get_int(mln_get(k->re.bare, "expires_in"), 0), 120);
    struct mln_jose_token t = given(k);
    EK_VALUE(k, mln_get(t.claims, "aud"), "[\"db\",\"https://a.example\"]");
    assert_true(
        mln_is_text(mln_get(t.claims, "sub"), "spiffe://example.org/ci/org/repo/refs/heads/main"));
    assert_int_equal(mln_get_int(mln_get(t.claims, "exp"), 0), NOW + 120);
    assert_null(mln_get(t.claims, "act"));
    assert_string_equal(vouched, "ci repo:org/repo");
    const struct mln_value *note = mln_get(k->detail, "exchanged");
    assert_true(mln_is_text(mln_get(note, "rule"), "ci") &&
                mln_is_text(mln_get(note, "subject_jti"), "j1"));
    assert_true(mln_is_text(mln_get(note, "spiffe_id"),
                            "spiffe://example.org/ci/org/repo/refs/heads/main"));
    assert_true(mln_value_eq(mln_get(mln_get(note, "jwt"), "jti"), mln_get(t.claims, "jti")));
    EK_WANT(k,
            exchange(k, token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\""),
                     "\"audience\":\"db\",\"requested_token_type\":\"" TYPE "access_token\""),
            200);
    assert_string_equal(bare(k, "issued_token_type"), TYPE "access_token");
}

static void test_requests_refused(void **state)
{
    static const struct {
        const char *more, *error;
    } t[] = {
        {"\"grant_type\":\"password\"", "unsupported_grant_type"},
        {"\"grant_type\":\"\"", "unsupported_grant_type"},
        {"\"subject_token\":\"\"", "invalid_request"},
        {"\"subject_token_type\":\"" TYPE "saml2\"", "invalid_request"},
        {"\"subject_token_type\":\"\"", "invalid_request"},
        {"\"requested_token_type\":\"" TYPE "refresh_token\"", "invalid_request"},
        {"\"scope\":\"openid\"", "invalid_scope"},
        {"\"actor_token\":\"x\"", "invalid_request"},
        {"\"actor_token_type\":\"" TYPE "jwt\"", "invalid_request"},
        {"\"audience\":\"other\"", "invalid_target"},
        {"\"audience\":[\"db\",\"other\"]", "invalid_target"},
        {"\"audience\":\"a b\"", "invalid_target"},
        {"\"audience\":[\"\"]", "invalid_target"},
        {"\"resource\":\"db\"", "invalid_target"},
        {"\"resource\":\"https://a.example#x\"", "invalid_target"},
        {"\"audience\":[]", "invalid_request"}, /* two are possible: one must be named */
        {"\"requested_token_type\":\"" X509 "\"", "invalid_target"},
        {"\"spiffe_id\":\"spiffe://example.org/other\"", "invalid_request"},
    };
    (void)state;
    XK(k);
    const char *good = token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\"");
    EK_WANT(k, exchange(k, good, "\"audience\":\"db\""), 200);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char json[4096];
        struct mln_cx *cx = kit_cx_new();
        const struct mln_value *usual = NULL, *over = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        (void)snprintf(json, sizeof(json),
                       "{\"grant_type\":\"" GRANT
                       "\",\"subject_token\":\"%s\",\"subject_token_type\":\"" TYPE
                       "jwt\",\"audience\":\"db\"}",
                       good);
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(json), &usual));
        char more[512];
        (void)snprintf(more, sizeof(more), "{%s}", t[i].more);
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(more), &over));
        struct mln_value *all = mln_value_dup(cx, usual);
        mln_put_key(cx, all, mln_member_at(over, 0)->key, &mln_member_at(over, 0)->value);
        mln_json_print(&out, all, MLN_JSON_COMPACT);
        mln_buf_add_byte(&out, 0);
        REFUSED(k, ek_write(k, "spiffe/token", (const char *)out.ptr), t[i].error, "");
        kit_cx_free(cx);
    }
}

static void test_tokens_refused(void **state)
{
    static const struct {
        const char *claims, *why;
        bool is_vouched;
    } t[] = {
        {"{\"iss\":\"https://other.example\",\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\"}",
         "issuer is not configured", false},
        {"{\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\"}", "issuer is not configured",
         false},
        {"{\"iss\":[\"" ISS "\"],\"aud\":\"merlon\",\"exp\":1795337000}",
         "issuer is not configured", false},
        {"{\"iss\":\"" ISS "\",\"aud\":\"other\",\"exp\":1795337000,\"sub\":\"s\"}", "audience",
         false},
        {"{\"iss\":\"" ISS "\",\"exp\":1795337000,\"sub\":\"s\"}", "audience", false},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"sub\":\"s\"}", "no exp", false},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"iat\":1795336800,\"sub\":\"s\"}", "no exp",
         false},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"exp\":1795336800,\"sub\":\"s\"}", "expired",
         false},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"exp\":\"1795337000\",\"sub\":\"s\"}", "exp",
         false},
        {"{\"iss\":\"" ISS
         "\",\"aud\":\"merlon\",\"exp\":1795337000,\"nbf\":1795336990,\"sub\":\"s\"}",
         "not yet", false},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\"}", "no rule",
         true},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\",\"repository\":"
                           "\"org/other\",\"ref\":\"v1\"}",
         "no rule", true},
        {"{\"iss\":\"" ISS
         "\",\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\",\"repository\":\"org/repo\"}",
         "\"ref\" is no text", true},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\",\"repository\":"
                           "\"org/repo\",\"ref\":\"a/../b\"}",
         "does not fit", true},
        {"{\"iss\":\"" ISS "\",\"aud\":\"merlon\",\"exp\":1795337000,\"sub\":\"s\",\"repository\":"
                           "\"org/repo\",\"ref\":\"a b\"}",
         "does not fit", true},
    };
    (void)state;
    XK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        REFUSED(k, exchange(k, sign(t[i].claims), "\"audience\":\"db\""), "invalid_request",
                t[i].why);
        assert_string_equal(bare(k, "error_description"),
                            "the subject_token is not accepted here"); /* whatever the reason */
        assert_int_equal(vouched[0] != 0, t[i].is_vouched);
        assert_false(k->wrote);
    }
    REFUSED(k, exchange(k, "a.b.c", "\"audience\":\"db\""), "invalid_request", "no signed JWT");
    char forged[2048];
    (void)snprintf(forged, sizeof(forged), "%s",
                   token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\""));
    forged[strlen(forged) - 3] = forged[strlen(forged) - 3] == 'A' ? 'B' : 'A';
    REFUSED(k, exchange(k, forged, "\"audience\":\"db\""), "invalid_request", "signature");
    /* of a key that is no more the issuer's */
    const char *old = token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\"");
    make_key(k);
    EK_WANT(k, issuer(k, ""), 204);
    REFUSED(k, exchange(k, old, "\"audience\":\"db\""), "invalid_request", "signature");
    EK_WANT(k, ek_delete(k, RULE), 204);
    EK_WANT(k, ek_delete(k, ISSUER), 204);
    REFUSED(k, exchange(k, old, "\"audience\":\"db\""), "invalid_request", "not configured");
}

static void test_x509(void **state)
{
    (void)state;
    XK(k);
    struct mln_key key;
    struct mln_x509_signer by = {0};
    struct mln_bytes csr, subject, label, der;
    struct mln_x509_info info;
    char more[3000], pem[2000];
    bool is_bad = false;
    EK_WANT(k,
            ek_write(k, RULE,
                     "{\"issuer\":\"ci\",\"bound_subject\":\"s*\",\"bound_claims_type\":\"glob\","
                     "\"id_template\":"
                     "\"spiffe://example.org/ci/{{sub}}\",\"x509\":true,\"x509_ttl\":\"5m\"}"),
            204);
    kit_ok(k->cx, mln_key_generate(k->cx, MLN_KEY_EC, 256, &key));
    by.pkcs8 = key.pkcs8;
    kit_ok(k->cx, mln_sig_pick(k->cx, MLN_KEY_EC, 256, 0, false, &by.sig));
    struct mln_x509_name name = {.common_name = MLN_BYTES("admin")};
    kit_ok(k->cx, mln_x509_name_print(k->cx, &name, &subject));
    struct mln_cert_spec spec = {.subject = subject, .spki = key.spki};
    kit_ok(k->cx, mln_csr_build(k->cx, &spec, &by, &csr));
    char base64[1500];
    (void)snprintf(base64, sizeof(base64), "%s", mln_base64_text(k->cx, csr, MLN_B64_STD));
    (void)snprintf(more, sizeof(more), "\"requested_token_type\":\"" X509 "\",\"csr\":\"%s\"",
                   base64);
    EK_WANT(k, exchange(k, token("\"sub\":\"s1\""), more), 200);
    assert_string_equal(bare(k, "issued_token_type"), X509);
    assert_string_equal(bare(k, "token_type"), "N_A");
    assert_int_equal(mln_get_int(mln_get(k->re.bare, "expires_in"), 0), 300);
    (void)snprintf(pem, sizeof(pem), "%s", bare(k, "access_token"));
    struct mln_bytes text = mln_bytes_of(pem);
    assert_true(mln_pem_next(k->cx, &text, &label, &der, &is_bad));
    kit_ok(k->cx, mln_x509_cert_read(k->cx, der, &info));
    assert_int_equal(info.sans_n, 1);
    assert_true(mln_bytes_is(info.sans[0].value, "spiffe://example.org/ci/s1"));
    assert_int_equal(info.not_after_s, NOW + 300);
    assert_false(info.is_ca);
    assert_non_null(strstr(bare(k, "trust_bundle"), "BEGIN CERTIFICATE"));
    REFUSED(k, exchange(k, token("\"sub\":\"s1\""), "\"requested_token_type\":\"" X509 "\""),
            "invalid_request", "certificate request");
    base64[100] = base64[100] == 'A' ? 'B' : 'A'; /* not signed by its key any more */
    (void)snprintf(more, sizeof(more), "\"requested_token_type\":\"" X509 "\",\"csr\":\"%s\"",
                   base64);
    REFUSED(k, exchange(k, token("\"sub\":\"s1\""), more), "invalid_request",
            "certificate request");
    REFUSED(k, exchange(k, token("\"sub\":\"s1\""), "\"audience\":\"db\""), "invalid_target",
            "does not name");
    REFUSED(k, exchange(k, token("\"sub\":\"t1\""), "\"audience\":\"db\""), "invalid_request",
            "no rule");
}

static void workload_token(struct ek *k, const char *audience, char to[2048])
{
    char json[128];
    (void)snprintf(json, sizeof(json), "{\"audience\":\"%s\"}", audience);
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", json), 200);
    (void)snprintf(to, 2048, "%s", mln_get_text(k->cx, mln_get(sk_svid(k, 0), "svid"), ""));
}

/* JWT-SVIDs of our own domain: another audience, no longer life, and who acts for whom. */
static void test_svids(void **state)
{
    char mine[2048], other[2048], more[3000];
    (void)state;
    XK(k);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/ns/prod/sa/"
                      "web\",\"selectors\":[\"unix:uid:1000\"]}");
    sk_be(k, "[\"unix:uid:1000\"]");
    workload_token(k, "merlon", mine);
    workload_token(k, "elsewhere", other);
    REFUSED(k, exchange(k, mine, "\"audience\":\"db\""), "invalid_request", "no rule");
    EK_WANT(k,
            ek_write(k, "spiffe/exchange/rules/svid",
                     "{\"issuer\":\"spiffe\",\"bound_ids\":\"spiffe://example.org/ns/*/sa/"
                     "*\",\"audiences\":\"*\",\"ttl\":\"1h\"}"),
            204);
    EK_WANT(k, exchange(k, mine, "\"audience\":\"db\""), 200);
    struct mln_jose_token t = given(k);
    assert_true(mln_is_text(mln_get(t.claims, "sub"), "spiffe://example.org/ns/prod/sa/web"));
    assert_int_equal(mln_get_int(mln_get(t.claims, "exp"), 0),
                     NOW + 300); /* as long as what was shown */
    REFUSED(k, exchange(k, other, "\"audience\":\"db\""), "invalid_request", "another audience");
    EK_WANT(k, ek_write(k, "spiffe/exchange/issuers/spiffe", "{\"audiences\":\"elsewhere\"}"), 204);
    EK_WANT(k, exchange(k, other, "\"audience\":\"db\""), 200);
    REFUSED(k, exchange(k, mine, "\"audience\":\"db\""), "invalid_request", "another audience");
    EK_WANT(k, ek_delete(k, "spiffe/exchange/issuers/spiffe"), 204);
    /* the workload acts for the pipeline */
    EK_WANT(k,
            ek_write(k, RULE,
                     "{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"id_template\":\"spiffe://"
                     "example.org/ci/{{sub}}\","
                     "\"audiences\":[\"db\",\"merlon\"],\"x509\":true,\"ttl\":\"1h\",\"actors\":"
                     "\"spiffe://example.org/ns/*/sa/web\"}"),
            204);
    (void)snprintf(more, sizeof(more),
                   "\"audience\":\"merlon\",\"actor_token\":\"%s\",\"actor_token_type\":\"" TYPE
                   "jwt\"",
                   mine);
    EK_WANT(k, exchange(k, token("\"sub\":\"s\""), more), 200);
    t = given(k);
    EK_VALUE(k, mln_get(t.claims, "act"), "{\"sub\":\"spiffe://example.org/ns/prod/sa/web\"}");
    assert_int_equal(mln_get_int(mln_get(t.claims, "exp"), 0),
                     NOW + 300); /* nor longer than the actor's */
    static char acted[2048];
    (void)snprintf(acted, sizeof(acted), "%s", bare(k, "access_token"));
    EK_WANT(
        k,
        exchange(
            k, token("\"sub\":\"s\",\"may_act\":{\"sub\":\"spiffe://example.org/ns/prod/sa/web\"}"),
            more),
        200);
    REFUSED(
        k,
        exchange(k, token("\"sub\":\"s\",\"may_act\":{\"sub\":\"spiffe://example.org/x\"}"), more),
        "invalid_request", "may_act");
    REFUSED(k, exchange(k, token("\"sub\":\"s\",\"may_act\":\"x\""), more), "invalid_request",
            "may_act");
    REFUSED(k, exchange(k, token("\"sub\":\"s\""), "\"audience\":\"db\""), "invalid_request",
            "somebody to act");
    char wrong[3000];
    (void)snprintf(
        wrong, sizeof(wrong),
        "\"audience\":\"db\",\"actor_token\":\"%s\",\"actor_token_type\":\"" TYPE "jwt\"", other);
    REFUSED(k, exchange(k, token("\"sub\":\"s\""), wrong), "invalid_request", "another audience");
    /* what was acted stays said, and no certificate hides it */
    EK_WANT(k,
            ek_write(k, "spiffe/exchange/rules/svid",
                     "{\"issuer\":\"spiffe\",\"bound_ids\":\"spiffe://example.org/ci/"
                     "*\",\"audiences\":\"*\",\"x509\":true}"),
            204);
    EK_WANT(k, exchange(k, acted, "\"audience\":\"db\""), 200);
    t = given(k);
    EK_VALUE(k, mln_get(t.claims, "act"), "{\"sub\":\"spiffe://example.org/ns/prod/sa/web\"}");
    REFUSED(k, exchange(k, acted, "\"requested_token_type\":\"" X509 "\",\"csr\":\"x\""),
            "invalid_target", "acts");
    REFUSED(k, exchange(k, acted, more), "invalid_request", "lets nobody act");
}

static void test_single_use(void **state)
{
    (void)state;
    XK(k);
    EK_WANT(k, issuer(k, "\"single_use\":true"), 204);
    const char *one =
        token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\",\"jti\":\"j1\"");
    REFUSED(k, exchange(k, one, "\"audience\":\"other\""), "invalid_target",
            ""); /* what was refused is not used up */
    EK_WANT(k, exchange(k, one, "\"audience\":\"db\""), 200);
    assert_true(k->wrote);
    REFUSED(k, exchange(k, one, "\"audience\":\"db\""), "invalid_request", "exchanged before");
    EK_WANT(k,
            exchange(
                k, token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\",\"jti\":\"j2\""),
                "\"audience\":\"db\""),
            200);
    REFUSED(k,
            exchange(k, token("\"sub\":\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\""),
                     "\"audience\":\"db\""),
            "invalid_request", "jti");
    REFUSED(k,
            exchange(k,
                     sign("{\"iss\":\"" ISS
                          "\",\"aud\":\"merlon\",\"iat\":1795336800,\"exp\":1795500000,\"sub\":"
                          "\"s\",\"repository\":\"org/repo\",\"ref\":\"v1\","
                          "\"jti\":\"j3\"}"),
                     "\"audience\":\"db\""),
            "invalid_request", "a day at most");
    /* forgotten when they cannot come again; until then not */
    ek_tick(k, 0);
    assert_false(k->wrote);
    k->now_ns += 3 * 3600 * SK_SECOND;
    ek_tick(k, 0);
    assert_true(k->wrote);
    ek_tick(k, 0);
    assert_false(k->wrote);
}

static void test_issuers_refused(void **state)
{
    static const struct {
        const char *json, *why;
    } t[] = {
        {"{}", "audiences"},
        {"{\"audiences\":\"merlon\"}", "issuer must be given"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"http://ci.example\"}", "https://"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"ci\",\"jwks_url\":\"http://ci.example/keys\"}",
         "https://"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"https://new.example\",\"public_keys\":[\"x\"]}",
         "public keys"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"https://new.example\",\"algorithms\":\"HS256\"}",
         "algorithms are"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"https://new.example\",\"algorithms\":\"none\"}",
         "algorithms are"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"" ISS "\"}", "configured already"},
        {"{\"audiences\":\"merlon\",\"issuer\":\"https://new.example\"}",
         "cannot be had"}, /* nothing is reached from here */
    };
    (void)state;
    XK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int status = ek_write(k, "spiffe/exchange/issuers/new", t[i].json);
        if (status < 400 || strstr(k->cx->text, t[i].why) == NULL) {
            fail_msg("%s: %d %s", t[i].json, status, k->cx->text);
        }
        EK_WANT(k, ek_read(k, "spiffe/exchange/issuers/new", NULL), 404);
    }
    EK_REFUSED(
        k, ek_write(k, "spiffe/exchange/issuers/spiffe", "{\"audiences\":\"a\",\"issuer\":\"b\"}"),
        400, "only audiences");
    EK_WANT(k, ek_list(k, "spiffe/exchange/issuers"), 200);
    EK_VALUE(k, mln_get(k->re.data, "keys"), "[\"ci\"]");
}

static void test_rules_refused(void **state)
{
#define GIVES ",\"id_template\":\"spiffe://example.org/ci/{{sub}}\",\"audiences\":\"db\""
    static const struct {
        const char *json, *why;
    } t[] = {
        {"{}", "issuer must be"},
        {"{\"issuer\":\"none\",\"bound_subject\":\"s\"" GIVES "}", "issuer must be"},
        {"{\"issuer\":\"../x\",\"bound_subject\":\"s\"" GIVES "}", "issuer must be"},
        {"{\"issuer\":\"ci\"" GIVES "}", "whom the rule is for"},
        {"{\"issuer\":\"ci\",\"bound_claims\":{}" GIVES "}", "whom the rule is for"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"bound_ids\":\"spiffe://example.org/a\"" GIVES
         "}",
         "whom the rule is for"},
        {"{\"issuer\":\"spiffe\",\"bound_subject\":\"s\"" GIVES "}", "which ids"},
        {"{\"issuer\":\"spiffe\",\"bound_ids\":\"spiffe://*/a\"" GIVES "}", ""},
        {"{\"issuer\":\"ci\",\"bound_claims\":{\"a\":{}}" GIVES "}", "bound_claims has"},
        {"{\"issuer\":\"ci\",\"bound_claims\":{\"a\":[]}" GIVES "}", "bound_claims has"},
        {"{\"issuer\":\"ci\",\"bound_claims\":\"a=b\"" GIVES "}", "no JSON object"},
        {"{\"issuer\":\"ci\",\"bound_claims\":\"[]\"" GIVES "}", "no JSON object"},
        {"{\"issuer\":\"ci\",\"bound_claims\":[\"a\"]" GIVES "}", "no JSON object"},
        {"{\"issuer\":\"ci\",\"bound_claims\":{\"a\":null}" GIVES "}", "bound_claims has"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"bound_claims_type\":\"regex\"" GIVES "}",
         "string or glob"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"audiences\":\"db\"}", "id_template must"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"audiences\":\"db\",\"id_template\":\"spiffe:"
         "//other.example/a\"}",
         "of this trust domain"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"audiences\":\"db\",\"id_template\":\"spiffe:"
         "//example.org/merlon/server\"}",
         "/merlon/"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"id_template\":\"spiffe://example.org/a\"}",
         "nothing is given"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"ttl\":\"25h\"" GIVES "}", "ttl is from"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"ttl\":\"1s\"" GIVES "}", "ttl is from"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"x509_ttl\":\"25h\"" GIVES "}",
         "x509_ttl is from"},
        {"{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"actors\":\"web\"" GIVES "}", ""},
    };
    (void)state;
    XK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "spiffe/exchange/rules/new", t[i].json), 400, t[i].why);
        EK_WANT(k, ek_read(k, "spiffe/exchange/rules/new", NULL), 404);
    }
    EK_REFUSED(k, ek_write(k, "spiffe/exchange/rules/a%2fb", PLAIN), 400, "a name has");
    EK_WANT(k, ek_list(k, "spiffe/exchange/rules"), 200);
    EK_VALUE(k, mln_get(k->re.data, "keys"), "[\"ci\"]");
    EK_WANT(k, ek_delete(k, RULE), 204);
    EK_WANT(k, ek_read(k, RULE, NULL), 404);
}

/* The bundle of another trust domain: our key as its key of JWT-SVIDs. */
static void believe_other(struct ek *k)
{
    struct mln_key key;
    char json[512], x[64], y[64];
    kit_ok(k->cx, mln_key_read(k->cx, mln_bytes_at(key_der, key_n), &key));
    struct mln_bytes point = mln_bytes_from(key.spki, key.spki.len - 64);
    (void)snprintf(x, sizeof(x), "%s",
                   mln_base64_text(k->cx, mln_bytes_sub(point, 0, 32), MLN_B64_URL_RAW));
    (void)snprintf(y, sizeof(y), "%s", mln_base64_text(k->cx, mln_bytes_from(point, 32), MLN_B64_URL_RAW));
    (void)snprintf(json, sizeof(json),
                   "{\"bundle\":{\"keys\":[{\"kty\":\"EC\",\"use\":\"jwt-svid\",\"kid\":\"k\","
                   "\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]}}",
                   x, y);
    EK_WANT(k, ek_write(k, "spiffe/bundles/other.example", json), 204);
}

/* Who acts is another trust domain's word, which we do not sign. */
static void test_foreign_act(void **state)
{
#define FOREIGN "{\"sub\":\"spiffe://other.example/web\",\"aud\":\"merlon\",\"exp\":1795337000"
    static const char *const acts[] = {
        "{\"sub\":\"spiffe://example.org/ns/prod/sa/admin\"}", "\"x\"", "{}", "[]", "null"};
    (void)state;
    XK(k);
    believe_other(k);
    EK_WANT(k,
            ek_write(k, "spiffe/exchange/rules/other",
                     "{\"issuer\":\"spiffe\",\"bound_ids\":\"spiffe://other.example/"
                     "*\",\"id_template\":\"spiffe://example.org/guest\",\"audiences\":\"db\"}"),
            204);
    EK_WANT(k, exchange(k, sign(FOREIGN "}"), "\"audience\":\"db\""), 200);
    assert_null(mln_get(given(k).claims, "act"));
    for (size_t i = 0; i < MLN_COUNT(acts); i++) {
        char json[512];
        (void)snprintf(json, sizeof(json), FOREIGN ",\"act\":%s}", acts[i]);
        REFUSED(k, exchange(k, sign(json), "\"audience\":\"db\""), "invalid_request",
                "another trust domain");
    }
}

static void test_acts(void **state)
{
#define A(more) "{\"sub\":\"a\"" more "}"
    static const struct {
        const char *json;
        bool is_ours;
    } t[] = {
        {A(""), true},
        {A(",\"act\":" A(",\"act\":" A(",\"act\":" A("")))), true},
        {A(",\"act\":" A(",\"act\":" A(",\"act\":" A(",\"act\":" A(""))))), false},
        {A(",\"act\":\"a\""), false},
        {A(",\"act\":null"), false},
        {A(",\"more\":1"), false},
        {A(",\"act\":" A(",\"more\":1")), false},
        {"{\"sub\":1}", false},
        {"{\"sub\":\"\"}", false},
        {"{\"sub\":{\"sub\":\"a\"}}", false},
        {"{\"act\":" A("") "}", false},
        {"{}", false},
        {"[]", false},
        {"\"a\"", false},
        {"null", false},
    };
    (void)state;
    struct mln_cx *cx = kit_cx_new();
    assert_true(sx_act_is_ours(NULL));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *act = NULL;
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(t[i].json), &act));
        if (sx_act_is_ours(act) != t[i].is_ours) {
            fail_msg("%s", t[i].json);
        }
    }
    static char longer[MLN_SPIFFE_ID_MAX + 2];
    (void)memset(longer, 'a', sizeof(longer) - 1);
    struct mln_value *act = mln_object(cx);
    mln_put_text(cx, act, "sub", longer);
    assert_false(sx_act_is_ours(act));
    kit_cx_free(cx);
}

/* No rule outlives its issuer, and none wakes up with another one's tokens. */
static void test_issuer_with_rules(void **state)
{
    (void)state;
    XK(k);
    char json[2048];
    (void)snprintf(json, sizeof(json),
                   "{\"issuer\":\"https://other.example\",\"public_keys\":[\"%s\"],\"audiences\":"
                   "\"merlon\"}",
                   (const char *)pem_text);
    EK_REFUSED(k, ek_delete(k, ISSUER), 400, "the rule \"ci\" names it");
    EK_REFUSED(k, ek_write(k, ISSUER, json), 400, "the rule \"ci\" names it");
    EK_WANT(k, issuer(k, "\"single_use\":true"), 204); /* the rest may change */
    EK_WANT(k, ek_read(k, ISSUER, NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "issuer"), "\"" ISS "\"");
    EK_WANT(k, ek_delete(k, RULE), 204);
    EK_WANT(k, ek_write(k, ISSUER, json), 204);
    EK_WANT(k, ek_delete(k, ISSUER), 204);
    EK_WANT(k, ek_read(k, ISSUER, NULL), 404);
}

/* Rules in the order of their names; the caller may name the id. */
static void test_order(void **state)
{
    (void)state;
    XK(k);
    for (int i = 2; i > 0; i--) {
        char path[64], json[256];
        (void)snprintf(path, sizeof(path), "spiffe/exchange/rules/r%d", i);
        (void)snprintf(json, sizeof(json),
                       "{\"issuer\":\"ci\",\"bound_subject\":\"s\",\"id_template\":\"spiffe://"
                       "example.org/%d\",\"audiences\":\"db\"}",
                       i);
        EK_WANT(k, ek_write(k, path, json), 204);
    }
    EK_WANT(k, exchange(k, token("\"sub\":\"s\""), ""),
            200); /* and the only audience is the default */
    assert_true(mln_is_text(mln_get(given(k).claims, "sub"), "spiffe://example.org/1"));
    EK_WANT(k, exchange(k, token("\"sub\":\"s\""), "\"spiffe_id\":\"spiffe://example.org/2\""),
            200);
    assert_true(mln_is_text(mln_get(given(k).claims, "sub"), "spiffe://example.org/2"));
    EK_VALUE(k, mln_get(given(k).claims, "aud"), "[\"db\"]");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jwt),
        cmocka_unit_test(test_requests_refused),
        cmocka_unit_test(test_tokens_refused),
        cmocka_unit_test(test_x509),
        cmocka_unit_test(test_svids),
        cmocka_unit_test(test_foreign_act),
        cmocka_unit_test(test_acts),
        cmocka_unit_test(test_issuer_with_rules),
        cmocka_unit_test(test_single_use),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_issuers_refused),
        cmocka_unit_test(test_rules_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
