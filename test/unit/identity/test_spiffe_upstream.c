/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X.509 authority signed by a pki mount: what workloads and bundles show, rotation of both, and a mount that is gone, allows no
 * authority below it or is none at all.
 */
#include "unit/identity/spiffe_kit.h"

#include "crypto/x509_chain.h"

extern const struct mln_engine mln_engine_pki;

#define WEB "{\"spiffe_id\":\"spiffe://example.org/web\",\"selectors\":[\"unix:uid:1000\"]}"

/* A member of the answer as a JSON text for the next request. */
static const char *quoted(struct ek *k, const struct mln_value *v)
{
    static char texts[2][8192];
    static size_t at;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    char *to = texts[at++ % 2];
    mln_json_print(&out, v, MLN_JSON_COMPACT);
    assert_true(out.len < 8192);
    (void)snprintf(to, 8192, "%.*s", MLN_FMT(mln_buf_bytes(&out)));
    (void)k;
    return to;
}

/* "pki/" is a root, "int/" an intermediate below it. */
static struct ek *kit(const char *length)
{
    char json[9000];
    struct ek *k = sk_new();
    ek_mount(k, "pki/", &mln_engine_pki, "7e0f9b2a-0000-4000-8000-000000000000");
    ek_mount(k, "int/", &mln_engine_pki, "8e0f9b2a-0000-4000-8000-000000000000");
    k->mounts[1].max_ttl_s = k->mounts[2].max_ttl_s = 10LL * 365 * 86400;
    EK_WANT(
        k,
        ek_write(k, "pki/root/generate/internal", "{\"common_name\":\"Top\",\"ttl\":\"87600h\"}"),
        200);
    EK_WANT(k, ek_write(k, "int/intermediate/generate/internal", "{\"common_name\":\"Middle\"}"),
            200);
    (void)snprintf(
        json, sizeof(json),
        "{\"csr\":%s,\"common_name\":\"Middle\",\"ttl\":\"8760h\",\"max_path_length\":%s}",
        quoted(k, mln_get(k->re.data, "csr")), length);
    EK_WANT(k, ek_write(k, "pki/root/sign-intermediate", json), 200);
    struct mln_value *chain = mln_array(k->cx);
    char pem[6000];
    (void)snprintf(pem, sizeof(pem), "%s\n%s", ek_text(k, "certificate"),
                   mln_get_text(k->cx, mln_item(mln_get(k->re.data, "ca_chain"), 1), ""));
    mln_push_text(k->cx, chain, pem);
    (void)snprintf(json, sizeof(json), "{\"certificate\":%s}", quoted(k, mln_item(chain, 0)));
    EK_WANT(k, ek_write(k, "int/intermediate/set-signed", json), 200);
    (void)sk_entry(k, WEB);
    k->now_ns += SK_SECOND; /* authorities are shown by age */
    return k;
}

static void drop(struct ek **k)
{
    sk_drop(k);
}
#define UK(name, length) MLN_AUTO(drop) struct ek *name = kit(length)

/* There is room for a few only. */
static void forget_peers(struct ek *k)
{
    k->peer = NULL;
    while (sk_peers_n > 0) {
        kit_cx_free(sk_peers[--sk_peers_n].cx);
    }
}

static size_t pieces(struct mln_bytes all, struct mln_bytes *ret)
{
    size_t count = 0;
    for (size_t n; all.len > 0; all = mln_bytes_from(all, n)) {
        n = sp_der_length(all);
        assert_true(n > 0 && count < 8);
        ret[count++] = mln_bytes_sub(all, 0, n);
    }
    return count;
}

/* The workload's chain leads to its bundle; how many certificates are in each. */
static void look(struct ek *k, size_t in_chain, size_t in_bundle, const char *top)
{
    struct mln_bytes certs[8], roots[8];
    struct mln_x509_info info;
    sk_be(k, "[\"unix:uid:1000\"]");
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    size_t n = pieces(mln_get_bytes(mln_get(sk_svid(k, 0), "chain")), certs),
           n_roots = pieces(mln_get_bytes(mln_get(sk_svid(k, 0), "bundle")), roots);
    assert_int_equal(n, in_chain);
    assert_int_equal(n_roots, in_bundle);
    struct mln_x509_chain chain = {
        .certs = certs, .n = n, .roots = roots, .n_roots = n_roots, .now_s = k->now_ns / SK_SECOND};
    kit_ok(k->cx, mln_x509_chain_verify(k->cx, &chain));
    kit_ok(k->cx, mln_x509_cert_read(k->cx, roots[n_roots - 1], &info));
    assert_true(mln_bytes_find_bytes(info.subject, mln_bytes_of(top)) < info.subject.len);
}

static const char *authority(struct ek *k, const char *state)
{
    static char id[80];
    EK_WANT(k, ek_list(k, "spiffe/authority/x509"), 200);
    const struct mln_value *info = mln_get(k->re.data, "key_info");
    id[0] = 0;
    for (size_t i = 0; i < mln_len(info); i++) {
        if (mln_is_text(mln_get(&mln_member_at(info, i)->value, "state"), state)) {
            (void)snprintf(id, sizeof(id), "%.*s", MLN_FMT(mln_member_at(info, i)->key));
        }
    }
    return id;
}

static void activate(struct ek *k)
{
    char json[128];
    (void)snprintf(json, sizeof(json), "{\"authority_id\":\"%s\"}", authority(k, "prepared"));
    EK_WANT(k, ek_write(k, "spiffe/authority/x509/activate", json), 200);
}

/* What the configuration says is wrong with the upstream. */
static bool says(struct ek *k, const char *part)
{
    EK_WANT(k, ek_read(k, "spiffe/config", NULL), 200);
    const char *said = ek_text(k, "upstream_error");
    return part[0] == 0 ? said[0] == 0 : strstr(said, part) != NULL;
}

static void test_chain(void **state)
{
    (void)state;
    UK(k, "-1");
    look(k, 1, 1, "example.org");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"upstream\":\"int/\"}"), 204);
    look(k, 1, 2, "Top"); /* the root is known before it counts */
    activate(k);
    look(k, 1, 2, "Top"); /* an SVID that is there lives on */
    k->now_ns += 2000 * SK_SECOND;
    look(k, 3, 2, "Top"); /* leaf, ours, Middle */
    assert_true(says(k, ""));
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"upstream\":\"pki/\"}"), 204);
    activate(k);
    k->now_ns += 2000 * SK_SECOND;
    look(k, 2, 2, "Top"); /* leaf, ours; the same root once */
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"upstream\":\"\"}"), 204);
    activate(k);
    k->now_ns += 2000 * SK_SECOND;
    look(k, 1, 3, "example.org");
}

/* Days pass: authorities turn by the clock, the upstream's root turns under them, and nobody's chain ever breaks. */
static void test_rotation(void **state)
{
    (void)state;
    UK(k, "-1");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"upstream\":\"pki/\",\"ca_ttl\":\"24h\"}"), 204);
    activate(k);
    for (int hour = 0; hour < 96; hour++) {
        k->now_ns += 3600 * SK_SECOND;
        ek_tick(k, 0);
        kit_ok(k->cx, k->err);
        if (hour == 30) {
            EK_WANT(k,
                    ek_write(k, "pki/root/rotate/internal",
                             "{\"common_name\":\"Newer\",\"ttl\":\"87600h\"}"),
                    200);
            char json[200];
            (void)snprintf(json, sizeof(json), "{\"default\":\"%s\"}", ek_text(k, "issuer_id"));
            EK_WANT(k, ek_write(k, "pki/config/issuers", json), 200);
        }
        forget_peers(k);
        struct mln_bytes certs[8], roots[8];
        sk_be(k, "[\"unix:uid:1000\"]");
        EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
        struct mln_x509_chain chain = {
            .certs = certs,
            .n = pieces(mln_get_bytes(mln_get(sk_svid(k, 0), "chain")), certs),
            .roots = roots,
            .n_roots = pieces(mln_get_bytes(mln_get(sk_svid(k, 0), "bundle")), roots),
            .now_s = k->now_ns / SK_SECOND};
        kit_ok(k->cx, mln_x509_chain_verify(k->cx, &chain));
    }
    look(k, 2, 1, "Newer"); /* the first root left with the last authority that it signed */
}

/* The mount goes: what is held signs on, the other kind turns, the error is told, and it is asked again with pauses. */
static void test_gone(void **state)
{
    (void)state;
    UK(k, "-1");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"upstream\":\"int/\",\"ca_ttl\":\"24h\"}"), 204);
    activate(k);
    char held[80], jwt[80];
    (void)snprintf(held, sizeof(held), "%s", authority(k, "active"));
    EK_WANT(k, ek_list(k, "spiffe/authority/jwt"), 200);
    (void)snprintf(jwt, sizeof(jwt), "%s",
                   mln_get_text(k->cx, mln_item(mln_get(k->re.data, "keys"), 0), ""));
    k->n = 2; /* "int/" is unmounted */
    k->now_ns += 13 * 3600 * SK_SECOND;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    assert_true(says(k, "the upstream authority int/ does not sign: there is no pki engine"));
    EK_WANT(k, ek_list(k, "spiffe/authority/jwt"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")),
                     2); /* the next JWT key is prepared all the same */
    k->now_ns += 4 * SK_SECOND;
    ek_tick(k, 0);
    assert_false(k->wrote); /* not asked again yet */
    k->now_ns += SK_SECOND;
    ek_tick(k, 0);
    assert_true(k->wrote);
    EK_REFUSED(k, ek_write(k, "spiffe/authority/x509/prepare", "{}"), 502,
               "there is no pki engine");
    k->now_ns += 10 * 3600 * SK_SECOND;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    assert_string_equal(authority(k, "active"), held);
    look(k, 3, 2, "Top");
    /* it is back in time */
    k->n = 3;
    k->now_ns += 300 * SK_SECOND;
    ek_tick(k, 0); /* prepared and active at once: three quarters are over */
    kit_ok(k->cx, k->err);
    assert_true(says(k, ""));
    assert_string_not_equal(authority(k, "active"), held);
    /* and gone for longer than an authority lives */
    k->n = 2;
    k->now_ns += 25 * 3600 * SK_SECOND;
    ek_tick(k, 0);
    kit_ok(k->cx, k->err);
    forget_peers(k);
    sk_be(k, "[\"unix:uid:1000\"]");
    EK_REFUSED(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 502, "no authority can sign");
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
    k->n = 3;
    k->now_ns += 300 * SK_SECOND;
    ek_tick(k, 0);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
}

static void test_refused(void **state)
{
    static const struct {
        const char *upstream, *why;
    } t[] = {
        {"none/", "there is no pki engine"},
        {"spiffe/", "there is no pki engine"},
        {"int", "with a slash"},
        {"../int/", "there is no pki engine"},
    };
    (void)state;
    UK(k, "0"); /* Middle may have no authority below it */
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char json[128];
        (void)snprintf(json, sizeof(json), "{\"upstream\":\"%s\"}", t[i].upstream);
        EK_REFUSED(k, ek_write(k, "spiffe/config", json), 400, t[i].why);
    }
    EK_REFUSED(k, ek_write(k, "spiffe/config", "{\"upstream\":\"int/\"}"), 400,
               "the upstream authority int/ does not sign");
    assert_true(says(k, ""));
    EK_WANT(k, ek_read(k, "spiffe/config", NULL), 200);
    assert_string_equal(ek_text(k, "upstream"), "");
    look(k, 1, 1, "example.org");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"upstream\":\"pki/\"}"), 204);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
