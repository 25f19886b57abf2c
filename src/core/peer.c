/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the workload socket: one line a connection, told by the attest process. A request may be here before its line is, so it
 * waits. Lines are kept as CBOR: one block each, and a request takes a copy that nobody can take away from it.
 */
#include "core/core_priv.h"

#include <time.h>

#include "base/cbor.h"

#define BUCKETS       16384u /* 128 KiB; four lines each when full */
#define WAIT_MS       5000   /* attestation asks the kubelet, which asks for seconds on a busy node */
#define WAITERS_MAX   64u    /* half of the threads that may sleep: numbers that nobody has must not hold them all */
#define SELECTOR_MAX  1024u  /* bytes of one selector: the longest labels and image names stay below */

struct line {
    struct line *next;
    uint64_t number;
    int64_t pid;
    uint32_t uid, gid;
    enum mln_code refused; /* MLN_E_OK = attested */
    uint32_t n;
    uint8_t bytes[]; /* CBOR of the selectors */
};

struct mln_peers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t wait_ms;
    unsigned waiters;
    size_t count;
    struct line *buckets[BUCKETS];
};

struct mln_peers *mln_peers_new(int64_t wait_ms)
{
    struct mln_peers *peers = mln_alloc(sizeof(*peers));
    pthread_condattr_t attr;
    if (peers == NULL) {
        return NULL;
    }
    peers->wait_ms = wait_ms > 0 ? wait_ms : WAIT_MS;
    (void)pthread_mutex_init(&peers->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&peers->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    return peers;
}

static void forget_all(struct mln_peers *peers)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct line *line = peers->buckets[i], *next = NULL; line != NULL; line = next) {
            next = line->next;
            mln_free(line);
        }
        peers->buckets[i] = NULL;
    }
    peers->count = 0;
}

void mln_peers_free(struct mln_peers *peers)
{
    if (peers == NULL) {
        return;
    }
    forget_all(peers);
    (void)pthread_mutex_destroy(&peers->lock);
    (void)pthread_cond_destroy(&peers->changed);
    mln_free(peers);
}

/* Numbers are random: their low bits are as good as a hash. */
static struct line **find(struct mln_peers *peers, uint64_t number)
{
    struct line **at = &peers->buckets[number % BUCKETS];
    while (*at != NULL && (*at)->number != number) {
        at = &(*at)->next;
    }
    return at;
}

/* ---- what the attest process tells ---- */

static struct mln_err check_selectors(struct mln_cx *cx, const struct mln_value *selectors)
{
    bool ok = mln_type_of(selectors) == MLN_ARRAY && mln_len(selectors) <= MLN_PEER_SELECTORS;
    for (size_t i = 0; ok && i < mln_len(selectors); i++) {
        struct mln_bytes text = mln_get_bytes(mln_item(selectors, i));
        size_t colon = mln_bytes_find(text, ':');
        ok = colon > 0 && colon + 1 < text.len && text.len <= SELECTOR_MAX;
    }
    return ok ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "a peer's selectors are too many or no \"type:value\"");
}

/* Takes the line, also when it fails. */
static struct mln_err add(struct mln_cx *cx, struct mln_peers *peers, struct line *line)
{
    struct mln_err err = MLN_OK;
    (void)pthread_mutex_lock(&peers->lock);
    struct line **at = find(peers, line->number);
    if (*at != NULL) {
        err = mln_fail(cx, MLN_E_EXISTS, "a peer of this number is there already");
    } else if (peers->count >= MLN_PEERS_MAX) {
        err = mln_fail(cx, MLN_E_LIMIT, "%u processes are connected already", MLN_PEERS_MAX);
    } else {
        *at = line;
        peers->count++;
        line = NULL;
        (void)pthread_cond_broadcast(&peers->changed);
    }
    (void)pthread_mutex_unlock(&peers->lock);
    mln_free(line);
    return err;
}

static struct mln_err check_number(struct mln_cx *cx, uint64_t number)
{
    return number > 0 && number <= INT64_MAX ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "a peer's number is outside of its range");
}

struct mln_err mln_peers_put(struct mln_cx *cx, struct mln_peers *peers, const struct mln_peer *peer)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = (size_t)MLN_PEER_SELECTORS * (SELECTOR_MAX + 8)};
    MLN_TRY(check_number(cx, peer->number));
    MLN_TRY(check_selectors(cx, peer->selectors));
    mln_cbor_print(&text, peer->selectors);
    MLN_TRY(mln_buf_ok(cx, &text));
    struct line *line = mln_alloc(sizeof(*line) + text.len);
    if (line == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for a peer");
    }
    *line = (struct line){.number = peer->number, .pid = peer->pid, .uid = peer->uid, .gid = peer->gid, .n = (uint32_t)text.len};
    mln_copy(line->bytes, text.ptr, text.len);
    return add(cx, peers, line);
}

void mln_peers_refuse(struct mln_cx *cx, struct mln_peers *peers, uint64_t number, enum mln_code why)
{
    MLN_CHECK(why == MLN_E_UNREACHABLE || why == MLN_E_DENIED);
    (void)pthread_mutex_lock(&peers->lock);
    struct line *there = *find(peers, number);
    if (there != NULL) {
        there->refused = why;
    }
    (void)pthread_mutex_unlock(&peers->lock);
    struct line *line = there == NULL && number > 0 && number <= INT64_MAX ? mln_alloc(sizeof(*line)) : NULL;
    if (line != NULL) {
        *line = (struct line){.number = number, .refused = why};
        (void)mln_failed(add(cx, peers, line)); /* without its line, who asks waits and hears the same */
        mln_cx_clear(cx);
    }
}

void mln_peers_end(struct mln_peers *peers, uint64_t number)
{
    (void)pthread_mutex_lock(&peers->lock);
    struct line **at = find(peers, number), *line = *at;
    if (line != NULL) {
        *at = line->next;
        peers->count--;
    }
    (void)pthread_mutex_unlock(&peers->lock);
    mln_free(line);
}

void mln_peers_end_all(struct mln_peers *peers)
{
    (void)pthread_mutex_lock(&peers->lock);
    forget_all(peers);
    (void)pthread_mutex_unlock(&peers->lock);
}

/* ---- what requests ask ---- */

/* Under the lock: sleep until the line is there, or it is too late. */
static const struct line *await(struct mln_peers *peers, uint64_t number)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + peers->wait_ms % 1000 * 1000000;
    until.tv_sec += (time_t)(peers->wait_ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int rc = 0;
    peers->waiters++;
    while (rc == 0 && *find(peers, number) == NULL) {
        rc = pthread_cond_timedwait(&peers->changed, &peers->lock, &until);
    }
    peers->waiters--;
    return *find(peers, number);
}

/* Under the lock: a copy of the line into the request's arena. */
static struct mln_err take(struct mln_cx *cx, const struct line *line, struct mln_peer *peer, struct mln_bytes *ret)
{
    if (line == NULL) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "the process that asks is not attested yet: try again");
    }
    if (line->refused == MLN_E_DENIED) {
        return mln_fail(cx, MLN_E_DENIED, "the process that connected has ended");
    }
    if (line->refused != MLN_E_OK) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "the process that asks could not be attested: connect again");
    }
    *peer = (struct mln_peer){.number = line->number, .pid = line->pid, .uid = line->uid, .gid = line->gid};
    *ret = mln_bytes_dup(cx, mln_bytes_at(line->bytes, line->n));
    return mln_cx_err(cx);
}

struct mln_err mln_peers_find(struct mln_cx *cx, struct mln_peers *peers, int64_t number, const struct mln_core_call *call,
                              const struct mln_peer **ret)
{
    struct mln_bytes selectors = MLN_BYTES_NONE;
    struct mln_peer *peer = MLN_NEW(cx, struct mln_peer);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(check_number(cx, (uint64_t)number));
    (void)pthread_mutex_lock(&peers->lock);
    const struct line *line = *find(peers, (uint64_t)number);
    if (line == NULL && peers->waiters < WAITERS_MAX) {
        (void)pthread_mutex_unlock(&peers->lock);
        if (call->block != NULL) {
            call->block(call->arg);
        }
        (void)pthread_mutex_lock(&peers->lock);
        line = await(peers, (uint64_t)number);
    }
    struct mln_err err = take(cx, line, peer, &selectors);
    (void)pthread_mutex_unlock(&peers->lock);
    MLN_TRY(err);
    *ret = peer;
    return mln_cbor_parse(cx, selectors, &peer->selectors);
}

struct mln_peers *mln_core_peers(struct mln_core *core)
{
    return core->peers;
}

struct mln_err mln_peer_resolve(struct mln_run *run)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_value *number = mln_get(run->message, "peer");
    if (number == NULL) {
        return MLN_OK;
    }
    struct mln_core_call call = {.block = run->has_blocked ? NULL : run->call->block, .arg = run->call->arg};
    MLN_TRY(mln_peers_find(cx, run->core->peers, mln_get_int(number, 0), &call, &run->rq.peer));
    run->rq.source = mln_text_format(cx, "unix:%u", run->rq.peer->uid);
    return mln_cx_err(cx);
}
