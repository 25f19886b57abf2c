/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's cache: what is kept, for whom, until when, and what a revocation takes with it. */
#include "kit/kit.h"

#include "agent/leases.h"
#include "base/clock.h"

#define OWN  "hvs.own"
#define LEASE(id) "{\"lease_id\":\"" id "\",\"renewable\":true,\"lease_duration\":600,\"data\":{\"p\":1},\"auth\":null}"
#define MADE(token, accessor)                                                                      \
    "{\"lease_id\":\"\",\"auth\":{\"client_token\":\"" token "\",\"accessor\":\"" accessor         \
    "\",\"renewable\":true,\"lease_duration\":600}}"

static struct mln_leased_ask asking(const char *target, const char *token, const char *body)
{
    return (struct mln_leased_ask){.method = MLN_BYTES("POST"),
                                   .target = mln_bytes_of(target),
                                   .token = mln_bytes_of(token),
                                   .body = mln_bytes_of(body)};
}

static bool keep(struct mln_leases *l, struct mln_cx *cx, const char *target, const char *token, const char *answer)
{
    struct mln_leased_ask ask = asking(target, token, "");
    return mln_leases_keep(l, cx, &ask, MLN_BYTES(OWN), mln_bytes_of(answer));
}

static bool has(struct mln_leases *l, struct mln_cx *cx, const char *target, const char *token)
{
    struct mln_leased_ask ask = asking(target, token, "");
    struct mln_leased_key key = mln_leased_key_of(&ask);
    struct mln_bytes body;
    int64_t age_s = -1;
    return mln_leases_find(l, cx, &key, &body, &age_s) && age_s >= 0 && body.len > 0;
}

static void note(struct mln_leases *l, struct mln_cx *cx, const char *target, const char *token, const char *body)
{
    struct mln_leased_ask ask = asking(target, token, body);
    mln_leases_note(l, cx, &ask);
}

static void test_kept(void **state)
{
    static const struct {
        const char *target, *token, *answer;
        bool want;
    } t[] = {
        {"/v1/db/creds/a", OWN, LEASE("db/creds/a/1"), true},
        {"/v1/db/creds/a", OWN, LEASE("db/creds/a/2"), false}, /* there already */
        {"/v1/db/creds/a", "hvs.other", LEASE("db/creds/a/3"), false},
        {"/v1/db/creds/a?x=1", OWN, LEASE("db/creds/a/4"), true},
        {"/v1/auth/token/create", OWN, MADE("hvs.child", "acc1"), true},
        {"/v1/db/creds/a", "hvs.child", LEASE("db/creds/a/5"), true}, /* of a token that is kept */
        {"/v1/auth/token/create", "hvs.other", MADE("hvs.x", "acc2"), false},
        {"/v1/auth/approle/login", "", MADE("hvs.login", "acc3"), true},
        {"/v1/auth/token/renew-self", OWN, MADE(OWN, "acc4"), false},
        {"/v1/auth/token/renew", OWN, MADE(OWN, "acc4"), false},
        {"/v1/sys/leases/renew", OWN, LEASE("db/creds/a/1"), false},
        {"/v1/secret/data/a", OWN, "{\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":{}}", false},
        {"/v1/secret/a", OWN, "{\"lease_id\":\"\",\"renewable\":true,\"lease_duration\":600,\"data\":{}}", false},
        {"/v1/db/creds/b", OWN, "{\"lease_id\":\"db/b/1\",\"renewable\":false,\"lease_duration\":600}", false},
        {"/v1/db/creds/c", OWN, "{\"lease_id\":\"db/c/1\",\"renewable\":true,\"lease_duration\":0}", false},
        {"/v1/db/creds/d", OWN, "{\"lease_id\":\"db/d/1\",\"renewable\":true,\"lease_duration\":-5}", false},
        {"/v1/db/creds/e", OWN, "no JSON", false},
        {"/v1/db/creds/f", OWN, "[1]", false},
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_leases *l = NULL;
    kit_ok(cx, mln_leases_new(cx, &l));
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (keep(l, cx, t[i].target, t[i].token, t[i].answer) != t[i].want) {
            fail_msg("row %zu: %s", i, t[i].target);
        }
    }
    assert_true(has(l, cx, "/v1/db/creds/a", OWN));
    assert_false(has(l, cx, "/v1/db/creds/a", "hvs.other"));
    assert_false(has(l, cx, "/v1/db/creds/a", ""));
    mln_leases_free(l);
}

/* What the parts of two requests together say the same is not the same. */
static void test_key(void **state)
{
    struct mln_leased_ask a = asking("/v1/a", "t", "bc"), b = asking("/v1/a", "tb", "c");
    struct mln_leased_key x = mln_leased_key_of(&a), y = mln_leased_key_of(&b), z = mln_leased_key_of(&a);
    (void)state;
    assert_memory_not_equal(x.hash, y.hash, sizeof(x.hash));
    assert_memory_equal(x.hash, z.hash, sizeof(x.hash));
}

/* own -> parent -> child, each with a lease. */
static struct mln_leases *family(struct mln_cx *cx)
{
    struct mln_leases *l = NULL;
    kit_ok(cx, mln_leases_new(cx, &l));
    assert_true(keep(l, cx, "/v1/db/creds/a", OWN, LEASE("db/creds/a/1")));
    assert_true(keep(l, cx, "/v1/auth/token/create", OWN, MADE("hvs.parent", "accp")));
    assert_true(keep(l, cx, "/v1/db/creds/a", "hvs.parent", LEASE("db/creds/a/2")));
    assert_true(keep(l, cx, "/v1/auth/token/create", "hvs.parent", MADE("hvs.child", "accc")));
    assert_true(keep(l, cx, "/v1/db/creds/b", "hvs.child", LEASE("db/creds/b/3")));
    return l;
}

static void test_forgotten(void **state)
{
    static const struct {
        const char *target, *token, *body;
        const char *left; /* of: lease, parent, its lease, child, its lease */
    } t[] = {
        {"/v1/auth/token/revoke", OWN, "{\"token\":\"hvs.parent\"}", "10000"},
        {"/v1/auth/token/revoke", OWN, "{\"token\":\"hvs.child\"}", "11100"},
        {"/v1/auth/token/revoke", OWN, "{\"token\":\"hvs.par\"}", "11111"},
        {"/v1/auth/token/revoke", OWN, "no JSON", "11111"},
        {"/v1/auth/token/revoke", OWN, "{}", "11111"},
        {"/v1/auth/token/revoke-orphan", OWN, "{\"token\":\"hvs.child\"}", "11100"},
        {"/v1/auth/token/revoke-self", "hvs.parent", "", "10000"},
        {"/v1/auth/token/revoke-self", OWN, "", "00000"},
        {"/v1/auth/token/revoke-accessor", OWN, "{\"accessor\":\"accc\"}", "11100"},
        {"/v1/sys/leases/revoke", OWN, "{\"lease_id\":\"db/creds/a/2\"}", "11011"},
        {"/v1/sys/leases/revoke/db/creds/a/1", OWN, "", "01111"},
        {"/v1/sys/leases/revoke-prefix/db/creds/a", OWN, "", "01011"},
        {"/v1/sys/leases/revoke-force/db", OWN, "", "01010"},
        {"/v1/sys/leases/lookup", OWN, "{\"lease_id\":\"db/creds/a/2\"}", "11111"},
    };
    static const char *const rows[][2] = {{"/v1/db/creds/a", OWN},
                                          {"/v1/auth/token/create", OWN},
                                          {"/v1/db/creds/a", "hvs.parent"},
                                          {"/v1/auth/token/create", "hvs.parent"},
                                          {"/v1/db/creds/b", "hvs.child"}};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_leases *l = family(cx);
        note(l, cx, t[i].target, t[i].token, t[i].body);
        for (size_t k = 0; k < MLN_COUNT(rows); k++) {
            if (has(l, cx, rows[k][0], rows[k][1]) != (t[i].left[k] == '1')) {
                fail_msg("row %zu, entry %zu: %s", i, k, t[i].target);
            }
        }
        mln_leases_free(l);
    }
}

static void test_clear(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_leases *l = family(cx);
    assert_false(mln_leases_clear(l, MLN_BYTES("what"), MLN_BYTES("x")));
    assert_true(mln_leases_clear(l, MLN_BYTES("request_path"), MLN_BYTES("/v1/db/creds/b")));
    assert_false(has(l, cx, "/v1/db/creds/b", "hvs.child"));
    assert_true(mln_leases_clear(l, MLN_BYTES("lease"), MLN_BYTES("")));
    assert_true(has(l, cx, "/v1/db/creds/a", OWN));
    assert_true(mln_leases_clear(l, MLN_BYTES("all"), MLN_BYTES("")));
    assert_false(has(l, cx, "/v1/db/creds/a", OWN));
    mln_leases_free(l);
}

static void test_renewed(void **state)
{
    static const struct {
        int64_t left_s;
        bool stays;
    } t[] = {{600, true}, {200, true}, {199, false}, {0, false}, {-1, true}};
    struct mln_cx *cx = kit_cx(state);
    struct mln_leased_due due;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_leases *l = family(cx);
        struct mln_leased_ask ask = asking("/v1/auth/token/create", OWN, "");
        struct mln_leased_key key = mln_leased_key_of(&ask);
        int64_t now = mln_mono_ns(), next = mln_leases_next_ns(l);
        assert_true(next > now + INT64_C(390000000000) && next <= now + INT64_C(400000000000)); /* 2/3 of 600 s */
        assert_false(mln_leases_due(l, cx, &due));
        mln_leases_renewed(l, &key, t[i].left_s);
        assert_int_equal(has(l, cx, "/v1/auth/token/create", OWN), t[i].stays);
        assert_int_equal(has(l, cx, "/v1/db/creds/b", "hvs.child"), t[i].stays); /* a grandchild's */
        mln_leases_free(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_kept), KIT_TEST(test_key), KIT_TEST(test_forgotten),
                                       KIT_TEST(test_clear), KIT_TEST(test_renewed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
