/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate authority: Vault's PKI engine on its own paths, without ACME. The descriptor; handlers are in pki_*.c, X.509 in
 * crypto/x509*.c. Source: Vault's public API documentation, RFC 5280, 6960; docs/engine-pki.md.
 */
#include "engine/pki_priv.h"

#define TEXT(n, h) {.name = (n), .type = MLN_FIELD_TEXT, .help = (h)}
#define SECRET(n, h) {.name = (n), .type = MLN_FIELD_SECRET, .help = (h)}
#define BOOL(n, h) {.name = (n), .type = MLN_FIELD_BOOL, .help = (h)}
#define INT(n, h) {.name = (n), .type = MLN_FIELD_INT, .help = (h)}
#define PERIOD(n, h) {.name = (n), .type = MLN_FIELD_DURATION, .help = (h)}
#define LIST(n, h) {.name = (n), .type = MLN_FIELD_LIST, .help = (h)}
#define PATH(n, h) {.name = (n), .type = MLN_FIELD_TEXT, .help = (h), .is_query = true}

#define FIELD_ISSUER PATH("issuer_ref", "Issuer: id, name or default.")
#define FIELD_KEY PATH("key_ref", "Key: id, name or default.")
#define FIELD_ROLE PATH("role", "Name of the role.")
#define FIELD_EXPORTED PATH("exported", "internal, exported (the key is in this answer) or existing.")
#define FIELDS_NAMES                                                                                                   \
    TEXT("common_name", "Common name."), LIST("alt_names", "Names of hosts and addresses of mail."),                   \
        LIST("ip_sans", "Addresses."), LIST("uri_sans", "URIs."), LIST("other_sans", "OID;UTF8:value."),               \
        TEXT("serial_number", "Serial number in the subject."), LIST("user_ids", "User ids in the subject."),          \
        BOOL("exclude_cn_from_sans", "The common name is no alternative name.")
#define FIELDS_TIME                                                                                                    \
    PERIOD("ttl", "How long it lives."), TEXT("not_after", "Its end, RFC 3339."), TEXT("not_before", "Its begin, RFC 3339.")
#define FIELDS_FORM                                                                                                    \
    TEXT("format", "pem, der or pem_bundle."), TEXT("private_key_format", "der (traditional) or pkcs8."),              \
        BOOL("remove_roots_from_chain", "Leave self-signed certificates out of ca_chain.")
#define FIELDS_SUBJECT                                                                                                 \
    LIST("ou", "Subject: OU."), LIST("organization", "Subject: O."), LIST("country", "Subject: C."),                   \
        LIST("locality", "Subject: L."), LIST("province", "Subject: ST."), LIST("street_address", "Subject: street."), \
        LIST("postal_code", "Subject: postal code.")
#define FIELDS_MAKE                                                                                                    \
    TEXT("key_type", "rsa, ec or ed25519."), INT("key_bits", "Size; 0 is the usual one."),                             \
        INT("signature_bits", "Hash: 256, 384 or 512."), BOOL("use_pss", "RSA signs as PSS."),                         \
        TEXT("issuer_name", "Name of the new issuer."), TEXT("key_name", "Name of the new key."),                      \
        TEXT("key_ref", "existing: which key."), INT("max_path_length", "CAs below; -1 is any number."),               \
        LIST("permitted_dns_domains", "Domains that it may certify."), LIST("policy_identifiers", "OIDs."),            \
        PERIOD("not_before_duration", "Valid from so long before now."),                                               \
        BOOL("add_basic_constraints", "intermediate: ask to be a CA.")
#define FIELDS_URLS                                                                                                    \
    LIST("issuing_certificates", "Where the issuer's certificate is."),                                                \
        LIST("crl_distribution_points", "Where the revocation list is."),                                              \
        LIST("delta_crl_distribution_points", "Where the delta list is."), LIST("ocsp_servers", "Where OCSP is answered.")

static const struct mln_field none_fields[] = {{0}};
static const struct mln_field issuer_ref_fields[] = {FIELD_ISSUER, {0}};
static const struct mln_field serial_fields[] = {PATH("serial", "Serial number, with : or -."), {0}};

/* Without a field for the issuer: the role names it, or the path, where policy judged it. */
static const struct mln_field issue_fields[] = {FIELD_ROLE, FIELDS_NAMES, FIELDS_TIME, FIELDS_FORM, {0}};
static const struct mln_field sign_fields[] = {FIELD_ROLE, TEXT("csr", "Request in PEM."), FIELDS_NAMES, FIELDS_TIME,
                                               FIELDS_FORM, {0}};
static const struct mln_field verbatim_fields[] = {
    FIELD_ROLE, TEXT("csr", "Request in PEM."), FIELDS_TIME, FIELDS_FORM, LIST("key_usage", "Where the request says none."),
    LIST("ext_key_usage", "Where the request says none."), LIST("ext_key_usage_oids", "Where the request says none."),
    INT("signature_bits", "Hash."), BOOL("use_pss", "RSA signs as PSS."), {0},
};
static const struct mln_field make_fields[] = {FIELD_EXPORTED, FIELDS_NAMES, FIELDS_TIME, FIELDS_FORM, FIELDS_SUBJECT, FIELDS_MAKE, {0}};
static const struct mln_field sign_ca_fields[] = {
    FIELD_ISSUER, TEXT("csr", "Request in PEM."), BOOL("use_csr_values", "Subject and extensions as the request says."),
    BOOL("enforce_leaf_not_after_behavior", "The issuer's leaf_not_after_behavior holds for CAs, too."),
    FIELDS_NAMES, FIELDS_TIME, FIELDS_FORM, FIELDS_SUBJECT, INT("signature_bits", "Hash."), BOOL("use_pss", "RSA signs as PSS."),
    INT("max_path_length", "CAs below; -1 is any number."), LIST("permitted_dns_domains", "Domains that it may certify."),
    LIST("policy_identifiers", "OIDs."), PERIOD("not_before_duration", "Valid from so long before now."), {0},
};
static const struct mln_field self_issued_fields[] = {
    FIELD_ISSUER, TEXT("certificate", "Self-issued CA certificate in PEM."),
    BOOL("require_matching_certificate_algorithms", "Refuse keys of another kind."), {0},
};
static const struct mln_field bundle_fields[] = {SECRET("pem_bundle", "Certificates and keys in PEM."), {0}};
static const struct mln_field set_signed_fields[] = {TEXT("certificate", "Certificates in PEM, ours first."), {0}};
static const struct mln_field issuer_fields[] = {
    FIELD_ISSUER, TEXT("issuer_name", "Name."), TEXT("leaf_not_after_behavior", "err, truncate or permit."),
    LIST("manual_chain", "Issuers of the chain, this one first."),
    LIST("usage", "read-only, issuing-certificates, crl-signing, ocsp-signing."),
    TEXT("revocation_signature_algorithm", "Of lists and OCSP: ECDSAWithSHA256 and the like."), FIELDS_URLS,
    BOOL("enable_aia_url_templating", "URLs have {{issuer_id}}, {{cluster_path}}, {{cluster_aia_path}}."), {0},
};
static const struct mln_field key_fields[] = {FIELD_KEY, TEXT("key_name", "Name."), {0}};
static const struct mln_field key_make_fields[] = {
    PATH("exported", "internal or exported."), TEXT("key_name", "Name."), TEXT("key_type", "rsa, ec or ed25519."),
    INT("key_bits", "Size; 0 is the usual one."), {0},
};
static const struct mln_field key_import_fields[] = {SECRET("pem_bundle", "Private key in PEM."), TEXT("key_name", "Name."), {0}};
static const struct mln_field revoke_fields[] = {
    TEXT("serial_number", "Serial number, with : or -."), TEXT("certificate", "Or the certificate in PEM."),
    SECRET("private_key", "revoke-with-key: its private key in PEM."), {0},
};
static const struct mln_field urls_fields[] = {
    FIELDS_URLS, BOOL("enable_templating", "URLs have {{issuer_id}}, {{cluster_path}}, {{cluster_aia_path}}."), {0}};
static const struct mln_field crl_fields[] = {
    PERIOD("expiry", "How long a list is valid."), BOOL("disable", "Lists are empty."), BOOL("ocsp_disable", "OCSP is not answered."),
    PERIOD("ocsp_expiry", "How long an answer is valid; 0 says nothing."), BOOL("auto_rebuild", "Lists wait until they grow old."),
    PERIOD("auto_rebuild_grace_period", "Rebuilt so long before their end."), BOOL("enable_delta", "Delta lists between."),
    PERIOD("delta_rebuild_interval", "How often."), BOOL("allow_expired_cert_revocation", "Also what expired can be revoked."), {0},
};
static const struct mln_field default_fields[] = {
    TEXT("default", "Id or name."), BOOL("default_follows_latest_issuer", "New issuers become the default."), {0}};
static const struct mln_field cluster_fields[] = {
    TEXT("path", "URL of this mount."), TEXT("aia_path", "URL of this mount for what needs no token."), {0}};
#define FIELDS_TIDY                                                                                                    \
    BOOL("tidy_cert_store", "Certificates that expired."), BOOL("tidy_revoked_certs", "Revocations of what expired."), \
        BOOL("tidy_revoked_cert_issuer_associations", "Kept with each revocation: nothing to do."),                    \
        BOOL("tidy_expired_issuers", "Issuers that expired."),                                                         \
        BOOL("tidy_invalid_certs", "Rows are checked when written: nothing to do."),                                   \
        PERIOD("safety_buffer", "Time after the end."), PERIOD("revoked_safety_buffer", "Of revocations."),            \
        PERIOD("issuer_safety_buffer", "Of issuers.")
static const struct mln_field tidy_fields[] = {FIELDS_TIDY, BOOL("tidy_revocation_list", "Old name of tidy_revoked_certs."), {0}};
static const struct mln_field auto_tidy_fields[] = {
    FIELDS_TIDY, BOOL("enabled", "Tidy by the clock."), PERIOD("interval_duration", "How often."), {0}};
static const struct mln_field ocsp_fields[] = {PATH("request", "Base64 of the request."), {0}};

/* There is no ACME: a 404 with an empty body, as Vault's while it is off. */
static struct mln_err acme_off(struct mln_request *rq, struct mln_reply *re)
{
    (void)rq;
    re->status = 404;
    return pki_raw_text(re, "", "application/json");
}

static struct mln_err acme_config(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *issuers = mln_array(rq->cx), *roles = mln_array(rq->cx);
    if (mln_get_bool(mln_field_of(rq, "enabled"), false)) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "ACME is not served: take certificates from issue/ or sign/");
    }
    mln_push_text(rq->cx, issuers, "*");
    mln_push_text(rq->cx, roles, "*");
    mln_put_bool(rq->cx, data, "allow_role_ext_key_usage", false);
    mln_put(rq->cx, data, "allowed_issuers", issuers);
    mln_put(rq->cx, data, "allowed_roles", roles);
    mln_put_text(rq->cx, data, "default_directory_policy", "sign-verbatim");
    mln_put_text(rq->cx, data, "dns_resolver", "");
    mln_put_text(rq->cx, data, "eab_policy", "not-required");
    mln_put_bool(rq->cx, data, "enabled", false);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field acme_fields[] = {
    {.name = "enabled", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "true is refused: ACME is not served."}, {0}};

/* As the lists are built, and said so: without delta lists there is none to build. */
static struct mln_err rotate_delta(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_crl_config config = {0};
    MLN_TRY(pki_crl_config_load(rq, &config));
    if (!config.enable_delta) {
        mln_reply_warn(rq, re, "requested rebuild of delta CRL when delta CRL is not enabled; this is a no-op");
    }
    return pki_crl_rotate(rq, re);
}

static const struct mln_path pki_paths[] = {
    {.pattern = "issue/{role}", .summary = "Make a key and a certificate.", .fields = issue_fields,
     .write = pki_issue_write},
    {.pattern = "sign/{role}", .summary = "Sign a request.", .fields = sign_fields,
     .write = pki_sign_write},
    {.pattern = "sign-verbatim/{role}?", .summary = "Sign a request as it is.",
     .fields = verbatim_fields, .write = pki_verbatim_write},
    {.pattern = "roles", .summary = "List roles.", .fields = none_fields, .list = pki_roles_list},
    {.pattern = "roles/{name}", .summary = "What may be issued to whom.",
     .fields = pki_role_fields, .read = pki_role_read,
     .write = pki_role_write, .patch = pki_role_patch, .remove = pki_role_remove,
     .exists = pki_role_exists},

    {.pattern = "cert/{serial}", .summary = "A certificate; also ca, ca_chain, crl.",
     .fields = serial_fields, .read = pki_cert_read, .is_open = true},
    {.pattern = "cert/{serial}/raw", .summary = "A certificate in DER.", .fields = serial_fields,
     .read = pki_cert_raw, .is_open = true},
    {.pattern = "cert/{serial}/raw/pem", .summary = "A certificate in PEM.",
     .fields = serial_fields, .read = pki_cert_raw_pem, .is_open = true},
    {.pattern = "certs", .summary = "List serial numbers.", .fields = none_fields,
     .list = pki_certs_list},
    {.pattern = "certs/revoked", .summary = "List serial numbers of what was revoked.",
     .fields = none_fields, .list = pki_certs_revoked_list},
    {.pattern = "ca", .summary = "The default issuer in DER.", .fields = none_fields,
     .read = pki_ca_read, .is_open = true},
    {.pattern = "ca/pem", .summary = "The default issuer in PEM.", .fields = none_fields,
     .read = pki_ca_pem_read, .is_open = true},
    {.pattern = "ca_chain", .summary = "The chain of the default issuer in PEM.",
     .fields = none_fields, .read = pki_ca_chain_read, .is_open = true},
    {.pattern = "crl/rotate", .summary = "Build the revocation lists anew.", .fields = none_fields,
     .read = pki_crl_rotate, .write = pki_crl_rotate},
    {.pattern = "crl/rotate-delta", .summary = "Build the delta lists anew.",
     .fields = none_fields, .read = rotate_delta, .write = rotate_delta},
    {.pattern = "crl", .summary = "The revocation list in DER.", .fields = none_fields,
     .read = pki_crl_read, .is_open = true},
    {.pattern = "crl/pem", .summary = "The revocation list in PEM.", .fields = none_fields,
     .read = pki_crl_pem_read, .is_open = true},
    {.pattern = "crl/delta", .summary = "The delta list in DER.", .fields = none_fields,
     .read = pki_crl_read, .is_open = true},
    {.pattern = "crl/delta/pem", .summary = "The delta list in PEM.", .fields = none_fields,
     .read = pki_crl_pem_read, .is_open = true},
    {.pattern = "ocsp", .summary = "Answer an OCSP request.", .fields = none_fields,
     .write = pki_ocsp_write, .is_open = true},
    {.pattern = "ocsp/{request...}", .summary = "Answer an OCSP request in base64.",
     .fields = ocsp_fields, .read = pki_ocsp_read, .is_open = true},

    {.pattern = "revoke", .summary = "Revoke a certificate.", .fields = revoke_fields,
     .write = pki_revoke_write, .is_relief = true},
    {.pattern = "revoke-with-key", .summary = "Revoke a certificate by its key.",
     .fields = revoke_fields, .write = pki_revoke_with_key, .is_relief = true},

    {.pattern = "issuers", .summary = "List issuers.", .fields = none_fields,
     .list = pki_issuers_list},
    {.pattern = "issuers/generate/root/{exported}", .summary = "Make a root.",
     .fields = make_fields, .write = pki_root_generate, .may_block = true},
    {.pattern = "issuers/generate/intermediate/{exported}",
     .summary = "Make a request for an intermediate.", .fields = make_fields,
     .write = pki_intermediate_generate, .may_block = true},
    {.pattern = "issuers/import/cert", .summary = "Import certificates.", .fields = bundle_fields,
     .write = pki_import_cert},
    {.pattern = "issuers/import/bundle", .summary = "Import certificates and keys.",
     .fields = bundle_fields, .write = pki_import_bundle},
    {.pattern = "issuer/{issuer_ref}", .summary = "An issuer: read, change, delete.",
     .fields = issuer_fields, .read = pki_issuer_read,
     .write = pki_issuer_write, .patch = pki_issuer_write, .remove = pki_issuer_remove},
    {.pattern = "issuer/{issuer_ref}/json", .summary = "Its certificate and chain.",
     .fields = issuer_ref_fields, .read = pki_issuer_json, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/pem", .summary = "Its certificate in PEM.",
     .fields = issuer_ref_fields, .read = pki_issuer_pem, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/der", .summary = "Its certificate in DER.",
     .fields = issuer_ref_fields, .read = pki_issuer_der, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/crl", .summary = "Its revocation list.",
     .fields = issuer_ref_fields, .read = pki_crl_json_read, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/crl/der", .summary = "The same in DER.",
     .fields = issuer_ref_fields, .read = pki_crl_read, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/crl/pem", .summary = "The same in PEM.",
     .fields = issuer_ref_fields, .read = pki_crl_pem_read, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/crl/delta", .summary = "Its delta list.",
     .fields = issuer_ref_fields, .read = pki_crl_json_read, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/crl/delta/der", .summary = "The same in DER.",
     .fields = issuer_ref_fields, .read = pki_crl_read, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/crl/delta/pem", .summary = "The same in PEM.",
     .fields = issuer_ref_fields, .read = pki_crl_pem_read, .is_open = true},
    {.pattern = "issuer/{issuer_ref}/issue/{role}", .summary = "As issue, by this issuer.",
     .fields = issue_fields, .write = pki_issue_write},
    {.pattern = "issuer/{issuer_ref}/sign/{role}", .summary = "As sign, by this issuer.",
     .fields = sign_fields, .write = pki_sign_write},
    {.pattern = "issuer/{issuer_ref}/sign-verbatim/{role}?",
     .summary = "As sign-verbatim, by this issuer.", .fields = verbatim_fields,
     .write = pki_verbatim_write},
    {.pattern = "issuer/{issuer_ref}/sign-intermediate", .summary = "Sign a CA's request.",
     .fields = sign_ca_fields, .write = pki_sign_intermediate},
    {.pattern = "issuer/{issuer_ref}/sign-self-issued", .summary = "Sign another's root.",
     .fields = self_issued_fields, .write = pki_sign_self_issued,
     .is_sudo = true},
    {.pattern = "issuer/{issuer_ref}/revoke", .summary = "Revoke an issuer: it issues no more.",
     .fields = issuer_ref_fields,
     .write = pki_issuer_revoke, .is_relief = true},

    {.pattern = "keys", .summary = "List keys.", .fields = none_fields, .list = pki_keys_list},
    {.pattern = "keys/generate/{exported}", .summary = "Make a key.", .fields = key_make_fields,
     .write = pki_key_generate, .may_block = true},
    {.pattern = "keys/import", .summary = "Import a key.", .fields = key_import_fields,
     .write = pki_key_import},
    {.pattern = "key/{key_ref}", .summary = "A key: read, name, delete.", .fields = key_fields,
     .read = pki_key_read, .write = pki_key_write,
     .remove = pki_key_remove},

    {.pattern = "root", .summary = "Delete all issuers and keys.", .fields = none_fields,
     .remove = pki_root_remove, .is_sudo = true},
    {.pattern = "root/generate/{exported}", .summary = "Make a root.", .fields = make_fields,
     .write = pki_root_generate, .may_block = true},
    {.pattern = "root/rotate/{exported}", .summary = "Make the next root.", .fields = make_fields,
     .write = pki_root_rotate, .may_block = true},
    {.pattern = "root/replace", .summary = "The next root becomes the default.",
     .fields = default_fields, .write = pki_root_replace},
    {.pattern = "root/sign-intermediate", .summary = "Sign a CA's request.",
     .fields = sign_ca_fields, .write = pki_sign_intermediate},
    {.pattern = "root/sign-self-issued", .summary = "Sign another's root.",
     .fields = self_issued_fields, .write = pki_sign_self_issued, .is_sudo = true},
    {.pattern = "intermediate/generate/{exported}",
     .summary = "Make a request for an intermediate.", .fields = make_fields,
     .write = pki_intermediate_generate, .may_block = true},
    {.pattern = "intermediate/cross-sign", .summary = "Make a request for a key that is here.",
     .fields = make_fields,
     .write = pki_cross_sign, .may_block = true},
    {.pattern = "intermediate/set-signed", .summary = "Take the signed certificate.",
     .fields = set_signed_fields, .write = pki_set_signed},

    {.pattern = "config/ca", .summary = "Import certificates and keys.", .fields = bundle_fields,
     .write = pki_import_bundle},
    {.pattern = "config/urls", .summary = "URLs in certificates.", .fields = urls_fields,
     .read = pki_urls_read, .write = pki_urls_write},
    {.pattern = "config/crl", .summary = "Revocation lists and OCSP.", .fields = crl_fields,
     .read = pki_crl_config_read, .write = pki_crl_config_write},
    {.pattern = "config/issuers", .summary = "The default issuer.", .fields = default_fields,
     .read = pki_issuers_config_read,
     .write = pki_issuers_config_write},
    {.pattern = "config/keys", .summary = "The default key.", .fields = default_fields,
     .read = pki_keys_config_read, .write = pki_keys_config_write},
    {.pattern = "config/cluster", .summary = "URLs of this mount.", .fields = cluster_fields,
     .read = pki_cluster_read, .write = pki_cluster_write},
    {.pattern = "config/auto-tidy", .summary = "Tidying by the clock.", .fields = auto_tidy_fields,
     .read = pki_auto_tidy_read,
     .write = pki_auto_tidy_write},
    {.pattern = "config/acme", .summary = "ACME is off.", .fields = acme_fields,
     .read = acme_config, .write = acme_config},
    {.pattern = "tidy", .summary = "Delete what expired.", .fields = tidy_fields,
     .write = pki_tidy_write, .is_relief = true, .may_block = true},
    {.pattern = "tidy-status", .summary = "The last tidying.", .fields = none_fields,
     .read = pki_tidy_status_read},
    {.pattern = "acme/directory", .summary = "ACME is off.", .fields = none_fields,
     .read = acme_off, .is_open = true},
    {0},
};

const struct mln_engine mln_engine_pki = {
    .type = "pki",
    .kind = MLN_MOUNT_SECRET,
    .summary = "A certificate authority: X.509, revocation lists, OCSP.",
    .paths = pki_paths,
    .tick = pki_tick,
    .tick_s = 300,
    .revoke = pki_lease_revoke,
};
