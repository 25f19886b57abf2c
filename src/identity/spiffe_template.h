/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: registration entries for pods that nobody wrote one for. A template names namespaces and service accounts by patterns and has
 * an id with {{ns}} and {{sa}}; when a caller shows k8s:ns and k8s:sa that it takes, an entry is made in memory, and from then on it is one
 * like any other: it hangs in the index, has its SVID and tells of its changes. Nothing of it is stored.
 * Rows: template/<name> {"name","spiffe_id","parent_ids":[],"namespaces":[],"service_accounts":[],"labels":{},"selectors":[],
 *       "dns_names":[],"federates_with":[],"x509_svid_ttl","jwt_svid_ttl","hint","fallback","source","created_ns","revision"}
 */
#pragma once

#include "identity/spiffe_priv.h"

#define SP_TEMPLATES_MAX                                                                           \
    64u /* each that takes a pod costs 3 to 7 us a question of it, others less than one */
#define SP_MADE_MAX                                                                                \
    65536u /* entries in memory; more than that and the parent that has most of them starts anew */
#define SP_MADE_PARENT_MAX                                                                         \
    4096u /* of one parent: a machine has some hundred pods. Who has more starts anew, once a minute */
#define SP_MADE_PREFIX MLN_BYTES("template-") /* of their ids, which no entry that is stored has */

struct sp_pod {
    struct mln_bytes parent; /* who attested it */
    const struct mln_value *selectors;
};
/*
 * What this template asks for this caller, as sp_entry_make takes it, with the entry's id; *ret NULL: it does not take it, or a value
 * cannot stand in an id. Under a lock. errors MEMORY
 */
struct mln_err sp_template_ask(struct mln_cx *cx, const struct sp_state *state,
                               const struct mln_value *tmpl, const struct sp_pod *pod,
                               const struct mln_value **ret);
/* A row of it for the index; *ret NULL: no entry may be so. errors MEMORY */
struct mln_err sp_template_row(struct mln_request *rq, const struct sp_state *state,
                               const struct mln_value *tmpl, const struct mln_value *asked,
                               const struct mln_value **ret);
/* A row from what a client said (create: old NULL). errors INVALID */
struct mln_err sp_template_make(struct mln_request *rq, const struct sp_state *state,
                                const struct mln_value *old, const struct mln_value **ret);

/* Into memory, at the beginning; the write lock is held. */
struct mln_err sp_templates_load(struct mln_request *rq, struct sp_state *state);
/* After the commit: read them again, drop what this one made, tell all. */
struct mln_err sp_after_template(struct mln_request *rq, struct mln_bytes name);
void sp_templates_free(struct sp_state *state);
