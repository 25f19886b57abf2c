/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: what certificates of all kinds have in common: how long they live, subject, shared extensions, forms of answers. */
#include "engine/pki_priv.h"

#include "base/text.h"

#define SECOND_NS    ((int64_t)1000000000)
#define SYSTEM_TTL_S 2764800 /* Vault's default and maximum: 32 days */

/* ---- validity ---- */

static struct mln_err time_field(struct mln_request *rq, const char *name, struct mln_bytes text,
                                 int64_t *ret_ns)
{
    if (!mln_time_parse(text, ret_ns) ||
        *ret_ns / SECOND_NS > 253402300799) { /* 9999-12-31: RFC 5280 sec. 4.1.2.5 */
        return mln_fail(rq->cx, MLN_E_INVALID, "%s is not a time of RFC 3339", name);
    }
    return MLN_OK;
}

static struct mln_err begin_of(struct mln_request *rq, const struct mln_value *role,
                               int64_t *ret_ns)
{
    struct mln_bytes asked = pki_text(rq, "not_before"),
                     fixed = mln_get_bytes(mln_get(role, "not_before"));
    const struct mln_value *bound = mln_get(role, "not_before_bound");
    int64_t slack_s = mln_get_int(mln_get(role, "not_before_duration"), 30);
    *ret_ns = rq->now_ns - slack_s * SECOND_NS;
    if (asked.len > 0 && mln_is_text(bound, "forbid")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "not_before may not be given for this role");
    }
    if (asked.len == 0 && fixed.len == 0) {
        return MLN_OK;
    }
    int64_t earliest = *ret_ns;
    MLN_TRY(time_field(rq, "not_before", asked.len > 0 ? asked : fixed, ret_ns));
    if (asked.len > 0 && mln_is_text(bound, "duration") && *ret_ns < earliest) {
        return mln_fail(rq->cx, MLN_E_INVALID, "not_before is earlier than this role permits");
    }
    return MLN_OK;
}

/* Seconds that a certificate may live: by role and mount. */
static int64_t longest_s(struct mln_request *rq, const struct mln_value *role)
{
    int64_t mount = rq->mount->max_ttl_s > 0 ? rq->mount->max_ttl_s : SYSTEM_TTL_S;
    int64_t own = mln_get_int(mln_get(role, "max_ttl"), 0);
    return own > 0 && own < mount ? own : mount;
}

static struct mln_err ttl_of(struct mln_request *rq, struct mln_reply *re,
                             const struct mln_value *role, int64_t *ret_s)
{
    int64_t max = longest_s(rq, role), ttl = mln_get_int(mln_field_of(rq, "ttl"), 0);
    bool is_asked = ttl != 0;
    if (ttl < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "ttl cannot be negative");
    }
    ttl = ttl > 0 ? ttl : mln_get_int(mln_get(role, "ttl"), 0);
    ttl = ttl > 0 ? ttl : rq->mount->default_ttl_s > 0 ? rq->mount->default_ttl_s : SYSTEM_TTL_S;
    if (ttl > max && is_asked) {
        mln_reply_warn(
            rq, re,
            mln_text_format(
                rq->cx,
                "TTL \"%s\" is longer than permitted maxTTL \"%s\", so maxTTL is being used",
                mln_duration_text(rq->cx, ttl), mln_duration_text(rq->cx, max)));
    }
    *ret_s = ttl > max ? max : ttl;
    return MLN_OK;
}

static struct mln_err end_of(struct mln_request *rq, struct mln_reply *re,
                             const struct mln_value *role, int64_t *ret_ns)
{
    struct mln_bytes asked = pki_text(rq, "not_after"),
                     fixed = mln_get_bytes(mln_get(role, "not_after"));
    const struct mln_value *bound = mln_get(role, "not_after_bound");
    bool has_ttl = mln_get_int(mln_field_of(rq, "ttl"), 0) != 0;
    int64_t ttl_s = 0;
    if (asked.len > 0 && has_ttl) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "Either ttl or not_after should be provided. Both should not be provided "
                        "in the same request.");
    }
    if (asked.len > 0 && mln_is_text(bound, "forbid")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "not_after may not be given for this role");
    }
    if (asked.len == 0 && (has_ttl || fixed.len == 0)) {
        MLN_TRY(ttl_of(rq, re, role, &ttl_s));
        *ret_ns = rq->now_ns + ttl_s * SECOND_NS;
        return MLN_OK;
    }
    MLN_TRY(time_field(rq, "not_after", asked.len > 0 ? asked : fixed, ret_ns));
    if (asked.len > 0 && mln_is_text(bound, "ttl-limited") &&
        *ret_ns > rq->now_ns + longest_s(rq, role) * SECOND_NS) {
        return mln_fail(rq->cx, MLN_E_INVALID, "not_after is later than this role permits");
    }
    return MLN_OK;
}

struct mln_err pki_validity_of(struct mln_request *rq, struct mln_reply *re,
                               const struct mln_value *role, struct pki_validity *ret)
{
    int64_t begin = 0, end = 0;
    MLN_TRY(begin_of(rq, role, &begin));
    MLN_TRY(end_of(rq, re, role, &end));
    if (begin > end) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "The certificate's Not Before (%s) is later than the certificate's Not After (%s)",
            mln_time_text_go(rq->cx, begin), mln_time_text_go(rq->cx, end));
    }
    ret->not_before_s = begin / SECOND_NS;
    ret->not_after_s = end / SECOND_NS;
    return MLN_OK;
}

struct mln_err pki_validity_fit(struct mln_request *rq, const struct pki_issuer *issuer,
                                enum pki_leaf leaf, struct pki_validity *v)
{
    if (v->not_after_s <= issuer->not_after_s || leaf == PKI_LEAF_PERMIT) {
        return MLN_OK;
    }
    if (leaf == PKI_LEAF_TRUNCATE && v->not_before_s <= issuer->not_after_s) {
        v->not_after_s = issuer->not_after_s;
        return MLN_OK;
    }
    return mln_fail(rq->cx, MLN_E_INVALID,
                    "cannot satisfy request, as TTL would result in notAfter of %s that is beyond "
                    "the expiration of the CA certificate at %s",
                    mln_time_text(rq->cx, v->not_after_s * SECOND_NS, 0),
                    mln_time_text(rq->cx, issuer->not_after_s * SECOND_NS, 0));
}

/* ---- subject and requests ---- */

struct mln_err pki_subject_of(struct mln_request *rq, const struct mln_value *from,
                              struct mln_bytes common_name, struct mln_bytes *ret)
{
    struct mln_x509_name name = {
        .country = mln_get(from, "country"),
        .organization = mln_get(from, "organization"),
        .ou = mln_get(from, "ou"),
        .locality = mln_get(from, "locality"),
        .province = mln_get(from, "province"),
        .street = mln_get(from, "street_address"),
        .postal_code = mln_get(from, "postal_code"),
        .user_ids = mln_field_of(rq, "user_ids"),
        .common_name = common_name,
        .serial_number = pki_text(rq, "serial_number"),
    };
    return mln_x509_name_print(rq->cx, &name, ret);
}

struct mln_err pki_csr_of(struct mln_request *rq, struct mln_x509_info *ret)
{
    struct mln_bytes text = pki_text(rq, "csr"), der;
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "\"csr\" is empty");
    }
    MLN_TRY(pki_pem_one(rq->cx, text, "CERTIFICATE REQUEST", "csr contains no data", &der));
    struct mln_err err = mln_x509_csr_read(rq->cx, der, ret);
    if (mln_is(err, MLN_E_PARSE)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "certificate request could not be parsed");
    }
    return mln_is(err, MLN_E_FORGED)
               ? mln_refail(rq->cx, MLN_E_INVALID, "request signature invalid")
               : err;
}

/* ---- extensions ---- */

struct mln_err pki_common_extensions(struct mln_request *rq, const struct pki_issuer *issuer,
                                     struct mln_bytes spki, struct mln_bytes *parts, size_t *n)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes id;
    struct pki_urls urls;
    MLN_TRY(mln_x509_key_id(cx, spki, &id));
    MLN_TRY(pki_urls_of(rq, issuer, &urls));
    parts[(*n)++] = mln_ext_subject_key(cx, id);
    parts[(*n)++] = mln_ext_authority_key(cx, issuer->subject_key);
    if (mln_len(urls.ocsp) + mln_len(urls.issuing) > 0) {
        parts[(*n)++] = mln_ext_access(cx, urls.ocsp, urls.issuing);
    }
    if (mln_len(urls.crl) > 0) {
        parts[(*n)++] = mln_ext_crl_points(cx, urls.crl, false);
    }
    if (mln_len(urls.delta) > 0) {
        parts[(*n)++] = mln_ext_crl_points(cx, urls.delta, true);
    }
    return mln_cx_err(cx);
}

/* ---- forms ---- */

struct mln_err pki_format_of(struct mln_request *rq, enum pki_format *ret)
{
    static const char *const names[] = {
        [PKI_PEM] = "pem", [PKI_DER] = "der", [PKI_PEM_BUNDLE] = "pem_bundle"};
    struct mln_bytes text = pki_text(rq, "format");
    *ret = PKI_PEM;
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(text, names[i])) {
            *ret = (enum pki_format)i;
            return MLN_OK;
        }
    }
    return text.len == 0
               ? MLN_OK
               : mln_fail(
                     rq->cx, MLN_E_INVALID,
                     "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"");
}

const char *pki_cert_text(struct mln_cx *cx, enum pki_format format, struct mln_bytes der)
{
    return format == PKI_DER ? mln_base64_text(cx, der, MLN_B64_STD)
                             : mln_pem_text(cx, "CERTIFICATE", der);
}

struct mln_err pki_put_key(struct mln_request *rq, struct mln_value *out, const struct mln_key *key,
                           enum pki_format format, const char **ret_pem)
{
    bool is_pkcs8 =
        mln_bytes_is(pki_text(rq, "private_key_format"), "pkcs8") || key->kind == MLN_KEY_ED25519;
    struct mln_bytes der = is_pkcs8 ? key->pkcs8 : key->plain;
    const char *label = is_pkcs8                  ? "PRIVATE KEY"
                        : key->kind == MLN_KEY_EC ? "EC PRIVATE KEY"
                                                  : "RSA PRIVATE KEY";
    const char *text = format == PKI_DER ? mln_base64_text(rq->cx, der, MLN_B64_STD)
                                         : mln_pem_text(rq->cx, label, der);
    pki_put_secret(rq->cx, out, "private_key", text);
    mln_put_text(rq->cx, out, "private_key_type", mln_key_kind_name(key->kind));
    if (ret_pem != NULL) {
        *ret_pem = text;
    }
    return mln_cx_err(rq->cx);
}

static bool is_root(struct mln_cx *cx, struct mln_bytes der)
{
    struct mln_x509_info info;
    bool is = !mln_failed(mln_x509_cert_read(cx, der, &info)) && pki_issuer_is_self(&info);
    return is;
}

struct mln_err pki_put_chain(struct mln_request *rq, struct mln_value *out,
                             const struct pki_issuer *issuer, enum pki_format format,
                             const char **ret_bundle)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes ders[PKI_CHAIN_MAX];
    size_t n = 0;
    struct mln_value *chain = mln_array(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf bundle = {0};
    bool without_roots = pki_flag(rq, "remove_roots_from_chain", false);
    MLN_TRY(pki_chain(rq, issuer, ders, &n));
    for (size_t i = 0; i < n; i++) {
        if (without_roots && is_root(cx, ders[i])) {
            continue;
        }
        const char *text = pki_cert_text(cx, format, ders[i]);
        mln_push_text(cx, chain, text);
        mln_buf_add_format(&bundle, "%s%s", bundle.len > 0 ? "\n" : "", text);
    }
    mln_put(cx, out, "ca_chain", chain);
    mln_put_text(cx, out, "issuing_ca", pki_cert_text(cx, format, issuer->der));
    MLN_TRY(mln_buf_ok(cx, &bundle));
    if (ret_bundle != NULL) {
        *ret_bundle = mln_text_dup(cx, mln_buf_bytes(&bundle));
    }
    return mln_cx_err(cx);
}

struct mln_err pki_cert_store(struct mln_request *rq, struct mln_bytes serial, struct mln_bytes der,
                              const char *issuer_id, int64_t not_after_s)
{
    struct mln_value *v = mln_array(rq->cx);
    mln_push(rq->cx, v, mln_blob(rq->cx, der));
    mln_push_text(rq->cx, v, issuer_id);
    mln_push(rq->cx, v, mln_int(rq->cx, not_after_s));
    return pki_put(rq, "cert/", mln_bytes_of(pki_serial_text(rq->cx, serial)), v);
}
