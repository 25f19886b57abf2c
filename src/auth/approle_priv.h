/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AppRole: roles of machines, which log in with a role id and a secret id. Rows of a mount:
 *   key                           32 random bytes, made when it was mounted: the HMAC key of all ids below
 *   role/<name>                   the role: token fields and "role_id", "uid", "bind_secret_id", "local_secret_ids",
 *                                 "secret_id_bound_cidrs", "secret_id_num_uses", "secret_id_ttl"
 *   role-id/<mac of role id>      the name of its role
 *   secret/<uid>/<mac>            a secret id, never itself: "accessor", "mac", "uses" (left; 0 = no limit), "ttl_s", "created_ns",
 *                                 "updated_ns", "expires_ns" (0 = never), "metadata", "cidr_list", "token_bound_cidrs"
 *   accessor/<uid>/<accessor>     the mac of its secret id
 *   due/<hour>/<uid>/<mac>        empty: when it may be swept, hours since 1970 as 8 hex digits
 * uid is random and of one role's life: a role made anew under an old name has none of the old secret ids.
 * Source: Vault's public API documentation of AppRole.
 */
#pragma once

#include "auth/rows.h"
#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/text.h"

#define APPROLE_ID_MAX 4096u /* of a role id or secret id that someone made himself: bounds the HMAC */

/* The name of the request's role, in lower case. errors INVALID */
struct mln_err approle_name(struct mln_request *rq, const char **ret);
/* The role of that name. NOT_FOUND without text. */
struct mln_err approle_load(struct mln_request *rq, const char *name, const struct mln_value **ret);
/* The request's role, for paths that need it: INVALID with Vault's text. */
struct mln_err approle_need(struct mln_request *rq, const char **ret_name, const struct mln_value **ret);
struct mln_err approle_put(struct mln_request *rq, const char *name, const struct mln_value *role);
/* Hex of HMAC-SHA-256 under the mount's key. */
struct mln_err approle_mac(struct mln_request *rq, struct mln_bytes id, const char **ret);
const char *approle_text(struct mln_cx *cx, const struct mln_value *row, const char *member);

/* ---- approle_role.c ---- */
struct mln_err approle_role_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_role_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_role_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_role_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_role_exists(struct mln_request *rq, bool *ret);
struct mln_err approle_role_id_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_role_id_write(struct mln_request *rq, struct mln_reply *re);
/* One field of a role: role/{role_name}/token-ttl and so on; which one stands at the path's end. */
struct mln_err approle_field_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_field_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_field_remove(struct mln_request *rq, struct mln_reply *re);

/* ---- approle_secret.c ---- */
struct mln_err approle_secret_make(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_secret_custom(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_secret_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_secret_lookup(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_secret_destroy(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_accessor_lookup(struct mln_request *rq, struct mln_reply *re);
struct mln_err approle_accessor_destroy(struct mln_request *rq, struct mln_reply *re);
/* A live secret id of this role, or BAD_LOGIN. */
struct mln_err approle_secret_find(struct mln_request *rq, const struct mln_value *role, struct mln_bytes secret_id,
                                   const struct mln_value **ret);
/* One use is spent, in the login's transaction; the last one deletes it. */
struct mln_err approle_secret_use(struct mln_request *rq, const struct mln_value *role, const struct mln_value *secret);
/* All secret ids of a role that goes. */
struct mln_err approle_secret_forget(struct mln_request *rq, const struct mln_value *role);
/* Delete what has expired, at most one batch of it. */
struct mln_err approle_tick(struct mln_request *rq);
