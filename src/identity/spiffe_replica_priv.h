/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a replica: what spiffe_replica.c, spiffe_replica_keys.c and spiffe_replica_ask.c share. */
#pragma once

#include "identity/spiffe_priv.h"
#include "identity/spiffe_replica.h"

#define RP_TOKENS   1024u /* JWT-SVIDs that are kept: some 700 bytes each */
#define RP_REVISION 128u
#define RP_MATCHED  4096u /* callers that templates were asked about: 32 bytes each */

struct rp_token {
    uint8_t key[32];
    char *text;
    size_t n;
    int64_t made_s, turn_s, expires_s;
};

struct mln_replica {
    pthread_rwlock_t lock; /* of all below */
    char revision[RP_REVISION];
    char parent[MLN_SPIFFE_ID_MAX +
                1]; /* the node's id: every entry's parent; "" = no entries yet */
    char own_id[MLN_SPIFFE_DOMAIN_MAX + 10];
    struct sp_index *index; /* `changed` of an entry: the round in which it was told last */
    uint64_t round;
    bool is_sweeping;                  /* a whole list is coming in */
    struct sp_foreign *bundles;        /* our own first, then others' */
    char good[SP_AUTHORITIES_MAX][72]; /* authorities that were neither tainted nor revoked */
    size_t good_n;
    struct mln_buf claims; /* CBOR array: names of foreign claims that are shown */
    enum mln_key_kind key_kind;
    unsigned key_bits;
    bool bundles_for_all, has_templates;
    uint8_t matched[RP_MATCHED][32]; /* digests of their selectors */
    struct rp_token tokens[RP_TOKENS];
};

static inline void rp_unlock(pthread_rwlock_t **lock)
{
    pthread_rwlock_unlock(*lock);
}
static inline pthread_rwlock_t *rp_lock(struct mln_replica *replica, bool writes)
{
    (void)(writes ? pthread_rwlock_wrlock(&replica->lock) : pthread_rwlock_rdlock(&replica->lock));
    return &replica->lock;
}
#define RP_READ(replica)                                                                           \
    MLN_AUTO(rp_unlock) pthread_rwlock_t *rp_held_ __attribute__((unused)) = rp_lock(replica, false)
#define RP_WRITE(replica)                                                                          \
    MLN_AUTO(rp_unlock) pthread_rwlock_t *rp_held_ __attribute__((unused)) = rp_lock(replica, true)

/* Under the lock. Of an authority that counts, and not dead; and not due for a new one. */
bool rp_svid_lives(const struct mln_replica *replica, const struct sp_svid *svid, int64_t now_s);
bool rp_svid_is_good(const struct mln_replica *replica, const struct sp_svid *svid, int64_t now_s);
/* Under the write lock. */
void rp_tokens_forget(struct mln_replica *replica);
