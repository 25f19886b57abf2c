/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: certificates of CAs: own roots, requests of intermediates, signing those of others. */
#include "engine/pki_priv.h"

#define EXTENSIONS_MAX (MLN_X509_EXTS_MAX + 16)

/* Where the key comes from. */
enum source { SOURCE_INTERNAL, SOURCE_EXPORTED, SOURCE_EXISTING };

static struct mln_err source_of(struct mln_request *rq, enum source *ret)
{
    static const char *const names[] = {[SOURCE_INTERNAL] = "internal",
                                        [SOURCE_EXPORTED] = "exported",
                                        [SOURCE_EXISTING] = "existing"};
    struct mln_bytes how = pki_text(rq, "exported");
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(how, names[i])) {
            *ret = (enum source)i;
            return MLN_OK;
        }
    }
    if (mln_bytes_is(how, "kms")) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "keys in hardware are not supported");
    }
    return mln_fail(rq->cx, MLN_E_INVALID,
                    "the \"exported\" path parameter must be \"internal\", \"existing\", "
                    "exported\" or \"kms\"");
}

/* Make or find the key. Only a made one has the form that can be exported. */
static struct mln_err key_of(struct mln_request *rq, enum source source, struct pki_key *ret)
{
    enum mln_key_kind kind = MLN_KEY_RSA;
    unsigned bits = 0;
    struct mln_key made;
    bool is_new = false;
    if (source == SOURCE_EXISTING) {
        struct mln_bytes ref = pki_text(rq, "key_ref");
        ref = ref.len > 0 ? ref : MLN_BYTES("default");
        struct mln_err err = pki_key_find(rq, ref, ret);
        return mln_is(err, MLN_E_NOT_FOUND)
                   ? mln_fail(rq->cx, MLN_E_INVALID, "unable to find PKI key for reference: %.*s",
                              MLN_FMT(ref))
                   : err;
    }
    MLN_TRY(pki_key_want(rq, pki_text(rq, "key_type"), mln_get_int(mln_field_of(rq, "key_bits"), 0),
                         &kind, &bits));
    MLN_TRY(mln_key_generate(rq->cx, kind, bits, &made));
    return pki_key_add(rq, &made, pki_text(rq, "key_name"), ret, &is_new);
}

/* ---- what a CA's certificate says ---- */

struct ca {
    struct mln_request *rq;
    struct mln_reply *re;
    const struct mln_value *role; /* the request's own words over defaults */
    struct pki_validity validity;
    enum pki_format format;
    struct pki_names names;
    struct mln_bytes subject, serial, der;
    struct mln_bytes extensions[EXTENSIONS_MAX];
    size_t n;
};

/* Names as given: who may make CAs may name them. */
static struct mln_err name_it(struct ca *ca, const struct mln_x509_info *csr)
{
    struct mln_value *role = mln_value_dup(ca->rq->cx, pki_role_open(ca->rq));
    MLN_TRY(mln_cx_err(ca->rq->cx));
    mln_put_bool(ca->rq->cx, role, "require_cn", false);
    mln_put_bool(ca->rq->cx, role, "use_csr_common_name", csr != NULL);
    mln_put_bool(ca->rq->cx, role, "use_csr_sans", csr != NULL);
    ca->role = role;
    MLN_TRY(pki_names_take(ca->rq, role, csr, &ca->names));
    if (csr != NULL) {
        ca->subject = csr->subject;
        return MLN_OK;
    }
    return pki_subject_of(ca->rq, role, ca->names.common_name, &ca->subject);
}

static void add(struct ca *ca, struct mln_bytes extension)
{
    MLN_CHECK(ca->n < EXTENSIONS_MAX);
    ca->extensions[ca->n++] = extension;
}

/* issuer's own path length (-1 = none) bounds that of what it signs. */
static struct mln_err path_length_of(struct mln_request *rq, int64_t of_issuer, int64_t *ret)
{
    int64_t asked = mln_get_int(mln_field_of(rq, "max_path_length"), -1);
    if (asked < -1 || asked > 255) {
        return mln_fail(rq->cx, MLN_E_INVALID, "max_path_length must be -1 to 255");
    }
    if (of_issuer == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "signing certificate has a max path length of zero, and cannot issue "
                        "further CA certificates");
    }
    if (of_issuer > 0 && asked >= of_issuer) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "specified max path length must be smaller than the signing certificate's");
    }
    *ret = asked == -1 && of_issuer > 0 ? of_issuer - 1 : asked;
    return MLN_OK;
}

static struct mln_err ca_extensions(struct ca *ca, int64_t path_length)
{
    struct mln_cx *cx = ca->rq->cx;
    unsigned usage = MLN_KU_CERT_SIGN | MLN_KU_CRL_SIGN;
    const struct mln_value *permitted = mln_field_of(ca->rq, "permitted_dns_domains"),
                           *policies = mln_get(ca->role, "policy_identifiers");
    add(ca, mln_ext_basic(cx, true, path_length));
    add(ca, mln_ext_key_usage(cx, usage));
    if (ca->names.n > 0) {
        add(ca, mln_ext_names(cx, ca->names.sans, ca->names.n, ca->subject.len == 2));
    }
    if (mln_len(permitted) > 0) {
        add(ca, mln_ext_permitted_dns(cx, permitted));
    }
    if (mln_len(policies) > 0) {
        add(ca, mln_ext_policies(cx, policies));
    }
    return mln_cx_err(cx);
}

static struct mln_err build(struct ca *ca, struct mln_bytes issuer, struct mln_bytes spki,
                            const struct mln_x509_signer *by)
{
    ca->serial = pki_serial_random(ca->rq->cx);
    struct mln_cert_spec spec = {
        .serial = ca->serial,
        .issuer = issuer,
        .subject = ca->subject,
        .spki = spki,
        .not_before_s = ca->validity.not_before_s,
        .not_after_s = ca->validity.not_after_s,
        .extensions = ca->extensions,
        .n = ca->n,
    };
    MLN_TRY(mln_cx_err(ca->rq->cx));
    return mln_cert_build(ca->rq->cx, &spec, by, &ca->der);
}

static struct mln_err signer_of(struct ca *ca, const struct mln_key *key,
                                struct mln_x509_signer *ret)
{
    int64_t hash_bits = mln_get_int(mln_get(ca->role, "signature_bits"), 0);
    ret->pkcs8 = key->pkcs8;
    return mln_sig_pick(ca->rq->cx, key->kind, key->bits, hash_bits,
                        mln_get_bool(mln_get(ca->role, "use_pss"), false), &ret->sig);
}

/* ---- roots ---- */

static struct mln_err root_answer(struct ca *ca, const struct pki_issuer *issuer,
                                  const struct pki_key *key, enum source source)
{
    struct mln_request *rq = ca->rq;
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    const char *cert = pki_cert_text(cx, ca->format, ca->der), *key_text = NULL;
    mln_put_text(cx, data, "certificate", cert);
    mln_put_int(cx, data, "expiration", ca->validity.not_after_s);
    mln_put_text(cx, data, "issuer_id", issuer->id);
    mln_put_text(cx, data, "issuer_name", issuer->name);
    mln_put_text(cx, data, "issuing_ca", cert);
    mln_put_text(cx, data, "key_id", key->id);
    mln_put_text(cx, data, "key_name", key->name);
    if (source == SOURCE_EXPORTED) {
        MLN_TRY(pki_put_key(rq, data, &key->key, ca->format, &key_text));
        if (ca->format == PKI_PEM_BUNDLE) {
            pki_put_secret(cx, data, "certificate", mln_text_format(cx, "%s\n%s", key_text, cert));
        }
    }
    mln_put_text(cx, data, "serial_number", pki_serial_text(cx, ca->serial));
    mln_put_text(cx, rq->detail, "issuer_id", issuer->id);
    ca->re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err warn_urls(struct mln_request *rq, struct mln_reply *re,
                                const struct pki_issuer *issuer)
{
    struct pki_urls urls;
    MLN_TRY(pki_urls_of(rq, issuer, &urls));
    if (mln_len(urls.crl) + mln_len(urls.ocsp) + mln_len(urls.issuing) == 0) {
        mln_reply_warn(rq, re,
                       "This mount hasn't configured any authority information access (AIA) "
                       "fields: systems may not find missing "
                       "certificates of the chain or revocation status. Set them in config/urls or "
                       "at the issuer.");
    }
    return MLN_OK;
}

static struct mln_err generate(struct mln_request *rq, struct mln_reply *re, struct mln_bytes name)
{
    struct ca ca = {.rq = rq, .re = re};
    enum source source;
    struct pki_key key;
    struct pki_issuer issuer;
    struct mln_x509_signer by;
    struct mln_bytes id;
    int64_t length = -1;
    bool is_new = false;
    MLN_TRY(source_of(rq, &source));
    MLN_TRY(pki_format_of(rq, &ca.format));
    if (name.len > 0) {
        MLN_TRY(pki_name_check(rq, "issuer", name));
    }
    MLN_TRY(name_it(&ca, NULL));
    MLN_TRY(pki_validity_of(rq, re, ca.role, &ca.validity));
    MLN_TRY(path_length_of(rq, -1, &length));
    MLN_TRY(ca_extensions(&ca, length));
    MLN_TRY(key_of(rq, source, &key));
    MLN_TRY(mln_x509_key_id(rq->cx, key.key.spki, &id));
    add(&ca, mln_ext_subject_key(rq->cx, id));
    add(&ca, mln_ext_authority_key(rq->cx, id));
    MLN_TRY(signer_of(&ca, &key.key, &by));
    MLN_TRY(build(&ca, ca.subject, key.key.spki, &by));
    MLN_TRY(pki_issuer_add(rq, ca.der, name, &issuer, &is_new));
    MLN_TRY(pki_default_set(rq, issuer.id, NULL, true));
    MLN_TRY(pki_chains_find(rq));
    MLN_TRY(pki_cert_store(rq, ca.serial, ca.der, issuer.id, ca.validity.not_after_s));
    MLN_TRY(warn_urls(rq, re, &issuer));
    return root_answer(&ca, &issuer, &key, source);
}

struct mln_err pki_root_generate(struct mln_request *rq, struct mln_reply *re)
{
    return generate(rq, re, pki_text(rq, "issuer_name"));
}

struct mln_err pki_root_rotate(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name = pki_text(rq, "issuer_name");
    return generate(rq, re, name.len > 0 ? name : MLN_BYTES("next"));
}

/* All issuers and keys; certificates and lists stay. */
struct mln_err pki_root_remove(struct mln_request *rq, struct mln_reply *re)
{
    re->status = 204;
    MLN_TRY(mln_txn_delete_all(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("issuer/")));
    MLN_TRY(mln_txn_delete_all(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key/")));
    return pki_default_set(rq, "", "", false);
}

/* ---- intermediates: our request to someone else ---- */

static struct mln_err request(struct mln_request *rq, struct mln_reply *re, enum source source)
{
    struct ca ca = {.rq = rq, .re = re};
    struct mln_cx *cx = rq->cx;
    struct pki_key key;
    struct mln_x509_signer by;
    struct mln_bytes der;
    const char *key_text = NULL;
    MLN_TRY(pki_format_of(rq, &ca.format));
    MLN_TRY(name_it(&ca, NULL));
    MLN_TRY(key_of(rq, source, &key));
    MLN_TRY(signer_of(&ca, &key.key, &by));
    if (pki_flag(rq, "add_basic_constraints", false)) {
        add(&ca, mln_ext_basic(cx, true, -1));
    }
    if (ca.names.n > 0) {
        add(&ca, mln_ext_names(cx, ca.names.sans, ca.names.n, false));
    }
    struct mln_cert_spec spec = {
        .subject = ca.subject, .spki = key.key.spki, .extensions = ca.extensions, .n = ca.n};
    MLN_TRY(mln_csr_build(cx, &spec, &by, &der));
    struct mln_value *data = mln_object(cx);
    const char *csr = ca.format == PKI_DER ? pki_cert_text(cx, PKI_DER, der)
                                           : mln_pem_text(cx, "CERTIFICATE REQUEST", der);
    mln_put_text(cx, data, "csr", csr);
    mln_put_text(cx, data, "key_id", key.id);
    if (source == SOURCE_EXPORTED) {
        MLN_TRY(pki_put_key(rq, data, &key.key, ca.format, &key_text));
        if (ca.format == PKI_PEM_BUNDLE) {
            pki_put_secret(cx, data, "csr", mln_text_format(cx, "%s\n%s", key_text, csr));
        }
    }
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err pki_intermediate_generate(struct mln_request *rq, struct mln_reply *re)
{
    enum source source;
    MLN_TRY(source_of(rq, &source));
    return request(rq, re, source);
}

struct mln_err pki_cross_sign(struct mln_request *rq, struct mln_reply *re)
{
    return request(rq, re, SOURCE_EXISTING);
}

/* ---- signing those of others ---- */

/* Extensions of the request beside those that a CA's certificate has anyway. */
static void add_from_csr(struct ca *ca, const struct mln_x509_info *csr)
{
    static const char *const ours[] = {"2.5.29.19", "2.5.29.15", "2.5.29.17", "2.5.29.14",
                                       "2.5.29.35", "2.5.29.31", "2.5.29.46", "1.3.6.1.5.5.7.1.1",
                                       "2.5.29.30", "2.5.29.32"};
    for (size_t i = 0; i < csr->extensions_n; i++) {
        bool is_ours = false;
        for (size_t j = 0; j < MLN_COUNT(ours); j++) {
            is_ours = is_ours || mln_bytes_is(mln_bytes_of(csr->extensions[i].oid), ours[j]);
        }
        for (size_t j = 0; j < i; j++) {
            is_ours = is_ours ||
                      mln_bytes_is(mln_bytes_of(csr->extensions[j].oid), csr->extensions[i].oid);
        }
        if (!is_ours) {
            add(ca, csr->extensions[i].der);
        }
    }
}

static struct mln_err signed_answer(struct ca *ca, const struct pki_issuer *issuer)
{
    struct mln_request *rq = ca->rq;
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx), *chain = mln_array(cx);
    const char *cert = pki_cert_text(cx, ca->format, ca->der), *bundle = NULL;
    MLN_TRY(pki_put_chain(rq, data, issuer, ca->format, &bundle));
    const struct mln_value *above = mln_get(data, "ca_chain");
    mln_push_text(cx, chain, cert);
    for (size_t i = 0; i < mln_len(above); i++) {
        mln_push(cx, chain, mln_item(above, i));
    }
    mln_put(cx, data, "ca_chain", chain);
    mln_put_text(cx, data, "certificate",
                 ca->format == PKI_PEM_BUNDLE ? mln_text_format(cx, "%s\n%s", cert, bundle) : cert);
    mln_put_int(cx, data, "expiration", ca->validity.not_after_s);
    mln_put_text(cx, data, "serial_number", pki_serial_text(cx, ca->serial));
    mln_put_text(cx, rq->detail, "serial_number", pki_serial_text(cx, ca->serial));
    ca->re->data = data;
    return mln_cx_err(cx);
}

/* An intermediate may outlive its issuer's certificate, with a warning, unless the request asks for the issuer's rule. */
static struct mln_err fit_ca(struct ca *ca, const struct pki_issuer *issuer)
{
    bool enforce = pki_flag(ca->rq, "enforce_leaf_not_after_behavior", false);
    MLN_TRY(pki_validity_fit(ca->rq, issuer, enforce ? issuer->leaf : PKI_LEAF_PERMIT, &ca->validity));
    if (ca->validity.not_after_s > issuer->not_after_s) {
        mln_reply_warn(ca->rq, ca->re,
                       "The expiration time for the signed certificate is after the CA's expiration time. Unless the new "
                       "certificate is trusted as a root, chains through it fail once the issuing CA has expired.");
    }
    return mln_cx_err(ca->rq->cx);
}

static struct mln_err sign_ca(struct ca *ca, const struct mln_x509_info *csr,
                              struct pki_issuer *issuer)
{
    struct mln_request *rq = ca->rq;
    struct mln_x509_signer by;
    struct mln_x509_info own;
    int64_t length = -1, hash_bits = mln_get_int(mln_get(ca->role, "signature_bits"), 0);
    MLN_TRY(pki_validity_of(rq, ca->re, ca->role, &ca->validity));
    MLN_TRY(fit_ca(ca, issuer));
    MLN_TRY(mln_x509_cert_read(rq->cx, issuer->der, &own));
    MLN_TRY(path_length_of(rq, own.path_length, &length));
    MLN_TRY(ca_extensions(ca, length));
    MLN_TRY(pki_signer_of(rq, issuer, hash_bits, mln_get_bool(mln_get(ca->role, "use_pss"), false),
                          &by));
    MLN_TRY(pki_common_extensions(rq, issuer, csr->spki, ca->extensions, &ca->n));
    MLN_TRY(build(ca, issuer->subject, csr->spki, &by));
    return pki_cert_store(rq, ca->serial, ca->der, issuer->id, ca->validity.not_after_s);
}

struct mln_err pki_sign_intermediate(struct mln_request *rq, struct mln_reply *re)
{
    struct ca ca = {.rq = rq, .re = re};
    struct mln_x509_info csr;
    struct pki_issuer issuer;
    bool verbatim = pki_flag(rq, "use_csr_values", false);
    MLN_TRY(pki_format_of(rq, &ca.format));
    MLN_TRY(pki_csr_of(rq, &csr));
    if (csr.kind == MLN_KEY_RSA && csr.bits < 2048) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "RSA keys < 2048 bits are unsafe and not supported: got %u", csr.bits);
    }
    MLN_TRY(pki_issuer_need(rq, pki_text(rq, "issuer_ref"), PKI_ISSUING, &issuer));
    MLN_TRY(name_it(&ca, verbatim ? &csr : NULL));
    if (verbatim) {
        add_from_csr(&ca, &csr);
    }
    MLN_TRY(sign_ca(&ca, &csr, &issuer));
    return signed_answer(&ca, &issuer);
}

/* A foreign root under our own: its words stay, all but who signed. */
struct mln_err pki_sign_self_issued(struct mln_request *rq, struct mln_reply *re)
{
    struct ca ca = {.rq = rq, .re = re};
    struct mln_cx *cx = rq->cx;
    struct mln_x509_info info;
    struct pki_issuer issuer;
    struct mln_x509_signer by;
    struct mln_bytes der;
    MLN_TRY(pki_pem_one(cx, pki_text(rq, "certificate"), "CERTIFICATE",
                        "certificate could not be PEM-decoded", &der));
    MLN_TRY(mln_x509_cert_read(cx, der, &info));
    if (!info.is_ca) {
        return mln_fail(cx, MLN_E_INVALID, "given certificate is not a CA certificate");
    }
    if (!pki_issuer_is_self(&info) || mln_failed(mln_x509_cert_verify(NULL, der, der))) {
        return mln_fail(cx, MLN_E_INVALID, "given certificate is not self-issued");
    }
    MLN_TRY(pki_issuer_need(rq, pki_text(rq, "issuer_ref"), PKI_ISSUING, &issuer));
    if (pki_flag(rq, "require_matching_certificate_algorithms", false) &&
        issuer.kind != info.kind) {
        return mln_fail(cx, MLN_E_INVALID,
                        "algorithm of the certificate does not match that of the signing issuer");
    }
    ca.subject = info.subject;
    ca.validity = (struct pki_validity){info.not_before_s, info.not_after_s};
    MLN_TRY(pki_signer_of(rq, &issuer, 0, false, &by));
    for (size_t i = 0; i < info.extensions_n; i++) {
        static const char *const replaced[] = {"2.5.29.35", "2.5.29.31", "2.5.29.46",
                                               "1.3.6.1.5.5.7.1.1", "2.5.29.14"};
        bool is_replaced = false;
        for (size_t j = 0; j < MLN_COUNT(replaced); j++) {
            is_replaced =
                is_replaced || mln_bytes_is(mln_bytes_of(info.extensions[i].oid), replaced[j]);
        }
        if (!is_replaced) {
            add(&ca, info.extensions[i].der);
        }
    }
    MLN_TRY(pki_common_extensions(rq, &issuer, info.spki, ca.extensions, &ca.n));
    MLN_TRY(build(&ca, issuer.subject, info.spki, &by));
    struct mln_value *data = mln_object(cx);
    mln_put_text(cx, data, "certificate", pki_cert_text(cx, PKI_PEM, ca.der));
    mln_put_text(cx, data, "issuing_ca", pki_cert_text(cx, PKI_PEM, issuer.der));
    re->data = data;
    return mln_cx_err(cx);
}
