/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `merlon node run`: monitor, front and the attest process as of a server, and in core's place a process that asks the server. Its
 * main thread hears monitor; one thread asks every few seconds whether something changed and wakes streams when it did.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/limits.h"
#include "main/control.h"
#include "main/core_attest.h"
#include "main/main_priv.h"
#include "main/monitor.h"
#include "main/node_priv.h"

#define BOOT_BYTES (4u << 20)
#define POLL_MS    5000 /* a fifth more or less, so that thousands of nodes do not ask at once */
#define SHORT_MS   500  /* until it is attested */
#define CALL_NS    ((int64_t)5000000000)

struct node_process {
    struct node node;
    struct core_attest attest;
    int stop;
    pthread_t poller;
    bool has_poller;
};

/* ---- changes ---- */

static void wake_streams(struct node *node)
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

static struct mln_err look(struct node *node, struct mln_cx *cx)
{
    struct mln_client_answer answer = {0};
    const struct mln_value *json = NULL;
    MLN_TRY(node_call(node, cx, "/v1/spiffe/nodes/revision", NULL, &answer));
    MLN_TRY(mln_json_parse(cx, answer.body, &json));
    struct mln_bytes revision = mln_get_bytes(mln_get(mln_get(json, "data"), "revision"));
    if (revision.len == 0 || revision.len >= sizeof(node->revision)) {
        return mln_fail(cx, MLN_E_REMOTE, "the server's revision cannot be read");
    }
    (void)pthread_mutex_lock(&node->lock);
    bool is_new = !mln_bytes_is(revision, node->revision);
    mln_fill(node->revision, 0, sizeof(node->revision));
    mln_copy(node->revision, revision.ptr, revision.len);
    (void)pthread_mutex_unlock(&node->lock);
    if (is_new) {
        wake_streams(node);
    }
    return MLN_OK;
}

/* Put out: what was answered before is given no more, and streams end. */
static void forget(struct node *node)
{
    (void)pthread_mutex_lock(&node->lock);
    mln_fill(node->session, 0, sizeof(node->session));
    mln_fill(node->revision, 0, sizeof(node->revision));
    (void)pthread_mutex_unlock(&node->lock);
    node_forget_all(node);
    wake_streams(node);
}

/* A session that is over is begun anew, if there is something to show more than once. */
static bool look_or_attest(struct node *node, struct mln_cx *cx)
{
    bool has_session = node->session[0] != 0;
    struct mln_err err = has_session ? look(node, cx) : node_attest(node, cx, true);
    if (mln_is(err, MLN_E_DENIED) && has_session) {
        mln_cx_clear(cx);
        forget(node);
        err = node_attest(node, cx, true);
    }
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_WARN, "node", cx, "the server is not asked");
    }
    mln_cx_clear(cx);
    return !mln_failed(err);
}

static void *poller_main(void *arg)
{
    struct node_process *process = arg;
    struct mln_arena *arena = mln_arena_new(4u << 20, true);
    struct pollfd stop = {.fd = process->stop, .events = POLLIN};
    struct mln_cx cx;
    int wait_ms = 0;
    mln_cx_init(&cx, arena);
    while (arena != NULL && poll(&stop, 1, wait_ms) == 0) {
        bool had_session = process->node.session[0] != 0;
        bool is_fine = look_or_attest(&process->node, &cx);
        wait_ms = is_fine && !had_session ? 0
                  : is_fine               ? POLL_MS * 4 / 5 + (int)mln_random_below(POLL_MS * 2 / 5)
                                          : SHORT_MS * 4;
        mln_arena_reset(arena);
    }
    mln_arena_free(arena);
    return NULL;
}

/* ---- monitor ---- */

static void tell(enum control_kind kind, uint64_t number)
{
    struct control_message message = {.kind = kind, .number = number};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (mln_failed(control_send(&cx, FD_CONTROL, &message))) {
        mln_log_fault(MLN_LOG_WARN, "node", &cx, "monitor does not hear");
    }
}

static void on_broken(void *arg, uint64_t generation)
{
    (void)arg;
    tell(CONTROL_DROP, generation);
}

static void take(struct mln_cx *cx, struct node_process *process,
                 const struct control_message *message, struct control_fds *fds)
{
    struct mln_err err = MLN_OK;
    if (message->kind == CONTROL_RINGS) {
        err = workers_attach(cx, atomic_load(&process->node.workers), message->number, fds->rings,
                             fds->n_rings);
        if (mln_failed(err)) {
            on_broken(process, message->number);
        }
    } else if (message->kind == CONTROL_ATTEST) {
        err = core_attest_attach(cx, &process->attest, process->node.peers, fds->socket);
    } else {
        control_fds_close(fds);
    }
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "node", cx, "a message of monitor is not followed");
    }
}

static void listen_to_monitor(struct node_process *process)
{
    static struct control_fds fds;
    static struct control_message message;
    struct mln_cx cx;
    do {
        mln_cx_init(&cx, NULL);
        if (mln_failed(control_receive(&cx, FD_CONTROL, false, &message, &fds))) {
            return;
        }
        take(&cx, process, &message, &fds);
    } while (message.kind != CONTROL_STOP);
}

/* ---- start ---- */

static struct mln_err start(struct mln_cx *cx, struct node_process *process,
                            const struct mln_value *boot)
{
    struct node *node = &process->node;
    node->server =
        (struct mln_client_config){.url = mln_get_text(cx, mln_get(boot, "server"), ""),
                                   .ca_file = mln_get_text(cx, mln_get(boot, "ca_file"), NULL),
                                   .timeout_ns = CALL_NS};
    node->data_dir = mln_get_text(cx, mln_get(boot, "data"), "");
    node->proof = mln_get(boot, "proof");
    node->peers = mln_peers_new(0);
    atomic_init(&node->version, 1);
    (void)pthread_mutex_init(&node->lock, NULL);
    process->stop = eventfd(0, EFD_CLOEXEC);
    if (node->peers == NULL || process->stop < 0) {
        return mln_fail(cx, MLN_E_MEMORY, "node: no memory or descriptors");
    }
    struct workers_config config = {.answer = node_answer_call,
                                    .broken = on_broken,
                                    .arg = node,
                                    .lock_requests = can_lock_much()};
    struct workers *workers = NULL;
    MLN_TRY(workers_new(cx, &config, &workers));
    atomic_store(&node->workers, workers);
    struct mln_err err = node_attest(node, cx, false);
    if (mln_is(err,
               MLN_E_UNREACHABLE)) { /* it will be there: until then processes hear to try again */
        mln_log_fault(MLN_LOG_WARN, "node", cx, "the server is not there yet");
        mln_cx_clear(cx);
        err = MLN_OK;
    }
    MLN_TRY(err);
    process->has_poller = pthread_create(&process->poller, NULL, poller_main, process) == 0;
    return process->has_poller ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "node: no thread");
}

static struct mln_err run(struct mln_cx *cx, struct node_process *process)
{
    const struct mln_value *boot = NULL;
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "node");
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "node: monitor is gone");
    }
    raise_descriptors();
    MLN_TRY(start(cx, process, boot));
    tell(CONTROL_READY, 0);
    listen_to_monitor(process);
    return MLN_OK;
}

static void finish(struct node_process *process)
{
    uint64_t one = 1;
    if (process->has_poller) {
        ssize_t n = write(process->stop, &one, sizeof(one));
        (void)n;
        (void)pthread_join(process->poller, NULL);
    }
    core_attest_end(&process->attest);
    workers_free(atomic_exchange(&process->node.workers, NULL));
    node_forget_all(&process->node);
    while (process->node.n_idle > 0) {
        mln_client_free(process->node.idle[--process->node.n_idle]);
    }
    mln_peers_free(process->node.peers);
}

int node_main(void)
{
    static struct node_process process = {.stop = -1, .attest = {.fd = -1}};
    struct mln_arena *arena = mln_arena_new(BOOT_BYTES, true);
    struct mln_cx cx;
    name_process("merlon-node");
    harden_process();
    mln_cx_init(&cx, arena);
    struct mln_err err = arena != NULL ? run(&cx, &process) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "node", &cx, "the node cannot start");
    }
    finish(&process);
    mln_arena_free(arena);
    return mln_err_exit(err.code);
}
