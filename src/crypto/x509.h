/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 (RFC 5280), PKCS #10 (RFC 2986) and OCSP (RFC 6960): keys of any kind that certificates carry, building certificates,
 * requests and revocation lists, reading foreign ones. What is read goes through OpenSSL; what is written is DER put together
 * here and signed by OpenSSL, which is some five times faster than its own builders. All results lie in the arena of cx.
 *
 * Private keys are PKCS #8 DER (RFC 5958). Expanded ones are cached per thread and wiped by mln_crypto_forget.
 */
#pragma once

#include "crypto/crypto.h"

/* ---- keys ---- */

enum mln_key_kind { MLN_KEY_RSA, MLN_KEY_EC, MLN_KEY_ED25519, MLN_KEY_KINDS };

struct mln_key {
    enum mln_key_kind kind;
    unsigned bits;          /* modulus or curve; 0 of Ed25519 */
    struct mln_bytes pkcs8; /* secret */
    struct mln_bytes plain; /* secret: PKCS #1 or SEC 1; PKCS #8 of Ed25519 */
    struct mln_bytes spki;  /* SubjectPublicKeyInfo */
};

const char *mln_key_kind_name(enum mln_key_kind kind); /* "rsa", "ec", "ed25519" */
bool mln_key_kind_of(struct mln_bytes name, enum mln_key_kind *ret);
/* rsa 2048 3072 4096 8192, ec 224 256 384 521; ed25519 ignores bits. Else INVALID. RSA takes up to seconds. */
struct mln_err mln_key_generate(struct mln_cx *cx, enum mln_key_kind kind, unsigned bits,
                                struct mln_key *ret);
/* DER of PKCS #8, PKCS #1 or SEC 1. PARSE, UNSUPPORTED (other kinds, curves or sizes). */
struct mln_err mln_key_read(struct mln_cx *cx, struct mln_bytes der, struct mln_key *ret);

enum mln_sig {
    MLN_SIG_RSA_256,
    MLN_SIG_RSA_384,
    MLN_SIG_RSA_512,
    MLN_SIG_PSS_256,
    MLN_SIG_PSS_384,
    MLN_SIG_PSS_512,
    MLN_SIG_EC_256,
    MLN_SIG_EC_384,
    MLN_SIG_EC_512,
    MLN_SIG_ED25519,
    MLN_SIGS
};
/* The algorithm for a key: hash_bits 0 = its kind's usual one; EC takes its curve's hash. INVALID for other hash bits. */
struct mln_err mln_sig_pick(struct mln_cx *cx, enum mln_key_kind kind, unsigned key_bits,
                            int64_t hash_bits, bool use_pss, enum mln_sig *ret);
const char *mln_sig_name(enum mln_sig sig);                /* as Go's x509: "ECDSAWithSHA256" */
bool mln_sig_of(struct mln_bytes name, enum mln_sig *ret); /* case does not matter */
bool mln_sig_fits(enum mln_sig sig, enum mln_key_kind kind);

/* Who signs. */
struct mln_x509_signer {
    struct mln_bytes pkcs8;
    enum mln_sig sig;
};

/* ---- PEM ---- */

/* The next block of *text, which moves behind it. False at the end and when a block is damaged (then *ret_bad). */
bool mln_pem_next(struct mln_cx *cx, struct mln_bytes *text, struct mln_bytes *ret_label,
                  struct mln_bytes *ret_der, bool *ret_bad);
/* Without a final newline, as Vault prints. */
const char *mln_pem_text(struct mln_cx *cx, const char *label, struct mln_bytes der);

/* ---- names and extensions: DER ---- */

/* Parts of a subject: lists of texts (mln_value arrays or NULL), as Go's pkix.Name orders and encodes them. */
struct mln_x509_name {
    const struct mln_value *country, *organization, *ou, *locality, *province, *street,
        *postal_code, *user_ids;
    struct mln_bytes common_name, serial_number;
};
/* Texts of at most 1024 bytes each. INVALID otherwise. */
struct mln_err mln_x509_name_print(struct mln_cx *cx, const struct mln_x509_name *name,
                                   struct mln_bytes *ret);

/*
 * The subject of a certificate as text, last part first ("CN=client,O=acme"): RFC 4514, as Go prints names. errors PARSE
 */
struct mln_err mln_x509_subject_text(struct mln_cx *cx, struct mln_bytes cert_der, const char **ret);

enum mln_san_kind {
    MLN_SAN_OTHER = 0,
    MLN_SAN_EMAIL = 1,
    MLN_SAN_DNS = 2,
    MLN_SAN_URI = 6,
    MLN_SAN_IP = 7
};
struct mln_san {
    enum mln_san_kind kind;
    struct mln_bytes value; /* text; 4 or 16 bytes of an address */
    struct mln_bytes oid;   /* dotted, of MLN_SAN_OTHER */
};

enum mln_key_usage { /* bit numbers of RFC 5280 sec. 4.2.1.3 */
                     MLN_KU_DIGITAL_SIGNATURE = 1,
                     MLN_KU_CONTENT_COMMITMENT = 2,
                     MLN_KU_KEY_ENCIPHERMENT = 4,
                     MLN_KU_DATA_ENCIPHERMENT = 8,
                     MLN_KU_KEY_AGREEMENT = 16,
                     MLN_KU_CERT_SIGN = 32,
                     MLN_KU_CRL_SIGN = 64,
                     MLN_KU_ENCIPHER_ONLY = 128,
                     MLN_KU_DECIPHER_ONLY = 256,
};

/* Extension values wrapped as Extension. Bad input (an OID that is none, ...) is INVALID on cx and an empty result. */
struct mln_bytes mln_ext_basic(struct mln_cx *cx, bool is_ca, int64_t path_length); /* -1 = none */
struct mln_bytes mln_ext_key_usage(struct mln_cx *cx, unsigned usage);
struct mln_bytes mln_ext_ext_key_usage(struct mln_cx *cx, const struct mln_value *oids);
struct mln_bytes mln_ext_subject_key(struct mln_cx *cx, struct mln_bytes id);
struct mln_bytes mln_ext_authority_key(struct mln_cx *cx, struct mln_bytes id);
struct mln_bytes mln_ext_names(struct mln_cx *cx, const struct mln_san *sans, size_t n,
                               bool is_critical);
struct mln_bytes mln_ext_crl_points(struct mln_cx *cx, const struct mln_value *urls, bool is_delta);
struct mln_bytes mln_ext_access(struct mln_cx *cx, const struct mln_value *ocsp,
                                const struct mln_value *issuers);
struct mln_bytes mln_ext_policies(struct mln_cx *cx, const struct mln_value *oids);
struct mln_bytes mln_ext_permitted_dns(struct mln_cx *cx, const struct mln_value *domains);
/* SHA-1 of the public key's bits: RFC 5280 sec. 4.2.1.2 (1). An identifier, not a security function. */
struct mln_err mln_x509_key_id(struct mln_cx *cx, struct mln_bytes spki, struct mln_bytes *ret);

/* ---- building ---- */

struct mln_cert_spec {
    struct mln_bytes serial; /* 1..20 bytes, big-endian, positive */
    struct mln_bytes issuer, subject, spki;
    int64_t not_before_s, not_after_s;
    const struct mln_bytes *extensions;
    size_t n;
};
struct mln_err mln_cert_build(struct mln_cx *cx, const struct mln_cert_spec *spec,
                              const struct mln_x509_signer *by, struct mln_bytes *ret);
struct mln_err mln_csr_build(struct mln_cx *cx, const struct mln_cert_spec *spec,
                             const struct mln_x509_signer *by, struct mln_bytes *ret);

struct mln_crl_spec {
    struct mln_bytes issuer, authority_key;
    int64_t this_s, next_s, number;
    int64_t base_number;           /* of a delta list; -1 = a complete one */
    const struct mln_bytes *parts; /* revoked entries: mln_crl_entry, one after the other */
    size_t n;
};
struct mln_bytes mln_crl_entry(struct mln_cx *cx, struct mln_bytes serial, int64_t revoked_s);
struct mln_err mln_crl_build(struct mln_cx *cx, const struct mln_crl_spec *spec,
                             const struct mln_x509_signer *by, struct mln_bytes *ret);

/* ---- reading ---- */

struct mln_x509_extension {
    const char *oid; /* dotted */
    struct mln_bytes der;
};

#define MLN_X509_MAX_BYTES                                                                         \
    (64u << 10) /* of one certificate or request: the largest in use have some 8 KiB */
#define MLN_X509_NAMES_MAX 1024u /* alternative names of one */
#define MLN_X509_EXTS_MAX  64u

struct mln_x509_info {
    struct mln_bytes der, serial, subject, issuer, spki;
    struct mln_bytes common_name;                /* UTF-8; none when absent */
    struct mln_bytes subject_key, authority_key; /* empty when absent */
    int64_t not_before_s, not_after_s;
    bool is_ca, has_basic;
    int64_t path_length; /* -1 = none */
    unsigned key_usage;  /* 0 = absent: any */
    enum mln_key_kind kind;
    unsigned bits;
    const struct mln_san *sans;
    size_t sans_n;
    const struct mln_x509_extension *extensions;
    size_t extensions_n;
    const struct mln_value *ext_key_usage; /* dotted OIDs */
};
/* PARSE: no such thing. UNSUPPORTED: a key of another kind. Signature of a certificate: not looked at. */
struct mln_err mln_x509_cert_read(struct mln_cx *cx, struct mln_bytes der,
                                  struct mln_x509_info *ret);
/* The same, but alternative names are not looked at (sans_n 0): certificates of TPMs have kinds that are refused above. */
struct mln_err mln_x509_cert_read_unnamed(struct mln_cx *cx, struct mln_bytes der,
                                          struct mln_x509_info *ret);
/* Its signature must be by its own key: FORGED. */
struct mln_err mln_x509_csr_read(struct mln_cx *cx, struct mln_bytes der,
                                 struct mln_x509_info *ret);
/* Is `der` signed by the key of `issuer`, and named so? FORGED otherwise. */
struct mln_err mln_x509_cert_verify(struct mln_cx *cx, struct mln_bytes der,
                                    struct mln_bytes issuer);

/* ---- OCSP ---- */

#define MLN_OCSP_REQUEST_MAX 10240u /* bytes: a request for one certificate has some 100 */
#define MLN_OCSP_ASKED_MAX   16u

struct mln_ocsp_asked {
    struct mln_bytes serial;
    struct mln_bytes name_hash, key_hash; /* of its issuer */
    bool is_sha1, is_sha256;              /* what they are hashed with */
};
struct mln_ocsp_ask {
    struct mln_ocsp_asked asked[MLN_OCSP_ASKED_MAX];
    size_t n;
};
/* PARSE, TOO_LARGE. */
struct mln_err mln_ocsp_read(struct mln_cx *cx, struct mln_bytes der, struct mln_ocsp_ask *ret);
bool mln_ocsp_is_issuer(const struct mln_ocsp_asked *asked, struct mln_bytes subject,
                        struct mln_bytes spki);

enum mln_ocsp_state { MLN_OCSP_GOOD, MLN_OCSP_REVOKED, MLN_OCSP_UNKNOWN };
struct mln_ocsp_state_of {
    enum mln_ocsp_state state;
    int64_t revoked_s;
};
struct mln_ocsp_spec {
    struct mln_bytes request; /* what was asked: identifiers and nonce are copied from it */
    const struct mln_ocsp_state_of *states; /* one for each asked */
    int64_t this_s, next_s;                 /* next 0 = none */
    struct mln_bytes issuer;                /* certificate that signs */
    struct mln_x509_signer by;
};
struct mln_err mln_ocsp_build(struct mln_cx *cx, const struct mln_ocsp_spec *spec,
                              struct mln_bytes *ret);
/* The unsigned answers of RFC 6960 sec. 4.2.1. */
enum mln_ocsp_refusal { MLN_OCSP_MALFORMED = 1, MLN_OCSP_INTERNAL = 2, MLN_OCSP_UNAUTHORIZED = 6 };
struct mln_bytes mln_ocsp_refusal(struct mln_cx *cx, enum mln_ocsp_refusal why);
