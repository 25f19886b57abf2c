/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core's side of reach: any number of threads ask, one thread a connection reads the answers and wakes who waits. Reach may die
 * at any moment: what waits ends with UNREACHABLE, the next calls wait a little for its successor.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/select.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "net/reach_priv.h"

#define BACK_MS    2000 /* a restart takes some 20 ms */
#define GRACE_MS   1500 /* reach ends a call itself at its deadline; past this it is not heard any more */
#define SEND_S     5    /* reach reads all the time: a full socket means that it hangs */

enum slot_state { SLOT_FREE, SLOT_WAITS, SLOT_DONE, SLOT_LOST };
struct slot {
    enum slot_state state;
    int64_t id;
    uint64_t generation; /* of the connection that it was sent on */
    pthread_cond_t news;
    struct mln_buf frame;
};
struct mln_reach {
    pthread_mutex_t lock, send_lock;
    pthread_cond_t attached;
    int fd; /* -1: no reach runs */
    pthread_t reader;
    bool has_reader, is_closing, is_over;
    uint64_t generation; /* counts connections */
    int64_t last_id;
    struct slot slots[MLN_REACH_CALLS_MAX];
    struct reach_cache *cache;
    struct reach_turns *turns;
    size_t frame_max;
};

/* false: the time is over. Takes the system's clock, for the condition does. */
static bool wait_until(struct mln_reach *reach, pthread_cond_t *cond, const struct timespec *end)
{
    return pthread_cond_timedwait(cond, &reach->lock, end) != ETIMEDOUT;
}

struct mln_err mln_reach_new(struct mln_cx *cx, struct mln_reach **ret)
{
    struct mln_reach *reach = mln_alloc(sizeof(*reach));
    struct reach_cache *cache = reach_cache_new();
    struct reach_turns *turns = reach_turns_new();
    if (reach == NULL || cache == NULL || turns == NULL) {
        reach_turns_free(turns);
        reach_cache_free(cache);
        mln_free(reach);
        return mln_fail(cx, MLN_E_MEMORY, "no memory for outbound calls");
    }
    reach->cache = cache;
    reach->turns = turns;
    (void)pthread_mutex_init(&reach->lock, NULL);
    (void)pthread_mutex_init(&reach->send_lock, NULL);
    reach_cond_init(&reach->attached);
    reach->fd = -1;
    reach->frame_max = MLN_REACH_BODY_MAX + MLN_REACH_FRAME_MORE;
    for (size_t i = 0; i < MLN_COUNT(reach->slots); i++) {
        reach_cond_init(&reach->slots[i].news);
        reach->slots[i].frame.is_secret = true;
    }
    *ret = reach;
    return MLN_OK;
}

void mln_reach_allow_body(struct mln_reach *reach, size_t body_max)
{
    reach->frame_max = body_max + MLN_REACH_FRAME_MORE;
}

/* ---- the reading thread ---- */

static void lose_all(struct mln_reach *reach)
{
    for (size_t i = 0; i < MLN_COUNT(reach->slots); i++) {
        struct slot *slot = &reach->slots[i];
        if (slot->state == SLOT_WAITS) {
            slot->state = SLOT_LOST;
            (void)pthread_cond_signal(&slot->news);
        }
    }
}

/* Whose answer is it? Nobody's when the asker gave up. */
static struct slot *slot_of(struct mln_reach *reach, int64_t id)
{
    for (size_t i = 0; i < MLN_COUNT(reach->slots); i++) {
        if (reach->slots[i].state == SLOT_WAITS && reach->slots[i].id == id) {
            return &reach->slots[i];
        }
    }
    return NULL;
}

/* The id alone; the asker parses the rest in its own arena. */
static bool frame_id(const struct mln_buf *frame, int64_t *ret)
{
    static const uint8_t head[] = {0x62, 'i', 'd'}; /* the first member, after the map's head */
    if (frame->len < 5 || frame->ptr[0] >> 5 != 5 || !mln_same(frame->ptr + 1, head, 3)) {
        return false;
    }
    uint8_t first = frame->ptr[4], more = first & 0x1f;
    size_t n = more < 24 ? 0 : more <= 27 ? (size_t)1 << (more - 24) : 99;
    if (first >> 5 != 0 || frame->len < 5 + n) {
        return false;
    }
    uint64_t id = n == 0 ? more : 0;
    for (size_t i = 0; i < n; i++) {
        id = id << 8 | frame->ptr[5 + i];
    }
    *ret = (int64_t)id;
    return id <= INT64_MAX;
}

static void *read_main(void *arg)
{
    struct mln_reach *reach = arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf frame = {.is_secret = true};
    int64_t id = 0;
    int fd = reach->fd; /* stays open until this thread was joined */
    while (!mln_failed(reach_frame_receive(NULL, fd, reach->frame_max, &frame)) && frame_id(&frame, &id)) {
        (void)pthread_mutex_lock(&reach->lock);
        struct slot *slot = slot_of(reach, id);
        if (slot != NULL) {
            struct mln_buf old = slot->frame;
            slot->frame = frame;
            frame = old;
            slot->state = SLOT_DONE;
            (void)pthread_cond_signal(&slot->news);
        }
        (void)pthread_mutex_unlock(&reach->lock);
    }
    (void)shutdown(fd, SHUT_RDWR); /* a reach that breaks the form is ended */
    (void)pthread_mutex_lock(&reach->lock);
    reach->is_closing = true;
    lose_all(reach);
    (void)pthread_mutex_unlock(&reach->lock);
    return NULL;
}

/* The older connection's end. */
static void detach(struct mln_reach *reach)
{
    if (reach->has_reader) {
        (void)shutdown(reach->fd, SHUT_RDWR);
        (void)pthread_join(reach->reader, NULL);
        reach->has_reader = false;
    }
    (void)pthread_mutex_lock(&reach->send_lock);
    (void)pthread_mutex_lock(&reach->lock);
    mln_fd_drop(&reach->fd);
    (void)pthread_mutex_unlock(&reach->lock);
    (void)pthread_mutex_unlock(&reach->send_lock);
}

struct mln_err mln_reach_attach(struct mln_cx *cx, struct mln_reach *reach, int fd)
{
    struct timeval patience = {.tv_sec = SEND_S};
    detach(reach);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    (void)pthread_mutex_lock(&reach->lock);
    reach->fd = fd;
    reach->generation++;
    reach->is_closing = false;
    reach->has_reader = pthread_create(&reach->reader, NULL, read_main, reach) == 0;
    if (!reach->has_reader) {
        mln_fd_drop(&reach->fd);
    }
    (void)pthread_cond_broadcast(&reach->attached);
    (void)pthread_mutex_unlock(&reach->lock);
    return reach->has_reader ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread for outbound calls");
}

void mln_reach_end(struct mln_reach *reach)
{
    if (reach != NULL) {
        reach_turns_end(reach->turns);
        (void)pthread_mutex_lock(&reach->lock);
        reach->is_over = true;
        lose_all(reach);
        (void)pthread_cond_broadcast(&reach->attached);
        (void)pthread_mutex_unlock(&reach->lock);
    }
}

void mln_reach_free(struct mln_reach *reach)
{
    if (reach == NULL) {
        return;
    }
    detach(reach);
    for (size_t i = 0; i < MLN_COUNT(reach->slots); i++) {
        (void)pthread_cond_destroy(&reach->slots[i].news);
        mln_buf_drop(&reach->slots[i].frame);
    }
    (void)pthread_cond_destroy(&reach->attached);
    (void)pthread_mutex_destroy(&reach->lock);
    (void)pthread_mutex_destroy(&reach->send_lock);
    reach_turns_free(reach->turns);
    reach_cache_free(reach->cache);
    mln_free(reach);
}

/* ---- calls ---- */

static struct mln_err take_slot(struct mln_cx *cx, struct mln_reach *reach, struct slot **ret)
{
    struct timespec end = reach_end_after(BACK_MS);
    while (reach->fd < 0 || reach->is_closing || reach->is_over) {
        if (reach->is_over || !wait_until(reach, &reach->attached, &end)) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "reach: the process for outbound calls is not there");
        }
    }
    for (size_t i = 0; i < MLN_COUNT(reach->slots); i++) {
        if (reach->slots[i].state == SLOT_FREE) {
            reach->slots[i].state = SLOT_WAITS;
            reach->slots[i].id = ++reach->last_id;
            reach->slots[i].generation = reach->generation;
            *ret = &reach->slots[i];
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_LIMIT, "reach: %u outbound calls run already", MLN_REACH_CALLS_MAX);
}

/* The descriptor of the connection that the slot was taken on, -1 when it is another by now; close: nobody shall use it again. */
static int current_fd(struct mln_reach *reach, const struct slot *slot, bool close)
{
    (void)pthread_mutex_lock(&reach->lock);
    int fd = slot->generation == reach->generation ? reach->fd : -1;
    reach->is_closing = reach->is_closing || (close && fd >= 0);
    (void)pthread_mutex_unlock(&reach->lock);
    return fd;
}

static struct mln_err send_ask(struct mln_cx *cx, struct mln_reach *reach, const struct slot *slot,
                               const struct mln_value *ask)
{
    struct mln_value *message = mln_object(cx);
    mln_put_int(cx, message, "id", slot->id);
    mln_put(cx, message, "ask", ask);
    MLN_TRY(mln_cx_err(cx));
    (void)pthread_mutex_lock(&reach->send_lock); /* keeps the descriptor open */
    int fd = current_fd(reach, slot, false);
    struct mln_err err = fd >= 0 ? reach_frame_send(cx, fd, reach->frame_max, message) : (struct mln_err){MLN_E_UNREACHABLE};
    if (mln_is(err, MLN_E_UNREACHABLE) && fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR); /* half a frame may be in there */
        (void)current_fd(reach, slot, true);
    }
    (void)pthread_mutex_unlock(&reach->send_lock);
    return err;
}

/* Until the answer, the loss of reach or the deadline; the slot is free afterwards. */
static struct mln_err await(struct mln_cx *cx, struct mln_reach *reach, struct slot *slot, int64_t ms,
                            struct mln_buf *ret)
{
    struct timespec end = reach_end_after(ms + GRACE_MS);
    bool in_time = true;
    (void)pthread_mutex_lock(&reach->lock);
    while (slot->state == SLOT_WAITS && in_time) {
        in_time = wait_until(reach, &slot->news, &end);
    }
    enum slot_state state = slot->state;
    if (state == SLOT_DONE) {
        struct mln_buf empty = {.is_secret = true};
        *ret = slot->frame;
        slot->frame = empty;
    }
    slot->state = SLOT_FREE;
    (void)pthread_mutex_unlock(&reach->lock);
    if (state == SLOT_LOST) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "reach: the process for outbound calls died meanwhile");
    }
    return state == SLOT_DONE ? MLN_OK : mln_fail(cx, MLN_E_TIMEOUT, "reach: no answer in time");
}

/* An error's code by its name; only those that reach may give. */
static enum mln_code code_of(struct mln_bytes name)
{
    static const enum mln_code known[] = {MLN_E_INVALID,     MLN_E_DENIED,    MLN_E_UNREACHABLE, MLN_E_TIMEOUT,
                                          MLN_E_TOO_LARGE,   MLN_E_LIMIT,     MLN_E_MEMORY,      MLN_E_UNSUPPORTED};
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is(name, mln_err_name(known[i]))) {
            return known[i];
        }
    }
    return MLN_E_REMOTE;
}

static struct mln_err read_answer(struct mln_cx *cx, struct mln_bytes frame, const struct mln_value **ret)
{
    const struct mln_value *message = NULL;
    struct mln_bytes mine = mln_bytes_dup(cx, frame);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_cbor_parse(cx, mine, &message));
    const struct mln_value *answer = mln_get(message, "answer");
    if (mln_type_of(answer) == MLN_OBJECT) {
        *ret = answer;
        return MLN_OK;
    }
    struct mln_bytes text = mln_get_bytes(mln_get(message, "text"));
    return mln_fail(cx, code_of(mln_get_bytes(mln_get(message, "code"))), "%.*s", MLN_FMT(text));
}

/* Ask reach itself, once. *ret_unheard: it died before it can have done anything, or what was asked may be asked twice. */
static struct mln_err call_once(struct mln_cx *cx, struct mln_reach *reach, const struct mln_value *ask,
                               struct mln_buf *ret_frame, bool *ret_unheard)
{
    struct slot *slot = NULL;
    *ret_unheard = false;
    (void)pthread_mutex_lock(&reach->lock);
    struct mln_err err = take_slot(cx, reach, &slot);
    (void)pthread_mutex_unlock(&reach->lock);
    MLN_TRY(err);
    err = send_ask(cx, reach, slot, ask);
    if (mln_failed(err)) {
        (void)pthread_mutex_lock(&reach->lock);
        slot->state = SLOT_FREE;
        (void)pthread_mutex_unlock(&reach->lock);
        *ret_unheard = mln_is(err, MLN_E_UNREACHABLE);
        return err;
    }
    err = await(cx, reach, slot, reach_timeout_ms(ask), ret_frame);
    *ret_unheard = mln_is(err, MLN_E_UNREACHABLE) &&
                   (mln_get(ask, "method") == NULL || mln_is_text(mln_get(ask, "method"), "GET"));
    return err;
}

/* A reach that died under a call has a successor soon: then once more. */
static struct mln_err call_now(struct mln_cx *cx, struct mln_reach *reach, const struct mln_value *ask, struct mln_buf *ret_frame)
{
    bool is_unheard = false;
    struct mln_err err = call_once(cx, reach, ask, ret_frame, &is_unheard);
    if (is_unheard) {
        mln_cx_clear(cx);
        err = call_once(cx, reach, ask, ret_frame, &is_unheard);
    }
    return mln_is(err, MLN_E_UNREACHABLE) ? mln_fail(cx, MLN_E_UNREACHABLE, "reach: the process for outbound calls is gone") : err;
}

/* An ask that may be answered by what is kept; whose turn it is finds what the one before him got. */
static struct mln_err call_kept(struct mln_cx *cx, struct mln_reach *reach, const struct mln_value *ask, const uint8_t key[32],
                                const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf frame = {.is_secret = true};
    bool is_kept = reach_cache_get(reach->cache, key, reach_cache_age_ms(ask), &frame);
    if (!is_kept) {
        mln_buf_clear(&frame);
        MLN_TRY(call_now(cx, reach, ask, &frame));
    }
    struct mln_err err = read_answer(cx, mln_buf_bytes(&frame), ret);
    if (!is_kept) {
        reach_cache_put(reach->cache, key, mln_buf_bytes(&frame),
                        mln_failed(err) || mln_get_int(mln_get(*ret, "status"), 0) != 200);
    }
    return err;
}

static struct mln_err call_plain(struct mln_cx *cx, struct mln_reach *reach, const struct mln_value *ask, const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf frame = {.is_secret = true};
    MLN_TRY(call_now(cx, reach, ask, &frame));
    return read_answer(cx, mln_buf_bytes(&frame), ret);
}

struct mln_err mln_reach_call(struct mln_cx *cx, struct mln_reach *reach,
                              const struct mln_value *ask, const struct mln_value **ret)
{
    const char *target = NULL;
    uint8_t key[32];
    int64_t age_ms = reach_cache_age_ms(ask);
    struct reach_turn *turn = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf frame = {.is_secret = true};
    MLN_TRY(mln_reach_target(cx, ask, &target));
    if (age_ms > 0) {
        MLN_TRY(reach_cache_key(cx, ask, key));
        if (reach_cache_get(reach->cache, key, age_ms, &frame)) {
            return read_answer(cx, mln_buf_bytes(&frame), ret);
        }
    }
    MLN_TRY(reach_turn_take(cx, reach->turns, target, age_ms > 0 ? key : NULL, reach_timeout_ms(ask), &turn));
    struct mln_err err = age_ms > 0 ? call_kept(cx, reach, ask, key, ret) : call_plain(cx, reach, ask, ret);
    reach_turn_give(reach->turns, turn);
    return err;
}
