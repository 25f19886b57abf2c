/* SPDX-License-Identifier: Apache-2.0 */
/* Wrapping tokens as signed JWTs: X-Vault-Wrap-Format: jwt (wrap_jwt.c). */
#pragma once

#include "core/sys_priv.h"

/* Did this request ask for one? */
bool wrap_is_jwt_asked(const struct mln_run *run);
/* The token of `info` (as wrap_info of an answer) becomes a JWT that holds it. */
struct mln_err wrap_jwt_sign(struct mln_run *run, struct mln_value *info);
/* Has it the form of a JWT? */
bool wrap_looks_jwt(struct mln_bytes token);
/* The wrapping token in a JWT that this server signed. errors FORGED (no text), INVALID */
struct mln_err wrap_jwt_open(struct mln_request *rq, struct mln_bytes jwt, struct mln_bytes *ret);
