/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes through its descriptor, the cluster played by this test: reviews, keys, both; who gets in and what is refused. */
#include <stdio.h>
#include <string.h>

#include "kit/engine_kit.h"

#include "crypto/jose_verify.h"

extern const struct mln_engine mln_method_kubernetes;

static struct {
    const char *status; /* of the review; NULL = the cluster refuses */
    size_t reviews;
    char bearer[64], audience[64];
    struct mln_buf der;
} cluster;

static struct mln_err fake_reach(struct mln_request *rq, const struct mln_value *ask, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *answer = mln_object(cx);
    const struct mln_value *body = NULL;
    cluster.reviews++;
    assert_true(mln_is_text(mln_get(ask, "url"), "https://k8s:6443/apis/authentication.k8s.io/v1/tokenreviews"));
    kit_ok(cx, mln_json_parse(cx, mln_get_bytes(mln_get(ask, "body")), &body));
    (void)snprintf(cluster.bearer, sizeof(cluster.bearer), "%s",
                   mln_get_text(cx, mln_get(mln_get(ask, "headers"), "Authorization"), ""));
    const struct mln_value *audiences = mln_get(mln_get(body, "spec"), "audiences");
    (void)snprintf(cluster.audience, sizeof(cluster.audience), "%s", mln_get_text(cx, mln_item(audiences, 0), ""));
    mln_put_int(cx, answer, "status", cluster.status != NULL ? 201 : 403);
    mln_put_text(cx, answer, "body",
                 mln_text_format(cx, "{\"status\":%s}", cluster.status != NULL ? cluster.status : "{}"));
    *ret = answer;
    return mln_cx_err(cx);
}

#define USER(space, name, uid)                                                                                                  \
    "{\"authenticated\":true,\"audiences\":[\"vault\"],\"user\":{\"username\":\"system:serviceaccount:" space ":" name           \
    "\",\"uid\":\"" uid "\"}}"
#define CONFIG "{\"kubernetes_host\":\"https://k8s:6443/\",\"token_reviewer_jwt\":\"rev\"}"
#define ROLE                                                                                                                    \
    "{\"bound_service_account_names\":\"web-*,api\",\"bound_service_account_namespaces\":\"prod\",\"token_policies\":\"p\",\"to" \
        "ken_ttl\":60}"

static struct ek *kube_new(void)
{
    struct ek *k = ek_new();
    k->services.reach = fake_reach;
    ek_mount(k, "auth/kubernetes/", &mln_method_kubernetes, "66666666-0000-4000-8000-000000000000");
    cluster.status = USER("prod", "web-1", "u1");
    return k;
}
#define KUBE(name) MLN_AUTO(ek_drop) struct ek *name = kube_new()

static int login(struct ek *k, const char *role, const char *jwt)
{
    char body[4096];
    (void)snprintf(body, sizeof(body), "{\"role\":\"%s\",\"jwt\":\"%s\"}", role, jwt);
    return ek_write(k, "auth/kubernetes/login", body);
}

static void test_login(void **state)
{
    (void)state;
    KUBE(k);
    EK_WANT(k, ek_write(k, "auth/kubernetes/config", CONFIG), 204);
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/Web", ROLE), 204);
    EK_WANT(k, login(k, "web", "opaque"), 204);
    assert_string_equal(cluster.bearer, "Bearer rev");
    assert_string_equal(cluster.audience, "");
    assert_string_equal(k->re.login->alias, "u1");
    assert_string_equal(k->re.login->display_name, "prod-web-1");
    EK_VALUE(k, k->re.login->meta, "{\"role\":\"web\",\"service_account_name\":\"web-1\",\"service_account_namespace\":\"prod\","
                                   "\"service_account_secret_name\":\"\",\"service_account_uid\":\"u1\"}");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", "{\"audience\":\"vault\",\"alias_name_source\":\"serviceaccount_name\"}"), 204);
    EK_WANT(k, login(k, "web", "opaque"), 204);
    assert_string_equal(cluster.audience, "vault");
    assert_string_equal(k->re.login->alias, "prod/web-1");
    EK_WANT(k, ek_write(k, "auth/kubernetes/config", "{\"kubernetes_host\":\"https://k8s:6443\"}"), 204);
    EK_WANT(k, login(k, "web", "opaque"), 204);
    assert_string_equal(cluster.bearer, "Bearer opaque");
}

static void test_refused_logins(void **state)
{
    static const struct {
        const char *status, *why;
    } t[] = {
        {NULL, "permission denied"},
        {"{\"authenticated\":false}", "permission denied"},
        {"{\"authenticated\":\"true\"}", "permission denied"},
        {"{\"authenticated\":true,\"error\":\"x\",\"user\":{\"username\":\"system:serviceaccount:prod:api\",\"uid\":\"u\"}}",
            "permission denied"},
        {"{\"authenticated\":true,\"user\":{\"username\":\"admin\",\"uid\":\"u\"}}", "permission denied"},
        {"{\"authenticated\":true,\"user\":{\"username\":\"system:serviceaccount:prod\",\"uid\":\"u\"}}", "permission denied"},
        {"{\"authenticated\":true,\"user\":{\"username\":\"system:serviceaccount:prod:api:x\",\"uid\":\"u\"}}", "permission denied"},
        {"{\"authenticated\":true,\"user\":{\"username\":\"system:serviceaccount::api\",\"uid\":\"u\"}}", "permission denied"},
        {"{\"authenticated\":true,\"user\":{\"username\":\"system:serviceaccount:prod:api\"}}", "permission denied"},
        {"{}", "permission denied"},
        {"[]", "permission denied"},
        {USER("dev", "web-1", "u"), "namespace not authorized"},
        {USER("prod", "other", "u"), "service account name not authorized"},
        {USER("prod", "xweb-1", "u"), "service account name not authorized"},
        {USER("Prod", "web-1", "u"), "namespace not authorized"},
    };
    (void)state;
    KUBE(k);
    EK_REFUSED(k, login(k, "web", "opaque"), 400, "invalid role name \"web\"");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", ROLE), 204);
    EK_REFUSED(k, login(k, "web", "opaque"), 400, "could not load backend configuration");
    EK_WANT(k, ek_write(k, "auth/kubernetes/config", CONFIG), 204);
    EK_REFUSED(k, ek_write(k, "auth/kubernetes/login", "{\"jwt\":\"x\"}"), 400, "missing role");
    EK_REFUSED(k, ek_write(k, "auth/kubernetes/login", "{\"role\":\"web\"}"), 400, "missing jwt");
    EK_REFUSED(k, login(k, "web", "a\\r\\nX: y"), 403, "permission denied");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        cluster.status = t[i].status;
        EK_REFUSED(k, login(k, "web", "opaque"), 403, t[i].why);
        assert_null(k->re.login);
    }
    cluster.status = USER("prod", "api", "u");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", "{\"audience\":\"other\"}"), 204);
    EK_REFUSED(k, login(k, "web", "opaque"), 403, "permission denied"); /* the review does not confirm it */
}

/* A token that the test's own key signed. */
static const char *token(struct ek *k, const char *claims)
{
    const struct mln_value *v = NULL;
    struct mln_buf text = {0};
    struct mln_jose_key key = {.alg = MLN_JOSE_ES256, .kid = "k", .der = mln_buf_bytes(&cluster.der)};
    static char out[2048];
    kit_ok(k->cx, mln_json_parse(k->cx, mln_bytes_of(claims), &v));
    kit_ok(k->cx, mln_jose_sign(k->cx, &key, NULL, v, &text));
    (void)snprintf(out, sizeof(out), "%.*s", (int)text.len, (const char *)text.ptr);
    mln_buf_drop(&text);
    return out;
}

static void config_with_key(struct ek *k, const char *pem, const char *more)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {0};
    mln_buf_add_text(&body, "{\"kubernetes_host\":\"https://k8s:6443\",\"pem_keys\":[");
    mln_json_print_string(&body, mln_bytes_of(pem), 0);
    mln_buf_add_text(&body, "]");
    mln_buf_add_text(&body, more);
    mln_buf_add_text(&body, "}");
    mln_buf_add_byte(&body, 0);
    EK_WANT(k, ek_write(k, "auth/kubernetes/config", (const char *)body.ptr), 204);
}

/* The public half as PEM, by way of the JWK: the point of P-256. */
static void make_key(struct ek *k, char *pem, size_t n)
{
    const struct mln_value *jwk = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf x = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    cluster.der = (struct mln_buf){.is_secret = true};
    kit_ok(k->cx, mln_jose_generate(k->cx, MLN_JOSE_ES256, &cluster.der));
    kit_ok(k->cx, mln_jose_jwk(k->cx, MLN_JOSE_ES256, "k", mln_buf_bytes(&cluster.der), &jwk));
    mln_buf_add_byte(&x, 4);
    kit_ok(k->cx, mln_base64_parse(k->cx, mln_get_bytes(mln_get(jwk, "x")), MLN_B64_URL_RAW, &x));
    kit_ok(k->cx, mln_base64_parse(k->cx, mln_get_bytes(mln_get(jwk, "y")), MLN_B64_URL_RAW, &x));
    kit_ok(k->cx, mln_p256_public_pem(k->cx, x.ptr, &text));
    (void)snprintf(pem, n, "%.*s", (int)text.len, (const char *)text.ptr);
}

#define CLAIMS(space, name, uid)                                                                                                \
    "{\"iss\":\"https://iss\",\"aud\":[\"vault\"],\"kubernetes.io\":{\"namespace\":\"" space "\",\"serviceaccount\":{\"name\":\"" name   \
    "\",\"uid\":\"" uid "\"}}}"

static void test_keys(void **state)
{
    char pem[512];
    (void)state;
    KUBE(k);
    make_key(k, pem, sizeof(pem));
    config_with_key(k, pem, ",\"disable_token_review\":true");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", ROLE), 204);
    size_t reviews = cluster.reviews;
    EK_WANT(k, login(k, "web", token(k, CLAIMS("prod", "api", "u9"))), 204);
    assert_string_equal(k->re.login->alias, "u9");
    EK_WANT(k, login(k, "web", token(k, "{\"kubernetes.io/serviceaccount/namespace\":\"prod\","
                                        "\"kubernetes.io/serviceaccount/service-account.name\":\"api\","
                                        "\"kubernetes.io/serviceaccount/service-account.uid\":\"u9\"}")), 204);
    EK_REFUSED(k, login(k, "web", token(k, CLAIMS("dev", "api", "u9"))), 403, "namespace not authorized");
    EK_REFUSED(k, login(k, "web", token(k, "{\"sub\":\"x\"}")), 403, "permission denied");
    EK_REFUSED(k, login(k, "web", token(k, "{\"exp\":1}")), 403, "permission denied");
    EK_REFUSED(k, login(k, "web", "opaque"), 403, "permission denied");
    char bad[2048];
    (void)snprintf(bad, sizeof(bad), "%s", token(k, CLAIMS("prod", "api", "u9")));
    bad[strlen(bad) - 2] = bad[strlen(bad) - 2] == 'A' ? 'B' : 'A';
    EK_REFUSED(k, login(k, "web", bad), 403, "permission denied");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", "{\"audience\":\"other\"}"), 204);
    EK_REFUSED(k, login(k, "web", token(k, CLAIMS("prod", "api", "u9"))), 403, "permission denied");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", "{\"audience\":\"vault\"}"), 204);
    config_with_key(k, pem, ",\"disable_token_review\":true,\"disable_iss_validation\":false,\"issuer\":\"https://other\"");
    EK_REFUSED(k, login(k, "web", token(k, CLAIMS("prod", "api", "u9"))), 403, "permission denied");
    assert_int_equal(cluster.reviews, reviews);
    config_with_key(k, pem, ""); /* both, and they must agree */
    cluster.status = USER("prod", "api", "u9");
    EK_WANT(k, login(k, "web", token(k, CLAIMS("prod", "api", "u9"))), 204);
    EK_REFUSED(k, login(k, "web", token(k, CLAIMS("prod", "api", "u8"))), 403, "permission denied");
    mln_buf_drop(&cluster.der);
}

static void test_settings(void **state)
{
    static const struct {
        const char *path, *json, *why;
    } t[] = {
        {"config", "{}", "no host provided"},
        {"config", "{\"kubernetes_host\":\"k8s\"}", "must be a URL"},
        {"config", "{\"kubernetes_host\":\"https://k\",\"pem_keys\":\"x\"}", "does not contain any valid"},
        {"config", "{\"kubernetes_host\":\"https://k\",\"disable_token_review\":true}", "needs pem_keys"},
        {"config", "{\"kubernetes_host\":\"https://k\",\"disable_local_ca_jwt\":true}", "kubernetes_ca_cert must be given"},
        {"config", "{\"kubernetes_host\":\"https://k\",\"use_annotations_as_alias_metadata\":true}", "not supported"},
        {"role/r", "{}", "\"bound_service_account_names\" can not be empty"},
        {"role/r", "{\"bound_service_account_names\":\"a\"}", "\"bound_service_account_namespaces\" can not be empty"},
        {"role/r", "{\"bound_service_account_names\":\"a,*\",\"bound_service_account_namespaces\":\"b\"}",
            "can not mix \"*\" with values"},
        {"role/r", "{\"bound_service_account_names\":\"a\",\"bound_service_account_namespaces\":\"b\",\"alias_name_source\":\"x\"}",
         "invalid alias_name_source"},
        {"role/r", "{\"bound_service_account_names\":\"a\",\"bound_service_account_namespace_selector\":\"{}\"}", "is not supported"},
    };
    (void)state;
    KUBE(k);
    EK_WANT(k, ek_read(k, "auth/kubernetes/config", NULL), 404);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "auth/kubernetes/%s", t[i].path);
        EK_REFUSED(k, ek_write(k, path, t[i].json), 400, t[i].why);
        assert_false(k->wrote);
    }
    EK_WANT(k, ek_write(k, "auth/kubernetes/config", CONFIG), 204);
    EK_WANT(k, ek_read(k, "auth/kubernetes/config", NULL), 200);
    EK_DATA(k, "{\"disable_iss_validation\":true,\"disable_local_ca_jwt\":false,\"disable_token_review\":false,\"issuer\":\"\","
               "\"kubernetes_ca_cert\":\"\",\"kubernetes_host\":\"https://k8s:6443\",\"pem_keys\":[],\"token_reviewer_jwt_set\":true,"
               "\"use_annotations_as_alias_metadata\":false}");
    EK_WANT(k, ek_write(k, "auth/kubernetes/role/web", ROLE), 204);
    EK_WANT(k, ek_read(k, "auth/kubernetes/role/web", NULL), 200);
    assert_true(mln_is_text(mln_get(k->re.data, "alias_name_source"), "serviceaccount_uid"));
    EK_WANT(k, ek_list(k, "auth/kubernetes/role/"), 200);
    EK_DATA(k, "{\"keys\":[\"web\"]}");
    EK_WANT(k, ek_delete(k, "auth/kubernetes/role/web"), 204);
    EK_WANT(k, ek_read(k, "auth/kubernetes/role/web", NULL), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_login), cmocka_unit_test(test_refused_logins),
                                       cmocka_unit_test(test_keys), cmocka_unit_test(test_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
