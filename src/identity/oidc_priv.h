/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of OIDC share. Rows below "oidc/" in identity's view:
 *   config              {"issuer"}
 *   key/<name>          {"algorithm","rotation_period_s","verification_ttl_s","allowed_client_ids","current","next","retired":[...],
 *                       "rotates_ns"}; current and next: {"kid","der","jwk"}; retired: {"jwk","expires_ns"}
 *   role/<name>         {"key","template","ttl_s","client_id"}
 *   client/<name>, scope/<name>, assignment/<name>, provider/<name>    oidc_client.c
 *   client-id/<id>      -> the client's name
 *   code/<hash>, access/<hash>    oidc_flow.c: hashes of codes and access tokens that are valid
 * Names are hex in keys, so that any name stays one segment.
 */
#pragma once

#include "crypto/jose_verify.h"
#include "identity/identity_priv.h"
#include "policy/template.h"

#define OIDC_SECOND_NS    1000000000LL
#define OIDC_TEMPLATE_MAX 16384u /* bytes of a template */
#define OIDC_LIST_MAX     1024u  /* ids or addresses in one list of a key, client or provider */

/* ---- oidc_rows.c ---- */
struct mln_err oidc_get(struct mln_request *rq, const char *kind, struct mln_bytes name,
                        const struct mln_value **ret);
struct mln_err oidc_put(struct mln_request *rq, const char *kind, struct mln_bytes name,
                        const struct mln_value *row);
struct mln_err oidc_delete(struct mln_request *rq, const char *kind, struct mln_bytes name);
/* Names of one kind, decoded and sorted by their bytes; an empty array when there are none. */
struct mln_err oidc_names(struct mln_request *rq, const char *kind, const struct mln_value **ret);
struct mln_err oidc_field_name(struct mln_request *rq,
                               struct mln_bytes *ret); /* "name", 1..512 bytes */
/* A list field onto the row when it was given. errors LIMIT */
struct mln_err oidc_put_list(struct mln_request *rq, const char *field, struct mln_value *row);
/* Seconds onto the row when given; negative is refused. */
struct mln_err oidc_put_seconds(struct mln_request *rq, const char *field, struct mln_value *row,
                                const char *column);
/* The address that clients reach this server at, or what oidc/config says: "https://vault.example:8200". */
struct mln_err oidc_base(struct mln_request *rq, const char **ret);
bool oidc_is_issuer(struct mln_bytes text); /* scheme, host, optional port */
/* Allowed by a list that may hold "*"? */
bool oidc_allows(const struct mln_value *list, struct mln_bytes id);
/* Template (plain or base64) of the request; checked to be a JSON object when filled, without reserved claims. */
struct mln_err oidc_field_template(struct mln_request *rq, const char **ret); /* NULL: not given */
/* Claims of a template for a person, put into an object. */
struct mln_err oidc_claims(struct mln_request *rq, const char *text, const struct mln_value *person,
                           struct mln_value *claims);

/* ---- oidc_key.c ---- */
/* A key by name; the one called "default" is made when it is first needed. NOT_FOUND without text. */
struct mln_err oidc_key(struct mln_request *rq, struct mln_bytes name,
                        const struct mln_value **ret);
struct mln_err oidc_sign(struct mln_request *rq, const struct mln_value *key,
                         const struct mln_value *claims, const char **ret);
/* Public keys of these names: {"keys":[...]}. */
struct mln_err oidc_jwks(struct mln_request *rq, const struct mln_value *names,
                         const struct mln_value **ret);
struct mln_err oidc_rotate_due(struct mln_request *rq); /* by the clock */

extern const struct mln_path id_oidc_paths[], id_oidc_key_paths[], id_oidc_client_paths[],
    id_oidc_flow_paths[];
