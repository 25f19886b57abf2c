/* SPDX-License-Identifier: Apache-2.0 */
/* A node's own core: it attests processes here and asks the server for them; it keeps what it was answered for as long as that is good. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/core.h"
#include "main/workers.h"
#include "net/client.h"

#define NODE_CLIENTS_MAX 16u
#define NODE_TOPIC       "spiffe/node"

struct node_answer; /* node_cache.c */
struct node {
    struct mln_client_config server;
    const char *data_dir;
    const struct mln_value *proof; /* the boot value's "proof" */
    struct mln_peers *peers;
    _Atomic(struct workers *) workers;
    pthread_mutex_t lock; /* all below */
    struct mln_client *idle[NODE_CLIENTS_MAX];
    unsigned n_idle;
    char session[128];
    char revision[80];
    struct node_answer *answers;
    size_t n_answers;
    atomic_ullong version; /* of the topic */
};

/* ---- node_link.c: the server ---- */
/* One call; body NULL = GET. errors UNREACHABLE, DENIED (the session is over), REMOTE */
struct mln_err node_call(struct node *node, struct mln_cx *cx, const char *path, const struct mln_value *body,
                         struct mln_client_answer *ret);
/* Show who we are, unless a session is kept already. errors as node_call; INVALID (nothing to show) */
struct mln_err node_attest(struct node *node, struct mln_cx *cx, bool is_anew);

/* ---- node_cache.c: answers, by question and selectors ---- */
struct node_question {
    uint8_t key[32];
    int64_t now_s;
};
/* Into the arena: good still; and fresh when the server has nothing new. False: none. */
bool node_recall(struct node *node, struct mln_cx *cx, const struct node_question *q, bool only_fresh, const struct mln_value **ret);
void node_remember(struct node *node, struct mln_cx *cx, const struct node_question *q, const struct mln_value *answer);
void node_forget_all(struct node *node);

/* ---- node_answer.c ---- */
struct mln_err node_answer_call(void *arg, struct mln_cx *cx, struct mln_core_call *call, struct mln_buf *out);
