/* SPDX-License-Identifier: Apache-2.0 */
/* The OIDC provider: what is set up (oidc_client.c) and how applications log people in (oidc_flow.c). */
#pragma once

#include "identity/oidc_priv.h"

struct mln_err oidc_assignment(struct mln_request *rq, struct mln_bytes name,
                               const struct mln_value **ret);
struct mln_err oidc_client_by_id(struct mln_request *rq, struct mln_bytes id,
                                 const struct mln_value **ret);
struct mln_err oidc_provider(struct mln_request *rq, struct mln_bytes name,
                             const struct mln_value **ret);
struct mln_err oidc_provider_issuer(struct mln_request *rq, struct mln_bytes name,
                                    const struct mln_value *provider, const char **ret);
struct mln_err oidc_flow_sweep(struct mln_request *rq); /* codes and access tokens that expired */
