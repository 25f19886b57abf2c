/* SPDX-License-Identifier: Apache-2.0 */
/* Who is the peer, and is it one that this side takes? */
#include "crypto/x509_chain.h"
#include "crypto/x509_svid.h"
#include "proxy/proxy.h"

const char *mln_proxy_reason_name(enum mln_proxy_reason reason)
{
    static const char *const names[] = {
#define MLN_PROXY_REASON(name, text) text,
#include "proxy/reason.def"
#undef MLN_PROXY_REASON
    };
    MLN_CHECK((size_t)reason < MLN_COUNT(names));
    return names[reason];
}

const struct mln_proxy_bundle *mln_proxy_bundle_of(const struct mln_proxy_rules *rules, struct mln_bytes domain)
{
    for (size_t i = 0; i < rules->n_bundles; i++) {
        if (mln_bytes_eq(rules->bundles[i].domain, domain)) {
            return &rules->bundles[i];
        }
    }
    return NULL;
}

struct mln_err mln_proxy_trust(struct mln_cx *cx, const struct mln_bytes *certs, size_t n, const struct mln_proxy_rules *rules,
                               struct mln_spiffe_id *ret, enum mln_proxy_reason *why)
{
    enum mln_svid_side side = rules->side == MLN_PROXY_SERVER ? MLN_SVID_CLIENT : MLN_SVID_SERVER;
    *ret = (struct mln_spiffe_id){0};
    *why = MLN_PROXY_NO_CERTIFICATE;
    if (n == 0) {
        return mln_fail(cx, MLN_E_FORGED, "the peer showed no certificate");
    }
    *why = MLN_PROXY_NO_SVID;
    MLN_TRY(mln_x509_svid_read(cx, certs[0], side, ret));
    const struct mln_proxy_bundle *bundle = mln_proxy_bundle_of(rules, ret->domain);
    *why = MLN_PROXY_UNKNOWN_DOMAIN;
    if (bundle == NULL) {
        return mln_fail(cx, MLN_E_FORGED, "no bundle of trust domain %.*s is known here", MLN_FMT(ret->domain));
    }
    struct mln_x509_chain chain = {.certs = certs, .n = n, .roots = bundle->roots, .n_roots = bundle->n, .now_s = rules->now_s};
    *why = MLN_PROXY_UNTRUSTED;
    return mln_x509_chain_verify(cx, &chain);
}

struct mln_err mln_proxy_allow(struct mln_cx *cx, const struct mln_proxy_rules *rules, const struct mln_spiffe_id *id,
                               enum mln_proxy_reason *why)
{
    for (size_t i = 0; i < rules->n_allow; i++) {
        if (mln_spiffe_pattern_fits(rules->allow[i], id->text)) {
            return MLN_OK;
        }
    }
    *why = MLN_PROXY_NOT_ALLOWED;
    return mln_fail(cx, MLN_E_DENIED, "no pattern of this listener fits the peer's id");
}

struct mln_err mln_proxy_verify(struct mln_cx *cx, const struct mln_bytes *certs, size_t n, const struct mln_proxy_rules *rules,
                                struct mln_spiffe_id *ret, enum mln_proxy_reason *why)
{
    MLN_TRY(mln_proxy_trust(cx, certs, n, rules, ret, why));
    return mln_proxy_allow(cx, rules, ret, why);
}
