/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attest process: monitor says which process is at the other end of a connection, this one looks at it and tells core. It keeps the
 * rights to read what is another user's and gives up the rest; it hears no client, and sends core nothing but texts of bounded length.
 *
 * The main thread takes monitor's messages and watches pidfds: a process that ends ends its identity, whoever has its socket then. A
 * few threads look, for a kubelet may take seconds.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/sandbox.h"
#include "identity/attest.h"
#include "main/attest_docker.h"
#include "main/attest_kubelet.h"
#include "main/attest_wire.h"
#include "main/main_priv.h"

#define FD_MONITOR    FD_MORE
#define LOOKERS       4u
#define BUCKETS       4096u
#define ARENA_BYTES   (16u << 20) /* of one look: the kubelet's list is the largest */
#define BOOT_BYTES    (4u << 20)
#define STACK_BYTES   WORKER_STACK
#define EVENTS        64
#ifdef MLN_SANITIZED
#define WORKER_STACK (2u << 20)
#else
#define WORKER_STACK (256u << 10)
#endif

enum state { WAITS, LOOKED_AT, KNOWN };

struct peer {
    struct peer *next_in_bucket, *next_waiting;
    struct attest_ask ask;
    int pidfd;
    enum state state;
    bool has_ended; /* its connection, while it was looked at */
};

struct attest {
    struct mln_attest_config config;
    struct attest_kubelet kubelet;
    struct attest_docker docker;
    int epoll_fd;
    pthread_mutex_t lock; /* all below, and the order of what core hears */
    pthread_cond_t more;
    struct peer *buckets[BUCKETS];
    struct peer *first, *last; /* that wait to be looked at */
    _Atomic bool is_over;
};

/* ---- what is kept ---- */

static struct peer **find(struct attest *a, uint64_t number)
{
    struct peer **at = &a->buckets[number % BUCKETS];
    while (*at != NULL && (*at)->ask.number != number) {
        at = &(*at)->next_in_bucket;
    }
    return at;
}

/* Not while it waits in the list or is looked at. */
static void forget(struct attest *a, uint64_t number)
{
    struct peer **at = find(a, number), *peer = *at;
    *at = peer->next_in_bucket;
    mln_fd_drop(&peer->pidfd); /* leaves the epoll with it: nobody else has this descriptor */
    mln_free(peer);
}

static void tell(struct attest *a, struct mln_cx *cx, const struct attest_tell *what)
{
    if (mln_failed(attest_tell_send(cx, FD_CONTROL, what))) {
        atomic_store(&a->is_over, true); /* core is gone: monitor starts another of us with the next one */
    }
}

static void tell_short(struct attest *a, struct mln_cx *cx, enum attest_kind kind, uint64_t number, enum mln_code why)
{
    struct attest_tell what = {.kind = kind, .number = number, .why = why};
    tell(a, cx, &what);
}

/* ---- looking ---- */

/* Under the lock: the process is watched from here on; one that has just ended makes an event at once. */
static void watch(struct attest *a, struct peer *peer)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = peer->ask.number}};
    if (peer->pidfd >= 0) {
        (void)epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, peer->pidfd, &event);
    }
}

/* For who writes entries and wonders what to write: --log-level debug. */
static void say_selectors(const struct attest_ask *ask, const struct mln_value *selectors)
{
    for (size_t i = 0; i < mln_len(selectors); i++) {
        mln_log(MLN_LOG_DEBUG, "attest", "process %lld of user %u: %.*s", (long long)ask->pid, ask->uid,
                MLN_FMT(mln_get_bytes(mln_item(selectors, i))));
    }
}

static void look(struct attest *a, struct mln_cx *cx, struct peer *peer, struct attest_tell *what)
{
    const struct mln_value *selectors = NULL;
    const struct attest_ask *ask = &peer->ask;
    struct mln_attest_who who = {.pidfd = peer->pidfd,
                                 .pid = ask->pid,
                                 .uid = ask->uid,
                                 .gid = ask->gid,
                                 .is_by_number = ask->is_by_number != 0,
                                 .connected_by_ns = ask->accepted_ns};
    *what = (struct attest_tell){
        .kind = ATTEST_FOUND, .number = ask->number, .pid = ask->pid, .uid = ask->uid, .gid = ask->gid};
    struct mln_err err = mln_attest(cx, &a->config, &who, &selectors);
    err = mln_failed(err) ? err : attest_tell_fill(cx, selectors, what);
    if (!mln_failed(err)) {
        say_selectors(ask, selectors);
    } else {
        mln_log(MLN_LOG_WARN, "attest", "process %lld of user %u is not attested: %s", (long long)ask->pid, ask->uid, cx->text);
        *what = (struct attest_tell){.kind = ATTEST_REFUSED, .number = ask->number};
        what->why = mln_is(err, MLN_E_DENIED) ? MLN_E_DENIED : MLN_E_UNREACHABLE;
    }
}

static struct peer *next_peer(struct attest *a)
{
    (void)pthread_mutex_lock(&a->lock);
    while (a->first == NULL) {
        (void)pthread_cond_wait(&a->more, &a->lock);
    }
    struct peer *peer = a->first;
    a->first = peer->next_waiting;
    a->last = a->first == NULL ? NULL : a->last;
    peer->state = LOOKED_AT;
    (void)pthread_mutex_unlock(&a->lock);
    return peer;
}

static void found(struct attest *a, struct mln_cx *cx, struct peer *peer, const struct attest_tell *what)
{
    (void)pthread_mutex_lock(&a->lock);
    peer->state = KNOWN;
    if (peer->has_ended) {
        forget(a, peer->ask.number);
    } else {
        tell(a, cx, what);
        watch(a, peer);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

static void *looker_main(void *arg)
{
    struct attest *a = arg;
    struct mln_arena *arena = mln_arena_new(ARENA_BYTES, false);
    struct attest_tell *what = mln_alloc(sizeof(*what));
    struct mln_cx cx;
    if (arena == NULL || what == NULL) {
        mln_log(MLN_LOG_ERROR, "attest", "no memory to look at processes");
        _exit(1);
    }
    for (;;) {
        mln_cx_init(&cx, arena);
        struct peer *peer = next_peer(a);
        look(a, &cx, peer, what);
        mln_cx_clear(&cx);
        found(a, &cx, peer, what);
        mln_arena_reset(arena);
    }
    return NULL;
}

/* ---- what monitor tells ---- */

static void take_new(struct attest *a, struct mln_cx *cx, const struct attest_ask *ask, int pidfd)
{
    struct peer *peer = mln_alloc(sizeof(*peer));
    (void)pthread_mutex_lock(&a->lock);
    if (peer == NULL || *find(a, ask->number) != NULL) {
        tell_short(a, cx, ATTEST_REFUSED, ask->number, MLN_E_UNREACHABLE);
        mln_free(peer);
        mln_fd_drop(&pidfd);
    } else {
        *peer = (struct peer){.ask = *ask, .pidfd = pidfd, .next_in_bucket = a->buckets[ask->number % BUCKETS]};
        a->buckets[ask->number % BUCKETS] = peer;
        *(a->last != NULL ? &a->last->next_waiting : &a->first) = peer;
        a->last = peer;
        (void)pthread_cond_signal(&a->more);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

static void take_end(struct attest *a, struct mln_cx *cx, uint64_t number)
{
    (void)pthread_mutex_lock(&a->lock);
    struct peer *peer = *find(a, number);
    if (peer != NULL && peer->state == KNOWN) {
        forget(a, number);
    } else if (peer != NULL) {
        peer->has_ended = true; /* who looks at it forgets it */
    }
    tell_short(a, cx, ATTEST_END, number, MLN_E_OK);
    (void)pthread_mutex_unlock(&a->lock);
}

static void process_ended(struct attest *a, struct mln_cx *cx, uint64_t number)
{
    (void)pthread_mutex_lock(&a->lock);
    struct peer *peer = *find(a, number);
    if (peer != NULL && peer->state == KNOWN) {
        mln_log(MLN_LOG_DEBUG, "attest", "process %lld of user %u has ended before its connection", (long long)peer->ask.pid,
                peer->ask.uid);
        (void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, peer->pidfd, NULL);
        mln_fd_drop(&peer->pidfd);
        tell_short(a, cx, ATTEST_REFUSED, number, MLN_E_DENIED);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

static struct mln_err take_ask(struct attest *a, struct mln_cx *cx)
{
    struct attest_ask ask;
    int pidfd = -1;
    MLN_TRY(attest_ask_receive(cx, FD_MONITOR, &ask, &pidfd));
    if (ask.kind == ATTEST_NEW) {
        take_new(a, cx, &ask, pidfd);
    } else {
        take_end(a, cx, ask.number);
    }
    return MLN_OK;
}

static struct mln_err serve(struct mln_cx *cx, struct attest *a)
{
    struct epoll_event events[EVENTS];
    while (!atomic_load(&a->is_over)) {
        int n = epoll_wait(a->epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == 0) {
                MLN_TRY(take_ask(a, cx));
            } else {
                process_ended(a, cx, events[i].data.u64);
            }
        }
        if (n < 0 && errno != EINTR) {
            return mln_fail(cx, MLN_E_IO, "attest: cannot wait (errno %d)", errno);
        }
    }
    return MLN_OK;
}

/* ---- start ---- */

static void say_state(const struct mln_sandbox_state *state)
{
    char line[128];
    int n = snprintf(line, sizeof(line), "{\"seccomp\":%s,\"landlock\":%s,\"landlock_abi\":%d}\n", state->has_seccomp ? "true" : "false",
                     state->has_landlock ? "true" : "false", state->landlock_abi);
    ssize_t sent = write(FD_STATE, line, (size_t)n);
    (void)sent;
    (void)close(FD_STATE);
}

static struct mln_err start_lookers(struct mln_cx *cx, struct attest *a)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    rc = rc != 0 ? rc : pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (unsigned i = 0; i < LOOKERS && rc == 0; i++) {
        pthread_t id;
        rc = pthread_create(&id, &attr, looker_main, a);
    }
    (void)pthread_attr_destroy(&attr);
    return rc == 0 ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "attest: no threads (error %d)", rc);
}

static struct mln_err run(struct mln_cx *cx, struct attest *a)
{
    const struct mln_value *boot = NULL;
    struct mln_sandbox_state state = {0};
    struct epoll_event asks = {.events = EPOLLIN};
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "attest");
    raise_descriptors();
    uint32_t owner = geteuid();
    MLN_TRY(attest_kubelet_start(cx, mln_get(mln_get(boot, "attest"), "kubernetes"), &a->kubelet));
    MLN_TRY(attest_docker_start(cx, mln_get(mln_get(boot, "attest"), "docker"), &a->docker));
    MLN_TRY(keep_only_looking(cx));
    harden_process(); /* again: another user's process is dumpable by the system's setting */
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "attest: monitor is gone");
    }
    a->config = (struct mln_attest_config){
        .settings = mln_get(boot, "attest"), .cache = mln_attest_cache_new(), .proc = "/proc", .etc = "/etc", .owner = owner,
        .pod = a->kubelet.helper.fd >= 0 ? attest_kubelet_pod : NULL, .arg = &a->kubelet,
        .docker = a->docker.helper.fd >= 0 ? attest_docker_container : NULL, .docker_arg = &a->docker};
    a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (a->config.cache == NULL || a->epoll_fd < 0 || epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, FD_MONITOR, &asks) != 0) {
        return mln_fail(cx, MLN_E_MEMORY, "attest: no memory or descriptors");
    }
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->more, NULL);
    MLN_TRY(mln_sandbox_enter(cx, MLN_SANDBOX_ATTEST, -1, &state));
    MLN_TRY(start_lookers(cx, a));
    say_state(&state);
    return serve(cx, a);
}

int attest_main(void)
{
    static struct attest attest;
    struct mln_arena *arena = mln_arena_new(BOOT_BYTES, false);
    struct mln_cx cx;
    int code = 0;
    name_process("merlon-attest");
    harden_process();
    mln_cx_init(&cx, arena);
    struct mln_err err = arena != NULL ? run(&cx, &attest) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err) && !mln_is(err, MLN_E_UNREACHABLE)) {
        mln_log_fault(MLN_LOG_ERROR, "attest", &cx, "attest ends");
        code = cx.fault.code == MLN_E_USAGE ? 2 : 1;
    }
    _exit(code); /* its threads may be in the midst of looks */
}
