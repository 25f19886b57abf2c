/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: certificates that are no CA's: issue (with a new key), sign (a request), sign-verbatim. */
#include "engine/pki_priv.h"

#include "base/text.h"

#define EXTENSIONS_MAX (MLN_X509_EXTS_MAX + 16)

/* A leaf on its way. */
struct leaf {
    struct mln_request *rq;
    struct mln_reply *re;
    const struct mln_value *role;
    struct pki_issuer issuer;
    struct pki_validity validity;
    enum pki_format format;
    struct pki_names names;
    struct mln_bytes subject, spki, serial, der;
    struct mln_bytes extensions[EXTENSIONS_MAX];
    size_t n;
};

static void add(struct leaf *leaf, struct mln_bytes extension)
{
    MLN_CHECK(leaf->n < EXTENSIONS_MAX);
    leaf->extensions[leaf->n++] = extension;
}

/* Role, issuer, validity, format: the same for all three. */
static struct mln_err begin(struct leaf *leaf)
{
    struct mln_request *rq = leaf->rq;
    struct mln_bytes ref = pki_text(rq, "issuer_ref");
    MLN_TRY(pki_format_of(rq, &leaf->format));
    ref = ref.len > 0 ? ref : mln_get_bytes(mln_get(leaf->role, "issuer_ref"));
    MLN_TRY(pki_issuer_need(rq, ref, PKI_ISSUING, &leaf->issuer));
    MLN_TRY(pki_validity_of(rq, leaf->re, leaf->role, &leaf->validity));
    return pki_validity_fit(rq, &leaf->issuer, leaf->issuer.leaf, &leaf->validity);
}

/* What the role gives to a certificate. */
static void role_extensions(struct leaf *leaf)
{
    struct mln_cx *cx = leaf->rq->cx;
    unsigned usage = pki_key_usage_of(leaf->role);
    const struct mln_value *ext_usage = pki_ext_key_usage_of(cx, leaf->role),
                           *policies = mln_get(leaf->role, "policy_identifiers");
    if (usage != 0) {
        add(leaf, mln_ext_key_usage(cx, usage));
    }
    if (mln_len(ext_usage) > 0) {
        add(leaf, mln_ext_ext_key_usage(cx, ext_usage));
    }
    if (mln_get_bool(mln_get(leaf->role, "basic_constraints_valid_for_non_ca"), false)) {
        add(leaf, mln_ext_basic(cx, false, -1));
    }
    if (mln_len(policies) > 0) {
        add(leaf, mln_ext_policies(cx, policies));
    }
}

static struct mln_err make(struct leaf *leaf)
{
    struct mln_request *rq = leaf->rq;
    struct mln_x509_signer by;
    int64_t hash_bits = mln_get_int(mln_get(leaf->role, "signature_bits"), 0);
    MLN_TRY(pki_signer_of(rq, &leaf->issuer, hash_bits,
                          mln_get_bool(mln_get(leaf->role, "use_pss"), false), &by));
    MLN_TRY(pki_common_extensions(rq, &leaf->issuer, leaf->spki, leaf->extensions, &leaf->n));
    leaf->serial = pki_serial_random(rq->cx);
    struct mln_cert_spec spec = {
        .serial = leaf->serial,
        .issuer = leaf->issuer.subject,
        .subject = leaf->subject,
        .spki = leaf->spki,
        .not_before_s = leaf->validity.not_before_s,
        .not_after_s = leaf->validity.not_after_s,
        .extensions = leaf->extensions,
        .n = leaf->n,
    };
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_cert_build(rq->cx, &spec, &by, &leaf->der));
    bool is_kept = !mln_get_bool(mln_get(leaf->role, "no_store"), false);
    return is_kept ? pki_cert_store(rq, leaf->serial, leaf->der, leaf->issuer.id,
                                    leaf->validity.not_after_s)
                   : MLN_OK;
}

static struct mln_err lease(struct leaf *leaf)
{
    struct mln_request *rq = leaf->rq;
    struct mln_lease *lease = MLN_NEW(rq->cx, struct mln_lease);
    struct mln_value *internal = mln_object(rq->cx);
    MLN_TRY(mln_cx_err(rq->cx));
    mln_put_text(rq->cx, internal, "serial_number", pki_serial_text(rq->cx, leaf->serial));
    int64_t ttl_s = leaf->validity.not_after_s - rq->now_ns / 1000000000;
    *lease = (struct mln_lease){
        .ttl_s = ttl_s > 0 ? ttl_s : 1, .max_ttl_s = ttl_s > 0 ? ttl_s : 1, .internal = internal};
    leaf->re->lease = lease;
    return mln_cx_err(rq->cx);
}

/* key NULL: it stays with who asked. */
static struct mln_err answer(struct leaf *leaf, const struct mln_key *key)
{
    struct mln_request *rq = leaf->rq;
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    const char *cert = pki_cert_text(cx, leaf->format, leaf->der), *bundle = NULL, *key_text = NULL;
    const char *serial = pki_serial_text(cx, leaf->serial);
    MLN_TRY(pki_put_chain(rq, data, &leaf->issuer, leaf->format, &bundle));
    mln_put_text(cx, data, "certificate", cert);
    mln_put_int(cx, data, "expiration", leaf->validity.not_after_s);
    mln_put_int(cx, data, "not_before", leaf->validity.not_before_s);
    if (key != NULL) {
        MLN_TRY(pki_put_key(rq, data, key, leaf->format, &key_text));
    }
    if (leaf->format == PKI_PEM_BUNDLE) {
        const char *all = mln_text_format(cx, "%s%s%s\n%s", key_text != NULL ? key_text : "",
                                          key_text != NULL ? "\n" : "", cert, bundle);
        pki_put_secret(cx, data, "certificate", all);
    }
    mln_put_text(cx, data, "serial_number", serial);
    mln_put_text(cx, rq->detail, "serial_number", serial);
    mln_put_text(cx, rq->detail, "issuer_id", leaf->issuer.id);
    leaf->re->data = data;
    bool has_lease = mln_get_bool(mln_get(leaf->role, "generate_lease"), false);
    return has_lease ? lease(leaf) : mln_cx_err(cx);
}

/* Names and subject by the role. */
static struct mln_err name_it(struct leaf *leaf, const struct mln_x509_info *csr)
{
    struct mln_request *rq = leaf->rq;
    MLN_TRY(pki_names_take(rq, leaf->role, csr, &leaf->names));
    MLN_TRY(pki_names_check(rq, leaf->role, &leaf->names));
    MLN_TRY(pki_subject_of(rq, leaf->role, leaf->names.common_name, &leaf->subject));
    role_extensions(leaf);
    if (leaf->names.n > 0) {
        bool is_nameless = leaf->subject.len == 2; /* an empty sequence: RFC 5280 sec. 4.2.1.6 */
        add(leaf, mln_ext_names(rq->cx, leaf->names.sans, leaf->names.n, is_nameless));
    }
    return mln_cx_err(rq->cx);
}

struct mln_err pki_issue_write(struct mln_request *rq, struct mln_reply *re)
{
    struct leaf leaf = {.rq = rq, .re = re};
    struct mln_key key;
    enum mln_key_kind kind = MLN_KEY_RSA;
    MLN_TRY(pki_role_load(rq, pki_text(rq, "role"), &leaf.role));
    if (!mln_key_kind_of(mln_get_bytes(mln_get(leaf.role, "key_type")), &kind)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "role key type \"any\" not allowed for issuing certificates, only signing");
    }
    MLN_TRY(begin(&leaf));
    MLN_TRY(name_it(&leaf, NULL));
    if (kind == MLN_KEY_RSA) {
        rq->services->block(rq); /* primes take their time */
    }
    MLN_TRY(mln_key_generate(rq->cx, kind, (unsigned)mln_get_int(mln_get(leaf.role, "key_bits"), 0),
                             &key));
    leaf.spki = key.spki;
    MLN_TRY(make(&leaf));
    return answer(&leaf, &key);
}

static struct mln_err check_key(struct mln_request *rq, const struct mln_value *role,
                                const struct mln_x509_info *csr)
{
    struct mln_bytes type = mln_get_bytes(mln_get(role, "key_type"));
    int64_t bits = mln_get_int(mln_get(role, "key_bits"), 0);
    if (csr->kind == MLN_KEY_RSA && csr->bits < 2048) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "RSA keys < 2048 bits are unsafe and not supported: got %u", csr->bits);
    }
    if (mln_bytes_is(type, "any")) {
        return MLN_OK;
    }
    if (!mln_bytes_is(type, mln_key_kind_name(csr->kind))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role requires keys of type %.*s", MLN_FMT(type));
    }
    if (csr->bits < bits) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "role requires a minimum of a %lld-bit key, but CSR's key is %u bits",
                        (long long)bits, csr->bits);
    }
    return MLN_OK;
}

struct mln_err pki_sign_write(struct mln_request *rq, struct mln_reply *re)
{
    struct leaf leaf = {.rq = rq, .re = re};
    struct mln_x509_info csr;
    MLN_TRY(pki_role_load(rq, pki_text(rq, "role"), &leaf.role));
    MLN_TRY(begin(&leaf));
    MLN_TRY(pki_csr_of(rq, &csr));
    MLN_TRY(check_key(rq, leaf.role, &csr));
    MLN_TRY(name_it(&leaf, &csr));
    leaf.spki = csr.spki;
    MLN_TRY(make(&leaf));
    return answer(&leaf, NULL);
}

/* ---- verbatim ---- */

/* A role where one is named, for its TTLs and issuer; the request's own words else. */
static struct mln_err verbatim_role(struct mln_request *rq, const struct mln_value **ret)
{
    static const char *const kept[] = {"ttl",      "max_ttl",    "generate_lease",
                                       "no_store", "issuer_ref", "not_before_duration",
                                       "not_after"};
    struct mln_bytes name = pki_text(rq, "role");
    const struct mln_value *named = NULL, *open = pki_role_open(rq);
    struct mln_value *role = mln_value_dup(rq->cx, open);
    MLN_TRY(mln_cx_err(rq->cx));
    if (name.len > 0) {
        MLN_TRY(pki_role_load(rq, name, &named));
    }
    for (size_t i = 0; i < MLN_COUNT(kept) && named != NULL; i++) {
        mln_put(rq->cx, role, kept[i], mln_get(named, kept[i]));
    }
    *ret = role;
    return mln_cx_err(rq->cx);
}

/* Extensions of the request that the issuer decides, whatever the request says. */
static bool is_ours(const char *oid)
{
    static const char *const ours[] = {"2.5.29.19", "2.5.29.14",         "2.5.29.35", "2.5.29.31",
                                       "2.5.29.46", "1.3.6.1.5.5.7.1.1", "2.5.29.15"};
    for (size_t i = 0; i < MLN_COUNT(ours); i++) {
        if (mln_bytes_is(mln_bytes_of(oid), ours[i])) {
            return true;
        }
    }
    return false;
}

static bool has_extension(const struct mln_x509_info *csr, const char *oid)
{
    for (size_t i = 0; i < csr->extensions_n; i++) {
        if (mln_bytes_is(mln_bytes_of(csr->extensions[i].oid), oid)) {
            return true;
        }
    }
    return false;
}

static void verbatim_extensions(struct leaf *leaf, const struct mln_x509_info *csr)
{
    struct mln_cx *cx = leaf->rq->cx;
    const unsigned of_ca = MLN_KU_CERT_SIGN | MLN_KU_CRL_SIGN; /* a leaf signs no certificates */
    unsigned usage = (csr->key_usage != 0 ? csr->key_usage : pki_key_usage_of(leaf->role)) & ~of_ca;
    const struct mln_value *ext_usage = pki_ext_key_usage_of(cx, leaf->role);
    if (usage != 0) {
        add(leaf, mln_ext_key_usage(cx, usage));
    }
    if (!has_extension(csr, "2.5.29.37") && mln_len(ext_usage) > 0) {
        add(leaf, mln_ext_ext_key_usage(cx, ext_usage));
    }
    for (size_t i = 0; i < csr->extensions_n; i++) {
        bool is_twice = false;
        for (size_t j = 0; j < i; j++) {
            is_twice = is_twice ||
                       mln_bytes_is(mln_bytes_of(csr->extensions[j].oid), csr->extensions[i].oid);
        }
        if (!is_ours(csr->extensions[i].oid) && !is_twice) {
            add(leaf, csr->extensions[i].der);
        }
    }
}

struct mln_err pki_verbatim_write(struct mln_request *rq, struct mln_reply *re)
{
    struct leaf leaf = {.rq = rq, .re = re};
    struct mln_x509_info csr;
    MLN_TRY(verbatim_role(rq, &leaf.role));
    MLN_TRY(begin(&leaf));
    MLN_TRY(pki_csr_of(rq, &csr));
    if (csr.kind == MLN_KEY_RSA && csr.bits < 2048) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "RSA keys < 2048 bits are unsafe and not supported: got %u", csr.bits);
    }
    leaf.subject = csr.subject;
    leaf.spki = csr.spki;
    verbatim_extensions(&leaf, &csr);
    MLN_TRY(make(&leaf));
    return answer(&leaf, NULL);
}
