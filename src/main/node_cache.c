/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server answered. While it says that nothing changed, and the first half of an SVID's life is not over, an answer is given
 * again without asking. When the server cannot be reached it is given for as long as it is good: until its SVIDs die.
 */
#include "base/cbor.h"
#include "base/text.h"
#include "main/node_priv.h"

#define ANSWERS_MAX 4096u /* questions of processes: some ten kilobytes each */

struct node_answer {
    struct node_answer *next; /* newest use first */
    uint8_t key[32];
    char revision[80];
    int64_t fresh_until_s, good_until_s;
    uint8_t *bytes; /* CBOR, with keys of processes in it */
    size_t n;
};

static void answer_free(struct node_answer *answer)
{
    mln_free_wiped(answer->bytes, answer->n);
    mln_free(answer);
}

static struct node_answer **find(struct node *node, const uint8_t key[32])
{
    struct node_answer **at = &node->answers;
    while (*at != NULL && !mln_same((*at)->key, key, 32)) {
        at = &(*at)->next;
    }
    return at;
}

bool node_recall(struct node *node, struct mln_cx *cx, const struct node_question *q,
                 bool only_fresh, const struct mln_value **ret)
{
    struct mln_bytes bytes = MLN_BYTES_NONE;
    (void)pthread_mutex_lock(&node->lock);
    struct node_answer **at = find(node, q->key), *answer = *at;
    bool is_good = answer != NULL && q->now_s < answer->good_until_s;
    bool is_fresh = is_good && q->now_s < answer->fresh_until_s && node->revision[0] != 0 &&
                    mln_bytes_is(mln_bytes_of(answer->revision), node->revision);
    if (is_good && (is_fresh || !only_fresh)) {
        bytes = mln_bytes_dup(cx, mln_bytes_at(answer->bytes, answer->n));
        *at = answer->next;
        answer->next = node->answers;
        node->answers = answer;
    }
    (void)pthread_mutex_unlock(&node->lock);
    return bytes.len > 0 && !mln_failed(mln_cbor_parse(cx, bytes, ret));
}

/* The one that was not asked for longest goes. */
static void make_room(struct node *node)
{
    struct node_answer **at = &node->answers;
    while (node->n_answers >= ANSWERS_MAX && *at != NULL) {
        if ((*at)->next == NULL) {
            answer_free(*at);
            *at = NULL;
            node->n_answers--;
            return;
        }
        at = &(*at)->next;
    }
}

static struct node_answer *answer_new(const struct node_question *q, const struct mln_value *answer)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    struct node_answer *made = mln_alloc(sizeof(*made));
    struct mln_bytes revision = mln_get_bytes(mln_get(answer, "revision"));
    int64_t good_s = mln_get_int(mln_get(answer, "good_until"), 0);
    mln_cbor_print(&text, answer);
    uint8_t *bytes = made != NULL && !text.has_failed ? mln_alloc(text.len) : NULL;
    if (bytes == NULL || revision.len >= sizeof(made->revision)) {
        mln_free(bytes);
        mln_free(made);
        return NULL;
    }
    *made = (struct node_answer){.bytes = bytes,
                                 .n = text.len,
                                 .good_until_s = good_s,
                                 .fresh_until_s = q->now_s + (good_s - q->now_s) / 2};
    mln_copy(bytes, text.ptr, text.len);
    mln_copy(made->key, q->key, sizeof(made->key));
    mln_copy(made->revision, revision.ptr, revision.len);
    return made;
}

void node_remember(struct node *node, struct mln_cx *cx, const struct node_question *q,
                   const struct mln_value *answer)
{
    bool is_kept = mln_get_int(mln_get(answer, "good_until"), 0) > q->now_s &&
                   mln_get_int(mln_get(answer, "grpc"), -1) == 0;
    struct node_answer *made = is_kept ? answer_new(q, answer) : NULL;
    (void)cx;
    (void)pthread_mutex_lock(&node->lock);
    struct node_answer **at = find(node, q->key), *old = *at;
    if (old != NULL) { /* a refusal ends what was good before */
        *at = old->next;
        node->n_answers--;
        answer_free(old);
    }
    if (made != NULL) {
        make_room(node);
        made->next = node->answers;
        node->answers = made;
        node->n_answers++;
    }
    (void)pthread_mutex_unlock(&node->lock);
}

void node_forget_all(struct node *node)
{
    (void)pthread_mutex_lock(&node->lock);
    while (node->answers != NULL) {
        struct node_answer *next = node->answers->next;
        answer_free(node->answers);
        node->answers = next;
    }
    node->n_answers = 0;
    (void)pthread_mutex_unlock(&node->lock);
}
