/* SPDX-License-Identifier: Apache-2.0 */
/* Chains that are remembered: found while all of it lasts, and nothing else is found. */
#include "svid_kit.h"

#include "proxy/relay_priv.h"

#define WEB "spiffe://example.org/web"

static void keep(struct mln_cx *cx, struct seen *seen, const struct mln_bytes *certs, size_t n, const struct mln_proxy_bundle *bundle)
{
    uint8_t digest[MLN_SHA256_BYTES];
    struct seen_trusted trusted = {.id = MLN_BYTES(WEB), .bundle = bundle, .now_s = SVK_NOW};
    seen_digest(MLN_PROXY_SERVER, certs, n, digest);
    seen_keep(cx, seen, digest, certs, n, &trusted);
}

static bool is_found(struct mln_cx *cx, struct seen *seen, enum mln_proxy_side side, const struct mln_bytes *certs, size_t n,
                     int64_t now_s)
{
    uint8_t digest[MLN_SHA256_BYTES];
    struct mln_spiffe_id id;
    seen_digest(side, certs, n, digest);
    bool found = seen_find(cx, seen, digest, now_s, &id);
    assert_true(!found || mln_bytes_is(id.text, WEB));
    return found;
}

static void test_span(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct svk_ca root = svk_ca_new(cx, "root", "spiffe://example.org"), old = svk_ca_new(cx, "old", "spiffe://example.org");
    struct svk_leaf web = {.uris = {WEB}, .usage = MLN_KU_DIGITAL_SIGNATURE, .until_s = SVK_NOW + 500},
                    past = {.uris = {"spiffe://example.org"}, .usage = MLN_KU_CERT_SIGN, .is_ca = true, .from_s = 1,
                            .until_s = SVK_NOW - 5},
                    soon = {.uris = {"spiffe://example.org"}, .usage = MLN_KU_CERT_SIGN, .is_ca = true, .until_s = SVK_NOW + 100};
    struct mln_bytes certs[2] = {svk_leaf_new(cx, &root, &web, NULL)}, other = svk_leaf_new(cx, &root, &web, NULL);
    struct mln_bytes roots[] = {root.der, svk_cert(cx, &old, old.name, old.key.spki, &past)};
    struct mln_proxy_bundle bundle = {MLN_BYTES("example.org"), roots, 2};
    struct seen *seen = seen_new();
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW));
    keep(cx, seen, certs, 1, &bundle); /* a root that is over does not count */
    assert_true(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW));
    assert_true(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW + 500));
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW + 501));
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW - 61));
    assert_false(is_found(cx, seen, MLN_PROXY_CLIENT, certs, 1, SVK_NOW));
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, &other, 1, SVK_NOW));
    certs[1] = root.der;
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, certs, 2, SVK_NOW));
    roots[1] = svk_cert(cx, &old, old.name, old.key.spki, &soon); /* but one that ends soon ends it */
    keep(cx, seen, certs, 1, &bundle);
    assert_true(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW + 100));
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, certs, 1, SVK_NOW + 101));
    seen_free(seen);
}

/* More than there are rows: the oldest in a place gives way, none is found as another. */
static void test_many(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct svk_ca root = svk_ca_new(cx, "root", "spiffe://example.org");
    struct svk_leaf web = {.uris = {WEB}, .usage = MLN_KU_DIGITAL_SIGNATURE};
    struct mln_proxy_bundle bundle = {MLN_BYTES("example.org"), &root.der, 1};
    struct mln_bytes certs[6];
    struct seen *seen = seen_new();
    for (size_t i = 0; i < MLN_COUNT(certs); i++) {
        certs[i] = svk_leaf_new(cx, &root, &web, NULL);
        keep(cx, seen, &certs[i], 1, &bundle);
        assert_true(is_found(cx, seen, MLN_PROXY_SERVER, &certs[i], 1, SVK_NOW));
    }
    struct mln_bytes garbage = MLN_BYTES("not a certificate");
    keep(cx, seen, &garbage, 1, &bundle);
    assert_false(is_found(cx, seen, MLN_PROXY_SERVER, &garbage, 1, SVK_NOW));
    seen_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_span), KIT_TEST(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
