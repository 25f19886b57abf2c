/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token exchange (RFC 8693): tokens of others become SVIDs of this trust domain, by rules. Rows below the mount:
 *   exchange/issuer/<name>   {"name","issuer","jwks_url","public_keys":[pem],"ca_pem","algorithms":[],"audiences":[],"single_use"}
 *   exchange/rule/<name>     {"name","issuer","bound_ids":[patterns],"bound_subject","bound_claims":{},"bound_claims_type","id_template",
 *                            "audiences":[globs],"ttl","x509","x509_ttl","actors":[patterns]}
 *   exchange/used/<hour>/<digest>   {}: a token of an issuer with single_use, until the hour in which it expires is over
 * The issuer "spiffe" stands for JWT-SVIDs of our trust domain and of those that we hold a bundle of.
 */
#pragma once

#include "identity/spiffe_priv.h"

#define SX_ISSUER      "exchange/issuer/"
#define SX_RULE        "exchange/rule/"
#define SX_USED        "exchange/used/"
#define SX_SPIFFE      "spiffe"
#define SX_ISSUERS_MAX 64u  /* all are looked at for each token */
#define SX_RULES_MAX   256u /* of all issuers: the same */
#define SX_ACT_DEPTH   4u   /* who acts for whom for whom */
#define SX_USED_S                                                                                  \
    (24 * 3600) /* how long a token of a single use may live: as long as it is remembered */

/* All rows of a folder, by name. */
struct mln_err sx_rows(struct mln_request *rq, const char *folder, struct mln_value **ret);
/* A row as policy/issuer.h reads it. */
const struct mln_value *sx_issuer_config(struct mln_cx *cx, const struct mln_value *row);
/* What tokens for us must be for: of issuer "spiffe" too, which need not be configured. */
struct mln_err sx_audiences_of(struct mln_request *rq, const struct mln_value **ret);
extern const struct mln_path sp_exchange_paths[], sp_exchange_rule_paths[];
/* Forget single uses that are over, some at a time; for the tick. */
struct mln_err sx_sweep(struct mln_request *rq);

/* ---- spiffe_exchange_subject.c: whose token is it, and what may become of him ---- */
struct sx_error {
    int status;
    const char *error,
        *description; /* RFC 6749 sec. 5.2; the description says nothing about rules */
    const char *why;  /* for the record alone */
};
struct sx {
    struct mln_request *rq;
    struct sp_state *state;
    struct sx_error refused; /* error NULL = not refused */
    const struct mln_value *issuer, *claims, *rule;
    const struct mln_value
        *whole; /* all claims: of foreign JWT-SVIDs `claims` has those that mean the same here */
    const char *issuer_name, *subject; /* subject: "sub" */
    bool is_svid;
    int64_t until_s; /* what is issued may not live longer; 0 = no such bound */
    const char *id;  /* that is given */
    const struct mln_value *act;
    const char *actor; /* NULL = nobody acts for the subject */
};
/* Refuse: INVALID, with refused filled. Of the first refusal only. */
struct mln_err sx_refuse(struct sx *x, const char *error, const char *description, const char *why);
struct mln_err
sx_subject(struct sx *x); /* subject_token, verified; the record names him from here on */
struct mln_err sx_rule(struct sx *x);  /* the first rule that fits, and the id that it makes */
struct mln_err sx_actor(struct sx *x); /* actor_token, may_act and act */
/* Is it an act as we sign it, or NULL? {"sub": 1 to MLN_SPIFFE_ID_MAX bytes} and at most an act besides, SX_ACT_DEPTH of them. */
bool sx_act_is_ours(const struct mln_value *act);
struct mln_err sx_use(struct sx *x);   /* of a single use: this is it */
