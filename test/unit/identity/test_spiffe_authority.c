/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities over time: rotation with overlap, by hand and by the clock, clocks that jump, kinds of keys. */
#include "unit/identity/spiffe_kit.h"

#define ALICE "[\"unix:uid:1000\"]"
#define WEB   "{\"spiffe_id\":\"spiffe://example.org/web\",\"selectors\":[\"unix:uid:1000\"]}"

/* Ids of authorities in a state; the first is copied. */
static size_t in_state(struct ek *k, const char *kind, const char *state, char id[80])
{
    char path[64];
    size_t n = 0;
    (void)snprintf(path, sizeof(path), "spiffe/authority/%s", kind);
    EK_WANT(k, ek_list(k, path), 200);
    const struct mln_value *info = mln_get(k->re.data, "key_info");
    for (size_t i = 0; i < mln_len(info); i++) {
        const struct mln_member *m = mln_member_at(info, i);
        assert_null(mln_get(&m->value, "key"));
        if (mln_is_text(mln_get(&m->value, "state"), state)) {
            if (n++ == 0 && id != NULL) {
                (void)snprintf(id, 80, "%.*s", MLN_FMT(m->key));
            }
        }
    }
    return n;
}

static int turn(struct ek *k, const char *kind, const char *verb, const char *id)
{
    char path[64], json[128];
    (void)snprintf(path, sizeof(path), "spiffe/authority/%s/%s", kind, verb);
    (void)snprintf(json, sizeof(json), "{\"authority_id\":\"%s\"}", id);
    return ek_write(k, path, json);
}

static int64_t sequence(struct ek *k)
{
    EK_WANT(k, ek_read(k, "spiffe/bundle", NULL), 200);
    return mln_get_int(mln_get(mln_get(k->re.data, "bundle"), "spiffe_sequence"), -1);
}

static bool has_root(struct mln_bytes bundle, const uint8_t *root, size_t n)
{
    return mln_bytes_find_bytes(bundle, mln_bytes_at(root, n)) < bundle.len;
}

/*
 * Eight days, every ten minutes: what is given out always verifies by what is given out, and by the bundle that somebody fetched one
 * step before: no handshake can fail.
 */
static void test_rotation(void **state)
{
    static uint8_t before[8192];
    size_t before_n = 0, authorities = 0;
    char last[80] = "", active[80];
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    for (int step = 0; step < 8 * 144; step++) {
        ek_tick(k, 0);
        kit_ok(k->cx, k->err);
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        assert_true(sk_is_trusted(k, 0));
        struct mln_x509_info leaf = sk_leaf(k, 0);
        int64_t now_s = k->now_ns / SK_SECOND;
        assert_true(leaf.not_before_s <= now_s && leaf.not_after_s > now_s + 600);
        struct mln_bytes bundle = mln_get_bytes(mln_get(sk_svid(k, 0), "bundle"));
        assert_true(sk_bundle_size(bundle) <= 3);
        bool is_known = before_n == 0;
        for (size_t at = 0, n; at < before_n; at += n) {
            n = sp_der_length(mln_bytes_at(before + at, before_n - at));
            struct mln_bytes chain = mln_get_bytes(mln_get(sk_svid(k, 0), "chain"));
            struct mln_bytes own = mln_bytes_sub(chain, 0, sp_der_length(chain));
            is_known = is_known ||
                       !mln_failed(mln_x509_cert_verify(k->cx, own, mln_bytes_at(before + at, n)));
            mln_cx_clear(k->cx);
        }
        assert_true(is_known);
        assert_true(bundle.len <= sizeof(before));
        mln_copy(before, bundle.ptr, bundle.len);
        before_n = bundle.len;
        assert_int_equal(in_state(k, "x509", "active", active), 1);
        authorities += strcmp(active, last) != 0;
        (void)snprintf(last, sizeof(last), "%s", active);
        k->now_ns += 600 * SK_SECOND;
    }
    assert_in_range(authorities, 15, 17); /* one is made each 12 hours */
    assert_true(has_root(mln_bytes_at(before, before_n), before,
                         sp_der_length(mln_bytes_at(before, before_n))));
}

static void test_by_hand(void **state)
{
    static const char *const kinds[] = {"x509", "jwt"};
    char active[80], prepared[80], was[80];
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        assert_int_equal(in_state(k, kinds[i], "active", active), 1);
        int64_t first = sequence(k);
        EK_REFUSED(k, turn(k, kinds[i], "activate", active), 400, "only one that is prepared");
        EK_REFUSED(k, turn(k, kinds[i], "taint", active), 400, "only one that is old");
        EK_REFUSED(k, turn(k, kinds[i], "revoke", active), 400, "only one that is old or tainted");
        EK_REFUSED(k, turn(k, kinds[i], "activate", "none"), 404, "no such authority");
        EK_WANT(k, turn(k, kinds[i], "prepare", ""), 200);
        assert_true(sequence(k) > first);
        EK_WANT(k, turn(k, kinds[i], "prepare", ""), 200); /* replaces it */
        assert_int_equal(in_state(k, kinds[i], "prepared", prepared), 1);
        EK_WANT(k, turn(k, kinds[i], "activate", prepared), 200);
        assert_int_equal(in_state(k, kinds[i], "active", was), 1);
        assert_string_equal(was, prepared);
        assert_int_equal(in_state(k, kinds[i], "old", was), 1);
        assert_string_equal(was, active);
    }
    EK_REFUSED(k, ek_write(k, "spiffe/authority/ssh/prepare", "{}"), 400, "x509 or jwt");
    EK_WANT(k, ek_read(k, "spiffe/authority/x509/none", NULL), 404);
}

/* What a tainted authority signed is replaced at once; a revoked one's tokens and certificates count no more. */
static void test_taint(void **state)
{
    char old[80], next[80], serial[64], token[2048], json[4096];
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    (void)snprintf(serial, sizeof(serial), "%s", mln_hex_text(k->cx, sk_leaf(k, 0).serial));
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
    (void)snprintf(token, sizeof(token), "%s",
                   mln_get_text(k->cx, mln_get(sk_svid(k, 0), "svid"), ""));
    (void)snprintf(json, sizeof(json), "{\"svid\":\"%s\",\"audience\":\"a\"}", token);
    for (size_t i = 0; i < 2; i++) {
        const char *kind = i == 0 ? "x509" : "jwt";
        assert_int_equal(in_state(k, kind, "active", old), 1);
        EK_WANT(k, turn(k, kind, "prepare", ""), 200);
        assert_int_equal(in_state(k, kind, "prepared", next), 1);
        EK_WANT(k, turn(k, kind, "activate", next), 200);
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        if (i == 0) { /* an old authority's SVIDs live on */
            assert_string_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
        }
        EK_WANT(k, ek_write(k, "spiffe/workload/validate", json), 200);
        EK_WANT(k, turn(k, kind, "taint", old), 200);
        assert_string_equal(k->topic, "spiffe/");
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        assert_string_not_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
        assert_int_equal(sk_bundle_size(mln_get_bytes(mln_get(sk_svid(k, 0), "bundle"))),
                         i == 0 ? 2 : 1);
        EK_WANT(k, ek_write(k, "spiffe/workload/validate", json), 200);
        EK_WANT(k, turn(k, kind, "revoke", old), 200);
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        assert_int_equal(sk_bundle_size(mln_get_bytes(mln_get(sk_svid(k, 0), "bundle"))), 1);
        assert_true(sk_is_trusted(k, 0));
    }
    EK_REFUSED(k, ek_write(k, "spiffe/workload/validate", json), 400,
               "not in the trust domain's bundle");
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
    assert_false(mln_is_text(mln_get(sk_svid(k, 0), "svid"), token));
}

/* Off for a month, set back by a month: the next tick makes what is needed. */
static void test_jumps(void **state)
{
    static const int64_t jumps_s[] = {30 * 86400, -30 * 86400, -30 * 86400, 400 * 86400};
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    for (size_t i = 0; i < MLN_COUNT(jumps_s); i++) {
        k->now_ns += jumps_s[i] * SK_SECOND;
        ek_tick(k, 0);
        kit_ok(k->cx, k->err);
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        assert_true(sk_is_trusted(k, 0));
        int64_t now_s = k->now_ns / SK_SECOND;
        assert_true(sk_leaf(k, 0).not_before_s <= now_s && sk_leaf(k, 0).not_after_s > now_s);
        EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
        assert_int_equal(in_state(k, "x509", "active", NULL), 1);
        assert_int_equal(in_state(k, "jwt", "active", NULL), 1);
    }
    k->now_ns += 30 * 86400 * SK_SECOND; /* before the tick: it passes, and says so */
    (void)ek_read(k, "spiffe/workload/x509-svids", NULL);
    assert_true(mln_is(k->err, MLN_E_UNREACHABLE));
    (void)ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}");
    assert_true(mln_is(k->err, MLN_E_UNREACHABLE));
}

static void test_kinds(void **state)
{
    static const struct {
        const char *config;
        enum mln_key_kind kind;
        unsigned bits;
        const char *alg;
    } t[] = {
        {"{\"ca_key_type\":\"ec-p384\",\"workload_key_type\":\"ec-p384\",\"jwt_alg\":\"ES384\"}",
         MLN_KEY_EC, 384, "ES384"},
        {"{\"ca_key_type\":\"rsa-2048\",\"workload_key_type\":\"rsa-2048\",\"jwt_alg\":\"RS256\"}",
         MLN_KEY_RSA, 2048, "RS256"},
    };
    static const char *const refused[] = {"{\"ca_key_type\":\"rsa-1024\"}",
                                          "{\"jwt_alg\":\"HS256\"}",
                                          "{\"jwt_alg\":\"EdDSA\"}",
                                          "{\"x509_svid_ttl\":\"1s\"}",
                                          "{\"ca_ttl\":-1}",
                                          "{\"jwt_issuer\":\"example.org\"}",
                                          "{\"jwt_issuer\":\"https://a/?b\"}"};
    (void)state;
    SK(k);
    (void)sk_entry(k, WEB);
    sk_be(k, ALICE);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char id[80];
        EK_WANT(k, ek_write(k, "spiffe/config", t[i].config), 204);
        for (size_t kind = 0; kind < 2; kind++) {
            EK_WANT(k, turn(k, kind == 0 ? "x509" : "jwt", "prepare", ""), 200);
            assert_int_equal(in_state(k, kind == 0 ? "x509" : "jwt", "prepared", id), 1);
            EK_WANT(k, turn(k, kind == 0 ? "x509" : "jwt", "activate", id), 200);
        }
        k->now_ns += 2400 * SK_SECOND;
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        assert_true(sk_is_trusted(k, 0));
        struct mln_x509_info leaf = sk_leaf(k, 0);
        assert_true(leaf.kind == t[i].kind && leaf.bits == t[i].bits);
        EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
        struct mln_jose_token token;
        kit_ok(k->cx, mln_jose_parse(k->cx, mln_get_bytes(mln_get(sk_svid(k, 0), "svid")), &token));
        assert_string_equal(mln_jose_alg_name(token.alg), t[i].alg);
    }
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        EK_WANT(k, ek_write(k, "spiffe/config", refused[i]), 400);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation), cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_taint),    cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
