/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a change concerns: callers are known by the digest of what they show. A topic is that digest; hashes of their selectors say
 * which entries can fit them. A false hit only makes somebody ask again.
 */
#include "identity/spiffe_priv.h"

#include <stdlib.h>

#define HOLDERS_MAX                                                                                \
    16384u /* some 150 bytes each; streams of more kinds of callers than that are all told of every change */
#define SLOTS      4096u
#define TOPICS_MAX 256 /* of one change: more are told with one topic for all */

struct sp_holder {
    struct sp_holder *next;
    uint8_t digest[16];
    uint64_t mask; /* a bit for each hash: a quick no */
    size_t n;
    uint64_t hashes[]; /* sorted */
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int by_text(const void *a, const void *b)
{
    return mln_bytes_cmp(*(const struct mln_bytes *)a, *(const struct mln_bytes *)b);
}

static void digest_of(const struct mln_value *selectors, uint8_t ret[32])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    struct mln_bytes texts[SP_CALLER_MAX] = {0};
    size_t n = mln_len(selectors) < SP_CALLER_MAX ? mln_len(selectors) : SP_CALLER_MAX;
    for (size_t i = 0; i < n; i++) {
        texts[i] = mln_get_bytes(mln_item(selectors, i));
    }
    qsort(texts, n, sizeof(texts[0]), by_text);
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_u32be(&all, (uint32_t)texts[i].len);
        mln_buf_add_bytes(&all, texts[i]);
    }
    mln_sha256(mln_buf_bytes(&all), ret);
}

static struct sp_holder *find(const struct sp_state *state, const uint8_t digest[16])
{
    struct sp_holder *h =
        state->holders != NULL ? state->holders[mln_get_u32le(digest) % SLOTS] : NULL;
    while (h != NULL && !mln_same(h->digest, digest, 16)) {
        h = h->next;
    }
    return h;
}

static void forget_all(struct sp_state *state)
{
    for (size_t i = 0; state->holders != NULL && i < SLOTS; i++) {
        for (struct sp_holder *h = state->holders[i], *next; h != NULL; h = next) {
            next = h->next;
            mln_free(h);
        }
        state->holders[i] = NULL;
    }
    state->holders_n = 0;
}

void sp_holders_free(struct sp_state *state)
{
    forget_all(state);
    mln_free(state->holders);
    state->holders = NULL;
}

static bool remember(struct sp_state *state, const uint8_t digest[16],
                     const struct mln_value *selectors)
{
    size_t n = mln_len(selectors) < SP_CALLER_MAX ? mln_len(selectors) : SP_CALLER_MAX;
    if (state->holders_n >= HOLDERS_MAX) {
        forget_all(state);
        state->is_blurred = true;
    }
    state->holders = state->holders != NULL ? state->holders
                                            : mln_alloc_array(SLOTS, sizeof(struct sp_holder *));
    struct sp_holder *h =
        state->holders != NULL ? mln_alloc(sizeof(*h) + n * sizeof(uint64_t)) : NULL;
    if (h == NULL) {
        return false;
    }
    mln_copy(h->digest, digest, 16);
    for (size_t i = 0; i < n; i++) {
        h->hashes[h->n++] = sp_index_hash(state->index, mln_get_bytes(mln_item(selectors, i)));
        h->mask |= (uint64_t)1 << (h->hashes[i] & 63);
    }
    qsort(h->hashes, h->n, sizeof(uint64_t), by_value);
    h->next = state->holders[mln_get_u32le(digest) % SLOTS];
    state->holders[mln_get_u32le(digest) % SLOTS] = h;
    state->holders_n++;
    return true;
}

static void print(const uint8_t digest[16], char ret[SP_TOPIC_MAX])
{
    static const char digits[] = "0123456789abcdef";
    mln_copy(ret, SP_TOPIC_ALL, sizeof(SP_TOPIC_ALL));
    char *at = ret + sizeof(SP_TOPIC_ALL) - 1;
    for (size_t i = 0; i < 16; i++) {
        *at++ = digits[digest[i] >> 4];
        *at++ = digits[digest[i] & 15];
    }
    *at = '\0';
}

bool sp_topic_known(const struct sp_state *state, const struct mln_value *selectors,
                    char ret[SP_TOPIC_MAX])
{
    uint8_t digest[32];
    digest_of(selectors, digest);
    print(digest, ret);
    return find(state, digest) != NULL;
}

void sp_topic_remember(struct sp_state *state, const struct mln_value *selectors)
{
    uint8_t digest[32];
    digest_of(selectors, digest);
    if (find(state, digest) == NULL && !remember(state, digest, selectors)) {
        state->is_blurred = true; /* no memory: nobody may be missed */
    }
}

static bool concerns(const struct sp_holder *h, const struct sp_entry *entry, uint64_t mask)
{
    bool all = (mask & ~h->mask) == 0;
    for (size_t i = 0; all && i < entry->n_selectors; i++) {
        all = bsearch(&entry->selectors[i]->hash, h->hashes, h->n, sizeof(uint64_t), by_value) !=
              NULL;
    }
    return all;
}

void sp_topics_of_entry(struct mln_request *rq, const struct sp_state *state,
                        const struct sp_entry *entry)
{
    uint64_t mask = 0;
    char topic[SP_TOPIC_MAX];
    int n = state->is_blurred ? TOPICS_MAX : 0;
    struct mln_bytes parent = mln_bytes_of(entry->parent->text);
    if (sp_is_node(state, parent)) {
        rq->services->publish(rq, sp_node_topic(rq->cx, parent), NULL);
    }
    if (!mln_bytes_is(mln_bytes_of(state->server), entry->parent->text)) {
        return; /* nobody here has it */
    }
    for (size_t i = 0; i < entry->n_selectors; i++) {
        mask |= (uint64_t)1 << (entry->selectors[i]->hash & 63);
    }
    for (size_t i = 0; state->holders != NULL && i < SLOTS && n < TOPICS_MAX; i++) {
        for (const struct sp_holder *h = state->holders[i]; h != NULL && n < TOPICS_MAX;
             h = h->next) {
            if (concerns(h, entry, mask)) {
                print(h->digest, topic);
                rq->services->publish(rq, topic, NULL);
                n++;
            }
        }
    }
    if (n >= TOPICS_MAX) {
        rq->services->publish(rq, SP_TOPIC_ALL, NULL);
    }
}
