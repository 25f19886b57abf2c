/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's cache: answers that came with a lease or a token, kept while these live, so that a hundred processes behind one agent
 * share one lease. All else is passed on. Leases and tokens are renewed, and forgotten when they end, when they are revoked through the
 * proxy, or with the token that asked for them. Locked within: connections and the agent's own thread share it.
 */
#pragma once

#include "base/value.h"

#define MLN_LEASES_MAX 1024u /* answers kept; more are passed on without being kept */

struct mln_leases;
struct mln_leased_key {
    uint8_t hash[32];
};
/* What makes two requests the same. */
struct mln_leased_ask {
    struct mln_bytes method, target, ns, token, wrap, body;
};
/* Something to renew now: the token that asks, and a lease or (lease empty) that token itself. */
struct mln_leased_due {
    struct mln_leased_key key;
    struct mln_bytes token, lease_id;
    int64_t full_s;
};

struct mln_err mln_leases_new(struct mln_cx *cx, struct mln_leases **ret);
void mln_leases_free(struct mln_leases *leases);

struct mln_leased_key mln_leased_key_of(const struct mln_leased_ask *ask);
/* A kept answer's body, copied into cx, and for how many seconds it has been kept; false = none. */
bool mln_leases_find(struct mln_leases *leases, struct mln_cx *cx, const struct mln_leased_key *key,
                     struct mln_bytes *ret_body, int64_t *ret_age_s);
/*
 * Keep an answer of 200, when it is one to keep: it has a lease or a token that can be renewed, and was asked for with own_token, with a
 * token that is kept here, or by a login. True when it was kept.
 */
bool mln_leases_keep(struct mln_leases *leases, struct mln_cx *cx, const struct mln_leased_ask *ask,
                     struct mln_bytes own_token, struct mln_bytes body);
/* A request that went well: when it revoked something, what hangs on that is forgotten. */
void mln_leases_note(struct mln_leases *leases, struct mln_cx *cx, const struct mln_leased_ask *ask);
void mln_leases_forget_token(struct mln_leases *leases, struct mln_bytes token);
/* type: "all", "token", "token_accessor", "lease", "request_path" (a prefix); false = no such type */
bool mln_leases_clear(struct mln_leases *leases, struct mln_bytes type, struct mln_bytes value);

/* The next that is due, copied into cx; its turn comes again in a minute if nothing is said of it. What has ended is forgotten. */
bool mln_leases_due(struct mln_leases *leases, struct mln_cx *cx, struct mln_leased_due *ret);
int64_t mln_leases_next_ns(struct mln_leases *leases); /* when the next is due; INT64_MAX = never */
/* left_s: what the renewal gave; below a third of the first it is forgotten; below 0: unknown, its turn comes again. */
void mln_leases_renewed(struct mln_leases *leases, const struct mln_leased_key *key, int64_t left_s);
