/* SPDX-License-Identifier: Apache-2.0 */
/* Logins with SVIDs (auth method spiffe over spiffe/verify): who gets in as what, who does not; foreign domains and their policy. */
#include "unit/identity/spiffe_kit.h"

extern const struct mln_engine mln_method_spiffe;

#define WEB                                                                                        \
    "{\"spiffe_id\":\"spiffe://example.org/ns/prod/sa/web\",\"selectors\":[\"unix:uid:1000\"]}"

static struct ek *login_kit(void)
{
    struct ek *k = sk_new();
    ek_mount(k, "auth/spiffe/", &mln_method_spiffe, "6e0f9b2a-0000-4000-8000-000000000000");
    EK_WANT(k,
            ek_write(k, "auth/spiffe/role/web",
                     "{\"bound_ids\":\"spiffe://example.org/ns/*/sa/"
                     "web\",\"token_policies\":\"web\",\"token_ttl\":\"5m\"}"),
            204);
    (void)sk_entry(k, WEB);
    sk_be(k, "[\"unix:uid:1000\"]");
    return k;
}

static void token_for(struct ek *k, const char *audience, char to[2048])
{
    char json[128];
    (void)snprintf(json, sizeof(json), "{\"audience\":\"%s\"}", audience);
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", json), 200);
    (void)snprintf(to, 2048, "%s", mln_get_text(k->cx, mln_get(sk_svid(k, 0), "svid"), ""));
}

static int login(struct ek *k, const char *svid, const char *role)
{
    char json[4096];
    (void)snprintf(json, sizeof(json), "{\"svid\":\"%s\",\"role\":\"%s\"}", svid, role);
    return ek_write(k, "auth/spiffe/login", json);
}

static void test_token(void **state)
{
    char token[2048], other[2048];
    (void)state;
    MLN_AUTO(sk_drop) struct ek *k = login_kit();
    token_for(k, "merlon", token);
    token_for(k, "elsewhere", other);
    (void)login(k, token, "");
    kit_ok(k->cx, k->err);
    assert_non_null(k->re.login);
    assert_string_equal(k->re.login->alias, "spiffe://example.org/ns/prod/sa/web");
    assert_int_equal(k->re.login->ttl_s, 300);
    EK_VALUE(k, k->re.login->policies, "[\"web\"]");
    EK_REFUSED(k, login(k, other, "web"), 400, "another audience");
    EK_REFUSED(k, login(k, token, "none"), 400, "does not take");
    EK_REFUSED(k, login(k, "", ""), 400, "give a JWT-SVID");
    EK_WANT(
        k,
        ek_write(k, "auth/spiffe/role/db", "{\"bound_ids\":\"spiffe://example.org/ns/*/sa/db\"}"),
        204);
    EK_REFUSED(k, login(k, token, "db"), 400, "does not take");
    EK_WANT(k, ek_write(k, "auth/spiffe/config", "{\"audiences\":\"elsewhere\"}"), 204);
    EK_REFUSED(k, login(k, token, "web"), 400, "another audience");
    (void)login(k, other, "web");
    kit_ok(k->cx, k->err);
    EK_WANT(k, ek_delete(k, "auth/spiffe/role/web"), 204);
    EK_REFUSED(k, login(k, other, ""), 400, "no role");
    k->now_ns += 301 * SK_SECOND;
    EK_REFUSED(k, login(k, other, ""), 400, "expired");
}

static void test_certificate(void **state)
{
    static uint8_t chain[4096];
    (void)state;
    MLN_AUTO(sk_drop) struct ek *k = login_kit();
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    struct mln_bytes der = mln_get_bytes(mln_get(sk_svid(k, 0), "chain"));
    assert_true(der.len <= sizeof(chain));
    mln_copy(chain, der.ptr, der.len);
    struct mln_bytes certs[1] = {mln_bytes_at(chain, der.len)};
    k->client_certs = certs;
    k->n_client_certs = 1;
    (void)login(k, "", "web");
    kit_ok(k->cx, k->err);
    assert_string_equal(k->re.login->alias, "spiffe://example.org/ns/prod/sa/web");
    k->now_ns += 3601 * SK_SECOND; /* it has expired */
    EK_REFUSED(k, login(k, "", "web"), 400, "not trusted");
    k->now_ns -= 3601 * SK_SECOND;
    chain[der.len - 5] ^= 1; /* its signature */
    EK_REFUSED(k, login(k, "", "web"), 400, "");
    /* an authority's own certificate is nobody's */
    static uint8_t root[4096];
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    struct mln_bytes bundle = mln_get_bytes(mln_get(sk_svid(k, 0), "bundle"));
    assert_true(bundle.len <= sizeof(root));
    mln_copy(root, bundle.ptr, bundle.len);
    certs[0] = mln_bytes_at(root, sp_der_length(bundle));
    EK_REFUSED(k, login(k, "", "web"), 400, "no X.509-SVID");
}

static void test_roles_refused(void **state)
{
    static const char *const t[] = {"{}", "{\"bound_ids\":[]}", "{\"bound_ids\":\"spiffe://*/a\"}",
                                    "{\"bound_ids\":\"web\"}"};
    (void)state;
    MLN_AUTO(sk_drop) struct ek *k = login_kit();
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_write(k, "auth/spiffe/role/new", t[i]), 400);
    }
    EK_WANT(k, ek_write(k, "auth/spiffe/config", "{\"audiences\":[]}"), 400);
    EK_WANT(k, ek_read(k, "auth/spiffe/role/web", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "bound_ids"), "[\"spiffe://example.org/ns/*/sa/web\"]");
}

/* A key of other.example, published under the same name as every other key of it. */
static void publish(struct ek *k, const struct mln_buf *der, int sequence)
{
    const struct mln_value *jwk = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_value *body = mln_object(k->cx), *bundle = mln_object(k->cx),
                     *keys = mln_array(k->cx);
    mln_cx_clear(k->cx);
    kit_ok(k->cx, mln_jose_jwk(k->cx, MLN_JOSE_ES256, "same", mln_buf_bytes(der), &jwk));
    struct mln_value *own = mln_value_dup(k->cx, jwk);
    mln_put_text(k->cx, own, "use", "jwt-svid");
    mln_push(k->cx, keys, own);
    mln_put(k->cx, bundle, "keys", keys);
    mln_put_int(k->cx, bundle, "spiffe_sequence", sequence);
    mln_put(k->cx, body, "bundle", bundle);
    mln_json_print(&json, body, MLN_JSON_COMPACT);
    mln_buf_add(&json, "", 1);
    EK_WANT(k, ek_write(k, "spiffe/bundles/other.example", (const char *)json.ptr), 204);
}

/* That a signature was right is remembered for as long as the key is the same. */
static void test_foreign_key_replaced(void **state)
{
    char json[4096];
    (void)state;
    MLN_AUTO(sk_drop) struct ek *k = login_kit();
    MLN_AUTO(mln_buf_drop) struct mln_buf first = {.is_secret = true}, second = {.is_secret = true},
                                          jwt = {0};
    kit_ok(k->cx, mln_jose_generate(k->cx, MLN_JOSE_ES256, &first));
    kit_ok(k->cx, mln_jose_generate(k->cx, MLN_JOSE_ES256, &second));
    struct mln_value *claims = mln_object(k->cx);
    mln_put_text(k->cx, claims, "sub", "spiffe://other.example/web");
    mln_put_text(k->cx, claims, "aud", "merlon");
    mln_put_int(k->cx, claims, "exp", k->now_ns / SK_SECOND + 300);
    struct mln_jose_key key = {.alg = MLN_JOSE_ES256, .kid = "same", .der = mln_buf_bytes(&first)};
    kit_ok(k->cx, mln_jose_sign(k->cx, &key, "JWT", claims, &jwt));
    (void)snprintf(json, sizeof(json), "{\"svid\":\"%.*s\",\"audience\":\"merlon\"}", (int)jwt.len,
                   (const char *)jwt.ptr);
    EK_REFUSED(k, ek_write(k, "spiffe/verify", json), 400, "not known here");
    publish(k, &first, 1);
    for (int i = 0; i < 3; i++) {
        EK_WANT(k, ek_write(k, "spiffe/verify", json), 200);
    }
    publish(k, &second, 2);
    EK_REFUSED(k, ek_write(k, "spiffe/verify", json), 400, "signature");
    publish(k, &first, 3);
    EK_WANT(k, ek_write(k, "spiffe/verify", json), 200);
    EK_WANT(k, ek_delete(k, "spiffe/bundles/other.example"), 204);
    EK_REFUSED(k, ek_write(k, "spiffe/verify", json), 400, "not known here");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_roles_refused),
        cmocka_unit_test(test_foreign_key_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
