/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the SSH engine share: certificates of its own authority, and one-time passwords. docs/engine-ssh.md.
 *
 *   ca                object: {"id", "public": wire form, "private": PKCS#8, "created_ns"}
 *   role/<name>       object: all fields of the role, defaults filled in
 *   otp/<sha-256>     object: {"ip", "username", "role", "expires_ns"}; named by the hex of the password's hash
 *   zero              array of the roles that give passwords for any address
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"
#include "crypto/ssh.h"

#define SSH_TTL_DEFAULT_S  2764800 /* 32 days: Vault's default and maximum when neither role nor mount say */
#define SSH_PRINCIPALS_MAX 256     /* OpenSSH's SSHKEY_CERT_MAX_PRINCIPALS: it refuses certificates with more */
#define SSH_KEY_ID_MAX     1024    /* it is logged with each login */
#define SSH_OPTIONS_MAX    128     /* of one kind in a certificate: OpenSSH knows seven */

/* ---- ssh_ca.c ---- */
struct ssh_ca {
    const char *id;
    struct mln_ssh_key public;
    struct mln_bytes private; /* PKCS#8 */
};
/* INVALID when there is none. */
struct mln_err ssh_ca_load(struct mln_request *rq, struct ssh_ca *ret);
/* "ed25519", "ssh-rsa", "ec" and bits as requests say them; bits 0: rsa_default or the curve P-256. */
struct mln_err ssh_key_spec(struct mln_request *rq, unsigned rsa_default, enum mln_ssh_kind *ret_kind, unsigned *ret_bits);
struct mln_err ssh_ca_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_ca_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_ca_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_public_key_read(struct mln_request *rq, struct mln_reply *re);

/* ---- ssh_role.c ---- */
extern const struct mln_field ssh_role_fields[];
/* NOT_FOUND (bare) when absent. */
struct mln_err ssh_role_load(struct mln_request *rq, struct mln_bytes name, const struct mln_value **ret);
bool ssh_list_has(const struct mln_value *list, struct mln_bytes text);
/* Texts of a map as they stand in certificates: numbers and booleans become theirs. */
struct mln_err ssh_texts(struct mln_request *rq, const struct mln_value *map, const char *name, const struct mln_value **ret);
struct mln_err ssh_role_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_role_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_role_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_role_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_role_exists(struct mln_request *rq, bool *ret);

/* ---- ssh_cert.c ---- */
struct ssh_cert {
    const struct mln_ssh_key *key;
    uint64_t serial;
    bool is_host;
    struct mln_bytes key_id;
    const struct mln_value *principals;          /* array of texts */
    const struct mln_value *critical, *extensions; /* objects of texts, or NULL */
    uint64_t after_s, before_s;
};
/* The certificate's wire form is appended to blob. algorithm: as mln_ssh_sign */
struct mln_err ssh_cert_sign(struct mln_cx *cx, const struct ssh_cert *cert, const struct ssh_ca *ca, const char *algorithm,
                             struct mln_buf *blob);

/* ---- ssh_sign.c ---- */
struct mln_err ssh_sign_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_issue_write(struct mln_request *rq, struct mln_reply *re);

/* ---- ssh_rules.c: what a role allows in a certificate; each text of a refusal is the client's ---- */
struct mln_err ssh_rule_key(struct mln_request *rq, const struct mln_value *role, const struct mln_ssh_key *key);
struct mln_err ssh_rule_key_id(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert);
struct mln_err ssh_rule_type(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert);
struct mln_err ssh_rule_principals(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert);
struct mln_err ssh_rule_time(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert);
struct mln_err ssh_rule_options(struct mln_request *rq, struct mln_reply *re, const struct mln_value *role,
                                struct ssh_cert *cert);

/* ---- ssh_otp.c ---- */
struct mln_err ssh_creds_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_verify_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_lookup_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_zero_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_zero_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_zero_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err ssh_revoke(struct mln_request *rq, const struct mln_value *internal);
/* Each element is a block of addresses. */
struct mln_err ssh_check_cidrs(struct mln_request *rq, const struct mln_value *list, const char *name);
