/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload identities: what the files of engine "spiffe" share. Rows below the mount:
 *   domain                  {"trust_domain","created_ns"}: written once, never changed
 *   config                  see spiffe_config.c
 *   bundle                  {"sequence"}: of our own bundle, rises with each change of it
 *   entry/<id>              {"id","spiffe_id","parent_id","selectors":[],"x509_svid_ttl","jwt_svid_ttl","dns_names":[],
 *                           "federates_with":[],"hint","admin","downstream","store_svid","expires_at","created_ns","revision",
 *                           "source"}; source: what `apply` made, or ""
 *   similar/<hash>          -> the id of the entry of this parent, SPIFFE id and selectors
 *   authority/x509/<id>, authority/jwt/<id>    spiffe_authority.c
 *   template/<name>         spiffe_template.h
 *   foreign/<trust domain>  {"trust_domain","sequence","refresh_hint","x509":[der],"jwt":[jwk],"updated_ns"}: bundles of others
 * What requests need of it is in memory (struct sp_state), read from the rows after unsealing and again after each commit that
 * changed it.
 */
#pragma once

#include <pthread.h>

#include "base/limits.h"
#include "base/spiffe_id.h"
#include "base/text.h"
#include "crypto/jose_verify.h"
#include "crypto/x509.h"
#include "identity/identity.h"
#include "identity/spiffe_index.h"
#include "identity/spiffe_claims_id.h"

struct sp_state;

#define SP_SECOND_NS 1000000000LL
#define SP_SKEW_S                                                                                  \
    10 /* clocks of servers and workloads differ: what is made is valid from so long ago */

/* ---- configuration (spiffe_config.c) ---- */
struct sp_config {
    int64_t x509_ttl_s, jwt_ttl_s, ca_ttl_s, refresh_hint_s;
    enum mln_key_kind ca_kind, key_kind;
    unsigned ca_bits, key_bits;
    enum mln_jose_alg jwt_alg;
    bool bundles_for_all; /* callers without an identity get our own bundle */
    const char *issuer;   /* "iss" of JWT-SVIDs; "" = none */
    const char
        *upstream; /* path of a pki mount that signs our authority: "pki/"; "" = self-signed */
    const struct mln_value
        *claims; /* of foreign JWT-SVIDs that are shown besides sub, aud and exp; array of names */
};
struct mln_err sp_config_get(struct mln_request *rq, struct sp_config *ret);
/* The trust domain. PRECONDITION: none yet, or the server was started with another */
struct mln_err sp_domain_settle(struct mln_request *rq, const char **ret);
/* Record it, unless it is there or td is empty. PRECONDITION: it is another */
struct mln_err sp_domain_begin(struct mln_request *rq, struct mln_bytes td);
extern const struct mln_path sp_config_paths[];

/* ---- rows ---- */
struct mln_err sp_row_get(struct mln_request *rq, const char *folder, struct mln_bytes name,
                          const struct mln_value **ret);
struct mln_err sp_row_put(struct mln_request *rq, const char *folder, struct mln_bytes name,
                          const struct mln_value *row);
struct mln_err sp_row_delete(struct mln_request *rq, const char *folder, struct mln_bytes name);
struct mln_err sp_row_names(struct mln_request *rq, const char *folder,
                            const struct mln_value **ret); /* array, may be empty */

/* ---- authorities (spiffe_authority.c) ---- */
enum sp_authority_state { SP_PREPARED, SP_ACTIVE, SP_OLD, SP_TAINTED, SP_REVOKED, SP_STATES };
struct sp_authority {
    char id[72];
    enum sp_authority_state state;
    struct mln_secret key; /* PKCS #8; none when revoked */
    int64_t not_before_s, not_after_s, created_s;
    enum mln_sig sig;                 /* of X.509 */
    enum mln_jose_alg alg;            /* of JWT */
    struct mln_bytes subject, key_id; /* X.509: views into cert */
    uint8_t *cert, *chain,
        *roots; /* chain: what follows a leaf (none when self-signed); roots: what the bundle says; DER */
    size_t cert_n, chain_n, roots_n;
    char *jwk; /* JSON, without use and alg */
    struct mln_jose_public *public;
};
struct sp_authorities {
    struct sp_authority *x509, *jwt; /* oldest first */
    size_t x509_n, jwt_n;
};
#define SP_AUTHORITIES_MAX 32u /* of each kind: rotation keeps three or four */
void sp_authorities_clear(struct sp_authorities *a);
/* From the rows. ret is filled as far as it went on an error too: clear it */
struct mln_err sp_authorities_load(struct mln_request *rq, struct sp_authorities *ret);
/* The one that signs now; NULL when there is none that is valid. */
const struct sp_authority *sp_authority_signing(const struct sp_authority *all, size_t n,
                                                int64_t now_s);
/* In the bundle? */
bool sp_authority_is_shown(const struct sp_authority *a, int64_t now_s);
/* Rows of new ones: prepared, or active when nothing can sign. What is due by the clock; *ret_changed */
struct mln_err sp_authorities_turn(struct mln_request *rq, bool *ret_changed);
#define SP_X509 "authority/x509/" /* folders of their rows */
#define SP_JWT  "authority/jwt/"
extern const char *const sp_state_names[SP_STATES];
enum sp_authority_state sp_state_of(const struct mln_value *row);
struct mln_err sp_authority_rows(struct mln_request *rq, const char *folder,
                                 struct mln_value **ret); /* oldest first */
/* Write the row with another state, and say so in the record. */
struct mln_err sp_authority_set(struct mln_request *rq, const char *folder,
                                const struct mln_value *row, enum sp_authority_state to);
struct mln_err sp_authority_activate(struct mln_request *rq, const char *folder,
                                     const struct mln_value *prepared,
                                     const struct mln_value *active);
/* A new one, PREPARED. REMOTE: the upstream does not sign, with why */
struct mln_err sp_authority_prepare(struct mln_request *rq, const char *folder,
                                    const struct sp_config *config, const char *domain,
                                    struct mln_value **ret);
struct mln_err
sp_bundle_bump(struct mln_request *rq); /* our bundle changes: its next sequence number */
/* The same in the place of a prepared one that is there already: it never signed (spiffe_authority_paths.c). */
struct mln_err sp_authority_replace(struct mln_request *rq, const char *folder,
                                    struct mln_value **ret);
extern const struct mln_path sp_authority_paths[];
/* spiffe_authority_make.c: a new row, without a state */
struct mln_err sp_x509_make(struct mln_request *rq, const struct sp_config *config,
                            const char *domain, struct mln_value **ret);
struct mln_err sp_jwt_key_make(struct mln_request *rq, const struct sp_config *config,
                               struct mln_value **ret);
struct mln_bytes sp_serial_new(struct mln_cx *cx);

/* ---- an upstream that does not sign (spiffe_upstream.c) ---- */
struct mln_err sp_upstream_waits(struct mln_request *rq, const struct sp_config *config, bool *ret); /* failed lately */
struct mln_err sp_upstream_failed(struct mln_request *rq, const struct sp_config *config,
                                  const char *why);
struct mln_err sp_upstream_fine(struct mln_request *rq);
struct mln_err sp_upstream_show(struct mln_request *rq, struct mln_value *data); /* "upstream_error", "" when it is fine */

/* Is this text in the array? */
static inline bool sp_has(const struct mln_value *list, struct mln_bytes text)
{
    bool is_there = false;
    for (size_t i = 0; !is_there && i < mln_len(list); i++) {
        is_there = mln_bytes_eq(mln_get_bytes(mln_item(list, i)), text);
    }
    return is_there;
}

/* ---- foreign bundles (spiffe_bundle.c) ---- */
struct sp_jwt_key {
    char *kid;
    struct mln_jose_public *public;
};
struct sp_foreign {
    struct sp_foreign *next;
    char *id; /* "spiffe://td" */
    uint8_t *der;
    size_t der_n;
    char *jwks;
    struct sp_jwt_key *keys;
    size_t keys_n;
    struct mln_buf allowed; /* CBOR array: patterns of its ids that count here; none = all */
};
void sp_foreign_free(struct sp_foreign *list);
/* row: {"x509": [DER], "jwt": [JWK], "allowed_ids": [patterns]}. NULL: no memory */
struct sp_foreign *sp_foreign_make(struct mln_cx *cx, const char *id, const struct mln_value *row);
struct mln_err sp_foreign_load(struct mln_request *rq, struct sp_foreign **ret);
/* The field trust_domain, as a name or an id: *ret is the name. INVALID */
struct mln_err sp_domain_of(struct mln_request *rq, struct mln_bytes *ret);
/* Our bundle as a document. */
struct mln_err sp_bundle_document(struct mln_request *rq, struct sp_state *state,
                                  const struct mln_value **ret);
/* A foreign domain's, as sp_bundle_parse gives it. */
struct mln_err sp_foreign_put(struct mln_request *rq, struct mln_bytes td,
                              const struct mln_value *parsed);
extern const struct mln_path sp_bundle_paths[];

/* ---- memory (spiffe_state.c) ---- */
struct sp_holder;
struct sp_jwt_slot;
/* An X.509-SVID that is kept (spiffe_svid.c). */
struct sp_svid {
    struct sp_svid *next, **link; /* of state->svids */
    struct mln_secret key;        /* PKCS #8 */
    uint8_t *chain;
    size_t chain_n;
    int64_t made_s, not_after_s, turn_s; /* turn: when a new one is due */
    char authority[72], entry[41];
    bool is_told; /* whom it concerns has been told that it is due */
};
struct sp_gone;
/* A parent all of whose made entries were dropped (spiffe_made.c): its node begins from nothing. */
struct sp_forgot {
    uint8_t parent[16]; /* of the digest of its id */
    uint64_t at;        /* change of the index */
    int64_t at_s;
};
#define SP_FORGOT_MAX 64u
struct sp_state {
    pthread_rwlock_t lock; /* of all below */
    pthread_mutex_t
        signing; /* before lock: one new SVID at a time, so that callers of one entry share its key */
    bool is_loaded;
    char domain[MLN_SPIFFE_DOMAIN_MAX + 1];
    char id[MLN_SPIFFE_DOMAIN_MAX + 10];     /* "spiffe://td" */
    char server[MLN_SPIFFE_DOMAIN_MAX + 32]; /* the parent of what is attested here */
    struct sp_index *index;
    struct mln_arena *templates_arena; /* NULL: there are no templates */
    const struct mln_value *templates; /* array of rows, in it; oldest first */
    struct sp_authorities authorities;
    uint8_t *bundle; /* DER of our roots */
    size_t bundle_n;
    char *jwks; /* our JWT keys as workloads get them */
    struct sp_foreign *foreign;
    struct sp_holder **holders;
    size_t holders_n;
    bool is_blurred; /* too many callers to know which are concerned: all are told of changes */
    struct sp_jwt_slot *tokens;
    uint8_t (*seen)[32]; /* digests of tokens whose signature is right (spiffe_jwt.c); NULL = none */
    uint64_t keys_read;  /* rises whenever keys that verify may be others */
    struct sp_svid *svids; /* those at entries, for the tick */
    struct sp_svid server_svid; /* what listeners show (spiffe_server.c): times and authority alone */
    struct sp_poll *polls; /* spiffe_federation.c */
    int64_t next_expiry_s; /* of the first entry that has not expired; 0 = to be looked for */
    int64_t expiry_seen_s; /* whose entries expired until then has been told */
    uint8_t nonce_key[32]; /* of challenges to nodes; made once, never changed */
    char epoch[17];        /* of this loading */
    uint64_t keys_seq;     /* changes of authorities, bundles and configuration */
    struct sp_forgot forgot[SP_FORGOT_MAX]; /* a ring */
    size_t forgot_n;
    struct sp_gone *gone;  /* entries of nodes that are there no more, a ring; NULL = none yet */
    size_t gone_n;
    uint64_t gone_floor;   /* of what was gone up to this change of the index, some is forgotten */
};
/* Ready for reading. PRECONDITION: no trust domain */
struct mln_err sp_state_get(struct mln_request *rq, struct sp_state **ret);
static inline void sp_unlock(pthread_rwlock_t **lock)
{
    pthread_rwlock_unlock(*lock);
}
static inline pthread_rwlock_t *sp_lock_read(struct sp_state *state)
{
    pthread_rwlock_rdlock(&state->lock);
    return &state->lock;
}
static inline pthread_rwlock_t *sp_lock_write(struct sp_state *state)
{
    pthread_rwlock_wrlock(&state->lock);
    return &state->lock;
}
#define SP_READ(state)                                                                             \
    MLN_AUTO(sp_unlock) pthread_rwlock_t *sp_held_ __attribute__((unused)) = sp_lock_read(state)
#define SP_WRITE(state)                                                                            \
    MLN_AUTO(sp_unlock) pthread_rwlock_t *sp_held_ __attribute__((unused)) = sp_lock_write(state)

/* After the commit: read these again, tell whom it concerns. */
struct mln_err sp_after_entries(struct mln_request *rq,
                                const struct mln_value *ids); /* array of ids */
void sp_after_keys(struct mln_request *rq); /* authorities, foreign bundles, config */
#define SP_TOPIC_ALL   "spiffe/"
#define SP_TOPIC_NODES "spiffe-node/"

/* ---- nodes that follow (spiffe_node_sync.c) ---- */
bool sp_is_node(const struct sp_state *state, struct mln_bytes id); /* a SPIFFE id of a node */
const char *sp_node_topic(struct mln_cx *cx, struct mln_bytes id);
/* This entry goes from its parent with the next change of the index. Under the write lock */
void sp_gone_note(struct sp_state *state, const struct sp_entry *entry);
/* Many have gone at once: all nodes begin from nothing, and hear of it. Under the write lock */
void sp_gone_many(struct mln_request *rq, struct sp_state *state);
void sp_gone_forget(struct sp_state *state);
/* All that templates made for this parent has gone, just now: it begins from nothing, others do not. Under the write lock */
void sp_forgot_note(struct mln_request *rq, struct sp_state *state, struct mln_bytes parent);
/* Did that happen within this time? Under a lock */
bool sp_forgot_lately(const struct sp_state *state, struct mln_bytes parent, int64_t now_s,
                      int64_t within_s);

/* ---- what a caller may have (spiffe_made.c) ---- */
/* Make the entries that templates have for this caller. Takes the lock itself. errors MEMORY */
struct mln_err sp_made_ready(struct mln_request *rq, struct sp_state *state, struct mln_bytes parent,
                             const struct mln_value *selectors);
/*
 * As sp_index_match, without what templates made for who has no other entry when there is another, and without what is another
 * entry's id. Under a lock.
 */
size_t sp_made_match(const struct sp_index *index, struct mln_bytes parent, const struct mln_value *selectors, int64_t now_s,
                     struct sp_entry **ret);
/* Of one namespace and one account of Kubernetes: whom a template may mean. */
bool sp_is_pod(const struct mln_value *selectors);
extern const struct mln_path sp_template_paths[];

/* ---- callers (spiffe_topic.c) ---- */
#define SP_TOPIC_MAX 48
/* The topic of who shows these selectors. False: not remembered yet, then do so, or changes do not reach it. */
bool sp_topic_known(const struct sp_state *state, const struct mln_value *selectors,
                    char ret[SP_TOPIC_MAX]);                                       /* read lock */
void sp_topic_remember(struct sp_state *state, const struct mln_value *selectors); /* write lock */
/* Publish the topics of all who have all selectors of this entry. Under a lock. */
void sp_topics_of_entry(struct mln_request *rq, const struct sp_state *state,
                        const struct sp_entry *entry);
void sp_holders_free(struct sp_state *state);
/* Tell who had what has expired by now. For the tick; PRECONDITION is taken for nothing to do. */
struct mln_err sp_entries_expired(struct mln_request *rq);

/* ---- entries (spiffe_entry.c) ---- */
/* A row from what a client said (create: old NULL). INVALID; EXISTS: a similar one */
struct mln_err sp_entry_make(struct mln_request *rq, const struct sp_state *state,
                             const struct mln_value *asked, const struct mln_value *old,
                             const struct mln_value **ret);
struct mln_err sp_entry_store(struct mln_request *rq, const struct mln_value *row,
                              const struct mln_value *old);
struct mln_err sp_entry_delete(struct mln_request *rq, const struct mln_value *row);
struct mln_value *sp_entry_show(struct mln_cx *cx, const struct mln_value *row);
/* "spiffe:similar" digest; *ret_id "" when none */
struct mln_err sp_entry_similar(struct mln_request *rq, const struct mln_value *row,
                                const char **ret_id);
extern const struct mln_path sp_entry_paths[];

/* ---- X.509-SVIDs (spiffe_svid.c) ---- */
void sp_svid_free(struct sp_svid *svid);
/* Tell whose SVIDs are due. */
struct mln_err sp_svids_due(struct mln_request *rq);
/* Is this one to be given out still? */
bool sp_svid_is_good(const struct sp_state *state, const struct sp_svid *svid, int64_t now_s);
/* When the next one is due: at half of its life, a tenth of that earlier or later, so that not all turn at once. */
int64_t sp_turn_of(int64_t now_s, int64_t not_after_s);
/* Make one for the entry if it has none that is good. Takes signing and lock itself. */
struct mln_err sp_svid_renew(struct mln_request *rq, struct sp_state *state, const char *entry_id);
/* A certificate of our authority for a key: what a workload, a node or this server presents. */
struct sp_leaf {
    struct mln_bytes spki;
    const char *spiffe_id;
    const struct mln_value *dns; /* array or NULL */
    int64_t ttl_s;
    bool is_rsa;
};
struct sp_made {
    struct mln_bytes chain, serial;
    int64_t not_after_s;
};
struct mln_err sp_leaf_sign(struct mln_cx *cx, const struct sp_authority *by,
                            const struct sp_leaf *leaf, int64_t now_s, struct sp_made *ret);

/* The authority that signs now, copied into the arena, so that no lock is held while signing. UNREACHABLE: none */
struct mln_err sp_authority_borrow(struct mln_cx *cx, const struct sp_authority *all, size_t n,
                                   int64_t now_s, struct sp_authority *ret);
/* Into the request's record: what was signed. */
void sp_note_svid(struct mln_request *rq, struct mln_value *one);

/* ---- this server's own (spiffe_server.c) ---- */
struct mln_err sp_server_due(struct mln_request *rq); /* make it when there is none or it is due; for the tick */

/* ---- JWT-SVIDs (spiffe_jwt.c) ---- */
#define SP_AUDIENCE_BYTES 1024u /* of one audience */
struct sp_token {
    const char *spiffe_id, *hint;
    struct mln_bytes svid;
    int64_t expires_s;
    bool is_new;
};
/* What of an entry a token needs: copied out, so that no lock is held while signing. */
struct sp_holder_of {
    const char *id, *spiffe_id, *hint; /* hint may be NULL */
    uint64_t revision;
    int64_t created_ns; /* ids come again, and revisions begin anew with them */
    uint32_t ttl_s;     /* 0 = default */
};
/* By what a token is kept: the entry as it is (hint aside), whose it is, and the audience. */
void sp_jwt_key(const struct sp_holder_of *entry, const struct mln_value *audience, uint8_t ret[32]);
/* Takes the lock itself. audience: sorted or not, as the caller gave it. */
struct mln_err sp_jwt_make(struct mln_request *rq, struct sp_state *state,
                           const struct sp_holder_of *entry, const struct mln_value *audience,
                           struct sp_token *ret);
/* What a JWT-SVID is to say. */
struct sp_jwt_spec {
    const char *spiffe_id;
    const struct mln_value *audience;
    int64_t ttl_s, until_s;      /* 0 = the default; no bound but the authority's end */
    const struct mln_value *act; /* who acts for spiffe_id (RFC 8693 sec. 4.1); NULL = itself */
    const char *jti;             /* NULL = none */
};
/* by: borrowed (sp_authority_borrow). Fills svid and expires_s. */
struct mln_err sp_jwt_sign(struct mln_request *rq, const struct sp_authority *by,
                           const struct sp_jwt_spec *spec, struct sp_token *ret);
void sp_tokens_free(struct sp_state *state);
void sp_tokens_forget(struct sp_state *state); /* all of them, and what is known of signatures: under the write lock */
struct sp_asked {
    struct mln_bytes token;
    const char *audience;
    const struct mln_value
        *domains; /* ids of foreign trust domains that count; NULL = all that are known */
};
/* 1 to 64 texts. INVALID */
struct mln_err sp_audience_check(struct mln_cx *cx, const struct mln_value *audience);
/* What validates: the server, or a node's replica. */
struct sp_checker {
    int64_t now_ns;
    const char *own_id;             /* "spiffe://td" */
    const struct mln_value *claims; /* array: names of foreign claims that are shown; or NULL */
    /* Is it signed by a key of this trust domain? INVALID by sp_jwt_invalid */
    struct mln_err (*verify)(void *arg, struct mln_cx *cx, const struct mln_jose_token *token, const char *domain);
    void *arg;
};
struct mln_err sp_jwt_check(struct mln_cx *cx, const struct sp_checker *by, const struct sp_asked *asked, const char **ret_id,
                            const struct mln_value **ret_claims);
struct mln_err sp_jwt_invalid(struct mln_cx *cx, const char *why);
/* The key that a token names, of the bundle of its domain. INVALID: none */
struct mln_err sp_foreign_key(struct mln_cx *cx, const struct sp_foreign *list, const struct mln_jose_token *token,
                              const char *domain, const struct mln_jose_public **ret);
struct mln_err sp_jwt_signature(struct mln_cx *cx, const struct mln_jose_public *key, const struct mln_jose_token *token);
/* INVALID: for whatever reason */
struct mln_err sp_jwt_validate(struct mln_request *rq, struct sp_state *state,
                               const struct sp_asked *asked, const char **ret_id,
                               const struct mln_value **ret_claims);

extern const struct mln_path sp_connections_paths[]; /* spiffe_connections.c */
extern const struct mln_path sp_workload_paths[], sp_verify_paths[], sp_public_paths[], sp_federation_paths[];

/* The root certificates of a trust domain ("spiffe://td"), DER after DER, as they are held. FORGED: none; UNREACHABLE */
struct mln_err sp_roots_of(struct mln_request *rq, struct sp_state *state, const char *domain,
                           struct mln_bytes *ret);

/* ---- other trust domains (spiffe_federation.c) ---- */
/* An empty list or none takes all. */
bool sp_patterns_take(const struct mln_value *patterns, struct mln_bytes id);
/* A relationship may say which ids of its domain count here. DENIED: not this one */
struct mln_err sp_policy_check(struct mln_request *rq, const struct sp_state *state,
                               const struct mln_spiffe_id *id);
struct mln_err sp_federation_due(struct mln_request *rq); /* have the bundles that are due asked for */
void sp_polls_free(struct sp_state *state);

/* ---- who may talk to whom (spiffe_authz.c) ---- */
extern const struct mln_path spiffe_authz_paths[];
