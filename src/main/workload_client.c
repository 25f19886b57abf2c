/* SPDX-License-Identifier: Apache-2.0 */
/* What the Workload API answers, taken apart. It comes from the socket that the administrator named; it is read as from a stranger. */
#include "api/spiffe.h"
#include "base/text.h"
#include "crypto/x509.h"
#include "crypto/x509_svid.h"
#include "identity/spiffe_bundle.h"
#include "main/proxy_priv.h"

#define CHAIN_MAX  16u
#define SCHEME     "spiffe://"

struct mln_err workload_svid_read(struct mln_cx *cx, struct mln_bytes message, const char *wanted, struct workload_svid *ret,
                                  const struct mln_value **ret_federated)
{
    const struct mln_value *all = NULL;
    MLN_TRY(mln_pb_decode(cx, mln_spiffe_x509_svids, message, &all));
    const struct mln_value *svids = mln_get(all, "svids"), *found = NULL;
    for (size_t i = 0; i < mln_len(svids) && found == NULL; i++) {
        const struct mln_value *one = mln_item(svids, i);
        found = wanted == NULL || mln_is_text(mln_get(one, "spiffe_id"), wanted) ? one : NULL;
    }
    if (found == NULL) {
        return mln_fail(cx, MLN_E_NOT_FOUND, wanted != NULL ? "this process is not given %s" : "this process is given no identity%s",
                        wanted != NULL ? wanted : "");
    }
    *ret = (struct workload_svid){.id = mln_get_text(cx, mln_get(found, "spiffe_id"), ""),
                                  .chain = mln_get_bytes(mln_get(found, "chain")),
                                  .key = mln_get_bytes(mln_get(found, "key")),
                                  .bundle = mln_get_bytes(mln_get(found, "bundle"))};
    *ret_federated = mln_get(all, "federated");
    return mln_cx_err(cx);
}

/* DER after DER as a list. */
static struct mln_err split(struct mln_cx *cx, struct mln_bytes all, size_t most, struct mln_value *to)
{
    while (all.len > 0) {
        size_t n = sp_der_length(all);
        if (n == 0 || mln_len(to) == most) {
            return mln_fail(cx, MLN_E_PARSE, "certificates of the Workload API cannot be told apart");
        }
        mln_push(cx, to, mln_blob(cx, mln_bytes_sub(all, 0, n)));
        all = mln_bytes_from(all, n);
    }
    return mln_cx_err(cx);
}

static struct mln_err push_bundle(struct mln_cx *cx, struct mln_bytes domain, struct mln_bytes der, struct mln_value *bundles)
{
    struct mln_value *one = mln_object(cx), *roots = mln_array(cx);
    domain = mln_bytes_starts(domain, MLN_BYTES(SCHEME)) ? mln_bytes_from(domain, sizeof(SCHEME) - 1) : domain;
    if (!mln_spiffe_domain_ok(domain)) {
        return mln_fail(cx, MLN_E_PARSE, "a bundle of the Workload API is of no trust domain");
    }
    MLN_TRY(split(cx, der, MLN_PROXY_ROOTS_MAX, roots));
    mln_put_bytes(cx, one, "domain", domain);
    mln_put(cx, one, "roots", roots);
    mln_push(cx, bundles, one);
    return mln_cx_err(cx);
}

static struct mln_err push_federated(struct mln_cx *cx, struct mln_bytes own, const struct mln_value *federated, struct mln_value *bundles)
{
    if (mln_len(federated) >= MLN_PROXY_DOMAINS_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "more than %u federated bundles", MLN_PROXY_DOMAINS_MAX - 1);
    }
    for (size_t i = 0; i < mln_len(federated); i++) {
        const struct mln_member *m = mln_member_at(federated, i);
        struct mln_bytes name = mln_bytes_starts(m->key, MLN_BYTES(SCHEME)) ? mln_bytes_from(m->key, sizeof(SCHEME) - 1) : m->key;
        if (!mln_bytes_eq(name, own)) { /* of our own domain only the SVID's bundle speaks */
            MLN_TRY(push_bundle(cx, name, mln_get_bytes(&m->value), bundles));
        }
    }
    return MLN_OK;
}

struct mln_err workload_snapshot(struct mln_cx *cx, const struct workload_svid *svid, const struct mln_value *federated, int64_t number,
                                 const struct mln_value **ret, int64_t *ret_not_after_s)
{
    struct mln_value *all = mln_object(cx), *certs = mln_array(cx), *bundles = mln_array(cx);
    struct mln_spiffe_id id;
    struct mln_x509_info info;
    MLN_TRY(split(cx, svid->chain, CHAIN_MAX, certs));
    struct mln_bytes leaf = mln_get_bytes(mln_item(certs, 0));
    MLN_TRY(mln_x509_svid_read(cx, leaf, MLN_SVID_CLIENT, &id));
    MLN_TRY(mln_x509_cert_read(cx, leaf, &info));
    if (!mln_bytes_is(id.text, svid->id)) {
        return mln_fail(cx, MLN_E_INVALID, "the Workload API's certificate is not of %s", svid->id);
    }
    MLN_TRY(push_bundle(cx, id.domain, svid->bundle, bundles));
    MLN_TRY(push_federated(cx, id.domain, federated, bundles));
    mln_put_int(cx, all, "key", number);
    mln_put_text(cx, all, "spiffe_id", svid->id);
    mln_put_text(cx, all, "serial", mln_hex_text(cx, info.serial));
    mln_put_int(cx, all, "not_after", info.not_after_s);
    mln_put(cx, all, "certs", certs);
    mln_put(cx, all, "bundles", bundles);
    *ret = all;
    *ret_not_after_s = info.not_after_s;
    return mln_cx_err(cx);
}
