/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the PKI engine share. Layout and texts: docs/engine-pki.md.
 *
 *   issuer/<id>           object: certificate and settings of an issuer
 *   key/<id>              object: a private key (PKCS #8) and its name
 *   role/<name>           object: a role, as it is read
 *   cert/<serial>         array: DER, id of the issuer, not after (s)
 *   revoked/<serial>      array: when (ns), id of the issuer, not after (s)
 *   crl/<list>/...        revocation list of a name and key (see pki_crl.c)
 *   config/<noun>         object
 *   tidy                  object: the last run
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"
#include "crypto/x509.h"

#define PKI_ISSUERS_MAX 256  /* of a mount: all are read when chains are found */
#define PKI_CHAIN_MAX   16   /* certificates of a chain */
#define PKI_NAME_MAX    256  /* bytes of a name: part of a store key */
#define PKI_NAMES_MAX   1000 /* alternative names of one certificate */
#define PKI_TTL_MAX_S   ((int64_t)100 * 365 * 86400) /* no certificate lives longer */
#define PKI_TIDY_MAX                                                                               \
    10000 /* rows that one run looks at: what a transaction reads and writes is bounded; the next one goes on */

enum pki_usage {
    PKI_READ_ONLY = 1,
    PKI_ISSUING = 2,
    PKI_CRL_SIGNING = 4,
    PKI_OCSP_SIGNING = 8,
    PKI_USAGE_ALL = 15
};
enum pki_leaf { PKI_LEAF_ERR, PKI_LEAF_TRUNCATE, PKI_LEAF_PERMIT };

struct pki_issuer {
    const char *id, *name, *key_id; /* key_id "" when the key is not here */
    const char *list;               /* id of its revocation list: of its name and key */
    struct mln_bytes der, subject, spki, serial, subject_key;
    int64_t not_after_s;
    enum mln_key_kind kind;
    unsigned bits;
    enum mln_sig list_sig; /* revocation_signature_algorithm */
    unsigned usage;
    enum pki_leaf leaf;
    int64_t revoked_ns;                     /* 0 = not */
    const struct mln_value *manual, *chain; /* ids; manual NULL when none */
    const struct mln_value *urls;           /* object as config/urls */
};

struct pki_crl_config {
    bool disable, auto_rebuild, enable_delta, ocsp_disable, allow_expired;
    int64_t expiry_s, grace_s, delta_s, ocsp_s;
};

/* ---- pki_util.c ---- */
struct mln_bytes pki_text(const struct mln_request *rq,
                          const char *name); /* a field's text, none when absent */
bool pki_flag(const struct mln_request *rq, const char *name, bool otherwise);
/* Store rows: key made of a folder and a name. */
struct mln_err pki_get(struct mln_request *rq, const char *folder, struct mln_bytes name,
                       const struct mln_value **ret); /* bare NOT_FOUND */
struct mln_err pki_put(struct mln_request *rq, const char *folder, struct mln_bytes name,
                       const struct mln_value *v);
struct mln_err pki_delete(struct mln_request *rq, const char *folder, struct mln_bytes name);
/* NULL when there is no such row. */
struct mln_err pki_find(struct mln_request *rq, const char *folder, struct mln_bytes name,
                        const struct mln_value **ret);
struct mln_err pki_list(struct mln_request *rq, const char *folder,
                        const struct mln_value **ret); /* array, maybe empty */
struct mln_err pki_answer_list(struct mln_request *rq, struct mln_reply *re,
                               const char *folder); /* {"keys"}; 404 when empty */
struct mln_err pki_not_found(struct mln_reply *re); /* 404 without texts */
const char *pki_serial_text(struct mln_cx *cx, struct mln_bytes serial); /* "0a:1b" */
/* From "0A-1b", "0a:1b" or "0a1b" to "0a:1b"; NULL when it is no serial number. */
const char *pki_serial_parse(struct mln_cx *cx, struct mln_bytes text);
struct mln_bytes pki_serial_bytes(struct mln_cx *cx, struct mln_bytes text); /* of "0a:1b" */
struct mln_bytes pki_serial_random(struct mln_cx *cx);
struct mln_err pki_raw(struct mln_reply *re, struct mln_bytes body, const char *type);
struct mln_err pki_raw_text(struct mln_reply *re, const char *text, const char *type);
const char *pki_uuid(struct mln_cx *cx);
/* INVALID when a name has other characters than letters, digits and -_. , is reserved or used already (folder: of what). */
struct mln_err pki_name_check(struct mln_request *rq, const char *what, struct mln_bytes name);
/* Private keys in answers: marked secret. */
void pki_put_secret(struct mln_cx *cx, struct mln_value *out, const char *key, const char *text);
const struct mln_value *pki_list_of(struct mln_cx *cx,
                                    const struct mln_value *v); /* NULL reads as an empty array */
bool pki_list_has(const struct mln_value *list, struct mln_bytes text);
/* The first block of this kind in PEM, or bare base64 DER; PARSE with the text `bad`. */
struct mln_err pki_pem_one(struct mln_cx *cx, struct mln_bytes text, const char *label,
                           const char *bad, struct mln_bytes *ret);
/* Glob with "*" anywhere; case matters. */
bool pki_glob(struct mln_bytes pattern, struct mln_bytes text);
/* "{{" that services can fill; NULL when they cannot. */
struct mln_err pki_fill(struct mln_request *rq, struct mln_bytes text, const char **ret);

/* ---- pki_issuer.c, pki_issuer_paths.c ---- */
struct mln_err pki_issuer_load(struct mln_request *rq, struct mln_bytes id,
                               struct pki_issuer *ret); /* bare NOT_FOUND */
struct mln_err pki_issuer_store(struct mln_request *rq, const struct pki_issuer *issuer);
/* By id, name or "default"; bare NOT_FOUND. */
struct mln_err pki_issuer_find(struct mln_request *rq, struct mln_bytes ref,
                               struct pki_issuer *ret);
/* The same for an operation that needs `usage`: INVALID with a text. */
struct mln_err pki_issuer_need(struct mln_request *rq, struct mln_bytes ref, unsigned usage,
                               struct pki_issuer *ret);
/* 500 as Vault answers an unknown reference. */
struct mln_err pki_no_issuer(struct mln_request *rq, struct mln_reply *re, struct mln_bytes ref);
struct mln_err pki_issuers_all(struct mln_request *rq, struct pki_issuer **ret, size_t *ret_n);
/* Take in a certificate as issuer, unless it is one already (*ret_is_new). name: none = "". */
struct mln_err pki_issuer_add(struct mln_request *rq, struct mln_bytes der, struct mln_bytes name,
                              struct pki_issuer *ret, bool *ret_is_new);
struct mln_err pki_chains_find(struct mln_request *rq);
struct mln_err pki_chain(struct mln_request *rq, const struct pki_issuer *issuer,
                         struct mln_bytes ders[PKI_CHAIN_MAX], size_t *ret_n);
struct mln_err pki_signer_of(struct mln_request *rq, const struct pki_issuer *issuer,
                             int64_t hash_bits, bool use_pss, struct mln_x509_signer *ret);
bool pki_issuer_is_self(const struct mln_x509_info *info);
struct mln_err pki_issuers_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_json(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_pem(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_der(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuer_revoke(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_key.c ---- */
struct pki_key {
    const char *id, *name;
    struct mln_key key;
};
struct mln_err pki_key_find(struct mln_request *rq, struct mln_bytes ref,
                            struct pki_key *ret); /* bare NOT_FOUND */
/* Take in a key, unless it is there already. */
struct mln_err pki_key_add(struct mln_request *rq, const struct mln_key *key, struct mln_bytes name,
                           struct pki_key *ret, bool *ret_is_new);
/* id of the key of this public half, "" when it is not here. */
struct mln_err pki_key_of(struct mln_request *rq, struct mln_bytes spki, const char **ret);
/* key_type and key_bits of the request, checked; 0 bits = the kind's usual. */
struct mln_err pki_key_want(struct mln_request *rq, struct mln_bytes type, int64_t bits,
                            enum mln_key_kind *ret, unsigned *ret_bits);
struct mln_err pki_keys_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_key_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_key_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_key_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_key_generate(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_key_import(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_config.c ---- */
struct mln_err pki_crl_config_load(struct mln_request *rq, struct pki_crl_config *ret);
struct mln_err pki_default_issuer(struct mln_request *rq, struct mln_bytes *ret); /* id or none */
struct mln_err pki_default_key(struct mln_request *rq, struct mln_bytes *ret);
struct mln_err pki_default_set(struct mln_request *rq, const char *issuer_id, const char *key_id,
                               bool is_new);
/* URLs that go into what this issuer signs. */
struct pki_urls {
    const struct mln_value *issuing, *crl, *delta, *ocsp; /* arrays */
};
struct mln_err pki_urls_of(struct mln_request *rq, const struct pki_issuer *issuer,
                           struct pki_urls *ret);
/* Read the four lists and the flag from the fields over `old`; INVALID for what is no URL. */
struct mln_err pki_urls_take(struct mln_request *rq, const struct mln_value *old, const char *flag,
                             const struct mln_value **ret);
struct mln_err pki_urls_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_urls_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_crl_config_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_crl_config_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuers_config_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_issuers_config_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_root_replace(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_keys_config_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_keys_config_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_cluster_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_cluster_write(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_role.c ---- */
extern const struct mln_field pki_role_fields[];
struct mln_err pki_role_load(struct mln_request *rq, struct mln_bytes name,
                             const struct mln_value **ret); /* INVALID "unknown role" */
/* A role of defaults, changed by the fields of the request that it has: for sign-verbatim and CAs. */
const struct mln_value *pki_role_open(struct mln_request *rq);
unsigned pki_key_usage_of(const struct mln_value *role);
const struct mln_value *pki_ext_key_usage_of(struct mln_cx *cx,
                                             const struct mln_value *role); /* dotted OIDs */
struct mln_err pki_roles_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_role_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_role_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_role_patch(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_role_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_role_exists(struct mln_request *rq, bool *ret);

/* ---- pki_names.c ---- */
struct pki_names {
    struct mln_bytes common_name;
    struct mln_san *sans;
    size_t n, cap;
    bool is_from_csr; /* the SANs */
};
/* Names of the request (and the CSR, NULL = none), without a role's judgement. */
struct mln_err pki_names_take(struct mln_request *rq, const struct mln_value *role,
                              const struct mln_x509_info *csr, struct pki_names *ret);
/* INVALID with Vault's texts for the first name that the role does not allow. */
struct mln_err pki_names_check(struct mln_request *rq, const struct mln_value *role,
                               const struct pki_names *names);
bool pki_is_hostname(struct mln_bytes name);

/* ---- pki_make.c: what certificates of all kinds have in common ---- */
struct pki_validity {
    int64_t not_before_s, not_after_s;
};
/* From the request, the role, the mount. Warns when it cuts. */
struct mln_err pki_validity_of(struct mln_request *rq, struct mln_reply *re,
                               const struct mln_value *role, struct pki_validity *ret);
/* Against the end of the issuer. */
struct mln_err pki_validity_fit(struct mln_request *rq, const struct pki_issuer *issuer,
                                enum pki_leaf leaf, struct pki_validity *v);
struct mln_err pki_subject_of(struct mln_request *rq, const struct mln_value *from,
                              struct mln_bytes common_name, struct mln_bytes *ret);
enum pki_format { PKI_PEM, PKI_DER, PKI_PEM_BUNDLE };
struct mln_err pki_format_of(struct mln_request *rq, enum pki_format *ret);
const char *pki_cert_text(struct mln_cx *cx, enum pki_format format, struct mln_bytes der);
/* Adds private_key and private_key_type; *ret_pem (may be NULL): the key in PEM. */
struct mln_err pki_put_key(struct mln_request *rq, struct mln_value *out, const struct mln_key *key,
                           enum pki_format format, const char **ret_pem);
/* Extensions that certificates of this issuer have in common: key identifiers and URLs. Appends to parts (room for 5). */
struct mln_err pki_common_extensions(struct mln_request *rq, const struct pki_issuer *issuer,
                                     struct mln_bytes spki, struct mln_bytes *parts, size_t *n);
/* issuing_ca and ca_chain; *ret_bundle (may be NULL): the chain in PEM, joined. first: a certificate in front, or none. */
struct mln_err pki_put_chain(struct mln_request *rq, struct mln_value *out,
                             const struct pki_issuer *issuer, enum pki_format format,
                             const char **ret_bundle);
struct mln_err pki_csr_of(struct mln_request *rq, struct mln_x509_info *ret); /* of the field csr */
struct mln_err pki_cert_store(struct mln_request *rq, struct mln_bytes serial, struct mln_bytes der,
                              const char *issuer_id, int64_t not_after_s);
struct mln_err pki_issue_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_sign_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_verbatim_write(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_root.c, pki_import.c ---- */
struct mln_err pki_root_generate(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_root_rotate(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_root_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_intermediate_generate(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_cross_sign(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_sign_intermediate(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_sign_self_issued(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_import_cert(struct mln_request *rq, struct mln_reply *re); /* no keys */
struct mln_err pki_import_bundle(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_set_signed(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_cert.c ---- */
struct mln_err pki_certs_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_certs_revoked_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_cert_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_cert_raw(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_cert_raw_pem(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_ca_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_ca_pem_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_ca_chain_read(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_revoke.c ---- */
struct pki_revoked {
    int64_t at_ns, not_after_s;
    struct mln_bytes issuer_id;
};
struct mln_err pki_revoked_find(struct mln_request *rq, struct mln_bytes serial,
                                struct pki_revoked *ret, bool *ret_is);
struct mln_err pki_revoke_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_revoke_with_key(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_lease_revoke(struct mln_request *rq, const struct mln_value *internal);

/* ---- pki_crl.c ---- */
struct mln_err pki_crl_add(struct mln_request *rq, const char *list, struct mln_bytes serial,
                           int64_t at_ns);
/* Take entries out of all lists. gone: object whose keys are serial numbers (bytes). */
struct mln_err pki_crl_drop(struct mln_request *rq, const struct mln_value *gone);
/* DER of the list of an issuer, built when it is not fresh; bare NOT_FOUND when there is none. */
struct mln_err pki_crl_of(struct mln_request *rq, const struct pki_issuer *issuer, bool is_delta,
                          struct mln_bytes *ret);
struct mln_err pki_crl_tick(struct mln_request *rq);
struct mln_err pki_crl_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_crl_json_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_crl_pem_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_crl_rotate(struct mln_request *rq, struct mln_reply *re);

/* ---- pki_ocsp.c, pki_tidy.c ---- */
struct mln_err pki_ocsp_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_ocsp_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_tidy_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_tidy_status_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_auto_tidy_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_auto_tidy_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err pki_tick(struct mln_request *rq);
