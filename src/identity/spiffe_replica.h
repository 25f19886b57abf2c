/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's part of what a server knows: its entries, the bundles, and the SVIDs of its processes with keys that are made here and never
 * leave. It answers processes by itself; what it lacks (a certificate for a key, a JWT-SVID) it names, and the node asks the server.
 * It knows no network. Any number of threads. Everything is in memory only.
 */
#pragma once

#include "base/value.h"

struct mln_replica;
struct mln_replica *mln_replica_new(void); /* NULL: no memory */
void mln_replica_free(struct mln_replica *replica);
/* Forget everything: this node was put out. */
void mln_replica_clear(struct mln_replica *replica);

/*
 * How far it is, to be said to nodes/sync and nodes/watch; "" = nothing is known yet. In the arena.
 * put: what nodes/sync answered ("data"). REMOTE: it cannot be read, and the replica is as it was, or empty. ret_more: ask again
 */
const char *mln_replica_revision(struct mln_cx *cx, struct mln_replica *replica);
struct mln_err mln_replica_put(struct mln_cx *cx, struct mln_replica *replica,
                               const struct mln_value *data, bool *ret_more);
/* How many entries and SVIDs that live it has. */
void mln_replica_count(struct mln_replica *replica, int64_t now_s, size_t *ret_entries,
                       size_t *ret_svids);

/* ---- certificates ---- */

#define MLN_REPLICA_BATCH 64u /* requests of one call to nodes/sign */
#define MLN_REPLICA_AHEAD                                                                          \
    1000u /* SVIDs that are made before a process asks: what an outage finds here; some 3 KiB each */

struct mln_key; /* crypto/x509.h */
/* PKCS #10 of a key that says nothing else, base64 in the arena. */
struct mln_err mln_replica_csr(struct mln_cx *cx, const struct mln_key *key, const char **ret);
struct
    mln_replica_batch; /* keys that wait for their certificates: in the arena, which must be a secret one */
/*
 * New keys for entries whose SVID is due; ids: those only (array of texts), NULL = whichever are, up to MLN_REPLICA_AHEAD in all.
 * ret: NULL = none is due. ret_body: what nodes/sign is asked
 */
struct mln_err mln_replica_due(struct mln_cx *cx, struct mln_replica *replica,
                               const struct mln_value *ids, int64_t now_s,
                               struct mln_replica_batch **ret, const struct mln_value **ret_body);
/* What nodes/sign answered ("data"). A certificate for another key or id than was asked for is REMOTE. ret_n: how many are new */
struct mln_err mln_replica_certified(struct mln_cx *cx, struct mln_replica *replica,
                                     const struct mln_replica_batch *batch,
                                     const struct mln_value *data, int64_t now_s, size_t *ret_n);
/* Is this authority neither tainted nor revoked, as far as is known? */
bool mln_replica_trusts(struct mln_replica *replica, const char *authority);
/* Seconds until the next SVID is due, 0..most. */
int64_t mln_replica_next_s(struct mln_replica *replica, int64_t now_s, int64_t most);

/* ---- processes ---- */

struct mln_replica_ask {
    struct mln_bytes
        question; /* "x509-svids", "x509-bundles", "jwt-bundles", "secrets", "jwt-svid", "validate" */
    const struct mln_value *data;      /* of the question */
    const struct mln_value *selectors; /* what the process shows */
    int64_t now_ns;
    struct mln_value *tokens; /* object that mln_replica_token fills: what this question brought; or NULL */
    bool is_cut_off; /* the server does not answer: what is good still will do */
};
struct mln_replica_reply {
    const struct mln_value *data; /* the answer; NULL = something is missing: */
    const struct mln_value *ids;  /* entries whose certificates are, or NULL */
    const char *entry;            /* or that entry's JWT-SVID: ask nodes/jwt for `body` */
    const struct mln_value *body;
    bool needs_match; /* or what templates have for it: ask nodes/match, then nodes/sync */
};
/* errors as a server's: DENIED (no identity), INVALID, UNREACHABLE (nothing is known yet) */
struct mln_err mln_replica_answer(struct mln_cx *cx, struct mln_replica *replica,
                                  const struct mln_replica_ask *ask, struct mln_replica_reply *ret);
/*
 * What nodes/jwt answered ("data") for lacks->entry. errors REMOTE; NOT_FOUND: it is of another revision or id than the entry that is
 * known here now, and is not taken: nodes/sync comes first
 */
struct mln_err mln_replica_token(struct mln_cx *cx, struct mln_replica *replica,
                                 const struct mln_replica_ask *ask,
                                 const struct mln_replica_reply *lacks,
                                 const struct mln_value *data);
/* nodes/match and nodes/sync were asked for a process that shows these. */
void mln_replica_matched(struct mln_replica *replica, const struct mln_value *selectors);
