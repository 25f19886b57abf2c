/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See workers.h. A lane is one ring with its threads. Locks: workers.lock before lane.lock or
 * lane.reply, never both of the latter. A lane lives until its last thread has left it: a worker
 * that still waits for a durable write when front's generation ends drops its answer there.
 *
 * A request lies in a slot. One whose commit is on its way is put aside in it, and the leader goes
 * on; the committer hands the slots of a group back and wakes the leader once. So a write costs no
 * change of threads. Only the leader finishes slots, and the last one leaves when none waits.
 */
#include "main/workers_priv.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "main/main_priv.h"
#include "net/tls_sign.h"
#include "net/wire.h"

#define BLOCKED_MAX 128u /* threads that wait, in all: a group commit takes as many at once */
#define IDLE_KEPT   1u   /* followers of a ring that stay; others leave after IDLE_S */
#define IDLE_S      10
#define BELL_EVERY  8u /* answers before front is woken although more requests wait */

static bool spawn_worker(struct lane *lane);

/* ---- answers ---- */

/* Send out; wake front now, or with the turn's last answer while more requests may wait. */
static void send_out(struct worker *w, struct slot *slot, uint32_t kind)
{
    struct lane *lane = w->lane;
    struct mln_ring_head head = {.id = slot->id, .kind = kind};
    (void)pthread_mutex_lock(&lane->reply);
    struct mln_err err = MLN_OK;
    if (!atomic_load(&lane->ended)) {
        err = mln_ring_send(lane->ring, &head, mln_buf_bytes(&slot->out));
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
static void answer_instead(struct slot *slot)
{
    struct mln_cx *cx = &slot->cx;
    mln_cx_clear(cx);
    mln_arena_reset(cx->arena);
    struct mln_value *v = mln_object(cx);
    struct mln_value *errors = mln_array(cx);
    mln_push_text(cx, errors, "the answer does not fit into memory");
    mln_put_int(cx, v, "status", mln_err_http(MLN_E_MEMORY));
    mln_put(cx, v, "errors", errors);
    mln_buf_clear(&slot->out);
    mln_cbor_print(&slot->out, v);
}

static void hand_on(void *arg)
{
    struct slot *slot = arg;
    struct worker *w = slot->worker;
    struct lane *lane = w->lane;
    if (!w->is_leader) {
        return;
    }
    if (w->unrung > 0) {
        mln_ring_bell(lane->ring);
        w->unrung = 0;
    }
    if (!slot->is_blocked && atomic_fetch_add(&lane->all->blocked, 1) >= BLOCKED_MAX) {
        atomic_fetch_sub(&lane->all->blocked, 1);
        return; /* the ring waits with us: so front's credits run out, and clients wait */
    }
    slot->is_blocked = true;
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

static void answered(struct worker *w, struct slot *slot)
{
    if (slot->out.has_failed || slot->out.len > MLN_RING_MESSAGE_MAX) {
        answer_instead(slot);
    }
    send_out(w, slot, MLN_WIRE_ANSWER);
}

/* The commit is on its way: the slot is put aside. It is counted, for it holds memory. */
static void put_aside(struct worker *w)
{
    struct lane *lane = w->lane;
    w->slot->is_blocked = true;
    atomic_fetch_add(&lane->all->blocked, 1);
    atomic_fetch_add(&lane->waiting, 1);
    w->slot = NULL;
}

/* False: it was put aside. */
static bool serve_request(struct worker *w)
{
    struct slot *slot = w->slot;
    bool may_wait = atomic_load(&w->lane->all->blocked) < BLOCKED_MAX;
    slot->call = (struct mln_core_call){.message = mln_buf_bytes(&slot->in), .block = hand_on,
                                        .ready = may_wait ? slot_ready : NULL, .arg = slot};
    const struct workers_config *config = &w->lane->all->config;
    struct mln_err err = config->answer != NULL ? config->answer(config->arg, &slot->cx, &slot->call, &slot->out)
                                                : mln_core_answer(&slot->cx, config->core, &slot->call, &slot->out);
    if (mln_failed(err)) {
        lane_broken(w->lane, "a message that is no request");
        return true;
    }
    if (slot->call.waiting != NULL) {
        put_aside(w);
        return false;
    }
    answered(w, slot);
    return true;
}

/* A commit has ended: the rest of its request. */
static void finish(struct worker *w, struct slot *slot)
{
    slot->worker = w;
    atomic_fetch_sub(&w->lane->waiting, 1);
    mln_core_resume(&slot->call, &slot->out);
    if (slot->call.waiting != NULL) { /* tried once more, and not handed on */
        atomic_fetch_add(&w->lane->waiting, 1);
        return;
    }
    answered(w, slot);
    slot_clear(slot);
    slot_keep(slot);
}

/* Those that the committer handed back, in its order; a worker that hands the lead on gives back what it has not begun. */
static void finish_ready(struct worker *w)
{
    struct slot *last_first = atomic_exchange(&w->lane->ready, NULL), *slot = NULL;
    while (last_first != NULL) {
        struct slot *next = last_first->next;
        last_first->next = slot;
        slot = last_first;
        last_first = next;
    }
    while (slot != NULL) {
        struct slot *next = slot->next;
        if (w->is_leader) {
            finish(w, slot);
        } else {
            slot_ready(slot);
        }
        slot = next;
    }
}

static struct mln_err sign_svid(struct mln_cx *cx, struct core_svid *svid, const struct mln_value *message, struct mln_value *ret)
{
    enum mln_tls_how how = MLN_TLS_ECDSA;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    MLN_TRY(mln_tls_sign_input(cx, message, &input, &how));
    MLN_TRY(core_svid_sign(cx, svid, mln_get_int(mln_get(message, "key"), -1), how, mln_buf_bytes(&input), &sig));
    mln_put(cx, ret, "sig", mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&sig))));
    return mln_cx_err(cx);
}

/* The signature of a handshake, or an empty object: core builds what is signed itself. */
static struct mln_err sign(struct worker *w, const struct mln_value *message, struct mln_value *ret)
{
    const struct workers_config *config = &w->lane->all->config;
    struct mln_cx *cx = &w->slot->cx;
    int64_t key = mln_get_int(mln_get(message, "key"), -1);
    bool is_svid = key >= CORE_SVID_KEYS && config->svid != NULL;
    if (is_svid) {
        return sign_svid(cx, config->svid, message, ret);
    }
    if (key < 0 || key >= (int64_t)config->n_keys || config->keys[key].len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "core: no such listener's key");
    }
    enum mln_tls_how how = MLN_TLS_ECDSA;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    MLN_TRY(mln_tls_sign_input(cx, message, &input, &how));
    MLN_TRY(tls_key_sign(cx, &config->keys[key], how, mln_buf_bytes(&input), &sig));
    mln_put(cx, ret, "sig", mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&sig))));
    return MLN_OK;
}

static struct mln_err show_svid(struct worker *w, const struct mln_value *message, struct mln_value *ret)
{
    struct core_svid *svid = w->lane->all->config.svid;
    (void)message;
    return svid != NULL ? core_svid_show(&w->slot->cx, svid, ret)
                        : mln_fail(&w->slot->cx, MLN_E_INVALID, "core: no listener shows an SVID");
}

static void serve_handshake(struct worker *w, bool is_sign)
{
    struct slot *slot = w->slot;
    const struct mln_value *message = NULL;
    if (mln_failed(mln_cbor_parse(&slot->cx, mln_buf_bytes(&slot->in), &message))) {
        lane_broken(w->lane, "a message that is no handshake");
        return;
    }
    struct mln_value *answer = mln_object(&slot->cx);
    if (mln_failed(is_sign ? sign(w, message, answer) : show_svid(w, message, answer))) {
        mln_log_fault(MLN_LOG_WARN, "core", &slot->cx, "a handshake is refused");
    }
    mln_cbor_print(&slot->out, answer);
    send_out(w, slot, is_sign ? MLN_WIRE_SIGNED : MLN_WIRE_CERTED);
}

static void serve(struct worker *w, const struct mln_ring_head *head)
{
    struct slot *slot = w->slot;
    slot->worker = w;
    slot->id = head->id;
    if (head->kind == MLN_WIRE_REQUEST) {
        if (!serve_request(w)) {
            return;
        }
    } else if (head->kind == MLN_WIRE_SIGN || head->kind == MLN_WIRE_CERT) {
        serve_handshake(w, head->kind == MLN_WIRE_SIGN);
    } else {
        lane_broken(w->lane, "a message of an unknown kind");
    }
    slot_clear(slot);
}

/* ---- leading and following ---- */

/* Until front or the committer rings. Nobody came for long: spare slots go. */
static void wait_for_bell(struct lane *lane)
{
    struct pollfd bell = {.fd = lane->fds.bell_core, .events = POLLIN};
    uint64_t rings = 0;
    if (poll(&bell, 1, IDLE_S * 1000) == 0) {
        slots_trim(lane, 1);
        (void)poll(&bell, 1, -1);
    }
    ssize_t n = read(lane->fds.bell_core, &rings, sizeof(rings));
    (void)n;
}

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
        wait_for_bell(lane);
    }
    mln_ring_awake(lane->ring);
}

/* The next message, if there is one and memory for it. */
static void take_one(struct worker *w)
{
    struct lane *lane = w->lane;
    struct mln_ring_head head = {0};
    w->slot = w->slot != NULL ? w->slot : slot_take(lane);
    if (w->slot == NULL) {
        (void)poll(NULL, 0, 1); /* no memory: those that wait give some back */
        return;
    }
    struct mln_err err = mln_ring_receive(lane->ring, &head, &w->slot->in);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        rest(w);
    } else if (mln_failed(err)) {
        lane_broken(lane, mln_err_text(err.code));
    } else {
        serve(w, &head);
    }
}

static void lead(struct worker *w)
{
    struct lane *lane = w->lane;
    while (w->is_leader) {
        if (atomic_load(&lane->ready) != NULL) {
            finish_ready(w);
        } else if (!atomic_load(&lane->ended)) {
            take_one(w);
        } else if (atomic_load(&lane->waiting) > 0) {
            wait_for_bell(lane);
        } else {
            return;
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
    bool is_over = atomic_load(&lane->ended);
    leaves = leaves || (is_over && (lane->has_leader || atomic_load(&lane->waiting) == 0));
    if (!leaves) {
        lane->has_leader = w->is_leader = true;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return !leaves;
}

static void worker_free(struct worker *w)
{
    slot_free(w->slot);
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
    struct slot *slot = slot_take(lane);
    if (w == NULL || slot == NULL) {
        mln_free(w);
        slot_free(slot);
        return NULL;
    }
    w->lane = lane;
    w->slot = slot;
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
