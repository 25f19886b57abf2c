/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins by TLS client certificate. Front has had the client prove that it holds the leaf's key; here the chain is judged against
 * what the mount trusts. Rows of a mount:
 *   cert/<name>   an entry: "certificate" (PEM: authorities or single certificates), lists of constraints, token fields
 *   crl/<name>    {"crl": DER bytes, "serials": [decimal]}: what an administrator uploaded
 *   config        {"disable_binding", "enable_identity_alias_metadata", "ocsp_cache_size", "role_cache_size"}
 * Source: RFC 5280; Vault's public API documentation of the TLS certificates method.
 */
#pragma once

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/text.h"

#define CERT_PEM_MAX     65536u  /* of one entry: some twenty authorities */
#define CERT_CRL_MAX     1048576u /* of one list: some 25,000 revoked serials */
#define CERT_NAMES_MAX   256     /* names of one certificate that are looked at */
#define CERT_ENTRIES_MAX 10000u  /* that one login without a name walks */

/* ---- cert_x509.c: OpenSSL's objects, what a leaf says, chains ---- */

struct cert_chain {
    X509 *leaf;
    STACK_OF(X509) *others; /* what the client sent besides */
};
void cert_chain_drop(struct cert_chain *chain);
/* certs: array of DER, leaf first. errors INVALID */
struct mln_err cert_chain_read(struct mln_cx *cx, const struct mln_value *certs, struct cert_chain *ret);

/* Views and texts in the arena. Names with a NUL inside and texts that are not UTF-8 are left out. */
struct cert_facts {
    const char *common_name;                                 /* "" when none */
    const char *serial;                                      /* decimal */
    const char *subject_key_id, *authority_key_id;           /* "aa:bb", "" when none */
    const struct mln_value *units, *dns, *emails, *uris;     /* arrays of texts */
};
struct mln_err cert_facts_read(struct mln_cx *cx, X509 *leaf, struct cert_facts *ret);
/* The value of an extension as text (a DER string) and whole as DER; false when the leaf has none of this oid. */
bool cert_extension(struct mln_cx *cx, X509 *leaf, const char *oid, struct mln_bytes *ret_text, struct mln_bytes *ret_der);

/* The certificates of a PEM text, at least one. errors INVALID */
struct mln_err cert_pem_read(struct mln_cx *cx, struct mln_bytes pem, STACK_OF(X509) * *ret);
void cert_stack_drop(STACK_OF(X509) * *stack);
/*
 * Does the chain lead to an authority in `trusted` (at now_s, for client authentication), or is the leaf itself one of its
 * certificates that are no authorities? *ret_path: leaf to anchor, to be freed with cert_stack_drop. False otherwise.
 */
bool cert_is_trusted(const struct cert_chain *chain, STACK_OF(X509) * trusted, int64_t now_s, STACK_OF(X509) * *ret_path);
/* PEM or DER of a revocation list: its DER and its serials. errors INVALID */
struct mln_err cert_crl_read(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes *ret_der, const struct mln_value **ret_serials);
/* Is one of path revoked by this list (of its own issuer)? */
bool cert_is_revoked(struct mln_bytes crl_der, STACK_OF(X509) * path);


/* ---- cert_login.c ---- */
struct mln_err cert_login_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err cert_renew_login(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login);

/* ---- cert.c ---- */
struct mln_err cert_load(struct mln_request *rq, const char *name, const struct mln_value **ret); /* NOT_FOUND without text */
struct mln_err cert_config(struct mln_request *rq, const struct mln_value **ret);                  /* an object, empty when new */
