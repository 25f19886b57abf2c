/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn is it to ask outside? Strangers can make the server ask (a token with a made-up key id, a token to be reviewed), always at a
 * place that somebody configured. A place that hangs, or is asked by a crowd, holds a share of the calls and of the threads, not all.
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "crypto/crypto.h"
#include "net/reach_priv.h"

#define WAITS_MAX        32u /* threads, of all targets: a quarter of those that may wait */
#define WAITS_OF_TARGET  8u
#define TURNS            (MLN_REACH_CALLS_MAX + WAITS_MAX)
#define MS_NS            ((int64_t)1000000)

enum turn_state { TURN_FREE, TURN_WAITS, TURN_RUNS };
struct reach_turn {
    enum turn_state state;
    bool has_key;
    uint8_t target[MLN_SHA256_BYTES], key[MLN_SHA256_BYTES];
};
struct reach_turns {
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool is_over;
    struct reach_turn all[TURNS];
};

void reach_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

struct timespec reach_end_after(int64_t ms)
{
    struct timespec end = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t ns = end.tv_nsec + ms % 1000 * MS_NS;
    end.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    end.tv_nsec = (long)(ns % 1000000000);
    return end;
}

struct reach_turns *reach_turns_new(void)
{
    struct reach_turns *turns = mln_alloc(sizeof(*turns));
    if (turns != NULL) {
        (void)pthread_mutex_init(&turns->lock, NULL);
        reach_cond_init(&turns->news);
    }
    return turns;
}

void reach_turns_free(struct reach_turns *turns)
{
    if (turns != NULL) {
        (void)pthread_cond_destroy(&turns->news);
        (void)pthread_mutex_destroy(&turns->lock);
    }
    mln_free(turns);
}

void reach_turns_end(struct reach_turns *turns)
{
    (void)pthread_mutex_lock(&turns->lock);
    turns->is_over = true;
    (void)pthread_cond_broadcast(&turns->news);
    (void)pthread_mutex_unlock(&turns->lock);
}

static bool is_same(const uint8_t a[MLN_SHA256_BYTES], const uint8_t b[MLN_SHA256_BYTES])
{
    return mln_same(a, b, MLN_SHA256_BYTES);
}

static size_t count(const struct reach_turns *turns, enum turn_state state, const struct reach_turn *like)
{
    size_t n = 0;
    for (size_t i = 0; i < TURNS; i++) {
        const struct reach_turn *t = &turns->all[i];
        n += t->state == state && (like == NULL || is_same(t->target, like->target)) ? 1 : 0;
    }
    return n;
}

static bool may_run(const struct reach_turns *turns, const struct reach_turn *mine)
{
    for (size_t i = 0; i < TURNS && mine->has_key; i++) {
        const struct reach_turn *t = &turns->all[i];
        if (t->state == TURN_RUNS && t->has_key && is_same(t->key, mine->key)) {
            return false;
        }
    }
    return count(turns, TURN_RUNS, NULL) < MLN_REACH_CALLS_MAX &&
           count(turns, TURN_RUNS, mine) < MLN_REACH_CALLS_OF_TARGET;
}

/* A place to wait in, or to run in; none: there are too many. */
static struct reach_turn *place_for(struct reach_turns *turns, const struct reach_turn *mine)
{
    bool may_wait = count(turns, TURN_RUNS, NULL) < MLN_REACH_CALLS_MAX && count(turns, TURN_WAITS, NULL) < WAITS_MAX &&
                    count(turns, TURN_WAITS, mine) < WAITS_OF_TARGET;
    for (size_t i = 0; i < TURNS && (may_wait || may_run(turns, mine)); i++) {
        if (turns->all[i].state == TURN_FREE) {
            return &turns->all[i];
        }
    }
    return NULL;
}

/* Under the lock. */
static struct mln_err take(struct mln_cx *cx, struct reach_turns *turns, const struct reach_turn *mine, int64_t ms,
                           struct reach_turn **ret)
{
    struct timespec end = reach_end_after(ms);
    struct reach_turn *place = place_for(turns, mine);
    bool in_time = true;
    if (place == NULL) {
        return mln_fail(cx, MLN_E_LIMIT, "reach: %u outbound calls run already, or %u of this host", MLN_REACH_CALLS_MAX,
                        MLN_REACH_CALLS_OF_TARGET);
    }
    *place = *mine;
    place->state = TURN_WAITS;
    while (in_time && !turns->is_over && !may_run(turns, mine)) {
        in_time = pthread_cond_timedwait(&turns->news, &turns->lock, &end) != ETIMEDOUT;
    }
    bool runs = !turns->is_over && may_run(turns, mine);
    place->state = runs ? TURN_RUNS : TURN_FREE;
    *ret = runs ? place : NULL;
    return runs             ? MLN_OK
           : turns->is_over ? mln_fail(cx, MLN_E_UNREACHABLE, "reach: the process for outbound calls is gone")
                            : mln_fail(cx, MLN_E_LIMIT, "reach: %u calls to this host run already", MLN_REACH_CALLS_OF_TARGET);
}

struct mln_err reach_turn_take(struct mln_cx *cx, struct reach_turns *turns, const char *target, const uint8_t *key, int64_t ms,
                               struct reach_turn **ret)
{
    struct reach_turn mine = {.has_key = key != NULL};
    mln_sha256(mln_bytes_of(target), mine.target);
    if (key != NULL) {
        mln_copy(mine.key, key, MLN_SHA256_BYTES);
    }
    (void)pthread_mutex_lock(&turns->lock);
    struct mln_err err = take(cx, turns, &mine, ms, ret);
    (void)pthread_mutex_unlock(&turns->lock);
    return err;
}

void reach_turn_give(struct reach_turns *turns, struct reach_turn *turn)
{
    (void)pthread_mutex_lock(&turns->lock);
    turn->state = TURN_FREE;
    (void)pthread_cond_broadcast(&turns->news);
    (void)pthread_mutex_unlock(&turns->lock);
}
