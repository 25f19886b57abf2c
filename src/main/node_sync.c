/* SPDX-License-Identifier: Apache-2.0 */
/* A node's replica and the server: what changed, certificates for keys that were made here, waiting for news. */
#include <time.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "main/node_priv.h"

#define WATCH_S   50                   /* at most, at the server */
#define EARLY_NS  ((int64_t)900000000) /* an answer that much before its time has news */
#define PAGES_MAX 4096u                /* of one sync: two million entries */
#define TURNS_MAX 4096u
#define LOCK_S                                                                                     \
    2 /* a process waits so long for others who ask the server; then what is here will do */

static int64_t now(void)
{
    return mln_now_ns() / 1000000000;
}

void node_wake(struct node *node)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(65536, false);
    struct workers *workers = atomic_load(&node->workers);
    struct mln_cx cx;
    if (workers == NULL || arena == NULL) {
        return;
    }
    mln_cx_init(&cx, arena);
    struct mln_value *topic = mln_object(&cx);
    mln_put_text(&cx, topic, "topic", NODE_TOPIC);
    mln_put_int(&cx, topic, "version", (int64_t)(atomic_fetch_add(&node->version, 1) + 1));
    mln_put_null(&cx, topic, "value");
    mln_cbor_print(&text, topic);
    workers_publish(workers, mln_buf_bytes(&text));
}

/* The locks are held over calls, and one of those takes seconds when the server is away: then not all wait in a row. */
static struct mln_err enter(struct mln_cx *cx, pthread_mutex_t *lock, bool for_process)
{
    struct timespec until = {0};
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOCK_S;
    int rc = for_process ? pthread_mutex_timedlock(lock, &until) : pthread_mutex_lock(lock);
    return rc == 0 ? MLN_OK : mln_fail(cx, MLN_E_UNREACHABLE, "others wait for the server already");
}

/* ---- certificates ---- */

static struct mln_err sign_some(struct node *node, struct mln_cx *cx, const struct mln_value *ids,
                                size_t *ret_n)
{
    struct mln_replica_batch *batch = NULL;
    const struct mln_value *body = NULL, *data = NULL;
    *ret_n = 0;
    MLN_TRY(mln_replica_due(cx, node->replica, ids, now(), &batch, &body));
    if (batch == NULL) {
        return MLN_OK;
    }
    struct node_call what = {
        .path = "/v1/spiffe/nodes/sign", .body = body, .for_process = ids != NULL};
    MLN_TRY(node_call(node, cx, &what, &data));
    return mln_replica_certified(cx, node->replica, batch, data, now(), ret_n);
}

struct mln_err node_sign(struct node *node, struct mln_cx *cx, const struct mln_value *ids,
                         size_t *ret_n)
{
    MLN_TRY(enter(cx, &node->signing, ids != NULL));
    struct mln_err err = sign_some(node, cx, ids, ret_n);
    (void)pthread_mutex_unlock(&node->signing);
    return err;
}

/* All that are due, a batch at a time, each in memory of its own. */
static struct mln_err sign_all(struct node *node, struct mln_cx *cx)
{
    size_t n = 1;
    for (unsigned i = 0; i < TURNS_MAX && n > 0; i++) {
        struct mln_cx inner;
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(8u << 20, true);
        if (arena == NULL) {
            return mln_fail(cx, MLN_E_MEMORY, "no memory to have keys certified");
        }
        mln_cx_init(&inner, arena);
        struct mln_err err = node_sign(node, &inner, NULL, &n);
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", inner.text);
        }
        if (n > 0) {
            node_wake(node);
        }
    }
    return MLN_OK;
}

/* ---- what changed ---- */

static struct mln_err take_page(struct node *node, struct mln_cx *cx, bool for_process,
                                bool *ret_more)
{
    const struct mln_value *data = NULL;
    const char *path = mln_text_format(cx, "/v1/spiffe/nodes/sync?since=%s",
                                       mln_replica_revision(cx, node->replica));
    MLN_TRY(mln_cx_err(cx));
    struct node_call what = {.path = path, .for_process = for_process};
    MLN_TRY(node_call(node, cx, &what, &data));
    return mln_replica_put(cx, node->replica, data, ret_more);
}

static struct mln_err take_all(struct node *node, struct mln_cx *cx, bool for_process)
{
    bool has_more = true;
    for (unsigned i = 0; has_more && i < PAGES_MAX; i++) {
        struct mln_cx inner;
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(32u << 20, true);
        if (arena == NULL) {
            return mln_fail(cx, MLN_E_MEMORY, "no memory to hear what changed");
        }
        mln_cx_init(&inner, arena);
        struct mln_err err = take_page(node, &inner, for_process, &has_more);
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", inner.text);
        }
    }
    return MLN_OK;
}

/* A page answers what was known before it: so nobody else may put one in meanwhile. */
static struct mln_err take_pages(struct node *node, struct mln_cx *cx, bool for_process)
{
    MLN_TRY(enter(cx, &node->syncing, for_process));
    struct mln_err err = take_all(node, cx, for_process);
    (void)pthread_mutex_unlock(&node->syncing);
    return err;
}

struct mln_err node_catch_up(struct node *node, struct mln_cx *cx, bool for_process)
{
    const char *before = mln_replica_revision(cx, node->replica);
    MLN_TRY(take_pages(node, cx, for_process));
    const char *after = mln_replica_revision(cx, node->replica);
    MLN_TRY(mln_cx_err(cx));
    if (!mln_bytes_is(mln_bytes_of(before), after)) {
        node_wake(node);
    }
    return MLN_OK;
}

struct mln_err node_sync(struct node *node, struct mln_cx *cx)
{
    MLN_TRY(node_catch_up(node, cx, false));
    return sign_all(node, cx);
}

struct mln_err node_match(struct node *node, struct mln_cx *cx, const struct mln_value *selectors)
{
    const struct mln_value *data = NULL;
    struct mln_value *body = mln_object(cx);
    struct node_call what = {.path = "/v1/spiffe/nodes/match", .body = body, .for_process = true};
    mln_put(cx, body, "selectors", selectors);
    MLN_TRY(node_call(node, cx, &what, &data));
    MLN_TRY(take_pages(node, cx, true));
    mln_replica_matched(node->replica, selectors);
    return MLN_OK;
}

struct mln_err node_watch(struct node *node, struct mln_cx *cx, bool *ret_changed)
{
    const struct mln_value *data = NULL;
    int64_t wait_s = mln_replica_next_s(node->replica, now(), WATCH_S),
            self_s = node->self.turn_s - now();
    wait_s = self_s < wait_s ? self_s : wait_s;
    *ret_changed = wait_s <= 0; /* something is due already */
    if (wait_s <= 0) {
        return MLN_OK;
    }
    const char *path = mln_text_format(cx, "/v1/spiffe/nodes/watch?since=%s&wait=%lld",
                                       mln_replica_revision(cx, node->replica), (long long)wait_s);
    MLN_TRY(mln_cx_err(cx));
    struct node_call what = {.path = path, .client = node->watcher};
    int64_t begin_ns = mln_mono_ns();
    MLN_TRY(node_call(node, cx, &what, &data));
    *ret_changed = data != NULL || mln_mono_ns() - begin_ns < wait_s * 1000000000 - EARLY_NS;
    return MLN_OK;
}
