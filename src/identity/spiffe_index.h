/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration entries in memory: who may have which SPIFFE id, by selector. An entry fits a caller that shows all its selectors. Each
 * entry hangs at one of its selectors only, the one with the fewest others, so that a look-up reads few that do not fit.
 * No locks and no store here: spiffe_state.c has both. Order everywhere: oldest first, then by id.
 */
#pragma once

#include "base/value.h"

#define SP_SELECTORS_MAX                                                                           \
    64u /* of one entry, and what is looked at of one caller is bounded by SP_CALLER_MAX */
#define SP_CALLER_MAX                                                                              \
    512u /* selectors of one caller: Kubernetes pods have labels and images by the dozen */
#define SP_SELECTOR_BYTES 1024u    /* of one selector: paths are the long ones */
#define SP_ENTRIES_MAX    1000000u /* of one server: some 550 bytes each in memory */
#define SP_MATCH_MAX                                                                               \
    1024u /* identities of one caller: the oldest; a message to it stays below a client's 4 MiB */

struct sp_index;
struct sp_svid; /* spiffe_svid.c */

/* A text that entries share: selector, parent or SPIFFE id. */
struct sp_text {
    struct sp_text *next; /* of the hash chain */
    uint64_t hash;
    struct sp_entry *heads[3]; /* SP_BY_...: entries that hang here */
    uint32_t counts[3];
    uint32_t refs, len, made; /* made: of counts[SP_BY_PARENT], how many templates made */
    char text[]; /* NUL-ended */
};
enum sp_by { SP_BY_SELECTOR, SP_BY_PARENT, SP_BY_SPIFFE };

struct sp_entry {
    char id[41];
    uint8_t n_selectors, n_federates;
    bool is_downstream, is_admin;
    int64_t created_ns, expires_s; /* 0 = never */
    uint64_t revision;
    uint64_t changed; /* generation of the index that it came with */
    uint32_t x509_ttl_s, jwt_ttl_s;          /* 0 = default */
    struct sp_text *parent, *spiffe, *key;   /* key: the selector that it hangs at */
    struct sp_text **selectors, **federates; /* each sorted by address: only for comparing */
    char *hint;                              /* NULL = none */
    char *made;                              /* its row as JSON when a template made it: in no store; NULL = it has a row */
    uint64_t made_by;                        /* sp_index_hash of the template's name */
    bool is_fallback;                        /* only for who has no other */
    struct sp_svid *svid; /* owned: freed with sp_index's drop; NULL = none yet */
    struct sp_entry *next[3], *prev[3], *chain;
};

/* drop_svid frees what hangs at entries. NULL: no memory */
struct sp_index *sp_index_new(void (*drop_svid)(struct sp_svid *svid));
void sp_index_free(struct sp_index *index);
size_t sp_index_count(const struct sp_index *index);
size_t sp_index_made(const struct sp_index *index); /* of these, how many templates made */
/* Remove what this template made; NULL: what any did. */
void sp_index_forget_made(struct sp_index *index, const struct mln_bytes *name);
/* Of one parent: how many templates made, and remove these. */
size_t sp_index_made_of(const struct sp_index *index, struct mln_bytes parent);
void sp_index_forget_made_of(struct sp_index *index, struct mln_bytes parent);
/* The parent for which templates have made most; empty: for none. Borrowed until the index changes. O(texts) */
struct mln_bytes sp_index_made_most(const struct sp_index *index);
/* Rises with every change. */
uint64_t sp_index_generation(const struct sp_index *index);
/* Put an entry (the row of spiffe_entry.h) in, replacing the one of its id. MEMORY, LIMIT: nothing changed */
struct mln_err sp_index_put(struct mln_cx *cx, struct sp_index *index, const struct mln_value *row);
void sp_index_remove(struct sp_index *index, struct mln_bytes id);
struct sp_entry *sp_index_get(const struct sp_index *index, struct mln_bytes id);
/* All in order; i below sp_index_count. */
struct sp_entry *sp_index_at(const struct sp_index *index, size_t i);
/* The place of the first entry behind `id` in order; 0 when there is none of that id. */
size_t sp_index_behind(const struct sp_index *index, struct mln_bytes id);
/*
 * Entries of this parent whose selectors are all among the caller's (texts), that have not expired, in order.
 * ret has SP_MATCH_MAX places
 */
size_t sp_index_match(const struct sp_index *index, struct mln_bytes parent,
                      const struct mln_value *selectors, int64_t now_s, struct sp_entry **ret);
/* Of entries with the same hint only the oldest counts: the others leave the list. Their number then */
size_t sp_index_heard(struct sp_entry **found, size_t n);
/* The first entry of a parent or SPIFFE id; go on with entry->next[by]. NULL: none */
struct sp_entry *sp_index_first(const struct sp_index *index, enum sp_by by, struct mln_bytes text);
/* A keyed hash of a selector, as entries' selectors carry it in `hash`. */
uint64_t sp_index_hash(const struct sp_index *index, struct mln_bytes text);
