/* SPDX-License-Identifier: Apache-2.0 */
/* What processes at the workload socket get: SVIDs, bundles, JWT-SVIDs, validation; who gets nothing; what follows a change. */
#include "unit/identity/spiffe_kit.h"

#define ALICE "[\"unix:gid:1000\",\"unix:uid:1000\"]"
#define WEB                                                                                        \
    "{\"spiffe_id\":\"spiffe://example.org/"                                                       \
    "web\",\"selectors\":[\"unix:uid:1000\"],\"dns_names\":[\"web.example.org\"]}"

static void test_x509(void **state)
{
    (void)state;
    SK(k);
    char serial[64], key[200];
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "svids")), 1);
    assert_true(mln_is_text(mln_get(sk_svid(k, 0), "spiffe_id"), "spiffe://example.org/web"));
    struct mln_x509_info leaf = sk_leaf(k, 0);
    assert_int_equal(leaf.sans_n, 2);
    assert_true(leaf.sans[0].kind == MLN_SAN_URI &&
                mln_bytes_is(leaf.sans[0].value, "spiffe://example.org/web"));
    assert_true(leaf.sans[1].kind == MLN_SAN_DNS &&
                mln_bytes_is(leaf.sans[1].value, "web.example.org"));
    assert_false(leaf.is_ca);
    assert_int_equal(leaf.key_usage, MLN_KU_DIGITAL_SIGNATURE);
    assert_int_equal(leaf.not_after_s, k->now_ns / SK_SECOND + 3600);
    assert_true(sk_is_trusted(k, 0));
    const struct mln_value *secret = mln_get(sk_svid(k, 0), "key");
    assert_true((secret->flags & MLN_VALUE_SECRET) != 0);
    struct mln_key own;
    kit_ok(k->cx, mln_key_read(k->cx, mln_get_bytes(secret), &own));
    assert_true(mln_bytes_eq(own.spki, leaf.spki));
    assert_int_equal(mln_len(mln_get(k->detail, "issued")), 1);
    (void)snprintf(serial, sizeof(serial), "%s", mln_hex_text(k->cx, leaf.serial));
    struct mln_bytes der = mln_get_bytes(secret);
    assert_true(der.len < sizeof(key));
    mln_copy(key, der.ptr, der.len);
    /* the same again, and the same for another process of the entry */
    sk_be(k, "[\"unix:uid:1000\",\"unix:pid:7\"]");
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
    assert_true(
        mln_bytes_eq(mln_get_bytes(mln_get(sk_svid(k, 0), "key")), mln_bytes_at(key, der.len)));
    assert_null(mln_get(k->detail, "issued"));
}

static void test_nobody(void **state)
{
    static const char *const reads[] = {"x509-svids", "x509-bundles", "jwt-bundles", "secrets"};
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, "[\"unix:uid:1001\"]");
    for (size_t i = 0; i < MLN_COUNT(reads); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "spiffe/workload/%s", reads[i]);
        EK_REFUSED(k, ek_read(k, path, NULL), 403, "no identity issued");
    }
    EK_REFUSED(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 403,
               "no identity issued");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"allow_unauthenticated_verifiers\":true}"), 204);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-bundles", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "bundles")), 1);
    EK_WANT(k, ek_read(k, "spiffe/workload/jwt-bundles", NULL), 200);
    EK_REFUSED(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 403, "no identity issued");
}

static void test_no_domain(void **state)
{
    (void)state;
    MLN_AUTO(sk_drop) struct ek *k = ek_new();
    ek_mount(k, "spiffe/", &mln_identity_spiffe, "5e0f9b2a-0000-4000-8000-000000000000");
    sk_be(k, ALICE);
    (void)ek_read(k, "spiffe/workload/x509-svids", NULL);
    assert_true(mln_is(k->err, MLN_E_UNREACHABLE)); /* it passes: never INVALID */
    EK_REFUSED(k, ek_write(k, "spiffe/entries", WEB), 400, "--trust-domain");
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    assert_false(k->wrote);
    EK_REFUSED(k, ek_write(k, "spiffe/config", "{\"trust_domain\":\"Example.org\"}"), 400, "a-z");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"trust_domain\":\"example.org\"}"), 204);
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"trust_domain\":\"example.org\"}"), 204);
    EK_REFUSED(k, ek_write(k, "spiffe/config", "{\"trust_domain\":\"other.org\"}"), 400,
               "cannot be changed");
    EK_WANT(k, ek_write(k, "spiffe/entries", WEB), 200);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    /* a server that was started for another trust domain issues nothing */
    struct mln_cx *cx = kit_cx_new();
    kit_ok(cx, mln_json_parse(cx, MLN_BYTES("{\"spiffe\":{\"trust_domain\":\"other.org\"}}"),
                              &k->settings));
    ek_forget(k);
    (void)ek_read(k, "spiffe/workload/x509-svids", NULL);
    assert_true(mln_is(k->err, MLN_E_UNREACHABLE));
    ek_tick(k, 0);
    assert_true(mln_is(k->err, MLN_E_PRECONDITION));
    kit_cx_free(cx);
}

/* Oldest first; of two with one hint the older; other parents are other machines'. */
static void test_order_and_hints(void **state)
{
    (void)state;
    SK(k);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "z\",\"selectors\":[\"unix:uid:1000\"],\"hint\":\"in\"}");
    k->now_ns += SK_SECOND;
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "a\",\"selectors\":[\"unix:gid:1000\"],\"hint\":\"in\"}");
    k->now_ns += SK_SECOND;
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "m\",\"selectors\":[\"unix:gid:1000\",\"unix:uid:1000\"]}");
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "n\",\"selectors\":[\"unix:gid:1000\",\"unix:uid:1001\"]}");
    (void)sk_entry(
        k, "{\"spiffe_id\":\"spiffe://example.org/"
           "o\",\"selectors\":[\"unix:uid:1000\"],\"parent_id\":\"spiffe://example.org/node\"}");
    for (int i = 0; i < 2; i++) {
        sk_be(k, ALICE);
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        assert_int_equal(mln_len(mln_get(k->re.data, "svids")), 2);
        assert_true(mln_is_text(mln_get(sk_svid(k, 0), "spiffe_id"), "spiffe://example.org/z"));
        assert_true(mln_is_text(mln_get(sk_svid(k, 0), "hint"), "in"));
        assert_true(mln_is_text(mln_get(sk_svid(k, 1), "spiffe_id"), "spiffe://example.org/m"));
        ek_forget(k); /* and after a restart */
    }
}

static void copy_token(struct ek *k, size_t i, char to[2048])
{
    (void)snprintf(to, 2048, "%s", mln_get_text(k->cx, mln_get(sk_svid(k, i), "svid"), ""));
}

static int validate(struct ek *k, const char *token, const char *audience)
{
    char json[4096];
    (void)snprintf(json, sizeof(json), "{\"svid\":\"%s\",\"audience\":\"%s\"}", token, audience);
    return ek_write(k, "spiffe/workload/validate", json);
}

static void test_jwt(void **state)
{
    static char first[2048], second[2048];
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    k->now_ns += SK_SECOND; /* the second is younger */
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "two\",\"selectors\":[\"unix:uid:1000\"],\"jwt_svid_ttl\":60}");
    sk_be(k, ALICE);
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":[\"db\",\"cache\"]}"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "svids")), 2);
    copy_token(k, 0, first);
    EK_WANT(k,
            ek_write(k, "spiffe/workload/jwt-svid",
                     "{\"audience\":[\"db\"],\"spiffe_id\":\"spiffe://example.org/two\"}"),
            200);
    assert_int_equal(mln_len(mln_get(k->re.data, "svids")), 1);
    copy_token(k, 0, second);
    assert_int_equal(mln_len(mln_get(k->detail, "issued")), 1);
    EK_WANT(k,
            ek_write(k, "spiffe/workload/jwt-svid",
                     "{\"audience\":[\"db\"],\"spiffe_id\":\"spiffe://example.org/two\"}"),
            200);
    assert_true(mln_is_text(mln_get(sk_svid(k, 0), "svid"), second)); /* kept */
    assert_null(mln_get(k->detail, "issued"));
    EK_WANT(k, validate(k, first, "cache"), 200);
    assert_true(mln_is_text(mln_get(k->re.data, "spiffe_id"), "spiffe://example.org/web"));
    EK_VALUE(k, mln_get(mln_get(k->re.data, "claims"), "aud"), "[\"db\",\"cache\"]");
    EK_VALUE(k, mln_get(mln_get(k->re.data, "claims"), "exp"), "1795337178");
    EK_REFUSED(k, validate(k, first, "other"), 400, "another audience");
    EK_REFUSED(k, validate(k, second, "cache"), 400, "another audience");
    k->now_ns += 31 * SK_SECOND; /* past half of its life */
    EK_WANT(k,
            ek_write(k, "spiffe/workload/jwt-svid",
                     "{\"audience\":[\"db\"],\"spiffe_id\":\"spiffe://example.org/two\"}"),
            200);
    assert_false(mln_is_text(mln_get(sk_svid(k, 0), "svid"), second));
    EK_WANT(k, validate(k, second, "db"), 200);
    k->now_ns += 30 * SK_SECOND;
    EK_REFUSED(k, validate(k, second, "db"), 400, "expired");
    first[strlen(first) - 3] = first[strlen(first) - 3] == 'A' ? 'B' : 'A';
    EK_REFUSED(k, validate(k, first, "db"), 400, "signature");
}

static void test_jwt_refused(void **state)
{
    static const struct {
        const char *json;
        int status;
        const char *part;
    } t[] = {
        {"{}", 400, "audience must be given"},
        {"{\"audience\":[]}", 400, "audience must be given"},
        {"{\"audience\":[\"\"]}", 400, "an audience is"},
        {"{\"audience\":[\"a\"],\"spiffe_id\":\"http://x\"}", 400, "begins with"},
        {"{\"audience\":[\"a\"],\"spiffe_id\":\"spiffe://example.org/\"}", 400, "segments"},
        {"{\"audience\":[\"a\"],\"spiffe_id\":\"spiffe://example.org/other\"}", 403,
         "no identity issued"},
    };
    static const struct {
        const char *token, *part;
    } v[] = {
        {"", "svid must be given"},
        {"a.b", "compact JWS"},
        {"eyJhbGciOiJub25lIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy93ZWIifQ.", "compact JWS"},
        {"eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJhIn0.AAAA", "compact JWS"},
    };
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "spiffe/workload/jwt-svid", t[i].json), t[i].status, t[i].part);
    }
    for (size_t i = 0; i < MLN_COUNT(v); i++) {
        EK_REFUSED(k, validate(k, v[i].token, "db"), 400, v[i].part);
        assert_int_equal(mln_err_grpc(k->err.code), 3);
    }
    EK_REFUSED(k, validate(k, "a.b.c", ""), 400, "audience must be given");
}

/* A change wakes whom it concerns and nobody else, in the request that makes it. */
static void test_topics(void **state)
{
    char mine[64], others[64];
    (void)state;
    SK(k);
    const char *id = sk_entry(k, WEB);
    sk_be(k, ALICE);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    (void)snprintf(mine, sizeof(mine), "%s", k->re.topic);
    assert_int_equal(strlen(mine), 7 + 32);
    sk_be(k, "[\"unix:uid:1000\",\"unix:gid:1000\"]"); /* in another order */
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_equal(k->re.topic, mine);
    sk_be(k, "[\"unix:uid:2000\"]");
    (void)ek_read(k, "spiffe/workload/x509-svids", NULL);
    (void)sk_entry(k,
                   "{\"spiffe_id\":\"spiffe://example.org/b\",\"selectors\":[\"unix:uid:2000\"]}");
    assert_int_equal(k->topics, 1);
    assert_string_not_equal(k->topic, mine);
    (void)snprintf(others, sizeof(others), "%s", k->topic);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_equal(k->re.topic, others);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "c\",\"selectors\":[\"unix:uid:1000\",\"unix:gid:1000\"]}");
    assert_int_equal(k->topics, 1);
    assert_string_equal(k->topic, mine);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "d\",\"selectors\":[\"unix:uid:1000\",\"unix:uid:2000\"]}");
    assert_int_equal(k->topics, 0);
    char path[80];
    (void)snprintf(path, sizeof(path), "spiffe/entries/%s", id);
    EK_WANT(k, ek_write(k, path, "{\"hint\":\"front\"}"), 200);
    assert_int_equal(k->topics, 2); /* as it was and as it is */
    assert_string_equal(k->topic, mine);
    EK_WANT(k, ek_delete(k, path), 204);
    assert_string_equal(k->topic, mine);
    EK_WANT(k, ek_write(k, "spiffe/authority/jwt/prepare", "{}"), 200);
    assert_string_equal(k->topic, "spiffe/");
}

/* At about half of its life an SVID is replaced: whom it concerns is told by the tick. */
static void test_turn(void **state)
{
    char serial[64];
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    (void)snprintf(serial, sizeof(serial), "%s", mln_hex_text(k->cx, sk_leaf(k, 0).serial));
    k->now_ns += 1600 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(k->topics, 0);
    k->now_ns += 400 * SK_SECOND; /* 2000 s: past 1800 + 180 */
    ek_tick(k, 0);
    assert_int_equal(k->topics, 1);
    ek_tick(k, 0);
    assert_int_equal(k->topics, 0); /* told once */
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_not_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
    /* the clock goes back by a day: what was made in its future is replaced too */
    (void)snprintf(serial, sizeof(serial), "%s", mln_hex_text(k->cx, sk_leaf(k, 0).serial));
    k->now_ns -= 86400 * SK_SECOND;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_not_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
    assert_true(sk_is_trusted(k, 0));
    assert_true(sk_leaf(k, 0).not_before_s <= k->now_ns / SK_SECOND);
    /* nobody asks: forgotten when it has expired */
    k->now_ns += 7200 * SK_SECOND;
    ek_tick(k, 0);
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x509),      cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_no_domain), cmocka_unit_test(test_order_and_hints),
        cmocka_unit_test(test_jwt),       cmocka_unit_test(test_jwt_refused),
        cmocka_unit_test(test_topics),    cmocka_unit_test(test_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
