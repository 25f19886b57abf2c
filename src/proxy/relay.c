/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay up to its workers: TLS is made ready, threads enter the sandbox, then bytes are read. The first thread hears monitor: a new
 * identity, sockets to the keeper, sockets to targets.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "proxy/relay_priv.h"

#define SECOND_NS          ((int64_t)1000000000)
#define SNAPSHOT_BYTES_MAX (8u << 20) /* bundles of a thousand trust domains */

static struct mln_err enter(struct mln_cx *cx, const struct relay *relay)
{
    struct mln_sandbox_state state = {0};
    return relay->config->no_sandbox ? MLN_OK : mln_sandbox_enter(cx, MLN_SANDBOX_RELAY, relay->config->control_fd, &state);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    struct mln_err err = mln_tls_thread_begin(JOBS_MAX) ? enter(&cx, worker->relay) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "relay", &cx, "a thread cannot start");
        _exit(1);
    }
    worker_run(worker);
    mln_tls_thread_end();
    return NULL;
}

/* ---- what monitor says ---- */

static struct mln_err read_snapshot(struct mln_cx *cx, int fd, uint64_t n, struct mln_buf *to)
{
    if (n == 0 || n > SNAPSHOT_BYTES_MAX || !mln_buf_reserve(to, (size_t)n)) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "a snapshot of %llu bytes", (unsigned long long)n);
    }
    while (to->len < n) {
        ssize_t got = read(fd, to->ptr + to->len, (size_t)n - to->len);
        if (got <= 0 && (got == 0 || errno != EINTR)) {
            return mln_fail(cx, MLN_E_IO, "a snapshot cannot be read (errno %d)", errno);
        }
        to->len += got > 0 ? (size_t)got : 0;
    }
    return MLN_OK;
}

static void take_identity(struct relay *relay, uint64_t n, int fd)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf bytes = {.max = SNAPSHOT_BYTES_MAX};
    struct identity *identity = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    struct mln_err err = read_snapshot(&cx, fd, n, &bytes);
    err = mln_failed(err) ? err : identity_make(&cx, relay, mln_buf_bytes(&bytes), &identity);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "relay", &cx, "a new identity cannot be used, the old one stays");
        return;
    }
    identity_set(relay, identity);
    atomic_fetch_add(&relay->config->counters->identities, 1);
}

static void ring_all(struct relay *relay)
{
    struct mln_proxy_message nothing = {0};
    for (unsigned i = 0; i < relay->n_workers; i++) {
        worker_mail(&relay->workers[i], &nothing, -1);
    }
}

static void take(struct relay *relay, const struct mln_proxy_message *message, int *fds, unsigned n_fds)
{
    if (message->kind == MLN_PROXY_IDENTITY && n_fds == 1) {
        take_identity(relay, message->number, fds[0]);
        ring_all(relay);
    } else if (message->kind == MLN_PROXY_WITHDRAW) {
        identity_set(relay, NULL);
        ring_all(relay);
    } else if (message->kind == MLN_PROXY_SIGNERS && n_fds == relay->n_workers) {
        for (unsigned i = 0; i < n_fds; i++) {
            worker_mail(&relay->workers[i], message, fds[i]);
            fds[i] = -1;
        }
    } else if (message->kind == MLN_PROXY_DIALLED && message->thread < relay->n_workers) {
        worker_mail(&relay->workers[message->thread], message, n_fds == 1 ? fds[0] : -1);
        fds[0] = n_fds == 1 ? -1 : fds[0];
    } else if (message->kind == MLN_PROXY_STOP) {
        atomic_store(&relay->stop_ns, mln_mono_ns() + (int64_t)message->number * SECOND_NS);
        atomic_store(&relay->is_stopping, true);
        ring_all(relay);
    }
    for (unsigned i = 0; i < n_fds; i++) {
        mln_fd_drop(&fds[i]);
    }
}

/* Until monitor is gone; the other thread ends the process when all is drained. */
static void listen_to_monitor(struct relay *relay)
{
    static struct mln_proxy_message message;
    int fds[MLN_PROXY_THREADS_MAX];
    unsigned n = 0;
    struct mln_cx cx;
    for (;;) {
        mln_cx_init(&cx, NULL);
        struct mln_err err = mln_proxy_receive(&cx, relay->config->control_fd, false, &message, fds, &n);
        if (mln_is(err, MLN_E_UNREACHABLE)) {
            return;
        }
        if (mln_failed(err)) {
            mln_log_fault(MLN_LOG_ERROR, "relay", &cx, "monitor is not understood");
        } else {
            take(relay, &message, fds, n);
        }
    }
}

/* Workers end after STOP, when their last connection has. */
static void *wait_for_workers(void *arg)
{
    struct relay *relay = arg;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (mln_failed(enter(&cx, relay))) {
        _exit(1);
    }
    for (unsigned i = 0; i < relay->n_workers; i++) {
        (void)pthread_join(relay->workers[i].thread, NULL);
    }
    _exit(0);
}

/* ---- start ---- */

static struct mln_err start_workers(struct mln_cx *cx, struct relay *relay)
{
    for (unsigned i = 0; i < relay->n_workers; i++) {
        struct worker *worker = &relay->workers[i];
        MLN_TRY(worker_init(cx, worker, relay, i));
        worker->is_started = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
        if (!worker->is_started) {
            return mln_fail(cx, MLN_E_MEMORY, "a thread cannot be started");
        }
    }
    return MLN_OK;
}

static struct mln_err begin(struct mln_cx *cx, struct relay *relay)
{
    relay->n_workers = (unsigned)relay->config->limits.threads;
    relay->run = mln_random_u64() >> 1 & ~(uint64_t)UINT32_MAX;
    (void)pthread_mutex_init(&relay->lock, NULL);
    relay->workers = mln_alloc_array(relay->n_workers, sizeof(*relay->workers));
    if (relay->workers == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(mln_tls_lib_init(cx, &relay->tls));
    relay->ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    MLN_TRY(start_workers(cx, relay));
    pthread_t waiting;
    return pthread_create(&waiting, NULL, wait_for_workers, relay) == 0 ? MLN_OK
                                                                        : mln_fail(cx, MLN_E_MEMORY, "a thread cannot be started");
}

int mln_proxy_relay_main(const struct mln_proxy_relay *config)
{
    static struct relay relay;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    relay = (struct relay){.config = config};
    struct mln_err err = begin(&cx, &relay);
    err = mln_failed(err) ? err : enter(&cx, &relay);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "relay", &cx, "the relay cannot start");
        return 1;
    }
    listen_to_monitor(&relay);
    return 0;
}
