/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Front as a process: sockets and TLS contexts are made ready, threads enter the sandbox, and only
 * then bytes are read.
 */
#include "net/front.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "net/front_priv.h"

#define SECOND_NS ((int64_t)1000000000)

struct thread {
    struct front *front;
    unsigned index;
    pthread_t id;
    bool is_started;
    bool has_failed;
    struct mln_sandbox_state sandbox;
};

static unsigned at_most(unsigned wanted, unsigned most)
{
    return wanted != 0 && wanted < most ? wanted : most;
}

static void fill_defaults(struct mln_front_config *config)
{
    config->header_deadline_ns =
        config->header_deadline_ns != 0 ? config->header_deadline_ns : 10 * SECOND_NS;
    config->body_deadline_ns =
        config->body_deadline_ns != 0 ? config->body_deadline_ns : 90 * SECOND_NS;
    config->idle_ns = config->idle_ns != 0 ? config->idle_ns : 90 * SECOND_NS;
    config->grace_ns = config->grace_ns != 0 ? config->grace_ns : 10 * SECOND_NS;
    config->in_flight_max = at_most(config->in_flight_max, MLN_RING_CREDITS);
    config->conns_max = at_most(config->conns_max, FRONT_CONNS_MAX);
    config->body_max = config->body_max != 0 ? config->body_max : MLN_BODY_MAX_BYTES;
}

static void pin(unsigned index)
{
    cpu_set_t all;
    if (sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) == 0) {
        return;
    }
    unsigned skip = index % (unsigned)CPU_COUNT(&all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && skip-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

static void say_state(const struct mln_front_config *config, const struct mln_sandbox_state *state)
{
    char line[128];
    if (config->state_fd < 0) {
        return;
    }
    int n = snprintf(line, sizeof(line), "{\"seccomp\":%s,\"landlock\":%s,\"landlock_abi\":%d}\n",
                     state->has_seccomp ? "true" : "false", state->has_landlock ? "true" : "false",
                     state->landlock_abi);
    ssize_t sent = write(config->state_fd, line, (size_t)n);
    (void)sent;
    (void)close(config->state_fd);
}

static int peer_fd(const struct front *front)
{
    return front->config.peer_fd > 0 ? front->config.peer_fd : -1;
}

static void abort_all(struct front *front)
{
    uint64_t one = 1;
    atomic_store(&front->start_failed, true);
    ssize_t n = write(front->abort_fd, &one, sizeof(one));
    (void)n;
}

static struct mln_err thread_body(struct mln_cx *cx, struct thread *thread, struct loop *loop)
{
    struct front *front = thread->front;
    MLN_TRY(loop_init(cx, loop, front, thread->index));
    if (!tls_thread_begin()) {
        return mln_fail(cx, MLN_E_MEMORY, "front: no room for handshakes");
    }
    if (!front->config.no_sandbox) {
        MLN_TRY(mln_sandbox_enter(cx, MLN_SANDBOX_FRONT, peer_fd(front), &thread->sandbox));
    }
    if (atomic_fetch_sub(&front->left_to_start, 1) == 1) {
        say_state(&front->config, &thread->sandbox);
    }
    loop_run(loop);
    return MLN_OK;
}

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (thread->front->config.pin) {
        pin(thread->index);
    }
    struct loop *loop = mln_alloc(sizeof(*loop));
    struct mln_err err = {MLN_E_MEMORY};
    if (loop != NULL) {
        loop->epoll_fd = -1;
        err = thread_body(&cx, thread, loop);
        loop_fini(loop);
        mln_free_wiped(loop, sizeof(*loop));
    }
    tls_thread_end();
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "net", &cx, "front: a thread could not start");
        thread->has_failed = true;
        abort_all(thread->front);
    }
    return NULL;
}

static struct mln_err check_config(struct mln_cx *cx, const struct mln_front_config *config)
{
    if (config->n_rings == 0 || config->n_rings > MLN_FRONT_THREADS_MAX ||
        config->n_listeners > MLN_FRONT_LISTENERS_MAX || config->api == NULL ||
        (config->rings == NULL && config->local.answer == NULL)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "front: threads, listeners or API are missing or too many");
    }
    for (unsigned i = 0; i < config->n_listeners; i++) {
        int one =
            1; /* inherited by what is accepted; fails on Unix sockets, where it means nothing */
        (void)setsockopt(config->listeners[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return MLN_OK;
}

/* The thread that waits shares all memory with the others, so it gives up as much. */
static void confine_self(struct front *front)
{
    struct mln_sandbox_state state;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (!front->config.no_sandbox &&
        mln_failed(mln_sandbox_enter(&cx, MLN_SANDBOX_FRONT, peer_fd(front), &state))) {
        mln_log_fault(MLN_LOG_ERROR, "net", &cx, "front: no sandbox");
        abort_all(front);
    }
}

static void run_threads(struct front *front, struct thread *threads)
{
    unsigned n = front->config.n_rings;
    atomic_store(&front->left_to_start, n);
    for (unsigned i = 0; i < n; i++) {
        threads[i] = (struct thread){.front = front, .index = i};
        threads[i].is_started = pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) == 0;
        if (!threads[i].is_started) {
            mln_log(MLN_LOG_ERROR, "net", "front: a thread could not be started (errno %d)", errno);
            abort_all(front);
        }
    }
    confine_self(front);
    for (unsigned i = 0; i < n; i++) {
        if (threads[i].is_started) {
            (void)pthread_join(threads[i].id, NULL);
        }
    }
}

int mln_front_main(const struct mln_front_config *config)
{
    struct front front = {.config = *config, .abort_fd = -1};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    fill_defaults(&front.config);
    front.abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct thread *threads = mln_alloc_array(config->n_rings, sizeof(*threads));
    struct mln_err err = check_config(&cx, &front.config);
    if (!mln_failed(err) && (front.abort_fd < 0 || threads == NULL)) {
        err = mln_fail(&cx, MLN_E_MEMORY, "front: out of memory or descriptors");
    }
    err = mln_failed(err) ? err : tls_setup(&cx, &front);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "net", &cx, "front: cannot start");
    } else {
        run_threads(&front, threads);
    }
    bool is_bad =
        mln_failed(err) || atomic_load(&front.start_failed) || atomic_load(&front.is_corrupt);
    if (atomic_load(&front.is_corrupt)) {
        mln_log(MLN_LOG_ERROR, "net", "front: a ring is corrupt, this generation ends");
    }
    tls_fini(&front);
    mln_fd_drop(&front.abort_fd);
    mln_free(threads);
    return is_bad ? 1 : 0;
}
