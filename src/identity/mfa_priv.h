/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second factors. Rows below "mfa/" in identity's view:
 *   method/<uuid>              {"id","name","issuer","period","key_size","qr_size","algorithm","digits","skew","max_validation_attempts"}
 *   secret/<method>/<entity>   {"key","last_step","failures","failed_ns"}; last_step: a code is good once
 *   enforcement/<hex name>     {"id","name","mfa_method_ids","auth_method_accessors","auth_method_types","identity_group_ids",
 *                              "identity_entity_ids"}
 *   pending/<uuid>             a login that waits for its codes: {"login","constraints","entity_id","expires_ns"}
 */
#pragma once

#include "identity/identity_priv.h"

#define MFA_SECOND_NS 1000000000LL

struct mln_err mfa_method(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                          const struct mln_value **ret);
struct mln_bytes mfa_secret_key(struct mln_cx *cx, struct mln_bytes method,
                                struct mln_bytes entity);
struct mln_err mfa_sweep(struct mln_request *rq); /* pending logins that expired */

extern const struct mln_path id_mfa_paths[], id_mfa_enforcement_paths[];
