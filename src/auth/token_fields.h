/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every role or user says of the tokens that its logins make: token_ttl, token_policies, token_bound_cidrs and so on, with
 * the names they had before. One schema, one parser, one printer, so that no method differs in them. A role is an object in the
 * store; its token fields are members of it under their names. Source: Vault's public API documentation, "tokenutil" fields.
 */
#pragma once

#include "contract/engine.h"

/* Lines for a method's table of fields. */
#define MLN_TOKEN_FIELDS_NEW                                                                                                    \
    {.name = "token_ttl", .type = MLN_FIELD_DURATION, .help = "How long a token lives at first; 0 is the mount's default."},   \
    {.name = "token_max_ttl", .type = MLN_FIELD_DURATION, .help = "How long renewals may make it live."},                       \
    {.name = "token_policies", .type = MLN_FIELD_LIST, .help = "Policies of the tokens."},                                      \
    {.name = "token_bound_cidrs", .type = MLN_FIELD_LIST, .help = "Address blocks that may log in and use the token."},         \
    {.name = "token_explicit_max_ttl", .type = MLN_FIELD_DURATION, .help = "An end that no renewal moves."},                    \
    {.name = "token_no_default_policy", .type = MLN_FIELD_BOOL, .help = "Leave the default policy out."},                       \
    {.name = "token_num_uses", .type = MLN_FIELD_INT, .help = "Requests that a token is good for; 0 is no limit."},             \
    {.name = "token_period", .type = MLN_FIELD_DURATION, .help = "Lives on as long as it is renewed within this time."},        \
    {.name = "token_strictly_bind_ip", .type = MLN_FIELD_BOOL, .help = "Bind the token to the address that logged in."},        \
    {.name = "token_type", .type = MLN_FIELD_TEXT, .help = "default, service or batch."}
#define MLN_TOKEN_FIELDS_OLD                                                                                                    \
    {.name = "policies", .type = MLN_FIELD_LIST, .help = "Old name of token_policies."},                                        \
    {.name = "ttl", .type = MLN_FIELD_DURATION, .help = "Old name of token_ttl."},                                              \
    {.name = "max_ttl", .type = MLN_FIELD_DURATION, .help = "Old name of token_max_ttl."},                                      \
    {.name = "period", .type = MLN_FIELD_DURATION, .help = "Old name of token_period."},                                        \
    {.name = "bound_cidrs", .type = MLN_FIELD_LIST, .help = "Old name of token_bound_cidrs."}
#define MLN_TOKEN_FIELDS MLN_TOKEN_FIELDS_NEW, MLN_TOKEN_FIELDS_OLD

/* Take what the request gives into `role` (an object of the caller's own); what is not given stays. errors INVALID */
struct mln_err mln_token_fields_take(struct mln_request *rq, struct mln_value *role);
/* The same for one field by its new name (paths below a role). Absent in the request: INVALID "missing <name>". */
struct mln_err mln_token_fields_take_one(struct mln_request *rq, struct mln_value *role, const char *name);
/* All of them as a read answers: seconds, arrays, booleans; old names only where they were used. */
void mln_token_fields_print(struct mln_cx *cx, const struct mln_value *role, struct mln_value *data);
/* One of them; NULL for a name that is none. Never a shared null for a known name. */
const struct mln_value *mln_token_fields_value(struct mln_cx *cx, const struct mln_value *role, const char *name);
/* Forget one: its default from now on. */
void mln_token_fields_reset(struct mln_value *role, const char *name);
/* Fill TTLs, policies, uses, type and bound blocks of a login or its renewal. */
void mln_token_fields_login(struct mln_request *rq, const struct mln_value *role, struct mln_login *login);
/*
 * The same for a renewal. Vault renews only while the role gives the policies that the token was made with: when `login` comes with
 * policies (the token's), others are INVALID "policies have changed, not renewing".
 */
struct mln_err mln_token_fields_renew(struct mln_request *rq, const struct mln_value *role, struct mln_login *login);
/* May this client log in from where it is? DENIED-like BAD_LOGIN text is the caller's: false is no. No blocks: true. */
bool mln_token_fields_from(const struct mln_request *rq, const struct mln_value *role);

/* ---- lists of address blocks, for roles' other lists of them ---- */
#define MLN_CIDRS_MAX 256u /* of one list: each login walks it */
/* Each item an address or block. errors INVALID */
struct mln_err mln_cidrs_check(struct mln_cx *cx, const struct mln_value *list);
/* Is `source` in one of them? An empty or absent list: yes. */
bool mln_cidrs_have(const struct mln_value *list, const char *source);
/* Is each block of `inner` within one of `outer`? */
bool mln_cidrs_within(const struct mln_value *inner, const struct mln_value *outer);
