/* SPDX-License-Identifier: Apache-2.0 */
/*
 * People of an LDAP directory. Rows of a mount: "config" (with the token fields), "user/<name>" {"policies", "groups"}, "group/<name>"
 * {"policies"}. The directory is asked through reach; a person's password is used for one bind and kept nowhere.
 * Sources: Vault's public API documentation; RFC 4514 (names), RFC 4515 (filters).
 */
#pragma once

#include "auth/rows.h"
#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/text.h"

#define LDAP_GROUPFILTER "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"
#define LDAP_USERFILTER  "({{.UserAttr}}={{.Username}})"

/* ---- ldap_text.c ---- */
/* A value within a filter, and within a name: every byte that could end it or mean something is written in hex. */
void ldap_filter_print(struct mln_buf *buf, struct mln_bytes value);
void ldap_dn_print(struct mln_buf *buf, struct mln_bytes value);
/* What templates may name; values are raw, they are escaped when put in. attr is the configured attribute and goes in as it is. */
struct ldap_names {
    struct mln_bytes username, user_dn, attr;
};
/* "{{.Username}}", "{{.UserDN}}", "{{.UserAttr}}" filled in. errors INVALID (anything else between braces) */
struct mln_err ldap_template_fill(struct mln_cx *cx, struct mln_bytes template, const struct ldap_names *names, const char **ret);
/* The CN of "CN=admins,OU=x" (its first part), or the text itself when it is no such name. */
struct mln_bytes ldap_common_name(struct mln_cx *cx, struct mln_bytes text);
/* A name of an attribute: letters, digits, "-", ";" and "."; nothing else may stand in a filter unescaped. */
bool ldap_attribute_is_sane(struct mln_bytes name);

/* ---- ldap.c ---- */
struct mln_err ldap_config_load(struct mln_request *rq, const struct mln_value **ret); /* INVALID: not configured */
struct mln_bytes ldap_of(const struct mln_value *config, const char *name);
bool ldap_flag(const struct mln_value *config, const char *name);
/* A name in lower case unless names are case-sensitive. errors INVALID */
struct mln_err ldap_name(struct mln_request *rq, const struct mln_value *config, struct mln_bytes name, const char **ret);
struct mln_bytes ldap_row(struct mln_cx *cx, const char *kind, const char *name);

/* ---- ldap_tls.c ---- */
struct ldap_pair {
    struct mln_bytes cert; /* DER; none: this server shows no certificate */
    struct mln_bytes key;  /* secret: DER of PKCS #1, SEC 1 or (Ed25519) PKCS #8 */
};
/*
 * What client_tls_cert and client_tls_key say; of a chain the first certificate.
 * errors INVALID (one without the other, unreadable, no pair)
 */
struct mln_err ldap_client_pair(struct mln_cx *cx, const struct mln_value *config, struct ldap_pair *ret);

/* ---- ldap_login.c ---- */
struct mln_err ldap_login(struct mln_request *rq, struct mln_reply *re);
struct mln_err ldap_renew(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login);
