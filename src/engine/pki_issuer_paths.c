/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: what is read and changed of issuers. */
#include "engine/pki_priv.h"

#include "base/text.h"

static const struct {
    const char *name;
    unsigned bit;
} usages[] = {{"crl-signing", PKI_CRL_SIGNING},
              {"issuing-certificates", PKI_ISSUING},
              {"ocsp-signing", PKI_OCSP_SIGNING},
              {"read-only", PKI_READ_ONLY}};

static const char *const leaf_names[] = {
    [PKI_LEAF_ERR] = "err", [PKI_LEAF_TRUNCATE] = "truncate", [PKI_LEAF_PERMIT] = "permit"};

/* ---- answers ---- */

struct mln_err pki_issuers_list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes first;
    struct pki_issuer *all = NULL;
    size_t n = 0;
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    MLN_TRY(pki_default_issuer(rq, &first));
    if (n == 0) {
        return pki_not_found(re);
    }
    struct mln_value *data = mln_object(cx), *info = mln_object(cx), *keys = mln_array(cx);
    for (size_t i = 0; i < n; i++) {
        struct mln_value *one = mln_object(cx);
        mln_put_bool(cx, one, "is_default", mln_bytes_is(first, all[i].id));
        mln_put_text(cx, one, "issuer_name", all[i].name);
        mln_put_text(cx, one, "key_id", all[i].key_id);
        mln_put_text(cx, one, "serial_number", pki_serial_text(cx, all[i].serial));
        mln_put(cx, info, all[i].id, one);
        mln_push_text(cx, keys, all[i].id);
    }
    mln_put(cx, data, "key_info", info);
    mln_put(cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(cx);
}

static const char *usage_text(struct mln_cx *cx, unsigned usage)
{
    struct mln_buf text = {0};
    for (size_t i = 0; i < MLN_COUNT(usages); i++) {
        if ((usage & usages[i].bit) != 0) {
            mln_buf_add_text(&text, text.len > 0 ? "," : "");
            mln_buf_add_text(&text, usages[i].name);
        }
    }
    const char *out = mln_text_dup(cx, mln_buf_bytes(&text));
    mln_buf_drop(&text);
    return out;
}

static struct mln_err put_chain(struct mln_request *rq, const struct pki_issuer *issuer,
                                const char *end, struct mln_value *data)
{
    struct mln_bytes ders[PKI_CHAIN_MAX];
    size_t n = 0;
    struct mln_value *chain = mln_array(rq->cx);
    MLN_TRY(pki_chain(rq, issuer, ders, &n));
    for (size_t i = 0; i < n; i++) {
        mln_push_text(
            rq->cx, chain,
            mln_text_format(rq->cx, "%s%s", mln_pem_text(rq->cx, "CERTIFICATE", ders[i]), end));
    }
    mln_put(rq->cx, data, "ca_chain", chain);
    mln_put_text(
        rq->cx, data, "certificate",
        mln_text_format(rq->cx, "%s%s", mln_pem_text(rq->cx, "CERTIFICATE", issuer->der), end));
    return mln_cx_err(rq->cx);
}

static struct mln_err issuer_answer(struct mln_request *rq, struct mln_reply *re,
                                    const struct pki_issuer *issuer)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    MLN_TRY(put_chain(rq, issuer, "\n", data));
    mln_put(cx, data, "crl_distribution_points",
            pki_list_of(cx, mln_get(issuer->urls, "crl_distribution_points")));
    mln_put(cx, data, "delta_crl_distribution_points",
            pki_list_of(cx, mln_get(issuer->urls, "delta_crl_distribution_points")));
    mln_put_text(cx, data, "issuer_id", issuer->id);
    mln_put_text(cx, data, "issuer_name", issuer->name);
    mln_put(cx, data, "issuing_certificates",
            pki_list_of(cx, mln_get(issuer->urls, "issuing_certificates")));
    mln_put_text(cx, data, "key_id", issuer->key_id);
    mln_put_text(cx, data, "leaf_not_after_behavior", leaf_names[issuer->leaf]);
    mln_put(cx, data, "manual_chain", issuer->manual != NULL ? issuer->manual : mln_null(cx));
    mln_put(cx, data, "ocsp_servers", pki_list_of(cx, mln_get(issuer->urls, "ocsp_servers")));
    mln_put_text(cx, data, "revocation_signature_algorithm", mln_sig_name(issuer->list_sig));
    mln_put_bool(cx, data, "revoked", issuer->revoked_ns != 0);
    if (issuer->revoked_ns != 0) {
        mln_put_int(cx, data, "revocation_time", issuer->revoked_ns / 1000000000);
        mln_put_text(cx, data, "revocation_time_rfc3339", mln_time_text_go(cx, issuer->revoked_ns));
    }
    mln_put_text(cx, data, "usage", usage_text(cx, issuer->usage));
    re->data = data;
    return mln_cx_err(cx);
}

/* The issuer of the path; *ret_is_there false: the reply says that there is none. */
static struct mln_err of_path(struct mln_request *rq, struct mln_reply *re, struct pki_issuer *ret,
                              bool *ret_is_there)
{
    struct mln_bytes ref = pki_text(rq, "issuer_ref");
    struct mln_err err = pki_issuer_find(rq, ref, ret);
    *ret_is_there = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? pki_no_issuer(rq, re, ref) : err;
}

struct mln_err pki_issuer_read(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    bool is_there = false;
    struct mln_err err = of_path(rq, re, &issuer, &is_there);
    return is_there ? issuer_answer(rq, re, &issuer) : err;
}

struct mln_err pki_issuer_json(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    bool is_there = false;
    struct mln_err err = of_path(rq, re, &issuer, &is_there);
    if (!is_there) {
        return err;
    }
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(put_chain(rq, &issuer, "", data));
    mln_put_text(rq->cx, data, "issuer_id", issuer.id);
    mln_put_text(rq->cx, data, "issuer_name", issuer.name);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_issuer_pem(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    bool is_there = false;
    struct mln_err err = of_path(rq, re, &issuer, &is_there);
    return is_there ? pki_raw_text(re, mln_pem_text(rq->cx, "CERTIFICATE", issuer.der),
                                   "application/pem-certificate-chain")
                    : err;
}

struct mln_err pki_issuer_der(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    bool is_there = false;
    struct mln_err err = of_path(rq, re, &issuer, &is_there);
    return is_there ? pki_raw(re, issuer.der, "application/pkix-cert") : err;
}

/* ---- changes ---- */

static struct mln_err take_usage(struct mln_request *rq, struct pki_issuer *issuer)
{
    const struct mln_value *list = mln_field_of(rq, "usage");
    unsigned usage = 0;
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(list, i));
        size_t at = 0;
        while (at < MLN_COUNT(usages) && !mln_bytes_is(name, usages[at].name)) {
            at++;
        }
        if (at == MLN_COUNT(usages)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "unable to parse specified usages: %.*s is none of them",
                            MLN_FMT(name));
        }
        usage |= usages[at].bit;
    }
    issuer->usage = list != NULL ? usage | PKI_READ_ONLY : issuer->usage;
    return MLN_OK;
}

static struct mln_err take_leaf(struct mln_request *rq, struct pki_issuer *issuer)
{
    struct mln_bytes text = pki_text(rq, "leaf_not_after_behavior");
    if (text.len == 0) {
        return MLN_OK;
    }
    for (size_t i = 0; i < MLN_COUNT(leaf_names); i++) {
        if (mln_bytes_is(text, leaf_names[i])) {
            issuer->leaf = (enum pki_leaf)i;
            return MLN_OK;
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID,
                    "unknown value for field `leaf_not_after_behavior`; possible values are `err`, "
                    "`truncate`, and `permit`");
}

static struct mln_err take_manual(struct mln_request *rq, struct pki_issuer *issuer)
{
    const struct mln_value *list = mln_field_of(rq, "manual_chain");
    struct mln_value *ids = mln_array(rq->cx);
    if (list == NULL) {
        return MLN_OK;
    }
    if (mln_len(list) > PKI_CHAIN_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a chain has at most %d certificates",
                        PKI_CHAIN_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        struct pki_issuer one;
        struct mln_bytes ref = mln_get_bytes(mln_item(list, i));
        struct mln_err err = pki_issuer_find(rq, ref, &one);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "unable to find PKI issuer for reference: %.*s",
                            MLN_FMT(ref));
        }
        MLN_TRY(err);
        if (i == 0 && !mln_bytes_is(mln_bytes_of(one.id), issuer->id)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "expected the issuer itself to be first in its manual chain");
        }
        mln_push_text(rq->cx, ids, one.id);
    }
    issuer->manual = mln_len(ids) > 0 ? ids : NULL;
    return mln_cx_err(rq->cx);
}

static struct mln_err take_name(struct mln_request *rq, struct pki_issuer *issuer)
{
    struct mln_bytes name = pki_text(rq, "issuer_name");
    struct pki_issuer other;
    if (mln_field_of(rq, "issuer_name") == NULL || mln_bytes_is(name, issuer->name)) {
        return MLN_OK;
    }
    if (name.len > 0) {
        MLN_TRY(pki_name_check(rq, "issuer", name));
        struct mln_err err = pki_issuer_find(rq, name, &other);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            MLN_TRY(err);
            return mln_fail(rq->cx, MLN_E_INVALID, "issuer name already in use");
        }
    }
    issuer->name = mln_text_dup(rq->cx, name);
    return mln_cx_err(rq->cx);
}

static struct mln_err take_sig(struct mln_request *rq, struct pki_issuer *issuer)
{
    struct mln_bytes text = pki_text(rq, "revocation_signature_algorithm");
    enum mln_sig sig = issuer->list_sig;
    if (text.len > 0 && (!mln_sig_of(text, &sig) || !mln_sig_fits(sig, issuer->kind))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unknown or unfit signature algorithm: %.*s",
                        MLN_FMT(text));
    }
    issuer->list_sig = sig;
    return MLN_OK;
}

/* Write and patch are one: what is not given stays. */
struct mln_err pki_issuer_write(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    bool is_there = false;
    struct mln_err err = of_path(rq, re, &issuer, &is_there);
    if (!is_there) {
        return err;
    }
    MLN_TRY(take_name(rq, &issuer));
    MLN_TRY(take_usage(rq, &issuer));
    MLN_TRY(take_leaf(rq, &issuer));
    MLN_TRY(take_manual(rq, &issuer));
    MLN_TRY(take_sig(rq, &issuer));
    MLN_TRY(pki_urls_take(rq, issuer.urls, "enable_aia_url_templating", &issuer.urls));
    MLN_TRY(pki_issuer_store(rq, &issuer));
    return issuer_answer(rq, re, &issuer);
}

struct mln_err pki_issuer_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer;
    struct mln_bytes first;
    re->status = 204;
    struct mln_err err = pki_issuer_find(rq, pki_text(rq, "issuer_ref"), &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    MLN_TRY(pki_default_issuer(rq, &first));
    MLN_TRY(pki_delete(rq, "issuer/", mln_bytes_of(issuer.id)));
    if (mln_bytes_is(first, issuer.id)) {
        re->status = 0;
        mln_reply_warn(rq, re,
                       mln_text_format(rq->cx,
                                       "Deleted issuer %s (via issuer_ref %.*s); this was "
                                       "configured as the default issuer. "
                                       "Operations without an explicit issuer will not work until "
                                       "a new default is configured.",
                                       issuer.id, MLN_FMT(pki_text(rq, "issuer_ref"))));
        MLN_TRY(pki_default_set(rq, "", NULL, false));
    }
    return pki_chains_find(rq);
}

/* Its certificate goes onto the list of who signed it, when that one is here too. */
struct mln_err pki_issuer_revoke(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_issuer issuer, parent;
    bool is_there = false;
    struct mln_err err = of_path(rq, re, &issuer, &is_there);
    if (!is_there) {
        return err;
    }
    if (issuer.revoked_ns == 0) {
        issuer.revoked_ns = rq->now_ns;
        issuer.usage &= ~(unsigned)PKI_ISSUING;
        MLN_TRY(pki_issuer_store(rq, &issuer));
        if (mln_len(issuer.chain) > 1) {
            MLN_TRY(pki_issuer_load(rq, mln_get_bytes(mln_item(issuer.chain, 1)), &parent));
            MLN_TRY(pki_crl_add(rq, parent.list, issuer.serial, rq->now_ns));
        }
    }
    return issuer_answer(rq, re, &issuer);
}
