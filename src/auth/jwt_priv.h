/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWT and OpenID Connect: one engine under two types. Rows of a mount:
 *   config        the configuration as written; one source of keys
 *   role/<name>   a role: token fields and its own, as written
 *   key           32 random bytes, made when it was mounted: seals the state that travels through a browser
 *   poll/<hex>    a browser login that waits for its command line (callback_mode direct): claims' outcome, for minutes
 * Keys of publishers are not kept here: core's reach keeps answers for as long as a call says (net/reach.h, max_age_ms).
 * Sources: Vault's public API documentation; RFC 7519, OpenID Connect Core and Discovery 1.0, RFC 6749, RFC 7636, RFC 8725.
 */
#pragma once

#include "auth/rows.h"
#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/text.h"
#include "crypto/jose_verify.h"
#include "policy/claims.h"
#include "policy/issuer.h"

#define JWT_STATE_SECONDS   600     /* a person at a login page */

/* ---- jwt_config.c ---- */
struct mln_err jwt_config_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_config_read(struct mln_request *rq, struct mln_reply *re);
/* The configuration, for logins. errors INVALID */
struct mln_err jwt_config_need(struct mln_request *rq, const struct mln_value **ret);
const char *jwt_text(struct mln_cx *cx, const struct mln_value *row, const char *member); /* "" when absent */

/* ---- jwt_role.c ---- */
struct mln_err jwt_role_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_role_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_role_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_role_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_role_exists(struct mln_request *rq, bool *ret);
/* The role that a login names, or the configured default. errors INVALID */
struct mln_err jwt_role_need(struct mln_request *rq, const struct mln_value *config, const char **ret_name,
                             const struct mln_value **ret);
struct mln_err jwt_role_load(struct mln_request *rq, const char *name, const struct mln_value **ret);

/* ---- jwt.c ---- */
/* Everything after the signature that a role asks, but for the audience of browser logins. errors INVALID ("error validating ...") */
struct mln_err jwt_check(struct mln_request *rq, const struct mln_value *config, const struct mln_value *role,
                         const struct mln_value *claims);
struct mln_err jwt_finish(struct mln_request *rq, const char *role_name, const struct mln_value *role, const struct mln_value *claims,
                          struct mln_reply *re);

/* ---- jwt_oidc.c ---- */
struct mln_err jwt_auth_url(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_callback(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_poll(struct mln_request *rq, struct mln_reply *re);
struct mln_err jwt_tick(struct mln_request *rq);
