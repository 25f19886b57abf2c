/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes: pods that bring the token of their service account. Rows of a mount: "config", "role/<name>". Who a token stands for is
 * asked of the cluster (TokenReview, through reach), proved by configured keys, or both.
 * Source: Vault's public API documentation; Kubernetes' reference of authentication.k8s.io/v1.
 */
#pragma once

#include "auth/rows.h"
#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/text.h"
#include "policy/claims.h"

/* A service account. Texts, "" when unknown. */
struct kubernetes_account {
    const char *space, *name, *uid;
};

/* Says who a token stands for; DENIED ("permission denied") when nobody vouches for it. audience: "" = none is asked for. */
struct mln_err kubernetes_account_of(struct mln_request *rq, const struct mln_value *config, struct mln_bytes jwt,
                                     const char *audience, struct kubernetes_account *ret);
