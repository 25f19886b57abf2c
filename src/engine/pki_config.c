/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: settings of the mount. Each is an object in one row; what is not given in a write stays. */
#include "engine/pki_priv.h"

#include "base/text.h"

#define URL_MAX  2048
#define URLS_MAX 32

/* ---- defaults of issuers and keys: one row each ---- */

static struct mln_err config_text(struct mln_request *rq, const char *noun, struct mln_bytes *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "config/", mln_bytes_of(noun), &v));
    *ret = mln_get_bytes(mln_get(v, "default"));
    return MLN_OK;
}

struct mln_err pki_default_issuer(struct mln_request *rq, struct mln_bytes *ret)
{
    return config_text(rq, "issuers", ret);
}

struct mln_err pki_default_key(struct mln_request *rq, struct mln_bytes *ret)
{
    return config_text(rq, "keys", ret);
}

static struct mln_err set_default(struct mln_request *rq, const char *noun, const char *id,
                                  bool is_new)
{
    const struct mln_value *old = NULL;
    struct mln_value *v = mln_object(rq->cx);
    MLN_TRY(pki_find(rq, "config/", mln_bytes_of(noun), &old));
    bool follows = mln_get_bool(mln_get(old, "default_follows_latest_issuer"), false);
    if (is_new && mln_len(mln_get(old, "default")) > 0 && !follows) {
        return MLN_OK;
    }
    mln_put_text(rq->cx, v, "default", id);
    mln_put_bool(rq->cx, v, "default_follows_latest_issuer", follows);
    return pki_put(rq, "config/", mln_bytes_of(noun), v);
}

/* is_new: only when there is none yet, or when the default follows the latest. NULL leaves one alone. */
struct mln_err pki_default_set(struct mln_request *rq, const char *issuer_id, const char *key_id,
                               bool is_new)
{
    if (issuer_id != NULL) {
        MLN_TRY(set_default(rq, "issuers", issuer_id, is_new));
    }
    return key_id != NULL ? set_default(rq, "keys", key_id, is_new) : MLN_OK;
}

static struct mln_err issuers_answer(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *v = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("issuers"), &v));
    mln_put_bytes(rq->cx, data, "default", mln_get_bytes(mln_get(v, "default")));
    mln_put_bool(rq->cx, data, "default_follows_latest_issuer",
                 mln_get_bool(mln_get(v, "default_follows_latest_issuer"), false));
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_issuers_config_read(struct mln_request *rq, struct mln_reply *re)
{
    return issuers_answer(rq, re);
}

static struct mln_err use_issuer(struct mln_request *rq, struct mln_bytes ref, bool follows)
{
    struct pki_issuer issuer;
    struct mln_value *v = mln_object(rq->cx);
    struct mln_err err = pki_issuer_find(rq, ref, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unable to find PKI issuer for reference: %.*s",
                        MLN_FMT(mln_bytes_sub(ref, 0, 256)));
    }
    MLN_TRY(err);
    mln_put_text(rq->cx, v, "default", issuer.id);
    mln_put_bool(rq->cx, v, "default_follows_latest_issuer", follows);
    return pki_put(rq, "config/", MLN_BYTES("issuers"), v);
}

struct mln_err pki_issuers_config_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    struct mln_bytes ref = pki_text(rq, "default");
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("issuers"), &old));
    if (ref.len == 0 || mln_bytes_is(ref, "default")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid issuer specification for default: %s",
                        ref.len == 0 ? "it is empty" : "'default' is not an issuer");
    }
    bool follows = pki_flag(rq, "default_follows_latest_issuer",
                            mln_get_bool(mln_get(old, "default_follows_latest_issuer"), false));
    MLN_TRY(use_issuer(rq, ref, follows));
    return issuers_answer(rq, re);
}

/* The certificate that root/rotate made, named "next", becomes the default. */
struct mln_err pki_root_replace(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes ref = pki_text(rq, "default");
    const struct mln_value *old = NULL;
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("issuers"), &old));
    MLN_TRY(use_issuer(rq, ref.len > 0 ? ref : MLN_BYTES("next"),
                       mln_get_bool(mln_get(old, "default_follows_latest_issuer"), false)));
    return issuers_answer(rq, re);
}

struct mln_err pki_keys_config_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(pki_default_key(rq, &id));
    mln_put_bytes(rq->cx, data, "default", id);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_keys_config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_key key;
    struct mln_bytes ref = pki_text(rq, "default");
    struct mln_err err = pki_key_find(rq, ref, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unable to find PKI key for reference: %.*s",
                        MLN_FMT(mln_bytes_sub(ref, 0, 256)));
    }
    MLN_TRY(err);
    MLN_TRY(pki_default_set(rq, NULL, key.id, false));
    return pki_keys_config_read(rq, re);
}

/* ---- URLs ---- */

static const char *const url_names[] = {"crl_distribution_points", "delta_crl_distribution_points",
                                        "issuing_certificates", "ocsp_servers"};

static bool is_url(struct mln_bytes url)
{
    struct mln_bytes rest, scheme = mln_bytes_cut(url, ':', &rest);
    for (size_t i = 0; i < url.len; i++) {
        if (url.ptr[i] <= 0x20 || url.ptr[i] >= 0x7f) {
            return false;
        }
    }
    bool is_template = mln_bytes_starts(url, MLN_BYTES("{{"));
    return url.len <= URL_MAX &&
           (is_template ||
            (scheme.len > 0 && mln_bytes_starts(rest, MLN_BYTES("//")) && rest.len > 2) ||
            mln_bytes_is(scheme, "ldap"));
}

struct mln_err pki_urls_take(struct mln_request *rq, const struct mln_value *old, const char *flag,
                             const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(url_names); i++) {
        const struct mln_value *given = mln_field_of(rq, url_names[i]);
        const struct mln_value *list =
            pki_list_of(cx, given != NULL ? given : mln_get(old, url_names[i]));
        if (mln_len(list) > URLS_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "%s: more than %d URLs", url_names[i], URLS_MAX);
        }
        for (size_t j = 0; j < mln_len(list); j++) {
            struct mln_bytes url = mln_get_bytes(mln_item(list, j));
            if (!is_url(url)) {
                return mln_fail(cx, MLN_E_INVALID, "invalid URL found in %s: %.*s", url_names[i],
                                MLN_FMT(mln_bytes_sub(url, 0, 200)));
            }
        }
        mln_put(cx, v, url_names[i], list);
    }
    mln_put_bool(cx, v, "enable_templating",
                 pki_flag(rq, flag, mln_get_bool(mln_get(old, "enable_templating"), false)));
    *ret = v;
    return mln_cx_err(cx);
}

static struct mln_err urls_answer(struct mln_request *rq, struct mln_reply *re,
                                  const struct mln_value *v)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    mln_put(cx, data, "crl_distribution_points",
            pki_list_of(cx, mln_get(v, "crl_distribution_points")));
    mln_put(cx, data, "delta_crl_distribution_points",
            pki_list_of(cx, mln_get(v, "delta_crl_distribution_points")));
    mln_put_bool(cx, data, "enable_templating",
                 mln_get_bool(mln_get(v, "enable_templating"), false));
    mln_put(cx, data, "issuing_certificates", pki_list_of(cx, mln_get(v, "issuing_certificates")));
    mln_put(cx, data, "ocsp_servers", pki_list_of(cx, mln_get(v, "ocsp_servers")));
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err pki_urls_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("urls"), &v));
    return urls_answer(rq, re, v);
}

struct mln_err pki_urls_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL, *v = NULL;
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("urls"), &old));
    MLN_TRY(pki_urls_take(rq, old, "enable_templating", &v));
    MLN_TRY(pki_put(rq, "config/", MLN_BYTES("urls"), v));
    return urls_answer(rq, re, v);
}

/* ---- templates of URLs: {{issuer_id}}, {{cluster_path}}, {{cluster_aia_path}} ---- */

struct words {
    struct mln_bytes issuer_id, path, aia_path;
};

static struct mln_bytes word_of(const struct words *w, struct mln_bytes name)
{
    return mln_bytes_is(name, "issuer_id")          ? w->issuer_id
           : mln_bytes_is(name, "cluster_path")     ? w->path
           : mln_bytes_is(name, "cluster_aia_path") ? w->aia_path
                                                    : MLN_BYTES_NONE;
}

static struct mln_err filled(struct mln_cx *cx, const struct words *w, struct mln_bytes url,
                             const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.max = URL_MAX};
    struct mln_bytes left = url;
    while (left.len > 0) {
        size_t at = mln_bytes_find_bytes(left, MLN_BYTES("{{"));
        mln_buf_add_bytes(&out, mln_bytes_sub(left, 0, at));
        left = mln_bytes_from(left, at);
        if (left.len == 0) {
            break;
        }
        size_t end = mln_bytes_find_bytes(left, MLN_BYTES("}}"));
        struct mln_bytes word = end < left.len
                                    ? word_of(w, mln_bytes_trim(mln_bytes_sub(left, 2, end - 2)))
                                    : MLN_BYTES_NONE;
        if (word.len == 0) {
            return mln_fail(cx, MLN_E_INVALID,
                            "the URL template %.*s cannot be filled; see config/cluster",
                            MLN_FMT(mln_bytes_sub(url, 0, 200)));
        }
        mln_buf_add_bytes(&out, word);
        left = mln_bytes_from(left, end + 2);
    }
    MLN_TRY(mln_buf_ok(cx, &out));
    *ret = mln_string_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

static struct mln_err fill_list(struct mln_cx *cx, const struct words *w,
                                const struct mln_value **list)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(*list); i++) {
        const struct mln_value *one = NULL;
        MLN_TRY(filled(cx, w, mln_get_bytes(mln_item(*list, i)), &one));
        mln_push(cx, out, one);
    }
    *list = out;
    return mln_cx_err(cx);
}

static struct mln_err fill_urls(struct mln_request *rq, const struct pki_issuer *issuer,
                                struct pki_urls *urls)
{
    const struct mln_value *cluster = NULL;
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("cluster"), &cluster));
    struct words w = {mln_bytes_of(issuer->id), mln_get_bytes(mln_get(cluster, "path")),
                      mln_get_bytes(mln_get(cluster, "aia_path"))};
    const struct mln_value **lists[] = {&urls->issuing, &urls->crl, &urls->delta, &urls->ocsp};
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        MLN_TRY(fill_list(rq->cx, &w, lists[i]));
    }
    return MLN_OK;
}

/* The issuer's own when it has any, else the mount's. */
struct mln_err pki_urls_of(struct mln_request *rq, const struct pki_issuer *issuer,
                           struct pki_urls *ret)
{
    const struct mln_value *v = issuer->urls;
    bool has_own = false;
    for (size_t i = 0; i < MLN_COUNT(url_names); i++) {
        has_own = has_own || mln_len(mln_get(v, url_names[i])) > 0;
    }
    if (!has_own) {
        MLN_TRY(pki_find(rq, "config/", MLN_BYTES("urls"), &v));
    }
    *ret = (struct pki_urls){.issuing = mln_get(v, "issuing_certificates"),
                             .crl = mln_get(v, "crl_distribution_points"),
                             .delta = mln_get(v, "delta_crl_distribution_points"),
                             .ocsp = mln_get(v, "ocsp_servers")};
    return mln_get_bool(mln_get(v, "enable_templating"), false) ? fill_urls(rq, issuer, ret)
                                                                : MLN_OK;
}

/* ---- cluster ---- */

static struct mln_err cluster_answer(struct mln_request *rq, struct mln_reply *re,
                                     const struct mln_value *v)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put_bytes(rq->cx, data, "aia_path", mln_get_bytes(mln_get(v, "aia_path")));
    mln_put_bytes(rq->cx, data, "path", mln_get_bytes(mln_get(v, "path")));
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_cluster_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("cluster"), &v));
    return cluster_answer(rq, re, v);
}

struct mln_err pki_cluster_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const names[] = {"path", "aia_path"};
    const struct mln_value *old = NULL;
    struct mln_value *v = mln_object(rq->cx);
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("cluster"), &old));
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        bool is_given = mln_field_of(rq, names[i]) != NULL;
        struct mln_bytes url =
            is_given ? pki_text(rq, names[i]) : mln_get_bytes(mln_get(old, names[i]));
        if (url.len > 0 && !is_url(url)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "invalid, non-URL %s given to cluster: %.*s",
                            names[i], MLN_FMT(mln_bytes_sub(url, 0, 200)));
        }
        mln_put_bytes(rq->cx, v, names[i], url);
    }
    MLN_TRY(pki_put(rq, "config/", MLN_BYTES("cluster"), v));
    return cluster_answer(rq, re, v);
}

/* ---- revocation lists ---- */

#define HOUR_S 3600

static struct pki_crl_config crl_config_of(const struct mln_value *v)
{
    return (struct pki_crl_config){
        .disable = mln_get_bool(mln_get(v, "disable"), false),
        .auto_rebuild = mln_get_bool(mln_get(v, "auto_rebuild"), false),
        .enable_delta = mln_get_bool(mln_get(v, "enable_delta"), false),
        .ocsp_disable = mln_get_bool(mln_get(v, "ocsp_disable"), false),
        .allow_expired = mln_get_bool(mln_get(v, "allow_expired_cert_revocation"), false),
        .expiry_s = mln_get_int(mln_get(v, "expiry"), 72 * HOUR_S),
        .grace_s = mln_get_int(mln_get(v, "auto_rebuild_grace_period"), 12 * HOUR_S),
        .delta_s = mln_get_int(mln_get(v, "delta_rebuild_interval"), HOUR_S / 4),
        .ocsp_s = mln_get_int(mln_get(v, "ocsp_expiry"), 12 * HOUR_S),
    };
}

struct mln_err pki_crl_config_load(struct mln_request *rq, struct pki_crl_config *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("crl"), &v));
    *ret = crl_config_of(v);
    return MLN_OK;
}

/* "72h", "15m", "90s": the shortest whole unit. */
static const char *period_text(struct mln_cx *cx, int64_t s)
{
    return s % HOUR_S == 0 ? mln_text_format(cx, "%lldh", (long long)(s / HOUR_S))
           : s % 60 == 0   ? mln_text_format(cx, "%lldm", (long long)(s / 60))
                           : mln_text_format(cx, "%llds", (long long)s);
}

static struct mln_err crl_answer(struct mln_request *rq, struct mln_reply *re,
                                 const struct pki_crl_config *c)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    mln_put_bool(cx, data, "allow_expired_cert_revocation", c->allow_expired);
    mln_put_bool(cx, data, "auto_rebuild", c->auto_rebuild);
    mln_put_text(cx, data, "auto_rebuild_grace_period", period_text(cx, c->grace_s));
    mln_put_text(cx, data, "delta_rebuild_interval", period_text(cx, c->delta_s));
    mln_put_bool(cx, data, "disable", c->disable);
    mln_put_bool(cx, data, "enable_delta", c->enable_delta);
    mln_put_text(cx, data, "expiry", period_text(cx, c->expiry_s));
    mln_put_bool(cx, data, "ocsp_disable", c->ocsp_disable);
    mln_put_text(cx, data, "ocsp_expiry", period_text(cx, c->ocsp_s));
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err pki_crl_config_read(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_crl_config c;
    MLN_TRY(pki_crl_config_load(rq, &c));
    return crl_answer(rq, re, &c);
}

static struct mln_err crl_config_check(struct mln_cx *cx, const struct pki_crl_config *c)
{
    if (c->expiry_s < 1 || c->expiry_s > PKI_TTL_MAX_S || c->ocsp_s < 0 ||
        c->ocsp_s > PKI_TTL_MAX_S) {
        return mln_fail(cx, MLN_E_INVALID, "given duration is out of range");
    }
    if (c->grace_s < 0 || c->delta_s < 1) {
        return mln_fail(cx, MLN_E_INVALID, "given duration must not be negative");
    }
    if (c->auto_rebuild && c->grace_s >= c->expiry_s) {
        return mln_fail(cx, MLN_E_INVALID,
                        "CRL auto-rebuilding grace period (%s) must be strictly shorter than CRL "
                        "expiry (%s) value when auto-rebuilding of CRLs is enabled",
                        period_text(cx, c->grace_s), period_text(cx, c->expiry_s));
    }
    if (c->auto_rebuild && c->enable_delta && c->delta_s >= c->expiry_s) {
        return mln_fail(cx, MLN_E_INVALID,
                        "CRL delta rebuild window (%s) must be strictly shorter than CRL expiry "
                        "(%s) value when delta CRLs are enabled",
                        period_text(cx, c->delta_s), period_text(cx, c->expiry_s));
    }
    if (c->enable_delta && !c->auto_rebuild) {
        return mln_fail(cx, MLN_E_INVALID,
                        "Delta CRLs cannot be enabled when auto rebuilding is disabled as the "
                        "complete CRL is always regenerated");
    }
    return MLN_OK;
}

struct mln_err pki_crl_config_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const names[] = {"allow_expired_cert_revocation",
                                        "auto_rebuild",
                                        "auto_rebuild_grace_period",
                                        "delta_rebuild_interval",
                                        "disable",
                                        "enable_delta",
                                        "expiry",
                                        "ocsp_disable",
                                        "ocsp_expiry"};
    const struct mln_value *old = NULL;
    struct mln_value *v = mln_object(rq->cx);
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("crl"), &old));
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        const struct mln_value *given = mln_field_of(rq, names[i]);
        const struct mln_value *keep = given != NULL ? given : mln_get(old, names[i]);
        if (keep != NULL) {
            mln_put(rq->cx, v, names[i], keep);
        }
    }
    struct pki_crl_config c = crl_config_of(v);
    MLN_TRY(crl_config_check(rq->cx, &c));
    MLN_TRY(pki_put(rq, "config/", MLN_BYTES("crl"), v));
    return crl_answer(rq, re, &c);
}
