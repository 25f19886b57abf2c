/* SPDX-License-Identifier: Apache-2.0 */
/* Response wrapping: any answer once, in all forms, also when many ask at the same time. */
#include "life_kit.h"

#include <pthread.h>

#define NOT_VALID "wrapping token is not valid or does not exist"

/* The wrapping token of an answer, checked. */
static const char *info(struct ck *k, const char *path, int64_t ttl_s)
{
    assert_true(mln_get(k->answer, "data") == NULL && mln_get(k->answer, "auth") == NULL);
    assert_string_equal(mln_get_text(&k->cx, mln_get(k->answer, "request_id"), "?"), "");
    assert_string_equal(lk_text(k, "wrap_info", "creation_path"), path);
    assert_int_equal(lk_int(k, "wrap_info", "ttl"), ttl_s);
    assert_int_equal(mln_bytes_of(lk_text(k, "wrap_info", "accessor")).len, 24);
    assert_true(mln_bytes_of(lk_text(k, "wrap_info", "creation_time")).len > 19);
    return lk_text(k, "wrap_info", "token");
}

static const char *body(const char *token)
{
    static char json[256];
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\"}", token);
    return json;
}

static const char *wrapped_secret(struct ck *k)
{
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/q", "{\"data\":{\"a\":1}}"), 200);
    CK_WANT(k, lk_call(k, "root", "read", "secret/data/q", NULL, NULL, "60s"), 200);
    return info(k, "secret/data/q", 60);
}

static void want_secret(struct ck *k)
{
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "data")), "{\"a\":1}");
    assert_int_equal(mln_bytes_of(mln_get_text(&k->cx, mln_get(k->answer, "request_id"), "")).len,
                     36);
    assert_true(mln_get(k->answer, "wrap_info") == NULL);
}

/* ---- as a JWT ---- */

#define JWT_MAX 2048

static void wrap_jwt(struct ck *k, char jwt[JWT_MAX])
{
    k->wrap = "60s";
    k->format = "jwt";
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/q", NULL), 200);
    k->wrap = k->format = NULL;
    (void)snprintf(jwt, JWT_MAX, "%s", info(k, "secret/data/q", 60));
    assert_int_equal(strncmp(jwt, "eyJ", 3), 0);
}

static const char *jwt_body(const char *jwt)
{
    static char json[JWT_MAX + 32];
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\"}", jwt);
    return json;
}

static const struct mln_value *part_of(struct ck *k, const char *jwt, size_t i)
{
    struct mln_bytes left = mln_bytes_of(jwt), part = MLN_BYTES_NONE;
    const struct mln_value *value = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {0};
    for (size_t at = 0; at <= i; at++) {
        part = mln_bytes_cut(left, '.', &left);
    }
    assert_false(mln_failed(mln_base64_parse(&k->cx, part, MLN_B64_URL_RAW, &plain)));
    assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_dup(&k->cx, mln_buf_bytes(&plain)), &value)));
    return value;
}

static void test_jwt(void **state)
{
    (void)state;
    CK(k);
    char jwt[JWT_MAX], other[64];
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/q", "{\"data\":{\"a\":1}}"), 200);
    (void)snprintf(other, sizeof(other), "%s", lk_token(k, "{\"policies\":[\"default\"]}"));
    wrap_jwt(k, jwt);
    const char *accessor = lk_text(k, "wrap_info", "accessor");
    const struct mln_value *claims = part_of(k, jwt, 1);
    assert_true(mln_is_text(mln_get(part_of(k, jwt, 0), "alg"), "ES512"));
    assert_true(mln_is_text(mln_get(claims, "type"), "wrapping"));
    assert_true(mln_is_text(mln_get(claims, "accessor"), accessor));
    assert_int_equal(mln_get_int(mln_get(claims, "exp"), 0) - mln_get_int(mln_get(claims, "iat"), 0), 60);
    assert_true(mln_len(mln_get(claims, "addr")) > 0);
    CK_WANT(k, ck_call(k, other, "write", "sys/wrapping/lookup", jwt_body(jwt)), 200);
    assert_string_equal(lk_text(k, "data", "creation_path"), "secret/data/q");
    CK_WANT(k, ck_call(k, other, "write", "sys/wrapping/unwrap", jwt_body(jwt)), 200); /* in the body */
    want_secret(k);
    LK_REFUSED(k, ck_call(k, other, "write", "sys/wrapping/unwrap", jwt_body(jwt)), 400, NOT_VALID);
    wrap_jwt(k, jwt);
    CK_WANT(k, ck_call(k, jwt, "write", "sys/wrapping/unwrap", NULL), 200); /* itself */
    want_secret(k);
    wrap_jwt(k, jwt);
    LK_REFUSED(k, ck_call(k, NULL, "write", "sys/wrapping/unwrap", jwt_body(jwt)), 403, "permission denied");
    k->format = "jwt"; /* moved to another */
    CK_WANT(k, ck_call(k, jwt, "write", "sys/wrapping/rewrap", NULL), 200);
    k->format = NULL;
    (void)snprintf(jwt, sizeof(jwt), "%s", lk_text(k, "wrap_info", "token"));
    CK_WANT(k, ck_call(k, jwt, "write", "sys/wrapping/rewrap", NULL), 200);
    const char *plain = lk_text(k, "wrap_info", "token");
    assert_int_equal(strncmp(plain, "hvs.", 4), 0);
    CK_WANT(k, ck_call(k, plain, "write", "sys/wrapping/unwrap", NULL), 200);
    want_secret(k);
    wrap_jwt(k, jwt); /* the token in it is good as well */
    plain = mln_get_text(&k->cx, mln_get(part_of(k, jwt, 1), "jti"), "");
    CK_WANT(k, ck_call(k, plain, "write", "sys/wrapping/unwrap", NULL), 200);
}

/* Changed, cut off, of another server, no JWT, no use elsewhere. */
static void test_bad_jwts(void **state)
{
    (void)state;
    CK(k);
    CK(foreign);
    char jwt[JWT_MAX], bad[JWT_MAX];
    CK_WANT(foreign, ck_call(foreign, "root", "write", "secret/data/q", "{\"data\":{\"a\":1}}"), 200);
    wrap_jwt(foreign, bad);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", jwt_body(bad)), 400, NOT_VALID); /* no key yet */
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/q", "{\"data\":{\"a\":1}}"), 200);
    wrap_jwt(k, jwt);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", jwt_body(bad)), 400, NOT_VALID);
    static const char *const odd[] = {"eyJ", "eyJ.", "eyJ..", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AA"};
    for (size_t i = 0; i < MLN_COUNT(odd); i++) {
        LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", jwt_body(odd[i])), 400, NOT_VALID);
    }
    size_t n = strlen(jwt);
    for (size_t i = 0; i < n; i += n / 16) { /* one character, everywhere */
        (void)snprintf(bad, sizeof(bad), "%s", jwt);
        bad[i] = bad[i] == 'B' ? 'C' : 'B';
        LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", jwt_body(bad)), 400, NOT_VALID);
    }
    CK_WANT(k, ck_call(k, jwt, "read", "auth/token/lookup-self", NULL), 403);
    CK_WANT(k, ck_call(k, jwt, "write", "sys/wrapping/unwrap", NULL), 200); /* none of it was spent */
}

static void test_forms(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "none", "path \"x\" { capabilities = [\"read\"] }");
    const char *other = lk_token(k, "{\"policies\":[\"default\"]}");
    const char *nobody = lk_token(k, "{\"policies\":[\"none\"],\"no_default_policy\":true}");
    const char *own = wrapped_secret(k); /* the wrapping token itself, without a body */
    CK_WANT(k, ck_call(k, own, "write", "sys/wrapping/unwrap", NULL), 200);
    want_secret(k);
    LK_REFUSED(k, ck_call(k, own, "write", "sys/wrapping/unwrap", NULL), 400, NOT_VALID);
    const char *given = wrapped_secret(k); /* in the body */
    LK_REFUSED(k, ck_call(k, NULL, "write", "sys/wrapping/unwrap", body(given)), 403,
               "permission denied");
    LK_REFUSED(k, ck_call(k, nobody, "write", "sys/wrapping/unwrap", body(given)), 403,
               "1 error occurred:\n\t* permission denied\n\n");
    CK_WANT(k, ck_call(k, other, "write", "sys/wrapping/unwrap", body(given)), 200);
    want_secret(k);
    LK_REFUSED(k, ck_call(k, other, "write", "sys/wrapping/unwrap", body(given)), 400, NOT_VALID);
    const char *both = wrapped_secret(k);
    CK_WANT(k, ck_call(k, both, "write", "sys/wrapping/unwrap", body(both)), 200);
    want_secret(k);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", body("bad")), 400, NOT_VALID);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", body(other)), 400, NOT_VALID);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/unwrap", NULL), 400, NOT_VALID);
}

static void test_lookup(void **state)
{
    (void)state;
    CK(k);
    const char *id = wrapped_secret(k);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/wrapping/lookup", body(id)), 200);
    assert_string_equal(lk_text(k, "data", "creation_path"), "secret/data/q");
    assert_int_equal(lk_int(k, "data", "creation_ttl"), 60);
    CK_WANT(k, ck_call(k, id, "read", "sys/wrapping/lookup", NULL), 200);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/lookup", body("bad")), 400, NOT_VALID);
    CK_WANT(k, ck_call(k, id, "write", "sys/wrapping/unwrap", NULL),
            200); /* looking spent nothing */
    LK_REFUSED(k, ck_call(k, NULL, "write", "sys/wrapping/lookup", body(id)), 400, NOT_VALID);
}

static void test_wrap(void **state)
{
    (void)state;
    CK(k);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/wrapping/wrap", "{\"a\":\"b\"}"), 400,
               "endpoint requires response wrapping to be used");
    LK_REFUSED(k, lk_call(k, "root", "write", "sys/wrapping/wrap", "{\"a\":\"b\"}", NULL, "-1"),
               400, "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative");
    CK_WANT(k, lk_call(k, "root", "write", "sys/wrapping/wrap", "{\"a\":\"b\"}", NULL, "60"), 200);
    const char *id = info(k, "sys/wrapping/wrap", 60);
    CK_WANT(k, ck_call(k, "root", "write", "sys/wrapping/rewrap", body(id)), 200);
    const char *second = info(k, "sys/wrapping/wrap", 60);
    assert_string_not_equal(id, second);
    LK_REFUSED(k, ck_call(k, id, "write", "sys/wrapping/unwrap", NULL), 400, NOT_VALID);
    CK_WANT(k, ck_call(k, second, "write", "sys/wrapping/unwrap", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"a\":\"b\"}");
}

/* A login, an answer without a body, a refusal. */
static void test_kinds(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k,
            lk_call(k, "root", "write", "auth/token/create", "{\"policies\":[\"default\"]}", NULL,
                    "5m"),
            200);
    const char *id = info(k, "auth/token/create", 300),
               *accessor = lk_text(k, "wrap_info", "wrapped_accessor");
    assert_int_equal(mln_bytes_of(accessor).len, 24);
    CK_WANT(k, ck_call(k, id, "write", "sys/wrapping/unwrap", NULL), 200);
    assert_string_equal(lk_text(k, "auth", "accessor"), accessor);
    CK_WANT(k, lk_is(k, lk_text(k, "auth", "client_token")), 200);
    CK_WANT(k, lk_call(k, "root", "write", "sys/mounts/m", "{\"type\":\"kv\"}", NULL, "60"), 200);
    CK_WANT(k, ck_call(k, info(k, "sys/mounts/m", 60), "write", "sys/wrapping/unwrap", NULL), 204);
    CK_WANT(k, lk_call(k, "root", "read", "secret/data/nosuch", NULL, NULL, "60"), 404);
    CK_WANT(k, lk_call(k, "root", "write", "sys/mounts/m", "{\"type\":\"kv\"}", NULL, "60"), 400);
    CK_WANT(k, lk_call(k, "root", "read", "sys/internal/ledger/checkpoint", NULL, NULL, NULL), 200);
}

/* Good for nothing else, and a wrong use spends it. */
static void test_other_uses(void **state)
{
    (void)state;
    CK(k);
    const char *id = wrapped_secret(k);
    CK_WANT(k, lk_is(k, id), 403);
    LK_REFUSED(k, ck_call(k, id, "write", "sys/wrapping/unwrap", NULL), 400, NOT_VALID);
    id = wrapped_secret(k);
    lk_turn(61);
    LK_REFUSED(k, ck_call(k, id, "write", "sys/wrapping/unwrap", NULL), 400, NOT_VALID);
    lk_turn(0);
    lk_tick(k);
    LK_REFUSED(k, ck_call(k, id, "write", "sys/wrapping/unwrap", NULL), 400, NOT_VALID);
}

static void test_policy_times(void **state)
{
    static const struct {
        const char *wrap;
        int status;
    } t[] = {{NULL, 403}, {"59", 403}, {"60", 200}, {"2m", 200}, {"121", 403}};
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/q", "{\"data\":{\"a\":1}}"), 200);
    lk_policy(k, "w",
              "path \"secret/data/*\" { capabilities = [\"read\"] min_wrapping_ttl = \"1m\" "
              "max_wrapping_ttl = \"2m\" }");
    const char *id = lk_token(k, "{\"policies\":[\"w\"]}");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, lk_call(k, id, "read", "secret/data/q", NULL, NULL, t[i].wrap), t[i].status);
    }
}

/* ---- at the same time ---- */

struct racer {
    struct ck *k;
    struct mln_bytes message;
    int status;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(16u << 20, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf answer = {0};
    const struct mln_value *got = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_core_call call = {.message = r->message};
    if (!mln_failed(mln_core_answer(&cx, r->k->core, &call, &answer))) {
        mln_cx_clear(&cx);
        if (!mln_failed(mln_cbor_parse(&cx, mln_buf_bytes(&answer), &got))) {
            r->status = (int)mln_get_int(mln_get(got, "status"), 0);
        }
    }
    return NULL;
}

static void test_race(void **state)
{
    enum { RACERS = 8, ROUNDS = 10 };
    (void)state;
    CK(k);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct racer r[RACERS];
        pthread_t threads[RACERS];
        const char *id = wrapped_secret(k);
        size_t won = 0, lost = 0;
        struct mln_value *rq = mln_object(&k->cx);
        MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
        mln_put_text(&k->cx, rq, "op", "write");
        mln_put_text(&k->cx, rq, "path", "sys/wrapping/unwrap");
        mln_put(&k->cx, rq, "token", mln_secret_string(&k->cx, mln_bytes_of(id)));
        mln_cbor_print(&message, rq);
        for (size_t i = 0; i < RACERS; i++) {
            r[i] = (struct racer){.k = k, .message = mln_buf_bytes(&message)};
            assert_int_equal(pthread_create(&threads[i], NULL, race, &r[i]), 0);
        }
        for (size_t i = 0; i < RACERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            won += r[i].status == 200;
            lost += r[i].status == 400;
        }
        assert_int_equal(won, 1);
        assert_int_equal(lost, RACERS - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jwt), cmocka_unit_test(test_bad_jwts), cmocka_unit_test(test_forms),      cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_wrap),       cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_other_uses), cmocka_unit_test(test_policy_times),
        cmocka_unit_test(test_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
