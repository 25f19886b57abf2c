/* SPDX-License-Identifier: Apache-2.0 */
/* OIDC tokens: keys and their rotation, roles, claims, introspection, discovery; what is refused. */
#include "kit/engine_kit.h"

#include <stdio.h>

#include "crypto/jose_verify.h"
#include "identity/identity.h"

extern const struct mln_engine mln_identity_identity;

static struct mln_err person_of(struct mln_request *rq, const char *id,
                                const struct mln_value **ret)
{
    struct mln_err err = mln_identity_person(rq->cx, rq->txn, id, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "no such entity") : err;
}

static const char *address(struct mln_request *rq)
{
    (void)rq;
    return "https://vault.example:8200";
}

static struct ek *new_kit(void)
{
    struct ek *k = ek_new();
    k->services.entity = person_of;
    k->services.address = address;
    ek_mount(k, "identity/", &mln_identity_identity, "3e0f9b2a-0000-4000-8000-000000000000");
    return k;
}
#define KIT(name) MLN_AUTO(ek_drop) struct ek *name = new_kit()

static char entity[40], token[4000];

static void be_somebody(struct ek *k)
{
    EK_WANT(k,
            ek_write(k, "identity/entity", "{\"name\":\"alice\",\"metadata\":{\"team\":\"red\"}}"),
            200);
    (void)snprintf(entity, sizeof(entity), "%s", ek_text(k, "id"));
    k->actor.entity_id = entity;
}

static int introspect(struct ek *k, const char *client_id)
{
    char json[4200];
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\",\"client_id\":\"%s\"}", token, client_id);
    (void)ek_write(k, "identity/oidc/introspect", json);
    kit_ok(k->cx, k->err);
    return mln_get_bool(mln_get(k->re.bare, "active"), false);
}

static const struct mln_value *jwks(struct ek *k)
{
    (void)ek_read(k, "identity/oidc/.well-known/keys", NULL);
    kit_ok(k->cx, k->err);
    return k->re.bare;
}

static void test_token(void **state)
{
    static const char *const algorithms[] = {"RS256", "ES256", "ES384", "ES512", "EdDSA"};
    (void)state;
    KIT(k);
    be_somebody(k);
    for (size_t i = 0; i < MLN_COUNT(algorithms); i++) {
        struct mln_jose_token parsed;
        char json[200];
        (void)snprintf(json, sizeof(json), "{\"algorithm\":\"%s\",\"allowed_client_ids\":\"*\"}",
                       algorithms[i]);
        EK_WANT(k, ek_write(k, "identity/oidc/key/k", json), 204);
        EK_WANT(k,
                ek_write(k, "identity/oidc/role/r",
                         "{\"key\":\"k\",\"ttl\":\"1h\",\"client_id\":\"app\",\"template\":\"{"
                         "\\\"team\\\":{{identity.entity.metadata.team}}}\"}"),
                204);
        EK_WANT(k, ek_read(k, "identity/oidc/token/r", NULL), 200);
        EK_VALUE(k, mln_get(k->re.data, "ttl"), "3600");
        (void)snprintf(token, sizeof(token), "%s", ek_text(k, "token"));
        const struct mln_value *keys = jwks(k);
        assert_int_equal(mln_len(mln_get(keys, "keys")), 2);
        kit_ok(k->cx, mln_jose_parse(k->cx, mln_bytes_of(token), &parsed));
        kit_ok(k->cx, mln_jose_verify_set(k->cx, keys, &parsed));
        assert_true(mln_is_text(mln_get(parsed.claims, "iss"),
                                "https://vault.example:8200/v1/identity/oidc"));
        assert_true(mln_is_text(mln_get(parsed.claims, "sub"), entity));
        assert_true(mln_is_text(mln_get(parsed.claims, "aud"), "app"));
        assert_true(mln_is_text(mln_get(parsed.claims, "team"), "red"));
        assert_true(mln_is_text(mln_get(parsed.header, "alg"), algorithms[i]));
        assert_true(introspect(k, ""));
        assert_true(introspect(k, "app"));
        assert_false(introspect(k, "other"));
        EK_WANT(k, ek_delete(k, "identity/oidc/role/r"), 204);
        EK_WANT(k, ek_delete(k, "identity/oidc/key/k"), 204);
    }
}

/* Rotated keys are published until their tokens are dead; what signs was published before. */
static void test_rotation(void **state)
{
    (void)state;
    KIT(k);
    be_somebody(k);
    EK_WANT(
        k,
        ek_write(
            k, "identity/oidc/key/k",
            "{\"algorithm\":\"ES256\",\"allowed_client_ids\":\"*\",\"verification_ttl\":\"1h\"}"),
        204);
    EK_WANT(k, ek_write(k, "identity/oidc/role/r", "{\"key\":\"k\",\"ttl\":\"30m\"}"), 204);
    char next[60];
    (void)snprintf(next, sizeof(next), "%s",
                   mln_get_text(k->cx, mln_get(mln_item(mln_get(jwks(k), "keys"), 1), "kid"), ""));
    EK_WANT(k, ek_read(k, "identity/oidc/token/r", NULL), 200);
    (void)snprintf(token, sizeof(token), "%s", ek_text(k, "token"));
    EK_WANT(k, ek_write(k, "identity/oidc/key/k/rotate", "{}"), 204);
    assert_int_equal(mln_len(mln_get(jwks(k), "keys")), 3);
    assert_true(mln_is_text(mln_get(mln_item(mln_get(k->re.bare, "keys"), 0), "kid"), next));
    assert_true(introspect(k, ""));
    k->now_ns += 1700 * 1000000000LL;
    assert_true(introspect(k, ""));
    k->now_ns += 200 * 1000000000LL;
    assert_false(introspect(k, "")); /* expired */
    k->now_ns += 3600 * 1000000000LL;
    assert_int_equal(mln_len(mln_get(jwks(k), "keys")), 2);
    EK_WANT(k, ek_read(k, "identity/oidc/token/r", NULL), 200);
    (void)snprintf(token, sizeof(token), "%s", ek_text(k, "token"));
    EK_WANT(k, ek_write(k, "identity/oidc/key/k/rotate", "{\"verification_ttl\":0}"), 204);
    assert_false(introspect(k, "")); /* unpublished at once */
    k->now_ns += 86400 * 1000000000LL;
    struct mln_request rq;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_identity_identity.tick(&rq));
    ek_end(k, MLN_OK);
    assert_true(k->wrote);
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_identity_identity.tick(&rq));
    ek_end(k, MLN_OK);
    assert_false(k->wrote);
}

static void test_disabled(void **state)
{
    (void)state;
    KIT(k);
    be_somebody(k);
    EK_WANT(k, ek_write(k, "identity/oidc/role/r", "{\"key\":\"default\",\"ttl\":60}"), 204);
    EK_WANT(k, ek_read(k, "identity/oidc/token/r", NULL), 200);
    (void)snprintf(token, sizeof(token), "%s", ek_text(k, "token"));
    assert_true(introspect(k, ""));
    EK_WANT(k, ek_write(k, "identity/entity/name/alice", "{\"disabled\":true}"), 204);
    assert_false(introspect(k, ""));
    (void)snprintf(token, sizeof(token), "x.y.z");
    assert_false(introspect(k, ""));
}

static void test_refused(void **state)
{
    static const struct {
        const char *path, *json, *text;
    } t[] = {
        {"identity/oidc/key/k", "{\"algorithm\":\"none\"}", "unknown signing algorithm"},
        {"identity/oidc/key/k", "{\"algorithm\":\"PS256\"}", "unknown signing algorithm"},
        {"identity/oidc/key/k", "{\"rotation_period\":59}", "at least one minute"},
        {"identity/oidc/key/k", "{\"rotation_period\":60,\"verification_ttl\":601}",
         "10x rotation_period"},
        {"identity/oidc/key/k/rotate", "{}", "no key found at \"k\""},
        {"identity/oidc/role/r", "{}", "the key parameter is required"},
        {"identity/oidc/role/r", "{\"key\":\"no\"}", "key \"no\" does not exist"},
        {"identity/oidc/role/r", "{\"key\":\"default\",\"ttl\":\"25h\"}",
         "cannot be longer than the verification_ttl"},
        {"identity/oidc/role/r", "{\"key\":\"default\",\"template\":\"[]\"}", "must be an object"},
        {"identity/oidc/role/r", "{\"key\":\"default\",\"template\":\"{\"}", "must be an object"},
        {"identity/oidc/role/r", "{\"key\":\"default\",\"template\":\"{\\\"sub\\\":\\\"x\\\"}\"}",
         "top level key \"sub\" not allowed"},
        {"identity/oidc/role/r",
         "{\"key\":\"default\",\"template\":\"{\\\"a\\\":{{identity.x}}}\"}",
         "unknown template directive"},
        {"identity/oidc/config", "{\"issuer\":\"vault\"}", "invalid issuer"},
        {"identity/oidc/config", "{\"issuer\":\"https://a/b\"}", "invalid issuer"},
        {"identity/oidc/config", "{\"issuer\":\"ftp://a\"}", "invalid issuer"},
    };
    (void)state;
    KIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), 400, t[i].text);
    }
    EK_REFUSED(k, ek_read(k, "identity/oidc/token/r", NULL), 400,
               "no entity associated with the request's token");
    be_somebody(k);
    EK_REFUSED(k, ek_read(k, "identity/oidc/token/r", NULL), 400, "role \"r\" not found");
    EK_WANT(k,
            ek_write(k, "identity/oidc/key/k",
                     "{\"algorithm\":\"EdDSA\",\"allowed_client_ids\":\"other\"}"),
            204);
    EK_WANT(k, ek_write(k, "identity/oidc/role/r", "{\"key\":\"k\",\"client_id\":\"app\"}"), 204);
    EK_REFUSED(k, ek_read(k, "identity/oidc/token/r", NULL), 400, "does not list the client ID");
    EK_REFUSED(k, ek_delete(k, "identity/oidc/key/k"), 400,
               "currently referenced by these roles: r");
    EK_REFUSED(k, ek_delete(k, "identity/oidc/key/default"), 400, "not allowed");
}

static void test_shapes(void **state)
{
    (void)state;
    KIT(k);
    EK_WANT(k,
            ek_write(k, "identity/oidc/key/k",
                     "{\"algorithm\":\"ES256\",\"allowed_client_ids\":\"a,b\"}"),
            204);
    EK_WANT(k, ek_read(k, "identity/oidc/key/k", NULL), 200);
    EK_DATA(k, "{\"algorithm\":\"ES256\",\"allowed_client_ids\":[\"a\",\"b\"],\"rotation_period\":"
               "86400,\"verification_ttl\":86400}");
    EK_WANT(k, ek_list(k, "identity/oidc/key/"), 200);
    EK_DATA(k, "{\"keys\":[\"k\"]}");
    EK_WANT(k, ek_read(k, "identity/oidc/role/none", NULL), 404);
    EK_WANT(k, ek_list(k, "identity/oidc/role/"), 404);
    (void)ek_read(k, "identity/oidc/.well-known/openid-configuration", NULL);
    EK_VALUE(
        k, k->re.bare,
        "{\"id_token_signing_alg_values_supported\":[\"RS256\",\"RS384\",\"RS512\",\"ES256\","
        "\"ES384\",\"ES512\",\"EdDSA\"],"
        "\"issuer\":\"https://vault.example:8200/v1/identity/oidc\","
        "\"jwks_uri\":\"https://vault.example:8200/v1/identity/oidc/.well-known/keys\","
        "\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"]}");
    (void)ek_write(k, "identity/oidc/config", "{\"issuer\":\"https://id.example/\"}");
    kit_ok(k->cx, k->err);
    EK_WANT(k, ek_read(k, "identity/oidc/config", NULL), 200);
    EK_DATA(k, "{\"issuer\":\"https://id.example\"}");
    (void)ek_read(k, "identity/oidc/.well-known/openid-configuration", NULL);
    EK_VALUE(k, mln_get(k->re.bare, "issuer"), "\"https://id.example/v1/identity/oidc\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),    cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_disabled), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
