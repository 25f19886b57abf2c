/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See workers.h. A lane is one ring with its threads. Locks: workers.lock before lane.lock or
 * lane.reply, never both of the latter. A lane lives until its last thread has left it: a worker
 * that still waits for a durable write when front's generation ends drops its answer there.
 */
#include "main/workers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "main/main_priv.h"
#include "net/front.h"
#include "net/tls_sign.h"
#include "net/wire.h"

#define LANES_MAX   MLN_FRONT_THREADS_MAX
#define BLOCKED_MAX 128u /* threads that wait, in all: a group commit takes as many at once */
#define IDLE_KEPT   1u   /* followers of a ring that stay; others leave after IDLE_S */
#define IDLE_S      10
#define BELL_EVERY  8u         /* answers before front is woken although more requests wait */
#define BUFFER_KEPT (1u << 18) /* of a buffer between requests */

struct lane {
    struct workers *all;
    uint64_t generation;
    unsigned index;
    struct mln_ring *ring;
    struct mln_ring_fds fds;
    pthread_mutex_t reply; /* sends and flushes */
    pthread_mutex_t lock;  /* what follows */
    pthread_cond_t free;   /* the ring wants a leader */
    bool has_leader;
    unsigned idle; /* threads that wait for the lead */
    unsigned refs; /* threads, and one for the list */
    _Atomic bool ended;
    _Atomic bool is_broken;
};

struct workers {
    struct workers_config config;
    pthread_mutex_t lock; /* the list and the count */
    pthread_cond_t empty;
    struct lane *lanes[LANES_MAX];
    unsigned n_lanes;
    unsigned n_threads;
    _Atomic unsigned blocked;
};

struct worker {
    struct lane *lane;
    struct mln_cx cx;
    struct mln_buf in, out;
    bool is_leader, is_blocked;
    unsigned unrung; /* answers sent since the last bell */
};

static bool spawn_worker(struct lane *lane);

/* ---- lanes ---- */

static void lane_free(struct lane *lane)
{
    mln_ring_free(lane->ring);
    mln_ring_fds_close(&lane->fds);
    (void)pthread_mutex_destroy(&lane->reply);
    (void)pthread_mutex_destroy(&lane->lock);
    (void)pthread_cond_destroy(&lane->free);
    mln_free(lane);
}

static void lane_unref(struct lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    bool is_last = --lane->refs == 0;
    (void)pthread_mutex_unlock(&lane->lock);
    if (is_last) {
        lane_free(lane);
    }
}

/* All threads of the lane shall leave it; whoever sleeps is woken. */
static void lane_end(struct lane *lane)
{
    uint64_t one = 1;
    (void)pthread_mutex_lock(&lane->lock);
    atomic_store(&lane->ended, true);
    (void)pthread_cond_broadcast(&lane->free);
    (void)pthread_mutex_unlock(&lane->lock);
    ssize_t n = write(lane->fds.bell_core, &one, sizeof(one));
    (void)n;
}

static void lane_broken(struct lane *lane, const char *why)
{
    if (!atomic_exchange(&lane->is_broken, true) && !atomic_load(&lane->ended)) {
        mln_log(MLN_LOG_ERROR, "core", "ring %u of front's generation %llu is dropped: %s",
                lane->index, (unsigned long long)lane->generation, why);
        lane->all->config.broken(lane->all->config.arg, lane->generation);
    }
    lane_end(lane);
}

static struct mln_err lane_new(struct mln_cx *cx, struct workers *all, uint64_t generation,
                               struct mln_ring_fds *fds, struct lane **ret)
{
    struct lane *lane = mln_alloc(sizeof(*lane));
    if (lane == NULL) {
        mln_ring_fds_close(fds);
        return mln_fail(cx, MLN_E_MEMORY, "core: out of memory for a ring");
    }
    *lane = (struct lane){.all = all, .generation = generation, .fds = *fds, .refs = 1};
    *fds = (struct mln_ring_fds){-1, -1, -1};
    (void)pthread_mutex_init(&lane->reply, NULL);
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_cond_init(&lane->free, NULL);
    struct mln_err err = mln_ring_attach(cx, &lane->fds, MLN_RING_CORE, &lane->ring);
    if (mln_failed(err)) {
        lane_free(lane);
        return err;
    }
    *ret = lane;
    return MLN_OK;
}

/* ---- answers ---- */

/* Send out; wake front now, or with the turn's last answer while more requests may wait. */
static void send_out(struct worker *w, uint64_t id, uint32_t kind)
{
    struct lane *lane = w->lane;
    struct mln_ring_head head = {.id = id, .kind = kind};
    (void)pthread_mutex_lock(&lane->reply);
    struct mln_err err = MLN_OK;
    if (!atomic_load(&lane->ended)) {
        err = mln_ring_send(lane->ring, &head, mln_buf_bytes(&w->out));
    }
    (void)pthread_mutex_unlock(&lane->reply);
    if (mln_failed(err)) {
        lane_broken(lane, mln_err_text(err.code));
        return;
    }
    w->unrung++;
    if (!w->is_leader || w->unrung >= BELL_EVERY) {
        mln_ring_bell(lane->ring);
        w->unrung = 0;
    }
}

/* An answer that could not be built or is larger than a ring carries. */
static void answer_instead(struct worker *w)
{
    struct mln_value *v = mln_object(&w->cx);
    struct mln_value *errors = mln_array(&w->cx);
    mln_push_text(&w->cx, errors, "the answer does not fit into memory");
    mln_put_int(&w->cx, v, "status", mln_err_http(MLN_E_MEMORY));
    mln_put(&w->cx, v, "errors", errors);
    mln_buf_clear(&w->out);
    mln_cbor_print(&w->out, v);
}

static void hand_on(void *arg)
{
    struct worker *w = arg;
    struct lane *lane = w->lane;
    if (!w->is_leader) {
        return;
    }
    if (w->unrung > 0) {
        mln_ring_bell(lane->ring);
        w->unrung = 0;
    }
    if (atomic_fetch_add(&lane->all->blocked, 1) >= BLOCKED_MAX) {
        atomic_fetch_sub(&lane->all->blocked, 1);
        return; /* the ring waits with us: so front's credits run out, and clients wait */
    }
    w->is_blocked = true;
    (void)pthread_mutex_lock(&lane->lock);
    bool has_follower = lane->idle > 0;
    if (has_follower) {
        lane->has_leader = w->is_leader = false;
        (void)pthread_cond_signal(&lane->free);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    if (!has_follower && spawn_worker(lane)) {
        (void)pthread_mutex_lock(&lane->lock);
        lane->has_leader = w->is_leader = false;
        (void)pthread_cond_signal(&lane->free);
        (void)pthread_mutex_unlock(&lane->lock);
    }
}

static void serve_request(struct worker *w, uint64_t id)
{
    struct mln_core_call call = {.message = mln_buf_bytes(&w->in), .block = hand_on, .arg = w};
    struct mln_err err = mln_core_answer(&w->cx, w->lane->all->config.core, &call, &w->out);
    if (mln_failed(err)) {
        lane_broken(w->lane, "a message that is no request");
        return;
    }
    if (w->out.has_failed || w->out.len > MLN_RING_MESSAGE_MAX) {
        mln_cx_clear(&w->cx);
        mln_arena_reset(w->cx.arena);
        answer_instead(w);
    }
    send_out(w, id, MLN_WIRE_ANSWER);
}

/* The signature of a handshake, or an empty object: core builds what is signed itself. */
static struct mln_err sign(struct worker *w, const struct mln_value *message, struct mln_value *ret)
{
    const struct workers_config *config = &w->lane->all->config;
    int64_t key = mln_get_int(mln_get(message, "key"), -1);
    if (key < 0 || key >= (int64_t)config->n_keys || config->keys[key].len == 0) {
        return mln_fail(&w->cx, MLN_E_INVALID, "core: no such listener's key");
    }
    enum mln_tls_how how = MLN_TLS_ECDSA;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    MLN_TRY(mln_tls_sign_input(&w->cx, message, &input, &how));
    MLN_TRY(tls_key_sign(&w->cx, &config->keys[key], how, mln_buf_bytes(&input), &sig));
    mln_put(&w->cx, ret, "sig", mln_blob(&w->cx, mln_bytes_dup(&w->cx, mln_buf_bytes(&sig))));
    return MLN_OK;
}

static void serve_sign(struct worker *w, uint64_t id)
{
    const struct mln_value *message = NULL;
    if (mln_failed(mln_cbor_parse(&w->cx, mln_buf_bytes(&w->in), &message))) {
        lane_broken(w->lane, "a message that is no handshake");
        return;
    }
    struct mln_value *signed_value = mln_object(&w->cx);
    if (mln_failed(sign(w, message, signed_value))) {
        mln_log_fault(MLN_LOG_WARN, "core", &w->cx, "a handshake is not signed");
    }
    mln_cbor_print(&w->out, signed_value);
    send_out(w, id, MLN_WIRE_SIGNED);
}

static void forget(struct mln_buf *buf)
{
    if (buf->cap > BUFFER_KEPT) {
        mln_buf_drop(buf);
    } else {
        mln_buf_clear(buf);
    }
}

static void serve(struct worker *w, const struct mln_ring_head *head)
{
    if (head->kind == MLN_WIRE_REQUEST) {
        serve_request(w, head->id);
    } else if (head->kind == MLN_WIRE_SIGN) {
        serve_sign(w, head->id);
    } else {
        lane_broken(w->lane, "a message of an unknown kind");
    }
    if (w->is_blocked) {
        w->is_blocked = false;
        atomic_fetch_sub(&w->lane->all->blocked, 1);
    }
    forget(&w->in);
    forget(&w->out);
    mln_cx_clear(&w->cx);
    mln_arena_reset(w->cx.arena);
}

/* ---- leading and following ---- */

/* Nothing is left: send what waited for room, wake front, sleep until it rings. */
static void rest(struct worker *w)
{
    struct lane *lane = w->lane;
    (void)pthread_mutex_lock(&lane->reply);
    struct mln_err err = mln_ring_flush(lane->ring);
    (void)pthread_mutex_unlock(&lane->reply);
    mln_ring_bell(lane->ring);
    w->unrung = 0;
    if (mln_failed(err)) {
        lane_broken(lane, mln_err_text(err.code));
        return;
    }
    if (mln_ring_sleep(lane->ring)) {
        struct pollfd bell = {.fd = lane->fds.bell_core, .events = POLLIN};
        uint64_t rings = 0;
        (void)poll(&bell, 1, -1);
        ssize_t n = read(lane->fds.bell_core, &rings, sizeof(rings));
        (void)n;
    }
    mln_ring_awake(lane->ring);
}

static void lead(struct worker *w)
{
    struct lane *lane = w->lane;
    while (w->is_leader && !atomic_load(&lane->ended)) {
        struct mln_ring_head head = {0};
        struct mln_err err = mln_ring_receive(lane->ring, &head, &w->in);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            rest(w);
        } else if (mln_failed(err)) {
            lane_broken(lane, mln_err_text(err.code));
        } else {
            serve(w, &head);
        }
    }
}

/* Wait for the lead; false: leave. */
static bool follow(struct worker *w)
{
    struct lane *lane = w->lane;
    struct timespec until;
    bool leaves = false;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_S;
    (void)pthread_mutex_lock(&lane->lock);
    while (lane->has_leader && !atomic_load(&lane->ended) && !leaves) {
        lane->idle++;
        int rc = pthread_cond_timedwait(&lane->free, &lane->lock, &until);
        leaves = rc == ETIMEDOUT && lane->has_leader && lane->idle > IDLE_KEPT;
        if (rc == ETIMEDOUT) {
            until.tv_sec += IDLE_S;
        }
        lane->idle--;
    }
    leaves = leaves || atomic_load(&lane->ended);
    if (!leaves) {
        lane->has_leader = w->is_leader = true;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return !leaves;
}

static void worker_free(struct worker *w)
{
    mln_buf_drop(&w->in);
    mln_buf_drop(&w->out);
    mln_arena_free(w->cx.arena);
    mln_free(w);
}

static void count_thread(struct workers *all, int by)
{
    (void)pthread_mutex_lock(&all->lock);
    all->n_threads += (unsigned)by;
    if (all->n_threads == 0) {
        (void)pthread_cond_broadcast(&all->empty);
    }
    (void)pthread_mutex_unlock(&all->lock);
}

/* The home of a ring's workers is the CPU of its front thread: a wake across CPUs costs most. */
static void go_home(unsigned index)
{
    cpu_set_t may, home;
    if (sched_getaffinity(0, sizeof(may), &may) != 0 || CPU_COUNT(&may) < 2) {
        return;
    }
    unsigned skip = index % (unsigned)CPU_COUNT(&may);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &may) && skip-- == 0) {
            CPU_ZERO(&home);
            CPU_SET(cpu, &home);
            (void)sched_setaffinity(0, sizeof(home), &home);
            return;
        }
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct lane *lane = w->lane;
    struct workers *all = lane->all;
    go_home(lane->index);
    while (follow(w)) {
        lead(w);
    }
    worker_free(w);
    lane_unref(lane);
    count_thread(all, -1);
    return NULL;
}

static struct worker *worker_new(struct lane *lane)
{
    struct worker *w = mln_alloc(sizeof(*w));
    struct mln_arena *arena =
        mln_arena_new(MLN_REQUEST_ARENA_BYTES, lane->all->config.lock_requests);
    if (w == NULL || arena == NULL) {
        mln_free(w);
        mln_arena_free(arena);
        return NULL;
    }
    w->lane = lane;
    w->in = (struct mln_buf){.is_secret = true, .max = MLN_RING_MESSAGE_MAX};
    w->out = w->in;
    mln_cx_init(&w->cx, arena);
    return w;
}

/* One thread more; it starts as a follower. */
static bool spawn_worker(struct lane *lane)
{
    struct worker *w = worker_new(lane);
    pthread_attr_t attr;
    pthread_t id;
    if (w == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&lane->lock);
    lane->refs++;
    (void)pthread_mutex_unlock(&lane->lock);
    count_thread(lane->all, 1);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool is_started = pthread_create(&id, &attr, worker_main, w) == 0;
    (void)pthread_attr_destroy(&attr);
    if (!is_started) {
        worker_free(w);
        lane_unref(lane);
        count_thread(lane->all, -1);
    }
    return is_started;
}

/* ---- the whole ---- */

struct mln_err workers_new(struct mln_cx *cx, const struct workers_config *config,
                           struct workers **ret)
{
    struct workers *workers = mln_alloc(sizeof(*workers));
    if (workers == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "core: out of memory for its workers");
    }
    workers->config = *config;
    (void)pthread_mutex_init(&workers->lock, NULL);
    (void)pthread_cond_init(&workers->empty, NULL);
    *ret = workers;
    return MLN_OK;
}

/* Take the lanes off the list; their threads leave in their own time. */
static void detach(struct workers *workers)
{
    struct lane *old[LANES_MAX];
    (void)pthread_mutex_lock(&workers->lock);
    unsigned n = workers->n_lanes;
    mln_copy(old, workers->lanes, n * sizeof(old[0]));
    workers->n_lanes = 0;
    (void)pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < n; i++) {
        lane_end(old[i]);
        lane_unref(old[i]);
    }
}

static struct mln_err attach_one(struct mln_cx *cx, struct workers *workers, uint64_t generation,
                                 struct mln_ring_fds *fds)
{
    struct lane *lane = NULL;
    MLN_TRY(lane_new(cx, workers, generation, fds, &lane));
    (void)pthread_mutex_lock(&workers->lock);
    lane->index = workers->n_lanes;
    workers->lanes[workers->n_lanes++] = lane;
    (void)pthread_mutex_unlock(&workers->lock);
    return spawn_worker(lane) ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "core: no thread for a ring");
}

struct mln_err workers_attach(struct mln_cx *cx, struct workers *workers, uint64_t generation,
                              struct mln_ring_fds *rings, unsigned n)
{
    MLN_CHECK(n <= LANES_MAX);
    detach(workers);
    struct mln_err err = MLN_OK;
    for (unsigned i = 0; i < n; i++) {
        if (mln_failed(err)) {
            mln_ring_fds_close(&rings[i]);
        } else {
            err = attach_one(cx, workers, generation, &rings[i]);
        }
    }
    return err;
}

void workers_publish(struct workers *workers, struct mln_bytes message)
{
    struct mln_ring_head head = {.kind = MLN_WIRE_TOPIC};
    (void)pthread_mutex_lock(&workers->lock);
    for (unsigned i = 0; i < workers->n_lanes; i++) {
        struct lane *lane = workers->lanes[i];
        (void)pthread_mutex_lock(&lane->reply);
        if (!atomic_load(&lane->ended)) {
            (void)mln_failed(mln_ring_send(lane->ring, &head, message)); /* its leader sees it */
        }
        (void)pthread_mutex_unlock(&lane->reply);
        mln_ring_bell(lane->ring);
    }
    (void)pthread_mutex_unlock(&workers->lock);
}

void workers_free(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    detach(workers);
    (void)pthread_mutex_lock(&workers->lock);
    while (workers->n_threads > 0) {
        (void)pthread_cond_wait(&workers->empty, &workers->lock);
    }
    (void)pthread_mutex_unlock(&workers->lock);
    (void)pthread_mutex_destroy(&workers->lock);
    (void)pthread_cond_destroy(&workers->empty);
    mln_free(workers);
}
