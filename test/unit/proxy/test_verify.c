/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a proxy takes: each trust domain by its own roots, and only who a pattern names. */
#include "svid_kit.h"

#include "proxy/proxy.h"

#define CLIENT_AUTH "1.3.6.1.5.5.7.3.2"
#define SERVER_AUTH "1.3.6.1.5.5.7.3.1"
#define WEB         "spiffe://example.org/ns/a/sa/web"
#define FAR         "spiffe://far.example/ns/b/sa/web"
#define SIGN        MLN_KU_DIGITAL_SIGNATURE

enum ca { OWN, FAR_CA, EVIL, CAS };

struct row {
    const char *name;
    struct svk_leaf leaf;
    enum ca by;
    enum mln_proxy_side side;
    const char *allow[3];
    enum mln_proxy_reason why; /* CLOSED: it is taken */
};

static const struct row rows[] = {
    {"the one", {.uris = {WEB}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_CLOSED},
    {"by a pattern", {.uris = {WEB}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {"spiffe://example.org/ns/*/sa/web"}, MLN_PROXY_CLOSED},
    {"by the second pattern", {.uris = {WEB}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {"spiffe://example.org/x", "spiffe://example.org/**"},
     MLN_PROXY_CLOSED},
    {"another domain by its own roots", {.uris = {FAR}, .usage = SIGN}, FAR_CA, MLN_PROXY_SERVER, {"spiffe://far.example/ns/*/sa/web"},
     MLN_PROXY_CLOSED},
    {"for clients only, of a client", {.uris = {WEB}, .usage = SIGN, .ext_usage = CLIENT_AUTH}, OWN, MLN_PROXY_SERVER, {WEB},
     MLN_PROXY_CLOSED},
    {"for servers only, of a server", {.uris = {WEB}, .usage = SIGN, .ext_usage = SERVER_AUTH}, OWN, MLN_PROXY_CLIENT, {WEB},
     MLN_PROXY_CLOSED},
    {"with a name in DNS too", {.uris = {WEB}, .usage = SIGN, .dns = "web"}, OWN, MLN_PROXY_CLIENT, {WEB}, MLN_PROXY_CLOSED},

    {"another id", {.uris = {"spiffe://example.org/ns/a/sa/db"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NOT_ALLOWED},
    {"no pattern at all", {.uris = {WEB}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {NULL}, MLN_PROXY_NOT_ALLOWED},
    {"a pattern of one segment less", {.uris = {WEB}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {"spiffe://example.org/ns/*"},
     MLN_PROXY_NOT_ALLOWED},
    {"a star is no slash", {.uris = {"spiffe://example.org/ns/a/b/sa/web"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER,
     {"spiffe://example.org/ns/*/sa/web"}, MLN_PROXY_NOT_ALLOWED},
    {"two stars are not nothing", {.uris = {"spiffe://example.org/ns"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER,
     {"spiffe://example.org/ns/**"}, MLN_PROXY_NOT_ALLOWED},
    {"another domain's same path", {.uris = {FAR}, .usage = SIGN}, FAR_CA, MLN_PROXY_SERVER, {"spiffe://example.org/**"},
     MLN_PROXY_NOT_ALLOWED},

    {"over its time", {.uris = {WEB}, .usage = SIGN, .from_s = SVK_NOW - 7200, .until_s = SVK_NOW - 1}, OWN, MLN_PROXY_SERVER, {WEB},
     MLN_PROXY_UNTRUSTED},
    {"not yet", {.uris = {WEB}, .usage = SIGN, .from_s = SVK_NOW + 60}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_UNTRUSTED},
    {"signed by the other domain", {.uris = {WEB}, .usage = SIGN}, FAR_CA, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_UNTRUSTED},
    {"ours signs for the other", {.uris = {FAR}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {FAR}, MLN_PROXY_UNTRUSTED},
    {"signed by nobody known", {.uris = {WEB}, .usage = SIGN}, EVIL, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_UNTRUSTED},
    {"of a domain without a bundle", {.uris = {"spiffe://third.example/web"}, .usage = SIGN}, EVIL, MLN_PROXY_SERVER,
     {"spiffe://third.example/web"}, MLN_PROXY_UNKNOWN_DOMAIN},
    {"a domain that begins like ours", {.uris = {"spiffe://example.org.evil/web"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER,
     {"spiffe://example.org.evil/web"}, MLN_PROXY_UNKNOWN_DOMAIN},

    {"two URIs", {.uris = {WEB, "spiffe://example.org/b"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"the same URI twice", {.uris = {WEB, WEB}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"no URI", {.dns = "web", .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"a URI that is no id", {.uris = {"https://example.org/web"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"a trust domain's own id", {.uris = {"spiffe://example.org"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"an id with a query", {.uris = {WEB "?a"}, .usage = SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"an authority", {.uris = {WEB}, .usage = SIGN | MLN_KU_CERT_SIGN, .is_ca = true}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"one that may sign certificates", {.uris = {WEB}, .usage = SIGN | MLN_KU_CERT_SIGN}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"one that may not sign", {.uris = {WEB}, .usage = MLN_KU_KEY_AGREEMENT}, OWN, MLN_PROXY_SERVER, {WEB}, MLN_PROXY_NO_SVID},
    {"for servers only, of a client", {.uris = {WEB}, .usage = SIGN, .ext_usage = SERVER_AUTH}, OWN, MLN_PROXY_SERVER, {WEB},
     MLN_PROXY_NO_SVID},
    {"for clients only, of a server", {.uris = {WEB}, .usage = SIGN, .ext_usage = CLIENT_AUTH}, OWN, MLN_PROXY_CLIENT, {WEB},
     MLN_PROXY_NO_SVID},
};

static void judge(struct mln_cx *cx, const struct row *row, const struct svk_ca *cas)
{
    struct mln_bytes allow[3], leaf = svk_leaf_new(cx, &cas[row->by], &row->leaf, NULL);
    size_t n = 0;
    while (n < MLN_COUNT(allow) && row->allow[n] != NULL) {
        allow[n] = mln_bytes_of(row->allow[n]);
        kit_ok(cx, mln_spiffe_pattern_check(cx, allow[n++]));
    }
    const struct mln_proxy_bundle bundles[] = {{MLN_BYTES("example.org"), &cas[OWN].der, 1},
                                               {MLN_BYTES("far.example"), &cas[FAR_CA].der, 1}};
    struct mln_proxy_rules rules = {.bundles = bundles, .n_bundles = 2, .allow = allow, .n_allow = n, .side = row->side, .now_s = SVK_NOW};
    struct mln_spiffe_id id;
    enum mln_proxy_reason why = MLN_PROXY_CLOSED;
    struct mln_err err = mln_proxy_verify(cx, &leaf, 1, &rules, &id, &why);
    bool is_taken = row->why == MLN_PROXY_CLOSED;
    if (mln_failed(err) == is_taken || (!is_taken && why != row->why)) {
        fail_msg("%s: %s, %s", row->name, mln_err_name(err.code), mln_proxy_reason_name(why));
    }
    if (is_taken) {
        assert_true(mln_bytes_is(id.text, row->leaf.uris[0]));
    } else {
        assert_true(cx->text[0] != 0);
    }
    assert_int_equal(id.text.len > 0, row->why != MLN_PROXY_NO_SVID);
    mln_cx_clear(cx);
}

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct svk_ca cas[CAS];
    cas[OWN] = svk_ca_new(cx, "own", "spiffe://example.org");
    cas[FAR_CA] = svk_ca_new(cx, "far", "spiffe://far.example");
    cas[EVIL] = svk_ca_new(cx, "own", "spiffe://example.org"); /* named as ours */
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        judge(cx, &rows[i], cas);
    }
}

/* An intermediate that the peer sends along leads to a root of its domain, and to no other's. */
static void test_chains(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct svk_ca root = svk_ca_new(cx, "root", "spiffe://example.org"), far = svk_ca_new(cx, "far", "spiffe://far.example"), middle;
    struct svk_leaf ca = {.uris = {"spiffe://example.org"}, .usage = MLN_KU_CERT_SIGN, .is_ca = true}, web = {.uris = {WEB}, .usage = SIGN};
    struct mln_x509_name parts = {.common_name = MLN_BYTES("middle")};
    struct mln_bytes allow = MLN_BYTES(WEB), certs[3];
    const struct mln_proxy_bundle bundles[] = {{MLN_BYTES("example.org"), &root.der, 1}, {MLN_BYTES("far.example"), &far.der, 1}};
    struct mln_proxy_rules rules = {.bundles = bundles, .n_bundles = 2, .allow = &allow, .n_allow = 1, .now_s = SVK_NOW};
    struct mln_spiffe_id id;
    enum mln_proxy_reason why;
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, &middle.key));
    kit_ok(cx, mln_x509_name_print(cx, &parts, &middle.name));
    middle.der = svk_cert(cx, &root, middle.name, middle.key.spki, &ca);
    certs[0] = svk_leaf_new(cx, &middle, &web, NULL);
    certs[1] = middle.der;
    kit_ok(cx, mln_proxy_verify(cx, certs, 2, &rules, &id, &why));
    kit_refused(cx, mln_proxy_verify(cx, certs, 1, &rules, &id, &why), MLN_E_FORGED);
    assert_int_equal(why, MLN_PROXY_UNTRUSTED);
    middle.der = svk_cert(cx, &far, middle.name, middle.key.spki, &ca);
    certs[1] = middle.der;
    kit_refused(cx, mln_proxy_verify(cx, certs, 2, &rules, &id, &why), MLN_E_FORGED);
    certs[2] = far.der; /* nor does sending the root along help */
    kit_refused(cx, mln_proxy_verify(cx, certs, 3, &rules, &id, &why), MLN_E_FORGED);
    assert_int_equal(why, MLN_PROXY_UNTRUSTED);
}

static void test_no_certificate(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_proxy_rules rules = {.now_s = SVK_NOW};
    struct mln_spiffe_id id;
    enum mln_proxy_reason why;
    struct mln_bytes garbage = MLN_BYTES("0\x03\x02\x01\x05");
    kit_refused(cx, mln_proxy_verify(cx, NULL, 0, &rules, &id, &why), MLN_E_FORGED);
    assert_int_equal(why, MLN_PROXY_NO_CERTIFICATE);
    kit_refused(cx, mln_proxy_verify(cx, &garbage, 1, &rules, &id, &why), MLN_E_FORGED);
    assert_int_equal(why, MLN_PROXY_NO_SVID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_chains), KIT_TEST(test_no_certificate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
