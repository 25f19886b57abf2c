/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relationships with other trust domains: what is asked of their bundle endpoints and when, what an answer changes, what counts of their
 * ids. The other domain is a second engine; the world outside is this program. Entries that expire are told here too.
 */
#include "unit/identity/spiffe_kit.h"

#define OTHER    "other.example"
#define RELATION "spiffe/federation/" OTHER
#define WEB_URL  "\"url\":\"https://other.example/bundle\""
#define SPIFFE                                                                                     \
    "{\"url\":\"https://other.example:8443/\",\"profile\":\"https_spiffe\","                       \
    "\"endpoint_spiffe_id\":\"spiffe://other.example/merlon/server\"}"

/* What was asked outside by errands, oldest first; each lives in a context of its own. */
static struct errand {
    struct mln_cx *cx;
    const struct mln_value *ask, *arg;
    mln_then then;
} errands[4];
static size_t errands_n;
static enum mln_code errand_code;

static struct mln_err take_errand(struct mln_request *rq, const struct mln_value *ask,
                                  mln_then then, const struct mln_value *arg)
{
    if (errand_code != MLN_E_OK) {
        return mln_fail(rq->cx, errand_code, "as the test wishes");
    }
    assert_true(errands_n < MLN_COUNT(errands));
    struct errand *e = &errands[errands_n++];
    e->cx = kit_cx_new();
    e->ask = mln_value_dup(e->cx, ask);
    e->arg = mln_value_dup(e->cx, arg);
    e->then = then;
    return MLN_OK;
}

static void forget_errands(void)
{
    while (errands_n > 0) {
        kit_cx_free(errands[--errands_n].cx);
    }
}

/* The world answers the first errand: a body with status 200, or NULL: it could not be reached. */
static void answer(struct ek *k, const char *body)
{
    struct mln_request rq;
    assert_true(errands_n > 0);
    ek_begin(k, &rq);
    rq.mount = &k->mounts[0];
    struct mln_value *got = body != NULL ? mln_object(k->cx) : NULL;
    if (body != NULL) {
        mln_put_int(k->cx, got, "status", 200);
        mln_put_text(k->cx, got, "body", body);
    }
    ek_end(k, errands[0].then(&rq, errands[0].arg, got, body != NULL ? NULL : "nobody is there"));
    kit_ok(k->cx, k->err);
    forget_errands();
}

/* The bundle of the other domain as a JSON text, and an ES256 token of it. */
static char bundle[8192], bundle_body[8300], token[2048];

static void other_domain(void)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct ek *k = ek_new();
    k->now_ns = 1795336877 * SK_SECOND;
    ek_mount(k, "spiffe/", &mln_identity_spiffe, "5e0f9b2a-0000-4000-8000-000000000001");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"trust_domain\":\"" OTHER "\"}"), 204);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://" OTHER
                      "/ns/prod/sa/web\",\"selectors\":[\"unix:uid:1000\"]}");
    EK_WANT(k, ek_read(k, "spiffe/bundle/endpoint", NULL), 204);
    mln_json_print(&out, k->re.bare, MLN_JSON_COMPACT);
    mln_buf_add_byte(&out, 0);
    (void)snprintf(bundle, sizeof(bundle), "%s", (const char *)out.ptr);
    (void)snprintf(bundle_body, sizeof(bundle_body), "{\"bundle\":%s}", bundle);
    sk_be(k, "[\"unix:uid:1000\"]");
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
    (void)snprintf(token, sizeof(token), "%s",
                   mln_get_text(k->cx, mln_get(sk_svid(k, 0), "svid"), ""));
    sk_be(k, NULL);
    ek_free(k);
}

static struct ek *kit(void)
{
    other_domain();
    struct ek *k = sk_new();
    k->services.errand = take_errand;
    errand_code = MLN_E_OK;
    return k;
}

static void drop(struct ek **k)
{
    forget_errands();
    sk_drop(k);
}
#define FK(name) MLN_AUTO(drop) struct ek *name = kit()

static void test_web(void **state)
{
    (void)state;
    FK(k);
    ek_tick(k, 0);
    assert_int_equal(errands_n, 0);
    EK_WANT(k, ek_write(k, RELATION, "{" WEB_URL "}"), 200);
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    assert_int_equal(errands_n, 1);
    assert_false(k->wrote);
    EK_VALUE(k, errands[0].ask,
             "{\"kind\":\"http\",\"method\":\"GET\",\"timeout_ms\":5000,\"url\":\"https://"
             "other.example/bundle\"}");
    k->now_ns += 5 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(errands_n, 1); /* it is being asked */
    answer(k, bundle);
    EK_WANT(k, ek_read(k, "spiffe/bundles/" OTHER, NULL), 200);
    EK_WANT(k, ek_read(k, RELATION, NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "refreshed_at"), 0), k->now_ns / SK_SECOND);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "next_at"), 0),
                     k->now_ns / SK_SECOND + 300); /* the publisher's hint */
    k->now_ns += 299 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(errands_n, 0);
    k->now_ns += 1 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(errands_n, 1);
}

static void test_failures(void **state)
{
    static const char *const bodies[] = {NULL, "{}", "nonsense", "{\"keys\":[]}"};
    (void)state;
    FK(k);
    EK_WANT(k, ek_write(k, RELATION, "{" WEB_URL "}"), 200);
    ek_tick(k, 0);
    answer(k, bundle);
    k->now_ns += 300 * SK_SECOND;
    for (size_t i = 0; i < MLN_COUNT(bodies); i++) {
        ek_tick(k, 0);
        assert_int_equal(errands_n, 1);
        answer(k, bodies[i]);
        EK_WANT(k, ek_read(k, RELATION, NULL), 200);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "failures"), 0), i + 1);
        assert_true(mln_len(mln_get(k->re.data, "error")) > 0);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "next_at"), 0),
                         k->now_ns / SK_SECOND + (5 << i));
        EK_WANT(k, ek_read(k, "spiffe/bundles/" OTHER, NULL), 200); /* what is held stays */
        k->now_ns += (5 << i) * SK_SECOND;
    }
    ek_tick(k, 0);
    answer(k, bundle);
    EK_WANT(k, ek_read(k, RELATION, NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "failures"), 9), 0);
    assert_int_equal(mln_len(mln_get(k->re.data, "error")), 0);
}

/* More is asked than may be at once, an answer never comes, the relationship ends or moves while it is asked. */
static void test_errands(void **state)
{
    (void)state;
    FK(k);
    EK_WANT(k, ek_write(k, RELATION, "{" WEB_URL "}"), 200);
    errand_code = MLN_E_LIMIT;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    EK_WANT(k, ek_read(k, RELATION, NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "failures"), 9), 0);
    errand_code = MLN_E_UNSUPPORTED;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    EK_WANT(k, ek_read(k, RELATION, NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "failures"), 0), 1);
    errand_code = MLN_E_OK;
    k->now_ns += 5 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(errands_n, 1);
    forget_errands(); /* lost */
    k->now_ns += 59 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(errands_n, 0);
    k->now_ns += 1 * SK_SECOND;
    ek_tick(k, 0);
    assert_int_equal(errands_n, 1);
    EK_WANT(k, ek_write(k, RELATION, "{\"url\":\"https://elsewhere.example/\"}"), 200);
    answer(k, bundle);
    EK_WANT(k, ek_read(k, "spiffe/bundles/" OTHER, NULL), 404);
    ek_tick(k, 0);
    assert_int_equal(errands_n, 1);
    EK_WANT(k, ek_delete(k, RELATION), 204);
    answer(k, bundle);
    EK_WANT(k, ek_read(k, "spiffe/bundles/" OTHER, NULL), 404);
}

static void test_spiffe(void **state)
{
    (void)state;
    FK(k);
    EK_REFUSED(k, ek_write(k, RELATION, SPIFFE), 400, "give a first one");
    EK_WANT(k, ek_write(k, "spiffe/bundles/" OTHER, bundle_body), 204);
    EK_WANT(k, ek_write(k, RELATION, SPIFFE), 200);
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    assert_int_equal(errands_n, 1);
    assert_true(
        mln_is_text(mln_get(errands[0].ask, "spiffe_id"), "spiffe://other.example/merlon/server"));
    struct mln_bytes pem = mln_get_bytes(mln_get(errands[0].ask, "ca_pem"));
    assert_true(mln_bytes_starts(pem, MLN_BYTES("-----BEGIN CERTIFICATE-----\n")));
    answer(k, bundle);
    EK_WANT(k, ek_read(k, RELATION, NULL), 200);
    assert_true(mln_get_int(mln_get(k->re.data, "refreshed_at"), 0) > 0);
    /* its bundle is taken away: nothing is asked unverified */
    EK_WANT(k, ek_delete(k, "spiffe/bundles/" OTHER), 204);
    k->now_ns += 300 * SK_SECOND;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    assert_int_equal(errands_n, 0);
    EK_WANT(k, ek_read(k, RELATION, NULL), 200);
    assert_true(mln_bytes_find_bytes(mln_get_bytes(mln_get(k->re.data, "error")),
                                     MLN_BYTES("no bundle of")) <
                mln_len(mln_get(k->re.data, "error")));
    /* with the relationship comes a first one */
    char body[9000];
    (void)snprintf(body, sizeof(body), "{\"bundle\":%s}", bundle);
    EK_WANT(k, ek_write(k, RELATION, body), 200);
    ek_tick(k, 0);
    assert_int_equal(errands_n, 1);
}

static void test_refused(void **state)
{
    static const struct {
        const char *json, *why;
    } t[] = {
        {"{}", "url must be"},
        {"{\"url\":\"http://other.example/\"}", "url must be"},
        {"{" WEB_URL ",\"profile\":\"web\"}", "https_web or https_spiffe"},
        {"{" WEB_URL ",\"endpoint_spiffe_id\":\"spiffe://other.example/a\"}", "is for the profile"},
        {"{" WEB_URL ",\"profile\":\"https_spiffe\"}", "endpoint_spiffe_id must be"},
        {"{" WEB_URL
         ",\"profile\":\"https_spiffe\",\"endpoint_spiffe_id\":\"spiffe://other.example\"}",
         "endpoint_spiffe_id must be"},
        {"{" WEB_URL
         ",\"profile\":\"https_spiffe\",\"endpoint_spiffe_id\":\"spiffe://none.example/a\"}",
         "no bundle of none.example"},
        {"{" WEB_URL ",\"profile\":\"https_spiffe\",\"endpoint_spiffe_id\":\"spiffe://example.org/"
                     "a\",\"ca_pem\":\"x\"}",
         "ca_pem is for"},
        {"{" WEB_URL ",\"allowed_ids\":\"spiffe://example.org/**\"}", "of that trust domain"},
        {"{" WEB_URL ",\"bundle\":{\"keys\":[]}}", "no key"},
    };
    (void)state;
    FK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, RELATION, t[i].json), 400, t[i].why);
        EK_WANT(k, ek_read(k, RELATION, NULL), 404);
    }
    EK_REFUSED(k, ek_write(k, "spiffe/federation/example.org", "{" WEB_URL "}"), 400, "itself");
}

static int validate(struct ek *k)
{
    char json[2200];
    (void)snprintf(json, sizeof(json), "{\"audience\":\"a\",\"svid\":\"%s\"}", token);
    return ek_write(k, "spiffe/workload/validate", json);
}

static void test_policy(void **state)
{
    (void)state;
    FK(k);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/"
                      "me\",\"selectors\":[\"unix:uid:1000\"],\"federates_with\":[\"" OTHER "\"]}");
    sk_be(k, "[\"unix:uid:1000\"]");
    EK_REFUSED(k, validate(k), 400, "not known here");
    EK_WANT(k, ek_write(k, "spiffe/bundles/" OTHER, bundle_body), 204);
    EK_WANT(k, validate(k), 200); /* no relationship: nothing narrows it */
    EK_WANT(k,
            ek_write(k, RELATION,
                     "{" WEB_URL ",\"allowed_ids\":\"spiffe://other.example/ns/test/**\"}"),
            200);
    EK_REFUSED(k, validate(k), 400, "does not take this identity");
    EK_WANT(k,
            ek_write(k, RELATION,
                     "{\"allowed_ids\":[\"spiffe://other.example/a\",\"spiffe://other.example/ns/*/"
                     "sa/web\"]}"),
            200);
    EK_WANT(k, validate(k), 200);
    assert_true(
        mln_is_text(mln_get(k->re.data, "spiffe_id"), "spiffe://other.example/ns/prod/sa/web"));
}

/* The second in which an entry expires, whom it concerns is told. */
static void test_expiry(void **state)
{
    char json[256];
    (void)state;
    FK(k);
    int64_t now_s = k->now_ns / SK_SECOND;
    sk_be(k, "[\"unix:uid:1000\"]");
    for (int i = 0; i < 3; i++) { /* in 30, 20 and 10 seconds */
        (void)snprintf(json, sizeof(json),
                       "{\"spiffe_id\":\"spiffe://example.org/"
                       "%d\",\"selectors\":[\"unix:uid:1000\"],\"expires_at\":%lld}",
                       i, (long long)(now_s + 30 - 10 * i));
        (void)sk_entry(k, json);
    }
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "svids")), 3);
    for (int at = 1; at <= 40; at++) {
        k->now_ns += SK_SECOND;
        ek_tick(k, 0);
        kit_ok(k->cx, k->err);
        assert_int_equal(k->topics, at % 10 == 0 && at <= 30 ? 1 : 0);
    }
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 403);
    /* one that gets an end later, and a clock that is set back */
    k->now_ns -= 35 * SK_SECOND;
    ek_tick(k, 0);
    k->now_ns += 6 * SK_SECOND; /* 11 s after the start: the third is over again */
    ek_tick(k, 0);
    assert_int_equal(k->topics, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_web),     cmocka_unit_test(test_failures),
        cmocka_unit_test(test_errands), cmocka_unit_test(test_spiffe),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_policy),
        cmocka_unit_test(test_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
