/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issuers of tokens of others: whose keys verify a token (configured ones, a published set, or those of a discovered provider). Published
 * keys are believed for an hour; an unknown key id or a failed signature makes us ask again, at most every 30 s (net/reach.h keeps them).
 * Sources: RFC 7517, RFC 8725, OpenID Connect Discovery 1.0.
 *
 * An issuer's configuration, all texts unless said otherwise, "" or absent = none: jwt_validation_pubkeys (array of PEM); else jwks_url
 * with jwks_ca_pem; else oidc_discovery_url with oidc_discovery_ca_pem. jwt_supported_algs: array, empty = all that the keys can.
 */
#pragma once

#include "contract/engine.h"

/* A JSON object from outside. errors of reach; INVALID: what came is none (named by `what`) */
struct mln_err mln_issuer_fetch(struct mln_request *rq, const char *url, const char *ca_pem, int64_t max_age_ms, const char *what,
                                const struct mln_value **ret);
/* The provider's metadata, its issuer checked to be oidc_discovery_url. */
struct mln_err mln_issuer_discover(struct mln_request *rq, const struct mln_value *config, const struct mln_value **ret);
/*
 * Parse, check the algorithm, verify by the issuer's keys. Nothing of the claims is checked (policy/claims.h).
 * errors   BAD_LOGIN ("error validating token: ..."); those of reach when keys cannot be had
 */
struct mln_err mln_issuer_verify(struct mln_request *rq, const struct mln_value *config, struct mln_bytes text,
                                 const struct mln_value **ret_claims);
